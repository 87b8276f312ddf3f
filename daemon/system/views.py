"""The projector: a thread that keeps views.db behind the ledger by a moment.

Theory of operation
-------------------
It reads committed frames through a connection of its own that can only read, folds a bounded number of them at a time
and writes their rows together with how far they go, in one transaction. So killing it anywhere loses nothing: it goes
on behind the last row it wrote. Nothing waits for it but readers who want to see their own writes, and those for a
moment only.

views.db is a cache. Where it is missing, damaged, of another schema, ahead of the ledger, of another ledger, or left
over from before a power cut, it is deleted and built again, oldest archive first, while trading goes on. Where it
cannot be written for the time being (locked, disk full) the projector tries again and says so in its gauges.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.messages.catalogue import codec
from daemon.system.views_fold import ViewFold
from daemon.system.views_sources import LedgerTail, TailError, sync_alerts, sync_archived, sync_quarantine

VIEWS: Final = "views.db"
SCHEMA: Final = 3
APPLICATION_ID: Final = 0x54524456  # "TRDV"
STEP_FRAMES: Final = 200
STEP_NS: Final = 15_000_000
"""How long one step may fold before it writes."""
REST_S: Final = 0.002
"""Between two steps of a long way to catch up, so that the core's thread is never far from its turn."""
IDLE_S: Final = 0.5
"""How often the ledger is looked at without being told to."""
RETRY_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
REBUILD_NS: Final = 60_000_000_000
"""Between two attempts to build views that do not get further."""
FAR: Final = 2_000
"""Inputs that nobody waits for while views are being built."""
BUSY_MS: Final = 200

# SQLite's primary result codes for what passes by itself: a lock, a full or failing disk, no memory, no file handle.
_PASSING: Final = (5, 6, 7, 8, 10, 13, 14, 15, 22)
# Beside the files of other rooms: the machine's boot, "" where the system does not tell.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class ViewGauges(msgspec.Struct, frozen=True):
    """How the projector is doing.

    Attributes:
        seq: of the last frame written.
        target: of the last frame it was told of.
        rebuilding: whether it is on its way to the target for the first time since it was started or began anew.
        rebuilds: how often it began anew.
        trouble: why it cannot go on at the moment, "" where it can.
    """

    seq: int
    target: int
    rebuilding: bool
    rebuilds: int
    trouble: str

    @property
    def lag(self) -> int:
        """How many inputs it is behind."""
        return max(0, self.target - self.seq)


class _StaleError(Exception):
    """views.db cannot be gone on with; the argument says why."""


