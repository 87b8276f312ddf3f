"""Orders, cancels and replaces on their way: what comes first wins. Milliseconds; the latency is 5 unless said."""

from __future__ import annotations

import pytest

from actors.broker.latency import Latency
from actors.broker.order_state import OrderState
from actors.messages.orders import (
    Bracket,
    CancelAll,
    CancelOrder,
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderFilled,
    OrderReplaced,
    OrderReplaceRequested,
    OrderTerms,
    RouteReplace,
)
from tests.actors.broker.desk import fills, fx, kinds, with_params
from tests.actors.broker.tape import MS, Tape
from tests.actors.broker.test_tick_fills import TIGHT, told

BUY, SELL = 1, -1
SLOW = with_params(latency_ns=5 * MS)


def resting(params=SLOW) -> Tape:
    """A purchase of 100 at 50.01 that has rested since 6 ms below an ask of 50.02."""
    tape = Tape(params)
    tape.quote(0, *TIGHT)
    tape.send(1, BUY, 100, "limit", limit_px=50.01)
    assert tape.quote(7, *TIGHT) == []
    return tape


def cancel(tape: Tape, ms: float, client: str = "c1"):
    """Ask for a cancel at a time."""
    return tape.put(CancelOrder(client, "asked"), tape.at(ms))


def replace(tape: Tape, ms: float, qty: float, limit: float, client: str = "c1"):
    """Ask for new terms at a time."""
    return tape.put(RouteReplace(client, fx(qty), fx(limit), None, 0), tape.at(ms))


def test_an_order_meets_the_first_quote_that_is_not_older_than_its_arrival():
    """Accepted at 1, there at 6: the quote of 5.999 is missed, that of 6 is met."""
    tape = Tape(SLOW)
    tape.send(1, BUY, 100)
    assert tape.quote(5.999, *TIGHT) == []
    assert told(tape.quote(6, *TIGHT)) == [(100, 50.02, "quote", "taker")]


@pytest.mark.parametrize(("side", "limit", "touch"), [(BUY, 50.05, 50.02), (SELL, 49.97, 50.00)])
def test_a_limit_on_its_way_takes_what_it_finds(side, limit, touch):
    """50.10 was asked and 49.92 bid when it was sent, and it crosses the touch of when it arrives: with slippage."""
    tape = Tape(with_params(latency_ns=5 * MS, slippage_rate=10_000, allow_short=True))
    tape.quote(0, 49.92, 300, 50.10, 200)
    tape.send(1, side, 100, "limit", limit_px=limit)
    tape.quote(3, *TIGHT)
    [fill] = fills(tape.quote(6, *TIGHT))
    assert fill.liquidity == "taker"
    assert fill.last_px == fx(touch) + side * 500_100  # 1 bp of the middle 50.01


def test_the_queue_is_that_of_the_arrival():
    """300 were bid when it was sent, 100 when it arrived; the print of 5 ms came before it."""
    tape = Tape(SLOW)
    tape.quote(0, *TIGHT)
    tape.send(1, BUY, 100, "limit", limit_px=50.00)
    tape.trade(5, (50.00, 250))
    tape.quote(5.5, 50.00, 100, 50.02, 200)
    assert told(tape.trade(7, (50.00, 130))) == [(30, 50.00, "trade", "maker")]


def test_bars_know_no_latency():
    """A bar that begins at the acceptance is met whole."""
    tape = Tape(with_params(latency_ns=3_600_000 * MS))
    tape.send(0, BUY, 100)
    assert len(fills(tape.bar(25, (50.0, 51.0, 49.0, 50.0)))) == 1


def test_jitter_is_drawn_from_the_seed_and_the_number():
    """Between base and base + jitter, the same for the same seed and number, different between orders."""
    drawn = [Latency(5, 1000, 7).of(n) for n in range(1, 50)]
    assert drawn == [Latency(5, 1000, 7).of(n) for n in range(1, 50)]
    assert drawn != [Latency(5, 1000, 8).of(n) for n in range(1, 50)]
    assert all(5 <= ns <= 1005 for ns in drawn)
    assert len(dict.fromkeys(drawn)) > 30
    assert Latency(5, 0, 7).of(3) == 5


