"""A kill overtakes: nothing risky becomes durable behind its acknowledgement, nothing promised is lost, it stays."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, spec_of, strategy
from actors.messages.catalogue import MARKET, codec
from actors.messages.control import Halt, LatchObserved, Unlatch
from actors.messages.orders import OrderAccepted, OrderDenied, OrderFilled, OrderPartiallyFilled, OrderReplaced
from actors.messages.portfolio import CashFlowed
from actors.messages.risk import TradingState, TradingStateChanged
from actors.predictor.registry import bind_spec
from actors.risk.control import ControlDesk
from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import RecordedInput
from daemon.journal.recovery import open_ledger
from daemon.kernel.errors import InvariantError
from daemon.kernel.mailbox import Lane
from daemon.system import core_loop
from tests.system.core_rig import (
    DEADLINE_S,
    Fault,
    Foreign,
    Rig,
    Sent,
    bars,
    behind,
    churning,
    core_spec,
    events,
    market_inputs,
    recorded,
    rig,
)

pytestmark = pytest.mark.asyncio
RISKY = (OrderAccepted, OrderFilled, OrderPartiallyFilled, OrderReplaced)
OPEN_MARKET = bars(1, 5)[:-1]
"""A session that is still open: orders find fresh prices."""


def latch_seq(rows: list[RecordedInput]) -> int:
    """Return the first input that is the kill."""
    return next(row.seq for row in rows if isinstance(row.body, LatchObserved))


def check_killed(rows: list[RecordedInput]) -> None:
    """Nothing risky stands behind the kill."""
    assert not events([row for row in rows if row.seq >= latch_seq(rows)], *RISKY)


async def held(r: Rig, fault: Fault, place: str, sent: Callable[[], Sent]) -> tuple[Sent, Callable[[], None]]:
    """Put something in and stop its commit at a site; return it and what lets the commit go on."""
    gate = fault.hold(place)
    one = sent()
    await gate.wait()
    return one, gate.open


async def test_an_idle_core_observes_a_kill_at_once(tmp_path: Path) -> None:
    """Nothing is dropped; orders are denied from there on; the kill's author and reason are recorded."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        await r.kill("enough")
        await r.until(lambda: r.latch.observed and r.loop.settled)
        answer = await r.order()
        assert answer.result is not None
        assert answer.result["status"] == "denied"
        assert r.state == "killed"
        assert not r.rebuilt
        r.check_refold()
        rows = r.recorded()
    kill = next(row.body for row in rows if isinstance(row.body, LatchObserved))
    assert (kill.reason, kill.by) == ("enough", "uid 7")
    check_killed(rows)


async def test_a_kill_in_the_middle_of_a_cascade_keeps_its_orders_from_becoming_durable(tmp_path: Path) -> None:
    """The strategy spins; the kill is acknowledged meanwhile; what the spin decides is dropped and denied."""
    acknowledged: list[int] = []
    calls: list[None] = []
    lives: list[Rig] = []

    @strategy(lookback=1, horizon=1, fields=("open",))
    def spinning(w: PanelWindow, p: Params) -> Scores:
        """Decide only once the kill was acknowledged."""
        r = lives[0]
        calls.append(None)
        if len(calls) == 11:  # goes long, as with every other bar
            thread = threading.Thread(target=r.latch.set, args=("stop", "uid 7"))
            thread.start()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
            acknowledged.append(len(events(r.recorded(), *RISKY)))
        score = np.sign(w.close[-1] - w.open[-1])
        return Scores(score, confidence=np.where(np.isfinite(score), 0.95, np.nan))

    found = spec_of(spinning)
    assert found is not None
    inputs = bars(1, 40)
    async with rig(tmp_path, inputs, spec=core_spec(bind_spec(found)), capacity=1, prepare=lives.append) as r:
        await r.settle()
        assert r.latch.observed
        assert r.rebuilt
        assert "overtaken" in r.outside.kinds
        r.check_refold()
        rows = r.recorded()
    assert len(events(rows, *RISKY)) == acknowledged[0]
    check_killed(rows)
    assert events(rows, OrderDenied)
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in inputs]


