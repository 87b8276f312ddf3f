"""Scenarios: what they do to what is held, and what a file of one may say."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.risk.stress import Impact, Scenario, parse_scenario, prepare, stress, unmatched
from daemon.kernel.errors import OperatorError
from daemon.system.scenarios import FOLDER, load_scenarios

NAN = math.nan
NAMES = ("XOM", "JPM", "AMD")
SECTORS = ("Energy", "Financials", "")


def impact_of(
    scenario: Scenario, weights: list[float], betas: list[float] | None = None, spread: float | None = None
) -> Impact:
    """Return what one scenario does to three symbols with deviations of 1, 2 and 3 %."""
    slopes = np.array(betas if betas is not None else [1.0, 1.5, NAN])
    held = prepare(NAMES, SECTORS, slopes, np.array([0.01, 0.02, 0.03]), [scenario])
    return stress(held, np.array(weights), spread)[0]


def test_a_symbol_falls_by_its_own_shock_then_its_sectors_then_its_beta() -> None:
    """XOM is named (-50 %), JPM's sector is (-10 %), AMD falls by an unknown beta, 1, of -20 %.

    With weights 0.2, 0.3 and 0.1: 0.1 + 0.03 + 0.02 = 0.15 lost.
    """
    scenario = Scenario("s", "S", market=-0.2, sectors={"energy": -0.3, " FINANCIALS ": -0.1}, symbols={"XOM": -0.5})
    found = impact_of(scenario, [0.2, 0.3, 0.1])
    assert found.loss == pytest.approx(0.15)
    assert (found.by_name, found.by_sector, found.by_beta, found.assumed) == (1, 1, 1, 1)
    assert (found.worst, found.worst_loss) == ("XOM", pytest.approx(0.1))


def test_beta_times_the_market_is_at_most_everything() -> None:
    """A beta of 1.5 in a market that loses 90 % would be 135 %: 100 % is lost. A short gains as much."""
    scenario = Scenario("s", "S", market=-0.9)
    assert impact_of(scenario, [0.0, 0.4, 0.0]).loss == pytest.approx(0.4)
    short = impact_of(scenario, [0.0, -0.4, 0.0])
    assert short.loss == pytest.approx(-0.4)
    assert (short.worst, short.worst_loss) == ("", 0.0)


def test_a_file_without_a_market_moves_only_what_it_names() -> None:
    """The rest stands still."""
    found = impact_of(Scenario("s", "S", symbols={"JPM": -0.1}), [0.5, 0.5, 0.5])
    assert found.loss == pytest.approx(0.05)


def test_the_worst_sector_is_told() -> None:
    """Each sector by 20 % in turn: financials cost 6 %, energy 4 %, a short without a sector gains."""
    found = impact_of(Scenario("s", "S", each_sector=-0.2), [0.2, 0.3, -0.6])
    assert (found.loss, found.sector, found.worst) == (pytest.approx(0.06), "Financials", "JPM")
    alone = impact_of(Scenario("s", "S", each_sector=-0.2), [0.0, 0.0, 0.6])
    assert (alone.loss, alone.sector) == (pytest.approx(0.12), "none")


def test_where_nothing_has_a_sector_what_needs_them_is_unknown_and_says_so() -> None:
    """A fall of one sector is unknown, not one of everything; shocks of sectors touch none, and all fall by beta.

    0.5 x 20 % + 0.5 x 1.5 x 20 % = 25 %.
    """
    held = prepare(NAMES[:2], ["", ""], np.array([1.0, 1.5]), np.array([0.01, 0.02]), [
        Scenario("each", "E", each_sector=-0.2), Scenario("by", "B", market=-0.2, sectors={"Energy": -0.9})
    ])  # fmt: skip
    each, by = stress(held, np.array([0.5, 0.5]), 0.01)
    assert (each.loss, each.sector, each.note) == (None, "", "no symbol held has a sector")
    assert (by.loss, by.by_sector) == (pytest.approx(0.25), 0)
    assert by.note == "no symbol held has a sector: those of the scenario touch none"


def test_symbols_without_a_sector_beside_others_count_as_one_and_that_is_said() -> None:
    """AMD has none and is the largest."""
    found = impact_of(Scenario("s", "S", each_sector=-0.2), [0.2, 0.3, 0.6])
    assert (found.loss, found.sector) == (pytest.approx(0.12), "none")
    assert found.note == "symbols without a sector count as one"
    assert impact_of(Scenario("s", "S", each_sector=-0.2), [0.2, 0.3, 0.1]).note == ""


def test_without_a_market_no_beta_is_used_or_assumed() -> None:
    """AMD's is not known, and nobody asks for it."""
    found = impact_of(Scenario("s", "S", sectors={"Energy": -0.1}), [0.5, 0.5, 0.5])
    assert (found.by_sector, found.by_beta, found.assumed) == (1, 0, 0)


