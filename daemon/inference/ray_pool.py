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
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import msgspec
import structlog

from actors.predictor.pool.frames import (
    CHUNK_BYTES,
    DOWN,
    OVERDUE,
    OVERDUE_SAID,
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
FOLDER_CHARS_MAX: Final = 40
"""Ray makes sockets some sixty characters below its folder, and a socket's path has 107."""
PACKAGES: Final = Path(__file__).resolve().parents[2]


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
        self._calls: dict[int, asyncio.Future[Called]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._state = BackendState(STARTING, "Ray is being started")
        self._restarts = 0
        self._worker_restarts = 0
        self._refused = ""

    def state(self) -> BackendState:
        """Return how it is."""
        return msgspec.structs.replace(self._state, restarts=self._restarts + self._worker_restarts)

    # -- calls -------------------------------------------------------------------------------------------------------

    async def call(self, requests: tuple[Request, ...], budget_s: float) -> Called:
        """Have a worker compute requests."""
        writer = self._writer
        if writer is None or writer.is_closing() or self._state.state != UP:
            return Called(0, (), DOWN, self._state.detail or "Ray has no worker that is well")
        self._number += 1
        number = self._number
        future: asyncio.Future[Called] = asyncio.get_running_loop().create_future()
        self._calls[number] = future
        try:
            try:
                writer.write(pack(Call(number, max(1, int(budget_s * 1000)), requests)))
            except FrameError as error:
                return Called(number, (), DOWN, str(error))
            with anyio.move_on_after(budget_s + GRACE_S):
                return await future
            return Called(number, (), OVERDUE, OVERDUE_SAID)
        finally:
            del self._calls[number]

    # -- the child ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a child until cancelled.

        Raises:
            ConfigError: Ray cannot be run as it was asked for.
        """
        wait = AGAIN_S
        while True:
            began = time.monotonic()
            with Folder(Path(self._options.socket).parent) as folder:
                why = await self._one_life(folder)
            if self._refused:
                raise ConfigError(self._refused, code="RAY")
            self._log.warning("ray ended", detail=why)
            self._restarts += 1
            wait = AGAIN_S if time.monotonic() - began > START_S else min(2 * wait, AGAIN_MAX_S)
            await anyio.sleep(wait)

    async def _one_life(self, folder: Path) -> str:
        """Run one child to its end; return why it ended."""
        ours, theirs = socket.socketpair()
        with theirs, (folder / "driver.err").open("wb") as errors:
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
        reader, writer = await asyncio.open_unix_connection(sock=ours)
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
        patience, silent = START_S, 0.0  # by waits and not by a clock: while we were stopped nobody waited
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
            if self._writer is not None and not data and not writer.is_closing():
                writer.write(pack(Look(0)))
            for frame in unpacker.feed(data):
                if isinstance(frame, Welcome):
                    self._writer, patience = writer, SILENT_S
                self._heard(frame)

    def _heard(self, frame: Frame) -> None:
        if isinstance(frame, Called):
            future = self._calls.get(frame.number)
            if future is not None and not future.done():
                future.set_result(frame)
        elif isinstance(frame, Standing):
            if frame.state == "down":
                self._refused = frame.detail
                return
            before, self._worker_restarts = self._state.state, frame.restarts
            self._state = BackendState(frame.state, frame.detail, models=frame.models)
            if before != frame.state:
                self.changed()

    def _down(self, why: str) -> None:
        self._state = BackendState(STARTING, f"Ray is started again: {why}")
        for number, future in self._calls.items():
            if not future.done():
                future.set_result(Called(number, (), DOWN, f"Ray failed: {why}"))
        self.changed()


class Folder:
    """A folder of Ray's own, new and empty, with a short path, that only we can enter; gone with its user."""

    def __init__(self, beside: Path) -> None:
        """Choose its place: beside the host's socket, or where temporary files go if that is too long."""
        self.path = beside / "ray"

    def __enter__(self) -> Path:
        """Make it."""
        if len(str(self.path)) > FOLDER_CHARS_MAX:
            self.path = Path(tempfile.mkdtemp(prefix="tdi-"))
            return self.path
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(mode=0o700)
        return self.path

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a child and all that it started."""
    with anyio.move_on_after(END_S):  # it has seen our end close, and ends Ray in order
        await process.wait()
    with suppress(ProcessLookupError):
        process.kill()
    kill_session(process.pid)
    await process.wait()
