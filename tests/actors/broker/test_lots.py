"""An exit closes the lot it names and no other: the broker and the portfolio together, through the real gate."""

from __future__ import annotations

import pytest

from actors.messages.orders import (
    BUY,
    SELL,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderTriggered,
    OrderType,
)
from actors.values.fixed import SCALE
from daemon.kernel.message import Event
from tests.actors.broker.desk import FREE, PLAN, fx
from tests.actors.broker.house import House, closings


def two_lots() -> House:
    """100 shares bought at 90 with exits at 87.3 and 99, then 100 at 88 that the strategy did not buy: no exits."""
    house = House(FREE)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100, strategy="")
    house.bar((88, 88, 88, 88))
    assert house.lots() == [("O-1-1", fx(100)), ("O-4-1", fx(100))]
    return house


def closed(events: list[Event]) -> list[tuple[str, dict[str, int]]]:
    """Each fill's reason and the whole shares it closed by lot."""
    return [(fill.reason, {lot: qty // SCALE for lot, qty in parts}) for fill, parts in closings(events)]


def canceled(events: list[Event]) -> list[tuple[str, int, str]]:
    """Each cancellation: which exit, how many shares it had sold, why."""
    found = [e for e in events if isinstance(e, OrderCanceled)]
    return [(e.client_order_id.split("-")[3], e.cum_qty // SCALE, e.reason) for e in found]


def test_a_stop_after_a_trim_in_one_bar_sells_only_what_its_lot_has_left():
    """The trim takes 40 of the older lot at the open; its stop finds 60, and the younger lot stays whole."""
    house = two_lots()
    house.order(SELL, 40, reduce_only=True)
    events = house.bar((88, 88.5, 87, 88))
    assert closed(events) == [("", {"O-1-1": 40}), ("stop_loss", {"O-1-1": 60})]
    assert house.lots() == [("O-4-1", fx(100))]
    assert canceled(events) == [("stop", 60, "LOT_CLOSED"), ("take", 0, "lot_closed")]
    assert not house.core.broker.working


def test_a_trim_at_the_open_that_closes_the_lot_leaves_its_stop_nothing_and_untriggered():
    """The stop lies on the path, but what it guards is gone."""
    house = two_lots()
    house.order(SELL, 100, reduce_only=True)
    events = house.bar((88, 88.5, 87, 88))
    assert closed(events) == [("", {"O-1-1": 100})]
    assert canceled(events) == [("stop", 0, "LOT_CLOSED"), ("take", 0, "lot_closed")]
    assert not [e for e in events if isinstance(e, OrderTriggered)]


@pytest.mark.parametrize(
    ("row", "first", "second"),
    [((90, 99.5, 87, 90), "stop", "take"), ((95, 99.5, 87, 90), "take", "stop"), ((93.5, 100, 87, 93), "stop", "take")],
    ids=["low nearer", "high nearer", "equally far: the worse"],
)
def test_of_both_exits_of_a_lot_in_one_bar_only_the_first_on_the_path_fills(row, first, second):
    """The other is cancelled without having been triggered, and the younger lot is not touched."""
    house = two_lots()
    events = house.bar(row)
    assert [(fill.client_order_id.split("-")[3], parts) for fill, parts in closings(events)] == [
        (first, (("O-1-1", fx(100)),))
    ]
    assert canceled(events) == [(second, 0, "LOT_CLOSED")]
    assert len([e for e in events if isinstance(e, OrderTriggered)]) == (first == "stop")
    assert house.lots() == [("O-4-1", fx(100))]


@pytest.mark.parametrize("stop_is_older", [True, False])
def test_of_both_exits_of_a_lot_that_meet_one_open_the_one_that_pays_for_liquidity_fills(stop_is_older):
    """A stop at 92 and a target at 91 at an open of 91.5: no path decides, so the account gets the worse."""
    house = House(PLAN, stop_loss=0.0, take_profit=0.0)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100)
    house.bar((90, 90, 90, 90))
    exits = [
        {"type": OrderType.STOP, "stop_px": fx(92), "reason": "stop"},
        {"type": OrderType.LIMIT, "limit_px": fx(91), "reason": "take"},
    ]
    for terms in exits if stop_is_older else exits[::-1]:
        house.order(SELL, 100, reduce_only=True, lot_id="O-1-1", **terms)
    events = house.bar((91.5, 91.5, 91.5, 91.5))
    assert closed(events) == [("stop", {"O-1-1": 100})]
    assert house.lots() == [("O-2-1", fx(100))]


def test_exits_of_other_lots_and_other_sales_keep_their_places_when_two_legs_change_theirs():
    """Target of lot 1, a sale without a lot, stop of lot 1, target of lot 2, all at one open: stop, sale, target 2."""
    house = House(FREE, stop_loss=0.0, take_profit=0.0)
    house.bar((90, 90, 90, 90))
    for _ in range(3):
        house.order(BUY, 100)
        house.bar((90, 90, 90, 90))
    lots = [lot for lot, _ in house.lots()]
    house.order(SELL, 100, lot_id=lots[0], type=OrderType.LIMIT, limit_px=fx(91), reduce_only=True, reason="take 1")
    house.order(SELL, 60, type=OrderType.LIMIT, limit_px=fx(91), reason="sale")
    house.order(SELL, 100, lot_id=lots[0], type=OrderType.STOP, stop_px=fx(92), reduce_only=True, reason="stop 1")
    house.order(SELL, 100, lot_id=lots[1], type=OrderType.LIMIT, limit_px=fx(91), reduce_only=True, reason="take 2")
    events = house.bar((91.5, 91.5, 91.5, 91.5))
    assert closed(events) == [
        ("stop 1", {lots[0]: 100}),
        ("sale", {lots[1]: 60}),
        ("take 2", {lots[1]: 40}),
    ]
    assert house.lots() == [(lots[2], fx(100))]


def test_a_sale_inside_the_bar_in_which_a_lot_was_opened_may_close_it_and_its_exits_go_with_it():
    """The old lot is sold and a new one bought at the open; a stop that names none sells the new one on the way."""
    house = House(FREE)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100)
    house.bar((90, 90, 90, 90))
    house.order(SELL, 100, type=OrderType.STOP, stop_px=fx(89), reduce_only=True, reason="stop")
    house.order(SELL, 100, reduce_only=True, reason="sale")
    house.order(BUY, 100, reason="entry")
    events = house.bar((90, 90, 88, 90))
    assert closed(events) == [("sale", {"O-1-1": 100}), ("entry", {}), ("stop", {"O-6-1": 100})]
    assert [e.order.lot_id for e in events if isinstance(e, OrderAccepted)] == ["O-6-1", "O-6-1"]
    assert [entry for entry in canceled(events) if entry[2] == "lot_closed"] == [
        ("stop", 0, "lot_closed"),
        ("take", 0, "lot_closed"),
    ] * 2
    assert not [e for e in events if isinstance(e, OrderRejected)]
    assert (house.lots(), house.core.broker.working) == ([], ())


def test_an_exit_is_cut_to_its_lot_when_it_is_taken():
    """100 and 50 held, 120 asked of the second lot: an order of 50."""
    house = House(FREE, stop_loss=0.0, take_profit=0.0)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100)
    house.order(BUY, 50)
    house.bar((90, 90, 90, 90))
    (event,) = house.order(SELL, 120, lot_id="O-2-1", reduce_only=True, type=OrderType.STOP, stop_px=fx(80))
    assert isinstance(event, OrderAccepted)
    assert event.order.qty == fx(50)


@pytest.mark.parametrize(("side", "lot"), [(SELL, "O-9-1"), (BUY, "O-1-1")], ids=["unknown", "own side"])
def test_an_exit_from_a_lot_that_is_not_there_is_refused(side, lot):
    """A lot that was never opened, and an order that would add to it instead."""
    house = House(FREE, stop_loss=0.0, take_profit=0.0)
    house.bar((90, 90, 90, 90))
    house.order(BUY, 100)
    house.bar((90, 90, 90, 90))
    (event,) = house.order(side, 10, lot_id=lot, reduce_only=True)
    assert isinstance(event, OrderRejected)
    assert event.code == "LOT_CLOSED"
    assert f"the lot {lot} of A" in event.reason


def test_exits_of_a_short_lot_cover_that_lot_and_no_other():
    """Short 100 at 90 and 100 at 92: the first lot's stop at 92.7 covers 60 after a trim of 40."""
    house = House(FREE, allow_short=True)
    house.bar((90, 90, 90, 90))
    house.order(SELL, 100)
    house.bar((90, 90, 90, 90))
    house.order(SELL, 100, strategy="")
    house.bar((92, 92, 92, 92))
    house.order(BUY, 40, reduce_only=True)
    events = house.bar((92, 93, 91, 92))
    assert closed(events) == [("", {"O-1-1": 40}), ("stop_loss", {"O-1-1": 60})]
    assert house.lots() == [("O-4-1", fx(-100))]
