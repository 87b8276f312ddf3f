"""The children of one supervisor: how they are taken down, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from anyio import CancelScope

from daemon.kernel.clock import Clock, SystemClock
from daemon.supervision.child import Child, ChildSpec, Instance
from daemon.supervision.errors import EscalatedError, StuckError, one_line
from daemon.supervision.events import ActorFailed, ActorStopped, ActorStuck, SupervisionEvent

Observer = Callable[[SupervisionEvent], None]


class Crew:
    """Children in the order they start, the supervisor's clocks, and who listens.

    Attributes:
        supervisor: its name.
        children: in the order they start.
        clock: stamps events and states.
        now: the loop's clock in seconds; it stands still while no loop runs.
        stuck: those left behind in this run.
        hook_error: what the observer raised first, or None.
    """

    def __init__(
        self, supervisor: str, specs: Iterable[ChildSpec], on_event: Observer | None, clock: Clock | None
    ) -> None:
        """Declare children none of which has run."""
        self.supervisor = supervisor
        self._on_event = on_event
        self._own_clock = clock is not None
        self.clock: Clock = SystemClock() if clock is None else clock
        ts = self.clock.now()
        self.children = [Child(spec, ts) for spec in specs]
        self.now: Callable[[], float] = lambda: 0.0
        self.stuck: list[ActorStuck] = []
        self.hook_error: Exception | None = None
        self._adopt()

    def inherit(self, on_event: Observer | None, clock: Clock | None) -> None:
        """Take from a parent what was not given, and hand it on."""
        self._on_event = self._on_event or on_event
        if not self._own_clock and clock is not None:
            self._own_clock, self.clock = True, clock
        self._adopt()

    def _adopt(self) -> None:
        for child in self.children:
            if child.spec.supervisor is not None:
                child.spec.supervisor.crew.inherit(self._on_event, self.clock if self._own_clock else None)

    def begin(self, now: Callable[[], float]) -> None:
        """Forget an earlier run; every child is due at once."""
        self.now = now
        self.stuck = []
        self.hook_error = None
        for child in self.children:
            child.renew()
            child.due = now()

    def tell(self, event: SupervisionEvent) -> None:
        """Tell the observer. What it raises ends the supervisor, but not before the children are down."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - raised by the supervisor at its next step
            self.hook_error = self.hook_error or error

    def facts(self, child: Child) -> dict[str, Any]:
        """Return what every event about a child begins with."""
        return {"ts": self.clock.now(), "supervisor": self.supervisor, "actor": child.spec.name}

    async def take_down(self, children: Sequence[Child]) -> list[ActorStuck]:
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
        child.move("stop", self.clock.now())
        stuck = await self.cancel(child, instance)
        error = instance.error
        if stuck is not None:
            child.last_error = f"did not end within {stuck.budget_s:g} s"
            child.move("fail", self.clock.now())
        elif error is None:
            child.move("stopped", self.clock.now())
            self.tell(ActorStopped(**self.facts(child)))
        else:
            child.last_error = one_line(error)
            child.move("fail", self.clock.now())
            self.inherit_stuck(error)
            self.tell(ActorFailed(**self.facts(child), reason=child.last_error, error=error))
        return stuck

    async def cancel(self, child: Child, instance: Instance) -> ActorStuck | None:
        """Cancel an instance and wait for its end; return what is to be said of it if it does not come."""
        child.instance = None  # from now on its notes are history
        instance.scope.cancel()
        budget = child.spec.shutdown_s
        with CancelScope(shield=True):
            ended = await instance.end_within(budget)
        if ended:
            return None
        stack, _ = instance.where()
        stuck = ActorStuck(**self.facts(child), budget_s=budget, stack=stack, replaceable=child.spec.abandon)
        self.stuck.append(stuck)
        self.tell(stuck)
        return stuck

    def inherit_stuck(self, error: BaseException) -> None:
        """Take over what a nested supervisor left behind, for our own parent to know."""
        if isinstance(error, StuckError | EscalatedError):
            self.stuck += error.stuck
