"""Tables of quotes and prints: each case is a symbol of its own in one run, with 100 shares held before it begins.

A case's order comes in at 14:31:00 of a Tuesday; what the tape brings then stands in the case, ten seconds apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from oracle.sheet import DAYS, Line, Run, play

TUESDAY = DAYS[1]
QTY = 10
Fill = tuple[int, str, str]
"""Number of the tape's row after the order (from 1), shares, price."""

FREE = (
    "portfolio.cash=1000000000",
    "risk.price_collar=0",
    "risk.max_position=0",
    "risk.max_positions=0",
    "risk.max_order_value=0",
    "risk.min_order_value=0",
    "risk.max_order_fraction=0",
    "risk.stale_ms=0",
    "risk.stale_sessions=0",
    "broker.commission_rate=0",
)
"""The gate and commissions are other tests' business."""


class Case(msgspec.Struct, frozen=True):
    """One order and the tape behind it.

    Attributes:
        why: what the case shows; also its name.
        terms: of the order; DAY unless they say else.
        tape: rows behind the order: (bid, bid size, ask, ask size), or (price, size) of a print.
        fills: what is filled.
        status: at the end; a DAY order that is left expires at the close.
        liquidity: who took.
        before: rows between what is held is bought and the order comes in.
    """

    why: str
    side: str
    terms: dict[str, Any]
    tape: Sequence[Sequence[object]]
    fills: Sequence[Fill] = ()
    status: str = "filled"
    qty: int = QTY
    liquidity: str = "taker"
    before: Sequence[Sequence[object]] = ()


def clock(second: float, minute: int = 31) -> str:
    """Return a time of the Tuesday, in seconds from 14:``minute``."""
    whole = minute * 60 + int(second)
    millis = round((second - int(second)) * 1000)
    return f"{TUESDAY}T{14 + whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}.{millis:03}Z"


def row_time(number: int) -> str:
    """Return when the tape's row of this number comes: ten seconds apart, the first ten seconds after the order."""
    return clock(10 * number)


def write(folder: Path, rows: Sequence[tuple[str, str, Sequence[object]]]) -> dict[str, Any]:
    """Write (time, symbol, row) into a file of quotes and one of prints; return the options that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rows, key=lambda entry: entry[0])
    options: dict[str, Any] = {}
    for name, columns, width in (("quotes", "bid_px,bid_size,ask_px,ask_size", 4), ("trades", "price,size", 2)):
        lines = [",".join([ts, symbol, *map(str, row)]) for ts, symbol, row in ordered if len(row) == width]
        if lines:
            path = folder / f"{name}.csv"
            path.write_text("\n".join([f"ts,symbol,{columns}", *lines]) + "\n")
            options[name] = (path,)
    return options


def play_tape(
    folder: Path,
    rows: Sequence[tuple[str, str, Sequence[object]]],
    script: Sequence[Line],
    profile: str = "frictionless",
    sets: Sequence[str] = (),
    **options: Any,
) -> Run:
    """Run a script on a tape without bars."""
    return play(folder, (), script, profile, [*FREE, *sets], **write(folder, rows), **options)


def play_cases(
    folder: Path,
    cases: Sequence[Case],
    opening: Sequence[Sequence[object]],
    profile: str = "frictionless",
    sets: Sequence[str] = (),
) -> Run:
    """Run a table: case n is symbol Sn.

    ``opening`` are rows of every symbol: one before the 100 shares are bought, one that they are bought from, and what
    stands when the case's order comes in.
    """
    rows: list[tuple[str, str, Sequence[object]]] = []
    script: list[Line] = []
    for n, case in enumerate(cases):
        symbol = f"S{n:03}"
        rows += [(clock(10 * i + 1, 30), symbol, row) for i, row in enumerate(opening)]
        rows += [(clock(50 + i / 10, 30), symbol, row) for i, row in enumerate(case.before)]
        rows += [(row_time(i), symbol, row) for i, row in enumerate(case.tape, start=1)]
        held = {"id": f"h{n}", "symbol": symbol, "side": "buy", "qty": 100, "type": "market"}
        order = {"id": f"x{n}", "symbol": symbol, "side": case.side, "qty": case.qty, "tif": "day", **case.terms}
        script += [{"at": clock(5, 30), "submit": held}, {"at": clock(0), "submit": order}]
    return play_tape(folder, rows, script, profile, sets)


def filled(run: Run, name: str) -> list[tuple[str, str, Decimal, str]]:
    """Return an order's fills as (time, shares, price, source)."""
    return [(f["ts"], f["qty"], Decimal(f["price"]), f["px_source"]) for f in run.fills(name)]


def wanted(fills: Sequence[Fill], source: str) -> list[tuple[str, str, Decimal, str]]:
    """Return what :func:`filled` must say."""
    return [(row_time(row), qty, Decimal(px), source) for row, qty, px in fills]


def order(when: str, name: str, side: str, qty: float, **terms: Any) -> Line:
    """Return a script line with an order in AAA."""
    body: Mapping[str, Any] = {"id": name, "symbol": "AAA", "side": side, "qty": qty, "type": "market", **terms}
    return {"at": when, "submit": body}
