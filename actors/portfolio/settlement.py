"""When the money of a sale may be spent, for portfolios that may not reuse unsettled proceeds (``cash_strict``)."""

from __future__ import annotations

from actors.values.settlement import settlement_sessions


class Unsettled:
    """Proceeds on their way, each with the number of the session in which it may be spent."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[list[int]] = []

    def fold(self, amount: int, trade_date: int, session: int) -> None:
        """A sale brought ``amount`` in the session of this number; what has settled since is dropped."""
        self.entries = [entry for entry in self.entries if entry[0] > session]
        self.entries.append([session + settlement_sessions(trade_date), amount])

    def total(self, session: int) -> int:
        """Return what may not be spent yet."""
        return sum(amount for due, amount in self.entries if due > session)
