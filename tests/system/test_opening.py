"""What ``config check`` finds before a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.predictor.text.importing import Asked, import_model
from actors.predictor.text.store import ModelStore
from config.sources import load_settings
from daemon.system.opening import rehearse
from tests.live_support import minute_bars
from tests.text_support import write_source


def test_a_scenario_that_names_what_the_run_does_not_have_is_told(tmp_path: Path) -> None:
    """A typo in a sector shocks nothing; case and blanks are no typos, and the program's files are not asked."""
    bars = minute_bars(tmp_path / "bars.csv", ("AAA", "BBB"), minutes=5)
    path = tmp_path / "mine.toml"
    sets = (
        f"feed.playback.bars={bars}",
        "feed.playback.adjustment=split",
        "universe.sectors.AAA=Energy",
        "predictor.strategies=buy_and_hold",
        f"risk.scenarios={path}",
    )
    settings = load_settings(file=None, profile=None, environ={}, sets=sets).settings
    path.write_text('market = -0.1\n[sectors]\n" energy" = -0.3\n[symbols]\nBBB = -0.5\n')
    assert [said for said in rehearse(settings) if "scenario" in said] == []
    path.write_text("market = -0.1\n[sectors]\nEnegry = -0.3\n[symbols]\nbbb = -0.5\n")
    (said,) = [said for said in rehearse(settings) if "scenario" in said]
    assert said == "scenario mine: no symbol of this run is sectors.Enegry, symbols.bbb"


@pytest.mark.parametrize("damaged", [False, True])
def test_a_text_model_with_a_damaged_file_is_told_before_a_start(tmp_path: Path, *, damaged: bool) -> None:
    """The daemon would start and score nothing; the file is named."""
    bars = minute_bars(tmp_path / "bars.csv", ("AAA", "BBB"), minutes=5)
    news = tmp_path / "news.csv"
    news.write_text("ts,symbols,headline\n2024-01-02T15:00:00Z,AAA,Profit rose\n")
    found = import_model(write_source(tmp_path / "tiny"), ModelStore(tmp_path), Asked(name="tiny"))
    path = found.folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] if damaged else path.read_bytes())
    sets = (f"feed.playback.bars={bars}", "feed.playback.adjustment=split", "predictor.strategies=buy_and_hold")
    sets += (f"feed.playback.news={news}", f"paths.state_dir={tmp_path}", "predictor.sentiment.model=tiny")
    told = rehearse(load_settings(file=None, profile=None, environ={}, sets=sets).settings)
    about = [said for said in told if "text model" in said]
    assert len(about) == damaged
    assert all(f"{path} has the SHA-256" in said for said in about)


def test_a_text_model_that_is_not_installed_is_told_before_a_start(tmp_path: Path) -> None:
    """A list of words would judge in its place: the start says so, and by then somebody may count on the model."""
    bars = minute_bars(tmp_path / "bars.csv", ("AAA", "BBB"), minutes=5)
    news = tmp_path / "news.csv"
    news.write_text("ts,symbols,headline\n2024-01-02T15:00:00Z,AAA,Profit rose\n")
    sets = (f"feed.playback.bars={bars}", "feed.playback.adjustment=split", "predictor.strategies=buy_and_hold")
    sets += (f"feed.playback.news={news}", f"paths.state_dir={tmp_path}", "predictor.sentiment.model=finbert")
    told = rehearse(load_settings(file=None, profile=None, environ={}, sets=sets).settings)
    assert [said.partition(":")[0] for said in told if "text model" in said] == [
        "the text model finbert is not installed"
    ]
