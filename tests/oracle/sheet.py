"""Small runs of the whole system from bars and orders written in a test, and exact amounts to compare them with.

Nothing here knows how the program computes: expected values come from the sentences of the semantics, on paper.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.values import parse_interval
from tests_support import replay

UNIT = Decimal("0.00000001")
Row = dict[str, str]
Line = dict[str, Any]

DAYS = ("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08")
"""A Monday to a Friday of winter time: sessions from 14:30 to 21:00 UTC."""


def exact(value: Decimal) -> Decimal:
    """Round as the ledger does: to 1e-8, half to even."""
    return value.quantize(UNIT, ROUND_HALF_EVEN)


def dec(text: str | int) -> Decimal:
    """Return an exact number."""
    return Decimal(text)


class Run(msgspec.Struct, frozen=True):
    """What a run left behind; tables as rows of text."""

    folder: Path
    notices: tuple[str, ...]

    def table(self, name: str) -> list[Row]:
        """Return a CSV table."""
        with (self.folder / f"{name}.csv").open(newline="") as handle:
            return list(csv.DictReader(handle))

    def order(self, client_order_id: str) -> Row:
        """Return the one order of this id."""
        [row] = [row for row in self.table("orders") if row["client_order_id"] == client_order_id]
        return row

    def fills(self, client_order_id: str) -> list[Row]:
        """Return an order's fills."""
        order_id = self.order(client_order_id)["order_id"]
        return [row for row in self.table("fills") if row["order_id"] == order_id]

    def statuses(self) -> dict[str, str]:
        """Return status by client order id; a denial shows its code."""
        rows = self.table("orders")
        return {r["client_order_id"]: shown(r) for r in rows}

    @property
    def document(self) -> dict[str, Any]:
        """Return metrics.json."""
        found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text())
        return found


def shown(row: Row) -> str:
    """Return an order's status, with the code where it was denied or rejected."""
    if row["status"] in ("denied", "rejected"):
        return f"{row['status']} {row['reason'].split(':')[0]}"
    return row["status"]


def daily(*bars: Sequence[object], symbol: str = "AAA", header: bool = True) -> str:
    """Write daily bars (open, high, low, close[, volume]) from the Monday on."""
    columns = ["ts,symbol,open,high,low,close,volume"[: None if len(bars[0]) == 5 else -7]] if header else []
    rows = [",".join([day, symbol, *map(str, bar)]) for day, bar in zip(DAYS, bars, strict=False)]
    return "\n".join([*columns, *rows])


def minutes(*bars: Sequence[object], day: str = DAYS[1], first: str = "14:30", symbol: str = "AAA") -> str:
    """Write minute bars (open, high, low, close[, volume]) of a Tuesday from the open on."""
    start = int(first[:2]) * 60 + int(first[3:])
    columns = "ts,symbol,open,high,low,close,volume"[: None if len(bars[0]) == 5 else -7]
    rows = []
    for i, bar in enumerate(bars):
        hour, minute = divmod(start + i, 60)
        rows.append(",".join([f"{day}T{hour:02d}:{minute:02d}:00Z", symbol, *map(str, bar)]))
    return "\n".join([columns, *rows])


def submit(when: str | Mapping[str, str] | None, name: str, side: str, qty: float, **fields: Any) -> Line:
    """Return a script line with an order in AAA; ``when`` is a time, None, or what to wait for."""
    order = {"id": name, "symbol": "AAA", "side": side, "qty": qty, "type": "market", **fields}
    return {("after" if isinstance(when, Mapping) else "at"): when, "submit": order}


def play(
    folder: Path,
    bars: str | Sequence[str],
    script: Sequence[Line] = (),
    profile: str = "frictionless",
    sets: Sequence[str] = (),
    **options: Any,
) -> Run:
    """Write the files and run the program on them."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [bars] if isinstance(bars, str) else list(bars)
    paths = []
    for i, text in enumerate(texts):
        path = folder / f"bars{i}.csv"
        path.write_text(text + "\n")
        paths.append(path)
    orders = None
    if script:
        orders = folder / "orders.jsonl"
        orders.write_text("\n".join(json.dumps(line) for line in script) + "\n")
    if isinstance(options.get("interval"), str):
        options["interval"] = parse_interval(options["interval"])
    result = replay(folder / "run", profile=profile, sets=sets, bars=tuple(paths), orders=orders, **options)
    return Run(result.folder, result.notices)
