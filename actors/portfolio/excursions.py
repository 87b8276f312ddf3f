"""How far prices went for and against a lot while it was held: a fold of the tape, one pair of arrays for all lots.

Extremes run per symbol since the newest lot in it was opened; when another is opened, what has run so far is handed
to the older lots and the run starts again. So a bar costs two array operations, however many lots there are.

Only prices known to lie between entry and exit count, which errs towards the smaller excursion. Of the entry bar:
all of it for a fill at its open, else the fill's price and the close. Of the exit bar: all of it for a fill at its
close, the open and the fill's price for a fill inside it, nothing but the fill's price for one at its open. Of ticks
the last prices count that came while the lot was held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from actors.messages.columns import F64, I32
from actors.messages.market import BarPanel
from actors.portfolio.positions import Lot


class Excursions:
    """Running extremes by symbol, and the lots whose entry bar counts only in part."""

    __slots__ = ("_late", "_panel", "_row", "high", "low")

    def __init__(self, n_symbols: int) -> None:
        self.high: F64 = np.zeros(n_symbols)
        self.low: F64 = np.zeros(n_symbols)
        self._panel: BarPanel | None = None
        self._row: dict[int, int] | None = None
        self._late: list[tuple[Lot, int]] = []  # with the row of the lot's symbol in the bar

    def begin(self, panel: BarPanel) -> None:
        """A bar is in progress: fills may refer to it until :meth:`seal`."""
        self._panel = panel
        self._row = None

    def opened(self, lot: Lot, older: Iterable[Lot], px_source: str) -> None:
        """A lot was opened; ``older`` are the other lots in its symbol, of every portfolio."""
        symbol = lot.symbol
        high, low = self.high.item(symbol), self.low.item(symbol)
        own = lot.high, lot.low
        # Thousands of lots may be older: two comparisons each, no calls, and the new one is mended behind them.
        for other in older:
            if other.high < high:  # noqa: PLR1730
                other.high = high
            if other.low > low:  # noqa: PLR1730
                other.low = low
        lot.high, lot.low = self.high[symbol], self.low[symbol] = own
        if px_source != "open":
            row = self._find(symbol)
            if row is not None:
                self._late.append((lot, row))

    def gather(self, symbol: int, lots: Iterable[Lot]) -> None:
        """Hand what has run so far to all lots in a symbol, which a corporate action is about to change."""
        high, low = self.high.item(symbol), self.low.item(symbol)
        for lot in lots:
            lot.high = max(lot.high, high)
            lot.low = min(lot.low, low)

    def restart(self, symbol: int, px: float) -> None:
        """Run anew from a price that every lot in the symbol has seen."""
        self.high[symbol] = self.low[symbol] = px

    def range_of(self, lot: Lot, exit_px: float, px_source: str, now: int) -> tuple[float, float]:
        """Return the (lowest, highest) price known between the entry of a lot and its exit now."""
        symbol = lot.symbol
        high = max(lot.high, self.high.item(symbol), exit_px)
        low = min(lot.low, self.low.item(symbol), exit_px)
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

    def seal(self, panel: BarPanel, lots_in: Callable[[int], Iterable[Lot]], *, held: bool) -> None:
        """Fold a finished bar; ``lots_in(symbol)`` yields every lot in a symbol, ``held`` says whether there is any."""
        if not held:
            self._late = []
            self._panel = None
            return
        late = self._late
        if late:
            self._seal_late(late, panel, lots_in)
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

    def _seal_late(
        self, late: Sequence[tuple[Lot, int]], panel: BarPanel, lots_in: Callable[[int], Iterable[Lot]]
    ) -> None:
        new = {lot.lot_id for lot, _ in late}
        for symbol, row in {lot.symbol: row for lot, row in late}.items():
            run_high, run_low = self.high.item(symbol), self.low.item(symbol)
            for lot in lots_in(symbol):
                if lot.lot_id not in new:
                    lot.high = max(lot.high, run_high)
                    lot.low = min(lot.low, run_low)
                top, bottom = (panel.close, panel.close) if lot.lot_id in new else (panel.high, panel.low)
                lot.high = max(lot.high, top.item(row))
                lot.low = min(lot.low, bottom.item(row))

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
        self._panel = None
        self._row = None
        self._late = []
