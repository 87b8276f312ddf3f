"""Bars from CSV, CSV.gz and Parquet, whatever of the contract's columns they have; polars does the reading.

Tapes that a daemon recorded are read beside them. What a file is, its first bytes say, not its name. CSV cells are
read as text and converted here, so that a cell that is no number is counted with its line instead of failing the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from actors.feed.bars import F64, MEASURES, PRICES, QUOTES, UNREADABLE_VOLUME, RawBars, SourceFile
from actors.feed.ports.cells import (
    Unchanged,
    choose,
    csv_header,
    flags_of,
    need,
    numbers,
    parquet_header,
    with_symbols,
)
from actors.feed.ports.tables import read_columns
from actors.feed.ports.tape import MARK, read_tape_bars
from actors.feed.ports.times import read_times
from actors.values.time import Interval
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ts": ("ts", "date", "ts_utc", "timestamp", "datetime", "time"),
    "symbol": ("symbol", "ticker"),
    **{name: (name,) for name in MEASURES},
    "suspicious": ("suspicious",),
}
"""Names a column may have, the one to prefer first; case and blanks around do not matter."""

QUIET: Final = ("bid_high", "bid_low", "bid_size", "ask_high", "ask_low", "ask_size")
"""Parts of a quote bar that are known and not needed: no notice."""


class FileData(msgspec.Struct, eq=False):
    """One file, read.

    Attributes:
        raw: rows of the symbols asked for.
        quotes_only: it has quoted prices and no close.
        symbols: every symbol in the file.
        rows_read: rows in the file.
        notices: what the operator should know.
        digest: SHA-256 of the file.
        adjustment: what a tape's prices have folded in; None where the file does not say.
        interval: of a tape's bars; None where the file does not say.
        sectors: symbol -> sector, as a tape recorded them.
        warm: panels of warm-up history on a tape, which were left out.
    """

    raw: RawBars
    quotes_only: bool
    symbols: tuple[str, ...]
    rows_read: int
    notices: tuple[str, ...]
    digest: str
    adjustment: Adjustment | None = None
    interval: Interval | None = None
    sectors: dict[str, str] = {}
    warm: int = 0


def read_file(path: str, *, tz: str | None, zone: str, keep: tuple[str, ...]) -> FileData:
    """Read one file of bars, or of quotes that belong to bars.

    Args:
        path: CSV, CSV.gz, Parquet or a tape.
        tz: zone of times without an offset, or None.
        zone: the exchange's zone.
        keep: symbols wanted; empty for all.

    Raises:
        OperatorError: the file cannot be read, lacks a column, is empty, or has a time or symbol that cannot be
            read; the sentence names file, line and what to do.
    """
    file = Unchanged(path)
    digest, magic = file.digest, file.magic
    if magic == MARK:
        return _read_tape(path, digest, keep)
    import polars as pl  # noqa: PLC0415 - 0.3 s

    parquet = magic == b"PAR1"
    header = parquet_header(path) if parquet else csv_header(path, zipped=magic[:2] == b"\x1f\x8b")
    names, ignored = _choose(header, path)
    frame = read_columns(path, [names[name] for name in names], parquet=parquet)
    file.check()
    frame = frame.rename({found: name for name, found in names.items()})
    unit = "row" if parquet else "line"
    frame = frame.with_row_index("row#", offset=1 if parquet else 2)
    height = frame.height
    if not parquet:
        frame = frame.filter(~pl.all_horizontal(pl.exclude("row#").is_null()))
    blank = height - frame.height
    if not frame.height:
        message = f"{path} has a header but no rows"
        raise OperatorError(message, code="EMPTY_FILE", remedy="give a file with at least one bar")
    rows_read = frame.height
    notices = []
    if blank:
        notices.append(f"{path}: skipped {blank} blank line{'s' if blank > 1 else ''}")
    if ignored:
        notices.append(f"{path}: ignored column{'s' if len(ignored) > 1 else ''} {', '.join(ignored)}")
    frame = with_symbols(frame, path, unit)
    symbols = tuple(frame["symbol"].unique().sort().to_list())
    if keep:
        frame = frame.filter(pl.col("symbol").is_in(list(keep)))
    quotes_only = "close" not in names
    close_only = not all(name in names for name in PRICES)
    if close_only and not quotes_only and any(name in names for name in PRICES[:3]):
        notices.append(f"{path} lacks one of open, high, low: only its closes are used")
    source = SourceFile(path, unit, close_only, "volume" in names)
    raw, notice = _raw(frame, source, tz, zone)
    if notice:
        notices.append(f"{path}: {notice}")
    return FileData(raw, quotes_only, symbols, rows_read, tuple(notices), digest)


def _read_tape(path: str, digest: str, keep: tuple[str, ...]) -> FileData:
    tape = read_tape_bars(path, keep=keep)
    universe = tape.universe
    return FileData(
        raw=tape.raw,
        quotes_only=False,
        symbols=universe.symbols,
        rows_read=tape.rows_read,
        notices=tape.notices,
        digest=digest,
        adjustment=universe.adjustment,
        interval=tape.interval,
        sectors={symbol: universe.sector(i) for i, symbol in enumerate(universe.symbols) if universe.sector(i)},
        warm=tape.warm,
    )


def _choose(header: list[str], path: str) -> tuple[dict[str, str], list[str]]:
    """Return wanted column -> name in the file, and the names of the file that are not wanted."""
    names, others = choose(header, path, ALIASES)
    required = ("ts", "symbol") if any(q in names for q in QUOTES) else ("ts", "symbol", "close")
    need(names, required, header, path, "bars need at least ts (or date), symbol and close")
    return names, [name for name in others if name.strip().lower() not in QUIET]


def _raw(frame: pl.DataFrame, source: SourceFile, tz: str | None, zone: str) -> tuple[RawBars, str]:
    import polars as pl  # noqa: PLC0415

    lines = frame["row#"].cast(pl.Int64).to_numpy()
    if not frame.height:
        none = np.zeros(0, dtype=np.int64)
        return RawBars((source,), (), none.astype(np.int32), none.astype(np.int16), none, none, None, {}), ""
    times = read_times(
        frame["ts"], tz=tz, zone=zone, place=lambda row: f"{source.path} {source.unit} {int(lines[row])}"
    )
    cols: dict[str, F64] = {}
    for name in MEASURES:
        if name in frame.columns:
            cols[name] = numbers(frame[name], source.path)
    if "close" in cols:
        if source.close_only:
            cols.update(dict.fromkeys(PRICES, cols["close"]))
        if source.has_volume:
            cols["volume"] = _volumes(frame["volume"], cols["volume"])
    names = frame["symbol"].unique().sort()
    ids = frame["symbol"].cast(pl.Enum(names)).to_physical().cast(pl.Int32).to_numpy()
    flags = None
    if "suspicious" in frame.columns:
        flags = flags_of(frame["suspicious"]).to_numpy()
    raw = RawBars(
        files=(source,),
        symbols=tuple(names.to_list()),
        ids=ids,
        file=np.zeros(frame.height, dtype=np.int16),
        line=lines,
        day=times.day,
        ts=times.ts,
        cols=cols,
        suspicious=flags,
    )
    return raw, times.notice


def _volumes(column: pl.Series, numbers: F64) -> F64:
    """Tell an empty volume (NaN: unknown) from a cell that is no number."""
    import polars as pl  # noqa: PLC0415

    if column.dtype != pl.String:
        return numbers
    empty = column.str.strip_chars().str.to_lowercase().is_in(["", "nan", "null", "none", "na"]).fill_null(value=True)
    unreadable = np.isnan(numbers) & ~empty.to_numpy()
    return np.where(unreadable, UNREADABLE_VOLUME, numbers) if unreadable.any() else numbers
