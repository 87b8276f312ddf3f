"""Where a task hangs: the chain of awaits of a task and of every task it started, as lines for people."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final

import anyio
from anyio import TaskInfo

DEPTH_MAX: Final = 64
TASKS_MAX: Final = 32
LIBRARIES: Final = tuple(str(PurePath(module.__file__ or "").parent) for module in (anyio, asyncio))
"""Where every wait ends; what people want to know is who waits there."""


def where_task_hangs(task: TaskInfo) -> tuple[str, ...]:
    """Return the awaits of a task, outermost first, then those of the tasks that descend from it, under their names.

    Must be called in an event loop.
    """
    lines = list(_chain(task.coro))
    for child in _descendants(task):
        lines.append(f"in its task {child.name}:")
        lines += [f"  {line}" for line in _chain(child.coro)]
    return tuple(lines)


def place_in(task: TaskInfo) -> str:
    """Return the innermost place of the task itself that is not inside anyio or asyncio, "" where there is none."""
    frames = [line for line, library in _frames(task.coro) if not library]
    return frames[-1] if frames else ""


def _descendants(task: TaskInfo) -> list[TaskInfo]:
    found: list[TaskInfo] = []
    known = {task.id}
    # Ids say nothing of age, so look again until nobody is added.
    waiting = anyio.get_running_tasks()
    grew = True
    while grew and len(found) < TASKS_MAX:
        born = [t for t in waiting if t.parent_id in known and t.id not in known]
        known |= {t.id for t in born}
        found += born
        grew = bool(born)
    return found[:TASKS_MAX]


def _chain(awaitable: Any) -> Iterator[str]:
    return (line for line, _ in _frames(awaitable))


def _frames(awaitable: Any) -> Iterator[tuple[str, bool]]:
    """Follow what awaits what, down to the future at the end; say of each whether it is of a library."""
    depth = 0
    while depth < DEPTH_MAX:
        if isinstance(awaitable, types.CoroutineType):
            frame, inner = awaitable.cr_frame, awaitable.cr_await
        elif isinstance(awaitable, types.GeneratorType):
            frame, inner = awaitable.gi_frame, awaitable.gi_yieldfrom
        else:
            return
        if frame is None:  # it has ended
            return
        path = PurePath(frame.f_code.co_filename)
        line = f"{path.parent.name}/{path.name}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        yield line, str(path).startswith(LIBRARIES)
        awaitable = inner
        depth += 1
