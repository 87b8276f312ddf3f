"""What the broker remembers of the market: last prices, the session under way, and the bars of the present instant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from actors.broker.panels import pack_panel, unpack_panel
from actors.messages.market import I32, I64, BarPanel
from actors.values.bar_starts import BarStarts


class MarketMemory:
    """A fold of panels and sessions.

    Attributes:
        date: trade date of the last panel, YYYYMMDD.
        session_number: of the session under way or last seen, -1 before the first.
        session_open: stamp of its open, 0 before the first.
        session_close: stamp of the close of the session under way, 0 between sessions.
        gap_to: end of the newest gap in the data, 0 where there was none.
        panel: the last panel, kept only where orders may fill at the event they arrive with.
        used: volume that fills took from the last panel, by symbol, units of 1e-8 shares.
        close_only: whether the last panel had closes only.
        corrected: (symbol, old close or 0, new close) of the last panel, where that was a late correction.
    """

    def __init__(self, n_symbols: int, *, keep_panel: bool) -> None:
        """Start knowing nothing."""
        self._keep_panel = keep_panel
        self._last_fx: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._owned = True
        self.date = 0
        self.session_number = -1
        self.session_open = 0
        self.session_close = 0
        self.close_only = False
        self.gap_to = 0
        self.panel: BarPanel | None = None
        self.used: dict[int, int] = {}
        self.corrected: list[tuple[int, int, int]] = []
        self._starts = BarStarts(n_symbols)

    def note(self, panel: BarPanel) -> None:
        """Fold a panel."""
        self.date = panel.session
        self.close_only = panel.close_only
        if self._keep_panel:
            self.panel = panel
        if self.used:
            self.used = {}
        self._starts.note(None if panel.dense else panel.ids, panel.start_ts)
        if panel.dense:
            # Panels are read-only and never change, so a dense one's closes need no copy.
            self._last_fx = panel.close_fx
            self._owned = False
            return
        if not self._owned:
            self._last_fx = self._last_fx.copy()
            self._owned = True
        self._last_fx[panel.ids] = panel.close_fx

    def correct(self, panel: BarPanel) -> BarPanel | None:
        """Fold a late correction; return what of it is of newest bars, None where nothing is."""
        starts = self._starts.of(panel.ids)
        known, newest = starts == panel.start_ts, starts <= panel.start_ts
        old = np.where(known, self._last_fx[panel.ids], 0)
        self.corrected = list(zip(panel.ids.tolist(), old.tolist(), panel.close_fx.tolist(), strict=True))
        if not newest.any():
            return None
        ids, close_fx = panel.ids[newest], panel.close_fx[newest]
        if not self._owned:
            self._last_fx = self._last_fx.copy()
            self._owned = True
        self._last_fx[ids] = close_fx
        self._starts.note(ids, panel.start_ts)
        return msgspec.structs.replace(panel, ids=ids, dense=False, close_fx=close_fx)

    def starts_of(self, ids: I32) -> I64:
        """Return ``[K]`` when the newest bars of some symbols began, nanoseconds UTC, -1 where none is known."""
        return self._starts.of(ids)

    def last(self, symbol: int) -> int:
        """Return the last close in units of 1e-8, 0 where none was seen."""
        px: int = self._last_fx.item(symbol)
        return px

    def set_last(self, symbol: int, px: int) -> None:
        """Say the last price in other units."""
        if not self._owned:
            self._last_fx = self._last_fx.copy()
            self._owned = True
        self._last_fx[symbol] = px

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends; one that had no price leaves the other's as it is."""
        if self.last(symbol):
            self.set_last(new, self.last(symbol))
            self.set_last(symbol, 0)

    def take_last(self, prices: Iterable[tuple[int, int]]) -> None:
        """Fold (symbol, last price) of a session's ticks."""
        if not self._owned:
            self._last_fx = self._last_fx.copy()
            self._owned = True
        for symbol, px in prices:
            self._last_fx[symbol] = px

    def take_volume(self, symbol: int, qty: int) -> None:
        """Note a fill against the present panel."""
        self.used[symbol] = self.used.get(symbol, 0) + qty

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        panel = None if self.panel is None else pack_panel(self.panel)
        used = list(self.used.items())
        times = [self.date, self.session_number, self.session_close, self.gap_to, self.session_open, self.close_only]
        return [self._last_fx.tobytes(), times, panel, used, self._starts.snapshot()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._last_fx = np.frombuffer(state[0], dtype=np.int64)
        self._owned = False
        self.date, self.session_number, self.session_close, self.gap_to = state[1][:4]
        if len(state[1]) > 4:
            self.session_open, self.close_only = state[1][4:]
        self.panel = None if state[2] is None else unpack_panel(state[2])
        self.used = dict(state[3])
        if len(state) > 4:
            self._starts.restore(state[4])
