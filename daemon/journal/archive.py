"""The archive: sealed runs and old tapes in files of their own, so that the live ledger stays small.

``state_dir/archive/ledger-FIRST-LAST.db`` is a ledger in itself: its frames are one run's, and the rows of all runs
before it stand there too, marked as archived elsewhere, so that the hash chain verifies from its recorded start.
``state_dir/archive/YYYYMMDD.tape`` is a tape with large blocks, read by whatever reads tapes. The live ledger's row of
an archived run names the file and its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, Self, cast

import msgspec

from daemon.journal.batch import NO_FAULTS, Faults, TapeRow
from daemon.journal.check import Check, check_chain, check_integrity, check_replies, frame_chunks, read_runs
from daemon.journal.committer import LEDGER, TAPE
from daemon.journal.journal import StoredFrame
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import FEED, RecordedInput
from daemon.journal.rows import LIVE_FRAME, FrameRow, RunRow, decode_causes, schema_version, whole_run
from daemon.journal.schema import PAGE_SIZE, migrate
from daemon.journal.sqlite import open_readonly
from daemon.journal.tape import rows_of
from daemon.journal.tape_format import TapeHeader, TapeReader, tape_days, tape_path
from daemon.kernel.codec import Codec
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Event

ARCHIVE: Final = "archive"
RUN_SITES: Final = ("export.write", "export.fsync", "export.rename")
"""Steps of an export, each with a ``before`` and an ``after``, for :data:`daemon.journal.batch.Faults`."""
_BESIDE: Final = {
    "idempotency": "key, method, params, reply, seq, ts, digest",
    "outbox": "alert_id, ts, severity, body, state, attempts",
    "quarantine": "id, seq, ts, actor, input, body, error, traceback",
}
BESIDE_WHERE: Final = {
    "idempotency": "(seq BETWEEN :first AND :last OR (seq = 0 AND ts <= :ts))",
    "outbox": "(state != 'pending' AND ts <= :ts)",
    "quarantine": "seq BETWEEN :first AND :last",
}
"""Which rows beside the frames go with a run: what it promised, and alerts of its time that nobody waits for."""
_DELETED: Final = "deleted"
_RESTORE: Final = "put the file back, or restore a backup"


class Archived(msgspec.Struct, frozen=True):
    """Where a run's frames went: the text in ``run.archived``.

    Attributes:
        name: of the file in the archive folder; "" where the run was pruned without one.
        sha256: of the file, hex.
        deleted: its time in the archive is over.
    """

    name: str
    sha256: str
    deleted: bool = False

    def text(self) -> str:
        """Return the column's value."""
        return " ".join(word for word in (self.name, self.sha256, _DELETED * self.deleted) if word)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the column's value."""
        words = text.split()
        deleted = words[-1:] == [_DELETED]
        name, sha256 = words[:2] if len(words) > 1 else ("", "")
        return cls(name, sha256, deleted)


class Span(msgspec.Struct, frozen=True):
    """A run and what belongs to it.

    Attributes:
        run: its row.
        last_seq: no frame of it has a greater one.
        ended: wall time at which the next run began, nanoseconds UTC; None for the last run.
    """

    run: RunRow
    last_seq: int
    ended: int | None


def spans(runs: Sequence[RunRow]) -> list[Span]:
    """Return the runs of a live ledger with where and when each ended."""
    found = [Span(run, after.first_seq - 1, after.started) for run, after in pairwise(runs)]
    return found + [Span(run, 2**62, None) for run in runs[-1:]]


# -- runs --------------------------------------------------------------------------------------------------------------


