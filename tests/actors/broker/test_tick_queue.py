"""How much is ahead of a limit at its price, and what of a print is left for it: derived on paper beside each case."""

from __future__ import annotations

import math

import pytest

from actors.messages.orders import OrderTerms
from actors.values.fixed import SCALE
from tests.actors.broker.desk import FREE, fills, fx, with_params
from tests.actors.broker.tape import Tape
from tests.actors.broker.test_tick_fills import told

BUY, SELL = 1, -1


def resting(limit: float, qty: float = 100, **terms) -> Tape:
    """A purchase that rests below an ask of 50.10, where 300 are bid at 50.00."""
    tape = Tape(terms.pop("params", FREE))
    tape.quote(1, 50.00, 300, 50.10, 200)
    tape.send(2, BUY, qty, "limit", limit_px=limit, **terms)
    return tape


def test_the_queue_is_what_is_displayed_when_the_order_comes_to_rest():
    """300 are bid at 50.00: prints of 200 and 150 there leave -50: 50 of the second are ours."""
    tape = resting(50.00)
    assert fills(tape.trade(3, (50.00, 200))) == []
    assert tape.queue() == 100
    assert told(tape.trade(4, (50.00, 150))) == [(50, 50.00, "trade", "maker")]
    assert told(tape.trade(5, (50.00, 20))) == [(20, 50.00, "trade", "maker")]
    assert tape.leaves() == 30


def test_prints_of_one_instant_use_up_the_queue_in_their_order():
    """100 + 180 of 300 are ahead; the third print has 20 for the queue and 40 for us."""
    tape = resting(50.00)
    assert told(tape.trade(3, (50.00, 100), (50.00, 180), (50.00, 60))) == [(40, 50.00, "trade", "maker")]


def test_prints_elsewhere_do_not_move_the_queue():
    """At 50.05 somebody else traded."""
    tape = resting(50.00)
    tape.trade(3, (50.05, 1000))
    assert tape.queue() == 300


def test_the_queue_is_never_more_than_what_is_still_displayed():
    """Cancels ahead leave 120 displayed; more that comes later comes behind us."""
    tape = resting(50.00)
    tape.quote(3, 50.00, 120, 50.10, 200)
    assert tape.queue() == 120
    tape.quote(4, 50.00, 900, 50.10, 200)
    assert tape.queue() == 120


def test_whoever_betters_the_market_has_nobody_ahead():
    """50.05 is above the bid of 50.00: the first print there is ours."""
    tape = resting(50.05)
    assert told(tape.trade(3, (50.05, 60))) == [(60, 50.05, "trade", "maker")]


def test_when_the_others_have_left_the_price_nobody_is_ahead():
    """The bid falls to 49.95: at 50.00 only we are left."""
    tape = resting(50.00)
    tape.quote(3, 49.95, 400, 50.10, 200)
    assert tape.queue() == 0
    assert told(tape.trade(4, (50.00, 60))) == [(60, 50.00, "trade", "maker")]


def test_behind_a_better_price_nothing_is_known_until_the_market_comes():
    """At 49.90 nobody tells the queue: a touch fills nothing. The bid comes down to 49.90 with 500: all count ahead."""
    tape = resting(49.90)
    assert tape.queue() is None
    assert fills(tape.trade(3, (49.90, 1000))) == []
    tape.quote(4, 49.90, 500, 50.00, 200)
    assert tape.queue() == 500
    assert told(tape.trade(5, (49.90, 530))) == [(30, 49.90, "trade", "maker")]


def test_a_known_place_is_kept_behind_a_better_price():
    """50.02 is bid meanwhile; back at 50.00 with 400 displayed the 300 of before count, less nothing."""
    tape = resting(50.00)
    tape.quote(3, 50.02, 100, 50.10, 200)
    assert tape.queue() == 300
    tape.quote(4, 50.00, 400, 50.10, 200)
    assert tape.queue() == 300


def test_a_known_place_is_kept_while_its_side_of_the_book_is_not_known():
    """Nobody tells the bid meanwhile: of the 300 ahead none is said to have left, and a print of 350 has 50 for us."""
    tape = resting(50.00)
    tape.quote(3, math.nan, math.nan, 50.10, 200)
    assert tape.queue() == 300
    assert told(tape.trade(4, (50.00, 350))) == [(50, 50.00, "trade", "maker")]


def test_a_place_is_not_known_where_sizes_are_not():
    """50.00 is bid on, by nobody knows how many: prints there fill nothing until somebody says."""
    tape = resting(50.00)
    tape.quote(3, 50.00, math.nan, 50.10, 200)
    assert tape.queue() is None
    assert fills(tape.trade(4, (50.00, 1000))) == []
    tape.quote(5, 50.00, 40, 50.10, 200)
    assert told(tape.trade(6, (50.00, 60))) == [(20, 50.00, "trade", "maker")]


