"""Situations in which a daemon is killed: what it plays, who holds it up, who sends orders. Shared with ops/bench."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from tests.live_support import Daemon

SYMBOLS = tuple(f"S{k}" for k in range(5))
START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)

# ------------------------------------------------------------------------------------------------------------ the world

OPEN_LIMITS = """
[risk]
min_order_value = 0
max_order_value = 0
max_order_fraction = 0
max_position = 0
max_positions = 0
price_collar = 0
stale_ms = 0
duplicate_window_ms = 0
daily_loss_warn = 0
daily_loss_block = 0
daily_loss_halt = 0
max_drawdown = 0
[broker]
participation = 0
impact = "none"
"""
"""Nothing but the kill stops an order."""


def price(k: int, n: int) -> float:
    """Return a price that moves back and forth; the same for the same symbol and step."""
    return 100 + 10 * k + ((n * 7 + k * 3) % 21 - 10) / 10


def second_bars(path: Path, *, seconds: int) -> Path:
    """Write a bar a second for each symbol; volume ample."""
    with path.open("w", encoding="ascii") as file:
        file.write("ts,symbol,open,high,low,close,volume\n")
        for n in range(seconds):
            stamp = f"{START + timedelta(seconds=n):%Y-%m-%dT%H:%M:%SZ}"
            for k, symbol in enumerate(SYMBOLS):
                px = price(k, n)
                file.write(f"{stamp},{symbol},{px:.2f},{px + 0.6:.2f},{px - 0.6:.2f},{px + 0.1:.2f},1000000\n")
    return path


def quotes(path: Path, *, seconds: int, rate: int) -> Path:
    """Write ``rate`` quotes a second, each an instant of its own."""
    with path.open("w", encoding="ascii") as file:
        file.write("ts,symbol,bid_px,bid_size,ask_px,ask_size\n")
        for n in range(seconds * rate):
            stamp = START + timedelta(microseconds=n * 1_000_000 // rate)
            k = n % len(SYMBOLS)
            px = price(k, n // len(SYMBOLS))
            file.write(f"{stamp:%Y-%m-%dT%H:%M:%S.%f}Z,{SYMBOLS[k]},{px:.2f},1000,{px + 0.02:.2f},1000\n")
    return path


def settings(
    folder: Path,
    *,
    seconds: int = 600,
    speed: float | str = 20,
    quotes_a_second: int = 0,
    strategies: Sequence[str] = (),
    extra: str = "",
    risk: str = OPEN_LIMITS,
) -> str:
    """Write the recording of one session's beginning into ``folder`` and return the configuration that plays it.

    Args:
        folder: for the files.
        seconds: of recorded time.
        speed: of the playback.
        quotes_a_second: of recorded time; 0 for none.
        strategies: references that decide and that no portfolio follows.
        extra: more TOML, behind everything else.
        risk: [risk] and [broker].
    """
    bars = second_bars(folder / "bars.csv", seconds=seconds)
    played = f'bars = ["{bars}"]\n'
    if quotes_a_second:
        played += f'quotes = ["{quotes(folder / "quotes.csv", seconds=seconds, rate=quotes_a_second)}"]\n'
    pace = f'"{speed}"' if isinstance(speed, str) else f"{speed}"
    names = ", ".join(f'"{name}"' for name in strategies)
    return (
        f"[feed.playback]\n{played}speed = {pace}\n"
        f"[predictor]\nstrategies = [{names}]\ncall_budget_ms = 0\n"
        '[[portfolio]]\nname = "main"\ncash = 100000000\nstrategies = []\n'
        "[control]\nrequests_per_s = 100000\nconnections_max = 1000\ncall_timeout_s = 60\n"
        "[service]\nunclean_starts_max = 0\ndisk_halt_mb = 0\ndisk_reserve_mb = 0\n" + risk + extra
    )


# --------------------------------------------------------------------------------------------------------- who harms

SPINNER = '''
"""A strategy that does what it is told: keeps the main thread busy, or breaks the daemon from the inside."""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from actors.api import Params, Signal, Window, strategy

HERE = Path(__file__).parent


def tell(word: str) -> None:
    pipe = os.open(HERE / "told", os.O_WRONLY | os.O_NONBLOCK)
    os.write(pipe, f"{word} {time.monotonic()}\\n".encode())
    os.close(pipe)


def loop(seconds: str) -> None:
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        pass


def hold(seconds: str) -> None:
    ctypes.PyDLL(None).usleep(int(float(seconds) * 1e6))


def lose(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
            thread.join()


def deafen(what: str) -> None:
    from daemon.control.signals import POLL_S, SignalThread

    if what == "signals":
        signal.sigtimedwait = lambda _, seconds: time.sleep(seconds)
    else:
        SignalThread._look = lambda _: None
    time.sleep(4 * POLL_S)  # until its thread has come out of what it was in


@strategy(name="spinner", params=Params, lookback=1)
def spinner(w: Window, p: Params) -> Signal | None:
    try:
        lines = (HERE / "spin").read_text().splitlines()
    except FileNotFoundError:
        return None
    (HERE / "spin").unlink()
    *first, last = lines
    for line in first:
        carry_out(line)
    tell("begun")
    carry_out(last)
    tell("ended")
    return None


def spoil(what: str) -> None:
    from daemon.system.intake import MarketQueue

    def put(self, panel):
        raise OSError(f"no {what}")

    MarketQueue.put = put


def carry_out(line: str) -> None:
    how, argument = line.split()
    {"loop": loop, "hold": hold, "lose": lose, "deafen": deafen, "spoil": spoil}[how](argument)
'''


class Spinner:
    """The strategy above, as a file, and the pipe by which it says that it spins."""

    def __init__(self, folder: Path) -> None:
        """Write the file; ``reference`` is what the configuration names."""
        self._folder = folder
        (folder / "spinner.py").write_text(SPINNER, "utf-8")
        self.reference = f"{folder / 'spinner.py'}:spinner"
        os.mkfifo(folder / "told")
        self._pipe = os.open(folder / "told", os.O_RDWR | os.O_NONBLOCK)
        self._heard = b""

    def do(self, *orders: str) -> float:
        """Have it carry out orders at the next bar, one after the other; return the monotonic time the last one began.

        ``loop S`` computes for S seconds in Python, ``hold S`` keeps the interpreter in one C call, ``lose NAME`` ends
        a thread, ``deafen signals`` and ``deafen file`` take one ear from the thread that listens for kills;
        ``spoil data`` makes every market input fail.
        """
        new = self._folder / "spin.new"
        new.write_text("\n".join(orders), "ascii")
        new.rename(self._folder / "spin")
        return self._await("begun", 20)

    def ended(self, seconds: float) -> float:
        """Wait for its end; return the monotonic time it ended."""
        return self._await("ended", seconds)

    def _await(self, word: str, seconds: float) -> float:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            line, newline, rest = self._heard.partition(b"\n")
            if newline:
                self._heard = rest
                said, at = line.decode().split()
                assert said == word, f"the strategy said {said}, not {word}"
                return float(at)
            ready, _, _ = select.select([self._pipe], [], [], 0.5)
            if ready:
                self._heard += os.read(self._pipe, 4096)
        raise AssertionError(f"the strategy did not say {word!r} in {seconds} s")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)


@contextmanager
def foreign_lock(ledger: Path) -> Iterator[None]:
    """Hold the ledger's write lock, as any other process can."""
    db = sqlite3.connect(ledger, isolation_level=None, timeout=10)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


