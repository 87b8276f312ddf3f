"""What ``config check`` finds before a start."""

from __future__ import annotations

from pathlib import Path

from config.sources import load_settings
from daemon.system.opening import rehearse
from tests.live_support import minute_bars


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
