"""Retention: what is old leaves the ledger, nothing that was promised does, and a kill at any step loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from actors.messages.market import BarPanel
from daemon.journal.archive import Archived, Span, all_frames, all_rows, all_tapes, check_archive, read_all
from daemon.journal.batch import NO_FAULTS, Batch, Faults, SnapshotRow, TapeRow
from daemon.journal.check import check_chain, read_runs
from daemon.journal.repack import TAPE_SITES, repack_tape
from daemon.journal.retention import (
    DAY_NS,
    Action,
    Item,
    Outcome,
    RetentionPolicy,
    Stock,
    apply,
    plan,
    take_stock,
)
from daemon.journal.rows import REPLY, RunRow, reply_row
from daemon.journal.sqlite import open_readonly
from daemon.journal.tape import rows_of
from daemon.journal.tape_format import TapeReader, tape_days
from daemon.kernel.digest import DIGEST_START
from daemon.kernel.errors import OperatorError
from daemon.system.verify import verify_path
from daemon.system.verify_state import check_tape
from tests.journal.ledger_support import (
    CODEC,
    MARKETS,
    PER_BATCH,
    batch,
    change,
    frame,
    problems,
    recorded,
    reopened,
    reply,
    write,
    writing,
)
from tests.journal.tape_support import equal_rows, session_rows, writer

BATCHES = 25
RUNS = (7, 6, 0, 12)
"""Batches of each run; the snapshots that are kept stand in the last, the third died before its first commit."""
LATER = 100 * DAY_NS
ALL = RetentionPolicy(ledger_days=90, tape_days=30, archive_days=0)


def ledger(state_dir: Path) -> None:
    """Write four runs, the last of which is not sealed."""

    async def work() -> None:
        first = 0
        for i, batches in enumerate(RUNS):
            await write(state_dir, batches, first=first, run_id=f"r{i + 1}", seal=i in {0, 1})
            first += batches

    asyncio.run(work())


def retain(
    state_dir: Path, policy: RetentionPolicy = ALL, *, later: int = LATER, faults: Faults = NO_FAULTS
) -> Outcome:
    """Plan and apply with a connection of one's own, in small transactions."""
    with closing(sqlite3.connect(state_dir / "ledger.db", isolation_level=None)) as db:
        actions = plan(take_stock(state_dir, MARKETS), policy, time.time_ns() + later)
        return apply(actions, state_dir, MARKETS, lambda function: function(db), rows=5, faults=faults)


def counts(path: Path) -> dict[str, int]:
    """Return how many rows each table of a ledger has."""
    with closing(open_readonly(path)) as db:
        tables = ("run", "frame", "idempotency", "outbox", "quarantine", "snapshot")
        return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}  # noqa: S608


def archives(state_dir: Path) -> list[str]:
    """Return the names in the archive, hidden ones too."""
    folder = state_dir / "archive"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# -- runs --------------------------------------------------------------------------------------------------------------


def test_old_runs_move_and_everything_can_still_be_read_in_order(tmp_path: Path) -> None:
    """Two runs wholly behind the oldest snapshot go; ledger, archive and the next start hold; no input is lost."""
    ledger(tmp_path)
    before = list(all_rows(tmp_path))
    outcome = retain(tmp_path)
    assert outcome.problems == ()
    assert outcome.done == ("move to the archive: run r1", "move to the archive: run r2")
    assert archives(tmp_path) == ["ledger-1-28.db", "ledger-29-52.db"]
    assert problems(tmp_path / "ledger.db") == []
    assert [problems(tmp_path / "archive" / name) for name in archives(tmp_path)] == [[], []]
    assert counts(tmp_path / "ledger.db")["frame"] == 12 * 3
    assert list(all_rows(tmp_path)) == before
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES)
    assert [f.seq for f in all_frames(tmp_path, CODEC)] == [row[0] for row in before]
    with closing(open_readonly(tmp_path / "ledger.db")) as db:
        check = check_archive(tmp_path, read_runs(db))
    assert (check.ok, check.detail) == (True, "2 archived runs")
    with closing(reopened(tmp_path)) as opened:
        assert opened.last_seq == BATCHES * PER_BATCH
        assert [s.seq for s in opened.snapshots()] == [100, 80, 60]
        assert [r.seq for r in opened.inputs(60)] == list(range(61, 101))
    assert retain(tmp_path) == Outcome((), ())


