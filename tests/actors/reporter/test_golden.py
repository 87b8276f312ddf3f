"""Golden values: worked examples of the papers and hand-checked series."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.reporter.analytics import basics, predictions, sharpe
from actors.reporter.analytics.definitions import DEFINITIONS
from actors.reporter.analytics.drawdown import deepest, ulcer_index
from actors.reporter.analytics.metrics import MetricInputs, compute

Q = np.array([0.01, -0.02, 0.03, -0.01, 0.005, -0.015, 0.02, 0, -0.005, 0.012])
RED_ROCK = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04])
CONTRACT = """
total_return cagr cagr_calendar annual_return_arithmetic volatility downside_deviation sharpe sharpe_ci_low
sharpe_ci_high sortino calmar max_drawdown max_drawdown_sessions max_drawdown_days time_under_water
ulcer_index upi omega tail_ratio skew kurtosis_excess var_95 cvar_95 var_99 cvar_99 var_95_normal
cvar_95_normal psr dsr min_trl alpha beta r_squared correlation tracking_error information_ratio treynor
num_trades win_rate profit_factor payoff_ratio expectancy avg_win avg_loss avg_trade largest_win largest_loss
max_consecutive_wins max_consecutive_losses recovery_factor avg_holding_sessions turnover exposure_gross
exposure_net time_in_market commission_total slippage_total
"""


def exactly(value: float) -> object:
    """Equal but for the last bit or two."""
    return pytest.approx(value, rel=4e-15, abs=1e-16)


def test_every_name_of_the_contract_has_a_definition_and_an_answer() -> None:
    """No name of the fixed list is missing, and each carries its definition id and n."""
    found, names = compute(MetricInputs(Q)), CONTRACT.split()
    assert len(names) == 57
    assert [name for name in names if name not in DEFINITIONS] == []
    assert all(found[name]["definition"] == f"{name}/1" for name in names)
    assert all(set(entry) >= {"value", "definition", "n"} for entry in found.values())


def test_ten_returns() -> None:
    """The ten-return series gives the published values."""
    found = {name: entry["value"] for name, entry in compute(MetricInputs(Q, periods=252)).items()}
    assert found["sharpe"] == 2.7131308858869154
    assert found["sortino"] == exactly(4.949181750552307)
    assert found["max_drawdown"] == exactly(-0.02)
    assert found["ulcer_index"] == exactly(0.009765292963227685)
    assert found["omega"] == exactly(1.54)
    assert found["tail_ratio"] == exactly(1.4366197183098586)
    assert found["var_95"] == exactly(0.01775)
    assert found["cvar_95"] == exactly(0.02)


def test_sortino_of_red_rock_and_not_its_wrong_variants() -> None:
    """The downside deviation runs over all n, not over the losers."""
    assert basics.downside_deviation(RED_ROCK) == exactly(0.022638462845343543)
    value = basics.sortino(RED_ROCK, 1.0)
    assert value == exactly(4.417261042993862)
    for wrong in (14.142, 20.0, 2.2086):
        assert abs(value - wrong) > 1


@pytest.mark.parametrize(("trials", "expected"), [(100, 0.9003968344493903), (46, 0.9505017068755787)])
def test_deflated_sharpe_of_the_paper(trials: int, expected: float) -> None:
    """Bailey and Lopez de Prado 2014: SR 2.5 a year, 1,250 days, skew -3, kurtosis 10."""
    value = sharpe.dsr(2.5 / math.sqrt(250), 1250, -3.0, 10.0, trials, 0.5 / 250)
    assert value == pytest.approx(expected, abs=1e-14)


def test_deflated_benchmark_of_the_paper() -> None:
    """The benchmark of 100 trials."""
    assert sharpe.deflated_benchmark(100, 0.5 / 250) == exactly(0.11317200186513214)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi)), (4, 1.0293753730039641)],
)
def test_few_trials_use_the_exact_expectation(trials: int, expected: float) -> None:
    """Below five trials the expected maximum is exact, where the approximation is not."""
    assert sharpe.expected_maximum(trials) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("trials", "expected"), [(10, 1.5746), (100, 2.5306), (1000, 3.2551)])
def test_many_trials_use_the_approximation(trials: int, expected: float) -> None:
    """From five trials on Gumbel's approximation, as published."""
    assert sharpe.expected_maximum(trials) == pytest.approx(expected, abs=5e-5)


def test_minimum_track_record_of_a_sharpe_ratio_of_one() -> None:
    """A normal Sharpe ratio of 1 a year needs 684.15 days."""
    assert sharpe.min_track_record(1 / math.sqrt(252), 0.0, 3.0) == pytest.approx(684.15, abs=0.005)


def test_brier_and_log_loss() -> None:
    """Five forecasts by hand."""
    p, y = np.array([0.9, 0.8, 0.3, 0.6, 0.1]), np.array([1.0, 1, 0, 0, 0])
    assert predictions.brier(p, y) == exactly(0.102)
    assert predictions.log_loss(p, y) == pytest.approx(0.34136605168855, abs=1e-14)


def test_first_day_loss_counts_because_the_base_point_is_in() -> None:
    """A loss on the first day is a drawdown from the starting cash."""
    index = basics.wealth(np.array([-0.1, 0.0]))
    episode = deepest(index)
    assert episode is not None
    assert (episode.depth, episode.peak, episode.ongoing) == (pytest.approx(-0.1), 0, True)
    assert ulcer_index(index) == pytest.approx(0.1)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [0.001] * 50])
def test_too_short_or_flat_gives_null_ratios(returns: list[float]) -> None:
    """Fewer than two values or no dispersion is null: no zero, no infinity, no sentinel."""
    found = compute(MetricInputs(np.array(returns), rf=0.02))
    for name in ("sharpe", "sharpe_ci_low", "sortino", "omega", "tail_ratio", "skew", "psr", "min_trl", "calmar"):
        assert found[name]["value"] is None, name


def test_flat_series_has_exactly_no_volatility() -> None:
    """The deviation of identical floats is zero, not 4e-17."""
    assert compute(MetricInputs(np.full(30, 0.1)))["volatility"]["value"] == 0.0


def test_confidence_interval_is_the_psr_error() -> None:
    """PSR against the low end of the 95 % interval is 97.5 %."""
    found = {name: entry["value"] for name, entry in compute(MetricInputs(Q)).items()}
    moments = sharpe.moments(Q)
    assert moments is not None
    sr, n, skew, kurt = moments
    assert sharpe.psr(sr, n, skew, kurt, found["sharpe_ci_low"] / math.sqrt(252)) == pytest.approx(0.975)


def test_psr_uses_the_same_excess_returns_as_the_sharpe_ratio() -> None:
    """With a risk-free rate above the mean return both say so."""
    found = compute(MetricInputs(Q, rf=2.0))
    assert found["sharpe"]["value"] < 0
    assert found["psr"]["value"] < 0.5


def test_lo_factor_is_the_root_of_q_without_autocorrelation() -> None:
    """Lo's factor: sqrt(q) for uncorrelated returns, less with positive autocorrelation."""
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, 40_000)
    assert sharpe.eta(noise, 12) == pytest.approx(math.sqrt(12), rel=0.03)
    smooth = np.convolve(noise, np.ones(5) / 5, mode="valid")
    factor = sharpe.eta(smooth, 12)
    assert factor is not None
    assert factor < 0.75 * math.sqrt(12)
