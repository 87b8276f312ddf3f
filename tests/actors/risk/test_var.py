"""Value at risk and expected shortfall: by hand, by law, and three methods against each other."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.risk import var
from actors.risk.var import HISTORICAL, MONTECARLO, NORMAL_METHOD, Sample

NAN = math.nan
NORMAL = NormalDist()
STEPS = np.array([-k / 1000 for k in range(1, 61)])
"""Losses of 0.1 % to 6 %: sixty sessions, the fewest of which anything is known."""


def returns(sessions: int = 300, symbols: int = 5, seed: int = 11) -> np.ndarray:
    """Return correlated returns."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0004, 0.01, (sessions, 1))
    return market * np.linspace(0.5, 1.5, symbols) + rng.normal(0, 0.012, (sessions, symbols))


def sample(r: np.ndarray) -> Sample:
    """Return all columns as a sample."""
    return Sample(r, np.arange(r.shape[1]))


def test_historical_by_hand() -> None:
    """Sixty losses 0.1 % to 6.0 %.

    95 %: the 5 % quantile lies at 0.05 x 59 = 2.95, so 0.95 of the way from 5.8 % to 5.7 %: 5.705 %. The worst
    0.05 x 60 = 3 sessions lost 6.0, 5.9 and 5.8 %: 5.9 %. 99 %: 0.59 of the way from 6.0 to 5.9 %: 5.941 %; of the
    worst 0.6 sessions the loss is 6.0 %.
    """
    assert var.historical(STEPS, 0.95) == pytest.approx(0.05705)
    assert var.historical_es(STEPS, 0.95) == pytest.approx(0.059)
    assert var.historical(STEPS, 0.99) == pytest.approx(0.05941)
    assert var.historical_es(STEPS, 0.99) == pytest.approx(0.06)


def test_normal_by_hand() -> None:
    """Sixty sessions of +1 % and -1 % in turn: mean 0, deviation (ddof 1) 1 % x sqrt(60 / 59).

    95 %: 1.644854 of it; shortfall phi(1.644854) / 0.05 = 2.062713 of it.
    """
    pnl = np.array([0.01, -0.01] * 30)
    sd = 0.01 * math.sqrt(60 / 59)
    assert var.normal(pnl, 0.95) == pytest.approx(1.6448536 * sd, rel=1e-7)
    assert var.normal_es(pnl, 0.95) == pytest.approx(2.0627128 * sd, rel=1e-7)
    assert var.normal(pnl + 0.002, 0.95) == pytest.approx(1.6448536 * sd - 0.002, rel=1e-6)


@pytest.mark.parametrize("function", [var.historical, var.historical_es, var.normal, var.normal_es])
def test_fewer_than_sixty_observations_are_unknown(function: object) -> None:
    """59 are None, not zero; 60 are a number."""
    assert callable(function)
    assert function(STEPS[:59], 0.95) is None
    assert function(STEPS, 0.95) is not None


def test_ten_sessions_of_a_normal_are_ten_means_and_the_root_of_ten_deviations() -> None:
    """And the result says so."""
    (tail,) = var.tails_of_normal(0.001, 0.01, [0.99], 10, 250)
    assert tail.var == pytest.approx(-NORMAL.inv_cdf(0.01) * 0.01 * math.sqrt(10) - 0.01)
    assert tail.scaling == "mean times 10, deviation times the root of 10"
    assert var.tails_of_normal(0.001, 0.01, [0.99], 1, 59)[0].var is None


def test_historical_windows_overlap_and_compound() -> None:
    """Windows of two sessions over 10 %, -10 %, 20 %: 1.1 x 0.9 - 1 = -1 % and 0.9 x 1.2 - 1 = 8 %."""
    found = sample(np.array([[0.1], [-0.1], [0.2]])).windows(2)
    np.testing.assert_allclose(found, [[-0.01], [0.08]])
    assert len(sample(np.array([[0.1]])).windows(2)) == 0


def test_a_window_across_a_hole_is_none() -> None:
    """Ten consecutive common sessions are needed: a hole in the middle takes the windows that touch it."""
    r = returns(100, 2)
    r[50, 1] = NAN
    held = sample(r)
    assert held.n == 99
    assert len(held.windows(10)) == 91 - 10
    np.testing.assert_allclose(held.windows(10)[0], np.prod(1 + r[:10], axis=0) - 1)


