"""The modelled spread under ``spread_model = "dynamic"``: wider while prices move more, and near the session's ends.

rate = ``spread_rate`` x volatility factor x factor of the time of day, rounded once.

* Volatility: the symbol's range (high - low) / close, averaged exponentially over about 5 bars against the same over
  about 60, between 1/2 and 3. It is 1 before there is a bar, and where nothing ever moved (data with closes only).
* Time of day: 4/5 + 3/5 (2x - 1)^2, where x runs from 0 at the session's open to 1 at its close: 1.4 at both ends, 0.8
  at noon, 1 on average. That spreads are higher at the beginning and the end of the day than in between is found by
  McInish and Wood, "An Analysis of Intraday Patterns in Bid/Ask Spreads for NYSE Stocks", Journal of Finance 47(2),
  1992, pp. 753-764; how much higher is our choice. What fills at a bar's open is timed at its start, at its close at
  its end, and inside it at its middle.

Only what was known before a bar widens its spread: its own range is folded behind its fills.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from actors.broker.matching import CLOSE, OPEN
from actors.messages.market import F64, BarPanel
from actors.values.fixed import SCALE, div_round

SHORT: Final = 5.0
LONG: Final = 60.0
FACTOR_MIN: Final = SCALE // 2
FACTOR_MAX: Final = 3 * SCALE
NOON: Final = SCALE * 4 // 5
RISE: Final = SCALE * 3 // 5


def time_factor(ts: int, open_ts: int, close_ts: int) -> int:
    """Return the factor of a time of day, units of 1e-8; 1 where the session is not known."""
    length = close_ts - open_ts
    if length <= 0:
        return SCALE
    off = 2 * (min(max(ts, open_ts), close_ts) - open_ts) - length
    return NOON + div_round(RISE * off * off, length * length)


class DynamicSpread:
    """A fold of bars and sessions."""

    __slots__ = ("_base", "_close_ts", "_long", "_open_ts", "_short", "_span")

    def __init__(self, base: int, n_symbols: int) -> None:
        """Start with no bar seen; ``base`` is the spread rate of a calm noon's average."""
        self._base = base
        self._short: F64 = np.full(n_symbols, np.nan)
        self._long: F64 = np.full(n_symbols, np.nan)
        self._open_ts = self._close_ts = 0
        self._span = (0, 0)

    def session(self, open_ts: int, close_ts: int) -> None:
        """Fold the session that opens."""
        self._open_ts, self._close_ts = open_ts, close_ts

    def event(self, start_ts: int, end_ts: int) -> None:
        """Fold when the present bar began and ended; of a quote or print both are its stamp."""
        self._span = (start_ts, end_ts)

    def add(self, panel: BarPanel) -> None:
        """Fold the ranges of bars whose fills are done."""
        ids: Any = slice(None) if panel.dense else panel.ids
        spans = (panel.high - panel.low) / panel.close
        for means, length in ((self._short, SHORT), (self._long, LONG)):
            before = means[ids]
            means[ids] = np.where(np.isnan(before), spans, before + (spans - before) / length)

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends; one of which nothing is known leaves the other's as it is."""
        for means in (self._short, self._long):
            if not np.isnan(means[symbol]):
                means[new] = means[symbol]
                means[symbol] = np.nan

    def volatility(self, symbol: int) -> int:
        """Return the factor of a symbol's volatility, units of 1e-8."""
        long = self._long.item(symbol)
        if not long > 0:  # also true for NaN
            return SCALE
        return min(max(round(self._short.item(symbol) / long * SCALE), FACTOR_MIN), FACTOR_MAX)

    def rate(self, symbol: int, source: str) -> int:
        """Return the full spread of a fill of the present bar or tick, a fraction in units of 1e-8."""
        start, end = self._span
        ts = start if source == OPEN else end if source == CLOSE else (start + end) // 2
        shape = time_factor(ts, self._open_ts, self._close_ts)
        return div_round(self._base * self.volatility(symbol) * shape, SCALE * SCALE)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self._short.tobytes(), self._long.tobytes(), self._open_ts, self._close_ts, list(self._span)]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._short = np.frombuffer(state[0], dtype=np.float64).copy()
        self._long = np.frombuffer(state[1], dtype=np.float64).copy()
        self._open_ts, self._close_ts = state[2:4]
        start, end = state[4]
        self._span = (start, end)
