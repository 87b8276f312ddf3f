"""What fills on quotes and prints, at what price and how much: expected figures derived on paper beside each case.

``frictionless`` unless said otherwise: a fill at a quote then costs half the spread, one at a print nothing.
"""

from __future__ import annotations

import math

import pytest

from actors.broker.params import BrokerParams
from actors.messages.market import GapDetected
from actors.messages.orders import (
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderTerms,
    OrderTriggered,
    RouteReplace,
    TimeInForce,
)
from actors.values.fixed import SCALE
from tests.actors.broker.desk import fills, fx, kinds, with_params
from tests.actors.broker.tape import Tape

BUY, SELL = 1, -1
TIGHT = (50.00, 300, 50.02, 200)
"""Bid 50.00 for 300, ask 50.02 for 200: mid 50.01, half a spread of 0.01."""


def told(events):
    """Each fill as (qty, px, source, liquidity)."""
    return [(e.last_qty / SCALE, e.last_px / SCALE, e.px_source, e.liquidity) for e in fills(events)]


def held(tape, qty=1000, px=50.0):
    """Give the account a position, bought at prints of an earlier moment, before anything was quoted."""
    tape.send(0, BUY, qty)
    assert len(fills(tape.trade(0, (px, qty)))) == 1
    return tape


# -- quotes --------------------------------------------------------------------------------------------------------

