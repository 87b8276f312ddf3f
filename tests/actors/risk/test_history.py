"""Session closes and their returns, as rooms remember them."""

from __future__ import annotations

import numpy as np

from actors.values.fixed import SCALE
from actors.values.history import SessionHistory


def closes(*prices: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return prices as the gate keeps them."""
    return np.array([round(p * SCALE) for p in prices], dtype=np.int64)


def test_returns_are_of_sessions_and_a_hole_has_none_on_either_side() -> None:
    """100 -> 110 is 10 %; the second symbol has no close in the second session, so neither return is known."""
    history = SessionHistory(2, 5)
    history.fold_close(closes(100, 50))
    history.fold_close(closes(110, 0))
    history.fold_close(closes(99, 55))
    assert np.allclose(history.returns()[:, 0], [0.1, -0.1])
    assert np.isnan(history.returns()[:, 1]).all()


def test_a_price_that_is_not_of_the_session_is_no_close_of_it() -> None:
    """Carried forward it would look like a market that stands still."""
    history = SessionHistory(1, 5)
    history.fold_close(closes(100))
    history.fold_close(closes(100), np.array([False]))
    assert np.isnan(history.returns()).all()


def test_only_so_many_sessions_are_kept() -> None:
    """Three returns need four closes; older ones are gone."""
    history = SessionHistory(1, 3)
    for price in (1, 2, 4, 8, 16, 32):
        history.fold_close(closes(price))
    assert history.returns().shape == (3, 1)
    assert np.allclose(history.returns(), 1.0)
    assert history.returns(2).shape == (2, 1)
    assert history.returns(0).shape == (0, 1)


def test_a_split_changes_no_return() -> None:
    """Two for one: 100, 102, then 51.51 a share is 1 % up, as 103.02 would have been."""
    history = SessionHistory(1, 5)
    history.fold_close(closes(100))
    history.fold_close(closes(102))
    history.scale(0, 0.5)
    history.fold_close(closes(51.51))
    assert np.allclose(history.returns()[:, 0], [0.02, 0.01])


def test_a_renamed_symbol_goes_on_under_its_new_name() -> None:
    """The new name had no history of its own."""
    history = SessionHistory(2, 5)
    history.fold_close(closes(100, 0))
    history.fold_close(closes(110, 0))
    history.move(0, 1)
    history.fold_close(closes(0, 121))
    assert np.allclose(history.returns()[:, 1], [0.1, 0.1])


def test_a_snapshot_gives_the_same_returns() -> None:
    """Bit for bit, and it goes on in the same way."""
    one, other = SessionHistory(2, 3), SessionHistory(2, 3)
    for price in (1, 2, 3, 5, 8):
        one.fold_close(closes(price, 10 * price))
    other.restore(one.snapshot())
    for history in (one, other):
        history.fold_close(closes(13, 0))
    assert one.returns().tobytes() == other.returns().tobytes()
    assert one.snapshot() == other.snapshot()
