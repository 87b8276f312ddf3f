"""What the calendar means for working orders: sessions that were missed, closes that are told late, auctions."""

from __future__ import annotations

import pytest

from actors.messages.market import GapDetected, SessionClosed
from actors.messages.orders import BUY, OrderExpired, OrderTerms, OrderType, TimeInForce
from tests.actors.broker.desk import FREE, HOUR, Desk, fills, fx
from tests.actors.broker.tape import Tape

FLAT = (100, 100, 100, 100)


def missed(desk: Desk, first: float, last: float):
    """Tell, when it is over, that prices were missed from one hour to another."""
    return desk.put(
        GapDetected(round(last * HOUR), "feed", round(first * HOUR), round(last * HOUR)), round(last * HOUR)
    )


def ended(events) -> list[tuple[str, str]]:
    """Which orders ran out, and why."""
    return [(event.client_order_id, event.reason) for event in events if isinstance(event, OrderExpired)]


@pytest.mark.parametrize(("until", "told"), [(7.5, []), (8, [("c1", "day")]), (20, [("c1", "day")])])
def test_a_gap_that_reaches_the_close_ends_the_sessions_orders_when_it_is_told(until, told):
    """The session is over at 8: nobody waits for the next one to hear what ended with it."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.route(BUY, 10, "limit", 90, tif=TimeInForce.DAY)
    assert ended(missed(desk, 6, until)) == told
    assert ended(desk.open(1)) == ([] if told else [("c1", "day")])


@pytest.mark.parametrize(("next_day", "told"), [(1, []), (2, [("c1", "day")])])
def test_a_day_order_of_the_evening_is_for_the_next_session_and_ends_if_that_was_missed(next_day, told):
    """Given at 10 behind session 0, prices are missed until 20 or further: session 1 is its own, session 2 is not."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.close(0)
    desk.clock.advance_to(10 * HOUR)
    desk.route(BUY, 10, "limit", 95, tif=TimeInForce.DAY)
    missed(desk, 11, 24 * next_day - 4)
    assert ended(desk.open(next_day)) == told
    got = fills(desk.bar(24 * next_day + 1, (94, 94, 94, 94)))
    assert [fill.last_px for fill in got] == ([] if told else [fx(94)])


def test_orders_with_a_date_of_their_own_end_with_the_first_thing_that_is_told_behind_it():
    """No bar comes: those of 7 and of 8, the close itself, end with the close, that of 9 with the next opening."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    for hour in (7, 8, 9):
        desk.route(BUY, 10, "limit", 90, tif=TimeInForce.GTD, terms=OrderTerms(expire_ts=hour * HOUR))
    assert ended(desk.close(0)) == [("c1", "gtd"), ("c2", "gtd")]
    assert ended(desk.open(1)) == [("c3", "gtd")]


def test_an_order_of_before_the_first_session_that_is_ever_told_is_for_it():
    """Nobody knows which session was the one before; prices were missed, and the order has waited."""
    desk = Desk(FREE, daily=False)
    desk.clock.advance_to(HOUR // 2)
    desk.route(BUY, 10, "limit", 95, tif=TimeInForce.DAY)
    missed(desk, 1, 20)
    assert ended(desk.open(5)) == []
    assert len(fills(desk.bar(121, (94, 94, 94, 94)))) == 1


@pytest.mark.parametrize("at", [8.0, 7.0])
def test_an_order_for_the_close_that_came_in_behind_it_waits_for_the_next_one(at):
    """The close is at 8, and its last bar, to ``at``, and the close itself are told later than an order of 8:30.

    That fills at the next session's close of 103 and not at a price of 100 from before it came in.
    """
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.clock.advance_to(round(8.5 * HOUR))
    desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    assert desk.bar(at, FLAT) == []
    assert desk.put(SessionClosed(8 * HOUR, desk.session(0))) == []
    desk.open(1)
    assert [fill.last_px for fill in fills(desk.bar(32, (103, 103, 103, 103)))] == [fx(103)]


def test_an_order_for_the_close_fills_at_no_price_of_the_session_before():
    """The last bar of session 0 was told behind it; in session 1 the symbol does not trade, so there is no close."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.clock.advance_to(round(8.5 * HOUR))
    desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    desk.bar(8, FLAT)
    desk.put(SessionClosed(8 * HOUR, desk.session(0)))
    desk.open(1)
    events = desk.close(1)
    assert (fills(events), ended(events)) == ([], [("c1", "cls")])


def test_an_order_that_is_not_for_the_close_is_not_filled_there():
    """One for the opening that came in behind this session's waits for the next: no close is its."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.bar(1, FLAT)
    desk.route(BUY, 10, type=OrderType.MARKET_ON_OPEN, tif=TimeInForce.OPG)
    desk.route(BUY, 5, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    desk.bar(7, FLAT)
    assert [fill.client_order_id for fill in fills(desk.close(0))] == ["c2"]
    desk.open(1)
    assert [fill.client_order_id for fill in fills(desk.bar(25, FLAT))] == ["c1"]


def test_a_bar_behind_the_session_is_nobodys_opening():
    """A did not trade in session 0. Its first bar comes in the evening, when an order for the next opening waits."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.close(0)
    desk.clock.advance_to(9 * HOUR)
    desk.route(BUY, 10, type=OrderType.MARKET_ON_OPEN, tif=TimeInForce.OPG)
    assert desk.bar(11, FLAT) == []
    desk.open(1)
    assert [fill.last_px for fill in fills(desk.bar(25, (103, 103, 103, 103)))] == [fx(103)]


def test_an_order_that_waits_for_the_close_keeps_no_other_one_from_ending_with_the_opening():
    """The older one is for the close; the limit of 90 for the opening of 100 had its chance with the first bar."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    desk.route(BUY, 10, "limit", 90, tif=TimeInForce.OPG)
    assert ended(desk.bar(1, FLAT)) == [("c2", "opg")]
    assert [order.order.client_order_id for order in desk.broker.working] == ["c1"]


def test_ticks_of_a_session_whose_close_was_never_seen_are_none_of_the_next_one():
    """A was quoted in session 1; session 2 has bars only, and an order is matched with them."""
    tape = Tape()
    tape.quote(1, 50.00, 300, 50.02, 200)
    tape.open(2)
    tape.route(BUY, 10)
    (fill,) = fills(tape.bar(49, (60, 60, 60, 60)))
    assert (fill.last_px, fill.px_source) == (fx(60), "open")
