"""The ledger: what is written is read back, and whatever is changed afterwards is found."""

from __future__ import annotations

import resource
import sqlite3
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.catalogue import codec
from actors.messages.market import SessionOpened
from actors.messages.orders import CancelOrder, OrderCanceled
from actors.messages.portfolio import DepositCash, EquityMarked
from actors.values import Session
from daemon.journal.check import check_chain, check_integrity, check_sealed, read_run
from daemon.journal.journal import Manifest, StoredFrame
from daemon.journal.memory import MemoryJournal
from daemon.journal.sqlite import SqliteJournal, decode_causes, encode_causes, open_readonly, read_frames
from daemon.kernel.actor import Frame
from daemon.kernel.digest import DIGEST_START, extend_digest
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Envelope, Event, Message
from daemon.kernel.poison import PoisonRecord

CODEC = codec()


def manifest() -> Manifest:
    """Return some manifest."""
    return Manifest("r1", "0", "replay", 42, {"a": 1}, "0" * 64, {}, {"symbols": ["A"]}, "2020-01-01T00:00:00Z")


def frame(seq: int, body: Message, events: list[Event], causes: list[int] | None = None) -> Frame:
    """Build a frame as the sequencer would."""
    envelope = Envelope(seq, seq * 10, seq * 10, "test", body)
    return Frame(envelope, events, causes or [-1] * len(events), CODEC.encode_many(events), DIGEST_START)


def some_frames() -> list[Frame]:
    """Return frames of every shape: a command, market data, nothing caused, several causes."""
    mark = EquityMarked("main", 10, 10, 0, 0)
    gone = OrderCanceled("O-1", "a", 0, "test")
    return [
        frame(1, DepositCash("main", 10, "opening"), [mark]),
        frame(2, SessionOpened(20, Session(20200102, 20, 30, 0)), [mark, gone, mark], [-1, 0, 1]),
        frame(5, CancelOrder("a", "test"), []),
    ]


def write(path: Path, *, durable: bool) -> None:
    """Write and seal a small ledger."""
    journal = SqliteJournal(path, manifest(), CODEC, durable=durable, batch=2)
    digest = DIGEST_START
    for item in some_frames():
        journal.append(item)
        if item.events:
            digest = extend_digest(digest, item.envelope.ts_event, item.body)
    journal.close("ended", digest.hex())


def problems(path: Path) -> list[str]:
    """Return the names of the checks that fail."""
    db = open_readonly(path)
    try:
        run = read_run(db)
        assert run is not None
        checks = [check_integrity(db), check_sealed(run), *check_chain(db, run)]
    finally:
        db.close()
    return [check.name for check in checks if not check.ok]


@pytest.mark.parametrize("durable", [False, True])
def test_frames_come_back_as_they_went_in(tmp_path: Path, durable: bool) -> None:
    """Both ways of writing give the frames that a memory journal gives."""
    path = tmp_path / "ledger.db"
    write(path, durable=durable)
    memory = MemoryJournal()
    for item in some_frames():
        memory.append(item)
    db = open_readonly(path)
    stored = list(read_frames(db, CODEC))
    db.close()
    assert stored == list(memory.frames())
    assert isinstance(stored[0], StoredFrame)
    assert problems(path) == []
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.db"]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 200, 250])
def test_a_commit_of_any_size_holds_every_row_once_and_in_order(tmp_path: Path, count: int) -> None:
    """Rows go into SQLite a hundred to a statement, and what is left one by one."""
    path = tmp_path / "ledger.db"
    journal = SqliteJournal(path, manifest(), CODEC, durable=False, batch=250)
    items = [frame(seq, CancelOrder(f"a{seq}", "test"), []) for seq in range(1, count + 1)]
    for item in items:
        journal.append(item)
    journal.close("ended", DIGEST_START.hex())
    db = open_readonly(path)
    stored = [(row.seq, row.input) for row in read_frames(db, CODEC)]
    db.close()
    assert stored == [(item.envelope.seq, item.envelope.body) for item in items]
    assert problems(path) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE frame SET ts = ts + 1 WHERE seq = 2", "hash_chain"),
        ("UPDATE frame SET source = 'x' WHERE seq = 5", "hash_chain"),
        ("UPDATE frame SET input = NULL WHERE seq = 1", "hash_chain"),
        ("UPDATE frame SET causes = x'' WHERE seq = 2", "hash_chain"),
        ("UPDATE frame SET hash = zeroblob(32) WHERE seq = 5", "hash_chain"),
        ("DELETE FROM frame WHERE seq = 5", "hash_chain"),
        ("DELETE FROM frame WHERE seq = 1", "hash_chain"),
        ("UPDATE frame SET n = n + 1 WHERE seq = 2", "hash_chain"),
        ("UPDATE run SET chain = zeroblob(32)", "hash_chain"),
        ("UPDATE run SET seed = 7", "hash_chain"),
        ("UPDATE run SET manifest = x'7b7d'", "hash_chain"),
        ("UPDATE run SET event_digest = replace(event_digest, substr(event_digest, 1, 1), 'g')", "event_digest"),
        ("UPDATE run SET status = 'running'", "sealed"),
    ],
)
def test_a_changed_row_is_found(tmp_path: Path, statement: str, found: str) -> None:
    """Every column of every row is bound into a check."""
    path = tmp_path / "ledger.db"
    write(path, durable=False)
    db = sqlite3.connect(path)
    assert db.execute(statement).rowcount == 1
    db.commit()
    db.close()
    assert found in problems(path)


def test_a_ledger_is_never_overwritten(tmp_path: Path) -> None:
    """An existing file is refused and left as it is."""
    path = tmp_path / "ledger.db"
    path.write_text("precious")
    with pytest.raises(OperatorError, match="exists already"):
        SqliteJournal(path, manifest(), CODEC, durable=False)
    assert path.read_text() == "precious"


