"""The loop that kills a daemon again and again while it trades, and looks at what it left.

Instants are random and seeded: while it starts, while it runs, while it ends. Places are exact: at a step of a commit.
What is left is examined as it lies on the disk, in a copy, before the next start has touched it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.faults.oracle import Verdict, examine
from tests.faults.twin import Likeness, compare
from tests.faults.workload import UID, Trader, furnish
from tests.live_support import CallError, Client, Daemon, daemon

READY_S: Final = 5.0
STARTING, STOPPING = 0.25, 0.15
"""Shares of kills while the daemon starts and while it ends; the rest while it runs."""
UP_S: Final = 1.1
ENDING_S: Final = 0.25


def remains(state: Path, into: Path) -> Path:
    """Copy a ledger and its WAL as they lie there; return the copy. Nobody may write meanwhile."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for name in ("ledger.db", "ledger.db-wal"):
        if (state / name).exists():
            shutil.copy(state / name, into / name)
    return into / "ledger.db"


class Loop:
    """A daemon, a client that trades with it, and what became of both."""

    def __init__(self, house: Daemon, trader: Trader, heard: Path) -> None:
        """Take over a daemon that was never started."""
        self.house = house
        self.trader = trader
        self.heard = heard
        self.ready_s: list[float] = []
        self.ready_cpu_s: list[float] = []
        self.killed: Counter[str] = Counter()

    def up(self, **options: Any) -> None:
        """Start it, wait until it is ready, and let the client trade."""
        self.ready_s.append(self.house.start(**options))
        self._took()
        self.trader.go()

    @property
    def kills(self) -> int:
        """How often it was killed."""
        return sum(self.killed.values())

    def _took(self) -> None:
        """Note what the start took of the processor: the time until READY on a machine with nothing else to do."""
        assert self.house.process is not None
        words = Path(f"/proc/{self.house.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        self.ready_cpu_s.append((int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"))

    def down(self, when: str) -> None:
        """SIGKILL."""
        self.house.kill()
        self.cut(when)

    def cut(self, when: str) -> None:
        """It is dead: nothing that it said before may count for the next."""
        self.trader.rest()
        while self.house.manager.listen(0) is not None:
            pass
        if when:
            self.killed[when] += 1

    def let_live(self, seconds: float) -> None:
        """Let it be for a time; it must not end by itself."""
        process = self.house.process
        assert process is not None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"the daemon ended with {code}:\n{self.house.tail()}")

    def kill_somewhere(self, dice: random.Random) -> None:
        """Start it, and kill it at an instant of its life."""
        draw = dice.random()
        if draw < STARTING:
            self.house.spawn()
            usual = sorted(self.ready_s)[len(self.ready_s) // 2] if self.ready_s else 1.0
            self.let_live(dice.uniform(0, usual))
            self.down("starting")
            return
        self.up()
        self.let_live(dice.uniform(0, UP_S))
        if draw > 1 - STOPPING:
            self.house.signal(signal.SIGTERM)
            process = self.house.process
            assert process is not None
            try:
                process.wait(dice.uniform(0, ENDING_S))
            except subprocess.TimeoutExpired:
                self.down("stopping")
            else:
                self.cut("")  # it was quicker
            return
        self.down("running")

    def crash_at(self, place: str, nth: int, seconds: float = 30.0) -> None:
        """Start it with a plan to die at the n-th visit of a step, and wait until it has."""
        process = self.house.spawn(faults=[f"{place}:{nth}:crash"])
        began = time.monotonic()
        try:
            self.house.await_ready()
            self.ready_s.append(time.monotonic() - began)
            self._took()
            self.trader.go()
        except AssertionError:
            if process.poll() != -signal.SIGKILL:
                raise
        assert process.wait(seconds) == -signal.SIGKILL, self.house.tail()
        self.cut(place)

    def look(self) -> Verdict:
        """Examine what lies there."""
        verdict = examine(remains(self.house.state, self.house.folder / "remains"), self.heard, uid=UID)
        assert verdict.problems == [], verdict.problems[:5]
        return verdict

    def end(self) -> tuple[Verdict, Likeness]:
        """Let it start, settle and end in order; examine it, and compare it with its twin."""
        self.up()
        self.let_live(0.3)
        self.trader.rest()
        assert self.house.stop() == 0, self.house.tail()
        self.trader.close()
        verdict = self.look()
        likeness = compare(self.house)
        assert likeness.difference == ""
        return verdict, likeness

    def figures(self, verdict: Verdict, likeness: Likeness) -> str:
        """Return what happened, as lines for people."""
        times, used = sorted(self.ready_s), sorted(self.ready_cpu_s)
        kills = ", ".join(f"{when} {n}" for when, n in sorted(self.killed.items()))
        replayed = f"{likeness.inputs} inputs, {likeness.panels} panels, {likeness.timers} timers"
        return "\n".join(
            (
                f"killed: {self.kills} ({kills})",
                f"restarts READY: {len(times)}, p50 {times[len(times) // 2]:.2f} s, max {times[-1]:.2f} s",
                f"processor until READY: p50 {used[len(used) // 2]:.2f} s, max {used[-1]:.2f} s",
                f"ledger: {', '.join(f'{k} {n}' for k, n in sorted(verdict.counts.items()))}",
                f"twin: {replayed}, {likeness.events} events, digest {likeness.digest[:16]} equal",
            )
        )


def ask(client: Client, method: str, wanted: Callable[[Any], Any], seconds: float = 20.0, **params: Any) -> Any:
    """Ask a daemon again and again, a few times a second, until its answer has what is wanted; return that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = wanted(client.call(method, **params))
        except CallError as error:
            if error.reason not in {"STARTING", "NOT_READY", "VIEWS_UNAVAILABLE"}:
                raise
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"{method} never answered as wanted in {seconds} s"
        time.sleep(0.05)  # a client may ask so often and not more


@contextmanager
def looping(folder: Path, *, minutes: int, sets: Sequence[str] = (), seed: int = 5, **options: Any) -> Iterator[Loop]:
    """Give a loop over a daemon that was not started yet."""
    with daemon(folder, furnish(folder, minutes=minutes, **options), sets=sets) as house:
        heard = folder / "heard.jsonl"
        trader = Trader(house.socket, heard, seed=seed)
        try:
            yield Loop(house, trader, heard)
        finally:
            trader.close()
