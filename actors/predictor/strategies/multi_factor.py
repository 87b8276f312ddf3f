"""Cross-sectional multi-factor: rank the universe by momentum, short-term reversal and low volatility."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt

from actors.api import Meta, PanelWindow, Params, Scores, strategy
from actors.predictor.features.normal import confidence_level

F64 = npt.NDArray[np.float64]


class MultiFactorParams(Params):
    """Windows and weights of the factors; a weight of 0 switches a factor off."""

    momentum: Annotated[int, Meta(ge=10, le=500, description="bars of the momentum factor, less `reversal`")] = 120
    reversal: Annotated[int, Meta(ge=1, le=60, description="bars of the short-term reversal factor")] = 5
    volatility: Annotated[int, Meta(ge=10, le=500, description="bars of returns of the volatility factor")] = 60
    w_momentum: Annotated[float, Meta(ge=0, le=10)] = 1.0
    w_reversal: Annotated[float, Meta(ge=0, le=10)] = 0.5
    w_volatility: Annotated[float, Meta(ge=0, le=10)] = 0.5


def _rows(p: MultiFactorParams) -> int:
    return max(p.momentum + p.reversal, p.volatility) + 1


@strategy(name="multi_factor", params=MultiFactorParams, lookback=_rows, horizon=20)
def multi_factor(w: PanelWindow, p: MultiFactorParams) -> Scores:
    """Score each symbol by its standing in the universe.

    Three factors, each standardised across the symbols of the moment: log return over ``momentum`` bars up to
    ``reversal`` bars ago (winners go on), minus the return of the last ``reversal`` bars (the latest move comes back),
    minus the volatility of the last ``volatility`` bars (calm stocks pay more for their risk). Their weighted sum is
    standardised again: ``z`` of a symbol is how many deviations it stands above the universe's mean, the score
    ``2 * Phi(z) - 1``. A gate at .65 passes about the best and worst sixth of a universe. Fewer than three
    symbols with a whole history: everyone abstains, there is no cross-section. Default horizon: 20 bars.
    """
    close = w.close
    n = close.shape[1]
    answer = np.full(n, np.nan)
    if len(close) < _rows(p):
        return Scores(answer)
    logs = np.log(close)
    now = logs[-1]
    before = logs[-1 - p.reversal]
    returns = logs[-p.volatility :] - logs[-p.volatility - 1 : -1]
    trend = before - logs[-1 - p.reversal - p.momentum]
    deviation = returns.std(axis=0)
    use = w.fresh & np.isfinite(trend) & np.isfinite(deviation) & np.isfinite(now)
    if np.count_nonzero(use) < 3:
        return Scores(answer)
    total = (
        p.w_momentum * _standard(trend[use])
        - p.w_reversal * _standard((now - before)[use])
        - p.w_volatility * _standard(np.log(np.maximum(deviation[use], 1e-9)))
    )
    answer[use] = confidence_level(_standard(total))
    return Scores(answer)


def _standard(x: F64) -> F64:
    """Return x less its mean over its deviation; zeros where all are equal."""
    centred = x - x.mean()
    deviation = np.sqrt((centred * centred).mean())
    standard: F64 = centred / deviation if deviation > 1e-12 else np.zeros_like(x)
    return standard
