"""Whether a fill can be true, and what its price cost. Pure functions of a fill and of what was known before it.

The market's price is, of a fill inside a bar, what the bar's range says: the distance of a price within it is 0. Of a
fill on ticks it is the last price. Where neither is known nothing is said about the distance.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actors.messages.market import BarPanel
from actors.messages.orders import Fill
from actors.risk.holdings import Working
from actors.values.fixed import SCALE, fmt

ON_BARS: Final = ("open", "intrabar", "close")
"""Sources of the prices of fills inside a bar."""


class Finding(NamedTuple):
    """What is wrong with a fill: the measure, and in words."""

    value: float
    cause: str


def distance(fill: Fill, bar: BarPanel | None, last: int) -> float | None:
    """Return how far a fill's price lies from the market's, a share of the latter; None where that is unknown.

    Args:
        fill: the fill.
        bar: the newest bars.
        last: last known price of the symbol, units of 1e-8, 0 for none.
    """
    low = high = last / SCALE
    if fill.px_source in ON_BARS and bar is not None:
        row = _row(bar, fill.symbol)
        if row is not None:
            low, high = float(bar.low[row]), float(bar.high[row])
    if not (low > 0 and high >= low):  # NaN says nothing either
        return None
    px = fill.last_px / SCALE
    if px < low:
        return round(1.0 - px / low, 9)
    return round(px / high - 1.0, 9) if px > high else 0.0


def _row(bar: BarPanel, symbol: int) -> int | None:
    if bar.dense:
        return symbol if symbol < len(bar.ids) else None
    row = int(bar.ids.searchsorted(symbol))
    return row if row < len(bar.ids) and int(bar.ids[row]) == symbol else None


def insane(fill: Fill, working: Working | None, away: float | None, limit: float) -> Finding | None:
    """Return why a fill cannot be true, or None.

    Args:
        fill: the fill.
        working: its order as it was before the fill, None where none worked.
        away: :func:`distance`.
        limit: beyond this distance it cannot be true; 0 switches every check off.
    """
    if not limit:
        return None
    if working is None or fill.last_qty <= 0 or fill.last_px <= 0:
        whose = " of an order that does not work" if working is None else ""
        return Finding(0.0, f"a fill of {fmt(fill.last_qty)} at {fmt(fill.last_px)}{whose}")
    if fill.last_qty > working.leaves:
        return Finding(
            fill.last_qty / (working.leaves or fill.last_qty),
            f"{fmt(fill.last_qty)} were filled of {fmt(working.leaves)} that were open",
        )
    bound = working.limit_px
    if bound is not None and (fill.last_px - bound) * fill.side > 0:
        beyond = round(abs(fill.last_px / bound - 1.0), 9)
        return Finding(beyond, f"filled at {fmt(fill.last_px)}, beyond its limit of {fmt(bound)}")
    if away is not None and away > limit:
        return Finding(away, f"filled at {fmt(fill.last_px)}, {away:.2%} away from the market")
    return None


def slipped(fill: Fill) -> float | None:
    """Return what a fill's price cost against the price before spread, slippage and impact; None where unknown."""
    if fill.ref_px <= 0:
        return None
    return round(fill.side * (fill.last_px / fill.ref_px - 1.0), 9)