def test_a_crossed_quote_takes_no_limit_off_its_place():
    """An ask of 49.95 below a bid of 50.20 is not believed: who rests at 50.00 does, and is filled by a print below."""
    tape = resting(50.00)
    assert fills(tape.quote(3, 50.20, 100, 49.95, 100)) == []
    assert told(tape.trade(4, (49.90, 100))) == [(100, 50.00, "trade", "maker")]


def test_the_queue_can_be_switched_off():
    """``broker.queue = false``: only what prints through the limit fills it."""
    tape = resting(50.00, params=with_params(queue=False))
    assert fills(tape.trade(3, (50.00, 1000))) == []
    assert told(tape.trade(4, (49.99, 1000))) == [(100, 50.00, "trade", "maker")]


def test_participation_bounds_what_the_queue_leaves():
    """A print of 1,000 leaves 700 behind the queue, and 10 % of it may be had: 100."""
    tape = resting(50.00, 400, params=with_params(participation=10_000_000))
    assert told(tape.trade(3, (50.00, 1000))) == [(100, 50.00, "trade", "maker")]


def test_two_orders_of_ours_at_one_price_share_a_print():
    """The queue of 300 is ahead of both; 150 are left: 100 for the older, 50 for the younger."""
    tape = resting(50.00)
    tape.send(2, BUY, 100, "limit", limit_px=50.00)
    assert [(e.client_order_id, e.last_qty / SCALE) for e in fills(tape.trade(3, (50.00, 450)))] == [
        ("c1", 100),
        ("c2", 50),
    ]


def test_a_sale_queues_at_the_ask():
    """200 are offered at 50.10."""
    tape = Tape()
    tape.send(0, BUY, 100)
    tape.trade(0, (50.0, 100))
    tape.quote(1, 50.00, 300, 50.10, 200)
    tape.send(2, SELL, 100, "limit", limit_px=50.10)
    assert told(tape.trade(3, (50.10, 230))) == [(30, 50.10, "trade", "maker")]


def test_new_terms_lose_the_place_and_fewer_shares_keep_it():
    """After 200 of 300 traded, fewer shares keep the 100 ahead; another price, and back, queue behind all 300 again."""
    tape = resting(50.00)
    tape.trade(3, (50.00, 200))
    tape.replace("c1", 80, limit=50.00)
    tape.quote(4, 50.00, 300, 50.10, 200)
    assert tape.queue() == 100
    tape.replace("c1", 80, limit=49.99)
    tape.replace("c1", 80, limit=50.00)
    tape.quote(5, 50.00, 300, 50.10, 200)
    assert tape.queue() == 300


def test_the_next_slice_of_an_iceberg_queues_behind_what_is_displayed():
    """100 show 40. The queue of 300 and 90 more trade: 40 are ours, and the next slice queues behind the 300 displayed.

    310 more: 10 for the second slice, 30 of it left and nobody ahead. 50 more: those 30, and the last 20 queue anew.
    """
    tape = resting(50.00, terms=OrderTerms(display_qty=fx(40)))
    assert told(tape.trade(3, (50.00, 390))) == [(40, 50.00, "trade", "maker")]
    assert tape.queue() == 300
    assert told(tape.trade(4, (50.00, 310))) == [(10, 50.00, "trade", "maker")]
    assert tape.queue() == 0
    assert told(tape.trade(5, (50.00, 50))) == [(30, 50.00, "trade", "maker")]
    assert tape.queue() == 300
    assert tape.leaves() == 20


def test_a_print_through_an_iceberg_takes_all_of_it():
    """What traded below its price went through every slice."""
    tape = resting(50.00, terms=OrderTerms(display_qty=fx(40)))
    assert told(tape.trade(3, (49.99, 500))) == [(100, 50.00, "trade", "maker")]


def test_a_place_does_not_outlive_the_session():
    """Nobody was ahead at the close; the next session's book has 300 at the price, and they count."""
    tape = resting(50.00)
    tape.trade(3, (50.00, 300))
    assert tape.queue() == 0
    tape.close(1)
    tape.day = 2
    tape.open(2)
    assert fills(tape.quote(1, 50.00, 300, 50.10, 200)) == []
    assert tape.queue() == 300


@pytest.mark.parametrize("cut", range(5))
def test_queues_survive_a_snapshot_at_any_place(cut: int):
    """A broker restored between any two inputs goes on as the one that never stopped."""
    told_apart = []
    for stop in (None, cut):
        tape = resting(50.00, terms=OrderTerms(display_qty=fx(40)))
        steps = [
            lambda t: t.trade(3, (50.00, 200)),
            lambda t: t.quote(4, 50.00, 250, 50.10, 200),
            lambda t: t.trade(5, (50.00, 120)),
            lambda t: t.trade(6, (50.00, 320)),
            lambda t: t.quote(7, 49.95, 250, 50.00, 10),
        ]
        events = []
        for at, step in enumerate(steps):
            if at == stop:
                tape.split()
            events += step(tape)
        told_apart.append((events, tape.sequencer.digest))
    assert told_apart[0] == told_apart[1]
    assert len(fills(told_apart[0][0])) == 3
