"""A host that has stopped talking, wholly or in part: nobody waits for it, and it is connected to anew."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.predictor.pool import link as link_module
from actors.predictor.pool.frames import Answered, Ask, Frame, Look, Refused, Standing, Taken, Unpacker, pack
from actors.predictor.pool.host import HostPool
from actors.predictor.pool.link import LinkError
from tests.inference.support import Elsewhere, reachable, table, until
from tests.inference.test_link import WELCOME, Pretender, answered, pretending, silent, well


def prompt(ask: Ask) -> list[Frame]:
    """Answer as a host does that is well."""
    return [Taken(ask.number), Answered(ask.number, answered(ask))]


class Muted(Pretender):
    """Answers no question after its health once ``mute`` is set; ``mumbles`` what nobody waits for meanwhile."""

    def __init__(self, path: Path) -> None:
        """Listen."""
        self.mute = threading.Event()
        self.mumbles = threading.Event()
        super().__init__(path, pack(WELCOME), prompt)

    def _serve(self, link: socket.socket) -> None:
        unpacker, greeted = Unpacker(), False
        link.settimeout(0.02)
        while True:
            try:
                data = link.recv(65536)
            except TimeoutError:
                if self.mumbles.is_set():
                    link.sendall(pack(Taken(1 << 40)))
                continue
            except OSError:
                return
            if not data:
                return
            for frame in unpacker.feed(data):
                if not greeted:
                    link.sendall(self._first)
                    greeted = True
                elif isinstance(frame, Look) and not self.mute.is_set():
                    link.sendall(pack(well(frame.number)))
                elif isinstance(frame, Ask):
                    for answer in self._reply(frame):
                        link.sendall(pack(answer))


@contextmanager
def muted(folder: Path) -> Iterator[tuple[Muted, HostPool]]:
    """Run a host that falls silent when it is told to, and a client to which it has been well."""
    host = Muted(folder / "s")
    pool = HostPool(str(folder / "s"), deadline_s=20.0, fallback=Elsewhere(), taken_s=20.0)
    pool.start()
    try:
        reachable(pool)
        assert isinstance(pool.predict(table(1)), PredictionReady)
        assert pool.facts().breaker == "closed"
        yield host, pool
    finally:
        pool.close()
        host.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask after the host's health every 50 ms, call it silent after 0.3 s and dead after one."""
    monkeypatch.setattr(link_module, "LOOK_S", 0.05)
    monkeypatch.setattr(link_module, "SILENT_S", 0.3)
    monkeypatch.setattr(link_module, "DEAD_S", 1.0)


@pytest.mark.usefixtures("soon")
def test_a_question_after_its_health_that_waits_opens_the_breaker_and_then_the_connection_is_made_anew(
    tmp_path: Path,
) -> None:
    """Not before 0.3 s, and not before a second; where it talks again it is used again."""
    with muted(tmp_path) as (host, pool):
        began = time.monotonic()
        host.mute.set()
        until(lambda: pool.facts().breaker == "open", "the breaker", 20)
        assert time.monotonic() - began >= 0.3
        assert "silent" in pool.facts().reason
        until(lambda: host.connected == 2, "another connection", 20)
        assert time.monotonic() - began >= 1.0
        host.mute.clear()
        until(lambda: pool.facts().breaker != "open", "a sign of life", 20)
        assert isinstance(pool.predict(table(1)), PredictionReady)
        assert pool.facts().breaker == "closed"


@pytest.mark.usefixtures("soon")
def test_a_host_that_talks_but_not_of_its_health_keeps_its_connection(tmp_path: Path) -> None:
    """Something comes, so the connection is no dead one; it is not used either, and once it is mute it is made anew."""
    with muted(tmp_path) as (host, pool):
        host.mumbles.set()
        host.mute.set()
        until(lambda: pool.facts().breaker == "open", "the breaker", 20)
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 2.0, "twice the time", 20)
        assert (host.connected, pool.facts().breaker) == (1, "open")
        host.mumbles.clear()
        until(lambda: host.connected == 2, "another connection", 20)


