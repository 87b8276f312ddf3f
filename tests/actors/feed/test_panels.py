"""Panels: order of inputs, sessions, daylight saving, early closes, extended hours, read-only arrays."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.feed.actor import FeedActor
from actors.feed.aggregate import Bars
from actors.feed.history import History, HistorySpec, open_history
from actors.feed.panel import PanelSource
from actors.feed.recording import RecordingSpec, open_recording
from actors.feed.session import date_to_day, session_table
from actors.messages.market import BarPanel, SessionClosed, SessionOpened

HEAD = "ts,symbol,open,high,low,close,volume\n"
NEW_YORK = ZoneInfo("America/New_York")
MINUTE = 60 * 10**9


def minutes(day: datetime, begin: str, finish: str, symbol: str = "A") -> str:
    """Write one bar per minute of New York time from ``begin`` up to before ``finish``."""
    at, end = (day.replace(hour=int(t[:2]), minute=int(t[3:]), tzinfo=NEW_YORK) for t in (begin, finish))
    lines = []
    while at < end:
        lines.append(f"{at.isoformat()},{symbol},10,11,9,10,1\n")
        at += timedelta(minutes=1)
    return "".join(lines)


def kinds(history: History) -> list[str]:
    """Return the inputs as words: open, bar, close."""
    words = {SessionOpened: "open", BarPanel: "bar", SessionClosed: "close"}
    return [words[type(m)] for m in history.inputs()]


def assert_ordered(history: History) -> None:
    """Inputs never go back in time, and sessions open, then close, in order."""
    last = -1
    inside = False
    for message in history.inputs():
        assert message.ts >= last
        last = message.ts
        if isinstance(message, SessionOpened):
            assert not inside
            inside = True
        elif isinstance(message, SessionClosed):
            assert inside
            inside = False
    assert not inside


@pytest.mark.parametrize(
    ("days", "bars"),
    [
        ([datetime(2021, 3, 12), datetime(2021, 3, 15)], 390),  # noqa: DTZ001 - local dates, zone added above
        ([datetime(2021, 11, 5), datetime(2021, 11, 8)], 390),  # noqa: DTZ001
        ([datetime(2020, 11, 27), datetime(2020, 12, 24)], 210),  # noqa: DTZ001
    ],
)
def test_full_days_fill_sessions_across_clock_changes_and_early_closes(write, days: list[datetime], bars: int):
    """Before and after March and November clock changes a day has 390 minutes, on half days 210: open to close."""
    rows = "".join(minutes(day, "04:00", "20:00") for day in days)
    history = open_history(HistorySpec(bars=(write(HEAD + rows),)))
    assert history.interval.text == "1m"
    assert_ordered(history)
    by_session: dict[int, list[BarPanel]] = {}
    for message in history.inputs():
        if isinstance(message, BarPanel):
            by_session.setdefault(message.session, []).append(message)
    sessions = {s.date: s for s in history.sessions}
    assert len(by_session) == 2
    for date, rows_of_day in by_session.items():
        assert len(rows_of_day) == bars
        assert rows_of_day[0].start_ts == sessions[date].open_ts
        assert rows_of_day[-1].ts == sessions[date].close_ts
        assert all(p.ts - p.start_ts == MINUTE for p in rows_of_day)
    assert history.quality.by_kind() == {"outside_session": 2 * (960 - bars)}


def test_daily_bars_run_from_open_to_close(write):
    """A daily panel starts at the session's open and is known at its close, the early one too."""
    history = open_history(HistorySpec(bars=(write(HEAD + "2020-11-25,A,1,1,1,1,1\n2020-11-27,A,1,1,1,1,1\n"),)))
    assert kinds(history) == ["open", "bar", "close"] * 2
    inputs = list(history.inputs())
    for opened, panel, closed in (inputs[:3], inputs[3:]):
        assert (panel.start_ts, panel.ts) == (opened.ts, closed.ts)
        assert opened.session == closed.session
        assert panel.daily
    assert inputs[4].ts - inputs[4].start_ts == 210 * MINUTE


