"""Questions to views.db: rows with the columns of the run folder's tables (``contract.md`` section 3), newest first.

The reader has a connection of its own that can only read; it may be used on any thread. Each answer is of one moment:
``as_of_seq`` says up to which frame it knows. Amounts are :class:`msgspec.Raw` numbers, missing values None.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from actors.reporter.tables import number
from actors.values.fixed import fmt
from actors.values.time import format_ts
from daemon.control.calls import Call
from daemon.kernel.errors import OperatorError
from daemon.system.order_form import FieldError

LIMIT: Final = 100
LIMIT_MAX: Final = 1_000
DECISIONS_MAX: Final = 5_000
"""Decisions looked through for rows of one symbol; an answer that ends there says that there may be more."""
BUSY_MS: Final = 50
_SIDES: Final = {1: "buy", -1: "sell"}
_DIRECTIONS: Final = {1: "long", -1: "short"}
_SEQ: Final = re.compile(r"\d{1,18}")

T = TypeVar("T")


class Filter(msgspec.Struct, frozen=True):
    """Which rows are wanted.

    Attributes:
        everything: also those that are over (orders), flat (positions), acknowledged (alerts).
        since_ts: only from this stamp on, nanoseconds UTC; since_seq: only behind this frame.
        limit: rows at most.
        symbol, portfolio, strategy: "" for any.
    """

    everything: bool = False
    since_ts: int | None = None
    since_seq: int | None = None
    limit: int = LIMIT
    symbol: str = ""
    portfolio: str = ""
    strategy: str = ""


def filter_of(call: Call, read_time: Callable[[str], int]) -> Filter:
    """Read a call's parameters: ``all since limit symbol portfolio strategy``.

    Raises:
        FieldError: one of them makes no sense.
    """
    params = call.params
    # Of orders that work none may be missed.
    limit = params.get("limit", LIMIT_MAX if params.get("all") or call.method == "orders" else LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= LIMIT_MAX:
        raise FieldError(f"limit is a whole number from 1 to {LIMIT_MAX:,}", field="limit", code="BAD_PARAM")
    since = params.get("since")
    since_ts = since_seq = None
    if since is not None:
        text = str(since)
        if _SEQ.fullmatch(text):
            since_seq = int(text)
        else:
            try:
                since_ts = read_time(text)
            except ValueError as error:
                raise FieldError(f"since: {error}", field="since", code="BAD_PARAM") from None
    names = {name: str(params.get(name) or "") for name in ("symbol", "portfolio", "strategy")}
    return Filter(bool(params.get("all", False)), since_ts, since_seq, limit, **names)


class ViewsError(OperatorError):
    """The views cannot be read at the moment."""


class Views:
    """See the module."""

    def __init__(self, path: Path, *, several: bool = False) -> None:
        """Prepare; the file is opened when it is first asked.

        Args:
            path: of views.db.
            several: whether rows say which portfolio they belong to.
        """
        self._path = path
        self._several = several
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._shut()

    # -- lists -------------------------------------------------------------------------------------------------------

    def orders(self, wanted: Filter) -> dict[str, Any]:
        """Return working orders, or all: ``orders.csv``."""
        where = [] if wanted.everything else ["open = 1"]
        return self._list("orders", wanted, order_row, where)

    def fills(self, wanted: Filter) -> dict[str, Any]:
        """Return executions: ``fills.csv``."""
        return self._list("fills", wanted, fill_row)

    def trades(self, wanted: Filter) -> dict[str, Any]:
        """Return round trips by exit: ``trades.csv``."""
        return self._list("trades", wanted, trade_row, ts="exit_ts")

    def alerts(self, wanted: Filter) -> dict[str, Any]:
        """Return alerts, those nobody acknowledged first; acknowledged ones only with ``everything``."""
        where, values = ["a.ts >= ?"], [wanted.since_ts if wanted.since_ts is not None else -(2**63) + 1]
        if not wanted.everything:
            where.append("k.alert_id IS NULL")
        joined = "SELECT a.*, k.ts AS acked_ts, k.by AS acked_by FROM alerts a LEFT JOIN alert_acks k USING (alert_id)"
        order = "ORDER BY k.alert_id IS NOT NULL, a.ts DESC, a.n DESC LIMIT ?"
        sql = f"{joined} WHERE {' AND '.join(where)} {order}"
        with self.reading() as (db, seq):
            found = db.execute(sql, (*values, wanted.limit + 1)).fetchall()
        return _answer("alerts", [_alert_row(row) for row in found], wanted.limit, seq)

    def signals(self, wanted: Filter) -> dict[str, Any]:
        """Return what strategies said, one row per symbol."""
        return self._decisions("signals", wanted, _signal_row)

    def predictions(self, wanted: Filter) -> dict[str, Any]:
        """Return what was predicted and, where its horizon is over, what happened: ``predictions.csv``."""
        return self._decisions("predictions", wanted, prediction_row)

    def equity(self, wanted: Filter) -> dict[str, Any]:
        """Return the portfolio at session closes, newest first."""
        with self.reading() as (db, seq):
            found = db.execute(
                "SELECT * FROM portfolio_snapshots WHERE session > 0 AND (?1 = '' OR portfolio = ?1)"
                " ORDER BY session DESC LIMIT ?2",
                (wanted.portfolio, wanted.limit + 1),
            ).fetchall()
        return _answer("equity", [_equity_row(row) for row in found], wanted.limit, seq)

    def unacknowledged(self) -> int:
        """Return how many critical alerts nobody has acknowledged."""
        acked = "SELECT alert_id FROM alert_acks"
        sql = f"SELECT count(*) FROM alerts WHERE severity = 'critical' AND alert_id NOT IN ({acked})"  # noqa: S608 - ours
        with self.reading() as (db, _):
            count: int = db.execute(sql).fetchone()[0]
        return count

    def knows_alert(self, alert_id: str) -> bool:
        """Tell whether there is an alert of this id."""
        with self.reading() as (db, _):
            return db.execute("SELECT 1 FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone() is not None

    # -- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """Yield a connection that sees one moment, and the seq of that moment.

        Raises:
            ViewsError: there are no views yet, or they cannot be read.
        """
        with self._lock:
            try:
                db = self._open()
                db.execute("BEGIN")
                try:
                    row = db.execute("SELECT seq FROM meta").fetchone()
                    yield db, 0 if row is None else int(row[0])
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
            except sqlite3.Error as error:
                self._shut()
                message = f"the views cannot be read at the moment: {error}"
                raise ViewsError(message, code="VIEWS_UNAVAILABLE", remedy="ask again in a moment") from error

    def _open(self) -> sqlite3.Connection:
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            self._shut()
            message = "the views are being built from the ledger"
            raise ViewsError(message, code="VIEWS_UNAVAILABLE", remedy="ask again in a moment") from None
        if self._db is not None and inode == self._inode:
            return self._db
        self._shut()  # it was built anew
        db = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        db.row_factory = sqlite3.Row
        for pragma in (f"busy_timeout = {BUSY_MS}", "query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            db.execute(f"PRAGMA {pragma}")
        self._db, self._inode = db, inode
        return db

    def _shut(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _list(
        self,
        table: str,
        wanted: Filter,
        shape: Callable[[sqlite3.Row], dict[str, Any]],
        where: list[str] | None = None,
        *,
        ts: str = "ts",
    ) -> dict[str, Any]:
        """Return rows of a numbered table; ``n`` grows with time, so a range of it is a range of time."""
        conditions = list(where or ())
        values: list[str | int] = []
        for name in ("symbol", "portfolio", "strategy"):
            value = getattr(wanted, name)
            if value:
                conditions.append(f"{name} = ?")
                values.append(value)
        with self.reading() as (db, seq):
            first = _first(db, table, ts, wanted)
            if first is not None:
                conditions.append("n >= ?")
                values.append(first)
            if wanted.since_seq is not None:
                conditions.append("seq > ?")
                values.append(wanted.since_seq)
            clause = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            sql = f"SELECT * FROM {table}{clause} ORDER BY n DESC LIMIT ?"  # noqa: S608 - names are ours, values bound
            found = db.execute(sql, (*values, wanted.limit + 1)).fetchall()
        rows = [shape(row) for row in found]
        if self._several:
            for shaped, row in zip(rows, found, strict=True):
                shaped["portfolio"] = row["portfolio"]
        return _answer(table, rows, wanted.limit, seq)

    def _decisions(
        self, what: str, wanted: Filter, shape: Callable[[sqlite3.Row, list[Any], Any], dict[str, Any]]
    ) -> dict[str, Any]:
        conditions = ["1"]
        values: list[str | int] = []
        if wanted.strategy:
            conditions.append("d.strategy = ?")
            values.append(wanted.strategy)
        rows: list[dict[str, Any]] = []
        with self.reading() as (db, seq):
            first = _first(db, "decisions", "ts", wanted)
            if first is not None:
                conditions.append("d.n >= ?")
                values.append(first)
            if wanted.since_seq is not None:
                conditions.append("d.seq > ?")
                values.append(wanted.since_seq)
            sql = (
                f"SELECT d.*, {_SCORES} AS scores FROM decisions d WHERE {' AND '.join(conditions)}"  # noqa: S608 - as above
                " ORDER BY d.n DESC LIMIT ?"
            )
            looked = 0
            for row in db.execute(sql, (*values, DECISIONS_MAX)):
                looked += 1
                cells = msgspec.json.decode(row["cells"])
                if wanted.symbol:
                    cells = [cell for cell in cells if cell[0] == wanted.symbol]
                if cells:
                    scores = msgspec.json.decode(row["scores"]) if row["scores"] else {}
                    rows += [shape(row, cell, scores.get(cell[0])) for cell in cells]
                if len(rows) > wanted.limit:
                    break
        answer = _answer(what, rows, wanted.limit, seq)
        answer["more"] = answer["more"] or looked == DECISIONS_MAX
        return answer


_SCORES: Final = (
    "coalesce((SELECT s.scores FROM scored s WHERE s.strategy = d.strategy AND s.decision = d.decision"
    " AND s.horizon = d.horizon), (SELECT s.scores FROM scored s WHERE s.strategy = d.model"
    " AND s.decision = d.decision AND s.horizon = d.horizon))"
)
"""What became of a decision's predictions; an older record names the model only."""


