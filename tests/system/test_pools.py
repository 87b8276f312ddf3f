"""The daemon's questions to models, where a host answers them: several at once, and trouble told once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.predictor.models.manifest import load_manifest
from actors.predictor.pool.host import HostPool, RefusedModel
from actors.predictor.pool.inprocess import InProcessPool
from config.settings import Settings
from config.sources import load_settings
from daemon.kernel.errors import OperatorError
from daemon.system import edges
from daemon.system.board_models import pool_row
from daemon.system.edges import Inference
from daemon.system.pools import live_pool, socket_path
from tests.inference.support import MODEL, reachable, running, table


def settings(*sets: str) -> Settings:
    """Return settings."""
    return load_settings(file=None, profile=None, sets=sets, environ={}).settings


def test_a_daemon_without_models_has_no_pool() -> None:
    """Nothing is loaded, and nothing is looked for."""
    assert live_pool(settings("predictor.pool=host"), [None, None], {}) is None


def test_the_socket_is_beside_the_control_socket_unless_it_is_named(tmp_path: Path) -> None:
    """Host and daemon read the same key."""
    assert socket_path(settings(f"paths.runtime_dir={tmp_path}")) == tmp_path / "inference.sock"
    assert socket_path(settings("predictor.host_socket=/run/x/i.sock")) == Path("/run/x/i.sock")


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[Any]:
    """Make pools of a configuration; close what has to be."""
    made: list[Any] = []

    def make(*sets: str) -> Any:
        made.append(live_pool(settings(f"paths.runtime_dir={tmp_path}", *sets), [None, load_manifest("price_5d")], {}))
        return made[-1]

    yield make
    for pool in made:
        if isinstance(pool, HostPool):
            pool.close()


def test_the_configuration_says_who_computes(pools: Any) -> None:
    """In process by itself; through a host without one, the daemon answers what it can, or nobody does."""
    assert isinstance(pools(), InProcessPool)
    request = table(3)
    here = pools().predict(request)
    assert pools("predictor.pool=host").predict(request) == here
    alone = pools("predictor.pool=host", "predictor.host_fallback=false").predict(request)
    assert isinstance(alone, PredictionUnavailable)
    assert "no inference host" in alone.reason or "not been reached" in alone.reason


class Heard(list[Any]):
    """What was told so far; somebody may wait for more of it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = anyio.Event()

    def append(self, item: Any) -> None:
        """Take it."""
        super().append(item)
        self._more.set()

    async def reach(self, n: int) -> None:
        """Wait until so many have come."""
        with anyio.fail_after(60):
            while len(self) < n:
                self._more = anyio.Event()
                await self._more.wait()


class Slow:
    """A pool that takes several questions at once, and its time."""

    parallel = 3

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Answer after a while."""
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.02)
        self.now -= 1
        return PredictionUnavailable(request.request_id, request.model_id, "slow")


def test_several_questions_are_under_way_and_each_is_answered_once() -> None:
    """As many as the pool says it takes, and no more."""

    async def main() -> None:
        pool, answers = Slow(), Heard()
        inference = Inference(pool, answers.append)  # type: ignore[arg-type]
        for number in range(12):
            for _ in range(2):
                inference.ask(table(1, number))
        async with anyio.create_task_group() as group:
            group.start_soon(inference.run, lambda: None)
            await answers.reach(12)
            group.cancel_scope.cancel()
        assert sorted(answer.request_id for answer in answers) == sorted(f"a-{number}" for number in range(12))
        assert pool.most == 3
        assert len(inference) == 0
        assert inference.facts().answered == 12

    anyio.run(main)


class Hours:
    """A clock that a test moves."""

    now = 0.0

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Hours, HostPool, list[str], Inference]]:
    """Give a watch over a host whose breaker a test moves: signs of life, losses, and the looks at it."""
    clock, told = Hours(), []
    monkeypatch.setattr(edges, "time", clock)
    pool = HostPool(str(tmp_path / "nobody"), deadline_s=1.0, fallback=None)
    inference = Inference(pool, lambda _: None, told.append)
    yield clock, pool, told, inference
    inference.close()


def test_a_host_nobody_has_asked_yet_may_be_started_again(
    watched: tuple[Hours, HostPool, list[str], Inference],
) -> None:
    """It has shown life for an hour, is gone for a second: no alert. Gone for 1.6: an alert, and the next time as well.

    The breaker closes by an answer only, and a strategy of daily bars asks once a day.
    """
    clock, pool, told, inference = watched
    for at, happens in (
        (0.0, ""),  # not reached yet
        (1.0, "life"),
        (2.0, ""),
        (2.5, ""),
        (3_600.0, "lost"),
        (3_601.0, "life"),
        (3_602.0, ""),
        (3_602.5, ""),
        (7_200.0, "lost"),
        (7_201.0, ""),
    ):
        look(clock, pool, inference, at, happens)
    assert told == []
    look(clock, pool, inference, 7_201.6, "")
    assert told == ["gone"]
    look(clock, pool, inference, 7_202.0, "life")
    look(clock, pool, inference, 7_203.0, "")
    assert told == ["gone"]
    look(clock, pool, inference, 7_203.1, "")  # 1.5 s after it was last seen away
    assert told == ["gone", ""]
    look(clock, pool, inference, 9_000.0, "lost")
    look(clock, pool, inference, 9_001.5, "")
    assert told == ["gone", "", "gone"]


def test_a_host_that_shows_life_and_answers_nothing_is_told_of(
    watched: tuple[Hours, HostPool, list[str], Inference],
) -> None:
    """Every look finds it half open, and every time it had opened again since."""
    clock, pool, told, inference = watched
    look(clock, pool, inference, 0.0, "life")
    for at in (1.0, 2.0):
        pool._breaker.failure("gone")
        look(clock, pool, inference, at, "life")
    assert told == []
    pool._breaker.failure("gone")
    look(clock, pool, inference, 2.5, "life")
    assert told == ["gone"]


def look(clock: Hours, pool: HostPool, inference: Inference, at: float, happens: str) -> None:
    """Let something happen to the host and look at it."""
    clock.now = at
    if happens == "life":
        pool._breaker.life()
    elif happens == "lost":
        pool._breaker.lost("gone")
    inference._look()


def test_trouble_with_the_host_is_told_once_and_its_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once: a host that comes a moment later is normal."""
    monkeypatch.setattr(edges, "TROUBLE_S", 0.2)
    monkeypatch.setattr(edges, "LOOK_S", 0.05)

    async def main() -> None:
        with running("inference.workers=1", start=False) as host:
            pool = HostPool(str(host.socket), deadline_s=20.0, fallback=None, taken_s=5.0)
            pool.start()
            told, answers = Heard(), Heard()
            inference = Inference(pool, answers.append, told.append)
            async with anyio.create_task_group() as group:
                group.start_soon(inference.run, lambda: None)
                await told.reach(1)
                host.start()
                number = 0
                while len(told) < 2:  # until one of them closes the breaker
                    number += 1
                    inference.ask(table(1, number))
                    await answers.reach(number)
                row = pool_row(inference.facts())
                group.cancel_scope.cancel()
            inference.close()
            assert "no inference host at" in told[0]
            assert told[1:] == [""]
            assert (row["pool"], row["breaker"], row["host"]["backend"]) == ("host", "closed", "threads")
            assert row["headline_cache"] == {"hit_rate": None, "hits": 0, "misses": 0, "size": 0}
            assert any(isinstance(answer, PredictionReady) and answer.model_id == MODEL.model_id for answer in answers)

    anyio.run(main)


