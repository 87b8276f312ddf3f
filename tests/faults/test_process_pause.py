"""F51: the process is stopped and goes on (a paused virtual machine): told, stale on wake, and nothing is caught up."""

from __future__ import annotations

import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from actors.messages.catalogue import MARKET, codec
from actors.messages.market import BarPanel, GapDetected
from actors.messages.risk import TradingStateChanged
from actors.messages.runtime import MachineTrouble
from config.sources import load_settings
from daemon.journal.archive import read_all
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import RecordedInput
from daemon.system.parity import parity_of
from tests.faults.meddling import QUIET
from tests.live_support import Daemon, daemon, minute_bars
from tests.pace import processors_ns
from tests.parity.worlds import STRATEGIES

CATALOGUE_S = 60.0
"""How long the catalogue of faults stops it; the default run has less time."""
READY_S = 5.0
"""Of a processor, as in the other tests of starts: how long it stands in line for one is the machine's business."""
SPEED = 240
SECOND = 10**9


def trading(folder: Path, *, free: bool) -> str:
    """Return a configuration of a daemon that trades at every bar, four bars a second."""
    folder.mkdir()
    minute_bars(folder / "bars.csv", ("AAA", "BBB", "CCC"), minutes=390)
    (folder / "strategies.py").write_text(STRATEGIES, "utf-8")
    return (
        f'[feed.playback]\nbars = ["bars.csv"]\nadjustment = "split"\nspeed = {SPEED}\n'
        f"free_running = {str(free).lower()}\n"
        '[predictor]\nstrategies = ["strategies.py:windowed"]\ncall_budget_ms = 0\n'
        '[[portfolio]]\nname = "main"\nrebalance = "signal"\n'
        f"[risk]\nmin_confidence_buy = 0\nmin_confidence_sell = 0\nmin_order_value = 1\n"
        f"{QUIET}\n"
        # At this pace a machine that is busy for a moment is a market that is silent for minutes.
        "[risk.breakers]\nstale_data = { limit = 0 }\n"
    )


def recorded(d: Daemon) -> list[RecordedInput]:
    """Return every input of the ledger and the tape."""
    return list(read_all(d.state, codec(), MarketCodec(MARKET)))


def bars_after(rows: list[RecordedInput], seq: int) -> list[RecordedInput]:
    """Return the bars behind an input."""
    return [row for row in rows if row.seq > seq and isinstance(row.body, BarPanel)]


def wait_for_bars(d: Daemon, count: int) -> None:
    """Wait until so many inputs are durable."""
    deadline = time.monotonic() + 30
    with d.client() as client:
        while client.call("journal.head")["seq"] < count:
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.2)


def stop_and_go_on(seconds: float, *daemons: Daemon, meanwhile: signal.Signals | None = None) -> list[int]:
    """Stop processes for a while, and send them a signal before they go on; return the last input of each before it."""
    before = []
    for d in daemons:
        with d.client() as client:
            before.append(client.call("journal.head")["seq"])
        d.signal(signal.SIGSTOP)
    daemons[0].manager.listen(0.0)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        daemons[0].manager.listen(left)
    for d in daemons:
        if meanwhile is not None:
            d.signal(meanwhile)
        d.signal(signal.SIGCONT)
    return before


@pytest.mark.parametrize("seconds", [7.0, pytest.param(CATALOGUE_S, marks=pytest.mark.long)])
def test_f51_a_stopped_process_catches_nothing_up(tmp_path: Path, seconds: float) -> None:
    """Free-running, what was missed is missed and told; gated, the recording stood still as well."""
    with (
        daemon(tmp_path / "free", trading(tmp_path / "free", free=True)) as free,
        daemon(tmp_path / "gated", trading(tmp_path / "gated", free=False)) as gated,
    ):
        for d in (free, gated):
            d.start()
        for d in (free, gated):
            wait_for_bars(d, 12)
        began = time.monotonic()
        at_free, at_gated = stop_and_go_on(seconds, free, gated)
        wait_for_bars(free, at_free + 7)
        took_s = time.monotonic() - began
        wait_for_bars(gated, at_gated + 7)
        for d in (free, gated):
            assert d.stop() == 0
        check_free(free, seconds, took_s)
        check_gated(gated, at_gated)


