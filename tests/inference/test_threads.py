"""Workers that are threads of the host: what hangs is left behind, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import anyio
import pytest

from actors.messages.inference import PredictionReady
from actors.predictor.models.manifest import SHIPPED
from actors.predictor.pool.frames import OVERDUE, QUEUED, Answer, ModelFact, Request
from daemon.inference import threads as module
from daemon.inference.crew import UP, BackendState
from daemon.inference.shelf import Shelf
from daemon.inference.threads import ThreadWorkers
from daemon.kernel.errors import InvariantError
from tests.inference.support import MODEL, table
from tests.inference.traps import ask, lay_trap


def with_workers(
    act: Callable[[ThreadWorkers], Awaitable[None]], folder: Path, workers: int = 1, make: type[Shelf] = Shelf
) -> None:
    """Run workers that watch over themselves around a test; models lie in ``folder``, or ship."""
    tables = folder if (folder / "trap.json").exists() else SHIPPED

    async def main() -> None:
        crew = ThreadWorkers(workers, lambda: make(tables, folder))
        with anyio.fail_after(300):
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


LONG = 3e-5
"""Of the work that the trap can do in minutes: a second or two."""


async def becomes(holds: Callable[[], bool]) -> None:
    """Look again and again until something holds that no event tells of."""
    for _ in range(20_000):
        if holds():
            return
        await anyio.sleep(0.01)
    pytest.fail("it did not come about")


def test_a_call_that_does_not_come_back_is_left_behind_and_another_shelf_takes_its_place(tmp_path: Path) -> None:
    """It counts as hanging until its thread comes back, and not as a reason to end before that is long."""
    trap = lay_trap(tmp_path)

    async def act(crew: ThreadWorkers) -> None:
        assert isinstance((await crew.call((ask(trap, 1, x=0.5),), 30.0)).answers[0], PredictionReady)
        assert (crew.hangs, crew.state()) == (False, BackendState(UP, "", 0, (ModelFact(trap.model_id, "table", 1),)))
        slow = await crew.call((ask(trap, 2, work=LONG),), 0.3)
        said = "the model did not come back with an answer in time"
        assert (slow.answers, slow.fault, slow.reason) == ((), OVERDUE, said)
        assert crew.state() == BackendState(UP, "", 1, ())  # what it had served is gone with its shelf
        assert isinstance((await crew.call((ask(trap, 3, x=0.5),), 30.0)).answers[0], PredictionReady)
        await becomes(lambda: not crew.hangs)
        assert crew.state() == BackendState(UP, "", 1, (ModelFact(trap.model_id, "table", 1),))

    with_workers(act, tmp_path)


@pytest.mark.parametrize(("hanging", "ends"), [(1, False), (2, True)])
def test_as_many_that_hang_as_there_are_workers_end_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: int, ends: bool
) -> None:
    """Of two workers: one may hang. What hangs is over its time by ``HANG_S``, here at once."""
    monkeypatch.setattr(module, "HANG_S", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    trap = lay_trap(tmp_path)
    looked = False

    async def act(crew: ThreadWorkers) -> None:
        nonlocal looked
        for number in range(2):  # both have loaded it
            crew._idle.append(crew._idle.pop(0))
            assert isinstance((await crew.call((ask(trap, number, x=0.5),), 30.0)).answers[0], PredictionReady)
        async with anyio.create_task_group() as group:
            for number in range(hanging):
                group.start_soon(crew.call, (ask(trap, number, work=LONG),), 0.3)
        await anyio.sleep(0.1)  # ten looks
        looked = True
        assert crew.hangs

    if ends:
        with pytest.raises(BaseExceptionGroup) as ended:
            with_workers(act, tmp_path, workers=2)
        (error,) = ended.value.exceptions
        assert isinstance(error, InvariantError)
        assert error.code == "MODELS_HANG"
        assert str(error).startswith("2 calls of models do not come back")
    else:
        with_workers(act, tmp_path, workers=2)
    assert looked is not ends


def test_a_call_that_came_back_after_all_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other is left behind, of two workers: never two at once, so the host goes on."""
    monkeypatch.setattr(module, "HANG_S", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    trap = lay_trap(tmp_path)

    async def act(crew: ThreadWorkers) -> None:
        for number in (1, 2):
            loaded = await crew.call((ask(trap, 10 * number, x=0.5),), 30.0)
            assert isinstance(loaded.answers[0], PredictionReady)
            slow = await crew.call((ask(trap, number, work=LONG),), 0.3)
            assert slow.fault == OVERDUE
            await anyio.sleep(0.1)  # ten looks
            await becomes(lambda: not crew.hangs)
        assert crew.state().restarts == 2

    with_workers(act, tmp_path, workers=2)


def test_that_a_model_is_being_loaded_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the time is over, here 39.8 of 40 seconds: who asks is still there to hear it, and computes himself."""
    monkeypatch.setattr(module, "LOADING_S", 39.8)
    go = threading.Event()

    class Heavy(Shelf):
        def load(self, requests: Iterable[Request]) -> None:
            assert go.wait(50.0)
            super().load(requests)

    async def act(crew: ThreadWorkers) -> None:
        began = time.monotonic()
        assert (await crew.call((table(2),), 40.0)).fault == QUEUED
        assert time.monotonic() - began < 30.0
        go.set()
        await becomes(lambda: bool(crew._idle))

    with_workers(act, tmp_path, make=Heavy)


def test_a_model_that_is_being_loaded_is_told_before_the_time_is_over_and_its_shelf_comes_back(tmp_path: Path) -> None:
    """Meanwhile there is no worker; afterwards it answers, and nobody was left behind."""
    go = threading.Event()

    class Heavy(Shelf):
        def load(self, requests: Iterable[Request]) -> None:
            assert go.wait(30.0)
            super().load(requests)

    async def act(crew: ThreadWorkers) -> None:
        began = time.monotonic()
        first = await crew.call((table(2),), 0.3)
        assert (first.answers, first.fault) == ((), QUEUED)
        assert first.reason == f"the model {MODEL.model_id} is being loaded"
        assert time.monotonic() - began >= 0.28
        second = await crew.call((table(2),), 5.0)
        assert (second.fault, second.reason) == (QUEUED, "every worker is loading a model")
        go.set()
        await becomes(lambda: bool(crew._idle))
        third = await crew.call((table(2),), 30.0)
        assert isinstance(third.answers[0], PredictionReady)
        assert (crew.state().restarts, crew.hangs) == (0, False)

    with_workers(act, tmp_path, make=Heavy)


@pytest.mark.parametrize(("hanging", "ends"), [(1, False), (2, True)])
def test_models_that_never_come_back_from_loading_end_the_host_as_those_that_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: int, ends: bool
) -> None:
    """Of two workers: it would say for ever that it is up, and that every worker is loading a model."""
    monkeypatch.setattr(module, "LOADED_S", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    go, looked = threading.Event(), False

    class Heavy(Shelf):
        def load(self, requests: Iterable[Request]) -> None:
            assert go.wait(50.0)
            super().load(requests)

    async def act(crew: ThreadWorkers) -> None:
        nonlocal looked
        for number in range(hanging):
            assert (await crew.call((table(2, number),), 0.1)).fault == QUEUED
        await anyio.sleep(0.1)  # ten looks
        looked = True
        go.set()
        await becomes(lambda: len(crew._idle) == 2)
        assert not crew.hangs

    try:
        if ends:
            with pytest.raises(BaseExceptionGroup) as ended:
                with_workers(act, tmp_path, workers=2, make=Heavy)
            (error,) = ended.value.exceptions
            assert isinstance(error, InvariantError)
            assert error.code == "MODELS_HANG"
        else:
            with_workers(act, tmp_path, workers=2, make=Heavy)
    finally:
        go.set()
    assert looked is not ends


def test_models_are_computed_behind_everything_else(tmp_path: Path) -> None:
    """Loading and computing are niced by five; the loop is not."""
    nice: list[int] = []

    class Watched(Shelf):
        def load(self, requests: Iterable[Request]) -> None:
            nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            super().load(requests)

        def answer(self, requests: Iterable[Request]) -> tuple[Answer, ...]:
            nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().answer(requests)

    async def act(crew: ThreadWorkers) -> None:
        await crew.call((table(2),), 30.0)
        nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with_workers(act, tmp_path, make=Watched)
    assert nice == [min(19, before + 5)] * 2 + [before]


@pytest.mark.parametrize("more", [3, 16])
def test_models_come_behind_the_loop_of_a_host_that_is_niced_itself(more: int) -> None:
    """As its unit does: the loop says within 30 ms that it has read a request, whatever is computed."""
    program = (
        f"import os, threading; from daemon.inference.threads import be_nice\nprint(os.nice({more}))\n"
        "def compute():\n be_nice(); be_nice(); print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))\n"
        "thread = threading.Thread(target=compute); thread.start(); thread.join(); print(os.nice(0))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    before, models, after = map(int, said.stdout.split())
    assert before == after >= more
    assert models == min(19, before + 5)
