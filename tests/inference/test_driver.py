"""The process that holds Ray, beside a Ray of the test's own that hangs, lies and dies when it is told to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from actors.messages.inference import PredictionReady
from actors.predictor.pool.frames import QUEUED, Call, Called, Frame, Standing, Unpacker, pack
from daemon.inference import ray_driver
from daemon.inference.options import HostOptions, RayOptions
from tests.inference.support import Elsewhere, table

WAIT_S = 20.0


class RayError(Exception):
    """As Ray's."""


class GetTimeoutError(RayError):
    """As Ray's."""


class RayActorError(RayError):
    """As Ray's."""


class ActorUnavailableError(RayActorError):
    """As Ray's."""


class Actor:
    """A worker; ``may`` lets it load, and ``pid`` is whom it says to be."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.may = threading.Event()
        self.loads = 0
        self.ping = self._remote(lambda _: self.pid)
        self.load = self._remote(self._load)
        self.answer = self._remote(self._answer)

    def _remote(self, function: Callable[..., Any]) -> Any:
        return SimpleNamespace(remote=lambda *told: lambda timeout: function(timeout, *told))

    def _load(self, timeout: float, _: bytes) -> None:
        self.loads += 1
        if not self.may.wait(timeout):
            raise GetTimeoutError

    def _answer(self, _: float, data: bytes) -> tuple[bytes, tuple[()]]:
        (call,) = Unpacker().feed(data)
        return pack(Called(call.number, tuple(Elsewhere().predict(request) for request in call.requests))), ()


class Ray:
    """As much of Ray as the driver uses."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayActorError=RayActorError,
        GetTimeoutError=GetTimeoutError,
        ActorUnavailableError=ActorUnavailableError,
    )

    def __init__(self) -> None:
        self.actor = Actor()
        self.killed = 0

    def remote(self, **_: object) -> Callable[[type], Any]:
        """Make workers of a class."""
        return lambda _: SimpleNamespace(remote=lambda *_, **__: self.actor)

    def get(self, call: Callable[[float], Any], timeout: float) -> Any:
        """Wait for an answer."""
        return call(timeout)

    def kill(self, _: Actor, *, no_restart: bool) -> None:
        """End a worker; another takes its place."""
        assert not no_restart
        self.killed += 1
        self.actor.may.set()


class Drive(NamedTuple):
    """A driver, its Ray, what says something to it, what it says, and whether it has ended its process."""

    ray: Ray
    driver: ray_driver.Driver
    say: Callable[[Frame], None]
    said: Iterator[Frame]
    ended: threading.Event


@contextmanager
def driving(address: str = "a cluster") -> Iterator[Drive]:
    """Make a driver of one worker."""
    ray = Ray()
    theirs, ours = socket.socketpair()
    with ours, theirs:
        ours.settimeout(WAIT_S)
        options = HostOptions(socket="", ray=RayOptions(address=address))
        driver = ray_driver.Driver(ray, options, 1, theirs)
        ended = threading.Event()
        driver.end = ended.set  # type: ignore[method-assign]
        unpacker = Unpacker()
        said = (frame for data in iter(lambda: ours.recv(65536), b"") for frame in unpacker.feed(data))
        yield Drive(ray, driver, lambda frame: ours.sendall(pack(frame)), said, ended)


def called(said: Iterator[Frame], number: int) -> Called:
    """Return what is said to a call."""
    return next(frame for frame in said if isinstance(frame, Called) and frame.number == number)


def test_a_worker_that_never_comes_back_from_loading_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once what a worker may take to get ready is over; the call was told long before, and the next one is computed."""
    monkeypatch.setattr(ray_driver, "READY_S", 0.2)
    with driving() as (ray, driver, say, said, ended):
        runs = threading.Thread(target=driver.run)
        runs.start()
        next(frame for frame in said if isinstance(frame, Standing) and frame.state == "up")
        say(Call(1, 50, (table(1, 1),)))
        late = called(said, 1)
        assert (late.fault, late.reason) == (QUEUED, "its model is being loaded")
        down = next(frame for frame in said if isinstance(frame, Standing))
        assert (down.state, down.workers) == ("starting", 0)
        next(frame for frame in said if isinstance(frame, Standing) and frame.state == "up")
        assert ray.killed == 1
        say(Call(2, 10_000, (table(1, 2),)))
        assert isinstance(called(said, 2).answers[0], PredictionReady)
        driver._link.shutdown(socket.SHUT_RD)
        runs.join(WAIT_S)
        assert not runs.is_alive()
        assert not ended.is_set()


def test_the_end_of_a_worker_that_was_replaced_meanwhile_costs_its_successor_nothing() -> None:
    """Ray may tell of an end, and have another worker up, before the kernel's word of it was read."""
    command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    with (
        driving(address="") as (ray, driver, _, said, _),
        subprocess.Popen(command) as one,
        subprocess.Popen(command) as two,
    ):
        (keeper,) = driver._keepers
        ray.actor.pid = one.pid
        keeper._bring_up()
        first = keeper.pidfd
        assert first is not None
        one.kill()
        keeper._be_well(False)
        ray.actor.pid = two.pid
        keeper._bring_up()
        keeper.died(first)
        assert (keeper.well, driver.restarts) == (True, 1)
        assert keeper.pidfd not in (None, first)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(first)
        two.kill()
        keeper.died(keeper.pidfd or -1)
        assert (keeper.well, keeper.pidfd) == (False, None)
        standings = [next(said) for _ in range(4)]
        assert [frame.workers for frame in standings if isinstance(frame, Standing)] == [1, 0, 1, 0]


def test_a_call_that_was_handed_over_behind_its_loading_is_not_handed_over_again() -> None:
    """Its worker ends in that moment, and the kernel's word of it is read first: another has it, and may answer."""
    with driving() as (ray, driver, _, _, _):
        (keeper,) = driver._keepers
        keeper._bring_up()
        handed: list[str] = []
        driver.failed = lambda _, reason: handed.append(reason)  # type: ignore[method-assign]
        ray.actor.load = ray.actor._remote(lambda *_: keeper._hand_over("its worker died"))

        def died(*_: object) -> None:
            raise RayActorError

        ray.actor.answer = ray.actor._remote(died)
        call = ray_driver._Call(Call(1, 10_000, (table(1, 1),)))
        keeper.call = call
        keeper._compute(call)
        assert handed == ["its worker died"]


def test_a_fault_of_a_keeper_ends_the_process_that_the_host_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    """Its worker would be lost for ever, and nobody told."""
    with driving() as (ray, driver, _, _, ended):
        ray.actor.ping = None
        driver.keep(driver._keepers[0])
        assert ended.is_set()
        assert "'NoneType' object has no attribute 'remote'" in capsys.readouterr().err
