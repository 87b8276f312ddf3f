"""The value at risk that an entry would lead to: historical, one session, 95 %, of everything held and the entry.

What is counted is always the same: the returns of all that is held, over the sessions that all of it and the entry's
symbol have, times the values as they would be, elementwise and summed session by session, so that a limit is compared
with the same number on every machine. It takes an array of some hundred sessions and as many sums, and for most orders
it needs not be taken: no session can cost more than the worst session of each value that has changed, on top of what
was counted last (a quantile of a sum is at most the quantile plus the largest of what was added). Where even that is
within the limit, nothing is counted. The bound says yes to nothing that counting would refuse, so it changes no answer.

Fewer than 60 sessions say nothing (``semantics.md`` section 4), and what is not known is not fine: a symbol without as
many, or without as many in common with the others, is counted at its whole value on top of what the others come to. A
long position cannot lose more in a session; of a short it is assumed. So nobody enters on one unknown name what the
known ones would have been denied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from actors.risk.holdings import Book, Holding
from actors.risk.params import RiskLimits
from actors.risk.totals import Totals
from actors.risk.var import LEAST, historical
from actors.values.fixed import SCALE
from actors.values.history import SessionHistory

LEVEL: Final = 0.95
_UNIT: Final = SCALE * SCALE
_SLACK: Final = 1e-6
"""Sums of floats are not exact; what lies this near to the limit is counted."""


class Over(NamedTuple):
    """What is too much: the value at risk, money; and symbols that are in it with their whole value."""

    lost: float
    unknown: tuple[int, ...] = ()


class _Counted:
    """What was counted last of one portfolio.

    Attributes:
        lost: its value at risk, money.
        values: by symbol what it was of, units of 1e-16; none of them has holes in its history.
        drift: what the values that changed since may have added, money; None where a symbol's history has holes.
        stamp: of the sums when that was looked at.
    """

    __slots__ = ("drift", "lost", "stamp", "values")

    def __init__(self, lost: float, values: dict[int, int]) -> None:
        self.lost = lost
        self.values = values
        self.drift: float | None = None
        self.stamp = -1


class VarLimit:
    """Value at risk with an entry; reads folded state, and keeps what it counted."""

    __slots__ = ("_counted", "_extremes", "_history", "_of", "_sessions")

    def __init__(self, history: SessionHistory, limits: RiskLimits) -> None:
        """Build over the actor's live history."""
        self._history = history
        self._counted: dict[Totals, _Counted] = {}
        self._extremes: dict[int, tuple[float, float] | None] = {}
        self._of = -1
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Look at so many sessions from now on."""
        self._sessions = limits.var_sessions
        self._of = -1

    def over(self, book: Book, symbol: int, value: int, most: float) -> Over | None:
        """Return the value at risk with an entry where it is above ``most``, None where not.

        Args:
            book: whose sums are up to date.
            symbol: of the entry.
            value: signed, of all that would be held in it, units of 1e-16.
            most: money.
        """
        history, totals = self._history, book.totals
        if self._of != history.version:
            self._counted.clear()
            self._extremes.clear()
            self._of = history.version
        counted = self._counted.get(totals)
        if counted is not None:
            bound = self._bound(counted, totals, symbol, value)
            if bound is not None and bound <= most - _SLACK * (1.0 + abs(most)):
                return None
        values = {other: _leaning(holding) for other, holding in totals.active.items()}
        values[symbol] = value
        lost = self._count(values)
        if lost is None:
            self._counted.pop(totals, None)
            return self._partly(values, most)
        if all(self._extremes_of(other) is not None for other in values):
            self._counted[totals] = _Counted(lost, values)
        else:  # another symbol would be of other sessions: of that nothing can be said
            self._counted.pop(totals, None)
        told = round(lost, 2)
        return Over(told) if told > most else None

    def _partly(self, values: Mapping[int, int], most: float) -> Over | None:
        """Return what is too much where some of it is not known: the known part, or it and all of the rest."""
        known, unknown = self._split(values)
        lost = self._count({symbol: values[symbol] for symbol in known}) if known else 0.0
        told = round(max(0.0, lost or 0.0), 2)
        if told > most:
            return Over(told)
        told = round(told + sum(abs(values[symbol]) for symbol in unknown) / _UNIT, 2)
        return Over(told, tuple(unknown)) if told > most else None

    def _split(self, values: Mapping[int, int]) -> tuple[list[int], list[int]]:
        """Return the symbols with enough sessions in common, and the others.

        Those with too few of their own go first, then one by one the one with the fewest, of equal ones the last.
        """
        ids = sorted(symbol for symbol, value in values.items() if value)
        if self._history.known < LEAST:
            return [], ids
        finite = np.isfinite(self._history.returns_of(ids, self._sessions))
        own = np.count_nonzero(finite, axis=0)
        columns = [column for column in range(len(ids)) if own[column] >= LEAST]
        while columns and np.count_nonzero(finite[:, columns].all(axis=1)) < LEAST:
            columns.remove(min(columns, key=lambda column: (own[column], -column)))
        known = [ids[column] for column in columns]
        return known, [symbol for symbol in ids if symbol not in known]

    def _count(self, values: Mapping[int, int]) -> float | None:
        if self._history.known < LEAST:
            return None
        ids = sorted(values)
        returns = self._history.returns_of(ids, self._sessions)
        series = returns[np.isfinite(returns).all(axis=1)]
        money = np.array([values[other] / _UNIT for other in ids])
        return historical(np.sum(series * money, axis=1), LEVEL)

    def _bound(self, counted: _Counted, totals: Totals, symbol: int, value: int) -> float | None:
        """Return what the value at risk is at most; None where that cannot be said."""
        if counted.stamp != totals.stamp:
            counted.drift = self._drift(counted.values, totals)
            counted.stamp = totals.stamp
        extremes = self._extremes_of(symbol)
        if counted.drift is None or extremes is None:
            return None
        holding = totals.active.get(symbol)
        more = (value - (_leaning(holding) if holding is not None else 0)) / _UNIT
        low, high = extremes
        return counted.lost + counted.drift - min(more * low, more * high)

    def _drift(self, before: Mapping[int, int], totals: Totals) -> float | None:
        """Return what the values that changed may have added; None where the history of one has holes."""
        active = totals.active
        added = 0.0
        for symbol, holding in active.items():
            more = _leaning(holding) - before.get(symbol, 0)
            if more:
                extremes = self._extremes_of(symbol)
                if extremes is None:
                    return None
                added -= more * extremes[more < 0]
        for symbol, value in before.items():
            if symbol not in active and value:
                extremes = self._extremes_of(symbol)
                if extremes is None:
                    return None
                added += value * extremes[value > 0]
        return added / _UNIT

    def _extremes_of(self, symbol: int) -> tuple[float, float] | None:
        """Return the lowest and the highest return of a symbol; None where one is missing."""
        if symbol not in self._extremes:
            returns = self._history.returns_of([symbol], self._sessions)
            low, high = float(returns.min()), float(returns.max())
            self._extremes[symbol] = (low, high) if math.isfinite(low) and math.isfinite(high) else None
        return self._extremes[symbol]


def _leaning(holding: Holding) -> int:
    """Return the larger of what a holding is if all buys fill and if all sales do, units of 1e-16."""
    return holding.up if holding.up >= -holding.down else holding.down