QUOTED = [
    # A purchase pays the ask, a sale gets the bid, whatever the other side is.
    ("market buy", BUY, 100, "market", {}, TIGHT, [(100, 50.02, "quote", "taker")]),
    ("market sell", SELL, 100, "market", {}, TIGHT, [(100, 50.00, "quote", "taker")]),
    # Displayed are 200 at the ask: no more than that.
    ("market beyond the size", BUY, 500, "market", {}, TIGHT, [(200, 50.02, "quote", "taker")]),
    # The ask of 50.02 is within 50.05: the touch, not the limit. Nothing was known before: it takes.
    ("limit through the touch", BUY, 100, "limit", {"limit_px": 50.05}, TIGHT, [(100, 50.02, "quote", "taker")]),
    ("limit at the touch", BUY, 100, "limit", {"limit_px": 50.02}, TIGHT, [(100, 50.02, "quote", "taker")]),
    ("limit inside", BUY, 100, "limit", {"limit_px": 50.01}, TIGHT, []),
    ("sell limit at the touch", SELL, 100, "limit", {"limit_px": 50.00}, TIGHT, [(100, 50.00, "quote", "taker")]),
    ("sell limit above the bid", SELL, 100, "limit", {"limit_px": 50.01}, TIGHT, []),
    ("take profit at the bid", SELL, 100, "take_profit", {"limit_px": 50.00}, TIGHT, [(100, 50.00, "quote", "taker")]),
    # A crossed quote, or one with a side missing, trades with nobody.
    ("crossed", BUY, 100, "market", {}, (50.03, 300, 50.02, 200), []),
    ("one side", BUY, 100, "market", {}, (math.nan, math.nan, 50.02, 200), []),
    ("locked", BUY, 100, "market", {}, (50.02, 300, 50.02, 200), [(100, 50.02, "quote", "taker")]),
    # Nothing displayed, nothing to take; a size nobody states bounds nothing.
    ("size zero", BUY, 100, "market", {}, (50.00, 300, 50.02, 0), []),
    ("size unknown", BUY, 900, "market", {}, (50.00, math.nan, 50.02, math.nan), [(900, 50.02, "quote", "taker")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "qty", "kind", "terms", "quote", "wanted"), [c[1:] for c in QUOTED], ids=[c[0] for c in QUOTED]
)
def test_a_quote_trades_with_what_takes(side, qty, kind, terms, quote, wanted):
    """The first quote behind the acceptance; what stood before it is nothing to trade with."""
    tape = held(Tape(), px=50.1) if side == SELL else Tape()  # at the last print a limit would rest
    tape.send(1, side, qty, kind, **terms)
    assert told(tape.quote(2, *quote)) == wanted


def test_a_standing_quote_fills_nothing_and_the_next_one_does():
    """The quote of 1 ms stood when the order came in at 2 ms; that of 3 ms repeats it."""
    tape = Tape()
    tape.quote(1, *TIGHT)
    assert kinds(tape.send(2, BUY, 100)) == ["OrderAccepted"]
    assert told(tape.quote(3, *TIGHT)) == [(100, 50.02, "quote", "taker")]


def test_the_reference_of_a_quote_is_its_middle_and_the_rest_is_spread():
    """(50.00 + 50.03) / 2 = 50.015; a purchase pays 50.03: 0.015 a share, 1.50 for 100. A sale the same."""
    tape = held(Tape())
    for client, side, px in (("c2", BUY, 50.03), ("c3", SELL, 50.00)):
        tape.send(1, side, 100)
        [fill] = fills(tape.quote(2, 50.00, 300, 50.03, 200))
        assert (fill.client_order_id, fill.ref_px, fill.last_px) == (client, fx(50.015), fx(px))
        assert (fill.spread, fill.slippage, fill.impact) == (fx(1.5), 0, 0)


def test_what_takes_pays_slippage_and_impact_on_top_of_the_touch():
    """plan: mid 50.01, half 0.01, slippage 5 bps of 50.01 = 0.025005; no ADV: impact 0.1 % per 100,000.

    Value at the reference 100 x 50.01 = 5,001: impact 0.1 % x 0.05001 = 0.005001 % of 50.01 = 0.0025010001 -> 0.002501.
    Price 50.01 + 0.01 + 0.025005 + 0.002501 = 50.047506.
    """
    tape = Tape(BrokerParams())
    tape.send(1, BUY, 100)
    [fill] = fills(tape.quote(2, 50.00, 300, 50.02, 200))
    assert fill.last_px == 5_004_750_600
    assert (fill.spread, fill.slippage, fill.impact) == (fx(1), fx(2.5005), fx(0.2501))


def test_a_limit_that_takes_is_never_filled_beyond_itself():
    """The same costs end at the limit of 50.03: 0.02 above the reference, 0.01 of it spread, 0.01 slippage."""
    tape = Tape(BrokerParams())
    tape.send(1, BUY, 100, "limit", limit_px=50.03)
    [fill] = fills(tape.quote(2, 50.00, 300, 50.02, 200))
    assert (fill.last_px, fill.spread, fill.slippage, fill.impact) == (fx(50.03), fx(1), fx(1), 0)


def test_a_limit_that_rested_is_met_at_the_touch_without_slippage():
    """50.01 rests against an ask of 50.02; the ask comes down to 50.00: it buys there, as who was met."""
    tape = Tape(BrokerParams())
    tape.quote(1, *TIGHT)
    tape.send(2, BUY, 100, "limit", limit_px=50.01)
    assert told(tape.quote(3, *TIGHT)) == []
    [fill] = fills(tape.quote(4, 49.98, 300, 50.00, 200))
    assert (fill.last_px, fill.ref_px, fill.liquidity) == (fx(50.00), fx(49.99), "maker")
    assert (fill.spread, fill.slippage, fill.impact) == (fx(1), 0, 0)


def test_what_was_taken_at_a_price_stays_taken_while_the_price_stands():
    """500 to buy, 200 shown: 200. The same quote: nothing. 260 shown at the same price: 60. A new price: its size."""
    tape = Tape()
    tape.send(1, BUY, 500)
    assert told(tape.quote(2, *TIGHT)) == [(200, 50.02, "quote", "taker")]
    assert told(tape.quote(3, *TIGHT)) == []
    assert told(tape.quote(4, 50.00, 300, 50.02, 260)) == [(60, 50.02, "quote", "taker")]
    assert told(tape.quote(5, 50.00, 300, 50.02, 100)) == []
    assert told(tape.quote(6, 50.00, 300, 50.03, 100)) == [(100, 50.03, "quote", "taker")]
    assert told(tape.quote(7, 50.00, 300, 50.02, 900)) == [(140, 50.02, "quote", "taker")]


def test_orders_share_what_is_shown_the_older_first():
    """200 shown: 150 for the first, 50 for the second; a third finds nothing, a sale has the bid to itself."""
    tape = held(Tape())
    for side, qty in ((BUY, 150), (BUY, 150), (BUY, 10), (SELL, 300)):
        tape.send(1, side, qty)
    events = tape.quote(2, *TIGHT)
    assert [(e.client_order_id, e.last_qty / SCALE) for e in fills(events)] == [("c5", 300), ("c2", 150), ("c3", 50)]


def test_symbols_of_one_panel_do_not_share():
    """Two symbols quoted at one instant: each order meets its own."""
    tape = Tape()
    tape.send(1, BUY, 100, symbol=0)
    tape.send(1, BUY, 100, symbol=1)
    events = tape.quotes(2, {0: TIGHT, 1: (20.00, 100, 20.10, 60)})
    assert told(events) == [(100, 50.02, "quote", "taker"), (60, 20.10, "quote", "taker")]


# -- prints --------------------------------------------------------------------------------------------------------

PRINTED = [
    # Nothing is quoted: what takes liquidity takes the next print, at its price.
    ("market buy", BUY, 100, "market", {}, [(50.0, 300)], [(100, 50.0, "trade", "taker")]),
    ("market sell", SELL, 100, "market", {}, [(50.0, 300)], [(100, 50.0, "trade", "taker")]),
    # 300 and 400 are printed; 500 take all of the first and 200 of the second.
    ("market over prints", BUY, 500, "market", {}, [(50.0, 300), (50.1, 400)],
     [(300, 50.0, "trade", "taker"), (200, 50.1, "trade", "taker")]),
    ("market beyond the size", BUY, 500, "market", {}, [(50.0, 300)], [(300, 50.0, "trade", "taker")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "qty", "kind", "terms", "prints", "wanted"), [c[1:] for c in PRINTED], ids=[c[0] for c in PRINTED]
)
def test_prints_fill_what_takes_where_nothing_is_quoted(side, qty, kind, terms, prints, wanted):
    """The next print, never the one before."""
    tape = held(Tape()) if side == SELL else Tape()
    tape.trade(1, (49.0, 1000))
    tape.send(1, side, qty, kind, **terms)
    assert told(tape.trade(2, *prints)) == wanted


def test_orders_get_at_most_the_participation_of_a_print_together():
    """10 % of 1,000 is 100: 60 for the first order, 40 for the second; the next print of 500 has 50."""
    tape = Tape(with_params(participation=10_000_000))
    tape.send(1, BUY, 60)
    tape.send(1, BUY, 100)
    assert [qty for qty, *_ in told(tape.trade(2, (50.0, 1000)))] == [60, 40]
    assert told(tape.trade(3, (50.1, 500))) == [(50, 50.1, "trade", "taker")]


def test_a_print_without_a_quote_costs_the_modelled_spread():
    """plan: half of 1.5 bps of 50 = 0.00375, slippage 0.025, impact 0.1 % x 5,000 / 100,000 of 50 = 0.0025."""
    tape = Tape(BrokerParams(participation=0))
    tape.send(1, BUY, 100)
    [fill] = fills(tape.trade(2, (50.0, 300)))
    assert fill.last_px == fx(50.03125)
    assert (fill.spread, fill.slippage, fill.impact) == (fx(0.375), fx(2.5), fx(0.25))


LIMITS = [
    # The last print is 50: a purchase below rests. What prints below its limit trades at the limit, with who rested.
    ("buy through", BUY, 49.90, (49.85, 300), [(100, 49.90, "trade", "maker")]),
    # At the limit it needs the queue, and without quotes nobody knows it.
    ("buy touch", BUY, 49.90, (49.90, 300), []),
    ("buy not reached", BUY, 49.90, (49.95, 300), []),
    ("sell through", SELL, 50.10, (50.15, 300), [(100, 50.10, "trade", "maker")]),
    ("sell touch", SELL, 50.10, (50.10, 300), []),
    # At exactly the last print it rests as one below does: what goes through it pays its price, not its own.
    ("buy at the last", BUY, 50.00, (49.95, 300), [(100, 50.00, "trade", "maker")]),
    ("sell at the last", SELL, 50.00, (50.05, 300), [(100, 50.00, "trade", "maker")]),
    # Beyond the last print it takes: the print's price, which is better than the limit.
    ("marketable buy", BUY, 50.20, (50.05, 300), [(100, 50.05, "trade", "taker")]),
    ("marketable sell", SELL, 49.80, (49.95, 300), [(100, 49.95, "trade", "taker")]),
    # It was marketable, but the market has left: nothing, and it rests.
    ("market left", BUY, 50.20, (50.25, 300), []),
]


@pytest.mark.parametrize(("side", "limit", "one", "wanted"), [c[1:] for c in LIMITS], ids=[c[0] for c in LIMITS])
def test_a_limit_is_filled_by_prints_through_it(side, limit, one, wanted):
    """Strictly through it; never worse than the limit."""
    tape = held(Tape()) if side == SELL else Tape()
    tape.trade(1, (50.0, 1000))
    tape.send(1, side, 100, "limit", limit_px=limit)
    assert told(tape.trade(2, one)) == wanted


@pytest.mark.parametrize("kind", ["stop_limit", "limit_if_touched"])
@pytest.mark.parametrize(
    ("limit", "wanted"),
    [(50.00, (100, 50.00, "trade", "maker")), (50.01, (100, 49.95, "trade", "taker"))],
    ids=["at its trigger", "beyond its trigger"],
)
def test_a_limit_behind_its_trigger_is_judged_as_one_that_comes_in(kind, limit, wanted):
    """Triggered by the print of 50: at 50 it rests, at 50.01 it would pay more than the last and takes."""
    tape = Tape()
    tape.trade(1, (49.5 if kind == "stop_limit" else 50.5, 1000))
    tape.send(1, BUY, 100, kind, stop_px=50.0, limit_px=limit)
    assert fills(tape.trade(2, (50.0, 1000))) == []
    assert told(tape.trade(3, (49.95, 300))) == [wanted]


def test_a_replaced_limit_is_judged_as_one_that_comes_in():
    """From 49 to the last price of 50: it rests there, and a print of 49.95 goes through it."""
    tape = Tape()
    tape.trade(1, (50.0, 1000))
    tape.send(1, BUY, 100, "limit", limit_px=49)
    tape.put(RouteReplace("c1", fx(100), fx(50), None, 0), tape.at(1))
    assert told(tape.trade(2, (49.95, 300))) == [(100, 50.0, "trade", "maker")]


def test_an_order_that_may_only_rest_is_taken_at_the_last_print_and_refused_beyond():
    """On prints a limit at the last price rests, so it keeps what it promised."""
    tape = Tape()
    tape.trade(1, (50.0, 1000))
    rests = OrderTerms(post_only=True)
    assert kinds(tape.send(1, BUY, 100, "limit", limit_px=50.0, terms=rests)) == ["OrderAccepted"]
    assert kinds(tape.send(1, BUY, 100, "limit", limit_px=50.01, terms=rests)) == ["OrderRejected"]
    tape.put(RouteReplace("c1", fx(100), fx(50.01), None, 0), tape.at(1))
    assert told(tape.trade(2, (49.95, 300))) == [(100, 50.0, "trade", "maker")]


@pytest.mark.parametrize(("size", "got"), [(300, [(100, 48.0)]), (60, [(60, 48.0), (40, 50.0)])])
def test_a_limit_through_which_a_session_opens_gets_the_opening_print_and_its_own_price_from_the_next(size, got):
    """It rests at 50 since the day before; the first print is 48, and another one of the same instant is 47.50."""
    tape = Tape()
    tape.trade(1, (51.0, 100))
    tape.send(2, BUY, 100, "limit", limit_px=50.00)
    tape.trade(3, (51.0, 100))
    tape.close(1)
    tape.day = 2
    tape.open(2)
    events = tape.trade(1, (48.0, size), (47.5, 500))
    assert [one[:2] for one in told(events)] == got
    assert tape.broker.working == ()


def test_limits_share_a_print_that_went_through_both():
    """300 printed below 49.90 and 49.95: 200 for the older, the rest for the younger, each at its own price."""
    tape = Tape()
    tape.trade(1, (50.0, 1000))
    tape.send(2, BUY, 200, "limit", limit_px=49.90)
    tape.send(2, BUY, 200, "limit", limit_px=49.95)
    assert told(tape.trade(3, (49.85, 300))) == [(200, 49.90, "trade", "maker"), (100, 49.95, "trade", "maker")]


def test_nothing_is_matched_with_prices_that_were_missed():
    """A gap until 10: the tick of 9 came late and is no price to trade at, the one of 10 is."""
    tape = Tape()
    tape.send(1, BUY, 100)
    tape.put(GapDetected(tape.at(2), "feed", tape.at(1), tape.at(10)), tape.at(2))
    assert fills(tape.quote(9, *TIGHT)) == []
    assert told(tape.quote(10, *TIGHT)) == [(100, 50.02, "quote", "taker")]


def test_a_side_of_unknown_size_is_not_bounded_by_what_the_other_side_has_left():
    """10 are bid for and sold, and nobody says how many are offered: the purchase of another portfolio fills whole."""
    tape = Tape()
    tape.deposit(100_000, "other")
    tape.send(1, BUY, 10)
    tape.quote(2, 50.00, 10, 50.02, 10)
    tape.send(3, SELL, 10)
    tape.send(3, BUY, 100, portfolio="other")
    assert told(tape.quote(4, 50.01, 10, 50.03, math.nan)) == [
        (10, 50.01, "quote", "taker"),
        (100, 50.03, "quote", "taker"),
    ]


def test_a_limit_that_takes_waits_for_a_quote_where_there_are_quotes():
    """A print of 50.00 behind an ask of 50.02 is not for who would pay 50.05: he pays the ask of the next quote."""
    tape = Tape()
    tape.quote(1, *TIGHT)
    tape.send(2, BUY, 100, "limit", limit_px=50.05)
    tape.send(2, BUY, 100, "market")
    assert fills(tape.trade(3, (50.00, 500))) == []
    assert told(tape.quote(4, *TIGHT)) == [(100, 50.02, "quote", "taker")] * 2


def test_a_print_through_a_resting_limit_fills_it_between_quotes():
    """49.99 rests below the ask; a print of 49.98 went through it."""
    tape = Tape()
    tape.quote(1, *TIGHT)
    tape.send(2, BUY, 100, "limit", limit_px=49.99)
    assert told(tape.trade(3, (49.98, 500))) == [(100, 49.99, "trade", "maker")]


# -- conditions ----------------------------------------------------------------------------------------------------

CONDITIONS = [
    # (side, kind, terms, prints that do not meet it, the print that does)
    ("buy stop", BUY, "stop", {"stop_px": 50.5}, [50.4], 50.5),
    ("sell stop", SELL, "stop", {"stop_px": 49.5}, [49.6], 49.4),
    ("buy if touched", BUY, "market_if_touched", {"stop_px": 49.5}, [49.6, 50.4], 49.5),
    ("sell if touched", SELL, "market_if_touched", {"stop_px": 50.5}, [50.4, 49.6], 50.6),
    # Armed at 50 with an amount of 1: 50.8 lifts the stop to 49.8, 49.9 is above it, 49.7 below.
    ("trail by amount", SELL, "trailing_stop", {"terms": OrderTerms(trail_amount=fx(1))}, [50.8, 49.9], 49.7),
    # Two percent of 51 is 1.02: the stop is at 49.98.
    ("trail by percent", SELL, "trailing_stop", {"terms": OrderTerms(trail_percent=fx(2))}, [51.0, 49.99], 49.98),
    # A purchase trails from above: 49 brings the stop down to 50.
    ("buy trail", BUY, "trailing_stop", {"terms": OrderTerms(trail_amount=fx(1))}, [49.0, 49.9], 50.0),
    # Not armed before 51: the fall to 48 means nothing; from 51.2 the stop is at 50.2.
    ("activation", SELL, "trailing_stop",
     {"terms": OrderTerms(trail_amount=fx(1), activation_px=fx(51))}, [48.0, 51.2, 50.3], 50.1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "kind", "terms", "before", "met"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS]
)
@pytest.mark.parametrize("together", [False, True])
def test_a_print_meets_a_condition_and_the_next_one_fills(side, kind, terms, before, met, together):
    """The print that triggers does not fill; in one instant prints are told apart as well."""
    tape = held(Tape())
    tape.trade(1, (50.0, 1000))
    tape.send(1, side, 100, kind, **terms)
    if together:
        events = tape.trade(2, *[(px, 100) for px in [*before, met]])
    else:
        for ms, px in enumerate(before, 2):
            assert tape.trade(ms, (px, 100)) == []
        events = tape.trade(10, (met, 100))
    [triggered] = events
    assert isinstance(triggered, OrderTriggered)
    assert triggered.level == fx(met)
    assert told(tape.trade(11, (50.2, 500))) == [(100, 50.2, "trade", "taker")]


def test_without_prints_the_bid_triggers_a_sale_and_the_ask_a_purchase():
    """A sell stop at 49.99 is met by a bid of 49.99, not by an ask; the fill is at the bid of the quote behind it."""
    tape = held(Tape())
    tape.close(1)
    tape.day = 2
    tape.open(2)
    tape.quote(1, *TIGHT)
    tape.send(1, SELL, 100, "stop", stop_px=49.99)
    tape.send(1, BUY, 100, "stop", stop_px=50.05)
    assert tape.quote(2, 50.00, 300, 50.04, 200) == []
    [down] = tape.quote(3, 49.99, 300, 50.04, 200)
    assert (down.client_order_id, down.level) == ("c2", fx(49.99))
    events = tape.quote(4, 49.97, 300, 50.05, 200)
    assert told(events) == [(100, 49.97, "quote", "taker")]
    assert [e.client_order_id for e in events if isinstance(e, OrderTriggered)] == ["c3"]


def test_with_prints_a_quote_triggers_nothing():
    """The bid falls below the stop, but the last print stands."""
    tape = held(Tape())
    tape.send(1, SELL, 100, "stop", stop_px=49.99)
    assert tape.quote(2, 49.90, 300, 50.04, 200) == []
    assert kinds(tape.trade(3, (49.95, 10))) == ["OrderTriggered"]


def test_a_crossed_quote_triggers_nothing():
    """Ask below bid: it cannot be believed."""
    tape = Tape()
    tape.send(1, BUY, 100, "stop", stop_px=50.05)
    assert tape.quote(2, 50.10, 300, 50.06, 200) == []
    assert kinds(tape.quote(3, 50.04, 300, 50.06, 200)) == ["OrderTriggered"]


@pytest.mark.parametrize(("kind", "stop", "met"), [("stop_limit", 50.5, 50.6), ("limit_if_touched", 49.5, 49.4)])
def test_behind_its_condition_a_limit_order_is_a_limit(kind, stop, met):
    """A purchase limited to 49.45: 49.60 is too much, 49.40 is through it."""
    tape = Tape()
    tape.trade(1, (50.0, 1000))
    tape.send(1, BUY, 100, kind, stop_px=stop, limit_px=49.45)
    assert kinds(tape.trade(2, (met, 100))) == ["OrderTriggered"]
    assert tape.trade(3, (49.6, 100)) == []
    assert told(tape.trade(4, (49.40, 100)))[0][1] <= 49.45


# -- time in force, terms ------------------------------------------------------------------------------------------


def test_ioc_takes_what_is_there_and_cancels_the_rest():
    """200 of 500 are shown."""
    tape = Tape()
    tape.send(1, BUY, 500, tif=TimeInForce.IOC)
    events = tape.quote(2, *TIGHT)
    assert told(events) == [(200, 50.02, "quote", "taker")]
    [canceled] = [e for e in events if isinstance(e, OrderCanceled)]
    assert (canceled.cum_qty, canceled.reason) == (fx(200), "IOC")


def test_ioc_on_prints_takes_one_instant_of_prints():
    """300 and 100 are printed at once, the rest of 500 is cancelled with them."""
    tape = Tape()
    tape.send(1, BUY, 500, tif=TimeInForce.IOC)
    events = tape.trade(2, (50.0, 300), (50.1, 100))
    assert told(events) == [(300, 50.0, "trade", "taker"), (100, 50.1, "trade", "taker")]
    [canceled] = [e for e in events if isinstance(e, OrderCanceled)]
    assert canceled.cum_qty == fx(400)


@pytest.mark.parametrize(("qty", "wanted"), [(200, ["OrderFilled"]), (201, ["OrderCanceled"])])
def test_fok_fills_whole_or_not_at_all(qty, wanted):
    """200 are shown."""
    tape = Tape()
    tape.send(1, BUY, qty, tif=TimeInForce.FOK)
    assert kinds(tape.quote(2, *TIGHT)) == wanted


def test_fok_over_several_prints_of_an_instant_fills_nothing():
    """Two prints are two prices: no one of them has all 400."""
    tape = Tape()
    tape.send(1, BUY, 400, tif=TimeInForce.FOK)
    assert kinds(tape.trade(2, (50.0, 300), (50.1, 300))) == ["OrderCanceled"]


def test_an_ioc_limit_away_from_the_market_is_cancelled_by_the_first_quote():
    """Its one chance had nothing for it."""
    tape = Tape()
    tape.send(1, BUY, 100, "limit", limit_px=50.01, tif=TimeInForce.IOC)
    assert kinds(tape.quote(2, *TIGHT)) == ["OrderCanceled"]


def test_post_only_is_refused_where_it_would_take():
    """At the ask of 50.02 it would take; a cent below it rests."""
    tape = Tape()
    tape.quote(1, *TIGHT)
    terms = OrderTerms(post_only=True)
    [refused] = tape.send(2, BUY, 100, "limit", limit_px=50.02, terms=terms)
    assert isinstance(refused, OrderRejected)
    assert refused.code == "POST_ONLY_WOULD_TAKE"
    assert kinds(tape.send(2, BUY, 100, "limit", limit_px=50.01, terms=terms)) == ["OrderAccepted"]
    assert told(tape.quote(3, 49.98, 300, 50.01, 100)) == [(100, 50.01, "quote", "maker")]


def test_post_only_that_meets_its_first_quote_as_a_taker_is_cancelled():
    """Nothing was known when it came in; the first quote has an ask below its limit."""
    tape = Tape()
    tape.send(1, BUY, 100, "limit", limit_px=50.05, terms=OrderTerms(post_only=True))
    [canceled] = tape.quote(2, *TIGHT)
    assert (type(canceled), canceled.reason) == (OrderCanceled, "POST_ONLY_WOULD_TAKE")


def test_reduce_only_is_cut_to_the_position():
    """70 are held when the quote comes; the order was for 100 when 100 were held."""
    tape = held(Tape(), 100)
    tape.send(1, SELL, 100, "limit", limit_px=50.0, reduce_only=True)
    tape.send(1, SELL, 30)
    events = tape.trade(2, (49.9, 30))
    assert told(events) == [(30, 49.9, "trade", "taker")]
    events = tape.trade(3, (50.1, 500))
    assert told(events) == [(70, 50.0, "trade", "maker")]
    assert tape.leaves("c2") is None


def test_gtd_ends_with_the_first_tick_behind_its_time():
    """Live at its very time, over a millisecond later."""
    tape = Tape()
    expire = tape.at(5)
    for limit in (50.01, 49.0):
        tape.send(1, BUY, 100, "limit", limit_px=limit, tif=TimeInForce.GTD, terms=OrderTerms(expire_ts=expire))
    assert told(tape.quote(5, 49.99, 300, 50.01, 200)) == [(100, 50.01, "quote", "taker")]
    [over] = tape.quote(6, 48.98, 300, 48.99, 200)
    assert (type(over), over.reason) == (OrderExpired, "gtd")


# -- auctions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "tif", "limit", "filled"), [
    ("market_on_open", TimeInForce.DAY, None, True),
    ("market", TimeInForce.OPG, None, True),
    ("limit", TimeInForce.OPG, 50.0, True),
    ("limit", TimeInForce.OPG, 49.9, False),
])  # fmt: skip
def test_an_order_for_the_opening_takes_the_first_print_of_the_session(kind, tif, limit, filled):
    """The opening print is 50 for 1,000; quotes before it are not the auction."""
    tape = Tape()
    tape.trade(1, (48.0, 100))
    tape.close(1)
    tape.send(8 * 3_600_000 + 1, BUY, 100, kind, tif=tif, limit_px=limit)
    tape.day = 2
    tape.open(2)
    assert fills(tape.quote(1, *TIGHT)) == []
    events = tape.trade(2, (50.0, 1000), (50.5, 100))
    assert told(events) == ([(100, 50.0, "trade", "taker")] if filled else [])
    assert kinds(events)[-1] == ("OrderFilled" if filled else "OrderExpired")


