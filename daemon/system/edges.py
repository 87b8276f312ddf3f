"""The edges of the live daemon: the feed's reader, the models' pool, the way out of alerts. They hold no truth.

Each is a child of the supervision tree. Losing one costs what it was doing; what it owed is found again in the
recording, in the open questions of the core, and in the ledger's outbox.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

import anyio
import anyio.to_thread
import msgspec

from actors.alerter.delivery import Channel, deliver
from actors.messages.alerts import AlertFailed, AlertRaised, Severity
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from daemon.journal.batch import OutboxRow
from daemon.kernel.message import Market
from daemon.system.intake import Answer, MarketQueue, Pace
from daemon.system.live_core import OpenQuestion

READ_AHEAD: Final = 200
"""Inputs decoded before other tasks run."""
ROOM_WAIT_S: Final = 0.002
ATTEMPTS_MAX: Final = 5
"""Deliveries of an alert that is not critical before it is dropped; a critical one is tried for ever."""
RETRY_S: Final = 5.0
_LOOK_S: Final = 0.05

Beat = Callable[[], None]


class Pool(Protocol):
    """Answers requests; called in a worker thread."""

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Return a model's answer."""
        ...


class GatedFeed:
    """Reads the recording ahead of the core, as far as the queue has room."""

    def __init__(self, queue: MarketQueue, inputs: Callable[[], Iterator[Market]], wake: Callable[[], None]) -> None:
        """Read what ``inputs`` gives from behind the last input that was queued."""
        self._queue = queue
        self._inputs = inputs
        self._wake = wake
        self._room = anyio.Event()

    def taken(self) -> None:
        """The core has taken something: there may be room."""
        if len(self._queue.items) * 2 < self._queue.capacity:
            self._room.set()

    async def run(self, beat: Beat, jitter: Callable[[], Awaitable[None]] | None = None) -> None:
        """Read to the end; then wait to be cancelled, for a feed that ends is no failure of the feed."""
        queue = self._queue
        for read, panel in enumerate(self._inputs(), start=1):
            while not queue.has_room:
                self._room = anyio.Event()
                self._wake()
                with anyio.move_on_after(_LOOK_S):
                    await self._room.wait()
                beat()
            if jitter is not None:
                await jitter()
            was_empty = not queue.items
            queue.put(panel)
            if was_empty:
                self._wake()
            if not read % READ_AHEAD:
                beat()
                await anyio.lowlevel.checkpoint()
        queue.ended = True
        self._wake()
        while True:
            beat()
            await anyio.sleep(1.0)


class FreeFeed:
    """Delivers recorded inputs when their time has come, as a vendor's stream would; full speed: at once."""

    def __init__(
        self,
        queue: MarketQueue,
        inputs: Callable[[], Iterator[Market]],
        wake: Callable[[], None],
        pace: Pace,
    ) -> None:
        """Deliver at ``pace``, which has begun."""
        self._queue = queue
        self._inputs = inputs
        self._wake = wake
        self._pace = pace

    async def run(self, beat: Beat, jitter: Callable[[], Awaitable[None]] | None = None) -> None:
        """Deliver to the end; then wait to be cancelled."""
        queue = self._queue
        for read, panel in enumerate(self._inputs(), start=1):
            while (left := self._pace.seconds_until(panel.ts)) > 0:
                beat()
                await anyio.sleep(min(left, 0.5))
            while not queue.has_room:
                beat()
                self._wake()
                await anyio.sleep(ROOM_WAIT_S)
            if jitter is not None:
                await jitter()
            queue.put(panel)
            self._wake()
            if not read % READ_AHEAD:
                beat()
                await anyio.lowlevel.checkpoint()
        queue.ended = True
        self._wake()
        while True:
            beat()
            await anyio.sleep(1.0)