def export_run(
    db: sqlite3.Connection, runs: Sequence[RunRow], run_id: int, folder: Path, faults: Faults = NO_FAULTS
) -> Archived:
    """Copy a sealed run into a ledger of its own, verify that, and only then give it its name.

    Args:
        db: the live ledger, which may only be read; no read transaction lasts longer than a chunk of rows.
        runs: all runs of the ledger, with or without manifests.
        run_id: the run's id.
        folder: of the archive; made where it is missing.
        faults: for tests, see :data:`RUN_SITES`.

    Raises:
        OperatorError: what was copied does not verify: the ledger is damaged, and nothing may be taken out of it.
        OSError: it cannot be written; nothing was published.
    """
    span = next(span for span in spans(runs) if span.run.id == run_id)
    last, ts = db.execute(
        "SELECT max(seq), max(ts) FROM frame WHERE seq BETWEEN ? AND ?", (span.run.first_seq, span.last_seq)
    ).fetchone()
    name = f"ledger-{span.run.first_seq}-{last}.db"
    make_folder(folder)
    temporary = folder / f".{name}.tmp"
    with removed_on_failure(temporary):
        faults("before:export.write")
        with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
            _copy_run(db, copy, runs, span, ts)
            problems = [check for check in _checks(copy) if not check.ok]
        if problems:
            message = f"run {span.run.run_id} cannot be archived: {problems[0].name}: {problems[0].detail}"
            raise OperatorError(message, code="ARCHIVE_DAMAGED", remedy="run tradingd verify on the ledger")
        faults("after:export.write")
        return Archived(name, publish(temporary, folder / name, "export", faults))


@contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Begin without the file, and do not leave half of it where there may be no room."""
    path.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy_run(
    db: sqlite3.Connection, copy: sqlite3.Connection, runs: Sequence[RunRow], span: Span, last_ts: int
) -> None:
    for pragma in (f"page_size = {PAGE_SIZE}", "journal_mode = OFF", "synchronous = OFF"):
        copy.execute(f"PRAGMA {pragma}").fetchone()
    copy.execute("BEGIN")
    migrate(copy, 0)
    for row in db.execute("SELECT id, generation, epoch FROM ledger").fetchall():
        copy.execute("INSERT INTO ledger (id, generation, epoch) VALUES (?, ?, ?)", row)
    for run in runs:
        if run.id <= span.run.id:
            columns = msgspec.structs.asdict(whole_run(db, run))
            places = ", ".join("?" * len(columns))
            copy.execute(
                f"INSERT INTO run ({', '.join(columns)}) VALUES ({places})",  # noqa: S608 - names of fields
                tuple(columns.values()),
            )
    for rows in frame_chunks(db, span.run.first_seq, span.last_seq):
        copy.executemany(LIVE_FRAME, rows)
    where = {"first": span.run.first_seq, "last": span.last_seq, "ts": last_ts}
    for table, columns_text in _BESIDE.items():
        select = f"SELECT {columns_text} FROM {table} WHERE {BESIDE_WHERE[table]}"  # noqa: S608 - constants
        places = ", ".join("?" * len(columns_text.split(",")))
        insert = f"INSERT INTO {table} ({columns_text}) VALUES ({places})"  # noqa: S608 - constants
        copy.executemany(insert, db.execute(select, where).fetchall())
    copy.execute("COMMIT")


def _checks(db: sqlite3.Connection) -> list[Check]:
    return [check_integrity(db), *check_chain(db, read_runs(db, manifests=False)), check_replies(db)]


def publish(temporary: Path, path: Path, what: str, faults: Faults = NO_FAULTS) -> str:
    """Sync a finished file, give it its name and sync the folder; return its SHA-256.

    Args:
        temporary: in the same folder.
        path: what it is called from now on; replaced where it exists.
        what: name of the steps for ``faults``.
        faults: for tests.
    """
    faults(f"before:{what}.fsync")
    with temporary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    faults(f"after:{what}.fsync")
    faults(f"before:{what}.rename")
    temporary.replace(path)
    sync_folder(path.parent)
    faults(f"after:{what}.rename")
    return digest


def make_folder(folder: Path) -> None:
    """Make a folder that is still there after a power cut."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def archived_path(state_dir: Path, archived: Archived) -> Path:
    """Return the file of an archived run, after comparing its digest.

    Raises:
        OperatorError: it is gone, or not the file that was written.
    """
    path = state_dir / ARCHIVE / archived.name
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        message = f"{path}, to which frames of the ledger were moved, is missing"
        raise OperatorError(message, code="ARCHIVE_MISSING", remedy=_RESTORE) from None
    if digest != archived.sha256:
        message = f"{path} is not the file to which frames of the ledger were moved"
        raise OperatorError(message, code="ARCHIVE_DAMAGED", remedy=_RESTORE)
    return path


