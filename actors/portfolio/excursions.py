"""How far prices went for and against a lot while it was held: a fold of the tape, one pair of arrays for all lots.

Extremes run per symbol since the newest lot in it was opened; when another is opened, that run ends and the next one
starts. A lot's extremes are its own and those of all runs since. So a bar costs two array operations and a fill next to
nothing, however many lots there are.

Only prices known to lie between entry and exit count, which errs towards the smaller excursion. Of the entry bar:
all of it for a fill at its open, else the fill's price and the close. Of the exit bar: all of it for a fill at its
close, the open and the fill's price for a fill inside it, nothing but the fill's price for one at its open. Of ticks
the last prices count that came while the lot was held.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from actors.messages.columns import F64, I32
from actors.messages.market import BarPanel
from actors.portfolio.positions import Lot


class Runs:
    """The extremes of one symbol's runs that ended, numbered from 0.

    Attributes:
        ended: how many; the number of the one under way.
    """

    __slots__ = ("_highs", "_lows", "ended")

    def __init__(self) -> None:
        self.ended = 0
        self._highs: list[tuple[int, float]] = []
        """Number and high of those that no later one reached: numbers rise, highs fall."""
        self._lows: list[tuple[int, float]] = []
        """Likewise; lows rise."""

    def end(self, high: float, low: float) -> None:
        """End the run under way."""
        highs, lows = self._highs, self._lows
        while highs and highs[-1][1] <= high:
            highs.pop()
        highs.append((self.ended, high))
        while lows and lows[-1][1] >= low:
            lows.pop()
        lows.append((self.ended, low))
        self.ended += 1

    def with_own(self, lot: Lot) -> tuple[float, float]:
        """Return the (high, low) of a lot's own extremes and those of the runs since."""
        run = lot.run
        if run == self.ended:
            return lot.high, lot.low
        high = self._highs[bisect_left(self._highs, (run,))][1]
        low = self._lows[bisect_left(self._lows, (run,))][1]
        return max(lot.high, high), min(lot.low, low)


