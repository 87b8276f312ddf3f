"""What counts as a failure, what becomes of it, and how far it climbs."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import traceback

import anyio
import pytest

from daemon.kernel.errors import InvariantError, OperatorError
from daemon.supervision.child import ChildSpec, StartContext
from daemon.supervision.errors import one_line
from daemon.supervision.events import (
    ActorDegraded,
    ActorFailed,
    ActorRecovered,
    Escalated,
    SupervisionEvent,
)
from daemon.supervision.policy import Backoff, Restart, RestartIntensity, Strategy
from daemon.supervision.supervisor import EscalatedError, Supervisor
from daemon.testing.virtual_time import run_virtual
from tests.supervision.world import FOREVER, OFTEN, Told, children, lives, never_starts, play, steady, supervisor


def test_f54_an_actor_that_raises_on_start_for_ever_escalates_without_a_hot_loop() -> None:
    """F54: every attempt waits longer than the one before, the tree gives up, and nobody behind it ever ran."""
    told = Told()
    root = supervisor(
        told, children(a=steady, bad=never_starts(OSError("no such host")), c=steady), intensity=RestartIntensity(5, 60)
    )
    failure = play(root, FOREVER)
    assert isinstance(failure, EscalatedError)
    assert (failure.supervisor, failure.child, failure.fatal) == ("root", "bad", False)
    assert str(failure.origin) == "no such host"
    times = told.of("bad", "failed")
    assert len(times) == 6
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 0.075
    assert sum(gaps) >= 0.75 * 3.1
    assert told.words()[-2:] == ["escalated bad", "stopped a"]
    assert "started c" not in told.words()
    assert {row.name: (row.state, row.restarts) for row in root.tree()} == {
        "root": ("failed", 0),
        "a": ("stopped", 0),
        "bad": ("failed", 5),
        "c": ("new", 0),
    }


def test_f53_a_dead_locked_actor_is_restarted_although_the_loop_lives() -> None:
    """F53: another actor beats on; the silent one is cut off by name and place, and its successor works."""
    told = Told()
    beats: list[float] = []

    async def lively(context: StartContext) -> None:
        context.started()
        while True:
            await anyio.sleep(1.0)
            context.beat()
            beats.append(anyio.current_time())

    async def dead_locked(context: StartContext) -> None:
        context.started()
        for _ in range(3):
            await anyio.sleep(1.0)
            context.beat()
        if not context.restarts:
            await a_lock_that_nobody_releases()
        await lively(context)

    async def a_lock_that_nobody_releases() -> None:
        await anyio.Event().wait()

    root = supervisor(
        told,
        [ChildSpec("lively", lively, heartbeat_s=2.0), ChildSpec("locked", dead_locked, heartbeat_s=2.0)],
    )
    assert play(root, 60.0) is None
    assert told.of("locked", "failed") == [5.0]
    assert len(told.of("locked", "restarted")) == 1
    assert told.of("lively", "failed") == []
    assert len([t for t in beats if t > 5.5]) > 50
    (failed,) = [event for event in told.events if isinstance(event, ActorFailed)]
    assert failed.reason.startswith("HeartbeatMissedError: locked gave no sign of life for 2 s (at ")
    assert "a_lock_that_nobody_releases" in failed.reason
    assert any("a_lock_that_nobody_releases" in line for line in failed.stack)


def test_heartbeats_are_due_from_the_end_of_the_start_and_may_be_late_by_nothing() -> None:
    """A long recovery needs no beats; afterwards the limit holds to the instant."""
    told = Told()

    async def slow_then_silent(context: StartContext) -> None:
        context.beat()  # nobody counts yet
        await anyio.sleep(100.0)
        context.started()
        await anyio.sleep(1.999)
        context.beat()
        await anyio.sleep(2.5)

    root = supervisor(told, [ChildSpec("a", slow_then_silent, Restart.TEMPORARY, heartbeat_s=2.0)])
    assert play(root, 200.0) is None
    assert told.of("a", "failed") == [103.999]


def test_a_beat_from_another_thread_counts() -> None:
    """A thread that works for an actor may speak for it."""
    told = Told()

    async def with_a_thread(context: StartContext) -> None:
        context.started()
        for _ in range(4):
            await anyio.sleep(1.5)
            helper = threading.Thread(target=context.beat)
            helper.start()
            helper.join()
        await anyio.sleep_forever()

    root = supervisor(told, [ChildSpec("a", with_a_thread, Restart.TEMPORARY, heartbeat_s=2.0)])
    assert play(root, 20.0) is None
    assert told.of("a", "failed") == [8.0]


def test_an_actor_that_does_not_get_through_its_start_in_time_has_failed() -> None:
    """It hangs in its start, which has no heartbeat; where it hangs is said."""
    told = Told()

    async def hangs(context: StartContext) -> None:
        if context.restarts:
            await steady(context)
        await anyio.Event().wait()

    root = supervisor(told, [ChildSpec("a", hangs, start_s=7.0), *children(b=steady)])
    assert play(root, 20.0) is None
    assert told.of("a", "failed") == [7.0]
    assert told.of("b", "started")[0] >= 7.07
    assert "a did not start within 7 s (at supervision/test_failures.py" in told.events[0].reason  # type: ignore[attr-defined]


def test_an_overdue_actor_whose_clean_up_fails_too_shows_both_errors() -> None:
    """The missed heartbeat is the failure, what the clean-up raised is its cause."""
    told = Told()

    async def messy(context: StartContext) -> None:
        context.started()
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("the file was gone")

    root = supervisor(told, [ChildSpec("a", messy, Restart.TEMPORARY, heartbeat_s=1.0)])
    assert play(root, 5.0) is None
    (failed,) = [event for event in told.events if isinstance(event, ActorFailed)]
    assert failed.reason.startswith("HeartbeatMissedError")
    assert str(failed.error.__cause__) == "the file was gone"


def test_an_actor_that_fails_at_the_very_instant_it_is_overdue_failed_by_itself() -> None:
    """Its own error says more than the clock."""
    told = Told()
    root = supervisor(told, [ChildSpec("a", lives(2.0), Restart.TEMPORARY, heartbeat_s=2.0)])
    assert play(root, 5.0) is None
    assert told.of("a", "failed") == [2.0]
    assert len(told.events) == 2


def test_errors_keep_their_tracebacks_and_groups_are_told_by_their_leaves() -> None:
    """The log gets the whole story, a person one line."""
    told = Told()

    async def in_a_group(context: StartContext) -> None:
        context.started()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(breaks, "first\nline")
            tasks.start_soon(breaks, "second")

    async def breaks(text: str) -> None:
        await anyio.sleep(1.0)
        raise ValueError(text)

    assert play(supervisor(told, [ChildSpec("a", in_a_group, Restart.TEMPORARY)]), 5.0) is None
    (failed,) = [event for event in told.events if isinstance(event, ActorFailed)]
    assert failed.reason in {"ValueError: first line (and 1 more)", "ValueError: second (and 1 more)"}
    text = "".join(traceback.format_exception(failed.error))
    assert "in breaks" in text
    assert "in_a_group" in text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b"), "ValueError: a b"),
        (KeyError(), "KeyError"),
        (ExceptionGroup("g", [OSError("x"), ExceptionGroup("h", [OSError("y"), OSError("z")])]), None),
        (ValueError("long " * 200), None),
    ],
)
def test_an_error_in_one_line(error: BaseException, line: str | None) -> None:
    """Type and text without breaks, of bounded length."""
    found = one_line(error)
    assert "\n" not in found
    assert len(found) <= 300
    if line is not None:
        assert found == line
    elif isinstance(error, ExceptionGroup):
        assert found == "OSError: x (and 2 more)"


def test_a_bare_cancellation_from_somewhere_else_is_a_failure_not_an_end() -> None:
    """A library that cancels our task must not make an actor vanish."""
    told = Told()

    async def cancelled_by_a_stranger(context: StartContext) -> None:
        context.started()
        if context.restarts:
            await anyio.sleep_forever()
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(1.0, task.cancel)
        await anyio.sleep_forever()

    assert play(supervisor(told, children(a=cancelled_by_a_stranger)), 5.0) is None
    assert told.words() == ["started a", "failed a", "restarted a", "stopped a"]
    assert told.events[1].reason == "CancelledError"  # type: ignore[attr-defined]


def test_a_fatal_error_climbs_to_the_root_at_once() -> None:
    """A broken ledger is no matter for another try, on any floor, alone or in a group."""
    told = Told()

    class LedgerBrokenError(OperatorError):
        """Stands for one."""

    error = ExceptionGroup("g", [ValueError("x"), LedgerBrokenError("the ledger cannot be written")])
    inner = Supervisor(
        "inner", Strategy.ONE_FOR_ONE, OFTEN, [ChildSpec("core", lives(1.0, error=error), fatal=(LedgerBrokenError,))]
    )
    middle = Supervisor("middle", Strategy.ONE_FOR_ALL, OFTEN, [inner.spec()])
    root = supervisor(told, [*children(a=steady), middle.spec()])
    failure = play(root, FOREVER)
    assert isinstance(failure, EscalatedError)
    assert failure.fatal
    assert failure.origin is error
    assert [(event.supervisor, event.actor) for event in told.events if isinstance(event, Escalated)] == [
        ("inner", "core"),
        ("middle", "inner"),
        ("root", "middle"),
    ]
    assert "restarted" not in {line[1] for line in told.lines}


def test_a_fatal_error_of_a_temporary_child_is_fatal_too() -> None:
    """Not coming back is no reason to be overlooked."""
    spec = ChildSpec("a", lives(1.0, error=OSError("disk")), Restart.TEMPORARY, fatal=(OSError,))
    assert isinstance(play(supervisor(Told(), [spec]), FOREVER), EscalatedError)


def test_escalation_climbs_floor_by_floor_until_the_root_gives_up() -> None:
    """3 x 2 x 2 lives: each floor spends its own allowance, and beginning anew fills the floors below again."""
    told = Told()
    inner = Supervisor(
        "inner", Strategy.ONE_FOR_ONE, RestartIntensity(2, 100), children(bad=lives(*[1.0] * 100), good=steady)
    )
    middle = Supervisor("middle", Strategy.REST_FOR_ONE, RestartIntensity(1, 1000), [inner.spec()])
    root = supervisor(told, [middle.spec(), *children(z=steady)], intensity=RestartIntensity(1, 10_000))
    failure = play(root, FOREVER)
    assert isinstance(failure, EscalatedError)
    assert failure.supervisor == "root"
    assert isinstance(failure.origin, ValueError)
    assert len(told.of("bad", "failed")) == 3 * 2 * 2
    assert len(told.of("inner", "failed")) == 2 * 2
    assert len(told.of("middle", "failed")) == 2
    assert told.words()[-2:] == ["escalated middle", "stopped z"]
    assert len(told.of("z", "started")) == 1
    rows = {row.name: row for row in root.tree()}
    assert (rows["bad"].restarts, rows["good"].restarts, rows["inner"].restarts) == (11, 3, 3)


def test_a_subtree_that_begins_anew_leaves_its_siblings_alone() -> None:
    """Within its parent's allowance an escalation is one failure like any other."""
    told = Told()
    inner = Supervisor("inner", Strategy.ONE_FOR_ALL, RestartIntensity(0, 1), children(bad=lives(3.0), good=steady))
    root = supervisor(told, [*children(a=steady), inner.spec(), *children(z=steady)])
    assert play(root, 10.0) is None
    assert told.words()[5:10] == ["failed bad", "escalated bad", "stopped good", "failed inner", "restarted bad"]
    assert told.of("a", "stopped") == told.of("z", "stopped") == [10.0]
    names = [(row.name, row.parent, row.strategy) for row in root.tree()]
    assert names == [
        ("root", "", "one_for_one"),
        ("a", "root", ""),
        ("inner", "root", "one_for_all"),
        ("bad", "inner", ""),
        ("good", "inner", ""),
        ("z", "root", ""),
    ]


