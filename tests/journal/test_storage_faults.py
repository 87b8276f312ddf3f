"""Disks that fill up, fail, lose power, and processes that die in the middle of it: what was acknowledged is there.

The oracle knows the acknowledgements of a child process (lines on its standard output) and reads the ledger, nothing
else. All numbers: ``pytest -m long tests/journal/test_storage_faults.py``.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon.journal.batch import SITES
from daemon.journal.failures import LedgerRefusedError
from tests.conftest import ROOT
from tests.journal.ledger_child import CRASHED
from tests.journal.ledger_support import batches_in, reopened, write

PLACES = [f"{when}:{site}" for site in SITES[:4] for when in ("before", "after")]
TIMEOUT_S = 60
SECTOR = 512
BROKEN = 74


class Child(msgspec.Struct):
    """What a child left: its exit code, and what it said."""

    code: int
    lines: list[str]
    errors: str

    @property
    def acknowledged(self) -> int:
        """How many batches it was told are durable, in order from the first."""
        numbers = [int(line.split()[1]) for line in self.lines if line.startswith("ack")]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
        return numbers[-1] + 1 if numbers else 0


def child(
    state_dir: Path, batches: int, *, preload: Path | None = None, log: Path | None = None, wrap: tuple[str, ...] = (),
    **options: object,
) -> Child:  # fmt: skip
    """Let a process write a ledger."""
    environ = dict(os.environ)
    if preload is not None:
        environ |= {"LD_PRELOAD": str(preload), "FAULT_DIR": str(state_dir)}
    if log is not None:
        environ["FAULT_LOG"] = str(log)
    words = [f"{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [*wrap, sys.executable, "-m", "tests.journal.ledger_child", str(state_dir), str(batches), *words],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    return Child(done.returncode, done.stdout.splitlines(), done.stderr)


@pytest.fixture(scope="session")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that fails on demand."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: a failing disk cannot be built")
    library = tmp_path_factory.mktemp("disk") / "faulty_disk.so"
    source = Path(__file__).with_name("faulty_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return an empty state directory."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def goes_on(state: Path, batches: int) -> None:
    """The next start writes behind what is there."""
    asyncio.run(write(state, 2, first=batches, run_id="again"))
    assert batches_in(state) == batches + 2


# --------------------------------------------------------------------------------------------------------- crash points


def crash_at(state: Path, place: str, nth: int) -> None:
    """Die at a step of a commit: the ledger holds what was acknowledged, or that and the one in flight; and goes on."""
    found = child(state, 6, site=place, nth=nth)
    assert found.code == CRASHED, found.errors
    assert found.acknowledged == nth - 1
    durable = batches_in(state)
    assert durable == (nth if place == "after:commit" else nth - 1)
    goes_on(state, durable)


@pytest.mark.parametrize("place", PLACES)
def test_f01_a_crash_at_any_step_of_a_commit_loses_nothing_that_was_acknowledged(state: Path, place: str) -> None:
    """Random kills rarely hit these gaps."""
    crash_at(state, place, 3)


@pytest.mark.long
@pytest.mark.parametrize("nth", [1, 2, 5, 6])
@pytest.mark.parametrize("place", PLACES)
def test_f01_a_crash_at_any_step_of_any_commit(state: Path, place: str, nth: int) -> None:
    """The first, one with a snapshot, the last."""
    crash_at(state, place, nth)


# ----------------------------------------------------------------------------------------------------------- full disks


@pytest.mark.parametrize("limit", [200_000, 400_000])
def test_f43_a_limit_of_file_size_is_a_full_disk_and_passes(state: Path, limit: int) -> None:
    """RLIMIT_FSIZE: refused with nothing half written; with the limit lifted the same batch goes in."""
    found = child(state, 60, fsize=limit, size=3000, go_on=1)
    assert found.code == 0, found.errors
    assert "full LEDGER_FULL" in found.lines
    assert found.lines[-1] == "done"
    assert found.acknowledged == 60
    assert count(state, size=3000) == 60


def test_f43_a_full_ledger_that_is_left_starts_again(state: Path) -> None:
    """The process ends when the disk is full: what was acknowledged is there."""
    found = child(state, 60, fsize=300_000, size=3000)
    assert (found.code, found.lines[-1]) == (0, "full LEDGER_FULL"), found.errors
    assert 0 < found.acknowledged < 60
    assert count(state, size=3000) == found.acknowledged


def test_f43_a_disk_without_room_is_full_until_room_is_made(state: Path) -> None:
    """A file system of 5 MB, of which 4 are a reserve that is freed when the rest is full, as the daemon does."""
    script = 'mount -t tmpfs -o size=5m tmpfs "$1" && head -c 4000000 /dev/zero > "$1/reserve" && shift && "$@"'
    probe = subprocess.run(  # skipped where there is no such program or right
        ["/usr/bin/env", "unshare", "-m", "sh", "-c", script, "sh", str(state), "true"],
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip("no right to mount a small file system")
    wrap = ("/usr/bin/env", "unshare", "-m", "sh", "-c", script, "sh", str(state))
    found = child(state, 200, wrap=wrap, size=5000, go_on=1, ballast=state / "reserve", fold=400_000)
    assert found.code == 0, found.errors
    assert found.lines.count("full LEDGER_FULL") >= 1
    assert found.lines[-1] == "done"
    assert found.acknowledged == 200
    assert list(state.iterdir()) == []


def count(state: Path, *, size: int) -> int:
    """Return how many batches of longer frames a ledger holds; whole, in order, every check passed."""
    opened = reopened(state)
    try:
        amounts = [len(row.body.reason) for row in opened.inputs(0) if row.seq % 4 == 2]  # type: ignore[attr-defined]
        assert amounts == [size] * len(amounts)
        assert opened.last_seq == 4 * len(amounts)
    finally:
        opened.close()
    return len(amounts)


# -------------------------------------------------------------------------------------------------------- failing disks


def fail_nth(state: Path, disk: Path, nth: int, at: str) -> None:
    """Let one write or sync fail: no acknowledgement without a durable row, no second try, a sound ledger after it."""
    if at != "open":
        asyncio.run(write(state, 3, run_id="first"))
    found = child(state, 12, preload=disk, arm=nth, arm_at=at, fold=100_000)
    if found.lines[-1:] == ["done"]:  # it hit the head after the last commit, or came too late
        assert found.code == 0, found.errors
    else:
        assert found.code == BROKEN, (found.lines, found.errors)
        assert found.lines[-1] == "broken LEDGER_BROKEN"
        assert found.lines.count("broken LEDGER_BROKEN") == 1
    acknowledged = max(found.acknowledged, 0 if at == "open" else 3)
    durable = batches_in(state)
    assert acknowledged <= durable <= acknowledged + 1
    goes_on(state, durable)


@pytest.mark.parametrize("nth", [1, 2, 4, 9, 14, 17, 30])
def test_f44_the_nth_write_or_sync_fails_while_commits_flow(state: Path, faulty_disk: Path, nth: int) -> None:
    """Tape, tape sync, WAL, WAL sync, head, checkpoint."""
    fail_nth(state, faulty_disk, nth, "5")


@pytest.mark.parametrize("nth", [3, 25])
def test_f44_the_nth_write_or_sync_fails_while_the_ledger_is_made(state: Path, faulty_disk: Path, nth: int) -> None:
    """Nothing was acknowledged yet; the next start begins anew or goes on."""
    fail_nth(state, faulty_disk, nth, "open")


@pytest.mark.long
@pytest.mark.parametrize("at", ["open", "5"])
@pytest.mark.parametrize("nth", range(1, 51))
def test_f44_every_write_and_sync_of_fifty_fails_once(state: Path, faulty_disk: Path, nth: int, at: str) -> None:
    """With n = 1 to 50, while the ledger is made and while it is written."""
    fail_nth(state, faulty_disk, nth, at)


# --------------------------------------------------------------------------------------------------------- lost power


class Op(msgspec.Struct):
    """One call: ``W`` write, ``T`` truncation, ``S`` sync, ``U`` removal, ``A`` acknowledgement."""

    kind: str
    path: str
    offset: int
    data: bytes


def read_log(path: Path) -> Iterator[Op]:
    """Read what the disk was asked."""
    data = memoryview(path.read_bytes())
    head = struct.Struct("=cIQQ")
    at = 0
    while at < len(data):
        kind, length, offset, size = head.unpack_from(data, at)
        at += head.size
        name = bytes(data[at : at + length]).decode()
        at += length
        has_data = kind in {b"W", b"A"}
        yield Op(kind.decode(), name, offset, bytes(data[at : at + size]) if has_data else b"")
        at += size if has_data else 0


def apply(content: bytearray, op: Op, share: float = 1.0) -> None:
    """Do what a call asked; a write may end early, at a sector."""
    if op.kind == "T":
        del content[op.offset :]
        content.extend(bytes(op.offset - len(content)))
        return
    data = op.data if share == 1.0 else op.data[: int(len(op.data) * share) // SECTOR * SECTOR]
    if len(content) < op.offset + len(data):
        content.extend(bytes(op.offset + len(data) - len(content)))
    content[op.offset : op.offset + len(data)] = data


class Disk:
    """What of the calls so far a loss of power would leave."""

    def __init__(self) -> None:
        self.durable: dict[str, bytearray] = {}
        self.pending: dict[str, list[Op]] = {}

    def take(self, op: Op) -> None:
        """Take the next call."""
        if op.kind == "U":
            self.durable.pop(op.path, None)
            self.pending.pop(op.path, None)
        elif op.kind == "S":
            for waiting in self.pending.pop(op.path, ()):  # none where a folder was synced
                apply(self.durable[op.path], waiting)
        elif op.kind in {"W", "T"}:
            self.durable.setdefault(op.path, bytearray())
            self.pending.setdefault(op.path, []).append(op)

    def lose_power(self, folder: Path, dice: random.Random) -> None:
        """Write what is left: all that was synced, and of the rest anything, in any order, torn at sectors."""
        for path, synced in self.durable.items():
            content = bytearray(synced)
            waiting = [op for op in self.pending.get(path, ()) if dice.random() < 0.5]
            dice.shuffle(waiting)
            for op in waiting:
                apply(content, op, dice.choice((1.0, 1.0, dice.random())))
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def lose_power_often(tmp_path: Path, state: Path, disk: Path, batches: int, chance: float) -> int:
    """Replay a child's calls, and lose power behind every acknowledgement and between; return how often."""
    log = tmp_path / "calls"
    found = child(state, batches, preload=disk, log=log, fold=150_000)
    assert found.lines[-1] == "done", found.errors
    model, acknowledged, losses = Disk(), 0, 0
    dice = random.Random(7)  # noqa: S311 - a seed for a test
    opened = False
    for op in read_log(log):
        model.take(op)
        if op.kind == "A":
            acknowledged += op.data.startswith(b"ack")
            opened = True
        elif not opened or dice.random() > chance:
            continue
        folder = tmp_path / "after"
        folder.mkdir()
        model.lose_power(folder, dice)
        durable = batches_in(folder)
        assert acknowledged <= durable <= acknowledged + 1
        shutil.rmtree(folder)
        losses += 1
    assert acknowledged == batches
    return losses


