"""``tradingd inference``: a process that computes models for the daemon, so that the daemon need not.

It holds no truth and trades nothing: it may be killed at any time, and starts again from nothing.
"""

from __future__ import annotations

import grp
import os
import signal
import socket
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup

from daemon.control.listening import Words, listen, remove
from daemon.inference.crew import Backend, Crew
from daemon.inference.options import HostOptions, autosize, available_mb
from daemon.inference.ray_pool import RayWorkers
from daemon.inference.server import Server
from daemon.inference.shelf import Shelf
from daemon.inference.threads import ThreadWorkers
from daemon.kernel.errors import ConfigError, OperatorError, TradingdError
from daemon.service.systemd import Notifier, take_watchdog_interval

EXIT_FAILED: Final = 70
LOOK_S: Final = 1.0
WORDS: Final = Words(
    "the inference host's socket", "another inference host", "[predictor] host_socket", "the group of [inference]"
)


def run_host(
    options: HostOptions, program: str, environ: MutableMapping[str, str], leave: Callable[[], None] = lambda: None
) -> int:
    """Serve until told to stop; return the exit code.

    Args:
        options: what to serve, and where.
        program: who we are, for clients.
        environ: of this process; what the service manager put there is taken out.
        leave: called before the process is ended here, because threads hang that would keep it.

    Raises:
        OperatorError: it could not start.
    """
    notifier = Notifier.take(environ)
    watchdog_s = take_watchdog_interval(environ)
    path = Path(options.socket)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder of {WORDS.socket} {path.parent} cannot be made: {error.strerror}",
            code="NO_FOLDER",
            remedy=f"name a socket in a writable folder as {WORDS.key}",
        ) from None
    listener = listen(path, _gid(options.group), WORDS)
    inode = path.lstat().st_ino
    try:
        host = _Host(options, program, notifier, watchdog_s)
        code = anyio.run(host.main, listener, backend="asyncio", backend_options={"use_uvloop": True})
    finally:
        listener.close()
        remove(path, inode)
    if host.hangs:
        leave()
        os._exit(code)
    return code


def make_backend(options: HostOptions) -> Backend:
    """Return the workers of a host."""
    workers = autosize(options.workers, cores=len(os.sched_getaffinity(0)), available_mb=available_mb())
    if options.pool == "ray":
        return RayWorkers(options, workers, os.environ)
    return ThreadWorkers(workers, lambda: Shelf(Path(options.tables), Path(options.state_dir), probe=options.probe))


class _Host:
    """The host once its loop turns."""

    def __init__(self, options: HostOptions, program: str, notifier: Notifier, watchdog_s: float | None) -> None:
        self._options = options
        self._program = program
        self._notifier = notifier
        self._watchdog_s = watchdog_s
        self._log = structlog.get_logger("inference")
        self._crew: Crew

    @property
    def hangs(self) -> bool:
        """Whether threads are left that do not end."""
        backend = self._crew.backend
        return isinstance(backend, ThreadWorkers) and backend.hangs

    async def main(self, listener: socket.socket) -> int:
        """Serve."""
        self._crew = Crew(make_backend(self._options))
        server = Server(self._crew, self._program)
        code = 0
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._until_stopped, group)
                group.start_soon(self._crew.run)
                group.start_soon(self._ping)
                group.start_soon(server.serve, listener, self._ready)
        except* TradingdError as failed:
            for error in _leaves(failed):
                self._log.error("the host ends", detail=str(error))
                self._notifier.failed(1, str(error))
                code = error.exit_code if isinstance(error, OperatorError) else EXIT_FAILED
        return code

    def _ready(self) -> None:
        backend = self._crew.backend
        self._notifier.ready(f"{backend.name}, {backend.workers} workers")
        self._log.info("ready", socket=self._options.socket, pool=backend.name, workers=backend.workers)

    async def _until_stopped(self, group: TaskGroup) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self._log.info("stopping", signal=signal.Signals(number).name)
                self._notifier.stopping("stopping")
                group.cancel_scope.cancel()
                return

    async def _ping(self) -> None:
        """Feed the watchdog from the loop, and say how the workers are."""
        told = ""
        while True:
            state = self._crew.backend.state()
            if state.state != told:
                told = state.state
                self._log.info("workers", state=state.state, detail=state.detail)
            self._notifier.watchdog_ping()
            await anyio.sleep(min(LOOK_S, (self._watchdog_s or LOOK_S) / 4))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _gid(group: str) -> int | None:
    if not group:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            f"inference.group names {group}, which is no group here", code="NO_GROUP", remedy="make it, or leave it out"
        ) from None
