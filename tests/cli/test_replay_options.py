"""What `tradingd replay` and `demo` make of their options, seen by a stand-in for the replay itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from actors.values.time import parse_interval
from actors.values.universe import Adjustment
from config.settings import Settings
from daemon.cli.tradingd import main
from daemon.system.options import DEFAULT_SEED, ReplayOptions


class Replay:
    """Notes what it is asked to do and leaves a folder with a metrics.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: ReplayOptions
        self.settings: Settings

    def run_replay(
        self, options: ReplayOptions, settings: Settings, progress: Callable[[int, int], None] | None
    ) -> SimpleNamespace:
        """Stand in for daemon.system.replay.run_replay."""
        self.options, self.settings = options, settings
        assert progress is not None
        progress(5, 10)
        (self.folder / "metrics.json").write_text('{"schema": "tradingd.metrics/1"}\n', "utf-8")
        return SimpleNamespace(folder=self.folder, notices=("one row was left out",))


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """Put the stand-in where the command looks, far from the user's own files."""
    stand_in = Replay(tmp_path)
    module: Any = ModuleType("daemon.system.replay")
    module.run_replay = stand_in.run_replay
    monkeypatch.setitem(sys.modules, "daemon.system.replay", module)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return stand_in


def test_every_option_arrives(replay: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    """Parsed: dates as numbers, intervals and adjustments as values; what is configuration in the settings."""
    line = (
        "replay --bars a.csv --bars b.parquet --status s.csv --actions c.csv"
        " --adjustment split --tz America/New_York --orders o.jsonl"
        ' --strategy momentum --params {"lookback":20} --interval 5m --from 2020-01-02 --to 2020-12-31 --cash 50000.01'
        " --benchmark SPY --seed 7 --durable --events --out run --profile ibkr --set broker.slippage_bps=2 --json"
    )
    assert main(line.split()) == 0
    assert replay.options == ReplayOptions(
        out=Path("run"),
        bars=(Path("a.csv"), Path("b.parquet")),
        status=(Path("s.csv"),),
        actions=(Path("c.csv"),),
        adjustment=Adjustment.SPLIT,
        tz="America/New_York",
        orders=Path("o.jsonl"),
        interval=parse_interval("5m"),
        date_from=20200102,
        date_to=20201231,
        seed=7,
        durable=True,
        events=True,
        profile="ibkr",
        command="tradingd replay --bars a.csv --bars b.parquet --status s.csv --actions c.csv"
        " --adjustment split --tz America/New_York --orders o.jsonl --strategy momentum"
        """ --params '{"lookback":20}' --interval 5m --from 2020-01-02 --to 2020-12-31 --cash 50000.01"""
        " --benchmark SPY --seed 7 --profile ibkr --set broker.slippage_bps=2",
    )
    settings = replay.settings
    assert settings.predictor.strategies == ("momentum",)
    assert settings.predictor.params == {"momentum": {"lookback": 20}}
    assert (settings.portfolio[0].cash, settings.portfolio[0].strategies) == (Decimal("50000.01"), None)
    assert (settings.universe.benchmark, settings.broker.slippage_bps, settings.broker.min_commission) == ("SPY", 2, 1)
    captured = capsys.readouterr()
    assert captured.out == '{"schema": "tradingd.metrics/1"}\n'
    assert "note: one row was left out" in captured.err
    assert "replay  50 %" in captured.err


def test_defaults(replay: Replay, tmp_path: Path) -> None:
    """A new folder under the state folder, the seed every run shares, nothing cut."""
    assert main(["replay", "--source", "sp500", "--json"]) == 0
    options = replay.options
    assert options.out.parent == tmp_path / "state" / "runs"
    command = f"tradingd replay --source sp500 --seed {DEFAULT_SEED}"
    assert options == ReplayOptions(out=options.out, source="sp500", seed=DEFAULT_SEED, command=command)
    assert replay.settings.predictor.strategies == ()


def test_several_strategies_have_their_own_parameters(replay: Replay) -> None:
    """As an object by name; portfolios of the file follow what the command line names."""
    config = replay.folder / "c.toml"
    config.write_text('[predictor]\nstrategies = ["old"]\n[[portfolio]]\nstrategies = ["old"]\n', "utf-8")
    arguments = [
        "replay",
        "--source",
        "sp500",
        "--json",
        "--config",
        str(config),
        "--strategy",
        "a",
        "--strategy",
        "b.py:f",
    ]
    assert main([*arguments, "--params", '{"a": {"x": 1}, "b.py:f": {"y": 2.5}}']) == 0
    assert replay.settings.predictor.strategies == ("a", "b.py:f")
    assert replay.settings.predictor.params == {"a": {"x": 1}, "b.py:f": {"y": 2.5}}
    assert replay.settings.portfolio[0].strategies is None


def test_a_mixed_environment_stops_before_anything_runs(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another distribution in our packages: exit 78, nothing replayed."""
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"daemon": ["python-daemon"]})
    assert main(["replay", "--source", "sp500"]) == 78
    assert "python-daemon installs into our package 'daemon'" in capsys.readouterr().err
    assert not hasattr(replay, "options")
