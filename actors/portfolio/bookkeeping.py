"""What an outsider writes down of a run's events: one portfolio's books, and the comparisons that did not hold."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    DividendPaid,
    FinancingCharged,
    PositionAdjusted,
    PositionChanged,
)
from actors.portfolio.accounts import CHART
from actors.values.fixed import fmt

Booked = PositionChanged | PositionAdjusted | CashFlowed | DividendAccrued | DividendPaid | FinancingCharged
"""What carries postings."""


class Holding(msgspec.Struct):
    """One symbol: signed quantity, signed cost and realised profit by average cost, the same by lots.

    ``lots`` maps lot id -> [signed quantity, signed entry value, entry fees].
    """

    qty: int = 0
    cost: int = 0
    realized: int = 0
    realized_fifo: int = 0
    lots: dict[str, list[int]] = {}


class PortfolioBooks(msgspec.Struct):
    """One portfolio's books.

    Attributes:
        balances: account -> amount, debit positive; sums to zero.
        cash: from flows and fills alone, without the postings.
        deposits: external flows, net.
        fees: commission and regulatory fees of all fills.
        borrow, interest: what was charged for borrowed shares and money.
        dividends: income of all ex-dates.
        due: (symbol, amount, ex-date) of those that are not paid yet.
        traded_fees, traded_pnl: as its closed trades state them.
        holdings: by symbol id, flat ones included.
    """

    balances: dict[str, int] = {}
    cash: int = 0
    deposits: int = 0
    fees: int = 0
    spread: int = 0
    slippage: int = 0
    impact: int = 0
    commission: int = 0
    borrow: int = 0
    interest: int = 0
    dividends: int = 0
    due: list[tuple[int, int, int]] = []
    traded_fees: int = 0
    traded_pnl: int = 0
    holdings: dict[int, Holding] = {}


class Bookkeeper:
    """Books by portfolio, and by check how much was compared and what differed."""

    def __init__(self, checks: Iterable[str]) -> None:
        """Begin with nothing written down.

        Args:
            checks: the names that comparisons are made under.
        """
        self.portfolios: dict[str, PortfolioBooks] = {}
        self.counts = dict.fromkeys(checks, 0)
        self.problems: dict[str, list[str]] = {name: [] for name in self.counts}

    def books(self, name: str) -> PortfolioBooks:
        """Return a portfolio's books; new ones where it has none."""
        found = self.portfolios.get(name)
        if found is None:
            found = self.portfolios[name] = PortfolioBooks()
        return found

    def equal(self, check: str, what: str, found: int, expected: int) -> None:
        """Compare; a difference is a problem of the check."""
        self.counts[check] += 1
        if found != expected:
            self.problems[check].append(f"{what} is {fmt(found)}, not {fmt(expected)}")

    def post(self, event: Booked, what: str) -> PortfolioBooks:
        """Write an event's postings down and return its portfolio's books."""
        books = self.books(event.portfolio)
        balances = books.balances
        total = 0
        for account, amount in event.postings:
            total += amount
            if account not in CHART:
                self.problems["accounts_in_chart"].append(f"{what} posts to {account!r}")
            balances[account] = balances.get(account, 0) + amount
        self.counts["accounts_in_chart"] += 1
        self.equal("postings_sum_to_zero", f"the sum of {what}", total, 0)
        return books
