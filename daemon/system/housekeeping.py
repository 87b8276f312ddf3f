"""Room on the disk: watched, and some of it kept in reserve. What follows from too little of it is the shell's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

MEGABYTE: Final = 1_000_000
RESERVE: Final = "reserve"
RESERVE_SHARE: Final = 4
"""The reserve takes at most one part in so many of what is free."""


class DiskState(msgspec.Struct, frozen=True):
    """Room on the file system of the state folder."""

    free_mb: int
    low: bool
    sentence: str = ""


class Disk:
    """Watches the room and keeps a reserve that can be given up when a halt must still be written."""

    def __init__(self, state_dir: Path, *, halt_mb: int, reserve_mb: int) -> None:
        """Watch the file system of ``state_dir``."""
        self._dir = state_dir
        self._halt_mb = halt_mb
        self._reserve_mb = reserve_mb
        self._path = state_dir / RESERVE

    def prepare(self) -> bool:
        """Allocate the reserve where there is plenty of room; return whether there is one now."""
        size = self._reserve_mb * MEGABYTE
        if not size or self._allocated() >= size:
            return bool(size)
        if self._free() < RESERVE_SHARE * size:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except OSError:
            # Without room, or on a file system that allocates nothing, the halt level alone protects.
            self.release()
            return False
        return True

    def _allocated(self) -> int:
        try:
            return self._path.lstat().st_blocks * 512
        except OSError:
            return 0

    def release(self) -> bool:
        """Give the reserve up; return whether there was one."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def look(self) -> DiskState:
        """Return how much room there is; a reserve that was given up is taken again once there is plenty."""
        self.prepare()
        free = self._free() // MEGABYTE
        if self._halt_mb and free < self._halt_mb:
            sentence = (
                f"the disk of {self._dir.name} has {free:,} MB left, less than the {self._halt_mb:,} MB to trade on"
            )
            return DiskState(free, low=True, sentence=sentence)
        return DiskState(free, low=False)

    def _free(self) -> int:
        room = os.statvfs(self._dir)
        return room.f_bavail * room.f_frsize


class WalWatch:
    """Tells, once each time, that a reader keeps the ledger's WAL from being folded in and it grows on that account."""

    def __init__(self, max_mb: int) -> None:
        """Tell beyond ``max_mb`` megabytes."""
        self._max_mb = max_mb
        self._told = False

    def look(self, wal_bytes: int, blocked_since_ns: int) -> str:
        """Return the sentence to tell now, or "".

        Args:
            wal_bytes: size of the file.
            blocked_since_ns: since when it could not be folded in whole, 0 where it could (``LedgerGauges``).
        """
        size = wal_bytes // MEGABYTE
        if not blocked_since_ns or size < self._max_mb:
            self._told = self._told and bool(blocked_since_ns)
            return ""
        if self._told:
            return ""
        self._told = True
        return f"the ledger's WAL has {size:,} MB and grows: a program that reads the ledger does not let go; end it"


class FeedWatch:
    """Notices a feed that owes data and stays silent, and says so once each time.

    Attributes:
        stale: it has been silent for longer than is allowed.
    """

    def __init__(self, name: str, *, staleness_ms: int) -> None:
        """Allow so much silence; 0 for any."""
        self._name = name
        self._allowed_s = staleness_ms / 1000
        self.stale = False

    def look(self, silent_s: float) -> str:
        """Return the sentence to tell now, or ""; ``silent_s`` is for how long data have been owed."""
        was, self.stale = self.stale, bool(self._allowed_s) and silent_s > self._allowed_s
        if was or not self.stale:
            return ""
        return f"the feed {self._name} owes data and has been silent for {silent_s:.1f} s"
