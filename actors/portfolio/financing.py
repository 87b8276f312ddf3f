"""What borrowed shares and borrowed money cost: charged at each session's opening for the days since the one before.

At a session's opening every position that is short pays the borrow fee on its value at the last price, in any account,
and in a margin account a negative cash balance pays interest, both by actual days over 360. What is charged is what is
held and owed overnight: a short opened and covered in one session pays nothing, one held over a weekend three days.
Interest is on the balance before the fees of the same instant. Credit balances and short proceeds earn nothing; a
recall of borrowed shares is not modelled: what was borrowed stays borrowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import Final

from actors.messages.portfolio import FinancingCharged
from actors.portfolio.accounts import BORROW, CASH, INTEREST
from actors.portfolio.guarding import GuardDesk
from actors.portfolio.state import PortfolioState
from actors.values import Universe
from actors.values.fixed import SCALE, div_round, mul
from daemon.kernel.actor import Context, evolves

PriceOf = Callable[[int], int]

DAYS_A_YEAR: Final = 360
NO_SYMBOL: Final = -1

_ACCOUNTS: Final = {"borrow": BORROW, "interest": INTEREST}


def accrued(base: int, rate: int, days: int) -> int:
    """Return what ``base`` costs for so many days at an annual ``rate``, actual/360, half to even at 1e-8.

    Args:
        base: value in units of 1e-8.
        rate: annual, units of 1e-8.
        days: calendar days.
    """
    return div_round(base * rate * days, DAYS_A_YEAR * SCALE)


def days_between(earlier: int, later: int) -> int:
    """Return the calendar days between two dates YYYYMMDD."""
    if later // 100 == earlier // 100:
        return later - earlier  # of one month, as most are that follow each other
    return (_date(later) - _date(earlier)).days


@lru_cache(maxsize=16)  # each date is asked for twice, as the later one and as the earlier
def _date(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


class Nights:
    """How many days the session that opens is behind the one that opened before it: a fold of the tape.

    Attributes:
        session: date YYYYMMDD of the newest session that opened, 0 before the first.
        days: calendar days up to it that nothing was charged for yet, 0 where its opening is only told again.
    """

    __slots__ = ("days", "session")

    def __init__(self) -> None:
        self.session = 0
        self.days = 0

    def fold_opened(self, session: int) -> None:
        """A session opened."""
        self.days = days_between(self.session, session) if 0 < self.session < session else 0
        self.session = max(self.session, session)


class FinancingDesk(GuardDesk):
    """The portfolio actor's financing; the actor says when a session opens and knows the last prices."""

    def __init__(self, universe: Universe, states: dict[str, PortfolioState]) -> None:
        """Begin before the first session.

        Args:
            universe: of the run.
            states: the portfolios by name, folded by the actor.
        """
        super().__init__(universe, states)
        self._nights = Nights()

    def _charge_financing(self, pf: PortfolioState, cash: int, last_px: PriceOf, ctx: Context) -> int:
        """State what a portfolio pays for the days since the session before; return its cash after it.

        Args:
            pf: the portfolio.
            cash: what it has when the session opens.
            last_px: gives the last price of a symbol, units of 1e-8.
            ctx: takes the facts.
        """
        nights = self._nights
        if not nights.days or (cash >= 0 and not pf.shorts()):
            return cash
        spec = pf.spec
        for kind, symbol, base, rate in _due(pf, cash, last_px):
            amount = accrued(base, rate, nights.days)
            if not amount:
                continue
            cash -= amount
            ctx.emit(
                FinancingCharged(
                    portfolio=spec.name,
                    kind=kind,
                    symbol=symbol,
                    session=nights.session,
                    days=nights.days,
                    base=base,
                    rate=rate,
                    amount=amount,
                    cash=cash,
                    postings=((CASH, -amount), (_ACCOUNTS[kind], amount)),
                )
            )
        return cash

    @evolves(FinancingCharged)
    def fold_financing(self, event: FinancingCharged) -> None:
        """Take over the cash and post the cost."""
        self._states[event.portfolio].fold_financing(event)


def _due(pf: PortfolioState, cash: int, last_px: PriceOf) -> Iterator[tuple[str, int, int, int]]:
    """Yield (kind, symbol, base, rate) of what costs: the debit balance, then the shorts by ascending symbol."""
    spec = pf.spec
    if spec.margin_rate and cash < 0:
        yield "interest", NO_SYMBOL, -cash, spec.margin_rate
    if spec.borrow_rate:
        for symbol in pf.shorts():
            yield "borrow", symbol, mul(-pf.qty(symbol), last_px(symbol)), spec.borrow_rate
