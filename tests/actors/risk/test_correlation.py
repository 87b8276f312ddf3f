"""Correlations, betas and deviations over the sessions that symbols have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.risk.correlation import betas, deviations, matrix
from actors.values.correlation import correlations

NAN = math.nan


def returns_with_holes(seed: int = 3, sessions: int = 120, symbols: int = 6) -> np.ndarray:
    """Return correlated returns with a tenth missing; the last column never moves."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0005, 0.01, (sessions, 1))
    found = market * rng.uniform(0.2, 1.5, symbols) + rng.normal(0, 0.01, (sessions, symbols))
    found[rng.random(found.shape) < 0.1] = NAN
    found[:, -1] = 0.001
    return found


def test_a_correlation_is_pearsons_over_the_common_sessions() -> None:
    """Against numpy on the rows both have."""
    r = returns_with_holes()
    for other, found in enumerate(correlations(r, 0, range(5), 40)):
        both = np.isfinite(r[:, 0]) & np.isfinite(r[:, other])
        assert found == pytest.approx(np.corrcoef(r[both, 0], r[both, other])[0, 1], abs=1e-9)


def test_by_hand() -> None:
    """Of x = 1, 2, 3 and y = 1, 3, 2: deviations -1, 0, 1 and -1, 1, 0, so 1 / (2 x 2)^.5 = 0.5; the opposite -0.5."""
    r = np.array([[1.0, 1.0, -1.0], [2.0, 3.0, -3.0], [3.0, 2.0, -2.0]])
    assert correlations(r, 0, [0, 1, 2], 3) == [1.0, 0.5, -0.5]


def test_too_few_common_sessions_are_unknown() -> None:
    """One session fewer than the least is no correlation, the least is one."""
    r = np.random.default_rng(1).normal(size=(60, 2))
    r[:20, 1] = NAN
    assert math.isfinite(correlations(r, 0, [1], 40)[0])
    r[20, 0] = NAN
    assert math.isnan(correlations(r, 0, [1], 40)[0])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, NAN])
def test_what_is_not_finite_is_no_common_session(bad: float) -> None:
    """It neither counts nor moves the rest."""
    r = np.random.default_rng(2).normal(size=(50, 2))
    without = correlations(r[1:], 0, [1], 10)
    r[0, 1] = bad
    assert correlations(r, 0, [1], 10) == without


def test_without_dispersion_there_is_no_correlation() -> None:
    """A constant series, also one whose constant is no binary fraction, and an empty history."""
    r = np.random.default_rng(2).normal(size=(50, 2))
    r[:, 1] = 0.1
    assert math.isnan(correlations(r, 0, [1], 10)[0])
    assert math.isnan(correlations(r[:0], 0, [1], 0)[0])
    assert correlations(r, 0, [], 10) == []


def test_what_overflows_is_unknown() -> None:
    """Returns whose squares are no floats any more raise no warning."""
    r = np.random.default_rng(2).normal(size=(50, 2)) * 1e200
    assert math.isnan(correlations(r, 0, [1], 10)[0])


def test_the_matrix_holds_the_same_correlations() -> None:
    """Pair by pair, with the same holes; symmetric, ones in the diagonal."""
    r = returns_with_holes()
    found = matrix(r, 40)
    rows = np.array([correlations(r, i, range(6), 40) for i in range(6)])
    np.testing.assert_allclose(found, rows, atol=2e-9)
    np.testing.assert_array_equal(found, found.T)
    assert found[0, 0] == 1.0


def test_the_matrix_of_complete_returns_is_that_of_numpy() -> None:
    """The quick way."""
    r = np.random.default_rng(5).normal(size=(90, 12))
    np.testing.assert_allclose(matrix(r, 40), np.corrcoef(r.T), atol=1e-12)
    assert np.isnan(matrix(r, 91)).all()


def test_a_beta_is_the_slope_over_the_common_sessions() -> None:
    """Covariance over the benchmark's variance; 300 columns, so that more than one block is computed."""
    rng = np.random.default_rng(7)
    market = rng.normal(size=100)
    r = market[:, None] * np.linspace(-1, 2, 300) + rng.normal(size=(100, 300))
    r[rng.random(r.shape) < 0.05] = NAN
    found = betas(r, market, 60)
    for i in (0, 150, 299):
        known = np.isfinite(r[:, i])
        assert found[i] == pytest.approx(np.cov(r[known, i], market[known])[0, 1] / np.var(market[known], ddof=1))
    assert np.isnan(betas(r, np.full(100, 0.01), 60)).all()
    assert np.isnan(betas(r[:59], market[:59], 60)).all()


def test_deviations_are_of_each_columns_own_sessions() -> None:
    """With ddof 1, unknown below the least."""
    r = returns_with_holes(symbols=4)
    found = deviations(r, 60)
    np.testing.assert_allclose(found[:3], np.nanstd(r[:, :3], axis=0, ddof=1))
    r[:61, 0] = NAN
    assert math.isnan(deviations(r, 60)[0])
