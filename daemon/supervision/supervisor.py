"""Supervision as in OTP, on anyio: children are started in order, watched, started again, and stopped in reverse.

A child fails by raising, by returning although it is permanent, by missing a heartbeat, or by not getting through its
start. The supervisor then starts again who the strategy names, after a back-off; failures in too quick succession make
the supervisor fail itself, and its parent decides. At the root that ends the process.

Children run in shielded scopes inside the *host*, a task group of the process: only their supervisor stops them, one
after the other, even when the whole process is cancelled. A child that does not end in its budget is named, with the
place where it hangs, and left behind in the host. Nothing but the end of the process gets rid of such a task, so
whoever owns the host must not wait for it: ``Supervisor.run(host=...)`` raises while the task still hangs.

Windows, back-off and heartbeats use the loop's own clock, which no operator can set; the wall clock only stamps events.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import anyio
from anyio import TASK_STATUS_IGNORED, CancelScope
from anyio.abc import TaskGroup, TaskStatus

from daemon.kernel.actor import Lifecycle
from daemon.kernel.clock import Clock
from daemon.kernel.errors import InvariantError
from daemon.supervision.child import Child, ChildSpec, Instance, Note, StartContext
from daemon.supervision.crew import Crew, Observer
from daemon.supervision.errors import (
    ChildReturnedError,
    EscalatedError,
    HeartbeatMissedError,
    StartTimeoutError,
    StuckError,
    is_fatal,
    must_not_run_twice,
    one_line,
)
from daemon.supervision.events import (
    ActorDegraded,
    ActorFailed,
    ActorRecovered,
    ActorRestarted,
    ActorStarted,
    ActorStopped,
    Escalated,
)
from daemon.supervision.policy import LATE_S, Backoff, Heartbeat, Restart, RestartIntensity, RestartWindow, Strategy
from daemon.supervision.tree import TreeRow, names, neglected, not_running, rows

__all__ = [
    "Backoff",
    "ChildSpec",
    "EscalatedError",
    "Heartbeat",
    "Restart",
    "RestartIntensity",
    "StartContext",
    "Strategy",
    "StuckError",
    "Supervisor",
    "TreeRow",
]

OWN_SHUTDOWN_S: Final = 1.0
"""What a nested supervisor gets beyond the budgets of its children."""


class Supervisor:
    """Keeps children running. It may be a child itself: see :meth:`spec`.

    Attributes:
        name, strategy, intensity: as declared.
        crew: the children; for the supervisor above and the tree.
    """

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        intensity: RestartIntensity,
        children: Sequence[ChildSpec],
        *,
        on_event: Observer | None = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        stable_s: float | None = None,
    ) -> None:
        """Declare a supervisor; :meth:`run` makes it live.

        Args:
            name: unique in the tree.
            strategy: who is started again with a failed child.
            intensity: how many failures it bears.
            children: in the order they start; they stop in reverse.
            on_event: told of everything, in the loop's thread; what it raises ends the supervisor. None: the parent's.
            clock: stamps events and states. None: the parent's, and the machine's where there is no parent.
            backoff: waits before starting again.
            stable_s: how long a child must have run for its back-off to begin anew; by default the intensity's window.

        Raises:
            InvariantError: two of the tree have the same name.
        """
        self.name = name
        self.strategy = strategy
        self.intensity = intensity
        self.crew = Crew(name, children, on_event, clock)
        self._children = self.crew.children
        self._backoff = Backoff() if backoff is None else backoff
        self._stable_s = intensity.within_s if stable_s is None else stable_s
        self._own = Child(ChildSpec(name, self.start, supervisor=self), self._ts())
        everybody = names(self._own)
        if len(everybody) != len(dict.fromkeys(everybody)):
            twice = next(n for i, n in enumerate(everybody) if n in everybody[:i])
            raise InvariantError(f"{twice} stands twice in the tree of {name}", code="BAD_DECLARATION")
        self._window = RestartWindow(intensity)
        self._notes: deque[Note] = deque()
        self._wake = anyio.Event()
        self._stop_asked = False

    # ------------------------------------------------------------------------------------------------ for the outside

    def spec(self, restart: Restart = Restart.PERMANENT, shutdown_s: float | None = None, **declared: Any) -> ChildSpec:
        """Return this supervisor as a child of another; its budget is by default the sum of its children's."""
        if shutdown_s is None:
            shutdown_s = sum((child.spec.shutdown_s for child in self._children), OWN_SHUTDOWN_S)
        return ChildSpec(self.name, self.start, restart, shutdown_s, supervisor=self, **declared)

    async def start(self, context: StartContext) -> None:
        """Run as a child of another supervisor."""
        await self.run(host=context.host, task_status=context)

    async def run(
        self, *, host: TaskGroup | None = None, task_status: TaskStatus[object] | StartContext = TASK_STATUS_IGNORED
    ) -> None:
        """Start the children, keep them running, and stop them in reverse when told to or cancelled.

        Args:
            host: where children run; it must not be left by whoever cannot bear to wait for a stuck task. None opens
                one, and then a stuck child is waited for.
            task_status: told once every child has started.

        Raises:
            EscalatedError: children failed too often, or with an error declared fatal.
            StuckError: children did not end in their budgets.
            InvariantError: it runs already.
        """
        if self._own.up or self._own.state in {Lifecycle.STARTING, Lifecycle.STOPPING}:
            raise InvariantError(f"the supervisor {self.name} runs already", code="RUNNING")
        if host is not None:
            await self._live(host, task_status)
            return
        failure: Exception | None = None
        async with anyio.create_task_group() as own:
            try:
                await self._live(own, task_status)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group, which would wrap it
                failure = error
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Ask :meth:`run` to stop the children and return; in the loop's thread."""
        self._stop_asked = True
        self._wake.set()

    def tree(self) -> list[TreeRow]:
        """Return the supervisor and everything below it, in the order of starting; from any thread."""
        return list(rows(self._own))

    def not_running(self) -> tuple[str, ...]:
        """Return the permanent children of the whole tree that have not started or are down; from any thread."""
        return tuple(not_running(self._children))

    def neglected(self) -> tuple[str, ...]:
        """Return those of :meth:`not_running` that nobody is about to start again: for the watchdog.

        A child that waits for its next start is looked after. Were that no sign of life, the whole process would be
        killed for one edge that fails, long before its supervisor gives up and says what that means.
        """
        return tuple(neglected(self._children, self.crew.now()))

    def _ts(self) -> int:
        return self.crew.clock.now()

    # ------------------------------------------------------------------------------------------------------- its life

    async def _live(self, host: TaskGroup, task_status: TaskStatus[object] | StartContext) -> None:
        """Serve until told to stop; whatever happens, leave no child running that can be stopped."""
        self._begin()
        failure: Exception | None = None
        try:
            await self._serve(host, task_status)
        except Exception as error:  # noqa: BLE001 - raised by _close once the children are down
            failure = error
        finally:
            with CancelScope(shield=True):
                self._own.move("stop", self._ts())
                await self.crew.take_down(self._children)
            self._close(failure)

    def _begin(self) -> None:
        self._window = RestartWindow(self.intensity)
        self._notes.clear()
        self._wake = anyio.Event()
        self.crew.begin(asyncio.get_running_loop().time)
        self._own.move("start", self._ts())
        self._own.starts += 1

    def _close(self, failure: Exception | None) -> None:
        """State how it ended; an error that tells more outranks a cancellation that may be under way."""
        stuck = tuple(self.crew.stuck)
        self._stop_asked = False  # not at the beginning: whoever asks before we run means us
        failure = failure or self.crew.hook_error
        if failure is None and stuck:
            who = ", ".join(event.actor for event in stuck)
            failure = StuckError(f"{self.name}: {who} did not end in the time given and was left behind", stuck)
        if failure is None:
            self._own.move("stopped", self._ts())
            return
        self._own.last_error = one_line(failure)
        self._own.move("fail", self._ts())
        if isinstance(failure, EscalatedError):
            failure.stuck = stuck
            failure.fatal = failure.fatal or must_not_run_twice(stuck)
        raise failure

    async def _serve(self, host: TaskGroup, task_status: TaskStatus[object] | StartContext) -> None:
        while True:
            self._wake = anyio.Event()
            while self._notes:
                if await self._heed(self._notes.popleft()):
                    return
            await self._cut_overdue()
            if self.crew.hook_error is not None:
                raise self.crew.hook_error
            if self._stop_asked:
                return
            now = self.crew.now()
            self._start_due(host, now)
            if self._own.state is Lifecycle.STARTING and all(child.been_up or child.over for child in self._children):
                self._own.move("started", self._ts())
                task_status.started()
            if not self._notes:
                due = self._next_due(now)
                with CancelScope(deadline=due):
                    await self._wake.wait()
                if self.crew.now() - due > LATE_S:
                    self._excuse()

    def _excuse(self) -> None:
        """The loop stood still, for who knows how long: nobody could give a sign of life, and all begin anew.

        A machine that was paused, or one call that kept the loop, would else be taken for the death of every child.
        Who hangs indeed is found a heartbeat later, and some more where the loop stands still again and again.
        """
        for child in self._children:
            if child.instance is not None and child.instance.heartbeat is not None:
                child.instance.heartbeat.excuse()

    def _post(self, note: Note) -> None:
        self._notes.append(note)
        self._wake.set()

    # -------------------------------------------------------------------------------------------------------- starting

    def _start_due(self, host: TaskGroup, now: float) -> None:
        for at, child in enumerate(self._children):
            if child.due is None or child.due > now or not self._may_start(at):
                continue
            child.due = None
            child.starts += 1
            child.move("start", self._ts())
            child.instance = Instance(child, self.crew.now, self._post)
            host.start_soon(child.instance.run, host, name=f"{self.name}/{child.spec.name}")

    def _may_start(self, at: int) -> bool:
        """Tell whether those before have started; a child that is alone in its failure waits for nobody."""
        before = self._children[:at]
        if self.strategy is Strategy.ONE_FOR_ONE:
            return self._children[at].been_up or all(child.been_up or child.over for child in before)
        return all(child.up or child.over for child in before)

    def _next_due(self, now: float) -> float:
        # What was due and still waits for others is woken by their notes, not by the clock. ``now`` is when it was
        # looked for who is due: by a later clock, a child that came due in between would wait for ever.
        dues = [child.due for child in self._children if child.due is not None and child.due > now]
        running = (child.instance.due() for child in self._children if child.instance is not None)
        return min([*dues, *(due for due in running if due is not None)], default=math.inf)

    # --------------------------------------------------------------------------------------------------- what happened

    async def _heed(self, note: Note) -> bool:
        """Act on a note; return whether the supervisor's work is done."""
        instance = note.instance
        child = instance.child
        if child.instance is not instance:
            return False  # of an instance that was stopped or left behind since
        if note.kind == "ended":
            child.instance = None
            return await self._ended(child, instance)
        ts = self._ts()
        if note.kind == "started":
            child.move("started", ts)
            child.been_up = True
            restarted = child.restarts > 0
            facts = self.crew.facts(child)
            self.crew.tell(ActorRestarted(**facts, restarts=child.restarts) if restarted else ActorStarted(**facts))
        elif note.kind == "degraded":
            child.move("degrade", ts)
            child.last_error = note.text
            self.crew.tell(ActorDegraded(**self.crew.facts(child), reason=note.text))
        elif child.state is Lifecycle.DEGRADED:
            child.move("recover", ts)
            self.crew.tell(ActorRecovered(**self.crew.facts(child)))
        return False

    async def _ended(self, child: Child, instance: Instance) -> bool:
        error = instance.error
        if error is None and child.spec.restart is Restart.PERMANENT:
            message = f"{child.spec.name} returned although it is permanent"
            error = ChildReturnedError(message, code="RETURNED")
        if error is not None:
            await self._failed(child, instance, error)
            return False
        child.over = True
        child.move("stop", self._ts())
        child.move("stopped", self._ts())
        self.crew.tell(ActorStopped(**self.crew.facts(child)))
        return child.spec.significant

    async def _failed(
        self, child: Child, instance: Instance, error: BaseException, stack: tuple[str, ...] = ()
    ) -> None:
        """Take down whom the strategy names and set the time of the next start, or give up.

        Raises:
            EscalatedError: the child must not be started again, or not as often as this.
        """
        now = self.crew.now()
        spec = child.spec
        child.move("fail", self._ts())
        reason = child.last_error = one_line(error)
        self.crew.inherit_stuck(error)
        fatal = is_fatal(error, spec.fatal)
        failed = {**self.crew.facts(child), "reason": reason, "error": error, "stack": stack}
        if spec.restart is Restart.TEMPORARY and not fatal:
            child.over = True
            self.crew.tell(ActorFailed(**failed))
            if spec.significant:
                self._escalate(child, "it is over for good", error)
            return
        limits = self.intensity
        failed |= {"max_restarts": limits.max_restarts, "within_s": limits.within_s}
        failed["failures"] = failures = self._window.add(now)
        if fatal or self._window.exceeded():
            self.crew.tell(ActorFailed(**failed))
            often = f"{failures} failures in {limits.within_s:g} s, {limits.max_restarts} are allowed, the last was"
            self._escalate(child, reason if fatal else f"{often} {reason}", error, fatal=fatal)
        if instance.started_at is not None and now - instance.started_at >= self._stable_s:
            child.failures = 0
        delay = self._backoff.delay(self.name, spec.name, child.failures)
        child.failures += 1
        self.crew.tell(ActorFailed(**failed, backoff_s=delay))
        await self._restart(child, error, delay)

    async def _restart(self, child: Child, error: BaseException, delay: float) -> None:
        at = self._children.index(child)
        if self.strategy is Strategy.ONE_FOR_ONE:
            group = [child]
        else:
            group = self._children[at:] if self.strategy is Strategy.REST_FOR_ONE else self._children
        for one in group:  # OTP: a temporary child is not started again, not even when another's failure took it down
            one.over = one.spec.restart is Restart.TEMPORARY and (one.over or one.instance is not None)
        waiting = [one.due or 0.0 for one in group]
        left = await self.crew.take_down([one for one in group if one is not child])
        if left:
            self._escalate(child, f"{left[0].actor} did not end and must not run twice", error, fatal=True)
        due = self.crew.now() + delay
        for one, before in zip(group, waiting, strict=True):
            one.due = None if one.over else max(due, before)

    def _escalate(self, child: Child, reason: str, error: BaseException, *, fatal: bool = False) -> None:
        self.crew.tell(Escalated(**self.crew.facts(child), reason=reason))
        raise EscalatedError(self.name, child.spec.name, reason, fatal=fatal) from error

    async def _cut_overdue(self) -> None:
        """Stop children that missed their heartbeat or the time for their start; they have failed."""
        for child in self._children:
            instance = child.instance
            due = None if instance is None else instance.due()
            if instance is None or due is None or due > self.crew.now() or instance.ended:
                continue
            stack, place = instance.where()
            if instance.started_at is None:
                message = f"{child.spec.name} did not start within {child.spec.start_s:g} s{place}"
                error: InvariantError = StartTimeoutError(message, code="START_TIMEOUT")
            else:
                message = f"{child.spec.name} gave no sign of life for {child.spec.heartbeat_s:g} s{place}"
                error = HeartbeatMissedError(message, code="HEARTBEAT_MISSED")
            stuck = await self.crew.cancel(child, instance)
            error.__cause__ = instance.error
            if stuck is not None and not stuck.replaceable:
                child.last_error = one_line(error)
                child.move("fail", self._ts())
                self._escalate(child, f"{message}, did not end and must not run twice", error, fatal=True)
            await self._failed(child, instance, error, stack)
