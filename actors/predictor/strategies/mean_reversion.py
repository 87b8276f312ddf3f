"""Mean reversion: what has run away from its own average comes back."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from actors.api import Meta, PanelWindow, Params, Scores, strategy
from actors.predictor.features.normal import confidence_level


class MeanReversionParams(Params):
    """The average a price is compared with."""

    lookback: Annotated[int, Meta(ge=5, le=500, description="bars in the moving average and its deviation")] = 20


@strategy(name="mean_reversion", params=MeanReversionParams, lookback=lambda p: p.lookback, horizon=5)
def mean_reversion(w: PanelWindow, p: MeanReversionParams) -> Scores:
    """Score each symbol by how many standard deviations its close lies below its moving average.

    ``z = (mean - close) / deviation`` of the last ``lookback`` log closes (a Bollinger band's z), the score
    ``2 * Phi(z) - 1``: positive below the average, negative above; a gate at .65 passes closes at least 0.93
    deviations away. Log prices make it scale-invariant. Default horizon: 5 bars. Symbols with a gap in the lookback
    abstain.
    """
    close = w.close
    if len(close) < p.lookback:
        return Scores(np.full(close.shape[1], np.nan))
    away = np.log(close / close[-1])  # the last row is zero: distances from now
    mean = away.mean(axis=0)
    variance = np.maximum(np.einsum("ij,ij->j", away, away) / p.lookback - mean * mean, 1e-18)
    return Scores(confidence_level(mean / np.sqrt(variance)))
