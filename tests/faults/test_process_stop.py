"""F70: an orderly end at the peak, in a hurry, in the middle of a start, and with somebody who does not let go."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.control.signals import UNUSED
from tests.faults.meddling import meddled, playing, rows_of
from tests.live_support import ROOT, Daemon, daemon
from tests.parity.worlds import STRATEGIES

BUDGET_S = 45.0
"""Of the four stages together, as configured; the unit's TimeoutStopSec is above it."""


def verified(d: Daemon) -> bool:
    """Have ``tradingd verify`` look at the state folder."""
    command = [sys.executable, "-m", "daemon", "verify", str(d.state)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return True


def last_run(d: Daemon) -> str:
    """Return the status of the newest run."""
    status: str = d.query("SELECT status FROM run ORDER BY rowid DESC LIMIT 1")[0][0]
    return status


def lines(d: Daemon, event: str) -> list[dict[str, Any]]:
    """Return the log's lines of one event."""
    return [line for line in d.logged() if line["event"] == event]


def test_f70_sigterm_at_the_peak(tmp_path: Path) -> None:
    """Under full load: out in time, sealed and verified, orders still working, no alert lost, and the manager told."""
    (tmp_path / "strategies.py").write_text(STRATEGIES, "utf-8")
    alerts = tmp_path / "alerts.jsonl"
    settings = playing(
        tmp_path,
        speed='"max"\nloop = true',
        more='[predictor]\nstrategies = ["strategies.py:windowed"]\ncall_budget_ms = 0\n[risk]\nmin_order_value = 1\n'
        f'[alerter]\nfile = "{alerts}"\n[control]\nrequests_per_s = 100000\n',
    ).replace("strategies = []", 'rebalance = "signal"')
    with meddled(tmp_path, settings) as d:
        d.begin()
        with d.client() as client:
            accepted = n = 0
            while n < 25 or accepted <= 5:  # days go by in moments: some find no price, or one that fills them
                assert n < 2_000
                order = {"symbol": "AAA", "side": "buy", "qty": 1 + n % 3, "type": "limit", "tif": "gtc"}
                answer = client.call("order.submit", id=f"rest-{n}", limit_px=92 + n % 25 / 100, **order)
                accepted += answer["status"] == "new"
                n += 1
            client.call("alert.test", reason="just before")
            began = time.monotonic()
            code = d.stop(BUDGET_S)
        took = time.monotonic() - began
        print(f"F70: ended {took:.2f} s after SIGTERM")  # noqa: T201 - shown by pytest -rP
        assert code == 0
        assert last_run(d) == "ended"
        assert verified(d)
        heard = d.hear(0.1)
        stopping = next(i for i, message in enumerate(heard) if message.get("STOPPING") == "1")
        assert any("EXTEND_TIMEOUT_USEC" in message for message in heard[stopping:])
        assert "SIGTERM" in heard[stopping]["STATUS"]
        pending = {row[0] for row in d.query("SELECT alert_id FROM outbox WHERE state = 'pending'")}
        owed = {row[0] for row in d.query("SELECT alert_id FROM outbox WHERE state != 'dropped'")}
        written = {json.loads(line)["alert_id"] for line in alerts.read_text().splitlines()}
        assert owed
        assert owed <= written | pending
        d.begin()
        working = 0
        deadline = time.monotonic() + 20
        with d.client() as client:
            while working < accepted:  # views may be a moment behind the ledger
                assert time.monotonic() < deadline, (working, accepted)
                rows = rows_of(client, "orders", limit=1000)
                working = sum(row["client_order_id"].startswith("rest-") for row in rows)
        assert working == accepted
        assert d.stop(BUDGET_S) == 0


def test_f70_nothing_new_is_no_reason_to_fail(tmp_path: Path) -> None:
    """A daemon that starts, sees nothing and ends, again and again."""
    with daemon(tmp_path, playing(tmp_path, speed='"max"', minutes=10)) as d:
        d.spawn(until_end=True)
        assert d.wait() == 0
        d.start()
        assert d.stop() == 0
        assert [row[0] for row in d.query("SELECT status FROM run")] == ["ended"] * 2
        assert verified(d)


@pytest.mark.parametrize(
    "moment",
    [
        *(pytest.param(at, marks=pytest.mark.long) for at in ("starting: ledger", "starting: data")),
        "starting: recovery",
    ],
)
def test_f70_sigterm_during_the_start(tmp_path: Path, moment: str) -> None:
    """At once or as soon as it is up, always in order; it does not count as a crash."""
    with meddled(tmp_path, playing(tmp_path, speed='"max"')) as d:
        d.begin()
        d.kill()
        for _ in range(1):
            d.spawn()
            d.hear_until("STATUS", moment)
            assert d.stop() == 0, d.tail()
        d.start()
        recovered = lines(d, "recovered")[-1]
        assert recovered["unclean_starts"] <= 1  # the one that was killed
        assert d.stop() == 0


def test_f70_a_second_sigterm_hurries(tmp_path: Path) -> None:
    """Nobody waits for channels that hang, but the ledger is sealed all the same."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        d.meddle("channels", hang=True)
        with d.client() as client:
            client.call("halt", reason="so that there is an alert")
        began = time.monotonic()
        d.signal(signal.SIGTERM)
        d.hear_until("STATUS", "stopping: outreach")
        d.signal(signal.SIGTERM)
        assert d.wait(15) == 0, d.tail()
        took = time.monotonic() - began
        assert took < 8
        assert last_run(d) == "ended"
        pending = d.query("SELECT 1 FROM outbox WHERE state = 'pending'")
        assert pending
        d.begin()
        d.meddle("state")
        assert d.stop() == 0
        assert not d.query("SELECT 1 FROM outbox WHERE state = 'pending'")


@pytest.mark.parametrize("signals", [1, 2])
def test_f70_at_full_speed_nothing_comes_in_behind_the_seal(tmp_path: Path, signals: int) -> None:
    """A tape a day, as fast as it goes: out in time however often somebody asks, sealed, and the next start is fine."""
    settings = (
        '[feed.playback]\nsource = "sp500"\nfrom = 2015-01-01\nspeed = "max"\nloop = true\n'
        '[predictor]\nstrategies = ["momentum"]\ncall_budget_ms = 0\n[risk]\nmax_drawdown = 0\n'
        "[service]\nunclean_starts_max = 0\ndisk_halt_mb = 0\ndisk_reserve_mb = 1\n"
    )
    with meddled(tmp_path, settings) as d:
        d.begin()
        with d.client() as client:
            client.call("journal.head")
        for _ in range(signals):
            d.signal(signal.SIGTERM)
            d.hear(0.05)
        assert d.wait(BUDGET_S) == 0, d.tail()
        assert not lines(d, "actor failed")
        assert not lines(d, "shutdown stage overran its budget")
        assert last_run(d) == "ended"
        assert verified(d)


@pytest.mark.long
def test_f70_a_stage_that_overruns_is_named(tmp_path: Path) -> None:
    """With the place where it hangs; the stages behind it have their turn."""
    settings = playing(tmp_path, more="[service]\nunclean_starts_max = 0\ndisk_halt_mb = 0\nshutdown_outreach_s = 1\n")
    with meddled(tmp_path, settings) as d:
        d.begin()
        d.meddle("channels", hang=True)
        with d.client() as client:
            client.call("halt", reason="so that there is an alert")
        assert d.stop(20) == 0
        overrun = lines(d, "shutdown stage overran its budget")
        assert [line["stage"] for line in overrun] == ["outreach"]
        assert any("deliver" in place for place in overrun[0]["stack"])
        assert last_run(d) == "ended"


def test_f70_a_task_that_does_not_end_is_named_and_left(tmp_path: Path) -> None:
    """A child that ignores being stopped keeps nobody from ending."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        d.meddle("tell", child="housekeeping", what="stuck")
        began = time.monotonic()
        assert d.stop(30) == 0
        assert time.monotonic() - began < 15
        named = lines(d, "actor does not end")
        assert [line["actor"] for line in named] == ["housekeeping"]
        assert any("meddled_run" in place for place in named[0]["stack"])
        assert last_run(d) == "ended"
        d.begin()
        assert d.stop() == 0


# -- readiness


def test_ready_is_said_when_everything_has_started(tmp_path: Path) -> None:
    """After the statuses of the start; every actor runs by then, and the socket answers."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        heard = [message for _, message in d.manager.heard]
        said = [message["STATUS"] for message in heard if "STATUS" in message]
        assert said[:3] == ["starting: ledger", "starting: data", "starting: recovery"]
        assert heard[-1]["READY"] == "1"
        assert "active" in heard[-1]["STATUS"]
        with d.client() as client:
            rows = client.call("actors")["rows"]
        assert {row["state"] for row in rows} == {"running"}
        assert d.stop() == 0


def test_ready_is_said_when_what_goes_in_first_is_durable_and_can_be_seen(tmp_path: Path) -> None:
    """The opening cash, the halt behind a crash loop: whoever asks the moment a daemon is ready is told of them."""
    looped = playing(tmp_path, more="[service]\ndisk_halt_mb = 0\nunclean_starts_max = 1\n")
    with daemon(tmp_path, looped) as d:
        for state in ("active", "halted"):
            d.start(faults=["before:commit:1:sleep"])  # a second
            with d.client() as client:
                status = client.call("status")
            assert (status["trading_state"], status["cash"]) == (state, 100_000)
            d.kill()


def test_ready_is_not_said_without_a_core(tmp_path: Path) -> None:
    """A core that cannot start ends the process; the manager hears an error and never READY."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        env = {"MEDDLE_SOCKET": str(d.hand), "MEDDLE_BROKEN": json.dumps({"sequencer": "no core today"})}
        d.spawn(program="tests.faults.meddled_run", env=env)
        assert d.wait(30) == 70
        heard = d.hear(0.1)
        assert not [message for message in heard if "READY" in message]
        assert any(message.get("ERRNO") == "70" and "no core today" in message["STATUS"] for message in heard)


def test_a_long_recovery_asks_for_time(tmp_path: Path) -> None:
    """Again and again, with how far it is."""
    settings = playing(tmp_path, speed='"max"', more="[journal]\nsnapshot_events = 10000000\n")
    settings = settings.replace("[feed.playback]\n", "[feed.playback]\nloop = true\n")
    with meddled(tmp_path, settings) as d:
        d.begin()
        with d.client() as client:
            while client.call("journal.head")["seq"] < 12_000:
                d.manager.listen(0.1)
        d.kill()
        d.manager.heard.clear()
        d.begin()
        heard = [message for _, message in d.manager.heard]
        assert sum("EXTEND_TIMEOUT_USEC" in message for message in heard) >= 3
        assert any("5,000 inputs folded" in message.get("STATUS", "") for message in heard)
        assert d.stop() == 0


@pytest.mark.parametrize("last", [signal.SIGPWR, signal.SIGXCPU])
def test_signals_of_a_shell_end_it_in_order_or_not_at_all(tmp_path: Path, last: signal.Signals) -> None:
    """Those that mean nothing leave it trading, whatever their default; failing power and spent CPU time seal it."""
    with daemon(tmp_path, playing(tmp_path)) as d:
        d.start()
        for number in sorted(UNUSED):
            assert d.process is not None
            d.process.send_signal(number)
        with d.client() as client:
            assert client.call("status")["trading_state"] == "active"
        d.signal(last)
        assert d.wait() == 0
        assert last_run(d) == "ended"
        assert [line["reason"] for line in lines(d, "stopped")] == [last.name]
