"""Orders, replaces and cancels as they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.broker.acceptance import (
    Refusal,
    check_auction,
    check_new,
    check_post_only,
    closable,
)
from actors.broker.bars import offer, quoted
from actors.broker.execution import FOK, IOC
from actors.broker.in_flight import PENDING_CANCEL, PENDING_REPLACE
from actors.broker.links import POSITION_CLOSED
from actors.broker.matching import CLOSE, Match
from actors.broker.order_state import WorkingOrder
from actors.broker.panels import row_of, trades
from actors.broker.resting import adding_risk
from actors.broker.shorting import being_sold
from actors.broker.state import BrokerState
from actors.broker.trailing import stop_of
from actors.messages.orders import (
    CancelAll,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderType,
    RouteOrder,
    RouteReplace,
    TimeInForce,
)
from actors.values.fixed import mul_ratio
from daemon.kernel.actor import Context, decides
from daemon.kernel.errors import OperatorError

# Two of a kind are found at once by what they are; two that differ are compared as the texts that they are, too.
_PLAIN_TIFS: Final = (TimeInForce.DAY, TimeInForce.GTC)
_PLAIN_TYPES: Final = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP)
_AUCTIONS: Final = (TimeInForce.OPG, TimeInForce.CLS)
_AUCTION_TYPES: Final = (OrderType.MARKET_ON_OPEN, OrderType.MARKET_ON_CLOSE)


class IntakeDesk(BrokerState):
    """Takes or refuses."""

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
        if refusal is None and self._terms.locates is not None:
            held = account.positions.get(order.symbol, 0)
            refusal = self._terms.locates.refuse(order, held, self._resting.of(order.symbol))
        if refusal is None and self._status.restricted:
            bid = self._book.touch(order.symbol).bid if self._book.active else 0
            held = account.positions.get(order.symbol, 0)
            held -= being_sold(order.portfolio, self._resting.of(order.symbol))
            refusal = self._status.refuse_short(order, held, bid or self._last(order.symbol))
        if refusal is not None:
            ctx.emit(OrderRejected(order_id, order, *refusal))
            return
        reserved = command.reserved
        if (order.lot_id or order.reduce_only) and (room := closable(order, account)) < order.qty:
            reserved = mul_ratio(reserved, room, order.qty)
            order = msgspec.structs.replace(order, qty=room)
        ticks = self._book.active
        last = self._last(order.symbol) if ticks else self._market.last(order.symbol)
        plain = order.terms is None and order.tif in _PLAIN_TIFS and order.type in _PLAIN_TYPES
        if not plain and (order.terms is not None or order.tif in _AUCTIONS or order.type in _AUCTION_TYPES):
            refusal = self._check_place(WorkingOrder(number, order, reserved, ctx.now), ctx.now)
            if refusal is not None:
                ctx.emit(OrderRejected(order_id, order, *refusal))
                return
        cost = self.expected_cost(order, last) if ticks or not self._terms.costs.free else 0
        ctx.emit(OrderAccepted(order_id, order, reserved, ctx.now, last, cost))
        if self._params.same_event_fill and order.type is OrderType.MARKET and order.tif not in _AUCTIONS:
            self._fill_at_close(WorkingOrder(number, order, reserved, ctx.now), ctx)

    def _check_place(self, order: WorkingOrder, now: int) -> Refusal | None:
        """Return why an order does not fit where the market stands, or None."""
        market = self._market
        refusal = check_auction(order, now, market.session_close, close_only=market.close_only)
        return refusal or self._check_post_only(order, order.limit_px)

    def _check_post_only(self, order: WorkingOrder, limit_px: int | None) -> Refusal | None:
        return check_post_only(order, limit_px, self._opposite(order), rests_at=self._rests_at(order.symbol))

    def _fill_at_close(self, order: WorkingOrder, ctx: Context) -> None:
        """Fill a market order at the close of the bars it arrived with, if its symbol traded then."""
        panel = self._market.panel
        if panel is None or panel.ts != ctx.now or self._book.ticked(order.symbol):
            return
        row = row_of(panel, order.symbol)
        if row < 0 or not trades(panel, row) or not self._status.open(order.symbol, panel.start_ts):
            return
        execution = self._execution(panel.session, ctx.now, accepted=1)
        offer(panel, row, order.symbol, execution, self._market.used.get(order.symbol, 0))
        ref = int(panel.close_fx[row])
        execution.fill(order, Match(ref, CLOSE, maker=False), quoted(panel, row, CLOSE), ref)
        now = execution.now_of(order)
        if order.immediate and now is not None:  # that was its one look
            execution.cancel(now, FOK if order.order.tif is TimeInForce.FOK else IOC)
        ctx.out += execution.events

    @decides(RouteReplace)
    def on_replace(self, command: RouteReplace, ctx: Context) -> None:
        """Give a working order new terms, or say why not."""
        client_order_id = command.client_order_id
        working = self._resting.orders.get(client_order_id)
        if working is None:
            ctx.emit(OrderCancelRejected(client_order_id, *self._not_working(client_order_id)))
            return
        refusal = self._refuse_replace(working, command)
        if refusal is None and working.terms is not None and working.terms.post_only:
            refusal = self._check_post_only(working, command.limit_px)
        refusal = refusal or self._on_its_way(client_order_id, cancels=False)
        if refusal is not None:
            ctx.emit(OrderCancelRejected(client_order_id, *refusal))
            return
        travel = self._travel(working)
        if travel:
            terms = (command.qty, command.limit_px, command.stop_px, command.reserved)
            arrives = ctx.now + travel
            ctx.emit(OrderReplaceRequested(client_order_id, *terms, arrives, working.order_id, working.cum_qty))
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
        if self._latency.none and not self._in_flight.waiting:
            self._cancel([working], command.reason, ctx)
            return
        pending = self._on_its_way(command.client_order_id, cancels=True)
        if pending is not None:
            ctx.emit(OrderCancelRejected(command.client_order_id, *pending))
            return
        travel = self._travel(working)
        if travel:
            arrives, name = ctx.now + travel, command.client_order_id
            ctx.emit(OrderCancelRequested(name, command.reason, arrives, working.order_id, working.cum_qty))
            return
        self._cancel([working], command.reason, ctx)

    def _on_its_way(self, client_order_id: str, *, cancels: bool) -> Refusal | None:
        """Return why a request does not follow the one that is on its way; a cancel may follow a replace."""
        request = self._in_flight.of(client_order_id)
        if isinstance(request, OrderCancelRequested):
            return PENDING_CANCEL, f"a cancel of order {client_order_id} is on its way already"
        if request is not None and not cancels:
            return PENDING_REPLACE, f"new terms for order {client_order_id} are on their way already; ask again later"
        return None

    def _cancel(self, orders: Sequence[WorkingOrder], reason: str, ctx: Context) -> None:
        """Cancel orders at once.

        With entries that have no position (any more) their exits end, too; with the half of a flip that closes the one
        that opens, which would otherwise close in its stead.
        """
        halves = [half for half in map(self._opening_half, orders) if half is not None and half not in orders]
        orders = [*orders, *halves] if halves else orders
        for order in orders:
            ctx.emit(self._canceled(order, reason))
        for order in self._unprotecting(orders):
            ctx.emit(self._canceled(order, POSITION_CLOSED))

    def _canceled(self, order: WorkingOrder, reason: str) -> OrderCanceled:
        name, last = order.order.client_order_id, self._last(order.symbol)
        stop_px = stop_of(order, order.best)  # None but for an armed trail
        return OrderCanceled(order.order_id, name, order.cum_qty, reason, last, order.arrival_px, stop_px)

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
        self._cancel(chosen, command.reason, ctx)
