"""The core loop in calm weather: durable first, in groups, within bounds, with snapshots that cover what they say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from actors.messages.control import Halt
from actors.messages.market import BarPanel
from actors.messages.orders import OrderAccepted
from actors.messages.portfolio import CashFlowed, DepositCash
from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.journal.batch import OutboxRow, SnapshotRow
from daemon.journal.failures import LedgerBrokenError
from daemon.journal.market_codec import MarketCodec
from daemon.journal.recovery import open_ledger
from daemon.journal.sqlite import open_readonly
from daemon.kernel.errors import OperatorError
from daemon.kernel.mailbox import Lane
from daemon.system import collecting, core_lanes
from daemon.system.core_lanes import CoreLanes
from daemon.system.core_ports import Input
from daemon.system.intake import Pace
from daemon.system.start import read_ledger
from tests.system.core_rig import (
    DEADLINE_S,
    MARKET,
    MINUTE,
    OPEN,
    Fault,
    Foreign,
    Phone,
    Sent,
    bars,
    churning,
    codec,
    core_spec,
    events,
    image,
    market_inputs,
    quiet,
    recorded,
    rig,
)

pytestmark = pytest.mark.asyncio
OPEN_MARKET = bars(1, 5)[:-1]


def snapshots(state_dir: Path) -> list[int]:
    """Return the inputs that snapshots stand behind, oldest first."""
    db = open_readonly(state_dir / "ledger.db")
    try:
        return [seq for (seq,) in db.execute("SELECT seq FROM snapshot ORDER BY seq")]
    finally:
        db.close()


# -- durable first -----------------------------------------------------------------------------------------------------


async def test_nothing_leaves_before_it_is_durable(tmp_path: Path) -> None:
    """While the commit is held: no answer, no frame for the outlet; afterwards both, in order."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        released = len(r.outside.frames)
        gate = fault.hold("before:commit")
        sent = r.order_soon()
        await gate.wait()
        assert not sent.outcomes
        assert len(r.outside.frames) == released
        assert r.loop.depth == 1
        assert not r.loop.settled
        gate.open()
        assert (await sent.wait()).code == ""
        await r.until(lambda: r.loop.settled)
        assert r.loop.committed_seq == r.core.sequencer.seq
        assert events(r.recorded(), OrderAccepted)


async def test_what_comes_in_during_a_commit_shares_the_next(tmp_path: Path) -> None:
    """Two hundred deposits behind one that is being written need one commit more."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = [r.send("cash.deposit", amount="1")]
        await gate.wait()
        commits = r.loop.batches_committed
        sent += [r.send("cash.deposit", amount="1") for _ in range(200)]
        await r.until(lambda: not len(r.loop.lanes))
        gate.open()
        for one in sent:
            assert (await one.wait()).code == ""
        assert r.loop.batches_committed == commits + 2
        r.check_refold()


async def test_a_batch_has_a_bound(tmp_path: Path) -> None:
    """What is collected during one long commit is written in several."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault, batch_frames=10) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = [r.send("cash.deposit", amount="1")]
        await gate.wait()
        sent += [r.send("cash.deposit", amount="1") for _ in range(100)]
        await r.until(lambda: not len(r.loop.lanes))
        gate.open()
        for one in sent:
            await one.wait()
        assert max(len(commit.batch.frames) for commit in r.outside.commits[1:]) == 10