@pytest.mark.parametrize(
    "place", ["before:tape.write", "after:tape.write", "before:frame.write", "after:frame.write", "before:commit"]
)
async def test_a_kill_before_the_commit_drops_the_order_and_then_denies_it(tmp_path: Path, place: str) -> None:
    """Wherever in the commit it comes: nothing is answered before it is durable, and then once."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        sent, go_on = await held(r, fault, place, r.order_soon)
        await r.kill()
        assert not sent.outcomes
        go_on()
        outcome = await sent.wait()
        assert outcome.result is not None
        assert outcome.result["status"] == "denied"
        await r.settle()
        assert len(sent.outcomes) == 1
        assert r.state == "killed"
        r.check_refold()
        rows = r.recorded()
    check_killed(rows)
    assert len(events(rows, OrderDenied)) == 1


async def test_an_order_whose_commit_runs_when_the_kill_comes_is_durable_before_it(tmp_path: Path) -> None:
    """COMMIT itself is waited for: it is acknowledged first, in order, and cancelled by the kill behind it."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        gate_reached, gate = threading.Event(), threading.Event()

        def in_commit(statement: str) -> None:
            if statement == "COMMIT" and not gate.is_set():
                gate_reached.set()
                assert gate.wait(DEADLINE_S)

        await r.writer._execute(lambda: r.writer._db._conn.set_trace_callback(in_commit))
        sent = r.order_soon(type="limit", limit_px=95)
        assert await anyio.to_thread.run_sync(gate_reached.wait, DEADLINE_S)
        flagged = threading.Event()
        r.latch._faults = lambda _: flagged.set()
        killer = threading.Thread(target=r.latch.set, args=("stop", "uid 7"))
        killer.start()
        assert await anyio.to_thread.run_sync(flagged.wait, DEADLINE_S)
        gate.set()
        outcome = await sent.wait()
        await anyio.to_thread.run_sync(killer.join, DEADLINE_S)
        await r.until(lambda: r.latch.observed and r.loop.settled)
        assert outcome.result is not None
        assert outcome.result["status"] == "new"
        assert not r.rebuilt
        rows = r.recorded()
    check_killed(rows)
    assert len(events(rows, OrderAccepted)) == 1


async def test_a_kill_while_nothing_risky_waits_drops_nothing(tmp_path: Path) -> None:
    """A deposit that is not durable yet stands before the kill, and is answered."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        sent, go_on = await held(r, fault, "before:frame.write", lambda: r.send("cash.deposit", amount="5"))
        await r.kill()
        go_on()
        assert (await sent.wait()).code == ""
        await r.until(lambda: r.latch.observed and r.loop.settled)
        assert not r.rebuilt
        r.check_refold()
        rows = r.recorded()
    assert [event.amount for event in events(rows, CashFlowed)][-1] == 5 * 10**8
    check_killed(rows)


async def test_a_second_kill_changes_nothing(tmp_path: Path) -> None:
    """It is acknowledged as well; the core observes one."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        async with anyio.create_task_group() as group:
            group.start_soon(r.kill, "first")
            group.start_soon(r.kill, "second")
        await r.kill("third")
        await r.until(lambda: r.latch.observed and r.loop.settled)
        rows = r.recorded()
        assert r.latch.kills == 3
    assert sum(isinstance(row.body, LatchObserved) for row in rows) == 1
    assert len(events(rows, TradingStateChanged)) == 1


async def test_behind_an_unlatch_nothing_is_processed_until_it_is_durable(tmp_path: Path) -> None:
    """A second kill finds no order on its way: the core is killed again before anything else."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        await r.order(qty=20)
        await r.kill()
        await r.until(lambda: r.latch.observed and r.loop.settled)
        seq = r.core.sequencer.seq
        kills = r.latch.kills
        sent, go_on = await held(r, fault, "before:frame.write", lambda: r.put(Unlatch("again", "me")))
        exit_order = r.order_soon(side="sell", qty=5)
        pong = anyio.Event()
        r.loop.ping(pong.set)
        with anyio.fail_after(DEADLINE_S):
            await pong.wait()
        assert r.core.sequencer.seq == seq + 1
        await r.kill("second")
        go_on()
        await sent.wait()
        assert not r.latch.clear("me", kills=kills)
        outcome = await exit_order.wait()
        assert outcome.result is not None
        assert outcome.result["status"] == "denied"
        assert r.state == "killed"
        r.check_refold()
        rows = r.recorded()
    unlatched = next(row.seq for row in rows if isinstance(row.body, Unlatch))
    assert [row.seq for row in rows if isinstance(row.body, LatchObserved)][-1] == unlatched + 1


async def test_an_unlatch_that_was_cleared_lets_go_on(tmp_path: Path) -> None:
    """The core is halted, the latch clear, and nothing spins."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        await r.kill()
        await r.until(lambda: r.latch.observed and r.loop.settled)
        await r.put(Unlatch("well", "me")).wait()
        assert r.latch.clear("me", kills=r.latch.kills)
        assert (await r.call("resume")).code == ""
        assert r.state == "active"
        assert (await r.order()).result["status"] == "new"  # type: ignore[index]


