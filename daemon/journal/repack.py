"""A tape in large blocks for the archive: the same rows, followed by the same tape, a fraction of the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from daemon.journal.archive import make_folder, publish, removed_on_failure
from daemon.journal.batch import NO_FAULTS, Faults, TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.journal.tape import ROWS_MAX
from daemon.journal.tape_format import TapeReader, block_bytes, start_bytes
from daemon.kernel.errors import OperatorError

TAPE_SITES: Final = ("repack.write", "repack.fsync", "repack.rename")
"""Steps, each with a ``before`` and an ``after``, for :data:`daemon.journal.batch.Faults`."""
_LEVEL: Final = 9  # of zlib: written once, read seldom


def repack_tape(source: Path, folder: Path, codec: MarketCodec, faults: Faults = NO_FAULTS) -> Path:
    """Write a tape again in large blocks into another folder: the same rows, a fraction of the bytes.

    Raises:
        TapeError: the tape is not whole.
        OSError: it cannot be written; nothing was published.
    """
    make_folder(folder)
    path = folder / source.name
    temporary = folder / f".{source.name}.tmp"
    with removed_on_failure(temporary):
        faults("before:repack.write")
        _write_large(source, temporary, codec)
        _check_same(source, temporary, codec)
        faults("after:repack.write")
        publish(temporary, path, "repack", faults)
    return path


def _write_large(source: Path, target: Path, codec: MarketCodec) -> None:
    with TapeReader(source) as reader, target.open("wb") as file:
        end = reader.check()
        header = msgspec.structs.replace(reader.header, repacked=reader.header.repacked or (end.end, end.crc))
        data, crc = start_bytes(header)
        file.write(data)
        for rows in _large_blocks(reader, codec):
            data, crc = block_bytes(rows, codec, crc, _LEVEL)
            file.write(data)


def _check_same(source: Path, target: Path, codec: MarketCodec) -> None:
    with TapeReader(source) as reader, TapeReader(target) as copy:
        for one, two in zip(_large_blocks(reader, codec), _large_blocks(copy, codec), strict=True):
            if _bytes(one, codec) != _bytes(two, codec):
                message = f"{target} does not hold the rows of {source}"
                raise OperatorError(message, code="ARCHIVE_DAMAGED", remedy="look for a failing disk or memory")


def _large_blocks(reader: TapeReader, codec: MarketCodec) -> Iterator[list[TapeRow]]:
    rows: list[TapeRow] = []
    for block in reader.blocks():
        rows += reader.rows(block, codec)
        while len(rows) >= ROWS_MAX:
            yield rows[:ROWS_MAX]
            rows = rows[ROWS_MAX:]
    if rows:
        yield rows


def _bytes(rows: list[TapeRow], codec: MarketCodec) -> bytes:
    return codec.encode_rows([(row.seq, row.ts, row.body) for row in rows])