def test_a_cancel_takes_effect_when_it_arrives():
    """Asked at 8, there at 13: nothing happens at 12, and what the tick of 13 would have filled is not filled."""
    tape = resting()
    [asked] = cancel(tape, 8)
    assert isinstance(asked, OrderCancelRequested)
    assert asked.effective_ts == tape.at(13)
    assert tape.quote(12, *TIGHT) == []
    [ended] = tape.quote(13, 49.99, 300, 50.00, 500)
    assert isinstance(ended, OrderCanceled)
    assert (ended.cum_qty, ended.reason) == (0, "asked")


def test_each_cancel_takes_effect_when_it_arrives_itself():
    """Asked at 8 and at 10, they are there at 13 and at 15; neither waits for the other."""
    tape = resting()
    tape.send(7, BUY, 100, "limit", limit_px=50.00)
    cancel(tape, 8)
    cancel(tape, 10, "c2")
    assert [e.client_order_id for e in tape.quote(13, *TIGHT)] == ["c1"]
    assert [e.client_order_id for e in tape.quote(15, *TIGHT)] == ["c2"]
    assert not tape.broker._in_flight.waiting


def test_requests_that_arrive_together_are_carried_out_in_the_order_in_which_they_were_asked():
    """New terms for both orders, then a cancel of the older one, which takes the place of its terms behind the rest."""
    tape = resting()
    tape.send(7, BUY, 100, "limit", limit_px=50.00)
    replace(tape, 12, 50, 49.98)
    replace(tape, 12, 60, 49.99, "c2")
    cancel(tape, 12)
    assert [(type(e), e.client_order_id) for e in tape.quote(17, *TIGHT)] == [
        (OrderReplaced, "c2"),
        (OrderCanceled, "c1"),
    ]


def test_a_fill_that_is_earlier_than_a_cancel_wins():
    """Whole: the cancel is refused. In part: what was filled stays, and the cancel ends the rest."""
    tape = resting()
    cancel(tape, 8)
    events = tape.quote(12, 49.99, 300, 50.00, 500)
    assert kinds(events) == ["OrderFilled", "OrderCancelRejected"]
    assert events[1].code == "TERMINAL_ORDER"
    assert tape.quote(13, *TIGHT) == []

    tape = resting()
    cancel(tape, 8)
    assert told(tape.quote(12, 49.99, 300, 50.00, 60)) == [(60, 50.00, "quote", "maker")]
    [ended] = tape.quote(13, 49.99, 300, 49.995, 500)
    assert (type(ended), ended.cum_qty) == (OrderCanceled, fx(60))


def test_a_replace_takes_effect_when_it_arrives_and_is_matched_at_once():
    """50.02 from 13 on: the ask of 50.02 was too much at 12 and is met at 13."""
    tape = resting()
    [asked] = replace(tape, 8, 150, 50.02)
    assert isinstance(asked, OrderReplaceRequested)
    assert tape.quote(12, *TIGHT) == []
    events = tape.quote(13, *TIGHT)
    assert kinds(events) == ["OrderReplaced", "OrderFilled"]
    assert (events[0].qty, events[0].limit_px, events[0].ts) == (fx(150), fx(50.02), tape.at(13))
    assert told(events) == [(150, 50.02, "quote", "taker")]


def test_a_replace_below_what_was_filled_meanwhile_is_refused():
    """60 are filled before new terms for 50 arrive; the order works on as it was. The gate says the same words."""
    tape = resting()
    replace(tape, 8, 50, 50.01)
    assert told(tape.quote(12, 49.99, 300, 50.01, 60)) == [(60, 50.01, "quote", "maker")]
    [refused] = tape.trade(13, (51.0, 1))
    assert (type(refused), refused.code) == (OrderCancelRejected, "BELOW_FILLED")
    assert refused.reason == "60 are filled already; give a larger quantity, or cancel the rest"
    assert tape.leaves() == 40
    # Nothing is on its way any more: it can be asked again.
    assert kinds(replace(tape, 14, 90, 50.01)) == ["OrderReplaceRequested"]


