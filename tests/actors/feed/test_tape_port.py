"""Tapes as input: a day that a daemon recorded is replayed as it was played."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.feed.history import History, HistorySpec, open_history
from actors.messages.catalogue import MARKET
from actors.messages.market import BarPanel, NewsItem, QuotePanel
from actors.values.universe import Adjustment, Universe
from daemon.journal.batch import TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.journal.tape import TapeWriter
from daemon.journal.tape_format import TapeError, tape_days, tape_path
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Market
from tests.actors.feed.conftest import Write
from tests.journal.tape_support import equal
from tests_support import replay

CODEC = MarketCodec(MARKET)


def record(folder: Path, history: History, extra: list[Market] | None = None, first_seq: int = 1) -> list[str]:
    """Tape what a history plays, as a daemon does; return the files, oldest first."""
    tape = TapeWriter(folder, CODEC, msgspec.to_builtins(history.universe))
    bodies = [*history.inputs(), *(extra or [])]
    rows = [TapeRow(first_seq + i if first_seq else 0, body.ts, body) for i, body in enumerate(bodies)]
    for at in range(0, len(rows), 7):
        tape.append(rows[at : at + 7])
    tape.sync()
    tape.close()
    return [str(tape_path(folder, day)) for day in tape_days(folder)]


def same_inputs(one: History, two: History) -> bool:
    """Whether two histories play the same messages, to the last bit; the calendar's session numbers too."""
    pairs = list(zip(one.inputs(), two.inputs(), strict=True))
    return all(equal(a, b) for a, b in pairs) and bool(pairs)


def minutes(days: list[str], symbols: tuple[str, ...] = ("BBB", "AAA"), step: int = 1, extra: str = "") -> str:
    """Return a CSV of a few minute bars per day, with volumes and quotes."""
    rows = ["ts,symbol,open,high,low,close,volume,vwap,bid_open,ask_open,bid_close,ask_close"]
    for n, day in enumerate(days):
        opened = datetime.fromisoformat(f"{day}T14:30:00+00:00")
        for i in range(0, 6, step):
            for k, symbol in enumerate(symbols):
                if (i + k) % 5 == 4:
                    continue  # a minute without a bar of this symbol
                price = 10 * (k + 1) + n + i / 100
                volume = "" if i == 1 else str(100 * i)
                quotes = f"{price - 0.01:.2f},{price + 0.01:.2f},,{price + 0.02:.2f}"
                stamp = (opened + timedelta(minutes=i)).isoformat()
                rows.append(f"{stamp},{symbol},{price},{price + 1},{price - 1},{price + 0.5},{volume},{price},{quotes}")
    return "\n".join(rows) + "\n" + extra


def test_minute_bars_come_back_as_they_were_played(tmp_path: Path, write: Write) -> None:
    """Prices, unknown volumes, vwap and quotes of every panel, and the sessions around them."""
    played = open_history(HistorySpec(bars=(write(minutes(["2024-01-02", "2024-01-03"])),)))
    files = record(tmp_path / "tape", played)
    again = open_history(HistorySpec(bars=tuple(files)))
    assert same_inputs(played, again)
    assert again.universe == played.universe
    assert again.interval == played.interval
    assert (again.n_bars, again.n_instants) == (played.n_bars, played.n_instants)
    assert list(again.digests) == files


def test_one_day_of_several_is_replayed_alone(tmp_path: Path, write: Write) -> None:
    """The second tape gives the second session's bars."""
    played = open_history(HistorySpec(bars=(write(minutes(["2024-01-02", "2024-01-03"])),)))
    files = record(tmp_path / "tape", played)
    one = [m for m in open_history(HistorySpec(bars=(files[1],))).inputs() if isinstance(m, BarPanel)]
    wanted = [m for m in played.inputs() if isinstance(m, BarPanel) and m.session == 20240103]
    assert len(one) == len(wanted) > 0
    assert all(equal(a, b) for a, b in zip(one, wanted, strict=True))


def test_daily_bars_of_a_year_come_back(tmp_path: Path) -> None:
    """The embedded data: a file a session, adjusted for splits and dividends as recorded, with their sectors."""
    played = open_history(HistorySpec(source="sp500", from_date=20220103, to_date=20220401, symbols=("AAPL", "XOM")))
    files = record(tmp_path / "tape", played)
    assert len(files) == len(played.sessions)
    again = open_history(HistorySpec(bars=tuple(files)))
    assert again.daily
    assert same_inputs(played, again)
    assert again.adjustment is Adjustment.TOTAL
    assert again.universe.sectors == played.universe.sectors
    assert not any("taken as raw" in notice for notice in again.notices)


def test_bars_that_were_put_together_are_replayed_at_their_interval(tmp_path: Path, write: Write) -> None:
    """Two-minute bars of minutes: the tape has what the core saw, and says how long each is."""
    spec = HistorySpec(bars=(write(minutes(["2024-01-02"])),))
    played = open_history(
        msgspec.structs.replace(
            spec,
            interval=msgspec.convert({"text": "2m", "ns": 120_000_000_000}, type=type(open_history(spec).interval)),
        )
    )
    again = open_history(HistorySpec(bars=tuple(record(tmp_path / "tape", played))))
    assert again.interval.text == "2m"
    assert same_inputs(played, again)


