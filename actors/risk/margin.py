"""Margin calls: what happens where equity is no longer enough to keep what a margin account holds.

Every mark compares equity with the maintenance requirement (:mod:`actors.values.margin`). Where it is short, the fact
is stated and reduce-only market orders restore the requirement at the last prices, the position that needs most first;
they go through the gate as anyone's and pass while trading is halted. What working market orders close already counts
as closed, and while such an order works nothing more is asked for. With ``broker.margin_call = "warn"``, and while
trading is killed, which closes nothing, the fact is stated once a session and no order follows.
"""

from __future__ import annotations

from typing import Any, Final

from actors.messages.orders import BUY, SELL, SubmitOrder, TimeInForce
from actors.messages.portfolio import EquityMarked
from actors.messages.risk import MarginCalled
from actors.risk.breakers import Guard
from actors.risk.exposure import Exposure
from actors.risk.holdings import Book
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.trading_state import KILLED
from actors.risk.watch_desk import WatchDesk
from actors.values.margin import maintenance_bound, margin_of, reduction
from actors.values.universe import Universe
from daemon.kernel.actor import Context, evolves
from daemon.kernel.ids import client_order_id

MARGIN_CALL: Final = "margin_call"
"""Reason of the orders, and whose they are in their ids."""
LIQUIDATE: Final = "liquidate"
WARN: Final = "warn"


class MarginDesk(WatchDesk):
    """The risk actor's watch over maintenance, over breakers and control; the actor adds the gate."""

    def __init__(
        self,
        universe: Universe,
        limits: RiskLimits,
        guards: dict[str, Guard],
        prices: Prices,
        exposure: Exposure,
        *,
        margin_call: str,
    ) -> None:
        """Begin with no call.

        Args:
            universe: names of the symbols.
            limits: in force.
            guards: breakers by portfolio.
            prices: last known prices, folded by the actor.
            exposure: positions and working orders, folded by the actor.
            margin_call: ``liquidate`` or ``warn``.
        """
        super().__init__(universe, limits, guards, prices, exposure)
        self._margin_call = margin_call
        self._calls: dict[str, list[int]] = {}
        """By portfolio: how many calls there were, and in which session the last one was."""

    def _watch_margin(self, event: EquityMarked, ctx: Context) -> None:
        """Call where the marked equity is below the maintenance requirement; most marks end at the bound."""
        book = self._exposure.books[event.portfolio]
        if event.equity >= maintenance_bound(event.gross, event.net, book.shares_short, len(book.holdings)):
            return
        requirement = self._exposure.margin(book).maintenance
        lacking = requirement - event.equity
        if lacking <= 0:
            return
        calls, session = self._calls.get(event.portfolio, (0, 0))
        if self._margin_call == WARN or self._keeper.state is KILLED:
            if session != self._prices.session:
                ctx.emit(MarginCalled(event.portfolio, event.equity, requirement, -lacking, WARN))
            return
        for working in self._exposure.working.values():
            if working.order.reason == MARGIN_CALL and working.order.portfolio == event.portfolio:
                return
        orders = self._reducing(event.portfolio, book, event.equity, calls + 1)
        if orders:
            ctx.emit(MarginCalled(event.portfolio, event.equity, requirement, -lacking, LIQUIDATE))
            for order in orders:
                ctx.send(order)

    def _reducing(self, portfolio: str, book: Book, equity: int, call: int) -> list[SubmitOrder]:
        """Return orders that restore the requirement, none where what works does so already."""
        left: dict[int, tuple[int, int]] = {}
        for symbol, holding in book.holdings.items():
            size = abs(holding.qty) - holding.exits
            if size > 0:
                left[symbol] = (size if holding.qty > 0 else -size, self._prices.last(symbol))
        lacking = margin_of(left.values()).maintenance - equity
        owner = MARGIN_CALL if len(self._exposure.books) == 1 else f"{portfolio}.{MARGIN_CALL}"
        return [
            SubmitOrder(
                client_order_id=client_order_id(owner, self._universe.symbols[cut.symbol], call),
                portfolio=portfolio,
                symbol=cut.symbol,
                side=SELL if left[cut.symbol][0] > 0 else BUY,
                qty=cut.qty,
                tif=TimeInForce.GTC,  # a mark at the close asks for the next session's first price
                reason=MARGIN_CALL,
                reduce_only=True,
            )
            for cut in reduction(left, lacking, self._limits.lot_size)
        ]

    @evolves(MarginCalled)
    def margin_called(self, event: MarginCalled) -> None:
        """Count the call, which tells the ids of its orders apart."""
        calls = self._calls.get(event.portfolio, (0, 0))[0]
        self._calls[event.portfolio] = [calls + 1, self._prices.session]

    def _margin_snapshot(self) -> list[Any]:
        return [[portfolio, *call] for portfolio, call in self._calls.items()]

    def _margin_restore(self, state: list[Any]) -> None:
        self._calls = {portfolio: [calls, session] for portfolio, calls, session in state}
