"""Rows of the ledger: how they are encoded, and the hash chain that binds each to all before it.

A row written by a replay is hashed as version 1 of the ledger did, so old ledgers still verify. A row of a live ledger
has a prefix before that, with its place in the count of frames and the position up to which its commit covers the tape.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from daemon.journal.batch import KeptReply, SnapshotRow
from daemon.journal.journal import Manifest
from daemon.kernel.actor import Frame
from daemon.kernel.codec import Codec
from daemon.kernel.message import Market
from daemon.kernel.poison import PoisonRecord

LIVE_FRAME: Final = (
    "INSERT INTO frame (seq, ts, ts_event, source, input, n, body, causes, hash, ordinal, tape_day, tape_pos, tape_crc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
FRAME_COLUMNS: Final = (
    "seq, ts, ts_event, source, input, n, body, causes, hash, ordinal, tape_day, tape_pos, tape_crc",
    "seq, ts, ts_event, source, input, n, body, causes, hash, NULL, NULL, NULL, NULL",
)
"""What to select of a frame: in a ledger of this version, and of version 1."""

_RUN_1: Final = "run_id, version, mode, seed, config_digest, manifest, status, event_digest, frames, chain"
_RUN_COLUMNS: Final = (
    f"{_RUN_1}, id, parent, started, first_seq, chain_start, archived",
    f"{_RUN_1}, 1, NULL, NULL, 1, x'', NULL",
)
_NO_MANIFEST: Final = " x'',"

TapeMark = tuple[int, int, int]
"""Day YYYYMMDD, byte position and chain value of the tape that a commit covers."""

FrameRow = tuple[
    int, int, int, str, bytes | None, int, bytes, bytes, bytes, int | None, int | None, int | None, int | None
]
"""Columns of a frame in the order of :data:`FRAME_COLUMNS`."""


class RunRow(msgspec.Struct, frozen=True):
    """A run's row, as stored.

    Attributes:
        run_id, version, mode, seed, config_digest, manifest: what the run is; ``manifest`` is JSON, empty where it was
            not read, see :func:`read_runs`.
        status: ``running``, ``ended``, ``recovered`` (its process died, the next start sealed it) or ``quarantined``.
        event_digest: of all facts up to its end, hex; "" before it is sealed.
        frames: how many it has; 0 before it is sealed.
        chain: hash of its last row once sealed.
        id: its place among the runs, from 1.
        parent: the run before it, or None.
        started: wall time, nanoseconds UTC; None in a replay.
        first_seq: no frame of it has a smaller one.
        chain_start: what its frames' chain starts from; empty in version 1, where it follows from the row.
        archived: where its frames went, or None where they are here.
    """

    run_id: str
    version: str
    mode: str
    seed: int
    config_digest: str
    manifest: bytes
    status: str
    event_digest: str
    frames: int
    chain: bytes
    id: int = 1
    parent: str | None = None
    started: int | None = None
    first_seq: int = 1
    chain_start: bytes = b""
    archived: str | None = None

    def manifest_dict(self) -> dict[str, Any]:
        """Return the decoded manifest."""
        decoded: dict[str, Any] = msgspec.json.decode(self.manifest)
        return decoded

    def expected_start(self, parent: RunRow | None) -> bytes:
        """Return what the chain of this run's frames starts from, by its row and its predecessor's."""
        if not self.manifest:
            message = f"the manifest of run {self.run_id} was not read"
            raise ValueError(message)
        columns = (self.run_id, self.version, self.mode, self.seed, self.config_digest, self.manifest)
        return chain_start(*columns, link=run_link(self.started, self.first_seq, parent))


def schema_version(db: sqlite3.Connection) -> int:
    """Return the version of a ledger's tables, 0 where there are none."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def frame_columns(db: sqlite3.Connection) -> str:
    """Return what to select of ``frame`` for a :data:`FrameRow`, whatever version the ledger has."""
    return FRAME_COLUMNS[schema_version(db) < 2]


def read_runs(db: sqlite3.Connection, *, manifests: bool = True, after: int = 0, limit: int = -1) -> list[RunRow]:
    """Return all runs of a ledger, first to last.

    Args:
        db: of the ledger.
        manifests: False leaves them out: they are nearly all of it, and few readers need more than the last.
        after: id of the run to begin behind; 0 for the first.
        limit: how many at most; -1 for all.
    """
    select = f"{_select_runs(db, manifests=manifests)} WHERE id > ? ORDER BY id LIMIT ?"
    return [RunRow(*row) for row in db.execute(select, (after, limit))]


