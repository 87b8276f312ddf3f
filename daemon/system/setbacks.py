"""What the core loop does when something comes in its way: a kill, an input that breaks the core, a full disk.

All three give up what is not durable yet, as far as they must, and have its inputs come in again: commands first, then
what the intake had given, which merges it anew. Nothing of it was promised to anybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from actors.messages.control import Halt, LatchObserved
from actors.messages.risk import TradingState
from daemon.control.calls import Outcome
from daemon.kernel.errors import InvariantError, OperatorError
from daemon.kernel.poison import PoisonRecord
from daemon.system.collecting import Collector
from daemon.system.commit_line import CommitLine, Retry
from daemon.system.core_lanes import CoreLanes
from daemon.system.core_ports import Input, Intake, LatchView, Outlet
from daemon.system.live_core import LiveCore

AGAIN_MAX: Final = 10_000
"""Facts of the daemon's own that are kept while nothing can be written."""


class Setbacks:
    """The half of the loop that gives way; see the module.

    Attributes:
        lanes: commands and facts that wait.
        stalled: ``ledger_full`` while nothing can be written, else "".
    """

    def __init__(
        self,
        collector: Collector,
        line: CommitLine,
        *,
        intake: Intake,
        latch: LatchView,
        outlet: Outlet,
        rebuild: Callable[[], LiveCore],
    ) -> None:
        """Wire it; ``rebuild`` gives a core folded from what is durable."""
        self.lanes = CoreLanes()
        self.stalled = ""
        self._collector = collector
        self._line = line
        self._intake = intake
        self._latch = latch
        self._outlet = outlet
        self._rebuild = rebuild
        self._retry = Retry()
        self._again: deque[Input] = deque()
        self._broken: tuple[Input, PoisonRecord, str] | None = None
        self._barrier = False
        self._origin = 0
        self._stopping = False
        self._drained = anyio.Event()

    @property
    def core(self) -> LiveCore:
        """The core that decides; another one after a rebuild."""
        return self._collector.core

    @property
    def _kill_waits(self) -> bool:
        return self._latch.is_set and not self._latch.observed

    def _must_wait(self) -> bool:
        """Let a kill pass; tell whether something in flight has to end before the loop may go on. That wakes it."""
        if self._kill_waits or self._line.overtaken:
            if self._line.inflight is not None:
                return True
            self._overtake()
        return self._barrier and not self._line.idle and not self._line.full

    # -- rebuilding ----------------------------------------------------------------------------------------------------

    def _drop(self) -> list[Input]:
        """Give up everything that is not durable, rebuild the core, and have its inputs come in again."""
        dropped = self._collector.drop()
        if self._broken is not None:
            dropped.append(self._broken[0])
            self._broken = None
        self._barrier = False
        seen = [item for item in dropped if isinstance(item.body, LatchObserved)]
        if seen:
            self._latch.observed = False  # nobody has seen it any more
        others = [item for item in dropped if not item.taken and item not in seen]
        for item in others:
            item.at = None
        self._again.extendleft(reversed(others))
        self._renew([item for item in dropped if item.taken])
        return dropped

    def _renew(self, taken: list[Input]) -> None:
        """Rebuild the core from what is durable; ``taken`` goes back to the intake."""
        core = self._rebuild()
        fresh = not core.sequencer.seq
        if fresh:
            core.move_clock(self._origin)
        self._collector.take_over(core)
        if fresh:
            core.sequencer.start()
        self._intake.rewind(core, taken)

    # -- kill ----------------------------------------------------------------------------------------------------------

    def _overtake(self) -> None:
        """Let a kill pass in front of everything that is not durable."""
        waiting = [*self._line.queue, self._collector.open]
        if self._broken is not None or any(pending.risky for pending in waiting):
            dropped = self._drop()
            self._outlet.trouble("overtaken", f"a kill overtook {len(dropped)} inputs that were not durable yet")
        if self._line.overtaken:
            self._line.go_on()
        self._observe_latch()

    def _observe_latch(self) -> None:
        """Process the kill, if there is one that the core does not know.

        Raises:
            InvariantError: the core did not take it: then it must not run.
        """
        if not self._kill_waits:
            return
        body = LatchObserved(self._latch.reason, self._latch.by)
        self._collector.process(Input(body, "latch", self._intake.command_stamp()))
        state = self.core.core.risk.trading_state
        if state is not TradingState.KILLED:
            raise InvariantError(f"trading is killed, but the core is {state} behind it", code="KILL_IGNORED")
        self._latch.observed = True
        self._collector.hand_over()

    # -- abandoned frames ----------------------------------------------------------------------------------------------

    def _set_aside(self) -> float | None:
        """Once what came before it is durable, go on behind an input that broke the core."""
        self._collector.seal(force=True)
        if self._broken is None or not self._line.idle:
            return None
        item, record, what = self._broken
        self._broken = None
        self._renew([])
        self._collector.set_aside(item, record)
        self._collector.process(Input(Halt(f"an input was set aside: {what}", "daemon"), "shell", item.at))
        self._collector.hand_over()
        self._outlet.trouble("abandoned", what)
        return 0.0

    # -- full disk -----------------------------------------------------------------------------------------------------

    def _stall(self) -> float | None:
        """The disk is full: promise nothing and take nothing in until a halt could be written."""
        line = self._line
        if not self.stalled:
            self._begin_stall()
        for item in self.lanes.clear():
            if item.answer is not None:
                self._refuse(item)
            elif len(self._again) < AGAIN_MAX:
                self._again.append(item)
        if self._stopping:  # what is not durable was promised to nobody
            self._drained.set()
        if line.inflight is not None or not line.full:
            return None
        left = self._retry.left_s()
        if left <= 0:
            self._retry.tried()
            line.go_on()  # rolled back, so writing the same rows again is no blind retry
            return None
        return left

    def _begin_stall(self) -> None:
        reason = self._line.full
        self.stalled = "ledger_full"
        self._drop()
        refused = [item for item in self._again if item.answer is not None]
        self._again = deque(item for item in self._again if item.answer is None)
        for item in refused:
            self._refuse(item)
        asks, self._collector.open.asks = self._collector.open.asks, []
        for ask in asks:
            ask.refuse(no_room())
        self._outlet.trouble("ledger_full", reason)
        self._outlet.room()
        self._observe_latch()
        if not self._line.queue:
            halt = Halt("the disk of the ledger is full", "daemon")
            self._collector.process(Input(halt, "shell", self._intake.command_stamp()))
            self._collector.hand_over()
        self._retry.begin()

    def _refuse(self, item: Input) -> None:
        message = "nothing was done: there is no room on the disk of the ledger"
        item.reply(Outcome(code="LEDGER_FULL", message=message, remedy="make room on the disk"))


def no_room() -> OperatorError:
    """Return why no snapshot can be taken while the disk is full."""
    message = "there is no room on the disk for a snapshot"
    return OperatorError(message, code="LEDGER_FULL", remedy="make room on the disk")