def check_archive(state_dir: Path, runs: Sequence[RunRow]) -> Check:
    """Every archived run that must still be there is the file that was written, and verifies by itself."""
    count = 0
    for run in runs:
        archived = Archived.parse(run.archived or "")
        if not archived.name or archived.deleted:
            continue
        count += 1
        try:
            db = open_readonly(archived_path(state_dir, archived))
        except OperatorError as error:
            return Check("archive", ok=False, detail=error.message)
        try:
            bad = [check for check in _checks(db) if not check.ok]
        finally:
            db.close()
        if bad:
            return Check("archive", ok=False, detail=f"{archived.name}: {bad[0].name}: {bad[0].detail}")
    return Check("archive", ok=True, detail=f"{count} archived runs")


# -- tapes -------------------------------------------------------------------------------------------------------------


def all_tapes(state_dir: Path) -> list[Path]:
    """Return every tape there is, oldest first, wherever it lies; one that is in both places is read where it was."""
    live, kept = state_dir / TAPE, state_dir / ARCHIVE
    folders = dict.fromkeys(tape_days(kept), kept) | dict.fromkeys(tape_days(live), live)
    return [tape_path(folders[day], day) for day in sorted(folders)]


def tape_header(path: Path) -> TapeHeader:
    """Return a tape's header."""
    with TapeReader(path) as reader:
        return reader.header


# -- reading everything ------------------------------------------------------------------------------------------------


def all_rows(state_dir: Path) -> Iterator[FrameRow]:
    """Read the rows of all frames there are, in order, from the archive and the live ledger; while it runs, too.

    Runs whose time in the archive is over are left out.

    Raises:
        OperatorError: the ledger cannot be read, or an archived file is missing or not the one that was written.
    """
    return _rows_upto(state_dir / LEDGER, state_dir)


def _rows_upto(ledger: Path, state_dir: Path) -> Iterator[FrameRow]:
    db = open_readonly(ledger)
    try:
        live = schema_version(db) > 1
        last = known = 0
        while span := _span_behind(db, known):
            if span.run.archived is None:
                for rows in frame_chunks(db, max(span.run.first_seq, last + 1), span.last_seq):
                    yield from rows
                    last = rows[-1][0]
            known = span.run.id
            # Moved since we looked: what was not read here by now is read there.
            moved = db.execute("SELECT archived FROM run WHERE id = ?", (known,)).fetchone()[0] if live else None
            archived = Archived.parse(moved or "")
            if archived.name and not archived.deleted:
                yield from _archived_rows(archived_path(state_dir, archived), max(span.run.first_seq, last + 1))
                last = max(last, min(span.last_seq, _last_seq(state_dir / ARCHIVE / archived.name)))
    finally:
        db.close()


def _span_behind(db: sqlite3.Connection, known: int) -> Span | None:
    """Return the run behind another, 0 for the first; asked anew each time, for runs begin while somebody reads."""
    found = read_runs(db, manifests=False, after=known, limit=2)
    return spans(found)[0] if found else None


def _archived_rows(path: Path, first: int) -> Iterator[FrameRow]:
    db = open_readonly(path)
    try:
        for rows in frame_chunks(db, first, 2**62):
            yield from rows
    finally:
        db.close()


