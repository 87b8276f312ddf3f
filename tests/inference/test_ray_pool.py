"""Ray's child process as the host hears it, on virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from actors.predictor.pool.frames import VERSION, Standing, Welcome, pack
from daemon.inference import ray_pool
from daemon.inference.options import HostOptions
from daemon.testing.virtual_time import VirtualTimeLoop
from tests.inference.support import table

WELCOME = pack(Welcome(VERSION, "ray", "ray", 1, 1))
WELL = pack(Standing(0, "ray", "up", "", 1, 0, 0, 0, 0, 0, 0, 0.0, 0.0))
NONE = pack(Standing(0, "ray", "starting", "its workers are being started", 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0))


class Writer:
    """What is said to the child."""

    def __init__(self) -> None:
        self.looks = 0

    def write(self, _: bytes) -> None:
        """Count."""
        self.looks += 1

    def is_closing(self) -> bool:
        """Stay open."""
        return False


def test_a_host_that_was_stopped_does_not_hold_its_own_silence_against_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the child has said something meanwhile or not; one that says nothing for ten seconds is replaced."""
    loop = VirtualTimeLoop()
    monkeypatch.setattr(ray_pool, "time", SimpleNamespace(monotonic=loop.time))

    def stopped(seconds: float) -> None:
        loop._jumping.now += seconds

    async def main() -> tuple[str, float]:
        workers, reader, writer = ray_pool.RayWorkers(HostOptions(socket=""), 1, {}), asyncio.StreamReader(), Writer()
        listening = asyncio.ensure_future(workers._listen(reader, writer))  # type: ignore[arg-type]
        reader.feed_data(WELCOME + WELL)
        await anyio.sleep(0.5)
        stopped(60.0)
        reader.feed_data(WELL)
        await anyio.sleep(0.5)
        stopped(60.0)
        assert workers.state().state == "up"
        await anyio.sleep(5.0)
        assert not listening.done()
        assert workers.state().detail == "Ray does not react"  # it has not answered a look
        assert writer.looks >= 4
        began = anyio.current_time()
        return await listening, anyio.current_time() - began

    why, took_s = anyio.run(main, backend_options={"loop_factory": lambda: loop})
    assert why == "nothing was heard of it for 11 s"
    assert took_s == pytest.approx(6.0, abs=1.01)  # of eleven waits of a second, the ones in which nothing was heard


def test_a_ray_that_lives_and_starts_no_workers_is_replaced() -> None:
    """Its raylet hangs, say. Two minutes of answers, but no worker that is well; one that is well begins them anew."""
    loop = VirtualTimeLoop()

    async def main() -> tuple[str, float]:
        workers, reader = ray_pool.RayWorkers(HostOptions(socket=""), 1, {}), asyncio.StreamReader()
        writer = Writer()
        answer = NONE
        writer.write = lambda _: reader.feed_data(answer)  # type: ignore[method-assign]
        listening = asyncio.ensure_future(workers._listen(reader, writer))  # type: ignore[arg-type]
        reader.feed_data(WELCOME)
        await anyio.sleep(100.0)
        answer = WELL
        await anyio.sleep(5.0)
        assert workers.state().state == "up"
        answer = NONE
        began = anyio.current_time()
        return await listening, anyio.current_time() - began

    why, took_s = anyio.run(main, backend_options={"loop_factory": lambda: loop})
    assert why == "no worker was well for 121 s"
    assert took_s == pytest.approx(121.0, abs=2.01)


def test_what_ray_takes_to_start_is_not_taken_from_its_workers() -> None:
    """A hundred seconds on a busy machine until it greets: then two minutes for the workers, not the rest of them."""
    loop = VirtualTimeLoop()

    async def main() -> float:
        workers, reader = ray_pool.RayWorkers(HostOptions(socket=""), 1, {}), asyncio.StreamReader()
        writer = Writer()
        writer.write = lambda _: reader.feed_data(NONE)  # type: ignore[method-assign]
        listening = asyncio.ensure_future(workers._listen(reader, writer))  # type: ignore[arg-type]
        await anyio.sleep(100.0)
        reader.feed_data(WELCOME)
        await listening
        return anyio.current_time()

    began = loop.time()
    ended = anyio.run(main, backend_options={"loop_factory": lambda: loop})
    assert ended - began == pytest.approx(100.0 + 121.0, abs=2.01)


def test_two_hosts_beside_each_other_have_folders_of_their_own(tmp_path: Path) -> None:
    """The second must not empty the first one's, and takes over what a dead host of its own name has left."""

    async def main() -> None:
        one, other = ray_pool.Folder(Path("/tmp/x/one.sock")), ray_pool.Folder(Path("/tmp/x/other.sock"))  # noqa: S108
        assert len({one.path, other.path}) == 2
        one.path = tmp_path / "ray"
        one.path.mkdir()
        (one.path / "token").touch()
        async with one as folder:
            assert (folder.stat().st_mode & 0o777, list(folder.iterdir())) == (0o700, [])
        assert not one.path.exists()

    anyio.run(main)


def test_a_place_that_cannot_hold_rays_files_is_tried_again_and_told(tmp_path: Path) -> None:
    """A full disk, a missing folder: calls are refused meanwhile, and the host does not end of it."""

    async def main() -> None:
        place = tmp_path / ("x" * 60)  # so long that temporary files go elsewhere
        workers = ray_pool.RayWorkers(HostOptions(socket=str(place / "s.sock")), 1, {})
        workers._command = lambda fd, folder: [str(folder / "no-such-program")]  # type: ignore[method-assign]
        async with anyio.create_task_group() as group:
            group.start_soon(workers.run)
            with anyio.fail_after(20):
                while workers.state().restarts < 2:  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(0.01)
            called = await workers.call((table(1),), 1.0, lambda: None)
            assert (called.fault, called.answers) == ("down", ())
            group.cancel_scope.cancel()

    anyio.run(main)
