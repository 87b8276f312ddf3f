"""The desk between the control thread and the core: one answer each, behind the commit, whatever comes in between."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from actors.messages.control import LatchObserved, Reload
from actors.messages.orders import OrderFilled
from actors.messages.portfolio import CashFlowed
from actors.messages.risk import TradingState
from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.journal.opened import RecordedInput
from daemon.kernel.errors import OperatorError
from daemon.kernel.mailbox import Lane
from daemon.system import live_desk
from daemon.system.core_ports import Input
from daemon.system.live_desk import LiveDesk
from daemon.system.start import read_ledger
from tests.system.core_rig import DEADLINE_S, Fault, Rig, Sent, bars, behind, events, rig
from tests.system.wired import make_call

pytestmark = pytest.mark.asyncio
OPEN_MARKET = bars(1, 5)[:-1]


class Control:
    """The control thread's side of a desk on a rig."""

    def __init__(self, r: Rig, folder: Path) -> None:
        self.r = r
        self.admin: dict[str, Any] = {}
        self.readers: dict[str, Callable[[Call], Outcome]] = {"status": lambda _: Outcome({"ok": True})}
        self.past: Callable[[int], tuple[list[dict[str, Any]], int]] = lambda _: ([], 0)
        self.desk = LiveDesk(
            universe=r.spec.universe,
            portfolios=("main",),
            latch=r.latch,
            kill_file=folder / "KILL",
            core_loop=lambda: r.loop,
            readers=self.readers,
            admin=self.admin,
            resolve=str,
            trading_state=lambda: TradingState(r.state),
            older=lambda seq: self.past(seq),  # noqa: PLW0108 - a test puts another past in
        )
        self.loop = asyncio.get_running_loop()
        self.n = 0

    async def send(self, method: str, *, key: str = "k", **params: Any) -> Sent:
        """Submit from another thread; answers come back to this loop."""
        sent = Sent()

        def answer(outcome: Outcome) -> None:
            self.loop.call_soon_threadsafe(sent.answer, outcome)

        call = make_call(method, key=key, **params)
        await anyio.to_thread.run_sync(self.desk.submit, call, answer)
        return sent

    async def ask(self, method: str, *, key: str | None = None, **params: Any) -> Outcome:
        """Submit and wait."""
        self.n += 1
        sent = await self.send(method, key=f"a{self.n}" if key is None else key, **params)
        outcome = await sent.wait()
        await anyio.lowlevel.checkpoint()
        assert len(sent.outcomes) == 1
        return outcome


@asynccontextmanager
async def control(tmp_path: Path, fault: Fault | None = None, **options: Any) -> AsyncIterator[tuple[Control, Rig]]:
    """Open a desk on a running core."""
    runtime = tmp_path / "run"
    runtime.mkdir(exist_ok=True)
    async with rig(tmp_path / "state", OPEN_MARKET, faults=fault or Fault(), **options) as r:
        await r.settle()
        one = Control(r, runtime)
        one.desk.open(asyncio.get_running_loop())
        released = r.outside.committed

        def committed(pending: Any, core: Any) -> None:
            released(pending, core)
            one.desk.look_for_flat()

        r.outside.committed = committed  # type: ignore[method-assign]
        yield one, r


def kept(folder: Path, key: str) -> Outcome:
    """Return the answer that is kept under a key."""
    ledger = read_ledger(folder / "state")
    try:
        return next(
            msgspec.json.decode(reply.reply, type=Outcome) for reply in ledger.replies() if reply.key == f"7:{key}"
        )
    finally:
        ledger.close()


def kills(rows: list[RecordedInput]) -> int:
    """Return how often the kill was observed."""
    return sum(isinstance(row.body, LatchObserved) for row in rows)


# -- submit and read ---------------------------------------------------------------------------------------------------


