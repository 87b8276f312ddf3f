"""Why a supervisor gives up, and how an error is told in one line."""

from __future__ import annotations

from typing import Final

from daemon.kernel.errors import InvariantError
from daemon.supervision.events import ActorStuck

LINE_MAX: Final = 300


class ChildReturnedError(InvariantError):
    """A permanent child returned; it should have run until it was stopped."""


class HeartbeatMissedError(InvariantError):
    """A child gave no sign of life in time although the loop was alive."""


class StartTimeoutError(InvariantError):
    """A child did not get through its start in time."""


class StuckError(InvariantError):
    """Children did not end when told to and were left behind.

    Attributes:
        stuck: who, and where they hang.
    """

    def __init__(self, message: str, stuck: tuple[ActorStuck, ...]) -> None:
        """Name who is stuck."""
        super().__init__(message, code="STUCK", remedy="end the process; where each hangs stands in the log")
        self.stuck = stuck


class EscalatedError(InvariantError):
    """A supervisor could not keep its children running; ``__cause__`` is the last failure.

    Attributes:
        supervisor: who gives up.
        child: whose failure was the last.
        fatal: no supervisor above may start it again.
        stuck: children left behind on the way.
    """

    def __init__(self, supervisor: str, child: str, reason: str, *, fatal: bool = False) -> None:
        """Say who gives up, because of whom, and why."""
        super().__init__(f"{supervisor} gives up because of {child}: {reason}", code="ESCALATED")
        self.supervisor = supervisor
        self.child = child
        self.fatal = fatal
        self.stuck: tuple[ActorStuck, ...] = ()

    @property
    def origin(self) -> BaseException:
        """The failure it began with, below all the supervisors that handed it on."""
        error: BaseException = self
        while isinstance(error, EscalatedError) and error.__cause__ is not None:
            error = error.__cause__
        return error


def one_line(error: BaseException) -> str:
    """Return an error's type and text in one line; of a group its first leaf, and how many more there are."""
    leaves = list(_leaves(error))
    first = leaves[0]
    text = " ".join(str(first).split())
    line = f"{type(first).__name__}: {text}" if text else type(first).__name__
    more = f" (and {len(leaves) - 1} more)" if len(leaves) > 1 else ""
    return line[: LINE_MAX - len(more)] + more


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in _leaves(part)]


def is_fatal(error: BaseException, fatal: tuple[type[BaseException], ...]) -> bool:
    """Tell whether an error, or one in its group, is of a fatal type or was declared fatal further down."""
    return any(
        isinstance(leaf, fatal)
        or (isinstance(leaf, EscalatedError) and leaf.fatal)
        or (isinstance(leaf, StuckError) and must_not_run_twice(leaf.stuck))
        for leaf in _leaves(error)
    )


def must_not_run_twice(stuck: tuple[ActorStuck, ...]) -> bool:
    """Tell whether one of those left behind holds what a successor would need."""
    return any(not event.replaceable for event in stuck)
