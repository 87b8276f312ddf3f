"""A worker's word that it has begun a call, straight to the host: whoever does not say it is not computing.

Ray tells late, or never, that nobody takes a call: its worker is stopped, its raylet is dying, its driver stalls. So
the host does not ask Ray. Workers and host have a folder in common that nobody else can enter, and a socket in it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = "begun"
"""Of the socket, in the folder."""
SAY_S: Final = 0.05
"""How long a worker waits for a host that does not read."""
_NUMBER: Final = struct.Struct(">Q")
_MANY: Final = 1_000
"""Words read at a time; what is left is read at the loop's next turn."""


class Teller:
    """A worker's end."""

    def __init__(self, path: str) -> None:
        """Prepare to say it at ``path``; "" where the host is not on this machine."""
        self._socket: socket.socket | None = None
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(SAY_S)
            self._socket.connect(path)

    def say(self, number: int) -> None:
        """Tell that the call of this number is being computed from now on."""
        if self._socket is not None:
            with suppress(OSError):  # the host has gone, and its workers follow
                self._socket.send(_NUMBER.pack(number))

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()


class Listener:
    """The host's end."""

    def __init__(self, folder: Path) -> None:
        """Listen in ``folder``."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(os.fspath(folder / NAME))

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._socket.fileno()

    def numbers(self) -> Iterator[int]:
        """Yield the calls that were begun since."""
        for _ in range(_MANY):
            try:
                data = self._socket.recv(_NUMBER.size + 1)
            except BlockingIOError:
                return
            if len(data) == _NUMBER.size:
                yield _NUMBER.unpack(data)[0]

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
