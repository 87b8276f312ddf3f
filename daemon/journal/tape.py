"""The tape: market data of a trading day in a file of its own, as it was stamped.

``state_dir/tape/YYYYMMDD.tape`` is a header and blocks, one or more per commit (:mod:`daemon.journal.tape_format`).
Each block's checksum goes on from the one before it, and each file's header names where the file of the day before
ended, so that a block or file that was exchanged for an older one is noticed, not only one that was damaged. What
counts is what a commit of the ledger covers: start-up cuts the tape back to the last frame's position, and a tape
shorter than that is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from daemon.journal.batch import TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.journal.tape_format import (
    Block,
    TapeError,
    TapeHeader,
    TapeReader,
    block_bytes,
    start_bytes,
    tape_days,
    tape_path,
    universe_digest,
)
from daemon.kernel.message import Market

ROWS_MAX: Final = 4096
"""Rows of a block: what a reader must hold at once."""
FILES_MAX: Final = 16
"""Days that are open at once: years of daily bars in one commit must not use up the process's files."""
_DAY_NS: Final = 86_400_000_000_000

DayOf = Callable[[TapeRow], int | None]


def day_of_session(row: TapeRow) -> int | None:
    """Return the exchange date a message carries (``session``); None: it goes to the day that is being written."""
    session = getattr(row.body, "session", None)
    day = getattr(session, "date", session)
    return day if isinstance(day, int) else None


def utc_day(ts: int) -> int:
    """Return the UTC date of nanoseconds since 1970 as ``YYYYMMDD``."""
    # Civil from days (Howard Hinnant): integers only, no time zone and no clock.
    z = ts // _DAY_NS + 719_468
    era, doe = divmod(z, 146_097)
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (month <= 2)
    return year * 10_000 + month * 100 + doy - (153 * mp + 2) // 5 + 1


# -- writing -----------------------------------------------------------------------------------------------------------