def test_a_start_after_retention_goes_on_and_its_ledger_still_verifies(tmp_path: Path) -> None:
    """Chain, count and digest go on from where they were; then the third and fourth run move too."""
    ledger(tmp_path)
    retain(tmp_path)
    asyncio.run(write(tmp_path, 15, first=BATCHES, run_id="r5", seal=True))
    assert problems(tmp_path / "ledger.db") == []
    assert retain(tmp_path).done == ("move to the archive: run r4",)
    assert problems(tmp_path / "ledger.db") == []
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES + 15)


def test_what_was_promised_stays_as_long_as_its_run_and_alerts_until_they_are_confirmed(tmp_path: Path) -> None:
    """Replies go with their run, into the archive's ledger; of the alerts only those nobody waits for."""
    ledger(tmp_path)
    change(tmp_path / "ledger.db", "UPDATE outbox SET state = 'delivered' WHERE alert_id IN ('alert-0', 'alert-20')")
    retain(tmp_path)
    with closing(reopened(tmp_path)) as opened:
        assert list(opened.replies()) == [reply(n) for n in range(13, BATCHES)]
        waiting = [row.alert_id for row in opened.outbox_pending()]
    assert sorted(waiting) == sorted(f"alert-{n}" for n in range(BATCHES) if n not in {0, 20})
    assert counts(tmp_path / "ledger.db")["outbox"] == BATCHES - 1
    first = tmp_path / "archive" / "ledger-1-28.db"
    assert counts(first)["idempotency"] == 7
    with closing(open_readonly(first)) as db:
        assert db.execute("SELECT alert_id FROM outbox").fetchall() == [("alert-0",)]


def test_young_runs_stay(tmp_path: Path) -> None:
    """A run counts from its end, which is when the next began."""
    ledger(tmp_path)
    assert retain(tmp_path, later=0) == Outcome((), ())
    assert retain(tmp_path, later=89 * DAY_NS) == Outcome((), ())
    assert counts(tmp_path / "ledger.db")["frame"] == BATCHES * 3


def test_without_an_archive_old_runs_are_deleted(tmp_path: Path) -> None:
    """The ledger still verifies, by what it says of them; what is left is read from there on."""
    ledger(tmp_path)
    outcome = retain(tmp_path, RetentionPolicy(archive=False))
    assert outcome.done == ("delete: run r1", "delete: run r2")
    assert archives(tmp_path) == []
    assert problems(tmp_path / "ledger.db") == []
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES)[52:]


def test_an_archived_run_leaves_in_the_end(tmp_path: Path) -> None:
    """The oldest first, said in the ledger before it is done; a file that is younger keeps those behind it."""
    ledger(tmp_path)
    retain(tmp_path)
    policy = RetentionPolicy(archive_days=200)
    assert retain(tmp_path, policy, later=LATER) == Outcome((), ())
    young = tmp_path / "archive" / "ledger-29-52.db"
    old = time.time_ns() + 150 * DAY_NS
    os.utime(young, ns=(old, old))
    assert retain(tmp_path, policy, later=201 * DAY_NS).done == ("delete from the archive: ledger-1-28.db",)
    assert archives(tmp_path) == ["ledger-29-52.db"]
    assert problems(tmp_path / "ledger.db") == []
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES)[28:]


