"""Brackets and groups of which one cancels the others: quantities follow fills, and nothing outlives its purpose."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import (
    BUY,
    SELL,
    Bracket,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderTerms,
    OrderTriggered,
    OrderType,
    TimeInForce,
)
from actors.values.fixed import SCALE
from tests.actors.broker.desk import FREE, Desk, fx

TENTH = msgspec.structs.replace(FREE, participation=10_000_000)
"""A tenth of each bar's volume may be filled."""
MAIN = "main"


def bracket(target: float | None = None, stop: float | None = None, **more: float) -> OrderTerms:
    """A bracket of plain numbers."""
    terms = {name: fx(value) for name, value in more.items()}
    return OrderTerms(
        bracket=Bracket(None if target is None else fx(target), None if stop is None else fx(stop), **terms)
    )


def said(events) -> list[tuple]:
    """What happened, in order: (word, client order id, number)."""
    out = []
    for e in events:
        match e:
            case OrderAccepted():
                out.append(("accepted", e.order.client_order_id, e.order.qty // SCALE))
            case OrderFilled() | OrderPartiallyFilled():
                out.append(("filled", e.client_order_id, e.last_qty // SCALE, e.last_px / SCALE))
            case OrderTriggered():
                out.append(("triggered", e.client_order_id, e.level / SCALE))
            case OrderReplaced():
                out.append(("replaced", e.client_order_id, e.qty // SCALE))
            case OrderCanceled():
                out.append(("canceled", e.client_order_id, e.reason))
            case _:
                out.append((type(e).__name__,))
    return out


def working(desk: Desk) -> dict[str, int]:
    """Open quantities by client order id."""
    return {o.order.client_order_id: o.leaves // SCALE for o in desk.broker.working}


def test_the_exits_of_a_market_entry_meet_the_rest_of_its_bar():
    """Open 100; the low 98 is nearer than the high 105, so the path falls to the stop at 99 first."""
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=bracket(104, 99))
    assert said(desk.bar(2, (100, 105, 98, 103))) == [
        ("filled", "c1", 10, 100.0),
        ("accepted", "c1-tp", 10),
        ("accepted", "c1-sl", 10),
        ("triggered", "c1-sl", 99.0),
        ("filled", "c1-sl", 10, 99.0),
        ("canceled", "c1-tp", "OCO"),
    ]
    assert working(desk) == {}


def test_an_entry_inside_the_bar_leaves_its_exits_only_the_path_behind_it():
    """A buy limit at 99 is met on the way to the low 98 (leg 1); stop 98.5 follows, the target 104 comes late."""
    desk = Desk(FREE)
    desk.route(BUY, 10, "limit", 99, terms=bracket(104, 97))
    assert said(desk.bar(2, (100, 105, 98, 103))) == [
        ("filled", "c1", 10, 99.0),
        ("accepted", "c1-tp", 10),
        ("accepted", "c1-sl", 10),
        ("filled", "c1-tp", 10, 104.0),
        ("canceled", "c1-sl", "OCO"),
    ]


def test_what_the_path_passed_before_the_entry_is_no_exit():
    """The high 105 is nearer: the target 104 is passed before the limit at 99 fills on the way down; it rests."""
    desk = Desk(FREE)
    desk.route(BUY, 10, "limit", 99, terms=bracket(104, 97))
    assert said(desk.bar(2, (100, 105, 92, 98)))[-2:] == [("filled", "c1-sl", 10, 97.0), ("canceled", "c1-tp", "OCO")]
    desk = Desk(FREE)
    desk.route(BUY, 10, "limit", 99, terms=bracket(104, 90))
    desk.bar(2, (100, 105, 92, 98))
    assert working(desk) == {"c1-tp": 10, "c1-sl": 10}


def test_exits_grow_with_the_fills_of_their_entry_and_shrink_with_each_others():
    """A tenth of the volume a bar: 30, 20 of 60 go in, the target takes 10 back, the last 10 come in, all leave."""
    desk = Desk(TENTH)
    desk.route(BUY, 60, terms=bracket(110, 90))
    assert said(desk.bar(2, (100, 101, 99, 100), volume=300)) == [
        ("filled", "c1", 30, 100.0),
        ("accepted", "c1-tp", 30),
        ("accepted", "c1-sl", 30),
    ]
    assert said(desk.bar(3, (100, 101, 99, 100), volume=200)) == [
        ("filled", "c1", 20, 100.0),
        ("replaced", "c1-tp", 50),
        ("replaced", "c1-sl", 50),
    ]
    # Opens beyond the target: sales at the open come first and take the bar's whole share of 10.
    assert said(desk.bar(4, (111, 112, 111, 111), volume=100)) == [
        ("filled", "c1-tp", 10, 111.0),
        ("replaced", "c1-sl", 40),
    ]
    assert said(desk.bar(5, (100, 101, 99, 100), volume=100)) == [
        ("filled", "c1", 10, 100.0),
        ("replaced", "c1-tp", 60),  # 10 are filled of it, 50 are open
        ("replaced", "c1-sl", 50),
    ]
    assert said(desk.bar(6, (89, 90, 88, 89), volume=10_000)) == [
        ("triggered", "c1-sl", 89.0),
        ("filled", "c1-sl", 50, 89.0),
        ("canceled", "c1-tp", "OCO"),
    ]
    assert working(desk) == {}
    assert desk.broker._links.brackets == {}


def test_an_exit_that_is_through_ends_what_is_left_of_the_entry():
    """30 of 60 went in; the target takes them all, and nobody wants the other 30 any more."""
    desk = Desk(TENTH)
    desk.route(BUY, 60, terms=bracket(110, 90))
    desk.bar(2, (100, 101, 99, 100), volume=300)
    assert said(desk.bar(3, (111, 112, 111, 111), volume=300)) == [
        ("filled", "c1-tp", 30, 111.0),
        ("canceled", "c1-sl", "OCO"),
        ("canceled", "c1", "BRACKET_CLOSED"),
    ]
    assert working(desk) == {}


def test_cancelling_the_entry_leaves_the_exits_of_what_is_filled_and_one_exit_the_other():
    """What protects a position is not taken away by accident."""
    desk = Desk(TENTH)
    desk.route(BUY, 60, terms=bracket(110, 90))
    desk.bar(2, (100, 101, 99, 100), volume=300)
    desk.cancel("c1")
    assert working(desk) == {"c1-tp": 30, "c1-sl": 30}
    desk.cancel("c1-tp")
    assert working(desk) == {"c1-sl": 30}
    desk.split()
    assert said(desk.bar(3, (89, 90, 88, 89), volume=1_000)) == [
        ("triggered", "c1-sl", 89.0),
        ("filled", "c1-sl", 30, 89.0),
    ]
    assert desk.broker._links.brackets == {}


def test_exits_that_somebody_cancelled_do_not_come_back_with_the_next_fill_of_their_entry():
    """30 of 60 went in, both exits were cancelled by hand; the other 30 are nobody's business but the owner's."""
    desk = Desk(TENTH)
    desk.route(BUY, 60, terms=bracket(110, 90))
    desk.bar(2, (100, 101, 99, 100), volume=300)
    for name in ("c1-tp", "c1-sl"):
        desk.cancel(name)
    assert said(desk.bar(3, (100, 101, 99, 100), volume=300)) == [("filled", "c1", 30, 100.0)]
    assert desk.broker._links.brackets == {}


def test_exits_end_with_the_position_when_something_else_closes_it():
    """A sale by hand takes all; a stop left behind would wait for the next position."""
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=bracket(110, 90))
    desk.bar(2, (100, 101, 99, 100))
    desk.route(SELL, 10)
    assert said(desk.bar(3, (100, 101, 99, 100)))[1:] == [
        ("canceled", "c1-tp", "POSITION_CLOSED"),
        ("canceled", "c1-sl", "POSITION_CLOSED"),
    ]


def part_of_an_entry_closed_by_hand() -> Desk:
    """30 of 60 are bought at 100 with exits; a sale by hand takes them while the rest of the entry works on."""
    desk = Desk(TENTH)
    assert desk.open(0) is not None
    desk.route(BUY, 60, terms=bracket(110, 90), tif=TimeInForce.DAY)
    desk.bar(2, (100, 101, 99, 100), volume=300)
    desk.route(SELL, 30, "limit", 102)
    desk.bar(3, (103, 104, 102, 103), volume=300)
    assert desk.broker.account(MAIN).positions == {}
    return desk


@pytest.mark.parametrize("how", ["cancel", "kill", "expire"])
def test_exits_end_with_an_entry_whose_position_was_closed_by_something_else(how):
    """While the entry works it may buy more, so its exits wait; left behind they would close somebody else's entry."""
    desk = part_of_an_entry_closed_by_hand()
    assert working(desk) == {"c1": 30, "c1-tp": 30, "c1-sl": 30}
    ways = {
        "cancel": lambda: desk.cancel("c1"),
        "kill": lambda: desk.cancel_all("adding"),
        "expire": lambda: desk.close(0),
    }
    assert said(ways[how]())[-2:] == [
        ("canceled", "c1-tp", "POSITION_CLOSED"),
        ("canceled", "c1-sl", "POSITION_CLOSED"),
    ]
    assert working(desk) == {}
    assert desk.broker._links.brackets == {}


def test_exits_end_with_a_position_that_is_opened_and_closed_inside_one_bar():
    """Bought at the open of 100; a sale at 104 meets the same bar: nothing is left that 110 or 90 could protect."""
    desk = Desk(msgspec.structs.replace(FREE, allow_short=True))
    desk.route(BUY, 10, terms=bracket(110, 90))
    desk.route(SELL, 10, "limit", 104)
    assert said(desk.bar(2, (100, 105, 99, 100)))[-3:] == [
        ("filled", "c2", 10, 104.0),
        ("canceled", "c1-tp", "POSITION_CLOSED"),
        ("canceled", "c1-sl", "POSITION_CLOSED"),
    ]
    assert working(desk) == {}


def test_an_entry_that_only_closed_what_others_opened_leaves_no_exits():
    """60 are sold short behind its back before it buys 30: 30 are short still, and its exits have nothing to sell."""
    desk = Desk(msgspec.structs.replace(FREE, allow_short=True))
    desk.route(BUY, 30, "limit", 95, terms=bracket(110, 90))
    desk.route(SELL, 60)
    desk.bar(2, (100, 101, 99, 100))
    assert said(desk.bar(3, (94, 96, 93, 94)))[-2:] == [
        ("canceled", "c1-tp", "POSITION_CLOSED"),
        ("canceled", "c1-sl", "POSITION_CLOSED"),
    ]
    assert working(desk) == {}


def test_a_bracket_may_trail_and_its_trail_begins_at_the_entry():
    """Entry at the open 100, trail 5: the low 98 comes first, then 106 lifts the stop to 101, which the fall meets."""
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=bracket(None, None, trail_amount=5))
    assert said(desk.bar(2, (100, 106, 98, 100)))[-2:] == [
        ("triggered", "c1-sl", 101.0),
        ("filled", "c1-sl", 10, 101.0),
    ]
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=bracket(None, None, trail_amount=5))
    desk.bar(2, (100, 106, 98, 104))
    assert {o.order.client_order_id: o.best / SCALE for o in desk.broker.working} == {"c1-sl": 106.0}


def test_a_partial_fill_shrinks_the_group_and_a_complete_one_ends_it():
    """Two sales of the same 20 shares, a tenth of the volume a bar."""
    desk = Desk(TENTH)
    desk.route(BUY, 20)
    desk.bar(2, (100, 101, 99, 100), volume=1_000)
    terms = OrderTerms(oco_group="g")
    desk.route(SELL, 20, "limit", 110, terms=terms)
    desk.route(SELL, 20, "stop", 90, terms=terms)
    assert said(desk.bar(3, (111, 112, 111, 111), volume=50)) == [("filled", "c2", 5, 111.0), ("replaced", "c3", 15)]
    desk.split()
    assert said(desk.bar(4, (89, 90, 88, 89), volume=1_000)) == [
        ("triggered", "c3", 89.0),
        ("filled", "c3", 15, 89.0),
        ("canceled", "c2", "OCO"),
    ]


def test_orders_of_a_group_on_different_sides_end_each_other_at_the_first_fill():
    """A breakout either way: whichever trades first, even in part, is the one."""
    desk = Desk(TENTH)
    terms = OrderTerms(oco_group="g")
    desk.route(BUY, 20, "stop", 105, terms=terms)
    desk.route(BUY, 20, "limit", 95, symbol=1, terms=terms)
    assert said(desk.bar(2, (106, 107, 106, 106), (100, 101, 99, 100), volume=50)) == [
        ("triggered", "c1", 106.0),
        ("filled", "c1", 5, 106.0),
        ("canceled", "c2", "OCO"),
    ]


def test_where_no_path_decides_the_account_gets_the_worse_leg():
    """The open of 106 lies between the target at 105 and the stop at 107: the younger, which pays 1 %, goes first."""
    desk = Desk(msgspec.structs.replace(FREE, slippage_rate=1_000_000))
    desk.route(BUY, 10)
    desk.bar(2, (100, 101, 99, 100))
    terms = OrderTerms(oco_group="g")
    desk.route(SELL, 10, "limit", 105, terms=terms)
    desk.route(SELL, 10, "stop", 107, terms=terms)
    assert said(desk.bar(4, (106, 107, 105, 106))) == [
        ("triggered", "c3", 106.0),
        ("filled", "c3", 10, 104.94),
        ("canceled", "c2", "OCO"),
    ]


@pytest.mark.parametrize("tif", [TimeInForce.OPG, TimeInForce.CLS])
def test_exits_of_an_auction_entry_outlive_the_day(tif):
    """They are good till cancelled, whatever the entry was."""
    desk = Desk(FREE)
    opened = desk.open(0)
    assert opened is not None
    desk.route(BUY, 10, terms=bracket(120, 80), tif=tif)
    desk.bar(8, (100, 101, 99, 100), width=8.0)
    desk.close(0)
    assert {o.order.type: o.order.tif for o in desk.broker.working} == {
        OrderType.TAKE_PROFIT: TimeInForce.GTC,
        OrderType.STOP: TimeInForce.GTC,
    }


@settings(max_examples=60, deadline=None)
@given(
    st.integers(10, 200),
    st.lists(
        st.tuples(st.integers(90, 110), st.integers(0, 8), st.integers(0, 8), st.integers(0, 1_500), st.booleans()),
        min_size=3,
        max_size=25,
    ),
)
def test_exits_never_exceed_what_their_entry_filled_and_they_did_not(qty, bars):
    """Whatever prices and volumes do, and wherever the run is cut and goes on."""
    desk = Desk(TENTH)
    desk.route(BUY, qty, "limit", 101, terms=bracket(106, 95))
    for hour, (open_px, up, down, volume, cut) in enumerate(bars, start=2):
        desk.bar(hour, (open_px, open_px + up, open_px - down, open_px), volume=volume)
        filled = {}
        for frame in desk.frames:
            for e in frame.events:
                if isinstance(e, OrderFilled | OrderPartiallyFilled):
                    filled[e.client_order_id] = e.cum_qty
        entered = filled.get("c1", 0)
        exited = filled.get("c1-tp", 0) + filled.get("c1-sl", 0)
        exits = [o for o in desk.broker.working if o.order.parent_id == "c1"]
        assert exited <= entered
        assert all(o.leaves == entered - exited for o in exits)
        assert bool(exits) is (entered > exited)
        assert desk.broker.account(MAIN).positions.get(0, 0) == entered - exited
        if cut:
            desk.split()


# -- where the bar opens at, or beyond, what an exit waits for ---------------------------------------------------------


def test_an_entry_that_opens_beyond_its_stop_is_out_at_the_open_and_not_at_the_stop():
    """Bought at the open of 98 with a stop at 99, the market stands at 98 already: no sale at 99 is to be had."""
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=bracket(104, 99))
    assert said(desk.bar(2, (98, 105, 97, 103)))[-3:] == [
        ("triggered", "c1-sl", 98.0),
        ("filled", "c1-sl", 10, 98.0),
        ("canceled", "c1-tp", "OCO"),
    ]


def test_an_entry_that_opens_at_its_stop_has_met_it():
    """Open 99 with the stop at 99: met where the market stands, before the path rises to the target at 100."""
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=bracket(100, 99))
    assert said(desk.bar(2, (99, 100, 90, 95)))[-3:] == [
        ("triggered", "c1-sl", 99.0),
        ("filled", "c1-sl", 10, 99.0),
        ("canceled", "c1-tp", "OCO"),
    ]


def test_the_trail_of_an_entry_that_was_touched_at_the_open_follows_the_whole_bar():
    """A touch at 100.50 is through at the open of 100; the nearer high of 101 lifts the trail to 96, which 95.50 meets.

    Had the trail begun behind the high, its stop would stand at 95 and the second bar would leave it alone.
    """
    desk = Desk(FREE)
    kind = OrderType.MARKET_IF_TOUCHED
    desk.route(BUY, 10, type=kind, stop_px=fx(100.5), terms=bracket(trail_amount=5))
    assert said(desk.bar(2, (100, 101, 98, 99))) == [
        ("triggered", "c1", 100.0),
        ("filled", "c1", 10, 100.0),
        ("accepted", "c1-sl", 10),
    ]
    assert said(desk.bar(3, (99, 99, 95.5, 96))) == [("triggered", "c1-sl", 96.0), ("filled", "c1-sl", 10, 96.0)]


def test_a_trail_born_inside_a_bar_of_equal_extremes_follows_the_path_that_bore_it():
    """Open 100, both extremes 2 away: whoever buys is hurt by the low, so it comes first, and 101 is met on the rise.

    The high of 102 then lifts the stop to 98.50, which 98.40 meets. On the other path 101 would be the best price
    behind the entry and the stop stand at 97.50.
    """
    desk = Desk(FREE)
    desk.route(BUY, 10, "stop", 101, terms=bracket(trail_amount=3.5))
    assert said(desk.bar(2, (100, 102, 98, 100)))[1:] == [("filled", "c1", 10, 101.0), ("accepted", "c1-sl", 10)]
    assert said(desk.bar(3, (100, 100, 98.4, 99))) == [("triggered", "c1-sl", 98.5), ("filled", "c1-sl", 10, 98.5)]


@pytest.mark.parametrize("entry", [("market", None), ("limit", 102)])
def test_the_trail_of_an_entry_at_the_open_has_seen_the_whole_bar(entry):
    """Bought at the open of 100; the nearer high of 101 comes first and is the best price: the stop is at 96."""
    desk = Desk(FREE)
    desk.route(BUY, 10, *entry, terms=bracket(trail_amount=5))
    assert said(desk.bar(2, (100, 101, 98, 99)))[0] == ("filled", "c1", 10, 100.0)
    assert [order.best / SCALE for order in desk.broker.working] == [101.0]


def test_a_trail_born_on_the_last_leg_of_a_bar_follows_it_to_the_close():
    """Open 100, then 101, then the low 95, which pulls the entry's own trail of 2 to 97: met on the rise to 100.50.

    The exit's trail of 3 has seen 100.50, so that it stands at 97.50 for the next bar, which falls to 97.40.
    """
    desk = Desk(FREE)
    desk.bar(1, (100, 100, 100, 100))
    trails = bracket(trail_amount=3)
    desk.route(BUY, 10, type=OrderType.TRAILING_STOP, terms=msgspec.structs.replace(trails, trail_amount=fx(2)))
    assert said(desk.bar(2, (100, 101, 95, 100.5))) == [
        ("triggered", "c1", 97.0),
        ("filled", "c1", 10, 97.0),
        ("accepted", "c1-sl", 10),
    ]
    assert said(desk.bar(3, (98, 98, 97.4, 98))) == [("triggered", "c1-sl", 97.5), ("filled", "c1-sl", 10, 97.5)]


def test_of_a_group_whose_orders_meet_the_same_open_the_one_that_pays_comes_first():
    """Open 101: the older limit at 100 rested and would pay nothing, the stop at 102 takes. The worse one is had."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(2, (101, 101, 101, 101))
    group = OrderTerms(oco_group="g")
    desk.route(SELL, 10, "limit", 100, terms=group)
    assert desk.bar(3, (99, 99, 99, 99)) == []  # the limit rests from here on
    desk.route(SELL, 10, "stop", 102, terms=group)
    assert said(desk.bar(4, (101, 101, 101, 101))) == [
        ("triggered", "c3", 101.0),
        ("filled", "c3", 10, 101.0),
        ("canceled", "c2", "OCO"),
    ]


@pytest.mark.parametrize(("group", "portfolio"), [("h", MAIN), ("g", "other")])
def test_orders_of_different_groups_meet_an_open_by_age(group, portfolio):
    """As the case before, but the stop is of another group, or of one of that name in another portfolio."""
    desk = Desk(FREE)
    desk.deposit(10_000, "other")
    for name in (MAIN, "other"):
        desk.route(BUY, 10, portfolio=name)
    desk.bar(2, (101, 101, 101, 101))
    desk.route(SELL, 5, "limit", 100, terms=OrderTerms(oco_group="g"))
    assert desk.bar(3, (99, 99, 99, 99)) == []
    desk.route(SELL, 5, "stop", 102, portfolio=portfolio, terms=OrderTerms(oco_group=group))
    fills = [one[1] for one in said(desk.bar(4, (101, 101, 101, 101))) if one[0] == "filled"]
    assert fills == ["c3", "c4"]


def test_orders_with_terms_that_hang_together_with_nothing_meet_an_open_by_age():
    """As the case before without the group: the older limit first, though the stop is the one that pays."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(2, (101, 101, 101, 101))
    marked = OrderTerms(do_not_reduce=True)
    desk.route(SELL, 5, "limit", 100, terms=marked)
    assert desk.bar(3, (99, 99, 99, 99)) == []
    desk.route(SELL, 5, "stop", 102, terms=marked)
    fills = [one[1] for one in said(desk.bar(4, (101, 101, 101, 101))) if one[0] == "filled"]
    assert fills == ["c2", "c3"]


@pytest.mark.parametrize("grouped", [True, False])
def test_of_a_group_that_is_met_at_one_price_inside_a_bar_the_one_that_pays_comes_first(grouped):
    """The high 104 meets three sales at 104: a limit, which rests and pays nothing, and two touch orders, which take.

    The youngest of them is of the limit's group. The path does not decide between those two, so the account gets the
    worse of them, and in the place of the older: before the order in between. Where nothing links them age decides.
    """
    desk = Desk(msgspec.structs.replace(FREE, slippage_rate=1_000_000))
    desk.route(BUY, 15)
    desk.bar(2, (100, 100, 100, 100))
    group = OrderTerms(oco_group="g") if grouped else OrderTerms(do_not_reduce=True)
    desk.route(SELL, 10, "limit", 104, terms=group)
    desk.route(SELL, 5, type=OrderType.MARKET_IF_TOUCHED, stop_px=fx(104))
    desk.route(SELL, 10, type=OrderType.MARKET_IF_TOUCHED, stop_px=fx(104), terms=group)
    fills = [one for one in said(desk.bar(3, (100, 104, 99.5, 100))) if one[0] == "filled"]
    if grouped:  # 1 % of 104 less
        assert fills == [("filled", "c4", 10, 102.96), ("filled", "c3", 5, 102.96)]
    else:
        assert fills == [("filled", "c2", 10, 104.0), ("filled", "c3", 5, 102.96)]
    assert desk.broker._links.groups == {}  # what ended is forgotten
