"""Cutting positions: a part of each is closed by reduce-only market orders, which pass while trading only reduces.

What is cut is rounded up to whole lots, so that a cut always cuts, and what stays is whole lots. Market orders that
work and close the position count as cut already: asked for again while they work, nothing is sent twice.
"""

from __future__ import annotations

from typing import Final

from actors.messages.orders import BUY, SELL, SubmitOrder, TimeInForce
from actors.messages.portfolio import CutPositions
from actors.portfolio.closing import ClosingDesk
from actors.portfolio.state import PortfolioState
from actors.values.fixed import SCALE
from daemon.kernel.actor import Context, decides
from daemon.kernel.ids import client_order_id

DELEVERAGE: Final = "deleverage"
"""Reason of the orders, and whose they are in their ids."""


def to_cut(pf: PortfolioState, fraction: int) -> list[tuple[int, int]]:
    """Return (symbol, signed quantity) of what has to be sold (positive) or bought back to cut every position.

    Args:
        pf: the portfolio.
        fraction: the part to close, units of 1e-8; above 1 is all.
    """
    lot = pf.spec.lot_size
    closing: dict[tuple[int, int], int] = {}
    for working in pf.entries.values():
        if working.market:
            key = working.symbol, working.side
            closing[key] = closing.get(key, 0) + working.leaves
    found = []
    for symbol in pf.held():
        held = pf.qty(symbol)
        size, sign = abs(held), 1 if held > 0 else -1
        whole = min(size, -(-size * fraction // (SCALE * lot)) * lot)
        left = whole - closing.get((symbol, -sign), 0)
        if left > 0:
            found.append((symbol, sign * left))
    return found


class CuttingDesk(ClosingDesk):
    """The portfolio actor's part in deleveraging, over the closing half; the actor adds everything else."""

    @decides(CutPositions)
    def cut_positions(self, command: CutPositions, ctx: Context) -> None:
        """Send reduce-only market orders for a part of everything held.

        Raises:
            OperatorError: there is no such portfolio.
        """
        if command.fraction <= 0:
            return
        portfolios = (self.portfolio(command.portfolio),) if command.portfolio else self._portfolios
        for pf in portfolios:
            for symbol, qty in to_cut(pf, command.fraction):
                owner, ticker = self._owner(pf, DELEVERAGE), self._universe.symbols[symbol]
                ctx.send(
                    SubmitOrder(
                        client_order_id=client_order_id(owner, ticker, ctx.now),
                        portfolio=pf.name,
                        symbol=symbol,
                        side=SELL if qty > 0 else BUY,
                        qty=abs(qty),
                        tif=TimeInForce.GTC,  # what is asked for at a close fills at the next open
                        reason=DELEVERAGE,
                        reduce_only=True,
                    )
                )
