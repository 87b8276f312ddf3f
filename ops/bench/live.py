"""What being live costs: the core loop with its durable ledger, beside the replay engine and bare fsync.

    python ops/bench/live.py [--quick] [--folder DIR]

Throughput: the same market inputs through the loop of the daemon (gated intake, group commit, tape and ledger synced)
and through the replay engine with its ledger synced and unsynced. Quotes cause nothing between two minutes; bars carry
one order each. Latency: clients submit orders and wait for the answer, which comes behind the commit; 1, 10 and 100 of
them at a time. Beside it what the disk takes for a synced page and SQLite for a row.
"""

from __future__ import annotations

import argparse
import gc
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402 - run as a script

from actors.api import PanelWindow, Params, Scores, spec_of, strategy  # noqa: E402
from actors.broker.params import BrokerParams  # noqa: E402
from actors.messages.catalogue import codec  # noqa: E402
from actors.messages.market import QuotePanel, SessionOpened  # noqa: E402
from actors.messages.orders import OrderAccepted  # noqa: E402
from actors.messages.portfolio import DepositCash  # noqa: E402
from actors.portfolio.params import PortfolioSpec  # noqa: E402
from actors.predictor.registry import bind_spec  # noqa: E402
from actors.risk.params import RiskLimits  # noqa: E402
from actors.values import Session, Universe, parse_interval  # noqa: E402
from daemon.journal.journal import Manifest  # noqa: E402
from daemon.journal.memory import MemoryJournal  # noqa: E402
from daemon.journal.sqlite import SqliteJournal  # noqa: E402
from daemon.kernel.clock import VirtualClock  # noqa: E402
from daemon.kernel.message import Market  # noqa: E402
from daemon.system.composition import CoreSpec, build_core  # noqa: E402
from daemon.system.engine import ReplayEngine  # noqa: E402
from system.core_rig import CASH, MINUTE, OPEN, SYMBOLS, Rig, bars, events, rig  # noqa: E402

T = TypeVar("T")
REPEATS = 3
SECOND = 10**9
FREE = RiskLimits(
    replay=False,
    daily_loss_warn=0.0,
    daily_loss_block=0.0,
    daily_loss_halt=0.0,
    max_drawdown=0.0,
    max_positions=0,
    min_order_value=0,
    max_order_value=0,
    max_position=0.0,
    duplicate_window_ns=0,
)


@strategy(lookback=1, horizon=1, fields=("open",))
def one_a_bar(w: PanelWindow, _: Params) -> Scores:
    """Go in and out of the first symbol with every bar."""
    score = np.sign(w.close[-1] - w.open[-1])
    score[1:] = np.nan
    return Scores(score, confidence=np.where(np.isfinite(score), 0.95, np.nan))


def core(*, trading: bool) -> CoreSpec:
    """Return a core of three symbols."""
    found = spec_of(one_a_bar)
    bindings = (bind_spec(found),) if trading and found is not None else ()
    portfolio = PortfolioSpec(
        "main", CASH, strategies=tuple(b.name for b in bindings), rebalance="signal", min_weight=0.0, stop_loss=0.0
    )
    return CoreSpec(
        universe=Universe(SYMBOLS),
        interval=parse_interval("1m"),
        bindings=bindings,
        decision_interval=None,
        broker=BrokerParams(participation=0),
        limits=FREE,
        portfolios=(portfolio,),
        seed=1,
    )


