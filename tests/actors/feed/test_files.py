"""Files: whatever the contract allows is read to the same bars."""

from __future__ import annotations

import os
import time
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from actors.feed.history import History, HistorySpec, open_history
from actors.messages.market import BarPanel
from actors.values.universe import Adjustment

HEAD = "ts,symbol,open,high,low,close,volume\n"
NEW_YORK = ZoneInfo("America/New_York")


def panels(history: History) -> list[BarPanel]:
    """Return the bar panels of a history."""
    return [m for m in history.inputs() if isinstance(m, BarPanel)]


def facts(history: History) -> list[tuple[object, ...]]:
    """Return everything panels say, as plain values that can be compared."""
    rows = []
    for p in panels(history):
        arrays = (p.ids, p.open, p.high, p.low, p.close, p.close_fx, p.volume)
        rows.append((p.ts, p.start_ts, p.session, p.daily, *(None if a is None else a.tolist() for a in arrays)))
    return rows


MINUTES = [
    (datetime(2020, 1, 2, 9, 30, tzinfo=NEW_YORK) + timedelta(minutes=i), 10 + i, 11 + i, 9 + i, 10.5 + i, 100 * i)
    for i in range(5)
]


def minute_rows(form: str) -> str:
    """Write the five minutes with their times in one of the accepted forms."""
    lines = []
    for at, *values in MINUTES:
        utc = at.astimezone(ZoneInfo("UTC"))
        text = {
            "z": utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "small": utc.strftime("%Y-%m-%dt%H:%M:%Sz"),
            "blank": utc.strftime("%Y-%m-%d %H:%M:%S+00:00"),
            "local": at.isoformat(),
            "compact offset": at.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "milliseconds": utc.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "nanoseconds": utc.strftime("%Y-%m-%dT%H:%M:%S.000000000Z"),
            "no seconds": utc.strftime("%Y-%m-%dT%H:%MZ"),
            "naive": at.strftime("%Y-%m-%d %H:%M:%S"),
            "quoted": utc.strftime('"%Y-%m-%dT%H:%M:%SZ"'),
        }[form]
        lines.append(f"{text},A,{','.join(map(str, values))}\n")
    return HEAD + "".join(lines)


@pytest.mark.parametrize(
    "form",
    ["small", "blank", "local", "compact offset", "milliseconds", "nanoseconds", "no seconds", "naive", "quoted"],
)
def test_every_way_to_write_an_instant_gives_the_same_bars(write, form: str):
    """RFC 3339 in its variants, and naive times with --tz."""
    expected = facts(open_history(HistorySpec(bars=(write(minute_rows("z")),))))
    tz = "America/New_York" if form == "naive" else None
    assert facts(open_history(HistorySpec(bars=(write(minute_rows(form), "other.csv"),), tz=tz))) == expected
    assert len(expected) == 5
    assert expected[0][1] == int(MINUTES[0][0].timestamp()) * 10**9
    assert expected[0][0] == expected[0][1] + 60 * 10**9


def test_formats_and_line_endings_give_the_same_bars(write, tmp_path):
    """CSV, CSV.gz, CRLF, a byte order mark, and Parquet in any time unit and zone."""
    text = minute_rows("z")
    expected = facts(open_history(HistorySpec(bars=(write(text),))))
    paths = [
        write(text, "b.csv.gz"),
        write(text.replace("\n", "\r\n"), "crlf.csv"),
        write("\ufeff" + text, "bom.csv"),
        write(text.replace("\n", "\n\n"), "blank.csv"),
    ]
    frame = pl.DataFrame(
        [(at, "A", *map(float, values)) for at, *values in MINUTES],
        schema=["ts", "symbol", "open", "high", "low", "close", "volume"],
        orient="row",
    )
    for i, dtype in enumerate(
        (pl.Datetime("ms", "UTC"), pl.Datetime("us", "America/New_York"), pl.Datetime("ns", "Asia/Tokyo"))
    ):
        path = tmp_path / f"{i}.parquet"
        frame.with_columns(
            pl.col("ts").dt.convert_time_zone("UTC").cast(dtype), pl.col("symbol").cast(pl.Categorical)
        ).write_parquet(path)
        paths.append(str(path))
    for path in paths:
        history = open_history(HistorySpec(bars=(path,)))
        assert facts(history) == expected, path
        assert any("skipped 6 blank lines" in notice for notice in history.notices) == path.endswith("blank.csv")


