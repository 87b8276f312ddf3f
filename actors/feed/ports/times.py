"""Times as people and vendors write them, read into instants or exchange dates, with doubt refused by line.

RFC 3339 with an offset is an instant. A date alone is an exchange date, and so is midnight: in the exchange's zone
(how vendors stamp daily bars), in UTC, or without any zone (how data frames store dates), provided that every row
of the file is so. A time of day without an offset needs ``--tz``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from actors.feed.bars import I64
from actors.feed.session import NEWEST_YEAR, OLDEST_YEAR
from actors.values.time import DAY_NS, HOUR_NS, SECOND_NS
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

_OFFSET: Final = r"([Zz]|[+-]\d{2}:?\d{2})$"
_HOW: Final = "write RFC 3339 with an offset such as 2024-01-02T14:30:00Z, or a date alone such as 2024-01-02"

_HOW_TIMED: Final = "write RFC 3339 with an offset such as 2024-01-02T14:30:00.123Z"

Place = Callable[[int], str]


class Times(msgspec.Struct, eq=False):
    """What a time column says.

    Attributes:
        day: [R] local date at the exchange, days since 1970-01-01.
        ts: [R] nanoseconds UTC, or None where the column holds session dates.
        notice: something the operator should know about how it was read, or "".
    """

    day: I64
    ts: I64 | None
    notice: str = ""


def read_instants(column: pl.Series, *, tz: str | None, zone: str, place: Place) -> tuple[I64, I64]:
    """Read a column of times of day, of which midnight is one like any other.

    Args:
        column: text or datetimes; at least one row, not necessarily all rows of the file.
        tz: the operator's zone for times without an offset, or None.
        zone: the exchange's zone.
        place: names the file and line of a row.

    Returns:
        [R] local dates at the exchange, days since 1970-01-01, and [R] nanoseconds UTC.

    Raises:
        OperatorError: as :func:`read_times`, and for dates without a time of day.
    """
    times = read_times(column, tz=tz, zone=zone, place=place, midnight=False)
    return times.day, times.day * DAY_NS if times.ts is None else times.ts


def read_times(column: pl.Series, *, tz: str | None, zone: str, place: Place, midnight: bool = True) -> Times:
    """Read a column of times.

    Args:
        column: text, dates or datetimes; at least one row.
        tz: the operator's zone for times without an offset, or None.
        zone: the exchange's zone.
        place: names the file and line of a row.
        midnight: whether midnight in every row means dates.

    Raises:
        OperatorError: a cell cannot be read, rows differ in kind, or an offset is missing; with its place.
    """
    import polars as pl  # noqa: PLC0415 - 0.3 s

    empty = column.is_null()
    if empty.any():
        _refuse(place(_first(empty)), "the time is missing", _HOW, "BAD_TIME")
    if column.dtype == pl.Date:
        _check_years(column.dt.year(), column, place)
        if not midnight:
            _refuse_dates(column, place)
        return Times(_days(column), None)
    if isinstance(column.dtype, pl.Datetime):
        _check_years(column.dt.year(), column, place)
        if column.dtype.time_zone is None:
            return _naive(column.cast(pl.Datetime("ns")), tz, zone, place, midnight=midnight)
        return _instants(column.dt.convert_time_zone("UTC").dt.replace_time_zone(None), zone, midnight=midnight)
    if column.dtype != pl.String:
        _refuse(place(0), f"the time column holds {column.dtype}, not times", _HOW, "BAD_TIME")
    return _texts(column.str.strip_chars(), tz, zone, place, midnight=midnight)


def _refuse_dates(column: pl.Series, place: Place) -> None:
    _refuse(place(0), f"{str(column[0])!r} is a date without a time of day", _HOW_TIMED, "BAD_TIME")


def _texts(column: pl.Series, tz: str | None, zone: str, place: Place, *, midnight: bool) -> Times:
    import polars as pl  # noqa: PLC0415

    date_alone = column.str.len_bytes() == 10
    if date_alone.all():
        dates = column.str.to_date("%Y-%m-%d", strict=False)
        _need_all(dates, column, place, "is not a date")
        _check_years(dates.dt.year(), column, place)
        if not midnight:
            _refuse_dates(column, place)
        return Times(_days(dates), None)
    if date_alone.any():
        begins = column.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        _need_all(begins, column, place, "is not a time")  # what is neither form is no mixture of both
        row = _first(date_alone != date_alone[0])
        _refuse(
            place(row), f"{column[row]!r} is {_form(column[row])} while {place(0)} has {_form(column[0])}",
            "use one form throughout the file", "MIXED_TIMES",
        )  # fmt: skip
    offset = column.str.slice(10).str.extract(_OFFSET, 1)
    bare = offset.is_null()
    text = column if bare.all() else column.str.replace(_OFFSET, "")
    text = text.str.replace("[Tt]", " ")
    # polars wraps years that nanoseconds cannot hold: 9999 would become 1816.
    _check_years(text.str.slice(0, 4).cast(pl.Int32, strict=False), column, place)
    moments = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="ns")
    if moments.is_null().any():
        minutes = text.str.to_datetime("%Y-%m-%d %H:%M", strict=False, time_unit="ns")
        moments = moments.fill_null(minutes) if minutes.is_not_null().any() else moments
    _need_all(moments, column, place, "is not a time")
    if bare.all():
        return _naive(moments, tz, zone, place, midnight=midnight)
    if bare.any():
        row = _first(bare != bare[0])
        words = ("an offset", "no offset")
        _refuse(
            place(row), f"{column[row]!r} has {words[bare[row]]} while {place(0)} has {words[bare[0]]}",
            "give every time an offset", "MIXED_TIMES",
        )  # fmt: skip
    offset = offset.str.replace("[Zz]", "+00:00").str.replace(":", "", literal=True)
    seconds = {text: _seconds(text, offset, column, place) for text in offset.unique(maintain_order=True).to_list()}
    shift = offset.replace_strict(seconds, return_dtype=pl.Int64)
    instants = (moments.to_physical() - shift * SECOND_NS).cast(pl.Datetime("ns"))
    if len(seconds) > 1:
        _refuse_mixed_zones(instants, shift, column, place)
    return _instants(instants, zone, midnight=midnight)


def _form(text: str) -> str:
    return "a date alone" if len(text) == 10 else "a time of day"


def _seconds(text: str, offset: pl.Series, column: pl.Series, place: Place) -> int:
    hours, minutes = int(text[1:3]), int(text[3:5])
    if hours > 18 or minutes > 59:
        row = _first(offset == text)
        _refuse(place(row), f"{column[row]!r} has an impossible offset", _HOW, "BAD_TIME")
    return (hours * 60 + minutes) * (-60 if text[0] == "-" else 60)


def _refuse_mixed_zones(instants: pl.Series, shift: pl.Series, column: pl.Series, place: Place) -> None:
    """Refuse offsets that no single zone has: only summer time may change them, by an hour, twice a year."""
    ts, offsets = instants.to_physical().to_numpy(), shift.to_numpy()
    distinct = np.unique(offsets)
    if len(distinct) == 2 and distinct[1] - distinct[0] == HOUR_NS // SECOND_NS:
        order = np.argsort(ts, kind="stable")
        changes = int(np.count_nonzero(np.diff(offsets[order])))
        years = (int(ts[order[-1]]) - int(ts[order[0]])) // (365 * DAY_NS) + 1
        if changes <= 2 * years:
            return
    row = int(np.argmax(offsets != offsets[0]))
    _refuse(
        place(row), f"{column[row]!r} is in another time zone than {column[0]!r} at {place(0)}",
        "write all times of a file in one zone, best in UTC", "MIXED_ZONES",
    )  # fmt: skip


def _naive(moments: pl.Series, tz: str | None, zone: str, place: Place, *, midnight: bool) -> Times:
    """Read times without offset: dates if all are midnight, else local times of ``tz``."""
    values = moments.to_physical().to_numpy()
    timed = values % DAY_NS != 0
    if midnight and not timed.any():
        return Times(values // DAY_NS, None)
    if tz is None:
        row = int(np.argmax(timed))
        text = str(moments[row])
        _refuse(
            place(row), f"{text} has no offset", "name the zone of such times with --tz, such as --tz UTC", "NO_OFFSET"
        )
    local = _localise(moments, tz or "", place)
    return _instants(local, zone, midnight=midnight)


def _localise(moments: pl.Series, tz: str, place: Place) -> pl.Series:
    import polars as pl  # noqa: PLC0415

    try:
        aware = moments.dt.replace_time_zone(tz, ambiguous="null", non_existent="null")
    except pl.exceptions.PolarsError:
        message = f"there is no time zone {tz!r}"
        raise OperatorError(message, code="UNKNOWN_ZONE", remedy="use a name such as America/New_York or UTC") from None
    lost = aware.is_null()
    if lost.any():
        row = _first(lost)
        _refuse(
            place(row), f"{moments[row]} happens twice or never in {tz} because the clocks change",
            "write the offset behind the time", "AMBIGUOUS_TIME",
        )  # fmt: skip
    return aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _instants(utc: pl.Series, zone: str, *, midnight: bool) -> Times:
    """Take instants, as UTC without zone; all midnight means session dates where ``midnight`` says so."""
    import polars as pl  # noqa: PLC0415

    utc = utc.cast(pl.Datetime("ns"))
    ts = utc.to_physical().to_numpy()
    local = (
        utc.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None).to_physical().to_numpy()
    )
    day = local // DAY_NS
    if not midnight:
        return Times(day, ts)
    if not (local % DAY_NS).any():
        return Times(day, None)
    if not (ts % DAY_NS).any():
        return Times(ts // DAY_NS, None, "all times are midnight UTC and were read as session dates")
    return Times(day, ts)


def _days(dates: pl.Series) -> I64:
    import polars as pl  # noqa: PLC0415

    days: I64 = dates.to_physical().cast(pl.Int64).to_numpy()
    return days


def _need_all(parsed: pl.Series, column: pl.Series, place: Place, complaint: str) -> None:
    bad = parsed.is_null()
    if bad.any():
        row = _first(bad)
        _refuse(place(row), f"{column[row]!r} {complaint}", _HOW, "BAD_TIME")


def _check_years(years: pl.Series, column: pl.Series, place: Place) -> None:
    """Refuse years no data of ours can be from; text that is no year at all is left for the parser to refuse."""
    odd = ((years < OLDEST_YEAR) | (years > NEWEST_YEAR)).fill_null(value=False)
    if odd.any():
        row = _first(odd)
        what = f"{str(column[row])!r} is not a time of these centuries ({OLDEST_YEAR} to {NEWEST_YEAR})"
        _refuse(place(row), what, _HOW, "BAD_TIME")


def _first(mask: pl.Series) -> int:
    row = mask.arg_max()
    return 0 if row is None else row


def _refuse(where: str, what: str, remedy: str, code: str) -> None:
    message = f"{where}: {what}"
    raise OperatorError(message, code=code, remedy=remedy)
