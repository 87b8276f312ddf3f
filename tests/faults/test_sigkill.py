"""F01-F04: SIGKILL at any instant, under 50 orders a second and strategies that trade: nothing is lost or twice.

All of it: ``pytest -m long -s tests/faults/test_sigkill.py`` (300 kills; prints the counts and the times to READY).
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from actors.messages.orders import OrderFilled
from tests.faults.kills import READY_S, Loop, looping
from tests.faults.oracle import examine
from tests.faults.twin import compare, event_digest
from tests.faults.workload import furnish
from tests.live_support import daemon


def kill_often(loop: Loop, times: int, seed: int) -> str:
    """Kill a daemon so many times, look at what it left now and then, and at the end at everything."""
    dice = random.Random(seed)  # noqa: S311 - a seed for a test
    lives = 0
    while loop.kills < times:  # a daemon that had ended before it could be killed counts for nothing
        loop.kill_somewhere(dice)
        lives += 1
        if not lives % 20:
            loop.look()
    verdict, likeness = loop.end()
    assert max(loop.ready_cpu_s) < READY_S
    assert verdict.counts["acknowledged"] > times
    assert verdict.counts["fills"] > times
    return loop.figures(verdict, likeness)


def test_f01_killed_at_random_instants_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Twelve kills while it starts, runs and ends; the end equals that of a twin that was never interrupted."""
    with looping(tmp_path, minutes=1440) as loop:
        kill_often(loop, 12, seed=3)


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """Without clients: killed again and again, slow and fast, its events are those of a run in one piece."""
    ends = []
    dice = random.Random(29)  # noqa: S311 - a seed for a test
    for name, kills in (("killed", 2), ("whole", 0)):
        folder = tmp_path / name
        folder.mkdir()
        with daemon(folder, furnish(folder, minutes=400, speed=1200, snapshot_events=300)) as house:
            for _ in range(kills):
                house.start()
                time.sleep(dice.uniform(0, 0.8))  # an instant, no condition
                house.kill()
            house.sets.append('feed.playback.speed="max"')
            house.spawn(until_end=True)
            assert house.wait() == 0, house.tail()
            assert examine(house.ledger).problems == []
            assert compare(house).difference == ""
            ends.append((event_digest(house.state), len(house.events(OrderFilled))))
    assert ends[0] == ends[1]
    assert ends[0][1] > 100


@pytest.mark.long
def test_f01_killed_three_hundred_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, 300 times in one life."""
    with looping(tmp_path, minutes=5 * 1440) as loop:
        figures = kill_often(loop, 300, seed=17)
        assert sorted(loop.ready_s)[len(loop.ready_s) // 2] < READY_S
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
