"""Cells and headers of CSV, CSV.gz and Parquet files, read the same way whatever the rows are of.

What a file is, its first bytes say, not its name. CSV cells are read as text and converted here, so that a cell that
is no number is counted with its line instead of failing the file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from actors.feed.bars import F64
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

SYMBOL_MAX: Final = 32
SYMBOL_RULE: Final = r"^[\p{L}\p{N}_^.$#][\p{L}\p{N}_^.$#&/:=+@~!*()\[\] -]*$"
"""What vendors' symbols are made of. Nothing that ends a CSV cell, nothing invisible, and no first character that a
spreadsheet takes for a formula."""
REASON_MAX: Final = 160
_TRUE: Final = ("true", "t", "yes", "y")


def digest_of(path: str) -> tuple[str, bytes]:
    """Return the file's SHA-256 and first four bytes.

    Raises:
        OperatorError: there is no such file, or it cannot be read.
    """
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


class Unchanged:
    """Remembers what a file was when it was looked at, so that what is read of it later is of the same file.

    A file that somebody cuts, extends or writes over while it is read does not say so: its end comes early, or its rows
    are others than the ones that were judged. Asking costs one look at size and time of writing; only where these
    differ is the file read again, for a file that was touched, or replaced by a copy, is the same file.

    Attributes:
        digest: SHA-256.
        magic: its first four bytes.
    """

    def __init__(self, path: str) -> None:
        """Look at the file.

        Raises:
            OperatorError: there is no such file, or it cannot be read.
        """
        self._path = path
        try:
            stamp = _stamp(Path(path).stat())
        except OSError:
            stamp = None  # said below, in the words that fit
        self.digest, self.magic = digest_of(path)
        self._stamp = stamp

    def check(self, descriptor: int | None = None) -> None:
        """Look again.

        Args:
            descriptor: of the open file; without one what lies at the path counts.

        Raises:
            OperatorError: it is another file by now, or gone.
            OSError: the descriptor cannot be asked.
        """
        try:
            stamp = _stamp(Path(self._path).stat() if descriptor is None else os.fstat(descriptor))
        except FileNotFoundError as error:
            raise unreadable(self._path, error) from error
        if stamp == self._stamp:
            return
        if self._stamp is None or stamp.size != self._stamp.size or digest_of(self._path)[0] != self.digest:
            before = f", which had {self._stamp.size:,} bytes and has {stamp.size:,}" if self._stamp else ""
            message = f"{self._path} was changed while it is read{before}"
            remedy = "play a file that nobody writes to: put it back as it was, or start again with what it is now"
            raise OperatorError(message, code="FILE_CHANGED", remedy=remedy)
        self._stamp = stamp


class _Stamp(NamedTuple):
    device: int
    inode: int
    size: int
    written_ns: int


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def csv_header(path: str, *, zipped: bool) -> list[str]:
    """Return the cells of a CSV file's first line.

    Raises:
        OperatorError: the file cannot be read.
    """
    try:
        if zipped:
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                return next(csv.reader(file), [])
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, error) from error


def parquet_header(path: str) -> list[str]:
    """Return the names of a Parquet file's columns.

    Raises:
        OperatorError: the file cannot be read.
    """
    import polars as pl  # noqa: PLC0415

    try:
        return list(pl.read_parquet_schema(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> OperatorError:
    """Return the error that says why a file cannot be read, in one line."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    reason = reason if len(reason) <= REASON_MAX else f"{reason[:REASON_MAX]}..."
    message = f"cannot read {path}: {reason}"
    return OperatorError(message, code="UNREADABLE_FILE", remedy="give a UTF-8 CSV, CSV.gz or Parquet file")


def choose(header: list[str], path: str, aliases: dict[str, tuple[str, ...]]) -> tuple[dict[str, str], list[str]]:
    """Find columns by the names they may have; case and blanks around do not matter.

    Args:
        header: names in the file.
        path: for messages.
        aliases: wanted column -> names it may have, the one to prefer first; ``ts`` is among them.

    Returns:
        Wanted column -> name in the file, and the other names of the file.

    Raises:
        OperatorError: no header, a name twice, or several columns of time.
    """
    if not any(name.strip() for name in header):
        message = f"{path} is empty or has no header in its first line"
        raise OperatorError(message, code="EMPTY_FILE", remedy="give a file with a header and at least one row")
    by_name: dict[str, str] = {}
    for found in header:
        name = found.strip().lower()
        if name in by_name:
            message = f"{path} line 1: the column {name} appears twice"
            raise OperatorError(message, code="DUPLICATE_COLUMN", remedy="remove or rename one of them")
        by_name[name] = found
    names = {
        name: by_name[alias]
        for name, known in aliases.items()
        if (alias := next((a for a in known if a in by_name), None)) is not None
    }
    times = [by_name[alias] for alias in aliases["ts"] if alias in by_name]
    if len(times) > 1 and names["ts"] != by_name.get("ts"):
        message = f"{path} has several columns of time: {', '.join(times)}"
        raise OperatorError(message, code="AMBIGUOUS_TIME", remedy="join them into one column named ts")
    taken = list(names.values())
    return names, [_told(found) for found in by_name.values() if found not in taken]


def _told(name: str) -> str:
    """Return a column's name as a sentence may have it, which is one line."""
    name = name.strip()
    return name if name.isprintable() else ascii(name)


def need(names: dict[str, str], required: tuple[str, ...], header: list[str], path: str, remedy: str) -> None:
    """Refuse a file that lacks a column.

    Raises:
        OperatorError: naming what is missing and what there is.
    """
    missing = [name for name in required if name not in names]
    if not missing:
        return
    some = ", ".join(_told(found) for found in header[:12])
    some = some if len(some) <= REASON_MAX else f"{some[:REASON_MAX]}..."
    message = f"{path} has no column {' and no column '.join(missing)} (it has {some})"
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        remedy = "separate the cells by commas"
    raise OperatorError(message, code="MISSING_COLUMN", remedy=remedy)


def ragged_line(path: str) -> int | None:
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


def with_symbols(frame: pl.DataFrame, path: str, unit: str) -> pl.DataFrame:
    """Return the frame with its column ``symbol`` as trimmed text.

    Args:
        frame: with ``symbol`` and ``row#``.
        path: for messages.
        unit: what a place in the file is called.

    Raises:
        OperatorError: a symbol is missing or is none; with its place.
    """
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


def numbers(column: pl.Series, path: str) -> F64:
    """Convert to float64; a cell that is empty or no number becomes NaN."""
    import polars as pl  # noqa: PLC0415

    if column.dtype == pl.String:
        column = column.str.strip_chars()
    elif not (column.dtype.is_numeric() or column.dtype == pl.Null):
        message = f"{path}: the column {column.name} holds {column.dtype}, not numbers"
        raise OperatorError(message, code="BAD_COLUMN", remedy="store prices and volumes as numbers")
    numbers: F64 = column.cast(pl.Float64, strict=False).to_numpy()
    return numbers


def flags_of(column: pl.Series) -> pl.Series:
    """Return which cells say yes: true, t, yes, y, or a number that is not zero."""
    import polars as pl  # noqa: PLC0415

    if column.dtype == pl.Boolean:
        return column.fill_null(value=False)
    text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    number = text.cast(pl.Float64, strict=False)
    return (text.is_in(list(_TRUE)) | (number != 0)).fill_null(value=False)
