"""Random programs: bars or ticks, and a script of orders of every kind over them. A seed is a program.

Prices are whole or half dollars, so that whatever a program leads to can be computed exactly.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from oracle.independent import BUY, SELL, Bar, Order
from oracle.sheet import Line

CASH = 1_000_000_000
HELD = 1_000_000
SESSIONS = ("2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12", "2024-03-13")
OPENS, LASTS = 14 * 3600 + 30 * 60, 6 * 3600 + 30 * 60
SUMMER = 20240310
"""From the Monday on the session begins an hour earlier in UTC."""


class World(msgspec.Struct):
    """A program: bars, sessions as (open, close), what is said when, and how it runs."""

    bars: list[Bar]
    sessions: list[tuple[int, int]]
    commands: list[tuple[int, Line, Any]]
    participation: Decimal | None
    daily: bool


def session_times(date: str) -> tuple[int, int]:
    """Return a session's open and close in seconds."""
    day = datetime.fromisoformat(date).replace(tzinfo=UTC)
    hours = timedelta(seconds=OPENS - (3600 if int(date.replace("-", "")) >= SUMMER else 0))
    opened = int((day + hours).timestamp())
    return opened, opened + LASTS


def text(when: int) -> str:
    """Return a time as files have it."""
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")


def half(rng: random.Random, low: int, high: int) -> Decimal:
    """Return a distance in half dollars."""
    return Decimal(rng.randint(2 * low, 2 * high)) / 2


def make_bars(rng: random.Random, sessions: list[tuple[int, int]], daily: bool, volumes: bool) -> list[Bar]:
    """Return bars that wander around 100, with gaps."""
    bars, price = [], 100
    for opened, closed in sessions:
        minutes = [*range(6), *range(384, 390)]
        spans = [(opened, closed)] if daily else [(opened + 60 * m, opened + 60 * (m + 1)) for m in minutes]
        for n, (start, end) in enumerate(spans):
            first = max(price + rng.choice([0, 0, 0, 1, -1, 2, -2, 4, -4]), 40)
            close = first + rng.randint(-3, 3)
            high, low = max(first, close) + rng.randint(0, 4), min(first, close) - rng.randint(0, 4)
            volume = rng.choice([50, 80, 130, 300, 2000]) if volumes else None
            values = [Decimal(v) for v in (first, high, low, close)]
            bars.append(Bar(start, end, *values, volume, first=n == 0, last=end == closed))
            price = close
    return bars


