"""The test's end of :mod:`tests.faults.meddled_run`, and questions that tests of the process share."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.live_support import CallError, Client, Daemon, DaemonFailedError, daemon, minute_bars

PROGRAM = "tests.faults.meddled_run"
QUIET = "[service]\nunclean_starts_max = 0\ndisk_halt_mb = 0\n"


class Meddled(Daemon):
    """A daemon with a hand inside."""

    constants: ClassVar[dict[str, Any]] = {}

    @property
    def hand(self) -> Path:
        """Where it listens."""
        return self.runtime / "hand"

    def begin(self, **options: Any) -> None:
        """Start it and wait until it is ready."""
        self.hand.unlink(missing_ok=True)
        env = {"MEDDLE_SOCKET": str(self.hand), "MEDDLE_SET": json.dumps(self.constants)} | options.pop("env", {})
        self.start(program=PROGRAM, env=env, **options)

    def begin_broken(self, child: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Start it with a child that fails the first time; wait until it is ready all the same.

        ``meanwhile`` is called while the child waits for its next start.
        """
        env = {"MEDDLE_SOCKET": str(self.hand), "MEDDLE_SET": json.dumps(self.constants)}
        self.hand.unlink(missing_ok=True)
        failed = self._failures()
        self.spawn(program=PROGRAM, env=env | {"MEDDLE_BROKEN": json.dumps({child: "not yet"})})
        deadline = time.monotonic() + 20
        while self._failures() == failed:
            assert time.monotonic() < deadline, self.tail()
            self.manager.listen(0.05)
        meanwhile()
        self.meddle("break", child=child)
        self.await_ready()

    def _failures(self) -> int:
        lines = self.logged() if self.log.exists() else ()
        return sum(line["event"] == "actor failed" for line in lines)

    def meddle(self, do: str, **wish: Any) -> dict[str, Any]:
        """Have something done inside."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(60)
            link.connect(str(self.hand))
            link.sendall(json.dumps({"do": do} | wish).encode() + b"\n")
            answer: dict[str, Any] = json.loads(link.makefile().readline())
        assert "error" not in answer, answer
        return answer

    def actor(self, name: str) -> dict[str, Any]:
        """Return a row of ``tradingctl actors``, as the socket gives it."""
        with self.client() as client:
            return next(row for row in client.call("actors")["rows"] if row["name"] == name)

    def status(self) -> dict[str, Any]:
        """Return the daemon's status."""
        with self.client() as client:
            return client.call("status")

    def hear(self, seconds: float) -> list[dict[str, str]]:
        """Return what the service manager hears within a time."""
        until = time.monotonic() + seconds
        heard = []
        while (left := until - time.monotonic()) > 0:
            if (message := self.manager.listen(left)) is not None:
                heard.append(message)
        return heard

    def hear_until(self, wanted: str, value: str | None = None, seconds: float = 30.0) -> dict[str, str]:
        """Wait for a message of the daemon to its service manager."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = self.manager.listen(left)
            if message is not None and wanted in message and (value is None or value in message[wanted]):
                return message
        raise DaemonFailedError(f"the manager did not hear {wanted}={value or '...'} in {seconds} s:\n{self.tail()}")


def playing(folder: Path, *, speed: str = "600", minutes: int = 390, more: str = "") -> str:
    """Return a configuration that plays minute bars of three symbols and follows no strategy."""
    minute_bars(folder / "bars.csv", ("AAA", "BBB", "CCC"), minutes=minutes)
    return (
        f'[feed.playback]\nbars = ["bars.csv"]\nadjustment = "split"\nspeed = {speed}\n'
        '[[portfolio]]\nname = "main"\nstrategies = []\n'
        f"{more}{'' if '[service]' in more else QUIET}"
    )


def rows_of(client: Client, method: str, **params: Any) -> list[dict[str, Any]]:
    """Ask for rows as of what is committed now; right behind a start the views may be behind, or built, and say so."""
    head = client.call("journal.head")["seq"]
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = client.call(method, **params)
        except CallError as error:
            if "being built" not in str(error) or time.monotonic() > deadline:
                raise
        else:
            if answer.get("as_of_seq", head) >= head:
                rows: list[dict[str, Any]] = answer["rows"]
                return rows
            assert time.monotonic() < deadline, f"{method} as of {answer['as_of_seq']}, not {head}"


@contextmanager
def meddled(folder: Path, settings: str, **constants: Any) -> Iterator[Meddled]:
    """Give a daemon with a hand inside, with constants shortened, by their dotted names with ``__`` for dots."""
    found = Meddled(folder, settings)
    found.constants = {name.replace("__", "."): value for name, value in constants.items()}
    try:
        yield found
    finally:
        found.close()


__all__ = ["Daemon", "Meddled", "daemon", "meddled", "playing", "rows_of"]
