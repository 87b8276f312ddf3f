"""F67: the control socket under attack. Bounded, answered or closed, no change of state, and a kill still gets through.

How long the kill takes is printed; asserted is what came before what.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.control.latch import KillLatch
from daemon.control.limits import ServerLimits
from daemon.control.roles import Groups
from tests.control.parts import DEADLINE_S, Client, Running, reason, running, until

ROOT = Path(__file__).resolve().parents[2]


def kill_now(daemon: Running, what: str) -> None:
    """Kill on a new connection, print how long it took, and see that it holds after a restart."""
    began = time.perf_counter()
    with daemon.client(hello=False) as client:
        client.request("hello", {"api": 1, "client": "kill"}, 0)
        client.request("kill", {"reason": what}, 1)
        answers = [client.line(), client.line()]
        took = time.perf_counter() - began
    assert [answer["id"] for answer in answers if answer and "result" in answer] == [0, 1]
    print(f"F67 {what}: killed in {1e3 * took:.1f} ms")  # noqa: T201 - shown by pytest -rP
    later = KillLatch.open(daemon.folder / "kill.latch", fresh=False)
    assert later.is_set
    later.close()


def unchanged(daemon: Running) -> None:
    """Nothing reached the core, nothing was killed."""
    assert daemon.desk.calls == []
    assert not daemon.latch.is_set


@contextmanager
def threads(*targets: object) -> Iterator[threading.Event]:
    """Run functions that take a stop event beside the test."""
    stop = threading.Event()
    running_ones = [threading.Thread(target=target, args=(stop,)) for target in targets]  # type: ignore[arg-type]
    for thread in running_ones:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in running_ones:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def test_f67_garbage() -> None:
    """Random bytes on many connections: each is answered at most once and closed."""
    noise = [bytes((13 * n + i * i) % 256 for i in range(5000)) for n in range(50)]
    with running() as daemon:
        for piece in noise:
            with daemon.client() as client:
                client.send(piece)
                client.link.shutdown(socket.SHUT_WR)
                assert len(client.rest()) <= 1
        unchanged(daemon)
        kill_now(daemon, "garbage")


def test_f67_a_line_of_100_mb() -> None:
    """Cut off after 64 KiB; what was kept of it is bounded."""
    with running() as daemon, daemon.client() as client:
        with pytest.raises(OSError, match=r"[Pp]ipe|reset"):
            client.link.sendall(b"x" * (100 << 20))
        assert reason(client.line()) == "FRAME_TOO_LONG"
        unchanged(daemon)
        kill_now(daemon, "a line of 100 MB")


def test_f67_slow_loris() -> None:
    """Every place is taken by somebody who sends a byte now and then: they are ended, a newcomer gets in at once."""
    limits = ServerLimits(connections_max=16, hello_s=0.5, line_s=0.5)
    with running(limits) as daemon:
        loris = [daemon.client(hello=False) for _ in range(16)]

        def drip(stop: threading.Event) -> None:
            while not stop.wait(0.01):
                for client in loris:
                    try:
                        client.link.send(b"{")
                    except OSError:
                        continue

        with threads(drip):
            kill_now(daemon, "slow-loris")
            ended = [client.rest() for client in loris]
        reasons = {reason(lines[-1]) for lines in ended if lines}
        assert reasons <= {"LINE_TIMEOUT", "HELLO_TIMEOUT", "TOO_MANY_CONNECTIONS", "NOT_JSON"}
        assert daemon.desk.calls == []
        for client in loris:
            client.link.close()


def test_f67_200_idle_connections() -> None:
    """They said hello and nothing more; the longest idle goes, the kill comes in."""
    with running() as daemon:
        idle = [daemon.client() for _ in range(200)]
        assert len(daemon.server._connections) <= daemon.server.limits.connections_max
        kill_now(daemon, "200 idle connections")
        assert idle[-1].ask("status")["result"]
        assert reason(idle[0].line()) == "TOO_MANY_CONNECTIONS"
        for client in idle:
            client.link.close()


def test_f67_who_has_not_said_hello_goes_first() -> None:
    """Then the longest idle; who waits for an answer and who listens stay."""
    with running(ServerLimits(connections_max=4)) as daemon:
        daemon.desk.gate.clear()
        listens, waits, idle = daemon.client(), daemon.client(), daemon.client()
        listens.ask("subscribe")
        waits.request("reload")
        assert daemon.desk.entered.wait(DEADLINE_S)
        silent = daemon.client(hello=False)
        until(lambda: len(daemon.server._connections) == 4, "the silent one was not taken in")
        first = daemon.client()
        assert reason(silent.line()) == "TOO_MANY_CONNECTIONS"
        second = daemon.client()
        assert reason(idle.line()) == "TOO_MANY_CONNECTIONS"
        assert first.ask("status")["result"]
        daemon.desk.gate.set()
        assert "result" in (waits.line() or {})
        for client in (listens, waits, idle, silent, first, second):
            client.link.close()


def test_f67_one_user_cannot_push_another_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds most places pays for the next one."""
    from daemon.control import server  # noqa: PLC0415
    from daemon.control.calls import Peer, Role  # noqa: PLC0415

    uids = iter([7, *[8] * 50])
    monkeypatch.setattr(server, "peer_of", lambda *_: Peer(next(uids), 1, 1, Role.OPERATOR))
    with running(ServerLimits(connections_max=8)) as daemon:
        quiet = daemon.client()
        crowd = [daemon.client() for _ in range(50)]
        assert quiet.ask("status")["result"]
        assert [client.rest() != [] for client in crowd[:43]] == [True] * 43
        for client in (quiet, *crowd):
            client.link.close()


