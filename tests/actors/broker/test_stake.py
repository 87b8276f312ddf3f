"""What the fills of an instant do to the lots that orders name, before any of them is booked."""

from __future__ import annotations

import pytest

from actors.broker.lots import OpenLot, Stake
from actors.messages.orders import BUY, SELL


def stake(*lots: tuple[str, int]) -> Stake:
    """A position of these lots."""
    return Stake(sum(qty for _, qty in lots), {name: OpenLot(name, qty) for name, qty in lots})


def test_a_fill_opens_a_lot_of_its_own_that_can_be_closed_in_the_same_instant() -> None:
    """100 bought as n: an order that names n closes 100 of it, one of the same side nothing."""
    found = stake(("a", 50))
    found.trade("n", 100, "")
    assert found.left("n", SELL) == 100
    assert found.left("n", BUY) == 0
    assert found.left("a", SELL) == 50
    assert found.held == 150


@pytest.mark.parametrize(
    ("sold", "left"), [(120, {"a": 0, "n": 30}), (40, {"a": 10, "n": 100}), (150, {"a": 0, "n": 0})]
)
def test_what_was_opened_in_the_instant_is_closed_behind_what_was_there(sold: int, left: dict[str, int]) -> None:
    """50 of a, then 100 of n: the oldest goes first."""
    found = stake(("a", 50))
    found.trade("n", 100, "")
    found.trade("s", -sold, "")
    assert {name: found.left(name, SELL) for name in left} == left


def test_a_named_lot_of_the_instant_goes_before_older_ones() -> None:
    """30 sold of n by name, then 60 of whatever is oldest: a is gone, 60 of n are left."""
    found = stake(("a", 50))
    found.trade("n", 100, "")
    found.trade("x", -30, "n")
    found.trade("y", -60, "")
    assert (found.left("a", SELL), found.left("n", SELL)) == (0, 60)


def test_what_a_flip_leaves_over_is_a_lot_on_the_other_side() -> None:
    """80 sold of 50: 30 short as s, of which 20 are bought back, and 10 are left to buy."""
    found = stake(("a", 50))
    found.trade("s", -80, "")
    assert (found.left("a", SELL), found.left("s", BUY), found.left("s", SELL)) == (0, 30, 0)
    found.trade("b", 20, "")
    assert (found.left("s", BUY), found.left("b", SELL)) == (10, 0)
    found.trade("c", 15, "")
    assert (found.left("s", BUY), found.left("c", SELL), found.held) == (0, 5, 5)


def test_an_exit_named_before_the_fills_counts_those_that_come_later() -> None:
    """Asked once, then 25 more are sold by name: the copy goes on counting."""
    found = stake(("a", 50), ("b", 50))
    assert found.left("b", SELL) == 50
    found.trade("x", -25, "b")
    assert (found.left("a", SELL), found.left("b", SELL)) == (50, 25)
    found.trade("n", 10, "")
    assert found.left("n", SELL) == 10
