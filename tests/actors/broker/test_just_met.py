"""Prices that are met to the cent, trails that are not armed, and what is left of prints: derived beside each case."""

from __future__ import annotations

import math

import pytest

from actors.messages.market import TradingStatus
from actors.messages.orders import (
    BUY,
    SELL,
    Bracket,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    OrderTerms,
    OrderType,
    TimeInForce,
)
from actors.values.fixed import SCALE
from tests.actors.broker.desk import FREE, HOUR, PLAN, Desk, fills, fx, kinds, with_params
from tests.actors.broker.tape import Tape

FLAT = (100, 100, 100, 100)
TRAIL = OrderTerms(trail_amount=fx(5))


def told(events):
    """Each fill as (qty, px, source)."""
    return [(e.last_qty / SCALE, e.last_px / SCALE, e.px_source) for e in fills(events)]


def trailing(desk):
    """Let a sale trail 5 behind 100."""
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    desk.route(SELL, 10, type=OrderType.TRAILING_STOP, terms=TRAIL)


# -- at the open of a bar ----------------------------------------------------------------------------------------------

AT_OPEN = [
    # A stop that trails 5 behind 100 stands at 95 (105 for a purchase); the bar opens right there.
    ("trail, sell", SELL, {"type": OrderType.TRAILING_STOP, "terms": TRAIL}, (95, 97, 94, 96), 95),
    ("trail, buy", BUY, {"type": OrderType.TRAILING_STOP, "terms": TRAIL}, (105, 106, 103, 104), 105),
    # A touch order for 98 (102): the bar opens right there, and leaves the price before it comes back.
    ("touch, buy", BUY, {"type": OrderType.MARKET_IF_TOUCHED, "stop_px": fx(98)}, (98, 99, 97, 98), 98),
    ("touch, sell", SELL, {"type": OrderType.MARKET_IF_TOUCHED, "stop_px": fx(102)}, (102, 103, 100, 101), 102),
    ("stop, sell", SELL, {"type": OrderType.STOP, "stop_px": fx(95)}, (95, 97, 94, 96), 95),
    ("stop, buy", BUY, {"type": OrderType.STOP, "stop_px": fx(105)}, (105, 106, 103, 104), 105),
]


@pytest.mark.parametrize(("side", "terms", "bar", "px"), [c[1:] for c in AT_OPEN], ids=[c[0] for c in AT_OPEN])
def test_a_condition_that_the_open_meets_to_the_cent_fills_at_the_open(side, terms, bar, px):
    """At the open means with the open's place in the queue, before anything on the bar's path."""
    desk = Desk(with_params(allow_short=True))
    desk.bar(1, FLAT)
    desk.route(side, 10, **terms)
    assert told(desk.bar(2, bar)) == [(10, px, "open")]


def test_what_is_for_the_close_takes_liquidity_there():
    """Plan: half a spread of 0.75 and slippage of 5 basis points of 100, on top of it: 100.0575."""
    desk = Desk(with_params(PLAN, impact="none", participation=0))
    desk.open(0)
    desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    found = fills(desk.bar(8, FLAT, width=8))
    assert [(e.last_px, e.px_source, e.liquidity) for e in found] == [(fx(100.0575), "close", "taker")]


# -- where the market stood --------------------------------------------------------------------------------------------


