"""The guard of the main loop: a thread that notices when the loop does not turn, and says where it hangs.

The loop beats a few times within the limit. A beat that is missing for longer than the limit is one stall, however long
it lasts: one line with the loop's stack when it is noticed, one with its duration when it is over.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

import anyio
import structlog

from daemon.service.clock import SECOND_NS, ClockWatch, Jump, Reading, read_clocks
from daemon.service.watchdog import Log

BEATS_PER_LIMIT: Final = 4
STACK_FRAMES_MAX: Final = 24
CLOCK_PERIOD_S: Final = 1.0


class StallGauges(NamedTuple):
    """Counts since the start: stalls, the longest and the last one in seconds, and whether one is going on."""

    stalls: int
    longest_s: float
    last_s: float
    stalled: bool


class StallDetector:
    """When a loop that should beat every ``period_s`` has stalled. Pure: times are given.

    ``beat`` belongs to the loop's thread, ``look`` to the guard's; each writes what the other only reads.
    """

    def __init__(self, limit_s: float, now: float) -> None:
        """Begin with a beat.

        Args:
            limit_s: what the loop may stand still for.
            now: seconds of a monotonic clock.
        """
        self.period_s = limit_s / BEATS_PER_LIMIT
        self.stalls = 0
        self.longest_s = 0.0
        self.last_s = 0.0
        # A beat may have been due a whole period after the last one before the loop began to hang.
        self._patience_s = limit_s + self.period_s
        self._beats = 0
        self._beat_at = now
        self._reported = -1

    def begin(self, now: float) -> None:
        """Look from now on: what was before was nobody's to watch."""
        self._beat_at = now

    def beat(self, now: float) -> float | None:
        """Take a beat; return how long the stall lasted that it ends, or None."""
        gap = now - self._beat_at
        self._beats += 1
        self._beat_at = now
        if gap <= self._patience_s:
            return None
        self.stalls += 1
        self.last_s = gap
        self.longest_s = max(self.longest_s, gap)
        return gap

    def look(self, now: float) -> float | None:
        """Return for how long the loop has not turned, once for each stall; else None."""
        beats = self._beats
        age = now - self._beat_at
        if age <= self._patience_s or beats == self._reported:
            return None
        self._reported = beats
        return age

    def stalled(self, now: float) -> bool:
        """Whether the loop stands still now."""
        return now - self._beat_at > self._patience_s


def stack_of(thread_id: int) -> str:
    """Return where a thread is, outermost call first; "" where there is no such thread."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the documented way to see another thread's stack
    if frame is None:
        return ""
    frames = traceback.extract_stack(frame)[-STACK_FRAMES_MAX:]
    return " > ".join(f"{f.filename}:{f.lineno} {f.name}" for f in frames)


class StallGuard:
    """The thread. Started and stopped by the main thread; ``pulse`` runs on its loop.

    Args:
        limit_s: what the loop may stand still for.
        on_jump: told when a clock stepped or the process was stopped; called on the guard's thread, which still runs
            while the loop hangs, so that a hang is never mistaken for a stopped process.
        clock_step_ns: the smallest step of the wall clock that is told.
    """

    def __init__(
        self,
        limit_s: float,
        *,
        on_jump: Callable[[Jump], None] | None = None,
        clock_step_ns: int = SECOND_NS,
        log: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
        clocks: Callable[[], Reading] = read_clocks,
    ) -> None:
        """Watch the thread that builds this object."""
        self._clock = clock
        self._clocks = clocks
        self._detector = StallDetector(limit_s, clock())
        self.clock_watch = ClockWatch(clock_step_ns, period_ns=int(CLOCK_PERIOD_S * SECOND_NS))
        self._on_jump = on_jump
        self._log: Log = log if log is not None else structlog.get_logger("loop")
        self._watched = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-guard", daemon=True)

    def start(self) -> None:
        """Begin to watch; what the clocks say now is what they are compared with first."""
        self._detector.begin(self._clock())
        if not self.clock_watch.begun:
            self._look_at_clocks()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> None:
        """Tell that the loop turns."""
        lasted = self._detector.beat(self._clock())
        if lasted is not None:
            self._log.warning("main loop turns again", stalled_s=round(lasted, 3), stalls=self._detector.stalls)

    async def pulse(self) -> None:
        """Beat for ever; runs on the watched loop."""
        while True:
            self.beat()
            await anyio.sleep(self._detector.period_s)

    def gauges(self) -> StallGauges:
        """Return the counts."""
        found = self._detector
        return StallGauges(found.stalls, found.longest_s, found.last_s, found.stalled(self._clock()))

    def _watch(self) -> None:
        looked = clocks_at = self._clock()
        while not self._stop.wait(self._detector.period_s):
            now = self._clock()
            # A guard that was itself not run for so long knows nothing of the loop: the process was stopped.
            ran = now - looked <= 2 * BEATS_PER_LIMIT * self._detector.period_s
            looked = now
            if ran and (age := self._detector.look(now)) is not None:
                self._log.warning("main loop does not turn", stalled_s=round(age, 3), stack=stack_of(self._watched))
            if now - clocks_at >= CLOCK_PERIOD_S:
                clocks_at = now
                self._look_at_clocks()

    def _look_at_clocks(self) -> None:
        for jump in self.clock_watch.look(self._clocks()):
            self._log.warning(jump.text, kind=jump.kind, amount_ms=jump.amount_ns // 1_000_000)
            if self._on_jump is not None:
                self._on_jump(jump)
