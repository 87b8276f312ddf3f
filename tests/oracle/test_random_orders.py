"""Random programs of every order type on random bars, against the second simulator.

Fills, cash and statuses are equal; whatever the two disagree on is a bug in one of them. A dozen programs of each kind
run always, hundreds with ``-m long``.
"""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.independent import BUY, Order, Simulator
from oracle.programs import CASH, HELD, KINDS, Author, World, bars_file, opening, quiet, text
from oracle.sheet import play


def on_paper(world: World) -> tuple[Simulator, list[Decimal]]:
    """Run the second simulator; return it and the cash at every close."""
    paper = Simulator(CASH, world.participation)
    paper.submit(Order("held", 0, BUY, HELD, "market", "gtc", 0), world.sessions[0][1])
    paper.bar(quiet(world))
    closes: list[Decimal] = []
    waiting = list(world.commands)
    events = sorted({b.end for b in world.bars} | {c[0] for c in waiting} | {s[1] for s in world.sessions})
    for now in events:
        for bar in world.bars:
            if bar.end == now:
                paper.bar(bar)
        if any(now == closed for _, closed in world.sessions):
            paper.close_session(now)
            closes.append(paper.cash)
        while waiting and waiting[0][0] == now:
            _, _, what = waiting.pop(0)
            say(paper, what, now, next((s[1] for s in world.sessions if now < s[1]), 0))
    return paper, closes


def say(paper: Simulator, what: Any, now: int, close: int) -> None:
    """Submit, cancel or replace on paper."""
    if isinstance(what, Order):
        paper.submit(what, close)
    elif what[0] == "cancel":
        paper.cancel(what[1])
    else:
        paper.replace(what[1], now, *what[2:])


def settled(seed: int, *, daily: bool, volumes: bool) -> tuple[World, Simulator, list[Decimal]]:
    """Return a program and what it leads to on paper.

    One in which two orders that end each other meet one price is replaced by the next: the account then gets the
    worse, which depends on costs; that is for the tables.
    """
    for attempt in range(100):
        world, again = (write(f"{seed}-{attempt}", daily=daily, volumes=volumes) for _ in range(2))
        paper, closes = on_paper(again)
        if not paper.torn:
            return world, paper, closes
    message = "a hundred programs were torn"
    raise AssertionError(message)


def write(seed: str, *, daily: bool, volumes: bool) -> World:
    """Return a program."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return Author(rng, daily=daily, volumes=volumes).write()


def check(folder: Path, seed: int, *, daily: bool, volumes: bool) -> None:
    """Compare every fill, status and close."""
    world, paper, closes = settled(seed, daily=daily, volumes=volumes)
    script = [opening(), *(line for _, line, _ in world.commands)]
    sets = [f"portfolio.cash={CASH}", *(["broker.participation=0.1"] if volumes else [])]
    run = play(folder, bars_file(world), script, sets=sets)
    rows = {row["order_id"]: row for row in run.table("orders")}
    fills = [
        (rows[f["order_id"]]["client_order_id"], int(f["qty"]), Decimal(f["price"]), f["ts"][:19])
        for f in run.table("fills")
    ]
    expected = [(name, qty, px, text(ts)[:19]) for name, qty, px, ts in paper.fills]
    assert fills[1:] == expected[1:]
    statuses = {r["client_order_id"]: (r["status"], int(r["cum_qty"])) for r in rows.values()}
    assert statuses == {o.name: (o.status, o.got) for o in paper.orders}
    assert [Decimal(r["cash"]) for r in run.table("equity")[2:]] == closes


KIND_OF_WORLD = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("daily", "volumes"), KIND_OF_WORLD, ids=["minutes", "daily", "minutes-volume", "daily-volume"]
)
def test_two_simulators_agree(tmp_path: Path, seed: int, daily: bool, volumes: bool) -> None:
    """On minute bars and on daily ones, with and without volumes that bound what fills."""
    check(tmp_path, seed, daily=daily, volumes=volumes)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12, 312))
@pytest.mark.parametrize(
    ("daily", "volumes"), KIND_OF_WORLD, ids=["minutes", "daily", "minutes-volume", "daily-volume"]
)
def test_two_simulators_agree_at_length(tmp_path: Path, seed: int, daily: bool, volumes: bool) -> None:
    """The same, hundreds of times."""
    check(tmp_path, seed, daily=daily, volumes=volumes)


def test_the_programs_are_worth_running() -> None:
    """Every type fills, every status is reached, exits of brackets and groups end each other."""
    filled: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for seed in range(12):
        for daily, volumes in KIND_OF_WORLD:
            _, paper, _ = settled(seed, daily=daily, volumes=volumes)
            for order in paper.orders:
                ended[order.status] += 1
                filled[order.kind] += order.got > 0
                ended["child"] += bool(order.parent and order.got)
                ended["group"] += bool(order.group and order.status == "canceled")
    assert all(filled[kind] >= 4 for kind in KINDS), filled
    assert all(ended[s] >= 4 for s in ("filled", "canceled", "expired", "rejected", "new", "child", "group")), ended
