"""A recording as one stream: its order, beginning anywhere, beginning again, and what lies before it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from actors.feed.history import HistorySpec, open_history
from actors.feed.ports.ticks import TickFile
from actors.feed.recording import Recording, RecordingSpec, Resume, open_recording
from actors.messages.market import BarPanel, NewsItem, SessionClosed, SessionOpened
from actors.values.time import DAY_NS, LATEST_NS
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError, UsageError
from tests.actors.feed.streams import kinds, plain, plains

BARS = """ts,symbol,close
2013-10-07T13:30:00Z,A,1.0
2013-10-07T13:31:00Z,A,1.1
2013-10-07T13:31:00Z,B,2.1
2013-10-08T13:30:00Z,B,2.2
2013-10-08T13:31:00Z,B,2.3
"""
QUOTES = """ts,symbol,bid_px,bid_size,ask_px,ask_size
2013-10-07T13:30:00Z,A,1.0,100,1.2,100
2013-10-07T13:31:00Z,A,1.0,100,0,0
2013-10-07T20:00:00Z,B,2.0,100,2.2,100
2013-10-08T13:30:30Z,B,2.1,100,2.2,100
"""
TRADES = """ts,symbol,price,size
2013-10-07T13:31:00Z,A,1.1,10
2013-10-07T13:31:00Z,B,2.1,20
2013-10-08T20:00:00Z,A,1.3,10
"""
NEWS = """ts,symbols,headline
2013-10-07T11:00:00Z,A,before the open
2013-10-07T13:31:00Z,A B,at a bar
2013-10-08T02:00:00Z,,overnight
"""


@pytest.fixture
def whole(write) -> RecordingSpec:
    """Return a recording of everything."""
    return RecordingSpec(
        bars=(write(BARS),),
        quotes=(write(QUOTES, "q.csv"),),
        trades=(write(TRADES, "t.csv"),),
        news=(write(NEWS, "n.csv"),),
        adjustment=Adjustment.RAW,
    )


def test_bars_alone_are_the_history_bit_by_bit(write) -> None:
    """Whatever reads a recording sees what read a history."""
    path = write(BARS)
    history = open_history(HistorySpec(bars=(path,), adjustment=Adjustment.RAW))
    recording = open_recording(RecordingSpec(bars=(path,), adjustment=Adjustment.RAW))
    assert plains(recording.inputs()) == plains(history.inputs())
    same = ("universe", "interval", "sessions", "digests", "label", "notices", "quality", "first_start", "n_instants")
    for name in (*same, "n_bars", "close_only", "volume_known"):
        assert getattr(recording, name) == getattr(history, name), name
    assert recording.n_inputs == len(list(history.inputs()))
    for one, two in ((recording, history),):
        assert np.array_equal(one.session_closes()[1], two.session_closes()[1], equal_nan=True)
        assert np.array_equal(one.session_opens()[1], two.session_opens()[1], equal_nan=True)
    assert recording.benchmark_closes() is None


def test_the_embedded_data_are_a_recording_too() -> None:
    """By their name."""
    recording = open_recording(RecordingSpec(source="sp500", from_date=20_220_103, to_date=20_220_110))
    assert kinds(recording.inputs()) == ["Opened", "Bar", "Closed"] * 6
    assert recording.benchmark_closes() is not None


def test_at_one_instant_quotes_trades_headlines_and_bars_follow_each_other(whole: RecordingSpec) -> None:
    """Behind the opening, before the closing; headlines come at any hour of a session's day."""
    recording = open_recording(whole)
    inputs = list(recording.inputs())
    assert [m.ts for m in inputs] == sorted(m.ts for m in inputs)
    assert kinds(inputs) == [
        *("News", "Opened", "Quote", "Quote", "Trade", "News", "Bar", "Bar", "Quote", "Closed"),
        *("News", "Opened", "Quote", "Bar", "Bar", "Trade", "Closed"),
    ]
    assert recording.n_inputs == len(inputs)
    assert [m.headline for m in inputs if isinstance(m, NewsItem)] == ["before the open", "at a bar", "overnight"]
    assert sorted(recording.digests) == sorted((*whole.bars, *whole.quotes, *whole.trades, *whole.news))
    assert recording.label == ", ".join((*whole.bars, *whole.quotes, *whole.trades, *whole.news))


