"""The core loop: takes inputs one by one, steps the core, and lets nothing leave before it is on disk.

Theory of operation
-------------------
Inputs come from three places, in this order: what has to be delivered again, the control lanes, the feed's intake. Each
is processed by the sequencer; what it caused is collected in a :class:`Pending`. While one pending batch is being
committed the next is collected, so commits group by themselves. After a commit, and only then, its answers, alerts,
inference requests and lines for subscribers are released.

A kill overtakes everything that is not durable yet. The latch is looked at before every input and, by the ledger
writer, before every COMMIT. Where an order or a fill stands in a batch that was not committed, the batch is dropped,
the core is rebuilt from the ledger, the kill is processed first and the dropped inputs come in again behind it. So
no order becomes durable after a kill was acknowledged, and none that was promised is lost.

A full disk does the same without a kill: what could not be kept is dropped and waits until there is room; the first
thing then written is a halt. Any other failure of the ledger ends the process: recovery is start-up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import anyio

from actors.messages.control import Halt, LatchObserved
from actors.messages.orders import OrderAccepted, OrderFilled, OrderPartiallyFilled
from daemon.control.calls import Call, Outcome
from daemon.journal.batch import NO_FAULTS, Faults, KeptReply, OutboxRow, TapeRow
from daemon.journal.failures import CommitOvertaken, LedgerFullError
from daemon.kernel.actor import Frame
from daemon.kernel.errors import FrameAbandonedError
from daemon.kernel.mailbox import Lane, LaneQueue, Offer
from daemon.kernel.message import Envelope, Market, Message
from daemon.kernel.poison import PoisonRecord
from daemon.system.core_ports import Input, Intake, LatchView, Outlet, Pending, Writer
from daemon.system.live_core import LiveCore

SLICE_NS: Final = 4_000_000
"""How long the loop may process without letting other tasks run."""
UNCOMMITTED_MAX: Final = 20_000
"""Inputs processed ahead of the ledger at most; then the loop waits for it."""
BATCH_FRAMES: Final = 2_000
"""Frames in one commit at most."""
QUIET_NS: Final = 1_000_000_000
"""Quiet market data are made durable at least this often."""
FULL_RETRY_S: Final = 0.25
FULL_RETRY_MAX_S: Final = 4.0
_RISKY: Final = (OrderAccepted, OrderFilled, OrderPartiallyFilled)


class CoreLoop:
    """See the module."""

    def __init__(
        self,
        core: LiveCore,
        *,
        intake: Intake,
        writer: Writer,
        latch: LatchView,
        outlet: Outlet,
        rebuild: Callable[[], LiveCore],
        reply_of: Callable[[Call, Message, list[Any]], Outcome],
        keep_reply: Callable[[Call, Outcome, int, int], KeptReply | None],
        snapshot_events: int,
        faults: Faults = NO_FAULTS,
    ) -> None:
        """Wire a loop; ``rebuild`` gives a core folded from what is durable."""
        self.core = core
        self.lanes = LaneQueue()
        self.batches_committed = 0
        self.last_commit_ns = time.monotonic_ns()
        self.stalled = ""
        self._intake = intake
        self._writer = writer
        self._latch = latch
        self._outlet = outlet
        self._rebuild = rebuild
        self._reply_of = reply_of
        self._keep_reply = keep_reply
        self._snapshot_events = snapshot_events
        self._faults = faults
        self._calls: dict[int, Input] = {}
        self._again: deque[Input] = deque()
        self._queue: deque[Pending] = deque()
        self._inflight: Pending | None = None
        self._open = Pending(since=time.monotonic_ns())
        self._uncommitted = 0
        self._overtaken = False
        self._full = ""
        self._wake = anyio.Event()
        self._idle = anyio.Event()
        self._work = anyio.Event()
        self._stopping = False
        self._drained = anyio.Event()
        self._feeding = True
        self._pings: list[Callable[[], None]] = []
        core.attach(self)

    # -- other tasks -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the loop look for work; call on the loop's thread."""
        self._wake.set()

    def offer(self, item: Input, lane: Lane) -> bool:
        """Queue an input on a lane; False where the lane is full."""
        taken = self.lanes.offer(lane, item.body)
        if taken is Offer.REJECTED or taken is Offer.FULL:
            return False
        self._calls[id(item.body)] = item
        self._wake.set()
        return True

    def ping(self, pong: Callable[[], None]) -> None:
        """Call ``pong`` once the loop has turned: the watchdog's question."""
        self._pings.append(pong)
        self._wake.set()

    def stop_feeding(self) -> None:
        """Take no more market data; commands still go through."""
        self._feeding = False

    async def drain(self) -> None:
        """Take no more market data; return once what came in is processed and durable."""
        self._feeding = False
        self._stopping = True
        self._drained = anyio.Event()
        self._wake.set()
        self._work.set()
        await self._drained.wait()

    def keep(self, rows: list[OutboxRow]) -> None:
        """Write the new state of alerts with the next commit."""
        self._open.batch.outbox += rows
        self._seal()
        self._wake.set()

    async def take_snapshot(self) -> int:
        """Take a snapshot and make it durable; return the seq it stands behind."""
        self.core.events_at_snapshot = -self._snapshot_events
        seq = self.core.sequencer.seq
        self._seal(force=True)
        await self._settle()
        return seq

    @property
    def depth(self) -> int:
        """Inputs processed but not durable yet."""
        return self._uncommitted

    # -- sink of the sequencer -----------------------------------------------------------------------------------

    def append(self, frame: Frame) -> None:
        """Collect a frame; the alerter and the open questions to models are folds of it."""
        pending = self._open
        pending.batch.frames.append(frame)
        self.core.fold_frame(frame, pending.batch.outbox)
        for event in frame.events:
            if isinstance(event, _RISKY):
                pending.risky = True
                return

    def quarantine(self, record: PoisonRecord) -> None:
        """Keep a poisoned input; where its frame is abandoned this is all that is left of it."""
        self._open.batch.quarantined.append(record)

    # -- running -------------------------------------------------------------------------------------------------

    def begin(self, first: list[Input]) -> None:
        """Put in front what has to go in before anything else; a fresh core sets its first timers."""
        if not self.core.sequencer.seq:
            self.core.sequencer.start()
        self._again.extend(first)

    def tape_warm(self, rows: list[Market]) -> None:
        """Put history that was only observed on the tape, so that a restart warms with the same."""
        ts = self.core.clock.now()
        self._open.batch.panels += [TapeRow(0, ts, row) for row in rows]

    async def run(self, beat: Callable[[], None]) -> None:
        """Process and commit until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._commit_all)
            while True:
                beat()
                await self._turn()

    async def _turn(self) -> None:
        """Process a slice, or wait for something to do."""
        self._wake = anyio.Event()
        if self._latch.is_set and not self._latch.observed:
            await self._overtake()
        if self._full:
            await self._stall()
        more = self._slice()
        for pong in self._pings:
            pong()
        self._pings.clear()
        if more or self._overtaken or self._full or (self._latch.is_set and not self._latch.observed):
            await anyio.lowlevel.checkpoint()
        else:
            if self._stopping and not self._drained.is_set():
                self._seal(force=True)
                await self._settle()
                self._drained.set()
            await self._rest()

    async def _rest(self) -> None:
        wait = self._intake.wait_s() if self._feeding and self._uncommitted < UNCOMMITTED_MAX else None
        quiet = self._open.batch.panels and not self._open.urgent
        if quiet:
            self._seal()
            left = (self._open.since + QUIET_NS - time.monotonic_ns()) / 1e9
            wait = max(0.001, left) if wait is None else min(wait, max(0.001, left))
        if wait is None:
            await self._wake.wait()
            return
        with anyio.move_on_after(wait):
            await self._wake.wait()

    def _slice(self) -> bool:
        """Process inputs until there is none, or others must run; return whether there may be more."""
        until = time.monotonic_ns() + SLICE_NS
        latch = self._latch
        while time.monotonic_ns() < until:
            if self._overtaken or self._full or (latch.is_set and not latch.observed):
                return True
            item = self._next()
            if item is None:
                self._seal()
                return False
            try:
                self._process(item)
            except FrameAbandonedError as error:
                self._abandon(item, error)
            if len(self._open.batch.frames) >= BATCH_FRAMES or self._wants_snapshot():
                self._seal()
        self._seal()
        return True

    def _next(self) -> Input | None:
        if self._again:
            return self._again.popleft()
        body = self.lanes.take()
        if body is not None:
            item = self._calls.pop(id(body))
            if item.at is None:
                item.at = self._intake.command_stamp()
            return item
        if not self._feeding or self._uncommitted >= UNCOMMITTED_MAX:
            return None
        return self._intake.take()

    def _process(self, item: Input) -> None:
        core = self.core
        core.move_clock(item.at)
        pending = self._open
        pending.inputs.append(item)
        self._uncommitted += 1
        body = item.body
        sequencer = core.sequencer
        call = item.call
        if item.aside is not None:
            events = sequencer.set_aside(item.aside)
            pending.batch.quarantined.append(item.aside)
        else:
            correlation = "" if call is None else call.peer.by
            events = sequencer.process(body, item.source, ts_event=item.ts_event, correlation_id=correlation)
        if isinstance(body, Market):
            pending.batch.panels.append(TapeRow(sequencer.seq, sequencer.last_ts, body))
            core.fold_panel(body, pending.batch.outbox)
            pending.last = Envelope(
                sequencer.seq,
                sequencer.last_ts if item.ts_event is None else item.ts_event,
                sequencer.last_ts,
                item.source,
                body,
            )
        if call is not None and item.answer is not None:
            outcome = self._reply_of(call, body, events)
            kept = self._keep_reply(call, outcome, sequencer.seq, sequencer.last_ts)
            if kept is not None:
                pending.batch.replies.append(kept)
            pending.answers.append((item.answer, outcome))

    def _wants_snapshot(self) -> bool:
        return self.core.sequencer.events_total - self.core.events_at_snapshot >= self._snapshot_events

    def _seal(self, *, force: bool = False) -> None:
        """Hand the open batch over if somebody waits for it, it is full, or quiet data have waited long enough."""
        pending = self._open
        if not (pending.inputs or pending.batch.outbox or (force and self._wants_snapshot())):
            return
        quiet_long = time.monotonic_ns() - pending.since >= QUIET_NS
        if not (pending.urgent or quiet_long or force):
            return
        snapshot = self._wants_snapshot()
        # Without a snapshot to take, a batch grows until the ledger is free for it.
        busy = self._inflight is not None or bool(self._queue)
        if busy and not (snapshot or force) and len(pending.batch.frames) < BATCH_FRAMES:
            return
        self._hand_over(pending, snapshot=snapshot)

    def _hand_over(self, pending: Pending, *, snapshot: bool) -> None:
        last, frames = pending.last, pending.batch.frames
        if last is not None and (not frames or frames[-1].envelope.seq < last.seq):
            # The commit covers the tape up to its last frame, so the last quiet panel gets one.
            core = self.core.sequencer
            frames.append(Frame(last, [], [], core.codec.encode_many([]), core.digest))
        if snapshot:
            pending.batch.snapshot = self.core.snapshot()
        self._queue.append(pending)
        self._open = Pending(since=time.monotonic_ns())
        self._work.set()

    # -- committing ----------------------------------------------------------------------------------------------

    async def _commit_all(self) -> None:
        while True:
            if not self._queue:
                self._idle.set()
                self._seal()
            if not self._queue or self._overtaken or self._full:
                self._work = anyio.Event()
                self._idle.set()
                await self._work.wait()
                continue
            if self._idle.is_set():  # else somebody waits for this very event: it is set once nothing is left to do
                self._idle = anyio.Event()
            self._inflight = pending = self._queue.popleft()
            try:
                await self._writer.commit(pending.batch)
            except CommitOvertaken:
                self._queue.appendleft(pending)
                self._overtaken = True
                self._wake.set()
                continue
            except LedgerFullError as error:
                self._queue.appendleft(pending)
                self._full = str(error)
                self._wake.set()
                continue
            finally:
                self._inflight = None
            self._released(pending)

    def _released(self, pending: Pending) -> None:
        self._uncommitted -= len(pending.inputs)
        self.batches_committed += 1
        self.last_commit_ns = time.monotonic_ns()
        self.stalled = ""
        self._faults("before:reply")
        for answer, outcome in pending.answers:
            answer(outcome)
        self._faults("after:reply")
        self._outlet.committed(pending, self.core)
        self._wake.set()

    async def _settle(self) -> None:
        """Wait until nothing is being committed or waits to be."""
        while self._inflight is not None or (self._queue and not self._overtaken and not self._full):
            self._work.set()
            await self._idle.wait()
            await anyio.lowlevel.checkpoint()

    # -- kill, abandoned frames, full disk -----------------------------------------------------------------------

    async def _overtake(self) -> None:
        """Let a kill pass in front of everything that is not durable."""
        while self._inflight is not None:
            await self._idle.wait()
        waiting = [*self._queue, self._open]
        if any(pending.risky for pending in waiting):
            dropped = self._drop()
            self._outlet.trouble("overtaken", f"a kill overtook {len(dropped)} inputs that were not durable yet")
        self._overtaken = False
        self._observe_latch()

    def _observe_latch(self) -> None:
        self._process(Input(LatchObserved(self._latch.reason, self._latch.by), "latch", self._intake.command_stamp()))
        self._latch.observed = True
        self._hand_over(self._open, snapshot=False)

    def _drop(self) -> list[Input]:
        """Give up everything that is not durable, rebuild the core, and put its inputs first in line again."""
        dropped = [item for pending in (*self._queue, self._open) for item in pending.inputs]
        self._queue.clear()
        self._open = Pending(since=time.monotonic_ns())
        self._uncommitted = 0
        self.core = core = self._rebuild()
        core.attach(self)
        self._intake.rewind(core)
        self._again.extendleft(item for item in reversed(dropped) if not isinstance(item.body, LatchObserved))
        return dropped

    def _abandon(self, item: Input, error: FrameAbandonedError) -> None:
        """An input broke a handler half-way through its frame: set it aside, rebuild, halt (design section 2.2)."""
        record = self._open.batch.quarantined[-1]
        older = self._again
        self._again = deque()
        self._drop()
        self._again = deque(again for again in self._again if again is not item)
        # What came before it goes in again first; it is set aside in its old place, with the halt behind it.
        item.aside = record
        halt = Halt(f"an input was set aside: {error.message}", "daemon")
        self._again += [item, Input(halt, "shell", item.at), *older]
        self._outlet.trouble("abandoned", str(error))

    async def _stall(self) -> None:
        """The disk is full: promise nothing and take nothing in until a halt could be written."""
        reason = self._full
        self.stalled = "ledger_full"
        dropped = self._drop()
        for item in dropped:
            self._refuse(item, reason)
        self._again = deque(item for item in self._again if item.answer is None)
        self._outlet.trouble("ledger_full", reason)
        self._outlet.room()
        if not self._latch.is_set:
            halt = Halt("the disk of the ledger is full", "daemon")
            self._process(Input(halt, "shell", self._intake.command_stamp()))
            self._hand_over(self._open, snapshot=False)
        wait = FULL_RETRY_S
        while self._full:
            if self._stopping:  # what is not durable was promised to nobody
                self._drained.set()
            if self._latch.is_set and not self._latch.observed:
                self._observe_latch()
            self._full = ""  # rolled back, so writing the same rows again is no blind retry
            self._overtaken = False
            await self._settle()
            while (body := self.lanes.take()) is not None:
                self._refuse(self._calls.pop(id(body)), reason)
            for pong in self._pings:
                pong()
            self._pings.clear()
            if self._full and not (self._latch.is_set and not self._latch.observed):
                self._wake = anyio.Event()
                with anyio.move_on_after(wait):
                    await self._wake.wait()
                wait = min(2 * wait, FULL_RETRY_MAX_S)

    def _refuse(self, item: Input, reason: str) -> None:
        if item.answer is not None:
            item.answer(
                Outcome(code="LEDGER_FULL", message=f"nothing was done: {reason}", remedy="make room on the disk")
            )
