"""The control socket in the file system: made without a moment in which the wrong people could connect."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Final, NamedTuple

from daemon.kernel.errors import ConfigError, OperatorError

PATH_BYTES_MAX: Final = 107
"""sun_path is 108 bytes with its end, unix(7)."""
MODE: Final = 0o660
MODE_ALONE: Final = 0o600
"""Without a group to share it with."""
BACKLOG: Final = 256
"""Connections that wait to be taken in. A client whose connect does not block is told EAGAIN beyond it."""


class Words(NamedTuple):
    """How a socket's owner calls things in front of people.

    Attributes:
        socket: what is made; other: who may listen there already.
        key: where its path comes from; groups: where the group does.
    """

    socket: str
    other: str
    key: str
    groups: str


CONTROL: Final = Words("the control socket", "another daemon", "[paths] runtime_dir", "the groups of [control]")


class SocketTakenError(OperatorError):
    """Somebody listens there already."""

    exit_code = 75


def listen(path: Path, group: int | None, words: Words = CONTROL) -> socket.socket:
    """Return a listening socket at ``path``, which replaces that of a dead daemon.

    It is bound inside a folder that only the owner may enter, given its group and mode, made to listen, and only then
    moved into place. The mask for new files, which belongs to all threads, stays as it is: any thread may call this.

    Args:
        path: of the socket, such as ``runtime_dir/control.sock``.
        group: gid whose members may connect, None for nobody but the owner and root.
        words: how it is called where it cannot be made.

    Raises:
        SocketTakenError: a live daemon listens there.
        ConfigError: the folder or the path cannot hold it.
    """
    _check_place(path, words)
    _check_free(path, words)
    alone = path.with_name(f".{path.name}.new")
    new = alone / "s"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _clear(alone)
        alone.mkdir(0o700)
        listener.bind(os.fspath(new))
        if group is not None and new.lstat().st_gid != group:  # sandboxes forbid even to give what is theirs
            os.chown(new, -1, group, follow_symlinks=False)
        new.chmod(MODE if group is not None else MODE_ALONE)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        new.rename(path)
        with contextlib.suppress(OSError):  # the socket is in its place; the next start clears up
            alone.rmdir()
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            _clear(alone)
        raise ConfigError(
            f"{words.socket} {path} cannot be made: {error.strerror or error}",
            code="SOCKET_UNUSABLE",
            remedy=f"let the folder that {words.key} names be the user's own, and the user be in {words.groups}",
        ) from error
    return listener


def remove(path: Path, inode: int) -> None:
    """Remove the socket where it is still ours."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _clear(alone: Path) -> None:
    """Remove what a start that was broken off has left."""
    try:
        alone.unlink()  # of a version that had no folder
    except FileNotFoundError:
        return
    except OSError:  # a folder; whatever else it is, the next line says so
        (alone / "s").unlink(missing_ok=True)
        alone.rmdir()


def _check_place(path: Path, words: Words) -> None:
    if len(os.fsencode(path)) + len("..new/s") > PATH_BYTES_MAX:
        raise ConfigError(
            f"the path of {words.socket} {path} is longer than a socket's name may be",
            code="SOCKET_PATH_TOO_LONG",
            remedy=f"choose a shorter {words.key}",
        )
    try:
        folder = path.parent.stat()
    except OSError as error:
        raise ConfigError(
            f"the folder of {words.socket} {path.parent} cannot be used: {error.strerror}",
            code="SOCKET_UNUSABLE",
            remedy=f"make the folder, or name another in {words.key}",
        ) from error
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or folder.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"others may write into {path.parent}, and could put their own socket there",
            code="SOCKET_FOLDER_OPEN",
            remedy=f"chmod go-w {path.parent} and let it be the user's own, or name another in {words.key}",
        )


def _check_free(path: Path, words: Words) -> None:
    """Refuse where somebody listens, or where something lies that is no socket."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise ConfigError(
            f"{path} is there and is no socket",
            code="SOCKET_UNUSABLE",
            remedy="look at what it is and move it away",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            return
        except OSError:
            pass  # a full queue, or not ours to ask: somebody is there
    raise SocketTakenError(
        f"{words.other} listens on {path}",
        code="LOCKED",
        remedy=f"stop it first, or give this one another {words.key}",
    )
