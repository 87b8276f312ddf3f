"""A core with its live folds: whatever its past is cut into, snapshot and record give back the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from actors.messages.alerts import AlertRaised, Severity
from actors.messages.inference import InferenceRequested
from actors.messages.market import GapDetected
from daemon.journal.batch import SnapshotRow
from daemon.journal.opened import RecordedInput
from daemon.kernel.message import Market
from daemon.system import live_core
from daemon.system.live_core import LiveCore, outbox_rows
from tests.system.core_rig import OPEN, Rig, bars, churning, core_spec, events, image, rig
from tests.system.scheming import STEP, Pool, scheming

pytestmark = pytest.mark.asyncio


def fold(r: Rig, rows: Iterable[RecordedInput], snapshot: SnapshotRow | None, tape: list[Market]) -> LiveCore:
    """Return a core from a snapshot and what was recorded behind it."""
    core = r.factory.empty()
    if snapshot is None:
        core.move_clock(OPEN)
        core.sequencer.start()
    else:
        core.restore(snapshot, lambda count: tape[-count:])
    for row in rows:
        core.refold(row.seq, row.ts, row.ts_event, row.source, row.body, row.events)
    core.sequencer.rearm()
    return core


async def test_every_snapshot_and_the_record_behind_it_give_the_running_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts, open questions, the place in the recording, timers: from any snapshot, and from none, equal bytes."""
    monkeypatch.setattr(live_core, "build_core", scheming())
    pool = Pool(1)
    inputs = bars(1, 15)[:-1]
    async with rig(tmp_path, inputs, snapshot_events=3, capacity=2, latency_ns=3 * STEP, prepare=pool.serve) as r:
        await r.until(lambda: bool(r.core.questions) and r.loop.settled)
        rows = r.recorded()
        taken = [c.batch.snapshot for c in r.outside.commits if c.batch.snapshot is not None]
        assert taken
        running = image(r.core)
        if rows[-1].seq == r.core.sequencer.seq:
            for snapshot in (None, *taken):
                after = 0 if snapshot is None else snapshot.seq
                tape = [row.body for row in rows if row.seq <= after and isinstance(row.body, Market)]
                again = fold(r, [row for row in rows if row.seq > after], snapshot, tape)
                assert image(again) == running
                assert list(again.questions) == list(r.core.questions)
                assert again.asked == len(events([x for x in rows if x.seq > after], InferenceRequested)) + (
                    0 if snapshot is None else len(msgspec.msgpack.decode(snapshot.edge)["questions"])
                )


async def test_with_strategies_and_windows_a_snapshot_warms_from_the_tape(tmp_path: Path) -> None:
    """Rings are not in it: they come from the last rows before it."""
    async with rig(tmp_path, bars(2, 12)[:-1], spec=core_spec(churning()), snapshot_events=25, capacity=2) as r:
        await r.settle()
        rows = r.recorded()
        taken = [c.batch.snapshot for c in r.outside.commits if c.batch.snapshot is not None]
        assert len(taken) > 1
        for snapshot in taken:
            tape = [row.body for row in rows if row.seq <= snapshot.seq and isinstance(row.body, Market)]
            core = fold(r, [row for row in rows if row.seq > snapshot.seq], snapshot, tape)
            assert image(core) == image(r.core)
            assert core.snapshot_seq == snapshot.seq


async def test_the_place_counts_what_was_taken_at_one_instant(tmp_path: Path) -> None:
    """A gap is told by the shell and is no part of the recording."""
    async with rig(tmp_path, feed=False) as r:
        core = r.factory.empty()
        panel = bars(1, 1)[0]
        for _ in range(3):
            core.fold_panel(panel, [])
        assert (core.feed_ts, core.feed_n) == (OPEN, 3)
        core.fold_panel(GapDetected(OPEN + 5, "playback", OPEN, OPEN + 5), [])
        assert (core.feed_ts, core.feed_n) == (OPEN, 3)
        core.fold_panel(bars(1, 1)[1], [])
        assert core.feed_n == 1


async def test_a_virtual_clock_is_only_ever_moved_forward(tmp_path: Path) -> None:
    """An input that belongs to an earlier instant is stamped now."""
    async with rig(tmp_path, feed=False) as r:
        core = r.factory.empty()
        core.move_clock(OPEN)
        core.move_clock(None)
        core.move_clock(OPEN - 1)
        assert core.clock.now() == OPEN


async def test_a_snapshot_of_other_actors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever restores it falls back to an older one, or to the record."""
    async with rig(tmp_path, bars(1, 3)[:-1]) as r:
        await r.settle()
        row = r.core.snapshot()
        state = msgspec.msgpack.decode(row.core)
        state["actors"] = {"stranger": None}
        other = msgspec.structs.replace(row, core=msgspec.msgpack.encode(state))
        with pytest.raises(Exception, match="stranger"):
            r.factory.empty().restore(other, partial(_none, r))


def _none(r: Rig, count: int) -> list[Market]:
    return []


async def test_alerts_are_rows_that_say_what_the_channels_will() -> None:
    """Under their ids, pending."""
    alert = AlertRaised("A-1", "key", 7, Severity.CRITICAL, "title", ())
    (row,) = outbox_rows([alert])
    assert (row.alert_id, row.ts, row.severity, row.state, row.attempts) == ("A-1", 7, "critical", "pending", 0)
    assert msgspec.json.decode(row.body, type=AlertRaised) == alert
