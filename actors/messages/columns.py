"""Columns inside events: numpy arrays as little-endian bytes, exact and cheap to encode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

SCORE_DIGITS = 9
"""Digits kept of scores, probabilities and other model answers where they enter an event."""


def pack_f64(values: Iterable[float] | npt.NDArray[Any], digits: int = SCORE_DIGITS) -> bytes:
    """Pack floats, rounded to ``digits``; negative zero becomes zero, so that equal values have equal bytes."""
    array = np.asarray(values, dtype="<f8")
    return (np.round(array, digits) + 0.0).tobytes()


def unpack_f64(data: bytes) -> F64:
    """Return a read-only array of what :func:`pack_f64` gave."""
    return np.frombuffer(data, dtype="<f8")


def pack_i64(values: Iterable[int] | npt.NDArray[Any]) -> bytes:
    """Pack whole numbers of 64 bits."""
    return np.asarray(values, dtype="<i8").tobytes()


def unpack_i64(data: bytes) -> I64:
    """Return a read-only array of what :func:`pack_i64` gave."""
    return np.frombuffer(data, dtype="<i8")


def pack_i32(values: Iterable[int] | npt.NDArray[Any]) -> bytes:
    """Pack whole numbers of 32 bits, symbol ids above all."""
    return np.asarray(values, dtype="<i4").tobytes()


def unpack_i32(data: bytes) -> I32:
    """Return a read-only array of what :func:`pack_i32` gave."""
    return np.frombuffer(data, dtype="<i4")
