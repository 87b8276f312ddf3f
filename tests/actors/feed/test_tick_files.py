"""Files of quotes and trades, the way vendors and operators have them."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from actors.feed.conditions import moves_last
from actors.feed.ports import ticks as port
from actors.feed.recording import Recording, RecordingSpec, open_recording
from actors.messages.market import TradePanel
from daemon.kernel.errors import OperatorError
from tests.actors.feed.streams import kinds, plains

QUOTES = """ts,symbol,bid_px,bid_size,ask_px,ask_size
2013-10-07T13:30:00Z,IBM,181.10,100,0,0
2013-10-07T13:30:00Z,BAC,13.80,300,13.82,400
2013-10-07T13:30:00.5Z,IBM,,,181.30,200
2013-10-07T13:30:01Z,IBM,181.11,500,181.29,100
2013-10-07T13:30:01Z,IBM,181.12,600,,
2013-10-08T13:30:00Z,IBM,182.00,100,0,0
"""
TRADES = """ts,symbol,price,size,side,cond,exchange
2013-10-07T13:30:00Z,IBM,181.2,100,,@,P
2013-10-07T13:30:00Z,IBM,181.3,200,,@,P
2013-10-07T13:30:02Z,BAC,13.81,50,,@,Q
"""


def played(**files: str) -> Recording:
    """Open a recording of files."""
    return open_recording(RecordingSpec(**{kind: (path,) for kind, path in files.items()}))  # type: ignore[arg-type]


def panels(recording: Recording) -> list[tuple[object, ...]]:
    """Return quote and trade panels as values."""
    return [one for one in plains(recording.inputs()) if one[0] in {"QuotePanel", "TradePanel"}]


def test_quotes_become_the_book_of_each_instant(write) -> None:
    """One entry a symbol, sides that are not given stay, a new day begins with nothing known."""
    recording = played(quotes=write(QUOTES))
    assert recording.universe.symbols == ("BAC", "IBM")
    found = [
        (p.ids.tolist(), p.bid_px.tolist(), p.bid_size.tolist(), p.ask_px.tolist(), p.ask_size.tolist())
        for p in recording.inputs()
        if type(p).__name__ == "QuotePanel"
    ]
    nan = float("nan")
    assert repr(found) == repr(
        [
            ([0, 1], [13.80, 181.10], [300.0, 100.0], [13.82, nan], [400.0, nan]),
            ([1], [181.10], [100.0], [181.30], [200.0]),
            ([1], [181.12], [600.0], [181.29], [100.0]),
            ([1], [182.00], [100.0], [nan], [nan]),
        ]
    )
    assert recording.quality.rows_used == recording.quality.rows_read == 6


def test_every_format_and_line_ending_gives_the_same_panels(write, tmp_path: Path) -> None:
    """CSV, CSV.gz, with a byte order mark, with CRLF, without a last line break, with blank lines, and Parquet."""
    frame = pl.read_csv(QUOTES.encode()).with_columns(
        pl.col("ts").str.replace("Z", "").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f").dt.replace_time_zone("UTC")
    )
    frame.write_parquet(tmp_path / "q.parquet")
    frame.with_columns(pl.col("ts").dt.convert_time_zone("America/New_York")).write_parquet(tmp_path / "local.parquet")
    expected = panels(played(quotes=write(QUOTES, "q.csv")))
    assert len(expected) == 4
    variants = {
        "a.csv.gz": QUOTES,
        "b.csv": "\ufeff" + QUOTES,
        "c.csv": QUOTES.replace("\n", "\r\n"),
        "d.csv": QUOTES.rstrip("\n"),
        "e.csv": QUOTES.replace("IBM,181.11", " ibm ,181.11".replace("ibm", "IBM")),
        "f.csv": QUOTES.replace("2013-10-08", "\n\n2013-10-08"),
    }
    for name, text in variants.items():
        recording = played(quotes=write(text, name))
        assert panels(recording) == expected, name
        assert (name == "f.csv") == any("skipped 2 blank lines" in notice for notice in recording.notices)
    for name in ("q.parquet", "local.parquet"):
        assert panels(played(quotes=str(tmp_path / name))) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("name", ["q.csv", "q.csv.gz", "q.parquet"])
def test_the_answer_does_not_depend_on_how_a_file_is_cut(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, name: str
) -> None:
    """Blocks of a row, of a few, of everything; an instant may lie across two."""
    if name.endswith("parquet"):
        path = str(tmp_path / name)
        pl.read_csv(QUOTES.encode()).write_parquet(path)
    else:
        path = write(QUOTES, name)
    expected = plains(played(quotes=path).inputs())
    monkeypatch.setattr(port, "BLOCK_ROWS", size)
    monkeypatch.setattr(port, "BLOCK_BYTES", size * 40)
    recording = played(quotes=path)
    assert plains(recording.inputs()) == expected
    assert recording.n_inputs == len(expected)


def test_vendors_names_of_columns_are_known_and_others_named(write) -> None:
    """bid, ask, bid_price, ts_utc; what is not needed is known, what is not known is named."""
    text = QUOTES.replace(
        "ts,symbol,bid_px,bid_size,ask_px,ask_size", "TS_UTC,ticker, Bid ,bid_size,ask_price,ask_size"
    )
    assert panels(played(quotes=write(text))) == panels(played(quotes=write(QUOTES, "plain.csv")))
    recording = played(trades=write(TRADES.replace("side,cond", "mood,cond")))
    assert recording.notices == (f"{recording.label}: ignored column mood",)
    assert played(trades=write(TRADES, "t.csv")).notices == ()


def test_quotes_without_sizes_are_read_with_sizes_unknown(write) -> None:
    """Prices alone are worth something; the notice says what is missing."""
    recording = played(quotes=write("ts,symbol,bid_px,ask_px\n2013-10-07T14:00:00Z,A,1.0,1.1\n"))
    _, quote, _ = recording.inputs()
    assert repr((quote.bid_size.tolist(), quote.ask_size.tolist())) == "([nan], [nan])"  # type: ignore[attr-defined]
    assert "has no bid_size and no ask_size: sizes are unknown" in recording.notices[0]


def test_trades_of_an_instant_are_one_panel_in_their_order(write) -> None:
    """A symbol may stand there more than once."""
    recording = played(trades=write(TRADES))
    assert kinds(recording.inputs()) == ["Opened", "Trade", "Trade", "Closed"]
    first = list(recording.inputs())[1]
    assert (first.ids.tolist(), first.price.tolist(), first.size.tolist()) == ([1, 1], [181.2, 181.3], [100.0, 200.0])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cond", "moves"),
    [
        ("", True),
        ("@", True),  # regular
        ("@F", True),  # intermarket sweep
        ("@ TI", False),  # an odd lot in extended hours
        ("T", True),  # extended hours: the clock tells
        ("F,I", False),
        ("['@', 'W']", False),  # average price
        ("Z", False),
        ("4", False),  # derivatively priced
        ("O", True),  # opening print
        ("1", True),
        ("20000020", True),  # LEAN: sweep
        ("2000", True),  # extended hours
        ("20100200", False),  # average price
        ("4800", False),  # out of sequence
        ("8000000c", False),
        ("37", True),  # numbers of other tables are not guessed
        ("37,14", True),
    ],
)
def test_a_sale_condition_says_whether_a_print_moves_the_last_price(cond: str, moves: bool) -> None:
    """Letters of the tape plans and LEAN's flags; what is not known is a regular print."""
    assert moves_last(cond) is moves


