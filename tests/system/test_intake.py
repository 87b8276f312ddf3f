"""Where market inputs come from: the pace, the queue, the gate's edges, and a clock that runs on while nobody looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from actors.messages.inference import InferenceRequested, ModelActivated, PredictionReady
from actors.messages.market import GapDetected
from actors.messages.portfolio import DecisionDue
from actors.values.time import LATEST_NS
from daemon.kernel.clock import SystemClock, TimerHeap, VirtualClock
from daemon.kernel.message import Market
from daemon.system import intake, live_core
from daemon.system.core_ports import Input
from daemon.system.intake import (
    LOOK_S,
    SHORTEST_S,
    ArrivalClock,
    FreeIntake,
    GatedIntake,
    MarketQueue,
    Pace,
    ScaledClock,
    boot_ns,
)
from daemon.system.live_core import OpenQuestion
from tests.system.core_rig import MINUTE, OPEN, Fault, bars, events, market_inputs, rig
from tests.system.scheming import Pool, scheming

SECOND = 10**9


class Hand:
    """A monotonic clock under the test's hand, nanoseconds."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        """Return the time."""
        return self.now


class Core:
    """What an intake looks at of a core."""

    def __init__(self, clock: Any = None) -> None:
        self.clock = clock or VirtualClock(OPEN)
        self.questions: dict[str, OpenQuestion] = {}
        self.asked = 0
        self.feed_ts = OPEN
        self.sequencer: Any = type("S", (), {"timers": TimerHeap(), "last_ts": OPEN})()

    def ask(self, name: str, ts: int) -> None:
        """Open a question."""
        self.questions[name] = OpenQuestion(InferenceRequested(name, "m", "s", 1, b"", b"", 1 << 62), ts)
        self.asked += 1

    def timer(self, due: int, name: str = "t") -> None:
        """Set a timer."""
        self.sequencer.timers.push(due, DecisionDue(name))


def answer(name: str) -> PredictionReady:
    """Return an answer."""
    return PredictionReady(name, "m", "1d", b"", b"", b"")


def drain(intake: Any, done: Callable[[Input], None] = lambda _: None) -> list[str]:
    """Take everything that may be taken now; tell what it was."""
    found = []
    while (item := intake.take()) is not None:
        assert item.taken
        done(item)
        name = getattr(item.body, "strategy", getattr(item.body, "request_id", type(item.body).__name__))
        found.append(name)
        intake._core.questions.pop(name, None)
    return found


# -- pace --------------------------------------------------------------------------------------------------------------


def test_a_pace_maps_the_machines_time_to_the_recordings() -> None:
    """Before it has begun, and at full speed, it binds nothing."""
    hand = Hand()
    pace = Pace(60.0, hand)
    assert pace.now() is None
    assert pace.seconds_until(OPEN) == 0.0
    pace.begin(OPEN)
    hand.now += 2 * SECOND
    assert pace.now() == OPEN + 120 * SECOND
    assert pace.seconds_until(OPEN + 180 * SECOND) == 1.0
    assert pace.seconds_until(OPEN) == 0.0
    full = Pace(None, hand)
    full.begin(OPEN)
    assert full.now() is None
    assert full.seconds_until(1 << 62) == 0.0


def test_a_suspended_process_goes_on_where_it_was() -> None:
    """Nobody looked for longer than the pause: the recording did not go on, once; a short absence counts."""
    hand = Hand()
    pace = Pace(1.0, hand)
    pace.begin(OPEN)
    hand.now += 4 * SECOND
    assert pace.now() == OPEN + 4 * SECOND
    hand.now += 60 * SECOND
    assert pace.now() == OPEN + 4 * SECOND
    hand.now += 3 * SECOND
    assert pace.now() == OPEN + 7 * SECOND


def test_a_recording_that_runs_on_tells_what_nobody_saw() -> None:
    """Since when until when, once; absences before anybody asked are one."""
    hand = Hand()
    pace = Pace(2.0, hand, runs_on=True)
    pace.begin(OPEN)
    hand.now += SECOND
    assert pace.now() == OPEN + 2 * SECOND
    assert pace.take_missed() is None
    for _ in range(2):
        hand.now += 30 * SECOND
        pace.now()
    assert pace.take_missed() == (OPEN + 2 * SECOND, OPEN + 122 * SECOND)
    assert pace.take_missed() is None
    assert boot_ns() > 0