def test_only_sessions_common_to_what_is_held_count() -> None:
    """A symbol that is not held may have any holes; one that is held takes its own away."""
    r = returns(100, 3)
    r[:30, 2] = NAN
    assert Sample(r, np.array([0, 1])).n == 100
    assert Sample(r, np.array([0, 2])).n == 70
    assert var.portfolio_returns(r, np.array([0.5, 0.5, 0.0])).size == 100
    assert var.portfolio_returns(r, np.array([0.5, 0.0, 0.1])).size == 70
    assert Sample(r, np.array([], dtype=np.intp)).n == 0


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_weight_that_is_no_number_leaves_nothing_known(bad: float) -> None:
    """The gate's question answers with no sessions."""
    assert var.portfolio_returns(returns(100, 2), np.array([0.5, bad])).size == 0
    assert var.portfolio_returns(returns(100, 2), np.zeros(2)).size == 0


@settings(deadline=None)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=60, max_size=150),
    st.floats(0.5, 0.999),
)
def test_shortfall_is_never_below_the_value_at_risk(values: list[float], level: float) -> None:
    """Whatever the series, by each way of looking at it."""
    pnl = np.array(values)
    (tail,) = var.tails_of_sorted(HISTORICAL, np.sort(pnl), [level], 1, pnl.size)
    assert tail.var is not None
    assert tail.es is not None
    assert tail.es >= tail.var
    assert var.historical(pnl, level) == tail.var
    found = var.normal(pnl, level), var.normal_es(pnl, level)
    assert found[0] is not None
    assert found[1] is not None
    assert found[1] >= found[0] - 1e-12


@pytest.mark.parametrize("method", [HISTORICAL, NORMAL_METHOD])
@pytest.mark.parametrize("horizon", [1, 10])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_parts_sum_to_the_whole(method: str, horizon: int, level: float) -> None:
    """Of value at risk and of shortfall, long and short together."""
    held, weights = sample(returns()), np.array([0.4, -0.3, 0.2, 0.5, -0.1])
    whole = next(
        t
        for t in var.tails(held, weights, levels=[level], horizons=[horizon])
        if (t.method, t.horizon) == (method, horizon)
    )
    found = var.parts(held, weights, method, level, horizon)
    assert found is not None
    assert found.var.sum() == pytest.approx(whole.var, rel=1e-12)
    assert found.es.sum() == pytest.approx(whole.es, rel=1e-12)
    np.testing.assert_allclose(found.marginal * weights, found.var, rtol=1e-12)


@pytest.mark.parametrize("method", [HISTORICAL, NORMAL_METHOD])
def test_a_marginal_value_is_the_slope_of_the_whole(method: str) -> None:
    """A weight that grows by 1e-7 moves the value at risk by that much of its marginal value."""
    held, weights = sample(returns(250)), np.array([0.3, 0.3, 0.2, 0.1, 0.1])
    found = var.parts(held, weights, method, 0.95)
    assert found is not None
    function = var.historical if method == HISTORICAL else var.normal
    for i in range(5):
        moved = weights.copy()
        moved[i] += 1e-7
        up, base = function(held.returns @ moved, 0.95), function(held.returns @ weights, 0.95)
        assert up is not None
        assert base is not None
        assert (up - base) / 1e-7 == pytest.approx(found.marginal[i], rel=1e-4, abs=1e-6)


def test_parts_of_too_few_sessions_are_unknown_and_monte_carlo_has_none() -> None:
    """None, and a refusal."""
    held, weights = sample(returns(59)), np.full(5, 0.2)
    assert var.parts(held, weights, HISTORICAL, 0.95) is None
    assert var.parts(held, weights, NORMAL_METHOD, 0.95) is None
    with pytest.raises(ValueError, match="has no parts"):
        var.parts(held, weights, MONTECARLO, 0.95)