def test_pruned_rows_make_room_for_new_ones(tmp_path: Path) -> None:
    """The file does not grow for ever: pages of deleted frames are used again."""
    ledger(tmp_path)
    retain(tmp_path)
    with closing(open_readonly(tmp_path / "ledger.db")) as db:
        assert db.execute("PRAGMA freelist_count").fetchone()[0] > 0


def test_verify_folds_what_was_archived_with_what_is_here(tmp_path: Path) -> None:
    """Double entry, positions and orders are checked over all runs, from the live ledger and from an archived one."""
    ledger(tmp_path)
    before = {check.name: (check.ok, check.detail) for check in verify_path(tmp_path / "ledger.db").checks}
    retain(tmp_path)
    after = {check.name: (check.ok, check.detail) for check in verify_path(tmp_path / "ledger.db").checks}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"archive", "hash_chain", "replies"}  # counts of what is here
    assert after["archive"] == (True, "2 archived runs")
    second = {check.name: check.detail for check in verify_path(tmp_path / "archive" / "ledger-29-52.db").checks}
    assert second["decode"] == "39 events"
    retain(tmp_path, RetentionPolicy(archive_days=200), later=300 * DAY_NS)
    last = {check.name: (check.ok, check.detail) for check in verify_path(tmp_path / "ledger.db").checks}
    assert last["books"] == (True, "cannot be folded: the first runs left the archive by [retention] archive_days")
    assert last["hash_chain"][0]


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_damaged_run_is_not_taken_out_of_the_ledger(tmp_path: Path) -> None:
    """Whatever is wrong with it stays where it can be looked at; later runs stay too."""
    ledger(tmp_path)
    change(tmp_path / "ledger.db", "UPDATE frame SET body = x'90' WHERE seq = 6")
    before = counts(tmp_path / "ledger.db")
    outcome = retain(tmp_path)
    assert outcome.done == ()
    assert len(outcome.problems) == 1
    assert "run r1 cannot be archived: hash_chain: the row with seq 6" in outcome.problems[0]
    assert counts(tmp_path / "ledger.db") == before
    assert archives(tmp_path) == []


@pytest.mark.parametrize(("spoil", "sentence"), [("flip", "is not the file"), ("remove", "is missing")])
def test_nothing_is_deleted_whose_copy_is_not_there(tmp_path: Path, spoil: str, sentence: str) -> None:
    """A crash came between mark and deletion, then the archive was damaged: the frames in the ledger stay."""
    ledger(tmp_path)
    killed_at(tmp_path, "after:mark", 1)
    copy = tmp_path / "archive" / "ledger-1-28.db"
    if spoil == "flip":
        data = bytearray(copy.read_bytes())
        data[5000] ^= 1
        copy.write_bytes(data)
    else:
        copy.unlink()
    before = counts(tmp_path / "ledger.db")["frame"]
    outcome = retain(tmp_path)
    assert sentence in outcome.problems[0]
    assert outcome.done == ()
    assert counts(tmp_path / "ledger.db")["frame"] == before
    with closing(open_readonly(tmp_path / "ledger.db")) as db:
        check = check_archive(tmp_path, read_runs(db))
    assert not check.ok
    with pytest.raises(OperatorError, match=sentence):
        list(all_rows(tmp_path))


def test_a_changed_archive_that_matches_no_digest_is_told_by_its_checks(tmp_path: Path) -> None:
    """Somebody changed both the file and the digest in the ledger: the copy's own chain tells."""
    ledger(tmp_path)
    retain(tmp_path)
    copy = tmp_path / "archive" / "ledger-1-28.db"
    change(copy, "UPDATE frame SET body = x'90' WHERE seq = 6")
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    change(tmp_path / "ledger.db", f"UPDATE run SET archived = 'ledger-1-28.db {digest}' WHERE id = 1")  # noqa: S608
    with closing(open_readonly(tmp_path / "ledger.db")) as db:
        check = check_archive(tmp_path, read_runs(db))
    assert not check.ok
    assert "ledger-1-28.db: hash_chain: the row with seq 6" in check.detail


