"""An event as one line: when, which, what happened."""

from __future__ import annotations

import re
from typing import Any, Final

from daemon.cli.ctl import show, text, told
from daemon.cli.ctl.text import Paint
from daemon.cli.ctl.wire import Number

TYPE_ROOM: Final = 20
_LISTED_MAX: Final = 3
_FRAME: Final = {"schema", "seq", "type", "ts", "ts_event", "n", "source", "subscription"}
_QUIET: Final = {
    "postings", "ids", "features", "reserved", "exempt", "lot_id", "ref_px", "avg_px", "commission", "regulatory",
    "spread", "slippage", "impact", "liquidity", "px_source", "opened_fees", "realized_fifo", "exec_id", "arrival_px",
    "expected_cost", "leg", "px",
}  # fmt: skip
_STYLES: Final = (
    (
        re.compile(r"Killed|Denied|Rejected|Failed|Tripped|Lost|Quarantined|Poison|Abandoned|Breached|MarginCalled"),
        "red",
    ),
    (
        re.compile(
            r"Canceled|Expired|Disabled|Degraded|Stale|Gap|Latch|StateChanged|Alert|Frozen|Restated|Revised|Adjusted"
        ),
        "yellow",
    ),
    (re.compile(r"Filled|Accepted|Reset|Enabled|Started|Connected|TradeClosed|Released|DividendPaid"), "green"),
    (re.compile(r"Equity|Session|Snapshot|Timer|Decision"), "dim"),
)
_DONE: Final = {"1": "buy", "-1": "sell"}
_HELD: Final = {"1": "long", "-1": "short"}
_BODIES: Final = ("payload", "data", "body", "event")


def style(kind: str) -> str:
    """Return the colour of an event type, "" for none."""
    return next((colour for pattern, colour in _STYLES if pattern.search(kind)), "")


def line(event: dict[str, Any], paint: Paint, *, brief: bool = False) -> str:
    """Return the event as one line; ``brief`` without year, parts of a second and sequence number."""
    kind = text.clean(event.get("type", "?"))
    stamp = event.get("ts") or event.get("ts_event") or ""
    if brief:
        head = f"{paint('dim', text.brief(stamp))}  "
    else:
        seq = text.clean(event.get("seq", ""))
        head = f"{paint('dim', text.pad(text.moment(stamp), 20))} {paint('dim', text.pad(seq, 8, right=True))}  "
    return f"{head}{paint(style(kind), text.pad(kind, TYPE_ROOM))}  {what(event, paint)}".rstrip()


def what(event: dict[str, Any], paint: Paint) -> str:
    """Return what happened: symbol, order and price as people say them, then the other fields."""
    facts = dict(event)
    for name in _BODIES:
        inner = facts.get(name)
        if isinstance(inner, dict):
            facts = {**facts, **inner}
            del facts[name]
    sentence = told.sentence(str(event.get("type")), facts)
    if sentence is not None:
        return sentence
    order = facts.pop("order", None)
    if isinstance(order, dict):
        facts = {**order, **facts}
    said: list[str] = []
    symbol, side, sum_qty = (facts.pop(name, None) for name in ("symbol", "side", "qty"))
    filled, price = facts.pop("last_qty", None), facts.pop("last_px", None)
    qty = sum_qty if filled is None else filled
    word = _side(side, _HELD if event.get("type") == "TradeClosed" else _DONE)
    deal = [paint(show.colour(word), word), text.grouped(qty) if qty is not None else ""]
    deal += [paint("bold", text.clean(symbol))] if symbol not in (None, "") else []
    deal += [f"at {show.cell('price', price, paint)}"] if price is not None else []
    said.append(" ".join(part for part in deal if part))
    if "old" in facts and "new" in facts:
        old, new = (text.clean(facts.pop(name)) for name in ("old", "new"))
        said.append(f"{old} -> {paint(show.colour(new), new)}")
    smaller = [*_smaller(facts), *_roomless(facts)]
    said += [*_picks(facts), *smaller]
    for name, value in facts.items():
        if name not in _FRAME and name not in _QUIET and value not in (None, "", [], {}, False):
            said.append(_fact(name, value, paint))
    return "  ".join(part for part in said if part)


def _smaller(facts: dict[str, Any]) -> list[str]:
    """Return which entries sizing made smaller, and by how much; takes the columns out of the facts."""
    columns = [facts.get(name) for name in ("cut_ids", "cut_correlation", "cut_heat")]
    names, alike, heat = (column if isinstance(column, list) else [] for column in columns)
    cuts = [*alike, *heat]
    if not names or not len(names) == len(alike) == len(heat) or not all(isinstance(cut, Number) for cut in cuts):
        return []
    for name in ("cut_ids", "cut_correlation", "cut_heat"):
        del facts[name]
    parts = [1 - (1 - float(one)) * (1 - float(other)) for one, other in zip(alike, heat, strict=True)]
    return _cut([f"{text.clean(name)} by {_share(part)}" for name, part in zip(names, parts, strict=True)])


def _roomless(facts: dict[str, Any]) -> list[str]:
    """Return which entries found too little room under which limit; takes the columns out of the facts."""
    columns = [facts.get(name) for name in ("ids", "parts", "limits")]
    names, parts, limits = (column if isinstance(column, list) else [] for column in columns)
    if not names or not len(names) == len(parts) == len(limits) or not all(isinstance(part, Number) for part in parts):
        return []
    for name in ("parts", "limits"):
        del facts[name]
    cuts = zip(names, parts, limits, strict=True)
    return _cut([f"{text.clean(name)} by {_share(float(part))} ({text.clean(limit)})" for name, part, limit in cuts])


def _share(part: float) -> str:
    return text.percent(f"{part:.6f}")


def _cut(told: list[str]) -> list[str]:
    more = f" and {len(told) - _LISTED_MAX:,} more" if len(told) > _LISTED_MAX else ""
    return [f"made smaller: {', '.join(told[:_LISTED_MAX])}{more}"]


def _picks(facts: dict[str, Any]) -> list[str]:
    """Return the strongest entries of columns by symbol, such as a decision's scores; takes them out of the facts."""
    ids = facts.get("ids")
    column = next((name for name in ("score", "weights", "realized") if isinstance(facts.get(name), list)), None)
    if not isinstance(ids, list) or column is None or len(facts[column]) != len(ids):
        return []
    pairs = [
        (text.clean(name), value) for name, value in zip(ids, facts[column], strict=True) if isinstance(value, Number)
    ]
    pairs.sort(key=lambda pair: -abs(float(pair[1])))
    for name in [name for name, value in facts.items() if isinstance(value, list) and len(value) == len(ids)]:
        del facts[name]
    more = f" and {len(pairs) - _LISTED_MAX:,} more" if len(pairs) > _LISTED_MAX else ""
    return (
        [", ".join(f"{name} {text.grouped(value, 3)}" for name, value in pairs[:_LISTED_MAX]) + more] if pairs else []
    )


def _side(side: Any, words: dict[str, str]) -> str:
    if isinstance(side, Number):
        return words.get(str(side), str(side))
    return text.clean(side) if side else ""


def _fact(name: str, value: Any, paint: Paint) -> str:
    if name in {"reason", "title", "message"} and isinstance(value, str):
        return text.clean(value)
    if isinstance(value, list) and len(value) > _LISTED_MAX:
        shown = f"{len(value):,} values"
    else:
        shown = show.cell(name, value, paint)
    return f"{paint('dim', text.clean(name) + '=')}{shown}"
