"""``ledger.head``: a few bytes beside the ledger that say how far it went, and which ledger it is.

SQLite cannot know that its WAL was lost, or that the main file under it is another one: both look like a ledger that
simply ends earlier. So after every commit the head is overwritten in place, without a sync: it is never ahead of what
the ledger made durable, survives the process, and a ledger that ends before its head has lost rows. It is synced when
the WAL was folded into the main file and at the end. A torn or missing head proves nothing and is only mentioned.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Final

import msgspec

HEAD: Final = "ledger.head"
SIZE: Final = 512
"""Bytes: one sector, so that it is overwritten whole or not at all."""
_MAGIC: Final = b"TRDHEAD1"


class Head(msgspec.Struct, frozen=True, array_like=True):
    """How far the ledger went.

    Attributes:
        generation: random, made with the ledger: which one it is.
        epoch: how often the WAL was folded into the main file by then; the main file alone says at least that.
        run: id of the last run.
        seq, chain: of the last frame; 0 and empty before the first.
        wal_salt: bytes 16 to 24 of the WAL that held it, which change whenever the WAL begins anew.
    """

    generation: bytes
    epoch: int
    run: int
    seq: int
    chain: bytes
    wal_salt: bytes


def encode_head(head: Head) -> bytes:
    """Return the file's content."""
    body = msgspec.msgpack.encode(head)
    data = _MAGIC + len(body).to_bytes(2, "little") + body
    return data.ljust(SIZE - 4, b"\0") + zlib.crc32(data).to_bytes(4, "little")


def decode_head(data: bytes) -> Head | None:
    """Return what :func:`encode_head` was given, or None where the bytes are not that."""
    length = int.from_bytes(data[8:10], "little")
    if len(data) != SIZE or data[:8] != _MAGIC or length > SIZE - 14:
        return None
    if zlib.crc32(data[: 10 + length]) != int.from_bytes(data[-4:], "little"):
        return None
    try:
        return msgspec.msgpack.decode(data[10 : 10 + length], type=Head)
    except msgspec.MsgspecError:
        return None


def read_head(state_dir: Path) -> tuple[Head | None, bool]:
    """Return the head, or None where there is none that is whole; and whether there is a file at all.

    Raises:
        OSError: it cannot be read.
    """
    try:
        data = (state_dir / HEAD).read_bytes()
    except FileNotFoundError:
        return None, False
    return decode_head(data), True


def read_wal_salt(wal: Path) -> bytes:
    """Return the salts of a WAL, or b"" where it holds nothing (sqlite.org/fileformat2.html, "The WAL File Format")."""
    try:
        with wal.open("rb") as file:
            header = file.read(32)
    except FileNotFoundError:
        return b""
    return header[16:24] if len(header) == 32 else b""


class HeadFile:
    """The head, open for overwriting."""

    def __init__(self, state_dir: Path) -> None:
        """Open it, or make it.

        Raises:
            OSError: it cannot be written.
        """
        self._fd = os.open(state_dir / HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, head: Head, *, sync: bool = False) -> None:
        """Overwrite it in place.

        Raises:
            OSError: it could not be written whole.
        """
        if os.pwrite(self._fd, encode_head(head), 0) != SIZE:
            message = "the ledger's head was written in part"
            raise OSError(message)
        if sync:
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
