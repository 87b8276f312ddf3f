"""``tail`` and ``subscribe``: what was, then what comes, over restarts and over a daemon that cuts off slow readers."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cli.ctl.conftest import ROOT, Run, environ
from tests.cli.ctl.stub import Refuse, Stub


class Journal:
    """Events by number, sent behind ``from_seq`` ``most`` at most, none further back than ``kept``."""

    def __init__(self, last: int, most: int = 1000, kept: int = 1_000_000) -> None:
        """Have an event for each number up to ``last``."""
        self.last = last
        self.most = most
        self.kept = kept
        self.stub: Stub | None = None
        self.wanted: list[int] = []
        self.asked = threading.Semaphore(0)

    def event(self, seq: int) -> dict[str, Any]:
        """Return the event with that number."""
        kind = "OrderFilled" if seq % 10 == 0 else "EquityMarked"
        return {"subscription": 1, "seq": seq, "ts": "2026-11-20T15:12:02.250Z", "type": kind, "symbol": "SPY"}

    def subscribe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Send what is behind ``from_seq``, after the answer as the daemon does, or cut off."""
        assert self.stub is not None
        start = params.get("from_seq", self.last)
        self.wanted.append(start)
        self.asked.release()
        kinds = params.get("types")
        lines = [e for e in map(self.event, range(start + 1, self.last + 1)) if not kinds or e["type"] in kinds]
        if self.last - start > self.kept:
            raise Refuse(-32004, "TOO_FAR_BACK", "more than that lie behind it")
        if len(lines) > self.most:
            self.stub.later("end", [{"subscription": 1, "reason": "TOO_SLOW", "message": "too many"}])
        else:
            self.stub.later("event", lines)
        return {"schema": "tradingd.subscription/1", "subscription": 1}

    def subscriptions(self, count: int) -> None:
        """Wait for so many subscriptions more."""
        for _ in range(count):
            assert self.asked.acquire(timeout=15)

    def head(self, _: dict[str, Any]) -> dict[str, Any]:
        """Answer ``journal.head``."""
        return {"seq": self.last, "event_digest": "x"}


@contextmanager
def served(path: Path, journal: Journal) -> Iterator[Stub]:
    """Serve a journal."""
    with Stub(path, {"subscribe": journal.subscribe, "journal.head": journal.head}) as stub:
        journal.stub = stub
        yield stub


def seqs(text: str) -> list[int]:
    """Return the numbers of the lines shown with --json."""
    return [json.loads(line)["seq"] for line in text.splitlines()]


def test_the_last_events_oldest_first(run: Run, socket_path: Path) -> None:
    """20 unless told; no more is asked for than is needed."""
    journal = Journal(5000)
    with served(socket_path, journal):
        done = run("tail", "--json")
        few = run("tail", "-n", "3")
    assert done.returncode == 0
    assert seqs(done.stdout) == list(range(4981, 5001))
    assert journal.wanted == [4960, 4994]
    assert few.stdout.splitlines()[-1].split() == ["2026-11-20", "15:12:02.250Z", "5000", "OrderFilled", "SPY"]


def test_rare_types_are_looked_for_further_back(call: Run, socket_path: Path) -> None:
    """Until there are enough."""
    journal = Journal(5000)
    with served(socket_path, journal):
        done = call("tail", "-n", "5", "--type", "OrderFilled", "--json")
    assert seqs(done.stdout) == [4960, 4970, 4980, 4990, 5000]
    assert journal.wanted == [4990, 4920]


def test_what_comes_while_one_asks_keeps_nothing_back(call: Run, socket_path: Path) -> None:
    """A daemon that is fast has another thousand events between its head and the question for those before it."""
    journal = Journal(20_000, most=100_000, kept=10_000)

    def head(_: dict[str, Any]) -> dict[str, Any]:
        seq, journal.last = journal.last, journal.last + 500
        return {"seq": seq}

    with Stub(socket_path, {"subscribe": journal.subscribe, "journal.head": head}) as stub:
        journal.stub = stub
        assert seqs(call("tail", "-n", "5000", "--json").stdout) == list(range(15_001, 20_001))


def test_a_young_journal_is_shown_whole(call: Run, socket_path: Path) -> None:
    """Fewer events than wanted, none at all, none wanted."""
    with served(socket_path, Journal(7)):
        assert seqs(call("tail", "--json").stdout) == list(range(1, 8))
        assert call("tail", "-n", "0").stdout == ""
    socket_path.unlink()
    with served(socket_path, Journal(0)):
        assert call("tail").stdout == ""


@pytest.mark.parametrize("bound", ["most", "kept"])
def test_from_a_number_on_and_what_is_too_much(call: Run, socket_path: Path, bound: str) -> None:
    """--from-seq shows what lies behind; more than the daemon sends at once is refused with a way out."""
    with served(socket_path, Journal(5000, **{bound: 1000})):
        assert seqs(call("tail", "--from-seq", "4990", "--json").stdout) == list(range(4991, 5001))
        done = call("tail", "--from-seq", "0")
    assert done.returncode == 5
    assert "more events lie behind 0 than the daemon sends at once" in done.stderr