def test_a_model_the_host_does_not_have_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is well and its breaker closed; silence would leave a run without predictions and nobody the wiser."""
    monkeypatch.setattr(edges, "LOOK_S", 0.05)

    async def main() -> None:
        with running("inference.workers=1") as host:
            pool = HostPool(str(host.socket), deadline_s=20.0, fallback=None, taken_s=5.0)
            pool.start()
            reachable(pool)
            told, answers = Heard(), Heard()
            inference = Inference(pool, answers.append, refused=told.append)
            async with anyio.create_task_group() as group:
                group.start_soon(inference.run, lambda: None)
                for number in range(1, 4):
                    inference.ask(table(1, number, model_id="nothing@1"))
                    await answers.reach(number)
                await told.reach(1)
                inference.ask(table(1, 4, model_id="nothing@1"))
                await answers.reach(4)
                row = pool_row(inference.facts())
                group.cancel_scope.cancel()
            inference.close()
            sentence = "the inference host has no model 'nothing'"
            assert told == [RefusedModel("nothing@1", sentence, here=False)]
            assert row["refused"] == [{"model_id": "nothing@1", "reason": sentence, "here": False}]
            assert (row["breaker"], row["reason"]) == ("closed", None)

    anyio.run(main)


class Damaged:
    """A pool of our own whose model cannot be loaded until somebody mends it."""

    def __init__(self) -> None:
        self.mended = False

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Answer once it is mended."""
        if not self.mended:
            raise OperatorError("model.onnx has another SHA-256", code="MODEL_DIGEST")
        return PredictionReady(request.request_id, request.model_id, "5d", request.ids, b"", b"")


def test_a_model_that_the_daemon_itself_cannot_load_is_told_once_until_it_answers() -> None:
    """Each request is an event of its own, which nobody reads as it comes: a damaged file would hold for weeks."""

    async def main() -> None:
        pool, told, answers = Damaged(), Heard(), Heard()
        inference = Inference(pool, answers.append, refused=told.append)  # type: ignore[arg-type]
        number = 0

        async def ask(n: int) -> None:
            nonlocal number
            for _ in range(n):
                number += 1
                inference.ask(table(1, number))
                await answers.reach(number)

        async with anyio.create_task_group() as group:
            group.start_soon(inference.run, lambda: None)
            await ask(3)
            await told.reach(1)
            assert [refused.model_id for refused in told] == [MODEL.model_id]
            assert pool_row(inference.facts())["refused"][0]["reason"] == "model.onnx has another SHA-256"
            pool.mended = True
            await ask(2)
            assert pool_row(inference.facts())["refused"] == []
            pool.mended = False
            await ask(2)
            await told.reach(2)
            group.cancel_scope.cancel()
        assert len(told) == 2

    anyio.run(main)
