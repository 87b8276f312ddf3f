"""``tradingd run``: the daemon from its first line to its exit code.

Threads: the main loop (core, edges), the control thread (socket, kill), the signal thread (signals, the file KILL),
the ledger's own, the views' own, one that writes the log and one that watches the loop. Only the main loop touches the
core.

An orderly end has stages, each with a budget: no more data and no more calls, then what came in is decided and
committed, then alerts go out, then the last snapshot and the seal. What does not end in its budget is named and left.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from actors.messages.catalogue import MARKET, codec
from config.sources import Loaded
from daemon.control.signals import HANDLED, block_signals, mind_unused_signals
from daemon.journal.failures import LedgerBrokenError
from daemon.journal.market_codec import MarketCodec
from daemon.journal.writer import LedgerWriter
from daemon.kernel.errors import TradingdError
from daemon.service.clock import Jump
from daemon.service.logging import Logs
from daemon.service.stall import StallGuard
from daemon.service.systemd import Notifier, take_watchdog_interval
from daemon.service.watchdog import Watchdog
from daemon.supervision.errors import EscalatedError, StuckError
from daemon.supervision.stacks import where_task_hangs
from daemon.system.errands import Errands
from daemon.system.opening import playing
from daemon.system.outbox import channels
from daemon.system.outlet import Head, LiveOutlet
from daemon.system.prepare import SOCKET, Prepared, RunOptions, StoppedEarly, prepare
from daemon.system.running import Running
from daemon.system.start import manifest_of

EXIT_ESCALATED: Final = 70
SIGNAL_THREAD: Final = "signals"
LEAVE_S: Final = 0.5
"""What a shutdown stage that was cut off gets to end."""
SWITCH_S: Final = 0.001
"""How long one thread may keep the interpreter while another waits: what a kill waits for a spinning strategy."""


def run_daemon(loaded: Loaded, options: RunOptions | None = None) -> int:
    """Run until told to stop; return the exit code.

    Raises:
        OperatorError: the daemon did not start; nothing was changed.
    """
    block_signals()
    _forward_strays()
    sys.setswitchinterval(SWITCH_S)
    settings = loaded.settings
    logs = Logs(
        level=settings.logging.level,
        form=settings.logging.format,
        repeats_per_minute=settings.logging.repeats_per_minute,
    ).start()
    notifier = Notifier.take(os.environ, clean=logs.redactor.text)
    watchdog_s = take_watchdog_interval(os.environ)
    log = structlog.get_logger("daemon")
    try:
        with channels(settings, clean=logs.redactor.text, console=logs.form == "human") as ways_out:
            prepared = prepare(settings, options or RunOptions(), notifier, log)
            shell = Shell(loaded, prepared, ways_out, logs, notifier, watchdog_s)
            return anyio.run(shell.main, backend="asyncio", backend_options={"use_uvloop": True})
    except StoppedEarly as stopped:
        log.info("stopped before it was ready", reason=str(stopped))
        return 0
    except TradingdError as error:
        if logs.form != "human":  # the command line says the same sentence
            refused = {"code": error.code, "reason": error.message, "remedy": error.remedy}
            log.error("start refused", **refused)  # noqa: TRY400 - an operator's mistake has no traceback
        notifier.failed(1, str(error))
        raise
    finally:
        logs.stop()


def _forward_strays() -> None:
    """Hand a signal that reached a thread which does not block it (a library's) to the one that takes them.

    Those that mean nothing to us end nobody.
    """

    def forward(number: int, _: FrameType | None) -> None:
        for thread in threading.enumerate():
            if thread.name == SIGNAL_THREAD and thread.ident is not None:
                signal.pthread_kill(thread.ident, number)

    if threading.current_thread() is threading.main_thread():
        for number in HANDLED:
            signal.signal(number, forward)
        mind_unused_signals()


class Shell:
    """The loop's side of the daemon: opens what needs a loop, waits for the end, and brings it about in stages."""

    def __init__(
        self,
        loaded: Loaded,
        prepared: Prepared,
        ways_out: list[Any],
        logs: Logs,
        notifier: Notifier,
        watchdog_s: float | None,
    ) -> None:
        """Remember the parts."""
        self._loaded = loaded
        self._prepared = prepared
        self._channels = ways_out
        self._logs = logs
        self._notifier = notifier
        self._watchdog_s = watchdog_s
        self._log = structlog.get_logger("daemon")
        self._stop = anyio.Event()
        self._ended = anyio.Event()
        self._failure: BaseException | None = None
        self._hurry = anyio.Event()
        self._left: list[str] = []

    async def main(self) -> int:
        """Run the daemon on this loop."""
        prepared = self._prepared
        manifest = manifest_of(prepared.settings, prepared.data, anchor=prepared.anchor)
        writer = await LedgerWriter.open(
            prepared.state_dir,
            codec=codec(),
            market=MarketCodec(MARKET),
            manifest=manifest,
            opened=prepared.opened,
            faults=prepared.options.faults,
            overtaken=prepared.latch.overtaken,
        )
        prepared.latch.commit_in_flight = lambda: writer.committing
        running = Running(
            prepared,
            writer,
            manifest,
            channels=self._channels,
            notifier=self._notifier,
            watchdog_s=self._watchdog_s,
            log=self._log,
        )
        errands = Errands(running, self._loaded, self._logs)
        desk = errands.desk()
        outlet = LiveOutlet(
            desk=desk,
            inference=running.inference,
            deliveries=running.deliveries,
            reporter=running.reporter,
            lines=errands.lines,
            symbols=prepared.data.spec.universe.symbols,
            notify_views=errands.views.notify,
            changed=running.state_changed,
            make_room=prepared.disk.release,
            debug=errands.debugging,
            log=structlog.get_logger("core"),
        )
        opened = prepared.opened
        outlet.stand_at(Head(opened.last_seq, opened.last_ts, opened.event_digest.hex()))
        running.wire(desk, outlet)

        soon = self._attach(running, errands)
        guard = StallGuard(
            prepared.settings.service.stall_ms / 1000,
            on_jump=soon(errands.jumped),
            clock_step_ns=prepared.settings.service.clock_step_ms * 1_000_000,
        )
        try:
            return await self._live(running, errands, guard)
        finally:
            guard.stop()
            running.inference.close()
            with anyio.CancelScope(shield=True):
                await writer.close()

    def _attach(self, running: Running, errands: Errands) -> Callable[[Callable[..., object]], Callable[..., None]]:
        """Let other threads reach this loop; return what makes a function theirs to call."""
        prepared, loop = self._prepared, asyncio.get_running_loop()

        def soon(call: Callable[..., object]) -> Callable[..., None]:
            def later(*values: object) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(call, *values)

            return later

        prepared.latch.wake = soon(running.wake)
        prepared.stop.attach(soon(self._asked))
        prepared.hooks.reload = soon(errands.reload_by_signal)
        prepared.hooks.lost = soon(running.lose_control)
        prepared.hooks.gone = soon(running.socket_gone)
        return soon

    def _next(self) -> str:
        """Return what a person types next; where the socket lies elsewhere, tradingctl has to be told."""
        elsewhere = {"paths.state_dir", "paths.runtime_dir"} & set(self._loaded.origins)
        where = f"--socket {self._prepared.runtime_dir / SOCKET} " if elsewhere else ""
        return f"tradingctl {where}status   (also: top, orders, tail -f, kill; --help lists them)"

    def _asked(self) -> None:
        if self._prepared.stop.hurry:
            self._hurry.set()
        self._stop.set()

    async def _live(self, running: Running, errands: Errands, guard: StallGuard) -> int:
        code = 0
        played = playing(self._prepared.settings, self._prepared.data, self._prepared.core)  # before anything is
        async with anyio.create_task_group() as host:
            up = anyio.Event()
            host.start_soon(self._supervise, running, host, up)
            await up.wait()
            if not self._ended.is_set():
                await running.show_the_start()
                errands.open(asyncio.get_running_loop())
                watchdog = Watchdog(self._notifier, self._watchdog_s, running.checks(), status=running.status_line)
                _settle_memory()  # before anybody measures how long the loop stands still
                guard.start()
                host.start_soon(guard.pulse)
                host.start_soon(watchdog.run)
                running.ready = True
                self._notifier.ready(running.status_line())
                self._log.info(
                    "ready",
                    run_id=running.manifest.run_id,
                    seconds=round((time.monotonic_ns() - self._prepared.began_ns) / 1e9, 3),
                    trading_state=running.loop.core.core.risk.trading_state,
                    playing=played,
                    state_dir=str(self._prepared.state_dir),
                    socket=str(self._prepared.runtime_dir / SOCKET),
                    next=self._next(),
                )
                await _first(self._stop, self._ended)
            if self._failure is None:
                await self._shut_down(host, running, errands)
                running.root.stop()
                await self._ended.wait()
            errands.close()
            code = self._exit_code()
            if self._left:
                self._end_now(code)
            host.cancel_scope.cancel()
        return code

    async def _supervise(self, running: Running, host: TaskGroup, up: anyio.Event) -> None:
        class Up(TaskStatus[object]):
            def started(self, value: object = None) -> None:
                del value
                up.set()

        try:
            await running.root.run(host=host, task_status=Up())
        except Exception as error:  # noqa: BLE001 - told below, and the exit code says it
            self._failure = error
            self._log.critical("the tree gave up", exc_info=error)
        finally:
            self._ended.set()
            up.set()

    def _exit_code(self) -> int:
        failure = self._failure
        if failure is None:
            return 0
        if isinstance(failure, StuckError):
            self._log.error("left behind", who=[event.actor for event in failure.stuck])
            self._end_now(0)
        code = LedgerBrokenError.exit_code if _is_of_the_ledger(failure) else EXIT_ESCALATED
        self._notifier.failed(code, str(failure))
        if isinstance(failure, EscalatedError) and failure.stuck:
            self._end_now(code)
        return code

    def _end_now(self, code: int) -> None:
        """End without waiting for a task that does not end: what is durable is durable."""
        self._logs.stop()
        os._exit(code)

    # -- the end -----------------------------------------------------------------------------------------------------

    async def _shut_down(self, host: TaskGroup, running: Running, errands: Errands) -> None:
        service = self._prepared.settings.service
        why = self._prepared.stop.why or "stopped"

        def seal() -> Awaitable[None]:
            running.loop.end()  # however the stages before went: nothing may come in behind the seal
            return running.seal()

        self._log.info("shutting down", reason=why)
        self._notifier.stopping(f"stopping: {why}")
        stages: tuple[tuple[str, int, Callable[[], Awaitable[Any]]], ...] = (
            ("intake", service.shutdown_intake_s, errands.stop_intake),
            ("core", service.shutdown_core_s, running.loop.drain),
            ("outreach", service.shutdown_outreach_s, running.deliveries.deliver_once),
            ("ledger", service.shutdown_ledger_s, seal),
        )
        for name, budget, stage in stages:
            if self._hurry.is_set() and name != "ledger":
                continue
            self._notifier.extend_timeout(budget + 5)
            self._notifier.status(f"stopping: {name}")
            await self._stage(host, name, budget, stage)
            if self._failure is not None:
                break  # there is nobody left who could end in order
        running.inference.close()  # whoever waits for a model would be waited for
        if running.sealed:
            problem = self._prepared.starts.end()
            if problem:  # the next start takes this one for a crash, which is the safe mistake
                self._log.warning("starts", detail=problem)
        self._log.info("stopped", reason=why, clean=running.sealed)

    async def _stage(self, host: TaskGroup, name: str, budget: float, stage: Callable[[], Awaitable[Any]]) -> None:
        """Run one stage until it has ended or its time is up; what does not even heed that is left behind."""
        scope, done = anyio.CancelScope(), anyio.Event()
        tasks: list[anyio.TaskInfo] = []

        async def run() -> None:
            tasks.append(anyio.get_current_task())
            try:
                with scope:
                    await stage()
            except LedgerBrokenError as error:
                self._failure = error
                self._log.critical("the ledger failed while it was closed", detail=str(error))
            except Exception as error:  # noqa: BLE001 - told; the stages behind it still have to come
                self._log.error("shutdown stage failed", stage=name, exc_info=error)
            done.set()

        host.start_soon(run, name=f"shutdown/{name}")
        # A hurry cuts everything short but the ledger, which is what a hurry is for.
        hurry = anyio.Event() if name == "ledger" else self._hurry
        with anyio.move_on_after(budget):
            await _first(done, self._ended, hurry)
        if done.is_set():
            return
        if not (self._ended.is_set() or hurry.is_set()):
            stack = where_task_hangs(tasks[0]) if tasks else ()
            self._log.error("shutdown stage overran its budget", stage=name, budget_s=budget, stack=stack)
        scope.cancel()
        with anyio.move_on_after(LEAVE_S):
            await done.wait()
        if not done.is_set():
            self._log.error("shutdown stage left behind", stage=name)
            self._left.append(name)


async def _first(*events: anyio.Event) -> None:
    """Wait for the first of some events."""
    async with anyio.create_task_group() as group:

        async def when(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(when, event)


def _is_of_the_ledger(error: BaseException) -> bool:
    """Tell whether it was the ledger that failed, below supervisors and groups that handed it on."""
    if isinstance(error, EscalatedError) and error.origin is not error:
        return _is_of_the_ledger(error.origin)
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_of_the_ledger, error.exceptions))
    return isinstance(error, LedgerBrokenError)


def _settle_memory() -> None:
    """Collect once, and keep what was loaded out of later collections (design section 9)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


__all__ = ["Jump", "RunOptions", "run_daemon"]
