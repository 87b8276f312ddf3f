"""Who is at the other end of the socket, as the kernel says, and what they may do.

The kernel noted uid, gid and supplementary groups when the peer connected (SO_PEERCRED, SO_PEERGROUPS): they cannot be
forged and do not change with a pid that is used again. Where the kernel cannot tell the groups, the user's groups of
the system's database count.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.control.calls import Peer, Role
from daemon.kernel.errors import ConfigError

SO_PEERGROUPS: Final = 59
"""linux/asm-generic/socket.h, since Linux 4.13; the socket module does not name it."""
_UCRED: Final = struct.Struct("3i")
_GROUPS_BYTES: Final = 1024  # the most that getsockopt takes from Python: 256 groups
_OVERFLOW_FILE: Final = Path("/proc/sys/kernel/overflowuid")
_OVERFLOW_UID: Final = 65534


@dataclass(frozen=True, slots=True)
class Groups:
    """Which groups stand for which role, as numbers; None for nobody. Root and the daemon's own user are admins."""

    admin: int | None = None
    operator: int | None = None
    viewer: int | None = None

    @classmethod
    def named(cls, *, admin: str = "", operator: str = "", viewer: str = "") -> Groups:
        """Look the names up; "" is nobody.

        Raises:
            ConfigError: the system has no such group.
        """
        return cls(_gid("admin_group", admin), _gid("operator_group", operator), _gid("viewer_group", viewer))

    @property
    def widest(self) -> int | None:
        """Return the group that the socket should belong to: one can be set, so the least trusted that is named.

        Members of the other groups must be in it as well, or the kernel lets them not even connect.
        """
        return next((gid for gid in (self.viewer, self.operator, self.admin) if gid is not None), None)


def peer_of(connection: socket.socket, groups: Groups) -> Peer:
    """Return who connected. A peer that nothing is known of has the role NONE.

    Raises:
        OSError: the kernel does not say who it is.
    """
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(uid, gid, pid, role_of(uid, (gid, *_supplementary(connection, uid, gid)), groups))


def role_of(
    uid: int, gids: tuple[int, ...], groups: Groups, *, own: int | None = None, nobody: int | None = None
) -> Role:
    """Return the highest role that a uid and its groups have.

    Args:
        uid: of the peer.
        gids: all its groups.
        groups: what they stand for.
        own: the daemon's own uid, by default the effective one.
        nobody: what every user from outside a user namespace looks like, by default the kernel's overflow uid: it is
            never taken for the daemon's own user.
    """
    own = os.geteuid() if own is None else own
    nobody = overflow_uid() if nobody is None else nobody
    if uid == 0 or (uid == own and uid != nobody):
        return Role.ADMIN
    for role, gid in ((Role.ADMIN, groups.admin), (Role.OPERATOR, groups.operator), (Role.VIEWER, groups.viewer)):
        if gid is not None and gid in gids:
            return role
    return Role.NONE


def overflow_uid() -> int:
    """Return the uid under which the kernel shows users that have no number here."""
    try:
        return int(_OVERFLOW_FILE.read_text("ascii"))
    except (OSError, ValueError):
        return _OVERFLOW_UID


def _supplementary(connection: socket.socket, uid: int, gid: int) -> tuple[int, ...]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:  # an older kernel, or more groups than fit
        return _from_database(uid, gid)
    return struct.unpack(f"{len(raw) // 4}I", raw)


def _from_database(uid: int, gid: int) -> tuple[int, ...]:
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except (KeyError, OSError):
        return ()


def _gid(key: str, name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"[control] {key} names the group {name!r}, which this system does not have",
            code="UNKNOWN_GROUP",
            remedy="create the group or leave the key empty",
        ) from None
