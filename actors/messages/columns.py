"""Columns inside events: numpy arrays as little-endian bytes, exact and cheap to encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

SCORE_DIGITS = 9
"""Digits kept of scores, probabilities and other model answers where they enter an event."""


def pack_f64(values: Sequence[float] | npt.NDArray[Any], digits: int = SCORE_DIGITS) -> bytes:
    """Pack floats, rounded to ``digits``.

    Negative zero becomes zero and every NaN the one NaN (0/0 gives another sign than ``nan`` on some machines), so that
    equal values have equal bytes.
    """
    rounded = np.round(np.asarray(values, dtype="<f8"), digits) + 0.0
    missing = np.isnan(rounded)
    if missing.any():
        rounded[missing] = np.nan
    return rounded.tobytes()


def unpack_f64(data: bytes) -> F64:
    """Return a read-only array of what :func:`pack_f64` gave."""
    return np.frombuffer(data, dtype="<f8")


def _pack_whole(values: Sequence[int] | npt.NDArray[Any], dtype: str) -> bytes:
    array = np.asarray(values)
    if array.dtype == dtype:
        return array.tobytes()
    if not array.size:
        return b""
    if array.dtype.kind not in "iu":
        message = f"whole numbers are wanted, not {array.dtype}"
        raise ValueError(message)
    packed = array.astype(dtype)
    if (packed != array).any():
        message = f"a number does not fit {np.dtype(dtype).itemsize * 8} bits"
        raise OverflowError(message)
    return packed.tobytes()


def pack_i64(values: Sequence[int] | npt.NDArray[Any]) -> bytes:
    """Pack whole numbers of 64 bits.

    Raises:
        ValueError: not whole numbers.
        OverflowError: one does not fit.
    """
    return _pack_whole(values, "<i8")


def unpack_i64(data: bytes) -> I64:
    """Return a read-only array of what :func:`pack_i64` gave."""
    return np.frombuffer(data, dtype="<i8")


def pack_i32(values: Sequence[int] | npt.NDArray[Any]) -> bytes:
    """Pack whole numbers of 32 bits, symbol ids above all; raises as :func:`pack_i64`."""
    return _pack_whole(values, "<i4")


def unpack_i32(data: bytes) -> I32:
    """Return a read-only array of what :func:`pack_i32` gave."""
    return np.frombuffer(data, dtype="<i4")
