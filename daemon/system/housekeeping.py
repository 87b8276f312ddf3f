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
