"""Checks of a ledger file that need no knowledge of markets: is it whole, in order, unchanged and sealed?"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from daemon.journal.batch import KeptReply, SnapshotRow
from daemon.journal.rows import (
    FrameRow,
    RunRow,
    frame_columns,
    read_run,
    read_runs,
    reply_digest,
    row_hash,
    schema_version,
    snapshot_digest,
    whole_run,
)
from daemon.journal.sqlite import open_readonly
from daemon.kernel.digest import DIGEST_START, extend_digest

__all__ = [
    "Check",
    "Finding",
    "RunRow",
    "Walk",
    "check_chain",
    "check_integrity",
    "check_older",
    "check_replies",
    "check_sealed",
    "check_snapshots",
    "frame_chunks",
    "read_run",
    "read_runs",
    "walk_chain",
]

CHUNK: Final = 5_000
"""Rows read at a time, so that a check of a live ledger never holds its WAL for long."""
LAST_SEQ: Final = 2**62


class Check(msgspec.Struct, frozen=True):
    """One verified promise: its stable name, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with the chain, ``CHAIN_BROKEN`` (a row was changed) or ``ROW_MISSING``, and where."""

    reason: str
    detail: str


class Walk(msgspec.Struct):
    """How far a walk along the chain came.

    Attributes:
        chain: hash of the last row, or what the next row's run starts from.
        ts: of the last row.
        counted: frames up to the last row; None where that is unknown (begun in the middle of a replay).
        rows: walked.
        digest: of all events so far, or None where the walk did not begin with the first row.
        ends: event digest behind each run that ended, by its id.
        finding: the first thing that is wrong.
    """

    chain: bytes = b""
    ts: int = -(2**63)
    counted: int | None = 0
    rows: int = 0
    digest: bytes | None = DIGEST_START
    ends: dict[int, bytes] = msgspec.field(default_factory=dict)
    finding: Finding | None = None


def check_integrity(db: sqlite3.Connection) -> Check:
    """Let SQLite check pages and indices (it leaves out CHECK constraints on connections that only read)."""
    try:
        answers = [row[0] for row in db.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return Check("integrity", ok=False, detail=str(error))
    return Check("integrity", ok=answers == ["ok"], detail="; ".join(answers[:3]))


def check_sealed(runs: RunRow | Sequence[RunRow]) -> Check:
    """Every run says how it ended; only the last of a live ledger may still be running."""
    every = [runs] if isinstance(runs, RunRow) else list(runs)
    for run in every[:-1]:
        if run.status == "running":
            return Check("sealed", ok=False, detail=f"run {run.run_id} was followed by another and never sealed")
    last = every[-1]
    ok = last.status == "ended" or (last.started is not None and last.status in {"running", "recovered"})
    return Check("sealed", ok=ok, detail=f"status {last.status}")


def check_chain(
    db: sqlite3.Connection, runs: RunRow | Sequence[RunRow], *, should_stop: Callable[[], bool] = lambda: False
) -> list[Check]:
    """Recompute the hash chain over every row of a ledger, and the event digest over every event.

    Args:
        db: of the ledger.
        runs: all its runs; the last may be running, and may grow while this goes on.
        should_stop: asked between chunks of rows.
    """
    every = [runs] if isinstance(runs, RunRow) else list(runs)
    walk = walk_chain(db, every, should_stop=should_stop)
    finding = walk.finding
    checks = [Check("hash_chain", ok=finding is None, detail=finding.detail if finding else f"{walk.rows} rows")]
    detail = "" if walk.digest is None else walk.digest.hex()[:16]
    ok = True
    for run in every:
        if run.archived is None and run.status != "running":
            found = walk.ends.get(run.id, b"").hex()
            if found != run.event_digest:
                ok = False
                detail = f"computed {found[:16] or 'nothing'}, sealed with {run.event_digest[:16] or 'nothing'}"
                break
    checks.append(Check("event_digest", ok=ok and finding is None, detail=detail))
    return checks


def check_older(path: Path, before: int, *, should_stop: Callable[[], bool] = lambda: False) -> list[Check]:
    """Check what a start left out: the rows up to ``before``, and every page. For the background of a live daemon.

    Args:
        path: of the ledger.
        before: ``OpenedLedger.unchecked_before``.
        should_stop: asked between chunks; what was looked at until then is reported.

    Raises:
        OperatorError, sqlite3.OperationalError: the ledger cannot be read now.
    """
    db = open_readonly(path)
    try:
        walk = walk_chain(db, read_runs(db, manifests=False), upto=before, should_stop=should_stop)
        detail = walk.finding.detail if walk.finding else f"{walk.rows} rows"
        checks = [Check("hash_chain", ok=walk.finding is None, detail=detail)]
        return checks if should_stop() else [*checks, check_integrity(db)]
    except sqlite3.OperationalError:
        raise  # locked or out of reach, which says nothing about the rows
    except sqlite3.DatabaseError as error:  # a page that is none: damage, and not a fault of whoever looks
        return [Check("integrity", ok=False, detail=str(error))]
    finally:
        db.close()


# -- the chain ---------------------------------------------------------------------------------------------------------


def frame_chunks(db: sqlite3.Connection, first: int, last: int) -> Iterator[list[FrameRow]]:
    """Give the rows with ``first <= seq <= last`` in chunks; no read transaction lasts longer than one."""
    select = f"SELECT {frame_columns(db)} FROM frame WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT {CHUNK}"  # noqa: S608
    while rows := db.execute(select, (first, last)).fetchall():
        yield rows
        first = rows[-1][0] + 1


def walk_chain(
    db: sqlite3.Connection,
    runs: Sequence[RunRow],
    *,
    after: int = 0,
    upto: int = LAST_SEQ,
    should_stop: Callable[[], bool] = lambda: False,
) -> Walk:
    """Recompute the hash chain, and the event digest, over the rows with ``after < seq <= upto``.

    Args:
        db: of the ledger.
        runs: all of its runs, with or without manifests. Where another begins meanwhile, its rows are left to the next
            walk; a run that is archived meanwhile counts as archived.
        after: the seq of a row to begin behind, which is taken as it is; 0 for the first.
        upto: seq of the last row to look at.
        should_stop: asked between chunks.
    """
    walk = Walk()
    if after:
        columns = frame_columns(db)
        row = db.execute(f"SELECT {columns} FROM frame WHERE seq = ?", (after,)).fetchone()  # noqa: S608 - constants
        walk.ts, walk.chain, walk.counted, walk.digest = row[1], row[8], row[9], None
    base = 0
    for i, run in enumerate(runs):
        end = runs[i + 1].first_seq - 1 if i + 1 < len(runs) else LAST_SEQ
        if end > after or run.first_seq > after:
            walk.finding = _check_start(whole_run(db, run), runs[i - 1] if i else None)
            if walk.finding is None and run.archived is None:
                if run.first_seq > after:
                    walk.chain = run.chain_start or whole_run(db, run).expected_start(None)
                    walk.counted = base
                walk.finding = _walk_rows(db, walk, run, (max(run.first_seq, after + 1), min(end, upto)), should_stop)
            if walk.finding is None and (end > upto or should_stop()):
                break
            walk.finding = walk.finding or _end_run(run, walk, base)
            if walk.finding is not None:
                if not _archived_since(db, run):
                    break
                walk.finding, walk.ends[run.id] = None, bytes.fromhex(run.event_digest)
                walk.digest = None if walk.digest is None else walk.ends[run.id]
        base += run.frames
    return walk


def _archived_since(db: sqlite3.Connection, run: RunRow) -> bool:
    """Tell whether a sealed run left the ledger after it was looked up: its rows go while somebody walks along them."""
    if run.archived is not None or run.status == "running" or run.started is None:
        return False
    row = db.execute("SELECT archived FROM run WHERE id = ?", (run.id,)).fetchone()
    return row is not None and row[0] is not None


def _check_start(run: RunRow, parent: RunRow | None) -> Finding | None:
    """The run's own row, and the seal of the one before it, are bound into the chain."""
    if run.parent != (None if parent is None else parent.run_id):
        return Finding("ROW_MISSING", f"the run before {run.run_id} is not the one it went on from")
    if run.chain_start and run.chain_start != run.expected_start(parent):
        return Finding("CHAIN_BROKEN", f"the row of run {run.run_id}, or the seal of the one before it, was changed")
    return None


