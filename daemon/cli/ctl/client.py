"""The conversation with the daemon: newline-delimited JSON-RPC 2.0 over a Unix socket, with time limits on everything.

``hello`` and the call travel in one write, so that an answer costs one round trip. A connection that breaks before the
answer is tried once more with the same request id, which the daemon takes at most once.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from daemon.cli.ctl import places, wire
from daemon.cli.ctl.errors import ConnectionBrokenError, NotRunningError, SilentError, UnreachableError
from daemon.kernel.errors import OperatorError, RefusedError

API: Final = 1
CLIENT: Final = "tradingctl"
ANSWER_BYTES_MAX: Final = 16 << 20
"""Four times the daemon's own limit; bounds what a stranger can make us keep."""
_CHUNK_BYTES: Final = 1 << 16
_KNOCK_S: Final = 0.05  # how often a daemon that is restarting is looked for


def _frame(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


HELLO: Final = _frame(0, "hello", {"api": API, "client": CLIENT})


class RemoteError(OperatorError):
    """The daemon answered with an error.

    Attributes:
        number: JSON-RPC's code.
        code: the daemon's stable upper-case reason.
        field: the parameter it is about, "" where none.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        """Read ``{"code", "message", "data": {"reason", "field", "remedy"}}``; every part may be missing."""
        data = error.get("data")
        data = data if isinstance(data, dict) else {}
        message = str(error.get("message") or "the daemon answered with an error without a sentence")
        super().__init__(message, code=str(data.get("reason") or ""), remedy=str(data.get("remedy") or ""))
        self.number = int(error["code"]) if str(error.get("code", "")).lstrip("-").isdecimal() else 0
        self.field = str(data.get("field") or "")
        self.exit_code = _EXIT_CODES.get(self.number, RefusedError.exit_code)


FORBIDDEN, OUTCOME_UNKNOWN, REFUSED, NOT_READY, CLOSED = -32001, -32003, -32004, -32005, -32007
_EXIT_CODES: Final = {
    -32700: 2,  # a line that is no JSON
    -32600: 2,  # no request
    -32601: 2,  # no such method
    -32602: 2,  # wrong parameters
    -32603: 1,  # the daemon's own fault
    -32000: 2,  # no hello
    FORBIDDEN: 5,
    -32002: 4,  # busy: too many connections or calls; nothing was taken
    OUTCOME_UNKNOWN: 4,  # no answer in time: whether it was done is not known
    REFUSED: 5,  # understood and refused
    NOT_READY: 4,
    -32006: 6,  # done, but not durable
    CLOSED: 4,  # the connection ends, for a reason that no request is to blame for
}
"""Exit code of each number of the protocol (``daemon/control/protocol.py``)."""


class Connection:
    """One connection; use as a context manager."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Connect; raises what :func:`daemon.cli.ctl.places.connect` raises."""
        self._link: socket.socket = places.connect(path, timeout_s)
        self._buffer = bytearray()
        self._looked = 0
        self._next = 1
        self._greeted = False
        self._pushed: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close; also ends a wait of another thread."""
        self._link.close()

    def fileno(self) -> int:
        """Return the descriptor, for ``select``."""
        return self._link.fileno()

    @property
    def waiting(self) -> bool:
        """Whether a whole frame has been read but not yet taken."""
        return b"\n" in self._buffer

    def greet(self, timeout_s: float) -> dict[str, Any]:
        """Say hello and return the answer; raises as :meth:`call`."""
        answer = self._exchange([HELLO], 0, timeout_s)
        return answer if isinstance(answer, dict) else {}

    def call(self, method: str, params: dict[str, Any], timeout_s: float) -> Any:
        """Ask and return the result; notifications that come first are kept for :meth:`notifications`.

        Raises:
            RemoteError: the daemon refuses.
            ConnectionBrokenError: it hung up before the answer.
            UnreachableError: no answer in time, or not an answer.
        """
        number = self._next
        self._next += 1
        frames = [] if self._greeted else [HELLO]
        return self._exchange([*frames, _frame(number, method, params)], number, timeout_s)

    def _exchange(self, frames: list[dict[str, Any]], number: int, timeout_s: float) -> Any:
        """Send frames in one write and return the result that belongs to ``number``."""
        deadline = time.monotonic() + timeout_s
        self._send("".join(f"{wire.dumps(frame)}\n" for frame in frames), deadline)
        while True:
            frame = self.frame(deadline)
            found = frame.get("id")
            if "error" in frame and found in {None, wire.Number("0"), wire.Number(str(number))}:
                raise _refused(frame["error"])
            if found == wire.Number("0"):
                self._greeted = True
            if found == wire.Number(str(number)):
                if "result" not in frame:
                    raise _garbage("an answer without a result")
                return frame["result"]
            if "method" in frame:
                self._pushed.append(frame)

    def notifications(self, silence_s: float | None) -> Iterator[dict[str, Any]]:
        """Yield what the daemon pushes until it hangs up or is silent for so long; None: it may be silent for ever."""
        while True:
            while self._pushed:
                yield self._pushed.popleft()
            try:
                frame = self.frame(None if silence_s is None else time.monotonic() + silence_s)
            except (ConnectionBrokenError, SilentError):
                return
            if "method" in frame:
                yield frame

    def at_hand(self) -> Iterator[dict[str, Any]]:
        """Yield the frames that are there, without waiting for more; for a caller that selects.

        Raises:
            ConnectionBrokenError: the daemon hung up.
        """
        yield from self._pushed
        self._pushed.clear()
        while True:
            self._link.settimeout(0)
            try:
                chunk = self._link.recv(_CHUNK_BYTES)
            except BlockingIOError:
                break
            except ConnectionError:
                raise _broken() from None
            if not chunk:
                raise _broken()
            self._buffer += chunk
        while self.waiting:
            yield self.frame(None)

    def _send(self, text: str, deadline: float) -> None:
        self._limit(deadline)
        try:
            self._link.sendall(text.encode())
        except TimeoutError:
            raise _silent() from None
        except OSError:
            # A server that refuses a connection may say why and hang up before it has read us: the answer comes first.
            if not self.waiting and not self._more(deadline):
                raise _broken() from None

    def frame(self, deadline: float | None) -> dict[str, Any]:
        """Return the next frame."""
        while (end := self._buffer.find(b"\n", self._looked)) < 0:
            self._looked = len(self._buffer)
            if self._looked > ANSWER_BYTES_MAX:
                raise _garbage(f"an answer longer than {ANSWER_BYTES_MAX >> 20} MiB")
            if not self._more(deadline):
                raise _broken()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._looked = 0
        try:
            frame = wire.loads(line.decode())
        except ValueError:
            raise _garbage("something that is not JSON") from None
        if not isinstance(frame, dict):
            raise _garbage("JSON that is not an answer")
        return frame

    def _more(self, deadline: float | None) -> bool:
        """Read what is there; False at the end of the stream."""
        self._limit(deadline)
        try:
            chunk = self._link.recv(_CHUNK_BYTES)
        except TimeoutError:
            raise _silent() from None
        except ConnectionError:
            return False
        self._buffer += chunk
        return bool(chunk)

    def _limit(self, deadline: float | None) -> None:
        if deadline is None:
            self._link.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise _silent()
        self._link.settimeout(left)


def _refused(error: Any) -> OperatorError:
    refusal = RemoteError(error if isinstance(error, dict) else {})
    if refusal.number == CLOSED:
        return ConnectionBrokenError(refusal.message, code=refusal.code, remedy=refusal.remedy)
    return refusal


def _broken() -> ConnectionBrokenError:
    return ConnectionBrokenError("the daemon hung up before it answered", remedy="look at its log")


def _silent() -> SilentError:
    return SilentError("the daemon did not answer in time", remedy="look at its log, or give it more with --timeout")


def _garbage(what: str) -> UnreachableError:
    return UnreachableError(
        f"what listens on the socket answered {what}", remedy="is it the trading daemon, of this version?"
    )


def greeting(path: str, timeout_s: float) -> dict[str, Any]:
    """Return what the daemon says of itself: version, api, our role, limits; it answers before it is ready."""
    with Connection(path, timeout_s) as connection:
        return connection.greet(timeout_s)


def ask(path: str, method: str, params: dict[str, Any], timeout_s: float) -> Any:
    """Ask over a connection of its own; once more where it breaks before the answer.

    Args:
        path: the socket.
        method: such as ``order.submit``.
        params: by name; a command's hold its ``request_id``, which makes the second try safe.
        timeout_s: for all of it together.

    Raises:
        NotRunningError: nobody listens, and the command was never sent.
        UnreachableError: as :meth:`Connection.call`.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with Connection(path, timeout_s) as connection:
            return connection.call(method, params, timeout_s)
    except ConnectionBrokenError:
        pass
    while True:
        with _patiently(path, deadline) as connection:
            try:
                return connection.call(method, params, max(deadline - time.monotonic(), 0.001))
            except RemoteError as error:
                if error.number != NOT_READY or time.monotonic() + _KNOCK_S >= deadline:
                    raise
        time.sleep(_KNOCK_S)  # it is back and not yet ready: nothing was taken


def _patiently(path: str, deadline: float) -> Connection:
    """Connect to a daemon that has just hung up and may be on its way back."""
    while True:
        left = deadline - time.monotonic()
        try:
            return Connection(path, left)
        except (NotRunningError, UnreachableError):
            if left <= _KNOCK_S:
                raise ConnectionBrokenError(
                    "the daemon hung up before it answered and did not come back", remedy="look at its log"
                ) from None
        time.sleep(_KNOCK_S)
