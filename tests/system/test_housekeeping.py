"""Room on the disk: watched, kept in reserve, given up, taken again; a WAL that cannot be folded is told once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.system import housekeeping
from daemon.system.housekeeping import MEGABYTE, RESERVE, Disk, FeedWatch, WalWatch


class FileSystem:
    """How much room the operating system says there is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free_mb: int) -> None:
        self.free_mb = free_mb
        monkeypatch.setattr(housekeeping.os, "statvfs", self.statvfs)

    def statvfs(self, path: object) -> SimpleNamespace:
        """Answer as the system call does."""
        return SimpleNamespace(f_bavail=self.free_mb, f_frsize=MEGABYTE)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> FileSystem:
    """Return a file system with plenty of room."""
    return FileSystem(monkeypatch, 1_000)


def test_a_reserve_is_blocks_and_not_a_hole(tmp_path: Path, room: FileSystem) -> None:
    """Giving it up frees room: it was really allocated. It is for the daemon's user alone."""
    disk = Disk(tmp_path, halt_mb=100, reserve_mb=2)
    assert disk.prepare()
    found = (tmp_path / RESERVE).stat()
    assert found.st_blocks * 512 >= 2 * MEGABYTE
    assert found.st_mode & 0o777 == 0o600
    assert disk.prepare()
    assert disk.release()
    assert not (tmp_path / RESERVE).exists()
    assert not disk.release()


def test_a_reserve_that_is_too_small_grows(tmp_path: Path, room: FileSystem) -> None:
    """It was cut short, or the configuration asks for more now."""
    (tmp_path / RESERVE).write_bytes(b"short")
    assert Disk(tmp_path, halt_mb=0, reserve_mb=1).prepare()
    assert (tmp_path / RESERVE).stat().st_blocks * 512 >= MEGABYTE


def test_without_plenty_of_room_there_is_no_reserve(tmp_path: Path, room: FileSystem) -> None:
    """A reserve of a quarter of what is free, or nothing; none where none is asked for."""
    room.free_mb = 7
    assert not Disk(tmp_path, halt_mb=0, reserve_mb=2).prepare()
    room.free_mb = 8
    assert Disk(tmp_path, halt_mb=0, reserve_mb=2).prepare()
    assert not Disk(tmp_path / "elsewhere", halt_mb=0, reserve_mb=0).prepare()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("call", ["posix_fallocate", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP])
def test_a_disk_that_allocates_nothing_does_not_keep_the_daemon_from_starting(
    tmp_path: Path, room: FileSystem, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Full but for what statvfs says, over quota, without allocation: there is no reserve, and no trace of one."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(housekeeping.os, call, refuse)
    disk = Disk(tmp_path, halt_mb=100, reserve_mb=2)
    assert not disk.prepare()
    assert not disk.look().low
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, room: FileSystem) -> None:
    """Somebody else's file must not be filled up."""
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / RESERVE).symlink_to(other)
    assert not Disk(tmp_path, halt_mb=0, reserve_mb=1).prepare()
    assert other.read_bytes() == b"mine"


def test_little_room_is_told_with_both_numbers(tmp_path: Path, room: FileSystem) -> None:
    """Below the level trading has to stop; at 0 the level is off."""
    disk = Disk(tmp_path, halt_mb=100, reserve_mb=0)
    assert not disk.look().low
    room.free_mb = 99
    state = disk.look()
    assert state.low
    assert state.free_mb == 99
    assert state.sentence == f"the disk of {tmp_path.name} has 99 MB left, less than the 100 MB to trade on"
    assert not Disk(tmp_path, halt_mb=0, reserve_mb=0).look().low


def test_a_reserve_that_was_given_up_is_taken_again_when_there_is_plenty(tmp_path: Path, room: FileSystem) -> None:
    """Not before: what was freed must not be taken back from the ledger at once."""
    disk = Disk(tmp_path, halt_mb=0, reserve_mb=2)
    disk.prepare()
    room.free_mb = 0
    disk.release()
    room.free_mb = 2
    disk.look()
    assert not (tmp_path / RESERVE).exists()
    room.free_mb = 500
    disk.look()
    assert (tmp_path / RESERVE).exists()


def test_a_wal_that_a_reader_keeps_from_being_folded_is_told_once_each_time() -> None:
    """Only where it is large and blocked; folded in, it may be told of again."""
    watch = WalWatch(64)
    assert watch.look(100 * MEGABYTE, 0) == ""
    assert watch.look(63 * MEGABYTE, 5) == ""
    assert "64 MB" in watch.look(64 * MEGABYTE, 5)
    assert watch.look(65 * MEGABYTE, 5) == ""
    assert watch.look(10 * MEGABYTE, 5) == ""  # smaller, and blocked still
    assert watch.look(70 * MEGABYTE, 5) == ""
    assert watch.look(70 * MEGABYTE, 0) == ""
    assert "70 MB" in watch.look(70 * MEGABYTE, 9)


# -- a feed that is silent ---------------------------------------------------------------------------------------------


def test_a_feed_that_owes_data_for_too_long_is_stale_and_told_once_each_time() -> None:
    """Told when its silence begins to count, and when it is over; 0 switches it off."""
    watch = FeedWatch("playback", staleness_ms=2_000)
    assert (watch.look(1.9), watch.stale) == ("", False)
    assert watch.look(2.5) == "the feed playback owes data and has been silent for 2.5 s"
    assert watch.stale
    assert (watch.look(60.0), watch.stale) == ("", True)
    assert (watch.look(0.0), watch.stale) == ("", False)
    assert watch.look(3.0)
    off = FeedWatch("playback", staleness_ms=0)
    assert (off.look(1e6), off.stale) == ("", False)
