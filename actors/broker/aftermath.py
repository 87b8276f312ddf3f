"""What fills leave in the price: the permanent part of their impact, until the session ends.

The distinction of temporary and permanent impact is that of Almgren and Chriss, "Optimal Execution of Portfolio
Transactions", Journal of Risk 3(2), 2001. A share ``impact_permanent`` of what a fill pays for impact of its own pushes
the price of its symbol in its direction. Later fills of the same side pay that on top, as impact. The other side works
it off with its own impact but gains nothing by it: no fill is better than without our earlier ones, since recorded
prices know nothing of them.
"""

from __future__ import annotations

from typing import Any

from actors.broker.costs import CostModel


class Aftermath:
    """A fold of fills; ``pressures`` are signed, units of 1e-8, by symbol."""

    __slots__ = ("_costs", "pressures")

    def __init__(self, costs: CostModel, pressures: dict[int, int] | None = None) -> None:
        """Start with no pressure unless told."""
        self._costs = costs
        self.pressures: dict[int, int] = {} if pressures is None else pressures

    def against(self, symbol: int, side: int) -> int:
        """Return by how much earlier fills make a purchase (+1) or a sale (-1) worse."""
        return max(0, side * self.pressures.get(symbol, 0))

    def trade(self, symbol: int, side: int, qty: int, impact: int) -> None:
        """Fold a fill that paid so much money of impact; a maker's has none."""
        if impact > 0:
            stays = self._costs.stays(impact, qty, self.against(symbol, side))
            self.pressures[symbol] = self.pressures.get(symbol, 0) + side * stays

    def clear(self) -> None:
        """Fold the end of the session."""
        self.pressures.clear()

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [[symbol, str(px)] for symbol, px in self.pressures.items()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.pressures = {symbol: int(px) for symbol, px in state}
