"""ops/exits.md keeps its word: its numbers are those of a core that plays its sessions, its keys exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from actors.portfolio.params import PortfolioSpec
from actors.portfolio.ranges import SessionRanges
from actors.portfolio.stops import STOPS, lookback
from actors.values.session import Session
from config.params import portfolio_specs
from config.settings import PortfolioSettings, Settings
from config.sources import load_settings
from tests.actors.portfolio.sessions import Bar, panel_of, played

PAGE: Final = (Path(__file__).resolve().parents[2] / "ops" / "exits.md").read_text("utf-8")


def table(first: str) -> list[list[str]]:
    """The rows of the table whose header begins with this cell."""
    block = PAGE[PAGE.index(f"| {first} |") :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


SESSIONS: Final = table("session")
EXAMPLES: Final = table("settings")
BARS: Final[list[Bar]] = [(float(r[1]), float(r[2]), float(r[3]), float(r[4])) for r in SESSIONS]


def keys_of(cell: str) -> dict[str, Any]:
    """The settings of an example."""
    return tomllib.loads("\n".join(re.findall(r"`([^`]*)`", cell)))


@pytest.mark.parametrize("row", EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_every_stop_of_the_example_is_where_a_core_puts_it(row: list[str]) -> None:
    """Order behind session 1, the defaults of the configuration for what the row does not say."""
    said = {"stop_multiple": 3.0, "stop_lookback": 0, **keys_of(row[0])}
    _, seen = played(BARS, **said)
    assert seen == [[], [], [float(row[1])], [float(row[2])]]


def test_the_ranges_of_the_example_are_those_of_the_sessions() -> None:
    """True range and ATR(2), session by session."""
    ranges = SessionRanges(2, (1, 2))
    for number, (row, bar) in enumerate(zip(SESSIONS, BARS, strict=True)):
        ranges.fold_bar(panel_of(Session(20200102 + number, number, number + 1, number), bar))
        ranges.fold_close(np.array([bar[3], 50.0]))
        assert ranges.average(0, 1) == float(row[5])
        assert str(ranges.average(0, 2)) == (str(float(row[6])) if row[6] else "nan")


def test_every_method_is_explained_with_its_usual_sessions() -> None:
    """None is left out, and the numbers are those of the room."""
    rows = {row[0].strip("`"): row for row in table("`stop`")}
    assert tuple(rows) == STOPS
    for name, row in rows.items():
        told = re.match(r"\d+", row[2])
        assert (int(told.group()) if told else 0) == lookback(PortfolioSpec("main", 0, stop=name))


def test_the_example_of_a_configuration_is_one(tmp_path: Path) -> None:
    """It loads, and says what it shows."""
    text = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    file = tmp_path / "my.toml"
    file.write_text(text, "utf-8")
    (spec,) = portfolio_specs(load_settings(file=file, profile="plan", sets=(), environ={}).settings)
    assert (spec.stop, spec.stop_multiple, spec.stop_loss, spec.time_stop_sessions) == ("chandelier", 3.0, 0.05, 40)


def test_defaults_and_keys_are_the_configurations() -> None:
    """Each key that the page names exists; the defaults in brackets hold."""
    named = set(re.findall(r"`((?:stop|trail|time_stop|take_profit)[a-z_]*)(?: = [^`]*)?`", PAGE)) - {"stop_loss"}
    assert named - {"time_stop", "trailing_stop", "trailing"} <= PortfolioSettings.model_fields.keys()
    assert {"stop", "stop_multiple", "stop_lookback", "trail_percent", "time_stop_sessions"} <= named
    first = Settings().portfolio[0]
    assert "`stop_multiple` (3)" in PAGE
    assert (first.stop_multiple, first.stop_lookback) == (3, 0)
    risk = Settings().risk
    assert (str(risk.correlation_shrink), str(risk.max_correlation), risk.correlation_sessions) == ("0.7", "0.8", 60)
    swing = load_settings(file=None, profile="swing", sets=(), environ={}).settings
    assert str(swing.risk.max_heat) == "0.02"
