"""A broker that is fed ticks: short ways to say quotes and prints, in milliseconds since the session's open."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.broker.params import BrokerParams
from actors.messages.market import QuotePanel, TradePanel
from actors.messages.orders import OrderType, RouteOrder
from daemon.kernel.message import Event
from tests.actors.broker.desk import DAY, FREE, Desk, fx

MS = 1_000_000


class Tape(Desk):
    """A desk whose first session is open."""

    def __init__(self, params: BrokerParams = FREE, **options: Any) -> None:
        """Open the session of day 1."""
        super().__init__(params, daily=False, **options)
        self.day = 1
        self.open(1)

    def at(self, ms: float) -> int:
        """Return the stamp of a time of the day under way."""
        return self.day * DAY + round(ms * MS)

    def quote(
        self, ms: float, bid: float, bid_size: float, ask: float, ask_size: float, symbol: int = 0
    ) -> list[Event]:
        """Feed a quote of one symbol; NaN where a side or size is not known."""
        return self.quotes(ms, {symbol: (bid, bid_size, ask, ask_size)})

    def quotes(self, ms: float, rows: dict[int, tuple[float, float, float, float]]) -> list[Event]:
        """Feed quotes of several symbols at one instant."""
        table = np.array([rows[symbol] for symbol in sorted(rows)], dtype=np.float64)
        ids = np.array(sorted(rows), dtype=np.int32)
        columns = [np.ascontiguousarray(table[:, k]) for k in range(4)]
        return self.put(QuotePanel(self.at(ms), ids, *columns), self.at(ms))

    def trade(self, ms: float, *prints: tuple[float, float], symbol: int = 0) -> list[Event]:
        """Feed the prints (price, size) of one symbol at one instant."""
        return self.prints(ms, [(symbol, *one) for one in prints])

    def prints(self, ms: float, rows: list[tuple[int, float, float]]) -> list[Event]:
        """Feed prints (symbol, price, size) of one instant, in order."""
        ids = np.array([row[0] for row in rows], dtype=np.int32)
        price = np.array([row[1] for row in rows], dtype=np.float64)
        size = np.array([row[2] for row in rows], dtype=np.float64)
        return self.put(TradePanel(self.at(ms), ids, price, size), self.at(ms))

    def send(self, ms: float, side: int, qty: float, kind: str = "market", **terms: Any) -> list[Event]:
        """Route an order at a time; prices as decimals."""
        for name in ("limit_px", "stop_px"):
            if terms.get(name) is not None:
                terms[name] = fx(terms[name])
        order = self.order(side, qty, "market", **{"type": OrderType(kind), **terms})
        return self.put(RouteOrder(order, 0), self.at(ms))

    def leaves(self, client: str = "c1") -> float | None:
        """Return what an order has open, None where it works no more."""
        order = self.broker._resting.orders.get(client)
        return None if order is None else order.leaves / 1e8

    def queue(self, client: str = "c1") -> float | None:
        """Return what is ahead of an order."""
        queue = self.broker._resting.orders[client].queue
        return None if queue is None else queue / 1e8
