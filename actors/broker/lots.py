"""The lots of positions, as the portfolio booked them, and what the fills of an instant will do to them.

The portfolio books the fills of a bar one by one after all of them are known. An order that names a lot must not close
more of it than it has left at its own turn, so whoever matches a bar counts along, by the very rule of the booking
(:mod:`actors.values.lots`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from actors.values.lots import portions


class OpenLot(msgspec.Struct, gc=False):
    """What is left of one opening fill; ``qty`` in units of 1e-8, negative for short."""

    lot_id: str
    qty: int


Lots = dict[str, OpenLot]
"""A symbol's lots by id, oldest first."""


def lot_left(lots: Mapping[str, OpenLot], lot_id: str, side: int) -> int:
    """Return how much of a lot an order of ``side`` can close, 0 where the lot is gone or of that side itself."""
    lot = lots.get(lot_id)
    return 0 if lot is None else max(0, -side * lot.qty)


def close_lots(lots: Lots, closed: Iterable[tuple[str, int]]) -> None:
    """Take ``(lot_id, quantity without sign)`` off the lots; what is closed whole is gone."""
    for lot_id, qty in closed:
        lot = lots[lot_id]
        left = lot.qty - qty if lot.qty > 0 else lot.qty + qty
        if left:
            lot.qty = left
        else:
            del lots[lot_id]


class Stake:
    """One account's position in one symbol while the fills of an instant are found.

    The lots are looked into only by orders that name one, so they are copied and counted along from the first such
    order on; fills before it are remembered until then.
    """

    __slots__ = ("_booked", "_lots", "_trades", "held")

    def __init__(self, held: int, booked: Mapping[str, OpenLot] | None) -> None:
        """Start with the signed position and its lots before the instant; neither is changed."""
        self.held = held
        self._booked = booked
        self._lots: Lots | None = None
        self._trades: list[tuple[str, int, str]] = []

    def trade(self, exec_id: str, qty: int, named: str) -> None:
        """Count a fill of signed ``qty`` whose order named a lot, or none: ""."""
        self.held += qty
        self._trades.append((exec_id, qty, named))

    def left(self, lot_id: str, side: int) -> int:
        """Return how much of a lot an order of ``side`` can close now."""
        lots = self._lots
        if lots is None:
            booked = self._booked or {}
            if not self._trades:
                return lot_left(booked, lot_id, side)
            lots = self._lots = {key: OpenLot(key, lot.qty) for key, lot in booked.items()}
        if self._trades:
            held = self.held - sum(qty for _, qty, _ in self._trades)
            for exec_id, qty, named in self._trades:
                _trade(lots, held, exec_id, qty, named)
                held += qty
            self._trades.clear()
        return lot_left(lots, lot_id, side)


def _trade(lots: Lots, held: int, exec_id: str, qty: int, named: str) -> None:
    """Do to the lots of a position what the booking of a fill will do to them: close first, open with the rest."""
    if held * qty < 0:
        closing = min(abs(held), abs(qty))
        close_lots(lots, [(lot.lot_id, part) for lot, part in portions(lots.values(), closing, named)])
        qty += closing if qty < 0 else -closing
    if qty:
        lots[exec_id] = OpenLot(exec_id, qty)