def test_sessions_without_bars_still_open_and_close(write):
    """From the first bar's session to the last bar's, nothing is left out."""
    history = open_history(HistorySpec(bars=(write(HEAD + "2020-01-02,A,1,1,1,1,1\n2020-01-07,A,1,1,1,1,1\n"),)))
    assert kinds(history) == ["open", "bar", "close", "open", "close", "open", "close", "open", "bar", "close"]
    assert [s.date for s in history.sessions] == [20200102, 20200103, 20200106, 20200107]
    dates, closes = history.session_closes()
    assert dates.tolist() == [20200102, 20200103, 20200106, 20200107]
    assert np.isnan(closes[1:3]).all()


def test_extended_hours_keep_their_bars_around_the_session(write):
    """With the switch on, bars before the open and after the close come in their place and mark no session close."""
    day = datetime(2020, 1, 2)  # noqa: DTZ001 - local date
    rows = minutes(day, "09:28", "09:32") + minutes(day, "15:59", "16:02").replace(",10,1\n", ",10.5,1\n")
    rows += "2020-01-04T12:00:00-05:00,A,10,11,9,10,1\n"
    spec = HistorySpec(bars=(write(HEAD + rows),), extended_hours=True)
    history = open_history(spec)
    assert kinds(history) == ["bar", "bar", "open", "bar", "bar", "bar", "close", "bar", "bar"]
    assert_ordered(history)
    assert history.quality.by_kind() == {"outside_session": 1}  # a Saturday belongs to no session
    assert history.session_opens()[1].tolist() == [[10.0]]
    assert history.session_closes()[1].tolist() == [[10.5]]
    assert {m.session for m in history.inputs() if isinstance(m, BarPanel)} == {20200102}


def test_a_bar_that_would_end_after_the_close_ends_with_it(write):
    """Hourly bars from 09:30: the last one is half an hour."""
    rows = "".join(f"2020-01-02T{h}:30:00Z,A,10,11,9,10,1\n" for h in range(14, 21))
    history = open_history(HistorySpec(bars=(write(HEAD + rows),)))
    panels = [m for m in history.inputs() if isinstance(m, BarPanel)]
    assert history.interval.text == "1h"
    assert [p.ts - p.start_ts for p in panels] == [60 * MINUTE] * 6 + [30 * MINUTE]
    assert panels[-1].ts == history.sessions[0].close_ts


def test_hours_by_the_clock_are_hours_although_the_open_cuts_the_first(write):
    """09:30, 10:00, 11:00 ... are hourly bars: read as half hours they would be known before they ended."""
    stamps = ["14:30", "15:00", "16:00", "17:00", "18:00", "19:00", "20:00"]
    rows = "".join(f"2020-01-{d:02d}T{t}:00Z,A,10,11,9,10,1\n" for d in (2, 3) for t in stamps)
    history = open_history(HistorySpec(bars=(write(HEAD + rows),)))
    assert history.interval.text == "1h"
    assert_ordered(history)


def test_sparse_minutes_are_minutes(write):
    """Bars two and three minutes apart lie on a grid of one minute."""
    rows = "".join(f"2020-01-02T15:{m:02d}:00Z,A,10,11,9,10,1\n" for m in (0, 2, 5, 8, 10))
    assert open_history(HistorySpec(bars=(write(HEAD + rows),))).interval.text == "1m"


def test_the_calendar_always_trades_at_night_and_on_weekends(write):
    """Every UTC day is a session; a daily bar closes at the next midnight."""
    history = open_history(
        HistorySpec(bars=(write(HEAD + "2020-01-04,A,1,1,1,1,1\n2020-01-05,A,1,1,1,1,1\n"),), calendar="always")
    )
    assert kinds(history) == ["open", "bar", "close"] * 2
    assert_ordered(history)
    rows = "".join(f"2020-01-0{d}T{h:02d}:00:00Z,A,10,11,9,10,1\n" for d in (4, 5) for h in range(24))
    history = open_history(HistorySpec(bars=(write(HEAD + rows),), calendar="always"))
    assert history.interval.text == "1h"
    assert history.n_instants == 48
    assert_ordered(history)


