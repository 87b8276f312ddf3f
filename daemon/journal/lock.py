"""One daemon per state directory.

The lock is the kernel's (flock), so it ends with the process that holds it, however that ends; the pid in the file is
for people only. The directory itself is locked too: whoever removes a "stale" lock file does not let a second in.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from daemon.journal.failures import LedgerRefusedError

LOCK: Final = "ledger.lock"
_PID_BYTES: Final = 32


class InstanceLock:
    """Holds the state directory for this process."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock, or refuse at once.

        Raises:
            LedgerRefusedError: another process holds it (``LOCKED``), or the directory cannot be written.
        """
        self.path = state_dir / LOCK
        self._fds: list[int] = []
        try:
            try:
                self._take(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                self._take(os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY))
                os.ftruncate(self._fds[0], 0)
                os.pwrite(self._fds[0], b"%d\n" % os.getpid(), 0)
            except BlockingIOError as error:
                raise LedgerRefusedError(
                    f"another tradingd{self._holder()} runs on {state_dir}",
                    reason="LOCKED",
                    remedy="stop it first, or name another paths.state_dir",
                ) from error
            except OSError as error:
                raise LedgerRefusedError(
                    f"{self.path} cannot be locked: {error.strerror}",
                    reason="LEDGER_UNREADABLE",
                    remedy="let the daemon's user own the state directory, on a file system that can be written",
                ) from error
        except BaseException:
            self.release()
            raise

    def _take(self, fd: int) -> None:
        self._fds.append(fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _holder(self) -> str:
        pid = os.pread(self._fds[0], _PID_BYTES, 0).strip()
        return f" (pid {int(pid)})" if pid.isdigit() else ""

    def release(self) -> None:
        """Let go; the file stays, since removing it would race with the next who takes it."""
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self.release()
