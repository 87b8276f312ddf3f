"""An auditor of finished runs: what must hold of every run, whatever was traded, recomputed from its events and tables.

It knows the surface (events.jsonl, the CSV tables) and the rules, nothing of the program.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from daemon.system.verify import verify_path
from oracle.sheet import Row, Run, exact

FILLS = ("OrderPartiallyFilled", "OrderFilled")
ENDS = {
    "OrderFilled": "filled",
    "OrderCanceled": "canceled",
    "OrderExpired": "expired",
    "OrderRejected": "rejected",
    "OrderDenied": "denied",
}
Event = dict[str, Any]


class Standing(msgspec.Struct):
    """An order as its events tell it."""

    side: int
    qty: Decimal
    limit: Decimal | None
    got: Decimal = Decimal(0)
    ended: str = ""
    parent: str = ""


def events_of(folder: Path) -> Iterator[Event]:
    """Yield the events of a run, numbers exact."""
    with (folder / "events.jsonl").open() as lines:
        for line in lines:
            yield json.loads(line, parse_float=Decimal, parse_int=Decimal)


def audit(run: Run) -> None:
    """Check a run's books, orders and links; raise ``AssertionError`` at the first thing that is wrong."""
    bad = [f"{check.name}: {check.detail}" for check in verify_path(run.folder).checks if not check.ok]
    assert bad == []
    events = list(events_of(run.folder))
    check_orders(run, events)
    check_postings(events)
    check_money(run, events)
    check_lots(run)


def check_orders(run: Run, events: Iterable[Event]) -> None:
    """No fill beyond quantity or limit, none behind the end; exits never for more than their entry has."""
    orders: dict[str, Standing] = {}
    frame = Decimal(0)
    for event in events:
        kind = event["type"]
        if event["seq"] != frame:
            check_exits(orders)
            frame = event["seq"]
        if kind in ("OrderAccepted", "OrderRejected", "OrderDenied"):
            order = event["order"]
            name = order["client_order_id"]
            if kind == "OrderDenied" and name in orders:
                continue  # a used id, or a replace that was refused
            assert name not in orders, name
            parent = (order["terms"] or {}).get("bracket_of") or ""
            orders[name] = Standing(int(order["side"]), order["qty"], order["limit_px"], parent=parent)
            orders[name].ended = ENDS.get(kind, "")
            continue
        name = event.get("client_order_id", "")
        if name not in orders or kind in ("OrderCancelRejected", "OrderCancelRequested", "OrderReplaceRequested"):
            continue
        standing = orders[name]
        assert not standing.ended, f"{kind} of {name}, which is {standing.ended}"
        follow(standing, event)
    check_exits(orders)
    shown = {row["client_order_id"]: (row["status"], Decimal(row["cum_qty"] or 0)) for row in run.table("orders")}
    for name, standing in orders.items():
        status = standing.ended or ("partially_filled" if standing.got else "new")
        assert shown[name] == (status, standing.got), name


def follow(standing: Standing, event: Event) -> None:
    """Take over what an event says of an order."""
    kind = event["type"]
    if kind == "OrderReplaced":
        assert event["qty"] > standing.got
        standing.qty, standing.limit = event["qty"], event["limit_px"]
    elif kind in FILLS:
        px, qty, side = event["last_px"], event["last_qty"], event["side"]
        standing.got += qty
        assert qty > 0
        assert side == standing.side
        assert event["cum_qty"] == standing.got
        assert standing.got + event["leaves_qty"] == standing.qty
        assert standing.limit is None or side * (standing.limit - px) >= 0, event
        parts = event["spread"] + event["slippage"] + event["impact"]
        assert parts == exact(qty * side * (px - event["ref_px"])), event
        assert (kind == "OrderFilled") is (standing.got == standing.qty)
    standing.ended = ENDS.get(kind, "")


def check_exits(orders: dict[str, Standing]) -> None:
    """After every input: what exits have sold and may still sell is at most what their entry bought."""
    families: dict[str, list[Standing]] = defaultdict(list)
    for standing in orders.values():
        if standing.parent:
            families[standing.parent].append(standing)
    for parent, exits in families.items():
        entry = orders[parent]
        sold = sum((child.got for child in exits), Decimal(0))
        assert all(child.side == -entry.side for child in exits)
        assert sold <= entry.got, parent
        for child in exits:
            assert child.ended or sold + child.qty - child.got <= entry.got, parent


def check_postings(events: Iterable[Event]) -> None:
    """Every booking sums to zero, and so do all of them."""
    total = Decimal(0)
    for event in events:
        rows = event.get("postings") or []
        balance = sum((amount for _, amount in rows), Decimal(0))
        assert balance == 0, event
        total += balance
    assert total == 0


