"""The guard against prices that cannot be believed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.feed.jumps import JumpGuard, JumpRule, Prices
from actors.feed.recording import Recording, RecordingSpec, Resume, open_recording
from actors.messages.market import BarPanel, QuotePanel, TradePanel, TradingStatus
from actors.values.time import format_ts
from actors.values.universe import Adjustment

HALF = JumpRule(0.5, 3)
TRADES = "ts,symbol,price,size\n"
QUOTES = "ts,symbol,bid_px,bid_size,ask_px,ask_size\n"
DAILY = "ts,symbol,open,high,low,close,volume\n"


def judged(prices: list[float], rule: JumpRule = HALF, days: list[int] | None = None, cut: int = 0) -> str:
    """Return ``.`` for each price of a symbol that passes and ``x`` for one that is held back; judged in two blocks."""
    guard = JumpGuard(rule)
    guard.slots(["A"])
    px, day = np.array(prices), np.array(days or [0] * len(prices), dtype=np.int64)
    held: list[bool] = []
    for part in (slice(0, cut), slice(cut, None)):
        one = px[part]
        verdict = guard.judge(Prices(np.zeros(len(one), dtype=np.int32), one, one, one, day[part]))
        held += verdict.held.tolist()
    return "".join(".x"[h] for h in held)


@pytest.mark.parametrize("cut", range(7))
@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([100, 101, 99, 100, 100, 100, 100], "......."),
        ([100, 51, 100, 199, 100, 100, 100], "......."),  # just inside half and twice
        ([100, 50, 100, 100, 100, 100, 100], ".x....."),  # exactly half is a jump
        ([100, 200, 100, 100, 100, 100, 100], ".x....."),
        ([100, 10_000, 100, 1, 100, 100, 100], ".x.x..."),  # x100 and x0.01, once each
        ([100, 10, 11, 10, 10, 9, 10], ".xx...."),  # the third in a row that agrees is believed
        ([100, 10, 11, 100, 10, 11, 10], ".xx.xx."),  # in a row: the good price between starts the count anew
        ([100, 10, 1000, 10, 1000, 10, 1000], ".xxxxxx"),  # jumps that do not agree confirm nothing
        ([100, 10, 15, 20, 15, 15, 15], ".xxxx.."),  # 10 and 20 do not agree: 20, 15 and 15 do
        ([100, 10, 10, 10, 100, 100, 100], ".xx.xx."),  # and back again
    ],
)
def test_a_jump_is_held_back_until_three_in_a_row_agree(prices: list[float], expected: str, cut: int) -> None:
    """However the prices are cut into blocks."""
    assert judged(prices, cut=cut) == expected


@pytest.mark.parametrize(
    ("rule", "days", "expected"),
    [
        (JumpRule(0.5, 3), [1, 1, 2, 2, 2, 2, 3], "..xx..."),  # adjusted prices: confirmed as within a day
        (JumpRule(0.5, 3, freezes=True), [1, 1, 2, 2, 2, 2, 3], "..xxxxx"),  # confirmed, so frozen for good
        (JumpRule(0.5, 3, freezes=True, at_once=True), [1, 1, 2, 3, 4, 5, 6], "..xxxxx"),
        (JumpRule(0.5, 3, freezes=True), [2, 2, 2, 2, 2, 2, 3], "..xx..."),  # within a day it is a fall
        (JumpRule(0.5, 3, freezes=True, explained={"A": [2]}), [1, 1, 2, 2, 2, 2, 3], "......."),
        (JumpRule(0.5, 3, freezes=True, explained={"A": [2]}), [1, 1, 4, 4, 4, 4, 4], "......."),  # on a weekend
        (JumpRule(0.5, 3, freezes=True, explained={"A": [1, 3]}), [1, 1, 2, 2, 2, 2, 3], "..xxxxx"),
        (JumpRule(0.5, 3, freezes=True, explained={"B": [2]}), [1, 1, 2, 2, 2, 2, 3], "..xxxxx"),
        (JumpRule(0.5, 3, explained={"A": [2]}), [1, 1, 2, 2, 2, 2, 3], "......."),  # quotes, which freeze nothing
        (JumpRule(0.5, 3, explained={"A": [2]}), [2, 2, 2, 2, 2, 2, 3], "..xx..."),
    ],
)
def test_between_days_of_raw_prices_only_an_action_explains_a_jump(
    rule: JumpRule, days: list[int], expected: str
) -> None:
    """A fall to a tenth; what lies in ``explained`` from behind the old day to the new one makes it ordinary."""
    assert judged([100, 100, 10, 10, 10, 10, 10], rule, days) == expected


def test_one_odd_price_at_an_opening_freezes_nothing() -> None:
    """It is the prices behind it that confirm, and these are as before."""
    assert judged([100, 1, 100, 100], JumpRule(0.5, 3, freezes=True), [1, 2, 2, 2]) == ".x.."


@given(
    st.lists(st.sampled_from([1.0, 10.0, 12.0, 19.9, 20.0, 100.0, 130.0]), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(0, 40),
)
def test_blocks_and_a_plain_reading_of_the_rule_agree(prices: list[float], need: int, cut: int) -> None:
    """The rule said plainly, price by price, gives what the arrays give."""
    expected, good, row = "", None, []
    for price in prices:
        if good is not None and (price <= good / 2 or price >= good * 2):
            row = [*row, price] if row and max(*row, price) < 2 * min(*row, price) else [price]
            if len(row) < need:
                expected += "x"
                continue
        good, row = price, []
        expected += "."
    assert judged(prices, JumpRule(0.5, need), cut=cut) == expected


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=60))
def test_where_three_must_agree_no_two_neighbours_that_are_played_jump_without_two_before(prices: list[float]) -> None:
    """Between prices played in a row without anything held back lies less than the bound."""
    verdict = judged(prices)
    for (a, b), (x, y) in zip(pairwise(prices), pairwise(verdict), strict=True):
        if x + y == "..":
            assert a / 2 < b < a * 2


# -- through the files ---------------------------------------------------------------------------------------------


def ticks(day: str, prices: list[float], symbol: str = "A", hour: int = 14) -> str:
    """Return one trade a minute from an hour UTC on."""
    return "".join(f"{day}T{hour}:{i:02d}:00Z,{symbol},{px},100\n" for i, px in enumerate(prices))


def opened(**spec: object) -> Recording:
    """Open a recording with the guard on."""
    return open_recording(RecordingSpec(max_jump=0.5, **spec))  # type: ignore[arg-type]


def prints(recording: Recording) -> list[tuple[str, float]]:
    """Return the trades that are played."""
    return [
        (format_ts(m.ts)[5:16], px) for m in recording.inputs() if isinstance(m, TradePanel) for px in m.price.tolist()
    ]


def test_trades_that_cannot_be_believed_are_counted_with_their_line_and_left_out(write: Callable[..., str]) -> None:
    """x100 once, x0.01 once, and a halving that is confirmed; another symbol is judged by its own prices."""
    text = TRADES + ticks("2013-10-07", [100, 10_000, 101, 1, 100, 50, 49, 50, 51])
    text += ticks("2013-10-08", [7, 7], "B")
    recording = opened(trades=(write(text, "t.csv"),))
    assert [px for _, px in prints(recording)] == [100, 101, 100, 50, 51, 7, 7]
    (reject,) = recording.quality.rejects
    assert (reject.kind, reject.symbol, reject.count, reject.line) == ("jump", "A", 4, 3)
    quality = recording.quality
    assert quality.rows_read == quality.rows_used + quality.rows_filtered + quality.rows_rejected == 11
    off = open_recording(RecordingSpec(trades=(write(text, "t.csv"),)))
    assert len(prints(off)) == 11


def test_a_split_that_nobody_told_of_halts_the_symbol_from_then_on(write: Callable[..., str]) -> None:
    """Raw trades at a tenth from one session to the next: halted as the third one confirms, and nothing is played."""
    text = (
        TRADES
        + ticks("2013-10-07", [100, 100])
        + ticks("2013-10-08", [10, 10, 10, 10])
        + ticks("2013-10-08", [5], "B", 15)
    )
    recording = opened(trades=(write(text, "t.csv"),))
    assert prints(recording) == [("10-07T14:00", 100), ("10-07T14:01", 100), ("10-08T15:00", 5)]
    (status,) = [m for m in recording.inputs() if isinstance(m, TradingStatus)]
    assert (format_ts(status.ts), status.symbol, status.state, status.reason) == (
        "2013-10-08T14:02:00.000Z",
        0,
        "halted",
        "jump",
    )
    assert recording.quality.by_kind() == {"jump": 4}
    (notice,) = [n for n in recording.notices if "no corporate action says why" in n]
    assert "A moved from 100 to 10 between two sessions" in notice
    assert "--actions" in notice


@pytest.mark.parametrize("how", ["adjusted", "told"])
def test_adjusted_prices_and_told_actions_halt_nothing(write: Callable[..., str], how: str) -> None:
    """Adjusted prices have no splits: such a move is confirmed. What was told explains it at once."""
    text = TRADES + ticks("2013-10-07", [100, 100]) + ticks("2013-10-08", [10, 10, 10, 10])
    told = write("ex_date,symbol,kind,value\n2013-10-08,A,split,10\n", "a.csv")
    spec = {"adjustment": Adjustment.SPLIT} if how == "adjusted" else {"actions": (told,)}
    recording = opened(trades=(write(text, "t.csv"),), **spec)
    assert [px for _, px in prints(recording)] == [100, 100, *[10] * (2 if how == "adjusted" else 4)]
    assert not [m for m in recording.inputs() if isinstance(m, TradingStatus)]


def test_several_files_are_judged_as_one_where_they_follow_each_other(write: Callable[..., str]) -> None:
    """A file that begins later goes on from what was known; one that begins earlier knows nothing of it."""
    first = write(TRADES + ticks("2013-10-07", [100, 100]), "1.csv")
    later = write(TRADES + ticks("2013-10-07", [1, 100], hour=15), "2.csv")
    assert [px for _, px in prints(opened(trades=(first, later)))] == [100, 100, 100]
    assert [px for _, px in prints(opened(trades=(later, first)))] == [100, 100, 1]


def test_an_unsorted_file_is_judged_in_order_of_time(write: Callable[..., str]) -> None:
    """What it looked like before it was sorted is forgotten: the one odd price is the one between its neighbours."""
    rows = ticks("2013-10-07", [100, 100, 1, 100]).splitlines(keepends=True)
    other = ticks("2013-10-07", [7], "B")
    recording = opened(trades=(write(TRADES + rows[0] + rows[1] + rows[2] + rows[3] + other, "t.csv"),))
    assert [px for _, px in prints(recording)] == [100, 7, 100, 100]
    assert recording.quality.by_kind() == {"jump": 1}


def test_each_side_of_a_quote_is_a_price_of_its_own(write: Callable[..., str]) -> None:
    """A bid of one cent for an instant is held back with its row; a side that is unchanged (0) is no price."""
    text = QUOTES
    for i, row in enumerate(["100,1,101,1", "0.01,1,101,1", "0,0,102,1", "100,1,0,0", "100,1,10100,1", "99,1,101,1"]):
        text += f"2013-10-07T14:0{i}:00Z,A,{row}\n"
    recording = opened(quotes=(write(text, "q.csv"),))
    shown = [(m.bid_px[0], m.ask_px[0]) for m in recording.inputs() if isinstance(m, QuotePanel)]
    assert shown == [(100, 101), (100, 102), (100, 102), (99, 101)]
    assert recording.quality.by_kind() == {"jump": 2}


def test_the_first_quotes_behind_a_split_are_played(write: Callable[..., str]) -> None:
    """Two for one before Tuesday: half of Monday's price is what the quotes of Tuesday must say."""
    text = QUOTES + "".join(
        f"2013-10-{day:02d}T14:0{i}:00Z,A,{px},1,{px + 1},1\n" for day, px in ((7, 100), (8, 49)) for i in range(2)
    )
    actions = write("ex_date,symbol,kind,value,pay_date\n2013-10-08,A,split,2:1,\n", "a.csv")
    recording = opened(quotes=(write(text, "q.csv"),), actions=(actions,))
    shown = [m.bid_px[0] for m in recording.inputs() if isinstance(m, QuotePanel)]
    assert shown == [100, 100, 49, 49]
    assert recording.quality.by_kind() == {}


