"""Cost analysis of files: ``orders.csv`` and ``fills.csv`` of a run folder or alike, and quotes.

What the order file says itself (``decision_px``, ``arrival_px``, ``end_px``) counts; what it leaves out comes from the
quotes: the mid known at ``decision_ts``, ``arrival_ts`` and ``end_ts``, or where there is no such column at the
order's ``ts`` and, for what was never filled, at the end of the quotes. An order that waits for a price of its own
(:mod:`actors.reporter.tca`) is measured by its trigger or limit. Fills that do not name their spread have that of the
quote before them; slippage and impact are then part of ``timing``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from actors.reporter.csvfiles import bad_cell, cell_at, find_column, parse_stamp, read_rows
from actors.reporter.tca import EXCUSED, FINE, PARTS, REFUSED, WAITING, Analysis, ParentOrder, Shortfall
from actors.values.fixed import SCALE, FixedPointError, div_round, fmt, mul, parse_fixed
from actors.values.time import SECOND_NS, format_ts
from daemon.kernel.errors import OperatorError

SCHEMA: Final = "tradingd.tca/1"
ZONE: Final = "America/New_York"
_SIDES: Final = {"buy": 1, "sell": -1}
_BID: Final = ("bid_px", "bid", "bid_price")
_ASK: Final = ("ask_px", "ask", "ask_price")
_MICRO_DIGITS: Final = 6


class _Row:
    """One line of a file by column; errors name file, line and column."""

    __slots__ = ("_at", "_path", "_zone", "cells", "line")

    def __init__(
        self, path: Path, at: Mapping[str, int], line: int, cells: list[str], zone: ZoneInfo | None = None
    ) -> None:
        self._path, self._at, self.line, self.cells, self._zone = path, at, line, cells, zone

    def text(self, name: str) -> str:
        at = self._at.get(name)
        return "" if at is None else cell_at(self._path, self.line, self.cells, at, name)

    def fixed(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return parse_fixed(text)
        except FixedPointError as error:
            raise self.bad(name, str(error)) from None

    def amount(self, name: str) -> int:
        """Return a quantity or price above zero."""
        value = self.fixed(name)
        if value is None or value <= 0:
            raise self.bad(name, "there is no number above zero")
        return value

    def price(self, name: str) -> int | None:
        value = self.fixed(name)
        if value is not None and value <= 0:
            raise self.bad(name, f"{fmt(value)} is no price")
        return value

    def stamp(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return stamp_ns(text, self._zone)
        except ValueError as error:
            if "has no offset" in str(error):
                remedy = "name the zone of such times with --tz, such as --tz UTC"
                raise self.bad(name, f"{text!r} has no offset", remedy) from None
            if "comes twice" in str(error):
                raise self.bad(name, str(error), "write it with its offset") from None
            raise self.bad(name, f"{text!r} is not a time", "write 2022-12-28T21:00:00Z") from None

    def side(self) -> int:
        found = _SIDES.get(self.text("side"))
        if found is None:
            raise self.bad("side", f"{self.text('side')!r} is neither buy nor sell")
        return found

    def bad(self, column: str, what: str, remedy: str = "") -> OperatorError:
        return bad_cell(self._path, self.line, column, what, remedy)


def stamp_ns(text: str, zone: ZoneInfo | None = None) -> int:
    """Parse an RFC 3339 time to the nanosecond; one without an offset is of ``zone``.

    Raises:
        ValueError: it is none, or has no offset and there is no zone, or it comes twice or never there.
    """
    head, dot, rest = text.strip().partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    if not dot or digits <= _MICRO_DIGITS:
        return parse_stamp(_zoned(text, zone))
    fraction, offset = rest[:digits], rest[digits:]
    whole = _zoned(f"{head}.{fraction[:_MICRO_DIGITS]}{offset}", zone)
    return parse_stamp(whole) + int(fraction[_MICRO_DIGITS:9].ljust(3, "0"))


def _zoned(text: str, zone: ZoneInfo | None) -> str:
    if zone is None:
        return text
    local = datetime.fromisoformat(text.strip())
    if local.tzinfo is not None:
        return text
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        message = f"{text!r} comes twice or never where the clocks of {zone.key} change"
        raise ValueError(message)
    return first.isoformat()


def _table(path: Path, required: Sequence[tuple[str, ...]], zone: ZoneInfo | None) -> Iterable[_Row]:
    names, rows = read_rows(path)
    for wanted in required:
        find_column(path, names, wanted)
    at = {name: i for i, name in enumerate(names)}
    return (_Row(path, at, line, cells, zone) for line, cells in rows)


class Quotes:
    """Best bids and offers by symbol, in order of time."""

    def __init__(self) -> None:
        """Start without any."""
        self._books: dict[str, tuple[list[int], list[int], list[int]]] = {}

    def add(self, symbol: str, ts: int, bid: int, ask: int) -> None:
        """Add a row; a side of 0 is unchanged."""
        stamps, bids, asks = self._books.setdefault(symbol, ([], [], []))
        stamps.append(ts)
        bids.append(bid or (bids[-1] if bids else 0))
        asks.append(ask or (asks[-1] if asks else 0))

    def at(self, symbol: str, ts: int | None) -> tuple[int, int] | None:
        """Return bid and ask known at a time, or at the end; None where a side is missing or they are crossed."""
        book = self._books.get(symbol)
        if book is None:
            return None
        i = (len(book[0]) if ts is None else bisect_right(book[0], ts)) - 1
        if i < 0 or not 0 < book[1][i] <= book[2][i]:
            return None
        return book[1][i], book[2][i]

    def mid(self, symbol: str, ts: int | None) -> int | None:
        """Return the mid known at a time, or at the end."""
        found = self.at(symbol, ts)
        return None if found is None else div_round(sum(found), 2)


def read_quotes(path: Path, zone: ZoneInfo | None = None) -> Quotes:
    """Read ``ts symbol bid_px ask_px``; ``zone`` is that of times without an offset.

    Raises:
        OperatorError: a line that does not hold; the time goes backward.
    """
    quotes = Quotes()
    names, rows = read_rows(path)
    bid = names[find_column(path, names, _BID)]
    ask = names[find_column(path, names, _ASK)]
    for wanted in (("ts",), ("symbol",)):
        find_column(path, names, wanted)
    at = {name: i for i, name in enumerate(names)}
    last = -(1 << 63)
    for line, cells in rows:
        row = _Row(path, at, line, cells, zone)
        ts = row.stamp("ts")
        if ts is None:
            raise row.bad("ts", "there is no time")
        if ts < last:
            raise row.bad("ts", f"the time goes backward ({row.text('ts')})", "sort the rows by time")
        last = ts
        sides = [row.fixed(name) or 0 for name in (bid, ask)]
        if min(sides) < 0:
            raise row.bad(bid if sides[0] < 0 else ask, "a price is below zero")
        quotes.add(row.text("symbol"), ts, *sides)
    return quotes


class _Fills(msgspec.Struct):
    """What the fills of an order add up to; parts are None where a fill does not name them."""

    qty: int = 0
    value: int = 0
    fees: int = 0
    commission: int | None = 0
    spread: int | None = 0
    slippage: int | None = 0
    impact: int | None = 0


def _read_fills(path: Path, quotes: Quotes | None, zone: ZoneInfo | None) -> dict[str, _Fills]:
    out: dict[str, _Fills] = {}
    for row in _table(path, (("order_id", "client_order_id"), ("qty",), ("price",)), zone):
        name = row.text("order_id") or row.text("client_order_id")
        if not name:
            raise row.bad("order_id", "the fill names no order")
        fills = out.setdefault(name, _Fills())
        qty, price = row.amount("qty"), row.amount("price")
        fills.qty += qty
        fills.value += qty * price
        fills.fees += row.fixed("fee") or 0
        spread = row.fixed("spread")
        if spread is None:
            spread = _quoted_half(row, qty, quotes)
        for part, value in (
            ("spread", spread),
            ("slippage", row.fixed("slippage")),
            ("impact", row.fixed("impact")),
            ("commission", row.fixed("commission")),
        ):
            known = getattr(fills, part)
            setattr(fills, part, None if known is None or value is None else known + value)
    return out


def _quoted_half(row: _Row, qty: int, quotes: Quotes | None) -> int | None:
    """Return the half spread that a fill paid by the quote before it; who rested paid none."""
    ts = row.stamp("ts")
    if row.text("liquidity") == "maker":
        return 0
    found = quotes.at(row.text("symbol"), ts) if quotes is not None and ts is not None else None
    return None if found is None else mul(qty, div_round(found[1] - found[0], 2))


def _hour(ts: int) -> int:
    return datetime.fromtimestamp(ts // SECOND_NS, UTC).astimezone(ZoneInfo(ZONE)).hour


def _prices(
    row: _Row, symbol: str, ts: int, own: int | None, quotes: Quotes | None
) -> tuple[int | None, int | None, int | None]:
    """Return the prices of decision, arrival and end."""

    def mid(at: int | None) -> int | None:
        return None if quotes is None else quotes.mid(symbol, at)

    if row.text("type") in WAITING:
        decision = row.price("decision_px") or own
        return decision, row.price("arrival_px") or decision, row.price("end_px")
    decision = row.price("decision_px") or mid(row.stamp("decision_ts") or ts)
    arrival = row.price("arrival_px") or mid(row.stamp("arrival_ts") or ts)
    return decision, arrival, row.price("end_px") or mid(row.stamp("end_ts"))


def _parent(row: _Row, fills: Mapping[str, _Fills], quotes: Quotes | None) -> ParentOrder:
    status = row.text("status")
    if status in REFUSED:
        return _refused(row, status)
    symbol, qty, side = row.text("symbol"), row.amount("qty"), row.side()
    ts = row.stamp("ts")
    if ts is None:
        raise row.bad("ts", "there is no time")
    names = [name for name in (row.text("order_id"), row.text("client_order_id")) if name]
    found = next((fills[name] for name in names if name in fills), None) or _Fills()
    kind = row.text("type")
    own = row.price("stop_px") or row.price("limit_px")
    decision, arrival, end = _prices(row, symbol, ts, own, quotes)
    filled, told = found.qty, row.fixed("cum_qty")
    if told is not None and told != filled:
        if not row.text("decision_px") or not filled:
            what = f"the fills of this order add up to {fmt(filled)}, not {fmt(told)}"
            raise row.bad("cum_qty", what, "give all fills")
        filled = told  # a split restated the order behind its fills; its decision price is in the new shares
    if filled > qty:
        raise row.bad("qty", f"more is filled ({fmt(filled)}) than was ordered")
    expected = row.fixed("expected_cost")
    parts = (found.spread, found.slippage, found.impact, found.commission)
    status = status or ("filled" if filled == qty else "partially_filled" if filled else "new")
    missed = row.fixed("missed_qty")
    return ParentOrder(
        order_id=row.text("order_id"),
        client_order_id=row.text("client_order_id"),
        ts=ts,
        hour=_hour(ts),
        portfolio=row.text("portfolio"),
        symbol=symbol,
        side=side,
        type=kind,
        strategy=row.text("strategy"),
        status=status,
        qty=qty,
        filled=filled,
        value=found.value,
        decision_px=decision,
        arrival_px=arrival,
        end_px=end,
        fees=found.fees,
        spread=found.spread,
        slippage=found.slippage,
        impact=found.impact,
        missed=kind not in WAITING and row.text("reason") not in EXCUSED if missed is None else missed > 0,
        expected=expected,
        paid=sum(part for part in parts if part is not None) if filled and None not in parts else None,
    )


def _refused(row: _Row, status: str) -> ParentOrder:
    """Return an order that never worked; it is only counted, whatever is wrong with it."""
    return ParentOrder(
        order_id=row.text("order_id"),
        client_order_id=row.text("client_order_id"),
        ts=row.stamp("ts") or 0,
        hour=_hour(row.stamp("ts") or 0),
        symbol=row.text("symbol"),
        side=_SIDES.get(row.text("side"), 0),
        type=row.text("type"),
        strategy=row.text("strategy"),
        status=status,
        qty=row.fixed("qty") or 0,
    )


def read_orders(orders: Path, fills: Path, quotes: Path | None, zone: ZoneInfo | None = None) -> Analysis:
    """Read the files and analyse every order; ``zone`` is that of times without an offset.

    Raises:
        OperatorError: a line that does not hold; fills that do not add up to what the order says.
    """
    book = None if quotes is None else read_quotes(quotes, zone)
    found = _read_fills(fills, book, zone)
    required = (("order_id", "client_order_id"), ("ts",), ("symbol",), ("side",), ("qty",))
    return Analysis.of(_parent(row, found, book) for row in _table(orders, required, zone))


def calc_tca(orders: Path, fills: Path, quotes: Path | None, zone: ZoneInfo | None = None) -> dict[str, Any]:
    """Return the analysis of files as ``tradingd calc tca`` prints it; see :func:`read_orders` for its errors."""
    analysis = read_orders(orders, fills, quotes, zone)
    inputs = {"orders": str(orders), "fills": str(fills), "quotes": None if quotes is None else str(quotes)}
    rows = [row_of(order, parts) for order, parts in analysis.rows]
    return {"schema": SCHEMA, "inputs": inputs} | analysis.document() | {"rows": rows}


def row_of(o: ParentOrder, p: Shortfall) -> dict[str, Any]:
    """Return one order as plain values."""

    def money(value: int | None, unit: int = FINE) -> float | None:
        return None if value is None else value / unit

    return {
        "order_id": o.order_id,
        "client_order_id": o.client_order_id,
        "ts": format_ts(o.ts),
        "symbol": o.symbol,
        "side": "buy" if o.side > 0 else "sell",
        "type": o.type,
        "strategy": o.strategy,
        "status": o.status,
        "qty": o.qty / SCALE,
        "filled_qty": o.filled / SCALE,
        "decision_px": money(o.decision_px, SCALE),
        "arrival_px": money(o.arrival_px, SCALE),
        "avg_px": o.value / o.filled / SCALE if o.filled else None,
        "end_px": money(o.end_px, SCALE),
        **{name: money(getattr(p, name)) for name in PARTS},
        "total": money(p.total),
        "bps": o.bps(p.total),
        "of_execution": {name: money(getattr(p, name)) for name in ("spread", "slippage", "impact", "timing")},
        "expected_cost": money(o.expected, SCALE),
        "paid_cost": money(o.paid, SCALE),
    }
