"""The replay benchmark's own parts: its bars, its strategy, its tables, its answer to peers that are not there.

Nothing here measures time.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.api import PanelWindow

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "ops" / "bench"
NAMES = ("job", "bars", "own", "panel", "peers", "strategy", "table")


@pytest.fixture(scope="module")
def bench():
    """The scripts as modules, found as the script itself finds them: beside it."""
    sys.path.insert(0, str(BENCH))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCH))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def small(bench: dict[str, ModuleType]) -> Any:
    """A size of its own, so that a test costs little."""
    return bench["job"].Size("4 daily", 4, "1d", 300, 2)


@pytest.fixture(scope="module")
def daily(bench: dict[str, ModuleType], small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of daily bars."""
    path = tmp_path_factory.mktemp("bench") / "daily.parquet"
    assert bench["bars"].write_bars(small, path) == 4 * 300
    return path


def test_bars_are_well_formed_and_the_same_every_time(bench, small, daily, tmp_path):
    """Bars are sorted, positive and consistent, and a seed means a file."""
    frame = pl.read_parquet(daily)
    assert frame.height == 1200
    assert frame.select(
        pl.all_horizontal(pl.col("low") <= pl.col("open"), pl.col("open") <= pl.col("high")).all()
    ).item()
    assert frame.select(
        pl.all_horizontal(pl.col("low") <= pl.col("close"), pl.col("close") <= pl.col("high")).all()
    ).item()
    assert frame["low"].min() > 0
    assert frame.equals(frame.sort("date", "symbol"))
    bench["bars"].write_bars(small, tmp_path / "again.parquet")
    assert pl.read_parquet(tmp_path / "again.parquet").equals(frame)


def test_minute_bars_lie_inside_sessions(bench, tmp_path):
    """A full day has 390 minutes, Christmas Eve 210."""
    size = bench["job"].Size("2 minute", 2, "1m", 8, 2)  # the last sessions of 2025 hold a half day
    bench["bars"].write_bars(size, tmp_path / "minute.parquet")
    counts = pl.read_parquet(tmp_path / "minute.parquet").group_by(pl.col("ts").dt.date()).len()["len"].to_list()
    assert sorted(set(counts)) == [2 * 210, 2 * 390]
    assert len(counts) == 8


def test_the_strategy_speaks_exactly_where_the_means_cross(bench):
    """The product with weights says what two plain means say."""
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (400, 3)), axis=0))
    params = bench["strategy"].CrossParams()
    fast = np.array([close[i - 9 : i + 1].mean(axis=0) for i in range(30, 400)])
    slow = np.array([close[i - 29 : i + 1].mean(axis=0) for i in range(30, 400)])
    above = fast > slow
    for i in range(31, 400):
        window = close[i - 30 : i + 1]
        score = bench["strategy"].sma_cross(_window(window), params).score
        now, before = above[i - 30], above[i - 31]
        assert np.array_equal(np.isnan(score), now == before)
        assert (score[now & ~before] == 1.0).all()
        assert (score[~now & before] == -1.0).all()


def test_the_strategy_is_silent_about_symbols_that_shall_not_trade_and_before_there_is_a_mean(bench):
    """Where the job is quiet, nothing is said, and equal means have not crossed."""
    close = np.vstack([np.full((30, 4), 100.0), np.full((1, 4), 150.0)])
    every = bench["strategy"].CrossParams(every=2)
    assert np.isnan(bench["strategy"].sma_cross(_window(close), every).score).tolist() == [False, True, False, True]
    assert np.isnan(bench["strategy"].sma_cross(_window(close[1:]), every).score).all()


def test_every_contender_of_ours_does_the_same_job(bench, daily):
    """The whole system and the bare loop trade as often; repeats give the same events."""
    own = bench["own"].measure(daily, every=1, repeats=2, durable=False)
    assert own.fills == bench["panel"].run(bench["panel"].prepare(str(daily)))
    assert own.facts["bars"] == 1200
    assert own.facts["denied"] == 0
    assert len(own.facts["digests"]) == 1, "repeats give the same events"
    assert len(own.wall) == len(own.cpu) == 2
    few = bench["own"].measure(daily, every=2, repeats=1, durable=False)
    assert 0 < few.fills < own.fills


def test_an_instant_is_held_against_the_budget_of_its_symbols_and_fills(bench):
    """The table's arithmetic."""
    assert bench["table"].budget_us(500, 19.0) == pytest.approx(40 + 25 + 228)
    own = {"facts": {"instants": 10, "orders": 5}, "fills": 20, "wall_median": 0.001, "cpu_median": 0.002, "load": 0.5}
    size = {"name": "20 minute", "symbols": 20, "bars": 200, "own": {"all trade": own}, "others": {}}
    line = bench["table"].rows_of_own({"sizes": [size]})[0]
    assert line == ["20 minute", "all trade", "100", "65", "1.54", "2.00", "5,000", "200 k", "500 k", "2.50"]


def test_a_peer_that_cannot_run_is_named_with_the_reason_and_the_others_go_on(bench):
    """A missing peer is a line of the table."""
    own = {"facts": {"instants": 1, "orders": 0}, "fills": 0, "wall_median": 1.0, "cpu_median": 1.0, "load": 0.0}
    other = {"fills": 3, "wall_median": 0.5, "cpu_median": 0.5, "load": 0.1, "facts": {"other": "1.0"}}
    size = {"name": "2 daily", "symbols": 2, "bars": 1000, "own": {"all trade": own}}
    size |= {"others": {"gone": {"problem": "cannot be installed here: no"}, "other": other}}
    size |= {"phases": {"load": 1.0, "replay": 2.0, "report": 3.0}}
    rows = bench["table"].rows_of_all({"sizes": [size]})
    assert rows[1][:3] == ["2 daily", "gone", "cannot be installed here: no"]
    assert rows[2][:4] == ["2 daily", "other", "2.0 k", "0.5"]
    assert "other 1.0" in bench["table"].render({"python": "3", "sizes": [size]})


def test_a_driver_that_fails_becomes_one_sentence(bench, tmp_path):
    """No traceback reaches the reader."""
    with pytest.raises(bench["peers"].ContenderError, match="no such file"):
        bench["peers"].drive(Path(sys.executable), "own.py", tmp_path / "nothing.parquet", 1)
    with pytest.raises(bench["peers"].ContenderError, match="ModuleNotFoundError"):
        bench["peers"].drive(Path(sys.executable), "peer_nautilus.py", tmp_path / "nothing.parquet", 1)


def test_drivers_answer_with_one_line_of_json(daily):
    """What a driver prints is a result."""
    command = [sys.executable, str(BENCH / "panel.py"), "--bars", str(daily), "--repeats", "2"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(answer["wall"]) == len(answer["cpu"]) == 2
    assert answer["fills"] > 0


def test_peers_are_named_in_no_requirement_of_this_project(bench):
    """They are compared with, not depended on."""
    texts = [(ROOT / name).read_text("utf-8").lower() for name in ("pyproject.toml", "requirements.lock")]
    for peer in bench["peers"].PEERS:
        name = peer.requirements[0].partition("==")[0]
        for spelling in (name, name.replace("_", "-")):
            assert not any(spelling in text for text in texts)


def _window(close: np.ndarray) -> PanelWindow:
    n = close.shape[1]
    nothing: Any = None
    return PanelWindow(
        symbols=tuple("ABCD"[:n]),
        now=0,
        interval="1d",
        ts=np.arange(len(close), dtype=np.int64),
        fresh=np.ones(n, dtype=bool),
        open=nothing,
        high=nothing,
        low=nothing,
        close=close,
        volume=nothing,
    )
