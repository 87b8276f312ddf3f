"""Over random bars, entries, trims and changed exits: what names a lot closes that lot and never more than it has."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.messages.orders import BUY, SELL, CancelOrder, OrderAccepted, OrderRejected, OrderType, ReplaceOrder
from actors.messages.portfolio import PositionChanged
from tests.actors.broker.desk import FREE, PLAN, fx, with_params
from tests.actors.broker.house import House, closings

SYMBOLS = 2
price = st.integers(84, 116)
tick = st.sampled_from([0.0, 0.25, 0.5])
symbol = st.integers(0, SYMBOLS - 1)
quantity = st.sampled_from([10, 40, 100, 100, 150, 300])


@st.composite
def bars(draw: Any) -> tuple[float, float, float, float]:
    """A bar with honest extremes, wide against stops of 3 % and targets of 10 %."""
    points = [draw(price) + draw(tick) for _ in range(4)]
    return points[0], max(points), min(points), points[3]


kind = st.sampled_from(["market", "market", "market", "limit", "stop"])
step = st.one_of(
    st.tuples(st.just("enter"), symbol, quantity, kind, price, st.sampled_from(["s", "s", "s", ""])),
    st.tuples(st.just("trim"), symbol, quantity, kind, price, st.booleans()),
    st.tuples(st.just("bars"), st.lists(st.none() | bars(), min_size=2, max_size=2), st.sampled_from([-1, 800, 3_000])),
    st.tuples(st.just("bars"), st.lists(bars(), min_size=2, max_size=2), st.sampled_from([-1, 500, 1_000])),
    st.tuples(st.just("cancel"), st.integers(0, 7)),
    st.tuples(st.just("move"), st.integers(0, 7), st.sampled_from([0.5, 1, 2]), price),
)
programs = st.lists(step, min_size=6, max_size=24)
profiles = st.sampled_from(
    [
        FREE,
        with_params(FREE, participation=fx(0.1)),
        PLAN,
        with_params(PLAN, account="cash_strict", min_commission=fx(1), same_event_fill=True, fill_on_touch=True),
    ]
)


class Story:
    """Runs a program and checks every frame against what the events alone say about the lots."""

    def __init__(self, params: Any, *, short: bool) -> None:
        self.side = SELL if short else BUY
        self.house = House(params, n=SYMBOLS, cash=200_000, allow_short=short)
        self.house.bar(*[(100.0, 100.0, 100.0, 100.0)] * SYMBOLS)
        self.left: dict[str, int] = {}
        self.moved: dict[str, None] = {}

    def step(self, what: tuple[Any, ...]) -> None:
        """Do one step and check its frame."""
        house = self.house
        events: list[Any] = []
        name, *rest = what
        if name in ("enter", "trim"):
            where, qty, order_type, px, last = rest
            terms: dict[str, Any] = {"symbol": where, "type": OrderType(order_type)}
            if order_type != "market":
                terms[f"{order_type}_px"] = fx(px)
            if name == "enter":
                events = house.order(self.side, qty, strategy=last, **terms)
            else:
                events = house.order(-self.side, qty, reduce_only=last, **terms)
        elif name == "bars":
            rows, volume = rest
            known = None if volume < 0 else [float(volume)] * sum(row is not None for row in rows)
            events = house.bar(*rows, volume=known) if any(rows) else []
        else:
            exits = [o for o in house.core.broker.working if o.order.lot_id]
            if rest[0] < len(exits):
                events = self._touch(exits[rest[0]], rest[1:])
        self._check(events)

    def _touch(self, working: Any, new: list[Any]) -> list[Any]:
        """Cancel an exit by hand, or move it: perhaps beyond its lot, or beyond the other exit."""
        client = working.order.client_order_id
        if not new:
            return self.house.put(CancelOrder(client, "asked"))
        self.moved[client] = None
        factor, px = new
        qty = max(fx(1), round(working.qty * factor) // fx(1) * fx(1))
        limit, stop = (fx(px), None) if working.limit_px is not None else (None, fx(px))
        return self.house.put(ReplaceOrder(client, qty, limit, stop))

    def _check(self, events: list[Any]) -> None:
        opened = {e.opened[0]: abs(e.opened[1]) for e in events if isinstance(e, PositionChanged) and e.opened}
        self.left.update(opened)
        for fill, closed in closings(events):
            if fill.lot_id:
                assert closed == ((fill.lot_id, fill.last_qty),)
            for lot, qty in closed:
                self.left[lot] -= qty
                assert self.left[lot] >= 0
        for event in events:
            if isinstance(event, OrderRejected):
                assert not event.order.lot_id, event
            if isinstance(event, OrderAccepted) and event.order.lot_id:
                assert event.order.lot_id in self.left
        self._check_books()

    def _check_books(self) -> None:
        broker = self.house.core.broker
        account = broker.account("main")
        lots = {}
        for where in range(SYMBOLS):
            booked = self.house.lots(where)
            assert [(lot.lot_id, lot.qty) for lot in account.lots.get(where, {}).values()] == booked
            assert sum(qty for _, qty in booked) == account.positions.get(where, 0)
            lots.update(booked)
        assert {lot: abs(qty) for lot, qty in lots.items()} == {lot: qty for lot, qty in self.left.items() if qty}
        for order in broker.working:
            if order.order.lot_id:
                assert order.order.lot_id in lots, "an exit outlived its lot"
                if order.order.client_order_id not in self.moved:
                    assert order.leaves <= abs(lots[order.order.lot_id])


FLAT = (100.0, 100.0, 100.0, 100.0)
BOTH = ("bars", [(100.0, 111.0, 96.0, 100.0), None], -1)
BOUGHT = [("enter", 0, 100, "market", 0, "s"), ("bars", [FLAT, None], -1)] * 2


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles, st.booleans(), programs)
@example(FREE, False, [*BOUGHT, BOTH])
@example(FREE, False, [*BOUGHT, ("trim", 0, 40, "market", 0, True), BOTH])
@example(with_params(FREE, participation=fx(0.1)), False, [*BOUGHT, ("bars", [(100.0, 100.0, 90.0, 90.0), None], 500)])
def test_no_exit_closes_another_lot_or_more_than_its_own(params, short, program):
    """Sums closed per lot stay within the lot, exits close only theirs, none is refused, none outlives its lot."""
    story = Story(params, short=short)
    for what in program:
        story.step(what)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles, st.booleans(), programs, st.data())
def test_a_core_split_by_snapshot_knows_the_same_lots(params, short, program, data):
    """Equal digests and equal broker states, wherever the run is split."""
    whole, parts = Story(params, short=short), Story(params, short=short)
    cut = data.draw(st.integers(0, len(program)))
    for i, what in enumerate(program):
        whole.step(what)
        if i >= cut:
            parts.house.split()
        parts.step(what)
    assert parts.house.core.sequencer.digest == whole.house.core.sequencer.digest
    assert parts.house.core.broker.snapshot() == whole.house.core.broker.snapshot()
