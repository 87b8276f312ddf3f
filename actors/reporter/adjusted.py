"""Prices of a run's sessions in the units of its last one: what a share bought then has become since.

Before a split prices are divided by its ratio; before a dividend they are lowered by the part of the last close that is
paid, as one who buys more shares with it at that close would see it; before a rename the new symbol has the old one's.
So a portfolio that is bought and held can be computed from prices alone, and the last row is the last price known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.messages.market import CorporateAction
from actors.values.fixed import SCALE

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def adjusted(prices: F64, closes: F64, dates: I64, actions: Sequence[CorporateAction]) -> F64:
    """Return prices as they would have been had the actions happened before all of them.

    Args:
        prices: ``[S, N]`` by session and symbol id, NaN where there is none; opens or closes.
        closes: ``[S, N]`` last closes, as they traded.
        dates: ``[S]`` exchange dates YYYYMMDD, ascending.
        actions: in order of time.
    """
    if not actions:
        return prices
    out, last = prices.copy(), closes.copy()
    for action in actions:
        before = slice(0, int(np.searchsorted(dates, action.ex_date, "left")))
        symbol = action.symbol
        if action.kind == "rename" and action.renamed_to is not None:
            for block in (out, last):
                old, new = block[before, symbol], block[before, action.renamed_to]
                block[before, action.renamed_to] = np.where(np.isnan(old), new, old)
                block[before, symbol] = np.nan
            continue
        factor = 1.0
        if action.kind == "split":
            factor = action.denominator / action.numerator
        elif action.kind == "dividend":
            known = last[before, symbol]
            known = known[np.isfinite(known)]
            paid = action.value / SCALE
            factor = 1.0 - paid / float(known[-1]) if len(known) and known[-1] > paid else 1.0
        out[before, symbol] *= factor
        last[before, symbol] *= factor
    return out
