"""The working orders, by symbol, with the nearest price that would touch one: what a quiet bar is tested against."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from actors.broker.account import Account
from actors.broker.ladder import Ladder
from actors.broker.order_state import UNTIL_TOLD, Mode, WorkingOrder
from actors.broker.panels import row_of, trades
from actors.messages.market import BarPanel
from actors.messages.orders import TimeInForce
from actors.values.fixed import SCALE

F64 = npt.NDArray[np.float64]

_INF: Final = float("inf")
LASTING: Final = (TimeInForce.GTC, TimeInForce.GTD)
"""Times in force that outlive a session."""
# A bar's floats and an order's integers are compared exactly later; this first test must only never miss. One unit
# covers the rounding to 1e-8, five units in the last place cover the division.
_WIDE: Final = 1e-15
_FEW: Final = 64
"""So many dates of orders that have ended are kept until somebody looks for them."""


class RestingOrders:
    """All working orders in order of acceptance, and per symbol the levels that would make a bar interesting.

    ``up[s]``: the lowest price at or above which some order of the symbol may trade (buy stops, sell limits), minus
    infinity where one trades at any price. ``down[s]``: the highest at or below which one may (sell stops, buy limits).
    """

    def __init__(self, n_symbols: int) -> None:
        """Start empty."""
        self.orders: dict[str, WorkingOrder] = {}
        """By client order id."""
        self.taking: dict[int, WorkingOrder] = {}
        """Limits that were marketable when they came in and have not met an open yet, by number."""
        self.unarrived: dict[int, WorkingOrder] = {}
        """Orders that have not met a price yet, by number; as the following ones."""
        self.immediate: dict[int, WorkingOrder] = {}
        self.auctions: dict[int, WorkingOrder] = {}
        self.trails: dict[int, WorkingOrder] = {}
        """Trailing stops whose condition was not met yet."""
        self.dated: dict[int, WorkingOrder] = {}
        """Orders that end at a date of their own."""
        self._dates: list[tuple[int, int]] = []
        """A heap of (date, order number) of those and of some that have ended."""
        self.next_expiry = 0
        """The earliest of those dates, 0 where there is none."""
        self._by_symbol: dict[int, dict[int, WorkingOrder]] = {}
        self._ladders: dict[int, Ladder] = {}
        """Of symbols that have ticked while orders worked in them."""
        self._up = np.full(n_symbols, _INF)
        self._down = np.full(n_symbols, -_INF)
        self._dirty: dict[int, None] = {}
        self._hit = np.empty(n_symbols, dtype=np.bool_)
        self._hit_low = np.empty(n_symbols, dtype=np.bool_)

    def add(self, order: WorkingOrder) -> None:
        """Take in an order."""
        self.orders[order.order.client_order_id] = order
        symbol = order.symbol
        by_number = self._by_symbol.get(symbol)
        if by_number is None:
            by_number = self._by_symbol[symbol] = {}
        by_number[order.n] = order
        if order.taking:
            self.taking[order.n] = order
        if not order.arrival_px:
            self.unarrived[order.n] = order
        if order.immediate:
            self.immediate[order.n] = order
        if order.auction:
            self.auctions[order.n] = order
        if order.terms is not None:
            if order.mode is Mode.TRAIL:
                self.trails[order.n] = order
            if order.terms.expire_ts is not None:
                self.dated[order.n] = order
                heapq.heappush(self._dates, (order.terms.expire_ts, order.n))
                self.next_expiry = self._dates[0][0]
        self._dirty[symbol] = None
        if symbol in self._ladders:
            self._ladders[symbol].put(order)

    def remove(self, order: WorkingOrder) -> None:
        """Let go of an order."""
        del self.orders[order.order.client_order_id]
        symbol = order.symbol
        by_number = self._by_symbol[symbol]
        del by_number[order.n]
        if not by_number:
            del self._by_symbol[symbol]
        if order.taking:
            del self.taking[order.n]
        if not order.arrival_px:
            del self.unarrived[order.n]
        if order.immediate:
            del self.immediate[order.n]
        if order.auction:
            del self.auctions[order.n]
        if order.terms is not None:
            self.trails.pop(order.n, None)
            if self.dated.pop(order.n, None) is not None:
                self._find_expiry()
        self._dirty[symbol] = None
        if symbol in self._ladders:
            self._ladders[symbol].drop(order)

    def _find_expiry(self) -> None:
        dates, dated = self._dates, self.dated
        if len(dates) > 2 * len(dated) + _FEW:
            dates[:] = [entry for entry in dates if entry[1] in dated]
            heapq.heapify(dates)
        while dates and dates[0][1] not in dated:  # of orders that have ended before their date
            heapq.heappop(dates)
        self.next_expiry = dates[0][0] if dates else 0

    def expired(self, now: int, *, at_once: bool) -> list[WorkingOrder]:
        """Return the orders whose own date is over at ``now``, oldest first.

        Args:
            now: nanoseconds UTC.
            at_once: whether nothing that is known at ``now`` can fill them any more.
        """
        if not self.next_expiry or (now <= self.next_expiry and not (at_once and now == self.next_expiry)):
            return []
        limit = now if at_once else now - 1
        return [order for order in self.dated.values() if (order.expire_ts or 0) <= limit]

    def arrived(self, order: WorkingOrder, px: int) -> None:
        """Note the market's price when an order reached it."""
        order.arrival_px = px
        self.unarrived.pop(order.n, None)

    def triggered(self, order: WorkingOrder) -> None:
        """Let an order work as what is behind its condition."""
        order.trigger()
        self.trails.pop(order.n, None)
        self.touch(order)

    def rename(self, order: WorkingOrder, symbol: int) -> None:
        """Let an order work in another symbol, in its place among the orders there."""
        del self._by_symbol[order.symbol][order.n]
        if not self._by_symbol[order.symbol]:
            del self._by_symbol[order.symbol]
        self._dirty[order.symbol] = None
        if order.symbol in self._ladders:
            self._ladders[order.symbol].drop(order)
        order.symbol = symbol
        there = self._by_symbol.setdefault(symbol, {})
        younger = bool(there) and order.n < next(reversed(there))
        there[order.n] = order
        if younger:
            self._by_symbol[symbol] = dict(sorted(there.items()))
        self.touch(order)

    def touch(self, order: WorkingOrder) -> None:
        """Note that an order's terms changed."""
        self._dirty[order.symbol] = None
        if order.symbol in self._ladders:
            self._ladders[order.symbol].put(order)

    def of(self, symbol: int) -> Iterable[WorkingOrder]:
        """Return the symbol's orders, oldest first."""
        found: Mapping[int, WorkingOrder] = self._by_symbol.get(symbol, {})
        return found.values()

    def near(self, symbol: int, low: int, high: int) -> list[WorkingOrder]:
        """Return those of the symbol's orders that a tick may concern, in no order; see :meth:`Ladder.within`."""
        ladder = self._ladders.get(symbol)
        if ladder is None:
            ladder = self._ladders[symbol] = Ladder()
            for order in self.of(symbol):
                ladder.put(order)
        return ladder.within(low, high)

    def taking_in(self, symbol: int) -> list[WorkingOrder]:
        """Return the limits that wait to take in a symbol that has ticked."""
        ladder = self._ladders.get(symbol)
        return [] if ladder is None else ladder.taking()

    @property
    def symbols(self) -> Iterable[int]:
        """Return the symbols that have working orders."""
        return self._by_symbol.keys()

    def judge_arrival(self, order: WorkingOrder, last: int, *, rests_at: bool = False) -> None:
        """Note whether a limit takes liquidity at its first price: it does if it came in at or beyond the last one.

        Args:
            order: which just came in or has new terms.
            last: last price, 0 where none is known: then it may take, too.
            rests_at: at exactly the last price it rests, and takes only beyond.
        """
        self.taking.pop(order.n, None)
        limit = order.limit_px if order.mode is Mode.LIMIT else None
        order.taking = limit is not None and (not last or order.side * (limit - last) >= rests_at)
        if order.taking:
            self.taking[order.n] = order

    def rest(self, order: WorkingOrder) -> None:
        """Let a limit rest from now on that met a market it does not cross."""
        order.taking = False
        self.taking.pop(order.n, None)

    def meet_open(self, panel: BarPanel) -> None:
        """Let every such limit rest from now on that met an open it did not cross."""
        for order in list(self.taking.values()):
            row = row_of(panel, order.symbol)
            if row < 0 or order.live_from > panel.start_ts or not trades(panel, row):
                continue
            if order.limit_px is not None and order.side * (order.limit_px - round(panel.open.item(row) * SCALE)) <= 0:
                order.taking = False
                del self.taking[order.n]

    def count_null(self, panel: BarPanel, volume: F64) -> int:
        """Return how many orders were live for a bar whose volume is null."""
        found = 0
        for row in np.isnan(volume).nonzero()[0].tolist():
            for order in self.of(panel.ids.item(row)):
                found += order.live_from <= panel.start_ts
        return found

    def miss(self, to_ts: int, session_close: int) -> None:
        """Note that prices up to ``to_ts`` were missed: no order is matched against them, nor can it be.

        A DAY order for a session that has not begun waits from then on until a session tells which one it is; one of
        the session under way, which closes at ``session_close`` (0: none is), only if it came in behind that close.
        """
        for order in self.orders.values():
            if order.order.tif not in LASTING and not order.accepted_ts <= session_close:
                order.live_from = UNTIL_TOLD
            else:
                order.live_from = max(order.live_from, to_ts)

    def told(self, gap_to: int) -> None:
        """Note that the session has begun which the waiting DAY orders are for."""
        for order in self.untold():
            order.live_from = max(order.accepted_ts, gap_to)

    def untold(self) -> list[WorkingOrder]:
        """Return the DAY orders that wait for a session to be told."""
        return [order for order in self.orders.values() if order.live_from == UNTIL_TOLD]

    def refresh(self) -> None:
        """Bring the levels of changed symbols up to date; call before :meth:`hits`."""
        by_symbol = self._by_symbol
        for symbol in self._dirty:
            up, down = _INF, -_INF
            found = by_symbol.get(symbol)
            for order in found.values() if found is not None else ():
                level, rising = touch_level(order)
                if rising:
                    up = min(up, level)
                else:
                    down = max(down, level)
            self._up[symbol] = up
            self._down[symbol] = down
        self._dirty.clear()

    def hits(self, panel: BarPanel) -> npt.NDArray[np.intp]:
        """Return the rows of ``panel`` whose range reaches a level; a superset of the rows that trade."""
        if panel.dense:
            hit = np.greater_equal(panel.high, self._up, out=self._hit)
            hit |= np.less_equal(panel.low, self._down, out=self._hit_low)
        else:
            ids = panel.ids
            hit = panel.high >= self._up[ids]
            hit |= panel.low <= self._down[ids]
        rows: npt.NDArray[np.intp] = hit.nonzero()[0]
        return rows


