"""The tables of views.db as the fold fills them: statements, rows, and an order's terms as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from actors.messages.orders import OrderStatus, OrderTerms
from actors.reporter.tables import terms_dict

OPEN: Final = (OrderStatus.NEW.value, OrderStatus.PARTIALLY_FILLED.value, OrderStatus.PENDING_NEW.value)
ORDER_COLUMNS: Final = (
    "n, seq, changed, order_id, client_order_id, ts, portfolio, symbol, side, type, tif, qty, limit_px, stop_px,"
    " status, cum_qty, avg_px, reason, strategy, parent_id, decision, confidence, lot_id, purpose, reserved, open, dup,"
    " oco_group, terms"
)
STATEMENTS: Final[dict[str, str]] = {
    "events": "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "postings": "INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?)",
    "fills": "INSERT INTO fills VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "trades": "INSERT INTO trades VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "snapshots": "INSERT OR REPLACE INTO portfolio_snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "metrics": "INSERT OR REPLACE INTO performance_metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "decisions": "INSERT INTO decisions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
    "scored": "INSERT OR REPLACE INTO scored VALUES (?, ?, ?, ?, ?)",
    "targets": "INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "acks": "INSERT OR IGNORE INTO alert_acks VALUES (?, ?, ?, ?)",
}
UPSERT_ORDER: Final = f"INSERT OR REPLACE INTO orders ({ORDER_COLUMNS}) VALUES ({', '.join('?' * 29)})"  # noqa: S608 - constants
UPSERT_POSITION: Final = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class OrderRow(msgspec.Struct):
    """A row of ``orders``, in the order of its columns."""

    n: int
    seq: int
    changed: int
    order_id: str
    client_order_id: str
    ts: int
    portfolio: str
    symbol: str
    side: int
    type: str
    tif: str
    qty: int
    limit_px: int | None
    stop_px: int | None
    status: str
    cum_qty: int
    avg_px: int | None
    reason: str
    strategy: str
    parent_id: str
    decision: int
    confidence: float | None
    lot_id: str
    purpose: str
    reserved: int | None
    open: int
    dup: int
    oco_group: str
    terms: str | None


class PositionRow(msgspec.Struct):
    """A row of ``positions``, in the order of its columns."""

    portfolio: str
    symbol: str
    symbol_id: int
    qty: int
    cost: int
    realized: int
    last_px: int
    ts: int


def text_of(value: Any) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()


def finite(values: Sequence[float]) -> list[float | None]:
    """Return floats as JSON has them: what is not finite is null."""
    return [v if math.isfinite(v) else None for v in values]


def terms_of(terms: OrderTerms | None) -> str | None:
    """Return what an order says beyond quantity, price and time in force as JSON, as ``orders.csv`` has it."""
    return None if terms is None else text_of(terms_dict(terms))