def test_a_shock_of_a_single_symbol_may_be_a_squeeze() -> None:
    """A short of 5 % in what rises to four times its price loses 15 % of equity."""
    scenario = parse_scenario("squeeze", {"symbols": {"AMD": 3.0}})
    assert impact_of(scenario, [0.0, 0.0, -0.05]).loss == pytest.approx(0.15)


def test_names_that_nothing_held_has_are_told() -> None:
    """Sectors are compared without regard to case and blanks around, symbols as they are."""
    scenario = Scenario("s", "S", sectors={" ENERGY": -0.1, "Enegry": -0.1}, symbols={"XOM": -0.1, "amd": -0.1})
    assert unmatched(scenario, NAMES, SECTORS) == ["sectors.Enegry", "symbols.amd"]


def test_why_a_loss_is_unknown_is_said() -> None:
    """A weight, or deviations."""
    assert (
        impact_of(Scenario("s", "S", market=-0.1), [0.1, NAN, 0.1]).note == "the value of something held is not known"
    )
    together = impact_of(Scenario("s", "S", correlation=1.0, deviations=2.0), [0.2, 0.3, 0.1], spread=None)
    assert together.note == "deviations are not known: too few sessions"


def test_without_diversification_deviations_add_up() -> None:
    """Two of 0.2 x 1 % + 0.3 x 2 % + 0.1 x 3 % = 1.1 % are 2.2 %.

    Half-way from an actual 0.5 % it is the root of the mean of the squares, 2 x sqrt((0.25 + 1.21) / 2) %.
    """
    whole = Scenario("s", "S", correlation=1.0, deviations=2.0)
    assert impact_of(whole, [0.2, 0.3, 0.1], spread=0.005).loss == pytest.approx(0.022)
    half = Scenario("s", "S", correlation=0.5, deviations=2.0)
    expected = 2 * math.sqrt((0.25 + 1.21) / 2) / 100
    assert impact_of(half, [0.2, 0.3, 0.1], spread=0.005).loss == pytest.approx(expected)
    none = Scenario("s", "S", correlation=0.0, deviations=2.0)
    assert impact_of(none, [0.2, 0.3, 0.1], spread=0.005).loss == pytest.approx(0.01)
    assert impact_of(whole, [0.2, 0.3, 0.1], spread=None).loss is None
    hedged = impact_of(whole, [0.2, -0.1, 0.0], spread=0.005)
    assert hedged.loss == pytest.approx(0.0)


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_weight_that_is_not_known_leaves_every_loss_unknown(bad: float) -> None:
    """None, never a number."""
    for scenario in load_scenarios():
        assert impact_of(scenario, [0.1, bad, 0.1]).loss is None


def test_nothing_held_loses_nothing() -> None:
    """An empty portfolio."""
    held = prepare([], [], np.empty(0), np.empty(0), load_scenarios())
    assert [impact.loss for impact in stress(held, np.empty(0), None)] == [0.0] * 6


def test_the_programs_scenarios_say_where_their_figures_come_from() -> None:
    """The six the program brings, each with a source."""
    found = {scenario.name: scenario for scenario in load_scenarios()}
    assert sorted(found) == sorted(path.stem for path in FOLDER.glob("*.toml"))
    wanted = "correlation-one crisis-2008 inflation-2022 pandemic-2020 rate-shock sector-shock"
    assert sorted(found) == wanted.split()
    assert all(scenario.source and scenario.description for scenario in found.values())
    assert found["crisis-2008"].market == pytest.approx(676.53 / 1565.15 - 1, abs=5e-4)
    assert found["pandemic-2020"].market == pytest.approx(2237.40 / 3386.15 - 1, abs=5e-4)