def _last_seq(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def all_frames(state_dir: Path, codec: Codec) -> Iterator[StoredFrame]:
    """Read all frames there are, in order; raises as :func:`all_rows`."""
    return _decoded(all_rows(state_dir), codec)


def whole_frames(ledger: Path, codec: Codec) -> Iterator[StoredFrame]:
    """Read the frames of a ledger file, live or archived, and before them those that it goes on from.

    Raises as :func:`all_rows`.
    """
    return _decoded(_rows_upto(ledger, state_dir_of(ledger)), codec)


def state_dir_of(ledger: Path) -> Path:
    """Return the state directory a ledger file lies in, or whose archive it lies in."""
    folder = ledger.resolve().parent
    return folder.parent if folder.name == ARCHIVE else folder


def begins_at_first(runs: Sequence[RunRow]) -> bool:
    """Whether everything from the first input on can still be read: no run left the archive again."""
    return not any(Archived.parse(run.archived).deleted for run in runs if run.archived is not None)


def _decoded(rows: Iterator[FrameRow], codec: Codec) -> Iterator[StoredFrame]:
    for seq, ts, ts_event, source, data, n, body, causes, *_ in rows:
        yield StoredFrame(
            seq=seq,
            ts=ts,
            ts_event=ts_event,
            source=source,
            input=None if data is None else codec.decode(data),
            events=cast("list[Event]", codec.decode_many(body)),  # bodies hold events only
            causes=decode_causes(causes, n),
        )


def read_all(state_dir: Path, codec: Codec, market: MarketCodec) -> Iterator[RecordedInput]:
    """Read every input there is, frames and tapes merged by seq, from the archive and the live files.

    A panel on the tape without a frame caused nothing. Of panels behind the last frame nothing is said: no commit
    covers them.

    Raises:
        OperatorError: a file is missing or damaged, or market data that caused something are on no tape.
    """
    for row, panel in _merged(state_dir, market):
        if row is not None:
            seq, ts, ts_event, source, data, _, body = row[:7]
            message = panel.body if panel is not None else codec.decode(data or b"")
            events = cast("list[Event]", codec.decode_many(body))  # bodies hold events only
            yield RecordedInput(seq, ts, ts_event, source, message, events, kept=True)
        elif panel is not None:
            yield RecordedInput(panel.seq, panel.ts, panel.ts, FEED, panel.body, [], kept=False)


def read_places(state_dir: Path, market: MarketCodec) -> Iterator[tuple[int, bool]]:
    """Read seq of every input, and whether it has a frame, without decoding frames; raises as :func:`read_all`."""
    for row, panel in _merged(state_dir, market):
        if row is not None:
            yield row[0], True
        elif panel is not None:
            yield panel.seq, False


def _merged(state_dir: Path, market: MarketCodec) -> Iterator[tuple[FrameRow | None, TapeRow | None]]:
    """Give frames in order, each that was market data with its panel; between them panels that caused nothing.

    A daemon that runs goes on writing, the tape before the frames: both end where the ledger ended when this began.
    """
    start, last, mark = _bounds(state_dir)
    tapes = iter(()) if mark is None else _tapes_upto(state_dir, mark[0])
    panels = (row for row in rows_of(tapes, market, mark) if row.seq >= start)
    panel = next(panels, None)
    for row in all_rows(state_dir):
        if row[0] > last:
            break
        while panel is not None and panel.seq < row[0]:
            yield None, panel
            panel = next(panels, None)
        beside = None
        if row[4] is None:
            if panel is None or panel.seq != row[0]:
                message = f"input {row[0]} of {state_dir / LEDGER} was market data, and no tape holds it any more"
                raise OperatorError(message, code="TAPE_MISSING", remedy="restore the tapes of its day to the archive")
            beside, panel = panel, next(panels, None)
        yield row, beside


def _bounds(state_dir: Path) -> tuple[int, int, tuple[int, int] | None]:
    """Return where what is left begins, and where it ends: seq, and day and position of the tape, None without one."""
    with closing(open_readonly(state_dir / LEDGER)) as db:
        runs = read_runs(db, manifests=False)
        marks = "tape_day, tape_pos" if schema_version(db) > 1 else "NULL, NULL"
        end = db.execute(f"SELECT seq, {marks} FROM frame ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608 - constants
    kept = [run for run in runs if run.archived is None or not Archived.parse(run.archived).deleted]
    mark = None if end is None or end[1] is None else (int(end[1]), int(end[2]))
    return kept[0].first_seq if kept else 1, 0 if end is None else int(end[0]), mark


def _tapes_upto(state_dir: Path, last: int) -> Iterator[Path]:
    """Give tapes up to a day, oldest first, each where it lies when it is its turn: they move while somebody reads."""
    days = {*tape_days(state_dir / TAPE), *tape_days(state_dir / ARCHIVE)}
    for day in sorted(day for day in days if day <= last):
        live = tape_path(state_dir / TAPE, day)
        yield live if live.exists() else tape_path(state_dir / ARCHIVE, day)