async def test_an_input_that_is_put_in_twice_is_processed_and_answered_twice(tmp_path: Path) -> None:
    """Two waiters with one and the same message object do not lose each other."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        body = DepositCash("main", 10**8, "again")
        sent = [r.put(body), r.put(body)]
        for one in sent:
            assert (await one.wait()) == Outcome()
        assert [len(one.outcomes) for one in sent] == [1, 1]
        assert len(events(r.recorded(), CashFlowed)) == 3


async def test_an_input_is_answered_once_whatever_happens() -> None:
    """The second answer goes nowhere."""
    sent = Sent()
    item = Input(Halt("x", "me"), "control", answer=sent.answer)
    item.reply(Outcome(code="A"))
    item.reply(Outcome(code="B"))
    assert sent.code == "A"


# -- quiet data --------------------------------------------------------------------------------------------------------


async def test_quiet_market_data_become_durable_within_a_second(tmp_path: Path) -> None:
    """Nobody waits for them, and still they are on the tape under a frame that covers them."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        panels = quiet(3)
        r.intake.queue.ended = False
        began = time.monotonic()
        for panel in panels:
            r.intake.queue.put(panel)
        r.loop.wake()
        await r.until(lambda: r.loop.depth == 3)
        commits = r.loop.batches_committed
        await r.until(lambda: not r.loop.depth)
        assert time.monotonic() - began < 3.0  # a second, and a slow machine
        assert r.loop.batches_committed == commits + 1
        r.check_refold()
        rows = r.recorded()
    assert [row.body for row in rows[-3:]] == panels
    assert [row.kept for row in rows[-3:]] == [False, False, True]
    opened = open_ledger(tmp_path, codec(), MarketCodec(MARKET))
    assert opened.last_seq == rows[-1].seq
    opened.close()


async def test_quiet_market_data_wait_for_company(tmp_path: Path) -> None:
    """An order takes what waits before it along, in one commit, in order."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        r.intake.queue.ended = False
        for panel in quiet(5):
            r.intake.queue.put(panel)
        r.loop.wake()
        await r.until(lambda: r.loop.depth == 5)
        commits = r.loop.batches_committed
        await r.order()
        assert r.loop.batches_committed == commits + 1
        assert not r.loop.depth
        r.check_refold()


async def test_quiet_data_under_a_lock_do_not_make_the_loop_spin(tmp_path: Path) -> None:
    """Another process holds the ledger; data wait for longer than their second, and the loop rests."""
    turns = 0

    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        with Foreign(tmp_path):
            sent = r.order_soon()
            await r.until(lambda: not len(r.loop.lanes))
            r.intake.queue.ended = False
            for panel in quiet(5):
                r.intake.queue.put(panel)
            r.loop.wake()
            await r.until(lambda: r.loop.depth == 6)
            step = r.loop._step

            def counted() -> Any:
                nonlocal turns
                turns += 1
                return step()

            r.loop._step = counted  # type: ignore[method-assign]
            r.loop._collector.open.since -= 2 * collecting.QUIET_NS
            with anyio.move_on_after(0.3):
                await anyio.sleep_forever()
            assert turns < 20
        await sent.wait()
        await r.until(lambda: not r.loop.depth)


# -- snapshots ---------------------------------------------------------------------------------------------------------


async def test_snapshots_come_with_the_events_and_restore_to_the_running_core(tmp_path: Path) -> None:
    """Whichever of them a restart begins from, it folds to the same bytes."""
    async with rig(tmp_path, bars(2, 30), spec=core_spec(churning()), snapshot_events=40, capacity=5) as r:
        await r.settle()
        taken = [commit.batch.snapshot for commit in r.outside.commits if commit.batch.snapshot is not None]
        assert len(taken) >= 3
        for row in taken:
            assert isinstance(row, SnapshotRow)
            assert (
                row.seq == next(c for c in r.outside.commits if c.batch.snapshot is row).batch.frames[-1].envelope.seq
            )
        assert snapshots(tmp_path) == [row.seq for row in taken[-3:]]
        r.check_refold()
        running = image(r.core)
    newest = "DELETE FROM snapshot WHERE seq = (SELECT max(seq) FROM snapshot)"
    for number in range(3):
        async with rig(tmp_path, bars(2, 30), spec=core_spec(churning()), feed=False) as r:
            assert image(r.core) == running, number
            await r.writer.transact(lambda db: db.execute(newest))


async def test_snapshots_come_with_quiet_market_data_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days of ticks that cause nothing must not be folded one by one at the next start."""
    monkeypatch.setattr(collecting, "SNAPSHOT_INPUTS", 300)
    async with rig(tmp_path, [*OPEN_MARKET, *quiet(1_000)]) as r:
        await r.settle()
        assert r.core.sequencer.events_total < 50
        taken = snapshots(tmp_path)
        assert len(taken) >= 2  # each with the next batch, and quiet batches wait for a second
        assert all(after - before >= 300 for before, after in zip([0, *taken], taken, strict=False))
        r.check_refold()


