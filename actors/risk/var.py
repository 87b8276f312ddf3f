"""Value at risk and expected shortfall of what is held, by three methods, with their parts.

Positive = loss, as a fraction of the equity the weights refer to; the mean is included, deviations have ddof 1
(``semantics.md`` section 4). Below :data:`LEAST` observations nothing is known, which is None and never zero.

- *historical*: today's weights on the returns that were. Over ``h`` sessions each symbol's return is compounded over
  every overlapping window of ``h`` consecutive sessions.
- *normal*: mean and deviation of the same one-session series; over ``h`` sessions the mean times ``h``, the deviation
  times its root.
- *Monte Carlo*: draws of a multivariate normal with the sample's mean and covariance; over ``h`` sessions the sum of
  ``h`` independent ones.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from actors.values.tails import cvar_historical, cvar_normal, var_historical, var_normal

F64 = npt.NDArray[np.float64]

LEAST: Final = 60
"""Observations without which a tail is unknown."""


def portfolio_returns(returns: F64, weights: F64) -> F64:
    """Return what the weights would have earned in each session common to all that is held.

    Args:
        returns: ``[T, N]`` simple returns, NaN where there is none.
        weights: ``[N]`` signed values over equity; 0 for what is not held.

    Returns:
        ``[n]`` with ``n <= T``, oldest first; empty where nothing is held or a weight is not finite. No BLAS is used.
    """
    held = np.flatnonzero(weights)
    if not held.size or not np.isfinite(weights).all():
        return np.empty(0)
    of_held = returns if held.size == weights.size else returns[:, held]
    series: F64 = np.einsum("tn,n->t", of_held, weights[held])
    return series[np.isfinite(series)]


def historical(pnl: F64, level: float) -> float | None:
    """Return the historical value at risk of a series ``[T]`` of finite returns or profits; None for fewer than 60.

    Args:
        pnl: one value a session.
        level: 0.95 for the loss exceeded in 5 % of sessions.
    """
    return var_historical(pnl, 1.0 - level) if pnl.size >= LEAST else None


def historical_es(pnl: F64, level: float) -> float | None:
    """Return the mean of the losses beyond: the worst ``(1 - level) * n`` outcomes, the last in part."""
    return cvar_historical(pnl, 1.0 - level) if pnl.size >= LEAST else None


def normal(pnl: F64, level: float) -> float | None:
    """Return the value at risk of a normal with the mean and deviation of the series."""
    return var_normal(pnl, 1.0 - level) if pnl.size >= LEAST else None


def normal_es(pnl: F64, level: float) -> float | None:
    """Return the expected loss beyond :func:`normal`."""
    return cvar_normal(pnl, 1.0 - level) if pnl.size >= LEAST else None
