"""F56: the wall clock is set while the daemon runs, slewed, or in another zone: told; time goes on as it did.

What trading makes of it is the breaker's: free-running, as live, it reduces until somebody has looked.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path

import pytest

from actors.messages.catalogue import MARKET, codec
from actors.messages.market import GapDetected, SessionOpened
from actors.messages.orders import OrderAccepted, OrderExpired
from actors.messages.portfolio import SessionRolled
from actors.messages.risk import BreakerTripped, TradingStateChanged
from actors.messages.runtime import MachineTrouble
from config.sources import load_settings
from daemon.journal.archive import read_all
from daemon.journal.market_codec import MarketCodec
from daemon.journal.opened import RecordedInput
from daemon.system.parity import parity_of
from tests.live_support import CallError, Daemon, daemon, until
from tests.parity.worlds import replay_of, world

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
CLOSE = 1_704_229_200 * SECOND  # 2024-01-02T21:00:00Z, of the first session


class WallClock:
    """The wall clock of daemons started with :attr:`env`."""

    def __init__(self, folder: Path, library: Path) -> None:
        """Begin with the true time."""
        path = folder / "clock"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(path)}
        self.offset = 0

    def step(self, amount_ns: int) -> None:
        """Set the clock forward or back."""
        self.offset += amount_ns
        self._map[:8] = struct.pack("=q", self.offset)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that shifts the wall clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: a clock that is set cannot be built")
    built = tmp_path_factory.mktemp("clock") / "stepping_clock.so"
    source = Path(__file__).with_name("stepping_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(built), str(source), "-ldl"], check=True)
    return built


@contextmanager
def wall_clock(folder: Path, library: Path) -> Iterator[WallClock]:
    """Give a wall clock to play with."""
    clock = WallClock(folder, library)
    try:
        yield clock
    finally:
        clock.close()


def recorded(d: Daemon) -> list[RecordedInput]:
    """Return every input of the ledger and the tape."""
    return list(read_all(d.state, codec(), MarketCodec(MARKET)))


def told(d: Daemon) -> list[str]:
    """Return what was told of clocks."""
    return [row.body.sentence for row in recorded(d) if isinstance(row.body, MachineTrouble)]


def until_told(d: Daemon, count: int) -> None:
    """Wait until so many steps were noticed."""
    deadline = time.monotonic() + 20
    while sum("wall clock was set" in line["event"] for line in d.logged()) < count:
        assert time.monotonic() < deadline, d.tail()
        d.manager.listen(0.1)


def in_order(d: Daemon) -> str:
    """Stamps never go back, ids are unique, sessions roll once, the record decides again alike; return its digest."""
    rows = recorded(d)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert all(a.ts <= b.ts for a, b in pairwise(rows))
    opened = [row.body.session.date for row in rows if isinstance(row.body, SessionOpened)]
    assert len(opened) == len(dict.fromkeys(opened))
    rolled = [(event.portfolio, event.session) for event in d.events(SessionRolled)]
    assert len(rolled) == len(dict.fromkeys(rolled))
    orders = [event.order.client_order_id for event in d.events(OrderAccepted)]
    assert len(orders) == len(dict.fromkeys(orders))
    loaded = load_settings(file=d.config, profile=None, sets=(), environ={})
    found = parity_of(d.state, loaded.settings)
    assert found.equal, found.differences
    return found.digest


def test_f56_steps_of_the_wall_clock_move_nothing(tmp_path: Path, library: Path) -> None:
    """An hour forward, an hour back, a day: each is told; time in the core, its timers and sessions go on.

    A DAY order is the timer: it neither goes with the hour or the day that was never lived, nor stays for ever.
    """
    around = world(tmp_path, 5, "around").settings.replace('speed = "max"', "speed = 3000\nfree_running = true")
    settings = around.replace('calendar = "always"', 'calendar = "XNYS"').replace(
        "[risk]\n", "[risk]\nprice_collar = 0\nbreakers.clock_skew.limit = 0\nbreakers.stale_data.limit = 0\n"
    )
    with daemon(tmp_path, settings) as d, wall_clock(tmp_path, library) as clock:
        d.start(env=clock.env)
        with d.client() as client:
            order = {"symbol": "AAA", "side": "buy", "qty": 1, "type": "limit", "limit_px": 5, "portfolio": "main"}
            keys = (f"day-{n}" for n in count())
            until(10, lambda: client.call("order.submit", id=next(keys), tif="day", **order)["order_id"], "a price")
            for n, step in enumerate((HOUR, -HOUR, DAY), start=1):
                clock.step(step)
                until_told(d, n)
            deadline = time.monotonic() + 30
            while client.call("journal.head")["ts"] < "2024-01-02T21:00:01":
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.2)
        assert d.stop() == 0
        sentences = [text for text in told(d) if "wall clock" in text]
        assert [text.split(" by ")[0].split()[-1] for text in sentences] == ["forward", "back", "forward"]
        assert not d.events(TradingStateChanged)
        assert not [row for row in recorded(d) if isinstance(row.body, GapDetected)]
        in_order(d)
        (resting,) = {event.order.client_order_id for event in d.events(OrderAccepted)} & {
            f"day-{n}" for n in range(999)
        }
        ends = [(row.ts, type(event)) for row in recorded(d) for event in row.events if _of(event) == resting]
        assert [kind for _, kind in ends] == [OrderExpired]
        assert 0 <= ends[0][0] - CLOSE < HOUR, "free-running, inputs are stamped when they arrive"


def test_f56_a_step_beyond_what_is_let_pass_reduces_until_somebody_has_looked(tmp_path: Path, library: Path) -> None:
    """Four seconds are told; a minute back trips the breaker, which an operator arms before trading resumes."""
    settings = world(tmp_path, 5, "around").settings.replace('speed = "max"', "speed = 10\nfree_running = true")
    with daemon(tmp_path, settings) as d, wall_clock(tmp_path, library) as clock:
        d.start(env=clock.env)
        with d.client() as client:
            clock.step(4 * SECOND)
            until_told(d, 1)
            assert client.call("status")["trading_state"] == "active"
            clock.step(-MINUTE)
            until_told(d, 2)
            deadline = time.monotonic() + 10
            while client.call("status")["trading_state"] != "reducing":
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.1)
            with pytest.raises(CallError, match="clock_skew"):
                client.call("resume", reason="go")
            client.call("breaker.reset", breaker="clock_skew", reason="looked at the time server")
            assert client.call("resume", reason="go")["trading_state"] == "active"
        assert d.stop() == 0
        (tripped,) = d.events(BreakerTripped)
        assert (tripped.breaker, tripped.action, tripped.latched) == ("clock_skew", "reduce", True)
        assert tripped.cause.startswith("the wall clock was set back by 60")
        in_order(d)


def _of(event: object) -> str:
    """Return the client order id of what happened to an order, "" of anything else."""
    return str(getattr(event, "client_order_id", ""))


@pytest.mark.parametrize("step", [pytest.param(DAY, marks=pytest.mark.long), -DAY], ids=["forward", "back"])
def test_f56_a_restart_under_another_clock_goes_on_behind_the_last_stamp(
    tmp_path: Path, library: Path, step: int
) -> None:
    """The recording's clock may have run on while nobody looked, which is a gap; it never goes back."""
    settings = world(tmp_path, 5, "around").settings.replace('speed = "max"', "speed = 1\nfree_running = true")
    with daemon(tmp_path, settings) as d, wall_clock(tmp_path, library) as clock:
        d.start(env=clock.env)
        d.kill()
        clock.step(step)
        d.start(env=clock.env)
        assert d.stop() == 0
        rows = recorded(d)
        gaps = [row for row in rows if isinstance(row.body, GapDetected)]
        assert all(row.body.from_ts <= row.body.to_ts for row in gaps)  # type: ignore[attr-defined]
        in_order(d)


@pytest.mark.long
def test_f56_a_slew_is_no_step(tmp_path: Path, library: Path) -> None:
    """Corrections in small bits are neither told nor felt; a gated playback is equal to its replay whatever is set."""
    settings = world(tmp_path, 1, "around").settings.replace('speed = "max"', "speed = 60000")
    with daemon(tmp_path, settings) as d, wall_clock(tmp_path, library) as clock:
        wanted = replay_of(d.config, tmp_path / "replay")
        d.spawn(env=clock.env | {"TZ": "Asia/Tokyo"}, until_end=True)
        while d.process is not None and d.process.poll() is None:
            clock.step(SECOND // 100)
            d.manager.listen(0.05)
        assert d.wait() == 0, d.tail()
        assert not told(d)
        assert in_order(d) == wanted.digest
