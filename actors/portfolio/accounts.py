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
}
"""Account code -> kind. Securities of a short position are a credit; memo accounts sum to zero among themselves."""

Postings = tuple[tuple[str, int], ...]


def cash_identity(balances: dict[str, int]) -> int:
    """Return cash + securities at cost - (deposits + realised - fees), which is zero in sound books."""
    get = balances.get
    deposits = -get(CAPITAL, 0)
    realized = -get(REALIZED, 0)
    fees = get(COMMISSION, 0) + get(REGULATORY, 0)
    return get(CASH, 0) + get(SECURITIES, 0) - (deposits + realized - fees)
