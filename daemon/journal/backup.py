"""A backup: one file that holds a ledger as it stood behind one commit, its tapes up to there, and the kill latch.

``tradingd-backup-YYYYMMDDTHHMMSSmmmZ-SEQ.tar`` in the folder that was asked for. It is put together in a hidden folder
beside it, checked as a start would check it, synced, read back, and only then given its name: what is there under that
name is whole, whenever the process was killed. The daemon may run meanwhile; SQLite copies what is committed.

The archive is not in it: its files never change, and the manifest names those that the ledger speaks of.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import msgspec

from daemon.journal.archive import make_folder, publish
from daemon.journal.backup_file import LATCH, SCHEMA, Manifest, Member, latch_state, pack, read_backup
from daemon.journal.batch import NO_FAULTS, Faults
from daemon.journal.check import (
    Check,
    check_integrity,
    check_replies,
    check_sealed,
    check_snapshots,
    read_runs,
    walk_chain,
)
from daemon.journal.committer import LEDGER, TAPE
from daemon.journal.rows import TapeMark, schema_version
from daemon.journal.sqlite import open_readonly
from daemon.journal.tape_format import TapeError, TapeReader, tape_days, tape_path
from daemon.kernel.errors import OperatorError

PREFIX: Final = "tradingd-backup-"
SUFFIX: Final = ".tar"
SITES: Final = ("backup.copy", "backup.check", "backup.pack", "backup.fsync", "backup.rename")
"""Steps, each with a ``before`` and an ``after``, for :data:`daemon.journal.batch.Faults`."""
SCHEMA_LIVE: Final = 2
_WORK: Final = f".{PREFIX}"


class Backup(msgspec.Struct, frozen=True):
    """A backup that was written: where, how large, its digest, and what it says of itself."""

    schema: str
    path: str
    bytes: int
    sha256: str
    manifest: Manifest


class LedgerState(msgspec.Struct, frozen=True):
    """A ledger file that verified: how far it goes."""

    generation: str
    run_id: str
    status: str
    seq: int
    ts: int
    frames: int
    event_digest: str
    chain: str
    tape: TapeMark | None
    archived: tuple[str, ...]


# -- writing -----------------------------------------------------------------------------------------------------------


def back_up(state_dir: Path, folder: Path, *, version: str = "", faults: Faults = NO_FAULTS) -> Backup:
    """Write a backup of a state directory; its daemon may run, this process may be it.

    Args:
        state_dir: of the daemon.
        folder: where to; made where it is missing.
        version: of this program, for the manifest.
        faults: for tests, see :data:`SITES`.

    Raises:
        OperatorError: there is no ledger, or ledger or tape do not verify: a backup of them would help nobody.
        OSError, sqlite3.Error: it cannot be read or written; nothing was published.
    """
    with closing(open_readonly(state_dir / LEDGER)) as source:
        make_folder(folder)
        _clean(folder)
        with _work_folder(folder) as work:
            copy = work / LEDGER
            faults("before:backup.copy")
            _copy(source, copy)
            faults("after:backup.copy")
            faults("before:backup.check")
            state = check_ledger(copy)
            latch = _read_latch(state_dir)  # behind the ledger: a kill in between is in the backup
            with contextlib.ExitStack() as stack:
                tapes = _open_tapes(state_dir / TAPE, state.tape, stack)
                faults("after:backup.check")
                members: dict[str, IO[bytes]] = {LEDGER: stack.enter_context(copy.open("rb"))}
                if latch is not None:
                    members[LATCH] = BytesIO(latch)
                members |= {f"{TAPE}/{path.name}": file for path, file, _ in tapes}
                sizes = {f"{TAPE}/{path.name}": size for path, _, size in tapes}
                faults("before:backup.pack")
                packed = work / "packed"
                manifest = _manifest(state, version, latch, members, sizes)
                pack(packed, manifest, members)
            read_backup(packed)
            faults("after:backup.pack")
            path = folder / f"{PREFIX}{_compact(manifest.created)}-{state.seq}{SUFFIX}"
            size = packed.stat().st_size
            digest = publish(packed, path, "backup", faults)
    return Backup("tradingd.backup/1", str(path), size, digest, manifest)


def _copy(source: sqlite3.Connection, path: Path) -> None:
    """Copy what is committed into one file without a WAL."""
    with closing(sqlite3.connect(path, isolation_level=None)) as target:
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE").fetchone()


def check_ledger(path: Path) -> LedgerState:
    """Check a ledger file as a whole: pages, chain, event digest, snapshots, replies; return how far it goes.

    Raises:
        OperatorError: naming the first check that fails.
    """
    with closing(open_readonly(path)) as db:
        if schema_version(db) < SCHEMA_LIVE:
            message = f"{path} is the ledger of a replay or of an older version"
            raise OperatorError(
                message, code="OLD_LEDGER", remedy="start the daemon on it once, or copy the run folder"
            )
        integrity = check_integrity(db)
        runs = read_runs(db, manifests=False) if integrity.ok else []
        if not runs:
            raise _does_not_verify(path, integrity if not integrity.ok else Check("sealed", ok=False, detail="no run"))
        walk = walk_chain(db, runs)
        finding = walk.finding
        checks = [
            check_sealed(runs),
            Check("hash_chain", ok=finding is None, detail=finding.detail if finding else ""),
            check_snapshots(db),
            check_replies(db),
        ]
        bad = next((check for check in checks if not check.ok), None)
        if bad is not None:
            raise _does_not_verify(path, bad)
        last = db.execute(
            "SELECT seq, ts, hash, tape_day, tape_pos, tape_crc FROM frame ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        generation = db.execute("SELECT generation FROM ledger").fetchone()
        frames = db.execute("SELECT count(*) FROM frame").fetchone()[0]
    seq, ts, chain = last[:3] if last else (0, 0, b"")
    return LedgerState(
        generation=generation[0].hex() if generation else "",
        run_id=runs[-1].run_id,
        status=runs[-1].status,
        seq=seq,
        ts=ts,
        frames=frames,
        event_digest=(walk.digest or b"").hex(),
        chain=chain.hex(),
        tape=None if last is None or last[3] is None else last[3:],
        archived=tuple(run.archived for run in runs if run.archived is not None),
    )


def _does_not_verify(path: Path, check: Check) -> OperatorError:
    message = f"the copy {path.name} of the ledger does not verify: {check.name}: {check.detail}"
    return OperatorError(message, code="BACKUP_DAMAGED", remedy="run tradingd verify on the ledger it was made from")


def _open_tapes(folder: Path, mark: TapeMark | None, stack: contextlib.ExitStack) -> list[tuple[Path, IO[bytes], int]]:
    """Open the tapes that the ledger's last commit covers, checked, with how much of each it covers.

    Retention may take the oldest away meanwhile; what is open stays readable, and the rest must have no gap.
    """
    found: list[tuple[Path, IO[bytes], int]] = []
    for day in tape_days(folder) if mark is not None else []:
        if mark is None or day > mark[0]:
            break
        path = tape_path(folder, day)
        try:
            with TapeReader(path) as reader:
                last = reader.check(mark[1] if day == mark[0] else None)
            found.append((path, stack.enter_context(path.open("rb")), last.end))
        except FileNotFoundError:
            found.clear()
        except TapeError as error:
            if error.code != "TAPE_MISSING":
                raise
            found.clear()
        else:
            if day == mark[0] and last.crc != mark[2]:
                raise TapeError(
                    path, last.end, "it is not the one that was committed", code="TAPE_DAMAGED", remedy="restore it"
                )
    if mark is not None and (not found or found[-1][0] != tape_path(folder, mark[0])):
        remedy = "restore it from a backup"
        raise TapeError(tape_path(folder, mark[0]), 0, "there is no such file", code="TAPE_MISSING", remedy=remedy)
    return found


def _read_latch(state_dir: Path) -> bytes | None:
    try:
        return (state_dir / LATCH).read_bytes()
    except FileNotFoundError:
        return None


def _manifest(
    state: LedgerState, version: str, latch: bytes | None, members: Mapping[str, IO[bytes]], sizes: Mapping[str, int]
) -> Manifest:
    files = []
    for name, file in members.items():
        size, digest = _digest(file, sizes.get(name))
        files.append(Member(name, size, digest))
    created = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Manifest(
        schema=f"tradingd.backup-manifest/{SCHEMA}",
        created=created,
        version=version,
        latch=latch_state(latch),
        files=tuple(files),
        **msgspec.structs.asdict(state),
    )


def _digest(file: IO[bytes], size: int | None) -> tuple[int, str]:
    """Return length and SHA-256 of a file's first ``size`` bytes, all where None."""
    digest = hashlib.sha256()
    left = -1 if size is None else size
    total = 0
    file.seek(0)
    while left and (chunk := file.read(1 << 20 if left < 0 else min(left, 1 << 20))):
        digest.update(chunk)
        total += len(chunk)
        left -= len(chunk) if left > 0 else 0
    return total, digest.hexdigest()


def _compact(moment: str) -> str:
    return moment.replace("-", "").replace(":", "").replace(".", "")


# -- the hidden folder -------------------------------------------------------------------------------------------------


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """Make a hidden folder, locked for as long as this process works in it, and remove it at the end."""
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=folder))
    fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield work
    finally:
        shutil.rmtree(work)
        os.close(fd)


def _clean(folder: Path) -> None:
    """Remove what backups that were killed left: hidden folders that no process holds."""
    for work in folder.glob(f"{_WORK}*"):
        try:
            fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # the one who worked there has just ended
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work)
        except BlockingIOError:
            continue  # somebody works there
        finally:
            os.close(fd)
