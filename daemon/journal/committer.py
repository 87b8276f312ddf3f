"""What one commit does, in order: tape append, tape sync, BEGIN IMMEDIATE, rows, COMMIT.

Every method runs on the thread that owns the connection; nothing here awaits. A batch that fails before COMMIT leaves
nothing: rolled back, tape cut back. What failed in a way that may pass (no room) can be written again; after anything
else nobody knows what the disk holds, so everything is refused until a start has looked (fsyncgate).

A kill and a COMMIT cannot cross: ``committing`` is raised before the kill is looked for one last time, and whoever
kills raises the kill before looking at ``committing``. One of the two sees the other.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, Protocol, TypeVar

import msgspec

from daemon.journal.batch import Batch, Faults, TapeRow
from daemon.journal.connection import LEDGER, Job, LedgerConnection, broken, closed
from daemon.journal.failures import CommitOvertaken, LedgerBrokenError
from daemon.journal.folding import Folding
from daemon.journal.journal import Manifest
from daemon.journal.rows import (
    LIVE_FRAME,
    OUTBOX,
    PRUNE_SNAPSHOTS,
    QUARANTINE,
    REPLY,
    SNAPSHOT,
    SNAPSHOTS_KEPT,
    RunRow,
    TapeMark,
    begin_run,
    frame_rows,
    quarantine_row,
    read_run,
    reply_row,
    schema_version,
    seal_run,
    snapshot_digest,
)
from daemon.journal.schema import PAGE_SIZE, migrate
from daemon.kernel.codec import Codec
from daemon.kernel.digest import DIGEST_START
from daemon.kernel.errors import InvariantError, OperatorError

__all__ = ["LEDGER", "TAPE", "Committer", "Continue", "Tape"]

T = TypeVar("T")
TAPE: Final = "tape"
LATENCIES: Final = 256
_ROW_BYTES: Final = 150  # of a frame beside its blobs


class Tape(Protocol):
    """The part of :class:`daemon.journal.tape.TapeWriter` that a commit uses."""

    def append(self, rows: list[TapeRow]) -> TapeMark:
        """Write rows; return day, position and chain value behind them."""
        ...

    def sync(self) -> None:
        """Make them durable."""
        ...

    def truncate(self, day: int, pos: int) -> int:
        """Cut back to a position."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class Continue(msgspec.Struct, frozen=True):
    """Where a ledger goes on.

    Attributes:
        last_seq, last_hash: of its last frame; 0 and empty where it has none.
        ordinal: how many frames it has.
        frames, chain: of its last run: how many frames, and the chain value behind them.
        tape: what the last commit covers, or None.
        event_digest: of all facts, hex.
    """

    last_seq: int = 0
    last_hash: bytes = b""
    ordinal: int = 0
    frames: int = 0
    chain: bytes = b""
    tape: TapeMark | None = None
    event_digest: str = ""


