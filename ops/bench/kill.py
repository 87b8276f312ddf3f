"""How long a kill takes until it is acknowledged, and how far the ledger is behind it, while something is in the way.

    python ops/bench/kill.py [--kills 30] [--only NAME ...] [--spin-s 1] [--lock-s 0.2]

Real daemons with orders under way, one for each situation; kill, look, take it back, kill again. Milliseconds are from
connecting to the socket to the acknowledgement. The gap counts inputs between the last durable one at the
acknowledgement and the kill in the ledger: market data that had come in, never an order or a fill. Every row was
judged by the oracle of tests/faults/kill_oracle.py; a daemon that orders or fills behind a kill ends the benchmark.

Beside them, in the same run, stands what a bare write and fdatasync of 4 KiB cost here: a kill cannot be faster.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.kill_oracle import Judged, Kill, Witness, judge, kill_by_socket, revive
from tests.faults.killing import Flood, Spinner, Traffic, foreign_lock, full_disk, idle_connections, settings
from tests.live_support import Daemon, daemon

Trouble = Callable[[Daemon], AbstractContextManager[Any]]
MESSAGES = 10_000
"""A second, of the playback with quotes."""


@contextmanager
def queues_full(d: Daemon) -> Iterator[None]:
    """Hold the ledger and send more orders than may wait."""
    with ExitStack() as stack:
        with foreign_lock(d.ledger):
            flood = stack.enter_context(Flood(d, connections=20, each=64, name=f"flood{time.monotonic_ns()}-"))
            if flood.receive().error != "BUSY":
                raise RuntimeError("the queues are not full")
            yield
        flood.receive_all()


@contextmanager
def held(d: Daemon, seconds: float) -> Iterator[None]:
    """Hold the ledger, and go on holding it for a while behind the kill."""
    with foreign_lock(d.ledger):
        yield
        pause(d, seconds)


@contextmanager
def no_room(d: Daemon, traffic: Callable[[], Traffic]) -> Iterator[None]:
    """Let the disk be full until an order was refused for it."""
    with full_disk(d):
        before = refused(traffic())
        while refused(traffic()) == before:
            pause(d, 0.005)
        yield


def refused(traffic: Traffic) -> int:
    """Return how many orders found no room."""
    return sum(told.error == "LEDGER_FULL" for told in list(traffic.told.values()))


def pause(d: Daemon, seconds: float) -> None:
    """Let the daemon run on; it must not end."""
    if d.process is None:
        raise RuntimeError("there is no daemon")
    try:
        d.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError(f"the daemon ended:\n{d.tail()}")


class Bench:
    """One daemon after the other, and their figures."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Remember how often and how long."""
        self.options = options
        self.moments = random.Random(7)  # noqa: S311 - when the kills come
        self.traffic: Traffic

    def run(self, name: str, **options: Any) -> str:
        """Return the table's row of a situation."""
        with tempfile.TemporaryDirectory(prefix="kill-") as folder:
            return getattr(self, name)(Path(folder), **options)

    def series(self, folder: Path, label: str, toml: str, trouble: Trouble) -> str:
        """Kill again and again in one daemon."""
        kills: list[Kill] = []
        everybody: list[Traffic] = []
        with daemon(folder, toml) as d, ExitStack() as stack:
            d.start()
            witness = Witness(d.ledger)
            stack.callback(witness.close)
            for n in range(self.options.kills):
                with Traffic(d, name=f"r{n}-") as self.traffic:
                    everybody.append(self.traffic)
                    if not n:
                        self.traffic.await_fill(d)
                    self.traffic.await_accepted(5)
                    pause(d, self.moments.random() * 0.4)  # long enough for fills, and anywhere in a batch
                    with trouble(d):
                        kills.append(kill_by_socket(d, witness))
                with d.client(timeout=120) as client:
                    revive(client)
            d.stop()
            return row(label, [kill.took_ms for kill in kills], judge(d, kills, everybody))

    def playback(self, folder: Path) -> str:
        """Quotes at 10,000 a second."""
        seconds = 60 + 6 * self.options.kills
        toml = settings(folder, seconds=seconds, speed=5, quotes_a_second=MESSAGES // 5)
        seen: list[tuple[float, int]] = []

        def look(d: Daemon) -> AbstractContextManager[None]:
            with d.client() as client:
                seen.append((time.monotonic(), client.call("journal.head")["seq"]))
            return nullcontext()

        made = self.series(folder, "playback", toml, look)
        (began, first), (ended, last) = seen[0], seen[-1]
        rate = (last - first) / (ended - began) if ended > began else 0.0
        return made.replace("playback".ljust(40), f"playback, {rate:,.0f} messages/s".ljust(40))

    def queues(self, folder: Path) -> str:
        """Nothing is committed, over 1,000 calls wait, the next are refused."""
        return self.series(folder, "queues full", settings(folder, seconds=20_000), queues_full)

    def spin(self, folder: Path) -> str:
        """A strategy computes in Python on the main thread."""
        spinner = Spinner(folder)

        @contextmanager
        def spinning(_: Daemon) -> Iterator[None]:
            spinner.do(f"loop {self.options.spin_s}")
            yield
            spinner.ended(self.options.spin_s + 20)

        toml = settings(folder, seconds=20_000, strategies=[spinner.reference])
        made = self.series(folder, f"a strategy spins for {self.options.spin_s:g} s", toml, spinning)
        spinner.close()
        return made

    def lock(self, folder: Path) -> str:
        """Another process holds BEGIN IMMEDIATE."""
        label = f"ledger held, {self.options.lock_s:g} s beyond the kill"
        return self.series(folder, label, settings(folder, seconds=20_000), lambda d: held(d, self.options.lock_s))

    def disk(self, folder: Path) -> str:
        """No file may grow."""
        toml = settings(folder, seconds=20_000)
        return self.series(folder, "disk full", toml, lambda d: no_room(d, lambda: self.traffic))

    def idle(self, folder: Path) -> str:
        """Two hundred connections that say nothing more, where 32 may be open."""
        toml = settings(folder, seconds=20_000).replace("connections_max = 1000", "connections_max = 32")
        return self.series(folder, "200 idle connections", toml, lambda d: idle_connections(d.socket, 200))

    def cancel(self, folder: Path) -> str:
        """SIGKILL within milliseconds of the acknowledgement, while orders are being cancelled; then a new start."""
        kills: list[Kill] = []
        everybody: list[Traffic] = []
        with daemon(folder, settings(folder, seconds=20_000)) as d:
            for n in range(self.options.kills):
                with ExitStack() as stack:
                    d.start()
                    if n:
                        revive(stack.enter_context(d.client(timeout=60)))
                    witness = Witness(d.ledger)
                    stack.callback(witness.close)
                    traffic = stack.enter_context(Traffic(d, name=f"r{n}-"))
                    everybody.append(traffic)
                    traffic.await_accepted(20)
                    kills.append(kill_by_socket(d, witness))
                    pause(d, self.moments.random() * 0.005)
                    d.kill()
            d.start()
            d.stop()
            return row("SIGKILL while cancelling", [kill.took_ms for kill in kills], judge(d, kills, everybody))

    def ctl(self, folder: Path) -> str:
        """The whole of ``tradingctl kill``, from starting Python to its exit code."""
        took = []
        with daemon(folder, settings(folder, seconds=20_000)) as d, ExitStack() as stack:
            d.start()
            client = stack.enter_context(d.client(timeout=60))
            traffic = stack.enter_context(Traffic(d))
            for _ in range(self.options.kills):
                traffic.await_accepted(3)
                began = time.monotonic()
                done = d.ctl("kill", "--reason", "bench")
                took.append((time.monotonic() - began) * 1e3)
                if done.returncode:
                    raise RuntimeError(done.stderr)
                revive(client)
            traffic.stop()
            d.stop()
            return row("tradingctl kill, the whole program", took, None)


def raw_sync(rounds: int) -> str:
    """Return the row of a bare overwrite of 4 KiB with fdatasync."""
    took = []
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        descriptor = os.open(Path(folder) / "raw", os.O_RDWR | os.O_CREAT)
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)
        for _ in range(rounds):
            began = time.monotonic()
            os.pwrite(descriptor, bytes(4096), 0)
            os.fdatasync(descriptor)
            took.append((time.monotonic() - began) * 1e3)
        os.close(descriptor)
    return row("(bare write + fdatasync of 4 KiB)", took, None)


def row(label: str, took: list[float], judged: Judged | None) -> str:
    """Return one line of the table."""
    steps = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 99
    figures = f"{label:<40}{len(took):>6}{steps[49]:>8.1f}{steps[94]:>8.1f}{max(took):>8.1f}"
    if judged is None:
        return figures
    return f"{figures}{max(judged.gaps):>12,}{judged.accepted:>10,}{judged.filled:>8,}"


SITUATIONS = ("playback", "queues", "spin", "lock", "disk", "idle", "cancel", "ctl")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="in each situation")
    parser.add_argument("--only", nargs="+", choices=SITUATIONS, default=SITUATIONS)
    parser.add_argument("--spin-s", type=float, default=1.0, help="how long the strategy spins")
    parser.add_argument("--lock-s", type=float, default=0.2, help="how long the lock is held beyond the kill")
    options = parser.parse_args()
    bench = Bench(options)
    print(
        f"{'acknowledged after, ms':<40}{'kills':>6}{'p50':>8}{'p95':>8}{'max':>8}"
        f"{'largest gap':>12}{'accepted':>10}{'filled':>8}"
    )
    for name in options.only:
        print(bench.run(name), flush=True)
    print(raw_sync(max(options.kills, 100)))


if __name__ == "__main__":
    main()
