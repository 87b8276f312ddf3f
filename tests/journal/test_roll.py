"""A run that lasts for months is cut into runs without a restart, and nobody who reads the ledger can tell the two."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from daemon.journal import folding
from daemon.journal.archive import read_all
from daemon.journal.batch import Batch, SnapshotRow
from daemon.journal.check import check_chain, check_sealed, read_runs
from daemon.journal.failures import CommitOvertaken, LedgerBrokenError, LedgerFullError, LedgerRefusedError
from daemon.journal.retention import DAY_NS, RetentionPolicy, apply, plan, take_stock
from daemon.journal.rows import RunRow
from daemon.journal.sqlite import open_readonly
from tests.conftest import ROOT
from tests.journal.ledger_child import CRASHED
from tests.journal.ledger_support import (
    CODEC,
    MARKETS,
    PER_BATCH,
    batch,
    batches_in,
    event_digest,
    manifest,
    problems,
    recorded,
    reopened,
    stamp,
    write,
    writing,
)
from tests.journal.test_storage_faults import child, goes_on
from tests.journal.test_writer import DEADLINE_S, Faults, Foreign, canceller

SITES = ("before:roll.seal", "after:roll.seal", "before:roll.commit", "after:roll.commit")


def runs_of(state_dir: Path) -> list[RunRow]:
    """Return the runs of a ledger."""
    with closing(open_readonly(state_dir / "ledger.db")) as db:
        return read_runs(db)


def outline(state_dir: Path) -> list[tuple[str, str | None, str, int, int, str]]:
    """Return what a run's row says of its place and its end."""
    rows = runs_of(state_dir)
    return [(r.run_id, r.parent, r.status, r.first_seq, r.frames, r.event_digest) for r in rows]


async def commit(writer: object, *numbers: int) -> None:
    """Commit some batches."""
    for n in numbers:
        await writer.commit(batch(n))  # type: ignore[attr-defined]


# -- what it leaves ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_rolled_run_is_sealed_and_its_successor_goes_on_behind_it(tmp_path: Path) -> None:
    """Rows, digests and counts are those of two processes, one after the other; the inputs those of one."""
    async with writing(tmp_path, "r1") as writer:
        await commit(writer, 0, 1, 2)
        await writer.roll(manifest("r2"))
        await commit(writer, 3, 4)
        await writer.roll(manifest("r3"))
        await commit(writer, 5)
        gauges = writer.gauges()
        await writer.seal("ended", event_digest(6).hex())
    assert (gauges.frames, gauges.last_seq) == (18, 24)
    assert outline(tmp_path) == [
        ("r1", None, "ended", 1, 9, event_digest(3).hex()),
        ("r2", "r1", "ended", 13, 6, event_digest(5).hex()),
        ("r3", "r2", "ended", 21, 3, event_digest(6).hex()),
    ]
    assert batches_in(tmp_path) == 6
    await write(tmp_path, 2, first=6, run_id="r4", seal=True)
    assert batches_in(tmp_path) == 8


@pytest.mark.asyncio
async def test_a_run_without_an_input_can_be_rolled(tmp_path: Path) -> None:
    """At the very beginning, and twice at once: a quiet week."""
    async with writing(tmp_path, "r1") as writer:
        await writer.roll(manifest("r2"))
        await commit(writer, 0)
        await writer.roll(manifest("r3"))
        await writer.roll(manifest("r4"))
        await commit(writer, 1)
    assert [row[2:5] for row in outline(tmp_path)] == [
        ("ended", 1, 0),
        ("ended", 1, 3),
        ("ended", 5, 0),
        ("running", 5, 0),
    ]
    assert [row[5] for row in outline(tmp_path)] == [
        event_digest(0).hex(),
        event_digest(1).hex(),
        event_digest(1).hex(),
        "",
    ]
    assert batches_in(tmp_path) == 2