async def test_a_snapshot_on_demand_is_durable_when_it_is_told(tmp_path: Path) -> None:
    """Asked again without anything new, it is the same one; asked at once by two, both are told."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        seq = await r.loop.take_snapshot()
        assert snapshots(tmp_path) == [seq] == [r.core.sequencer.seq]
        assert await r.loop.take_snapshot() == seq
        assert snapshots(tmp_path) == [seq]
        found: list[int] = []

        async def ask() -> None:
            found.append(await r.loop.take_snapshot())

        await r.order()
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            group.start_soon(ask)
        assert found == [seq + 1] * 2
        assert snapshots(tmp_path) == [seq, seq + 1]
        r.check_refold()
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        assert await r.loop.take_snapshot() == seq + 1  # restored from it, nothing new


async def test_a_snapshot_is_asked_for_while_others_are_being_written(tmp_path: Path) -> None:
    """It stands behind everything that was processed when it was taken."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = [r.order_soon()]
        await gate.wait()
        sent += [r.order_soon() for _ in range(5)]
        await r.until(lambda: not len(r.loop.lanes))
        found: list[int] = []

        async def ask() -> None:
            found.append(await r.loop.take_snapshot())

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert found == [r.core.sequencer.seq]
        assert all(one.outcomes for one in sent)
        r.check_refold()


async def test_a_snapshot_that_a_kill_overtook_is_taken_behind_it(tmp_path: Path) -> None:
    """Whoever asked is told of the one that is durable."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        sent = r.order_soon()
        await gate.wait()
        found: list[int] = []

        async def ask() -> None:
            found.append(await r.loop.take_snapshot())

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            await r.kill()
            gate.open()
        await sent.wait()
        assert found[0] in snapshots(tmp_path)
        await r.settle()
        r.check_refold()


async def test_a_snapshot_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    """The newest was changed, an older one served, and nothing has come in since: the same place, taken anew."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        first = await r.loop.take_snapshot()
        await r.order()
        seq = await r.loop.take_snapshot()
        running = image(r.core)
        await r.writer.transact(lambda db: db.execute("UPDATE snapshot SET core = x'00' WHERE seq = ?", (seq,)))
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        assert image(r.core) == running
        assert r.core.snapshot_seq == first
        assert await r.loop.take_snapshot() == seq
        assert snapshots(tmp_path) == [first, seq]
        assert r.refolded().snapshot_seq == seq
        r.check_refold()


async def test_an_empty_ledger_has_no_snapshot(tmp_path: Path) -> None:
    """There is no frame that one could stand behind."""
    async with rig(tmp_path, feed=False, prepare=lambda r: r.loop._again.clear()) as r:
        assert await r.loop.take_snapshot() == 0
        assert snapshots(tmp_path) == []


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_a_drain_ends_when_everything_that_came_in_is_durable(tmp_path: Path) -> None:
    """Market data that were not taken stay in the recording; the next life takes them."""
    fault = Fault()
    inputs = bars(1, 30)
    async with rig(tmp_path, inputs, faults=fault, capacity=3) as r:
        gate = fault.hold("before:commit")
        await gate.wait()
        sent = [r.order_soon() for _ in range(5)]
        async with anyio.create_task_group() as group:
            group.start_soon(r.loop.drain)
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert all(len(one.outcomes) == 1 for one in sent)
        assert not r.loop.depth
        seq = r.core.sequencer.seq
        r.loop.wake()
        assert await r.loop.take_snapshot() == seq
        await r.writer.seal("ended", r.core.sequencer.digest.hex())
    async with rig(tmp_path, inputs) as r:
        await r.settle()
        r.check_refold()
        rows = r.recorded()
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in inputs]


