"""The risk actor: one gate on the only path to the broker, loss breakers, the trading state.

``SubmitOrder`` -> :class:`~actors.risk.pretrade.Gate` -> ``RouteOrder`` | ``OrderDenied``;
``ReplaceOrder`` -> the same checks on the new terms -> ``RouteReplace`` | ``OrderCancelRejected``;
``EquityMarked`` -> breakers; control commands -> trading state; ``GapDetected`` -> reducing until prices are fresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from actors.messages.control import DisableStrategy
from actors.messages.inference import DriftDetected
from actors.messages.market import (
    BarPanel,
    CorporateAction,
    QuotePanel,
    SessionClosed,
    SessionOpened,
    TradePanel,
    TradingStatus,
)
from actors.messages.orders import (
    CancelAll,
    Fill,
    OrderCancelRejected,
    OrderDenied,
    ReplaceOrder,
    RouteOrder,
    RouteReplace,
    SubmitOrder,
)
from actors.messages.portfolio import (
    ClosePositions,
    CutPositions,
    EquityMarked,
)
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    ConnectionChanged,
    EntriesLocked,
    LimitBreached,
    LimitsChanged,
    MarginCalled,
    RestrictionChanged,
    RiskReviewed,
    TradingStateChanged,
)
from actors.risk.breakers import DAILY_LOSS, DRAWDOWN, Guard
from actors.risk.corporate_desk import CorporateDesk
from actors.risk.exposure import Exposure
from actors.risk.exposure_limits import ExposureLimits
from actors.risk.facts_desk import FactsDesk
from actors.risk.fees import FeeEstimate
from actors.risk.form import Denial
from actors.risk.heat import Heat
from actors.risk.limits import check_names
from actors.risk.margin import LIQUIDATE
from actors.risk.params import RiskLimits
from actors.risk.pretrade import Gate
from actors.risk.prices import Prices
from actors.risk.remembered import Remembered
from actors.risk.restricted import RestrictionDesk
from actors.risk.standing import Standing
from actors.risk.terms import closing_half, opening_half
from actors.risk.throttle import BY
from actors.risk.track import Tracks
from actors.risk.trading_state import REPLAY_RULE
from actors.values.history import SessionHistory
from actors.values.seen import SeenIds
from actors.values.universe import Universe
from daemon.kernel.actor import Context, Health, decides, observes
from daemon.kernel.errors import ConfigError
from daemon.kernel.message import Command, Event

ACCOUNTS: Final = ("cash", "cash_strict", "margin")


class RiskActor(FactsDesk, CorporateDesk, RestrictionDesk):
    """See the module."""

    name = "risk"
    sends: ClassVar[tuple[type[Command], ...]] = (
        RouteOrder,
        RouteReplace,
        SubmitOrder,
        CancelAll,
        ClosePositions,
        CutPositions,
        DisableStrategy,
    )
    emits: ClassVar[tuple[type[Event], ...]] = (
        OrderDenied,
        OrderCancelRejected,
        LimitBreached,
        BreakerTripped,
        BreakerReset,
        TradingStateChanged,
        LimitsChanged,
        MarginCalled,
        EntriesLocked,
        ConnectionChanged,
        RiskReviewed,
        DriftDetected,
        RestrictionChanged,
    )

    def __init__(
        self,
        universe: Universe,
        limits: RiskLimits,
        portfolios: Sequence[str],
        *,
        daily: bool,
        account: str = "cash",
        commission_rate: int = 0,
        commission_per_share: int = 0,
        min_commission: int = 0,
        margin_call: str = LIQUIDATE,
        stop_losses: Mapping[str, float] | None = None,
    ) -> None:
        """Build with nothing held and trading active.

        Args:
            universe: what may be traded.
            limits: the limits of the gate and the breakers.
            portfolios: names of all portfolios.
            daily: whether the run's bars are session bars; decides how the age of a price is counted.
            account: ``cash``, ``cash_strict`` or ``margin`` (``semantics.md`` section 3).
            commission_rate: what the broker will charge as a fraction of the value, units of 1e-8.
            commission_per_share: the same per share.
            min_commission: the least it charges for an order.
            margin_call: what a margin account below maintenance leads to, ``liquidate`` or ``warn``.
            stop_losses: by portfolio the automatic stop of its strategies' positions, a fraction; none where 0.

        Raises:
            ConfigError: an account type the gate cannot judge, or a limit of something that the run does not have.
        """
        if account not in ACCOUNTS:
            message = f"broker.account is {account!r}, which the risk gate cannot judge"
            raise ConfigError(message, code="BAD_ACCOUNT", remedy=f"use one of {', '.join(ACCOUNTS)}")
        check_names(limits, universe, portfolios)
        fees = FeeEstimate(commission_rate, commission_per_share, min_commission)
        self._n = len(universe)
        prices = Prices(self._n, daily=daily)
        super().__init__(
            universe,
            msgspec.convert(msgspec.to_builtins(limits), RiskLimits),  # as a journal would give them back
            {name: Guard(name, limits) for name in portfolios},
            prices,
            Exposure(tuple(portfolios), prices, fees, cash_reserve=limits.cash_reserve, account=account),
            margin_call=margin_call,
        )
        self._history = SessionHistory(self._n, max(limits.correlation_sessions, limits.var_sessions))
        self._tracks = Tracks(tuple(portfolios))
        self._heat = Heat(self._limits, self._exposure, self._prices, stop_losses or {})
        self._seen = SeenIds()
        self._recent: dict[tuple[str | int | None, ...], int] = {}
        self._recent_at = 0
        self._disabled: dict[str, str] = {}
        self._remembered = Remembered(universe, self._limits, prices, self._exposure, daily=daily)
        self._restricted = self._remembered.restricted
        self._gate = Gate(
            universe,
            self._limits,
            fees,
            prices=self._prices,
            exposure=self._exposure,
            keeper=self._keeper,
            standing=Standing(
                universe.symbols,
                self._limits,
                prices=self._prices,
                guards=self._guards,
                blocks=self._blocks,
                disabled=self._disabled,
                remembered=self._remembered,
            ),
            remembered=self._remembered,
            crowding=ExposureLimits(universe, self._limits, self._exposure, self._prices, self._history),
            heat=self._heat,
            seen=self._seen,
            recent=self._recent,
        )

    def _adopt(self, limits: RiskLimits) -> None:
        super()._adopt(limits)
        self._remembered.adopt(self._limits)
        self._gate.adopt(self._limits)

    def _check_names(self, limits: RiskLimits) -> None:
        check_names(limits, self._universe, tuple(self._guards))

    def health(self) -> Health:
        """Say what the gate lets pass and what it counts."""
        keeper = self._keeper
        why = f" ({keeper.reason})" if keeper.reason else ""
        tripped = [f"{breaker} of {guard.name}" for guard in self._guards.values() for breaker in guard.standing()]
        tripped += [row.named for row in self._rows]
        parts = [f"{keeper.state.value}{why}", f"{len(self._exposure.working)} working orders"]
        parts += [f"tripped: {', '.join(tripped)}"] if tripped else []
        parts += [f"{len(self._seen):,} order ids used"]
        return Health(ok=not tripped, detail="; ".join(parts))

    @property
    def history(self) -> SessionHistory:
        """Session closes, for measures."""
        return self._history

    @property
    def heat(self) -> Heat:
        """What would be lost down to the stops, for measures."""
        return self._heat

    @property
    def tracks(self) -> Tracks:
        """What the portfolios have done lately, for measures."""
        return self._tracks

    # -- market ----------------------------------------------------------------------------------------------------

    def reprice(self, action: CorporateAction) -> None:
        """Fold a corporate action; what binds a name or stands against it goes with it to its next one."""
        super().reprice(action)
        if action.renamed_to is not None:
            self._blocks.move(action.symbol, action.renamed_to)
            self._restricted.move(action.symbol, action.renamed_to)
            self._gate.rename()

    @observes(BarPanel)
    def bars(self, panel: BarPanel) -> None:
        """Fold last prices."""
        self._prices.fold_bars(panel)
        self._remembered.fold_bars(panel)
        self._bar = panel
        if self._silence.on:
            self._silence.fold_heard(self._stamps.last_ts, panel.ts - panel.start_ts)

    @observes(QuotePanel)
    def quotes(self, panel: QuotePanel) -> None:
        """Fold last prices."""
        self._prices.fold_quotes(panel)
        self._remembered.fold_quotes(panel)
        if self._silence.on:
            self._silence.fold_heard(self._stamps.last_ts, 0)

    @observes(TradePanel)
    def prints(self, panel: TradePanel) -> None:
        """Fold last prices."""
        self._prices.fold_trades(panel)
        if self._silence.on:
            self._silence.fold_heard(self._stamps.last_ts, 0)

    @observes(TradingStatus)
    def status(self, message: TradingStatus) -> None:
        """Fold who may trade."""
        self._prices.fold_status(message)

    @observes(SessionOpened)
    def opened(self, panel: SessionOpened) -> None:
        """Fold the calendar: warnings may be given again, sales settle."""
        self._prices.fold_opened(panel)
        self._remembered.fold_opened(panel)
        self._exposure.settle(self._prices.session)
        for guard in self._guards.values():
            guard.fold_opened(panel.session.date)
        self._fold_session_opened(panel)

    @observes(SessionClosed)
    def closed(self, panel: SessionClosed) -> None:
        """Fold the calendar and the session's closes: breakers that lift themselves begin to cool."""
        self._history.fold_close(self._prices.closes, self._prices.of_session())
        self._prices.fold_closed(panel)
        self._remembered.fold_closed()
        self._tracks.fold_closed()
        self._fold_session_closed()
        for guard in self._guards.values():
            guard.fold_closed()

    # -- the gate --------------------------------------------------------------------------------------------------

    @decides(SubmitOrder)
    def submit(self, order: SubmitOrder, ctx: Context) -> None:
        """Let an order through with its reservation, or deny it with code, value, limit and remedy."""
        verdict = self._gate.judge_new(order, ctx.now)
        if isinstance(verdict, int):
            ctx.send(RouteOrder(order, verdict))
            if self._exposure.books[order.portfolio].names >= self._names_from:
                self._tell_names(order.portfolio, ctx)
            if self._counts_orders:
                self._watch_rate(ctx)
        elif isinstance(verdict, Denial):
            ctx.emit(OrderDenied(order, verdict.code, verdict.reason, verdict.value, verdict.limit))
        else:
            ctx.send(closing_half(order, verdict.closing))
            ctx.send(opening_half(order, order.qty - verdict.closing))  # each half comes here anew

    @decides(ReplaceOrder)
    def replace(self, command: ReplaceOrder, ctx: Context) -> None:
        """Judge the complete new terms of a working order."""
        order_id = command.client_order_id
        working = self._exposure.working.get(order_id)
        if command.malformed is not None:
            ctx.emit(OrderCancelRejected(order_id, *command.malformed))
            return
        if working is None:
            ended = order_id in self._seen
            code = "TERMINAL_ORDER" if ended else "UNKNOWN_ORDER"
            reason = f"order {order_id} has ended already" if ended else f"there is no order {order_id}"
            ctx.emit(OrderCancelRejected(order_id, code, reason))
            return
        qty = working.qty if command.qty is None else command.qty
        limit_px = working.limit_px if command.limit_px is None else command.limit_px
        stop_px = working.stop_px if command.stop_px is None else command.stop_px
        verdict = self._gate.judge_replace(working, qty, limit_px, stop_px, ctx.now)
        if isinstance(verdict, Denial):
            ctx.emit(OrderCancelRejected(order_id, verdict.code, verdict.reason))
        else:
            ctx.send(RouteReplace(order_id, qty, limit_px, stop_px, verdict))

    # -- breakers --------------------------------------------------------------------------------------------------

    @decides(EquityMarked)
    def marked(self, event: EquityMarked, ctx: Context) -> None:
        """Compare equity with the highest level at which something has to happen; the rest is the rare case."""
        guard = self._guards[event.portfolio]
        # Whatever has tripped: who lends the money does not wait for a breaker to be armed again.
        if self._exposure.is_margin and not self._keeper.recovering:
            self._watch_margin(event, ctx)
        if (event.equity <= guard.floor or self._over_exposed(event)) and self._watch_mark(event, ctx):
            return
        if self._rows.any:
            self._review(ctx)
        if self._keeper.recovering:
            self._end_recovery(ctx)

    @decides(SessionOpened)
    def begin_session(self, panel: SessionOpened, ctx: Context) -> None:
        """Replay's rule: the day loss is armed again with the next session. Silence is watched from here."""
        del panel
        cleared: list[tuple[str, str, str]] = []
        if self._limits.replay:
            cleared = [(guard.name, DAILY_LOSS, "") for guard in self._guards.values() if guard.opens_daily()]
        if cleared:
            self._arm(ctx, cleared, "a new session began", REPLAY_RULE)
        elif self._rows.any:
            self._review(ctx)
        self._watch_session(ctx)

    @decides(SessionClosed)
    def end_session(self, panel: SessionClosed, ctx: Context) -> None:
        """Replay's rule: a drawdown halt is lifted after the sessions that were asked for. Look at the market."""
        del panel
        session = self._prices.session
        self._tell_uses(ctx)
        cleared = [(guard.name, DRAWDOWN, "") for guard in self._guards.values() if guard.resumes_drawdown(session)]
        if self._trips_volatility(ctx):
            return
        if cleared:
            sessions = self._limits.replay_resume_sessions
            self._arm(ctx, cleared, f"{sessions} sessions have passed; the high-water mark restarts here", REPLAY_RULE)

    def fill_judged(self, event: Fill, ctx: Context) -> None:
        """Trip where a fill cannot be true, or cost too much; switch off what executes too often."""
        super().fill_judged(event, ctx)
        for strategy, why in self._remembered.executions.over.items():
            ctx.send(DisableStrategy(strategy, why, BY))

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "prices": self._prices.snapshot(),
            "exposure": self._exposure.snapshot(),
            "history": self._history.snapshot(),
            "tracks": self._tracks.snapshot(),
            "remembered": self._remembered.snapshot(),
            "guards": [[name, guard.snapshot()] for name, guard in self._guards.items()],
            "state": self._keeper.snapshot(),
            "breakers": self._breakers_snapshot(),
            "flattening": list(self._flattening),
            "margin": self._margin_snapshot(),
            **self._limits_snapshot(),
            "seen": self._seen.snapshot(),
            "recent": [[list(key), stamp] for key, stamp in self._recent.items()],
            "recent_at": self._recent_at,
            "disabled": [[strategy, reason] for strategy, reason in self._disabled.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave, limits included; the gate keeps looking at the same objects."""
        self._limits_restore(state)
        self._prices.restore(state["prices"])
        self._gate.rename()
        self._exposure.restore(state["exposure"])
        if "history" in state:  # a snapshot of an older version has none
            self._history.restore(state["history"])
        if "tracks" in state:
            self._tracks.restore(state["tracks"])
        self._remembered.restore(state.get("remembered", {}), self._limits)
        for name, guard in state["guards"]:
            self._guards[name].restore(guard)
        self._keeper.restore(state["state"])
        self._breakers_restore(state.get("breakers", {}))  # a snapshot of an older version has none
        self._flattening = dict.fromkeys(state["flattening"])
        self._margin_restore(state.get("margin", []))  # a snapshot of an older version has none
        self._seen.restore(state["seen"])
        self._recent.clear()
        self._recent.update((tuple(key), stamp) for key, stamp in state["recent"])
        self._recent_at = state["recent_at"]
        self._disabled.clear()
        self._disabled.update((strategy, reason) for strategy, reason in state["disabled"])