@pytest.mark.asyncio
async def test_behind_a_start_the_digest_goes_on_from_what_was_found(tmp_path: Path) -> None:
    """Rolled before the first commit of its process."""
    await write(tmp_path, 3, run_id="r1")
    async with writing(tmp_path, "r2") as writer:
        await writer.roll(manifest("r3"))
        await commit(writer, 3)
    assert [row[2:] for row in outline(tmp_path)] == [
        ("recovered", 1, 9, event_digest(3).hex()),
        ("ended", 13, 0, event_digest(3).hex()),
        ("running", 13, 0, ""),
    ]
    assert batches_in(tmp_path) == 4


@pytest.mark.asyncio
async def test_a_roll_between_queued_commits_is_sealed_with_what_is_durable_then(tmp_path: Path) -> None:
    """Whoever asks cannot know which commits the ledger's thread has come to."""
    async with writing(tmp_path, "r1") as writer, anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(writer.commit, batch(n))
        group.start_soon(writer.roll, manifest("r2"))
        for n in range(3, 6):
            group.start_soon(writer.commit, batch(n))
    assert [row[3:] for row in outline(tmp_path)] == [(1, 9, event_digest(3).hex()), (13, 0, "")]
    assert batches_in(tmp_path) == 6


@pytest.mark.asyncio
async def test_a_snapshot_behind_the_last_input_of_the_old_run_holds(tmp_path: Path) -> None:
    """It is bound to that input's hash, not to where the new run's chain starts."""
    async with writing(tmp_path, "r1") as writer:
        await commit(writer, 0, 1)
        await writer.roll(manifest("r2"))
        seq = 2 * PER_BATCH
        await writer.commit(Batch(snapshot=SnapshotRow(seq, stamp(seq), event_digest(2), b"core", b"edge")))
    opened = reopened(tmp_path)
    assert [snapshot.seq for snapshot in opened.snapshots()] == [seq]
    opened.close()
    assert problems(tmp_path / "ledger.db") == []


@pytest.mark.asyncio
async def test_the_head_knows_the_new_run(tmp_path: Path) -> None:
    """A WAL that is lost together with a run that has no input yet is noticed."""
    async with writing(tmp_path, "r1") as writer:
        await commit(writer, 0)
        await writer._execute(writer._committer.folding.fold)
        await writer.roll(manifest("r2"))
        writer._committer.connection.broken = LedgerBrokenError("nothing is folded in any more", code="TEST")
    (tmp_path / "ledger.db-wal").unlink()
    with pytest.raises(LedgerRefusedError, match="knows 1 runs, but 2 were begun") as caught:
        reopened(tmp_path)
    assert caught.value.reason == "ROW_MISSING"


# -- who reads meanwhile -----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_check_that_began_before_a_roll_finds_nothing_wrong_behind_it(tmp_path: Path) -> None:
    """``verify`` beside a running daemon: it knows the runs of when it began; what came later is left to the next."""
    async with writing(tmp_path, "r1") as writer:
        await commit(writer, 0, 1)
        with closing(open_readonly(tmp_path / "ledger.db")) as db:
            runs = read_runs(db)
            await writer.roll(manifest("r2"))
            await commit(writer, 2, 3)
            checks = check_chain(db, runs)
            assert [check.ok for check in checks] == [True, True]
            assert checks[0].detail == "6 rows"
            assert check_sealed(runs).ok
            assert [check.ok for check in check_chain(db, read_runs(db))] == [True, True]


