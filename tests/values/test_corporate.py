"""What a split does to lots and prices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values.corporate import dividend_px, split_lots, split_px
from actors.values.fixed import SCALE, div_round

RATIOS = st.tuples(st.integers(1, 50), st.integers(1, 50))
SIZES = st.lists(st.integers(1, 10**13), min_size=1, max_size=6)
LOT_SIZES = st.sampled_from([SCALE, SCALE // 10**6, 100 * SCALE])


@given(SIZES, RATIOS, LOT_SIZES, st.sampled_from([1, -1]))
def test_lots_sum_to_the_scaled_position_and_whole_lot_sizes_are_kept(
    sizes: list[int], ratio: tuple[int, int], lot_size: int, sign: int
) -> None:
    """Rounded once for the whole; what is paid in cash is less than a lot size; every lot is somewhere."""
    lots = [(f"L{i}", sign * size) for i, size in enumerate(sizes)]
    found = split_lots(lots, *ratio, lot_size)
    total = div_round(sum(sizes) * ratio[0], ratio[1])
    assert sum(qty for _, qty in found.scaled) == sign * total
    assert found.qty == sign * (total - total % lot_size)
    assert sum(qty for _, qty in found.cut) == total % lot_size
    assert all(sign * qty > 0 for _, qty in found.kept)
    assert {name for name, _ in (*found.cut, *found.kept)} == {name for name, _ in lots}
    assert [name for name, _ in found.kept] == [name for name, _ in lots if name in dict(found.kept)]


def test_the_fraction_comes_out_of_the_oldest_lots() -> None:
    """3, 3 and 5 at 1:10 are 0.3, 0.3 and 0.5: 1.1, of which 0.1 is paid from the first."""
    found = split_lots([("a", 3 * SCALE), ("b", 3 * SCALE), ("c", 5 * SCALE)], 1, 10, SCALE)
    assert found.scaled == (("a", 30_000_000), ("b", 30_000_000), ("c", 50_000_000))
    assert found.cut == (("a", 10_000_000),)
    assert found.kept == (("a", 20_000_000), ("b", 30_000_000), ("c", 50_000_000))


def test_a_third_of_three_lots_of_one_share_is_one_share() -> None:
    """Each third rounds to 0.33333333; together they are 1, for the running total is what is rounded."""
    found = split_lots([(name, SCALE) for name in "abc"], 1, 3, SCALE)
    assert (found.qty, found.cut) == (SCALE, ())
    assert [qty for _, qty in found.kept] == [33_333_333, 33_333_334, 33_333_333]


@pytest.mark.parametrize(
    ("px", "ratio", "expected"),
    [(49_923_000_000, (4, 1), 12_480_750_000), (100, (1, 10), 1_000), (1, (4, 1), 1), (0, (4, 1), 0), (10, (3, 1), 3)],
)
def test_prices_are_divided_by_the_ratio_and_stay_above_zero(px: int, ratio: tuple[int, int], expected: int) -> None:
    """Half to even at 1e-8; 0 is no price and stays none."""
    assert split_px(px, *ratio) == expected


def test_a_price_that_is_no_more_than_a_dividend_stays() -> None:
    """It would be none."""
    assert dividend_px(100, 30) == 70
    assert dividend_px(30, 30) == 30
    assert dividend_px(0, 30) == 0
