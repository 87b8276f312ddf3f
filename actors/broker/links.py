"""Orders that hang together: brackets (an entry with its exits) and groups of which one cancels the others.

A bracket's exits come to life with the entry's first fill, for as much as is filled, and follow every later fill of the
entry and of each other: what both may still fill is what the entry filled less what they did. When one of them is
through, the other ends, and so does what is left of the entry: its reason to enter has gone. An exit that somebody
cancels stays cancelled, and its sibling works on. Where the position is closed by something else, exits of a complete
entry end with it. (Semantics section 2; OTO is the same with one exit.)

In a group (``oco_group`` of one portfolio) a complete fill ends the others. A partial one takes its quantity from those
that would do the same, of equal symbol and side, and ends the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from actors.broker.order_state import WorkingOrder
from actors.messages.orders import Bracket, OrderTerms, OrderType, SubmitOrder, TimeInForce
from actors.values.order_names import exit_ids

OCO: Final = "OCO"
BRACKET_CLOSED: Final = "BRACKET_CLOSED"
POSITION_CLOSED: Final = "POSITION_CLOSED"


class BracketState(msgspec.Struct):
    """An entry that filled, and its exits.

    Attributes:
        entered: filled of the entry.
        exited: filled of its exits together.
        exits: client order ids of the exits that work.
        open: whether the entry works still.
        begun: whether the exits came to life.
    """

    entered: int = 0
    exited: int = 0
    exits: list[str] = []
    open: bool = True
    begun: bool = False


Group = tuple[str, str]
"""(portfolio, oco_group)."""


class Links:
    """Which working orders hang together: a fold of order events."""

    __slots__ = ("brackets", "groups")

    def __init__(self) -> None:
        """Start with nothing linked."""
        self.brackets: dict[str, BracketState] = {}
        """By client order id of the entry, from its first fill until entry and exits are terminal."""
        self.groups: dict[Group, dict[int, WorkingOrder]] = {}

    # -- folds -----------------------------------------------------------------------------------------------------

    def accepted(self, order: WorkingOrder) -> None:
        """Take in a linked order."""
        terms = order.terms
        assert terms is not None  # noqa: S101 - a linked order has terms; mypy cannot know
        if terms.bracket_of:
            state = self.brackets[terms.bracket_of]
            state.exits.append(order.order.client_order_id)
            state.begun = True
        if terms.oco_group:
            self.groups.setdefault((order.portfolio, terms.oco_group), {})[order.n] = order

    def filled(self, order: WorkingOrder, qty: int) -> None:
        """Count a fill of a linked order."""
        terms = order.terms
        assert terms is not None  # noqa: S101 - a linked order has terms; mypy cannot know
        if terms.bracket is not None:
            self.brackets.setdefault(order.order.client_order_id, BracketState()).entered += qty
        if terms.bracket_of:
            self.brackets[terms.bracket_of].exited += qty

    def ended(self, order: WorkingOrder) -> None:
        """Let go of a linked order that is terminal."""
        terms = order.terms
        assert terms is not None  # noqa: S101 - a linked order has terms; mypy cannot know
        name = order.order.client_order_id
        if terms.bracket is not None and (state := self.brackets.get(name)) is not None:
            state.open = False
            self._forget(name, state)
        if terms.bracket_of:
            state = self.brackets[terms.bracket_of]
            state.exits.remove(name)
            self._forget(terms.bracket_of, state)
        if terms.oco_group:
            key = order.portfolio, terms.oco_group
            del self.groups[key][order.n]
            if not self.groups[key]:
                del self.groups[key]

    def _forget(self, name: str, state: BracketState) -> None:
        # The exits of an entry that its first fill completed are accepted behind that fill, in the same frame.
        if not state.open and not state.exits and state.begun:
            del self.brackets[name]

    def restated(self, name: str, numerator: int, denominator: int, lot_size: int) -> None:
        """Count what a bracket filled in the shares behind a split; a part of a lot size is paid out, not closed."""
        state = self.brackets.get(name)
        if state is not None:
            left = (state.entered - state.exited) * numerator // denominator
            state.exited = state.exited * numerator // denominator
            state.entered = state.exited + left - left % lot_size

    def snapshot(self) -> list[Any]:
        """Return plain values; groups follow from the working orders."""
        return [[name, *msgspec.structs.astuple(state)] for name, state in self.brackets.items()]

    def restore(self, rows: list[Any], orders: Iterable[WorkingOrder]) -> None:
        """Take over what :meth:`snapshot` gave, and the working orders."""
        self.brackets = {row[0]: BracketState(row[1], row[2], list(row[3]), row[4], row[5]) for row in rows}
        self.groups = {}
        for order in orders:
            if order.terms is not None and order.terms.oco_group:
                self.groups.setdefault((order.portfolio, order.terms.oco_group), {})[order.n] = order

    # -- reading ---------------------------------------------------------------------------------------------------

    def others(self, order: WorkingOrder) -> Iterator[WorkingOrder]:
        """Yield the other orders of an order's group, oldest first."""
        if order.terms is not None and order.terms.oco_group:
            for other in self.groups.get((order.portfolio, order.terms.oco_group), {}).values():
                if other.n != order.n:
                    yield other

    def oldest(self, order: WorkingOrder) -> int:
        """Return the number of the oldest order of an order's group, its own where it is in none."""
        if order.terms is None or not order.terms.oco_group:
            return order.n
        return next(iter(self.groups.get((order.portfolio, order.terms.oco_group), ())), order.n)


def exits_of(entry: WorkingOrder, qty: int) -> list[SubmitOrder]:
    """Return a bracket's exits for ``qty`` that is filled: the target first, then the stop, as far as it has them."""
    assert entry.terms is not None  # noqa: S101 - the caller saw its bracket; mypy cannot know
    bracket = entry.terms.bracket
    assert bracket is not None  # noqa: S101
    order = entry.order
    target_id, stop_id = exit_ids(order.client_order_id)
    exits = []
    for name, kind in ((target_id, OrderType.TAKE_PROFIT), (stop_id, _stop_kind(bracket))):
        target = kind is OrderType.TAKE_PROFIT
        if kind is None or (target and bracket.take_profit_px is None):
            continue
        exits.append(
            SubmitOrder(
                client_order_id=name,
                portfolio=order.portfolio,
                symbol=entry.symbol,
                side=-order.side,
                qty=qty,
                type=kind,
                tif=TimeInForce.GTC,  # what protects a position does not end with the day
                limit_px=bracket.take_profit_px if target else None,
                stop_px=bracket.stop_px if kind is OrderType.STOP else None,
                strategy=order.strategy,
                reason="take_profit" if target else "stop_loss",
                reduce_only=True,
                parent_id=order.client_order_id,
                exempt=order.exempt,
                terms=OrderTerms(
                    trail_amount=None if target else bracket.trail_amount,
                    trail_percent=None if target else bracket.trail_percent,
                    activation_px=None if target else bracket.activation_px,
                    bracket_of=order.client_order_id,
                ),
            )
        )
    return exits


def _stop_kind(bracket: Bracket) -> OrderType | None:
    if bracket.trail_amount is not None or bracket.trail_percent is not None:
        return OrderType.TRAILING_STOP
    return None if bracket.stop_px is None else OrderType.STOP
