"""Ticks look at the orders alone that their prices may concern, and nothing comes out differently for it."""

from __future__ import annotations

import gc
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.broker.ladder import NOTHING, Ladder
from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.broker.resting import RestingOrders
from actors.messages.market import CorporateAction
from actors.messages.orders import OrderTerms, OrderType, SubmitOrder, TimeInForce
from actors.values.fixed import SCALE
from tests.actors.broker.desk import fills, fx
from tests.actors.broker.tape import Tape
from tests.actors.broker.test_tick_properties import PARAMS, STEPS, Player

BOOK = st.lists(
    st.tuples(st.sampled_from([1, -1]), st.sampled_from(["limit", "stop", "market_if_touched"]), st.integers(-40, 40)),
    max_size=40,
)


class FullScan(RestingOrders):
    """Shows a tick every working order of its symbol."""

    def near(self, symbol: int, low: int, high: int) -> list[WorkingOrder]:
        """Return all of them."""
        return list(self.of(symbol))

    def taking_in(self, symbol: int) -> list[WorkingOrder]:
        """Return those of them that wait to take."""
        return [one for one in self.of(symbol) if one.taking]


def play(book: list[tuple[int, str, int]], steps: list[Any], params: BrokerParams, cut: int, *, full: bool) -> Any:
    """Play steps upon a book of resting orders; return the digest and what the broker knows at the end."""
    player = Player(Tape(params, cash=100_000_000))
    tape = player.tape
    if full:
        tape.broker._resting = FullScan(len(tape.universe))
    for side, kind, cents in book:
        level = "limit_px" if kind == "limit" else "stop_px"
        tape.send(player.ms, side, 10, kind, **{level: 50 + cents / 100})
    for at, step in enumerate(steps):
        player.step(step)
        if at == cut:  # lowers limits of purchases and stops of sales by three cents
            tape.put(CorporateAction(tape.at(player.ms), 20240306, 0, "dividend", fx(0.03)))
    return tape.sequencer.digest, tape.broker.snapshot()


@settings(max_examples=200, deadline=None)
@given(BOOK, STEPS, PARAMS, st.integers(0, 80))
def test_the_index_finds_whatever_a_full_scan_would_have_met(book, steps, params, cut):
    """Equal events and equal state: fills, triggers, queues, who rests and who takes."""
    assert play(book, steps, params, cut, full=False) == play(book, steps, params, cut, full=True)


def order(n: int, side: int, kind: str, level: float, tif: TimeInForce = TimeInForce.GTC) -> WorkingOrder:
    """Make a working order that has met a price."""
    px = {"limit_px" if kind == "limit" else "stop_px": fx(level)} if level else {}
    terms = OrderTerms(trail_amount=SCALE) if kind == "trailing_stop" else None
    made = WorkingOrder(n, SubmitOrder(f"c{n}", "main", 0, side, SCALE, OrderType(kind), tif, terms=terms, **px), 0, 0)
    made.arrival_px = fx(50)
    return made


def met(ladder: Ladder, low: float, high: float) -> list[int]:
    """Return the numbers of those whom prices from ``low`` to ``high`` concern."""
    return sorted(one.n for one in ladder.within(fx(low), fx(high)))


def test_prices_concern_levels_that_lie_within_them_and_beyond_on_the_side_they_came_from():
    """Each kind at 49 and at 51, the prices from 49.50 to 50.50, then down to 49, then up to 51.

    What fills or is met at or below its level: purchase limits, sale stops, purchases if touched. At 51 those are
    concerned by anything below; at 49 by 49 alone. What is met at or above: the other three, the other way round.
    """
    ladder = Ladder()
    falling = [(1, "limit"), (-1, "stop"), (1, "market_if_touched")]
    rising = [(-1, "limit"), (1, "stop"), (-1, "market_if_touched")]
    for n, (side, kind) in enumerate(falling + rising, 1):
        ladder.put(order(n, side, kind, 49))
        ladder.put(order(n + 10, side, kind, 51))
    assert met(ladder, 49.5, 50.5) == [4, 5, 6, 11, 12, 13]
    assert met(ladder, 49, 50.5) == [1, 2, 3, 4, 5, 6, 11, 12, 13]
    assert met(ladder, 49.5, 51) == [4, 5, 6, 11, 12, 13, 14, 15, 16]
    assert sorted(one.n for one in ladder.within(NOTHING, 0)) == []