@pytest.mark.asyncio
async def test_a_rolled_run_leaves_the_ledger_of_the_process_that_wrote_it(tmp_path: Path) -> None:
    """What ``retention.ledger_days`` needs: months of one process move to the archive, piece by piece."""
    later = 100 * DAY_NS
    async with writing(tmp_path, "r1") as writer:
        loop = asyncio.get_running_loop()

        def retain(now: int) -> tuple[str, ...]:
            def on_ledger(function: object) -> object:
                return asyncio.run_coroutine_threadsafe(writer.transact(function), loop).result()  # type: ignore[arg-type]

            actions = plan(take_stock(tmp_path, MARKETS), RetentionPolicy(ledger_days=90, tape_days=0), now)
            return apply(actions, tmp_path, MARKETS, on_ledger).done  # type: ignore[arg-type]

        await commit(writer, *range(10))
        began = runs_of(tmp_path)[0].started
        assert began is not None
        assert await asyncio.to_thread(retain, began + later) == ()
        await writer.roll(manifest("r2"))
        await commit(writer, *range(10, 30))
        assert await asyncio.to_thread(retain, began + later) == ("move to the archive: run r1",)
        await commit(writer, 30)
        await writer.roll(manifest("r3"))
        await commit(writer, 31)
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(32)
    opened = reopened(tmp_path)
    assert (opened.last_seq, opened.event_digest) == (32 * PER_BATCH, event_digest(32))
    opened.close()
    assert problems(tmp_path / "ledger.db") == []
    assert (tmp_path / "archive" / f"ledger-1-{10 * PER_BATCH}.db").exists()


# -- crashes and failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("place", SITES)
def test_a_crash_at_any_step_of_a_roll_is_a_crash_between_two_commits(tmp_path: Path, place: str, at: int) -> None:
    """Before the first commit or behind some; the next start goes on, the digest is that of a life without a roll."""
    found = child(tmp_path, 6, site=place, nth=1, roll=at)
    assert found.code == CRASHED, found.errors
    assert (found.acknowledged, "rolled" in found.lines) == (at, False)
    assert batches_in(tmp_path) == at
    rolled = place == "after:roll.commit"
    statuses = [row.status for row in runs_of(tmp_path)]
    assert statuses == (["ended", "running"] if rolled else ["running"])
    goes_on(tmp_path, at)
    assert [row.status for row in runs_of(tmp_path)] == (
        ["ended", "recovered", "running"] if rolled else ["recovered", "running"]
    )


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_killed_at_random_while_every_batch_is_a_run(tmp_path: Path, seed: int) -> None:
    """SIGKILL from outside, again and again: acknowledged batches are there, runs have no gap, the digest is equal.

    ``pytest -m long tests/journal/test_roll.py``
    """
    generator = random.Random(seed)  # noqa: S311 - when to kill
    rolled = 0
    for _ in range(6):
        before = batches_in(tmp_path) if (tmp_path / "ledger.db").exists() else 0
        lines = killed_after(tmp_path, generator.randrange(1, 40))
        acknowledged = [int(line.split()[1]) for line in lines if line.startswith("ack")]
        rolled += lines.count("rolled")
        after = batches_in(tmp_path)
        assert after >= max(acknowledged, default=before - 1) + 1
    assert rolled > 10
    rows = runs_of(tmp_path)
    assert {row.status for row in rows[:-1]} <= {"ended", "recovered"}
    assert sum(row.status == "ended" for row in rows) >= rolled


