"""Which working orders a tick may concern: who is at the market by now, and whose level lies within its prices."""

from __future__ import annotations

from collections.abc import Sequence

from actors.broker.ladder import NOTHING
from actors.broker.order_state import WorkingOrder
from actors.broker.request_desk import RequestDesk
from actors.messages.market import QuotePanel, TradePanel
from actors.values.fixed import SCALE


class TickReach(RequestDesk):
    """Finds orders for ticks."""

    def _concerned(self, panel: QuotePanel | TradePanel) -> list[WorkingOrder]:
        """Return the orders that a tick of some symbols may concern, sales first, older before younger."""
        resting, ts = self._resting, panel.ts
        if not resting.orders:
            return []
        if panel.ids.size == 1:
            symbol = panel.ids.item(0)
            if symbol not in resting.symbols:
                return []
            found = self._near(symbol, panel, (0,))
        else:
            rows: dict[int, list[int]] = {}
            for row, symbol in enumerate(panel.ids.tolist()):
                if symbol in resting.symbols:
                    rows.setdefault(symbol, []).append(row)
            found = [order for symbol, here in rows.items() for order in self._near(symbol, panel, here)]
        if ts >= self._in_flight.next_ts:
            found = self._with_due(found, panel)
        live = [order for order in found if self._is_live(order, ts)]
        status = self._status
        if not status.quiet:
            live = [order for order in live if status.open(order.symbol, ts)]
        live.sort(key=lambda order: (order.side, order.n))
        return live

    def _near(self, symbol: int, panel: QuotePanel | TradePanel, rows: Sequence[int]) -> list[WorkingOrder]:
        """Return those of a symbol's orders whose levels lie within a tick's prices and those of the book before it."""
        touch = self._book.touch(symbol)
        prices = [px for px in (touch.bid, touch.ask) if px]
        columns = (panel.price,) if isinstance(panel, TradePanel) else (panel.bid_px, panel.ask_px)
        for column in columns:
            for row in rows:
                px = column.item(row)
                if px == px:  # noqa: PLR0124 - NaN
                    prices.append(round(px * SCALE))
        return self._resting.near(symbol, min(prices, default=NOTHING), max(prices, default=0))

    def _with_due(self, found: list[WorkingOrder], panel: QuotePanel | TradePanel) -> list[WorkingOrder]:
        """Add the orders that get new terms with a tick: those may lie where the old ones did not."""
        here = frozenset(panel.ids.tolist())
        orders = {order.n: order for order in found}
        for request in self._in_flight.due(panel.ts):
            order = self._resting.orders.get(request.client_order_id)
            if order is not None and order.symbol in here:
                orders[order.n] = order
        return list(orders.values())

    def _is_live(self, order: WorkingOrder, ts: int) -> bool:
        """Tell whether an order, and its present terms, have reached the market by ``ts``."""
        if order.live_from > ts:
            return False
        latency = self._latency
        if latency.none or (order.terms is not None and order.terms.bracket_of):
            return True  # exits of a bracket are at the venue when they come to life
        return order.accepted_ts + latency.of_order(order) <= ts
