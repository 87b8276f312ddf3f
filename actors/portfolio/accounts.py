"""The chart of accounts, as codes that stand in postings."""

from __future__ import annotations

from typing import Final

CASH: Final = "cash"
SECURITIES: Final = "securities"
CAPITAL: Final = "capital"
REALIZED: Final = "realized"
COMMISSION: Final = "commission"
REGULATORY: Final = "regulatory"
SPREAD: Final = "spread"
SLIPPAGE: Final = "slippage"
IMPACT: Final = "impact"
EXECUTION_CONTRA: Final = "execution_contra"
DIVIDENDS: Final = "dividends"
DIVIDENDS_RECEIVABLE: Final = "dividends_receivable"
BORROW: Final = "borrow"
INTEREST: Final = "interest"

CHART: Final[dict[str, str]] = {
    CASH: "asset",
    SECURITIES: "asset",
    CAPITAL: "equity",
    REALIZED: "income",
    COMMISSION: "expense",
    REGULATORY: "expense",
    SPREAD: "memo",
    SLIPPAGE: "memo",
    IMPACT: "memo",
    EXECUTION_CONTRA: "memo",
    DIVIDENDS: "income",
    DIVIDENDS_RECEIVABLE: "asset",
    BORROW: "expense",
    INTEREST: "expense",
}
"""Account code -> kind. Securities of a short position and dividends it owes are a credit; memo accounts sum to zero
among themselves. Snapshots hold balances in this order, so what is new stands at the end.
"""

Postings = tuple[tuple[str, int], ...]


def cash_identity(balances: dict[str, int]) -> int:
    """Return what is there less where it came from, which is zero in sound books.

    There is cash, securities at cost and dividends receivable; it came from deposits, realised profit and dividends,
    less fees, borrow and interest.
    """
    get = balances.get
    there = get(CASH, 0) + get(SECURITIES, 0) + get(DIVIDENDS_RECEIVABLE, 0)
    earned = -get(CAPITAL, 0) - get(REALIZED, 0) - get(DIVIDENDS, 0)
    spent = get(COMMISSION, 0) + get(REGULATORY, 0) + get(BORROW, 0) + get(INTEREST, 0)
    return there - (earned - spent)
