"""What a look through files of ticks tells before anything is played: how many rows count, of what, and when."""

from __future__ import annotations

import msgspec
import numpy as np

from actors.feed.bars import I64, Bool
from actors.feed.jump_ticks import TickGuard
from actors.feed.quality import KINDS, Codes, Reject
from actors.feed.session import SessionTable, session_table
from actors.feed.ticks import TickRows, judge_quote_rows, judge_trade_rows, place_rows

OUTSIDE = KINDS.index("outside_session")
SUSPICIOUS = KINDS.index("suspicious")
JUMP = KINDS.index("jump")


class Scope(msgspec.Struct, frozen=True):
    """Which rows are asked for.

    Attributes:
        calendar: its name.
        first_day, last_day: exchange dates as days since 1970-01-01, both included; None for no bound.
        symbols: None for all.
        extended: rows outside the regular session of a session's day count too.
    """

    calendar: str
    first_day: int | None
    last_day: int | None
    symbols: frozenset[str] | None
    extended: bool

    def table(self, rows: TickRows) -> SessionTable:
        """Return the sessions around some rows; an overnight session is dated by the day it ends."""
        return session_table(self.calendar, int(rows.day.min()) - 1, int(rows.day.max()) + 1)

    def within(self, day: I64) -> Bool:
        """Tell which days are asked for."""
        inside = np.ones(len(day), dtype=np.bool_)
        if self.first_day is not None:
            inside &= day >= self.first_day
        if self.last_day is not None:
            inside &= day <= self.last_day
        return inside


def placed(rows: TickRows, scope: Scope) -> tuple[TickRows, Bool]:
    """Return rows dated by their session where they have one, and which of them may be played by their time."""
    table = scope.table(rows)
    place = place_rows(rows, table)
    if len(table):
        rows = msgspec.structs.replace(rows, day=np.where(place.session >= 0, table.days[place.session], rows.day))
    return rows, (place.session >= 0) if scope.extended else place.regular


def judge(kind: str, rows: TickRows) -> Codes:
    """Return for each row of ``quotes`` or ``trades`` why it is unusable whenever it is, 0 for good rows."""
    return judge_quote_rows(rows) if kind == "quotes" else judge_trade_rows(rows)


class Survey:
    """Counts the rows of one file.

    Attributes:
        filtered, rejected, used: rows nobody asked for, that could not be used, and that are played.
        instants: of the rows that are played.
        first_day, last_day: of the rows that are played, days since 1970-01-01; 0 where there are none.
        first_ts, last_ts: of the rows that are played, nanoseconds UTC; 0 where there are none.
        symbols: of the rows that are played.
    """

    def __init__(
        self, kind: str, path: str, unit: str, names: dict[str, int], scope: Scope, guard: TickGuard | None = None
    ) -> None:
        """Begin with nothing; ``names`` maps symbols to the ids of the rows to come and may still grow."""
        self._kind, self._path, self._unit, self._names, self._scope = kind, path, unit, names, scope
        self._guard = guard
        self.filtered = self.rejected = self.used = self.instants = 0
        self.first_day = self.last_day = 0
        self.first_ts = self.last_ts = 0
        self._seen: Bool = np.zeros(0, dtype=np.bool_)
        self._rejects: dict[tuple[int, int], tuple[int, int]] = {}

    def look(self, rows: TickRows) -> None:
        """Count a block; blocks come in order of time."""
        names = list(self._names)
        rows, playable = placed(rows, self._scope)
        asked = self._scope.within(rows.day)
        if self._scope.symbols is not None:
            asked &= np.array([name in self._scope.symbols for name in names])[rows.ids]
        codes = judge(self._kind, rows)
        if self._guard is not None:
            # Trades outside the session are not played, quotes there stand in the book when it begins.
            counts = asked & (codes == 0) & (playable | (self._kind == "quotes"))
            codes = np.where(self._guard.look(rows, self._names, counts), np.uint8(JUMP), codes)
        codes = np.where(~playable & (codes != SUSPICIOUS), np.uint8(OUTSIDE), codes)
        self.filtered += int(np.count_nonzero(~asked))
        self._reject(rows, np.where(asked, codes, np.uint8(0)))
        good = np.flatnonzero(asked & (codes == 0))
        self.used += len(good)
        self._seen = np.concatenate([self._seen, np.zeros(len(names) - len(self._seen), dtype=np.bool_)])
        if len(good):
            ts, day = rows.ts[good], rows.day[good]
            again = self.last_ts == int(ts[0])
            self.instants += 1 + int(np.count_nonzero(ts[1:] != ts[:-1])) - again
            self.first_ts = self.first_ts or int(ts[0])
            self.last_ts = int(ts[-1])
            self.first_day = self.first_day or int(day[0])
            self.last_day = int(day[-1])
            self._seen[rows.ids[good]] = True

    def _reject(self, rows: TickRows, codes: Codes) -> None:
        bad = np.flatnonzero(codes)
        self.rejected += len(bad)
        key = codes[bad].astype(np.int64) << 32 | rows.ids[bad]
        groups, first, counts = np.unique(key, return_index=True, return_counts=True)
        for group, at, count in zip(groups.tolist(), first.tolist(), counts.tolist(), strict=True):
            kind = (group >> 32, group & 0xFFFFFFFF)
            before = self._rejects.get(kind, (0, int(rows.line[bad[at]])))
            self._rejects[kind] = (before[0] + count, before[1])

    @property
    def symbols(self) -> list[str]:
        """The symbols of the rows that are played."""
        return [name for name, seen in zip(self._names, self._seen.tolist(), strict=False) if seen]

    def rejects(self) -> tuple[Reject, ...]:
        """Return what was rejected by kind and symbol with the first example of each."""
        names = list(self._names)
        return tuple(
            Reject(KINDS[code], names[symbol], count, self._path, self._unit, line)
            for (code, symbol), (count, line) in sorted(self._rejects.items())
        )