async def test_a_drain_waits_for_news_of_alerts(tmp_path: Path) -> None:
    """They belong to no input, and must be on disk all the same."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("before:commit")
        r.loop.keep([OutboxRow("A-1", 1, "critical", b"{}", "delivered")])
        await gate.wait()
        drained = anyio.Event()

        async def drain() -> None:
            await r.loop.drain()
            drained.set()

        async with anyio.create_task_group() as group:
            group.start_soon(drain)
            pong = anyio.Event()
            r.loop.ping(pong.set)
            await pong.wait()
            assert not drained.is_set()
            gate.open()
        assert drained.is_set()


async def test_without_feeding_commands_go_on(tmp_path: Path) -> None:
    """The first step of an orderly end: no more prices, whoever asked is answered."""
    async with rig(tmp_path, OPEN_MARKET, feed=False) as r:
        r.loop.stop_feeding()
        for panel in OPEN_MARKET:
            r.intake.queue.put(panel)
        assert (await r.call("cash.deposit", amount="1")).code == ""
        assert len(r.intake.queue.items) == len(OPEN_MARKET)


async def test_an_answer_without_a_key_is_not_kept(tmp_path: Path) -> None:
    """Nobody could ask for it again; with one, what was answered in the end takes the place of the first."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        commits = r.loop.batches_committed
        told: list[Outcome] = []
        r.loop.amend(Call("flatten", {}, Peer(7, 7, 1, Role.ADMIN)), Outcome({"flat": True}), told.append)
        assert told == [Outcome({"flat": True})]
        await r.call("halt", key="h")
        assert r.loop.batches_committed == commits + 1
        late = Call("halt", {}, Peer(7, 7, 1, Role.ADMIN), request_id="h")
        r.loop.amend(late, Outcome(code="LATER"), told.append)
        assert len(told) == 1, "told before it is kept"
        await r.until(lambda: r.loop.settled)
        assert told[1:] == [Outcome(code="LATER")]
        ledger = read_ledger(tmp_path)
        assert [reply.reply for reply in ledger.replies()] == [msgspec.json.encode(Outcome(code="LATER"))]
        ledger.close()


async def test_behind_its_last_snapshot_a_loop_takes_nothing(tmp_path: Path) -> None:
    """The ledger is about to be sealed: commands are refused, alerts stay for the next life, a kill is the latch's."""
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        await r.loop.drain()
        late = await r.order()
        assert late.code == ""
        seq = await r.loop.take_snapshot()
        assert seq == r.core.sequencer.seq
        assert (await r.order()).code == "BUSY"
        r.loop.keep([OutboxRow("A-1", 1, "critical", b"{}", "delivered")])
        await r.kill()
        pong = anyio.Event()
        r.loop.ping(pong.set)
        with anyio.fail_after(DEADLINE_S):
            await pong.wait()
        with pytest.raises(OperatorError, match="the core has ended"):
            await r.loop.take_snapshot()
        assert r.loop.batches_committed
        await r.writer.seal("ended", r.core.sequencer.digest.hex())
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        assert r.state == "killed"
        r.check_refold()


