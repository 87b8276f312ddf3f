"""Who computes what: requests wait in one place, workers take calls from it, and every request gets its word in time.

One loop, no thread of its own. A backend computes calls; whatever it does, hang, die or refuse, the request is answered
by its deadline with the reason, and what comes back later is counted and dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import anyio
import msgspec

from actors.messages.inference import PredictionUnavailable
from actors.predictor.pool.frames import (
    BUSY,
    DOWN,
    OVERDUE,
    OVERDUE_SAID,
    QUEUED,
    Answered,
    Called,
    ModelFact,
    Request,
    Standing,
)
from actors.predictor.pool.host import quantile
from daemon.inference.batching import Batcher, Job, Part, Tell, parts_in

WAITING_MAX: Final = 10_000
"""Parts that wait at most; whoever asks for more hears that the host is busy."""
KEPT: Final = 1_000
"""Latencies behind p50 and p99."""
UP, STARTING = "up", "starting"


class BackendState(msgspec.Struct, frozen=True):
    """How a backend is: ``up`` or ``starting``, why, what it restarted, and the models it has loaded."""

    state: str
    detail: str = ""
    restarts: int = 0
    models: tuple[ModelFact, ...] = ()


class Backend(Protocol):
    """Computes calls, several at once."""

    name: str
    workers: int
    changed: Callable[[], None]
    """Called whenever the state is another."""

    async def run(self) -> None:
        """Keep the workers, until cancelled."""
        ...

    async def call(self, requests: tuple[Request, ...], budget_s: float, begun: Callable[[], None]) -> Called:
        """Return an answer to each request, or one fault for all of them, within the budget and not much more.

        Args:
            requests: of one call.
            budget_s: how long an answer is of use.
            begun: called as soon as a worker is known to have begun, or to be about to once it has ended another call.
        """
        ...

    def state(self) -> BackendState:
        """Return how it is."""
        ...


class Crew:
    """See the module."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        """Put requests before ``backend``."""
        self.backend = backend
        backend.changed = self._backend_changed
        self._clock = clock
        self._waiting = Batcher()
        self._wake = anyio.Event()
        """Set, and replaced, whenever there is something to do."""
        self._deadlines: dict[Job, asyncio.TimerHandle] = {}
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._busy = self._served = self._failed = self._late = 0
        self._begun = 0
        """Calls of which a worker has said that it has begun them, and that have not ended."""

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(self, number: int, request: Request, budget_s: float, tell: Tell) -> None:
        """Take a request; ``tell`` gets its answer, at the latest when its budget is over.

        It hears when a worker has begun the request, and that it is next, which is as good, where all have other work:
        what it hears nothing of is a request that nobody computes, whatever the reason.
        """
        now = self._clock()
        job = Job(number, request, now, now + budget_s, tell)
        state = self.backend.state()
        if state.state != UP:
            self._refuse(job, DOWN, f"the inference host is {state.state}: {state.detail}")
        elif len(self._waiting) + parts_in(request) > WAITING_MAX:
            self._refuse(job, BUSY, f"more than {WAITING_MAX:,} requests, or parts of them, would wait")
        else:
            self._waiting.add(job)
            if self._begun >= self.backend.workers:
                job.begin()
            self._deadlines[job] = asyncio.get_running_loop().call_later(budget_s, self._overdue, job)
            self._wake.set()
            self._wake = anyio.Event()

    def _backend_changed(self) -> None:
        """Refuse what waits where nobody can compute it any more."""
        state = self.backend.state()
        if state.state == UP:
            return
        for job in [job for job in self._deadlines if not job.started]:
            self._over(job)
            self._refuse(job, DOWN, f"the inference host is {state.state}: {state.detail}")

    def forget(self, tell: Tell) -> None:
        """Drop what a client that has gone asked for."""
        self._waiting.forget(tell)
        for job in [job for job in self._deadlines if job.tell is tell]:
            self._over(job)

    def standing(self, number: int) -> Standing:
        """Return how the host is."""
        state, latencies = self.backend.state(), sorted(self._latencies)
        return Standing(
            number=number,
            backend=self.backend.name,
            state=state.state,
            detail=state.detail,
            workers=self.backend.workers,
            busy=self._busy,
            queue=len(self._waiting),
            served=self._served,
            failed=self._failed,
            late=self._late,
            restarts=state.restarts,
            p50_ms=quantile(latencies, 0.5),
            p99_ms=quantile(latencies, 0.99),
            models=state.models,
        )

    # -- working -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Compute until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.backend.run)
            for _ in range(self.backend.workers):
                group.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            parts, stale = self._waiting.take(self._clock())
            for job in stale:
                self._over(job)
                self._refuse(job, QUEUED, "no worker was free in time")
            if not parts:
                await self._wake.wait()
                continue
            self._busy += 1
            try:
                await self._compute(parts)
            finally:
                self._busy -= 1

    async def _compute(self, parts: list[Part]) -> None:
        budget = max(part.job.deadline for part in parts) - self._clock()

        told = False

        def begun() -> None:
            nonlocal told
            if not told:
                told = True
                self._begins(parts)

        try:
            called = await self.backend.call(tuple(part.request for part in parts), max(0.001, budget), begun)
        finally:
            self._begun -= told
        if called.fault or len(called.answers) != len(parts):
            for part in parts:
                if part.job.over:
                    self._late += 1
                else:
                    self._over(part.job)
                    self._refuse(part.job, called.fault or DOWN, called.reason or "a call was answered in part")
            return
        for part, answer in zip(parts, called.answers, strict=True):
            if part.job.over:
                self._late += 1
                continue
            whole = part.job.put(part.index, answer)
            if whole is not None:
                self._over(part.job)
                took = self._clock() - part.job.began
                self._latencies.append(took * 1e3)
                self._served += 1
                part.job.tell(Answered(part.job.number, whole, "", int(took * 1e9)))

    def _begins(self, parts: list[Part]) -> None:
        """A worker has begun a call; where all of them have, whatever waits is next."""
        self._begun += 1
        for part in parts:
            part.job.begin()
        if self._begun >= self.backend.workers:
            for job in self._deadlines:
                job.begin()

    def _overdue(self, job: Job) -> None:
        """Answer what is not answered when its time is over."""
        self._over(job)
        if job.started:
            self._refuse(job, OVERDUE, OVERDUE_SAID)
        else:
            self._refuse(job, QUEUED, "no worker was free in time")

    def _over(self, job: Job) -> None:
        job.over = True
        timer = self._deadlines.pop(job, None)
        if timer is not None:
            timer.cancel()

    def _refuse(self, job: Job, fault: str, reason: str) -> None:
        job.over = True
        self._failed += 1
        answer = PredictionUnavailable(job.request.request_id, job.request.model_id, reason)
        took = int((self._clock() - job.began) * 1e9)
        job.tell(Answered(job.number, answer, fault, took))
