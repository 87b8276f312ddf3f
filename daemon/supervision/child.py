"""A supervised child: what is declared of it, what it may tell its supervisor, and one running instance of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import msgspec
from anyio import CancelScope, TaskInfo
from anyio.abc import TaskGroup, TaskStatus

from daemon.kernel.actor import LIFECYCLE, Lifecycle
from daemon.kernel.errors import InvariantError
from daemon.supervision.policy import EXCUSES_MAX, LATE_S, Heartbeat, Restart
from daemon.supervision.stacks import place_in, where_task_hangs

if TYPE_CHECKING:
    from daemon.supervision.supervisor import Supervisor


class ChildSpec(msgspec.Struct, frozen=True):
    """What is declared of a child.

    Attributes:
        name: unique in the whole tree.
        start: runs the child until it ends; calls ``context.started()`` once its synchronous start is done.
        restart: when it is started again.
        shutdown_s: seconds it gets to end after it was cancelled.
        significant: when it is over for good, so is its supervisor: in peace if it returned, by escalation if it
            failed. Not for permanent children, which are never over.
        heartbeat_s: it calls ``context.beat()`` at least this often once started, or it is cancelled and has failed.
        start_s: seconds until it must have started, or it is cancelled and has failed; None: as long as it takes.
        fatal: errors after which it is not started again: they escalate to the root at once, whatever the intensity.
        abandon: an instance that does not end may be left behind and replaced; for children that hold nothing a
            successor needs. Any other makes its supervisor escalate to the root: two of it must never run.
        supervisor: the nested supervisor that ``start`` runs, for the tree; None for a leaf.
    """

    name: str
    start: Callable[[StartContext], Awaitable[None]]
    restart: Restart = Restart.PERMANENT
    shutdown_s: float = 5.0
    significant: bool = False
    heartbeat_s: float | None = None
    start_s: float | None = None
    fatal: tuple[type[BaseException], ...] = ()
    abandon: bool = False
    supervisor: Supervisor | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InvariantError: no name, a time that is not positive, or a permanent child declared significant.
        """
        times = (self.shutdown_s, self.heartbeat_s, self.start_s)
        if not self.name or any(t is not None and not t > 0 for t in times):
            raise InvariantError(f"child {self.name!r}: a name and positive times are needed", code="BAD_DECLARATION")
        if self.significant and self.restart is Restart.PERMANENT:
            raise InvariantError(f"{self.name}: a permanent child is never over for good", code="BAD_DECLARATION")


class Note(msgspec.Struct, frozen=True):
    """What an instance tells its supervisor: ``started``, ``degraded``, ``recovered`` or ``ended``."""

    kind: str
    instance: Instance
    text: str = ""


class Instance:
    """One run of a child, from its start to its end."""

    def __init__(self, child: Child, now: Callable[[], float], post: Callable[[Note], None]) -> None:
        """Prepare; nothing runs yet."""
        self.child = child
        self.scope = CancelScope(shield=True)  # only the supervisor stops a child, in its turn
        self.ended = False
        self._bell = anyio.Event()
        self.error: BaseException | None = None
        self.task: TaskInfo | None = None
        self.begun = now()
        self.started_at: float | None = None
        self.heartbeat: Heartbeat | None = None
        self._now = now
        self._post = post

    async def run(self, host: TaskGroup) -> None:
        """Run the child to its end, which is posted whatever it is; errors stay here."""
        self.task = anyio.get_current_task()
        try:
            with self.scope:
                await self.child.spec.start(StartContext(self, host))
        except (Exception, BaseExceptionGroup, anyio.get_cancelled_exc_class()) as error:  # noqa: BLE001 - judged later
            # A cancellation that arrives here is not ours, which the scope takes: somebody cancelled the bare task.
            self.error = error
        finally:
            self.ended = True
            self._bell.set()
            self._post(Note("ended", self))

    async def end_within(self, seconds: float) -> bool:
        """Wait for the end, but only so long; return whether it came.

        Where the loop stood still meanwhile, so did the instance, and it gets its time again; not without end.
        """
        for _ in range(1 + EXCUSES_MAX):
            due = self._now() + seconds
            timer = asyncio.get_running_loop().call_later(seconds, self._bell.set)
            await self._bell.wait()
            timer.cancel()
            if self.ended or self._now() - due <= LATE_S:
                break
            self._bell = anyio.Event()
        return self.ended

    def started(self) -> None:
        """Take note of the end of the start; heartbeats are due from now on."""
        if self.started_at is None:
            self.started_at = self._now()
            if self.child.spec.heartbeat_s is not None:
                self.heartbeat = Heartbeat(self.child.spec.heartbeat_s, self._now)
            self._post(Note("started", self))

    def say(self, kind: str, text: str = "") -> None:
        """Post a note."""
        self._post(Note(kind, self, text))

    def where(self) -> tuple[tuple[str, ...], str]:
        """Return where the instance hangs, outermost first, and the same in a few words for a message."""
        if self.task is None:  # it was cut off before it ran at all
            return (), ""
        place = place_in(self.task)
        return where_task_hangs(self.task), f" (at {place})" if place else ""

    def due(self) -> float | None:
        """Return when the instance is overdue unless something happens before, by the loop's clock."""
        if self.heartbeat is not None:
            return self.heartbeat.due
        start_s = self.child.spec.start_s
        return None if self.started_at is not None or start_s is None else self.begun + start_s