class Projector:
    """See the module. All methods but :meth:`catch_up` may be called on any thread."""

    def __init__(
        self,
        state_dir: Path,
        *,
        ledger: str = "ledger.db",
        step_frames: int = STEP_FRAMES,
        on_note: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            state_dir: holds the ledger, its archive and views.db.
            ledger: file name of the ledger.
            step_frames: frames written at once.
            on_note: told in a sentence of each rebuild and of trouble that begins or ends, on the projector's thread.
        """
        self.path = state_dir / VIEWS
        self._state_dir = state_dir
        self._ledger = state_dir / ledger
        self._step_frames = step_frames
        self._on_note = on_note
        self._codec = codec()
        self._changed = threading.Condition()
        self._target = 0
        self._seq = -1
        self._woken = False
        self._stop = False
        self._trouble = ""
        self._rebuilding = True
        self._rebuilds = 0
        self._stuck_at = -1
        self._rebuilt_ns = 0
        self._thread: threading.Thread | None = None
        self._db: sqlite3.Connection | None = None
        self._tail: LedgerTail | None = None
        self._fold: ViewFold | None = None
        self._inode = 0
        self._boot = _boot_id()

    # -- for other threads -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run on a thread of its own."""
        self._close(clean=False)  # what another thread opened, it has to open itself
        self._thread = threading.Thread(target=self._run, name="views", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """End the thread and close everything; tell whether it ended in time."""
        with self._changed:
            self._stop = self._woken = True
            self._changed.notify_all()
        if self._thread is None:
            self._close(clean=True)
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def notify(self, seq: int) -> None:
        """Everything up to ``seq`` is committed."""
        with self._changed:
            self._target = max(self._target, seq)
            self._woken = True
            self._changed.notify_all()

    def wait_for(self, seq: int, timeout: float) -> bool:
        """Wait until everything up to ``seq`` can be read, at most so many seconds; tell whether it can.

        Where waiting is no use (the views cannot be written, or have a long way to go) it returns at once: whoever asks
        on the control thread must not keep a kill waiting.
        """
        with self._changed:
            if self._seq >= seq:
                return True
            self._woken = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._seq >= seq or self._hopeless(seq), timeout)
            return self._seq >= seq

    def _hopeless(self, seq: int) -> bool:
        return self._stop or bool(self._trouble) or (self._rebuilding and seq - self._seq > FAR)

    def gauges(self) -> ViewGauges:
        """Return how the projector is doing."""
        with self._changed:
            return ViewGauges(
                max(self._seq, 0), max(self._target, self._seq, 0), self._rebuilding, self._rebuilds, self._trouble
            )

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stop:
            try:
                more = self.step()
            except Exception as error:  # noqa: BLE001 - a view is never worth the daemon: say so, try again
                self._failed(error)
                self._pause(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                continue
            if self._trouble:
                self._tell("", "the views can be written again")
            failures = 0
            self._pause(REST_S if more else IDLE_S, woken=not more)
        self._close(clean=True)

    def _pause(self, seconds: float, *, woken: bool = False) -> None:
        with self._changed:
            if woken and not self._woken:
                self._changed.wait_for(lambda: self._woken or self._stop, seconds)
            elif not woken:
                self._changed.wait_for(lambda: self._stop, seconds)
            self._woken = False

    def catch_up(self, until: Callable[[], bool] = lambda: False) -> int:
        """Fold everything there is, on the calling thread (tests, tools); return the seq reached."""
        while self.step(poll=True) and not until():
            pass
        return self._seq

    def step(self, *, poll: bool = False) -> bool:
        """Fold and write a bounded number of frames; tell whether there may be more.

        Args:
            poll: look at alerts and quarantine even if that was done a moment ago.

        Raises:
            sqlite3.Error: views.db cannot be written for the time being.
            TailError: the ledger cannot be read for the time being.
        """
        try:
            if self._db is None or self._tail is None or self._fold is None:
                self._open()
            return self._project(poll=poll)
        except sqlite3.Error as error:
            if _passes(error) or isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)):
                raise
            self._anew(str(error))
        except _StaleError as error:
            self._anew(str(error))
        return True

    def _project(self, *, poll: bool) -> bool:
        db, tail, fold = self._db, self._tail, self._fold
        assert db is not None  # noqa: S101 - opened by the caller
        assert tail is not None  # noqa: S101
        assert fold is not None  # noqa: S101
        if not self._is_at(self.path):
            raise _StaleError("somebody deleted it")
        deadline = time.monotonic_ns() + STEP_NS
        count = 0
        unreadable: TailError | None = None
        try:
            for frame, names in tail.read(fold.seq, self._step_frames):
                fold.fold(frame, names)
                count += 1
                if time.monotonic_ns() > deadline:
                    break
        except TailError as error:
            unreadable = error  # what came before it is good
        polls = tail.poll_due(now=poll)
        if count or polls:
            self._write(db, tail, fold, folded=count > 0, polls=polls)
        more = count > 0 and tail.may_have_more(fold.seq)
        with self._changed:
            self._seq = fold.seq
            if not more and unreadable is None:
                self._rebuilding = False
            self._changed.notify_all()
        if unreadable is not None:
            raise unreadable
        return more

    def _write(self, db: sqlite3.Connection, tail: LedgerTail, fold: ViewFold, *, folded: bool, polls: bool) -> None:
        db.execute("BEGIN IMMEDIATE")
        try:
            if folded:
                fold.flush(tail.generation, tail.hash, self._boot)
            sync_archived(db, tail)
            if polls:
                sync_alerts(db, tail)
                sync_quarantine(db, tail)
            db.execute("COMMIT")
        except BaseException:
            # What was folded is in no row: the next step begins behind the last one that was written.
            self._fold = None
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # -- opening and beginning anew ----------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open both files, and make sure that the one is what the other would give."""
        self._close(clean=False)
        tail = self._tail = LedgerTail(self._ledger, self._state_dir, self._codec)
        if not self.path.exists():
            with self._changed:
                self._rebuilding = True
            self._create(tail)
        db = self._db = _connect(self.path)
        self._inode = self.path.stat().st_ino
        self._check(db, tail)
        db.execute("UPDATE meta SET boot = ?", (self._boot,))
        self._fold = ViewFold(db)

    def _is_at(self, path: Path) -> bool:
        """Tell whether the file that is open is the one people find there."""
        try:
            return path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _check(self, db: sqlite3.Connection, tail: LedgerTail) -> None:
        found = (_pragma(db, "application_id"), _pragma(db, "user_version"))
        if found != (APPLICATION_ID, SCHEMA):
            raise _StaleError(f"its schema is {found[1]}, not {SCHEMA}")
        row = db.execute("SELECT generation, seq, hash, boot FROM meta").fetchone()
        if row is None:
            raise _StaleError("it does not say what it was read from")
        generation, seq, digest, boot = row
        if generation != tail.generation:
            raise _StaleError("it was read from another ledger")
        if seq > tail.last_seq():
            raise _StaleError(f"it goes to {seq}, the ledger only to {tail.last_seq()}")
        if seq and not tail.knows(seq, digest):
            raise _StaleError(f"the ledger's frame {seq} is another one now")
        if boot not in ("", self._boot):
            raise _StaleError("the machine went down while it was being written")

    def _create(self, tail: LedgerTail) -> None:
        """Make an empty views.db; it appears complete or not at all."""
        temporary = self.path.with_name(f"{self.path.name}.new")
        _remove(temporary)
        db = sqlite3.connect(temporary, isolation_level=None)
        try:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA}")
            db.executescript(files("daemon.system").joinpath("views_schema.sql").read_text("utf-8"))
            db.execute("INSERT INTO meta VALUES (1, ?, 0, 0, x'', ?)", (tail.generation, self._boot))
        finally:
            db.close()
        temporary.replace(self.path)

    def _anew(self, why: str) -> None:
        """Delete views.db and begin again; if that led no further than the last time, only after a while."""
        now = time.monotonic_ns()
        self._close(clean=False)
        if self._rebuilds and self._seq <= self._stuck_at and now - self._rebuilt_ns < REBUILD_NS:
            raise RuntimeError(f"views.db was just built anew and cannot be gone on with again: {why}")
        self._stuck_at = self._seq
        self._rebuilt_ns = now
        _remove(self.path)
        with self._changed:
            self._seq = -1
            self._rebuilding = True
            self._rebuilds += 1
        self._on_note(f"views.db is built anew from the ledger: {why}")

    def _close(self, *, clean: bool) -> None:
        db, self._db, self._fold = self._db, None, None
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.close()
        if db is None:
            return
        try:
            if clean:
                db.execute("UPDATE meta SET boot = ''")
        except sqlite3.Error as error:
            self._on_note(f"views.db could not be closed cleanly: {error}")
        finally:
            db.close()

    # -- trouble -----------------------------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        text = str(error) if isinstance(error, TailError) else f"{type(error).__name__}: {error}"
        if text != self._trouble:
            self._tell(text, f"the views fall behind: {text}")
        self._close(clean=False)

    def _tell(self, trouble: str, note: str) -> None:
        with self._changed:
            self._trouble = trouble
            self._changed.notify_all()
        self._on_note(note)


def _passes(error: sqlite3.Error) -> bool:
    """Tell whether an error may be gone when the same is tried again."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING


def _connect(path: Path) -> sqlite3.Connection:
    """Open views.db for writing."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        db.execute("PRAGMA journal_mode = WAL")
        # A cache need not survive a power cut: it is built again.
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        db.close()
        raise
    return db


def _pragma(db: sqlite3.Connection, name: str) -> Any:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return "unknown"
