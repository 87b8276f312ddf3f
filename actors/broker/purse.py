"""What the fills of an instant may spend: cash, or in a margin account the equity beyond the initial requirement.

A purse lives for one instant. It begins with an account as it is, which is not changed, and counts along.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.broker.account import Account
from actors.broker.book import Book
from actors.broker.lots import Stake
from actors.messages.market import I32, I64, BarPanel, CorporateAction
from actors.values.corporate import dividend_px, split_px
from actors.values.fixed import mul
from actors.values.margin import initial


class MarginPrices:
    """Last prices that margin is measured with: those known before the instant whose fills are judged.

    A bar's own close is folded behind its fills, so that no fill at an open borrows against what comes later.
    """

    __slots__ = ("_px",)

    def __init__(self, n_symbols: int) -> None:
        """Start knowing nothing."""
        self._px: I64 = np.zeros(n_symbols, dtype=np.int64)

    def fold_bars(self, panel: BarPanel) -> None:
        """Take over the closes of bars whose fills are done."""
        self._px[panel.ids] = panel.close_fx

    def fold_ticks(self, book: Book, ids: I32) -> None:
        """Take over where quotes and prints left symbols whose fills are done."""
        for symbol in ids.tolist():
            px = book.reference(symbol)
            if px:
                self._px[symbol] = px

    def fold_action(self, action: CorporateAction) -> None:
        """Say prices in the units that hold from now on."""
        symbol = action.symbol
        px = self.last(symbol)
        if action.kind == "split":
            self._px[symbol] = split_px(px, action.numerator, action.denominator)
        elif action.kind == "dividend":
            self._px[symbol] = dividend_px(px, action.value)
        elif action.kind == "rename" and action.renamed_to is not None:
            self._px[action.renamed_to] = px or self.last(action.renamed_to)

    def last(self, symbol: int) -> int:
        """Return the last price, 0 where none was seen."""
        return self._px.item(symbol)

    def snapshot(self) -> bytes:
        """Return plain values."""
        return self._px.tobytes()

    def restore(self, state: Any) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._px = np.frombuffer(state, dtype=np.int64).copy()


class Purse:
    """What one account has left in an instant: spendable cash, and its stakes by symbol as far as looked at."""

    __slots__ = ("account", "cash", "stakes")

    def __init__(self, account: Account) -> None:
        """Start with the account as it is; it is not changed."""
        self.account = account
        self.cash = account.cash - account.unsettled_total
        self.stakes: dict[int, Stake] = {}

    def stake(self, symbol: int) -> Stake:
        """Return the position in a symbol, fills of this instant included."""
        stake = self.stakes.get(symbol)
        if stake is None:
            account = self.account
            stake = self.stakes[symbol] = Stake(account.positions.get(symbol, 0), account.lots.get(symbol))
        return stake

    def pays(self, symbol: int, qty: int, ref: int, cash: int) -> bool:
        """Tell whether a fill may happen: what brings cash in always may, what takes some out must find it.

        Args:
            symbol: of the fill.
            qty: signed quantity.
            ref: market price at which the fill happens, before costs.
            cash: what comes in, fees deducted; negative: what goes out.
        """
        del symbol, qty, ref
        return cash >= 0 or self.cash + cash >= 0


class MarginPurse(Purse):
    """The purse of a margin account: a fill that adds to a position must leave the initial requirement covered.

    Cash may become negative by it, which is what is borrowed. What only reduces a position is never refused. The symbol
    of the fill counts at the market price it is filled at, as others do that were filled in this instant; the rest
    counts at its last known price.

    Whoever books a fill has asked for its symbol just before, so one position at most has changed since a question.
    """

    __slots__ = ("_asked", "_counted", "_free")

    def __init__(self, account: Account, prices: MarginPrices) -> None:
        """Start with the account and the prices as they are; neither is changed."""
        super().__init__(account)
        self._asked: tuple[int, int] | None = None
        """The symbol and market price of the last question; what was filled since was filled there."""
        self._counted: dict[int, tuple[int, int]] = {}
        """By symbol: quantity, and what it adds to the equity beyond the requirement."""
        self._free = 0
        for symbol, qty in account.positions.items():
            self._count(symbol, qty, prices.last(symbol))

    def _count(self, symbol: int, qty: int, px: int) -> None:
        """Count a position as it is, where it changed."""
        counted, adding = self._counted.get(symbol, (0, 0))
        if counted != qty:
            adds = _adds(qty, px)
            self._counted[symbol] = qty, adds
            self._free += adds - adding

    def pays(self, symbol: int, qty: int, ref: int, cash: int) -> bool:
        """Tell whether a fill reduces a position, or leaves the initial requirement of all positions covered."""
        if self._asked is not None:
            asked, px = self._asked
            self._count(asked, self.stake(asked).held, px)
        self._asked = symbol, ref
        held = self.stake(symbol).held
        if held * qty < 0 and abs(qty) <= abs(held):
            return True
        others = self._free - self._counted.get(symbol, (0, 0))[1]
        return self.cash + cash + others + _adds(held + qty, ref) >= 0


def _adds(qty: int, px: int) -> int:
    """Return what a position adds to the equity beyond the initial requirement; a short takes from it."""
    return mul(qty, px) - initial(qty, px) if qty else 0