def test_the_answer_does_not_depend_on_the_machines_zone(write, monkeypatch: pytest.MonkeyPatch):
    """TZ of the environment plays no part."""
    path = write(minute_rows("naive"))
    answers = []
    for zone in ("Asia/Tokyo", "America/New_York", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        answers.append(facts(open_history(HistorySpec(bars=(path,), tz="America/New_York"))))
    monkeypatch.undo()
    time.tzset()
    assert answers[0] == answers[1] == answers[2]
    assert os.environ.get("TZ") != "Asia/Tokyo"


DATES = [date(2021, 3, 11), date(2021, 3, 12), date(2021, 3, 15), date(2021, 3, 16)]


@pytest.mark.parametrize("form", ["midnight New York", "midnight UTC", "midnight without zone", "at the open"])
def test_every_way_to_date_a_daily_bar_gives_its_session(write, form: str):
    """Across the change to summer time: vendors' midnight stamps are session dates, and so is one bar at each open."""
    expected = facts(open_history(HistorySpec(bars=(write(HEAD + "".join(f"{d},A,10,11,9,10.5,7\n" for d in DATES)),))))
    lines = []
    for day in DATES:
        local = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)
        text = {
            "midnight New York": local.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "midnight UTC": f"{day}T00:00:00Z",
            "midnight without zone": f"{day} 00:00:00",
            "at the open": local.replace(hour=9, minute=30).isoformat(),
        }[form]
        lines.append(f"{text},A,10,11,9,10.5,7\n")
    history = open_history(HistorySpec(bars=(write(HEAD + "".join(lines), "other.csv"),)))
    assert history.daily
    assert facts(history) == expected
    assert [p.session for p in panels(history)] == [20210311, 20210312, 20210315, 20210316]
    assert any("midnight UTC" in notice for notice in history.notices) == (form == "midnight UTC")


def test_parquet_dates_are_session_dates(tmp_path):
    """Date columns and naive midnight datetimes, as data frames store them."""
    for i, dtype in enumerate((pl.Date, pl.Datetime("us"))):
        path = tmp_path / f"{i}.parquet"
        frame = pl.DataFrame({"Date": DATES, "Symbol": ["A"] * 4, "Close": [1.0, 2.0, 3.0, 4.0]})
        frame.with_columns(pl.col("Date").cast(dtype)).write_parquet(path)
        history = open_history(HistorySpec(bars=(str(path),)))
        assert [p.session for p in panels(history)] == [20210311, 20210312, 20210315, 20210316]


def test_aliases_case_and_unknown_columns(write):
    """``Date`` and ``TICKER`` are understood; what is not known is ignored and said."""
    text = "Date, TICKER ,Open,High,Low,Close,Volume,adj_close,note\n2020-01-02,A,10,11,9,10.5,7,3,x\n"
    history = open_history(HistorySpec(bars=(write(text),)))
    assert facts(history)[0][4:] == ([0], [10.0], [11.0], [9.0], [10.5], [1_050_000_000], [7.0])
    assert any("ignored columns adj_close, note" in notice for notice in history.notices)
    history = open_history(HistorySpec(bars=(write("ts_utc,symbol,close\n2020-01-02,A,1\n"),)))
    assert len(history.universe) == 1
    both = write("date,ts,symbol,close\n2020-01-02,2020-01-02T05:00:00Z,A,1\n")
    assert any("ignored column date" in notice for notice in open_history(HistorySpec(bars=(both,))).notices)


