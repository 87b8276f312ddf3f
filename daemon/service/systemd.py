"""What the daemon tells its service manager (sd_notify(3)) and what the manager told it at the start.

Every function works without systemd: nothing is sent, and the caller need not know.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, MutableMapping
from typing import Final

from daemon.kernel.errors import ConfigError

STATUS_CHARS_MAX: Final = 256
URGENT_WAIT_S: Final = 1.0


def journal_says(text: str) -> str:
    """Return a status as one line without control characters, cut to what ``systemctl status`` shows."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return line if len(line) <= STATUS_CHARS_MAX else f"{line[: STATUS_CHARS_MAX - 1]}…"


class Notifier:
    """Datagrams to the manager's socket. Safe to call from any thread; never blocks the loop for long.

    Args:
        address: ``/path`` or ``@abstract``; "" where nobody listens.
        clean: takes secrets out of a status text.
    """

    def __init__(self, address: str, *, clean: Callable[[str], str] = str) -> None:
        if address and address[0] not in "/@":
            message = f"NOTIFY_SOCKET is {address}, which is neither a path nor an abstract name"
            raise ConfigError(message, code="NOTIFY_SOCKET", remedy="start the daemon by systemd, or unset it")
        self.active = bool(address)
        self.failures = 0
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._clean = clean
        self._socket: socket.socket | None = None
        if self.active:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def take(cls, environ: MutableMapping[str, str], *, clean: Callable[[str], str] = str) -> Notifier:
        """Return the notifier of this process, and take the variable away: a child must not speak for us.

        Raises:
            ConfigError: an address of a kind that Linux's datagram sockets do not have.
        """
        return cls(environ.pop("NOTIFY_SOCKET", ""), clean=clean)

    def ready(self, status: str) -> bool:
        """Tell that the start, or a reload, is over."""
        return self._send("READY=1", self._status(status), urgent=True)

    def status(self, text: str) -> bool:
        """Tell people one line about the state."""
        return self._send(self._status(text))

    def reloading(self, monotonic_ns: int) -> bool:
        """Tell that a reload began; ``ready`` ends it.

        Args:
            monotonic_ns: CLOCK_MONOTONIC of now: the manager tells old messages from new ones by it.
        """
        return self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns // 1_000}", urgent=True)

    def stopping(self, status: str) -> bool:
        """Tell that the shutdown began."""
        return self._send("STOPPING=1", self._status(status), urgent=True)

    def failed(self, errno: int, status: str) -> bool:
        """Tell the error that ends the process."""
        return self._send(f"ERRNO={errno}", self._status(status), urgent=True)

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for that much more time, from now on, to start or to stop."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def watchdog_ping(self) -> bool:
        """Tell that everything that must make progress does."""
        return self._send("WATCHDOG=1")

    def watchdog_trigger(self) -> bool:
        """Ask to be treated as if the watchdog had run out: stopped with WatchdogSignal, and restarted."""
        return self._send("WATCHDOG=trigger", urgent=True)

    def main_pid(self, pid: int) -> bool:
        """Tell which process is the service."""
        return self._send(f"MAINPID={pid}", urgent=True)

    def close(self) -> None:
        """Stop telling."""
        self.active = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _status(self, text: str) -> str:
        return f"STATUS={journal_says(self._clean(text))}"

    def _send(self, *lines: str, urgent: bool = False) -> bool:
        """Send one datagram; whether the manager has it. ``urgent`` waits a moment for room in its queue."""
        sender = self._socket
        if sender is None:
            return False
        datagram = "\n".join(lines).encode("utf-8", "replace")
        try:
            with contextlib.suppress(BlockingIOError):
                sender.sendto(datagram, self._address)
                return True
            if urgent:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as patient:
                    patient.settimeout(URGENT_WAIT_S)
                    patient.sendto(datagram, self._address)
                    return True
        except OSError:  # counted below: the manager that is gone cannot be told, and trading does not depend on it
            pass
        self.failures += 1
        return False


def take_watchdog_interval(environ: MutableMapping[str, str], pid: int | None = None) -> float | None:
    """Return the seconds within which the manager wants a ping, or None; takes the variables away.

    Args:
        environ: of this process.
        pid: of this process; None asks.
    """
    microseconds, meant = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if meant and meant != str(os.getpid() if pid is None else pid):  # of a parent that runs us under its own unit
        return None
    return int(microseconds) / 1_000_000
