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

    Attributes:
        portfolio: "" for a breaker of all portfolios.
        value, limit: in the breaker's own unit; of losses, fractions of ``baseline``.
        equity, baseline: of losses: as marked, and the persisted session-close equity or high-water mark; else 0.
        action: ``warn``, ``block``, ``reduce``, ``deleverage``, ``halt`` or ``flatten``.
        latched: only an operator arms it again.
        cause: in words, what was measured; "" where value and limit say it.
        subject: the strategy, symbol or feed it is about, as text; "" for none.
    """

    portfolio: str
    breaker: str
    value: float
    limit: float
    equity: int
    baseline: int
    action: str
    latched: bool
    cause: str = ""
    subject: str = ""


class BreakerReset(Event, tag=62, frozen=True):
    """A breaker is armed again; ``subject`` as in :class:`BreakerTripped`."""

    portfolio: str
    breaker: str
    reason: str
    by: str
    subject: str = ""


class TradingStateChanged(Event, tag=63, frozen=True):
    """The trading state changed. Latched: only a human leaves it."""

    old: TradingState
    new: TradingState
    reason: str
    by: str
    latched: bool


class LimitsChanged(Event, tag=64, frozen=True):
    """The limits of gate and breakers are others from here on.

    Attributes:
        digest: names the configuration they come from; "" where somebody set them by hand.
        changes: what was set by hand, (key, old, new) as the configuration writes them.
        config: digest of the configuration with that; "" where ``digest`` says it, and in older ledgers.
    """

    old: RiskLimits
    new: RiskLimits
    by: str
    digest: str
    reason: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    config: str = ""


class EntriesLocked(Event, tag=127, frozen=True):
    """A protection denies entries for a while: after a losing exit, or after too many stops.

    Attributes:
        symbol: -1 for every symbol of the portfolio.
        rule: ``cooldown`` or ``stop_guard``.
        until_ts: when it ends, nanoseconds UTC; 0 where sessions alone decide.
        until_session: number of the session (:class:`SessionOpened`) with whose opening it ends; 0 where time does.
    """

    portfolio: str
    symbol: int
    rule: str
    reason: str
    until_ts: int = 0
    until_session: int = 0


class RestrictionChanged(Event, tag=128, frozen=True):
    """A symbol was put on the restricted list, or taken from it."""

    symbol: int
    restricted: bool
    reason: str
    by: str


class ConnectionChanged(Event, tag=129, frozen=True):
    """What the gate believes of a feed: lost since ``since`` (nanoseconds UTC), or back."""

    feed: str
    lost: bool
    since: int
    reason: str = ""


class RiskReviewed(Event, tag=130, frozen=True):
    """A timer of the gate's watchers has come, and what it waited for was looked at.

    Attributes:
        what: the breaker's name.
        subject: the feed, empty for the whole market.
        due_ts: when it was to come, nanoseconds UTC.
        next_ts: when the one that was set in its place comes, None where none was.
    """

    what: str
    subject: str
    due_ts: int
    next_ts: int | None


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
