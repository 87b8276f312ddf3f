"""What every journal promises, whatever it is kept in: the memory journal, a replay's ledger, the live ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.journal.journal import Journal, StoredFrame
from daemon.journal.memory import MemoryJournal
from daemon.journal.sqlite import SqliteJournal, open_readonly, read_frames
from tests.journal.ledger_support import (
    CODEC,
    batch,
    event_digest,
    manifest,
    problems,
    recorded,
    reopened,
    reply,
    writing,
)

BATCHES = 7

Kept = tuple[list[StoredFrame], list[str]]
"""Frames read back, and the checks that fail."""


def memory(folder: Path) -> Kept:
    """Write with the memory journal."""
    journal = MemoryJournal()
    _append(journal)
    stored = list(journal.frames())
    journal.close("ended", event_digest(BATCHES).hex())
    return stored, [] if (journal.status, journal.digest) == ("ended", event_digest(BATCHES).hex()) else ["sealed"]


def replay(folder: Path, *, durable: bool) -> Kept:
    """Write as a replay does."""
    path = folder / "ledger.db"
    journal = SqliteJournal(path, manifest(mode="replay"), CODEC, durable=durable, batch=4)
    _append(journal)
    stored = list(journal.frames())
    journal.close("ended", event_digest(BATCHES).hex())
    return stored, problems(path)


def live(folder: Path) -> Kept:
    """Write as the daemon does."""

    async def run() -> None:
        async with writing(folder) as writer:
            for n in range(BATCHES):
                await writer.commit(batch(n))
            await writer.seal("ended", event_digest(BATCHES).hex())

    asyncio.run(run())
    db = open_readonly(folder / "ledger.db")
    stored = list(read_frames(db, CODEC))
    db.close()
    return stored, problems(folder / "ledger.db")


def _append(journal: Journal) -> None:
    for n in range(BATCHES):
        for frame in batch(n).frames:
            journal.append(frame)
    journal.flush()


JOURNALS: dict[str, Callable[[Path], Kept]] = {
    "memory": memory,
    "replay, fast": lambda folder: replay(folder, durable=False),
    "replay, durable": lambda folder: replay(folder, durable=True),
    "live": live,
}


@pytest.mark.parametrize("name", JOURNALS)
def test_frames_come_back_in_order_as_they_went_in_and_every_check_holds(name: str, tmp_path: Path) -> None:
    """Order, envelope, events and causes; chain, seal and digest."""
    stored, failing = JOURNALS[name](tmp_path)
    expected = [
        StoredFrame(
            frame.envelope.seq,
            frame.envelope.ts_init,
            frame.envelope.ts_event,
            frame.envelope.source,
            None if n % 3 else frame.envelope.body,  # of each batch's three frames two are market data
            frame.events,
            frame.causes,
        )
        for number in range(BATCHES)
        for n, frame in enumerate(batch(number).frames)
    ]
    assert stored == expected
    assert failing == []


def test_equal_frames_give_equal_bytes_in_both_ledgers_of_a_replay(tmp_path: Path) -> None:
    """Durable or not, the last hash of the chain is the same."""
    hashes = []
    for durable in (False, True):
        folder = tmp_path / str(durable)
        folder.mkdir()
        replay(folder, durable=durable)
        db = open_readonly(folder / "ledger.db")
        hashes.append(db.execute("SELECT chain FROM run").fetchone()[0])
        db.close()
    assert hashes[0] == hashes[1]


@pytest.mark.asyncio
async def test_the_live_ledger_gives_back_all_that_a_start_needs(tmp_path: Path) -> None:
    """Inputs merged from journal and tape, replies, alerts, the newest three snapshots, market data before a seq."""
    async with writing(tmp_path) as writer:
        for n in range(20):
            await writer.commit(batch(n))
    opened = reopened(tmp_path)
    assert list(opened.inputs(0)) == recorded(20)
    assert list(opened.inputs(42)) == recorded(20)[42:]
    assert list(opened.replies()) == [reply(n) for n in range(20)]
    assert [row.alert_id for row in opened.outbox_pending()] == [f"alert-{n}" for n in range(20)]
    assert [(s.seq, s.core, s.event_digest) for s in opened.snapshots()] == [
        (4 * n, b"core %d" % (n - 1), event_digest(n)) for n in (20, 15, 10)
    ]
    panels = [row.body for row in recorded(20) if row.seq < 42 and row.seq % 4 != 2]
    assert opened.panels_before(42, 10) == panels[-10:]
    assert (opened.last_seq, opened.unclean, opened.event_digest) == (80, True, event_digest(20))
    opened.close()
