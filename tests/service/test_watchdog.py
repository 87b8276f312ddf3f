"""The watchdog is fed only while everything makes progress (F52, F53)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.service.systemd import Notifier
from daemon.service.watchdog import Backlog, Check, CorePing, Watchdog, judge
from tests.service.conftest import Hands, Lines, Manager

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_check_that_fails_is_named() -> None:
    """One that raises has failed; those after it are not asked."""
    asked: list[str] = []

    def check(name: str, answer: str | Exception) -> Check:
        def ask() -> str:
            asked.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return Check(name, ask)

    assert judge([]).healthy
    assert judge([check("a", ""), check("b", "")]).healthy
    found = judge([check("c", ""), check("d", "is stuck"), check("e", "too")])
    assert (found.healthy, found.failed, found.reason) == (False, "d", "is stuck")
    found = judge([check("f", ValueError("x"))])
    assert (found.failed, found.reason) == ("f", "ValueError: x")
    assert asked == ["a", "b", "c", "d", "f"]


def test_what_waits_is_late_only_once_it_has_waited(hands: Hands) -> None:
    """At the limit still not; nothing done for an hour in which nothing waited is no complaint, nor is any progress."""
    waits, done = [False], [7]
    ledger = Backlog("no commit", 5.0, lambda: waits[0], lambda: done[0], hands)
    assert ledger.complaint() == ""
    hands.now += 3600
    waits[0] = True
    assert ledger.complaint() == ""
    hands.now += 5
    assert ledger.complaint() == ""
    hands.now += 0.5
    assert ledger.complaint() == "no commit for 5.5 s"
    done[0] += 1
    assert ledger.complaint() == ""
    hands.now += 5.5
    assert ledger.complaint() == "no commit for 5.5 s"
    waits[0] = False
    assert ledger.complaint() == ""
    waits[0] = True
    assert ledger.complaint() == ""


def test_the_core_is_asked_again_only_after_it_answered(hands: Hands) -> None:
    """One question at a time: a stuck core is not buried under questions, and a late old answer counts for nothing."""
    asked: list[int] = []
    ping = CorePing(asked.append, 3.0, hands)
    assert ping.complaint() == ""
    hands.now += 3
    assert ping.complaint() == ""
    assert asked == [1]
    hands.now += 1
    assert ping.complaint() == "no answer for 4.0 s"
    ping.answered(0)
    assert ping.complaint() == "no answer for 4.0 s"
    ping.answered(1)
    assert ping.complaint() == ""
    assert asked == [1, 2]


def test_f53_one_child_that_hangs_stops_the_pings_though_the_loop_lives(
    manager: Manager, lines: Lines, hands: Hands
) -> None:
    """F53: status and log name the child; one line when it begins, one when it is over."""
    done = {"core": 0, "outreach": 0}
    notifier = Notifier(manager.address)
    checks = [
        Check(name, Backlog("no progress", 5.0, lambda: True, partial(done.get, name, 0), hands).complaint)
        for name in done
    ]
    watchdog = Watchdog(notifier, 10.0, checks, status=lambda: "active", log=lines)
    assert watchdog.period_s == 2.5
    assert watchdog.turn().healthy
    assert manager.waiting() == [{"WATCHDOG": "1"}, {"STATUS": "active"}]
    hands.now += 6
    done["core"] += 1
    for _ in range(3):
        assert watchdog.turn().failed == "outreach"
    assert manager.waiting() == [{"STATUS": "not healthy: outreach: no progress for 6.0 s"}] * 3
    assert lines.lines == [("error", "watchdog not fed", {"check": "outreach", "reason": "no progress for 6.0 s"})]
    done["outreach"] += 1
    assert watchdog.turn().healthy
    assert manager.waiting() == [{"WATCHDOG": "1"}, {"STATUS": "active"}]
    assert lines.lines[1:] == [("warning", "watchdog fed again", {"check": "outreach"})]
    notifier.close()


def test_without_a_manager_the_checks_still_run(lines: Lines) -> None:
    """Log and status tell of a failure also in a shell."""
    watchdog = Watchdog(Notifier(""), None, [Check("core", lambda: "dead")], status=str, log=lines)
    assert watchdog.turn().failed == "core"
    assert [event for _, event, _ in lines.lines] == ["watchdog not fed"]


# --------------------------------------------------------------------------------------------- a real loop that hangs


@contextmanager
def hanging(manager: Manager, hang_s: float, watchdog_s: float, loop: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process with watchdog and stall guard that hangs for a while when it is told so."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": str(int(watchdog_s * 1_000_000)),
    }
    script = Path(__file__).with_name("hanging.py")
    arguments = [sys.executable, str(script), str(hang_s), loop]
    with subprocess.Popen(
        arguments, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def pings(manager: Manager, count: int, wait_s: float) -> list[float]:
    """Return when the next pings came, seconds of the monotonic clock."""
    found: list[float] = []
    while len(found) < count:
        if manager.receive(wait_s).get("WATCHDOG") == "1":
            found.append(time.monotonic())
    return found


def hang_is_noticed(manager: Manager, *, hang_s: float, watchdog_s: float, loop: str = "uvloop") -> None:
    """The pings stop for the hang, and the log has it as one stall with its place and its length."""
    with hanging(manager, hang_s, watchdog_s, loop) as process:
        assert manager.receive(30.0)["READY"] == "1"
        pings(manager, 2, 30.0)
        manager.waiting()
        assert process.stdin is not None
        assert process.stderr is not None
        begin = time.monotonic()
        process.stdin.write("hang\n")
        process.stdin.flush()
        times = [begin, *pings(manager, 12, hang_s + 30.0)]
        silence = max(b - a for a, b in pairwise(times))
        assert silence >= hang_s - watchdog_s / 4
        assert silence > watchdog_s
        process.stdin.write("end\n")
        process.stdin.flush()
        logged = [json.loads(line) for line in process.stderr]
        assert process.wait(30) == 0
    hung = [line for line in logged if line.get("stalled_s", 0) and line["event"] == "main loop does not turn"]
    over = [line for line in logged if line["event"] == "main loop turns again" and line["stalled_s"] >= hang_s]
    named = [line for line in hung if "spinning_strategy" in line["stack"]]
    assert len(named) == 1
    assert len(over) == 1
    assert "hanging.py" in named[0]["stack"]


def test_f52_pings_stop_while_the_loop_hangs_and_the_log_says_where(manager: Manager) -> None:
    """F52: a second and a half against a watchdog of 0.4 s; the half minute of the catalogue is the long test."""
    hang_is_noticed(manager, hang_s=1.5, watchdog_s=0.4)


@pytest.mark.long
def test_f52_a_hang_of_thirty_seconds(manager: Manager) -> None:
    """F52 with its own numbers: ``pytest -m long tests/service -k thirty``."""
    hang_is_noticed(manager, hang_s=30.0, watchdog_s=10.0)
