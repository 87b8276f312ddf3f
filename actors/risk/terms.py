"""The rest of an order's form: time in force by type, trails, display quantities, brackets, expiries.

Most orders have none of these and are never looked at here. Codes: ``BAD_TIF``, ``BAD_EXPIRY``, ``BAD_TRAIL``,
``BAD_DISPLAY``, ``BAD_BRACKET``, and ``BAD_FIELD`` for a mark that the order's kind cannot have.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.messages.orders import BUY, NO_TERMS, Bracket, OrderTerms, OrderType, SubmitOrder, TimeInForce
from actors.risk.form import Denial
from actors.values.fixed import SCALE, fmt, mul_ratio
from actors.values.order_names import opening_id
from actors.values.time import format_ts

HUNDRED_PERCENT: Final = 100 * SCALE

_DAY, _GTC, _GTD = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD
_IOC, _FOK, _OPG, _CLS = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG, TimeInForce.CLS
_RESTING: Final = (_DAY, _GTC, _GTD)
_TIFS: Final[dict[OrderType, tuple[TimeInForce, ...]]] = {
    OrderType.MARKET: (*_RESTING, _IOC, _FOK, _OPG, _CLS),
    OrderType.LIMIT: (*_RESTING, _IOC, _FOK, _OPG, _CLS),
    OrderType.STOP: _RESTING,
    OrderType.STOP_LIMIT: _RESTING,
    OrderType.TRAILING_STOP: _RESTING,
    OrderType.MARKET_IF_TOUCHED: _RESTING,
    OrderType.LIMIT_IF_TOUCHED: _RESTING,
    OrderType.TAKE_PROFIT: (*_RESTING, _IOC, _FOK),
    OrderType.MARKET_ON_OPEN: (_OPG, _DAY),
    OrderType.MARKET_ON_CLOSE: (_CLS, _DAY),
}
"""Times in force by type; a stop or a touch order has to wait, so it cannot be for this instant or one auction."""
_PLAIN_TIFS: Final = (_DAY, _GTC)
_PLAIN_TYPES: Final = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP)
_WITH_LIMIT: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.TAKE_PROFIT)
_POSTED: Final = (OrderType.LIMIT, OrderType.TAKE_PROFIT)


def is_plain(order: SubmitOrder) -> bool:
    """Tell whether nothing here concerns an order: a market, limit or stop order for the day or until cancelled."""
    return order.terms is None and order.tif in _PLAIN_TIFS and order.type in _PLAIN_TYPES


def bad_terms(
    order: SubmitOrder, qty: int, limit_px: int | None, stop_px: int | None, *, ref: int, lot: int, now: int | None
) -> Denial | None:
    """Check everything an order says beyond side, quantity and prices.

    Args:
        order: whose prices are in order already (:func:`actors.risk.form.bad_price`).
        qty: its quantity, or the new one of a replace.
        limit_px: likewise its limit.
        stop_px: likewise its trigger.
        ref: last price of its symbol, 0 where none is known.
        lot: the lot size.
        now: the instant, nanoseconds UTC; None for a replace, which changes neither expiry nor display.
    """
    kind, tif = order.type, order.tif
    allowed = _TIFS[kind]
    if tif not in allowed:
        others = ", ".join(allowed)
        return Denial("BAD_TIF", f"a {kind} order does not take the time in force {tif}; use one of {others}")
    terms = order.terms or NO_TERMS
    known = ref if now is not None else 0  # what works already was right when it came; the market may have moved on
    denial = _bad_expiry(tif, terms.expire_ts, now) or _bad_trail(kind, order.side, terms, known)
    if denial is not None or order.terms is None:
        return denial
    denial = _bad_display(order, terms.display_qty, qty, lot, new=now is not None)
    if denial is None and terms.post_only and (kind not in _POSTED or tif not in _RESTING):
        reason = f"a {kind} order with the time in force {tif} takes liquidity; post_only is for resting limit orders"
        denial = Denial("BAD_FIELD", reason)
    if denial is None and terms.bracket is not None:
        anchor = limit_px or (stop_px if kind is OrderType.STOP else None) or known
        denial = bad_bracket(order, terms.bracket, anchor)
    return denial


def _bad_expiry(tif: TimeInForce, expire_ts: int | None, now: int | None) -> Denial | None:
    if tif is not _GTD:
        if expire_ts is None:
            return None
        return Denial("BAD_EXPIRY", f"expire_at is for orders with the time in force gtd, not {tif}; leave it out")
    if expire_ts is None:
        return Denial("BAD_EXPIRY", "an order with the time in force gtd needs expire_at")
    if now is not None and expire_ts <= now:
        stamp, present = format_ts(expire_ts), format_ts(now)
        return Denial("BAD_EXPIRY", f"expire_at {stamp} is not after {present}; name a later time", stamp, present)
    return None


def _bad_trail(kind: OrderType, side: int, terms: OrderTerms, ref: int) -> Denial | None:
    amount, percent, arming = terms.trail_amount, terms.trail_percent, terms.activation_px
    if kind is not OrderType.TRAILING_STOP:
        if amount is None and percent is None and arming is None:
            return None
        return Denial("BAD_TRAIL", f"a {kind} order has no trail; leave trail_amount, trail_percent, activation_px out")
    if amount is None and percent is None:
        return Denial("BAD_TRAIL", "a trailing_stop order needs trail_amount or trail_percent")
    return _bad_distance("BAD_TRAIL", "", amount, percent, arming, below=ref if side != BUY else 0)


def _bad_distance(
    code: str, of: str, amount: int | None, percent: int | None, arming: int | None, *, below: int
) -> Denial | None:
    """Check the distance of a trail; ``below`` is the price under which it trails, 0 for none known or above one."""
    if amount is not None and percent is not None:
        return Denial(code, f"a trail has {of}trail_amount or {of}trail_percent, not both")
    for name, value in (("trail_amount", amount), ("trail_percent", percent), ("activation_px", arming)):
        if value is not None and value <= 0:
            return Denial(code, f"{of}{name} must be above zero", fmt(value), "0")
    if percent is not None and percent >= HUNDRED_PERCENT:
        return Denial(code, f"{of}trail_percent must be below 100", fmt(percent), "100")
    if amount is not None and below and amount >= max(below, arming or 0):
        reason = f"{of}trail_amount {fmt(amount)} is as much as the price {fmt(below)} itself; make it smaller"
        return Denial(code, reason, fmt(amount), fmt(below))
    return None


def _bad_display(order: SubmitOrder, shown: int | None, qty: int, lot: int, *, new: bool) -> Denial | None:
    if shown is None:
        return None
    if order.type not in _WITH_LIMIT or order.tif not in _RESTING:
        reason = f"a {order.type} order with the time in force {order.tif} shows nothing; leave display_qty out"
        return Denial("BAD_DISPLAY", reason, fmt(shown))
    if shown <= 0 or shown % lot:
        return Denial("BAD_DISPLAY", f"display_qty must be a positive multiple of {fmt(lot)}", fmt(shown), fmt(lot))
    if new and shown > qty:  # a replace may leave less than what was shown at first
        return Denial("BAD_DISPLAY", f"display_qty must be at most the quantity {fmt(qty)}", fmt(shown), fmt(qty))
    return None


def bad_bracket(  # noqa: PLR0911 - one return per check
    order: SubmitOrder, bracket: Bracket, anchor: int
) -> Denial | None:
    """Check the exits of an entry: one target, one stop, each on its own side of ``anchor`` (0: of each other only)."""
    code, side = "BAD_BRACKET", order.side
    target, stop = bracket.take_profit_px, bracket.stop_px
    trails = bracket.trail_amount is not None or bracket.trail_percent is not None
    if order.reduce_only or order.lot_id:
        return Denial(code, "an order that only reduces opens nothing that a bracket could protect; leave it out")
    if target is None and stop is None and not trails:
        return Denial(code, "a bracket needs take_profit_px, stop_px, trail_amount or trail_percent")
    if stop is not None and trails:
        return Denial(code, "a bracket's stop has stop_px or a trail, not both")
    if bracket.activation_px is not None and not trails:
        return Denial(code, "bracket.activation_px is for a trail; add trail_amount or trail_percent, or leave it out")
    below = anchor if side == BUY else 0
    arming = bracket.activation_px
    denial = _bad_distance(code, "bracket.", bracket.trail_amount, bracket.trail_percent, arming, below=below)
    if denial is not None:
        return denial
    where = {1: "above", -1: "below"}
    for name, price, beyond in (("take_profit_px", target, side), ("stop_px", stop, -side)):
        if price is None:
            continue
        if price <= 0:
            return Denial(code, f"bracket.{name} must be above zero", fmt(price), "0")
        if anchor and beyond * (price - anchor) <= 0:
            word = "buy" if side == BUY else "sell"
            reason = f"bracket.{name} {fmt(price)} of a {word} must lie {where[beyond]} its entry at {fmt(anchor)}"
            return Denial(code, reason, fmt(price), fmt(anchor))
    if target is not None and stop is not None and side * (target - stop) <= 0:
        reason = f"bracket.stop_px {fmt(stop)} lies beyond bracket.take_profit_px {fmt(target)}; swap them"
        return Denial(code, reason, fmt(stop), fmt(target))
    return None


def worst_px(order: SubmitOrder, stop_px: int | None, ref: int) -> int:
    """Return the price an order without a limit is judged at, units of 1e-8: what it may have to pay when it triggers.

    A touch order trades at its price or a better one once the market has come there, and may do so at once, so it is
    judged at the reference; so is every sale. A buy that trails is judged where its stop would begin.
    """
    if order.side != BUY:
        return ref
    if stop_px is not None and (order.type is OrderType.STOP or not ref):
        return max(stop_px, ref)
    terms = order.terms
    if ref and order.type is OrderType.TRAILING_STOP and terms is not None:
        best = max(ref, terms.activation_px or 0)
        return best + (terms.trail_amount or mul_ratio(best, terms.trail_percent or 0, HUNDRED_PERCENT))
    return ref


def closing_half(order: SubmitOrder, qty: int) -> SubmitOrder:
    """Return the part of a flip that closes ``qty``: it opens nothing, so no bracket stands behind it."""
    return _half(order, qty, bracket=None)


def opening_half(order: SubmitOrder, qty: int) -> SubmitOrder:
    """Return the part of a flip that opens ``qty``, named after the order."""
    name = order.client_order_id
    half = _half(order, qty, bracket=order.terms.bracket if order.terms is not None else None)
    return msgspec.structs.replace(half, client_order_id=opening_id(name), parent_id=name)


def _half(order: SubmitOrder, qty: int, *, bracket: Bracket | None) -> SubmitOrder:
    terms = order.terms
    if terms is None:
        return msgspec.structs.replace(order, qty=qty)
    display = terms.display_qty
    shown = None if display is not None and display >= qty else display
    left = msgspec.structs.replace(terms, bracket=bracket, display_qty=shown)
    return msgspec.structs.replace(order, qty=qty, terms=None if left == NO_TERMS else left)
