"""Buy and hold: the benchmark every idea has to beat, traded through the same machine."""

from __future__ import annotations

import numpy as np

from actors.api import PanelWindow, Params, Scores, strategy


class BuyAndHoldParams(Params):
    """There is nothing to choose."""


@strategy(name="buy_and_hold", params=BuyAndHoldParams, lookback=1, horizon=1, buy_and_hold=True)
def buy_and_hold(w: PanelWindow, p: BuyAndHoldParams) -> Scores:  # noqa: ARG001 - the form wants parameters
    """Want every symbol, always, with full confidence; exempt from automatic exits.

    The confidence is a statement of intent, not of knowledge: it passes any gate, and no ``p_up`` is claimed.
    """
    return Scores(np.ones(w.close.shape[1]))