class Inference:
    """Asks the pool, one request at a time, in a worker thread."""

    def __init__(self, pool: Pool | None, answered: Callable[[Answer], None]) -> None:
        """Answer through ``answered``; without a pool every question is answered with "unavailable"."""
        self._pool = pool
        self._given_up = False
        self._answered = answered
        self._asked: dict[str, None] = {}
        self._queue: list[InferenceRequested] = []
        self._wake = anyio.Event()
        self.answers = 0
        self.failures = 0
        self.last_ms = 0.0

    def ask(self, request: InferenceRequested) -> None:
        """Queue a committed request; the same one is asked once."""
        if self._given_up:
            self._refuse(request)
        elif request.request_id not in self._asked:
            self._asked[request.request_id] = None
            self._queue.append(request)
            self._wake.set()

    def give_up(self) -> None:
        """Nobody answers any more: what is asked is unavailable, which means hold."""
        self._pool = None
        self._given_up = True
        for request in [*self._queue]:
            self._refuse(request)
        self._queue.clear()

    def _refuse(self, request: InferenceRequested) -> None:
        self._asked.pop(request.request_id, None)
        reason = "the model pool failed again and again"
        self._answered(PredictionUnavailable(request.request_id, request.model_id, reason))

    def ask_again(self, questions: dict[str, OpenQuestion]) -> None:
        """Queue what has no answer yet after a restart of the pool, the core or the process."""
        for request_id, question in questions.items():
            self._asked.pop(request_id, None)
            self.ask(question.request)

    async def run(self, beat: Beat) -> None:
        """Answer until cancelled."""
        while True:
            self._wake = anyio.Event()
            while self._queue:
                request = self._queue[0]
                answer = await self._answer(request)
                self._queue.pop(0)
                self._asked.pop(request.request_id, None)
                self._answered(answer)
                beat()
            beat()
            with anyio.move_on_after(1.0):
                await self._wake.wait()

    async def _answer(self, request: InferenceRequested) -> Answer:
        if self._pool is None:
            return PredictionUnavailable(request.request_id, request.model_id, "this daemon has no model pool")
        began = time.monotonic_ns()
        try:
            answer = await anyio.to_thread.run_sync(self._pool.predict, request)
        except Exception as error:  # noqa: BLE001 - whatever a model raises: hold, never guess
            self.failures += 1
            reason = f"{type(error).__name__}: {error}"
            return PredictionUnavailable(request.request_id, request.model_id, reason)
        self.answers += 1
        self.last_ms = (time.monotonic_ns() - began) / 1e6
        return answer


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
        self.delivered = 0
        self.failed: list[AlertFailed] = []

    def __len__(self) -> int:
        """Return how many alerts wait."""
        return len(self._rows)

    def add(self, rows: list[OutboxRow]) -> None:
        """Take alerts that were just committed."""
        for row in rows:
            if row.state == "pending":
                self._rows[row.alert_id] = row
        if rows:
            self._wake.set()

    async def run(self, beat: Beat) -> None:
        """Deliver until cancelled."""
        while True:
            self._wake = anyio.Event()
            left = await self.deliver_once()
            beat()
            with anyio.move_on_after(RETRY_S if left else 1.0):
                await self._wake.wait()

    async def deliver_once(self) -> int:
        """Try everything that waits once; return how many still wait."""
        rows = list(self._rows.values())
        if not rows:
            return 0
        alerts = [msgspec.json.decode(row.body, type=AlertRaised) for row in rows]
        results = await anyio.to_thread.run_sync(deliver, alerts, self._channels)
        reached: dict[str, bool] = {}
        for result in results:
            if isinstance(result, AlertFailed):
                self.failed.append(result)
                del self.failed[:-100]
                reached.setdefault(result.alert_id, False)
            else:
                reached[result.alert_id] = True
        kept = []
        for row in rows:
            # No channel wants an alert of this severity: the log has it, and nobody else is waiting for it.
            if reached.get(row.alert_id, True):
                kept.append(msgspec.structs.replace(row, state="delivered", attempts=row.attempts + 1))
                self.delivered += 1
            elif row.severity != Severity.CRITICAL and row.attempts + 1 >= ATTEMPTS_MAX:
                kept.append(msgspec.structs.replace(row, state="dropped", attempts=row.attempts + 1))
            else:
                self._rows[row.alert_id] = msgspec.structs.replace(row, attempts=row.attempts + 1)
                continue
            if self._rows.get(row.alert_id) is row:
                del self._rows[row.alert_id]
        if kept:
            self._keep(kept)
        return len(self._rows)
