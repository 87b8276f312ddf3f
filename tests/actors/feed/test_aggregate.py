"""Aggregation equals a plain reference, stays within sessions and is aligned to their opens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.feed.aggregate import Bars, aggregate
from actors.feed.history import HistorySpec, open_history
from actors.feed.session import date_to_day, session_table
from actors.messages.market import BarPanel
from actors.values.time import Interval, parse_interval

MINUTE = 60 * 10**9
TABLE = session_table("XNYS", date_to_day(20201124), date_to_day(20201127))  # the last one closes early
FIELDS = ("open", "high", "low", "close", "volume", "vwap", "bid_open", "ask_open", "bid_close", "ask_close")


def reference(rows: list[dict[str, float]], interval: Interval) -> list[tuple[object, ...]]:
    """Aggregate row by row, the way one would explain it."""
    groups: dict[tuple[int, int], list[dict[str, float]]] = {}
    for row in rows:
        opened, closed = int(TABLE.open_ts[row["session"]]), int(TABLE.close_ts[row["session"]])
        if interval.is_daily:
            start, end = opened, closed
        elif row["start"] >= closed:
            start = closed + (row["start"] - closed) // interval.ns * interval.ns
            end = start + interval.ns
        else:
            start = opened + (row["start"] - opened) // interval.ns * interval.ns
            end = start + interval.ns if row["start"] < opened else min(start + interval.ns, closed)
        groups.setdefault((start, row["id"], end), []).append(row)
    result = []
    for (start, symbol, end), members in sorted(groups.items()):
        members.sort(key=lambda row: row["start"])
        volumes = [m["volume"] for m in members if not math.isnan(m["volume"])]
        weighted = [(m["vwap"], m["volume"]) for m in members if not math.isnan(m["vwap"]) and m["volume"] > 0]
        weight = sum(v for _, v in weighted)
        first, last = members[0], members[-1]
        values = (
            first["open"],
            max(m["high"] for m in members),
            min(m["low"] for m in members),
            last["close"],
            sum(volumes) if volumes else math.nan,
            sum(p * v for p, v in weighted) / weight if weight else math.nan,
            first["bid_open"],
            first["ask_open"],
            last["bid_close"],
            last["ask_close"],
        )
        result.append((start, end, symbol, values))
    return result


PRICE = st.integers(100, 999).map(lambda cents: cents / 8)  # eighths: sums are exact in binary
MAYBE = st.one_of(PRICE, st.just(math.nan))


@st.composite
def minute_bars(draw: st.DrawFn) -> list[dict[str, float]]:
    """Draw bars of up to three symbols at distinct minutes, some before the open and after the close."""
    places = draw(
        st.sets(st.tuples(st.integers(0, 2), st.integers(-7, 220), st.integers(0, 2)), min_size=1, max_size=40)
    )
    rows = []
    for session, minute, symbol in sorted(places):
        row = {"session": session, "start": int(TABLE.open_ts[session]) + minute * MINUTE, "id": symbol}
        row |= {name: draw(PRICE) for name in ("open", "high", "low", "close")}
        row |= {name: draw(MAYBE) for name in FIELDS[5:]}
        row["volume"] = draw(st.one_of(st.integers(0, 64).map(float), st.just(math.nan)))
        rows.append(row)
    return rows


@settings(max_examples=150, deadline=None)
@given(minute_bars(), st.sampled_from(["2m", "5m", "7m", "30m", "1h", "1d"]))
def test_aggregation_equals_the_plain_reference(rows: list[dict[str, float]], text: str):
    """First, max, min, last, known volumes summed, vwap by volume, quotes at the ends; on half days too."""
    interval = parse_interval(text)
    session = np.array([r["session"] for r in rows], dtype=np.int64)
    start = np.array([r["start"] for r in rows], dtype=np.int64)
    bars = Bars(
        ids=np.array([r["id"] for r in rows], dtype=np.int32),
        start=start,
        end=start + MINUTE,
        session=session,
        cols={name: np.array([r[name] for r in rows]) for name in FIELDS},
    )
    result = aggregate(bars, TABLE.open_ts[session], TABLE.close_ts[session], interval)
    expected = reference(rows, interval)
    assert len(result) == len(expected)
    for i, (begin, end, symbol, values) in enumerate(expected):
        assert (result.start[i], result.end[i], result.ids[i]) == (begin, end, symbol)
        ours = [result.cols[name][i] for name in FIELDS]
        np.testing.assert_allclose(ours, values, rtol=1e-14, equal_nan=True)


HEAD = "ts,symbol,open,high,low,close,volume\n"


def full_day(write) -> str:
    """Write every minute of 2020-11-27, open 14:30 to early close 18:00 UTC, with a bar before and one after."""
    lines = []
    for i in range(-1, 211):
        clock = 14 * 60 + 30 + i
        lines.append(
            f"2020-11-27T{clock // 60:02d}:{clock % 60:02d}:00Z,A,{100 + i},{200 + i},{50 - i / 8},{100 + i},2\n"
        )
    return write(HEAD + "".join(lines))


@pytest.mark.parametrize(
    ("text", "count", "first_end", "last_start"),
    [("5m", 42, 5, 205), ("1h", 4, 60, 180), ("1d", 1, 210, 0), ("8h", 1, 210, 0)],
)
def test_coarser_intervals_are_aligned_to_the_open(write, text: str, count: int, first_end: int, last_start: int):
    """Bars outside the session have no part in it; the last bar ends with the close."""
    history = open_history(HistorySpec(bars=(full_day(write),), interval=parse_interval(text)))
    panels = [m for m in history.inputs() if isinstance(m, BarPanel)]
    (session,) = history.sessions
    assert len(panels) == history.n_instants == count
    assert panels[0].start_ts == session.open_ts
    assert panels[0].ts == session.open_ts + first_end * MINUTE
    assert panels[-1].start_ts == session.open_ts + last_start * MINUTE
    assert panels[-1].ts == session.close_ts
    assert panels[0].open[0] == 100
    assert panels[-1].close[0] == 309
    assert sum(p.volume[0] for p in panels) == 420
    assert history.daily == panels[0].daily == (text == "1d")
    assert history.interval.text == text
    assert history.quality.by_kind() == {"outside_session": 2}


def test_extended_bars_never_share_a_bucket_with_the_session(write):
    """With extended hours, 8-hour bars keep the minutes around the session apart; a day leaves them out."""
    path = full_day(write)
    history = open_history(HistorySpec(bars=(path,), interval=parse_interval("8h"), extended_hours=True))
    volumes = [m.volume[0] for m in history.inputs() if isinstance(m, BarPanel)]
    assert sorted(volumes) == [2, 2, 420]
    history = open_history(HistorySpec(bars=(path,), interval=parse_interval("1d"), extended_hours=True))
    assert history.quality.by_kind() == {"outside_session": 2}
    assert history.n_bars == 1


def test_the_interval_may_be_stated_where_the_data_have_it(write):
    """Saying what is so changes nothing, in any unit; one lonely bar takes what is said."""
    path = full_day(write)
    assert open_history(HistorySpec(bars=(path,), interval=parse_interval("60s"))).interval.text == "1m"
    lonely = write(HEAD + "2020-01-02T15:00:00Z,A,10,11,9,10,1\n", "lonely.csv")
    history = open_history(HistorySpec(bars=(lonely,), interval=parse_interval("5m")))
    assert [m.ts - m.start_ts for m in history.inputs() if isinstance(m, BarPanel)] == [5 * MINUTE]
    at_open = write(HEAD + "2020-01-02T14:30:00Z,A,10,11,9,10,1\n", "at_open.csv")
    assert open_history(HistorySpec(bars=(at_open,))).daily
    assert not open_history(HistorySpec(bars=(at_open,), interval=parse_interval("5m"))).daily
    apart = write(HEAD + "2020-01-02T15:00:00Z,A,10,11,9,10,1\n2020-01-03T16:00:00Z,A,10,11,9,10,1\n", "apart.csv")
    assert open_history(HistorySpec(bars=(apart,), interval=parse_interval("1m"))).interval.text == "1m"
