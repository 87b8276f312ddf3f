"""A process that runs for months: its run is cut into runs of a week, what is old leaves, and kills change nothing.

Weeks are tenths of a second here. All of it: ``pytest -m long -s tests/faults/test_long_life.py``.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from daemon.control.signals import KILL_FILE
from daemon.journal.archive import read_all
from daemon.system.parity import parity_of
from daemon.system.verify import verify_path
from tests.faults.kills import Loop, ask
from tests.faults.meddling import PROGRAM, Meddled, playing, rows_of
from tests.faults.twin import settings_of
from tests.faults.workload import Trader, furnish
from tests.journal.ledger_support import CODEC, MARKETS
from tests.journal.test_roll import SITES

WEEK_S: Final = 0.15
ROLLING: Final = {
    "daemon.system.records.ROLL_S": WEEK_S,
    "daemon.system.records.EVERY_S": WEEK_S,
    "daemon.system.records.LOOK_S": 0.02,
}


class LongLived(Meddled):
    """A daemon for which a week is short, however it is started."""

    def spawn(self, **options: Any) -> subprocess.Popen[str]:
        """Start it without waiting."""
        self.hand.unlink(missing_ok=True)
        env = {"MEDDLE_SOCKET": str(self.hand), "MEDDLE_SET": json.dumps(self.constants)} | options.pop("env", {})
        return super().spawn(**({"program": PROGRAM} | options), env=env)

    def runs(self) -> list[tuple[str, str, int]]:
        """Return id, status and frames of each run."""
        return [(row[0], row[1], row[2]) for row in self.query("SELECT run_id, status, frames FROM run ORDER BY id")]

    def await_runs(self, count: int, seconds: float = 20.0) -> None:
        """Wait until so many have ended."""
        until = time.monotonic() + seconds
        while sum(status == "ended" for _, status, _ in self.runs()) < count:
            assert time.monotonic() < until, self.tail()
            self.manager.listen(0.05)


@contextmanager
def long_lived(folder: Path, settings: str, **constants: Any) -> Iterator[LongLived]:
    """Give a daemon that is not started yet."""
    found = LongLived(folder, settings)
    found.constants = ROLLING | constants  # type: ignore[misc]
    try:
        yield found
    finally:
        found.close()


@contextmanager
def looping(folder: Path, *, minutes: int, more: str = "", **constants: Any) -> Iterator[tuple[Loop, LongLived]]:
    """Give a loop of kills over one, with a client that trades."""
    with long_lived(folder, furnish(folder, minutes=minutes) + more, **constants) as house:
        trader = Trader(house.socket, folder / "heard.jsonl")
        try:
            yield Loop(house, trader, folder / "heard.jsonl"), house
        finally:
            trader.close()


def sound(house: LongLived) -> None:
    """Verify holds, and everything is decided again from the archive and the ledger as it was."""
    report = verify_path(house.state)
    assert [(check.name, check.detail) for check in report.checks if not check.ok] == []
    found = parity_of(house.state, settings_of(house))
    assert found.equal, found.differences[:3]


# -- a roll ------------------------------------------------------------------------------------------------------------


def test_a_run_rolls_while_it_trades_and_everybody_names_the_new_one(tmp_path: Path) -> None:
    """Status and journal.head follow; a core folded from disk is the one that runs; verify goes on beside it."""
    with long_lived(tmp_path, playing(tmp_path)) as house:
        house.start()
        with house.client() as client:
            first = client.call("journal.head")["run_id"]
            for n in range(10):
                client.call("order.submit", symbol="AAA", side="buy", qty=5 + n, id=f"order-{n}")
                house.await_runs(n + 1)
            second = ask(client, "journal.head", lambda head: head["run_id"] != first and head)["run_id"]
            assert second in {run_id for run_id, _, _ in house.runs()}
            assert ask(client, "status", lambda status: status["run_id"] != first and status)
            assert [check.name for check in verify_path(house.state).checks if not check.ok] == []
            assert len(rows_of(client, "orders", all=True)) == 10
        same = house.meddle("refold")
        assert same["live"] == same["folded"]
        assert house.stop() == 0, house.tail()
    runs = house.runs()
    assert {status for _, status, _ in runs} == {"ended"}
    assert sum(frames > 0 for _, _, frames in runs) >= 9
    logged = [line["run_id"] for line in house.logged() if line["event"] == "run rolled"]
    assert logged == [run_id for run_id, _, _ in runs[1:]]


def test_a_young_run_does_not_roll(tmp_path: Path) -> None:
    """Only its age decides."""
    with long_lived(tmp_path, playing(tmp_path), **{"daemon.system.records.ROLL_S": 3600.0}) as house:
        house.start()
        for _ in range(10):  # it looks every 0.15 s
            house.manager.listen(0.1)
        assert house.stop() == 0
        assert len(house.runs()) == 1


def test_a_reload_before_a_roll_is_in_the_manifest_of_the_next_run(tmp_path: Path) -> None:
    """What is in force is what the new run says, the next start finds nothing changed, and parity holds over it."""
    limits = "[risk]\nmax_order_value = {}\n"
    settings = playing(tmp_path)
    with long_lived(tmp_path, settings + limits.format(50000)) as house:
        house.start()
        house.await_runs(1)
        house.write(settings + limits.format(7700))
        with house.client() as client:
            assert client.call("reload")["changes"]
            client.call("order.submit", symbol="AAA", side="buy", qty=5, id="behind")
        before = len(house.runs())
        house.await_runs(before + 1)
        assert house.stop() == 0
        config = json.loads(house.query("SELECT manifest FROM run ORDER BY id DESC LIMIT 1")[0][0])["config"]
        assert float(config["risk"]["max_order_value"]) == 7700
        house.start()
        assert house.stop() == 0
        reloads = [frame for frame in house.frames() if type(frame.input).__name__ == "Reload"]
        assert len(reloads) == 1
        sound(house)


def kill_often(folder: Path, times: int, minutes: int, seed: int) -> str:
    """Kill a daemon that rolls all the time; return the figures."""
    dice = random.Random(seed)  # noqa: S311 - a seed for a test
    with looping(folder, minutes=minutes) as (loop, house):
        for _ in range(times):
            loop.kill_somewhere(dice)
        verdict, likeness = loop.end()
        sound(house)
        ended = sum(status == "ended" for _, status, _ in house.runs())
        assert ended > times
    return f"{loop.figures(verdict, likeness)}\nruns: {len(house.runs())}, rolled {ended}"


def test_f01_kills_while_runs_roll_lose_and_double_nothing(tmp_path: Path) -> None:
    """The events at the end are those of a twin that never rolled and was never killed."""
    kill_often(tmp_path, 6, 1440, seed=4)


@pytest.mark.long
def test_f01_a_hundred_kills_while_runs_roll(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, 100 times in one life."""
    figures = kill_often(tmp_path, 100, 3 * 1440, seed=23)
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")


