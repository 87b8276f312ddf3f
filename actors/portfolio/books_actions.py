"""Corporate actions and dividends, recomputed by the outsider: from what was held and what its event says.

It shares no code with the booking: a split scales the running total of the lots and rounds it once, what is paid in
cash leaves at average cost and lot by lot, a rename moves everything there is, and a dividend is what was held times
what a share gets.
"""

from __future__ import annotations

from typing import Final

from actors.messages.portfolio import DividendAccrued, DividendPaid, PositionAdjusted
from actors.portfolio.bookkeeping import Bookkeeper, Holding
from actors.values.fixed import fmt, mul, mul_ratio

ACTIONS: Final = "corporate_actions"
DIVIDENDS: Final = "dividends"


class ActionBooks(Bookkeeper):
    """The part of the books that corporate actions concern."""

    def adjusted(self, event: PositionAdjusted) -> None:
        """A position was split, moved or paid out."""
        what = f"the {event.kind} of symbol {event.symbol} in {event.portfolio}"
        books = self.post(event, what)
        holding = books.holdings.setdefault(event.symbol, Holding())
        if event.new_symbol != event.symbol:
            other = books.holdings.pop(event.symbol)
            holding = books.holdings.setdefault(event.new_symbol, Holding())
            holding.qty += other.qty
            holding.cost += other.cost
            holding.realized += other.realized
            holding.realized_fifo += other.realized_fifo
            there = {**holding.lots, **other.lots}
            holding.lots = {row[0]: there[row[0]] for row in event.lots if row[0] in there}
            self.equal(ACTIONS, f"how many lots {what} keeps", len(holding.lots), len(there))
        before = after = 0
        for lot in holding.lots.values():
            before += lot[0]
            total = mul_ratio(before, event.numerator, event.denominator)
            lot[0], after = total - after, total
        self._paid_out(holding, event, what, after)
        books.cash += event.paid
        self.equal("cash", f"cash after {what}", event.cash, books.cash)
        self.equal(ACTIONS, f"the quantity after {what}", event.qty, holding.qty)
        self.equal(ACTIONS, f"the cost after {what}", event.cost, holding.cost)
        kept = {lot_id: [qty, cost, fees] for lot_id, qty, _, cost, fees in event.lots}
        if kept != holding.lots:
            self.problems[ACTIONS].append(f"{what} keeps lots {kept}, not {holding.lots}")
        if event.kind == "delist" and holding.qty:
            self.problems[ACTIONS].append(f"{what} leaves {fmt(holding.qty)}")

    def _paid_out(self, holding: Holding, event: PositionAdjusted, what: str, scaled: int) -> None:
        """Take what was paid in cash out of a position that ``scaled`` is the quantity of before it."""
        closing = sum(qty for _, qty in event.closed)
        size = abs(scaled)
        paid = mul(event.px, closing if scaled > 0 else -closing)
        removed = holding.cost if closing == size else mul_ratio(holding.cost, closing, size)
        if closing > size:
            self.problems[ACTIONS].append(f"{what} pays out {fmt(closing)} of {fmt(size)}")
        by_lots = paid
        for lot_id, qty in event.closed:
            lot = holding.lots.get(lot_id)
            if lot is None or qty > abs(lot[0]):
                self.problems[ACTIONS].append(f"{what} pays out {fmt(qty)} of lot {lot_id}")
                continue
            whole = qty == abs(lot[0])
            cost = lot[1] if whole else mul_ratio(lot[1], qty, abs(lot[0]))
            by_lots -= cost
            lot[1] -= cost
            lot[2] -= lot[2] if whole else mul_ratio(lot[2], qty, abs(lot[0]))
            lot[0] -= qty if lot[0] > 0 else -qty
            if whole:
                del holding.lots[lot_id]
        holding.qty = scaled - closing if scaled > 0 else scaled + closing
        holding.cost -= removed
        holding.realized += paid - removed
        holding.realized_fifo += by_lots
        self.equal(ACTIONS, f"what {what} pays", event.paid, paid)
        self.equal(ACTIONS, f"the profit that {what} realised", event.realized, paid - removed)
        self.equal(ACTIONS, f"the profit that {what} realised by lots", event.realized_fifo, by_lots)

    def accrued(self, event: DividendAccrued) -> None:
        """A dividend is due on what is held at its ex-date."""
        what = f"the dividend of {event.ex_date} on symbol {event.symbol} in {event.portfolio}"
        books = self.post(event, what)
        held = books.holdings.get(event.symbol, Holding()).qty
        self.equal(DIVIDENDS, f"what {what} is paid on", event.qty, held)
        self.equal(DIVIDENDS, what, event.amount, mul(held, event.per_share))
        books.dividends += event.amount
        books.due.append((event.symbol, event.amount, event.ex_date))

    def paid(self, event: DividendPaid) -> None:
        """A dividend that was due is cash."""
        what = f"the dividend of {event.ex_date} on symbol {event.symbol} in {event.portfolio}"
        books = self.post(event, what)
        due = (event.symbol, event.amount, event.ex_date)
        if due in books.due:
            books.due.remove(due)
        else:
            self.problems[DIVIDENDS].append(f"{what} is paid with {fmt(event.amount)}, which was not due")
        books.cash += event.amount
        self.equal("cash", f"cash after {what}", event.cash, books.cash)
