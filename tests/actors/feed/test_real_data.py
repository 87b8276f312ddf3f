"""Real files: what vendors deliver is read whole, and what is wrong with it is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from actors.feed.history import History, HistorySpec, open_history
from actors.feed.session import sessions
from actors.messages.market import BarPanel
from actors.values.time import parse_interval
from actors.values.universe import Adjustment


def panels(history: History) -> list[BarPanel]:
    """Return the bar panels of a history."""
    return [m for m in history.inputs() if isinstance(m, BarPanel)]


def test_eleven_years_of_daily_bars_lie_on_every_session(test_data: Path):
    """34 symbols; META starts in May 2012; closes equal the file's; the index is only observed."""
    path = test_data / "daily_ohlcv_2012_2022.parquet"
    history = open_history(HistorySpec(bars=(str(path),), adjustment=Adjustment.SPLIT, benchmark="SPY"))
    frame = pl.read_parquet(path)
    assert history.n_bars == history.quality.rows_used == frame.height == 94_017
    assert history.sessions == sessions("XNYS", 20120103, 20221230)
    assert history.n_instants == 2768
    assert history.quality.rejects == ()
    at = history.universe.index()
    assert not history.universe.is_tradable(at["^GSPC"])
    dates, closes = history.session_closes()
    first_meta = int(np.argmax(~np.isnan(closes[:, at["META"]])))
    assert dates[first_meta] == 20120518
    for symbol in ("AAPL", "META"):
        column = closes[:, at[symbol]]
        assert column[~np.isnan(column)].tolist() == frame.filter(pl.col("symbol") == symbol)["close"].to_list()
    label, _, spy = history.benchmark_closes()
    assert label == "SPY (split prices)"
    assert np.array_equal(spy, closes[:, at["SPY"]])


def test_the_wide_file_is_whole_but_for_a_day_the_exchange_was_closed(test_data: Path):
    """428 symbols; the vendor has bars on 2022-06-20, a holiday: all 427 are counted, none is replayed."""
    path = test_data / "bench_daily_wide_sp500_2018_2022.parquet"
    history = open_history(HistorySpec(bars=(str(path),)))
    assert len(history.universe) == 428
    assert history.quality.by_kind() == {"not_a_session": 427}
    assert history.n_bars == 533_488 - 427
    assert 20220620 not in [s.date for s in history.sessions]
    assert sum(len(p.ids) for p in panels(history)) == history.n_bars


def test_minute_bars_fill_the_regular_session_only(test_data: Path):
    """SPY has a bar for nearly every regular minute; pre- and post-market bars are counted, not replayed."""
    path = test_data / "minute_trade_bars_lean.parquet"
    history = open_history(HistorySpec(bars=(str(path),), symbols=("SPY",)))
    frame = pl.read_parquet(path).filter(pl.col("symbol") == "SPY")
    clock = pl.col("ts").dt.time()
    regular = frame.filter((clock >= pl.time(9, 30)) & (clock < pl.time(16, 0)))
    assert history.interval.text == "1m"
    assert history.n_bars == regular.height
    assert history.quality.by_kind() == {"outside_session": frame.height - regular.height}
    assert [p.start_ts for p in panels(history)] == regular["ts"].dt.epoch("ns").to_list()
    days = {p.session for p in panels(history)}
    assert days == {s.date for s in sessions("XNYS", 20131004, 20131010)}
    for session in history.sessions:
        own = [p for p in panels(history) if p.session == session.date]
        assert own[0].start_ts == session.open_ts
        assert own[-1].ts == session.close_ts


def test_minutes_put_together_to_days_equal_the_file_grouped_by_day(test_data: Path):
    """Open, high, low, close and volume of each regular session, as polars computes them."""
    path = test_data / "minute_trade_bars_lean.parquet"
    history = open_history(HistorySpec(bars=(str(path),), interval=parse_interval("1d"), to_date=20131010))
    clock = pl.col("ts").dt.time()
    expected = (
        pl.read_parquet(path)
        .filter((clock >= pl.time(9, 30)) & (clock < pl.time(16, 0)) & (pl.col("session") <= "20131010"))
        .group_by("session", "symbol", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("session", "symbol")
    )
    rows = [
        (
            str(p.session),
            history.universe.symbols[i],
            *(float(c[k]) for c in (p.open, p.high, p.low, p.close, p.volume)),
        )
        for p in panels(history)
        for k, i in enumerate(p.ids.tolist())
    ]
    assert rows == expected.rows()
    assert history.daily


def test_quote_bars_of_a_second_file_stand_beside_their_trades(test_data: Path):
    """Every merged quote equals the quote file's row of the same symbol and minute."""
    trades, quotes = (test_data / f"minute_{kind}_bars_lean.parquet" for kind in ("trade", "quote"))
    history = open_history(HistorySpec(bars=(str(trades), str(quotes))))
    by_key = {
        (row["ts"], row["symbol"]): row
        for row in pl.read_parquet(quotes).with_columns(pl.col("ts").dt.epoch("ns")).iter_rows(named=True)
    }
    quoted = 0
    for panel in panels(history):
        for k, i in enumerate(panel.ids.tolist()):
            row = by_key.get((panel.start_ts, history.universe.symbols[i]))
            for name in ("bid_open", "ask_open", "bid_close", "ask_close"):
                value = getattr(panel, name)[k]
                assert np.isnan(value) if row is None else value == row[name]
            quoted += row is not None
    assert quoted > 0.99 * history.n_bars
    quality = history.quality
    assert quality.rows_read == quality.rows_used + quality.rows_filtered + quality.rows_rejected
    assert quality.rows_used == history.n_bars + quoted


@pytest.mark.parametrize("adjustment", [Adjustment.RAW, None])
def test_raw_daily_bars_with_a_split_are_left_alone(test_data: Path, adjustment: Adjustment | None):
    """AAPL's 4:1 split of August 2020 stands in raw prices and is not smoothed."""
    path = test_data / "lean_daily_raw" / "daily_raw_unadjusted.parquet"
    history = open_history(
        HistorySpec(bars=(str(path),), symbols=("AAPL",), from_date=20200828, to_date=20200831, adjustment=adjustment)
    )
    assert history.adjustment is Adjustment.RAW
    assert history.session_closes()[1].ravel().tolist() == [499.23, 129.04]
