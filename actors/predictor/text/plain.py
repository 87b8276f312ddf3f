"""Files of strangers read, and ours written: no links, no pipes, nothing without end, and a sentence where it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NoReturn

from daemon.kernel.errors import OperatorError

_SHOWN: Final = 80
"""Characters of a stranger's name that a sentence repeats."""


def read_plain(path: Path, limit: int) -> bytes:
    """Return the bytes of a plain file, no link, of at most ``limit`` bytes.

    Raises:
        OperatorError: it is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            refuse(path, "is a link; a model's files lie in its own folder", "MODEL_LINK", "copy it with: cp -rL")
        raise OperatorError(
            f"{path} cannot be read: {error.strerror}", code="NO_MODEL", remedy="import or fetch the model again"
        ) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        refuse(path, "is no plain file", "MODEL_LINK")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > limit:
            refuse(path, f"has {found.st_size:,} bytes; at most {limit:,} are read", "MODEL_SIZE")
        data = file.read(limit + 1)
    if not data:
        refuse(path, "is empty", "MODEL_SIZE")
    if len(data) > limit:
        refuse(path, f"grows beyond the {limit:,} bytes that are read", "MODEL_SIZE")
    return data


def write_plain(path: Path, data: bytes) -> None:
    """Write a file of our own.

    Raises:
        OperatorError: ``MODEL_WRITE``, the disk is full, or not to be written on.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OperatorError(
            f"{path} cannot be written: {error.strerror}",
            code="MODEL_WRITE",
            remedy="see to the disk and try again; what was in use is in use",
        ) from None


def refuse(path: Path, what: str, code: str, remedy: str = "") -> NoReturn:
    """Refuse a file in one sentence that begins with its name."""
    raise OperatorError(f"{path} {what}", code=code, remedy=remedy or "it is not loaded")


def shown(name: str) -> str:
    """Return a stranger's name as a sentence repeats it: in quotes, of bounded length, nothing in it to obey."""
    return ascii(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
