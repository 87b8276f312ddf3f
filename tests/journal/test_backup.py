"""Backup and restore: what is published is whole, what is restored is what was backed up, and nothing is lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from daemon.cli.tradingd import main
from daemon.control.latch import KillLatch
from daemon.journal.backup import SITES, Backup, back_up
from daemon.journal.backup_file import LATCH, Manifest, read_backup
from daemon.journal.batch import Faults, TapeRow
from daemon.journal.failures import LedgerRefusedError
from daemon.journal.lock import InstanceLock
from daemon.journal.restore import SITES as RESTORE_SITES
from daemon.journal.restore import Restored, restore
from daemon.journal.retention import RetentionPolicy, apply, plan, take_stock
from daemon.journal.tape import TapeWriter
from daemon.journal.tape_format import TapeReader
from daemon.kernel.errors import OperatorError
from tests.journal.ledger_support import (
    MARKETS,
    PER_BATCH,
    batch,
    batches_in,
    change,
    event_digest,
    problems,
    reopened,
    write,
    writing,
)

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 12


def state(folder: Path, batches: int = BATCHES) -> Path:
    """Return a state directory with a latch and a ledger of two runs, the last not sealed."""
    folder.mkdir()
    latch = KillLatch.open(folder / LATCH, fresh=True)
    latch.close()
    asyncio.run(write(folder, batches // 2, seal=True))
    asyncio.run(write(folder, batches - batches // 2, first=batches // 2, run_id="r2"))
    return folder


def killed(state_dir: Path) -> KillLatch:
    """Return the latch as a start finds it; close it."""
    fresh = not (state_dir / "ledger.db").exists()
    return KillLatch.open(state_dir / LATCH, fresh=fresh)


def is_killed(state_dir: Path) -> bool:
    """Whether a start would be killed."""
    with closing(killed(state_dir)) as latch:
        return latch.is_set


def kill(state_dir: Path, reason: str = "test") -> None:
    """Kill a state directory."""
    with closing(killed(state_dir)) as latch:
        latch.set(reason, "test")


def published(folder: Path) -> list[Path]:
    """Return the backups in a folder; each must be whole."""
    paths = sorted(folder.glob("*.tar"))
    for path in paths:
        read_backup(path)
    return paths


# -- a backup ----------------------------------------------------------------------------------------------------------


def test_a_backup_of_a_ledger_at_rest_is_restored_to_the_same(tmp_path: Path) -> None:
    """The drill: into an empty place; inputs, replies, alerts, digest, tape and latch are those of the original."""
    origin = state(tmp_path / "state")
    done = back_up(origin, tmp_path / "backups", version="9.9")
    assert done.manifest.seq == BATCHES * PER_BATCH
    assert done.manifest.event_digest == event_digest(BATCHES).hex()
    assert done.manifest.version == "9.9"
    assert (done.manifest.run_id, done.manifest.status, done.manifest.latch) == ("r2", "running", "clear")
    assert [m.name for m in done.manifest.files] == ["ledger.db", "kill.latch", "tape/20240102.tape"]
    told = restore(Path(done.path), tmp_path / "other")
    assert (told.aside, told.removed, told.tapes, told.latch) == ("", (), (20240102,), "clear")
    assert batches_in(tmp_path / "other") == BATCHES
    assert not is_killed(tmp_path / "other")
    asyncio.run(write(tmp_path / "other", 3, first=BATCHES, run_id="r3"))
    assert batches_in(tmp_path / "other") == BATCHES + 3
    assert sorted(p.name for p in (tmp_path / "other").iterdir() if p.name.startswith(".")) == []


def test_a_backup_beside_a_running_writer_holds_one_commit(tmp_path: Path) -> None:
    """Whatever is written meanwhile: the copy ends behind a whole batch, and its tape exactly there."""
    origin = state(tmp_path / "state")

    async def work() -> list[Backup]:
        found = []
        async with writing(origin, "r3") as live:
            n = BATCHES
            for _ in range(3):
                job = asyncio.create_task(asyncio.to_thread(back_up, origin, tmp_path / "backups"))
                while not job.done():
                    await live.commit(batch(n))
                    n += 1
                found.append(await job)
            assert n > BATCHES + 3
        return found

    for i, done in enumerate(asyncio.run(work())):
        restore(Path(done.path), tmp_path / f"other{i}")
        assert batches_in(tmp_path / f"other{i}") * PER_BATCH == done.manifest.seq
    assert batches_in(origin) > BATCHES


def test_what_was_appended_behind_the_last_commit_is_not_in_it(tmp_path: Path) -> None:
    """A tape is copied up to where the ledger covers it."""
    origin = state(tmp_path / "state")
    with (origin / "tape" / "20240102.tape").open("ab") as file:
        file.write(b"half a block")
    done = back_up(origin, tmp_path / "backups")
    restore(Path(done.path), tmp_path / "other")
    assert batches_in(tmp_path / "other") == BATCHES


def test_a_backup_names_what_lies_in_the_archive(tmp_path: Path) -> None:
    """Its files never change and are not copied again; restored in place, everything is there."""
    origin = state(tmp_path / "state", 40)
    with closing(sqlite3.connect(origin / "ledger.db", isolation_level=None)) as db:
        actions = plan(take_stock(origin, MARKETS), RetentionPolicy(ledger_days=1), time.time_ns() + 10**15)
        assert apply(actions, origin, MARKETS, lambda f: f(db)).done == ("move to the archive: run r1",)
    done = back_up(origin, tmp_path / "backups")
    assert [text.split()[0] for text in done.manifest.archived] == ["ledger-1-80.db"]
    assert done.manifest.event_digest == event_digest(40).hex()
    assert restore(Path(done.path), origin).archive_missing == ()
    assert problems(origin / "ledger.db") == []


def test_a_restore_elsewhere_says_what_of_the_archive_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No backup holds the archive: who has lost the disk is told what to fetch."""
    origin = state(tmp_path / "state", 40)
    with closing(sqlite3.connect(origin / "ledger.db", isolation_level=None)) as db:
        actions = plan(take_stock(origin, MARKETS), RetentionPolicy(ledger_days=1), time.time_ns() + 10**15)
        apply(actions, origin, MARKETS, lambda f: f(db))
    done, there = back_up(origin, tmp_path / "backups"), tmp_path / "other"
    code, _, err = run(capsys, "restore", done.path, "--set", f"paths.state_dir={there}")
    assert code == 0
    assert f"the ledger speaks of ledger-1-80.db, and {there}/archive has not" in err
    assert restore(Path(done.path), there).archive_missing == ("ledger-1-80.db",)
    shutil.copytree(origin / "archive", there / "archive")
    assert restore(Path(done.path), there).archive_missing == ()


