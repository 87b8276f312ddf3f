"""What happens at once or while nobody looks: who is late by a hair, who was stopped, who does not read."""

from __future__ import annotations

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool import host, link
from actors.predictor.pool.breaker import Breaker, BreakerState
from actors.predictor.pool.frames import VERSION, Hello, Look, Standing, Unpacker, Welcome, pack
from tests.inference.support import Elsewhere, table, until

WAIT_S = 20.0


class Late:
    """A pool whose first answer comes when it is told to."""

    def __init__(self) -> None:
        """Wait."""
        self._pool = Elsewhere()
        self.go = threading.Event()

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Answer, once told to."""
        assert self.go.wait(WAIT_S)
        return self._pool.predict(request)

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Answer at once."""
        return self._pool.sentiment(request)


def test_who_gives_up_in_the_moment_of_the_answer_leaves_a_pool_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own pool has answered before the asker got round to saying that it hangs: it does not hang."""
    pool = Late()
    fallback = host._Fallback(pool)
    fallback.start(None)

    class Interrupted(queue.SimpleQueue[Any]):
        """Whose reader is not run between the end of its time and what it does about it."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            try:
                return super().get(block, timeout)
            except queue.Empty:
                pool.go.set()
                assert fallback._free.acquire(timeout=WAIT_S)  # the pool's thread has done everything it does
                fallback._free.release()
                raise

    monkeypatch.setattr(host, "queue", SimpleNamespace(SimpleQueue=Interrupted, Empty=queue.Empty))
    late = fallback.answer(table(1, 1), "away", 0.01)
    monkeypatch.undo()
    assert isinstance(late, PredictionUnavailable)
    assert "gave no answer in time" in late.reason
    for number in (2, 3):
        assert isinstance(fallback.answer(table(1, number), "away", WAIT_S), PredictionReady)
    fallback.close()


class Paused:
    """The clock and the wait of a process that is stopped for a while: right behind a wait in which nothing came."""

    def __init__(self, answer: Callable[[], None]) -> None:
        """Begin by running; ``answer`` is what the host does while we are stopped."""
        self.pauses = 0
        self._answer = answer
        self._away_s = 0.0
        self._armed = False
        self._ready = link._ready

    def monotonic(self) -> float:
        """Return seconds that go on while we are stopped."""
        return time.monotonic() + self._away_s

    def arm(self) -> None:
        """Be stopped behind the next wait."""
        self._armed = True

    def ready(self, connection: socket.socket, what: int, wait_s: float) -> bool:
        """Wait; nothing has come by the end of it."""
        if not self._armed or what == select.POLLOUT or not wait_s:
            return self._ready(connection, what, wait_s)
        self._armed = False
        self.pauses += 1
        self._away_s += 20.0
        self._answer()
        assert self._ready(connection, what, WAIT_S)  # it lies there
        return False


def test_a_daemon_that_was_stopped_hears_what_the_host_said_before_it_calls_it_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its question after the host's health is 20 seconds old, and answered: the breaker stays closed."""
    standing = Standing(0, "threads", "up", "", 1, 0, 0, 0, 0, 0, 0, 0.0, 0.0)
    ends: list[socket.socket] = []
    paused = Paused(lambda: ends[0].sendall(pack(standing)))
    monkeypatch.setattr(link, "_ready", paused.ready)
    monkeypatch.setattr(link, "time", paused)
    breaker = Breaker()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.settimeout(WAIT_S)
        ours = link.Link(str(tmp_path / "s"), breaker, "a test")
        ours.start()
        ends.append(listener.accept()[0])
        with ends[0] as end:
            end.settimeout(WAIT_S)
            unpacker = Unpacker()
            looks = (frame for data in iter(lambda: end.recv(65536), b"") for frame in unpacker.feed(data))
            assert isinstance(next(looks), Hello)
            end.sendall(pack(Welcome(VERSION, "a test", "threads", 1, 1)))
            assert isinstance(next(looks), Look)
            end.sendall(pack(standing))
            assert isinstance(next(looks), Look)  # the next question
            assert breaker.admit()
            breaker.success()
            assert breaker.state is BreakerState.CLOSED
            paused.arm()
            until(lambda: paused.pauses == 1, "it was not stopped", WAIT_S)
            assert isinstance(next(looks), Look)  # it has gone on
            assert (breaker.state, breaker.opened) == (BreakerState.CLOSED, 0)
        ours.close()


class Flickering(Breaker):
    """A breaker that another thread moves whenever somebody has looked at it."""

    looks = 0

    @property
    def state(self) -> BreakerState:  # type: ignore[override]
        """Return the state, another one each time."""
        self.looks += 1
        return BreakerState.OPEN if self.looks % 2 else BreakerState.CLOSED

    @state.setter
    def state(self, _: BreakerState) -> None:
        """Stay as it is."""


def test_what_is_told_of_a_breaker_is_told_of_one_moment() -> None:
    """An open one has a reason, a closed one none, also where it trips while it is looked at."""
    pool = host.HostPool("/nowhere", deadline_s=1.0, fallback=None)
    pool._breaker = Flickering()
    told = [(facts.breaker, facts.reason) for facts in (pool.facts() for _ in range(4))]
    assert told == [("open", "the inference host has not been reached yet"), ("closed", "")] * 2