def read_run(db: sqlite3.Connection) -> RunRow | None:
    """Return the last run, or None where there is none."""
    row = db.execute(f"{_select_runs(db)} ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else RunRow(*row)


def whole_run(db: sqlite3.Connection, run: RunRow) -> RunRow:
    """Return a run with its manifest.

    Raises:
        ValueError: there is no such run any more.
    """
    if run.manifest:
        return run
    row = db.execute("SELECT manifest FROM run WHERE id = ?", (run.id,)).fetchone()
    if row is None:
        message = f"the ledger has no run {run.id}"
        raise ValueError(message)
    return msgspec.structs.replace(run, manifest=row[0])


def _select_runs(db: sqlite3.Connection, *, manifests: bool = True) -> str:
    columns = _RUN_COLUMNS[schema_version(db) < 2]
    return f"SELECT {columns if manifests else columns.replace(' manifest,', _NO_MANIFEST)} FROM run"  # noqa: S608 - constants


def begin_run(db: sqlite3.Connection, manifest: Manifest, parent: RunRow | None, first_seq: int) -> RunRow:
    """Add a run behind its sealed predecessor, within the caller's transaction; return its row."""
    run = RunRow(
        run_id=manifest.run_id,
        version=manifest.version,
        mode=manifest.mode,
        seed=manifest.seed,
        config_digest=manifest.config_digest,
        manifest=msgspec.json.encode(manifest),
        status="running",
        event_digest="",
        frames=0,
        chain=b"",
        id=1 if parent is None else parent.id + 1,
        parent=None if parent is None else parent.run_id,
        started=time.time_ns(),
        first_seq=first_seq,
    )
    start = run.expected_start(parent)
    run = msgspec.structs.replace(run, chain=start, chain_start=start)
    columns = msgspec.structs.asdict(run)
    places = ", ".join("?" * len(columns))
    db.execute(
        f"INSERT INTO run ({', '.join(columns)}) VALUES ({places})",  # noqa: S608 - names of fields
        tuple(columns.values()),
    )
    return run


def seal_run(db: sqlite3.Connection, run: RunRow, status: str, digest: str, frames: int, chain: bytes) -> RunRow:
    """Write down how a run ended; return its row as it is now."""
    db.execute(
        "UPDATE run SET status = ?, event_digest = ?, frames = ?, chain = ? WHERE id = ?",
        (status, digest, frames, chain, run.id),
    )
    return msgspec.structs.replace(run, status=status, event_digest=digest, frames=frames, chain=chain)


# -- hashes ------------------------------------------------------------------------------------------------------------


def encode_causes(causes: list[int]) -> bytes:
    """Encode the causes of a frame; the common case, all -1, is empty."""
    if causes.count(-1) == len(causes):
        return b""
    return msgspec.msgpack.encode(causes)


def decode_causes(data: bytes, n: int) -> list[int]:
    """Decode what :func:`encode_causes` gave for ``n`` events."""
    return msgspec.msgpack.decode(data, type=list[int]) if data else [-1] * n


def frame_hash(
    previous: bytes,
    seq: int,
    ts: int,
    ts_event: int,
    source: str,
    data: bytes | None,
    body: bytes,
    causes: bytes,
    mark: bytes = b"",
) -> bytes:
    """Return the chain value of a row: SHA-256 over the previous one and every column, lengths included."""
    head = b"%d,%d,%d,%d,%d,%d,%s;" % (
        seq,
        ts,
        ts_event,
        -1 if data is None else len(data),
        len(body),
        len(causes),
        source.encode(),
    )
    return hashlib.sha256(b"".join((previous, mark, head, data or b"", body, causes))).digest()


def live_mark(ordinal: int, n: int, tape: TapeMark | None) -> bytes:
    """Return what a live row hashes before the rest; it begins with a letter, the rest with a digit or a sign."""
    return b"L%d,%d,%d,%d,%d," % (ordinal, n, *(tape or (-1, -1, -1)))


def chain_start(
    run_id: str, version: str, mode: str, seed: int, config_digest: str, manifest: bytes, *, link: bytes = b""
) -> bytes:
    """Return the value the frame chain starts from, which binds the run's own row into the chain."""
    head = msgspec.json.encode([run_id, version, mode, seed, config_digest])
    return hashlib.sha256(link + head + b"\n" + manifest).digest()


def run_link(started: int | None, first_seq: int, parent: RunRow | None) -> bytes:
    """Return what binds a live run to its place and to the seal of its predecessor; empty for a replay."""
    if started is None:
        return b""
    head = b"L%d,%d;" % (started, first_seq)
    if parent is None:
        return head
    seal = msgspec.json.encode([parent.run_id, parent.status, parent.event_digest, parent.frames])
    return head + seal + parent.chain


def snapshot_digest(chain: bytes, row: SnapshotRow) -> bytes:
    """Return the SHA-256 over a snapshot and the hash of the frame it stands behind."""
    head = b"%d,%d,%d,%d;" % (row.seq, row.ts, len(row.core), len(row.edge))
    return hashlib.sha256(b"".join((chain, head, row.event_digest, row.core, row.edge))).digest()


def reply_digest(row: KeptReply) -> bytes:
    """Return the SHA-256 over a kept reply."""
    head = msgspec.json.encode([row.key, row.method, row.digest, row.seq, row.ts])
    return hashlib.sha256(head + b"\n" + row.reply).digest()


# -- rows --------------------------------------------------------------------------------------------------------------


def frame_rows(
    frames: Sequence[Frame], codec: Codec, chain: bytes, ordinal: int, tape: TapeMark | None
) -> tuple[list[FrameRow], bytes]:
    """Return the rows of one commit's frames and the chain value behind them.

    Args:
        frames: in order.
        codec: to encode inputs.
        chain: value before them.
        ordinal: of the frame before them.
        tape: what the commit covers; the last row says so.
    """
    rows: list[FrameRow] = []
    last = len(frames) - 1
    for i, frame in enumerate(frames):
        envelope = frame.envelope
        data = None if isinstance(envelope.body, Market) else codec.encode(envelope.body)
        causes = encode_causes(frame.causes)
        n = len(frame.events)
        ordinal += 1
        mark = tape if i == last else None
        chain = frame_hash(
            chain,
            envelope.seq,
            envelope.ts_init,
            envelope.ts_event,
            envelope.source,
            data,
            frame.body,
            causes,
            live_mark(ordinal, n, mark),
        )
        head = (envelope.seq, envelope.ts_init, envelope.ts_event, envelope.source, data, n, frame.body, causes, chain)
        rows.append((*head, ordinal, *(mark or (None, None, None))))
    return rows, chain


def row_hash(previous: bytes, row: FrameRow) -> bytes:
    """Return the hash that a stored row should have behind ``previous``."""
    seq, ts, ts_event, source, data, n, body, causes, _, ordinal, day, pos, crc = row
    tape = None if day is None or pos is None or crc is None else (day, pos, crc)
    mark = b"" if ordinal is None else live_mark(ordinal, n, tape)
    return frame_hash(previous, seq, ts, ts_event, source, data, body, causes, mark)


QUARANTINE: Final = (
    "INSERT INTO quarantine (seq, ts, actor, input, body, error, traceback) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def quarantine_row(record: PoisonRecord, codec: Codec) -> tuple[int, int, str, str, bytes | None, str, str]:
    """Return the columns of :data:`QUARANTINE`."""
    envelope = record.envelope
    body = envelope.body
    data = None if isinstance(body, Market) else codec.encode(body)
    return envelope.seq, envelope.ts_init, record.actor, type(body).__name__, data, record.error, record.traceback


REPLY: Final = (
    "INSERT INTO idempotency (key, method, params, reply, seq, ts, digest) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET reply = excluded.reply, seq = excluded.seq, ts = excluded.ts,"
    " digest = excluded.digest WHERE method = excluded.method AND params = excluded.params"
)
"""A later answer to the same call takes the place of the first (a flatten that goes on); another call must not."""


def reply_row(row: KeptReply) -> tuple[str, str, str, bytes, int, int, bytes]:
    """Return the columns of :data:`REPLY`."""
    return row.key, row.method, row.digest, row.reply, row.seq, row.ts, reply_digest(row)


OUTBOX: Final = (
    "INSERT INTO outbox (alert_id, ts, severity, body, state, attempts) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (alert_id) DO UPDATE SET ts = excluded.ts, severity = excluded.severity, body = excluded.body,"
    " state = excluded.state, attempts = excluded.attempts"
)
SNAPSHOT: Final = (
    "INSERT INTO snapshot (seq, ts, event_digest, core, edge, digest) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (seq) DO UPDATE SET ts = excluded.ts, event_digest = excluded.event_digest, core = excluded.core,"
    " edge = excluded.edge, digest = excluded.digest"
)
"""One that was there is one that could not be used: where it can, no other is taken behind the same input."""
SNAPSHOTS_KEPT: Final = 3
PRUNE_SNAPSHOTS: Final = (
    "DELETE FROM snapshot WHERE seq <= (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 1 OFFSET ?)"
)