def test_a_killed_state_is_restored_killed(tmp_path: Path) -> None:
    """And one whose latch was lost, which counts as killed, stays so too."""
    origin = state(tmp_path / "state")
    kill(origin, "fat finger")
    done = back_up(origin, tmp_path / "backups")
    assert done.manifest.latch == "killed"
    restore(Path(done.path), tmp_path / "other")
    with closing(killed(tmp_path / "other")) as latch:
        assert (latch.is_set, latch.reason) == (True, "fat finger")
    (origin / LATCH).unlink()
    done = back_up(origin, tmp_path / "backups")
    assert done.manifest.latch == "missing"
    assert restore(Path(done.path), tmp_path / "third").latch == "missing"
    assert is_killed(tmp_path / "third")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ("UPDATE frame SET body = x'90' WHERE seq = 6", "hash_chain: the row with seq 6"),
        ("DELETE FROM frame WHERE seq = 7", "hash_chain: 1 row is missing before"),
        ("UPDATE snapshot SET core = x'00'", "snapshots: behind seq"),
        ("UPDATE idempotency SET reply = x'7b7d' WHERE seq = 2", "replies: the reply under"),
    ],
)
def test_a_ledger_that_does_not_verify_is_not_backed_up(tmp_path: Path, spoil: str, sentence: str) -> None:
    """It would push out good backups; the sentence says what is wrong."""
    origin = state(tmp_path / "state")
    change(origin / "ledger.db", spoil)
    with pytest.raises(OperatorError, match=sentence) as caught:
        back_up(origin, tmp_path / "backups")
    assert caught.value.code == "BACKUP_DAMAGED"
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_tape_that_does_not_hold_is_not_backed_up(tmp_path: Path) -> None:
    """Changed, cut short, gone, or exchanged for another that is whole."""
    origin = state(tmp_path / "state")
    tape = origin / "tape" / "20240102.tape"
    good = tape.read_bytes()
    with TapeReader(tape) as reader:
        rows = [TapeRow(row.seq, row.ts, row.body) for block in reader.blocks() for row in reader.rows(block, MARKETS)]
        ends = [block.rows for block in reader.blocks()]
    other = TapeWriter(tmp_path, MARKETS, {"symbols": ["B"]})
    for count in ends:
        other.append(rows[:count])
        rows = rows[count:]
    other.close()
    exchanged = (tmp_path / "20240102.tape").read_bytes()
    assert len(exchanged) == len(good)
    for data, code in (
        (good[:-1] + bytes([good[-1] ^ 1]), "TAPE_DAMAGED"),
        (good[:-1], "TAPE_SHORT"),
        (exchanged, "TAPE_DAMAGED"),
        (None, "TAPE_MISSING"),
    ):
        tape.unlink()
        if data is not None:
            tape.write_bytes(data)
        with pytest.raises(OperatorError) as caught:
            back_up(origin, tmp_path / "backups")
        assert caught.value.code == code
        tape.write_bytes(good)
    assert published(tmp_path / "backups") == []


