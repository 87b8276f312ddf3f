"""Features of the price model: functions of the last 64 closes of a symbol, and of nothing else.

Scale-invariant by construction (ratios of prices, divided by the symbol's own volatility), so that split and dividend
adjustment of the whole history does not change them. Each symbol stands alone: the answer for one does not depend on
which others are in the universe.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

LOOKBACK: Final = 64
"""Closes needed: 63 returns."""

NAMES: Final = (
    "ret_1",
    "ret_5",
    "ret_21",
    "ret_63",
    "vol_5_63",
    "vol_21_63",
    "vol_63",
    "dist_mean_20",
    "dist_high_64",
)

_FLOOR: Final = 1e-6
"""Smallest daily volatility divided by: a price that never moves has no meaningful features but must not overflow."""


def price_features(close: F64) -> F64:
    """Return the features at the last row.

    Args:
        close: float64 ``[T, N]``, oldest first, T >= 64; only the last 64 rows are used.

    Returns:
        float64 ``[N, 9]`` in the order of :data:`NAMES`; NaN for a symbol with a gap in the 64 rows. ``ret_k`` is the
        log return over k bars over its expected size (volatility x sqrt k), ``vol_a_b`` the log ratio of volatilities
        over a and b bars, ``vol_63`` the log of the volatility per bar, ``dist_mean_20`` and ``dist_high_64`` the log
        distance from the 20-bar mean and the 64-bar high in volatilities.
    """
    logs = np.log(close[-LOOKBACK:])
    returns = logs[1:] - logs[:-1]
    vol_5 = np.maximum(_deviation(returns[-5:]), _FLOOR)
    vol_21 = np.maximum(_deviation(returns[-21:]), _FLOOR)
    vol_63 = np.maximum(_deviation(returns), _FLOOR)
    now = logs[-1]
    mean_20 = np.log(np.exp(logs[-20:] - now).mean(axis=0))
    return np.stack(
        [
            (now - logs[-2]) / vol_63,
            (now - logs[-6]) / (vol_63 * np.sqrt(5.0)),
            (now - logs[-22]) / (vol_63 * np.sqrt(21.0)),
            (now - logs[-64]) / (vol_63 * np.sqrt(63.0)),
            np.log(vol_5 / vol_63),
            np.log(vol_21 / vol_63),
            np.log(vol_63),
            -mean_20 / vol_63,
            (now - logs.max(axis=0)) / vol_63,
        ],
        axis=1,
    )


def _deviation(returns: F64) -> F64:
    """Return the sample standard deviation per column."""
    centred = returns - returns.mean(axis=0)
    deviation: F64 = np.sqrt((centred * centred).sum(axis=0) / (len(returns) - 1))
    return deviation
