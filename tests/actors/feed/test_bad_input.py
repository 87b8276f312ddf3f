"""Bad input: one sentence that names file, line or column and says what to do."""

from __future__ import annotations

import gzip
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from actors.feed.history import HistorySpec, open_history
from actors.values.time import parse_interval
from daemon.kernel.errors import ConfigError, OperatorError, UsageError

HEAD = "ts,symbol,open,high,low,close,volume\n"
DAY = "2020-01-02,AAPL,10,11,9,10.5,100\n"


def refusal(spec: HistorySpec) -> str:
    """Open what must not open and return the sentence."""
    with pytest.raises(OperatorError) as caught:
        open_history(spec)
    assert caught.value.code
    assert caught.value.remedy
    text = str(caught.value)
    assert "\n" not in text
    return text


CASES = {
    "no close": ("ts,symbol,open\n2020-01-02,A,1\n", ["bars.csv has no column close", "it has ts, symbol, open"]),
    "a line break in a name": ('ts,"a\nb",close\n2020-01-02,A,1\n', ["it has ts, 'a\\nb', close"]),
    "no symbol": ("ts,close\n2020-01-02,1\n", ["bars.csv has no column symbol", "bars need at least ts"]),
    "no ts": ("symbol,close\nA,1\n", ["bars.csv has no column ts"]),
    "several missing": ("open,high\n1,2\n", ["no column ts and no column symbol and no column close"]),
    "semicolons": ("ts;symbol;close\n2020-01-02;A;1\n", ["no column ts", "ts;symbol;close"]),
    "empty": ("", ["bars.csv is empty or", "give a file with a header"]),
    "blank header": ("\n\n" + HEAD + DAY, ["bars.csv is empty or has no header in its first line"]),
    "header only": (HEAD, ["bars.csv has a header but no rows"]),
    "blank rows only": (HEAD + "\n\n", ["bars.csv has a header but no rows"]),
    "column twice": ("ts,symbol,close,Close \n2020-01-02,A,1,2\n", ["line 1: the column close appears twice"]),
    "date and time": ("date,time,symbol,close\n2020-01-02,09:30,A,1\n", ["several columns of time: date, time"]),
    "long row": (HEAD + DAY + "2020-01-03,AAPL,10,11,9,10.5,100,1,2\n", ["bars.csv line 3 has more cells"]),
    "decimal comma": ("ts,symbol,close\n2020-01-02,A,1,5\n", ["line 2 has more cells", "a point for decimals"]),
    "no time": (HEAD + DAY + ",AAPL,10,11,9,10.5,100\n", ["bars.csv line 3: the time is missing"]),
    "no such day": (HEAD + DAY + "2020-02-30,AAPL,10,11,9,10.5,100\n", ["line 3: '2020-02-30' is not a date"]),
    "words for time": (HEAD + "yesterday,AAPL,10,11,9,10.5,100\n", ["line 2: 'yesterday' is not a time", "RFC 3339"]),
    "naive": (
        HEAD + "2020-01-02T09:30:00,AAPL,10,11,9,10.5,100\n",
        ["line 2: 2020-01-02 09:30:00 has no offset", "--tz"],
    ),
    "naive after aware": (
        HEAD + "2020-01-02T14:30:00Z,A,10,11,9,10,1\n2020-01-02T14:31:00,A,10,11,9,10,1\n",
        ["bars.csv line 3: '2020-01-02T14:31:00' has no offset while ", "bars.csv line 2 has an offset"],
    ),
    "aware after naive": (
        HEAD + "2020-01-02T14:30:00,A,10,11,9,10,1\n2020-01-02T14:31:00Z,A,10,11,9,10,1\n",
        ["bars.csv line 3: '2020-01-02T14:31:00Z' has an offset while ", "bars.csv line 2 has no offset"],
    ),
    "date among times": (
        HEAD + "2020-01-02T14:30:00Z,A,10,11,9,10,1\n2020-01-03,A,10,11,9,10,1\n",
        ["line 3: '2020-01-03' is a date alone while", "line 2 has a time of day", "one form"],
    ),
    "words among dates": (HEAD + DAY + "nan,A,10,11,9,10,1\n", ["line 3: 'nan' is not a time", "RFC 3339"]),
    "words before times": (
        HEAD + "yesterday,A,10,11,9,10,1\n2020-01-03,A,10,11,9,10,1\n",
        ["line 2: 'yesterday' is not a time"],
    ),
    "no such day among times": (
        HEAD + "2020-01-02T14:30:00Z,A,10,11,9,10,1\n2020-13-03,A,10,11,9,10,1\n",
        ["line 3: '2020-13-03' is not a time"],
    ),
    "mixed zones": (
        HEAD + "2020-01-02T14:30:00Z,A,10,11,9,10,1\n2020-01-02T09:31:00-05:00,A,10,11,9,10,1\n",
        [
            "bars.csv line 3: '2020-01-02T09:31:00-05:00' is in another time zone than '2020-01-02T14:30:00Z'",
            "in one zone",
        ],
    ),
    "zones an hour apart, changing daily": (
        HEAD + "".join(f"2020-01-{d:02d}T15:00:00+0{d % 2}:00,A,10,11,9,10,1\n" for d in range(1, 9)),
        ["is in another time zone than"],
    ),
    "impossible offset": (HEAD + "2020-01-02T14:30:00+99:00,A,10,11,9,10,1\n", ["line 2", "impossible offset"]),
    "year 9999": (
        HEAD + "9999-12-31T15:00:00Z,A,10,11,9,10,1\n",
        ["line 2: '9999-12-31T15:00:00Z' is not a time of these"],
    ),
    "date of the year 220": (
        HEAD + DAY + "0220-01-03,A,10,11,9,10,1\n",
        ["line 3: '0220-01-03' is not a time of these"],
    ),
    "no symbol cell": (HEAD + DAY + "2020-01-03, ,10,11,9,10.5,100\n", ["bars.csv line 3: the symbol is missing"]),
    "long symbol": (
        HEAD + f"2020-01-02,{'A' * 33},10,11,9,10.5,100\n",
        ["line 2: the symbol has more than 32 characters"],
    ),
    "unsorted": (
        HEAD + "2020-01-03,AAPL,10,11,9,10.5,100\n2020-01-02,MSFT,10,11,9,10.5,100\n" + DAY,
        ["bars.csv line 4: AAPL at 2020-01-02 comes after its row at 2020-01-03", "sort the rows"],
    ),
    "unsorted minutes": (
        HEAD + "2020-01-02T14:31:00Z,A,10,11,9,10,1\n2020-01-02T14:30:00Z,A,10,11,9,10,1\n",
        ["bars.csv line 3: A at 2020-01-02T14:30:00.000Z comes after its row at 2020-01-02T14:31:00.000Z"],
    ),
    "all rejected": (
        HEAD + "2020-01-02,A,10,11,9,nan,1\n2020-01-03,A,10,11,9,0,1\n2020-01-06,A,10,11,9,inf,1\n",
        ["every one of the 3 rows was rejected", "most as non_finite", "bars.csv line 2", "correct the file"],
    ),
    "weekends only": (HEAD + "2020-01-04,A,10,11,9,10,1\n", ["every one of the 1 rows", "not_a_session"]),
    "no regular step": (
        HEAD + "".join(f"2020-01-02T15:{m}Z,A,10,11,9,10,1\n" for m in ("00:00", "00:07", "00:18.5", "01:03")),
        ["no regular interval", "--trades or --quotes"],
    ),
    "one instant": (HEAD + "2020-01-02T15:00:00Z,A,10,11,9,10,1\n", ["interval cannot be told", "--interval 1m"]),
    "outside every session": (HEAD + "2020-01-04T15:00:00Z,A,10,11,9,10,1\n", ["no bar lies on a session of XNYS"]),
    "only quotes": (
        "ts,symbol,bid_open,ask_open\n2020-01-02,A,1,2\n",
        ["quotes but no column close", "another --bars"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_refused_with_its_place_and_a_remedy(case: str, write):
    """The sentence has the file, the line or column, and what to do."""
    text, parts = CASES[case]
    sentence = refusal(HistorySpec(bars=(write(text),)))
    for part in parts:
        assert part in sentence


def test_line_numbers_count_blank_lines_and_gzip(write):
    """Lines are counted as an editor shows them, also inside a CSV.gz."""
    text = HEAD + DAY + "\n\n2020-01-03,,10,11,9,10.5,100\n"
    assert "bars.csv.gz line 5: the symbol is missing" in refusal(HistorySpec(bars=(write(text, "bars.csv.gz"),)))


def test_unreadable_paths_are_named(tmp_path: Path):
    """No such file, a folder, a file without permission to read."""
    assert "nowhere.csv: there is no such file" in refusal(HistorySpec(bars=(str(tmp_path / "nowhere.csv"),)))
    assert "is a folder without tapes" in refusal(HistorySpec(bars=(str(tmp_path),)))


def test_a_file_that_may_not_be_read_is_named(write, monkeypatch: pytest.MonkeyPatch):
    """The system's own words stand in the sentence."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(HEAD + DAY)
    monkeypatch.setattr(Path, "open", refuse)
    assert "bars.csv: Permission denied; check the path" in refusal(HistorySpec(bars=(path,)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.csv.gz", gzip.compress((HEAD + DAY * 5000).encode())[:-30]),
        ("cut_header.csv.gz", gzip.compress((HEAD + DAY).encode())[:12]),
        ("damaged.csv.gz", gzip.compress(HEAD.encode())[:12] + b"\xff" * 40),
        ("latin.csv", "ts,symbol,close\n2020-01-02,\xe9,1\n".encode("latin-1")),
        ("latin_header.csv", "ts,symbol,clos\xe9\n".encode("latin-1")),
        ("cut.parquet", b"PAR1 and no more"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes):
    """A truncated archive, a foreign encoding and a broken Parquet file are no traceback."""
    path = tmp_path / name
    path.write_bytes(content)
    assert f"cannot read {path}" in refusal(HistorySpec(bars=(str(path),)))


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"ts": [1577923200], "symbol": ["A"], "close": [1.0]}, "row 1: the time column holds Int64, not times"),
        ({"ts": [date(9999, 1, 1)], "symbol": ["A"], "close": [1.0]}, "row 1: '9999-01-01' is not a time of these"),
        ({"ts": [datetime(9999, 1, 1)], "symbol": ["A"], "close": [1.0]}, "row 1: '9999-01-01 00:00:00' is not a time"),  # noqa: DTZ001 - naive on purpose
        ({"ts": ["2020-01-02"], "symbol": [1.5], "close": [1.0]}, "the column symbol holds Float64, not names"),
        ({"ts": ["2020-01-02"], "symbol": ["A"], "close": [True]}, "the column close holds Boolean, not numbers"),
    ],
)
def test_parquet_columns_of_the_wrong_type_are_refused(tmp_path: Path, columns: dict[str, list[object]], part: str):
    """The column and the type it has are named."""
    path = tmp_path / "bars.parquet"
    pl.DataFrame(columns).write_parquet(path)
    assert part in refusal(HistorySpec(bars=(str(path),)))


def test_dates_without_data_say_what_there_is(write):
    """A range beside the data, one turned round, one that does not exist."""
    path = write(HEAD + DAY)
    sentence = refusal(HistorySpec(bars=(path,), from_date=20210101, to_date=20211231))
    assert "no bars in the range --from 2021-01-01 --to 2021-12-31; the data hold 2020-01-02 to 2020-01-02" in sentence
    assert "--from 2021-01-01 is after --to 2020-01-01" in refusal(
        HistorySpec(bars=(path,), from_date=20210101, to_date=20200101)
    )
    assert "20201301 is not a date" in refusal(HistorySpec(bars=(path,), from_date=20201301))


def test_symbols_that_do_not_hold_are_refused(write):
    """Given twice, not in the data, without one usable bar; and a benchmark nobody has."""
    path = write(HEAD + DAY + "2020-01-03,MSFT,10,11,9,-1,100\n")
    assert "the symbol AAPL is given twice" in refusal(HistorySpec(bars=(path,), symbols=("AAPL", "AAPL")))
    assert "has no bars of TSLA; choose among AAPL, MSFT" in refusal(HistorySpec(bars=(path,), symbols=("TSLA",)))
    assert "every one of the 1 rows was rejected" in refusal(HistorySpec(bars=(path,), symbols=("MSFT",)))
    bars = HEAD + DAY + "2020-01-03,AAPL,10,11,9,10.5,100\n2020-01-03,MSFT,10,11,9,-1,100\n"
    sentence = refusal(HistorySpec(bars=(write(bars, "two.csv"),), symbols=("MSFT",), benchmark="AAPL"))
    assert "has no usable bar of MSFT in the dates asked for" in sentence
    assert "no bars of the benchmark SPY" in refusal(HistorySpec(bars=(path,), benchmark="SPY"))


def test_sources_must_be_given_once(write):
    """Neither and both are usage errors; the same file twice is a slip."""
    path = write(HEAD + DAY)
    with pytest.raises(UsageError, match="no data to replay; give either --bars PATH or --source sp500"):
        open_history(HistorySpec())
    with pytest.raises(UsageError, match="both bar files and an embedded source"):
        open_history(HistorySpec(bars=(path,), source="sp500"))
    assert "is given twice" in refusal(HistorySpec(bars=(path, path)))


def test_zones_and_calendars_must_exist(write):
    """A wrong zone is the operator's; a wrong calendar is configuration."""
    path = write(HEAD + "2020-01-02T09:30:00,A,10,11,9,10,1\n")
    assert "there is no time zone 'Mars/Base'" in refusal(HistorySpec(bars=(path,), tz="Mars/Base"))
    with pytest.raises(ConfigError, match="no calendar named 'XFOO'"):
        open_history(HistorySpec(bars=(path,), calendar="XFOO"))


@pytest.mark.parametrize("clock", ["2021-11-07T01:30:00", "2021-03-14T02:30:00"])
def test_local_times_that_happen_twice_or_never_are_refused(write, clock: str):
    """The hour the clocks change over cannot be read without an offset."""
    path = write(HEAD + f"{clock},A,10,11,9,10,1\n")
    sentence = refusal(HistorySpec(bars=(path,), tz="America/New_York"))
    assert "bars.csv line 2" in sentence
    assert "twice or never in America/New_York" in sentence


@pytest.mark.parametrize(("interval", "part"), [("1m", "1m is finer than the data, which have one bar per 5m"),
                                                ("7m", "bars of 5m cannot be put together to 7m"),
                                                ("5d", "bars of 5d are not built")])  # fmt: skip
def test_intervals_the_data_do_not_carry_are_refused(write, interval: str, part: str):
    """Finer than the data, no multiple of theirs, or several sessions."""
    rows = "".join(f"2020-01-02T15:{m:02d}:00Z,A,10,11,9,10,1\n" for m in (0, 5, 10))
    assert part in refusal(HistorySpec(bars=(write(HEAD + rows),), interval=parse_interval(interval)))


def test_daily_bars_are_not_cut_into_minutes(write):
    """Dates, and equally one bar at every open, are daily data."""
    for rows in (DAY, "2020-01-02T14:30:00Z,A,10,11,9,10,1\n2020-01-03T14:30:00Z,A,10,11,9,10,1\n"):
        spec = HistorySpec(bars=(write(HEAD + rows),), interval=parse_interval("5m"))
        assert "5m is finer than the data, which have one bar per 1d" in refusal(spec)


def test_files_of_different_shape_do_not_mix(write):
    """Daily with minutes, with and without volume, with and without opens: both files are named."""
    daily = write(HEAD + DAY, "daily.csv")
    minutes = write(HEAD + "2020-01-02T15:00:00Z,B,10,11,9,10,1\n2020-01-02T15:01:00Z,B,10,11,9,10,1\n", "minutes.csv")
    closes = write("ts,symbol,close,volume\n2020-01-02,C,10,5\n", "closes.csv")
    silent = write("ts,symbol,open,high,low,close\n2020-01-02,D,10,11,9,10\n", "silent.csv")
    quotes = write("ts,symbol,bid_open\n2020-01-02T15:00:00Z,AAPL,10\n", "quotes.csv")
    sentence = refusal(HistorySpec(bars=(daily, minutes)))
    assert "daily.csv has daily bars" in sentence
    assert "minutes.csv has bars with times of day" in sentence
    assert "daily.csv has open, high and low and " in refusal(HistorySpec(bars=(closes, daily)))
    assert "silent.csv has none; give all bar files the same columns" in refusal(HistorySpec(bars=(silent, daily)))
    assert "different intervals" in refusal(HistorySpec(bars=(daily, quotes)))