# -- crashes -----------------------------------------------------------------------------------------------------------


def killed_at(state_dir: Path, site: str, nth: int, policy: RetentionPolicy = ALL, later: int = LATER) -> bool:
    """Apply in a process that is killed at a place; return whether it came there."""
    child = os.fork()
    if child == 0:
        seen = 0

        def faults(place: str) -> None:
            nonlocal seen
            seen += place == site
            if seen == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            retain(state_dir, policy, later=later, faults=faults)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


RUN_PLACES = [
    (f"{when}:{site}", nth)
    for site, times in (
        ("export.write", (1, 2)),
        ("export.fsync", (1,)),
        ("export.rename", (1,)),
        ("mark", (2,)),
        ("prune", (1, 4, 8)),
    )
    for when in ("before", "after")
    for nth in times
]


@pytest.mark.parametrize(("site", "nth"), RUN_PLACES)
def test_a_kill_at_any_step_loses_nothing_and_the_next_time_ends_it(tmp_path: Path, site: str, nth: int) -> None:
    """All inputs can be read, the ledger verifies and a start takes it; afterwards it is as if nothing had happened."""
    ledger(tmp_path)
    assert killed_at(tmp_path, site, nth)
    assert problems(tmp_path / "ledger.db") == []
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES)
    with closing(reopened(tmp_path)) as opened:
        assert list(opened.replies())[-12:] == [reply(n) for n in range(13, BATCHES)]
    retain(tmp_path)
    assert counts(tmp_path / "ledger.db")["frame"] == 12 * 3
    assert counts(tmp_path / "ledger.db")["idempotency"] == 12
    assert archives(tmp_path) == ["ledger-1-28.db", "ledger-29-52.db"]
    assert problems(tmp_path / "ledger.db") == []
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES)


def test_a_kill_while_the_archive_is_thinned_loses_nothing_else(tmp_path: Path) -> None:
    """Between the word in the ledger and the deletion, and behind it."""
    ledger(tmp_path)
    retain(tmp_path)
    policy = RetentionPolicy(archive_days=200)
    for site in ("before:mark", "after:mark", "before:unlink", "after:unlink"):
        assert killed_at(tmp_path, site, 1, policy, 300 * DAY_NS)
        assert problems(tmp_path / "ledger.db") == []
        left = list(read_all(tmp_path, CODEC, MARKETS))
        assert left == recorded(BATCHES)[-len(left) :]
        assert len(left) >= 12 * PER_BATCH
    retain(tmp_path, policy, later=300 * DAY_NS)
    assert archives(tmp_path) == []


class Order:
    """What a retention makes durable, and where it is by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        fsync, replace = os.fsync, os.replace

        def synced(fd: int) -> None:
            self.steps.append(f"sync {Path(f'/proc/self/fd/{fd}').readlink().name}")
            fsync(fd)

        def renamed(source: Path, target: Path) -> None:
            self.steps.append(f"name {Path(target).name}")
            replace(source, target)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", renamed)

    def come(self, *wanted: str) -> bool:
        """Return whether these steps come in this order, whatever comes between."""
        steps = iter(self.steps)
        return all(step in steps for step in wanted)


def test_f45_a_run_leaves_the_ledger_only_when_its_copy_would_survive_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy, then its name, then the folder it is named in; only then the ledger says so and lets rows go."""
    ledger(tmp_path)
    order = Order(monkeypatch)
    retain(tmp_path, faults=order.steps.append)
    copy = "ledger-1-28.db"
    assert order.steps[1 : order.steps.index("before:mark")].count("sync archive") == 1
    assert order.come(f"sync .{copy}.tmp", f"name {copy}", "sync archive", "before:mark", "before:prune"), order.steps


