"""Which sales are short, and which of them somebody must have found shares for (Regulation SHO, Rule 203(b)(1)).

With ``broker.require_locate`` every short sale, and in any case one of a symbol among ``broker.hard_to_borrow``, needs
the flag ``locate`` on its order; without it the order is refused, and one that was taken as a sale of what was held
sells no more than that. How many shares there are to borrow, and their recall, is not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.messages.orders import BUY, OrderType, SubmitOrder
from actors.values.fixed import fmt
from actors.values.universe import Universe

NO_LOCATE: Final = "NO_LOCATE"


def being_sold(portfolio: str, working: Iterable[WorkingOrder]) -> int:
    """Return how much of what a portfolio holds of a symbol is being sold by orders that work in it.

    Resting orders that may only reduce, a stop and a target, do not count: either may sell it. Market orders do.
    """
    selling = 0
    for other in working:
        told = other.order
        if other.side == BUY or other.portfolio != portfolio:
            continue
        if told.type is OrderType.MARKET or not (told.reduce_only or told.lot_id):
            selling += other.leaves
    return selling


def sold_short(order: SubmitOrder, held: int, working: Iterable[WorkingOrder]) -> int:
    """Return how much of an order would be sold short, what is being sold already counted.

    Args:
        order: a new order; one that may only reduce never sells short.
        held: signed position in its symbol.
        working: orders that work in its symbol, of any portfolio.
    """
    if order.side == BUY or order.reduce_only or order.lot_id:
        return 0
    return max(0, order.qty - max(0, held - being_sold(order.portfolio, working)))


class Locates:
    """What must be located before it is sold short."""

    __slots__ = ("_symbols", "_universe")

    def __init__(self, universe: Universe, params: BrokerParams) -> None:
        """Read the switches; names that are not in the universe concern nobody."""
        self._universe = universe
        known = universe.symbols
        named = [i for i, name in enumerate(known) if name in params.hard_to_borrow]
        self._symbols = frozenset(range(len(known)) if params.require_locate else named)

    def __bool__(self) -> bool:
        """Whether anything must be located."""
        return bool(self._symbols)

    def missing(self, order: SubmitOrder) -> bool:
        """Tell whether an order may sell nothing short."""
        return order.symbol in self._symbols and (order.terms is None or not order.terms.locate)

    def refuse(self, order: SubmitOrder, held: int, working: Iterable[WorkingOrder]) -> tuple[str, str] | None:
        """Return (code, sentence) where an order would sell short what nobody located, else None.

        Args:
            order: a new order.
            held: signed position in its symbol.
            working: orders that work in its symbol.
        """
        if order.side == BUY or not self.missing(order):
            return None
        short = sold_short(order, held, working)
        if not short:
            return None
        name = self._universe.symbols[order.symbol]
        reason = (
            f"{fmt(short)} {name} would be sold short, and no shares were located; set locate, or sell what is held"
        )
        return NO_LOCATE, reason
