"""Signals and the file KILL, on a thread of their own: they work while the loop hangs and the core spins.

Handled signals are blocked in every thread and taken by ``sigtimedwait`` in this one, so no Python handler ever waits
for the main thread to come up for air. Whoever starts child processes must unblock the signals in them
(:func:`unblock_signals`), because a mask is inherited.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Final

from daemon.control.latch import KillLatch, NotDurableError

ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGPWR, signal.SIGXCPU})
"""Ask for an orderly end: a person or a manager, power that is failing, a limit of CPU time that is reached."""
HANDLED: Final = ENDING | {signal.SIGHUP, signal.SIGUSR1}
UNUSED: Final = frozenset(
    {signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGSTKFLT}
    | set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
)
"""Mean nothing here, and would end a process that does not mind them."""
POLL_S: Final = 0.025
"""How often signals and the file KILL are looked for."""
RETRY_S: Final = 1.0
"""How often a kill that the disk refused is written again."""
KILL_FILE: Final = "KILL"


def block_signals() -> None:
    """Block the handled signals in this thread and in every thread that it starts from now on; call it first."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def unblock_signals() -> None:
    """Unblock the handled signals in this thread; for a child process between fork and exec (``preexec_fn``).

    ``os.posix_spawn(..., setsigmask=())`` does the same without running Python in the child.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def mind_unused_signals() -> None:
    """Have signals that mean nothing do nothing; main thread only. What somebody has a use for, or ignores, stays so.

    By a handler that returns, and not by ignoring or blocking: both would be inherited by every program started from
    here, a handler is not.
    """
    for number in UNUSED:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _return)


def _return(number: int, frame: FrameType | None) -> None:
    del number, frame


class SignalThread:
    """Takes signals and looks for the file KILL.

    SIGUSR1 and the file set the latch, here, without asking anybody. SIGTERM, SIGINT, SIGPWR and SIGXCPU call
    ``on_shutdown`` with the signal's name, and ``on_hurry`` from the second on; SIGHUP calls ``on_reload``. The
    callbacks must be quick and safe to call from another thread; one that raises is reported and changes nothing else.
    """

    def __init__(
        self,
        latch: KillLatch,
        runtime_dir: Path,
        *,
        on_shutdown: Callable[[str], None],
        on_reload: Callable[[], None],
        on_hurry: Callable[[], None],
        on_problem: Callable[[str], None],
        on_lost: Callable[[BaseException], None],
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            latch: that a kill sets.
            runtime_dir: where the file KILL is looked for.
            on_shutdown: takes the name of the signal that asks for an orderly end.
            on_reload: SIGHUP.
            on_hurry: asked again to end, while ending.
            on_problem: takes a sentence, such as "killed, but not durable".
            on_lost: the thread ended without being stopped; the process should go down.
        """
        self._latch = latch
        self._file = runtime_dir / KILL_FILE
        self._on_shutdown = on_shutdown
        self._on_reload = on_reload
        self._on_hurry = on_hurry
        self._on_problem = on_problem
        self._on_lost = on_lost
        self._stopping = False
        self._shutting_down = False
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)

    def start(self) -> None:
        """Look for the file once, here, then start the thread. The signals must be blocked already.

        A file that lies there from before is a kill before anything else starts.
        """
        missing = HANDLED - signal.pthread_sigmask(signal.SIG_BLOCK, ())
        if missing:
            names = ", ".join(sorted(number.name for number in missing))
            raise RuntimeError(f"{names} must be blocked before any thread starts; call block_signals first")
        self._look()
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> bool:
        """End the thread; return whether it has ended. Signals stay blocked."""
        self._stopping = True
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                # Asked without a wait: CPython's sigtimedwait that is interrupted and then finds its time over, as
                # behind SIGCONT, returns what lay in memory, which may look like any signal (F51).
                while (taken := signal.sigtimedwait(HANDLED, 0)) is not None:
                    self._take(taken)
                if self._stopping:
                    return
                self._look()
                self._retry()
                sleep(POLL_S)
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread ends a kill path: it must be heard of
            self._on_lost(error)

    def _take(self, taken: signal.struct_siginfo) -> None:
        if taken.si_signo == signal.SIGUSR1:
            self._kill("signal USR1", f"uid {taken.si_uid} pid {taken.si_pid}")
        elif taken.si_signo == signal.SIGHUP:
            self._guarded(self._on_reload)
        elif self._shutting_down:
            self._guarded(self._on_hurry)
        else:
            self._shutting_down = True
            name = signal.Signals(taken.si_signo).name
            self._guarded(lambda: self._on_shutdown(name))

    def _look(self) -> None:
        """Kill where the file exists in any form, or where that cannot be known."""
        if self._latch.is_set:
            return
        try:
            owner = os.lstat(self._file).st_uid
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                return
            self._kill(f"the file {self._file} cannot be looked for: {error.strerror}", "daemon")
            return
        self._kill(f"the file {self._file} is there", f"uid {owner}")

    def _kill(self, reason: str, by: str) -> None:
        try:
            self._latch.set(reason, by)
        except NotDurableError as error:
            self._retry_at = monotonic() + RETRY_S
            self._on_problem(str(error))

    def _retry(self) -> None:
        if not self._latch.is_set or self._latch.durable or monotonic() < self._retry_at:
            return
        self._retry_at = monotonic() + RETRY_S
        try:
            self._latch.retry()
        except NotDurableError as error:
            self._on_problem(str(error))

    def _guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - a callback that fails must not take the kill path with it
            self._on_problem(f"a callback of the signal thread failed: {type(error).__name__}: {error}")
