"""Stand-ins for what surrounds a service: the manager's socket, a log, a clock that a test moves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


class Manager:
    """The end of NOTIFY_SOCKET that systemd has."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def receive(self, wait_s: float = 5.0) -> dict[str, str]:
        """Return the next datagram's assignments."""
        self._socket.settimeout(wait_s)
        return dict(line.split("=", 1) for line in self._socket.recv(65_536).decode().split("\n"))

    def waiting(self) -> list[dict[str, str]]:
        """Return what has come, without waiting."""
        found = []
        self._socket.setblocking(False)
        while True:
            try:
                found.append(dict(line.split("=", 1) for line in self._socket.recv(65_536).decode().split("\n")))
            except BlockingIOError:
                return found

    def close(self) -> None:
        """Go away."""
        self._socket.close()


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def warning(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.lines.append(("error", event, fields))


class Hands:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager that listens at a path."""
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.close()


@pytest.fixture
def lines() -> Lines:
    """A log."""
    return Lines()


@pytest.fixture
def hands() -> Hands:
    """A clock."""
    return Hands()