def test_where_sessions_meet_ticks_belong_to_the_next(write) -> None:
    """Around the clock: a bar ends, one session closes, the next opens, then come the ticks of that instant."""
    spec = RecordingSpec(
        bars=(write("ts,symbol,close\n2020-01-01,A,1\n2020-01-02,A,2\n"),),
        trades=(write("ts,symbol,price,size\n2020-01-02T00:00:00Z,A,1.5,1\n2020-01-03T00:00:00Z,A,1.5,1\n", "t.csv"),),
        calendar="always",
    )
    recording = open_recording(spec)
    assert kinds(recording.inputs()) == ["Opened", "Bar", "Closed", "Opened", "Trade", "Bar", "Closed"]
    assert recording.quality.rows_filtered == 1  # midnight after the last day opens a session nobody asked for


def test_extended_hours_let_ticks_outside_the_session_in(write) -> None:
    """As for bars; a book known before the open serves at the open either way."""
    quotes = "ts,symbol,bid_px,bid_size,ask_px,ask_size\n"
    quotes += (
        "2013-10-07T12:00:00Z,A,1.0,100,0,0\n2013-10-07T13:30:00Z,A,0,0,1.2,100\n2013-10-07T21:00:00Z,A,0.9,100,0,0\n"
    )
    path = write(quotes, "q.csv")
    regular = open_recording(RecordingSpec(quotes=(path,)))
    assert kinds(regular.inputs()) == ["Opened", "Quote", "Closed"]
    assert [(m.bid_px[0], m.ask_px[0]) for m in itertools.islice(regular.inputs(), 1, 2)] == [(1.0, 1.2)]  # type: ignore[attr-defined]
    assert regular.quality.by_kind() == {"outside_session": 2}
    extended = open_recording(RecordingSpec(quotes=(path,), extended_hours=True))
    assert kinds(extended.inputs()) == ["Quote", "Opened", "Quote", "Closed", "Quote"]
    assert extended.quality.rows_rejected == 0
    assert extended.n_inputs == 5


def test_without_bars_the_sessions_are_those_of_the_ticks(write) -> None:
    """From the first to the last with a row, with an interval of a minute; a session closes at its last print."""
    spec = RecordingSpec(trades=(write(TRADES.replace("2013-10-08", "2013-10-09"), "t.csv"),), sectors={"B": "Energy"})
    recording = open_recording(spec)
    assert [s.date for s in recording.sessions] == [20_131_007, 20_131_008, 20_131_009]
    assert kinds(recording.inputs()) == ["Opened", "Trade", "Closed", "Opened", "Closed", "Opened", "Trade", "Closed"]
    assert recording.interval.text == "1m"
    assert recording.history is None
    assert recording.universe.sectors == ("", "Energy")
    assert recording.first_start == recording.sessions[0].open_ts
    for dates, prices in (recording.session_opens(), recording.session_closes()):
        assert dates.tolist() == [20_131_007, 20_131_008, 20_131_009]
        assert prices.shape == (3, 2)
    assert np.isnan(recording.session_opens()[1]).all()
    closes = recording.session_closes()[1]
    assert [[None if np.isnan(px) else px for px in row] for row in closes.tolist()] == [
        [1.1, 2.1],
        [None, None],
        [1.3, None],
    ]
    assert recording.benchmark_closes() is None


