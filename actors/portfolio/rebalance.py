"""When weights are brought back to their targets.

A decision is a rebalance if it is the first one of the strategy in its period, by exchange date of the session it
falls into: the first in a session (``daily``), in an ISO week (``weekly``), in a calendar month (``monthly``). With
``signal`` every decision is one; with ``never`` only the first that wants anything. A decision that comes after the
close of a session counts for that session, so a weekly portfolio on daily bars decides at Monday's close and trades
at Tuesday's open.

In between, signals that close act at once, entries and trims wait; a held name whose weight is further than ``drift``
from its target makes that decision a rebalance of all names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

MODES: Final = ("never", "daily", "weekly", "monthly", "signal")


def period(mode: str, session: int) -> int:
    """Return a number that is equal for two sessions (YYYYMMDD) exactly if they are of one period."""
    if mode == "weekly":
        year, week, _ = date(session // 10_000, session // 100 % 100, session % 100).isocalendar()
        return year * 100 + week
    if mode == "monthly":
        return session // 100
    return session


def is_due(mode: str, last: int, session: int) -> bool:
    """Tell whether a decision in ``session`` is a rebalance by schedule; ``last`` is the last one's, 0 for none."""
    if last == 0 or mode == "signal":
        return True
    if mode == "never":
        return False
    return period(mode, session) != period(mode, last)


def has_drifted(pairs: Iterable[tuple[float, float]], drift: float) -> bool:
    """Tell whether any (weight, target) pair is more than ``drift`` apart; 0 switches the trigger off."""
    return drift > 0.0 and any(abs(weight - target) > drift for weight, target in pairs)