def test_without_a_ledger_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    """One sentence; no folder is made."""
    with pytest.raises(OperatorError, match="there is no ledger at"):
        back_up(tmp_path, tmp_path / "backups")
    assert not (tmp_path / "backups").exists()


# -- F50 ---------------------------------------------------------------------------------------------------------------


def forked(work: Callable[[Faults], object], site: str) -> bool:
    """Work in a process that is killed at a place; return whether it came there."""
    child = os.fork()
    if child == 0:
        try:
            work(lambda place: os.kill(os.getpid(), signal.SIGKILL) if place == site else None)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_f50_a_backup_that_is_killed_publishes_nothing_broken(tmp_path: Path) -> None:
    """SIGKILL at every step: what has a backup's name is whole; what was left over goes with the next one."""
    origin = state(tmp_path / "state")
    folder = tmp_path / "backups"
    for site in SITES:
        for when in ("before", "after"):
            assert forked(lambda faults: back_up(origin, folder, faults=faults), f"{when}:{site}")
            assert len(published(folder)) == ((when, site) == ("after", "backup.rename"))
    assert len(list(folder.iterdir())) > 1
    done = back_up(origin, folder)
    assert len(published(folder)) == 2
    assert len(list(folder.iterdir())) == 2
    restore(Path(done.path), tmp_path / "other")
    assert batches_in(tmp_path / "other") == BATCHES


def test_f50_a_backup_process_that_is_killed_at_random_publishes_nothing_broken(tmp_path: Path) -> None:
    """A process of its own that makes one backup after the other, killed while it works."""
    origin = state(tmp_path / "state")
    folder = tmp_path / "backups"
    folder.mkdir()
    code = "import sys\nfrom pathlib import Path\nfrom daemon.journal.backup import back_up\n"
    code += "while True:\n    print(back_up(Path(sys.argv[1]), Path(sys.argv[2])).path, flush=True)\n"
    for told in (1, 2, 3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(origin), str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(told)]
        process.kill()
        lines += process.stdout.readlines()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        assert {Path(line.strip()) for line in lines if line.endswith("\n")} <= set(published(folder))
    back_up(origin, folder)
    assert {path.suffix for path in folder.iterdir()} == {".tar"}


