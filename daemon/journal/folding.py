"""Folding the WAL into the main file, between commits and on the writer's own connection; and the head beside it.

A long reader can keep the WAL from being folded in whole: it grows on, and ``blocked_since`` says so.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Final

from daemon.journal.connection import BUSY, LedgerConnection, broken
from daemon.journal.head import Head, HeadFile, read_head, read_wal_salt
from daemon.journal.schema import PAGE_SIZE

FOLD_BYTES: Final = 8 << 20
"""The WAL is folded in once about so much was written to it."""
RETRY_BYTES: Final = 1 << 20
"""... and again after so much more where a reader was in the way."""
_COMMIT_BYTES: Final = 6 * PAGE_SIZE  # pages a commit touches whatever it holds: leaves, indices


class Folding:
    """See the module.

    Attributes:
        blocked_since: monotonic nanoseconds since when the WAL could not be folded in whole; 0 where it could.
    """

    def __init__(self, connection: LedgerConnection) -> None:
        """Work on a connection; :meth:`open` comes first."""
        self.blocked_since = 0
        self._connection = connection
        self._generation = b""
        self._epoch = 0
        self._folded = 0
        self._salt = b""
        self._bytes = 0
        self._limit = FOLD_BYTES
        self._file: HeadFile | None = None
        self._run, self._seq, self._hash = 0, 0, b""

    def identify(self) -> None:
        """Read which ledger this is, or make it one; within the caller's transaction."""
        db = self._connection.db
        row = db.execute("SELECT generation, epoch FROM ledger").fetchone()
        if row is None:
            row = (os.urandom(16), 0)
            db.execute("INSERT INTO ledger (id, generation, epoch) VALUES (1, ?, ?)", row)
        self._generation, self._epoch = row

    def open(self, run: int, seq: int, chain: bytes) -> None:
        """Write the head for the first time, once the run is committed.

        Raises:
            OSError: it cannot be written.
        """
        state_dir = self._connection.path.parent
        known, _ = read_head(state_dir)
        if known is not None and known.generation == self._generation:
            self._folded = known.epoch
        self._file = HeadFile(state_dir)
        self._run = run
        self.reached(seq, chain)

    def reached(self, seq: int, chain: bytes) -> None:
        """Say in the head that a frame is durable.

        Raises:
            OSError: it cannot be written.
        """
        self._seq, self._hash = seq, chain
        self._write(sync=False)

    def run_began(self, run: int) -> None:
        """Say in the head that another run has begun behind the same frame.

        Raises:
            OSError: it cannot be written.
        """
        self._run = run
        self._write(sync=False)

    def _write(self, *, sync: bool) -> None:
        if self._file is None:
            return
        if not self._salt:
            self._salt = read_wal_salt(self._connection.wal)
        head = Head(self._generation, self._folded, self._run, self._seq, self._hash, self._salt)
        self._file.write(head, sync=sync)

    def wrote(self, size: int) -> None:
        """Count what a commit is about to add to the WAL, bytes."""
        self._bytes += _COMMIT_BYTES + size

    @property
    def is_due(self) -> bool:
        """Whether enough was written for the WAL to be folded in."""
        return self._bytes >= self._limit

    def fold(self, mode: str = "RESTART") -> None:
        """Fold the WAL in as far as readers let it.

        The epoch goes first, so that the main file says how far it was brought. A failure breaks the ledger for the
        next commit; what was committed is safe in the WAL. Want of room is tried again later.

        Args:
            mode: of SQLite's ``wal_checkpoint``; ``TRUNCATE`` at the end.
        """
        connection = self._connection
        if connection.broken is not None:
            return
        db = connection.db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE ledger SET epoch = ?", (self._epoch + 1,))
            db.execute("COMMIT")
            self._epoch += 1
            busy, there, done = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            if not busy and done == there:
                self._bytes, self._limit, self.blocked_since = 0, FOLD_BYTES, 0
                self._folded = self._epoch
                self._salt = b""
                self._write(sync=True)
                self._salt = b""  # the next commit begins the WAL anew
                return
        except (sqlite3.Error, OSError) as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in BUSY and not connection.is_no_room(error):
                connection.broken = broken(error)
        finally:
            connection.measure()
        self._limit = self._bytes + RETRY_BYTES
        self.blocked_since = self.blocked_since or time.monotonic_ns()

    def close(self) -> None:
        """Let go of the head."""
        if self._file is not None:
            self._file.close()
            self._file = None
