"""Where the core loop's market inputs come from: gated (playback, equal to a replay) or free-running (as live).

Gated. The recording, models' answers and timers are merged by (ts, rank), as the replay engine merges them: nothing is
taken before it is certain that nothing earlier can come. An answer that is still being computed holds the gate
at the instant it will be stamped with. Commands are stamped with the recording's clock and never hold it. As in a
replay, time ends with the last market input: no timer rings and no answer comes in behind it (a longer recording of
the same day goes on from there).

Free-running. Inputs are stamped when they arrive, by a clock that runs on while the process is down.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from actors.messages.inference import PredictionReady, PredictionUnavailable
from daemon.kernel.clock import Clock, TimerHeap, VirtualClock
from daemon.kernel.message import Market
from daemon.system.core_ports import Input
from daemon.system.live_core import LiveCore
from daemon.system.script import Rank

QUEUE_MAX: Final = 2_000
"""Market inputs read ahead of the core."""
PAUSE_NS: Final = 5_000_000_000
"""A process that did not run for so long was suspended; the recording did not go on meanwhile."""
_SECOND: Final = 1_000_000_000

Answer = PredictionReady | PredictionUnavailable


class Pace:
    """Maps the machine's monotonic clock to the recording's time."""

    def __init__(self, speed: float | None, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        """Run at ``speed`` times the recording's own pace; None for as fast as possible."""
        self.speed = speed
        self._monotonic = monotonic
        self._origin: tuple[int, int] | None = None
        self._looked = 0

    def begin(self, ts: int) -> None:
        """Let the recording stand at ``ts`` now."""
        self._origin = (self._monotonic(), ts)
        self._looked = self._origin[0]

    def now(self) -> int | None:
        """Return the recording's time, or None where it does not bind (full speed, or not begun)."""
        if self.speed is None or self._origin is None:
            return None
        monotonic = self._monotonic()
        since, ts = self._origin
        away = monotonic - self._looked
        if away > PAUSE_NS:  # stopped or suspended: go on where we were instead of bursting
            since += away
            self._origin = (since, ts)
        self._looked = monotonic
        return ts + int((monotonic - since) * self.speed)

    def seconds_until(self, ts: int) -> float:
        """Return how long it takes until the recording's time is ``ts``; 0 where the pace does not bind."""
        now = self.now()
        if now is None or self.speed is None:
            return 0.0
        return max(0.0, (ts - now) / _SECOND / self.speed)


class MarketQueue:
    """Market inputs between the feed's task and the loop: bounded, in order."""

    def __init__(self, capacity: int = QUEUE_MAX) -> None:
        """Start empty."""
        self.capacity = capacity
        self.items: deque[Market] = deque()
        self.ended = False
        self.taken = 0
        self.last_arrival_ns = time.monotonic_ns()

    @property
    def has_room(self) -> bool:
        """Whether the feed may put more."""
        return len(self.items) < self.capacity

    def put(self, panel: Market) -> None:
        """Add one."""
        self.items.append(panel)
        self.last_arrival_ns = time.monotonic_ns()