def _first(db: sqlite3.Connection, table: str, ts: str, wanted: Filter) -> int | None:
    """Return the smallest ``n`` whose stamp is not before what is wanted; None where everything is."""
    stamp = wanted.since_ts
    if stamp is None and wanted.since_seq is not None:
        row = db.execute("SELECT ts FROM events WHERE seq > ? ORDER BY seq, n LIMIT 1", (wanted.since_seq,)).fetchone()
        stamp = 2**63 - 1 if row is None else row[0]
    if stamp is None:
        return None
    row = db.execute(f"SELECT n FROM {table} WHERE {ts} >= ? ORDER BY {ts}, n LIMIT 1", (stamp,)).fetchone()  # noqa: S608 - ours
    return 2**63 - 1 if row is None else int(row[0])


def _answer(what: str, rows: list[dict[str, Any]], limit: int, seq: int) -> dict[str, Any]:
    return {
        "schema": f"tradingd.{what}/1",
        "rows": rows[:limit],
        "as_of_seq": seq,
        "more": len(rows) > limit,
    }


# -- rows --------------------------------------------------------------------------------------------------------------


def amount(value: int | None) -> msgspec.Raw | None:
    """Return an amount in units of 1e-8 as a plain JSON number."""
    return None if value is None else msgspec.Raw(fmt(value).encode())


