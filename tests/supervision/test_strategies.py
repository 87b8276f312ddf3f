"""Who is started again with whom, in which order, and after how long."""

from __future__ import annotations

import anyio
import pytest

from daemon.supervision.child import ChildSpec, StartContext
from daemon.supervision.events import ActorFailed, ActorRestarted
from daemon.supervision.policy import Backoff, Restart, RestartIntensity, Strategy
from daemon.supervision.supervisor import EscalatedError, Supervisor
from daemon.testing.virtual_time import VirtualTimeLoop
from tests.supervision.world import FOREVER, Told, children, lives, play, steady, supervisor

FLAT = Backoff(jitter=0.0)


def test_children_start_in_order_each_once_the_one_before_is_ready_and_stop_in_reverse() -> None:
    """A slow start holds up those behind it, and nobody else."""
    told = Told()

    async def slow(context: StartContext) -> None:
        await anyio.sleep(3.0)
        context.started()
        context.started()  # saying it twice is saying it once
        await anyio.sleep_forever()

    assert play(supervisor(told, children(a=steady, b=slow, c=steady)), 10.0) is None
    assert told.lines == [
        (0.0, "started", "a"),
        (3.0, "started", "b"),
        (3.0, "started", "c"),
        (10.0, "stopped", "c"),
        (10.0, "stopped", "b"),
        (10.0, "stopped", "a"),
    ]


@pytest.mark.parametrize(
    ("strategy", "taken_down", "back"),
    [
        (Strategy.ONE_FOR_ONE, [], ["b"]),
        (Strategy.REST_FOR_ONE, ["d", "c"], ["b", "c", "d"]),
        (Strategy.ONE_FOR_ALL, ["d", "c", "a"], ["a", "b", "c", "d"]),
    ],
)
def test_each_strategy_takes_down_and_brings_back_its_own_group(
    strategy: Strategy, taken_down: list[str], back: list[str]
) -> None:
    """Down in reverse, back in order after the failed child's back-off, others untouched."""
    told = Told()
    root = supervisor(told, children(a=steady, b=lives(5.0), c=steady, d=steady), strategy, backoff=FLAT)
    assert play(root, 8.0) is None
    middle = told.lines[4:-4]
    assert middle == [
        (5.0, "failed", "b"),
        *((5.0, "stopped", name) for name in taken_down),
        *((5.1, "restarted", name) for name in back),
    ]
    assert told.words()[-4:] == ["stopped d", "stopped c", "stopped b", "stopped a"]


def test_one_for_one_children_do_not_wait_for_each_others_backoff() -> None:
    """The first is down for seconds; the second comes back at once and the third never noticed."""
    told = Told()
    root = supervisor(
        told, children(a=lives(0.1, 0.1, 0.1, 0.1, 0.1, 0.1), b=lives(3.5), c=steady), backoff=FLAT, stable_s=100.0
    )
    assert play(root, 30.0) is None
    assert told.of("b", "failed") == [3.5]
    assert told.of("b", "restarted") == [3.6]
    assert [round(t, 3) for t in told.of("a", "restarted")] == [0.2, 0.5, 1.0, 1.9, 3.6, 6.9]
    assert told.of("c", "restarted") == []


class TickingLoop(VirtualTimeLoop):
    """A loop on which time goes on with every look at the clock, as it does outside tests, only far more."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.looks = 0
        super().__init__()

    def time(self) -> float:
        """Return a time later than any before, seconds."""
        self.looks += 1
        return super().time() + 1e-6 * self.looks


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_child_that_comes_due_between_two_looks_at_the_clock_is_started(strategy: Strategy) -> None:
    """Wherever in the supervisor's turn its time comes: one that nobody saw would wait for ever."""
    for wait_us in range(1, 60):
        told = Told()
        wait = Backoff(first_s=wait_us * 1e-6, jitter=0.0)
        root = supervisor(
            told, [*children(a=lives(0.0)), ChildSpec("last", steady, Restart.TEMPORARY)], strategy, backoff=wait
        )

        async def until_it_is_back(root: Supervisor = root, told: Told = told) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(root.run)
                while not told.of("a", "restarted"):
                    await anyio.sleep(1.0)
                    assert anyio.current_time() < 5.0, "nobody started it"
                root.stop()

        anyio.run(until_it_is_back, backend_options={"loop_factory": TickingLoop})


def test_backoff_begins_anew_after_a_stable_time() -> None:
    """Three quick failures, a minute of peace, and the next wait is the first one again."""
    told = Told()
    root = supervisor(told, children(a=lives(0.5, 0.5, 0.5, 60.0, 59.9)), backoff=FLAT, stable_s=60.0)
    assert play(root, 300.0) is None
    waits = [event.backoff_s for event in told.events if isinstance(event, ActorFailed)]
    assert waits == [pytest.approx(w) for w in (0.1, 0.2, 0.4, 0.1, 0.2)]
    counts = [event.restarts for event in told.events if isinstance(event, ActorRestarted)]
    assert counts == [1, 2, 3, 4, 5]


def test_a_permanent_child_that_returns_has_failed() -> None:
    """Whatever it says, it was to run until stopped."""
    told = Told()
    assert play(supervisor(told, children(a=lives(2.0, returns=True))), 5.0) is None
    (failed,) = [event for event in told.events if isinstance(event, ActorFailed)]
    assert failed.reason == "ChildReturnedError: a returned although it is permanent"
    assert failed.failures == 1
    assert len(told.of("a", "restarted")) == 1


