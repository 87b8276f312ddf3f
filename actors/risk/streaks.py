"""Losing trades in a row and stops within sessions, by portfolio: folds of closed trades."""

from __future__ import annotations

from typing import Any, Final

from actors.messages.portfolio import TradeClosed
from actors.messages.risk import EntriesLocked

STOPS: Final = ("stop_loss", "trailing_stop", "time_stop")
"""Exit reasons that are stops."""
STOPS_MAX: Final = 1_000
"""Stops remembered of a portfolio."""


class Streak:
    """Round trips of one portfolio in a row that lost money.

    A lot that is closed in several pieces is one round trip, and what is gained by one of them ends the row.
    """

    __slots__ = ("losses", "lot")

    def __init__(self) -> None:
        """Begin without a trade."""
        self.losses = 0
        self.lot = ""

    def fold(self, event: TradeClosed) -> None:
        """A lot, or a piece of one, was closed."""
        if event.pnl >= 0:
            self.losses = 0
            self.lot = ""
        elif event.lot_id != self.lot:
            self.losses += 1
            self.lot = event.lot_id


class Streaks:
    """Streaks and stops of all portfolios."""

    __slots__ = ("_stops", "_streaks")

    def __init__(self) -> None:
        """Begin without a trade."""
        self._streaks: dict[str, Streak] = {}
        self._stops: dict[str, list[tuple[int, str]]] = {}

    def losses(self, portfolio: str) -> int:
        """Return how many round trips in a row lost money."""
        streak = self._streaks.get(portfolio)
        return streak.losses if streak is not None else 0

    def stops(self, portfolio: str, since: int) -> int:
        """Return how many lots were stopped out in the sessions from the number ``since`` on."""
        return sum(session >= since for session, _ in self._stops.get(portfolio, ()))

    def fold(self, event: TradeClosed, session: int) -> None:
        """A lot was closed in the session of this number."""
        self._streaks.setdefault(event.portfolio, Streak()).fold(event)
        if event.exit_reason in STOPS:
            stops = self._stops.setdefault(event.portfolio, [])
            if not stops or stops[-1][1] != event.lot_id:
                stops.append((session, event.lot_id))
                del stops[:-STOPS_MAX]

    def fold_reset(self, portfolio: str) -> None:
        """The breaker is armed again: the row begins anew."""
        self._streaks.pop(portfolio, None)

    def fold_locked(self, event: EntriesLocked) -> None:
        """So many stops have locked the portfolio: they are counted anew."""
        if event.rule == "stop_guard":
            self._stops.pop(event.portfolio, None)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        streaks = [[name, streak.losses, streak.lot] for name, streak in self._streaks.items()]
        return [streaks, [[name, [list(stop) for stop in stops]] for name, stops in self._stops.items()]]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version, which counted nothing."""
        streaks, stops = state or ([], [])
        self._streaks = {}
        for name, losses, lot in streaks:
            streak = self._streaks[name] = Streak()
            streak.losses, streak.lot = losses, lot
        self._stops = {name: [(session, lot) for session, lot in rows] for name, rows in stops}
