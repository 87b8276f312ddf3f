"""The core loop: takes inputs one by one, steps the core, and lets nothing leave before it is on disk.

Theory of operation
-------------------
Inputs come from three places, in this order: commands that have to go in again, the control lanes, the feed's intake.
Each is processed (``collecting.py``); what it caused waits for the next commit (``commit_line.py``). While one batch is
being committed the next is collected, so commits group by themselves. After a commit, and only then, its answers,
alerts, inference requests and lines for subscribers are released.

The loop itself is a step that never waits and says how long there is nothing to do. Only the line of commits waits for
the disk; so a ping comes back, and a kill is seen, whatever the ledger does.

A kill overtakes everything that is not durable yet. The latch is looked at before every input and, by the ledger
writer, before every COMMIT. Where an order or a fill stands in a batch that was not committed, everything that is not
durable is dropped, the core is rebuilt from the ledger, the kill is processed first and the dropped inputs come in
again behind it: commands first, then the market as the intake merges it. So no order becomes durable after a kill was
acknowledged, and none that was promised is lost. Behind an unlatch the loop waits until it is durable and the latch
was cleared, or a second kill in between would find orders on their way.

A full disk does the same without a kill: what could not be kept is dropped, commands are refused, the first thing
written once there is room is a halt. Any other failure of the ledger ends the process: recovery is start-up.

An input that breaks a handler half-way through its frame breaks the core: what came before it is committed, the core
is rebuilt, the input is set aside in its place, and a halt follows (design section 2.2).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio

from actors.messages.control import Unlatch
from daemon.control.calls import Call, Outcome
from daemon.journal.batch import NO_FAULTS, Faults, OutboxRow, TapeRow
from daemon.kernel.errors import FrameAbandonedError, OperatorError
from daemon.kernel.mailbox import Lane
from daemon.kernel.message import Market
from daemon.system.collecting import BATCH_FRAMES, Collector, KeepReply, ReplyOf
from daemon.system.commit_line import CommitLine
from daemon.system.core_lanes import BACKLOG_MAX, UNCOMMITTED_MAX
from daemon.system.core_ports import Amended, Input, Intake, LatchView, Outlet, Pending, SnapshotAsk, Window, Writer
from daemon.system.live_core import LiveCore
from daemon.system.setbacks import Setbacks, no_room

SLICE_NS: Final = 4_000_000
"""How long the loop may process without letting other tasks run."""
_GONE: Final = "the core has ended"


class CoreLoop(Setbacks):
    """See the module.

    Attributes:
        batches_committed: by this loop.
        committed_seq: the last input that this loop has made durable; 0 before the first.
        last_commit_ns: monotonic nanoseconds.
    """

    def __init__(
        self,
        core: LiveCore,
        *,
        intake: Intake,
        writer: Writer,
        latch: LatchView,
        outlet: Outlet,
        rebuild: Callable[[], LiveCore],
        reply_of: ReplyOf,
        keep_reply: KeepReply,
        snapshot_events: int,
        batch_frames: int = BATCH_FRAMES,
        window: Window | None = None,
        faults: Faults = NO_FAULTS,
    ) -> None:
        """Wire a loop; ``rebuild`` gives a core folded from what is durable, ``window`` is what people see of it."""
        line = CommitLine(writer, released=self._released, refill=self._refill, wake=self.wake)
        collector = Collector(
            core,
            line,
            reply_of=reply_of,
            keep_reply=keep_reply,
            snapshot_events=snapshot_events,
            batch_frames=batch_frames,
            window=window,
        )
        super().__init__(collector, line, intake=intake, latch=latch, outlet=outlet, rebuild=rebuild)
        self.batches_committed = 0
        self.committed_seq = 0
        self.last_commit_ns = time.monotonic_ns()
        self._faults = faults
        self._window = window
        self._keep_reply = keep_reply
        self._wake = anyio.Event()
        self._feeding = True
        self._ending = False
        self._closed = False
        self._pings: list[Callable[[], None]] = []

    @property
    def depth(self) -> int:
        """Inputs processed but not durable yet."""
        return self._collector.uncommitted

    @property
    def settled(self) -> bool:
        """Whether everything that the core has stated is durable; quiet market data may be ahead."""
        return self._line.idle and not self._collector.open.urgent and self._broken is None

    # -- other tasks ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the loop look for work; call on the loop's thread."""
        self._wake.set()

    def offer(self, item: Input, lane: Lane) -> bool:
        """Queue an input on a lane; False where the lane is full, or nothing is taken any more."""
        if self._closed or not self.lanes.offer(item, lane):
            return False
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
        """Take no more market data; return once what came in is processed and durable, or cannot be for want of room.

        What comes in afterwards is processed still, until a last :meth:`take_snapshot`.
        """
        self._feeding = False
        self._stopping = True
        self._wake.set()
        await self._drained.wait()

    def end(self) -> None:
        """Let the next :meth:`take_snapshot` be the last, whether or not a drain came before it and to its end."""
        self._feeding = False
        self._stopping = self._ending = True
        self._wake.set()

    def keep(self, rows: list[OutboxRow]) -> None:
        """Write the new state of alerts with the next commit, but never over a newer form that is on its way."""
        if self._closed:  # they are still pending on disk, and the next run delivers them again under the same ids
            return
        waiting = [*self._line.queue, self._collector.open, *([self._line.inflight] if self._line.inflight else ())]
        newer = {row.alert_id for pending in waiting for row in pending.batch.outbox if row.state == "pending"}
        self._collector.open.batch.outbox += [row for row in rows if row.alert_id not in newer]
        self._wake.set()

    def amend(self, call: Call, outcome: Outcome, answer: Callable[[Outcome], None]) -> None:
        """Answer a call in the end, once that is kept in the place of the answer that its frame had."""
        kept = (
            None if self._closed else self._keep_reply(call, outcome, self.committed_seq, self.core.sequencer.last_ts)
        )
        if kept is None:
            answer(outcome)
            return
        self._collector.open.batch.replies.append(kept)
        self._collector.open.amended.append(Amended(kept, outcome, answer))
        self._wake.set()

    async def take_snapshot(self) -> int:
        """Take a snapshot and make it durable; return the seq it stands behind.

        Behind a drain or :meth:`end` it is the last: once it is durable with nothing behind it, nothing is taken any
        more, so that the ledger may be sealed.

        Raises:
            OperatorError: there is no room on the disk, or the loop has ended.
        """
        while True:
            if self._closed:
                raise _gone()
            if self.stalled:
                raise no_room()
            ask = SnapshotAsk()
            self._collector.open.asks.append(ask)
            self._wake.set()
            seq = await ask.wait()
            if not (self._drained.is_set() or self._ending):
                return seq
            if self._at_rest():
                self._closed = True
                return seq

    def _at_rest(self) -> bool:
        """Tell whether nothing is left to be done."""
        nothing_in = not self._again and not len(self.lanes) and not self._kill_waits
        return nothing_in and self._line.idle and not self.depth and not self._collector.open.urgent

    # -- running -------------------------------------------------------------------------------------------------------

    def begin(self, first: list[Input]) -> None:
        """Put in front what has to go in before anything else; a fresh core sets its first timers.

        A kill is observed again: whether an earlier loop's observation has become durable is not known here.
        """
        self._origin = self.core.clock.now()
        self._latch.observed = False
        if not self.core.sequencer.seq:
            self.core.sequencer.start()
        self._again.extend(first)

    def tape_warm(self, rows: list[Market]) -> None:
        """Put history that was only observed on the tape, so that a restart warms with the same."""
        ts = self.core.clock.now()
        self._collector.open.batch.panels += [TapeRow(0, ts, row) for row in rows]

    async def run(self, beat: Callable[[], None]) -> None:
        """Process and commit until cancelled; then whoever waits still is told."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._line.run)
                while True:
                    beat()
                    await self._turn()
        finally:
            self._farewell()

    async def _turn(self) -> None:
        self._wake = anyio.Event()
        wait = self._step()
        pings, self._pings = self._pings, []
        for pong in pings:
            pong()
        if wait is None:
            await self._wake.wait()
        elif wait:
            with anyio.move_on_after(wait):
                await self._wake.wait()
        else:
            await anyio.lowlevel.checkpoint()

    def _step(self) -> float | None:
        """Do what can be done now; return seconds until there may be more, None where somebody will wake the loop."""
        if self._closed or self._must_wait():
            return None
        if self._line.full or self.stalled:
            return self._stall()
        if self._broken is not None:
            return self._set_aside()
        self._barrier = False
        if self._slice():
            return 0.0
        if self._stopping and not self._drained.is_set():
            self._collector.seal(force=True)
            if self._line.idle and not self.depth:
                self._drained.set()
        return self._rest_s()

    def _rest_s(self) -> float | None:
        waits = [self._collector.quiet_left_s]
        if self._feeding and not self._loaded:
            waits.append(self._intake.wait_s())
        return min((wait for wait in waits if wait is not None), default=None)

    def _slice(self) -> bool:
        """Process inputs until there is none, or others must run; return whether there may be more."""
        until = time.monotonic_ns() + SLICE_NS
        collector, latch, line = self._collector, self._latch, self._line
        while time.monotonic_ns() < until:
            if (latch.is_set and not latch.observed) or line.overtaken or line.full:
                return True
            item = self._next()
            if item is None:
                collector.seal()
                return False
            try:
                collector.process(item)
            except FrameAbandonedError as error:
                self._broken = (*collector.break_off(), error.message)
                return True
            if type(item.body) is Unlatch:
                collector.hand_over()
                self._barrier = True
                return True
            if collector.is_large:
                collector.seal()
        collector.seal()
        return True

    def _next(self) -> Input | None:
        item = self._again.popleft() if self._again else self.lanes.take(self.depth)
        if item is not None:
            if item.at is None:
                item.at = self._intake.command_stamp()
            return item
        if not self._feeding or self._loaded:
            return None
        return self._intake.take()

    @property
    def _loaded(self) -> bool:
        """Whether the ledger has enough to do before more market data come in; what can wait leaves it little.

        Otherwise an orderly end at full speed had to wait for a backlog that nobody asked for.
        """
        waits = self._intake.patient and len(self._line.queue) >= BACKLOG_MAX
        return waits or self.depth >= UNCOMMITTED_MAX

    def _refill(self) -> None:
        """The ledger is free: hand over what is ready."""
        self._collector.seal()

    def _released(self, pending: Pending) -> None:
        self._collector.uncommitted -= len(pending.inputs)
        self.batches_committed += 1
        self.committed_seq = max(self.committed_seq, pending.seq)
        self.last_commit_ns = time.monotonic_ns()
        if self.stalled:
            self.stalled = ""
            self._retry.ended()
        self._outlet.durable(pending)
        if self._window is not None:
            self._window.durable(pending)
        self._faults("before:reply")
        for item, outcome in pending.answers:
            item.reply(outcome)
        for one in pending.amended:
            one.tell()
        self._faults("after:reply")
        for ask in pending.asks:
            ask.taken(pending.snapshot_seq)
        self._outlet.committed(pending, self.core)

    def _farewell(self) -> None:
        """Leave nobody waiting: the loop ends."""
        self._closed = True
        flying = [] if self._line.inflight is None else [self._line.inflight]
        unknown = Outcome(
            code="UNKNOWN",
            message=f"{_GONE} while this was being written; whether it was done is not known",
            remedy="ask again with the same request_id",
        )
        for item in [item for pending in flying for item in pending.inputs]:
            item.reply(unknown)
        undone = Outcome(code="NOT_READY", message=f"{_GONE}; nothing was done", remedy="ask again in a moment")
        waiting = [*self._line.queue, self._collector.open]
        broken = [] if self._broken is None else [self._broken[0]]
        inputs = [item for pending in waiting for item in pending.inputs]
        for item in (*inputs, *broken, *self._again, *self.lanes.clear()):
            item.reply(undone)
        for pending in (*flying, *waiting):
            for one in pending.amended:  # what it tells of is durable; only the answer itself is not kept
                one.tell()
            for ask in pending.asks:
                ask.refuse(_gone())
        self._drained.set()


def _gone() -> OperatorError:
    return OperatorError(_GONE, code="NOT_READY", remedy="ask again in a moment")
