"""Retention: old runs and tapes move to the archive, and leave it, without a promise being lost.

Three steps. :func:`take_stock` looks, :func:`plan` decides (pure, printable), :func:`apply` acts: one small step after
the other, each of which may be the last before a kill -9. A run leaves the ledger only after its copy was verified,
synced, named and written down in the ledger itself; what a crash interrupted the next plan goes on with.

Never touched: the run that is running; anything not wholly behind the oldest snapshot; replies and ids of runs that are
kept; alerts nobody confirmed; tapes that a start needs to fold from the oldest snapshot and to warm up before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from daemon.journal.archive import (
    ARCHIVE,
    BESIDE_WHERE,
    Archived,
    Span,
    archived_path,
    export_run,
    spans,
    sync_folder,
)
from daemon.journal.batch import NO_FAULTS, Faults
from daemon.journal.check import read_runs, snapshot_seqs
from daemon.journal.committer import LEDGER, TAPE
from daemon.journal.market_codec import MarketCodec
from daemon.journal.repack import repack_tape
from daemon.journal.sqlite import open_readonly
from daemon.journal.tape_format import SUFFIX, TapeReader, tape_days, tape_path
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Market

T = TypeVar("T")

ROWS: Final = 500
"""Frames deleted in one transaction: some milliseconds of the writer's time."""
DAY_NS: Final = 86_400_000_000_000
SITES: Final = ("mark", "prune", "unlink")
"""Steps of :func:`apply` beside those of the archive, each with a ``before`` and an ``after``."""