async def test_a_kill_during_a_rebuild_is_seen_before_anything_else(tmp_path: Path) -> None:
    """An order overtaken by one kill is rebuilt away; the second kill comes while the core is folded."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        rebuild = r.loop._rebuild

        def slow() -> object:
            thread = threading.Thread(target=r.latch.set, args=("second", "uid 8"))
            thread.start()
            thread.join(DEADLINE_S)
            return rebuild()

        r.loop._rebuild = slow  # type: ignore[assignment]
        stop = fault.fail("before:frame.write", errno.ENOSPC)
        sent = r.order_soon()
        await r.until(lambda: r.loop.stalled != "")
        stop()
        assert (await sent.wait()).code == "LEDGER_FULL"
        await r.until(lambda: r.loop.settled and not r.loop.stalled)
        rows = r.recorded()
        assert r.state == "killed"
        r.check_refold()
    check_killed(rows)
    assert not any(isinstance(row.body, Halt) for row in rows)


async def test_a_kill_whose_observation_found_no_room_is_observed_again(tmp_path: Path) -> None:
    """The disk is full when the kill is to be recorded: the rebuilt core must not be an unkilled one."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        stop = fault.fail("before:frame.write", errno.ENOSPC)
        await r.kill()
        await r.until(lambda: r.loop.stalled != "")
        assert r.state == "killed"
        sent = r.order_soon()
        assert (await sent.wait()).code == "LEDGER_FULL"
        stop()
        await r.until(lambda: r.loop.settled and not r.loop.stalled)
        assert r.state == "killed"
        assert r.latch.observed
        answer = await r.order()
        assert answer.result is not None
        assert answer.result["status"] == "denied"
        r.check_refold()
        rows = r.recorded()
    check_killed(rows)


async def test_a_kill_while_the_disk_is_full_is_observed_and_written_first(tmp_path: Path) -> None:
    """Stalled since before: the kill is acknowledged, known to the core at once, and durable when there is room."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        stop = fault.fail("before:frame.write", errno.ENOSPC)
        sent = r.order_soon()
        assert (await sent.wait()).code == "LEDGER_FULL"
        await r.kill()
        await r.until(lambda: r.latch.observed)
        assert r.state == "killed"
        stop()
        await r.until(lambda: r.loop.settled and not r.loop.stalled)
        r.check_refold()
        rows = r.recorded()
    check_killed(rows)


async def test_a_kill_during_the_drain_is_durable_before_the_drain_is_over(tmp_path: Path) -> None:
    """What the run is sealed with is what the ledger holds; the next life is killed, and whole."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        sent, go_on = await held(r, fault, "before:commit", r.order_soon)
        async with anyio.create_task_group() as group:
            drained = anyio.Event()

            async def drain() -> None:
                await r.loop.drain()
                drained.set()

            group.start_soon(drain)
            await r.kill()
            go_on()
            with anyio.fail_after(DEADLINE_S):
                await drained.wait()
        assert sent.outcomes
        assert r.state == "killed"
        seq = await r.loop.take_snapshot()
        assert seq == r.core.sequencer.seq == r.recorded()[-1].seq
        await r.writer.seal("ended", r.core.sequencer.digest.hex())
        check_killed(r.recorded())
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        assert r.state == "killed"
        r.check_refold()


async def test_a_kill_passes_a_foreign_lock_and_what_waited_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the ledger the core runs ahead, bounded; the kill drops all of it."""
    monkeypatch.setattr(core_loop, "UNCOMMITTED_MAX", 8)
    inputs = bars(1, 60)[:-1]
    async with rig(tmp_path, inputs, spec=core_spec(churning()), feed=False) as r:
        await r.order()
        with Foreign(tmp_path):
            for panel in behind(inputs, r.core):
                r.intake.queue.put(panel)
            r.loop.wake()
            await r.until(lambda: r.loop.depth == 8)
            pong = anyio.Event()
            r.loop.ping(pong.set)
            with anyio.fail_after(DEADLINE_S):
                await pong.wait()
            assert r.loop.depth == 8
            before = len(events(r.recorded(), *RISKY))
            await r.kill()
            await r.until(lambda: r.latch.observed)
            assert r.rebuilt
        r.intake.queue.ended = True
        await r.settle()
        r.check_refold()
        rows = r.recorded()
    assert len(events(rows, *RISKY)) == before
    check_killed(rows)
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in inputs]


async def test_a_latch_that_is_set_at_the_start_goes_first(tmp_path: Path) -> None:
    """A life that begins killed observes it before the deposits of a fresh ledger, and is killed to the end."""

    def set_before(r: Rig) -> None:
        r.latch.set("earlier", "uid 7")

    async with rig(tmp_path, OPEN_MARKET, prepare=set_before) as r:
        await r.settle()
        assert r.state == "killed"
        rows = r.recorded()
    assert isinstance(rows[0].body, LatchObserved)
    assert events(rows, CashFlowed)
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        assert r.state == "killed"


async def test_a_loop_that_is_started_again_observes_a_kill_that_died_with_its_predecessor(tmp_path: Path) -> None:
    """The latch says observed; the new core was folded from a ledger that does not know."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()

    def as_after_a_restart_of_the_core(r: Rig) -> None:
        r.latch.set("stop", "uid 7")
        r.latch.observed = True  # by a loop that ended before it was durable
        r.loop.begin([])

    async with rig(tmp_path, OPEN_MARKET, prepare=as_after_a_restart_of_the_core) as r:
        await r.settle()
        assert r.state == "killed"


