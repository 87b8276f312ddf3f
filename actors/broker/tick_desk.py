"""Matches quotes and prints.

A tick is looked at before anybody decides (:meth:`TickDesk.note_quotes`, :meth:`TickDesk.note_trades`): the book, the
queues ahead of resting limits and the marks of trails are folds of the tape. What the decision needs of the moment
before (the queue in front of a print, which condition a print met) stands in :class:`Instant`, which lives for one
input and is no state.
"""

from __future__ import annotations

from typing import Final

from actors.broker import fees
from actors.broker.acceptance import POST_ONLY_WOULD_TAKE
from actors.broker.book import QUOTE, TRADE, Touch
from actors.broker.execution import FOK, IOC, Execution
from actors.broker.matching import Match
from actors.broker.order_state import Auction, Mode, WorkingOrder
from actors.broker.tick_matching import (
    Print,
    auction_match,
    crosses,
    filled_copy,
    first_met,
    give,
    prints_of,
    queue_ahead,
    queue_behind,
    queues,
    quote_match,
    quote_price,
    reached,
    resting_shares,
    rests_against,
    waits,
)
from actors.broker.tick_reach import TickReach
from actors.messages.market import QuotePanel, TradePanel
from actors.messages.orders import (
    OrderFilled,
    OrderPartiallyFilled,
    TimeInForce,
)
from actors.values.fixed import SCALE, mul
from daemon.kernel.actor import Context, decides, observes, seals

_UNASKED: Final = -1


class Instant:
    """What one tick input means for the working orders of its symbols.

    Attributes:
        orders: those that are live, sales first, older before younger.
        met: by order number the price that met its condition.
        prints: by symbol, empty for quotes.
        queues: by order number what was ahead of it before these prints.
        opening: symbols for which this is the session's first print, or the first quote.
        left: by (symbol, side) what is left at the opposite touch, None where sizes are not known.
        stirs: whether something may come of it for one of the orders.
    """

    __slots__ = ("left", "met", "opening", "orders", "prints", "queues", "stirs")

    def __init__(self, orders: list[WorkingOrder]) -> None:
        self.orders = orders
        self.met: dict[int, int] = {}
        self.prints: dict[int, list[Print]] = {}
        self.queues: dict[int, int | None] = {}
        self.opening: set[int] = set()
        self.left: dict[tuple[int, int], int | None] = {}
        self.stirs = False


