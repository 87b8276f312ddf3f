"""What a fill means for the orders that hang together with it, in the same instant.

``decide`` may not change state, so orders whose quantity or mode changed since the instant began are kept as copies,
and those that came to life beside them, until the events are folded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from actors.broker import trailing
from actors.broker.links import BRACKET_CLOSED, OCO, POSITION_CLOSED, Links, exits_of
from actors.broker.matching import Match
from actors.broker.order_state import WorkingOrder
from actors.messages.orders import OrderAccepted, OrderCanceled, OrderExpired, OrderReplaced
from daemon.kernel.message import Event


class Born(msgspec.Struct, gc=False):
    """An exit that came to life: the order, and where on a bar's path it did (leg 0: not inside a bar)."""

    order: WorkingOrder
    leg: int
    px: int


class Exits(msgspec.Struct):
    """A bracket at this point of the instant; ``exits`` are those that work, ``begun`` tells whether they ever did."""

    entered: int
    exited: int
    exits: list[WorkingOrder]
    begun: bool


class Following:
    """The orders of an instant as they are at this point of it, and the events so far.

    Attributes:
        events: in the order in which they happen.
        born: exits that came to life, in order; whoever matches takes them out and goes on with them.
        ended: numbers of orders that are terminal since the instant began.
        present: orders that changed in it, by number, as they are now.
        reached: what the orders that it filled in part have filled by now, by number.
    """

    __slots__ = (
        "_brackets",
        "_last",
        "_links",
        "_next",
        "_now",
        "_orders",
        "born",
        "ended",
        "events",
        "present",
        "reached",
    )

    def __init__(
        self,
        links: Links,
        orders: Mapping[str, WorkingOrder],
        number: int,
        now: int,
        last: Callable[[int], int],
    ) -> None:
        """Begin an instant.

        Args:
            links: which orders hang together; read only.
            orders: the working orders by client order id; read only.
            number: of the next order that is accepted.
            now: stamp of the instant.
            last: returns a symbol's last price, units of 1e-8, 0 where unknown.
        """
        self._last = last
        self._links = links
        self._orders = orders
        self._next = number
        self._now = now
        self._brackets: dict[str, Exits] = {}
        self.events: list[Event] = []
        self.born: list[Born] = []
        self.ended: set[int] = set()
        self.present: dict[int, WorkingOrder] = {}
        self.reached: dict[int, int] = {}

    @property
    def stamp(self) -> int:
        """Stamp of the instant, nanoseconds UTC."""
        return self._now

    def now_of(self, order: WorkingOrder) -> WorkingOrder | None:
        """Return an order as it is at this point, None where it has ended."""
        if order.n in self.ended:
            return None
        return self.present.get(order.n, order)

    def kin(self, order: WorkingOrder) -> int:
        """Return the number of the oldest order of which one ends the other; its own where there is none."""
        terms = order.terms
        if not order.linked or terms is None:
            return order.n
        oldest = self._links.oldest(order)
        if terms.bracket_of:
            oldest = min([oldest, *(exit_.n for exit_ in self._bracket(terms.bracket_of).exits)])
        return oldest

    def cancel(self, order: WorkingOrder, reason: str, filled_now: int = 0) -> None:
        """End an order; ``filled_now`` of it was filled in this instant and is not in its ``cum_qty`` yet."""
        name = order.order.client_order_id
        cum_qty = max(order.cum_qty + filled_now, self.reached.get(order.n, 0))
        self.events.append(
            OrderCanceled(order.order_id, name, cum_qty, reason, self._last(order.symbol), order.arrival_px)
        )
        self.ended.add(order.n)

    def expire(self, order: WorkingOrder, reason: str) -> None:
        """End an order whose time is over."""
        name = order.order.client_order_id
        cum_qty = max(order.cum_qty, self.reached.get(order.n, 0))
        self.events.append(
            OrderExpired(order.order_id, name, cum_qty, reason, self._last(order.symbol), order.arrival_px)
        )
        self.ended.add(order.n)

    def follow(self, order: WorkingOrder, qty: int, match: Match) -> None:
        """State what a fill of ``qty`` means for the others; call it when the fill and its order's end are stated."""
        terms = order.terms
        assert terms is not None  # noqa: S101 - a linked order has terms; mypy cannot know
        if order.n not in self.ended:
            rest = order.copy()
            rest.cum_qty += qty
            rest.leaves -= qty
            self.present[order.n] = rest
        if terms.bracket is not None:
            self._grow_exits(order, qty, match)
        if terms.bracket_of:
            self._settle_exit(order, terms.bracket_of, qty)
        if terms.oco_group:
            for other in self._links.others(order):
                self._shrink_other(order, other, qty)

    def closed_out(self, portfolio: str, symbol: int, side: int) -> None:
        """End the exits of complete entries that are left without the position they protect.

        Args:
            portfolio: whose.
            symbol: of the position that is closed or turned around now.
            side: of the orders that would have closed it.
        """
        for name in dict.fromkeys((*self._links.brackets, *self._brackets)):
            entry = self._orders.get(name)
            if entry is not None and self.now_of(entry) is not None:
                continue  # it may open the position anew
            for order in self._bracket(name).exits:
                found = self.now_of(order)
                if found is not None and (found.portfolio, found.symbol, found.side) == (portfolio, symbol, side):
                    self.cancel(found, POSITION_CLOSED)

    def end_exits(self, entry: WorkingOrder) -> None:
        """End the exits of an entry that has ended itself and whose position is not there: they protect nothing."""
        for order in self._bracket(entry.order.client_order_id).exits:
            found = self.now_of(order)
            if found is not None:
                self.cancel(found, POSITION_CLOSED)

    def _bracket(self, entry: str) -> Exits:
        found = self._brackets.get(entry)
        if found is None:
            state = self._links.brackets.get(entry)
            if state is None:
                found = Exits(0, 0, [], False)
            else:
                found = Exits(state.entered, state.exited, [self._orders[name] for name in state.exits], state.begun)
            self._brackets[entry] = found
        return found

    def _grow_exits(self, entry: WorkingOrder, qty: int, match: Match) -> None:
        """Let the exits of an entry come to life, or grow to what it has filled by now."""
        bracket = self._bracket(entry.order.client_order_id)
        bracket.entered += qty
        if bracket.begun:
            for order in bracket.exits:
                self._resize(order, bracket.entered - bracket.exited)
            return
        bracket.begun = True
        for submitted in exits_of(entry, bracket.entered):
            order = WorkingOrder(self._next, submitted, 0, self._now)
            self._next += 1
            trailing.begin(order, match.ref)
            order.arrival_px = match.ref
            self.events.append(OrderAccepted(order.order_id, submitted, 0, self._now, match.ref, 0, match.leg))
            self.born.append(Born(order, match.leg, match.ref))
            bracket.exits.append(order)

    def found_nothing(self, order: WorkingOrder, reason: str) -> None:
        """End an order that had its chance and nothing to close; with an exit its bracket is over."""
        self.cancel(order, reason)
        if order.terms is not None and order.terms.bracket_of:
            self._settle_exit(order, order.terms.bracket_of, 0)

    def _settle_exit(self, order: WorkingOrder, entry: str, qty: int) -> None:
        """Let the sibling of an exit shrink by what that filled, or end with it, and the entry too."""
        bracket = self._bracket(entry)
        bracket.exited += qty
        done = order.n in self.ended
        for sibling in bracket.exits:
            found = self.now_of(sibling)
            if found is None or sibling.n == order.n:
                continue
            if done:
                self.cancel(found, OCO)
            else:
                self._resize(found, bracket.entered - bracket.exited)
        parent = self._orders.get(entry)
        parent = None if parent is None else self.now_of(parent)
        if done and parent is not None:
            self.cancel(parent, BRACKET_CLOSED)

    def _shrink_other(self, order: WorkingOrder, other: WorkingOrder, qty: int) -> None:
        found = self.now_of(other)
        if found is None:
            return
        same = (found.symbol, found.side) == (order.symbol, order.side)
        if order.n in self.ended or not same:
            self.cancel(found, OCO)
        else:
            self._resize(found, found.leaves - qty)

    def _resize(self, order: WorkingOrder, leaves: int) -> None:
        """Give a working order another open quantity, 0 or less for none; its other terms and its place stay."""
        found = self.now_of(order)
        if found is None or leaves == found.leaves:
            return
        if leaves <= 0:
            self.cancel(found, OCO)
            return
        changed = found.copy()
        changed.leaves = leaves
        changed.qty = found.cum_qty + leaves
        self.present[order.n] = changed
        name, terms = order.order.client_order_id, (changed.limit_px, changed.stop_px)
        self.events.append(OrderReplaced(order.order_id, name, changed.qty, *terms, changed.reserved, self._now))