def _walk_rows(
    db: sqlite3.Connection, walk: Walk, run: RunRow, between: tuple[int, int], should_stop: Callable[[], bool]
) -> Finding | None:
    for rows in frame_chunks(db, *between):
        # Asked behind the rows: a run that they belong to is there by then.
        following = _first_seq_behind(db, run)
        for row in rows:
            if row[0] >= following:
                return None
            if row_hash(walk.chain, row) != row[8] or row[1] < walk.ts or not _holds(row):
                return _explain(db, row, walk)
            walk.chain, walk.ts = row[8], row[1]
            if walk.counted is not None:
                walk.counted += 1
            if row[5] and walk.digest is not None:
                walk.digest = extend_digest(walk.digest, row[2], row[6])
            walk.rows += 1
        if should_stop():
            return None
    return None


def _first_seq_behind(db: sqlite3.Connection, run: RunRow) -> int:
    """Return where a run ends that was running when it was looked up, because another has begun since."""
    if run.status != "running" or run.started is None:
        return LAST_SEQ + 1
    first: int | None = db.execute("SELECT min(first_seq) FROM run WHERE id > ?", (run.id,)).fetchone()[0]
    return LAST_SEQ + 1 if first is None else first


def _holds(row: FrameRow) -> bool:
    """Tell whether a row holds as many events as it says; a live row's hash knows that already."""
    if row[9] is not None:
        return True
    try:
        return row[5] == len(msgspec.msgpack.decode(row[6], type=list[msgspec.Raw]))
    except msgspec.MsgspecError:
        return False


