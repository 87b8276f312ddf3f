"""What ``tradingctl`` costs: start of the whole process, and a verb's round trip to a control server.

    python ops/bench/tradingctl.py [--runs 40] [--socket PATH]

Without --socket a control server of this program is started here, with an empty desk behind it, in a process of its
own: the figures are those of the command line and the protocol, not of a question's work. With it, a running daemon is
asked (reads only). `python -c pass` is the floor that no Python program gets below. Bytecode is cached, as it is in an
installation; cpu is the processor time of one run (p50), which a busy machine changes less than the clock.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from daemon.cli.ctl import client  # noqa: E402 - run as a script
from daemon.control.calls import Call, Outcome  # noqa: E402
from daemon.control.latch import KillLatch  # noqa: E402
from daemon.control.limits import ServerLimits  # noqa: E402
from daemon.control.roles import Groups  # noqa: E402
from daemon.control.server import ControlServer  # noqa: E402

BUDGET_START_MS, BUDGET_VERB_MS = 60.0, 100.0
STATUS = {
    "schema": "tradingd.status/1",
    "trading_state": "active",
    "feeds": [{"name": "playback", "state": "live", "last_event_age_s": 0.1}],
    "actors": [{"name": name, "state": "running", "restarts": 0} for name in ("journal", "core", "market", "outreach")],
}


def serve(folder: str, ready: Any) -> None:
    """Run a control server until the process is ended."""

    class Desk:
        def submit(self, call: Call, answer: Callable[[Outcome], None]) -> None:
            answer(Outcome({"schema": "tradingd.trading_state/1", "trading_state": "halted", "reason": call.reason}))

        def stands(self, call: Call, outcome: Outcome) -> bool:
            """Every stop is a new one."""
            del call, outcome
            return False

        def read(self, call: Call) -> Outcome:
            return Outcome(STATUS if call.method == "status" else {"schema": f"tradingd.{call.method}/1", "rows": []})

        def subscribe(self, call: Call, push: Callable[[dict[str, Any]], bool]) -> Callable[[], None]:
            del call, push
            return lambda: None

    server = ControlServer(
        Path(folder) / "control.sock",
        latch=KillLatch.open(Path(folder) / "kill.latch", fresh=True),
        groups=Groups(),
        version="bench",
        lookup=lambda _: None,
        digest=lambda _: "",
        audit=lambda *_: None,
        on_problem=print,
        on_lost=print,
        limits=ServerLimits(requests_per_s=1e6, requests_burst=1e6, safe_per_s=1e6, safe_burst=1e6),
    )
    server.start()
    server.attach(Desk())
    ready.set()
    while True:
        time.sleep(3600)


def timed(call: Callable[[], Any], runs: int, pause_s: float = 0.0) -> tuple[list[float], list[float]]:
    """Return milliseconds and the children's processor milliseconds of each run, after one that does not count.

    A daemon's rate limit asks for pauses.
    """
    call()
    spent, busy = [], []
    for _ in range(runs):
        time.sleep(pause_s)
        used, begin = _children_s(), time.perf_counter()
        call()
        spent.append((time.perf_counter() - begin) * 1e3)
        busy.append((_children_s() - used) * 1e3)
    return spent, busy


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command(folder: Path, *arguments: str, socket: Path | None = None) -> Callable[[], None]:
    """Return what runs a command line; any exit code that is an answer is fine."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environ |= {"TRADINGD_SOCKET": str(socket)} if socket else {}

    def run() -> None:
        done = subprocess.run([sys.executable, *arguments], env=environ, cwd=ROOT, capture_output=True, check=False)
        if done.returncode not in {0, 150, 151, 152}:
            raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")

    return run


def report(name: str, spent: tuple[list[float], list[float]], budget: float | None = None) -> None:
    """Print one line."""
    p95 = statistics.quantiles(spent[0], n=20)[18]
    told = "" if budget is None else f"   budget {budget:.0f} ms: {'kept' if p95 <= budget else 'MISSED'}"
    cpu = statistics.median(spent[1])
    used = f"   cpu {cpu:6.1f} ms" if cpu else ""
    print(f"{name:<34} p50 {statistics.median(spent[0]):7.2f} ms   p95 {p95:7.2f} ms{used}{told}")


def measure(folder: Path, socket: Path, runs: int, *, own: bool) -> None:
    """Print every figure."""
    module = ("-m", "daemon.cli.tradingctl")
    report("python -c pass", timed(command(folder, "-c", "pass"), runs))
    report("tradingctl --help", timed(command(folder, *module, "--help"), runs))
    parse = "from daemon.cli.ctl.kill import parser; parser().parse_args([])"
    report("start of kill, nothing sent", timed(command(folder, "-c", parse), runs), BUDGET_START_MS)
    for verb in ("kill", "halt") if own else ():
        report(f"tradingctl {verb}", timed(command(folder, *module, verb, socket=socket), runs), BUDGET_VERB_MS)
    for verb in ("status", "positions", "orders"):
        report(f"tradingctl {verb}", timed(command(folder, *module, verb, socket=socket), runs), BUDGET_VERB_MS)
    pause_s, many = (0.0, 20 * runs) if own else (0.03, 5 * runs)
    report("status, new connection", timed(lambda: client.ask(str(socket), "status", {}, 5.0), many, pause_s))
    with client.Connection(str(socket), 5.0) as connection:
        report("status, open connection", timed(lambda: connection.call("status", {}, 5.0), many, pause_s))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="processes per figure")
    parser.add_argument("--socket", type=Path, help="of a running daemon")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ctl-") as name:
        folder = Path(name)
        if arguments.socket:
            measure(folder, arguments.socket, arguments.runs, own=False)
            return
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        server = context.Process(target=serve, args=(name, ready))
        server.start()
        try:
            if not ready.wait(30):
                raise SystemExit("the control server did not start")
            measure(folder, folder / "control.sock", arguments.runs, own=True)
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
