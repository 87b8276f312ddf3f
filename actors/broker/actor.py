"""The broker: takes orders that passed the gate, matches them against bars, and says what became of them.

First stage of every input, so that a bar's fills are in its equity mark. The rules are in the concept modules beside
this one: ``acceptance`` (what is taken), ``order_state`` (the life of an order), ``resting`` (which bars matter),
``matching`` (at what price), ``costs`` and ``fees`` (for how much), ``lots`` (which of the position's lots are left),
``execution`` (how much of it).

Order of one bar's fills: sales at the open, purchases at the open, then what the path inside the bar meets, each group
oldest order first where nothing else decides. A bar whose volume is zero or null fills and triggers nothing; the
order-bars lost to null volume are counted.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
import numpy as np

from actors.broker import fees
from actors.broker.acceptance import check_new, check_replace, closable
from actors.broker.account import Account
from actors.broker.adv import AverageVolume
from actors.broker.bars import match_bars, offer, quoted
from actors.broker.costs import CostModel
from actors.broker.execution import Execution, Terms
from actors.broker.market import MarketMemory
from actors.broker.matching import CLOSE, Match
from actors.broker.order_state import UNTIL_TOLD, OrderTrigger, WorkingOrder
from actors.broker.panels import row_of, trades
from actors.broker.params import BrokerParams
from actors.broker.resting import RestingOrders, adding_risk
from actors.messages.market import BarPanel, GapDetected, SessionClosed, SessionOpened
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
    TimeInForce,
)
from actors.messages.portfolio import CashFlowed, PositionChanged
from actors.values.fixed import SCALE, mul, mul_ratio
from actors.values.seen import SeenIds
from actors.values.settlement import settlement_sessions
from actors.values.universe import Universe
from daemon.kernel.actor import Context, CoreActor, Health, decides, evolves, observes, seals
from daemon.kernel.errors import ConfigError, OperatorError
from daemon.kernel.message import Command, Event

ACCOUNTS: Final = ("cash", "cash_strict")


class BrokerActor(CoreActor):
    """The simulated broker for daily and intraday bars."""

    name = "broker"
    sends: ClassVar[tuple[type[Command], ...]] = ()
    emits: ClassVar[tuple[type[Event], ...]] = (
        OrderAccepted,
        OrderRejected,
        OrderTriggered,
        OrderPartiallyFilled,
        OrderFilled,
        OrderCanceled,
        OrderReplaced,
        OrderExpired,
        OrderCancelRejected,
    )

    def __init__(self, universe: Universe, params: BrokerParams, *, daily: bool) -> None:
        """Build for a run.

        Args:
            universe: symbols that panels and orders speak of.
            params: costs and switches.
            daily: whether each panel is a whole session.

        Raises:
            ConfigError: an account type or impact model that this broker does not have.
        """
        if params.account not in ACCOUNTS:
            message = f"broker.account is {params.account!r}, which is not simulated"
            raise ConfigError(message, code="BAD_ACCOUNT", remedy=f"choose one of {', '.join(ACCOUNTS)}")
        self._universe = universe
        self._params = params
        adv = AverageVolume(len(universe), daily=daily) if params.impact == "sqrt" else None
        self._terms = Terms(params, CostModel(params), adv)
        self._resting = RestingOrders(len(universe))
        self._accounts: dict[str, Account] = {}
        self._seen = SeenIds()
        """Every client order id ever taken or refused, for duplicate detection."""
        self._next = 1
        self._market = MarketMemory(len(universe), keep_panel=params.same_event_fill)
        self.null_volume_skips = 0
        """Order-bars that could not fill because the bar's volume is null."""

    # -- views -----------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Say how many orders work and how many order-bars were lost to null volumes."""
        detail = f"{len(self._resting.orders)} working orders, {self.null_volume_skips} order-bars without volume"
        return Health(detail=detail)

    @property
    def working(self) -> tuple[WorkingOrder, ...]:
        """The working orders, oldest first; look, do not touch."""
        return tuple(self._resting.orders.values())

    def account(self, portfolio: str) -> Account:
        """Return a portfolio's account; look, do not touch."""
        return self._accounts[portfolio]

    @property
    def funded(self) -> tuple[str, ...]:
        """Names of the portfolios that ever had a deposit."""
        return tuple(self._accounts)

    # -- market state ----------------------------------------------------------------------------------------------

    @observes(BarPanel)
    def note_bar(self, panel: BarPanel) -> None:
        """Fold what later decisions need of a bar."""
        self._market.note(panel)
        self._resting.refresh()

    @seals(BarPanel)
    def seal_bar(self, panel: BarPanel) -> None:
        """Fold volumes, count null ones, and let limits that met an open rest."""
        if self._resting.taking:
            self._resting.meet_open(panel)
        volume = panel.volume
        if volume is not None:
            total = np.add.reduce(volume)
            has_null = bool(total != total)  # noqa: PLR0124 - NaN
            if has_null:
                self.null_volume_skips += self._resting.count_null(panel, volume)
            if self._terms.adv is not None:
                self._terms.adv.add(panel, volume, has_null=has_null)

    @observes(SessionOpened)
    def note_open(self, message: SessionOpened) -> None:
        """Fold the session; free proceeds that settle today."""
        market, number = self._market, message.session.number
        if market.gap_to and (market.session_number < 0 or number <= market.session_number + 1):
            self._resting.told(market.gap_to)  # no session was missed in between
        market.session_number = number
        if self._is_another(message) and self._terms.adv is not None:
            self._terms.adv.end_session()  # the close of the session before was never seen
        for account in self._accounts.values():
            account.settle(message.session.number)

    @observes(GapDetected)
    def note_gap(self, gap: GapDetected) -> None:
        """Fold that prices were missed: no resting order is matched against them."""
        market = self._market
        market.gap_to = max(market.gap_to, gap.to_ts)
        self._resting.miss(market.gap_to, market.session_close)

    def _is_another(self, message: SessionOpened) -> bool:
        """Tell whether a session opens while the close of another one was never seen."""
        return self._market.session_close not in (0, message.session.close_ts)

    @seals(SessionOpened)
    def seal_open(self, message: SessionOpened) -> None:
        """Fold when this session will close."""
        self._market.session_close = message.session.close_ts

    @seals(SessionClosed)
    def seal_close(self, _message: SessionClosed) -> None:
        """End the session's volume row."""
        self._market.session_close = 0
        if self._terms.adv is not None:
            self._terms.adv.end_session()

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

    # -- time ------------------------------------------------------------------------------------------------------

    @decides(SessionClosed)
    def on_close(self, message: SessionClosed, ctx: Context) -> None:
        """Expire DAY orders; those that came in behind this close, which may be told late, are for the next session."""
        self._expire_day(ctx, message.session.close_ts)

    @decides(SessionOpened)
    def on_open(self, message: SessionOpened, ctx: Context) -> None:
        """Expire DAY orders of sessions whose close was never seen, or that were missed as a whole."""
        if self._is_another(message):
            self._expire_day(ctx, self._market.session_close)
        if self._market.gap_to:
            for working in self._resting.untold():  # none of them was accepted by that close
                self._expire(ctx, working)

    @decides(GapDetected)
    def on_gap(self, _message: GapDetected, ctx: Context) -> None:
        """Expire DAY orders of a session that ended within the gap; they must not meet a later session's bars."""
        close = self._market.session_close
        if close and self._market.gap_to >= close:
            self._expire_day(ctx, close)

    def _expire_day(self, ctx: Context, close: int) -> None:
        """Expire DAY orders accepted by ``close``."""
        for working in self._resting.orders.values():
            if working.order.tif is TimeInForce.DAY and working.accepted_ts <= close:
                self._expire(ctx, working)

    @staticmethod
    def _expire(ctx: Context, working: WorkingOrder) -> None:
        ctx.emit(OrderExpired(working.order_id, working.order.client_order_id, working.cum_qty, "day"))

    # -- bars ------------------------------------------------------------------------------------------------------

    @decides(BarPanel)
    def on_bar(self, panel: BarPanel, ctx: Context) -> None:
        """Match resting orders against the bars."""
        if not self._resting.orders:
            return
        rows = self._resting.hits(panel)
        if rows.size:
            execution = Execution(self._terms, self._accounts, panel.session)
            on_touch = self._params.fill_on_touch
            match_bars(panel, rows.tolist(), self._resting, execution, on_touch=on_touch)
            ctx.out += execution.events

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
        order.triggered = True
        self._resting.touch(order)

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

    @evolves(PositionChanged)
    def booked(self, event: PositionChanged) -> None:
        """Take over which lots the portfolio opened and closed for a fill."""
        self._accounts[event.portfolio].booked(event.symbol, event.opened, event.closed)

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

    @evolves(CashFlowed)
    def cash_flowed(self, event: CashFlowed) -> None:
        """Open an account, or move its cash."""
        account = self._accounts.get(event.portfolio)
        if account is None:
            account = self._accounts[event.portfolio] = Account()
        account.cash += event.amount

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return everything: orders, accounts, counters, volumes."""
        adv = self._terms.adv
        return {
            "orders": [order.to_row() for order in self._resting.orders.values()],
            "seen": self._seen.snapshot(),
            "next": self._next,
            "accounts": {portfolio: account.to_row() for portfolio, account in self._accounts.items()},
            "market": self._market.snapshot(),
            "null_volume_skips": self.null_volume_skips,
            "adv": None if adv is None else adv.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._resting = RestingOrders(len(self._universe))
        self._seen.restore(state["seen"])
        for row in state["orders"]:
            self._resting.add(WorkingOrder.from_row(row))
        self._next = state["next"]
        self._accounts = {portfolio: Account.from_row(row) for portfolio, row in state["accounts"].items()}
        self._market.restore(state["market"])
        self.null_volume_skips = state["null_volume_skips"]
        if self._terms.adv is not None:
            self._terms.adv.restore(state["adv"])
