"""The live ledger's writer: what is returned from is durable, what is raised is not, and nobody is left half-way."""

from __future__ import annotations

import asyncio
import errno
import inspect
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import aiosqlite
import anyio
import pytest

from daemon.journal import folding
from daemon.journal.batch import SITES, Batch, KeptReply, OutboxRow, SnapshotRow, TapeRow
from daemon.journal.connection import LedgerConnection
from daemon.journal.failures import CommitOvertaken, LedgerBrokenError, LedgerFullError
from daemon.journal.recovery import open_ledger
from daemon.journal.sqlite import open_readonly
from daemon.journal.writer import LedgerWriter
from daemon.kernel.errors import InvariantError
from daemon.kernel.poison import PoisonRecord
from tests.journal.ledger_support import (
    CODEC,
    MARKETS,
    START,
    batch,
    batches_in,
    event_digest,
    frame,
    manifest,
    panel,
    problems,
    recorded,
    reopened,
    write,
    writing,
)

pytestmark = pytest.mark.asyncio
DEADLINE_S = 10


class Faults:
    """Raises, or waits, at one place."""

    def __init__(self, place: str, what: BaseException | Callable[[], object]) -> None:
        self.place = place
        self.what = what
        self.armed = True
        self.seen: list[str] = []

    def __call__(self, place: str) -> None:
        """Note the place; act once where it is the one."""
        self.seen.append(place)
        if self.armed and place == self.place:
            self.armed = False
            if isinstance(self.what, BaseException):
                raise self.what
            self.what()


class Foreign:
    """Another program's connection to the ledger."""

    def __init__(self, state_dir: Path) -> None:
        self.db = sqlite3.connect(state_dir / "ledger.db", isolation_level=None, timeout=0, check_same_thread=False)

    def __enter__(self) -> sqlite3.Connection:
        """Return it."""
        return self.db

    def __exit__(self, *_: object) -> None:
        """Let go."""
        self.db.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds that another thread brings about."""
    with anyio.fail_after(DEADLINE_S):
        while not condition():
            await anyio.lowlevel.checkpoint()


def canceller(scope: anyio.CancelScope) -> Callable[[], None]:
    """Return what cancels a scope from another thread, and returns once the loop has delivered it."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def on_loop() -> None:
        scope.cancel()
        loop.call_soon(cancelled.set)

    def cancel() -> None:
        loop.call_soon_threadsafe(on_loop)
        assert cancelled.wait(DEADLINE_S)

    return cancel


def is_free(state_dir: Path) -> bool:
    """Tell whether another program could write now."""
    with Foreign(state_dir) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    return True


async def test_aiosqlite_runs_a_function_on_the_connections_thread_as_one_call() -> None:
    """The one private method we use: a coroutine that takes a function, runs it on the thread, returns or raises."""
    assert inspect.iscoroutinefunction(aiosqlite.Connection._execute)
    async with aiosqlite.connect(":memory:", isolation_level=None) as db:
        assert await db._execute(lambda: 7) == 7
        threads = {await db._execute(threading.get_ident), await db._execute(threading.get_ident)}
        assert len(threads) == 1
        assert threads != {threading.get_ident()}
        assert await db._execute(lambda: db._conn.execute("SELECT 1").fetchone()) == (1,)
        with pytest.raises(KeyError):
            await db._execute({}.__getitem__, "x")


async def test_the_steps_of_a_commit_come_in_order(tmp_path: Path) -> None:
    """Each of the writer's sites is announced before and after; the reply is not the writer's."""
    faults = Faults("", lambda: None)
    async with writing(tmp_path, faults=faults) as writer:
        await writer.commit(batch(0))
    assert faults.seen == [f"{when}:{site}" for site in SITES[:4] for when in ("before", "after")]