def test_dates_and_symbols_limit_ticks_too(write) -> None:
    """Filtered rows are counted; an index is observed and not traded; a benchmark must be there."""
    path = write(TRADES.replace("B,2.1", "^IDX,2.1"), "t.csv")
    recording = open_recording(RecordingSpec(trades=(path,), from_date=20_131_007, to_date=20_131_007))
    assert recording.universe.symbols == ("A", "^IDX")
    assert recording.universe.tradable == (True, False)
    assert recording.quality.rows_filtered == 1
    only = open_recording(RecordingSpec(trades=(path,), symbols=("^IDX",), benchmark="^IDX", from_date=20_131_007))
    assert kinds(only.inputs()) == ["Opened", "Trade", "Closed"]
    assert only.universe.benchmark == "^IDX"
    for spec, code in (
        (RecordingSpec(trades=(path,), benchmark="SPY"), "UNKNOWN_SYMBOL"),
        (RecordingSpec(trades=(path,), from_date=20_131_009), "NO_DATA"),
        (RecordingSpec(trades=(path,), from_date=20_131_009, to_date=20_131_008), "BAD_DATE"),
        (RecordingSpec(trades=(path, path)), "GIVEN_TWICE"),
        (RecordingSpec(trades=(path,), quotes=(path,)), "GIVEN_TWICE"),
        (RecordingSpec(trades=(path,), calendar="XXXX"), "UNKNOWN_CALENDAR"),
    ):
        with pytest.raises(OperatorError) as caught:
            open_recording(spec)
        assert caught.value.code == code
    with pytest.raises(UsageError, match="there is no data to replay"):
        open_recording(RecordingSpec(news=(path,)))


def test_a_symbol_that_only_ticks_is_played_and_told(write) -> None:
    """A file of another universe beside the bars may be a mistake; one asked for that has neither is an error."""
    files = {"bars": (write(BARS),), "trades": (write("ts,symbol,price,size\n2013-10-07T14:00:00Z,Z,1,1\n", "t.csv"),)}
    recording = open_recording(RecordingSpec(**files))
    assert recording.universe.symbols == ("A", "B", "Z")
    assert any("on ticks alone, for there are no bars of them: Z" in notice for notice in recording.notices)
    assert "Trade" in kinds(recording.inputs())
    some = open_recording(RecordingSpec(**files, symbols=("A", "Z")))
    assert some.universe.symbols == ("A", "Z")
    without = open_recording(RecordingSpec(**files, symbols=("A",)))
    assert any("t.csv has no row that is played" in notice for notice in without.notices)
    with pytest.raises(OperatorError, match="neither the bars nor the ticks have a usable row of ZZ"):
        open_recording(RecordingSpec(**files, symbols=("A", "ZZ")))


def places(inputs: list[object]) -> list[Resume]:
    """Return the place behind each input, and the one before the first."""
    found = [Resume(inputs[0].ts, 0)]  # type: ignore[attr-defined]
    for message in inputs:
        ts = message.ts  # type: ignore[attr-defined]
        found.append(Resume(ts, found[-1].n + 1 if found[-1].ts == ts else 1))
    return found


@pytest.mark.parametrize("kept", ["bars quotes trades news", "bars", "quotes trades", "bars news", "trades news"])
def test_a_recording_goes_on_behind_any_place(whole: RecordingSpec, kept: str) -> None:
    """Equal to the rest of the whole, wherever it is cut, books included."""
    files = {kind: getattr(whole, kind) if kind in kept else () for kind in ("bars", "quotes", "trades", "news")}
    recording = open_recording(RecordingSpec(**files, adjustment=Adjustment.RAW))
    inputs = list(recording.inputs())
    expected = plains(inputs)
    for cut, place in enumerate(places(inputs)):
        assert plains(recording.inputs(place)) == expected[cut:], place
    assert plains(recording.inputs(Resume(0, 5))) == expected
    assert plains(recording.inputs(Resume(inputs[-1].ts + 1, 0))) == []
    assert plains(recording.inputs(Resume(inputs[-1].ts + 3 * DAY_NS, 0))) == []
    assert plains(recording.inputs(Resume(inputs[3].ts - 1, 9))) == [p for p in expected if p[1] >= inputs[3].ts]