class Excursions:
    """Running extremes by symbol, and the lots whose entry bar counts only in part."""

    __slots__ = ("_late", "_panel", "_row", "_runs", "high", "low")

    def __init__(self, n_symbols: int) -> None:
        self.high: F64 = np.zeros(n_symbols)
        self.low: F64 = np.zeros(n_symbols)
        self._runs: dict[int, Runs] = {}
        """Of symbols in which a lot was opened beside others."""
        self._panel: BarPanel | None = None
        self._row: dict[int, int] | None = None
        self._late: list[tuple[Lot, int]] = []  # with the row of the lot's symbol in the bar

    def begin(self, panel: BarPanel) -> None:
        """A bar is in progress: fills may refer to it until :meth:`seal`."""
        self._panel = panel
        self._row = None

    def opened(self, lot: Lot, px_source: str, *, alone: bool) -> None:
        """A lot was opened; ``alone`` says that it is the only one in its symbol, of every portfolio."""
        symbol = lot.symbol
        if alone:
            self._runs.pop(symbol, None)
            if self._late:  # those of this bar in the symbol were closed again
                self._late = [(late, row) for late, row in self._late if late.symbol != symbol]
        else:
            lot.run = self._end_run(symbol, self.high.item(symbol), self.low.item(symbol))
        self.high[symbol] = lot.high
        self.low[symbol] = lot.low
        if px_source != "open":
            row = self._find(symbol)
            if row is not None:
                self._late.append((lot, row))

    def _end_run(self, symbol: int, high: float, low: float) -> int:
        """End a symbol's run with these extremes; return the number of the next one."""
        runs = self._runs.get(symbol)
        if runs is None:
            runs = self._runs[symbol] = Runs()
        runs.end(high, low)
        return runs.ended

    def _until_now(self, lot: Lot) -> tuple[float, float]:
        """Return the (high, low) of a lot but for the run under way."""
        runs = self._runs.get(lot.symbol)
        return (lot.high, lot.low) if runs is None else runs.with_own(lot)

    def fold_runs(self, lots_in: Callable[[int], Iterable[Lot]]) -> None:
        """Fold the runs that ended into the lots, which say the same from then on; ``lots_in(symbol)`` yields all."""
        for symbol, runs in self._runs.items():
            for lot in lots_in(symbol):
                lot.high, lot.low = runs.with_own(lot)
                lot.run = 0
        self._runs.clear()

    def gather(self, symbol: int, lots: Iterable[Lot]) -> None:
        """Hand what has run so far to all lots in a symbol, which a corporate action is about to change."""
        high, low = self.high.item(symbol), self.low.item(symbol)
        for lot in lots:
            own_high, own_low = self._until_now(lot)
            lot.high = max(own_high, high)
            lot.low = min(own_low, low)
            lot.run = 0
        self._runs.pop(symbol, None)

    def restart(self, symbol: int, px: float) -> None:
        """Run anew from a price that every lot in the symbol has seen."""
        self.high[symbol] = self.low[symbol] = px

    def range_of(self, lot: Lot, exit_px: float, px_source: str, now: int) -> tuple[float, float]:
        """Return the (lowest, highest) price known between the entry of a lot and its exit now."""
        symbol = lot.symbol
        own_high, own_low = self._until_now(lot)
        high = max(own_high, self.high.item(symbol), exit_px)
        low = min(own_low, self.low.item(symbol), exit_px)
        if lot.ts != now and px_source in ("intrabar", "close"):
            row = self._find(symbol)
            panel = self._panel
            if row is not None and panel is not None:
                top, bottom = (panel.open, panel.open) if px_source == "intrabar" else (panel.high, panel.low)
                high = max(high, top.item(row))
                low = min(low, bottom.item(row))
        return low, high

    def touch(self, ids: I32, px: F64) -> None:
        """Fold the last prices of some symbols behind a tick.

        Args:
            ids: ``[K]`` symbols; one may stand there more than once.
            px: ``[N]`` last prices of all symbols.
        """
        high, low = self.high, self.low
        if ids.size == 1:
            symbol = ids.item(0)
            now = px.item(symbol)
            if now > high.item(symbol):
                high[symbol] = now
            elif now < low.item(symbol):
                low[symbol] = now
            return
        high[ids] = np.maximum(high[ids], px[ids])
        low[ids] = np.minimum(low[ids], px[ids])

    def seal(self, panel: BarPanel, *, held: bool) -> None:
        """Fold a finished bar; ``held`` says whether there are lots at all."""
        if not held:
            self._late = []
            self._panel = None
            return
        late = self._late
        if late:
            self._seal_late(late, panel)
        high, low = self.high, self.low
        if panel.dense:
            np.maximum(high, panel.high, out=high)
            np.minimum(low, panel.low, out=low)
        else:
            ids = panel.ids
            high[ids] = np.maximum(high[ids], panel.high)
            low[ids] = np.minimum(low[ids], panel.low)
        if late:
            self._restart(late)
            self._late = []
        self._panel = None

    def _seal_late(self, late: Sequence[tuple[Lot, int]], panel: BarPanel) -> None:
        """End the runs of symbols in which lots were opened inside the bar: of it those know no more than its close."""
        for symbol, row in {lot.symbol: row for lot, row in late}.items():
            new = [lot for lot, _ in late if lot.symbol == symbol]
            close = panel.close.item(row)
            for lot in new:
                high, low = self._until_now(lot)
                lot.high, lot.low = max(high, close), min(low, close)
            if symbol not in self._runs:
                continue  # there is no other lot
            high = max(self.high.item(symbol), panel.high.item(row))
            run = self._end_run(symbol, high, min(self.low.item(symbol), panel.low.item(row)))
            for lot in new:
                lot.run = run

    def _restart(self, late: Sequence[tuple[Lot, int]]) -> None:
        """Begin the run of each late symbol at its newest lot's own range, so that the bar is not counted again."""
        for lot, _ in late:
            self.high[lot.symbol] = lot.high
            self.low[lot.symbol] = lot.low

    def _find(self, symbol: int) -> int | None:
        panel = self._panel
        if panel is None:
            return None
        if panel.dense:
            return symbol
        if self._row is None:
            self._row = {int(s): row for row, s in enumerate(panel.ids)}
        return self._row.get(symbol)

    def snapshot(self) -> list[bytes]:
        """Return plain values; between two inputs no bar is in progress."""
        return [self.high.tobytes(), self.low.tobytes()]

    def restore(self, state: list[bytes]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.high = np.frombuffer(state[0], dtype=np.float64).copy()
        self.low = np.frombuffer(state[1], dtype=np.float64).copy()
        self._runs = {}
        self._panel = None
        self._row = None
        self._late = []
