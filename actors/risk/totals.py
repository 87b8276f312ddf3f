"""Sums over what a portfolio holds and what works for it: gross, net long, net short, by sector, at the last prices.

They are of the worst case: a symbol stands in ``gross`` with the larger of what it is if all buys fill and if all sales
do; in ``up`` with the first, in ``down`` with the second. Reduce-only orders make nothing larger and are not in them.
The sums are kept: what an order changes is added and taken away, and only another price, of whatever symbol, makes the
next question count everything that is held anew. Prices times shares are exact, in units of 1e-16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.risk.prices import Prices

if TYPE_CHECKING:
    from actors.risk.exposure import Book, Holding


class Totals:
    """The sums of one portfolio; a cache of its book, which :meth:`refresh` brings up to date.

    Attributes:
        gross, up, down: units of 1e-16.
        sectors: gross by number of the sector.
        active: what is in the sums, by symbol.
        names: grows whenever there are others in it.
        stamp: grows with every change of the sums.
        version: of the prices that the sums are at (:attr:`~actors.risk.prices.Prices.version`), -1 before any.
        unpriced: symbols held or being entered that have no price, which makes the sums unknown.
    """

    __slots__ = ("active", "down", "gross", "names", "sectors", "stamp", "unpriced", "up", "version")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.gross = 0
        self.up = 0
        self.down = 0
        self.sectors: list[int] = []
        self.active: dict[int, Holding] = {}
        self.names = 0
        self.stamp = 0
        self.unpriced: dict[int, None] = {}
        self.version = -1

    def refresh(self, book: Book, prices: Prices, sector_of: Sequence[int], n_sectors: int) -> None:
        """Bring the sums up to date.

        Args:
            book: whose sums these are; its touched holdings are looked at.
            prices: last known prices.
            sector_of: by symbol the number of its sector, () where none is known.
            n_sectors: how many there are.
        """
        touched = book.touched
        if self.version == prices.version:
            if touched:
                self.stamp += 1
                item = prices.closes.item
                for holding in touched:
                    self._place(holding)
                    self._replace(holding, item(holding.symbol), sector_of)
                touched.clear()
            return
        for holding in touched:
            self._place(holding)
            holding.gross = holding.up = holding.down = 0  # what is in the sums no more is not counted below
        touched.clear()
        self.stamp += 1
        self.version = prices.version
        self._recount(prices, sector_of, n_sectors)

    def _place(self, holding: Holding) -> None:
        holding.touched = False
        if holding.qty or holding.buys or holding.sells:
            if holding.symbol not in self.active:
                self.active[holding.symbol] = holding
                self.names += 1
        elif self.active.pop(holding.symbol, None) is not None:
            self.unpriced.pop(holding.symbol, None)
            self.names += 1

    def _replace(self, holding: Holding, px: int, sector_of: Sequence[int]) -> None:
        gross, up, down = _worst(holding, px)
        self.gross += gross - holding.gross
        self.up += up - holding.up
        self.down += down - holding.down
        if sector_of:
            self.sectors[sector_of[holding.symbol]] += gross - holding.gross
        holding.gross, holding.up, holding.down = gross, up, down
        if px <= 0 and holding.symbol in self.active:
            self.unpriced[holding.symbol] = None

    def _recount(self, prices: Prices, sector_of: Sequence[int], n_sectors: int) -> None:
        self.unpriced.clear()
        sectors = [0] * n_sectors
        item = prices.closes.item
        total = all_up = all_down = 0
        for symbol, holding in self.active.items():
            px = item(symbol)
            gross, up, down = _worst(holding, px)
            holding.gross, holding.up, holding.down = gross, up, down
            total += gross
            all_up += up
            all_down += down
            if sector_of:
                sectors[sector_of[symbol]] += gross
            if px <= 0:
                self.unpriced[symbol] = None
        self.gross, self.up, self.down, self.sectors = total, all_up, all_down, sectors


def _worst(holding: Holding, px: int) -> tuple[int, int, int]:
    """Return gross, up and down of a holding."""
    if px <= 0:
        return 0, 0, 0
    up = (holding.qty + holding.buys) * px
    down = (holding.qty - holding.sells) * px
    return max(up, -down), up, down
