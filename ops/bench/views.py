"""What looking costs: building views.db, asking it with many orders in it, and publishing the board.

    python ops/bench/views.py [--orders 100000] [--folder DIR]

Orders go through a real core into a real ledger (SQLite, as in live), the projector makes the views from it, and each
question is asked as ``tradingctl`` would: the median of many, with the rows it gave. The board is built over a core of
500 symbols, all of them held.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from actors.broker.params import BrokerParams  # noqa: E402 - run as a script
from actors.messages.catalogue import codec  # noqa: E402
from actors.risk.params import RiskLimits  # noqa: E402
from daemon.journal.journal import Manifest  # noqa: E402
from daemon.journal.sqlite import SqliteJournal  # noqa: E402
from daemon.system.board import build_board  # noqa: E402
from daemon.system.board_facts import ShellFacts  # noqa: E402
from daemon.system.views import Projector  # noqa: E402
from daemon.system.views_rows import Filter, Views  # noqa: E402
from daemon.system.views_why import why  # noqa: E402
from system.wired import House  # noqa: E402

SYMBOLS = tuple(f"S{i:02d}" for i in range(20))
PER_BAR = 200


def fill_ledger(folder: Path, orders: int) -> float:
    """Write a ledger with so many orders, three in four filled, the rest working; return seconds."""
    manifest = Manifest("bench", "1", "playback", 0, {}, "0" * 64, {}, {"symbols": list(SYMBOLS)}, "2020-01-02")
    journal = SqliteJournal(folder / "ledger.db", manifest, codec(), durable=True, batch=1_000)
    free = RiskLimits(replay=False, max_positions=0, min_order_value=0, max_order_value=0, max_position=0.0)
    house = House(
        symbols=SYMBOLS, sink=journal, limits=free, broker=BrokerParams(participation=0), deposit=10**9 * 10**8
    )
    prices = [100.0] * len(SYMBOLS)
    begin = time.perf_counter()
    house.bar(*prices)
    for n in range(orders):
        symbol, side = SYMBOLS[n % len(SYMBOLS)], "buy" if (n // len(SYMBOLS)) % 2 == 0 else "sell"
        if n % 4:
            house.submit(id=f"o{n}", symbol=symbol, side=side, qty=1)
        else:
            house.submit(id=f"o{n}", symbol=symbol, type="limit", limit_px=95, qty=1, tif="gtc")
            if n > 4_000:  # a few thousand work at a time
                house.call("order.cancel", id=f"o{n - 4_000}")
        if n % PER_BAR == PER_BAR - 1:
            house.bar(*prices)
            house.frames.clear()
    house.bar(*prices)
    journal.flush()
    journal.abandon()
    return time.perf_counter() - begin


def median_ms(ask: Callable[[], object], times: int = 60) -> tuple[float, float]:
    """Return median and worst milliseconds of a question."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken), max(taken)


def questions(views: Views, orders: int) -> list[tuple[str, Callable[[], object]]]:
    """Return what is asked, by name."""
    middle = f"o{orders // 2 + 1}"
    with views.reading() as (db, _):
        stamp = db.execute("SELECT ts FROM orders WHERE n = ?", (orders // 2,)).fetchone()[0]
        seq = db.execute("SELECT seq FROM orders WHERE n = ?", (orders - 50,)).fetchone()[0]
    return [
        ("orders", lambda: views.orders(Filter())),
        ("orders --all --limit 1000", lambda: views.orders(Filter(everything=True, limit=1_000))),
        ("orders --all --symbol S07", lambda: views.orders(Filter(everything=True, symbol="S07"))),
        ("orders --all --since the middle", lambda: views.orders(Filter(everything=True, since_ts=stamp))),
        ("orders --all behind a frame", lambda: views.orders(Filter(everything=True, since_seq=seq))),
        ("orders --all, a symbol there is not", lambda: views.orders(Filter(everything=True, symbol="NONE"))),
        ("fills --limit 1000", lambda: views.fills(Filter(limit=1_000))),
        ("trades --symbol S07", lambda: views.trades(Filter(symbol="S07"))),
        ("why, an order in the middle", lambda: why(views, middle)),
    ]


def board() -> tuple[float, float]:
    """Return median and worst milliseconds of a board over 500 symbols, all held."""
    names = tuple(f"S{i:03d}" for i in range(500))
    wide = RiskLimits(replay=False, max_positions=0, min_order_value=0, max_position=0.0)
    house = House(symbols=names, limits=wide)
    prices = [100.0 + i / 10 for i in range(len(names))]
    house.bar(*prices)
    for name in names:
        house.submit(symbol=name, qty=1)
    house.bar(*prices)
    facts = ShellFacts(version="1", run_id="b", mode="playback", started_ns=0, commit_ns=0, seq=0)
    return median_ms(lambda: build_board(house.core, house.universe, facts), 500)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the files there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        seconds = fill_ledger(folder, options.orders)
        print(f"{options.orders:,} orders through the core into the ledger: {seconds:.1f} s")
        begin = time.perf_counter()
        projector = Projector(folder)
        seq = projector.catch_up()
        seconds = time.perf_counter() - begin
        projector.stop()
        size = (folder / "views.db").stat().st_size
        print(f"views of {seq:,} inputs built in {seconds:.1f} s ({seq / seconds:,.0f}/s), {size / 1e6:.0f} MB")
        views = Views(folder / "views.db")
        print(f"{'question':40} {'median':>9} {'worst':>9}")
        for name, ask in questions(views, options.orders):
            middle, worst = median_ms(ask)
            print(f"{name:40} {middle:6.2f} ms {worst:6.2f} ms")
        views.close()
    middle, worst = board()
    print(f"{'board, 500 symbols held':40} {middle:6.3f} ms {worst:6.3f} ms")


if __name__ == "__main__":
    main()
