"""Guarding again: exits that a kill or a flatten swept away come back as soon as the gate may let them pass.

A kill cancels every order and a flatten does so before it closes. What they leave open, because the kill closes nothing
and a flatten may be given up, would be held without stop and target from then on. So with every later state in which
reduce-only orders pass (halted after an unlatch is the first) each open lot gets back what was taken from it, as orders
under ids of their own that name the one they replace. Nothing comes back while trading is killed or a flatten is on.

A cancel does not say who asked for it. While killed it can only be the kill's own; the cancels of a flatten are those
just before its ``FlattenStarted``, in the same words, with no bar in between. Any other was an operator's, and stands.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.messages.orders import OrderDenied
from actors.messages.portfolio import FlattenStarted
from actors.messages.risk import TradingState, TradingStateChanged
from actors.portfolio.cutting import CuttingDesk
from actors.portfolio.exits import exit_id, opening_exits
from actors.portfolio.positions import Lot
from actors.portfolio.state import EXIT_REASONS, PortfolioState, Working
from actors.values import Universe
from daemon.kernel.actor import Context, decides


class GuardDesk(CuttingDesk):
    """The portfolio actor's guarding half, over the closing one; the actor adds everything else."""

    def __init__(self, universe: Universe, states: dict[str, PortfolioState]) -> None:
        """Begin with every exit in its place.

        Args:
            universe: of the run.
            states: the portfolios by name, folded by the actor.
        """
        super().__init__(universe, states)
        self._killed = False
        self._why = ""
        """The words of the last exit's cancel."""
        self._canceled: list[tuple[str, int, str, str]] = []
        """Exits cancelled in these words since the last bar: portfolio, symbol, lot, reason."""

    @decides(TradingStateChanged)
    def guard_again(self, event: TradingStateChanged, ctx: Context) -> None:
        """Send what was swept from lots that are open still, where orders may pass and nothing is being closed."""
        del event  # the state may have changed once more since
        if self._killed:
            return
        for pf in self._portfolios:
            if pf.swept and pf.flattening is None:
                for lot in _lots(pf):
                    self._give_back(pf, lot, ctx)

    def _give_back(self, pf: PortfolioState, lot: Lot, ctx: Context) -> None:
        tries = pf.swept.missing(lot.lot_id)
        if not tries or lot.exempt or lot.strategy not in pf.spec.strategies:
            return
        owner, ticker = self._owner(pf, lot.strategy), self._universe.symbols[lot.symbol]
        terms = (lot.symbol, lot.lot_id, lot.qty, lot.px, lot.strategy, self._stop_again(pf, lot))
        for order in opening_exits(pf.spec, owner, ticker, *terms):
            again = tries.get(order.reason)
            if again is not None:
                new, old = (exit_id(owner, ticker, order.reason, lot.lot_id, n) for n in (again + 1, again))
                ctx.send(msgspec.structs.replace(order, client_order_id=new, parent_id=old))

    def _stop_again(self, pf: PortfolioState, lot: Lot) -> int:
        """Return where the stop of a lot comes back to; 0: to where it was when the lot was opened."""
        del pf, lot
        return 0

    # -- folds, from the actor's -----------------------------------------------------------------------------------

    def _fold_exit_canceled(self, pf: PortfolioState, working: Working, why: str) -> None:
        lot_id, symbol = working.exit_of, working.symbol
        if not _is_open(pf, symbol, lot_id):
            return
        if self._killed:
            pf.swept.fold_swept(lot_id, working.reason)
            return
        if why != self._why:
            self._canceled.clear()
            self._why = why
        self._canceled.append((pf.name, symbol, lot_id, working.reason))

    def _forget_canceled(self) -> None:
        if self._canceled:
            self._canceled.clear()

    def fold_flatten(self, event: FlattenStarted) -> None:
        """Begin to close; the cancels just before it were its own."""
        super().fold_flatten(event)
        pf = self._states[event.portfolio]
        others = []
        for name, symbol, lot_id, reason in self._canceled:
            if name != pf.name:
                others.append((name, symbol, lot_id, reason))
            elif self._why == event.reason and _is_open(pf, symbol, lot_id):
                pf.swept.fold_swept(lot_id, reason)
        self._canceled = others

    def fold_trading_state(self, event: TradingStateChanged) -> None:
        """Know whether trading is killed; outside of a halt nothing is being flattened."""
        super().fold_trading_state(event)
        self._killed = event.new is TradingState.KILLED

    def fold_denied(self, event: OrderDenied) -> None:
        """An exit that came while trading was killed is missing; one that was to come back is so still."""
        super().fold_denied(event)
        order = event.order
        pf = self._states.get(order.portfolio)
        if pf is None or order.reason not in EXIT_REASONS:
            return
        answered = pf.swept.fold_answer(order.lot_id, order.reason, works=False)
        if not answered and self._killed and _is_open(pf, order.symbol, order.lot_id):
            pf.swept.fold_swept(order.lot_id, order.reason)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _guard_snapshot(self) -> dict[str, Any]:
        canceled = [list(exit_) for exit_ in self._canceled]
        return {"killed": self._killed, "why": self._why if canceled else "", "canceled": canceled}

    def _guard_restore(self, state: dict[str, Any]) -> None:
        self._killed = state["killed"]
        self._why = state["why"]
        self._canceled = [(name, symbol, lot_id, reason) for name, symbol, lot_id, reason in state["canceled"]]


def _is_open(pf: PortfolioState, symbol: int, lot_id: str) -> bool:
    return lot_id in pf.position(symbol).lots


def _lots(pf: PortfolioState) -> list[Lot]:
    """Return the open lots something was swept from: by symbol, oldest first."""
    swept = dict.fromkeys(pf.swept)
    return [lot for symbol in pf.held() for lot in pf.lots(symbol) if lot.lot_id in swept]
