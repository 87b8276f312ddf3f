"""Trading sessions: when each exchange day opens and closes, early closes and daylight saving included.

Importing exchange_calendars costs a second and 145 MB, so the calendar nearly everyone uses, XNYS from 1990 to
2030, ships as a table (``calendar_xnys.npz``, written by ``ops/calendar/generate.py`` and compared with the library
by a test). Any other calendar or year asks the library once per process. ``always`` knows no sessions: every UTC day
is one. Lunch breaks of calendars that have them are not modelled: a session runs from its open to its close.
"""

from __future__ import annotations

import functools
import warnings
from importlib import resources
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.values.session import Session
from actors.values.time import DAY_NS, MINUTE_NS
from daemon.kernel.errors import ConfigError, OperatorError

I64 = npt.NDArray[np.int64]

ALWAYS: Final = "always"
TABLE_CALENDAR: Final = "XNYS"
TABLE_FIRST_YEAR: Final = 1990
TABLE_LAST_YEAR: Final = 2030
OLDEST_YEAR: Final = 1970  # time is counted from there
NEWEST_YEAR: Final = 2100  # a date beyond is a typing error, and expanding centuries takes minutes
TABLE_FILE: Final = "calendar_xnys.npz"


class SessionTable(msgspec.Struct, frozen=True, eq=False):
    """Sessions of a calendar as parallel arrays in order of time.

    Attributes:
        calendar: its name.
        zone: the exchange's time zone.
        days: exchange dates as days since 1970-01-01.
        open_ts, close_ts: nanoseconds UTC.
        first_number: number of the first row; the first session of 1990 or later has number 0.
    """

    calendar: str
    zone: str
    days: I64
    open_ts: I64
    close_ts: I64
    first_number: int

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.days)

    def between(self, first_day: int, last_day: int) -> SessionTable:
        """Return the sessions dated from ``first_day`` to ``last_day``, both included."""
        lo = int(np.searchsorted(self.days, first_day, "left"))
        hi = int(np.searchsorted(self.days, last_day, "right"))
        cut = slice(lo, hi)
        return SessionTable(
            self.calendar, self.zone, self.days[cut], self.open_ts[cut], self.close_ts[cut], self.first_number + lo
        )

    def sessions(self) -> tuple[Session, ...]:
        """Return the rows as values."""
        dates = days_to_dates(self.days).tolist()
        rows = zip(dates, self.open_ts.tolist(), self.close_ts.tolist(), strict=True)
        return tuple(
            Session(date, opened, closed, number)
            for number, (date, opened, closed) in enumerate(rows, start=self.first_number)
        )


def days_to_dates(days: I64) -> I64:
    """Convert days since 1970-01-01 to ``YYYYMMDD``."""
    moments = days.astype("datetime64[D]")
    years: I64 = moments.astype("datetime64[Y]").astype(np.int64) + 1970
    months: I64 = moments.astype("datetime64[M]").astype(np.int64) % 12 + 1
    of_month: I64 = (moments - moments.astype("datetime64[M]")).astype(np.int64) + 1
    return years * 10_000 + months * 100 + of_month


def date_to_day(date: int) -> int:
    """Convert ``YYYYMMDD`` to days since 1970-01-01.

    Raises:
        OperatorError: there is no such date.
    """
    try:
        moment = np.datetime64(f"{date // 10_000:04d}-{date // 100 % 100:02d}-{date % 100:02d}", "D")
    except ValueError:
        message = f"{date} is not a date"
        raise OperatorError(message, code="BAD_DATE", remedy="write it as YYYY-MM-DD") from None
    return int(moment.astype(np.int64))


def day_text(day: int) -> str:
    """Format days since 1970-01-01 as ``YYYY-MM-DD``."""
    return str(np.datetime64(int(day), "D"))


def calendar_zone(calendar: str) -> str:
    """Return the time zone of a calendar's exchange.

    Raises:
        ConfigError: there is no such calendar.
    """
    if calendar == TABLE_CALENDAR:
        return "America/New_York"
    if calendar == ALWAYS:
        return "UTC"
    return _from_library(calendar, TABLE_FIRST_YEAR, TABLE_LAST_YEAR).zone


def session_table(calendar: str, first_day: int, last_day: int) -> SessionTable:
    """Return the sessions dated within two days, both included.

    Args:
        calendar: an exchange_calendars name such as ``XNYS``, or ``always``.
        first_day: days since 1970-01-01.
        last_day: days since 1970-01-01.

    Raises:
        ConfigError: there is no such calendar.
        OperatorError: the calendar does not know these years.
    """
    return _full(calendar, first_day, last_day).between(first_day, last_day)


def sessions(calendar: str, from_date: int, to_date: int) -> tuple[Session, ...]:
    """Return the sessions of exchange dates ``from_date`` to ``to_date`` (``YYYYMMDD``), both included.

    Raises:
        ConfigError: there is no such calendar.
        OperatorError: a date does not exist, or the calendar does not know these years.
    """
    return session_table(calendar, date_to_day(from_date), date_to_day(to_date)).sessions()


