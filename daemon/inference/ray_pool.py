"""Workers that Ray keeps, seen from the host: a child process holds Ray, and is replaced whenever it fails.

While there is no worker that is well, calls are refused at once; nobody waits for Ray to start. No frame from the child
for too long is a failure like any other: what Ray hangs on is not ours to find out.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec
import structlog

from actors.predictor.pool.frames import (
    CHUNK_BYTES,
    DOWN,
    OVERDUE,
    OVERDUE_SAID,
    Begun,
    Call,
    Called,
    Frame,
    FrameError,
    Look,
    Request,
    Standing,
    Unpacker,
    Welcome,
    pack,
)
from daemon.inference.begun import Listener
from daemon.inference.contain import kill_session, scrubbed, write_token
from daemon.inference.crew import STARTING, UP, BackendState
from daemon.inference.options import HostOptions
from daemon.kernel.errors import ConfigError

START_S: Final = 120.0
"""What Ray gets to start in, on a machine that is busy with other things."""
LOOK_S: Final = 1.0
SILENT_S: Final = 10.0
"""A child of which nothing was heard for so long is replaced."""
GRACE_S: Final = 0.05
"""How much longer than its budget a call waits for the child's own word."""
END_S: Final = 8.0
AGAIN_S: Final = 0.5
AGAIN_MAX_S: Final = 10.0
SERVED_S: Final = 10.0
"""A Ray that has served for so long is started again at once; one that keeps failing is not."""
FOLDER_CHARS_MAX: Final = 40
"""Ray makes sockets some sixty characters below its folder, and a socket's path has 107."""
DOES_NOT_REACT: Final = "Ray does not react"
PACKAGES: Final = Path(__file__).resolve().parents[2]