def test_f45_a_tape_leaves_its_place_only_when_its_copy_would_survive_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that it left is made durable before anything else leaves: what is there has no gap."""
    trading_days(tmp_path)
    (tmp_path / "archive").mkdir()
    order = Order(monkeypatch)
    retain_tapes(tmp_path, faults=order.steps.append)
    names = ["20240102.tape", "20240103.tape", "20240104.tape"]
    moved = [[f"sync .{name}.tmp", f"name {name}", "sync archive", "before:unlink", "sync tape"] for name in names]
    assert order.come(*(step for steps in moved for step in steps)), order.steps


def test_an_answer_that_was_amended_before_any_commit_goes_with_a_run_of_its_time(tmp_path: Path) -> None:
    """It stands behind no input of its own; it is neither kept for ever nor lost."""
    ledger(tmp_path)
    early = msgspec.structs.replace(reply(0), key="early", seq=0)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, db:
        db.execute(REPLY, reply_row(early))
    retain(tmp_path)
    first = tmp_path / "archive" / "ledger-1-28.db"
    with closing(open_readonly(first)) as db:
        assert "early" in [key for (key,) in db.execute("SELECT key FROM idempotency")]
    assert problems(first) == []
    with closing(reopened(tmp_path)) as opened:
        assert "early" not in [kept.key for kept in opened.replies()]


def test_a_full_disk_leaves_no_half_copy(tmp_path: Path) -> None:
    """What was begun is removed: there may be no room for anything else."""
    ledger(tmp_path)

    def full(place: str) -> None:
        if place == "after:export.write":
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        retain(tmp_path, faults=full)
    assert archives(tmp_path) == []
    assert retain(tmp_path).problems == ()


# -- beside a running daemon -------------------------------------------------------------------------------------------


def test_it_works_between_the_commits_of_a_running_daemon(tmp_path: Path) -> None:
    """Each deletion is one small transaction of the writer's; commits go on between them."""
    ledger(tmp_path)

    async def work() -> tuple[Outcome, int]:
        commits = 0
        async with writing(tmp_path, "r5") as live:
            loop = asyncio.get_running_loop()

            def on_ledger(function: Callable[[sqlite3.Connection], object]) -> object:
                return asyncio.run_coroutine_threadsafe(live.transact(function), loop).result()

            actions = plan(take_stock(tmp_path, MARKETS), ALL, time.time_ns() + LATER)
            job = asyncio.create_task(asyncio.to_thread(apply, actions, tmp_path, MARKETS, on_ledger, rows=5))
            while not job.done():
                await live.commit(batch(BATCHES + commits))
                commits += 1
            return await job, commits

    outcome, commits = asyncio.run(work())
    assert outcome == Outcome(("move to the archive: run r1", "move to the archive: run r2"), ())
    assert commits > 2
    assert problems(tmp_path / "ledger.db") == []
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES + commits)


@pytest.mark.parametrize("read", [1, 20, 21, 22, 38, 39, 60])
def test_who_reads_everything_meanwhile_sees_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: int) -> None:
    """A reader was within a run as it moved: the rest of it is read from the archive."""
    ledger(tmp_path)
    monkeypatch.setattr("daemon.journal.check.CHUNK", 4)
    whole = list(all_rows(tmp_path))
    rows = all_rows(tmp_path)
    found = list(islice(rows, read))
    retain(tmp_path)
    assert [*found, *rows] == whole


def test_who_reads_everything_beside_a_writer_stops_where_the_ledger_stood_then(tmp_path: Path) -> None:
    """Later frames need tape that was not there yet, and half a block behind the last commit is nobody's."""
    ledger(tmp_path)
    rows = read_all(tmp_path, CODEC, MARKETS)
    found = list(islice(rows, 10))
    asyncio.run(write(tmp_path, 30, first=BATCHES, run_id="r5"))
    assert [*found, *rows] == recorded(BATCHES)
    newest = max((tmp_path / "tape").iterdir())
    with newest.open("ab") as tape:
        tape.write(b"half a block")
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES + 30)
    assert check_tape(tmp_path).detail.startswith(f"{(BATCHES + 30) * PER_BATCH} inputs without a gap")