@pytest.mark.parametrize("seconds", [2.0, pytest.param(CATALOGUE_S, marks=pytest.mark.long)])
def test_f51_what_the_watchdog_ends_comes_back_and_catches_nothing_up(tmp_path: Path, seconds: float) -> None:
    """The service manager lost patience meanwhile: what it sent works on wake, and the next start misses as much."""
    with daemon(tmp_path / "free", trading(tmp_path / "free", free=True)) as d:
        d.start()
        wait_for_bars(d, 12)
        began = time.monotonic()
        (seq,) = stop_and_go_on(seconds, d, meanwhile=signal.SIGABRT)
        assert d.wait() == -signal.SIGABRT
        before = sum(isinstance(row.body, BarPanel) for row in recorded(d))
        d.start()
        took_s = time.monotonic() - began
        assert d.process is not None
        assert processors_ns(d.process.pid)[0] / SECOND < READY_S
        wait_for_bars(d, seq + 7)
        assert d.stop() == 0
        check_missed(d, seconds, took_s)
        assert sum(isinstance(row.body, BarPanel) for row in recorded(d)) > before


def check_free(d: Daemon, seconds: float, took_s: float) -> None:
    """What was missed, and that it was told."""
    check_missed(d, seconds, took_s)
    told(d)


def check_missed(d: Daemon, seconds: float, took_s: float) -> None:
    """A gap, its bars nowhere, trading tightened until prices are fresh, and the record decides again alike.

    The gap is as long as the process was stopped, and no longer than it took from before that until it ran again.
    """
    rows = recorded(d)
    gaps = [row for row in rows if isinstance(row.body, GapDetected)]
    assert len(gaps) == 1
    gap = gaps[0].body
    assert isinstance(gap, GapDetected)
    assert seconds - 1 < (gap.to_ts - gap.from_ts) / SECOND / SPEED < took_s + 1  # it begins with the last bar before
    bars = [row.ts_event for row in rows if isinstance(row.body, BarPanel)]
    assert not [ts for ts in bars if gap.from_ts + 60 * SECOND < ts < gap.to_ts]
    after = bars_after(rows, gaps[0].seq)
    assert after
    # One at a time, each once it is due and none that was due before: a machine that is busy may make one late.
    assert all(gap.to_ts <= row.ts_event <= row.ts for row in after)
    assert all(b.ts_event - a.ts_event == 60 * SECOND for a, b in pairwise(after))
    changes = [(event.old, event.new) for event in d.events(TradingStateChanged)]
    assert changes[:2] == [("active", "reducing"), ("reducing", "active")]
    loaded = load_settings(file=d.config, profile=None, sets=(), environ={})
    assert parity_of(d.state, loaded.settings).equal


def check_gated(d: Daemon, seq: int) -> None:
    """The recording went on where it stood, bar by bar; nothing of it is missing."""
    rows = recorded(d)
    assert not [row for row in rows if isinstance(row.body, GapDetected)]
    bars = [row for row in rows if isinstance(row.body, BarPanel)]
    stamps = [row.ts for row in bars]
    assert all(b - a == 60 * SECOND for a, b in pairwise(stamps))
    assert bars_after(rows, seq)
    told(d)


def told(d: Daemon) -> None:
    """The log, the record and an alert say what happened."""
    assert any("nothing of the process ran for" in line["event"] for line in d.logged())
    troubles = [row.body for row in recorded(d) if isinstance(row.body, MachineTrouble)]
    assert any(trouble.what == "clock" for trouble in troubles)
    assert d.query("SELECT 1 FROM outbox WHERE CAST(body AS TEXT) LIKE '%nothing of the process ran%'")
