"""F18, F19, F43, F47-F49 on the real daemon: a second one, foreign files, full disks, long readers, damage."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from actors.messages.risk import TradingStateChanged
from daemon.journal.failures import EXIT_CODES
from daemon.journal.version import has_wal_reset_bug
from tests.faults.disks import limit_files, small_file_system
from tests.faults.kills import ask, remains
from tests.faults.meddling import meddled
from tests.faults.oracle import examine
from tests.faults.twin import compare
from tests.faults.workload import furnish
from tests.live_support import CallError, Client, Daemon, daemon

BROKEN: Final = 74
PAGE: Final = 8192
BUY: Final = {"symbol": "AAA", "side": "buy", "qty": 1, "type": "market", "portfolio": "desk"}


@contextmanager
def trading(folder: Path, *, speed: float | str = 1200, minutes: int = 1440, **settings: str) -> Iterator[Daemon]:
    """Give a daemon with a strategy that trades all the time; settings as ``section__key = value``."""
    sets = [f"{name.replace('__', '.')}={value}" for name, value in settings.items()]
    with daemon(folder, furnish(folder, minutes=minutes, speed=speed, snapshot_events=500), sets=sets) as house:
        yield house


def picture(state: Path) -> dict[str, bytes]:
    """Return what the files hold that a refused start must not touch."""
    names = [path for path in state.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    mine = ("ledger.db", "ledger.head", "tape", "kill.latch")
    return {
        str(path.relative_to(state)): path.read_bytes()
        for path in names
        if path.relative_to(state).parts[0].startswith(mine) and path.stat().st_size
    }


def refused(house: Daemon, reason: str, *, code: int | None = None, **options: Any) -> str:
    """Start it: it must refuse with one sentence and an exit code of its own, and leave everything as it was."""
    before = picture(house.state)
    lines = len(house.log.read_text().splitlines()) if house.log.exists() else 0
    house.spawn(**options)
    assert house.wait(20) == (EXIT_CODES[reason] if code is None else code), house.tail()
    said = house.log.read_text().splitlines()[lines:]
    sentences = [line for line in said if line.startswith("tradingd: ")]
    assert len(sentences) == 1
    assert not any("Traceback" in line for line in said)
    assert picture(house.state) == before
    return sentences[0]


def some_trades(house: Daemon, frames: int = 40) -> None:
    """Wait until there is something in the ledger to lose, of this start: the main file has what came before."""
    with house.client() as client:
        before = client.call("journal.head")["seq"]
        ask(client, "journal.head", lambda head: head["seq"] > before + frames)


def filled_and_killed(house: Daemon) -> None:
    """Let it trade, and kill it, so that the WAL holds what the main file does not."""
    house.start()
    some_trades(house)
    house.kill()


# --------------------------------------------------------------------------------------------------- two, and the first


def test_f18_a_second_daemon_is_refused_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    """On the same state folder, also where somebody removed the lock's file; a lock left by a dead process is none."""
    with trading(tmp_path) as first:
        first.state.mkdir()
        (first.state / "ledger.lock").write_text("1\n")
        first.start()
        other = tmp_path / "other"
        other.mkdir()
        second = Daemon(other, "")
        second.config.write_text(
            first.config.read_text().replace(str(first.runtime), str(second.runtime)).replace('"bars', '"../bars')
            .replace('"restless.py', '"../restless.py'),
            "utf-8",
        )  # fmt: skip
        try:
            for _ in range(2):
                second.spawn()
                assert second.wait(20) == EXIT_CODES["LOCKED"]
                assert "runs on" in second.tail(1)
                said = [message.get("STATUS", "") for message in iter(lambda: second.manager.listen(0), None)]
                assert "starting: data" not in said, "at once: it has not begun to read what it would play"
                (first.state / "ledger.lock").unlink(missing_ok=True)
        finally:
            second.close()
        with first.client() as client:
            client.call("order.submit", request_id="undisturbed", **BUY)
        assert first.stop() == 0
        assert compare(first).difference == ""


