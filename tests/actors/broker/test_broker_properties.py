"""Invariants over random programs of orders, changes and bars."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.broker.costs import CostModel
from actors.broker.matching import Bar, match_limit, match_stop
from actors.broker.params import BrokerParams
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
    TimeInForce,
)
from actors.values.fixed import SCALE, mul
from tests.actors.broker.desk import DAY, HOUR, PLAN, Desk, fills, fx, with_params

SYMBOLS = 3
CASH = 30_000

price = st.integers(80, 120)
tick = st.sampled_from([0.0, 0.25, 0.5])


@st.composite
def bars(draw: Any) -> tuple[float, float, float, float]:
    """A bar with honest extremes."""
    points = [draw(price) + draw(tick) for _ in range(4)]
    return points[0], max(points), min(points), points[3]


def panels(row: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One row per symbol."""
    return st.lists(row, min_size=SYMBOLS, max_size=SYMBOLS)


step = st.one_of(
    st.tuples(
        st.just("order"),
        st.sampled_from([1, 1, -1]),
        st.integers(1, 200),
        st.sampled_from(["market", "limit", "stop"]),
        price,
        st.integers(0, SYMBOLS - 1),
        st.booleans(),
        st.sampled_from([TimeInForce.DAY, TimeInForce.GTC]),
    ),
    st.tuples(
        st.just("bars"), st.lists(st.none() | bars(), min_size=SYMBOLS, max_size=SYMBOLS), st.integers(-1, 2_000)
    ),
    st.tuples(st.just("bars"), panels(bars()), st.integers(100, 4_000)),
    st.tuples(st.just("cancel"), st.integers(1, 15)),
    st.tuples(st.just("replace"), st.integers(1, 15), st.integers(1, 400), price),
    st.tuples(st.just("session")),
)
programs = st.lists(step, min_size=5, max_size=30)
profiles = st.sampled_from(
    [
        PLAN,
        with_params(PLAN, same_event_fill=True, fill_on_touch=True),
        with_params(
            PLAN, account="cash_strict", regulatory_fees=True, min_commission=fx(1), max_commission_rate=fx(0.01)
        ),
        with_params(commission_per_share=fx(0.005), min_commission=fx(1), impact="linear", participation=fx(0.25)),
        with_params(),
    ]
)


