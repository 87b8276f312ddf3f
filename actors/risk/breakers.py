"""Loss breakers: day loss against the last session's close, drawdown against the high-water mark, weeks and months.

All baselines are net of external flows and persisted by events: ``SessionRolled`` and ``CashFlowed`` set them, a
person's reset restarts them at the present equity, so that a reset breaker guards the next loss instead of tripping
again over the old one. A baseline that is missing or not positive means "cannot compute", which never trips anything.

Day loss and drawdown are one of two machines in one table (:mod:`actors.risk.breaker_rows`): a daily loss in replay
goes ARMED -> TRIPPED -> COOLING (after the close) -> ARMED (next session), and so does a drawdown that
``replay_resume_sessions`` lifts; everything else goes ARMED -> LATCHED and waits for an operator. Losses of a week and
a month are breakers like any other (:mod:`actors.risk.baselines`): their rules say what they do and how they are armed.
"""

from __future__ import annotations

from typing import Any, Final

from actors.messages.limits import PortfolioLimits
from actors.messages.portfolio import CashFlowed, EquityMarked, SessionRolled
from actors.messages.risk import BreakerReset, BreakerTripped, LimitBreached
from actors.risk.baselines import periods
from actors.risk.breaker_rows import (
    ARMED,
    BREAKER,
    BREAKER_NAMES,
    COOLING,
    DAILY_LOSS,
    DRAWDOWN,
    HALT,
    LATCHED,
    TRIPPED,
    WARN,
    BreakerState,
)
from actors.risk.params import RiskLimits
from actors.risk.trading_state import BREAKER as BY_ITSELF
from actors.values.fixed import mul, to_fixed

__all__ = [
    "ARMED",
    "BREAKER",
    "BREAKER_NAMES",
    "COOLING",
    "DAILY_LOSS",
    "DRAWDOWN",
    "LATCHED",
    "TRIPPED",
    "BreakerState",
    "Guard",
]

BLOCK: Final = "block_entries"

_NEVER: Final = -(1 << 200)
"""A floor no equity reaches: nothing is left to happen."""
_ALWAYS: Final = 1 << 200
"""A floor every equity reaches: there is nothing to measure it against."""