async def test_commands_that_come_in_during_the_last_snapshot_are_covered_by_another(tmp_path: Path) -> None:
    """It is the last only if nothing is behind it."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        await r.order()
        await r.loop.drain()
        gate = fault.hold("before:commit")
        found: list[int] = []

        async def ask() -> None:
            found.append(await r.loop.take_snapshot())

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await gate.wait()
            sent = r.order_soon()
            gate.open()
        assert (await sent.wait()).code == ""
        assert found == [r.core.sequencer.seq]
        assert snapshots(tmp_path)[-1] == found[0]


async def test_an_end_that_no_drain_came_before_leaves_nothing_behind_the_seal(tmp_path: Path) -> None:
    """Somebody is in a hurry, or the drain took too long: what came in is durable, and nothing more comes in."""
    fault = Fault()
    inputs = bars(3, 60)
    async with rig(tmp_path, inputs, spec=core_spec(churning()), faults=fault, batch_frames=10) as r:
        gate = fault.hold("before:commit")
        await gate.wait()
        found: list[int] = []

        async def end() -> None:
            r.loop.end()
            found.append(await r.loop.take_snapshot())

        async with anyio.create_task_group() as group:
            group.start_soon(end)
            await anyio.lowlevel.checkpoint()
            r.loop.keep([OutboxRow("A-1", 1, "critical", b"{}", "delivered")])
            gate.open()
        assert found == [r.core.sequencer.seq]
        assert found[0] < len(inputs)
        assert (await r.order()).code == "BUSY"
        await r.writer.seal("ended", r.core.sequencer.digest.hex())
        pong = anyio.Event()
        r.loop.ping(pong.set)
        with anyio.fail_after(DEADLINE_S):
            await pong.wait()
    async with rig(tmp_path, inputs, spec=core_spec(churning())) as r:
        await r.settle()
        r.check_refold()
        rows = r.recorded()
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in inputs]


@pytest.mark.parametrize("free", [False, True])
async def test_market_data_that_can_wait_do_while_the_ledger_is_slow(tmp_path: Path, *, free: bool) -> None:
    """A playback at full speed runs a few batches ahead of its ledger, and its end waits for those alone."""
    fault = Fault()
    inputs = bars(4, 60)
    gate = fault.hold("before:commit")
    spec = core_spec(churning())
    async with rig(tmp_path, inputs, spec=spec, faults=fault, batch_frames=10, free=free) as r:
        await gate.wait()
        line, queue = r.loop._line, r.intake.queue
        await r.until(
            lambda: (queue.ended and not queue.items) or (not free and len(line.queue) >= core_lanes.BACKLOG_MAX)
        )
        for _ in range(20):
            pong = anyio.Event()
            r.loop.ping(pong.set)
            await pong.wait()
        ahead = r.loop.depth
        gate.open()
        await r.settle()
        r.check_refold()
    bound = 10 * (core_lanes.BACKLOG_MAX + 2)
    assert ahead >= len(inputs) if free else 10 < ahead <= bound


async def test_whoever_waits_when_the_loop_ends_is_told(tmp_path: Path) -> None:
    """On its way to the disk: not known; everything else: nothing was done. Each once."""
    fault = Fault()
    asked: list[str] = []
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        gate = fault.hold("after:commit")
        flying = r.order_soon()
        await gate.wait()
        collected = r.order_soon()
        await r.until(lambda: not len(r.loop.lanes))

        async def ask() -> None:
            with anyio.CancelScope(shield=True):
                try:
                    await r.loop.take_snapshot()
                except OperatorError as error:
                    asked.append(error.code)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            waiting = r.order_soon()
            r.cancel()
            gate.open()
    assert flying.code == "UNKNOWN"
    assert collected.code == "NOT_READY"
    assert waiting.code == "NOT_READY"
    assert asked == ["NOT_READY"]
    assert len(events(recorded(tmp_path), OrderAccepted)) == 1
    with anyio.fail_after(DEADLINE_S):
        await r.loop.drain()


async def test_a_broken_ledger_ends_the_loop(tmp_path: Path) -> None:
    """No blind retry; whoever waited is told that it is not known."""
    fault = Fault()
    sent: list[Sent] = []
    caught: list[BaseException] = []
    try:
        async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
            await r.settle()
            fault.once("before:commit", _io_error)
            sent.append(r.order_soon())
            await anyio.sleep(DEADLINE_S)
    except ExceptionGroup as group:
        caught += group.exceptions
    assert isinstance(caught[0], LedgerBrokenError)
    assert sent[0].code == "UNKNOWN"


def _io_error() -> None:
    raise OSError(5, "input/output error")


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_while_the_ledger_is_held_commands_wait_and_lane_zero_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core runs ahead of the ledger, but not without end; the loop still answers pings."""
    monkeypatch.setattr(core_lanes, "COMMANDS_MAX", 10)
    monkeypatch.setattr(core_lanes, "CONTROL_MAX", 12)
    async with rig(tmp_path, OPEN_MARKET) as r:
        await r.settle()
        with Foreign(tmp_path):
            sent = [r.send("cash.deposit", amount="1") for _ in range(20)]
            await r.until(lambda: r.loop.depth == 10)
            safe = [r.send("halt", lane=Lane.CONTROL) for _ in range(5)]
            await r.until(lambda: r.loop.depth == 12)
            pong = anyio.Event()
            r.loop.ping(pong.set)
            with anyio.fail_after(DEADLINE_S):
                await pong.wait()
            assert (r.loop.depth, len(r.loop.lanes)) == (12, 13)
        for one in (*sent, *safe):
            assert (await one.wait()).code == ""
        r.check_refold()


