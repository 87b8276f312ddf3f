"""Who needs shares that somebody located: what an order would sell short beside what is held and being sold already."""

from __future__ import annotations

from typing import Any

import pytest

from actors.messages.orders import BUY, SELL, OrderTerms, OrderType
from tests.actors.broker.desk import Desk, fx, kinds, with_params

FLAT = (100, 100, 100, 100)
LOT = "O-1-1"
"""The lot that the first purchase opens."""
NEEDED = with_params(allow_short=True, require_locate=True)
STOP = {"type": OrderType.STOP, "stop_px": fx(90)}
LIMIT = {"type": OrderType.LIMIT, "limit_px": fx(110)}


def answer(desk: Desk, qty: float, **order: Any) -> str:
    """What the venue says to a sale: "" where it takes it."""
    (event,) = desk.route(SELL, qty, **order)
    return event.code if kinds([event]) == ["OrderRejected"] else ""


@pytest.mark.parametrize(
    ("working", "qty", "order", "refused"),
    [
        ([], 4, {}, False),
        ([], 10, {}, False),
        ([], 11, {}, True),
        ([], 11, {"terms": OrderTerms(do_not_reduce=True)}, True),  # terms of another kind locate nothing
        ([], 11, {"terms": OrderTerms(locate=True)}, False),
        ([], 12, {"reduce_only": True}, False),  # it is cut to what is held
        # What rests only to reduce takes nothing: either it sells, or the other one does.
        ([(10, {**STOP, "reduce_only": True})], 10, {}, False),
        ([(10, {**LIMIT, "lot_id": LOT})], 10, {}, False),
        # What is sold for certain, or may come to a short, does: 4 of 10 leave 6.
        ([(4, {"reduce_only": True})], 6, {}, False),
        ([(4, {"reduce_only": True})], 7, {}, True),
        ([(4, {"lot_id": LOT})], 7, {}, True),
        ([(4, LIMIT)], 6, {}, False),
        ([(4, LIMIT)], 7, {}, True),
        # What may only reduce, or closes its lot, never sells short, whatever else works.
        ([(4, {})], 10, {"reduce_only": True}, False),
        ([(4, {})], 10, {"lot_id": LOT}, False),
    ],
)
def test_a_sale_of_more_than_is_left_of_what_is_held_needs_a_locate(working, qty, order, refused):
    """10 are held."""
    desk = Desk(NEEDED)
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    desk.broker.account("main").booked(0, (LOT, fx(10)), ())  # as the book says behind the fill
    for size, terms in working:
        assert answer(desk, size, **terms) == ""
    assert answer(desk, qty, **order) == ("NO_LOCATE" if refused else "")


@pytest.mark.parametrize(("symbol", "refused"), [(0, False), (1, True)])
def test_where_only_some_are_hard_to_borrow_the_others_need_none(symbol, refused):
    """B is, A is not; nothing is held."""
    desk = Desk(with_params(allow_short=True, hard_to_borrow=("B", "ELSEWHERE")))
    assert answer(desk, 1, symbol=symbol) == ("NO_LOCATE" if refused else "")


def test_a_purchase_needs_no_locate_whatever_is_short():
    """Covering 4 of 4, and 6 more."""
    desk = Desk(NEEDED)
    desk.route(SELL, 4, terms=OrderTerms(locate=True))
    desk.bar(1, FLAT)
    assert kinds(desk.route(BUY, 10)) == ["OrderAccepted"]
