"""Readers for the CSV files of ``tradingd calc`` (``contract.md`` section 4); errors name file, line and column."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.trades import TradeColumns
from actors.values.time import SECOND_NS
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_NS: Final = 86_400 * SECOND_NS
_TIME_ALIASES: Final = ("ts", "date", "ts_utc")


class Wide(msgspec.Struct, frozen=True):
    """One or several series over the same instants: ``stamps [n]``, ``names``, ``values [n, k]``."""

    stamps: I64
    names: tuple[str, ...]
    values: F64


class EquityFile(msgspec.Struct, frozen=True):
    """An equity curve: ``stamps [n + 1]``, ``equity [n + 1]``; gross and net where the file has them."""

    stamps: I64
    equity: F64
    gross: F64 | None
    net: F64 | None


def bad_cell(path: Path, line: int, column: str, what: str, remedy: str = "") -> OperatorError:
    """Return the error of a cell: file, line and column."""
    return OperatorError(f"{path}, line {line}, column {column}: {what}", code="BAD_FILE", remedy=remedy)


def parse_stamp(text: str) -> int:
    """Parse an RFC 3339 time or a date alone (midnight UTC) to nanoseconds.

    Raises:
        ValueError: neither, or a time without an offset.
    """
    text = text.strip()
    if len(text) == 10:
        return _in_range((date.fromisoformat(text).toordinal() - _EPOCH_DAY) * _DAY_NS, text)
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        message = f"{text!r} has no offset from UTC"
        raise ValueError(message)
    delta = stamp - datetime(1970, 1, 1, tzinfo=UTC)
    return _in_range(((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000, text)


def _in_range(stamp: int, text: str) -> int:
    if abs(stamp) >= 1 << 63:
        message = f"{text!r} is beyond what nanoseconds in 64 bits can tell"
        raise ValueError(message)
    return stamp


def read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the columns of a CSV and its rows with their lines.

    Raises:
        OperatorError: the file is missing, empty, or no CSV.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as handle:
                lines = handle.read().splitlines()
        else:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        message = f"{path} cannot be read: it is not UTF-8 text"
        raise OperatorError(message, code="BAD_FILE", remedy="save it as a CSV in UTF-8") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{path} cannot be read: {reason}"
        raise OperatorError(message, code="BAD_FILE", remedy="name a CSV file that this user may read") from None
    reader = _reader(path, lines)
    _, header = next(reader, (0, None))
    if not header:
        message = f"{path} is empty"
        raise OperatorError(message, code="BAD_FILE", remedy="the first line must name the columns")
    names = [name.strip() for name in header]
    return names, ((line, row) for line, row in reader if row)


def _reader(path: Path, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        message = f"{path}, line {reader.line_num}: {error}"
        raise OperatorError(message, code="BAD_FILE", remedy="one row a line, cells separated by commas") from None


def find_column(path: Path, names: list[str], wanted: tuple[str, ...]) -> int:
    """Return the place of the first of some names.

    Raises:
        OperatorError: none is there.
    """
    for name in wanted:
        if name in names:
            return names.index(name)
    message = f"{path}, line 1: there is no column {wanted[0]}, only {', '.join(names)}"
    raise OperatorError(message, code="BAD_FILE", remedy=f"name one column {wanted[0]}")


def cell_at(path: Path, line: int, row: list[str], at: int, column: str) -> str:
    """Return a cell without blanks around it.

    Raises:
        OperatorError: the line is too short.
    """
    if at >= len(row):
        raise bad_cell(path, line, column, "the line is too short")
    return row[at].strip()


def _number(path: Path, line: int, row: list[str], at: int, column: str) -> float:
    text = cell_at(path, line, row, at, column)
    try:
        value = float(text)
    except ValueError:
        raise bad_cell(path, line, column, f"{text!r} is not a number", "write one such as 0.0123") from None
    if not math.isfinite(value):
        raise bad_cell(path, line, column, f"{text!r} is not finite", "leave the row out or repair it")
    return value


def _stamp(path: Path, line: int, row: list[str], at: int, column: str, previous: int | None) -> int:
    text = cell_at(path, line, row, at, column)
    try:
        stamp = parse_stamp(text)
    except ValueError:
        remedy = "write a date such as 2022-12-28 or a time with an offset such as 2022-12-28T21:00:00Z"
        raise bad_cell(path, line, column, f"{text!r} is not a time", remedy) from None
    if previous is not None and stamp <= previous:
        what = "the time repeats" if stamp == previous else "the time goes backward"
        raise bad_cell(path, line, column, f"{what} ({text})", "sort the rows by time, one row an instant")
    return stamp


def read_wide(path: Path, *, holes: bool = False) -> Wide:
    """Read ``ts`` and one or more series; with ``holes`` a cell may be empty, which is NaN.

    Raises:
        OperatorError: the file is missing or empty, a column comes twice, a cell is no finite number, or times do not
            ascend.
    """
    names, rows = read_rows(path)
    at = find_column(path, names, _TIME_ALIASES)
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        message = f"{path}, line 1: column {twice!r} comes twice"
        raise OperatorError(message, code="BAD_FILE", remedy="one column a symbol")
    columns = [(i, name) for i, name in enumerate(names) if i != at]
    if not columns:
        message = f"{path}, line 1: there is no column beside {names[at]}"
        raise OperatorError(message, code="BAD_FILE", remedy="add a column return, or one column per symbol")
    stamps: list[int] = []
    values: list[list[float]] = []
    for line, row in rows:
        stamps.append(_stamp(path, line, row, at, names[at], stamps[-1] if stamps else None))
        values.append(
            [
                math.nan if holes and not cell_at(path, line, row, i, name) else _number(path, line, row, i, name)
                for i, name in columns
            ]
        )
    if not stamps:
        message = f"{path} has a header and no rows"
        raise OperatorError(message, code="BAD_FILE", remedy="add rows of ts and return")
    return Wide(np.array(stamps, dtype=np.int64), tuple(name for _, name in columns), np.array(values))


def read_returns(path: Path) -> Wide:
    """Read ``ts,return`` (or a single series under another name) and compound what falls on one UTC date.

    Raises:
        OperatorError: as :func:`read_wide`; several series; a return of -100 % or less.
    """
    wide = read_wide(path)
    if "return" in wide.names:
        keep = wide.names.index("return")
    elif len(wide.names) == 1:
        keep = 0
    else:
        message = f"{path} has {len(wide.names)} series ({', '.join(wide.names[:4])} ...), and one is wanted"
        raise OperatorError(message, code="BAD_FILE", remedy="name one column return")
    series = wide.values[:, keep]
    if float(series.min()) < -1.0:
        line = int(np.argmax(series < -1.0)) + 2
        raise bad_cell(path, line, wide.names[keep], "a loss of more than 100 %", "write fractions: 0.0123 is 1.23 %")
    days = wide.stamps // _DAY_NS
    last = np.append(days[1:] != days[:-1], True)
    if not last.all():
        group = np.concatenate(([0], np.cumsum(last)[:-1]))
        compounded = np.ones(int(group[-1]) + 1)
        np.multiply.at(compounded, group, 1.0 + series)
        series = compounded - 1.0
    return Wide(wide.stamps[last], (wide.names[keep],), series[:, None])


def read_symbols(path: Path) -> dict[str, float]:
    """Read ``symbol,value``, one row a symbol.

    Raises:
        OperatorError: unreadable, a value is not a finite number, a symbol comes twice, or there is none.
    """
    names, rows = read_rows(path)
    symbol_at, value_at = find_column(path, names, ("symbol",)), find_column(path, names, ("value", "weight"))
    found: dict[str, float] = {}
    for line, row in rows:
        symbol = cell_at(path, line, row, symbol_at, "symbol")
        if symbol in found:
            raise bad_cell(path, line, "symbol", f"{symbol} comes twice", "one row a symbol")
        found[symbol] = _number(path, line, row, value_at, names[value_at])
    if not found:
        message = f"{path} has a header and no rows"
        raise OperatorError(message, code="BAD_FILE", remedy="add rows of symbol and value")
    return found


def read_equity(path: Path) -> EquityFile:
    """Read ``ts,equity``; the first row is the base point, of the others the last one of each UTC date counts.

    Raises:
        OperatorError: unreadable, fewer than two rows, an equity of zero or less.
    """
    names, rows = read_rows(path)
    at, equity_at = find_column(path, names, _TIME_ALIASES), find_column(path, names, ("equity",))
    extras = [(name, names.index(name)) for name in ("gross", "net") if name in names]
    stamps: list[int] = []
    equity: list[float] = []
    more: list[list[float]] = []
    for line, row in rows:
        stamp = _stamp(path, line, row, at, names[at], None)
        if stamps and stamp < stamps[-1]:
            raise bad_cell(path, line, names[at], "the time goes backward", "sort the rows by time")
        value = _number(path, line, row, equity_at, "equity")
        if value <= 0:
            raise bad_cell(
                path, line, "equity", f"{value!r} is not above zero", "returns of such a curve have no meaning"
            )
        stamps.append(stamp)
        equity.append(value)
        more.append([_number(path, line, row, i, name) for name, i in extras])
    if len(stamps) < 2:
        message = f"{path} has {len(stamps)} rows, and a return needs two"
        raise OperatorError(message, code="BAD_FILE", remedy="the first row is the starting cash")
    times, values = np.array(stamps, dtype=np.int64), np.array(equity)
    days = times // _DAY_NS
    keep = np.append(days[1:] != days[:-1], True)
    keep[0] = True
    wide = np.array(more)[keep][1:] / values[keep][1:, None] if extras else None
    found = {name: wide[:, i] for i, (name, _) in enumerate(extras)} if wide is not None else {}
    return EquityFile(times[keep], values[keep], found.get("gross"), found.get("net"))


def read_trades(path: Path) -> TradeColumns:
    """Read ``trades.csv`` of a run folder, or any CSV with ``pnl`` and optionally ``return entry_ts exit_ts``.

    Raises:
        OperatorError: unreadable, or no column ``pnl``.
    """
    names, rows = read_rows(path)
    pnl_at = find_column(path, names, ("pnl",))
    ret_at = names.index("return") if "return" in names else None
    both = "entry_ts" in names and "exit_ts" in names
    pnl: list[float] = []
    ret: list[float] = []
    times: list[tuple[int, int]] = []
    for line, row in rows:
        pnl.append(_number(path, line, row, pnl_at, "pnl"))
        if ret_at is not None:
            ret.append(_number(path, line, row, ret_at, "return"))
        if both:
            entry, left = (
                _stamp(path, line, row, names.index(column), column, None) for column in ("entry_ts", "exit_ts")
            )
            times.append((entry, left))
    stamps = np.array(times, dtype=np.int64).reshape(-1, 2) if both else None
    return TradeColumns(
        pnl=np.array(pnl),
        ret=np.array(ret) if ret_at is not None else None,
        entry_ts=stamps[:, 0] if stamps is not None else None,
        exit_ts=stamps[:, 1] if stamps is not None else None,
    )
