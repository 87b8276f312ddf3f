"""Sums over what a portfolio holds and what works for it: gross, net long, net short, by sector, at the last prices.

They are of the worst case: a symbol stands in ``gross`` with the larger of what it is if all buys fill and if all sales
do; in ``up`` with the first, in ``down`` with the second. Reduce-only orders make nothing larger and are not in them.
The sums are kept: what an order or a price changes is added and taken away. Prices times shares are exact, in units of
1e-16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.risk.prices import Prices

if TYPE_CHECKING:
    from actors.risk.holdings import Book, Holding


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
        item = prices.closes.item
        if self.version < 0:
            self.sectors = [0] * n_sectors
        if touched:
            self.stamp += 1
            for holding in touched:
                self._place(holding)
                self._replace(holding, item(holding.symbol), sector_of)
            touched.clear()
        if self.version != prices.version:
            self.version = prices.version
            self.stamp += 1
            for symbol, holding in self.active.items():
                px = item(symbol)
                if px != holding.px:
                    self._replace(holding, px, sector_of)

    def _place(self, holding: Holding) -> None:
        holding.touched = False
        if holding.qty or holding.buys or holding.sells:
            if holding.symbol not in self.active:
                self.active[holding.symbol] = holding
                self.names += 1
        elif self.active.pop(holding.symbol, None) is not None:
            self.names += 1

    def _replace(self, holding: Holding, px: int, sector_of: Sequence[int]) -> None:
        gross, up, down = _worst(holding, px)
        self.gross += gross - holding.gross
        self.up += up - holding.up
        self.down += down - holding.down
        if sector_of:
            self.sectors[sector_of[holding.symbol]] += gross - holding.gross
        holding.gross, holding.up, holding.down = gross, up, down
        holding.px = px
        if px <= 0 and holding.symbol in self.active:
            self.unpriced[holding.symbol] = None
        elif self.unpriced:
            self.unpriced.pop(holding.symbol, None)


def _worst(holding: Holding, px: int) -> tuple[int, int, int]:
    """Return gross, up and down of a holding."""
    if px <= 0:
        return 0, 0, 0
    up = (holding.qty + holding.buys) * px
    down = (holding.qty - holding.sells) * px
    return max(up, -down), up, down
