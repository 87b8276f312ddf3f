"""What holds on any tape of quotes and prints, for any orders, judged by a second account of what the tape offered."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import (
    CancelOrder,
    OrderAccepted,
    OrderCancelRequested,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderTerms,
    RouteReplace,
    TimeInForce,
)
from actors.values.fixed import SCALE
from daemon.kernel.message import Event
from tests.actors.broker.desk import fills, fx, with_params
from tests.actors.broker.tape import MS, Tape

CENT = SCALE // 100
BASE = 5_000  # cents
TICKS = st.integers(-6, 6)
SIZES = st.integers(0, 40).map(lambda n: n * 10)

QUOTES = st.tuples(st.just("quote"), TICKS, SIZES, st.integers(0, 4), SIZES)
PRINTS = st.tuples(st.just("print"), st.lists(st.tuples(TICKS, st.integers(1, 40)), min_size=1, max_size=3))
ORDERS = st.tuples(
    st.just("order"),
    st.sampled_from([1, -1]),
    st.integers(1, 60),
    st.sampled_from(["market", "limit", "limit", "stop", "stop_limit", "market_if_touched", "trailing_stop"]),
    TICKS,
    TICKS,
    st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
    st.sampled_from([None, None, 15]),
)
CANCELS = st.tuples(st.just("cancel"), st.integers(1, 8))
REPLACES = st.tuples(st.just("replace"), st.integers(1, 8), st.integers(1, 60), TICKS)
STEPS = st.lists(st.one_of(QUOTES, QUOTES, PRINTS, PRINTS, ORDERS, ORDERS, CANCELS, REPLACES), min_size=8, max_size=60)
PARAMS = st.sampled_from([
    with_params(allow_short=True),
    with_params(allow_short=True, participation=30_000_000),
    with_params(allow_short=True, latency_ns=3 * MS, latency_jitter_ns=4 * MS, seed=5),
    with_params(allow_short=True, slippage_rate=50_000, spread_rate=15_000, queue=False),
])  # fmt: skip


def px(ticks: int) -> float:
    """Return a price so many cents from 50."""
    return (BASE + ticks) / 100


class Player:
    """Plays steps, two milliseconds apart, and keeps what the tape offered."""

    def __init__(self, tape: Tape) -> None:
        """Begin at the open."""
        self.tape = tape
        self.ms = 10
        self.events: list[Event] = []

    def step(self, step: tuple[Any, ...]) -> list[Event]:
        """Feed one input; return what it led to."""
        self.ms += 2
        tape, kind = self.tape, step[0]
        if kind == "quote":
            _, mid, bid_size, width, ask_size = step
            events = tape.quote(self.ms, px(mid), bid_size, px(mid + width), ask_size)
        elif kind == "print":
            events = tape.trade(self.ms, *[(px(at), size * 10) for at, size in step[1]])
        elif kind == "order":
            events = self.order(*step[1:])
        elif kind == "cancel":
            events = tape.put(CancelOrder(f"c{step[1]}", "asked"), tape.at(self.ms))
        else:
            working = next((o for o in tape.broker.working if o.order.client_order_id == f"c{step[1]}"), None)
            limit = None if working is None or working.limit_px is None else fx(px(step[3]))
            stop = None if working is None else working.stop_px
            events = tape.put(RouteReplace(f"c{step[1]}", step[2] * 10 * SCALE, limit, stop, 0), tape.at(self.ms))
        self.events += events
        return events

    def order(self, side: int, lots: int, kind: str, limit: int, stop: int, tif: TimeInForce, shows: int | None) -> Any:
        """Send an order with the terms that its type takes."""
        terms: dict[str, Any] = {}
        if "limit" in kind:
            terms["limit_px"] = px(limit)
        if kind in ("stop", "stop_limit", "market_if_touched"):
            terms["stop_px"] = px(stop)
        if kind not in ("market", "limit"):
            tif = TimeInForce.GTC
        if kind == "trailing_stop":
            terms["terms"] = OrderTerms(trail_amount=2 * CENT)
        elif kind == "limit" and shows is not None:
            terms["terms"] = OrderTerms(display_qty=fx(shows))
        return self.tape.send(self.ms, side, lots * 10, kind, tif=tif, **terms)


class Judge:
    """Keeps its own account of the tape and of each order's terms, and judges every fill by it."""

    def __init__(self, participation: int) -> None:
        """Begin with nothing known."""
        self.participation = participation
        self.limits: dict[str, int | None] = {}
        self.quantities: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.touch = {1: 0, -1: 0}
        self.taken = {1: 0, -1: 0}

    def see(self, step: tuple[Any, ...], events: list[Event]) -> None:
        """Judge one input and what it led to."""
        if step[0] == "quote":
            for side, ticks in ((1, step[1] + step[3]), (-1, step[1])):
                if self.touch[side] != (price := round(px(ticks) * SCALE)):
                    self.touch[side], self.taken[side] = price, 0
        for event in events:
            if isinstance(event, OrderAccepted):
                self.limits[event.order.client_order_id] = event.order.limit_px
                self.quantities[event.order.client_order_id] = event.order.qty
                self.done[event.order.client_order_id] = 0
            elif isinstance(event, OrderReplaced):
                self.limits[event.client_order_id] = event.limit_px
                self.quantities[event.client_order_id] = event.qty
            elif isinstance(event, OrderFilled | OrderPartiallyFilled):
                self.judge(event)
        if step[0] == "print":
            printed = sum(size * 10 * SCALE for _, size in step[1])
            share = self.participation
            assert sum(e.last_qty for e in fills(events)) <= (printed * share // SCALE if share else printed)
        if step[0] == "quote":
            for side, shown in ((1, step[4]), (-1, step[2])):
                if any(e.side == side for e in fills(events)):
                    assert self.taken[side] <= shown * SCALE

    def judge(self, event: OrderFilled | OrderPartiallyFilled) -> None:
        """Judge a fill by its order's terms and the market's price."""
        client, side = event.client_order_id, event.side
        self.done[client] += event.last_qty
        assert self.done[client] == event.cum_qty <= self.quantities[client]
        assert event.leaves_qty == self.quantities[client] - event.cum_qty
        limit = self.limits[client]
        assert limit is None or side * (limit - event.last_px) >= 0
        if event.px_source == "quote":
            assert side * (event.last_px - self.touch[side]) >= 0  # never better than the touch
            assert side * (event.ref_px - self.touch[side]) <= 0
            self.taken[side] += event.last_qty


@settings(max_examples=150, deadline=None)
@given(STEPS, PARAMS)
def test_no_liquidity_is_taken_twice_and_no_limit_is_passed(steps, params):
    """Every fill against what the tape itself offered at that instant, and against the order's own terms."""
    player = Player(Tape(params, cash=100_000_000))
    judge = Judge(params.participation)
    for step in steps:
        judge.see(step, player.step(step))


@settings(max_examples=60, deadline=None)
@given(STEPS, PARAMS, st.integers(0, 40))
def test_a_broker_restored_anywhere_goes_on_as_the_one_that_never_stopped(steps, params, cut):
    """Queues, marks, what was taken, what is on its way: equal digests, equal snapshots."""
    ends = []
    for restart in (False, True):
        player = Player(Tape(params, cash=100_000_000))
        for at, step in enumerate(steps):
            if restart and at == cut % len(steps):
                player.tape.split()
            player.step(step)
        ends.append((player.tape.sequencer.digest, player.tape.broker.snapshot()))
    assert ends[0] == ends[1]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_request_on_its_way_is_answered_by_the_close(steps):
    """A cancel ends in a cancellation or a refusal, or the order filled; nothing is pending behind the close."""
    player = Player(Tape(with_params(allow_short=True, latency_ns=5 * MS), cash=100_000_000))
    for step in steps:
        player.step(step)
    player.events += player.tape.close(1)
    asked = [e.client_order_id for e in player.events if isinstance(e, OrderCancelRequested)]
    working = {order.order.client_order_id: order.state.value for order in player.tape.broker.working}
    assert not [client for client in asked if client in working]
    assert not [state for state in working.values() if "pending" in state]
