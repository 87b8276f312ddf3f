"""``tradingctl kill``: by the socket, else by the file, and never a claim that is not so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.ctl import kill
from tests.cli.ctl.conftest import ROOT, Run, environ
from tests.cli.ctl.stub import HangUp, Raw, Refuse, Stub

KILLED = {"schema": "tradingd.kill/1", "trading_state": "killed", "durable": True, "changed": True, "ignored": []}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a fifth of a second for a confirmation instead of one."""
    monkeypatch.setattr(kill, "CONFIRM_S", 0.2)


def hang(_: dict[str, Any]) -> Raw:
    """Never answer."""
    return Raw(b"")


def test_a_kill_takes_one_step_and_one_write(run: Run, socket_path: Path) -> None:
    """No flag, no prompt, no look at anything before: hello and kill in one write; the file is not needed."""
    with Stub(socket_path, {"kill": KILLED}) as stub:
        done = run("kill")
    assert done.returncode == 0
    assert done.stdout.startswith("killed, confirmed after ")
    assert done.stderr == ""
    assert len(stub.chunks) == 1
    assert [method for method, _ in stub.asked] == ["hello", "kill"]
    assert len(bytes.fromhex(stub.asked[1][1]["request_id"])) == 16
    assert not (socket_path.parent / "KILL").exists()


def test_reason_and_key_go_along_and_json_is_the_answer(run: Run, socket_path: Path) -> None:
    """As with every verb."""
    with Stub(socket_path, {"kill": KILLED}) as stub:
        done = run("--json", "kill", "--reason", "prices \u00e9 look \x1b wrong", "--request-id", "k-1")
    assert json.loads(done.stdout) == KILLED
    assert stub.asked[1][1] == {"reason": "prices \u00e9 look \x1b wrong", "request_id": "k-1"}


@pytest.mark.parametrize(
    "typed", [("kill", "--resaon", "x"), ("kill", "now"), ("--jsn", "kill"), ("kill", "--dry-run")]
)
def test_what_is_misspelt_does_not_go_on_trading(run: Run, socket_path: Path, typed: tuple[str, ...]) -> None:
    """The kill is done, what was ignored is named."""
    with Stub(socket_path, {"kill": KILLED}) as stub:
        done = run(*typed)
    assert done.returncode == 0
    assert "ignored" in done.stderr
    assert stub.asked[-1][0] == "kill"


def test_help_does_not_kill(run: Run, socket_path: Path) -> None:
    """The one thing that may be asked."""
    with Stub(socket_path, {"kill": KILLED}) as stub:
        done = run("kill", "--help")
    assert done.returncode == 0
    assert "example:\n  tradingctl kill --reason" in done.stdout
    assert stub.asked == []


def test_a_silent_daemon_gets_the_file_and_an_honest_answer(run: Run, socket_path: Path) -> None:
    """Two seconds, then the file; exit code 4 because nobody confirmed it."""
    with Stub(socket_path, {"kill": hang, "status": hang}):
        started = time.monotonic()
        done = run("kill", "--reason", "stuck")
        took = time.monotonic() - started
    file = socket_path.parent / "KILL"
    assert done.returncode == 4
    assert done.stdout == ""
    assert "did not answer within 2 s" in done.stderr
    assert f"the kill is not confirmed: {file} is written" in done.stderr
    assert file.read_text().startswith("stuck\nuid ")
    assert 2.0 <= took < 6.0


def test_a_late_answer_still_confirms(run: Run, socket_path: Path) -> None:
    """An answer that comes after the file was written counts; both are told."""

    def late(_: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while not (socket_path.parent / "KILL").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        return KILLED

    with Stub(socket_path, {"kill": late}):
        done = run("kill", "--timeout", "0.2")
    assert done.returncode == 0
    assert f"killed by the file {socket_path.parent / 'KILL'}, confirmed after" in done.stdout
    assert "did not answer within 0.2 s" in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        Refuse(-32603, "INTERNAL", "a mistake"),
        Refuse(-32006, "NOT_DURABLE", "killed, but not on disk"),
        Refuse(-32005, "STARTING", "not ready"),
        Raw(b"nonsense\n"),
        HangUp,
    ],
)
def test_any_failure_but_a_refusal_writes_the_file(call: Run, socket_path: Path, answer: Any) -> None:
    """And a status that says killed confirms it."""

    def fail(_: dict[str, Any]) -> Any:
        if answer is HangUp:
            raise HangUp
        return answer

    def status(_: dict[str, Any]) -> dict[str, str]:
        return {"trading_state": "killed" if (socket_path.parent / "KILL").exists() else "active"}

    with Stub(socket_path, {"kill": fail, "status": status}):
        done = call("kill")
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stderr
    assert (socket_path.parent / "KILL").exists()