def test_a_part_that_fills_meanwhile_refuses_no_new_terms_and_counts_against_them():
    """60 of 100 fill at 12. The new quantity of 80, there at 13, leaves 20 of the 500 that are offered then."""
    tape = resting()
    replace(tape, 8, 80, 50.01)
    assert kinds(tape.quote(12, 49.99, 300, 50.01, 60)) == ["OrderPartiallyFilled"]
    events = tape.quote(13, 49.99, 300, 50.00, 500)
    assert kinds(events) == ["OrderReplaced", "OrderFilled"]
    assert [fill.last_qty for fill in fills(events)] == [fx(20)]


def test_a_request_is_refused_with_the_fill_of_its_own_order_whatever_else_fills():
    """The quote of 12 fills a market entry, whose exit comes to life, and then the order whose cancel is on its way."""
    tape = resting()
    tape.send(7, BUY, 10, terms=OrderTerms(bracket=Bracket(stop_px=fx(40))))
    tape.send(7, BUY, 10)
    cancel(tape, 11, "c3")
    events = tape.quote(12, 49.99, 300, 50.01, 500)
    assert [e.client_order_id for e in fills(events)] == ["c1", "c2", "c3"]
    assert [(e.client_order_id, e.code) for e in events if isinstance(e, OrderCancelRejected)] == [
        ("c3", "TERMINAL_ORDER")
    ]


def test_who_wants_an_order_cancelled_that_its_group_ends_is_refused_nothing():
    """The other one of the group fills at 12: what was asked for has come true, and at 13 there is nothing left."""
    tape = Tape(SLOW)
    tape.quote(0, *TIGHT)
    for limit in (50.01, 49.90):
        tape.send(1, BUY, 100, "limit", limit_px=limit, terms=OrderTerms(oco_group="g"))
    tape.quote(7, *TIGHT)
    cancel(tape, 8, "c2")
    assert tape.broker._resting.orders["c2"].state is OrderState.NEW_PENDING_CANCEL
    assert kinds(tape.quote(12, 49.99, 300, 50.00, 500)) == ["OrderFilled", "OrderCanceled"]
    assert tape.quote(13, *TIGHT) == []
    assert cancel(tape, 14, "c2")[0].code == "TERMINAL_ORDER"


def test_a_replace_of_an_order_that_filled_meanwhile_is_refused():
    """As a cancel."""
    tape = resting()
    replace(tape, 8, 150, 50.01)
    events = tape.quote(12, 49.99, 300, 50.00, 500)
    assert kinds(events) == ["OrderFilled", "OrderCancelRejected"]
    assert tape.quote(13, *TIGHT) == []


def test_one_request_at_a_time_and_a_cancel_over_a_replace():
    """A second cancel and a replace behind a cancel are refused; a cancel takes the place of a replace."""
    tape = resting()
    replace(tape, 8, 150, 50.02)
    [second] = replace(tape, 9, 170, 50.02)
    assert second.code == "PENDING_REPLACE"
    assert kinds(cancel(tape, 10)) == ["OrderCancelRequested"]
    [again] = cancel(tape, 11)
    assert again.code == "PENDING_CANCEL"
    [late] = replace(tape, 11, 90, 50.0)
    assert late.code == "PENDING_CANCEL"
    assert tape.quote(13, *TIGHT) == []
    assert kinds(tape.quote(15, *TIGHT)) == ["OrderCanceled"]


def test_a_tick_of_any_symbol_brings_requests_to_their_end():
    """Nothing of the order's own symbol comes."""
    tape = resting()
    cancel(tape, 8)
    assert kinds(tape.quote(13, *TIGHT, symbol=1)) == ["OrderCanceled"]


def test_the_close_brings_requests_to_their_end():
    """Cancelled, not expired; replaced, then expired with the session as any DAY order."""
    tape = resting()
    cancel(tape, 8)
    assert kinds(tape.close(1)) == ["OrderCanceled"]
    assert cancel(tape, 9)[0].code == "TERMINAL_ORDER"


