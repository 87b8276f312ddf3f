"""Closing out: a portfolio's positions end by reduce-only market orders, and a flatten goes on until it is true.

A flatten lasts from ``FlattenStarted`` until trading leaves the halt. Whatever is held in the meantime and closed by no
working market order gets another closing order: when one ended without filling, when a fill comes in late, and with
every bar. A symbol gets :data:`TRIES` of them; where they do not help, ``FlattenEnded`` says what is left, and a
person has to look. Closing orders are cut to the position by the broker, so however many there are, none flips it.
"""

from __future__ import annotations

from typing import Final

from actors.messages.orders import (
    BUY,
    SELL,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderRejected,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import ClosePositions, FlattenEnded, FlattenStarted
from actors.messages.risk import TradingState, TradingStateChanged
from actors.portfolio.state import Flattening, PortfolioState
from actors.values import Universe
from daemon.kernel.actor import Context, CoreActor, decides, evolves
from daemon.kernel.errors import OperatorError
from daemon.kernel.ids import client_order_id

FLATTEN: Final = "flatten"
"""Reason of closing orders."""
TRIES: Final = 10


def closing_order(pf: PortfolioState, owner: str, ticker: str, symbol: int, uncovered: int, now: int) -> SubmitOrder:
    """Return the order that closes a signed quantity; ``owner`` stands in its id."""
    leg = str(pf.closings) if pf.closings else ""
    return SubmitOrder(
        client_order_id=client_order_id(owner, ticker, now, leg),
        portfolio=pf.name,
        symbol=symbol,
        side=SELL if uncovered > 0 else BUY,
        qty=abs(uncovered),
        tif=TimeInForce.GTC,  # a close asked for in mid-session has to outlive it
        reason=FLATTEN,
        reduce_only=True,
    )


def being_closed(pf: PortfolioState) -> dict[tuple[int, int], int]:
    """Return by (symbol, side) what is open of market orders, those that end a lot by time among them."""
    closing: dict[tuple[int, int], int] = {}
    for working in pf.working():
        if working.market:
            key = working.symbol, working.side
            closing[key] = closing.get(key, 0) + working.leaves
    return closing


def to_close(pf: PortfolioState, symbols: list[int]) -> list[tuple[int, int]]:
    """Return (symbol, signed quantity) of what is held and not being closed, less what was tried often enough."""
    tries = pf.flattening.tries if pf.flattening is not None else {}
    closing = being_closed(pf)
    found = []
    for symbol in symbols:
        held = pf.qty(symbol)
        side = SELL if held > 0 else BUY
        uncovered = abs(held) - closing.get((symbol, side), 0)
        if uncovered > 0 and tries.get(symbol, 0) < TRIES:
            found.append((symbol, -side * uncovered))
    return found


def flatten_end(pf: PortfolioState) -> FlattenEnded | None:
    """Return the end of a flatten, if it has come and was not told: all is closed, or all that is left is hopeless."""
    flattening = pf.flattening
    if flattening is None or flattening.ended:
        return None
    held = pf.held()
    if not held:
        return FlattenEnded(pf.name, flat=True)
    hopeless = all(flattening.tries.get(symbol, 0) >= TRIES for symbol in held)
    if hopeless and not any(w.market and w.symbol in held for w in pf.working()):
        return FlattenEnded(pf.name, flat=False, left=tuple(held))
    return None


class ClosingDesk(CoreActor):
    """The portfolio actor's closing half; the actor adds everything else."""

    def __init__(self, universe: Universe, states: dict[str, PortfolioState]) -> None:
        """Begin with nothing to close.

        Args:
            universe: of the run.
            states: the portfolios by name, folded by the actor.
        """
        self._universe = universe
        self._states = states
        self._portfolios = tuple(states.values())
        self._flattening: dict[str, None] = {}
        """Portfolios that are being flattened."""

    @property
    def universe(self) -> Universe:
        """The run's symbols."""
        return self._universe

    def portfolio(self, name: str) -> PortfolioState:
        """Return a portfolio's state, to be read only.

        Raises:
            OperatorError: there is no such portfolio.
        """
        found = self._states.get(name)
        if found is None:
            message = f"there is no portfolio {name!r}"
            names = ", ".join(self._states)
            raise OperatorError(message, code="UNKNOWN_PORTFOLIO", remedy=f"name one of: {names}")
        return found

    def _owner(self, pf: PortfolioState, strategy: str) -> str:
        """Return the strategy as it stands in order ids: two portfolios may follow the same one."""
        return strategy if len(self._portfolios) == 1 else f"{pf.name}.{strategy}"

    @decides(ClosePositions)
    def close_positions(self, command: ClosePositions, ctx: Context) -> None:
        """Send reduce-only market orders for what is held and not already being closed by such an order.

        Raises:
            OperatorError: there is no such portfolio.
        """
        portfolios = (self.portfolio(command.portfolio),) if command.portfolio else self._portfolios
        for pf in portfolios:
            if command.until_flat:
                # The orders follow from a command of their own, once the tries count from here.
                ctx.emit(FlattenStarted(pf.name, command.reason))
                ctx.send(ClosePositions(pf.name, command.reason))
                continue
            for symbol, uncovered in to_close(pf, pf.held() if command.symbol < 0 else [command.symbol]):
                owner, ticker = self._owner(pf, FLATTEN), self._universe.symbols[symbol]
                ctx.send(closing_order(pf, owner, ticker, symbol, uncovered, ctx.now))
            ended = flatten_end(pf)
            if ended is not None:
                ctx.emit(ended)

    @decides(OrderCanceled, OrderExpired, OrderRejected)
    def go_on_closing(self, event: OrderCanceled | OrderExpired | OrderRejected, ctx: Context) -> None:
        """Where a flatten is under way, what ended may have been about to close a position."""
        del event
        if self._flattening:
            self._close_more(ctx)

    def _close_more(self, ctx: Context) -> None:
        for name in self._flattening:
            pf = self._states[name]
            if pf.flattening is not None and (not pf.flattening.ended or pf.n_held):
                ctx.send(ClosePositions(name, pf.flattening.reason))

    @evolves(FlattenStarted)
    def fold_flatten(self, event: FlattenStarted) -> None:
        """Begin to close; begun again, every symbol has all its tries again."""
        self._states[event.portfolio].flattening = Flattening(event.reason)
        self._flattening[event.portfolio] = None

    @evolves(FlattenEnded)
    def fold_flattened(self, event: FlattenEnded) -> None:
        """It was told; what comes in late is closed all the same."""
        flattening = self._states[event.portfolio].flattening
        if flattening is not None:
            flattening.ended = True

    @evolves(TradingStateChanged)
    def fold_trading_state(self, event: TradingStateChanged) -> None:
        """Outside of a halt nothing is being flattened: a person resumed, or killed, which closes nothing."""
        if event.new is not TradingState.HALTED:
            for name in self._flattening:
                self._states[name].flattening = None
            self._flattening.clear()

    @evolves(OrderDenied)
    def fold_denied(self, event: OrderDenied) -> None:
        """A closing order that the gate refused was a try."""
        order = event.order
        if order.reason == FLATTEN and order.portfolio in self._states:
            self._states[order.portfolio].fold_closing(order)