class Author:
    """Writes one program; ``last`` is the price known when an order is written."""

    def __init__(self, rng: random.Random, *, daily: bool, volumes: bool, wild: bool = False) -> None:
        """Begin; all that is random comes from ``rng``. A ``wild`` program is none that paper can follow."""
        self.rng = rng
        self.wild = wild
        self.daily, self.volumes = daily, volumes
        self.sessions = [session_times(date) for date in (SESSIONS if daily else SESSIONS[:3])]
        self.bars = make_bars(self.rng, self.sessions, daily, volumes)
        self.entries: list[tuple[int, Line, Any]] = []
        self.names: list[tuple[str, str]] = []

    def write(self) -> World:
        """Return the program."""
        times = sorted({b.start for b in self.bars[1:]} | {b.end for b in self.bars[:-1]})
        if self.daily:
            times += [opened + 3600 for opened, _ in self.sessions[1:]]
        chosen = sorted(self.rng.choice(times) for _ in range(16))
        for n, now in enumerate(chosen):
            if n > 3 and self.rng.random() < 0.2:
                self.change(now)
            else:
                self.order(f"o{n}", n + 1, now)
        return World(self.bars, self.sessions, self.entries, Decimal("0.1") if self.volumes else None, self.daily)

    def price(self, now: int) -> Decimal:
        """Return the last price known."""
        return [b.close for b in self.bars if b.end <= now][-1]

    def change(self, now: int) -> None:
        """Cancel or replace an order."""
        if self.wild and self.rng.random() < 0.3:
            verb = self.rng.choice(["halt", "reduce", "resume", "resume", "flatten"])
            self.entries.append((now, {"at": text(now), verb: {"reason": "a wild program"}}, None))
            return
        name, kind = self.rng.choice(self.names)
        if self.wild:
            name += self.rng.choice(["", "", "-tp", "-sl"])
        if self.rng.random() < 0.4:
            self.entries.append((now, {"at": text(now), "cancel": name}, ("cancel", name)))
            return
        body: Line = {"id": name}
        qty = self.rng.choice([None, 5, 15, 25])
        px = self.price(now) + half(self.rng, -5, 5)
        limit = px if kind == "limit" else None
        stop = px if kind == "stop" and not self.volumes else None
        if qty is None and limit is None and stop is None:
            qty = 10
        body |= {} if qty is None else {"qty": qty}
        body |= {} if limit is None else {"limit_px": float(limit)}
        body |= {} if stop is None else {"stop_px": float(stop)}
        self.entries.append((now, {"at": text(now), "replace": body}, ("replace", name, qty, limit, stop)))

    def order(self, name: str, number: int, now: int) -> None:
        """Submit an order of some kind."""
        rng, last = self.rng, self.price(now)
        side = rng.choice([BUY, SELL])
        kind = rng.choice(KINDS)
        body: Line = {
            "id": name,
            "symbol": "AAA",
            "side": "buy" if side > 0 else "sell",
            "qty": rng.choice([5, 10, 20]),
        }
        order = Order(name=name, number=number, side=side, qty=body["qty"], kind=kind, tif="", arrived=now)
        self.prices(body, order, last)
        order.tif = self.tif(body, order, now)
        if order.tif in ("day", "gtc"):
            self.extras(body, order, last)
        body |= {"type": order.kind, "tif": order.tif}
        self.entries.append((now, {"at": text(now), "submit": body}, order))
        self.names.append((name, kind if order.bracket is None else "bracket"))

    def prices(self, body: Line, order: Order, last: Decimal) -> None:
        """Give it the prices of its type."""
        rng = self.rng
        if order.kind in ("limit", "take_profit", "stop_limit", "limit_if_touched"):
            order.limit = last + half(rng, -5, 5)
            body["limit_px"] = float(order.limit)
        if order.kind in ("stop", "stop_limit", "market_if_touched", "limit_if_touched"):
            order.stop = last + half(rng, -4, 4)
            body["stop_px"] = float(order.stop)
        if order.kind == "trailing_stop":
            order.percent = rng.random() < 0.5
            order.trail = Decimal(rng.choice(["2", "5", "2.5"])) if order.percent else half(rng, 1, 4)
            body["trail_percent" if order.percent else "trail_amount"] = float(order.trail)
            if rng.random() < 0.4:
                order.activation = last - order.side * half(rng, 1, 4)
                body["activation_px"] = float(order.activation)

    def tif(self, body: Line, order: Order, now: int) -> str:
        """Return a time in force that its type takes, at a time that can mean only one thing."""
        rng = self.rng
        opened, closed = next(s for s in self.sessions if now < s[1])
        before = now <= opened
        if order.kind in ("market_on_open", "market_on_close"):
            if order.kind == "market_on_open" and not before:
                order.kind = "market_on_close"
            return "opg" if order.kind == "market_on_open" else "cls"
        choices = ["day", "gtc", "gtd"]
        if order.kind in ("market", "limit"):
            choices += ["ioc", "fok"] if not self.daily or before else []
            choices += [*(["opg"] if before else []), *([] if self.volumes else ["cls"])]
        chosen = rng.choice(choices)
        if chosen == "gtd":
            ends = [b.end for b in self.bars if b.end > now]
            order.expires = rng.choice(ends[:6]) - rng.choice([0, 1])
            if order.expires <= now:
                order.expires = ends[0]
            body["expire_at"] = text(order.expires)
        del closed
        return chosen

    def extras(self, body: Line, order: Order, last: Decimal) -> None:
        """Make it one of a group, the entry of a bracket, or post-only."""
        chance = self.rng.random()
        if chance < 0.35:
            order.group = body["oco_group"] = self.rng.choice(["g", "h"])
        elif chance < 0.7 and self.wild:
            body["bracket"] = self.exits(order, last)
        elif chance < 0.7 and not self.volumes and order.side > 0 and order.kind in ("market", "limit", "stop"):
            entry = order.limit or order.stop or last
            target, stop = max(entry, last) + half(self.rng, 1, 4), min(entry, last) - half(self.rng, 1, 4)
            order.bracket = (target, stop)
            body["bracket"] = {"take_profit_px": float(target), "stop_px": float(stop)}
        elif chance < 0.85 and order.kind == "limit" and order.limit != last:
            order.post_only = body["post_only"] = True

    def exits(self, order: Order, last: Decimal) -> Line:
        """Return exits of either side, with a stop or a trail, or one of them alone."""
        entry = order.limit or order.stop or last
        far = [max(entry, last) + half(self.rng, 1, 3), min(entry, last) - half(self.rng, 1, 3)]
        target, stop = far if order.side > 0 else reversed(far)
        kind = self.rng.choice(["both", "target", "stop", "trail", "percent"])
        found: Line = {} if kind in ("target", "trail") else {"stop_px": float(stop)}
        if kind in ("trail", "percent"):
            found = {"trail_amount": 1.5} if kind == "trail" else {"trail_percent": 2.5}
        return found if kind == "stop" else found | {"take_profit_px": float(target)}


KINDS = (
    "market",
    "limit",
    "limit",
    "stop",
    "stop_limit",
    "trailing_stop",
    "trailing_stop",
    "market_if_touched",
    "limit_if_touched",
    "take_profit",
    "market_on_open",
    "market_on_close",
)


def opening(qty: int = HELD) -> Line:
    """Return the line that buys what every program holds."""
    return {"at": None, "submit": {"id": "held", "symbol": "AAA", "side": "buy", "qty": qty, "type": "market"}}


