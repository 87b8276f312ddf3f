"""The ledger's tables: what they refuse, and how an older ledger comes forward."""

from __future__ import annotations

import re
import sqlite3
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from daemon.journal.check import check_chain, check_integrity, check_replies, check_sealed, check_snapshots, read_run
from daemon.journal.journal import Manifest
from daemon.journal.rows import encode_causes, frame_hash, read_runs, schema_version
from daemon.journal.schema import APPLICATION_ID, SCHEMA, migrate
from daemon.journal.sqlite import SqliteJournal, chain_start, open_readonly, read_frames
from daemon.kernel.digest import DIGEST_START
from tests.journal.ledger_support import (
    CODEC,
    batch,
    event_digest,
    manifest,
    problems,
    recorded,
    reopened,
    writing,
)

FRAME = (
    "INSERT INTO frame (seq, ts, ts_event, source, input, n, body, causes, hash, ordinal, tape_day, tape_pos, tape_crc)"
)
GOOD_FRAME = "1, 1, 1, 's', x'01', 0, x'90', x'', zeroblob(32), 1, 20240102, 10, 7"


def empty() -> sqlite3.Connection:
    """Return a ledger in memory without rows."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("BEGIN")
    migrate(db, 0)
    db.execute("COMMIT")
    return db


@pytest.mark.parametrize(
    "values",
    [
        GOOD_FRAME.replace("1, 1, 1, 's'", "0, 1, 1, 's'"),
        GOOD_FRAME.replace("1, 1, 1, 's'", "'abc', 1, 1, 's'"),
        GOOD_FRAME.replace("1, 1, 1, 's'", "1, 'abc', 1, 's'"),
        GOOD_FRAME.replace("1, 1, 1, 's'", "1, 1, 9e999, 's'"),
        GOOD_FRAME.replace("'s'", "''"),
        GOOD_FRAME.replace("'s'", f"'{'s' * 65}'"),
        GOOD_FRAME.replace("x'01'", "x''"),
        GOOD_FRAME.replace("x'01', 0,", "x'01', -1,"),
        GOOD_FRAME.replace("x'01', 0,", "x'01', 1000001,"),
        GOOD_FRAME.replace("x'90'", "NULL"),
        GOOD_FRAME.replace("zeroblob(32)", "zeroblob(31)"),
        GOOD_FRAME.replace("20240102, 10, 7", "20240102, NULL, 7"),
        GOOD_FRAME.replace("20240102, 10, 7", "NULL, 10, 7"),
        GOOD_FRAME.replace("20240102, 10, 7", "20240102, 10, NULL"),
        GOOD_FRAME.replace("20240102, 10, 7", "20240102, -1, 7"),
        GOOD_FRAME.replace("20240102, 10, 7", "1, 10, 7"),
        GOOD_FRAME.replace("20240102, 10, 7", "20240102, 10, 4294967296"),
        GOOD_FRAME.replace("zeroblob(32), 1, 2024", "zeroblob(32), NULL, 2024"),
        GOOD_FRAME.replace("zeroblob(32), 1, 2024", "zeroblob(32), 0, 2024"),
    ],
)
def test_a_frame_that_cannot_be_is_refused_by_the_table(values: str) -> None:
    """Types are strict, and every bound has two sides."""
    db = empty()
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(f"{FRAME} VALUES ({values})")
    db.execute(f"{FRAME} VALUES ({GOOD_FRAME})")
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger VALUES (2, zeroblob(16), 0)",
        "INSERT INTO ledger VALUES (1, zeroblob(15), 0)",
        "INSERT INTO ledger VALUES (1, zeroblob(16), -1)",
        "INSERT INTO snapshot VALUES (1, 1, zeroblob(31), x'01', x'', zeroblob(32))",
        "INSERT INTO snapshot VALUES (1, 1, zeroblob(32), x'', x'', zeroblob(32))",
        "INSERT INTO snapshot VALUES (0, 1, zeroblob(32), x'01', x'', zeroblob(32))",
        "INSERT INTO idempotency VALUES ('', 'm', printf('%064d', 0), x'01', 1, 1, zeroblob(32))",
        "INSERT INTO idempotency VALUES ('k', 'm', printf('%063d', 0), x'01', 1, 1, zeroblob(32))",
        "INSERT INTO idempotency VALUES ('k', 'm', printf('%064d', 0), x'01', -1, 1, zeroblob(32))",
        "INSERT INTO outbox VALUES ('a', 1, 'fatal', x'01', 'pending', 0)",
        "INSERT INTO outbox VALUES ('a', 1, 'info', x'01', 'sent', 0)",
        "INSERT INTO outbox VALUES ('a', 1, 'info', x'01', 'pending', -1)",
        "INSERT INTO quarantine VALUES (1, 0, 1, 'a', 'i', NULL, 'e', 't')",
        "INSERT INTO quarantine VALUES (1, 1, 1, '', 'i', NULL, 'e', 't')",
    ],
)
def test_other_rows_that_cannot_be_are_refused_by_their_tables(statement: str) -> None:
    """One bad value in each."""
    db = empty()
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)
    db.close()


def test_every_table_is_strict_and_every_column_is_checked() -> None:
    """A column without a CHECK is one that somebody forgot."""
    db = empty()
    for name, strict in db.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall():
        if name.startswith("sqlite_"):
            continue
        assert strict == 1, name
        text = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
        unchecked = [c for c in columns if not re.search(rf"CHECK \((length\()?{c}\b", text)]
        assert unchecked in ([], ["seed"]), name  # a seed may be any number
    db.close()


def test_steps_are_numbered_without_a_gap() -> None:
    """From 1 to the version of this program."""
    names = sorted(path.name for path in files("daemon.journal").joinpath("migrations").iterdir())
    assert names == [f"{step:04d}.sql" for step in range(1, SCHEMA + 1)]
    db = sqlite3.connect(":memory:")
    with pytest.raises(ValueError, match="newer"):
        migrate(db, SCHEMA + 1)
    db.close()


# ----------------------------------------------------------------------------------------------- a ledger of version 1


def version_1(path: Path, *, status: str = "ended") -> Manifest:
    """Write a replay's ledger exactly as the program did when its tables had version 1."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size = 8192")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.executescript(files("daemon.journal").joinpath("migrations", "0001.sql").read_text("utf-8"))
    made = manifest(mode="replay")
    columns = (made.run_id, made.version, made.mode, made.seed, made.config_digest, msgspec.json.encode(made))
    chain = chain_start(*columns)
    count = 0
    for n in range(5):
        for frame in batch(n).frames:
            envelope = frame.envelope
            data = None if count % 3 else CODEC.encode(envelope.body)
            causes = encode_causes(frame.causes)
            row = (envelope.seq, envelope.ts_init, envelope.ts_event, envelope.source, data)
            chain = frame_hash(chain, *row, frame.body, causes)
            db.execute(
                "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, len(frame.events), frame.body, causes, chain),
            )
            count += 1
    digest = event_digest(5).hex() if status == "ended" else ""
    frames, end = (count, chain) if status == "ended" else (0, chain_start(*columns))
    db.execute("INSERT INTO run VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*columns, status, digest, frames, end))
    db.execute("INSERT INTO quarantine VALUES (6, 6, 'risk', 'DepositCash', 'ValueError', 'Traceback')")
    db.close()
    return made


def test_a_run_folder_of_version_1_still_verifies_as_it_lies(tmp_path: Path) -> None:
    """Read only: nothing is brought forward, and a changed row is found."""
    path = tmp_path / "ledger.db"
    version_1(path)
    before = path.read_bytes()
    db = open_readonly(path)
    run = read_run(db)
    assert run is not None
    checks = [check_integrity(db), check_sealed(run), *check_chain(db, read_runs(db)), check_snapshots(db)]
    assert [check.ok for check in [*checks, check_replies(db)]] == [True] * 6
    assert len(list(read_frames(db, CODEC))) == 15
    db.close()
    assert path.read_bytes() == before
    changed = sqlite3.connect(path)
    changed.execute("UPDATE frame SET ts = ts + 1 WHERE seq = 7")
    changed.commit()
    changed.close()
    assert problems(path) == ["hash_chain", "event_digest"]


def test_the_hashes_of_a_replay_are_what_they_were_in_version_1(tmp_path: Path) -> None:
    """The same frames written by the program of today: equal row by row, and so is the run's start."""
    version_1(tmp_path / "old.db")
    journal = SqliteJournal(tmp_path / "new.db", manifest(mode="replay"), CODEC, durable=False)
    for n in range(5):
        for frame in batch(n).frames:
            journal.append(frame)
    journal.close("ended", event_digest(5).hex())
    found = []
    for name in ("old.db", "new.db"):
        db = open_readonly(tmp_path / name)
        found.append(
            (
                db.execute("SELECT seq, hash FROM frame ORDER BY seq").fetchall(),
                db.execute("SELECT chain, event_digest FROM run").fetchall(),
            )
        )
        db.close()
    assert found[0] == found[1]


@pytest.mark.asyncio
@pytest.mark.parametrize("status", ["ended", "running"])
async def test_a_ledger_of_version_1_is_brought_forward_and_goes_on(tmp_path: Path, status: str) -> None:
    """All rows stay as they were, the next run is bound to the one before, frames go on being counted."""
    path = tmp_path / "ledger.db"
    version_1(path, status=status)
    db = open_readonly(path)
    rows = db.execute("SELECT * FROM frame").fetchall()
    db.close()
    opened = reopened(tmp_path)
    assert [notice for notice in opened.notices if "from schema 1 to 2" in notice]
    assert (opened.last_seq, opened.event_digest, opened.unclean) == (20, event_digest(5), status == "running")
    opened.close()
    async with writing(tmp_path, "r2") as writer:
        await writer.commit(batch(5))
        await writer.seal("ended", event_digest(6).hex())
    db = open_readonly(path)
    assert schema_version(db) == SCHEMA
    moved = "SELECT seq, ts, ts_event, source, input, n, body, causes, hash FROM frame WHERE seq <= 20"
    assert db.execute(moved).fetchall() == rows
    assert db.execute("SELECT ordinal FROM frame WHERE seq > 20").fetchall() == [(16,), (17,), (18,)]
    assert db.execute("SELECT seq, actor, body, error FROM quarantine").fetchall() == [(6, "risk", None, "ValueError")]
    assert [(run.run_id, run.parent, run.frames) for run in read_runs(db)] == [("r1", None, 15), ("r2", "r1", 3)]
    fresh = empty()
    tables = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    assert db.execute(tables).fetchall() == fresh.execute(tables).fetchall()
    fresh.close()
    db.close()
    assert problems(path) == []
    opened = reopened(tmp_path)
    assert list(opened.inputs(20)) == recorded(6)[20:]
    assert opened.event_digest == event_digest(6)
    opened.close()


def test_a_migration_that_is_cut_off_leaves_the_old_ledger(tmp_path: Path) -> None:
    """All steps are one transaction: whoever dies in it, or rolls back, finds version 1."""
    path = tmp_path / "ledger.db"
    version_1(path)
    db = sqlite3.connect(path, isolation_level=None)
    before = list(db.iterdump())
    db.execute("BEGIN IMMEDIATE")
    migrate(db, 1)
    assert schema_version(db) == SCHEMA
    db.close()
    db = sqlite3.connect(path)
    assert (schema_version(db), list(db.iterdump())) == (1, before)
    db.close()


def test_an_empty_event_digest_is_where_a_ledger_starts(tmp_path: Path) -> None:
    """A run without frames ends where it began."""
    journal = SqliteJournal(tmp_path / "ledger.db", manifest(mode="replay"), CODEC, durable=False)
    journal.close("ended", DIGEST_START.hex())
    assert problems(tmp_path / "ledger.db") == []