def test_f19_a_main_file_restored_under_a_newer_wal_is_refused(tmp_path: Path) -> None:
    """Copied back from a quiet hour, with the WAL of the last one beside it; and moved without its WAL."""
    with trading(tmp_path) as house:
        house.start()
        some_trades(house)
        assert house.stop() == 0
        old = tmp_path / "old.db"
        shutil.copy(house.ledger, old)
        filled_and_killed(house)
        (house.state / "ledger.db-shm").unlink()
        newer = house.ledger.read_bytes()
        shutil.copy(old, house.ledger)
        refused(house, "FOREIGN_WAL")
        house.ledger.write_bytes(newer)
        (house.state / "ledger.db-wal").unlink()
        refused(house, "ROW_MISSING")


@pytest.mark.long
def test_f19_the_wal_of_another_ledger_is_refused(tmp_path: Path) -> None:
    """Both are ours, and each is whole; they do not belong together."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with trading(tmp_path) as house, trading(stranger) as other:
        filled_and_killed(house)
        (house.state / "ledger.db-shm").unlink()
        filled_and_killed(other)
        shutil.copy(other.state / "ledger.db-wal", house.state / "ledger.db-wal")
        refused(house, "FOREIGN_WAL")


# ----------------------------------------------------------------------------------------------------------- full disks


def states(house: Daemon) -> list[str]:
    """Return the trading states that the ledger knows, in order, with their reasons."""
    return [f"{event.new}: {event.reason}" for event in house.events(TradingStateChanged)]


def fill(path: Path, leave_mb: float) -> None:
    """Write ballast until so much room is left."""
    chunk = bytes(100_000)
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            room = os.statvfs(path.parent)
            left = room.f_bavail * room.f_frsize / 1e6 - leave_mb
            if left <= 0:
                return
            file.write(chunk[: max(4096, min(len(chunk), int(left * 1e6)))])


def test_f43_a_disk_that_fills_up(tmp_path: Path) -> None:
    """Entries are halted before it is full; full, nothing is promised and nothing half written; then it goes on."""
    with small_file_system(tmp_path / "small", 30) as folder, trading(tmp_path, service__disk_halt_mb="8",
            service__disk_reserve_mb="2") as house:  # fmt: skip
        house.state = folder / "state"
        house.write(house.config.read_text().split("\n", 3)[3])
        house.start()
        some_trades(house)
        assert (house.state / "reserve").stat().st_blocks * 512 >= 2_000_000
        ballast = folder / "ballast"
        with house.client() as client:
            fill(ballast, 6)
            ask(client, "status", lambda status: status["trading_state"] == "halted")
            answer = client.call("order.submit", request_id="while halted", **BUY)
            assert (answer["status"], answer["code"]) == ("denied", "HALTED")
            assert "MB left" in states(house)[-1]

            fill(ballast, 0)
            assert write_until_full(client) > 0
            ask(client, "status", lambda _: not (house.state / "reserve").exists())
            halted = examine(remains(house.state, tmp_path / "full"))
            assert halted.problems == []

            ballast.unlink()
            ask(client, "status", lambda status: status["journal"]["state"] == "ok")
            assert client.call("status")["trading_state"] == "halted"
            answer = ask_until_taken(client, "after")
            assert answer["status"] == "denied"
            client.call("resume", reason="there is room", request_id="resume")
            assert client.call("order.submit", request_id="traded", **BUY)["status"] == "new"
        assert house.stop() == 0, house.tail()
        assert examine(remains(house.state, tmp_path / "after")).problems == []
        assert compare(house).difference == ""


def write_until_full(client: Client, tries: int = 20_000) -> int:
    """Send orders until one is refused because nothing can be written; return how many it took."""
    for n in range(tries):
        try:
            client.call("order.submit", request_id=f"fill-{n}", **BUY)
        except CallError as error:
            if error.reason == "LEDGER_FULL":
                return n + 1
            if error.reason != "RATE_LIMITED":
                raise
            time.sleep(0.05)  # so many requests a second and not more
    message = "the disk was never full"
    raise AssertionError(message)


def ask_until_taken(client: Client, key: str, seconds: float = 10.0) -> Any:
    """Send the same order until the ledger takes it again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return client.call("order.submit", request_id=key, **BUY)
        except CallError as error:
            if error.reason not in {"LEDGER_FULL", "RATE_LIMITED"} or time.monotonic() > deadline:
                raise
        time.sleep(0.05)  # so many requests a second and not more


