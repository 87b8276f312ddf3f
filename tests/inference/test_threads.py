"""Workers that are threads of the host: what hangs is left behind, and nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from actors.messages.inference import PredictionReady
from actors.predictor.models.manifest import SHIPPED
from actors.predictor.pool.frames import QUEUED
from daemon.inference import threads as module
from daemon.inference.shelf import Shelf
from daemon.inference.threads import ThreadWorkers
from tests.inference.support import table


def with_workers(act: Callable[[ThreadWorkers], Awaitable[None]], folder: Path, workers: int = 1) -> None:
    """Run workers that watch over themselves around a test."""

    async def main() -> None:
        crew = ThreadWorkers(workers, lambda: Shelf(SHIPPED, folder))
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(crew.run)
                await act(crew)
                group.cancel_scope.cancel()

    anyio.run(main)


@pytest.mark.parametrize("budget_s", [0.0, -1.0, 1e-9])
def test_a_call_that_comes_too_late_to_begin_hangs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget_s: float
) -> None:
    """Its time is over before a thread has it: nobody computes it, its worker is free, and the host goes on."""
    monkeypatch.setattr(module, "HANG_S", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.01)

    async def act(crew: ThreadWorkers) -> None:
        first = await crew.call((table(2),), 30.0)
        assert isinstance(first.answers[0], PredictionReady)
        for number in range(3):
            late = await crew.call((table(2, number),), budget_s)
            assert (late.answers, late.fault, late.reason) == ((), QUEUED, "no worker was free in time")
        await anyio.sleep(0.1)  # ten looks at who hangs
        assert not crew.hangs
        state = crew.state()
        assert (state.restarts, [(model.kind, model.served) for model in state.models]) == (0, [("table", 1)])
        again = await crew.call((table(2),), 30.0)
        assert isinstance(again.answers[0], PredictionReady)

    with_workers(act, tmp_path)
