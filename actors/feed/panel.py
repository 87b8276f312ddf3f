"""From sorted bars to panels: one read-only block per column, cut into one panel per instant.

The blocks are built once, over ``memoryview.toreadonly``, so that no holder of a panel can switch writing back on.
An instant then costs slices and one struct. A panel's arrays are slices of the whole history: trusted rooms may
read them, but what is handed to a strategy must come from a ring, never from a panel (``.base`` knows the future).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.feed.aggregate import Bars
from actors.feed.bars import F64, I64, QUOTES
from actors.feed.session import SessionTable
from actors.messages.market import BarPanel, SessionClosed, SessionOpened
from actors.values.fixed import SCALE
from actors.values.session import Session
from daemon.kernel.message import Market


def freeze(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of the array that cannot be made writable."""
    return np.asarray(np.ascontiguousarray(array).data.toreadonly())


class PanelSource:
    """Panels and session marks of a whole history, in order of time."""

    def __init__(
        self, bars: Bars, table: SessionTable, *, n_symbols: int, daily: bool, close_only: bool, volume_known: bool
    ) -> None:
        """Cut bars into instants.

        Args:
            bars: at least one, sorted by (start, id).
            table: sessions ``bars.session`` points into; from the first bar's to the last bar's.
            n_symbols: size of the universe.
            daily: whether bars are session bars.
            close_only: whether open, high and low merely repeat the close.
            volume_known: whether panels carry volumes.
        """
        self.sessions: tuple[Session, ...] = table.sessions()
        self.n_symbols = n_symbols
        self.n_bars = len(bars)
        self._daily = daily
        self._close_only = close_only
        changes = np.flatnonzero((np.diff(bars.start) != 0) | (np.diff(bars.session) != 0)) + 1
        offsets = np.concatenate([[0], changes, [len(bars)]])
        heads = offsets[:-1]
        self.n_instants = len(heads)
        self._offsets: list[int] = offsets.tolist()
        start, end = bars.start[heads], bars.end[heads]
        self._start: list[int] = start.tolist()
        self._end: list[int] = end.tolist()
        self._grid = offsets, end  # the same once more, to be looked up in
        self._spans = _session_spans(bars.session[heads], start, end, table)
        self._all_ids = freeze(np.arange(n_symbols, dtype=np.int32))
        self._ids = freeze(bars.ids.astype(np.int32, copy=False))
        cols = {name: freeze(column) for name, column in bars.cols.items()}
        self._prices = tuple(cols[name] for name in ("open", "high", "low", "close"))
        self._close_fx = freeze(np.rint(bars.cols["close"] * SCALE).astype(np.int64))
        self._volume = cols.get("volume") if volume_known else None
        extras = tuple(cols.get(name) for name in ("vwap", *QUOTES))
        self._extras = extras if any(column is not None for column in extras) else ()
        self._session = bars.session
        self._regular = (bars.start >= table.open_ts[bars.session]) & (bars.start < table.close_ts[bars.session])

    def inputs(self, since: int | None = None) -> Iterator[Market]:
        """Yield each session's opening, its panels and its closing, also of sessions without bars.

        Panels of extended hours come before the opening or behind the closing they belong to.

        Args:
            since: leave out the sessions all of whose inputs are stamped before; None leaves out nothing.
        """
        first: tuple[tuple[int, ...], int] = self._first_opens(), self._end[0]
        skip = 0 if since is None else self._sessions_before(since)
        if skip:
            first = (), 0
        for session, (before, opened, closed, after) in zip(self.sessions[skip:], self._spans[skip:], strict=True):
            yield from self._panels(session.date, before, opened)
            yield SessionOpened(session.open_ts, session, *first)
            first = (), 0
            yield from self._panels(session.date, opened, closed)
            yield SessionClosed(session.close_ts, session)
            yield from self._panels(session.date, closed, after)

    def _sessions_before(self, ts: int) -> int:
        """Return how many sessions at the beginning have only inputs stamped before ``ts``."""

        def last(row: int) -> int:
            _, _, closed, after = self._spans[row]
            close_ts = self.sessions[row].close_ts
            return max(close_ts, self._end[after - 1]) if after > closed else close_ts

        return bisect.bisect_left(range(len(self.sessions)), ts, key=last)

    def _panels(self, date: int, begin: int, finish: int) -> Iterator[BarPanel]:
        if begin == finish:
            return
        build = BarPanel
        offsets, starts, ends = self._offsets, self._start, self._end
        n, daily, close_only = self.n_symbols, self._daily, self._close_only
        ids, all_ids, close_fx, volume = self._ids, self._all_ids, self._close_fx, self._volume
        o, h, l, c = self._prices  # noqa: E741 - low, beside its three brothers
        extras = self._extras
        average = bid_open = ask_open = bid_close = ask_close = None
        lo = offsets[begin]
        for i in range(begin, finish):
            hi = offsets[i + 1]
            cut = slice(lo, hi)
            dense = hi - lo == n
            close = c[cut]
            if close_only:
                opened = high = low = close
            else:
                opened, high, low = o[cut], h[cut], l[cut]
            if extras:
                average, bid_open, ask_open, bid_close, ask_close = (
                    None if column is None else column[cut] for column in extras
                )
            yield build(
                ends[i],
                starts[i],
                date,
                daily,
                all_ids if dense else ids[cut],
                dense,
                opened,
                high,
                low,
                close,
                close_fx[cut],
                None if volume is None else volume[cut],
                close_only,
                average,
                bid_open,
                ask_open,
                bid_close,
                ask_close,
            )
            lo = hi

    def traded(self, symbol: int) -> tuple[I64, F64, F64] | None:
        """Return one symbol's bars: when each was known, its average price, its volume; None without volumes.

        The average price is the source's where it has one, else the mean of high, low and close.
        """
        if self._volume is None:
            return None
        rows = np.flatnonzero(self._ids == symbol)
        offsets, end = self._grid
        instants = np.searchsorted(offsets, rows, "right") - 1
        _, high, low, close = (column[rows] for column in self._prices)
        price = (high + low + close) / 3.0
        known = self._extras[0] if self._extras else None
        if known is not None:
            price = np.where(np.isfinite(known[rows]), known[rows], price)
        return end[instants], price, self._volume[rows]

    @property
    def first_start(self) -> int:
        """Start of the first bar, nanoseconds UTC."""
        return self._start[0]

    @property
    def last_end(self) -> int:
        """End of the last bar, nanoseconds UTC."""
        return self._end[-1]

    def _first_opens(self) -> tuple[int, ...]:
        """Return the first opens; none where the first bar begins later than its session: nobody knows them yet."""
        if self._start[0] > self.sessions[0].open_ts:
            return ()
        count = self._offsets[1]
        opens = np.zeros(self.n_symbols, dtype=np.int64)
        opens[self._ids[:count]] = np.rint(self._prices[0][:count] * SCALE).astype(np.int64)
        return tuple(opens.tolist())

    def session_prices(self, name: str) -> F64:
        """Return ``[S, N]`` prices of the regular session: its first ``open`` or last ``close``; NaN where none."""
        rows = np.flatnonzero(self._regular)
        key = self._session[rows] * self.n_symbols + self._ids[rows]
        column = self._prices[0 if name == "open" else 3]
        # unique() tells the first of each key: rows are in order of time, so turn them round for the last.
        if name == "close":
            rows, key = rows[::-1], key[::-1]
        cells, at = np.unique(key, return_index=True)
        table = np.full(len(self.sessions) * self.n_symbols, np.nan)
        table[cells] = column[rows[at]]
        return table.reshape(len(self.sessions), self.n_symbols)


def _session_spans(session: I64, start: I64, end: I64, table: SessionTable) -> list[tuple[int, int, int, int]]:
    """Return per session the instants (before the opening, in it, behind it) as four ascending bounds."""
    count = len(table)
    bounds = np.searchsorted(session, np.arange(count + 1))
    early = end <= table.open_ts[session]
    late = start >= table.close_ts[session]
    before = np.bincount(session[early], minlength=count)
    after = np.bincount(session[late], minlength=count)
    rows = zip(bounds[:-1], bounds[:-1] + before, bounds[1:] - after, bounds[1:], strict=True)
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in rows]