def test_an_order_for_the_opening_gets_no_more_than_the_opening_print():
    """Participation 10 % of 300 is 30; the other 70 expire at once."""
    tape = Tape(with_params(participation=10_000_000))
    tape.close(1)
    tape.send(8 * 3_600_000 + 1, BUY, 100, "market_on_open", tif=TimeInForce.DAY)
    tape.day = 2
    tape.open(2)
    events = tape.trade(2, (50.0, 300))
    assert [qty for qty, *_ in told(events)] == [30]
    [over] = [e for e in events if isinstance(e, OrderExpired)]
    assert (over.cum_qty, over.reason) == (fx(30), "opg")


def test_an_order_for_the_opening_takes_the_first_quote_where_nothing_prints():
    """Quotes only: the ask of the first one."""
    tape = Tape()
    tape.close(1)
    tape.send(8 * 3_600_000 + 1, BUY, 100, "market_on_open", tif=TimeInForce.DAY)
    tape.day = 2
    tape.open(2)
    assert told(tape.quote(1, *TIGHT)) == [(100, 50.02, "quote", "taker")]


def test_an_order_for_the_close_takes_the_last_print():
    """50.3 for 400 printed last; the order waited through everything before."""
    tape = Tape()
    tape.send(1, BUY, 100, "market_on_close", tif=TimeInForce.DAY)
    assert fills(tape.trade(2, (50.0, 1000))) == []
    assert fills(tape.quote(3, *TIGHT)) == []
    tape.trade(4, (50.3, 400))
    assert told(tape.close(1)) == [(100, 50.3, "trade", "taker")]


