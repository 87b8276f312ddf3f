"""What cannot be undercut: the same rows into bare SQLite, and the order job as a bare Python loop.

SQLite gets exactly the rows that a run left in its ledger, in as many to a commit, WAL and ``synchronous=FULL``: no
encoding, no hash, nobody who decides. The loop keeps prices, cash, positions and working orders in dictionaries: no
events, no gate worth the name, no record of anything.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import order_job as job  # noqa: E402

from daemon.journal.schema import PAGE_SIZE, migrate  # noqa: E402
from daemon.journal.sqlite import BATCH  # noqa: E402

COLUMNS = "seq, ts, ts_event, source, input, n, body, causes, hash"


def sqlite_rows(ledger: Path, copy: Path) -> tuple[float, float, int]:
    """Insert the rows of a ledger into a new file; return seconds of wall and of CPU, and the number of rows."""
    source = sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)
    rows = source.execute(f"SELECT {COLUMNS} FROM frame ORDER BY seq").fetchall()  # noqa: S608 - a constant
    source.close()
    db = sqlite3.connect(copy, isolation_level=None)
    db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN")
    migrate(db, 0)
    db.execute("COMMIT")
    wall, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(rows), BATCH):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            f"INSERT INTO frame ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            rows[first : first + BATCH],
        )
        db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return time.perf_counter() - wall, time.process_time() - cpu, len(rows)


def bare_loop(shape: str, sessions: list[int], symbols: int) -> dict[str, Any]:
    """Do the job with dictionaries; return what was counted."""
    cash = float(job.CASH_PER_SYMBOL * symbols)
    held = dict.fromkeys(range(symbols), 0)
    working: dict[str, tuple[int, int, int, float]] = {}
    reserved, decision = 0.0, 0
    counts = {"orders": 0, "OrderAccepted": 0, "OrderCanceled": 0, "OrderFilled": 0, "OrderDenied": 0}
    rest = shape == "rest"
    for minutes in sessions:
        for minute in range(minutes):
            for name, (symbol, side, qty, limit) in list(working.items()):
                if rest:
                    reserved -= qty * limit
                    counts["OrderCanceled"] += 1
                else:
                    cash -= side * qty * job.OPEN_PX
                    held[symbol] += side * qty
                    counts["OrderFilled"] += 1
                del working[name]
            if minute == minutes - 1:
                continue
            side = -1 if not rest and decision % 2 else 1
            for symbol in range(symbols):
                counts["orders"] += 1
                need = job.QTY * job.LIMIT if rest else 0.0
                if (side > 0 and need > cash - reserved) or (side < 0 and held[symbol] < job.QTY):
                    counts["OrderDenied"] += 1
                    continue
                reserved += need
                working[f"{decision}-{symbol}"] = (symbol, side, job.QTY, job.LIMIT)
                counts["OrderAccepted"] += 1
            decision += 1
    return dict(counts)


def main() -> None:
    """Measure one of both and print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, help="copy this one's rows instead of doing the job")
    told = job.arguments(parser)
    if told.ledger is None:
        sessions = job.sessions_for(told.orders, told.symbols)
        job.tell(job.measure(lambda: lambda: bare_loop(told.shape, sessions, told.symbols), told.repeats))
        return
    outcome = job.Outcome(orders=told.orders)
    with tempfile.TemporaryDirectory(dir=told.ledger.parent) as folder:
        for n in range(told.repeats):
            wall, cpu, rows = sqlite_rows(told.ledger, Path(folder, f"{n}.db"))
            outcome.wall.append(wall)
            outcome.cpu.append(cpu)
            outcome.facts = {"rows": rows}
    job.tell(outcome)


if __name__ == "__main__":
    main()
