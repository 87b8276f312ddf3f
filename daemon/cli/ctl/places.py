"""Where the daemon's socket may be, in the order in which the daemon itself would choose.

Paths are text here: pathlib costs a kill a tenth of its start.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Mapping
from typing import Final

from daemon.cli.ctl.errors import NotRunningError, UnreachableError
from daemon.kernel.errors import RefusedError, UsageError

SOCKET: Final = "control.sock"
_START: Final = "start it (systemctl start tradingd, or tradingd run --config FILE)"
_CROWDED_S: Final = 0.002
_PATH_BYTES_MAX: Final = 107  # sun_path is 108 bytes with its terminating zero, unix(7)


def candidates(explicit: str | None, environ: Mapping[str, str]) -> list[str]:
    """Return the paths to try: the one that was named, or else the daemon's possible defaults.

    A runtime directory may be a list (systemd joins several by colons); so may a state directory.
    """
    named = explicit or environ.get("TRADINGD_SOCKET", "")
    if named:
        return [os.path.expanduser(named)]  # noqa: PTH111 - see above
    folders = [*_listed(environ, "RUNTIME_DIRECTORY"), "/run/tradingd"]
    folders += [f"{folder}/tradingd" for folder in _listed(environ, "XDG_RUNTIME_DIR")]
    states = _listed(environ, "STATE_DIRECTORY") or [os.path.expanduser("~/.local/state/tradingd")]  # noqa: PTH111
    folders += [f"{state}/run" for state in states]
    return list(dict.fromkeys(f"{folder}/{SOCKET}" for folder in folders))


def _listed(environ: Mapping[str, str], name: str) -> list[str]:
    return [part.rstrip("/") or "/" for part in environ.get(name, "").split(":") if part]


def find(paths: list[str]) -> str:
    """Return the first path at which a socket lies.

    A socket of a dead daemon counts: falling through to another daemon could send a command to the wrong one.

    Raises:
        NotRunningError: there is none, naming the places looked at.
        RefusedError: there is none that we may look at.
    """
    forbidden = ""
    for path in paths:
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
                return path
        except PermissionError:
            forbidden = forbidden or path
        except (OSError, ValueError):
            continue
    if forbidden:
        raise _may_not(forbidden)
    raise NotRunningError(
        f"the daemon is not running: there is no control socket at {', '.join(paths)}",
        remedy=f"{_START}, or name its socket with --socket or TRADINGD_SOCKET",
    )


def _may_not(path: str) -> RefusedError:
    group = _group_of(path)
    named = f"the group {group}, whose the socket is" if group else "the group [control] viewer_group"
    remedy = f"ask for membership in {named}, or run this as the daemon's user"
    return RefusedError(f"this user may not open {path}", code="PERMISSION", remedy=remedy)


def _group_of(path: str) -> str:
    """Return the group whose members may connect, which operators and admins have to be in as well; "" for none."""
    import grp  # costs a start; whoever comes here is refused already

    try:
        found = os.stat(path)  # noqa: PTH116
        return grp.getgrgid(found.st_gid).gr_name if found.st_mode & stat.S_IWGRP else ""
    except (OSError, KeyError):
        return ""


def connect(path: str, timeout_s: float) -> socket.socket:
    """Return a connected socket.

    Raises:
        NotRunningError: nobody listens there.
        RefusedError: this user may not.
        UnreachableError: the daemon does not take the connection.
        UsageError: the path is too long for a socket.
    """
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise UsageError(f"{path} is longer than the {_PATH_BYTES_MAX} bytes a socket's path may have")
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(max(timeout_s, 0.001))
    until = time.monotonic() + timeout_s
    try:
        # A socket with a time-out does not wait for room in a full backlog, so we do: others may crowd in, too.
        while (code := link.connect_ex(path)) == errno.EAGAIN and time.monotonic() < until:
            time.sleep(_CROWDED_S)
    except BaseException:
        link.close()
        raise
    if code:
        link.close()
        raise _explained(path, OSError(code, os.strerror(code)))
    return link


def _explained(path: str, error: OSError) -> NotRunningError | RefusedError | UnreachableError:
    if isinstance(error, PermissionError):
        return _may_not(path)
    if error.errno in {errno.ECONNREFUSED, errno.ENOENT, errno.ENOTSOCK, errno.EPROTOTYPE}:
        left = "nobody listens on" if error.errno == errno.ECONNREFUSED else "there is no control socket at"
        return NotRunningError(f"the daemon is not running: {left} {path}", remedy=_START)
    # A full backlog shows as a time-out or as EAGAIN: somebody holds the socket and does not take connections.
    return UnreachableError(
        f"the daemon does not take the connection at {path} ({error.strerror or 'time-out'})",
        remedy="look at its log; `tradingctl kill` needs no answer",
    )
