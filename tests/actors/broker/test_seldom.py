"""What happens seldom: states of older versions, requests that cross each other, orders that end within the instant."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.broker import latency
from actors.broker.actor import BrokerActor
from actors.broker.costs import CostModel
from actors.broker.latency import Latency
from actors.messages.market import GapDetected, TradePanel, TradingStatus
from actors.messages.orders import (
    BUY,
    SELL,
    Bracket,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderReplaced,
    OrderTerms,
    OrderType,
    RouteReplace,
    TimeInForce,
)
from actors.values.fixed import SCALE
from tests.actors.broker.desk import DAY, FREE, HOUR, PLAN, Desk, fills, fx, kinds, with_params
from tests.actors.broker.house import House
from tests.actors.broker.tape import MS, Tape

FLAT = (100, 100, 100, 100)
GROUP = OrderTerms(oco_group="g")


# -- states of older versions ------------------------------------------------------------------------------------------


def test_a_state_of_an_older_version_is_taken_over():
    """It knows of no statuses, ticks, brackets or terms; orders, cash and prices are what they were."""
    desk = Desk(FREE)
    desk.open(0)
    desk.route(BUY, 10)
    desk.bar(8, FLAT, width=8)
    desk.route(SELL, 10, "stop", 90)
    state = desk.broker.snapshot()
    old = {name: value for name, value in state.items() if name not in ("status", "book", "in_flight", "links")}
    old["orders"] = [row[:19] for row in state["orders"]]
    old["market"] = [state["market"][0], state["market"][1][:4], *state["market"][2:4]]
    desk.broker = BrokerActor(desk.universe, FREE, daily=True)
    desk.broker.restore(old)
    desk.sequencer = desk._build()
    (order,) = desk.broker.working
    assert (order.symbol, order.stop_px, order.terms, order.leaves) == (0, fx(90), None, fx(10))
    desk.clock.advance_to(8 * HOUR)
    (fill,) = fills(desk.bar(32, (95, 95, 89, 92), width=8))
    assert (fill.client_order_id, fill.last_px) == ("c2", fx(90))
    assert desk.broker.account("main").positions.get(0, 0) == 0


# -- latency -----------------------------------------------------------------------------------------------------------


def test_a_draw_that_was_forgotten_is_drawn_alike(monkeypatch):
    """What is kept is bounded, and what an order has does not depend on what is kept."""
    kept = Latency(1_000, 500, seed=7)
    wanted = [kept.of(n) for n in range(9)]
    monkeypatch.setattr(latency, "KEPT_MAX", 2)
    bounded = Latency(1_000, 500, seed=7)
    assert [bounded.of(n) for n in (*range(9), *range(9))] == wanted * 2
    assert len(bounded._drawn) <= 2
    assert len(set(wanted)) > 1
    assert all(1_000 <= one <= 1_500 for one in wanted)


def test_an_order_that_fills_leaves_anothers_cancel_on_its_way():
    """The second fills while the first one's cancel travels; the cancel arrives when it was to."""
    tape = Tape(with_params(latency_ns=10 * 10**6))
    tape.send(1, BUY, 10, "limit", limit_px=40)
    tape.send(1, BUY, 10, "limit", limit_px=50)
    tape.trade(20, (55, 10))
    tape.clock.advance_to(tape.at(21))
    assert kinds(tape.cancel("c1")) == ["OrderCancelRequested"]
    assert [e.client_order_id for e in fills(tape.trade(25, (49, 100)))] == ["c2"]
    assert [e.client_order_id for e in tape.trade(31, (49, 100)) if isinstance(e, OrderCanceled)] == ["c1"]