async def test_what_was_committed_can_be_read_by_others_at_once(tmp_path: Path) -> None:
    """On return the rows are there, and the gauges say so."""
    async with writing(tmp_path) as writer:
        for n in range(6):
            await writer.commit(batch(n))
        with Foreign(tmp_path) as db:
            assert db.execute("SELECT count(*), max(seq) FROM frame").fetchone() == (18, 24)
            assert db.execute("PRAGMA application_id").fetchone() == (0x54524144,)
        gauges = writer.gauges()
        assert (gauges.commits, gauges.frames, gauges.last_seq) == (6, 18, 24)
        assert 0 < gauges.p50_ns <= gauges.p99_ns
        assert gauges.last_commit_ns > 0
        assert gauges.wal_bytes > 0
        assert (gauges.waiting_since_ns, gauges.checkpoint_blocked_since_ns) == (0, 0)
        assert (gauges.moved, gauges.broken) == ("", "")
    assert batches_in(tmp_path) == 6


async def test_the_connection_is_set_up_as_the_design_says(tmp_path: Path) -> None:
    """WAL, FULL, no checkpoint behind our back, nothing trusted in the schema."""
    async with writing(tmp_path) as writer:
        db = writer._committer.connection.db
        pragmas = ("journal_mode", "synchronous", "wal_autocheckpoint", "trusted_schema", "cell_size_check")
        found = await writer._execute(lambda: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas])
    assert found == ["wal", 2, 0, 0, 1]


# ------------------------------------------------------------------------------------------------------- cancellation


async def test_f46_a_commit_cancelled_at_any_step_leaves_no_open_transaction(tmp_path: Path) -> None:
    """At each site the caller is cancelled while the thread works: committed whole or not at all, and then the next."""
    places = [f"{when}:{site}" for site in SITES[:4] for when in ("before", "after")]
    for n, place in enumerate(places):
        folder = tmp_path / str(n)
        folder.mkdir()
        scope = anyio.CancelScope()
        async with writing(folder, faults=Faults(place, canceller(scope))) as writer:
            with scope:
                await writer.commit(batch(0))
            assert scope.cancelled_caught
            assert not await writer._execute(lambda w=writer: w._committer.connection.db.in_transaction)
            assert is_free(folder)
            durable = writer.gauges().commits
            await writer.commit(batch(durable))
        assert batches_in(folder) == durable + 1


@pytest.mark.parametrize("native", [False, True])
async def test_f46_a_commit_cancelled_at_every_await_is_whole_or_nothing(tmp_path: Path, native: bool) -> None:
    """Cancelled after 0, 1, 2, ... turns of the loop, by a scope or as a task; the batch then goes in if it must."""
    async with writing(tmp_path) as writer:
        n = 0
        for turns in range(40):
            scope = anyio.CancelScope()

            async def commit(n: int = n, scope: anyio.CancelScope = scope) -> None:
                with scope:
                    await writer.commit(batch(n))

            task = asyncio.create_task(commit())
            for _ in range(turns):
                await asyncio.sleep(0)
            if native:
                task.cancel()
            else:
                scope.cancel()
            await asyncio.wait([task], timeout=DEADLINE_S)
            assert task.done()
            assert not await writer._execute(lambda: writer._committer.connection.db.in_transaction)
            n = writer.gauges().commits
        assert is_free(tmp_path)
        await writer.commit(batch(n))
    assert batches_in(tmp_path) == n + 1


async def test_f46_a_commit_cancelled_while_another_program_holds_the_ledger_gives_up(tmp_path: Path) -> None:
    """Nothing was begun, so nothing is waited for; the next commit waits for the lock again and gets it."""
    async with writing(tmp_path) as writer:
        await writer.commit(batch(0))
        with Foreign(tmp_path) as db:
            db.execute("BEGIN IMMEDIATE")
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(writer.commit, batch(1))
                    await until(lambda: writer.gauges().waiting_since_ns > 0)
                    scope.cancel()
            assert writer.gauges().waiting_since_ns == 0
            db.execute("ROLLBACK")
        await writer.commit(batch(1))
    assert batches_in(tmp_path) == 2


