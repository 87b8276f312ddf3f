"""What corporate actions do to single orders, derived beside each case."""

from __future__ import annotations

from typing import Any

import pytest

from actors.broker import actions
from actors.broker.lots import OpenLot
from actors.broker.order_state import WorkingOrder
from actors.broker.purse import MarginPrices
from actors.messages.market import CorporateAction
from actors.messages.orders import (
    Bracket,
    OrderAccepted,
    OrderCancelRejected,
    OrderReplaceRequested,
    OrderTerms,
    OrderType,
    SubmitOrder,
    TimeInForce,
)
from actors.values.fixed import SCALE
from tests.actors.broker.desk import DAY, FREE, Desk, make_panel
from tests.actors.broker.house import House
from tests.actors.broker.tape import MS, Tape


def fx(value: float) -> int:
    """Write a number as the room keeps it."""
    return round(value * SCALE)


def working(kind: OrderType, side: int, qty: float, *, cum: float = 0, **fields: Any) -> WorkingOrder:
    """Return a GTC order, ``cum`` of it filled."""
    order = WorkingOrder(1, SubmitOrder("o", "main", 0, side, fx(qty), kind, TimeInForce.GTC, **fields), 0, 1)
    order.cum_qty = fx(cum)
    order.leaves = order.qty - order.cum_qty
    return order


