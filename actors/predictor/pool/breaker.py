"""The breaker in front of the inference host: whoever failed again and again is not asked until it gives signs of life.

A table and a count; time does not come into it. While it is open nobody waits for the host, and looking for signs of
life is the link's business, so that no request pays for it.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import Final

from daemon.kernel.state_machine import StateMachine

FAILURES_MAX: Final = 3
"""Failures in a row that open it; a lost connection opens it at once."""


class BreakerState(StrEnum):
    """What may be asked of the host."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerTrigger(StrEnum):
    """What happens to it."""

    TRIP = "trip"
    """Too many failures, or nobody is there."""
    LIFE = "life"
    """The host answered a question after its health."""
    SUCCESS = "success"
    """A request was answered."""
    FAILURE = "failure"
    """The request that was let through on trial was not."""


BREAKER: Final[StateMachine[BreakerState, BreakerTrigger]] = StateMachine(
    "inference breaker",
    {
        (BreakerState.CLOSED, BreakerTrigger.TRIP): BreakerState.OPEN,
        (BreakerState.OPEN, BreakerTrigger.LIFE): BreakerState.HALF_OPEN,
        (BreakerState.HALF_OPEN, BreakerTrigger.SUCCESS): BreakerState.CLOSED,
        (BreakerState.HALF_OPEN, BreakerTrigger.FAILURE): BreakerState.OPEN,
        (BreakerState.HALF_OPEN, BreakerTrigger.TRIP): BreakerState.OPEN,
    },
)


class Breaker:
    """One breaker; any thread may use it.

    Attributes:
        state: now.
        reason: why it opened last.
        opened: how often it has.
    """

    def __init__(self, failures_max: int = FAILURES_MAX) -> None:
        """Open: nobody has been heard of yet."""
        self.state = BreakerState.OPEN
        self.reason = "the inference host has not been reached yet"
        self.opened = 0
        self._failures_max = failures_max
        self._failures = 0
        self._trying = False
        self._lock = threading.Lock()

    def _move(self, trigger: BreakerTrigger, reason: str = "") -> None:
        before, self.state = self.state, BREAKER.next(self.state, trigger)
        self._trying = False
        if self.state is BreakerState.OPEN and before is not BreakerState.OPEN:
            self.opened += 1
            self.reason = reason
        if self.state is BreakerState.CLOSED:
            self._failures = 0

    def admit(self) -> bool:
        """Tell whether the host may be asked; half-open, one request at a time is let through on trial."""
        with self._lock:
            if self.state is BreakerState.HALF_OPEN and not self._trying:
                self._trying = True
                return True
            return self.state is BreakerState.CLOSED

    def life(self) -> None:
        """Take note that the host is there and answers."""
        with self._lock:
            if self.state is BreakerState.OPEN:
                self._move(BreakerTrigger.LIFE)

    def success(self) -> None:
        """Take note of an answer."""
        with self._lock:
            self._failures = 0
            if self.state is BreakerState.HALF_OPEN:
                self._move(BreakerTrigger.SUCCESS)

    def failure(self, reason: str) -> None:
        """Take note that a request was not answered in time."""
        with self._lock:
            self._failures += 1
            if self.state is BreakerState.HALF_OPEN:
                self._move(BreakerTrigger.FAILURE, reason)
            elif self.state is BreakerState.CLOSED and self._failures >= self._failures_max:
                self._move(BreakerTrigger.TRIP, reason)

    def unasked(self) -> None:
        """Take note that a request that was let through could not be asked: it says nothing of the host."""
        with self._lock:
            self._trying = False

    def lost(self, reason: str) -> None:
        """Take note that nobody is there any more."""
        with self._lock:
            if self.state is BreakerState.OPEN:
                self.reason = reason
            else:
                self._move(BreakerTrigger.TRIP, reason)