class _Waiting:
    """A call on its way: to its answer, and to whoever wants to know that a worker has begun it, or will next."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self.called: asyncio.Future[Called] = asyncio.get_running_loop().create_future()
        self.tell = begun
        self.begun = False

    def end(self, called: Called) -> None:
        if not self.called.done():
            self.called.set_result(called)


class RayWorkers:
    """See the module."""

    name = "ray"

    def __init__(self, options: HostOptions, workers: int, environ: Mapping[str, str]) -> None:
        """Prepare; nothing is started."""
        self.workers = workers
        self.changed: Callable[[], None] = lambda: None
        self._options = options
        self._environ = environ
        self._log = structlog.get_logger("inference")
        self._number = 0
        self._calls: dict[int, _Waiting] = {}
        self._writer: asyncio.StreamWriter | None = None
        where = options.ray.address
        self._state = BackendState(STARTING, f"Ray is being looked for at {where}" if where else "Ray is being started")
        self._restarts = 0
        self._worker_restarts = 0
        self._well = 0
        self._up_at: float | None = None
        self._refused = ""

    def state(self) -> BackendState:
        """Return how it is."""
        return msgspec.structs.replace(self._state, restarts=self._restarts + self._worker_restarts)

    # -- calls -------------------------------------------------------------------------------------------------------

    async def call(self, requests: tuple[Request, ...], budget_s: float, begun: Callable[[], None]) -> Called:
        """Have a worker compute requests."""
        writer = self._writer
        if writer is None or writer.is_closing() or self._state.state != UP:
            return Called(0, (), DOWN, self._state.detail or "Ray has no worker that is well")
        self._number += 1
        number = self._number
        waiting = self._calls[number] = _Waiting(begun)
        try:
            try:
                writer.write(pack(Call(number, max(1, int(budget_s * 1000)), requests)))
            except FrameError as error:
                return Called(number, (), DOWN, str(error))
            self._tell_next()
            with anyio.move_on_after(budget_s + GRACE_S):
                return await waiting.called
            return Called(number, (), OVERDUE, OVERDUE_SAID)
        finally:
            del self._calls[number]

    def _begun(self, number: int) -> None:
        """A worker has begun a call."""
        if (waiting := self._calls.get(number)) is not None:
            waiting.begun = True
            waiting.tell()
            self._tell_next()

    def _tell_next(self) -> None:
        """Where all workers have begun something, the other calls are next."""
        if sum(waiting.begun for waiting in self._calls.values()) >= max(1, self._well):
            for waiting in self._calls.values():
                waiting.tell()

    # -- the child ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a child until cancelled.

        Raises:
            ConfigError: Ray cannot be run as it was asked for.
        """
        wait = AGAIN_S / 2
        while True:
            self._up_at = None
            try:
                async with Folder(Path(self._options.socket)) as folder:
                    why = await self._one_life(folder)
            except OSError as error:  # no room for its files, no process to be had: another time there may be
                why = f"it cannot be started: {error.strerror or error}"
            if self._refused:
                raise ConfigError(self._refused, code="RAY")
            self._log.warning("ray ended", detail=why)
            self._restarts += 1
            served = self._up_at is not None and time.monotonic() - self._up_at > SERVED_S
            wait = AGAIN_S if served else min(2 * wait, AGAIN_MAX_S)
            await anyio.sleep(wait)

    async def _one_life(self, folder: Path) -> str:
        """Run one child to its end; return why it ended."""
        loop = asyncio.get_running_loop()
        with closing(Listener(folder)) as listener:
            loop.add_reader(listener.fileno(), self._listen_to_workers, listener)
            try:
                return await self._child(folder)
            finally:
                loop.remove_reader(listener.fileno())

    def _listen_to_workers(self, listener: Listener) -> None:
        for number in listener.numbers():
            self._begun(number)

    async def _child(self, folder: Path) -> str:
        with ExitStack() as opened:
            ours, theirs = map(opened.enter_context, socket.socketpair())
            errors = opened.enter_context((folder / "driver.err").open("wb"))
            process = await asyncio.create_subprocess_exec(
                *self._command(theirs.fileno(), folder),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=self._child_environ(folder),
                cwd=folder,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            reader, writer = await asyncio.open_unix_connection(sock=ours.dup())
        why = "it was stopped"
        try:
            why = await self._listen(reader, writer)
        finally:
            self._writer = None
            self._down(why)  # first of all: who waits for it is told
            writer.close()
            with anyio.CancelScope(shield=True):
                await _end(process)
        if self._refused or process.returncode in {0, None}:
            return why
        last = (folder / "driver.err").read_text("utf-8", "replace").strip().splitlines()[-1:]
        return f"{why} (exit code {process.returncode}{': ' if last else ''}{''.join(last)[:200]})"

    def _command(self, fd: int, folder: Path) -> list[str]:
        options = msgspec.json.encode(self._options).decode()
        numbers = [str(fd), str(os.getpid()), str(self.workers)]
        return [sys.executable, "-m", "daemon.inference.ray_driver", *numbers, str(folder), options]

    def _child_environ(self, folder: Path) -> dict[str, str]:
        ray = self._options.ray
        token = folder / "token"
        extra = {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(PACKAGES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": ray.token_file or str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_BACKEND_LOG_LEVEL": "error",
            "RAY_ROTATION_MAX_BYTES": str(4 << 20),
            "RAY_ROTATION_BACKUP_COUNT": "1",
            "RAY_COLOR_PREFIX": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            # Ray remembers a hundred thousand calls, two kilobytes each, for a dashboard that is off.
            "RAY_task_events_report_interval_ms": "0",
            # Ray looks once a second whether a call to a dead worker may fail, and for a second then waits to hear why:
            # a worker is back long before it is used again.
            "RAY_core_worker_internal_heartbeat_ms": "100",
            "RAY_timeout_ms_task_wait_for_death_info": "50",
        }
        if ray.address.rpartition(":")[0] in {"", "127.0.0.1", "localhost", "[::1]"}:
            # Ray's own word for "this machine only", whatever its name says: node and services bind 127.0.0.1.
            extra["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if not ray.token_file:
            write_token(token)
        return scrubbed(self._environ, extra)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Take the child's frames until it ends or says nothing any more."""
        unpacker = Unpacker()
        patience, silent, idle = START_S, 0.0, 0.0  # by waits and not by a clock: while we were stopped nobody waited
        while True:
            data = b""
            try:
                with anyio.move_on_after(LOOK_S):
                    data = await reader.read(CHUNK_BYTES)
                    if not data:
                        return "its process has ended"
            except ConnectionError:
                return "its process has ended"
            silent = 0.0 if data else silent + LOOK_S
            if silent > patience:
                return f"nothing was heard of it for {silent:.0f} s"
            idle = 0.0 if self._state.state == UP else idle if data else idle + LOOK_S
            if idle > START_S:  # Ray lives and starts no workers: one of its processes hangs
                return f"no worker was well for {idle:.0f} s"
            if self._writer is not None and not data and not writer.is_closing():
                if silent > LOOK_S and self._state.state == UP:  # it has not answered the last look
                    self._state = BackendState(STARTING, DOES_NOT_REACT)
                    self.changed()
                writer.write(pack(Look(0)))
            for frame in unpacker.feed(data):
                if isinstance(frame, Welcome):
                    self._writer, patience, idle = writer, SILENT_S, 0.0
                self._heard(frame)

    def _heard(self, frame: Frame) -> None:
        if isinstance(frame, Called):
            if (waiting := self._calls.get(frame.number)) is not None:
                waiting.end(frame)
        elif isinstance(frame, Begun):
            self._begun(frame.number)
        elif isinstance(frame, Standing):
            if frame.state == "down":
                self._refused = frame.detail
                return
            before, self._worker_restarts, self._well = self._state.state, frame.restarts, frame.workers
            self._state = BackendState(frame.state, frame.detail, models=frame.models)
            if frame.state == UP and self._up_at is None:
                self._up_at = time.monotonic()
            if before != frame.state:
                self.changed()

    def _down(self, why: str) -> None:
        self._state = BackendState(STARTING, f"Ray is started again: {why}")
        for number, waiting in self._calls.items():
            waiting.end(Called(number, (), DOWN, f"Ray failed: {why}"))
        self.changed()


class Folder:
    """A folder of Ray's own, new and empty, with a short path, that only we can enter; gone with its user.

    Ray fills it with hundreds of files, so it is emptied beside the loop.
    """

    def __init__(self, socket: Path) -> None:
        """Choose its place: beside the host's socket, or where temporary files go if that is too long."""
        self.path = socket.with_suffix(".ray")

    async def __aenter__(self) -> Path:
        """Make it."""
        if len(str(self.path)) > FOLDER_CHARS_MAX:
            self.path = Path(tempfile.mkdtemp(prefix="tdi-"))
            return self.path
        await self._remove()
        self.path.mkdir(mode=0o700)
        return self.path

    async def __aexit__(self, *_: object) -> None:
        """Remove it."""
        with anyio.CancelScope(shield=True):
            await self._remove()

    async def _remove(self) -> None:
        await anyio.to_thread.run_sync(partial(shutil.rmtree, self.path, ignore_errors=True))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a child and all that it started."""
    with anyio.move_on_after(END_S):  # it has seen our end close, and ends Ray in order
        await process.wait()
    with suppress(ProcessLookupError):
        process.kill()
    await anyio.to_thread.run_sync(kill_session, process.pid)
    await process.wait()
