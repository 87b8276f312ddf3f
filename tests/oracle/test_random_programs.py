"""Random scripts on random daily bars, against a second simulator of sixty lines that shares no code with the first.

It reads the semantics for one symbol, no costs, long only: arrival, the path inside the bar, touch, gaps, sales before
purchases at an open, purchases cut to cash, DAY and GTC. Whatever the two disagree on is a bug in one of them.
"""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oracle.sheet import DAYS, Line, daily, play

Bar = tuple[int, int, int, int]
CASH = 3000
TIMES = ("", "T14:30:00Z", "T16:00:00Z", "T21:00:00Z")
"""Before the open, at it, in mid-session, at the close (which is after the bar)."""
AT_OPEN, AT_CLOSE = 1, 3


class Working(msgspec.Struct):
    """An order as the second simulator sees it."""

    name: str
    side: int
    qty: int
    kind: str
    px: int
    day: bool
    arrived: tuple[int, int]
    status: str = "new"
    got: int = 0


class Paper:
    """Cash, shares and orders of one account."""

    def __init__(self, cash: int) -> None:
        """Begin with cash alone."""
        self.cash = cash
        self.held = 0
        self.orders: list[Working] = []
        self.fills: list[tuple[str, int, int, str]] = []

    def submit(self, order: Working) -> None:
        """Take an order; more than what is held and not being sold is denied."""
        selling = sum(o.qty - o.got for o in self.orders if o.status == "new" and o.side < 0)
        if order.side < 0 and order.qty > self.held - selling:
            order.status = "denied"
        self.orders.append(order)

    def cancel(self, name: str) -> None:
        """Cancel what works."""
        for order in self.orders:
            if order.name == name and order.status == "new":
                order.status = "canceled"

    def bar(self, session: int, bar: Bar, date: str) -> None:
        """Walk a session's bar, then expire what is for the day."""
        at_open, inside = [], []
        for n, order in enumerate(self.orders):
            if order.status != "new" or order.arrived > (session, AT_OPEN):
                continue
            when = meets(order, bar)
            if when == 0:
                at_open.append((order.side, n))
            elif when is not None:
                inside.append((when, n))
        for _, n in sorted(at_open):
            self.fill(self.orders[n], bar[0], date)
        for _, n in sorted(inside):
            self.fill(self.orders[n], self.orders[n].px, date)
        for order in self.orders:
            if order.status == "new" and order.day and order.arrived < (session, AT_CLOSE):
                order.status = "expired"

    def fill(self, order: Working, px: int, date: str) -> None:
        """Fill as much as cash or shares allow; what they do not is cancelled."""
        qty = min(order.qty, self.held if order.side < 0 else self.cash // px)
        if qty:
            self.cash -= order.side * qty * px
            self.held += order.side * qty
            order.got = qty
            self.fills.append((order.name, qty, px, date))
        order.status = "filled" if qty == order.qty else "canceled"


def meets(order: Working, bar: Bar) -> float | None:
    """Return when the path comes to the order: 0 at the open, then by the way walked; None if it does not.

    The path goes to the nearer extreme, then to the other; a tie goes to the low first, which hurts who is long.
    """
    opened, high, low, _ = bar
    if order.kind == "market":
        return 0
    up = (order.kind == "stop") == (order.side > 0)  # the price must rise to it
    if (opened >= order.px) if up else (opened <= order.px):
        return 0
    if not (high >= order.px if up else low <= order.px):
        return None
    high_first = high - opened < opened - low
    first, second = (high, low) if high_first else (low, high)
    if up == high_first:
        return abs(order.px - opened)
    return abs(first - opened) + abs(order.px - first) if second != opened else None


def random_program(seed: int) -> tuple[list[Bar], list[Line], list[tuple[tuple[int, int], Any]]]:
    """Return bars, a script, and the same script for the second simulator, in the order of time."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    bars = []
    price = 100
    for _ in DAYS:
        opened = price + rng.randint(-4, 4)
        close = opened + rng.randint(-4, 4)
        bars.append((opened, max(opened, close) + rng.randint(0, 5), min(opened, close) - rng.randint(0, 5), close))
        price = close
    entries: list[tuple[tuple[int, int], Line, Any]] = []
    for n in range(12):
        when = (rng.randrange(len(DAYS)), rng.randrange(len(TIMES)))
        at = DAYS[when[0]] + TIMES[when[1]]
        name = f"o{n}"
        if n > 3 and rng.random() < 0.15:
            target = f"o{rng.randrange(n)}"
            entries.append((when, {"at": at, "cancel": target}, target))
            continue
        kind = rng.choice(["market", "market", "limit", "limit", "stop"])
        side = rng.choice(["buy", "buy", "sell"])
        px = price + rng.randint(-8, 8)
        qty = rng.choice([5, 10, 20, 40])
        day = rng.random() < 0.5
        body = {"id": name, "symbol": "AAA", "side": side, "qty": qty, "type": kind, "tif": "day" if day else "gtc"}
        if kind != "market":
            body[f"{kind}_px"] = px
        paper = Working(name, 1 if side == "buy" else -1, qty, kind, px, day, when)
        entries.append((when, {"at": at, "submit": body}, paper))
    entries.sort(key=lambda entry: entry[0])
    return bars, [line for _, line, _ in entries], [(when, what) for when, _, what in entries]


def on_paper(bars: list[Bar], program: list[tuple[tuple[int, int], Any]]) -> tuple[Paper, list[tuple[int, int]]]:
    """Run the second simulator; return it and (cash, equity) at every close."""
    paper = Paper(CASH)
    closes = []
    for session, bar in enumerate(bars):
        for stage in range(len(TIMES)):
            if stage == AT_CLOSE:
                paper.bar(session, bar, DAYS[session])
                closes.append((paper.cash, paper.cash + paper.held * bar[3]))
            for when, what in program:
                if when != (session, stage):
                    continue
                if isinstance(what, str):
                    paper.cancel(what)
                else:
                    paper.submit(what)
    return paper, closes


@pytest.mark.parametrize("seed", range(40))
def test_two_simulators_agree(tmp_path: Path, seed: int) -> None:
    """Every fill, every status, cash and equity at every close."""
    bars, script, program = random_program(seed)
    paper, closes = on_paper(bars, program)
    run = play(tmp_path, daily(*bars), script, sets=[f"portfolio.cash={CASH}"])
    names = {row["order_id"]: row["client_order_id"] for row in run.table("orders")}
    fills = [(names[f["order_id"]], int(f["qty"]), Decimal(f["price"]), f["ts"][:10]) for f in run.table("fills")]
    assert fills == paper.fills
    assert {r["client_order_id"]: r["status"] for r in run.table("orders")} == {o.name: o.status for o in paper.orders}
    equity = [(Decimal(r["cash"]), Decimal(r["equity"])) for r in run.table("equity")[1:]]
    assert equity == closes


def test_the_programs_are_worth_running() -> None:
    """They fill at opens and inside, cut, cancel, expire and deny; else agreement would mean little."""
    seen: dict[str, int] = {}
    for seed in range(40):
        bars, _, program = random_program(seed)
        for order in on_paper(bars, program)[0].orders:
            key = "cut" if order.status == "canceled" and order.got else order.status
            seen[key] = seen.get(key, 0) + 1
    assert all(seen.get(key, 0) >= 5 for key in ("filled", "canceled", "cut", "expired", "denied", "new")), seen
