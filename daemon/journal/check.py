"""Checks of a ledger file that need no knowledge of markets: is it whole, in order, unchanged and sealed?"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from daemon.journal.sqlite import chain_start, frame_hash
from daemon.kernel.sequencer import DIGEST_START, extend_digest

_RUN: Final = "run_id, version, mode, seed, config_digest, manifest, status, event_digest, frames, chain"


class Check(msgspec.Struct, frozen=True):
    """One verified promise: its stable name, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


class RunRow(msgspec.Struct, frozen=True):
    """The ledger's row about its run, as stored."""

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

    def manifest_dict(self) -> dict[str, Any]:
        """Return the decoded manifest."""
        decoded: dict[str, Any] = msgspec.json.decode(self.manifest)
        return decoded


def read_run(db: sqlite3.Connection) -> RunRow | None:
    """Return the run row, or None where there is none."""
    row = db.execute(f"SELECT {_RUN} FROM run").fetchone()  # noqa: S608 - a constant
    return None if row is None else RunRow(*row)


def check_integrity(db: sqlite3.Connection) -> Check:
    """Let SQLite check pages, indices and constraints."""
    try:
        answers = [row[0] for row in db.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return Check("integrity", ok=False, detail=str(error))
    return Check("integrity", ok=answers == ["ok"], detail="; ".join(answers[:3]))


def check_sealed(run: RunRow) -> Check:
    """A finished run says so."""
    return Check("sealed", ok=run.status == "ended", detail=f"status {run.status}")


def check_chain(db: sqlite3.Connection, run: RunRow) -> list[Check]:
    """Recompute the hash chain over every row, and the event digest over every event."""
    columns = (run.run_id, run.version, run.mode, run.seed, run.config_digest, run.manifest)
    chain = chain_start(*columns)
    digest = DIGEST_START
    previous_seq = 0
    previous_ts = -(2**63)
    count = 0
    problem = ""
    rows = db.execute("SELECT seq, ts, ts_event, source, input, n, body, causes, hash FROM frame ORDER BY seq")
    for seq, ts, ts_event, source, data, n, body, causes, stored in rows:
        count += 1
        chain = frame_hash(chain, seq, ts, ts_event, source, data, body, causes)
        if chain != stored:
            problem = f"the row with seq {seq} is not the one that was written"
            break
        if seq <= previous_seq or ts < previous_ts:
            problem = f"the row with seq {seq} goes back in order or time"
            break
        if n != len(msgspec.msgpack.decode(body, type=list[msgspec.Raw])):  # the one column outside the chain
            problem = f"the row with seq {seq} does not hold the {n} events it speaks of"
            break
        previous_seq, previous_ts = seq, ts
        if n:
            digest = extend_digest(digest, ts_event, body)
    if not problem and count != run.frames:
        problem = f"{count} rows where {run.frames} were written"
    if not problem and chain != run.chain:
        problem = "the last row's hash is not the one the run was sealed with"
    checks = [Check("hash_chain", ok=not problem, detail=problem or f"{count} rows")]
    found = digest.hex() if not problem else ""
    ok = found == run.event_digest
    detail = (
        found[:16] if ok else f"computed {found[:16] or 'nothing'}, sealed with {run.event_digest[:16] or 'nothing'}"
    )
    checks.append(Check("event_digest", ok=ok, detail=detail))
    return checks
