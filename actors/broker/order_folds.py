"""What becomes of the working orders: the folds of order events."""

from __future__ import annotations

from actors.broker import fees, trailing
from actors.broker.book import QUOTE
from actors.broker.order_state import UNTIL_TOLD, OrderTrigger, WorkingOrder
from actors.broker.state import BrokerState
from actors.broker.tick_matching import next_slice, queue_ahead
from actors.messages.orders import (
    BUY,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
)
from actors.values.fixed import SCALE, mul
from actors.values.order_names import belongs_to_another
from actors.values.settlement import settlement_sessions
from daemon.kernel.actor import evolves


class OrderFolds(BrokerState):
    """Keeps the working orders."""

    @evolves(OrderAccepted)
    def accepted(self, event: OrderAccepted) -> None:
        """Work an order."""
        submitted = event.order
        order = WorkingOrder(self._next, submitted, event.reserved, event.ts)
        self._next += 1
        self._seen.add(submitted.client_order_id)
        exit_of = "" if submitted.terms is None else submitted.terms.bracket_of
        if exit_of:  # it is at the venue when it comes to life
            order.leg = event.leg
            order.arrival_px = event.ref_px
        self._resting.add(order)
        if order.terms is not None:
            trailing.begin(order, event.ref_px)
            if order.linked:
                self._links.accepted(order)
        if order.limit_px is not None and (not exit_of or self._book.ticked(order.symbol)):
            # What is on its way still is judged by the first quote or print that it meets.
            travels = not exit_of and not self._latency.none and self._travel(order)
            self._judge_arrival(order, 0 if travels else self._opposite(order))

    @evolves(OrderRejected)
    def rejected(self, event: OrderRejected) -> None:
        """Use up the number; a refused client order id cannot be used again."""
        self._next += 1
        self._seen.add(event.order.client_order_id)

    @evolves(OrderDenied)
    def denied(self, event: OrderDenied) -> None:
        """Know the id of an order that risk kept away: who cancels it is told that it has ended."""
        name = event.order.client_order_id
        if name and not belongs_to_another(name, event.code):
            self._seen.add(name)

    @evolves(OrderTriggered)
    def triggered(self, event: OrderTriggered) -> None:
        """Let an order work as what is behind its condition."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.TRIGGER)
        self._resting.triggered(order)
        if order.limit_px is not None and self._book.ticked(order.symbol):
            self._judge_arrival(order, self._opposite(order))

    @evolves(OrderReplaced)
    def replaced(self, event: OrderReplaced) -> None:
        """Give an order its new terms; they rest from now on, unless only its quantity is smaller.

        An exit whose entry fills on keeps its place, too.
        """
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.REPLACE)
        exit_of = order.terms.bracket_of if order.terms is not None else ""
        if (event.limit_px, event.stop_px) == (order.limit_px, order.stop_px) and (event.qty <= order.qty or exit_of):
            order.leaves += event.qty - order.qty
            order.qty = event.qty
            order.reserved = event.reserved
            order.shown = min(order.shown, order.leaves)
            return
        order.qty = event.qty
        order.leaves = event.qty - order.cum_qty
        order.limit_px = event.limit_px
        order.stop_px = event.stop_px
        order.reserved = event.reserved
        if order.live_from != UNTIL_TOLD:
            order.live_from = event.ts
        order.queue = None
        order.show()
        self._resting.touch(order)
        self._judge_arrival(order, self._opposite(order))

    @evolves(OrderCanceled)
    def canceled(self, event: OrderCanceled) -> None:
        """Let go of an order."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.CANCEL)
        self._end(order)

    @evolves(OrderExpired)
    def expired(self, event: OrderExpired) -> None:
        """Let go of an order."""
        order = self._resting.orders[event.client_order_id]
        order.advance(OrderTrigger.EXPIRE)
        self._end(order)

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
        if event.px_source == QUOTE:
            self._book.take(event.symbol, event.side, qty)
        if self._terms.aftermath is not None:
            self._terms.aftermath.trade(event.symbol, event.side, qty, event.impact)
        if order.linked:
            self._links.filled(order, qty)
        if not event.leaves_qty:
            order.advance(OrderTrigger.FILL)
            self._resting.remove(order)
            if order.linked:
                self._links.ended(order)
            return
        if not order.arrival_px and event.arrival_px:
            self._resting.arrived(order, event.arrival_px)
        order.advance(OrderTrigger.PARTIAL_FILL)
        order.fills += 1
        order.cum_qty = event.cum_qty
        order.leaves = event.leaves_qty
        if order.shown and next_slice(order, qty):
            order.queue = None
            order.queue = queue_ahead(order, self._book)
        order.cum_value += value
        order.commission += event.commission
        if event.side != BUY and self._params.regulatory_fees:
            rates = fees.rates_on(self._market.date)
            order.section_31_raw += value * rates.section_31
            order.taf_raw += qty * rates.taf
            order.regulatory += event.regulatory

    def _judge_arrival(self, order: WorkingOrder, last: int) -> None:
        self._resting.judge_arrival(order, last, rests_at=self._rests_at(order.symbol))

    def _end(self, order: WorkingOrder) -> None:
        self._resting.remove(order)
        if order.linked:
            self._links.ended(order)
