"""The ledger on SQLite: one writer, batches of frames, a hash chain over every row.

Two ways to write the same file. *Durable* (as live): WAL, ``synchronous=FULL``, a commit per batch, so that a
power cut loses at most the batch that nobody was told of. *Fast* (a replay's run folder, worthless until it is
complete): no rollback journal, no fsync before the end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, cast

import msgspec

from daemon.journal.journal import Manifest, StoredFrame
from daemon.journal.rows import (
    QUARANTINE,
    chain_start,
    decode_causes,
    encode_causes,
    frame_hash,
    quarantine_row,
)
from daemon.journal.schema import APPLICATION_ID, PAGE_SIZE, SCHEMA, migrate
from daemon.kernel.actor import Frame
from daemon.kernel.codec import Codec
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Event, Market
from daemon.kernel.poison import PoisonRecord

__all__ = [
    "APPLICATION_ID",
    "SCHEMA",
    "SqliteJournal",
    "chain_start",
    "decode_causes",
    "encode_causes",
    "frame_hash",
    "open_readonly",
    "read_frames",
]

BATCH: Final = 500

_INSERT: Final = (
    "INSERT INTO frame (seq, ts, ts_event, source, input, n, body, causes, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_AT_ONCE: Final = 100
"""Rows of one statement: a fifth cheaper than as many statements. An old SQLite binds no more than 999 values."""
_INSERT_MANY: Final = _INSERT + ", (?, ?, ?, ?, ?, ?, ?, ?, ?)" * (_AT_ONCE - 1)
_Row = tuple[int, int, int, str, bytes | None, int, bytes, bytes, bytes]


class SqliteJournal:
    """Writes one run's frames to a new ledger file."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        codec: Codec,
        *,
        durable: bool,
        batch: int = BATCH,
        on_commit: Callable[[], object] | None = None,
    ) -> None:
        """Create the file.

        Args:
            path: must not exist.
            manifest: of the run.
            codec: to encode inputs.
            durable: see the module.
            batch: frames per commit.
            on_commit: called after each commit: what waited for it may leave now.

        Raises:
            OperatorError: the file exists or cannot be created.
        """
        if path.exists():
            message = f"the ledger {path} exists already"
            raise OperatorError(message, code="LEDGER_EXISTS", remedy="name another folder or remove it")
        self.path = path
        self._codec = codec
        self._batch = batch
        self._rows: list[_Row] = []
        self._frames = 0
        self._durable = durable
        self._on_commit = on_commit
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            message = f"the ledger {path} cannot be created: {error}"
            raise OperatorError(message, code="LEDGER_UNWRITABLE", remedy="choose a writable folder") from error
        self._db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        if durable:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        else:
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
        encoded = msgspec.json.encode(manifest)
        columns = (manifest.run_id, manifest.version, manifest.mode, manifest.seed, manifest.config_digest, encoded)
        self._chain = chain_start(*columns)
        self._db.execute("BEGIN IMMEDIATE")
        migrate(self._db, 0)
        self._db.execute(
            "INSERT INTO run (id, run_id, version, mode, seed, config_digest, manifest, status, event_digest, frames,"
            " chain, chain_start, first_seq) VALUES (1, ?, ?, ?, ?, ?, ?, 'running', '', 0, ?, ?, 1)",
            (*columns, self._chain, self._chain),
        )
        self._db.execute("COMMIT")

    def append(self, frame: Frame) -> None:
        """Queue one frame; a full batch is committed at once."""
        envelope = frame.envelope
        body = envelope.body
        data = None if isinstance(body, Market) else self._codec.encode(body)
        causes = encode_causes(frame.causes)
        self._chain = chain = frame_hash(
            self._chain,
            envelope.seq,
            envelope.ts_init,
            envelope.ts_event,
            envelope.source,
            data,
            frame.body,
            causes,
        )
        row = (
            envelope.seq,
            envelope.ts_init,
            envelope.ts_event,
            envelope.source,
            data,
            len(frame.events),
            frame.body,
            causes,
            chain,
        )
        self._rows.append(row)
        if len(self._rows) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Commit what is queued, in one transaction."""
        if not self._rows:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._insert(self._rows)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._frames += len(self._rows)
        self._rows.clear()
        if self._on_commit is not None:
            self._on_commit()

    def _insert(self, rows: list[_Row]) -> None:
        whole = len(rows) - len(rows) % _AT_ONCE
        for first in range(0, whole, _AT_ONCE):
            self._db.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[first : first + _AT_ONCE])))
        self._db.executemany(_INSERT, rows[whole:])

    def quarantine(self, record: PoisonRecord) -> None:
        """Keep a poisoned input with its traceback for people."""
        self._db.execute(QUARANTINE, quarantine_row(record, self._codec))

    def frames(self) -> Iterator[StoredFrame]:
        """Read everything back, committed or queued."""
        self.flush()
        yield from read_frames(self._db, self._codec)

    def close(self, status: str, digest: str) -> None:
        """Seal the run, fold the WAL into the one file, fsync it and let go."""
        self.flush()
        self._db.execute(
            "UPDATE run SET status = ?, event_digest = ?, frames = ?, chain = ? WHERE id = 1",
            (status, digest, self._frames, self._chain),
        )
        if self._durable:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()
        with self.path.open("rb") as handle:
            os.fsync(handle.fileno())

    def abandon(self) -> None:
        """Close without sealing; the file stays as evidence of an unfinished run."""
        self._db.close()


def read_frames(db: sqlite3.Connection, codec: Codec) -> Iterator[StoredFrame]:
    """Decode all frames of an open ledger in order of seq."""
    rows = db.execute("SELECT seq, ts, ts_event, source, input, n, body, causes FROM frame ORDER BY seq")
    for seq, ts, ts_event, source, data, n, body, causes in rows:
        yield StoredFrame(
            seq=seq,
            ts=ts,
            ts_event=ts_event,
            source=source,
            input=None if data is None else codec.decode(data),
            events=cast("list[Event]", codec.decode_many(body)),  # bodies hold events only
            causes=decode_causes(causes, n),
        )


def _is_tar(path: Path) -> bool:
    """Tell a tar by what stands in the header of its first member, pax(1)."""
    try:
        with path.open("rb") as file:
            return file.read(262)[257:] == b"ustar"
    except OSError:
        return False


def open_readonly(path: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """Open a ledger for reading only.

    Args:
        path: of the ledger.
        any_thread: it may be used on another thread, one at a time.

    Raises:
        OperatorError: there is none, it is no ledger of ours, or its schema is newer than this program.
    """
    if not path.is_file():
        message = f"there is no ledger at {path}"
        raise OperatorError(message, code="NO_LEDGER", remedy="name a run folder or a ledger.db")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=not any_thread)
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        if _is_tar(path):
            raise OperatorError(
                f"{path} is no ledger but a tar, as backups are",
                code="BAD_LEDGER",
                remedy="put it into a folder, tradingd restore FILE --set paths.state_dir=FOLDER, and name that",
            ) from error
        message = f"{path} cannot be read as a ledger: {error}"
        raise OperatorError(message, code="BAD_LEDGER", remedy="restore it from a backup") from error
    if application != APPLICATION_ID:
        db.close()
        message = f"{path} is a database, but not a ledger of tradingd"
        raise OperatorError(message, code="FOREIGN_LEDGER", remedy="name a run folder or a ledger.db")
    if version > SCHEMA:
        db.close()
        message = f"{path} has schema {version}, newer than the {SCHEMA} of this program"
        raise OperatorError(message, code="NEWER_LEDGER", remedy="upgrade tradingd")
    return db
