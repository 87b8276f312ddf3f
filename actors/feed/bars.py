"""Bars as read: one row per symbol and time, columns as arrays, each row knowing the file and line it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.feed.session import day_text
from actors.values.time import format_ts
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I16 = npt.NDArray[np.int16]
Bool = npt.NDArray[np.bool_]

PRICES: Final = ("open", "high", "low", "close")
QUOTES: Final = ("bid_open", "ask_open", "bid_close", "ask_close")
MEASURES: Final = (*PRICES, "volume", "vwap", *QUOTES)
UNREADABLE_VOLUME: Final = -np.inf
"""Stands for a volume cell that is neither empty nor a number, so that quality can count it."""


class SourceFile(msgspec.Struct, frozen=True):
    """An input and what it has.

    Attributes:
        path: as the operator wrote it.
        unit: what a place in it is called: ``line`` (CSV, counting the header) or ``row`` (Parquet, from 1).
        close_only: it lacks open, high or low.
        has_volume: it has a volume column.
    """

    path: str
    unit: str = "line"
    close_only: bool = False
    has_volume: bool = True


class RawBars(msgspec.Struct, eq=False):
    """Rows of one or more inputs, in input order; R rows.

    Attributes:
        files: the inputs; ``file`` holds positions in it.
        symbols: names; ``ids`` holds positions in it.
        ids: [R] symbol of each row.
        file: [R] input of each row.
        line: [R] line or row number in that input.
        day: [R] local date at the exchange, days since 1970-01-01.
        ts: [R] start of the bar, nanoseconds UTC; None where the rows carry session dates alone.
        cols: measures by name, each [R], NaN where the input had nothing.
        suspicious: [R] rows their vendor distrusts, or None.
    """

    files: tuple[SourceFile, ...]
    symbols: tuple[str, ...]
    ids: I32
    file: I16
    line: I64
    day: I64
    ts: I64 | None
    cols: dict[str, F64]
    suspicious: Bool | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @property
    def stamps(self) -> I64:
        """What orders the rows in time: instants, or dates where there are no instants."""
        return self.day if self.ts is None else self.ts

    def take(self, rows: Bool) -> RawBars:
        """Return the rows of a mask; itself, uncopied, where the mask takes everything."""
        if rows.all():
            return self
        return self._index(rows)

    def _index(self, rows: npt.NDArray[Any]) -> RawBars:
        return RawBars(
            files=self.files,
            symbols=self.symbols,
            ids=self.ids[rows],
            file=self.file[rows],
            line=self.line[rows],
            day=self.day[rows],
            ts=None if self.ts is None else self.ts[rows],
            cols={name: column[rows] for name, column in self.cols.items()},
            suspicious=None if self.suspicious is None else self.suspicious[rows],
        )

    def pick(self, rows: I64) -> RawBars:
        """Return rows by position, in that order; itself, uncopied, where that is how they are."""
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self
        return self._index(rows)

    def where(self, row: int) -> str:
        """Name the place a row came from: ``bars.csv line 17``."""
        source = self.files[self.file[row]]
        return f"{source.path} {source.unit} {self.line[row]}"

    def stamp_text(self, row: int) -> str:
        """Format a row's time."""
        return day_text(int(self.day[row])) if self.ts is None else format_ts(int(self.ts[row]))


def concat(parts: Sequence[RawBars]) -> RawBars:
    """Put inputs behind each other; symbols are united in alphabetical order.

    Raises:
        OperatorError: one input has session dates and another has times of day.
    """
    if len(parts) == 1 and parts[0].symbols == tuple(sorted(parts[0].symbols)):
        return parts[0]
    dated = [part.ts is None for part in parts]
    if any(dated) and not all(dated):
        with_dates, with_times = parts[dated.index(True)], parts[dated.index(False)]
        message = f"{with_dates.files[0].path} has daily bars and {with_times.files[0].path} has bars with times of day"
        raise OperatorError(message, code="MIXED_INTERVALS", remedy="replay them one after the other")
    symbols = tuple(sorted(dict.fromkeys(s for part in parts for s in part.symbols)))
    position = {symbol: i for i, symbol in enumerate(symbols)}
    names = [name for name in MEASURES if any(name in part.cols for part in parts)]
    first_file = np.cumsum([0, *(len(part.files) for part in parts)])
    maps = [np.array([position[s] for s in part.symbols], dtype=np.int32) for part in parts]
    flagged = any(part.suspicious is not None for part in parts)
    return RawBars(
        files=tuple(file for part in parts for file in part.files),
        symbols=symbols,
        ids=np.concatenate([lookup[part.ids] for lookup, part in zip(maps, parts, strict=True)]),
        file=np.concatenate(
            [(part.file + offset).astype(np.int16) for part, offset in zip(parts, first_file[:-1], strict=True)]
        ),
        line=np.concatenate([part.line for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        ts=None if all(dated) else np.concatenate([part.stamps for part in parts]),
        cols={name: np.concatenate([_column(part, name) for part in parts]) for name in names},
        suspicious=np.concatenate([_flags(part) for part in parts]) if flagged else None,
    )


def _column(part: RawBars, name: str) -> F64:
    column = part.cols.get(name)
    return np.full(len(part), np.nan) if column is None else column


def _flags(part: RawBars) -> Bool:
    return np.zeros(len(part), dtype=np.bool_) if part.suspicious is None else part.suspicious


def merge_quotes(bars: RawBars, quotes: RawBars) -> tuple[RawBars, int]:
    """Lay quoted prices beside the bars of the same symbol and time.

    Args:
        bars: what to add to; a quote it already has is kept.
        quotes: rows with any of ``bid_open ask_open bid_close ask_close``, without repeats.

    Returns:
        The bars with the four quote columns, and how many quote rows found no bar.

    Raises:
        OperatorError: one has session dates and the other times of day.
    """
    if (bars.ts is None) != (quotes.ts is None):
        message = f"the quotes of {quotes.files[0].path} and the bars of {bars.files[0].path} have different intervals"
        raise OperatorError(message, code="MIXED_INTERVALS", remedy="give quotes of the same interval")
    position = {symbol: i for i, symbol in enumerate(bars.symbols)}
    lookup = np.array([position.get(s, -1) for s in quotes.symbols], dtype=np.int64)
    ids = lookup[quotes.ids]
    order = np.lexsort((ids, quotes.stamps))
    base = int(min(bars.stamps.min(initial=0), quotes.stamps.min(initial=0)))
    # Rank stamps first: nanoseconds times symbols would not fit 64 bits.
    ranks, quote_rank = np.unique(quotes.stamps[order] - base, return_inverse=True)
    width = len(bars.symbols) + 1
    quote_key = quote_rank * width + ids[order] + 1
    bar_rank = np.searchsorted(ranks, bars.stamps - base)
    known = bar_rank < len(ranks)
    known &= ranks[np.minimum(bar_rank, len(ranks) - 1)] == bars.stamps - base
    bar_key = np.where(known, bar_rank * width + bars.ids + 1, -1)
    at = np.minimum(np.searchsorted(quote_key, bar_key), len(quote_key) - 1)
    hit = quote_key[at] == bar_key
    cols = dict(bars.cols)
    for name in QUOTES:
        own = _column(bars, name)
        offered = _column(quotes, name)[order][at]
        cols[name] = np.where(hit & np.isnan(own), offered, own)
    merged = msgspec.structs.replace(bars, cols=cols)
    used = np.unique(at[hit])
    return merged, len(quotes) - len(used)
