"""Requirements of Regulation T and FINRA Rule 4210, on paper, and what follows from them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values.fixed import SCALE, mul, to_fixed
from actors.values.margin import (
    Cut,
    buying_power,
    excess,
    initial,
    maintenance,
    maintenance_bound,
    margin_of,
    reduction,
)


def fx(value: float) -> int:
    """Units of 1e-8."""
    return to_fixed(value)


@pytest.mark.parametrize(
    ("qty", "px", "opened", "kept"),
    [
        (100, 50, 2500, 1250),  # 5,000 long: a half, a quarter
        (100, 2, 100, 50),  # a cheap share held long is like any other
        (-100, 50, 2500, 1500),  # 30 % of 5,000 is more than 100 x $5
        (-100, 17, 850, 510),  # 30 % of 1,700, which is just more than 500
        (-100, 16, 800, 500),  # 30 % of 1,600 is 480: $5 a share
        (-100, 6, 500, 500),  # half would be 300, and nothing is opened that could not be kept
        (-100, 5, 500, 500),  # at $5 the rule of $5 a share still holds: all of its price
        (-100, 4.99, 499, 499),  # below it: the whole price
        (-100, 2, 250, 250),  # or $2.50 a share, which is more
        (-0.5, 2, 1.25, 1.25),
        (0, 50, 0, 0),
    ],
)
def test_requirements_on_paper(qty: float, px: float, opened: float, kept: float) -> None:
    """Half to open; a quarter, 30 % or the minimum a share to keep."""
    assert (initial(fx(qty), fx(px)), maintenance(fx(qty), fx(px))) == (fx(opened), fx(kept))


def test_a_requirement_is_rounded_up() -> None:
    """One unit of 1e-8 shares at $3 is worth 3 units: half of it is 1.5, a quarter 0.75."""
    assert (initial(1, fx(3)), maintenance(1, fx(3))) == (2, 1)


def test_an_account_on_paper() -> None:
    """Equity 10,000 holding 100 at 80 long and 50 at 40 short.

    Long 8,000, short 2,000: initial 4,000 + 1,000, maintenance 2,000 + 600; 5,000 are left, which open 10,000.
    """
    held = margin_of([(fx(100), fx(80)), (fx(-50), fx(40))])
    assert (held.net, held.initial, held.maintenance) == (fx(6000), fx(5000), fx(2600))
    assert excess(fx(10_000), held.initial) == fx(5000)
    assert buying_power(fx(10_000), held.initial) == fx(10_000)
    assert buying_power(fx(4_000), held.initial) == 0


QTY = st.integers(-(10**6), 10**6).map(lambda cents: cents * SCALE // 100)
PX = st.integers(1, 10**7).map(lambda cents: cents * SCALE // 100)
POSITIONS = st.lists(st.tuples(QTY, PX), min_size=1, max_size=8)


@given(POSITIONS)
def test_the_bound_is_never_below_the_requirement(positions: list[tuple[int, int]]) -> None:
    """Whatever mixture of long, short, dear and cheap."""
    values = [mul(qty, px) for qty, px in positions]
    short = -sum(min(qty, 0) for qty, _ in positions)
    bound = maintenance_bound(sum(map(abs, values)), sum(values), short, len(positions))
    assert bound >= margin_of(positions).maintenance


@given(QTY, PX)
def test_what_opens_is_enough_to_keep(qty: int, px: int) -> None:
    """FINRA Rule 4210(b); and the exact fraction, rounded up."""
    value = abs(Fraction(qty) * px) / SCALE
    assert initial(qty, px) >= maintenance(qty, px)
    if qty > 0:
        assert 0 <= maintenance(qty, px) - value / 4 < 2
        assert 0 <= initial(qty, px) - value / 2 < 2


def test_a_reduction_on_paper() -> None:
    """Lacking 100 with 100 at 50 (needs 1,250) and 10 short at 20 (needs 60).

    The larger goes first: each share of it releases 12.50, so eight do.
    """
    positions = {0: (fx(-10), fx(20)), 1: (fx(100), fx(50))}
    assert reduction(positions, fx(100), fx(1)) == [Cut(1, fx(8), fx(100))]
    assert reduction(positions, fx(100.01), fx(1)) == [Cut(1, fx(9), fx(112.5))]
    assert reduction(positions, fx(100.01), fx(0.5)) == [Cut(1, fx(8.5), fx(106.25))]


def test_a_reduction_goes_on_with_the_next_and_ends_with_all() -> None:
    """1,250 of the first are not enough for 1,280: short shares release $6 each, so five more; 2,000 is too much."""
    positions = {0: (fx(-10), fx(20)), 1: (fx(100), fx(50)), 2: (fx(7), 0)}
    assert reduction(positions, fx(1280), fx(1)) == [Cut(1, fx(100), fx(1250)), Cut(0, fx(5), fx(30))]
    assert reduction(positions, fx(2000), fx(1)) == [Cut(1, fx(100), fx(1250)), Cut(0, fx(10), fx(60))]


def test_of_equals_the_lower_symbol_is_reduced() -> None:
    """So that the order does not depend on who came first."""
    assert [cut.symbol for cut in reduction({5: (fx(1), fx(8)), 3: (fx(1), fx(8))}, fx(3), fx(1))] == [3, 5]


def test_an_odd_rest_of_a_lot_can_be_closed() -> None:
    """10.5 shares in lots of one: all of it, where ten are not enough."""
    assert reduction({0: (fx(10.5), fx(40))}, fx(101), fx(1)) == [Cut(0, fx(10.5), fx(105))]


@given(st.lists(st.tuples(QTY, PX), min_size=1, max_size=6), st.integers(1, 10**15))
def test_a_reduction_restores_with_no_lot_too_many(positions: list[tuple[int, int]], lacking: int) -> None:
    """Either everything is closed, or the requirement fell enough and the last lot was needed."""
    held = {symbol: position for symbol, position in enumerate(positions) if position[0]}
    cuts = reduction(held, lacking, SCALE)
    released = sum(cut.released for cut in cuts)
    closed = {cut.symbol for cut in cuts if cut.qty == abs(held[cut.symbol][0])}
    assert all(0 < cut.qty <= abs(held[cut.symbol][0]) for cut in cuts)
    if released < lacking:
        assert closed == set(held)
        return
    last = cuts[-1]
    qty, px = held[last.symbol]
    side = 1 if qty > 0 else -1
    before = qty - side * max(0, last.qty - (last.qty % SCALE or SCALE))
    assert released - last.released + maintenance(qty, px) - maintenance(before, px) < lacking
