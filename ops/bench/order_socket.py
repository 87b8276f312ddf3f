"""Orders over the control socket of a real daemon, each acknowledged behind its commit, beside a raw fsync.

The daemon is the one a person starts; the clients are this process. ``order.submit`` asks for a limit order that rests;
the answer comes once the order is on disk. With many in flight one connection carries them all: the next is sent
whenever an answer comes in.
"""

from __future__ import annotations

import json
import selectors
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(ROOT)]

import live  # noqa: E402

from tests.live_support import Client, Daemon, daemon, minute_bars  # noqa: E402

SYMBOLS = ("AAPL", "MSFT")
CONNECTIONS = 10
"""Of which each may have 64 requests unanswered."""
STALLED_S = 30.0
PLAYED = "2024-01-02T15:00"
"""By then the recording has ended; no bar comes in between."""
SETTINGS = """
[feed.playback]
bars = ["bars.csv"]
adjustment = "raw"
speed = 6000
[[portfolio]]
name = "desk"
strategies = []
cash = 1000000000
[risk]
stale_ms = 0
max_position = 0
max_positions = 0
min_order_value = 0
max_order_value = 0
order_rate = 0
symbol_order_rate = 0
message_rate = 0
[risk.breakers.stale_data]
limit = 0
[control]
requests_per_s = 100000
"""
ORDER: dict[str, Any] = {"symbol": "AAPL", "side": "buy", "qty": 1, "type": "limit", "limit_px": 95, "tif": "gtc"}


class Link:
    """A connection that reads whatever answers have come, without waiting for a certain one."""

    def __init__(self, client: Client) -> None:
        """Take a connection that has said hello."""
        self.client = client
        self._rest = b""

    def fileno(self) -> int:
        """Return what a selector watches."""
        return self.client.socket.fileno()

    def answers(self) -> list[dict[str, Any]]:
        """Return the answers that are complete.

        Raises:
            ConnectionResetError: the daemon hung up.
        """
        data = self.client.socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


def in_flight(links: Sequence[Link], flying: int, count: int, prefix: str) -> tuple[float, list[float]]:
    """Submit orders with so many unanswered at a time; return seconds in all and of each."""
    took: list[float] = []
    sent: dict[tuple[Link, int], float] = {}
    number = 0

    def send(link: Link) -> None:
        nonlocal number
        number += 1
        began = time.perf_counter()
        sent[link, link.client.send("order.submit", id=f"{prefix}{number}", **ORDER)] = began

    with selectors.DefaultSelector() as selector:
        for link in links:
            selector.register(link, selectors.EVENT_READ)
        began = time.perf_counter()
        for n in range(min(flying, count)):
            send(links[n % len(links)])
        while len(took) < count:
            ready = selector.select(STALLED_S)
            if not ready:
                raise SystemExit(f"no answer came within {STALLED_S:.0f} s")
            for key, _ in ready:
                link: Any = key.fileobj
                for answer in link.answers():
                    took.append(time.perf_counter() - sent.pop((link, answer["id"])))
                    if answer.get("result", {}).get("status") != "new":
                        raise SystemExit(f"an order was not accepted: {json.dumps(answer)}")
                    if number < count:
                        send(link)
        return time.perf_counter() - began, took


def cpu_of(house: Daemon) -> float:
    """Return the seconds of CPU that the daemon has used."""
    if house.process is None:
        return 0.0
    stat = Path(f"/proc/{house.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / 100


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Return p50 and p99 in ms, orders a second and CPU us of the daemon, by what was measured."""
    rows: dict[str, Any] = {}

    def note(name: str, seconds: float, took: list[float], busy: float | None = None) -> None:
        steps = statistics.quantiles(took, n=100)
        row = {"rate": len(took) / seconds, "p50_ms": steps[49] * 1e3, "p99_ms": steps[98] * 1e3}
        rows[name] = row if busy is None else row | {"cpu_us": busy / len(took) * 1e6}

    def page(name: str) -> None:
        took = live.synced_pages(folder, max(200, count // 10))
        note(name, sum(took), took)

    page("8 KiB page, fdatasync")
    minute_bars(folder / "bars.csv", SYMBOLS, minutes=30)
    with daemon(folder, SETTINGS) as house:
        house.start()
        with ExitStack() as stack:
            links = [Link(stack.enter_context(house.client())) for _ in range(CONNECTIONS)]
            while links[0].client.call("status")["ts"] < PLAYED:
                house.manager.listen(0.05)
            in_flight(links[:1], 1, 20, "warm")
            for flying in (1, 10, 100):
                busy = cpu_of(house)
                many = max(100, count // 5) if flying == 1 else count
                seconds, took = in_flight(links[:flying], flying, many, f"c{flying}-")
                note(f"{flying} in flight", seconds, took, cpu_of(house) - busy)
        house.stop()
    page("8 KiB page, at the end")
    return rows


def main() -> None:
    """Measure and print one line of JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        sys.stdout.write(json.dumps(measure(Path(folder), count)) + "\n")


if __name__ == "__main__":
    main()