def test_prints_that_do_not_move_the_last_price_are_left_out_and_counted(write) -> None:
    """Two of four; the note names the first."""
    rows = [("00", 180, "@"), ("01", 90, "I"), ("02", 181, ""), ("03", 500, "B")]
    lines = "".join(f'2013-10-07T14:00:{second}Z,A,{px},1,"{cond}"\n' for second, px, cond in rows)
    recording = open_recording(RecordingSpec(trades=(write(f"ts,symbol,price,size,cond\n{lines}", "t.csv"),)))
    prices = [float(message.price[0]) for message in recording.inputs() if isinstance(message, TradePanel)]
    assert prices == [180.0, 181.0]
    assert recording.quality.by_kind() == {"not_last": 2}
    assert any("2 rows rejected as not_last" in notice and "line 3" in notice for notice in recording.notices)


@pytest.mark.parametrize("listed", [True, False])
def test_conditions_in_a_parquet_file_may_be_a_list(tmp_path, listed: bool) -> None:
    """As vendors' own files have them."""
    cond = [["@"], ["@", "I"], None] if listed else ["@", "@ I", None]
    times = [datetime(2013, 10, 7, 14, 0, second, tzinfo=UTC) for second in range(3)]
    frame = pl.DataFrame({"ts": times, "symbol": ["A"] * 3, "price": [1.0, 2.0, 3.0], "size": [1] * 3, "cond": cond})
    frame.write_parquet(tmp_path / "t.parquet")
    recording = open_recording(RecordingSpec(trades=(str(tmp_path / "t.parquet"),)))
    assert [float(m.price[0]) for m in recording.inputs() if isinstance(m, TradePanel)] == [1.0, 3.0]


