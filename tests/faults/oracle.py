"""What must hold of orders and money after any crash, read from two things alone: the ledger, and what clients heard.

The oracle knows nothing of the program that wrote the ledger but how its rows are encoded. It keeps books of its own,
in decimals, from the fills; it has a table of its own of what may follow what in an order's life; and it compares both
with every number that the ledger states and every answer that a client noted. It finds; it repairs and skips nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.messages.catalogue import codec
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
)
from actors.messages.portfolio import CashFlowed, EquityMarked, PositionChanged, SessionRolled
from daemon.kernel.message import Event

SCALE: Final = Decimal(10) ** -8
WORKING: Final = ("new", "partially_filled")
LEGAL: Final[dict[type[Event], tuple[str, ...]]] = {
    OrderTriggered: WORKING,
    OrderPartiallyFilled: WORKING,
    OrderFilled: WORKING,
    OrderReplaced: WORKING,
    OrderCanceled: WORKING,
    OrderExpired: WORKING,
}
"""Statuses in which an order may be when this happens to it; a terminal one is never left."""
ANSWERED: Final[dict[type[Event], str]] = {OrderAccepted: "new", OrderDenied: "denied", OrderRejected: "rejected"}


@dataclass(slots=True)
class Order:
    """One order as the ledger tells it."""

    client_id: str
    order_id: str
    portfolio: str
    symbol: int
    side: int
    qty: Decimal
    status: str
    seq: int
    entry: str = ""
    """The order of a bracket whose exit this is."""
    done: Decimal = Decimal(0)
    value: Decimal = Decimal(0)


@dataclass(slots=True)
class Books:
    """One portfolio, booked anew."""

    cash: Decimal = Decimal(0)
    deposits: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    positions: dict[int, Decimal] = field(default_factory=dict)
    cost: dict[int, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class Verdict:
    """What was found; ``problems`` is empty where everything holds."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def say(self, problem: str) -> None:
        """Note a problem."""
        self.problems.append(problem)


class Heard:
    """A client's log: what it sent under which key, and every answer to it, in order."""

    def __init__(self, path: Path) -> None:
        """Read a log of JSON lines."""
        self.sent: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, list[dict[str, Any]]] = {}
        for line in path.read_text("utf-8").splitlines():
            entry = json.loads(line)
            if entry["what"] == "sent":
                self.sent.setdefault(entry["key"], entry)
            else:
                self.answers.setdefault(entry["key"], []).append(entry)

    def promised(self, key: str) -> list[dict[str, Any]]:
        """Return the results a client was given under a key."""
        return [entry["result"] for entry in self.answers.get(key, ()) if entry["what"] == "ok"]


def examine(ledger: Path, log: Path | None = None, *, uid: int | None = None) -> Verdict:
    """Examine a ledger, and a client's log beside it.

    Args:
        ledger: the file; read only, also while a daemon writes it.
        log: of a client; None where there was none.
        uid: of the client, which is part of the key of its answers.
    """
    verdict = Verdict()
    frames, kept = _rows(verdict, ledger)
    reader = _Reader(verdict)
    decode = codec().decode_many
    for seq, n, body in frames:
        events = decode(body) if n else []
        if len(events) != n:
            verdict.say(f"input {seq} has {len(events)} events, its row says {n}")
        reader.frame(seq, events)
    reader.close()
    if log is not None:
        _compare(verdict, reader, Heard(log), kept, frames[-1][0] if frames else 0, uid)
    verdict.counts["frames"] = len(frames)
    verdict.counts["orders"] = len(reader.orders)
    return verdict


def _rows(verdict: Verdict, ledger: Path) -> tuple[list[tuple[int, int, bytes]], dict[str, tuple[Any, int]]]:
    """Return frames and kept answers; none where there is no ledger yet, a problem if anything was promised."""
    if not ledger.exists():
        return [], {}
    db = sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)
    try:
        db.execute("BEGIN")
        answer = db.execute("PRAGMA integrity_check").fetchone()[0]
        if answer != "ok":
            verdict.say(f"integrity_check: {answer}")
        if not db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'frame'").fetchone()[0]:
            return [], {}
        frames = db.execute("SELECT seq, n, body FROM frame ORDER BY seq").fetchall()
        replies = db.execute("SELECT key, reply, seq FROM idempotency").fetchall()
    finally:
        db.close()
    return frames, {key: (msgspec.json.decode(reply), seq) for key, reply, seq in replies}


