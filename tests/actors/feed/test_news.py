"""Files of headlines."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from actors.feed.recording import Recording, RecordingSpec, open_recording
from actors.messages.market import NewsItem
from actors.values.time import format_ts
from daemon.kernel.errors import OperatorError

TRADES = "ts,symbol,price,size\n2013-10-07T14:00:00Z,A,1,1\n2013-10-09T14:00:00Z,B,1,1\n"
HEAD = "ts,symbols,headline\n"


def with_news(write, *texts: str, name: str = "n.csv", **options: object) -> Recording:
    """Open a recording of two symbols over three sessions with files of headlines."""
    paths = tuple(write(text, f"{i}{name}") for i, text in enumerate(texts))
    return open_recording(RecordingSpec(trades=(write(TRADES, "t.csv"),), news=paths, **options))  # type: ignore[arg-type]


def items(recording: Recording) -> list[NewsItem]:
    """Return the headlines that are played."""
    return [message for message in recording.inputs() if isinstance(message, NewsItem)]


def test_headlines_come_at_their_time_with_the_ids_of_their_symbols(write) -> None:
    """Symbols outside the universe are left out of an item, and an item of none but such is left out whole."""
    recording = with_news(
        write,
        HEAD
        + "2013-10-07T15:00:00Z,A;B A,both\n"
        + "2013-10-07T16:00:00Z,B|ZZZ,one of two\n"
        + '2013-10-07T17:00:00Z,"ZZZ,YYY",foreign\n'
        + "2013-10-07T18:00:00Z,,everybody's\n"
        + "2013-10-01T18:00:00Z,A,too early\n"
        + "2013-10-09T20:00:01Z,A,too late\n",
    )
    found = items(recording)
    assert [(i.headline, i.symbols) for i in found] == [("both", (0, 1)), ("one of two", (1,)), ("everybody's", ())]
    assert recording.quality.rows_read == 8
    assert (recording.quality.rows_used, recording.quality.rows_filtered) == (5, 3)
    assert next(format_ts(i.ts) for i in found) == "2013-10-07T15:00:00.000Z"


def test_a_headline_dated_by_day_is_known_at_the_end_of_that_day(write) -> None:
    """It may have come out at any hour of it; assuming the morning would let a strategy see the future."""
    recording = with_news(write, HEAD + "2013-10-07,A,one\n2013-10-08,A,two\n2013-10-09,A,after the last close\n")
    assert [(i.headline, format_ts(i.ts)) for i in items(recording)] == [
        ("one", "2013-10-08T04:00:00.000Z"),
        ("two", "2013-10-09T04:00:00.000Z"),
    ]
    assert any("3 headlines dated by day alone" in notice for notice in recording.notices)


def test_a_column_may_say_which_times_are_but_days(write) -> None:
    """As real collections do: midnight UTC, or any time of that day, with the precision beside it."""
    recording = with_news(
        write,
        "ts_utc,symbols,headline,time_precision\n"
        "2013-10-07T00:00:00Z,A,day,day\n2013-10-08T15:00:00Z,A,second,second\n2013-10-08T17:00:00Z,A,local, Day \n",
    )
    assert [(i.headline, format_ts(i.ts)) for i in items(recording)] == [
        ("day", "2013-10-08T04:00:00.000Z"),
        ("second", "2013-10-08T15:00:00.000Z"),
        ("local", "2013-10-09T04:00:00.000Z"),
    ]


def test_a_headline_timed_to_the_hour_is_known_at_its_end(write) -> None:
    """It may have come out in its last second; so may one of a minute. The day is that of when it is known."""
    rows = (
        ("2013-10-07T15:00:00Z", "hour", "2013-10-07T16:00:00.000Z"),
        ("2013-10-07T15:00:01Z", "Maybe-Hour", "2013-10-07T16:00:00.000Z"),
        ("2013-10-07T15:30:00Z", "hour", "2013-10-07T16:30:00.000Z"),  # nine to ten o'clock in the evening of Mumbai
        ("2013-10-07T17:59:00Z", "minute", "2013-10-07T18:00:00.000Z"),
        ("2013-10-07T18:00:30Z", " minute ", "2013-10-07T18:01:00.000Z"),
        ("2013-10-07T18:01:30Z", "second", "2013-10-07T18:01:30.000Z"),
        ("2013-10-07T18:02:30Z", "", "2013-10-07T18:02:30.000Z"),
        ("2013-10-07T18:03:30Z", "roughly", "2013-10-07T18:03:30.000Z"),
    )
    lines = "".join(f"{at},A,{n},{precision}\n" for n, (at, precision, _) in enumerate(rows))
    recording = with_news(write, "ts,symbols,headline,time_precision\n" + lines)
    assert [(i.headline, format_ts(i.ts)) for i in items(recording)] == [(str(n), row[2]) for n, row in enumerate(rows)]
    told = [notice.partition(": ")[2] for notice in recording.notices if "n.csv" in notice]
    assert told == [
        "2 headlines timed to the minute count as known at the end of that minute",
        "3 headlines timed to the hour count as known at the end of that hour",
        "times are taken as exact where time_precision is 'roughly'",
    ]
    night = "2013-10-07T03:00:00Z,A,late in the evening of the 6th in New York,{}\n"  # before the first session's day
    head = "ts,symbols,headline,time_precision\n"
    assert items(with_news(write, head + night.format("second"))) == []
    assert [format_ts(i.ts) for i in items(with_news(write, head + night.format("hour")))] == [
        "2013-10-07T04:00:00.000Z"
    ]


def test_ids_are_given_or_follow_from_what_an_item_says(write) -> None:
    """The same headline again is no news, in the same file or another; made ids are equal in every run."""
    plain = HEAD.replace("\n", ",id,source\n")
    recording = with_news(
        write,
        plain + "2013-10-07T15:00:00Z,A,one,x1,S\n2013-10-07T15:00:00Z,A,again,x1,S\n2013-10-07T16:00:00Z,A,two,,S\n",
        plain + "2013-10-07T16:00:00Z,A,two,,S\n2013-10-07T15:00:00Z,A,other,x2,S\n2013-10-07T14:30:00Z,A,,x3,S\n",
    )
    found = items(recording)
    assert [i.headline for i in found] == ["one", "other", "two"]
    assert found[0].news_id == "x1"
    assert found[2].news_id == items(with_news(write, plain + "2013-10-07T16:00:00Z,A,two,,S\n"))[0].news_id
    assert recording.quality.by_kind() == {"same_headline": 2, "no_headline": 1}
    rejects = {(r.kind, Path(r.file).name): (r.count, r.line) for r in recording.quality.rejects}
    assert rejects == {
        ("same_headline", "0n.csv"): (1, 3),
        ("same_headline", "1n.csv"): (1, 2),
        ("no_headline", "1n.csv"): (1, 4),
    }


def test_parquet_lists_nulls_and_long_texts(write, tmp_path: Path) -> None:
    """A list of symbols, none, null; a summary of a book's length is cut."""
    frame = pl.DataFrame(
        {
            "ts": ["2013-10-07T15:00:00Z", "2013-10-07T15:00:01Z", "2013-10-07T15:00:02Z"],
            "symbols": [["A", "B"], [], None],
            "title": ["x", " y ", "z"],
            "summary": ["s" * 20_000, None, "t"],
            "publisher": ["P", None, None],
        }
    )
    frame.write_parquet(tmp_path / "n.parquet")
    recording = open_recording(RecordingSpec(trades=(write(TRADES, "t.csv"),), news=(str(tmp_path / "n.parquet"),)))
    found = [(i.symbols, i.headline, len(i.summary), i.source) for i in items(recording)]
    assert found == [((0, 1), "x", 10_000, "P"), ((), "y", 0, ""), ((), "z", 1, "")]


