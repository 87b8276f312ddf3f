"""Workers that are threads of the host: each with its own shelf, and so with sessions of one thread each.

A thread cannot be killed. One that does not come back is left behind with its shelf and another takes its place, until
too many are: then the host ends, and whoever supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
import anyio.to_thread

from actors.predictor.pool.frames import OVERDUE, OVERDUE_SAID, QUEUED, Answer, Called, ModelFact, Request
from daemon.inference.crew import UP, BackendState
from daemon.inference.shelf import Shelf
from daemon.kernel.errors import InvariantError

HANG_S: Final = 5.0
"""A thread that is so much over its time hangs; before that it is only slow."""
LOADED_S: Final = 60.0
"""So does one that loads a model for so much longer than who asked for it had time."""
LOADING_S: Final = 0.02
"""So long before its time is over a request is told that its model is being loaded, and not that it is overdue."""
LOOK_S: Final = 1.0
NICEST: Final = 19
"""The kernel knows no lower priority."""
NICE: Final = 5
"""Models are computed behind whatever else the machine has to do: the loop, and the daemon, come first."""


class ThreadWorkers:
    """See the module."""

    name = "threads"

    def __init__(self, workers: int, shelf: Callable[[], Shelf]) -> None:
        """Prepare; ``shelf`` makes one for each worker."""
        self.workers = workers
        self.changed: Callable[[], None] = lambda: None
        self._make = shelf
        self._idle = [shelf() for _ in range(workers)]
        self._shelves = list(self._idle)
        self._behind: list[tuple[float, threading.Event | anyio.Event]] = []
        """Who did not come back in time: from when on he hangs, and whether he has come back since."""
        self._left_behind = 0

    async def run(self) -> None:
        """Watch over the threads that were left behind.

        Raises:
            InvariantError: as many as there are workers have not come back for long.
        """
        while True:
            await anyio.sleep(LOOK_S)
            now = time.monotonic()
            self._behind = [(hangs, ended) for hangs, ended in self._behind if not ended.is_set()]
            hanging = sum(now > hangs for hangs, _ in self._behind)
            if hanging >= self.workers:
                raise InvariantError(
                    f"{hanging} calls of models do not come back", code="MODELS_HANG", remedy="the host starts again"
                )

    async def call(
        self, requests: tuple[Request, ...], budget_s: float, begun: Callable[[], None] = lambda: None
    ) -> Called:
        """Compute on a thread; a call that takes longer is left behind. Loading a model is not."""
        begun()
        if not self._idle:
            return Called(0, (), QUEUED, "every worker is loading a model")
        shelf = self._idle.pop()
        began = time.monotonic()
        missing = shelf.missing(requests)
        if missing and not await self._load(shelf, missing, budget_s - LOADING_S):
            return Called(0, (), QUEUED, f"the model {missing[0].model_id} is being loaded")
        done: list[tuple[Answer, ...]] = []
        ended = threading.Event()
        first = threading.Lock()  # taken by who is first: the thread that computes, or the loop whose time is over
        never = False

        def compute() -> None:
            if not first.acquire(blocking=False):
                return
            be_nice()
            try:
                done.append(shelf.answer(requests))
            finally:
                ended.set()

        try:
            with anyio.move_on_after(budget_s - (time.monotonic() - began)):
                await anyio.to_thread.run_sync(compute, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
        finally:  # also where the host ends meanwhile
            never = first.acquire(blocking=False)
            if done or never:
                self._idle.append(shelf)
            else:
                self._leave(shelf, ended)
        if done:
            return Called(0, done[0])
        if never:
            return Called(0, (), QUEUED, "no worker was free in time")
        return Called(0, (), OVERDUE, OVERDUE_SAID)

    async def _load(self, shelf: Shelf, requests: tuple[Request, ...], budget_s: float) -> bool:
        """Load models into a shelf, and tell whether it was done in time; else the shelf comes back once it is."""
        loop, loaded = asyncio.get_running_loop(), anyio.Event()
        waits = True

        def end() -> None:
            loaded.set()
            if not waits:
                self._idle.append(shelf)

        def load() -> None:
            be_nice()
            shelf.load(requests)
            with suppress(RuntimeError):  # the host has ended meanwhile
                loop.call_soon_threadsafe(end)

        threading.Thread(target=load, name="load", daemon=True).start()
        with anyio.move_on_after(budget_s):
            await loaded.wait()
        waits = loaded.is_set()
        if not waits:
            self._behind.append((time.monotonic() + LOADED_S, loaded))
        return waits

    def _leave(self, shelf: Shelf, ended: threading.Event) -> None:
        self._shelves.remove(shelf)
        fresh = self._make()
        self._shelves.append(fresh)
        self._idle.append(fresh)
        self._left_behind += 1
        self._behind.append((time.monotonic() + HANG_S, ended))

    @property
    def hangs(self) -> bool:
        """Whether a thread that was left behind, or loads a model, has not come back."""
        return any(not ended.is_set() for _, ended in self._behind)

    def state(self) -> BackendState:
        """Return how it is."""
        served: dict[tuple[str, str], int] = {}
        for shelf in self._shelves:
            for fact in shelf.facts():
                served[fact.model_id, fact.kind] = served.get((fact.model_id, fact.kind), 0) + fact.served
        models = tuple(ModelFact(model_id, kind, n) for (model_id, kind), n in sorted(served.items()))
        return BackendState(UP, restarts=self._left_behind, models=models)


def be_nice() -> None:
    """Lower this thread's priority, which on Linux is a thread's own; where a sandbox forbids it, it stays.

    It is lowered from that of the thread that the process began with, the loop's, which may have been lowered itself.
    """
    with suppress(OSError):
        loops = os.getpriority(os.PRIO_PROCESS, os.getpid())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(NICEST, loops + NICE))
