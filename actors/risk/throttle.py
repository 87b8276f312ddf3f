"""How much may be sent: token buckets of new orders and messages, and executions of one strategy in one symbol.

A bucket is the generic cell rate algorithm (ITU-T I.371): one number, the instant by which everything sent so far would
have been sent at the steady rate. Behind a burst of ``b`` at a rate of ``r`` no stretch of ``t`` seconds ever has more
than ``r x t + b`` that were asked. What is over a limit is refused with the instant at which it would pass; nothing
waits in a queue.

Everything sent counts: orders that were accepted or rejected, replaces and cancels. Only entries and replaces of
entries are refused: what reduces risk and every cancel passes, and at most empties the bucket.

More executions of one strategy in one symbol within a window than are allowed switch the strategy off (Delegated
Regulation (EU) 2017/589, article 15(3)): at once in the gate, by a command everywhere else, and only an operator
switches it on again. Orders that only reduce a position, as automatic exits do, are no executions of a strategy.
"""

from __future__ import annotations

from typing import Any, Final

from actors.risk.form import Denial, plain, seconds
from actors.risk.params import RiskLimits
from actors.values.time import SECOND_NS, format_ts

BY: Final = "risk"


def _step(rate: float) -> int:
    """Return nanoseconds from one to the next at the steady rate, 0 for no limit; never faster than the rate."""
    return -int(-SECOND_NS // rate) if rate > 0 else 0


class Throttle:
    """Buckets of new orders, of messages, and of new orders by symbol; a fold of what was sent.

    Attributes:
        on: whether any of them limits.
        until: no new order before this instant, nanoseconds UTC.
        blocked: by symbol id the same of its own, where its bucket was empty when it was last looked at.
    """

    __slots__ = (
        "_limits",
        "_message_span",
        "_message_step",
        "_message_tat",
        "_order_span",
        "_order_step",
        "_order_tat",
        "_requested",
        "_symbol_span",
        "_symbol_step",
        "_symbol_tats",
        "blocked",
        "on",
        "until",
    )

    def __init__(self, limits: RiskLimits) -> None:
        """Begin with full buckets."""
        self._order_tat = 0
        self._message_tat = 0
        self._symbol_tats: dict[int, int] = {}
        self._requested: dict[str, None] = {}
        self.blocked: dict[int, int] = {}
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Limit by these from now on; what was sent stays sent."""
        self._limits = limits
        self._order_step = _step(limits.order_rate)
        self._order_span = max(limits.order_burst - 1, 0) * self._order_step
        self._message_step = _step(limits.message_rate)
        self._message_span = max(limits.message_burst - 1, 0) * self._message_step
        self._symbol_step = _step(limits.symbol_order_rate)
        self._symbol_span = max(limits.symbol_order_burst - 1, 0) * self._symbol_step
        self.on = bool(self._order_step or self._message_step or self._symbol_step)
        self._look()
        self.blocked = {symbol: tat - self._symbol_span for symbol, tat in self._symbol_tats.items()}

    def _look(self) -> None:
        orders = self._order_tat - self._order_span if self._order_step else 0
        messages = self._message_tat - self._message_span if self._message_step else 0
        self.until = max(orders, messages)

    # -- folds -----------------------------------------------------------------------------------------------------

    def fold_order(self, symbol: int, ts: int) -> None:
        """A new order was sent, accepted or not."""
        step = self._order_step
        if step:
            tat = self._order_tat
            self._order_tat = min(max(tat, ts) + step, ts + self._order_span + step)
        step = self._symbol_step
        if step:
            tat = self._symbol_tats.get(symbol, 0)
            tat = self._symbol_tats[symbol] = min(max(tat, ts) + step, ts + self._symbol_span + step)
            until = tat - self._symbol_span
            if until > ts:
                self.blocked[symbol] = until
            elif self.blocked:
                self.blocked.pop(symbol, None)
        self.fold_message(ts)

    def fold_message(self, ts: int) -> None:
        """An order, a replace or a cancel was sent."""
        step = self._message_step
        if step:
            tat = self._message_tat
            self._message_tat = min(max(tat, ts) + step, ts + self._message_span + step)
        self._look()

    def fold_requested(self, client_order_id: str, ts: int) -> None:
        """A replace or a cancel is on its way to the venue: it was sent now, not when it takes effect."""
        self._requested[client_order_id] = None
        self.fold_message(ts)

    def fold_done(self, client_order_id: str, ts: int) -> None:
        """A replace or a cancel took effect: one that was on its way counts already."""
        if self._requested and client_order_id in self._requested:
            del self._requested[client_order_id]
        else:
            self.fold_message(ts)

    def fold_ended(self, client_order_id: str) -> None:
        """An order ended otherwise: nothing is on its way for it any more."""
        if self._requested:
            self._requested.pop(client_order_id, None)

    def fold_opened(self, now: int) -> None:
        """Forget the symbols whose buckets are full again."""
        self._symbol_tats = {symbol: tat for symbol, tat in self._symbol_tats.items() if tat > now}
        self.blocked = {symbol: until for symbol, until in self.blocked.items() if until > now}

    # -- the question ----------------------------------------------------------------------------------------------

    def why(self, symbol: int, name: str, now: int, *, new: bool) -> Denial | None:
        """Return why an entry (``new``) or the replace of one is over a limit now."""
        limits = self._limits
        if self._message_step and now < (until := self._message_tat - self._message_span):
            what = "orders and replaces"
            return _over("MESSAGE_RATE", what, limits.message_rate, limits.message_burst, until, now)
        if not new:
            return None
        if self._order_step and now < (until := self._order_tat - self._order_span):
            return _over("ORDER_RATE", "new orders", limits.order_rate, limits.order_burst, until, now)
        until = self.blocked.get(symbol, 0) if self._symbol_step else 0
        if now < until:
            what = f"new orders in {name}"
            rate, burst = limits.symbol_order_rate, limits.symbol_order_burst
            return _over("SYMBOL_ORDER_RATE", what, rate, burst, until, now)
        return None

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        tats = [[symbol, tat] for symbol, tat in self._symbol_tats.items()]
        blocked = [[symbol, until] for symbol, until in self.blocked.items()]
        return [self._order_tat, self._message_tat, tats, blocked, list(self._requested)]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._order_tat, self._message_tat, tats, blocked, requested = state
        self._symbol_tats = dict(tats)
        self.blocked = dict(blocked)
        self._requested = dict.fromkeys(requested)
        self._look()


def _over(code: str, what: str, rate: float, burst: int, until: int, now: int) -> Denial:
    wait = seconds(until - now)
    reason = (
        f"more than {plain(rate)} {what} a second behind a burst of {burst} were sent; "
        f"the next passes in {wait} s, at {format_ts(until)}"
    )
    return Denial(code, reason, wait, plain(rate))


class Executions:
    """Executed orders of each strategy in each symbol within a window; a fold of first fills.

    Attributes:
        on: whether they are limited.
        over: strategy -> why, of those that went over the limit and are not said to be switched off yet.
    """

    __slots__ = ("_most", "_off", "_times", "_window", "on", "over")

    def __init__(self, limits: RiskLimits) -> None:
        """Begin with none."""
        self._times: dict[tuple[str, int], list[int]] = {}
        self._off: dict[str, None] = {}
        self.over: dict[str, str] = {}
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Limit by these from the next execution on."""
        self._most = limits.max_executions
        self._window = limits.executions_window_ns
        self.on = self._most > 0 and self._window > 0

    def fold(self, strategy: str, symbol: int, name: str, ts: int) -> str:
        """An order of a strategy was executed; return why it is to be switched off, "" where it is not."""
        key = (strategy, symbol)
        times = self._times.get(key)
        if times is None:
            self._times[key] = [ts]
            count = 1
        else:
            if times[0] <= ts - self._window:
                times[:] = [t for t in times if t > ts - self._window]
            times.append(ts)
            count = len(times)
        if count <= self._most or strategy in self._off:
            return ""
        window = seconds(self._window)
        why = f"{count} of its orders in {name} were executed within {window} s, more than {self._most}"
        self.over[strategy] = why
        return why

    def fold_disabled(self, strategy: str) -> None:
        """A strategy is off, and it was said."""
        self._off[strategy] = None
        self.over.pop(strategy, None)

    def fold_enabled(self, strategy: str) -> None:
        """An operator lets a strategy go on: it is counted from here."""
        self._off.pop(strategy, None)
        self.over.pop(strategy, None)
        self._times = {key: times for key, times in self._times.items() if key[0] != strategy}

    def fold_opened(self, now: int) -> None:
        """Forget what is out of the window."""
        since = now - self._window
        self._times = {key: times for key, times in self._times.items() if times[-1] > since}

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        times = [[*key, times] for key, times in self._times.items()]
        return [times, list(self._off), [list(item) for item in self.over.items()]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        times, off, over = state
        self._off = dict.fromkeys(off)
        self._times = {(strategy, symbol): list(stamps) for strategy, symbol, stamps in times}
        self.over = dict(over)
