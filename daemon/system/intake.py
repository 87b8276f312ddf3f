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
from actors.messages.sentiment import SentimentReady
from actors.values.time import LATEST_NS
from daemon.kernel.clock import Clock, TimerHeap, VirtualClock
from daemon.kernel.message import Market
from daemon.system.core_ports import Input
from daemon.system.live_core import LiveCore
from daemon.system.script import Rank

QUEUE_MAX: Final = 2_000
"""Market inputs read ahead of the core."""
PAUSE_NS: Final = 5_000_000_000
"""A process that did not look for so long was suspended; the recording did not go on meanwhile."""
LOOK_S: Final = 1.0
"""While the recording runs, it is looked at least this often."""
SHORTEST_S: Final = 0.001
"""No wait is shorter: what is due within it is due."""
_SECOND: Final = 1_000_000_000

Answer = PredictionReady | PredictionUnavailable | SentimentReady
_ANSWERS: Final = (PredictionReady, PredictionUnavailable, SentimentReady)


def boot_ns() -> int:
    """Return nanoseconds since the machine started; unlike the monotonic clock's they go on while it sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Pace:
    """Maps a clock of the machine to the recording's time."""

    def __init__(self, speed: float | None, monotonic: Callable[[], int] = boot_ns, *, runs_on: bool = False) -> None:
        """Run at ``speed`` times the recording's own pace; None for as fast as possible.

        Args:
            speed: recorded seconds in a second.
            monotonic: nanoseconds that never go back.
            runs_on: the recording goes on while nobody looks, as a market does; what it showed then is missed.
        """
        self.speed = speed
        self._runs_on = runs_on
        self._missed: tuple[int, int] | None = None
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
        if away > PAUSE_NS and self._runs_on:
            begun = self._at(self._looked) if self._missed is None else self._missed[0]
            self._missed = (begun, self._at(monotonic))
        elif away > PAUSE_NS:  # stopped or suspended: go on where we were instead of bursting
            since += away
            self._origin = (since, ts)
        self._looked = monotonic
        return self._at(monotonic)

    def _at(self, monotonic: int) -> int:
        since, ts = self._origin or (monotonic, 0)
        return min(ts + int((monotonic - since) * (self.speed or 0.0)), max(ts, LATEST_NS))

    def take_missed(self) -> tuple[int, int] | None:
        """Return since when until when the recording ran unseen, once; None where it did not."""
        missed, self._missed = self._missed, None
        return missed

    def seconds_until(self, ts: int) -> float:
        """Return how long it takes until the recording's time is ``ts``; 0 where the pace does not bind."""
        now = self.now()
        if now is None or self.speed is None:
            return 0.0
        return max(0.0, (ts - now) / _SECOND / self.speed)


class MarketQueue:
    """Market inputs between the feed's task and the loop: bounded, in order.

    Attributes:
        items: what waits, oldest first.
        ended: nothing will be put any more.
        taken: inputs that went to the core.
        last_taken_ns: monotonic nanoseconds when the core took the last one; None before the first.
        on_room: called once when half of the queue is empty again; set by a feed that waits for it.
        silent_s: for how long the feed has owed data.
    """

    def __init__(self, capacity: int = QUEUE_MAX) -> None:
        """Start empty."""
        self.capacity = capacity
        self.items: deque[Market] = deque()
        self.ended = False
        self.taken = 0
        self.last_taken_ns: int | None = None
        self.on_room: Callable[[], None] | None = None
        self._owed_ns = time.monotonic_ns()

    def nothing_for(self, seconds: float) -> None:
        """Say that nothing is due so long."""
        self._owed_ns = time.monotonic_ns() + int(seconds * _SECOND)

    @property
    def silent_s(self) -> float:
        """Seconds for which something has been due and nothing has come; 0 where nothing is, or something waits."""
        if self.items or self.ended:
            return 0.0
        return max(0, time.monotonic_ns() - self._owed_ns) / _SECOND

    @property
    def has_room(self) -> bool:
        """Whether the feed may put more."""
        return len(self.items) < self.capacity

    def put(self, panel: Market) -> None:
        """Add one."""
        self.items.append(panel)

    def take(self) -> Market:
        """Remove and return the oldest; there must be one."""
        panel = self.items.popleft()
        self.last_taken_ns = self._owed_ns = time.monotonic_ns()
        self.taken += 1
        if self.on_room is not None and 2 * len(self.items) <= self.capacity:
            tell, self.on_room = self.on_room, None
            tell()
        return panel

    def give_back(self, panels: list[Market]) -> None:
        """Put what was taken last in front again, in order; the bound does not count it."""
        self.items.extendleft(reversed(panels))
        self.taken -= len(panels)


