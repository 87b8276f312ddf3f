"""Breakers that are not armed: one row each, named by (portfolio or "" for all, breaker, subject), in one state table.

ARMED -> TRIPPED while what tripped it goes on -> COOLING once it is over -> ARMED after the waits; or ARMED -> LATCHED
until somebody arms it again. What happens once and is over with it (a fill, an order too many) cools at once; while it
goes on happening the wait begins anew. An armed breaker has no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from actors.messages.limits import BreakerRule
from actors.messages.risk import BreakerReset, BreakerTripped
from actors.risk.params import COOLING as RESETS_BY_ITSELF
from daemon.kernel.state_machine import StateMachine


class BreakerState(StrEnum):
    """ARMED watches. TRIPPED and COOLING lift themselves, LATCHED waits for a human."""

    ARMED = "armed"
    TRIPPED = "tripped"
    COOLING = "cooling"
    LATCHED = "latched"


ARMED: Final = BreakerState.ARMED
TRIPPED: Final = BreakerState.TRIPPED
COOLING: Final = BreakerState.COOLING
LATCHED: Final = BreakerState.LATCHED

# `close` is the end of the cause: of a day's loss the session's close, of anything else what its measure says.
BREAKER: Final[StateMachine[BreakerState, str]] = StateMachine(
    "trading breaker",
    {
        (ARMED, "trip"): TRIPPED,
        (ARMED, "latch"): LATCHED,
        (TRIPPED, "close"): COOLING,
        (TRIPPED, "reset"): ARMED,
        (COOLING, "again"): TRIPPED,
        (COOLING, "reset"): ARMED,
        (LATCHED, "reset"): ARMED,
    },
)

WARN: Final = "warn"
BLOCK: Final = "block"
REDUCE: Final = "reduce"
DELEVERAGE: Final = "deleverage"
HALT: Final = "halt"
FLATTEN: Final = "flatten"
SETS_STATE: Final = (REDUCE, DELEVERAGE, HALT, FLATTEN)
"""Actions behind which the trading state is another."""

DAILY_LOSS: Final = "daily_loss"
DRAWDOWN: Final = "drawdown"
WEEKLY_LOSS: Final = "weekly_loss"
MONTHLY_LOSS: Final = "monthly_loss"
LOSS_STREAK: Final = "loss_streak"
ORDER_RATE: Final = "order_rate"
REJECT_RATE: Final = "reject_rate"
FILL_SANITY: Final = "fill_sanity"
SLIPPAGE: Final = "slippage"
STALE_DATA: Final = "stale_data"
CONNECTIVITY: Final = "connectivity"
CLOCK_SKEW: Final = "clock_skew"
EXPOSURE: Final = "exposure"
VOLATILITY: Final = "volatility"
PREDICTION_DRIFT: Final = "prediction_drift"
BREAKER_NAMES: Final = (
    DAILY_LOSS,
    DRAWDOWN,
    WEEKLY_LOSS,
    MONTHLY_LOSS,
    LOSS_STREAK,
    ORDER_RATE,
    REJECT_RATE,
    FILL_SANITY,
    SLIPPAGE,
    STALE_DATA,
    CONNECTIVITY,
    CLOCK_SKEW,
    EXPOSURE,
    VOLATILITY,
    PREDICTION_DRIFT,
)
LOSSES: Final = (DAILY_LOSS, DRAWDOWN, WEEKLY_LOSS, MONTHLY_LOSS)
"""Those that measure equity against a baseline, in fractions of it."""
WATCH_ALL: Final = (ORDER_RATE, REJECT_RATE, STALE_DATA, CONNECTIVITY, CLOCK_SKEW, VOLATILITY, PREDICTION_DRIFT)
"""Those of all portfolios together: their portfolio is ""."""
SUBJECTS: Final = {FILL_SANITY: "symbol", SLIPPAGE: "symbol", CONNECTIVITY: "feed", PREDICTION_DRIFT: "strategy"}
"""Those that are each of something, and of what."""
_LASTING: Final = (WEEKLY_LOSS, MONTHLY_LOSS, STALE_DATA, CONNECTIVITY, EXPOSURE, VOLATILITY)
"""Those whose cause goes on until its measure says otherwise."""

Key = tuple[str, str, str]
"""(portfolio, breaker, subject)"""
OFF: Final = BreakerRule()


def latches(rule: BreakerRule) -> bool:
    """Whether a breaker waits for an operator; one that only warns has nothing to wait for."""
    return rule.reset != RESETS_BY_ITSELF and rule.action != WARN


class Row:
    """A breaker that tripped.

    Attributes:
        portfolio: its own, "" for all.
        breaker: name.
        subject: strategy, symbol or feed, "" for none.
        state: TRIPPED, COOLING or LATCHED.
        action: what it did.
        cause: in words.
        value, limit: as in the event.
        heard: newest instant on the tape when it tripped, nanoseconds UTC.
        since: stamp from which its wait counts, nanoseconds UTC.
        session: number of the session from which its wait counts.
    """

    __slots__ = (
        "action",
        "breaker",
        "cause",
        "heard",
        "limit",
        "portfolio",
        "session",
        "since",
        "state",
        "subject",
        "value",
    )

    def __init__(self, event: BreakerTripped, ts: int, session: int, heard: int) -> None:
        self.portfolio = event.portfolio
        self.breaker = event.breaker
        self.subject = event.subject
        self.state = BREAKER.next(ARMED, "latch" if event.latched else "trip")
        self.action = event.action
        self.cause = event.cause
        self.value = event.value
        self.limit = event.limit
        self.since = ts
        self.session = session
        self.heard = heard

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.portfolio, self.breaker, self.subject

    @property
    def named(self) -> str:
        """The breaker for people."""
        whose = f" of {self.portfolio}" if self.portfolio else ""
        return f"{self.breaker}{whose}{f' ({self.subject})' if self.subject else ''}"


class Rows:
    """All breakers that are not armed, but for day loss and drawdown, which :class:`~actors.risk.breakers.Guard` keeps.

    Attributes:
        any: whether there is one.
    """

    __slots__ = ("_rows", "any")

    def __init__(self) -> None:
        """Begin with everything armed."""
        self.any = False
        self._rows: dict[Key, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        """Go through them in the order in which they tripped."""
        return iter(self._rows.values())

    def get(self, portfolio: str, breaker: str, subject: str = "") -> Row | None:
        """Return a breaker's row, None while it is armed."""
        return self._rows.get((portfolio, breaker, subject))

    def named(self, portfolio: str, breaker: str, subject: str) -> list[Row]:
        """Return a breaker's rows; with subject "" those of every subject."""
        return [
            row
            for row in self._rows.values()
            if row.portfolio == portfolio and row.breaker == breaker and subject in ("", row.subject)
        ]

    def stands_in_the_way(self) -> list[Row]:
        """Return those that keep trading from being resumed: latched ones, and those that set the state."""
        return [row for row in self._rows.values() if row.state is LATCHED or row.action in SETS_STATE]

    def over(self, ts: int, session: int, rules: dict[str, BreakerRule]) -> list[Row]:
        """Return those that may be armed again at ``ts``, in the session of this number: cooling, and waited enough."""
        found = []
        for row in self._rows.values():
            if row.state is COOLING:
                rule = rules.get(row.breaker, OFF)
                waits = ts - row.since < rule.cooling_ns or session - row.session < rule.cooling_sessions
                if not waits:
                    found.append(row)
        return found

    # -- folds -----------------------------------------------------------------------------------------------------

    def fold_tripped(self, event: BreakerTripped, ts: int, session: int, heard: int) -> None:
        """A breaker tripped at the stamp ``ts``."""
        key = event.portfolio, event.breaker, event.subject
        if key in self._rows:
            return
        row = self._rows[key] = Row(event, ts, session, heard)
        self.any = True
        if event.breaker not in _LASTING and row.state is TRIPPED:
            row.state = BREAKER.next(TRIPPED, "close")

    def fold_reset(self, event: BreakerReset) -> None:
        """A breaker is armed again."""
        self._rows.pop((event.portfolio, event.breaker, event.subject), None)
        self.any = bool(self._rows)

    def fold_cause(self, row: Row, ts: int, session: int, *, lasts: bool) -> None:
        """Say of a breaker whether what tripped it goes on; its wait begins where it ends."""
        if lasts:
            row.state = BREAKER.table.get((row.state, "again"), row.state)
        elif row.state is TRIPPED:
            row.state = BREAKER.next(TRIPPED, "close")
            row.since = ts
            row.session = session

    def fold_again(self, portfolio: str, breaker: str, subject: str, ts: int, session: int) -> None:
        """What tripped a breaker has happened once more: its wait begins anew."""
        row = self._rows.get((portfolio, breaker, subject))
        if row is not None:
            row.since = ts
            row.session = session

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [
            [*row.key, row.value, row.limit, row.action, row.cause, row.state.value, row.since, row.session, row.heard]
            for row in self._rows.values()
        ]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version, which knew none."""
        self._rows = {}
        for portfolio, breaker, subject, value, limit, action, cause, name, since, session, heard in state:
            event = BreakerTripped(
                portfolio, breaker, value, limit, 0, 0, action, latched=False, cause=cause, subject=subject
            )
            row = self._rows[portfolio, breaker, subject] = Row(event, since, session, heard)
            row.state = BreakerState(name)
        self.any = bool(self._rows)
