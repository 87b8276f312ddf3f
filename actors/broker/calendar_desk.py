"""Sessions, gaps, and the ends of orders that time brings."""

from __future__ import annotations

from actors.broker.order_state import WorkingOrder
from actors.broker.state import BrokerState
from actors.messages.market import GapDetected, SessionClosed, SessionOpened
from actors.messages.orders import (
    OrderExpired,
    TimeInForce,
)
from daemon.kernel.actor import Context, decides, observes, seals


class CalendarDesk(BrokerState):
    """Knows the session under way; expires what it ends."""

    @observes(SessionOpened)
    def note_open(self, message: SessionOpened) -> None:
        """Fold the session; free proceeds that settle today."""
        market, number = self._market, message.session.number
        self._status.begin(number)
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
