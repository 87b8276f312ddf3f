"""A series against a benchmark."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.basics import finite, is_flat
from actors.reporter.analytics.sharpe import newey_west_lags

F64 = npt.NDArray[np.float64]


class Fit(msgspec.Struct, frozen=True):
    """Ordinary least squares of excess returns on excess benchmark returns, per period.

    ``alpha_t`` and ``beta_t`` are Newey-West t-statistics (Bartlett kernel, ``lags`` lags), None for an exact fit.
    """

    alpha: float
    beta: float
    alpha_t: float | None
    beta_t: float | None
    r_squared: float | None
    correlation: float | None
    lags: int
    n: int


def ols_hac(y: F64, x: F64) -> Fit | None:
    """Fit y = alpha + beta x; None for fewer than three pairs or a flat x."""
    n = int(y.size)
    if n < 3 or is_flat(x):
        return None
    dx, dy = x - x.mean(), y - y.mean()
    sxx = float(dx @ dx)
    beta = float(dx @ dy) / sxx
    alpha = float(y.mean()) - beta * float(x.mean())
    correlation = None if is_flat(y) else finite(float(dx @ dy) / math.sqrt(sxx * float(dy @ dy)))
    lags = newey_west_lags(n)
    design = np.column_stack((np.ones(n), x))
    scores = design * (y - alpha - beta * x)[:, None]
    middle = scores.T @ scores
    for k in range(1, lags + 1):
        cross = scores[k:].T @ scores[:-k]
        middle += (1.0 - k / (lags + 1.0)) * (cross + cross.T)
    bread = np.linalg.inv(design.T @ design)
    covariance = bread @ middle @ bread
    alpha_t, beta_t = (
        _t(value, float(covariance[i, i]), float(np.abs(y).max())) for i, value in enumerate((alpha, beta))
    )
    r_squared = None if correlation is None else correlation * correlation
    return Fit(alpha, beta, alpha_t, beta_t, r_squared, correlation, lags, n)


def _t(value: float, variance: float, scale: float) -> float | None:
    # An exact fit leaves only rounding in its residuals: no error, so no t-statistic.
    return value / math.sqrt(variance) if variance > (1e-12 * scale) ** 2 else None


def mean_t_hac(values: F64) -> tuple[float, float] | None:
    """Return (mean, Newey-West standard error of the mean); None for fewer than two values or no dispersion."""
    n = int(values.size)
    if n < 2 or is_flat(values):
        return None
    d = values - values.mean()
    lags = newey_west_lags(n)
    total = float(d @ d)
    for k in range(1, lags + 1):
        total += 2.0 * (1.0 - k / (lags + 1.0)) * float(d[k:] @ d[:-k])
    return float(values.mean()), math.sqrt(max(total, 0.0)) / n


def tracking_error(y: F64, x: F64, periods: float) -> float | None:
    """Return std(y - x, ddof=1) * sqrt(A)."""
    if y.size < 2:
        return None
    difference = y - x
    if is_flat(difference, float(np.abs(y).max())):
        return 0.0
    return float(difference.std(ddof=1)) * math.sqrt(periods)


def information_ratio(y: F64, x: F64, periods: float) -> float | None:
    """Return mean(y - x) * A / tracking error: annualised, which most libraries do not do."""
    error = tracking_error(y, x, periods)
    return finite(float(np.mean(y - x)) * periods / error) if error else None
