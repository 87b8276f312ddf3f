"""The projector against what happens to files: kills, damage, another ledger, locks, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.messages.alerts import AlertRaised, Severity
from actors.messages.catalogue import codec
from daemon.journal.journal import Manifest
from daemon.journal.sqlite import SqliteJournal
from daemon.system.replay import ReplayResult
from daemon.system.views import Projector
from daemon.system.views_rows import Filter, Views
from daemon.system.views_sources import TailError
from daemon.system.views_why import why
from system.wired import SYMBOLS, House, wait_until

ALL = Filter(everything=True, limit=10**9)
ROOT = Path(__file__).resolve().parents[2]


def journal(folder: Path, *, run_id: str = "r1", batch: int = 1) -> SqliteJournal:
    """Create a durable ledger in a folder."""
    manifest = Manifest(run_id, "1", "playback", 0, {}, "0" * 64, {}, {"symbols": list(SYMBOLS)}, "2020-01-02")
    return SqliteJournal(folder / "ledger.db", manifest, codec(), durable=True, batch=batch)


def trade(house: House, rounds: int = 1) -> None:
    """Buy and sell now and then."""
    for _ in range(rounds):
        house.bar(100, 200, 300)
        house.submit(qty=10)
        house.bar(101, 200, 300)
        house.submit(qty=10, side="sell")
        house.bar(102, 200, 300)


def content(path: Path) -> dict[str, list[Any]]:
    """Return every table but ``meta``, and how far it goes."""
    db = sqlite3.connect(path)
    names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    tables = [name for name in names if name != "meta"]
    found = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall() for name in tables}  # noqa: S608 - ours
    found["seq"] = db.execute("SELECT seq FROM meta").fetchall()
    db.close()
    return found


@pytest.fixture
def live(tmp_path: Path) -> Iterator[House]:
    """A house whose ledger every commit reaches at once."""
    ledger = journal(tmp_path)
    house = House(sink=ledger)
    yield house
    ledger.abandon()


def test_a_reader_sees_what_was_just_committed(tmp_path: Path, live: House) -> None:
    """Told of a commit, the projector has it in a moment; who waits is woken."""
    projector = Projector(tmp_path)
    projector.start()
    views = Views(tmp_path / "views.db")
    try:
        for n in range(20):
            live.bar(100, 200, 300)
            live.submit(id=f"o{n}", type="limit", limit_px=95, tif="gtc", qty=2)
            seq = live.core.sequencer.seq
            projector.notify(seq)
            assert projector.wait_for(seq, 5.0)
            answer = views.orders(Filter(limit=1))
            assert answer["rows"][0]["client_order_id"] == f"o{n}"
            assert answer["as_of_seq"] == seq
        assert not projector.wait_for(10**9, 0.01)
        gauges = projector.gauges()
        assert (gauges.lag, gauges.trouble, gauges.rebuilds, gauges.rebuilding) == (0, "", 0, False)
    finally:
        views.close()
        assert projector.stop()


def test_a_ledger_that_nobody_speaks_of_is_followed_too(tmp_path: Path, live: House) -> None:
    """A lost notice costs a moment, not the view."""
    projector = Projector(tmp_path)
    projector.start()
    try:
        trade(live)
        assert wait_until(lambda: projector.gauges().seq == live.core.sequencer.seq)
    finally:
        assert projector.stop()


def test_stopping_anywhere_and_going_on_gives_the_same_views(tmp_path: Path, year_run: ReplayResult) -> None:
    """One frame at a time with a new projector for each, against all at once."""
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    for folder in (whole, pieces):
        folder.mkdir()
        shutil.copy(year_run.folder / "ledger.db", folder)
    first = Projector(whole)
    first.catch_up()
    first.stop()
    more = True
    while more:
        projector = Projector(pieces, step_frames=29)
        more = projector.step(poll=True)
        projector.stop()
        assert projector.gauges().rebuilds == 0
    assert content(pieces / "views.db") == content(whole / "views.db")


_CHILD = """
import sys, time
from pathlib import Path
from daemon.system.views import Projector
projector = Projector(Path(sys.argv[1]), step_frames=3)
print("begun", flush=True)
while projector.step(poll=True):
    pass
print("done", flush=True)
time.sleep(60)
"""


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path, year_run: ReplayResult) -> None:
    """With kill -9 at several moments; the views are those of one that was never killed."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        shutil.copy(year_run.folder / "ledger.db", folder)
    undisturbed = Projector(whole)
    undisturbed.catch_up()
    undisturbed.stop()
    reached = []
    for turn in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(killed)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            target = (turn + 1) * 60
            assert wait_until(lambda target=target: _seq(killed) >= target)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
        reached.append(_seq(killed))
    assert reached == sorted(reached)
    assert reached[0] < _seq(whole)
    projector = Projector(killed)
    projector.catch_up()
    projector.stop()
    assert projector.gauges().rebuilds == 0
    assert content(killed / "views.db") == content(whole / "views.db")