def test_a_thin_day_keeps_its_interval(tmp_path: Path, write: Write) -> None:
    """Bars every other minute are minute bars if that is what they were: nothing is told from gaps."""
    thin = ["ts,symbol,close", "2024-01-02T14:30:00Z,A,10", "2024-01-02T14:32:00Z,A,11"]
    thick = ["2024-01-03T14:30:00Z,A,10", "2024-01-03T14:31:00Z,A,11"]
    played = open_history(HistorySpec(bars=(write("\n".join([*thin, *thick])),)))
    files = record(tmp_path / "tape", played)
    again = open_history(HistorySpec(bars=(files[0],)))
    assert again.interval.text == "1m"
    assert again.close_only
    panel = next(m for m in again.inputs() if isinstance(m, BarPanel))
    assert panel.ts - panel.start_ts == 60_000_000_000
    assert panel.volume is None


def test_symbols_and_dates_can_be_chosen(tmp_path: Path, write: Write) -> None:
    """As of any file; a symbol that is not there is refused by name."""
    played = open_history(HistorySpec(bars=(write(minutes(["2024-01-02", "2024-01-03"])),)))
    files = tuple(record(tmp_path / "tape", played))
    one = open_history(HistorySpec(bars=files, symbols=("AAA",), to_date=20240102))
    assert one.universe.symbols == ("AAA",)
    assert [session.date for session in one.sessions] == [20240102]
    assert one.quality.rows_read == played.n_bars
    with pytest.raises(OperatorError, match="has no bars of ZZZ"):
        open_history(HistorySpec(bars=files, symbols=("ZZZ",)))


def test_a_symbol_of_the_universe_without_a_bar_that_day_is_named(tmp_path: Path, write: Write) -> None:
    """It was in the run; this day has nothing of it."""
    text = minutes(["2024-01-02"], symbols=("AAA",)) + minutes(["2024-01-03"]).partition("\n")[2]
    files = record(tmp_path / "tape", open_history(HistorySpec(bars=(write(text),))))
    again = open_history(HistorySpec(bars=(files[0],)))
    assert again.universe.symbols == ("AAA",)
    assert any("not in the universe: BBB" in notice for notice in again.notices)


def test_what_was_only_observed_is_left_out(tmp_path: Path, write: Write) -> None:
    """Warm-up history was not played; panels of quotes are not bars. Both are said."""
    played = open_history(HistorySpec(bars=(write(minutes(["2024-01-02"])),)))
    last = max(m.ts for m in played.inputs())
    ids, one = np.array([0], np.int32), np.array([1.0])
    extra: list[Market] = [QuotePanel(last, ids, one, one, one, one), NewsItem(last, "n", (0,), "headline")]
    folder = tmp_path / "tape"
    early = open_history(HistorySpec(bars=(write(minutes(["2024-01-02"]), "early.csv"),)))
    record(folder, early, first_seq=0)
    (file,) = record(folder, played, extra)
    again = open_history(HistorySpec(bars=(file,)))
    assert same_inputs(played, again)
    warm = [notice for notice in again.notices if "warm-up" in notice]
    assert warm == [f"{again.label}: left out 6 panels of warm-up history, observed by the daemon and never played"]
    assert any("left out 1 panels of quotes or trades" in notice for notice in again.notices)
    only = tmp_path / "only"
    (file,) = record(only, early, first_seq=0)
    with pytest.raises(OperatorError, match="has no bars"):
        open_history(HistorySpec(bars=(file,)))
    with pytest.raises(OperatorError, match="has no bars of AAA"):
        open_history(HistorySpec(bars=(file,), symbols=("AAA",)))


def test_a_tape_that_was_being_written_is_read_up_to_there(tmp_path: Path, write: Write) -> None:
    """A daemon was killed within a write; one sentence says so."""
    (file,) = record(tmp_path / "tape", open_history(HistorySpec(bars=(write(minutes(["2024-01-02"])),))))
    os.truncate(file, Path(file).stat().st_size - 3)
    again = open_history(HistorySpec(bars=(file,)))
    assert any("ends within a block" in notice for notice in again.notices)
    assert again.n_instants == 6


def test_a_tape_that_was_changed_is_refused_with_file_and_place(tmp_path: Path, write: Write) -> None:
    """Damage is no torn end."""
    (file,) = record(tmp_path / "tape", open_history(HistorySpec(bars=(write(minutes(["2024-01-02"])),))))
    data = bytearray(Path(file).read_bytes())
    data[-5] ^= 1
    Path(file).write_bytes(data)
    with pytest.raises(TapeError, match=r"20240102.tape at byte \d+: the block's rows are not the ones"):
        open_history(HistorySpec(bars=(file,)))


