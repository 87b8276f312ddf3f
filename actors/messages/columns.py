"""Columns inside events: numpy arrays as little-endian bytes, exact and cheap to encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

_F8: Final = np.dtype("<f8")
_I8: Final = np.dtype("<i8")
_I4: Final = np.dtype("<i4")

SCORE_DIGITS = 9
"""Digits kept of scores, probabilities and other model answers where they enter an event."""


def pack_f64(values: Sequence[float] | npt.NDArray[Any], digits: int = SCORE_DIGITS) -> bytes:
    """Pack floats, rounded to ``digits``.

    Negative zero becomes zero and every NaN the one NaN (0/0 gives another sign than ``nan`` on some machines), so that
    equal values have equal bytes.
    """
    rounded = np.array(values, dtype=_F8)
    # What np.round does, without its detour through Python.
    scale = 10.0**digits
    np.multiply(rounded, scale, out=rounded)
    np.rint(rounded, out=rounded)
    np.divide(rounded, scale, out=rounded)
    np.add(rounded, 0.0, out=rounded)
    missing = np.isnan(rounded)
    if np.count_nonzero(missing):
        rounded[missing] = np.nan
    return rounded.tobytes()


def unpack_f64(data: bytes) -> F64:
    """Return a read-only array of what :func:`pack_f64` gave."""
    return np.frombuffer(data, dtype=_F8)


def _pack_whole(values: Sequence[int] | npt.NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    array = np.asarray(values)
    if array.dtype == dtype:
        return array.tobytes()
    if not array.size:
        return b""
    if array.dtype.kind not in "iu":
        message = f"whole numbers are wanted, not {array.dtype}"
        raise ValueError(message)
    packed = array.astype(dtype)
    if np.count_nonzero(packed != array):
        message = f"a number does not fit {dtype.itemsize * 8} bits"
        raise OverflowError(message)
    return packed.tobytes()


def pack_i64(values: Sequence[int] | npt.NDArray[Any]) -> bytes:
    """Pack whole numbers of 64 bits.

    Raises:
        ValueError: not whole numbers.
        OverflowError: one does not fit.
    """
    return _pack_whole(values, _I8)


def unpack_i64(data: bytes) -> I64:
    """Return a read-only array of what :func:`pack_i64` gave."""
    return np.frombuffer(data, dtype=_I8)


def pack_i32(values: Sequence[int] | npt.NDArray[Any]) -> bytes:
    """Pack whole numbers of 32 bits, symbol ids above all; raises as :func:`pack_i64`."""
    return _pack_whole(values, _I4)


def unpack_i32(data: bytes) -> I32:
    """Return a read-only array of what :func:`pack_i32` gave."""
    return np.frombuffer(data, dtype=_I4)
