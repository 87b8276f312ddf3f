"""From process start to READY on a ledger of a million events, beside an empty one, and how long verify takes on it.

    python ops/bench/ready.py [--events 1000000] [--starts 3] [--runs 0] [--verify] [--keep DIR]

The daemon itself writes the ledger: playback of minute bars as fast as it goes, a strategy that trades 20 symbols all
the time, and clients that order, replace and cancel over the control socket. It is killed (SIGKILL) when the tail
behind its last snapshot is long, and started again as a person would: ``python -m daemon run``. Times are those of the
service manager's socket; phases are those of the daemon's own log.

``--runs`` adds so many runs to the ledger, each with the manifest of the real one, as so many restarts would: a start
must not notice. ``--verify`` runs ``tradingd verify`` beside the running daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import msgspec  # noqa: E402 - run as a script
import polars as pl  # noqa: E402

from actors.messages.catalogue import MARKET, codec  # noqa: E402
from daemon.journal.journal import Manifest  # noqa: E402
from daemon.journal.lock import InstanceLock  # noqa: E402
from daemon.journal.market_codec import MarketCodec  # noqa: E402
from daemon.journal.recovery import open_ledger  # noqa: E402
from daemon.journal.writer import LedgerWriter  # noqa: E402
from tests.faults.workload import STRATEGY  # noqa: E402
from tests.live_support import CallError, Daemon, DaemonFailedError  # noqa: E402

TARGET_S: Final = 5.0
SYMBOLS: Final = tuple(f"S{k:02d}" for k in range(20))
TAIL: Final = 0.9
"""How much of the events between two snapshots lies behind the last one when the daemon is killed."""
SETTINGS: Final = """
[universe]
calendar = "always"
[feed.playback]
bars = ["bars.parquet"]
adjustment = "raw"
speed = 6000
loop = true
[predictor]
strategies = ["restless.py:restless"]
decision_interval = "2m"
call_overruns_max = 0
[[portfolio]]
name = "restless"
strategies = ["restless"]
cash = 10000000
rebalance = "signal"
max_weight = 0.05
min_weight = 0.01
[[portfolio]]
name = "desk"
strategies = []
cash = 10000000
[risk]
stale_ms = 0
max_position = 0
max_positions = 0
min_order_value = 0
max_order_value = 0
daily_loss_warn = 0
daily_loss_block = 0
daily_loss_halt = 0
max_drawdown = 0
[broker]
commission_rate = 0.0001
[control]
requests_per_s = 5000
[service]
unclean_starts_max = 0
disk_halt_mb = 0
"""


def write_bars(path: Path, minutes: int) -> None:
    """Write one-minute bars round the clock, prices wander."""
    dice = random.Random(11)  # noqa: S311 - a seed for a benchmark
    start = datetime(2024, 1, 2, tzinfo=UTC)
    columns: dict[str, list[Any]] = {name: [] for name in ("ts", "symbol", "open", "high", "low", "close", "volume")}
    prices = {symbol: 50.0 + 10 * k for k, symbol in enumerate(SYMBOLS)}
    for minute in range(minutes):
        ts = start + timedelta(minutes=minute)
        for symbol in SYMBOLS:
            first = prices[symbol]
            last = prices[symbol] = min(max(first * (1 + dice.gauss(0, 0.001)), 20.0), 500.0)
            row = (ts, symbol, first, max(first, last) * 1.0005, min(first, last) * 0.9995, last, 1_000_000)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    pl.DataFrame(columns).with_columns(pl.col("open", "high", "low", "close").round(4)).write_parquet(path)


class House(Daemon):
    """The daemon as a person starts it."""

    def spawn(self, **_: Any) -> subprocess.Popen[str]:
        """Start it without waiting."""
        command = [sys.executable, "-m", "daemon", "run", "--config", str(self.config)]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TRADINGD_")}
        environ |= {"NOTIFY_SOCKET": str(self.manager.path), "PYTHONPATH": str(ROOT)}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environ, stdout=log, stderr=log, text=True)
        return self.process

    @property
    def running(self) -> subprocess.Popen[str]:
        """The process."""
        if self.process is None:
            raise DaemonFailedError("it was never started")
        return self.process


class Client(threading.Thread):
    """Orders over the socket until told to end: market and limit, day and until cancelled, cancels and replaces."""

    def __init__(self, house: House, number: int) -> None:
        super().__init__(daemon=True)
        self.house = house
        self.number = number
        self.ended = threading.Event()
        self.orders = 0

    def run(self) -> None:
        """Order."""
        dice = random.Random(self.number)  # noqa: S311 - a seed for a benchmark
        working: list[str] = []
        with self.house.client() as client:
            while not self.ended.is_set():
                self.orders += 1
                name = f"c{self.number}-{self.orders}"
                side, draw = dice.choice(("buy", "buy", "sell")), dice.random()
                params = {"symbol": dice.choice(SYMBOLS), "side": side, "qty": dice.randrange(1, 60), "id": name}
                if draw > 0.5:
                    params |= {"type": "limit", "limit_px": dice.randrange(20, 300), "tif": dice.choice(("day", "gtc"))}
                try:
                    answer = client.call("order.submit", portfolio="desk", **params)
                    if answer["status"] == "new":
                        working.append(name)
                    if len(working) > 20:
                        client.call("order.cancel", id=working.pop(0))
                except CallError:
                    continue  # denied by a limit, or filled meanwhile: as it happens
                except OSError:
                    return


def events_in(house: House, after: int = 0) -> int:
    """Return how many events the ledger holds behind an input."""
    return int(house.query(f"SELECT coalesce(sum(n), 0) FROM frame WHERE seq > {after}")[0][0])  # noqa: S608 - a number


def build(house: House, events: int) -> None:
    """Let the daemon write the ledger, and kill it."""
    tail = min(TAIL * 50_000, events / 2)  # journal.snapshot_events
    began = time.monotonic()
    house.start()
    clients = [Client(house, n) for n in range(2)]
    for client in clients:
        client.start()
    total = 0
    while total < events or tail_of(house) < tail:
        house.manager.listen(1.0 if total < events else 0.05)
        if house.running.poll() is not None:
            raise DaemonFailedError(house.tail())
        total = events_in(house)
        if sys.stdout.isatty():
            print(f"\r{total:,} events", end="", flush=True)
    house.kill()
    for client in clients:
        client.ended.set()
        client.join(10)
    seconds = time.monotonic() - began
    print(f"\rbuilt in {seconds:.0f} s: {total / seconds:,.0f} events/s, {sum(c.orders for c in clients):,} orders")


def tail_of(house: House) -> int:
    """Return how many events lie behind the newest snapshot."""
    return events_in(house, house.query("SELECT coalesce(max(seq), 0) FROM snapshot")[0][0])


def describe(house: House) -> None:
    """Print what the ledger holds."""
    decode = codec().decode_many
    kinds: Counter[str] = Counter()
    db = sqlite3.connect(f"file:{house.ledger}?mode=ro", uri=True)
    frames, events = db.execute("SELECT count(*), sum(n) FROM frame").fetchone()
    for (body,) in db.execute("SELECT body FROM frame WHERE seq % 37 = 0 AND n > 0"):
        kinds.update(type(event).__name__ for event in decode(body))
    manifest = db.execute("SELECT length(manifest) FROM run ORDER BY id DESC LIMIT 1").fetchone()[0]
    snapshot = db.execute("SELECT coalesce(max(length(core) + length(edge)), 0) FROM snapshot").fetchone()[0]
    runs = db.execute("SELECT count(*) FROM run").fetchone()[0]
    db.close()
    sizes = {path: path.stat().st_size for path in (house.ledger, *(house.state / "tape").iterdir())}
    tapes = sum(sizes.values()) - sizes[house.ledger]
    total = sum(kinds.values())
    print(f"{frames:,} inputs kept, {events:,} events, {runs:,} runs; tail {tail_of(house):,} events")
    print(f"ledger {sizes[house.ledger] / 2**20:.0f} MiB, {len(sizes) - 1} tapes {tapes / 2**20:.0f} MiB,", end=" ")
    print(f"snapshot {snapshot / 2**10:.0f} KiB, manifest {manifest / 2**10:.1f} KiB")
    print("of a sample:", ", ".join(f"{kind} {n / total:.0%}" for kind, n in kinds.most_common(9)))


def start(house: House) -> dict[str, float]:
    """Start it; return the seconds of each phase, and MiB."""
    house.log.unlink(missing_ok=True)
    seconds = house.start()
    status = Path(f"/proc/{house.running.pid}/status").read_text("ascii")
    stat = Path(f"/proc/{house.running.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    memory = {line.split()[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("Vm")}
    while "ready" not in (logged := {line["event"]: line for line in house.logged()}):
        house.manager.listen(0.01)  # another thread writes the log
    recovered, ready = logged["recovered"], logged["ready"]
    return {
        "process to READY": seconds,
        "of that, CPU": cpu,
        "interpreter, imports, settings": seconds - ready["seconds"],
        "ledger to recovered": recovered["seconds"],
        "recovered to ready": ready["seconds"] - recovered["seconds"],
        "refolded": recovered["refolded"],
        "RSS MiB": memory["VmRSS:"],
        "peak MiB": memory["VmHWM:"],
    }


def starts(house: House, count: int, name: str) -> float:
    """Start and kill it so many times; print medians and return the slowest."""
    found = []
    for _ in range(count):
        found.append(start(house))
        house.kill()
    print(f"{name}, {count} starts behind a SIGKILL, median (worst):")
    for phase in found[0]:
        values = [row[phase] for row in found]
        print(f"  {phase:32} {statistics.median(values):10,.3f} ({max(values):,.3f})")
    return max(row["process to READY"] for row in found)


async def add_runs(state: Path, count: int) -> None:
    """Begin and seal so many runs, each with the manifest of the last."""
    market = MarketCodec(MARKET)
    with InstanceLock(state):
        opened = open_ledger(state, codec(), market)
        last = opened.run
        if last is None:
            raise ValueError("there is no ledger to add runs to")
        manifest = msgspec.json.decode(last.manifest, type=Manifest)
        writer = await LedgerWriter.open(
            state,
            codec=codec(),
            market=market,
            manifest=msgspec.structs.replace(manifest, run_id=f"again-{last.id}"),
            opened=opened,
            overtaken=lambda: False,
        )
        for n in range(count):
            await writer.roll(msgspec.structs.replace(manifest, run_id=f"again-{last.id}-{n}"))
        await writer.close()
        opened.close()


def verify(house: House) -> None:
    """Run ``tradingd verify`` beside the running daemon; print seconds and memory."""
    house.start()
    began = time.monotonic()
    command = [sys.executable, "-m", "daemon", "verify", str(house.state)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    seconds, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    house.kill()
    print(f"verify beside it: {seconds:.1f} s, CPU {cpu:.1f} s, {used.ru_maxrss / 1024:,.0f} MiB at most,", end=" ")
    print(f"exit {process.returncode}")
    print(text)


def main() -> int:
    """Build, start, print; 1 where a start took too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--minutes", type=int, default=10_080, help="of the recording, which is played in a loop")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--keep", type=Path, help="keep the files there, and use those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=True, parents=True)
        if not (folder / "bars.parquet").exists():
            write_bars(folder / "bars.parquet", options.minutes)
            (folder / "restless.py").write_text(STRATEGY, "ascii")
        house = House(folder, SETTINGS)
        try:
            if not house.ledger.exists():
                build(house, options.events)
            if options.runs:
                asyncio.run(add_runs(house.state, options.runs))
            describe(house)
            slowest = starts(house, options.starts, "that ledger")
            if options.verify:
                verify(house)
        finally:
            house.close()
        empty = House(folder, SETTINGS)
        empty.state = folder / "empty"
        empty.write(SETTINGS)
        try:
            starts(empty, options.starts, "an empty ledger" if not empty.ledger.exists() else "a young ledger")
        finally:
            empty.close()
    print(f"slowest start {slowest:.2f} s; the promise is {TARGET_S:.0f} s")
    return int(slowest >= TARGET_S)


if __name__ == "__main__":
    sys.exit(main())