def test_a_limit_arrives_at_the_first_bar_it_is_live_for_and_fills_later():
    """It came in while the bar from 110 went on, rested through the one from 100, and was filled in the next."""
    desk = Desk(FREE, daily=False)
    desk.clock.advance_to(HOUR + HOUR // 2)
    desk.route(BUY, 10, "limit", 95)
    desk.bar(2, (110, 110, 100, 100))
    desk.bar(3, (100, 100, 96, 97))
    (fill,) = fills(desk.bar(4, (97, 97, 94, 96)))
    assert (fill.arrival_px, fill.last_px) == (fx(100), fx(95))


def test_a_trail_goes_on_where_another_symbol_is_halted():
    """B is halted; A rises from 100 to 110 and its stop to 105. The next bar falls from 106 on."""
    desk = Desk(FREE)
    trailing(desk)
    desk.put(TradingStatus(desk.clock.now(), 1, "halted", reason="T1"))
    desk.bar(2, (100, 110, 100, 110))
    assert told(desk.bar(3, (106, 106, 104, 104))) == [(10, 105, "intrabar")]


def test_what_is_for_the_close_gets_the_last_bar_of_a_session_that_ends_without_one():
    """Hourly bars to 7 o'clock, the close is at 8: the price of 7 o'clock is the session's last."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    desk.route(BUY, 10, "limit", 99, tif=TimeInForce.CLS)  # does not suit 101, and fills nothing
    for hour, px in ((6, 100), (7, 101)):
        assert desk.bar(hour, (px, px, px, px)) == []
    assert told(desk.close(0)) == [(10, 101, "close")]


def test_a_bar_that_is_told_again_fills_nothing():
    """A correction says that the low was 90, below a limit of 95 that rested all along: it is told and no more."""
    desk = Desk(FREE)
    desk.route(BUY, 10, "limit", 95)
    desk.bar(1, FLAT)
    assert kinds(desk.bar(1, (100, 100, 90, 98), revision=1)) == ["BarRevised"]
    assert told(desk.bar(2, (98, 98, 94, 97))) == [(10, 95, "intrabar")]


# -- trails that are not armed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [{"trail_amount": fx(2)}, {"trail_percent": fx(2)}])
def test_a_purchase_that_trails_is_asleep_until_its_activation_price(distance):
    """At 100 with activation at 95 nothing trails, whatever rises. A low of 95 puts the stop 2 (1.90) above it."""
    desk = Desk(FREE)
    desk.bar(1, FLAT)
    terms = OrderTerms(activation_px=fx(95), **distance)
    desk.route(BUY, 10, type=OrderType.TRAILING_STOP, terms=terms)
    assert desk.bar(2, (100, 120, 96, 110)) == []
    stop = 97 if "trail_amount" in distance else 96.9
    # Open 110, the high of 112 is nearer than the low of 95: the stop is where the path leaves the low behind.
    assert told(desk.bar(3, (110, 112, 95, 100))) == [(10, stop, "intrabar")]


def test_a_purchase_that_trails_is_asleep_on_ticks_too():
    """Prints at 50 and 60 meet nothing while the activation at 45 is not reached; 45 arms it, 46 meets the stop."""
    tape = Tape()
    terms = OrderTerms(trail_amount=fx(1), activation_px=fx(45))
    tape.send(1, BUY, 10, "trailing_stop", terms=terms)
    for n, px in enumerate((50, 60, 46, 45)):
        assert tape.trade(10 + n, (px, 100)) == []
    assert kinds(tape.trade(20, (46, 100))) == ["OrderTriggered"]


def test_a_bar_that_is_told_again_lifts_no_trail():
    """The stop is at 95 whatever a correction says the high was: 96 is above it, 95 meets it."""
    desk = Desk(FREE)
    trailing(desk)
    desk.bar(2, FLAT)
    desk.bar(2, (100, 120, 100, 100), revision=1)
    assert desk.bar(3, (100, 100, 96, 96)) == []
    assert told(desk.bar(4, (96, 96, 95, 95))) == [(10, 95, "intrabar")]


def test_a_bar_of_what_ticks_lifts_no_trail():
    """Prints at 100 and 101 are what it follows; a bar of 120 of the same session is not."""
    tape = Tape()
    tape.send(1, BUY, 10)
    tape.trade(2, (100, 10))
    tape.send(3, SELL, 10, "trailing_stop", terms=TRAIL)
    tape.trade(4, (100, 10))
    tape.bar(25, (100, 120, 100, 100))
    assert tape.trade(3_600_001, (101, 10)) == []
    assert kinds(tape.trade(3_600_002, (96, 10))) == ["OrderTriggered"]


# -- prints ------------------------------------------------------------------------------------------------------------


def test_a_print_at_the_limit_of_what_takes_is_not_through_it():
    """Nothing is quoted: 50 does not fill a purchase at 50, whose one chance it was; 49.99 does, at its price."""
    tape = Tape()
    tape.send(1, BUY, 10, "limit", limit_px=50, tif=TimeInForce.IOC)
    assert [(type(e), e.reason) for e in tape.trade(2, (50, 100))] == [(OrderCanceled, "IOC")]
    tape.send(3, BUY, 10, "limit", limit_px=50, tif=TimeInForce.IOC)
    assert told(tape.trade(4, (49.99, 100))) == [(10, 49.99, "trade")]


def test_what_a_limit_gets_of_several_prints_is_whole_shares():
    """A tenth of 35 and of 2 is 3.5 and 0.2: three shares, the 0.7 beyond them are taken from nobody."""
    tape = Tape(with_params(participation=10_000_000))
    tape.send(1, BUY, 100, "limit", limit_px=50)
    assert tape.trade(2, (50.5, 100)) == []  # it rests from here on
    assert told(tape.trade(3, (49.9, 35), (49.8, 2))) == [(3, 50, "trade")]


def test_a_limit_that_is_worth_the_touch_waits_for_quotes_and_not_for_prints():
    """The ask came to its price and was taken whole; what prints below while the ask stands there is not for it too."""
    tape = Tape()
    tape.quote(1, 49.90, 100, 50.00, 100)
    tape.send(2, BUY, 300, "limit", limit_px=49.95)
    assert told(tape.quote(3, 49.90, 100, 49.95, 100)) == [(100, 49.95, "quote")]
    assert tape.trade(4, (49.94, 500)) == []
    assert told(tape.quote(5, 49.90, 100, 50.00, 100)) == []
    assert told(tape.trade(6, (49.94, 50))) == [(50, 49.95, "trade")]


def test_several_prints_of_an_instant_are_fills_of_their_own():
    """10 at 50, 51 and 52: three executions with names of their own, on average 50, 50.50 and 51."""
    tape = Tape()
    tape.send(1, BUY, 30)
    found = fills(tape.trade(2, (50, 10), (51, 10), (52, 10)))
    assert [(e.last_px / SCALE, e.avg_px / SCALE, e.cum_qty / SCALE) for e in found] == [
        (50, 50, 10),
        (51, 50.5, 20),
        (52, 51, 30),
    ]
    assert len({e.exec_id for e in found}) == 3


def test_regulatory_fees_of_several_prints_are_rounded_up_once_an_order():
    """January 2020: 20.70 a million and 0.000119 a share. 100 at 50: 0.1035 and 0.0119, so 0.11 and 0.02.

    200 at 50: 0.2070 and 0.0238, so 0.21 and 0.03. The second print pays what is left of 0.24.
    """
    tape = Tape(with_params(regulatory_fees=True))
    tape.send(1, BUY, 200)
    tape.trade(2, (50, 200))
    tape.send(3, SELL, 200)
    assert [e.regulatory for e in fills(tape.trade(4, (50, 100), (50, 100)))] == [fx(0.13), fx(0.11)]


def test_an_opening_print_is_given_once():
    """100 opened: the older of two orders gets its 60, the younger what is left."""
    tape = Tape()
    for _ in range(2):
        tape.send(1, BUY, 60, "market_on_open", tif=TimeInForce.OPG)
    assert [qty for qty, _, _ in told(tape.trade(2, (50, 100)))] == [60, 40]


def test_new_terms_that_are_on_their_way_at_the_close_are_there_before_the_next_session():
    """They would arrive ten seconds behind it; the next day's terms find nothing in their way."""
    tape = Tape(with_params(latency_ns=10**10))
    tape.send(1, BUY, 10, "limit", limit_px=40)
    tape.trade(20_000, (50, 10))
    tape.clock.advance_to(tape.at(8 * 3_600_000 - 1))
    assert kinds(tape.replace("c1", 20, limit=41)) == ["OrderReplaceRequested"]
    assert kinds(tape.close(1)) == ["OrderReplaced"]
    tape.day = 2
    tape.open(2)
    tape.trade(1, (50, 10))
    assert kinds(tape.replace("c1", 30, limit=42)) == ["OrderReplaceRequested"]


def test_what_cash_does_not_pay_of_a_print_is_there_for_the_next_order():
    """200 print through both limits. 2,500 of cash pay 50 at 50, so the other portfolio gets the remaining 150."""
    tape = Tape(cash=2_500)
    tape.deposit(1_000_000, "rich")
    tape.send(1, BUY, 200, "limit", limit_px=50)
    tape.send(1, BUY, 200, "limit", limit_px=50, portfolio="rich")
    assert tape.trade(2, (50.5, 10)) == []  # both rest from here on
    found = fills(tape.trade(3, (49.9, 100), (49.9, 100)))
    assert [(e.portfolio, e.last_qty / SCALE) for e in found] == [("main", 50), ("rich", 150)]


@pytest.mark.parametrize(
    ("instants", "filled"),
    [
        # Three prints of the last minute, two of them of one instant: a tenth of 70.
        ([(0, [(0, 50.0, 20), (1, 9.0, 1)]), (1, [(0, 51.0, 20), (0, 52.0, 30)])], 7),
        # Each comes alone: a tenth of 20 and 30; the 500 are of the minute before.
        ([(-30, [(0, 49.0, 500)]), (0, [(0, 50.0, 20)]), (1, [(0, 52.0, 30)])], 5),
        # The minute before printed in company, the last one, too.
        ([(-30, [(0, 49.0, 500), (1, 9.0, 1)]), (1, [(0, 51.0, 10), (0, 52.0, 30)])], 4),
    ],
)
def test_the_close_is_the_last_print_for_what_its_minute_traded(instants, filled):
    """A tenth of what traded may be had, once and by the older order, and 52 is what it traded at last."""
    tape = Tape(with_params(participation=10_000_000))
    for _ in range(2):
        tape.send(1, BUY, 100, "market_on_close", tif=TimeInForce.CLS)
    last_minute = 8 * 3_600_000 - 59_000
    for seconds, rows in instants:
        tape.prints(last_minute + 1_000 * seconds, rows)
    assert told(tape.close(1)) == [(filled, 52, "trade")]


def test_of_a_group_for_the_close_one_fills():
    """Both are for the close at 100; the older one's fill ends the other before it is looked at."""
    desk = Desk(FREE)
    desk.open(0)
    for _ in range(2):
        desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS, terms=OrderTerms(oco_group="g"))
    assert [e.client_order_id for e in fills(desk.bar(8, FLAT, width=8))] == ["c1"]


