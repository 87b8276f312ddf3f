"""Quotes and trades between the file and the core: rows in order of time, the book they leave, panels by instant.

Everything here works on blocks of some hundred thousand rows as parallel arrays, so that a file of any length is
played in the memory of a few blocks.

A quote row may change one side only: a side of 0 or null means unchanged. What a panel shows is therefore each
symbol's book after the rows of that instant: last known bid and last known ask. What was quoted on an earlier exchange
day says nothing about this one, so a day begins with an empty book; NaN stands for a side that is not known yet. A book
put together from one-sided rows may be crossed for an instant, as it is at the source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from actors.feed.bars import F64, I16, I32, I64, Bool
from actors.feed.panel import freeze
from actors.feed.quality import KINDS, Codes
from actors.feed.session import SessionTable
from actors.messages.market import QuotePanel, TradePanel
from actors.values.fixed import PRICE_MAX

QUOTE_COLUMNS: Final = ("bid_px", "bid_size", "ask_px", "ask_size")
TRADE_COLUMNS: Final = ("price", "size")
_SMALLEST_PRICE: Final = 0.5e-8  # what still rounds to 1e-8


class TickRows(msgspec.Struct, eq=False):
    """Rows of one or more files, ascending in time unless said otherwise; R rows.

    Attributes:
        ts: [R] nanoseconds UTC.
        day: [R] local date at the exchange, days since 1970-01-01.
        ids: [R] symbol ids, -1 for symbols nobody asked for.
        file: [R] input of each row.
        line: [R] its line or row number there.
        cols: measures by name, each [R], NaN where there is nothing.
        suspicious: [R] rows their vendor distrusts.
        not_last: [R] prints that do not move the last price; None for none.
    """

    ts: I64
    day: I64
    ids: I32
    file: I16
    line: I64
    cols: dict[str, F64]
    suspicious: Bool
    not_last: Bool | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ts)

    def take(self, rows: Bool | I64 | slice) -> TickRows:
        """Return some of the rows: by mask, position or slice."""
        return TickRows(
            ts=self.ts[rows],
            day=self.day[rows],
            ids=self.ids[rows],
            file=self.file[rows],
            line=self.line[rows],
            cols={name: column[rows] for name, column in self.cols.items()},
            suspicious=self.suspicious[rows],
            not_last=None if self.not_last is None else self.not_last[rows],
        )


def concat_rows(parts: Sequence[TickRows]) -> TickRows:
    """Put rows with the same columns behind each other."""
    if len(parts) == 1:
        return parts[0]
    marked = any(part.not_last is not None for part in parts)
    return TickRows(
        ts=np.concatenate([part.ts for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        file=np.concatenate([part.file for part in parts]),
        line=np.concatenate([part.line for part in parts]),
        cols={name: np.concatenate([part.cols[name] for part in parts]) for name in parts[0].cols},
        suspicious=np.concatenate([part.suspicious for part in parts]),
        not_last=np.concatenate([_quiet(part) for part in parts]) if marked else None,
    )


def _quiet(part: TickRows) -> Bool:
    return np.zeros(len(part), dtype=np.bool_) if part.not_last is None else part.not_last


def sort_rows(rows: TickRows) -> TickRows:
    """Return the rows in order of time, rows of one instant in the order they had."""
    if (rows.ts[1:] >= rows.ts[:-1]).all():
        return rows
    return rows.take(np.argsort(rows.ts, kind="stable"))


def merge_blocks(streams: Sequence[Iterator[TickRows]]) -> Iterator[TickRows]:
    """Merge files by time; no instant is cut in two, and within an instant files follow each other in their order.

    Args:
        streams: one per file, each ascending in time; blocks have at least one row.
    """
    held: list[TickRows | None] = [next(stream, None) for stream in streams]
    ended = [block is None for block in held]
    while any(block is not None for block in held):
        # Only what lies before every open file's last known row can be followed by nothing more.
        edge = min(
            (int(b.ts[-1]) for b, done in zip(held, ended, strict=True) if b is not None and not done), default=None
        )
        ready: list[TickRows] = []
        for i, block in enumerate(held):
            if block is None:
                continue
            cut = len(block) if edge is None else int(np.searchsorted(block.ts, edge, "left"))
            if cut:
                ready.append(block.take(slice(0, cut)))
                held[i] = block.take(slice(cut, None)) if cut < len(block) else None
        if ready:
            yield sort_rows(concat_rows(ready))
        for i, stream in enumerate(streams):
            block = held[i]
            if ended[i] or (block is not None and int(block.ts[-1]) != edge):
                continue
            more = next(stream, None)
            ended[i] = more is None
            if more is not None:
                held[i] = more if block is None else concat_rows([block, more])


class Place(msgspec.Struct, eq=False):
    """Where rows lie in the calendar; R rows.

    Attributes:
        session: [R] row of the session table, -1 where the exchange has no session that day.
        regular: [R] whether the row lies in the regular session, both ends included.
    """

    session: I64
    regular: Bool


def place_rows(rows: TickRows, table: SessionTable) -> Place:
    """Find each row's session; an instant at which one session closes and the next opens belongs to the next."""
    count = len(table)
    if not count:
        return Place(np.full(len(rows), -1, dtype=np.int64), np.zeros(len(rows), dtype=np.bool_))
    at = np.minimum(np.searchsorted(table.days, rows.day), count - 1)
    session = np.where(table.days[at] == rows.day, at, -1)
    within = np.maximum(np.searchsorted(table.open_ts, rows.ts, "right") - 1, 0)
    regular = (rows.ts >= table.open_ts[within]) & (rows.ts <= table.close_ts[within])
    return Place(np.where(regular, within, session), regular)


