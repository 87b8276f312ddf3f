"""Stopping: in reverse, within budgets, from every phase, and naming what does not end."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from daemon.kernel.clock import VirtualClock
from daemon.supervision.child import ChildSpec, StartContext
from daemon.supervision.events import ActorFailed, ActorStuck
from daemon.supervision.policy import RestartIntensity, Strategy
from daemon.supervision.supervisor import EscalatedError, StuckError, Supervisor
from daemon.testing.virtual_time import run_virtual
from tests.supervision.world import (
    FOREVER,
    OFTEN,
    SPIN,
    Deaf,
    Told,
    children,
    lives,
    never_starts,
    play,
    steady,
    supervisor,
)


def test_each_child_gets_its_own_time_to_end() -> None:
    """Clean-up takes as long as it takes within the budget; the next one waits for it."""
    told = Told()

    def tidy(seconds: float) -> object:
        async def start(context: StartContext) -> None:
            context.started()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(seconds)

        return start

    root = supervisor(told, children(a=tidy(1.0), b=tidy(4.5)))  # type: ignore[arg-type]
    assert play(root, 10.0) is None
    assert told.lines[2:] == [(14.5, "stopped", "b"), (15.5, "stopped", "a")]


def test_a_child_that_does_not_end_is_named_with_its_place_and_left_behind() -> None:
    """The others still end in order; the error and the event say who hangs and where."""
    told = Told()
    deaf = Deaf()
    root = supervisor(told, [*children(a=steady), ChildSpec("deaf", deaf, shutdown_s=2.0), *children(c=steady)])
    failure = play(root, 10.0, leave=lambda: setattr(deaf, "released", True))
    assert isinstance(failure, StuckError)
    assert str(failure).startswith("root: deaf did not end in the time given and was left behind")
    assert told.lines[3:] == [(10.0, "stopped", "c"), (12.0, "stuck", "deaf"), (12.0, "stopped", "a")]
    (stuck,) = [event for event in told.events if isinstance(event, ActorStuck)]
    assert failure.stuck == (stuck,)
    assert stuck.budget_s == 2.0
    assert any("listen_to_nobody" in line and "world.py" in line for line in stuck.stack)
    rows = {row.name: row for row in root.tree()}
    assert (rows["deaf"].state, rows["deaf"].last_error) == ("failed", "did not end within 2 s")
    assert deaf.running == 0


def test_the_place_of_a_hanging_task_below_the_child_is_shown_too() -> None:
    """What a child's own task group waits for is what one wants to know."""
    told = Told()
    deaf = Deaf()

    async def parent(context: StartContext) -> None:
        context.started()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deaf.listen_to_nobody, name="the listener")

    root = supervisor(told, [ChildSpec("parent", parent)])
    assert isinstance(play(root, 1.0, leave=lambda: setattr(deaf, "released", True)), StuckError)
    (stuck,) = [event for event in told.events if isinstance(event, ActorStuck)]
    at = stuck.stack.index("in its task the listener:")
    assert any("parent" in line for line in stuck.stack[:at])
    assert any("listen_to_nobody" in line for line in stuck.stack[at:])


def test_what_a_nested_supervisor_left_behind_is_in_the_roots_error() -> None:
    """Names climb; the root's own children end in order all the same."""
    told = Told()
    deaf = Deaf()
    inner = Supervisor("inner", Strategy.ONE_FOR_ONE, OFTEN, [ChildSpec("deaf", deaf)])
    failure = play(
        supervisor(told, [*children(a=steady), inner.spec()]), 1.0, leave=lambda: setattr(deaf, "released", True)
    )
    assert isinstance(failure, StuckError)
    assert [stuck.actor for stuck in failure.stuck] == ["deaf"]
    assert told.words()[3:] == ["stuck deaf", "failed inner", "stopped a"]


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_a_sibling_that_does_not_end_for_a_restart_escalates_to_the_root(strategy: Strategy) -> None:
    """Two of it must never run, and no floor above may try."""
    told = Told()
    deaf = Deaf()
    inner = Supervisor("inner", strategy, OFTEN, [*children(a=lives(3.0)), ChildSpec("deaf", deaf)])
    failure = play(supervisor(told, [inner.spec()]), FOREVER, leave=lambda: setattr(deaf, "released", True))
    assert isinstance(failure, EscalatedError)
    assert failure.fatal
    assert [stuck.actor for stuck in failure.stuck] == ["deaf"]
    assert "must not run twice" in str(failure)
    assert "restarted" not in {kind for _, kind, _ in told.lines}


