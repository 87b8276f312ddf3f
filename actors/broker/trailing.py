"""Trailing stops: a stop that follows the best price seen since it is armed, at a distance (semantics section 2).

A trail is measured from the last price when the order begins to rest; one with an activation price begins once the
market has reached that. It ratchets along a bar's path and is tested against what follows: a rise lifts the stop of a
sale, and only the fall behind it can meet the stop. The best price is a fold of prices; that the stop was met is an
event.
"""

from __future__ import annotations

from typing import Final

from actors.broker.order_state import Mode, WorkingOrder
from actors.broker.path import Path
from actors.values.fixed import SCALE, mul_ratio

_PERCENT: Final = 100 * SCALE


def begin(order: WorkingOrder, px: int) -> None:
    """Let a trail begin at the last price, 0 where none is known: then at the first that is."""
    if order.mode is Mode.TRAIL and px:
        order.best = ratcheted(order, order.best, px)


def ratcheted(order: WorkingOrder, best: int, px: int) -> int:
    """Return the best price once the market has been at ``px``, 0 while the trail is not armed."""
    if best:
        return max(best, px) if order.side < 0 else min(best, px)
    terms = order.terms
    activation = terms.activation_px if terms is not None else None
    armed = activation is None or order.side * (px - activation) <= 0
    return px if armed else 0


def stop_of(order: WorkingOrder, best: int) -> int | None:
    """Return where the stop is for a best price, None while it is not armed."""
    terms = order.terms
    if not best or terms is None:
        return None
    if terms.trail_amount is not None:
        distance = terms.trail_amount
    else:
        distance = mul_ratio(best, terms.trail_percent or 0, _PERCENT)
    return best + order.side * distance


def stood(order: WorkingOrder, met: int) -> int | None:
    """Return where the stop of a trail was when the market met it at ``met``; None for orders without one.

    Behind a gap it is where the best price so far had brought it; else the path had pulled it to where it was met.
    """
    if order.mode is not Mode.TRAIL:
        return None
    stop = stop_of(order, order.best)
    return stop if stop is not None and order.side * (met - stop) > 0 else met


def out_of_reach(order: WorkingOrder, high: int, low: int) -> bool:
    """Tell whether an armed trail cannot be met by a bar with these extremes, whatever its path.

    The stop is nearest where the best price of the bar has pulled it; what the bar's other extreme does not reach even
    there, it never does.
    """
    if not order.best:
        return False
    stop = stop_of(order, through(order, high, low))
    return stop is not None and (low > stop if order.side < 0 else high < stop)


def through(order: WorkingOrder, high: int, low: int) -> int:
    """Return the best price of an armed trail behind a whole bar with these extremes."""
    return max(order.best, high) if order.side < 0 else min(order.best, low)


def meet(order: WorkingOrder, path: Path, leg: int, px: int) -> tuple[int, int] | None:
    """Return (leg, price) at which the rest of a path meets the stop, or None.

    Args:
        order: with its best price so far.
        path: of the bar.
        leg: on which the order is live from ``px`` on.
        px: where the path stands.
    """
    best = order.best
    side = order.side
    stop = stop_of(order, best)
    if stop is not None and side * (px - stop) >= 0:
        return leg, px
    best = ratcheted(order, best, px)
    for at in range(leg, 4):
        end = path.corner(at)
        stop = stop_of(order, best)
        if stop is not None and side * (end - px) > 0 and side * (end - stop) >= 0:
            return at, stop
        best = ratcheted(order, best, end)
        px = end
    return None


def after(order: WorkingOrder, path: Path, leg: int, px: int) -> int:
    """Return the best price once the rest of a path has been walked, from ``px`` on ``leg``."""
    best = ratcheted(order, order.best, px)
    for at in range(leg, 4):
        best = ratcheted(order, best, path.corner(at))
    return best
