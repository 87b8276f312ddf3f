"""Bars from CSV, CSV.gz and Parquet, whatever of the contract's columns they have; polars does the reading.

Tapes that a daemon recorded are read beside them. What a file is, its first bytes say, not its name. CSV cells are
read as text and converted here, so that a cell that is no number is counted with its line instead of failing the file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from actors.feed.bars import F64, MEASURES, PRICES, QUOTES, UNREADABLE_VOLUME, RawBars, SourceFile
from actors.feed.ports.tape import MARK, read_tape_bars
from actors.feed.ports.times import read_times
from actors.values.time import Interval
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

SYMBOL_MAX: Final = 32
SYMBOL_RULE: Final = r"^[\p{L}\p{N}_^.$#][\p{L}\p{N}_^.$#&/:=+@~!*()\[\] -]*$"
"""What vendors' symbols are made of. Nothing that ends a CSV cell, nothing invisible, and no first character that a
spreadsheet takes for a formula."""
REASON_MAX: Final = 160
ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ts": ("ts", "date", "ts_utc", "timestamp", "datetime", "time"),
    "symbol": ("symbol", "ticker"),
    **{name: (name,) for name in MEASURES},
    "suspicious": ("suspicious",),
}
"""Names a column may have, the one to prefer first; case and blanks around do not matter."""

QUIET: Final = ("bid_high", "bid_low", "bid_size", "ask_high", "ask_low", "ask_size")
"""Parts of a quote bar that are known and not needed: no notice."""

_TRUE: Final = ("true", "t", "yes", "y")


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
    digest, magic = _digest(path)
    if magic == MARK:
        return _read_tape(path, digest, keep)
    import polars as pl  # noqa: PLC0415 - 0.3 s

    parquet = magic == b"PAR1"
    header = _parquet_header(path) if parquet else _csv_header(path, zipped=magic[:2] == b"\x1f\x8b")
    names, ignored = _choose(header, path)
    frame = _read(path, [names[name] for name in names], parquet=parquet)
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
    frame = _with_symbols(frame, path, unit)
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
    )


def _digest(path: str) -> tuple[str, bytes]:
    """Return the file's SHA-256 and first four bytes."""
    try:
        if not Path(path).is_file():
            reason = "it is a folder" if Path(path).is_dir() else "there is no such file"
            if Path(path).exists() and not Path(path).is_dir():
                reason = "it is a pipe or a device, not a file"
            message = f"cannot read {path}: {reason}"
            raise OperatorError(message, code="UNREADABLE_FILE", remedy="name an existing CSV, CSV.gz or Parquet file")
        with Path(path).open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest(), magic
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise OperatorError(message, code="UNREADABLE_FILE", remedy="check the path and its permissions") from error


