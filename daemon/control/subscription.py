"""One subscriber's share of the committed events: bounded, fed from any thread, emptied on the control thread.

The core must never wait for a reader. Whoever falls further behind than the bound is cut off, and told so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from daemon.control.protocol import notification_line

_LINES_PER_TURN: Final = 64


class Subscription:
    """A bounded queue between whoever commits and one connection.

    Attributes:
        cut: too far behind; nothing more is taken.
        paused: the connection cannot take more at the moment.
    """

    def __init__(
        self,
        number: int,
        events_max: int,
        *,
        send: Callable[[bytes], None],
        finish: Callable[[], None],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """Begin closed: events are kept until :meth:`open`, so that the answer to ``subscribe`` comes first.

        Args:
            number: names the subscription to the client.
            events_max: how far behind it may be.
            send: writes a line; control thread.
            finish: ends the connection once it was written; control thread.
            soon: has something called on the control thread; any thread.
        """
        self.number = number
        self.cut = False
        self.paused = True
        self._max = events_max
        self._send = send
        self._finish = finish
        self._soon = soon
        self._events: deque[dict[str, Any]] = deque()
        self._lock = threading.Lock()
        self._coming = False
        self._told = False
        self._closed = False
        self.catching_up = False
        """While it is given what lies in the past, which has a bound of its own, falling behind does not count."""

    @property
    def waiting(self) -> int:
        """Return how many events wait."""
        return len(self._events)

    def push(self, event: dict[str, Any]) -> bool:
        """Take an event, on any thread; False: this subscriber gets no more."""
        with self._lock:
            if self._closed or self.cut:
                return False
            taken = self.catching_up or len(self._events) < self._max
            if taken:
                self._events.append(event)
            else:
                self.cut = True
            wake = not self._coming
            self._coming = True
        if wake:
            self._soon(self._drain)
        return taken

    def open(self) -> None:
        """Let events out, or again after a pause."""
        self.paused = False
        self._drain()

    def close(self) -> None:
        """Drop everything; the connection is gone."""
        with self._lock:
            self._closed = True
            self._events.clear()

    def end(self, reason: str, message: str) -> None:
        """Write the last line and end the connection."""
        if self._told:
            return
        self._told = True
        self.close()
        params = {"schema": "tradingd.end/1", "subscription": self.number, "reason": reason, "message": message}
        self._send(notification_line("end", params))
        self._finish()

    def beat(self, at: str) -> None:
        """Show that the daemon is alive, to a client that reads."""
        if not self.paused and not self._told:
            params = {
                "schema": "tradingd.heartbeat/1",
                "subscription": self.number,
                "at": at,
                "waiting": self.waiting,
            }
            self._send(notification_line("heartbeat", params))

    def _drain(self) -> None:
        with self._lock:
            self._coming = False
        if self.cut:
            self.end("TOO_SLOW", f"more than {self._max} events were not read; subscribe again and read faster")
            return
        for _ in range(_LINES_PER_TURN):
            if self.paused or not self._events or self._closed:
                return
            event = self._events.popleft()
            try:
                line = notification_line("event", {"subscription": self.number, **event})
            except Exception:
                self.end("INTERNAL", "an event could not be written as JSON; the fault is the daemon's")
                raise
            self._send(line)
        with self._lock:
            again, self._coming = not self._coming, True
        if again:
            self._soon(self._drain)