def quotes(count: int) -> list[Market]:
    """Return a session that opened, and so many quotes of every symbol, ten a second."""
    session = Session(20200102, OPEN, OPEN + 390 * MINUTE, 0)
    ids, size = np.arange(3, dtype=np.int32), np.full(3, 100.0)
    bid, ask = np.array([100.0, 50.0, 300.0]), np.array([100.1, 50.1, 300.1])
    found: list[Market] = [SessionOpened(OPEN, session)]
    found += [QuotePanel(OPEN + n * SECOND // 10, ids, bid, size, ask, size) for n in range(1, count + 1)]
    return found


# -- throughput --------------------------------------------------------------------------------------------------------


def replayed(folder: Path, inputs: Sequence[Market], spec: CoreSpec, journal: str) -> tuple[float, float]:
    """Replay; return seconds on the wall and of CPU."""
    manifest = Manifest("bench", "0", "replay", 1, {}, "0" * 64, {}, {}, "")
    path = folder / f"{time.monotonic_ns()}.db"
    sink = (
        MemoryJournal() if journal == "memory" else SqliteJournal(path, manifest, codec(), durable=journal == "durable")
    )
    clock = VirtualClock()
    built = build_core(spec, clock=clock, sink=sink)
    engine = ReplayEngine(
        built.sequencer, clock, deposits=[DepositCash("main", CASH, "opening deposit")], first_bar=OPEN
    )
    wall, cpu = time.perf_counter(), time.process_time()
    engine.run(iter(inputs))
    if isinstance(sink, SqliteJournal):
        sink.close("ended", built.sequencer.digest.hex())
    return time.perf_counter() - wall, time.process_time() - cpu


async def played(folder: Path, inputs: Sequence[Market], spec: CoreSpec) -> tuple[float, float, int, int]:
    """Play through the loop; return seconds on the wall and of CPU, commits, orders."""
    wall = cpu = 0.0

    def started(_: Rig) -> None:
        nonlocal wall, cpu
        gc.collect()
        gc.freeze()
        wall, cpu = time.perf_counter(), time.process_time()

    async with rig(folder, inputs, spec=spec, prepare=started) as r:
        await r.until(lambda: r.intake.queue.ended and r.intake.exhausted)
        await r.loop.drain()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return wall, cpu, r.loop.batches_committed, len(events(r.recorded(), OrderAccepted))


def throughput(folder: Path, name: str, inputs: Sequence[Market], spec: CoreSpec, repeats: int) -> None:
    """Measure and print one load."""
    lives = [run(lambda n=n: played(folder / f"{name}{n}", inputs, spec)) for n in range(repeats)]
    wall, cpu, commits, orders = sorted(lives)[len(lives) // 2]
    rows = {"daemon's loop": (wall, cpu)}
    for kind in ("durable", "fast", "memory"):
        repeated = sorted(replayed(folder, inputs, spec, kind) for _ in range(repeats))
        rows[f"replay, {kind} ledger"] = repeated[len(repeated) // 2]
    print(f"\n{name}: {len(inputs):,} inputs, {orders:,} orders, {commits:,} commits")
    print(f"  {'':26} {'inputs/s':>10} {'us wall':>9} {'us CPU':>9}")
    for what, (seconds, busy) in rows.items():
        each = 1e6 / len(inputs)
        print(f"  {what:26} {len(inputs) / seconds:10,.0f} {seconds * each:9.1f} {busy * each:9.1f}")


# -- latency -----------------------------------------------------------------------------------------------------------


def synced_pages(folder: Path, count: int) -> list[float]:
    """Append pages and sync each; return seconds of each."""
    path, found = folder / "pages", []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    page = os.urandom(8192)
    for _ in range(count):
        begin = time.perf_counter()
        os.write(descriptor, page)
        os.fdatasync(descriptor)
        found.append(time.perf_counter() - begin)
    os.close(descriptor)
    return found


def synced_rows(folder: Path, count: int) -> list[float]:
    """Commit rows to SQLite, WAL and FULL, each on its own; return seconds of each."""
    db = sqlite3.connect(folder / "rows.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
    found = []
    for n in range(count):
        begin = time.perf_counter()
        db.execute("INSERT INTO t VALUES (?, ?)", (n, bytes(500)))
        found.append(time.perf_counter() - begin)
    db.close()
    return found


async def in_flight(folder: Path, clients: int, count: int) -> tuple[float, float, list[float]]:
    """Let so many clients submit orders, each after the answer to its last.

    Returns:
        seconds on the wall, of CPU, and of each order.
    """
    market = bars(1, 5)[:-1]
    async with rig(folder, market, spec=core(trading=False)) as r:
        await r.settle()
        gc.collect()
        gc.freeze()
        found: list[float] = []

        async def client(number: int) -> None:
            for n in range(count // clients):
                begin = time.perf_counter()
                outcome = await r.order(key=f"{number}.{n}", symbol="MSFT", qty=1, type="limit", limit_px=47)
                found.append(time.perf_counter() - begin)
                if outcome.result is None or outcome.result["status"] != "new":
                    raise SystemExit(f"an order was not accepted: {outcome}")

        wall, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as group:
            for number in range(clients):
                group.start_soon(client, number)
        return time.perf_counter() - wall, time.process_time() - cpu, found


def line(what: str, seconds: float, busy: float, times: Sequence[float], page: float) -> str:
    """Return one row of the table of latencies."""
    ordered = sorted(times)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    rate, each = len(times) / seconds, busy / len(times) * 1e6
    return f"  {what:26} {rate:10,.0f} {p50 * 1e3:9.3f} {p99 * 1e3:9.3f} {p50 / page:12.2f} {each:9.0f}"


def synced(what: str, measure: Callable[[Path, int], list[float]], folder: Path, count: int, page: float) -> str:
    """Return the row of a bare mechanism; where ``page`` is 0 its own median is the unit."""
    busy = time.process_time()
    times = measure(folder, count)
    return line(what, sum(times), time.process_time() - busy, times, page or statistics.median(times))


def latency(folder: Path, orders: int) -> None:
    """Measure and print latencies."""
    count = max(200, orders // 20)
    page = statistics.median(synced_pages(folder, count))
    print("\nan order, from its being put in to its answer behind the commit")
    print(f"  {'':26} {'a second':>10} {'p50 ms':>9} {'p99 ms':>9} {'synced pages':>12} {'us CPU':>9}")
    print(synced("8 KiB page, fdatasync", synced_pages, folder, count, page))
    print(synced("SQLite row, WAL FULL", synced_rows, folder, count, page))
    for clients in (1, 10, 100):
        many = orders // 10 if clients == 1 else orders
        seconds, busy, times = run(lambda c=clients, n=many: in_flight(folder / f"flight{c}", c, n))
        print(line(f"{clients} in flight", seconds, busy, times, page))
    print(synced("8 KiB page, at the end", synced_pages, folder, count, page))


def run(function: Callable[[], Awaitable[T]]) -> T:
    """Run on the loop that the daemon runs on."""
    try:
        return anyio.run(function, backend_options={"use_uvloop": True})
    finally:
        gc.unfreeze()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few inputs: shows that it works")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; by default a temporary one")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, repeats = Path(name), 1 if quick else REPEATS
        throughput(folder, "quotes", quotes(2_000 if quick else 100_000), core(trading=False), repeats)
        days, minutes = (1, 60) if quick else (26, 385)
        throughput(folder, "bars with an order each", bars(days, minutes), core(trading=True), repeats)
        latency(folder, 500 if quick else 20_000)


if __name__ == "__main__":
    main()