async def test_a_command_is_answered_behind_its_commit(tmp_path: Path) -> None:
    """From another thread and back; a command that cannot be read, or is unknown, is refused at once."""
    fault = Fault()
    async with control(tmp_path, fault) as (one, r):
        gate = fault.hold("before:commit")
        sent = await one.send("order.submit", symbol="AAPL", side="buy", qty=10)
        await gate.wait()
        assert not sent.outcomes
        gate.open()
        assert (await sent.wait()).result["status"] == "new"  # type: ignore[index]
        assert (await one.ask("order.submit", symbol="AAPL", side="buy", qty=10, key="")).code
        assert (await one.ask("order.cancel")).field == "id"
        assert (await one.ask("nonsense")).code == "UNKNOWN_METHOD"
        assert one.desk.read(make_call("status")) == Outcome({"ok": True})
        assert one.desk.read(make_call("nonsense")).code == "UNKNOWN_METHOD"
        one.readers["status"] = _refuse
        assert one.desk.read(make_call("status")).code == "NOT_READY"
        r.check_refold()


def _refuse(_: Call) -> Outcome:
    raise OperatorError("not yet", code="NOT_READY", remedy="ask again")


async def test_before_it_is_open_and_while_it_closes_the_desk_takes_nothing(tmp_path: Path) -> None:
    """Each time the answer says which it is; what slipped in behind the end of the core is told so, too."""
    async with control(tmp_path) as (one, r):
        early = Control(r, tmp_path)
        assert "not ready yet" in (await early.ask("halt")).message
        ran: list[int] = []
        early.desk.on_main(lambda: ran.append(1))
        one.desk.on_main(lambda: ran.append(2))
        await r.call("cash.deposit", amount="1")
        assert ran == [2]
        await r.loop.drain()
        await r.loop.take_snapshot()
        assert (await one.ask("halt")).code == "BUSY"
        one.desk.closing = True
        assert "is shutting down" in (await one.ask("halt")).message
        sent = Sent()
        one.desk._offer(Input(Reload("", "me"), "control", answer=sent.answer), Lane.CONTROL)
        assert sent.code == "NOT_READY"


async def test_the_shell_waits_for_an_input_of_its_own(tmp_path: Path) -> None:
    """A reload is decided by the core like everything else, and durable when it returns."""
    async with control(tmp_path) as (one, r):
        call = Call("reload", {}, Peer(0, 0, 0, Role.ADMIN), reason="a test")
        with anyio.fail_after(DEADLINE_S):
            outcome = await one.desk.in_core(Input(Reload("d", "me"), "control", call=call))
        assert outcome.code == ""
        assert isinstance(r.recorded()[-1].body, Reload)


# -- unlatch -----------------------------------------------------------------------------------------------------------


async def killed(r: Rig) -> None:
    """Kill, and wait until it is durable."""
    await r.kill()
    await r.until(lambda: r.latch.observed and r.loop.settled)


async def test_an_unlatch_clears_the_latch_behind_its_commit(tmp_path: Path) -> None:
    """First the ledger says halted, then the latch is cleared, then it is answered; the file KILL goes with it."""
    fault = Fault()
    async with control(tmp_path, fault) as (one, r):
        await killed(r)
        file = tmp_path / "run" / "KILL"
        file.touch()
        gate = fault.hold("before:commit")
        sent = await one.send("unlatch")
        await gate.wait()
        assert r.latch.is_set
        gate.open()
        assert (await sent.wait()).result["trading_state"] == "halted"  # type: ignore[index]
        assert not r.latch.is_set
        assert list(file.parent.iterdir()) == []
        assert (await one.ask("unlatch", key="again")).code == ""
        assert (await one.ask("resume")).code == ""
        assert r.state == "active"