def test_playing_goes_on_anywhere_with_the_same_rows_left_out(write: Callable[..., str]) -> None:
    """What is held back does not depend on where reading begins."""
    trades = TRADES + ticks("2013-10-07", [100, 1, 100]) + ticks("2013-10-08", [100, 50, 100, 50, 50, 50, 50])
    quotes = (
        QUOTES
        + "2013-10-07T14:00:30Z,A,9,1,10,1\n2013-10-07T14:01:30Z,A,900,1,901,1\n2013-10-08T14:00:30Z,A,9,1,10,1\n"
    )
    recording = opened(trades=(write(trades, "t.csv"),), quotes=(write(quotes, "q.csv"),))
    whole = [(m.ts, type(m).__name__) for m in recording.inputs()]
    for place, (ts, _) in enumerate(whole):
        before = sum(other == ts for other, _ in whole[: place + 1])
        assert [(m.ts, type(m).__name__) for m in recording.inputs(Resume(ts, before))] == whole[place + 1 :]


def days(closes: list[float], symbol: str = "A", opens: list[float] | None = None) -> str:
    """Return daily bars from Monday, 2013-10-07, on."""
    rows = zip(opens or closes, closes, strict=True)
    return "".join(
        f"2013-10-{7 + i:02d},{symbol},{o},{max(o, c)},{min(o, c)},{c},10\n" for i, (o, c) in enumerate(rows)
    )


