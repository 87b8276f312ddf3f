"""Capital at risk: what would be lost if every position went down to its stop.

The loss of a position is measured from the last price to the working stops that close it, each for its own quantity and
the nearest to the market first; what no stop covers is at risk with its whole value. A stop that trails is at most its
distance away. What works and is no exit counts from its own price to the stop it will have: that of its bracket, else
the automatic one that the portfolio says it will have (for strategies' orders), else none. Of a flip the half that
opens and what is held are never there at once: the side that risks more counts. A gap beyond a stop is not foreseen.

All amounts are products of a price and a quantity, units of 1e-16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.messages.orders import NO_TERMS, OrderType, SubmitOrder
from actors.risk.exposure import Exposure
from actors.risk.form import Denial
from actors.risk.holdings import Book, Holding, Working
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.terms import HUNDRED_PERCENT, worst_px
from actors.values.fixed import SCALE, div_round, fmt, mul, mul_ratio, to_fixed
from actors.values.plain import in_cents

_NO_STOP: Final = -1
_STOPS: Final = (OrderType.STOP, OrderType.TRAILING_STOP)


class Heat:
    """Loss down to the stops, of an entry and of everything; reads folded state only."""

    __slots__ = ("_exposure", "_most", "_per_trade", "_prices", "_stop_losses", "on")

    def __init__(
        self, limits: RiskLimits, exposure: Exposure, prices: Prices, stop_losses: Mapping[str, float]
    ) -> None:
        """Build over the actor's live state.

        Args:
            limits: the limits.
            exposure: books and working orders.
            prices: last known prices.
            stop_losses: by portfolio the automatic stop of strategies' positions, a fraction of the entry price; 0 or
                no entry for none.
        """
        self._exposure = exposure
        self._prices = prices
        self._stop_losses = {name: to_fixed(share) for name, share in stop_losses.items()}
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._per_trade = to_fixed(limits.risk_per_trade)
        self._most = to_fixed(limits.max_heat)
        self.on = bool(self._per_trade or self._most)

    def why(self, order: SubmitOrder, leaves: int, px: int, equity: int, own: Working | None) -> Denial | None:
        """Return why an entry puts too much at risk.

        Args:
            order: the entry.
            leaves: its open quantity.
            px: what it is judged at.
            equity: of the portfolio.
            own: the working order that it would take the place of, or None.
        """
        risk = self.of_entry(order, px) * leaves
        if self._per_trade and risk > self._per_trade * equity:
            shown, cap = _money(risk), _money(self._per_trade * equity)
            said, most = in_cents(shown, cap)
            reason = (
                f"the entry risks {said} down to its stop, and {fmt(100 * self._per_trade)} % of equity, {most}, is "
                "the most; order less, or give it a nearer stop"
            )
            return Denial("RISK_PER_TRADE", reason, shown, cap)
        if self._most:
            total = self._with(order, risk, own)
            if total is None:
                reason = "something that is held or being entered has no price, so what is at risk is not known"
                return Denial("NO_REF_PRICE", f"{reason}; wait for a price")
            if total > self._most * equity:
                shown, cap = _money(total), _money(self._most * equity)
                said, most = in_cents(shown, cap)
                reason = (
                    f"all positions together would risk {said} down to their stops, and {fmt(100 * self._most)} % of "
                    f"equity, {most}, is the most; order less, or bring stops nearer"
                )
                return Denial("MAX_HEAT", reason, shown, cap)
        return None

    def of_entry(self, order: SubmitOrder, px: int) -> int:
        """Return what a share entered at ``px`` loses down to the stop it will have, units of 1e-8."""
        terms = order.terms or NO_TERMS
        bracket = terms.bracket
        if bracket is not None:
            if bracket.stop_px is not None:
                return max(0, order.side * (px - bracket.stop_px))
            distance = _distance(px, bracket.trail_amount, bracket.trail_percent)
            if distance != _NO_STOP:
                return distance
        if order.strategy and not order.exempt:
            if order.stop_distance:
                return min(px, order.stop_distance)
            share = self._stop_losses.get(order.portfolio, 0)
            if share:
                return mul(px, share)
        return px

    def of_portfolio(self, portfolio: str) -> int | None:
        """Return what a portfolio's positions and entries risk; None where a price is missing.

        What each symbol risks is kept until it, or its price, is another one.
        """
        book = self._exposure.books[portfolio]
        if book.risk_of != self._prices.version:
            book.risk = self._sum(book)
            book.risk_of = self._prices.version
        return book.risk

    def _with(self, order: SubmitOrder, risk: int, own: Working | None) -> int | None:
        """Return what a portfolio would risk with an entry, which takes the place of ``own``; None where not known."""
        total = self.of_portfolio(order.portfolio)
        holding = self._exposure.books[order.portfolio].holdings.get(order.symbol)
        if total is None or holding is None or not (holding.qty or holding.orders):
            return None if total is None else total + risk
        before = holding.risk
        if before is not None and holding.qty * order.side >= 0 and not _may_flip(holding):  # what most are
            if own is None:
                return total + risk
            last = max(0, self._prices.last(order.symbol))
            return total + risk - self._of_working(own, last) * own.leaves
        sides = self._sides(holding, max(0, self._prices.last(order.symbol)), own)
        if sides is None or before is None:
            return None
        along, against = sides
        if holding.qty * order.side >= 0:
            along += risk
        else:
            against += risk
        return total - before + max(along, against)

    def _sum(self, book: Book) -> int | None:
        item = self._prices.closes.item
        total = 0
        for symbol, holding in book.holdings.items():
            if not holding.qty and not holding.orders:
                continue
            px: int = item(symbol)
            risk = holding.risk
            if risk is None or holding.risk_px != px:
                risk = self._of_holding(holding, max(0, px))
                if risk is None:
                    return None
                holding.risk, holding.risk_px = risk, px
            total += risk
        return total

    def _of_holding(self, holding: Holding, px: int) -> int | None:
        """Return what a position and the entries that work beside it risk; None where a price is missing."""
        sides = self._sides(holding, px, None)
        return None if sides is None else max(sides)

    def _sides(self, holding: Holding, px: int, own: Working | None) -> tuple[int, int] | None:
        """Return what is risked on a position's side, and on the other one by what opens behind its end.

        Without ``own``; None where a price is missing.
        """
        along = against = 0
        if holding.qty:
            if not px:
                return None
            along = _of_position(holding, px)
        left = abs(holding.qty) - holding.cuts
        groups: dict[str, int] = {}
        for working in holding.orders.values():
            order = working.order
            if order.reduce_only or working is own:
                continue
            opens = working.leaves
            if holding.qty * order.side < 0:
                if order.terms is not None and order.terms.oco_group:  # of a group one fills: the largest counts
                    before = groups.get(order.terms.oco_group, 0)
                    groups[order.terms.oco_group] = max(before, opens)
                    opens = max(0, opens - before)
                closes = max(0, min(opens, left))
                left -= closes
                opens -= closes
                if not opens:
                    continue
            if not px and not working.limit_px and not worst_px(order, working.stop_px, px):
                return None
            risk = self._of_working(working, px) * opens
            if holding.qty * order.side < 0:
                against += risk
            else:
                along += risk
        return along, against

    def _of_working(self, working: Working, last: int) -> int:
        """Return what a share of a working entry risks, units of 1e-8."""
        px = working.limit_px or worst_px(working.order, working.stop_px, last)
        return self.of_entry(working.order, px)


def _may_flip(holding: Holding) -> bool:
    """Tell whether what works against a position may open the other side: whether it is more than what is held."""
    against = holding.sells if holding.qty > 0 else holding.buys if holding.qty < 0 else 0
    return against > abs(holding.qty) - holding.cuts


def _of_position(holding: Holding, px: int) -> int:
    """Return what a position loses from ``px`` down to its stops."""
    side = 1 if holding.qty > 0 else -1
    left = abs(holding.qty)
    total = 0
    losses = [
        (_stop_loss(working, px, side), working.leaves)
        for working in holding.orders.values()
        if working.order.side == -side and working.order.type in _STOPS
    ]
    for loss, qty in sorted(losses):
        covered = min(qty, left)
        total += loss * covered
        left -= covered
    return total + left * px


def _stop_loss(working: Working, px: int, side: int) -> int:
    """Return what a share loses from ``px`` to a working stop."""
    if working.stop_px is not None:
        return max(0, side * (px - working.stop_px))
    terms = working.order.terms or NO_TERMS
    distance = _distance(px, terms.trail_amount, terms.trail_percent)
    return px if distance == _NO_STOP else distance


def _distance(px: int, amount: int | None, percent: int | None) -> int:
    """Return how far a trail is from ``px``, or :data:`_NO_STOP`."""
    if amount is not None:
        return amount
    return mul_ratio(px, percent, HUNDRED_PERCENT) if percent is not None else _NO_STOP


def _money(product: int) -> str:
    """Write a product of two fixed-point numbers as a plain decimal."""
    return fmt(div_round(product, SCALE))
