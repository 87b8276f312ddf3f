"""Restore: a backup takes the place of a state directory, all of it or, until the last step, in a state that is killed.

What was there moves aside and stays. While files change places the kill latch says killed, so that a daemon which is
started between two steps trades nothing; what it finds is the old ledger, the new one, or one it refuses. Doing it
again ends what was interrupted. A directory that was killed stays killed, whatever the backup says: unlatching takes a
person and a running daemon.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from daemon.journal.archive import ARCHIVE, sync_folder
from daemon.journal.backup import check_ledger
from daemon.journal.backup_file import LATCH, Manifest, latch_state, read_backup
from daemon.journal.batch import NO_FAULTS, Faults
from daemon.journal.committer import LEDGER, TAPE
from daemon.journal.head import HEAD
from daemon.journal.lock import InstanceLock
from daemon.journal.recovery import RESTORING
from daemon.journal.tape_format import TapeReader, tape_days, tape_path
from daemon.kernel.errors import OperatorError

SITES: Final = ("restore.aside", "restore.latch", "restore.clear", "restore.tape", "restore.ledger", "restore.done")
"""Steps, each with a ``before`` and an ``after``, for :data:`daemon.journal.batch.Faults`."""
VIEWS: Final = "views.db"
_SIDECARS: Final = (f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal", HEAD)
"""What belongs to the ledger that goes: beside another one it would damage it, or have it refused."""
_DERIVED: Final = (VIEWS, f"{VIEWS}-wal", f"{VIEWS}-shm")
"""Made anew from whatever ledger there is."""
_STAGE: Final = ".restore-"
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV)


class Restored(msgspec.Struct, frozen=True):
    """What a restore did.

    Attributes:
        schema: of this description.
        backup: file it was read from.
        state_dir: what it was restored to.
        aside: folder that holds what was there before, or "".
        removed: names of files beside the old ledger that must not stand beside the new one.
        tapes: trading days restored.
        latch: ``clear``, ``killed`` or ``missing`` (killed, too), as a start will find it.
        kept_killed: the directory was killed and stays so although the backup was not.
        manifest: of the backup.
        archive_missing: files of the archive that the ledger speaks of and ``state_dir`` has not: no backup holds them.
    """

    schema: str
    backup: str
    state_dir: str
    aside: str
    removed: tuple[str, ...]
    tapes: tuple[int, ...]
    latch: str
    kept_killed: bool
    manifest: Manifest
    archive_missing: tuple[str, ...] = ()


def restore(backup: Path, state_dir: Path, *, faults: Faults = NO_FAULTS) -> Restored:
    """Put a backup in the place of a state directory.

    Args:
        backup: a file that :func:`daemon.journal.backup.back_up` wrote.
        state_dir: of a daemon that does not run; made where it is missing.
        faults: for tests, see :data:`SITES`.

    Raises:
        LedgerRefusedError: a daemon runs on it (``LOCKED``).
        OperatorError: the backup is not whole, or what is in it does not verify; nothing was changed.
        OSError: files could not be moved; the directory is killed until it is done again.
    """
    if not backup.is_file():
        raise OperatorError(
            f"there is no file {backup}", code="NO_BACKUP", remedy="name a file that tradingd backup wrote"
        )
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with InstanceLock(state_dir):
        for left in state_dir.glob(f"{_STAGE}*"):
            shutil.rmtree(left)
        stage = Path(tempfile.mkdtemp(prefix=_STAGE, dir=state_dir))
        try:
            manifest = read_backup(backup, stage)
            _check(backup, stage, manifest)
            with _undisturbed():
                return _put(backup, stage, state_dir, manifest, faults)
        finally:
            shutil.rmtree(stage)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a wish to stop wait for the milliseconds in which files change places."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check(backup: Path, stage: Path, manifest: Manifest) -> None:
    """Check what was unpacked as a start would, and against what the backup says of itself."""
    state = check_ledger(stage / LEDGER)
    if any(getattr(state, name) != getattr(manifest, name) for name in ("seq", "event_digest", "chain", "generation")):
        message = f"the ledger in {backup} is not the one its manifest describes"
        raise OperatorError(message, code="BAD_BACKUP", remedy="take another one")
    if state.tape is not None:
        with TapeReader(tape_path(stage / TAPE, state.tape[0])) as reader:
            end = reader.check(state.tape[1])
        if end.crc != state.tape[2]:
            message = f"the tape in {backup} is not the one its ledger was written with"
            raise OperatorError(message, code="BAD_BACKUP", remedy="take another one")


def _put(backup: Path, stage: Path, state_dir: Path, manifest: Manifest, faults: Faults) -> Restored:
    latch = state_dir / LATCH
    wanted = (stage / LATCH).read_bytes() if (stage / LATCH).exists() else None
    before = latch.read_bytes() if latch.exists() else None
    interrupted = before == RESTORING
    known = before is not None or (state_dir / LEDGER).exists()  # a ledger without a latch is killed, too
    kept = known and not interrupted and latch_state(before) != "clear"
    faults("before:restore.aside")
    aside = _set_aside(state_dir, latch=not interrupted)
    faults("after:restore.aside")
    faults("before:restore.latch")
    if not kept:
        _replace(latch, RESTORING)
    faults("after:restore.latch")
    faults("before:restore.clear")
    removed = _clear(state_dir)
    faults("after:restore.clear")
    faults("before:restore.tape")
    tapes = _put_tapes(stage / TAPE, state_dir / TAPE)
    faults("after:restore.tape")
    faults("before:restore.ledger")
    (stage / LEDGER).replace(state_dir / LEDGER)
    sync_folder(state_dir)
    faults("after:restore.ledger")
    faults("before:restore.done")
    if not kept:
        if wanted is None:
            latch.unlink()
            sync_folder(state_dir)
        else:
            _replace(latch, wanted)
    faults("after:restore.done")
    names = (archived.partition(" ")[0] for archived in manifest.archived)  # each with its digest
    return Restored(
        schema="tradingd.restore/1",
        backup=str(backup),
        state_dir=str(state_dir),
        aside="" if aside is None else str(aside),
        removed=removed,
        tapes=tapes,
        latch=latch_state(before if kept else wanted),
        kept_killed=kept and latch_state(wanted) == "clear",
        manifest=manifest,
        archive_missing=tuple(name for name in names if not (state_dir / ARCHIVE / name).is_file()),
    )


def _set_aside(state_dir: Path, *, latch: bool) -> Path | None:
    """Give everything that will be replaced a second name in a folder of its own; return it, None where nothing is."""
    names = [LEDGER, *_SIDECARS, *([LATCH] if latch else [])]
    found = [state_dir / name for name in names if (state_dir / name).exists()]
    found += [tape_path(state_dir / TAPE, day) for day in tape_days(state_dir / TAPE)]
    if not any(path.name != LATCH for path in found):
        return None
    moment = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = state_dir / f"replaced-{moment}"
    (aside / TAPE).mkdir(parents=True, mode=0o700)
    for path in found:
        target = aside / path.relative_to(state_dir)
        try:
            os.link(path, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copy2(path, target)
    for folder in (aside / TAPE, aside, state_dir):
        sync_folder(folder)
    return aside


def _clear(state_dir: Path) -> tuple[str, ...]:
    """Remove what must not stand beside another ledger; its second name stays."""
    removed = []
    for name in (*_SIDECARS, *_DERIVED):
        try:
            (state_dir / name).unlink()
        except FileNotFoundError:
            continue
        removed.append(name)
    sync_folder(state_dir)
    return tuple(removed)


def _put_tapes(stage: Path, folder: Path) -> tuple[int, ...]:
    folder.mkdir(exist_ok=True, mode=0o700)
    for day in tape_days(folder):
        tape_path(folder, day).unlink()
    days = tuple(tape_days(stage))
    for day in days:
        tape_path(stage, day).replace(tape_path(folder, day))
    sync_folder(folder)
    return days


def _replace(path: Path, content: bytes) -> None:
    """Put a small file in the place of another, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.touch(mode=0o600)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