@pytest.mark.usefixtures("brief")
def test_a_state_that_is_not_killed_confirms_nothing(call: Run, socket_path: Path) -> None:
    """It is asked again for a second, then exit code 4."""
    with Stub(socket_path, {"kill": Refuse(-32603, "INTERNAL", "x"), "status": {"trading_state": "halted"}}) as stub:
        done = call("kill", "--json")
    assert done.returncode == 4
    assert [method for method, _ in stub.asked].count("status") > 3
    told = json.loads(done.stdout)
    assert (told["confirmed"], told["file"]) == (False, str(socket_path.parent / "KILL"))


def test_who_may_not_kill_is_told_so_and_writes_nothing(call: Run, socket_path: Path) -> None:
    """A viewer's kill is refused by the daemon; going round it by the file would be wrong."""
    with Stub(socket_path, {"kill": Refuse(-32001, "FORBIDDEN", "kill needs an operator", "ask one")}):
        done = call("kill")
    assert done.returncode == 5
    assert done.stderr == "tradingctl: kill needs an operator; ask one (FORBIDDEN)\n"
    assert not (socket_path.parent / "KILL").exists()


def test_file_only_asks_nobody_to_kill(call: Run, socket_path: Path) -> None:
    """The file is written at once; exit code 0 only once a status says killed."""

    def status(_: dict[str, Any]) -> dict[str, str]:
        return {"trading_state": "killed" if (socket_path.parent / "KILL").exists() else "active"}

    with Stub(socket_path, {"status": status}) as stub:
        done = call("kill", "--file-only")
    assert done.returncode == 0
    assert "kill" not in [method for method, _ in stub.asked]


@pytest.mark.usefixtures("brief")
def test_a_daemon_that_is_down_finds_the_file_when_it_starts(call: Run, socket_path: Path) -> None:
    """Between two restarts there is no socket; the folder is there and gets the file."""
    done = call("kill")
    assert done.returncode == 4
    assert (socket_path.parent / "KILL").exists()
    assert "not confirmed" in done.stderr


def test_a_stale_socket_is_the_same(run: Run, socket_path: Path) -> None:
    """Whoever listened there is dead; exit code 4, the file is there."""
    with Stub(socket_path):
        pass
    done = run("kill")
    assert done.returncode == 4
    assert "nobody listens" in done.stderr
    assert (socket_path.parent / "KILL").exists()


def test_without_any_folder_nothing_is_written_and_nothing_is_claimed(call: Run, folder: Path) -> None:
    """Exit code 3; no folder is made, because no daemon would look there."""
    done = call("kill", "--socket", str(folder / "no" / "control.sock"))
    assert done.returncode == 3
    assert "nothing was written" in done.stderr
    assert not (folder / "no").exists()


def test_a_folder_that_may_not_be_written_is_exit_code_5(call: Run) -> None:
    """And says what else there is to do. Not even root makes files there."""
    done = call("kill", "--socket", "/sys/control.sock")
    assert done.returncode == 5
    assert "/sys/KILL" in done.stderr
    assert "SIGUSR1" in done.stderr


def test_the_file_is_not_written_through_a_link(run: Run, socket_path: Path, folder: Path) -> None:
    """A link laid there leads nowhere; the daemon takes its existence for a kill all the same."""
    target = folder / "precious"
    target.write_text("keep")
    (folder / "KILL").symlink_to(target)
    done = run("kill", "--file-only")
    assert done.returncode == 5
    assert target.read_text() == "keep"


def test_a_kill_needs_no_table_of_methods(socket_path: Path) -> None:
    """With the table broken, the other verbs fail and the kill works."""
    code = "import sys; sys.modules['daemon.control.methods'] = None\n"
    code += "from daemon.cli.tradingctl import main\nsys.exit(main(['kill']))"
    with Stub(socket_path, {"kill": KILLED}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environ(TRADINGD_SOCKET=str(socket_path)),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def test_closed_outputs_do_not_change_the_outcome(socket_path: Path) -> None:
    """A kill that was confirmed is exit code 0 whether or not anybody reads that."""
    program = f'"{sys.executable}" -m daemon.cli.tradingctl kill'
    with Stub(socket_path, {"kill": KILLED}):
        for target in (">&-", ">&- 2>&-", "> /dev/full", "> /dev/full 2> /dev/full", "< /dev/null | true", "<&-"):
            done = subprocess.run(
                ["/bin/sh", "-c", f"{program} {target}"],
                cwd=ROOT,
                env=environ(TRADINGD_SOCKET=str(socket_path)),
                capture_output=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == 0, (target, done.stderr)


def test_ctrl_c_during_a_kill_leaves_the_kill_on_its_way(socket_path: Path) -> None:
    """It was sent in the first write; the interruption only ends the waiting."""
    with Stub(socket_path, {"kill": hang}) as stub:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli.tradingctl", "kill"],
            cwd=ROOT,
            env=environ(TRADINGD_SOCKET=str(socket_path)),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert stub.heard.wait(10)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in told
