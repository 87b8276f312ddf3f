"""A ledger that was looked at and found whole: what recovery reads from it, at the start and while it runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, cast

import msgspec

from daemon.journal.batch import KeptReply, OutboxRow, SnapshotRow, TapeRow
from daemon.journal.check import frame_chunks, read_replies, read_snapshot, snapshot_seqs
from daemon.journal.committer import LEDGER, TAPE, Continue
from daemon.journal.failures import LedgerRefusedError
from daemon.journal.market_codec import MarketCodec
from daemon.journal.rows import FrameRow, RunRow, TapeMark, read_run, read_runs, schema_version, whole_run
from daemon.journal.tape import rows_after, rows_before
from daemon.journal.tape_format import TapeError
from daemon.kernel.codec import Codec
from daemon.kernel.digest import DIGEST_START, extend_digest
from daemon.kernel.message import Event, Market, Message

BUSY_S: Final = 1.0
"""How long a reader waits for a program that locks readers out."""
_UNREADABLE: Final = (sqlite3.DatabaseError, msgspec.MsgspecError, ValueError, TypeError, OverflowError)
FEED: Final = "feed"
"""Source of market data without a frame of its own: the tape does not say it."""


class RecordedInput(msgspec.Struct, frozen=True):
    """One input as it was taken.

    Attributes:
        seq, ts, ts_event, source: as in its envelope; ``ts`` is the stamp.
        body: the message.
        events: what it caused, in order.
        kept: whether it has a frame; market data that caused nothing are on the tape only.
    """

    seq: int
    ts: int
    ts_event: int
    source: str
    body: Message
    events: list[Event]
    kept: bool


def read_only(path: Path) -> sqlite3.Connection:
    """Connect to a ledger so that nothing can be changed, and closing folds no WAL in."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {pragma}")
    return db


