"""Start-up looks at the ledger before anybody trusts it: every refusal with a reason of its own, nothing repaired.

Order: is there one, and must there be one; which program's and version's; does the WAL belong to it; pages; chain; how
far it went when it was last written; the tape up to there. Only then is the tape's tail behind the last commit cut off,
and an older version's tables are brought forward.

Must not run while this process has the ledger open otherwise: looking at the main file alone lets go of POSIX locks.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from daemon.journal.check import Finding, snapshot_seqs, walk_chain
from daemon.journal.committer import TAPE
from daemon.journal.connection import LEDGER
from daemon.journal.failures import LedgerRefusedError
from daemon.journal.head import HEAD, Head, read_head, read_wal_salt
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import OpenedLedger, RecordedInput, read_only
from daemon.journal.rows import read_runs, schema_version
from daemon.journal.schema import APPLICATION_ID, SCHEMA, migrate
from daemon.journal.tape import TapeWriter
from daemon.journal.tape_format import TapeError, tape_days
from daemon.journal.version import check_sqlite
from daemon.kernel.codec import Codec

__all__ = ["LedgerRefusedError", "OpenedLedger", "RecordedInput", "open_ledger"]

LATCH: Final = "kill.latch"
RESTORING: Final = b"KILLED tradingd: a restore was interrupted; run tradingd restore again\n"
"""What a restore writes to the latch while files change places."""
CHECKED_ROWS: Final = 200_000
"""At most so many rows have their chain recomputed by a start (less than a second); the rest is left to the
background."""
CHECKED_LEAST: Final = 20_000
"""At least so many, and all behind the oldest snapshot: what a start may fold from."""
CHECKED_BYTES: Final = 256 << 20
"""A file up to this size has every page checked at the start (a quarter of a second)."""
_RESTORE: Final = "restore a backup of the state directory"
_MAGIC: Final = b"SQLite format 3\0"
_ANSWERS: Final = 3
_NO_ACCESS: Final = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


def open_ledger(state_dir: Path, codec: Codec, market: MarketCodec) -> OpenedLedger:
    """Look at the ledger of a state directory that an :class:`daemon.journal.lock.InstanceLock` holds.

    Args:
        state_dir: of the daemon.
        codec: of commands and events.
        market: of market data.

    Raises:
        LedgerRefusedError: it is not what it should be; see :data:`daemon.journal.failures.EXIT_CODES`.
        ConfigError: SQLite is too old. (What it says of a newer one the caller logs, see ``check_sqlite``.)
    """
    check_sqlite()
    notices: list[str] = []
    look = _Look(state_dir, notices)
    try:
        if look.is_fresh():
            return OpenedLedger(state_dir, codec, market, None, notices=notices)
        db = look.open()
        try:
            unchecked = look.check(db)
            if schema_version(db) < SCHEMA:
                db.close()
                look.migrate()
                db = read_only(look.path)
            opened = OpenedLedger(state_dir, codec, market, db, notices=notices, unchecked_before=unchecked)
            look.check_tape(opened, market)
        except BaseException:
            db.close()
            raise
    except OSError as error:
        raise look.unreadable(error.strerror or str(error)) from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_ACCESS:
            raise look.unreadable(str(error)) from error
        raise look.damaged(str(error)) from error
    return opened


def _checked_behind(db: sqlite3.Connection) -> int:
    """Return the input behind which a start checks the chain; 0 for all of it."""

    def newest(rows: int) -> int:
        row = db.execute("SELECT seq FROM frame ORDER BY seq DESC LIMIT 1 OFFSET ?", (rows,)).fetchone()
        return 0 if row is None else int(row[0])

    oldest = min(snapshot_seqs(db), default=0) if schema_version(db) > 1 else 0
    return max(newest(CHECKED_ROWS), min(oldest, newest(CHECKED_LEAST)))


class _Look:
    """One look at a state directory."""

    def __init__(self, state_dir: Path, notices: list[str]) -> None:
        self.dir = state_dir
        self.path = state_dir / LEDGER
        self.wal = state_dir / f"{LEDGER}-wal"
        self.notices = notices
        self.head: Head | None = None
        self.salt = b""
        self.main: tuple[bytes, int] | None = None
        self.main_whole: bool | None = None

    # -- is there one ------------------------------------------------------------------------------------------------

    def is_fresh(self) -> bool:
        """Tell whether there is no ledger and none is expected."""
        if not os.access(self.dir, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, f"no access to {self.dir}")
        self.head, has_head = read_head(self.dir)
        if has_head and self.head is None:
            self.notices.append(f"{self.dir / HEAD} is damaged: a lost end of the ledger would not be noticed")
        self.salt = read_wal_salt(self.wal)
        try:
            header = self._header()
        except FileNotFoundError:
            header = b""
        if header:
            self._check_header(header)
            if self._has_tables():
                return False
        what = "is empty" if self.path.exists() else "is missing"
        why = self._expected(has_head, started=bool(header))
        if why:
            raise LedgerRefusedError(
                f"the ledger {self.path} {what}, but {why}",
                reason="EMPTY_LEDGER",
                remedy=f"{_RESTORE}, or name a new one; a daemon that starts anew forgets its positions",
            )
        return True

    def _header(self) -> bytes:
        # Opened for writing, so that a ledger that may only be read is refused here and not at the first commit.
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return os.pread(fd, 100, 0)
        finally:
            os.close(fd)

    def _check_header(self, header: bytes) -> None:
        if header[:16] != _MAGIC:
            raise self.damaged("it does not begin like a database")
        version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
        if application not in {0, APPLICATION_ID}:
            raise self.damaged("it is the database of another program")
        if version > SCHEMA and application == APPLICATION_ID:
            raise self._newer(version)

    def _has_tables(self) -> bool:
        """Tell whether there are any; the first may still be in the WAL."""
        try:
            self._look_at_main()
            db = read_only(self.path)
            try:
                return bool(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
            finally:
                db.close()
        except sqlite3.OperationalError:
            raise  # busy, or no access: no statement about the file
        except sqlite3.DatabaseError as error:
            raise self.damaged(str(error)) from error

    def _expected(self, has_head: bool, *, started: bool) -> str:
        """Say what speaks of an earlier ledger; ``started``: a file was begun, so a WAL without rows is its own.

        A kill latch does not: it is made before the ledger, so a daemon killed in its very first start leaves it alone.
        Only one that a restore holds does: its ledger is still to come.
        """
        if has_head:
            return "there was one"
        if self.salt and not started:
            return f"{self.wal.name} is there"
        if tape_days(self.dir / TAPE):
            return f"there are tapes in {self.dir / TAPE}"
        try:
            held = (self.dir / LATCH).read_bytes() == RESTORING
        except OSError:
            return ""  # the latch itself is looked at next, and what cannot be read is killed
        return "a restore was interrupted" if held else ""

    # -- which one is it ---------------------------------------------------------------------------------------------

    def _look_at_main(self) -> None:
        """Read the main file without its WAL: which ledger it says it is, and how far it was brought.

        It may know neither: its tables may still be in the WAL, and while the WAL is being folded in it is in pieces
        by itself. What it is together with its WAL is another question.
        """
        db = sqlite3.connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True)
        try:
            self.main = db.execute("SELECT generation, epoch FROM ledger").fetchone()
        except sqlite3.DatabaseError:
            self.main = None
        finally:
            db.close()

    def open(self) -> sqlite3.Connection:
        """Connect to a ledger of ours, with the WAL that belongs to it."""
        head, main = self.head, self.main
        if head is not None and main is not None:
            if main[0] != head.generation:
                reason = "FOREIGN_WAL" if self.salt else "ROW_MISSING"
                raise self._refused(
                    reason, f"{self.path} is another ledger than the one this directory was written for"
                )
            if main[1] < head.epoch:
                reason = "FOREIGN_WAL" if self.salt else "ROW_MISSING"
                what = f"{self.path} is an older copy than the one that was last written"
                raise self._refused(
                    reason, what + (f", under the {self.wal.name} of the newer one" if self.salt else "")
                )
        db = read_only(self.path)
        version = schema_version(db)
        if version > SCHEMA:
            db.close()
            raise self._newer(version)
        return db

    # -- is it whole -------------------------------------------------------------------------------------------------

    def check(self, db: sqlite3.Connection) -> int:
        """Check pages, chain and end; return the seq up to which rows were not looked at."""
        whole = self.path.stat().st_size + self._wal_size() <= CHECKED_BYTES
        if whole:
            answers = [row[0] for row in db.execute(f"PRAGMA integrity_check({_ANSWERS})")]
            if answers != ["ok"]:
                raise self.damaged("; ".join(answers))
        self._check_identity(db)
        runs = read_runs(db, manifests=False)
        if not runs:
            raise self._refused("ROW_MISSING", f"{self.path} has no row about its run")
        if self.head is not None and runs[-1].id < self.head.run:
            raise self._lost(f"the ledger knows {runs[-1].id} runs, but {self.head.run} were begun")
        after = _checked_behind(db)
        try:
            finding = walk_chain(db, runs, after=after).finding
        except (ValueError, TypeError, OverflowError) as error:
            finding = Finding("CHAIN_BROKEN", f"a row cannot be read: {error}")
        if finding is not None:
            foreign = self._wal_is_foreign() or (bool(self.salt) and self._main_holds())
            what = f"{self.wal.name} is not the one that was written with {self.path}: " if foreign else ""
            raise self._refused("FOREIGN_WAL" if foreign else finding.reason, what + finding.detail)
        self._check_end(db)
        return after if whole or after else 1

    def _wal_size(self) -> int:
        return self.wal.stat().st_size if self.wal.exists() else 0

    def _wal_is_foreign(self) -> bool:
        return bool(self.salt) and self.head is not None and self.salt != self.head.wal_salt

    def _check_identity(self, db: sqlite3.Connection) -> None:
        """The main file alone, the main file with its WAL and the head must be the same ledger, never going back."""
        if schema_version(db) < 2:
            return
        row = db.execute("SELECT generation, epoch FROM ledger").fetchone()
        foreign = self.main is not None and (row is None or row[0] != self.main[0] or row[1] < self.main[1])
        if foreign or (self.head is not None and (row is None or row[0] != self.head.generation)):
            raise self._refused("FOREIGN_WAL", f"{self.wal.name} is older than {self.path}, or another ledger's")

    def _lost(self, what: str) -> LedgerRefusedError:
        """Say that the end of the ledger is missing, and what became of the WAL that held it."""
        if self._wal_is_foreign():
            return self._refused("FOREIGN_WAL", f"{what}: {self.wal.name} is not the one that was written with it")
        gone = "was cut short or damaged" if self.salt else "that held the rest is gone"
        return self._refused("ROW_MISSING", f"{what}: the {self.wal.name} {gone}")

    def _check_end(self, db: sqlite3.Connection) -> None:
        """Compare with how far the head says that the ledger went."""
        head = self.head
        if head is None:
            if not (self.dir / HEAD).exists():
                self.notices.append(f"{self.dir / HEAD} is missing: a lost end of the ledger would not be noticed")
            return
        row = db.execute("SELECT hash FROM frame WHERE seq = ?", (head.seq,)).fetchone()
        last = db.execute("SELECT max(seq) FROM frame").fetchone()[0] or 0
        if last < head.seq:
            raise self._lost(f"the ledger ends with input {last}, but input {head.seq} was committed")
        if head.seq and (row is None or row[0] != head.chain):
            raise self._refused("CHAIN_BROKEN", f"input {head.seq} is not the one that was committed last")

    def check_tape(self, opened: OpenedLedger, market: MarketCodec) -> None:
        """Cut the tape back to the last commit, which must be there."""
        mark = opened.tape or (0, 0, 0)
        if opened.run is None or (opened.tape is None and not tape_days(self.dir / TAPE)):
            return
        tape = TapeWriter(self.dir / TAPE, market, opened.run.manifest_dict()["universe"])
        try:
            crc = tape.truncate(*mark[:2])
            tape.sync()
        except TapeError as error:
            raise self._refused("TAPE_SHORT", str(error)) from error
        finally:
            tape.close()
        if opened.tape is not None and crc != mark[2]:
            raise self._refused("TAPE_SHORT", f"the tape of {mark[0]} is not the one that was committed")

    def migrate(self) -> None:
        """Bring an older version's tables forward, in one transaction."""
        db = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        try:
            db.execute("BEGIN IMMEDIATE")
            version = schema_version(db)
            migrate(db, version)
            db.execute("COMMIT")
        finally:
            db.close()
        self.notices.append(f"{self.path} was brought from schema {version} to {SCHEMA}")

    # -- refusals ----------------------------------------------------------------------------------------------------

    def damaged(self, what: str) -> LedgerRefusedError:
        """Say that pages are damaged; by a WAL laid over another file where the main file alone is whole."""
        if self._wal_is_foreign() or (self.salt and self._main_holds()):
            return self._refused(
                "FOREIGN_WAL", f"{self.wal.name} does not belong to {self.path}: together they are damaged ({what})"
            )
        return self._refused("LEDGER_CORRUPT", f"{self.path} is damaged: {what}")

    def _main_holds(self) -> bool:
        """Tell whether the main file alone is a sound ledger, so that its WAL must be what does not fit."""
        try:
            db = sqlite3.connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True)
            try:
                runs = read_runs(db, manifests=False)
                whole = [row[0] for row in db.execute("PRAGMA integrity_check(1)")] == ["ok"]
                return whole and bool(runs) and walk_chain(db, runs).finding is None
            finally:
                db.close()
        except (sqlite3.DatabaseError, ValueError, TypeError, OverflowError):
            return False

    def unreadable(self, why: str) -> LedgerRefusedError:
        """Say that the file system or another process does not let us."""
        return LedgerRefusedError(
            f"the ledger in {self.dir} cannot be used: {why}",
            reason="LEDGER_UNREADABLE",
            remedy="let the daemon's user own the state directory and its files, on a disk that can be written",
        )

    @staticmethod
    def _refused(reason: str, what: str) -> LedgerRefusedError:
        return LedgerRefusedError(what, reason=reason, remedy=_RESTORE)

    def _newer(self, version: int) -> LedgerRefusedError:
        return LedgerRefusedError(
            f"{self.path} has schema {version}, newer than the {SCHEMA} of this program",
            reason="NEWER_SCHEMA",
            remedy="upgrade tradingd; it never takes a ledger back",
        )
