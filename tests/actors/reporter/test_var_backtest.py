"""Value at risk of every evening against what the next session brought."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.market import CorporateAction
from actors.reporter.performance import curve
from actors.reporter.runfolder import write_run_folder
from actors.reporter.story import gather
from actors.reporter.var_backtest import Backtest, backtest
from actors.values.fixed import SCALE
from config.sources import load_settings
from daemon.system.options import ReplayOptions
from daemon.system.replay import run_replay


def told(run: tuple[Any, Any]) -> Backtest:
    """Return the backtest of a run."""
    record, frames = run
    story = gather(frames)
    return backtest(record, story, curve(story))


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Any]) -> Any:
    """Return 600 sessions of a strategy without skill."""
    return make_run(sessions=600, edge=0.0, seed=5)


def test_one_evening_by_hand(run: Any) -> None:
    """Session 400: weights at its eve's close, on the 252 returns up to that close, with numpy."""
    record, frames = run
    story = gather(frames)
    c = curve(story)
    found = backtest(record, story, c)
    held = story.held[int(c.sessions[399])]
    ids = [symbol for symbol, _ in held]
    weights = np.array([qty / SCALE for _, qty in held]) * record.session_closes[399, ids] / c.equity[400]
    past = record.session_closes[148:400, ids] / record.session_closes[147:399, ids] - 1
    pnl = past @ weights
    assert pnl.size == 252
    assert found.var["historical", 0.95][400] == pytest.approx(-np.quantile(pnl, 0.05))
    assert found.var["historical", 0.99][400] == pytest.approx(-np.quantile(pnl, 0.01))
    assert found.var["normal", 0.95][400] == pytest.approx(1.6448536 * pnl.std(ddof=1) - pnl.mean(), rel=1e-6)
    assert found.es[0.95][400] >= found.var["historical", 0.95][400]
    next_day = record.session_closes[400, ids] / record.session_closes[399, ids] - 1
    assert found.left_alone[400] == pytest.approx(float(next_day @ weights))


def test_shortfall_is_never_below_the_value_at_risk(run: Any) -> None:
    """In no session, at no level."""
    found = told(run)
    for level in (0.95, 0.99):
        known = np.isfinite(found.es[level])
        assert known.any()
        assert (found.es[level][known] >= found.var["historical", level][known]).all()


def test_exceptions_are_the_sessions_that_lost_more(run: Any) -> None:
    """Counted again; what nothing was held into is not tested."""
    found = told(run)
    for (method, level), test in found.tests.items():
        var = found.var[method, level]
        known = np.isfinite(var)
        assert test.n == int(known.sum())
        assert test.exceptions == int((-found.realised[known] > var[known]).sum())
        assert test.expected == pytest.approx((1 - level) * test.n)
    assert found.empty + found.unknown + found.tests["historical", 0.95].n == 600


def test_independent_normal_returns_are_not_rejected(run: Any) -> None:
    """The synthetic prices are independent and normal: every test at 95 % has a p-value above 1 %."""
    found = told(run)
    for method in ("historical", "normal"):
        test = found.tests_alone[method, 0.95]
        assert test.n > 500
        assert test.conditional is not None
        assert test.conditional.p > 0.01


def test_a_later_price_changes_no_earlier_value_at_risk(run: Any) -> None:
    """Prices from session 450 on are other ones: what was told before is the same to the last digit."""
    record, frames = run
    closes = record.session_closes.copy()
    closes[450:] *= np.random.default_rng(1).uniform(0.3, 3.0, closes[450:].shape)
    other = msgspec.structs.replace(record, session_closes=closes)
    first, second = told(run), told((other, frames))
    for key, values in first.var.items():
        np.testing.assert_array_equal(values[:450], second.var[key][:450])
        assert not np.array_equal(values[451:], second.var[key][451:], equal_nan=True)


def test_a_price_that_is_missing_leaves_an_evening_unknown(run: Any) -> None:
    """A symbol held at a close without a price: that evening has no value at risk, and is counted."""
    record, frames = run
    story = gather(frames)
    symbol = story.held[int(record.session_dates[399])][0][0]
    closes = record.session_closes.copy()
    closes[399, symbol] = np.nan
    found = told((msgspec.structs.replace(record, session_closes=closes), frames))
    assert np.isnan(found.var["historical", 0.95][400])
    assert found.unknown == told(run).unknown + 1


