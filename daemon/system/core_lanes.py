"""Commands and facts on their way to the core: in lanes, each with a bound, served by urgency.

While the ledger stands still the core runs ahead of it, but not without end: first market data wait, then commands,
at last even what is in lane 0.
"""

from __future__ import annotations

from typing import Final, cast

from daemon.kernel.mailbox import Lane, LaneQueue, Offer
from daemon.kernel.message import Message
from daemon.system.core_ports import Input

UNCOMMITTED_MAX: Final = 20_000
"""Inputs processed ahead of the ledger at most before market data wait for it; commands may go on for a while."""
BACKLOG_MAX: Final = 3
"""Batches that wait for the ledger at most before market data that can wait do."""
COMMANDS_MAX: Final = 30_000
"""... before commands wait, too; what is in lane 0 may go on for a while."""
CONTROL_MAX: Final = 32_000
"""... before everything waits."""


class CoreLanes:
    """See the module."""

    def __init__(self) -> None:
        """Begin empty."""
        self._queue = LaneQueue()

    def __len__(self) -> int:
        """Return how many inputs wait."""
        return len(self._queue)

    def offer(self, item: Input, lane: Lane) -> bool:
        """Queue an input; False where the lane is full."""
        # A mailbox looks at nothing but its key, and those of lanes have none: what is put in comes out.
        return self._queue.offer(lane, cast("Message", item)) is Offer.QUEUED

    def take(self, depth: int = 0) -> Input | None:
        """Remove and return the most urgent input that may be processed with so many uncommitted ones ahead."""
        if depth < COMMANDS_MAX:
            return cast("Input | None", self._queue.take())
        if depth < CONTROL_MAX:
            return cast("Input | None", self._queue.lanes[Lane.CONTROL].take())
        return None

    def clear(self) -> list[Input]:
        """Remove and return everything."""
        taken: list[Input] = []
        while (item := self.take()) is not None:
            taken.append(item)
        return taken