class Runner:
    """Runs a program step by step; the clock goes on an hour with each panel."""

    def __init__(self, params: BrokerParams) -> None:
        self.desk = desk = Desk(params, n=SYMBOLS, cash=CASH, daily=False)
        self.day = 1
        desk.open(1)
        # Something to sell, so that short programs say something.
        self.events = [event for symbol in range(SYMBOLS) for event in desk.route(1, 50, symbol=symbol)]
        self.events += desk.bar(25, *[(100.0, 101.0, 99.0, 100.0)] * SYMBOLS)

    def step(self, what: tuple[Any, ...]) -> list[Any]:
        """Do one step; return its events."""
        desk = self.desk
        kind, *rest = what
        if kind == "order":
            side, qty, order_type, px, symbol, reduce_only, tif = rest
            events = desk.route(side, qty, order_type, px, symbol=symbol, reduce_only=reduce_only, tif=tif)
        elif kind == "bars":
            rows, volume = rest
            hour = desk.clock.now() / HOUR + 1
            known = None if volume < 0 else [float(volume)] * sum(row is not None for row in rows)
            events = desk.bar(hour, *rows, volume=known) if any(rows) else []
        elif kind == "cancel":
            events = desk.cancel(f"c{rest[0]}")
        elif kind == "replace":
            client = f"c{rest[0]}"
            working = {o.order.client_order_id: o for o in desk.broker.working}.get(client)
            limit = rest[2] if working is None or working.limit_px is not None else None
            stop = rest[2] if working is not None and working.stop_px is not None else None
            events = desk.replace(client, rest[1], limit=limit, stop=stop)
        else:
            # Sessions of any length: what counts is their order.
            self.day = max(self.day, desk.clock.now() // DAY) + 1
            events = desk.close(self.day - 1) + desk.open(self.day)
        return events


class Book:
    """What the events alone say about every order and the account."""

    def __init__(self, cash: int) -> None:
        self.cash = cash
        self.positions: dict[int, int] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, str] = {}
        self.exec_ids: dict[str, None] = {}

    def fold(self, event: Any) -> None:
        """Check one event against what came before, and note it."""
        if isinstance(event, OrderAccepted):
            order = event.order
            self.orders[event.order_id] = {"qty": order.qty, "limit": order.limit_px, "cum": 0, "side": order.side}
            return
        order_id = getattr(event, "order_id", "")
        if not order_id or isinstance(event, OrderRejected):
            return
        assert order_id not in self.ended, f"{type(event).__name__} after {self.ended.get(order_id)}"
        order = self.orders[order_id]
        if isinstance(event, OrderReplaced):
            assert event.qty > order["cum"]
            order.update(qty=event.qty, limit=event.limit_px)
        elif isinstance(event, OrderCanceled | OrderExpired):
            assert event.cum_qty == order["cum"]
            self.ended[order_id] = type(event).__name__
        elif not isinstance(event, OrderTriggered):
            self._fill(event, order)

    def _fill(self, fill: Any, order: dict[str, Any]) -> None:
        assert fill.last_qty > 0
        assert fill.exec_id not in self.exec_ids
        self.exec_ids[fill.exec_id] = None
        order["cum"] += fill.last_qty
        assert fill.cum_qty == order["cum"]
        assert fill.leaves_qty == order["qty"] - order["cum"] >= 0
        if order["limit"] is not None:
            assert fill.side * (order["limit"] - fill.last_px) >= 0
        parts = fill.spread + fill.slippage + fill.impact
        assert parts == mul(fill.last_qty, fill.side * (fill.last_px - fill.ref_px))
        assert min(fill.spread, fill.slippage, fill.impact, fill.commission, fill.regulatory) >= 0
        if fill.liquidity == "maker":
            assert parts == 0
        self.cash -= fill.side * mul(fill.last_qty, fill.last_px) + fill.commission + fill.regulatory
        assert self.cash >= 0
        held = self.positions.get(fill.symbol, 0) + fill.side * fill.last_qty
        assert held >= 0
        self.positions[fill.symbol] = held
        if isinstance(fill, OrderFilled):
            assert fill.leaves_qty == 0
            self.ended[fill.order_id] = "OrderFilled"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles, programs)
def test_no_program_breaks_a_promise(params, program):
    """No promise of a fill is ever broken, whatever comes in which order.

    Never through the limit, never more than quantity or participation, cash never negative, no short, cost parts sum
    exactly, every exec id once, nothing after a terminal state, and the broker's account is the sum of its fills.
    """
    runner = Runner(params)
    book = Book(fx(CASH))
    for event in runner.events:
        book.fold(event)
    for what in program:
        taken: dict[int, int] = {}
        events = runner.step(what)
        for event in events:
            book.fold(event)
        for fill in fills(events):
            taken[fill.symbol] = taken.get(fill.symbol, 0) + fill.last_qty
        if what[0] == "bars" and what[2] >= 0 and params.participation:
            assert all(qty <= mul(what[2] * SCALE, params.participation) for qty in taken.values())
    account = runner.desk.broker.account("main")
    assert account.cash == book.cash
    assert account.positions == {symbol: qty for symbol, qty in book.positions.items() if qty}
    working = [o.order_id for o in runner.desk.broker.working]
    assert working == [order_id for order_id in book.orders if order_id not in book.ended]
    assert sum(amount for _, amount in account.unsettled) == account.unsettled_total


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles, programs, st.data())
def test_a_run_split_by_snapshot_and_restore_is_the_same_run(params, program, data):
    """Equal event digests and equal states, wherever it is split."""
    whole, parts = Runner(params), Runner(params)
    cut = data.draw(st.integers(0, len(program)))
    for i, what in enumerate(program):
        whole.step(what)
        if i >= cut:
            parts.desk.split()
        parts.step(what)
    assert parts.desk.sequencer.digest == whole.desk.sequencer.digest
    assert parts.desk.broker.snapshot() == whole.desk.broker.snapshot()


units = st.integers(1, 10**12)


