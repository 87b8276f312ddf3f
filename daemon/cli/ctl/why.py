"""``tradingctl why ORDER_ID``: one order as a story, signal to fills."""

from __future__ import annotations

from typing import Any, Final

from daemon.cli.ctl import events, show, text
from daemon.cli.ctl.text import Paint

_STEPS: Final = ("steps", "story", "events", "rows")
_TELLING: Final = ("text", "sentence", "what", "message")


def render(result: dict[str, Any], paint: Paint, columns: int | None) -> list[str]:
    """Return the story: the order in one line, then one line a step with its time, the time since the last and why."""
    steps: list[Any] = next((result[name] for name in _STEPS if isinstance(result.get(name), list)), [])
    others = {k: v for k, v in result.items() if k not in {"schema", *_STEPS} and v not in (None, "", [], {})}
    lines = _headline(others, paint)
    for step in steps:
        lines += _step(step, paint, columns)
    return lines or [paint("dim", "nothing is known of it")]


def _headline(others: dict[str, Any], paint: Paint) -> list[str]:
    order = others.pop("order", None)
    facts = {**order, **others} if isinstance(order, dict) else others
    if not facts:
        return []
    name = text.clean(facts.pop("order_id", None) or facts.pop("client_order_id", "order"))
    return [paint("bold", f"order {name}"), *show.thing(facts, paint, indent="  "), ""]


def _step(step: Any, paint: Paint, columns: int | None) -> list[str]:
    if not isinstance(step, dict):
        return [f"  {text.listed(step)}"]
    told = next((step[name] for name in _TELLING if isinstance(step.get(name), str)), None)
    if told is None:
        return [events.line(step, paint, room=columns)]
    stamp = text.clock(step.get("ts") or "")
    kind = text.clean(step.get("step") or step.get("kind") or step.get("type") or "")
    head = f"{paint('dim', text.pad(stamp, 15))}  {paint(events.style(kind), text.pad(kind, 10))}  "
    return [head + text.clean(told)]