def test_a_transient_child_comes_back_after_a_failure_and_not_after_its_work_is_done() -> None:
    """First it raises, then it returns."""
    told = Told()
    runs: list[int] = []

    async def job(context: StartContext) -> None:
        runs.append(context.restarts)
        context.started()
        await anyio.sleep(1.0)
        if not context.restarts:
            raise OSError("try again")

    root = supervisor(told, [ChildSpec("job", job, Restart.TRANSIENT), *children(b=steady)])
    assert play(root, 10.0) is None
    assert runs == [0, 1]
    assert told.words() == ["started job", "started b", "failed job", "restarted job", "stopped job", "stopped b"]


def test_a_temporary_child_never_comes_back() -> None:
    """Neither after its own failure nor when another's failure took it down; one that never ran still gets its turn."""
    told = Told()
    root = supervisor(
        told,
        [
            ChildSpec("gone", lives(1.0), Restart.TEMPORARY),
            *children(b=lives(4.0, 4.0)),
            ChildSpec("taken", steady, Restart.TEMPORARY),
        ],
        Strategy.ONE_FOR_ALL,
    )
    assert play(root, 10.0) is None
    assert told.words() == [
        *("started gone", "started b", "started taken"),
        *("failed gone", "failed b", "stopped taken", "restarted b", "failed b", "restarted b", "stopped b"),
    ]


def test_a_temporary_child_that_waits_for_its_first_start_gets_it_after_anothers_failure() -> None:
    """Only what has run is over."""
    told = Told()
    starts: list[int] = []

    async def second_time(context: StartContext) -> None:
        starts.append(1)
        if len(starts) == 1:
            raise OSError("not yet")
        await steady(context)

    root = supervisor(
        told, [*children(a=second_time), ChildSpec("once", steady, Restart.TEMPORARY)], Strategy.REST_FOR_ONE
    )
    assert play(root, 10.0) is None
    assert told.words() == ["failed a", "restarted a", "started once", "stopped once", "stopped a"]


def test_a_finished_transient_is_done_again_when_the_whole_group_begins_anew() -> None:
    """As in OTP: what it prepared is gone with the others' state."""
    told = Told()
    root = supervisor(
        told,
        [ChildSpec("prepare", lives(0.5, 0.5, returns=True), Restart.TRANSIENT), *children(work=lives(3.0))],
        Strategy.ONE_FOR_ALL,
    )
    assert play(root, 10.0) is None
    assert told.words()[:6] == [
        *("started prepare", "started work", "stopped prepare"),
        *("failed work", "restarted prepare", "restarted work"),
    ]


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
def test_a_significant_child_whose_work_is_done_ends_its_supervisor_in_peace(restart: Restart) -> None:
    """The siblings are stopped, and run() returns."""
    told = Told()
    root = supervisor(
        told, [*children(a=steady), ChildSpec("work", lives(2.0, returns=True), restart, significant=True)]
    )
    assert play(root, FOREVER) is None
    assert told.lines[2:] == [(2.0, "stopped", "work"), (2.0, "stopped", "a")]


def test_a_significant_temporary_child_that_fails_ends_its_supervisor_in_anger() -> None:
    """It is over for good, and badly."""
    told = Told()
    spec = ChildSpec("work", lives(2.0), Restart.TEMPORARY, significant=True)
    failure = play(supervisor(told, [*children(a=steady), spec]), FOREVER)
    assert isinstance(failure, EscalatedError)
    assert "over for good" in str(failure)
    assert told.words()[2:] == ["failed work", "escalated work", "stopped a"]


def test_a_one_shot_child_may_return_without_saying_that_it_started() -> None:
    """Returning is the strongest way to be done; those behind it go on."""
    told = Told()

    async def at_once(context: StartContext) -> None:
        await anyio.sleep(1.0)

    root = supervisor(told, [ChildSpec("once", at_once, Restart.TRANSIENT), *children(b=steady)])
    assert play(root, 3.0) is None
    assert told.lines[:2] == [(1.0, "stopped", "once"), (1.0, "started", "b")]


def test_rest_for_one_keeps_the_later_of_two_waits() -> None:
    """A child that waits out a long back-off is not brought back early because one before it failed."""
    told = Told()
    root = supervisor(
        told, children(a=lives(1.85), b=lives(0.1, 0.1, 0.1, 0.1)), Strategy.REST_FOR_ONE, backoff=FLAT, stable_s=99.0
    )
    assert play(root, 10.0) is None
    assert told.of("b", "failed") == pytest.approx([0.1, 0.3, 0.6, 1.1])
    assert told.of("a", "restarted") == [1.95]
    assert told.of("b", "restarted") == pytest.approx([0.2, 0.5, 1.0, 1.95])
    told = Told()
    root = supervisor(
        told, children(a=lives(1.5), b=lives(0.1, 0.1, 0.1, 0.1)), Strategy.REST_FOR_ONE, backoff=FLAT, stable_s=99.0
    )
    assert play(root, 10.0) is None
    assert told.of("a", "restarted") == [1.6]
    assert told.of("b", "restarted")[-1] == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("intensity", "escalates_at"),
    [(RestartIntensity(5, 300.0), None), (RestartIntensity(1, 60.0), 61.1)],
)
def test_an_intensity_is_applied_on_the_loops_clock(intensity: RestartIntensity, escalates_at: float | None) -> None:
    """A failure every half minute: borne by 5 in 300 s for four more, not by 1 in 60 s."""
    told = Told()
    root = supervisor(told, children(a=lives(30.5, 30.5, 30.5, 30.5, 30.5)), intensity=intensity, backoff=FLAT)
    failure = play(root, 1000.0)
    if escalates_at is None:
        assert failure is None
        assert len(told.of("a", "restarted")) == 5
    else:
        assert isinstance(failure, EscalatedError)
        assert told.of("a", "escalated") == [escalates_at]
