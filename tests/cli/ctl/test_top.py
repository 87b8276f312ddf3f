"""``top`` on a pseudo-terminal: takes the screen, follows the daemon, gives the screen back however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cli.ctl.answers import ANSWERS, EVENTS
from tests.cli.ctl.conftest import ROOT, Run, environ
from tests.cli.ctl.stub import Raw, Refuse, Stub

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
FRAME = "\x1b[?2026h"


class Terminal:
    """``tradingctl top`` on a terminal of its own."""

    def __init__(self, path: Path, *arguments: str, columns: int = 100, rows: int = 40) -> None:
        """Start."""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            command = [sys.executable, "-m", "daemon.cli.tradingctl", "top", "--refresh", "0.1", *arguments]
            os.chdir(ROOT)
            os.execve(sys.executable, command, environ(TRADINGD_SOCKET=str(path), TERM="xterm"))  # noqa: S606 - pty
        self.shown = ""
        self.code: int | None = None

    def until(self, text: str, *, after: int = 0) -> str:
        """Read until a text is shown; return everything."""
        deadline = time.monotonic() + 15
        while text not in self.shown[after:]:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown[-3000:]!r}"
            if select.select([self.fd], [], [], 1)[0] and not self._read():
                raise AssertionError(f"ended without {text!r}: {self.shown[-3000:]!r}")
        return self.shown

    def _read(self) -> bool:
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.shown += data.decode()
        return bool(data)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.fd, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the size; the kernel sends SIGWINCH."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            continue
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it if it has not ended."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.mark.parametrize("key", ["q", "Q", "\x03", "\x04"])
def test_it_quits_on_q_and_ctrl_c_and_gives_the_screen_back(socket_path: Path, key: str) -> None:
    """Exit code 0; the other screen is left, the cursor is back."""
    with Stub(socket_path, ANSWERS), Terminal(socket_path) as top:
        top.until("o-1043")
        top.press(key)
        assert top.end() == 0
    assert top.shown.count(ENTER) == top.shown.count(LEAVE) == 1
    assert top.shown.rindex("\x1b[?25h") > top.shown.rindex(FRAME)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_screen_back_too(socket_path: Path, number: signal.Signals) -> None:
    """A killed session leaves no broken terminal."""
    with Stub(socket_path, ANSWERS), Terminal(socket_path) as top:
        top.until("o-1043")
        os.kill(top.pid, number)
        assert top.end() == 0
    assert top.shown.count(LEAVE) == 1


def test_events_come_as_they_happen(socket_path: Path) -> None:
    """Pushed, not asked for."""
    with Stub(socket_path, ANSWERS) as stub, Terminal(socket_path, "--refresh", "3600") as top:
        top.until("events")
        assert stub.asked[-1] == ("subscribe", {"from_seq": 184229 - 64})
        stub.push("event", json.loads(EVENTS[2]))
        top.until("OrderDenied")
        top.press("q")
        assert top.end() == 0


def test_who_is_refused_events_asks_again(socket_path: Path) -> None:
    """All places of subscribers were taken; a moment later one is free."""
    refusals = iter([Refuse(-32002, "BUSY", "64 subscribers are connected, which is the limit")])

    def subscribe(_: dict[str, Any]) -> Any:
        for refusal in refusals:
            raise refusal
        return ANSWERS["subscribe"]

    with Stub(socket_path, ANSWERS | {"subscribe": subscribe}) as stub, Terminal(socket_path) as top:
        top.until("none come: 64 subscribers are connected")
        for _ in range(5):  # so many looks at the daemon
            top.until(FRAME, after=len(top.shown))
        assert [method for method, _ in stub.asked].count("subscribe") == 2
        stub.push("event", json.loads(EVENTS[2]))
        top.until("OrderDenied")
        assert "is old" not in top.shown
        assert "none come" not in top.shown.split(FRAME)[-1]
        top.press("q")
        assert top.end() == 0


def test_a_lost_daemon_is_shown_and_found_again(socket_path: Path) -> None:
    """The last numbers stay, marked as old, until it is back."""
    with Terminal(socket_path) as top:
        with Stub(socket_path, ANSWERS) as stub:
            top.until("101,234.56")
            stub.stop()
            top.until("what follows is old")
        socket_path.unlink()
        with Stub(socket_path, ANSWERS | {"status": '{"trading_state":"reducing","equity":77}'}):
            top.until("REDUCING")
            top.press("q")
            assert top.end() == 0


def test_a_new_size_is_drawn_at_once(socket_path: Path) -> None:
    """Without waiting for the next refresh; no line is longer than the terminal."""
    with Stub(socket_path, ANSWERS), Terminal(socket_path, "--refresh", "3600", columns=120) as top:
        top.until("events")
        seen = len(top.shown)
        top.resize(50, 20)
        top.until("…", after=seen)
        top.press("q")
        assert top.end() == 0
    frame = top.shown.split(FRAME)[-1]
    assert frame.count("\x1b[K") <= 20


def test_ctrl_z_gives_the_screen_back_and_fg_takes_it_again(socket_path: Path) -> None:
    """As a shell expects of a full-screen program."""
    with Stub(socket_path, ANSWERS), Terminal(socket_path) as top:
        top.until("o-1043")
        os.kill(top.pid, signal.SIGTSTP)
        top.until(LEAVE)
        _, status = os.waitpid(top.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        seen = len(top.shown)
        os.kill(top.pid, signal.SIGCONT)
        top.until(ENTER, after=seen)
        top.until("o-1043", after=seen)
        top.press("q")
        assert top.end() == 0


def test_a_terminal_that_vanishes_ends_it(socket_path: Path) -> None:
    """A closed window is SIGHUP or the end of input; no process stays behind."""
    with Stub(socket_path, ANSWERS):
        top = Terminal(socket_path)
        top.until("o-1043")
        os.close(top.fd)
        deadline = time.monotonic() + 10
        while os.waitpid(top.pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline
            time.sleep(0.01)  # a process can only be looked at


def test_without_a_terminal_it_says_what_to_use(call: Run, socket_path: Path) -> None:
    """Exit code 2; --json is refused likewise, --once prints a frame."""
    with Stub(socket_path, ANSWERS):
        assert "use --once" in call("top").stderr
        assert call("top").returncode == 2
        assert call("top", "--json").returncode == 2
        once = call("top", "--once")
    assert once.returncode == 0
    assert once.stdout.startswith("ACTIVE")
    assert "\x1b" not in once.stdout


def test_once_without_a_daemon_is_as_every_verb(call: Run, socket_path: Path) -> None:
    """Exit code 3 and 4."""
    assert call("top", "--once").returncode == 3

    def hang(_: dict[str, Any]) -> Raw:
        return Raw(b"")

    with Stub(socket_path, {"status": hang}):
        assert call("top", "--once").returncode == 4