def ratio(new: int, old: int) -> CorporateAction:
    """Return a split of the first symbol."""
    return CorporateAction(1, 20240306, 0, "split", new * SCALE // old, numerator=new, denominator=old)


def test_all_terms_of_an_order_are_said_in_new_shares() -> None:
    """Two for one: 10 of which 4 are filled, 3 shown, are 20, 8 and 6; every price and distance in money halves.

    A distance in percent is one still.
    """
    bracket = Bracket(fx(60), None, fx(4), None, fx(58))
    terms = OrderTerms(trail_percent=fx(5), activation_px=fx(52), display_qty=fx(3), bracket=bracket, oco_group="g")
    order = working(OrderType.LIMIT, 1, 10, cum=4, limit_px=fx(50), terms=terms)
    found = actions.split(order, ratio(2, 1), {}, SCALE)
    assert found is not None
    assert (found.qty, found.cum_qty, found.limit_px, found.stop_px) == (fx(20), fx(8), fx(25), None)
    assert found.terms == OrderTerms(
        trail_percent=fx(5),
        activation_px=fx(26),
        display_qty=fx(6),
        bracket=Bracket(fx(30), None, fx(2), None, fx(29)),
        oco_group="g",
    )


def test_a_reverse_split_shows_a_whole_share_at_least() -> None:
    """20 with 3 shown, one for ten: 2 with 1 shown."""
    order = working(OrderType.LIMIT, 1, 20, limit_px=fx(5), terms=OrderTerms(display_qty=fx(3)))
    found = actions.split(order, ratio(1, 10), {}, SCALE)
    assert found is not None
    assert found.terms is not None
    assert (found.qty, found.terms.display_qty, found.limit_px) == (fx(2), fx(1), fx(50))


@pytest.mark.parametrize(("name", "open_", "left"), [("a", 3, 4), ("b", 2, 3), ("a", 2, 3), ("gone", 3, 4)])
def test_an_exit_goes_on_covering_its_lot(name: str, open_: int, left: float) -> None:
    """Lots of 3 and 2 at 3:2 are 4.5 and 3, of which the first pays the half: 4 and 3.

    An exit of a whole lot covers what is left of it. One of 2 in the lot of 3 would be 3; one whose lot is gone is cut
    to whole shares as any other: 4.5 to 4.
    """
    lots = {"a": OpenLot("a", fx(3)), "b": OpenLot("b", fx(2))}
    order = working(OrderType.STOP, -1, open_, stop_px=fx(9), lot_id=name, reduce_only=True)
    found = actions.split(order, ratio(3, 2), lots, SCALE)
    assert found is not None
    assert (found.qty, found.stop_px) == (fx(left), fx(6))


def test_an_exit_of_a_whole_lot_covers_what_rounding_gave_it() -> None:
    """Two shares at 1:3 are 0.66666667: the first lot 0.33333333 of it, the second what is left, 0.33333334."""
    lots = {"a": OpenLot("a", fx(1)), "b": OpenLot("b", fx(1))}
    for name, left in (("a", 33_333_333), ("b", 33_333_334)):
        order = working(OrderType.STOP, -1, 1, stop_px=fx(9), lot_id=name, reduce_only=True)
        found = actions.split(order, ratio(1, 3), lots, 1)
        assert found is not None
        assert found.qty == left


def test_new_terms_on_their_way_arrive_in_new_shares() -> None:
    """4 of 10 are filled and 9 at 40 is asked for: behind 3:2 it is 6 + 7, for 7.5 is cut, at 26.66666667."""
    order = working(OrderType.LIMIT, 1, 10, cum=4, limit_px=fx(50))
    request = OrderReplaceRequested("o", fx(9), fx(40), None, 5, 77)
    found = actions.split_request(request, order, ratio(3, 2), SCALE)
    assert found == OrderReplaceRequested("o", fx(13), 2_666_666_667, None, 5, 77)


def test_a_triggered_order_is_lowered_as_what_it_works_as_now() -> None:
    """Triggered, a buy stop-limit is a buy limit, which drops, and a sell stop-limit is a sell limit, which stays."""
    bought = working(OrderType.STOP_LIMIT, 1, 1, stop_px=fx(50), limit_px=fx(51))
    sold = working(OrderType.STOP_LIMIT, -1, 1, stop_px=fx(50), limit_px=fx(49))
    assert actions.dividend(bought, fx(1)) is None
    lowered = actions.dividend(sold, fx(1))
    assert lowered is not None
    assert (lowered.stop_px, lowered.limit_px) == (fx(49), fx(48))
    bought.trigger()
    sold.trigger()
    lowered = actions.dividend(bought, fx(1))
    assert lowered is not None
    assert (lowered.stop_px, lowered.limit_px) == (fx(50), fx(50))
    assert actions.dividend(sold, fx(1)) is None


def test_a_short_entrys_target_is_a_buy_limit_and_drops() -> None:
    """The entry, a sell limit, stays, and so does its stop, a buy stop."""
    bracket = Bracket(take_profit_px=fx(40), stop_px=fx(60))
    order = working(OrderType.LIMIT, -1, 1, limit_px=fx(50), terms=OrderTerms(bracket=bracket))
    found = actions.dividend(order, fx(2))
    assert found is not None
    assert found.limit_px == fx(50)
    assert found.terms is not None
    assert found.terms.bracket == Bracket(take_profit_px=fx(38), stop_px=fx(60))


def test_a_buy_limits_bracket_drops_with_it_where_it_lies_below() -> None:
    """The stop and what arms its trail lie below the entry and drop; the target is a sell limit and stays."""
    bracket = Bracket(take_profit_px=fx(60), trail_amount=fx(3), activation_px=fx(48))
    order = working(OrderType.LIMIT, 1, 1, limit_px=fx(50), terms=OrderTerms(bracket=bracket))
    found = actions.dividend(order, fx(2))
    assert found is not None
    assert found.limit_px == fx(48)
    assert found.terms is not None
    assert found.terms.bracket == Bracket(take_profit_px=fx(60), trail_amount=fx(3), activation_px=fx(46))


def test_a_buy_stop_stays_and_so_does_its_bracket() -> None:
    """What is bought above the market is no open buy limit; its exits are measured from it."""
    terms = OrderTerms(bracket=Bracket(take_profit_px=fx(60), stop_px=fx(48)))
    assert actions.dividend(working(OrderType.STOP, 1, 1, stop_px=fx(52), terms=terms), fx(2)) is None


def test_what_arms_a_sale_that_trails_drops() -> None:
    """A sale that trails is a sell stop; of a purchase nothing drops."""
    terms = OrderTerms(trail_amount=fx(3), activation_px=fx(55))
    found = actions.dividend(working(OrderType.TRAILING_STOP, -1, 1, terms=terms), fx(2))
    assert found is not None
    assert found.terms == OrderTerms(trail_amount=fx(3), activation_px=fx(53))
    assert actions.dividend(working(OrderType.TRAILING_STOP, 1, 1, terms=terms), fx(2)) is None


def test_margin_is_measured_in_the_units_that_hold() -> None:
    """100 halve in a split, lose 2 in a dividend, and go with the name; a name nobody knew takes no price away."""
    prices = MarginPrices(3)
    prices.fold_bars(make_panel(((100, 100, 100, 100), None, (7, 7, 7, 7)), 1, 1, 20240306, None))
    prices.fold_action(ratio(2, 1))
    assert prices.last(0) == fx(50)
    prices.fold_action(CorporateAction(1, 20240306, 0, "dividend", fx(2)))
    assert prices.last(0) == fx(48)
    prices.fold_action(CorporateAction(1, 20240306, 1, "rename", 0, renamed_to=2))
    assert prices.last(2) == fx(7)
    prices.fold_action(CorporateAction(1, 20240306, 0, "rename", 0, renamed_to=1))
    assert prices.last(1) == fx(48)
    again = MarginPrices(3)
    again.restore(prices.snapshot())
    assert [again.last(symbol) for symbol in range(3)] == [fx(48), fx(48), fx(7)]


@pytest.mark.parametrize("kind", ["spinoff", "rename"])
def test_an_action_that_nobody_can_carry_out_changes_nothing(kind: str) -> None:
    """One of an unknown kind, and a rename that names no symbol: positions, orders and prices are what they were."""
    house = House(FREE)
    house.bar((100, 100, 100, 100), (50, 50, 50, 50))
    house.order(1, 10, strategy="")
    house.bar((100, 100, 100, 100), (50, 50, 50, 50))
    house.order(1, 10, strategy="", type=OrderType.LIMIT, limit_px=fx(90))
    twin = House(FREE)
    twin.core.sequencer.restore(house.core.sequencer.snapshot())
    assert house.put(CorporateAction(house.clock.now(), 20200103, 0, kind, 0)) == []
    for core in (house.core, twin.core):
        assert [order.limit_px for order in core.broker.working] == [fx(90)]
        assert core.portfolio.equity("main") == fx(1_000_000)
        assert core.portfolio.portfolio("main").qty(0) == fx(10)
        assert [core.risk.prices.last(symbol) for symbol in (0, 1)] == [fx(100), fx(50)]


def test_orders_that_come_under_one_name_stand_by_age() -> None:
    """A is renamed to B, where a younger order works already; a split of B restates the older one first."""
    desk = Desk(FREE)
    desk.route(1, 10, "limit", 50)
    desk.route(1, 10, "limit", 50, symbol=1)
    desk.put(CorporateAction(1, 20240306, 0, "rename", 0, renamed_to=1))
    told = desk.put(CorporateAction(1, 20240306, 1, "split", 2 * SCALE, numerator=2, denominator=1))
    assert [event.client_order_id for event in told] == ["c1", "c2"]


def test_a_split_behind_a_close_that_was_never_seen_divides_the_last_tick() -> None:
    """Quoted at 50.00 to 50.02, then nothing until the next morning's 2:1: the last price is 25.005, not 50.01."""
    tape = Tape()
    tape.quote(0, 50.00, 300, 50.02, 200)
    opened = 2 * DAY
    tape.put(CorporateAction(opened, 20240306, 0, "split", 2 * SCALE, numerator=2, denominator=1), opened)
    tape.open(2)
    (accepted,) = tape.send(DAY // MS + 1, -1, 10, "trailing_stop", terms=OrderTerms(trail_amount=fx(1)))
    assert isinstance(accepted, OrderAccepted)
    assert accepted.ref_px == fx(25.005)


def test_an_exit_follows_a_lot_that_a_split_left_a_fraction_of() -> None:
    """Lots of 5 and 5 at 3:2 are 7.5 and 7.5; a sale of 3 by hand leaves 4.5 of the older one, and so its exits."""
    house = House(FREE)
    house.bar((100, 100, 100, 100))
    for _ in range(2):
        house.order(1, 5)
        house.bar((100, 100, 100, 100))
    house.put(CorporateAction(house.clock.now(), 20240306, 0, "split", 3 * SCALE // 2, numerator=3, denominator=2))
    house.order(-1, 3, strategy="", decision=0)
    events = house.bar((66, 66, 66, 66))
    assert [event for event in events if isinstance(event, OrderCancelRejected)] == []
    assert [qty for _, qty in house.lots()] == [fx(4.5), fx(7.5)]
    assert [order.leaves for order in house.core.broker.working] == [fx(4.5), fx(4.5), fx(7.5), fx(7.5)]