def test_of_a_group_for_the_close_one_fills_where_no_bar_ended_the_session_too():
    """The last bar is that of 7 o'clock; the close at 8 fills the older one, which ends the other."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    for _ in range(2):
        desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS, terms=OrderTerms(oco_group="g"))
    assert desk.bar(7, FLAT) == []
    assert [e.client_order_id for e in fills(desk.close(0))] == ["c1"]


def test_of_prints_of_several_symbols_each_is_the_last_of_its_own():
    """What is missed of an order that is cancelled is measured against the last print of its symbol: 9, not 50."""
    tape = Tape()
    tape.send(1, BUY, 10, "limit", limit_px=5, symbol=1)
    tape.prints(2, [(0, 50.0, 20), (1, 9.0, 1)])
    assert [e.px for e in tape.cancel("c1")] == [fx(9)]


@pytest.mark.parametrize("quote", [(math.nan, math.nan, 50.02, 100), (49.98, 100, math.nan, math.nan)])
def test_a_symbol_with_half_a_quote_ticks_and_has_no_middle(quote):
    """Bars of it only mark from then on; half of a quote says no price."""
    tape = Tape()
    tape.quote(1, *quote)
    tape.send(2, BUY, 10)
    tape.send(2, BUY, 10, "limit", limit_px=5)
    assert [e.px for e in tape.cancel("c2")] == [0]
    assert fills(tape.bar(26, (50, 50, 50, 50))) == []


# -- quotes of bars ----------------------------------------------------------------------------------------------------


def test_an_order_reaches_a_bar_at_the_middle_of_its_first_quotes():
    """99.90 to 100.30 when the bar begins: 100.10 on arrival, though the first trade is at 100, plus half of 0.40."""
    desk = Desk(with_params(spread_rate=15_000))
    desk.route(BUY, 10)
    quotes = {"bid_open": [99.9], "ask_open": [100.3], "bid_close": [100.9], "ask_close": [101.1]}
    (fill,) = fills(desk.bar(1, (100, 102, 99, 101), **quotes))
    assert (fill.arrival_px, fill.ref_px, fill.last_px) == (fx(100.1), fx(100), fx(100.2))


@pytest.mark.parametrize("missing", ["bid_open", "ask_open"])
def test_half_of_a_bars_quotes_says_neither_spread_nor_middle(missing):
    """Then the open is where the order arrives, and half the modelled 1.5 basis points of 100 is what it pays."""
    quotes = {"bid_open": [99.9], "ask_open": [100.3], "bid_close": [100.9], "ask_close": [101.1]}
    del quotes[missing]
    desk = Desk(with_params(spread_rate=15_000))
    desk.route(BUY, 10)
    (fill,) = fills(desk.bar(1, (100, 102, 99, 101), **quotes))
    assert (fill.arrival_px, fill.last_px) == (fx(100), fx(100.0075))


# -- chances that are over ---------------------------------------------------------------------------------------------


def test_an_order_for_the_opening_that_missed_its_print_says_what_it_filled():
    """60 of 100 printed first; the rest has no other chance."""
    tape = Tape()
    tape.send(1, BUY, 100, "market_on_open", tif=TimeInForce.OPG)
    events = tape.trade(2, (50, 60))
    assert told(events) == [(60, 50, "trade")]
    assert [(e.cum_qty, e.reason) for e in events if isinstance(e, OrderExpired)] == [(fx(60), "opg")]


@pytest.mark.parametrize("quoted", [False, True])
def test_an_order_for_the_opening_that_comes_behind_it_is_for_the_next(quoted):
    """The session's first price was there before the order; its second is no opening, the next session's first is."""

    def tick(ms, px):
        return tape.quote(ms, px, 100, px, 100) if quoted else tape.trade(ms, (px, 100))

    tape = Tape()
    tick(1, 50)
    tape.send(2, BUY, 10, "market_on_open", tif=TimeInForce.OPG)
    assert tick(3, 51) == []
    tape.close(1)
    tape.day = 2
    tape.open(2)
    assert [(qty, px) for qty, px, _ in told(tick(1, 52))] == [(10, 52)]


@pytest.mark.parametrize(
    ("tif", "word", "reason"),
    [("ioc", OrderCanceled, "IOC"), ("fok", OrderCanceled, "FOK"), ("opg", OrderExpired, "opg")],
)
@pytest.mark.parametrize("low", [97, 99])
def test_what_is_for_the_open_does_not_wait_for_the_rest_of_the_bar(tif, word, reason, low):
    """A limit of 98 is not met by the open of 100; whether the bar falls to 97 later is not for it."""
    desk = Desk(FREE)
    desk.open(0)
    desk.route(BUY, 10, "limit", 98, tif=TimeInForce(tif))
    assert [(type(e), e.reason) for e in desk.bar(1, (100, 101, low, 99))] == [(word, reason)]


def test_the_one_chance_of_an_order_is_a_bar_of_its_symbol():
    """Bars of others pass it by, and so does the bar that it came in during."""
    desk = Desk(FREE, daily=False)
    desk.clock.advance_to(HOUR // 2)
    desk.route(BUY, 10, "limit", 98, symbol=1, tif=TimeInForce.IOC)
    assert desk.bar(1, FLAT, FLAT) == []
    assert desk.bar(2, FLAT, None) == []
    assert kinds(desk.bar(3, FLAT, FLAT)) == ["OrderCanceled"]


def test_an_order_with_an_end_of_its_own_ends_with_the_first_bar_behind_it():
    """Good till three o'clock: the bar that ends then may fill it, and the next one ends it whatever it reaches."""
    desk = Desk(FREE, daily=False)
    terms = OrderTerms(expire_ts=3 * HOUR)
    desk.route(BUY, 10, "limit", 50, tif=TimeInForce.GTD, terms=terms)
    desk.route(BUY, 10, "limit", 98, tif=TimeInForce.GTD, terms=terms)
    desk.route(BUY, 10, "limit", 97, tif=TimeInForce.GTD, terms=terms)
    assert desk.bar(2, FLAT) == []
    assert [e.client_order_id for e in fills(desk.bar(3, (100, 100, 98, 99)))] == ["c2"]
    events = desk.bar(4, (99, 99, 97, 98))
    assert [(e.client_order_id, e.reason) for e in events] == [("c1", "gtd"), ("c3", "gtd")]
    assert kinds(events) == ["OrderExpired"] * 2


