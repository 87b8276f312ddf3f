"""Market data for the gate's tests: bars with volumes and quotes, and ticks."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.messages.market import BarPanel, QuotePanel, TradePanel
from actors.values.fixed import SCALE

MINUTE = 60 * 10**9
SECOND = 10**9


def column(values: list[float]) -> Any:
    """Return a read-only column."""
    out = np.array(values, dtype=np.float64)
    out.flags.writeable = False
    return out


def show(
    w: Any,
    prices: list[float],
    volumes: list[float] | None = None,
    *,
    bids: list[float] | None = None,
    asks: list[float] | None = None,
    ids: list[int] | None = None,
) -> None:
    """Show a bar of every symbol (or of ``ids``), a minute on, or today's where the world is daily."""
    daily = w.settings["daily"]
    ts = w.session.close_ts if daily else w.clock.now() + MINUTE
    start = w.session.open_ts if daily else ts - MINUTE
    w.clock.advance_to(ts)
    px = column(prices)
    fx = np.array([round(price * SCALE) for price in prices], dtype=np.int64)
    known = np.array(range(len(prices)) if ids is None else ids, dtype=np.int32)
    w.process(
        BarPanel(
            ts,
            start,
            w.session.date,
            daily,
            known,
            len(known) == len(w.universe),
            *[px] * 4,
            fx,
            None if volumes is None else column(volumes),
            bid_close=None if bids is None else column(bids),
            ask_close=None if asks is None else column(asks),
        )
    )


def day(w: Any, prices: list[float], volumes: list[float] | None = None) -> None:
    """Show a session's bar and end the session."""
    show(w, prices, volumes)
    w.close()
    w.open()


def quote(w: Any, symbol: int, bid: float, ask: float, *, after: int = 0) -> None:
    """Show a quote, some nanoseconds on."""
    ts = w.clock.now() + after
    w.clock.advance_to(ts)
    w.process(QuotePanel(ts, np.array([symbol], dtype=np.int32), *map(column, ([bid], [100.0], [ask], [100.0]))))


def trade(w: Any, symbol: int, price: float, *, after: int = 0) -> None:
    """Show a print, some nanoseconds on."""
    ts = w.clock.now() + after
    w.clock.advance_to(ts)
    w.process(TradePanel(ts, np.array([symbol], dtype=np.int32), column([price]), column([100.0])))
