"""Where a task hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import anyio
from anyio import TaskInfo

from daemon.supervision.child import Child, ChildSpec, Instance
from daemon.supervision.stacks import DEPTH_MAX, TASKS_MAX, place_in, where_task_hangs
from daemon.testing.virtual_time import run_virtual
from tests.supervision.world import steady


async def outer(depth: int = 0) -> None:
    """Wait below so many frames."""
    await (outer(depth - 1) if depth else anyio.Event().wait())


class Awaitable:
    """Awaits through a generator, as old libraries do."""

    def __await__(self) -> Generator[object, None, None]:
        """Yield from a future."""
        yield from asyncio.get_running_loop().create_future()


def look_at(*starts: object) -> list[tuple[tuple[str, ...], str]]:
    """Start tasks, let them hang, and return where each does."""

    async def main() -> list[tuple[tuple[str, ...], str]]:
        seen: list[tuple[tuple[str, ...], str]] = []
        infos: list[TaskInfo] = []

        async def run(start: object) -> None:
            infos.append(anyio.get_current_task())
            await start()  # type: ignore[operator]

        async with anyio.create_task_group() as tasks:
            for start in starts:
                tasks.start_soon(run, start)
            await anyio.sleep(1.0)
            seen += [(where_task_hangs(info), place_in(info)) for info in infos]
            tasks.cancel_scope.cancel()
        # After its end a task hangs nowhere.
        assert [(where_task_hangs(info), place_in(info)) for info in infos] == [((), "")] * len(infos)
        return seen

    return run_virtual(main)


def test_the_chain_of_awaits_is_followed_outermost_first() -> None:
    """Through coroutines and generators; the place is the innermost that is not a library's."""

    async def by_generator() -> None:
        await Awaitable()

    (first, place), (second, other) = look_at(outer, by_generator)
    own = [line for line in first if "test_stacks.py" in line]
    assert [line.split(" in ")[1].rpartition(".")[2] for line in own] == ["run", "outer"]
    assert place == own[-1]
    assert "Awaitable.__await__" in second[-1]
    assert other == second[-1]


def test_what_is_shown_is_bounded() -> None:
    """A thousand frames or tasks say no more than the first few dozen."""

    async def many() -> None:
        async with anyio.create_task_group() as tasks:
            for n in range(TASKS_MAX + 20):
                tasks.start_soon(outer, name=f"t{n}")

    async def deep() -> None:
        await outer(DEPTH_MAX * 2)

    (frames, _), (tasks, _) = look_at(deep, many)
    assert len(frames) == DEPTH_MAX
    assert len([line for line in tasks if line.startswith("in its task")]) == TASKS_MAX


def test_grandchildren_are_found() -> None:
    """Whoever waits at the end of a chain of task groups is who hangs."""

    async def parent(depth: int) -> None:
        if not depth:
            await outer()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(parent, depth - 1, name=f"below {depth}")

    ((lines, _),) = look_at(lambda: parent(2))
    assert [line for line in lines if line.startswith("in its task")] == [
        "in its task below 2:",
        "in its task below 1:",
    ]
    assert "in outer" in next(line for line in reversed(lines) if "test_stacks" in line)


def test_an_instance_that_never_ran_hangs_nowhere() -> None:
    """There is no task to look at."""

    async def main() -> tuple[tuple[str, ...], str]:
        return Instance(Child(ChildSpec("a", steady), 0), lambda: 0.0, lambda note: None).where()

    assert run_virtual(main) == ((), "")
