"""A second simulator of orders on bars, written from the semantics alone; it shares no code with the first.

One symbol, an account that is long and rich enough for every order, nothing costs, a touch fills. What it models: every
order type, every time in force, one-cancels-other groups, brackets, replace and cancel, participation, the path inside
a bar. Prices are ``Decimal``; times are whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

BUY, SELL = 1, -1
CUTOFF = 600
"""Seconds before the close from which orders for the closing are refused."""

STOPS = ("stop", "stop_limit")
TOUCHES = ("market_if_touched", "limit_if_touched")


class Bar(msgspec.Struct, frozen=True):
    """A bar of a session; ``volume`` None where nothing bounds a fill."""

    start: int
    end: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None = None
    first: bool = False
    last: bool = False

    def path(self) -> list[Decimal]:
        """Return the points behind the open: nearer extreme, other extreme, close; a tie hurts who is long."""
        up, down = self.high - self.open, self.open - self.low
        extremes = [self.high, self.low] if up < down else [self.low, self.high]
        return [*extremes, self.close]


class Order(msgspec.Struct):
    """An order at work or done.

    Attributes:
        mode: how it works now: ``market``, ``limit``, ``stop`` (waits for a fall or a rise to ``stop``), ``trail``,
            ``auction``.
        best: of a trail, the best price since it is armed.
        whole: it fills whole or not at all.
    """

    name: str
    number: int
    side: int
    qty: int
    kind: str
    tif: str
    arrived: int
    limit: Decimal | None = None
    stop: Decimal | None = None
    trail: Decimal | None = None
    percent: bool = False
    activation: Decimal | None = None
    expires: int | None = None
    group: str = ""
    bracket: tuple[Decimal | None, Decimal | None] | None = None
    parent: str = ""
    post_only: bool = False
    status: str = "new"
    got: int = 0
    mode: str = ""
    best: Decimal | None = None

    @property
    def working(self) -> bool:
        """Return whether it may still fill."""
        return self.status in ("new", "partially_filled")

    @property
    def left(self) -> int:
        """Return what is not filled."""
        return self.qty - self.got

    @property
    def trigger(self) -> Decimal:
        """Return the price a stop, a touch order or an armed trail waits for."""
        if self.mode == "stop":
            assert self.stop is not None
            return self.stop
        assert self.best is not None
        assert self.trail is not None
        return self.best + self.side * (self.best * self.trail / 100 if self.percent else self.trail)

    @property
    def met_falling(self) -> bool:
        """Return whether prices come down to its level, rather than up."""
        if self.mode == "limit":
            return self.side > 0
        return (self.side < 0) is (self.kind not in TOUCHES)


class Simulator:
    """Cash, shares, orders and fills of one account in one symbol."""

    def __init__(self, cash: int, participation: Decimal | None = None) -> None:
        """Begin with cash alone."""
        self.cash = Decimal(cash)
        self.held = 0
        self.last: Decimal | None = None
        self.orders: list[Order] = []
        self.fills: list[tuple[str, int, Decimal, int]] = []
        self.torn = False
        """Whether two orders of which one ends the other met one price: which goes first is not for here to say."""
        self._participation = participation
        self._budget: int | None = None
        self._now = 0

    # -- what people say -----------------------------------------------------------------------------------------------

    def submit(self, order: Order, close: int) -> None:
        """Take an order while a session ends, or is to end, at ``close``."""
        order.number = len(self.orders)
        self.orders.append(order)
        if order.tif == "cls" and order.arrived > close - CUTOFF:
            order.status = "rejected"
            return
        if order.post_only and order.limit is not None and self._takes(order.side, order.limit):
            order.status = "rejected"
            return
        self._begin(order, self.last)

    def _takes(self, side: int, limit: Decimal) -> bool:
        return self.last is not None and side * (limit - self.last) >= 0

    def _begin(self, order: Order, price: Decimal | None) -> None:
        if order.tif in ("opg", "cls"):
            order.mode = "auction"
        elif order.kind in (*STOPS, *TOUCHES):
            order.mode = "stop"
        elif order.kind == "trailing_stop":
            order.mode = "trail"
            order.best = price if order.activation is None else None
        else:
            order.mode = "market" if order.limit is None else "limit"

    def cancel(self, name: str) -> None:
        """Cancel an order that works; its exits stay."""
        order = self._find(name)
        if order is not None and order.working:
            order.status = "canceled"

    def replace(self, name: str, now: int, qty: int | None, limit: Decimal | None, stop: Decimal | None) -> None:
        """Give an order new terms, which rest from now on, unless it only wants less; less than it has is refused."""
        order = self._find(name)
        if order is None or not order.working or (qty is not None and qty <= order.got):
            return
        if order.post_only and limit is not None and self._takes(order.side, limit):
            return
        smaller = qty is not None and qty <= order.qty and limit is None and stop is None
        order.qty = order.qty if qty is None else qty
        order.limit = order.limit if limit is None else limit
        order.stop = order.stop if stop is None else stop
        order.arrived = order.arrived if smaller else now

    def _find(self, name: str) -> Order | None:
        return next((o for o in self.orders if o.name == name), None)

    # -- what the market does ------------------------------------------------------------------------------------------

    def close_session(self, now: int) -> None:
        """End what was for the session."""
        for order in self.orders:
            over = order.expires is not None and now >= order.expires
            if order.working and order.arrived < now and (over or order.tif in ("day", "ioc", "fok", "opg", "cls")):
                order.status = "expired"

    def bar(self, bar: Bar) -> None:
        """Walk a bar with the orders that are live for the whole of it; those born on the way join them."""
        self._now = bar.end
        self._expire(bar.end)
        if bar.volume == 0:
            return
        self._budget = None
        if bar.volume is not None and self._participation is not None:
            self._budget = int(bar.volume * self._participation)
        live = [o for o in self.orders if o.working and o.arrived <= bar.start]
        born = len(self.orders)
        self._open(live, born, bar)
        here = bar.open
        for there in bar.path():
            if there != here:
                self._leg(live, born, here, there)
            here = there
        if bar.last:
            self._closing(bar)
        self.last = bar.close

    def _expire(self, now: int) -> None:
        for order in self.orders:
            if order.working and order.expires is not None and now > order.expires:
                order.status = "expired"

    def _open(self, live: list[Order], born: int, bar: Bar) -> None:
        """Fill what the open fills, sales first; an order that wants all at once is over afterwards."""
        self._doubt([o for o in live if o.working and self._meets(o, bar.open)])
        for order in sorted(live, key=lambda o: (o.side, o.number)):
            if not order.working:
                continue
            if order.mode == "auction":
                if order.tif == "opg" and bar.first and order.arrived <= bar.start:
                    if order.limit is None or order.side * (order.limit - bar.open) >= 0:
                        self._fill(order, bar.open)
                    if order.working:
                        order.status = "expired"
                continue
            if order.mode == "trail":
                self._ratchet(order, bar.open)
            self._meet(order, bar.open)
            if order.working and order.tif in ("ioc", "fok"):
                order.status = "canceled"
        for child in self.orders[born:]:
            self._meet(child, bar.open)

    def _leg(self, live: list[Order], born: int, here: Decimal, there: Decimal) -> None:
        """Walk from here to there, stopping wherever an order is met."""
        idle: set[int] = set()
        falling = there < here
        while True:
            ahead = []
            for order in [*live, *self.orders[born:]]:
                waits = order.mode in ("limit", "stop") or (order.mode == "trail" and order.best is not None)
                if not order.working or not waits or order.number in idle or order.met_falling is not falling:
                    continue
                level = order.limit if order.mode == "limit" else order.trigger
                assert level is not None
                if min(here, there) <= level <= max(here, there):
                    ahead.append((abs(level - here), order.number, level, order))
            if not ahead:
                break
            _, _, here, order = min(ahead, key=lambda entry: entry[:2])
            self._doubt([other for _, _, level, other in ahead if level == here])
            mode, known = order.mode, len(self.orders)
            self._touch(order, here)
            if order.mode == mode:
                idle.add(order.number)
            for child in self.orders[known:]:
                self._meet(child, here)
        for order in [*live, *self.orders[born:]]:
            if order.working and order.mode == "trail":
                self._ratchet(order, there)

    def _doubt(self, met: list[Order]) -> None:
        self.torn |= len(met) > 1 and any(order.group for order in met)

    def _meets(self, order: Order, price: Decimal) -> bool:
        """Return whether a price fills an order, or triggers it."""
        if order.mode in ("auction", "market"):
            return True
        if order.mode == "trail" and order.best is None:
            return False
        level = order.limit if order.mode == "limit" else order.trigger
        assert level is not None
        return price <= level if order.met_falling else price >= level

    def _touch(self, order: Order, price: Decimal) -> None:
        """Meet an order at its own price."""
        if order.mode == "limit":
            self._fill(order, price)
        else:
            self._trigger(order, price)

    def _trigger(self, order: Order, price: Decimal) -> None:
        order.mode = "market" if order.limit is None else "limit"
        self._meet(order, price)

    def _meet(self, order: Order, price: Decimal) -> None:
        """Let an order see a price: take it, or be triggered by it."""
        if order.mode == "auction" or not self._meets(order, price):
            return
        if order.mode in ("market", "limit"):
            self._fill(order, price)
        else:
            self._trigger(order, price)

    def _ratchet(self, order: Order, price: Decimal) -> None:
        if order.best is None:
            assert order.activation is not None
            if order.side * (order.activation - price) >= 0:
                order.best = price
        elif order.side * (order.best - price) > 0:
            order.best = price

    def _closing(self, bar: Bar) -> None:
        """Fill what is for the closing: whatever came before it, be it in the last bar."""
        for order in sorted(self.orders, key=lambda o: (o.side, o.number)):
            paid = order.limit is None or order.side * (order.limit - bar.close) >= 0
            if order.working and order.tif == "cls" and order.arrived < bar.end and paid:
                self._fill(order, bar.close)

    # -- what follows a fill -------------------------------------------------------------------------------------------

    def _fill(self, order: Order, price: Decimal) -> None:
        qty = order.left if self._budget is None else min(order.left, self._budget)
        if not qty or (order.tif == "fok" and qty < order.left):
            return
        if self._budget is not None:
            self._budget -= qty
        order.got += qty
        order.status = "partially_filled" if order.left else "filled"
        self.cash -= order.side * qty * price
        self.held += order.side * qty
        self.fills.append((order.name, qty, price, self._now))
        self._others(order, qty)
        if order.bracket is not None:
            self._protect(order, price)

    def _others(self, order: Order, qty: int) -> None:
        """Reduce or cancel what the fill replaces: a group's others, the other exit of a bracket."""
        for other in self._linked(order):
            if order.status == "filled" or other.side != order.side or other.left <= qty:
                other.status = "canceled"
            else:
                other.qty -= qty

    def _linked(self, order: Order) -> Iterable[Order]:
        for other in self.orders:
            if other is order or not other.working:
                continue
            if (order.group and other.group == order.group) or (order.parent and other.parent == order.parent):
                yield other

    def _protect(self, order: Order, price: Decimal) -> None:
        assert order.bracket is not None
        target, stop = order.bracket
        assert not order.left, "a bracket's entry fills whole where nothing bounds it"
        for suffix, kind, px in (("tp", "limit", target), ("sl", "stop", stop)):
            if px is None:
                continue
            child = Order(
                name=f"{order.name}-{suffix}",
                number=len(self.orders),
                side=-order.side,
                qty=order.got,
                kind=kind,
                tif="gtc",
                arrived=self._now,
                limit=px if kind == "limit" else None,
                stop=px if kind == "stop" else None,
                parent=order.name,
            )
            self.orders.append(child)
            self._begin(child, price)
