"""Sessions: the shipped table says what the library says, and dates, closes and numbers are right."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import exchange_calendars
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.feed.session import (
    calendar_zone,
    date_to_day,
    day_text,
    days_to_dates,
    next_session,
    session_table,
    sessions,
)
from daemon.kernel.errors import ConfigError, OperatorError

ROOT = Path(__file__).resolve().parents[3]


def ns(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")  # the library's, under pandas 3.1
def test_the_shipped_table_equals_the_library_session_by_session():
    """1990 to 2030: dates, opens and closes; after an update of the library, run ops/calendar/generate.py."""
    schedule = exchange_calendars.get_calendar("XNYS", start="1990-01-01", end="2030-12-31").schedule
    table = session_table("XNYS", date_to_day(19900101), date_to_day(20301231))
    assert [day_text(day) for day in table.days] == list(schedule.index.strftime("%Y-%m-%d"))
    for ours, theirs in ((table.open_ts, schedule["open"]), (table.close_ts, schedule["close"])):
        expected = theirs.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
        assert np.array_equal(ours, expected)


@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")
def test_the_generator_reproduces_the_shipped_file():
    """The file in the package is what the script writes, column by column."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "ops" / "calendar" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(module.TARGET) as shipped:
        for name, column in module.table().items():
            assert np.array_equal(shipped[name], column), name


def test_an_early_close_and_a_holiday_are_in_the_table():
    """Thanksgiving 2020: closed on the 26th, three hours short on the 27th."""
    week = sessions("XNYS", 20201125, 20201130)
    assert [s.date for s in week] == [20201125, 20201127, 20201130]
    assert week[1].close_ts == ns("2020-11-27T18:00:00+00:00")
    assert week[1].date_text == "2020-11-27"


def test_opens_move_with_daylight_saving():
    """New York changes its clocks on 2021-03-14 and 2021-11-07; the open stays 09:30 there."""
    spring = sessions("XNYS", 20210312, 20210315)
    assert [s.open_ts for s in spring] == [ns("2021-03-12T14:30:00+00:00"), ns("2021-03-15T13:30:00+00:00")]
    autumn = sessions("XNYS", 20211105, 20211108)
    assert [s.open_ts for s in autumn] == [ns("2021-11-05T13:30:00+00:00"), ns("2021-11-08T14:30:00+00:00")]


def test_numbers_count_sessions_whatever_range_was_asked_for():
    """Numbers of a session are the same from any query, before 1990 negative, beyond the table continued."""
    assert sessions("XNYS", 20200102, 20200102)[0].number == sessions("XNYS", 19950101, 20200102)[-1].number
    assert [s.number for s in sessions("XNYS", 19891228, 19900103)] == [-2, -1, 0, 1]
    last, beyond = sessions("XNYS", 20301231, 20310102)
    assert beyond.number == last.number + 1


def test_always_is_every_utc_day():
    """The calendar ``always`` has weekends and no night."""
    weekend = sessions("always", 20210102, 20210103)
    assert [s.date for s in weekend] == [20210102, 20210103]
    assert weekend[0].close_ts == weekend[1].open_ts == ns("2021-01-03T00:00:00+00:00")
    assert weekend[1].number == weekend[0].number + 1
    assert calendar_zone("always") == "UTC"


def test_other_calendars_come_from_the_library():
    """London closes early on Christmas Eve and has its own zone."""
    eve = sessions("XLON", 20201224, 20201229)
    assert [s.date for s in eve] == [20201224, 20201229]
    assert eve[0].close_ts == ns("2020-12-24T12:30:00+00:00")
    assert calendar_zone("XLON") == "Europe/London"


@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")
def test_the_next_session_of_other_calendars():
    """Over a weekend of London, into a day of ``always``, and not beyond what the library knows."""
    assert next_session("XLON", 20201224).date == 20201229
    assert next_session("always", 20201231).date == 20210101
    last_year = exchange_calendars.get_calendar("XSHG").bound_max().year
    with pytest.raises(OperatorError, match=f"XSHG does not know the sessions of {last_year + 1}"):
        next_session("XSHG", last_year * 10_000 + 1231)


@pytest.mark.parametrize(("date", "expected"), [(20201125, 20201127), (20201126, 20201127), (20301224, 20301226)])
def test_the_next_session_is_the_first_later_one(date: int, expected: int):
    """From a session and from a holiday alike, up to the end of the shipped years."""
    assert next_session("XNYS", date).date == expected


def test_unknown_calendars_years_and_dates_are_refused_with_a_remedy():
    """A calendar nobody knows is configuration; a date that does not exist is the operator's."""
    with pytest.raises(ConfigError, match=r"no calendar named 'XFOO'; use a name of exchange_calendars such as XNYS"):
        sessions("XFOO", 20200101, 20200102)
    with pytest.raises(OperatorError, match="XSHG does not know the sessions of 1950; restrict the dates"):
        sessions("XSHG", 19500101, 19500103)
    with pytest.raises(OperatorError, match="XSHG does not know the sessions of 2040"):
        sessions("XSHG", 20400101, 20400103)
    with pytest.raises(OperatorError, match="XSHG does not know the sessions of 2040"):
        next_session("XSHG", 20400101)
    with pytest.raises(OperatorError, match="does not know the sessions of 2920"):
        sessions("XNYS", 29200102, 29200103)
    with pytest.raises(OperatorError, match="20200231 is not a date; write it as YYYY-MM-DD"):
        sessions("XNYS", 20200231, 20200301)


def test_a_calendar_the_library_cannot_expand_is_refused(monkeypatch: pytest.MonkeyPatch):
    """The library's own failure becomes one short sentence."""

    def fail(*_args: object, **_kwargs: object) -> None:
        message = "Special dates are not sessions. " * 1000
        raise ValueError(message)

    monkeypatch.setattr(exchange_calendars, "get_calendar", fail)
    with pytest.raises(OperatorError, match="exchange_calendars cannot expand the calendar XTAE") as caught:
        sessions("XTAE", 20200101, 20200103)
    assert len(str(caught.value)) < 250


@given(st.dates())
def test_dates_and_days_are_inverse(date):
    """YYYYMMDD and days since the epoch name the same day."""
    number = date.year * 10_000 + date.month * 100 + date.day
    day = date_to_day(number)
    assert int(days_to_dates(np.array([day]))[0]) == number
    assert day == (datetime(date.year, date.month, date.day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days


def test_the_shipped_table_is_small_and_spares_the_heavy_imports():
    """Under 100 KB, and neither exchange_calendars nor pandas nor polars is loaded for New York."""
    assert (ROOT / "actors" / "feed" / "calendar_xnys.npz").stat().st_size < 100_000
    code = (
        "import sys; from actors.feed.actor import FeedActor; from actors.feed.session import sessions; "
        "sessions('XNYS', 19900101, 20301231); "
        "print([m for m in ('exchange_calendars', 'pandas', 'polars', 'skfolio') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