def test_a_cell_may_hold_a_line_break(write) -> None:
    """Headlines are texts of people."""
    recording = with_news(write, HEAD + '2013-10-07T15:00:00Z,A,"one\ntwo, three"\n2013-10-07T16:00:00Z,A,four\n')
    assert [i.headline for i in items(recording)] == ["one\ntwo, three", "four"]


def test_a_zone_where_midnight_is_skipped_has_a_first_instant_all_the_same(write) -> None:
    """Clocks in Brazil went from 24:00 to 01:00 when summer began."""
    news = write(HEAD + "2013-10-19,X,dated\n", "n.csv")
    trades = write("ts,symbol,price,size\n2013-10-18T15:00:00Z,X,1,1\n2013-10-22T15:00:00Z,X,1,1\n", "t.csv")
    recording = open_recording(RecordingSpec(trades=(trades,), news=(news,), calendar="BVMF"))
    assert [format_ts(i.ts) for i in items(recording)] == ["2013-10-20T03:00:00.000Z"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ts,symbols\n2013-10-07T15:00:00Z,A\n", "MISSING_COLUMN"),
        (HEAD, "EMPTY_FILE"),
        (HEAD + "\n\n", "EMPTY_FILE"),
        (HEAD + "yesterday,A,x\n", "BAD_TIME"),
        (HEAD + "2013-10-07T15:00:00,A,x\n", "NO_OFFSET"),
        (HEAD + "2013-10-07T15:00:00Z,A,x,y\n", "RAGGED_ROW"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(write, text: str, code: str) -> None:
    """As for bars and ticks."""
    with pytest.raises(OperatorError) as caught:
        with_news(write, text)
    assert caught.value.code == code
    assert "n.csv" in str(caught.value)


def test_a_headline_in_a_row_for_each_symbol_reaches_each_of_them(write) -> None:
    """Some vendors write it so; the same row again is a duplicate all the same."""
    row = "2013-10-07T15:00:00Z,{},Movers,m1\n"
    recording = with_news(write, HEAD.replace("\n", ",id\n") + "".join(map(row.format, ("A", "B", "A", "A|B"))))
    assert [(i.news_id, i.symbols) for i in items(recording)] == [("m1", (0,)), ("m1", (1,))]
    assert recording.quality.by_kind() == {"same_headline": 2}


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("headline", [["x"]], "List(String), not text"),
        ("headline", [{"a": "x"}], "Struct({'a': String}), not text"),
        ("headline", [b"\xff"], "Binary, not text"),
        ("headline", [float("nan")], "Float64, not text"),
        ("summary", [["x"]], "List(String), not text"),
        ("source", [b"\xff"], "Binary, not text"),
        ("time_precision", [["day"]], "List(String), not text"),
        ("id", [[7]], "List(Int64), not names"),
        ("id", [b"\xff"], "Binary, not names"),
        ("symbols", [b"A"], "Binary, not names"),
        ("symbols", [1.5], "Float64, not names"),
        ("symbols", [[["A"]]], "List(List(String)), not names"),
        ("symbols", [[{"t": "A"}]], "List(Struct({'t': String})), not names"),
    ],
)
def test_a_column_of_another_type_is_refused(write, tmp_path: Path, column: str, value: list, what: str) -> None:
    """In a sentence with file, column and what it holds."""
    good = {"ts": ["2013-10-07T15:00:00Z"], "symbols": [["A"]], "headline": ["x"]}
    pl.DataFrame(good | {column: value}).write_parquet(tmp_path / "n.parquet")
    with pytest.raises(OperatorError) as caught:
        with_file(write, tmp_path / "n.parquet")
    assert caught.value.code == "BAD_COLUMN"
    assert caught.value.message == f"{tmp_path / 'n.parquet'}: the column {column} holds {what}"