def test_close_only_files_repeat_the_close(write):
    """Only ts, symbol and close: open = high = low = close, flagged; no volume column: unknown liquidity."""
    history = open_history(HistorySpec(bars=(write("ts,symbol,close\n2020-01-02,A,1.25\n2020-01-03,A,1.5\n"),)))
    assert history.close_only
    assert not history.volume_known
    first = panels(history)[0]
    assert first.close_only
    assert first.volume is None
    assert first.open.tolist() == first.high.tolist() == first.low.tolist() == first.close.tolist() == [1.25]
    partly = write("ts,symbol,open,close,volume\n2020-01-02,A,1,1.25,5\n", "partly.csv")
    history = open_history(HistorySpec(bars=(partly,)))
    assert history.close_only
    assert history.volume_known
    assert any("only its closes are used" in notice for notice in history.notices)


def test_empty_volumes_are_unknown_not_zero(write):
    """Null is NaN in the panel, zero stays zero."""
    text = HEAD + "2020-01-02,A,10,11,9,10,\n2020-01-03,A,10,11,9,10,0\n2020-01-06,A,10,11,9,10,nan\n"
    volumes = [p.volume[0] for p in panels(open_history(HistorySpec(bars=(write(text),))))]
    assert np.isnan(volumes[0])
    assert volumes[1] == 0
    assert np.isnan(volumes[2])


def test_several_files_are_one_history_in_any_order(write):
    """Files of other symbols and periods are put together; the order they are named in changes nothing."""
    a = write(HEAD + "2020-01-02,B,10,11,9,10,1\n2020-01-03,B,10,11,9,10,1\n", "a.csv")
    b = write(HEAD + "2020-01-03,A,20,21,19,20,1\n2020-01-06,A,20,21,19,20,1\n", "b.csv")
    one, two = (open_history(HistorySpec(bars=order)) for order in ((a, b), (b, a)))
    assert facts(one) == facts(two)
    assert one.universe == two.universe
    assert one.universe.symbols == ("A", "B")
    assert [p.ids.tolist() for p in panels(one)] == [[1], [0, 1], [0]]
    assert [p.dense for p in panels(one)] == [False, True, False]
    assert sorted(one.digests) == sorted([a, b])
    assert all(len(digest) == 64 for digest in one.digests.values())
    assert one.label == f"{a}, {b}"


def test_a_second_file_of_quotes_merges_by_time_and_symbol(write):
    """bid_open ... ask_close of another file stand beside the bars; a missing or zero side is unknown."""
    bars = write(minute_rows("z"))
    quotes = write(
        "ts,symbol,bid_open,ask_open,bid_close,ask_close,bid_high,bid_size\n"
        "2020-01-02T14:30:00Z,A,9.9,10.1,10.4,10.6,1,1\n"
        "2020-01-02T14:31:00Z,A,0,11.1,,11.6,1,1\n"
        "2020-01-02T14:32:00Z,A,13,12,12.4,12.6,1,1\n"  # crossed
        "2020-01-02T14:32:00Z,A,1,2,3,4,1,1\n"  # repeated
        "2020-01-02T14:33:00Z,A,-1,12,12.4,12.6,1,1\n"  # impossible
        "2020-01-02T14:34:00Z,B,1,2,3,4,1,1\n"  # no such bar
        "2020-01-02T15:34:00Z,A,1,2,3,4,1,1\n",  # no such time
        "quotes.csv",
    )
    history = open_history(HistorySpec(bars=(bars, quotes)))
    rows = [[p.bid_open[0], p.ask_open[0], p.bid_close[0], p.ask_close[0]] for p in panels(history)]
    nan = np.nan
    expected = [[9.9, 10.1, 10.4, 10.6], [nan, 11.1, nan, 11.6], [nan] * 4, [nan] * 4, [nan] * 4]
    assert np.array_equal(rows, expected, equal_nan=True)
    assert history.quality.by_kind() == {"duplicate": 1, "crossed_quote": 1, "bad_quote": 1}
    quality = history.quality
    assert (quality.rows_read, quality.rows_used, quality.rows_rejected, quality.rows_filtered) == (12, 9, 1, 2)
    assert not any("ignored" in notice for notice in history.notices)