def test_a_recording_in_real_time_is_looked_at_often_enough_to_go_on() -> None:
    """Bars are a minute apart; a loop that rested for a whole minute would look like a suspended one, for ever."""
    hand = Hand()
    core, queue = Core(), MarketQueue()
    intake = GatedIntake(core, queue, Pace(1.0, hand), latency_ns=0)  # type: ignore[arg-type]
    for panel in bars(1, 3):
        queue.put(panel)
    taken = []
    for _ in range(500):
        item = intake.take()
        if item is not None:
            taken.append(item.at)
            continue
        if len(taken) == 4:
            break
        wait = intake.wait_s()
        assert wait is not None
        assert wait <= LOOK_S
        hand.now += int(wait * SECOND) + 1
    assert taken == [OPEN, OPEN + MINUTE, OPEN + 2 * MINUTE, OPEN + 3 * MINUTE]
    assert hand.now - 5 * SECOND == pytest.approx(180 * SECOND, abs=SECOND)


# -- queue -------------------------------------------------------------------------------------------------------------


def test_a_queue_tells_once_when_half_of_it_is_empty() -> None:
    """And gives back what was taken last, in order, whatever its bound."""
    queue = MarketQueue(4)
    told: list[int] = []
    panels = bars(1, 3)
    for panel in panels[:4]:
        queue.put(panel)
    assert not queue.has_room
    queue.on_room = lambda: told.append(len(queue.items))
    first = [queue.take()]
    assert queue.has_room
    assert told == []
    first += [queue.take(), queue.take()]
    assert told == [2]
    assert queue.taken == 3
    queue.put(panels[4])
    queue.give_back(first)
    assert queue.taken == 0
    assert list(queue.items) == panels
    assert not queue.has_room


# -- gated -------------------------------------------------------------------------------------------------------------


