"""Disks that fail: a preloaded library under a whole daemon, limits of file size, small file systems."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.journal.test_storage_faults import Op, read_log

SOURCE: Final = Path(__file__).resolve().parent.parent / "journal" / "faulty_disk.c"


def build_disk(folder: Path) -> Path:
    """Build the library that fails on demand (see its source); skip where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: a failing disk cannot be built")
    library = folder / "faulty_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class FaultyDisk:
    """The environment of a daemon whose state folder lies on a failing disk."""

    def __init__(self, library: Path, state: Path) -> None:
        """Fail below ``state``."""
        self._library = library
        self._state = state
        self.log = state.parent / "calls"
        self.trigger = state.parent / "fail"

    def env(self, *, arm: int = 0, error: int | None = None, only: str = "") -> dict[str, str]:
        """Return the variables for one life.

        Args:
            arm: let the so manieth write or sync from the first one on fail; 0: :meth:`fail` says when.
            error: with this error number; EIO by default.
            only: count only files whose path in the state folder begins so.
        """
        found = {"LD_PRELOAD": str(self._library), "FAULT_DIR": str(self._state), "FAULT_TRIGGER": str(self.trigger)}
        self.log.unlink(missing_ok=True)
        self.trigger.unlink(missing_ok=True)
        if arm:
            found["FAULT_ARM"] = str(arm)
        if error is not None:
            found["FAULT_ERRNO"] = str(error)
        if only:
            found["FAULT_ONLY"] = only
        return found | {"FAULT_LOG": str(self.log)}

    def fail(self, nth: int) -> None:
        """Let the n-th write or sync from now on fail."""
        temporary = self.trigger.with_suffix(".tmp")
        temporary.write_text(str(nth), "ascii")
        temporary.replace(self.trigger)

    def failed(self) -> str:
        """Return the name of the file whose call failed; "" where none did."""
        return next((op.path for op in self.calls() if op.kind == "F"), "")

    def calls(self) -> Iterator[Op]:
        """Return what the disk was asked in the last life."""
        return read_log(self.log) if self.log.exists() else iter(())

    def after_failure(self) -> list[Op]:
        """Return what was written or synced of ledger and tape behind the call that failed; cut back it may be."""
        found, failed = [], False
        for op in self.calls():
            if failed and op.kind in "WS" and (op.path.startswith("tape/") or op.path.startswith("ledger.db")):
                found.append(op)
            failed = failed or op.kind == "F"
        return found


def limit_files(pid: int, size: int | None) -> None:
    """Let a running process write files up to a size only; None lifts the limit again."""
    bound = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (bound, resource.RLIM_INFINITY))


@contextmanager
def small_file_system(folder: Path, megabytes: int) -> Iterator[Path]:
    """Give a folder on a file system of its own that holds so much; skip where nobody may mount one."""
    folder.mkdir()
    options = f"size={megabytes}m,mode=0700"
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() or mount is None or umount is None:
        pytest.skip("no right to mount a small file system")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)
