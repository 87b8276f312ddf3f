"""Corporate actions on what the broker keeps: working orders, accounts, and the prices and volumes it remembers.

The broker is the first to act: every working order of the symbol is restated, or cancelled where nothing of it is left.
The portfolio's own adjustment of the position follows in the same input and is folded here as a booking is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from actors.broker import actions
from actors.broker.actions import DELIST, DIVIDEND, RENAME, SPLIT
from actors.broker.lots import OpenLot
from actors.broker.order_state import Mode, WorkingOrder
from actors.broker.state import BrokerState
from actors.messages.market import CorporateAction
from actors.messages.orders import BUY, OrderCanceled, OrderReplaceRequested, OrderRestated
from actors.messages.portfolio import DividendPaid, PositionAdjusted
from actors.values.corporate import dividend_px, split_lots, split_px
from daemon.kernel.actor import Context, decides, evolves, observes

DELISTED: Final = "DELISTED"
NOTHING_LEFT: Final = "SPLIT"


class CorporateDesk(BrokerState):
    """Follows corporate actions."""

    # -- market state ----------------------------------------------------------------------------------------------

    @observes(CorporateAction)
    def reprice(self, action: CorporateAction) -> None:
        """Say what is remembered of prices and volumes in the units that hold from now on."""
        symbol = action.symbol
        self._end_book()  # of a session whose close was never seen: an action comes between two sessions
        if self._terms.margin is not None:
            self._terms.margin.fold_action(action)
        if action.kind == SPLIT:
            ratio = action.numerator, action.denominator
            self._status.split(symbol, *ratio)
            self._market.set_last(symbol, split_px(self._market.last(symbol), *ratio))
            if self._terms.adv is not None:
                self._terms.adv.split(symbol, *ratio)
            for order in self._resting.of(symbol):
                order.best = split_px(order.best, *ratio)
                order.arrival_px = split_px(order.arrival_px, *ratio)
                request = self._in_flight.of(order.order.client_order_id)
                if isinstance(request, OrderReplaceRequested):
                    self._in_flight.add(actions.split_request(request, order, action, self._terms.lot_size))
            for entry in self._brackets_in(symbol):
                self._links.restated(entry, *ratio, self._terms.lot_size)
        elif action.kind == DIVIDEND:
            self._market.set_last(symbol, dividend_px(self._market.last(symbol), action.value))
            for order in self._resting.of(symbol):
                if order.mode is Mode.TRAIL and order.side != BUY and actions.is_lowered(order):
                    order.best = dividend_px(order.best, action.value)
        elif action.kind == RENAME and action.renamed_to is not None:
            self._rename(symbol, action.renamed_to)

    def _rename(self, symbol: int, new: int) -> None:
        """Say what is remembered of a symbol under the name that it has from now on."""
        self._market.move(symbol, new)
        self._status.move(symbol, new)
        if self._terms.adv is not None:
            self._terms.adv.move(symbol, new)
        if self._terms.spreads is not None:
            self._terms.spreads.move(symbol, new)

    def _brackets_in(self, symbol: int) -> list[str]:
        """Return the entries of brackets of which an order works in a symbol."""
        found: dict[str, None] = {}
        for order in self._resting.of(symbol):
            if order.terms is not None and order.terms.bracket is not None:
                found[order.order.client_order_id] = None
            if order.terms is not None and order.terms.bracket_of:
                found[order.terms.bracket_of] = None
        return list(found)

    # -- orders ----------------------------------------------------------------------------------------------------

    @decides(CorporateAction)
    def act(self, action: CorporateAction, ctx: Context) -> None:
        """Restate the working orders of the symbol, oldest first."""
        ended: list[str] = []
        for order in self._resting.of(action.symbol):
            if action.kind == DELIST:
                self._cancel_for(action, order, DELISTED, ctx)
            elif action.kind == SPLIT:
                lots = self._accounts[order.portfolio].lots.get(action.symbol, {})
                restated = actions.split(order, action, lots, self._terms.lot_size)
                if restated is None or self._protects_nothing(order, lots, action, ended):
                    self._cancel_for(action, order, NOTHING_LEFT, ctx)
                    ended.append(order.order.client_order_id)
                else:
                    ctx.emit(restated)
            elif action.kind == DIVIDEND:
                lowered = actions.dividend(order, action.value)
                if lowered is not None:
                    ctx.emit(lowered)
            elif action.kind == RENAME and action.renamed_to is not None:
                ctx.emit(actions.rename(order, action.renamed_to))

    def _protects_nothing(
        self, order: WorkingOrder, lots: Mapping[str, OpenLot], action: CorporateAction, ended: Sequence[str]
    ) -> bool:
        """Tell whether an exit of a bracket has no position behind a split, all of it having been paid in cash."""
        entry = "" if order.terms is None else order.terms.bracket_of
        if not entry or (entry in self._resting.orders and entry not in ended):
            return False
        held = [(lot.lot_id, lot.qty) for lot in lots.values()]
        return not split_lots(held, action.numerator, action.denominator, self._terms.lot_size).qty

    def _cancel_for(self, action: CorporateAction, order: WorkingOrder, reason: str, ctx: Context) -> None:
        px = self._market.last(action.symbol)
        name = order.order.client_order_id
        ctx.emit(OrderCanceled(order.order_id, name, order.cum_qty, reason, px, order.arrival_px))

    @evolves(OrderRestated)
    def restated(self, event: OrderRestated) -> None:
        """Give an order the terms that a corporate action left it; it keeps its place."""
        order = self._resting.orders[event.client_order_id]
        if event.symbol != order.symbol:
            self._resting.rename(order, event.symbol)
        order.cum_shift += event.cum_qty - order.cum_qty
        order.qty, order.cum_qty = event.qty, event.cum_qty
        order.leaves = event.qty - event.cum_qty
        order.queue = None
        order.limit_px, order.stop_px = event.limit_px, event.stop_px
        order.terms = event.terms
        if event.reason == SPLIT:
            order.show()
        self._resting.touch(order)

    # -- accounts --------------------------------------------------------------------------------------------------

    @evolves(PositionAdjusted)
    def adjusted(self, event: PositionAdjusted) -> None:
        """Take over the position, its lots and what was paid in cash."""
        self._accounts[event.portfolio].adjusted(event)

    @evolves(DividendPaid)
    def dividend_paid(self, event: DividendPaid) -> None:
        """Take over the cash."""
        self._accounts[event.portfolio].cash += event.amount
