"""The page on measures of risk says what is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from actors.risk.measures import CORRELATED_MAX, TOP
from actors.risk.stress import parse_scenario
from actors.risk.track import SESSIONS
from actors.risk.var import LEAST
from daemon.system.board_measures import DRAWS, REFRESH_NS
from daemon.system.measure_rows import measure_fields

PAGE = (Path(__file__).resolve().parents[2] / "ops" / "risk-measures.md").read_text("utf-8")


def test_the_scenario_on_the_page_is_one() -> None:
    """It parses, and says what its comments say."""
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    found = parse_scenario("mine", tomllib.loads(text))
    assert (found.market, found.symbols, found.sectors["Bonds"]) == (-0.3, {"AAPL": -0.5}, 0.05)


def test_the_table_names_every_field() -> None:
    """Of a row of `risk`; the ten-session ones by their pattern."""
    told = set(re.findall(r"`(\w+)`", "".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    fields = {name for name in measure_fields(None) if not name.endswith("_10") or name == "var_95_10"}
    assert fields <= told


def test_the_numbers_on_the_page_are_those_of_the_program() -> None:
    """Draws, refresh, least sessions, positions looked at."""
    assert f"draws {2 * DRAWS:,} sessions" in PAGE
    assert f"at most every {REFRESH_NS // 1_000_000} ms" in PAGE
    assert f"fewer than {LEAST} sessions" in PAGE
    assert f"the {CORRELATED_MAX} largest positions" in PAGE
    assert f"the last {SESSIONS} sessions" in PAGE
    assert TOP == 5
    assert "the five largest contributors" in PAGE
