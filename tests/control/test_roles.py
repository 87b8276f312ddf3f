"""Who is at the other end, and what they may do."""

from __future__ import annotations

import grp
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.control.calls import Role
from daemon.control.roles import SO_PEERGROUPS, Groups, _supplementary, overflow_uid, peer_of, role_of
from daemon.kernel.errors import ConfigError
from tests.control.parts import DEADLINE_S

GROUPS = Groups(admin=100, operator=200, viewer=300)


@pytest.mark.parametrize(
    ("uid", "gids", "role"),
    [
        (0, (), Role.ADMIN),
        (50, (), Role.ADMIN),
        (51, (), Role.NONE),
        (51, (999,), Role.NONE),
        (51, (300,), Role.VIEWER),
        (51, (200,), Role.OPERATOR),
        (51, (100,), Role.ADMIN),
        (51, (300, 200), Role.OPERATOR),
        (51, (300, 200, 100), Role.ADMIN),
        (51, (0,), Role.NONE),
        (65534, (), Role.NONE),
    ],
)
def test_roles_by_uid_and_groups(uid: int, gids: tuple[int, ...], role: Role) -> None:
    """Root and the daemon's own user are admins; the highest group counts; root's group is nothing by itself."""
    assert role_of(uid, gids, GROUPS, own=50, nobody=65534) is role


def test_a_daemon_that_runs_as_nobody_does_not_take_everybody_for_itself() -> None:
    """In a user namespace every stranger looks like the overflow user."""
    assert role_of(65534, (), Groups(), own=65534, nobody=65534) is Role.NONE
    assert role_of(65534, (300,), GROUPS, own=65534, nobody=65534) is Role.VIEWER


def test_no_group_is_no_role() -> None:
    """An empty key gives nobody anything; gid 0 is not "no group"."""
    assert role_of(51, (0, 1, 2), Groups(), own=50) is Role.NONE
    assert Groups.named() == Groups()
    assert Groups().widest is None
    assert GROUPS.widest == 300
    assert Groups(admin=100).widest == 100


def test_groups_are_looked_up_by_name() -> None:
    """A name that the system does not have stops the start, with a sentence."""
    name = grp.getgrgid(0).gr_name
    assert Groups.named(operator=name) == Groups(operator=0)
    with pytest.raises(ConfigError, match="no-such-group") as caught:
        Groups.named(viewer="no-such-group")
    assert caught.value.exit_code == 78


def test_the_overflow_uid_is_a_number() -> None:
    """The kernel's, or its default where /proc is not there."""
    assert overflow_uid() > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.control.roles._OVERFLOW_FILE", Path("absent"))
        assert overflow_uid() == 65534


def test_the_kernel_says_who_connected(folder: Path) -> None:
    """This process: its uid, gid, pid, and as an admin, because it is its own user."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(folder / "s"))
        listener.listen()
        client.connect(str(folder / "s"))
        connection, _ = listener.accept()
        with connection:
            peer = peer_of(connection, Groups())
            assert (peer.uid, peer.gid, peer.pid, peer.role) == (os.getuid(), os.getgid(), os.getpid(), Role.ADMIN)
            assert peer.by == f"uid {os.getuid()} pid {os.getpid()}"
            assert set(_supplementary(connection, peer.uid, peer.gid)) == set(os.getgroups())


def test_where_the_kernel_does_not_tell_groups_the_database_does() -> None:
    """An older kernel: the user's groups are looked up; an unknown user has none."""

    class Old:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert (level, option, size) == (socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
            raise OSError

    root = _supplementary(Old(), 0, 0)  # type: ignore[arg-type]
    assert 0 in root
    assert _supplementary(Old(), 4_000_000_000, 5) == ()  # type: ignore[arg-type]


CONNECT = """
import os, socket, sys
os.setgroups([int(word) for word in sys.argv[3].split(",") if word])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
link.recv(1)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="taking another user's identity needs root")
@pytest.mark.parametrize(
    ("groups", "role"), [("", Role.NONE), ("54321", Role.VIEWER), ("54321,54322", Role.OPERATOR), ("54323", Role.ADMIN)]
)
def test_supplementary_groups_of_a_real_peer_count(folder: Path, groups: str, role: Role) -> None:
    """A process of another user connects; its groups are those it had when it did."""
    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE_S)
        listener.bind(str(folder / "s"))
        (folder / "s").chmod(0o666)
        listener.listen()
        with subprocess.Popen([sys.executable, "-c", CONNECT, str(folder / "s"), "54320", groups]) as process:
            try:
                connection, _ = listener.accept()
                with connection:
                    peer = peer_of(connection, Groups(admin=54323, operator=54322, viewer=54321))
                    assert (peer.uid, peer.gid, peer.pid) == (54320, 54320, process.pid)
                    assert peer.role is role, json.dumps(groups)
            finally:
                process.kill()