def test_a_kill_waits_for_nothing():
    """CancelAll cancels at once, over what is on its way."""
    tape = resting()
    cancel(tape, 8)
    assert kinds(tape.put(CancelAll("", "all", "kill"), tape.at(9))) == ["OrderCanceled"]
    assert tape.quote(13, *TIGHT) == []


def test_without_ticks_requests_take_effect_at_once():
    """A symbol that is matched on bars."""
    tape = Tape(SLOW)
    tape.send(1, BUY, 100, "limit", limit_px=50.01)
    assert kinds(replace(tape, 2, 150, 50.02)) == ["OrderReplaced"]
    assert kinds(cancel(tape, 3)) == ["OrderCanceled"]


@pytest.mark.parametrize("cut", range(5))
def test_what_is_on_its_way_survives_a_snapshot_at_any_place(cut):
    """A broker restored between any two inputs goes on as the one that never stopped."""
    digests = []
    for stop in (None, cut):
        tape = resting(with_params(latency_ns=5 * MS, latency_jitter_ns=3 * MS, seed=3))
        tape.send(7, SELL, 50, "limit", limit_px=60.0)
        steps = [
            lambda t: replace(t, 8, 150, 50.02),
            lambda t: t.quote(12, 49.99, 300, 50.00, 60),
            lambda t: t.quote(16, *TIGHT),
            lambda t: cancel(t, 17),
            lambda t: t.quote(40, 50.00, 300, 50.02, 10),
        ]
        events = []
        for at, step in enumerate(steps):
            if at == stop:
                tape.split()
            events += step(tape)
        digests.append(tape.sequencer.digest)
        assert {type(e) for e in events} >= {OrderReplaceRequested, OrderReplaced}
        assert not [e for e in events if isinstance(e, OrderFilled) and e.cum_qty > fx(150)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("seed", range(8))
def test_the_halves_of_a_flip_travel_together(seed):
    """Up to a second of jitter: what closes the short and what opens the long meet one quote, the closing first."""
    tape = Tape(with_params(latency_ns=5 * MS, latency_jitter_ns=1_000 * MS, seed=seed, allow_short=True))
    tape.quote(0, *TIGHT)
    tape.send(1, SELL, 60)
    tape.quote(1_100, *TIGHT)
    tape.send(1_101, BUY, 60, client_order_id="flip")
    tape.send(1_101, BUY, 40, client_order_id="flip-open", parent_id="flip")
    met = [
        [fill.client_order_id for fill in fills(tape.quote(1_102 + 50 * step, 50.00, 300, 50.02 + step / 100, 200))]
        for step in range(25)
    ]
    assert [names for names in met if names] == [["flip", "flip-open"]]


@pytest.mark.parametrize("latency", [0, 5])
@pytest.mark.parametrize("partly", [0, 20])
def test_a_cancel_of_the_half_that_closes_ends_the_half_that_opens(latency, partly):
    """It would close in its stead: 60 are short, and of the flip's 40 none is bought; one that opens ends alone."""
    tape = Tape(with_params(latency_ns=latency * MS, allow_short=True))
    tape.quote(0, *TIGHT)
    tape.send(1, SELL, 60)
    tape.quote(100, *TIGHT)
    for name in ("a", "b"):
        tape.send(101, BUY, 60, "limit", limit_px=49.90, client_order_id=name)
        tape.send(101, BUY, 40, "limit", limit_px=49.90, client_order_id=f"{name}-open", parent_id=name)
    if partly:
        tape.quote(200, 49.80, 300, 49.85, partly)
    events = cancel(tape, 300, "a") + cancel(tape, 300, "b-open") + tape.quote(400, *TIGHT)
    ended = [(e.client_order_id, e.cum_qty // fx(1), e.reason) for e in events if isinstance(e, OrderCanceled)]
    assert sorted(ended) == [("a", partly, "asked"), ("a-open", 0, "asked"), ("b-open", 0, "asked")]
    assert [order.order.client_order_id for order in tape.broker.working] == ["b"]
