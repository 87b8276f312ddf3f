"""Folders that appear complete or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from daemon.kernel.errors import OperatorError

MARKER: Final = "run.json"
"""Lists what a run wrote; a folder that holds nothing else may be replaced by another run."""
SCHEMA: Final = "tradingd.run/"
_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


class _Marker(msgspec.Struct):
    schema: str
    files: dict[str, str]


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    An older run folder at ``target`` is replaced at the last moment; anything else there is left alone. What a run
    that was killed left beside ``target`` is cleared away.

    Raises:
        OperatorError: ``target`` is something other than a run folder, or it cannot be written.
    """
    try:
        target = target.absolute()
    except FileNotFoundError:
        raise _unwritable(target, "the folder you are in is no more") from None
    _check_target(target)
    target = target.resolve()  # a link to a run folder stays, and its run is replaced
    staging, old = _beside(target, "partial"), _beside(target, "old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(target)
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir()
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error)) from error
    try:
        yield staging
        _publish(staging, target, old)
    except sqlite3.OperationalError as error:
        raise _unwritable(target, str(error)) from error
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise _unwritable(target, error.strerror or str(error)) from error
    finally:
        for leftover in (staging, old):
            if leftover.exists():
                shutil.rmtree(leftover)


def _unwritable(target: Path, reason: str) -> OperatorError:
    return OperatorError(
        f"the run folder {target} cannot be written: {reason}",
        code="OUT_UNWRITABLE",
        remedy="make room, or name another with --out",
    )


def _check_target(target: Path) -> None:
    if not target.exists() and not target.is_symlink():
        return
    remedy = "name another with --out, or remove it"
    if not target.is_dir():
        raise OperatorError(f"{target} exists and is not a run folder", code="OUT_EXISTS", remedy=remedy)
    if target.samefile(".") or target.is_mount():
        what = "a file system's root" if target.is_mount() else "the folder you are in"
        raise OperatorError(
            f"{target} is {what}, which cannot be replaced", code="OUT_EXISTS", remedy="name a folder inside it"
        )
    foreign = _foreign(target)
    if foreign:
        raise OperatorError(f"{target} exists and is not a run folder: {foreign}", code="OUT_EXISTS", remedy=remedy)


def _foreign(folder: Path) -> str:
    """Tell what in a folder no run has written; "" where there is nothing, so that nothing of anybody's is lost."""
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    if not found:
        return ""
    try:
        marker = msgspec.json.decode((folder / MARKER).read_bytes(), type=_Marker)
    except FileNotFoundError:
        return f"it has no {MARKER}"
    except (OSError, msgspec.DecodeError, ValueError, RecursionError):  # bad UTF-8 is a ValueError
        return f"its {MARKER} is none of a run"
    if not marker.schema.startswith(SCHEMA):
        return f"its {MARKER} is none of a run"
    other = [name for name in found if name != MARKER and name not in marker.files]
    return f"{other[0]} is none of the run's files" if other else ""


def _host() -> str:
    """Return a short name of this machine: a process id says nothing of another one's."""
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"


def _beside(target: Path, kind: str) -> Path:
    return target.parent / f".{target.name}.{_host()}.{os.getpid()}.{kind}"


def _clear_leftovers(target: Path) -> None:
    """Remove what processes of this machine that are no more left beside ``target``; put back a run they took away."""
    prefix = f".{target.name}.{_host()}."
    for path in sorted(target.parent.iterdir()):
        pid, _, kind = path.name.removeprefix(prefix).partition(".")
        if not path.name.startswith(prefix) or kind not in ("partial", "old") or not pid.isdigit() or _lives(int(pid)):
            continue
        if kind == "old" and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True


def _publish(staging: Path, target: Path, old: Path) -> None:
    for path in staging.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    _check_target(target)
    try:
        if target.exists():
            target.rename(old)
        staging.rename(target)
    except BaseException:  # an interrupt between the two must not lose the older run
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
