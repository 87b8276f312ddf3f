"""Where an order meets a path of prices: at a place of it, along the rest of it, or in the closing auction.

:mod:`actors.broker.matching` answers for simple orders against whole bars, which is what nearly all of them need; this
module answers for any order from any place on. Pure; prices in units of 1e-8.
"""

from __future__ import annotations

from actors.broker import trailing
from actors.broker.matching import CLOSE, INTRABAR, OPEN, Bar, Match
from actors.broker.order_state import Mode, WorkingOrder
from actors.broker.path import Path


def at(order: WorkingOrder, bar: Bar, px: int, *, on_touch: bool) -> Match | None:
    """Return what an order does at the open of a bar, or None if it has to wait; what it fills there takes."""
    if not _meets(order, px, on_touch=on_touch):
        return None
    source = CLOSE if bar.close_only else OPEN
    return Match(px, source, maker=False, triggers=order.mode > Mode.LIMIT, leg=1)


def along(order: WorkingOrder, path: Path, leg: int, px: int, *, on_touch: bool) -> Match | None:
    """Return the next meeting of an order that is live from ``px`` on ``leg`` on, or None.

    What it meets at that very place takes liquidity; a limit that is met later rested.
    """
    mode, side = order.mode, order.side
    if mode is Mode.TRAIL:
        met = trailing.meet(order, path, leg, px)
        return None if met is None else _taken(met[1], path, met[0], triggers=True)
    if _meets(order, px, on_touch=on_touch):
        return _taken(px, path, leg, triggers=mode > Mode.LIMIT)
    if mode is Mode.LIMIT:
        level, rising, beyond = order.limit_px, side < 0, not on_touch
    else:
        level, rising, beyond = order.stop_px, (side > 0) is (mode is Mode.STOP), False
    assert level is not None  # noqa: S101 - acceptance checked it; mypy cannot know
    met_on = path.reach(level, leg, rising=rising, beyond=beyond)
    if met_on is None:
        return None
    if mode is Mode.LIMIT:
        return Match(level, INTRABAR, maker=True, leg=path.signed(met_on))
    return _taken(level, path, met_on, triggers=True)


def placed(order: WorkingOrder, match: Match, path: Path) -> Match:
    """Return a meeting inside a bar that is known already, with the leg of the path on which it happens."""
    rising = (order.side < 0) is (order.mode is Mode.LIMIT)
    leg = 1 if rising is path.high_first else 2
    return Match(match.ref, match.source, match.maker, match.triggers, path.signed(leg))


def in_close(order: WorkingOrder, px: int, *, on_touch: bool) -> Match | None:
    """Return what an order does in a closing auction at ``px``, or None where its limit does not allow it."""
    return Match(px, CLOSE, maker=False) if _meets(order, px, on_touch=on_touch) else None


def family(order: WorkingOrder) -> str:
    """Return a name that an order shares with those of which one ends the others, "" where there is none."""
    terms = order.terms
    if terms is None or not (terms.bracket_of or terms.oco_group):
        return ""
    return f"b:{terms.bracket_of}" if terms.bracket_of else f"g:{order.portfolio}:{terms.oco_group}"


def _meets(order: WorkingOrder, px: int, *, on_touch: bool) -> bool:
    """Tell whether an order trades, or its condition is met, where the market stands at ``px``."""
    mode, side = order.mode, order.side
    if mode is Mode.LIMIT and order.limit_px is not None:
        gap = side * (order.limit_px - px)
        return gap > 0 or (gap == 0 and on_touch)
    if mode is Mode.STOP and order.stop_px is not None:
        return side * (px - order.stop_px) >= 0
    if mode is Mode.TOUCH and order.stop_px is not None:
        return side * (order.stop_px - px) >= 0
    if mode is Mode.TRAIL:
        stop = trailing.stop_of(order, order.best)
        return stop is not None and side * (px - stop) >= 0
    return mode is Mode.MARKET


def _taken(px: int, path: Path, leg: int, *, triggers: bool) -> Match:
    return Match(px, INTRABAR, maker=False, triggers=triggers, leg=path.signed(leg))