async def test_a_kill_between_the_commit_of_an_unlatch_and_its_clearing_wins(tmp_path: Path) -> None:
    """The core is killed again before anything else, and whoever unlatched is told."""
    fault = Fault()
    async with control(tmp_path, fault) as (one, r):
        await killed(r)
        gate = fault.hold("after:commit")
        sent = await one.send("unlatch")
        await gate.wait()
        await r.kill("again")
        order = r.order_soon()
        gate.open()
        assert (await sent.wait()).code == "KILLED_AGAIN"
        assert (await order.wait()).result["status"] == "denied"  # type: ignore[index]
        assert r.state == "killed"
        assert r.latch.is_set
        assert kills(r.recorded()) == 2
        await r.until(lambda: r.loop.settled)
        assert kept(tmp_path, "k").code == "KILLED_AGAIN"  # whoever asks again is told the same
        r.check_refold()


async def test_a_file_kill_that_appeared_since_is_a_kill_that_nobody_knew_of(tmp_path: Path) -> None:
    """The thread that looks for it may not have seen it yet: it counts all the same, and is taken up."""
    fault = Fault()
    async with control(tmp_path, fault) as (one, r):
        await killed(r)
        file = tmp_path / "run" / "KILL"
        file.touch()
        gate = fault.hold("before:commit")
        sent = await one.send("unlatch")
        await gate.wait()
        file.unlink()
        file.write_text("again")
        gate.open()
        assert (await sent.wait()).code == "KILLED_AGAIN"
        await r.until(lambda: r.latch.observed and r.loop.settled)
        assert r.state == "killed"
        assert not file.exists()
        assert (await one.ask("unlatch", key="now knowing")).code == ""
        assert r.state == "halted"


async def test_a_file_kill_that_cannot_be_removed_keeps_the_core_killed(tmp_path: Path) -> None:
    """It would kill again at once, so nothing is cleared; the core, halted by its commit, is killed again."""
    async with control(tmp_path) as (one, r):
        await killed(r)
        folder = tmp_path / "run" / "KILL"
        folder.mkdir()
        answer = await one.ask("unlatch")
        assert answer.code == "KILL_FILE"
        await r.until(lambda: r.latch.observed and r.loop.settled)
        assert r.state == "killed"
        r.check_refold()


async def test_a_latch_that_the_disk_does_not_let_go_of_keeps_the_core_killed(tmp_path: Path) -> None:
    """Not durable, not cleared: the core goes back to where the latch says it is."""
    async with control(tmp_path) as (one, r):
        await killed(r)

        def refuse(place: str) -> None:
            if place == "before:write":
                raise OSError(errno.EIO, "input/output error")

        r.latch._faults = refuse
        answer = await one.ask("unlatch")
        assert answer.code == "NOT_DURABLE"
        r.latch._faults = lambda _: None
        await r.until(lambda: r.latch.observed and r.loop.settled)
        assert r.state == "killed"
        assert r.latch.is_set


async def test_an_unlatch_where_nothing_is_latched_is_refused_by_the_core(tmp_path: Path) -> None:
    """Nothing is cleared."""
    async with control(tmp_path) as (one, r):
        assert (await one.ask("unlatch")).code == "NOT_LATCHED"
        assert r.state == "active"


# -- flatten -----------------------------------------------------------------------------------------------------------


async def test_a_flatten_is_answered_when_the_flat_book_is_durable(tmp_path: Path) -> None:
    """Not when the core knows it: the fill that closed the position must not be lost again."""
    inputs = bars(1, 8)[:-1]
    fault = Fault()
    async with control(tmp_path, fault, feed=True) as (one, r):
        await r.order()
        r.intake.queue.ended = False
        rest = behind(inputs, r.core)
        r.intake.queue.put(next(rest))
        r.loop.wake()
        await r.until(lambda: bool(events(r.recorded(), OrderFilled)))
        sent = await one.send("flatten")
        await r.until(lambda: r.state == "halted" and r.loop.settled)
        assert not sent.outcomes
        gate = fault.hold("before:commit")
        r.intake.queue.put(next(rest))
        r.loop.wake()
        await gate.wait()
        one.desk.look_for_flat()
        one.desk.look_for_flat()
        await anyio.lowlevel.checkpoint()
        assert not live_desk.open_business(r.loop, r.spec.universe)
        assert not sent.outcomes
        gate.open()
        outcome = await sent.wait()
        assert outcome.result["flat"] is True  # type: ignore[index]
        assert outcome.result["left"] == []  # type: ignore[index]
        await r.until(lambda: r.loop.settled)
        assert kept(tmp_path, "k").result["flat"] is True  # type: ignore[index]
        r.check_refold()