class Committer:
    """See the module.

    Attributes:
        connection, folding: what it works on.
        committing: COMMIT itself is running.
        last_commit: monotonic nanoseconds.
        commits, frames: written by this process.
        last_seq: of the last durable frame.
        latencies: of the last commits, nanoseconds.
    """

    def __init__(
        self, state_dir: Path, *, codec: Codec, tape: Tape, faults: Faults, overtaken: Callable[[], bool]
    ) -> None:
        """Remember what it works with; :meth:`open` takes the connection.

        Args:
            state_dir: of the ledger.
            codec: encodes inputs.
            tape: of the same directory, cut back to where ``Continue`` says.
            faults: called around every step.
            overtaken: whether a kill has come that the core has not observed.
        """
        self.connection = LedgerConnection(state_dir, overtaken)
        self.folding = Folding(self.connection)
        self.committing = False
        self.last_commit = 0
        self.commits = 0
        self.frames = 0
        self.last_seq = 0
        self.latencies: deque[int] = deque(maxlen=LATENCIES)
        self._codec = codec
        self._tape = tape
        self._tape_ahead = False
        self._faults = faults
        self._chain = b""
        self._ordinal = 0
        self._mark: TapeMark | None = None
        self._run: RunRow
        self._run_frames = 0
        self._digest = ""
        self._sealed = False

    # -- opening -----------------------------------------------------------------------------------------------------

    def open(self, db: sqlite3.Connection, manifest: Manifest, before: Continue) -> None:
        """Prepare the connection, seal a predecessor that never was, and begin this run: one transaction.

        Raises:
            LedgerFullError: no room; LedgerBrokenError: anything else.
        """
        connection = self.connection
        try:
            connection.take(db)
            connection.begin(Job(), heed_kill=False)
            migrate(db, schema_version(db))
            self.folding.identify()
            parent = read_run(db)
            if parent is not None and parent.status == "running":
                parent = seal_run(db, parent, "recovered", before.event_digest, before.frames, before.chain)
            run = begin_run(db, manifest, parent, before.last_seq + 1)
            db.execute("COMMIT")
            connection.watch()
            self.folding.open(run.id, before.last_seq, before.last_hash)
        except BaseException as error:  # noqa: BLE001 - raised again as what it means
            self._fail(error)
        self._run, self._chain, self._digest = run, run.chain_start, before.event_digest or DIGEST_START.hex()
        self._mark, self._ordinal, self.last_seq = before.tape, before.ordinal, before.last_seq
        self.last_commit = time.monotonic_ns()
        self.folding.fold()

    # -- committing --------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch, job: Job) -> None:
        """Make a batch durable, or leave nothing of it; see :meth:`daemon.journal.writer.LedgerWriter.commit`."""
        start = time.monotonic_ns()
        self._refuse_if_unusable()
        if self.connection.overtaken():
            raise CommitOvertaken
        self._check_batch(batch)
        try:
            mark = self._to_tape(batch)
            self.connection.begin(job, heed_kill=True)
            self._faults("before:frame.write")
            chain = self._insert(batch, mark)
            self._faults("after:frame.write")
            self._commit()
        except BaseException as error:  # noqa: BLE001 - raised again as what it means
            self._fail(error)
        # From here on the batch is durable, whatever becomes of it.
        self._tape_ahead = False
        self._mark, self._chain = mark, chain
        self.commits += 1
        self.last_commit = time.monotonic_ns()
        self.latencies.append(self.last_commit - start)
        if batch.frames:
            self._ordinal += len(batch.frames)
            self.frames += len(batch.frames)
            self._run_frames += len(batch.frames)
            self.last_seq = batch.frames[-1].envelope.seq
            self._digest = batch.frames[-1].digest.hex()
            self._keep_head()
        try:
            self._faults("after:commit")
        except BaseException as error:
            self.connection.broken = broken(error)
            raise self.connection.broken from error

    def _keep_head(self) -> None:
        try:
            self.folding.reached(self.last_seq, self._chain)
        except OSError as error:
            self.connection.broken = broken(error)  # speaks up at the next commit; this one is durable

    def _refuse_if_unusable(self) -> None:
        known = self.connection.broken
        if known is not None:
            raise LedgerBrokenError(known.message, code=known.code, remedy=known.remedy)
        if self.connection.closing or self._sealed:
            raise closed()

    def _check_batch(self, batch: Batch) -> None:
        """Refuse a batch that recovery could not read back; ours to blame."""
        seqs = [frame.envelope.seq for frame in batch.frames]
        last = seqs[-1] if seqs else self.last_seq
        problem = ""
        if any(b <= a for a, b in zip([self.last_seq, *seqs], seqs, strict=False)):
            problem = f"frames {seqs[:5]} do not follow input {self.last_seq}"
        elif batch.panels and max(row.seq for row in batch.panels) > last:
            problem = f"its market data go beyond its last frame, {last}, so no commit would cover them"
        elif batch.snapshot is not None and batch.snapshot.seq != last:
            problem = f"its snapshot stands behind input {batch.snapshot.seq}, not behind its last frame, {last}"
        if problem:
            raise InvariantError(f"a batch cannot be written: {problem}", code="BAD_BATCH")

    def _to_tape(self, batch: Batch) -> TapeMark | None:
        self._faults("before:tape.write")
        self._tape_ahead = bool(batch.panels)
        mark = self._tape.append(batch.panels) if batch.panels else self._mark
        self._faults("after:tape.write")
        self._faults("before:tape.fsync")
        if batch.panels:
            try:
                self._tape.sync()
            except OSError as error:  # even for want of room: what was written before may be gone with it
                raise broken(error) from error
        self._faults("after:tape.fsync")
        return mark

    def _insert(self, batch: Batch, mark: TapeMark | None) -> bytes:
        db, codec, snapshot = self.connection.db, self._codec, batch.snapshot
        rows, chain = frame_rows(batch.frames, codec, self._chain, self._ordinal, mark)
        size = sum(len(row[6]) + len(row[4] or b"") + _ROW_BYTES for row in rows) + PAGE_SIZE * len(batch.replies)
        db.executemany(LIVE_FRAME, rows)
        if batch.replies:
            changed = db.executemany(REPLY, [reply_row(reply) for reply in batch.replies]).rowcount
            if changed != len(batch.replies):
                message = "a reply was to take the place of another call's"
                raise InvariantError(message, code="BAD_BATCH")
        if batch.outbox:
            db.executemany(OUTBOX, [msgspec.structs.astuple(row) for row in batch.outbox])
        if batch.quarantined:
            db.executemany(QUARANTINE, [quarantine_row(record, codec) for record in batch.quarantined])
        if snapshot is not None:
            behind = (
                chain if rows else db.execute("SELECT hash FROM frame WHERE seq = ?", (snapshot.seq,)).fetchone()[0]
            )
            db.execute(SNAPSHOT, (*msgspec.structs.astuple(snapshot), snapshot_digest(behind, snapshot)))
            db.execute(PRUNE_SNAPSHOTS, (SNAPSHOTS_KEPT,))
            size += len(snapshot.core) + len(snapshot.edge)
        self.folding.wrote(size)
        return chain

    def _commit(self) -> None:
        self._faults("before:commit")
        moved = self.connection.moved()
        cut = self.connection.cut_short()
        if moved or cut:
            what = f"{moved} was removed or replaced" if moved else f"{cut} was cut short"
            raise LedgerBrokenError(
                f"{what} while the daemon ran",
                code="LEDGER_REPLACED",
                remedy="put it back, or restore a backup, and start again",
            )
        self.committing = True
        try:
            if self.connection.overtaken():
                raise CommitOvertaken
            self.connection.db.execute("COMMIT")
            self.connection.measure()
        finally:
            self.committing = False

    def _fail(self, error: BaseException) -> NoReturn:
        """Undo what a failed step left, and raise what kind of failure it was."""
        connection = self.connection
        kind = connection.classify(error)
        try:
            if connection.db.in_transaction:
                connection.db.execute("ROLLBACK")
            if self._tape_ahead and not isinstance(kind, LedgerBrokenError):
                self._tape.truncate(*(self._mark or (0, 0, 0))[:2])
                self._tape_ahead = False
        except (sqlite3.Error, OSError, OperatorError) as worse:
            kind = broken(worse)
        if isinstance(kind, LedgerBrokenError):
            connection.broken = kind
        elif isinstance(kind, InvariantError):
            connection.broken = broken(kind)
        if kind is error:
            raise kind
        raise kind from error

    # -- other work, the end -----------------------------------------------------------------------------------------

    def transact(self, work: Callable[[sqlite3.Connection], T], job: Job) -> T:
        """Run work on the connection as one transaction; see :meth:`daemon.journal.writer.LedgerWriter.transact`."""
        self._refuse_if_unusable()
        try:
            self.connection.begin(job, heed_kill=False)
            result = work(self.connection.db)
            self.connection.db.execute("COMMIT")
            self.connection.measure()
        except BaseException as error:  # noqa: BLE001 - raised again as what it means
            self._fail(error)
        return result

    def seal(self, status: str, digest: str, job: Job) -> None:
        """Say how the run ended; nothing can be committed after it.

        Raises:
            LedgerFullError, LedgerBrokenError: it is not sealed; the next start will do it.
        """
        self.transact(lambda db: seal_run(db, self._run, status, digest, self._run_frames, self._chain), job)
        self._sealed = True
        self.folding.fold("TRUNCATE")

    def roll(self, manifest: Manifest, job: Job) -> None:
        """Seal this run and begin another; see :meth:`daemon.journal.writer.LedgerWriter.roll`.

        The chain goes on as over a restart: from the new run's row, which the seal of this one is bound into.
        """

        def work(db: sqlite3.Connection) -> RunRow:
            self._faults("before:roll.seal")
            ended = seal_run(db, self._run, "ended", self._digest, self._run_frames, self._chain)
            self._faults("after:roll.seal")
            begun = begin_run(db, manifest, ended, self.last_seq + 1)
            self.folding.wrote(len(begun.manifest))
            self._faults("before:roll.commit")
            return begun

        run = self.transact(work, job)
        self._run, self._chain, self._run_frames = run, run.chain_start, 0
        try:
            self._faults("after:roll.commit")
            self.folding.run_began(run.id)
        except BaseException as error:
            self.connection.broken = broken(error)
            raise self.connection.broken from error

    def close(self) -> None:
        """Let go of everything but the connection itself."""
        self._tape.close()
        self.folding.close()
        if self.connection.broken is None:
            self.connection.let_go()