def touch_level(order: WorkingOrder) -> tuple[float, bool]:
    """Return a float price from which an order may trade, a hair too near, and whether prices must rise to it."""
    if order.market:
        return -_INF, True
    mode = order.mode
    if mode is Mode.LIMIT and not order.auction:
        level, rising = order.limit_px, order.side < 0
    elif mode is Mode.STOP:
        level, rising = order.stop_px, order.side > 0
    elif mode is Mode.TOUCH:
        level, rising = order.stop_px, order.side < 0
    else:  # trades at any price, or has to look at every one
        return -_INF, True
    assert level is not None  # noqa: S101 - acceptance checked the price; mypy cannot know
    if rising:
        return (level - 1) / SCALE * (1 - _WIDE), True
    return (level + 1) / SCALE * (1 + _WIDE), False


def adding_risk(orders: Sequence[WorkingOrder], accounts: Mapping[str, Account]) -> list[WorkingOrder]:
    """Return the orders that may add risk, oldest first.

    An order adds none if it may only reduce, or if it and the older orders counted so close no more than the position.
    """
    adding: list[WorkingOrder] = []
    left: dict[tuple[str, int], int] = {}
    for order in orders:
        if order.order.reduce_only:
            continue
        key = (order.portfolio, order.symbol)
        held = left.get(key)
        if held is None:
            held = accounts[order.portfolio].positions.get(order.symbol, 0)
        if order.leaves <= -order.side * held:
            held += order.side * order.leaves
        else:
            adding.append(order)
        left[key] = held
    return adding
