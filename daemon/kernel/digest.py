"""The event digest: a chain over every fact of a run, equal wherever the same inputs gave the same facts."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Final

DIGEST_START: Final = bytes(32)
_stamp: Final = struct.Struct(">q").pack


def extend_digest(digest: bytes, ts_event: int, body: bytes) -> bytes:
    """Return the event digest after one more frame with events (``contract.md`` section 3).

    Args:
        digest: before it, :data:`DIGEST_START` at the beginning.
        ts_event: of the frame's input, nanoseconds UTC; not its stamp, which live is wall time.
        body: the frame's encoded events.
    """
    return sha256(digest + _stamp(ts_event) + body).digest()
