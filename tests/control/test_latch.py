"""The kill latch: on disk in one way only, set by anybody, cleared by nobody by accident."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.control.latch import COMMIT_WAIT_S, MAKING, SITES, SIZE, KillLatch, NotDurableError
from daemon.kernel.errors import OperatorError
from tests.control.parts import DEADLINE_S, short_folder

ROOT = Path(__file__).resolve().parents[2]


def fresh(folder: Path) -> KillLatch:
    """Return a latch where there was none."""
    return KillLatch.open(folder / "kill.latch", fresh=True)


def again(folder: Path) -> KillLatch:
    """Return the latch as a restart beside a ledger finds it."""
    return KillLatch.open(folder / "kill.latch", fresh=False)


def program(folder: Path, body: str) -> list[str]:
    """Return a command line that runs a program with an open latch."""
    head = f"""
        import os, resource, signal, sys
        from pathlib import Path
        from daemon.control.latch import KillLatch, NotDurableError
        PATH = Path({str(folder / "kill.latch")!r})
    """
    return [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body)]


def run(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    return subprocess.run(
        program(folder, body), env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def test_a_fresh_latch_is_clear_and_has_its_blocks(folder: Path) -> None:
    """4 KiB that are really there, so that a later overwrite needs no room."""
    latch = fresh(folder)
    assert not latch.is_set
    status = (folder / "kill.latch").stat()
    assert status.st_size == SIZE
    assert status.st_blocks * 512 >= SIZE
    assert status.st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["kill.latch"]
    latch.close()
    assert not again(folder).is_set


def test_a_kill_is_there_after_a_restart_with_who_and_why(folder: Path) -> None:
    """The flag, the file, the reason, the time."""
    latch = fresh(folder)
    before = time.time_ns()
    latch.set("prices look wrong", "uid 7 pid 8")
    assert latch.is_set
    assert latch.durable
    latch.close()
    found = again(folder)
    assert (found.is_set, found.observed, found.reason, found.by) == (True, False, "prices look wrong", "uid 7 pid 8")
    assert before <= found.at_ns <= time.time_ns()
    found.close()


def test_a_fresh_ledger_does_not_forget_a_kill(folder: Path) -> None:
    """The latch outlives the ledger beside it."""
    latch = fresh(folder)
    latch.set("a", "b")
    latch.close()
    assert fresh(folder).is_set


def test_a_second_kill_keeps_the_first_reason_and_writes_nothing(folder: Path) -> None:
    """Idempotent, and quick."""
    latch = fresh(folder)
    latch.set("first", "a")
    stamp = (folder / "kill.latch").stat().st_mtime_ns
    latch.set("second", "b")
    assert (latch.reason, latch.by, latch.kills) == ("first", "a", 2)
    assert (folder / "kill.latch").stat().st_mtime_ns == stamp
    latch.close()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("empty", lambda p: p.write_bytes(b"")),
        ("zeroed", lambda p: p.write_bytes(bytes(SIZE))),
        ("torn", lambda p: p.write_bytes(b"KILLED tradingd" + p.read_bytes()[15:])),
        ("truncated", lambda p: p.write_bytes(p.read_bytes()[:-1])),
        ("longer", lambda p: p.write_bytes(p.read_bytes() + b"\n")),
        ("one bit", lambda p: p.write_bytes(bytes([p.read_bytes()[0] ^ 1]) + p.read_bytes()[1:])),
        ("missing", lambda p: p.unlink()),
        ("a folder", lambda p: (p.unlink(), p.mkdir())),
        ("a link to nothing", lambda p: (p.unlink(), p.symlink_to("nowhere"))),
        ("a link to itself", lambda p: (p.unlink(), p.symlink_to(p.name))),
        ("a pipe", lambda p: (p.unlink(), os.mkfifo(p))),
    ],
)
def test_what_is_not_exactly_clear_is_killed(folder: Path, name: str, damage) -> None:
    """Unknown means no, and the reason says what is unknown."""
    fresh(folder).close()
    damage(folder / "kill.latch")
    latch = again(folder)
    assert latch.is_set, name
    assert "kill latch" in latch.reason
    assert latch.overtaken()
    latch.close()


@given(content=st.binary(max_size=SIZE + 8))
@settings(max_examples=60, deadline=None)
def test_no_content_but_one_is_clear(content: bytes) -> None:
    """Nobody stumbles over CLEAR by chance, and nothing makes opening fail."""
    with short_folder() as folder:
        (folder / "kill.latch").write_bytes(content)
        latch = again(folder)
        assert latch.is_set
        latch.close()


@pytest.mark.parametrize("cut", range(0, 64, 7))
def test_a_write_that_stopped_anywhere_is_no_clear_latch(folder: Path, cut: int) -> None:
    """The first ``cut`` bytes of a kill over CLEAR: killed as soon as one byte has changed."""
    latch = fresh(folder)
    clear = (folder / "kill.latch").read_bytes()
    latch.set("a", "b")
    latch.close()
    killed = (folder / "kill.latch").read_bytes()
    (folder / "kill.latch").write_bytes(killed[:cut] + clear[cut:])
    found = again(folder)
    assert found.is_set == (cut > 0)
    found.close()


def test_a_latch_that_nobody_may_make_is_no_daemon(folder: Path) -> None:
    """Without a kill switch it does not run; the sentence says so."""
    with pytest.raises(OperatorError, match="cannot be made") as caught:
        KillLatch.open(folder / "absent" / "kill.latch", fresh=True)
    assert caught.value.code == "LATCH_UNWRITABLE"


def test_a_latch_whose_folder_is_gone_is_killed_and_says_that_it_is_not_durable(folder: Path) -> None:
    """Beside a ledger that somebody else has moved away, too."""
    latch = KillLatch.open(folder / "absent" / "kill.latch", fresh=False)
    assert latch.is_set
    latch.close()


@pytest.mark.parametrize("site", SITES)
def test_sigkill_between_any_two_steps_of_a_kill(folder: Path, site: str) -> None:
    """Before the write nothing was promised and nothing is set; from the write on it is killed after a restart."""
    answer = run(
        folder,
        f"""
        def faults(place):
            if place == {site!r}:
                os.kill(os.getpid(), signal.SIGKILL)
        latch = KillLatch.open(PATH, fresh=True, faults=faults)
        latch.set("why", "who")
        print("acknowledged")
        """,
    )
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    assert answer.stdout == ""
    latch = again(folder)
    assert latch.is_set == (site not in ("after:flag", "before:write"))
    latch.close()


@pytest.mark.parametrize("site", MAKING)
def test_sigkill_while_a_latch_is_made_leaves_none_or_a_whole_one(folder: Path, site: str) -> None:
    """A first start that dies is not a kill: the next one makes the latch anew."""
    answer = run(
        folder,
        f"""
        def faults(place):
            if place == {site!r}:
                os.kill(os.getpid(), signal.SIGKILL)
        KillLatch.open(PATH, fresh=True, faults=faults)
        """,
    )
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    latch = fresh(folder)
    assert not latch.is_set
    assert [path.name for path in folder.iterdir()] == ["kill.latch"]
    latch.close()


@pytest.mark.parametrize("place", ["before:write", "after:write", "after:sync"])
def test_sigkill_while_a_kill_is_cleared(folder: Path, place: str) -> None:
    """Killed, or clear because that was written; never anything in between that trades by mistake."""
    fresh(folder).close()
    answer = run(
        folder,
        f"""
        armed = False
        def faults(place):
            if armed and place == {place!r}:
                os.kill(os.getpid(), signal.SIGKILL)
        latch = KillLatch.open(PATH, fresh=False, faults=faults)
        latch.set("why", "who")
        armed = True
        latch.clear("me", kills=latch.kills)
        """,
    )
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    latch = again(folder)
    assert latch.is_set == (place == "before:write")
    latch.close()


def test_a_kill_works_where_no_file_may_grow(folder: Path) -> None:
    """RLIMIT_FSIZE at the size of the latch: an overwrite needs no more."""
    answer = run(
        folder,
        """
        latch = KillLatch.open(PATH, fresh=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            with open(PATH.with_name("ledger"), "wb", buffering=0) as ledger:
                ledger.write(bytes(8192)); ledger.write(bytes(8192))
        except OSError as error:
            print(error.errno)
        latch.set("why", "who")
        print(latch.is_set, latch.durable)
        """,
    )
    assert answer.stdout.split() == [str(errno.EFBIG), "True", "True"], answer.stderr
    assert again(folder).reason == "why"


def test_a_kill_that_the_disk_refuses_is_said_to_be_not_durable(folder: Path) -> None:
    """The flag is up all the same; when the disk is well again the same kill is written."""
    latch = fresh(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(NotDurableError, match="killed, but not durable") as caught:
            latch.set("why", "who")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.code, caught.value.exit_code) == ("NOT_DURABLE", 6)
    assert latch.is_set
    assert not latch.durable
    latch.retry()
    assert latch.durable
    latch.close()
    found = again(folder)
    assert (found.is_set, found.reason) == (True, "why")
    found.close()


def test_a_sync_that_fails_is_not_taken_for_a_kill_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO of fdatasync, once: not durable; the next attempt writes again before it syncs."""
    latch = fresh(folder)
    real = os.fdatasync
    broken = [True]

    def fdatasync(descriptor: int) -> None:
        if broken[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(NotDurableError):
        latch.set("why", "who")
    assert latch.is_set
    with pytest.raises(NotDurableError):
        latch.set("again", "who")
    broken[0] = False
    latch.set("third", "who")
    assert latch.durable
    latch.close()
    assert again(folder).reason == "why"


def test_a_write_that_stops_half_way_is_not_durable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer bytes than were given, without an error: not taken for a kill on disk."""
    latch = fresh(folder)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: real(descriptor, data[:100], at))
    with pytest.raises(NotDurableError, match="only 100 of 4096"):
        latch.set("why", "who")
    latch.close()
    assert again(folder).is_set  # what is there now is not exactly CLEAR


def test_a_latch_that_cannot_be_read_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO: unknown means no. A kill is then written, and said to be durable only if it was."""
    fresh(folder).close()

    def pread(descriptor: int, size: int, at: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", pread)
        latch = again(folder)
    assert latch.is_set
    assert not latch.durable
    assert "cannot be read" in latch.reason
    latch.set("why", "who")
    assert latch.durable
    latch.close()
    assert again(folder).is_set


def test_a_lost_latch_that_cannot_be_made_anew_is_not_taken_for_clear(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed; a kill on top tries once more to make the file."""

    def fallocate(descriptor: int, at: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", fallocate)
        latch = again(folder)
    assert latch.is_set
    assert "missing beside an existing ledger" in latch.reason
    assert not (folder / "kill.latch").exists()
    latch.close()
    assert again(folder).is_set


def test_a_kill_works_on_a_full_file_system() -> None:
    """A tmpfs of its own, filled to the last byte."""
    with short_folder() as folder:
        mounted = subprocess.run(
            ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("mounting a small tmpfs needs root")
        try:
            latch = fresh(folder)
            descriptor = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT)
            fill = range(1000)
            with pytest.raises(OSError, match="No space left"):
                [os.write(descriptor, bytes(4096)) for _ in fill]
            os.close(descriptor)
            latch.set("full", "who")
            assert latch.durable
            latch.close()
            found = again(folder)
            assert (found.is_set, found.reason) == (True, "full")
            found.close()
        finally:
            subprocess.run(["/bin/umount", str(folder)], check=True, capture_output=True)


@pytest.mark.parametrize("replace", [False, True])
def test_a_latch_that_was_taken_away_is_made_anew_by_a_kill(folder: Path, replace: bool) -> None:
    """Writing into a file that no longer has the name would be a kill that no restart sees."""
    latch = fresh(folder)
    clear = (folder / "kill.latch").read_bytes()
    (folder / "kill.latch").unlink()
    if replace:
        (folder / "kill.latch").write_bytes(clear)
    latch.set("why", "who")
    latch.close()
    found = again(folder)
    assert (found.is_set, found.reason) == (True, "why")
    found.close()


def test_clearing_makes_a_latch_whole_that_was_not(folder: Path) -> None:
    """A damaged file is cleared like any other kill, and has its size again."""
    fresh(folder).close()
    (folder / "kill.latch").write_bytes(b"?" * 9000)
    latch = again(folder)
    assert latch.clear("admin", kills=latch.kills)
    assert not latch.is_set
    latch.close()
    assert (folder / "kill.latch").stat().st_size == SIZE
    assert not again(folder).is_set


def test_a_kill_after_the_unlatch_was_asked_for_wins(folder: Path) -> None:
    """Even where it was acknowledged on the strength of the old kill: the file still says killed, and asks again."""
    latch = fresh(folder)
    latch.set("first", "a")
    latch.observed = True
    asked = latch.kills
    latch.set("second", "b")  # acknowledged at once: it is killed already
    assert not latch.clear("admin", kills=asked)
    assert latch.is_set
    assert latch.overtaken()
    latch.close()
    assert again(folder).is_set


def test_a_kill_while_the_file_is_being_cleared_wins(folder: Path) -> None:
    """It comes between the write of CLEAR and its end; acknowledged means that the disk says killed."""
    places: list[str] = []
    ready, go = threading.Event(), threading.Event()

    def faults(place: str) -> None:
        places.append(place)
        if place == "after:write" and threading.current_thread().name == "clearing":
            ready.set()
            assert go.wait(DEADLINE_S)

    latch = KillLatch.open(folder / "kill.latch", fresh=True, faults=faults)
    latch.set("first", "a")
    results: list[bool] = []
    clearing = threading.Thread(target=lambda: results.append(latch.clear("admin", kills=latch.kills)), name="clearing")
    clearing.start()
    assert ready.wait(DEADLINE_S)
    killing = threading.Thread(target=latch.set, args=("second", "b"))
    killing.start()
    while latch.kills < 2:
        assert killing.is_alive()
    go.set()
    clearing.join(DEADLINE_S)
    killing.join(DEADLINE_S)
    assert results == [False]
    assert latch.is_set
    assert latch.durable
    assert not latch.observed
    latch.close()
    assert again(folder).is_set


def test_a_clear_that_the_disk_refuses_stays_killed(folder: Path) -> None:
    """In memory, and after a restart."""
    latch = fresh(folder)
    latch.set("why", "who")
    latch.observed = True
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(NotDurableError, match="could not clear"):
            latch.clear("admin", kills=latch.kills)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert latch.is_set
    latch.retry()
    latch.close()
    assert again(folder).is_set


def test_overtaken_is_from_the_kill_to_its_observation(folder: Path) -> None:
    """What the ledger writer asks."""
    latch = fresh(folder)
    assert not latch.overtaken()
    latch.set("why", "who")
    assert latch.overtaken()
    latch.observed = True
    assert not latch.overtaken()
    assert latch.clear("admin", kills=latch.kills)
    assert (latch.is_set, latch.observed, latch.overtaken()) == (False, False, False)
    latch.set("again", "who")
    assert latch.overtaken()
    assert latch.reason == "again"
    latch.close()


def test_a_kill_waits_for_a_commit_that_was_running_and_not_for_ever(folder: Path) -> None:
    """It returns after the commit has ended, or after its own limit; the flag is up long before."""
    latch = fresh(folder)
    seen: list[bool] = []
    asked = iter([True, True, True, False])

    def commit_in_flight() -> bool:
        seen.append(latch.is_set and latch.durable)
        return next(asked)

    latch.commit_in_flight = commit_in_flight
    latch.set("why", "who")
    assert seen == [True] * 4
    latch.commit_in_flight = lambda: True
    began = time.monotonic()
    latch.set("again", "who")
    assert time.monotonic() - began >= COMMIT_WAIT_S
    latch.close()


def test_a_kill_does_not_fail_on_what_it_tells_others(folder: Path) -> None:
    """A wake that raises, a ledger that cannot be asked, a reason that is no text: killed and durable (control C11)."""
    latch = fresh(folder)

    def broken() -> bool:
        message = "on purpose"
        raise AttributeError(message)

    latch.wake = broken  # type: ignore[assignment]
    latch.commit_in_flight = broken
    latch.set(None, 5)  # type: ignore[arg-type]
    assert latch.durable
    assert len(latch.troubles) == 3
    latch.close()
    assert again(folder).is_set


@pytest.mark.parametrize(
    "reason", ["", "x" * 100_000, "two\nlines\x1b]0;title\x07", "\u20ac" * 600, "\ud800", "%s %n {0} '; DROP TABLE"]
)
def test_any_reason_fits(folder: Path, reason: str) -> None:
    """Cut, on one line, without control characters, never the cause of a failure."""
    latch = fresh(folder)
    latch.set(reason, reason)
    assert latch.troubles == []
    latch.close()
    content = (folder / "kill.latch").read_bytes()
    assert len(content) == SIZE
    found = again(folder)
    assert found.is_set
    assert found.reason.isprintable()
    assert len(found.reason.encode()) <= 515  # a character cut in half is shown as one of three bytes
    found.close()


def test_the_core_is_woken_after_the_flag_is_up(folder: Path) -> None:
    """An idle core looks as soon as there is something to see."""
    latch = fresh(folder)
    seen: list[bool] = []
    latch.wake = lambda: seen.append(latch.is_set)
    latch.set("why", "who")
    assert seen == [True]
    latch.close()


def test_concurrent_kills_are_one_kill_and_all_are_durable(folder: Path) -> None:
    """Many threads at once: each returns only when the disk says killed; the file is written once."""
    writes: list[str] = []
    latch = KillLatch.open(folder / "kill.latch", fresh=True, faults=writes.append)
    writes.clear()
    barrier = threading.Barrier(32)
    durable: list[bool] = []

    def kill(number: int) -> None:
        barrier.wait(DEADLINE_S)
        latch.set(f"reason {number}", f"thread {number}")
        durable.append(latch.is_set and latch.durable)

    threads = [threading.Thread(target=kill, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert durable == [True] * 32
    assert writes.count("after:sync") == 1
    assert latch.kills == 32
    latch.close()
    found = again(folder)
    assert found.reason.removeprefix("reason ") == found.by.removeprefix("thread ")
    found.close()


def _spin_and_kill(path: str, rounds: int, pipe) -> None:
    """In a process of its own: kill and clear from a thread while the main thread spins in Python."""
    sys.setswitchinterval(0.001)
    latch = KillLatch.open(Path(path), fresh=True)
    took: list[float] = []
    wrong: list[int] = []
    done = threading.Event()

    def killer() -> None:
        for number in range(rounds):
            began = time.perf_counter()
            latch.set("why", "who")
            took.append(time.perf_counter() - began)
            with open(path, "rb") as file:  # noqa: PTH123 - as plain as can be
                if not file.read().startswith(b"KILLED "):
                    wrong.append(number)
            latch.clear("test", kills=latch.kills)
        done.set()

    threading.Thread(target=killer, daemon=True).start()
    spins = 0
    while not done.is_set():
        spins += 1
    pipe.send((took, wrong, spins))
    pipe.close()


def test_a_thousand_kills_beside_a_main_thread_that_spins(folder: Path) -> None:
    """Every one is on disk when it is acknowledged; how long that took is printed, not asserted."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_spin_and_kill, args=(str(folder / "kill.latch"), 1000, sender))
    process.start()
    sender.close()
    try:
        assert receiver.poll(60)
        took, wrong, spins = receiver.recv()
    finally:
        receiver.close()
        process.join(DEADLINE_S)
        process.close()
    assert wrong == []
    assert len(took) == 1000
    assert spins > 0
    steps = statistics.quantiles(took, n=100)
    print(f"kill beside a spinning main thread: p50 {1e3 * steps[49]:.2f} ms, p99 {1e3 * steps[98]:.2f} ms")  # noqa: T201
