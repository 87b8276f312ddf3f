"""Brackets and groups on ticks: exits come to life with a fill and meet the next tick; siblings follow each other."""

from __future__ import annotations

import pytest

from actors.messages.orders import Bracket, CancelOrder, OrderCanceled, OrderReplaced, OrderTerms, OrderTriggered
from actors.values.fixed import SCALE
from tests.actors.broker.desk import FREE, fills, fx, kinds, with_params
from tests.actors.broker.tape import MS, Tape

BUY, SELL = 1, -1
TIGHT = (50.00, 300, 50.02, 200)


def entered(params=FREE, qty: float = 100) -> Tape:
    """A purchase at 50.02 with a target of 50.50 and a stop at 49.50; its exits live since 2 ms."""
    tape = Tape(params)
    bracket = Bracket(take_profit_px=fx(50.5), stop_px=fx(49.5))
    tape.send(1, BUY, qty, terms=OrderTerms(bracket=bracket))
    return tape


def of(events, client: str) -> list[tuple[float, float]]:
    """The fills of one order as (qty, px)."""
    return [(e.last_qty / SCALE, e.last_px / SCALE) for e in fills(events) if e.client_order_id == client]


def test_the_exits_of_an_entry_meet_the_next_quote_and_the_first_ends_the_other():
    """Accepted with the fill; the bid of 50.50 is the target's, and the stop ends with it."""
    tape = entered()
    events = tape.quote(2, *TIGHT)
    assert kinds(events) == ["OrderFilled", "OrderAccepted", "OrderAccepted"]
    events = tape.quote(3, 50.50, 300, 50.52, 200)
    assert of(events, "c1-tp") == [(100, 50.50)]
    [ended] = [e for e in events if isinstance(e, OrderCanceled)]
    assert (ended.client_order_id, ended.reason) == ("c1-sl", "OCO")
    assert tape.broker.working == ()


def test_the_stop_of_a_bracket_triggers_and_fills_at_the_next_quote():
    """Bids only: 49.50 meets it, 49.48 is what it gets; the target ends."""
    tape = entered()
    tape.quote(2, *TIGHT)
    assert [type(e) for e in tape.quote(3, 49.50, 300, 49.52, 200)] == [OrderTriggered]
    events = tape.quote(4, 49.48, 300, 49.52, 200)
    assert of(events, "c1-sl") == [(100, 49.48)]
    assert tape.broker.working == ()


def test_exits_grow_with_the_entry_and_shrink_with_each_other():
    """200 of 500 are bought first: exits over 200. 100 more: over 300. The target sells 250: the stop keeps 50."""
    tape = entered(qty=500)
    tape.quote(2, *TIGHT)
    assert (tape.leaves("c1-tp"), tape.leaves("c1-sl")) == (200, 200)
    tape.quote(3, 50.00, 300, 50.03, 100)
    assert (tape.leaves("c1-tp"), tape.leaves("c1-sl")) == (300, 300)
    assert of(tape.quote(4, 50.50, 250, 50.60, 0), "c1-tp") == [(250, 50.50)]
    assert (tape.leaves("c1-tp"), tape.leaves("c1-sl")) == (50, 50)


def test_exits_are_at_the_venue_when_they_come_to_life():
    """Five milliseconds away the entry is there at 6; its target meets the quote of 7."""
    tape = entered(with_params(latency_ns=5 * MS))
    tape.quote(6, *TIGHT)
    assert of(tape.quote(7, 50.50, 300, 50.52, 200), "c1-tp") == [(100, 50.50)]


def test_several_prints_of_an_instant_grow_the_exits_once_each():
    """Nothing is quoted: 300 and 200 are bought of two prints, and the exits stand at 500."""
    tape = entered(qty=500)
    events = tape.trade(2, (50.0, 300), (50.1, 400))
    assert of(events, "c1") == [(300, 50.0), (200, 50.1)]
    assert (tape.leaves("c1-tp"), tape.leaves("c1-sl")) == (500, 500)


