"""Measures: one function from what is known of a portfolio to everything that is told of its risk."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.limits import SymbolLimits
from actors.risk import measures, var
from actors.risk.limits import compiled
from actors.risk.measures import Basis, Facts, Measures, basis, measure, rolling_sharpe
from actors.risk.params import RiskLimits
from actors.risk.stress import Scenario
from actors.risk.track import Day
from actors.values.fixed import SCALE
from actors.values.universe import Universe
from daemon.system.scenarios import load_scenarios

NAN = math.nan
SYMBOLS = ("SPY", "XOM", "CVX", "JPM", "AMD")
SECTORS = ("", "Energy", "Energy", "Financials", "Information Technology")
UNIVERSE = Universe(SYMBOLS, SECTORS, benchmark="SPY")
LIMITS = RiskLimits(
    max_position=0.3,
    max_positions=5,
    max_leverage=2.0,
    max_net=1.0,
    max_sector=0.4,
    max_var=0.05,
    max_heat=0.1,
    utilization_warn=0.9,
)
SCENARIOS = (*load_scenarios(), Scenario("by-beta", "All by their beta", market=-0.1))


def history(sessions: int = 300, seed: int = 4) -> np.ndarray:
    """Return returns of five symbols that follow the first."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0005, 0.01, (sessions, 1))
    found = market * np.array([1.0, 0.8, 0.9, 1.3, 1.8]) + rng.normal(0, 0.006, (sessions, 5))
    found[:, 0] = market[:, 0]
    return found


def facts(values: dict[str, float], equity: float = 100_000.0, **changes: Any) -> Facts:
    """Return a portfolio that holds these values."""
    ids = sorted(SYMBOLS.index(symbol) for symbol in values)
    fields: dict[str, Any] = {
        "portfolio": "main",
        "equity": equity,
        "peak": equity,
        "ids": np.array(ids, dtype=np.intp),
        "values": np.array([values[SYMBOLS[i]] for i in ids]),
        "places": len(ids),
        "returns": (),
        "day": Day(),
    }
    return Facts(**fields | changes)


def held(known: Facts, r: np.ndarray | None = None, limits: RiskLimits = LIMITS) -> Basis:
    """Return the basis of what is held."""

    def draws(n: int) -> np.ndarray:
        return np.random.default_rng(1).standard_normal((2_000, n))

    returns = history() if r is None else r
    return basis(returns, known.ids, known.values, UNIVERSE, limits, SCENARIOS, draws)


def measured(known: Facts, r: np.ndarray | None = None, limits: RiskLimits = LIMITS) -> Measures:
    """Return the measures."""
    terms = compiled(limits, UNIVERSE, ["main"])["main"]
    return measure(known, held(known, r, limits), limits, terms)


MIXED = {"XOM": 20_000.0, "CVX": 15_000.0, "JPM": -10_000.0, "AMD": 30_000.0}


def test_exposures_are_values_over_equity() -> None:
    """20 + 15 + 30 long and 10 short of 100: gross 75 %, net 55 %; energy is 35 %."""
    m = measured(facts(MIXED))
    assert (m.gross, m.net, m.leverage) == (pytest.approx(0.75), pytest.approx(0.55), pytest.approx(0.75))
    assert [(s.sector, round(s.gross, 9), round(s.net, 9)) for s in m.sectors] == [
        ("Energy", 0.35, 0.35),
        ("Information Technology", 0.3, 0.3),
        ("Financials", 0.1, -0.1),
    ]


def test_tails_are_those_of_the_weights_on_the_last_sessions() -> None:
    """252 of the 300, by hand with numpy."""
    m = measured(facts(MIXED))
    pnl = history()[-252:, 1:] @ np.array([0.2, 0.15, -0.1, 0.3])
    tail = m.tail(var.HISTORICAL, 0.95)
    assert tail is not None
    assert tail.var == pytest.approx(-np.quantile(pnl, 0.05))
    assert (m.sessions, tail.n, len(m.tails)) == (252, 252, 12)
    assert all(t.es is not None and t.var is not None and t.es >= t.var for t in m.tails)


