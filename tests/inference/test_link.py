"""A host that does not do what a host does: the daemon's side holds, says why, and finds the next one."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.frames import (
    QUEUED,
    VERSION,
    Answered,
    Ask,
    Begun,
    Frame,
    Look,
    Refused,
    Standing,
    Taken,
    Unpacker,
    Welcome,
    pack,
)
from actors.predictor.pool.host import HostPool
from actors.predictor.pool.link import why
from tests.inference.support import Elsewhere, reachable, table, until

WELCOME = Welcome(VERSION, "a test", "threads", 1, 1)
Reply = Callable[[Ask], list[Frame]]


def well(number: int) -> Standing:
    """Return what a host says that is well."""
    return Standing(number, "threads", "up", "", 1, 0, 0, 0, 0, 0, 0, 0.0, 0.0)


class Pretender:
    """A host as a test wants it: ``first`` is said to a hello, ``reply`` to each request."""

    def __init__(self, path: Path, first: bytes, reply: Reply) -> None:
        """Listen."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._first = first
        self._reply = reply
        self.links: list[socket.socket] = []
        self.connected = self.asked = 0
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.connected += 1
            self.links.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        unpacker, greeted = Unpacker(), False
        try:
            while data := link.recv(65536):
                for frame in unpacker.feed(data):
                    if not greeted:
                        link.sendall(self._first)
                        greeted = True
                    elif isinstance(frame, Look):
                        self.looked(frame)
                        link.sendall(pack(self.standing(frame.number)))
                    elif isinstance(frame, Ask):
                        self.asked += 1
                        for answer in self._reply(frame):
                            link.sendall(pack(answer))
        except OSError:
            return

    def looked(self, frame: Look) -> None:
        """Hear a question after its health."""

    def standing(self, number: int) -> Standing:
        """Return how it is."""
        return well(number)

    def close(self) -> None:
        """Hang up."""
        for link in (self._listener, *self.links):
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                link.close()


def silent(_: Ask) -> list[Frame]:
    """Say nothing."""
    return []


@contextmanager
def pretending(folder: Path, first: bytes, reply: Reply, **options: object) -> Iterator[tuple[Pretender, HostPool]]:
    """Run a pretender and a client of it."""
    host = Pretender(folder / "s", first, reply)
    options = {"deadline_s": 0.3, "fallback": None, "taken_s": 5.0} | options
    pool = HostPool(str(folder / "s"), **options)  # type: ignore[arg-type]
    pool.start()
    try:
        yield host, pool
    finally:
        pool.close()
        host.close()


