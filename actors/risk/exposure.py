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
from actors.risk.prices import Prices
from actors.risk.totals import Totals
from actors.values.fixed import SCALE, mul, mul_ratio
from actors.values.margin import Margin, margin_of
from actors.values.settlement import settlement_sessions

# A short ties up 150 % of its value (Reg T): its proceeds, which are no buying power, and half of them again.
SHORT_TIED_UP_NUMERATOR: Final = 3
SHORT_TIED_UP_DENOMINATOR: Final = 2


class Holding:
    """One symbol in one portfolio, in units of 1e-8 shares.

    Attributes:
        qty: position, negative for short, fills counted as soon as they are known.
        buys, sells: what is still open of working orders that are not reduce-only.
        exits: what is still open of working market orders that close the position.
        cuts: the part of ``exits`` that is marked reduce-only and so is in neither ``buys`` nor ``sells``.
        pending: shares of fills that the portfolio has not booked yet.
        counted: whether it takes one of the portfolio's places: held and not being closed, or being entered.
        groups: by (OCO group, side) what of ``buys`` and ``sells`` is of the group; empty for most.
        orders: working orders by client order id.
        risk: what it and its entries may lose at the price ``risk_px`` (:mod:`actors.risk.heat`), units of 1e-16;
            None where that was not counted since it changed.
        touched: whether :class:`actors.risk.totals.Totals` has to look at it again.
        gross, up, down: what it stands for in those sums, units of 1e-16.
        px: the price that they are at.
    """

    __slots__ = (
        "buys",
        "counted",
        "cuts",
        "down",
        "exits",
        "gross",
        "groups",
        "orders",
        "pending",
        "px",
        "qty",
        "risk",
        "risk_px",
        "sells",
        "symbol",
        "touched",
        "up",
    )

    def __init__(self, symbol: int = -1) -> None:
        self.symbol = symbol
        self.touched = False
        self.gross = 0
        self.up = 0
        self.down = 0
        self.px = 0
        self.qty = 0
        self.buys = 0
        self.sells = 0
        self.exits = 0
        self.cuts = 0
        self.pending = 0
        self.counted = False
        self.groups: dict[tuple[str, int], int] = {}
        self.orders: dict[str, Working] = {}
        self.risk: int | None = None
        self.risk_px = 0


class Working:
    """An order at the broker. ``reserved`` and ``expected`` shrink with what is still open."""

    __slots__ = (
        "base_expected",
        "base_leaves",
        "base_reserved",
        "cum",
        "expected",
        "is_exit",
        "leaves",
        "limit_px",
        "order",
        "qty",
        "reserved",
        "stop_px",
    )

    def __init__(self, order: SubmitOrder, reserved: int) -> None:
        self.order = order
        self.qty = order.qty
        self.cum = 0
        self.leaves = order.qty
        self.limit_px = order.limit_px
        self.stop_px = order.stop_px
        self.reserved = self.base_reserved = reserved
        self.base_leaves = order.qty
        self.expected = self.base_expected = 0
        self.is_exit = False


class Book:
    """One portfolio's money and holdings, amounts in units of 1e-8.

    Attributes:
        cash: fills counted as soon as they are known.
        equity: last mark, external flows added.
        reserved: cash set aside for working orders; in a margin account their initial requirement and fees.
        proceeds: expected from working market sells that close a long (not in account ``cash_strict``); in a margin
            account what they release of the initial requirement.
        names: number of holdings that take a place.
        shorts: symbols held short, in order of opening.
        shares_short: how many shares that is, units of 1e-8, without sign.
        pending: exec_id -> (symbol, shares, cash) of fills the portfolio has not booked yet.
        pending_cash: the sum of their cash.
        unsettled: [session number at which it settles, amount] of sales (account ``cash_strict`` only).
        touched: holdings that have changed since the sums over all of them were looked at.
        risk: sum of its holdings' ``risk``; None where one has no price.
        risk_of: version of the prices that it is at, -1 where something changed since.
        totals: those sums, kept by whoever needs them (:mod:`actors.risk.totals`).
        margin: version of the prices, and what the holdings need at them, as computed last; None where holdings have
            changed since. Not state.
    """

    __slots__ = (
        "cash",
        "equity",
        "holdings",
        "margin",
        "names",
        "pending",
        "pending_cash",
        "proceeds",
        "reserved",
        "risk",
        "risk_of",
        "shares_short",
        "shorts",
        "totals",
        "touched",
        "unsettled",
    )

    def __init__(self) -> None:
        self.cash = 0
        self.equity = 0
        self.reserved = 0
        self.proceeds = 0
        self.names = 0
        self.holdings: dict[int, Holding] = {}
        self.shorts: dict[int, None] = {}
        self.shares_short = 0
        self.pending: dict[str, tuple[int, int, int]] = {}
        self.pending_cash = 0
        self.unsettled: list[list[int]] = []
        self.touched: list[Holding] = []
        self.totals = Totals()
        self.risk: int | None = 0
        self.risk_of = -1
        self.margin: tuple[int, Margin] | None = None

    def held(self) -> list[int]:
        """Return the symbols held."""
        return [symbol for symbol, holding in self.holdings.items() if holding.qty]


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
            "books": [[name, *_book_out(book)] for name, book in self.books.items()],
            "working": [_working_out(working) for working in self.working.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave; a portfolio that is new since then keeps its empty book."""
        for name, *rest in state["books"]:
            self.books[name] = _book_in(rest)
        self.working = {}
        for entry in state["working"]:
            working = _working_in(entry)
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


def _book_out(book: Book) -> list[Any]:
    # Between two inputs every fill is booked, so nothing is pending.
    holdings = [[s, h.qty, h.buys, h.sells, h.exits, h.cuts, h.counted] for s, h in book.holdings.items()]
    money = [book.cash, book.equity, book.reserved, book.proceeds]
    return [money, book.names, holdings, list(book.shorts), book.unsettled]


def _book_in(state: list[Any]) -> Book:
    book = Book()
    money, book.names, holdings, shorts, book.unsettled = state
    book.cash, book.equity, book.reserved, book.proceeds = money
    for symbol, *numbers in holdings:
        h = book.holdings[symbol] = Holding(symbol)
        h.qty, h.buys, h.sells, h.exits, h.cuts, h.counted = numbers
        h.touched = True
        book.touched.append(h)
    book.shorts = dict.fromkeys(shorts)
    book.shares_short = -sum(book.holdings[symbol].qty for symbol in shorts)
    return book


def _working_out(w: Working) -> list[Any]:
    numbers = [w.qty, w.cum, w.leaves, w.limit_px, w.stop_px, w.base_leaves, w.is_exit]
    money = [w.reserved, w.base_reserved, w.expected, w.base_expected]
    return [msgspec.msgpack.encode(w.order), numbers, money]


def _working_in(state: list[Any]) -> Working:
    order = msgspec.msgpack.decode(state[0], type=SubmitOrder)
    w = Working(order, 0)
    w.qty, w.cum, w.leaves, w.limit_px, w.stop_px, w.base_leaves, w.is_exit = state[1]
    w.reserved, w.base_reserved, w.expected, w.base_expected = state[2]
    return w