def test_a_tape_that_moves_while_everything_is_read_is_read_where_it_went(tmp_path: Path) -> None:
    """Its place is looked up when it comes to it."""
    trading_days(tmp_path)
    whole = [(row.seq, row.kept) for row in read_all(tmp_path, CODEC, MARKETS)]
    rows = read_all(tmp_path, CODEC, MARKETS)
    found = [(row.seq, row.kept) for row in islice(rows, 2)]
    moved = tape_days(tmp_path / "tape")[1:-1]
    for day in moved:
        repack_tape(tmp_path / "tape" / f"{day}.tape", tmp_path / "archive", MARKETS)
        (tmp_path / "tape" / f"{day}.tape").unlink()
    assert moved
    assert found + [(row.seq, row.kept) for row in rows] == whole


@pytest.mark.parametrize("chunks", [1, 2, 6, 9, 11, 14])
def test_a_check_of_everything_meanwhile_finds_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    """Rows of a run go while it is walked: its seal is taken, as it is for a run that was archived before."""
    ledger(tmp_path)
    monkeypatch.setattr("daemon.journal.check.CHUNK", 4)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        if asked == chunks:
            retain(tmp_path)
        return False

    with closing(open_readonly(tmp_path / "ledger.db")) as db:
        checks = check_chain(db, read_runs(db), should_stop=should_stop)
    assert asked >= chunks
    assert [(check.name, check.ok, check.detail) for check in checks if not check.ok] == []
    assert archives(tmp_path) != []


def test_it_stops_between_two_transactions_when_asked(tmp_path: Path) -> None:
    """A shutdown does not wait for a large run."""
    ledger(tmp_path)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:
        actions = plan(take_stock(tmp_path, MARKETS), ALL, time.time_ns() + LATER)
        apply(actions, tmp_path, MARKETS, lambda f: f(db), rows=5, should_stop=should_stop)
    assert BATCHES * 3 - 12 < counts(tmp_path / "ledger.db")["frame"] < BATCHES * 3 + 1
    assert retain(tmp_path).done == ("go on deleting what the archive has: run r1", "move to the archive: run r2")
    assert list(read_all(tmp_path, CODEC, MARKETS)) == recorded(BATCHES)


# -- tapes -------------------------------------------------------------------------------------------------------------

DAYS = 6


def trading_days(state_dir: Path, *, snapshot_day: int | None = 3) -> list[TapeRow]:
    """Write a ledger of one run over six days of market data; a snapshot stands at the end of a day."""
    rows = session_rows(DAYS)
    per = len(rows) // DAYS

    async def work() -> None:
        async with writing(state_dir) as live:
            for day in range(DAYS):
                chunk = rows[day * per : (day + 1) * per]
                last = chunk[-1]
                made = Batch(panels=chunk, frames=[frame(last.seq, last.body, 0)])
                made.frames[0] = msgspec.structs.replace(
                    made.frames[0],
                    envelope=msgspec.structs.replace(made.frames[0].envelope, ts_init=last.ts, ts_event=last.ts),
                )
                if day == snapshot_day:
                    made.snapshot = SnapshotRow(last.seq, last.ts, DIGEST_START, b"core", b"")
                await live.commit(made)

    asyncio.run(work())
    return rows


def retain_tapes(
    state_dir: Path, policy: RetentionPolicy = ALL, *, warmup: int = 0, faults: Faults = NO_FAULTS
) -> Outcome:
    """Plan and apply where only bars warm up."""
    stock = take_stock(state_dir, MARKETS, warmup=warmup, kinds=(BarPanel,))
    actions = plan(stock, policy, time.time_ns() + LATER)
    with closing(sqlite3.connect(state_dir / "ledger.db", isolation_level=None)) as db:
        return apply(actions, state_dir, MARKETS, lambda function: function(db), faults=faults)