def test_the_five_largest_parts_are_told_and_all_sum_to_the_whole() -> None:
    """Four positions: all of them, the largest first, their sum the value at risk."""
    m = measured(facts(MIXED))
    assert [c.symbol for c in m.components] == sorted(
        (c.symbol for c in m.components), key=lambda s: -next(c.var for c in m.components if c.symbol == s)
    )
    historical, normal = m.tail(var.HISTORICAL, 0.95), m.tail(var.NORMAL_METHOD, 0.95)
    assert historical is not None
    assert normal is not None
    assert sum(c.var for c in m.components) == pytest.approx(historical.var)
    assert sum(c.es for c in m.components) == pytest.approx(historical.es)
    assert sum(c.var_normal for c in m.components) == pytest.approx(normal.var)


def test_beta_is_the_sum_of_betas_by_weight() -> None:
    """To the benchmark; without one to the mean of all symbols, and it says so."""
    m = measured(facts(MIXED))
    window = history()[-252:]
    slopes = [np.cov(window[:, i], window[:, 0])[0, 1] / np.var(window[:, 0], ddof=1) for i in range(1, 5)]
    assert m.beta == pytest.approx(np.dot([0.2, 0.15, -0.1, 0.3], slopes))
    assert m.market == "SPY"
    known = facts(MIXED)
    without = basis(history(), known.ids, known.values, Universe(SYMBOLS, SECTORS), LIMITS, ())
    assert without.market == "universe"
    mean = window.mean(axis=1)
    assert without.betas[0] == pytest.approx(np.cov(window[:, 1], mean)[0, 1] / np.var(mean, ddof=1))


def test_the_closest_pair_is_found() -> None:
    """Of the last 60 sessions; with fewer than 40 in common nothing is known."""
    m = measured(facts(MIXED))
    table = np.corrcoef(history()[-60:, 1:].T)
    pairs = table[np.triu_indices(4, 1)]
    assert m.correlation == pytest.approx(pairs.mean())
    assert m.closest is not None
    assert m.closest[2] == pytest.approx(pairs.max())
    short = measured(facts(MIXED), history(39))
    assert (short.correlation, short.closest) == (None, None)


def test_a_history_that_is_too_short_is_unknown() -> None:
    """59 sessions: no tail, no part, no beta, no deviation; 60 are enough."""
    short = measured(facts(MIXED), history(59))
    assert all(t.var is None and t.es is None for t in short.tails)
    assert (short.components, short.beta) == ((), None)
    together = next(s for s in short.stress if s.scenario == "correlation-one")
    assert together.loss is None
    assert next(s for s in short.stress if s.scenario == "by-beta").assumed == 4
    enough = measured(facts(MIXED), history(60))
    assert enough.beta is not None
    assert enough.tail(var.HISTORICAL, 0.99) is not None


@pytest.mark.parametrize("equity", [0.0, -5.0, NAN, math.inf])
def test_without_an_equity_nothing_is_measured_by_it(equity: float) -> None:
    """Nulls, no division by zero."""
    m = measured(facts(MIXED, equity=equity, peak=100_000.0))
    assert (m.gross, m.net, m.beta, m.tails, m.limits, m.sectors) == (None, None, None, (), (), ())
    assert all(s.loss is None for s in m.stress)


def test_a_position_without_a_price_leaves_the_whole_unknown() -> None:
    """What it is worth is not known, so neither is any sum it is part of."""
    m = measured(facts(MIXED | {"AMD": NAN}))
    assert (m.gross, m.beta, m.tails, m.components, m.limits) == (None, None, (), (), ())


def test_nothing_held_is_no_risk_and_no_tail() -> None:
    """Exposure is zero; a tail of nothing is not told."""
    m = measured(facts({}))
    assert (m.gross, m.net, m.beta, m.components, m.sectors) == (0.0, 0.0, 0.0, (), ())
    assert all(t.var is None for t in m.tails)
    assert [s.loss for s in m.stress] == [0.0] * len(SCENARIOS)