def _csv_header(path: str, *, zipped: bool) -> list[str]:
    try:
        if zipped:
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                return next(csv.reader(file), [])
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _parquet_header(path: str) -> list[str]:
    import polars as pl  # noqa: PLC0415

    try:
        return list(pl.read_parquet_schema(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> OperatorError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    reason = reason if len(reason) <= REASON_MAX else f"{reason[:REASON_MAX]}..."
    message = f"cannot read {path}: {reason}"
    return OperatorError(message, code="UNREADABLE_FILE", remedy="give a UTF-8 CSV, CSV.gz or Parquet file")


def _choose(header: list[str], path: str) -> tuple[dict[str, str], list[str]]:
    """Return wanted column -> name in the file, and the names of the file that are not wanted."""
    if not any(name.strip() for name in header):
        message = f"{path} is empty or has no header in its first line"
        raise OperatorError(message, code="EMPTY_FILE", remedy="give a file with a header and at least one bar")
    by_name: dict[str, str] = {}
    for found in header:
        name = found.strip().lower()
        if name in by_name:
            message = f"{path} line 1: the column {name} appears twice"
            raise OperatorError(message, code="DUPLICATE_COLUMN", remedy="remove or rename one of them")
        by_name[name] = found
    names = {
        name: by_name[alias]
        for name, aliases in ALIASES.items()
        if (alias := next((a for a in aliases if a in by_name), None)) is not None
    }
    times = [by_name[alias] for alias in ALIASES["ts"] if alias in by_name]
    if len(times) > 1 and names["ts"] != by_name.get("ts"):
        message = f"{path} has several columns of time: {', '.join(times)}"
        raise OperatorError(message, code="AMBIGUOUS_TIME", remedy="join them into one column named ts")
    required = ("ts", "symbol") if any(q in names for q in QUOTES) else ("ts", "symbol", "close")
    missing = [name for name in required if name not in names]
    if missing:
        some = ", ".join(found.strip() for found in header[:12])
        some = some if len(some) <= REASON_MAX else f"{some[:REASON_MAX]}..."
        message = f"{path} has no column {' and no column '.join(missing)} (it has {some})"
        remedy = "bars need at least ts (or date), symbol and close"
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            remedy = "separate the cells by commas"
        raise OperatorError(message, code="MISSING_COLUMN", remedy=remedy)
    taken = list(names.values())
    return names, [f.strip() for n, f in by_name.items() if f not in taken and n not in QUIET]


def _read(path: str, columns: list[str], *, parquet: bool) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415

    try:
        if parquet:
            return pl.read_parquet(path, columns=columns)
        return pl.read_csv(path, columns=columns, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        line = None if parquet else _ragged_line(path)
        if line is not None:
            message = f"{path} line {line} has more cells than the header"
            raise OperatorError(
                message, code="RAGGED_ROW", remedy="use a comma between cells only, and a point for decimals"
            ) from error
        raise _unreadable(path, error) from error


def _ragged_line(path: str) -> int | None:
    """Return the first line with more cells than the header; only asked once reading has failed."""
    with Path(path).open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    opener = gzip.open if zipped else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text)
            width = len(next(rows, []))
            return next((rows.line_num for row in rows if len(row) > width), None)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error):
        return None  # the first failure already says what is wrong


def _with_symbols(frame: pl.DataFrame, path: str, unit: str) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415

    dtype = frame.schema["symbol"]
    if not (dtype == pl.String or dtype.is_integer() or isinstance(dtype, pl.Categorical | pl.Enum)):
        message = f"{path}: the column symbol holds {dtype}, not names"
        raise OperatorError(message, code="BAD_SYMBOL", remedy="write symbols as text")
    symbol = pl.col("symbol").cast(pl.String).str.strip_chars()
    frame = frame.with_columns(symbol)
    length = frame["symbol"].str.len_chars().fill_null(0)
    bad = (length == 0) | (length > SYMBOL_MAX)
    if bad.any():
        row = bad.arg_max() or 0
        what = "the symbol is missing" if not length[row] else f"the symbol has more than {SYMBOL_MAX} characters"
        message = f"{path} {unit} {frame['row#'][row]}: {what}"
        raise OperatorError(message, code="BAD_SYMBOL", remedy="name one symbol per row")
    names = frame["symbol"].unique(maintain_order=True)
    odd = names.filter(~names.str.contains(SYMBOL_RULE))
    if len(odd):
        row = (frame["symbol"] == odd[0]).arg_max() or 0
        message = f"{path} {unit} {frame['row#'][row]}: {odd[0]!r} is no symbol"
        remedy = "use letters, digits and marks such as . - / ^, and begin with a letter, a digit or ^"
        raise OperatorError(message, code="BAD_SYMBOL", remedy=remedy)
    return frame


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
            cols[name] = _numbers(frame[name], source.path)
    if "close" in cols:
        if source.close_only:
            cols.update(dict.fromkeys(PRICES, cols["close"]))
        if source.has_volume:
            cols["volume"] = _volumes(frame["volume"], cols["volume"])
    names = frame["symbol"].unique().sort()
    ids = frame["symbol"].cast(pl.Enum(names)).to_physical().cast(pl.Int32).to_numpy()
    flags = None
    if "suspicious" in frame.columns:
        flags = _flags(frame["suspicious"]).to_numpy()
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


def _numbers(column: pl.Series, path: str) -> F64:
    """Convert to float64; a cell that is empty or no number becomes NaN."""
    import polars as pl  # noqa: PLC0415

    if column.dtype == pl.String:
        column = column.str.strip_chars()
    elif not (column.dtype.is_numeric() or column.dtype == pl.Null):
        message = f"{path}: the column {column.name} holds {column.dtype}, not numbers"
        raise OperatorError(message, code="BAD_COLUMN", remedy="store prices and volumes as numbers")
    numbers: F64 = column.cast(pl.Float64, strict=False).to_numpy()
    return numbers


def _volumes(column: pl.Series, numbers: F64) -> F64:
    """Tell an empty volume (NaN: unknown) from a cell that is no number."""
    import polars as pl  # noqa: PLC0415

    if column.dtype != pl.String:
        return numbers
    empty = column.str.strip_chars().str.to_lowercase().is_in(["", "nan", "null", "none", "na"]).fill_null(value=True)
    unreadable = np.isnan(numbers) & ~empty.to_numpy()
    return np.where(unreadable, UNREADABLE_VOLUME, numbers) if unreadable.any() else numbers


def _flags(column: pl.Series) -> pl.Series:
    import polars as pl  # noqa: PLC0415

    if column.dtype == pl.Boolean:
        return column.fill_null(value=False)
    text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    number = text.cast(pl.Float64, strict=False)
    return (text.is_in(list(_TRUE)) | (number != 0)).fill_null(value=False)