def test_a_backup_leaves_the_folder_of_another_that_works_alone(tmp_path: Path) -> None:
    """Only what no process holds is left over."""
    origin = state(tmp_path / "state")
    folder = tmp_path / "backups"
    inner: list[Backup] = []

    def meanwhile(place: str) -> None:
        if place == "before:backup.pack":
            inner.append(back_up(origin, folder))

    back_up(origin, folder, faults=meanwhile)
    assert len(inner) == 1
    assert len(published(folder)) == 2


# -- damage ------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Manifest | None:
    """Read a backup; None where it is refused with its name."""
    try:
        return read_backup(path)
    except OperatorError as error:
        return None if str(path) in error.message else Manifest(**dict.fromkeys(Manifest.__struct_fields__))


def test_every_changed_byte_of_a_backup_is_found_or_harmless(tmp_path: Path) -> None:
    """Whatever is flipped or cut off: it is refused, or what comes out is what went in."""
    origin = state(tmp_path / "state", 4)
    done = back_up(origin, tmp_path / "backups")
    good = Path(done.path).read_bytes()
    bad = tmp_path / "bad.tar"
    passed = 0
    steps = [*range(0, 4096, 7), *range(4096, len(good), 2111)]
    for at in steps:
        bad.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        found = read(bad)
        assert found in {None, done.manifest}, at
        passed += found is not None
    assert passed < len(steps) / 2, "padding is what may change"
    for length in range(0, len(good), 4001):
        bad.write_bytes(good[:length])
        assert read(bad) in {None, done.manifest}, length


