"""The ledger's one connection for writing: how it is set up, waits for its turn, and tells failures apart.

Everything here runs on the connection's thread; plain attributes may be read from any.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from daemon.journal.failures import NO_ROOM, CommitOvertaken, LedgerBrokenError, LedgerFullError
from daemon.journal.schema import PAGE_SIZE
from daemon.kernel.errors import InvariantError

LEDGER: Final = "ledger.db"
LOCK_PAUSE_S: Final = 0.02
"""Between two tries to begin while another process holds the ledger."""
WAL_KEPT: Final = 16 << 20
"""Bytes of WAL that stay on disk once it was folded in; overwriting them costs less than growing anew."""
PROBE: Final = "ledger.probe"
_PROBE_BYTES: Final = 1 << 16
BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SYNC_FAILED: Final = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


class Job:
    """One call's wish to be given up while it still waits for another process's lock."""

    __slots__ = ("given_up",)

    def __init__(self) -> None:
        self.given_up = False


class LedgerConnection:
    """See the module.

    Attributes:
        path, wal: of the ledger.
        broken: why nothing may be written any more, or None.
        closing: whoever waits for the lock gives up.
        nudge: wakes who waits for the lock.
        waiting_since: monotonic nanoseconds since when another process holds the ledger; 0 where none does.
    """

    def __init__(self, state_dir: Path, overtaken: Callable[[], bool]) -> None:
        """Remember where the ledger is and who says that a kill has come; :meth:`take` takes the connection."""
        self.path = state_dir / LEDGER
        self.wal = state_dir / f"{LEDGER}-wal"
        self.broken: LedgerBrokenError | None = None
        self.closing = False
        self.nudge = threading.Event()
        self.waiting_since = 0
        self.overtaken = overtaken
        self.db: sqlite3.Connection
        self._guard: sqlite3.Connection | None = None
        self._files: dict[Path, tuple[int, int]] = {}
        self._wal_bytes = 0

    def take(self, db: sqlite3.Connection) -> None:
        """Set the connection up.

        Raises:
            sqlite3.Error: it cannot be; the ledger may be locked for a while by another process, which is waited for.
        """
        self.db = db
        self._again(self._prepare, Job(), heed_kill=False)

    def _prepare(self) -> None:
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "temp_store = MEMORY",
            f"page_size = {PAGE_SIZE}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {WAL_KEPT}",
        ):
            self.db.execute(f"PRAGMA {pragma}").fetchone()

    def watch(self) -> None:
        """Remember which files these are, once they are there.

        A second connection, which only holds on to the file, keeps SQLite from folding the WAL in when the writer of a
        broken ledger is closed.
        """
        uri = f"{self.path.resolve().as_uri()}?mode=ro"
        self._guard = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        self._guard.execute("SELECT count(*) FROM ledger").fetchone()
        self._files = {path: _inode(path) for path in (self.path, self.wal)}
        self.measure()

    def moved(self) -> str:
        """Return the name of a file of the ledger that is not the one that was opened any more, or ""."""
        for path, inode in self._files.items():
            try:
                if _inode(path) != inode:
                    return path.name
            except OSError:
                return path.name
        return ""

    def measure(self) -> None:
        """Remember how long the WAL is behind a commit or a folding of our own; nobody else may make it shorter."""
        try:
            self._wal_bytes = self.wal.stat().st_size
        except FileNotFoundError:
            return  # what was committed stays so; that the file is gone is for moved() to tell

    def cut_short(self) -> str:
        """Return the name of the WAL if it is shorter than it was left, or "": rows that were committed are gone.

        Only the connection's thread may ask, between two transactions of its own: SQLite itself shortens a WAL that
        begins anew.
        """
        try:
            return self.wal.name if self.wal.stat().st_size < self._wal_bytes else ""
        except OSError:
            return self.wal.name

    def let_go(self) -> None:
        """Close the second connection: of a sound ledger before the writer's own, of a broken one after it."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    # -- waiting -----------------------------------------------------------------------------------------------------

    def begin(self, job: Job, *, heed_kill: bool) -> None:
        """Begin to write, however long another process holds the ledger.

        Raises:
            CommitOvertaken: a kill came, or the caller gave up.
            LedgerBrokenError: the ledger was closed.
        """
        self._again(lambda: self.db.execute("BEGIN IMMEDIATE"), job, heed_kill=heed_kill)

    def _again(self, action: Callable[[], object], job: Job, *, heed_kill: bool) -> None:
        try:
            while True:
                if self.closing:
                    raise closed()
                if job.given_up or (heed_kill and self.overtaken()):
                    raise CommitOvertaken
                try:
                    action()
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF not in BUSY:
                        raise
                else:
                    return
                if not self.waiting_since:
                    self.waiting_since = time.monotonic_ns()
                self.nudge.wait(LOCK_PAUSE_S)
        finally:
            self.waiting_since = 0

    # -- failing -----------------------------------------------------------------------------------------------------

    def classify(self, error: BaseException) -> BaseException:
        """Return what to raise instead of an error: no room, broken, or the error itself where it says enough."""
        if isinstance(error, CommitOvertaken | LedgerBrokenError | InvariantError):
            return error
        if self.is_no_room(error):
            return LedgerFullError(
                f"there is no room for the ledger in {self.path.parent}: {error}",
                code="LEDGER_FULL",
                remedy="make room; the daemon goes on by itself",
            )
        return broken(error)

    def is_no_room(self, error: BaseException) -> bool:
        """Tell whether a write failed for want of room and may be tried again once there is some."""
        if isinstance(error, OSError):
            return error.errno in NO_ROOM
        if not isinstance(error, sqlite3.Error):
            return False
        code = getattr(error, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_FULL:
            return True
        # SQLite reports a quota or a limit of file size as an I/O error; a write of our own tells them apart.
        return code & 0xFF == sqlite3.SQLITE_IOERR and code not in _SYNC_FAILED and self._probe_finds_no_room()

    def _probe_finds_no_room(self) -> bool:
        """Write as far out in a file as the ledger's own files reach: a limit counts by offset."""
        probe = self.path.with_name(PROBE)
        try:
            reach = max(path.stat().st_size for path in (self.path, self.wal) if path.exists())
            fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(fd, bytes(_PROBE_BYTES), reach)
                os.fsync(fd)
            finally:
                probe.unlink()
                os.close(fd)
        except OSError as error:
            return error.errno in NO_ROOM
        return False


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def broken(error: BaseException) -> LedgerBrokenError:
    """Return what is raised when nobody knows any more what the disk holds."""
    return LedgerBrokenError(
        f"the ledger could not be written: {str(error) or type(error).__name__}",
        code="LEDGER_BROKEN",
        remedy="nothing is retried; the next start checks what is there",
    )


def closed() -> LedgerBrokenError:
    """Return what is raised where the writer was closed."""
    return LedgerBrokenError("the ledger is closed", code="LEDGER_CLOSED", remedy="open it again")