def test_files_that_are_no_ledger_are_refused_with_a_sentence(tmp_path: Path) -> None:
    """Missing, not a database, another program's database, a newer schema."""
    with pytest.raises(OperatorError, match="no ledger at"):
        open_readonly(tmp_path / "none.db")
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(OperatorError, match="cannot be read as a ledger"):
        open_readonly(junk)
    foreign = tmp_path / "foreign.db"
    db = sqlite3.connect(foreign)
    db.execute("CREATE TABLE t (a)")
    db.close()
    with pytest.raises(OperatorError, match="not a ledger of tradingd"):
        open_readonly(foreign)
    newer = tmp_path / "newer.db"
    write(newer, durable=False)
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OperatorError, match="schema 99, newer"):
        open_readonly(newer)


def test_an_abandoned_ledger_is_not_sealed(tmp_path: Path) -> None:
    """A run that did not end says so."""
    path = tmp_path / "ledger.db"
    journal = SqliteJournal(path, manifest(), CODEC, durable=True)
    journal.append(some_frames()[0])
    journal.flush()
    journal.abandon()
    assert "sealed" in problems(path)


@settings(max_examples=50)
@given(st.lists(st.integers(-1, 300), max_size=20))
def test_causes_survive_encoding(causes: list[int]) -> None:
    """Any causes come back."""
    assert decode_causes(encode_causes(causes), len(causes)) == causes


def test_commits_are_announced_after_they_happened(tmp_path: Path) -> None:
    """Whoever waits for a commit finds its rows on disk."""
    path = tmp_path / "ledger.db"
    seen: list[int] = []

    def look() -> None:
        db = sqlite3.connect(path)
        seen.append(db.execute("SELECT count(*) FROM frame").fetchone()[0])
        db.close()

    journal = SqliteJournal(path, manifest(), CODEC, durable=True, batch=2, on_commit=look)
    for item in some_frames():
        journal.append(item)
    journal.close("ended", "0" * 64)
    assert seen == [2, 3]


def test_a_failed_commit_is_raised_and_leaves_no_half(tmp_path: Path) -> None:
    """Two frames with one sequence number: neither of the batch is kept."""
    path = tmp_path / "ledger.db"
    journal = SqliteJournal(path, manifest(), CODEC, durable=True, batch=100)
    for item in (some_frames()[0], some_frames()[0]):
        journal.append(item)
    with pytest.raises(sqlite3.IntegrityError):
        journal.flush()
    journal.abandon()
    db = open_readonly(path)
    assert db.execute("SELECT count(*) FROM frame").fetchone()[0] == 0
    db.close()


def test_a_poisoned_input_is_kept_with_its_traceback(tmp_path: Path) -> None:
    """For people; the chain does not know of it."""
    path = tmp_path / "ledger.db"
    journal = SqliteJournal(path, manifest(), CODEC, durable=False)
    journal.quarantine(PoisonRecord(some_frames()[0].envelope, "risk", "ValueError: x", "Traceback ..."))
    journal.close("ended", "")
    db = open_readonly(path)
    assert db.execute("SELECT seq, actor, input, error FROM quarantine").fetchall() == [
        (1, "risk", "DepositCash", "ValueError: x")
    ]
    db.close()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """No ledger below a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot be created"):
        SqliteJournal(tmp_path / "file" / "ledger.db", manifest(), CODEC, durable=False)


def test_reading_back_while_the_run_goes_on(tmp_path: Path) -> None:
    """What is queued is part of what is read."""
    journal = SqliteJournal(tmp_path / "ledger.db", manifest(), CODEC, durable=True)
    journal.append(some_frames()[0])
    assert [stored.seq for stored in journal.frames()] == [1]
    journal.abandon()


def test_rows_that_go_back_in_time_are_found_though_their_chain_holds(tmp_path: Path) -> None:
    """Whoever writes a ledger with an honest chain cannot turn the clock back in it."""
    path = tmp_path / "ledger.db"
    journal = SqliteJournal(path, manifest(), CODEC, durable=False)
    first, second, _ = some_frames()
    journal.append(msgspec.structs.replace(first, envelope=msgspec.structs.replace(first.envelope, ts_init=30)))
    journal.append(second)
    journal.close("ended", "")
    db = open_readonly(path)
    run = read_run(db)
    assert run is not None
    assert check_chain(db, run)[0].detail == "the row with seq 2 goes back in order or time"
    db.close()


def test_a_ledger_whose_pages_are_overwritten_fails_its_integrity(tmp_path: Path) -> None:
    """Where SQLite cannot even begin, and where it finds one bad page."""
    for start, size, says in ((100, 8, "malformed"), (8192, 4096, "")):
        path = tmp_path / f"{start}.db"
        write(path, durable=False)
        with path.open("r+b") as handle:
            handle.seek(start)
            handle.write(b"\xff" * size)
        db = open_readonly(path)
        check = check_integrity(db)
        assert not check.ok
        assert says in check.detail
        db.close()


def test_a_full_disk_is_raised_as_it_is(tmp_path: Path) -> None:
    """SQLite has given its transaction up by itself then; there is nothing to roll back, and nothing is sealed."""
    path = tmp_path / "ledger.db"
    journal = SqliteJournal(path, manifest(), CODEC, durable=True, batch=100_000)
    for seq in range(1, 2000):
        journal.append(frame(seq, CancelOrder("a" * 64, "x" * 64), []))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(sqlite3.OperationalError, match=r"full|I/O"):
            journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.abandon()
    assert "sealed" in problems(path)