def test_f45_after_a_loss_of_power_everything_acknowledged_is_there(
    tmp_path: Path, state: Path, faulty_disk: Path
) -> None:
    """What was not synced is lost, kept, torn or reordered at random: acknowledged rows were synced."""
    assert lose_power_often(tmp_path, state, faulty_disk, 25, 0.05) > 40


@pytest.mark.long
def test_f45_after_a_loss_of_power_at_every_call(tmp_path: Path, state: Path, faulty_disk: Path) -> None:
    """Behind each write and each sync of a hundred commits, with checkpoints among them."""
    assert lose_power_often(tmp_path, state, faulty_disk, 100, 1.0) > 1000


def test_f45_the_model_of_the_disk_finds_a_ledger_that_does_not_sync(
    tmp_path: Path, state: Path, faulty_disk: Path
) -> None:
    """The oracle's own test: with the syncs of the WAL left out of the log, acknowledged rows are lost."""
    log = tmp_path / "calls"
    assert child(state, 10, preload=faulty_disk, log=log).lines[-1] == "done"
    lost = 0
    model, acknowledged = Disk(), 0
    dice = random.Random(7)  # noqa: S311 - a seed for a test
    for op in read_log(log):
        if op.kind != "S" or not op.path.endswith("-wal"):
            model.take(op)
        if op.kind == "A" and op.data.startswith(b"ack"):
            acknowledged += 1
            folder = tmp_path / "after"
            folder.mkdir()
            model.lose_power(folder, dice)
            try:
                lost += batches_in(folder) < acknowledged
            except LedgerRefusedError:
                lost += 1
            shutil.rmtree(folder)
    assert lost > 0
