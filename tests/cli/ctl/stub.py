"""A daemon's end of the control socket for tests: a real Unix socket, answers from a table, faults on request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

Answer = Callable[[dict[str, Any]], Any]


class Refuse(Exception):  # noqa: N818 - raised by an answer to send an error of the protocol
    """An error instead of a result."""

    def __init__(self, number: int, reason: str, message: str, remedy: str = "", field: str = "") -> None:
        """Hold the parts of ``error``."""
        super().__init__(message)
        data = {"reason": reason, "field": field, "remedy": remedy}
        self.error = {"code": number, "message": message, "data": data}


class Raw(bytes):
    """Bytes to send as they are, followed by nothing."""


class HangUp(Exception):  # noqa: N818 - raised by an answer to close the connection
    """Close without an answer."""


class Stub:
    """Serves until the ``with`` block ends. Requests are kept in ``asked``, whole lines in ``lines``.

    Args:
        path: of the socket.
        answers: method -> result, or a callable of the parameters that returns it, or raises.
    """

    def __init__(self, path: Path, answers: dict[str, Any] | None = None) -> None:
        """Listen at once."""
        self.path = path
        self.answers: dict[str, Any] = {"hello": {"api": 1}, **(answers or {})}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[bytes] = []
        self.chunks: list[bytes] = []
        self.connections = 0
        self.heard = threading.Event()
        self.closing = threading.Event()
        self._behind: list[tuple[str, dict[str, Any]]] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(16)

    def __enter__(self) -> Self:
        """Accept connections."""
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything and wait for it."""
        self.stop()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def stop(self) -> None:
        """Stop listening and hang up, as a daemon that dies; the socket file stays."""
        self.closing.set()
        for link in [self._listener, *self._open]:
            with contextlib.suppress(OSError):  # it may be gone already
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(link)
            self._start(self._serve, link)

    def _serve(self, link: socket.socket) -> None:
        buffer = b""
        try:
            while chunk := link.recv(1 << 16):
                self.chunks.append(chunk)
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    self.lines.append(line)
                    self._answer(link, json.loads(line))
        except (HangUp, OSError):
            return  # asked for, or the other side went away
        finally:
            link.close()

    def _answer(self, link: socket.socket, frame: dict[str, Any]) -> None:
        method, params = frame["method"], frame.get("params", {})
        self.asked.append((method, params))
        if method != "hello":
            self.heard.set()
        answer = self.answers.get(method, Refuse(-32601, "UNKNOWN_METHOD", f"there is no method {method}"))
        try:
            if callable(answer):
                answer = answer(params)
            if isinstance(answer, Refuse):
                raise answer
        except Refuse as refusal:
            link.sendall(json.dumps({"jsonrpc": "2.0", "id": frame["id"], "error": refusal.error}).encode() + b"\n")
            return
        if isinstance(answer, Raw):
            link.sendall(answer)
            return
        # Taken before the answer is out: whoever has it may ask again elsewhere, and what is behind that is not ours.
        behind, self._behind = self._behind, []
        link.sendall(b'{"jsonrpc": "2.0", "id": %d, "result": %s}\n' % (frame["id"], _text(answer)))
        lines = [json.dumps({"jsonrpc": "2.0", "method": name, "params": told}) for name, told in behind]
        link.sendall("".join(f"{line}\n" for line in lines).encode())

    def later(self, method: str, lines: list[dict[str, Any]]) -> None:
        """Send notifications on the connection that is being answered, right behind the answer."""
        self._behind = [(method, params) for params in lines]

    def push(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification to every connection that is still open."""
        line = json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n"
        for link in list(self._open):
            try:
                link.sendall(line)
            except OSError:
                continue


def _text(answer: Any) -> bytes:
    return answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
