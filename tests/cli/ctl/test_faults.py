"""Servers that misbehave, connections that break, readers that go away: always a sentence and the right exit code."""

from __future__ import annotations

import grp
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.ctl import places
from tests.cli.ctl.answers import ANSWERS
from tests.cli.ctl.conftest import ROOT, Run, environ
from tests.cli.ctl.stub import HangUp, Raw, Refuse, Stub

ACCEPTED = (
    '{"schema":"tradingd.order/1","order_id":"o-1","client_order_id":"op-1","status":"new","qty":10,"reserved":4510.35}'
)


# ------------------------------------------------------------------------------------------- servers that misbehave


def hang(_: dict[str, Any]) -> Raw:
    """Never answer."""
    return Raw(b"")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (hang, "did not answer in time"),
        (Raw(b"\x00\xff\xfe garbage\n"), "not JSON"),
        (Raw(b"[1,2]\n"), "JSON that is not an answer"),
        (Raw(b'{"jsonrpc":"2.0","id":1}\n'), "an answer without a result"),
        (Raw(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 500 + b"]" * 500 + b"}\n"), "not JSON"),
        (Raw(b'{"jsonrpc":"2.0","id":1,"result":{"equity":NaN}}\n'), "not JSON"),
        (Raw(b'{"jsonrpc":"2.0","id":7,"result":{}}\n'), "did not answer in time"),
        (Raw(b'{"jsonrpc":"2.0","id":1,"resu'), "did not answer in time"),
    ],
)
def test_what_does_not_answer_is_exit_code_4(call: Run, socket_path: Path, answer: Any, told: str) -> None:
    """Silence, garbage and half a line end within --timeout, with a sentence."""
    with Stub(socket_path, {"positions": answer}):
        started = time.monotonic()
        done = call("positions", "--timeout", "0.3")
    assert done.returncode == 4
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 10


