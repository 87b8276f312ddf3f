"""What the losses of a week and a month are measured against: the last close of the period before, net of flows.

A period is told by exchange dates alone: ISO weeks and calendar months of the session's date. So neither midnight UTC
nor a change of the clocks nor holidays move a baseline, and however many sessions were missed, the last close known is
the one before the period.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from actors.messages.limits import RiskLimits
from actors.messages.risk import BreakerTripped
from actors.risk.breaker_rows import MONTHLY_LOSS, OFF, WEEKLY_LOSS, latches
from actors.values.fixed import mul, to_fixed


def week_of(day: int) -> int:
    """Return the ISO week of an exchange date YYYYMMDD as YYYYWW; 0 for no date."""
    if not day:
        return 0
    year, week, _ = date(day // 10_000, day // 100 % 100, day % 100).isocalendar()
    return 100 * year + week


def month_of(day: int) -> int:
    """Return the month of an exchange date YYYYMMDD as YYYYMM."""
    return day // 100


class Period:
    """Baseline and breaker of the losses of one kind of period, of one portfolio.

    Attributes:
        breaker: ``weekly_loss`` or ``monthly_loss``.
        base: last close of the period before, flows since added; units of 1e-8.
        known: whether there is one: a snapshot of an older version has none before the next period.
        armed: whether the breaker may trip.
    """

    __slots__ = ("_limit", "_rule", "armed", "base", "breaker", "known")

    def __init__(self, breaker: str) -> None:
        """Begin with what will be deposited."""
        self.breaker = breaker
        self.base = 0
        self.known = True
        self.armed = True
        self._rule = OFF
        self._limit = 0

    def adopt(self, limits: RiskLimits) -> None:
        """Watch the limit that stands there from now on."""
        self._rule = limits.breakers.get(self.breaker, OFF)
        self._limit = to_fixed(self._rule.limit)

    def begins(self, last: int, day: int) -> bool:
        """Whether a period begins with the session of ``day``, the one before having been that of ``last``."""
        period = week_of if self.breaker == WEEKLY_LOSS else month_of
        return period(last) != period(day)

    def start(self, base: int) -> None:
        """Measure from this equity on."""
        self.base = base
        self.known = True

    def flow(self, amount: int) -> None:
        """Cash came or went from outside."""
        if self.known:
            self.base += amount

    def floor(self) -> int | None:
        """Return the equity at which the limit is reached; None while it is off or cannot be computed."""
        if not self._limit or self.base <= 0 or not self.known:
            return None
        return self.base - mul(self.base, self._limit)

    def lasts(self, equity: int) -> bool:
        """Whether this equity is at or beyond the limit."""
        floor = self.floor()
        return floor is not None and equity <= floor

    def breach(self, portfolio: str, equity: int) -> BreakerTripped | None:
        """Return what an equity calls for."""
        if not self.armed or not self.lasts(equity):
            return None
        value = round(1.0 - equity / self.base, 9)
        rule = self._rule
        return BreakerTripped(portfolio, self.breaker, value, rule.limit, equity, self.base, rule.action, latches(rule))

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self.base, self.known, self.armed]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.base, self.known, self.armed = state


def periods() -> tuple[Period, Period]:
    """Return a week's and a month's."""
    return Period(WEEKLY_LOSS), Period(MONTHLY_LOSS)