def test_f43_a_limit_of_file_size_is_a_full_disk(tmp_path: Path) -> None:
    """RLIMIT_FSIZE set under a running daemon, and lifted: what was refused was not done, and may be asked again."""
    with trading(tmp_path) as house:
        house.start()
        some_trades(house)
        assert house.process is not None
        with house.client() as client:
            limit_files(house.process.pid, (house.state / "ledger.db-wal").stat().st_size + 10_000)
            write_until_full(client)
            limit_files(house.process.pid, None)
            answer = ask_until_taken(client, "again")
            assert (answer["status"], answer["code"]) == ("denied", "HALTED")
            assert client.call("order.submit", request_id="again", **BUY) == answer
        assert house.stop() == 0, house.tail()
        assert states(house)[-1].startswith("halted: the disk of the ledger is full")
        assert examine(remains(house.state, tmp_path / "after")).problems == []
        assert compare(house).difference == ""


# --------------------------------------------------------------------------------------------------------- long readers


def test_f47_f48_a_long_reader_is_told_and_the_wal_comes_back(tmp_path: Path) -> None:
    """A reader that holds a snapshot keeps the WAL from being folded in: an alert says so; without it, it shrinks.

    And SQLite before 3.51.3, which can lose a WAL that two connections fold, is told; only the writer folds.
    """
    with trading(tmp_path, speed="max", journal__wal_max_mb="1", journal__snapshot_events="200") as house:
        house.start()
        reader = sqlite3.connect(f"file:{house.ledger}?mode=ro", uri=True, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM frame").fetchone()
            with house.client() as client:
                told = ask(client, "alerts", lambda alerts: [a for a in alerts["rows"] if "WAL" in str(a)])
                assert client.call("status")["journal"]["wal_bytes"] > 1_000_000
                assert len(told) == 1
            assert house.process is not None
            assert house.process.poll() is None
        finally:
            reader.close()
        assert house.stop() == 0
        wal = house.state / "ledger.db-wal"
        assert not wal.exists() or not wal.stat().st_size
        assert examine(house.ledger).problems == []
        said = [line for line in house.logged() if "WAL-reset bug" in line.get("detail", "")]
        assert bool(said) is has_wal_reset_bug(sqlite3.sqlite_version_info)


# --------------------------------------------------------------------------------------------------------------- damage


def flip(path: Path, at: int, size: int = 64) -> None:
    """Turn bits over in a file."""
    with path.open("r+b") as file:
        file.seek(at)
        data = file.read(size)
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in data))