class OnLedger(Protocol):
    """Runs a function with the one connection that writes, on its thread, between commits."""

    def __call__(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the function returned."""
        ...


class RetentionPolicy(msgspec.Struct, frozen=True):
    """How long things stay; 0 days is for ever.

    Attributes:
        ledger_days: a sealed run, with its replies, in the ledger; counted from its end.
        tape_days: a tape beside the ledger; counted from the last row written.
        archive_days: a file in the archive; counted from its coming there.
        archive: whether there is an archive; without one, what leaves the ledger is gone.
    """

    ledger_days: int = 90
    tape_days: int = 30
    archive_days: int = 0
    archive: bool = True


class Item(msgspec.Struct, frozen=True):
    """A file: trading day (0: no tape), name, bytes, and when it was last written, wall time in nanoseconds."""

    name: str
    bytes: int
    written: int
    day: int = 0


class Stock(msgspec.Struct, frozen=True):
    """What there is.

    Attributes:
        runs: all of them, first to last.
        frames: how many of each, by id, still stand in the ledger.
        snapshot_seq: of the oldest snapshot, 0 where there is none.
        tapes: beside the ledger, oldest first.
        needed_day: tapes from this day on are needed; all where 0.
        archived: files in the archive.
    """

    runs: tuple[Span, ...]
    frames: dict[int, bool]
    snapshot_seq: int
    tapes: tuple[Item, ...]
    needed_day: int
    archived: tuple[Item, ...]


class Action(msgspec.Struct, frozen=True):
    """One thing to do.

    Attributes:
        kind: ``move_run``, ``drop_run``, ``finish_run``, ``move_tape``, ``drop_tape`` or ``drop_archive``.
        name: of the file or run it is about.
        run: id, 0 where it is about a tape.
    """

    kind: str
    name: str
    run: int = 0

    def sentence(self) -> str:
        """Say it for people."""
        return f"{_WORDS[self.kind]} {self.name}"


_WORDS: Final = {
    "move_run": "move to the archive: run",
    "drop_run": "delete: run",
    "finish_run": "go on deleting what the archive has: run",
    "move_tape": "move to the archive: tape",
    "drop_tape": "delete: tape",
    "drop_archive": "delete from the archive:",
}


# -- looking -----------------------------------------------------------------------------------------------------------


def take_stock(state_dir: Path, market: MarketCodec, *, warmup: int = 0, kinds: tuple[type[Market], ...] = ()) -> Stock:
    """Look at a state directory; while the daemon runs, too.

    Args:
        state_dir: of the daemon.
        market: of market data.
        warmup: market rows before a snapshot that a start must observe again.
        kinds: only rows of these types count as such; () for all.

    Raises:
        OperatorError: the ledger or a tape that is needed cannot be read.
    """
    with closing(open_readonly(state_dir / LEDGER)) as db:
        found = spans(read_runs(db, manifests=False))
        select = "SELECT EXISTS (SELECT 1 FROM frame WHERE seq BETWEEN ? AND ?)"
        frames = {s.run.id: bool(db.execute(select, (s.run.first_seq, s.last_seq)).fetchone()[0]) for s in found}
        snapshot_seq = min(snapshot_seqs(db), default=0)
    folder = state_dir / TAPE
    return Stock(
        runs=tuple(found),
        frames=frames,
        snapshot_seq=snapshot_seq,
        tapes=tuple(_item(tape_path(folder, day), day) for day in tape_days(folder)),
        needed_day=_needed_day(folder, market, snapshot_seq, max(warmup, 1), kinds) if snapshot_seq else 0,
        archived=tuple(_items(state_dir / ARCHIVE)),
    )


def _needed_day(folder: Path, market: MarketCodec, seq: int, count: int, kinds: tuple[type[Market], ...]) -> int:
    """Return the day of the oldest tape that a start from the snapshot behind ``seq`` reads, 0 for all."""
    for day in reversed(tape_days(folder)):
        with TapeReader(tape_path(folder, day)) as reader:
            for block in reader.blocks():
                if block.first_seq <= seq:
                    rows = reader.rows(block, market)
                    count -= sum(row.seq <= seq and (not kinds or isinstance(row.body, kinds)) for row in rows)
        if count <= 0:
            return day
    return 0


def _items(folder: Path) -> Iterator[Item]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix in {SUFFIX, ".db"} and not path.name.startswith("."):
                day = int(path.stem) if path.suffix == SUFFIX and path.stem.isdecimal() else 0
                yield _item(path, day)


def _item(path: Path, day: int) -> Item:
    found = path.stat()
    return Item(path.name, found.st_size, found.st_mtime_ns, day)


# -- deciding ----------------------------------------------------------------------------------------------------------


def plan(stock: Stock, policy: RetentionPolicy, now: int) -> tuple[Action, ...]:
    """Say what is to be done, in order.

    Args:
        stock: what there is.
        policy: how long things stay.
        now: wall time, nanoseconds UTC.
    """
    return (*_plan_runs(stock, policy, now), *_plan_tapes(stock, policy, now), *_plan_archive(stock, policy, now))


def _old(written: int | None, days: int, now: int) -> bool:
    return days > 0 and written is not None and now - written > days * DAY_NS


def _plan_runs(stock: Stock, policy: RetentionPolicy, now: int) -> Iterator[Action]:
    """Runs leave from the oldest on, so that the ledger never has a gap; a run that was never filled stays."""
    for span in stock.runs:
        run, full = span.run, stock.frames[span.run.id]
        if run.archived is not None:
            if full:
                yield Action("finish_run", run.run_id, run.id)
            continue
        behind = span.last_seq < stock.snapshot_seq  # the snapshot's own frame stays: its digest is bound to it
        if (
            run.status == "running"
            or run.started is None
            or not behind
            or not _old(span.ended, policy.ledger_days, now)
        ):
            return
        if full:
            yield Action("move_run" if policy.archive else "drop_run", run.run_id, run.id)


def _plan_tapes(stock: Stock, policy: RetentionPolicy, now: int) -> Iterator[Action]:
    """Tapes leave from the oldest on, up to the first that is needed; the newest always is."""
    for item in stock.tapes[:-1]:
        if item.day >= stock.needed_day or not _old(item.written, policy.tape_days, now):
            return
        yield Action("move_tape" if policy.archive else "drop_tape", item.name)


def _plan_archive(stock: Stock, policy: RetentionPolicy, now: int) -> Iterator[Action]:
    """What is oldest in time, not in the archive, goes first: what is left has no gap."""
    items = {item.name: item for item in stock.archived}
    for span in stock.runs:
        if span.run.archived is None:
            break
        archived = Archived.parse(span.run.archived)
        item = items.get(archived.name)
        if item is None:
            continue
        if not archived.deleted and not _old(item.written, policy.archive_days, now):
            break
        yield Action("drop_archive", item.name, span.run.id)
    for item in sorted((item for item in stock.archived if item.day), key=lambda item: item.day):
        if not _old(item.written, policy.archive_days, now):
            break
        yield Action("drop_archive", item.name)


# -- acting ------------------------------------------------------------------------------------------------------------


class Outcome(msgspec.Struct, frozen=True):
    """What became of a plan: sentences about what was done, and about what could not be."""

    done: tuple[str, ...]
    problems: tuple[str, ...]


def apply(
    actions: tuple[Action, ...],
    state_dir: Path,
    market: MarketCodec,
    on_ledger: OnLedger,
    *,
    rows: int = ROWS,
    faults: Faults = NO_FAULTS,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Do what was planned. Everything but ``on_ledger`` happens on the caller's thread, which should be no one's else.

    Args:
        actions: of :func:`plan`.
        state_dir: of the daemon.
        market: of market data.
        on_ledger: runs a function with the writer's connection; called once per transaction.
        rows: frames deleted per transaction.
        faults: for tests.
        should_stop: asked before each action and each transaction of a deletion.

    Returns:
        What was done. An action whose file does not hold is told as a problem, and nothing of it is deleted; behind
        such a run no other leaves.

    Raises:
        OSError: the disk refuses; what was done so far stands.
        sqlite3.Error: the ledger refuses; likewise.
    """
    work = _Work(state_dir, market, on_ledger, rows, faults, should_stop)
    done: list[str] = []
    problems: list[str] = []
    in_order = True
    for action in actions:
        if should_stop():
            break
        if action.run and not in_order:
            continue
        try:
            work.do(action)
        except OperatorError as error:
            problems.append(f"not done: {action.sentence()}: {error}")
            in_order = in_order and not action.run  # no later run leaves before it: the ledger never has a gap
        else:
            done.append(action.sentence())
    return Outcome(tuple(done), tuple(problems))


class _Work:
    """Acts on one state directory."""

    def __init__(
        self,
        state_dir: Path,
        market: MarketCodec,
        on_ledger: OnLedger,
        rows: int,
        faults: Faults,
        should_stop: Callable[[], bool],
    ) -> None:
        self._dir = state_dir
        self._archive = state_dir / ARCHIVE
        self._market = market
        self._on_ledger = on_ledger
        self._rows = rows
        self._faults = faults
        self._should_stop = should_stop

    def do(self, action: Action) -> None:
        """Do one thing; again where it was begun before."""
        if action.kind == "move_run":
            with closing(open_readonly(self._dir / LEDGER)) as db:
                archived = export_run(db, read_runs(db, manifests=False), action.run, self._archive, self._faults)
            self._mark(action.run, archived)
            self._prune(action.run)
        elif action.kind == "drop_run":
            self._mark(action.run, Archived("", "", deleted=True))
            self._prune(action.run)
        elif action.kind == "finish_run":
            self._prune(action.run)
        elif action.kind in {"move_tape", "drop_tape"}:
            source = self._dir / TAPE / action.name
            if action.kind == "move_tape":
                repack_tape(source, self._archive, self._market, self._faults)
            self._unlink(source)
        else:
            self._drop(action)

    def _mark(self, run_id: int, archived: Archived) -> None:
        """Write down in the ledger where a run's frames are, before the first of them is deleted."""
        self._faults("before:mark")

        def mark(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute("UPDATE run SET archived = ? WHERE id = ?", (archived.text(), run_id))

        self._on_ledger(mark)
        self._faults("after:mark")

    def _prune(self, run_id: int) -> None:
        """Delete an archived run's rows, the newest first: whoever reads meanwhile sees no gap, only an earlier end."""
        with closing(open_readonly(self._dir / LEDGER)) as db:
            span = next(span for span in spans(read_runs(db, manifests=False)) if span.run.id == run_id)
        archived = Archived.parse(span.run.archived or "")
        if not archived.deleted:
            archived_path(self._dir, archived)  # the copy is there, to the byte
        first, last = span.run.first_seq, span.last_seq
        while not self._should_stop():
            self._faults("before:prune")
            if not self._on_ledger(lambda db: _delete(db, first, last, self._rows)):
                break
            self._faults("after:prune")

    def _drop(self, action: Action) -> None:
        """Say in the ledger that an archived run is gone, then let it go."""
        if action.run:
            with closing(open_readonly(self._dir / LEDGER)) as db:
                run = next(run for run in read_runs(db, manifests=False) if run.id == action.run)
            self._mark(action.run, msgspec.structs.replace(Archived.parse(run.archived or ""), deleted=True))
        self._unlink(self._archive / action.name)

    def _unlink(self, path: Path) -> None:
        self._faults("before:unlink")
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        self._faults("after:unlink")


def _delete(db: sqlite3.Connection, first: int, last: int, rows: int) -> bool:
    """Delete some rows of an archived run; return whether there were any.

    What went with the run (its replies, ...) goes before its frames: by these it is told.
    """
    with transaction(db):
        ts = db.execute("SELECT max(ts) FROM frame WHERE seq BETWEEN ? AND ?", (first, last)).fetchone()[0]
        where = {"first": first, "last": last, "ts": ts, "rows": rows}
        for table, belongs in BESIDE_WHERE.items():
            chosen = f"SELECT rowid FROM {table} WHERE {belongs} LIMIT :rows"  # noqa: S608 - constants
            if db.execute(f"DELETE FROM {table} WHERE rowid IN ({chosen})", where).rowcount:  # noqa: S608 - constants
                return True
        chosen = "SELECT seq FROM frame WHERE seq BETWEEN :first AND :last ORDER BY seq DESC LIMIT :rows"
        return db.execute(f"DELETE FROM frame WHERE seq IN ({chosen})", where).rowcount > 0  # noqa: S608 - constants


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one transaction; within one that the caller began, as part of it."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