def crash_at_each(folder: Path, visits: tuple[int, ...]) -> None:
    """Die at each step of a roll with orders flowing."""
    with looping(folder, minutes=1440) as (loop, house):
        for nth in visits:
            for place in SITES:
                loop.crash_at(place, nth)
                loop.look()
        loop.end()
        sound(house)


def test_f01_a_crash_at_any_step_of_a_roll_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Before, within and behind its transaction."""
    crash_at_each(tmp_path, (2,))


@pytest.mark.long
def test_f01_a_crash_at_any_step_of_many_rolls(tmp_path: Path) -> None:
    """The first of a process, and later ones."""
    crash_at_each(tmp_path, (1, 3, 8))


def test_a_roll_without_room_comes_later(tmp_path: Path) -> None:
    """The run goes on as it was; nothing is halted for it."""
    with long_lived(tmp_path, playing(tmp_path)) as house:
        house.start(faults=["after:roll.seal:1:enospc"])
        house.await_runs(1)
        assert house.status()["trading_state"] == "active"
        assert house.stop() == 0
        assert sum(line["event"] == "run not rolled" for line in house.logged()) == 1
        assert verify_path(house.state).ok


def test_f44_a_roll_that_breaks_the_ledger_ends_the_daemon_although_nothing_is_to_be_committed(tmp_path: Path) -> None:
    """Nobody knows what the disk holds: 74, and the next start looks."""
    with long_lived(tmp_path, playing(tmp_path, speed="1", minutes=2)) as house:
        house.start(faults=["before:roll.commit:2:eio"])
        assert house.wait(20) == 74, house.tail()
        assert [status for _, status, _ in house.runs()] == ["ended", "running"]
        house.start()
        assert house.stop() == 0
        assert verify_path(house.state).ok


def test_weeks_of_one_process_move_to_the_archive_and_everything_can_still_be_decided_again(tmp_path: Path) -> None:
    """``retention.ledger_days`` of a process that never ends; killed in between, started on what is left."""
    more = "\n[retention]\nledger_days = 1\ntape_days = 0\narchive_days = 0\n"
    days = {"daemon.journal.retention.DAY_NS": 1_000_000}
    settings = furnish(tmp_path, minutes=1440, snapshot_events=100) + more
    with long_lived(tmp_path, settings, **days) as house:

        def archived() -> int:
            return house.query("SELECT count(*) FROM run WHERE archived IS NOT NULL")[0][0]

        for wanted in (2, 4):
            house.start()
            until = time.monotonic() + 30
            while archived() < wanted:
                assert time.monotonic() < until, house.tail()
                house.manager.listen(0.1)
            house.kill()
        house.start()
        assert house.stop() == 0
        assert list((house.state / "archive").glob("ledger-*.db"))
        seqs = [row.seq for row in read_all(house.state, CODEC, MARKETS)]
        assert seqs == list(range(1, len(seqs) + 1))
        sound(house)


# -- the first start ---------------------------------------------------------------------------------------------------


def test_a_daemon_killed_in_its_very_first_start_comes_back_killed(tmp_path: Path) -> None:
    """Its latch is set and there is no ledger yet: no sign of a lost one. A person unlatches, and it trades."""
    with long_lived(tmp_path, playing(tmp_path), **{"daemon.system.records.ROLL_S": 3600.0}) as house:
        (house.runtime / KILL_FILE).write_text("not today")
        process = house.spawn(faults=["after:wait:1:crash"])
        assert process.wait(20) == -signal.SIGKILL
        assert (house.state / "kill.latch").read_bytes().startswith(b"KILLED")
        assert not house.ledger.exists()
        (house.runtime / KILL_FILE).unlink()
        house.start()
        assert house.status()["trading_state"] == "killed"
        with house.client() as client:
            denied = client.call("order.submit", symbol="AAA", side="buy", qty=5, id="first")
            assert denied["status"] == "denied"
            client.call("unlatch", reason="looked at it")
        assert house.status()["trading_state"] == "halted"
        assert house.stop() == 0