def test_a_place_behind_the_end_of_a_file_has_nothing_of_it(write) -> None:
    """The bars go on for days; the trades ended before."""
    text = BARS + "2013-10-10T13:30:00Z,A,3\n2013-10-10T13:31:00Z,A,3\n"
    recording = open_recording(RecordingSpec(bars=(write(text),), trades=(write(TRADES, "t.csv"),)))
    inputs = list(recording.inputs())
    place = Resume(recording.sessions[-1].open_ts, 0)
    assert plains(recording.inputs(place)) == plains(m for m in inputs if m.ts >= place.ts)


def test_the_book_goes_on_outside_the_session_too(write) -> None:
    """In extended hours a place before the open and one behind the close have the book of their own day."""
    lines = [
        f"2013-10-{day:02d}T{hour:02d}:00:00Z,A,{1 + hour / 100},100,0,0\n"
        f"2013-10-{day:02d}T{hour:02d}:00:01Z,A,0,0,{2 + hour / 100},100\n"
        for day in (7, 8, 9)
        for hour in (9, 13, 14, 20, 21)
    ]
    head = "ts,symbol,bid_px,bid_size,ask_px,ask_size\n"
    recording = open_recording(RecordingSpec(quotes=(write(head + "".join(lines), "q.csv"),), extended_hours=True))
    inputs = list(recording.inputs())
    expected = plains(inputs)
    for cut, place in enumerate(places(inputs)):
        assert plains(recording.inputs(place)) == expected[cut:], place


def test_sessions_before_a_place_are_not_built_again() -> None:
    """Thirty years of daily bars are left behind by bisection, also with trading before and after hours."""
    recording = open_recording(RecordingSpec(source="sp500"))
    assert recording.history is not None
    panels = recording.history._panels
    built: list[int] = []
    build = panels._panels
    panels._panels = lambda date, begin, finish: (built.append(date), build(date, begin, finish))[1]  # type: ignore[method-assign,func-returns-value]
    last = recording.sessions[-1]
    assert kinds(recording.inputs(Resume(last.open_ts, 0))) == ["Opened", "Bar", "Closed"]
    assert set(built) == {last.date}


def test_a_bar_after_hours_belongs_to_the_session_before_it(write) -> None:
    """A place behind the close still lies in that session."""
    text = (
        BARS
        + "2013-10-08T20:30:00Z,B,2.4\n2013-10-08T20:31:00Z,B,2.5\n"
        + "2013-10-09T13:30:00Z,B,2.4\n2013-10-09T13:31:00Z,B,2.4\n"
    )
    recording = open_recording(RecordingSpec(bars=(write(text),), extended_hours=True))
    inputs = list(recording.inputs())
    expected = plains(inputs)
    for cut, place in enumerate(places(inputs)):
        assert plains(recording.inputs(place)) == expected[cut:]


