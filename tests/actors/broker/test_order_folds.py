"""What the broker keeps of an order: what the market was when it arrived, what is set aside, what it shows."""

from __future__ import annotations

import pytest

from actors.messages.orders import (
    BUY,
    SELL,
    Bracket,
    CancelOrder,
    OrderCanceled,
    OrderDenied,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderTerms,
    RouteReplace,
)
from tests.actors.broker.desk import FREE, Desk, fills, fx, kinds, with_params
from tests.actors.broker.tape import Tape

TENTH = with_params(participation=fx(0.1))
"""A tenth of each bar's volume may be filled."""
FLAT = (100, 101, 99, 100)


def test_the_exits_of_an_entry_arrive_at_the_price_that_it_was_filled_at():
    """The limit at 99 fills on the way from the open of 100 to the low of 98: its exits never saw the open."""
    desk = Desk(FREE)
    desk.route(BUY, 10, "limit", 99, terms=OrderTerms(bracket=Bracket(fx(120), fx(80))))
    desk.bar(2, (100, 105, 98, 103))
    (ended,) = desk.cancel("c1-tp")
    assert isinstance(ended, OrderCanceled)
    assert ended.arrival_px == fx(99)


@pytest.mark.parametrize("restored", [False, True])
def test_an_order_that_was_filled_in_part_arrived_where_its_first_fill_did(restored):
    """30 of 100 at the close of 100 that it came in with. The rest, at the open of 103, is measured from there too."""
    desk = Desk(with_params(TENTH, same_event_fill=True), daily=False)
    desk.open(1)
    desk.bar(25, FLAT, volume=300)
    (first,) = fills(desk.route(BUY, 100))
    assert (first.last_qty, first.arrival_px) == (fx(30), fx(100))
    if restored:
        desk.split()
    (second,) = fills(desk.bar(26, (103, 104, 102, 103), volume=10_000))
    assert (second.last_qty, second.last_px, second.arrival_px) == (fx(70), fx(103), fx(100))


def test_an_order_that_rests_arrived_at_the_price_that_stood_before_the_first_print_that_it_saw():
    """51 had printed when it came to the market, 50 and the 48.90 that fills it at 49 are what it saw."""
    tape = Tape()
    tape.trade(1, (51.00, 100))
    tape.send(2, BUY, 100, "limit", limit_px=49.00)
    assert fills(tape.trade(3, (50.00, 100))) == []
    (fill,) = fills(tape.trade(4, (48.90, 100)))
    assert (fill.last_px, fill.arrival_px) == (fx(49), fx(51))


def test_a_part_of_a_share_costs_its_value_rounded_to_the_nearest_unit():
    """0.3 at 33.33333333 are 9.999999999, which is 10.00000000 and not 9.99999999."""
    desk = Desk(with_params(lot_size=fx(0.1)), cash=100)
    desk.route(BUY, 0.3)
    px = 33.33333333
    assert [fill.last_qty for fill in fills(desk.bar(1, (px, px, px, px)))] == [fx(0.3)]
    assert desk.broker.account("main").cash == fx(90)


def test_an_order_that_shrinks_with_its_group_keeps_what_is_set_aside_for_it():
    """Fewer shares at the same price, with 700 set aside; a partial fill of the other one states them again."""
    desk = Desk(TENTH)
    for symbol_px in (101, 102):
        desk.route(BUY, 20, "stop", symbol_px, reserved=fx(2_000), terms=OrderTerms(oco_group="g"))
    desk.put(RouteReplace("c2", fx(15), None, fx(102), fx(700)))
    events = desk.bar(2, (100, 101, 100, 100), volume=50)
    assert kinds(events) == ["OrderTriggered", "OrderPartiallyFilled", "OrderReplaced"]
    filled, shrunk = events[1:]
    assert isinstance(filled, OrderPartiallyFilled)
    assert isinstance(shrunk, OrderReplaced)
    assert (filled.last_qty, shrunk.client_order_id, shrunk.qty, shrunk.reserved) == (fx(5), "c2", fx(10), fx(700))


def test_an_iceberg_at_a_new_price_shows_a_whole_slice_there():
    """30 of the 40 shown are filled at 50.00. At 50.05, where nobody is ahead, the next print meets 40 and not 10."""
    tape = Tape()
    tape.quote(1, 50.00, 300, 50.10, 200)
    tape.send(2, BUY, 100, "limit", limit_px=50.00, terms=OrderTerms(display_qty=fx(40)))
    assert [fill.last_qty for fill in fills(tape.trade(3, (50.00, 330)))] == [fx(30)]
    tape.replace("c1", 100, limit=50.05)
    assert [fill.last_qty for fill in fills(tape.trade(4, (50.05, 100)))] == [fx(40)]


def test_who_cancels_what_risk_kept_away_is_told_that_it_has_ended():
    """The id is known. One that was kept away for having the name of an exit to come is that exit's still."""
    desk = Desk(FREE)
    for name, code in (("kept", "COLLAR"), ("c1-tp", "DUPLICATE")):
        desk.put(OrderDenied(desk.order(SELL, 1, client_order_id=name), code, "no"))
    answers = [desk.put(CancelOrder(name, "asked"))[0] for name in ("kept", "c1-tp", "other")]
    assert [answer.code for answer in answers] == ["TERMINAL_ORDER", "UNKNOWN_ORDER", "UNKNOWN_ORDER"]
