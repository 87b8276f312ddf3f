"""Time-series momentum: what has been rising keeps rising, for a while."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from actors.api import Meta, PanelWindow, Params, Scores, strategy
from actors.predictor.features.normal import confidence_level


class MomentumParams(Params):
    """How far to look back, and what to leave out at the end."""

    lookback: Annotated[int, Meta(ge=5, le=500, description="bars of returns the trend is measured over")] = 60
    skip: Annotated[int, Meta(ge=0, le=60, description="latest bars left out (short-term reversal)")] = 0


@strategy(
    name="momentum",
    params=MomentumParams,
    lookback=lambda p: p.lookback + p.skip + 1,
    horizon=20,
)
def momentum(w: PanelWindow, p: MomentumParams) -> Scores:
    """Score each symbol by the t-statistic of its mean log return over the lookback.

    ``z = mean / (deviation / sqrt(n))`` is about standard normal for a price without drift. The score is
    ``2 * Phi(z) - 1``: its sign the trend's direction, its size the confidence level at which "no drift" is rejected. A
    gate at .65 therefore passes ``|z| >= 0.93``. Trends this strong are common by chance, which is why the report
    compares with random portfolios. Prices enter as ratios only. Default horizon: 20 bars. Symbols with a gap in the
    lookback abstain.
    """
    close = w.close
    if len(close) < p.lookback + p.skip + 1:
        return Scores(np.full(close.shape[1], np.nan))
    logs = np.log(close[: len(close) - p.skip])
    returns = logs[1:] - logs[:-1]
    n = len(returns)
    mean = (logs[-1] - logs[0]) / n
    # A price that did not move has no variance: then 0 / tiny is 0, no trend.
    variance = np.maximum(np.einsum("ij,ij->j", returns, returns) / n - mean * mean, 1e-18)
    z = mean * np.sqrt((n - 1) / variance)
    return Scores(confidence_level(z))
