"""Worst-case exposure: positions, working orders, reserved cash. What the gate measures an order against.

Everything here is a fold of order events and of the portfolio's bookings. A fill changes cash and position the
moment it is folded and stays in ``pending`` until the portfolio's own booking of it arrives; the booking is the
truth, corrected by the fills that are not booked yet. So a gate pass between two fills of one bar never sees the
cash of one and the position of the other.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.messages.orders import (
    BUY,
    SELL,
    Fill,
    OrderAccepted,
    OrderReplaced,
    OrderRestated,
    OrderType,
    SubmitOrder,
)
from actors.messages.portfolio import (
    CashFlowed,
    DividendPaid,
    EquityMarked,
    FinancingCharged,
    PositionAdjusted,
    PositionChanged,
    SessionRolled,
)
from actors.risk.fees import FeeEstimate
from actors.risk.holdings import Book, Holding, Working, book_in, book_out, working_in, working_out
from actors.risk.prices import Prices
from actors.values.fixed import SCALE, mul, mul_ratio
from actors.values.margin import Margin, margin_of
from actors.values.settlement import settlement_sessions

# A short ties up 150 % of its value (Reg T): its proceeds, which are no buying power, and half of them again.
SHORT_TIED_UP_NUMERATOR: Final = 3
SHORT_TIED_UP_DENOMINATOR: Final = 2


class Exposure:
    """All books and working orders of the run."""

    __slots__ = ("_fees", "_haircut", "_prices", "_strict", "books", "is_margin", "working")

    def __init__(
        self, portfolios: tuple[str, ...], prices: Prices, fees: FeeEstimate, *, cash_reserve: int, account: str
    ) -> None:
        """Start empty.

        Args:
            portfolios: their names.
            prices: last known prices, shared with the gate.
            fees: estimate of commissions.
            cash_reserve: what a buy reserves per reference value (1.02 is 102_000_000); a sale is expected to
                bring as much less as a buy may cost more.
            account: ``cash``, ``cash_strict`` or ``margin``.
        """
        self.is_margin = account == "margin"
        self.books = {name: Book() for name in portfolios}
        self.working: dict[str, Working] = {}
        self._prices = prices
        self._fees = fees
        self._strict = account == "cash_strict"
        self.adopt(cash_reserve)

    def adopt(self, cash_reserve: int) -> None:
        """Expect of sales from now on what this reserve says; orders that work keep what they were given."""
        self._haircut = max(0, 2 * SCALE - max(SCALE, cash_reserve))

    def available(self, book: Book) -> int:
        """Return the cash a new order may still reserve; in a margin account the equity its initial margin may use."""
        if self.is_margin:
            held = self.margin(book)
            return book.cash + held.net - held.initial - book.reserved + book.proceeds
        cash = book.cash - book.reserved + book.proceeds
        if book.unsettled:
            cash -= sum(amount for _, amount in book.unsettled)
        if book.shorts:
            last, holdings = self._prices.last, book.holdings
            value = sum(mul(-holdings[symbol].qty, last(symbol)) for symbol in book.shorts)
            cash -= mul_ratio(value, SHORT_TIED_UP_NUMERATOR, SHORT_TIED_UP_DENOMINATOR)
        return cash

    def margin(self, book: Book) -> Margin:
        """Return value and requirements of what a book holds, at the last prices."""
        known, version = book.margin, self._prices.version
        if known is not None and known[0] == version:
            return known[1]
        last = self._prices.last
        found = margin_of((holding.qty, last(symbol)) for symbol, holding in book.holdings.items() if holding.qty)
        book.margin = version, found
        return found

    def in_group(self, order: SubmitOrder) -> int:
        """Return what is open of the other orders of a group that would do the same as this one, where they count.

        All orders of a group together fill no more than the largest of them.
        """
        holding = self.books[order.portfolio].holdings.get(order.symbol)
        if holding is None or not holding.groups or order.terms is None:
            return 0
        total = holding.groups.get((order.terms.oco_group, order.side), 0)
        own = self.working.get(order.client_order_id)
        return total if own is None or order.reduce_only else total - own.leaves

    # -- orders ----------------------------------------------------------------------------------------------------

    def fold_accepted(self, event: OrderAccepted) -> None:
        """An order works: count it against every limit from now on."""
        order = event.order
        working = Working(order, event.reserved)
        self.working[order.client_order_id] = working
        book = self.books[order.portfolio]
        book.reserved += event.reserved
        holding = book.holdings.get(order.symbol)
        if holding is None:
            holding = book.holdings[order.symbol] = Holding(order.symbol)
        leaves = order.qty
        kind = order.type
        holding.orders[order.client_order_id] = working
        if kind is OrderType.MARKET and (order.reduce_only or holding.qty * order.side < 0):
            # A reduce-only order counts even while flat: what is entered before it fills, it may take.
            working.is_exit = True
            if order.side == SELL and not self._strict:
                closing = holding.qty - holding.exits
                if closing > 0:
                    closing = min(closing, leaves)
                    value = mul(self._prices.last(order.symbol), closing)
                    fees = self._fees.of(value, closing) if value else 0
                    expected = mul(value, self._haircut) - fees
                    if self.is_margin:
                        expected -= value - value // 2  # gone from the equity; half of it was required
                    expected = max(0, expected)
                    working.expected = working.base_expected = expected
                    book.proceeds += expected
        _shift(holding, working, leaves)
        self._recount(book, holding)

    def fold_fill(self, event: Fill) -> None:
        """A fill: release what it used and move shares and cash at once."""
        book = self.books[event.portfolio]
        symbol, side, qty = event.symbol, event.side, event.last_qty
        holding = book.holdings.get(symbol)
        if holding is None:
            holding = book.holdings[symbol] = Holding(symbol)
        if event.leaves_qty:
            working = self.working.get(event.client_order_id)
            if working is not None:
                self._resize(book, working, event.leaves_qty)
                working.cum = event.cum_qty
        else:
            working = self.working.pop(event.client_order_id, None)
            holding.orders.pop(event.client_order_id, None)
            if working is not None:
                book.reserved -= working.reserved
                book.proceeds -= working.expected
                _shift(holding, working, -working.leaves)  # counted anew below
        shares = side * qty
        cash = -side * mul(qty, event.last_px) - event.commission - event.regulatory
        book.pending[event.exec_id] = (symbol, shares, cash)
        book.pending_cash += cash
        holding.pending += shares
        book.cash += cash
        if self._strict and side == SELL and holding.qty > 0:
            due = self._prices.session + settlement_sessions(self._prices.session_date)
            book.unsettled.append([due, cash])
        self._move(book, symbol, holding, holding.qty + shares)

    def fold_ended(self, client_order_id: str) -> None:
        """An order is terminal: release everything."""
        working = self.working.pop(client_order_id, None)
        if working is not None:
            order = working.order
            book = self.books[order.portfolio]
            book.reserved -= working.reserved
            book.proceeds -= working.expected
            holding = book.holdings[order.symbol]
            holding.orders.pop(client_order_id, None)
            _shift(holding, working, -working.leaves)
            self._recount(book, holding)

    def fold_replaced(self, event: OrderReplaced) -> None:
        """An order has new terms; ``reserved`` is for what is open of them."""
        working = self.working[event.client_order_id]
        book = self.books[working.order.portfolio]
        working.qty = event.qty
        working.limit_px = event.limit_px
        working.stop_px = event.stop_px
        leaves = event.qty - working.cum
        expected = mul_ratio(working.base_expected, min(leaves, working.base_leaves), working.base_leaves or 1)
        self._resize(book, working, leaves)
        book.reserved += event.reserved - working.reserved
        book.proceeds += expected - working.expected
        working.reserved = working.base_reserved = event.reserved
        working.expected = working.base_expected = expected
        working.base_leaves = leaves

    def fold_restated(self, event: OrderRestated) -> None:
        """A corporate action changed an order: it counts in the new shares, and under the new symbol."""
        working = self.working[event.client_order_id]
        order = working.order
        book = self.books[order.portfolio]
        leaves = event.qty - event.cum_qty
        if event.symbol != order.symbol:
            holding = self._holding(book, order.symbol)
            _shift(holding, working, -working.leaves)
            self._recount(book, holding)
            other = self._holding(book, event.symbol)
            _shift(other, working, working.leaves)
            holding.orders.pop(event.client_order_id, None)
            other.orders[event.client_order_id] = working
        working.order = msgspec.structs.replace(order, symbol=event.symbol, terms=event.terms)
        working.qty, working.cum = event.qty, event.cum_qty
        working.limit_px, working.stop_px = event.limit_px, event.stop_px
        working.base_leaves = mul_ratio(working.base_leaves, leaves, working.leaves or 1)
        self._resize(book, working, leaves)

    # -- the portfolio's bookings ----------------------------------------------------------------------------------

    def fold_position(self, event: PositionChanged) -> None:
        """The portfolio booked a fill: its numbers are the truth, plus the fills it has not booked yet."""
        book = self.books[event.portfolio]
        found = book.pending.pop(event.exec_id, None)
        if found is not None:
            symbol, shares, cash = found
            book.pending_cash -= cash
            book.holdings[symbol].pending -= shares
        book.cash = event.cash + book.pending_cash
        holding = self._holding(book, event.symbol)
        qty = event.qty + holding.pending
        if holding.qty != qty:
            self._move(book, event.symbol, holding, qty)

    def fold_flow(self, event: CashFlowed) -> None:
        """Cash came or went from outside; equity moves with it."""
        book = self.books[event.portfolio]
        book.cash += event.amount
        book.equity += event.amount

    def fold_financing(self, event: FinancingCharged) -> None:
        """Borrow fees or interest were taken from the cash."""
        book = self.books[event.portfolio]
        book.cash = event.cash + book.pending_cash

    def fold_dividend(self, event: DividendPaid) -> None:
        """A dividend became cash."""
        book = self.books[event.portfolio]
        book.cash = event.cash + book.pending_cash

    def fold_adjusted(self, event: PositionAdjusted) -> None:
        """A corporate action changed a position, or moved it to another symbol."""
        book = self.books[event.portfolio]
        book.cash = event.cash + book.pending_cash
        if event.new_symbol != event.symbol:
            self._move(book, event.symbol, self._holding(book, event.symbol), 0)
        self._move(book, event.new_symbol, self._holding(book, event.new_symbol), event.qty)

    def fold_mark(self, event: EquityMarked | SessionRolled) -> None:
        """Equity at the last prices."""
        book = self.books[event.portfolio]
        book.equity = event.equity
        if not book.pending:
            book.cash = event.cash

    def settle(self, session: int) -> None:
        """A session opened: drop what has settled by now."""
        for book in self.books.values():
            if book.unsettled:
                book.unsettled = [entry for entry in book.unsettled if entry[0] > session]

    # -- internals -------------------------------------------------------------------------------------------------

    @staticmethod
    def _holding(book: Book, symbol: int) -> Holding:
        holding = book.holdings.get(symbol)
        if holding is None:
            holding = book.holdings[symbol] = Holding(symbol)
        return holding

    def _move(self, book: Book, symbol: int, holding: Holding, qty: int) -> None:
        if book.shorts or qty < 0:
            book.shares_short += min(holding.qty, 0) - min(qty, 0)
            if qty < 0:
                book.shorts[symbol] = None
            else:
                book.shorts.pop(symbol, None)
        holding.qty = qty
        book.margin = None
        self._recount(book, holding)

    def _resize(self, book: Book, working: Working, leaves: int) -> None:
        base = working.base_leaves or 1
        reserved = mul_ratio(working.base_reserved, leaves, base) if leaves and working.base_reserved else 0
        expected = mul_ratio(working.base_expected, leaves, base) if leaves and working.base_expected else 0
        book.reserved += reserved - working.reserved
        book.proceeds += expected - working.expected
        working.reserved = reserved
        working.expected = expected
        delta = leaves - working.leaves
        working.leaves = leaves
        holding = self._holding(book, working.order.symbol)
        _shift(holding, working, delta)
        self._recount(book, holding)

    @staticmethod
    def _recount(book: Book, holding: Holding) -> None:
        if not holding.touched:
            holding.touched = True
            book.touched.append(holding)
        holding.risk = None
        book.risk_of = -1
        qty = holding.qty
        counted = holding.exits < (qty if qty >= 0 else -qty)  # never where nothing is held
        if not counted:
            buys, sells = holding.buys, holding.sells
            counted = (buys > 0 and buys > -qty - holding.cuts) or (sells > 0 and sells > qty - holding.cuts)
        if counted is not holding.counted:
            holding.counted = counted
            book.names += 1 if counted else -1

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "books": [[name, *book_out(book)] for name, book in self.books.items()],
            "working": [working_out(working) for working in self.working.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave; a portfolio that is new since then keeps its empty book."""
        for name, *rest in state["books"]:
            self.books[name] = book_in(rest)
        self.working = {}
        for entry in state["working"]:
            working = working_in(entry)
            order = working.order
            self.working[order.client_order_id] = working
            self._holding(self.books[order.portfolio], order.symbol).orders[order.client_order_id] = working
            if order.terms is not None and order.terms.oco_group and not order.reduce_only:
                _group(self._holding(self.books[order.portfolio], order.symbol), order, working.leaves)


def _shift(holding: Holding, working: Working, delta: int) -> None:
    """Let ``delta`` more of an order be open; whoever calls has to recount."""
    order = working.order
    if order.reduce_only:
        if working.is_exit:
            holding.exits += delta
            holding.cuts += delta
        return
    if order.terms is not None and order.terms.oco_group:
        _group(holding, order, delta)
    if working.is_exit:
        holding.exits += delta
    if order.side == BUY:
        holding.buys += delta
    else:
        holding.sells += delta


def _group(holding: Holding, order: SubmitOrder, delta: int) -> None:
    """Let ``delta`` more be open of a group's orders that do the same as this one."""
    key = order.terms.oco_group if order.terms is not None else "", order.side
    holding.groups[key] = holding.groups.get(key, 0) + delta
    if not holding.groups[key]:
        del holding.groups[key]
