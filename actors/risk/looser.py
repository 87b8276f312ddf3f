"""Which of two sets of limits lets more pass, key by key: what loosens is said twice, what tightens once.

A change whose direction is not known (a longer window may count more, or forget more) is told as one that loosens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits
from actors.risk.params import ACTIONS, OPERATOR

Number = int | float
Looser = Callable[[Any, Any], bool]


def _rises(old: Number, new: Number) -> bool:
    """A cap, 0 for none: what is larger, or off, lets more pass."""
    return new == 0 or 0 < old < new


def _bursts(old: Number, new: Number) -> bool:
    """How many may come at once, where 0 is one by one: what is larger lets more pass."""
    return max(new, 1) > max(old, 1)


def _falls(old: Number, new: Number) -> bool:
    """A least, or a wait: what is smaller lets more pass, and 0 everything."""
    return new < old


def _grows(old: Number, new: Number) -> bool:
    """A part by which a cap may grow: what is larger lets more pass, and 0 nothing."""
    return new > old


def _ends(old: bool, new: bool) -> bool:
    """A rule that is off lets more pass."""
    return old and not new


def _leaves(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """A list of what is forbidden: whoever leaves it may pass."""
    return not set(old) <= set(new)


def _always(old: Any, new: Any) -> bool:
    """Nobody can say."""
    return bool(old != new)


def _milder(old: str, new: str) -> bool:
    return ACTIONS.index(new) < ACTIONS.index(old)


_CAPS: Final = (
    "max_order_value",
    "max_order_qty",
    "max_position",
    "max_positions",
    "price_collar",
    "stale_ns",
    "stale_sessions",
    "daily_loss_warn",
    "daily_loss_block",
    "daily_loss_halt",
    "max_drawdown",
    "max_order_adv",
    "unusual_size",
    "nbbo_tolerance",
    "order_rate",
    "symbol_order_rate",
    "message_rate",
    "max_executions",
    "max_gross_value",
    "max_leverage",
    "max_net",
    "book_max_gross_value",
    "book_max_leverage",
    "book_max_position",
    "max_sector",
    "max_correlation",
    "correlation_shrink",
    "max_cluster",
    "risk_per_trade",
    "max_heat",
    "max_var",
    "utilization_warn",
    "stop_guard",
)
_LEAST: Final = (
    "min_order_value",
    "min_confidence_buy",
    "min_confidence_sell",
    "cash_reserve",
    "duplicate_window_ns",
    "collar_period_ns",
    "executions_window_ns",
    "no_entry_before_close_ns",
    "cooldown_sessions",
    "cooldown_ns",
    "stop_guard_sessions",
    "stop_guard_lock_sessions",
)
_DIRECTIONS: Final[dict[str, Looser]] = {
    **dict.fromkeys(_CAPS, _rises),
    **dict.fromkeys(_LEAST, _falls),
    **dict.fromkeys(("order_burst", "symbol_order_burst", "message_burst"), _bursts),
    "max_order_fraction": _grows,
    "unusual_size_orders": _grows,  # the sooner something is known to be normal, the sooner something is not
    "require_reference": _ends,
    "self_match_prevention": _ends,
    "pattern_day_trader": _ends,
    "restricted": _leaves,
}
_OF_RULES: Final[dict[str, Looser]] = {
    "limit": _rises,
    "action": _milder,
    "reset": lambda old, new: bool(old == OPERATOR != new),
    "cooling_ns": _falls,
    "cooling_sessions": _falls,
    "fraction": _falls,
    "min_count": _grows,
}
_HIT_RATE: Final = "prediction_drift"
"""The one breaker that trips below its limit."""
_NONE: Final[dict[str, Any]] = {
    "symbols": SymbolLimits(),
    "portfolios": PortfolioLimits(),
    "breakers": BreakerRule(),
    "sectors": 0.0,
}


def loosened(old: RiskLimits, new: RiskLimits) -> list[str]:
    """Return the names of the limits that let more pass in ``new``, such as ``symbols.AAPL.max_position``."""
    found: list[str] = []
    for name in RiskLimits.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if name in _NONE:
            none = _NONE[name]
            for key in dict.fromkeys([*before, *after]):
                found += _loosened(f"{name}.{key}", before.get(key, none), after.get(key, none))
        elif _DIRECTIONS.get(name, _always)(before, after):
            found.append(name)
    if not new.max_order_value and old.max_order_fraction and not new.max_order_fraction:
        found.append("max_order_fraction")  # with nothing to grow from, the fraction is the cap
    if new.max_order_value and old.max_order_fraction and not old.max_order_value:
        found.append("max_order_value")  # the cap was the fraction alone, and grows from more now
    return found


def _loosened(name: str, old: Any, new: Any) -> list[str]:
    """Compare one entry of a table: a share of a sector, or the limits of a name."""
    if old == new:
        return []
    if not isinstance(old, msgspec.Struct):
        return [name] if _rises(old, new) else []
    found = []
    for field in old.__struct_fields__:
        before, after = getattr(old, field), getattr(new, field)
        directions = _OF_RULES if isinstance(old, BreakerRule) else _DIRECTIONS
        looser = directions.get(field, _always)
        if field == "limit" and name.endswith(_HIT_RATE):
            looser = _falls
        if before != after and looser(before, after):
            found.append(f"{name}.{field}")
    return found
