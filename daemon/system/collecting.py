"""Processing: one input after the other through the core, and what it caused collected into the next commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.messages.orders import OrderAccepted, OrderFilled, OrderPartiallyFilled, OrderReplaced
from daemon.control.calls import Call, Outcome
from daemon.journal.batch import KeptReply, TapeRow
from daemon.kernel.actor import Frame
from daemon.kernel.folding import TIMER
from daemon.kernel.message import Envelope, Event, Market, Message
from daemon.kernel.poison import PoisonRecord
from daemon.system.commit_line import CommitLine
from daemon.system.core_ports import Input, Pending, Window
from daemon.system.live_core import LiveCore

BATCH_FRAMES: Final = 1_000
"""Frames in one commit at most, unless told."""
QUIET_NS: Final = 1_000_000_000
"""Quiet market data are made durable at least this often."""
QUIET_INPUTS: Final = 5_000
"""And behind so many inputs: well before the loop may run no further ahead, so that a fast playback never waits."""
SNAPSHOT_INPUTS: Final = 50_000
"""A snapshot is taken behind so many inputs, however little they caused: a start folds them one by one, in a second."""
_RISKY: Final = (OrderAccepted, OrderFilled, OrderPartiallyFilled, OrderReplaced)

ReplyOf = Callable[[Call, Message, list[Any]], Outcome]
KeepReply = Callable[[Call, Outcome, int, int], KeptReply | None]


class Collector:
    """See the module.

    Attributes:
        core: that decides.
        open: what is collected.
        uncommitted: inputs processed but not durable yet.
        whole: the core stands between two inputs; False once one broke it half-way.
    """

    def __init__(
        self,
        core: LiveCore,
        line: CommitLine,
        *,
        reply_of: ReplyOf,
        keep_reply: KeepReply,
        snapshot_events: int,
        batch_frames: int = BATCH_FRAMES,
        window: Window | None = None,
    ) -> None:
        """Collect what ``core`` states and hand it to ``line``, at most ``batch_frames`` at once.

        ``window`` is what people see of it.
        """
        self.core = core
        self.open = Pending(since=time.monotonic_ns())
        self.uncommitted = 0
        self.whole = True
        self._line = line
        self._reply_of = reply_of
        self._keep_reply = keep_reply
        self._snapshot_events = snapshot_events
        self._batch_frames = batch_frames
        self._window = window
        core.attach(self)

    # -- sink of the sequencer -----------------------------------------------------------------------------------------

    def append(self, frame: Frame) -> None:
        """Collect a frame; the alerter and the open questions to models are folds of it."""
        pending = self.open
        pending.batch.frames.append(frame)
        self.core.fold_frame(frame, pending.batch.outbox)
        if not pending.risky:
            pending.risky = any(isinstance(event, _RISKY) for event in frame.events)

    def quarantine(self, record: PoisonRecord) -> None:
        """Keep a poisoned input; where its frame is abandoned this is all that is left of it."""
        self.open.batch.quarantined.append(record)

    # -- processing --------------------------------------------------------------------------------------------------

    def process(self, item: Input) -> None:
        """Let an input in.

        Raises:
            FrameAbandonedError: the core is broken; :meth:`break_off` comes next.
            InvariantError: ours, and fatal.
        """
        self.core.move_clock(item.at)
        self.open.inputs.append(item)
        self.uncommitted += 1
        call = item.call
        by = "" if call is None else call.peer.by
        events = self.core.sequencer.process(item.body, item.source, ts_event=item.ts_event, correlation_id=by)
        self._processed(item, events)

    def set_aside(self, item: Input, record: PoisonRecord) -> None:
        """Let in what broke the predecessor of this core: nobody decides on it.

        Raises:
            InvariantError: inputs of its type were poisoned too often.
        """
        core, pending = self.core, self.open
        core.move_clock(item.at)
        pending.inputs.append(item)
        self.uncommitted += 1
        if item.source == TIMER and item.ts_event is not None:
            core.sequencer.timers.discard(item.ts_event, item.body)  # the rebuilt core has it waiting still
        events = core.sequencer.set_aside(record)
        told = msgspec.structs.replace(record.envelope, seq=core.sequencer.seq, ts_init=core.sequencer.last_ts)
        pending.batch.quarantined.append(msgspec.structs.replace(record, envelope=told))
        self._processed(item, events)

    def _processed(self, item: Input, events: list[Event]) -> None:
        core, pending, body = self.core, self.open, item.body
        sequencer = core.sequencer
        if isinstance(body, Market):
            seq, ts = sequencer.seq, sequencer.last_ts
            pending.batch.panels.append(TapeRow(seq, ts, body))
            core.fold_panel(body, pending.batch.outbox)
            pending.last = Envelope(seq, ts if item.ts_event is None else item.ts_event, ts, item.source, body)
        if item.answer is None:
            return
        if item.call is None:
            pending.answers.append((item, Outcome()))
            return
        outcome = self._reply_of(item.call, body, events)
        kept = self._keep_reply(item.call, outcome, sequencer.seq, sequencer.last_ts)
        if kept is not None:
            pending.batch.replies.append(kept)
        pending.answers.append((item, outcome))

    def break_off(self) -> tuple[Input, PoisonRecord]:
        """Take out the input whose frame was abandoned; what came before it stays and may be committed."""
        self.whole = False
        self.uncommitted -= 1
        return self.open.inputs.pop(), self.open.batch.quarantined.pop()

    # -- handing over ------------------------------------------------------------------------------------------------

    @property
    def wants_snapshot(self) -> bool:
        """Whether enough has happened since the last one."""
        core, sequencer = self.core, self.core.sequencer
        return (
            sequencer.events_total - core.events_at_snapshot >= self._snapshot_events
            or sequencer.seq - core.snapshot_seq >= SNAPSHOT_INPUTS
        )

    @property
    def is_large(self) -> bool:
        """Whether the open batch should go."""
        return len(self.open.batch.frames) >= self._batch_frames or self._is_many or self.wants_snapshot

    @property
    def _is_many(self) -> bool:
        return len(self.open.inputs) >= QUIET_INPUTS

    @property
    def quiet_left_s(self) -> float | None:
        """Seconds until quiet data have to be handed over; None where nothing waits for that."""
        if not self.open.inputs or self.open.urgent or not self._line.idle:
            return None
        return max(0.001, (self.open.since + QUIET_NS - time.monotonic_ns()) / 1e9)

    def seal(self, *, force: bool = False) -> None:
        """Hand the open batch over if somebody waits for it, it is large, or quiet data have waited long enough."""
        pending = self.open
        if not (pending.inputs or pending.urgent):
            return
        snapshot = self.whole and (bool(pending.asks) or self.wants_snapshot)
        if not (pending.urgent or force or self._is_many or time.monotonic_ns() - pending.since >= QUIET_NS):
            return
        # Without a snapshot to take, a batch grows until the ledger is free for it.
        if self._line.idle or snapshot or force or len(pending.batch.frames) >= self._batch_frames:
            self.hand_over(snapshot=snapshot)

    def hand_over(self, *, snapshot: bool = False) -> None:
        """Hand the open batch over as it is, with a snapshot behind it where one is wanted and none is there."""
        pending, frames = self.open, self.open.batch.frames
        last, sequencer = pending.last, self.core.sequencer
        if last is not None and (not frames or frames[-1].envelope.seq < last.seq):
            # The commit covers the tape up to its last frame, so the last quiet panel gets one.
            frames.append(Frame(last, [], [], sequencer.codec.encode_many([]), sequencer.digest))
        if snapshot and self.core.snapshot_seq != sequencer.seq:
            pending.batch.snapshot = self.core.snapshot()
        pending.snapshot_seq = self.core.snapshot_seq
        if self._window is not None and self.whole:
            pending.board = self._window.along(pending)
        self._line.put(pending)
        self.open = Pending(since=time.monotonic_ns())
        if not snapshot:
            self.open.asks, pending.asks = pending.asks, []

    # -- dropping ----------------------------------------------------------------------------------------------------

    def drop(self) -> list[Input]:
        """Give up everything that is not durable; return its inputs, in order. Nothing may be in flight.

        What must not be lost with it stays in the open batch: which alerts were delivered, what callers are told in
        the end, history that warms features, and who waits for a snapshot.
        """
        waiting = [*self._line.clear(), self.open]
        self.open = fresh = Pending(since=time.monotonic_ns())
        for pending in waiting:
            fresh.batch.outbox += [row for row in pending.batch.outbox if row.state != "pending"]
            fresh.batch.panels += [row for row in pending.batch.panels if not row.seq]
            fresh.batch.replies += [one.kept for one in pending.amended]
            fresh.amended += pending.amended
            fresh.asks += pending.asks
        self.uncommitted = 0
        return [item for pending in waiting for item in pending.inputs]

    def take_over(self, core: LiveCore) -> None:
        """Go on with a rebuilt core, warmed by the history that is not on the tape yet."""
        core.sequencer.rewarm([row.body for row in self.open.batch.panels])
        core.attach(self)
        self.core = core
        self.whole = True