class _Reader:
    """Folds the events into books of its own."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.orders: dict[str, Order] = {}
        self.books: dict[str, Books] = {}
        self._order_ids: set[str] = set()
        self._exits: dict[str, list[str]] = {}
        self._fills: dict[str, Any] = {}
        self._booked: set[str] = set()
        self._seq = 0

    def say(self, problem: str) -> None:
        self.verdict.say(f"input {self._seq}: {problem}")

    def frame(self, seq: int, events: list[Any]) -> None:
        if seq <= self._seq:
            self.say(f"is followed by input {seq}")
        self._seq = seq
        fills, bookings = set(), set()
        for event in events:
            kind = type(event)
            if kind in ANSWERED:
                self._first(event, seq)
            elif kind in LEGAL:
                self._goes_on(event)
                if isinstance(event, OrderFilled | OrderPartiallyFilled):
                    self._fill(event)
                    fills.add(event.exec_id)
            elif isinstance(event, PositionChanged):
                bookings.add(event.exec_id)
                self._booking(event)
            elif isinstance(event, CashFlowed):
                self._flow(event)
            elif isinstance(event, EquityMarked | SessionRolled):
                self._mark(event)
        if fills != bookings:
            self.say(f"fills and bookings are not one transaction: {sorted(fills ^ bookings)[:3]}")

    def close(self) -> None:
        """Compare what only the whole tells."""
        for execution in self._fills.keys() - self._booked:
            self.say(f"the fill {execution} was never booked")
        self.verdict.counts["fills"] = len(self._fills)
        for order in self.orders.values():
            self.verdict.counts[order.status] += 1

    # -- orders ------------------------------------------------------------------------------------------------------

    def _first(self, event: Any, seq: int) -> None:
        order, name = event.order, event.order.client_order_id
        status = ANSWERED[type(event)]
        if name in self.orders:
            if isinstance(event, OrderDenied) and event.code == "DUPLICATE":
                self.verdict.counts["duplicates denied"] += 1
                return
            self.say(f"the order {name} is {status}, but it was there already")
            return
        order_id = "" if isinstance(event, OrderDenied) else event.order_id
        if order_id:
            if order_id in self._order_ids:
                self.say(f"the order id {order_id} is given twice")
            self._order_ids.add(order_id)
        qty = order.qty * SCALE
        entry = order.terms.bracket_of if order.terms is not None else ""
        self.orders[name] = Order(name, order_id, order.portfolio, order.symbol, order.side, qty, status, seq, entry)
        if entry:
            self._exits.setdefault(entry, []).append(name)
            parent = self.orders.get(entry)
            if parent is None or not parent.done or parent.side != -order.side or not order.reduce_only:
                self.say(f"{name} is an exit of {entry}, which filled nothing that it could close")

    def _goes_on(self, event: Any) -> None:
        name = type(event).__name__
        order = self.orders.get(event.client_order_id)
        if order is None:
            self.say(f"{name} of the order {event.client_order_id}, which nobody accepted")
            return
        if event.order_id != order.order_id:
            self.say(f"{name} of {order.client_id} names the order id {event.order_id}, it has {order.order_id}")
        if order.status not in LEGAL[type(event)]:
            self.say(f"{name} of {order.client_id}, which is {order.status}")
        if isinstance(event, OrderCanceled | OrderExpired):
            if event.cum_qty * SCALE != order.done:
                self.say(f"{name} of {order.client_id} says {event.cum_qty * SCALE} were filled, {order.done} were")
            order.status = "canceled" if isinstance(event, OrderCanceled) else "expired"
        elif isinstance(event, OrderReplaced):
            order.qty = event.qty * SCALE
            if order.qty < order.done:
                self.say(f"{order.client_id} is replaced by less than was filled")

    def _fill(self, event: OrderFilled | OrderPartiallyFilled) -> None:
        if event.exec_id in self._fills:
            self.say(f"the fill {event.exec_id} is there twice")
        self._fills[event.exec_id] = event
        order = self.orders.get(event.client_order_id)
        if order is None:
            return
        if (event.portfolio, event.symbol, event.side) != (order.portfolio, order.symbol, order.side):
            self.say(f"the fill {event.exec_id} is not of the order {order.client_id}")
        qty, px = event.last_qty * SCALE, event.last_px * SCALE
        order.done += qty
        order.value += qty * px
        if qty <= 0 or px <= 0:
            self.say(f"the fill {event.exec_id} is of {qty} at {px}")
        if order.done > order.qty:
            self.say(f"{order.client_id} is filled with {order.done} of {order.qty}")
        if event.cum_qty * SCALE != order.done or event.leaves_qty * SCALE != order.qty - order.done:
            self.say(f"the fill {event.exec_id} says {event.cum_qty * SCALE} are done, {order.done} are")
        if abs(event.avg_px * SCALE - order.value / order.done) > SCALE:
            self.say(f"the average price of {order.client_id} is {order.value / order.done}")
        if order.entry:
            entered = self.orders[order.entry].done
            exited = sum(self.orders[name].done for name in self._exits[order.entry])
            if exited > entered:
                self.say(f"exits of {order.entry} fill {exited}, it filled {entered}")
        whole = order.done == order.qty
        if whole is not isinstance(event, OrderFilled):
            self.say(f"{type(event).__name__} of {order.client_id} with {order.done} of {order.qty}")
        order.status = "filled" if whole else "partially_filled"

    # -- money -------------------------------------------------------------------------------------------------------

    def _of(self, portfolio: str) -> Books:
        return self.books.setdefault(portfolio, Books())

    def _booking(self, event: PositionChanged) -> None:
        if event.exec_id in self._booked:
            self.say(f"the fill {event.exec_id} is booked twice")
        self._booked.add(event.exec_id)
        fill = self._fills.get(event.exec_id)
        if fill is None:
            self.say(f"{event.exec_id} is booked without a fill")
            return
        books = self._of(event.portfolio)
        fees = (fill.commission + fill.regulatory) * SCALE
        signed = fill.side * fill.last_qty * SCALE
        books.cash -= signed * fill.last_px * SCALE + fees
        books.fees += fees
        books.realized += event.realized * SCALE
        books.positions[event.symbol] = held = books.positions.get(event.symbol, Decimal(0)) + signed
        books.cost[event.symbol] = event.cost * SCALE
        if held != event.qty * SCALE:
            self.say(f"the position after {event.exec_id} is {held}, the ledger says {event.qty * SCALE}")
        if books.cash != event.cash * SCALE:
            self.say(f"cash after {event.exec_id} is {books.cash}, the ledger says {event.cash * SCALE}")
        if not held and event.cost:
            self.say(f"a flat position costs {event.cost * SCALE} after {event.exec_id}")
        self._zero(event.postings, event.exec_id)
        left = books.cash + sum(books.cost.values()) - books.deposits - books.realized + books.fees
        if left:
            self.say(f"after {event.exec_id} cash + cost and deposits + realised - fees differ by {left}")

    def _flow(self, event: CashFlowed) -> None:
        books = self._of(event.portfolio)
        books.cash += event.amount * SCALE
        books.deposits += event.amount * SCALE
        if books.cash != event.cash * SCALE:
            self.say(f"cash after {event.reason!r} is {books.cash}, the ledger says {event.cash * SCALE}")
        self._zero(event.postings, event.reason)
        self.verdict.counts["flows"] += 1

    def _zero(self, postings: tuple[tuple[str, int], ...], what: str) -> None:
        if sum(amount for _, amount in postings):
            self.say(f"the postings of {what} do not sum to zero")

    def _mark(self, event: EquityMarked | SessionRolled) -> None:
        books = self._of(event.portfolio)
        if books.cash != event.cash * SCALE:
            self.say(f"{type(event).__name__} says cash is {event.cash * SCALE}, it is {books.cash}")
        if event.equity != event.cash + event.net or event.gross < abs(event.net):
            self.say(f"{type(event).__name__}: equity {event.equity}, cash {event.cash}, net {event.net}")
        if not any(books.positions.values()) and (event.gross or event.net):
            self.say(f"{type(event).__name__} values positions of a flat portfolio")
        self.verdict.counts["marks"] += 1


def _compare(
    verdict: Verdict, reader: _Reader, heard: Heard, kept: dict[str, tuple[Any, int]], last: int, uid: int | None
) -> None:
    """Compare what a client heard with what is there."""
    verdict.counts["requests"] = len(heard.sent)
    for key, sent in heard.sent.items():
        results = heard.promised(key)
        if not results:
            verdict.counts["refused" if key in heard.answers else "unanswered"] += 1
            continue
        verdict.counts["acknowledged"] += 1
        verdict.counts["answers"] += len(results)
        if any(result != results[0] for result in results):
            verdict.say(f"{key}: the same request was answered differently: {results}")
        row = kept.get(f"{uid}:{key}")
        if row is None:
            verdict.say(f"{key}: acknowledged, but its answer is not in the ledger")
        elif row[1] > last:
            verdict.say(f"{key}: acknowledged with input {row[1]}, the ledger ends with {last}")
        elif row[0].get("result") != results[0]:
            verdict.say(f"{key}: answered {results[0]}, the ledger keeps {row[0]}")
        if sent["method"] == "order.submit":
            _compare_order(verdict, reader, key, results[0], None if row is None else row[1])
    names = {result["client_order_id"] for key in heard.sent for result in heard.promised(key)}
    orders = [name for name, order in reader.orders.items() if name.startswith("op-") and not order.entry]
    unknown = [name for name in orders if name.split("-", 2)[2].removesuffix("-open") not in heard.sent]
    if unknown:
        verdict.say(f"{len(unknown)} orders that nobody sent: {unknown[:3]}")
    verdict.counts["kept without an answer heard"] = len(set(orders) - names)


def _compare_order(verdict: Verdict, reader: _Reader, key: str, result: dict[str, Any], seq: int | None) -> None:
    order = reader.orders.get(result["client_order_id"])
    if order is None:
        verdict.say(f"{key}: the order {result['client_order_id']} was acknowledged and is lost")
        return
    if (result["order_id"] or "") != order.order_id:
        verdict.say(f"{key}: acknowledged as {result['order_id']}, the ledger has {order.order_id}")
    if seq is not None and order.seq != seq:
        verdict.say(f"{key}: acknowledged with input {seq}, ordered by input {order.seq}")
    if result["status"] in {"denied", "rejected"} and order.status != result["status"]:
        verdict.say(f"{key}: acknowledged as {result['status']}, the ledger says {order.status}")
