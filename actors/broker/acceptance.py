"""What the broker takes: checks of new orders and of new terms, each refusal with a stable code and a sentence.

The gate has looked at risk; this is the venue looking at form. Anything that is not understood is refused.
"""

from __future__ import annotations

from typing import Final

from actors.broker.account import Account
from actors.broker.order_state import Auction, WorkingOrder
from actors.broker.params import BrokerParams
from actors.messages.orders import BUY, NO_TERMS, SELL, OrderType, RouteReplace, SubmitOrder, TimeInForce
from actors.values.fixed import fmt
from actors.values.refusals import below_filled
from actors.values.universe import Universe

_PRICES: Final[dict[OrderType, tuple[bool, bool]]] = {
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
    OrderType.TRAILING_STOP: (False, False),
    OrderType.MARKET_IF_TOUCHED: (False, True),
    OrderType.LIMIT_IF_TOUCHED: (True, True),
    OrderType.TAKE_PROFIT: (True, False),
    OrderType.MARKET_ON_OPEN: (False, False),
    OrderType.MARKET_ON_CLOSE: (False, False),
}
"""Whether a type has a limit and a stop price (semantics section 2)."""
_PLAIN: Final = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)
_ANY: Final = tuple(TimeInForce)
_MARKET: Final = OrderType.MARKET
_LIMIT: Final = OrderType.LIMIT
_DATED: Final = TimeInForce.GTD
_TIFS: Final[dict[OrderType, tuple[TimeInForce, ...]]] = {
    OrderType.TAKE_PROFIT: _ANY,
    OrderType.MARKET_ON_OPEN: (TimeInForce.OPG, TimeInForce.DAY),
    OrderType.MARKET_ON_CLOSE: (TimeInForce.CLS, TimeInForce.DAY),
}
"""Times in force a type has; market and limit orders have any, all others those that rest."""
AUCTION_CUTOFF_NS: Final = 10 * 60 * 1_000_000_000
"""So long before the close no order for the closing auction is taken."""

REDUCE_ONLY_FLAT: Final = "REDUCE_ONLY_FLAT"
LOT_CLOSED: Final = "LOT_CLOSED"
NO_AUCTIONS: Final = "NO_AUCTIONS"
POST_ONLY_WOULD_TAKE: Final = "POST_ONLY_WOULD_TAKE"

Refusal = tuple[str, str]
"""(code, sentence)"""


def check_new(order: SubmitOrder, universe: Universe, account: Account, params: BrokerParams) -> Refusal | None:
    """Return why an order is refused, or None."""
    refusal = _check_kind(order, universe) or _check_terms(order.type, order.qty, order.limit_px, order.stop_px)
    if refusal is None and (order.terms is not None or order.type is OrderType.TRAILING_STOP or order.tif is _DATED):
        refusal = _check_extra(order)
    if refusal is not None:
        return refusal
    if order.lot_id or order.reduce_only:
        return None if closable(order, account) else _nothing_to_close(order, universe)
    # What is held may always be sold or covered whole, whatever fraction of a lot it is.
    if order.qty % params.lot_size and order.qty != -order.side * account.positions.get(order.symbol, 0):
        return "BAD_LOT", f"quantity {fmt(order.qty)} is no multiple of the lot size {fmt(params.lot_size)}"
    return None


def closable(order: SubmitOrder, account: Account) -> int:
    """Return the quantity at most that an order may close, one that names a lot or is marked reduce-only.

    What names a lot is an exit from it and closes nothing else. The portfolio that names a lot knows best what it has:
    where fills are known that it has not booked yet, it will cut its exits when it does.
    """
    if order.lot_id:
        return account.lot_left(order.symbol, order.lot_id, order.side)
    return max(0, -order.side * account.positions.get(order.symbol, 0))


def _nothing_to_close(order: SubmitOrder, universe: Universe) -> Refusal:
    name = universe.symbols[order.symbol]
    verb = "sell" if order.side < 0 else "cover"
    if order.lot_id:
        return LOT_CLOSED, f"the order closes the lot {order.lot_id} of {name}, and nothing of it is left to {verb}"
    return REDUCE_ONLY_FLAT, f"the order may only reduce, and there is no position in {name} to {verb}"


def _check_kind(order: SubmitOrder, universe: Universe) -> Refusal | None:
    if not 0 <= order.symbol < len(universe):
        return "UNKNOWN_SYMBOL", f"symbol {order.symbol_text or order.symbol!r} is not in the universe"
    if not universe.is_tradable(order.symbol):
        return "NOT_TRADABLE", f"{universe.symbols[order.symbol]} is only observed and cannot be traded"
    kind = order.type
    if kind is not _MARKET and kind is not _LIMIT:  # those may be anything, and the rest is looked up slowly
        known = _TIFS.get(kind, _PLAIN)
        if order.tif not in known:
            return "UNSUPPORTED_TIF", f"a {kind} order cannot be {order.tif}; use one of {', '.join(known)}"
    if order.side not in (BUY, SELL):
        return "BAD_SIDE", f"side is {order.side}; +1 buys, -1 sells"
    return None