async def test_a_lane_that_is_full_refuses() -> None:
    """Lane 0 has a bound of its own, so commands cannot fill it."""
    lanes = CoreLanes()
    item = Input(Halt("x", "me"), "control")
    accepted = 0
    while lanes.offer(item, Lane.COMMAND):
        accepted += 1
    assert accepted == len(lanes) == 10_000
    assert lanes.offer(item, Lane.CONTROL)
    assert lanes.take() is item
    assert len(lanes.clear()) == 10_000
    assert lanes.take() is None


# -- time --------------------------------------------------------------------------------------------------------------


class Hand:
    """A monotonic clock under the test's hand, nanoseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def pass_until(self, pace: Pace, ts: int) -> None:
        """Let time pass until the recording stands at ``ts``, looked at now and then."""
        while (pace.now() or ts) < ts:
            self.now += 10**9


async def test_a_command_is_stamped_between_its_neighbours(tmp_path: Path) -> None:
    """By the recording's time: never beyond the next input, never back, never into what was not read yet."""
    hand = Hand()
    pace = Pace(1.0, hand)
    inputs = bars(1, 5)[:-1]
    async with rig(tmp_path, inputs, pace=pace) as r:
        await r.until(lambda: r.core.feed_n == 1)
        hand.pass_until(pace, OPEN + 10 * 10**9)
        await r.call("cash.deposit", amount="1")
        assert r.core.sequencer.last_ts == OPEN + 10 * 10**9
        hand.pass_until(pace, OPEN + 3 * MINUTE)  # three bars are due
        late = r.send("cash.deposit", amount="1")
        await late.wait()
        assert r.core.sequencer.last_ts <= OPEN + 3 * MINUTE
        r.loop.wake()
        await r.until(lambda: r.core.feed_ts == OPEN + 3 * MINUTE)
        hand.pass_until(pace, OPEN + 50 * MINUTE)
        r.loop.wake()
        await r.until(lambda: r.core.feed_ts == inputs[-1].ts)
        await r.settle()
        await r.call("cash.deposit", amount="1")
        assert r.core.sequencer.last_ts == inputs[-1].ts
        rows = r.recorded()
    assert [row.ts for row in rows] == sorted(row.ts for row in rows)
    for row in rows:
        if isinstance(row.body, BarPanel):
            assert row.ts == row.body.ts


async def test_a_command_that_was_dropped_is_stamped_anew(tmp_path: Path) -> None:
    """It goes in before the price that it had come behind, so it must not be stamped beyond it."""
    hand = Hand()
    pace = Pace(1.0, hand)
    inputs = bars(1, 5)[:-1]
    fault = Fault()
    async with rig(tmp_path, inputs, pace=pace, faults=fault) as r:
        await r.until(lambda: r.core.feed_n == 1)
        hand.pass_until(pace, OPEN + MINUTE)
        r.loop.wake()
        await r.until(lambda: r.core.feed_ts == OPEN + MINUTE and r.loop.settled)
        gate = fault.hold("before:frame.write")
        sent = [r.order_soon()]
        await gate.wait()
        hand.pass_until(pace, OPEN + 2 * MINUTE)
        r.loop.wake()
        await r.until(lambda: r.core.feed_ts == OPEN + 2 * MINUTE)
        hand.pass_until(pace, OPEN + 2 * MINUTE + 30 * 10**9)
        sent.append(r.order_soon())
        await r.until(lambda: not len(r.loop.lanes))
        assert r.core.sequencer.last_ts == OPEN + 2 * MINUTE + 30 * 10**9
        await r.kill()
        gate.open()
        for one in sent:
            assert (await one.wait()).result["status"] == "denied"  # type: ignore[index]
        hand.pass_until(pace, OPEN + 9 * MINUTE)
        r.loop.wake()
        await r.settle()
        rows = r.recorded()
        r.check_refold()
    for row in rows:
        if isinstance(row.body, BarPanel):
            assert row.ts == row.body.ts


