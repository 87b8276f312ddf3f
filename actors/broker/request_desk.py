"""Cancels and replaces that are on their way to the venue: what they do when they arrive, and who came first."""

from __future__ import annotations

from collections.abc import Iterable

from actors.broker.execution import Execution
from actors.broker.in_flight import Request
from actors.broker.order_state import ORDER, OrderTrigger, WorkingOrder
from actors.broker.state import BrokerState
from actors.messages.orders import (
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderFilled,
    OrderReplaced,
    OrderReplaceRequested,
    RouteReplace,
)
from daemon.kernel.actor import evolves


class RequestDesk(BrokerState):
    """Folds requests; the desks that hear of time passing carry them out."""

    @evolves(OrderCancelRequested)
    def cancel_requested(self, event: OrderCancelRequested) -> None:
        """Fold that a cancel is on its way."""
        self._resting.orders[event.client_order_id].advance(OrderTrigger.REQUEST_CANCEL)
        self._in_flight.add(event)

    @evolves(OrderReplaceRequested)
    def replace_requested(self, event: OrderReplaceRequested) -> None:
        """Fold that new terms are on their way."""
        self._resting.orders[event.client_order_id].advance(OrderTrigger.REQUEST_REPLACE)
        self._in_flight.add(event)

    def _carry_out(self, requests: Iterable[Request], execution: Execution) -> None:
        """State what becomes of requests that have arrived."""
        for request in requests:
            order = self._resting.orders.get(request.client_order_id)
            if order is None or order.n in execution.ended:
                continue  # it ended, and the request was refused then
            if isinstance(request, OrderCancelRequested):
                execution.cancel(order, request.reason)
                half = self._opening_half(order)
                if half is not None and half.n not in execution.ended:
                    execution.cancel(half, request.reason)
                continue
            terms = RouteReplace(
                request.client_order_id, request.qty, request.limit_px, request.stop_px, request.reserved
            )
            refusal = self._refuse_replace(order, terms)
            if refusal is not None:
                execution.events.append(OrderCancelRejected(request.client_order_id, *refusal))
                continue
            execution.events.append(
                OrderReplaced(
                    order.order_id,
                    request.client_order_id,
                    request.qty,
                    request.limit_px,
                    request.stop_px,
                    request.reserved,
                    execution.stamp,
                )
            )
            execution.present[order.n] = _with_terms(order, request)

    def _overtaken(self, execution: Execution) -> None:
        """Refuse the requests whose orders ended in this instant before they arrived."""
        if not self._in_flight.waiting:
            return
        for event in list(execution.events):
            if not isinstance(event, OrderFilled | OrderCanceled):
                continue
            request = self._in_flight.of(event.client_order_id)
            filled = isinstance(event, OrderFilled)
            if request is None or request.effective_ts <= execution.stamp:
                continue
            if not filled and isinstance(request, OrderCancelRequested):
                continue
            how = "filled" if filled else "ended"
            reason = f"order {event.client_order_id} {how} before the request reached the market"
            execution.events.append(OrderCancelRejected(event.client_order_id, "TERMINAL_ORDER", reason))

    def _answered(self, request: Request) -> None:
        """Fold that a request was refused: what was carried out is not in flight any more."""
        self._in_flight.drop(request.client_order_id)
        order = self._resting.orders.get(request.client_order_id)
        if order is not None and ORDER.allows(order.state, OrderTrigger.REFUSE_REQUEST):
            order.advance(OrderTrigger.REFUSE_REQUEST)


def _with_terms(order: WorkingOrder, request: OrderReplaceRequested) -> WorkingOrder:
    """Return an order with the new terms that have just arrived."""
    other = order.copy()
    other.qty = request.qty
    other.leaves = request.qty - order.cum_qty
    other.limit_px = request.limit_px
    other.stop_px = request.stop_px
    other.taking = request.limit_px is not None
    other.queue = None
    return other