def test_a_subtree_that_gave_up_and_left_somebody_behind_is_not_begun_anew() -> None:
    """Its failure was none of the fatal ones, but what it left runs still, and two of it must never run."""
    told = Told()
    deaf = Deaf()
    specs = [*children(a=lives(1.0)), ChildSpec("deaf", deaf, shutdown_s=1.0)]
    inner = Supervisor("inner", Strategy.ONE_FOR_ALL, RestartIntensity(0, 1.0), specs)
    failure = play(supervisor(told, [inner.spec()]), 30.0, leave=lambda: setattr(deaf, "released", True))
    assert isinstance(failure, EscalatedError)
    assert failure.fatal
    assert told.of("inner", "restarted") == []


def test_a_silent_child_that_does_not_end_either_escalates() -> None:
    """It missed its heartbeat and ignores its cancellation: only the end of the process helps."""
    told = Told()
    deaf = Deaf()
    root = supervisor(told, [ChildSpec("deaf", deaf, heartbeat_s=1.0, shutdown_s=2.0)])
    failure = play(root, FOREVER, leave=lambda: setattr(deaf, "released", True))
    assert isinstance(failure, EscalatedError)
    assert failure.fatal
    assert told.lines[1:] == [(3.0, "stuck", "deaf"), (3.0, "escalated", "deaf")]
    assert root.tree()[1].state == "failed"


def test_a_child_declared_replaceable_is_left_behind_and_replaced() -> None:
    """An alert channel that hangs in a thread must not take trading down; its late end changes nothing."""
    told = Told()
    deaf = Deaf()
    calls: list[int] = []

    async def channel(context: StartContext) -> None:
        calls.append(context.restarts)
        if len(calls) == 1:
            await deaf(context)
        context.started()
        while True:
            await anyio.sleep(0.5)
            context.beat()
            deaf.released = anyio.current_time() > 10.0

    spec = ChildSpec("channel", channel, heartbeat_s=1.0, shutdown_s=2.0, abandon=True)
    inner = Supervisor("inner", Strategy.ONE_FOR_ONE, RestartIntensity(1, 10.0), [spec])
    failure = play(supervisor(told, [inner.spec(), *children(a=steady)], intensity=RestartIntensity(0, 1)), 12.0)
    assert told.of("channel", "stuck") == [3.0]
    assert told.of("channel", "failed") == [3.0]
    assert len(told.of("channel", "restarted")) == 1
    # It is in the error of whoever ends afterwards all the same, but does not forbid to begin anew.
    assert isinstance(failure, StuckError)
    assert [(stuck.actor, stuck.replaceable) for stuck in failure.stuck] == [("channel", True)]


def test_a_subtree_that_left_only_replaceable_children_behind_may_begin_anew() -> None:
    """Neither its escalation nor its end is fatal."""
    told = Told()
    deaf = Deaf()
    first: list[int] = []

    async def deaf_once(context: StartContext) -> None:
        first.append(1)
        await (deaf(context) if len(first) == 1 else steady(context))

    inner = Supervisor(
        "inner",
        Strategy.ONE_FOR_ALL,
        RestartIntensity(0, 1.0),
        [*children(a=lives(1.0)), ChildSpec("deaf", deaf_once, shutdown_s=1.0, abandon=True)],
    )
    failure = play(supervisor(told, [inner.spec()]), 10.0, leave=lambda: setattr(deaf, "released", True))
    assert isinstance(failure, StuckError)
    assert len(told.of("inner", "restarted")) == 1