def test_tapes_without_bars_or_of_no_universe_are_refused(tmp_path: Path) -> None:
    """In the words used of any file."""
    for folder, universe, sentence in (
        ("empty", {"symbols": ["A"]}, "has no bars"),
        ("none", {"symbols": ["A", "A"]}, "names no universe: .* twice"),
        ("bad", {"names": []}, "names no universe"),
    ):
        tape = TapeWriter(tmp_path / folder, CODEC, universe)
        tape.append([TapeRow(1, 10, NewsItem(10, "n", (), "h"))])
        tape.close()
        with pytest.raises(OperatorError, match=sentence):
            open_history(HistorySpec(bars=(str(tape_path(tmp_path / folder, 19700101)),)))


def test_a_bar_of_a_symbol_nobody_named_is_refused(tmp_path: Path, write: Write) -> None:
    """Ids outside the recorded universe belong to another one."""
    played = open_history(HistorySpec(bars=(write(minutes(["2024-01-02"])),)))
    tape = TapeWriter(tmp_path / "tape", CODEC, msgspec.to_builtins(Universe(("A",))))
    tape.append([TapeRow(i + 1, body.ts, body) for i, body in enumerate(played.inputs())])
    tape.close()
    with pytest.raises(OperatorError, match="symbol number 1, but 1 symbols"):
        open_history(HistorySpec(bars=(str(tape_path(tmp_path / "tape", 20240102)),)))


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, write: Write) -> None:
    """Other adjustments, other intervals, daily beside minutes: never mixed silently."""
    minute = open_history(HistorySpec(bars=(write(minutes(["2024-01-02"])),), adjustment=Adjustment.SPLIT))
    (split,) = record(tmp_path / "a", minute)
    two = open_history(HistorySpec(bars=(write(minutes(["2024-01-03"], step=2), "two.csv"),)))
    (raw_two,) = record(tmp_path / "b", two)
    daily = open_history(HistorySpec(source="sp500", from_date=20220103, to_date=20220103, symbols=("AAPL",)))
    (day,) = record(tmp_path / "c", daily)
    plain = write(minutes(["2024-01-04"]), "plain.csv")
    for bars, asked, sentence in (
        ((split,), Adjustment.RAW, "recorded as split, but raw is asked for"),
        ((split, raw_two), None, "recorded as raw, but split is what"),
        ((split, plain), None, "plain.csv does not say"),
        ((day, raw_two), None, "recorded as raw, but total is what"),
    ):
        with pytest.raises(OperatorError, match=sentence):
            open_history(HistorySpec(bars=bars, adjustment=asked))
    (raw_one,) = record(tmp_path / "d", open_history(HistorySpec(bars=(plain,))))
    with pytest.raises(OperatorError, match=r"bars of 2m and .* has bars of 1m"):
        open_history(HistorySpec(bars=(raw_two, raw_one)))
    both = open_history(HistorySpec(bars=(split, plain), adjustment=Adjustment.SPLIT))
    assert [session.date for session in both.sessions] == [20240102, 20240103, 20240104]


def test_real_minute_bars_come_back(tmp_path: Path, test_data: Path) -> None:
    """Five symbols over years, as recorded day by day."""
    bars = (str(test_data / "minute_trade_bars_lean.parquet"), str(test_data / "minute_quote_bars_lean.parquet"))
    played = open_history(HistorySpec(bars=bars, symbols=("AAPL", "SPY")))
    files = record(tmp_path / "tape", played)
    again = open_history(HistorySpec(bars=tuple(files)))
    assert same_inputs(played, again)


def test_a_replay_of_tapes_gives_the_same_events(tmp_path: Path) -> None:
    """The same orders, fills and equity as the run that was recorded: equal event digests."""
    first, last = 20220103, 20220331
    spec = HistorySpec(source="sp500", from_date=first, to_date=last)
    files = record(tmp_path / "tape", open_history(spec))
    options = {"strategy": "buy_and_hold", "date_from": first, "date_to": last}
    played = replay(tmp_path / "played", **options)
    again = replay(tmp_path / "again", bars=tuple(Path(file) for file in files), **options)
    assert again.bars == played.bars
    assert again.digest == played.digest
    whole = replay(tmp_path / "whole", bars=(tmp_path / "tape",), **options)
    assert whole.digest == played.digest


def test_a_folder_of_tapes_is_all_of_them(tmp_path: Path, write: Write) -> None:
    """The oldest first; the folder above it is told to name it, and the sources are told by what was typed."""
    path = write(minutes(["2022-03-01", "2022-03-02", "2022-03-03"]))
    history = open_history(HistorySpec(bars=(str(path),), adjustment=Adjustment.RAW))
    files = record(tmp_path / "state" / "tape", history)
    folder = str(tmp_path / "state" / "tape")
    whole = open_history(HistorySpec(bars=(folder,)))
    assert same_inputs(whole, open_history(HistorySpec(bars=tuple(files))))
    assert (whole.label, sorted(whole.digests)) == (folder, files)
    with pytest.raises(OperatorError, match=f"its folder tape has: name {folder}"):
        open_history(HistorySpec(bars=(str(tmp_path / "state"),)))
