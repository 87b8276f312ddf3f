"""Columns inside events: exact bytes, equal for equal values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages.columns import pack_f64, pack_i32, pack_i64, unpack_f64, unpack_i32, unpack_i64

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(INT64), st.lists(INT32))
def test_whole_numbers_come_back_exactly(wide: list[int], narrow: list[int]) -> None:
    """From lists and from arrays, eight and four bytes each, little-endian."""
    assert unpack_i64(pack_i64(wide)).tolist() == wide
    assert unpack_i32(pack_i32(narrow)).tolist() == narrow
    assert (
        pack_i64(np.array(wide, dtype=np.int64))
        == pack_i64(wide)
        == b"".join(n.to_bytes(8, "little", signed=True) for n in wide)
    )
    assert pack_i32(np.array(narrow, dtype=np.int64)) == pack_i32(narrow)
    assert pack_i32(np.array(narrow, dtype=">i4")) == pack_i32(narrow)


@pytest.mark.parametrize("column", [[1.5], [2.0], np.array([0.0]), [True], ["1"], [2**70]])
def test_what_is_not_whole_is_refused_rather_than_cut(column: list[int]) -> None:
    """1.5 shares would silently become 1."""
    for pack in (pack_i32, pack_i64):
        with pytest.raises(ValueError, match="whole numbers are wanted"):
            pack(column)


@pytest.mark.parametrize("n", [2**31, -(2**31) - 1, 2**32])
def test_what_does_not_fit_is_refused_rather_than_wrapped(n: int) -> None:
    """Also from an array, where numpy would wrap around without a word."""
    for column in ([n], np.array([n])):
        with pytest.raises(OverflowError, match="32 bits"):
            pack_i32(column)
    with pytest.raises(OverflowError, match="64 bits"):
        pack_i64([2**63])


@given(st.lists(st.floats(-1e6, 1e6)))
def test_floats_are_rounded_once(column: list[float]) -> None:
    """What comes back is the rounded value; packing it again changes nothing."""
    packed = pack_f64(column)
    assert unpack_f64(packed).tolist() == np.round(column, 9).tolist()
    assert pack_f64(unpack_f64(packed)) == packed


def test_equal_values_have_equal_bytes() -> None:
    """Zero has one sign, also where it was rounded to, and there is one NaN whatever arithmetic made it."""
    assert pack_f64([-0.0, -1e-12]) == pack_f64([0.0, 0.0]) == bytes(16)
    odd = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert np.isnan(odd).all()
    assert pack_f64(odd) == pack_f64([float("nan")] * 3)
    assert np.isnan(unpack_f64(pack_f64([float("nan"), 1.0]))).tolist() == [True, False]
    assert unpack_f64(pack_f64([float("inf"), -float("inf")])).tolist() == [float("inf"), -float("inf")]


def test_packing_leaves_its_input_alone() -> None:
    """The array may be another room's."""
    column = np.array([0.1234567891234, -0.0, np.nan])
    before = column.tobytes()
    pack_f64(column)
    assert column.tobytes() == before
    assert pack_f64([0.123], digits=1) == pack_f64([0.1])


def test_empty_columns_are_no_bytes_and_unpacked_ones_cannot_be_written() -> None:
    """An empty list has no type of its own; bytes are immutable."""
    assert pack_i32([]) == pack_i64([]) == pack_f64([]) == b""
    for array in (unpack_f64(pack_f64([1.0])), unpack_i64(pack_i64([1])), unpack_i32(pack_i32([1]))):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 2
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
