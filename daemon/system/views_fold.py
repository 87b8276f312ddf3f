"""Frames into the rows of views.db: the same facts that the tables of a run folder are made of, put where people look.

A fold buffers rows and writes them in one go (:meth:`ViewFold.flush`), inside a transaction of the caller's. What it
keeps between two flushes is only what spares it a look into the database: open orders and positions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from actors.messages.alerts import AlertAcknowledged
from actors.messages.columns import unpack_f64, unpack_i32, unpack_i64
from actors.messages.inference import PredictionsScored
from actors.messages.orders import (
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderRestated,
    OrderStatus,
    OrderTriggered,
    OrderType,
    SubmitOrder,
)
from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    DividendPaid,
    EntriesCut,
    EquityMarked,
    FinancingCharged,
    PositionAdjusted,
    PositionChanged,
    SessionRolled,
    SignalsReady,
    TargetsProposed,
    TradeClosed,
)
from actors.values.fixed import div_round, fmt
from actors.values.order_names import belongs_to_another
from actors.values.time import MINUTE_NS, format_ts
from daemon.journal.journal import StoredFrame
from daemon.kernel.message import Event
from daemon.system.views_tables import (
    OPEN,
    ORDER_COLUMNS,
    STATEMENTS,
    UPSERT_ORDER,
    UPSERT_POSITION,
    OrderRow,
    PositionRow,
    finite,
    terms_of,
    text_of,
)

CACHED_MAX: Final = 50_000
"""Open orders kept in memory; beyond that they are looked up again."""


class ViewFold:
    """See the module.

    Attributes:
        seq, ts: of the last frame folded.
        rows: buffered rows.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """Go on behind what stands in ``db``."""
        self._db = db
        self._room: dict[int, tuple[float, str]] = {}
        self.seq, self.ts = db.execute("SELECT seq, ts FROM meta").fetchone()
        self._next = 1 + db.execute("SELECT coalesce(max(n), 0) FROM orders").fetchone()[0]
        self._orders: dict[str, OrderRow] = {}
        self._touched: dict[int, OrderRow] = {}
        self._positions = {
            (row[0], row[1]): PositionRow(*row) for row in db.execute("SELECT * FROM positions").fetchall()
        }
        self._moved: dict[tuple[str, str], PositionRow] = {}
        self._gone: list[tuple[str, str]] = []
        self._closed: dict[str, tuple[int, int]] = {
            portfolio: (session, equity)
            for portfolio, session, equity in db.execute(
                "SELECT portfolio, max(session), equity FROM performance_metrics GROUP BY portfolio"
            )
        }
        self._buffers: dict[str, list[Any]] = {name: [] for name in STATEMENTS}
        self._marks: dict[tuple[str, int, int], tuple[Any, ...]] = {}
        self._fills: dict[str, list[Any]] = {}
        self._names: Sequence[str] = ()
        self._causes: list[int] = []
        self._events: list[Event] = []
        self._n = 0
        self._exit: str | None = None
        self._table: dict[type[Event], Callable[[Any], None]] = {
            OrderDenied: self._denied,
            OrderAccepted: self._accepted,
            OrderRejected: self._rejected,
            OrderTriggered: self._triggered,
            OrderPartiallyFilled: self._filled,
            OrderFilled: self._filled,
            OrderCanceled: lambda e: self._ended(e, OrderStatus.CANCELED),
            OrderExpired: lambda e: self._ended(e, OrderStatus.EXPIRED),
            OrderReplaced: self._replaced,
            OrderCancelRequested: lambda e: self._say(
                e.client_order_id, {"reason": e.reason, "effective_at": format_ts(e.effective_ts)}
            ),
            OrderReplaceRequested: lambda e: self._say(
                e.client_order_id, {**_terms(e), "effective_at": format_ts(e.effective_ts)}
            ),
            OrderRestated: self._restated,
            OrderCancelRejected: lambda e: self._say(e.client_order_id, {"code": e.code, "reason": e.reason}),
            PositionChanged: self._position,
            PositionAdjusted: self._adjusted,
            CashFlowed: lambda e: self._post(e.portfolio, e.postings, None),
            DividendAccrued: lambda e: self._post(e.portfolio, e.postings, None),
            DividendPaid: lambda e: self._post(e.portfolio, e.postings, None),
            FinancingCharged: lambda e: self._post(e.portfolio, e.postings, None),
            TradeClosed: self._trade,
            EquityMarked: self._marked,
            SessionRolled: self._rolled,
            SignalsReady: self._signals,
            PredictionsScored: self._scored,
            EntriesCut: self._entries_cut,
            TargetsProposed: self._targets,
        }

    def fold(self, frame: StoredFrame, names: Sequence[str]) -> None:
        """Take one frame; ``names`` are the symbols of its run by id."""
        self.seq, self.ts = frame.seq, frame.ts
        self._names, self._causes, self._events = names, frame.causes, frame.events
        if isinstance(frame.input, AlertAcknowledged):
            ack = frame.input
            self._buffers["acks"].append((ack.alert_id, frame.ts, ack.by, ack.reason))
        events = self._buffers["events"]
        table = self._table
        for n, event in enumerate(frame.events):
            kind = type(event)
            if kind is not EquityMarked:
                self._n = len(events)
                portfolio = getattr(event, "portfolio", None)
                events.append([frame.seq, n, frame.ts, kind.__name__, self._symbol(event), portfolio, None, None])
            handler = table.get(kind)
            if handler is not None:
                if kind is TradeClosed:
                    self._cause(frame.causes[n])
                handler(event)

    def flush(self, generation: str, digest: bytes, boot: str) -> None:
        """Write everything buffered and how far it goes; the caller's transaction makes it one step."""
        db = self._db
        db.executemany(UPSERT_ORDER, [msgspec.structs.astuple(row) for row in self._touched.values()])
        db.executemany("DELETE FROM positions WHERE portfolio = ? AND symbol = ?", self._gone)
        db.executemany(UPSERT_POSITION, [msgspec.structs.astuple(row) for row in self._moved.values()])
        self._buffers["snapshots"] += self._marks.values()
        for name, rows in self._buffers.items():
            if rows:
                db.executemany(STATEMENTS[name], rows)
        db.execute(
            "INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?, ?, ?)", (generation, self.seq, self.ts, digest, boot)
        )
        for rows in self._buffers.values():
            rows.clear()
        for order in self._touched.values():
            if not order.open:
                self._orders.pop(order.client_order_id, None)
        if len(self._orders) > CACHED_MAX:
            self._orders.clear()
        self._touched.clear()
        self._moved.clear()
        self._gone.clear()
        self._marks.clear()
        self._fills.clear()

    # -- events ----------------------------------------------------------------------------------------------------

    def _symbol(self, event: Event) -> str | None:
        symbol = getattr(event, "symbol", None)
        if symbol is None:
            order = getattr(event, "order", None)
            return None if order is None else self._name(order)
        return self._names[symbol] if 0 <= symbol < len(self._names) else None

    def _name(self, order: SubmitOrder) -> str:
        return self._names[order.symbol] if order.symbol >= 0 else order.symbol_text

    def _say(self, client_order_id: str, data: dict[str, Any] | None = None) -> None:
        """Let the event in hand stand in the life of an order."""
        row = self._buffers["events"][self._n]
        row[6] = client_order_id
        row[7] = None if data is None else text_of(data)

    def _cause(self, index: int) -> None:
        cause = self._events[index] if index >= 0 else None
        self._exit = cause.exec_id if isinstance(cause, (OrderFilled, OrderPartiallyFilled)) else None

    # -- orders ----------------------------------------------------------------------------------------------------

    def _find(self, client_order_id: str) -> OrderRow | None:
        row = self._orders.get(client_order_id)
        if row is None:
            found = self._db.execute(
                f"SELECT {ORDER_COLUMNS} FROM orders WHERE client_order_id = ? AND dup = 0",  # noqa: S608 - constants
                (client_order_id,),
            ).fetchone()
            if found is None:
                return None
            row = self._orders[client_order_id] = OrderRow(*found)
        return row

    def _touch(self, row: OrderRow) -> None:
        row.changed = self.seq
        row.open = int(row.status in OPEN)
        self._touched[row.n] = row

    def _new(
        self,
        order: SubmitOrder,
        order_id: str,
        status: OrderStatus,
        reason: str,
        reserved: int | None,
        *,
        kept: bool = False,
    ) -> None:
        """Put down an order in its first state known; one that has a row already keeps its place.

        What is denied an id that is ``kept`` for another order gets a row without it, as a resend does.
        """
        client = order.client_order_id
        known = self._find(client)
        dup = kept or (known is not None and status is OrderStatus.DENIED)  # the first one of that id stays as it is
        if known is None or dup:
            number = self._next
            self._next += 1
        else:
            number = known.n
        row = OrderRow(
            number,
            self.seq,
            self.seq,
            order_id,
            client,
            self.ts,
            order.portfolio,
            self._name(order),
            order.side,
            order.type.value,
            order.tif.value,
            order.qty,
            order.limit_px,
            order.stop_px,
            status.value,
            0,
            None,
            reason,
            order.strategy,
            order.parent_id,
            order.decision,
            order.confidence,
            order.lot_id,
            order.reason,
            reserved,
            0,
            int(dup),
            "" if order.terms is None else order.terms.oco_group,
            terms_of(order.terms),
        )
        if not dup:
            self._orders[client] = row
        self._touch(row)

    def _denied(self, event: OrderDenied) -> None:
        reason = f"{event.code}: {event.reason}"
        if event.value and event.limit and event.value not in event.reason:
            reason += f" ({event.value} against {event.limit})"
        kept = belongs_to_another(event.order.client_order_id, event.code)
        self._new(event.order, "", OrderStatus.DENIED, reason, None, kept=kept)
        data = {"code": event.code, "reason": event.reason, "value": event.value, "limit": event.limit}
        self._say(event.order.client_order_id, data)

    def _accepted(self, event: OrderAccepted) -> None:
        order = event.order
        self._new(order, event.order_id, OrderStatus.NEW, order.reason, event.reserved)
        told = {"order_id": event.order_id, "qty": fmt(order.qty), "reserved": fmt(event.reserved)}
        if event.ref_px:
            told |= {"ref_px": fmt(event.ref_px), "expected_cost": fmt(event.expected_cost)}
        if order.terms is not None and order.terms.bracket_of:
            told["bracket_of"] = order.terms.bracket_of
        self._say(order.client_order_id, told)

    def _rejected(self, event: OrderRejected) -> None:
        self._new(event.order, event.order_id, OrderStatus.REJECTED, f"{event.code}: {event.reason}", None)
        self._say(event.order.client_order_id, {"order_id": event.order_id, "code": event.code, "reason": event.reason})

    def _triggered(self, event: OrderTriggered) -> None:
        told = {"order_id": event.order_id, "level": fmt(event.level)}
        if event.stop_px is not None:
            told["stop_px"] = fmt(event.stop_px)
        self._say(event.client_order_id, told)
        row = self._find(event.client_order_id)
        if row is not None and row.type == OrderType.TRAILING_STOP.value:
            row.stop_px = event.stop_px  # where the trail stood is told only here
            self._touch(row)

    def _filled(self, event: Fill) -> None:
        self._say(event.client_order_id)
        row = self._find(event.client_order_id)
        if row is not None:
            row.cum_qty = event.cum_qty
            row.avg_px = event.avg_px
            row.status = (OrderStatus.PARTIALLY_FILLED if event.leaves_qty else OrderStatus.FILLED).value
            self._touch(row)
        fill = [
            self.seq,
            self.ts,
            event.order_id,
            event.client_order_id,
            event.exec_id,
            event.portfolio,
            self._names[event.symbol],
            event.side,
            event.last_qty,
            event.last_px,
            event.ref_px,
            event.px_source,
            event.liquidity,
            event.commission,
            event.regulatory,
            event.spread,
            event.slippage,
            event.impact,
            event.strategy,
            None,
            None,
            None,
        ]
        self._fills[event.exec_id] = fill
        self._buffers["fills"].append(fill)

    def _ended(self, event: OrderCanceled | OrderExpired, status: OrderStatus) -> None:
        self._say(event.client_order_id, {"order_id": event.order_id, "reason": event.reason})
        row = self._find(event.client_order_id)
        if row is not None:
            row.status, row.reason = status.value, event.reason
            self._touch(row)

    def _replaced(self, event: OrderReplaced) -> None:
        self._say(event.client_order_id, {"order_id": event.order_id, **_terms(event)})
        row = self._find(event.client_order_id)
        if row is not None:
            row.qty, row.limit_px, row.stop_px, row.reserved = event.qty, event.limit_px, event.stop_px, event.reserved
            self._touch(row)

    def _restated(self, event: OrderRestated) -> None:
        """A corporate action: the order goes on under its new symbol, in new shares."""
        self._say(event.client_order_id, {**_terms(event), "cum_qty": fmt(event.cum_qty), "reason": event.reason})
        row = self._find(event.client_order_id)
        if row is not None:
            row.symbol = self._names[event.symbol]
            row.qty, row.cum_qty, row.limit_px, row.stop_px = event.qty, event.cum_qty, event.limit_px, event.stop_px
            row.terms = terms_of(event.terms)
            if event.cum_qty:
                row.avg_px = div_round(self._value(event.client_order_id), event.cum_qty)
            self._touch(row)

    def _value(self, client_order_id: str) -> int:
        """Return what an order's fills came to, units of 1e-16, whatever shares they were counted in."""
        written = self._db.execute("SELECT qty, price FROM fills WHERE client_order_id = ?", (client_order_id,))
        buffered = ((fill[8], fill[9]) for fill in self._buffers["fills"] if fill[3] == client_order_id)
        return sum(qty * price for qty, price in (*written, *buffered))

    # -- books -----------------------------------------------------------------------------------------------------

    def _position(self, event: PositionChanged) -> None:
        row = self._at(event.portfolio, event.symbol)
        row.qty, row.cost, row.last_px, row.ts = event.qty, event.cost, event.px, self.ts
        row.realized += event.realized
        self._moved[row.portfolio, row.symbol] = row
        fill = self._fills.get(event.exec_id)
        if fill is not None:  # a fill and its booking stand in one frame
            fill[-3:] = event.qty, event.cash, event.realized
        self._post(event.portfolio, event.postings, event.exec_id)

    def _adjusted(self, event: PositionAdjusted) -> None:
        """A corporate action: the position stands under its new symbol, in new shares; nothing was traded."""
        old = self._at(event.portfolio, event.symbol)
        row = old if event.new_symbol == event.symbol else self._at(event.portfolio, event.new_symbol)
        if row is not old:
            row.realized += old.realized
            row.last_px = old.last_px
            gone = old.portfolio, old.symbol
            self._gone.append(gone)
            del self._positions[gone]
            self._moved.pop(gone, None)
        row.qty, row.cost, row.ts = event.qty, event.cost, self.ts
        row.last_px = event.px or div_round(row.last_px * event.denominator, event.numerator)
        row.realized += event.realized
        self._moved[row.portfolio, row.symbol] = row
        self._post(event.portfolio, event.postings, None)

    def _at(self, portfolio: str, symbol: int) -> PositionRow:
        name = self._names[symbol]
        row = self._positions.get((portfolio, name))
        if row is None:
            row = self._positions[portfolio, name] = PositionRow(portfolio, name, symbol, 0, 0, 0, 0, 0)
        return row

    def _post(self, portfolio: str, postings: tuple[tuple[str, int], ...], exec_id: str | None) -> None:
        rows = self._buffers["postings"]
        for account, amount in postings:
            rows.append((self.seq, self.ts, portfolio, account, amount, exec_id))

    def _trade(self, t: TradeClosed) -> None:
        self._buffers["trades"].append(
            (
                self.seq,
                t.portfolio,
                self._names[t.symbol],
                t.side,
                abs(t.qty),
                t.entry_ts,
                t.entry_px,
                t.exit_ts,
                t.exit_px,
                t.fees,
                t.pnl,
                t.ret,
                t.mae,
                t.mfe,
                t.entry_confidence,
                t.exit_reason,
                t.strategy,
                t.lot_id,
                self._exit,
            )
        )

    def _marked(self, e: EquityMarked) -> None:
        minute = self.ts // MINUTE_NS
        self._marks[e.portfolio, 0, minute] = (e.portfolio, 0, minute, self.ts, e.equity, e.cash, e.gross, e.net)

    def _rolled(self, e: SessionRolled) -> None:
        row = (e.portfolio, e.session, 0, self.ts, e.equity, e.cash, e.gross, e.net)
        self._marks[e.portfolio, e.session, 0] = row
        _, before = self._closed.get(e.portfolio, (0, 0))
        pnl = e.equity - before - e.flows
        base = before or e.flows
        ret = round(pnl / base, 9) + 0.0 if base > 0 else None
        self._closed[e.portfolio] = e.session, e.equity
        self._buffers["metrics"].append(
            (e.portfolio, e.session, self.ts, e.equity, e.flows, pnl, ret, e.drawdown, e.peak)
        )

    # -- signals ---------------------------------------------------------------------------------------------------

    def _signals(self, e: SignalsReady) -> None:
        ids = unpack_i32(e.ids).tolist()
        nothing: list[float | None] = [None] * len(ids)
        cells = zip(
            [self._names[i] for i in ids],
            finite(unpack_f64(e.score).tolist()),
            finite(unpack_f64(e.confidence).tolist()),
            finite(unpack_f64(e.p_up).tolist()) if e.p_up else nothing,
            unpack_i64(e.price).tolist(),
            finite(unpack_f64(e.expected_bps).tolist()) if e.expected_bps else nothing,
            e.reasons or ("",) * len(ids),
            strict=True,
        )
        text = text_of(list(cells))
        self._buffers["decisions"].append(
            (self.seq, self.ts, e.strategy, e.decision, e.horizon, e.model or e.strategy, text)
        )

    def _scored(self, e: PredictionsScored) -> None:
        realized = finite(unpack_f64(e.realized).tolist())
        tradable = finite(unpack_f64(e.realized_tradable).tolist())
        names = [self._names[i] for i in unpack_i32(e.ids).tolist()]
        scores = {name: pair for name, *pair in zip(names, realized, tradable, strict=True)}
        self._buffers["scored"].append((e.strategy or e.model, e.decision, e.horizon, self.seq, text_of(scores)))

    def _entries_cut(self, e: EntriesCut) -> None:
        """Keep what found too little room for the targets that come behind it, in the same frame."""
        parts = zip(unpack_f64(e.parts).tolist(), e.limits, strict=True)
        self._room = dict(zip(unpack_i32(e.ids).tolist(), parts, strict=True))

    def _targets(self, e: TargetsProposed) -> None:
        weights = unpack_f64(e.weights).tolist()
        names = [self._names[i] for i in unpack_i32(e.ids).tolist()]
        row = (e.portfolio, e.strategy, e.decision, self.seq, self.ts, e.reason, e.cut_buy, e.cut_sell)
        cuts = zip(unpack_f64(e.cut_correlation).tolist(), unpack_f64(e.cut_heat).tolist(), strict=True)
        smaller: dict[int, tuple[float, float, float, str]] = {
            i: (alike, heat, 0.0, "") for i, (alike, heat) in zip(unpack_i32(e.cut_ids).tolist(), cuts, strict=True)
        }
        for i, (part, limit) in self._room.items():
            alike, heat, *_ = smaller.get(i, (0.0, 0.0))
            smaller[i] = alike, heat, part, limit
        self._room = {}
        told = {self._names[i]: cut for i, cut in smaller.items()}
        self._buffers["targets"].append((*row, text_of(dict(zip(names, weights, strict=True))), text_of(told)))


def _terms(event: OrderReplaced | OrderReplaceRequested | OrderRestated) -> dict[str, str | None]:
    """Return quantity and prices of an order as plain decimals."""
    return {
        "qty": fmt(event.qty),
        "limit_px": None if event.limit_px is None else fmt(event.limit_px),
        "stop_px": None if event.stop_px is None else fmt(event.stop_px),
    }
