"""Moments, ratios and tail measures of a series of simple returns.

Conventions: ``r`` is a float64 array ``[n]`` of finite simple returns of session-close equity; ``periods`` is the
number of sessions a year (A); ``rf`` is the annual risk-free rate. A function answers None where its formula is not
defined (fewer than two values, or no dispersion), never 0, inf or a sentinel.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from actors.values.tails import (
    EPSILON,
    NORMAL,
    cvar_historical,
    cvar_normal,
    deviation,
    finite,
    is_flat,
    var_historical,
    var_normal,
)

__all__ = [
    "EPSILON",
    "NORMAL",
    "cagr",
    "cagr_calendar",
    "central_moments",
    "cvar_historical",
    "cvar_normal",
    "deviation",
    "downside_deviation",
    "finite",
    "is_flat",
    "omega",
    "per_period",
    "sortino",
    "tail_ratio",
    "var_historical",
    "var_normal",
    "wealth",
    "wilson",
]

F64 = npt.NDArray[np.float64]


def per_period(rf: float, periods: float) -> float:
    """Turn an annual rate into one per period: (1 + rf)^(1/A) - 1."""
    return float((1.0 + rf) ** (1.0 / periods) - 1.0)


def wealth(r: F64) -> F64:
    """Return the growth of 1, ``[n + 1]`` with the base point in front."""
    out = np.empty(r.size + 1)
    out[0] = 1.0
    np.cumprod(1.0 + r, out=out[1:])
    return out


def cagr(growth: float, n: int, periods: float) -> float | None:
    """Annualise a growth factor over ``n`` sessions; None for fewer than 2 sessions or a growth below zero."""
    if n < 2 or growth < 0:
        return None
    try:
        return finite(growth ** (periods / n) - 1.0)
    except OverflowError:
        return None


def cagr_calendar(growth: float, days: float) -> float | None:
    """Annualise a growth factor over calendar days, with a year of 365.25."""
    if days <= 0 or growth < 0:
        return None
    try:
        return finite(growth ** (365.25 / days) - 1.0)
    except OverflowError:
        return None


def downside_deviation(r: F64, target: float = 0.0) -> float | None:
    """Return the target downside deviation per period: the root of the mean over ALL n of min(r - T, 0)^2."""
    if r.size < 2:
        return None
    shortfall = np.minimum(r - target, 0.0)
    return float(math.sqrt(float(np.mean(shortfall * shortfall))))


def sortino(r: F64, periods: float, target: float = 0.0) -> float | None:
    """Return mean(r - T) / TDD * sqrt(A); None without any shortfall."""
    deviation_down = downside_deviation(r, target)
    if not deviation_down or is_flat(r):
        return None
    return finite(float(np.mean(r - target)) / deviation_down * math.sqrt(periods))


def omega(r: F64, threshold: float = 0.0) -> float | None:
    """Return the sum of gains over the sum of losses around a threshold."""
    if r.size < 2 or is_flat(r):
        return None
    excess = r - threshold
    losses = -float(excess[excess < 0].sum())
    return finite(float(excess[excess > 0].sum()) / losses) if losses > 0 else None


def tail_ratio(r: F64) -> float | None:
    """Return |q95| / |q05|, linear quantiles."""
    if r.size < 2 or is_flat(r):
        return None
    high, low = np.quantile(r, [0.95, 0.05])
    return finite(abs(high) / abs(low)) if low != 0 else None


def central_moments(r: F64) -> tuple[float, float] | None:
    """Return population skewness g1 and RAW kurtosis (3 for a normal)."""
    if r.size < 2 or is_flat(r):
        return None
    d = r - r.mean()
    square = d * d
    m2 = float(square.mean())
    skew, kurt = float((square * d).mean()) / m2**1.5, float((square * square).mean()) / (m2 * m2)
    return (skew, kurt) if math.isfinite(skew) and math.isfinite(kurt) else None


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """Return Wilson's (1927) interval for a proportion; None without trials."""
    if n < 1:
        return None
    z = NORMAL.inv_cdf(0.5 + level / 2.0)
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4.0 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
