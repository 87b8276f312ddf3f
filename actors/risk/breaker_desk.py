"""The risk actor's breakers: what trips one, what it does then, and how it is armed again.

Theory of operation
-------------------
Watchers (:mod:`actors.risk.watch_desk`) fold what they count, and a pure question says whether that has reached the
limit. What was found while a fact was folded waits in ``findings`` until somebody decides, in the same input. A trip is
the event ``BreakerTripped``; folding it makes a row (:mod:`actors.risk.breaker_rows`), and while there is a row the
breaker does not trip again.

What a breaker does follows from its action: ``warn`` nothing more, ``block`` denies entries of whatever it is about,
``reduce`` and ``halt`` set the trading state, ``deleverage`` asks the portfolio to close a part besides, ``flatten``
closes everything. Of several that trip at once the strictest sets the state. No breaker loosens anything but what
breakers tightened: the last one that is armed again by itself gives an active state back, and only where nobody else
has spoken meanwhile (:class:`~actors.risk.trading_state.StateKeeper`).

Whether a cause is over is folded with the marks; whether a breaker may be armed again is asked with each mark while
one cools, and with each session's opening. Timers watch silence alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from actors.messages.control import DisableStrategy, ReviewRisk
from actors.messages.inference import DriftDetected
from actors.messages.limits import BreakerRule
from actors.messages.market import BarPanel
from actors.messages.orders import CancelAll
from actors.messages.portfolio import (
    ClosePositions,
    CutPositions,
    EquityMarked,
)
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    TradingState,
    TradingStateChanged,
)
from actors.risk import breaker_rows as names
from actors.risk.blocks import EVERY, Block, Blocks
from actors.risk.breaker_rows import OFF, latches
from actors.risk.breakers import DAILY_LOSS, DRAWDOWN, Guard
from actors.risk.control import ControlDesk
from actors.risk.drift import Drift
from actors.risk.exposure import Exposure
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.rates import OrderRate, RejectRate
from actors.risk.silence import Feeds, Silence
from actors.risk.streaks import Streaks
from actors.risk.trading_state import ACTIVE, BREAKER, HALTED, KILLED, RECOVERY, REDUCING, REPLAY_RULE
from actors.risk.utilization import Utilization, names_from
from actors.values.fixed import SCALE, mul, to_fixed
from actors.values.history import SessionHistory
from actors.values.universe import Universe
from daemon.kernel.actor import Context, decides
from daemon.kernel.errors import OperatorError

Part = tuple[str, str, str]
"""Whose positions are to be cut ("": everybody's), by which breaker, and why."""
BEYOND: Final = 1_000_000.0
"""Exposure of what is held on an equity that is not positive."""
RISK: Final = "risk"
"""``by`` of a halt because something cannot be computed."""


class BreakerDesk(ControlDesk):
    """See the module. The actor adds the gate, and tells of what it folds itself."""

    _history: SessionHistory
    _disabled: dict[str, str]

    def __init__(
        self,
        universe: Universe,
        limits: RiskLimits,
        guards: dict[str, Guard],
        prices: Prices,
        exposure: Exposure,
    ) -> None:
        """Begin with every breaker armed.

        Args:
            universe: names of the symbols.
            limits: in force.
            guards: loss breakers by portfolio.
            prices: last known prices, folded by the actor.
            exposure: positions and working orders, folded by the actor.
        """
        super().__init__(limits, guards, prices, exposure)
        self._universe = universe
        self._symbol_ids = universe.index()
        self._benchmark = self._symbol_ids.get(universe.benchmark) if universe.benchmark else None
        self._blocks = Blocks()
        self._orders_passed = OrderRate()
        self._refusals = RejectRate()
        self._streaks = Streaks()
        self._silence = Silence()
        self._feeds = Feeds()
        self._drift = Drift()
        self._volatility: float | None = None
        self._used = Utilization()
        self._bar: BarPanel | None = None
        self._findings: dict[names.Key, BreakerTripped] = {}
        """Found while facts of this input were folded, and not decided yet."""
        self._watch(self._limits)

    @property
    def blocks(self) -> Blocks:
        """What stands against entries; read only."""
        return self._blocks

    def _watch(self, limits: RiskLimits) -> None:
        """Watch by these limits from now on; what has tripped stays so."""
        rules = limits.breakers
        self._orders_passed.adopt(rules.get(names.ORDER_RATE, OFF))
        self._refusals.adopt(rules.get(names.REJECT_RATE, OFF))
        self._counts_refusals = self._refusals.on
        self._counts_orders = self._orders_passed.on
        self._counts = self._counts_orders or self._counts_refusals
        self._silence.adopt(rules.get(names.STALE_DATA, OFF), daily=self._prices.daily)
        self._feeds.adopt(rules.get(names.CONNECTIVITY, OFF))
        self._drift.adopt(rules.get(names.PREDICTION_DRIFT, OFF))
        self._gross_limit = to_fixed(self._rule(names.EXPOSURE, limits).limit)
        self._insane_from = self._rule(names.FILL_SANITY, limits).limit
        self._slips_from = self._rule(names.SLIPPAGE, limits).limit
        self._names_from = min(names_from(name, limits) for name in self._guards) if self._guards else 0
        self._watches_fills = bool(self._insane_from or self._slips_from)

    def _adopt(self, limits: RiskLimits) -> None:
        super()._adopt(limits)
        self._watch(self._limits)

    def _rule(self, breaker: str, limits: RiskLimits | None = None) -> BreakerRule:
        return (limits or self._limits).breakers.get(breaker, OFF)

    def _check_subject(self, breaker: str, subject: str) -> None:
        super()._check_subject(breaker, subject)
        if subject and names.SUBJECTS[breaker] == "symbol" and subject not in self._symbol_ids:
            message = f"there is no breaker {breaker} of {subject!r}: the run has no such symbol"
            raise OperatorError(message, code="UNKNOWN_SYMBOL", remedy="see universe.symbols")

    # -- tripping ----------------------------------------------------------------------------------------------------

    def _trip(
        self, breaker: str, value: float, cause: str, *, portfolio: str = "", subject: str = ""
    ) -> BreakerTripped:
        """Return the event of a breaker of the configuration."""
        rule = self._rule(breaker)
        return BreakerTripped(
            portfolio, breaker, value, rule.limit, 0, 0, rule.action, latches(rule), cause=cause, subject=subject
        )

    def _find(self, event: BreakerTripped) -> None:
        """Keep what was found in a fold for the decision behind it; of a breaker that stands already, its wait only."""
        key = event.portfolio, event.breaker, event.subject
        if self._rows.get(*key) is None:
            self._findings.setdefault(key, event)
        else:
            self._rows.fold_again(*key, self.frame_ts, self._prices.session)

    def _decide_findings(self, ctx: Context) -> None:
        if self._findings:
            self._act(ctx, list(self._findings.values()))

    def _act(self, ctx: Context, tripped: list[BreakerTripped], cuts: Sequence[Part] = ()) -> None:
        """State what tripped, set the state by the strictest of it, and send what each asks for, ``cuts`` with it."""
        for event in tripped:
            ctx.emit(event)
        state = self._keeper.state
        setting = [event for event in tripped if event.action in names.SETS_STATE]
        if setting and state is not KILLED:
            worst = max(reversed(setting), key=lambda event: names.SETS_STATE.index(event.action))
            halts = worst.action in (names.HALT, names.FLATTEN)
            latched = any(event.latched for event in setting)
            if halts:
                self._halt(ctx, words(worst), BREAKER, latched=latched)
            elif state is not HALTED:
                self._change(ctx, "reduce", words(worst), BREAKER, latched=latched or self._latched())
        for event in tripped:
            self._ask(ctx, event, killed=state is KILLED)
        if state is not KILLED:
            asked = [(e.portfolio, e.breaker, words(e)) for e in tripped if e.action == names.DELEVERAGE]
            self._cut(ctx, [*cuts, *asked])

    def _ask(self, ctx: Context, event: BreakerTripped, *, killed: bool) -> None:
        """Send what one breaker wants besides a state; while killed nothing would pass."""
        reason = words(event)
        if event.breaker == names.CONNECTIVITY and event.action not in (names.WARN, names.HALT, names.FLATTEN):
            ctx.send(CancelAll("", "adding", reason))  # exits stay (control C20); a halt does so anyway
        elif event.breaker == names.PREDICTION_DRIFT:
            ctx.emit(DriftDetected(event.subject, "hit_rate", event.value, event.limit))
            if event.action != names.WARN and event.subject not in self._disabled:
                ctx.send(DisableStrategy(event.subject, reason, BREAKER))
        if killed:
            return
        if event.action == names.FLATTEN:
            if event.portfolio not in self._flattening and (event.portfolio or not self._flattening):
                ctx.send(CancelAll(event.portfolio, "all", reason))
            ctx.send(ClosePositions(event.portfolio, reason, until_flat=True))

    def _cut(self, ctx: Context, asked: Sequence[Part]) -> None:
        """Ask the portfolio to close a part of every position: what a rule says, or what leads back to the limit.

        Where several ask for a part of one portfolio, the largest is the part that has to go.
        """
        parts: dict[str, tuple[int, str]] = {}
        named = any(portfolio for portfolio, *_ in asked)
        for portfolio, breaker, reason in asked:
            fraction = to_fixed(self._rule(breaker).fraction)
            for name in (portfolio,) if portfolio or not named else self._guards:
                part = self._too_much(name) if breaker == names.EXPOSURE else fraction
                if part > parts.get(name, (0, ""))[0]:
                    parts[name] = part, reason
        for name, (part, reason) in parts.items():
            ctx.send(CutPositions(name, part, reason))

    def _too_much(self, portfolio: str) -> int:
        """Return the part of the gross value, units of 1e-8, that has to go so that exposure is at its limit again."""
        book, last = self._exposure.books[portfolio], self._prices.last
        gross = sum(mul(abs(holding.qty), last(symbol)) for symbol, holding in book.holdings.items() if holding.qty)
        keep = mul(max(book.equity, 0), self._gross_limit)
        return 0 if gross <= keep else -((keep - gross) * SCALE // gross)

    # -- being armed again -------------------------------------------------------------------------------------------

    def _review(self, ctx: Context) -> None:
        """Arm what has cooled down; where that was the last in the way, give back the state that breakers took."""
        over = self._rows.over(ctx.now, self._prices.session, self._limits.breakers)
        if over:
            self._arm(ctx, [row.key for row in over], "what tripped it is over", BREAKER)

    def _arm(self, ctx: Context, keys: list[names.Key], reason: str, by: str) -> None:
        for portfolio, breaker, subject in keys:
            ctx.emit(BreakerReset(portfolio, breaker, reason, by, subject))
        keeper = self._keeper
        standing = [(g.name, breaker, "") for g in self._guards.values() for breaker in g.standing()]
        standing += [row.key for row in self._rows.stands_in_the_way()]
        if not keeper.rule_may_resume or any(key not in keys for key in standing):
            return
        if keeper.gap:
            why = f"{reason}, but prices were missed in the meantime"
            ctx.emit(TradingStateChanged(keeper.state, REDUCING, why, RECOVERY, latched=False))
        else:
            ctx.emit(TradingStateChanged(keeper.state, TradingState.ACTIVE, reason, by, latched=False))

    @decides(BreakerReset)
    def armed_again(self, event: BreakerReset, ctx: Context) -> None:
        """Set the timer that a breaker which watches silence did without while it had tripped."""
        if event.breaker == names.STALE_DATA and self._silence.fresh:
            ctx.call_at(self._silence.fresh, ReviewRisk(names.STALE_DATA))

    def _fold_tripped(self, event: BreakerTripped) -> None:
        key = event.portfolio, event.breaker, event.subject
        self._findings.pop(key, None)
        if event.breaker in names.LOSSES:
            self._guards[event.portfolio].fold_tripped(event, self._prices.session)
        if event.breaker in (DAILY_LOSS, DRAWDOWN):
            return
        self._rows.fold_tripped(event, self.frame_ts, self._prices.session, self._prices.now)
        if event.action == names.BLOCK and event.breaker != names.PREDICTION_DRIFT:
            symbol = self._symbol_ids.get(event.subject, EVERY) if event.subject else EVERY
            self._blocks.block(key, Block(event.portfolio, symbol, "", event.cause or words(event)))

    def _fold_reset(self, event: BreakerReset) -> None:
        breaker = event.breaker
        if event.by not in (BREAKER, REPLAY_RULE) and self._took_state(event):
            self._keeper.fold_spoken()
        if breaker in names.LOSSES:
            self._guards[event.portfolio].fold_reset(event)
        self._rows.fold_reset(event)
        self._blocks.unblock((event.portfolio, breaker, event.subject))
        if breaker == names.LOSS_STREAK:
            self._streaks.fold_reset(event.portfolio)
        elif breaker == names.PREDICTION_DRIFT:
            self._drift.fold_reset(event.subject)
        elif breaker == names.REJECT_RATE:
            self._refusals.clear()
        elif breaker == names.STALE_DATA:
            self._silence.fold_armed(self.frame_ts)

    def _took_state(self, event: BreakerReset) -> bool:
        """Whether what is armed again had set the trading state, or may have."""
        row = self._rows.get(event.portfolio, event.breaker, event.subject)
        if row is not None:
            return row.action in names.SETS_STATE
        return event.breaker in (DAILY_LOSS, DRAWDOWN) and event.breaker in self._guards[event.portfolio].standing()

    # -- losses, exposure --------------------------------------------------------------------------------------------

    def _fold_causes(self, event: EquityMarked) -> None:
        """Say of lasting causes whether they go on; called while a breaker is not armed."""
        guard, now, session = self._guards[event.portfolio], self.frame_ts, self._prices.session
        for period in guard.periods:
            row = self._rows.get(guard.name, period.breaker)
            if row is not None:
                self._rows.fold_cause(row, now, session, lasts=period.lasts(event.equity))
        row = self._rows.get(guard.name, names.EXPOSURE)
        if row is not None:
            self._rows.fold_cause(row, now, session, lasts=self._over_exposed(event))
        row = self._rows.get("", names.STALE_DATA)
        if row is not None and self._prices.now > row.heard:
            self._rows.fold_cause(row, now, session, lasts=False)

    def _over_exposed(self, event: EquityMarked) -> bool:
        return self._gross_limit > 0 < event.gross and event.gross * SCALE > event.equity * self._gross_limit

    def _watch_mark(self, event: EquityMarked, ctx: Context) -> bool:
        """Trip what a mark calls for; return whether anything did, as nothing is loosened by the same mark."""
        guard = self._guards[event.portfolio]
        found: list[BreakerTripped] = []
        cuts: list[Part] = []
        if guard.unknown:
            if self._exposure.books[event.portfolio].held():
                self._halt_unknown(ctx, f"{event.portfolio} holds positions, and no loss can be told of them")
                return True
        else:
            for breach in guard.breaches():
                if isinstance(breach, BreakerTripped):
                    found.append(breach)
                else:
                    ctx.emit(breach)
        if self._over_exposed(event):
            row = self._rows.get(event.portfolio, names.EXPOSURE)
            if row is None:
                found.append(self._exposed(event))
            elif row.action == names.DELEVERAGE and self._keeper.state is not KILLED:
                cuts.append((event.portfolio, names.EXPOSURE, row.cause))
        if found:
            self._act(ctx, found, cuts)
        elif cuts:
            self._cut(ctx, cuts)
        return bool(found)

    def _exposed(self, event: EquityMarked) -> BreakerTripped:
        value = round(event.gross / event.equity, 9) if event.equity > 0 else BEYOND
        cause = f"gross exposure is {value:.4g} times equity"
        return self._trip(names.EXPOSURE, value, cause, portfolio=event.portfolio)

    def _halt_unknown(self, ctx: Context, why: str) -> None:
        """Halt because something cannot be computed, which is no loss; a person has to look."""
        if self._keeper.state in (ACTIVE, REDUCING):
            self._halt(ctx, f"UNKNOWN: {why}", RISK, latched=False)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def _breakers_snapshot(self) -> dict[str, Any]:
        return {
            "rows": self._rows.snapshot(),
            "blocks": self._blocks.snapshot(),
            "orders_passed": self._orders_passed.snapshot(),
            "refusals": self._refusals.snapshot(),
            "streaks": self._streaks.snapshot(),
            "silence": self._silence.snapshot(),
            "feeds": self._feeds.snapshot(),
            "drift": self._drift.snapshot(),
            "volatility": self._volatility,
            "used": self._used.snapshot(),
        }

    def _breakers_restore(self, state: dict[str, Any]) -> None:
        """Take over what was kept; {} of an older version. Limits are adopted before."""
        self._rows.restore(state.get("rows", []))
        self._blocks.restore(state.get("blocks", []))
        self._orders_passed.restore(state.get("orders_passed", []))
        self._refusals.restore(state.get("refusals", []))
        self._streaks.restore(state.get("streaks", []))
        self._silence.restore(state.get("silence", []))
        self._feeds.restore(state.get("feeds", []))
        self._drift.restore(state.get("drift", []))
        self._volatility = state.get("volatility")
        self._used.restore(state.get("used", []))


def words(event: BreakerTripped) -> str:
    """Return why a breaker tripped, for people."""
    whose = f" of {event.portfolio}" if event.portfolio else ""
    subject = f" ({event.subject})" if event.subject else ""
    if event.breaker in names.LOSSES:
        return f"{event.breaker}{whose}: {event.value:.2%} lost, limit {event.limit:.2%}"
    return f"{event.breaker}{whose}{subject}: {event.cause}, limit {event.limit:g}"
