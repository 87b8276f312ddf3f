"""What loosens asks a person first; what flattens waits until it is so."""

from __future__ import annotations

import json
import os
import pty
import select
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.control.methods import METHODS
from tests.cli.ctl.answers import ANSWERS, STATUS
from tests.cli.ctl.conftest import ROOT, Run, environ
from tests.cli.ctl.stub import Refuse, Stub

# ---------------------------------------------------------------------------------------------------- confirming

RISKY = sorted(name for name, method in METHODS.items() if method.confirm)
NEEDED = {"restricted.remove": ("AAPL",)}


def test_what_loosens_asks_first() -> None:
    """The table marks at least these; what stops is never among them."""
    assert {"resume", "flatten", "unlatch"} <= set(RISKY)
    assert not {"kill", "halt", "reduce"} & set(RISKY)


@pytest.mark.parametrize("name", RISKY)
def test_without_yes_and_without_a_terminal_it_is_refused(run: Run, socket_path: Path, name: str) -> None:
    """Exit code 5, nothing is sent."""
    with Stub(socket_path, ANSWERS) as stub:
        done = run(*name.split("."), *NEEDED.get(name, ()))
    assert done.returncode == 5
    assert "add --yes" in done.stderr
    assert stub.asked == []


def typed_on_a_terminal(socket_path: Path, answers: str, *arguments: str) -> tuple[int, str]:
    """Run on a pseudo-terminal, type when asked, return exit code and what was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, 80))
        os.chdir(ROOT)
        os.execve(  # noqa: S606 - a terminal cannot be given to subprocess
            sys.executable,
            [sys.executable, "-m", "daemon.cli.tradingctl", *arguments],
            environ(TRADINGD_SOCKET=str(socket_path)),
        )
    shown, lines = "", answers.splitlines(keepends=True)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and select.select([terminal], [], [], 10)[0]:
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:
            break
        if lines and shown.endswith((" ", "? ")) and shown.rstrip(" ").endswith(("[y/N]", "reason:")):
            os.write(terminal, lines.pop(0).encode())
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown


def test_a_person_is_asked_and_shown_where_things_stand(socket_path: Path) -> None:
    """The state comes first, then the question, then why."""
    resumed = {"schema": "tradingd.trading_state/1", "trading_state": "active", "changed": True}
    status = STATUS.replace('"active"', '"halted"', 1).replace('"state_reason":""', '"state_reason":"daily loss 5.1 %"')
    with Stub(socket_path, {"status": status, "resume": resumed}) as stub:
        code, shown = typed_on_a_terminal(socket_path, "y\nchecked the feed\n", "resume")
    assert code == 0, shown
    assert "HALTED  daily loss 5.1 %" in shown
    assert stub.asked[-1][0] == "resume"
    assert stub.asked[-1][1]["reason"] == "checked the feed"
    assert "resume: trading is active" in shown


def test_a_list_that_goes_back_in_time_is_a_screenful_on_a_terminal(socket_path: Path) -> None:
    """The newest stand on top and below the heading; all working orders are shown, and whoever names a limit has it."""
    with Stub(socket_path, ANSWERS) as stub:
        for typed in (("fills",), ("orders",), ("fills", "--limit", "50"), ("fills", "--json")):
            assert typed_on_a_terminal(socket_path, "", *typed)[0] == 0
    assert [params.get("limit") for name, params in stub.asked if name != "hello"] == [20, None, 50, None]


@pytest.mark.parametrize("answer", ["n\n", "\n", "what?\n"])
def test_anything_but_yes_is_no(socket_path: Path, answer: str) -> None:
    """Exit code 5 and nothing but status was asked."""
    with Stub(socket_path, ANSWERS) as stub:
        code, shown = typed_on_a_terminal(socket_path, answer, "unlatch", "--reason", "x")
    assert code == 5
    assert "was not confirmed; nothing was sent" in shown
    assert {method for method, _ in stub.asked} == {"hello", "status"}


def loosens(params: dict[str, Any]) -> dict[str, Any]:
    """Refuse what was not said twice."""
    if params.get("loosen") is not True:
        text = "this lets more pass than now: risk.max_order_qty 50 -> 60"
        raise Refuse(-32004, "LOOSENS", text, "say that it is meant", "loosen")
    return {"schema": "tradingd.limits_set/1", "changed": True, "changes": []}


@pytest.mark.parametrize(("answer", "code", "times"), [("y\n", 0, 2), ("n\n", 5, 1), ("\n", 5, 1)])
def test_a_wider_limit_is_asked_about_with_what_it_widens(
    socket_path: Path, answer: str, code: int, times: int
) -> None:
    """The daemon knows which limit that is; nothing is changed by anything but yes."""
    with Stub(socket_path, {"limits.set": loosens}) as stub:
        got, shown = typed_on_a_terminal(socket_path, answer, "limits", "set", "max_order_qty=60")
        asked = [params for name, params in stub.asked if name == "limits.set"]
    assert (got, len(asked)) == (code, times)
    assert "50 -> 60: go on? [y/N]" in shown
    assert asked[0]["set"] == ["max_order_qty=60"]


def test_without_a_terminal_a_wider_limit_wants_yes(run: Run, socket_path: Path) -> None:
    """Several limits are several words; a comma belongs to its value."""
    words = ("limits", "set", "max_order_qty=60", "restricted=AAA,BBB")
    with Stub(socket_path, {"limits.set": loosens}) as stub:
        refused, done = run(*words), run(*words, "--yes")
        asked = [params for name, params in stub.asked if name == "limits.set"]
    assert (refused.returncode, done.returncode) == (5, 0)
    assert "LOOSENS" in refused.stderr
    assert asked[1]["set"] == ["max_order_qty=60", "restricted=AAA,BBB"]
    assert asked[1]["loosen"] is True


def test_yes_is_the_only_second_step(call: Run, socket_path: Path) -> None:
    """Contract section 5: a prompt or --yes; who gives no reason is known all the same."""
    resumed = {"schema": "tradingd.trading_state/1", "trading_state": "active", "changed": True}
    with Stub(socket_path, ANSWERS | {"resume": resumed}) as stub:
        done = call("resume", "--yes")
    assert done.returncode == 0, done.stderr
    method, params = stub.asked[-1]
    assert (method, "reason" in params) == ("resume", False)


# ------------------------------------------------------------------------------------------------------- flatten


def test_flatten_waits_for_the_daemon_to_say_flat(run: Run, socket_path: Path) -> None:
    """--deadline is --deadline-s; flat is exit code 0."""
    flat = {
        "schema": "tradingd.trading_state/1",
        "trading_state": "halted",
        "orders": [{"status": "filled"}],
        "flat": True,
        "left": [],
    }
    with Stub(socket_path, {"flatten": flat}) as stub:
        done = run("flatten", "--yes", "--deadline", "2.5")
    assert done.returncode == 0
    assert stub.asked[1][1]["deadline_s"] == 2.5
    assert done.stdout == "flatten: trading is halted, 1 closing order sent; flat\n"


def test_not_flat_is_exit_code_6_with_what_is_left(call: Run, socket_path: Path) -> None:
    """Both for people and as JSON."""
    left = [
        {"portfolio": "main", "symbol": "SPY", "qty": "10"},
        {"portfolio": "main", "symbol": "SPY", "order": "flatten-1"},
    ]
    answer = {"trading_state": "halted", "orders": [], "flat": False, "left": left}
    with Stub(socket_path, {"flatten": answer}):
        done = call("flatten", "--yes", "--deadline", "1")
        as_json = call("flatten", "--yes", "--json")
    assert (done.returncode, as_json.returncode) == (6, 6)
    assert "SPY" in done.stdout
    assert "flatten-1" in done.stdout
    assert "not flat after 1 s, 2 positions and orders left" in done.stderr
    assert json.loads(as_json.stdout) == answer


def test_flat_unknown_is_not_flat(call: Run, socket_path: Path) -> None:
    """An answer without a verdict is exit code 4, not 0."""
    with Stub(socket_path, {"flatten": {"trading_state": "halted"}}):
        done = call("flatten", "--yes")
    assert done.returncode == 4
    assert "does not say whether it is flat" in done.stderr


def test_unlatch_with_the_kill_file_still_there_is_not_done(call: Run, socket_path: Path) -> None:
    """The daemon would be killed again within 25 ms: exit code 6 and what to do, instead of a success for a moment."""
    file = socket_path.parent / "KILL"
    file.write_text("")
    with Stub(socket_path, {"unlatch": {"trading_state": "halted", "changed": True}}):
        done = call("unlatch", "--yes", "--reason", "found it")
        file.unlink()
        again = call("unlatch", "--yes", "--reason", "found it")
    assert done.returncode == 6
    assert f"remove it (rm {file})" in done.stderr
    assert again.returncode == 0
