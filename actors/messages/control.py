"""What operators say. The safe direction takes one step; loosening needs a reason and a person."""

from __future__ import annotations

from actors.messages.limits import RiskLimits
from daemon.kernel.message import Command


class Halt(Command, tag=70, frozen=True):
    """No new risk: cancel working orders that add risk; exits stay."""

    reason: str
    by: str


class Reduce(Command, tag=71, frozen=True):
    """Only orders that reduce risk pass."""

    reason: str
    by: str


class Flatten(Command, tag=72, frozen=True):
    """Halt, cancel, close every position."""

    reason: str
    by: str


class Kill(Command, tag=73, frozen=True):
    """Cancel everything, close nothing, latch."""

    reason: str
    by: str


class Resume(Command, tag=74, frozen=True):
    """Halted or reducing -> active, unless a breaker is latched."""

    reason: str
    by: str


class Unlatch(Command, tag=75, frozen=True):
    """Killed -> halted; re-arms latched breakers."""

    reason: str
    by: str


class Reload(Command, tag=76, frozen=True):
    """Take over a validated configuration that ``digest`` names; ``limits`` are its risk limits, None: they stay."""

    digest: str
    by: str
    limits: RiskLimits | None = None


class Shutdown(Command, tag=77, frozen=True):
    """Stop the process; positions stay open."""

    reason: str
    by: str


class LatchObserved(Command, tag=78, frozen=True):
    """The kill latch was seen set when an input was stamped; ``by`` says who set it."""

    reason: str
    by: str = ""


class DisableStrategy(Command, tag=79, frozen=True):
    """Switch a strategy off."""

    strategy: str
    reason: str
    by: str


class EnableStrategy(Command, tag=80, frozen=True):
    """Switch a strategy on."""

    strategy: str
    reason: str
    by: str


class ResetBreaker(Command, tag=81, frozen=True):
    """Arm a tripped breaker again; portfolio "" for one of all portfolios, subject "" for every subject it has."""

    portfolio: str
    breaker: str
    reason: str
    by: str
    subject: str = ""


class SetLimits(Command, tag=82, frozen=True):
    """Put limits in the place of those in force, from the control surface; they last until the configuration changes.

    ``changes`` names (key, old, new) as texts, and ``config`` the configuration with them, both for the record.
    """

    limits: RiskLimits
    changes: tuple[tuple[str, str, str], ...]
    reason: str
    by: str
    config: str = ""


class RestrictSymbol(Command, tag=83, frozen=True):
    """Put a symbol on the restricted list (``restricted``), or take it from there."""

    symbol: int
    restricted: bool
    reason: str
    by: str


class ReviewRisk(Command, tag=84, frozen=True):
    """Time to look again at what silence alone can change (a timer of risk): ``what`` is a breaker's name."""

    what: str
    subject: str = ""


class ClockStepped(Command, tag=85, frozen=True):
    """The wall clock jumped by so much against the monotonic one (an input of the live shell)."""

    step_ns: int