@pytest.mark.parametrize(
    ("params", "limit"),
    [({"deadline_s": 0}, "FLAT_S"), ({}, "FLAT_S"), ({"deadline_s": 10**9}, "FLAT_MAX_S")],
    ids=["told", "not told", "for ever"],
)
async def test_a_flatten_whose_time_is_over_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], limit: str
) -> None:
    """Positions and working orders, by name, and nobody waits for ever; one that was refused is answered at once."""
    inputs = bars(1, 7)[:-1]
    monkeypatch.setattr(live_desk, limit, 0.0)
    async with control(tmp_path) as (one, r):
        await r.order(qty=3)
        r.intake.queue.ended = False
        r.intake.queue.put(next(behind(inputs, r.core)))
        r.loop.wake()
        await r.until(lambda: bool(events(r.recorded(), OrderFilled)))
        late = await one.ask("flatten", **params)
        assert late.result["flat"] is False  # type: ignore[index]
        assert [(row["symbol"], row.get("qty")) for row in late.result["left"]] == [  # type: ignore[index]
            ("AAPL", "3"),
            ("AAPL", None),
        ]
        await killed(r)
        assert (await one.ask("flatten", key="killed")).code == "KILLED"


async def test_the_end_of_the_daemon_answers_who_waits_for_a_flat_book(tmp_path: Path) -> None:
    """It is not flat, and nobody will see to it any more."""
    inputs = bars(1, 7)[:-1]
    async with control(tmp_path) as (one, r):
        await r.order(qty=3)
        r.intake.queue.ended = False
        r.intake.queue.put(next(behind(inputs, r.core)))
        r.loop.wake()
        await r.until(lambda: bool(events(r.recorded(), OrderFilled)))
        sent = await one.send("flatten")
        await r.until(lambda: r.state == "halted" and r.loop.settled)
        one.desk.look_for_flat()
        assert not sent.outcomes
        one.desk.closing = True
        one.desk.look_for_flat()
        outcome = await sent.wait()
        assert outcome.result["flat"] is False  # type: ignore[index]
        assert {"AAPL"} == {row["symbol"] for row in outcome.result["left"]}  # type: ignore[index]
        one.desk.look_for_flat()


# -- subscribers -------------------------------------------------------------------------------------------------------


class Listener:
    """What a subscriber was sent; takes so many lines."""

    def __init__(self, room: int = 1_000) -> None:
        self.lines: list[int] = []
        self.room = room

    def push(self, line: dict[str, Any]) -> bool:
        """Take a line."""
        self.lines.append(line["seq"])
        return len(self.lines) < self.room


def line(seq: int, kind: str = "OrderFilled", symbol: str = "AAPL") -> dict[str, Any]:
    """Return a line for subscribers."""
    return {"seq": seq, "type": kind, "symbol": symbol}


async def test_older_lines_come_first_and_none_twice(tmp_path: Path) -> None:
    """New ones that are committed while the past is looked up are held, and not repeated."""
    async with control(tmp_path) as (one, _):
        listener = Listener()

        def past(seq: int) -> tuple[list[dict[str, Any]], int]:
            one.desk.publish([line(7), line(8)])
            return [line(n) for n in range(seq, 8)], 7

        one.past = past
        leave = one.desk.subscribe(make_call("subscribe", from_seq=5), listener.push)
        assert one.desk.listening
        one.desk.publish([line(9)])
        assert listener.lines == [5, 6, 7, 8, 9]
        leave()
        leave()
        one.desk.publish([line(10)])
        assert listener.lines[-1] == 9
        assert not one.desk.listening


