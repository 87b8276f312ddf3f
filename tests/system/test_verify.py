"""Verify recomputes what the ledger's events say; events that contradict each other are found and named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from actors.messages.catalogue import codec
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    SubmitOrder,
)
from actors.messages.portfolio import DepositCash
from actors.messages.risk import TradingState, TradingStateChanged
from daemon.journal.check import Check
from daemon.journal.journal import Manifest, StoredFrame
from daemon.journal.memory import MemoryJournal
from daemon.journal.sqlite import SqliteJournal
from daemon.kernel.actor import Frame
from daemon.kernel.digest import DIGEST_START, extend_digest
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Envelope, Event
from daemon.system.replay import ReplayResult
from daemon.system.verify import verify_path
from daemon.system.verify_facts import check_events
from daemon.system.verify_state import check_latch, latch_says

CODEC = codec()
ORDER = SubmitOrder("a", "main", 0, 1, 100)
ACCEPTED = OrderAccepted("O-1", ORDER, 0)


def fill(cum: int, last: int, *, exec_id: str = "O-1-1", whole: bool = True) -> Event:
    """Return a fill of O-1."""
    kind = OrderFilled if whole else OrderPartiallyFilled
    return kind(
        "O-1", "a", exec_id, "main", 0, 1, last, 5, 5, cum, 100 - cum, 5, 0, 0, 0, 0, 0, "open", "taker", "", "", "",
        None, exempt=False,
    )  # fmt: skip


def checked(name: str, *events: Event) -> Check:
    """Return a check of one frame with these events."""
    frames = [StoredFrame(1, 1, 1, "test", None, list(events), [-1] * len(events))]
    checks, _ = check_events(frames, from_first=True)
    return next(check for check in checks if check.name == name)


@pytest.mark.parametrize(
    ("events", "finding"),
    [
        ([ACCEPTED, fill(100, 100)], ""),
        ([ACCEPTED, fill(40, 40, whole=False), fill(100, 60, exec_id="O-1-2")], ""),
        ([ACCEPTED, OrderReplaced("O-1", "a", 200, None, None, 0), OrderCanceled("O-1", "a", 0, "x")], ""),
        ([ACCEPTED, ACCEPTED], "O-1 was accepted twice"),
        ([fill(100, 100)], "O-1 was filled while not working"),
        ([ACCEPTED, fill(100, 100), fill(100, 100, exec_id="O-1-2")], "O-1 was filled while not working"),
        ([ACCEPTED, fill(40, 40, whole=False), fill(80, 40, whole=False)], "the fill O-1-1 stands there twice"),
        ([ACCEPTED, fill(120, 120)], "do not add up to its quantity"),
        ([ACCEPTED, fill(50, 40, whole=False)], "do not add up to its quantity"),
        ([ACCEPTED, OrderCanceled("O-1", "a", 0, "x"), OrderCanceled("O-1", "a", 0, "x")], "O-1 ended twice"),
        ([OrderReplaced("O-1", "a", 200, None, None, 0)], "O-1 was replaced while not working"),
    ],
)
def test_orders_that_contradict_themselves_are_named(events: list[Event], finding: str) -> None:
    """Accepted once, filled while working, never more than the quantity, nothing after the end."""
    check = checked("orders", *events)
    assert check.ok is not bool(finding)
    assert finding in check.detail


def test_a_fill_after_a_kill_is_named() -> None:
    """Killed means killed; after an unlatch orders may pass again."""
    kill = TradingStateChanged(TradingState.ACTIVE, TradingState.KILLED, "x", "me", latched=True)
    unlatch = TradingStateChanged(TradingState.KILLED, TradingState.HALTED, "x", "me", latched=False)
    assert checked("nothing_after_kill", kill, unlatch, ACCEPTED).ok
    check = checked("nothing_after_kill", kill, ACCEPTED)
    assert not check.ok
    assert "OrderAccepted while killed" in check.detail


def ledger(path: Path, *events: Event) -> None:
    """Write a sealed ledger that holds these events; its chain is sound whatever they say."""
    manifest = Manifest("r", "0", "replay", 1, {}, "0" * 64, {}, {"symbols": ["A"]}, "2020-01-01T00:00:00Z")
    journal = SqliteJournal(path, manifest, CODEC, durable=False)
    body = CODEC.encode_many(list(events))
    envelope = Envelope(1, 1, 1, "control", DepositCash("main", 1, "x"))
    journal.append(Frame(envelope, list(events), [-1] * len(events), body, DIGEST_START))
    journal.close("ended", extend_digest(DIGEST_START, 1, body).hex() if events else DIGEST_START.hex())


def names(path: Path) -> list[str]:
    """Return the failing checks."""
    return [check.name for check in verify_path(path).checks if not check.ok]


def test_a_ledger_whose_events_lie_fails_though_its_chain_holds(tmp_path: Path) -> None:
    """Whoever writes the ledger cannot make a fill appear that nobody booked."""
    ledger(tmp_path / "ledger.db", ACCEPTED, fill(100, 100))
    assert names(tmp_path / "ledger.db") == ["fills_booked_once"]


def test_rows_that_cannot_be_decoded_are_a_finding(tmp_path: Path) -> None:
    """Bytes that are no events end neither in a traceback nor in silence."""
    path = tmp_path / "ledger.db"
    ledger(path, ACCEPTED)
    db = sqlite3.connect(path)
    db.execute("UPDATE frame SET body = x'c1c1'")
    db.commit()
    db.close()
    assert {"hash_chain", "decode"} <= set(names(path))


def test_a_ledger_without_its_run_is_a_finding(tmp_path: Path) -> None:
    """The row about the run is gone."""
    path = tmp_path / "ledger.db"
    ledger(path, ACCEPTED)
    forget(path)
    assert names(path) == ["sealed"]


def overwrite(path: Path) -> None:
    """Overwrite the root of the ledger's first table."""
    with path.open("r+b") as handle:
        handle.seek(8192)
        handle.write(b"\xff" * 4096)