@pytest.mark.parametrize(("warmup", "kept"), [(0, 3), (1, 3), (4, 3), (5, 4), (8, 4), (9, 5), (16, 6), (99, 6)])
def test_tapes_that_a_start_needs_stay(tmp_path: Path, warmup: int, kept: int) -> None:
    """The days behind the oldest snapshot, its own, and as many bars before it as features look back: four a day."""
    rows = trading_days(tmp_path)
    outcome = retain_tapes(tmp_path, warmup=warmup)
    assert outcome.problems == ()
    assert len(outcome.done) == DAYS - kept
    assert tape_days(tmp_path / "tape") == list(range(20240102 + DAYS - kept, 20240102 + DAYS))
    assert tape_days(tmp_path / "archive") == list(range(20240102, 20240102 + DAYS - kept))
    assert equal_rows(list(rows_of(all_tapes(tmp_path), MARKETS)), rows)
    assert [row.seq for row in read_all(tmp_path, CODEC, MARKETS)] == [row.seq for row in rows]
    with closing(reopened(tmp_path)) as opened:
        assert len(opened.panels_before(29, 4)) == 4


def test_without_a_snapshot_every_tape_is_needed(tmp_path: Path) -> None:
    """A start would fold from the first input."""
    trading_days(tmp_path, snapshot_day=None)
    assert retain_tapes(tmp_path) == Outcome((), ())


def test_an_archived_tape_is_a_smaller_tape(tmp_path: Path) -> None:
    """The same rows in one block, following its neighbours as before; it can be packed again without harm."""
    rows = session_rows(2, bars=100)
    tape = writer(tmp_path / "tape")
    for row in rows:
        tape.append([row])
    tape.close()
    first, second = all_tapes(tmp_path)
    packed = repack_tape(first, tmp_path / "archive", MARKETS)
    assert packed.stat().st_size * 3 < first.stat().st_size
    with TapeReader(packed) as reader:
        assert len(list(reader.blocks())) == 1
    assert equal_rows(list(rows_of([packed, second], MARKETS)), rows)
    again = repack_tape(packed, tmp_path / "again", MARKETS)
    assert equal_rows(list(rows_of([again, second], MARKETS)), rows)


