"""Books recomputed by an outsider from a stream of events, and what is wrong with them if something is.

This module deliberately shares no booking code with the actor: it knows fills, flows and the rules of the ledger, keeps
its own averages and lots, and compares. Feed it every event of a run in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from actors.messages.orders import OrderFilled, OrderPartiallyFilled
from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    DividendPaid,
    EquityMarked,
    FinancingCharged,
    PositionAdjusted,
    PositionChanged,
    SessionRolled,
    TradeClosed,
)
from actors.portfolio.accounts import (
    BORROW,
    COMMISSION,
    DIVIDENDS,
    DIVIDENDS_RECEIVABLE,
    IMPACT,
    INTEREST,
    REGULATORY,
    SECURITIES,
    SLIPPAGE,
    SPREAD,
    cash_identity,
)
from actors.portfolio.bookkeeping import Holding, PortfolioBooks
from actors.portfolio.books_actions import ActionBooks
from actors.values.fixed import SCALE, fmt, mul, mul_ratio
from daemon.kernel.message import Message

PROBLEMS_MAX: Final = 3
"""Problems told per check; the rest is counted."""

_CHECKS: Final = (
    "postings_sum_to_zero",
    "accounts_in_chart",
    "fills_booked_once",
    "positions_are_sums_of_fills",
    "average_cost",
    "fifo_lots",
    "cash",
    "fees_and_costs",
    "financing",
    "trades_allocate_fees",
    "corporate_actions",
    "dividends",
    "marks",
    "cash_identity",
)


class Check(msgspec.Struct, frozen=True):
    """One check: ``detail`` says what was compared, or the first differences."""

    name: str
    ok: bool
    detail: str


class Books(msgspec.Struct):
    """All portfolios by name, and the checks in a fixed order."""

    portfolios: dict[str, PortfolioBooks]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


class _Replay(ActionBooks):
    def __init__(self) -> None:
        super().__init__(_CHECKS)
        self.open_fills: dict[str, OrderFilled | OrderPartiallyFilled] = {}
        self.booked: dict[str, None] = {}

    def fill(self, event: OrderFilled | OrderPartiallyFilled) -> None:
        if event.exec_id in self.open_fills or event.exec_id in self.booked:
            self.problems["fills_booked_once"].append(f"{event.exec_id} was filled twice")
        self.open_fills[event.exec_id] = event

    def flow(self, event: CashFlowed) -> None:
        what = f"a flow of {fmt(event.amount)} in {event.portfolio}"
        books = self.post(event, what)
        books.deposits += event.amount
        books.cash += event.amount
        self.equal("cash", f"cash after {what}", event.cash, books.cash)

    def financing(self, event: FinancingCharged) -> None:
        """Actual days over 360 on what is borrowed: shares of a short position, or the cash below zero."""
        what = f"{event.kind} of {event.portfolio} in {event.session}"
        books = self.post(event, what)
        expected = mul_ratio(event.base * event.days, event.rate, 360 * SCALE)
        self.equal("financing", what, event.amount, expected)
        if event.kind == "interest":
            self.equal("financing", f"the debit balance behind {what}", event.base, -books.cash)
            books.interest += event.amount
        else:
            holding = books.holdings.get(event.symbol)
            if holding is None or holding.qty >= 0:
                self.problems["financing"].append(f"{what} is charged where nothing is short")
            books.borrow += event.amount
        if event.base <= 0 or event.days <= 0:
            self.problems["financing"].append(f"{what} is on {fmt(event.base)} for {event.days} days")
        books.cash -= event.amount
        self.equal("cash", f"cash after {what}", event.cash, books.cash)

    def position(self, event: PositionChanged) -> None:
        exec_id = event.exec_id
        self.counts["fills_booked_once"] += 1
        books = self.post(event, exec_id)
        fill = self.open_fills.pop(exec_id, None)
        if fill is None:
            self.problems["fills_booked_once"].append(f"{exec_id} was booked without a fill of its own")
            return
        self.booked[exec_id] = None
        if (fill.portfolio, fill.symbol) != (event.portfolio, event.symbol):
            self.problems["fills_booked_once"].append(f"{exec_id} was booked elsewhere than it was filled")
        value = mul(fill.last_px, fill.last_qty)
        fees = fill.commission + fill.regulatory
        books.cash -= fill.side * value + fees
        books.fees += fees
        books.commission += fill.commission
        books.spread += fill.spread
        books.slippage += fill.slippage
        books.impact += fill.impact
        self.equal("cash", f"cash after {exec_id}", event.cash, books.cash)
        holding = books.holdings.setdefault(event.symbol, Holding())
        held = holding.qty
        holding.qty += fill.side * fill.last_qty
        self.equal("positions_are_sums_of_fills", f"the position after {exec_id}", event.qty, holding.qty)
        closing = min(fill.last_qty, abs(held)) if held * fill.side < 0 else 0
        cash_in = -fill.side * mul_ratio(value, closing, fill.last_qty)
        opening_value = fill.side * value + cash_in
        self._average(holding, event, held, closing, cash_in, opening_value)
        exit_fees = mul_ratio(fees, closing, fill.last_qty)
        self._lots(holding, event, closing, cash_in)
        opening = fill.side * (fill.last_qty - closing)
        self._opened(holding, event, opening, opening_value, fees - exit_fees)

    def _average(
        self, holding: Holding, event: PositionChanged, held: int, closing: int, cash_in: int, opening_value: int
    ) -> None:
        removed = mul_ratio(holding.cost, closing, abs(held)) if closing else 0
        realized = cash_in - removed
        holding.cost += opening_value - removed
        holding.realized += realized
        self.equal("average_cost", f"the cost after {event.exec_id}", event.cost, holding.cost)
        self.equal("average_cost", f"the profit realised by {event.exec_id}", event.realized, realized)

    def _lots(self, holding: Holding, event: PositionChanged, closing: int, cash_in: int) -> None:
        closed_cost = 0
        for lot_id, qty in event.closed:
            lot = holding.lots.get(lot_id)
            size = abs(lot[0]) if lot else 0
            if lot is None or not 0 < qty <= size:
                self.problems["fifo_lots"].append(f"{event.exec_id} closes {fmt(qty)} of {fmt(size)} in lot {lot_id}")
                continue
            cost = mul_ratio(lot[1], qty, size)
            closed_cost += cost
            lot[1] -= cost
            lot[2] -= mul_ratio(lot[2], qty, size)
            lot[0] -= qty if lot[0] > 0 else -qty
            if not lot[0]:
                del holding.lots[lot_id]
        realized = cash_in - closed_cost
        holding.realized_fifo += realized
        self.equal("fifo_lots", f"what {event.exec_id} closes", sum(qty for _, qty in event.closed), closing)
        self.equal("fifo_lots", f"the profit {event.exec_id} realised by lots", event.realized_fifo, realized)

    def _opened(self, holding: Holding, event: PositionChanged, qty: int, value: int, fees: int) -> None:
        stated = event.opened[1] if event.opened else 0
        self.equal("fifo_lots", f"what {event.exec_id} opens", stated, qty)
        if event.opened:
            if event.opened[0] in holding.lots:
                self.problems["fifo_lots"].append(f"lot {event.opened[0]} was opened twice")
            holding.lots[event.opened[0]] = [qty, value, fees]
        self.equal(
            "fifo_lots", f"the lots after {event.exec_id}", sum(x[0] for x in holding.lots.values()), holding.qty
        )

    def trade(self, event: TradeClosed) -> None:
        books = self.books(event.portfolio)
        books.traded_fees += event.fees
        books.traded_pnl += event.pnl

    def mark(self, event: EquityMarked | SessionRolled) -> None:
        books = self.books(event.portfolio)
        self.equal("marks", f"cash in a mark of {event.portfolio}", event.cash, books.cash)
        due = sum(amount for _, amount, _ in books.due)
        self.equal("marks", f"dividends due in a mark of {event.portfolio}", event.accrued, due)
        self.equal("marks", f"equity of {event.portfolio}", event.equity, event.cash + event.net + event.accrued)
        if not abs(event.net) <= event.gross:
            self.problems["marks"].append(f"{event.portfolio} is net {fmt(event.net)} of gross {fmt(event.gross)}")

    def finish(self) -> Books:
        for exec_id in self.open_fills:
            self.problems["fills_booked_once"].append(f"{exec_id} was filled and never booked")
        for name, books in self.portfolios.items():
            balances = books.balances
            self.equal("postings_sum_to_zero", f"the trial balance of {name}", sum(balances.values()), 0)
            self.equal(
                "cash_identity",
                f"cash + cost + dividends due - deposits - earned + spent of {name}",
                cash_identity(balances),
                0,
            )
            cost = sum(h.cost for h in books.holdings.values())
            self.equal("cash_identity", f"securities of {name}", balances.get(SECURITIES, 0), cost)
            regulatory = books.fees - books.commission
            for account, expected in (
                (COMMISSION, books.commission),
                (REGULATORY, regulatory),
                (SPREAD, books.spread),
                (SLIPPAGE, books.slippage),
                (IMPACT, books.impact),
                (BORROW, books.borrow),
                (INTEREST, books.interest),
                (DIVIDENDS, -books.dividends),
                (DIVIDENDS_RECEIVABLE, sum(amount for _, amount, _ in books.due)),
            ):
                self.equal("fees_and_costs", f"{account} of {name}", balances.get(account, 0), expected)
            open_fees = sum(lot[2] for h in books.holdings.values() for lot in h.lots.values())
            allocated = books.traded_fees + open_fees
            self.equal("trades_allocate_fees", f"fees of trades and open lots of {name}", allocated, books.fees)
            realized = sum(h.realized_fifo for h in books.holdings.values())
            self.equal(
                "trades_allocate_fees", f"profit of trades of {name}", books.traded_pnl + books.traded_fees, realized
            )
        return Books(self.portfolios, tuple(self._check(name) for name in _CHECKS))

    def _check(self, name: str) -> Check:
        problems = self.problems[name]
        if not problems:
            return Check(name, True, f"{self.counts[name]} compared")
        more = len(problems) - PROBLEMS_MAX
        return Check(name, False, "; ".join(problems[:PROBLEMS_MAX]) + (f"; and {more} more" if more > 0 else ""))


def replay_books(events: Iterable[Message]) -> Books:
    """Recompute trial balance and positions of every portfolio from all events of a run, in order.

    Events that do not concern the books are passed over. Nothing is raised for unsound books: the checks say so.
    """
    replay = _Replay()
    for event in events:
        match event:
            case OrderFilled() | OrderPartiallyFilled():
                replay.fill(event)
            case PositionChanged():
                replay.position(event)
            case CashFlowed():
                replay.flow(event)
            case FinancingCharged():
                replay.financing(event)
            case PositionAdjusted():
                replay.adjusted(event)
            case DividendAccrued():
                replay.accrued(event)
            case DividendPaid():
                replay.paid(event)
            case TradeClosed():
                replay.trade(event)
            case EquityMarked() | SessionRolled():
                replay.mark(event)
            case _:
                continue
    return replay.finish()