class TapeWriter:
    """Appends rows to the day's file; durable only after :meth:`sync`."""

    def __init__(
        self, folder: Path, codec: MarketCodec, universe: dict[str, Any], *, day_of: DayOf = day_of_session
    ) -> None:
        """Build for a folder, which is made when the first row comes; nothing is read yet.

        Args:
            folder: of the tapes.
            codec: for the catalogue of market messages.
            universe: of the run, as in its manifest.
            day_of: the trading day ``YYYYMMDD`` of a row, or None where the row does not say; then it goes to the day
                that is being written, or on an empty tape to the UTC date of its stamp. Days never go back: a row of
                an earlier day goes to the one that is being written too.
        """
        self.folder = folder
        self._codec = codec
        self._universe = universe
        self._digest = universe_digest(universe)
        self._day_of = day_of
        self._day = 0
        self._pos = 0
        self._crc = 0
        self._fd = -1
        self._known = False
        self._dirty: dict[int, int] = {}
        self._folder_dirty = False
        self._failed: OSError | None = None

    @property
    def position(self) -> tuple[int, int, int]:
        """Day, position and chain value behind the last block; (0, 0, 0) on an empty tape.

        Raises:
            TapeError: the newest file is not whole; :meth:`truncate` it to what was committed.
        """
        if not self._known:
            self._find_end()
        return self._day, self._pos, self._crc

    def append(self, rows: Sequence[TapeRow]) -> tuple[int, int, int]:
        """Write rows behind the last block.

        Returns:
            Day, position and chain value behind them, which a commit covers once :meth:`sync` has returned.

        Raises:
            OSError: the rows could not be written; the tape is as it was before.
            TapeError: the newest file is not whole, or was written for another universe, or was taken away.
        """
        start = self.position
        self._check_in_place()
        try:
            for day, group in groupby(rows, self._next_day()):
                if day != self._day or self._fd < 0:
                    self._open(day)
                chunk = list(group)
                for at in range(0, len(chunk), ROWS_MAX):
                    self._write_block(chunk[at : at + ROWS_MAX])
        except BaseException:
            self.truncate(*start[:2])
            raise
        return self._day, self._pos, self._crc

    def sync(self) -> None:
        """Make durable what was appended since the last time.

        Raises:
            OSError: it may not be durable; the process must not go on as if it were.
        """
        if self._failed is not None:
            raise self._failed
        for fd in self._dirty.values():
            os.fdatasync(fd)
        if self._folder_dirty:
            _sync_folder(self.folder)
            self._folder_dirty = False
        self._let_go()

    def _sync_early(self) -> None:
        """Make room for more files; that something may not be durable is for :meth:`sync` to say."""
        try:
            for fd in self._dirty.values():
                os.fdatasync(fd)
        except OSError as error:
            self._failed = self._failed or error
        self._let_go()

    def _let_go(self) -> None:
        """Close all files but the one that is being written."""
        for day in [day for day in self._dirty if day != self._day]:
            os.close(self._dirty[day])
        self._dirty.clear()

    def truncate(self, day: int, pos: int) -> int:
        """Cut back to a position: later blocks and the files of later days are removed. ``(0, 0)`` removes all.

        Returns:
            The chain value there.

        Raises:
            TapeError: the file is missing, ends before the position, or is not whole up to it.
        """
        self.close()
        found = Block(0, 0, 0, 0, 0, 0, 0)
        path = tape_path(self.folder, day)
        if day:
            with TapeReader(path) as reader:
                found = reader.block_at(pos)
        for later in reversed(tape_days(self.folder)):
            if later <= day:
                break
            tape_path(self.folder, later).unlink()
            self._folder_dirty = True
        if day:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._dirty[day] = self._fd
            os.ftruncate(self._fd, pos)
        self._day, self._pos, self._crc = day, pos, found.crc
        self._known = True
        return found.crc

    def close(self) -> None:
        """Let go of the files; what was not synced may be lost."""
        fds = {*self._dirty.values(), self._fd} - {-1}
        self._dirty.clear()
        self._fd = -1
        self._known = False
        for fd in sorted(fds):
            os.close(fd)

    def _check_in_place(self) -> None:
        """Refuse to go on where the file that is being written lies no longer where a start looks for it."""
        if not self._day:
            return
        path = tape_path(self.folder, self._day)
        try:
            found = path.stat()
            there = self._fd < 0 or os.path.samestat(found, os.fstat(self._fd))
        except OSError:
            there = False
        if not there:
            what = "it was moved, replaced or removed while it is written"
            raise TapeError(path, self._pos, what, code="TAPE_GONE", remedy="put it back, or restore a backup")

    def _next_day(self) -> Callable[[TapeRow], int]:
        """Return the key by which rows are grouped: their day, never going back."""
        current = self._day

        def key(row: TapeRow) -> int:
            nonlocal current
            day = self._day_of(row)
            if day is None:
                day = current or utc_day(row.ts)
            current = max(current, day)
            return current

        return key

    def _find_end(self) -> None:
        """Learn where the newest file ends."""
        days = tape_days(self.folder)
        if not days:
            self._day = self._pos = self._crc = 0
            self._known = True
            return
        with TapeReader(tape_path(self.folder, days[-1])) as reader:
            last = reader.start
            for block in reader.blocks():
                last = block
        self._day, self._pos, self._crc = days[-1], last.end, last.crc
        self._known = True

    def _open(self, day: int) -> None:
        """Go over to a day's file: the one being written, or a new one."""
        path = tape_path(self.folder, day)
        if day == self._day:
            with TapeReader(path) as reader:
                digest = reader.header.digest
            if digest != self._digest:
                what = "it was written for another universe"
                raise TapeError(path, 0, what, code="TAPE_FOREIGN", remedy="keep [universe] for the life of a ledger")
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            return
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            _sync_folder(self.folder.parent)
        if len(self._dirty) >= FILES_MAX:
            self._sync_early()
        previous = (self._day, self._pos, self._crc) if self._day else None
        data, crc = start_bytes(TapeHeader(day, self._digest, self._universe, previous))
        old, old_day = self._fd, self._day
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        if old >= 0 and old_day not in self._dirty:
            os.close(old)
        self._folder_dirty = True
        self._day, self._pos, self._crc = day, 0, crc
        self._write(data)

    def _write_block(self, rows: list[TapeRow]) -> None:
        data, crc = block_bytes(rows, self._codec, self._crc)
        self._write(data)
        self._crc = crc

    def _write(self, data: bytes) -> None:
        self._dirty[self._day] = self._fd
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self._pos)
            self._pos += written
            view = view[written:]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_tape(path: Path, codec: MarketCodec, upto: int | None = None) -> Iterator[TapeRow]:
    """Read one file's rows in order.

    Args:
        path: of the file.
        codec: for the catalogue of market messages.
        upto: a position :meth:`TapeWriter.append` returned, or None for the end of the file.

    Raises:
        TapeError: the file is not whole; what stands before that place has been given by then.
    """
    with TapeReader(path) as reader:
        for block in reader.blocks(upto):
            yield from reader.rows(block, codec)


