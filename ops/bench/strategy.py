"""The benchmark's strategy in panel form: arrays in, arrays out."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from actors.api import Meta, PanelWindow, Params, Scores, strategy


class CrossParams(Params):
    """Lengths of the two means, and how many symbols have a say."""

    fast: Annotated[int, Meta(ge=1, le=500)] = 10
    slow: Annotated[int, Meta(ge=2, le=1000)] = 30
    every: Annotated[int, Meta(ge=1, le=10_000, description="only every this many-th symbol is judged")] = 1


@strategy(name="sma_cross", params=CrossParams, lookback=lambda p: p.slow + 1)
def sma_cross(w: PanelWindow, p: CrossParams) -> Scores:
    """Say 1 where the fast mean of closes crosses above the slow one, -1 where it crosses below, else nothing."""
    close = w.close
    if len(close) <= p.slow:
        return Scores(np.full(close.shape[1], np.nan))
    now, before = _weights(p.fast, p.slow) @ close > 0.0
    score = np.full(close.shape[1], np.nan)
    crossed = (now != before).nonzero()[0]
    if p.every > 1:
        crossed = crossed[crossed % p.every == 0]
    score[crossed] = np.where(now[crossed], 1.0, -1.0)
    return Scores(score)


@lru_cache
def _weights(fast: int, slow: int) -> NDArray[np.float64]:
    """Return ``[2, slow + 1]`` weights whose products with closes have the sign of fast mean minus slow mean.

    The first row is for now, the second for one bar earlier; whole numbers, so that equal prices give exactly 0.
    """
    rows = np.zeros((2, slow + 1))
    for row, end in ((0, slow + 1), (1, slow)):
        rows[row, end - fast : end] += slow
        rows[row, end - slow : end] -= fast
    return rows
