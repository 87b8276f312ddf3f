"""What ticks say about last prices: prints before quotes, quotes that can be believed only, one or many at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values.fixed import SCALE
from actors.values.tick_prices import TickPrices

NAN = float("nan")


@pytest.mark.parametrize(
    ("bid", "ask", "wanted"),
    [
        (50.0, 50.02, 50.01),
        (50.02, 50.02, 50.02),
        (50.03, 50.02, 0),  # crossed
        (NAN, 50.02, 0),
        (50.0, NAN, 0),
        (0.0, 50.02, 0),
        # 0.00000001 and 0.00000002: the middle is cut to a whole unit.
        (0.00000001, 0.00000002, 0.00000001),
    ],
)
def test_a_quote_gives_its_middle(bid, ask, wanted):
    """Unless it is crossed or lacks a side."""
    assert TickPrices(1).quoted(0, bid, ask) == round(wanted * SCALE)


def test_prints_go_before_quotes_until_the_session_ends():
    """A print of 49 stands against the quotes behind it; the next session begins with quotes again."""
    prices = TickPrices(2)
    assert prices.printed(0, 49.0) == 49 * SCALE
    assert prices.quoted(0, 50.0, 50.02) == 0
    assert prices.quoted(1, 50.0, 50.02) == 5_001_000_000
    prices.begin()
    assert prices.quoted(0, 50.0, 50.02) == 5_001_000_000


def test_what_printed_in_the_session_before_stands_against_no_quote_of_this_one():
    """Neither alone nor among many, and not because something else prints."""
    prices, both = TickPrices(2), np.array([0, 1], dtype=np.int32)
    prices.many_printed(both, np.array([49.0, 20.0]))
    assert prices.quoted(0, 50.0, 50.02) == 0
    prices.begin()
    prices.printed(1, 21.0)
    assert prices.quoted(0, 50.0, 50.02) == 5_001_000_000
    ids, px = prices.many_quoted(both, np.array([50.0, 20.0]), np.array([50.02, 20.02]))
    assert (ids.tolist(), px.tolist()) == ([0], [5_001_000_000])


SIDES = st.sampled_from([NAN, 0.0, 49.5, 50.0, 50.01])


@given(st.lists(st.tuples(SIDES, SIDES), min_size=2, max_size=6), st.lists(st.integers(0, 5), max_size=4))
def test_many_at_once_say_what_each_says(quotes, printed):
    """The vectorised form against the single one, with some symbols printed before."""
    n = len(quotes)
    one, many = TickPrices(n), TickPrices(n)
    for symbol in printed:
        if symbol < n:
            one.printed(symbol, 10.0)
            many.printed(symbol, 10.0)
    wanted = {symbol: px for symbol, sides in enumerate(quotes) if (px := one.quoted(symbol, *sides))}
    bid, ask = (np.array(column) for column in zip(*quotes, strict=True))
    ids, px = many.many_quoted(np.arange(n, dtype=np.int32), bid, ask)
    assert dict(zip(ids.tolist(), px.tolist(), strict=True)) == wanted


def test_it_survives_a_snapshot():
    """Which symbols printed is all there is."""
    prices, other = TickPrices(3), TickPrices(3)
    assert prices.many_printed(np.array([2, 0], dtype=np.int32), np.array([5.0, 7.0])).tolist() == [
        5 * SCALE,
        7 * SCALE,
    ]
    other.restore(prices.snapshot())
    assert [other.quoted(symbol, 1.0, 1.0) for symbol in range(3)] == [0, SCALE, 0]


def test_a_state_of_an_older_version_has_seen_no_print():
    """It kept nothing: quotes count until something prints."""
    prices = TickPrices(1)
    prices.restore(b"")
    assert prices.quoted(0, 50.0, 50.02) == 5_001_000_000