def test_how_much_of_each_limit_is_used() -> None:
    """Energy 35 of 40 %, AMD 30 of 30 % and so warned, leverage 0.75 of 2, net 0.55 of 1, heat 5 of 10 %."""
    m = measured(facts(MIXED, heat=0.05))
    uses = {use.limit: use for use in m.limits}
    assert uses["max_sector"].used == pytest.approx(0.875)
    assert uses["max_sector"].subject == "Energy"
    assert (uses["max_position"].subject, uses["max_position"].warn) == ("AMD", True)
    assert uses["max_leverage"].used == pytest.approx(0.375)
    assert uses["max_net"].used == pytest.approx(0.55)
    assert (uses["max_heat"].used, uses["max_heat"].warn) == (pytest.approx(0.5), False)
    assert "max_gross_value" not in uses  # it is off
    assert [use.used for use in m.limits] == sorted((use.used for use in m.limits), reverse=True)
    tail = m.tail(var.HISTORICAL, 0.95)
    assert tail is not None
    assert uses["max_var"].value == tail.var


def test_tighter_limits_by_name_are_the_ones_that_are_used_up() -> None:
    """XOM may be 25 % of equity: its 20 % use 80 % of that, more than AMD's 30 of a general 50 %."""
    limits = msgspec.structs.replace(
        LIMITS, max_position=0.5, symbols={"XOM": SymbolLimits(max_position=0.25)}, sectors={"Financials": 0.1}
    )
    uses = {use.limit: use for use in measured(facts(MIXED), limits=limits).limits}
    assert (uses["max_position"].subject, uses["max_position"].used) == ("XOM", pytest.approx(0.8))
    assert (uses["max_sector"].subject, uses["max_sector"].used) == ("Financials", pytest.approx(1.0))


def test_the_rolling_sharpe_ratio_is_of_thirty_sessions() -> None:
    """Mean over deviation by the root of 252, in excess of the rate; 29 sessions are none."""
    r = np.random.default_rng(3).normal(0.001, 0.01, 40)
    excess = r[-30:] - (1.02 ** (1 / 252) - 1)
    assert rolling_sharpe(r.tolist(), 0.02) == pytest.approx(excess.mean() / excess.std(ddof=1) * math.sqrt(252))
    assert rolling_sharpe(r[:29].tolist()) is None
    assert rolling_sharpe([0.01] * 30) is None


def test_drawdown_slippage_and_fills_are_passed_on() -> None:
    """10 % below the peak; 15 basis points; half of what was ordered."""
    day = Day(ordered=200, filled=100, traded=1000 * SCALE * SCALE, cost=SCALE * 3 // 2)
    m = measured(facts(MIXED, peak=100_000 / 0.9, day=day, heat=0.02))
    assert m.drawdown == pytest.approx(-0.1)
    assert (m.slippage, m.fill_rate, m.heat) == (pytest.approx(0.0015), pytest.approx(0.5), 0.02)


def test_a_later_session_changes_no_earlier_measure() -> None:
    """Measures of the first 260 sessions are the same whatever comes behind them."""
    r = history()
    later = r.copy()
    later[260:] *= -7.0
    assert measured(facts(MIXED), r[:260]) == measured(facts(MIXED), later[:260])


def test_many_positions_are_told_by_their_largest_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With three shown of four, those of the largest part; pairs of the two largest positions alone."""
    monkeypatch.setattr(measures, "TOP", 3)
    monkeypatch.setattr(measures, "CORRELATED_MAX", 2)
    m = measured(facts(MIXED))
    monkeypatch.undo()
    whole = measured(facts(MIXED))
    assert [c.symbol for c in m.components] == [c.symbol for c in whole.components][:3]
    assert m.closest is not None
    assert m.closest[:2] == ("XOM", "AMD")