def test_a_split_is_no_loss(run: Any) -> None:
    """Prices and quantities of a symbol in other units behind a split of 2 to 1: the same values at risk."""
    record, frames = run
    story = gather(frames)
    base = backtest(record, story, curve(story))
    symbol, at = story.held[int(record.session_dates[399])][0][0], 300
    closes = record.session_closes.copy()
    closes[at:, symbol] /= 2
    story.held = {
        date: tuple((s, q * 2 if s == symbol and date >= int(record.session_dates[at]) else q) for s, q in held)
        for date, held in story.held.items()
    }
    action = CorporateAction(0, int(record.session_dates[at]), symbol, "split", 0, numerator=2, denominator=1)
    other = msgspec.structs.replace(record, session_closes=closes, actions=(action,))
    found = backtest(other, story, curve(story))
    for key, values in base.var.items():
        np.testing.assert_allclose(values, found.var[key], rtol=1e-9)


def test_the_run_folder_tells_it(run: Any, tmp_path: Path) -> None:
    """In metrics.json and as a section of the report with picture, tests and exceptions."""
    record, frames = run
    write_run_folder(record, frames, tmp_path)
    document = json.loads((tmp_path / "metrics.json").read_text())["risk"]
    rows = {(row["method"], row["level"]): row for row in document["backtest"]["tests"]}
    assert set(rows) == {(m, v) for m in ("historical", "normal") for v in (0.95, 0.99)}
    assert rows["historical", 0.95]["kupiec"].keys() == {"lr", "p"}
    assert document["at_end"] == []
    page = (tmp_path / "report.html").read_text()
    section = page[page.index('<section id="risk">') :]
    section = section[: section.index("</section>")]
    assert "Session returns and value at risk, with exceptions" in section
    assert f"<strong>{rows['historical', 0.95]['exceptions']}</strong>" in section


def test_a_run_that_holds_nothing_says_so(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """Too short to trade: no picture, a sentence."""
    record, frames = make_run(sessions=50)
    write_run_folder(record, frames, tmp_path)
    assert "No session's value at risk could be told" in (tmp_path / "report.html").read_text()


def test_the_embedded_data_are_backtested(tmp_path: Path) -> None:
    """Buy and hold of the twenty companies from 1990 to 2022, 8,252 evenings, measured at the end, too.

    What is known of real returns shows: their tails are fatter than a normal's, so its 99 % value at risk is exceeded
    far too often while its 95 % one holds, and they come in clusters, so independence is rejected throughout.
    """
    sets = ("predictor.strategies=buy_and_hold",)
    loaded = load_settings(file=None, profile="frictionless", environ={}, sets=sets)
    run_replay(ReplayOptions(source="sp500", out=tmp_path / "run"), loaded.settings)
    document = json.loads((tmp_path / "run" / "metrics.json").read_text())["risk"]
    rows = {(row["method"], row["level"]): row for row in document["backtest"]["tests"]}
    for (_, level), row in rows.items():
        assert row["n"] == 8252
        assert row["expected"] == pytest.approx((1 - level) * 8252)
        assert row["independence"]["p"] < 0.01
        assert row["rejected"]
    assert rows["normal", 0.95]["kupiec"]["p"] > 0.05
    assert rows["normal", 0.99]["kupiec"]["p"] < 1e-6
    assert rows["normal", 0.99]["exceptions"] > 1.5 * rows["normal", 0.99]["expected"]
    assert rows["historical", 0.99]["exceptions"] < rows["normal", 0.99]["exceptions"]
    (end,) = document["at_end"]
    for tail in end["tails"]:
        assert tail["es"] >= tail["var"] > 0
    parts = sum(component["var"] for component in end["components"])
    assert 0 < parts < next(t["var"] for t in end["tails"] if (t["method"], t["level"]) == ("historical", 0.95))
    assert {impact["scenario"] for impact in end["stress"]} >= {"crisis-2008", "pandemic-2020"}
    # The symbol that loses most stands on one line with what it loses.
    worst = next(impact["worst"] for impact in end["stress"] if impact["scenario"] == "crisis-2008")
    assert f'<td class="day">{worst} <span' in (tmp_path / "run" / "report.html").read_text()
