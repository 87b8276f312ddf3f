"""Double entry: any sequence of fills leaves books that an outsider can recompute, and no change goes unnoticed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import OrderFilled
from actors.messages.portfolio import CashFlowed, DepositCash, EquityMarked, PositionChanged, TradeClosed
from actors.portfolio.ledger import (
    CAPITAL,
    CASH,
    CHART,
    REALIZED,
    SECURITIES,
    cash_identity,
    fill_postings,
    flow_postings,
    replay_books,
    trial_balance,
)
from actors.values.fixed import SCALE, mul
from tests.actors.portfolio.harness import Desk, Inject, fx, make_fill, spec_of

whole = st.integers(1, 400).map(lambda n: n * SCALE)
fractional = st.integers(1, 400 * SCALE)
prices = st.integers(1, 500 * SCALE)
money = st.integers(0, 20 * SCALE)
steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([1, -1]),
        st.one_of(whole, fractional),
        prices,
        money,
        money,
        st.integers(-SCALE, SCALE),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=14,
)


def fills_of(program: list[Any]) -> list[Any]:
    """Turn a random program into fills; some name a lot, which may be open, closed or never have been."""
    fills = []
    for n, (symbol, side, qty, px, commission, regulatory, spread, lot) in enumerate(program):
        fills.append(
            make_fill(
                f"f{n}",
                1,
                symbol=symbol,
                side=side,
                qty=qty,
                px=px,
                commission=commission,
                regulatory=regulatory,
                spread=spread,
                slippage=spread // 2,
                lot_id=f"f{lot}-1" if lot < 6 else "",
            )
        )
    return fills


def booked(fills: list[Any], *, per_frame: int = 1) -> Desk:
    """Book fills on a desk, so many per frame."""
    desk = Desk(spec_of(strategies=()), n=2)
    for start in range(0, len(fills), per_frame):
        desk.seq.process(Inject(tuple(fills[start : start + per_frame])), "test")
    return desk


def test_postings_of_a_fill_and_of_a_flow_sum_to_zero_and_skip_zero_amounts():
    """A sale at a profit: cash, inventory at cost, profit, fees, and the cost that is already in the price."""
    postings = fill_postings(
        cash=1_090, securities=-1_000, realized=100, commission=7, regulatory=3, spread=5, slippage=0, impact=2
    )
    assert sum(amount for _, amount in postings) == 0
    assert postings == (
        ("cash", 1_090),
        ("securities", -1_000),
        ("realized", -100),
        ("commission", 7),
        ("regulatory", 3),
        ("spread", 5),
        ("impact", 2),
        ("execution_contra", -7),
    )
    assert flow_postings(-5) == (("cash", -5), ("capital", 5))


def test_trial_balance_folds_batches_and_carries_on():
    """Balances by account; a second fold goes on from the first."""
    balances = trial_balance([flow_postings(100), flow_postings(-30)])
    assert balances == {CASH: 70, CAPITAL: -70}
    assert trial_balance([flow_postings(5)], balances) == {CASH: 75, CAPITAL: -75}
    assert cash_identity(balances) == 0
    assert cash_identity({CASH: 1}) == 1


@settings(max_examples=120, deadline=None)
@given(steps)
def test_books_of_any_fills_are_sound_to_an_outsider(program):
    """Zero-sum postings, cash, positions, average cost, lots and fee allocation hold for any fills, flips included."""
    desk = booked(fills_of(program))
    books = replay_books(desk.sink.events())
    assert books.ok, [check for check in books.checks if not check.ok]
    main = books.portfolios["main"]
    balances = main.balances
    assert set(balances) <= set(CHART)
    assert balances[CASH] == desk.pf.cash == main.cash
    cost = sum(h.cost for h in main.holdings.values())
    assert balances[CASH] + cost == fx(100_000) + sum(h.realized for h in main.holdings.values()) - main.fees


@settings(max_examples=80, deadline=None)
@given(steps, st.integers(1, 500 * SCALE))
def test_fifo_and_average_cost_agree_on_realised_plus_unrealised_and_on_realised_when_flat(program, px):
    """At any price the two methods see the same total; flat, there is nothing left to disagree about."""
    desk = booked(fills_of(program))
    for symbol in range(2):
        position = desk.pf.position(symbol)
        value = mul(px, position.qty)
        by_average = position.realized + value - position.cost
        by_lots = position.realized_fifo + value - sum(lot.cost for lot in position.lots.values())
        assert by_average == by_lots
        assert position.qty == sum(lot.qty for lot in position.lots.values())
        if position.qty == 0:
            assert position.cost == 0
            assert position.realized == position.realized_fifo


@settings(max_examples=80, deadline=None)
@given(steps)
def test_two_fills_of_one_frame_book_as_if_they_came_alone(program):
    """The second booking of a frame starts from what the first left."""
    fills = fills_of(program)
    alone = booked(fills)
    together = booked(fills, per_frame=3)
    assert together.sink.events(PositionChanged) == alone.sink.events(PositionChanged)
    assert together.sink.events(TradeClosed) == alone.sink.events(TradeClosed)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_fees_of_both_sides_are_allocated_exactly(program):
    """What trades say they paid plus what open lots still carry is what was paid."""
    desk = booked(fills_of(program))
    paid = sum(f.commission + f.regulatory for f in desk.sink.events(OrderFilled))
    allocated = sum(t.fees for t in desk.sink.events(TradeClosed))
    carried = sum(lot.fees for s in range(2) for lot in desk.pf.lots(s))
    assert allocated + carried == paid


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 90_000)), min_size=1, max_size=8))
def test_average_price_is_what_fills_averaged_without_fees(buys):
    """positions.csv shows cost / quantity: the exact mean of fill prices weighted by whole shares."""
    fills = [
        make_fill(f"f{n}", 1, qty=shares * SCALE, px=cents * 10**6, commission=fx(3), spread=fx(1))
        for n, (shares, cents) in enumerate(buys)
    ]
    position = booked(fills).pf.position(0)
    exact = Fraction(sum(shares * cents * 10**6 for shares, cents in buys), sum(shares for shares, _ in buys))
    assert Fraction(position.cost * SCALE, position.qty) == exact


def test_a_reduction_takes_average_cost_out_and_leaves_the_remainder():
    """Three shares for 1.00000001 in all: selling one takes a third rounded half even, the rest stays to the unit."""
    desk = booked([make_fill("a", 1, qty=fx(1), px=33_333_333), make_fill("b", 1, qty=fx(2), px=33_333_334)])
    position = desk.pf.position(0)
    assert position.cost == 100_000_001
    desk.seq.process(Inject((make_fill("c", 1, side=-1, qty=fx(1), px=fx(1)),)), "test")
    assert position.cost == 100_000_001 - 33_333_334
    assert desk.sink.events(PositionChanged)[-1].realized == SCALE - 33_333_334
    desk.seq.process(Inject((make_fill("d", 1, side=-1, qty=fx(2), px=fx(1)),)), "test")
    assert (position.qty, position.cost, position.lots) == (0, 0, {})


def test_a_flip_in_one_fill_closes_first_and_opens_with_the_rest():
    """Sell 15 with 10 held: a round trip of 10 and a short lot of 5 whose cost is the rest of the fill's value."""
    desk = booked(
        [
            make_fill("a", 1, qty=fx(10), px=fx(20), commission=fx(1)),
            make_fill("b", 1, side=-1, qty=fx(15), px=fx(22), commission=fx(3)),
        ]
    )
    position = desk.pf.position(0)
    assert (position.qty, position.cost) == (fx(-5), fx(-110))
    (lot,) = position.lots.values()
    assert (lot.lot_id, lot.qty, lot.cost, lot.fees) == ("b-1", fx(-5), fx(-110), fx(1))
    (trade,) = desk.sink.events(TradeClosed)
    assert (trade.side, trade.qty, trade.fees, trade.pnl) == (1, fx(10), fx(3), fx(17))
    assert trade.ret == round(17 / 200, 9)


