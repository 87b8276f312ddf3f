"""Quantities: whole lots, within the cash the gate lets an order reserve."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.portfolio.sizing import Want, affordable, bound_entries, fees, need, proceeds, target_qty, tied_up
from actors.values.fixed import SCALE
from tests.actors.portfolio.harness import fx, spec_of

prices = st.integers(10**4, 5_000 * SCALE)
quantities = st.integers(1, 10_000).map(lambda n: n * SCALE)
specs = st.builds(
    lambda reserve, rate, share, least: spec_of(
        cash_reserve=reserve, cost_rate=rate, cost_per_share=share, cost_min=least
    ),
    st.sampled_from([SCALE, 102_000_000]),
    st.sampled_from([0, 100_000]),
    st.sampled_from([0, 500_000]),
    st.sampled_from([0, SCALE]),
)


@given(st.integers(1, 10**6).map(lambda d: d * SCALE), prices)
def test_one_name_frictionless_buys_cash_over_the_last_close_in_whole_shares(cash, px):
    """Weight 1, no buffer, no reserve: floor(cash / close), and the gate's reservation holds."""
    shares = target_qty(1.0, cash, 0.0, px, SCALE)
    assert shares == cash // px * SCALE
    if shares:
        assert bound_entries(spec_of(), [Want(px, shares)], cash) == [shares]


def test_target_quantity_takes_the_buffer_off_and_rounds_towards_zero():
    """20 % of 100,000 less 5 % at 33: 575 shares long or short, 575.757575 in millionths."""
    assert target_qty(0.2, fx(100_000), 0.05, fx(33), SCALE) == fx(575)
    assert target_qty(-0.2, fx(100_000), 0.05, fx(33), SCALE) == fx(-575)
    assert target_qty(0.2, fx(100_000), 0.05, fx(33), 100) == fx(575.757575)
    assert target_qty(0.2, fx(-1), 0.0, fx(33), SCALE) == 0
    assert target_qty(0.2, fx(100), 0.0, 0, SCALE) == 0


def test_need_and_proceeds_are_the_gates():
    """10 at 100 under plan: 1,020 and 1 of fees; selling counts 980 less 1; a short wants half and fees."""
    spec = spec_of(cash_reserve=102_000_000, cost_rate=100_000)
    assert need(spec, fx(100), fx(10)) == fx(1_021)
    assert need(spec, fx(100), fx(10), short=True) == fx(511)
    assert proceeds(spec, fx(100), fx(10)) == fx(979)
    assert tied_up(fx(100)) == fx(150)
    assert fees(spec_of(cost_per_share=fx(0.005), cost_min=fx(1)), fx(1_000), fx(10)) == fx(1)


def test_short_cash_shrinks_all_entries_alike():
    """1,000 for two names that want 1,000 each: half of both, not all of the first."""
    wants = [Want(fx(10), fx(100)), Want(fx(20), fx(50))]
    assert bound_entries(spec_of(), wants, fx(1_000)) == [fx(50), fx(25)]
    assert bound_entries(spec_of(), wants, fx(2_000)) == [fx(100), fx(50)]
    assert bound_entries(spec_of(), wants, fx(-5)) == [0, 0]


@settings(max_examples=300, deadline=None)
@given(specs, st.lists(st.tuples(prices, quantities, st.booleans()), max_size=6), st.integers(-SCALE, 10**6 * SCALE))
def test_entries_never_need_more_than_the_budget(spec, rows, budget):
    """However the cash is spread, what the gate reserves for all of it is there; quantities only shrink."""
    wants = [Want(px, qty, short) for px, qty, short in rows]
    cut = bound_entries(spec, wants, budget)
    assert all(0 <= part <= w.qty and part % SCALE == 0 for part, w in zip(cut, wants, strict=True))
    used = sum(need(spec, w.px, part, short=w.short) for part, w in zip(cut, wants, strict=True) if part)
    assert used <= max(budget, 0)


@settings(max_examples=300, deadline=None)
@given(specs, prices, quantities, st.integers(0, 10**6 * SCALE))
def test_the_affordable_quantity_is_the_largest_one(spec, px, qty, budget):
    """One lot more would not be paid for."""
    want = Want(px, qty)
    part = affordable(spec, want, qty, budget)
    if part:
        assert need(spec, px, part) <= budget
    if part < qty:
        assert need(spec, px, part + SCALE) > budget
