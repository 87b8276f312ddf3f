"""What people see of a running core: never more than is durable, and never less than they were told."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest

from actors.messages.portfolio import DepositCash
from daemon.control.calls import Outcome
from daemon.system.board import Board, build_board
from daemon.system.board_facts import ShellFacts
from daemon.system.boards import BOARD_S, ORDERS_S, Boards
from daemon.system.core_ports import Input, Pending
from system.core_rig import Fault, Rig, bars, rig, shell_facts
from system.wired import House, make_call

OPEN_MARKET = bars(minutes=3)[:-1]


def shown(r: Rig) -> Board:
    """Return what can be seen."""
    assert r.boards.shown is not None
    return r.boards.shown


# -- with the loop -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_not_durable_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order whose commit is held is on no board; whoever was told of it finds it there."""
    monkeypatch.setattr("daemon.system.boards.ORDERS_S", 0.0)  # however quickly the order follows the halt
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        r.boards.now()
        gate = fault.hold("before:commit")
        sent = r.send("halt", reason="a test")
        order = r.order_soon(type="limit", limit_px=90)
        await gate.wait()
        await r.until(lambda: not len(r.loop.lanes))
        assert r.state == "halted"
        assert shown(r).trading_state == "active"
        gate.open()
        assert (await sent.wait()).code == ""
        assert shown(r).trading_state == "halted"
        assert (await order.wait()).code == ""
        assert shown(r).facts.seq == shown(r).seq == r.loop.committed_seq


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["halt", "reduce", "cash.deposit"])
async def test_the_board_is_there_before_the_answer(tmp_path: Path, method: str) -> None:
    """Whoever is told of it sees it, and all others do."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        r.boards.now()
        before = shown(r)
        seen: list[Board] = []
        fault.once("before:reply", lambda: seen.append(shown(r)))
        amount = {"amount": "5"} if method == "cash.deposit" else {}
        await r.call(method, reason="a test", **amount)
        (then,) = seen
        assert then.seq == before.seq + 1
        assert (then.trading_state, then.portfolios[0].cash) != (before.trading_state, before.portfolios[0].cash)


@pytest.mark.asyncio
async def test_what_a_kill_overtook_was_never_seen(tmp_path: Path) -> None:
    """An order that is dropped takes the board that shows it along."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        r.boards.now()
        boards: list[Board] = []
        durable = r.boards.durable

        def watched(pending: Pending) -> None:
            durable(pending)
            boards.append(shown(r))

        r.boards.durable = watched  # type: ignore[method-assign]
        gate = fault.hold("before:frame.write")
        sent = r.order_soon(type="limit", limit_px=90)
        await gate.wait()
        r.latch.set("a test", "uid 7")
        gate.open()
        await sent.wait()
        await r.settle()
        assert boards
        assert {board.open_orders for board in boards} == {0}
        assert shown(r).trading_state == "killed"


@pytest.mark.asyncio
@pytest.mark.parametrize("part", ["_take", "_facts"])
async def test_a_board_that_cannot_be_made_keeps_no_kill_from_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """C11: a picture that fails is told; answers go out, the kill is observed and durable all the same."""

    def fails(*_: object) -> ShellFacts:
        raise OverflowError("a number too large to show")

    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        r.boards.now()
        monkeypatch.setattr(r.boards, part, fails)
        assert (await r.call("halt", reason="a test")).code == ""
        await r.kill()
        await r.until(lambda: r.latch.observed and r.loop.settled)
        assert r.state == "killed"
        assert {type(error) for error in r.board_failures} == {OverflowError}
        monkeypatch.undo()
        assert (await r.call("cash.deposit", amount="5", reason="a test")).code == ""
        assert shown(r).trading_state == "killed"


@pytest.mark.asyncio
async def test_whoever_waits_for_an_input_goes_on_when_it_is_durable(tmp_path: Path) -> None:
    """Not when it was processed."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = r.send("halt", reason="a test")
        await gate.wait()
        wanted = r.core.sequencer.seq
        with anyio.move_on_after(0.05) as waited:
            await r.boards.reached(wanted)
        assert waited.cancelled_caught
        gate.open()
        with anyio.fail_after(10):
            await r.boards.reached(wanted)
        assert r.loop.committed_seq >= wanted
        assert (await sent.wait()).code == ""


# -- how often ---------------------------------------------------------------------------------------------------------


class Clockwork:
    """Boards of a house; the time of day and the trading state as the test has them."""

    def __init__(self) -> None:
        self.house = House()
        self.now = 100.0
        self.state = "active"
        self.boards = Boards(self.take, shell_facts, lambda: self.state, lambda: self.now, failed=print)

    def take(self, facts: ShellFacts) -> Board:
        """Return a board of the house."""
        return build_board(self.house.core, self.house.universe, facts)

    def goes(self, *methods: str, after: float) -> bool:
        """Return whether a board goes along with a batch that answers these methods."""
        self.now += after
        answers = [
            (Input(DepositCash("main", 1, "x"), "control", call=make_call(method)), Outcome()) for method in methods
        ]
        return self.boards.along(Pending(answers=answers)) is not None


def test_answers_take_a_board_along_and_market_data_do_so_now_and_then() -> None:
    """Many orders a second share one; anything else that is answered has its own."""
    clock = Clockwork()
    assert clock.goes(after=0)
    assert not clock.goes(after=BOARD_S / 2)
    assert clock.goes(after=BOARD_S)
    assert clock.goes("order.submit", after=2 * ORDERS_S)
    assert not clock.goes("order.submit", "order.cancel", after=ORDERS_S / 2)
    assert clock.goes("order.submit", "halt", after=0)
    assert clock.goes("halt", after=0)
    clock.state = "killed"
    assert clock.goes(after=0)
    assert not clock.goes(after=0)


def test_a_board_that_cannot_be_renewed_still_tells_what_the_shell_knows() -> None:
    """While the ledger takes nothing the picture of the core stays; feeds and notices go on."""
    clock = Clockwork()
    clock.boards.renew()
    assert clock.boards.shown is None
    assert clock.boards.differs(0)
    clock.boards.now()
    first = clock.boards.shown
    assert first is not None
    assert not clock.boards.differs(first.seq)
    clock.boards.renew()
    again = clock.boards.shown
    assert again is not first
    assert (again.seq, again.built_ns, again.facts) == (first.seq, first.built_ns, shell_facts())


def test_alerts_that_are_not_durable_are_not_counted() -> None:
    """The core, which is ahead of its ledger, counts them; what the shell knows by itself is shown as it is now."""
    ahead = {"alerts_unacked": 0, "alerts_pending": 0}
    house = House()
    boards = Boards(
        lambda facts: build_board(house.core, house.universe, facts),
        lambda: msgspec.structs.replace(shell_facts(), **ahead),
        lambda: "active",
        failed=print,
    )
    pending = Pending()
    pending.board = boards.along(pending)
    ahead.update(alerts_unacked=2, alerts_pending=3)
    for show in (lambda: boards.durable(pending), boards.renew):
        show()
        assert boards.shown is not None
        assert (boards.shown.facts.alerts_unacked, boards.shown.facts.alerts_pending) == (0, 3)
    boards.now()
    assert boards.shown.facts.alerts_unacked == 2
