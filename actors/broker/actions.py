"""What corporate actions do to a working order: pure functions of the order and of the action.

A split multiplies quantities and divides prices. What is left open is cut to whole lot sizes, except for an order that
names a lot, which goes on covering it: its quantity follows :func:`actors.values.corporate.split_lots`. An order of
which nothing is left is cancelled.

A dividend lowers what an order waits for a falling price with, as FINRA Rule 5330 does to open orders: the prices of
buy limits (with touch prices) and of sell stops (with their limits), and the mark of a trailing sale, of orders that
are good till cancelled or dated, unless they say ``do_not_reduce``. Buy stops and sell limits stay. An entry that is
lowered lowers the stop of its bracket, a sale the target of its own. Prices are not rounded to a tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from actors.broker.lots import OpenLot
from actors.broker.order_state import Mode, WorkingOrder
from actors.messages.market import CorporateAction
from actors.messages.orders import BUY, Bracket, OrderReplaceRequested, OrderRestated, OrderTerms, TimeInForce
from actors.values.corporate import dividend_px, split_lots, split_px
from actors.values.fixed import mul_ratio

SPLIT: Final = "split"
DIVIDEND: Final = "dividend"
RENAME: Final = "rename"
DELIST: Final = "delist"
OPEN_ORDERS: Final = (TimeInForce.GTC, TimeInForce.GTD)
"""Orders that rest over an ex-date; others are for the session that begins with it."""

Lots = Mapping[str, OpenLot]


def split(order: WorkingOrder, action: CorporateAction, lots: Lots, lot_size: int) -> OrderRestated | None:
    """Return an order behind a split, None where nothing is left of it.

    Args:
        order: which works.
        action: the split.
        lots: of its account in the symbol.
        lot_size: smallest step of a quantity, units of 1e-8.
    """
    ratio = action.numerator, action.denominator
    leaves = order.leaves * ratio[0] // ratio[1]
    lot = lots.get(order.order.lot_id)
    if lot is None:
        leaves -= leaves % lot_size
    else:
        kept = dict(split_lots([(each.lot_id, each.qty) for each in lots.values()], *ratio, lot_size).kept)
        left = abs(kept.get(lot.lot_id, 0))
        leaves = left if order.leaves >= abs(lot.qty) else min(leaves, left)
    if leaves <= 0:
        return None
    cum_qty = mul_ratio(order.cum_qty, *ratio)
    terms = order.terms
    if terms is not None:
        display = terms.display_qty
        terms = msgspec.structs.replace(
            terms,
            trail_amount=_split(terms.trail_amount, ratio),
            activation_px=_split(terms.activation_px, ratio),
            display_qty=None if display is None else max(display * ratio[0] // ratio[1] // lot_size, 1) * lot_size,
            bracket=None if terms.bracket is None else _split_bracket(terms.bracket, ratio),
        )
    return _restated(
        order,
        SPLIT,
        qty=cum_qty + leaves,
        cum_qty=cum_qty,
        limit_px=_split(order.limit_px, ratio),
        stop_px=_split(order.stop_px, ratio),
        terms=terms,
    )


def split_request(
    request: OrderReplaceRequested, order: WorkingOrder, action: CorporateAction, lot_size: int
) -> OrderReplaceRequested:
    """Return new terms that were on their way to the venue over a split, in new shares; they arrive when they did."""
    ratio = action.numerator, action.denominator
    leaves = max(request.qty - order.cum_qty, 0) * ratio[0] // ratio[1]
    return msgspec.structs.replace(
        request,
        qty=mul_ratio(order.cum_qty, *ratio) + leaves - leaves % lot_size,
        limit_px=_split(request.limit_px, ratio),
        stop_px=_split(request.stop_px, ratio),
    )


def dividend(order: WorkingOrder, per_share: int) -> OrderRestated | None:
    """Return an order that a dividend lowers, None for one that stays as it is."""
    if not is_lowered(order):
        return None
    limit_px, stop_px, terms = order.limit_px, order.stop_px, order.terms
    buys = order.side == BUY
    waits = order.mode is Mode.TOUCH if buys else order.mode in (Mode.STOP, Mode.TRAIL)
    if limit_px is not None and (waits or (buys and order.mode is Mode.LIMIT)):
        limit_px = dividend_px(limit_px, per_share)
    if stop_px is not None and waits:
        stop_px = dividend_px(stop_px, per_share)
    if terms is not None:
        terms = _lowered_terms(order, terms, per_share, entry=limit_px != order.limit_px or stop_px != order.stop_px)
    if (limit_px, stop_px, terms) == (order.limit_px, order.stop_px, order.terms):
        return None
    return _restated(order, DIVIDEND, limit_px=limit_px, stop_px=stop_px, terms=terms)


def rename(order: WorkingOrder, symbol: int) -> OrderRestated:
    """Return an order in another symbol."""
    return _restated(order, RENAME, symbol=symbol)


def is_lowered(order: WorkingOrder) -> bool:
    """Tell whether an order is one whose prices a dividend may lower."""
    return order.order.tif in OPEN_ORDERS and not (order.terms is not None and order.terms.do_not_reduce)


def _lowered_terms(order: WorkingOrder, terms: OrderTerms, per_share: int, *, entry: bool) -> OrderTerms:
    if order.mode is Mode.TRAIL and order.side != BUY and terms.activation_px is not None:
        terms = msgspec.structs.replace(terms, activation_px=dividend_px(terms.activation_px, per_share))
    bracket = terms.bracket
    if bracket is None:
        return terms
    if order.side != BUY:
        lowered = {"take_profit_px": bracket.take_profit_px}
    elif entry:
        lowered = {"stop_px": bracket.stop_px, "activation_px": bracket.activation_px}
    else:
        return terms
    changes = {name: dividend_px(px, per_share) for name, px in lowered.items() if px is not None}
    return msgspec.structs.replace(terms, bracket=msgspec.structs.replace(bracket, **changes))


def _restated(
    order: WorkingOrder,
    reason: str,
    *,
    symbol: int | None = None,
    qty: int | None = None,
    cum_qty: int | None = None,
    limit_px: int | None = None,
    stop_px: int | None = None,
    terms: OrderTerms | None = None,
) -> OrderRestated:
    """Return the event; what is not given stays, and so does a price that the order has and that is not given."""
    return OrderRestated(
        order_id=order.order_id,
        client_order_id=order.order.client_order_id,
        symbol=order.symbol if symbol is None else symbol,
        qty=order.qty if qty is None else qty,
        cum_qty=order.cum_qty if cum_qty is None else cum_qty,
        limit_px=order.limit_px if limit_px is None else limit_px,
        stop_px=order.stop_px if stop_px is None else stop_px,
        terms=order.terms if terms is None else terms,
        reason=reason,
    )


def _split(px: int | None, ratio: tuple[int, int]) -> int | None:
    return None if px is None else split_px(px, *ratio)


def _split_bracket(bracket: Bracket, ratio: tuple[int, int]) -> Bracket:
    return msgspec.structs.replace(
        bracket,
        take_profit_px=_split(bracket.take_profit_px, ratio),
        stop_px=_split(bracket.stop_px, ratio),
        trail_amount=_split(bracket.trail_amount, ratio),
        activation_px=_split(bracket.activation_px, ratio),
    )
