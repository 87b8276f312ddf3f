"""Drawdowns of a wealth index that includes its base point."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Episode(msgspec.Struct, frozen=True):
    """One fall below a peak, by indices of the wealth index; ``end`` is the recovery, or the last point if ongoing."""

    depth: float
    peak: int
    trough: int
    end: int
    ongoing: bool

    @property
    def sessions(self) -> int:
        """Sessions from the peak to the recovery, or to the end of the data."""
        return self.end - self.peak


def drawdowns(index: F64) -> F64:
    """Return index / running maximum - 1 at every point, in [-1, 0] for a non-negative index."""
    peaks = np.maximum.accumulate(index)
    return index / peaks - 1.0


def episodes(index: F64) -> list[Episode]:
    """Return every drawdown in order of time."""
    dd = drawdowns(index)
    under = dd < 0.0
    if not under.any():
        return []
    edges = np.diff(np.concatenate(([False], under, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    out = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        trough = start + int(np.argmin(dd[start:end]))
        ongoing = end == dd.size
        out.append(Episode(float(dd[trough]), start - 1, trough, dd.size - 1 if ongoing else end, ongoing))
    return out


def deepest(index: F64) -> Episode | None:
    """Return the deepest drawdown, the first of equals; None where the index never falls."""
    found = episodes(index)
    return min(found, key=lambda e: (e.depth, e.peak)) if found else None


def ulcer_index(index: F64) -> float | None:
    """Return the root mean square drawdown over t = 1..n, as a fraction."""
    if index.size < 3:
        return None
    dd = drawdowns(index)[1:]
    return math.sqrt(float(np.mean(dd * dd)))


def time_under_water(index: F64) -> float | None:
    """Return the share of sessions that closed below the running maximum."""
    return float(np.mean(drawdowns(index)[1:] < 0.0)) if index.size > 1 else None