def check_money(run: Run, events: Iterable[Event]) -> None:
    """Cash is what was paid in, less what fills cost with their fees, less what borrowing cost."""
    cash = Decimal(0)
    for event in events:
        if event["type"] == "CashFlowed":
            cash += event["amount"]
        elif event["type"] in FILLS:
            cash -= exact(event["side"] * event["last_qty"] * event["last_px"])
            cash -= event["commission"] + event["regulatory"]
        elif event["type"] == "FinancingCharged":
            cash += sum((amount for account, amount in event["postings"] if account == "cash"), Decimal(0))
    last = run.table("equity")[-1]
    assert Decimal(last["cash"]) == cash
    assert Decimal(last["equity"]) == cash + Decimal(last["net"])


def check_lots(run: Run) -> None:
    """First-in-first-out and average cost agree on realised and unrealised together, by symbol."""
    fills: dict[str, list[Row]] = defaultdict(list)
    for row in run.table("fills"):
        fills[row["symbol"]].append(row)
    positions = {row["symbol"]: row for row in run.table("positions")}
    for symbol, rows in fills.items():
        if symbol not in positions:
            continue
        shown = positions[symbol]
        realized, held, lots_cost = first_in_first_out(rows)
        average, qty = Decimal(shown["avg_px"] or 0), Decimal(shown["qty"])
        assert held == qty
        # Realised + held x market - cost: whatever the market is, the rest of both must be equal.
        rounding = Decimal("0.00000001") * (len(rows) + abs(qty))
        assert abs((realized - lots_cost) - (Decimal(shown["realized_pnl"]) - qty * average)) <= rounding, symbol
        if shown["market_px"]:
            market = Decimal(shown["market_px"])
            assert abs(Decimal(shown["unrealized_pnl"]) - qty * (market - average)) <= rounding, symbol


def first_in_first_out(rows: Iterable[Row]) -> tuple[Decimal, Decimal, Decimal]:
    """Return what fills realised by lots, what is held, and what the open lots cost."""
    lots: list[list[Decimal]] = []
    realized = Decimal(0)
    for row in rows:
        qty = Decimal(row["qty"]) * (1 if row["side"] == "buy" else -1)
        price = Decimal(row["price"])
        while qty and lots and lots[0][0] * qty < 0:
            part = min(abs(lots[0][0]), abs(qty)) * (1 if qty > 0 else -1)
            realized += -part * (price - lots[0][1])
            lots[0][0] += part
            qty -= part
            if not lots[0][0]:
                lots.pop(0)
        if qty:
            lots.append([qty, price])
    held = sum((lot[0] for lot in lots), Decimal(0))
    return realized, held, sum((lot[0] * lot[1] for lot in lots), Decimal(0))


# -- what the market gave ----------------------------------------------------------------------------------------------


def check_participation(run: Run, budgets: dict[str, int]) -> None:
    """Fills known at one instant take at most what its bar allows; ``budgets`` by time."""
    taken: dict[str, Decimal] = defaultdict(Decimal)
    for row in run.table("fills"):
        taken[row["ts"][:19]] += Decimal(row["qty"])
    for ts, qty in taken.items():
        assert qty <= budgets[ts], ts


def check_tape(run: Run, tape: Path, participation: Decimal | None = None) -> None:
    """No displayed size and no print is used twice, and nothing trades where neither is.

    ``tape`` is the folder of quotes.csv and trades.csv, whose times are all different.
    """
    taken: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for row in run.table("fills"):
        taken[row["ts"], row["px_source"], row["side"]] += Decimal(row["qty"])
    for ts, size in prints(tape):
        given = sum((taken.pop((ts, "trade", side), Decimal(0)) for side in ("buy", "sell")), Decimal(0))
        assert given <= (size if participation is None else int(size * participation)), ts
    used = {"buy": (Decimal(0), Decimal(0)), "sell": (Decimal(0), Decimal(0))}
    for ts, sides in quotes(tape):
        for side, (price, size) in sides.items():
            at, gone = used[side]
            gone = gone if price == at else Decimal(0)
            got = taken.pop((ts, "quote", side), Decimal(0))
            assert not got or got <= max(size - gone, Decimal(0)), (ts, side)
            used[side] = (price, gone + got)
    assert dict(taken) == {}


def prints(tape: Path) -> Iterator[tuple[str, Decimal]]:
    """Yield (time, size) of the prints."""
    if (tape / "trades.csv").exists():
        with (tape / "trades.csv").open(newline="") as handle:
            for row in csv.DictReader(handle):
                yield row["ts"], Decimal(row["size"])


def quotes(tape: Path) -> Iterator[tuple[str, dict[str, tuple[Decimal, Decimal]]]]:
    """Yield (time, what a buy and a sell meet: price and size) of the quotes."""
    if (tape / "quotes.csv").exists():
        with (tape / "quotes.csv").open(newline="") as handle:
            for row in csv.DictReader(handle):
                ask, bid = ((Decimal(row[f"{s}_px"]), Decimal(row[f"{s}_size"])) for s in ("ask", "bid"))
                yield row["ts"], {"buy": ask, "sell": bid}
