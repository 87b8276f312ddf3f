"""Real quotes, prints and headlines: what the book must look like where markets are what they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from actors.feed.recording import RecordingSpec, Resume, open_recording
from actors.messages.market import NewsItem, QuotePanel, TradePanel
from tests.actors.feed.streams import kinds, plains


def test_prints_lie_within_the_book_and_the_book_is_hardly_ever_crossed(test_data: Path) -> None:
    """One day of BAC and IBM: under 0.1 % of instants crossed, over 98 % of prints within a cent of the book.

    Each row of this source updates one side; reading a side of 0 as a price, or keeping yesterday's, shows here at
    once. The day of all three was measured at 0.03 % and 98.9 % (IBM), 0.00 % and 99.99 % (BAC).
    """
    spec = RecordingSpec(
        quotes=(str(test_data / "tick_quotes_lean.parquet"),),
        trades=(str(test_data / "tick_trades_lean.parquet"),),
        symbols=("BAC", "IBM"),
        from_date=20_131_007,
        to_date=20_131_007,
    )
    recording = open_recording(spec)
    assert recording.universe.symbols == ("BAC", "IBM")
    bid, ask = [np.nan, np.nan], [np.nan, np.nan]
    crossed, states, near, prints = [0, 0], [0, 0], [0, 0], [0, 0]
    count = 0
    for message in recording.inputs():
        count += 1
        if type(message) is QuotePanel:
            for i, b, a in zip(message.ids.tolist(), message.bid_px.tolist(), message.ask_px.tolist(), strict=True):
                bid[i], ask[i] = b, a
                states[i] += 1
                crossed[i] += b > a
        elif type(message) is TradePanel:
            for i, price in zip(message.ids.tolist(), message.price.tolist(), strict=True):
                prints[i] += 1
                near[i] += bid[i] - 0.0101 <= price <= ask[i] + 0.0101
    assert count == recording.n_inputs
    assert min(states) > 10_000
    assert min(prints) > 10_000
    for i in range(2):
        assert crossed[i] / states[i] < 0.001
        assert near[i] / prints[i] > 0.98
    quality = recording.quality
    assert quality.rows_read == quality.rows_used + quality.rows_rejected + quality.rows_filtered == 3_631_555


def test_real_ticks_go_on_behind_a_place_in_the_middle_of_a_day(test_data: Path) -> None:
    """Bars, quotes and prints together; the book there is the one an uninterrupted run has."""
    spec = RecordingSpec(
        bars=(str(test_data / "minute_trade_bars_lean.parquet"),),
        quotes=(str(test_data / "tick_quotes_lean.parquet"),),
        trades=(str(test_data / "tick_trades_lean.parquet"),),
        symbols=("BAC", "IBM"),
        from_date=20_131_007,
        to_date=20_131_009,
    )
    recording = open_recording(spec)
    stream = itertools.islice(recording.inputs(), 100_000, 101_000)
    some = list(stream)
    for at in (0, 1, 500, 998):
        n = sum(message.ts == some[at].ts for message in some[: at + 1])
        if some[0].ts == some[at].ts:
            continue  # what else came at that instant lies before the part we look at
        rest = recording.inputs(Resume(some[at].ts, n))
        assert plains(itertools.islice(rest, 999 - at)) == plains(some[at + 1 :])


@pytest.mark.parametrize("extended", [False, True])
def test_real_second_bars_of_quotes_are_not_ticks(test_data: Path, *, extended: bool) -> None:
    """Bars of quotes belong to bars; as quotes they lack a bid."""
    from daemon.kernel.errors import OperatorError  # noqa: PLC0415

    path = str(test_data / "second_quote_bars_lean.parquet")
    with pytest.raises(OperatorError, match="has no column bid_px and no column ask_px"):
        open_recording(RecordingSpec(quotes=(path,), extended_hours=extended))


def test_real_headlines_come_in_order_and_dated_ones_after_their_day(test_data: Path) -> None:
    """AAPL and META in 2022: titles with a date alone, laid between daily bars."""
    spec = RecordingSpec(
        bars=(str(test_data / "daily_ohlcv_2012_2022.parquet"),),
        news=(str(test_data / "news_headlines.parquet"),),
        symbols=("AAPL", "META"),
        from_date=20_220_103,
        to_date=20_220_630,
    )
    recording = open_recording(spec)
    inputs = list(recording.inputs())
    assert [m.ts for m in inputs] == sorted(m.ts for m in inputs)
    news = [m for m in inputs if isinstance(m, NewsItem)]
    assert len(news) > 500
    assert {symbol for item in news for symbol in item.symbols} == {0, 1}
    assert len({item.news_id for item in news}) == len(news)
    assert any("dated by day alone" in notice for notice in recording.notices)
    assert kinds(inputs)[:3] == ["Opened", "Bar", "Closed"]
    midnights = {item.ts // 3_600_000_000_000 % 24 for item in news}
    assert midnights <= {4, 5}  # New York's, in summer and in winter
