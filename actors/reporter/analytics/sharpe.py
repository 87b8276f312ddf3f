"""How much a Sharpe ratio is worth: its error, its probability, and what many trials make of it.

Everything here is per period; the caller annualises. ``kurt`` is RAW kurtosis (3 for a normal).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.basics import NORMAL, central_moments, finite, is_flat

F64 = npt.NDArray[np.float64]

EULER_GAMMA: Final = 0.5772156649015329
EXACT_TRIALS_BELOW: Final = 5  # the approximation is 8 % off at two trials


def _radicand(sr: float, skew: float, kurt: float) -> float | None:
    value = 1.0 - skew * sr + (kurt - 1.0) / 4.0 * sr * sr
    return value if value > 0 and math.isfinite(value) else None


def sharpe_error(sr: float, n: int, skew: float, kurt: float) -> float | None:
    """Return the standard error of a per-period Sharpe ratio (Mertens 2002; Bailey and Lopez de Prado 2012)."""
    radicand = _radicand(sr, skew, kurt)
    return None if n < 2 or radicand is None else math.sqrt(radicand / (n - 1))


def psr(sr: float, n: int, skew: float, kurt: float, benchmark_sr: float = 0.0) -> float | None:
    """Return the probability that the true Sharpe ratio exceeds ``benchmark_sr`` (Bailey and Lopez de Prado 2012)."""
    error = sharpe_error(sr, n, skew, kurt)
    return None if error is None else NORMAL.cdf((sr - benchmark_sr) / error)


def min_track_record(
    sr: float, skew: float, kurt: float, benchmark_sr: float = 0.0, level: float = 0.95
) -> float | None:
    """Return how many observations would make PSR reach ``level``; None unless sr > benchmark_sr."""
    radicand = _radicand(sr, skew, kurt)
    if radicand is None or sr <= benchmark_sr:
        return None
    ratio = NORMAL.inv_cdf(level) / (sr - benchmark_sr)
    return finite(1.0 + radicand * (ratio * ratio))


def expected_maximum(trials: int) -> float:
    """Return the expected maximum of ``trials`` independent standard normals.

    Below five trials by the integral of 1 - F^N over the right side less F^N over the left (trapezoid rule, error below
    1e-9); above by Gumbel's approximation, as in Bailey and Lopez de Prado (2014).
    """
    if trials < 1:
        message = f"a maximum needs at least one trial, not {trials}"
        raise ValueError(message)
    if trials == 1:
        return 0.0
    if trials < EXACT_TRIALS_BELOW:
        grid = np.linspace(-9.0, 9.0, 3601)
        density = trials * np.array([NORMAL.pdf(x) * NORMAL.cdf(x) ** (trials - 1) for x in grid.tolist()])
        return float(np.trapezoid(grid * density, grid))
    first, second = NORMAL.inv_cdf(1.0 - 1.0 / trials), NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return (1.0 - EULER_GAMMA) * first + EULER_GAMMA * second


def deflated_benchmark(trials: int, variance: float) -> float:
    """Return the Sharpe ratio expected of the best of ``trials`` tries without skill; ``variance`` is per period."""
    return math.sqrt(variance) * expected_maximum(trials)


def dsr(sr: float, n: int, skew: float, kurt: float, trials: int, variance: float) -> float | None:
    """Return the deflated Sharpe ratio: PSR against :func:`deflated_benchmark`."""
    return psr(sr, n, skew, kurt, deflated_benchmark(trials, variance))


def autocorrelations(r: F64, lags: int) -> F64:
    """Return sample autocorrelations of lags 1..``lags``."""
    d = r - r.mean()
    total = float(d @ d)
    return np.array([float(d[k:] @ d[:-k]) / total for k in range(1, lags + 1)])


def newey_west_lags(n: int) -> int:
    """Return the usual bandwidth floor(4 (n/100)^(2/9)), less than n."""
    return max(0, min(n - 2, math.floor(4.0 * math.pow(n / 100.0, 2.0 / 9.0))))


def eta(r: F64, q: int, lags: int | None = None) -> float | None:
    """Return Lo's (2002) factor from a per-period to a q-period Sharpe ratio: q / sqrt(q + 2 sum (q-k) rho_k).

    ``lags`` bounds the autocorrelations used (default all q - 1); sqrt(q) where they are zero.
    """
    used = min(q - 1 if lags is None else lags, q - 1, r.size - 2)
    if r.size < 3 or is_flat(r) or used < 0:
        return None
    weights = q - np.arange(1, used + 1)
    radicand = q + 2.0 * float(weights @ autocorrelations(r, used)) if used else float(q)
    return q / math.sqrt(radicand) if radicand > 0 else None


def moments(r: F64, rf_period: float = 0.0) -> tuple[float, int, float, float] | None:
    """Return (per-period Sharpe, n, skew, raw kurtosis) of excess returns; None where they have no dispersion."""
    shape = central_moments(r)
    if shape is None:
        return None
    excess = r - rf_period
    return float(excess.mean() / excess.std(ddof=1)), int(r.size), shape[0], shape[1]
