"""One symbol's working orders by the prices at which a tick may concern them.

A tick has to look at those alone whose level lies within its prices: a limit that is behind its side's best price and
that nothing printed at or through keeps its queue and trades nothing, a condition beyond the prices is not met. What
follows the market or waits for its first price has no such level and is looked at with every tick.

This is an index over :class:`actors.broker.resting.RestingOrders`: it can be built anew from the orders at any time, so
no snapshot carries it. An order is filed with the first tick that finds it settled, for much that changes between two
ticks never rests.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

from actors.broker.order_state import Mode, WorkingOrder

Rung = tuple[int, int, WorkingOrder]
"""Level, number and order; numbers differ, so that two orders are never compared."""

NOTHING: Final = 1 << 62
"""Above every level: the lowest price of a tick that says none."""
_MANY: Final = 16
"""From so many at once it is quicker to sort than to insert one by one."""


class Ladder:
    """See the module. Prices are ``int`` in units of 1e-8."""

    __slots__ = ("_falling", "_filed", "_restless", "_rising")

    def __init__(self) -> None:
        self._restless: dict[int, WorkingOrder] = {}
        """By number those that every tick concerns, and those that were not filed yet."""
        self._rising: list[Rung] = []
        """Concerned by prices at or above their level, lowest first."""
        self._falling: list[Rung] = []
        """Concerned by prices at or below their level, lowest first."""
        self._filed: dict[int, tuple[list[Rung], Rung]] = {}
        """By number where an order is filed: its own prices may be others by now."""

    def put(self, order: WorkingOrder) -> None:
        """Take in an order, or one that is here with other terms than before."""
        self._unfile(order.n)
        self._restless[order.n] = order

    def drop(self, order: WorkingOrder) -> None:
        """Let go of an order."""
        if self._restless.pop(order.n, None) is None:
            self._unfile(order.n)

    def within(self, low: int, high: int) -> list[WorkingOrder]:
        """Return the orders that a tick may concern whose prices lie from ``low`` to ``high``, in no order.

        Args:
            low: the lowest of the tick's prices and of those it finds in the book, :data:`NOTHING` for none.
            high: the highest of them, 0 for none.
        """
        self._file_settled()
        rising, falling = self._rising, self._falling
        found = list(self._restless.values())
        if rising and rising[0][0] <= high:
            found += [order for _, _, order in rising[: bisect_left(rising, (high + 1,))]]
        if falling and falling[-1][0] >= low:
            found += [order for _, _, order in falling[bisect_left(falling, (low,)) :]]
        return found

    def taking(self) -> list[WorkingOrder]:
        """Return the limits that wait to take."""
        return [order for order in self._restless.values() if order.taking]

    def _file_settled(self) -> None:
        """File those that have come to rest since they came in or were changed."""
        settled = [order for order in self._restless.values() if _is_settled(order)]
        if not settled:
            return
        # Made anew, for a dictionary that was large once is slow to walk through for ever.
        self._restless = {n: order for n, order in self._restless.items() if not _is_settled(order)}
        touched = self._rising, self._falling
        for order in settled:
            level, rises = _level(order)
            rungs = touched[not rises]
            rung = (level, order.n, order)
            self._filed[order.n] = rungs, rung
            if len(settled) < _MANY:
                insort(rungs, rung)
            else:
                rungs.append(rung)
        if len(settled) >= _MANY:
            for rungs in touched:
                rungs.sort()

    def _unfile(self, n: int) -> None:
        place = self._filed.pop(n, None)
        if place is not None:
            rungs, rung = place
            del rungs[bisect_left(rungs, rung)]


def _is_settled(order: WorkingOrder) -> bool:
    """Tell whether only the price decides if a tick concerns an order."""
    if order.taking or not order.arrival_px or order.immediate or order.auction:
        return False
    return order.mode is not Mode.MARKET and order.mode is not Mode.TRAIL


def _level(order: WorkingOrder) -> tuple[int, bool]:
    """Return the price from which ticks concern an order, and whether prices rise to it."""
    if order.mode is Mode.LIMIT:
        level, rises = order.limit_px, order.side < 0
    else:
        level, rises = order.stop_px, (order.side > 0) is (order.mode is Mode.STOP)
    assert level is not None  # noqa: S101 - acceptance checked it; mypy cannot know
    return level, rises
