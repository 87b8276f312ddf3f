"""Limits, breakers and the trading state."""

from __future__ import annotations

from enum import StrEnum

from actors.messages.limits import RiskLimits
from daemon.kernel.message import Event


class TradingState(StrEnum):
    """What the gate lets pass.

    ACTIVE: all. REDUCING: what reduces risk. HALTED: cancels and verified exits. KILLED: cancels.
    """

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"
    KILLED = "killed"


class LimitBreached(Event, tag=60, frozen=True):
    """A measure crossed a warning or blocking limit; ``action`` is ``warn`` or ``block_entries``."""

    portfolio: str
    limit: str
    value: float
    bound: float
    action: str


class BreakerTripped(Event, tag=61, frozen=True):
    """A breaker tripped; the values used are in the event.

    ``value`` and ``limit`` are fractions of ``baseline`` (the persisted session-close equity or high-water mark).
    """

    portfolio: str
    breaker: str
    value: float
    limit: float
    equity: int
    baseline: int
    action: str
    latched: bool


class BreakerReset(Event, tag=62, frozen=True):
    """A breaker is armed again."""

    portfolio: str
    breaker: str
    reason: str
    by: str


class TradingStateChanged(Event, tag=63, frozen=True):
    """The trading state changed. Latched: only a human leaves it."""

    old: TradingState
    new: TradingState
    reason: str
    by: str
    latched: bool


class LimitsChanged(Event, tag=64, frozen=True):
    """The limits of gate and breakers are others from here on; ``digest`` names the configuration they come from."""

    old: RiskLimits
    new: RiskLimits
    by: str
    digest: str


class MarginCalled(Event, tag=67, frozen=True):
    """A margin account's equity fell below what its positions need to be kept.

    Attributes:
        equity: as marked, units of 1e-8.
        requirement: maintenance requirement at the last prices (:mod:`actors.values.margin`).
        excess: equity - requirement, negative.
        action: ``liquidate``: reduce-only market orders that restore the requirement follow; ``warn``: none do.
    """

    portfolio: str
    equity: int
    requirement: int
    excess: int
    action: str