def test_an_error_while_stopping_is_told_and_changes_nothing_else() -> None:
    """Everyone else still ends; run() returns, for it was asked to stop and did."""
    told = Told()

    async def messy(context: StartContext) -> None:
        context.started()
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("the file was gone")

    root = supervisor(told, children(a=steady, messy=messy))
    assert play(root, 1.0) is None
    assert told.words()[2:] == ["failed messy", "stopped a"]
    (failed,) = [event for event in told.events if isinstance(event, ActorFailed)]
    assert (failed.backoff_s, failed.failures) == (None, 0)
    assert [row.state for row in root.tree()] == ["stopped", "stopped", "failed"]


async def _hangs_in_start(context: StartContext) -> None:
    await anyio.sleep_forever()


PHASES = {
    "before anything ran": (children(a=steady, b=steady), 0.0),
    "while a child starts": (children(a=steady, b=_hangs_in_start), 5.0),
    "while everything runs": (children(a=steady, b=steady), 5.0),
    "while a child waits for its next start": (children(a=steady, b=never_starts(OSError("x"))), 5.0),
    "while the group comes back": (children(a=lives(4.95), b=steady), 5.0),
}


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("own_host", [True, False])
def test_a_cancellation_in_any_phase_stops_children_in_reverse_and_leaves_nobody(
    phase: str, strategy: Strategy, *, own_host: bool
) -> None:
    """The children are shielded from it: they end because their supervisor ends them, in its order."""
    specs, at = PHASES[phase]
    told = Told()
    inner = Supervisor("inner", strategy, OFTEN, specs)
    root = supervisor(told, [*children(first=steady), inner.spec()], strategy)

    async def main() -> bool:
        scope = anyio.CancelScope()
        ended = False

        async def run(host: anyio.abc.TaskGroup | None) -> None:
            nonlocal ended
            with scope:
                if at == 0.0:
                    scope.cancel()
                await root.run(host=host)
            ended = True

        async with anyio.create_task_group() as host:
            host.start_soon(run, None if own_host else host)
            await anyio.sleep(at)
            scope.cancel()
        assert len(anyio.get_running_tasks()) == 1
        return ended and scope.cancelled_caught

    assert run_virtual(main)
    assert not {row.state for row in root.tree()} & {"running", "starting", "stopping"}
    stopped = [line[2] for line in told.lines if line[1] == "stopped" and line[0] == at]
    assert stopped == [name for name in ("b", "a", "inner", "first") if name in stopped]


def test_a_cancellation_while_a_group_is_taken_down_waits_for_the_end_of_that() -> None:
    """No child is forgotten between down and up; nobody is started any more."""
    told = Told()

    async def slow_to_end(context: StartContext) -> None:
        context.started()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3.0)

    root = supervisor(told, children(a=steady, b=lives(5.0), c=slow_to_end), Strategy.ONE_FOR_ALL)

    async def main() -> float:
        with anyio.move_on_after(6.0):
            await root.run()
        return anyio.current_time()

    assert run_virtual(main) == 8.0
    assert told.words()[3:] == ["failed b", "stopped c", "stopped a"]


def test_a_stuck_child_outranks_a_cancellation() -> None:
    """Whoever cancelled must learn that not everything ended."""
    deaf = Deaf()
    root = supervisor(Told(), [ChildSpec("deaf", deaf, shutdown_s=1.0)])

    async def main() -> None:
        async with anyio.create_task_group() as host:
            with anyio.move_on_after(2.0), pytest.raises(StuckError):
                await root.run(host=host)
            deaf.released = True

    run_virtual(main, spin_limit=SPIN)
    assert deaf.running == 0


def test_a_child_that_ended_while_the_supervisor_was_busy_is_not_counted_twice() -> None:
    """Two fail at one instant under one_for_all: one restart of the group, both errors told."""
    told = Told()
    root = supervisor(told, children(a=lives(1.0), b=lives(1.0)), Strategy.ONE_FOR_ALL)
    assert play(root, 5.0) is None
    assert told.words()[2:] == ["failed a", "failed b", "restarted a", "restarted b", "stopped b", "stopped a"]
    counted = [event.failures for event in told.events if isinstance(event, ActorFailed)]
    assert counted == [1, 0]


