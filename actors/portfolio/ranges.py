"""Highs, lows and average true ranges of sessions: a fold of the tape, also where bars or ticks are inside a session.

*True range* (Wilder 1978) of a session: the largest of high - low, |high - close before| and |low - close before|; of
the first session high - low. *Average true range* of n sessions: the mean of the first n true ranges, from then on
(ATR x (n - 1) + TR) / n, Wilder's smoothing. A session in which a symbol had no price is none of its sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.messages.columns import F64, I32
from actors.messages.market import BarPanel
from actors.values.fixed import SCALE


class SessionRanges:
    """What sessions traded at, by symbol, in money.

    Attributes:
        high, low: of the session under way, or of the last one; NaN where it had no price.
        seen: which symbols had a price in it.
    """

    __slots__ = ("_averages", "_closed", "_count", "_last", "_session", "_wide", "high", "low", "seen")

    def __init__(self, n_symbols: int, lookbacks: Iterable[int], *, wide: bool = True) -> None:
        """Begin without any session.

        Args:
            n_symbols: size of the universe.
            lookbacks: numbers of sessions of which average true ranges are kept.
            wide: whether highs, lows and ranges are asked for; else only which symbols had a price.
        """
        self._wide = wide
        self.seen: npt.NDArray[np.bool_] = np.zeros(n_symbols, dtype=np.bool_)
        self.high: F64 = np.full(n_symbols, np.nan)
        self.low: F64 = np.full(n_symbols, np.nan)
        self._session = 0
        self._closed = False
        self._last: F64 = np.full(n_symbols, np.nan)
        self._count: npt.NDArray[np.int64] = np.zeros(n_symbols, dtype=np.int64)
        self._averages: dict[int, F64] = {rows: np.zeros(n_symbols) for rows in sorted(lookbacks)}
        """By lookback: the sum of the first true ranges divided by it, from then on the average."""

    # -- folds -----------------------------------------------------------------------------------------------------

    def begin(self, session: int) -> None:
        """Remember the session that prices fall into; hearing of it twice changes nothing."""
        if session != self._session:
            self._session = session
            self._closed = False
            self.seen.fill(False)
            self.high.fill(np.nan)
            self.low.fill(np.nan)

    def fold_bar(self, panel: BarPanel) -> None:
        """Take over a bar; what comes behind its session's close changes nothing."""
        self.begin(panel.session)
        if self._closed:
            return
        ids = slice(None) if panel.dense else panel.ids
        self.seen[ids] = True
        if not self._wide:
            return
        self.high[ids] = np.fmax(self.high[ids], panel.high)
        self.low[ids] = np.fmin(self.low[ids], panel.low)

    def fold_ticks(self, ids: I32, px: F64) -> None:
        """Take over last prices behind a tick: symbols, and ``[N]`` prices of all symbols, 0 where unknown."""
        if self._closed:
            return
        if ids.size == 1:  # as nearly every tick is
            self._fold_tick(ids.item(0), px)
            return
        now = px[ids]
        ids, now = ids[now > 0.0], now[now > 0.0]
        self.seen[ids] = True
        self.high[ids] = np.fmax(self.high[ids], now)
        self.low[ids] = np.fmin(self.low[ids], now)

    def _fold_tick(self, symbol: int, px: F64) -> None:
        now = px.item(symbol)
        if now > 0.0:
            self.seen[symbol] = True
            if not now <= self.high.item(symbol):
                self.high[symbol] = now
            if not now >= self.low.item(symbol):
                self.low[symbol] = now

    def fold_close(self, px: F64) -> bool:
        """End the session at these last prices; tell whether it had not ended before."""
        if self._closed:
            return False
        self._closed = True
        if not self._wide:
            return True
        traded = self.seen
        high, low, last = self.high[traded], self.low[traded], self._last[traded]
        ranges = np.fmax(high - low, np.fmax(np.abs(high - last), np.abs(low - last)))
        self._count[traded] += 1
        count = self._count[traded]
        for rows, average in self._averages.items():
            begun = average[traded]
            average[traded] = np.where(count <= rows, begun + ranges / rows, (begun * (rows - 1) + ranges) / rows)
        self._last[traded] = px[traded]
        return True

    def split(self, symbol: int, by: float) -> None:
        """Say what is known of a symbol in the units behind a split: prices multiplied by so much."""
        for column in (self.high, self.low, self._last, *self._averages.values()):
            column[symbol] *= by

    def pay(self, symbol: int, per_share: int) -> None:
        """Take a dividend off the last close, so that it makes no range (units of 1e-8)."""
        self._last[symbol] -= per_share / SCALE

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends, if this one has traded."""
        if not self._count[symbol]:
            return
        for column in (self.high, self.low, self._last):
            column[new], column[symbol] = column[symbol], np.nan
        for average in self._averages.values():
            average[new], average[symbol] = average[symbol], 0.0
        self._count[new], self._count[symbol] = self._count[symbol], 0

    # -- reading ---------------------------------------------------------------------------------------------------

    def average(self, symbol: int, rows: int) -> float:
        """Return the average true range of a symbol over so many sessions, NaN before there are as many."""
        return self._averages[rows].item(symbol) if self._count.item(symbol) >= rows else float("nan")

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        columns = [column.tobytes() for column in (self.high, self.low, self._last, self._count, self.seen)]
        averages = [[rows, average.tobytes()] for rows, average in self._averages.items()]
        return [self._session, self._closed, *columns, averages]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; a lookback that came since then makes every one begin anew."""
        session, closed, high, low, last, count, seen, averages = state
        self._session, self._closed = session, closed
        self.high, self.low, self._last = (np.frombuffer(raw, dtype=np.float64).copy() for raw in (high, low, last))
        self.seen = np.frombuffer(seen, dtype=np.bool_).copy()
        kept = dict(averages)
        if all(rows in kept for rows in self._averages):
            self._count = np.frombuffer(count, dtype=np.int64).copy()
            self._averages = {rows: np.frombuffer(kept[rows], dtype=np.float64).copy() for rows in self._averages}
