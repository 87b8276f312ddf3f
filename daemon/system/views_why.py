"""``why``: one order's story, from the signal behind it to what it earned, out of the views.

Every part says what the events say, with their times and numbers; a part that an order does not have (an operator's has
no signal) is None or empty. The client puts it into words.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from actors.values.time import format_ts
from daemon.kernel.errors import OperatorError
from daemon.system.views_rows import Views, amount, fill_row, order_row, plain, prediction_row, trade_row

SCHEMA: Final = "tradingd.why/1"
_COSTS: Final = ("commission", "regulatory", "spread", "slippage", "impact")
_AMOUNTS: Final = frozenset(("qty", "cum_qty", "reserved", "limit_px", "stop_px", "level", "ref_px", "expected_cost"))
_LIFE: Final[dict[str, str]] = {
    "OrderDenied": "denied",
    "OrderAccepted": "accepted",
    "OrderRejected": "rejected",
    "OrderTriggered": "triggered",
    "OrderPartiallyFilled": "partially_filled",
    "OrderFilled": "filled",
    "OrderCanceled": "canceled",
    "OrderExpired": "expired",
    "OrderReplaced": "replaced",
    "OrderCancelRejected": "request_refused",
    "OrderCancelRequested": "cancel_requested",
    "OrderReplaceRequested": "replace_requested",
    "OrderRestated": "restated",
}
ALWAYS: Final = ("form", "duplicates", "trading state")
"""What the gate holds every order against; its checks by the names that ``ops/risk.md`` has for them, in order."""
REDUCTIONS: Final = ("collar", "own orders", "confidence")
"""What reduces risk besides. An order without a price or a signal has nothing there to be held against."""
ENTRIES: Final = (
    "blocks",
    "strategy",
    "restricted list",
    "halts",
    "price age",
    "end of the session",
    "day trades",
    "rates",
    "shares",
    "volume",
    "value",
    "unusual size",
    "collar",
    "walk of prices",
    "quotes",
    "own orders",
    "confidence",
    "short selling",
    "position",
    "places",
    "exposure",
    "sector",
    "correlation",
    "book",
    "value at risk",
    "heat",
    "cash",
)
"""What is held against an entry, which is what has cash reserved for it; limits that are off say nothing."""
CHAIN_MAX: Final = 50
"""Children, siblings, trades and refusals of one order that are told."""


def why(views: Views, name: str) -> dict[str, Any]:
    """Return the story of the order with this order id or client order id.

    Raises:
        OperatorError: there is no such order; ViewsError: the views cannot be read.
    """
    with views.reading() as (db, seq):
        row = find_order(db, name)
        if row is None:
            message = f"no order is called {name[:80]!r}"
            raise OperatorError(message, code="UNKNOWN_ORDER", remedy="see tradingctl orders --all")
        fills = db.execute(
            "SELECT * FROM fills WHERE client_order_id = ? ORDER BY n", (row["client_order_id"],)
        ).fetchall()
        if row["dup"]:
            fills = []
        entered, left = _trades(db, fills, "entry_exec_id"), _trades(db, fills, "exit_exec_id")
        return {
            "schema": SCHEMA,
            "as_of_seq": seq,
            "order": order_row(row) | {"portfolio": row["portfolio"], "purpose": row["purpose"]},
            "decision": _decision(db, row),
            "targets": _targets(db, row),
            "entry": _entry(db, row),
            "checks": _checks(db, row),
            "life": _life(db, row),
            "fills": [_fill(fill) for fill in fills],
            "costs": _costs(fills),
            "position_after": amount(fills[-1]["position"]) if fills else None,
            "cash_after": amount(fills[-1]["cash"]) if fills else None,
            "realized_pnl": amount(sum(fill["realized"] or 0 for fill in fills)) if fills else None,
            "trades_closed": left,
            "trades_opened": entered,
            "exit_reason": left[-1]["exit_reason"] if left else entered[-1]["exit_reason"] if entered else None,
            "parent": _parent(db, row),
            "siblings": _siblings(db, row),
            "children": _children(db, row),
        }


def find_order(db: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """Return the order with this client order id or order id; the client's own name comes first."""
    for where in ("client_order_id = ? AND dup = 0", "order_id = ? AND order_id <> ''"):
        row: sqlite3.Row | None = db.execute(f"SELECT * FROM orders WHERE {where}", (name,)).fetchone()  # noqa: S608 - ours
        if row is not None:
            return row
    return None