# -- gaps and sessions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replaced", [False, True])
def test_a_day_order_behind_a_gap_waits_for_a_session_to_be_told_whatever_its_terms(replaced):
    """Given in the evening, with a gap behind it nobody knows which session is next: bars alone do not say."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.close(0)
    desk.clock.advance_to(10 * HOUR)
    desk.route(BUY, 10, "limit", 95, tif=TimeInForce.DAY)
    desk.put(GapDetected(12 * HOUR, "feed", 11 * HOUR, 12 * HOUR), 12 * HOUR)
    if replaced:
        desk.replace("c1", 10, limit=96)
    assert fills(desk.bar(26, (100, 100, 90, 95))) == []


def test_an_order_of_a_session_whose_close_and_night_are_missed_expires_once():
    """A gap reaches into the next day: the day order is over, told once; one until cancelled goes on."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.route(BUY, 10, "limit", 80, tif=TimeInForce.DAY)
    desk.route(BUY, 10, "limit", 80)
    told = desk.put(GapDetected(2 * HOUR, "feed", HOUR, DAY + HOUR), DAY - HOUR)
    told += desk.open(1)
    assert [(e.client_order_id, e.reason) for e in told if isinstance(e, OrderExpired)] == [("c1", "day")]
    assert [order.order.client_order_id for order in desk.broker.working] == ["c2"]


