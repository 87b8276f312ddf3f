"""Correlations of all pairs, betas and deviations of session returns, for people to look at.

What decides is :mod:`actors.values.correlation`.
Nothing is filled in: where a return is missing, the session does not count for the pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from actors.values.correlation import DIGITS, FLAT, centred

__all__ = ["DIGITS", "betas", "blocks", "deviations", "matrix"]

F64 = npt.NDArray[np.float64]


def matrix(returns: F64, least: int) -> F64:
    """Return Pearson's correlations ``[N, N]`` of all pairs, each over the sessions the two have in common.

    Args:
        returns: ``[T, N]`` simple returns, NaN (or anything not finite) where there is none.
        least: common sessions without which a pair is unknown; at least 2 are always needed.

    Returns:
        A symmetric matrix with ones where a symbol varies; NaN where :func:`actors.values.correlation.correlations` has
        one. By BLAS: for people to look at, the last digits may differ between machines.
    """
    known = np.isfinite(returns)
    count = np.count_nonzero(known, axis=0)
    least = max(least, 2)
    # Less its own mean first: products of what is far from zero would lose the digits that matter.
    mean = np.where(known, returns, 0.0).sum(axis=0) / np.maximum(count, 1)
    x = np.where(known, returns - mean, 0.0)
    high = np.where(known, returns, -np.inf).max(axis=0, initial=-np.inf)
    low = np.where(known, returns, np.inf).min(axis=0, initial=np.inf)
    varies = high - low > FLAT * np.maximum(np.abs(high), np.abs(low))
    if known.all():
        return _whole(x, varies & (count >= least))
    m = known.astype(np.float64)
    n = m.T @ m
    sums = x.T @ m  # [i, j]: of i over the sessions common with j
    squares = (x * x).T @ m
    safe = np.maximum(n, 1.0)
    spread = np.maximum(squares - sums * sums / safe, 0.0)
    product = x.T @ x - sums * sums.T / safe
    size = np.sqrt(spread) * np.sqrt(spread.T)
    # What is left of a sum of squares by rounding alone is no dispersion.
    real = (spread > 1e-12 * squares) & (spread.T > 1e-12 * squares.T)
    out = np.full(size.shape, np.nan)
    good = (n >= least) & real & (size > 0.0) & varies[:, None] & varies
    np.divide(product, size, out=out, where=good)
    return _tidied(out)


def _whole(x: F64, known: npt.NDArray[np.bool_]) -> F64:
    """Return the correlations of centred columns without holes; NaN in rows and columns that are not known."""
    size = np.sqrt(np.einsum("tn,tn->n", x, x))
    known = known & (size > 0.0)
    unit = x / np.where(known, size, 1.0)
    out: F64 = unit.T @ unit
    if not known.all():
        out[~known] = np.nan
        out[:, ~known] = np.nan
    return _tidied(out)


def _tidied(out: F64) -> F64:
    np.clip(out, -1.0, 1.0, out=out)
    diagonal = np.einsum("ii->i", out)
    diagonal[np.isfinite(diagonal)] = 1.0
    return out


def betas(returns: F64, benchmark: F64, least: int) -> F64:
    """Return the slope of each symbol's returns on a benchmark's, over the sessions the two have in common.

    Args:
        returns: ``[T, N]`` simple returns, NaN where there is none.
        benchmark: ``[T]`` those of the benchmark.
        least: common sessions without which nothing is known; at least 2 are always needed.

    Returns:
        ``[N]``; NaN where it is not known or the benchmark does not vary over the common sessions.
    """
    out = np.full(returns.shape[1], np.nan)
    for columns in blocks(returns.shape[1]):
        part = returns[:, columns]
        common = np.isfinite(benchmark)[:, None] & np.isfinite(part)
        count = np.count_nonzero(common, axis=0)
        x, flat = centred(benchmark[:, None], common, np.maximum(count, 1))
        y = np.where(common, part, 0.0)
        spread = np.einsum("tn,tn->n", x, x)
        known = (count >= max(least, 2)) & ~flat & (spread > 0.0)
        # The centred benchmark sums to zero, so the symbol's own mean needs not be taken off.
        np.divide(np.einsum("tn,tn->n", x, y), spread, out=out[columns], where=known)
    return out


def deviations(returns: F64, least: int) -> F64:
    """Return ``[N]`` standard deviations (ddof 1) of ``[T, N]`` returns over each column's own sessions.

    NaN for fewer than ``least`` sessions; at least 2 are always needed.
    """
    out = np.full(returns.shape[1], np.nan)
    for columns in blocks(returns.shape[1]):
        part = returns[:, columns]
        known = np.isfinite(part)
        count = np.count_nonzero(known, axis=0)
        mean = np.where(known, part, 0.0).sum(axis=0) / np.maximum(count, 1)
        centred = np.where(known, part - mean, 0.0)
        squares = np.einsum("tn,tn->n", centred, centred) / np.maximum(count - 1, 1)
        np.sqrt(squares, out=out[columns], where=count >= max(least, 2))
    return out


def blocks(columns: int, width: int = 256) -> Iterator[slice]:
    """Yield slices of columns few enough that what is computed of them stays in the processor's cache."""
    for start in range(0, columns, width):
        yield slice(start, min(start + width, columns))