# -- alerts ------------------------------------------------------------------------------------------------------------


async def test_alerts_reach_a_channel_at_least_once_under_one_id_across_crashes(tmp_path: Path) -> None:
    """Nobody answers in the first two lives; in the third the critical one arrives, and stays delivered."""
    ids: dict[str, None] = {}
    for life in range(4):
        phone = Phone(works=life == 2)
        async with rig(tmp_path, OPEN_MARKET, channels=[phone]) as r:
            await r.settle()
            if life == 0:
                await r.kill("fire")
            await r.until(lambda: phone.tried > 0 or life == 3)  # noqa: B023 - awaited here
            if life == 2:
                await r.until(lambda: not len(r.deliveries) and r.loop.settled)
                ids |= {alert.alert_id: None for alert in phone.heard}
                assert any("fire" in str(alert) for alert in phone.heard)
            if life == 3:
                assert not len(r.deliveries)
                assert not phone.tried
    opened = open_ledger(tmp_path, codec(), MarketCodec(MARKET))
    assert opened.outbox_pending() == []
    opened.close()
    assert ids


async def test_a_delivery_is_not_written_over_a_newer_form_on_its_way(tmp_path: Path) -> None:
    """The alert was counted again while it was delivered: the newer form must still go out after a crash."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        old = OutboxRow("A-1", 1, "critical", b"{}")
        r.loop._collector.open.batch.outbox.append(old)
        r.loop.wake()
        await r.until(lambda: r.loop.settled)
        gate = fault.hold("before:commit")
        r.loop._collector.open.batch.outbox.append(OutboxRow("A-1", 2, "critical", b'{"count": 2}'))
        r.loop.wake()
        await gate.wait()
        r.loop.keep(
            [OutboxRow("A-1", 1, "critical", b"{}", "delivered", 1), OutboxRow("A-2", 1, "info", b"{}", "dropped")]
        )
        gate.open()
        await r.until(lambda: r.loop.settled)
    opened = open_ledger(tmp_path, codec(), MarketCodec(MARKET))
    assert [(row.alert_id, row.ts) for row in opened.outbox_pending()] == [("A-1", 2)]
    opened.close()


async def test_deliveries_survive_what_a_kill_drops(tmp_path: Path) -> None:
    """That an alert was delivered stands in a batch with an order: the order is dropped, the news is not."""
    fault = Fault()
    async with rig(tmp_path, OPEN_MARKET, faults=fault) as r:
        await r.settle()
        r.loop._collector.open.batch.outbox.append(OutboxRow("A-1", 1, "critical", b"{}"))
        r.loop.wake()
        await r.until(lambda: r.loop.settled)
        gate = fault.hold("before:tape.write")
        sent = [r.order_soon()]
        await gate.wait()
        sent.append(r.order_soon())
        r.loop.keep([OutboxRow("A-1", 1, "critical", b"{}", "delivered", 1)])
        await r.until(lambda: not len(r.loop.lanes))
        await r.kill()
        gate.open()
        for one in sent:
            await one.wait()
        await r.until(lambda: r.loop.settled)
        assert r.rebuilt
    opened = open_ledger(tmp_path, codec(), MarketCodec(MARKET))
    pending = [row.alert_id for row in opened.outbox_pending()]
    assert "A-1" not in pending
    assert pending  # those of the kill
    opened.close()
