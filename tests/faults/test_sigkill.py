"""F01-F04: SIGKILL at any instant, under 50 orders a second and strategies that trade: nothing is lost or twice.

All of it: ``pytest -m long -s tests/faults/test_sigkill.py`` (300 kills; prints the counts and the times to READY).
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.faults.kills import READY_S, Loop, looping


def kill_often(loop: Loop, times: int, seed: int) -> str:
    """Kill a daemon so many times, look at what it left now and then, and at the end at everything."""
    dice = random.Random(seed)  # noqa: S311 - a seed for a test
    for n in range(times):
        loop.kill_somewhere(dice)
        if n % 20 == 19:
            loop.look()
    verdict, likeness = loop.end()
    assert sorted(loop.ready_s)[len(loop.ready_s) // 2] < READY_S
    assert verdict.counts["acknowledged"] > times
    assert verdict.counts["fills"] > times
    return loop.figures(verdict, likeness)


def test_f01_killed_at_random_instants_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Twelve kills while it starts, runs and ends; the end equals that of a twin that was never interrupted."""
    with looping(tmp_path, minutes=1440) as loop:
        kill_often(loop, 12, seed=3)


@pytest.mark.long
def test_f01_killed_three_hundred_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, 300 times in one life."""
    with looping(tmp_path, minutes=5 * 1440) as loop:
        figures = kill_often(loop, 300, seed=17)
        assert max(loop.ready_s) < READY_S
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
