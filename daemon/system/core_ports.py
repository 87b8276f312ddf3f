"""What the core loop passes on and what it is wired to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import msgspec

from daemon.control.calls import Call, Outcome
from daemon.journal.batch import Batch, KeptReply
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Envelope, Message
from daemon.system.board import Board
from daemon.system.live_core import LiveCore


class Input(msgspec.Struct, eq=False):
    """Something for the sequencer.

    Attributes:
        body, source: as the sequencer takes them.
        at: virtual instant it belongs to, nanoseconds UTC; None for the clock's own.
        ts_event: when it happened, where that is not the stamp.
        call: of the control surface.
        answer: called once, when what became of the input is durable, or to say that nothing will.
        taken: the intake gave it, and takes it back where it is dropped.
    """

    body: Message
    source: str
    at: int | None = None
    ts_event: int | None = None
    call: Call | None = None
    answer: Callable[[Outcome], None] | None = None
    taken: bool = False

    def reply(self, outcome: Outcome) -> None:
        """Answer whoever waits for it; only the first answer counts."""
        answer, self.answer = self.answer, None
        if answer is not None:
            answer(outcome)


class SnapshotAsk:
    """Somebody waits for a snapshot to be durable.

    Attributes:
        seq: the input it stands behind, once there is one.
        error: why there will be none.
    """

    def __init__(self) -> None:
        """Begin to wait."""
        self.seq = 0
        self.error: OperatorError | None = None
        self._done = anyio.Event()

    def taken(self, seq: int) -> None:
        """It is durable."""
        self.seq = seq
        self._done.set()

    def refuse(self, error: OperatorError) -> None:
        """There will be none."""
        self.error = error
        self._done.set()

    async def wait(self) -> int:
        """Return the seq.

        Raises:
            OperatorError: there will be none.
        """
        await self._done.wait()
        if self.error is not None:
            raise self.error
        return self.seq


class Amended(msgspec.Struct, eq=False):
    """What a caller is told in the end, in the place of what its frame alone would say; durable first.

    Attributes:
        kept: as the ledger keeps it.
        outcome, answer: what is told, and to whom.
    """

    kept: KeptReply
    outcome: Outcome
    answer: Callable[[Outcome], None]

    def tell(self) -> None:
        """Tell it."""
        self.answer(self.outcome)


class Pending(msgspec.Struct, eq=False):
    """One commit in the making, and what it releases.

    Attributes:
        batch: what becomes durable.
        inputs: that were processed for it, in order.
        answers: to be given once it is durable.
        asks: who waits for a snapshot behind it.
        snapshot_seq: the input that the newest snapshot stands behind once it is durable.
        last: envelope of the last market input in it, or None.
        risky: it holds an order, or a fill: nothing that may follow a kill.
        since: monotonic nanoseconds when it was begun.
        amended: replies among the batch's that no input of it brought: what callers are told in the end.
        board: of the core behind it, to be shown once it is durable; None where none was due.
    """

    batch: Batch = msgspec.field(default_factory=Batch)
    inputs: list[Input] = msgspec.field(default_factory=list)
    answers: list[tuple[Input, Outcome]] = msgspec.field(default_factory=list)
    asks: list[SnapshotAsk] = msgspec.field(default_factory=list)
    snapshot_seq: int = 0
    last: Envelope | None = None
    risky: bool = False
    since: int = 0
    amended: list[Amended] = msgspec.field(default_factory=list)
    board: Board | None = None

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it, or it holds facts."""
        batch = self.batch
        return bool(batch.frames or batch.outbox or batch.replies or self.answers or self.asks)

    @property
    def seq(self) -> int:
        """The last input it makes durable; 0 where it holds none."""
        frames = self.batch.frames
        return frames[-1].envelope.seq if frames else 0


class Intake(Protocol):
    """Where market data, predictions and timers come from, in the order in which they may be processed."""

    @property
    def patient(self) -> bool:
        """Whether market data may wait as long as they have to: their stamps stay the same."""
        ...

    def take(self) -> Input | None:
        """Return the next input that may be processed now, or None; it is marked as ``taken``."""
        ...

    def command_stamp(self) -> int | None:
        """Return the virtual instant of a command that comes in now; None for the clock's own."""
        ...

    def wait_s(self) -> float | None:
        """Return after how many seconds to look again without being woken; None for never."""
        ...

    def rewind(self, core: LiveCore, dropped: list[Input]) -> None:
        """Go on with a rebuilt core; what was taken for its predecessor and dropped comes again, in order."""
        ...


class Writer(Protocol):
    """The part of the ledger writer that the loop uses."""

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable."""
        ...


class Window(Protocol):
    """What people see of the core; on the loop's thread."""

    def along(self, pending: Pending) -> Board | None:
        """Return what to show once this batch, behind which the core stands, is durable."""
        ...

    def durable(self, pending: Pending) -> None:
        """Show it."""
        ...


class LatchView(Protocol):
    """The part of the kill latch that the loop uses."""

    is_set: bool
    observed: bool
    reason: str
    by: str


class Outlet(Protocol):
    """Who hears of what was committed, on the loop's thread."""

    def durable(self, pending: Pending) -> None:
        """Move the head that people are told, before the answers go out."""
        ...

    def committed(self, pending: Pending, core: LiveCore) -> None:
        """Release alerts, inference requests, views and lines for subscribers."""
        ...

    def trouble(self, what: str, sentence: str) -> None:
        """Something went wrong that people should hear of: ``ledger_full``, ``abandoned``, ``overtaken``."""
        ...

    def room(self) -> None:
        """Make room on the disk if that is possible."""
        ...