def test_an_actor_may_call_itself_degraded_and_recovered() -> None:
    """The tree shows it, nobody is restarted; saying so before the start is a failure."""
    told = Told()
    seen: list[tuple[str, str, tuple[str, ...]]] = []

    async def limps(context: StartContext) -> None:
        context.started()
        context.recovered()  # of nothing: nobody is told
        context.degraded("the pool is gone")
        await anyio.sleep(1.0)
        seen.append((root.tree()[1].state, root.tree()[1].last_error, root.not_running()))
        context.recovered()
        await anyio.sleep_forever()

    async def too_early(context: StartContext) -> None:
        context.degraded("before it began")

    root = supervisor(told, [*children(a=limps), ChildSpec("b", too_early, Restart.TEMPORARY)])
    assert play(root, 5.0) is None
    assert seen == [("degraded", "the pool is gone", ())]
    kinds = [type(event) for event in told.events if event.actor == "a"]
    assert kinds[1:3] == [ActorDegraded, ActorRecovered]
    assert [e.reason for e in told.events if isinstance(e, ActorFailed)] == [
        "InvariantError: b is degraded before it has started: before it began"
    ]


def test_who_is_not_running_is_known_by_name() -> None:
    """Permanent children that are down or have not started; one that waits for its next start is not neglected."""
    seen: list[tuple[str, ...]] = []
    neglected: list[tuple[str, ...]] = []
    told = Told()
    inner = Supervisor("inner", Strategy.ONE_FOR_ONE, OFTEN, children(b=lives(1.0)), backoff=Backoff(first_s=5.0))
    temporary = ChildSpec("t", lives(0.5), Restart.TEMPORARY)

    def look() -> None:
        seen.append(root.not_running())
        neglected.append(root.neglected())

    async def looks(context: StartContext) -> None:
        look()
        context.started()
        await anyio.sleep(2.0)
        look()
        await anyio.sleep(10.0)
        look()
        await anyio.sleep_forever()

    root = supervisor(told, [inner.spec(), temporary, *children(looks=looks)])
    assert root.not_running() == ("inner", "looks")
    assert play(root, 20.0) is None
    assert seen == [("looks",), ("b",), ()]
    assert neglected == [("looks",), (), ()]


