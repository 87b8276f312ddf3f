"""Orders, replaces and cancels as they come in, and what becomes of the working orders."""

from __future__ import annotations

import msgspec

from actors.broker import fees
from actors.broker.acceptance import check_new, check_replace, closable
from actors.broker.bars import offer, quoted
from actors.broker.execution import Execution
from actors.broker.matching import CLOSE, Match
from actors.broker.order_state import UNTIL_TOLD, OrderTrigger, WorkingOrder
from actors.broker.panels import row_of, trades
from actors.broker.resting import adding_risk
from actors.broker.state import BrokerState
from actors.messages.orders import (
    BUY,
    CancelAll,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
    OrderType,
    RouteOrder,
    RouteReplace,
)
from actors.values.fixed import SCALE, mul, mul_ratio
from actors.values.settlement import settlement_sessions
from daemon.kernel.actor import Context, decides, evolves
from daemon.kernel.errors import OperatorError


class IntakeDesk(BrokerState):
    """Takes or refuses; keeps the working orders."""

    # -- orders in -------------------------------------------------------------------------------------------------

    @decides(RouteOrder)
    def on_order(self, command: RouteOrder, ctx: Context) -> None:
        """Take or refuse an order; under ``same_event_fill`` a market order may fill at once."""
        order = command.order
        number = self._next
        order_id = f"O-{number}"
        if order.client_order_id in self._seen:
            reason = f"the client order id {order.client_order_id} was used before"
            ctx.emit(OrderRejected(order_id, order, "DUPLICATE_ORDER", reason))
            return
        account = self._accounts.get(order.portfolio)
        if account is None:
            reason = f"there is no account of the name {order.portfolio!r}: no cash was deposited"
            ctx.emit(OrderRejected(order_id, order, "UNKNOWN_ACCOUNT", reason))
            return
        refusal = check_new(order, self._universe, account, self._params)
        if refusal is not None:
            ctx.emit(OrderRejected(order_id, order, *refusal))
            return
        reserved = command.reserved
        if (order.lot_id or order.reduce_only) and (room := closable(order, account)) < order.qty:
            reserved = mul_ratio(reserved, room, order.qty)
            order = msgspec.structs.replace(order, qty=room)
        ctx.emit(OrderAccepted(order_id, order, reserved, ctx.now))
        if self._params.same_event_fill and order.type is OrderType.MARKET:
            self._fill_at_close(WorkingOrder(number, order, reserved, ctx.now), ctx)

    def _fill_at_close(self, order: WorkingOrder, ctx: Context) -> None:
        """Fill a market order at the close of the bars it arrived with, if its symbol traded then."""
        panel = self._market.panel
        if panel is None or panel.ts != ctx.now:
            return
        row = row_of(panel, order.symbol)
        if row < 0 or not trades(panel, row):
            return
        execution = Execution(self._terms, self._accounts, panel.session)
        offer(panel, row, order.symbol, execution, self._market.used.get(order.symbol, 0))
        ref = int(panel.close_fx[row])
        execution.fill(order, Match(ref, CLOSE, maker=False), quoted(panel, row, CLOSE))
        ctx.out += execution.events

    @decides(RouteReplace)
    def on_replace(self, command: RouteReplace, ctx: Context) -> None:
        """Give a working order new terms, or say why not."""
        client_order_id = command.client_order_id
        working = self._resting.orders.get(client_order_id)
        if working is None:
            ctx.emit(OrderCancelRejected(client_order_id, *self._not_working(client_order_id)))
            return
        refusal = check_replace(working, command, self._params)
        if refusal is not None:
            ctx.emit(OrderCancelRejected(client_order_id, *refusal))
            return
        ctx.emit(
            OrderReplaced(
                working.order_id,
                client_order_id,
                command.qty,
                command.limit_px,
                command.stop_px,
                command.reserved,
                ctx.now,
            )
        )

    @decides(CancelOrder)
    def on_cancel(self, command: CancelOrder, ctx: Context) -> None:
        """Cancel a working order, or say why not."""
        working = self._resting.orders.get(command.client_order_id)
        if working is None:
            refusal = self._not_working(command.client_order_id)
            ctx.emit(OrderCancelRejected(command.client_order_id, *refusal))
            return
        ctx.emit(OrderCanceled(working.order_id, command.client_order_id, working.cum_qty, command.reason))

    def _not_working(self, client_order_id: str) -> tuple[str, str]:
        if client_order_id in self._seen:
            return "TERMINAL_ORDER", f"order {client_order_id} has ended already"
        return "UNKNOWN_ORDER", f"there is no order {client_order_id}"

    @decides(CancelAll)
    def on_cancel_all(self, command: CancelAll, ctx: Context) -> None:
        """Cancel what works, or only what adds risk (:func:`actors.broker.resting.adding_risk`).

        Raises:
            OperatorError: an unknown scope.
        """
        if command.scope not in ("all", "adding"):
            message = f"the scope {command.scope!r} of a cancel-all is neither 'all' nor 'adding'"
            raise OperatorError(message, code="BAD_SCOPE")
        chosen = [o for o in self._resting.orders.values() if command.portfolio in ("", o.portfolio)]
        if command.scope == "adding":
            chosen = adding_risk(chosen, self._accounts)
        for order in chosen:
            ctx.emit(OrderCanceled(order.order_id, order.order.client_order_id, order.cum_qty, command.reason))

    # -- folds -----------------------------------------------------------------------------------------------------

    @evolves(OrderAccepted)
    def accepted(self, event: OrderAccepted) -> None:
        """Work an order."""
        order = WorkingOrder(self._next, event.order, event.reserved, event.ts)
        self._next += 1
        self._seen.add(event.order.client_order_id)
        self._resting.add(order)
        if order.limit_px is not None:
            self._resting.judge_arrival(order, self._market.last(order.symbol))

    @evolves(OrderRejected)
    def rejected(self, event: OrderRejected) -> None:
        """Use up the number; a refused client order id cannot be used again."""
        self._next += 1
        self._seen.add(event.order.client_order_id)

    @evolves(OrderTriggered)
    def triggered(self, event: OrderTriggered) -> None:
        """Let a stop work as a market order."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.TRIGGER)
        order.trigger()
        self._resting.touch(order)

    @evolves(OrderReplaced)
    def replaced(self, event: OrderReplaced) -> None:
        """Give an order its new terms; they rest from now on."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.REPLACE)
        order.qty = event.qty
        order.leaves = event.qty - order.cum_qty
        order.limit_px = event.limit_px
        order.stop_px = event.stop_px
        order.reserved = event.reserved
        if order.live_from != UNTIL_TOLD:
            order.live_from = event.ts
        self._resting.touch(order)
        self._resting.judge_arrival(order, self._market.last(order.symbol))

    @evolves(OrderCanceled)
    def canceled(self, event: OrderCanceled) -> None:
        """Let go of an order."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.CANCEL)
        self._resting.remove(order)

    @evolves(OrderExpired)
    def expired(self, event: OrderExpired) -> None:
        """Let go of an order."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.EXPIRE)
        self._resting.remove(order)

    @evolves(OrderPartiallyFilled, OrderFilled)
    def filled(self, event: OrderPartiallyFilled | OrderFilled) -> None:
        """Book a fill in the order and in the account."""
        order = self._resting.orders[event.client_order_id]
        qty = event.last_qty
        value = qty * event.last_px // SCALE if qty % SCALE == 0 else mul(qty, event.last_px)
        charged = event.commission + event.regulatory
        cash = -event.side * value - charged
        account = self._accounts[event.portfolio]
        account.trade(event.symbol, event.side * qty, cash)
        if cash > 0 and self._terms.strict:
            account.hold_back(self._market.session_number + settlement_sessions(self._market.date), cash)
        self._market.take_volume(event.symbol, qty)
        if not event.leaves_qty:
            order.advance(OrderTrigger.FILL)
            self._resting.remove(order)
            return
        order.advance(OrderTrigger.PARTIAL_FILL)
        order.fills += 1
        order.cum_qty = event.cum_qty
        order.leaves = event.leaves_qty
        order.cum_value += value
        order.commission += event.commission
        if event.side != BUY and self._params.regulatory_fees:
            rates = fees.rates_on(self._market.date)
            order.section_31_raw += value * rates.section_31
            order.taf_raw += qty * rates.taf
            order.regulatory += event.regulatory
