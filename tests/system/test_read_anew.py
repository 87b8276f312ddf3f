"""A core that was built anew reads the recording anew: nothing of what its predecessor had read ahead comes in."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from daemon.system.intake import QUEUE_MAX, MarketQueue
from daemon.system.running import Running


class Reading(Running):
    """As much of a daemon as reads a recording; each reading of it says which it is."""

    def __init__(self) -> None:
        self.queue = MarketQueue()
        self.readings = 0
        self._feed_scope = None
        playback = SimpleNamespace(free_running=False)
        self.settings: Any = SimpleNamespace(feed=SimpleNamespace(playback=playback))
        self.prepared: Any = SimpleNamespace(options=SimpleNamespace(jitter=None))
        self.loop: Any = SimpleNamespace(wake=lambda: None)

    def _recorded(self) -> Iterator[Any]:
        self.readings += 1
        return iter([(self.readings, n) for n in range(3 * QUEUE_MAX)])


@pytest.mark.parametrize("woken", [False, True])
def test_a_reader_that_is_just_being_woken_puts_nothing_in_front_of_its_successor(woken: bool) -> None:
    """It waits for room, gets it in the very moment in which it is ended, and is due before it hears of that."""

    async def main() -> None:
        daemon = Reading()
        context: Any = SimpleNamespace(started=lambda: None, beat=lambda: None)
        async with anyio.create_task_group() as group:
            group.start_soon(daemon.run_feed, context)
            while daemon.queue.on_room is None:
                await anyio.lowlevel.checkpoint()
            while woken and daemon.queue.on_room is not None:
                daemon.queue.take()
            before = daemon.queue.last_taken_ns
            daemon._read_anew()
            for _ in range(20):
                assert {reading for reading, _ in daemon.queue.items} <= {2}  # type: ignore[misc, attr-defined]
                await anyio.lowlevel.checkpoint()
            assert daemon.readings == 2
            assert daemon.queue.items[0] == (2, 0)
            assert daemon.queue.last_taken_ns == before
            group.cancel_scope.cancel()

    anyio.run(main)
