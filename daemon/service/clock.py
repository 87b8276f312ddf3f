"""Noticing that time itself did something: the wall clock was set, the machine slept, the process was stopped.

Durations are measured on the monotonic clock and stamps never go back (:class:`daemon.kernel.clock.SystemClock`), so a
step breaks nothing; but what the wall says after it is not what it said before, and people and feeds must be told.
"""

from __future__ import annotations

import time
from typing import Final, Literal, NamedTuple

SECOND_NS: Final = 1_000_000_000
MOMENT_NS: Final = 1_000_000
TRIES: Final = 10


class Reading(NamedTuple):
    """The three clocks at one moment, nanoseconds.

    Attributes:
        wall: UTC; steps and slews.
        monotonic: never goes back; stands still while the machine sleeps.
        boot: as ``monotonic``, but counts sleep.
    """

    wall: int
    monotonic: int
    boot: int


class Jump(NamedTuple):
    """What happened between two readings.

    Attributes:
        kind: ``step`` (the wall clock was set), ``suspend`` (the machine slept), ``pause`` (nothing of ours ran:
            the process was stopped, starved by its neighbours, or one call kept the interpreter to itself).
        amount_ns: how far; of a step negative where the clock was set back.
    """

    kind: Literal["step", "suspend", "pause"]
    amount_ns: int

    @property
    def text(self) -> str:
        """The jump for people."""
        seconds = self.amount_ns / SECOND_NS
        match self.kind:
            case "step":
                return f"the wall clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):,.3f} s"
            case "suspend":
                return f"the machine slept for {seconds:,.1f} s"
            case _:
                return f"nothing of the process ran for {seconds:,.1f} s"


def read_clocks() -> Reading:
    """Return the system's clocks as of one moment: a process stopped between two of them would seem to see a step."""
    for _ in range(TRIES):
        before = time.monotonic_ns()
        reading = Reading(time.time_ns(), before, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        if time.monotonic_ns() - before < MOMENT_NS:
            break
    return reading


class ClockWatch:
    """Compares each reading with the one before. Pure: the caller reads the clocks.

    Args:
        step_ns: a difference between wall and monotonic progress beyond this is a step. Corrections in small bits
            (NTP slews at most 0.5 ms a second, chrony 83 ms) stay below it between readings a second apart.
        period_ns: how far apart readings are meant to be.
        pause_ns: a reading later than that by this much is a pause.

    Attributes:
        drift_ns: sum of everything the wall clock was corrected by since the start, steps included.
    """

    def __init__(self, step_ns: int, period_ns: int = SECOND_NS, pause_ns: int = 5 * SECOND_NS) -> None:
        """Begin without a reading."""
        self.drift_ns = 0
        self._step_ns = step_ns
        self._late_ns = period_ns + pause_ns
        self._pause_ns = pause_ns
        self._last: Reading | None = None

    @property
    def begun(self) -> bool:
        """Whether there was a reading."""
        return self._last is not None

    def look(self, now: Reading) -> tuple[Jump, ...]:
        """Take a reading; return what happened since the last one, nothing at the first."""
        last, self._last = self._last, now
        if last is None:
            return ()
        ran, passed = now.monotonic - last.monotonic, now.boot - last.boot
        corrected, slept = (now.wall - last.wall) - passed, passed - ran
        self.drift_ns += corrected
        jumps = []
        if abs(corrected) > self._step_ns:
            jumps.append(Jump("step", corrected))
        if slept > self._pause_ns:
            jumps.append(Jump("suspend", slept))
        if ran > self._late_ns:
            jumps.append(Jump("pause", ran))
        return tuple(jumps)