def _decision(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
    """Return what the strategy said of the symbol when it decided on this order, and whether it came true."""
    if not row["strategy"] or not row["decision"]:
        return None
    found = db.execute(
        "SELECT d.*, s.scores FROM decisions d LEFT JOIN scored s ON s.strategy = d.strategy"
        " AND s.decision = d.decision AND s.horizon = d.horizon WHERE d.strategy = ? AND d.decision = ? ORDER BY d.n",
        (row["strategy"], row["decision"]),
    )
    for decision in found:
        for cell in msgspec.json.decode(decision["cells"]):
            if cell[0] == row["symbol"]:
                scores = msgspec.json.decode(decision["scores"]) if decision["scores"] else {}
                told = prediction_row(decision, cell, scores.get(cell[0]))
                return told | {"strategy": row["strategy"], "decision": row["decision"], "reason": cell[6]}
    return None


_UNCUT: Final[tuple[Any, ...]] = (0.0, 0.0, 0.0, "")


def _targets(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
    """Return the weight the portfolio wanted on account of that decision, and what gates and sizing cut."""
    found = db.execute(
        "SELECT * FROM targets WHERE portfolio = ? AND strategy = ? AND decision = ?",
        (row["portfolio"], row["strategy"], row["decision"]),
    ).fetchone()
    if found is None or not row["decision"]:
        return None
    weights = msgspec.json.decode(found["weights"])
    cuts: list[Any] = msgspec.json.decode(found["smaller"]).get(row["symbol"], [])
    alike, heat, room, limit = [*cuts, *_UNCUT[len(cuts) :]]  # of an older version there are two
    return {
        "ts": format_ts(found["ts"]),
        "reason": found["reason"],
        "weight": plain(weights.get(row["symbol"], 0.0)),
        "names": len(weights),
        "cut_buy": found["cut_buy"],
        "cut_sell": found["cut_sell"],
        "cut_correlation": plain(alike),
        "cut_heat": plain(heat),
        "cut_room": plain(room),
        "cut_limit": limit,
    }


def _entry(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
    """Return the fill that opened the lot an exit closes, and the order behind it."""
    if not row["lot_id"]:
        return None
    fill = db.execute("SELECT * FROM fills WHERE exec_id = ?", (row["lot_id"],)).fetchone()
    return None if fill is None else fill_row(fill) | {"client_order_id": fill["client_order_id"]}


def _events(db: sqlite3.Connection, row: sqlite3.Row) -> list[sqlite3.Row]:
    """Return the events of the order's life; a resend that was refused has only its own denial."""
    found = db.execute(
        "SELECT * FROM events WHERE ref = ? ORDER BY seq, n LIMIT 10000", (row["client_order_id"],)
    ).fetchall()
    return [event for event in found if event["seq"] == row["seq"]] if row["dup"] else found


def _checks(db: sqlite3.Connection, row: sqlite3.Row) -> list[dict[str, Any]]:
    """Return each verdict that stands in the journal: of the gate, of the broker, and on requests to change it."""
    checks: list[dict[str, Any]] = []
    for event in _events(db, row):
        kind, data = event["type"], msgspec.json.decode(event["data"]) if event["data"] else {}
        when = {"ts": format_ts(event["ts"]), "seq": event["seq"]}
        if kind == "OrderAccepted":
            told = _amounts(data)
            if "bracket_of" not in data:  # the exits of a bracket were judged with their entry
                entry = _is_something(data.get("reserved"))
                checked = [*ALWAYS, *(ENTRIES if entry else REDUCTIONS)]
                passed = {"by": "risk", "verdict": "passed", "reserved": told["reserved"], "checked": checked}
                checks.append(passed | when)
            own: dict[str, Any] = {
                name: told[name] for name in ("order_id", "ref_px", "expected_cost", "bracket_of") if name in told
            }
            checks.append({"by": "broker", "verdict": "accepted", **own, **when})
        elif kind == "OrderDenied":
            again = {"resend": True} if event["seq"] != row["seq"] else {}
            checks.append({"by": "risk", "verdict": "denied", **data, **again, **when})
        elif kind == "OrderRejected":
            checks.append({"by": "risk", "verdict": "passed", **when})
            checks.append({"by": "broker", "verdict": "rejected", **data, **when})
        elif kind == "OrderCancelRejected":
            checks.append({"by": "risk or broker", "verdict": "request refused", **data, **when})
    return checks[:CHAIN_MAX]


def _is_something(value: str | None) -> bool:
    return value is not None and any(digit in "123456789" for digit in value)


def _life(db: sqlite3.Connection, row: sqlite3.Row) -> list[dict[str, Any]]:
    life = []
    for event in _events(db, row):
        word = _LIFE.get(event["type"])
        if word is None or (word == "denied" and event["seq"] != row["seq"]):
            continue
        data = msgspec.json.decode(event["data"]) if event["data"] else {}
        life.append({"ts": format_ts(event["ts"]), "seq": event["seq"], "event": word, **_amounts(data)})
    return life


def _amounts(data: dict[str, Any]) -> dict[str, Any]:
    """Return an event's fields with amounts as plain numbers."""
    return {k: msgspec.Raw(v.encode()) if k in _AMOUNTS and v is not None else v for k, v in data.items()}


def _fill(row: sqlite3.Row) -> dict[str, Any]:
    return fill_row(row) | {
        "ref_px": amount(row["ref_px"]),
        **{name: amount(row[name]) for name in _COSTS},
        "position_after": amount(row["position"]),
        "cash_after": amount(row["cash"]),
        "realized_pnl": amount(row["realized"]),
    }


def _costs(fills: list[sqlite3.Row]) -> dict[str, Any]:
    sums = {name: sum(fill[name] for fill in fills) for name in _COSTS}
    return {name: amount(value) for name, value in sums.items()} | {"total": amount(sum(sums.values()))}


def _trades(db: sqlite3.Connection, fills: list[sqlite3.Row], column: str) -> list[dict[str, Any]]:
    rows = []
    for fill in fills[:CHAIN_MAX]:
        found = db.execute(f"SELECT * FROM trades WHERE {column} = ? ORDER BY n LIMIT ?", (fill["exec_id"], CHAIN_MAX))  # noqa: S608 - ours
        rows += [trade_row(row) for row in found]
    return rows


def _children(db: sqlite3.Connection, row: sqlite3.Row) -> list[dict[str, Any]]:
    """Return orders named after this one: the exits of its bracket, the opening half of a flip."""
    found = db.execute(
        "SELECT * FROM orders WHERE parent_id = ? AND parent_id <> '' ORDER BY n LIMIT ?",
        (row["client_order_id"], CHAIN_MAX),
    )
    return [order_row(child) for child in found]


def _parent(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any] | None:
    """Return the order this one is named after, such as the entry whose exit it is."""
    found = db.execute(
        "SELECT * FROM orders WHERE client_order_id = ? AND dup = 0 AND client_order_id <> ''", (row["parent_id"],)
    ).fetchone()
    return None if found is None else order_row(found)


def _siblings(db: sqlite3.Connection, row: sqlite3.Row) -> list[dict[str, Any]]:
    """Return the orders of which one's fill cancels or cuts the others: those of its OCO group, of its bracket."""
    found = db.execute(
        "SELECT * FROM orders WHERE dup = 0 AND n <> ?1 AND ((?2 <> '' AND oco_group = ?2 AND portfolio = ?3)"
        " OR (?4 <> '' AND parent_id = ?4)) ORDER BY n LIMIT ?5",
        (row["n"], row["oco_group"], row["portfolio"], row["parent_id"], CHAIN_MAX),
    )
    return [order_row(other) for other in found]
