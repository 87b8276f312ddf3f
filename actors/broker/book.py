"""The top of the book by symbol, as far as quotes and prints of the session under way tell it: a fold of the tape.

What a fill took from a displayed size stays taken as long as the price stands: a quote that repeats the price, with
whatever size, offers its size less what was taken at that price. A new price is new liquidity.

Prices and sizes are kept as they came and become ``int`` in units of 1e-8 where somebody asks, because most ticks
concern nobody's order.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.market import QuotePanel, TradePanel
from actors.values.fixed import SCALE
from actors.values.time import MINUTE_NS

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

QUOTE: Final = "quote"
TRADE: Final = "trade"
"""A fill's ``px_source``."""


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Best bid and offer in units of 1e-8; 0 where a side is not known."""

    bid: int
    ask: int

    @property
    def whole(self) -> bool:
        """Whether both sides are known and not crossed: a quote that can be believed."""
        return 0 < self.bid <= self.ask

    @property
    def mid(self) -> int:
        """The middle, rounded down to 1e-8; 0 where a side is not known."""
        return (self.bid + self.ask) // 2 if self.bid and self.ask else 0

    def opposite(self, side: int) -> int:
        """Return the price at which an order of ``side`` takes liquidity: +1 the ask, -1 the bid."""
        return self.ask if side > 0 else self.bid

    def own(self, side: int) -> int:
        """Return the best price of those who want the same: +1 the bid, -1 the ask."""
        return self.bid if side > 0 else self.ask


NO_TOUCH: Final = Touch(0, 0)


class Book:
    """Quotes and prints of one session, N symbols; a session begins with an empty book."""

    __slots__ = (
        "_ask",
        "_ask_size",
        "_bid",
        "_bid_size",
        "_minute",
        "_print",
        "_taken",
        "_touches",
        "_traded",
        "active",
        "prints_known",
    )

    def __init__(self, n_symbols: int) -> None:
        self._bid: F64 = np.full(n_symbols, np.nan)
        self._ask: F64 = np.full(n_symbols, np.nan)
        self._bid_size: F64 = np.full(n_symbols, np.nan)
        self._ask_size: F64 = np.full(n_symbols, np.nan)
        self._print: F64 = np.full(n_symbols, np.nan)
        self._traded: F64 = np.full(n_symbols, np.nan)
        """What printed in the minute of the last print, shares."""
        self._minute: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._taken: dict[int, list[int]] = {}
        """By symbol what was taken at the present bid and at the present ask, units of 1e-8 shares."""
        self._touches: dict[int, Touch] = {}
        """Those that were asked for since their quotes came: every order of a symbol asks."""
        self.active = False
        """Whether anything ticked in this session."""
        self.prints_known = False
        """Whether the run has had prints at all."""

    # -- questions -------------------------------------------------------------------------------------------------

    def quoted(self, symbol: int) -> bool:
        """Tell whether the symbol was quoted in this session."""
        bid, ask = self._bid.item(symbol), self._ask.item(symbol)
        return bool(bid == bid or ask == ask)  # noqa: PLR0124 - NaN

    def printed(self, symbol: int) -> bool:
        """Tell whether the symbol had a print in this session."""
        px = self._print.item(symbol)
        return bool(px == px)  # noqa: PLR0124 - NaN

    def ticked(self, symbol: int) -> bool:
        """Tell whether the symbol had a quote or print in this session, so that bars of it only mark."""
        return self.printed(symbol) or self.quoted(symbol)

    def touch(self, symbol: int) -> Touch:
        """Return the best bid and offer."""
        found = self._touches.get(symbol)
        if found is None:
            found = self._touches[symbol] = Touch(_fixed(self._bid.item(symbol)), _fixed(self._ask.item(symbol)))
        return found

    def last(self, symbol: int) -> int:
        """Return the last print, without one the mid, 0 where neither is known in this session."""
        px = _fixed(self._print.item(symbol))
        return px or self.touch(symbol).mid

    def reference(self, symbol: int) -> int:
        """Return the market's price now: the mid of a quote that can be believed, else the last print, else 0."""
        touch = self.touch(symbol)
        return touch.mid if touch.whole else _fixed(self._print.item(symbol))

    def last_print(self, symbol: int) -> tuple[int, int]:
        """Return the price of the session's last print and what printed in its minute, (0, 0) where there is none."""
        return _fixed(self._print.item(symbol)), _fixed(self._traded.item(symbol))

    def offered(self, symbol: int, side: int) -> int | None:
        """Return what an order of ``side`` can take at the opposite touch, None where sizes are not known."""
        size = (self._ask_size if side > 0 else self._bid_size).item(symbol)
        if size != size:  # noqa: PLR0124 - NaN
            return None
        shown = round(size * SCALE)
        taken = self._taken.get(symbol)
        return shown if taken is None else max(0, shown - taken[side > 0])

    def displayed(self, symbol: int, side: int) -> int | None:
        """Return what is displayed at the best price of those of ``side``, None where sizes are not known."""
        size = (self._bid_size if side > 0 else self._ask_size).item(symbol)
        return None if size != size else round(size * SCALE)  # noqa: PLR0124 - NaN

    def lasts(self) -> list[tuple[int, int]]:
        """Return (symbol, last price) of every symbol that had a tick in this session."""
        known = ~(np.isnan(self._print) & np.isnan(self._bid) & np.isnan(self._ask))
        found = ((symbol, self.last(symbol)) for symbol in known.nonzero()[0].tolist())
        return [(symbol, px) for symbol, px in found if px]

    # -- folds -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin, or end, a session: nothing of the one before says anything about this one."""
        for column in (self._bid, self._ask, self._bid_size, self._ask_size, self._print, self._traded):
            column.fill(np.nan)
        self._minute.fill(0)
        self._taken.clear()
        self._touches.clear()
        self.active = False

    def note_quotes(self, panel: QuotePanel) -> None:
        """Fold quotes; one symbol, as nearly every tick is, goes without fancy indexing."""
        ids = panel.ids
        self.active = True
        if self._taken:
            self._renew(panel)
        if ids.size == 1:
            symbol = ids.item(0)
            self._touches.pop(symbol, None)
            self._bid[symbol] = panel.bid_px.item(0)
            self._bid_size[symbol] = panel.bid_size.item(0)
            self._ask[symbol] = panel.ask_px.item(0)
            self._ask_size[symbol] = panel.ask_size.item(0)
            return
        self._touches.clear()
        self._bid[ids] = panel.bid_px
        self._bid_size[ids] = panel.bid_size
        self._ask[ids] = panel.ask_px
        self._ask_size[ids] = panel.ask_size

    def _renew(self, panel: QuotePanel) -> None:
        """Forget what was taken at prices that do not stand any more."""
        ids = panel.ids
        for symbol in list(self._taken):
            row = int(ids.searchsorted(symbol))
            if row == ids.size or ids.item(row) != symbol:
                continue
            taken = self._taken[symbol]
            if panel.bid_px.item(row) != self._bid.item(symbol):
                taken[0] = 0
            if panel.ask_px.item(row) != self._ask.item(symbol):
                taken[1] = 0
            if taken == [0, 0]:
                del self._taken[symbol]

    def note_trades(self, panel: TradePanel) -> None:
        """Fold prints; of several of one symbol the last counts."""
        self.active = self.prints_known = True
        ids, minute = panel.ids, panel.ts // MINUTE_NS
        if ids.size == 1:
            symbol, size = ids.item(0), panel.size.item(0)
            self._print[symbol] = panel.price.item(0)
            if minute == self._minute.item(symbol):
                self._traded[symbol] += size
            else:
                self._minute[symbol] = minute
                self._traded[symbol] = size
            return
        # With repeated indices numpy keeps the last value, which is the last print.
        self._print[ids] = panel.price
        self._traded[ids[self._minute[ids] != minute]] = 0.0
        self._minute[ids] = minute
        np.add.at(self._traded, ids, panel.size)

    def take(self, symbol: int, side: int, qty: int) -> None:
        """Note that an order of ``side`` took displayed size."""
        self._taken.setdefault(symbol, [0, 0])[side > 0] += qty

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        columns = (self._bid, self._ask, self._bid_size, self._ask_size, self._print, self._traded)
        taken = [[symbol, *sides] for symbol, sides in self._taken.items()]
        minute = self._minute.tobytes()
        return [[column.tobytes() for column in columns], taken, self.active, self.prints_known, minute]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        columns = [np.frombuffer(raw, dtype=np.float64).copy() for raw in state[0]]
        self._bid, self._ask, self._bid_size, self._ask_size, self._print, self._traded = columns
        self._touches = {}
        self._taken = {symbol: [bid, ask] for symbol, bid, ask in state[1]}
        self.active, self.prints_known = state[2:4]
        self._minute = np.frombuffer(state[4], dtype=np.int64).copy()


def _fixed(value: float) -> int:
    """Return a price or size in units of 1e-8, 0 for NaN."""
    return round(value * SCALE) if value == value else 0  # noqa: PLR0124 - NaN