def test_arrays_of_panels_cannot_be_written(write):
    """Neither directly nor after asking numpy to make them writable."""
    text = (
        "ts,symbol,open,high,low,close,volume,vwap,bid_open\n2020-01-02,A,1,1,1,1,1,1,1\n2020-01-02,B,1,1,1,1,1,1,1\n"
    )
    history = open_history(HistorySpec(bars=(write(text + "2020-01-03,B,1,1,1,1,1,1,1\n"),)))
    for panel in history.inputs():
        if isinstance(panel, BarPanel):
            arrays = [
                panel.ids,
                panel.open,
                panel.high,
                panel.low,
                panel.close,
                panel.close_fx,
                panel.volume,
                panel.vwap,
            ]
            assert panel.ask_close is None
            for array in (*arrays, panel.bid_open):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 0
                with pytest.raises(ValueError, match="WRITEABLE"):
                    array.flags.writeable = True
            assert panel.ids.dtype == np.int32
            assert panel.close_fx.dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_panels_hold_every_bar_once_in_order(data: st.DataObject):
    """Whatever symbols have bars at whatever minutes: ids ascend, dense means all, and nothing is lost."""
    n = data.draw(st.integers(1, 4))
    cells = data.draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, n - 1)), min_size=1))
    table = session_table("XNYS", date_to_day(20200102), date_to_day(20200107))
    rows = sorted(cells)
    session = np.array([r[0] for r in rows], dtype=np.int64)
    start = table.open_ts[session] + np.array([r[1] for r in rows], dtype=np.int64) * MINUTE
    close = np.arange(1, len(rows) + 1, dtype=np.float64)
    cols = {"open": close + 0.25, "high": close + 1, "low": close - 0.5, "close": close}
    ids = np.array([r[2] for r in rows], dtype=np.int32)
    source = PanelSource(
        Bars(ids, start, start + MINUTE, session, cols),
        table,
        n_symbols=n,
        daily=False,
        close_only=False,
        volume_known=False,
    )
    seen = []
    opens: dict[tuple[int, int], float] = {}
    closes: dict[tuple[int, int], float] = {}
    number = {s.date: i for i, s in enumerate(source.sessions)}
    for message in source.inputs():
        if not isinstance(message, BarPanel):
            continue
        assert message.dense == (message.ids.tolist() == list(range(n)))
        assert message.ids.tolist() == sorted(set(message.ids.tolist()))
        assert message.close_fx.tolist() == [round(c * 10**8) for c in message.close]
        for i, o, c in zip(message.ids.tolist(), message.open.tolist(), message.close.tolist(), strict=True):
            s = number[message.session]
            seen.append((s, (message.start_ts - source.sessions[s].open_ts) // MINUTE, i))
            opens.setdefault((s, i), o)
            closes[s, i] = c
    assert seen == rows
    for name, expected in (("open", opens), ("close", closes)):
        block = source.session_prices(name)
        for s in range(len(source.sessions)):
            for i in range(n):
                assert block[s, i] == expected[s, i] if (s, i) in expected else np.isnan(block[s, i])


def test_the_actor_yields_the_history_and_reports_its_quality(write):
    """The feed's edge actor is a thin shell: inputs, health, counters."""
    path = write(HEAD + "2020-01-02,A,1,1,1,1,1\n2020-01-03,A,1,1,1,nan,1\n")
    feed = FeedActor(open_recording(RecordingSpec(bars=(path,))))
    assert feed.name == "feed"
    assert [type(m) for m in feed.inputs()] == [SessionOpened, BarPanel, SessionClosed]
    assert feed.quality.rows_rejected == 1
    health = feed.health()
    assert health.ok
    assert "1 of 2 rows rejected" in health.detail