def test_what_has_no_level_is_shown_every_tick():
    """Trails, orders at any price, those for an auction, those that do not wait, take or have met no price yet."""
    ladder = Ladder()
    found = [
        order(1, 1, "trailing_stop", 0),
        order(2, 1, "market", 0),
        order(3, 1, "limit", 40, TimeInForce.OPG),
        order(4, 1, "limit", 40, TimeInForce.IOC),
        order(5, 1, "limit", 40),
        order(6, 1, "limit", 40),
        order(7, 1, "limit", 40),
    ]
    found[4].taking = True
    found[5].arrival_px = 0
    for one in found:
        ladder.put(one)
    assert met(ladder, 49, 51) == [1, 2, 3, 4, 5, 6]
    found[4].taking = False
    assert met(ladder, 49, 51) == [1, 2, 3, 4, 6]


def test_an_order_that_is_changed_or_gone_is_not_where_it_was():
    """Filed at 49, then at 51 by new terms, then gone; twenty others come at once and stay."""
    ladder, one = Ladder(), order(1, 1, "limit", 49)
    ladder.put(one)
    assert met(ladder, 50, 50) == []
    for n in range(2, 22):
        ladder.put(order(n, 1, "limit", 48 + n % 7 / 10))
    assert met(ladder, 48.6, 50) == [1, 6, 13, 20]
    one.limit_px = fx(51)
    ladder.put(one)
    assert met(ladder, 49, 50) == [1]
    ladder.drop(one)
    assert met(ladder, 48.6, 60) == [6, 13, 20]


def test_an_order_that_moves_to_another_symbol_is_met_by_that_ones_ticks():
    """A purchase at 49 rests in symbol 0, which is renamed to 1: only what 1 prints fills it."""
    tape = Tape()
    tape.quote(1, 49.9, 100, 50.1, 100)
    tape.quote(1, 49.9, 100, 50.1, 100, symbol=1)
    tape.send(2, 1, 10, "limit", limit_px=49)
    tape.send(2, 1, 10, "limit", limit_px=48, symbol=1)
    for symbol in (0, 1, 0, 1):
        assert fills(tape.trade(3, (50, 100), symbol=symbol)) == []
    tape.put(CorporateAction(tape.at(4), 20240306, 0, "rename", 0, renamed_to=1))
    assert fills(tape.trade(5, (48.5, 100))) == []
    assert [fill.client_order_id for fill in fills(tape.trade(6, (48.5, 100), symbol=1))] == ["c1"]


def lines_of_a_quote(others: int) -> int:
    """Return how many lines run for a quote while so many limits of another symbol wait for its first price."""
    tape = Tape()
    tape.quote(1, 49.9, 100, 50.1, 100)
    for _ in range(others):
        tape.send(2, 1, 1, "limit", limit_px=40, symbol=1)
    tape.send(2, 1, 1, "limit", limit_px=40)
    for ms in (3, 4):
        tape.quote(ms, 49.9, 100, 50.1, 100)
    count = 0

    def note(_frame: Any, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return note

    before = sys.gettrace()
    gc.disable()  # what listens to collections would be counted
    sys.settrace(note)
    try:
        tape.quote(5, 49.9, 100, 50.1, 100)
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def test_a_tick_has_nothing_to_do_with_orders_of_other_symbols():
    """Ten of them or three hundred."""
    assert lines_of_a_quote(10) == lines_of_a_quote(300)
