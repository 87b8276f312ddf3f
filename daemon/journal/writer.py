"""The live ledger's writer: group commit on one aiosqlite connection, shielded from cancellation.

A batch is one call on the connection's thread, so no await stands between BEGIN and COMMIT: a caller that is cancelled
never leaves an open transaction. aiosqlite offers this only as its private ``_execute(fn)``; a conformance test holds
it to what is needed here.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import aiosqlite
import anyio
import msgspec

from daemon.journal.batch import NO_FAULTS, Batch, Faults
from daemon.journal.committer import TAPE, Committer, Continue, Tape
from daemon.journal.connection import LEDGER, Job
from daemon.journal.failures import CommitOvertaken, LedgerBrokenError, LedgerFullError
from daemon.journal.journal import Manifest
from daemon.journal.market_codec import MarketCodec
from daemon.journal.recovery import OpenedLedger
from daemon.journal.tape import TapeWriter
from daemon.kernel.codec import Codec

__all__ = ["CommitOvertaken", "LedgerBrokenError", "LedgerFullError", "LedgerGauges", "LedgerWriter"]

T = TypeVar("T")


class LedgerGauges(msgspec.Struct, frozen=True):
    """How the ledger fares. Times are monotonic nanoseconds, 0 where there is none.

    Attributes:
        ledger_bytes, wal_bytes: sizes of the files; a WAL that grows has a reader in its way.
        commits, frames: written by this process.
        last_seq: of the last durable frame.
        last_commit_ns: when the last commit ended; the opening counts as one.
        waiting_since_ns: since when another process holds the ledger.
        checkpoint_blocked_since_ns: since when the WAL could not be folded in whole.
        p50_ns, p99_ns: how long the last 256 commits took, from the thread's taking them up.
        moved: name of a file that was removed or replaced while it was open, or "".
        broken: why nothing is taken any more, or "".
    """

    ledger_bytes: int
    wal_bytes: int
    commits: int
    frames: int
    last_seq: int
    last_commit_ns: int
    waiting_since_ns: int
    checkpoint_blocked_since_ns: int
    p50_ns: int
    p99_ns: int
    moved: str
    broken: str


class LedgerWriter:
    """Writes one run; see :meth:`open`."""

    def __init__(self, db: aiosqlite.Connection, committer: Committer) -> None:
        """Wire the connection's thread and what works on it; use :meth:`open`."""
        self._db = db
        self._committer = committer
        self._folding: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        state_dir: Path,
        *,
        codec: Codec,
        market: MarketCodec,
        manifest: Manifest,
        opened: OpenedLedger | None,
        faults: Faults = NO_FAULTS,
        overtaken: Callable[[], bool],
        tape: Tape | None = None,
    ) -> Self:
        """Begin a run: seal a predecessor that did not end as ``recovered`` and add this one, in one transaction.

        Args:
            state_dir: of the ledger, held by an :class:`daemon.journal.lock.InstanceLock`.
            codec: of commands and events.
            market: of market data.
            manifest: of this run.
            opened: what :func:`daemon.journal.recovery.open_ledger` found; None or ``fresh`` where there is no ledger.
            faults: for tests; called on the ledger's thread.
            overtaken: whether a kill has come that the core has not observed; asked on the ledger's thread.
            tape: to write to; None for ``state_dir/tape``.

        Raises:
            LedgerFullError, LedgerBrokenError: nothing was begun.
        """
        before = Continue() if opened is None else opened.continuation()
        if tape is None:
            tape = TapeWriter(state_dir / TAPE, market, manifest.universe)
        committer = Committer(state_dir, codec=codec, tape=tape, faults=faults, overtaken=overtaken)
        db = await aiosqlite.connect(state_dir / LEDGER, isolation_level=None, timeout=0)
        writer = cls(db, committer)
        try:
            await writer._call(lambda: committer.open(db._conn, manifest, before), Job())  # noqa: SLF001 - see the module
        except BaseException:
            with anyio.CancelScope(shield=True):
                await writer.close()
            raise
        return writer

    @property
    def committing(self) -> bool:
        """Whether COMMIT itself is running."""
        return self._committer.committing

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable: tape, tape sync, rows, COMMIT. Returned means durable.

        Waits for another process that holds the ledger, for ever, until a kill, :meth:`close` or the caller's own
        cancellation ends that. Cancelled later than that, it ends the commit first.

        Raises:
            CommitOvertaken: a kill came first; nothing was written.
            LedgerFullError: no room; nothing was written, and it may be tried again.
            LedgerBrokenError: whether it is durable only the next start can tell; everything is refused from now on.
            InvariantError: the batch does not follow the one before.
        """
        job = Job()
        await self._call(lambda: self._committer.commit(batch, job), job)
        folding = self._committer.folding
        if folding.is_due and (self._folding is None or self._folding.done()):
            # Behind the commit that was asked for, so that nobody waits for it but the next.
            self._folding = asyncio.get_running_loop().create_task(self._execute(folding.fold))

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work of the ledger's upkeep (retention) on its connection, as one transaction between two commits.

        Args:
            work: given the connection on its thread; must neither begin nor commit, and touch no frame of this run.

        Raises:
            LedgerFullError: rolled back; LedgerBrokenError: everything is refused from now on.
        """
        job = Job()
        return await self._call(lambda: self._committer.transact(work, job), job)

    async def roll(self, manifest: Manifest) -> None:
        """Seal this run as ``ended`` and begin another, in one transaction between two commits.

        What is committed before it belongs to the old run, what comes after to the new one, as if the process had been
        started anew in between: so a run that lasts for months can leave the ledger piece by piece. The seal's event
        digest is that of the last durable frame, which only the ledger's thread can tell while commits go on.

        Args:
            manifest: of the new run; its ``run_id`` must be another one.

        Raises:
            LedgerFullError: no room; the old run goes on, and it may be tried again.
            LedgerBrokenError: whether it rolled only the next start can tell; everything is refused from now on.
            CommitOvertaken: the caller was cancelled while another process held the ledger; the old run goes on.
        """
        job = Job()
        await self._call(lambda: self._committer.roll(manifest, job), job)

    async def seal(self, status: str, digest: str) -> None:
        """Say how the run ended, and fold the WAL in; nothing can be committed after it.

        Args:
            status: ``ended`` or ``quarantined``.
            digest: of all events, hex.

        Raises:
            LedgerFullError, LedgerBrokenError: it is not sealed; the next start will do it.
        """
        job = Job()
        await self._call(lambda: self._committer.seal(status, digest, job), job)

    async def close(self) -> None:
        """End what still waits, close the files and the thread. Shielded: a half-closed ledger helps nobody."""
        if self._closed:
            return
        self._closed = True
        committer, connection = self._committer, self._committer.connection
        connection.closing = True
        connection.nudge.set()
        with anyio.CancelScope(shield=True):
            if self._folding is not None:
                await self._folding
            try:
                await self._execute(committer.close)
            finally:
                await self._db.close()
                connection.let_go()

    def gauges(self) -> LedgerGauges:
        """Return the gauges; from any thread."""
        committer, connection = self._committer, self._committer.connection
        times = sorted(committer.latencies)
        return LedgerGauges(
            ledger_bytes=_size(connection.path),
            wal_bytes=_size(connection.wal),
            commits=committer.commits,
            frames=committer.frames,
            last_seq=committer.last_seq,
            last_commit_ns=committer.last_commit,
            waiting_since_ns=connection.waiting_since,
            checkpoint_blocked_since_ns=committer.folding.blocked_since,
            p50_ns=times[len(times) // 2] if times else 0,
            p99_ns=times[len(times) * 99 // 100] if times else 0,
            moved=connection.moved(),
            broken="" if connection.broken is None else connection.broken.message,
        )

    async def _execute(self, function: Callable[[], T]) -> T:
        """Run a function on the connection's thread as one call."""
        return cast("T", await cast("Any", self._db)._execute(function))  # noqa: SLF001 - see the module

    async def _call(self, function: Callable[[], T], job: Job) -> T:
        """Run a function on the thread; a cancelled caller leaves only when it has ended."""
        task = asyncio.get_running_loop().create_task(self._execute(function))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            job.given_up = True
            self._committer.connection.nudge.set()
            with anyio.CancelScope(shield=True):
                while not task.done():
                    try:
                        await asyncio.wait([task])
                    except asyncio.CancelledError:
                        continue  # asked once more; the thread cannot be stopped half-way
            self._committer.connection.nudge.clear()
            if not task.cancelled():
                task.exception()  # taken: whoever was to hear of it is gone, and what broke stays broken
            raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
