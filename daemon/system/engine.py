"""The replay engine: a k-way merge of recorded streams on a virtual clock, run to quiescence in a plain loop.

No event loop, no threads, no tasks. Inputs come in by (ts, rank, n): operators first, then executions, market data,
predictions and scripted orders, timers last, so a timer at t sees the bar that closed at t (design section 3).
"""

from __future__ import annotations

import gc
import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.market import BarPanel, QuotePanel, TradePanel
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
)
from actors.messages.portfolio import DepositCash
from actors.messages.sentiment import SentimentReady, SentimentRequested
from daemon.kernel.actor import Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Command, Envelope, Event, Market
from daemon.kernel.sequencer import Sequencer
from daemon.system.script import Rank, ScriptLine

PROGRESS_STEPS: Final = 200

_STATUSES_OF: Final[dict[type[Event], tuple[OrderStatus, ...]]] = {
    OrderDenied: (OrderStatus.DENIED,),
    # What the broker answers to had passed the gate, and was on its way to it in the same instant.
    OrderAccepted: (OrderStatus.PENDING_NEW, OrderStatus.NEW),
    OrderRejected: (OrderStatus.PENDING_NEW, OrderStatus.REJECTED),
    OrderPartiallyFilled: (OrderStatus.PARTIALLY_FILLED,),
    OrderFilled: (OrderStatus.FILLED,),
    OrderCanceled: (OrderStatus.CANCELED,),
    OrderExpired: (OrderStatus.EXPIRED,),
    OrderReplaced: (OrderStatus.REPLACED,),
}


_Planned = tuple[int, int, int, Command, str]
"""(nanoseconds UTC, rank, number, command, source) of an input to come; the number settles ties."""


class Pool(Protocol):
    """Answers inference requests at once; the engine delays the answer by the latency model."""

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Return the model's answer."""
        ...

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Return the text model's answer."""
        ...


class FrameSink(Protocol):
    """Keeps frames."""

    def append(self, frame: Frame) -> None:
        """Take one frame."""
        ...


class Consumer(Protocol):
    """An edge actor's pure half."""

    def consume(self, envelope: Envelope, events: list[Event]) -> Any:
        """Look at a committed frame."""
        ...


class Tap(Consumer, Protocol):
    """One that wants to see market data too."""

    def observe(self, panel: Market) -> Any:
        """Look at market data."""
        ...


class Tee:
    """Hands each frame to the journal first and to the edge actors after it: nothing leaves before it is kept."""

    __slots__ = ("_append", "_consumers")

    def __init__(self, journal: FrameSink, taps: Sequence[Consumer]) -> None:
        """Wire a journal and taps."""
        self._append = journal.append
        self._consumers = tuple(tap.consume for tap in taps)

    def append(self, frame: Frame) -> None:
        """Keep the frame, then show it."""
        self._append(frame)
        events = frame.events
        if events:
            for consume in self._consumers:
                consume(frame.envelope, events)