def test_an_exit_that_names_its_lot_closes_that_lot_and_fifo_closes_the_oldest():
    """Lots a, b, c: the exit of b leaves a and c; the next sale takes a and part of c."""
    opening = [make_fill(name, 1, qty=fx(10), px=fx(px)) for name, px in (("a", 10), ("b", 11), ("c", 12))]
    desk = booked([*opening, make_fill("x", 1, side=-1, qty=fx(10), px=fx(13), lot_id="b-1")])
    assert [lot.lot_id for lot in desk.pf.lots(0)] == ["a-1", "c-1"]
    desk.seq.process(Inject((make_fill("y", 1, side=-1, qty=fx(14), px=fx(13)),)), "test")
    assert desk.sink.events(PositionChanged)[-1].closed == (("a-1", fx(10)), ("c-1", fx(4)))
    assert [(lot.lot_id, lot.qty) for lot in desk.pf.lots(0)] == [("c-1", fx(6))]


def test_a_named_lot_that_is_too_small_is_closed_and_fifo_gives_the_rest():
    """An exit for more than its lot has left never loses shares."""
    opening = [make_fill(name, 1, qty=fx(10), px=fx(10)) for name in ("a", "b")]
    desk = booked([*opening, make_fill("x", 1, side=-1, qty=fx(15), px=fx(13), lot_id="b-1")])
    assert desk.sink.events(PositionChanged)[-1].closed == (("b-1", fx(10)), ("a-1", fx(5)))