@pytest.mark.parametrize("of", [0, 1])
def test_an_order_with_an_end_of_its_own_ends_at_the_first_tick_behind_it(of):
    """At its end it is good still, a millisecond later it is not, whichever symbol ticks."""
    tape = Tape()
    tape.send(1, BUY, 10, "limit", limit_px=40, tif=TimeInForce.GTD, terms=OrderTerms(expire_ts=tape.at(100)))
    assert tape.trade(100, (50, 10), symbol=of) == []
    assert [(type(e), e.reason) for e in tape.trade(101, (39, 10), symbol=of)] == [(OrderExpired, "gtd")]


def test_a_limit_for_the_close_that_the_close_does_not_meet_expires():
    """At 99 it would not pay the close of 100, so it ends with the session."""
    desk = Desk(FREE)
    desk.open(0)
    desk.route(BUY, 10, "limit", 99, tif=TimeInForce.CLS)
    assert desk.bar(8, FLAT, width=8) == []
    assert [(type(e), e.reason) for e in desk.close(0)] == [(OrderExpired, "cls")]


def test_the_venue_itself_refuses_a_bracket_that_makes_no_sense():
    """The gate has said so before; the venue does not rely on it."""
    desk = Desk(FREE)
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    bracket = Bracket(take_profit_px=fx(110))
    for terms, fields in (
        (OrderTerms(bracket_of="c1"), {}),
        (OrderTerms(bracket=bracket), {"reduce_only": True}),
        (OrderTerms(bracket=bracket), {"lot_id": "c1-1"}),
    ):
        (refused,) = desk.route(SELL, 10, terms=terms, **fields)
        assert (type(refused), refused.code) == (OrderRejected, "BAD_BRACKET")


def test_an_auction_order_on_bars_without_an_open_is_cancelled():
    """Taken on bars of four prices, met by bars that have only a close: no auction can be told from them."""
    desk = Desk(FREE)
    desk.open(0)
    desk.route(BUY, 10, type=OrderType.MARKET_ON_CLOSE, tif=TimeInForce.CLS)
    events = desk.bar(8, FLAT, width=8, close_only=True)
    assert [(type(e), e.reason) for e in events] == [(OrderCanceled, "NO_AUCTIONS")]
