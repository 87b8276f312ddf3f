"""The edges of the live daemon: the feed's reader, the models' pool, the way out of alerts. They hold no truth.

Each is a child of the supervision tree. Losing one costs what it was doing; what it owed is found again in the
recording, in the open questions of the core, and in the ledger's outbox.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import anyio
import anyio.to_thread
import msgspec

from actors.alerter.delivery import Channel, deliver
from actors.messages.alerts import AlertDelivered, AlertFailed, AlertRaised, Severity
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.market import SessionClosed, SessionOpened
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.host import HostPool, PoolFacts, RefusedModel, quantile
from actors.predictor.pool.inprocess import InProcessPool
from daemon.journal.batch import OutboxRow
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Market
from daemon.system.intake import Answer, MarketQueue, Pace
from daemon.system.live_core import OpenQuestion

READ_AHEAD: Final = 200
"""Inputs decoded before other tasks run."""
ATTEMPTS_MAX: Final = 5
"""Deliveries of an alert that is not critical before it is dropped; a critical one is tried for ever."""
RETRY_S: Final = 5.0
FAILURES_KEPT: Final = 100
PENDING: Final = "pending"
DELIVERED: Final = "delivered"
DROPPED: Final = "dropped"
CALENDAR: Final = (SessionOpened, SessionClosed)
LOOK_S: Final = 1.0
"""An edge with nothing to do gives a sign of life this often."""
AT_ONCE: Final = 20
"""Alerts that are handed to the channels between two signs of life."""
KEPT: Final = 1_000
"""Answers of models behind p50 and p99."""
TROUBLE_S: Final = 1.5
"""How long the inference host cannot be used before people are told: at a start, and at its restart, it is normal."""
WAITING_MAX: Final = 10_000
"""Alerts that wait for a channel at most; the oldest that is not critical is dropped for a newer one."""

Beat = Callable[[], None]
Request = InferenceRequested | SentimentRequested


class Pool(Protocol):
    """Answers requests; called in a worker thread."""

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Return a model's answer."""
        ...

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Return a text model's answer."""
        ...


class GatedFeed:
    """Reads the recording ahead of the core, as far as the queue has room."""

    def __init__(self, queue: MarketQueue, inputs: Callable[[], Iterator[Market]], wake: Callable[[], None]) -> None:
        """Read what ``inputs`` gives from behind the last input that was taken."""
        self._queue = queue
        self._inputs = inputs
        self._wake = wake

    async def run(self, beat: Beat, jitter: Callable[[], Awaitable[None]] | None = None) -> None:
        """Read to the end; then wait to be cancelled, for a feed that ends is no failure of the feed."""
        queue = self._queue
        for read, panel in enumerate(self._inputs(), start=1):
            while not queue.has_room:
                await _room(queue, self._wake, beat)
            if jitter is not None:
                await jitter()
            was_empty = not queue.items
            queue.put(panel)
            if was_empty:
                self._wake()
            if not read % READ_AHEAD:
                beat()
                await anyio.lowlevel.checkpoint()
        await _ended(queue, self._wake, beat)


class FreeFeed:
    """Delivers recorded inputs when their time has come, as a vendor's stream would; full speed: at once."""

    def __init__(
        self,
        queue: MarketQueue,
        inputs: Callable[[], Iterator[Market]],
        wake: Callable[[], None],
        pace: Pace,
        gap: Callable[[int, int], None],
    ) -> None:
        """Deliver at ``pace``, which has begun; ``gap`` is told since when until when nothing could be delivered."""
        self._queue = queue
        self._inputs = inputs
        self._wake = wake
        self._pace = pace
        self._gap = gap

    async def run(self, beat: Beat, jitter: Callable[[], Awaitable[None]] | None = None) -> None:
        """Deliver to the end; then wait to be cancelled. What was shown while the process stood still is missed."""
        queue = self._queue
        missed_until = 0
        for read, panel in enumerate(self._inputs(), start=1):
            while (left := self._pace.seconds_until(panel.ts)) > 0:
                queue.nothing_for(left)
                beat()
                await anyio.sleep(min(left, LOOK_S / 2))
            while not queue.has_room:
                await _room(queue, self._wake, beat)
                self._pace.now()  # a core that is slow is no process that stood still: it reads late and misses nothing
            if jitter is not None:
                await jitter()
            missed = self._pace.take_missed()
            if missed is not None:
                missed_until = missed[1]
                self._gap(*missed)
            if panel.ts >= missed_until or isinstance(panel, CALENDAR):
                queue.put(panel)
                self._wake()
            if not read % READ_AHEAD:
                beat()
                await anyio.lowlevel.checkpoint()
        await _ended(queue, self._wake, beat)


