"""What broker, portfolio and breakers state, folded into all that the gate and the breakers look at."""

from __future__ import annotations

from actors.messages.inference import StrategyDisabled, StrategyEnabled
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRequested,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderTriggered,
)
from actors.messages.portfolio import CashFlowed, EquityMarked, FinancingCharged, PositionChanged, SessionRolled
from actors.messages.risk import BreakerReset, BreakerTripped
from actors.risk.margin import MarginDesk
from actors.risk.pretrade import Gate
from actors.risk.remembered import Remembered
from actors.risk.track import Tracks
from actors.values.seen import SeenIds
from daemon.kernel.actor import evolves


class FactsDesk(MarginDesk):
    """The risk actor's folds of facts, over margin, breakers and control; the actor adds market and gate."""

    _remembered: Remembered
    _tracks: Tracks
    _gate: Gate
    _seen: SeenIds
    _recent: dict[tuple[str | int | None, ...], int]
    _recent_at: int
    _disabled: dict[str, str]

    # -- orders ----------------------------------------------------------------------------------------------------

    @evolves(OrderAccepted)
    def accepted(self, event: OrderAccepted) -> None:
        """Count a working order and remember its id and terms."""
        order = event.order
        self._seen.add(order.client_order_id)
        self._remembered.fold_accepted(event, self.frame_ts)
        self._exposure.fold_accepted(event)
        if self._counts:
            self._fold_taken()
        self._tracks.fold_accepted(event)
        window = self._limits.duplicate_window_ns
        if window and order.strategy:
            if event.ts - self._recent_at >= window:
                self._recent.clear()
            self._recent_at = event.ts
            self._recent[self._gate.key_of(order)] = event.ts

    @evolves(OrderDenied)
    def denied(self, event: OrderDenied) -> None:
        """Remember the id: it stays used. An order without one was refused at the border and blocks nobody."""
        if event.order.client_order_id:
            self._seen.add(event.order.client_order_id)
        self._fold_refused()

    @evolves(OrderRejected)
    def rejected(self, event: OrderRejected) -> None:
        """The broker refused: nothing works."""
        self._seen.add(event.order.client_order_id)
        self._remembered.fold_rejected(event.order, self.frame_ts)
        self._exposure.fold_ended(event.order.client_order_id)
        self._fold_refused()

    @evolves(OrderPartiallyFilled, OrderFilled)
    def filled(self, event: OrderPartiallyFilled | OrderFilled) -> None:
        """Move shares and cash, release the reservation."""
        if self._watches_fills:
            self._fold_fill_checks(event)
        why = self._remembered.fold_fill(event, self.frame_ts)
        if why and event.strategy not in self._disabled:
            self._disabled[event.strategy] = why
        self._exposure.fold_fill(event)
        self._tracks.fold_fill(event)

    @evolves(OrderCanceled, OrderExpired)
    def ended(self, event: OrderCanceled | OrderExpired) -> None:
        """Release everything the order held."""
        self._remembered.fold_ended(event, self.frame_ts)
        self._exposure.fold_ended(event.client_order_id)

    @evolves(OrderCancelRequested, OrderReplaceRequested)
    def requested(self, event: OrderCancelRequested | OrderReplaceRequested) -> None:
        """Count what is on its way to the venue."""
        self._remembered.fold_requested(event.client_order_id, self.frame_ts)

    @evolves(OrderTriggered)
    def triggered(self, event: OrderTriggered) -> None:
        """Note that a limit rests."""
        self._remembered.fold_triggered(event.client_order_id)

    @evolves(OrderReplaced)
    def replaced(self, event: OrderReplaced) -> None:
        """Count the new terms."""
        self._remembered.fold_replaced(event, self.frame_ts)
        self._exposure.fold_replaced(event)
        self._tracks.fold_replaced(event)

    # -- money and positions ---------------------------------------------------------------------------------------

    @evolves(PositionChanged)
    def booked(self, event: PositionChanged) -> None:
        """Take over the portfolio's booking."""
        self._exposure.fold_position(event)

    @evolves(CashFlowed)
    def flowed(self, event: CashFlowed) -> None:
        """Move cash, equity and baselines."""
        self._exposure.fold_flow(event)
        self._tracks.of[event.portfolio].fold_flow(event)
        self._guards[event.portfolio].fold_flow(event)

    @evolves(EquityMarked)
    def equity(self, event: EquityMarked) -> None:
        """Take over a mark."""
        self._exposure.fold_mark(event)
        self._guards[event.portfolio].fold_mark(event)
        if self._rows.any:
            self._fold_causes(event)

    @evolves(FinancingCharged)
    def financed(self, event: FinancingCharged) -> None:
        """Take borrow fees and interest from the cash; the next mark's equity knows them."""
        self._exposure.fold_financing(event)

    @evolves(SessionRolled)
    def rolled(self, event: SessionRolled) -> None:
        """Roll the baselines."""
        self._exposure.fold_mark(event)
        self._guards[event.portfolio].fold_rolled(event)
        self._tracks.of[event.portfolio].fold_rolled(event)

    # -- breakers and strategies -----------------------------------------------------------------------------------

    @evolves(BreakerTripped)
    def tripped(self, event: BreakerTripped) -> None:
        """Trip."""
        self._fold_tripped(event)

    @evolves(BreakerReset)
    def reset(self, event: BreakerReset) -> None:
        """Arm again."""
        self._fold_reset(event)

    @evolves(StrategyDisabled)
    def strategy_off(self, event: StrategyDisabled) -> None:
        """No entries of the strategy any more."""
        self._disabled[event.strategy] = event.reason
        self._remembered.executions.fold_disabled(event.strategy)

    @evolves(StrategyEnabled)
    def strategy_on(self, event: StrategyEnabled) -> None:
        """Entries of the strategy again."""
        self._disabled.pop(event.strategy, None)
        self._remembered.executions.fold_enabled(event.strategy)
