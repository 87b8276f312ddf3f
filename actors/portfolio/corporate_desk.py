"""The portfolio's part in corporate actions: what is held is adjusted, dividends accrue and are paid, prices follow.

An action takes effect before the open of its ex-date, on what was held at the close before. Its last price is then the
old one in new terms (divided by a split's ratio, less a dividend, under the new name), so that equity at last prices is
the same before and after. Prices and everything measured by them are market data and are folded when the action is
observed; positions, cash and dividends are facts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.messages.market import CorporateAction
from actors.messages.portfolio import DividendAccrued, DividendPaid, PositionAdjusted
from actors.portfolio import corporate
from actors.portfolio.corporate import DELIST, DIVIDEND, RENAME, SPLIT, Adjusted
from actors.portfolio.excursions import Excursions
from actors.portfolio.exits import adjust_exits
from actors.portfolio.financing import FinancingDesk
from actors.portfolio.ledger import payment_postings
from actors.portfolio.marks import Marks
from actors.portfolio.positions import Lot, Position
from actors.portfolio.state import PortfolioState
from actors.values.fixed import SCALE
from daemon.kernel.actor import Context, decides, evolves, observes


class CorporateDesk(FinancingDesk):
    """The portfolio actor's corporate actions, over its financing; the actor adds everything else."""

    _marks: Marks
    _excursions: Excursions
    _tradable: npt.NDArray[np.bool_]

    # -- market state ----------------------------------------------------------------------------------------------

    @observes(CorporateAction)
    def reprice(self, action: CorporateAction) -> None:
        """Say the last price, and all that is measured by prices, in the units that hold from now on."""
        symbol = action.symbol
        lots = [lot for pf in self._portfolios for lot in pf.lots(symbol)]
        if action.kind == SPLIT:
            self._excursions.gather(symbol, lots)
            self._marks.split(symbol, action.numerator, action.denominator)
            by = action.denominator / action.numerator
            for lot in lots:
                lot.high *= by
                lot.low *= by
            self._restart(symbol, lots)
        elif action.kind == DIVIDEND:
            self._marks.pay(symbol, action.value)
        elif action.kind == RENAME and action.renamed_to is not None:
            self._move(symbol, action.renamed_to, lots)
        elif action.kind == DELIST:
            self._excursions.gather(symbol, lots)
            self._tradable[symbol] = False
            for pf in self._portfolios:
                pf.fold_stopped(symbol)

    def _move(self, symbol: int, new: int, lots: list[Lot]) -> None:
        there = [lot for pf in self._portfolios for lot in pf.lots(new)]
        self._excursions.gather(symbol, lots)
        self._excursions.gather(new, there)
        self._marks.move(symbol, new)
        self._restart(new, [*lots, *there])
        self._tradable[symbol] = False
        self._tradable[new] = self._universe.is_tradable(new)
        for pf in self._portfolios:
            pf.fold_renamed(symbol, new)

    def _restart(self, symbol: int, lots: list[Lot]) -> None:
        if lots:
            self._excursions.restart(symbol, self._marks.px.item(symbol) / SCALE)

    # -- positions -------------------------------------------------------------------------------------------------

    @decides(CorporateAction)
    def act(self, action: CorporateAction, ctx: Context) -> None:
        """Adjust what is held, of every portfolio in order."""
        for pf in self._portfolios:
            position = pf.positions.get(action.symbol)
            if position is None or not position.qty:
                continue
            if action.kind == DIVIDEND:
                pay_date = action.pay_date or action.ex_date
                accrued = corporate.accrue(pf.name, position, action.value, action.ex_date, pay_date)
                if accrued.amount:
                    ctx.emit(accrued)
                continue
            adjusted = self._adjusted(pf, position, action, ctx.now)
            if adjusted is not None:
                self._state(pf, adjusted, ctx)

    def _adjusted(self, pf: PortfolioState, position: Position, action: CorporateAction, now: int) -> Adjusted | None:
        px = self._marks.px.item(position.symbol)
        ranges = self._range
        if action.kind == SPLIT:
            ratio = action.numerator, action.denominator
            return corporate.split(pf.name, position, pf.cash, ratio, pf.spec.lot_size, px, ranges, now)
        if action.kind == DELIST:
            paid = action.value if action.value >= 0 else px
            return corporate.pay_out(pf.name, position, pf.cash, paid, ranges, now)
        if action.kind == RENAME and action.renamed_to is not None:
            there = pf.position(action.renamed_to)
            if there.qty * position.qty < 0:
                # Long one and short the other: what is left of both cannot be one position of lots of one sign.
                last = self._marks.px.item(action.renamed_to)
                return corporate.pay_out(pf.name, position, pf.cash, last, ranges, now)
            return Adjusted(corporate.rename(pf.name, position, there, pf.cash))
        return None

    def _range(self, lot: Lot, exit_px: float) -> tuple[float, float]:
        """Return a lot's extremes; the running ones were handed to it when the action was observed."""
        return min(lot.low, exit_px), max(lot.high, exit_px)

    @staticmethod
    def _state(pf: PortfolioState, adjusted: Adjusted, ctx: Context) -> None:
        event = adjusted.position
        ctx.emit(event)
        for trade in adjusted.trades:
            ctx.emit(trade)
        left = {lot_id: abs(qty) for lot_id, qty, *_ in event.lots}
        for lot_id, _ in event.closed:
            working = pf.exits.get(lot_id)
            if working:
                for command in adjust_exits(working.values(), left.get(lot_id, 0)):
                    ctx.send(command)

    @evolves(PositionAdjusted)
    def fold_adjusted(self, event: PositionAdjusted) -> None:
        """Take over the position and its lots."""
        self._states[event.portfolio].fold_adjusted(event)

    # -- dividends -------------------------------------------------------------------------------------------------

    @staticmethod
    def _pay_dividends(pf: PortfolioState, cash: int, session: int, ctx: Context) -> None:
        """Pay a portfolio's dividends that are due by the opening of a session, on top of its ``cash``."""
        for due in pf.dividends.payable(session):
            cash += due.amount
            ctx.emit(DividendPaid(pf.name, due.symbol, due.amount, due.ex_date, cash, payment_postings(due.amount)))

    @evolves(DividendAccrued)
    def fold_accrued(self, event: DividendAccrued) -> None:
        """A dividend is due."""
        self._states[event.portfolio].fold_accrued(event)

    @evolves(DividendPaid)
    def fold_paid(self, event: DividendPaid) -> None:
        """A dividend became cash."""
        self._states[event.portfolio].fold_paid(event)
