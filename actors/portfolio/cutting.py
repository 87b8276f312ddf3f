"""Cutting positions: a part of each is closed by reduce-only market orders, which pass while trading only reduces.

What is cut is rounded up to whole lots, so that a cut always cuts, and what stays is whole lots. Market orders that
work and close the position count as cut already, whoever sent them (a margin call, a time stop): asked for again while
they work, nothing is sent twice.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.messages.orders import BUY, SELL, SubmitOrder, TimeInForce
from actors.messages.portfolio import CutPositions
from actors.portfolio.closing import ClosingDesk, being_closed
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
    closing = being_closed(pf)
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
        if not command.settled:
            # A margin call of the same mark was sent just before: its orders work once this comes round again.
            ctx.send(msgspec.structs.replace(command, settled=True))
            return
        portfolios = (self.portfolio(command.portfolio),) if command.portfolio else self._portfolios
        for pf in portfolios:
            closing = being_closed(pf)
            for symbol, qty in to_cut(pf, command.fraction):
                # What is being sold already tells two cuts of one instant apart.
                leg = closing.get((symbol, -1 if qty > 0 else 1), 0)
                owner, ticker = self._owner(pf, DELEVERAGE), self._universe.symbols[symbol]
                ctx.send(
                    SubmitOrder(
                        client_order_id=client_order_id(owner, ticker, ctx.now, str(leg) if leg else ""),
                        portfolio=pf.name,
                        symbol=symbol,
                        side=SELL if qty > 0 else BUY,
                        qty=abs(qty),
                        tif=TimeInForce.GTC,  # what is asked for at a close fills at the next open
                        reason=DELEVERAGE,
                        reduce_only=True,
                    )
                )