def test_bad_rows_are_counted_by_kind_with_the_place_of_the_first(write) -> None:
    """Nothing is dropped in silence, and the sum adds up."""
    path = write(
        "ts,symbol,price,size,suspicious\n"
        "2013-10-07T13:29:59Z,A,1,1,0\n"  # before the open
        "2013-10-07T14:00:00Z,A,1,1,0\n"
        "2013-10-07T14:00:01Z,A,abc,1,0\n"
        "2013-10-07T14:00:02Z,A,1,0,0\n"
        "2013-10-07T14:00:03Z,A,-1,1,0\n"
        "2013-10-07T14:00:04Z,A,1,1,1\n"
        "2013-10-07T14:00:05Z,B,1,,0\n"
        "2013-10-07T14:00:06Z,OTHER,1,1,0\n"
        "2013-10-12T14:00:00Z,A,1,1,0\n",  # a Saturday
        "t.csv",
    )
    recording = open_recording(RecordingSpec(trades=(path,), symbols=("A", "B")))
    quality = recording.quality
    assert quality.by_kind() == {
        "outside_session": 2,
        "non_finite": 1,
        "bad_size": 2,
        "not_positive": 1,
        "suspicious": 1,
    }
    assert (quality.rows_read, quality.rows_used, quality.rows_rejected, quality.rows_filtered) == (9, 1, 7, 1)
    assert {(r.kind, r.symbol): (r.count, r.line) for r in quality.rejects}["bad_size", "B"] == (1, 8)
    assert {(r.kind, r.symbol): (r.count, r.line) for r in quality.rejects}["outside_session", "A"] == (2, 2)
    assert any("1 row rejected as non_finite" in notice and "t.csv line 4" in notice for notice in recording.notices)
    assert "not in the universe: B" in " ".join(recording.notices)


def test_a_file_sorted_by_symbol_is_sorted_in_memory_with_a_notice(write) -> None:
    """Each symbol's rows are in order, so there is only one way to mean it; counts are those of the sorted file."""
    lines = QUOTES.splitlines()
    by_symbol = "\n".join([lines[0], *sorted(lines[1:], key=lambda line: line.split(",")[1], reverse=True)]) + "\n"
    recording = played(quotes=write(by_symbol))
    plain = played(quotes=write(QUOTES, "plain.csv"))
    assert panels(recording) == panels(plain)
    assert recording.notices == (f"{recording.label} is not in order of time and was sorted in memory",)
    assert (recording.quality, recording.n_inputs) == (plain.quality, plain.n_inputs)


