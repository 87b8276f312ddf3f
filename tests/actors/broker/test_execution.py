"""How much a bar fills, in which order, for how much, and what becomes of the rest."""

from __future__ import annotations

import math

import pytest

from actors.messages.orders import Bracket, OrderAccepted, OrderTerms, TimeInForce
from actors.values.fixed import SCALE, fmt
from tests.actors.broker.desk import FREE, HOUR, PLAN, Desk, fills, fx, kinds, with_params

BUY, SELL = 1, -1
FLAT = (100, 101, 99, 100)
CAPPED = with_params(participation=fx(0.1))


# -- when an order is live ---------------------------------------------------------------------------------------------


def test_an_order_that_arrives_at_the_bars_start_is_live_for_the_whole_bar():
    """Arrival T <= start: it gets the open."""
    desk = Desk(FREE)
    desk.clock.advance_to(HOUR)
    desk.route(BUY, 1)
    (fill,) = fills(desk.bar(2, FLAT))
    assert (fill.last_px, fill.px_source) == (fx(100), "open")


def test_an_order_that_arrives_inside_a_bar_waits_for_the_next():
    """One nanosecond late is late."""
    desk = Desk(FREE)
    desk.clock.advance_to(HOUR + 1)
    desk.route(BUY, 1)
    assert desk.bar(2, FLAT) == []
    assert len(fills(desk.bar(3, FLAT))) == 1


def test_only_the_symbols_of_a_panel_are_touched():
    """A sparse panel, and a symbol without a bar waits."""
    desk = Desk(FREE, n=3)
    for symbol in range(3):
        desk.route(BUY, 1, symbol=symbol)
    assert [f.symbol for f in fills(desk.bar(1, FLAT, None, FLAT))] == [0, 2]
    assert [f.symbol for f in fills(desk.bar(2, None, FLAT, None))] == [1]


def test_same_event_fill_lets_a_market_order_take_the_close_of_the_bars_it_arrives_with():
    """At the same instant only, in symbols with a bar, for market orders only."""
    desk = Desk(with_params(same_event_fill=True))
    desk.bar(1, FLAT, None)
    (fill,) = fills(desk.route(BUY, 1))
    assert (fill.last_px, fill.px_source, fill.order_id) == (fx(100), "close", "O-1")
    assert kinds(desk.route(BUY, 1, symbol=1)) == ["OrderAccepted"]
    assert kinds(desk.route(BUY, 1, "limit", 200)) == ["OrderAccepted"]
    desk.clock.advance_to(HOUR + 1)
    assert kinds(desk.route(BUY, 1)) == ["OrderAccepted"]


def test_same_event_fills_share_the_bars_volume_with_its_other_fills():
    """10 % of 300: 20 went at the open, 10 are left for the close, then none; a snapshot in between changes nothing."""
    desk = Desk(with_params(CAPPED, same_event_fill=True))
    desk.route(BUY, 20)
    desk.bar(1, FLAT, volume=300)
    desk.split()
    assert [f.last_qty for f in fills(desk.route(BUY, 15))] == [fx(10)]
    desk.split()
    assert kinds(desk.route(BUY, 15)) == ["OrderAccepted"]


def test_exits_of_a_same_event_fill_are_orders_of_their_own():
    """The entry is O-1, its exits O-2 and O-3; what they fill is told of them, at 90 x 10, and what comes later O-4."""
    desk = Desk(with_params(same_event_fill=True))
    desk.bar(1, FLAT)
    events = desk.route(BUY, 10, terms=OrderTerms(bracket=Bracket(fx(120), fx(90))))
    assert [e.order_id for e in events if isinstance(e, OrderAccepted)] == ["O-1", "O-2", "O-3"]
    desk.split()
    (fill,) = fills(desk.bar(2, (95, 96, 89, 90)))
    assert (fill.order_id, fill.exec_id, fill.last_px, fill.last_qty) == ("O-3", "O-3-1", fx(90), fx(10))
    assert [e.order_id for e in desk.route(BUY, 1) if isinstance(e, OrderAccepted)] == ["O-4"]