class OpenedLedger:
    """See the module. Reads in short steps, so it may be used while the ledger is written; from one thread at a time.

    What is read goes up to the last commit at that moment; the attributes say where the ledger was at the start, or at
    the last :meth:`refresh`, which reading inputs or panels implies.

    Attributes:
        fresh: there was no ledger at the start, and none was expected.
        last_seq, last_ts: of the last frame; 0 where there is none.
        chain: hash of the last frame; empty where there is none.
        event_digest: of all facts, 32 bytes.
        tape_day, tape_pos: what the last commit covers of the tape; 0 where there is none.
        run: the last run, or None.
        unclean: the last run was not sealed: its process died.
        unchecked_before: rows with a seq up to it were not looked at; 0 where all were.
        notices: sentences for the log.
    """

    def __init__(
        self,
        state_dir: Path,
        codec: Codec,
        market: MarketCodec,
        db: sqlite3.Connection | None,
        *,
        notices: list[str] | None = None,
        unchecked_before: int = 0,
    ) -> None:
        """Take over a connection that may only read; None where there is no ledger yet."""
        self.fresh = db is None
        self.notices = notices or []
        self.unchecked_before = unchecked_before
        self.last_seq = 0
        self.last_ts = 0
        self.chain = b""
        self.event_digest = DIGEST_START
        self.tape: TapeMark | None = None
        self.run: RunRow | None = None
        self._path = state_dir / LEDGER
        self._tapes = state_dir / TAPE
        self._codec = codec
        self._market = market
        self._db = db
        self._ordinal = 0
        self._digest_seq = 0
        if db is not None:
            self.refresh()

    @property
    def tape_day(self) -> int:
        """Day of the tape that the last commit covers, or 0."""
        return self.tape[0] if self.tape else 0

    @property
    def tape_pos(self) -> int:
        """Position in it, bytes, or 0."""
        return self.tape[1] if self.tape else 0

    @property
    def unclean(self) -> bool:
        """Whether the last run was not sealed."""
        return self.run is not None and self.run.status == "running"

    def refresh(self) -> None:
        """Look how far the ledger has come by now; nothing is checked. A ledger that was fresh may be there by now."""
        if self._db is None:
            self._db = self._begun()
        if self._db is None:
            return
        db = self._db
        self.run = read_run(db)
        row = db.execute(
            "SELECT seq, ts, hash, ordinal, tape_day, tape_pos, tape_crc FROM frame ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return
        self.last_seq, self.last_ts, self.chain = row[:3]
        self.tape = None if row[4] is None else row[4:]
        self._ordinal = row[3] or db.execute("SELECT count(*) FROM frame").fetchone()[0]
        self._extend_digest(db)

    def _begun(self) -> sqlite3.Connection | None:
        """Connect to a ledger that was made since; a file without tables is none yet."""
        if not self._path.exists():
            return None
        db = read_only(self._path)
        if schema_version(db):
            return db
        db.close()
        return None

    def _extend_digest(self, db: sqlite3.Connection) -> None:
        """Bring the event digest up to the last frame, from the newest place where it is known.

        A daemon that runs goes on writing between two reads: what is behind the last frame that was seen is of later.
        """
        last = self.last_seq
        if not self._digest_seq:
            snapshot = next((found for found in self.snapshots() if found.seq <= last), None)
            if snapshot is not None:
                self._digest_seq, self.event_digest = snapshot.seq, snapshot.event_digest
            runs = read_runs(db, manifests=False)
            sealed = [(run, after) for run, after in pairwise(runs) if run.event_digest]
            for run, after in sealed[-1:]:
                if self._digest_seq < after.first_seq - 1 <= last:
                    self._digest_seq, self.event_digest = after.first_seq - 1, bytes.fromhex(run.event_digest)
        for rows in frame_chunks(db, self._digest_seq + 1, last):
            for row in rows:
                if row[5]:
                    self.event_digest = extend_digest(self.event_digest, row[2], row[6])
            self._digest_seq = rows[-1][0]

    def continuation(self) -> Continue:
        """Return where a writer goes on."""
        run = self.run
        if run is None:
            return Continue()
        sealed = run.status != "running"
        here = self.last_seq >= run.first_seq
        frames = self._ordinal - self._frames_before(run)
        return Continue(
            last_seq=self.last_seq,
            last_hash=self.chain,
            ordinal=self._ordinal,
            frames=run.frames if sealed else frames,
            chain=run.chain if sealed or not here else self.chain,
            tape=self.tape,
            event_digest=self.event_digest.hex(),
        )

    def _frames_before(self, run: RunRow) -> int:
        found = self._reading().execute("SELECT sum(frames) FROM run WHERE id < ?", (run.id,)).fetchone()[0]
        return found or 0

    # -- reading -----------------------------------------------------------------------------------------------------

    def snapshots(self) -> Iterator[SnapshotRow]:
        """Give the snapshots whose digest holds, newest first; one that does not is mentioned and passed over."""
        if self._db is None:
            return
        with _refusing(self._db):
            seqs = snapshot_seqs(self._db)
        for seq in seqs:
            with _refusing(self._db):
                snapshot = read_snapshot(self._db, seq)
            if snapshot is None:
                notice = f"the snapshot behind input {seq} is not the one that was taken; an older one serves"
                if notice not in self.notices:
                    self.notices.append(notice)
            else:
                yield snapshot

    def runs(self, after_seq: int) -> list[RunRow]:
        """Return the runs that hold inputs with a greater seq, first to last."""
        if self._db is None:
            return []
        with _refusing(self._db):
            every = read_runs(self._db, manifests=False)
            ends = [run.first_seq for run in every[1:]] + [self.last_seq + 1]
            return [
                whole_run(self._db, run)
                for run, end in zip(every, ends, strict=True)
                if end > max(run.first_seq, after_seq + 1)
            ]

    def inputs(self, after_seq: int) -> Iterator[RecordedInput]:
        """Give every input with a greater seq, journal and tape merged, up to the last commit.

        Raises:
            LedgerRefusedError: the tape does not hold what a frame speaks of, or cannot be read.
        """
        self.refresh()
        if self._db is None:
            return
        panels = self._panels(after_seq)
        panel = next(panels, None)
        for row in self._frames(after_seq + 1):
            seq, ts, ts_event, source, data, n, body = row[:7]
            while panel is not None and panel.seq < seq:
                yield RecordedInput(panel.seq, panel.ts, panel.ts, FEED, panel.body, [], kept=False)
                panel = next(panels, None)
            try:  # thousands of them: a context manager would cost as much as what it guards
                events = cast("list[Event]", self._codec.decode_many(body)) if n else []  # bodies hold events only
                message = None if data is None else self._codec.decode(data)
            except _UNREADABLE as error:
                raise _corrupt(self._db, error) from error
            if message is None:
                if panel is None or panel.seq != seq:
                    raise _tape_lacks(f"input {seq} was market data, and the tape does not hold it")
                message = panel.body
                panel = next(panels, None)
            yield RecordedInput(seq, ts, ts_event, source, message, events, kept=True)
        if panel is not None:
            raise _tape_lacks(f"the tape goes on to input {panel.seq} behind the last frame")

    def _frames(self, first: int) -> Iterator[FrameRow]:
        with _refusing(self._reading()):
            for rows in frame_chunks(self._reading(), first, self.last_seq):
                yield from rows

    def _panels(self, after_seq: int) -> Iterator[TapeRow]:
        if self.tape is None:
            return
        try:
            for row in rows_after(self._tapes, self._market, after_seq, self.tape[:2]):
                if row.seq:
                    yield row
        except TapeError as error:
            raise _tape_lacks(str(error)) from error

    def panels_before(self, seq: int, count: int) -> list[Market]:
        """Return the last ``count`` market messages before input ``seq``, warm-up history among them, oldest first.

        Raises:
            LedgerRefusedError: the tape cannot be read.
        """
        self.refresh()
        if self.tape is None:
            return []
        try:
            rows = rows_before(self._tapes, self._market, seq, count, upto=self.tape[:2])
        except TapeError as error:
            raise _tape_lacks(str(error)) from error
        return [row.body for row in rows]

    def replies(self) -> Iterator[KeptReply]:
        """Give every kept reply, in order of its frame.

        Raises:
            LedgerRefusedError: one was changed (``CHAIN_BROKEN``).
        """
        if self._db is None:
            return
        with _refusing(self._db):
            replies = list(read_replies(self._db))
        for reply, ok in replies:
            if not ok:
                raise LedgerRefusedError(
                    f"the reply kept under {reply.key!r} is not the one that was given",
                    reason="CHAIN_BROKEN",
                    remedy="restore a backup of the state directory",
                )
            yield reply

    def outbox_pending(self) -> list[OutboxRow]:
        """Return the alerts that no channel has confirmed yet, oldest first."""
        if self._db is None:
            return []
        with _refusing(self._db):
            rows = self._db.execute(
                "SELECT alert_id, ts, severity, body, state, attempts FROM outbox WHERE state = 'pending'"
                " ORDER BY ts, alert_id"
            )
            return [OutboxRow(*row) for row in rows.fetchall()]

    def close(self) -> None:
        """Let go of the file. A fresh ledger has none."""
        if self._db is not None:
            self._db.close()

    def _reading(self) -> sqlite3.Connection:
        if self._db is None:
            message = "there is no ledger to read from yet"
            raise LedgerRefusedError(message, reason="EMPTY_LEDGER", remedy="open it again once it was written")
        return self._db


@contextmanager
def _refusing(db: sqlite3.Connection) -> Iterator[None]:
    """Say that the ledger is damaged where a row cannot be read."""
    try:
        yield
    except _UNREADABLE as error:
        raise _corrupt(db, error) from error


def _corrupt(db: sqlite3.Connection, error: Exception) -> LedgerRefusedError:
    path = db.execute("PRAGMA database_list").fetchone()[2]
    return LedgerRefusedError(
        f"a row of {path} cannot be read: {error}",
        reason="LEDGER_CORRUPT",
        remedy="restore a backup of the state directory",
    )


def _tape_lacks(what: str) -> LedgerRefusedError:
    return LedgerRefusedError(what, reason="TAPE_SHORT", remedy="restore the tape of that day from a backup")
