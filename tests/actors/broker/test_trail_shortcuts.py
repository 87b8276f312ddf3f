"""Trails that a bar cannot meet are told from its extremes alone; that must never miss what the path would meet."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.broker import meeting, trailing
from actors.broker.matching import Bar
from actors.broker.order_state import WorkingOrder
from actors.broker.path import Path
from actors.messages.orders import BUY, SELL, OrderTerms, OrderType, SubmitOrder

CENT = 10**6
PRICES = st.integers(9_500, 10_500)


def trail(side: int, best: int, terms: OrderTerms) -> WorkingOrder:
    """Return a trailing stop of one share whose best price is so many cents."""
    order = WorkingOrder(1, SubmitOrder("t", "main", 0, side, 10**8, OrderType.TRAILING_STOP, terms=terms), 0, 1)
    order.best = best * CENT
    return order


@settings(max_examples=400, deadline=None)
@given(
    side=st.sampled_from([BUY, SELL]),
    best=PRICES,
    opened=PRICES,
    others=st.tuples(PRICES, PRICES, PRICES),
    amount=st.integers(1, 400) | st.none(),
    position=st.sampled_from([-1, 1]),
)
def test_what_is_out_of_reach_is_met_on_no_path_and_every_path_leaves_the_same_best_price(
    side: int, best: int, opened: int, others: tuple[int, int, int], amount: int | None, position: int
) -> None:
    """Distances in money and in percent, both directions of the path; the slow way along the path is the judge."""
    a, b, close = others
    high, low = max(opened, a, b, close) * CENT, min(opened, a, b, close) * CENT
    bar = Bar(opened * CENT, high, low, close * CENT)
    terms = OrderTerms(trail_percent=2 * 10**8) if amount is None else OrderTerms(trail_amount=amount * CENT)
    order = trail(side, best, terms)
    path = Path(bar, position)
    assert trailing.through(order, high, low) == trailing.after(order, path, 1, bar.open)
    if trailing.out_of_reach(order, high, low):
        assert trailing.meet(order, path, 1, bar.open) is None
        assert meeting.at(order, bar, bar.open, on_touch=True) is None


def test_a_sale_is_out_of_reach_only_below_the_stop_that_the_high_has_pulled_up() -> None:
    """Best 100, amount 2: a bar with a high of 101 pulls the stop to 99; a low of 99.01 never comes there, 99 does."""
    order = trail(SELL, 10_000, OrderTerms(trail_amount=200 * CENT))
    assert trailing.out_of_reach(order, 10_100 * CENT, 9_901 * CENT)
    assert not trailing.out_of_reach(order, 10_100 * CENT, 9_900 * CENT)


def test_a_purchase_is_out_of_reach_only_above_the_stop_that_the_low_has_pulled_down() -> None:
    """Best 100, amount 2: a low of 99 pulls the stop to 101; a high of 100.99 never comes there, 101 does."""
    order = trail(BUY, 10_000, OrderTerms(trail_amount=200 * CENT))
    assert trailing.out_of_reach(order, 10_099 * CENT, 9_900 * CENT)
    assert not trailing.out_of_reach(order, 10_100 * CENT, 9_900 * CENT)


def test_a_trail_that_is_not_armed_is_never_out_of_reach() -> None:
    """It may be armed inside the bar and be met behind that: only the path tells."""
    order = trail(SELL, 0, OrderTerms(trail_amount=CENT, activation_px=10_050 * CENT))
    assert not trailing.out_of_reach(order, 10_100 * CENT, 9_900 * CENT)
