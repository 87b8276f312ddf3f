"""The desk of a running daemon: what the control thread asks goes to the core, to what was published, or to the shell.

``submit`` and ``read`` are called on the control thread. Whatever touches the core is handed to the main loop and
answered there, after the commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from actors.messages.alerts import AlertAcknowledged
from actors.messages.risk import TradingState
from actors.values.fixed import fmt
from actors.values.universe import Universe
from daemon.control.calls import Call, Outcome
from daemon.control.latch import KillLatch
from daemon.control.methods import METHODS as TABLE
from daemon.kernel.errors import TradingdError
from daemon.kernel.mailbox import Lane
from daemon.system.core_loop import CoreLoop
from daemon.system.core_ports import Input
from daemon.system.desk import METHODS, command_of
from daemon.system.desk_reply import stands
from daemon.system.event_lines import wanted_lines
from daemon.system.live_core import LiveCore
from daemon.system.order_fields import ReadTime

FLAT_S: Final = 30.0
FLAT_MAX_S: Final = 600.0
NO_ERRANDS: Final = "NO_ERRANDS"

Answer = Callable[[Outcome], None]
Admin = Callable[[Call], Awaitable[Outcome]]
Push = Callable[[dict[str, Any]], bool]


class Subscriber:
    """Somebody who wants committed events; lines wait while older ones are being looked up."""

    def __init__(self, push: Push, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Send to ``push`` what is wanted."""
        self._push = push
        self._wanted = wanted
        self._lock = threading.Lock()
        self._held: list[dict[str, Any]] | None = []
        self._has = 0
        """Up to which input it was given what is in the ledger: some of that is published only later."""
        self.cut = False

    def send(self, lines: list[dict[str, Any]]) -> None:
        """Send new lines, or keep them until the older ones are out."""
        with self._lock:
            if self._held is not None:
                self._held += lines
                return
            self._out(lines)

    def catch_up(self, lines: list[dict[str, Any]], last_seq: int) -> None:
        """Send older lines first, then what came meanwhile."""
        with self._lock:
            self._out(lines)
            held, self._held = self._held or [], None
            self._has = last_seq
            self._out(held)

    def _out(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if not self.cut and line["seq"] > self._has and self._wanted(line) and not self._push(line):
                self.cut = True


class _Flattening(msgspec.Struct):
    """Somebody waits for a flat book.

    Attributes:
        deadline: monotonic seconds.
        call, answer, result: who, and what they are told beside.
        core, seq: the core that was first seen flat, and the input behind which it was; None where none was.
    """

    deadline: float
    call: Call
    answer: Answer
    result: dict[str, Any]
    core: LiveCore | None = None
    seq: int = 0


class LiveDesk:
    """See the module."""

    def __init__(
        self,
        *,
        universe: Universe,
        portfolios: tuple[str, ...],
        latch: KillLatch,
        kill_file: Path,
        core_loop: Callable[[], CoreLoop],
        readers: dict[str, Callable[[Call], Outcome]],
        admin: dict[str, Admin],
        resolve: Callable[[str], str],
        older: Callable[[int], tuple[list[dict[str, Any]], int]],
        trading_state: Callable[[], TradingState],
        knows_alert: Callable[[str], bool] = lambda _: True,
        read_time: ReadTime | None = None,
    ) -> None:
        """Wire the desk; it takes calls once :meth:`open` was called."""
        self._universe = universe
        self._portfolios = portfolios
        self._latch = latch
        self._kill_file = kill_file
        self._core_loop = core_loop
        self._readers = readers
        self._admin = admin
        self._resolve = resolve
        self._older = older
        self._trading_state = trading_state
        self._knows_alert = knows_alert
        self._read_time = read_time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flat: list[_Flattening] = []
        self._subscribers: list[Subscriber] = []
        self._admin_calls: deque[tuple[Call, Answer]] = deque()
        self._admin_wake = anyio.Event()
        self._admin_gone = ""
        self._lock = threading.Lock()
        self.closing = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take calls from here on."""
        self._loop = loop

    # -- control thread ----------------------------------------------------------------------------------------------

    def submit(self, call: Call, answer: Answer) -> None:
        """Hand a call to the core or to the shell."""
        loop = self._loop
        if loop is None or self.closing:
            answer(_not_ready("is shutting down" if self.closing else "is not ready yet"))
            return
        if call.method in METHODS:
            try:
                command = command_of(
                    call, self._universe, self._portfolios, resolve=self._resolve, read_time=self._read_time
                )
            except TradingdError as error:
                answer(refusal(error))
                return
            if isinstance(command, AlertAcknowledged) and not self._knows_alert(command.alert_id):
                answer(
                    Outcome(
                        code="UNKNOWN_ALERT",
                        message=f"there is no alert {command.alert_id}",
                        field="alert_id",
                        remedy="see tradingctl alerts",
                    )
                )
                return
            lane = Lane.CONTROL if TABLE[call.method].lane == 0 else Lane.COMMAND
            item = Input(command, "control", call=call, answer=self._finish(call, answer))
            loop.call_soon_threadsafe(self._offer, item, lane)
        elif call.method in self._admin:
            loop.call_soon_threadsafe(self.errand, call, answer)
        else:
            answer(Outcome(code="UNKNOWN_METHOD", message=f"{call.method} is nothing this daemon does"))

    def stands(self, call: Call, outcome: Outcome) -> bool:
        """Tell whether what a call was answered once holds still."""
        return bool(outcome.code) or stands(call, self._trading_state())

    def read(self, call: Call) -> Outcome:
        """Answer from what was published."""
        reader = self._readers.get(call.method)
        if reader is None:
            return Outcome(code="UNKNOWN_METHOD", message=f"{call.method} is nothing this daemon shows")
        try:
            return reader(call)
        except TradingdError as error:
            return refusal(error)

    def subscribe(self, call: Call, push: Push) -> Callable[[], None]:
        """Send committed events, from ``from_seq`` on where it is given.

        Raises:
            OperatorError: no event is of a type that was asked for, or the past cannot be read.
        """
        wanted = wanted_lines(call.params.get("types") or (), call.params.get("symbol") or "")
        subscriber = Subscriber(push, wanted)

        def leave() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        with self._lock:
            self._subscribers.append(subscriber)
        from_seq = call.params.get("from_seq")
        try:
            lines, last = ([], 0) if from_seq is None else self._older(int(from_seq))
        except BaseException:
            leave()  # or new lines would be held for it for ever
            raise
        subscriber.catch_up(lines, last)
        return leave

    def on_main(self, call: Callable[[], object]) -> None:
        """Have something done on the main loop."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call)

    # -- main loop ---------------------------------------------------------------------------------------------------

    async def in_core(self, item: Input, lane: Lane = Lane.CONTROL) -> Outcome:
        """Put an input of the daemon's own in front of the core and wait until what became of it is durable."""
        done = anyio.Event()
        outcomes: list[Outcome] = []

        def answer(outcome: Outcome) -> None:
            outcomes.append(outcome)
            done.set()

        item.answer = answer
        self._offer(item, lane)
        await done.wait()
        return outcomes[0]

    @property
    def listening(self) -> bool:
        """Whether anybody wants events."""
        return bool(self._subscribers)

    def publish(self, lines: list[dict[str, Any]]) -> None:
        """Send committed events to whoever wants them."""
        with self._lock:
            self._subscribers = [s for s in self._subscribers if not s.cut]
            subscribers = tuple(self._subscribers)
        for subscriber in subscribers:
            subscriber.send(lines)

    def look_for_flat(self) -> None:
        """Answer those who wait for a flat book, or whose time is over.

        A book is called flat only once the input behind which it was so is durable.
        """
        if not self._flat:
            return
        loop = self._core_loop()
        left = open_business(loop, self._universe)
        now = time.monotonic()
        waiting, self._flat = self._flat, []
        for one in waiting:
            if left:
                one.core = None
            elif one.core is not loop.core:
                one.core, one.seq = loop.core, loop.core.sequencer.seq
            # A rebuilt core is folded from what is durable; with nothing ahead of the ledger it is so at once.
            flat = one.core is not None and (loop.settled or loop.committed_seq >= one.seq)
            if flat or self.closing or now >= one.deadline:
                outcome = Outcome(one.result | {"flat": flat, "left": left})
                loop.amend(one.call, outcome, one.answer)
            else:
                self._flat.append(one)

    def _offer(self, item: Input, lane: Lane) -> None:
        if self._core_loop().offer(item, lane):
            return
        if self.closing:
            item.reply(_not_ready("is shutting down"))
        else:
            item.reply(Outcome(code="BUSY", message="too many commands wait already", remedy="ask again in a moment"))

    def _finish(self, call: Call, answer: Answer) -> Answer:
        """Return what is done once a call is durable."""
        if call.method == "unlatch":
            kills, file = self._latch.kills, _identity(self._kill_file)
            return lambda outcome: self._cleared(call, kills, file, outcome, answer)
        if call.method == "flatten":
            return lambda outcome: self._await_flat(call, outcome, answer)
        return answer

    def _cleared(self, call: Call, kills: int, file: tuple[int, int] | None, outcome: Outcome, answer: Answer) -> None:
        """Answer an unlatch, and keep what is answered: its frame alone would say that all is well."""
        final = self._unlatched(call, kills, file, outcome)
        if final is outcome:
            answer(final)
            return
        self._latch.observed = False  # the latch stays set although the core has left the kill
        self._core_loop().amend(call, final, answer)
        self._core_loop().wake()

    def _unlatched(self, call: Call, kills: int, file: tuple[int, int] | None, outcome: Outcome) -> Outcome:
        """Clear the latch behind the committed state: a crash in between leaves it killed, never the other way.

        Args:
            call: the unlatch.
            kills: how often it was killed when somebody decided to unlatch: what came since they did not know of.
            file: which file KILL there was then.
            outcome: what the core has made of it.
        """
        if outcome.code or not self._latch.is_set:
            return outcome
        try:
            known = self._take_kill_file(file)
            cleared = known and self._latch.clear(call.peer.by, kills=kills)
        except OSError as error:
            return Outcome(
                code="KILL_FILE",
                message=f"the file {self._kill_file} cannot be removed: {error.strerror or error}",
                remedy="remove it, then unlatch again",
            )
        except TradingdError as error:
            return refusal(error)
        if not cleared:
            return Outcome(
                code="KILLED_AGAIN",
                message="somebody killed again meanwhile",
                remedy="find out why, then unlatch again",
            )
        return outcome

    def _take_kill_file(self, known: tuple[int, int] | None) -> bool:
        """Remove the file KILL, which would kill again at once; tell whether it was the one that was known, if any.

        It is moved away before it is looked at: one that appears in between stays and is found.

        Raises:
            OSError: it cannot be removed.
        """
        taken = self._kill_file.with_name(f"{self._kill_file.name}.taken")
        try:
            self._kill_file.rename(taken)
        except FileNotFoundError:
            return True
        found = _identity(taken)
        taken.unlink()
        return found == known

    def _await_flat(self, call: Call, outcome: Outcome, answer: Answer) -> None:
        if outcome.code:
            answer(outcome)
            return
        seconds = min(float(call.params.get("deadline_s", FLAT_S)), FLAT_MAX_S)
        self._flat.append(_Flattening(time.monotonic() + seconds, call, answer, dict(outcome.result or {})))
        self.look_for_flat()

    def errand(self, call: Call, answer: Answer) -> None:
        """Have the shell do something; on the main loop."""
        if self._admin_gone:
            answer(_no_errands(call, self._admin_gone))
            return
        self._admin_calls.append((call, answer))
        self._admin_wake.set()

    def give_up_errands(self, why: str) -> None:
        """Nobody does errands any more: refuse those that wait, and every one that comes."""
        self._admin_gone = why
        while self._admin_calls:
            call, answer = self._admin_calls.popleft()
            answer(_no_errands(call, why))

    async def run_admin(self, beat: Callable[[], None]) -> None:
        """Do what belongs to the process itself, until cancelled; one that takes long keeps no other waiting."""
        async with anyio.create_task_group() as group:
            while True:
                self._admin_wake = anyio.Event()
                while self._admin_calls:
                    group.start_soon(self._do_admin, *self._admin_calls.popleft())
                beat()
                with anyio.move_on_after(1.0):
                    await self._admin_wake.wait()

    async def _do_admin(self, call: Call, answer: Answer) -> None:
        outcome = Outcome(code="INTERNAL", message=f"{call.method} was not brought to its end", remedy="see the log")
        try:
            outcome = await self._admin[call.method](call)
        except TradingdError as error:
            outcome = refusal(error)
        except (OSError, sqlite3.Error) as error:  # of the world outside: no reason to break other errands off
            outcome = _failed(call, error)
        finally:
            answer(outcome)  # whatever happens, nobody is left waiting


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file stands there, or None: another one of the same name is another."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _failed(call: Call, error: OSError | sqlite3.Error) -> Outcome:
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = f"{call.method} failed: {where}{what}"
    return Outcome(code="IO_FAILED", message=text, remedy="put that right, then ask again")


def _no_errands(call: Call, why: str) -> Outcome:
    return Outcome(
        code=NO_ERRANDS,
        message=f"nobody is left to do {call.method}, the control surface gave up: {why}",
        remedy="SIGTERM ends the daemon in order; kill, halt and reads still work",
    )


def _not_ready(what: str) -> Outcome:
    return Outcome(code="NOT_READY", message=f"the daemon {what}", remedy="ask again in a moment")


def refusal(error: TradingdError) -> Outcome:
    """Return an operator's error as an answer."""
    return Outcome(
        code=error.code or "REFUSED", message=error.message, field=getattr(error, "field", ""), remedy=error.remedy
    )


def open_business(loop: CoreLoop, universe: Universe) -> list[dict[str, Any]]:
    """Return the positions and working orders that keep the book from being flat."""
    core = loop.core.core
    names = universe.symbols
    left: list[dict[str, Any]] = [
        {"portfolio": state.name, "symbol": names[symbol], "qty": fmt(position.qty)}
        for state in core.portfolio.portfolios
        for symbol, position in state.positions.items()
        if position.qty
    ]
    left += [
        {"portfolio": order.portfolio, "symbol": names[order.symbol], "order": order.order.client_order_id}
        for order in core.broker.working
    ]
    return left
