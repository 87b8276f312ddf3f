"""The tape's file format: header, blocks and checksums, and how they are read.

File::

    magic 8 | length u32 | crc32 of the header u32 | chain u32 | header as JSON
    block: length u32 | rows u32 | first seq u64 | last seq u64 | crc32 of the body u32 | chain u32 | body

Numbers are little-endian; a body is zlib over what :class:`daemon.journal.market_codec.MarketCodec` gives. The chain
value is the crc32 of the numbers before it, going on from the chain value of the block before: a head or body that was
changed, exchanged or left out does not pass, and since a head vouches for its own length, a tape that ends early is
told from one whose lengths were changed.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from daemon.journal.batch import TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.kernel.errors import OperatorError

SUFFIX: Final = ".tape"
MAGIC: Final = b"TRDTAPE\x01"
SCHEMA: Final = 1
START: Final = struct.Struct("<8sIII")
HEAD: Final = struct.Struct("<IIQQII")
HEADER_MAX: Final = 16 << 20
_LEVEL: Final = 1  # of zlib: most of the gain of level 6 at a fraction of its cost


class TapeError(OperatorError):
    """A tape that cannot be read to its end.

    Codes: ``TAPE_MISSING`` (no such file), ``TAPE_FOREIGN`` (no tape, or of another universe), ``TAPE_NEWER`` (a later
    format), ``TAPE_TORN`` (ends within a block: a write that was interrupted), ``TAPE_DAMAGED`` (bytes were changed),
    ``TAPE_SHORT`` (ends before the position asked for).

    Attributes:
        path: of the file.
        offset: where in it, bytes.
    """

    def __init__(self, path: Path, offset: int, what: str, *, code: str, remedy: str) -> None:
        """Build the sentence ``tape FILE at byte N: WHAT``."""
        super().__init__(f"the tape {path} at byte {offset}: {what}", code=code, remedy=remedy)
        self.path = path
        self.offset = offset


class TapeHeader(msgspec.Struct, frozen=True):
    """What stands before the blocks.

    Attributes:
        day: trading day, ``YYYYMMDD``.
        digest: SHA-256 of the universe, hex.
        universe: of the run, as in its manifest; ``symbols`` are in order of id.
        previous: (day, position, chain value) at which the file before ended when this one began, or None.
        schema: of the file.
        repacked: (position, chain value) at which the file ended that this one was repacked from, or None.
    """

    day: int
    digest: str
    universe: dict[str, Any]
    previous: tuple[int, int, int] | None = None
    schema: int = SCHEMA
    repacked: tuple[int, int] | None = None


class Block(msgspec.Struct, frozen=True):
    """A block's head.

    Attributes:
        offset, end: of the block in the file, bytes; ``end`` is a position as :meth:`TapeWriter.append` returns it.
        rows: in it.
        first_seq, last_seq: smallest and largest seq; 0 is warm-up history's.
        body_crc: of the body.
        crc: the chain value at ``end``.
    """

    offset: int
    end: int
    rows: int
    first_seq: int
    last_seq: int
    body_crc: int
    crc: int


def universe_digest(universe: dict[str, Any]) -> str:
    """Return the SHA-256 of a universe, hex."""
    return hashlib.sha256(msgspec.json.encode(universe, order="deterministic")).hexdigest()


def tape_path(folder: Path, day: int) -> Path:
    """Return the file of a trading day."""
    return folder / f"{day:08d}{SUFFIX}"


def tape_days(folder: Path) -> list[int]:
    """Return the trading days that have a file, ascending."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - hundreds of names, no need of a Path each
    except FileNotFoundError:
        return []
    stems = [name[: -len(SUFFIX)] for name in names if name.endswith(SUFFIX)]
    return sorted(int(stem) for stem in stems if len(stem) == 8 and stem.isdecimal())


def start_bytes(header: TapeHeader) -> tuple[bytes, int]:
    """Return what a file begins with, and the chain value behind it."""
    body = msgspec.json.encode(header)
    start = START.pack(MAGIC, len(body), zlib.crc32(body), 0)[:-4]
    crc = zlib.crc32(start)
    return start + crc.to_bytes(4, "little") + body, crc


def block_bytes(rows: list[TapeRow], codec: MarketCodec, before: int, level: int = _LEVEL) -> tuple[bytes, int]:
    """Return a block of rows, and the chain value behind it where ``before`` is the one before it."""
    body = zlib.compress(codec.encode_rows([(row.seq, row.ts, row.body) for row in rows]), level)
    seqs = [row.seq for row in rows]
    head = HEAD.pack(len(body), len(rows), min(seqs), max(seqs), zlib.crc32(body), 0)[:-4]
    crc = zlib.crc32(head, before)
    return head + crc.to_bytes(4, "little") + body, crc


