"""Closed bars at one interval: rings over the universe, and the aggregation of finer bars into coarser ones.

Buckets of intraday bars are anchored at the session's open (a 1h bar of a 09:30 session ends at 10:30) and the last one
ends with the session. Bars of several sessions end with a session whose number fills the bucket, so they do not depend
on where a run starts. A bar is closed by the panel that reaches its end or, where that one is missing, by whatever
comes next; it is never changed afterwards.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.messages.market import BarPanel
from actors.values.ring import PanelRing
from actors.values.session import Session
from actors.values.time import Interval

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

NEVER: Final = 1 << 62


def divides(base: Interval, bar: Interval) -> bool:
    """Whether bars of ``base`` can be put together to bars of ``bar`` without a rest."""
    if base.is_daily:
        return bar.is_daily and bar.sessions % base.sessions == 0
    return bar.is_daily or bar.ns % base.ns == 0


def by_split(field: str, numerator: int, denominator: int) -> float:
    """Return what a field of a bar is multiplied by at a split."""
    return numerator / denominator if field == "volume" else denominator / numerator


class SessionClock:
    """The session the run is in, as far as the market data have told."""

    __slots__ = ("close_ts", "date", "number", "open_ts")

    def __init__(self) -> None:
        self.date = 0
        self.open_ts = 0
        self.close_ts = NEVER
        self.number = -1

    def enter(self, session: Session) -> None:
        """Take over what the calendar says."""
        self.date = session.date
        self.open_ts = session.open_ts
        self.close_ts = session.close_ts
        self.number = session.number

    def meet(self, panel: BarPanel) -> None:
        """Take a panel of a session the calendar did not announce: it starts the session."""
        self.date = panel.session
        self.open_ts = panel.start_ts
        self.close_ts = NEVER
        self.number += 1

    def snapshot(self) -> list[int]:
        """Return plain values."""
        return [self.date, self.open_ts, self.close_ts, self.number]

    def restore(self, state: list[int]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.date, self.open_ts, self.close_ts, self.number = state


class BarSeries:
    """The last bars of the universe at one interval; rows are instants."""

    __slots__ = ("_end", "_stamps", "_stamps_view", "fresh_ids", "interval", "ring", "session")

    def __init__(self, n_symbols: int, length: int, fields: tuple[str, ...], interval: Interval) -> None:
        """Allocate rings for ``length`` rows of ``fields``."""
        self.interval = interval
        self.ring = PanelRing(n_symbols, length, fields)
        self._stamps = np.zeros(2 * length, dtype=np.int64)
        self._stamps_view: I64 = np.asarray(memoryview(self._stamps).toreadonly())  # type: ignore[arg-type]
        self._end = length
        self.session = 0
        """Exchange date of the last row."""
        self.fresh_ids: I32 | None = None
        """Symbols with a bar in the last row; None: all of them."""

    def push(self, ts: int, session: int, ids: I32 | None, columns: dict[str, F64 | None]) -> None:
        """Append one row; ``ids`` None means dense columns."""
        length = self.ring.length
        end = self._end
        if end == 2 * length:
            end = length
        stamps = self._stamps
        stamps[end] = ts
        stamps[end - length] = ts
        self._end = end + 1
        self.session = session
        self.fresh_ids = ids
        self.ring.push(ids, columns)

    @property
    def last_ts(self) -> int:
        """When the last row became known; 0 while there is none."""
        return int(self._stamps[self._end - 1]) if self.ring.rows else 0

    def stamps(self, rows: int) -> I64:
        """Return when the last ``rows`` bars became known, read-only; at most what is held."""
        count = min(rows, self.ring.rows)
        return self._stamps_view[self._end - count : self._end]

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Say the held bars of a symbol in the units behind a split, so that no feature sees a jump."""
        for field in self.ring.fields:
            self.ring.scale(symbol, field, by_split(field, numerator, denominator))

    def snapshot(self) -> dict[str, Any]:
        """Return the held rows as bytes; for aggregated series, which warm-up cannot afford to build again."""
        rows = self.ring.rows
        return {
            "rows": rows,
            "session": self.session,
            "fresh": None if self.fresh_ids is None else self.fresh_ids.astype("<i4").tobytes(),
            "ts": self.stamps(rows).astype("<i8").tobytes(),
            "fields": {f: self.ring.view(f).astype("<f8").tobytes() for f in self.ring.fields},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave, in a fresh series; a field that nobody asked for then is NaN."""
        rows = state["rows"]
        stamps = np.frombuffer(state["ts"], dtype="<i8")
        blocks = {
            f: np.frombuffer(state["fields"][f], dtype="<f8").reshape(rows, self.ring.n_symbols)
            for f in self.ring.fields
            if f in state["fields"]
        }
        fields = self.ring.fields
        for row in range(rows):
            self.push(
                int(stamps[row]), state["session"], None, {f: blocks[f][row] if f in blocks else None for f in fields}
            )
        fresh = state["fresh"]
        self.fresh_ids = None if fresh is None else np.frombuffer(fresh, dtype="<i4")


class Aggregator:
    """Puts a run's bars together to coarser ones and pushes them into a series as they close."""

    __slots__ = ("_acc", "_bucket", "_date", "_end_ts", "_last_ts", "_n", "_seen", "series")

    def __init__(self, series: BarSeries) -> None:
        """Start with no open bar."""
        self.series = series
        self._n = series.ring.n_symbols
        self._acc: dict[str, F64] = {}
        self._seen: npt.NDArray[np.bool_] = np.zeros(self._n, dtype=np.bool_)
        self._bucket: int | None = None
        self._end_ts = 0
        self._last_ts = 0
        self._date = 0

    def add(self, panel: BarPanel, clock: SessionClock) -> bool:
        """Fold a panel of the current session; tell whether a bar closed with it or on account of it."""
        interval = self.series.interval
        if interval.is_daily:
            bucket = clock.number // interval.sessions
            end_ts = NEVER
        else:
            # Number the buckets through all sessions: none holds more than a day's worth.
            within = (panel.start_ts - clock.open_ts) // interval.ns
            bucket = clock.number * 1_000_000 + within
            end_ts = min(clock.open_ts + (within + 1) * interval.ns, clock.close_ts)
        closed = False
        if self._bucket is not None and bucket != self._bucket:
            self._flush(self._last_ts if self._end_ts == NEVER else self._end_ts)
            closed = True
        if self._bucket is None:
            self._bucket = bucket
            self._end_ts = end_ts
            self._acc = {f: np.full(self._n, np.nan) for f in self.series.ring.fields}
            self._seen[:] = False
        self._fold(panel)
        self._date = clock.date
        self._last_ts = panel.ts
        if panel.ts >= end_ts:
            self._flush(panel.ts)
            closed = True
        return closed

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Say closed bars and the open one in the units behind a split."""
        self.series.split(symbol, numerator, denominator)
        for field, held in self._acc.items():
            held[symbol] *= by_split(field, numerator, denominator)

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends."""
        self.series.ring.move(symbol, new)
        for held in self._acc.values():
            if held[symbol] == held[symbol]:
                held[new], held[symbol] = held[symbol], np.nan
        self._seen[new] |= self._seen[symbol]
        self._seen[symbol] = False

    def session_closed(self, session: Session) -> bool:
        """Close what ends with this session; tell whether a bar closed."""
        interval = self.series.interval
        if self._bucket is None:
            return False
        if interval.is_daily and (session.number + 1) % interval.sessions:
            return False
        self._flush(session.close_ts)
        return True

    def _flush(self, ts: int) -> None:
        ids = None if self._seen.all() else np.flatnonzero(self._seen).astype(np.int32)
        columns: dict[str, F64 | None] = dict(self._acc)
        self.series.push(ts, self._date, None, columns)
        self.series.fresh_ids = ids
        self._bucket = None

    def _fold(self, panel: BarPanel) -> None:
        at: Any = slice(None) if panel.dense else panel.ids
        self._seen[at] = True
        for name, held in self._acc.items():
            column = getattr(panel, name)
            if column is None:
                continue
            if name == "close":
                held[at] = column
                continue
            old = held[at]
            if name == "open":
                held[at] = np.where(np.isnan(old), column, old)
            elif name == "high":
                held[at] = np.fmax(old, column)
            elif name == "low":
                held[at] = np.fmin(old, column)
            else:
                total = np.where(np.isnan(old), 0.0, old) + np.where(np.isnan(column), 0.0, column)
                held[at] = np.where(np.isnan(old) & np.isnan(column), np.nan, total)

    def snapshot(self) -> dict[str, Any]:
        """Return the closed rows and the open bar."""
        return {
            "series": self.series.snapshot(),
            "bucket": self._bucket,
            "end_ts": self._end_ts,
            "last_ts": self._last_ts,
            "date": self._date,
            "seen": self._seen.tobytes(),
            "acc": {f: a.astype("<f8").tobytes() for f, a in self._acc.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.series.restore(state["series"])
        self._bucket = state["bucket"]
        self._end_ts = state["end_ts"]
        self._last_ts = state["last_ts"]
        self._date = state["date"]
        self._seen = np.frombuffer(state["seen"], dtype=np.bool_).copy()
        acc = state["acc"]
        self._acc = {}
        for f in self.series.ring.fields if acc else ():
            self._acc[f] = np.frombuffer(acc[f], dtype="<f8").copy() if f in acc else np.full(self._n, np.nan)
