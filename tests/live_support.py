"""A real daemon for tests: the process, its service manager, its clients. No sleeping for a condition anywhere."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from actors.messages.catalogue import codec
from daemon.journal.journal import StoredFrame
from daemon.journal.sqlite import open_readonly, read_frames

ROOT = Path(__file__).resolve().parent.parent
START_S = 30.0


class DaemonFailedError(AssertionError):
    """The daemon ended, or did not say what was waited for."""


class Manager:
    """A service manager's notify socket: hears READY, STATUS, WATCHDOG and when."""

    def __init__(self, folder: Path) -> None:
        """Bind in ``folder``."""
        self.path = folder / "n"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.heard: list[tuple[float, dict[str, str]]] = []

    def listen(self, seconds: float) -> dict[str, str] | None:
        """Return the next message, or None if none came in time."""
        ready, _, _ = select.select([self.socket], [], [], max(0.0, seconds))
        if not ready:
            return None
        text = self.socket.recv(65536).decode()
        message = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        self.heard.append((time.monotonic(), message))
        return message

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


class Client:
    """A client of the control socket that keeps one connection; raises :class:`CallError` on an error answer."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        """Connect and say hello."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.file = self.socket.makefile("rb")
        self.n = 0
        try:
            self.socket.connect(str(path))
            self.call("hello", api=1, client="test")
        except BaseException:  # nobody there, or gone meanwhile: nobody else would close it
            self.close()
            raise

    def send(self, method: str, **params: Any) -> int:
        """Send a request without waiting; return its id."""
        self.n += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self.n, "method": method, "params": params}) + "\n"
        self.socket.sendall(line.encode())
        return self.n

    def receive(self) -> dict[str, Any]:
        """Return the next line."""
        line = self.file.readline()
        if not line:
            raise ConnectionResetError("the daemon closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask and wait for the answer."""
        number = self.send(method, **params)
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise CallError(answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()


class CallError(Exception):
    """An error answer; ``reason`` is its stable code."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error
        self.reason: str = error.get("data", {}).get("reason", "")


class Daemon:
    """One state folder and the daemons that are started on it, one after the other."""

    def __init__(self, folder: Path, settings: str, *, sets: Sequence[str] = ()) -> None:
        """Write the configuration; ``settings`` is TOML without [paths]."""
        self.folder = folder
        self.state = folder / "state"
        # Socket paths are short, temporary folders of tests are not.
        self.runtime = Path(tempfile.mkdtemp(prefix="td-"))
        self.config = folder / "daemon.toml"
        self.sets = list(sets)
        self.write(settings)
        self.process: subprocess.Popen[str] | None = None
        self.manager = Manager(self.runtime)
        self.log = folder / "log.jsonl"

    def write(self, settings: str) -> None:
        """Write the configuration anew."""
        paths = f'[paths]\nstate_dir = "{self.state}"\nruntime_dir = "{self.runtime}"\n'
        self.config.write_text(paths + settings, "utf-8")

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.runtime / "control.sock"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.state / "ledger.db"

    # -- process -----------------------------------------------------------------------------------------------------

    def spawn(
        self,
        *,
        faults: Sequence[str] = (),
        arguments: Sequence[str] = (),
        env: dict[str, str] | None = None,
        preexec: Any = None,
        until_end: bool = False,
        watchdog_s: float | None = None,
        program: str = "daemon.testing.faulty_run",
    ) -> subprocess.Popen[str]:
        """Start a daemon without waiting for it; ``program`` is a module that runs one."""
        assert self.process is None or self.process.poll() is not None, "one daemon at a time"
        while self.manager.listen(0) is not None:
            continue  # what an earlier one said last is not this one's
        command = [sys.executable, "-m", program, "--config", str(self.config), *arguments]
        for fault in faults:
            command += ["--at", fault]
        for item in self.sets:
            command += ["--set", item]
        if until_end:
            command.append("--until-end")
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TRADINGD_")}
        environ |= {"NOTIFY_SOCKET": str(self.manager.path), "PYTHONPATH": str(ROOT)} | (env or {})
        if watchdog_s is not None:
            environ["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environ,
                stdout=log,
                stderr=log,
                text=True,
                preexec_fn=preexec,  # noqa: PLW1509 - set limits in the child
            )
        return self.process

    def start(self, **options: Any) -> float:
        """Start a daemon and wait until it is ready; return the seconds it took."""
        began = time.monotonic()
        self.spawn(**options)
        self.await_ready()
        return time.monotonic() - began

    def await_ready(self, seconds: float = START_S) -> None:
        """Wait for READY=1."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            message = self.manager.listen(0.2)
            if message is not None and message.get("READY") == "1":
                return
            if message is None and self.process is not None and self.process.poll() is not None:
                raise DaemonFailedError(f"the daemon ended with {self.process.returncode}:\n{self.tail()}")
        raise DaemonFailedError(f"the daemon was not ready in {seconds} s:\n{self.tail()}")

    def kill(self) -> None:
        """SIGKILL, and take it away."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for the end; return the exit code."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise DaemonFailedError(f"the daemon did not end in {seconds} s:\n{self.tail()}") from None

    def close(self) -> None:
        """End whatever is left."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.manager.close()

    def tail(self, lines: int = 15) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else ""

    def logged(self) -> Iterator[dict[str, Any]]:
        """Return the log's lines that are JSON."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    # -- clients and records -------------------------------------------------------------------------------------------

    def client(self, timeout: float = 30.0) -> Client:
        """Connect to the control socket."""
        return Client(self.socket, timeout)

    def ctl(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run tradingctl."""
        command = [sys.executable, "-m", "daemon.cli.tradingctl", "--socket", str(self.socket), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False, stdin=subprocess.DEVNULL
        )

    def frames(self) -> list[StoredFrame]:
        """Return everything in the ledger."""
        db = open_readonly(self.ledger)
        try:
            return list(read_frames(db, codec()))
        finally:
            db.close()

    def events(self, *types: type) -> list[Any]:
        """Return the events of these types, in order."""
        return [event for frame in self.frames() for event in frame.events if not types or isinstance(event, types)]

    def query(self, sql: str) -> list[Any]:
        """Ask the ledger."""
        db = sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()


@contextmanager
def daemon(folder: Path, settings: str, *, sets: Sequence[str] = ()) -> Iterator[Daemon]:
    """Give a daemon that is not started, and end whatever runs of it afterwards."""
    found = Daemon(folder, settings, sets=sets)
    try:
        yield found
    finally:
        found.close()


def until(seconds: float, look: Any, what: str) -> Any:
    """Ask again and again, through the daemon's own answers, until ``look`` gives something; fail after ``seconds``.

    ``look`` must itself wait on a socket or file for an answer; nothing here sleeps.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
    message = f"{what} did not come about in {seconds} s"
    raise DaemonFailedError(message)


def minute_bars(path: Path, symbols: Sequence[str], *, minutes: int, day: str = "2024-01-02") -> Path:
    """Write smooth one-minute bars from 14:30 UTC on; deterministic, volume ample."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    start = datetime.fromisoformat(f"{day}T14:30:00+00:00").astimezone(UTC)
    lines = ["ts,symbol,open,high,low,close,volume"]
    for minute in range(minutes):
        stamp = (start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for k, symbol in enumerate(symbols):
            base = 100 + 10 * k + ((minute * 7 + k * 3) % 21 - 10) / 10
            lines.append(f"{stamp},{symbol},{base:.2f},{base + 0.6:.2f},{base - 0.6:.2f},{base + 0.1:.2f},1000000")
    path.write_text("\n".join(lines) + "\n", "ascii")
    return path


def decoded(raw: bytes) -> Any:
    """Decode JSON."""
    return msgspec.json.decode(raw)
