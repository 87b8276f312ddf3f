"""What the views are made from: frames of the ledger and its archives, its outbox and its quarantine; read only."""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from actors.messages.alerts import AlertRaised
from daemon.journal.archive import Archived, archived_path
from daemon.journal.journal import StoredFrame
from daemon.journal.rows import RunRow, decode_causes, read_runs, whole_run
from daemon.journal.sqlite import open_readonly
from daemon.kernel.codec import Codec
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Event

POLL_NS: Final = 100_000_000
"""How often alerts and quarantine are looked at, at most."""
_FRAMES: Final = (
    "SELECT seq, ts, ts_event, source, input, n, body, causes, hash FROM frame WHERE seq > ? ORDER BY seq LIMIT ?"
)
_OUTBOX: Final = "SELECT alert_id, ts, severity, body, state, attempts FROM outbox"
_QUARANTINE: Final = "SELECT rowid, seq, ts, actor, input, error, traceback FROM quarantine"
_INSERT_QUARANTINE: Final = "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?)"
_UPSERT_ALERT: Final = (
    "INSERT INTO alerts (alert_id, ts, severity, key, title, facts, action_taken, next_command, count, state, attempts)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alert_id) DO UPDATE SET ts = excluded.ts,"
    " severity = excluded.severity, title = excluded.title, facts = excluded.facts,"
    " action_taken = excluded.action_taken, count = excluded.count, state = excluded.state,"
    " attempts = excluded.attempts WHERE excluded.ts >= alerts.ts"
)
"""A later form of an alert takes the place of the first; what is found in an archive never that of a later one."""
_Beside = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
"""Rows of the outbox and of the quarantine."""


class TailError(Exception):
    """The ledger cannot be read at the moment; the views wait."""


