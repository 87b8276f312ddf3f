"""How loud each condition is: INFO goes to the digest, WARNING waits for working hours, CRITICAL wakes someone."""

from __future__ import annotations

from typing import Final

from actors.messages.alerts import Severity
from actors.messages.risk import TradingState, TradingStateChanged

SEVERITY: Final[dict[str, Severity]] = {
    "warn": Severity.WARNING,
    "block_entries": Severity.WARNING,
    "breaker": Severity.CRITICAL,
    "breaker_warns": Severity.WARNING,
    "breaker_reset": Severity.INFO,
    "utilization": Severity.INFO,
    "cooldown": Severity.INFO,
    "stop_guard": Severity.WARNING,
    "restriction": Severity.INFO,
    "connection_lost": Severity.WARNING,
    "connection_back": Severity.INFO,
    "margin_call": Severity.CRITICAL,
    "stop_loss": Severity.WARNING,
    "large_move": Severity.WARNING,
    "milestone": Severity.INFO,
    "strategy_disabled": Severity.WARNING,
    "quarantine": Severity.CRITICAL,
}
"""By rule. A quarantined input is our own fault and leaves a room degraded, so it wakes someone."""

_STATES: Final[dict[TradingState, Severity]] = {
    TradingState.ACTIVE: Severity.INFO,
    TradingState.REDUCING: Severity.WARNING,
    TradingState.HALTED: Severity.WARNING,
    TradingState.KILLED: Severity.CRITICAL,
}


def of_state(event: TradingStateChanged) -> Severity:
    """Return how loud a change of the trading state is; a latched one needs a person and is loudest."""
    return Severity.CRITICAL if event.latched else _STATES[event.new]
