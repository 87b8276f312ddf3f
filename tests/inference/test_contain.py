"""What keeps Ray to itself, piece by piece: environment, token, loopback, and an end with its parent's."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.inference.contain import exposed, is_loopback, listener_address, scrubbed, session_of, write_token
from daemon.inference.options import autosize, available_mb
from tests.inference.support import ROOT, until


def test_only_harmless_variables_are_passed_on() -> None:
    """Whatever else there is stays; what is given on top wins."""
    environ = {
        "PATH": "/bin",
        "TZ": "UTC",
        "APCA_API_SECRET_KEY": "s",
        "CREDENTIALS_DIRECTORY": "/c",
        "LD_PRELOAD": "x",
    }
    assert scrubbed(environ, {"HOME": "/h", "TZ": "CET"}) == {"PATH": "/bin", "TZ": "CET", "HOME": "/h"}


def test_a_token_is_new_and_its_owners_alone_whatever_the_mask(tmp_path: Path) -> None:
    """Mode 0600 even under umask 0, in place of one that somebody left there, which is not written through."""
    path, elsewhere = tmp_path / "token", tmp_path / "elsewhere"
    elsewhere.write_text("mine", "ascii")
    path.symlink_to(elsewhere)
    before = os.umask(0)
    try:
        write_token(path)
        first = path.read_text("ascii")
        write_token(path)
    finally:
        os.umask(before)
    assert not path.is_symlink()
    assert elsewhere.read_text("ascii") == "mine"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) == len(path.read_text("ascii")) == 64
    assert first != path.read_text("ascii")


@pytest.mark.parametrize(
    ("address", "port", "words"),
    [
        ("127.0.0.1", 8080, ["7f000001"]),
        ("::ffff:127.0.0.1", 1, ["0", "0", "0000ffff", "7f000001"]),
        ("::", 9, ["0"] * 4),
    ],
)
def test_addresses_of_the_kernels_tables_are_read(address: str, port: int, words: list[str]) -> None:
    """Words of 32 bits in the machine's own order."""
    told = "".join(f"{int.from_bytes(int(word, 16).to_bytes(4, 'big'), sys.byteorder):08X}" for word in words)
    assert listener_address(f"{told}:{port:04X}") == (ipaddress.ip_address(address), port)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        *((address, True) for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")),
        *((address, False) for address in ("0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1")),  # noqa: S104 - refused
    ],
)
def test_loopback_is_loopback_and_everywhere_is_not(address: str, local: bool) -> None:
    """Whichever way it is written."""
    assert is_loopback(ipaddress.ip_address(address)) is local


def test_a_listener_beyond_loopback_is_found() -> None:
    """Of these processes, and of no other; one on loopback is none."""
    with socket.create_server(("127.0.0.1", 0)), socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, and not listening
        assert exposed([os.getpid()]) == []
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 - what is looked for
        assert exposed([os.getpid()]) == [f"0.0.0.0 port {listener.getsockname()[1]}"]
        assert exposed([os.getppid()]) == []