def test_a_child_cut_off_before_it_ran_ends_at_its_first_wait() -> None:
    """Started and stopped within one round of the loop."""
    told = Told()
    ran: list[int] = []

    async def never(context: StartContext) -> None:
        await anyio.lowlevel.checkpoint()
        ran.append(1)

    root = supervisor(told, children(a=never))

    async def main() -> None:
        async with anyio.create_task_group() as host:
            host.start_soon(lambda: root.run(host=host))
            await anyio.lowlevel.checkpoint()
            root.stop()

    run_virtual(main)
    assert ran == []
    assert root.tree()[1].state == "stopped"


def test_errors_leave_a_host_of_its_own_unwrapped() -> None:
    """Whoever gives no host gets the error itself, not a group around it."""
    root = supervisor(Told(), children(a=never_starts(OSError("x"))), intensity=RestartIntensity(0, 1))
    with pytest.raises(EscalatedError, match="root gives up because of a"):
        run_virtual(root.run)


def test_events_and_rows_are_stamped_by_the_clock_that_was_given() -> None:
    """Nested supervisors use their parent's clock and observer unless they have their own."""
    told, own = Told(), Told()
    clock = VirtualClock(5_000)
    leaf = Supervisor("leaf", Strategy.ONE_FOR_ONE, OFTEN, children(c=steady))
    middle = Supervisor("middle", Strategy.ONE_FOR_ONE, OFTEN, [leaf.spec()], on_event=own, clock=VirtualClock(7))
    plain = Supervisor("plain", Strategy.ONE_FOR_ONE, OFTEN, children(d=steady))
    root = supervisor(told, [middle.spec(), plain.spec()], clock=clock)
    assert play(root, 1.0) is None
    assert {event.ts for event in told.events} == {5_000}
    assert {event.actor for event in told.events} == {"middle", "plain", "d"}
    assert {(event.actor, event.ts) for event in own.events} == {("leaf", 7), ("c", 7)}
    assert {row.since for row in root.tree()} == {5_000, 7}


def stand_still(seconds: float) -> None:
    """Let so much time pass in which the loop does not turn, as in a machine that is paused."""
    asyncio.get_running_loop()._jumping.now += seconds  # type: ignore[attr-defined]


def test_f51_a_loop_that_stood_still_leaves_nobody_behind_who_ends() -> None:
    """Who tidies up for half a second gets it, although the machine was paused for a minute meanwhile."""
    told = Told()

    async def tidy(context: StartContext) -> None:
        context.started()
        try:
            await anyio.sleep_forever()
        finally:
            stand_still(60.0)
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)

    root = supervisor(told, [ChildSpec("a", tidy, shutdown_s=1.0)])

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(root.run)
            await anyio.sleep(1.0)
            root.stop()

    run_virtual(main)
    assert told.lines == [(0.0, "started", "a"), (61.5, "stopped", "a")]


def test_f53_a_loop_that_stands_still_again_and_again_hides_nobody_who_does_not_end() -> None:
    """Four times its budget at most, and it is left behind."""
    told = Told()
    ends = anyio.Event()

    async def deaf(context: StartContext) -> None:
        context.started()
        with anyio.CancelScope(shield=True):
            await ends.wait()

    root = supervisor(told, [ChildSpec("a", deaf, shutdown_s=1.0)])

    async def main() -> None:
        async with anyio.create_task_group() as host, anyio.create_task_group() as others:
            others.start_soon(pauses)
            with pytest.raises(StuckError):
                await root.run(host=host)
            others.cancel_scope.cancel()
            ends.set()

    async def pauses() -> None:
        await anyio.sleep(0.1)
        root.stop()
        while True:
            await anyio.sleep(0.9)
            stand_still(5.0)

    run_virtual(main)
    assert told.words() == ["started a", "stuck a"]
    assert told.of("a", "stuck")[0] < 4 * 7.0