def test_rows_of_a_symbol_that_go_back_in_time_are_refused_with_both_times(write) -> None:
    """Nobody can say which of the two orders was meant."""
    path = write(TRADES.replace("13:30:02Z,BAC", "13:29:59Z,IBM"), "t.csv")
    with pytest.raises(
        OperatorError, match=r"t\.csv line 4: IBM at 2013-10-07T13:29:59\.000Z comes after its row at"
    ) as caught:
        played(trades=path)
    assert caught.value.code == "UNSORTED_ROWS"


HEAD = "ts,symbol,price,size\n"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "EMPTY_FILE", "is empty or has no header"),
        (HEAD, "EMPTY_FILE", "a header but no rows"),
        (HEAD + "\n\n", "EMPTY_FILE", "a header but no rows"),
        ("ts,symbol,price\n2013-10-07T14:00:00Z,A,1\n", "MISSING_COLUMN", "has no column size"),
        ("ts;symbol;price;size\n", "MISSING_COLUMN", "separate the cells by commas"),
        (HEAD + "2013-10-07,A,1,1\n", "BAD_TIME", "line 2: '2013-10-07' is a date without a time of day"),
        (HEAD + "2013-10-07T14:00:00,A,1,1\n", "NO_OFFSET", "line 2: 2013-10-07 14:00:00 has no offset"),
        (HEAD + "2013-10-07T14:00:00Z,A,1,1\n,A,1,1\n", "BAD_TIME", "line 3: the time is missing"),
        (HEAD + "2013-10-07T14:00:00Z,,1,1\n", "BAD_SYMBOL", "line 2: the symbol is missing"),
        (HEAD + "2013-10-07T14:00:00Z,A,1,1,9\n", "RAGGED_ROW", "line 2 has more cells than the header"),
        (HEAD + "2013-10-12T14:00:00Z,A,1,1\n", "NO_DATA", "no usable row in the sessions of XNYS"),
        (HEAD + "2013-09-01T14:00:00Z,A,1,1\n", "NO_DATA", "no usable row"),  # three days without a session
        (HEAD + "2013-10-07T14:00:00Z,A,1,\n", "NO_DATA", "no usable row in the sessions of XNYS"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_one_sentence(write, text: str, code: str, words: str) -> None:
    """What, where, and what to do."""
    with pytest.raises(OperatorError) as caught:
        played(trades=write(text, "t.csv"))
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "t.csv" in str(caught.value)


def test_a_damaged_file_is_refused_when_it_is_opened(write, tmp_path: Path) -> None:
    """A cut archive, bytes that are no text, and a Parquet file whose inside is gone."""
    whole = Path(write(QUOTES * 50, "q.csv.gz")).read_bytes()
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    odd = tmp_path / "odd.csv"
    rows = QUOTES.splitlines(keepends=True)[-1] * 1000  # more than the header's reader looks at
    odd.write_bytes((QUOTES + rows).encode() + b"2013-10-08T14:00:00Z,\xff\xfe\xff,1,1,1,1\n")
    frame = pl.read_csv(QUOTES.encode())
    frame.write_parquet(tmp_path / "whole.parquet")
    data = bytearray((tmp_path / "whole.parquet").read_bytes())
    data[4:120] = bytes(116)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(bytes(data))
    for path in (cut, odd, broken, tmp_path / "absent.csv"):
        with pytest.raises(OperatorError, match="cannot read") as caught:
            played(quotes=str(path))
        assert caught.value.code == "UNREADABLE_FILE", path


def test_a_column_of_dates_is_refused_in_parquet_too(tmp_path: Path) -> None:
    """A print has a time of day."""
    frame = pl.DataFrame({"ts": ["2013-10-07"], "symbol": ["A"], "price": [1.0], "size": [1.0]})
    frame.with_columns(pl.col("ts").str.to_date()).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(OperatorError, match="row 1: '2013-10-07' is a date without a time of day"):
        played(trades=str(tmp_path / "t.parquet"))


def test_midnight_is_a_time_like_any_other(write) -> None:
    """Bars at midnight are dates; a quote at midnight is a quote at midnight, even alone in its block."""
    path = write("ts,symbol,price,size\n2013-10-07T00:00:00Z,BTC,1,1\n2013-10-08T00:00:00Z,BTC,2,1\n")
    recording = open_recording(RecordingSpec(trades=(path,), calendar="always"))
    assert kinds(recording.inputs()) == ["Opened", "Trade", "Closed", "Opened", "Trade", "Closed"]


def test_local_times_are_read_in_the_zone_that_was_named(write) -> None:
    """As for bars."""
    path = write(
        "ts,symbol,price,size\n2013-10-07 09:30:00,A,1,1\n2013-10-07 00:00:00.5,A,1,1\n".replace(
            "00:00:00.5", "09:31:00"
        )
    )
    recording = open_recording(RecordingSpec(trades=(path,), tz="America/New_York"))
    opened, trade, *_ = recording.inputs()
    assert opened.ts == trade.ts


LONG = 400
"""Rows, so that blocks of a few rows are many."""


def long_file(folder: Path, name: str) -> Path:
    """Write a file of quotes, a row every second."""
    rows = [f"2013-10-07T14:{k // 60:02d}:{k % 60:02d}Z,IBM,{180 + k % 7}.00,100,190.00,100" for k in range(LONG)]
    text = "\n".join(["ts,symbol,bid_px,bid_size,ask_px,ask_size", *rows]) + "\n"
    path = folder / name
    if name.endswith("parquet"):
        pl.read_csv(text.encode()).write_parquet(path)
    elif name.endswith("gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "ascii")
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files read a few rows at a time."""
    monkeypatch.setattr(port, "BLOCK_ROWS", 20)
    monkeypatch.setattr(port, "BLOCK_BYTES", 800)


def cut(path: Path) -> None:
    """Truncate in place, at the end of a line where there are lines."""
    kept = path.read_bytes()[: path.stat().st_size // 2]
    os.truncate(path, kept.rfind(b"\n") + 1 or len(kept))


def emptied(path: Path) -> None:
    """Truncate to nothing."""
    os.truncate(path, 0)


def extended(path: Path) -> None:
    """Let somebody write on."""
    with path.open("ab") as file:
        file.write(b"2013-10-07T15:30:00Z,IBM,180.00,100,190.00,100\n")


def overwritten(path: Path) -> None:
    """Put other rows of the same length in."""
    size = path.stat().st_size
    path.write_bytes(path.read_bytes().replace(b"190.00", b"199.00").replace(b"IBM", b"BMI"))
    assert path.stat().st_size == size


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "meddle"),
    [*itertools.product(["q.csv", "q.csv.gz", "q.parquet"], [cut, emptied, extended]), ("q.csv", overwritten)],
)
def test_a_file_that_is_changed_while_it_is_played_is_a_failure_that_names_it(
    tmp_path: Path, name: str, meddle: Callable[[Path], None]
) -> None:
    """Neither the end of the feed nor other rows than were looked at: what was played until then stands."""
    path = long_file(tmp_path, name)
    recording = played(quotes=str(path))
    stream = recording.inputs()
    seen = [next(stream) for _ in range(30)]
    meddle(path)
    with pytest.raises(OperatorError, match=name) as refused:
        seen += list(stream)
    assert refused.value.code == "FILE_CHANGED"
    assert len(seen) < LONG
    with pytest.raises(OperatorError, match=name):  # nor when reading begins again
        list(recording.inputs())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["q.csv", "q.csv.gz", "q.parquet"])
def test_a_file_that_is_touched_or_replaced_by_a_copy_goes_on(tmp_path: Path, name: str) -> None:
    """What counts is what is in it."""
    path = long_file(tmp_path, name)
    recording = played(quotes=str(path))
    expected = plains(recording.inputs())
    assert len(expected) == LONG + 2
    stream = recording.inputs()
    seen = plains([next(stream) for _ in range(30)])
    os.utime(path, (1, 1))
    seen += plains([next(stream) for _ in range(60)])
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    copy.replace(path)
    seen += plains(stream)
    assert seen == expected
    assert plains(recording.inputs()) == expected