def judge_quote_rows(rows: TickRows) -> Codes:
    """Return for each quote row the code of the first kind that makes it unusable at any time, 0 for good rows."""
    bid, ask = rows.cols["bid_px"], rows.cols["ask_px"]
    codes = np.zeros(len(rows), dtype=np.uint8)

    def mark(kind: str, bad: Bool) -> None:
        codes[bad & (codes == 0)] = KINDS.index(kind)

    mark("suspicious", rows.suspicious)
    with np.errstate(invalid="ignore"):
        for name in QUOTE_COLUMNS:
            mark("bad_quote", (rows.cols[name] < 0) | np.isinf(rows.cols[name]))
        mark("too_large", (bid > PRICE_MAX) | (ask > PRICE_MAX))
        mark("empty_quote", ~(bid > _SMALLEST_PRICE) & ~(ask > _SMALLEST_PRICE))
        mark("crossed_quote", (ask > _SMALLEST_PRICE) & (bid > ask))
    return codes


def judge_trade_rows(rows: TickRows) -> Codes:
    """Return for each trade row the code of the first kind that makes it unusable at any time, 0 for good rows."""
    price, size = rows.cols["price"], rows.cols["size"]
    codes = np.zeros(len(rows), dtype=np.uint8)

    def mark(kind: str, bad: Bool) -> None:
        codes[bad & (codes == 0)] = KINDS.index(kind)

    mark("suspicious", rows.suspicious)
    with np.errstate(invalid="ignore"):
        mark("non_finite", ~np.isfinite(price))
        mark("not_positive", price <= _SMALLEST_PRICE)
        mark("too_large", price > PRICE_MAX)
        mark("bad_size", ~(np.isfinite(size) & (size > 0)))
    if rows.not_last is not None:
        mark("not_last", rows.not_last)
    return codes


class Book:
    """Last known bid and ask of every symbol, day by day, folded over blocks of good quote rows in order of time."""

    def __init__(self, n_symbols: int) -> None:
        """Begin with nothing known."""
        self._day = np.full(n_symbols, np.iinfo(np.int64).min, dtype=np.int64)
        self._last = {name: np.full(n_symbols, np.nan) for name in QUOTE_COLUMNS}

    def fold(self, rows: TickRows) -> TickRows:
        """Return one row per symbol and instant with both sides as they stand after it, sorted by (ts, id).

        Args:
            rows: good rows of known symbols, ascending in time, at least one; no later block begins at the instant
                at which this one ends.
        """
        few = len(self._day) <= np.iinfo(np.uint16).max  # small keys sort by radix
        rows = rows.take(np.argsort(rows.ids.astype(np.uint16) if few else rows.ids, kind="stable"))
        ids, day = rows.ids, rows.day
        new = np.ones(len(rows), dtype=np.bool_)
        new[1:] = (ids[1:] != ids[:-1]) | (day[1:] != day[:-1])
        head = np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))  # first row of each symbol's day
        carried = day[head] == self._day[ids]
        cols = dict(rows.cols)
        for price, size in (("bid_px", "bid_size"), ("ask_px", "ask_size")):
            given = rows.cols[price] > _SMALLEST_PRICE
            source = np.maximum.accumulate(np.where(given | new, np.arange(len(rows)), 0))
            # The source is a row that states the side, or the day's first row, which may still know it from before.
            known = given[source]
            for name in (price, size):
                before = np.where(carried, self._last[name][ids], np.nan)
                cols[name] = np.where(known, rows.cols[name][source], before)
        last = np.ones(len(rows), dtype=np.bool_)
        last[:-1] = ids[1:] != ids[:-1]
        ends = np.flatnonzero(last)
        self._day[ids[ends]] = day[ends]
        for name in QUOTE_COLUMNS:
            self._last[name][ids[ends]] = cols[name][ends]
        last[:-1] |= rows.ts[1:] != rows.ts[:-1]
        rows = msgspec.structs.replace(rows, cols=cols).take(np.flatnonzero(last))
        return rows.take(np.lexsort((rows.ids, rows.ts)))


def _cuts(ts: I64) -> tuple[list[int], list[int]]:
    """Return the instants, and where their rows begin and end."""
    heads = np.flatnonzero(np.concatenate([[True], ts[1:] != ts[:-1]]))
    return ts[heads].tolist(), [*heads.tolist(), len(ts)]


def quote_panels(blocks: Iterable[TickRows]) -> Iterator[QuotePanel]:
    """Cut rows sorted by (ts, id), one per symbol and instant, into panels."""
    for rows in blocks:
        if not len(rows):
            continue
        stamps, bounds = _cuts(rows.ts)
        ids = freeze(rows.ids)
        bid, bid_size, ask, ask_size = (freeze(rows.cols[name]) for name in QUOTE_COLUMNS)
        lo = 0
        for ts, hi in zip(stamps, bounds[1:], strict=True):
            cut = slice(lo, hi)
            yield QuotePanel(ts, ids[cut], bid[cut], bid_size[cut], ask[cut], ask_size[cut])
            lo = hi


def trade_panels(blocks: Iterable[TickRows]) -> Iterator[TradePanel]:
    """Cut rows in order of time into panels."""
    for rows in blocks:
        if not len(rows):
            continue
        stamps, bounds = _cuts(rows.ts)
        ids, price, size = freeze(rows.ids), freeze(rows.cols["price"]), freeze(rows.cols["size"])
        lo = 0
        for ts, hi in zip(stamps, bounds[1:], strict=True):
            cut = slice(lo, hi)
            yield TradePanel(ts, ids[cut], price[cut], size[cut])
            lo = hi
