"""The feed: brings recorded bars into the core and can say what it left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from actors.feed.history import History
from actors.feed.quality import QualityReport
from daemon.kernel.actor import EdgeActor, Health
from daemon.kernel.message import Market


class FeedActor(EdgeActor):
    """An edge actor over one history."""

    name: ClassVar[str] = "feed"

    def __init__(self, history: History) -> None:
        """Serve a history that has been opened and checked."""
        self.history = history

    def inputs(self) -> Iterator[Market]:
        """Yield the inputs of a replay in order of time."""
        return self.history.inputs()

    @property
    def quality(self) -> QualityReport:
        """What became of every row that was read."""
        return self.history.quality

    def health(self) -> Health:
        """Say what is being fed and how many rows were rejected; a recorded source cannot go stale."""
        quality = self.history.quality
        rejected = f"{quality.rows_rejected} of {quality.rows_read} rows rejected"
        return Health(ok=True, detail=f"{self.history.label}: {self.history.n_bars} bars, {rejected}")