class TapeReader:
    """One file, opened for reading; use it as a context. Blocks are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Open a file and read its header.

        Raises:
            TapeError: there is none, it is no tape, its header is damaged or of a later format.
        """
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            remedy = "restore it from a backup or the archive"
            raise TapeError(path, 0, "there is no such file", code="TAPE_MISSING", remedy=remedy) from None
        except OSError as error:
            what = f"it cannot be opened: {error.strerror}"
            raise TapeError(path, 0, what, code="TAPE_UNREADABLE", remedy="check its permissions") from error
        try:
            self.size = os.fstat(self._fd).st_size
            self.header, self.start = self._header()
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def blocks(self, upto: int | None = None) -> Iterator[Block]:
        """Read the heads of the blocks in order, and check that each follows the one before it.

        Args:
            upto: a position to stop at, or None for the end of the file as it was when it was opened.

        Raises:
            TapeError: the file ends within a block (``TAPE_TORN``) or before ``upto`` (``TAPE_SHORT``), or bytes of it
                were changed (``TAPE_DAMAGED``).
        """
        end = self.size if upto is None else upto
        block = self.start
        while block.end < end:
            block = self._block(block, end, short=upto is not None)
            yield block
        if block.end != end:
            raise self._damaged(block.offset, f"no block ends at byte {end}")

    def block_at(self, pos: int) -> Block:
        """Return the block that ends at a position; the header counts as one without rows. Raises as :meth:`blocks`."""
        found = self.start
        for block in self.blocks(pos):
            found = block
        return found

    def first(self) -> Block | None:
        """Return the first block, or None where there is none. Raises as :meth:`blocks`."""
        return next(self.blocks(), None)

    def check(self, upto: int | None = None) -> Block:
        """Check every byte up to a position; return the last block. Raises as :meth:`blocks`."""
        last = self.start
        for block in self.blocks(upto):
            last = block
            self._body(block)
        return last

    def rows(self, block: Block, codec: MarketCodec) -> list[TapeRow]:
        """Read a block's rows.

        Raises:
            TapeError: bytes of it were changed.
        """
        body = self._body(block)
        try:
            rows = [TapeRow(*row) for row in codec.decode_rows(zlib.decompress(body))]
        except (zlib.error, ValueError) as error:
            what = f"the block's rows cannot be understood: {error}"
            raise TapeError(
                self.path, block.offset, what, code="TAPE_FOREIGN", remedy="read it with the version that wrote it"
            ) from error
        if len(rows) != block.rows:
            raise self._damaged(block.offset, f"the block holds {len(rows)} rows where it speaks of {block.rows}")
        return rows

    def _body(self, block: Block) -> bytes:
        body = os.pread(self._fd, block.end - block.offset - HEAD.size, block.offset + HEAD.size)
        if zlib.crc32(body) != block.body_crc:
            raise self._damaged(block.offset, "the block's rows are not the ones that were written")
        return body

    def _header(self) -> tuple[TapeHeader, Block]:
        start = os.pread(self._fd, START.size, 0)
        if len(start) < START.size:
            raise self._torn(0, "the file ends within its header")
        magic, length, body_crc, crc = START.unpack(start)
        if magic != MAGIC:
            remedy = "name a .tape file of a state directory"
            raise TapeError(self.path, 0, "this is no tape of tradingd", code="TAPE_FOREIGN", remedy=remedy)
        if zlib.crc32(start[:-4]) != crc or length > HEADER_MAX:
            raise self._damaged(0, "the header is not the one that was written")
        body = os.pread(self._fd, length, START.size)
        if len(body) < length:
            raise self._torn(0, "the file ends within its header")
        if zlib.crc32(body) != body_crc:
            raise self._damaged(0, "the header is not the one that was written")
        schema = msgspec.json.decode(body, type=_AnySchema).schema
        if schema > SCHEMA:
            what = f"it has format {schema}, newer than the {SCHEMA} of this program"
            raise TapeError(self.path, 0, what, code="TAPE_NEWER", remedy="upgrade tradingd")
        header = msgspec.json.decode(body, type=TapeHeader)
        return header, Block(0, START.size + length, 0, 0, 0, 0, crc)

    def _block(self, before: Block, end: int, *, short: bool) -> Block:
        at = before.end
        head = os.pread(self._fd, HEAD.size, at)
        if len(head) < HEAD.size:
            raise self._short(at, end) if short else self._torn(at, "the file ends within a block")
        length, rows, first_seq, last_seq, body_crc, crc = HEAD.unpack(head)
        if zlib.crc32(head[:-4], before.crc) != crc:
            raise self._damaged(at, "the block does not follow the one before it")
        block = Block(at, at + HEAD.size + length, rows, first_seq, last_seq, body_crc, crc)
        if block.end > self.size:
            raise self._short(at, end) if short else self._torn(at, "the file ends within a block")
        return block

    def _damaged(self, offset: int, what: str) -> TapeError:
        remedy = "do not trust it; restore it from a backup"
        return TapeError(self.path, offset, what, code="TAPE_DAMAGED", remedy=remedy)

    def _torn(self, offset: int, what: str) -> TapeError:
        remedy = "what stands before it is whole; the daemon cuts the rest off when it starts"
        return TapeError(self.path, offset, what, code="TAPE_TORN", remedy=remedy)

    def _short(self, offset: int, end: int) -> TapeError:
        what = f"it ends here, but was written up to byte {end}"
        return TapeError(self.path, offset, what, code="TAPE_SHORT", remedy="restore it from a backup")


class _AnySchema(msgspec.Struct):
    schema: int
