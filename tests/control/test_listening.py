"""The control socket in the file system."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
from pathlib import Path

import pytest

from daemon.control.limits import ServerLimits
from daemon.control.listening import SocketTakenError, listen, remove
from daemon.kernel.errors import ConfigError
from tests.control.parts import DEADLINE_S, running, until


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


def test_without_a_group_it_is_the_owners_alone(folder: Path) -> None:
    """And nothing else is left in the folder; the mask for new files is what it was."""
    mask = os.umask(0o022)
    try:
        listen(folder / "s", None).close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
    assert mode(folder / "s") == 0o600
    assert [path.name for path in folder.iterdir()] == ["s"]


def test_with_a_group_it_is_shared_with_that(folder: Path) -> None:
    """0660, and the group is the one that was asked for."""
    group = 54321 if os.getuid() == 0 else os.getgid()
    listen(folder / "s", group).close()
    assert mode(folder / "s") == 0o660
    assert (folder / "s").lstat().st_gid == group


def test_there_is_no_moment_in_which_others_could_connect(folder: Path) -> None:
    """Watched while it is made: no name in the folder ever allows others anything, and the final name is whole."""
    seen: set[tuple[str, int]] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for path in folder.iterdir():
                try:
                    seen.add((path.name, mode(path)))
                except FileNotFoundError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(100):
        listen(folder / "s", os.getgid()).close()
    stop.set()
    watcher.join(DEADLINE_S)
    assert {bits & 0o007 for _, bits in seen} == {0}
    assert {bits for name, bits in seen if name == "s"} == {0o660}


def test_the_socket_of_a_dead_daemon_is_replaced(folder: Path) -> None:
    """Nobody listens there any more."""
    listen(folder / "s", None).close()
    before = (folder / "s").lstat().st_ino
    with listen(folder / "s", None), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "s"))
        assert (folder / "s").lstat().st_ino != before


def test_a_live_daemon_is_not_disturbed(folder: Path) -> None:
    """The second one is refused with the code of a lock, even where the first one's queue is full."""
    with listen(folder / "s", None) as first:
        with pytest.raises(SocketTakenError, match="another daemon") as caught:
            listen(folder / "s", None)
        assert (caught.value.exit_code, caught.value.code) == (75, "LOCKED")
        first.listen(0)
        clients = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            try:
                client.connect(str(folder / "s"))
            except BlockingIOError:
                break
        with pytest.raises(SocketTakenError):
            listen(folder / "s", None)
        for client in clients:
            client.close()


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_something_else_of_that_name_is_left_alone(folder: Path, what: str) -> None:
    """It is not ours to remove."""
    path = folder / "s"
    {"file": path.touch, "folder": path.mkdir, "link": lambda: path.symlink_to("nowhere")}[what]()
    with pytest.raises(ConfigError, match="is no socket"):
        listen(path, None)
    assert os.path.lexists(path)


def test_a_folder_that_others_may_write_is_refused(folder: Path) -> None:
    """They could put a socket of their own there and be told everything."""
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write"):
        listen(folder / "s", None)
    folder.chmod(0o770)
    with pytest.raises(ConfigError, match="others may write"):
        listen(folder / "s", None)


def test_a_folder_that_is_not_there_and_a_path_that_is_too_long(folder: Path) -> None:
    """A sentence that says what to do, and the code of a configuration mistake."""
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        listen(folder / "absent" / "s", None)
    assert caught.value.exit_code == 78
    with pytest.raises(ConfigError, match="longer than"):
        listen(folder / ("x" * 100) / "s", None)


@pytest.mark.skipif(os.getuid() == 0, reason="root may give a socket to any group")
def test_a_group_that_the_daemon_is_not_in_is_refused(folder: Path) -> None:
    """And nothing is left behind."""
    with pytest.raises(ConfigError, match="cannot be made"):
        listen(folder / "s", 54321)
    assert list(folder.iterdir()) == []


def test_a_name_that_cannot_be_bound_is_a_sentence(folder: Path) -> None:
    """Something lies where it would be made."""
    (folder / ".s.new" / "s").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be made"):
        listen(folder / "s", None)


@pytest.mark.parametrize("left", ["folder", "socket", "empty"])
def test_what_a_start_that_was_broken_off_left_is_cleared_up(folder: Path, left: str) -> None:
    """Killed between any two steps, it is not in the way of the next one."""
    alone = folder / ".s.new"
    if left != "socket":
        alone.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as old:
        if left != "empty":
            old.bind(str(alone / "s" if left == "folder" else alone))
    listen(folder / "s", None).close()
    assert [path.name for path in folder.iterdir()] == ["s"]


def test_the_mask_for_new_files_of_the_other_threads_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to the whole process, and a socket is made again while that trades."""
    monkeypatch.setattr(os, "umask", None)
    listen(folder / "s", None).close()
    assert mode(folder / "s") == 0o600


@pytest.mark.parametrize("what", ["socket", "folder"])
def test_a_socket_that_is_taken_away_is_made_again(what: str) -> None:
    """With the same mode, told once, reachable; connections from before go on; gone again, it comes again."""
    told: list[tuple[str, bool]] = []
    with running(ServerLimits(hello_s=0.1)) as daemon, daemon.client() as before:
        daemon.server._on_gone = lambda *said: told.append(said)
        daemon.server._make_folder = lambda: (daemon.folder / "run").mkdir(0o750)
        moved = daemon.folder / "elsewhere"
        for n in (1, 2):
            if what == "folder":
                if n == 2:
                    shutil.rmtree(daemon.path.parent)
                daemon.server._path = daemon.path = daemon.folder / "run" / "control.sock"
            else:
                daemon.path.rename(moved)
            until(lambda n=n: len(told) == n, f"{told} are not {n}")
            assert told[-1][1]
            assert mode(daemon.path) == 0o600
            with daemon.client() as after:
                assert after.ask("status")["result"]
        assert before.ask("status")["result"]


def test_a_socket_that_cannot_be_made_again_is_told_once_and_tried_again() -> None:
    """Whatever lies in its place is not ours to remove; when it is gone the socket is there again."""
    told: list[tuple[str, bool]] = []
    with running(ServerLimits(hello_s=0.1)) as daemon:
        daemon.server._on_gone = lambda *said: told.append(said)
        daemon.path.unlink()
        daemon.path.mkdir()
        until(lambda: len(told) == 1, "it was not told")
        assert "is no socket" in told[0][0]
        assert not told[0][1]
        daemon.server._bind_at = 0.0
        until(lambda: daemon.server._bind_at > 0.0, "it was not tried again")
        daemon.path.rmdir()
        until(lambda: len(told) == 2, "it was not made again")
        assert told[1][1]
        with daemon.client() as after:
            assert after.ask("status")["result"]


def test_only_ones_own_socket_is_removed(folder: Path) -> None:
    """Another daemon's stays."""
    path = folder / "s"
    listen(path, None).close()
    ours = path.lstat().st_ino
    remove(path, ours + 1)
    assert path.exists()
    remove(path, ours)
    remove(path, ours)
    assert not path.exists()