class GatedIntake:
    """See the module."""

    patient = True

    def __init__(self, core: LiveCore, queue: MarketQueue, pace: Pace, *, latency_ns: int) -> None:
        """Merge for ``core``; answers come in ``latency_ns`` behind their request."""
        self.queue = queue
        self.pace = pace
        self._latency_ns = latency_ns
        self._answers: dict[str, Answer] = {}
        self._begun = False
        self.rewind(core, [])

    # -- models ------------------------------------------------------------------------------------------------------

    def rewind(self, core: LiveCore, dropped: list[Input]) -> None:
        """Go on with a core that was rebuilt: market inputs and answers that were dropped come in again.

        Timers do not: those that still wait are in the rebuilt core.
        """
        self._core = core
        self._timers: TimerHeap = core.sequencer.timers
        self.queue.give_back([item.body for item in dropped if isinstance(item.body, Market)])
        for item in dropped:
            if isinstance(item.body, _ANSWERS):
                self._answers[item.body.request_id] = item.body
        self._slots: list[tuple[int, int, str]] = []
        self._expected: dict[str, None] = {}
        self._asked = 0
        self._n = 0
        self._expect()

    def _expect(self) -> None:
        """Hold the gate for each open question at the instant of its answer."""
        self._asked = self._core.asked
        for request_id, question in self._core.questions.items():
            if request_id not in self._expected:
                self._expected[request_id] = None
                self._n += 1
                heapq.heappush(self._slots, (question.ts + self._latency_ns, self._n, request_id))

    def answered(self, answer: Answer) -> None:
        """Take a model's answer, which comes in at its slot; one that nobody waits for any more is dropped."""
        if answer.request_id in self._core.questions:
            self._answers.setdefault(answer.request_id, answer)

    # -- the merge ---------------------------------------------------------------------------------------------------

    def take(self) -> Input | None:
        """Return the next input by (ts, rank) if it is certain and due."""
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
            return Input(self.queue.take(), "feed", at=ts, taken=True)
        if rank == Rank.TIMER:
            due, command = self._timers.pop()
            return Input(command, "timer", at=ts, ts_event=due, taken=True)
        answer = self._answers.pop(self._slots[0][2], None)
        if answer is None:
            return None  # being computed: nothing later may pass
        self._pass_slot()
        return Input(answer, "inference", at=ts, ts_event=ts, taken=True)

    def _pass_slot(self) -> None:
        _, _, request_id = heapq.heappop(self._slots)
        self._expected.pop(request_id, None)
        self._answers.pop(request_id, None)

    def _head(self) -> tuple[int, int] | None:
        """Return (ts, rank) of the next input, or None while the feed may still bring an earlier one."""
        core = self._core
        if core.asked != self._asked:
            self._expect()
        while self._slots and self._slots[0][2] not in core.questions:
            self._pass_slot()  # answered by what was set aside
        market = self.queue.items[0].ts if self.queue.items else None
        if market is None and not self.queue.ended:
            return None
        best = None if market is None else (market, int(Rank.MARKET))
        if self._slots and (best is None or (self._slots[0][0], int(Rank.PREDICTION)) < best):
            best = (self._slots[0][0], int(Rank.PREDICTION))
        due = self._timers.next_due()
        if due is not None and (best is None or (due, int(Rank.TIMER)) < best):
            best = (due, int(Rank.TIMER))
        beyond = market is None and best is not None and best[0] > core.feed_ts
        return None if beyond else best

    def command_stamp(self) -> int | None:
        """Return the recording's time, but never beyond the next input, and never before the last."""
        last = self._core.sequencer.last_ts
        now = self.pace.now()
        head = self._head()
        # Without a next input it is not known how early it will be; behind the last one time does not go on.
        if now is None or head is None:
            return last
        return max(last, min(now, head[0]))

    def wait_s(self) -> float | None:
        """Return seconds until the next input is due, or the recording should be looked at."""
        head = self._head()
        if head is None:
            return None
        if head[1] == Rank.PREDICTION and self._slots[0][2] not in self._answers:
            return None
        return min(LOOK_S, self.pace.seconds_until(head[0]))

    @property
    def exhausted(self) -> bool:
        """Whether the recording has ended and nothing it caused is outstanding."""
        return self.queue.ended and self._head() is None


