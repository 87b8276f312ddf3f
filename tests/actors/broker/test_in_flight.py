"""Requests on their way: which is due, and when the next one is, whatever was asked and answered before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.broker.in_flight import InFlight
from actors.broker.order_state import UNTIL_TOLD
from actors.messages.orders import OrderCancelRequested

NAMES = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, st.integers(1, 9)),
        st.tuples(st.just("drop"), NAMES, st.just(0)),
        st.tuples(st.just("restore"), NAMES, st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_next_time_is_that_of_the_earliest_request_that_waits(steps):
    """Asked again, answered early, taken from a snapshot: never that of one which waits no more."""
    flight, plain = InFlight(), {}
    for kind, name, ts in steps:
        if kind == "add":
            flight.add(OrderCancelRequested(name, "asked", ts))
            plain.pop(name, None)  # the newest request stands last
            plain[name] = ts
        elif kind == "drop" and name in plain:
            flight.drop(name)
            del plain[name]
        elif kind == "restore":
            other = InFlight()
            other.restore(flight.snapshot())
            flight = other
        assert flight.next_ts == min(plain.values(), default=UNTIL_TOLD)
        assert flight.waiting is bool(plain)
        due = [request.client_order_id for request in flight.due(5)]
        assert due == sorted((name for name, at in plain.items() if at <= 5), key=lambda name: plain[name])