class TickDesk(TickReach):
    """Folds ticks and matches them against what works."""

    # -- observing -------------------------------------------------------------------------------------------------

    _instant: Instant | None = None
    _came_before = 0
    """Orders with numbers below this one were there before the tick in progress, which both are of: no state."""

    def _begin(self, panel: QuotePanel | TradePanel) -> Instant | None:
        """Begin an instant for the orders that a tick may concern; None where there are none."""
        if self._terms.spreads is not None:
            self._terms.spreads.event(panel.ts, panel.ts)
        self._came_before = self._next
        orders = self._concerned(panel)
        self._instant = Instant(orders) if orders else None
        return self._instant

    @observes(QuotePanel)
    def note_quotes(self, panel: QuotePanel) -> None:
        """Fold quotes, and what they mean for queues and trails."""
        book = self._book
        instant = self._begin(panel)
        if instant is None:
            book.note_quotes(panel)
            return
        orders = instant.orders
        for order in orders:
            if not book.quoted(order.symbol):
                instant.opening.add(order.symbol)
            if queues(order) and (order.taking or order.queue is None):
                self._settle(order)
        book.note_quotes(panel)
        for order in orders:
            touch = book.touch(order.symbol)
            if not order.arrival_px and touch.whole:
                self._resting.arrived(order, touch.mid)
            if queues(order):
                order.queue = queue_ahead(order, book)
                instant.stirs |= order.immediate or crosses(order, touch)
            else:
                self._await(order, instant)

    def _await(self, order: WorkingOrder, instant: Instant) -> None:
        """Fold what this instant's prices mean for an order that rests nowhere: for most, whether they trigger it."""
        if waits(order):
            met = instant.met[order.n] = first_met(order, self._prices(order, instant))
            instant.stirs |= met > 0
        else:
            instant.stirs = True

    def _settle(self, order: WorkingOrder) -> None:
        """Fold where a limit stands in the book of before this tick: it may have reached the market since the last."""
        book = self._book
        order.queue = queue_ahead(order, book)
        if order.taking:
            touch = book.touch(order.symbol)
            if touch.whole and not crosses(order, touch):
                self._resting.rest(order)

    @observes(TradePanel)
    def note_trades(self, panel: TradePanel) -> None:
        """Fold prints, and what they mean for queues and trails."""
        book = self._book
        instant = self._begin(panel)
        if instant is None:
            book.note_trades(panel)
            return
        orders = instant.orders
        wanted = {order.symbol: None for order in orders}
        rows: dict[int, list[tuple[float, float]]] = {symbol: [] for symbol in wanted}
        for symbol, px, size in zip(panel.ids.tolist(), panel.price.tolist(), panel.size.tolist(), strict=True):
            if symbol in wanted:
                rows[symbol].append((px, size))
        for symbol in wanted:
            instant.prints[symbol] = prints_of(rows[symbol], self._params.participation)
            if not book.printed(symbol):
                instant.opening.add(symbol)
        for order in orders:
            prints = instant.prints[order.symbol]
            if queues(order):
                self._settle(order)
                instant.queues[order.n] = order.queue
                order.queue = queue_behind(order, order.queue, prints)
                instant.stirs |= order.taking or order.immediate or reached(order, prints)
            else:
                self._await(order, instant)
            if not order.arrival_px:
                self._resting.arrived(order, book.reference(order.symbol) or prints[0].px)
        book.note_trades(panel)

    @seals(QuotePanel, TradePanel)
    def seal_tick(self, panel: QuotePanel | TradePanel) -> None:
        """Fold that limits rest which met a market they do not cross, and that requests were answered by now."""
        self._instant = None
        if self._terms.margin is not None:
            self._terms.margin.fold_ticks(self._book, panel.ids)
        if self._resting.taking:
            self._let_rest(panel)
        for request in self._in_flight.due(panel.ts):
            self._answered(request)
        if self._status.computes and isinstance(panel, TradePanel):
            self._status.note_trades(panel)

    def _let_rest(self, panel: QuotePanel | TradePanel) -> None:
        """Let limits rest that were to take and met a market with nothing to take for them.

        Those are among them that got other terms with this very tick.
        """
        resting, ts = self._resting, panel.ts
        for symbol in dict.fromkeys(panel.ids.tolist()):
            for order in resting.taking_in(symbol):
                if order.n >= self._came_before or not self._is_live(order, ts):
                    continue
                if self._status.open(symbol, ts) and self._has_met(order, panel):
                    resting.rest(order)

    def _has_met(self, order: WorkingOrder, panel: QuotePanel | TradePanel) -> bool:
        """Tell whether a limit met a market that it does not cross."""
        assert order.limit_px is not None  # noqa: S101 - only limits are judged by how they came in; mypy cannot know
        book, symbol = self._book, order.symbol
        if book.quoted(symbol):
            touch = book.touch(symbol)
            return touch.whole and not crosses(order, touch)
        if isinstance(panel, QuotePanel):
            return False
        prints = panel.price[panel.ids == symbol].tolist()
        return any(order.side * (order.limit_px - round(px * SCALE)) <= 0 for px in prints)

    # -- deciding --------------------------------------------------------------------------------------------------

    @decides(QuotePanel, TradePanel)
    def on_tick(self, panel: QuotePanel | TradePanel, ctx: Context) -> None:
        """Carry out what has arrived, then match."""
        instant = self._instant
        resting = self._resting
        stirs = instant is not None and instant.stirs
        if not stirs and panel.ts < self._in_flight.next_ts and not 0 < resting.next_expiry < panel.ts:
            return
        execution = self._execution(self._market.date, ctx.now)
        self._carry_out(self._in_flight.due(panel.ts), execution)
        for working in resting.expired(panel.ts, at_once=False):
            if working.n not in execution.ended:
                execution.expire(working, "gtd")
        if instant is not None:
            self._match(instant, execution)
        self._overtaken(execution)
        ctx.out += execution.events

    def _match(self, instant: Instant, execution: Execution) -> None:
        for order in instant.orders:
            now = execution.now_of(order)
            if now is None:
                continue
            if waits(now):
                met = instant.met.get(order.n, 0)
                if now.stop_px != order.stop_px:  # new terms that have just arrived are asked the same question
                    met = first_met(now, self._prices(now, instant))
                if met:
                    execution.trigger(now, met)
            elif now.auction:
                if now.auction is Auction.OPEN and order.symbol in instant.opening:
                    self._meet_opening(now, instant, execution)
            elif instant.prints:
                self._meet_prints(now, instant, execution)
            else:
                self._meet_quote(now, instant, execution)

    def _prices(self, order: WorkingOrder, instant: Instant) -> list[int]:
        """Return the prices of this instant that may meet an order's condition, in order."""
        symbol = order.symbol
        if instant.prints:
            return [one.px for one in instant.prints[symbol]]
        px = 0 if self._book.printed(symbol) else quote_price(self._book.touch(symbol), order.side)
        return [px] if px else []

    def _meet_quote(self, order: WorkingOrder, instant: Instant, execution: Execution) -> None:
        """Match an order against the opposite touch."""
        touch = self._book.touch(order.symbol)
        if not touch.whole:
            return
        match = quote_match(order, touch)
        filled = 0
        if match is not None:
            terms = order.terms
            if order.taking and terms is not None and terms.post_only:
                execution.cancel(order, POST_ONLY_WOULD_TAKE)
                return
            filled = self._take_touch(order, match, touch, instant, execution)
        self._end_immediate(order, filled, execution)

    def _take_touch(
        self, order: WorkingOrder, match: Match, touch: Touch, instant: Instant, execution: Execution
    ) -> int:
        """Fill an order at the opposite touch, from what is left there; return how much."""
        symbol, side = order.symbol, order.side
        key = symbol, side
        left = instant.left.get(key, _UNASKED)
        if left == _UNASKED:
            left = self._book.offered(symbol, side)
        execution.allow(symbol, left, self._book.displayed(symbol, -side) or 0)
        half = side * (touch.opposite(side) - touch.mid)
        filled = _fill(order, execution, match, half, touch.mid)
        instant.left[key] = None if left is None else left - filled
        return filled

    def _meet_prints(self, order: WorkingOrder, instant: Instant, execution: Execution) -> None:
        """Match an order against prints."""
        symbol = order.symbol
        prints = instant.prints[symbol]
        quoted = self._book.quoted(symbol)
        if order.mode is Mode.LIMIT and rests_against(order, self._book.touch(symbol), quoted=quoted):
            if not quoted and symbol in instant.opening:
                rest = self._open_through(order, prints[0], execution)
                if rest is None:
                    return
                order = rest
            queue = instant.queues.get(order.n) if self._params.queue else None
            shares = resting_shares(order, queue, prints, self._terms.lot_size)
            total = sum(shares)
            if total and order.limit_px is not None:
                execution.allow(symbol, total)
                filled = _fill(order, execution, Match(order.limit_px, TRADE, maker=True), None, prints[0].px)
                give(prints, shares, filled)
        elif not quoted:
            self._take_prints(order, prints, execution)
            now = execution.now_of(order)
            if now is not None:
                self._end_immediate(now, 0, execution)

    def _open_through(self, order: WorkingOrder, first: Print, execution: Execution) -> WorkingOrder | None:
        """Let a limit that waited for the session have its first print at that price, where it opens through it.

        As on bars the limit gets the open; where there are quotes, the first one gave it that. The order is returned as
        it is then, None where nothing of it is left.
        """
        if order.limit_px is None or order.side * (order.limit_px - first.px) <= 0:
            return order
        execution.allow(order.symbol, first.left)
        filled = _fill(order, execution, Match(first.px, TRADE, maker=True), None, first.px)
        first.left -= filled
        first.given += filled
        return self._after(order, execution) if filled else execution.now_of(order)

    def _take_prints(self, order: WorkingOrder, prints: list[Print], execution: Execution) -> None:
        """Let what takes liquidity take the next prints, where no quote tells the price."""
        now: WorkingOrder | None = order
        for one in prints:
            if now is None or (now.limit_px is not None and now.side * (now.limit_px - one.px) <= 0):
                return
            terms = now.terms
            if now.limit_px is not None and terms is not None and terms.post_only:
                execution.cancel(now, POST_ONLY_WOULD_TAKE)
                return
            execution.allow(now.symbol, one.left, one.size)
            filled = _fill(now, execution, Match(one.px, TRADE, maker=False), None, one.px)
            one.left -= filled
            one.given += filled
            if filled:
                now = self._after(now, execution)
            elif now.n in execution.ended:
                return

    def _after(self, order: WorkingOrder, execution: Execution) -> WorkingOrder | None:
        """Return an order behind the fill that was stated last, None where it ended with it."""
        if order.n in execution.ended:
            return None
        fill = next(event for event in reversed(execution.events) if isinstance(event, OrderPartiallyFilled))
        rates = fees.rates_on(self._market.date) if self._params.regulatory_fees else None
        changed = execution.present[order.n] = filled_copy(order, fill, rates)
        return changed

    @staticmethod
    def _end_immediate(order: WorkingOrder, filled: int, execution: Execution) -> None:
        """Cancel what its one chance left of an order that does not wait."""
        if order.immediate and order.n not in execution.ended:
            execution.cancel(order, FOK if order.order.tif is TimeInForce.FOK else IOC, filled)

    def _meet_opening(self, order: WorkingOrder, instant: Instant, execution: Execution) -> None:
        """Fill an order for the opening auction at the session's first print, or quote where there are no prints."""
        symbol, filled = order.symbol, 0
        if instant.prints:
            first = instant.prints[symbol][0]
            match = auction_match(order, first.px, first.px, TRADE, on_touch=self._params.fill_on_touch)
            if match is not None:
                execution.allow(symbol, first.left, first.size)
                filled = _fill(order, execution, match, None, first.px)
                first.left -= filled
                first.given += filled
        else:
            touch = self._book.touch(symbol)
            if self._book.prints_known or not touch.whole:
                return
            match = auction_match(order, touch.opposite(order.side), touch.mid, QUOTE, on_touch=True)
            if match is not None:
                filled = self._take_touch(order, match, touch, instant, execution)
        if order.n not in execution.ended:
            rest = order.copy()
            rest.cum_qty += filled
            execution.expire(rest, "opg")

    # -- for the calendar ------------------------------------------------------------------------------------------

    def _end_ticks(self) -> None:
        """Fold that the session's ticks are over: last prices stay, the book and what was asked of it do not."""
        if self._in_flight.waiting:
            for request in self._in_flight.all():
                self._answered(request)
        self._end_book()

    def _close_ticked(self, execution: Execution, close: int) -> None:
        """Fill orders for the closing auction at the last print, in a session without prints at the last quote.

        What an auction trades is not told apart from other prints: the last one stands for its price, and what printed
        in its minute for its volume, as the last bar of the day does on minute bars.
        """
        book, participation = self._book, self._params.participation
        instant = Instant([])
        orders = [order for order in self._resting.auctions.values() if order.auction is Auction.CLOSE]
        for order in sorted(orders, key=lambda order: (order.side, order.n)):
            symbol = order.symbol
            now = execution.now_of(order)
            if now is None or order.accepted_ts > close or not book.ticked(symbol):
                continue
            px, size = book.last_print(symbol)
            if not self._status.open(symbol, close):
                continue
            if not px:
                touch = book.touch(symbol)
                px = touch.opposite(order.side)
                match = auction_match(now, px, touch.mid, QUOTE, on_touch=True) if touch.whole else None
                if match is not None:
                    self._take_touch(now, match, touch, instant, execution)
                continue
            match = auction_match(now, px, px, TRADE, on_touch=self._params.fill_on_touch)
            if match is not None:
                left = instant.left.get((symbol, 0))
                if left is None:
                    left = mul(size, participation) if participation else size
                execution.allow(symbol, left, size)
                instant.left[symbol, 0] = left - _fill(now, execution, match, None, px)


def _fill(order: WorkingOrder, execution: Execution, match: Match, half: int | None, arrival: int) -> int:
    """Fill what the limits allow of an order; return how much that was."""
    events = execution.events
    before = len(events)
    execution.fill(order, match, half, arrival)
    name = order.order.client_order_id
    return sum(
        event.last_qty
        for event in events[before:]
        if isinstance(event, OrderFilled | OrderPartiallyFilled) and event.client_order_id == name
    )
