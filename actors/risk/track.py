"""What a portfolio has done lately: returns of its last sessions, and how its orders of the day were filled.

Folds of events, read by the measures only; nothing decides on them. A day is everything since the last session's
close, so that orders decided behind a close belong to the session they trade in; between two sessions the one that has
ended is told.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec

from actors.messages.orders import Fill, OrderAccepted, OrderReplaced, OrderRestated
from actors.messages.portfolio import CashFlowed, SessionRolled
from actors.values.fixed import SCALE, mul_ratio

SESSIONS: Final = 30
"""Session returns kept: what a rolling Sharpe ratio is of."""
AUTOMATIC: Final = frozenset({"stop_loss", "take_profit"})
"""Orders that wait for a price that may never come: they say nothing of how well orders are filled."""


class Day(msgspec.Struct):
    """A portfolio's orders and fills of one day; values are products of price and quantity, in units of 1e-16.

    Attributes:
        ordered: value at the price known at acceptance of the orders accepted, automatic exits apart.
        filled: the part of it that was filled, at the same price.
        traded: value of all fills before costs.
        cost: spread, slippage and impact of all fills, units of 1e-8.
        orders: those behind ``ordered``.
    """

    ordered: int = 0
    filled: int = 0
    traded: int = 0
    cost: int = 0
    orders: int = 0

    @property
    def slippage(self) -> float | None:
        """Cost in the price over value; None without fills."""
        return self.cost * SCALE / self.traded if self.traded > 0 else None

    def texts(self) -> list[str]:
        """Return the fields as texts, for a snapshot: a product of price and quantity has no room in 64 bits."""
        return [str(getattr(self, name)) for name in self.__struct_fields__]

    @property
    def fill_rate(self) -> float | None:
        """Part of the ordered value that was filled; None without orders."""
        return self.filled / self.ordered if self.ordered > 0 else None


class Track:
    """One portfolio's record.

    Attributes:
        base: equity at the last close plus flows since, units of 1e-8; what the next return is against.
        returns: of the last sessions, oldest first, net of flows (a flow counts as there from the session's begin).
        today, before: the day that runs, and the one before.
    """

    __slots__ = ("base", "before", "returns", "today")

    def __init__(self) -> None:
        self.base = 0
        self.returns: deque[float] = deque(maxlen=SESSIONS)
        self.today = Day()
        self.before = Day()

    def fold_flow(self, event: CashFlowed) -> None:
        """Cash came or went: neither gain nor loss."""
        self.base += event.amount

    def fold_rolled(self, event: SessionRolled) -> None:
        """A session ended."""
        if self.base > 0:
            self.returns.append(event.equity / self.base - 1.0)
        else:
            self.returns.clear()  # from nothing there is no return, and a record with a hole is none
        self.base = event.equity


class Tracks:
    """The records of all portfolios, and the orders of the day they are made of."""

    __slots__ = ("_orders", "of")

    def __init__(self, portfolios: tuple[str, ...]) -> None:
        self.of = {name: Track() for name in portfolios}
        self._orders: dict[str, tuple[str, int, int]] = {}
        """Portfolio, price at acceptance and quantity of the orders accepted today, by client order id."""

    def fold_accepted(self, event: OrderAccepted) -> None:
        """An order works."""
        order, px = event.order, event.ref_px
        if px <= 0 or order.reason in AUTOMATIC:
            return
        self._orders[order.client_order_id] = (order.portfolio, px, order.qty)
        today = self.of[order.portfolio].today
        today.ordered += order.qty * px
        today.orders += 1

    def fold_replaced(self, event: OrderReplaced) -> None:
        """An order has another quantity."""
        found = self._orders.get(event.client_order_id)
        if found is not None and found[2] != event.qty:
            portfolio, px, qty = found
            self._orders[event.client_order_id] = (portfolio, px, event.qty)
            self.of[portfolio].today.ordered += (event.qty - qty) * px

    def fold_restated(self, event: OrderRestated) -> None:
        """An order is for other shares behind a split: the same value."""
        found = self._orders.get(event.client_order_id)
        if found is not None and event.qty > 0:
            portfolio, px, qty = found
            self._orders[event.client_order_id] = (portfolio, mul_ratio(px, qty, event.qty), event.qty)

    def fold_fill(self, event: Fill) -> None:
        """An order traded."""
        today = self.of[event.portfolio].today
        today.traded += event.last_qty * event.ref_px
        today.cost += event.spread + event.slippage + event.impact
        found = self._orders.get(event.client_order_id)
        if found is not None:
            today.filled += event.last_qty * found[1]

    def fold_closed(self) -> None:
        """A session ended: what comes now is of the next one."""
        self._orders.clear()
        for track in self.of.values():
            track.before, track.today = track.today, Day()

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        tracks = [
            [name, track.base, list(track.returns), track.today.texts(), track.before.texts()]
            for name, track in self.of.items()
        ]
        return [tracks, [[order_id, *facts] for order_id, facts in self._orders.items()]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        tracks, orders = state
        for name, base, returns, today, before in tracks:
            track = self.of[name]
            track.base = base
            track.returns = deque(returns, maxlen=SESSIONS)
            track.today, track.before = Day(*map(int, today)), Day(*map(int, before))
        self._orders = {order_id: (portfolio, px, qty) for order_id, portfolio, px, qty in orders}
