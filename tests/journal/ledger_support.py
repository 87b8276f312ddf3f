"""Ledgers for tests: batches that follow from their number, so that whoever reads a ledger knows what must be in it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from actors.messages.catalogue import MARKET, codec
from actors.messages.market import TradingStatus
from actors.messages.portfolio import DepositCash, EquityMarked
from daemon.journal.batch import NO_FAULTS, Batch, Faults, KeptReply, OutboxRow, SnapshotRow, TapeRow
from daemon.journal.check import check_chain, check_integrity, check_replies, check_sealed, check_snapshots, read_runs
from daemon.journal.journal import Manifest
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import OpenedLedger, RecordedInput
from daemon.journal.recovery import open_ledger
from daemon.journal.sqlite import open_readonly
from daemon.journal.writer import LedgerWriter
from daemon.kernel.actor import Frame
from daemon.kernel.digest import DIGEST_START, extend_digest
from daemon.kernel.message import Envelope, Message

CODEC = codec()
MARKETS = MarketCodec(MARKET)
START = 1_704_205_800_000_000_000  # 2024-01-02 14:30 UTC
PER_BATCH = 4
"""Inputs of a batch: a quiet panel, a command, a panel that caused something, a quiet panel kept to cover the tape."""


def manifest(run_id: str = "r1", mode: str = "playback") -> Manifest:
    """Return some manifest."""
    return Manifest(run_id, "0", mode, 42, {"a": 1}, "0" * 64, {}, {"symbols": ["A"]}, "2024-01-02T14:30:00Z")


def stamp(seq: int) -> int:
    """Return the stamp of an input."""
    return START + seq * 1_000_000


def panel(seq: int) -> TradingStatus:
    """Return the market data of an input."""
    return TradingStatus(stamp(seq), 0, "halted", seq)


def frame(seq: int, body: Message, events: int, size: int = 0, digest: bytes = DIGEST_START) -> Frame:
    """Return a frame with some events; ``size`` makes it that many bytes longer, ``digest`` stands behind it."""
    facts = [EquityMarked("main", seq, n, 0, 0) for n in range(events)]
    if size and isinstance(body, DepositCash):
        body = DepositCash("main", body.amount, "x" * size)
    envelope = Envelope(seq, stamp(seq), stamp(seq), "test", body)
    return Frame(envelope, list(facts), [-1] * events, CODEC.encode_many(facts), digest)


def batch(n: int, *, size: int = 0) -> Batch:
    """Return the n-th batch, from 0; every fifth has a snapshot behind it. Its last frame knows the event digest."""
    a, b, c, d = range(n * PER_BATCH + 1, (n + 1) * PER_BATCH + 1)
    last = frame(d, panel(d), 0, digest=event_digest(n + 1))
    made = Batch(
        panels=[TapeRow(a, stamp(a), panel(a)), TapeRow(c, stamp(c), panel(c)), TapeRow(d, stamp(d), panel(d))],
        frames=[frame(b, DepositCash("main", b, "x"), 2, size), frame(c, panel(c), 1), last],
        replies=[reply(n)],
        outbox=[OutboxRow(f"alert-{n}", stamp(b), "critical", b"{}")],
    )
    if n % 5 == 4:
        made.snapshot = SnapshotRow(d, stamp(d), event_digest(n + 1), b"core %d" % n, b"edge")
    return made


def reply(n: int) -> KeptReply:
    """Return the reply that the n-th batch keeps."""
    seq = n * PER_BATCH + 2
    return KeptReply(f"0:request-{n}", "cash.deposit", f"{n:064d}", b'{"seq":%d}' % seq, seq, stamp(seq))


def recorded(batches: int) -> list[RecordedInput]:
    """Return what recovery must read of a ledger with so many batches."""
    found: list[RecordedInput] = []
    for n in range(batches):
        made = batch(n)
        a, b, c, d = range(n * PER_BATCH + 1, (n + 1) * PER_BATCH + 1)
        found.append(RecordedInput(a, stamp(a), stamp(a), "feed", panel(a), [], kept=False))
        for seq, kept in zip((b, c, d), made.frames, strict=True):
            body = kept.envelope.body
            found.append(RecordedInput(seq, stamp(seq), stamp(seq), "test", body, kept.events, kept=True))
    return found


_DIGESTS = [DIGEST_START]
"""Event digests behind so many batches, as far as somebody asked."""


def event_digest(batches: int) -> bytes:
    """Return the event digest behind so many batches."""
    for n in range(len(_DIGESTS) - 1, batches):
        a, digest = n * PER_BATCH + 1, _DIGESTS[-1]
        for made in (frame(a + 1, DepositCash("main", a + 1, "x"), 2), frame(a + 2, panel(a + 2), 1)):
            digest = extend_digest(digest, made.envelope.ts_event, made.body)
        _DIGESTS.append(digest)
    return _DIGESTS[batches]


@asynccontextmanager
async def writing(
    state_dir: Path,
    run_id: str = "r1",
    *,
    faults: Faults = NO_FAULTS,
    overtaken: Callable[[], bool] = lambda: False,
) -> AsyncIterator[LedgerWriter]:
    """Open a ledger as a start does, and close its writer at the end; not sealed."""
    opened = open_ledger(state_dir, CODEC, MARKETS)
    try:
        writer = await LedgerWriter.open(
            state_dir,
            codec=CODEC,
            market=MARKETS,
            manifest=manifest(run_id),
            opened=opened,
            faults=faults,
            overtaken=overtaken,
        )
        try:
            yield writer
        finally:
            await writer.close()
    finally:
        opened.close()


async def write(state_dir: Path, batches: int, *, first: int = 0, run_id: str = "r1", seal: bool = False) -> None:
    """Write some batches in a run."""
    async with writing(state_dir, run_id) as writer:
        for n in range(first, first + batches):
            await writer.commit(batch(n))
        if seal:
            await writer.seal("ended", event_digest(first + batches).hex())


def reopened(state_dir: Path) -> OpenedLedger:
    """Return what the next start finds; close it."""
    return open_ledger(state_dir, CODEC, MARKETS)


def batches_in(state_dir: Path) -> int:
    """Return how many whole batches the next start finds, and that they are those and nothing else."""
    opened = reopened(state_dir)
    try:
        found = list(opened.inputs(0))
        count, rest = divmod(len(found), PER_BATCH)
        assert rest == 0
        assert found == recorded(count)
        assert list(opened.replies()) == [reply(n) for n in range(count)]
        assert [row.alert_id for row in opened.outbox_pending()] == [f"alert-{n}" for n in range(count)]
        assert opened.event_digest == event_digest(count)
        assert opened.last_seq == count * PER_BATCH
    finally:
        opened.close()
    if not opened.fresh:
        assert problems(state_dir / "ledger.db") == []
    return count


def problems(path: Path) -> list[str]:
    """Return the names of the checks of a ledger that fail."""
    db = open_readonly(path)
    try:
        runs = read_runs(db)
        checks = [check_integrity(db), check_sealed(runs), *check_chain(db, runs)]
        checks += [check_snapshots(db), check_replies(db)]
    finally:
        db.close()
    return [check.name for check in checks if not check.ok]


def change(path: Path, statement: str) -> None:
    """Change a ledger that nobody has open, and leave no WAL."""
    db = sqlite3.connect(path, isolation_level=None)
    assert db.execute(statement).rowcount > 0
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
