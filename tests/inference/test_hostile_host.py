"""A host that lies, hangs up on everybody or talks for ever: no prediction of it is used, and nothing of it stays."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.predictor.pool.breaker import Breaker
from actors.predictor.pool.frames import (
    SAID_MAX,
    Answered,
    Refused,
    pack,
    short,
)
from actors.predictor.pool.link import KNOCK_S, Link, LinkError
from tests.inference.support import reachable, table, until
from tests.inference.test_link import WELCOME, Pretender, answered, pretending, silent

# -- the connection ----------------------------------------------------------------------------------------------------


def test_a_host_that_hangs_up_on_everybody_is_called_no_more_often_than_one_that_is_away(tmp_path: Path) -> None:
    """It greets and closes: each try waits for the next knock, or the daemon would do nothing else."""

    class Moody(Pretender):
        def _serve(self, link: socket.socket) -> None:
            link.recv(65536)
            link.sendall(pack(WELCOME))
            link.shutdown(socket.SHUT_RDWR)

    host = Moody(tmp_path / "s", b"", silent)
    link = Link(str(tmp_path / "s"), Breaker(), "a test")
    began = time.monotonic()
    link.start()
    try:
        until(lambda: host.connected >= 6, "six connections", 20)
        assert time.monotonic() - began >= 5 * KNOCK_S
    finally:
        link.close()
        host.close()


@contextmanager
def many_open() -> Iterator[None]:
    """Have more than 1,024 descriptors open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2_048:
        pytest.skip("this process may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_048), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def test_a_daemon_with_a_thousand_files_open_asks_all_the_same(tmp_path: Path) -> None:
    """``select`` knows no descriptor above 1,023; the unit allows 4,096."""
    with (
        many_open(),
        pretending(tmp_path, pack(WELCOME), lambda ask: [Answered(ask.number, answered(ask))]) as (_, pool),
    ):
        reachable(pool)
        assert isinstance(pool.predict(table(2)), PredictionReady)


def test_who_cannot_write_because_another_is_writing_waits_no_longer_than_for_the_host(tmp_path: Path) -> None:
    """Eight askers of a host that does not read wait side by side, not one behind the other."""
    link = Link(str(tmp_path / "s"), Breaker(), "a test", taken_s=0.05)
    with link._sending:
        began = time.monotonic()
        with pytest.raises(LinkError, match="does not read"):
            link.ask(table(1), 5.0)
        assert 0.05 <= time.monotonic() - began < 4.0


def test_a_path_no_socket_can_have_is_said(tmp_path: Path) -> None:
    """Not only that it was an OSError."""
    breaker = Breaker()
    link = Link(str(tmp_path / ("x" * 200)), breaker, "a test")
    link.start()
    try:
        until(lambda: "too long" in breaker.reason, "the reason", 20)
    finally:
        link.close()


# -- what it says of itself --------------------------------------------------------------------------------------------

ENDLESS = "\x1b[2J\nno " + "words " * 200_000


def test_an_endless_refusal_is_a_line_of_bounded_length(tmp_path: Path) -> None:
    """It stands in the ledger with every decision, in alerts and on people's terminals."""
    with pretending(tmp_path, pack(Refused("X", ENDLESS)), silent) as (_, pool):
        until(lambda: "refuses" in pool.facts().reason, "the refusal", 20)
        answer = pool.predict(table(1))
        assert isinstance(answer, PredictionUnavailable)
        for said in (pool.facts().reason, answer.reason):
            assert len(said) <= SAID_MAX + 200
            assert said.isprintable()
            assert "[2J no words words" in said


SAID = {
    "": "",
    "all is well": "all is well",
    "two\nlines\tand  more": "two lines and more",
    "a" * 300: "a" * 300,
    "b" * 301: "b" * 300 + " …",
    "\x00\x1b\u202e": "",
}


@pytest.mark.parametrize("said", SAID)
def test_what_the_other_end_says_is_one_line(said: str) -> None:
    """300 characters of it; what a terminal would act on is a space."""
    assert short(said) == SAID[said]
