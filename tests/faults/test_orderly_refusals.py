"""Starts that are refused in order: they count as no crash, leave nothing behind, and stay down (exit 78)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from live_support import daemon, minute_bars

PLAYED = """
[feed.playback]
bars = ["bars.csv"]
adjustment = "raw"
speed = 600
"""


@pytest.mark.parametrize(
    "mistake",
    [
        'predictor.strategies=["momentumm"]',
        "feed.playback.bars=nowhere.csv",
        "feed.playback.from=2031-01-01",
        'universe.symbols=["NOSUCH"]',
    ],
    ids=["strategy", "file", "dates", "symbol"],
)
def test_what_the_configuration_got_wrong_stays_wrong_and_is_no_crash(tmp_path: Path, mistake: str) -> None:
    """Exit 78 is in the unit's RestartPreventExitStatus; three of them do not halt the next start."""
    minute_bars(tmp_path / "bars.csv", ["AAA"], minutes=5)
    with daemon(tmp_path, PLAYED, sets=[mistake]) as one:
        for _ in range(3):
            one.spawn()
            assert one.wait(30) == 78
        assert not one.socket.exists()
        one.sets = []
        one.start()
        with one.client() as client:
            assert client.call("status")["trading_state"] == "active"
        assert one.stop() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files to any group")
def test_the_group_of_the_socket_may_enter_the_folder_it_lies_in(tmp_path: Path) -> None:
    """Else its members could never connect, whatever their role."""
    minute_bars(tmp_path / "bars.csv", ["AAA"], minutes=5)
    with daemon(tmp_path, PLAYED + '[control]\nviewer_group = "games"\n') as one:
        one.start()
        folder = one.runtime.stat()
        assert folder.st_gid == one.socket.stat().st_gid != 0
        assert stat.S_IMODE(folder.st_mode) == 0o750
        assert one.stop() == 0


def test_a_daemon_that_takes_nothing_in_between_stops_as_clean_as_it_started(tmp_path: Path) -> None:
    """The recording has ended; starting and stopping again and again changes nothing and halts nothing."""
    minute_bars(tmp_path / "bars.csv", ["AAA"], minutes=5)
    # A recording that ends within a session is a feed that fell silent.
    with daemon(tmp_path, PLAYED, sets=["feed.playback.speed=max", "risk.breakers.stale_data.limit=0"]) as one:
        for _ in range(4):
            one.spawn(until_end=True)
            assert one.wait(30) == 0
        one.start()
        with one.client() as client:
            assert client.call("status")["trading_state"] == "active"
            assert client.call("journal.head")["seq"] > 0
        assert one.stop() == 0