def test_an_order_for_the_close_takes_the_last_quote_where_nothing_prints():
    """The last ask is 50.02 for 200 of 300; the rest ends with the session."""
    tape = Tape()
    tape.send(1, BUY, 300, "market_on_close", tif=TimeInForce.DAY)
    tape.quote(3, *TIGHT)
    events = tape.close(1)
    assert told(events) == [(200, 50.02, "quote", "taker")]
    assert kinds(events)[-1] == "OrderExpired"


# -- ticks and bars ------------------------------------------------------------------------------------------------


def test_a_symbol_that_ticked_in_the_session_is_not_matched_on_bars():
    """A bar of 49 to 51 would fill both; the symbol that was quoted waits for quotes, until the next session."""
    tape = Tape()
    tape.quote(1, *TIGHT, symbol=0)
    tape.send(2, BUY, 100, symbol=0, tif=TimeInForce.GTC)
    tape.send(2, BUY, 100, symbol=1, tif=TimeInForce.GTC)
    bar = (50.0, 51.0, 49.0, 50.0)
    assert [e.symbol for e in fills(tape.bar(26, bar, bar))] == [1]
    tape.close(1)
    tape.day = 2
    tape.open(2)
    assert [e.symbol for e in fills(tape.bar(49, bar, bar))] == [0]


