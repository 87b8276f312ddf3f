"""How long the control socket takes to answer: reads, calls, kills; idle and beside a main thread that spins.

    python ops/bench/control.py [--rounds 300]

A real server in a process of its own, with a desk that answers at once, so what is measured is the control room alone.
Beside it, in the same run, stands what one write and fdatasync of 4 KiB cost here: a kill cannot be faster than that.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SWITCH_S = 0.001
"""As the daemon sets it: how long a thread keeps the interpreter from the others."""
HELLO = {"jsonrpc": "2.0", "id": 0, "method": "hello", "params": {"api": 1, "client": "bench"}}


def serve(folder: Path, *, spin: bool) -> None:
    """Run a server until standard input ends; with ``spin`` the main thread computes all the while."""
    sys.path.insert(0, str(ROOT))
    from daemon.control.calls import Call, Outcome  # noqa: PLC0415 - only the child needs it
    from daemon.control.latch import KillLatch  # noqa: PLC0415
    from daemon.control.limits import ServerLimits  # noqa: PLC0415
    from daemon.control.roles import Groups  # noqa: PLC0415
    from daemon.control.server import ControlServer  # noqa: PLC0415

    sys.setswitchinterval(SWITCH_S)
    latch = KillLatch.open(folder / "kill.latch", fresh=True)

    class Desk:
        """Answers at once."""

        def submit(self, call: Call, answer: Callable[[Outcome], None]) -> None:
            """Answer, and take a kill back where that is asked for."""
            if call.method == "unlatch":
                latch.clear(call.peer.by, kills=latch.kills)
            answer(Outcome({"schema": "tradingd.bench/1"}))

        def stands(self, call: Call, outcome: Outcome) -> bool:
            """Every stop is a new one."""
            del call, outcome
            return False

        def read(self, call: Call) -> Outcome:
            """Answer with about as much as ``status`` does."""
            return Outcome({"schema": "tradingd.status/1", "method": call.method, "rows": [{"equity": 100_000.0}] * 10})

        def subscribe(self, call: Call, push: Callable[[dict[str, Any]], bool]) -> Callable[[], None]:
            """Push nothing."""
            del call, push
            return lambda: None

    unlimited = ServerLimits(requests_per_s=1e9, requests_burst=1e9, safe_per_s=1e9, safe_burst=1e9)
    server = ControlServer(
        folder / "control.sock",
        latch=latch,
        groups=Groups(),
        version="bench",
        lookup=lambda _: None,
        digest=lambda call: call.method,
        audit=lambda *_: None,
        on_problem=lambda text: print(text, file=sys.stderr),
        on_lost=lambda error: print(f"lost: {error!r}", file=sys.stderr),
        limits=unlimited,
    )
    server.start()
    server.attach(Desk())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    count = 0
    while spin and not ended.is_set():
        count += 1
    ended.wait()
    server.stop()


class Client:
    """One connection."""

    def __init__(self, path: Path) -> None:
        """Connect and say hello."""
        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(str(path))
        self._file = self._link.makefile("rb")
        self.ask(HELLO)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask and return the answer."""
        self._link.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(self._file.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer

    def close(self) -> None:
        """Close."""
        self._file.close()
        self._link.close()


def call(method: str, **params: Any) -> dict[str, Any]:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def timed(action: Callable[[], Any], rounds: int, between: Callable[[], Any] | None = None) -> list[float]:
    """Return the seconds of each round; what happens between rounds is not counted."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
        if between is not None:
            between()
    return took


def measure(folder: Path, rounds: int, *, spin: bool) -> dict[str, list[float]]:
    """Return the seconds of each kind of request against a server of its own."""
    line = [sys.executable, __file__, "--serve", str(folder), *(["--spin"] if spin else [])]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("the server did not start")
            path = folder / "control.sock"
            client = Client(path)

            def at_once() -> None:
                fresh = Client(path)
                fresh.ask(call("status"))
                fresh.close()

            def fresh_kill() -> None:
                fresh = Client(path)
                fresh.ask(call("kill", reason="bench"))
                fresh.close()

            def unlatch() -> None:
                client.ask(call("unlatch", reason="bench"))

            found = {
                "read, open connection": timed(lambda: client.ask(call("status")), rounds),
                "read, connect + hello + read": timed(at_once, rounds),
                "call through the desk": timed(lambda: client.ask(call("halt")), rounds),
                "kill, open connection": timed(lambda: client.ask(call("kill", reason="bench")), rounds, unlatch),
                "kill, connect + hello + kill": timed(fresh_kill, rounds, unlatch),
                "kill, already killed": timed(lambda: client.ask(call("kill")), rounds),
            }
            client.close()
            return found
        finally:
            process.kill()


def raw_sync(folder: Path, rounds: int) -> list[float]:
    """Return the seconds of a bare overwrite of 4 KiB with fdatasync."""
    descriptor = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
    block = bytes(4096)
    os.write(descriptor, block)
    os.fsync(descriptor)

    def once() -> None:
        os.pwrite(descriptor, block, 0)
        os.fdatasync(descriptor)

    took = timed(once, rounds)
    os.close(descriptor)
    return took


def row(name: str, took: list[float]) -> str:
    """Return one line of the table, milliseconds."""
    steps = statistics.quantiles(took, n=100)
    return f"{name:<34}{1e3 * steps[49]:>9.2f}{1e3 * steps[94]:>9.2f}{1e3 * steps[98]:>9.2f}{1e3 * max(took):>9.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--spin", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, spin=options.spin)
        return
    for spin in (False, True):
        title = "beside a main thread that spins" if spin else "idle daemon"
        print(f"{title:<34}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
        with tempfile.TemporaryDirectory(prefix="ctl-") as name:
            folder = Path(name)
            for kind, took in measure(folder, options.rounds, spin=spin).items():
                print(row(kind, took))
            print(row("(bare write + fdatasync of 4 KiB)", raw_sync(folder, options.rounds)))
        print()


if __name__ == "__main__":
    main()
