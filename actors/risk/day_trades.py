"""Pattern day trading, as long as it was a rule: small margin accounts and their day trades.

FINRA Rule 4210(f)(8)(B), before it NASD Rule 2520, made whoever executes four day trades within five business days a
pattern day trader, who needs $25,000 of equity at the close before. It was in force from 2001-09-28 (NASD Notice to
Members 01-26; Release 34-44009) until the intraday margin standards took its place on 2026-06-04 (SR-FINRA-2025-017,
Release 34-105226, 91 FR 20731; FINRA's notice of 2026-04-20). Firms may take longer to change over, until 2027-10-20;
who is with one of those keeps the rule by hand, as ``risk.max_positions`` or fewer decisions.

A margin account below that equity enters nothing more behind three day trades in five sessions, so that there is never
a fourth, whatever its exits do. A day trade is what closes, in part or whole, what was opened in the same session; the
next closing counts once something was opened in the symbol again (changes of direction, Regulatory Notice 21-13). That
four day trades are no pattern where they are six per cent of all trades or less is not made use of.
"""

from __future__ import annotations

from typing import Any, Final

from actors.risk.form import Denial
from actors.values.fixed import SCALE, fmt

IN_FORCE_FROM: Final = 20010928
"""First exchange date of the rule."""
IN_FORCE_TO: Final = 20260604
"""First exchange date without it."""
EQUITY: Final = 25_000 * SCALE
SESSIONS: Final = 5
MOST: Final = 3


class DayTrades:
    """Day trades by portfolio; a fold of fills.

    Attributes:
        on: whether they are counted: in a margin account, where the limit is on.
        tight: portfolios that have had :data:`MOST` or more in the last sessions; seldom any.
    """

    __slots__ = ("_counts", "_opened", "_session", "margin", "on", "tight")

    def __init__(self, *, margin: bool) -> None:
        """Begin with none."""
        self.margin = margin
        self.on = False
        self.tight: dict[str, None] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._opened: dict[tuple[str, int], int] = {}
        self._session = 0

    def adopt(self, *, on: bool) -> None:
        """Hold margin accounts to the rule from now on, or do not; day trades are counted either way."""
        self.on = on and self.margin

    def fold(self, portfolio: str, symbol: int, shares: int, held: int, session: int) -> None:
        """A fill moved signed ``shares`` where ``held`` were, in the session of this number."""
        if session != self._session:
            self._begin(session)
        key = portfolio, symbol
        side = 1 if shares > 0 else -1
        if held * side >= 0:
            self._opened[key] = side
            return
        if self._opened.get(key) == -side:
            del self._opened[key]
            counts = self._counts.setdefault(portfolio, {})
            counts[session] = counts.get(session, 0) + 1
            if self.count(portfolio, session) >= MOST:
                self.tight[portfolio] = None
        if abs(shares) > abs(held):
            self._opened[key] = side

    def _begin(self, session: int) -> None:
        self._session = session
        self._opened.clear()
        since = session - SESSIONS
        self._counts = {p: {s: n for s, n in counts.items() if s > since} for p, counts in self._counts.items()}
        self.tight = {p: None for p in self.tight if self.count(p, session) >= MOST}

    def count(self, portfolio: str, session: int) -> int:
        """Return a portfolio's day trades in the last sessions, the one of this number among them."""
        since = session - SESSIONS
        return sum(n for s, n in self._counts.get(portfolio, {}).items() if s > since)

    def why(self, portfolio: str, session: int, date: int, equity: int) -> Denial | None:
        """Return why nothing may be entered.

        Args:
            portfolio: of the order.
            session: number of the session.
            date: its exchange date YYYYMMDD.
            equity: of the portfolio at the close before, with what came in or went out since.
        """
        if not (self.on and IN_FORCE_FROM <= date < IN_FORCE_TO) or equity >= EQUITY:
            return None
        count = self.count(portfolio, session)
        if count < MOST:
            return None
        reason = (
            f"{portfolio} has made {count} day trades in {SESSIONS} sessions with equity below {fmt(EQUITY)} "
            "(pattern day trading, FINRA Rule 4210); enter again in a later session, or put cash in"
        )
        return Denial("PDT", reason, str(count), str(MOST))

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        counts = [[p, list(map(list, counts.items()))] for p, counts in self._counts.items()]
        return [self._session, counts, [[*key, side] for key, side in self._opened.items()], list(self.tight)]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._session, counts, opened, tight = state
        self._counts = {p: dict(rows) for p, rows in counts}
        self._opened = {(p, symbol): side for p, symbol, side in opened}
        self.tight = dict.fromkeys(tight)
