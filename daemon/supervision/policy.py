"""The rules of restarting, as plain values over plain seconds: nothing here waits or reads a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from daemon.kernel.errors import InvariantError
from daemon.kernel.ids import rng


class Restart(StrEnum):
    """When a child that ended is started again (OTP's terms)."""

    PERMANENT = "permanent"
    """Always. Returning is a failure too."""
    TRANSIENT = "transient"
    """After a failure; returning means that the work is done."""
    TEMPORARY = "temporary"
    """Never."""


class Strategy(StrEnum):
    """Who is started again when one child failed (OTP's terms)."""

    ONE_FOR_ONE = "one_for_one"
    """That child."""
    ONE_FOR_ALL = "one_for_all"
    """All children: they share state that one failure spoils."""
    REST_FOR_ONE = "rest_for_one"
    """That child and those behind it, which depend on it."""


class RestartIntensity(msgspec.Struct, frozen=True):
    """At most ``max_restarts`` failures within ``within_s`` seconds; one more and the supervisor itself has failed."""

    max_restarts: int
    within_s: float

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InvariantError: a negative number or an empty window.
        """
        if self.max_restarts < 0 or not self.within_s > 0:
            raise InvariantError(f"a restart intensity of {self} makes no sense", code="BAD_DECLARATION")


class RestartWindow:
    """Counts failures against an intensity."""

    def __init__(self, intensity: RestartIntensity) -> None:
        """Start with no failure."""
        self.intensity = intensity
        self._at: deque[float] = deque()

    def add(self, now: float) -> int:
        """Count a failure at ``now`` seconds, ascending; return how many lie in the window, this one included."""
        at = self._at
        at.append(now)
        while now - at[0] > self.intensity.within_s:
            at.popleft()
        return len(at)

    def exceeded(self) -> bool:
        """Tell whether the last failure was one too many."""
        return len(self._at) > self.intensity.max_restarts


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before the n-th start in a row: ``first_s`` doubled each time, at most ``cap_s``.

    The wait is shortened by up to ``jitter`` of itself, by a fraction that follows from the names and n alone, so that
    siblings do not come back in step and a run can be repeated.
    """

    first_s: float = 0.1
    cap_s: float = 10.0
    jitter: float = 0.25

    def delay(self, supervisor: str, child: str, n: int) -> float:
        """Return the seconds to wait after ``n`` earlier failures in a row, n from 0."""
        steps: Final = min(n, 64)  # beyond, the power is far above any cap
        base = min(self.cap_s, self.first_s * 2.0**steps)
        return base * (1.0 - self.jitter * rng(0, "backoff", supervisor, child, n).random())


LATE_S: Final = 0.1
"""Who is woken so much later than it asked for was kept waiting by a loop that did not turn."""
EXCUSES_MAX: Final = 3
"""How often in a row silence is put down to a loop that stood still: where it always does, somebody may hang, too."""


class Heartbeat:
    """A child's sign of life. ``beat`` may be called from any thread."""

    __slots__ = ("_excused", "_last", "_now", "every_s")

    def __init__(self, every_s: float, now: Callable[[], float]) -> None:
        """Begin with a beat.

        Args:
            every_s: the longest silence, seconds.
            now: the loop's clock, seconds.
        """
        self.every_s = every_s
        self._now = now
        self._last = now()
        self._excused = 0

    def beat(self) -> None:
        """Say that the child got somewhere."""
        self._last = self._now()
        self._excused = 0

    def excuse(self) -> None:
        """Begin anew for a child that could not beat; not without end, unless it beats in between."""
        if self._excused < EXCUSES_MAX:
            self._excused += 1
            self._last = self._now()

    @property
    def due(self) -> float:
        """When the next beat must have come, by the loop's clock."""
        return self._last + self.every_s
