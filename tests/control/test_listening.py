"""The control socket in the file system."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from daemon.control.listening import SocketTakenError, listen, remove
from daemon.kernel.errors import ConfigError
from tests.control.parts import DEADLINE_S


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
    (folder / ".s.new").mkdir()
    with pytest.raises(ConfigError, match="cannot be made"):
        listen(folder / "s", None)


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
