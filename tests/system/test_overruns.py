"""A strategy's budget: overruns in a row are counted, and the strategy is switched off by a recorded command."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, spec_of, strategy
from actors.messages.control import DisableStrategy
from actors.messages.inference import StrategyDisabled
from actors.predictor.registry import bind_spec
from daemon.system.core_ports import Input
from daemon.system.overruns import Overruns
from tests.system.core_rig import Lane, Rig, bars, core_spec, events, rig

MS = 1_000_000


class Told:
    """What was to be switched off."""

    def __init__(self) -> None:
        self.sentences: list[tuple[str, str]] = []

    def __call__(self, name: str, reason: str) -> None:
        """Take it."""
        self.sentences.append((name, reason))


def test_overruns_in_a_row_switch_a_strategy_off_once() -> None:
    """One decision within the budget begins the count anew; each strategy has its own."""
    told = Told()
    overruns = Overruns(5, 3, told)
    for elapsed in (6, 6, 5, 6, 6):
        overruns.took("a", elapsed * MS)
        overruns.took("b", MS)
    assert told.sentences == []
    overruns.took("a", 7 * MS)
    assert told.sentences == [("a", "3 decisions in a row took longer than 5 ms, the last 7.0 ms")]
    assert overruns.slowest_ms == {"a": 7.0, "b": 1.0}


def test_a_strategy_that_was_switched_on_again_is_switched_off_again() -> None:
    """Still too slow: it has a new run of chances, and no more."""
    told = Told()
    overruns = Overruns(5, 3, told)
    for _ in range(9):
        overruns.took("a", 6 * MS)
    assert len(told.sentences) == 3


def test_without_a_limit_overruns_are_only_measured() -> None:
    """0 switches the consequence off; without a budget nothing is measured at all."""
    told = Told()
    overruns = Overruns(5, 0, told)
    for _ in range(100):
        overruns.took("a", 60 * MS)
    assert told.sentences == []
    assert overruns.slowest_ms["a"] == 60.0

    class Predictor:
        on_call = None
        clock = None

    unmeasured, measured = Predictor(), Predictor()
    Overruns(0, 3, told).watch(unmeasured)
    overruns.watch(measured)
    assert unmeasured.on_call is unmeasured.clock is None
    assert measured.clock is time.perf_counter_ns


@pytest.mark.asyncio
async def test_a_slow_strategy_is_off_for_every_later_life(tmp_path: Path) -> None:
    """The time is measured by the shell, what follows from it is recorded: a replay sees the same."""
    inputs = bars(1, 12)[:-1]

    @strategy(lookback=1, horizon=1)
    def slow(w: PanelWindow, p: Params) -> Scores:
        """Take too long."""
        until = time.perf_counter_ns() + 3 * MS
        while time.perf_counter_ns() < until:
            pass
        return Scores(np.zeros(3), confidence=np.full(3, 0.9))

    found = spec_of(slow)
    assert found is not None
    spec = core_spec(bind_spec(found))

    def watch(r: Rig) -> None:
        def disable(name: str, reason: str) -> None:
            assert r.loop.offer(Input(DisableStrategy(name, reason, "daemon"), "shell"), Lane.CONTROL)

        Overruns(1, 3, disable).watch(r.core.core.predictor)

    async with rig(tmp_path, inputs, spec=spec, prepare=watch) as r:
        await r.settle()
        r.check_refold()
        (off,) = events(r.recorded(), StrategyDisabled)
        assert "3 decisions in a row took longer than 1 ms" in off.reason  # type: ignore[attr-defined]
        running = r.core.core.predictor.snapshot()
    async with rig(tmp_path, inputs, spec=spec) as r:
        await r.settle()
        assert r.core.core.predictor.snapshot() == running