def test_a_session_that_is_told_twice_begins_once():
    """Its short-sale restriction does not end because its opening is repeated."""
    desk = Desk(with_params(allow_short=True, ssr="computed"), daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    desk.close(1)
    desk.open(2)
    desk.bar(49, (100, 100, 90, 95))
    desk.open(2)
    assert kinds(desk.route(SELL, 1)) == ["OrderRejected"]
    desk.bar(50, (90, 90, 85, 85))
    desk.open(2)
    assert kinds(desk.route(SELL, 1)) == ["OrderRejected"]


@pytest.mark.parametrize(("low", "restricted"), [(91, False), (90, True)])
def test_a_session_that_is_told_twice_measures_falls_from_the_close_before_it(low, restricted):
    """100 closed session 1. In session 2 prices rise to 120, and it is opened once more: 90 is the level still."""
    desk = Desk(with_params(allow_short=True, ssr="computed"), daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    desk.close(1)
    desk.open(2)
    desk.bar(49, (100, 120, 100, 120))
    desk.open(2)
    desk.bar(50, (120, 120, low, 120))
    assert (kinds(desk.route(SELL, 1)) == ["OrderRejected"]) is restricted


# -- orders that hang together -----------------------------------------------------------------------------------------


def test_a_leg_that_ended_in_the_same_instant_is_left_alone():
    """At one open the older of a group cannot be paid and ends; the other one's fill finds nothing left to end."""
    desk = Desk(FREE, cash=150)
    desk.route(BUY, 10, terms=GROUP)
    desk.route(BUY, 1, symbol=1, terms=GROUP)
    desk.route(BUY, 1, symbol=1)
    events = desk.bar(1, (1000, 1000, 1000, 1000), (50, 50, 50, 50))
    assert [(e.client_order_id, e.reason) for e in events if isinstance(e, OrderCanceled)] == [
        ("c1", "INSUFFICIENT_CASH")
    ]
    assert [e.client_order_id for e in fills(events)] == ["c2", "c3"]


def test_an_order_with_terms_of_its_own_only_leads_to_nothing_else():
    """It fills like any other order."""
    desk = Desk(with_params(participation=10_000_000))
    desk.route(BUY, 10, terms=OrderTerms(do_not_reduce=True))
    assert kinds(desk.bar(1, FLAT, volume=50)) == ["OrderPartiallyFilled"]
    assert kinds(desk.bar(2, FLAT, volume=50)) == ["OrderFilled"]


def test_a_trail_without_length_is_met_where_it_begins():
    """A hundred-millionth of a percent of 0.40 is nothing: the exit stands at the entry's own price and is met."""
    desk = Desk(FREE)
    desk.route(BUY, 10, terms=OrderTerms(bracket=Bracket(trail_percent=1)))
    events = desk.bar(1, (0.4, 0.5, 0.3, 0.4))
    assert [(e.client_order_id, e.last_px) for e in fills(events)] == [("c1", fx(0.4)), ("c1-sl", fx(0.4))]


@pytest.mark.parametrize(("cash", "bought"), [(550, 5), (50, 0)])
def test_exits_protect_what_cash_paid_of_their_entry(cash, bought):
    """10 at 100 on 550: 5 are bought and protected; on 50 nothing is, and nothing comes to life."""
    desk = Desk(FREE, cash=cash)
    desk.route(BUY, 10, terms=OrderTerms(bracket=Bracket(stop_px=fx(90))))
    events = desk.bar(1, FLAT)
    assert [e.last_qty for e in fills(events)] == [fx(bought)] * (bought > 0)
    assert [(e.client_order_id, e.reason) for e in events if isinstance(e, OrderCanceled)] == [
        ("c1", "INSUFFICIENT_CASH")
    ]
    left = [(order.order.client_order_id, order.leaves) for order in desk.broker.working]
    assert left == [("c1-sl", fx(bought))] * (bought > 0)


def test_what_cash_paid_of_a_purchase_ends_the_exits_of_the_short_it_closed():
    """4 short at 100 on 500; 900 buy 9 of 12: the short is gone, and its stop would only buy more."""
    desk = Desk(with_params(allow_short=True), cash=500)
    desk.route(SELL, 4, terms=OrderTerms(bracket=Bracket(stop_px=fx(120))))
    desk.bar(1, FLAT)
    desk.route(BUY, 12)
    events = desk.bar(2, FLAT)
    assert [e.last_qty for e in fills(events)] == [fx(9)]
    assert [(e.client_order_id, e.reason) for e in events if isinstance(e, OrderCanceled)] == [
        ("c2", "INSUFFICIENT_CASH"),
        ("c1-sl", "POSITION_CLOSED"),
    ]
    assert not desk.broker.working


def test_an_entry_ends_with_its_exit_that_found_nothing_to_close():
    """4 of 10 are bought; at an open of 89 an older stop sells them, the exit finds nothing: no 6 more without one."""
    desk = Desk(with_params(participation=10_000_000, allow_short=True))
    desk.route(SELL, 4, "stop", 89.5)
    desk.route(BUY, 10, "limit", 95, terms=OrderTerms(bracket=Bracket(stop_px=fx(90))))
    desk.bar(1, (94, 94, 94, 94), volume=40)
    events = desk.bar(2, (89, 89, 89, 89), volume=1_000)
    assert [(e.client_order_id, e.last_qty) for e in fills(events)] == [("c1", fx(4))]
    assert [(e.client_order_id, e.reason) for e in events if isinstance(e, OrderCanceled)] == [
        ("c2-sl", "REDUCE_ONLY_FLAT"),
        ("c2", "BRACKET_CLOSED"),
    ]


def test_an_exit_by_stop_and_limit_whose_lot_is_sold_at_the_same_open_is_no_trigger():
    """The lot is sold at the open of 94, before the exit's stop of 95 is looked at: that ends with the lot."""
    house = House(FREE)
    house.bar(FLAT, FLAT)
    house.order(BUY, 10, strategy="")
    house.bar(FLAT, FLAT)
    ((lot, _),) = house.lots()
    exit_of = {"strategy": "", "lot_id": lot, "reduce_only": True}
    house.order(SELL, 10, **exit_of)
    house.order(SELL, 10, type=OrderType.STOP_LIMIT, stop_px=fx(95), limit_px=fx(90), **exit_of)
    events = [e for e in house.bar((94, 94, 94, 94), FLAT) if kinds([e])[0].startswith("Order")]
    assert kinds(events) == ["OrderFilled", "OrderCanceled"]
    assert events[1].reason == "LOT_CLOSED"


# -- ticks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("px", "filled"), [(50.0, 10), (50.5, 0)])
def test_a_limit_for_the_opening_is_met_by_the_first_quote_or_ends(px, filled):
    """In a session of quotes the first ask is the opening: at 50 it suits a limit of 50, at 50.50 it does not."""
    tape = Tape()
    tape.send(1, BUY, 10, "limit", limit_px=50, tif=TimeInForce.OPG)
    events = tape.quote(2, px - 0.02, 100, px, 100)
    assert sum(e.last_qty for e in fills(events)) == filled * SCALE
    assert [e.reason for e in events if isinstance(e, OrderExpired)] == ([] if filled else ["opg"])


@pytest.mark.parametrize("halted", [False, True])
def test_the_last_quote_of_a_session_is_its_close_for_whom_it_suits(halted):
    """A limit of 49 does not suit the ask of 50.02, half a quote suits nobody; what came too late is not asked."""
    tape = Tape()
    tape.quote(1, 50.0, 100, 50.02, 100)
    tape.quote(1, 9.0, 100, math.nan, math.nan, symbol=1)
    for symbol, limit in ((0, 49), (0, 51), (1, 51)):
        tape.send(2, BUY, 10, "limit", limit_px=limit, symbol=symbol, tif=TimeInForce.CLS)
    if halted:
        tape.put(TradingStatus(tape.at(3), 0, "halted"), tape.at(3))
    events = tape.close(1)
    assert [e.client_order_id for e in fills(events)] == ([] if halted else ["c2"])
    assert len([e for e in events if isinstance(e, OrderExpired)]) == (3 if halted else 2)


def test_an_order_whose_end_and_whose_cancel_arrive_together_ends_once():
    """The cancel is carried out first, and the date finds nothing left."""
    tape = Tape(with_params(latency_ns=10 * 10**6))
    tape.send(1, BUY, 10, "limit", limit_px=40, tif=TimeInForce.GTD, terms=OrderTerms(expire_ts=tape.at(35)))
    tape.trade(20, (50, 10))
    tape.clock.advance_to(tape.at(30))
    tape.cancel("c1")
    assert [type(e) for e in tape.trade(60, (50, 10))] == [OrderCanceled]


def test_half_a_quote_says_nothing_of_what_margin_is_worth():
    """100 held at 50 on margin; an ask alone leaves the last price of 50, so that 100 more may be bought."""
    tape = Tape(with_params(account="margin"), cash=5_000)
    tape.send(1, BUY, 100)
    tape.trade(2, (50, 1_000))
    tape.quotes(3, {0: (math.nan, math.nan, 80, 100), 1: (math.nan, math.nan, 80, 100)})
    tape.send(4, BUY, 200)
    assert [e.last_qty / SCALE for e in fills(tape.quote(5, 50, 1_000, 50, 1_000))] == [100]


def test_a_condition_of_an_exit_whose_lot_is_closed_in_the_same_instant_is_no_trigger():
    """106 fills the target of the lot, and meets the touch price of another exit of it: that one ends with the lot."""

    def print_at(px):
        house.clock.advance_to(house.clock.now() + 1)
        panel = TradePanel(house.clock.now(), np.zeros(1, dtype=np.int32), np.array([px]), np.array([100.0]))
        return [e for e in house.put(panel) if kinds([e])[0].startswith("Order")]

    house = House(FREE)
    house.bar(FLAT, FLAT)
    house.order(BUY, 10, strategy="")
    house.bar(FLAT, FLAT)
    ((lot, _),) = house.lots()
    exit_of = {"strategy": "", "lot_id": lot, "reduce_only": True}
    house.order(SELL, 10, type=OrderType.LIMIT, limit_px=fx(105), **exit_of)
    house.order(SELL, 10, type=OrderType.MARKET_IF_TOUCHED, stop_px=fx(105), **exit_of)
    assert print_at(100.0) == []
    events = print_at(106.0)
    assert kinds(events) == ["OrderFilled", "OrderCanceled"]
    assert events[1].reason == "LOT_CLOSED"


@pytest.mark.parametrize(
    ("side", "limit", "px", "paid"),
    [
        (BUY, 102, 100.9, 101),  # the band is nearer than the limit
        (BUY, 100.93, 100.9, 100.93),  # the limit is nearer than the band
        (SELL, 98, 99.1, 99.0),
        (SELL, 99.07, 99.1, 99.07),
    ],
)
def test_costs_push_no_price_beyond_the_nearer_of_limit_and_band(side, limit, px, paid):
    """Bands of 99 and 101; costs of 0.2 % are 0.20 either way."""
    desk = Desk(with_params(PLAN, impact="none", participation=0, slippage_rate=200_000, allow_short=True))
    desk.put(TradingStatus(0, 0, "luld", fx(99), fx(101)))
    desk.route(side, 10, "limit", limit)
    (fill,) = fills(desk.bar(1, (px, px, px, px)))
    assert fill.last_px == fx(paid)


@pytest.mark.parametrize(("side", "quote", "paid"), [(BUY, (100.8, 100.9), 101), (SELL, (99.1, 99.2), 99)])
def test_costs_push_no_fill_at_a_quote_beyond_the_band(side, quote, paid):
    """A market order at the touch, 0.2 % worse, would be beyond the bands of 99 and 101."""
    tape = Tape(with_params(PLAN, impact="none", slippage_rate=200_000, allow_short=True))
    tape.put(TradingStatus(tape.at(0), 0, "luld", fx(99), fx(101)))
    tape.send(1, side, 10)
    (fill,) = fills(tape.quote(2, quote[0], 1_000, quote[1], 1_000))
    assert fill.last_px == fx(paid)


# -- costs -------------------------------------------------------------------------------------------------------------


def test_a_limit_that_would_rest_is_foreseen_to_pay_its_own_price_and_commission():
    """100 at a limit of 99 with the market at 100: a tenth of a percent of 9,900, and nothing of the spread."""
    desk = Desk(PLAN)
    desk.bar(1, FLAT)
    (accepted,) = desk.route(BUY, 100, "limit", 99)
    assert isinstance(accepted, OrderAccepted)
    assert accepted.expected_cost == fx(9.9)


def test_calc_foresees_the_same_of_it():
    """The estimate of such a limit is its price and its commission, nothing else."""
    found = CostModel(PLAN).estimate(BUY, fx(100), fx(100), 0, limit=fx(99))
    assert (found.px, found.spread, found.slippage, found.impact, found.commission) == (fx(99), 0, 0, 0, fx(9.9))


@pytest.mark.parametrize("until", [20 * MS, DAY - 1])
def test_a_request_that_reached_the_market_within_a_gap_takes_effect(until):
    """Asked at 8 ms of a venue 5 ms away, nothing heard from 9 ms on: whether or not the day's close was missed."""
    tape = Tape(with_params(latency_ns=5 * MS))
    tape.quote(0, 50.00, 300, 50.02, 200)
    for _ in range(2):
        tape.send(1, BUY, 100, "limit", limit_px=50.00)
    tape.quote(7, 50.00, 300, 50.02, 200)
    tape.put(CancelOrder("c1", "asked"), tape.at(8))
    tape.put(RouteReplace("c2", fx(60), fx(49.99), None, 0), tape.at(8))
    (canceled, replaced) = tape.put(GapDetected(DAY + until, "playback", tape.at(9), DAY + until), DAY + until)
    assert (type(canceled), canceled.client_order_id) == (OrderCanceled, "c1")
    assert (type(replaced), replaced.client_order_id, replaced.qty) == (OrderReplaced, "c2", fx(60))
    tape.split()
    tape.open(2)
    assert [(order.order.client_order_id, order.leaves, order.state) for order in tape.broker.working] == [
        ("c2", fx(60), "new")
    ]
