"""The same program against the daemon's own control server: protocol, roles, keys and limits are the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.control.limits import ServerLimits
from tests.cli.ctl.conftest import ROOT, environ
from tests.control.parts import running


def ctl(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``tradingctl`` against a server."""
    command = [sys.executable, "-m", "daemon.cli.tradingctl", "--socket", str(path), *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_orders_halt_and_resume() -> None:
    """An order in, the same key again, a halt, a denied order, a resume: exit codes and answers."""
    order = ("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "10.50", "--request-id", "k-1")
    with running() as house:
        first, second = ctl(house.path, *order, "--json"), ctl(house.path, *order, "--json")
        assert first.returncode == 0, first.stderr
        assert json.loads(first.stdout) == json.loads(second.stdout)
        assert len(house.desk.orders) == 1
        assert str(house.desk.calls[0].params["qty"]) == "10.50"
        rows = json.loads(ctl(house.path, "orders", "--json").stdout)["rows"]
        assert [row["symbol"] for row in rows] == ["SPY"]
        assert ctl(house.path, "halt", "--reason", "news").returncode == 0
        assert ctl(house.path, "status").returncode == 150
        assert ctl(house.path, *order[:-1], "k-2").returncode == 5
        assert ctl(house.path, "resume", "--yes", "--reason", "over").returncode == 0
        assert (
            ctl(house.path, "status", "--json").stdout
            == '{"schema": "tradingd.status/1", "trading_state": "active", "equity": 100000.10}\n'
        )
        assert [(call.method, call.reason) for call in house.desk.calls[1:]] == [
            ("halt", "news"),
            ("order.submit", ""),
            ("resume", "over"),
        ]


def test_a_kill_is_on_disk_when_it_is_confirmed() -> None:
    """The real latch, while the core is stuck."""
    with running() as house:
        house.desk.gate.clear()
        done = ctl(house.path, "kill", "--reason", "prices look wrong")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("killed, confirmed after")
        assert house.latch.is_set
        assert house.latch.durable
        assert house.latch.reason == "prices look wrong"
        again = json.loads(ctl(house.path, "kill", "--json").stdout)
        assert (again["trading_state"], again["changed"]) == ("killed", False)
        assert not (house.folder / "KILL").exists()


def test_a_core_that_is_stuck_is_an_unknown_outcome() -> None:
    """The server's own limit comes back as exit code 4 with the key to find out; the same key then has the answer."""
    with running(ServerLimits(call_s=0.3)) as house:
        house.desk.gate.clear()
        done = ctl(house.path, "halt", "--request-id", "k-9")
        assert done.returncode == 4
        assert "may or may not have been taken" in done.stderr
        assert "--request-id k-9" in done.stderr
        house.desk.gate.set()
        assert ctl(house.path, "halt", "--request-id", "k-9").returncode == 0
        assert [call.method for call in house.desk.calls] == ["halt"]


def test_refusals_keep_their_words() -> None:
    """Unknown order, bad parameter, not ready: the server's sentence and the right exit code."""
    with running() as house:
        unknown = ctl(house.path, "why", "nobody")
        assert (unknown.returncode, "there is no such order; see orders (UNKNOWN_ORDER)" in unknown.stderr) == (5, True)
        assert ctl(house.path, "cash", "withdraw", "5", "--reason", "x").returncode == 5
        too_long = ctl(house.path, "halt", "--request-id", "k" * 65)
        assert (too_long.returncode, "1 to 64 printable characters" in too_long.stderr) == (2, True)
        assert json.loads(ctl(house.path, "version", "--json").stdout)["daemon"] == "0.0.0"
    with running(attach=False) as house:
        starting = ctl(house.path, "status")
        assert (starting.returncode, "not ready yet" in starting.stderr) == (4, True)
        assert ctl(house.path, "kill").returncode == 0


@pytest.mark.parametrize("verb", ["halt", "kill"])
def test_bytes_in_a_reason_that_are_no_text_stop_no_stop(verb: str) -> None:
    """Pasted from somewhere: it is sent with a mark in their place, and does what it says."""
    with running() as house:
        reason = os.fsdecode(b"stop \xff\xfe now")
        done = ctl(house.path, verb, "--reason", reason)
        assert done.returncode == 0, done.stderr
        assert house.latch.is_set == (verb == "kill")
        if verb == "kill":
            assert house.latch.reason == "stop \ufffd\ufffd now"


def test_following_the_real_subscription() -> None:
    """Events pushed by the desk arrive as lines; the server's end is taken for what it is."""
    with running() as house:
        command = [sys.executable, "-m", "daemon.cli.tradingctl", "--socket", str(house.path)]
        process = subprocess.Popen(
            [*command, "subscribe", "--from-seq", "0", "--json"],
            cwd=ROOT,
            env=environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["type"] == "Subscribed"
        for seq in (2, 3):
            house.desk.pushes[0]({"seq": seq, "type": "OrderFilled", "symbol": "SPY"})
        assert [json.loads(process.stdout.readline())["seq"] for _ in range(2)] == [2, 3]
        stopper = threading.Thread(target=house.server.stop, args=(0.5,))
        stopper.start()
        assert "waiting for the daemon" in process.stderr.readline()
        stopper.join(10)
        process.kill()
        process.communicate(timeout=10)