# ---------------------------------------------------------------------------------------------- locks, kills, the end


async def test_f10_a_commit_waits_for_a_foreign_lock_and_goes_through(tmp_path: Path) -> None:
    """However long; the gauge says since when."""
    async with writing(tmp_path) as writer:
        with Foreign(tmp_path) as db:
            db.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as group:
                group.start_soon(writer.commit, batch(0))
                await until(lambda: writer.gauges().waiting_since_ns > 0)
                assert not writer.committing
                db.execute("ROLLBACK")
        assert writer.gauges().waiting_since_ns == 0
        assert writer.gauges().commits == 1
    assert batches_in(tmp_path) == 1


async def test_a_kill_overtakes_a_commit_that_waits_for_a_foreign_lock(tmp_path: Path) -> None:
    """Nothing of the batch stays, on the tape neither; with the kill observed it goes through."""
    killed = threading.Event()
    async with writing(tmp_path, overtaken=killed.is_set) as writer:
        await writer.commit(batch(0))
        tape = next((tmp_path / "tape").iterdir())
        size = tape.stat().st_size
        with Foreign(tmp_path) as db:
            db.execute("BEGIN IMMEDIATE")

            async def kill() -> None:
                await until(lambda: writer.gauges().waiting_since_ns > 0)
                assert tape.stat().st_size > size
                killed.set()

            async with anyio.create_task_group() as group:
                group.start_soon(kill)
                with pytest.raises(CommitOvertaken):
                    await writer.commit(batch(1))
            assert tape.stat().st_size == size
            db.execute("ROLLBACK")
        with pytest.raises(CommitOvertaken):
            await writer.commit(batch(1))
        killed.clear()
        await writer.commit(batch(1))
    assert batches_in(tmp_path) == 2


@pytest.mark.parametrize("place", ["before:tape.write", "after:tape.fsync", "after:frame.write", "before:commit"])
async def test_a_kill_at_any_step_before_commit_leaves_nothing(tmp_path: Path, place: str) -> None:
    """The last look is right before COMMIT, after ``committing`` was raised."""
    killed = threading.Event()
    seen: list[tuple[bool, bool]] = []

    def overtaken() -> bool:
        if killed.is_set():
            seen.append((writer.committing, True))
        return killed.is_set()

    async with writing(tmp_path, faults=Faults(place, killed.set), overtaken=overtaken) as writer:
        with pytest.raises(CommitOvertaken):
            await writer.commit(batch(0))
        assert not writer.committing
        killed.clear()
        await writer.commit(batch(0))
    if place == "before:commit":
        assert seen == [(True, True)]
    assert batches_in(tmp_path) == 1


async def test_close_ends_a_commit_that_waits_for_a_foreign_lock(tmp_path: Path) -> None:
    """A shutdown is not held up by another program."""
    with anyio.fail_after(DEADLINE_S):
        async with writing(tmp_path) as writer:
            await writer.commit(batch(0))
            with Foreign(tmp_path) as db:
                db.execute("BEGIN IMMEDIATE")

                async def commit() -> None:
                    with pytest.raises(LedgerBrokenError, match="closed"):
                        await writer.commit(batch(1))

                async with anyio.create_task_group() as group:
                    group.start_soon(commit)
                    await until(lambda: writer.gauges().waiting_since_ns > 0)
                    await writer.close()
    assert batches_in(tmp_path) == 1


async def test_nothing_is_taken_after_the_seal_or_the_close(tmp_path: Path) -> None:
    """A sealed run stays as it was sealed."""
    async with writing(tmp_path) as writer:
        await writer.commit(batch(0))
        await writer.seal("ended", event_digest(1).hex())
        with pytest.raises(LedgerBrokenError, match="closed"):
            await writer.commit(batch(1))
    with pytest.raises((LedgerBrokenError, ValueError), match="closed"):
        await writer.commit(batch(1))
    opened = reopened(tmp_path)
    assert opened.run is not None
    assert (opened.run.status, opened.run.frames, opened.unclean) == ("ended", 3, False)
    opened.close()
    assert problems(tmp_path / "ledger.db") == []


