"""Correlations of session returns, over the sessions two symbols have in common: the gate's limits and sizes use them.

Nothing is filled in: where a return is missing, the session does not count for the pair. The numbers are rounded to
nine digits and computed without BLAS, so that they are the same on every machine and with any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

_LARGE: Final = 1e100
_TINY: Final = 1e-100
_VARIES: Final = 1e-24
"""A mean square, as a part of the largest value's, from which on a column varies beyond all doubt."""

DIGITS: Final = 9
FLAT: Final = 4.0 * float(np.finfo(np.float64).eps)
"""A series whose range is at most this part of its size has no dispersion beyond rounding."""


def correlations(returns: F64, symbol: int, others: Sequence[int], least: int) -> list[float]:
    """Return Pearson's correlation of one symbol with each of others.

    Args:
        returns: ``[T, N]`` simple returns, NaN (or anything not finite) where there is none.
        symbol: column of the one.
        others: columns of the others; the symbol itself among them gives 1.
        least: common sessions without which nothing is known; at least 2 are always needed.

    Returns:
        One number from -1 to 1 for each of ``others``, rounded to nine digits; NaN where fewer than ``least`` sessions
        are common or one of the two does not vary over them.
    """
    if not len(others):
        return []
    columns = np.take(returns, [symbol, *others], axis=1)
    plain = _whole_columns(columns) if len(columns) >= max(least, 2) else None
    if plain is not None:
        return plain
    x = returns[:, symbol, None]
    y = np.take(returns, np.asarray(others, dtype=np.intp), axis=1)
    common = np.isfinite(x) & np.isfinite(y)
    count = np.count_nonzero(common, axis=0)
    divisor = np.maximum(count, 1)
    x, x_flat = centred(x, common, divisor)
    y, y_flat = centred(y, common, divisor)
    known = (count >= max(least, 2)) & ~x_flat & ~y_flat
    # Roots apart: the product of two sums of squares may be too small for a float where each is not.
    out = np.full(len(others), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is unknown
        size = np.sqrt(np.sum(x * x, axis=0)) * np.sqrt(np.sum(y * y, axis=0))
        known &= (size > 0.0) & np.isfinite(size)
        np.divide(np.sum(x * y, axis=0), size, out=out, where=known)
    rounded: list[float] = np.round(np.clip(out, -1.0, 1.0), DIGITS).tolist()
    return rounded


def _whole_columns(columns: F64) -> list[float] | None:
    """Return the correlations of the first column with the others, where nothing is missing and all of them vary."""
    size = float(np.abs(columns).max())
    if not (0.0 < size < _LARGE):  # also false for NaN
        return None
    x = columns - columns.mean(axis=0)
    squares = np.add.reduce(x * x, axis=0)
    # Far above what rounding leaves of a column that does not vary, and no product of two is too small for a float.
    if not squares.min() > _VARIES * len(columns) * max(size * size, _TINY):
        return None
    products = np.add.reduce(x[:, :1] * x[:, 1:], axis=0)
    found: list[float] = np.round(np.clip(products / np.sqrt(squares[0] * squares[1:]), -1.0, 1.0), DIGITS).tolist()
    return found


def centred(
    values: F64, common: npt.NDArray[np.bool_], count: npt.NDArray[np.intp]
) -> tuple[F64, npt.NDArray[np.bool_]]:
    """Return values less their mean over the common sessions, 0 elsewhere, and which columns do not vary."""
    present = np.where(common, values, 0.0)
    mean = present.sum(axis=0) / count
    high = np.where(common, values, -np.inf).max(axis=0, initial=-np.inf)
    low = np.where(common, values, np.inf).min(axis=0, initial=np.inf)
    flat = ~(high - low > FLAT * np.maximum(np.abs(high), np.abs(low)))
    return np.where(common, values - mean, 0.0), flat