def rows_after(folder: Path, codec: MarketCodec, seq: int, upto: tuple[int, int] | None = None) -> Iterator[TapeRow]:
    """Read the rows stamped with a greater seq than ``seq``, in order; only the files that hold them.

    Args:
        folder: of the tapes.
        codec: for the catalogue of market messages.
        seq: of the last row that is not wanted; 0 for all but warm-up history.
        upto: day and position to stop at, or None for the end.

    Raises:
        TapeError: a file is missing or not whole.
    """
    days = _days_upto(folder, upto)
    start = len(days)
    while start > 0:
        start -= 1
        with TapeReader(tape_path(folder, days[start])) as reader:
            first = reader.first()
        if first is not None and 0 < first.first_seq <= seq + 1:
            break
    yield from _rows_of((tape_path(folder, day) for day in days[start:]), codec, seq, upto)


def rows_of(paths: Iterable[Path], codec: MarketCodec, upto: tuple[int, int] | None = None) -> Iterator[TapeRow]:
    """Read the rows of several files, oldest first, which must follow each other, wherever they lie.

    Args:
        paths: of the files.
        codec: for the catalogue of market messages.
        upto: day and position to stop at, or None for the end.

    Raises:
        TapeError: a file is missing or not whole.
    """
    yield from _rows_of(paths, codec, -1, upto)


def _rows_of(paths: Iterable[Path], codec: MarketCodec, seq: int, upto: tuple[int, int] | None) -> Iterator[TapeRow]:
    before: TapeHeader | None = None
    end: Block | None = None
    for path in paths:
        with TapeReader(path) as reader:
            if before is not None and end is not None:
                _check_follows(path, reader.header, before, end)
            before, end = reader.header, reader.start
            for block in reader.blocks(_bound(before.day, upto)):
                end = block
                if block.last_seq > seq:
                    yield from (row for row in reader.rows(block, codec) if row.seq > seq)


def rows_before(
    folder: Path,
    codec: MarketCodec,
    seq: int,
    count: int,
    *,
    kinds: tuple[type[Market], ...] = (),
    upto: tuple[int, int] | None = None,
) -> list[TapeRow]:
    """Read the last ``count`` rows stamped with a smaller seq than ``seq``, warm-up history (seq 0) among them.

    Only the blocks that hold them are read, the newest first.

    Args:
        folder: of the tapes.
        codec: for the catalogue of market messages.
        seq: of the first row that is not wanted.
        count: of rows.
        kinds: only messages of these types count and are returned; () for all.
        upto: as in :func:`rows_after`.

    Returns:
        At most ``count`` rows, the oldest first.

    Raises:
        TapeError: a file is missing or not whole.
    """
    newest_first: list[TapeRow] = []
    follower: TapeHeader | None = None
    for day in reversed(_days_upto(folder, upto)):
        if len(newest_first) >= count:
            break
        with TapeReader(tape_path(folder, day)) as reader:
            first = reader.first()
            later = first is not None and first.first_seq >= seq
            blocks = [] if later else [reader.start, *reader.blocks(_bound(day, upto))]
            if blocks and follower is not None:
                _check_follows(tape_path(folder, follower.day), follower, reader.header, blocks[-1])
            follower = reader.header
            for block in reversed(blocks[1:]):
                if block.first_seq < seq:
                    rows = reversed(reader.rows(block, codec))
                    newest_first += [r for r in rows if r.seq < seq and (not kinds or isinstance(r.body, kinds))]
                if len(newest_first) >= count:
                    break
    return newest_first[:count][::-1]


def _days_upto(folder: Path, upto: tuple[int, int] | None) -> list[int]:
    return [day for day in tape_days(folder) if upto is None or day <= upto[0]]


def _bound(day: int, upto: tuple[int, int] | None) -> int | None:
    return upto[1] if upto is not None and day == upto[0] else None


def _check_follows(path: Path, header: TapeHeader, before: TapeHeader, end: Block) -> None:
    """Refuse a file that began when the one before it ended elsewhere."""
    if header.previous != (before.day, *(before.repacked or (end.end, end.crc))):
        what = f"it does not follow the tape of {before.day}, which ends at byte {end.end}"
        raise TapeError(path, 0, what, code="TAPE_DAMAGED", remedy="restore the missing or exchanged tapes")