@contextmanager
def full_disk(d: Daemon) -> Iterator[None]:
    """Let no file of the daemon grow beyond what its ledger has now: to a process a disk that has become full."""
    assert d.process is not None
    size = d.ledger.with_name("ledger.db-wal").stat().st_size
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (max(size, 4096), unlimited))
    try:
        yield
    finally:
        if d.process.poll() is None:
            resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


@contextmanager
def idle_connections(path: Path, count: int, *, hello: bool = True) -> Iterator[list[socket.socket]]:
    """Keep connections open that say hello, or nothing at all, and then nothing more."""
    links = []
    try:
        for _ in range(count):
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(20)
            link.connect(str(path))
            if hello:
                link.sendall(b'{"jsonrpc":"2.0","id":0,"method":"hello","params":{"api":1,"client":"idle"}}\n')
                assert link.recv(4096), "the daemon greets"
            links.append(link)
        yield links
    finally:
        for link in links:
            link.close()


# ------------------------------------------------------------------------------------------------------------- traffic


@dataclass
class Told:
    """What a client was told of one order: the answer, or the reason of an error; and when."""

    at: float
    answer: dict[str, Any] | None
    error: str = ""


class Traffic:
    """Orders without end on one connection, a few at a time, and the log of every answer.

    Two in three buy at the market, every fourth rests far away, some sell; so at any time some are being accepted, some
    wait for the next bar and some rest.
    """

    def __init__(self, d: Daemon, *, depth: int = 4, name: str = "t") -> None:
        """Connect; the orders begin with :meth:`start`."""
        self._link = d.client(timeout=60)
        self._depth = depth
        self._name = name
        self._stop = threading.Event()
        self.asked: dict[str, float] = {}
        self.told: dict[str, Told] = {}
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._seen = threading.Condition()

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Send nothing more and take the answers that are on their way."""
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive(), "the daemon answered in the end"
        self.close()

    def close(self) -> None:
        """Hang up, whatever is on its way."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._link.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._link.close()

    def __enter__(self) -> Self:
        """Begin."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()

    def await_fill(self, d: Daemon, seconds: float = 30.0) -> None:
        """Wait until there is a fill."""
        deadline = time.monotonic() + seconds
        with d.client(timeout=seconds) as client:
            while not client.call("positions")["rows"]:
                assert time.monotonic() < deadline, "orders are filled"

    def await_accepted(self, count: int, seconds: float = 30.0) -> None:
        """Wait until ``count`` more orders were accepted."""
        with self._seen:
            want = self.accepted + count
            assert self._seen.wait_for(lambda: self.accepted >= want, seconds), "orders are accepted"

    def await_told(self, reason: str, seconds: float = 30.0) -> None:
        """Wait until an order was refused for this reason."""
        with self._seen:
            told = self._seen.wait_for(lambda: any(t.error == reason for t in self.told.values()), seconds)
            assert told, f"some order is refused as {reason}"

    @property
    def accepted(self) -> int:
        """How many orders were said to be accepted."""
        return sum(1 for told in list(self.told.values()) if is_accepted(told))

    def _run(self) -> None:
        waiting: dict[int, str] = {}
        n = 0
        try:
            while not (self._stop.is_set() and not waiting):
                while len(waiting) < self._depth and not self._stop.is_set():
                    key = f"{self._name}{n}"
                    self.asked[key] = time.monotonic()
                    waiting[self._link.send("order.submit", request_id=key, **order(n))] = key
                    n += 1
                line = self._link.receive()
                taken = waiting.pop(line.get("id", -1), None)
                if taken is None:
                    continue
                reason = line.get("error", {}).get("data", {}).get("reason", "")
                with self._seen:
                    self.told[taken] = Told(time.monotonic(), line.get("result"), reason)
                    self._seen.notify_all()
        except (OSError, ValueError):  # ValueError: closed under our hands
            return  # the daemon was killed: what had no answer was promised nothing


class Flood:
    """Many orders at once on many connections, each sent once, and what was answered."""

    def __init__(self, d: Daemon, *, connections: int, each: int, name: str = "flood") -> None:
        """Send them all; ``name`` begins their request ids."""
        self.told: dict[str, Told] = {}
        self._links = [d.client(timeout=60) for _ in range(connections)]
        self._sent: list[dict[int, str]] = []
        for c, link in enumerate(self._links):
            keys = [f"{name}{c}-{n}" for n in range(each)]
            self._sent.append({link.send("order.submit", request_id=key, **order(len(key))): key for key in keys})

    def receive(self, connection: int = -1) -> Told:
        """Return the next answer on a connection."""
        line = self._links[connection].receive()
        told = Told(time.monotonic(), line.get("result"), line.get("error", {}).get("data", {}).get("reason", ""))
        self.told[self._sent[connection].pop(line["id"])] = told
        return told

    def receive_all(self) -> None:
        """Take every answer that is owed."""
        for connection, sent in enumerate(self._sent):
            while sent:
                self.receive(connection)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        for link in self._links:
            link.close()


def order(n: int) -> dict[str, Any]:
    """Return the fields of the n-th order."""
    fields: dict[str, Any] = {"symbol": SYMBOLS[n % len(SYMBOLS)], "side": "buy", "qty": 1, "type": "market"}
    if n % 4 == 3:
        fields |= {"type": "limit", "limit_px": 1.0, "tif": "gtc"}
    elif n % 6 == 5:
        fields["side"] = "sell"
    return fields


def is_accepted(told: Told) -> bool:
    """Tell whether the client was told that an order is in the market."""
    return told.answer is not None and told.answer.get("order_id") is not None
