"""A start looks before it trusts: each kind of damage is refused for a reason of its own, and nothing is repaired."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from daemon.cli.tradingd import main
from daemon.journal import recovery
from daemon.journal.batch import TapeRow
from daemon.journal.check import check_chain, check_older, check_sealed, read_runs
from daemon.journal.failures import EXIT_CODES, LedgerRefusedError
from daemon.journal.head import HEAD, decode_head, encode_head
from daemon.journal.lock import LOCK, InstanceLock
from daemon.journal.opened import OpenedLedger
from daemon.journal.rows import FRAME_COLUMNS, row_hash
from daemon.journal.sqlite import open_readonly
from daemon.journal.tape import TapeWriter
from daemon.journal.version import check_sqlite, has_wal_reset_bug
from daemon.kernel.errors import ConfigError
from tests.conftest import ROOT
from tests.journal.ledger_support import (
    CODEC,
    MARKETS,
    PER_BATCH,
    batch,
    batches_in,
    change,
    event_digest,
    problems,
    recorded,
    reopened,
    write,
    writing,
)

DB, WAL, SHM = "ledger.db", "ledger.db-wal", "ledger.db-shm"


def refusal(state_dir: Path) -> LedgerRefusedError:
    """Return why the next start refuses; it must not have changed a byte."""
    before = contents(state_dir)
    with pytest.raises(LedgerRefusedError) as caught:
        reopened(state_dir).close()
    assert contents(state_dir) == before
    assert caught.value.exit_code == EXIT_CODES[caught.value.reason]
    assert caught.value.remedy
    return caught.value


def contents(state_dir: Path) -> dict[str, bytes]:
    """Return every file but the shared memory, which is nobody's data, and a WAL that holds nothing."""
    return {
        path.relative_to(state_dir).as_posix(): path.read_bytes()
        for path in sorted(state_dir.rglob("*"))
        if path.is_file() and path.name != SHM and (path.name != WAL or path.stat().st_size)
    }


def crashed(state_dir: Path, batches: int, *, first: int = 0, run_id: str = "r1") -> None:
    """Leave a ledger as a SIGKILL does: the WAL is there."""

    async def run() -> None:
        async with writing(state_dir, run_id) as writer:
            for n in range(first, first + batches):
                await writer.commit(batch(n))
            for name in (DB, WAL, HEAD):
                shutil.copy(state_dir / name, state_dir / f"{name}.kept")

    asyncio.run(run())
    (state_dir / SHM).unlink(missing_ok=True)
    for name in (DB, WAL, HEAD):
        (state_dir / f"{name}.kept").rename(state_dir / name)


def sealed(state_dir: Path, batches: int, *, first: int = 0, run_id: str = "r1") -> None:
    """Leave a ledger as a shutdown does: one file."""
    asyncio.run(write(state_dir, batches, first=first, run_id=run_id, seal=True))
    assert not (state_dir / WAL).exists() or not (state_dir / WAL).stat().st_size


# ------------------------------------------------------------------------------------------------------- what is whole


def test_an_empty_directory_is_fresh(tmp_path: Path) -> None:
    """No ledger and none expected: a start from nothing."""
    opened = reopened(tmp_path)
    assert (opened.fresh, opened.last_seq, opened.run, opened.unclean, opened.tape_day) == (True, 0, None, False, 0)
    assert (list(opened.inputs(0)), list(opened.snapshots()), list(opened.replies())) == ([], [], [])
    assert (opened.outbox_pending(), opened.panels_before(5, 5), opened.notices) == ([], [], [])
    opened.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_beside_a_daemon_that_writes_is_one_moment(tmp_path: Path) -> None:
    """Commits, a snapshot and a seal that come between two reads are of later: last seq and digest belong together."""
    crashed(tmp_path, 3)
    db = open_readonly(tmp_path / DB)
    later = iter([lambda: asyncio.run(write(tmp_path, 7, first=3, run_id="r2", seal=True))])

    def overtake(statement: str) -> None:
        if "FROM snapshot" in statement:
            for commit in later:
                commit()

    db.set_trace_callback(overtake)
    opened = OpenedLedger(tmp_path, CODEC, MARKETS, db)
    try:
        assert list(later) == [], "something was committed in between"
        assert (opened.last_seq, opened.event_digest) == (3 * PER_BATCH, event_digest(3))
        db.set_trace_callback(None)
        opened.refresh()
        assert (opened.last_seq, opened.event_digest) == (10 * PER_BATCH, event_digest(10))
    finally:
        opened.close()