def test_a_refused_filter_is_the_daemons_sentence(call: Run, socket_path: Path) -> None:
    """As with every call."""
    with Stub(socket_path, {"journal.head": {"seq": 5}, "subscribe": Refuse(-32602, "BAD_PARAM", "no such type")}):
        done = call("tail", "--type", "X")
    assert (done.returncode, done.stderr) == (2, "tradingctl: no such type (BAD_PARAM)\n")


class Follower:
    """``tradingctl`` following in a process; its lines with a deadline."""

    def __init__(self, path: Path, *arguments: str) -> None:
        """Start."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli.tradingctl", *arguments],
            cwd=ROOT,
            env=environ(TRADINGD_SOCKET=str(path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._queues: dict[str, queue.Queue[str]] = {"out": queue.Queue(), "err": queue.Queue()}
        streams = (("out", self.process.stdout), ("err", self.process.stderr))
        self._readers = [
            threading.Thread(target=self._read, args=(stream, self._queues[name]), daemon=True)
            for name, stream in streams
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, lines: queue.Queue[str]) -> None:
        for line in stream:
            lines.put(line)

    def line(self, name: str = "out") -> str:
        """Return the next line."""
        return self._queues[name].get(timeout=15)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for reader in self._readers:  # to the end of what it said
            reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def test_following_goes_on_over_a_restart_and_misses_nothing(socket_path: Path) -> None:
    """The new subscription begins behind the last event shown; Ctrl-C is exit code 130."""
    journal = Journal(10)
    with served(socket_path, journal) as stub, Follower(socket_path, "tail", "-f", "-n", "2", "--json") as follower:
        assert [json.loads(follower.line())["seq"] for _ in range(2)] == [9, 10]
        journal.subscriptions(2)  # one for what was, one to follow
        stub.push("heartbeat", {"subscription": 1})
        stub.push("event", journal.event(11))
        assert json.loads(follower.line())["seq"] == 11
        stub.stop()
        assert "waiting for the daemon" in follower.line("err")
        socket_path.unlink()
        again = Journal(14)
        with served(socket_path, again) as back:
            assert [json.loads(follower.line())["seq"] for _ in range(3)] == [12, 13, 14]
            assert "the daemon is back" in follower.line("err")
            assert again.wanted == [11]
            back.push("event", again.event(15))
            assert json.loads(follower.line())["seq"] == 15
            follower.process.send_signal(signal.SIGINT)
            assert follower.process.wait(10) == 130


@pytest.mark.parametrize("bound", ["most", "kept"])
def test_a_reader_too_slow_goes_on_behind_what_it_has(socket_path: Path, bound: str) -> None:
    """Cut off with something shown: subscribe again there. Cut off with nothing shown: go on from now, and say so."""
    journal = Journal(10, **{bound: 50})
    with served(socket_path, journal) as stub, Follower(socket_path, "subscribe", "--json") as follower:
        journal.subscriptions(1)
        stub.push("event", journal.event(11))
        assert json.loads(follower.line())["seq"] == 11
        journal.last = 12
        stub.push("end", {"subscription": 1, "reason": "TOO_SLOW", "message": "x"})
        assert json.loads(follower.line())["seq"] == 12
        journal.last = 500
        stub.push("end", {"subscription": 1, "reason": "STOPPING", "message": "x"})
        while "too many events behind 12 to be shown; going on from 500" not in follower.line("err"):
            continue
        journal.last = 501
        while journal.wanted[-1] != 500:
            journal.subscriptions(1)
        stub.push("event", journal.event(501))
        assert json.loads(follower.line())["seq"] == 501


def test_who_is_too_far_back_at_a_busy_daemon_waits_for_it(socket_path: Path) -> None:
    """It cannot be asked where it stands at that moment, and is asked again."""
    journal = Journal(500, kept=50)
    busy = iter([Refuse(-32002, "BUSY", "too many connections")])

    def head(params: dict[str, Any]) -> dict[str, Any]:
        for refusal in busy:
            raise refusal
        return journal.head(params)

    with Stub(socket_path, {"subscribe": journal.subscribe, "journal.head": head}) as stub:
        journal.stub = stub
        with Follower(socket_path, "subscribe", "--from-seq", "12", "--json") as follower:
            journal.subscriptions(3)
            stub.push("event", journal.event(501))
            assert json.loads(follower.line())["seq"] == 501
    assert journal.wanted == [12, 12, 500]


def test_following_ends_when_its_reader_goes_away(socket_path: Path) -> None:
    """``tradingctl tail -f | head -1`` ends with exit code 0 at the next event."""
    journal = Journal(10)
    reader, writer = os.pipe()
    with served(socket_path, journal) as stub:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli.tradingctl", "tail", "-f", "-n", "1"],
            cwd=ROOT,
            env=environ(TRADINGD_SOCKET=str(socket_path)),
            stdout=writer,
            stderr=subprocess.PIPE,
        )
        os.close(writer)
        assert b"OrderFilled" in os.read(reader, 4096)
        os.close(reader)
        journal.subscriptions(2)
        stub.push("event", journal.event(11))
        _, told = process.communicate(timeout=10)
    assert (process.returncode, told) == (0, b"")
