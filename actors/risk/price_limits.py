"""At which prices an order may ask to trade: the collar, the collar over a period, and the quotes.

*Collar.* A limit or stop may lie at most ``price_collar`` from the reference. An exit's limit may lie as far on the
patient side as its owner likes, its stop anywhere: only a price that gives money away is stopped.

*Collar over a period.* The first fill in a symbol begins a period of ``collar_period_ns``; while it lasts, the
reference may not be further than ``price_collar`` from what it was then, or entries in the symbol end until it is over.
The next fill begins the next one. So a price that walks in small steps, each inside the collar, is stopped as one leap.

*Quotes.* Where the newest quote of a symbol has both sides, is not crossed and is as fresh as a last price has to be,
an entry's limit may not lie more than ``nbbo_tolerance`` beyond the opposite touch, and an entry at market needs a
spread of no more than that share of its middle. Any other quote counts as none.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.messages.market import BarPanel, QuotePanel, SessionOpened
from actors.messages.orders import BUY, OrderType, SubmitOrder, TimeInForce
from actors.risk.form import Denial, seconds
from actors.risk.params import RiskLimits
from actors.values.fixed import PRICE_MAX, SCALE, fmt, to_fixed

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

_AUCTIONS: Final = (TimeInForce.OPG, TimeInForce.CLS)


class _BarQuotes(NamedTuple):
    """Quotes at the end of the bars of one instant; columns by ``ids``, NaN where unknown."""

    ts: int
    length: int
    ids: I32
    bids: F64
    asks: F64

    def of(self, symbol: int) -> tuple[float, float]:
        """Return bid and ask of a symbol, NaN for what there is not."""
        row = int(np.searchsorted(self.ids, symbol))
        if row >= self.ids.size or self.ids.item(row) != symbol:
            return math.nan, math.nan
        return self.bids.item(row), self.asks.item(row)

    def without(self, symbol: int) -> _BarQuotes:
        """Return the quotes of the others."""
        others = self.ids != symbol
        return self._replace(ids=self.ids[others], bids=self.bids[others], asks=self.asks[others])

    def packed(self) -> list[Any]:
        """Return plain values."""
        return [self.ts, self.length, self.ids.tobytes(), self.bids.tobytes(), self.asks.tobytes()]

    @classmethod
    def unpacked(cls, state: list[Any]) -> _BarQuotes:
        """Take over what :meth:`packed` gave."""
        ts, length, ids, bids, asks = state
        columns = np.frombuffer(bids, dtype=np.float64), np.frombuffer(asks, dtype=np.float64)
        return cls(ts, length, np.frombuffer(ids, dtype=np.int32), *columns)


class Quotes:
    """The newest quote of each symbol; a fold of the tape.

    Attributes:
        any: whether there has been a quote.
    """

    __slots__ = ("_bars", "_open_ts", "_stale_ns", "_ticks", "any")

    def __init__(self) -> None:
        """Begin with none."""
        self.any = False
        self._ticks: dict[int, tuple[float, float, int]] = {}
        """Symbol -> bid, ask, stamp; NaN or 0 for a side that was not there."""
        self._bars: _BarQuotes | None = None
        """Those of the newest bars that have any."""
        self._open_ts = 0
        self._stale_ns = 0

    def adopt(self, limits: RiskLimits) -> None:
        """Take quotes for fresh by these limits from now on."""
        self._stale_ns = limits.stale_ns

    def fold_quotes(self, panel: QuotePanel) -> None:
        """Keep the newest of each symbol."""
        self.any = True
        ids, ts = panel.ids, panel.ts
        if ids.size == 1:
            self._ticks[ids.item(0)] = panel.bid_px.item(0), panel.ask_px.item(0), ts
            return
        rows = zip(ids.tolist(), panel.bid_px.tolist(), panel.ask_px.tolist(), strict=True)
        self._ticks.update((symbol, (bid, ask, ts)) for symbol, bid, ask in rows)

    def fold_bars(self, panel: BarPanel) -> None:
        """Keep what the newest bars say of the quotes at their end; of a symbol without a bar they say nothing."""
        bids, asks = panel.bid_close, panel.ask_close
        if bids is None or asks is None or panel.revision:
            return
        self.any = True
        self._bars = _BarQuotes(panel.ts, panel.ts - panel.start_ts, panel.ids, bids, asks)

    def fold_opened(self, panel: SessionOpened) -> None:
        """A session opened: what was quoted before is history."""
        self._open_ts = panel.ts

    def of(self, symbol: int, now: int) -> tuple[int, int] | None:
        """Return bid and ask in units of 1e-8 at ``now``, None where no quote counts."""
        tick, bars = self._ticks.get(symbol), self._bars
        allowed = self._stale_ns
        if tick is not None and (bars is None or tick[2] >= bars.ts):
            bid, ask, ts = tick
        elif bars is not None:
            bid, ask = bars.of(symbol)
            ts = bars.ts
            allowed += bars.length  # what is known every minute cannot be fresher than a minute
        else:
            return None
        if ts < self._open_ts or (self._stale_ns and now - ts > allowed):
            return None
        if not 0 < bid <= ask <= PRICE_MAX:  # also true for NaN
            return None
        return round(bid * SCALE), round(ask * SCALE)

    def forget(self, symbol: int) -> None:
        """Drop a symbol's quotes: a corporate action has made them those of something else."""
        self._ticks.pop(symbol, None)
        if self._bars is not None:
            self._bars = self._bars.without(symbol)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        ticks = [[symbol, *quote] for symbol, quote in self._ticks.items()]
        return [self.any, self._open_ts, ticks, None if self._bars is None else self._bars.packed()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.any, self._open_ts, ticks, bars = state
        self._ticks = {symbol: (bid, ask, ts) for symbol, bid, ask, ts in ticks}
        self._bars = None if bars is None else _BarQuotes.unpacked(bars)


class Walks:
    """The first fill of each symbol's period; a fold of fills.

    Attributes:
        on: whether there is anything to be looked at.
        until: when the last period ends, nanoseconds UTC; behind it nothing is looked at.
    """

    __slots__ = ("_anchors", "_period", "on", "until")

    def __init__(self) -> None:
        """Begin with none."""
        self.on = False
        self.until = 0
        self._anchors: dict[int, tuple[int, int]] = {}
        self._period = 0

    def adopt(self, limits: RiskLimits) -> None:
        """Look at periods of this length from now on."""
        self._period = limits.collar_period_ns
        self.on = self._period > 0 and limits.price_collar > 0
        self._look()

    def _look(self) -> None:
        newest = max((ts for _, ts in self._anchors.values()), default=None)
        self.until = 0 if newest is None or not self.on else newest + self._period

    def fold(self, symbol: int, px: int, ts: int) -> None:
        """A fill, where the market's price was ``px``: the first of a period is what the period is measured from."""
        anchor = self._anchors.get(symbol)
        if px > 0 and (anchor is None or ts - anchor[1] >= self._period):
            self._anchors[symbol] = px, ts
            self.until = ts + self._period

    def forget(self, symbol: int) -> None:
        """Drop a symbol's period: a corporate action has changed what its prices mean."""
        self._anchors.pop(symbol, None)

    def fold_opened(self, now: int) -> None:
        """Forget periods that are over."""
        self._anchors = {s: (px, ts) for s, (px, ts) in self._anchors.items() if ts + self._period > now}

    def why(self, symbol: int, name: str, ref: int, now: int, collar: int) -> Denial | None:
        """Return why a symbol's price has walked too far; ``collar`` in units of 1e-8."""
        anchor = self._anchors.get(symbol)
        if anchor is None:
            return None
        px, ts = anchor
        left = ts + self._period - now
        distance = abs(ref - px)
        if left <= 0 or distance * SCALE <= collar * px:
            return None
        reason = (
            f"{name} has moved from {fmt(px)} at its first fill of the period to {fmt(ref)}, more than "
            f"{fmt(100 * collar)} %; enter again in {seconds(left)} s, once it is over"
        )
        return Denial("COLLAR_PERIOD", reason, fmt(distance * SCALE // px), fmt(collar))

    def snapshot(self) -> list[list[int]]:
        """Return plain values."""
        return [[symbol, px, ts] for symbol, (px, ts) in self._anchors.items()]

    def restore(self, state: list[list[int]]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._anchors = {symbol: (px, ts) for symbol, px, ts in state}
        self._look()


class PriceLimits:
    """The gate's checks of an order's prices, in their order."""

    __slots__ = ("_collar", "_symbols", "_tolerance", "quotes", "walks")

    def __init__(self, symbols: tuple[str, ...], limits: RiskLimits) -> None:
        """Build with no quote and no fill known."""
        self._symbols = symbols
        self.quotes = Quotes()
        self.walks = Walks()
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._collar = to_fixed(limits.price_collar)
        self._tolerance = to_fixed(limits.nbbo_tolerance)
        self.quotes.adopt(limits)
        self.walks.adopt(limits)

    @property
    def keeps_quotes(self) -> bool:
        """Whether quotes are compared with anything."""
        return self._tolerance > 0

    def collar(self, side: int, ref: int, limit_px: int | None, stop_px: int | None, *, entry: bool) -> Denial | None:
        """Return which price lies too far from the reference."""
        widest = self._collar * ref
        if not widest:
            return None
        for name, price in (("limit_px", limit_px), ("stop_px", stop_px)):
            if price is None or (not entry and (name == "stop_px" or (price - ref) * side < 0)):
                continue
            distance = abs(price - ref)
            if distance * SCALE > widest:
                limit = fmt(self._collar)
                away = f"more than {fmt(100 * self._collar)} % from the price of {fmt(ref)}"
                reason = f"{name} {fmt(price)} lies {away}; move it closer"
                return Denial("PRICE_COLLAR", reason, fmt(distance * SCALE // ref), limit)
        return None

    def walked(self, symbol: int, ref: int, now: int) -> Denial | None:
        """Return why entries in a symbol have ended for the period."""
        return self.walks.why(symbol, self._symbols[symbol], ref, now, self._collar)

    def quoted(  # noqa: PLR0911 - one return per check
        self, order: SubmitOrder, limit_px: int | None, now: int
    ) -> Denial | None:
        """Return why an entry does not fit the quote."""
        if not self._tolerance:
            return None
        if limit_px is None and (order.type is not OrderType.MARKET or order.tif in _AUCTIONS):
            return None
        quote = self.quotes.of(order.symbol, now)
        if quote is None:
            return None
        bid, ask = quote
        name, tolerance = self._symbols[order.symbol], self._tolerance
        if limit_px is None:
            spread = 2 * (ask - bid)
            if spread * SCALE > tolerance * (bid + ask):
                wide = fmt(spread * SCALE // (bid + ask))
                reason = (
                    f"{name} is quoted {fmt(bid)} to {fmt(ask)}, a spread of more than {fmt(100 * tolerance)} % of its "
                    "middle; use a limit, or wait for a narrower one"
                )
                return Denial("WIDE_SPREAD", reason, wide, fmt(tolerance))
            return None
        side, touch = order.side, ask if order.side == BUY else bid
        beyond = side * (limit_px - touch)
        if beyond > 0 and beyond * SCALE > tolerance * touch:
            what, where = ("ask", "above") if side == BUY else ("bid", "below")
            reason = (
                f"limit_px {fmt(limit_px)} lies more than {fmt(100 * tolerance)} % {where} the {what} of {name} "
                f"at {fmt(touch)}; move it closer"
            )
            return Denial("NBBO", reason, fmt(beyond * SCALE // touch), fmt(tolerance))
        return None

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self.quotes.snapshot(), self.walks.snapshot()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        quotes, walks = state
        self.quotes.restore(quotes)
        self.walks.restore(walks)