def seen_from(inputs: Iterator[Market], now: int) -> Iterator[Market]:
    """Leave out what was shown before ``now``, but for the calendar: sessions end for everybody."""
    for panel in inputs:
        if panel.ts >= now or isinstance(panel, CALENDAR):
            yield panel


async def _room(queue: MarketQueue, wake: Callable[[], None], beat: Beat) -> None:
    """Wait until half of the queue is empty again, or for a sign of life."""
    room = anyio.Event()
    queue.on_room = room.set
    wake()
    with anyio.move_on_after(LOOK_S):
        await room.wait()
    beat()


async def _ended(queue: MarketQueue, wake: Callable[[], None], beat: Beat) -> None:
    """Say that nothing more comes, and wait to be cancelled."""
    queue.ended = True
    wake()
    while True:
        beat()
        await anyio.sleep(LOOK_S)


class Inference:
    """Asks the pool in worker threads: one request at a time, or as many as a pool that never hangs says it takes.

    Attributes:
        answers, failures: requests so far that the pool answered, whatever it said, and at which it failed.
        last_ms: what the latest answer took.
    """

    def __init__(
        self,
        pool: Pool | None,
        answered: Callable[[Answer], None],
        troubled: Callable[[str], None] = lambda _: None,
        refused: Callable[[RefusedModel], None] = lambda _: None,
    ) -> None:
        """Answer through ``answered``; without a pool every question is answered with "unavailable".

        ``troubled`` is told why the inference host cannot be used, and "" when it can again; ``refused`` once of each
        model that the pool, though it can be asked, gives no answer for (not installed at the host, or its file is
        damaged), and again if it did in between.
        """
        self._pool = pool
        self._parallel = int(getattr(pool, "parallel", 1))
        self._troubled = troubled
        self._tell_refused = refused
        self._refused: set[str] = set()
        self._silent: dict[str, RefusedModel] = {}
        """Models whose latest request a pool of our own could not answer."""
        self._trouble: tuple[float, str] | None = None
        """Since when the host cannot be used, and what was told of it."""
        self._bad_at = 0.0
        self._opened = 0
        self._under_way: dict[str, None] = {}
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._given_up = False
        self._answered = answered
        self._queue: dict[str, Request] = {}
        self._asking: Request | None = None
        self._wake = anyio.Event()
        self.answers = 0
        self.failures = 0
        self.last_ms = 0.0

    def __len__(self) -> int:
        """Return how many requests wait or are being answered."""
        return len(self._queue)

    def ask(self, request: Request) -> None:
        """Queue a committed request; one that waits, or is being answered, is not asked twice."""
        if self._given_up:
            self._refuse(request)
        elif request.request_id not in self._queue:
            self._queue[request.request_id] = request
            self._wake.set()

    def give_up(self) -> None:
        """Nobody answers any more: what is asked is unavailable, which means hold."""
        self._given_up = True
        waiting, self._queue = self._queue, {}
        for request in waiting.values():
            self._refuse(request)

    def _refuse(self, request: Request, reason: str = "the model pool failed again and again") -> None:
        self._answered(PredictionUnavailable(request.request_id, request.model_id, reason))

    def ask_again(self, questions: dict[str, OpenQuestion]) -> None:
        """Queue what has no answer yet after a restart of the core or the process."""
        for question in questions.values():
            self.ask(question.request)

    async def run(self, beat: Beat) -> None:
        """Answer until cancelled; what was being answered then is answered by the next run.

        But for a question that an earlier run was left behind with: it would cost another thread each time.
        """
        hangs, self._asking = self._asking, None
        if hangs is not None and self._queue.pop(hangs.request_id, None) is not None:
            self.failures += 1
            self._refuse(hangs, "the model does not come back with an answer")
        if self._parallel > 1:
            await self._run_many(beat)
        while True:
            self._wake = anyio.Event()
            while self._queue:
                request_id, request = next(iter(self._queue.items()))
                self._asking = request
                try:
                    answer = await self._answer(request)
                finally:
                    if self._asking is request:
                        self._asking = None
                if self._queue.pop(request_id, None) is not None:
                    self._answered(answer)
                beat()
            beat()
            self._look_at_models(self.facts())
            with anyio.move_on_after(LOOK_S):
                await self._wake.wait()

    async def _run_many(self, beat: Beat) -> None:
        """Answer several at once, by a pool that answers each within its own time limits."""
        under_way = self._under_way = {}
        async with anyio.create_task_group() as group:

            async def one(request: Request) -> None:
                try:
                    answer = await self._answer(request)
                finally:
                    del under_way[request.request_id]
                if self._queue.pop(request.request_id, None) is not None:
                    self._answered(answer)
                self._wake.set()

            while True:
                self._wake = anyio.Event()
                for request_id, request in self._queue.items():
                    if len(under_way) >= self._parallel:
                        break
                    if request_id not in under_way:
                        under_way[request_id] = None
                        group.start_soon(one, request)
                beat()
                self._look()
                with anyio.move_on_after(LOOK_S):
                    await self._wake.wait()

    def _look(self) -> None:
        """Tell of a host that cannot be used for longer than a moment, when it can again, and what it refuses."""
        facts, now = self.facts(), time.monotonic()
        self._look_at_models(facts)
        # It may have opened and shown life again since: a host that answers after its health, and nothing else.
        bad = facts.breaker == "open" or facts.opened != self._opened
        self._opened = facts.opened
        if facts.breaker == "closed" or (not bad and self._trouble is not None and now - self._bad_at >= TROUBLE_S):
            if self._trouble is not None and self._trouble[1]:
                self._troubled("")
            self._trouble = None
        elif bad:
            self._bad_at = now
            if self._trouble is None:
                self._trouble = (now, "")
            elif not self._trouble[1] and now - self._trouble[0] >= TROUBLE_S:
                self._trouble = (now, facts.reason)
                self._troubled(facts.reason)

    def _look_at_models(self, facts: PoolFacts) -> None:
        """Tell of each model that is not answered for, once."""
        for refused in facts.refused:
            if refused.model_id not in self._refused:
                self._tell_refused(refused)
        self._refused = {refused.model_id for refused in facts.refused}

    def facts(self) -> PoolFacts:
        """Return how the pool does, for people."""
        pool = self._pool
        if isinstance(pool, HostPool):
            return msgspec.structs.replace(pool.facts(), queue=len(self))
        latencies = sorted(self._latencies)
        cache = pool.cache if isinstance(pool, InProcessPool) else None
        return PoolFacts(
            pool="none" if pool is None else "inprocess",
            answered=self.answers,
            unavailable=self.failures,
            queue=len(self),
            p50_ms=quantile(latencies, 0.5),
            p99_ms=quantile(latencies, 0.99),
            cache_hits=0 if cache is None else cache.hits,
            cache_misses=0 if cache is None else cache.misses,
            cache_size=0 if cache is None else len(cache),
            refused=tuple(self._silent[model_id] for model_id in sorted(self._silent)),
        )

    def close(self) -> None:
        """Let go of the pool."""
        if isinstance(self._pool, HostPool):
            self._pool.close()

    async def _answer(self, request: Request) -> Answer:
        answer = await self._computed(request)
        if isinstance(answer, PredictionUnavailable):
            self._silent[request.model_id] = RefusedModel(request.model_id, answer.reason, here=False)
        else:
            self._silent.pop(request.model_id, None)
        return answer

    async def _computed(self, request: Request) -> Answer:
        if self._pool is None:
            return PredictionUnavailable(request.request_id, request.model_id, "this daemon has no model pool")
        began = time.monotonic_ns()
        try:
            answer = await anyio.to_thread.run_sync(_ask, self._pool, request)
        except Exception as error:  # noqa: BLE001 - whatever a model raises: hold, never guess
            self.failures += 1
            reason = str(error) if isinstance(error, OperatorError) else f"{type(error).__name__}: {error}"
            return PredictionUnavailable(request.request_id, request.model_id, reason)
        self.answers += 1
        self.last_ms = (time.monotonic_ns() - began) / 1e6
        self._latencies.append(self.last_ms)
        return answer


