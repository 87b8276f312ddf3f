"""F44: any write or sync of the whole daemon fails once: nothing is retried blindly, nothing promised is lost.

All of it: ``pytest -m long -s tests/faults/test_storage_errors.py`` (n = 1 to 50 while it starts, trades and ends).
"""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.disks import FaultyDisk, build_disk
from tests.faults.kills import Loop, looping
from tests.live_support import DaemonFailedError

BROKEN = 74
PROMISES = ("ledger.db", "tape/")
SURVIVES = ("views.db", "reserve")
"""Files that hold no promise: the daemon lives on where one of them fails."""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that fails on demand."""
    return build_disk(tmp_path_factory.mktemp("disk"))


class FailingLives:
    """A daemon that lives again and again on a disk that fails once in each life."""

    def __init__(self, loop: Loop, disk: FaultyDisk) -> None:
        self.loop = loop
        self.disk = disk
        self.ends: Counter[str] = Counter()

    def start_failing(self, nth: int) -> None:
        """One life in which the n-th call from the process's first fails."""
        house = self.loop.house
        house.spawn(env=self.disk.env(arm=nth))
        try:
            house.await_ready()
        except DaemonFailedError:
            assert house.process is not None
            assert house.process.poll() is not None, house.tail()
        else:
            self.loop.trader.go()
        self._live_on()

    def run_failing(self, nth: int, error: int = errno.EIO) -> None:
        """One life in which the n-th call fails from some time on."""
        # For want of room the views are built anew; it is ledger and tape that make somebody wait.
        self.loop.up(env=self.disk.env(error=error, only="ledger.db-wal" if error == errno.ENOSPC else ""))
        self.loop.let_live(0.2)
        self.disk.fail(nth)
        self._live_on(error=error)

    def end_failing(self, nth: int) -> None:
        """One life whose end in order is disturbed by the n-th call from then on."""
        self.loop.up(env=self.disk.env())
        self.loop.let_live(0.2)
        self.loop.trader.rest()
        self.disk.fail(nth)
        self._live_on(0)

    def _live_on(self, seconds: float = 1.0, error: int = errno.EIO) -> None:
        """Let it end by itself or live for a while, and look at how it took what failed."""
        house = self.loop.house
        process = house.process
        assert process is not None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            house.signal(signal.SIGTERM)
            code = house.wait(9)  # no stage of the end waits out its budget for a ledger that is broken
        name = self.disk.failed()
        self.ends[f"{name.split('/')[0] or 'nothing'} {code}"] += 1
        self.loop.cut("failing")
        text = house.log.read_text()
        assert not any(line.startswith("Traceback") for line in text.splitlines()), (name, house.tail())
        if error == errno.ENOSPC and code == 0:
            pass  # rolled back, halted, and written again once there was room
        elif name.startswith(PROMISES):
            assert code == BROKEN, (name, code, house.tail())
            # What a first start had begun to write it may take back; what went to WAL or tape is left alone.
            assert [op for op in self.disk.after_failure() if op.path != "ledger.db"] == []
        elif name.startswith(SURVIVES):
            assert code == 0, (name, code, house.tail())
        self.loop.look()


@pytest.mark.long
def test_f44_a_ledger_whose_first_write_failed_is_made_by_the_next_start(tmp_path: Path, library: Path) -> None:
    """A file that was begun and holds no table is no ledger that anybody lost."""
    with looping(tmp_path, minutes=60, seed=21) as loop:
        lives = FailingLives(loop, FaultyDisk(library, loop.house.state))
        for nth in (9, 12, 15):
            lives.start_failing(nth)
        loop.end()


def test_f44_a_write_or_sync_fails_once(tmp_path: Path, library: Path) -> None:
    """Some while it starts, some while it trades; every next start is whole again."""
    with looping(tmp_path, minutes=1440, seed=21) as loop:
        lives = FailingLives(loop, FaultyDisk(library, loop.house.state))
        lives.start_failing(15)
        for nth in (1, 2, 5):
            lives.run_failing(nth)
        lives.end_failing(2)
        loop.end()


def test_f43_a_write_that_finds_no_room_once_is_rolled_back_and_written_again(tmp_path: Path, library: Path) -> None:
    """The daemon lives on, halted: nobody waits for a person to make room that is there."""
    with looping(tmp_path, minutes=1440, seed=23) as loop:
        lives = FailingLives(loop, FaultyDisk(library, loop.house.state))
        lives.run_failing(2, errno.ENOSPC)
        loop.up()
        with loop.house.client() as client:
            status = client.call("status")
            assert (status["trading_state"], status["journal"]["state"]) == ("halted", "ok")
            client.call("resume", reason="there was room", request_id="resume-1")
        loop.down("running")
        loop.end()


@pytest.mark.long
def test_f44_every_write_and_sync_of_fifty_fails_once(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With n = 1 to 50, while the ledger is made, while a later start begins, while it trades and while it ends."""
    told = []
    for name in ("new", "old"):
        folder = tmp_path / name
        folder.mkdir()
        with looping(folder, minutes=1440, seed=22) as loop:
            lives = FailingLives(loop, FaultyDisk(library, loop.house.state))
            for nth in range(1, 51):
                lives.start_failing(nth)
            if name == "old":
                for nth in range(1, 51):
                    lives.run_failing(nth)
                    if not nth % 5:
                        lives.run_failing(nth // 5, errno.ENOSPC)
                for nth in range(1, 26):
                    lives.end_failing(nth)
            verdict, likeness = loop.end()
            told.append(f"{dict(sorted(lives.ends.items()))}\n{loop.figures(verdict, likeness)}")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(told) + "\n")