class ScaledClock:
    """The recording's time for a free-running playback: starts at ``base`` and runs at ``speed``; never goes back."""

    def __init__(self, base: int, speed: float, monotonic: Callable[[], int] = boot_ns) -> None:
        """Stand at ``base`` now."""
        self._base = self._last = base
        self._latest = max(base, LATEST_NS)
        self._speed = speed
        self._monotonic = monotonic
        self._since = monotonic()

    def now(self) -> int:
        """Return nanoseconds of the recording's time."""
        now = self._base + int((self._monotonic() - self._since) * self._speed)
        self._last = max(self._last, min(now, self._latest))
        return self._last

    def seconds_until(self, ts: int) -> float:
        """Return how many seconds pass until the recording's time is ``ts``; negative where it is over."""
        return (ts - self.now()) / _SECOND / self._speed


class ArrivalClock(VirtualClock):
    """The time of a free-running playback at full speed: that of the newest input that has arrived."""


class FreeIntake:
    """See the module."""

    patient = False

    def __init__(self, core: LiveCore, queue: MarketQueue, clock: Clock) -> None:
        """Take inputs as they come, stamped by ``clock``, which is the core's."""
        self.queue = queue
        self._clock = clock
        self._core = core
        self._answers: deque[Answer] = deque()

    def rewind(self, core: LiveCore, dropped: list[Input]) -> None:
        """Go on with a core that was rebuilt, and its clock: what was dropped arrives again; timers are the core's."""
        self._core = core
        self._clock = core.clock
        self.queue.give_back([item.body for item in dropped if isinstance(item.body, Market)])
        self._answers.extendleft(item.body for item in reversed(dropped) if isinstance(item.body, _ANSWERS))

    def answered(self, answer: Answer) -> None:
        """Take a model's answer; it comes in next."""
        self._answers.append(answer)

    def take(self) -> Input | None:
        """Return an answer, a timer that is due, or the next market input."""
        while self._answers:
            answer = self._answers.popleft()
            if answer.request_id in self._core.questions:  # asked again after a restart, it may come twice
                return Input(answer, "inference", taken=True)
        timers, items, clock = self._core.sequencer.timers, self.queue.items, self._clock
        due = timers.next_due()
        arrival = clock if isinstance(clock, ArrivalClock) else None
        if due is not None and items and arrival is not None and arrival.now() < due < items[0].ts:
            arrival.advance_to(due)  # time passes between two arrivals, too
        if due is not None and due <= clock.now():
            due, command = timers.pop()
            return Input(command, "timer", ts_event=due, taken=True)
        if not items:
            return None
        panel = self.queue.take()
        if arrival is not None and panel.ts > arrival.now():
            arrival.advance_to(panel.ts)
        return Input(panel, "feed", ts_event=panel.ts, taken=True)

    def command_stamp(self) -> int | None:
        """Let the clock stamp."""
        return None

    def wait_s(self) -> float | None:
        """Return seconds until the next timer; inputs wake the loop by themselves."""
        due = self._core.sequencer.timers.next_due()
        clock = self._clock
        if due is None or isinstance(clock, ArrivalClock):
            return None
        left = clock.seconds_until(due) if isinstance(clock, ScaledClock) else (due - clock.now()) / _SECOND
        return max(SHORTEST_S, min(LOOK_S, left))

    @property
    def exhausted(self) -> bool:
        """Whether the recording has ended and nothing it caused is outstanding."""
        return self.queue.ended and not self.queue.items and not self._answers and not self._core.questions