def test_an_unsealed_predecessor_is_sealed_as_recovered_when_the_next_run_begins(tmp_path: Path) -> None:
    """Several runs in one ledger: each bound to the one before, numbers going on; all checks hold at any time."""
    crashed(tmp_path, 3)
    opened = reopened(tmp_path)
    assert opened.unclean
    opened.close()
    assert problems(tmp_path / DB) == []
    sealed(tmp_path, 2, first=3, run_id="r2")
    crashed(tmp_path, 0, first=5, run_id="r3")
    crashed(tmp_path, 4, first=5, run_id="r4")
    db = open_readonly(tmp_path / DB)
    runs = read_runs(db)
    assert [(r.run_id, r.parent, r.status, r.first_seq, r.frames) for r in runs] == [
        ("r1", None, "recovered", 1, 9),
        ("r2", "r1", "ended", 13, 6),
        ("r3", "r2", "recovered", 21, 0),
        ("r4", "r3", "running", 21, 0),
    ]
    assert [r.event_digest for r in runs] == [event_digest(3).hex(), event_digest(5).hex(), event_digest(5).hex(), ""]
    assert check_sealed(runs).ok
    assert [check.ok for check in check_chain(db, runs)] == [True, True]
    db.close()
    assert batches_in(tmp_path) == 9


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE frame SET ts = ts + 1 WHERE seq = 6", "CHAIN_BROKEN"),
        ("UPDATE frame SET ordinal = 100 WHERE seq = 6", "CHAIN_BROKEN"),
        ("UPDATE frame SET tape_pos = tape_pos + 1 WHERE seq = 8", "CHAIN_BROKEN"),
        ("UPDATE frame SET n = n + 1 WHERE seq = 6", "CHAIN_BROKEN"),
        ("UPDATE frame SET hash = zeroblob(32) WHERE seq = 12", "CHAIN_BROKEN"),
        ("UPDATE frame SET seq = 5 WHERE seq = 6", "CHAIN_BROKEN"),
        ("UPDATE run SET seed = 7 WHERE id = 1", "CHAIN_BROKEN"),
        ("UPDATE run SET started = started + 1 WHERE id = 2", "CHAIN_BROKEN"),
        ("UPDATE run SET event_digest = lower(hex(zeroblob(32))) WHERE id = 1", "CHAIN_BROKEN"),
        ("UPDATE run SET frames = frames - 1 WHERE id = 1", "CHAIN_BROKEN"),
        ("UPDATE run SET parent = NULL WHERE id = 2", "ROW_MISSING"),
        ("DELETE FROM run WHERE id = 1", "ROW_MISSING"),
        ("DELETE FROM run WHERE id = 2", "ROW_MISSING"),
        ("DELETE FROM run", "ROW_MISSING"),
        ("DELETE FROM frame WHERE seq = 2", "ROW_MISSING"),
        ("DELETE FROM frame WHERE seq IN (6, 7)", "ROW_MISSING"),
        ("DELETE FROM frame WHERE seq = 12", "ROW_MISSING"),
        ("DELETE FROM frame WHERE seq = 14", "ROW_MISSING"),
        ("DELETE FROM frame WHERE seq = 20", "ROW_MISSING"),
        ("DELETE FROM frame", "ROW_MISSING"),
    ],
)
def test_a_changed_row_is_told_from_a_missing_one(tmp_path: Path, statement: str, reason: str) -> None:
    """In either of two runs, the first, the middle and the last row; the row about a run."""
    sealed(tmp_path, 3)
    sealed(tmp_path, 2, first=3, run_id="r2")
    change(tmp_path / DB, statement)
    assert refusal(tmp_path).reason == reason


