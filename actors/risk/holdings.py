"""What a portfolio holds and what works for it, as the gate counts: plain state that :mod:`actors.risk.exposure` folds.

Quantities are units of 1e-8 shares, amounts units of 1e-8.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.messages.orders import SubmitOrder
from actors.risk.totals import Totals
from actors.values.margin import Margin


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


def book_out(book: Book) -> list[Any]:
    """Return a book as plain values; between two inputs every fill is booked, so nothing is pending."""
    holdings = [[s, h.qty, h.buys, h.sells, h.exits, h.cuts, h.counted] for s, h in book.holdings.items()]
    money = [book.cash, book.equity, book.reserved, book.proceeds]
    return [money, book.names, holdings, list(book.shorts), book.unsettled]


def book_in(state: list[Any]) -> Book:
    """Return the book of such values."""
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


def working_out(w: Working) -> list[Any]:
    """Return a working order as plain values."""
    numbers = [w.qty, w.cum, w.leaves, w.limit_px, w.stop_px, w.base_leaves, w.is_exit]
    money = [w.reserved, w.base_reserved, w.expected, w.base_expected]
    return [msgspec.msgpack.encode(w.order), numbers, money]


def working_in(state: list[Any]) -> Working:
    """Return the working order of such values."""
    order = msgspec.msgpack.decode(state[0], type=SubmitOrder)
    w = Working(order, 0)
    w.qty, w.cum, w.leaves, w.limit_px, w.stop_px, w.base_leaves, w.is_exit = state[1]
    w.reserved, w.base_reserved, w.expected, w.base_expected = state[2]
    return w
