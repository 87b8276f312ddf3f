"""Real parts for the tests of the control room: a desk with a core thread of its own, a client, a running server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from daemon.control.calls import Call, Outcome, Peer
from daemon.control.latch import KillLatch
from daemon.control.limits import ServerLimits
from daemon.control.roles import Groups
from daemon.control.server import ControlServer
from daemon.journal.batch import KeptReply
from daemon.kernel.errors import RefusedError

DEADLINE_S = 20.0
"""After which a test fails instead of waiting on; nothing here waits that long."""


def digest_of(call: Call) -> str:
    """Return a digest of method and parameters."""
    return hashlib.sha256(f"{call.method} {sorted(call.params.items())}".encode()).hexdigest()


class Desk:
    """A small daemon: one core thread takes calls in order, keeps orders and a trading state, and keeps its replies.

    ``gate`` holds the core up while it is cleared, as a strategy that spins would.
    """

    def __init__(self) -> None:
        """Start the core thread."""
        self.state = "active"
        self.orders: dict[str, dict[str, Any]] = {}
        self.kept: dict[str, KeptReply] = {}
        self.unreadable: Exception | None = None
        self.calls: list[Call] = []
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.pushes: list[Callable[[dict[str, Any]], bool]] = []
        self.undone = threading.Event()
        self._queue: queue.Queue[tuple[Call, Callable[[Outcome], None]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._core, name="core", daemon=True)
        self._thread.start()

    def submit(self, call: Call, answer: Callable[[Outcome], None]) -> None:
        """Queue a call for the core."""
        if call.method == "backup":
            message = "there is no room for a backup"
            raise RefusedError(message, code="NO_ROOM", remedy="make room")
        if call.method == "snapshot":
            message = "a fault on purpose"
            raise ZeroDivisionError(message)
        self._queue.put((call, answer))

    def stands(self, call: Call, outcome: Outcome) -> bool:
        """A halt stands as long as the state is the one it was answered with."""
        return call.method != "halt" or self.state == (outcome.result or {})["trading_state"]

    def read(self, call: Call) -> Outcome:
        """Answer from what is there."""
        self.reads += 1
        if call.method == "status":
            return Outcome({"schema": "tradingd.status/1", "trading_state": self.state, "equity": Decimal("100000.10")})
        if call.method == "orders":
            rows = [dict(row, qty=msgspec.Raw(str(row["qty"]).encode())) for row in self.orders.values()]
            return Outcome({"schema": "tradingd.orders/1", "rows": rows})
        if call.method == "why":
            return Outcome(
                code="UNKNOWN_ORDER", message="there is no such order", field="order_id", remedy="see orders"
            )
        if call.method == "health":
            message = "a fault on purpose"
            raise ZeroDivisionError(message)
        if call.method == "risk":
            return Outcome({"schema": "tradingd.risk/1", "nonsense": object()})
        if call.method == "fills":
            return Outcome({"schema": "tradingd.fills/1", "rows": ["x" * 100] * int(call.params.get("limit", 1))})
        return Outcome({"schema": f"tradingd.{call.method}/1", "params": call.params})

    def subscribe(self, call: Call, push: Callable[[dict[str, Any]], bool]) -> Callable[[], None]:
        """Keep the subscriber; tests push."""
        del call
        self.pushes.append(push)
        push({"schema": "tradingd.event/1", "seq": 1, "type": "Subscribed"})
        return self.undone.set

    def lookup(self, key: str) -> KeptReply | None:
        """Find a kept reply."""
        if self.unreadable is not None:
            raise self.unreadable
        return self.kept.get(key)

    def stop(self) -> None:
        """End the core thread."""
        self.gate.set()
        self._queue.put(None)
        self._thread.join(DEADLINE_S)

    def _core(self) -> None:
        while (item := self._queue.get()) is not None:
            self.entered.set()
            self.gate.wait(DEADLINE_S)
            call, answer = item
            self.calls.append(call)
            outcome = self._decide(call)
            if call.request_id and not outcome.code:
                key = f"{call.peer.uid}:{call.request_id}"
                self.kept[key] = KeptReply(key, call.method, digest_of(call), msgspec.json.encode(outcome), 1, 1)
            answer(outcome)

    def _decide(self, call: Call) -> Outcome:
        if call.method == "order.submit":
            name = str(call.params.get("id") or f"op-{call.request_id}")
            status = "denied" if self.state != "active" else "new"
            self.orders[name] = {"order_id": name, "symbol": call.params["symbol"], "qty": call.params["qty"]}
            return Outcome({"order_id": name, "client_order_id": name, "status": status})
        if call.method in ("halt", "reduce", "resume", "unlatch", "flatten"):
            states = {"halt": "halted", "reduce": "reducing", "resume": "active", "unlatch": "halted"}
            self.state = states.get(call.method, "halted")
            return Outcome({"schema": "tradingd.trading_state/1", "trading_state": self.state, "by": "operator"})
        if call.method == "cash.withdraw":
            return Outcome(code="CASH", message="there is not that much cash", field="amount", remedy="see status")
        return Outcome({"schema": f"tradingd.{call.method}/1", "params": call.params, "reason": call.reason})


class Client:
    """A client that reads and writes lines; every read has a deadline."""

    def __init__(self, path: Path, *, hello: bool = True) -> None:
        """Connect, and say hello unless told not to."""
        self.link = socket.socket(socket.AF_UNIX)
        self.link.connect(str(path))  # blocking: with a time-out it would fail at once where the queue is full
        self.link.settimeout(DEADLINE_S)
        self._buffer = b""
        if hello:
            self.hello = self.ask("hello", {"api": 1, "client": "test"}, 0)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.link.close()

    def send(self, *lines: Any) -> None:
        """Write lines: bytes as they are, anything else as JSON."""
        frames = [line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines]
        self.link.sendall(b"".join(frames))

    def request(self, method: str, params: Any = None, number: Any = 1) -> None:
        """Write a request."""
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}})

    def line(self) -> dict[str, Any] | None:
        """Return the next line, None at the end."""
        text = self.text()
        if text is None:
            return None
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    def text(self) -> str | None:
        """Return the next line as it was sent, None at the end."""
        while b"\n" not in self._buffer:
            try:
                chunk = self.link.recv(1 << 16)
            except ConnectionError:
                return None
            if not chunk:
                assert not self._buffer, f"the last line is torn: {self._buffer[:100]!r}"
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8")

    def ask(self, method: str, params: Any = None, number: Any = 1) -> dict[str, Any]:
        """Write a request and return the line that answers it."""
        self.request(method, params, number)
        while (line := self.line()) is not None:
            if line.get("id") == number:
                return line
        message = f"the connection ended before {method} was answered"
        raise AssertionError(message)

    def rest(self) -> list[dict[str, Any]]:
        """Return all lines to the end."""
        return list(iter(self.line, None))


def reason(line: dict[str, Any] | None) -> str:
    """Return the stable code of an error line."""
    assert line is not None
    return str(line["error"]["data"]["reason"])


class Running:
    """A server with everything around it."""

    def __init__(self, folder: Path, limits: ServerLimits, groups: Groups, *, attach: bool) -> None:
        """Start."""
        self.folder = folder
        self.path = folder / "control.sock"
        self.latch = KillLatch.open(folder / "kill.latch", fresh=True)
        self.desk = Desk()
        self.audits: list[tuple[str, Peer, str, str]] = []
        self.problems: list[str] = []
        self.lost: list[BaseException | None] = []
        self.ended = threading.Event()
        self.server = ControlServer(
            self.path,
            latch=self.latch,
            groups=groups,
            version="0.0.0",
            lookup=self.desk.lookup,
            digest=digest_of,
            audit=lambda *row: self.audits.append(row),
            on_problem=self.problems.append,
            on_lost=self._lose,
            limits=limits,
        )
        self.server.start()
        if attach:
            self.server.attach(self.desk)

    def _lose(self, error: BaseException | None) -> None:
        self.lost.append(error)
        self.ended.set()

    def client(self, *, hello: bool = True) -> Client:
        """Connect."""
        return Client(self.path, hello=hello)

    def told(self, count: int = 1) -> list[str]:
        """Wait until so many problems were reported, and return them; the test expects them."""
        until(lambda: len(self.problems) >= count, f"{self.problems} are not {count} problems")
        found = list(self.problems)
        self.problems.clear()
        return found

    def noted(self, method: str, outcomes: list[tuple[str, str]]) -> None:
        """Wait until exactly this was noted about a method: notes are taken behind the answer."""
        until(lambda: self.outcomes(method) == outcomes, f"{self.outcomes(method)} is not {outcomes}")

    def outcomes(self, method: str) -> list[tuple[str, str]]:
        """Return kind and outcome of what was noted about a method."""
        return [(kind, outcome) for kind, _, name, outcome in self.audits if name == method]


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Give a folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="ctl-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(
    limits: ServerLimits | None = None, groups: Groups | None = None, *, attach: bool = True
) -> Iterator[Running]:
    """Run a server; a fault that it reports and the test does not expect fails the test."""
    with short_folder() as folder:
        found = Running(folder, limits or ServerLimits(), groups or Groups(), attach=attach)
        try:
            yield found
        finally:
            stopped = found.server.stop(0.2)
            found.desk.stop()
            found.latch.close()
        assert stopped
        assert found.problems == []
        assert found.lost == []


def until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again, with a deadline, where there is nothing to wait on."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.002)
