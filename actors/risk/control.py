"""The risk actor's control half: what operators say, and what the trading state and the breakers make of it."""

from __future__ import annotations

from actors.messages.control import (
    Flatten,
    Halt,
    Kill,
    LatchObserved,
    Reduce,
    ResetBreaker,
    Resume,
    Unlatch,
)
from actors.messages.orders import CancelAll
from actors.messages.portfolio import ClosePositions
from actors.messages.risk import BreakerReset, TradingState, TradingStateChanged
from actors.risk.breakers import BREAKER_NAMES, DAILY_LOSS, DRAWDOWN, LATCHED, Guard
from actors.risk.trading_state import BREAKER, HALTED, KILLED, TRADING_STATE, StateKeeper
from daemon.kernel.actor import Context, CoreActor, decides, evolves
from daemon.kernel.errors import OperatorError, RefusedError


class ControlDesk(CoreActor):
    """Trading state and breakers under commands; the actor adds the gate."""

    def __init__(self, guards: dict[str, Guard]) -> None:
        """Begin active, with every breaker armed.

        Args:
            guards: breakers by portfolio.
        """
        self._keeper = StateKeeper()
        self._guards = guards

    @property
    def trading_state(self) -> TradingState:
        """The present trading state."""
        return self._keeper.state

    @property
    def state_reason(self) -> str:
        """Why the trading state is what it is, "" where it never changed."""
        return self._keeper.reason

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
        self._kill(ctx, command.reason, "latch")

    @decides(Flatten)
    def flatten(self, command: Flatten, ctx: Context) -> None:
        """Halt, cancel, close every position.

        Raises:
            RefusedError: killed, which lets no order pass.
        """
        if self._keeper.state is KILLED:
            message = "trading is killed, so no closing order can pass"
            raise RefusedError(message, code="KILLED", remedy="unlatch first, then flatten")
        self._change(ctx, "halt", command.reason, command.by, latched=self._latched())
        ctx.send(CancelAll("", "all", command.reason))
        ctx.send(ClosePositions("", command.reason))

    @decides(Resume)
    def resume(self, command: Resume, ctx: Context) -> None:
        """Halted or reducing -> active.

        Raises:
            RefusedError: killed, active already, or a breaker is tripped, which is named.
        """
        if self._keeper.state is KILLED:
            message = "trading is killed"
            raise RefusedError(message, code="KILLED", remedy="unlatch first, then resume")
        standing = [f"{breaker} of {guard.name}" for guard in self._guards.values() for breaker in guard.standing()]
        if standing:
            message = f"trading cannot resume: the breaker {standing[0]} is tripped"
            remedy = "reset the breaker first (tradingctl breaker reset), then resume"
            raise RefusedError(message, code="BREAKER_LATCHED", remedy=remedy)
        self._change(ctx, "resume", command.reason, command.by, latched=False)

    @decides(Unlatch)
    def unlatch(self, command: Unlatch, ctx: Context) -> None:
        """Killed -> halted, and arm latched breakers again.

        Raises:
            RefusedError: neither a kill nor a breaker is latched.
        """
        latched = [
            (guard.name, breaker)
            for guard in self._guards.values()
            for breaker, state in ((DAILY_LOSS, guard.daily), (DRAWDOWN, guard.drawdown))
            if state is LATCHED
        ]
        if self._keeper.state is not KILLED and not latched:
            message = f"trading is {self._keeper.state} and nothing is latched"
            raise RefusedError(message, code="NOT_LATCHED", remedy="use resume to trade again")
        for portfolio, breaker in latched:
            ctx.emit(BreakerReset(portfolio, breaker, command.reason, command.by))
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
        return any(LATCHED in (guard.daily, guard.drawdown) for guard in self._guards.values())

    def _change(self, ctx: Context, trigger: str, reason: str, by: str, *, latched: bool) -> None:
        keeper = self._keeper
        old = keeper.state
        if not TRADING_STATE.allows(old, trigger):
            message = f"trading is {old}: {trigger} would not be a tighter state or a step out of it"
            remedy = "resume first" if old is HALTED else "see tradingctl status"
            raise RefusedError(message, code="WRONG_STATE", remedy=remedy)
        new = TRADING_STATE.next(old, trigger)
        # A halt that a person repeats over a breaker's is theirs from then on: the replay's rule must not lift it.
        takes_over = old is HALTED and by != BREAKER and keeper.rule_may_resume
        if new is not old or takes_over or (latched and not keeper.latched and new is not KILLED):
            ctx.emit(TradingStateChanged(old, new, reason, by, latched))

    @decides(ResetBreaker)
    def reset_breaker(self, command: ResetBreaker, ctx: Context) -> None:
        """Arm a breaker again on an operator's word; the trading state waits for ``resume``.

        Raises:
            OperatorError: no such portfolio or breaker, or it is armed already.
        """
        guard = self._guards.get(command.portfolio)
        if guard is None or command.breaker not in BREAKER_NAMES:
            message = f"there is no breaker {command.breaker!r} of portfolio {command.portfolio!r}"
            remedy = f"breakers are {', '.join(BREAKER_NAMES)}; portfolios are {', '.join(self._guards)}"
            raise OperatorError(message, code="UNKNOWN_BREAKER", remedy=remedy)
        if command.breaker not in guard.standing() and not (command.breaker == DAILY_LOSS and guard.blocked):
            message = f"the breaker {command.breaker} of {command.portfolio} is armed already"
            raise RefusedError(message, code="BREAKER_ARMED", remedy="nothing is to be done")
        ctx.emit(BreakerReset(command.portfolio, command.breaker, command.reason, command.by))

    @evolves(TradingStateChanged)
    def state_changed(self, event: TradingStateChanged) -> None:
        """Take over the trading state."""
        self._keeper.fold(event)
