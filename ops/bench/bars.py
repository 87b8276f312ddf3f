"""Synthetic bars: seeded geometric random walks on the real New York calendar, one Parquet file per size.

They look like prices and mean nothing: they exist to be processed fast, and no result of a strategy on them says
anything about the strategy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from job import Size

from actors.feed.session import SessionTable, date_to_day, session_table
from actors.values.time import MINUTE_NS

LAST_DAY = 20251231
DAILY_VOLATILITY = 0.012
MINUTES = 390


def write_bars(size: Size, path: Path, seed: int = 1) -> int:
    """Write the file of a size, sorted by time and symbol; return the number of bars."""
    rng = np.random.default_rng([seed, size.symbols, size.sessions])
    table = _sessions(size.sessions)
    if size.interval == "1d":
        days = table.days.astype("datetime64[D]")
        stamps: Any = pl.Series("date", days)
        volatility = DAILY_VOLATILITY
    else:
        minutes = np.arange(MINUTES, dtype=np.int64) * MINUTE_NS
        starts = (table.open_ts[:, None] + minutes).ravel()
        starts = starts[starts < np.repeat(table.close_ts, MINUTES)]  # half days end early
        stamps = pl.Series("ts", starts.astype("datetime64[ns]")).dt.replace_time_zone("UTC")
        volatility = DAILY_VOLATILITY / np.sqrt(MINUTES)
    rows, n = len(stamps), size.symbols
    opened, high, low, close = walk(rng, rows, n, volatility)
    volume = np.rint(rng.lognormal(12.0, 0.8, (rows, n)))
    names = [f"S{i:03d}" for i in range(n)]
    pl.DataFrame(
        {
            stamps.name: stamps.gather(np.repeat(np.arange(rows), n)),
            "symbol": np.tile(names, rows),
            "open": opened.ravel(),
            "high": high.ravel(),
            "low": low.ravel(),
            "close": close.ravel(),
            "volume": volume.ravel(),
        }
    ).write_parquet(path, compression="zstd")
    return rows * n


def walk(rng: np.random.Generator, rows: int, n: int, volatility: float) -> tuple[Any, Any, Any, Any]:
    """Return open, high, low and close, float64 ``[rows, n]`` in whole cents, with small gaps between bars."""
    start = rng.uniform(40.0, 200.0, n)
    steps = rng.normal(-0.5 * volatility**2, volatility, (rows, n))
    exact = start * np.exp(np.cumsum(steps, axis=0))
    close = np.maximum(np.round(exact, 2), 0.05)
    before = np.vstack([start, close[:-1]])
    opened = np.maximum(np.round(before * np.exp(rng.normal(0.0, volatility / 5, (rows, n))), 2), 0.05)
    reach = np.abs(rng.normal(0.0, volatility / 2, (2, rows, n)))
    high = np.round(np.maximum(opened, close) * (1.0 + reach[0]), 2)
    low = np.maximum(np.round(np.minimum(opened, close) * (1.0 - reach[1]), 2), 0.01)
    return opened, np.maximum(high, np.maximum(opened, close)), np.minimum(low, np.minimum(opened, close)), close


def _sessions(count: int) -> SessionTable:
    table = session_table("XNYS", date_to_day(19900101), date_to_day(LAST_DAY))
    return table.between(int(table.days[-count]), int(table.days[-1]))