def test_an_endless_answer_is_cut_off(run: Run, socket_path: Path) -> None:
    """A gigabyte without a newline costs 16 MiB, not a gigabyte."""

    def pour(_: dict[str, Any]) -> Raw:
        link = stub._open[-1]
        for _ in range(1 << 10):
            link.sendall(b"x" * (1 << 20))
        return Raw(b"\n")

    limited = [
        "/bin/sh",
        "-c",
        'ulimit -v 400000; exec "$0" "$@"',
        sys.executable,
        "-m",
        "daemon.cli.tradingctl",
        "status",
    ]
    with Stub(socket_path, {"status": pour}) as stub:
        done = subprocess.run(
            limited,
            env=environ(TRADINGD_SOCKET=str(socket_path)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 4
    assert "longer than 16 MiB" in done.stderr


def test_a_broken_connection_is_tried_once_more_with_the_same_key(run: Run, socket_path: Path) -> None:
    """The daemon takes a key once, so asking again cannot make a second order."""
    tries: list[str] = []

    def answer(params: dict[str, Any]) -> Any:
        tries.append(params["request_id"])
        if len(tries) == 1:
            raise HangUp
        return ACCEPTED

    with Stub(socket_path, {"order.submit": answer}):
        done = run("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "10")
    assert done.returncode == 0
    assert len(tries) == 2
    assert tries[0] == tries[1]


def test_it_is_tried_only_once_more(run: Run, socket_path: Path) -> None:
    """A daemon that always hangs up is exit code 4: what happened is unknown, and the key to find out is told."""
    tries: list[str] = []

    def answer(params: dict[str, Any]) -> Any:
        tries.append(params["request_id"])
        raise HangUp

    with Stub(socket_path, {"order.submit": answer}):
        done = run("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "10")
    assert done.returncode == 4
    assert len(tries) == 2
    assert "the order may or may not have been taken" in done.stderr
    assert f"--request-id {tries[0]}" in done.stderr


def test_a_daemon_that_restarts_in_between_is_waited_for(run: Run, socket_path: Path) -> None:
    """Gone after the first try, not ready at first when it is back: the second try is the same request."""
    keys: list[str] = []
    back: list[Stub] = []

    def dies(params: dict[str, Any]) -> Any:
        keys.append(params["request_id"])
        first.stop()
        threading.Timer(0.3, restart).start()
        raise HangUp

    def restart() -> None:
        socket_path.unlink()
        back.append(Stub(socket_path, {"order.submit": starting}).__enter__())

    def starting(params: dict[str, Any]) -> Any:
        keys.append(params["request_id"])
        if len(keys) == 2:
            raise Refuse(-32005, "STARTING", "the daemon is not ready yet")
        return ACCEPTED

    with Stub(socket_path, {"order.submit": dies}) as first:
        done = run("order", "submit", "--symbol", "SPY", "--side", "buy", "--qty", "10")
    back[0].__exit__()
    assert done.returncode == 0, done.stderr
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_time_out_of_a_command_says_that_it_may_have_happened(call: Run, socket_path: Path) -> None:
    """And is not tried again: whoever is slow does not get it twice."""
    with Stub(socket_path, {"halt": hang}) as stub:
        done = call("halt", "--timeout", "0.3")
    assert done.returncode == 4
    assert "the halt may or may not have been taken" in done.stderr
    assert [method for method, _ in stub.asked].count("halt") == 1


def test_an_unknown_outcome_told_by_the_daemon_is_the_same(call: Run, socket_path: Path) -> None:
    """The daemon's own time-out is exit code 4 with the same way out."""
    with Stub(socket_path, {"halt": Refuse(-32003, "UNKNOWN", "halt was not answered within 30 s")}):
        done = call("halt", "--request-id", "k-7")
    assert done.returncode == 4
    assert "may or may not have been taken" in done.stderr
    assert "--request-id k-7" in done.stderr


def test_ctrl_c_while_waiting_says_what_is_unknown(socket_path: Path) -> None:
    """Exit code 130, one sentence about the order, no traceback."""
    command = [
        sys.executable,
        "-m",
        "daemon.cli.tradingctl",
        "order",
        "submit",
        "--symbol",
        "SPY",
        "--side",
        "buy",
        "--qty",
        "1",
    ]
    with Stub(socket_path, {"order.submit": hang}) as stub:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ(TRADINGD_SOCKET=str(socket_path)), stderr=subprocess.PIPE, text=True
        )
        assert stub.heard.wait(10)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "the order may or may not have been taken" in told
    assert "Traceback" not in told


# -------------------------------------------------------------------------------------------------------- output


@pytest.mark.parametrize("code", ["status", "positions"])
def test_a_reader_that_went_away_changes_nothing(socket_path: Path, code: str) -> None:
    """A closed pipe gives the outcome's exit code and no complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    with Stub(socket_path, ANSWERS):
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli.tradingctl", code],
            cwd=ROOT,
            env=environ(TRADINGD_SOCKET=str(socket_path)),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    os.close(writer)
    assert (done.returncode, done.stderr) == ({"status": 151, "positions": 0}[code], "")


def test_a_closed_stdout_is_no_error_and_a_full_one_is(socket_path: Path) -> None:
    """``>&-`` drops the answer; a full disk is said."""
    program = f'"{sys.executable}" -m daemon.cli.tradingctl positions'
    with Stub(socket_path, ANSWERS):
        for target, code in ((">&-", 0), ("> /dev/full", 1)):
            done = subprocess.run(
                ["/bin/sh", "-c", f"{program} {target}"],
                cwd=ROOT,
                env=environ(TRADINGD_SOCKET=str(socket_path)),
                stderr=subprocess.PIPE,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == code, done.stderr
            assert ("could not be written: No space left on device" in done.stderr) is (code == 1)
            assert "Traceback" not in done.stderr


def test_who_may_not_connect_is_told_whose_the_socket_is(tmp_path: Path) -> None:
    """Members of the operators' group have to be in the socket's, too; a folder closed to all tells nothing."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(path))
        path.chmod(0o660)
        group = grp.getgrgid(path.stat().st_gid).gr_name
        assert f"ask for membership in the group {group}, whose the socket is" in places._may_not(str(path)).remedy
        path.chmod(0o600)
        for hidden in (path, tmp_path / "none"):
            assert "in the group [control] viewer_group" in places._may_not(str(hidden)).remedy


def test_lists_say_when_they_were_cut(call: Run, socket_path: Path) -> None:
    """As many rows as the limit: there may be more, and how to see it."""
    rows = {"rows": [{"symbol": "SPY", "qty": n} for n in range(3)]}
    whole = {"signals": {**rows, "more": False}}
    with Stub(socket_path, {"fills": rows, "trades": {**rows, "truncated": True}, "orders": rows} | whole):
        assert (
            call("fills", "--limit", "3").stdout.splitlines()[-1]
            == "the newest 3; there may be more: --limit 6 or --since TIME"
        )
        assert call("trades").stdout.splitlines()[-1].startswith("the newest 3; there may be more")
        assert call("fills", "--limit", "4").stdout.splitlines()[-1] == "3 fills"
        assert call("signals", "--limit", "3").stdout.splitlines()[-1] == "3 signals"
        assert call("orders").stdout.splitlines()[-1] == "only what is open; --all shows the rest"
        assert call("orders", "--all").stdout.splitlines()[-1] == "3 orders"