def test_three_methods_agree_on_a_normal_series_within_their_errors() -> None:
    """Returns that are normal by construction, 40,000 sessions, against the true quantile.

    The quantile of n draws has the standard error sqrt(p (1 - p) / n) / density; the mean's and the deviation's are
    1 / sqrt(n) and 1 / sqrt(2 n) deviations, so the normal's is sqrt(1 + z^2 / 2) / sqrt(n). Four of each are allowed.
    """
    n, draws, sd, mean = 40_000, 400_000, 0.01, 0.0005
    rng = np.random.default_rng(20)
    r = rng.normal(mean, sd, (n, 1))
    held, weights = sample(r), np.ones(1)
    covariance = np.atleast_2d(np.var(r, ddof=1))
    moves = var.montecarlo(r.mean(axis=0), var.factor_of(covariance), weights, draws, np.random.default_rng(21))
    for level in (0.95, 0.99):
        p, z = 1 - level, -NORMAL.inv_cdf(1 - level)
        true = z * sd - mean
        of_quantile = math.sqrt(p * level) / NORMAL.pdf(z) * sd
        of_normal = math.sqrt(1 + z * z / 2) * sd / math.sqrt(n)
        by_method = {t.method: t for t in var.tails(held, weights, levels=[level], horizons=[1])}
        historical, normal = by_method[HISTORICAL].var, by_method[NORMAL_METHOD].var
        (simulated,) = var.tails_of_sorted(MONTECARLO, moves, [level], 1, n)
        assert historical == pytest.approx(true, abs=4 * of_quantile / math.sqrt(n))
        assert normal == pytest.approx(true, abs=4 * of_normal)
        assert simulated.var == pytest.approx(normal, abs=4 * of_quantile / math.sqrt(draws))
        shortfall = NORMAL.pdf(z) / p * sd - mean
        for tail in (by_method[HISTORICAL], by_method[NORMAL_METHOD], simulated):
            assert tail.es == pytest.approx(shortfall, rel=0.03)


def test_monte_carlo_of_many_symbols_is_the_normal_of_the_portfolio() -> None:
    """By eigenvalues, and with the returns themselves as the factor; ten sessions as a normal's."""
    r = returns(400, 8)
    held, weights = sample(r), np.linspace(-0.3, 0.6, 8)
    pnl = r @ weights
    factor = var.factor_of(np.cov(r.T))
    assert np.allclose(factor @ factor.T, np.cov(r.T))
    own = (r - r.mean(axis=0)).T / math.sqrt(len(r) - 1)
    for used in (factor, own):
        moves = var.montecarlo(r.mean(axis=0), used, weights, 200_000, np.random.default_rng(1), 10)
        assert float(moves.std()) == pytest.approx(pnl.std(ddof=1) * math.sqrt(10), rel=0.01)
        assert float(moves.mean()) == pytest.approx(pnl.mean() * 10, abs=1e-12)
    half = np.random.default_rng(2).standard_normal((100_000, 400))
    found = {(t.method, t.level, t.horizon): t.var for t in var.tails(held, weights, half=half)}
    for level in (0.95, 0.99):
        for horizon in (1, 10):
            assert found[MONTECARLO, level, horizon] == pytest.approx(found[NORMAL_METHOD, level, horizon], rel=0.02)


def test_a_semi_definite_covariance_has_a_factor() -> None:
    """Two symbols that are one, and a matrix that rounding has pushed below zero."""
    twins = np.array([[4.0, 4.0], [4.0, 4.0]])
    assert np.allclose(var.factor_of(twins) @ var.factor_of(twins).T, twins)
    nearly = np.array([[1.0, 1.0 + 1e-12], [1.0 + 1e-12, 1.0]])
    assert np.isfinite(var.factor_of(nearly)).all()


def test_the_same_seed_draws_the_same() -> None:
    """Monte Carlo depends on its generator only."""
    args = np.zeros(2), np.eye(2), np.array([0.5, 0.5]), 1001
    first = var.montecarlo(*args, np.random.default_rng(5))
    assert first.size == 1002
    np.testing.assert_array_equal(first, var.montecarlo(*args, np.random.default_rng(5)))
    assert not np.array_equal(first, var.montecarlo(*args, np.random.default_rng(6)))


def test_a_series_that_never_moves_has_the_loss_it_has() -> None:
    """No deviation: the value at risk is minus the mean, by every method, and its parts still sum."""
    r = np.full((100, 2), -0.001)
    held, weights = sample(r), np.array([0.5, 0.5])
    for tail in var.tails(held, weights, half=np.random.default_rng(1).standard_normal((100, 100)), horizons=[1]):
        assert tail.var == pytest.approx(0.001)
        assert tail.es == pytest.approx(0.001)
    found = var.parts(held, weights, NORMAL_METHOD, 0.95)
    assert found is not None
    assert found.var.sum() == pytest.approx(0.001)
