"""Orders that would turn a position around: they are split, and their halves trade in their order.

The half that closes carries the order's name and goes first; the one that opens says whose it is by its ``parent_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.messages.orders import OrderType, SubmitOrder, TimeInForce
from actors.risk.form import Denial, Split
from actors.risk.holdings import Working
from actors.values.fixed import fmt
from actors.values.order_names import opening_id, opens_a_flip

_STOPS: Final = (OrderType.STOP, OrderType.STOP_LIMIT)


def split(order: SubmitOrder, closable: int) -> Split | Denial:
    """Return how an order that would turn the position is cut.

    In an OCO group its halves would cancel each other, and what fills whole or not at all cannot be two orders.
    """
    if order.tif is TimeInForce.FOK:
        reason = f"the order would flip the position, and a fok order cannot be split; {fmt(closable)} close it"
        return Denial("WOULD_FLIP", reason, fmt(order.qty), fmt(closable))
    if order.terms is not None and order.terms.oco_group:
        reason = f"the order would flip the position, and one of an OCO group cannot be split; {fmt(closable)} close it"
        return Denial("WOULD_FLIP", reason, fmt(order.qty), fmt(closable))
    return Split(closable)


def unclosed(order: SubmitOrder, closable: int) -> Denial:
    """Deny the half of a flip that opens, where the half that closes was refused: nothing is closed in its stead."""
    reason = f"the order {order.parent_id} that was to close {fmt(closable)} first was refused, so nothing is opened"
    return Denial("WOULD_FLIP", reason, fmt(order.qty), fmt(closable))


def opening_of(order: SubmitOrder, orders: Mapping[str, Working]) -> Working | None:
    """Return the half that opens, where it works and ``order`` is the half that closes; else None."""
    half = orders.get(opening_id(order.client_order_id))
    return half if half is not None and half.order.parent_id == order.client_order_id else None


def out_of_turn(
    working: Working, qty: int, limit_px: int | None, stop_px: int | None, orders: Mapping[str, Working]
) -> Denial | None:
    """Return why new terms of one half of a flip would let the half that opens close in the other's stead.

    Args:
        working: either half, or any other order, of which nothing is said.
        qty: its new quantity.
        limit_px: its new limit, None without one.
        stop_px: its new trigger, None without one.
        orders: all that work, by client order id.
    """
    order = working.order
    opens = opens_a_flip(order.client_order_id, order.parent_id)
    other = orders.get(order.parent_id) if opens else opening_of(order, orders)
    if other is None:
        return None
    remedy = f"cancel {order.client_order_id} and order anew"
    if not opens and qty < working.qty:
        reason = f"what it closes less {other.order.client_order_id} would close, which is to open; {remedy}"
        return Denial("WOULD_FLIP", reason, fmt(qty), fmt(working.qty))
    mine, theirs = (limit_px, stop_px), (other.limit_px, other.stop_px)
    closing, opening = (theirs, mine) if opens else (mine, theirs)
    trigger = -order.side if order.type in _STOPS else order.side
    for towards, first, second, new, bound in zip((order.side, trigger), closing, opening, mine, theirs, strict=True):
        if first is not None and second is not None and towards * (first - second) < 0:
            reason = (
                "the half of the flip that opens would trade before the half that closes "
                f"({other.order.client_order_id} is the other one); set a price that keeps their order, or {remedy}"
            )
            return Denial("WOULD_FLIP", reason, fmt(new or 0), fmt(bound or 0))
    return None
