"""Views over a ledger of several runs, the oldest of which has moved to the archive."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from actors.messages.alerts import AlertRaised, Severity
from actors.messages.catalogue import MARKET, codec
from daemon.journal.batch import Batch, OutboxRow, SnapshotRow
from daemon.journal.journal import Manifest
from daemon.journal.market_codec import MarketCodec
from daemon.journal.recovery import open_ledger
from daemon.journal.retention import DAY_NS, RetentionPolicy, apply, plan, take_stock
from daemon.journal.writer import LedgerWriter
from daemon.kernel.actor import Frame
from daemon.kernel.poison import PoisonRecord
from daemon.system.views import Projector
from daemon.system.views_rows import Filter, Views
from system.test_views_projector import content, trade
from system.wired import SYMBOLS, House

CODEC = codec()
MARKETS = MarketCodec(MARKET)
ALL = Filter(everything=True, limit=10**9)


async def write(folder: Path, run_id: str, frames: list[Frame], house: House, *, seal: bool) -> None:
    """Write one run's frames, with an alert, a quarantined input and, in the last run, a snapshot behind them."""
    manifest = Manifest(run_id, "1", "playback", 0, {}, "0" * 64, {}, {"symbols": list(SYMBOLS)}, "2020-01-02")
    opened = open_ledger(folder, CODEC, MARKETS)
    try:
        writer = await LedgerWriter.open(
            folder, codec=CODEC, market=MARKETS, manifest=manifest, opened=opened, overtaken=lambda: False
        )
        last = frames[-1].envelope
        alert = AlertRaised(f"A-{run_id}", "k", last.ts_init, Severity.WARNING, f"1 end of {run_id}", ())
        batch = Batch(
            frames=frames,
            outbox=[OutboxRow(alert.alert_id, alert.ts, "warning", msgspec.json.encode(alert), "delivered", 1)],
            quarantined=[PoisonRecord(last, "risk", "E", f"trace of {run_id}")],
        )
        if not seal:
            core = house.core.sequencer
            batch.snapshot = SnapshotRow(last.seq, last.ts_init, core.digest, core.snapshot(), b"")
        await writer.commit(batch)
        if seal:
            await writer.seal("ended", frames[-1].digest.hex())
        await writer.close()
    finally:
        opened.close()


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """A ledger of two runs; the first is sealed and wholly behind the snapshot of the second."""
    house = House()
    trade(house, 3)
    half = len(house.frames)
    trade(house, 2)
    asyncio.run(write(tmp_path, "r1", house.frames[:half], house, seal=True))
    asyncio.run(write(tmp_path, "r2", house.frames[half:], house, seal=False))
    return tmp_path


def move(folder: Path) -> None:
    """Move what is old enough to the archive, as the running daemon does."""
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as db:
        actions = plan(take_stock(folder, MARKETS), RetentionPolicy(ledger_days=1), time.time_ns() + 100 * DAY_NS)
        outcome = apply(actions, folder, MARKETS, lambda function: function(db), rows=5)
    assert outcome.problems == ()
    assert len(list((folder / "archive").glob("ledger-*.db"))) == 1


def test_views_built_from_the_archive_and_the_ledger_are_those_built_before_it_moved(two_runs: Path) -> None:
    """Orders, fills, alerts, quarantine: nobody can tell where they lie."""
    projector = Projector(two_runs)
    projector.catch_up()
    projector.stop()
    before = content(two_runs / "views.db")
    assert len(before["fills"]) == 10
    assert len(before["alerts"]) == len(before["quarantine"]) == 2
    move(two_runs)
    (two_runs / "views.db").unlink()
    projector = Projector(two_runs, step_frames=7)
    projector.catch_up()
    projector.stop()
    after = content(two_runs / "views.db")
    for found in (before, after):  # numbered by when they were read, which nobody sees
        found["alerts"] = sorted(row[1:] for row in found["alerts"])
    assert after == before


def test_views_that_were_there_go_on_when_a_run_moves(two_runs: Path) -> None:
    """What they were read from may leave the ledger; they are not built anew for that."""
    projector = Projector(two_runs)
    projector.catch_up()
    move(two_runs)
    projector.catch_up()
    projector.stop()
    again = Projector(two_runs)
    again.catch_up()
    assert (again.gauges().rebuilds, again.gauges().rebuilding) == (0, False)
    again.stop()


def test_a_run_that_left_the_archive_is_left_out(two_runs: Path) -> None:
    """The views begin behind it, and say nothing that is not so."""
    move(two_runs)
    for path in (two_runs / "archive").glob("ledger-*.db"):
        path.unlink()
    projector = Projector(two_runs)
    projector.catch_up()
    projector.stop()
    assert projector.gauges().trouble == ""
    views = Views(two_runs / "views.db")
    assert len(views.fills(ALL)["rows"]) == 4
    views.close()


def test_a_run_that_moves_while_views_are_built_leaves_no_gap(two_runs: Path) -> None:
    """Half of the first run was read from the ledger, the rest comes from the archive."""
    projector = Projector(two_runs, step_frames=3)
    projector.step()
    move(two_runs)
    projector.catch_up()
    projector.stop()
    views = Views(two_runs / "views.db")
    assert len(views.fills(ALL)["rows"]) == 10
    views.close()