def plain(value: float | None) -> msgspec.Raw | None:
    """Return a float as a plain JSON number, with all its digits."""
    return None if value is None else msgspec.Raw(number(value).encode())


def order_row(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row of ``orders.csv``, and beside it the terms of an order that has some."""
    terms = {} if row["terms"] is None else {"terms": msgspec.Raw(row["terms"].encode())}
    return {
        "order_id": row["order_id"] or None,
        "client_order_id": row["client_order_id"],
        "ts": format_ts(row["ts"]),
        "symbol": row["symbol"],
        "side": _SIDES[row["side"]],
        "type": row["type"],
        "tif": row["tif"],
        "qty": amount(row["qty"]),
        "limit_px": amount(row["limit_px"]),
        "stop_px": amount(row["stop_px"]),
        "status": row["status"],
        "cum_qty": amount(row["cum_qty"]),
        "avg_px": amount(row["avg_px"]),
        "reason": row["reason"],
        "strategy": row["strategy"],
        "parent_id": row["parent_id"],
        **terms,
    }


def fill_row(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row of ``fills.csv``."""
    return {
        "ts": format_ts(row["ts"]),
        "order_id": row["order_id"],
        "exec_id": row["exec_id"],
        "symbol": row["symbol"],
        "side": _SIDES[row["side"]],
        "qty": amount(row["qty"]),
        "price": amount(row["price"]),
        "px_source": row["px_source"],
        "fee": amount(row["commission"] + row["regulatory"]),
        "liquidity": row["liquidity"],
        **{name: amount(row[name]) for name in ("ref_px", "spread", "slippage", "impact", "commission")},
    }


def trade_row(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row of ``trades.csv``."""
    return {
        "symbol": row["symbol"],
        "side": _DIRECTIONS[row["side"]],
        "qty": amount(row["qty"]),
        "entry_ts": format_ts(row["entry_ts"]),
        "entry_px": amount(row["entry_px"]),
        "exit_ts": format_ts(row["exit_ts"]),
        "exit_px": amount(row["exit_px"]),
        "fees": amount(row["fees"]),
        "pnl": amount(row["pnl"]),
        "return": plain(row["ret"]),
        "mae": plain(row["mae"]),
        "mfe": plain(row["mfe"]),
        "entry_confidence": plain(row["entry_confidence"]),
        "exit_reason": row["exit_reason"],
        "strategy": row["strategy"],
    }


def _alert_row(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "ts": format_ts(row["ts"]),
        "severity": row["severity"],
        "key": row["key"],
        "title": row["title"],
        "facts": dict(msgspec.json.decode(row["facts"])),
        "action_taken": row["action_taken"],
        "next_command": row["next_command"],
        "count": row["count"],
        "alert_id": row["alert_id"],
        "state": row["state"],
        "acknowledged": row["acked_ts"] is not None,
        "acknowledged_by": row["acked_by"],
        "acknowledged_ts": None if row["acked_ts"] is None else format_ts(row["acked_ts"]),
    }


def _equity_row(row: sqlite3.Row) -> dict[str, Any]:
    money = {name: amount(row[name]) for name in ("equity", "cash", "gross", "net")}
    return {"ts": format_ts(row["ts"]), "session": row["session"], **money, "portfolio": row["portfolio"]}


def _signal_row(row: sqlite3.Row, cell: list[Any], scores: Any) -> dict[str, Any]:
    del scores
    symbol, score, confidence, p_up, _, _, reason = cell
    return {
        "ts": format_ts(row["ts"]),
        "strategy": row["strategy"],
        "decision": row["decision"],
        "symbol": symbol,
        "score": plain(score),
        "confidence": plain(confidence),
        "p_up": plain(p_up),
        "horizon": row["horizon"],
        "reason": reason,
    }


def prediction_row(row: sqlite3.Row, cell: list[Any], scores: Any) -> dict[str, Any]:
    """Return a row of ``predictions.csv`` for one symbol of a decision; ``scores`` are its realised returns."""
    symbol, score, confidence, p_up, price, bps, _ = cell
    realized, tradable = scores if scores is not None else (None, None)
    product = 0.0 if realized is None or score is None else score * realized
    return {
        "ts": format_ts(row["ts"]),
        "symbol": symbol,
        "model": row["model"],
        "horizon": row["horizon"],
        "prediction": "BUY" if (score or 0) > 0 else "SELL" if (score or 0) < 0 else "HOLD",
        "score": plain(score),
        "confidence": plain(confidence),
        "p_up": plain(p_up),
        "price": amount(price),
        "target_price": None if bps is None else amount(round(price * (1.0 + bps / 10_000.0))),
        "realized": plain(realized),
        "realized_tradable": plain(tradable),
        "hit": True if product > 0 else False if product < 0 else None,
    }
