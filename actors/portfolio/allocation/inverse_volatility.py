"""Inverse volatility: names that move less get more, so that each contributes about the same risk if uncorrelated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.messages.columns import F64

# As for correlations in semantics.md section 4: at least 40 of 60 returns must be known.
KNOWN_NUMERATOR = 2
KNOWN_DENOMINATOR = 3


def volatilities(closes: F64, lookback: int) -> F64:
    """Return the sample standard deviation (ddof 1) of simple returns by column, NaN where it cannot be trusted.

    Args:
        closes: ``[rows, K]``, oldest first, NaN where there was no bar; the last ``lookback + 1`` rows count.
        lookback: returns wanted.

    A return is taken between consecutive known closes. A column with fewer than two thirds of ``lookback`` returns,
    or without any dispersion, is NaN. Rows are summed one after the other, so the answer is the same on every machine.
    """
    window = closes[-(lookback + 1) :]
    rows, columns = window.shape
    returns = np.zeros((max(rows - 1, 0), columns))
    known = np.zeros(returns.shape, dtype=bool)
    last = np.full(columns, np.nan)
    for t in range(rows):
        row = window[t]
        here = np.isfinite(row)
        if t:
            known[t - 1] = here & np.isfinite(last)
            np.divide(row, last, out=returns[t - 1], where=known[t - 1])
            returns[t - 1][known[t - 1]] -= 1.0
        last = np.where(here, row, last)
    count = known.sum(axis=0)
    wanted = max(2, -(-lookback * KNOWN_NUMERATOR // KNOWN_DENOMINATOR))
    enough = count >= wanted
    safe = np.where(enough, count, 2)
    total = np.zeros(columns)
    for row in returns:
        total += row
    mean = total / safe
    squares = np.zeros(columns)
    for row, present in zip(returns, known, strict=True):
        deviation = np.where(present, row - mean, 0.0)
        squares += deviation * deviation
    deviations = np.sqrt(squares / (safe - 1))
    result: F64 = np.where(enough & (deviations > 0.0), deviations, np.nan)
    return result


def inverse_volatility_weights(sigmas: Sequence[float]) -> list[float]:
    """Return weights proportional to 1/sigma, summing to 1; every sigma must be positive."""
    inverse = [1.0 / s for s in sigmas]
    total = sum(inverse)
    return [x / total for x in inverse]