def _seq(folder: Path) -> int:
    if not (folder / "views.db").exists():
        return 0
    db = sqlite3.connect(f"{(folder / 'views.db').as_uri()}?mode=ro", uri=True)
    try:
        return int(db.execute("SELECT seq FROM meta").fetchone()[0])
    except sqlite3.OperationalError:  # just being made
        return 0
    finally:
        db.close()


def _damage_pages(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.seek(4096)
        handle.write(os.urandom(path.stat().st_size - 4096))


def _sql(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 500), "not a database"),
        (_damage_pages, ""),
        (lambda path: path.write_bytes(b""), "schema is 0"),
        (lambda path: _sql(path, "PRAGMA user_version = 99"), "schema is 99"),
        (lambda path: _sql(path, "UPDATE meta SET generation = 'another'"), "another ledger"),
        (lambda path: _sql(path, "UPDATE meta SET seq = 100000"), "the ledger only to"),
        (lambda path: _sql(path, "UPDATE meta SET hash = x'00'"), "is another one now"),
        (lambda path: _sql(path, "UPDATE meta SET boot = 'yesterday'"), "the machine went down"),
        (lambda path: _sql(path, "DELETE FROM meta"), "does not say what it was read from"),
        (lambda path: _sql(path, "DROP TABLE fills"), "no such table"),
        (lambda path: path.unlink(), None),
    ],
    ids=["garbage", "pages", "empty", "schema", "ledger", "ahead", "hash", "boot", "meta", "table", "gone"],
)
def test_views_that_do_not_fit_are_built_anew(tmp_path: Path, live: House, harm: Any, why: str | None) -> None:
    """Whatever is wrong with the file, the end is what it would have been, and a reader finds it there."""
    trade(live, 3)
    first = Projector(tmp_path)
    first.catch_up()
    first.stop()
    expected = content(tmp_path / "views.db")
    path = tmp_path / "views.db"
    harm(path)
    trade(live)
    notes: list[str] = []
    projector = Projector(tmp_path, on_note=notes.append)
    assert projector.catch_up() == live.core.sequencer.seq
    assert projector.gauges().rebuilds == (0 if why is None else 1)
    if why is not None:
        assert len(notes) == 1
        assert why in notes[0]
    views = Views(path)
    assert len(views.fills(ALL)["rows"]) == len(expected["fills"]) + 2
    views.close()
    projector.stop()