def closes_of(recording: Recording, symbol: int = 0) -> list[float]:
    """Return the closes that are played."""
    return [
        float(panel.close[at])
        for panel in recording.inputs()
        if isinstance(panel, BarPanel)
        for at in np.flatnonzero(panel.ids == symbol)
    ]


def test_raw_daily_bars_are_frozen_at_the_opening_of_the_day_that_jumps(write: Callable[..., str]) -> None:
    """A ten for one split on the Wednesday: its bar and all later ones are left out, B's are played."""
    path = write(DAILY + days([100, 101, 10.1, 10.2, 10.3]) + days([7, 7, 7, 7, 7], "B"), "d.csv")
    recording = opened(bars=(path,), adjustment=Adjustment.RAW)
    assert closes_of(recording) == [100, 101]
    assert closes_of(recording, 1) == [7, 7, 7, 7, 7]
    (status,) = [m for m in recording.inputs() if isinstance(m, TradingStatus)]
    assert format_ts(status.ts) == "2013-10-09T13:30:00.000Z"
    assert recording.quality.by_kind() == {"jump": 3}
    told = write("ex_date,symbol,kind,value\n2013-10-09,A,split,10\n", "a.csv")
    assert closes_of(opened(bars=(path,), adjustment=Adjustment.RAW, actions=(told,))) == [100, 101, 10.1, 10.2, 10.3]


