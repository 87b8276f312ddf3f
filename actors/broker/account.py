"""A portfolio's account as the broker sees it: cash, positions and their lots, and what of the cash has not settled.

Cash and positions follow the broker's own fills at once. Lots follow the portfolio's bookings of them, a moment later
in the same frame; whoever matches another bar finds both in step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.broker.lots import Lots, OpenLot, close_lots, lot_left
from actors.messages.portfolio import PositionAdjusted


class Account:
    """Cash in units of 1e-8, positions by symbol id (no zeros), lots by symbol id and unsettled sale proceeds."""

    __slots__ = ("cash", "lots", "positions", "unsettled", "unsettled_total")

    def __init__(self) -> None:
        self.cash = 0
        self.positions: dict[int, int] = {}
        self.lots: dict[int, Lots] = {}
        self.unsettled: list[tuple[int, int]] = []
        """(number of the session in which it settles, amount), in order of trading."""
        self.unsettled_total = 0

    def trade(self, symbol: int, qty: int, cash: int) -> None:
        """Book a fill: ``qty`` signed, ``cash`` what came in (negative: went out), fees included."""
        self.cash += cash
        held = self.positions.get(symbol, 0) + qty
        if held:
            self.positions[symbol] = held
        else:
            self.positions.pop(symbol, None)

    def lot_left(self, symbol: int, lot_id: str, side: int) -> int:
        """Return how much of a lot an order of ``side`` can close, 0 where the lot is gone or of that side itself."""
        lots = self.lots.get(symbol)
        return 0 if lots is None else lot_left(lots, lot_id, side)

    def booked(self, symbol: int, opened: tuple[str, int] | None, closed: Iterable[tuple[str, int]]) -> None:
        """Take over what a booking did to the lots: ``(lot_id, quantity)``, signed where opened."""
        lots = self.lots.get(symbol)
        if lots is None:
            lots = self.lots[symbol] = {}
        close_lots(lots, closed)
        if opened is not None:
            lots[opened[0]] = OpenLot(*opened)
        elif not lots:
            del self.lots[symbol]

    def adjusted(self, event: PositionAdjusted) -> None:
        """Take over what a corporate action left of a position, under the symbol that it has from now on."""
        self.cash += event.paid
        self.positions.pop(event.symbol, None)
        self.lots.pop(event.symbol, None)
        if event.qty:
            self.positions[event.new_symbol] = event.qty
        if event.lots:
            self.lots[event.new_symbol] = {lot_id: OpenLot(lot_id, qty) for lot_id, qty, *_ in event.lots}

    def hold_back(self, session: int, amount: int) -> None:
        """Keep sale proceeds from being spent until ``session``."""
        self.unsettled.append((session, amount))
        self.unsettled_total += amount

    def settle(self, session: int) -> None:
        """Free what has settled by ``session``."""
        if self.unsettled:
            self.unsettled = [entry for entry in self.unsettled if entry[0] > session]
            self.unsettled_total = sum(amount for _, amount in self.unsettled)

    def to_row(self) -> list[Any]:
        """Return plain values for a snapshot."""
        lots = [[symbol, [[lot.lot_id, lot.qty] for lot in lots.values()]] for symbol, lots in self.lots.items()]
        return [self.cash, list(self.positions.items()), self.unsettled, lots]

    @classmethod
    def from_row(cls, row: list[Any]) -> Account:
        """Build from what :meth:`to_row` gave."""
        self = cls()
        self.cash = row[0]
        self.positions = {symbol: qty for symbol, qty in row[1]}  # noqa: C416 - pairs came back as lists
        self.unsettled = [(session, amount) for session, amount in row[2]]
        self.unsettled_total = sum(amount for _, amount in self.unsettled)
        self.lots = {symbol: {lot_id: OpenLot(lot_id, qty) for lot_id, qty in lots} for symbol, lots in row[3]}
        return self
