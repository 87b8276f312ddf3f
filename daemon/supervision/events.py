"""What a supervisor has to tell: plain values for whoever logs, alerts or counts. None of it is journaled as such."""

from __future__ import annotations

import msgspec


class SupervisionEvent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something happened to a child.

    Attributes:
        ts: when, nanoseconds UTC.
        supervisor: the parent's name.
        actor: the child's name.
    """

    ts: int
    supervisor: str
    actor: str


class ActorStarted(SupervisionEvent, frozen=True, kw_only=True):
    """A child said that it is ready, for the first time."""


class ActorRestarted(SupervisionEvent, frozen=True, kw_only=True):
    """A child is ready again.

    Attributes:
        restarts: how often it was started again since the process began, attempts that failed included.
    """

    restarts: int


class ActorDegraded(SupervisionEvent, frozen=True, kw_only=True):
    """A child works, but not as it should; ``reason`` in its own words."""

    reason: str


class ActorRecovered(SupervisionEvent, frozen=True, kw_only=True):
    """A degraded child works as it should again."""


class ActorFailed(SupervisionEvent, frozen=True, kw_only=True):
    """A child failed.

    Attributes:
        reason: the error in one line.
        error: the error itself with its traceback, for the log.
        failures: failures in the supervisor's window, this one included; 0 where it does not count against it.
        max_restarts, within_s: what the supervisor allows.
        backoff_s: seconds until the child is started again; None where it will not be.
        stack: where the child hung, outermost first, where that is what was wrong; else ().
    """

    reason: str
    error: BaseException
    failures: int = 0
    max_restarts: int = 0
    within_s: float = 0.0
    backoff_s: float | None = None
    stack: tuple[str, ...] = ()


class ActorStopped(SupervisionEvent, frozen=True, kw_only=True):
    """A child ended in peace: it was told to, or its work was done."""


class ActorStuck(SupervisionEvent, frozen=True, kw_only=True):
    """A child did not end when told to and was left behind.

    Attributes:
        budget_s: how long it was given.
        stack: where it hangs, outermost first.
        replaceable: it was declared to hold nothing that a successor needs.
    """

    budget_s: float
    stack: tuple[str, ...]
    replaceable: bool = False


class Escalated(SupervisionEvent, frozen=True, kw_only=True):
    """A supervisor gives up because of ``actor`` and hands the matter to its own parent."""

    reason: str