async def test_a_core_that_does_not_take_the_kill_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poisoned observation leaves trading on, so the loop ends: unknown means no."""
    async with rig(tmp_path, OPEN_MARKET, unobserved=True) as r:
        await r.settle()
        monkeypatch.setattr(ControlDesk, "_kill", lambda *_: None)
        await r.kill()
        await r.until(lambda: r.put(Halt("x", "me")).outcomes != [])
        assert r.core.core.risk.trading_state is TradingState.ACTIVE
        assert not r.latch.observed


async def test_the_error_of_a_core_that_ignores_a_kill_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fatal for the supervisor: no second try."""
    caught: list[BaseException] = []
    try:
        async with rig(tmp_path, OPEN_MARKET) as r:
            await r.settle()
            monkeypatch.setattr(ControlDesk, "_kill", lambda *_: None)
            await r.kill()
            await anyio.sleep(DEADLINE_S)
    except ExceptionGroup as group:
        caught += group.exceptions
    (error,) = caught
    assert isinstance(error, InvariantError)
    assert error.code == "KILL_IGNORED"


async def test_commands_in_flight_at_the_kill_are_each_answered_once(tmp_path: Path) -> None:
    """A hundred orders and deposits on their way: one answer each, orders denied, deposits done once."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = [r.order_soon() if n % 2 else r.send("cash.deposit", amount="1") for n in range(100)]
        await gate.wait()
        await r.until(lambda: not len(r.loop.lanes))
        await r.kill()
        gate.open()
        for one in sent:
            await one.wait()
        await r.until(lambda: r.loop.settled)
        assert all(len(one.outcomes) == 1 for one in sent)
        assert {one.outcomes[0].result["status"] for one in sent[1::2]} == {"denied"}  # type: ignore[index]
        r.check_refold()
        rows = r.recorded()
    check_killed(rows)
    assert len(events(rows, CashFlowed)) == 51
    assert len(recorded(tmp_path)) == len(rows)


async def test_lane_zero_goes_before_commands(tmp_path: Path) -> None:
    """A halt that came last is decided first."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        orders = [r.order_soon() for _ in range(3)]
        halt = r.send("halt", lane=Lane.CONTROL)
        assert (await halt.wait()).code == ""
        for one in orders:
            outcome = await one.wait()
            assert outcome.result is not None
            assert outcome.result["status"] == "denied"


async def test_what_a_caller_was_told_in_the_end_survives_what_a_kill_drops(tmp_path: Path) -> None:
    """A flatten's last answer stands in a batch with an order: asked again, the caller gets the same."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        call = Call("flatten", {}, Peer(7, 7, 1, Role.ADMIN), request_id="all")
        told: list[Outcome] = []
        r.loop.amend(call, Outcome({"flat": False}), told.append)
        await r.until(lambda: r.loop.settled)
        gate = fault.hold("before:tape.write")
        sent = [r.order_soon()]
        await gate.wait()
        sent.append(r.order_soon())
        r.loop.amend(call, Outcome({"flat": True}), told.append)
        await r.until(lambda: not len(r.loop.lanes))
        await r.kill()
        gate.open()
        for one in sent:
            await one.wait()
        await r.until(lambda: r.loop.settled)
        assert r.rebuilt
        assert told == [Outcome({"flat": False}), Outcome({"flat": True})]
    opened = open_ledger(tmp_path, codec(), MarketCodec(MARKET))
    assert [b'"flat":true' in kept.reply for kept in opened.replies() if kept.method == "flatten"] == [True]
    opened.close()