def with_file(write, *paths: Path) -> Recording:
    """Open a recording with files of headlines as they are."""
    return open_recording(RecordingSpec(trades=(write(TRADES, "t.csv"),), news=tuple(map(str, paths))))


def test_columns_of_a_data_frame_are_read_as_what_they_mean(write, tmp_path: Path) -> None:
    """Numbers as ids, with holes where there are none; categories; arrays of a fixed size; columns of nothing."""
    frame = pl.DataFrame(
        {
            "ts": ["2013-10-07T15:00:00Z"] * 3,
            "symbols": pl.Series([["A", "B"], ["A", None], ["A", ""]], dtype=pl.Array(pl.String, 2)),
            "headline": pl.Series(["x", "y", "z"], dtype=pl.Categorical),
            "id": [7.0, float("nan"), None],
            "source": pl.Series([None] * 3, dtype=pl.Null),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    found = items(with_file(write, tmp_path / "a.parquet"))
    assert [(i.symbols, i.headline, i.source) for i in found] == [((0, 1), "x", ""), ((0,), "y", ""), ((0,), "z", "")]
    assert found[0].news_id == "7"
    assert len({i.news_id for i in found}) == 3
    frame.with_columns(pl.Series("id", [7, None, 8]), pl.Series("symbols", [1, 2, None])).write_parquet(
        tmp_path / "b.parquet"
    )
    assert [i.symbols for i in items(with_file(write, tmp_path / "b.parquet"))] == [()]


@pytest.mark.parametrize("odd", [7.5, float("inf"), 1e300])
def test_ids_are_whole_numbers_or_what_they_are(write, tmp_path: Path, odd: float) -> None:
    """A hole makes a column of whole numbers one of fractions, in one file and not in the next: the id is the same.

    Where any is none, all stay as they are.
    """
    frame = {"ts": ["2013-10-07T15:00:00Z"] * 2, "symbols": ["A"] * 2, "headline": ["x", "y"]}
    paths = tmp_path / "holes.parquet", tmp_path / "whole.parquet", tmp_path / "odd.parquet"
    for path, ids in zip(paths, ([7.0, None], [7, 8], [7.0, odd]), strict=True):
        pl.DataFrame(frame | {"id": ids}).write_parquet(path)
    assert [i.headline for i in items(with_file(write, *paths[:2]))] == ["x", "y", "y"]
    assert [i.news_id for i in items(with_file(write, paths[2]))] == ["7.0", str(pl.Series([odd]).cast(pl.String)[0])]


def test_a_file_without_a_headline_that_is_played_is_told_of(write) -> None:
    """Of symbols that are not there, written otherwise, or before the sessions: silence would look like no news."""
    told = "has no headline that is played: none about the universe in its sessions"
    for text in ("2013-10-07T15:00:00Z,a,x\n", "2013-10-01T15:00:00Z,A,x\n"):
        assert any(notice.endswith(told) for notice in with_news(write, HEAD + text).notices), text
    good = HEAD + "2013-10-07T15:00:00Z,A,x\n"
    assert not any("has no headline" in notice for notice in with_news(write, good).notices)
    rejected = "has no headline that is played: what is about the universe in its sessions was rejected"
    again, empty = with_news(write, good, good), with_news(write, HEAD + "2013-10-07T15:00:00Z,A,\n")
    assert next(notice for notice in again.notices if "1n.csv has" in notice).endswith(rejected)
    assert any("0n.csv" in notice and notice.endswith(rejected) for notice in empty.notices)


def test_of_a_headline_in_several_files_the_earliest_is_the_one(write) -> None:
    """Whatever the order of the files: one that comes later, anywhere, takes nothing from what was known before."""
    head = HEAD.replace("\n", ",id\n")
    late, early = head + "2013-10-08T15:00:00Z,A,late,x\n", head + "2013-10-07T15:00:00Z,A|B,early,x\n"
    assert [i.headline for i in items(with_news(write, early))] == ["early"]
    for texts in ((late, early), (early, late)):
        recording = with_news(write, *texts)
        assert [(i.headline, i.symbols) for i in items(recording)] == [("early", (0, 1))]
        (reject,) = recording.quality.rejects
        assert (reject.kind, Path(reject.file).name) == ("same_headline", f"{texts.index(late)}n.csv")