def quiet(world: World) -> Bar:
    """Return the session before the program's: one bar of 100 in which the shares are bought."""
    opened, closed = session_times("2024-03-04")
    px = Decimal(100)
    return Bar(opened, closed, px, px, px, px, 100 * HELD if world.participation else None, first=True, last=True)


def bars_file(world: World) -> str:
    """Return the bars as a file; daily bars are dated."""
    rows = ["ts,symbol,open,high,low,close" + (",volume" if world.participation else "")]
    for bar in [*held_bars(world), *world.bars]:
        stamp = text(bar.start)[:10] if world.daily else text(bar.start)
        cells = [stamp, "AAA", bar.open, bar.high, bar.low, bar.close, *([] if bar.volume is None else [bar.volume])]
        rows.append(",".join(map(str, cells)))
    return "\n".join(rows)


def held_bars(world: World) -> list[Bar]:
    """Return the session before as the file has it."""
    whole = quiet(world)
    if world.daily:
        return [whole]
    return [msgspec.structs.replace(whole, end=whole.start + 60)]


class Ticks(msgspec.Struct):
    """A program on ticks: (time, symbol, row) of the tape, all at different times, and what is said when."""

    rows: list[tuple[str, str, tuple[object, ...]]]
    script: list[Line]


def write_ticks(rng: random.Random, *, with_quotes: bool, with_prints: bool, held: int = 5000) -> Ticks:
    """Return a tape that wanders around 100 in steps of cents, and orders of every kind over it."""
    opened, _ = session_times(SESSIONS[0])
    rows: list[tuple[str, str, tuple[object, ...]]] = []
    script: list[Line] = []
    mid = Decimal(100)
    names: list[str] = []
    for n in range(120):
        now = opened + 10 * n
        mid += Decimal(rng.choice([0, 0, 0, 1, -1, 2, -2, 10, -10])) / 100
        quote = with_quotes and (not with_prints or n < 2 or rng.random() < 0.6)
        size = 1_000_000 if n < 4 else 100 * rng.randint(1, 9)
        if quote:
            bid, ask = mid - Decimal("0.01"), mid + Decimal("0.01")
            sizes = (size, 1_000_000 if n < 4 else 100 * rng.randint(1, 9))
            rows.append((stamp(now), "AAA", (bid, sizes[0], ask, sizes[1])))
        else:
            rows.append((stamp(now), "AAA", (mid, size)))
        if n == 1:
            body = {"id": "held", "symbol": "AAA", "side": "buy", "qty": held, "type": "market", "tif": "gtc"}
            script.append({"at": stamp(now + 1), "submit": body})
        elif n > 6 and rng.random() < 0.25:
            script.append(tick_line(rng, f"o{n}", stamp(now + rng.randint(1, 9)), mid, names))
    return Ticks(rows, script)


def stamp(when: int) -> str:
    """Return a time as the tables have it."""
    return text(when).replace("Z", ".000Z")


def tick_line(rng: random.Random, name: str, at: str, mid: Decimal, names: list[str]) -> Line:
    """Return an order, or a cancel or replace of one."""
    if names and rng.random() < 0.2:
        target = rng.choice(names)
        if rng.random() < 0.5:
            return {"at": at, "cancel": target}
        return {"at": at, "replace": {"id": target, "qty": 100 * rng.randint(1, 12)}}
    side = rng.choice([BUY, SELL])
    kind = rng.choice(KINDS[:10])
    body: Line = {"id": name, "symbol": "AAA", "side": "buy" if side > 0 else "sell", "qty": 100 * rng.randint(1, 12)}
    body |= {"type": kind, "tif": "day"}
    cents = Decimal(rng.randint(-12, 12)) / 100
    if kind in ("limit", "take_profit", "stop_limit", "limit_if_touched"):
        body["limit_px"] = float(mid + cents)
    if kind in ("stop", "stop_limit", "market_if_touched", "limit_if_touched"):
        body["stop_px"] = float(mid + Decimal(rng.randint(-12, 12)) / 100)
    if kind == "trailing_stop":
        body["trail_amount"] = float(Decimal(rng.randint(1, 12)) / 100)
    if kind in ("market", "limit") and rng.random() < 0.3:
        body["tif"] = rng.choice(["ioc", "fok"])
    elif kind == "limit" and rng.random() < 0.3:
        body["display_qty"] = 100
    elif kind == "limit" and rng.random() < 0.2:
        body["post_only"] = True
    elif rng.random() < 0.3:
        body["oco_group"] = rng.choice(["g", "h"])
    elif kind in ("market", "limit") and side > 0 and rng.random() < 0.5:
        entry = mid if kind == "market" else mid + cents
        target, stop = max(mid, entry) + Decimal("0.1"), min(mid, entry) - Decimal("0.1")
        body["bracket"] = {"take_profit_px": float(target), "stop_px": float(stop)}
    names.append(name)
    return {"at": at, "submit": body}
