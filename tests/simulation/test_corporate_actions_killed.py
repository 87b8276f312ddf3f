"""Corporate actions through a real daemon that is killed in between: the end is that of one that never was."""

from __future__ import annotations

import signal
from pathlib import Path

from actors.messages.orders import OrderRestated
from actors.messages.portfolio import DividendAccrued, DividendPaid, PositionAdjusted
from actors.portfolio.books import replay_books
from daemon.system.verify import verify_path
from tests.faults.twin import compare
from tests.faults.workload import furnish
from tests.live_support import daemon

ACTIONS = """ex_date,symbol,kind,value,pay_date
2024-01-03,AAA,split,3:2,
2024-01-03,BBB,dividend,0.25,2024-01-05
2024-01-04,CCC,dividend,0.1,2024-01-06
2024-01-04,CCC,rename,DDD,
2024-01-05,AAA,split,0.1,
2024-01-05,BBB,delist,90.5,
"""
STRATEGY = '''"""Holds everything over midnight: in at noon, out at six."""

from actors.api import Params, Signal, Window, strategy


@strategy(name="restless", lookback=2, horizon=1)
def restless(w: Window, p: Params) -> Signal:
    """By the hour of the day."""
    return Signal(score=-0.9 if 6 <= w.now // 3_600_000_000_000 % 24 < 12 else 0.9, confidence=0.95)
'''
CRASHES = (2, 3, 5, 4)
"""At which commit each of the first lives ends; the recording has four days of three symbols."""


def test_a_daemon_that_is_killed_over_and_over_books_every_action_once(tmp_path: Path) -> None:
    """Splits with fractions, dividends due over days, a rename and a delisting, with stops and targets resting.

    What was never interrupted, this process's twin of it, comes to the same events and the same state; an outsider
    comes to the same books; no action was taken twice and none was lost.
    """
    settings = furnish(tmp_path, minutes=4 * 1440, speed="max", snapshot_events=300)
    (tmp_path / "actions.csv").write_text(ACTIONS)
    (tmp_path / "restless.py").write_text(STRATEGY)
    settings = settings.replace('decision_interval = "2m"', 'decision_interval = "60m"').replace(
        'bars = ["bars.csv"]', 'bars = ["bars.csv"]\nactions = ["actions.csv"]'
    )
    with daemon(tmp_path, settings) as house:
        for visit in CRASHES:
            process = house.spawn(until_end=True, faults=[f"after:commit:{visit}:crash"])
            assert process.wait(60) == -signal.SIGKILL, house.tail()
        house.spawn(until_end=True)
        assert house.wait(120) == 0, house.tail()
        likeness = compare(house)
        assert likeness.difference == ""
        assert [check for check in verify_path(house.state).checks if not check.ok] == []
        events = [event for frame in house.frames() for event in frame.events]
        assert [check for check in replay_books(events).checks if not check.ok] == []
    adjusted = [event.kind for event in events if isinstance(event, PositionAdjusted)]
    assert adjusted == ["split", "rename", "split", "delist"]
    assert len([event for event in events if isinstance(event, DividendAccrued)]) == 2
    assert len([event for event in events if isinstance(event, DividendPaid)]) == 1  # the other is due behind the end
    assert {event.reason for event in events if isinstance(event, OrderRestated)} >= {"split", "rename"}