@pytest.mark.parametrize("site", [f"{when}:{site}" for site in (*TAPE_SITES, "unlink") for when in ("before", "after")])
def test_a_kill_as_a_tape_moves_loses_nothing(tmp_path: Path, site: str) -> None:
    """At any step every row can be read; the next time ends it."""
    rows = trading_days(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            retain_tapes(tmp_path, faults=lambda place: os.kill(os.getpid(), signal.SIGKILL) if place == site else None)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert equal_rows(list(rows_of(all_tapes(tmp_path), MARKETS)), rows)
    assert retain_tapes(tmp_path).problems == ()
    assert equal_rows(list(rows_of(all_tapes(tmp_path), MARKETS)), rows)
    assert archives(tmp_path) == ["20240102.tape", "20240103.tape", "20240104.tape"]


def test_a_damaged_tape_stays_where_it_is(tmp_path: Path) -> None:
    """It is told, and the others move."""
    trading_days(tmp_path)
    path = tmp_path / "tape" / "20240103.tape"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    outcome = retain_tapes(tmp_path)
    assert len(outcome.problems) == 1
    assert "20240103.tape at byte" in outcome.problems[0]
    assert tape_days(tmp_path / "tape") == [20240103, 20240105, 20240106, 20240107]
    assert archives(tmp_path) == ["20240102.tape", "20240104.tape"]


def test_tapes_leave_the_archive_the_oldest_first(tmp_path: Path) -> None:
    """Then the inputs of those days that caused something cannot be read any more, and that is said."""
    trading_days(tmp_path)
    retain_tapes(tmp_path)
    young = time.time_ns() + 90 * DAY_NS
    os.utime(tmp_path / "archive" / "20240103.tape", ns=(young, young))
    outcome = retain_tapes(tmp_path, RetentionPolicy(archive_days=50))
    assert outcome.done == ("delete from the archive: 20240102.tape",)
    with pytest.raises(OperatorError, match=r"input 7 .* no tape holds it any more"):
        list(read_all(tmp_path, CODEC, MARKETS))
    assert retain_tapes(tmp_path, RetentionPolicy(tape_days=0, archive_days=0)) == Outcome((), ())


def test_without_an_archive_old_tapes_are_deleted(tmp_path: Path) -> None:
    """Only those nobody needs."""
    trading_days(tmp_path)
    outcome = retain_tapes(tmp_path, RetentionPolicy(archive=False))
    assert outcome.done == tuple(f"delete: tape {day}.tape" for day in (20240102, 20240103, 20240104))
    assert archives(tmp_path) == []


# -- the plan ----------------------------------------------------------------------------------------------------------


def run_row(n: int, *, status: str = "ended", archived: str | None = None) -> Span:
    """Return a run of a hundred inputs that ended n days after the first."""
    row = RunRow(
        f"r{n}", "0", "live", 1, "0" * 64, b"{}", status, "", 50, b"", n, None, n * DAY_NS, n * 100 + 1, b"", archived
    )
    return Span(row, n * 100 + 100, (n + 1) * DAY_NS)


def stock(runs: list[Span], *, snapshot_seq: int = 10**9, tapes: int = 0, needed_day: int = 0) -> Stock:
    """Return a stock of full runs and of tapes written a day apart."""
    items = tuple(Item(f"{20240101 + n}.tape", 10, n * DAY_NS, 20240101 + n) for n in range(tapes))
    return Stock(tuple(runs), {span.run.id: True for span in runs}, snapshot_seq, items, needed_day, ())


def test_runs_leave_in_order_up_to_the_first_that_must_stay() -> None:
    """One that runs, one the oldest snapshot stands in, one that is young: none behind it goes either."""
    policy = RetentionPolicy(ledger_days=10)
    runs = [run_row(n) for n in range(1, 6)]
    assert [a.run for a in plan(stock(runs), policy, 13 * DAY_NS + 1)] == [1, 2]
    assert [a.run for a in plan(stock(runs, snapshot_seq=301), policy, 99 * DAY_NS)] == [1, 2]
    assert [a.run for a in plan(stock(runs, snapshot_seq=300), policy, 99 * DAY_NS)] == [1]
    runs[1] = run_row(2, status="running")
    assert [a.run for a in plan(stock(runs), policy, 99 * DAY_NS)] == [1]
    assert plan(stock(runs, snapshot_seq=0), policy, 99 * DAY_NS) == ()


def test_what_was_begun_comes_first_whatever_the_policy_says() -> None:
    """A run that is in the archive already and still has rows here is ended."""
    runs = [run_row(1, archived="x.db 00"), run_row(2)]
    assert plan(stock(runs), RetentionPolicy(0, 0, 0), 0) == (Action("finish_run", "r1", 1),)


def test_tapes_leave_in_order_up_to_the_first_that_is_needed() -> None:
    """And never the newest; zero days is for ever."""
    policy = RetentionPolicy(tape_days=10)
    names = [a.name for a in plan(stock([], tapes=5, needed_day=20240104), policy, 12 * DAY_NS)]
    assert names == ["20240101.tape", "20240102.tape"]
    assert len(plan(stock([], tapes=5, needed_day=20250101), policy, 99 * DAY_NS)) == 4
    assert plan(stock([], tapes=5), policy, 99 * DAY_NS) == ()
    assert plan(stock([], tapes=5, needed_day=20250101), RetentionPolicy(tape_days=0), 99 * DAY_NS) == ()


def test_where_a_run_went_is_read_as_it_was_written() -> None:
    """With a file, with one that is gone, with none."""
    for archived in (Archived("a.db", "0f"), Archived("a.db", "0f", deleted=True), Archived("", "", deleted=True)):
        assert Archived.parse(archived.text()) == archived
