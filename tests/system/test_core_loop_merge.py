"""The gated loop is the replay engine: any market, timers, questions and latencies, in any order of arrival.

And it stays so when its life is cut into pieces: what was not durable comes again, in the order of the merge, once.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.control import Halt, LatchObserved, Unlatch
from actors.messages.inference import InferenceRequested, ModelActivated, PredictionReady
from actors.messages.orders import OrderAccepted, OrderFilled
from actors.messages.portfolio import DecisionDue, DepositCash
from daemon.journal.memory import MemoryJournal
from daemon.journal.opened import RecordedInput
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Market
from daemon.system import commit_line, live_core
from daemon.system.engine import ReplayEngine
from tests.system.core_rig import (
    CASH,
    OPEN,
    Fault,
    Rig,
    bars,
    core_spec,
    events,
    market_inputs,
    recorded,
    rig,
)
from tests.system.scheming import STEP, Pool, scheming

SEEDS = st.integers(0, 10**6)


def random_market(seed: int) -> list[Market]:
    """Return sessions of bars with some missing, and some instants with several inputs."""
    draw = random.Random(seed)  # noqa: S311 - a test's market
    found: list[Market] = []
    for panel in bars(draw.randrange(1, 3), draw.randrange(2, 16)):
        found += [panel] * draw.choice((0, 1, 1, 1, 2)) if type(panel).__name__ == "BarPanel" else [panel]
    return found


def replayed(inputs: Sequence[Market], latency_ns: int) -> ReplayEngine:
    """Replay a market with the schemer; return the engine."""
    spec, clock = core_spec(), VirtualClock()
    core = live_core.build_core(spec, clock=clock, sink=MemoryJournal())
    engine = ReplayEngine(
        core.sequencer,
        clock,
        deposits=[DepositCash("main", CASH, "opening deposit")],
        pool=Pool(0),
        latency_ns=latency_ns,
        first_bar=OPEN,
    )
    engine.run(iter(inputs))
    return engine


def check_once(rows: Sequence[RecordedInput], inputs: Sequence[Market]) -> None:
    """Every market input is there once, in order; every timer rang once, every question was answered once."""
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in inputs]
    facts: list[Any] = events(rows, ModelActivated)
    was_set = {fact.digest: fact.trained_from for fact in facts if fact.model_id == "set"}
    rang = Counter(row.body.strategy for row in rows if isinstance(row.body, DecisionDue))
    assert max(rang.values(), default=1) == 1
    end = inputs[-1].ts
    assert set(rang) - {"begin"} == {name for name, due in was_set.items() if due <= end}
    asked: list[Any] = events(rows, InferenceRequested)
    answered = Counter(row.body.request_id for row in rows if isinstance(row.body, PredictionReady))
    assert max(answered.values(), default=1) == 1
    assert set(answered) <= {request.request_id for request in asked}
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.ts for row in rows] == sorted(row.ts for row in rows)


def jitter_of(seed: int) -> Any:
    """Return a delay of the feed: a few turns of the loop, seeded."""
    draw = random.Random(seed)  # noqa: S311 - timing

    async def wait() -> None:
        for _ in range(draw.choice((0, 0, 1, 5, 30))):
            await anyio.lowlevel.checkpoint()

    return wait


async def lives(
    folder: Path, inputs: Sequence[Market], latency_ns: int, seed: int, crashes: int, **options: Any
) -> list[RecordedInput]:
    """Play a market to its end, through so many crashes at random instants; return what was recorded."""
    draw = random.Random(seed)  # noqa: S311 - timing
    for life in range(crashes + 1):
        pool = Pool(draw.randrange(10**6))
        async with (
            rig(
                folder,
                inputs,
                latency_ns=latency_ns,
                jitter=jitter_of(draw.randrange(10**6)),
                capacity=draw.choice((1, 2, 7, 2_000)),
                snapshot_events=draw.choice((1, 5, 40, 10**9)),
                prepare=pool.serve,
                **options,
            ) as r,
            anyio.create_task_group() as group,
        ):
            group.start_soon(pool.run, r)
            if life < crashes:
                last = draw.randrange(1, 40)
                await r.until(lambda: r.core.sequencer.seq > last or r._is_settled())  # noqa: B023 - awaited here
            else:
                await r.settle()
                r.check_refold()
                assert not r.intake._answers
                assert len(r.intake._expected) == len(r.core.questions)
            group.cancel_scope.cancel()
    return recorded(folder)


def equals_a_replay(seed: int, latency: int, greed: float) -> None:
    """Check one playback against the engine."""
    inputs = random_market(seed)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(live_core, "build_core", scheming(greed))
        wanted = replayed(inputs, latency * STEP)._sequencer
        rows = anyio.run(lives, Path(folder), inputs, latency * STEP, seed, 0)
        check_once(rows, inputs)
        assert rows[-1].seq == wanted.seq
        assert anyio.run(digest_of, Path(folder)) == wanted.digest


def survives_crashes(seed: int, latency: int, crashes: int) -> None:
    """Check one playback in several lives against one in one."""
    inputs = random_market(seed)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(live_core, "build_core", scheming())
        wanted = replayed(inputs, latency * STEP)._sequencer
        rows = anyio.run(lives, Path(folder), inputs, latency * STEP, seed, crashes)
        check_once(rows, inputs)
        assert anyio.run(digest_of, Path(folder)) == wanted.digest


async def digest_of(folder: Path) -> bytes:
    """Return the event digest that the next start finds."""
    async with rig(folder, feed=False) as r:
        return r.core.sequencer.digest


async def _with_setbacks(folder: Path, inputs: Sequence[Market], latency_ns: int, seed: int) -> list[RecordedInput]:
    """Play a market while somebody kills and unlatches, and the disk fills up and is emptied."""
    draw = random.Random(seed)  # noqa: S311 - timing
    pool, fault = Pool(seed), Fault()
    async with (
        rig(
            folder,
            inputs,
            latency_ns=latency_ns,
            jitter=jitter_of(seed),
            capacity=4,
            snapshot_events=30,
            faults=fault,
            prepare=pool.serve,
        ) as r,
        anyio.create_task_group() as group,
    ):
        group.start_soon(pool.run, r)
        while not r._is_settled():
            await trouble(r, fault, draw)
        await r.settle()
        r.check_refold()
        group.cancel_scope.cancel()
    return recorded(folder)


async def trouble(r: Rig, fault: Fault, draw: random.Random) -> None:
    """Bring about one setback, wherever in the commit it finds the ledger, and get over it."""
    place = draw.choice(("before:tape.write", "after:tape.write", "before:frame.write", "before:commit"))
    if draw.random() < 0.5:
        gate = fault.hold(place)
        await r.until(lambda: gate.reached.is_set() or r._is_settled())
        await r.kill()
        gate.open()
        fault.actions.clear()
        await r.until(lambda: r.latch.observed and r.loop.settled)
        kills = r.latch.kills
        assert (await r.put(Unlatch("on", "me")).wait()).code == ""
        assert r.latch.clear("me", kills=kills)
    else:
        stop = fault.fail(place, errno.ENOSPC)
        await r.until(lambda: r.loop.stalled != "" or r._is_settled())
        stop()
        await r.until(lambda: not r.loop.stalled)
    await r.call("resume")


def survives_setbacks(seed: int, latency: int) -> None:
    """Check one playback with kills and full disks."""
    inputs = random_market(seed)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(live_core, "build_core", scheming(orders=True))
        patch.setattr(commit_line, "CALM_S", 0.0)
        patch.setattr(commit_line, "RETRY_S", 0.01)
        rows = anyio.run(_with_setbacks, Path(folder), inputs, latency * STEP, seed)
    check_once(rows, inputs)
    state = "active"
    for row in rows:
        if isinstance(row.body, (LatchObserved, Halt)):
            state = "stopped"
        state = next((str(e.new) for e in row.events if type(e).__name__ == "TradingStateChanged"), state)  # type: ignore[attr-defined]
        if state == "killed":
            assert not events([row], OrderAccepted, OrderFilled)


def few(examples: int) -> Any:
    """Return settings for the default run."""
    return settings(max_examples=examples, deadline=None)


MANY = settings(max_examples=300, deadline=None)
PLAYBACKS = given(SEEDS, st.integers(0, 6), st.floats(0.2, 0.75))
CRASHES = given(SEEDS, st.integers(0, 6), st.integers(1, 4))
SETBACKS = given(SEEDS, st.integers(0, 4))


@few(8)
@PLAYBACKS
def test_playback_through_the_loop_equals_a_replay(seed: int, latency: int, greed: float) -> None:
    """Timers, answers and market inputs of one instant come in the engine's order, however late they arrive."""
    equals_a_replay(seed, latency, greed)


