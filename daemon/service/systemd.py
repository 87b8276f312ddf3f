"""What the daemon tells its service manager (sd_notify(3)) and what the manager told it at the start.

Every function works without systemd: nothing is sent, and the caller need not know.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Final

from daemon.kernel.errors import ConfigError

STATUS_CHARS_MAX: Final = 256
URGENT_WAIT_S: Final = 30.0
"""How long an urgent message waits, on a thread of its own, for a manager that reads nothing."""
URGENT_MAX: Final = 16
"""How many may wait."""
LAST_WAIT_S: Final = 1.0
"""How long the last words of a process wait to be sent: nothing else is held up by then."""


def journal_says(text: str) -> str:
    """Return a status as one line without control characters, cut to what ``systemctl status`` shows."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return line if len(line) <= STATUS_CHARS_MAX else f"{line[: STATUS_CHARS_MAX - 1]}…"


class Notifier:
    """Datagrams to the manager's socket. Safe to call from any thread; holds nobody up but in the last words.

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
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._thread: threading.Thread | None = None
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
        """Tell the error that ends the process; waits a moment until that, and what is before it, has gone out."""
        sent = self._send(f"ERRNO={errno}", self._status(status), urgent=True)
        thread = self._thread
        if sent or thread is None:
            return sent
        thread.join(LAST_WAIT_S)
        return not self._waiting

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
        """Send one datagram; whether the manager has it now. ``urgent`` waits elsewhere for room in its queue."""
        sender = self._socket
        if sender is None:
            return False
        datagram = "\n".join(lines).encode("utf-8", "replace")
        with self._lock:
            if urgent and self._waiting:  # in the order in which they were said
                return self._wait(datagram)
            try:
                sender.sendto(datagram, self._address)
            except BlockingIOError:
                if urgent:
                    return self._wait(datagram)
            except OSError:  # counted below: a manager that is gone cannot be told, and trading does not depend on it
                pass
            else:
                return True
            self.failures += 1
        return False

    def _wait(self, datagram: bytes) -> bool:
        if len(self._waiting) >= URGENT_MAX:
            self.failures += 1
            return False
        self._waiting.append(datagram)
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_waiting, name="notify", daemon=True)
            self._thread.start()
        return False

    def _send_waiting(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as patient:
            patient.settimeout(URGENT_WAIT_S)
            while True:
                with self._lock:
                    if not self._waiting:
                        self._thread = None
                        return
                    datagram = self._waiting[0]
                failed = 0
                try:
                    patient.sendto(datagram, self._address)
                except OSError:  # as above
                    failed = 1
                with self._lock:
                    self.failures += failed
                    self._waiting.popleft()


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