def test_adjusted_daily_bars_need_three_sessions_to_be_believed(write: Callable[..., str]) -> None:
    """The bar's open counts as well as its close: one odd open holds its bar back."""
    path = write(DAILY + days([100, 40, 41, 42, 43]) + days([7, 7, 7, 7, 7], "B", [7, 70, 7, 7, 7]), "d.csv")
    recording = opened(bars=(path,), adjustment=Adjustment.SPLIT)
    assert closes_of(recording) == [100, 42, 43]
    assert closes_of(recording, 1) == [7, 7, 7, 7]
    assert recording.quality.by_kind() == {"jump": 3}


def test_minute_bars_reach_nowhere_that_neither_end_is_near(write: Callable[..., str]) -> None:
    """A low at a hundredth within a minute that opens and closes at 100 would stop everybody out: no such minute."""
    text = DAILY
    for i, row in enumerate(["100,101,99,100", "100,101,1,100", "100,10000,99,100", "100,120,80,100"]):
        text += f"2013-10-07T14:0{i}:00Z,A,{row},10\n"
    recording = opened(bars=(write(text, "m.csv"),), adjustment=Adjustment.RAW)
    assert [m.low[0] for m in recording.inputs() if isinstance(m, BarPanel)] == [99, 80]


def test_the_embedded_prices_are_believed() -> None:
    """They ship with the program and were looked at: Apple did fall by half on 2000-09-29."""
    spec = RecordingSpec(source="sp500", from_date=20_000_925, to_date=20_001_005, max_jump=0.5)
    assert open_recording(spec).quality.rows_rejected == 0


def test_real_moves_pass_and_real_splits_halt(test_data, write: Callable[..., str]) -> None:
    """Ten years of 33 symbols, a million and a half prints and two million quotes: nothing is held back.

    Of the unadjusted minutes Apple's seven for one split of 2014-06-09 is found, and nothing else.
    """
    for spec in (
        {"bars": (str(test_data / "daily_ohlcv_2012_2022.parquet"),), "adjustment": Adjustment.SPLIT},
        {"trades": (str(test_data / "tick_trades_lean.parquet"),)},
        {"quotes": (str(test_data / "tick_quotes_lean.parquet"),)},
        {"bars": (str(test_data / "second_trade_bars_lean.parquet"),), "adjustment": Adjustment.RAW},
    ):
        assert "jump" not in opened(**spec).quality.by_kind()
    minutes = opened(bars=(str(test_data / "minute_trade_bars_lean.parquet"),), adjustment=Adjustment.RAW)
    assert {r.symbol for r in minutes.quality.rejects if r.kind == "jump"} == {"AAPL"}
    (notice,) = [n for n in minutes.notices if "no corporate action says why" in n]
    assert "AAPL moved from 645.57 to 92.47 between two sessions, at 2014-06-09T13:32:00.000Z" in notice
    told = write("ex_date,symbol,kind,value\n2014-06-09,AAPL,split,7\n", "a.csv")
    path = str(test_data / "minute_trade_bars_lean.parquet")
    assert opened(bars=(path,), adjustment=Adjustment.RAW, actions=(told,)).n_bars == minutes.n_bars + 390