def test_quotes_their_source_distrusts_are_skipped(write):
    """A row flagged suspicious in a file of quotes is counted like one in a file of bars."""
    bars = write("ts,symbol,close\n2020-01-02,A,10\n2020-01-03,A,10\n")
    quotes = write("ts,symbol,bid_open,suspicious\n2020-01-02,A,9.5,true\n2020-01-03,A,9.75,false\n", "quotes.csv")
    history = open_history(HistorySpec(bars=(bars, quotes)))
    assert history.quality.by_kind() == {"suspicious": 1}
    bids = [p.bid_open[0] for p in panels(history)]
    assert np.isnan(bids[0])
    assert bids[1] == 9.75


def test_quotes_and_vwap_may_stand_in_the_bars_file(write):
    """One file with everything; its own quotes are kept when another file has the same."""
    head = "ts,symbol,open,high,low,close,volume,vwap,bid_open,ask_open\n"
    bars = write(head + "2020-01-02,A,10,11,9,10,5,10.2,9.9,\n2020-01-03,A,10,11,9,10,5,,10.2,10.1\n")
    quotes = write("ts,symbol,bid_open,ask_open\n2020-01-02,A,1,12\n", "quotes.csv")
    first, second = panels(open_history(HistorySpec(bars=(bars, quotes))))
    assert first.vwap[0] == 10.2
    assert np.isnan(second.vwap[0])
    assert (first.bid_open[0], first.ask_open[0]) == (9.9, 12)
    assert np.isnan(second.bid_open[0])  # crossed
    assert np.isnan(first.bid_close[0])


def test_unstated_adjustment_is_raw_with_a_notice(write):
    """Stated adjustment is taken over silently."""
    path = write("ts,symbol,close\n2020-01-02,A,1\n")
    history = open_history(HistorySpec(bars=(path,)))
    assert history.adjustment is Adjustment.RAW
    assert any("taken as raw" in notice for notice in history.notices)
    history = open_history(HistorySpec(bars=(path,), adjustment=Adjustment.SPLIT))
    assert history.universe.adjustment is Adjustment.SPLIT
    assert not any("taken as raw" in notice for notice in history.notices)


def test_filters_benchmark_and_indices(write):
    """A benchmark outside the universe is read, an index is observed but not traded, an absent symbol is said."""
    text = HEAD + "".join(
        f"2020-01-0{d},{s},10,11,9,{p},1\n" for d in (2, 3) for s, p in (("A", 10), ("SPY", 9 + d / 10), ("^X", 10.5))
    )
    path = write(text + "2020-02-03,LATE,10,11,9,10,1\n")
    history = open_history(
        HistorySpec(
            bars=(path,), symbols=("A", "^X", "LATE"), benchmark="SPY", to_date=20200131, sectors={"A": "Energy"}
        )
    )
    assert history.universe.symbols == ("A", "^X")
    assert history.universe.tradable == (True, False)
    assert history.universe.sectors == ("Energy", "")
    assert any("observed but not traded" in n and "^X" in n for n in history.notices)
    assert any(n.endswith("not in the universe: LATE") for n in history.notices)
    label, dates, closes = history.benchmark_closes()
    assert label == "SPY (raw prices)"
    assert (dates.tolist(), closes.tolist()) == ([20200102, 20200103], [9.2, 9.3])
    assert history.quality.rows_filtered == 1
    everything = open_history(HistorySpec(bars=(path,), benchmark="SPY"))
    assert "SPY" in everything.universe.symbols
    assert everything.universe.benchmark == "SPY"
    assert open_history(HistorySpec(bars=(path,))).benchmark_closes() is None
