"""The rule by which a close takes lots: the named one first, then the oldest."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values.lots import portions


class Piece(NamedTuple):
    """A lot of a test."""

    lot_id: str
    qty: int


def taken(lots: list[Piece], qty: int, named: str = "") -> list[tuple[str, int]]:
    """What a close takes, by id."""
    return [(lot.lot_id, part) for lot, part in portions(lots, qty, named)]


LONG = [Piece("a", 10), Piece("b", 20), Piece("c", 30)]


@pytest.mark.parametrize(
    ("qty", "named", "expected"),
    [
        (5, "", [("a", 5)]),
        (10, "", [("a", 10)]),
        (11, "", [("a", 10), ("b", 1)]),
        (60, "", [("a", 10), ("b", 20), ("c", 30)]),
        (20, "b", [("b", 20)]),
        (35, "b", [("b", 20), ("a", 10), ("c", 5)]),
        (60, "c", [("c", 30), ("a", 10), ("b", 20)]),
        (15, "a", [("a", 10), ("b", 5)]),
        (15, "z", [("a", 10), ("b", 5)]),
    ],
)
def test_the_named_lot_goes_first_then_the_oldest(qty: int, named: str, expected: list[tuple[str, int]]) -> None:
    """Longs and shorts alike; a name that is not there changes nothing."""
    assert taken(LONG, qty, named) == expected
    assert taken([Piece(lot.lot_id, -lot.qty) for lot in LONG], qty, named) == expected


@pytest.mark.parametrize("named", ["", "b"])
def test_more_than_there_is_is_refused(named: str) -> None:
    """The lots of a position always sum to it, so a shortage is a fault of ours."""
    with pytest.raises(ValueError, match="the lots are 1 short"):
        taken(LONG, 61, named)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=8), st.integers(0, 9), st.data())
def test_parts_sum_to_the_close_and_fit_their_lots(sizes: list[int], named: int, data: st.DataObject) -> None:
    """No lot twice, none beyond its size, and only the last taken may keep something."""
    lots = [Piece(str(n), size) for n, size in enumerate(sizes)]
    qty = data.draw(st.integers(1, sum(sizes)))
    found = portions(lots, qty, str(named))
    assert sum(part for _, part in found) == qty
    assert len({lot.lot_id for lot, _ in found}) == len(found)
    assert all(part == lot.qty for lot, part in found[:-1])
    assert 0 < found[-1][1] <= found[-1][0].qty
