"""A full disk: nothing is promised, nothing is lost, trading is halted, and it goes on by itself when there is room."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import anyio
import pytest

from actors.messages.control import Halt, LatchObserved
from actors.messages.orders import OrderAccepted, OrderCanceled, OrderFilled
from actors.messages.portfolio import CashFlowed
from actors.messages.runtime import MachineTrouble
from daemon.kernel.errors import OperatorError
from daemon.system import core_loop, live_core, setbacks
from daemon.system.commit_line import CALM_S, RETRY_MAX_S, RETRY_S, Retry
from daemon.system.invariants import check_core
from daemon.system.start import read_ledger
from tests.system.core_rig import OPEN, Fault, Rig, Sent, bars, churning, core_spec, events, market_inputs, rig
from tests.system.scheming import Pool, scheming
from tests.system.test_core_loop_merge import check_once

pytestmark = pytest.mark.asyncio
OPEN_MARKET = bars(1, 5)[:-1]
SITES = ("before:tape.write", "after:tape.write", "before:frame.write", "after:frame.write", "before:commit")


@pytest.mark.parametrize(
    ("place", "error"),
    [*((site, errno.ENOSPC) for site in SITES), ("before:commit", errno.EDQUOT), ("before:tape.write", errno.EFBIG)],
)
async def test_commands_are_refused_and_a_halt_is_the_first_thing_written(
    tmp_path: Path, place: str, error: int
) -> None:
    """Whatever was not durable is given up, answered as not done, and the market goes on behind the halt."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        durable = r.loop.committed_seq
        stop = fault.fail(place, error)
        first = r.order_soon()
        await r.until(lambda: r.loop.stalled == "ledger_full")
        second = r.send("cash.deposit", amount="5")
        assert [(await one.wait()).code for one in (first, second)] == ["LEDGER_FULL"] * 2
        assert r.state == "halted"
        assert r.outside.rooms == 1
        stop()
        await r.until(lambda: not r.loop.stalled)
        third = await r.send("cash.deposit", amount="7").wait()
        assert third.code == ""
        r.check_refold()
        rows = r.recorded()
        assert r.outside.kinds == ["ledger_full"]
    assert isinstance(rows[durable].body, Halt)
    assert [event.amount for event in events(rows, CashFlowed)][1:] == [7 * 10**8]
    assert not events(rows, OrderAccepted)


async def test_the_room_that_the_outlet_makes_is_used_at_once(tmp_path: Path) -> None:
    """The reserve is given up: the halt is durable without waiting for the first retry."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        r.outside.make_room = fault.fail("before:commit", errno.ENOSPC)
        began = time.monotonic()
        assert (await r.order()).code == "LEDGER_FULL"
        await r.until(lambda: not r.loop.stalled and r.loop.settled)
        assert time.monotonic() - began < RETRY_S + 0.75  # a slow machine is no second retry
        assert r.state == "halted"


async def test_a_disk_that_is_full_at_the_very_first_commit_loses_no_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is durable yet: the rebuilt core is a fresh one, with its deposits and its first timers."""
    monkeypatch.setattr(live_core, "build_core", scheming())
    fault, pool = Fault(), Pool(0)
    stop = fault.fail("before:frame.write", errno.ENOSPC)
    async with (
        rig(tmp_path, OPEN_MARKET, faults=fault, prepare=pool.serve) as r,
        anyio.create_task_group() as group,
    ):
        group.start_soon(pool.run, r)
        await r.until(lambda: r.loop.stalled != "")
        stop()
        await r.settle()
        r.check_refold()
        rows = r.recorded()
        group.cancel_scope.cancel()
    check_once(rows, OPEN_MARKET)
    assert len(events(rows, CashFlowed)) == 1
    assert rows[0].ts == OPEN  # the halt, at the instant at which everything began
    assert any(getattr(row.body, "strategy", "") == "begin" for row in rows)


async def test_history_that_warms_features_is_not_lost_with_the_first_commit(tmp_path: Path) -> None:
    """It is on the tape only with the first commit that comes through; until then it is kept."""
    fault = Fault()
    stop = fault.fail("before:tape.write", errno.ENOSPC)
    warm, market = bars(1, 9), bars(1, 5, first=1)[:-1]
    spec = core_spec(churning())

    def warmed(r: Rig) -> None:
        r.core.sequencer.rewarm(warm)
        r.loop.tape_warm(warm)

    async with rig(tmp_path, market, spec=spec, faults=fault, prepare=warmed) as r:
        await r.until(lambda: r.loop.stalled != "")
        stop()
        await r.settle()
        r.check_refold()
        rows = r.recorded()
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in market]
    ledger = read_ledger(tmp_path)
    assert [panel.ts for panel in ledger.panels_before(1, 100)] == [panel.ts for panel in warm]
    ledger.close()
    async with rig(tmp_path, market, spec=spec) as r:
        await r.settle()
        r.check_refold()


async def test_commands_that_a_kill_had_put_back_are_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait to go in again when the disk turns out to be full: each is answered, once."""
    monkeypatch.setattr(core_loop, "SLICE_NS", 30_000)
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = [r.order_soon() for _ in range(60)]
        await gate.wait()
        await r.until(lambda: not len(r.loop.lanes))
        stop = fault.fail("before:frame.write", errno.ENOSPC)
        await r.kill()
        gate.open()
        for one in sent:
            await one.wait()
        stop()
        await r.until(lambda: r.loop.settled and not r.loop.stalled)
        assert all(len(one.outcomes) == 1 for one in sent)
        assert "LEDGER_FULL" in {one.code for one in sent}
        assert r.state == "killed"
        r.check_refold()
        rows = r.recorded()
    assert any(isinstance(row.body, LatchObserved) for row in rows)


async def test_facts_of_the_daemons_own_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would tell them again; there is a bound all the same."""
    monkeypatch.setattr(setbacks, "AGAIN_MAX", 3)
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        stop = fault.fail("before:frame.write", errno.ENOSPC)
        assert (await r.order()).code == "LEDGER_FULL"
        for n in range(6):
            r.tell(MachineTrouble("disk", f"trouble {n}"))
        stop()
        await r.until(lambda: not r.loop.stalled and r.loop.settled)
        rows = r.recorded()
    assert [row.body.sentence for row in rows if isinstance(row.body, MachineTrouble)] == [
        "trouble 0",
        "trouble 1",
        "trouble 2",
    ]


