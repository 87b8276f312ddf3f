"""What stands against any entry at a moment, whatever its size: breakers, lists, halts, stale prices, rates."""

from __future__ import annotations

from actors.messages.orders import SubmitOrder
from actors.risk.blocks import Blocks
from actors.risk.breakers import Guard
from actors.risk.form import Denial, seconds
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.remembered import Remembered
from actors.values.halts import HALTED, LULD
from actors.values.time import format_ts


class Standing:
    """The checks, in their order, over state that the actor folds; reads only."""

    __slots__ = (
        "_blocks",
        "_day_trades",
        "_disabled",
        "_guards",
        "_limits",
        "_prices",
        "_restricted",
        "_symbols",
        "_throttle",
    )

    def __init__(
        self,
        symbols: tuple[str, ...],
        limits: RiskLimits,
        *,
        prices: Prices,
        guards: dict[str, Guard],
        blocks: Blocks,
        disabled: dict[str, str],
        remembered: Remembered,
    ) -> None:
        """Build over the actor's live state.

        Args:
            symbols: their names.
            limits: the limits.
            prices: last known prices and the calendar.
            guards: loss limits and baselines by portfolio.
            blocks: breakers that block and protections that lock.
            disabled: strategies that are switched off -> why.
            remembered: rates, the restricted list, day trades.
        """
        self._symbols = symbols
        self._prices = prices
        self._guards = guards
        self._blocks = blocks
        self._disabled = disabled
        self._throttle = remembered.throttle
        self._restricted = remembered.restricted
        self._day_trades = remembered.day_trades
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._limits = limits

    def why(  # noqa: PLR0911 - one return per check
        self, order: SubmitOrder, now: int, ref: int, *, new: bool
    ) -> Denial | None:
        """Return what stands against any entry in the symbol at this moment.

        Args:
            order: the entry.
            now: the instant, nanoseconds UTC.
            ref: last price of its symbol, units of 1e-8, 0 where none is known.
            new: whether it is a new order, not the replace of one.
        """
        symbol, portfolio = order.symbol, order.portfolio
        limits, prices = self._limits, self._prices
        if self._guards[portfolio].blocked:
            reason = "the day's loss limit blocks new entries until the daily_loss breaker is armed again"
            return Denial("ENTRIES_BLOCKED", reason)
        if self._blocks.any:
            denial = self._blocks.why(portfolio, symbol, order.strategy, now, prices.session)
            if denial is not None:
                return denial
        if self._disabled and order.strategy in self._disabled:
            reason = f"{order.strategy} is switched off ({self._disabled[order.strategy]}); enable it first"
            return Denial("STRATEGY_DISABLED", reason)
        if self._restricted.why and symbol in self._restricted.why:
            why = self._restricted.why[symbol]
            reason = f"{self._symbols[symbol]} is on the restricted list ({why}); what is held may be closed"
            return Denial("RESTRICTED", reason)
        if prices.halts.stopped and (denial := self._halted(symbol)) is not None:
            return denial
        if (not ref or now != prices.whole_ts) and (denial := self._unfresh(symbol, now, ref)) is not None:
            return denial
        if limits.no_entry_before_close_ns and prices.closes_at - now <= limits.no_entry_before_close_ns:
            ends = format_ts(prices.closes_at)
            last = seconds(limits.no_entry_before_close_ns)
            reason = (
                f"nothing is entered in the last {last} s of a session, and this one ends at {ends}; wait for the next"
            )
            return Denial("NEAR_CLOSE", reason, seconds(prices.closes_at - now), last)
        day_trades = self._day_trades
        if portfolio in day_trades.tight:
            base = self._guards[portfolio].closed  # no reset of a breaker makes another close of it
            denial = day_trades.why(portfolio, prices.session, prices.session_date, base)
            if denial is not None:
                return denial
        throttle = self._throttle
        if now < throttle.until or throttle.blocked:
            return throttle.why(symbol, self._symbols[symbol], now, new=new)
        return None

    def _unfresh(self, symbol: int, now: int, ref: int) -> Denial | None:
        """Return why a symbol's last price says nothing of what an entry would pay."""
        limits, prices = self._limits, self._prices
        if not ref:
            if limits.require_reference:
                reason = f"{self._symbols[symbol]} has no price yet; send the order once it has one"
                return Denial("NO_REF_PRICE", reason)
            return None
        if prices.daily:
            age = prices.sessions_old(symbol) if limits.stale_sessions else 0
            if age > limits.stale_sessions:
                reason = f"the last price of {self._symbols[symbol]} is {age} sessions old; wait for a fresh one"
                return Denial("STALE_PRICE", reason, str(age), str(limits.stale_sessions))
        elif limits.stale_ns:
            age = prices.age_ns(symbol, now)
            if age > limits.stale_ns:
                value, limit = seconds(age), seconds(limits.stale_ns)
                reason = f"the last price of {self._symbols[symbol]} is {value} s too old; wait for a fresh one"
                return Denial("STALE_PRICE", reason, value, limit)
        return None

    def _halted(self, symbol: int) -> Denial | None:
        found = self._prices.halts.why(symbol)
        if found is None:
            return None
        state, why = found
        what = {HALTED: "halted", LULD: "paused"}.get(state, f"of unknown status {state!r}")
        said = f" ({why})" if why else ""
        reason = f"{self._symbols[symbol]} is {what}{said}; enter once it trades again, exits may wait for that"
        return Denial("SYMBOL_HALTED", reason)