async def test_what_is_in_the_ledger_and_published_only_behind_the_look_comes_once(tmp_path: Path) -> None:
    """A commit is durable a moment before its lines are sent; a subscriber that read the ledger in between has them."""
    async with control(tmp_path) as (one, _):
        listener = Listener()
        one.past = lambda seq: ([line(n) for n in range(seq, 8)], 7)
        one.desk.subscribe(make_call("subscribe", from_seq=5), listener.push)
        one.desk.publish([line(6), line(7)])
        one.desk.publish([line(8)])
        assert listener.lines == [5, 6, 7, 8]


async def test_who_has_numbers_of_another_ledger_hears_this_one(tmp_path: Path) -> None:
    """A backup was put back, or the state directory is a new one: its numbers begin again below what was heard."""
    async with control(tmp_path) as (one, _):
        listener = Listener()
        one.past = lambda _: ([], 7)
        one.desk.subscribe(make_call("subscribe", from_seq=5_000), listener.push)
        one.desk.publish([line(7), line(8)])
        assert listener.lines == [8]


async def test_a_subscriber_hears_what_it_asked_for_until_it_is_too_slow(tmp_path: Path) -> None:
    """By type and symbol; one that does not keep up is cut off and forgotten, and holds up nobody."""
    async with control(tmp_path) as (one, _):
        fills, slow = Listener(), Listener(room=2)
        one.desk.subscribe(make_call("subscribe", types=["OrderFilled"], symbol="AAPL"), fills.push)
        one.desk.subscribe(make_call("subscribe"), slow.push)
        one.desk.publish([line(1), line(2, "OrderDenied"), line(3, symbol="MSFT"), line(4)])
        one.desk.publish([line(5)])
        assert fills.lines == [1, 4, 5]
        assert slow.lines == [1, 2]
        assert len(one.desk._subscribers) == 1


async def test_the_symbol_of_an_order_counts_and_a_type_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """Denials and acceptances name it in the order; a misspelt type would be waited for without end."""
    async with control(tmp_path) as (one, _):
        orders = Listener()
        one.desk.subscribe(make_call("subscribe", symbol="AAPL"), orders.push)
        asked = [{"seq": n, "type": "OrderDenied", "order": {"symbol": name}} for n, name in ((1, "AAPL"), (2, "MSFT"))]
        one.desk.publish([*asked, {"seq": 3, "type": "OrderDenied", "order": None}])
        assert orders.lines == [1]
        with pytest.raises(OperatorError, match=r"no event 'OrderFiled'; did you mean OrderFilled\?"):
            one.desk.subscribe(make_call("subscribe", types=["OrderFilled", "OrderFiled"]), orders.push)
        assert len(one.desk._subscribers) == 1


async def test_a_subscriber_whose_past_cannot_be_read_is_forgotten(tmp_path: Path) -> None:
    """Or what is new would be held for it without end."""

    def past(_: int) -> tuple[list[dict[str, Any]], int]:
        raise OperatorError("cannot be read", code="LEDGER_UNREADABLE", remedy="ask again")

    async with control(tmp_path) as (one, _):
        one.past = past
        with pytest.raises(OperatorError):
            one.desk.subscribe(make_call("subscribe", from_seq=1), Listener().push)
        assert not one.desk.listening


# -- errands -----------------------------------------------------------------------------------------------------------


async def test_errands_are_done_beside_each_other_and_each_answered(tmp_path: Path) -> None:
    """One that takes long keeps no other waiting; an operator's error is an answer."""
    async with control(tmp_path) as (one, _), anyio.create_task_group() as group:
        free = anyio.Event()

        async def long(call: Call) -> Outcome:
            await free.wait()
            return Outcome({"did": call.method})

        async def short(call: Call) -> Outcome:
            return Outcome({"did": call.method})

        async def refused(_: Call) -> Outcome:
            raise OperatorError("no", code="NO", remedy="do not")

        one.admin |= {"backup": long, "snapshot": short, "reload": refused}
        beats: list[int] = []
        group.start_soon(one.desk.run_admin, lambda: beats.append(1))
        waiting = await one.send("backup")
        assert (await one.ask("snapshot")).result == {"did": "snapshot"}
        assert (await one.ask("reload")).code == "NO"
        assert not waiting.outcomes
        free.set()
        assert (await waiting.wait()).result == {"did": "backup"}
        assert beats
        group.cancel_scope.cancel()