def test_a_host_that_does_not_say_that_it_has_read_a_request_is_not_waited_for(tmp_path: Path) -> None:
    """Neither for its deadline of 20 s, nor for its sake: the daemon computes, and no request is to blame."""
    elsewhere = Elsewhere()
    with pretending(tmp_path, pack(WELCOME), silent, fallback=elsewhere, deadline_s=20.0, taken_s=0.2) as (_, pool):
        reachable(pool)
        began = time.monotonic()
        assert isinstance(pool.predict(table(1)), PredictionReady)
        assert 0.2 <= time.monotonic() - began < 15.0
        assert elsewhere.asked == ["a-0"]
        assert "does not react" in pool.facts().reason


def test_a_host_that_refuses_in_the_middle_is_left_with_its_reason(tmp_path: Path) -> None:
    """As at the beginning: what it had read is not computed here."""

    def reply(ask: Ask) -> list[Frame]:
        return [Taken(ask.number), Refused("X", "I have had enough")]

    with pretending(tmp_path, pack(WELCOME), reply, deadline_s=20.0) as (_, pool):
        reachable(pool)
        answer = pool.predict(table(1))
        assert isinstance(answer, PredictionUnavailable)
        assert "lost" in answer.reason
        until(lambda: "I have had enough" in pool._breaker.reason, "the reason", 20)


def test_a_client_that_hangs_up_leaves_no_thread_behind(tmp_path: Path) -> None:
    """Also where the host says nothing, and whoever waits hears of it at once."""
    answers: list[object] = []
    before = threading.active_count()
    with pretending(tmp_path, pack(WELCOME), lambda ask: [Taken(ask.number)], deadline_s=20.0) as (_, pool):
        reachable(pool)
        asker = threading.Thread(target=lambda: answers.append(pool.predict(table(1))))
        asker.start()
        until(lambda: bool(pool._link._slots), "the question", 20)
        began = time.monotonic()
        pool.close()
        asker.join(15.0)
        assert time.monotonic() - began < 10.0
        assert isinstance(answers[0], PredictionUnavailable)
        assert not any(t.name == "inference-link" for t in threading.enumerate())
    until(lambda: threading.active_count() <= before, "the test's own threads", 20)


BIG = 60_000
"""Symbols whose features are 4 MB: twenty times what a socket takes at once."""


def test_a_request_of_many_symbols_reaches_a_host_that_reads_it_in_pieces(tmp_path: Path) -> None:
    """Whole, and its answer comes back whole."""
    with pretending(tmp_path, pack(WELCOME), prompt, deadline_s=30.0, taken_s=20.0) as (_, pool):
        reachable(pool)
        answer = pool.predict(table(BIG))
        assert isinstance(answer, PredictionReady)
        assert len(answer.p_up) == 8 * BIG
        assert pool.facts().opened == 0


class Full(Pretender):
    """Reads nothing behind the greeting of its first client."""

    def _serve(self, link: socket.socket) -> None:
        if self.connected > 1:
            super()._serve(link)
        elif link.recv(65536):
            link.sendall(self._first + pack(well(1)))


def test_a_host_that_reads_half_a_request_costs_no_more_than_one_that_is_stopped(tmp_path: Path) -> None:
    """The daemon computes; nothing can follow half a frame, so the connection is made anew, and then it is asked."""
    host, elsewhere = Full(tmp_path / "s", pack(WELCOME), prompt), Elsewhere()
    pool = HostPool(str(tmp_path / "s"), deadline_s=30.0, fallback=elsewhere, taken_s=0.3)
    pool.start()
    try:
        until(lambda: pool._link.connected == 1, "a connection", 20)
        pool._breaker.life()
        began = time.monotonic()
        assert isinstance(pool.predict(table(BIG)), PredictionReady)
        assert 0.3 <= time.monotonic() - began < 15.0
        assert elsewhere.asked == ["a-0"]
        until(lambda: host.connected == 2 and pool.facts().breaker != "open", "another connection", 20)
        until(
            lambda: isinstance(pool.predict(table(1, 7)), PredictionReady) and pool.facts().answered > 0,
            "an answer",
            20,
        )
    finally:
        pool.close()
        host.close()