def test_a_file_deleted_under_a_running_projector_comes_back(tmp_path: Path, live: House) -> None:
    """And a reader that had the old one open reads the new one."""
    trade(live)
    projector = Projector(tmp_path)
    projector.catch_up()
    views = Views(tmp_path / "views.db")
    before = views.fills(ALL)["rows"]
    for name in ("views.db", "views.db-wal", "views.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    trade(live)
    assert projector.catch_up() == live.core.sequencer.seq
    assert len(views.fills(ALL)["rows"]) == len(before) + 2
    assert projector.gauges().rebuilds == 1
    views.close()
    projector.stop()


def test_a_ledger_begun_anew_is_noticed(tmp_path: Path) -> None:
    """The old views say nothing of the new ledger."""
    for run_id, rounds in (("one", 3), ("two", 1)):
        (tmp_path / "ledger.db").unlink(missing_ok=True)
        ledger = journal(tmp_path, run_id=run_id)
        house = House(sink=ledger)
        trade(house, rounds)
        ledger.close("ended", "")
        projector = Projector(tmp_path)
        projector.catch_up()
        projector.stop()
        views = Views(tmp_path / "views.db")
        assert len(views.fills(ALL)["rows"]) == 2 * rounds
        views.close()


def test_a_locked_file_is_waited_for_and_told(tmp_path: Path, live: House) -> None:
    """A foreign writer holds views.db: the projector falls behind, says so, and catches up."""
    trade(live)
    notes: list[str] = []
    projector = Projector(tmp_path, on_note=notes.append)
    projector.start()
    assert projector.wait_for(live.core.sequencer.seq, 5.0)
    foreign = sqlite3.connect(tmp_path / "views.db", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    trade(live)
    seq = live.core.sequencer.seq
    projector.notify(seq)
    assert wait_until(lambda: "locked" in projector.gauges().trouble)
    assert projector.gauges().lag > 0
    begin = time.monotonic()
    assert not projector.wait_for(seq, 30.0)  # nobody is kept waiting for what cannot come
    assert time.monotonic() - begin < 10.0
    foreign.execute("ROLLBACK")
    foreign.close()
    assert wait_until(lambda: projector.gauges().seq == seq)
    assert wait_until(lambda: projector.gauges().trouble == "")
    assert projector.gauges().rebuilds == 0
    assert notes[0].startswith("the views fall behind")
    assert notes[-1] == "the views can be written again"
    assert projector.stop()


_FULL = """
import resource, signal, sys
from pathlib import Path
from daemon.system.views import Projector
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
projector = Projector(folder, step_frames=5)
projector.step()
size = max(p.stat().st_size for p in folder.glob("views.db*"))
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.RLIM_INFINITY))
failed = ""
for _ in range(10_000):
    try:
        if not projector.step():
            break
    except Exception as error:
        failed = f"{type(error).__name__}"
        break
print(failed)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
projector.catch_up()
print(projector.gauges().rebuilds, projector.gauges().lag)
projector.stop()
"""


def test_a_full_disk_is_waited_for(tmp_path: Path, year_run: ReplayResult) -> None:
    """Nothing is lost and nothing is built anew: when there is room it goes on."""
    shutil.copy(year_run.folder / "ledger.db", tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert child.stdout.split() == ["OperationalError", "0", "0"]
    whole = tmp_path / "whole"
    whole.mkdir()
    shutil.copy(year_run.folder / "ledger.db", whole)
    projector = Projector(whole)
    projector.catch_up()
    projector.stop()
    assert content(tmp_path / "views.db") == content(whole / "views.db")


def test_without_a_ledger_it_waits_for_one(tmp_path: Path) -> None:
    """Started too early, it says why it stands still and follows once the ledger is there."""
    projector = Projector(tmp_path)
    with pytest.raises(TailError, match="there is no ledger"):
        projector.step()
    projector.start()
    assert wait_until(lambda: "there is no ledger" in projector.gauges().trouble)
    ledger = journal(tmp_path)
    house = House(sink=ledger)
    trade(house)
    assert wait_until(lambda: projector.gauges().seq == house.core.sequencer.seq)
    ledger.abandon()
    assert projector.stop()


def test_a_frame_that_cannot_be_read_stops_the_views_and_nothing_else(tmp_path: Path, live: House) -> None:
    """The ledger is not the projector's to judge or to rebuild."""
    trade(live)
    _sql(tmp_path / "ledger.db", "UPDATE frame SET body = x'ff' WHERE seq = 5")
    projector = Projector(tmp_path)
    for behind in (0, 4):  # what came before it is shown
        with pytest.raises(TailError, match=f"cannot be read behind {behind}"):
            projector.catch_up()
        assert projector.gauges().seq == 4
    assert projector.gauges().rebuilds == 0
    projector.stop()


def test_a_mistake_of_our_own_is_no_endless_rebuilding(tmp_path: Path, live: House, monkeypatch: Any) -> None:
    """Built anew once; the second time at the same place it waits and says so."""
    trade(live)
    projector = Projector(tmp_path)
    projector.step()
    monkeypatch.setattr("daemon.system.views.sync_quarantine", lambda *_: _broken())
    assert projector.step(poll=True)
    with pytest.raises(RuntimeError, match="was just built anew"):
        projector.step(poll=True)
    assert projector.gauges().rebuilds == 1
    projector.stop()


def _broken() -> None:
    sqlite3.connect(":memory:").execute("SELECT * FROM nothing")


def test_alerts_follow_the_outbox_and_acknowledgements_the_frames(tmp_path: Path, live: House) -> None:
    """Counts go up, deliveries are confirmed, and what a person has seen is no longer in the list."""
    db = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    one = AlertRaised("A-1", "k", 10, Severity.CRITICAL, "1 thing", (("loss", "0.1"),), "halted", "tradingctl risk")
    two = AlertRaised("A-2", "l", 20, Severity.INFO, "2 things", ())
    rows = "INSERT OR REPLACE INTO outbox (alert_id, ts, severity, body, state, attempts) VALUES (?, ?, ?, ?, ?, ?)"
    for alert in (one, two):
        db.execute(rows, (alert.alert_id, alert.ts, alert.severity.value, msgspec.json.encode(alert), "pending", 0))
    projector = Projector(tmp_path)
    projector.catch_up()
    views = Views(tmp_path / "views.db")
    found = views.alerts(Filter())["rows"]
    assert [(row["alert_id"], row["state"], row["acknowledged"]) for row in found] == [
        ("A-2", "pending", False),
        ("A-1", "pending", False),
    ]
    assert (found[1]["facts"], found[1]["next_command"]) == ({"loss": "0.1"}, "tradingctl risk")
    assert (views.unacknowledged(), views.knows_alert("A-1"), views.knows_alert("A-3")) == (1, True, False)
    again = msgspec.structs.replace(one, ts=30, count=2)
    db.execute(rows, ("A-1", 30, "critical", msgspec.json.encode(again), "pending", 1))
    db.execute("UPDATE outbox SET state = 'delivered' WHERE alert_id = 'A-2'")
    assert live.call("alert.ack", alert_id="A-2").code == ""
    projector.catch_up()
    (row,) = views.alerts(Filter())["rows"]
    assert (row["alert_id"], row["count"]) == ("A-1", 2)
    every = views.alerts(Filter(everything=True))["rows"]
    assert [(row["alert_id"], row["state"], row["acknowledged_by"]) for row in every] == [
        ("A-1", "pending", None),
        ("A-2", "delivered", "uid 7 pid 4242"),
    ]
    assert views.alerts(Filter(everything=True, since_ts=25))["rows"] == every[:1]
    views.close()
    projector.stop()
    db.close()


def test_an_alert_that_cannot_be_read_is_shown_as_one(tmp_path: Path, live: House) -> None:
    """One bad row keeps nothing else from being seen."""
    _sql(tmp_path / "ledger.db", "INSERT INTO outbox VALUES ('A-9', 1, 'warning', x'7b7d', 'pending', 0)")
    projector = Projector(tmp_path)
    projector.catch_up()
    projector.stop()
    views = Views(tmp_path / "views.db")
    (row,) = views.alerts(Filter())["rows"]
    assert (row["alert_id"], row["title"]) == ("A-9", "an alert that cannot be read")
    views.close()


def test_a_ledger_that_is_none_is_no_reason_to_build_anew(tmp_path: Path, live: House) -> None:
    """It may be on its way back from a backup; the views stay as they are."""
    trade(live)
    projector = Projector(tmp_path)
    projector.catch_up()
    projector.stop()
    before = content(tmp_path / "views.db")
    live.sink.abandon()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "ledger.db").write_bytes(b"this is no ledger" * 1_000)
    again = Projector(tmp_path)
    with pytest.raises(TailError):
        again.catch_up()
    assert again.gauges().rebuilds == 0
    again.stop()
    assert content(tmp_path / "views.db") == before


def test_rejected_orders_and_portfolios_are_told_apart(tmp_path: Path) -> None:
    """What the broker refused has its own status; with several portfolios a row says whose it is."""
    ledger = journal(tmp_path)
    house = House(sink=ledger, portfolios=("a", "b"))
    house.bar(100, 200, 300)
    house.submit(id="t", side="sell", reduce_only=True, portfolio="b")
    house.submit(id="o", portfolio="a")
    projector = Projector(tmp_path)
    projector.catch_up()
    projector.stop()
    views = Views(tmp_path / "views.db", several=True)
    rows = views.orders(ALL)["rows"]
    assert [(row["client_order_id"], row["status"], row["portfolio"]) for row in rows] == [
        ("o", "new", "a"),
        ("t", "rejected", "b"),
    ]
    assert [row["order_id"] for row in views.orders(Filter(everything=True, portfolio="b"))["rows"]] == ["O-1"]
    assert [check["verdict"] for check in why(views, "t")["checks"]] == ["passed", "rejected"]
    views.close()
    ledger.abandon()


def test_the_quarantine_is_shown_to_people(tmp_path: Path, live: House) -> None:
    """With the traceback, which no event holds."""
    _sql(
        tmp_path / "ledger.db",
        "INSERT INTO quarantine (seq, ts, actor, input, error, traceback) VALUES (3, 4, 'risk', 'Halt', 'E', 'T')",
    )
    projector = Projector(tmp_path)
    projector.catch_up()
    projector.stop()
    assert content(tmp_path / "views.db")["quarantine"] == [(1, 3, 4, "risk", "Halt", "E", "T")]


def test_readers_on_several_threads_share_one_view(tmp_path: Path, live: House) -> None:
    """Each answer is whole and of one moment, while the projector writes."""
    projector = Projector(tmp_path, step_frames=1)
    projector.step()
    projector.start()
    views = Views(tmp_path / "views.db")
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        last = 0
        while not done.is_set():
            answer = views.orders(ALL)
            if answer["as_of_seq"] < last:
                problems.append("an answer went back in time")
            last = answer["as_of_seq"]

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    trade(live, 15)
    assert projector.wait_for(live.core.sequencer.seq, 10.0)
    done.set()
    for thread in threads:
        thread.join()
    views.close()
    assert projector.stop()
    assert problems == []


def test_equity_marks_are_kept_one_a_minute(tmp_path: Path, live: House) -> None:
    """However many there are: months of running stay small."""
    trade(live, 2)
    projector = Projector(tmp_path, step_frames=1)
    projector.catch_up()
    projector.stop()
    rows = content(tmp_path / "views.db")["portfolio_snapshots"]
    assert len(rows) == len({row[2] for row in rows}) == 6
    assert "EquityMarked" not in {row[3] for row in content(tmp_path / "views.db")["events"]}
