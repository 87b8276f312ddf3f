"""Orders a second: through gate, broker and durable ledger in replay, and acknowledged over the socket of a daemon.

    python ops/bench/orders.py [--quick] [--json] [--no-peers] [--no-live] [--orders N] [--keep DIR]

Beside them, in the same run: the same rows into bare SQLite, the same job as a bare Python loop, nautilus_trader where
it installs, and what this disk takes for a synced page. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import peers  # noqa: E402 - found beside this file
from order_job import SHAPES, Outcome  # noqa: E402
from table import grid  # noqa: E402

WANTED: Final = 50_000
"""Orders a second in replay, of the plan."""
ORDERS: Final = 500_000
PEER_SHARE: Final = 20
"""A peer is given so many times fewer orders: it takes that much longer."""
REPEATS: Final = 3
LIVE: Final = 20_000
QUICK: Final = 4_000
OURS: Final = (
    ("an input each", "script", 20),
    ("20 in a decision", "decision", 20),
    ("500 in a decision", "decision", 500),
)
NAUTILUS: Final = peers.Peer("nautilus_trader", ("nautilus_trader", "pyarrow"), "peer_nautilus_orders.py", 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few orders, one repeat: shows that it works")
    parser.add_argument("--json", action="store_true", help="print figures as JSON instead of tables")
    parser.add_argument("--no-peers", action="store_true", help="install nothing")
    parser.add_argument("--no-live", action="store_true", help="replay only")
    parser.add_argument("--orders", type=int, default=0, help=f"in replay, {ORDERS:,} unless told")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep environments there and use them again")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch) if told.keep is None else told.keep.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        answer = measure(
            folder,
            orders=told.orders or (QUICK if told.quick else ORDERS),
            repeats=1 if told.quick else REPEATS,
            live=0 if told.no_live else QUICK // 4 if told.quick else LIVE,
            with_peers=not told.no_peers,
        )
    sys.stdout.write((json.dumps(answer, indent=2) if told.json else render(answer)) + "\n")


def measure(folder: Path, *, orders: int, repeats: int, live: int, with_peers: bool) -> dict[str, Any]:
    """Measure everything; ledgers, state and environments go to ``folder``."""
    nautilus = _interpreter(folder) if with_peers else ""
    replay = {shape: _replay(shape, folder, nautilus, orders, repeats) for shape in SHAPES}
    answer: dict[str, Any] = {"schema": "tradingd.bench.orders/1", "python": platform.python_version()}
    answer |= {"orders": orders, "repeats": repeats, "replay": replay}
    if live:
        _say("the daemon's socket")
        answer["live"] = peers.tell(Path(sys.executable), "order_socket.py", str(live), str(folder))
    return answer


def _interpreter(folder: Path) -> Path | str:
    """Return the interpreter of the peer's environment, or the sentence why there is none."""
    _say(f"environment of {NAUTILUS.name}")
    try:
        return peers.install(NAUTILUS, folder)
    except peers.ContenderError as error:
        return f"cannot be installed here: {error}"


def _replay(shape: str, folder: Path, nautilus: Path | str, orders: int, repeats: int) -> dict[str, Any]:
    """Measure one shape; the rows that bare SQLite gets are those of the first way in."""
    python = Path(sys.executable)

    def job(driver: str, symbols: int, *options: str, count: int = orders, again: int = repeats) -> dict[str, Any]:
        words = ("--shape", shape, "--orders", str(count), "--symbols", str(symbols), "--repeats", str(again))
        return peers.tell(python, driver, *words, *options)

    found: dict[str, Any] = {}
    ledger = folder / f"{shape}.db"
    for name, way, symbols in OURS:
        _say(f"{shape}: tradingd, {name}")
        found[f"tradingd, {name}"] = job("own_orders.py", symbols, "--way", way, "--keep", str(ledger))
        _say(f"{shape}: bare SQLite, {name}")
        count = found[f"tradingd, {name}"]["orders"]
        found[f"bare SQLite, {name}"] = job("order_floors.py", symbols, "--ledger", str(ledger), count=count)
        ledger.unlink()
    found["bare Python loop"] = job("order_floors.py", 20)
    if isinstance(nautilus, Path):
        _say(f"{shape}: {NAUTILUS.name}")
        python = nautilus
        try:
            found[NAUTILUS.name] = job(NAUTILUS.driver, 20, count=max(1, orders // PEER_SHARE), again=NAUTILUS.repeats)
        except peers.ContenderError as error:
            found[NAUTILUS.name] = {"problem": f"cannot be run here: {error}"}
    elif nautilus:
        found[NAUTILUS.name] = {"problem": nautilus}
    return found


# -- tables ------------------------------------------------------------------------------------------------------------


def render(answer: dict[str, Any]) -> str:
    """Return everything as text."""
    parts = [f"Python {answer['python']}; {answer['orders']:,} orders, the middle of {answer['repeats']}"]
    head = ("contender", "", "orders/s", "wanted/got", "orders/CPU-s", "wall us", "CPU us", "rows", "events", "bytes")
    for shape, found in answer["replay"].items():
        parts += ["", f"replay, {shape}: per order", grid(head, _rows_of_replay(found))]
    if "live" in answer:
        page = answer["live"]["8 KiB page, fdatasync"]["p50_ms"]
        parts += ["", "order.submit over the control socket, to its answer behind the commit"]
        parts += [grid(("", "", "a second", "p50 ms", "p99 ms", "synced pages", "CPU us"), _rows_of_live(answer, page))]
    return "\n".join(parts)


def _rows_of_replay(found: dict[str, Any]) -> Iterable[list[str]]:
    for name, result in found.items():
        who, _, how = name.partition(", ")
        if "problem" in result:
            yield [who, result["problem"], *[""] * 8]
            continue
        outcome = Outcome(**result)
        facts = outcome.facts
        wanted = f"{WANTED / outcome.rate:.2f}" if who == "tradingd" else ""
        each = [f"{facts[key] / outcome.orders:.2f}" if key in facts else "" for key in ("rows", "events")]
        size = f"{facts['bytes'] / outcome.orders:,.0f}" if "bytes" in facts else ""
        wall = 1e6 / outcome.rate
        cpu = outcome.cpu_us
        yield [who, how, f"{outcome.rate:,.0f}", wanted, f"{1e6 / cpu:,.0f}", f"{wall:.2f}", f"{cpu:.2f}", *each, size]


def _rows_of_live(answer: dict[str, Any], page: float) -> Iterable[list[str]]:
    for name, row in answer["live"].items():
        cpu = f"{row['cpu_us']:.0f}" if "cpu_us" in row else ""
        p50, p99 = row["p50_ms"], row["p99_ms"]
        yield [name, "", f"{row['rate']:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{p50 / page:.2f}", cpu]


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    main()
