"""The feed: brings recorded market data into the core and can say what it left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from actors.feed.quality import QualityReport
from actors.feed.recording import Recording, Resume
from daemon.kernel.actor import EdgeActor, Health
from daemon.kernel.message import Market


class FeedActor(EdgeActor):
    """An edge actor over one recording."""

    name: ClassVar[str] = "feed"

    def __init__(self, recording: Recording) -> None:
        """Serve a recording that has been opened and checked."""
        self.recording = recording

    def inputs(self, after: Resume | None = None) -> Iterator[Market]:
        """Yield the inputs in order of time, from behind a place or from the beginning."""
        return self.recording.inputs(after)

    @property
    def quality(self) -> QualityReport:
        """What became of every row that was read."""
        return self.recording.quality

    def health(self) -> Health:
        """Say what is being fed and how many rows were rejected; a recorded source cannot go stale."""
        recording = self.recording
        rejected = f"{recording.quality.rows_rejected} of {recording.quality.rows_read} rows rejected"
        return Health(ok=True, detail=f"{recording.label}: {recording.n_inputs} inputs, {rejected}")