def _explain(db: sqlite3.Connection, row: FrameRow, walk: Walk) -> Finding:
    seq, ordinal = row[0], row[9]
    if row_hash(walk.chain, row) == row[8]:
        if row[1] < walk.ts:
            return Finding("CHAIN_BROKEN", f"the row with seq {seq} goes back in order or time")
        return Finding("CHAIN_BROKEN", f"the row with seq {seq} does not hold the {row[5]} events it speaks of")
    if ordinal is not None and walk.counted is not None and ordinal > walk.counted + 1:
        # A row whose count alone was changed does not fit to the one behind it; a row behind a gap does.
        following = db.execute("SELECT ordinal FROM frame WHERE seq > ? ORDER BY seq LIMIT 1", (seq,)).fetchone()
        if following is None or following[0] is None or following[0] > ordinal:
            gap = ordinal - walk.counted - 1
            return Finding(
                "ROW_MISSING", f"{gap} row{'s are' if gap > 1 else ' is'} missing before the one with seq {seq}"
            )
    return Finding("CHAIN_BROKEN", f"the row with seq {seq} is not the one that was written")


def _end_run(run: RunRow, walk: Walk, base: int) -> Finding | None:
    """Compare what was walked with what the run was sealed with."""
    if run.archived is not None:
        walk.digest = bytes.fromhex(run.event_digest) if run.event_digest else walk.digest
        return None
    if run.status == "running":
        return None
    if walk.counted is not None and walk.counted != base + run.frames:
        found = walk.counted - base
        reason = "ROW_MISSING" if found < run.frames else "CHAIN_BROKEN"
        return Finding(reason, f"{found} rows where {run.frames} were written")
    if walk.chain != run.chain:
        return Finding("CHAIN_BROKEN", "the last row's hash is not the one the run was sealed with")
    if walk.digest is not None:
        walk.ends[run.id] = walk.digest
    return None


# -- rows beside the chain ---------------------------------------------------------------------------------------------


def read_snapshot(db: sqlite3.Connection, seq: int) -> SnapshotRow | None:
    """Return the snapshot behind a frame, or None where it is not the one that was written there."""
    row = db.execute("SELECT seq, ts, event_digest, core, edge, digest FROM snapshot WHERE seq = ?", (seq,)).fetchone()
    frame = db.execute("SELECT hash FROM frame WHERE seq = ?", (seq,)).fetchone()
    if row is None or frame is None:
        return None
    snapshot = SnapshotRow(*row[:5])
    return snapshot if snapshot_digest(frame[0], snapshot) == row[5] else None


def snapshot_seqs(db: sqlite3.Connection) -> list[int]:
    """Return behind which frames there are snapshots, newest first."""
    return [seq for (seq,) in db.execute("SELECT seq FROM snapshot ORDER BY seq DESC").fetchall()]


def check_snapshots(db: sqlite3.Connection) -> Check:
    """Every snapshot is the one that was taken behind its frame."""
    if schema_version(db) < 2:
        return Check("snapshots", ok=True, detail="none")
    seqs = snapshot_seqs(db)
    bad = [str(seq) for seq in seqs if read_snapshot(db, seq) is None]
    detail = f"behind seq {', '.join(bad)}: not the one that was taken" if bad else f"{len(seqs)} snapshots"
    return Check("snapshots", ok=not bad, detail=detail)


def read_replies(db: sqlite3.Connection) -> Iterator[tuple[KeptReply, bool]]:
    """Give every kept reply and whether it is the one that was written, in order of its frame."""
    for *columns, digest in db.execute(
        "SELECT key, method, params, reply, seq, ts, digest FROM idempotency ORDER BY seq, key"
    ).fetchall():
        reply = KeptReply(*columns)
        yield reply, reply_digest(reply) == digest


def check_replies(db: sqlite3.Connection) -> Check:
    """Every kept reply is the one that was promised."""
    if schema_version(db) < 2:
        return Check("replies", ok=True, detail="none")
    count = 0
    for reply, ok in read_replies(db):
        count += 1
        if not ok:
            return Check("replies", ok=False, detail=f"the reply under {reply.key!r} is not the one that was given")
    return Check("replies", ok=True, detail=f"{count} replies")