def killed_after(state_dir: Path, lines: int) -> list[str]:
    """Let a process commit and roll in turns; kill it once it has said so many lines; return all it said."""
    command = [sys.executable, "-m", "tests.journal.rolling_child", str(state_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        while len(said) < lines:
            line = process.stdout.readline()
            assert line, "it ended by itself"
            said.append(line.strip())
        os.kill(process.pid, signal.SIGKILL)
        said += [line.strip() for line in process.stdout]
    return said


@pytest.mark.asyncio
@pytest.mark.parametrize("place", SITES[:3])
async def test_want_of_room_leaves_the_old_run_and_the_roll_goes_through_later(tmp_path: Path, place: str) -> None:
    """Nothing of it is there; commits go on in the old run."""
    faults = Faults(place, OSError(28, "No space left on device"))
    async with writing(tmp_path, "r1", faults=faults) as writer:
        await commit(writer, 0)
        with pytest.raises(LedgerFullError):
            await writer.roll(manifest("r2"))
        assert [row[2] for row in outline(tmp_path)] == ["running"]
        await commit(writer, 1)
        await writer.roll(manifest("r2"))
        await commit(writer, 2)
    assert [row[2:5] for row in outline(tmp_path)] == [("ended", 1, 6), ("running", 9, 0)]
    assert batches_in(tmp_path) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("place", SITES)
async def test_any_other_failure_is_the_last_thing_the_writer_does(tmp_path: Path, place: str) -> None:
    """Nobody knows what the disk holds; the next start looks."""
    async with writing(tmp_path, "r1", faults=Faults(place, OSError(5, "Input/output error"))) as writer:
        await commit(writer, 0, 1)
        with pytest.raises(LedgerBrokenError):
            await writer.roll(manifest("r2"))
        with pytest.raises(LedgerBrokenError):
            await commit(writer, 2)
    assert batches_in(tmp_path) == 2
    assert len(runs_of(tmp_path)) == (2 if place == SITES[3] else 1)


@pytest.mark.asyncio
async def test_f46_a_roll_cancelled_at_any_step_is_whole_or_nothing(tmp_path: Path) -> None:
    """Cancelled in the middle it ends first; the writer goes on either way."""
    async with writing(tmp_path, "r1") as writer:
        for n, place in enumerate(SITES):
            await commit(writer, n)
            with anyio.CancelScope() as scope:
                writer._committer._faults = Faults(place, canceller(scope))
                await writer.roll(manifest(f"r{n + 2}"))
            assert scope.cancelled_caught
            assert not writer._committer.connection.db.in_transaction
    assert [row[2] for row in outline(tmp_path)] == [*["ended"] * 4, "running"]
    assert batches_in(tmp_path) == 4


@pytest.mark.asyncio
async def test_f46_a_roll_cancelled_while_another_program_holds_the_ledger_gives_up(tmp_path: Path) -> None:
    """It waits as a commit does, and leaves as one."""
    async with writing(tmp_path, "r1") as writer:
        await commit(writer, 0)
        with Foreign(tmp_path) as db:
            db.execute("BEGIN IMMEDIATE")
            with anyio.move_on_after(0.05) as scope:
                await writer.roll(manifest("r2"))
            assert scope.cancelled_caught
            db.execute("ROLLBACK")
        await commit(writer, 1)
        with anyio.fail_after(DEADLINE_S):
            await writer.roll(manifest("r2"))
    assert [row[2:5] for row in outline(tmp_path)] == [("ended", 1, 6), ("running", 9, 0)]


@pytest.mark.asyncio
async def test_nothing_is_rolled_after_the_seal_or_the_close(tmp_path: Path) -> None:
    """The run has ended."""
    async with writing(tmp_path, "r1") as writer:
        await commit(writer, 0)
        await writer.seal("ended", event_digest(1).hex())
        with pytest.raises(LedgerBrokenError, match="closed"):
            await writer.roll(manifest("r2"))
    assert [row[2] for row in outline(tmp_path)] == ["ended"]


@pytest.mark.asyncio
async def test_a_kill_is_not_kept_waiting_by_a_roll(tmp_path: Path) -> None:
    """No order becomes durable by it, so it may go through while a kill waits to be observed."""
    killed = False
    async with writing(tmp_path, "r1", overtaken=lambda: killed) as writer:
        await commit(writer, 0)
        killed = True
        await writer.roll(manifest("r2"))
        with pytest.raises(CommitOvertaken):
            await commit(writer, 1)
        killed = False
        await commit(writer, 1)
    assert batches_in(tmp_path) == 2


@pytest.mark.asyncio
async def test_the_wal_is_folded_in_across_rolls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head keeps the newest run whatever wrote it."""
    monkeypatch.setattr(folding, "FOLD_BYTES", 100_000)
    async with writing(tmp_path, "r0") as writer:
        for n in range(30):
            await commit(writer, n)
            await writer.roll(manifest(f"r{n + 1}"))
    assert batches_in(tmp_path) == 30
    assert len(runs_of(tmp_path)) == 31
