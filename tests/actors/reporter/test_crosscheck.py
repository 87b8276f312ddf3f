"""Agreement with empyrical-reloaded where it is right, and documented disagreement where it is not."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from actors.reporter.analytics.metrics import MetricInputs, compute

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ep = pytest.importorskip("empyrical", reason="cross-check needs empyrical-reloaded from the test extra")


@pytest.fixture(scope="module")
def series() -> tuple[np.ndarray, np.ndarray]:
    """Three years of fat-tailed returns with a benchmark of beta 0.87."""
    rng = np.random.default_rng(7)
    b = rng.standard_t(4, 756) * 0.0075
    return 0.87 * b + rng.standard_t(4, 756) * 0.004 + 0.0001, b


@pytest.mark.filterwarnings("ignore")
def test_agrees_where_definitions_are_the_same(series: tuple[np.ndarray, np.ndarray]) -> None:
    """The standard measures agree to rounding."""
    r, b = series
    ours = {name: entry["value"] for name, entry in compute(MetricInputs(r, benchmark=b)).items()}
    theirs = {
        "total_return": ep.cum_returns_final(r),
        "cagr": ep.cagr(r),
        "volatility": ep.annual_volatility(r),
        "sharpe": ep.sharpe_ratio(r),
        "sortino": ep.sortino_ratio(r),
        "downside_deviation": ep.downside_risk(r),
        "max_drawdown": ep.max_drawdown(r),
        "calmar": ep.calmar_ratio(r),
        "omega": ep.omega_ratio(r),
        "tail_ratio": ep.tail_ratio(r),
        "var_95": -ep.value_at_risk(r),
        "beta": ep.beta(r, b),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.filterwarnings("ignore")
def test_information_ratio_is_annualised_unlike_theirs(series: tuple[np.ndarray, np.ndarray]) -> None:
    """Their excess_sharpe is per day; ours is sqrt(252) times that."""
    r, b = series
    ours = compute(MetricInputs(r, benchmark=b))["information_ratio"]["value"]
    assert ours == pytest.approx(ep.excess_sharpe(r, b) * math.sqrt(252), rel=1e-9)
    assert ours != pytest.approx(ep.excess_sharpe(r, b), rel=1e-2)


@pytest.mark.filterwarnings("ignore")
def test_alpha_is_arithmetic_unlike_theirs(series: tuple[np.ndarray, np.ndarray]) -> None:
    """They compound the daily alpha; ours is alpha times 252, the unit of the regression."""
    r, b = series
    ours = compute(MetricInputs(r, benchmark=b))["alpha"]["value"]
    assert (1 + ours / 252) ** 252 - 1 == pytest.approx(ep.alpha(r, b), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_cvar_takes_part_of_the_last_outcome_unlike_theirs() -> None:
    """With a fractional tail count empyrical rounds the tail, ours weighs its last outcome; equal on whole counts."""
    rng = np.random.default_rng(3)
    whole, part = rng.normal(0, 0.01, 100), rng.normal(0, 0.01, 110)
    ours_whole, ours_part = (compute(MetricInputs(r))["cvar_95"]["value"] for r in (whole, part))
    assert ours_whole == pytest.approx(-np.sort(whole)[:5].mean())
    worst = -np.sort(part)
    assert ours_part == pytest.approx((worst[:5].sum() + 0.5 * worst[5]) / 5.5)
    assert ours_part != pytest.approx(-ep.conditional_value_at_risk(part), rel=1e-6)