def test_an_order_does_not_take_the_close_of_the_bar_it_came_with_where_ticks_are_matched():
    """``broker.same_event_fill`` is for symbols that have bars only: the one that was quoted waits for a quote."""
    tape = Tape(with_params(same_event_fill=True))
    tape.quote(1, *TIGHT, symbol=0)
    bar = (50.0, 51.0, 49.0, 50.0)
    tape.bar(26, bar, bar)
    two_hours = 2 * 3_600_000
    assert fills(tape.send(two_hours, BUY, 100, symbol=0)) == []
    assert [e.px_source for e in fills(tape.send(two_hours, BUY, 100, symbol=1))] == ["close"]
    assert told(tape.quote(two_hours + 1, *TIGHT)) == [(100, 50.02, "quote", "taker")]


def test_arrival_is_the_market_when_the_order_reached_it():
    """The first quote it met has the middle 50.01; it fills at a later one."""
    tape = Tape()
    tape.send(1, BUY, 100, "limit", limit_px=50.00)
    tape.quote(2, *TIGHT)
    [fill] = fills(tape.quote(3, 49.90, 100, 49.92, 500))
    assert isinstance(fill, OrderFilled)
    assert fill.arrival_px == fx(50.01)


def test_prints_ten_percent_below_the_last_close_restrict_short_sales():
    """``broker.ssr = "computed"``: 90 of 100 is the line; a print of 90.1 is above it, one of 90 on it."""
    tape = Tape(with_params(allow_short=True, ssr="computed"))
    tape.trade(1, (100.0, 10))
    tape.close(1)
    tape.day = 2
    tape.open(2)
    tape.trade(1, (95.0, 10), (90.1, 10))
    assert kinds(tape.send(2, SELL, 10)) == ["OrderAccepted"]
    tape.prints(3, [(0, 90.0, 10), (1, 20.0, 10), (0, 95.0, 5)])
    [refused] = tape.send(4, SELL, 10)
    assert (type(refused), refused.code) == (OrderRejected, "SSR_RESTRICTED")