def connect_many(daemon: Running, count: int) -> None:
    """Connect and go, some in the middle of a line, and kill in the middle of it."""
    seen: list[float] = []
    half = threading.Event()

    def crowd(stop: threading.Event) -> None:
        for number in range(count):
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(daemon.path))
            if number % 3 == 0:
                link.send(b'{"jsonrpc":')
            link.close()
            if number == count // 2:
                half.set()
        del stop
        seen.append(time.perf_counter())

    with threads(crowd):
        assert half.wait(DEADLINE_S * 5)
        kill_now(daemon, f"{count} connects")
        killed_at = time.perf_counter()
    assert killed_at < seen[0], "the kill waited for the end of the crowd"
    until(lambda: not daemon.server._connections and not daemon.server._leaving, "connections were left")
    assert daemon.desk.calls == []


def test_f67_2000_connects() -> None:
    """A sample of the 10,000: the kill does not wait for the crowd to go."""
    with running() as daemon:
        connect_many(daemon, 2_000)


@pytest.mark.long
def test_f67_10000_connects() -> None:
    """The whole crowd. Run with: pytest -m long tests/control/test_f67.py."""
    with running() as daemon:
        connect_many(daemon, 10_000)


def test_f67_half_closed() -> None:
    """Connections that only send, or only wait: each ends by itself, and no place is lost."""
    with running(ServerLimits(hello_s=0.2)) as daemon:
        clients = [daemon.client(hello=False) for _ in range(20)]
        for client in clients[:10]:
            client.link.shutdown(socket.SHUT_WR)
        for client in clients[10:]:
            client.link.shutdown(socket.SHUT_RD)
        for client in clients[:10]:
            assert client.rest() == []
        until(lambda: not daemon.server._connections, "places were lost")
        unchanged(daemon)
        kill_now(daemon, "half-closed")
        for client in clients:
            client.link.close()


OTHER = """
import json, os, socket, sys
os.setgroups([])
os.setgid(54320)
os.setuid(54320)
link = socket.socket(socket.AF_UNIX)
try:
    link.connect(sys.argv[1])
except PermissionError:
    print("PERMISSION")
    sys.exit()
link.settimeout(20)
hello = {"jsonrpc": "2.0", "id": 0, "method": "hello", "params": {"api": 1, "client": "other"}}
kill = {"jsonrpc": "2.0", "id": 1, "method": "kill", "params": {}}
try:
    link.sendall((json.dumps(hello) + "\\n" + json.dumps(kill) + "\\n").encode())
    link.shutdown(socket.SHUT_WR)
except OSError:
    pass
text = b""
try:
    while chunk := link.recv(65536):
        text += chunk
except ConnectionResetError:
    pass
print(text.decode(), end="")
"""


def as_another_user(path: Path) -> str:
    """Try to kill from a process of another user and return what it is told."""
    line = [sys.executable, "-c", OTHER, str(path)]
    return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout


@pytest.mark.skipif(os.getuid() != 0, reason="taking another user's identity needs root")
def test_f67_wrong_uid() -> None:
    """The file system keeps others out; where it does not, the kernel's word about the peer does."""
    with running() as daemon:
        daemon.folder.chmod(0o755)
        assert as_another_user(daemon.path) == "PERMISSION\n"
        daemon.path.chmod(0o666)
        said = as_another_user(daemon.path)
        assert '"reason":"FORBIDDEN"' in said
        assert "result" not in said
        until(lambda: daemon.outcomes("connect") != [], "the refusal was not noted")
        daemon.noted("connect", [("refused", "FORBIDDEN")])
        assert daemon.audits[0][1].uid == 54320
        unchanged(daemon)
        kill_now(daemon, "wrong uid")


@pytest.mark.skipif(os.getuid() != 0, reason="taking another user's identity needs root")
def test_f67_another_user_in_the_operators_group_may_kill() -> None:
    """The same process, where its group is the operators': the socket is theirs to use and the kill counts."""
    with running(groups=Groups(operator=54320)) as daemon:
        daemon.folder.chmod(0o755)
        assert daemon.path.lstat().st_gid == 54320
        assert '"trading_state":"killed"' in as_another_user(daemon.path)
        assert daemon.latch.by.startswith("uid 54320 pid ")


