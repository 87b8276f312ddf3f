"""Days go by in a running daemon: sessions roll over, tapes begin anew, old runs move away, and nothing grows.

All of it: ``pytest -m long tests/faults/test_process_days.py -rP``.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.messages.catalogue import MARKET, codec
from actors.messages.market import SessionClosed, SessionOpened
from actors.messages.portfolio import EquityMarked, SessionRolled
from config.sources import load_settings
from daemon.journal.archive import read_all
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import RecordedInput
from daemon.system.parity import parity_of
from tests.faults.meddling import QUIET
from tests.faults.test_process_clock import DAY, library, wall_clock
from tests.faults.test_process_stop import verified
from tests.live_support import Daemon, daemon
from tests.parity.worlds import STRATEGIES, replay_of

__all__ = ["library"]

SESSIONS = {
    # calendar: (dates, opening of each in UTC, minutes)
    "XNYS daylight saving": ("XNYS", ["2024-03-08T14:30", "2024-03-11T13:30", "2024-03-12T13:30"], 390),
    "XNYS early close": ("XNYS", ["2024-11-27T14:30", "2024-11-29T14:30", "2024-12-02T14:30"], 390),
    "XASX over midnight UTC": ("XASX", ["2024-01-02T23:00", "2024-01-03T23:00", "2024-01-04T23:00"], 360),
}
CLOSES = {
    "XNYS daylight saving": ["2024-03-08T21:00", "2024-03-11T20:00", "2024-03-12T20:00"],
    "XNYS early close": ["2024-11-27T21:00", "2024-11-29T18:00", "2024-12-02T21:00"],
    "XASX over midnight UTC": ["2024-01-03T05:00", "2024-01-04T05:00", "2024-01-05T05:00"],
}
DATES = {
    "XNYS daylight saving": [20240308, 20240311, 20240312],
    "XNYS early close": [20241127, 20241129, 20241202],
    "XASX over midnight UTC": [20240103, 20240104, 20240105],
}


def instant(text: str) -> datetime:
    """Read a time of the table above."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def nanos(text: str) -> int:
    """Return it in nanoseconds."""
    return int(instant(text).timestamp()) * 10**9


def bars(path: Path, openings: list[str], minutes: int, step: int = 5) -> None:
    """Write bars of whole days from each opening on, also behind an early close."""
    lines = ["ts,symbol,open,high,low,close,volume"]
    n = 0
    for opening in openings:
        for minute in range(0, minutes, step):
            at = (instant(opening) + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for k, symbol in enumerate(("AAA", "BBB", "CCC")):
                base = 100 + 10 * k + ((n * 7 + k * 3) % 23 - 11) / 8
                lines.append(f"{at},{symbol},{base:.2f},{base + 0.6:.2f},{base - 0.6:.2f},{base + 0.1:.2f},100000")
            n += 1
    path.write_text("\n".join(lines) + "\n", "ascii")


def trading(calendar: str, feed: str = "", more: str = "") -> str:
    """Return the configuration of a daemon that trades bars.csv."""
    return (
        f'[universe]\ncalendar = "{calendar}"\n'
        f'[feed.playback]\nbars = ["bars.csv"]\nadjustment = "split"\nspeed = "max"\n{feed}'
        '[predictor]\nstrategies = ["strategies.py:windowed", "strategies.py:remembering"]\ncall_budget_ms = 0\n'
        '[[portfolio]]\nname = "main"\nrebalance = "signal"\n'
        f"[risk]\nmin_confidence_buy = 0\nmin_confidence_sell = 0\nmin_order_value = 1\n{more}{QUIET}"
    )


def recorded(d: Daemon) -> list[RecordedInput]:
    """Return every input of the ledger, the tape and the archive."""
    return list(read_all(d.state, codec(), MarketCodec(MARKET)))


def forensic(d: Daemon) -> str:
    """Decide everything again; return the digest."""
    found = parity_of(d.state, load_settings(file=d.config, profile=None, sets=(), environ={}).settings)
    assert found.equal, found.differences
    return found.digest


@pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(case, marks=pytest.mark.long) for case in SESSIONS if case[:4] == "XNYS"),
        "XASX over midnight UTC",
    ],
)
def test_sessions_roll_over_in_a_running_process(tmp_path: Path, case: str) -> None:
    """To the second, one tape a trading day, each day's baseline the close before, with a crash in between."""
    calendar, openings, minutes = SESSIONS[case]
    bars(tmp_path / "bars.csv", openings, minutes)
    (tmp_path / "strategies.py").write_text(STRATEGIES, "utf-8")
    with daemon(tmp_path, trading(calendar)) as d:
        wanted = replay_of(d.config, tmp_path / "replay")
        d.spawn(until_end=True, faults=["after:commit:2:crash"], arguments=["--stutter", "1", "--stutter-s", "0.01"])
        assert d.wait() == -9
        d.spawn(until_end=True)
        assert d.wait() == 0, d.tail()
        assert forensic(d) == wanted.digest
        rows = recorded(d)
        opened = [row.body.session for row in rows if isinstance(row.body, SessionOpened)]
        closed = [row.body.session for row in rows if isinstance(row.body, SessionClosed)]
        assert [session.date for session in opened] == [session.date for session in closed] == DATES[case]
        assert [session.open_ts for session in opened] == [nanos(text) for text in openings]
        assert [session.close_ts for session in closed] == [nanos(text) for text in CLOSES[case]]
        assert [row.ts for row in rows if isinstance(row.body, SessionClosed)] == [nanos(text) for text in CLOSES[case]]
        tapes = sorted(int(path.name[:8]) for path in (d.state / "tape").glob("*.tape"))
        assert tapes == DATES[case]
        check_baselines(rows, DATES[case])