# ------------------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize("place", ["before:tape.write", "after:tape.write", "after:tape.fsync", "before:frame.write"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
async def test_f43_want_of_room_leaves_nothing_and_the_same_batch_goes_in_later(
    tmp_path: Path, place: str, code: int
) -> None:
    """Rolled back, the tape cut back, the writer usable."""
    async with writing(tmp_path, faults=Faults(place, OSError(code, "no room"))) as writer:
        with pytest.raises(LedgerFullError, match="no room"):
            await writer.commit(batch(0))
        assert not await writer._execute(lambda: writer._committer.connection.db.in_transaction)
        await writer.commit(batch(0))
        await writer.commit(batch(1))
    assert batches_in(tmp_path) == 2


@pytest.mark.parametrize("place", [f"{when}:{site}" for site in SITES[:4] for when in ("before", "after")])
async def test_f44_after_any_other_failure_everything_is_refused(tmp_path: Path, place: str) -> None:
    """No second try, not even of another batch; what is durable the next start tells."""
    async with writing(tmp_path, faults=Faults(place, OSError(errno.EIO, "Input/output error"))) as writer:
        with pytest.raises(LedgerBrokenError, match="Input/output error"):
            await writer.commit(batch(0))
        assert is_free(tmp_path)
        for again in (batch(0), batch(1)):
            with pytest.raises(LedgerBrokenError, match="Input/output error"):
                await writer.commit(again)
        with pytest.raises(LedgerBrokenError, match="Input/output error"):
            await writer.seal("ended", event_digest(0).hex())
        assert "Input/output error" in writer.gauges().broken
    assert batches_in(tmp_path) == (place == "after:commit")


async def test_f44_a_broken_ledger_folds_nothing_into_its_main_file_when_it_is_closed(tmp_path: Path) -> None:
    """Nobody knows what of the WAL is on the disk; SQLite would copy it at the last close of its own accord."""
    files = [tmp_path / "ledger.db", tmp_path / "ledger.db-wal"]
    fails = Faults("before:commit", OSError(errno.EIO, "Input/output error"))
    fails.armed = False
    async with writing(tmp_path, faults=fails) as writer:
        for n in range(3):
            await writer.commit(batch(n))
        fails.armed = True
        with pytest.raises(LedgerBrokenError):
            await writer.commit(batch(3))
        before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in files] == before
    assert all(before)
    assert batches_in(tmp_path) == 3


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, LedgerFullError),
        (sqlite3.SQLITE_IOERR_FSYNC, LedgerBrokenError),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, LedgerBrokenError),
    ],
)
async def test_f44_a_sync_that_failed_is_never_tried_again_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    """What the kernel had in hand may be gone with it (fsyncgate); a write that found no room is only rolled back."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "ledger.db").touch()
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    monkeypatch.setattr("daemon.journal.connection.os.pwrite", full)
    assert type(LedgerConnection(tmp_path, lambda: False).classify(error)) is kind


async def test_a_batch_that_could_not_be_read_back_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Frames out of order, market data no commit would cover, a snapshot that stands nowhere."""
    async with writing(tmp_path) as writer:
        await writer.commit(batch(0))
        snapshot = SnapshotRow(7, 7, bytes(32), b"c", b"")
        bad = [
            Batch(frames=[frame(4, panel(4), 0)]),
            Batch(frames=[frame(6, panel(6), 0), frame(6, panel(6), 0)]),
            Batch(panels=[TapeRow(6, 6, panel(6))]),
            Batch(panels=[TapeRow(7, 7, panel(7))], frames=[frame(6, panel(6), 0)]),
            Batch(frames=[frame(6, panel(6), 0)], snapshot=snapshot),
        ]
        for wrong in bad:
            with pytest.raises(InvariantError, match="cannot be written"):
                await writer.commit(wrong)
        await writer.commit(batch(1))
    assert batches_in(tmp_path) == 2


