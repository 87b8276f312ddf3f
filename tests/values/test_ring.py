"""The ring of panel rows: always the last rows, contiguous, read-only, and nothing of what comes later."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values.ring import PanelRing

N = 3
ROWS = st.one_of(
    st.none(),
    st.lists(st.floats(width=32, allow_nan=False), min_size=N, max_size=N),
    st.dictionaries(st.integers(0, N - 1), st.floats(width=32, allow_nan=False)),
)


def columns(row: Any) -> tuple[Any, Any, list[float]]:
    """Return (ids, column, the dense row it means): no column, a dense one, or some symbols only."""
    if row is None:
        return None, None, [np.nan] * N
    if isinstance(row, list):
        return None, np.array(row), row
    ids = sorted(row)
    column = np.array([row[i] for i in ids])
    return np.array(ids, dtype=np.int32), column, [row.get(i, np.nan) for i in range(N)]


@given(st.integers(1, 5), st.lists(ROWS, max_size=25), st.integers(0, 7))
def test_a_window_is_the_end_of_the_list_of_all_rows(length: int, rows: list[Any], asked: int) -> None:
    """After every push, for every number of rows asked for; a symbol without a bar is NaN."""
    ring = PanelRing(N, length, ("close", "volume"))
    history: list[list[float]] = []
    for row in rows:
        ids, column, dense = columns(row)
        ring.push(ids, {"close": column, "volume": None, "ignored": None})
        history.append(dense)
        kept = history[-length:]
        assert ring.rows == len(kept)
        np.testing.assert_array_equal(ring.view("close"), np.array(kept))
        window = ring.view("close", asked)
        assert window.shape == (min(asked, len(kept)), N)
        np.testing.assert_array_equal(window, np.array(kept[len(kept) - len(window) :]).reshape(-1, N))
        assert window.flags.c_contiguous
        assert np.isnan(ring.view("volume")).all()


def test_an_empty_ring_has_empty_windows() -> None:
    """With the universe's width."""
    ring = PanelRing(N, 4, ("close",))
    assert ring.view("close").shape == ring.view("close", 2).shape == (0, N)


def full_ring() -> PanelRing:
    """Return a ring that has wrapped around."""
    ring = PanelRing(N, 3, ("close",))
    for n in range(8):
        ring.push(None, {"close": np.full(N, float(n))})
    return ring


def arrays_behind(view: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the arrays one reaches through ``.base``."""
    found: list[npt.NDArray[Any]] = []
    base: Any = view
    while isinstance(base, np.ndarray):
        found.append(base)
        base = base.base
    return found


def test_a_window_cannot_be_written_nor_made_writable() -> None:
    """Not by assignment, not by switching the flag back, not through a memoryview, and not through ``.base``."""
    ring = full_ring()
    view = ring.view("close")
    for array in arrays_behind(view):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
        assert memoryview(array).readonly
        with pytest.raises(TypeError, match="read-only"):
            memoryview(array)[0, 0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        np.add(view, 1, out=view)
    assert ring.view("close")[:, 0].tolist() == [5.0, 6.0, 7.0]


def test_nothing_behind_a_window_is_younger_than_its_last_row() -> None:
    """Whoever climbs ``.base`` finds old rows at most, since later ones are not there yet."""
    ring = PanelRing(N, 3, ("close",))
    for n in range(20):
        ring.push(None, {"close": np.full(N, float(n))})
        for array in arrays_behind(ring.view("close", 2)):
            assert np.nanmax(array) == float(n)


def test_a_pushed_column_is_copied() -> None:
    """What the feed does with its array afterwards changes nothing."""
    ring = PanelRing(N, 2, ("close",))
    column = np.ones(N)
    ring.push(None, {"close": column})
    column[:] = 9.0
    assert ring.view("close").tolist() == [[1.0] * N]


@pytest.mark.parametrize(("n_symbols", "length"), [(0, 1), (1, 0), (-1, 5)])
def test_a_ring_without_rows_or_symbols_is_refused(n_symbols: int, length: int) -> None:
    """It could hold nothing."""
    with pytest.raises(ValueError, match="at least one row and one symbol"):
        PanelRing(n_symbols, length, ("close",))


def test_a_missing_field_or_a_negative_window_is_an_error() -> None:
    """A typing error must not look like missing data."""
    ring = full_ring()
    with pytest.raises(KeyError, match="close"):
        ring.push(None, {"open": np.ones(N)})
    with pytest.raises(KeyError, match="volume"):
        ring.view("volume")
    with pytest.raises(ValueError, match="0 rows or more, not -1"):
        ring.view("close", -1)


def test_a_correction_before_the_first_row_corrects_nothing() -> None:
    """There is no newest row yet, and the first one that comes is what it is."""
    ring = PanelRing(N, 2, ("close",))
    ring.amend(np.array([0], dtype=np.int32), {"close": np.array([9.0])})
    assert ring.rows == 0
    ring.push(None, {"close": np.array([1.0, 2.0, 3.0])})
    assert ring.rows == 1
