"""Events of limits, breakers and protections in one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from daemon.cli.ctl import text
from daemon.cli.ctl.text import clean, grouped, percent

_LOSSES: Final = {"daily_loss", "drawdown", "weekly_loss", "monthly_loss"}
_SHARES: Final = _LOSSES | {
    *("daily_loss_warn", "daily_loss_block", "daily_loss_halt", "max_drawdown", "max_position", "max_sector"),
    *("max_cluster", "max_correlation", "max_var", "max_heat", "risk_per_trade", "book_max_position"),
    *("reject_rate", "fill_sanity", "slippage", "volatility", "prediction_drift"),
}
"""What is compared as a fraction, and told as percent."""
_UNITS: Final = {
    **dict.fromkeys(("stale_data", "connectivity", "clock_skew"), " s"),
    **dict.fromkeys(("exposure", "max_leverage", "book_max_leverage"), " x"),
}
_THEN: Final = {
    "warn": "told, no more",
    "block": "entries are blocked",
    "block_entries": "entries are blocked",
    "reduce": "trading reduces",
    "deleverage": "positions are cut",
    "halt": "trading halts",
    "flatten": "everything is closed",
}
_SHOWN: Final = 5
"""Changes told in one line."""


def tripped(facts: dict[str, Any]) -> str:
    """Tell of a breaker that tripped: what it measured, against what, and what it does."""
    if facts.get("breaker") in _LOSSES:
        measure = f"{percent(facts.get('value', '?'))} lost, limit {percent(facts.get('limit', '?'))}"
    else:
        cause = f"{clean(facts['cause'])}, " if facts.get("cause") else ""
        name = str(facts.get("breaker"))
        measure = f"{cause}{_measure(name, facts.get('value'))} against {_measure(name, facts.get('limit'))}"
    then = _THEN.get(str(facts.get("action")), clean(facts.get("action", "?")))
    return f"{_breaker(facts)}: {measure}; {then}{', latched' if facts.get('latched') is True else ''}"


def reset(facts: dict[str, Any]) -> str:
    """Tell of a breaker that is armed again."""
    return f"{_breaker(facts)} is armed again{_by(facts)}{_because(facts)}"


def breached(facts: dict[str, Any]) -> str:
    """Tell of a limit that is used up, or nearly."""
    then = _THEN.get(str(facts.get("action")), clean(facts.get("action", "?")))
    name = str(facts.get("limit", "?"))
    value, bound = (_measure(name, facts.get(part)) for part in ("value", "bound"))
    return f"{clean(name)} of {clean(facts.get('portfolio', '?'))} at {value} of {bound}; {then}"


def _measure(name: str, number: Any) -> str:
    """Return what a breaker or limit of that name compares, in its unit; what has none here is a plain number."""
    if number is None:
        return "?"
    if name.partition(":")[0] in _SHARES:
        return percent(number)
    shown = grouped(number, 4)
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown) + _UNITS.get(name, "")


def limits(facts: dict[str, Any]) -> str:
    """Tell which limits are others, from what to what: as they were said by hand, or as the configuration has them."""
    changes = [change for change in facts.get("changes") or () if isinstance(change, list) and len(change) == 3]
    if changes:
        told = [f"{clean(key)} {clean(old)} -> {clean(new)}" for key, old, new in changes]
    else:
        told = [f"{name} {old} -> {new}" for name, old, new in _differences(facts.get("old"), facts.get("new"))]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    source = "" if changes else f" from configuration {clean(facts.get('digest', '?'))[:12]}"
    return f"{', '.join(told[:_SHOWN]) or 'nothing is other than it was'}{more}{source}{_by(facts)}{_because(facts)}"


def locked(facts: dict[str, Any]) -> str:
    """Tell of a protection that denies entries for a while."""
    what = clean(facts.get("symbol") or "every symbol")
    until = f" until {text.moment(facts['until_ts'])}" if _some(facts.get("until_ts")) else ""
    sessions = (
        f" until session {grouped(facts['until_session'])} of the run opens"
        if _some(facts.get("until_session"))
        else ""
    )
    both = " and" if until and sessions else ""
    who, rule = clean(facts.get("portfolio", "?")), clean(facts.get("rule", "?"))
    return f"{who} enters {what} no more{until}{both}{sessions}: {clean(facts.get('reason', ''))} ({rule})"


def restricted(facts: dict[str, Any]) -> str:
    """Tell of a symbol that came onto the restricted list, or left it."""
    on = facts.get("restricted") is True
    listed = "is restricted: what is held may be closed" if on else "may be entered again"
    return f"{clean(facts.get('symbol') or '?')} {listed}{_by(facts)}{_because(facts)}"


def connection(facts: dict[str, Any]) -> str:
    """Tell of a feed that was lost, or is back."""
    if facts.get("lost") is not True:
        return f"the feed {clean(facts.get('feed', '?'))} is back"
    since = text.moment(facts.get("since", "?"))
    return f"the feed {clean(facts.get('feed', '?'))} is lost since {since}{_because(facts)}"


def reviewed(facts: dict[str, Any]) -> str:
    """Tell of a timer that came: what was looked at, and when the next look is."""
    subject = f" of {clean(facts['subject'])}" if facts.get("subject") else ""
    again = f", next at {text.moment(facts['next_ts'])}" if facts.get("next_ts") else ""
    return f"looked at {clean(facts.get('what', '?'))}{subject}{again}"


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the leaves in which two objects differ, by their dotted names."""
    old, new = (side if isinstance(side, dict) else {} for side in (old, new))
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) or isinstance(after, dict):
            yield from _differences(before, after, f"{prefix}{clean(name)}.")
        elif before != after:
            yield f"{prefix}{clean(name)}", text.listed(before), text.listed(after)


def _breaker(facts: dict[str, Any]) -> str:
    of = f" of {clean(facts['portfolio'])}" if facts.get("portfolio") else ""
    about = f" ({clean(facts['subject'])})" if facts.get("subject") else ""
    return f"{clean(facts.get('breaker', '?'))}{of}{about}"


def _by(facts: dict[str, Any]) -> str:
    return f", by {clean(facts['by'])}" if facts.get("by") else ""


def _because(facts: dict[str, Any]) -> str:
    return f" ({clean(facts['reason'])})" if facts.get("reason") else ""


def _some(value: Any) -> bool:
    return value is not None and any(digit in "123456789" for digit in str(value))