def test_f49_bytes_flipped_in_a_page_are_found_at_the_start(tmp_path: Path) -> None:
    """In the row of an input, and in the head of a page: never a start on a ledger that is not what was written."""
    with trading(tmp_path) as house:
        house.start()
        some_trades(house, 60)
        assert house.stop() == 0
        whole = house.ledger.read_bytes()
        row = house.query("SELECT hash FROM frame ORDER BY seq LIMIT 1 OFFSET 20")[0][0]
        at = whole.index(row)
        for where, size, reason in ((at, 8, "CHAIN_BROKEN"), (at // PAGE * PAGE, 16, "LEDGER_CORRUPT")):
            flip(house.ledger, where, size)
            refused(house, reason)
            house.ledger.write_bytes(whole)


@pytest.mark.parametrize("what", ["row", "page"])
def test_f49_damage_in_the_part_that_a_start_leaves_out_halts(tmp_path: Path, what: str) -> None:
    """Found behind the start: a halt that says so and a critical alert, and nothing gives up over it."""
    checked = {f"daemon__journal__recovery__CHECKED_{name}": n for name, n in (("ROWS", 9), ("LEAST", 9), ("BYTES", 0))}
    with meddled(tmp_path, furnish(tmp_path, minutes=1440, speed="max"), **checked) as house:
        house.begin()
        some_trades(house, 600)
        assert house.stop() == 0
        row = house.query("SELECT hash FROM frame ORDER BY seq LIMIT 1 OFFSET 300")[0][0]  # far from what a start reads
        at = house.ledger.read_bytes().index(row)
        flip(house.ledger, at if what == "row" else at // PAGE * PAGE, 8)
        house.begin()
        with house.client() as client:
            ask(client, "status", lambda status: status["trading_state"] == "halted")
            assert "the ledger is damaged" in client.call("status")["state_reason"]
            assert ask(client, "alerts", lambda told: [a for a in told["rows"] if "the ledger is damaged" in str(a)])
        assert house.actor("records")["restarts"] == 0
        assert house.stop() == 0


@pytest.mark.long
@pytest.mark.parametrize("left", [0, 0.5])
def test_f49_a_wal_that_was_cut_short_is_refused(tmp_path: Path, left: float) -> None:
    """What was acknowledged is missing: nobody trades on what is left."""
    with trading(tmp_path) as house:
        filled_and_killed(house)
        wal = house.state / "ledger.db-wal"
        with wal.open("r+b") as file:
            file.truncate(int(wal.stat().st_size * left))
        (house.state / "ledger.db-shm").unlink()
        sentence = refused(house, "ROW_MISSING")
        assert "ledger" in sentence


@pytest.mark.parametrize("name", ["ledger.db", pytest.param("ledger.db-wal", marks=pytest.mark.long)])
def test_f49_a_ledger_deleted_while_the_daemon_runs_ends_it(tmp_path: Path, name: str) -> None:
    """Nothing more is promised; and the next start does not begin flat on a new ledger."""
    with trading(tmp_path) as house:
        house.start()
        some_trades(house)
        (house.state / name).unlink()
        assert house.wait(10) == BROKEN, house.tail()
        house.spawn()
        assert house.wait(20) in {EXIT_CODES["EMPTY_LEDGER"], EXIT_CODES["ROW_MISSING"]}, house.tail()


def test_f49_a_wal_cut_short_while_the_daemon_runs_ends_it(tmp_path: Path) -> None:
    """Rows that were acknowledged are gone from under it: no further acknowledgement, and no start without them."""
    with trading(tmp_path) as house:
        house.start()
        some_trades(house)
        os.truncate(house.state / "ledger.db-wal", 5000)
        assert house.wait(10) == BROKEN, house.tail()
        house.spawn()
        assert house.wait(20) == EXIT_CODES["ROW_MISSING"], house.tail()


def without_privileges() -> Callable[[], None]:
    """Return what makes a child of root heed permissions, as the daemon's own user would."""
    libc = ctypes.CDLL(None, use_errno=True)

    def drop() -> None:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; without them in the bounding set, exec drops
            libc.prctl(24, capability, 0, 0, 0)

    return drop


def test_f49_a_ledger_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """With mode 000: one sentence that says where and whose it should be."""
    with trading(tmp_path) as house:
        house.start()
        assert house.stop() == 0
        house.ledger.chmod(0)
        try:
            sentence = refused(house, "LEDGER_UNREADABLE", preexec=without_privileges())
        finally:
            house.ledger.chmod(0o600)
        assert str(house.state) in sentence


def test_f49_an_empty_ledger_where_there_was_one_is_refused(tmp_path: Path) -> None:
    """Moved away, or emptied: a daemon that began anew would forget its positions."""
    with trading(tmp_path) as house:
        house.start()
        assert house.stop() == 0
        house.ledger.write_bytes(b"")
        refused(house, "EMPTY_LEDGER")
        house.ledger.unlink()
        refused(house, "EMPTY_LEDGER")