async def test_what_the_world_refuses_is_an_answer_and_breaks_nothing_off(tmp_path: Path) -> None:
    """A folder that cannot be written, a ledger that is locked: the other errands and their supervisor hear nothing."""
    async with control(tmp_path) as (one, _), anyio.create_task_group() as group:
        free = anyio.Event()

        async def long(call: Call) -> Outcome:
            await free.wait()
            return Outcome({"did": call.method})

        async def no_folder(_: Call) -> Outcome:
            raise PermissionError(errno.EACCES, "Permission denied", "/mnt/usb")

        async def locked(_: Call) -> Outcome:
            raise sqlite3.OperationalError("database is locked")

        one.admin |= {"backup": no_folder, "snapshot": locked, "reload": long}
        group.start_soon(one.desk.run_admin, lambda: None)
        waiting = await one.send("reload")
        first, second = await one.ask("backup"), await one.ask("snapshot")
        assert (first.code, first.message) == ("IO_FAILED", "backup failed: /mnt/usb: Permission denied")
        assert (second.code, second.message) == ("IO_FAILED", "snapshot failed: database is locked")
        free.set()
        assert (await waiting.wait()).result == {"did": "reload"}
        group.cancel_scope.cancel()


async def test_an_errand_that_fails_or_is_broken_off_is_answered_all_the_same(tmp_path: Path) -> None:
    """A fault of ours reaches the supervisor; whoever asked hears that it did not come to its end."""
    async with control(tmp_path) as (one, _):

        async def fault(_: Call) -> Outcome:
            raise ZeroDivisionError

        async def endless(_: Call) -> Outcome:
            await anyio.sleep_forever()
            return Outcome()

        one.admin |= {"backup": endless, "snapshot": fault}
        sent: list[Sent] = []
        caught: list[BaseException] = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(one.desk.run_admin, lambda: None)
                sent += [await one.send("backup"), await one.send("snapshot")]
                await anyio.sleep(DEADLINE_S)
        except ExceptionGroup as errors:
            caught += errors.exceptions
        assert len(caught) == 1
        assert [(await asked.wait()).code for asked in sent] == ["INTERNAL"] * 2


async def test_a_thousand_commands_from_many_threads_have_a_thousand_answers(tmp_path: Path) -> None:
    """None is lost between the threads, none is answered twice, none is done twice."""
    async with control(tmp_path) as (one, r):
        answers: dict[str, list[Outcome]] = {f"{t}.{n}": [] for t in range(8) for n in range(125)}

        def client(number: int) -> None:
            for n in range(125):
                key = f"{number}.{n}"
                one.desk.submit(make_call("cash.deposit", key=key, amount="1"), answers[key].append)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)
        await r.until(lambda: all(answers.values()))
        assert all(len(got) == 1 and not got[0].code for got in answers.values())
        assert len(events(r.recorded(), CashFlowed)) == 1_001
        r.check_refold()


async def test_errands_that_nobody_will_do_are_refused_at_once(tmp_path: Path) -> None:
    """What waits when those who do them give up, and what comes behind; commands of the core go on."""

    async def done(_: Call) -> Outcome:
        return Outcome({"done": True})

    async with control(tmp_path) as (one, _):
        one.admin["snapshot"] = done
        waiting = await one.send("snapshot", key="waits")
        await anyio.lowlevel.checkpoint()
        assert not waiting.outcomes
        one.desk.give_up_errands("too many failures")
        assert (await waiting.wait()).code == "NO_ERRANDS"
        late = await one.ask("snapshot")
        assert (late.code, "too many failures" in late.message) == ("NO_ERRANDS", True)
        assert not (await one.ask("halt", reason="still")).code