def test_an_observer_that_raises_ends_the_supervisor_after_its_children() -> None:
    """Its bug is not swallowed, and leaves nobody running."""
    told = Told()

    def observer(event: SupervisionEvent) -> None:
        told(event)
        if event.actor == "b":
            raise OSError("the log is gone")

    root = Supervisor("root", Strategy.ONE_FOR_ONE, OFTEN, children(a=steady, b=steady, c=steady), on_event=observer)
    failure = play(root, 10.0)
    assert isinstance(failure, OSError)
    assert told.words() == ["started a", "started b", "stopped b", "stopped a"]
    assert [row.state for row in root.tree()] == ["failed", "stopped", "stopped", "new"]


def test_an_observer_that_raises_at_the_very_end_is_heard_too() -> None:
    """When stopping is all there was left to do."""

    def observer(event: SupervisionEvent) -> None:
        if type(event).__name__ == "ActorStopped":
            raise OSError("the log is gone")

    root = Supervisor("root", Strategy.ONE_FOR_ONE, OFTEN, children(a=steady), on_event=observer)
    assert isinstance(play(root, 1.0), OSError)


def test_it_runs_only_once_at_a_time_and_again_afterwards() -> None:
    """A second run beside the first would share its children."""

    async def main() -> list[str]:
        root = Supervisor("root", Strategy.ONE_FOR_ONE, OFTEN, children(a=steady))
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: root.run(task_status=task_status))
            with pytest.raises(InvariantError, match="the supervisor root runs already"):
                await root.run()
            tasks.cancel_scope.cancel()
        root.stop()  # asked before it runs: it starts nobody
        await root.run()
        return [row.state for row in root.tree()]

    assert run_virtual(main) == ["stopped", "stopped"]


