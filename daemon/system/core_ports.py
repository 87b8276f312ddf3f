"""What the core loop passes on and what it is wired to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from daemon.control.calls import Call, Outcome
from daemon.journal.batch import Batch
from daemon.kernel.message import Envelope, Message
from daemon.kernel.poison import PoisonRecord
from daemon.system.live_core import LiveCore


class Input(msgspec.Struct, eq=False):
    """Something for the sequencer.

    Attributes:
        body, source: as the sequencer takes them.
        at: virtual instant it belongs to; None for the clock's own.
        ts_event: when it happened, where that is not the stamp.
        call: of the control surface, with ``answer`` to be called once it is durable.
        aside: what the quarantine was told of it: it is only set aside.
    """

    body: Message
    source: str
    at: int | None = None
    ts_event: int | None = None
    call: Call | None = None
    answer: Callable[[Outcome], None] | None = None
    aside: PoisonRecord | None = None


class Pending(msgspec.Struct, eq=False):
    """One commit in the making, and what it releases."""

    batch: Batch = msgspec.field(default_factory=Batch)
    inputs: list[Input] = msgspec.field(default_factory=list)
    answers: list[tuple[Callable[[Outcome], None], Outcome]] = msgspec.field(default_factory=list)
    last: Envelope | None = None
    risky: bool = False
    since: int = 0

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it, or it holds facts."""
        return bool(self.batch.frames or self.answers or self.batch.snapshot or self.batch.outbox)


class Intake(Protocol):
    """Where market data, predictions and timers come from, in the order in which they may be processed."""

    def take(self) -> Input | None:
        """Return the next input that may be processed now, or None."""
        ...

    def command_stamp(self) -> int | None:
        """Return the virtual instant of a command that comes in now; None for the clock's own."""
        ...

    def wait_s(self) -> float | None:
        """Return after how many seconds to look again without being woken; None for never."""
        ...

    def rewind(self, core: LiveCore) -> None:
        """Forget what a core that was dropped had asked for; go on with this one."""
        ...


class Writer(Protocol):
    """The part of the ledger writer that the loop uses."""

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable."""
        ...


class LatchView(Protocol):
    """The part of the kill latch that the loop uses."""

    is_set: bool
    observed: bool

    reason: str
    by: str


class Outlet(Protocol):
    """Who hears of what was committed, on the loop's thread."""

    def committed(self, pending: Pending, core: LiveCore) -> None:
        """Release alerts, inference requests, views and lines for subscribers."""
        ...

    def trouble(self, what: str, sentence: str) -> None:
        """Something went wrong that people should hear of: ``ledger_full``, ``abandoned``, ``overtaken``."""
        ...

    def room(self) -> None:
        """Make room on the disk if that is possible."""
        ...