async def test_a_reply_takes_the_place_of_an_earlier_one_to_the_same_call_only(tmp_path: Path) -> None:
    """A flatten that goes on answers anew; a key used for something else is our bug, and nothing is kept of it."""
    first = KeptReply("0:a", "flatten", "1" * 64, b'{"done":false}', 2, START)
    async with writing(tmp_path) as writer:
        await writer.commit(Batch(frames=[frame(2, panel(2), 0)], replies=[first]))
        later = KeptReply("0:a", "flatten", "1" * 64, b'{"done":true}', 3, START)
        await writer.commit(Batch(frames=[frame(3, panel(3), 0)], replies=[later]))
        other = KeptReply("0:a", "kill", "1" * 64, b"{}", 4, START)
        with pytest.raises(InvariantError, match="another call"):
            await writer.commit(Batch(frames=[frame(4, panel(4), 0)], replies=[other]))
    opened = reopened(tmp_path)
    assert list(opened.replies()) == [later]
    assert opened.last_seq == 3
    opened.close()


async def test_alerts_are_kept_in_their_newest_form_and_poisoned_inputs_with_their_traceback(tmp_path: Path) -> None:
    """A delivered alert no longer waits; a seq may be poisoned again after a rebuild."""
    record = PoisonRecord(frame(2, panel(2), 0).envelope, "risk", "ValueError: x", "Traceback ...")
    async with writing(tmp_path) as writer:
        waiting = [OutboxRow("a", START, "critical", b"{}"), OutboxRow("b", START, "info", b"1")]
        await writer.commit(Batch(outbox=waiting))
        delivered = OutboxRow("a", START, "critical", b"{}", "delivered", 2)
        await writer.commit(Batch(outbox=[delivered], quarantined=[record, record]))
        with Foreign(tmp_path) as db:
            rows = db.execute("SELECT seq, actor, input, body, error FROM quarantine").fetchall()
            assert rows == [(2, "risk", "TradingStatus", None, "ValueError: x")] * 2
    opened = reopened(tmp_path)
    assert opened.outbox_pending() == [OutboxRow("b", START, "info", b"1")]
    opened.close()


async def test_a_core_can_be_rebuilt_from_the_running_ledger(tmp_path: Path) -> None:
    """What a start has open reads up to the last commit, and nothing of one that was overtaken, fresh or not."""
    killed = threading.Event()
    opened = open_ledger(tmp_path, CODEC, MARKETS)
    writer = await LedgerWriter.open(
        tmp_path, codec=CODEC, market=MARKETS, manifest=manifest(), opened=opened, overtaken=killed.is_set
    )
    assert list(opened.inputs(0)) == []
    for n in range(7):
        await writer.commit(batch(n))
    killed.set()
    with pytest.raises(CommitOvertaken):
        await writer.commit(batch(7))
    assert list(opened.inputs(8)) == recorded(7)[8:]
    assert (opened.last_seq, opened.event_digest, opened.fresh) == (28, event_digest(7), True)
    assert [snapshot.seq for snapshot in opened.snapshots()] == [20]
    assert opened.panels_before(21, 2) == [panel(19), panel(20)]
    killed.clear()
    reading = opened.inputs(0)
    first = [next(reading) for _ in range(5)]
    await writer.commit(batch(7))
    assert [*first, *reading] == recorded(7)
    assert (list(opened.inputs(28)), opened.event_digest) == (recorded(8)[28:], event_digest(8))
    await writer.close()
    opened.close()


# ---------------------------------------------------------------------------------------------- the WAL and the files