def run(code: str, **options: object) -> subprocess.Popen[str]:
    """Run Python."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        text=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **options,
    )


def test_a_network_of_its_own_has_loopback_and_nothing_else() -> None:
    """Or a sentence that says why not, and what to do; loopback works in it."""
    code = (
        "import socket\n"
        "from daemon.inference.contain import private_network\n"
        "from daemon.kernel.errors import OperatorError\n"
        "try:\n"
        "    private_network()\n"
        "except OperatorError as error:\n"
        "    print(error.code)\n"
        "else:\n"
        "    with socket.create_server(('127.0.0.1', 0)) as s, socket.create_connection(s.getsockname()):\n"
        "        print(*[name for _, name in socket.if_nameindex()])\n"
    )
    with run(code) as process:
        said = process.communicate(timeout=60)[0].strip()
    assert said in {"lo", "NO_PRIVATE_NETWORK"}


def test_what_a_leader_leaves_in_its_session_is_killed() -> None:
    """Whatever it is, when the leader is killed; a process that left the session is none of it."""
    code = (
        "import os, subprocess, sys, time\n"
        "from daemon.inference.contain import guard_session\n"
        "guard_session([1])\n"
        "children = [subprocess.Popen(['sleep', '600'], start_new_session=apart, stdout=subprocess.DEVNULL)\n"
        "            for apart in (False, True)]\n"
        "print(*[child.pid for child in children], flush=True)\n"
        "time.sleep(600)\n"
    )
    with run(code, start_new_session=True) as process:
        assert process.stdout is not None
        inside, apart = map(int, process.stdout.readline().split())
        try:
            assert session_of(process.pid) == [inside]
            process.kill()
            process.wait(20)
            until(lambda: not alive(inside), "the end of what was left", 20)
            assert alive(apart)
        finally:
            os.kill(apart, signal.SIGKILL)


@pytest.mark.parametrize("orphaned", [True, False])
def test_a_folder_that_nobody_is_left_to_remove_goes_with_the_session(tmp_path: Path, orphaned: bool) -> None:
    """Where the leader's parent lives, it is the parent's: there is something in it that it wants to read."""
    folder = tmp_path / "folder"
    (folder / "s").mkdir(parents=True)
    leads = (
        "from daemon.inference.contain import guard_session; import os, time;"
        f"guard_session([1], {str(folder)!r}); print(os.getpid(), flush=True); time.sleep(600)"
    )
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {leads!r}], start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    with run(code) as process:
        assert process.stdout is not None
        leader = int(process.stdout.readline())
        (guard,) = map(int, Path(f"/proc/{leader}/task/{leader}/children").read_text("ascii").split())
        if orphaned:
            process.kill()
            process.wait(20)
        os.kill(leader, signal.SIGKILL)
        until(lambda: not alive(guard), "the end of the guard", 20)
        assert folder.exists() is not orphaned
        process.kill()


def test_listeners_that_cannot_be_seen_are_not_called_local() -> None:
    """Init is root's: somebody else cannot look at it, and does not say that all is well."""
    code = (
        "import os\n"
        "from daemon.inference.contain import exposed\n"
        "from daemon.kernel.errors import OperatorError\n"
        "if os.geteuid() == 0:\n"
        "    os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "try:\n"
        "    print(exposed([1]))\n"
        "except OperatorError as error:\n"
        "    print(error.code)\n"
    )
    with run(code) as process:
        assert process.communicate(timeout=60)[0].strip() == "RAY_UNSEEN"


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("workers", "cores", "available_mb", "wanted"),
    [(3, 2, 0, 3), (0, 8, 100_000, 8), (0, 8, 2_768, 5), (0, 8, 900, 1), (0, 64, 100_000, 16)],
)
def test_workers_are_as_many_as_cores_and_memory_carry(
    workers: int, cores: int, available_mb: int, wanted: int
) -> None:
    """(2,768 - 768) / 400 = 5; at least one, at most sixteen, unless somebody says a number."""
    assert autosize(workers, cores=cores, available_mb=available_mb) == wanted


def test_memory_is_the_machines_or_what_a_control_group_around_us_leaves_of_it(tmp_path: Path) -> None:
    """The tightest of all: here the group above ours, of 3 GiB with one used; a group without a bound says nothing."""
    files = {
        "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\n",
        "proc/self/cgroup": "0::/system.slice/x.service\n",
        "sys/fs/cgroup/system.slice/x.service/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/x.service/memory.current": "1\n",
    }

    def lay() -> None:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, "ascii")

    lay()
    assert available_mb(tmp_path) == 8_192
    files["sys/fs/cgroup/system.slice/memory.max"] = f"{3 << 30}\n"
    files["sys/fs/cgroup/system.slice/memory.current"] = f"{1 << 30}\n"
    lay()
    assert available_mb(tmp_path) == 2_048
    files["sys/fs/cgroup/system.slice/memory.current"] = f"{4 << 30}\n"
    lay()
    assert available_mb(tmp_path) == 0
    assert available_mb() > 0