HOSTILE = [
    "",
    "Kill",
    "kill ",
    "kill\x00",
    "%s%s%s%n",
    "{0.__class__}",
    "'; DROP TABLE orders; --",
    "__import__('os').system('true')",
    "../../etc/passwd",
    "\u202ekill",
    "\x1b]0;title\x07",
    "\r\nBcc: x",
    "=cmd()",
    "<script>",
    "$(reboot)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_f67_unknown_commands_and_hostile_text(text: str) -> None:
    """As a method it is unknown; as a parameter it is text or refused; nothing is formatted, run or believed."""
    with running() as daemon, daemon.client() as client:
        assert "error" in client.ask(text, {}, 1)
        for params in ({"symbol": text}, {text: 1}):
            answer = client.ask("positions", params, 2)
            assert answer.get("result", {}).get("params", params) == params
        unchanged(daemon)
        assert all(row[2].isprintable() for row in daemon.audits)
        halted = client.ask("halt", {"reason": text}, 3)
        assert halted["result"]["trading_state"] == "halted"
        assert daemon.desk.calls[0].reason.isprintable()
        assert client.ask("kill", {"reason": text, text: text}, 4)["result"]["durable"]


def test_f67_concurrent_kills() -> None:
    """Fifty at once: all are confirmed, the disk is written once, the reason is one of theirs."""
    with running() as daemon:
        barrier = threading.Barrier(50)
        durable: list[bool] = []

        def kill(number: int) -> None:
            with daemon.client() as client:
                barrier.wait(DEADLINE_S)
                answer = client.ask("kill", {"reason": f"reason {number}"})
                durable.append(answer["result"]["durable"])

        killers = [threading.Thread(target=kill, args=(number,)) for number in range(50)]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join(DEADLINE_S)
        assert durable == [True] * 50
        assert daemon.latch.reason in {f"reason {number}" for number in range(50)}
        daemon.noted("kill", [("kill", "ok")])


def test_f67_a_flood_of_requests() -> None:
    """Eight connections send as fast as they can and read as little as they may; a kill gets through between them."""

    def flood(stop: threading.Event) -> None:
        line = b'{"jsonrpc":"2.0","id":1,"method":"status","params":{}}\n' * 200
        while not stop.is_set():
            try:
                with Client(daemon.path) as client:
                    client.link.settimeout(0.5)
                    while not stop.is_set():
                        client.link.sendall(line)
                        client.link.recv(1 << 20)
            except (OSError, AssertionError):
                continue

    with running(ServerLimits(write_bytes_max=1 << 20)) as daemon:
        with threads(*[flood] * 8):
            until(lambda: ("refused", "RATE_LIMITED") in daemon.outcomes("status"), "the flood did not come")
            kill_now(daemon, "a flood of requests")
        assert daemon.desk.calls == []


SPINNING = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from daemon.control.calls import Outcome
from daemon.control.latch import KillLatch
from daemon.control.roles import Groups
from daemon.control.server import ControlServer

class Desk:
    def submit(self, call, answer):
        pass
    def read(self, call):
        return Outcome({})
    def subscribe(self, call, push):
        return lambda: None

sys.setswitchinterval(0.001)
folder = Path(sys.argv[1])
latch = KillLatch.open(folder / "kill.latch", fresh=True)
server = ControlServer(
    folder / "control.sock", latch=latch, groups=Groups(), version="0", lookup=lambda key: None, digest=str,
    audit=lambda *row: None, on_problem=print, on_lost=print,
)
server.start()
server.attach(Desk())
print("ready", flush=True)
spins = 0
while not latch.is_set:
    spins += 1
print("saw it", flush=True)
while True:
    spins += 1
"""


def test_f67_a_main_thread_that_spins(folder: Path) -> None:
    """In a process of its own, as a strategy that loops would: reads, then a kill that the spinning thread sees."""
    line = [sys.executable, "-c", SPINNING, str(folder), str(ROOT)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with Client(folder / "control.sock") as client:
                took = []
                for number in range(1, 41):
                    began = time.perf_counter()
                    assert "result" in client.ask("status", {}, number)
                    took.append(time.perf_counter() - began)
                began = time.perf_counter()
                assert client.ask("kill", {}, 99)["result"]["durable"]
                killed = time.perf_counter() - began
                assert process.stdout.readline() == "saw it\n"
                assert "result" in client.ask("status", {}, 100)
        finally:
            process.kill()
    middle = sorted(took)[len(took) // 2]
    print(f"beside a spinning main thread: read {1e3 * middle:.1f} ms, kill {1e3 * killed:.1f} ms")  # noqa: T201
    latch = KillLatch.open(folder / "kill.latch", fresh=False)
    assert latch.is_set
    latch.close()
