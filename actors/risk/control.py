"""The risk actor's control half: what operators and gaps in the data say, and what the trading state makes of it.

New limits are taken over as a whole, by an event, or not at all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.messages.control import (
    Flatten,
    Halt,
    Kill,
    LatchObserved,
    Reduce,
    Reload,
    ResetBreaker,
    Resume,
    SetLimits,
    Unlatch,
)
from actors.messages.market import GapDetected
from actors.messages.orders import CancelAll
from actors.messages.portfolio import ClosePositions, FlattenEnded, FlattenStarted
from actors.messages.risk import BreakerReset, LimitsChanged, TradingState, TradingStateChanged
from actors.risk.breaker_rows import SUBJECTS, Rows
from actors.risk.breakers import BREAKER_NAMES, DAILY_LOSS, DRAWDOWN, LATCHED, Guard
from actors.risk.exposure import Exposure
from actors.risk.params import FIXED_FOR_A_RUN, RiskLimits, check_change
from actors.risk.prices import Prices
from actors.risk.trading_state import ACTIVE, BREAKER, HALTED, KILLED, RECOVERY, TRADING_STATE, StateKeeper
from actors.values.time import format_ts
from daemon.kernel.actor import Context, CoreActor, decides, evolves, observes
from daemon.kernel.errors import OperatorError, RefusedError


class ControlDesk(CoreActor):
    """Trading state and breakers under commands; the actor adds the gate."""

    def __init__(self, limits: RiskLimits, guards: dict[str, Guard], prices: Prices, exposure: Exposure) -> None:
        """Begin active, with every breaker armed.

        Args:
            limits: in force.
            guards: breakers by portfolio.
            prices: last known prices, folded by the actor.
            exposure: positions and working orders, folded by the actor.
        """
        self._limits = limits
        self._configured = limits
        """As the configuration says, without what was set by hand since."""
        self._by_hand: dict[str, str] = {}
        """What was set by hand since the configuration changed last: key -> value, as the configuration writes them."""
        self._prices = prices
        self._exposure = exposure
        self._keeper = StateKeeper()
        self._guards = guards
        self._rows = Rows()
        self._flattening: dict[str, None] = {}
        """Portfolios that are closing their positions until they are flat."""

    @property
    def trading_state(self) -> TradingState:
        """The present trading state."""
        return self._keeper.state

    @property
    def state_reason(self) -> str:
        """Why the trading state is what it is, "" where it never changed."""
        return self._keeper.reason

    @property
    def limits(self) -> RiskLimits:
        """The limits of the gate and the breakers."""
        return self._limits

    @property
    def configured(self) -> RiskLimits:
        """The limits as the configuration has them, without what was set by hand."""
        return self._configured

    @property
    def by_hand(self) -> dict[str, str]:
        """Limits that were set by hand, key -> value as the configuration writes them; read only."""
        return self._by_hand

    @property
    def prices(self) -> Prices:
        """The calendar and last prices as the gate sees them; read only."""
        return self._prices

    @property
    def exposure(self) -> Exposure:
        """Positions, working orders and reserved cash as the gate sees them; read only."""
        return self._exposure

    @property
    def guards(self) -> dict[str, Guard]:
        """Baselines and breakers by portfolio; read only."""
        return self._guards

    @property
    def rows(self) -> Rows:
        """Breakers that are not armed, but for those of :attr:`guards`; read only."""
        return self._rows

    # -- trading state ---------------------------------------------------------------------------------------------

    @decides(Halt)
    def halt(self, command: Halt, ctx: Context) -> None:
        """No new risk: cancel working orders that add risk; exits stay."""
        self._halt(ctx, command.reason, command.by, latched=False)

    @decides(Reduce)
    def reduce(self, command: Reduce, ctx: Context) -> None:
        """Let only orders pass that reduce risk.

        Raises:
            RefusedError: the present state is stricter.
        """
        self._change(ctx, "reduce", command.reason, command.by, latched=False)

    @decides(Kill)
    def kill(self, command: Kill, ctx: Context) -> None:
        """Cancel everything, close nothing, latch."""
        self._kill(ctx, command.reason, command.by)

    @decides(LatchObserved)
    def latch_observed(self, command: LatchObserved, ctx: Context) -> None:
        """The kill latch is set: the same as a kill, however often it is seen."""
        self._kill(ctx, command.reason, command.by or "latch")

    @decides(Flatten)
    def flatten(self, command: Flatten, ctx: Context) -> None:
        """Halt, cancel, close every position; the portfolios go on until they are flat.

        Raises:
            RefusedError: killed, which lets no order pass.
        """
        if self._keeper.state is KILLED:
            message = "trading is killed, so no closing order can pass"
            raise RefusedError(message, code="KILLED", remedy="unlatch first, then flatten")
        self._change(ctx, "halt", command.reason, command.by, latched=self._latched())
        if not self._flattening:  # repeated while it is under way, it must not cancel what closes
            ctx.send(CancelAll("", "all", command.reason))
        ctx.send(ClosePositions("", command.reason, until_flat=True))

    @decides(Resume)
    def resume(self, command: Resume, ctx: Context) -> None:
        """Halted or reducing -> active.

        Raises:
            RefusedError: killed, active already, or a breaker is tripped, which is named.
        """
        if self._keeper.state is KILLED:
            why = f" ({self._keeper.reason})" if self._keeper.reason else ""
            message = f"trading is killed{why}"
            raise RefusedError(message, code="KILLED", remedy="unlatch first, then resume")
        standing = [f"{breaker} of {guard.name}" for guard in self._guards.values() for breaker in guard.standing()]
        standing += [row.named for row in self._rows.stands_in_the_way()]
        if standing:
            one = len(standing) == 1
            which = f"breaker {standing[0]} is" if one else f"breakers {', '.join(standing)} are"
            message = f"trading cannot resume: the {which} tripped"
            remedy = f"reset the breaker{'s' * (not one)} first (tradingctl breaker reset), then resume"
            raise RefusedError(message, code="BREAKER_LATCHED", remedy=remedy)
        self._change(ctx, "resume", command.reason, command.by, latched=False)

    @decides(Unlatch)
    def unlatch(self, command: Unlatch, ctx: Context) -> None:
        """Killed -> halted, and arm latched breakers again.

        Raises:
            RefusedError: neither a kill nor a breaker is latched.
        """
        latched = [
            (guard.name, breaker, "")
            for guard in self._guards.values()
            for breaker, state in ((DAILY_LOSS, guard.daily), (DRAWDOWN, guard.drawdown))
            if state is LATCHED
        ]
        latched += [row.key for row in self._rows if row.state is LATCHED]
        if self._keeper.state is not KILLED and not latched:
            message = f"trading is {self._keeper.state} and nothing is latched"
            raise RefusedError(message, code="NOT_LATCHED", remedy="use resume to trade again")
        for portfolio, breaker, subject in latched:
            ctx.emit(BreakerReset(portfolio, breaker, command.reason, command.by, subject))
        if self._keeper.state is KILLED:
            self._change(ctx, "unlatch", command.reason, command.by, latched=False)

    def _halt(self, ctx: Context, reason: str, by: str, *, latched: bool) -> None:
        self._change(ctx, "halt", reason, by, latched=latched or self._latched())
        ctx.send(CancelAll("", "adding", reason))

    def _kill(self, ctx: Context, reason: str, by: str) -> None:
        if self._keeper.state is KILLED:
            return
        self._change(ctx, "kill", reason, by, latched=True)
        ctx.send(CancelAll("", "all", reason))

    def _latched(self) -> bool:
        return any(LATCHED in (guard.daily, guard.drawdown) for guard in self._guards.values()) or any(
            row.state is LATCHED for row in self._rows
        )

    def _change(self, ctx: Context, trigger: str, reason: str, by: str, *, latched: bool) -> None:
        keeper = self._keeper
        old = keeper.state
        if not TRADING_STATE.allows(old, trigger):
            remedy = "resume first" if old is HALTED else "see tradingctl status"
            message = f"trading is {old}, which is stricter than what {trigger} asks for"
            if trigger == "resume":
                message = f"trading is {old}: there is nothing to resume"
            raise RefusedError(message, code="WRONG_STATE", remedy=remedy)
        new = TRADING_STATE.next(old, trigger)
        # What a person repeats over what a breaker or a recovery did is theirs from then on: no rule lifts it.
        takes_over = (by != BREAKER and keeper.rule_may_resume) or keeper.recovering
        if new is not old or takes_over or (latched and not keeper.latched and new is not KILLED):
            ctx.emit(TradingStateChanged(old, new, reason, by, latched))

    @decides(ResetBreaker)
    def reset_breaker(self, command: ResetBreaker, ctx: Context) -> None:
        """Arm a breaker again on an operator's word; the trading state waits for ``resume``.

        Raises:
            OperatorError: no such portfolio or breaker, or it is armed already.
        """
        name, breaker = command.portfolio, command.breaker
        guard = self._guards.get(name)
        if breaker not in BREAKER_NAMES or (guard is None and name):
            message = f"there is no breaker {breaker!r} of portfolio {name!r}"
            remedy = f"breakers are {', '.join(BREAKER_NAMES)}; portfolios are {', '.join(self._guards)}"
            raise OperatorError(message, code="UNKNOWN_BREAKER", remedy=remedy)
        subjects = [row.subject for row in self._rows.named(name, breaker, command.subject)]
        if guard is not None and (breaker in guard.standing() or (breaker == DAILY_LOSS and guard.blocked)):
            subjects.append("")
        if not subjects:
            self._check_subject(breaker, command.subject)
            of = f" of {name}" if name else ""
            message = f"the breaker {breaker}{of}{command.subject and f' ({command.subject})'} is armed already"
            raise RefusedError(message, code="BREAKER_ARMED", remedy="nothing is to be done")
        for subject in subjects:
            ctx.emit(BreakerReset(name, breaker, command.reason, command.by, subject))

    def _check_subject(self, breaker: str, subject: str) -> None:
        """Refuse a subject that the breaker cannot have; feeds and strategies are not known here."""
        if subject and breaker not in SUBJECTS:
            message = f"the breaker {breaker} is not of anything, so there is none of {subject!r}"
            raise OperatorError(message, code="UNKNOWN_BREAKER", remedy="leave subject out")

    @evolves(TradingStateChanged)
    def state_changed(self, event: TradingStateChanged) -> None:
        """Take over the trading state.

        Leaving a halt ends every flattening; where a recovery has reduced trading, fresh prices are waited for.
        """
        self._keeper.fold(event)
        self._prices.wait(fresh=self._keeper.recovering)
        if event.new is not HALTED:
            self._flattening.clear()

    @evolves(FlattenStarted)
    def flatten_started(self, event: FlattenStarted) -> None:
        """Note that a portfolio's closing orders are under way."""
        self._flattening[event.portfolio] = None

    @evolves(FlattenEnded)
    def flatten_ended(self, event: FlattenEnded) -> None:
        """Note that they are not any more."""
        self._flattening.pop(event.portfolio, None)

    # -- gaps ------------------------------------------------------------------------------------------------------

    @observes(GapDetected)
    def gap(self, panel: GapDetected) -> None:
        """Fold that prices were missed."""
        self._prices.fold_gap(panel)
        self._keeper.fold_gap()

    @decides(GapDetected)
    def reduce_for_gap(self, panel: GapDetected, ctx: Context) -> None:
        """Take no new risk on prices that are not known to hold any more; a stricter state stays as it is."""
        if self._keeper.state is ACTIVE:
            begin, end = format_ts(panel.from_ts), format_ts(panel.to_ts)
            reason = f"prices of {panel.feed} between {begin} and {end} were missed"
            ctx.emit(TradingStateChanged(ACTIVE, TradingState.REDUCING, reason, RECOVERY, latched=False))

    def _end_recovery(self, ctx: Context) -> None:
        """Give back what the recovery took, once something is known behind the gap and every holding has a price."""
        prices = self._prices
        missing = prices.missing
        if missing is None or prices.now <= prices.gap_to:
            return
        if any(missing[symbol] for book in self._exposure.books.values() for symbol in book.held()):
            return
        reason = "every symbol held has had a fresh price since the gap"
        ctx.emit(TradingStateChanged(TradingState.REDUCING, ACTIVE, reason, RECOVERY, latched=False))

    # -- limits ----------------------------------------------------------------------------------------------------

    @decides(Reload)
    def reload(self, command: Reload, ctx: Context) -> None:
        """Take over new limits as a whole, or none of them.

        Raises:
            ConfigError: one of them does not hold; the old ones stay in force.
        """
        if command.limits is None:
            return
        new = check_change(self._limits, command.limits)
        self._check_names(new)
        if new != self._limits or new != self._configured:
            ctx.emit(LimitsChanged(check_change(self._limits, self._limits), new, command.by, command.digest))

    @decides(SetLimits)
    def set_limits(self, command: SetLimits, ctx: Context) -> None:
        """Take over limits that somebody set by hand, as a whole or none of them.

        Raises:
            ConfigError: one of them does not hold; the old ones stay in force.
            RefusedError: they are so already.
        """
        new = check_change(self._limits, command.limits)
        self._check_names(new)
        if new == self._limits:
            message = "the limits are so already"
            raise RefusedError(message, code="LIMITS_UNCHANGED", remedy="nothing is to be done")
        old = check_change(self._limits, self._limits)
        ctx.emit(LimitsChanged(old, new, command.by, "", command.reason, command.changes, command.config))

    def _check_names(self, limits: RiskLimits) -> None:
        """Refuse limits of what the run does not have; the actor knows what it has."""

    @evolves(LimitsChanged)
    def limits_changed(self, event: LimitsChanged) -> None:
        """Judge and watch by the new limits; what was set by hand ends with the next change of the configuration."""
        self._adopt(event.new)
        if event.digest:
            self._configured = self._limits
            self._by_hand.clear()
        else:
            self._by_hand.update((key, new) for key, _, new in event.changes)

    def _as_built(self, limits: RiskLimits) -> RiskLimits:
        # What the rooms are built with is the configuration's, whatever a ledger says of an older one.
        return msgspec.structs.replace(limits, **{name: getattr(self._limits, name) for name in FIXED_FOR_A_RUN})

    def _adopt(self, limits: RiskLimits) -> None:
        self._limits = limits = self._as_built(limits)
        self._exposure.adopt(limits.cash_reserve)
        for guard in self._guards.values():
            guard.adopt(limits)

    def _limits_snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "limits": msgspec.to_builtins(self._limits),
            "configured": msgspec.to_builtins(self._configured),
            "by_hand": [list(item) for item in self._by_hand.items()],
        }

    def _limits_restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`_limits_snapshot` gave; an older version set nothing by hand."""
        self._adopt(msgspec.convert(state["limits"], RiskLimits))
        self._configured = self._as_built(msgspec.convert(state.get("configured", state["limits"]), RiskLimits))
        self._by_hand.clear()
        self._by_hand.update((key, value) for key, value in state.get("by_hand", []))
