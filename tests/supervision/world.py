"""Children that do what a test tells them, and a record of what their supervisor said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from daemon.supervision.child import ChildSpec, StartContext
from daemon.supervision.events import SupervisionEvent
from daemon.supervision.policy import Restart, RestartIntensity, Strategy
from daemon.supervision.supervisor import Supervisor
from daemon.testing.virtual_time import run_virtual

Start = Callable[[StartContext], Awaitable[None]]
OFTEN = RestartIntensity(1000, 1000.0)
SPIN = 500  # rounds after which a child that swallows its cancellation is taken to be stuck
FOREVER = float("inf")


class Told:
    """What was told, in order: (seconds, kind, actor)."""

    def __init__(self) -> None:
        self.events: list[SupervisionEvent] = []
        self.lines: list[tuple[float, str, str]] = []

    def __call__(self, event: SupervisionEvent) -> None:
        """Take one event."""
        self.events.append(event)
        kind = type(event).__name__.removeprefix("Actor").lower()
        self.lines.append((round(anyio.current_time(), 6), kind, event.actor))

    def of(self, actor: str, kind: str) -> list[float]:
        """Return when something happened to an actor."""
        return [ts for ts, what, who in self.lines if (what, who) == (kind, actor)]

    def words(self) -> list[str]:
        """Return what happened without the times: ``started a``."""
        return [f"{kind} {actor}" for _, kind, actor in self.lines]


async def steady(context: StartContext) -> None:
    """Run for ever."""
    context.started()
    await anyio.sleep_forever()


def lives(*seconds: float, error: Exception | None = None, returns: bool = False) -> Start:
    """Return a child whose first instance lives that long, the second that long, ...; the ones after for ever."""
    left = list(seconds)

    async def start(context: StartContext) -> None:
        context.started()
        life = left.pop(0) if left else FOREVER
        if life == FOREVER:
            await anyio.sleep_forever()
        await anyio.sleep(life)
        if not returns:
            raise error or ValueError("out of life")

    return start


def never_starts(error: Exception) -> Start:
    """Return a child that raises before it has started, every time."""

    async def start(context: StartContext) -> None:
        raise error

    return start


class Deaf:
    """A child that does not listen to its cancellation until it is released."""

    def __init__(self) -> None:
        self.released = False
        self.running = 0

    async def __call__(self, context: StartContext) -> None:
        """Run until released."""
        self.running += 1
        context.started()
        await self.listen_to_nobody()
        self.running -= 1

    async def listen_to_nobody(self) -> None:
        """Swallow every cancellation; the name shows in the stack."""
        while not self.released:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                continue


def supervisor(
    told: Told,
    children: Sequence[ChildSpec],
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    intensity: RestartIntensity = OFTEN,
    name: str = "root",
    **options: object,
) -> Supervisor:
    """Return a supervisor that tells."""
    return Supervisor(name, strategy, intensity, children, on_event=told, **options)  # type: ignore[arg-type]


def children(**starts: Start) -> list[ChildSpec]:
    """Return permanent children by name."""
    return [ChildSpec(name, start) for name, start in starts.items()]


def play(root: Supervisor, seconds: float, *, leave: Callable[[], None] = lambda: None) -> BaseException | None:
    """Run a tree for so long, then stop it; return what it raised. Every task must have ended.

    Args:
        root: the tree.
        seconds: of virtual time.
        leave: called once the tree has ended, to release what hangs in the host.
    """

    async def main() -> BaseException | None:
        failure: BaseException | None = None
        async with anyio.create_task_group() as clock, anyio.create_task_group() as host:

            async def stop_later() -> None:
                await anyio.sleep(seconds)
                root.stop()

            clock.start_soon(stop_later)
            try:
                await root.run(host=host)
            except Exception as error:  # noqa: BLE001 - handed to the test
                failure = error
            clock.cancel_scope.cancel()
            leave()
        assert len(anyio.get_running_tasks()) == 1, "a task was left behind"
        return failure

    return run_virtual(main, spin_limit=SPIN)


__all__ = ["Deaf", "Restart", "Told", "children", "lives", "never_starts", "play", "steady", "supervisor"]