def check_baselines(rows: list[RecordedInput], dates: list[int]) -> None:
    """Each session is rolled once, with the equity it closed with: what the next day's losses count from."""
    equity = 0
    rolled: list[SessionRolled] = []
    for event in (event for row in rows for event in row.events):
        if isinstance(event, EquityMarked):
            equity = event.equity
        elif isinstance(event, SessionRolled):
            rolled.append(event)
            assert event.equity == equity, event
    assert [event.session for event in rolled] == dates
    assert len({event.equity for event in rolled}) > 1


# -- months ---


def weekdays(first: date, count: int) -> list[date]:
    """Return working days."""
    days = (first + timedelta(days=n) for n in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def rss_mb(d: Daemon) -> float:
    """Return the resident memory of the process."""
    assert d.process is not None
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{d.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def run_on(d: Daemon, inputs: int) -> tuple[int, str]:
    """Wait until so many more inputs are durable; return the last one and its date."""
    with d.client() as client:
        head: dict[str, Any] = client.call("journal.head")
        wanted = head["seq"] + inputs
        deadline = time.monotonic() + 300
        while head["seq"] < wanted:
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.2)
            head = client.call("journal.head")
    return head["seq"], str(head["ts"])[:10]


def months(folder: Path, *, loops: str = "loop = true\n") -> str:
    """Write ten sessions of minute bars that are played round and round."""
    openings = [f"{day}T14:30" for day in weekdays(date(2024, 1, 2), 10) if day != date(2024, 1, 15)]
    bars(folder / "bars.csv", openings, 390, step=5)
    (folder / "strategies.py").write_text(STRATEGIES, "utf-8")
    return trading(
        "XNYS", feed=loops, more="[journal]\nsnapshot_events = 500\n[retention]\nledger_days = 10\ntape_days = 10\n"
    )


def live_and_grow_old(tmp_path: Path, library: Path, *, lives: int, inputs: int, grows_mb: float) -> None:
    """Several lives of a daemon, weeks of the wall clock apart: starts stay as quick, records move, memory stays."""
    ready: list[float] = []
    with daemon(tmp_path, months(tmp_path)) as d, wall_clock(tmp_path, library) as clock:
        for life in range(lives):
            ready.append(d.start(env=clock.env))
            seq, day = run_on(d, inputs)
            if life < lives - 1:
                d.kill() if life % 2 else d.stop()
            clock.step(30 * DAY)
        half = rss_mb(d)
        seq, day = run_on(d, inputs)
        full = rss_mb(d)
        assert d.stop() == 0
        ledger = d.ledger.stat().st_size / 1e6
        archived = list((d.state / "archive").iterdir())
        print(f"{seq:,} inputs to {day}: ready in {ready[0]:.2f} s at first, {ready[-1]:.2f} s at last; ")  # noqa: T201
        print(f"RSS {half:.0f} MB, then {full:.0f} MB; ledger {ledger:.1f} MB, {len(archived)} files archived")  # noqa: T201
        assert archived
        assert ready[-1] < 3 * ready[0] + 1
        assert full < half + grows_mb
        assert d.query("SELECT min(seq) FROM frame")[0][0] > inputs  # the first run has left the ledger
        assert verified(d)
        forensic(d)


def test_a_daemon_grows_old(tmp_path: Path, library: Path) -> None:
    """Three lives."""
    live_and_grow_old(tmp_path, library, lives=3, inputs=500, grows_mb=80)  # it is still warming up


@pytest.mark.long
def test_months_of_playback(tmp_path: Path, library: Path) -> None:
    """Eight lives, some six months of sessions."""
    live_and_grow_old(tmp_path, library, lives=8, inputs=5_000, grows_mb=10)
