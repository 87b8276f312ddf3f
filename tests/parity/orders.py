"""Random orders of every type with every term it takes, and now and then one that it does not take."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from actors.messages.orders import BUY, SELL, Bracket, OrderTerms, OrderType, SubmitOrder, TimeInForce

SHARE: Final = 10**8

_RESTING: Final = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)
_ANY: Final = (*_RESTING, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG, TimeInForce.CLS)
TIFS: Final = {
    OrderType.MARKET: _ANY,
    OrderType.LIMIT: _ANY,
    OrderType.STOP: _RESTING,
    OrderType.STOP_LIMIT: _RESTING,
    OrderType.TRAILING_STOP: _RESTING,
    OrderType.MARKET_IF_TOUCHED: _RESTING,
    OrderType.LIMIT_IF_TOUCHED: _RESTING,
    OrderType.TAKE_PROFIT: (*_RESTING, TimeInForce.IOC, TimeInForce.FOK),
    OrderType.MARKET_ON_OPEN: (TimeInForce.OPG, TimeInForce.DAY),
    OrderType.MARKET_ON_CLOSE: (TimeInForce.CLS, TimeInForce.DAY),
}
"""What each type may be, as ``contract.md`` says it and not as the gate has it."""
WITH_LIMIT: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.TAKE_PROFIT)
WITH_STOP: Final = (
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED,
)
ENTRIES: Final = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP)
"""Types that get a bracket here."""


def draw_order(
    rng: random.Random, order_id: str, portfolio: str, prices: Sequence[float], now: int, far: int
) -> SubmitOrder:
    """Return an order near the market; one in twenty says something that its type does not take.

    Args:
        rng: decides everything.
        order_id: its client order id.
        portfolio: whose it is.
        prices: last price by symbol id.
        now: nanoseconds UTC.
        far: the longest that an order good till a date is good for, nanoseconds.
    """
    kind = rng.choice((OrderType.MARKET, OrderType.LIMIT, *OrderType))
    tif = rng.choice(TIFS[kind] if rng.random() < 0.97 else _ANY)
    symbol = rng.randrange(len(prices)) if rng.random() < 0.97 else -1
    side = rng.choice((BUY, BUY, SELL))
    qty = rng.choice((1, 5, 20, 150, 700)) * SHARE + (rng.random() < 0.05)
    px = prices[symbol]
    limit_px = near(rng, px) if kind in WITH_LIMIT else None
    stop_px = near(rng, px) if kind in WITH_STOP else None
    terms = _terms(rng, kind, tif, side, qty, limit_px or stop_px or round(px * SHARE), now, far)
    return SubmitOrder(
        order_id,
        portfolio,
        symbol,
        side,
        qty,
        kind,
        tif,
        limit_px,
        stop_px,
        reason="script",
        reduce_only=(terms is None or terms.bracket is None) and rng.random() < 0.15,
        terms=terms,
    )


def near(rng: random.Random, px: float, spread: float = 0.01) -> int:
    """Return a price in cents around another one."""
    return max(1, round(px * (1 + rng.gauss(0, spread)) * 100)) * SHARE // 100


def _terms(
    rng: random.Random, kind: OrderType, tif: TimeInForce, side: int, qty: int, anchor: int, now: int, far: int
) -> OrderTerms | None:
    found: dict[str, Any] = {}
    if (tif is TimeInForce.GTD) != (rng.random() < 0.02):
        found["expire_ts"] = now + rng.randrange(1, far)
    if kind is OrderType.TRAILING_STOP:
        found |= trail(rng, anchor, side)
    resting = tif in _RESTING
    if resting and kind in WITH_LIMIT and qty > SHARE and rng.random() < 0.25:
        found["display_qty"] = rng.choice((SHARE, 5 * SHARE))
    if resting and kind in (OrderType.LIMIT, OrderType.TAKE_PROFIT) and rng.random() < 0.4:
        found["post_only"] = True
    if rng.random() < 0.25:
        found["oco_group"] = rng.choice("gh")
    elif kind in ENTRIES and rng.random() < 0.5:
        found["bracket"] = _bracket(rng, anchor, side)
    for mark in ("do_not_reduce", "locate"):
        if rng.random() < (0.1 if side == BUY else 0.4):
            found[mark] = True
    return OrderTerms(**found) if found else None


def trail(rng: random.Random, anchor: int, side: int) -> dict[str, int]:
    """Return the fields of a trail, of an amount or in percent, armed at once or at a price on its way."""
    found: dict[str, int] = {}
    if rng.random() < 0.5:
        found["trail_amount"] = max(SHARE // 100, anchor // rng.choice((50, 100, 200, 400)))
    else:
        found["trail_percent"] = rng.choice((SHARE // 4, SHARE // 2, SHARE, 2 * SHARE))
    if rng.random() < 0.3:
        found["activation_px"] = anchor - side * anchor // rng.choice((100, 200, 400))
    return found


def _bracket(rng: random.Random, anchor: int, side: int) -> Bracket:
    """Return a target, a stop or a trail, or both; one in ten may have its target on the wrong side."""
    away = anchor // rng.choice((50, 100, 200))
    found: dict[str, int] = {}
    kind = rng.random()
    if kind < 0.8:
        found["take_profit_px"] = anchor + side * away * rng.choice((1, 1, 1, 1, 1, 1, 1, 2, 2, -1))
    if kind < 0.2 or kind > 0.7:
        found |= trail(rng, anchor, -side)
    elif kind > 0.3:
        found["stop_px"] = anchor - side * away
    return Bracket(**found)


def draw_replace(rng: random.Random, order: SubmitOrder | None, px: float) -> dict[str, int | None]:
    """Return new terms for an order: those it has, and now and then a price that it has not."""
    priced = order is None or rng.random() < 0.1
    limit = priced or (order is not None and order.limit_px is not None)
    stop = priced or (order is not None and order.stop_px is not None)
    return {
        "qty": rng.choice((None, rng.randrange(0, 60) * SHARE)),
        "limit_px": near(rng, px) if limit and rng.random() < 0.5 else None,
        "stop_px": near(rng, px) if stop and rng.random() < 0.5 else None,
    }


def draw_form(rng: random.Random, name: str, symbol: str, portfolio: str) -> dict[str, Any]:
    """Return an order as a person sends it (``contract.md`` section 4), for a market around 100."""
    kind = rng.choice((OrderType.MARKET, *OrderType))
    tif = rng.choice(TIFS[kind])
    side = rng.choice((BUY, BUY, SELL))
    form: dict[str, Any] = {
        "id": name,
        "portfolio": portfolio,
        "symbol": symbol,
        "side": "buy" if side == BUY else "sell",
        "qty": rng.randint(1, 60),
        "type": kind.value,
        "tif": tif.value,
    }
    if kind in WITH_LIMIT:
        form["limit_px"] = rng.randint(95, 105)
    if kind in WITH_STOP:
        form["stop_px"] = rng.randint(95, 105)
    if kind is OrderType.TRAILING_STOP:
        form |= rng.choice(({"trail_percent": 1}, {"trail_amount": 0.5}, {"trail_amount": 1, "activation_px": 100}))
    if tif is TimeInForce.GTD:
        form["expire_at"] = f"2024-01-0{rng.randint(2, 5)}T0{rng.randrange(10)}:00:00Z"
    if kind in ENTRIES and tif in _RESTING and rng.random() < 0.5:
        exits = ({"take_profit_px": 100 + 8 * side}, {"trail_amount": 1}, {"stop_px": 100 - 8 * side})
        form["bracket"] = exits[rng.randrange(2)] | exits[2 * rng.randrange(2)]
        if "stop_px" in form["bracket"]:
            form["bracket"].pop("trail_amount", None)
    elif rng.random() < 0.3:
        form["oco_group"] = rng.choice("gh")
    if kind is OrderType.LIMIT and tif in _RESTING and rng.random() < 0.4:
        form |= rng.choice(({"post_only": True}, {"display_qty": 1}))
    return form