STRANGERS = {
    "garbage": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "longer than"),
    "an endless frame": (struct.pack(">I", 1 << 31), "longer than"),
    "another language": (struct.pack(">I", 3) + b"abc", "none of ours"),
    "another version": (pack(msgspec.structs.replace(WELCOME, version=99)), "does not speak our language"),
    "a refusal": (pack(Refused("BUSY", "there is no room")), "it refuses: there is no room"),
    "a client's word": (pack(Look(1)), "does not speak our language"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_host_that_is_none_is_not_asked_and_said(tmp_path: Path, name: str) -> None:
    """The breaker stays open with the reason; it is looked for again and again."""
    first, reason = STRANGERS[name]
    with pretending(tmp_path, first, silent) as (host, pool):
        until(lambda: reason in pool.facts().reason, "the reason", 20)
        until(lambda: host.connected >= 3, "another try", 20)
        answer = pool.predict(table(1))
        assert isinstance(answer, PredictionUnavailable)
        assert reason in answer.reason


def test_why_there_is_no_connection_is_said_with_what_to_do() -> None:
    """As the kernel has it; a host that is there and lets in others alone is none that has to be started."""
    assert why(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) == "Connection refused"
    assert why(PermissionError(errno.EACCES, "Permission denied")).startswith("Permission denied for this user; [inf")
    assert why(TimeoutError()) == "TimeoutError"


def answered(ask: Ask, **changes: object) -> PredictionReady:
    """Return a good answer, changed."""
    request = ask.request
    assert isinstance(request, InferenceRequested)
    half = pack_f64([0.5] * (len(request.ids) // 4))
    good = PredictionReady(request.request_id, request.model_id, "5d", request.ids, half, half)
    return msgspec.structs.replace(good, **changes)


WRONG: dict[str, Callable[[Ask], Frame]] = {
    "another request's": lambda ask: Answered(ask.number, answered(ask, request_id="b-9")),
    "another model's": lambda ask: Answered(ask.number, answered(ask, model_id="other@1")),
    "for other symbols": lambda ask: Answered(ask.number, answered(ask, ids=pack_i32([7, 8]))),
    "of another kind": lambda ask: Answered(
        ask.number, SentimentReady(ask.request.request_id, ask.request.model_id, (), b"")
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_does_not_fit_is_no_prediction(tmp_path: Path, name: str) -> None:
    """Held, with a sentence; the fallback is not asked to make up for it."""
    elsewhere = Elsewhere()
    with pretending(tmp_path, pack(WELCOME), lambda ask: [Taken(ask.number), WRONG[name](ask)], fallback=elsewhere) as (
        _,
        pool,
    ):
        reachable(pool)
        answer = pool.predict(table(2))
        assert isinstance(answer, PredictionUnavailable)
        assert "answered" in answer.reason or "does not fit" in answer.reason
        assert elsewhere.asked == []


def test_scores_of_other_headlines_are_no_scores(tmp_path: Path) -> None:
    """Too few, or of others: unavailable, and nothing is remembered."""
    request = SentimentRequested("s", "m@1", ("a", "b"), ("one", "two"), 0)

    def reply(ask: Ask) -> list[Frame]:
        p = pack_f64([0.1, 0.2, 0.7])
        return [Answered(ask.number, SentimentReady("s", "m@1", ask.request.news_ids, p))]

    with pretending(tmp_path, pack(WELCOME), reply) as (_, pool):
        reachable(pool)
        answer = pool.sentiment(request)
        assert isinstance(answer, PredictionUnavailable)
        assert "does not fit" in answer.reason
        assert pool.facts().cache_size == 0


def test_an_answer_to_a_number_that_nobody_asked_is_late(tmp_path: Path) -> None:
    """Counted and dropped; the right one is taken."""

    def reply(ask: Ask) -> list[Frame]:
        return [Answered(ask.number + 1_000, answered(ask)), Answered(ask.number, answered(ask))]

    with pretending(tmp_path, pack(WELCOME), reply) as (_, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(2)), PredictionReady)
        assert pool.facts().late == 1


def test_three_requests_without_an_answer_open_the_breaker_and_the_next_does_not_wait(tmp_path: Path) -> None:
    """Each of the three costs its deadline, and is not computed in the daemon: the host had it. The fourth is."""
    elsewhere = Elsewhere()

    def reply(ask: Ask) -> list[Frame]:
        last = Answered(ask.number, answered(ask)) if ask.request.request_id == "a-0" else Begun(ask.number)
        return [Taken(ask.number), last]

    with pretending(tmp_path, pack(WELCOME), reply, fallback=elsewhere) as (_, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(1, 0)), PredictionReady)
        for n in (1, 2, 3):
            answer = pool.predict(table(1, n))
            assert isinstance(answer, PredictionUnavailable)
            assert "no answer in time" in answer.reason
        assert elsewhere.asked == []
        assert pool.facts().opened == 1
        until(lambda: isinstance(pool.predict(table(1, 4)), PredictionReady), "the daemon's own answer", 20)
        assert set(elsewhere.asked) == {"a-4"}


def test_what_a_host_has_not_computed_is_computed_here(tmp_path: Path) -> None:
    """It says itself that it did not come to it."""
    elsewhere = Elsewhere()

    def reply(ask: Ask) -> list[Frame]:
        no = PredictionUnavailable(ask.request.request_id, ask.request.model_id, "full")
        return [Taken(ask.number), Answered(ask.number, no, QUEUED)]

    with pretending(tmp_path, pack(WELCOME), reply, fallback=elsewhere) as (_, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(2)), PredictionReady)
        assert elsewhere.asked == ["a-0"]
        assert pool.facts().degraded == 1


def test_a_host_that_hangs_up_is_connected_to_again(tmp_path: Path) -> None:
    """Meanwhile nobody waits; afterwards it is asked again."""

    def reply(ask: Ask) -> list[Frame]:
        return [Answered(ask.number, answered(ask))]

    with pretending(tmp_path, pack(WELCOME), reply) as (host, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(2)), PredictionReady)
        for link in host.links:
            link.shutdown(socket.SHUT_RDWR)
        until(lambda: host.connected >= 2, "another connection", 20)
        until(lambda: isinstance(pool.predict(table(2)), PredictionReady), "an answer", 20)
        assert pool.facts().opened >= 1


def read_by(ask: Ask) -> list[Frame]:
    """Say that a request was read, and no more."""
    return [Taken(ask.number)]


def test_prices_that_no_worker_begins_are_computed_here_by_the_daemons_own_clock(tmp_path: Path) -> None:
    """The host has read the request and is well, its Ray is not: thirty milliseconds are waited, of twenty seconds."""
    elsewhere = Elsewhere()
    with pretending(tmp_path, pack(WELCOME), read_by, fallback=elsewhere, deadline_s=20.0, taken_s=0.03) as (_, pool):
        reachable(pool)
        assert isinstance(pool.predict(table(1, 1)), PredictionReady)
        assert elsewhere.asked == ["a-1"]
        assert 30.0 <= pool.facts().last_degraded_ms < 5_000


@pytest.mark.parametrize("fallback", [None, Elsewhere()], ids=["prices nobody else can compute", "words"])
def test_what_can_wait_or_must_is_waited_for(tmp_path: Path, fallback: Elsewhere | None) -> None:
    """A worker that dies is replaced by another within the deadline, and words are in no hurry."""
    news = SentimentRequested("s-1", "m@1", ("n",), ("up",), 0)
    with pretending(tmp_path, pack(WELCOME), read_by, fallback=fallback, taken_s=0.03) as (_, pool):
        reachable(pool)
        answer = pool.predict(table(1, 1)) if fallback is None else pool.sentiment(news)
        assert isinstance(answer, PredictionUnavailable)
        assert "no answer in time" in answer.reason
        assert fallback is None or fallback.asked == []
