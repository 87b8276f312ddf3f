"""A journal that lives and dies with the process: for tests, and for replays that keep only their results."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.journal.journal import StoredFrame
from daemon.kernel.actor import Frame
from daemon.kernel.message import Market


class MemoryJournal:
    """Keeps frames as they are."""

    def __init__(self) -> None:
        """Start empty."""
        self._frames: list[Frame] = []
        self.status = "running"
        self.digest = ""

    def append(self, frame: Frame) -> None:
        """Keep one frame."""
        self._frames.append(frame)

    def flush(self) -> None:
        """Do nothing: memory is as durable as it gets."""

    def frames(self) -> Iterator[StoredFrame]:
        """Read everything back."""
        for frame in self._frames:
            envelope = frame.envelope
            yield StoredFrame(
                seq=envelope.seq,
                ts=envelope.ts_init,
                ts_event=envelope.ts_event,
                source=envelope.source,
                input=None if isinstance(envelope.body, Market) else envelope.body,
                events=frame.events,
                causes=frame.causes,
            )

    def close(self, status: str, digest: str) -> None:
        """Seal the run."""
        self.status = status
        self.digest = digest
