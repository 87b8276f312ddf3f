"""One connection: bytes between the socket and the conversation, and the clocks that run while it is open."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from daemon.control.calls import Peer, Role
from daemon.control.limits import ServerLimits
from daemon.control.protocol import Code, Conversation, Hello, Refusal, Request, error_line
from daemon.control.subscription import Subscription

_HIGH_WATER: Final = 256 << 10


class Host(Protocol):
    """What a connection needs of the server."""

    limits: ServerLimits

    def now(self) -> float:
        """Return the loop's monotonic seconds."""
        ...

    def soon(self, callback: Any, *arguments: Any) -> None:
        """Have something called on the control thread."""
        ...

    def admit(self, connection: Connection) -> Peer | None:
        """Take a connection in, or refuse it (None)."""
        ...

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        ...

    def hear(self, connection: Connection, said: Hello | Request | Refusal) -> None:
        """Act on what a connection said."""
        ...

    def problem(self, sentence: str) -> None:
        """Report a fault of our own."""
        ...


class Connection(asyncio.Protocol):
    """A peer, its conversation and what it waits for.

    Attributes:
        peer: who it is; set once admitted.
        greeted: ``hello`` was answered.
        opened_at, heard_at: seconds of the loop's clock.
        waiting: requests not yet answered.
        refusals: in a row.
        subscription: None where there is none; ``unsubscribe`` undoes it at the desk.
        closing: nothing more is taken; ``closing_at`` is since when.
        stuffed: the peer does not read what is written to it.
    """

    def __init__(self, host: Host) -> None:
        """Wait to be connected."""
        self.peer = Peer(-1, -1, 0, Role.NONE)
        self.greeted = False
        self.opened_at = self.heard_at = host.now()
        self.closing_at = 0.0
        self.waiting = 0
        self.refusals = 0
        self.subscription: Subscription | None = None
        self.unsubscribe: Callable[[], None] | None = None
        self.closing = False
        self.stuffed = False
        self._host = host
        self._conversation = Conversation(host.limits.frame_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._line_since: float | None = None
        self._turn_due = False
        self._ended = False

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask to be let in."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        peer = self._host.admit(self)
        if peer is not None:
            self.peer = peer

    @property
    def socket(self) -> socket.socket:
        """Return the socket, to ask the kernel who is at its other end."""
        if self._transport is None:
            raise RuntimeError("a connection has a socket only once it is made")
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        """Take bytes; a connection that says much waits for its next turn."""
        self._say(data)

    def eof_received(self) -> bool:
        """Take the end of what the peer sends; answers it waits for still go out."""
        if not self.closing:
            self._ended = True
            self._leave_when_done()
            self.leave_if_gone()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, whyever it ended."""
        del exc
        self.closing = True
        self._host.forget(self)

    def pause_writing(self) -> None:
        """The peer does not read: hold events back."""
        self.stuffed = True
        if self.subscription is not None:
            self.subscription.paused = True

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.stuffed = False
        if self.subscription is not None and not self.closing:
            self.subscription.open()

    # -- what the server calls -------------------------------------------------------------------------------------

    def send(self, line: bytes) -> None:
        """Write a line; a peer that lets too much pile up is cut off."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(line)
        if self._transport.get_write_buffer_size() > self._host.limits.write_bytes_max:
            self.abort()

    def answered(self) -> None:
        """One request less to wait for."""
        self.waiting -= 1
        self.heard_at = self._host.now()
        self._leave_when_done()

    def finish(self) -> None:
        """Take nothing more, let the peer read what was written, then close."""
        if self.closing:
            return
        self.closing = True
        self.closing_at = self._host.now()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def dismiss(self, reason: str, message: str, remedy: str = "") -> None:
        """Say why, and close."""
        if not self.closing:
            self.send(error_line(None, Code.CLOSED, reason, message, remedy=remedy))
            self.finish()

    def overdue(self, now: float) -> tuple[str, str] | None:
        """Return reason and sentence where this connection has been silent or slow for too long."""
        limits = self._host.limits
        if self._line_since is not None and now - self._line_since > limits.line_s:
            return "LINE_TIMEOUT", f"a line that is begun must end within {limits.line_s:g} s"
        if not self.greeted:
            late = now - self.opened_at > limits.hello_s
            return ("HELLO_TIMEOUT", f"hello must come within {limits.hello_s:g} s") if late else None
        if self.subscription is None and not self.waiting and now - self.heard_at > limits.idle_s:
            return "IDLE", f"nothing was asked for {limits.idle_s:g} s"
        return None

    def leave_if_gone(self) -> None:
        """Close where the peer has closed its socket: unlike one that only stopped sending, it hears no answer."""
        if self._ended and not self.closing and not self._turn_due:
            poll = select.poll()
            poll.register(self.socket.fileno(), 0)
            if poll.poll(0):
                self.abort()

    def _say(self, data: bytes) -> None:
        """Hear what the bytes complete, a few lines at a time."""
        if self.closing:
            return
        try:
            for said in self._conversation.receive(data, self._host.limits.lines_per_turn):
                if self.closing:
                    break
                self._host.hear(self, said)
        except Exception as error:  # noqa: BLE001 - one connection's fault must not end the others' control
            self._host.problem(f"a connection was closed by a fault of the daemon: {type(error).__name__}: {error}")
            self.dismiss("INTERNAL", "the daemon made a mistake", "it is in the log; kill and halt still work")
            return
        self._look()

    def _look(self) -> None:
        """Watch a line that was begun; come back for lines that wait."""
        if self.closing:
            return
        if self._conversation.closing:
            self._pause(True)
            self._leave_when_done()
        elif self._conversation.more:
            if not self._turn_due:
                self._turn_due = True
                self._pause(True)
                self._host.soon(self._turn)
        elif self._conversation.partial:
            self._line_since = self._host.now() if self._line_since is None else self._line_since
        else:
            self._line_since = None

    def _turn(self) -> None:
        self._turn_due = False
        self._say(b"")
        if not self.closing and not self._turn_due:
            self._pause(False)
            if self._ended:
                self._leave_when_done()

    def _pause(self, pause: bool) -> None:
        if self._transport is None or self._transport.is_closing() or self._ended:
            return
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _leave_when_done(self) -> None:
        """After the peer's last word: close once every answer is out. A subscriber stays and listens."""
        if self.closing or self._turn_due:
            return
        if self._ended and not self._conversation.closing:
            for said in self._conversation.end():
                self._host.hear(self, said)
        if self._conversation.closing and not self.waiting and self.subscription is None:
            self.finish()