def test_a_changed_reply_or_snapshot_is_found(tmp_path: Path) -> None:
    """A reply refuses; a snapshot is a cache, so an older one serves and a notice says so."""
    sealed(tmp_path, 20)
    change(tmp_path / DB, "UPDATE snapshot SET core = x'00' WHERE seq = 80")
    change(tmp_path / DB, "UPDATE idempotency SET reply = x'7b7d' WHERE key = '0:request-3'")
    opened = reopened(tmp_path)
    assert [snapshot.seq for snapshot in opened.snapshots()] == [60, 40]
    assert [notice for notice in opened.notices if "snapshot" in notice] == [
        "the snapshot behind input 80 is not the one that was taken; an older one serves"
    ]
    assert opened.event_digest == event_digest(20)
    with pytest.raises(LedgerRefusedError, match="0:request-3") as caught:
        list(opened.replies())
    assert caught.value.reason == "CHAIN_BROKEN"
    opened.close()
    assert problems(tmp_path / DB) == ["snapshots", "replies"]


def test_of_a_long_ledger_the_newest_rows_are_checked_and_the_rest_is_left_to_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage in the old part does not hold up a start; the check of the rest finds it."""
    monkeypatch.setattr(recovery, "CHECKED_ROWS", 10)
    sealed(tmp_path, 6)
    opened = reopened(tmp_path)
    assert opened.unchecked_before == 11  # the 8th of 18 frames
    assert opened.event_digest == event_digest(6)
    opened.close()
    assert [check.ok for check in check_older(tmp_path / DB, 11)] == [True, True]
    change(tmp_path / DB, "UPDATE frame SET ts = ts - 1 WHERE seq = 7")
    reopened(tmp_path).close()
    assert [check.detail for check in check_older(tmp_path / DB, 11) if not check.ok] == [
        "the row with seq 7 is not the one that was written"
    ]
    assert [check.name for check in check_older(tmp_path / DB, 11, should_stop=lambda: True)] == ["hash_chain"]
    change(tmp_path / DB, "UPDATE frame SET ts = ts - 1 WHERE seq = 22")
    assert refusal(tmp_path).reason == "CHAIN_BROKEN"


def test_a_page_that_is_none_is_damage_for_the_background_too(tmp_path: Path) -> None:
    """Not a fault of whoever looks, which would be tried again; a ledger that is locked is no damage."""
    sealed(tmp_path, 6)
    db = sqlite3.connect(tmp_path / DB)
    (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'frame'").fetchone()
    db.close()
    flip(tmp_path / DB, (page - 1) * 8192)
    (damage,) = check_older(tmp_path / DB, 11)
    assert (damage.name, damage.ok) == ("integrity", False)
    assert "malformed" in damage.detail


def test_parity_of_a_damaged_ledger_is_no_fault_of_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that says where to look, as verify has."""
    sealed(tmp_path, 6)
    db = sqlite3.connect(tmp_path / DB)
    (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'run'").fetchone()
    db.close()
    flip(tmp_path / DB, (page - 1) * 8192)
    assert main(["parity", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "database disk image is malformed; see what tradingd verify says" in said
    assert "fault of the program" not in said


def test_pages_of_a_large_file_are_left_to_the_background_however_few_its_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row was looked at, so every page remains: the background is told to come."""
    sealed(tmp_path, 6)
    opened = reopened(tmp_path)
    assert opened.unchecked_before == 0
    opened.close()
    monkeypatch.setattr(recovery, "CHECKED_BYTES", 0)
    opened = reopened(tmp_path)
    assert opened.unchecked_before == 1
    opened.close()
    assert [check.name for check in check_older(tmp_path / DB, 1)] == ["hash_chain", "integrity"]


def test_of_a_ledger_with_snapshots_what_a_start_may_fold_from_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the oldest snapshot on, at least so many rows and at most so many; the rest is left to the background."""
    monkeypatch.setattr(recovery, "CHECKED_LEAST", 3)
    sealed(tmp_path, 30)  # snapshots behind the inputs 80, 100 and 120; three rows in four inputs
    opened = reopened(tmp_path)
    assert opened.unchecked_before == 80
    opened.close()
    monkeypatch.setattr(recovery, "CHECKED_LEAST", 45)
    opened = reopened(tmp_path)
    assert opened.unchecked_before == 60
    opened.close()
    monkeypatch.setattr(recovery, "CHECKED_ROWS", 15)
    opened = reopened(tmp_path)
    assert opened.unchecked_before == 100
    opened.close()
    assert [check.ok for check in check_older(tmp_path / DB, 100)] == [True, True]


def test_a_start_reads_only_the_manifests_of_runs_that_it_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are most of what many restarts leave; one that was changed is found by the check of the rest."""
    monkeypatch.setattr(recovery, "CHECKED_ROWS", 5)
    for n in range(6):
        sealed(tmp_path, 2, first=2 * n, run_id=f"r{n}")
    change(tmp_path / DB, "UPDATE run SET manifest = x'7b7d' WHERE id <= 3")
    opened = reopened(tmp_path)
    assert opened.run is not None
    assert opened.run.manifest_dict()["run_id"] == "r5"
    assert opened.event_digest == event_digest(12)
    assert [check.detail for check in check_older(tmp_path / DB, opened.unchecked_before)][:1] == [
        "the row of run r0, or the seal of the one before it, was changed"
    ]
    opened.close()
    change(tmp_path / DB, "UPDATE run SET manifest = x'7b7d' WHERE id = 6")
    assert refusal(tmp_path).reason == "CHAIN_BROKEN"


def test_an_older_ledger_is_brought_forward_and_a_newer_one_refused(tmp_path: Path) -> None:
    """A newer schema by this program or a future one: upgrade, nothing else."""
    sealed(tmp_path, 2)
    change(tmp_path / DB, "UPDATE ledger SET epoch = epoch + 1")
    db = sqlite3.connect(tmp_path / DB)
    db.execute("PRAGMA user_version = 3")
    db.close()
    error = refusal(tmp_path)
    assert (error.reason, error.remedy) == ("NEWER_SCHEMA", "upgrade tradingd; it never takes a ledger back")


# ------------------------------------------------------------------------------------------------------ nothing there


def _tape(folder: Path) -> None:
    (folder / "tape").mkdir()
    (folder / "tape" / "20240102.tape").write_bytes(b"x")


EXPECTED: dict[str, Callable[[Path], object]] = {
    "a tape": _tape,
    "a head": lambda folder: (folder / HEAD).write_bytes(b""),
    "a WAL": lambda folder: (folder / WAL).write_bytes(bytes(64)),
}


@pytest.mark.parametrize("what", EXPECTED)
@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_daemon_does_not_start_flat_where_a_ledger_is_expected(tmp_path: Path, what: str, left: str) -> None:
    """Whatever speaks of an earlier ledger beside a missing or empty one."""
    EXPECTED[what](tmp_path)
    if left == "an empty file":
        (tmp_path / DB).touch()
    assert refusal(tmp_path).reason == "EMPTY_LEDGER"


@pytest.mark.parametrize("what", [what for what in EXPECTED if what != "a WAL"])
def test_a_ledger_without_tables_counts_as_empty(tmp_path: Path, what: str) -> None:
    """A database nobody wrote to is no ledger; alone it is what a start that was killed at once leaves."""
    db = sqlite3.connect(tmp_path / DB)
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    opened = reopened(tmp_path)
    assert (opened.fresh, list(opened.inputs(0)), opened.panels_before(1, 1)) == (True, [], [])
    opened.close()
    EXPECTED[what](tmp_path)
    assert refusal(tmp_path).reason == "EMPTY_LEDGER"


@pytest.mark.parametrize("name", [DB, HEAD])
def test_f49_a_ledger_deleted_while_the_daemon_was_down(tmp_path: Path, name: str) -> None:
    """The ledger: refused. Only the head: said, and gone on."""
    sealed(tmp_path, 2)
    (tmp_path / name).unlink()
    if name == DB:
        assert refusal(tmp_path).reason == "EMPTY_LEDGER"
        return
    opened = reopened(tmp_path)
    assert [notice for notice in opened.notices if HEAD in notice]
    opened.close()


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a file without tables"])
@pytest.mark.parametrize("says", ["CLEAR", "KILLED", "torn"])
def test_a_latch_alone_beside_no_ledger_is_a_fresh_start(tmp_path: Path, says: str, left: str) -> None:
    """The latch is made before the ledger, and may be set before there is one; it speaks for itself."""
    content = f"{says} tradingd.kill-latch/1\n".encode()
    (tmp_path / "kill.latch").write_bytes(content)
    if left == "an empty file":
        (tmp_path / DB).touch()
    elif left == "a file without tables":
        db = sqlite3.connect(tmp_path / DB)
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
    opened = reopened(tmp_path)
    assert opened.fresh
    opened.close()
    assert (tmp_path / "kill.latch").read_bytes() == content


# --------------------------------------------------------------------------------------------- files that do not fit


def test_f19_a_backup_of_the_main_file_under_the_wal_of_today(tmp_path: Path) -> None:
    """Restored without removing -wal: the WAL belongs to a newer main file."""
    sealed(tmp_path, 3)
    shutil.copy(tmp_path / DB, tmp_path / "backup")
    sealed(tmp_path, 20, first=3, run_id="r2")
    crashed(tmp_path, 3, first=23, run_id="r3")
    (tmp_path / "backup").rename(tmp_path / DB)
    error = refusal(tmp_path)
    assert error.reason == "FOREIGN_WAL"
    assert WAL in error.message


def test_f19_a_backup_of_the_main_file_alone(tmp_path: Path) -> None:
    """Restored beside today's tape and head: rows that were promised are missing."""
    sealed(tmp_path, 3)
    shutil.copy(tmp_path / DB, tmp_path / "backup")
    sealed(tmp_path, 2, first=3, run_id="r2")
    (tmp_path / "backup").rename(tmp_path / DB)
    (tmp_path / WAL).unlink(missing_ok=True)
    assert refusal(tmp_path).reason == "ROW_MISSING"


def test_f19_a_main_file_moved_without_its_wal(tmp_path: Path) -> None:
    """What was committed since the WAL was last folded in is missing, though the file by itself is sound."""
    crashed(tmp_path, 6)
    (tmp_path / WAL).unlink()
    error = refusal(tmp_path)
    assert error.reason == "ROW_MISSING"
    assert f"the {WAL} that held the rest is gone" in error.message


@pytest.mark.parametrize("batches", [0, 40])
@pytest.mark.parametrize("keep_head", [True, False])
def test_f19_the_wal_of_another_ledger(tmp_path: Path, keep_head: bool, batches: int) -> None:
    """Laid beside a sound main file; found with and without the head, and where it hides everything."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    sealed(ours, 3)
    crashed(theirs, batches)
    shutil.copy(theirs / WAL, ours / WAL)
    if not keep_head:
        (ours / HEAD).unlink()
    assert refusal(ours).reason == "FOREIGN_WAL"


def test_f19_an_older_wal_under_todays_main_file(tmp_path: Path) -> None:
    """A WAL kept from before is laid beside the ledger that went on: its pages would undo what came later."""
    crashed(tmp_path, 5)
    shutil.copy(tmp_path / WAL, tmp_path / "old")
    sealed(tmp_path, 20, first=5, run_id="r2")
    (tmp_path / "old").rename(tmp_path / WAL)
    assert refusal(tmp_path).reason == "FOREIGN_WAL"


def test_f19_another_ledger_in_the_place_of_ours(tmp_path: Path) -> None:
    """Sound in itself, and not the one this directory was written for."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        sealed(folder, 3)
    shutil.copy(theirs / DB, ours / DB)
    error = refusal(ours)
    assert (error.reason, "another ledger" in error.message) == ("ROW_MISSING", True)


# ------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("cut", [33, 1000, 0.3, 0.7, 0.999])
def test_f49_a_wal_cut_short(tmp_path: Path, cut: float) -> None:
    """Committed frames are gone with its end."""
    crashed(tmp_path, 6)
    size = (tmp_path / WAL).stat().st_size
    os.truncate(tmp_path / WAL, int(cut * size) if cut < 1 else int(cut))
    error = refusal(tmp_path)
    assert error.reason == "ROW_MISSING"
    assert f"the {WAL} was cut short or damaged" in error.message


def test_f49_bytes_flipped_in_the_wal(tmp_path: Path) -> None:
    """SQLite stops reading at a frame whose checksum is wrong; the head knows that there was more."""
    crashed(tmp_path, 6)
    size = (tmp_path / WAL).stat().st_size
    flip(tmp_path / WAL, size // 2)
    assert refusal(tmp_path).reason == "ROW_MISSING"


def flip(path: Path, at: int) -> None:
    """Flip every bit of a byte."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))


def test_f49_bytes_flipped_in_any_page_are_found(tmp_path: Path) -> None:
    """One byte in each page, at several places: refused, or it was a place that holds nothing."""
    sealed(tmp_path, 40)
    whole = contents(tmp_path)
    size = (tmp_path / DB).stat().st_size
    seen: set[str] = set()
    db = sqlite3.connect(tmp_path / DB)
    used = {page for (page,) in db.execute("SELECT pageno FROM dbstat WHERE ncell > 0")} if _has_dbstat(db) else {1}
    db.close()
    for page in range(size // 8192):
        for offset in (0, 3, 8100, 8191):
            flip(tmp_path / DB, page * 8192 + offset)
            try:
                opened = reopened(tmp_path)
                try:
                    list(opened.replies())
                    list(opened.inputs(0))
                finally:
                    opened.close()
                assert page + 1 not in used or problems(tmp_path / DB) != [] or offset != 0
            except LedgerRefusedError as error:
                seen.add(error.reason)
            (tmp_path / DB).write_bytes(whole[DB])
    assert {"LEDGER_CORRUPT", "CHAIN_BROKEN"} <= seen


def _has_dbstat(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'").fetchone()[0])


@pytest.mark.parametrize("junk", [b"not a database at all, " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_f49_a_file_that_is_no_ledger(tmp_path: Path, junk: bytes) -> None:
    """Text, or the head of a database and nothing sensible behind it."""
    (tmp_path / DB).write_bytes(junk)
    assert refusal(tmp_path).reason == "LEDGER_CORRUPT"


def test_f49_the_database_of_another_program(tmp_path: Path) -> None:
    """Sound, and not ours."""
    db = sqlite3.connect(tmp_path / DB)
    db.execute("PRAGMA application_id = 7")
    db.execute("CREATE TABLE t (a)")
    db.close()
    error = refusal(tmp_path)
    assert (error.reason, "another program" in error.message) == ("LEDGER_CORRUPT", True)


def test_a_row_rewritten_with_an_honest_chain_is_not_the_one_that_was_committed(tmp_path: Path) -> None:
    """Whoever can compute hashes still does not know what the head knows."""
    sealed(tmp_path, 3)
    db = sqlite3.connect(tmp_path / DB, isolation_level=None)
    previous = db.execute("SELECT hash FROM frame WHERE seq = 11").fetchone()[0]
    row = db.execute(f"SELECT {FRAME_COLUMNS[0]} FROM frame WHERE seq = 12").fetchone()  # noqa: S608 - a constant
    honest = row_hash(previous, (*row[:3], "forged", *row[4:]))
    db.execute("UPDATE frame SET source = 'forged', hash = ? WHERE seq = 12", (honest,))
    db.execute("UPDATE run SET chain = ?", (honest,))
    db.close()
    assert problems(tmp_path / DB) == []
    error = refusal(tmp_path)
    assert (error.reason, "not the one that was committed last" in error.message) == ("CHAIN_BROKEN", True)


def test_f49_an_index_that_does_not_fit_its_table_is_damage(tmp_path: Path) -> None:
    """Outside the chain too: the pages and indices of every table are looked at."""
    sealed(tmp_path, 2)
    db = sqlite3.connect(tmp_path / DB, isolation_level=None)
    db.execute("PRAGMA writable_schema = ON")
    other = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_idempotency_1'"
    db.execute(f"UPDATE sqlite_schema SET rootpage = ({other}) WHERE name = 'outbox_pending'")  # noqa: S608 - a constant
    db.close()
    error = refusal(tmp_path)
    assert (error.reason, "outbox_pending" in error.message) == ("LEDGER_CORRUPT", True)


def test_a_program_that_locks_readers_out_is_no_damage(tmp_path: Path) -> None:
    """The ledger cannot be looked at; that says nothing against it."""
    sealed(tmp_path, 2)
    db = sqlite3.connect(tmp_path / DB, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerRefusedError, match="locked") as caught:
        reopened(tmp_path).close()
    assert caught.value.reason == "LEDGER_UNREADABLE"
    db.close()
    assert batches_in(tmp_path) == 2


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Act as a user without rights; skip where that is not allowed."""
    if os.geteuid() != 0:
        yield
        return
    modes = {parent: parent.stat().st_mode for parent in folder.parents if not parent.stat().st_mode & 1}
    for parent, mode in modes.items():
        parent.chmod(mode | 0o011)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for parent, mode in modes.items():
            parent.chmod(mode)


@pytest.mark.parametrize("what", ["ledger", "directory", "read-only"])
def test_f49_a_ledger_without_permission(tmp_path: Path, what: str) -> None:
    """Mode 000, a directory that cannot be entered, a file that can only be read: refused at the start."""
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    sealed(state_dir, 2)
    target = state_dir if what == "directory" else state_dir / DB
    mode = target.stat().st_mode
    with as_nobody(state_dir):
        target.chmod(0o444 if what == "read-only" else 0)
        try:
            with pytest.raises(LedgerRefusedError) as caught:
                reopened(state_dir).close()
        finally:
            target.chmod(mode)
    assert caught.value.reason == "LEDGER_UNREADABLE"
    assert batches_in(state_dir) == 2


# --------------------------------------------------------------------------------------------------------------- tape


def test_the_tape_is_cut_back_to_the_last_commit(tmp_path: Path) -> None:
    """Rows behind it were promised to nobody; the next run goes on there."""
    crashed(tmp_path, 3)
    tape = next((tmp_path / "tape").iterdir())
    size = tape.stat().st_size
    with tape.open("ab") as file:
        file.write(b"torn")
    (tmp_path / "tape" / "20240103.tape").write_bytes(b"")
    assert batches_in(tmp_path) == 3
    assert [(path.name, path.stat().st_size) for path in (tmp_path / "tape").iterdir()] == [(tape.name, size)]
    crashed(tmp_path, 2, first=3, run_id="r2")
    assert batches_in(tmp_path) == 5


@pytest.mark.parametrize("damage", ["gone", "short", "empty", "changed", "exchanged"])
def test_a_tape_that_does_not_reach_the_last_commit_is_refused(tmp_path: Path, damage: str) -> None:
    """Gone, cut, changed, or one of the same length from elsewhere."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for n, folder in enumerate((ours, theirs)):
        folder.mkdir()
        crashed(folder, 3 + n)
    tape = next((ours / "tape").iterdir())
    size = tape.stat().st_size
    if damage == "gone":
        tape.unlink()
    elif damage == "exchanged":
        other = next((theirs / "tape").iterdir()).read_bytes()
        tape.write_bytes(other)
    elif damage == "changed":
        flip(tape, size - 60)
    else:
        os.truncate(tape, size - 1 if damage == "short" else 0)
    if damage in {"gone", "short", "empty"}:
        assert refusal(ours).reason == "TAPE_SHORT"
        return
    opened = reopened(ours)
    if damage == "exchanged":  # its blocks are the same up to the last byte that is covered
        assert list(opened.inputs(0)) == recorded(3)
    else:  # within a block: found by whoever reads it
        with pytest.raises(LedgerRefusedError, match="tape") as caught:
            list(opened.inputs(0))
        assert caught.value.reason == "TAPE_SHORT"
    opened.close()


def test_a_tape_exchanged_for_one_of_the_same_length_is_refused(tmp_path: Path) -> None:
    """Its blocks end where ours do, and their checksums are others."""
    crashed(tmp_path, 3)
    tape = next((tmp_path / "tape").iterdir())
    position = tape.stat().st_size
    rows = [row for n in range(3) for row in batch(n).panels]
    for n in range(1000):
        other = TapeWriter(tmp_path / f"other-{n}", MARKETS, {"symbols": ["A"]})
        for i in range(0, 9, 3):
            chunk = rows[i : i + 3]
            bodies = [msgspec.structs.replace(row.body, state=f"{n:06d}") for row in chunk]
            other.append([TapeRow(row.seq, row.ts, body) for row, body in zip(chunk, bodies, strict=True)])
        day, end, _ = other.position
        other.close()
        if end == position:
            shutil.copy(tmp_path / f"other-{n}" / f"{day}.tape", tape)
            break
    else:
        pytest.fail("no tape of the same length was found")
    error = refusal(tmp_path)
    assert (error.reason, "not the one that was committed" in error.message) == ("TAPE_SHORT", True)


# ------------------------------------------------------------------------------------------------- head, lock, version


def test_a_head_that_is_torn_proves_nothing(tmp_path: Path) -> None:
    """Half old, half new, or zeroes: said, and gone on."""
    sealed(tmp_path, 2)
    good = (tmp_path / HEAD).read_bytes()
    head = decode_head(good)
    assert head is not None
    assert (head.seq, head.run, encode_head(head)) == (8, 1, good)
    for bad in (good[:256] + bytes(256), bytes(512), good[:100], b"", good[:20] + b"\xff" + good[21:]):
        assert decode_head(bad) is None
        (tmp_path / HEAD).write_bytes(bad)
        opened = reopened(tmp_path)
        assert [notice for notice in opened.notices if "damaged" in notice]
        opened.close()
    sealed(tmp_path, 1, first=2, run_id="r2")
    found = decode_head((tmp_path / HEAD).read_bytes())
    assert found is not None
    assert (found.seq, found.run) == (12, 2)


HOLDER = """
import sys
from pathlib import Path
from daemon.journal.failures import LedgerRefusedError
from daemon.journal.lock import InstanceLock
try:
    lock = InstanceLock(Path(sys.argv[1]))
except LedgerRefusedError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
print("held", flush=True)
sys.stdin.read()
"""


def test_f18_a_second_daemon_on_the_same_state_exits_at_once_and_names_the_first(tmp_path: Path) -> None:
    """Within a second, with a status of its own; the first is undisturbed; removing the lock file does not help."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        for _ in range(2):
            second = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10, stdin=subprocess.DEVNULL
            )
            assert second.returncode == 75
            assert "another tradingd" in second.stdout
            (tmp_path / LOCK).unlink()
        with pytest.raises(LedgerRefusedError, match="another tradingd"):
            InstanceLock(tmp_path)
        assert first.poll() is None
        first.kill()
    InstanceLock(tmp_path).release()


def test_f18_a_stale_pid_in_the_lock_file_is_harmless(tmp_path: Path) -> None:
    """The kernel's lock counts, not what stands in the file; the holder's pid replaces it."""
    (tmp_path / LOCK).write_text("1234567890123\n")
    with InstanceLock(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
        with pytest.raises(LedgerRefusedError, match=rf"pid {os.getpid()}\b") as caught:
            InstanceLock(tmp_path)
        assert caught.value.reason == "LOCKED"
    with InstanceLock(tmp_path):
        pass


def test_a_state_directory_that_cannot_hold_a_lock_is_refused(tmp_path: Path) -> None:
    """A file in its place."""
    (tmp_path / "state").touch()
    with pytest.raises(LedgerRefusedError, match="cannot be locked") as caught:
        InstanceLock(tmp_path / "state")
    assert caught.value.reason == "LEDGER_UNREADABLE"


def test_f48_which_versions_of_sqlite_are_refused_and_which_are_mentioned() -> None:
    """Below 3.37 there are no STRICT tables; the WAL-reset bug was repaired in three lines."""
    with pytest.raises(ConfigError, match=r"3\.36\.0 is too old"):
        check_sqlite((3, 36, 0))
    buggy = [(3, 37, 0), (3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 2)]
    sound = [(3, 44, 6), (3, 44, 7), (3, 50, 7), (3, 51, 3), (3, 52, 0), (4, 0, 0)]
    assert [version for version in buggy + sound if has_wal_reset_bug(version)] == buggy
    assert len(check_sqlite((3, 40, 1))) == 1
    assert check_sqlite((3, 51, 3)) == []
    assert all("3.37" not in sentence for sentence in check_sqlite())
