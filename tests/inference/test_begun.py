"""Workers say to the host itself what they have begun; nobody is held up by it."""

from __future__ import annotations

import select
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.inference.begun import NAME, Listener, Teller


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a path that is short enough."""
    with tempfile.TemporaryDirectory(prefix="td-") as name:
        yield Path(name)


def test_the_host_hears_the_numbers_of_all_workers(folder: Path) -> None:
    """In their order; before anything was said, and after it was read, there is nothing."""
    with closing(Listener(folder)) as listener:
        assert list(listener.numbers()) == []
        with closing(Teller(str(folder / NAME))) as one, closing(Teller(str(folder / NAME))) as other:
            one.say(1)
            other.say((1 << 63) + 5)
        assert select.select([listener], [], [], 10)[0] == [listener]
        assert list(listener.numbers()) == [1, (1 << 63) + 5]
        assert list(listener.numbers()) == []


def test_what_is_no_number_is_dropped(folder: Path) -> None:
    """Nobody but workers can reach the socket; even so."""
    with closing(Listener(folder)) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for data in (b"", b"1234567", b"123456789", b"x" * 1000):
            stranger.sendto(data, str(folder / NAME))
        with closing(Teller(str(folder / NAME))) as teller:
            teller.say(7)
        assert list(listener.numbers()) == [7]


def test_a_host_that_does_not_read_or_has_gone_costs_a_worker_a_moment(folder: Path) -> None:
    """It computes on; a worker on another machine says nothing at all."""
    listener = Listener(folder)
    with closing(Teller(str(folder / NAME))) as teller:
        took, said = 0.0, 0
        while took < 0.05:  # until the queue of the socket is full, and a word takes its time
            began = time.monotonic()
            teller.say(said)
            took = time.monotonic() - began
            said += 1
            assert said < 100_000
        listener.close()
        teller.say(1)
    with closing(Teller("")) as elsewhere:
        elsewhere.say(1)
