"""What the broker takes: checks of new orders and of new terms, each refusal with a stable code and a sentence.

The gate has looked at risk; this is the venue looking at form. Anything that is not understood is refused.
"""

from __future__ import annotations

from typing import Final

from actors.broker.account import Account
from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.messages.orders import BUY, SELL, OrderType, RouteReplace, SubmitOrder, TimeInForce
from actors.values.fixed import fmt
from actors.values.universe import Universe

TYPES: Final = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP)
TIFS: Final = (TimeInForce.DAY, TimeInForce.GTC)

REDUCE_ONLY_FLAT: Final = "REDUCE_ONLY_FLAT"
LOT_CLOSED: Final = "LOT_CLOSED"

Refusal = tuple[str, str]
"""(code, sentence)"""


def check_new(order: SubmitOrder, universe: Universe, account: Account, params: BrokerParams) -> Refusal | None:
    """Return why an order is refused, or None."""
    refusal = _check_kind(order, universe) or _check_terms(order.type, order.qty, order.limit_px, order.stop_px)
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
    if order.type not in TYPES:
        known = ", ".join(TYPES)
        return "UNSUPPORTED_TYPE", f"orders of type {order.type} are not taken; use one of {known}"
    if order.tif not in TIFS:
        known = ", ".join(TIFS)
        return "UNSUPPORTED_TIF", f"time in force {order.tif} is not taken; use one of {known}"
    if order.side not in (BUY, SELL):
        return "BAD_SIDE", f"side is {order.side}; +1 buys, -1 sells"
    return None


def check_replace(working: WorkingOrder, terms: RouteReplace, params: BrokerParams) -> Refusal | None:
    """Return why new terms for a working order are refused, or None."""
    refusal = _check_terms(working.order.type, terms.qty, terms.limit_px, terms.stop_px)
    if refusal is None and terms.qty <= working.cum_qty:
        done = fmt(working.cum_qty)
        refusal = "BELOW_FILLED", f"{done} are filled already; a new quantity must be larger, or cancel the rest"
    if refusal is None and terms.qty % params.lot_size and terms.qty != working.qty:
        refusal = "BAD_LOT", f"quantity {fmt(terms.qty)} is no multiple of the lot size {fmt(params.lot_size)}"
    if refusal is None and working.triggered and terms.stop_px != working.stop_px:
        refusal = "ALREADY_TRIGGERED", "the stop was triggered and works as a market order; its price cannot change"
    return refusal


def _check_terms(kind: OrderType, qty: int, limit_px: int | None, stop_px: int | None) -> Refusal | None:
    if qty <= 0:
        return "BAD_QTY", f"quantity {fmt(qty)} is not positive"
    if kind is OrderType.MARKET and limit_px is None and stop_px is None:
        return None
    for name, price, wanted in (
        ("limit", limit_px, kind is OrderType.LIMIT),
        ("stop", stop_px, kind is OrderType.STOP),
    ):
        if wanted and (price is None or price <= 0):
            return f"BAD_{name.upper()}_PX", f"a {kind} order needs a positive {name} price"
        if not wanted and price is not None:
            return f"BAD_{name.upper()}_PX", f"a {kind} order has no {name} price"
    return None
