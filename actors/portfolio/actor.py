"""The portfolio: books fills, marks equity, turns signals into targets and orders, and guards each lot's exits.

Facts are folded from ``PositionChanged``, ``CashFlowed``, ``SessionRolled``, ``TargetsProposed``, ``TradeClosed``,
``SignalsReady`` and the broker's order events; marks, the session's date, extremes since entry and closes for
volatilities are folded from the tape. A booking is computed when a fill is decided on and carries every value its fold
needs, so two fills of one frame are booked one after the other, each on what the first left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from actors.messages.market import BarPanel, CorporateAction, SessionClosed, SessionOpened
from actors.messages.orders import (
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderType,
    ReplaceOrder,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import (
    CashFlowed,
    ClosePositions,
    CutPositions,
    DepositCash,
    DividendAccrued,
    DividendPaid,
    EntriesCut,
    EquityMarked,
    FinancingCharged,
    FlattenEnded,
    FlattenStarted,
    PositionAdjusted,
    PositionChanged,
    SessionRolled,
    SignalsReady,
    TargetsProposed,
    TradeClosed,
)
from actors.messages.risk import LimitsChanged
from actors.portfolio.booking import RATIO_DIGITS, OrderFill, position_changed, trade_closed
from actors.portfolio.closing import FLATTEN
from actors.portfolio.corporate_desk import CorporateDesk
from actors.portfolio.excursions import Excursions
from actors.portfolio.exits import adjust_exits, opening_exits
from actors.portfolio.ledger import flow_postings
from actors.portfolio.marks import Marks
from actors.portfolio.params import PortfolioSpec
from actors.portfolio.planning import Draft, Market, plan
from actors.portfolio.positions import Booking, Lot, book
from actors.portfolio.state import EXIT_REASONS, PortfolioState, Working
from actors.portfolio.tick_desk import TickDesk
from actors.portfolio.validation import AMOUNT_MAX, check_specs
from actors.portfolio.views import Views
from actors.values import Universe
from actors.values.fixed import SCALE, fmt
from daemon.kernel.actor import Context, Health, decides, evolves, observes, seals
from daemon.kernel.errors import ConfigError, InvariantError, OperatorError
from daemon.kernel.ids import client_order_id
from daemon.kernel.message import Command, Event


class PortfolioActor(CorporateDesk, TickDesk):
    """Every portfolio of the run.

    Args:
        universe: of the run.
        specs: the portfolios, with distinct names.
        daily: whether the run's bars are session bars; panels of the other kind are not looked at.

    Raises:
        ConfigError: a spec that does not hold.
    """

    name = "portfolio"
    sends: ClassVar[tuple[type[Command], ...]] = (
        SubmitOrder,
        CancelOrder,
        ReplaceOrder,
        ClosePositions,
        CutPositions,
    )
    emits: ClassVar[tuple[type[Event], ...]] = (
        CashFlowed,
        PositionChanged,
        TradeClosed,
        EquityMarked,
        SessionRolled,
        EntriesCut,
        TargetsProposed,
        FlattenStarted,
        FlattenEnded,
        FinancingCharged,
        PositionAdjusted,
        DividendAccrued,
        DividendPaid,
    )

    def __init__(self, universe: Universe, specs: Sequence[PortfolioSpec], *, daily: bool) -> None:
        check_specs(specs)
        n = len(universe)
        super().__init__(universe, {spec.name: PortfolioState(spec, n) for spec in specs})
        self._daily = daily
        self._orders: dict[str, tuple[PortfolioState, Working]] = {}
        rows = [spec.lookback for spec in specs if spec.allocation == "inverse_volatility"]
        self._marks = Marks(n, max(rows) + 1 if rows else 0)
        self._excursions = Excursions(n)
        self._tradable = np.array([universe.is_tradable(i) for i in range(n)], dtype=bool)
        self._followers: dict[str, list[tuple[PortfolioState, Views]]] = {}
        for pf in self._portfolios:
            for views in pf.views:
                self._followers.setdefault(views.strategy, []).append((pf, views))

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def portfolios(self) -> tuple[PortfolioState, ...]:
        """Every portfolio's state in order; look, do not touch."""
        return self._portfolios

    @property
    def orders(self) -> dict[str, tuple[PortfolioState, Working]]:
        """Working orders with their portfolios, by client order id; look, do not touch."""
        return self._orders

    @property
    def marks(self) -> Marks:
        """Last prices of the universe; look, do not touch."""
        return self._marks

    def equity(self, name: str) -> int:
        """Return a portfolio's equity at the last known prices, units of 1e-8."""
        return self.portfolio(name).equity(self._marks.px, self._marks.px_f)

    def health(self) -> Health:
        """Say how much is held and what is being closed."""
        held, lots = sum(pf.n_held for pf in self._portfolios), sum(pf.n_lots for pf in self._portfolios)
        parts = [] if len(self._portfolios) == 1 else [f"{len(self._portfolios)} portfolios"]
        parts.append(f"{held} position{'s' * (held != 1)} in {lots} lot{'s' * (lots != 1)}")
        parts.append(f"{len(self._orders)} working orders")
        closing = [name for name in self._flattening if self._states[name].n_held]
        parts += [f"flattening {', '.join(closing)}"] if closing else []
        return Health(detail="; ".join(parts))

    def _lots_in(self, symbol: int) -> Iterator[Lot]:
        for pf in self._portfolios:
            yield from pf.lots(symbol)

    # -- market state ----------------------------------------------------------------------------------------------

    @observes(BarPanel)
    def mark(self, panel: BarPanel) -> None:
        """Take over the closes; fills of this very bar are then marked at them."""
        if panel.daily is not self._daily:
            return
        if panel.revision:
            self._marks.fold(panel)
            return
        self._forget_canceled()
        self._marks.fold(panel)
        self._excursions.begin(panel)
        self._fold_session_bar(panel)

    @seals(BarPanel)
    def stretch(self, panel: BarPanel) -> None:
        """Fold the bar's extremes into the lots that were held through it; corrections come too late for that."""
        if panel.daily is self._daily and not panel.revision:
            held = 0
            for pf in self._portfolios:
                held += pf.n_lots
            self._excursions.seal(panel, held=held > 0)

    @observes(SessionOpened, SessionClosed)
    def date(self, panel: SessionOpened | SessionClosed) -> None:
        """Remember the session decisions fall into."""
        self._marks.begin(panel.session.date)
        if type(panel) is SessionOpened:
            self._nights.fold_opened(panel.session.date)
        else:
            self._fold_session_close(panel.session.date)

    def reprice(self, action: CorporateAction) -> None:
        """Say what stops are measured in and from in new units, then all that prices measure."""
        self._fold_session_action(action)
        super().reprice(action)

    @decides(SessionOpened)
    def open_session(self, panel: SessionOpened, ctx: Context) -> None:
        """Charge what was borrowed since the session before, then pay the dividends that are due."""
        for pf in self._portfolios:
            cash = self._charge_financing(pf, pf.cash, self._marks.px.item, ctx)
            if pf.dividends.due:
                self._pay_dividends(pf, cash, panel.session.date, ctx)

    # -- equity ----------------------------------------------------------------------------------------------------

    @decides(BarPanel)
    def mark_equity(self, panel: BarPanel, ctx: Context) -> None:
        """State every portfolio's equity at the new prices."""
        if panel.daily is not self._daily:
            return
        self._state_equity(ctx)

    @decides(SessionClosed)
    def roll(self, panel: SessionClosed, ctx: Context) -> None:
        """State the closing equity, which is the next session's baseline."""
        for pf in self._portfolios:
            gross, net = pf.valuation(self._marks.px, self._marks.px_f)
            accrued = pf.dividends.total
            equity = pf.cash + net + accrued
            peak = max(pf.peak, equity)
            drawdown = round(equity / peak - 1.0, RATIO_DIGITS) + 0.0 if peak > 0 else 0.0
            ctx.emit(
                SessionRolled(
                    portfolio=pf.name,
                    session=panel.session.date,
                    equity=equity,
                    cash=pf.cash,
                    gross=gross,
                    net=net,
                    flows=pf.flows,
                    peak=peak,
                    drawdown=drawdown,
                    accrued=accrued,
                )
            )
        self._move_stops(ctx)

    @evolves(SessionRolled)
    def fold_roll(self, event: SessionRolled) -> None:
        """Start the next session."""
        self._states[event.portfolio].fold_roll(event)

    # -- external flows --------------------------------------------------------------------------------------------

    @decides(DepositCash)
    def flow(self, command: DepositCash, ctx: Context) -> None:
        """Book an external flow.

        Raises:
            OperatorError: nothing to book, more than there is, or more than the ledger holds.
        """
        pf = self.portfolio(command.portfolio)
        amount = command.amount
        if amount == 0:
            message = f"a flow of 0 into {pf.name} is no flow"
            raise OperatorError(message, code="BAD_AMOUNT", remedy="name an amount above or below 0")
        free = min(pf.cash, pf.entitled(self._marks.px)) - sum(w.reserved for w in pf.entries.values())
        if amount < 0 and -amount > free:
            message = f"{pf.name} has {fmt(free)} of free cash, less than the {fmt(-amount)} asked for"
            raise OperatorError(message, code="INSUFFICIENT_CASH", remedy="take out less, or cancel or sell first")
        if pf.cash + amount > AMOUNT_MAX:
            message = f"{pf.name} would hold {fmt(pf.cash + amount)}, and the ledger ends at {fmt(AMOUNT_MAX)}"
            raise OperatorError(message, code="BAD_AMOUNT", remedy="deposit less")
        ctx.emit(
            CashFlowed(
                portfolio=pf.name,
                amount=amount,
                reason=command.reason,
                cash=pf.cash + amount,
                postings=flow_postings(amount),
                equity=pf.equity(self._marks.px, self._marks.px_f),
            )
        )

    @evolves(CashFlowed)
    def fold_flow(self, event: CashFlowed) -> None:
        """Take over the new cash.

        Raises:
            ConfigError: recorded of a portfolio that this run does not have; its first fact is always a flow.
        """
        pf = self._states.get(event.portfolio)
        if pf is None:
            raise _gone(event.portfolio, event.cash, 0)
        pf.fold_flow(event)

    # -- fills -----------------------------------------------------------------------------------------------------

    @decides(OrderFilled, OrderPartiallyFilled)
    def book(self, fill: OrderFill, ctx: Context) -> None:
        """Book a fill, close what it closes, and bring the exits of the lots it touched in line."""
        pf = self._states.get(fill.portfolio)
        if pf is None:
            message = f"the fill {fill.exec_id} belongs to an unknown portfolio {fill.portfolio!r}"
            raise InvariantError(message, code="UNKNOWN_PORTFOLIO")
        fees = fill.commission + fill.regulatory
        booking = book(pf.position(fill.symbol), fill.side, fill.last_qty, fill.last_px, fees, fill.lot_id)
        changed = position_changed(fill, booking, pf.cash, ctx.now)
        ctx.emit(changed)
        if booking.pieces:
            self._close(pf, fill, booking, ctx)
        if pf.flattening is not None:
            ctx.send(ClosePositions(pf.name, pf.flattening.reason, fill.symbol))
        if changed.opened is not None and pf.guarded and not fill.exempt and fill.strategy in pf.spec.strategies:
            ticker = self._universe.symbols[fill.symbol]
            owner = self._owner(pf, fill.strategy)
            stop = self._opening_stop(pf, fill.symbol, fill.side, fill.last_px)
            args = (fill.symbol, fill.exec_id, booking.opened_qty, fill.last_px, fill.strategy, stop)
            for order in opening_exits(pf.spec, owner, ticker, *args):
                ctx.send(order)

    def _close(self, pf: PortfolioState, fill: OrderFill, booking: Booking, ctx: Context) -> None:
        exit_px = fill.last_px / SCALE
        for piece in booking.pieces:
            low, high = self._excursions.range_of(piece.lot, exit_px, fill.px_source, ctx.now)
            ctx.emit(trade_closed(fill, piece, low, high, ctx.now))
        for piece in booking.pieces:
            working = pf.exits.get(piece.lot.lot_id)
            if working:
                for command in adjust_exits(working.values(), abs(piece.lot.qty) - piece.qty):
                    ctx.send(command)

    @evolves(PositionChanged)
    def fold_position(self, event: PositionChanged) -> None:
        """Apply a booking; an unmarked symbol is worth what it was traded at until a bar says otherwise."""
        symbol = event.symbol
        px = event.px / SCALE
        opened = self._states[event.portfolio].fold_position(event, px, self._marks.session, self._marks.number)
        if opened is not None:
            self._fold_entry(opened)
            alone = sum(len(pf.lots(symbol)) for pf in self._portfolios) == 1
            self._excursions.opened(opened, event.px_source, alone=alone)
            self._marks.fold_fill(symbol, event.px)

    @evolves(TradeClosed)
    def fold_trade(self, event: TradeClosed) -> None:
        """After a close that no strategy asked for, its view has to be stated anew."""
        if event.exit_reason in EXIT_REASONS or event.exit_reason == "flatten":
            self._states[event.portfolio].fold_stopped(event.symbol)

    # -- working orders --------------------------------------------------------------------------------------------

    @evolves(OrderAccepted)
    def fold_accepted(self, event: OrderAccepted) -> None:
        """The broker works an order."""
        order = event.order
        pf = self._states[order.portfolio]
        self._orders[order.client_order_id] = pf, pf.fold_accepted(order, event.reserved)
        if order.reason == FLATTEN:
            pf.fold_closing(order)

    @evolves(OrderPartiallyFilled)
    def fold_part(self, event: OrderPartiallyFilled) -> None:
        """Less of an order is open."""
        found = self._orders.get(event.client_order_id)
        if found is not None:
            found[0].fold_part(found[1], event.last_qty)

    @evolves(OrderReplaced)
    def fold_replaced(self, event: OrderReplaced) -> None:
        """An order has new terms."""
        pf, working = self._orders[event.client_order_id]
        pf.fold_replaced(working, event)

    @evolves(OrderRestated)
    def fold_restated(self, event: OrderRestated) -> None:
        """A corporate action changed an order."""
        pf, working = self._orders[event.client_order_id]
        pf.fold_restated(working, event)

    @evolves(OrderFilled, OrderExpired)
    def fold_ended(self, event: OrderFilled | OrderExpired) -> None:
        """An order is no longer open."""
        found = self._orders.pop(event.client_order_id, None)
        if found is not None:
            found[0].fold_ended(found[1])

    @evolves(OrderCanceled)
    def fold_canceled(self, event: OrderCanceled) -> None:
        """An order is no longer open, and who ended it decides whether an exit comes back."""
        found = self._orders.pop(event.client_order_id, None)
        if found is not None:
            pf, working = found
            pf.fold_ended(working)
            if working.exit_of:
                self._fold_trail_canceled(pf, working, event.stop_px)
                self._fold_exit_canceled(pf, working, event.reason)

    @evolves(OrderRejected)
    def fold_rejected(self, event: OrderRejected) -> None:
        """The broker gave an order up, possibly one it worked already."""
        order = event.order
        found = self._orders.pop(order.client_order_id, None)
        if found is not None:
            found[0].fold_ended(found[1])
        elif order.portfolio in self._states:
            pf = self._states[order.portfolio]
            if order.reason == FLATTEN:
                pf.fold_closing(order)
            elif order.reason in EXIT_REASONS:
                pf.swept.fold_answer(order.lot_id, order.reason, works=False)

    # -- signals ---------------------------------------------------------------------------------------------------

    @evolves(SignalsReady)
    def fold_signals(self, event: SignalsReady) -> None:
        """Keep what passed the gates as the strategy's standing views."""
        for pf, views in self._followers.get(event.strategy, ()):
            views.fold(event, pf.spec)

    @decides(SignalsReady)
    def decide(self, event: SignalsReady, ctx: Context) -> None:
        """Propose targets and send the orders that lead there."""
        for pf, views in self._followers.get(event.strategy, ()):
            equity = pf.equity(self._marks.px, self._marks.px_f)
            marks = self._marks
            cutback = self._cutback if pf.cuts_back else None
            market = Market(marks.px, marks.session, marks.number, equity, marks.closes(), self._tradable, cutback)
            result = plan(pf, views, event, market)
            if result.cut is not None:
                ctx.emit(result.cut)
            if result.targets is not None:
                ctx.emit(result.targets)
            for order_id in result.cancels:
                ctx.send(CancelOrder(order_id, "superseded"))
            for draft in result.drafts:
                ctx.send(self._order(pf, event, draft))

    def _order(self, pf: PortfolioState, event: SignalsReady, draft: Draft) -> SubmitOrder:
        owner, ticker = self._owner(pf, event.strategy), self._universe.symbols[draft.symbol]
        return SubmitOrder(
            client_order_id(owner, ticker, event.decision, draft.leg),
            pf.name,
            draft.symbol,
            draft.side,
            draft.qty,
            OrderType.MARKET,
            TimeInForce.DAY,
            None,
            None,
            event.strategy,
            draft.confidence,
            event.decision,
            draft.reason,
            draft.reduce_only,
            "",
            client_order_id(owner, ticker, event.decision, draft.parent) if draft.parent else "",
            exempt=draft.exempt,
            stop_distance=0
            if draft.reduce_only
            else self.stop_distance(pf, draft.symbol, self._marks.px.item(draft.symbol)),
        )

    @evolves(LimitsChanged)
    def fold_limits(self, event: LimitsChanged) -> None:
        """Size entries below the limits that the gate judges by from now on."""
        for pf in self._portfolios:
            pf.fold_limits(event.new)

    @evolves(TargetsProposed)
    def fold_targets(self, event: TargetsProposed) -> None:
        """Keep the targets that drift is measured against."""
        self._states[event.portfolio].fold_targets(event, self._marks.session)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values; closes travel along, so nothing needs to be warmed up."""
        self._excursions.fold_runs(self._lots_in)
        return {
            "portfolios": [[pf.name, pf.snapshot()] for pf in self._portfolios],
            "marks": self._marks.snapshot(),
            "excursions": self._excursions.snapshot(),
            "guarding": self._guard_snapshot(),
            "stops": self._stops_snapshot(),
            "tradable": self._tradable.tobytes(),
            "nights": [self._nights.session, self._nights.days],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave, in a fresh actor; portfolios and strategies may have come since then.

        Raises:
            ConfigError: a portfolio is gone: nobody would own what it holds.
        """
        self._orders = {}
        for name, raw in state["portfolios"]:
            pf = self._states.get(name)
            if pf is None:
                raise _gone(name, raw["cash"], sum(position["qty"] != 0 for position in raw["positions"]))
            for working in pf.restore(raw):
                self._orders[working.client_order_id] = pf, working
            if pf.flattening is not None:
                self._flattening[name] = None
        self._marks.restore(state["marks"])
        self._excursions.restore(state["excursions"])
        self._guard_restore(state["guarding"])
        self._stops_restore(state.get("stops", {}))  # a snapshot of an older version has none
        if "tradable" in state:  # a snapshot of an older version knows of no delisting
            self._tradable = np.frombuffer(state["tradable"], dtype=np.bool_).copy()
        # A snapshot of an older version has none: what it held short before its next session is not charged.
        self._nights.session, self._nights.days = state.get("nights", (0, 0))


def _gone(name: str, cash: int, positions: int) -> ConfigError:
    held = f" and {positions} position{'s' * (positions != 1)}" if positions else ""
    message = f"the ledger has a portfolio {name!r} with {fmt(cash)} in cash{held}, and the configuration has none"
    remedy = "put it back; without strategies it takes operators' orders only"
    return ConfigError(message, code="PORTFOLIO_GONE", remedy=remedy)