class LedgerTail:
    """Frames behind a given one, oldest first, archives before the ledger.

    Attributes:
        generation: which ledger this is.
        hash: of the frame that was read last.
    """

    def __init__(self, ledger: Path, state_dir: Path, codec: Codec) -> None:
        """Open a ledger for reading.

        Raises:
            TailError: there is none, or it cannot be read.
        """
        self._state_dir = state_dir
        self._codec = codec
        self._archive: tuple[int, sqlite3.Connection] | None = None
        self._gone: dict[int, str] = {}
        self._beside: list[_Beside] = []
        self._polled = 0
        self._seen: tuple[int | None, int | None] = (None, -1)
        self.hash = b""
        try:
            self._db = open_readonly(ledger)
        except OperatorError as error:
            raise TailError(str(error)) from error
        try:
            self._tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            self._runs: list[RunRow] = []
            self._firsts: list[int] = []
            self._archived: list[tuple[RunRow, int]] = []
            self._symbols: tuple[int, Sequence[str]] = (0, ())
            self._refresh()
            self.generation = self._generation()
        except (sqlite3.Error, msgspec.MsgspecError, KeyError) as error:
            self._db.close()
            raise TailError(f"the ledger cannot be read: {error}") from error

    def close(self) -> None:
        """Let go of every file."""
        self._db.close()
        self._close_archive()

    def _close_archive(self) -> None:
        if self._archive is not None:
            self._archive[1].close()
            self._archive = None

    def _generation(self) -> str:
        if "ledger" in self._tables:
            row = self._db.execute("SELECT generation FROM ledger").fetchone()
            if row is not None:
                return str(bytes(row[0]).hex())
        return self._runs[0].run_id if self._runs else ""

    def _look(self) -> tuple[int | None, int | None]:
        """Return the first frame and the last run; where neither changed, no run began and none was archived."""
        first: int | None = self._db.execute("SELECT min(seq) FROM frame").fetchone()[0]
        last: int | None = self._db.execute("SELECT max(id) FROM run").fetchone()[0]
        return first, last

    def _refresh(self) -> None:
        """Take over runs that began, or were archived, since the last look."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        self._runs = runs = read_runs(self._db, manifests=False)
        self._firsts = [run.first_seq for run in runs]
        self._archived = [(run, after.first_seq) for run, after in pairwise(runs) if run.archived is not None]

    # -- frames ------------------------------------------------------------------------------------------------------

    def last_seq(self) -> int:
        """Return the seq of the newest frame."""
        newest: int | None = self._db.execute("SELECT max(seq) FROM frame").fetchone()[0]
        if newest is not None:
            return newest
        return self._runs[-1].first_seq - 1 if self._runs else 0

    def knows(self, seq: int, digest: bytes) -> bool:
        """Tell whether frame ``seq`` has this hash; one that was archived is taken on trust."""
        row = self._db.execute("SELECT hash FROM frame WHERE seq = ?", (seq,)).fetchone()
        if row is not None:
            return bool(row[0] == digest)
        first = self._db.execute("SELECT min(seq) FROM frame").fetchone()[0]
        return first is None or seq < first

    def may_have_more(self, seq: int) -> bool:
        """Tell whether there is anything behind ``seq``."""
        return self.last_seq() > seq

    def read(self, after: int, limit: int) -> Iterator[tuple[StoredFrame, Sequence[str]]]:
        """Return at most so many frames behind ``after``, each with the symbols of its run by id.

        Raises:
            TailError: the ledger cannot be read, or holds a frame that cannot be decoded.
        """
        try:
            source = self._source(after)
            for seq, ts, ts_event, origin, data, n, body, causes, digest in source.execute(_FRAMES, (after, limit)):
                names = self._names(seq)
                self.hash = digest
                frame = StoredFrame(
                    seq=seq,
                    ts=ts,
                    ts_event=ts_event,
                    source=origin,
                    input=None if data is None else self._codec.decode(data),
                    events=cast("list[Event]", self._codec.decode_many(body)),  # bodies hold events only
                    causes=decode_causes(causes, n),
                )
                yield frame, names
        except (sqlite3.Error, msgspec.MsgspecError, KeyError) as error:
            raise TailError(f"the ledger cannot be read behind {after}: {error}") from error

    def _names(self, seq: int) -> Sequence[str]:
        """Return the symbols of the run a frame belongs to."""
        at = bisect_right(self._firsts, seq) - 1
        if at < 0:
            message = f"no run begins before the frame {seq}"
            raise KeyError(message)
        run = self._runs[at]
        if self._symbols[0] != run.id:
            manifest = whole_run(self._db, run).manifest_dict()
            self._symbols = run.id, tuple(manifest["universe"]["symbols"])
        return self._symbols[1]

    def _source(self, after: int) -> sqlite3.Connection:
        """Return the file that holds what comes behind ``after``."""
        self._refresh()
        for run, end in self._archived:
            if after >= end - 1:
                continue
            db = self._open_archive(run.id, run.archived or "")
            if db is not None and db.execute("SELECT 1 FROM frame WHERE seq > ? LIMIT 1", (after,)).fetchone():
                return db
        self._close_archive()
        return self._db

    def _open_archive(self, number: int, text: str) -> sqlite3.Connection | None:
        """Open an archived run; None where its file is no more, so that the views begin behind it."""
        if self._archive is not None and self._archive[0] == number:
            return self._archive[1]
        if number in self._gone:
            return None
        archived = Archived.parse(text)
        self._close_archive()
        if not archived.name or archived.deleted:
            self._gone[number] = f"run {number} left the archive when its time was over"
            return None
        try:
            db = open_readonly(archived_path(self._state_dir, archived))
        except OperatorError as error:
            self._gone[number] = str(error)
            return None
        self._archive = number, db
        self._beside.append(_rows_beside(db))
        return db

    @property
    def missing(self) -> tuple[str, ...]:
        """Why frames of archived runs cannot be shown, a sentence each."""
        return tuple(self._gone.values())

    def take_archived(self) -> list[_Beside]:
        """Return what lay beside the frames of archives opened since this was asked last: it moved with its run."""
        beside, self._beside = self._beside, []
        return beside

    # -- alerts and quarantine ---------------------------------------------------------------------------------------

    def poll_due(self, *, now: bool = False) -> bool:
        """Tell whether it is time to look at alerts and quarantine again."""
        stamp = time.monotonic_ns()
        if not now and stamp - self._polled < POLL_NS:
            return False
        self._polled = stamp
        return True

    def alerts(self, since_ts: int, pending: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return alerts raised or counted again since a stamp, and what became of those that were pending."""
        if "outbox" not in self._tables:
            return []
        try:
            rows = self._db.execute(f"{_OUTBOX} WHERE ts >= ? ORDER BY ts, rowid", (since_ts,)).fetchall()
            seen = {row[0] for row in rows}
            for alert_id in pending:
                if alert_id not in seen:
                    rows += self._db.execute(f"{_OUTBOX} WHERE alert_id = ?", (alert_id,)).fetchall()
        except sqlite3.Error as error:
            raise TailError(f"the outbox cannot be read: {error}") from error
        return rows

    def quarantined(self, after: int) -> list[tuple[Any, ...]]:
        """Return inputs set aside behind the ``after``-th."""
        if "quarantine" not in self._tables:
            return []
        try:
            return self._db.execute(f"{_QUARANTINE} WHERE rowid > ? ORDER BY rowid LIMIT 1000", (after,)).fetchall()
        except sqlite3.Error as error:
            raise TailError(f"the quarantine cannot be read: {error}") from error