def packed(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    """Write a tar; the digest of a manifest that is there comes behind it."""
    if "manifest.json" in members:
        text = members["manifest.json"]
        members = {"manifest.json": text, "manifest.sha256": hashlib.sha256(text).hexdigest().encode(), **members}
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.type = kind
            info.linkname = "/etc/passwd"
            tar.addfile(info, BytesIO(data))
    return path


def test_a_tar_from_elsewhere_puts_nothing_anywhere(tmp_path: Path) -> None:
    """Names outside, links, other schemas, lists that lie: refused, and nothing was written."""
    origin = state(tmp_path / "state", 4)
    made = back_up(origin, tmp_path / "backups").manifest
    entry = made.files[0]

    def text(manifest: Manifest) -> bytes:
        return msgspec.json.encode(manifest)

    def listing(*names: str) -> bytes:
        return text(msgspec.structs.replace(made, files=tuple(msgspec.structs.replace(entry, name=n) for n in names)))

    cases = {
        "outside": {"manifest.json": listing("ledger.db", "../evil"), "../evil": b"x"},
        "absolute": {"manifest.json": listing("ledger.db", "/evil")},
        "tape name": {"manifest.json": listing("ledger.db", "tape/../../x.tape")},
        "twice": {"manifest.json": listing("ledger.db", "ledger.db")},
        "no ledger": {"manifest.json": listing("kill.latch")},
        "no manifest": {"ledger.db": b"x"},
        "manifest is no JSON": {"manifest.json": b"{"},
        "manifest of something else": {"manifest.json": b'{"schema": "other/1"}'},
        "newer": {"manifest.json": text(msgspec.structs.replace(made, schema="tradingd.backup-manifest/2"))},
        "missing member": {"manifest.json": text(made)},
        "empty": {},
    }
    for name, members in cases.items():
        path = packed(tmp_path / "bad.tar", members)
        with pytest.raises(OperatorError) as caught:
            restore(path, tmp_path / "other")
        assert caught.value.code in {"BAD_BACKUP", "NEWER_BACKUP"}, name
        assert sorted(p.name for p in (tmp_path / "other").iterdir()) == ["ledger.lock"], name
    link = packed(tmp_path / "link.tar", {"manifest.json": text(made)}, tarfile.SYMTYPE)
    with pytest.raises(OperatorError, match="does not begin with a manifest"):
        restore(link, tmp_path / "other")
    with pytest.raises(OperatorError, match="there is no file"):
        restore(tmp_path / "none.tar", tmp_path / "other")


def test_a_backup_whose_ledger_was_exchanged_is_refused_although_its_digests_fit(tmp_path: Path) -> None:
    """The manifest says how far the ledger goes; so does its tape."""
    origin = state(tmp_path / "state", 4)
    done = back_up(origin, tmp_path / "backups")
    asyncio.run(write(origin, 2, first=4, run_id="r3"))
    later = back_up(origin, tmp_path / "backups")
    for take_tape, sentence in ((False, "at byte"), (True, "not the one its manifest describes")):
        with tarfile.open(later.path) as tar:
            names = [m.name for m in tar.getmembers() if not m.name.startswith("manifest")]
            parts = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
        with tarfile.open(done.path) as tar:
            tape = tar.extractfile("tape/20240102.tape").read()  # type: ignore[union-attr]
        manifest = later.manifest
        if take_tape:
            manifest = msgspec.structs.replace(manifest, seq=manifest.seq - 1)
        else:
            parts["tape/20240102.tape"] = tape
        files = tuple(
            msgspec.structs.replace(m, bytes=len(parts[m.name]), sha256=hashlib.sha256(parts[m.name]).hexdigest())
            for m in manifest.files
        )
        text = msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
        with pytest.raises(OperatorError, match=sentence):
            restore(packed(tmp_path / "bad.tar", {"manifest.json": text, **parts}), tmp_path / "other")
    assert sorted(p.name for p in (tmp_path / "other").iterdir()) == ["ledger.lock"]


# -- restoring over something --------------------------------------------------------------------------------------


def older(tmp_path: Path) -> tuple[Path, Backup]:
    """Return a state directory and a backup of it when it had less."""
    origin = state(tmp_path / "state")
    done = back_up(origin, tmp_path / "backups")
    asyncio.run(write(origin, 8, first=BATCHES, run_id="r3"))
    return origin, done


def test_what_was_there_moves_aside_and_stays_whole(tmp_path: Path) -> None:
    """The newer ledger can be taken back by hand from the folder that is named; it still opens."""
    origin, done = older(tmp_path)
    told = restore(Path(done.path), origin)
    assert batches_in(origin) == BATCHES
    aside = Path(told.aside)
    assert aside.parent == origin
    assert batches_in(aside) == BATCHES + 8
    assert not is_killed(origin)


def test_f19_sidecars_of_the_old_ledger_are_removed(tmp_path: Path) -> None:
    """A WAL with commits of the ledger that goes, and its head, would damage the restored one or have it refused."""
    origin, done = older(tmp_path)
    crashed = subprocess.run(
        [sys.executable, "-m", "tests.journal.ledger_child", str(origin), "9", "site=after:commit", "nth=3"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert crashed.returncode == 77, crashed.stdout + crashed.stderr
    assert (origin / "ledger.db-wal").stat().st_size > 0
    told = restore(Path(done.path), origin)
    assert {"ledger.db-wal", "ledger.head"} <= set(told.removed)
    assert not (origin / "ledger.db-wal").exists()
    assert batches_in(origin) == BATCHES
    assert batches_in(Path(told.aside)) == BATCHES + 8 + 3


def test_views_are_made_anew(tmp_path: Path) -> None:
    """They are derived from a ledger that is no more."""
    origin, done = older(tmp_path)
    (origin / "views.db").write_bytes(b"rows of another ledger")
    assert "views.db" in restore(Path(done.path), origin).removed
    assert not (origin / "views.db").exists()


@pytest.mark.parametrize("lost", [False, True])
def test_a_restore_does_not_undo_a_kill(tmp_path: Path, lost: bool) -> None:
    """The backup is from before the kill; only a person with a running daemon unlatches. So too where it was lost."""
    origin, done = older(tmp_path)
    if lost:
        (origin / LATCH).unlink()
    else:
        kill(origin, "broken strategy")
    told = restore(Path(done.path), origin)
    assert told.kept_killed
    assert told.latch == ("missing" if lost else "killed")
    with closing(killed(origin)) as latch:
        assert latch.is_set
        assert lost or latch.reason == "broken strategy"


def test_a_running_daemon_is_not_restored_under(tmp_path: Path) -> None:
    """Its lock is held: refused at once, nothing changed."""
    origin, done = older(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in origin.rglob("*") if p.is_file()}
    with InstanceLock(origin), pytest.raises(LedgerRefusedError, match="another tradingd") as caught:
        restore(Path(done.path), origin)
    assert caught.value.exit_code == 75
    after = {p: p.stat().st_mtime_ns for p in origin.rglob("*") if p.is_file()}
    assert {p.name for p in before if before[p] != after.get(p)} <= {"ledger.lock"}
    assert batches_in(origin) == BATCHES + 8


@pytest.mark.parametrize("site", [f"{when}:{site}" for site in RESTORE_SITES for when in ("before", "after")])
def test_a_restore_that_is_killed_trades_nothing_and_can_be_done_again(tmp_path: Path, site: str) -> None:
    """At every step a start finds the old ledger, the new one, or refuses; unless it is one of these whole, killed."""
    origin, done = older(tmp_path)
    assert forked(lambda faults: restore(Path(done.path), origin, faults=faults), site)
    trial = tmp_path / "trial"
    shutil.copytree(origin, trial)
    try:
        with closing(reopened(trial)) as opened:
            seq = opened.last_seq
    except LedgerRefusedError:
        seq = -1
    if site in {"before:restore.aside", "after:restore.aside", "before:restore.latch"}:
        assert seq == (BATCHES + 8) * PER_BATCH
    elif site == "after:restore.done":
        assert seq == BATCHES * PER_BATCH
    else:
        assert is_killed(trial)
        assert seq in {-1, BATCHES * PER_BATCH, (BATCHES + 8) * PER_BATCH}
    restore(Path(done.path), origin)
    assert batches_in(origin) == BATCHES
    assert not is_killed(origin)
    assert not list(origin.glob(".restore-*"))
    kept = [batches_in(aside) for aside in origin.glob("replaced-*") if (aside / "ledger.head").exists()]
    assert BATCHES + 8 in kept


@pytest.mark.parametrize("site", ["after:restore.latch", "before:restore.tape", "before:restore.ledger"])
def test_an_empty_directory_whose_restore_was_killed_is_no_fresh_start(tmp_path: Path, site: str) -> None:
    """Its latch says that a ledger was to come; a daemon that began anew there would be in the way of it."""
    _, done = older(tmp_path)
    folder = tmp_path / "new"
    folder.mkdir()
    assert forked(lambda faults: restore(Path(done.path), folder, faults=faults), site)
    with pytest.raises(LedgerRefusedError, match=r"a restore was interrupted|there are tapes") as caught:
        reopened(folder)
    assert caught.value.reason == "EMPTY_LEDGER"
    restore(Path(done.path), folder)
    assert batches_in(folder) == BATCHES


def test_where_links_cannot_be_made_what_was_there_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have none; any other refusal is passed on, and nothing has changed."""
    origin, done = older(tmp_path)

    def refuse(number: int) -> Callable[..., None]:
        def link(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return link

    monkeypatch.setattr(os, "link", refuse(5))
    with pytest.raises(OSError, match="Input/output error"):
        restore(Path(done.path), origin)
    assert batches_in(origin) == BATCHES + 8
    monkeypatch.setattr(os, "link", refuse(1))
    told = restore(Path(done.path), origin)
    assert batches_in(Path(told.aside)) == BATCHES + 8
    assert batches_in(origin) == BATCHES


# -- the commands ------------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code and what it said."""
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_commands_write_and_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables for people, JSON for programs; the folder is one in state_dir unless another is named."""
    origin = state(tmp_path / "state")
    here = ("--set", f"paths.state_dir={origin}")
    code, out, err = run(capsys, "backup", *here, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    done = msgspec.convert(document, Backup)
    assert document["schema"] == "tradingd.backup/1"
    assert document["manifest"]["seq"] == BATCHES * PER_BATCH
    assert Path(done.path).parent == origin / "backups"
    code, out, _ = run(capsys, "backup", str(tmp_path / "elsewhere"), *here)
    assert code == 0
    assert str(tmp_path / "elsewhere") in out
    assert event_digest(BATCHES).hex() in out
    there = ("--set", f"paths.state_dir={tmp_path / 'other'}")
    code, out, err = run(capsys, "restore", done.path, *there)
    assert (code, err) == (0, "")
    assert "nothing was there" in out
    assert batches_in(tmp_path / "other") == BATCHES
    code, out, _ = run(capsys, "restore", done.path, *there, "--json")
    assert code == 0
    assert Path(msgspec.convert(json.loads(out), Restored).aside).is_dir()


def test_a_backup_is_made_where_nobody_can_say_which_models_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are no part of it: what is damaged about them is told, and no reason for another exit code."""
    origin = state(tmp_path / "state")
    model = origin / "models" / "text" / "tiny"
    (model / "0123456789ab").mkdir(parents=True)
    (model / "active.json").write_text("{")
    code, out, err = run(capsys, "backup", "--set", f"paths.state_dir={origin}")
    assert code == 0
    assert event_digest(BATCHES).hex() in out
    assert f"text models are left out, and which there are nobody can say: {model / 'active.json'}" in err


def test_the_commands_refuse_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit codes say why: 1 nothing to work on or not whole, 75 a daemon runs."""
    origin = state(tmp_path / "state")
    here = ("--set", f"paths.state_dir={origin}")
    done = back_up(origin, tmp_path / "backups")
    nowhere = ("--set", f"paths.state_dir={tmp_path / 'none'}")
    cut = tmp_path / "cut.tar"
    cut.write_bytes(Path(done.path).read_bytes()[:9000])
    for arguments, expected, sentence in (
        (("backup", *nowhere), 1, "there is no ledger"),
        (("restore", str(tmp_path / "no.tar"), *here), 1, "there is no file"),
        (("restore", str(cut), *here), 1, "is not a whole backup"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (expected, "")
        assert sentence in err
        assert err.count("\n") == 1
    with InstanceLock(origin):
        code, _, err = run(capsys, "restore", done.path, *here)
    assert code == 75
    assert "another tradingd" in err


def test_a_restored_kill_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody should wonder why nothing trades."""
    origin = state(tmp_path / "state")
    done = back_up(origin, tmp_path / "backups")
    kill(origin)
    code, out, err = run(capsys, "restore", done.path, "--set", f"paths.state_dir={origin}")
    assert code == 0
    assert "will start killed (the directory was killed before" in err
    assert "replaced-" in out


def test_a_backup_that_is_verified_as_a_ledger_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restored into a folder it can be; and what is no ledger at all is still to be restored."""
    done = back_up(state(tmp_path / "state"), tmp_path / "backups")
    assert main(["verify", str(done.path)]) == 1
    assert f"{done.path} is no ledger but a tar, as backups are; put it into a folder" in capsys.readouterr().err
    folder = tmp_path / "looked at"
    assert main(["restore", str(done.path), "--set", f"paths.state_dir={folder}"]) == 0
    main(["verify", str(folder)])
    assert "latch" in capsys.readouterr().out
    other = tmp_path / "other.db"
    other.write_bytes(b"neither " * 100)
    assert main(["verify", str(other)]) == 1
    assert "restore it from a backup" in capsys.readouterr().err