@few(6)
@CRASHES
def test_a_playback_that_crashed_equals_one_that_did_not(seed: int, latency: int, crashes: int) -> None:
    """Open questions are asked again and answered once, timers ring once, no price is missed or doubled."""
    survives_crashes(seed, latency, crashes)


@few(6)
@SETBACKS
def test_setbacks_lose_and_double_nothing(seed: int, latency: int) -> None:
    """Kills and full disks drop what is not durable; it comes again: every price, timer and answer, once."""
    survives_setbacks(seed, latency)


@pytest.mark.long
@MANY
@PLAYBACKS
def test_three_hundred_playbacks_equal_their_replays(seed: int, latency: int, greed: float) -> None:
    """The whole of the sample above."""
    equals_a_replay(seed, latency, greed)


@pytest.mark.long
@MANY
@CRASHES
def test_three_hundred_playbacks_survive_crashes(seed: int, latency: int, crashes: int) -> None:
    """The whole of the sample above."""
    survives_crashes(seed, latency, crashes)


@pytest.mark.long
@MANY
@SETBACKS
def test_three_hundred_playbacks_survive_setbacks(seed: int, latency: int) -> None:
    """The whole of the sample above."""
    survives_setbacks(seed, latency)


def test_the_schemes_have_everything_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise equal digests would prove little."""
    monkeypatch.setattr(live_core, "build_core", scheming())
    found: Counter[str] = Counter()
    for seed in range(4):
        rows = anyio.run(lives, tmp_path / str(seed), random_market(seed), 2 * STEP, seed, 1)
        found += Counter(type(row.body).__name__ for row in rows)
        stamps = Counter(row.ts for row in rows)
        found["busy instants"] += sum(count > 3 for count in stamps.values())
    for kind in ("DecisionDue", "PredictionReady", "BarPanel", "busy instants"):
        assert found[kind] > 10, found