def _rows_beside(db: sqlite3.Connection) -> _Beside:
    """Return the alerts and the quarantine that an archive holds."""
    return (
        db.execute(f"{_OUTBOX} ORDER BY ts, rowid").fetchall(),
        db.execute(f"{_QUARANTINE} ORDER BY rowid").fetchall(),
    )


def sync_alerts(db: sqlite3.Connection, tail: LedgerTail) -> None:
    """Bring ``alerts`` in line with the ledger's outbox, inside the caller's transaction."""
    since = db.execute("SELECT coalesce(max(ts), ?) FROM alerts", (-(2**63) + 1,)).fetchone()[0]
    pending = [row[0] for row in db.execute("SELECT alert_id FROM alerts WHERE state = 'pending' LIMIT 1000")]
    for row in tail.alerts(since, pending):
        db.execute(_UPSERT_ALERT, _alert(*row))


def sync_quarantine(db: sqlite3.Connection, tail: LedgerTail) -> None:
    """Bring ``quarantine`` in line with the ledger's, inside the caller's transaction."""
    after = db.execute("SELECT coalesce(max(n), 0) FROM quarantine").fetchone()[0]
    rows = tail.quarantined(after)
    if rows:
        db.executemany(_INSERT_QUARANTINE, rows)


def sync_archived(db: sqlite3.Connection, tail: LedgerTail) -> None:
    """Take over alerts and quarantine of archives that were opened, inside the caller's transaction."""
    for alerts, quarantined in tail.take_archived():
        for row in alerts:
            db.execute(_UPSERT_ALERT, _alert(*row))
        db.executemany(_INSERT_QUARANTINE, quarantined)


def _alert(alert_id: str, ts: int, severity: str, body: bytes, state: str, attempts: int) -> tuple[Any, ...]:
    """Return a row of ``alerts``; one whose body cannot be read is shown as that."""
    try:
        alert = msgspec.json.decode(body, type=AlertRaised)
    except msgspec.MsgspecError:
        return alert_id, ts, severity, "", "an alert that cannot be read", "[]", "", "", 1, state, attempts
    facts = msgspec.json.encode(alert.facts).decode()
    row = (alert_id, ts, severity, alert.key, alert.title, facts, alert.action_taken, alert.next_command)
    return *row, alert.count, state, attempts
