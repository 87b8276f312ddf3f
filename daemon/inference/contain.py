"""What keeps Ray to itself: a scrubbed environment, a token, loopback, an end that comes with its parent's.

Ray executes whatever somebody who reaches its ports and knows its token sends it, so neither may be within reach. Linux
only, by the calls themselves where Python has no words for them.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from daemon.kernel.errors import OperatorError

PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
"""Variables that a child of the host gets; everything else, and with it every secret, stays behind."""
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_LISTEN: Final = "0A"
GUARD_TRIES: Final = 50
GUARD_AGAIN_S: Final = 0.1


def scrubbed(environ: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: a few harmless variables of ours, and ``extra``."""
    return {name: environ[name] for name in PASSED_ON if name in environ} | dict(extra)


def write_token(path: Path) -> None:
    """Make a new token that its owner alone can read, from the first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies; at once where it has died already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def private_network() -> None:
    """Move this process, which must have one thread, into a network namespace of its own with loopback alone.

    Where there is nothing but loopback already, as under systemd's PrivateNetwork, nothing has to be done.

    Raises:
        OperatorError: the kernel or a sandbox does not let us.
    """
    if [name for _, name in socket.if_nameindex()] == ["lo"]:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNET):
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
            raise OperatorError(
                f"Ray cannot get a network of its own here: {os.strerror(ctypes.get_errno())}",
                code="NO_PRIVATE_NETWORK",
                remedy='run it as tradingd-inference.service, or set [inference.ray] network = "loopback"',
            )
        for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(line, "ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def session_of(leader: int) -> list[int]:
    """Return the processes of a session without its leader: what Ray starts stays in the one it is started in."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and int(path.name) != leader:
            with suppress(OSError, ValueError, IndexError):
                fields = (path / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(path.name))
    return found


def kill_session(leader: int) -> None:
    """Kill what a session's leader has left."""
    for pid in session_of(leader):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def guard_session(keep: Iterable[int], folder: str = "") -> None:
    """Leave a small process behind that waits for this session leader's end and then kills what is left of its session.

    Ray's agents outlive a raylet and a driver that are killed together. Call it while the process has one thread.

    Args:
        keep: descriptors that are the leader's alone: whoever holds their other end must see it go.
        folder: removed at the end where the leader's parent has gone, too, and cannot do it; "" for none. Nobody else
            may ever have one by this name.
    """
    leader, parent = os.getpid(), os.pidfd_open(os.getppid())
    if os.fork():
        os.close(parent)
        return
    try:
        os.setsid()
        for fd in keep:
            os.close(fd)
        with suppress(ProcessLookupError):
            select.select([os.pidfd_open(leader)], [], [])
        for _ in range(GUARD_TRIES):
            kill_session(leader)
            if not session_of(leader):
                break
            time.sleep(GUARD_AGAIN_S)
        if folder and select.select([parent], [], [], 0)[0]:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def exposed(pids: Iterable[int]) -> list[str]:
    """Return the addresses beyond loopback on which processes of this network namespace listen.

    Raises:
        OperatorError: a sandbox does not let us look, so that nobody knows.
    """
    inodes = set()
    for pid in pids:
        try:
            entries = list(Path(f"/proc/{pid}/fd").iterdir())
        except PermissionError:
            raise OperatorError(
                f"what process {pid} of Ray listens on cannot be seen here",
                code="RAY_UNSEEN",
                remedy='set [inference.ray] network = "private", or run the host with a /proc that shows its processes',
            ) from None
        except OSError:  # it has ended meanwhile
            continue
        for entry in entries:
            with suppress(OSError):
                inodes.add(str(entry.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a machine without IPv6
            for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                address, port = listener_address(fields[1])
                if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in inodes and not is_loopback(address):
                    found.append(f"{address} port {port}")
    return found


def listener_address(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """Return address and port of ``/proc/net/tcp``: words of 32 bits in the machine's order, in hexadecimal."""
    words, _, port = text.partition(":")
    packed = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    return ipaddress.ip_address(packed), int(port, 16)


def is_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether nobody but this machine can reach an address; ``::ffff:127.0.0.1`` is 127.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
