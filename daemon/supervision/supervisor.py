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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import anyio
import msgspec
from anyio import TASK_STATUS_IGNORED, CancelScope
from anyio.abc import TaskGroup, TaskStatus

from daemon.kernel.actor import Lifecycle
from daemon.kernel.clock import Clock, SystemClock
from daemon.kernel.errors import InvariantError
from daemon.supervision.child import Child, ChildSpec, Instance, Note, StartContext
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
    ActorStuck,
    Escalated,
    SupervisionEvent,
)
from daemon.supervision.policy import Backoff, Heartbeat, Restart, RestartIntensity, RestartWindow, Strategy

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


class TreeRow(msgspec.Struct, frozen=True):
    """One line of ``tradingctl actors``.

    Attributes:
        name: of the supervisor or child.
        parent: its supervisor, "" for the root.
        state: of the actor lifecycle.
        restarts: how often it was started again since the process began.
        since: when it came into this state, nanoseconds UTC.
        last_error: its last failure in one line, "".
        strategy: of a supervisor, "" for a leaf.
    """

    name: str
    parent: str
    state: str
    restarts: int
    since: int
    last_error: str
    strategy: str


class Supervisor:
    """Keeps children running. It may be a child itself: see :meth:`spec`."""

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        intensity: RestartIntensity,
        children: Sequence[ChildSpec],
        *,
        on_event: Callable[[SupervisionEvent], None] | None = None,
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
        self._on_event = on_event
        self._given_clock = clock
        self._clock: Clock = SystemClock() if clock is None else clock
        self._backoff = Backoff() if backoff is None else backoff
        self._stable_s = intensity.within_s if stable_s is None else stable_s
        ts = self._clock.now()
        self._children = [Child(spec, ts) for spec in children]
        names = list(self._names())
        if len(names) != len(dict.fromkeys(names)):
            twice = next(n for i, n in enumerate(names) if n in names[:i])
            raise InvariantError(f"{twice} stands twice in the tree of {name}", code="BAD_DECLARATION")
        for child in self._children:
            if child.spec.supervisor is not None:
                child.spec.supervisor._adopt(on_event, clock)  # noqa: SLF001 - the same class
        self._own = Child(ChildSpec(name, self.start, supervisor=self), ts)
        self._window = RestartWindow(intensity)
        self._notes: deque[Note] = deque()
        self._wake = anyio.Event()
        self._stop_asked = False
        self._hook_error: Exception | None = None
        self._stuck: list[ActorStuck] = []
        self._now: Callable[[], float] = lambda: 0.0

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
        return list(self._rows(self._own, ""))

    def not_running(self) -> tuple[str, ...]:
        """Return the permanent children of the whole tree that have not started or are down; from any thread."""
        found: list[str] = []
        for child in self._children:
            nested = child.spec.supervisor
            if child.spec.restart is Restart.PERMANENT and not child.up:
                found.append(child.spec.name)
            elif nested is not None and child.up:
                found += nested.not_running()
        return tuple(found)

    def _adopt(self, on_event: Callable[[SupervisionEvent], None] | None, clock: Clock | None) -> None:
        """Take from the parent what was not given, and hand it on."""
        self._on_event = self._on_event or on_event
        if self._given_clock is None and clock is not None:
            self._given_clock = self._clock = clock
        for child in self._children:
            if child.spec.supervisor is not None:
                child.spec.supervisor._adopt(self._on_event, self._given_clock)  # noqa: SLF001 - the same class

    def _rows(self, me: Child, parent: str) -> Iterator[TreeRow]:
        nested = me.spec.supervisor
        strategy = "" if nested is None else nested.strategy.value
        yield TreeRow(me.spec.name, parent, me.state.value, me.restarts, me.since, me.last_error, strategy)
        if nested is not None:
            for child in nested._children:  # noqa: SLF001 - the same class
                yield from self._rows(child, me.spec.name)

    def _names(self) -> Iterator[str]:
        yield self.name
        for child in self._children:
            if child.spec.supervisor is None:
                yield child.spec.name
            else:
                yield from child.spec.supervisor._names()  # noqa: SLF001 - the same class

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
                self._own.move("stop", self._clock.now())
                await self._take_down(self._children)
            self._close(failure)

    def _begin(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._window = RestartWindow(self.intensity)
        self._notes.clear()
        self._wake = anyio.Event()
        self._hook_error = None
        self._stuck = []
        self._own.move("start", self._clock.now())
        self._own.starts += 1
        for child in self._children:
            child.renew()
            child.due = self._now()

    def _close(self, failure: Exception | None) -> None:
        """State how it ended; an error that tells more outranks a cancellation that may be under way."""
        stuck = tuple(self._stuck)
        self._stop_asked = False  # not at the beginning: whoever asks before we run means us
        failure = failure or self._hook_error
        if failure is None and stuck:
            who = ", ".join(event.actor for event in stuck)
            failure = StuckError(f"{self.name}: {who} did not end in the time given and was left behind", stuck)
        if failure is None:
            self._own.move("stopped", self._clock.now())
            return
        self._own.last_error = one_line(failure)
        self._own.move("fail", self._clock.now())
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
            if self._hook_error is not None:
                raise self._hook_error
            if self._stop_asked:
                return
            self._start_due(host)
            if self._own.state is Lifecycle.STARTING and all(child.been_up or child.over for child in self._children):
                self._own.move("started", self._clock.now())
                task_status.started()
            if not self._notes:
                with CancelScope(deadline=self._next_due()):
                    await self._wake.wait()

    def _post(self, note: Note) -> None:
        self._notes.append(note)
        self._wake.set()

    def _tell(self, event: SupervisionEvent) -> None:
        """Tell the hook. What it raises ends the supervisor, but not before the children are down."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - raised by _serve or _close
            self._hook_error = self._hook_error or error

    def _facts(self, child: Child) -> dict[str, Any]:
        return {"ts": self._clock.now(), "supervisor": self.name, "actor": child.spec.name}

    # -------------------------------------------------------------------------------------------------------- starting

    def _start_due(self, host: TaskGroup) -> None:
        now = self._now()
        for at, child in enumerate(self._children):
            if child.due is None or child.due > now or not self._may_start(at):
                continue
            child.due = None
            child.starts += 1
            child.move("start", self._clock.now())
            child.instance = Instance(child, self._now, self._post)
            host.start_soon(child.instance.run, host, name=f"{self.name}/{child.spec.name}")

    def _may_start(self, at: int) -> bool:
        """Tell whether those before have started; a child that is alone in its failure waits for nobody."""
        before = self._children[:at]
        if self.strategy is Strategy.ONE_FOR_ONE:
            return self._children[at].been_up or all(child.been_up or child.over for child in before)
        return all(child.up or child.over for child in before)

    def _next_due(self) -> float:
        dues = [child.due for child in self._children if child.due is not None]
        now = self._now()
        # What is due and still waits for others is woken by their notes, not by the clock.
        dues = [due for due in dues if due > now]
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
        ts = self._clock.now()
        if note.kind == "started":
            child.move("started", ts)
            child.been_up = True
            restarted = child.restarts > 0
            facts = self._facts(child)
            self._tell(ActorRestarted(**facts, restarts=child.restarts) if restarted else ActorStarted(**facts))
        elif note.kind == "degraded":
            child.move("degrade", ts)
            child.last_error = note.text
            self._tell(ActorDegraded(**self._facts(child), reason=note.text))
        elif child.state is Lifecycle.DEGRADED:
            child.move("recover", ts)
            self._tell(ActorRecovered(**self._facts(child)))
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
        child.move("stop", self._clock.now())
        child.move("stopped", self._clock.now())
        self._tell(ActorStopped(**self._facts(child)))
        return child.spec.significant

    async def _failed(
        self, child: Child, instance: Instance, error: BaseException, stack: tuple[str, ...] = ()
    ) -> None:
        """Take down whom the strategy names and set the time of the next start, or give up.

        Raises:
            EscalatedError: the child must not be started again, or not as often as this.
        """
        now = self._now()
        spec = child.spec
        if child.state is not Lifecycle.FAILED:
            child.move("fail", self._clock.now())
        reason = child.last_error = one_line(error)
        self._inherit_stuck(error)
        fatal = is_fatal(error, spec.fatal)
        failed = {**self._facts(child), "reason": reason, "error": error, "stack": stack}
        if spec.restart is Restart.TEMPORARY and not fatal:
            child.over = True
            self._tell(ActorFailed(**failed))
            if spec.significant:
                self._escalate(child, "it is over for good", error)
            return
        limits = self.intensity
        failed |= {"max_restarts": limits.max_restarts, "within_s": limits.within_s}
        failed["failures"] = failures = self._window.add(now)
        if fatal or self._window.exceeded():
            self._tell(ActorFailed(**failed))
            often = f"{failures} failures in {limits.within_s:g} s, {limits.max_restarts} are allowed, the last was"
            self._escalate(child, reason if fatal else f"{often} {reason}", error, fatal=fatal)
        if instance.started_at is not None and now - instance.started_at >= self._stable_s:
            child.failures = 0
        delay = self._backoff.delay(self.name, spec.name, child.failures)
        child.failures += 1
        self._tell(ActorFailed(**failed, backoff_s=delay))
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
        left = await self._take_down([one for one in group if one is not child])
        if left:
            self._escalate(child, f"{left[0].actor} did not end and must not run twice", error, fatal=True)
        due = self._now() + delay
        for one, before in zip(group, waiting, strict=True):
            one.due = None if one.over else max(due, before)

    def _escalate(self, child: Child, reason: str, error: BaseException, *, fatal: bool = False) -> None:
        self._tell(Escalated(**self._facts(child), reason=reason))
        raise EscalatedError(self.name, child.spec.name, reason, fatal=fatal) from error

    async def _cut_overdue(self) -> None:
        """Stop children that missed their heartbeat or the time for their start; they have failed."""
        for child in self._children:
            instance = child.instance
            due = None if instance is None else instance.due()
            if instance is None or due is None or due > self._now() or instance.ended.is_set():
                continue
            stack, place = instance.where()
            if instance.started_at is None:
                message = f"{child.spec.name} did not start within {child.spec.start_s:g} s{place}"
                error: InvariantError = StartTimeoutError(message, code="START_TIMEOUT")
            else:
                message = f"{child.spec.name} gave no sign of life for {child.spec.heartbeat_s:g} s{place}"
                error = HeartbeatMissedError(message, code="HEARTBEAT_MISSED")
            stuck = await self._cancel(child, instance)
            error.__cause__ = instance.error
            if stuck is not None and not stuck.replaceable:
                child.last_error = one_line(error)
                child.move("fail", self._clock.now())
                self._escalate(child, f"{message}, did not end and must not run twice", error, fatal=True)
            await self._failed(child, instance, error, stack)

    # -------------------------------------------------------------------------------------------------------- stopping

    async def _take_down(self, children: Sequence[Child]) -> list[ActorStuck]:
        """Stop children in reverse order, each within its budget; return the stuck ones that must not run twice."""
        left = []
        with CancelScope(shield=True):
            for child in reversed(children):
                child.due = None
                if child.instance is not None:
                    stuck = await self._stop_one(child, child.instance)
                    if stuck is not None and not stuck.replaceable:
                        left.append(stuck)
        return left

    async def _stop_one(self, child: Child, instance: Instance) -> ActorStuck | None:
        child.move("stop", self._clock.now())
        stuck = await self._cancel(child, instance)
        error = instance.error
        if stuck is not None:
            child.last_error = f"did not end within {stuck.budget_s:g} s"
            child.move("fail", self._clock.now())
        elif error is None:
            child.move("stopped", self._clock.now())
            self._tell(ActorStopped(**self._facts(child)))
        else:
            child.last_error = one_line(error)
            child.move("fail", self._clock.now())
            self._inherit_stuck(error)
            self._tell(ActorFailed(**self._facts(child), reason=child.last_error, error=error))
        return stuck

    async def _cancel(self, child: Child, instance: Instance) -> ActorStuck | None:
        """Cancel an instance and wait for its end; return what is to be said of it if it does not come."""
        child.instance = None  # from now on its notes are history
        instance.scope.cancel()
        budget = child.spec.shutdown_s
        with CancelScope(shield=True), CancelScope(deadline=self._now() + budget):
            await instance.ended.wait()
        if instance.ended.is_set():
            return None
        stack, _ = instance.where()
        stuck = ActorStuck(**self._facts(child), budget_s=budget, stack=stack, replaceable=child.spec.abandon)
        self._stuck.append(stuck)
        self._tell(stuck)
        return stuck

    def _inherit_stuck(self, error: BaseException) -> None:
        """Take over what a nested supervisor left behind, for our own parent to know."""
        if isinstance(error, StuckError | EscalatedError):
            self._stuck += error.stuck
