"""No order of ours may trade with another of ours, whoever's portfolio or strategy each of them belongs to.

What rests is known by symbol and side; the best price of each is all that an order is compared with. A limit order, or
a take-profit, rests from its acceptance, a stop-limit and a limit-if-touched from their trigger. An order that would
take meets what rests on the other side: with a limit at that limit, at market where the market is.

What is known to reduce a position at market or is marked reduce-only passes: an exit that is refused costs more than
one that meets our own bid. An order that waits for a trigger or an auction is not judged before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from actors.messages.orders import BUY, SELL, OrderType, SubmitOrder, TimeInForce
from actors.risk.form import Denial
from actors.risk.holdings import Working
from actors.values.fixed import fmt

_TAKES_AT_LIMIT: Final = (OrderType.LIMIT, OrderType.TAKE_PROFIT)
_AUCTIONS: Final = (TimeInForce.OPG, TimeInForce.CLS)


class SelfMatch:
    """What of ours rests, best prices first; a fold of order events.

    Attributes:
        on: whether anything is compared, and so kept.
        asks: by symbol the lowest limit of a resting sale, units of 1e-8.
        bids: by symbol the highest limit of a resting buy.
    """

    __slots__ = ("_levels", "_orders", "_triggered", "asks", "bids", "on")

    def __init__(self) -> None:
        """Begin with nothing resting."""
        self.on = False
        self.asks: dict[int, int] = {}
        self.bids: dict[int, int] = {}
        self._levels: dict[tuple[int, int], list[tuple[int, str]]] = {}
        self._orders: dict[str, tuple[int, int, int]] = {}
        self._triggered: dict[str, None] = {}

    def adopt(self, working: Iterable[Working], *, on: bool) -> None:
        """Compare from now on, or do not; what works already is taken in."""
        if on and not self.on:
            for w in working:
                self.fold_terms(w.order, w.limit_px)
        if not on:
            for kept in (self.asks, self.bids, self._levels, self._orders):
                kept.clear()
        self.on = on

    # -- folds -----------------------------------------------------------------------------------------------------

    def fold_terms(self, order: SubmitOrder, limit_px: int | None) -> None:
        """An order works with this limit from now on, None for none."""
        name = order.client_order_id
        if name in self._orders:
            self._remove(name)
        if limit_px is not None and (order.type in _TAKES_AT_LIMIT or name in self._triggered):
            # The best price comes first on either side.
            self._orders[name] = order.symbol, order.side, limit_px
            insort(self._levels.setdefault((order.symbol, order.side), []), (-order.side * limit_px, name))
            self._look(order.symbol, order.side)

    def fold_triggered(self, working: Working) -> None:
        """The condition of an order was met: its limit rests."""
        if working.limit_px is not None:
            self._triggered[working.order.client_order_id] = None
            if self.on:
                self.fold_terms(working.order, working.limit_px)

    def fold_ended(self, name: str) -> None:
        """An order is terminal."""
        if name in self._orders:
            self._remove(name)
        if self._triggered:
            self._triggered.pop(name, None)

    def _remove(self, name: str) -> None:
        symbol, side, px = self._orders.pop(name)
        level = self._levels[symbol, side]
        del level[bisect_left(level, (-side * px, name))]
        if not level:
            del self._levels[symbol, side]
        self._look(symbol, side)

    def _look(self, symbol: int, side: int) -> None:
        level = self._levels.get((symbol, side))
        best = self.bids if side == BUY else self.asks
        if level:
            best[symbol] = -side * level[0][0]
        else:
            best.pop(symbol, None)

    # -- the question ----------------------------------------------------------------------------------------------

    def why(self, order: SubmitOrder, limit_px: int | None, ref: int, *, entry: bool) -> Denial | None:
        """Return which order of ours this one would trade with.

        Args:
            order: whose symbol has something of ours on the other side.
            limit_px: its limit, the new one of a replace.
            ref: last price, 0 where unknown.
            entry: whether it adds risk.
        """
        if order.type in _TAKES_AT_LIMIT and limit_px is not None:
            px = limit_px
        elif order.type is OrderType.MARKET and ref and order.tif not in _AUCTIONS:
            px = ref
        else:
            return None
        side = order.side
        if not entry and (limit_px is None or order.reduce_only):
            return None
        for rank, name in self._levels.get((order.symbol, -side), ()):
            resting = side * rank
            if side * (px - resting) < 0:
                return None
            if name != order.client_order_id:
                what = "buy" if side == SELL else "sale"
                reason = (
                    f"the order would trade with our own {what} {name} at {fmt(resting)}; "
                    "cancel that one, or keep the price away from it"
                )
                return Denial("SELF_MATCH", reason, fmt(px), fmt(resting))
        return None

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[str]:
        """Return plain values; what works is known elsewhere."""
        return list(self._triggered)

    def restore(self, state: list[str], working: Iterable[Working], *, on: bool) -> None:
        """Take over what :meth:`snapshot` gave; ``working`` is what works."""
        self.adopt((), on=False)
        self._triggered = dict.fromkeys(state)
        self.adopt(working, on=on)