def _ask(pool: Pool, request: Request) -> Answer:
    return pool.sentiment(request) if isinstance(request, SentimentRequested) else pool.predict(request)


def _urgency(row: OutboxRow) -> bool:
    return row.severity != Severity.CRITICAL


class Deliveries:
    """Brings alerts from the ledger's outbox to the channels; a critical one stays until a channel confirmed it."""

    def __init__(
        self, channels: list[Channel], pending: list[OutboxRow], keep: Callable[[list[OutboxRow]], None]
    ) -> None:
        """Start with what the last run left; ``keep`` writes a row's new state with the next commit."""
        self._channels = channels
        self._rows: dict[str, OutboxRow] = {row.alert_id: row for row in pending}
        self._keep = keep
        self._wake = anyio.Event()
        self._delivering = anyio.Lock()
        self.delivered = 0
        self.dropped = 0
        self.failed: list[AlertFailed] = []

    def __len__(self) -> int:
        """Return how many alerts wait."""
        return len(self._rows)

    def add(self, rows: list[OutboxRow]) -> None:
        """Take alerts that were just committed; a newer form takes the place of an older one."""
        for row in rows:
            if row.state == PENDING:
                self._rows[row.alert_id] = row
        if len(self._rows) > WAITING_MAX:
            self._make_room()
        if rows:
            self._wake.set()

    def _make_room(self) -> None:
        """Drop the oldest alerts that are not critical, as far as there are too many."""
        excess = len(self._rows) - WAITING_MAX
        victims = [row for row in self._rows.values() if row.severity != Severity.CRITICAL][:excess]
        for row in victims:
            del self._rows[row.alert_id]
        self.dropped += len(victims)
        self._keep([msgspec.structs.replace(row, state=DROPPED) for row in victims])

    async def run(self, beat: Beat) -> None:
        """Deliver until cancelled; also where an earlier run was left behind in a channel that hangs."""
        self._delivering = anyio.Lock()
        while True:
            self._wake = anyio.Event()
            left = await self.deliver_once(beat)
            beat()
            with anyio.move_on_after(RETRY_S if left else LOOK_S):
                await self._wake.wait()

    async def deliver_once(self, beat: Beat = lambda: None) -> int:
        """Try everything that waits once, critical alerts first, a few at a time; return how many still wait."""
        async with self._delivering:
            waiting = [row.alert_id for row in sorted(self._rows.values(), key=_urgency)]
            for first in range(0, len(waiting), AT_ONCE):
                # As they are by now: while the first were delivered others may have been given up, or renewed.
                rows = [self._rows[name] for name in waiting[first : first + AT_ONCE] if name in self._rows]
                alerts = [msgspec.json.decode(row.body, type=AlertRaised) for row in rows]
                self._delivered(rows, await anyio.to_thread.run_sync(deliver, alerts, self._channels))
                beat()
        return len(self._rows)

    def _delivered(self, rows: list[OutboxRow], results: Sequence[AlertDelivered | AlertFailed]) -> None:
        reached: dict[str, bool] = {}
        for result in results:
            if isinstance(result, AlertFailed):
                self.failed.append(result)
                reached.setdefault(result.alert_id, False)
            else:
                reached[result.alert_id] = True
        del self.failed[:-FAILURES_KEPT]
        kept = []
        for row in rows:
            newest = self._rows.get(row.alert_id)
            if newest is None:  # given up meanwhile
                continue
            tried = msgspec.structs.replace(newest, attempts=row.attempts + 1)
            # No channel wants an alert of this severity: the log has it, and nobody else is waiting for it.
            if reached.get(row.alert_id, True):
                self.delivered += 1
                state = DELIVERED
            elif row.severity != Severity.CRITICAL and tried.attempts >= ATTEMPTS_MAX:
                self.dropped += 1
                state = DROPPED
            else:
                state = PENDING
            if state == PENDING or newest is not row:  # a newer form is on its way out itself
                self._rows[row.alert_id] = tried
                continue
            del self._rows[row.alert_id]
            kept.append(msgspec.structs.replace(tried, state=state))
        if kept:
            self._keep(kept)