def failed_on_a_slow_loop(*, beats_s: float, within_s: float, turns_s: float, stands_s: float, times: int) -> set[str]:
    """Return who fails of eight that beat and one that hangs, on a loop that stands still so often for so long."""
    told = Told()

    async def lively(context: StartContext) -> None:
        await anyio.sleep(0.025)  # one starts behind the other, so they beat in turn
        context.started()
        while True:
            await anyio.sleep(beats_s)
            context.beat()

    async def hangs(context: StartContext) -> None:
        context.started()
        if context.restarts:
            root.stop()
        await anyio.sleep_forever()

    async def keeps_the_loop(context: StartContext) -> None:
        context.started()
        for _ in range(times):
            await anyio.sleep(turns_s)
            time.sleep(stands_s)  # noqa: ASYNC251 - what is tried
        await anyio.sleep(4 * within_s)
        root.stop()

    specs = [ChildSpec(name, lively, heartbeat_s=within_s) for name in "abcdefgh"]
    specs += [ChildSpec("hangs", hangs, heartbeat_s=within_s), *children(busy=keeps_the_loop)]
    root = supervisor(told, specs, backoff=Backoff(first_s=0.001))
    anyio.run(root.run, backend_options={"use_uvloop": True})
    return {actor for _, kind, actor in told.lines if kind == "failed"}


def test_f51_a_loop_that_stood_still_costs_no_child_and_masks_none_that_hangs() -> None:
    """A machine that was paused, a call that kept the loop: who beats when it turns is well; who does not is found."""
    assert failed_on_a_slow_loop(beats_s=0.2, within_s=0.4, turns_s=0.1, stands_s=0.6, times=3) == {"hangs"}


def test_f53_a_loop_that_is_always_slow_hides_no_actor_that_hangs() -> None:
    """It turns a tenth of the time, so every deadline comes late, and nobody would ever be found."""
    began = time.monotonic()
    assert failed_on_a_slow_loop(beats_s=0.05, within_s=0.2, turns_s=0.03, stands_s=0.3, times=30) == {"hangs"}
    assert time.monotonic() - began < 30 * 0.33, "found while the loop was slow, not afterwards"


def test_the_same_holds_on_uvloop_and_the_machines_clock() -> None:
    """Virtual time is for tests; the daemon runs on this."""
    told = Told()
    quick = Backoff(first_s=0.001)

    async def beats_once(context: StartContext) -> None:
        context.started()
        if context.restarts == 1:
            root.stop()
        await anyio.sleep_forever()

    root = supervisor(told, [*children(a=steady), ChildSpec("b", beats_once, heartbeat_s=0.01)], backoff=quick)
    anyio.run(root.run, backend_options={"use_uvloop": True})
    assert told.words() == ["started a", "started b", "failed b", "restarted b", "stopped b", "stopped a"]