def test_a_place_far_into_a_file_is_reached_without_decoding_what_lies_before(
    write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only blocks from the close before on are looked at: the book of a place is made by its own day."""
    days = [f"2013-10-{day:02d}" for day in (1, 2, 3, 4, 7, 8, 9, 10, 11)]
    lines = [f"{day}T{hour:02d}:{m:02d}:00Z,A,1.0,1\n" for day in days for hour in (14, 15, 16) for m in range(60)]
    recordings = []
    for name in ("t.csv", "t.csv.gz"):
        monkeypatch.setattr("actors.feed.ports.ticks.BLOCK_BYTES", 1000)
        recordings.append(
            open_recording(RecordingSpec(trades=(write("ts,symbol,price,size\n" + "".join(lines), name),)))
        )
    decoded: list[int] = []
    decode = TickFile._decode
    monkeypatch.setattr(TickFile, "_decode", lambda self, frame: (decoded.append(frame.height), decode(self, frame))[1])
    for recording in recordings:
        inputs = list(recording.inputs())
        decoded.clear()
        last = recording.sessions[-1]
        rest = list(recording.inputs(Resume(last.open_ts + 3 * 3_600_000_000_000, 0)))
        assert plains(rest) == plains(m for m in inputs if m.ts >= last.open_ts + 3 * 3_600_000_000_000)
        assert 0 < sum(decoded) < 1.2 * 180


def test_a_looped_recording_moves_by_whole_weeks_and_counts_sessions_on(whole: RecordingSpec) -> None:
    """The smallest number of weeks that keeps time ascending; only the very first session knows its first opens."""
    looped = open_recording(
        RecordingSpec(**{name: getattr(whole, name) for name in whole.__struct_fields__} | {"loop": True})
    )
    once = list(open_recording(whole).inputs())
    turns = list(itertools.islice(looped.inputs(), 3 * len(once)))
    assert [m.ts for m in turns] == sorted(m.ts for m in turns)
    first, second, third = (turns[i * len(once) : (i + 1) * len(once)] for i in range(3))
    assert plains(first) == plains(once)
    assert kinds(second) == kinds(third) == kinds(once)
    assert {b.ts - a.ts for a, b in zip(first, second, strict=True)} == {7 * DAY_NS}
    assert {b.ts - a.ts for a, b in zip(first, third, strict=True)} == {14 * DAY_NS}
    opened = [m for m in turns if isinstance(m, SessionOpened)]
    assert [m.session.date for m in opened] == [20_131_007, 20_131_008, 20_131_014, 20_131_015, 20_131_021, 20_131_022]
    assert [m.session.number - opened[0].session.number for m in opened] == list(range(6))
    assert [bool(m.first_opens) for m in opened] == [True, False, False, False, False, False]
    closed = [m for m in turns if isinstance(m, SessionClosed)]
    assert [m.session for m in closed] == [m.session for m in opened]
    bars = [m for m in turns if isinstance(m, BarPanel)]
    assert [b.start_ts - a.start_ts for a, b in zip(bars, bars[4:], strict=False)] == [7 * DAY_NS] * 8
    assert [b.session for b in bars][4:8] == [20_131_014, 20_131_014, 20_131_015, 20_131_015]
    ids = [m.news_id for m in turns if isinstance(m, NewsItem)]
    assert len(set(ids)) == 9


def test_a_looped_recording_goes_on_behind_any_place_of_any_turn(whole: RecordingSpec) -> None:
    """The turn follows from the time alone."""
    looped = open_recording(
        RecordingSpec(**{name: getattr(whole, name) for name in whole.__struct_fields__} | {"loop": True})
    )
    inputs = list(itertools.islice(looped.inputs(), 60))
    expected = plains(inputs)
    for cut, place in list(enumerate(places(inputs)))[:50]:
        assert plains(itertools.islice(looped.inputs(place), 10)) == expected[cut : cut + 10], (cut, place)
    assert plain(next(looped.inputs(Resume(0, 0)))) == expected[0]


def test_a_loop_ends_before_its_times_cannot_be_held(write) -> None:
    """At full speed it comes to the year 2200 within the hour; then the recording has ended, wherever it goes on."""
    path = write("ts,symbol,price,size\n2099-10-05T14:00:00Z,A,1,1\n", "t.csv")
    looped = open_recording(RecordingSpec(trades=(path,), loop=True))
    *_, last = looped.inputs(Resume(LATEST_NS - 30 * DAY_NS, 0))
    assert LATEST_NS - 8 * DAY_NS < last.ts <= LATEST_NS
    assert list(looped.inputs(Resume(last.ts, 1))) == []
    assert list(looped.inputs(Resume(last.ts + 30 * DAY_NS, 1))) == []


def test_a_recording_of_more_than_a_week_moves_by_more(write) -> None:
    """Eight days apart: two weeks."""
    path = write("ts,symbol,price,size\n2013-10-07T14:00:00Z,A,1,1\n2013-10-15T14:00:00Z,A,1,1\n", "t.csv")
    looped = open_recording(RecordingSpec(trades=(path,), loop=True))
    dates = [m.session.date for m in itertools.islice(looped.inputs(), 40) if isinstance(m, SessionOpened)]
    assert dates[:8] == [20_131_007, 20_131_008, 20_131_009, 20_131_010, 20_131_011, 20_131_014, 20_131_015, 20_131_021]


@pytest.mark.parametrize(("minute", "known"), [(30, True), (31, False)])
def test_the_opening_knows_the_open_of_a_bar_that_begins_then_and_of_no_later_one(
    write, minute: int, known: bool
) -> None:
    """The session opens at 13:30 UTC: what a bar that begins at 13:31 opens with is in the future then."""
    text = f"ts,symbol,close\n2013-10-07T13:{minute}:00Z,A,3\n2013-10-07T13:{minute + 1}:00Z,A,3\n"
    recording = open_recording(RecordingSpec(bars=(write(text),), adjustment=Adjustment.RAW))
    opened = next(m for m in recording.inputs() if isinstance(m, SessionOpened))
    assert opened.first_opens == ((3 * 10**8,) if known else ())


def warm(spec: RecordingSpec, count: int) -> tuple[Recording, list[object]]:
    """Open a recording and return what comes before it."""
    recording = open_recording(spec)
    return recording, list(recording.warm_rows(count))


def test_what_lies_before_the_first_session_warms_features_up(write) -> None:
    """The sessions asked for, oldest first, under the ids of the recording, and nothing that only a start may know."""
    text = BARS + "2013-10-09T13:30:00Z,A,3\n2013-10-09T13:31:00Z,A,3\n2013-10-09T13:31:00Z,B,4\n"
    files = {"bars": (write(text),), "quotes": (write(QUOTES, "q.csv"),), "trades": (write(TRADES, "t.csv"),)}
    spec = RecordingSpec(**files, from_date=20_131_009, adjustment=Adjustment.RAW)  # type: ignore[arg-type]
    recording, rows = warm(spec, 1)
    assert kinds(rows) == ["Opened", "Quote", "Bar", "Bar", "Trade", "Closed"]  # type: ignore[arg-type]
    opened, quote, bar, *_ = rows
    assert quote.ids.tolist() == [1]  # type: ignore[attr-defined]
    assert opened.session.date == 20_131_008  # type: ignore[attr-defined]
    assert opened.first_opens == ()  # type: ignore[attr-defined]
    assert (bar.ids.tolist(), bar.dense, recording.universe.symbols) == ([1], False, ("A", "B"))  # type: ignore[attr-defined]
    _, rows = warm(spec, 5)
    without = [kind for kind in kinds(rows) if kind != "Quote"]  # type: ignore[arg-type]
    assert without == ["Opened", "Trade", "Bar", "Bar", "Closed", "Opened", "Bar", "Bar", "Trade", "Closed"]
    assert [m.ids.tolist() for m in rows if type(m).__name__ == "BarPanel"] == [[0], [0, 1], [1], [1]]  # type: ignore[attr-defined]
    assert warm(spec, 0)[1] == []


def test_nothing_comes_before_the_beginning_of_the_data(write) -> None:
    """Without an earlier row there is nothing to warm up with; other errors are not hidden by that."""
    path = write(BARS)
    assert warm(RecordingSpec(bars=(path,)), 10)[1] == []
    recording = open_recording(RecordingSpec(bars=(path,), from_date=20_131_008))
    Path(path).unlink()
    with pytest.raises(OperatorError, match="there is no such file"):
        list(recording.warm_rows(1))


def test_warm_up_of_the_embedded_data_is_the_history_before(write) -> None:
    """Fifty sessions of daily bars."""
    recording = open_recording(RecordingSpec(source="sp500", from_date=20_200_601, to_date=20_200_605))
    rows = list(recording.warm_rows(50))
    whole = open_history(HistorySpec(source="sp500", to_date=20_200_529))
    expected = list(whole.inputs())[-150:]
    assert kinds(rows) == ["Opened", "Bar", "Closed"] * 50
    assert plains(rows) == plains(expected)
