"""Corporate actions against the prices beside which they are played: what cannot be right is refused or told.

The last price before an action is the last close, print or quote of the sessions before it that are played, in the
units of that moment: actions between the two count. Where none is known nothing is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from actors.feed.bars import F64, I64
from actors.messages.market import CorporateAction
from actors.values.corporate import split_px
from actors.values.fixed import SCALE, fmt
from daemon.kernel.errors import OperatorError

_KEPT: Final = ("split", "dividend", "rename")


def refuse_large_dividends(
    actions: Sequence[CorporateAction],
    symbols: Sequence[str],
    dates: I64,
    closes: F64,
    place: Callable[[CorporateAction], str],
) -> None:
    """Refuse a cash dividend that is no less than the price of the share it is paid on.

    Its holders would have more than the share was worth, and no price could fall by it.

    Args:
        actions: as they are played, in order of time.
        symbols: of the universe.
        dates: of the sessions, YYYYMMDD, ``[S]``.
        closes: last prices of each session, ``[S, N]``, NaN where there is none.
        place: file and line of an action.

    Raises:
        OperatorError: one is.
    """
    last = [0] * len(symbols)
    known = [0] * len(symbols)  # sessions of each symbol that its last price was looked for in

    def catch_up(symbol: int, session: int) -> None:
        rows = np.flatnonzero(np.isfinite(closes[known[symbol] : session, symbol]))
        if rows.size:
            last[symbol] = round(float(closes[known[symbol] + int(rows[-1]), symbol]) * SCALE)
        known[symbol] = session

    for action in actions:
        if action.kind not in _KEPT:
            continue
        symbol, session = action.symbol, int(np.searchsorted(dates, action.ex_date, "left"))
        catch_up(symbol, session)
        px = last[symbol]
        if action.kind == "split":
            last[symbol] = split_px(px, action.numerator, action.denominator)
        elif action.kind == "rename" and action.renamed_to is not None:
            catch_up(action.renamed_to, session)
            last[action.renamed_to] = px or last[action.renamed_to]
        elif px and action.value >= px:
            message = (
                f"{place(action)}: a dividend of {fmt(action.value)} a share is no less than {symbols[symbol]}'s last "
                f"price before it, {fmt(px)}"
            )
            remedy = "state cash per share, in the shares that the prices are of, or leave the line out"
            raise OperatorError(message, code="BAD_ACTION", remedy=remedy)
        elif px:
            last[symbol] = px - action.value


def renamed_without_prices(
    actions: Sequence[CorporateAction], symbols: Sequence[str], dates: I64, closes: F64
) -> list[str]:
    """Return a sentence for each symbol that is renamed while its prices go on under the old name only."""
    told = []
    taken = {action.renamed_to for action in actions}
    for action in actions:
        if action.kind != "rename" or action.renamed_to is None or action.symbol in taken:
            continue  # what goes on under a name that another symbol took over is that one's
        session = int(np.searchsorted(dates, action.ex_date, "left"))
        old, new = (np.isfinite(closes[session:, symbol]).any() for symbol in (action.symbol, action.renamed_to))
        if old and not new:
            was, now = symbols[action.symbol], symbols[action.renamed_to]
            text = str(action.ex_date)
            told.append(
                f"{was} is {now} from {text[:4]}-{text[4:6]}-{text[6:]} on, but prices go on under {was} only: what is "
                f"held and ordered in {now} stands at its last price and fills nothing; name it {now} in the data from "
                "that date on, or leave the rename out"
            )
    return told