@pytest.mark.parametrize(
    ("entry_px", "wanted"),
    [(50.4, (50.5, "maker")), (50.5, (50.5, "maker")), (50.6, (50.7, "taker"))],
    ids=["below its price", "at its price", "beyond its price"],
)
def test_a_target_is_judged_where_the_market_stands_when_it_comes_to_life(entry_px, wanted):
    """Prints only, target 50.50. Bought up to there it rests and sells at its price; bought above it takes 50.70."""
    tape = entered()
    tape.trade(2, (entry_px, 100))
    [fill] = fills(tape.trade(3, (50.7, 100)))
    assert (fill.client_order_id, fill.last_px, fill.liquidity) == ("c1-tp", fx(wanted[0]), wanted[1])


@pytest.mark.parametrize(("shown", "left"), [(40, 60), (100, None)])
def test_of_a_group_a_part_reduces_and_the_whole_cancels(shown, left):
    """Two limits of 100, both met by one ask: what the older buys the younger loses, in the same instant."""
    tape = Tape()
    for limit in (50.05, 50.04):
        tape.send(1, BUY, 100, "limit", limit_px=limit, terms=OrderTerms(oco_group="g"))
    events = tape.quote(2, 50.00, 300, 50.02, shown)
    assert of(events, "c1") == [(shown, 50.02)]
    assert of(events, "c2") == []
    assert (tape.leaves("c1"), tape.leaves("c2")) == (left, left)


@pytest.mark.parametrize(("qty", "left"), [(150, 50), (100, None)])
def test_of_a_group_what_each_fills_of_one_print_comes_off_what_the_other_has_left(qty, left):
    """80 are ahead of the older one at 50.00: of a print of 100 there it gets 20, so the other shrinks from 200 to 180.

    That bids 50.01 and takes the 80 left of the print, which come off what the older one still has open: of 130 there
    are 50 left, of 80 nothing, and it ends.
    """
    tape = Tape()
    tape.quote(0, 50.00, 80, 50.05, 100)
    for wanted, limit in ((qty, 50.00), (200, 50.01)):
        tape.send(1, BUY, wanted, "limit", limit_px=limit, terms=OrderTerms(oco_group="g"))
    tape.quote(2, 50.00, 80, 50.05, 100)
    events = tape.trade(3, (50.00, 100))
    assert of(events, "c1") == [(20, 50.00)]
    assert of(events, "c2") == [(80, 50.01)]
    changed = [(e.client_order_id, e.qty / SCALE) for e in events if isinstance(e, OrderReplaced)]
    assert changed == ([("c2", 180), ("c1", 70)] if left else [("c2", 180)])
    assert [(e.cum_qty / SCALE, e.reason) for e in events if isinstance(e, OrderCanceled)] == (
        [] if left else [(20, "OCO")]
    )
    assert (tape.leaves("c1"), tape.leaves("c2")) == (left, 100)


def test_an_exit_whose_cancel_arrives_with_its_entrys_next_fill_stays_cancelled():
    """200 of 500 are bought at 6 ms. The stop's cancel, asked at 7, is there at 12 with the quote that sells 100 more.

    The target grows to 300 with them; of the stop nothing is said any more.
    """
    tape = entered(with_params(latency_ns=5 * MS), qty=500)
    tape.quote(6, *TIGHT)
    tape.put(CancelOrder("c1-sl", "asked"), tape.at(7))
    events = tape.quote(12, 50.00, 300, 50.03, 100)
    assert [e.client_order_id for e in events if isinstance(e, OrderCanceled)] == ["c1-sl"]
    assert [e.client_order_id for e in events if isinstance(e, OrderReplaced)] == ["c1-tp"]
    assert of(events, "c1") == [(100, 50.03)]
    assert (tape.leaves("c1-tp"), tape.leaves("c1-sl")) == (300, None)


def test_a_restored_broker_knows_its_brackets():
    """Split between fill and exit."""
    tape = entered()
    tape.quote(2, *TIGHT)
    tape.split()
    assert of(tape.quote(3, 50.50, 300, 50.52, 200), "c1-tp") == [(100, 50.50)]
    assert tape.broker.working == ()
