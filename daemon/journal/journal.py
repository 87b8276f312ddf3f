"""The journal's port: what is kept of a run, and how it is read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from daemon.kernel.actor import Frame
from daemon.kernel.message import Event, Message


class StoredFrame(msgspec.Struct, frozen=True):
    """A frame read back.

    Attributes:
        seq, ts, ts_event, source: as in the envelope; ``ts`` is the stamp.
        input: the message, or None where it is market data (on the tape).
        events: facts in order.
        causes: see :class:`daemon.kernel.actor.Frame`.
    """

    seq: int
    ts: int
    ts_event: int
    source: str
    input: Message | None
    events: list[Event]
    causes: list[int]


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run is: enough to repeat it.

    ``config`` and ``universe`` are plain values; ``digests`` maps input files to SHA-256; ``feed`` says what a live run
    is fed with and is left out of a replay's.
    """

    run_id: str
    version: str
    mode: str
    seed: int
    config: dict[str, Any]
    config_digest: str
    digests: dict[str, str]
    universe: dict[str, Any]
    started: str
    feed: dict[str, Any] = msgspec.field(default_factory=dict)


class Journal(Protocol):
    """Takes frames in order and gives them back in order."""

    def append(self, frame: Frame) -> None:
        """Take one frame; it is durable after the next :meth:`flush` at the latest."""
        ...

    def flush(self) -> None:
        """Make every appended frame durable."""
        ...

    def frames(self) -> Iterator[StoredFrame]:
        """Read everything back, first to last."""
        ...

    def close(self, status: str, digest: str) -> None:
        """Seal the run with its status and event digest and let go of files."""
        ...
