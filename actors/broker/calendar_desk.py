"""Sessions, gaps, and the ends of orders that time brings."""

from __future__ import annotations

from actors.broker.bars import closing_match
from actors.broker.execution import Execution
from actors.broker.order_state import Auction
from actors.broker.resting import LASTING
from actors.broker.tick_desk import TickDesk
from actors.messages.market import GapDetected, SessionClosed, SessionOpened
from daemon.kernel.actor import Context, decides, observes, seals


class CalendarDesk(TickDesk):
    """Knows the session under way; expires what it ends."""

    @observes(SessionOpened)
    def note_open(self, message: SessionOpened) -> None:
        """Fold the session; free proceeds that settle today."""
        market, number = self._market, message.session.number
        if self._is_another(message):
            self._status.end()
        self._status.begin(number, (message.session.open_ts, message.session.close_ts))
        self._end_ticks()
        market.date = message.session.date
        if market.gap_to and (market.session_number < 0 or number <= market.session_number + 1):
            self._resting.told(market.gap_to)  # no session was missed in between
        market.session_number = number
        market.session_open = message.session.open_ts
        if self._is_another(message) and self._terms.adv is not None:
            self._terms.adv.end_session()  # the close of the session before was never seen
        if self._terms.spreads is not None:
            self._terms.spreads.session(message.session.open_ts, message.session.close_ts)
        if self._terms.aftermath is not None:
            self._terms.aftermath.clear()
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
        """End the session's book and volume row."""
        self._end_ticks()
        self._status.end()
        self._market.session_close = 0
        if self._terms.adv is not None:
            self._terms.adv.end_session()

    @decides(SessionClosed)
    def on_close(self, message: SessionClosed, ctx: Context) -> None:
        """Hold the closing auction for what no bar ended the session with; expire what the session ends.

        Orders that came in behind this close, which may be told late, are for the next session.
        """
        if not self._resting.orders:
            return
        execution = self._execution(message.session.date, ctx.now)
        self._carry_out(self._in_flight.all(), execution)
        self._close_ticked(execution, message.session.close_ts)
        self._close_auction(execution, message.session.close_ts)
        self._end_session(execution, message.session.close_ts)
        ctx.out += execution.events

    def _close_auction(self, execution: Execution, close: int) -> None:
        """Fill orders for the close at the last bars, in which the session's last price stands."""
        waiting = []
        for order in self._resting.auctions.values():
            if self._book.ticked(order.symbol):
                continue
            # Only an order for this close, which was there before it, has a last price.
            match = closing_match(order, on_touch=self._params.fill_on_touch)
            if match is not None and self._status.open(order.symbol, close):
                waiting.append((order.side, order.n, order, match))
                if order.last_volume is not None:
                    used = self._market.used.get(order.symbol, 0)
                    execution.offer_volume(order.symbol, order.last_volume, used)
        for _, _, order, match in sorted(waiting):
            now = execution.now_of(order)  # one of a group, of which another one was filled just now, is there no more
            if now is not None:
                execution.fill(now, match, order.last_half, match.ref)

    @decides(SessionOpened)
    def on_open(self, message: SessionOpened, ctx: Context) -> None:
        """Expire orders of sessions whose close was never seen, or that were missed as a whole."""
        another = self._is_another(message)
        if not (another or self._market.gap_to or self._resting.dated):
            return
        execution = self._execution(message.session.date, ctx.now)
        if another:
            self._end_session(execution, self._market.session_close)
        if self._market.gap_to:
            for working in self._resting.untold():  # none of them was accepted by that close
                execution.expire(working, working.order.tif.value)
        self._end_dated(execution, message.ts)
        ctx.out += execution.events

    @decides(GapDetected)
    def on_gap(self, gap: GapDetected, ctx: Context) -> None:
        """Carry out what reached the market within the gap; expire orders of a session that ended within it.

        Those must not meet a later session's bars, and a cancel must not be forgotten with the session it was meant in.
        """
        close = self._market.session_close
        ended = close and self._market.gap_to >= close
        arrived = self._in_flight.due(gap.to_ts)
        if not (ended or arrived):
            return
        execution = self._execution(self._market.date, ctx.now)
        self._carry_out(arrived, execution)
        if ended:
            self._end_session(execution, close)
        ctx.out += execution.events

    @seals(GapDetected)
    def seal_gap(self, gap: GapDetected) -> None:
        """Fold that those requests were answered."""
        for request in self._in_flight.due(gap.to_ts):
            self._answered(request)

    def _end_session(self, execution: Execution, close: int) -> None:
        """Expire what a session that ends at ``close`` ends: whatever does not outlive one and came in by then.

        An order for an opening waits for the next one where it came in behind this session's.
        """
        opened = self._market.session_open
        for working in self._resting.orders.values():
            tif = working.order.tif
            until = opened if working.auction is Auction.OPEN else close
            if tif not in LASTING and working.accepted_ts <= until and execution.now_of(working) is not None:
                execution.expire(working, tif.value)
        self._end_dated(execution, close)

    def _end_dated(self, execution: Execution, now: int) -> None:
        for working in self._resting.expired(now, at_once=True):
            if execution.now_of(working) is not None:
                execution.expire(working, "gtd")
