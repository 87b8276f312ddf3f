"""journald's native protocol: each field of a line becomes a field of the entry (systemd.journal-fields(7)).

One datagram an entry; what is too large for one travels as a sealed memory file whose descriptor is sent instead.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"
SEND_WAIT_S: Final = 2.0
FIELD_CHARS_MAX: Final = 64
_NOT_A_NAME: Final = re.compile(r"[^A-Z0-9_]")
# Fields of the protocol itself; a line's own field of that name must not pass for one of them.
_RESERVED: Final = frozenset(
    ("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "SYSLOG_FACILITY", "MESSAGE_ID", "ERRNO")
)


def stream_is_journal(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether a stream leads to journald: the manager names its device and inode in ``JOURNAL_STREAM``."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        about = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(about.st_dev), str(about.st_ino))


def field_name(name: str) -> str:
    """Return a name that journald takes: upper case, no leading underscore (those are trusted fields) or digit."""
    found = _NOT_A_NAME.sub("_", name.upper()).lstrip("_")[:FIELD_CHARS_MAX]
    if not found:
        return "FIELD"
    return f"FIELD_{found}"[:FIELD_CHARS_MAX] if found[0].isdigit() or found in _RESERVED else found


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return an entry: ``NAME=value`` lines, values of several lines with their length before them."""
    parts = []
    for name, value in fields:
        data = value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


class JournalSocket:
    """Sends entries. Belongs to the log's writer thread, which may wait; the daemon's loops never do."""

    def __init__(self, path: str = SOCKET) -> None:
        """Open our end; journald may come and go."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_WAIT_S)

    def send(self, entry: bytes) -> None:
        """Send one entry.

        Raises:
            OSError: journald is not there, or takes nothing.
        """
        try:
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._send_file(entry)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _send_file(self, entry: bytes) -> None:
        number = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(number), "wb") as stream:
                stream.write(entry)
            # journald reads only what cannot be changed under its hands.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(number, fcntl.F_ADD_SEALS, seals)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [number]))]
            self._socket.sendmsg([b""], rights, 0, self._path)
        finally:
            os.close(number)


def journal_is_there(path: str = SOCKET) -> bool:
    """Whether a journald listens."""
    return Path(path).is_socket()
