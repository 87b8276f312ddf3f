"""The limits of the gate and the breakers (``semantics.md`` section 4), and what makes a set of them usable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from actors.messages.limits import RiskLimits
from actors.values.fixed import SCALE
from daemon.kernel.errors import ConfigError

__all__ = ["RiskLimits", "check_change"]

FIXED_FOR_A_RUN: Final = (
    "allow_short",
    "lot_size",
    "replay",
    "deny_unknown_adv",
    "correlation_sessions",
    "var_sessions",
)
"""Terms that other rooms were built with: only a restart changes them."""

_FRACTIONS: Final = (
    "min_confidence_buy",
    "min_confidence_sell",
    "daily_loss_warn",
    "daily_loss_block",
    "daily_loss_halt",
    "max_drawdown",
    "max_order_adv",
    "nbbo_tolerance",
    "max_sector",
    "max_correlation",
    "correlation_shrink",
    "max_cluster",
    "risk_per_trade",
    "max_heat",
    "max_var",
    "utilization_warn",
    "fraction",
)

ACTIONS: Final = ("warn", "block", "reduce", "deleverage", "halt", "flatten")
"""What a breaker does, from the mildest to the strictest."""
OPERATOR: Final = "operator"
COOLING: Final = "cooling"
RESETS: Final = (OPERATOR, COOLING)


def check_change(old: RiskLimits, new: RiskLimits) -> RiskLimits:
    """Return new limits as a journal gives them back, once nothing speaks against them taking the place of the old.

    Raises:
        ConfigError: a limit is of the wrong type, not finite, negative or beyond its range, or cannot change in a run.
    """
    try:
        taken = msgspec.msgpack.decode(msgspec.msgpack.encode(new), type=RiskLimits)
    except (msgspec.MsgspecError, TypeError, OverflowError) as error:
        raise _refusal(f"the new limits cannot be read: {error}") from None
    for name, value in _numbers(msgspec.to_builtins(taken)):
        if not math.isfinite(value) or value < 0:
            raise _refusal(f"risk.{name} would be {value}; a limit is a number from 0")
        if value > 1 and name.rpartition(".")[2] in _FRACTIONS:
            raise _refusal(f"risk.{name} would be {value}, which is more than 1")
    for name, rule in taken.breakers.items():
        if rule.action not in ACTIONS or rule.reset not in RESETS:
            raise _refusal(f"risk.breakers.{name} has the action {rule.action!r} and the reset {rule.reset!r}")
    if taken.cash_reserve and taken.cash_reserve < SCALE:
        raise _refusal("risk.cash_reserve would be below 1, which reserves less than an order costs")
    for name in FIXED_FOR_A_RUN:
        if getattr(taken, name) != getattr(old, name):
            raise _refusal(f"{name} cannot change while the daemon runs", "restart it with the new configuration")
    return taken


def _numbers(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a tree with its dotted name."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


_REMEDY: Final = "the limits in force stay; correct the configuration and reload"


def _refusal(message: str, remedy: str = _REMEDY) -> ConfigError:
    return ConfigError(message, code="BAD_LIMITS", remedy=remedy)
