"""The risk actor's watchers: each folds what it counts, and asks whether that has reached a breaker's limit.

What counts (losses in a row, orders, refusals) trips at the limit, and so does what is compared with a level
(volatility); what is a distance trips beyond it (a fill's price, its cost, silence, a clock's jump). What cannot be
measured trips nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.messages.control import ClockStepped, ReviewRisk
from actors.messages.inference import PredictionsScored, StrategyEnabled
from actors.messages.limits import BreakerRule
from actors.messages.market import FeedConnected, FeedLost, FeedStale, SessionOpened
from actors.messages.orders import Fill, OrderDenied, OrderFilled, OrderPartiallyFilled, OrderRejected
from actors.messages.portfolio import SignalsReady, TradeClosed
from actors.messages.risk import (
    BreakerReset,
    ConnectionChanged,
    EntriesLocked,
    LimitBreached,
    LimitsChanged,
    RiskReviewed,
)
from actors.risk import breaker_rows as names
from actors.risk.breaker_desk import BreakerDesk
from actors.risk.fill_checks import distance, insane, slipped
from actors.risk.protections import locks
from actors.risk.silence import SECOND
from actors.risk.utilization import at_close, names_used
from actors.risk.wildness import volatility
from actors.values.fixed import mul
from actors.values.time import format_ts
from daemon.kernel.actor import Context, decides, evolves


class WatchDesk(BreakerDesk):
    """See the module; the actor tells of what it folds itself."""

    # -- orders ------------------------------------------------------------------------------------------------------

    def _fold_taken(self) -> None:
        """An order passed, and the broker works it; called while one of the two is counted."""
        ts = self._stamps.last_ts
        if self._counts_orders:
            self._orders_passed.fold(ts)
        if self._counts_refusals:
            self._refusals.fold_taken(ts)

    def _fold_refused(self) -> None:
        """An order was denied or rejected."""
        refusals = self._refusals
        if not self._counts_refusals:
            return
        refusals.fold_refused(self.frame_ts)
        if refusals.trips():
            share = refusals.share() or 0.0
            cause = f"{share:.0%} of the orders of the last {seconds(self._rule(names.REJECT_RATE).window_ns)} refused"
            self._find(self._trip(names.REJECT_RATE, share, cause))

    @decides(OrderDenied, OrderRejected)
    def refused(self, event: OrderDenied | OrderRejected, ctx: Context) -> None:
        """Trip where too many are."""
        del event
        self._decide_findings(ctx)

    def _watch_rate(self, ctx: Context) -> None:
        """Trip with the order that is one too many; it passes, and what it leaves working is cancelled by a halt."""
        if self._orders_passed.trips(ctx.now) and self._rows.get("", names.ORDER_RATE) is None:
            rule = self._rule(names.ORDER_RATE)
            cause = f"{rule.limit:g} orders within {seconds(rule.window_ns)}"
            self._act(ctx, [self._trip(names.ORDER_RATE, rule.limit, cause)])

    # -- fills -------------------------------------------------------------------------------------------------------

    def _fold_fill_checks(self, fill: Fill) -> None:
        """Judge a fill against its order and the market, before the fill is folded."""
        ticker = self._universe.symbols[fill.symbol]
        away = distance(fill, self._bar, self._prices.last(fill.symbol)) if self._insane_from else None
        working = self._exposure.working.get(fill.client_order_id)
        found = insane(fill, working, away, self._insane_from)
        if found is not None:
            cause = f"{ticker} {found.cause}"
            self._find(self._trip(names.FILL_SANITY, found.value, cause, portfolio=fill.portfolio, subject=ticker))
        cost = slipped(fill) if self._slips_from else None
        if cost is not None and cost > self._slips_from:
            cause = f"a fill of {ticker} cost {cost:.2%} in its price"
            self._find(self._trip(names.SLIPPAGE, cost, cause, portfolio=fill.portfolio, subject=ticker))

    @decides(OrderFilled, OrderPartiallyFilled)
    def fill_judged(self, event: Fill, ctx: Context) -> None:
        """Trip where a fill cannot be true, or cost too much."""
        del event
        self._decide_findings(ctx)

    # -- trades ------------------------------------------------------------------------------------------------------

    @evolves(TradeClosed)
    def trade_closed(self, event: TradeClosed) -> None:
        """Count losses in a row, and stops."""
        self._streaks.fold(event, self._prices.session)
        rule = self._rule(names.LOSS_STREAK)
        losses = self._streaks.losses(event.portfolio)
        if rule.limit and losses >= rule.limit:
            cause = f"{losses} trades in a row lost money"
            self._find(self._trip(names.LOSS_STREAK, float(losses), cause, portfolio=event.portfolio))

    @decides(TradeClosed)
    def protect(self, event: TradeClosed, ctx: Context) -> None:
        """Lock what a loss or too many stops lock, and trip on too many losses in a row."""
        limits = self._limits
        if limits.cooldown_ns or limits.cooldown_sessions or limits.stop_guard:
            holding = self._exposure.books[event.portfolio].holdings.get(event.symbol)
            for lock in locks(
                event,
                limits,
                self._streaks,
                ticker=self._universe.symbols[event.symbol],
                held=holding.qty if holding is not None else 0,
                now=ctx.now,
                session=self._prices.session,
            ):
                ctx.emit(lock)
        self._decide_findings(ctx)

    @evolves(EntriesLocked)
    def locked(self, event: EntriesLocked) -> None:
        """No entries for a while."""
        self._blocks.fold_locked(event)
        self._streaks.fold_locked(event)

    # -- data --------------------------------------------------------------------------------------------------------

    def _fold_session_opened(self, panel: SessionOpened) -> None:
        """Fold the calendar: locks end, silence is measured from here."""
        ts = self.frame_ts
        self._blocks.fold_opened(ts, self._prices.session)
        if self._used.any:
            self._used.fold_opened(list(self._uses(told=True)))
        tripped = self._rows.get("", names.STALE_DATA) is not None
        self._silence.fold_opened(ts, max(0, panel.first_end - panel.ts), watch=not tripped)
        self._feeds.fold_opened(ts)

    def _watch_session(self, ctx: Context) -> None:
        """A session has opened: set the timers that watch it."""
        if self._silence.fresh:
            ctx.call_at(self._silence.fresh, ReviewRisk(names.STALE_DATA))
        due = self._feeds.due(ctx.now)
        for feed in self._feeds.lost if due else ():
            ctx.call_at(due, ReviewRisk(names.CONNECTIVITY, feed))

    @decides(ReviewRisk)
    def review_risk(self, command: ReviewRisk, ctx: Context) -> None:
        """Look at silence, the time for which has come; what was heard meanwhile moves the timer on."""
        if command.what == names.STALE_DATA:
            self._review_silence(ctx)
        elif command.what == names.CONNECTIVITY:
            self._review_feed(command.subject, ctx)

    @evolves(RiskReviewed)
    def reviewed(self, event: RiskReviewed) -> None:
        """That timer waits no longer."""
        (self._silence if event.what == names.STALE_DATA else self._feeds).fold_reviewed(event)

    def _review_silence(self, ctx: Context) -> None:
        silence, now = self._silence, ctx.now
        if not silence.waiting:
            return
        watched = silence.next_due if self._rows.get("", names.STALE_DATA) is None else 0
        after = silence.after(now) if watched else 0
        ctx.emit(RiskReviewed(names.STALE_DATA, "", silence.waiting[0], after or None))
        if after:
            ctx.call_at(after, ReviewRisk(names.STALE_DATA))
        if not watched or watched > now:
            return
        quiet = now - silence.heard
        what = "since the session opened" if silence.heard == silence.opened else f"since {format_ts(silence.heard)}"
        cause = f"no price of any symbol {what}"
        self._act(ctx, [self._trip(names.STALE_DATA, round(quiet / SECOND, 9), cause)])

    def _review_feed(self, feed: str, ctx: Context) -> None:
        waited = self._feeds.first(feed)
        if waited:
            ctx.emit(RiskReviewed(names.CONNECTIVITY, feed, waited, None))
        since, rule = self._feeds.lost.get(feed), self._rule(names.CONNECTIVITY)
        if since is None or not rule.limit or not self._silence.opened:
            return
        away = ctx.now - max(since, self._silence.opened)
        if away > _ns(rule) and self._rows.get("", names.CONNECTIVITY, feed) is None:
            cause = f"the feed {feed} is lost since {format_ts(since)}"
            self._act(ctx, [self._trip(names.CONNECTIVITY, round(away / SECOND, 9), cause, subject=feed)])

    @decides(FeedLost, FeedStale)
    def feed_lost(self, panel: FeedLost | FeedStale, ctx: Context) -> None:
        """Note that a feed is lost, or silent as a whole, and look again once that is too long."""
        if panel.feed in self._feeds.lost or (isinstance(panel, FeedStale) and panel.symbol >= 0):
            return
        since = ctx.now
        if isinstance(panel, FeedStale):
            reason = "silent"
            since -= min(max(panel.age_ms, 0) * 1_000_000, since)
        else:
            reason = panel.reason
        ctx.emit(ConnectionChanged(panel.feed, lost=True, since=since, reason=reason))
        due = self._feeds.due(since)
        if due:
            ctx.call_at(due, ReviewRisk(names.CONNECTIVITY, panel.feed))

    @decides(FeedConnected)
    def feed_back(self, panel: FeedConnected, ctx: Context) -> None:
        """Note that a feed is back."""
        if panel.feed in self._feeds.lost:
            ctx.emit(ConnectionChanged(panel.feed, lost=False, since=ctx.now))

    def limits_changed(self, event: LimitsChanged) -> None:
        """Adopt them; what is silent or lost already is measured by them, too."""
        listened = self._silence.on
        super().limits_changed(event)
        watch = self._rows.get("", names.STALE_DATA) is None
        self._silence.fold_changed(self.frame_ts, self._prices.interval, listened=listened, watch=watch)
        self._feeds.fold_changed(self.frame_ts, self._silence.opened)

    @decides(LimitsChanged)
    def watch_by_new_limits(self, event: LimitsChanged, ctx: Context) -> None:
        """Set the timers that they ask for: those that wait may be of longer limits."""
        del event
        if self._silence.fresh:
            ctx.call_at(self._silence.fresh, ReviewRisk(names.STALE_DATA))
        for due, feed in self._feeds.fresh:
            ctx.call_at(due, ReviewRisk(names.CONNECTIVITY, feed))

    @evolves(ConnectionChanged)
    def connection_changed(self, event: ConnectionChanged) -> None:
        """Take over what became of a feed."""
        self._feeds.fold(event)
        row = self._rows.get("", names.CONNECTIVITY, event.feed)
        if row is not None:
            self._rows.fold_cause(row, self.frame_ts, self._prices.session, lasts=event.lost)

    @decides(ConnectionChanged)
    def review_connection(self, event: ConnectionChanged, ctx: Context) -> None:
        """A feed that is back may have been all that stood in the way."""
        if not event.lost:
            self._review(ctx)

    @decides(ClockStepped)
    def clock_stepped(self, command: ClockStepped, ctx: Context) -> None:
        """Trip where the wall clock jumped too far."""
        rule = self._rule(names.CLOCK_SKEW)
        if rule.limit and abs(command.step_ns) > _ns(rule) and self._rows.get("", names.CLOCK_SKEW) is None:
            step = round(command.step_ns / SECOND, 9)
            cause = f"the wall clock was set {'forward' if step > 0 else 'back'} by {abs(step):g} s"
            self._act(ctx, [self._trip(names.CLOCK_SKEW, abs(step), cause)])

    # -- use of limits -----------------------------------------------------------------------------------------------

    @evolves(LimitBreached)
    def breached(self, event: LimitBreached) -> None:
        """Remember what was reported."""
        if event.limit == names.DAILY_LOSS:
            self._guards[event.portfolio].fold_breached(event)
        else:
            self._used.fold(event)

    def _tell_names(self, portfolio: str, ctx: Context) -> None:
        """An order has passed where many names are held: tell it once."""
        found = names_used(portfolio, self._exposure.books[portfolio], self._limits)
        if found is not None and not self._used.was_told(portfolio, found.limit):
            ctx.emit(found)

    def _tell_uses(self, ctx: Context) -> None:
        """A session has closed: tell what of the limits is used up but for a little."""
        for found in self._uses():
            if not self._used.was_told(found.portfolio, found.limit):
                ctx.emit(found)

    def _uses(self, *, told: bool = False) -> Iterator[LimitBreached]:
        for name, guard in self._guards.items():
            book = self._exposure.books[name]
            yield from at_close(guard, book, self._limits, self._prices, self._universe, told=told)

    # -- market and models -------------------------------------------------------------------------------------------

    def _fold_session_closed(self) -> None:
        """A session has ended: nothing is silent any more; measure how wild the market was, where somebody asks."""
        self._silence.fold_closed()
        rule = self._rule(names.VOLATILITY)
        self._volatility = volatility(self._history, self._benchmark) if rule.limit else None
        row = self._rows.get("", names.VOLATILITY)
        if row is not None and (self._volatility is not None or not rule.limit):  # switched off, nothing lasts
            lasts = self._volatility is not None and self._volatility >= rule.limit
            self._rows.fold_cause(row, self.frame_ts, self._prices.session, lasts=lasts)

    def _trips_volatility(self, ctx: Context) -> bool:
        """Trip where the market is too wild; return whether it did."""
        found, rule = self._volatility, self._rule(names.VOLATILITY)
        trips = found is not None and found >= rule.limit > 0 and self._rows.get("", names.VOLATILITY) is None
        if found is not None and trips:
            self._act(ctx, [self._trip(names.VOLATILITY, found, f"the market's annual volatility is {found:.2%}")])
        return trips

    @evolves(SignalsReady)
    def signals_ready(self, event: SignalsReady) -> None:
        """Remember what is predicted."""
        self._drift.fold_signals(event)

    @evolves(PredictionsScored)
    def predictions_scored(self, event: PredictionsScored) -> None:
        """Count hits and misses."""
        self._drift.fold_scored(event)
        if self._drift.trips(event.strategy):
            rate = self._drift.rate(event.strategy) or 0.0
            cause = f"{rate:.1%} of the last {self._rule(names.PREDICTION_DRIFT).min_count} predictions were right"
            self._find(self._trip(names.PREDICTION_DRIFT, rate, cause, subject=event.strategy))

    @decides(PredictionsScored)
    def judge_predictions(self, event: PredictionsScored, ctx: Context) -> None:
        """Trip where too few were right."""
        del event
        self._decide_findings(ctx)

    @decides(StrategyEnabled)
    def strategy_is_back(self, event: StrategyEnabled, ctx: Context) -> None:
        """Whoever switches a strategy on again has looked at its predictions."""
        if self._rows.get("", names.PREDICTION_DRIFT, event.strategy) is not None:
            ctx.emit(BreakerReset("", names.PREDICTION_DRIFT, event.reason, event.by, event.strategy))

    # -- for whoever looks ---------------------------------------------------------------------------------------------

    def watched(self) -> Iterator[tuple[str, str, float | None]]:
        """Yield portfolio, breaker and what it measures now, None where that is not known, of those that are on."""
        for name, guard in self._guards.items():
            for period in guard.periods:
                if self._rule(period.breaker).limit:
                    known = period.known and period.base > 0
                    yield name, period.breaker, max(0.0, 1.0 - guard.equity / period.base) if known else None
            if self._rule(names.LOSS_STREAK).limit:
                yield name, names.LOSS_STREAK, float(self._streaks.losses(name))
            if self._gross_limit:
                yield name, names.EXPOSURE, self._exposure_of(name, guard.equity)
        if self._refusals.on:
            yield "", names.REJECT_RATE, self._refusals.share()
        if self._rule(names.VOLATILITY).limit:
            yield "", names.VOLATILITY, self._volatility

    def _exposure_of(self, portfolio: str, equity: int) -> float | None:
        holdings = self._exposure.books[portfolio].holdings
        gross = sum(mul(abs(holding.qty), self._prices.last(symbol)) for symbol, holding in holdings.items())
        return gross / equity if equity > 0 else None

    # -- recovery ----------------------------------------------------------------------------------------------------

    def rearm(self, ctx: Context) -> None:
        """Say which timers wait: for the silence of the market, and for feeds that are lost."""
        for due in self._silence.waiting:
            ctx.call_at(due, ReviewRisk(names.STALE_DATA))
        for due, feed in self._feeds.waiting:
            ctx.call_at(due, ReviewRisk(names.CONNECTIVITY, feed))


def seconds(ns: int) -> str:
    """Return a length of time for people."""
    return f"{ns / SECOND:g} s"


def _ns(rule: BreakerRule) -> int:
    return round(rule.limit * SECOND)
