"""The kill latch: one bit that survives everything, set in milliseconds while everything else is stuck.

Theory of operation. A kill must not depend on the ledger (full, locked, broken), the core (spinning, dead) or a queue.
So it is two things: a plain attribute in memory, which the core looks at before every input and the ledger writer
before every COMMIT, and 4 KiB on disk whose blocks were allocated when there was room, so that overwriting them needs
none.
``set`` raises the flag first (from here on nothing new becomes durable), then overwrites and syncs the file, then gives
a COMMIT that is already running a moment to end: what is acknowledged after that is behind every order and fill.

The file says CLEAR in exactly one way. Whatever else is there (a torn write, zeroes, a shorter file, one that cannot be
read, none at all beside a ledger) means killed: unknown means no.

Only a person clears it: the core processes an Unlatch, its HALTED is committed, and then the shell calls ``clear`` with
the count of kills it saw when the Unlatch was asked for. A kill that came in between wins.

The writer's side of the bargain: say that a COMMIT runs (``commit_in_flight``) *before* looking at ``overtaken``, so
that of a kill and a COMMIT at the same instant one always sees the other.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from daemon.journal.batch import NO_FAULTS, Faults
from daemon.kernel.errors import OperatorError

SIZE: Final = 4096
"""Bytes of the file: one block of any usual file system."""
COMMIT_WAIT_S: Final = 0.080
"""How long after a kill came a COMMIT that was running then is waited for, ..."""
COMMIT_WAIT_LEAST_S: Final = 0.020
"""... and how long at least, where writing the latch has used that up."""
REASON_BYTES: Final = 512
BY_BYTES: Final = 128
SITES: Final = ("after:flag", "before:write", "after:write", "after:sync", "before:wait", "after:wait")
"""Places in ``set``, in order, for :data:`daemon.journal.batch.Faults`."""
MAKING: Final = ("before:make", "before:rename", "after:rename")
"""Places where a latch is made."""

_FORMAT: Final = b"tradingd.kill-latch/1\n"
_CLEAR: Final = (b"CLEAR " + _FORMAT).ljust(SIZE - 1) + b"\n"
_KILLED_HEAD: Final = b"KILLED " + _FORMAT
_KILLED: Final = _KILLED_HEAD.ljust(SIZE - 1) + b"\n"
_PAUSE_S: Final = 0.0005


class NotDurableError(OperatorError):
    """Killed in memory, but the disk did not take it: a restart might not know."""

    exit_code = 6


class KillLatch:
    """See the head of this module. Build with :meth:`open`; every method may be called from any thread.

    Attributes:
        is_set: killed. A plain attribute, read before every input.
        observed: the core has processed the ``LatchObserved`` of this kill; set by the core loop.
        durable: the disk says killed, too.
        kills: how often it was asked for; see :meth:`clear`.
        reason, by, at_ns: of the kill in force; "" and 0 where none is. ``at_ns`` is wall time.
        commit_in_flight: says whether COMMIT itself is running; given by the shell once there is a ledger.
        wake: called once the flag is up, so that an idle core looks; given by the shell, must be thread-safe.
        troubles: sentences about what went wrong beside the kill itself, such as a ``wake`` that raised.
    """

    def __init__(self, path: Path, descriptor: int, faults: Faults) -> None:
        """Take over an open file; use :meth:`open`."""
        self.path = path
        self.is_set = False
        self.observed = False
        self.durable = False
        self.kills = 0
        self.reason = ""
        self.by = ""
        self.at_ns = 0
        self.commit_in_flight: Callable[[], bool] = _never
        self.wake: Callable[[], None] = _nothing
        self.troubles: list[str] = []
        self._descriptor = descriptor
        self._faults = faults
        self._flag_lock = threading.Lock()  # held for a few assignments, never over I/O
        self._file_lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, fresh: bool, faults: Faults = NO_FAULTS) -> KillLatch:
        """Open the latch, or make it where there is no ledger yet.

        Call it before a fresh ledger is made: a ledger without a latch means that the latch was lost.

        Args:
            path: ``state_dir/kill.latch``.
            fresh: there is no ledger beside it.
            faults: see :data:`SITES`.

        Raises:
            OperatorError: it is missing beside no ledger, and cannot be made.
        """
        try:
            descriptor = _open(path)
        except FileNotFoundError:
            return cls._made(path, fresh=fresh, faults=faults)
        except OSError as error:
            latch = cls(path, -1, faults)
            latch._doubt(f"the kill latch {path} cannot be opened: {error.strerror or error}")
            return latch
        latch = cls(path, descriptor, faults)
        latch._load()
        return latch

    @classmethod
    def _made(cls, path: Path, *, fresh: bool, faults: Faults) -> KillLatch:
        lost = "" if fresh else f"the kill latch {path} is missing beside an existing ledger"
        try:
            descriptor = _make(path, _CLEAR if fresh else _record(lost, "daemon", time.time_ns()), faults)
        except OSError as error:
            if fresh:
                raise OperatorError(
                    f"the kill latch {path} cannot be made: {error.strerror or error}",
                    code="LATCH_UNWRITABLE",
                    remedy="make room and give the daemon its state directory; it does not run without a kill switch",
                ) from error
            descriptor = -1
        latch = cls(path, descriptor, faults)
        if lost:
            latch._doubt(lost)
            latch.durable = True  # what is not there reads as killed
        return latch

    def _load(self) -> None:
        """Read what the file says; everything but CLEAR is killed."""
        try:
            content = os.pread(self._descriptor, SIZE + 1, 0)
            if len(content) < SIZE:
                os.posix_fallocate(self._descriptor, 0, SIZE)  # so that a later write needs no room
            os.fsync(self._descriptor)  # a kill that was written and not yet synced when the process died
        except OSError as error:
            self._doubt(f"the kill latch {self.path} cannot be read or kept: {error.strerror or error}")
            return
        if content == _CLEAR:
            return
        self.durable = True
        if content.startswith(_KILLED_HEAD) and len(content) == SIZE:
            self.at_ns, self.by, self.reason = _fields(content)
            self.is_set = True
            self.kills = 1
        else:
            self._doubt(f"the kill latch {self.path} says neither CLEAR nor KILLED ({len(content)} bytes)")

    def _doubt(self, reason: str) -> None:
        """Be killed because the file cannot be trusted."""
        self.is_set = True
        self.kills = 1
        self.reason, self.by, self.at_ns = reason, "daemon", time.time_ns()

    def overtaken(self) -> bool:
        """Tell the ledger writer to write nothing: a kill has come that the core has not seen yet."""
        return self.is_set and not self.observed

    def set(self, reason: str, by: str) -> None:
        """Kill. When this returns, the kill is on disk and every order and fill that is durable was so before it.

        The reason of the first kill is kept. A second one returns as soon as the first is durable.

        Args:
            reason: why; cut to what fits.
            by: who, such as ``uid 0 pid 4711``.

        Raises:
            NotDurableError: the flag is up, but the disk refused.
        """
        came = time.monotonic()
        with self._flag_lock:
            self.kills += 1
            first = not self.is_set
            self.is_set = True
            if first:
                self.reason, self.by, self.at_ns = reason, by, time.time_ns()
        self._faults("after:flag")
        try:
            self._keep()
        finally:
            self._rouse()
            self._faults("before:wait")
            self._await_commit(came)
        self._faults("after:wait")

    def retry(self) -> None:
        """Write a kill that the disk refused earlier; does nothing where there is none.

        Raises:
            NotDurableError: it refuses still.
        """
        if self.is_set and not self.durable:
            self._keep()

    def clear(self, by: str, *, kills: int) -> bool:
        """Take the kill back, after the core's HALTED is committed; return whether it was taken back.

        Args:
            by: who; a sentence of trouble names them.
            kills: the count read when the Unlatch was asked for. Where it has grown since, somebody killed again: the
                latch stays, and asks to be observed again.

        Raises:
            NotDurableError: the disk did not take it. The latch stays set, in memory and as far as anybody knows on
                disk.
        """
        with self._file_lock:
            if self.kills == kills:
                try:
                    self._write(_CLEAR)
                except OSError as error:
                    # What is on disk now is unknown: try to make it a kill again, as it is in memory.
                    self.durable = False
                    with contextlib.suppress(OSError):
                        self._write(_record(self.reason, self.by, self.at_ns))
                        self.durable = True
                    raise NotDurableError(
                        f"{by} could not clear the kill latch {self.path}: {error.strerror or error}",
                        code="NOT_DURABLE",
                        remedy="the daemon stays killed; look after the disk and unlatch again",
                    ) from error
                self.durable = False
            with self._flag_lock:
                self.observed = False
                if self.kills == kills:
                    self.is_set = False
                    self.reason, self.by, self.at_ns = "", "", 0
                    return True
        # Whoever killed in between may have been told so already, on the strength of a file that was just cleared.
        self.retry()
        self._rouse()
        return False

    def close(self) -> None:
        """Close the file; the flag stays as it is."""
        with self._file_lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _keep(self) -> None:
        """Have the disk say killed."""
        with self._file_lock:
            if self.durable:
                return
            try:
                record = _record(self.reason, self.by, self.at_ns)
            except Exception as error:  # noqa: BLE001 - a kill does not fail on its own wording (control C11)
                self.troubles.append(f"the reason of a kill could not be written: {type(error).__name__}")
                record = _KILLED
            try:
                self._write(record)
            except OSError as error:
                raise NotDurableError(
                    f"killed, but not durable: {self.path}: {error.strerror or error}",
                    code="NOT_DURABLE",
                    remedy="trading has stopped; do not restart the daemon before the disk is well again",
                ) from error
            self.durable = True

    def _write(self, record: bytes) -> None:
        """Overwrite the file and sync it; make it anew where somebody removed or replaced it."""
        if self._descriptor < 0 or not self._in_place():
            descriptor = _make(self.path, record, self._faults)
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = descriptor
            return
        self._faults("before:write")
        _overwrite(self._descriptor, record)
        self._faults("after:write")
        os.fdatasync(self._descriptor)
        self._faults("after:sync")

    def _in_place(self) -> bool:
        """Tell whether the open file is still the one of that name, and of the right size."""
        ours = os.fstat(self._descriptor)
        try:
            there = self.path.lstat()
        except OSError:
            return False
        return os.path.samestat(ours, there) and there.st_size == SIZE

    def _rouse(self) -> None:
        try:
            self.wake()
        except Exception as error:  # noqa: BLE001 - a kill does not fail on telling others of it (control C11)
            self.troubles.append(f"the core was not woken for a kill: {type(error).__name__}: {error}")

    def _await_commit(self, came: float) -> None:
        """Wait for a COMMIT that was running already: it ends, or it is stuck and its frames are refused later."""
        deadline = max(came + COMMIT_WAIT_S, time.monotonic() + COMMIT_WAIT_LEAST_S)
        while time.monotonic() < deadline:
            try:
                if not self.commit_in_flight():
                    return
            except Exception as error:  # noqa: BLE001 - what cannot be asked cannot be waited for (control C11)
                self.troubles.append(f"the ledger could not be asked for its commit: {type(error).__name__}: {error}")
                return
            time.sleep(_PAUSE_S)


def _never() -> bool:
    return False


def _nothing() -> None:
    return None


def _open(path: Path) -> int:
    """Open an existing latch; anything that is no regular file is an error."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return descriptor


