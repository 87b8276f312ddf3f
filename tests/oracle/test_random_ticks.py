"""Random programs of every order type on random quotes and on random prints, against the second simulator.

Fills and statuses are equal; whatever the two disagree on is a bug in one of them.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.independent_ticks import Order, Ticks
from oracle.programs import Ticks as Program
from oracle.programs import stamp, write_ticks
from oracle.sheet import Line
from oracle.tape import play_tape

HELD = 100_000


def program(seed: int, kind: str) -> Program:
    """Return a program on one kind of ticks; post-only orders and icebergs are the tables' business."""
    rng = random.Random(f"{kind}-{seed}")  # noqa: S311 - repeatable on purpose
    found = write_ticks(rng, with_quotes=kind == "quotes", with_prints=kind == "prints", held=HELD)
    for line in found.script:
        line.get("submit", {}).pop("post_only", None)
        line.get("submit", {}).pop("display_qty", None)
    return found


def seconds(when: str) -> int:
    """Return a time in whole seconds."""
    return int(datetime.fromisoformat(when).timestamp())


def number(body: Line, key: str) -> Decimal | None:
    """Return a price as it was written."""
    return None if body.get(key) is None else Decimal(str(body[key]))


def order_of(body: Line, at: int) -> Order:
    """Return a script's order for the second simulator."""
    bracket = body.get("bracket")
    return Order(
        name=body["id"],
        side=1 if body["side"] == "buy" else -1,
        qty=body["qty"],
        kind=body["type"],
        tif=body["tif"],
        due=at,
        limit=number(body, "limit_px"),
        stop=number(body, "stop_px"),
        trail=number(body, "trail_amount"),
        group=body.get("oco_group", ""),
        bracket=None
        if bracket is None
        else (Decimal(str(bracket["take_profit_px"])), Decimal(str(bracket["stop_px"]))),
    )


def on_paper(found: Program) -> Ticks:
    """Run the second simulator."""
    paper = Ticks()
    ticks: list[tuple[int, int, Any]] = [(seconds(ts), 0, row) for ts, _, row in found.rows]
    said: list[tuple[int, int, Any]] = [(seconds(line["at"]), 1, line) for line in found.script]
    for at, _, what in sorted([*ticks, *said], key=lambda entry: entry[:2]):
        if isinstance(what, dict):
            say(paper, what, at)
        elif len(what) == 4:
            paper.quote(at, *what)
        else:
            paper.print(at, *what)
    paper.close()
    return paper


def say(paper: Ticks, line: Line, at: int) -> None:
    """Submit, cancel or replace on paper."""
    if "submit" in line:
        paper.submit(order_of(line["submit"], at))
    elif "cancel" in line:
        paper.cancel(line["cancel"])
    else:
        paper.replace(line["replace"]["id"], line["replace"]["qty"])


def check(folder: Path, seed: int, kind: str) -> None:
    """Compare every fill and status."""
    paper = on_paper(program(seed, kind))
    found = program(seed, kind)
    run = play_tape(folder, found.rows, found.script)
    names = {row["order_id"]: row["client_order_id"] for row in run.table("orders")}
    fills = [(names[f["order_id"]], int(f["qty"]), Decimal(f["price"]), f["ts"]) for f in run.table("fills")]
    assert fills == [(name, qty, px, stamp(at)) for name, qty, px, at in paper.fills]
    statuses = {r["client_order_id"]: (r["status"], int(r["cum_qty"])) for r in run.table("orders")}
    assert statuses == {o.name: (o.status, o.got) for o in paper.orders}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["quotes", "prints"])
def test_two_simulators_agree_on_ticks(tmp_path: Path, seed: int, kind: str) -> None:
    """A dozen programs of each kind."""
    check(tmp_path, seed, kind)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12, 212))
@pytest.mark.parametrize("kind", ["quotes", "prints"])
def test_two_simulators_agree_on_ticks_at_length(tmp_path: Path, seed: int, kind: str) -> None:
    """The same, hundreds of times."""
    check(tmp_path, seed, kind)


def test_the_programs_are_worth_running() -> None:
    """Every type fills and every end is reached."""
    filled: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for seed in range(12):
        for kind in ("quotes", "prints"):
            for order in on_paper(program(seed, kind)).orders:
                filled[order.kind] += order.got > 0
                ended[order.status] += 1
                ended["child"] += bool(order.parent and order.got)
                ended["group"] += bool(order.group and order.status == "canceled")
    kinds = ("market", "limit", "stop", "stop_limit", "trailing_stop", "market_if_touched", "limit_if_touched")
    assert all(filled[kind] >= 4 for kind in (*kinds, "take_profit")), filled
    assert all(ended[end] >= 4 for end in ("filled", "canceled", "expired", "child", "group")), ended