def check_replace(working: WorkingOrder, terms: RouteReplace, params: BrokerParams) -> Refusal | None:
    """Return why new terms for a working order are refused, or None."""
    refusal = _check_terms(working.order.type, terms.qty, terms.limit_px, terms.stop_px)
    if refusal is None and terms.qty <= working.cum_qty:
        refusal = below_filled(working.cum_qty)
    closes = working.order.lot_id or working.order.reduce_only  # lots are fractions behind a split
    if refusal is None and not closes and terms.qty % params.lot_size and terms.qty != working.qty:
        refusal = "BAD_LOT", f"quantity {fmt(terms.qty)} is no multiple of the lot size {fmt(params.lot_size)}"
    if refusal is None and working.triggered and terms.stop_px != working.stop_px:
        refusal = "ALREADY_TRIGGERED", "the condition was met and the order works without it; its price cannot change"
    return refusal


def check_exit(working: WorkingOrder, qty: int, left: int) -> Refusal | None:
    """Return why an exit of a bracket does not get a new quantity, or None.

    Args:
        working: the exit.
        qty: its new quantity.
        left: what its entry filled less what its exits did.
    """
    if qty <= max(working.qty, working.cum_qty + left):
        return None
    entry = working.order.parent_id
    return "BEYOND_ENTRY", f"{fmt(left)} of what {entry} filled are left to close; an exit of it has no more than those"


def _check_terms(kind: OrderType, qty: int, limit_px: int | None, stop_px: int | None) -> Refusal | None:
    if qty <= 0:
        return "BAD_QTY", f"quantity {fmt(qty)} is not positive"
    if stop_px is None and (limit_px is None if kind is _MARKET else kind is _LIMIT and (limit_px or 0) > 0):
        return None
    wants = _PRICES[kind]
    for name, price, wanted in (("limit", limit_px, wants[0]), ("stop", stop_px, wants[1])):
        if wanted and (price is None or price <= 0):
            return f"BAD_{name.upper()}_PX", f"a {kind} order needs a positive {name} price"
        if not wanted and price is not None:
            return f"BAD_{name.upper()}_PX", f"a {kind} order has no {name} price"
    return None


def _check_extra(order: SubmitOrder) -> Refusal | None:
    """Check what only the terms of an order say; the gate has said it in more words."""
    terms = order.terms or NO_TERMS
    if order.type is OrderType.TRAILING_STOP and (terms.trail_amount is None) is (terms.trail_percent is None):
        return "BAD_TRAIL", "a trailing_stop order needs one of trail_amount and trail_percent"
    if (order.tif is TimeInForce.GTD) is (terms.expire_ts is None):
        return "BAD_EXPIRY", "an order has expire_at if it is gtd, and only then"
    if terms.bracket_of:
        return "BAD_BRACKET", "only the broker makes the exits of a bracket"
    if terms.bracket is not None and (order.reduce_only or order.lot_id):
        return "BAD_BRACKET", "an order that only reduces has nothing that a bracket could protect"
    return None


def check_auction(order: WorkingOrder, now: int, session_close: int, *, close_only: bool) -> Refusal | None:
    """Return why an order for an auction is refused, or None.

    Args:
        order: as it would work.
        now: nanoseconds UTC.
        session_close: of the session under way, 0 where none is.
        close_only: whether the data have closes only.
    """
    if not order.auction:
        return None
    if close_only:
        return NO_AUCTIONS, "the data have closing prices only, so that no auction can be told from them"
    if order.auction is Auction.CLOSE and now <= session_close < now + AUCTION_CUTOFF_NS:
        return "AUCTION_CLOSED", "orders for the closing auction are taken until ten minutes before it"
    return None


def check_post_only(order: WorkingOrder, limit_px: int | None, best: int, *, rests_at: bool) -> Refusal | None:
    """Return why a limit is refused for an order that may only rest, or None.

    Args:
        order: it may be one that may take, which is never refused.
        limit_px: as it would be.
        best: the price it would take at, 0 where unknown.
        rests_at: at exactly that price it rests, and takes only beyond.
    """
    if order.terms is None or not order.terms.post_only or limit_px is None or not best:
        return None
    if order.side * (limit_px - best) < rests_at:
        return None
    reason = f"the limit {fmt(limit_px)} would trade at once at {fmt(best)}, and the order may only rest"
    return POST_ONLY_WOULD_TAKE, reason