def next_session(calendar: str, date: int) -> Session:
    """Return the first session dated after ``date`` (``YYYYMMDD``), whether or not ``date`` is a session itself.

    Raises:
        ConfigError: there is no such calendar.
        OperatorError: the date does not exist, or the calendar does not know the years after it.
    """
    day = date_to_day(date)
    # What is at hand first, so that the shipped years are not left in December 2030; then month by
    # month, until there is a session or the calendar knows no more.
    reach = 0
    later = _full(calendar, day, day).between(day + 1, day + 366)
    while not len(later):
        reach += 31
        later = _full(calendar, day, day + reach).between(day + 1, day + reach)
    first = int(later.days[0])
    return later.between(first, first).sessions()[0]


def _full(calendar: str, first_day: int, last_day: int) -> SessionTable:
    """Return a table that covers at least the years of two days."""
    first_year, last_year = (int(days_to_dates(np.array([d]))[0]) // 10_000 for d in (first_day, last_day))
    if calendar == ALWAYS:
        days = np.arange(first_day, last_day + 1, dtype=np.int64)
        epoch = date_to_day(TABLE_FIRST_YEAR * 10_000 + 101)
        return SessionTable(calendar, "UTC", days, days * DAY_NS, (days + 1) * DAY_NS, first_day - epoch)
    for year in (first_year, last_year):
        if not OLDEST_YEAR <= year <= NEWEST_YEAR:
            _refuse_years(calendar, year)
    # Always at least the shipped years, so that answers are shared and numbers do not depend on the question.
    first_year = min(first_year, TABLE_FIRST_YEAR)
    last_year = max(last_year, TABLE_LAST_YEAR)
    if calendar == TABLE_CALENDAR and first_year == TABLE_FIRST_YEAR and last_year == TABLE_LAST_YEAR:
        return _shipped()
    table = _from_library(calendar, first_year, last_year)
    # Some calendars know fewer years than asked for; no exchange is closed for a month in years it knows.
    for day, beyond in ((first_day, first_day < table.days[0] - 31), (last_day, last_day > table.days[-1] + 31)):
        if beyond:
            _refuse_years(calendar, int(days_to_dates(np.array([day]))[0]) // 10_000)
    return table


@functools.cache
def _shipped() -> SessionTable:
    with resources.files("actors.feed").joinpath(TABLE_FILE).open("rb") as file, np.load(file) as arrays:
        days = arrays["day"].astype(np.int64)
        open_ts = days * DAY_NS + arrays["open_minute"].astype(np.int64) * MINUTE_NS
        close_ts = days * DAY_NS + arrays["close_minute"].astype(np.int64) * MINUTE_NS
    return SessionTable(TABLE_CALENDAR, "America/New_York", days, open_ts, close_ts, 0)


@functools.cache
def _from_library(calendar: str, first_year: int, last_year: int) -> SessionTable:
    """Expand a calendar with exchange_calendars, within the years it knows."""
    with warnings.catch_warnings():
        # exchange_calendars 4.13 calls what pandas 3.1 deprecates; nothing we or the operator could change.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _ask_library(calendar, first_year, last_year)


def _ask_library(calendar: str, first_year: int, last_year: int) -> SessionTable:
    import exchange_calendars  # noqa: PLC0415 - a second and 145 MB, only for what the shipped table lacks
    import pandas as pd  # noqa: PLC0415 - comes with exchange_calendars

    try:
        known = exchange_calendars.get_calendar(calendar)
        lowest, highest = known.bound_min(), known.bound_max()
        start, end = pd.Timestamp(first_year, 1, 1), pd.Timestamp(last_year, 12, 31)
        start = start if lowest is None else max(start, lowest)
        end = end if highest is None else min(end, highest)
        schedule = exchange_calendars.get_calendar(calendar, start=start, end=end).schedule
    except exchange_calendars.errors.InvalidCalendarName:
        message = f"there is no calendar named {calendar!r}"
        raise ConfigError(
            message, code="UNKNOWN_CALENDAR", remedy="use a name of exchange_calendars such as XNYS, or always"
        ) from None
    except ValueError as error:  # the library's own data do not fit its version of pandas
        message = f"exchange_calendars cannot expand the calendar {calendar}: {str(error)[:80]}"
        raise OperatorError(message, code="CALENDAR_BROKEN", remedy="use another calendar, such as XNYS") from error
    days = schedule.index.to_numpy().astype("datetime64[D]").astype(np.int64)
    epoch = date_to_day(TABLE_FIRST_YEAR * 10_000 + 101)
    first_number = -int(np.searchsorted(days, epoch, "left"))
    return SessionTable(
        calendar, str(known.tz), days, _instants(schedule["open"]), _instants(schedule["close"]), first_number
    )


def _instants(column: Any) -> I64:
    nanoseconds: I64 = (
        column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]").view(np.int64)
    )
    return nanoseconds


def _refuse_years(calendar: str, year: int) -> None:
    message = f"the calendar {calendar} does not know the sessions of {year}"
    raise OperatorError(message, code="CALENDAR_BOUNDS", remedy="restrict the dates with --from and --to")
