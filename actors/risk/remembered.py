"""What the gate remembers beyond prices, positions and what works: all of it folds, together in one place.

Rates and executions, sizes and volumes, quotes and walks, what of ours rests, the restricted list, day trades. Each is
its own module; here is which fact each of them hears.
"""

from __future__ import annotations

from typing import Any

from actors.messages.market import BarPanel, CorporateAction, QuotePanel, SessionOpened
from actors.messages.orders import (
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderReplaced,
    OrderRestated,
    SubmitOrder,
)
from actors.risk.day_trades import DayTrades
from actors.risk.exposure import Exposure
from actors.risk.params import RiskLimits
from actors.risk.price_limits import PriceLimits
from actors.risk.prices import Prices
from actors.risk.restricted import Restricted
from actors.risk.self_match import SelfMatch
from actors.risk.sizes import OPENING, Sizes
from actors.risk.throttle import Executions, Throttle
from actors.values.fixed import mul
from actors.values.universe import Universe


class Remembered:
    """The folds; the actor tells each fact once, before :class:`~actors.risk.exposure.Exposure` folds it."""

    __slots__ = (
        "_exposure",
        "_prices",
        "_symbols",
        "day_trades",
        "executions",
        "price_limits",
        "restricted",
        "self_match",
        "sizes",
        "throttle",
    )

    def __init__(
        self, universe: Universe, limits: RiskLimits, prices: Prices, exposure: Exposure, *, daily: bool
    ) -> None:
        """Begin with nothing remembered.

        Args:
            universe: what may be traded.
            limits: the limits.
            prices: last known prices, folded by the actor.
            exposure: positions and working orders, folded by the actor.
            daily: whether the run's bars are session bars.
        """
        self._symbols = universe.symbols
        self._prices = prices
        self._exposure = exposure
        self.throttle = Throttle(limits)
        self.executions = Executions(limits)
        self.sizes = Sizes(universe.symbols, limits, daily=daily)
        self.price_limits = PriceLimits(universe.symbols, limits)
        self.self_match = SelfMatch()
        self.restricted = Restricted(universe, limits, prices)
        self.day_trades = DayTrades(margin=exposure.is_margin)
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self.throttle.adopt(limits)
        self.executions.adopt(limits)
        self.sizes.adopt(limits)
        self.price_limits.adopt(limits)
        self.self_match.adopt(self._exposure.working.values(), on=limits.self_match_prevention)
        self.restricted.adopt(limits)
        self.day_trades.adopt(on=limits.pattern_day_trader)

    # -- market ----------------------------------------------------------------------------------------------------

    def fold_bars(self, panel: BarPanel) -> None:
        """Fold volumes and quotes."""
        if self.sizes.volumes.on:
            self.sizes.volumes.fold_bars(panel)
        if panel.bid_close is not None and self.price_limits.keeps_quotes:
            self.price_limits.quotes.fold_bars(panel)

    def fold_quotes(self, panel: QuotePanel) -> None:
        """Fold quotes."""
        if self.price_limits.keeps_quotes:
            self.price_limits.quotes.fold_quotes(panel)

    def fold_opened(self, panel: SessionOpened) -> None:
        """A session opened: what is out of every window is forgotten."""
        self.throttle.fold_opened(panel.ts)
        self.executions.fold_opened(panel.ts)
        self.sizes.normal.look()
        self.price_limits.quotes.fold_opened(panel)
        self.price_limits.walks.fold_opened(panel.ts)

    def fold_closed(self) -> None:
        """A session ended."""
        if self.sizes.volumes.on:
            self.sizes.volumes.fold_closed()

    def fold_action(self, action: CorporateAction) -> None:
        """Say what is remembered of a symbol as it is behind a corporate action."""
        symbol = action.symbol
        self.price_limits.quotes.forget(symbol)
        self.price_limits.walks.forget(symbol)
        if action.kind == "split" and action.numerator:
            self.sizes.volumes.split(symbol, action.numerator, action.denominator)
        elif action.kind == "rename" and action.renamed_to is not None:
            self.sizes.volumes.move(symbol, action.renamed_to)

    # -- orders ----------------------------------------------------------------------------------------------------

    def fold_accepted(self, event: OrderAccepted, ts: int) -> None:
        """An order works."""
        order = event.order
        if order.terms is None or not order.terms.bracket_of:  # what the broker brings to life, nobody sent
            if self.throttle.on:
                self.throttle.fold_order(order.symbol, ts)
            if self.sizes.normal.on and not order.reduce_only:
                self._note_size(order, event.ref_px)
        if self.self_match.on and order.limit_px is not None:
            self.self_match.fold_terms(order, order.limit_px)

    def _note_size(self, order: SubmitOrder, ref_px: int) -> None:
        holding = self._exposure.books[order.portfolio].holdings.get(order.symbol)
        px = order.limit_px or ref_px or self._prices.last(order.symbol)
        held = 0 if holding is None else holding.qty
        if px and held * order.side >= 0:
            key = order.portfolio, order.strategy, order.reason if held else OPENING
            self.sizes.normal.fold(key, mul(order.qty, px))

    def fold_rejected(self, order: SubmitOrder, ts: int) -> None:
        """The broker refused an order: it was sent all the same."""
        if self.throttle.on:
            self.throttle.fold_order(order.symbol, ts)

    def fold_replaced(self, event: OrderReplaced, ts: int) -> None:
        """An order has new terms."""
        name = event.client_order_id
        if self.throttle.on:
            self.throttle.fold_done(name, ts)
        if self.self_match.on:
            self.self_match.fold_terms(self._exposure.working[name].order, event.limit_px)

    def fold_restated(self, event: OrderRestated) -> None:
        """A corporate action changed an order; told behind :class:`~actors.risk.exposure.Exposure`."""
        if self.self_match.on:
            self.self_match.fold_terms(self._exposure.working[event.client_order_id].order, event.limit_px)

    def fold_triggered(self, client_order_id: str) -> None:
        """The condition of an order was met."""
        working = self._exposure.working.get(client_order_id)
        if working is not None:
            self.self_match.fold_triggered(working)

    def fold_requested(self, client_order_id: str, ts: int) -> None:
        """A cancel or a replace is on its way to the venue."""
        if self.throttle.on:
            self.throttle.fold_requested(client_order_id, ts)

    def fold_ended(self, event: OrderCanceled | OrderExpired, ts: int) -> None:
        """An order was cancelled, or its time was over; only the first takes a message."""
        if self.throttle.on:
            if type(event) is OrderCanceled:
                self.throttle.fold_done(event.client_order_id, ts)
            else:
                self.throttle.fold_ended(event.client_order_id)
        self.self_match.fold_ended(event.client_order_id)

    def fold_fill(self, event: Fill, ts: int) -> str:
        """An order traded; return why its strategy is to be switched off, "" where it is not."""
        symbol, name = event.symbol, event.client_order_id
        if not event.leaves_qty:
            self.throttle.fold_ended(name)
            self.self_match.fold_ended(name)
        if self.price_limits.walks.on:
            self.price_limits.walks.fold(symbol, event.ref_px, ts)
        if self.day_trades.margin:
            holding = self._exposure.books[event.portfolio].holdings.get(symbol)
            held = 0 if holding is None else holding.qty
            self.day_trades.fold(event.portfolio, symbol, event.side * event.last_qty, held, self._prices.session)
        if self.executions.on and event.strategy and event.cum_qty == event.last_qty:
            working = self._exposure.working.get(name)
            if working is None or not working.order.reduce_only:
                return self.executions.fold(event.strategy, symbol, self._symbols[symbol], ts)
        return ""

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "throttle": self.throttle.snapshot(),
            "executions": self.executions.snapshot(),
            "volumes": self.sizes.volumes.snapshot(),
            "sizes": self.sizes.normal.snapshot(),
            "prices": self.price_limits.snapshot(),
            "self_match": self.self_match.snapshot(),
            "restricted": self.restricted.snapshot(),
            "day_trades": self.day_trades.snapshot(),
        }

    def restore(self, state: dict[str, Any], limits: RiskLimits) -> None:
        """Take over what :meth:`snapshot` gave, behind :class:`~actors.risk.exposure.Exposure`; {} of an older one."""
        self.self_match.restore(
            state.get("self_match", []), self._exposure.working.values(), on=limits.self_match_prevention
        )
        if not state:
            return
        self.throttle.restore(state["throttle"])
        self.executions.restore(state["executions"])
        self.sizes.volumes.restore(state["volumes"])
        self.sizes.normal.restore(state["sizes"])
        self.price_limits.restore(state["prices"])
        self.restricted.restore(state["restricted"])
        self.day_trades.restore(state["day_trades"])
