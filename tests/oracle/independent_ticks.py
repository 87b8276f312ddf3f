"""A second simulator of orders on quotes or on prints, written from the semantics alone.

One symbol, one kind of tick, an account that is long and rich enough, nothing costs. On quotes a fill is at the
opposite touch and consumes what is displayed. On prints a market order takes the next one; a limit fills by prints
strictly through it: at their price where it would have paid more than the last, until one was at it or beyond, or where
it must fill at once; at its own when it rests. Sales come first at one tick, then the older. What triggers
fills from the next tick. When exits end a bracket whose entry still works, that ends with them.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

STOPS = ("stop", "stop_limit", "trailing_stop")


class Order(msgspec.Struct):
    """An order at work or done; ``mode`` is how it works now: ``market``, ``limit``, ``stop`` or ``trail``."""

    name: str
    side: int
    qty: int
    kind: str
    tif: str
    due: int
    limit: Decimal | None = None
    stop: Decimal | None = None
    trail: Decimal | None = None
    group: str = ""
    bracket: tuple[Decimal, Decimal] | None = None
    parent: str = ""
    mode: str = ""
    status: str = "new"
    got: int = 0
    best: Decimal | None = None
    takes: bool = False

    @property
    def working(self) -> bool:
        """Return whether it may still fill."""
        return self.status in ("new", "partially_filled")

    @property
    def level(self) -> Decimal:
        """Return the price that triggers it."""
        if self.mode == "stop":
            assert self.stop is not None
            return self.stop
        assert self.best is not None
        assert self.trail is not None
        return self.best + self.side * self.trail


class Side(msgspec.Struct):
    """What a buy or a sale meets: a price, what is displayed there, what of it is gone."""

    price: Decimal
    size: int
    gone: int = 0

    def show(self, price: Decimal, size: int) -> None:
        """Take a new quote; at another price everything begins anew."""
        self.gone = self.gone if price == self.price else 0
        self.price, self.size = price, size


class Ticks:
    """Orders and fills of one account in one symbol."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.orders: list[Order] = []
        self.fills: list[tuple[str, int, Decimal, int]] = []
        self.sides: dict[int, Side] = {}
        self.last: Decimal | None = None
        self._now = 0
        self._left: int | None = None

    def submit(self, order: Order) -> None:
        """Take an order."""
        if order.kind == "trailing_stop":
            order.mode, order.best = "trail", self.known()
        elif order.kind in (*STOPS, "market_if_touched", "limit_if_touched"):
            order.mode = "stop"
        else:
            self._release(order)
        self.orders.append(order)

    def price(self, side: int) -> Decimal:
        """Return what triggers an order: the last print, or the touch it would trade at."""
        if self.last is not None:
            return self.last
        return self.sides[side].price

    def known(self) -> Decimal:
        """Return the last price: of a print, else the middle of the quote."""
        if self.last is not None:
            return self.last
        return (self.sides[1].price + self.sides[-1].price) / 2

    def _release(self, order: Order) -> None:
        """Let an order work without a condition."""
        order.mode = "market" if order.limit is None else "limit"
        if order.limit is not None:
            order.takes = order.side * (order.limit - self.price(order.side)) > 0
        order.takes |= order.tif in ("ioc", "fok")

    def cancel(self, name: str) -> None:
        """Cancel an order that works."""
        for order in self.orders:
            if order.name == name and order.working:
                order.status = "canceled"

    def replace(self, name: str, qty: int) -> None:
        """Give an order another quantity, if that is more than it has; one that wants more comes in anew."""
        for order in self.orders:
            if order.name == name and order.working and qty > order.got:
                anew = qty > order.qty and order.mode == "limit"
                order.qty = qty
                if anew:
                    self._release(order)

    def quote(self, now: int, bid: Decimal, bid_size: int, ask: Decimal, ask_size: int) -> None:
        """Meet a quote."""
        for side, price, size in ((-1, bid, bid_size), (1, ask, ask_size)):
            self.sides.setdefault(side, Side(price, size)).show(price, size)
        self._meet(now)

    def print(self, now: int, price: Decimal, size: int) -> None:
        """Meet a print."""
        self.last, self._left = price, size
        self._meet(now)

    def close(self) -> None:
        """End the session."""
        for order in self.orders:
            if order.working and order.tif != "gtc":
                order.status = "expired"

    def _meet(self, now: int) -> None:
        self._now = now
        for order in sorted(self.orders, key=lambda o: o.side):
            if not order.working or order.due > now:
                continue
            if order.mode in ("market", "limit"):
                self._try(order)
                if order.working and order.tif in ("ioc", "fok"):
                    order.status = "canceled"
            else:
                self._watch(order)

    def _watch(self, order: Order) -> None:
        price = self.price(order.side)
        if order.mode == "trail" and order.best is not None and order.side * (order.best - price) > 0:
            order.best = price
        up = (order.side > 0) is (order.kind in STOPS)
        if (price >= order.level) if up else (price <= order.level):
            self._release(order)

    def _try(self, order: Order) -> None:
        if self.last is None:
            touch = self.sides[order.side]
            price, room = touch.price, max(touch.size - touch.gone, 0)
            if order.limit is not None and order.side * (order.limit - price) < 0:
                return
        else:
            assert self._left is not None
            price, room = self.last, self._left
            if order.limit is not None:
                through = order.side * (order.limit - price)
                order.takes &= through > 0
                if through <= 0:
                    return
                price = price if order.takes else order.limit
        qty = min(order.qty - order.got, room)
        if not qty or (order.tif == "fok" and qty < order.qty):
            return
        if self.last is None:
            self.sides[order.side].gone += qty
        else:
            self._left = room - qty
        self._fill(order, qty, price)

    def _fill(self, order: Order, qty: int, price: Decimal) -> None:
        order.got += qty
        order.status = "filled" if order.got == order.qty else "partially_filled"
        self.fills.append((order.name, qty, price, self._now))
        for other in self.orders:
            if order.parent == other.name and other.working and order.status == "filled":
                other.status = "canceled"
            family = (order.group and other.group == order.group) or (order.parent and other.parent == order.parent)
            if other is order or not other.working or not family:
                continue
            if order.status == "filled" or other.side != order.side or other.qty - other.got <= qty:
                other.status = "canceled"
            else:
                other.qty -= qty
        if order.bracket is not None:
            self._protect(order, qty)

    def _protect(self, order: Order, qty: int) -> None:
        """Give an entry its exits, or let them follow it."""
        assert order.bracket is not None
        for suffix, kind, px in (("tp", "limit", order.bracket[0]), ("sl", "stop", order.bracket[1])):
            name = f"{order.name}-{suffix}"
            known = next((o for o in self.orders if o.name == name), None)
            if known is not None:
                known.qty += qty
                continue
            prices = {"limit": px} if kind == "limit" else {"stop": px}
            child = Order(name, -order.side, qty, kind, "gtc", self._now + 1, parent=order.name, **prices)
            self.submit(child)