class Tired(Pretender):
    """Answers the next question after its health once ``tires`` is set, then reads nothing before ``hears`` is."""

    def __init__(self, path: Path) -> None:
        """Listen."""
        self.tires, self.tired, self.hears = threading.Event(), threading.Event(), threading.Event()
        super().__init__(path, pack(WELCOME), prompt)

    def _serve(self, link: socket.socket) -> None:
        unpacker = Unpacker()
        with suppress(OSError):
            assert link.recv(65536)
            link.sendall(self._first)
            while data := link.recv(65536):
                for frame in unpacker.feed(data):
                    if isinstance(frame, Look):
                        link.sendall(pack(well(frame.number)))
                    for answer in self._reply(frame) if isinstance(frame, Ask) else []:
                        link.sendall(pack(answer))
                if self.tires.is_set() and not self.tired.is_set():
                    self.tired.set()
                    self.hears.wait(60)


def fill(pool: HostPool) -> None:
    """Write whole requests until there is no room for another."""
    for number in itertools.count(1_000_000):
        pool._link._send(Ask(number, 1, table(1)), 0.01)


def test_a_question_after_its_health_that_could_not_be_written_is_written_once_the_host_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket was full when the question was due: it has not been asked, so it need not be dead for 15 s."""
    monkeypatch.setattr(link_module, "SILENT_S", 0.3)
    host = Tired(tmp_path / "s")
    pool = HostPool(str(tmp_path / "s"), deadline_s=20.0, fallback=None, taken_s=0.05)
    pool.start()
    try:
        reachable(pool)
        until(lambda: isinstance(pool.predict(table(1)), PredictionReady), "an answer", 20)
        host.tires.set()
        assert host.tired.wait(20)  # the next question is a second away
        with pytest.raises(LinkError, match="does not read"):
            fill(pool)
        until(lambda: "silent" in pool.facts().reason, "the breaker", 20)
        host.hears.set()
        until(lambda: pool.facts().breaker != "open", "a sign of life", 10)
        until(lambda: isinstance(pool.predict(table(1)), PredictionReady), "another answer", 20)
        assert host.connected == 1
    finally:
        pool.close()
        host.close()


def test_a_host_whose_workers_are_not_there_is_not_asked_until_they_are(tmp_path: Path) -> None:
    """Ray takes seconds to start, and again when its raylet dies: the host says so, and nobody waits."""

    class Workers(Pretender):
        state, detail = "starting", "Ray is being\nstarted"

        def standing(self, number: int) -> Standing:
            return msgspec.structs.replace(well(number), state=self.state, detail=self.detail)

    host, elsewhere = Workers(tmp_path / "s", pack(WELCOME), prompt), Elsewhere()
    pool = HostPool(str(tmp_path / "s"), deadline_s=20.0, fallback=elsewhere, taken_s=20.0)
    pool.start()
    try:
        said = "the inference host is starting: Ray is being started"
        until(lambda: pool.facts().reason == said, "its word", 20)
        assert pool.facts().standing is not None
        assert isinstance(pool.predict(table(1, 1)), PredictionReady)
        host.state = "up"
        reachable(pool)
        assert isinstance(pool.predict(table(1, 2)), PredictionReady)
        assert (pool.facts().breaker, host.asked, elsewhere.asked) == ("closed", 1, ["a-1"])
        host.state, host.detail = "down", "the raylet died"
        until(lambda: pool.facts().breaker == "open", "the breaker", 20)
        assert pool.facts().reason == "the inference host is down: the raylet died"
        assert host.connected == 1
    finally:
        pool.close()
        host.close()


@pytest.mark.parametrize("word", [b"", b"\0"])
def test_a_host_that_takes_a_connection_and_does_not_greet_is_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: bytes
) -> None:
    """The kernel takes connections for a stopped process: not more than 0.3 s here are spent on one, in whole words."""
    monkeypatch.setattr(link_module, "CONNECT_S", 0.3)

    class Shy(Pretender):
        def _serve(self, link: socket.socket) -> None:
            if self.connected > 1:
                super()._serve(link)
                return
            while link.recv(65536):
                if word:
                    link.sendall(word)

    host = Shy(tmp_path / "s", pack(WELCOME), prompt)
    pool = HostPool(str(tmp_path / "s"), deadline_s=20.0, fallback=None, taken_s=20.0)
    began = time.monotonic()
    pool.start()
    try:
        until(lambda: "timed out" in pool.facts().reason, "the reason", 20)
        assert time.monotonic() - began >= 0.3
        reachable(pool)
        assert host.connected == 2
        assert isinstance(pool.predict(table(1)), PredictionReady)
    finally:
        pool.close()
        host.close()