async def test_f47_a_long_reader_is_told_by_a_gauge_and_the_wal_shrinks_when_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader holds its snapshot: the WAL grows, the gauge says since when, commits go on; then it is folded in."""
    monkeypatch.setattr(folding, "FOLD_BYTES", 200_000)
    monkeypatch.setattr(folding, "RETRY_BYTES", 100_000)
    async with writing(tmp_path) as writer:
        await writer.commit(batch(0))
        with Foreign(tmp_path) as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM frame").fetchone()
            n = 1
            with anyio.fail_after(DEADLINE_S):
                while not writer.gauges().checkpoint_blocked_since_ns:
                    await writer.commit(batch(n))
                    n += 1
            grown = writer.gauges().wal_bytes
            for _ in range(20):
                await writer.commit(batch(n))
                n += 1
            assert writer.gauges().wal_bytes > grown
            assert db.execute("SELECT count(*) FROM frame").fetchone() == (3,)
            db.execute("COMMIT")
        with anyio.fail_after(DEADLINE_S):
            while writer.gauges().checkpoint_blocked_since_ns:
                await writer.commit(batch(n))
                n += 1
    assert batches_in(tmp_path) == n


async def test_f47_without_readers_the_wal_stays_within_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folded in again and again, the file does not grow with what was written."""
    monkeypatch.setattr(folding, "FOLD_BYTES", 300_000)
    sizes = []
    async with writing(tmp_path) as writer:
        for n in range(120):
            await writer.commit(batch(n, size=4000))
            sizes.append(writer.gauges().wal_bytes)
    assert max(sizes) < 1_500_000
    assert max(sizes[60:]) <= max(sizes[:60])


async def test_f48_only_the_writers_own_connection_folds_the_wal_in(tmp_path: Path) -> None:
    """Readers open and close without a checkpoint: the main file is as it was."""
    async with writing(tmp_path) as writer:
        for n in range(3):
            await writer.commit(batch(n))
        before = (tmp_path / "ledger.db").read_bytes()
        for _ in range(3):
            db = open_readonly(tmp_path / "ledger.db")
            assert db.execute("SELECT max(seq) FROM frame").fetchone() == (12,)
            db.close()
        assert (tmp_path / "ledger.db").read_bytes() == before
        assert writer.gauges().wal_bytes > 0


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_f49_a_ledger_removed_or_replaced_while_it_is_written_takes_nothing_more(
    tmp_path: Path, name: str, replaced: bool
) -> None:
    """Rows that go to a file without a name would be lost with the process: no acknowledgement."""
    async with writing(tmp_path) as writer:
        await writer.commit(batch(0))
        path = tmp_path / name
        if replaced:
            copy = tmp_path / "copy"
            copy.write_bytes(path.read_bytes())
            copy.rename(path)
        else:
            path.unlink()
        assert writer.gauges().moved == name
        with pytest.raises(LedgerBrokenError, match="removed or replaced"):
            await writer.commit(batch(1))


async def test_upkeep_runs_between_commits_as_one_transaction(tmp_path: Path) -> None:
    """What fails in it is rolled back; what it returns comes back."""
    await write(tmp_path, 3, seal=True)
    async with writing(tmp_path, "r2") as writer:
        await writer.commit(batch(3))

        def work(db: sqlite3.Connection) -> int:
            return db.execute("DELETE FROM outbox WHERE alert_id = 'alert-0'").rowcount

        assert await writer.transact(work) == 1
    opened = reopened(tmp_path)
    assert [row.alert_id for row in opened.outbox_pending()] == ["alert-1", "alert-2", "alert-3"]
    opened.close()


async def test_an_open_that_fails_lets_go_of_everything(tmp_path: Path) -> None:
    """The second writer of a run id is refused by the table; the ledger is as it was and can be opened again."""
    await write(tmp_path, 2, run_id="r1")
    with pytest.raises(LedgerBrokenError, match="run_id"):
        async with writing(tmp_path, "r1") as writer:
            assert isinstance(writer, LedgerWriter)
    assert is_free(tmp_path)
    assert batches_in(tmp_path) == 2