async def test_a_disk_that_is_full_again_and_again_is_tried_at_longer_and_longer_intervals(tmp_path: Path) -> None:
    """Only halts find room: each round folds the core anew, so rounds must not follow each other at once."""
    lives: list[Rig] = []
    armed = False

    def tight(place: str) -> None:
        if armed and place == "before:commit" and not lives[0].loop.stalled:
            raise OSError(errno.ENOSPC, "no room")

    async with rig(tmp_path, OPEN_MARKET, faults=tight, prepare=lives.append) as r:
        await r.settle()
        armed = True
        began = time.monotonic()
        for _ in range(3):
            assert (await r.order()).code == "LEDGER_FULL"
            await r.until(lambda: not r.loop.stalled)
        assert time.monotonic() - began >= RETRY_S + 2 * RETRY_S
        assert len(r.rebuilt) == 3


async def test_a_drain_does_not_wait_for_room(tmp_path: Path) -> None:
    """What is not durable was promised to nobody; no snapshot is said to be durable; the next life is whole."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        asked: list[str] = []

        async def ask() -> None:
            try:
                await r.loop.take_snapshot()
            except OperatorError as error:
                asked.append(error.code)

        fault.fail("before:frame.write", errno.ENOSPC)
        gate = fault.hold("before:tape.write")
        sent = r.order_soon()
        await gate.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            gate.open()
            assert (await sent.wait()).code == "LEDGER_FULL"
        with anyio.fail_after(5):
            await r.loop.drain()
        await ask()
        assert asked == ["LEDGER_FULL"] * 2
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        r.check_refold()


async def test_a_loop_that_ends_while_the_disk_is_full_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Whoever asks in the last moment is told."""
    fault = Fault()
    sent: list[Sent] = []
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        fault.fail("before:frame.write", errno.ENOSPC)
        await r.order()
        pong = anyio.Event()
        r.loop.ping(pong.set)
        with anyio.fail_after(5):
            await pong.wait()
        sent += [r.order_soon() for _ in range(3)]
    assert {one.code for one in sent} <= {"LEDGER_FULL", "NOT_READY"}


async def test_waits_for_room_double_up_to_a_bound_and_begin_anew_once_the_disk_was_calm() -> None:
    """At once, then 0.25 s, 0.5 s, ..., 4 s."""
    now = 100.0
    retry = Retry(lambda: now)
    retry.begin()
    waits = []
    for _ in range(7):
        assert retry.left_s() <= 0
        retry.tried()
        waits.append(retry.left_s())
        now += retry.left_s()
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, RETRY_MAX_S, RETRY_MAX_S]
    retry.ended()
    now += 1
    retry.begin()
    assert retry.left_s() == RETRY_MAX_S
    now += CALM_S
    retry.begin()
    assert retry.left_s() <= 0
    retry.tried()
    assert retry.left_s() == RETRY_S


@pytest.mark.parametrize("place", SITES)
@pytest.mark.parametrize("fails_at", [2, 3])
async def test_exits_that_come_to_life_on_a_full_disk_come_with_their_fill_or_not_at_all(
    tmp_path: Path, place: str, fails_at: int
) -> None:
    """The entry fills in the second bar, its target in the third; the disk is full for one of these, and then is not.

    What was given up with the second bar never happened: the halt takes the entry back before that bar comes again.
    What was given up with the third happens once: a halt leaves exits, and the target is met again.
    """
    fault, gates = Fault(), [anyio.Event() for _ in range(40)]
    passed = iter(gates)

    async def jitter() -> None:
        await next(passed).wait()

    async with rig(tmp_path, OPEN_MARKET, faults=fault, jitter=jitter) as r:
        gates[0].set()
        gates[1].set()
        await r.until(lambda: r.core.feed_ts >= OPEN_MARKET[1].ts)
        bracket = {"take_profit_px": 100.1, "stop_px": 90}
        assert (await r.order(type="limit", limit_px=100.05, tif="gtc", bracket=bracket, id="in")).code == ""
        for gate in gates[2:fails_at]:
            gate.set()
        before = OPEN_MARKET[fails_at - 1].ts
        await r.until(lambda: r.core.feed_ts >= before and not r.loop.depth and r.loop.settled)
        stop = fault.fail(place, errno.ENOSPC)
        gates[fails_at].set()
        await r.until(lambda: r.loop.stalled == "ledger_full")
        stop()
        await r.until(lambda: not r.loop.stalled)
        for gate in gates:
            gate.set()
        await r.settle()
        r.check_refold()
        assert check_core(r.core.core) == []
        rows = r.recorded()
    fills = [event.client_order_id for event in events(rows, OrderFilled)]
    born = [event.order.client_order_id for event in events(rows, OrderAccepted)]
    assert fills == ([] if fails_at == 2 else ["in", "in-tp"])
    assert born == (["in"] if fails_at == 2 else ["in", "in-tp", "in-sl"])
    assert len(events(rows, OrderCanceled)) == 1