class GatedIntake:
    """See the module."""

    def __init__(self, core: LiveCore, queue: MarketQueue, pace: Pace, *, latency_ns: int) -> None:
        """Merge for ``core``; answers come in ``latency_ns`` behind their request."""
        self.queue = queue
        self.pace = pace
        self._latency_ns = latency_ns
        self._timers: TimerHeap = core.sequencer.timers
        self._core = core
        self._slots: list[tuple[int, int, str]] = []
        self._waiting: dict[str, None] = {}
        self._answers: dict[str, Answer] = {}
        self._n = 0
        self._begun = False
        self.rewind(core)

    # -- models ------------------------------------------------------------------------------------------------------

    def rewind(self, core: LiveCore) -> None:
        """Take over the open questions of a core that was rebuilt; answers that came already stay known."""
        self._core = core
        self._timers = core.sequencer.timers
        self._slots = []
        self._waiting = {}
        self._expect()

    def _expect(self) -> None:
        """Hold the gate for each open question at the instant of its answer."""
        for request_id, question in self._core.questions.items():
            if request_id not in self._waiting:
                self._waiting[request_id] = None
                self._n += 1
                heapq.heappush(self._slots, (question.ts + self._latency_ns, self._n, request_id))

    def answered(self, answer: Answer) -> None:
        """Take a model's answer; it comes in at its slot."""
        self._answers[answer.request_id] = answer

    # -- the merge ---------------------------------------------------------------------------------------------------

    def take(self) -> Input | None:
        """Return the next input by (ts, rank) if it is certain and due."""
        if len(self._core.questions) > len(self._waiting):
            self._expect()
        head = self._head()
        if head is None:
            return None
        ts, rank = head
        if not self._begun:
            self._begun = True
            self.pace.begin(max(ts, self._core.sequencer.last_ts))
        if self.pace.seconds_until(ts) > 0:
            return None
        if rank == Rank.MARKET:
            panel = self.queue.items.popleft()
            self.queue.taken += 1
            return Input(panel, "feed", at=ts)
        if rank == Rank.TIMER:
            due, command = self._timers.pop()
            return Input(command, "timer", at=ts, ts_event=due)
        request_id = self._slots[0][2]
        answer = self._answers.pop(request_id, None)
        if answer is None:
            return None  # being computed: nothing later may pass
        heapq.heappop(self._slots)
        self._waiting.pop(request_id, None)
        return Input(answer, "inference", at=ts, ts_event=ts)

    def _head(self) -> tuple[int, int] | None:
        """Return (ts, rank) of the next input, or None while the feed may still bring an earlier one."""
        market = self.queue.items[0].ts if self.queue.items else None
        if market is None and not self.queue.ended:
            return None
        best = None if market is None else (market, int(Rank.MARKET))
        if self._slots and (best is None or (self._slots[0][0], int(Rank.PREDICTION)) < best):
            best = (self._slots[0][0], int(Rank.PREDICTION))
        due = self._timers.next_due()
        if due is not None and (best is None or (due, int(Rank.TIMER)) < best):
            best = (due, int(Rank.TIMER))
        beyond = market is None and best is not None and best[0] > self._core.feed_ts
        return None if beyond else best

    def command_stamp(self) -> int | None:
        """Return the recording's time, but never beyond the next input, and never before the last."""
        last = self._core.sequencer.last_ts
        now = self.pace.now()
        if now is None:
            return last
        head = self._head()
        return max(last, now if head is None else min(now, head[0]))

    def wait_s(self) -> float | None:
        """Return seconds until the next input is due."""
        head = self._head()
        if head is None:
            return None
        if head[1] == Rank.PREDICTION and self._slots[0][2] not in self._answers:
            return None
        return self.pace.seconds_until(head[0])

    @property
    def exhausted(self) -> bool:
        """Whether the recording has ended and nothing it caused is outstanding."""
        if len(self._core.questions) > len(self._waiting):
            self._expect()
        return self.queue.ended and self._head() is None


class ScaledClock:
    """The recording's time for a free-running playback: starts at ``base`` and runs at ``speed``; never goes back."""

    def __init__(self, base: int, speed: float, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        """Stand at ``base`` now."""
        self._base = base
        self._speed = speed
        self._monotonic = monotonic
        self._since = monotonic()
        self._last = base

    def now(self) -> int:
        """Return nanoseconds of the recording's time."""
        now = self._base + int((self._monotonic() - self._since) * self._speed)
        self._last = max(self._last, now)
        return self._last


class ArrivalClock(VirtualClock):
    """The time of a free-running playback at full speed: that of the newest input that has arrived."""


class FreeIntake:
    """See the module."""

    def __init__(self, core: LiveCore, queue: MarketQueue, clock: Clock) -> None:
        """Take inputs as they come, stamped by ``clock``."""
        self.queue = queue
        self._clock = clock
        self._core = core
        self._answers: deque[Answer] = deque()

    def rewind(self, core: LiveCore) -> None:
        """Go on with a rebuilt core."""
        self._core = core

    def answered(self, answer: Answer) -> None:
        """Take a model's answer; it comes in next."""
        self._answers.append(answer)

    def take(self) -> Input | None:
        """Return an answer, a timer that is due, or the next market input."""
        if self._answers:
            return Input(self._answers.popleft(), "inference")
        items = self.queue.items
        due = self._core.sequencer.timers.next_due()
        if due is not None and due <= self._clock.now():
            due, command = self._core.sequencer.timers.pop()
            return Input(command, "timer", ts_event=due)
        if not items:
            return None
        panel = items.popleft()
        self.queue.taken += 1
        if isinstance(self._clock, ArrivalClock) and panel.ts > self._clock.now():
            self._clock.advance_to(panel.ts)
        return Input(panel, "feed", ts_event=panel.ts)

    def command_stamp(self) -> int | None:
        """Let the clock stamp."""
        return None

    def wait_s(self) -> float | None:
        """Return seconds until the next timer, roughly; inputs wake the loop by themselves."""
        due = self._core.sequencer.timers.next_due()
        return None if due is None else max(0.001, min(1.0, (due - self._clock.now()) / _SECOND))

    @property
    def exhausted(self) -> bool:
        """Whether the recording has ended and nothing it caused is outstanding."""
        return self.queue.ended and not self.queue.items and not self._answers and not self._core.questions