def test_a_users_file_is_added_and_one_of_the_same_name_replaces(tmp_path: Any) -> None:
    """By the names of the files; two of the user's may not share one."""
    own, same = tmp_path / "mine.toml", tmp_path / "rate-shock.toml"
    own.write_text('title = "Mine"\nmarket = -0.1\n')
    same.write_text("market = -0.5\n")
    found = {scenario.name: scenario for scenario in load_scenarios([own, same])}
    assert len(found) == 7
    assert found["mine"].title == "Mine"
    assert (found["rate-shock"].market, found["rate-shock"].title) == (-0.5, "rate-shock")
    with pytest.raises(OperatorError, match="two scenarios are called mine"):
        load_scenarios([own, own])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({}, "it needs one of"),
        ({"market": -0.1, "each_sector": -0.1}, "it needs one of"),
        ({"market": -1.01}, "market = -1.01 is no shock"),
        ({"market": -1.0000001}, "market = -1.0000001 is no shock: nothing falls by more than everything"),
        ({"market": 3.0}, "market = 3 is no shock: market may rise by 1 at most (0.03 is 3 %)"),
        ({"each_sector": 1.01}, "is no shock"),
        ({"sectors": {"Energy": 3}}, "sectors.Energy = 3 is no shock"),
        ({"symbols": {"A": 10.5}}, "symbols.A = 10.5 is no shock: symbols.A may rise by 10 at most"),
        ({"sectors": {"Energy": -0.1, " energy ": 0.1}}, "are one sector"),
        ({"market": -0.1, "title": 5}, "title = 5 is not text"),
        ({"market": -0.1, "title": "a\x1b[31m"}, "title is not one line"),
        ({"market": -0.1, "title": "a" * 101}, "title is not one line"),
        ({"market": NAN}, "is not a finite number"),
        ({"market": math.inf}, "is not a finite number"),
        ({"market": True}, "is not a finite number"),
        ({"market": "-0.1"}, "is not a finite number"),
        ({"markets": -0.1}, "markets is no key"),
        ({"sectors": {"Energy": None}}, "sectors.Energy"),
        ({"sectors": -0.1}, "not a table"),
        ({"symbols": {"A": -2}}, "symbols.A = -2 is no shock"),
        ({"correlation": 1.1, "deviations": 2}, "correlation must be 0 to 1"),
        ({"correlation": 1.0}, "deviations above 0"),
        ({"correlation": 1.0, "deviations": -1}, "deviations above 0"),
        ({"market": -0.1, "deviations": 2}, "deviations belong to a correlation"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_in_a_sentence(data: dict[str, Any], what: str) -> None:
    """With its name, its key and a remedy."""
    with pytest.raises(OperatorError, match="scenario odd: ") as caught:
        parse_scenario("odd", data)
    assert what in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"market = ", "is not TOML"), (b"\xff", "is not UTF-8"), (b"# " + b"x" * (1 << 20), "is larger than")],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(tmp_path: Any, content: bytes, what: str) -> None:
    """And one that is not there."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=what):
        load_scenarios([path])
    with pytest.raises(OperatorError, match="cannot be read") as caught:
        load_scenarios([tmp_path / "none.toml"])
    assert caught.value.remedy


def test_a_pipe_that_nobody_writes_to_does_not_hold_up_the_start(tmp_path: Any) -> None:
    """It is refused at once, as a folder and a device are."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for path in (tmp_path / "pipe.toml", tmp_path / "folder.toml", Path("/dev/zero")):
        with pytest.raises(OperatorError, match=r"is no regular file|Is a directory"):
            load_scenarios([path])


def test_the_programs_alone_can_be_left_out(tmp_path: Any) -> None:
    """Also then two may not share a name."""
    path = tmp_path / "mine.toml"
    path.write_text("market = -0.1\n")
    assert [scenario.name for scenario in load_scenarios([path], own_only=True)] == ["mine"]
    with pytest.raises(OperatorError, match="two scenarios are called mine"):
        load_scenarios([path, path], own_only=True)
