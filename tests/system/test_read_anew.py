"""What is read after a core, or the reader alone, was started again: nothing twice, nothing lost without a word."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from actors.messages.market import GapDetected
from config.sources import load_settings
from daemon.kernel.clock import VirtualClock
from daemon.system.first_inputs import first_inputs
from daemon.system.intake import QUEUE_MAX, MarketQueue
from daemon.system.running import Running
from daemon.system.start import limits_of
from tests.system.wired import MINUTE, OPEN


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


class Trading(Running):
    """As much of a free-running daemon as starts on a recording of a bar a minute, up to a minute ago."""

    def __init__(self) -> None:
        self.settings = load_settings(
            file=None, profile=None, sets=("feed.playback.free_running=true",), environ={}
        ).settings
        self.missed_until = None
        self._pace: Any = SimpleNamespace(speed=1.0)
        self.clock = VirtualClock(OPEN + 10 * MINUTE + 1)
        self.told: list[tuple[int, int]] = []
        risk = SimpleNamespace(configured=limits_of(self.settings))
        self.loop: Any = SimpleNamespace(
            core=SimpleNamespace(
                core=SimpleNamespace(broker=SimpleNamespace(funded=()), risk=risk),
                clock=self.clock,
                feed_n=1,
                feed_ts=OPEN + 3 * MINUTE,
                sequencer=SimpleNamespace(seq=5, last_ts=OPEN + 3 * MINUTE),
                move_clock=lambda _: None,
            )
        )
        recording = SimpleNamespace(
            sessions=(),
            inputs=lambda place: (SimpleNamespace(ts=place.ts + n * MINUTE) for n in range(1, 30)),
        )
        spec = SimpleNamespace(portfolios=())
        self.prepared: Any = SimpleNamespace(data=SimpleNamespace(recording=recording, spec=spec))

    def _gap(self, since: int, until: int) -> None:
        self.told.append((since, until))

    def minutes(self) -> list[int]:
        """Return the minutes of what is read."""
        return [(panel.ts - OPEN) // MINUTE for panel in self._recorded()]


def test_what_comes_due_while_a_start_goes_on_is_late_and_not_lost() -> None:
    """It is told until when nothing was seen; the reader, which looks later, sees everything from then on."""
    daemon = Trading()
    (gap,) = [item.body for item in first_inputs(daemon)]
    assert isinstance(gap, GapDetected)
    assert (gap.from_ts, gap.to_ts) == (OPEN + 3 * MINUTE, OPEN + 10 * MINUTE + 1)
    daemon.clock.advance_to(OPEN + 12 * MINUTE)
    assert daemon.minutes() == list(range(11, 33))
    assert daemon.told == []


def test_what_a_reader_misses_that_is_started_again_alone_is_told() -> None:
    """The core ran on meanwhile, and nobody else knows."""
    daemon = Trading()
    first_inputs(daemon)
    daemon.minutes()
    daemon.clock.advance_to(OPEN + 12 * MINUTE)
    assert daemon.minutes() == list(range(12, 33))
    assert daemon.told == [(OPEN + 3 * MINUTE, OPEN + 12 * MINUTE)]


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
