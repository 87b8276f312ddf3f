"""When the newest bar of each symbol began, which tells whether a late correction is of that bar or of an older one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


class BarStarts:
    """A fold of first versions of bars; a panel of the whole universe costs one assignment."""

    __slots__ = ("_all", "_some")

    def __init__(self, n_symbols: int) -> None:
        """Begin with no bar known."""
        self._all = -1
        self._some: I64 = np.full(n_symbols, -1, dtype=np.int64)

    def note(self, ids: npt.NDArray[np.int32] | None, start_ts: int) -> None:
        """Fold a panel that began at ``start_ts`` (nanoseconds UTC); ``ids`` None: of every symbol."""
        if ids is None:
            self._all = start_ts
        else:
            self._some[ids] = start_ts

    def of(self, ids: npt.NDArray[np.int32]) -> I64:
        """Return ``[K]`` when the newest bars of symbols began, -1 where none is known."""
        starts: I64 = np.maximum(self._some[ids], self._all)
        return starts

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self._all, self._some.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._all = state[0]
        self._some = np.frombuffer(state[1], dtype=np.int64).copy()