def forget(path: Path) -> None:
    """Take the row about its run out of a ledger."""
    db = sqlite3.connect(path)
    db.execute("DELETE FROM run")
    db.commit()
    db.close()


Damage = Callable[[Path], object]
DAMAGES: list[tuple[str, Damage, str]] = [
    ("no manifest", lambda f: (f / "run.json").unlink(), "manifest"),
    ("manifest is no JSON", lambda f: (f / "run.json").write_text("{"), "manifest"),
    ("manifest is a list", lambda f: (f / "run.json").write_text("[]"), "manifest"),
    ("manifest lists nothing", lambda f: (f / "run.json").write_text("{}"), "manifest"),
    ("no ledger", lambda f: (f / "ledger.db").unlink(), "ledger"),
    ("ledger is text", lambda f: (f / "ledger.db").write_text("hello " * 999), "ledger"),
    ("ledger is damaged", lambda f: overwrite(f / "ledger.db"), "integrity"),
    ("ledger has no run", lambda f: forget(f / "ledger.db"), "sealed"),
    ("table is gone", lambda f: (f / "fills.csv").unlink(), "table:fills.csv"),
    ("table is cut", lambda f: (f / "fills.csv").write_text("ts\n"), "table:fills.csv"),
]


@pytest.mark.parametrize(("what", "damage", "found"), DAMAGES, ids=[d[0] for d in DAMAGES])
def test_damaged_folders_are_findings(
    year_run: ReplayResult, tmp_path: Path, what: str, damage: Damage, found: str
) -> None:
    """Each way a folder can be broken is a named check, never a crash."""
    del what
    folder = tmp_path / "run"
    shutil.copytree(year_run.folder, folder)
    damage(folder)
    assert found in names(folder)


def test_a_ledger_of_another_run_is_found(year_run: ReplayResult, tmp_path: Path) -> None:
    """The ledger is sound, but it is not this run's."""
    folder = tmp_path / "run"
    shutil.copytree(year_run.folder, folder)
    (folder / "ledger.db").unlink()
    ledger(folder / "ledger.db")
    assert {"files", "same_run", "tables"} <= set(names(folder))


def test_a_folder_with_nothing_of_a_run_is_refused(tmp_path: Path) -> None:
    """Not a finding but a mistake of whoever asked."""
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(OperatorError, match="not a run folder"):
        verify_path(tmp_path)


@pytest.mark.parametrize(
    ("before", "now", "state", "ok"),
    [
        ("CLEAR", "CLEAR", TradingState.ACTIVE, True),
        ("CLEAR", "CLEAR", TradingState.KILLED, False),
        ("KILLED", "CLEAR", TradingState.KILLED, True),  # unlatched while the ledger was read
        ("CLEAR", "KILLED", TradingState.KILLED, True),  # killed meanwhile
        ("KILLED", "KILLED", TradingState.ACTIVE, True),  # not observed yet
    ],
)
def test_a_ledger_that_was_killed_has_its_latch_set(
    tmp_path: Path, before: str, now: str, state: TradingState, ok: bool
) -> None:
    """Beside a daemon that is killed, or unlatched, while the ledger is read, nothing is wrong."""
    (tmp_path / "kill.latch").write_text(f"{before} tradingd.kill-latch/1\n")
    said = latch_says(tmp_path)
    (tmp_path / "kill.latch").write_text(f"{now} tradingd.kill-latch/1\n")
    assert check_latch(tmp_path, state, said).ok is ok


def test_verify_tells_what_it_is_at(year_run: ReplayResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, then rows along the chain, then events."""
    monkeypatch.setattr("daemon.system.verify_facts.TELL_FRAMES", 100)
    told: list[tuple[str, int]] = []
    assert verify_path(year_run.folder, lambda what, done: told.append((what, done))).ok
    assert list(dict.fromkeys(what for what, _ in told)) == ["pages", "chain", "events"]
    events = [done for what, done in told if what == "events"]
    assert events == sorted(events)
    assert len(events) > 2


def test_the_report_of_a_sound_run_says_so(year_run: ReplayResult) -> None:
    """Every check holds and says what it compared."""
    report = verify_path(year_run.folder)
    assert report.ok
    assert all(check.detail for check in report.checks)
    assert msgspec.json.encode(report)


def test_memory_and_file_journals_end_alike() -> None:
    """The memory journal keeps the seal it was closed with."""
    journal = MemoryJournal()
    journal.flush()
    journal.close("ended", "ab")
    assert (journal.status, journal.digest) == ("ended", "ab")


def test_a_table_that_cannot_be_read_is_a_finding(
    year_run: ReplayResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector under one table does not hide what the others say."""
    folder = tmp_path / "run"
    shutil.copytree(year_run.folder, folder)
    read_bytes = Path.read_bytes

    def failing(self: Path) -> bytes:
        if self.name == "fills.csv":
            raise OSError(5, "Input/output error")
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", failing)
    wrong = {check.name: check.detail for check in verify_path(folder).checks if not check.ok}
    assert wrong == {"table:fills.csv": "cannot be read: Input/output error"}
