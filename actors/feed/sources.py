"""Where bars come from: the embedded data set or the operator's files, brought to one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from actors.feed.bars import F64, I64, RawBars, concat
from actors.feed.session import calendar_zone
from actors.values.time import Interval
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    from actors.feed.ports.files import FileData


class Loaded(msgspec.Struct, eq=False):
    """Rows as read, and what is known of them.

    Attributes:
        raw: at least one row.
        quotes: rows of files that hold only quotes, or None.
        adjustment: of the prices.
        what: the inputs, for messages.
        label: the source, for people.
        rows_read: rows in the inputs.
        digests: SHA-256 by input.
        notices: sentences.
        sectors: symbol -> sector.
        index: (label, days, closes) of an index that comes with the data, or None.
        index_symbol: its name, or None.
        interval: of the bars, where the inputs say (tapes do); None: to be told from their times.
    """

    raw: RawBars
    quotes: RawBars | None
    adjustment: Adjustment
    what: str
    label: str
    rows_read: int
    digests: dict[str, str]
    notices: list[str]
    sectors: dict[str, str]
    index: tuple[str, I64, F64] | None = None
    index_symbol: str | None = None
    interval: Interval | None = None


def load(
    source: str,
    bars: tuple[str, ...],
    symbols: tuple[str, ...],
    benchmark: str | None,
    tz: str | None,
    calendar: str,
    adjustment: Adjustment | None,
    renamed: tuple[str, ...] = (),
    *,
    may_tick: bool = False,
) -> Loaded:
    """Read the embedded data (``source``) or files (``bars``); see :class:`actors.feed.history.HistorySpec`.

    Raises:
        OperatorError: an input cannot be read, or lacks a symbol that was asked for.
    """
    if source:
        return _load_embedded(source, symbols, benchmark, adjustment, renamed, may_tick=may_tick)
    return _load_files(bars, symbols, benchmark, tz, calendar, adjustment, renamed, may_tick=may_tick)


def _load_embedded(
    source: str,
    symbols: tuple[str, ...],
    benchmark: str | None,
    adjustment: Adjustment | None,
    renamed: tuple[str, ...],
    *,
    may_tick: bool,
) -> Loaded:
    from actors.feed.ports import embedded  # noqa: PLC0415 - only what is used is loaded

    if source != embedded.NAME:
        message = f"there is no embedded source {source!r}"
        raise OperatorError(
            message, code="UNKNOWN_SOURCE", remedy=f"use --source {embedded.NAME}, or files with --bars"
        )
    if adjustment not in (None, Adjustment.TOTAL):
        message = f"the embedded prices are adjusted for splits and dividends, not {adjustment}"
        raise OperatorError(message, code="BAD_ADJUSTMENT", remedy="leave --adjustment out, or say total")
    data = embedded.read_embedded()
    raw = data.raw
    _need(() if may_tick else symbols, benchmark, (*raw.symbols, embedded.INDEX_SYMBOL), "the embedded data")
    if embedded.INDEX_SYMBOL in symbols:
        message = f"{embedded.INDEX_SYMBOL} is an index and cannot be traded"
        raise OperatorError(message, code="UNKNOWN_SYMBOL", remedy="name it as --benchmark only")
    rows_read = len(raw)
    if symbols:
        wanted = np.array([s in symbols or s in renamed or s == benchmark for s in raw.symbols])
        raw = raw.take(wanted[raw.ids])
    return Loaded(
        raw=raw,
        quotes=None,
        adjustment=Adjustment.TOTAL,
        what="the embedded data",
        label=data.label,
        rows_read=rows_read,
        digests=data.digests,
        notices=[],
        sectors=dict(embedded.SECTORS),
        index=(embedded.INDEX_LABEL, data.index_days, data.index_closes),
        index_symbol=embedded.INDEX_SYMBOL,
    )


def _load_files(
    paths: tuple[str, ...],
    symbols: tuple[str, ...],
    benchmark: str | None,
    tz: str | None,
    calendar: str,
    adjustment: Adjustment | None,
    renamed: tuple[str, ...],
    *,
    may_tick: bool,
) -> Loaded:
    from actors.feed.ports.files import read_file  # noqa: PLC0415 - polars only where files are read
    from actors.feed.ports.tape import tapes_of  # noqa: PLC0415

    what = ", ".join(paths)
    paths = tuple(path for given in paths for path in tapes_of(given))
    zone = calendar_zone(calendar)
    keep = (*symbols, *renamed, *([benchmark] if benchmark else [])) if symbols else ()
    files = [read_file(path, tz=tz, zone=zone, keep=keep) for path in paths]
    bar_files = [file for file in files if not file.quotes_only]
    quote_files = [file for file in files if file.quotes_only]
    if not bar_files:
        message = f"{what} has quotes but no column close"
        raise OperatorError(message, code="MISSING_COLUMN", remedy="give the bars it belongs to with another --bars")
    _need(
        () if may_tick else symbols,
        benchmark,
        tuple(dict.fromkeys(s for file in bar_files for s in file.symbols)),
        what,
    )
    rows = [file.raw for file in bar_files if len(file.raw)]
    if not rows:
        message = f"{what} has no bars" + (f" of {', '.join(symbols)}" if symbols else "")
        raise OperatorError(message, code="NO_DATA", remedy="give the tapes of days on which these were traded")
    notices = [notice for file in files for notice in file.notices]
    warm = sum(file.warm for file in files)  # one sentence for a folder with sixty such tapes
    if warm:
        panels = f"{warm:,} panel{'s' * (warm > 1)}"
        notices.append(f"{what}: left out {panels} of warm-up history, observed by the daemon and never played")
    adjustment = _adjustment(adjustment, dict(zip(paths, files, strict=True)))
    if adjustment is None:
        notices.append("the prices were taken as raw (not adjusted); say --adjustment split or total if they are")
    quotes = [file.raw for file in quote_files if len(file.raw)]
    return Loaded(
        raw=concat(rows),
        quotes=concat(quotes) if quotes else None,
        adjustment=adjustment or Adjustment.RAW,
        what=what,
        label=what,
        rows_read=sum(file.rows_read for file in files),
        digests={path: file.digest for path, file in zip(paths, files, strict=True)},
        notices=notices,
        sectors={symbol: sector for file in bar_files for symbol, sector in file.sectors.items()},
        interval=_interval(dict(zip(paths, files, strict=True))),
    )


def _adjustment(asked: Adjustment | None, files: dict[str, FileData]) -> Adjustment | None:
    """Return what the prices have folded in: what was asked for, or what tapes recorded; None where nobody says.

    Raises:
        OperatorError: two of them differ.
    """
    said = "asked for" if asked is not None else ""
    for path, file in files.items():
        if file.adjustment is None:
            continue
        if asked is not None and file.adjustment != asked:
            message = f"the prices of {path} were recorded as {file.adjustment.value}, but {asked.value} is {said}"
            raise OperatorError(message, code="BAD_ADJUSTMENT", remedy="replay them one after the other, as recorded")
        asked, said = file.adjustment, said or f"what {path} has"
    if said.startswith("what") and asked is not Adjustment.RAW and any(f.adjustment is None for f in files.values()):
        path = next(path for path, file in files.items() if file.adjustment is None)
        message = f"{path} does not say what its prices have folded in, and {said} is {asked}"
        raise OperatorError(message, code="BAD_ADJUSTMENT", remedy=f"say --adjustment {asked} if all files have it")
    return asked


def _interval(files: dict[str, FileData]) -> Interval | None:
    """Return the interval all inputs say they have; None where one does not say.

    Raises:
        OperatorError: two of them differ.
    """
    files = {path: file for path, file in files.items() if len(file.raw)}
    told = {path: file.interval for path, file in files.items() if file.interval is not None}
    for path, interval in told.items():
        first = next(iter(told))
        if interval != told[first]:
            message = f"{first} has bars of {told[first].text} and {path} has bars of {interval.text}"
            raise OperatorError(message, code="MIXED_INTERVALS", remedy="replay them one after the other")
    return told[next(iter(told))] if len(told) == len(files) else None


def _need(symbols: tuple[str, ...], benchmark: str | None, known: tuple[str, ...], what: str) -> None:
    """Refuse a symbol that does not occur.

    Raises:
        OperatorError: naming it.
    """
    for symbol in (*symbols, *([benchmark] if benchmark else [])):
        if symbol not in known:
            some = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            role = "the benchmark " if symbol not in symbols else ""
            message = f"{what} has no bars of {role}{symbol}"
            raise OperatorError(message, code="UNKNOWN_SYMBOL", remedy=f"choose among {some}")