class StartContext(TaskStatus[object]):
    """What a child is handed when it is started. Only ``beat`` may be called from other threads.

    Attributes:
        name: the child's.
        restarts: how often it was started before.
        host: the task group that outlives every supervisor; a nested supervisor starts its children in it.
    """

    def __init__(self, instance: Instance, host: TaskGroup) -> None:
        """Speak for one instance."""
        self._instance = instance
        self.name = instance.child.spec.name
        self.restarts = instance.child.restarts
        self.host = host

    def started(self, value: object = None) -> None:  # noqa: ARG002 - anyio's protocol
        """Say that the synchronous start is done: whoever comes next in the order may start. Once is enough."""
        self._instance.started()

    def beat(self) -> None:
        """Give a sign of life; from any thread."""
        heartbeat = self._instance.heartbeat
        if heartbeat is not None:
            heartbeat.beat()

    def degraded(self, reason: str) -> None:
        """Say that the child works, but not as it should.

        Raises:
            InvariantError: it has not started yet; a child that cannot start fails.
        """
        if self._instance.started_at is None:
            raise InvariantError(f"{self.name} is degraded before it has started: {reason}", code="NOT_STARTED")
        self._instance.say("degraded", reason)

    def recovered(self) -> None:
        """Say that it works as it should again."""
        self._instance.say("recovered")


class Child:
    """What a supervisor knows of one child over all its instances.

    Attributes:
        state, since: where it is in its life, and since when (nanoseconds UTC).
        starts: how often it was started.
        last_error: its last failure in one line, "".
        instance: the one that runs, or None.
        due: when to start it next, by the loop's clock; None: not to be started.
        been_up: it has started since its supervisor did.
        over: it has ended for good.
        failures: failures in a row, since it last ran for a stable time.
    """

    def __init__(self, spec: ChildSpec, since: int) -> None:
        """Declare a child that has never run."""
        self.spec = spec
        self.state = Lifecycle.NEW
        self.since = since
        self.starts = 0
        self.last_error = ""
        self.renew()

    def renew(self) -> None:
        """Forget what belongs to an earlier life of the supervisor; counts and the last error stay."""
        self.instance: Instance | None = None
        self.due: float | None = None
        self.been_up = False
        self.over = False
        self.failures = 0

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(self.starts - 1, 0)

    @property
    def up(self) -> bool:
        """Whether it has started and not ended."""
        return self.state in {Lifecycle.RUNNING, Lifecycle.DEGRADED}

    def move(self, trigger: str, ts: int) -> None:
        """Follow the lifecycle's table; an instance after a stopped one begins a new life."""
        if trigger == "start" and self.state is Lifecycle.STOPPED:
            self.state = Lifecycle.NEW
        self.state = LIFECYCLE.next(self.state, trigger)
        self.since = ts
