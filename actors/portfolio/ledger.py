"""Double entry: the chart of accounts, postings of fills and flows, and books that an outsider can recompute.

Every amount is an ``int`` in units of 1e-8 of the currency; debit is positive, credit negative, and the postings of
one event sum to exactly zero.

Securities are carried at fill prices, so a position's average price is what its fills averaged, without fees.
Spread, slippage and impact are already inside those prices: they stand in accounts of their own so that they can be
read, each against ``execution_contra`` so that they count nowhere twice. A reduction takes inventory out at average
cost, rounded half to even at 1e-8; what rounding leaves stays with the shares that stay, and nothing is left when the
position is flat.

A dividend is income at its ex-date, against a receivable that becomes cash at the pay date; what a short owes stands
there with the other sign.

Hence for every portfolio at every instant: cash + securities at cost + dividends receivable = deposits + realised +
dividends - fees - borrow - interest.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.portfolio.accounts import (
    BORROW,
    CAPITAL,
    CASH,
    CHART,
    COMMISSION,
    DIVIDENDS,
    DIVIDENDS_RECEIVABLE,
    EXECUTION_CONTRA,
    IMPACT,
    INTEREST,
    REALIZED,
    REGULATORY,
    SECURITIES,
    SLIPPAGE,
    SPREAD,
    Postings,
    cash_identity,
)
from actors.portfolio.bookkeeping import PortfolioBooks
from actors.portfolio.books import Books, Check, replay_books

__all__ = [
    "BORROW",
    "CAPITAL",
    "CASH",
    "CHART",
    "COMMISSION",
    "DIVIDENDS",
    "DIVIDENDS_RECEIVABLE",
    "EXECUTION_CONTRA",
    "IMPACT",
    "INTEREST",
    "REALIZED",
    "REGULATORY",
    "SECURITIES",
    "SLIPPAGE",
    "SPREAD",
    "Books",
    "Check",
    "PortfolioBooks",
    "Postings",
    "accrual_postings",
    "cash_identity",
    "fill_postings",
    "flow_postings",
    "payment_postings",
    "replay_books",
    "trial_balance",
]


def fill_postings(
    cash: int,
    securities: int,
    realized: int,
    commission: int,
    regulatory: int,
    spread: int,
    slippage: int,
    impact: int,
) -> Postings:
    """Return the postings of a fill; zero amounts are left out.

    ``cash`` is the change of cash, fees included; ``securities`` that of the inventory at cost; ``realized`` the profit
    at average cost before fees (credited); ``commission`` and ``regulatory`` are paid in cash; ``spread``, ``slippage``
    and ``impact`` are what the price already contains of each. The caller guarantees
    ``cash + securities + commission + regulatory == realized``.
    """
    rows = []
    if cash:
        rows.append((CASH, cash))
    if securities:
        rows.append((SECURITIES, securities))
    if realized:
        rows.append((REALIZED, -realized))
    if commission:
        rows.append((COMMISSION, commission))
    if regulatory:
        rows.append((REGULATORY, regulatory))
    if spread:
        rows.append((SPREAD, spread))
    if slippage:
        rows.append((SLIPPAGE, slippage))
    if impact:
        rows.append((IMPACT, impact))
    contra = spread + slippage + impact
    if contra:
        rows.append((EXECUTION_CONTRA, -contra))
    return tuple(rows)


def flow_postings(amount: int) -> Postings:
    """Return the postings of an external flow: ``amount`` > 0 comes in, < 0 goes out."""
    return ((CASH, amount), (CAPITAL, -amount))


def accrual_postings(amount: int) -> Postings:
    """Return the postings of a dividend at its ex-date: ``amount`` > 0 is receivable, < 0 is owed by a short."""
    return ((DIVIDENDS_RECEIVABLE, amount), (DIVIDENDS, -amount))


def payment_postings(amount: int) -> Postings:
    """Return the postings of a dividend that becomes cash, or is paid by a short (``amount`` < 0)."""
    return ((CASH, amount), (DIVIDENDS_RECEIVABLE, -amount))


def trial_balance(batches: Iterable[Postings], into: dict[str, int] | None = None) -> dict[str, int]:
    """Fold postings into balances by account; ``into`` is carried on and returned where given.

    The values sum to zero if every batch does.
    """
    balances = {} if into is None else into
    for batch in batches:
        for account, amount in batch:
            balances[account] = balances.get(account, 0) + amount
    return balances