def test_a_queue_knows_for_how_long_data_are_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while something waits for the core, nor before the next input is due, nor behind the end."""
    now = 10 * SECOND
    monkeypatch.setattr(intake.time, "monotonic_ns", lambda: now)
    queue = MarketQueue()
    now += 3 * SECOND
    assert queue.silent_s == 3.0
    queue.nothing_for(60.0)
    now += 59 * SECOND
    assert queue.silent_s == 0.0
    now += 3 * SECOND
    assert queue.silent_s == 2.0
    queue.put(bars(1, 1)[0])
    assert queue.silent_s == 0.0
    queue.take()
    now += SECOND
    assert queue.silent_s == 1.0
    queue.ended = True
    assert queue.silent_s == 0.0


def gated(*, latency: int = 0, speed: float | None = None) -> tuple[Core, GatedIntake]:
    """Return a gate at full speed."""
    core = Core()
    return core, GatedIntake(core, MarketQueue(), Pace(speed, Hand()), latency_ns=latency)  # type: ignore[arg-type]


def test_the_gate_is_closed_while_something_earlier_may_come() -> None:
    """Without a market input nothing is certain; an answer that is being computed holds everything behind its slot."""
    core, intake = gated(latency=30 * SECOND)
    core.timer(OPEN + 10)
    assert intake.take() is None
    assert intake.wait_s() is None
    core.ask("q", OPEN)
    for panel in bars(1, 2):
        intake.queue.put(panel)
    assert drain(intake) == ["SessionOpened", "t"]
    assert intake.wait_s() is None
    assert not intake.exhausted
    intake.answered(answer("q"))
    assert intake.wait_s() == 0.0
    intake.queue.ended = True
    assert drain(intake, lambda item: setattr(core, "feed_ts", item.at)) == [
        "q",
        "BarPanel",
        "BarPanel",
        "SessionClosed",
    ]
    assert intake.exhausted


def test_behind_the_last_market_input_time_stands_still() -> None:
    """As in a replay: no timer rings behind it; commands are stamped with it."""
    core, intake = gated(speed=1.0)
    intake.pace.begin(OPEN)
    intake.queue.ended = True
    core.timer(OPEN)
    core.timer(OPEN + 1, "late")
    assert drain(intake) == ["t"]
    assert intake.exhausted
    assert intake.command_stamp() == OPEN


def test_an_answer_that_nobody_waits_for_any_more_is_dropped() -> None:
    """Asked again after a restart, a question may be answered twice; what comes second leaves nothing behind."""
    core, intake = gated()
    for panel in bars(1, 1):
        intake.queue.put(panel)
    core.ask("q", OPEN)
    intake.answered(answer("q"))
    intake.answered(answer("q"))
    assert drain(intake) == ["SessionOpened", "q", "BarPanel", "SessionClosed"]
    intake.answered(answer("q"))
    intake.answered(answer("never asked"))
    assert not intake._answers
    assert not intake._expected


def test_a_question_that_was_answered_by_other_means_does_not_hold_the_gate() -> None:
    """Its answer was set aside: the slot is passed over, and the next question has its own."""
    core, intake = gated(latency=5)
    for panel in bars(1, 1):
        intake.queue.put(panel)
    core.ask("aside", OPEN)
    assert drain(intake) == ["SessionOpened"]
    intake.answered(answer("aside"))
    del core.questions["aside"]
    core.ask("next", OPEN)
    intake.answered(answer("next"))
    assert drain(intake) == ["next", "BarPanel", "SessionClosed"]
    assert not intake._answers


def test_a_rebuilt_core_gets_what_was_dropped_again_but_for_timers() -> None:
    """Prices and answers go back to their places; timers wait in the core itself."""
    core, intake = gated(latency=MINUTE)
    core.ask("q", OPEN)
    core.timer(OPEN + MINUTE)
    for panel in bars(1, 2):
        intake.queue.put(panel)
    intake.answered(answer("q"))
    dropped: list[Input] = []
    wanted = ["SessionOpened", "BarPanel", "q", "t", "BarPanel", "SessionClosed"]
    assert drain(intake, dropped.append) == wanted
    again = Core()
    again.ask("q", OPEN)
    again.timer(OPEN + MINUTE)
    intake.rewind(again, dropped)  # type: ignore[arg-type]
    assert drain(intake) == wanted


# -- free-running ------------------------------------------------------------------------------------------------------


def free(clock: Any) -> tuple[Core, FreeIntake]:
    """Return a free-running intake."""
    core = Core(clock)
    return core, FreeIntake(core, MarketQueue(), clock)  # type: ignore[arg-type]


def test_a_scaled_clock_runs_at_its_speed_and_never_back() -> None:
    """Nanoseconds of the recording; seconds until an instant are real ones."""
    hand = Hand()
    clock = ScaledClock(OPEN, 60.0, hand)
    hand.now += SECOND
    assert clock.now() == OPEN + 60 * SECOND
    assert clock.seconds_until(OPEN + 180 * SECOND) == 2.0
    hand.now -= 2 * SECOND
    assert clock.now() == OPEN + 60 * SECOND


def test_time_that_is_made_up_ends_before_the_ledger_cannot_hold_it() -> None:
    """A clock at a thousand million times its speed passes centuries in seconds; in 2200 it stands still."""
    hand = Hand()
    clock, pace = ScaledClock(OPEN, 1e9, hand), Pace(1e9, hand, runs_on=True)
    pace.begin(OPEN)
    late = ScaledClock(LATEST_NS + 5, 1e9, hand)
    hand.now += 20 * SECOND
    assert clock.now() == LATEST_NS
    assert late.now() == LATEST_NS + 5
    assert pace.now() == LATEST_NS
    assert pace.take_missed() == (OPEN, LATEST_NS)


def test_free_running_takes_answers_first_then_timers_that_are_due_then_prices() -> None:
    """Inputs are stamped as they come; what happened when is kept beside."""
    hand = Hand()
    core, intake = free(ScaledClock(OPEN, 1.0, hand))
    core.ask("q", OPEN)
    core.timer(OPEN + SECOND)
    panels = bars(1, 1)
    intake.queue.put(panels[0])
    intake.answered(answer("q"))
    intake.answered(answer("q"))
    seen: list[Input] = []
    assert drain(intake, seen.append) == ["q", "SessionOpened"]
    assert [item.at for item in seen] == [None, None]
    assert seen[1].ts_event == OPEN
    assert intake.wait_s() == 1.0
    hand.now += SECOND
    assert drain(intake, seen.append) == ["t"]
    assert seen[-1].ts_event == OPEN + SECOND
    assert intake.command_stamp() is None
    assert intake.wait_s() is None
    assert not intake.exhausted
    intake.queue.ended = True
    assert intake.exhausted


@pytest.mark.parametrize(
    ("speed", "due_s", "wait"), [(60.0, 30, 0.5), (1000.0, 500, 0.5), (1.0, 30, LOOK_S), (1.0, 0, SHORTEST_S)]
)
def test_a_fast_clocks_timers_are_waited_for_in_real_time(speed: float, due_s: int, wait: float) -> None:
    """At 1000 times the pace a second late would be a quarter of an hour."""
    core, intake = free(ScaledClock(OPEN, speed, Hand()))
    core.timer(OPEN + due_s * SECOND)
    assert intake.wait_s() == pytest.approx(wait)


def test_the_machines_own_clock_is_waited_for_as_well() -> None:
    """Roughly: never longer than a look, never shorter than a moment."""
    clock = SystemClock()
    core, intake = free(clock)
    core.timer(clock.now() + 3600 * SECOND)
    assert intake.wait_s() == LOOK_S


def test_at_full_speed_time_is_that_of_arrivals_and_passes_between_them() -> None:
    """A timer between two prices rings before the second, at its own instant; behind the last price it waits."""
    clock = ArrivalClock(OPEN)
    core, intake = free(clock)
    panels = bars(1, 2)
    for panel in panels[:2]:
        intake.queue.put(panel)
    core.timer(OPEN + 1, "between")
    core.timer(OPEN + MINUTE, "with the bar")
    core.timer(OPEN + 90 * SECOND, "behind")
    stamps: list[int] = []
    assert drain(intake, lambda _: stamps.append(clock.now())) == [
        "SessionOpened",
        "between",
        "BarPanel",
        "with the bar",
    ]
    assert stamps == [OPEN, OPEN + 1, OPEN + MINUTE, OPEN + MINUTE]
    assert intake.wait_s() is None
    intake.queue.put(panels[2])
    assert drain(intake, lambda _: stamps.append(clock.now())) == ["behind", "BarPanel"]
    assert stamps[-2:] == [OPEN + 90 * SECOND, OPEN + 2 * MINUTE]


def test_a_late_price_does_not_turn_an_arrival_clock_back() -> None:
    """It arrives now, whenever it happened."""
    clock = ArrivalClock(OPEN + MINUTE)
    _, intake = free(clock)
    intake.queue.put(bars(1, 1)[0])
    assert drain(intake) == ["SessionOpened"]
    assert clock.now() == OPEN + MINUTE


def test_a_free_running_rebuilt_core_is_stamped_by_its_own_clock() -> None:
    """What was dropped arrives again, answers before prices, and moves the clock that stamps."""
    core, intake = free(ArrivalClock(OPEN))
    for name in ("q1", "q2"):
        core.ask(name, OPEN)
        intake.answered(answer(name))
    for panel in bars(1, 1):
        intake.queue.put(panel)
    dropped: list[Input] = []
    wanted = ["q1", "q2", "SessionOpened", "BarPanel", "SessionClosed"]
    assert drain(intake, dropped.append) == wanted
    again = Core(ArrivalClock(OPEN))
    again.ask("q1", OPEN)
    again.ask("q2", OPEN)
    intake.rewind(again, dropped)  # type: ignore[arg-type]
    assert drain(intake) == wanted
    assert again.clock.now() == OPEN + 390 * MINUTE


@pytest.mark.asyncio
async def test_a_free_running_loop_survives_kills_with_every_price_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stamped by arrival at full speed, overtaken, rebuilt: nothing lost, nothing doubled, time goes on."""
    monkeypatch.setattr(live_core, "build_core", scheming(orders=True))
    inputs: list[Market] = bars(1, 12)[:-1]
    fault, pool = Fault(), Pool(3)

    async with (
        rig(tmp_path, inputs, free=True, capacity=2, faults=fault, prepare=pool.serve) as r,
        anyio.create_task_group() as group,
    ):
        group.start_soon(pool.run, r)
        gate = fault.hold("before:frame.write")
        await gate.wait()
        await r.kill()
        gate.open()
        await r.settle()
        assert r.state == "killed"
        r.check_refold()
        rows = r.recorded()
        group.cancel_scope.cancel()
    assert market_inputs(rows) == [(panel.ts, type(panel).__name__) for panel in inputs]
    rang = [row.body.strategy for row in rows if isinstance(row.body, DecisionDue)]
    assert len(rang) == len(dict.fromkeys(rang))
    assert [row.ts for row in rows] == sorted(row.ts for row in rows)
    assert rows[-1].ts >= inputs[-1].ts
    facts: list[Any] = events(rows, ModelActivated)
    assert any(fact.model_id == "set" for fact in facts)


@pytest.mark.asyncio
async def test_a_gap_that_the_shell_tells_of_is_no_place_in_the_recording(tmp_path: Path) -> None:
    """Whoever goes on behind it must not leave out an input of the same instant."""
    inputs = bars(1, 3)[:-1]
    async with rig(tmp_path, inputs, free=True) as r:
        await r.settle()
        place = (r.core.feed_ts, r.core.feed_n)
        now = r.core.clock.now()
        r.tell(GapDetected(now, "playback", now, now))
        await r.until(lambda: r.loop.settled and not len(r.loop.lanes))
        assert (r.core.feed_ts, r.core.feed_n) == place
        r.check_refold()
