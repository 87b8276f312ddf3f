"""The shipped price model as a strategy: features here, the answer from onnxruntime outside the core."""

from __future__ import annotations

import numpy as np

from actors.api import Features, PanelWindow, Params, strategy
from actors.predictor.features.prices import LOOKBACK, NAMES, price_features


class PriceModelParams(Params):
    """There is nothing to choose: what could be chosen was fixed in training."""


@strategy(name="price_model", params=PriceModelParams, lookback=LOOKBACK, bar="1d", model="price_5d")
def price_model(w: PanelWindow, p: PriceModelParams) -> Features:  # noqa: ARG001 - the form wants parameters
    """Predict the probability that the close five sessions ahead is higher, from the last 64 daily closes.

    The core asks for an inference at each decision; the answer comes back as an input. ``score = 2 * p_up - 1`` with
    the calibrated ``p_up``; the confidence is the share of calibration-period predictions that were less certain, so
    the gate at .65 passes the model's own strongest third. Decisions inside the period the model has seen are refused.
    Its manifest says how little it predicts: read it before believing in it.
    """
    if len(w) < LOOKBACK:
        return Features(np.full((w.close.shape[1], len(NAMES)), np.nan))
    return Features(price_features(w.close))
