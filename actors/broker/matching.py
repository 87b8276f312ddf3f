"""Where an order meets a bar (``semantics.md`` section 2): pure functions of one order's terms and one bar.

A bar is read as a path: open, the nearer extreme, the other extreme, close. Where both extremes are equally far, the
one that is worse for the position held comes first. A resting order is touched at most once on it:

* A market order meets the open.
* A stop meets its price, or the open where the bar opens beyond it: the worse of the two.
* A limit meets its price, or the open where the bar opens beyond it: the better of the two. Unless a touch is enough
  (``fill_on_touch``) the bar must have traded beyond the limit; that its open stands exactly there is not enough.
* A close-only bar is one price: everything it fills, it fills at its close.

Prices are ``int`` in units of 1e-8.
"""

from __future__ import annotations

from typing import Final

import msgspec

OPEN: Final = "open"
INTRABAR: Final = "intrabar"
CLOSE: Final = "close"


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One symbol's bar; low <= open, close <= high; all equal where the source has closes only."""

    open: int
    high: int
    low: int
    close: int
    close_only: bool = False


class Match(msgspec.Struct, frozen=True, gc=False):
    """A price at which an order trades on a bar, before costs.

    Attributes:
        ref: reference price.
        source: ``open``, ``intrabar`` or ``close``, as in a fill's ``px_source``.
        maker: whether the order rested and was met, rather than taking liquidity.
        triggers: whether this meets the condition of an order that waits for one.
        leg: of a bar's path (1 to 3), negative where the path goes to the low first; 0 where there is no path.
    """

    ref: int
    source: str
    maker: bool
    triggers: bool = False
    leg: int = 0


def match_market(open_px: int, *, close_only: bool) -> Match:
    """Return where a market order that was live before the bar trades: at its open, or its only price."""
    return Match(open_px, CLOSE if close_only else OPEN, maker=False, leg=1)


def match_limit(side: int, limit: int, bar: Bar, *, on_touch: bool, taking: bool) -> Match | None:
    """Return where a limit order trades, or None.

    Args:
        side: +1 buy, -1 sell.
        limit: its price.
        bar: the bar, for the whole of which the order is live.
        on_touch: whether the bar need only reach the price.
        taking: the order was marketable when it came in and meets its first open: what it fills there takes
            liquidity. A limit that rested before is met by others, at the open as inside the bar.
    """
    gap = side * (limit - bar.open)
    if gap > 0 or (gap == 0 and on_touch):
        return Match(bar.open, CLOSE if bar.close_only else OPEN, maker=not taking, leg=1)
    beyond = limit - bar.low if side > 0 else bar.high - limit
    if beyond > 0 or (beyond == 0 and on_touch):
        return Match(limit, INTRABAR, maker=True)
    return None


def match_stop(side: int, stop: int, bar: Bar) -> Match | None:
    """Return where a stop order triggers and trades, or None; it always takes liquidity."""
    if side * (bar.open - stop) >= 0:
        return Match(bar.open, CLOSE if bar.close_only else OPEN, maker=False, triggers=True, leg=1)
    beyond = bar.high - stop if side > 0 else stop - bar.low
    if beyond >= 0:
        return Match(stop, INTRABAR, maker=False, triggers=True)
    return None
