"""Files of quotes and of trades: CSV, CSV.gz or Parquet of any length, read in blocks.

A file is surveyed once when it is opened: every cell is looked at, rows are judged and counted, and the place and time
of each block is noted. Afterwards it can be read from any time on without looking at what lies before it; a file that
was changed since is refused.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Final

import msgspec
import numpy as np

from actors.feed.bars import F64, I64, Bool
from actors.feed.conditions import moves_last
from actors.feed.ports.cells import (
    Unchanged,
    choose,
    csv_header,
    flags_of,
    need,
    numbers,
    parquet_header,
    ragged_line,
    unreadable,
    with_symbols,
)
from actors.feed.ports.times import read_instants
from actors.feed.ticks import QUOTE_COLUMNS, TRADE_COLUMNS, TickRows, concat_rows, sort_rows
from actors.values.time import format_ts
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

BLOCK_ROWS: Final = 1 << 16
"""Rows of Parquet read at once."""
BLOCK_BYTES: Final = 1 << 22
"""Bytes of CSV read at once."""
TIMES: Final = ("ts", "date", "ts_utc", "timestamp", "datetime", "time")
ALIASES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "quotes": {
        "ts": TIMES,
        "symbol": ("symbol", "ticker"),
        "bid_px": ("bid_px", "bid_price", "bid"),
        "bid_size": ("bid_size", "bid_sz", "bid_qty"),
        "ask_px": ("ask_px", "ask_price", "ask"),
        "ask_size": ("ask_size", "ask_sz", "ask_qty"),
        "suspicious": ("suspicious",),
    },
    "trades": {
        "ts": TIMES,
        "symbol": ("symbol", "ticker"),
        "price": ("price", "px", "trade_px", "trade_price"),
        "size": ("size", "sz", "qty", "quantity", "trade_size"),
        "suspicious": ("suspicious",),
        "cond": ("cond",),
    },
}
"""Names a column may have, the one to prefer first."""
REQUIRED: Final = {"quotes": ("ts", "symbol", "bid_px", "ask_px"), "trades": ("ts", "symbol", "price", "size")}
MEASURES: Final = {"quotes": QUOTE_COLUMNS, "trades": TRADE_COLUMNS}
QUIET: Final = ("side", "conditions", "exchange", "session", "tape", "id")
"""Columns that are known and not needed: no notice."""

Mark = tuple[int, int]
"""Where a block begins: row or byte, and the line or row number of its first row."""


class Block(msgspec.Struct, frozen=True):
    """A stretch of a file: where it begins and the last time in it, nanoseconds UTC."""

    mark: Mark
    last_ts: int


class TickFile:
    """A file of ticks.

    Attributes:
        path: as the operator wrote it.
        kind: ``quotes`` or ``trades``.
        number: of the file among those of its kind.
        unit: what a place in it is called: ``line`` (CSV, counting the header) or ``row`` (Parquet, from 1).
        digest: SHA-256.
        notices: what the operator should know.
        symbols: names in order of first sight; ``TickRows.ids`` of this file hold positions in it until mapped.
        rows_read: rows found.
        sized: how much was displayed or traded is known.
    """

    def __init__(self, path: str, kind: str, *, number: int, tz: str | None, zone: str) -> None:
        """Look at the header.

        Args:
            path: of the file.
            kind: ``quotes`` or ``trades``.
            number: of the file among those of its kind.
            tz: zone of times without an offset, or None.
            zone: the exchange's zone.

        Raises:
            OperatorError: the file cannot be read or lacks a column.
        """
        self.path, self.kind = path, kind
        self.number, self._tz, self._zone = number, tz, zone
        self._file = Unchanged(path)
        self.digest, magic = self._file.digest, self._file.magic
        self._parquet = magic == b"PAR1"
        self._zipped = magic[:2] == b"\x1f\x8b"
        self.unit = "row" if self._parquet else "line"
        header = parquet_header(path) if self._parquet else csv_header(path, zipped=self._zipped)
        self._names, others = choose(header, path, ALIASES[kind])
        need(self._names, REQUIRED[kind], header, path, f"{kind} need at least {', '.join(REQUIRED[kind])}")
        ignored = [name for name in others if name.lower() not in QUIET]
        self.notices: list[str] = []
        if ignored:
            self.notices.append(f"{path}: ignored column{'s' if len(ignored) > 1 else ''} {', '.join(ignored)}")
        unsized = [name for name in MEASURES[kind] if name not in self._names]
        self.sized = not unsized
        if unsized:
            self.notices.append(f"{path} has no {' and no '.join(unsized)}: sizes are unknown")
        self.symbols: dict[str, int] = {}
        self.rows_read = 0
        self._blocks: list[Block] = []
        self._whole = False
        self._blank = 0

    # ---------------------------------------------------------------------------------------------------------- survey

    def survey(self, look: Callable[[TickRows], None]) -> None:
        """Read the file once and show every block; afterwards :meth:`rows` can begin anywhere.

        Raises:
            OperatorError: a time or symbol that cannot be read, no rows, or rows of a symbol that go back in time.
        """
        last = np.iinfo(np.int64).min
        for mark, frame in self._frames(None):
            rows = self._decode(frame)
            self.rows_read += len(rows)
            back = bool(len(rows)) and (int(rows.ts[0]) < last or bool((rows.ts[1:] < rows.ts[:-1]).any()))
            if back and not self._whole:
                self._whole = True
                self.notices.append(f"{self.path} is not in order of time and was sorted in memory")
            last = max(last, int(rows.ts.max()))
            self._blocks.append(Block(mark, last))
            if not self._whole:
                look(rows)
        if not self.rows_read:
            message = f"{self.path} has a header but no rows"
            raise OperatorError(message, code="EMPTY_FILE", remedy=f"give a file with at least one of {self.kind}")
        if self._blank:
            self.notices.append(f"{self.path}: skipped {self._blank} blank line{'s' if self._blank > 1 else ''}")

    @property
    def sorted(self) -> bool:
        """Whether the file is in order of time, so that it can be read in blocks."""
        return not self._whole

    def whole(self) -> TickRows:
        """Return all rows in order of time.

        Raises:
            OperatorError: rows of one symbol go back in time; nobody can say which of the two orders was meant.
        """
        rows = concat_rows([self._decode(frame) for _, frame in self._frames(None)])
        order = np.argsort(rows.ids, kind="stable")
        ids, ts = rows.ids[order], rows.ts[order]
        bad = np.flatnonzero((ids[1:] == ids[:-1]) & (ts[1:] < ts[:-1]))
        if len(bad):
            at = bad[np.argmin(order[bad + 1])]
            earlier, row = int(order[at]), int(order[at + 1])
            symbol = list(self.symbols)[int(rows.ids[row])]
            message = (
                f"{self.path} {self.unit} {rows.line[row]}: {symbol} at {format_ts(int(rows.ts[row]))} comes after its "
                f"row at {format_ts(int(rows.ts[earlier]))}"
            )
            raise OperatorError(message, code="UNSORTED_ROWS", remedy="sort the rows by time, oldest first")
        return sort_rows(rows)

    def rows(self, since: int | None) -> Iterator[TickRows]:
        """Yield the rows in order of time, from the block on in which ``since`` lies; None: from the beginning."""
        if self._whole:
            yield self.whole()
            return
        start = next((block.mark for block in self._blocks if since is None or block.last_ts >= since), None)
        if start is None:
            return
        for _, frame in self._frames(start):
            yield self._decode(frame)

    # --------------------------------------------------------------------------------------------------------- reading

    def _frames(self, start: Mark | None) -> Iterator[tuple[Mark, pl.DataFrame]]:
        """Yield where a block begins and its wanted columns with ``row#``; blank lines are left out."""
        pieces = self._parquet_frames(start) if self._parquet else self._csv_frames(start)
        counting = start is None
        self._blank = 0 if counting else self._blank
        for mark, raw in pieces:
            frame = raw.rename({found: name for name, found in self._names.items()}).with_row_index(
                "row#", offset=mark[1]
            )
            if not self._parquet:
                import polars as pl  # noqa: PLC0415 - 0.3 s

                height = frame.height
                frame = frame.filter(~pl.all_horizontal(pl.exclude("row#").is_null()))
                self._blank += (height - frame.height) * counting
            if frame.height:
                yield mark, frame

    def _parquet_frames(self, start: Mark | None) -> Iterator[tuple[Mark, pl.DataFrame]]:
        import polars as pl  # noqa: PLC0415

        offset = 0 if start is None else start[0]
        try:
            table = pl.scan_parquet(self.path).select(list(self._names.values()))
            while True:
                self._file.check()  # before, as a file that is too short is no error but a panic to the reader
                frame = table.slice(offset, BLOCK_ROWS).collect()
                self._file.check()
                if not frame.height:
                    return
                yield (offset, offset + 1), frame
                offset += frame.height
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            self._file.check()
            raise unreadable(self.path, error) from error

    def _csv_frames(self, start: Mark | None) -> Iterator[tuple[Mark, pl.DataFrame]]:
        """Read lines in blocks; a cell must not hold a line break."""
        opener = gzip.open if self._zipped else open
        try:
            with opener(self.path, "rb") as file:
                header = file.readline().removeprefix(b"\xef\xbb\xbf")
                mark = (file.tell(), 2)
                if start is not None:
                    file.seek(start[0])
                    mark = start
                for lines in _whole_lines(file):  # type: ignore[arg-type]
                    self._file.check(file.fileno())
                    yield mark, self._parse(header.rstrip(b"\r\n") + b"\n" + lines)
                    mark = (mark[0] + len(lines), mark[1] + lines.count(b"\n"))
                self._file.check(file.fileno())  # what looks like the end may be where somebody cut it
        except (OSError, EOFError, zlib.error) as error:
            self._file.check()
            raise unreadable(self.path, error) from error

    def _parse(self, text: bytes) -> pl.DataFrame:
        import polars as pl  # noqa: PLC0415

        try:
            return pl.read_csv(io.BytesIO(text), columns=list(self._names.values()), infer_schema=False)
        except pl.exceptions.PolarsError as error:
            line = ragged_line(self.path)
            if line is None:
                raise unreadable(self.path, error) from error
            message = f"{self.path} line {line} has more cells than the header"
            remedy = "use a comma between cells only, and a point for decimals"
            raise OperatorError(message, code="RAGGED_ROW", remedy=remedy) from error

    def _decode(self, frame: pl.DataFrame) -> TickRows:
        import polars as pl  # noqa: PLC0415

        frame = with_symbols(frame, self.path, self.unit)
        line: I64 = frame["row#"].cast(pl.Int64).to_numpy()
        day, ts = read_instants(
            frame["ts"], tz=self._tz, zone=self._zone, place=lambda row: f"{self.path} {self.unit} {int(line[row])}"
        )
        for name in frame["symbol"].unique(maintain_order=True).to_list():
            self.symbols.setdefault(name, len(self.symbols))
        ids = frame["symbol"].replace_strict(self.symbols, return_dtype=pl.Int32).to_numpy()
        count = frame.height
        unknown: F64 = np.full(count, np.nan)
        flags = flags_of(frame["suspicious"]).to_numpy() if "suspicious" in frame.columns else np.zeros(count, np.bool_)
        return TickRows(
            ts=ts,
            day=day,
            ids=ids,
            file=np.full(count, self.number, dtype=np.int16),
            line=line,
            cols={n: numbers(frame[n], self.path) if n in frame.columns else unknown for n in MEASURES[self.kind]},
            suspicious=flags,
            not_last=_not_last(frame["cond"]) if "cond" in frame.columns else None,
        )


def _not_last(cond: pl.Series) -> Bool:
    """Return which prints do not move the last price, by the texts of their conditions."""
    import polars as pl  # noqa: PLC0415

    texts = (cond.list.join(" ") if cond.dtype == pl.List else cond.cast(pl.String)).fill_null("")
    known = texts.unique().to_list()
    return texts.replace_strict(known, [not moves_last(text) for text in known], return_dtype=pl.Boolean).to_numpy()


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file in pieces that end with a line."""
    rest = b""
    while True:
        chunk = file.read(BLOCK_BYTES)
        if not chunk:
            break
        chunk = rest + chunk
        end = chunk.rfind(b"\n") + 1
        rest = chunk[end:]
        if end:  # else a line longer than a piece
            yield chunk[:end]
    if rest.strip():
        yield rest
