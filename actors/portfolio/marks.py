"""Last prices, the session's date and closes for volatilities: a fold of the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.messages.columns import F64, I64
from actors.messages.market import BarPanel, QuotePanel, TradePanel
from actors.values import MINUTE_NS, PanelRing
from actors.values.bar_starts import BarStarts
from actors.values.corporate import dividend_px, split_px
from actors.values.fixed import SCALE
from actors.values.tick_prices import TickPrices


class Marks:
    """What the room knows of the market.

    Attributes:
        px: last prices by symbol in units of 1e-8, 0 where unknown.
        px_f: the same as floats; they only bound sums and never become money.
        session: exchange date YYYYMMDD of the newest bar, open or close.
        number: of that session in the run, from 1.
        minute: since 1970, in which the equity was stated last.
        bars_in: the last session that had a bar inside it: there bars state the equity.
    """

    __slots__ = ("_ring", "_row_start", "_starts", "_ticks", "bars_in", "minute", "number", "px", "px_f", "session")

    def __init__(self, n_symbols: int, rows: int) -> None:
        """Allocate; ``rows`` of closes are kept, 0 for none."""
        self.px: I64 = np.zeros(n_symbols, dtype=np.int64)
        self.px_f: F64 = np.zeros(n_symbols)
        self.session = 0
        self.number = 0
        self.minute = 0
        self.bars_in = 0
        self._ticks = TickPrices(n_symbols)
        self._starts = BarStarts(n_symbols)
        self._row_start = -1
        self._ring = PanelRing(n_symbols, rows, ("close",)) if rows else None

    def fold(self, panel: BarPanel) -> None:
        """Take over a panel's closes. A latecomer (revision > 0) corrects the marks but is no further row of closes."""
        if panel.revision:
            self._correct(panel)
            return
        if panel.session != self.session:
            self.begin(panel.session)
        if not panel.daily:
            self.bars_in = panel.session
        ring = self._ring
        self._row_start = panel.start_ts
        if panel.dense:
            self._starts.note(None, panel.start_ts)
            self.px[:] = panel.close_fx
            self.px_f[:] = panel.close
            if ring is not None:
                ring.push(None, {"close": panel.close})
        else:
            ids = panel.ids
            self._starts.note(ids, panel.start_ts)
            self.px[ids] = panel.close_fx
            self.px_f[ids] = panel.close
            if ring is not None:
                ring.push(ids, {"close": panel.close})

    def _correct(self, panel: BarPanel) -> None:
        """Take over a late correction: the marks of those whose newest bar it is, and the newest row if it is that."""
        newest = self._starts.of(panel.ids) <= panel.start_ts
        ids = panel.ids[newest]
        self.px[ids] = panel.close_fx[newest]
        self.px_f[ids] = panel.close[newest]
        self._starts.note(ids, panel.start_ts)
        if self._ring is not None and panel.start_ts == self._row_start:
            self._ring.amend(panel.ids, {"close": panel.close})

    def begin(self, session: int) -> None:
        """Remember the session decisions fall into; hearing of it twice changes nothing."""
        if session != self.session:
            self.session = session
            self.number += 1
            self._ticks.begin()

    def fold_quotes(self, panel: QuotePanel) -> None:
        """Take over what quotes say about last prices; one symbol, as nearly every tick is, goes without arrays."""
        ids = panel.ids
        if ids.size == 1:
            symbol = ids.item(0)
            px = self._ticks.quoted(symbol, panel.bid_px.item(0), panel.ask_px.item(0))
            if px:
                self.px[symbol] = px
                self.px_f[symbol] = px / SCALE
            return
        found, prices = self._ticks.many_quoted(ids, panel.bid_px, panel.ask_px)
        self.px[found] = prices
        self.px_f[found] = prices / SCALE

    def fold_trades(self, panel: TradePanel) -> None:
        """Take over the last prints."""
        ids = panel.ids
        if ids.size == 1:
            symbol = ids.item(0)
            self.px[symbol] = self._ticks.printed(symbol, panel.price.item(0))
            self.px_f[symbol] = panel.price.item(0)
            return
        self.px[ids] = self._ticks.many_printed(ids, panel.price)
        self.px_f[ids] = panel.price

    def turns(self, ts: int) -> bool:
        """Fold a tick's stamp; tell whether it begins a minute in which no bar will state the equity."""
        minute = ts // MINUTE_NS
        if minute == self.minute:
            return False
        self.minute = minute
        return self.bars_in != self.session

    def fold_fill(self, symbol: int, px: int) -> None:
        """A symbol that no bar has marked yet is worth what it was traded at."""
        if not self.px.item(symbol):
            self.px[symbol] = px
            self.px_f[symbol] = px / SCALE

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Say what is known of a symbol in the units behind a split."""
        self._set(symbol, split_px(self.px.item(symbol), numerator, denominator))
        if self._ring is not None:
            self._ring.scale(symbol, "close", denominator / numerator)

    def pay(self, symbol: int, per_share: int) -> None:
        """Take a dividend off the last price; closes for volatilities stay as they traded."""
        self._set(symbol, dividend_px(self.px.item(symbol), per_share))

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends; one that had no price leaves the other's as it is."""
        if self.px.item(symbol):
            self._set(new, self.px.item(symbol))
            self._set(symbol, 0)
        if self._ring is not None:
            self._ring.move(symbol, new)

    def _set(self, symbol: int, px: int) -> None:
        self.px[symbol] = px
        self.px_f[symbol] = px / SCALE

    def closes(self) -> F64 | None:
        """Return the closes kept, ``[rows, N]`` and oldest first, None where nobody asked for any."""
        return self._ring.view("close") if self._ring is not None else None

    def snapshot(self) -> list[Any]:
        """Return plain values; the ring travels along, so nothing needs to be warmed up."""
        closes = self.closes()
        rows = closes.tobytes() if closes is not None else b""
        ticks = [self.minute, self.bars_in, self._ticks.snapshot()]
        bars = [self._starts.snapshot(), self._row_start]
        return [self.session, self.number, self.px.tobytes(), self.px_f.tobytes(), rows, *ticks, *bars]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.session = state[0]
        self.number = state[1]
        self.px = np.frombuffer(state[2], dtype=np.int64).copy()
        self.px_f = np.frombuffer(state[3], dtype=np.float64).copy()
        if self._ring is not None:
            for row in np.frombuffer(state[4], dtype=np.float64).reshape(-1, len(self.px)):
                self._ring.push(None, {"close": row})
        if len(state) > 5:  # a snapshot of an older version knows of no ticks
            self.minute, self.bars_in = state[5:7]
            self._ticks.restore(state[7])
        if len(state) > 8:
            self._starts.restore(state[8])
            self._row_start = state[9]