@pytest.mark.parametrize(
    ("tif", "filled"), [(TimeInForce.IOC, [10]), (TimeInForce.FOK, []), (TimeInForce.DAY, [10, 5])]
)
def test_a_same_event_fill_is_the_one_look_of_ioc_and_fok(tif, filled):
    """15 wanted, 10 % of 100 are there; the next bar has the rest for who waits."""
    desk = Desk(with_params(CAPPED, same_event_fill=True))
    desk.bar(1, FLAT, volume=100)
    found = fills(desk.route(BUY, 15, tif=tif)) + fills(desk.bar(2, FLAT, volume=1000))
    assert [fill.last_qty // SCALE for fill in found] == filled
    assert not desk.broker.working


def test_same_event_fills_are_not_for_orders_that_wait_for_an_auction():
    """At the close of a bar at noon there is none."""
    desk = Desk(with_params(same_event_fill=True), daily=False)
    desk.open(0)
    desk.bar(4, FLAT)
    for tif in (TimeInForce.OPG, TimeInForce.CLS):
        assert kinds(desk.route(BUY, 1, tif=tif)) == ["OrderAccepted"]


# -- volume ------------------------------------------------------------------------------------------------------------


def test_at_most_the_participation_fills_and_the_rest_keeps_working():
    """10 % of 255 shares are 25.5, whole shares 25; the next bar gives more, at its own price."""
    desk = Desk(CAPPED)
    desk.route(BUY, 40)
    (first,) = desk.bar(1, FLAT, volume=255)
    assert (kinds([first]), first.last_qty, first.leaves_qty) == (["OrderPartiallyFilled"], fx(25), fx(15))
    (second,) = desk.bar(2, (110, 111, 109, 110), volume=255)
    assert (kinds([second]), second.last_qty, second.cum_qty) == (["OrderFilled"], fx(15), fx(40))
    assert second.avg_px == (25 * fx(100) + 15 * fx(110)) // 40
    assert (first.exec_id, second.exec_id) == ("O-1-1", "O-1-2")


def test_all_orders_of_a_symbol_share_one_participation():
    """30 shares: the older order takes 20, the younger the 10 that are left."""
    desk = Desk(CAPPED)
    desk.route(BUY, 20)
    desk.route(BUY, 20)
    assert [f.last_qty for f in fills(desk.bar(1, FLAT, volume=300))] == [fx(20), fx(10)]


@pytest.mark.parametrize("volume", [0.0, math.nan])
def test_a_bar_without_trade_or_of_unknown_volume_fills_and_triggers_nothing(volume):
    """Market, limit and stop alike."""
    desk = Desk(FREE)
    desk.route(BUY, 1)
    desk.route(BUY, 1, "limit", 200)
    desk.route(BUY, 1, "stop", 50)
    assert desk.bar(1, FLAT, volume=volume) == []
    assert desk.broker.null_volume_skips == (3 if math.isnan(volume) else 0)
    assert len(fills(desk.bar(2, FLAT, volume=1_000))) == 3


def test_only_live_orders_are_counted_as_lost_to_null_volume():
    """The one that came inside the bar could not have filled anyway."""
    desk = Desk(FREE)
    desk.route(BUY, 1)
    desk.clock.advance_to(HOUR // 2)
    desk.route(BUY, 1)
    desk.bar(1, FLAT, volume=math.nan)
    assert desk.broker.null_volume_skips == 1
    assert "1 order-bars" in desk.broker.health().detail


def test_without_a_volume_column_there_is_no_cap():
    """Participation is off where volume is unknown altogether."""
    desk = Desk(CAPPED)
    desk.route(BUY, 5_000)
    (fill,) = fills(desk.bar(1, FLAT))
    assert fill.leaves_qty == 0


def test_a_triggered_stop_works_as_a_market_order_for_what_is_left():
    """10 at the stop's price, the rest at the next open although it is back below the stop; triggered once."""
    desk = Desk(CAPPED)
    desk.bar(1, FLAT, volume=100)
    desk.route(BUY, 15, "stop", 101)
    assert kinds(desk.bar(2, (100, 102, 99, 100), volume=100)) == ["OrderTriggered", "OrderPartiallyFilled"]
    (rest,) = desk.bar(3, (95, 96, 94, 95), volume=100)
    assert (kinds([rest]), rest.last_px, rest.px_source) == (["OrderFilled"], fx(95), "open")


def test_a_stop_triggers_even_if_the_bars_share_is_less_than_a_lot():
    """10 % of 5 shares is no share: triggered now, filled at the next open."""
    desk = Desk(CAPPED)
    desk.bar(1, FLAT, volume=100)
    desk.route(BUY, 5, "stop", 101)
    (event,) = desk.bar(2, (100, 102, 99, 100), volume=5)
    assert (kinds([event]), event.level) == (["OrderTriggered"], fx(101))
    assert [f.last_px for f in fills(desk.bar(3, (95, 96, 94, 95), volume=100))] == [fx(95)]


# -- cash and positions ------------------------------------------------------------------------------------------------


def test_sales_at_one_open_pay_for_purchases_whoever_came_first():
    """No cash but what the sale brings: the older purchase waits for the younger sale."""
    desk = Desk(FREE, cash=1_000)
    desk.route(BUY, 10, symbol=1)
    desk.bar(1, FLAT, FLAT)
    desk.route(BUY, 10)
    desk.route(SELL, 10, symbol=1)
    found = fills(desk.bar(2, FLAT, FLAT))
    assert [(f.side, f.symbol, f.last_qty) for f in found] == [(SELL, 1, fx(10)), (BUY, 0, fx(10))]
    assert desk.broker.account("main").cash == 0


@pytest.mark.parametrize(("cash", "bought"), [(0.30, 100), (0.29, 99)])
def test_what_a_sale_pays_in_fees_is_not_there_for_a_purchase_at_the_same_open(cash, bought):
    """Shares of 100.00 for shares of 100.00. In June 2024 the sale of 100 owes 27.8 cents and 1.66, up to 30 in all.

    It brings 9,999.70, so that with 30 cents beside it 100 are paid, and 99 with 29.
    """
    desk = Desk(with_params(regulatory_fees=True), cash=10_000 + cash, date=20240603)
    desk.route(BUY, 100)
    desk.bar(1, (100, 100, 100, 100))
    desk.route(SELL, 100)
    desk.route(BUY, 100, symbol=1)
    sold, paid = fills(desk.bar(2, (100, 100, 100, 100), (100, 100, 100, 100)))
    assert (sold.regulatory, paid.last_qty) == (fx(0.30), fx(bought))


def test_a_purchase_is_not_paid_with_the_smallest_unit_that_is_missing():
    """Five shares of 100 cost 500, and there is 0.00000001 less: four are bought."""
    desk = Desk(FREE, cash=499.99999999)
    desk.route(BUY, 10)
    assert [fill.last_qty for fill in fills(desk.bar(1, FLAT))] == [fx(4)]


def test_purchases_at_one_open_go_by_age():
    """The order for the later symbol came first and gets the cash."""
    desk = Desk(FREE, cash=150)
    desk.route(BUY, 1, symbol=1)
    desk.route(BUY, 1)
    assert [f.symbol for f in fills(desk.bar(1, FLAT, FLAT))] == [1]


def test_fills_inside_the_bars_go_by_the_path_and_not_by_age():
    """Both bars rise first; the younger order's level is nearer to its open and gets the cash."""
    desk = Desk(FREE, cash=150)
    desk.route(BUY, 1, "stop", 103)
    desk.route(BUY, 1, "stop", 101, symbol=1)
    bar = (100, 104, 90, 100)
    events = desk.bar(1, bar, bar)
    assert [(f.symbol, f.last_px) for f in fills(events)] == [(1, fx(101))]
    assert events[-1].reason == "INSUFFICIENT_CASH"


def test_a_tie_of_the_extremes_hurts_what_a_flat_account_would_open():
    """Whoever wants to buy sees the low first, as a long would: the limit is met before the stop."""
    desk = Desk(FREE, cash=150)
    desk.bar(1, FLAT)
    desk.route(BUY, 1, "stop", 101)
    desk.route(BUY, 1, "limit", 99)
    assert [f.last_px for f in fills(desk.bar(2, (100, 102, 98, 100)))] == [fx(99)]


def test_a_purchase_is_cut_to_what_cash_pays_and_the_rest_is_cancelled():
    """$1,000 at 100 plus 0.1 %: 9 shares cost 900.90, 10 would cost 1,001."""
    desk = Desk(with_params(commission_rate=fx(0.001)), cash=1_000)
    desk.route(BUY, 50)
    fill, rest = desk.bar(1, FLAT)
    assert (fill.last_qty, fill.leaves_qty, fill.commission) == (fx(9), fx(41), fx(0.9))
    assert (kinds([rest]), rest.cum_qty, rest.reason) == (["OrderCanceled"], fx(9), "INSUFFICIENT_CASH")
    assert fmt(desk.broker.account("main").cash) == "99.1"
    assert desk.broker.working == ()


def test_the_cut_quantity_is_the_largest_that_is_affordable_at_its_own_price():
    """Linear impact makes each share dearer the more are bought; one more lot than filled would not be paid."""
    params = with_params(impact="linear", impact_linear_rate=fx(0.01), lot_size=fx(0.001))
    desk = Desk(params, cash=200_000)
    desk.route(BUY, 10_000)
    (fill,) = fills(desk.bar(1, FLAT))

    def cost(qty: float) -> float:
        return qty * 100 * (1 + 0.01 * qty * 100 / 100_000)

    got = fill.last_qty / SCALE
    assert cost(got) <= 200_000 < cost(got + 0.001)
    assert 0 <= desk.broker.account("main").cash < fx(1)


def test_without_any_cash_a_purchase_is_cancelled():
    """Not filled with zero, not kept hoping."""
    desk = Desk(FREE, cash=99)
    desk.route(BUY, 1)
    (event,) = desk.bar(1, FLAT)
    assert (kinds([event]), event.reason) == (["OrderCanceled"], "INSUFFICIENT_CASH")


def test_a_sale_whose_fees_cash_cannot_pay_does_not_make_cash_negative():
    """One share of 50 cents against a minimum of $1, with 30 cents in the account."""
    desk = Desk(with_params(min_commission=fx(1)), cash=1.8)
    desk.route(BUY, 1)
    desk.bar(1, (0.5, 0.5, 0.5, 0.5))
    assert fmt(desk.broker.account("main").cash) == "0.3"
    desk.route(SELL, 1)
    (event,) = desk.bar(2, (0.5, 0.5, 0.5, 0.5))
    assert event.reason == "INSUFFICIENT_CASH"


def test_an_overdrawn_account_can_still_sell():
    """A withdrawal went too far: the sale brings money and is not held up."""
    desk = Desk(FREE, cash=100)
    desk.route(BUY, 1)
    desk.bar(1, FLAT)
    desk.deposit(-150)
    desk.route(SELL, 1)
    assert [f.last_qty for f in fills(desk.bar(2, FLAT))] == [fx(1)]
    assert desk.broker.account("main").cash == -fx(50)


def test_two_purchases_of_one_instant_cannot_spend_the_same_cash():
    """$150 buy one share, not two."""
    desk = Desk(FREE, cash=150)
    desk.route(BUY, 1)
    desk.route(BUY, 1, symbol=1)
    assert kinds(desk.bar(1, FLAT, FLAT)) == ["OrderFilled", "OrderCanceled"]


def test_portfolios_have_accounts_of_their_own():
    """One's cash does not pay for the other."""
    desk = Desk(FREE, cash=100)
    desk.deposit(50, "poor")
    desk.route(BUY, 1, portfolio="poor")
    desk.route(BUY, 1)
    assert [f.portfolio for f in fills(desk.bar(1, FLAT))] == ["main"]
    desk.deposit(50, "poor")
    assert desk.broker.account("poor").cash == fx(100)


def test_in_a_strict_cash_account_proceeds_buy_only_once_they_have_settled():
    """Trade date 2020: two sessions. The sale's cash is there and cannot be spent on the next day."""
    desk = Desk(with_params(account="cash_strict"), cash=1_000)
    desk.open(1)
    desk.route(BUY, 10)
    desk.bar(32, FLAT, width=8)
    desk.close(1)
    desk.route(SELL, 10)
    desk.open(2)
    desk.bar(56, FLAT, width=8)
    account = desk.broker.account("main")
    assert (account.cash, account.unsettled_total) == (fx(1_000), fx(1_000))
    desk.route(BUY, 10)
    desk.open(3)
    assert [e.reason for e in desk.bar(80, FLAT, width=8)] == ["INSUFFICIENT_CASH"]
    desk.route(BUY, 10)
    desk.split()
    desk.open(4)
    assert [f.last_qty for f in fills(desk.bar(104, FLAT, width=8))] == [fx(10)]
    assert desk.broker.account("main").unsettled_total == 0


@pytest.mark.parametrize(
    ("date", "sessions"),
    [
        (20170904, 3),
        (20170905, 2),
        (20240527, 2),
        (20240528, 1),
    ],
)
def test_settlement_follows_the_trade_date(date, sessions):
    """T+3, T+2, T+1 as the rule was amended."""
    desk = Desk(with_params(account="cash_strict"), cash=100, date=date)
    desk.open(1)
    desk.route(BUY, 1)
    desk.bar(32, FLAT, width=8)
    desk.route(SELL, 1)
    desk.bar(33, FLAT)
    for day in range(2, 2 + sessions):
        assert desk.broker.account("main").unsettled_total == fx(100)
        desk.open(day)
    assert desk.broker.account("main").unsettled_total == 0


def test_reduce_only_is_cut_to_the_position_when_it_is_taken():
    """10 held, 25 asked: an order of 10, with the reservation cut alike."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    (event,) = desk.route(SELL, 25, reduce_only=True, reserved=fx(50))
    assert (event.order.qty, event.reserved) == (fx(10), fx(20))


def test_of_two_reduce_only_orders_the_path_takes_the_first_and_the_other_finds_nothing():
    """Open 100, high 103 nearer than low 95: the target at 102 is met before the stop at 96."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    desk.route(SELL, 10, "stop", 96, reduce_only=True)
    desk.route(SELL, 10, "limit", 102, reduce_only=True)
    events = desk.bar(2, (100, 103, 95, 100))
    assert kinds(events) == ["OrderFilled", "OrderTriggered", "OrderCanceled"]
    assert (events[0].client_order_id, events[0].last_px) == ("c3", fx(102))
    assert (events[2].client_order_id, events[2].reason) == ("c2", "REDUCE_ONLY_FLAT")


def test_where_the_path_does_not_decide_the_account_gets_the_worse():
    """Both extremes equally far: the stop of a long is met first."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    desk.route(SELL, 10, "limit", 102, reduce_only=True)
    desk.route(SELL, 10, "stop", 98, reduce_only=True)
    events = desk.bar(2, (100, 103, 97, 100))
    assert [(f.client_order_id, f.last_px) for f in fills(events)] == [("c3", fx(98))]


def test_a_reduce_only_order_is_cut_again_when_it_fills_and_ends_with_the_position():
    """10 held; a sale of 7 at the open leaves 3 for the reduce-only sale of 10."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    desk.route(SELL, 10, "stop", 99.5, reduce_only=True)
    desk.route(SELL, 7)
    events = desk.bar(2, FLAT)
    assert kinds(events) == ["OrderFilled", "OrderTriggered", "OrderPartiallyFilled", "OrderCanceled"]
    assert (events[2].last_qty, events[3].cum_qty) == (fx(3), fx(3))
    assert desk.broker.account("main").positions == {}


def test_without_shorts_a_sale_never_sells_more_than_is_held():
    """The gate should have seen to it; the broker makes sure."""
    desk = Desk(FREE)
    desk.route(BUY, 5)
    desk.bar(1, FLAT)
    desk.route(SELL, 8)
    events = desk.bar(2, FLAT)
    assert [f.last_qty for f in fills(events)] == [fx(5)]
    assert events[-1].reason == "NO_POSITION"


def test_without_shorts_nothing_is_sold_where_nothing_is_held():
    """Not the smallest part of a share."""
    desk = Desk(FREE)
    desk.route(SELL, 8)
    (ended,) = desk.bar(1, FLAT)
    assert (kinds([ended]), ended.reason, ended.cum_qty) == (["OrderCanceled"], "NO_POSITION", 0)


def test_a_short_can_be_opened_where_allowed_and_covered_reduce_only():
    """Sell 5 from nothing, cover 9 asked as 5."""
    desk = Desk(with_params(allow_short=True))
    desk.route(SELL, 5)
    desk.bar(1, FLAT)
    assert desk.broker.account("main").positions == {0: -fx(5)}
    desk.route(BUY, 9, reduce_only=True)
    assert [f.last_qty for f in fills(desk.bar(2, FLAT))] == [fx(5)]
    assert desk.broker.account("main").positions == {}


# -- resting and taking ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [False, True])
def test_a_marketable_limit_that_missed_its_open_rests_and_pays_no_costs_later(split):
    """Bid 101 over 100, the open runs to 103 and stays; the next bar opens at 99: met at the open, as a maker."""
    desk = Desk(PLAN, n=1)
    desk.bar(1, FLAT)
    desk.route(BUY, 1, "limit", 101)
    if split:
        desk.split()
    assert desk.bar(2, (103, 104, 102, 103)) == []
    (fill,) = fills(desk.bar(3, (99, 100, 98, 99)))
    assert (fill.last_px, fill.liquidity, fill.px_source) == (fx(99), "maker", "open")


def test_a_limit_that_met_an_open_at_its_very_price_rests_from_there():
    """Bid 101 over 100, the open is 101 and others come first; the next bar opens at 99: met there, as a maker."""
    desk = Desk(PLAN, n=1)
    desk.bar(1, FLAT)
    desk.route(BUY, 1, "limit", 101)
    assert desk.bar(2, (101, 104, 101, 103)) == []
    (fill,) = fills(desk.bar(3, (99, 100, 98, 99)))
    assert (fill.last_px, fill.liquidity) == (fx(99), "maker")


def test_a_marketable_limit_is_not_judged_by_bars_it_does_not_see():
    """No bar of its symbol, a bar without trade and a bar that began too early leave it as it came."""
    desk = Desk(PLAN)
    desk.bar(1, FLAT, FLAT)
    desk.clock.advance_to(HOUR + 1)
    desk.route(BUY, 1, "limit", 101)
    desk.bar(2, (103, 104, 102, 103), FLAT)
    desk.bar(3, None, FLAT)
    desk.bar(4, (103, 104, 102, 103), FLAT, volume=0.0)
    (fill,) = fills(desk.bar(5, (99, 100, 98, 99), FLAT))
    assert fill.liquidity == "taker"


def test_new_terms_are_judged_like_a_new_arrival():
    """Raised through the market it takes; lowered below it rests."""
    for limit, liquidity in ((105, "taker"), (99.5, "maker")):
        desk = Desk(PLAN, n=1)
        desk.bar(1, FLAT)
        desk.route(BUY, 1, "limit", 95 if liquidity == "taker" else 110)
        desk.replace("c1", 1, limit=limit)
        (fill,) = fills(desk.bar(2, (99, 100, 98, 99)))
        assert fill.liquidity == liquidity


def test_nothing_is_remembered_of_orders_that_ended_but_their_ids():
    """Memory: filled, cancelled and expired orders leave only what duplicate detection needs."""
    desk = Desk(FREE)
    for n in range(20):
        desk.route(BUY, 1, "limit", 200)
        desk.route(BUY, 1, "limit", 200, symbol=1)
        desk.cancel(f"c{2 * n + 2}")
        desk.bar(n + 1, FLAT, FLAT)
    state = desk.broker.snapshot()
    assert (state["orders"], len(state["seen"][0]), state["seen"][1]) == ([], 40, b"")
    resting = desk.broker._resting
    assert (resting.orders, resting.taking, resting._by_symbol) == ({}, {}, {})


# -- costs -------------------------------------------------------------------------------------------------------------


def test_quotes_in_the_panel_replace_the_modelled_spread_where_the_bar_is_traded_at():
    """0.10 quoted at the open: 5 cents a share, not 0.75 bps; NaN falls back to the model."""
    params = with_params(PLAN, commission_rate=0, impact="none", slippage_rate=0)
    for ask, spread in ((100.05, 5.0), (math.nan, 0.75), (99.0, 0.75)):
        desk = Desk(params, n=1)
        desk.route(BUY, 100)
        (fill,) = fills(desk.bar(1, FLAT, bid_open=[99.95], ask_open=[ask]))
        assert fill.spread == fx(spread)


def test_at_the_close_the_closing_quote_counts():
    """Half of 0.30 on 100 shares."""
    desk = Desk(with_params(PLAN, same_event_fill=True, slippage_rate=0, impact="none"), n=1)
    desk.bar(1, FLAT, bid_open=[99.9], ask_open=[100.1], bid_close=[99.85], ask_close=[100.15])
    (fill,) = fills(desk.route(BUY, 100))
    assert (fill.spread, fill.px_source) == (fx(15), "close")


def test_a_spread_of_zero_switches_the_quoted_one_off_too():
    """Frictionless means frictionless."""
    desk = Desk(FREE, n=1)
    desk.route(BUY, 100)
    (fill,) = fills(desk.bar(1, FLAT, bid_open=[99.0], ask_open=[101.0]))
    assert (fill.last_px, fill.spread) == (fx(100), 0)


def test_impact_is_the_square_root_of_participation_in_the_average_volume_known_before():
    """20 sessions of 1,000,000, then one of 9,000,000: 10,000 of 1,000,000 is 0.1 as a root, times 2 % = 20 bps."""
    params = with_params(PLAN, commission_rate=0, spread_rate=0, slippage_rate=0)
    desk = Desk(params, n=1, cash=10_000_000)
    for day in range(1, 21):
        desk.bar(24 * day, FLAT, volume=1_000_000)
    desk.split()
    desk.route(BUY, 10_000)
    (fill,) = fills(desk.bar(24 * 21, FLAT, volume=9_000_000))
    assert (fill.last_px, fill.impact) == (fx(100.2), fx(2_000))
    # The session of 9,000,000 took the place of the oldest: the mean is 1,400,000 now.
    desk.route(SELL, 10_000)
    (fill,) = fills(desk.bar(24 * 22, FLAT, volume=9_000_000))
    assert fill.impact / SCALE == pytest.approx(10_000 * 100 * 0.02 * math.sqrt(10_000 / 1_400_000), rel=1e-6)


def test_null_volumes_are_left_out_of_the_mean_and_zero_ones_are_not():
    """(1,000,000 + 0 + 500,000) / 3."""
    params = with_params(PLAN, commission_rate=0, spread_rate=0, slippage_rate=0, participation=0)
    desk = Desk(params, n=1)
    for day, volume in enumerate((1_000_000, math.nan, 0.0, 500_000), 1):
        desk.bar(24 * day, FLAT, volume=volume)
    desk.route(BUY, 100)
    (fill,) = fills(desk.bar(24 * 5, FLAT, volume=1.0))
    assert fill.impact / SCALE == pytest.approx(100 * 100 * 0.02 * math.sqrt(100 / 500_000), rel=1e-6)


def test_a_session_without_a_bar_is_left_out_of_the_mean():
    """The symbol was missing from the second panel: one session of 800,000."""
    params = with_params(PLAN, commission_rate=0, spread_rate=0, slippage_rate=0)
    desk = Desk(params, n=2)
    desk.bar(24, FLAT, FLAT, volume=800_000)
    desk.bar(48, None, FLAT, volume=[100_000])
    desk.route(BUY, 100)
    (fill,) = fills(desk.bar(72, FLAT, None, volume=[5_000]))
    assert fill.impact / SCALE == pytest.approx(100 * 100 * 0.02 * math.sqrt(100 / 800_000), rel=1e-6)


def test_intraday_volumes_count_by_session_and_not_before_the_session_is_over():
    """Two bars of 300,000 are one session of 600,000; during it impact is linear, as ADV is unknown."""
    params = with_params(PLAN, commission_rate=0, spread_rate=0, slippage_rate=0)
    desk = Desk(params, n=2, daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT, volume=[300_000, math.nan])
    desk.route(BUY, 100)
    desk.split()
    (fill,) = fills(desk.bar(26, FLAT, None, volume=[300_000]))
    assert fill.impact == fx(100 * 100 * 0.001 * 10_000 / 100_000)
    desk.close(1)
    desk.split()
    desk.open(2)
    desk.route(SELL, 100)
    desk.route(BUY, 100, symbol=1)
    sale, purchase = fills(desk.bar(49, FLAT, FLAT, volume=10_000))
    assert sale.impact / SCALE == pytest.approx(100 * 100 * 0.02 * math.sqrt(100 / 600_000), rel=1e-6)
    assert purchase.impact == fx(1)


def test_a_session_whose_close_was_never_seen_still_counts_as_one():
    """The next open ends it."""
    params = with_params(PLAN, commission_rate=0, spread_rate=0, slippage_rate=0)
    desk = Desk(params, n=1, daily=False)
    desk.open(1)
    desk.bar(25, FLAT, volume=400_000)
    desk.open(2)
    desk.route(BUY, 100)
    (fill,) = fills(desk.bar(49, FLAT, volume=10_000))
    assert fill.impact / SCALE == pytest.approx(100 * 100 * 0.02 * math.sqrt(100 / 400_000), rel=1e-6)


def test_a_crushing_sale_still_has_a_positive_price():
    """Linear impact of more than 100 % is cut: the price stops at the smallest unit."""
    params = with_params(impact="linear", impact_linear_rate=fx(0.5), allow_short=True)
    desk = Desk(params)
    desk.route(SELL, 1_000_000)
    (fill,) = fills(desk.bar(1, FLAT))
    assert (fill.last_px, fill.impact) == (1, 1_000_000 * (fx(100) - 1))


def test_the_minimum_commission_is_per_order_not_per_fill():
    """$0.005 a share, at least $1: 100 shares cost 1.00; the next 200 bring it to 1.50."""
    params = with_params(CAPPED, commission_per_share=fx(0.005), min_commission=fx(1), max_commission_rate=fx(0.01))
    desk = Desk(params)
    desk.route(BUY, 300)
    (first,) = fills(desk.bar(1, FLAT, volume=1_000))
    desk.split()
    (second,) = fills(desk.bar(2, FLAT, volume=2_000))
    assert (first.commission, second.commission) == (fx(1), fx(0.5))


def test_the_maximum_rate_wins_over_the_minimum():
    """1 % of $50 is 50 cents."""
    params = with_params(commission_per_share=fx(0.005), min_commission=fx(1), max_commission_rate=fx(0.01))
    desk = Desk(params)
    desk.route(BUY, 5)
    assert [f.commission for f in fills(desk.bar(1, (10, 10, 10, 10)))] == [fx(0.5)]


def test_regulatory_fees_fall_on_sales_once_per_order_rounded_up():
    """Each fill is charged the growth of what the whole order owes; purchases owe nothing.

    June 2024: 50 x $100 at $27.80 a million are 13.9 cents, up to 14, and TAF 0.83 cents, up to 1. With the second half
    the order owes 27.8, up to 28, and 1.66, up to 2: 30 in all, 15 more.
    """
    desk = Desk(with_params(CAPPED, regulatory_fees=True), date=20240603)
    desk.route(BUY, 100)
    assert [f.regulatory for f in fills(desk.bar(1, FLAT, volume=10_000))] == [0]
    desk.route(SELL, 100)
    (first,) = fills(desk.bar(2, FLAT, volume=500))
    desk.split()
    (second,) = fills(desk.bar(3, FLAT, volume=500))
    assert (first.regulatory, second.regulatory) == (fx(0.15), fx(0.15))
    assert desk.broker.account("main").cash == fx(1_000_000 - 0.30)


def test_a_maximum_that_falls_between_two_fills_takes_nothing_back():
    """TAF of 100,000 shares at its maximum of 9.79 in September 2026, and no TAF on the rest in October."""
    desk = Desk(with_params(CAPPED, regulatory_fees=True, allow_short=True), date=20260930)
    desk.route(SELL, 200_000)
    (first,) = fills(desk.bar(1, (0.01, 0.01, 0.01, 0.01), volume=1_000_000))
    desk.date = 20261001
    (second,) = fills(desk.bar(2, (0.01, 0.01, 0.01, 0.01), volume=1_000_000))
    # Section 31 on $1,000 is 2.06 cents, on $2,000 4.12 cents.
    assert (first.regulatory, second.regulatory) == (fx(9.79 + 0.03), 0)


def test_a_sale_on_a_date_without_rates_is_cancelled_and_says_why():
    """A fill without its fee would be a guess."""
    desk = Desk(with_params(regulatory_fees=True), date=19990104)
    desk.route(BUY, 1)
    desk.bar(1, FLAT)
    desk.route(SELL, 1)
    (event,) = desk.bar(2, FLAT)
    assert kinds([event]) == ["OrderCanceled"]
    assert "1999-01-04" in event.reason


def test_buy_and_hold_equals_the_closed_form_to_the_cent():
    """$100,000 at 0.1 %: N = floor(100000 / (px x 1.001)), cash and equity follow."""
    desk = Desk(with_params(commission_rate=fx(0.001)), n=1, cash=100_000)
    desk.route(BUY, 10_000)
    (fill,) = fills(desk.bar(1, (123.45, 130, 120, 125)))
    shares = int(100_000 / (123.45 * 1.001))
    assert fill.last_qty == fx(shares)
    assert desk.broker.account("main").cash == 100_000 * SCALE - shares * fx(123.45) - shares * fx(123.45) // 1000


def test_snapshots_survive_long_runs():
    """Money sums beyond 64 bits of 1e-16 travel as text; a day's worth of terminal ids comes back."""
    desk = Desk(with_params(CAPPED, regulatory_fees=True, allow_short=True), cash=10**9, date=20240603)
    desk.route(SELL, 50_000_000)
    desk.bar(1, (300, 300, 300, 300), volume=10_000_000)
    (before,) = desk.broker.working
    desk.split()
    (after,) = desk.broker.working
    assert after.to_row() == before.to_row()
    assert after.section_31_raw > 2**63