class Guard:
    """One portfolio's baselines and breakers.

    Attributes:
        equity: last mark, units of 1e-8, flows added.
        day_base: close of the last session plus flows since; the opening deposit before the first.
        prior_base: ``day_base`` as it was up to that close, plus flows since: what the session that has ended is told
            against until the next one opens. Nothing is decided on it.
        mark: high-water mark of session closes, flows added.
        base_session: exchange date YYYYMMDD of the close in ``day_base``, 0 before the first.
        closed: the last close, flows since added: as ``day_base``, but no reset moves it.
        periods: week and month.
        warned, blocked: limits breached since they were last cleared.
        floor: the highest equity at which something has still to happen; the quiet path compares with it alone.
    """

    __slots__ = (
        "_block",
        "_block_limit",
        "_daily_latches",
        "_drawdown_latches",
        "_halt",
        "_halt_limit",
        "_limits",
        "_most",
        "_most_limit",
        "_warn",
        "base_session",
        "blocked",
        "closed",
        "daily",
        "day_base",
        "drawdown",
        "drawdown_session",
        "equity",
        "floor",
        "mark",
        "name",
        "periods",
        "prior_base",
        "warned",
    )

    def __init__(self, name: str, limits: RiskLimits) -> None:
        self.name = name
        self.equity = 0
        self.day_base = 0
        self.prior_base = 0
        self.mark = 0
        self.base_session = 0
        self.closed = 0
        self.periods = periods()
        self.warned = False
        self.blocked = False
        self.daily = ARMED
        self.drawdown = ARMED
        self.drawdown_session = 0
        self.floor = _NEVER
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Watch these limits from now on; what has tripped or was reported stays so."""
        self._limits = limits
        own = limits.portfolios.get(self.name, _NONE)
        self._daily_latches = not limits.replay
        self._drawdown_latches = not limits.replay or limits.replay_resume_sessions <= 0
        self._warn = to_fixed(limits.daily_loss_warn)
        self._block_limit = _tighter(limits.daily_loss_block, own.daily_loss_block)
        self._halt_limit = _tighter(limits.daily_loss_halt, own.daily_loss_halt)
        self._most_limit = _tighter(limits.max_drawdown, own.max_drawdown)
        self._block = to_fixed(self._block_limit)
        self._halt = to_fixed(self._halt_limit)
        self._most = to_fixed(self._most_limit)
        for period in self.periods:
            period.adopt(limits)
        self._refloor()

    # -- folds -----------------------------------------------------------------------------------------------------

    def fold_mark(self, event: EquityMarked) -> None:
        """Equity at the last prices."""
        self.equity = event.equity

    def fold_flow(self, event: CashFlowed) -> None:
        """An external flow moves equity and all baselines alike: it is neither gain nor loss."""
        self.equity += event.amount
        self.day_base += event.amount
        self.prior_base += event.amount
        self.mark += event.amount
        self.closed += event.amount
        for period in self.periods:
            period.flow(event.amount)
        self._refloor()

    def fold_rolled(self, event: SessionRolled) -> None:
        """A session ended: its close is the next day's baseline, and a new mark if it is the highest."""
        self.prior_base = self.day_base
        self.equity = self.day_base = self.closed = event.equity
        self.base_session = event.session
        self.mark = max(self.mark, event.equity)
        self._refloor()

    def fold_breached(self, event: LimitBreached) -> None:
        """A limit was reported; it is not reported again before it is cleared."""
        self.warned = True
        if event.action == BLOCK:
            self.blocked = True
        self._refloor()

    def fold_tripped(self, event: BreakerTripped, session: int) -> None:
        """A loss breaker tripped in the session with this number."""
        trigger = "latch" if event.latched else "trip"
        if event.breaker == DAILY_LOSS:
            self.warned = self.blocked = True
            self.daily = BREAKER.table.get((self.daily, trigger), self.daily)
        elif event.breaker == DRAWDOWN:
            self.drawdown = BREAKER.table.get((self.drawdown, trigger), self.drawdown)
            self.drawdown_session = session
        else:
            self._arm(event.breaker, armed=False)
        self._refloor()

    def fold_reset(self, event: BreakerReset) -> None:
        """A breaker is armed again; somebody who armed it has accepted what was lost, and it starts from here.

        A loss of a week or month that is armed by itself is less than the limit again: its baseline stays the close.
        """
        if event.breaker == DAILY_LOSS:
            self.daily = BREAKER.table.get((self.daily, "reset"), self.daily)
            self.warned = self.blocked = False
            self.day_base = self.prior_base = self.equity
        elif event.breaker == DRAWDOWN:
            self.drawdown = BREAKER.table.get((self.drawdown, "reset"), self.drawdown)
            self.mark = self.equity
        else:
            self._arm(event.breaker, armed=True, anew=event.by != BY_ITSELF)
        self._refloor()

    def _arm(self, breaker: str, *, armed: bool, anew: bool = False) -> None:
        for period in self.periods:
            if period.breaker == breaker:
                period.armed = armed
                if anew:
                    period.start(self.equity)

    def fold_opened(self, day: int) -> None:
        """The session of the exchange date ``day`` opened: a warning may be given again, a period may begin."""
        for period in self.periods:
            if period.begins(self.base_session, day):
                period.start(self.closed)
        self.warned = self.warned and self.blocked
        self._refloor()

    def fold_closed(self) -> None:
        """A session closed: breakers that lift themselves begin to cool."""
        self.daily = BREAKER.table.get((self.daily, "close"), self.daily)
        self.drawdown = BREAKER.table.get((self.drawdown, "close"), self.drawdown)

    # -- questions -------------------------------------------------------------------------------------------------

    def breaches(self) -> list[LimitBreached | BreakerTripped]:
        """Return what the present equity calls for, the strictest word on each measure only."""
        found: list[LimitBreached | BreakerTripped] = []
        limits, equity, base = self._limits, self.equity, self.day_base
        if base > 0:
            value = round(1.0 - equity / base, 9)
            if self.daily is ARMED and equity <= _floor(base, self._halt):
                limit = self._halt_limit
                found.append(
                    BreakerTripped(self.name, DAILY_LOSS, value, limit, equity, base, HALT, self._daily_latches)
                )
            elif not self.blocked and equity <= _floor(base, self._block):
                found.append(LimitBreached(self.name, DAILY_LOSS, value, self._block_limit, BLOCK))
            elif not self.warned and equity <= _floor(base, self._warn):
                found.append(LimitBreached(self.name, DAILY_LOSS, value, limits.daily_loss_warn, WARN))
        mark = self.mark
        if mark > 0 and self.drawdown is ARMED and equity <= _floor(mark, self._most):
            value = round(1.0 - equity / mark, 9)
            found.append(
                BreakerTripped(self.name, DRAWDOWN, value, self._most_limit, equity, mark, HALT, self._drawdown_latches)
            )
        for period in self.periods:
            breach = period.breach(self.name, equity)
            if breach is not None:
                found.append(breach)
        return found

    @property
    def unknown(self) -> bool:
        """Whether there never was anything to measure a loss against."""
        return self.day_base == 0 and self.mark <= 0 and self.base_session == 0

    def standing(self) -> list[str]:
        """Return the names of the breakers that are not armed."""
        pairs = ((DAILY_LOSS, self.daily), (DRAWDOWN, self.drawdown))
        return [name for name, state in pairs if state is not ARMED]

    def opens_daily(self) -> bool:
        """Whether the replay's rule clears the day loss at this session's open."""
        return self._limits.replay and self.blocked

    def resumes_drawdown(self, session: int) -> bool:
        """Whether the replay's rule lifts the drawdown at the close of the session with this number."""
        return self.drawdown is COOLING and session - self.drawdown_session >= self._limits.replay_resume_sessions

    def _refloor(self) -> None:
        # Of several limits on one baseline the smallest that is on comes first: the higher the floor, the sooner.
        floor = _NEVER
        base, mark = self.day_base, self.mark
        if base > 0:
            least = 0
            if self._halt > 0 and self.daily is ARMED:
                least = self._halt
            if self._block > 0 and not self.blocked and (not least or self._block < least):
                least = self._block
            if self._warn > 0 and not self.warned and (not least or self._warn < least):
                least = self._warn
            if least:
                floor = base - mul(base, least)
        if mark > 0 and self._most > 0 and self.drawdown is ARMED:
            most = mark - mul(mark, self._most)
            floor = max(floor, most)
        for period in self.periods:
            at = period.floor() if period.armed else None
            if at is not None:
                floor = max(floor, at)
        self.floor = _ALWAYS if self.unknown else floor

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [
            self.equity,
            self.day_base,
            self.mark,
            self.base_session,
            self.warned,
            self.blocked,
            self.daily.value,
            self.drawdown.value,
            0,  # what older versions kept here was never asked for
            self.drawdown_session,
            self.prior_base,
            self.closed,
            [period.snapshot() for period in self.periods],
        ]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.equity, self.day_base, self.mark, self.base_session, self.warned, self.blocked = state[:6]
        self.daily = BreakerState(state[6])
        self.drawdown = BreakerState(state[7])
        self.drawdown_session = state[9]
        # A snapshot of an older version has less: then the day's baseline is the last close, and weeks and months are
        # unknown until the next one begins.
        self.prior_base = state[10] if len(state) > 10 else 0
        self.closed = state[11] if len(state) > 11 else self.day_base
        for period, saved in zip(self.periods, state[12] if len(state) > 12 else ([0, False, True],) * 2, strict=True):
            period.restore(saved)
        self._refloor()


def _floor(base: int, limit: int) -> int:
    """Return the equity at which a loss of ``limit`` (1e-8) of ``base`` is reached; never where the limit is off."""
    return base - mul(base, limit) if limit > 0 else _NEVER


def _tighter(general: float, own: float) -> float:
    """Return the smaller of two limits that are on; 0 where neither is."""
    return min(general, own) if general and own else general or own


_NONE: Final = PortfolioLimits()
