"""Average daily volume: the mean over the sessions among the last twenty whose volume is known.

Every session counts among the twenty, also one in which nothing was traded or told: what is known of sessions before
them grows old, and is forgotten like any other.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.values.fixed import SCALE

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

SESSIONS: Final = 20


class AverageVolume:
    """Session volumes of the whole universe; today's is not in the mean before the session is over.

    A session whose volume is null, or in which a symbol had no bar, is left out of that symbol's mean.
    """

    def __init__(self, n_symbols: int, *, daily: bool) -> None:
        """Start without any session; with ``daily`` each panel is a whole session."""
        self._n = n_symbols
        self._daily = daily
        self._rows = np.full((SESSIONS, n_symbols), np.nan)
        self._next = 0
        self._count = 0
        self._today = np.zeros(n_symbols)
        self._seen = np.zeros(n_symbols, dtype=np.bool_)
        self._means: F64 | None = None
        self._unknown: npt.NDArray[np.bool_] | None = None
        """Beside the means: which of them are of no session at all; None where none is."""

    def add(self, ids: I32 | None, volume: F64, *, has_null: bool) -> None:
        """Fold a panel's volumes.

        Args:
            ids: ``[K]`` symbol ids of the volumes; None for the whole universe.
            volume: ``[K]`` shares, NaN where unknown.
            has_null: whether any is NaN.
        """
        if self._daily:
            row = self._rows[self._next]
            if ids is None:
                row[:] = volume
            else:
                row[:] = np.nan
                row[ids] = volume
            self._close_row()
            return
        of: Any = slice(None) if ids is None else ids
        if has_null:
            known = ~np.isnan(volume)
            self._today[of] += np.where(known, volume, 0.0)
            self._seen[of] |= known
        else:
            self._today[of] += volume
            self._seen[of] = True

    def end_session(self) -> None:
        """Close today's row of intraday volumes."""
        if self._daily:
            return
        self._rows[self._next] = np.where(self._seen, self._today, np.nan)
        self._today[:] = 0.0
        self._seen[:] = False
        self._close_row()

    def _close_row(self) -> None:
        self._next = (self._next + 1) % SESSIONS
        self._count = min(self._count + 1, SESSIONS)
        self._means = None

    def of(self, symbol: int) -> int:
        """Return the mean in units of 1e-8 shares, 0 where unknown."""
        means = self._means
        if means is None:
            means = self._means = self._compute()
        return round(means.item(symbol) * SCALE)

    def knows(self, symbol: int) -> bool:
        """Tell whether a symbol's mean is of any session; :meth:`of` is 0 without one, and where nobody trades."""
        return bool(np.isfinite(self._rows[: self._count, symbol]).any())

    def least(self) -> tuple[float, bool]:
        """Return the smallest mean that is known, in shares (infinite without one), and whether all are."""
        if self._means is None:
            self._means = self._compute()
        if self._unknown is None:
            return float(self._means.min()), True
        return float(np.where(self._unknown, np.inf, self._means).min()), False

    def _compute(self) -> F64:
        self._unknown = None
        if not self._count:
            self._unknown = np.ones(self._n, dtype=np.bool_)
            return np.zeros(self._n)
        rows = self._rows[: self._count]
        mean: F64 = rows.sum(axis=0)
        mean /= self._count
        total = float(mean.sum())
        if total != total:  # noqa: PLR0124 - NaN
            known = ~np.isnan(rows)
            sessions = known.sum(axis=0)
            mean = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(sessions, 1)
            self._unknown = sessions == 0 if (sessions == 0).any() else None
        return mean

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Count what is known of a symbol in the shares behind a split."""
        self._rows[:, symbol] *= numerator / denominator
        self._today[symbol] *= numerator / denominator
        self._means = None

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends; sessions that only the other knows stay its own."""
        rows = self._rows
        rows[:, new] = np.where(np.isnan(rows[:, symbol]), rows[:, new], rows[:, symbol])
        rows[:, symbol] = np.nan
        self._means = None

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [
            self._rows.tobytes(),
            self._next,
            self._count,
            self._today.tobytes(),
            self._seen.tobytes(),
        ]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._rows = np.frombuffer(state[0], dtype=np.float64).reshape(SESSIONS, self._n).copy()
        self._next, self._count = state[1], state[2]
        self._today = np.frombuffer(state[3], dtype=np.float64).copy()
        self._seen = np.frombuffer(state[4], dtype=np.bool_).copy()
        self._means = None
