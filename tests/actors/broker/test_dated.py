"""Orders with a date of their own: the earliest date is known however they come and go, and costs little to know."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from actors.broker.order_state import WorkingOrder
from actors.broker.resting import RestingOrders
from actors.messages.orders import BUY, OrderTerms, OrderType, SubmitOrder, TimeInForce
from actors.values.fixed import SCALE


def dated(n: int, expire_ts: int) -> WorkingOrder:
    """A limit that is good till a date."""
    terms = OrderTerms(expire_ts=expire_ts)
    order = SubmitOrder(f"c{n}", "main", 0, BUY, SCALE, OrderType.LIMIT, TimeInForce.GTD, SCALE, terms=terms)
    return WorkingOrder(n, order, 0, 0)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 300)), max_size=300))
def test_the_earliest_date_is_that_of_an_order_that_works(steps: list[tuple[int, int]]) -> None:
    """Each step adds an order with a date; where its second number names one that works, that one ends."""
    resting = RestingOrders(1)
    works: dict[int, WorkingOrder] = {}
    for n, (date, ends) in enumerate(steps):
        works[n] = dated(n, date)
        resting.add(works[n])
        if ends in works:
            resting.remove(works.pop(ends))
        dates = [order.expire_ts or 0 for order in works.values()]
        assert resting.next_expiry == min(dates, default=0)
        due = [order.n for order in resting.expired(25, at_once=True)]
        assert due == [number for number, order in works.items() if (order.expire_ts or 0) <= 25]
        assert len(resting._dates) <= 2 * len(works) + 66


def ending(count: int) -> float:
    """Return the processor time that it takes to end so many orders, oldest and earliest first, in seconds."""
    resting = RestingOrders(1)
    orders = [dated(n, n + 1) for n in range(count)]
    for order in orders:
        resting.add(order)
    began = time.process_time()
    for order in orders:
        resting.remove(order)
    return time.process_time() - began


def test_ending_many_costs_as_much_for_each_as_ending_few() -> None:
    """Sixteen times the orders: 16 times the time where each costs the same, 256 where each looks at all others."""
    few = min(ending(500) for _ in range(5))
    many = min(ending(8_000) for _ in range(3))
    assert many < 80 * few