class ReplayEngine:
    """Feeds recorded inputs to a sequencer."""

    def __init__(
        self,
        sequencer: Sequencer,
        clock: VirtualClock,
        *,
        deposits: Sequence[DepositCash],
        script: Sequence[ScriptLine] = (),
        taps: Sequence[Tap] = (),
        pool: Pool | None = None,
        latency_ns: int = 0,
        first_bar: int | None = None,
    ) -> None:
        """Wire a run.

        Args:
            sequencer: with its actors, fresh or restored from a snapshot taken between two instants.
            clock: the one the sequencer reads.
            deposits: opening cash, the first inputs of a fresh core.
            script: scripted orders and operator commands.
            taps: edge actors that observe panels.
            pool: answers inference requests; None where no strategy asks.
            latency_ns: how long an answer takes.
            first_bar: start of the first bar, nanoseconds UTC: the first event that a script can speak of; None for
                the first input's instant.
        """
        self._sequencer = sequencer
        self._clock = clock
        self._deposits = deposits
        self._taps = tuple(tap.observe for tap in taps)
        self._pool = pool
        self._latency_ns = latency_ns
        self._heap: list[_Planned] = []
        self._script: list[_Planned] = []
        """Lines with a time, the last first. Of them only the next stands in the heap, which so stays small."""
        self._scripted = 0
        """How many lines have a time: numbers up to here are theirs."""
        self._n = 0
        self._first_bar = first_bar
        self._early = 0
        """Up to this number lines are dated before the data: they come in ahead of the first tick."""
        self._unplaced = [line for line in script if line.after is None]
        self._waiting: dict[tuple[str, OrderStatus], list[ScriptLine]] = {}
        for line in script:
            if line.after is not None:
                self._waiting.setdefault(line.after, []).append(line)
        self._watching = bool(self._waiting) or pool is not None

    @property
    def left_over(self) -> int:
        """Scripted lines that never came in: dated after the data, or waiting for what did not happen."""
        pending = sum(source == "script" for *_, source in self._heap)
        return pending + len(self._script) + sum(len(lines) for lines in self._waiting.values())

    def run(
        self,
        inputs: Iterator[Market],
        *,
        total: int = 0,
        progress: Callable[[int, int], None] | None = None,
        counted: type[Market] | None = BarPanel,
    ) -> None:
        """Process every input.

        Args:
            inputs: market data in order of ts.
            total: of what is counted, for progress; at least as many as come.
            progress: called with (done, total) now and then.
            counted: what is counted, None for every input.
        """
        with _quiet_gc():
            self._run(inputs, total, progress, counted)

    def _run(
        self,
        inputs: Iterator[Market],
        total: int,
        progress: Callable[[int, int], None] | None,
        counted: type[Market] | None,
    ) -> None:
        first = next(inputs, None)
        if first is None:
            return
        start = first.ts
        self._begin(start, start if self._first_bar is None else self._first_bar)
        step = max(1, total // PROGRESS_STEPS)
        done = 0
        message: Market | None = first
        process = self._sequencer.process
        timers = self._sequencer.timers
        clock = self._clock
        taps = self._taps
        ts = start
        while message is not None:
            ts = message.ts
            if self._heap or len(timers):
                self._drain(ts, Rank.MARKET)
                if self._early and isinstance(message, QuotePanel | TradePanel):
                    self._drain(ts, Rank.PREDICTION, self._early + 1)
                    self._early = 0
            clock.advance_to(ts)
            events = process(message, "feed")
            for observe in taps:
                observe(message)
            if counted is None or type(message) is counted:
                done += 1
                if progress is not None and not done % step:
                    progress(done, total)
            if events and self._watching:
                self._watch(events, ts)
            message = next(inputs, None)
        self._drain(ts, len(Rank))
        if progress is not None:
            progress(done if counted else total, total)

    def _begin(self, start: int, first_bar: int) -> None:
        self._clock.advance_to(min(start, first_bar))
        if not self._sequencer.seq:  # a restored core has begun already
            self._sequencer.start()
            for deposit in self._deposits:
                self._sequencer.process(deposit, "control")
        # Lines dated before the data come in with the first event, in the order of their times.
        ordered = sorted(self._unplaced, key=lambda line: first_bar - 1 if line.at is None else line.at)
        self._early = self._n + sum(line.at is None or line.at < first_bar for line in ordered)
        self._script = [
            (first_bar if line.at is None else max(line.at, first_bar), int(line.rank), n, line.command, "script")
            for n, line in enumerate(ordered, start=self._n + 1)
        ]
        self._script.sort(reverse=True)  # numbers differ, so commands are never compared
        self._n = self._scripted = self._n + len(ordered)
        if self._script:
            heapq.heappush(self._heap, self._script.pop())

    def _push(self, ts: int, rank: int, command: Command, source: str) -> None:
        self._n += 1
        heapq.heappush(self._heap, (ts, rank, self._n, command, source))

    def _drain(self, ts: int, rank: int, number: int = 0) -> None:
        """Process everything that comes before (ts, rank), and of that rank the lines before ``number``."""
        heap = self._heap
        timers = self._sequencer.timers
        while True:
            due = timers.next_due()
            head = heap[0][:3] if heap else None
            if due is not None and (head is None or (due, int(Rank.TIMER), 0) < head):
                if (due, int(Rank.TIMER)) >= (ts, rank):
                    return
                self._clock.advance_to(max(due, self._clock.now()))
                due, command = timers.pop()
                events = self._sequencer.process(command, "timer", ts_event=due)
                at = due
            elif head is not None and head < (ts, rank, number):
                at, _, n, command, source = heap[0]
                if n <= self._scripted and self._script:
                    heapq.heapreplace(heap, self._script.pop())
                else:
                    heapq.heappop(heap)
                self._clock.advance_to(max(at, self._clock.now()))
                events = self._sequencer.process(command, source, ts_event=at)
            else:
                return
            if events and self._watching:
                self._watch(events, max(at, self._clock.now()))

    def _watch(self, events: list[Event], ts: int) -> None:
        for event in events:
            kind = type(event)
            if kind is InferenceRequested and self._pool is not None:
                answer = self._pool.predict(event)  # type: ignore[arg-type]
                self._push(ts + self._latency_ns, Rank.PREDICTION, answer, "inference")
                continue
            if kind is SentimentRequested and self._pool is not None:
                scores = self._pool.sentiment(event)  # type: ignore[arg-type]
                self._push(ts + self._latency_ns, Rank.PREDICTION, scores, "inference")
                continue
            statuses = _STATUSES_OF.get(kind)
            if statuses is None or not self._waiting:
                continue
            order = getattr(event, "order", None)
            order_id: str = event.client_order_id if order is None else order.client_order_id  # type: ignore[attr-defined]
            for status in statuses:
                for line in self._waiting.pop((order_id, status), ()):
                    self._push(ts, line.rank, line.command, "script")


@contextmanager
def _quiet_gc() -> Iterator[None]:
    """Keep the collector off the hot path: messages hold no cycles, and collections cost up to a quarter.

    Only the young are looked through before: all that was loaded so far would take longer than many a replay.
    """
    thresholds = gc.get_threshold()
    gc.collect(1)
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
