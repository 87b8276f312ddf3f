"""Dividends that were accrued at their ex-date and wait for their pay date: a fold of the portfolio's own events."""

from __future__ import annotations

import msgspec

from actors.messages.portfolio import DividendAccrued, DividendPaid


class Due(msgspec.Struct, frozen=True, array_like=True):
    """A dividend to come; ``amount`` in units of 1e-8, negative where a short owes it; dates as YYYYMMDD."""

    symbol: int
    amount: int
    ex_date: int
    pay_date: int


class Dividends:
    """What one portfolio is owed and owes.

    Attributes:
        due: in order of accrual.
        total: the sum of their amounts; part of the equity.
    """

    __slots__ = ("due", "total")

    def __init__(self) -> None:
        self.due: list[Due] = []
        self.total = 0

    def payable(self, session: int) -> list[Due]:
        """Return what is paid by the opening of a session, in order of accrual."""
        return [due for due in self.due if due.pay_date <= session]

    def fold_accrued(self, event: DividendAccrued) -> None:
        """A dividend is due."""
        self.due.append(Due(event.symbol, event.amount, event.ex_date, event.pay_date))
        self.total += event.amount

    def fold_paid(self, event: DividendPaid) -> None:
        """It is no more."""
        paid = (event.symbol, event.amount, event.ex_date)
        at = next(i for i, due in enumerate(self.due) if (due.symbol, due.amount, due.ex_date) == paid)
        self.total -= self.due.pop(at).amount

    def snapshot(self) -> list[list[int]]:
        """Return plain values."""
        return [[due.symbol, due.amount, due.ex_date, due.pay_date] for due in self.due]

    def restore(self, state: list[list[int]]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.due = [Due(*row) for row in state]
        self.total = sum(due.amount for due in self.due)