def sound_run() -> list[Any]:
    """A small run with flows, marks, partial fills, a flip and fees; all its events."""
    desk = Desk(spec_of(strategies=()), n=2)
    desk.bar([10, 20])
    desk.seq.process(
        Inject(
            (
                make_fill("a", 1, qty=fx(10), px=fx(10), commission=fx(1), spread=fx(0.5), leaves=fx(5)),
                make_fill("a", 2, qty=fx(5), px=fx(10.1), commission=fx(1)),
                make_fill("b", 1, side=-1, qty=fx(20), px=fx(11), commission=fx(2), regulatory=fx(0.1)),
            )
        ),
        "test",
    )
    desk.bar([11, 19])
    desk.close()
    desk.seq.process(DepositCash("main", fx(-50), "rent"), "control")
    return desk.sink.events()


def test_sound_books_pass_every_check_and_say_how_much_was_compared():
    """The outsider's checks are listed as (name, ok, detail)."""
    books = replay_books(sound_run())
    assert books.ok
    assert [check.name for check in books.checks][:3] == [
        "postings_sum_to_zero",
        "accounts_in_chart",
        "fills_booked_once",
    ]
    assert all(check.detail.endswith("compared") for check in books.checks)
    assert books.portfolios["main"].balances[SECURITIES] == fx(-55)
    assert books.portfolios["main"].balances[REALIZED] == -(fx(165) - fx(150.5))


def change(events: list[Any], kind: type, nth: int, **fields: Any) -> list[Any]:
    """Return the events with some fields of the nth of a kind changed."""
    where = [i for i, event in enumerate(events) if isinstance(event, kind)][nth]
    return [*events[:where], msgspec.structs.replace(events[where], **fields), *events[where + 1 :]]


@pytest.mark.parametrize(
    ("kind", "nth", "fields", "check"),
    [
        (PositionChanged, 0, {"postings": (("cash", -1), ("securities", 2))}, "postings_sum_to_zero"),
        (PositionChanged, 0, {"postings": (("cash", -1), ("petty", 1))}, "accounts_in_chart"),
        (PositionChanged, 0, {"exec_id": "z-1"}, "fills_booked_once"),
        (PositionChanged, 0, {"symbol": 1}, "fills_booked_once"),
        (PositionChanged, 1, {"qty": 1}, "positions_are_sums_of_fills"),
        (PositionChanged, 1, {"cost": 1}, "average_cost"),
        (PositionChanged, 2, {"realized": 1}, "average_cost"),
        (PositionChanged, 2, {"realized_fifo": 1}, "fifo_lots"),
        (PositionChanged, 2, {"closed": (("a-2", fx(15)),)}, "fifo_lots"),
        (PositionChanged, 2, {"opened": None}, "fifo_lots"),
        (PositionChanged, 1, {"cash": 1}, "cash"),
        (CashFlowed, 1, {"cash": 1}, "cash"),
        (OrderFilled, 0, {"commission": 5}, "fees_and_costs"),
        (OrderFilled, 0, {"impact": 5}, "fees_and_costs"),
        (OrderFilled, 0, {"last_qty": fx(6)}, "positions_are_sums_of_fills"),
        (OrderFilled, 0, {"exec_id": "a-1"}, "fills_booked_once"),
        (TradeClosed, 0, {"fees": 1}, "trades_allocate_fees"),
        (TradeClosed, 0, {"pnl": 1}, "trades_allocate_fees"),
        (EquityMarked, 0, {"equity": 1}, "marks"),
        (EquityMarked, 1, {"gross": 0}, "marks"),
    ],
)
def test_one_changed_number_fails_the_check_that_is_named(kind, nth, fields, check):
    """Whatever is tampered with, the check it breaks says so."""
    books = replay_books(change(sound_run(), kind, nth, **fields))
    failed = {c.name: c.detail for c in books.checks if not c.ok}
    assert check in failed
    assert failed[check]


def test_a_fill_that_was_never_booked_and_a_booking_without_a_fill_are_found():
    """Dropping either half of a pair is named."""
    events = sound_run()
    without_booking = [e for e in events if not (isinstance(e, PositionChanged) and e.exec_id == "b-1")]
    details = {c.name: c.detail for c in replay_books(without_booking).checks if not c.ok}
    assert "b-1 was filled and never booked" in details["fills_booked_once"]
    without_fill = [e for e in events if not (isinstance(e, OrderFilled) and e.exec_id == "b-1")]
    details = {c.name: c.detail for c in replay_books(without_fill).checks if not c.ok}
    assert "b-1 was booked without a fill" in details["fills_booked_once"]


def test_many_problems_are_counted_not_all_told():
    """A broken ledger does not flood the reader."""
    events = [
        msgspec.structs.replace(e, cash=e.cash + 1) if isinstance(e, EquityMarked | PositionChanged | CashFlowed) else e
        for e in sound_run()
    ]
    details = {c.name: c.detail for c in replay_books(events).checks if not c.ok}
    assert details["cash"].endswith("and 2 more")


def test_a_lot_that_is_opened_twice_is_named():
    """Two openings under one name would let one of them vanish."""
    books = replay_books(change(sound_run(), PositionChanged, 1, opened=("a-1", fx(5))))
    details = {c.name: c.detail for c in books.checks if not c.ok}
    assert "lot a-1 was opened twice" in details["fifo_lots"]