def _make(path: Path, record: bytes, faults: Faults) -> int:
    """Make a whole latch under another name and move it into place: it is there completely, or not at all."""
    new = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
        faults("before:make")
        _overwrite(descriptor, record)
        os.fsync(descriptor)
        faults("before:rename")
        new.rename(path)
        faults("after:rename")
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _overwrite(descriptor: int, record: bytes) -> None:
    written = os.pwrite(descriptor, record, 0)
    if written != SIZE:
        raise OSError(f"only {written} of {SIZE} bytes were written")


def _record(reason: str, by: str, at_ns: int) -> bytes:
    """Return the bytes of a kill: a head, three lines, spaces."""
    lines = b"at_ns %d\nby %s\nreason %s\n" % (at_ns, _line(by, BY_BYTES), _line(reason, REASON_BYTES))
    return (_KILLED_HEAD + lines).ljust(SIZE - 1) + b"\n"


def _line(text: str, limit: int) -> bytes:
    clean = "".join(c if c.isprintable() else " " for c in text[:limit])
    return clean.encode("utf-8", "replace")[:limit]


def _fields(content: bytes) -> tuple[int, str, str]:
    """Return wall time, who and why of a kill's record; what cannot be read is left empty."""
    at, by, reason = 0, "", ""
    for line in content.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(" ")
        if name == "at_ns" and value.isascii() and value.isdecimal():
            at = int(value[:19])
        elif name == "by":
            by = value
        elif name == "reason":
            reason = value
    return at, by, reason or "the kill latch was set"