@settings(max_examples=300, deadline=None)
@given(
    units,
    st.integers(1, 10**14),
    st.sampled_from([1, -1]),
    st.integers(0, 10**10),
    st.none() | units,
    st.integers(0, 10**16),
    st.sampled_from(["none", "linear", "sqrt"]),
)
def test_parts_of_any_price_sum_and_a_limit_holds(ref, qty, side, room, half, adv, impact):
    """Any reference, fractional quantity, quote and ADV: exact sum, limit kept, price positive, no gift."""
    limit = ref + side * room
    model = CostModel(with_params(PLAN, impact=impact, slippage_rate=fx(0.0123)))
    for bound in (limit, None):
        if bound is not None and bound < 1:
            continue
        got = model.take(ref, side, qty, bound, half, adv)
        assert got.spread + got.slippage + got.impact == mul(qty, side * (got.px - ref))
        assert got.px >= 1
        assert side * (got.px - ref) >= 0
        if bound is not None:
            assert side * (bound - got.px) >= 0


@settings(max_examples=300, deadline=None)
@given(units, units, st.integers(1, 10**16), st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**8))
@example(60_000, 1, 1, 15_000, 0, 0)  # half of the spread is 4.5 units: 4
@example(1_000, 1, 1, 0, 50_000, 0)  # the slippage is half a unit: 0
def test_each_part_of_a_price_is_its_fraction_of_the_reference_to_the_nearest_unit(ref, qty, adv, spread, slip, hit):
    """Half spread, slippage and both impacts against decimals of 120 digits; a part of rate 0 is 0."""
    with localcontext(Context(prec=120)):
        at, size, all_day = Decimal(ref), Decimal(qty), Decimal(adv)
        root = at * hit / SCALE * (size / all_day).sqrt()
        line = at * hit / SCALE * at * size / SCALE / SCALE / 100_000
        wanted = [at * spread / SCALE / 2, at * slip / SCALE, root, line]
    base = with_params(spread_rate=spread, slippage_rate=0, impact="none")
    models = [
        base,
        with_params(base, spread_rate=0, slippage_rate=slip),
        with_params(base, spread_rate=0, impact="sqrt", impact_sqrt_rate=hit, impact_linear_rate=10**8),
        with_params(base, spread_rate=0, impact="linear", impact_linear_rate=hit),
    ]
    for params, exact in zip(models, wanted, strict=True):
        got = CostModel(params).take(ref, 1, qty, None, None, adv).px - ref
        assert abs(got - exact) <= Decimal("0.5")
        if abs(got - exact) == Decimal("0.5") and exact is not root:
            assert got % 2 == 0


@settings(max_examples=300, deadline=None)
@given(bars(), st.sampled_from([1, -1]), price, st.booleans(), st.booleans())
def test_a_match_lies_inside_the_bar_and_on_the_right_side_of_the_level(row, side, level, on_touch, taking):
    """Limits get their price or better, stops theirs or worse, both within low and high."""
    bar = Bar(*(fx(value) for value in row))
    limit = match_limit(side, fx(level), bar, on_touch=on_touch, taking=taking)
    if limit is not None:
        assert bar.low <= limit.ref <= bar.high
        assert side * (fx(level) - limit.ref) >= 0
    stop = match_stop(side, fx(level), bar)
    if stop is not None:
        assert bar.low <= stop.ref <= bar.high
        assert side * (stop.ref - fx(level)) >= 0
    reached = bar.low <= fx(level) if side > 0 else bar.high >= fx(level)
    assert (limit is not None) <= reached


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["limit", "stop"]), st.sampled_from([1, -1]), price, st.integers(0, 2)),
        min_size=1,
        max_size=8,
    ),
    panels(bars()),
)
def test_the_vectorised_test_never_misses_an_order_that_a_bar_touches(orders, rows):
    """Whatever matches one by one is filled through the nearest-level arrays, too."""
    desk = Desk(with_params(allow_short=True), n=SYMBOLS, cash=10**8)
    wanted = []
    for number, (kind, side, px, symbol) in enumerate(orders, 1):
        desk.route(side, 1, kind, px, symbol=symbol)
        bar = Bar(*(fx(value) for value in rows[symbol]))
        met = (
            match_limit(side, fx(px), bar, on_touch=True, taking=True)
            if kind == "limit"
            else match_stop(side, fx(px), bar)
        )
        if met is not None:
            wanted.append((f"O-{number}", met.ref))
    found = fills(desk.bar(1, *rows))
    assert sorted((f.order_id, f.ref_px) for f in found) == sorted(wanted)
