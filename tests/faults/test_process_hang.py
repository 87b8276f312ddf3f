"""F52, F53: what hangs is noticed, whoever it is, and a healthy loop does not speak for a dead actor."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.faults.meddling import QUIET, Meddled, meddled, playing, rows_of
from tests.live_support import until

NOTIFY_S = 0.5


def pings(d: Meddled, since: float, until: float) -> list[float]:
    """Return when the service manager heard pings between two instants, which must be over."""
    while d.manager.listen(0.0) is not None:
        pass
    return [at for at, message in d.manager.heard if message.get("WATCHDOG") == "1" and since <= at < until]


def hang(d: Meddled, seconds: float) -> tuple[float, float]:
    """Let the main loop hang; return when it began and ended, as the first ping behind it tells."""
    began = time.monotonic()
    d.meddle("hang", seconds=seconds)
    d.hear(seconds - 0.5)
    d.hear_until("WATCHDOG", "1")
    return began, d.manager.heard[-1][0]


def test_f52_a_loop_that_hangs_does_not_ping(tmp_path: Path) -> None:
    """The service manager sees the pings stop, and come again when the loop turns; the log says where it hung."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin(watchdog_s=1.5)
        before = time.monotonic()
        d.hear(1.5)
        began, ended = hang(d, 3.0)
        assert len(pings(d, before, began)) >= 2
        assert ended - began >= 3.0
        assert not pings(d, began + NOTIFY_S, ended)
        assert d.stop() == 0
        stalls = [line for line in d.logged() if line["event"] == "main loop does not turn"]
        assert stalls
        assert any(line["event"] == "main loop turns again" and line["stalled_s"] >= 2.5 for line in d.logged())


@pytest.mark.long
def test_f52_a_loop_that_hangs_for_30_s_is_restarted_within_15(tmp_path: Path) -> None:
    """As systemd would: no ping for WatchdogSec, so the process gets SIGABRT and is started again."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin(watchdog_s=10)
        d.hear_until("WATCHDOG", "1")
        last = began = time.monotonic()
        d.meddle("hang", seconds=30)
        while time.monotonic() - last < 10:
            message = d.manager.listen(10 - (time.monotonic() - last))
            if message is not None and "WATCHDOG" in message:
                last = time.monotonic()
        d.signal(signal.SIGABRT)
        assert d.wait(10) == -signal.SIGABRT
        d.begin(watchdog_s=10)
        took = time.monotonic() - began
        print(f"F52: ready again {took:.1f} s after the loop began to hang")  # noqa: T201 - shown by pytest -rP
        assert took <= 15
        assert d.stop() == 0


def test_f53_a_dead_locked_actor_is_started_again(tmp_path: Path) -> None:
    """Its heartbeat is missed although the loop is well; only it is started again, and trading goes on meanwhile."""
    with meddled(tmp_path, playing(tmp_path), daemon__system__tree__EDGE_HEARTBEAT_S=1.5) as d:
        d.begin(watchdog_s=30)
        for child in ("feed", "housekeeping"):
            d.meddle("tell", child=child, what="deadlock")
        with d.client() as client:
            client.call("order.submit", symbol="AAA", side="buy", qty=5, id="meanwhile")
        deadline = time.monotonic() + 15
        while d.actor("feed")["restarts"] + d.actor("housekeeping")["restarts"] < 2:
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.2)
        row = d.actor("feed")
        assert row["state"] == "running"
        assert "Heartbeat" in row["last_error"]
        assert d.actor("board")["restarts"] == 0
        assert d.stop() == 0
        failed = [line for line in d.logged() if line["event"] == "actor failed"]
        assert {line["actor"] for line in failed} == {"feed", "housekeeping"}
        assert all(line["stack"] for line in failed)


def test_f51_a_pause_longer_than_every_heartbeat_costs_no_child(tmp_path: Path) -> None:
    """The machine was paused, or one call kept the loop: nobody could give a sign of life, so nobody is started again.

    Least of all the one that watches the ledger, whose failure ends the process.
    """
    short = {f"daemon__system__tree__{name}": 1.5 for name in ("EDGE_HEARTBEAT_S", "ANSWER_S")}
    with meddled(tmp_path, playing(tmp_path, speed="60"), **short) as d:
        d.begin()
        for stopped in (True, True, False):
            d.hear(0.6)  # another phase of everybody's sleep
            if stopped:
                d.signal(signal.SIGSTOP)
                d.hear(2.0)
                d.signal(signal.SIGCONT)
            else:
                d.meddle("hang", seconds=2.0)
        with d.client() as client:
            rows = {row["name"]: row["restarts"] for row in client.call("actors")["rows"]}
        assert set(rows.values()) == {0}, rows
        assert d.stop() == 0
    assert not [line for line in d.logged() if line["event"] == "actor failed"]


def test_f53_an_alerter_that_hangs_in_a_channel_is_noticed_and_replaced(tmp_path: Path) -> None:
    """It never comes back, so it is left behind; its successor delivers what it owed, and trading goes on meanwhile."""
    settings = playing(tmp_path) + '[alerter]\nfile = "alerts.jsonl"\n'
    alerts = tmp_path / "alerts.jsonl"
    with meddled(tmp_path, settings, daemon__system__tree__EDGE_HEARTBEAT_S=2.5) as d:
        d.begin(watchdog_s=30)
        d.meddle("channels", hang=True)
        with d.client() as client:
            client.call("alert.test", reason="is anybody there?")
            deadline = time.monotonic() + 30
            while d.actor("alerter")["restarts"] < 1:
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.2)
            assert "Heartbeat" in d.actor("alerter")["last_error"]
            assert client.call("order.submit", symbol="AAA", side="buy", qty=5, id="meanwhile")["status"] != "denied"
            d.meddle("channels", hang=False)
            while client.call("status")["alerts_pending"]:
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.2)
        keys = [json.loads(line)["key"] for line in alerts.read_text().splitlines()]
        assert "machine:actor:alerter" in keys, keys
        assert d.stop() == 0


def test_f53_a_dead_locked_core_is_not_masked_by_a_healthy_loop(tmp_path: Path) -> None:
    """The watchdog is not fed for a core that does not answer, and the status says so."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin(watchdog_s=1.5)
        d.hear_until("WATCHDOG", "1")
        d.meddle("tell", child="sequencer", what="deadlock")
        said = d.hear_until("STATUS", "not healthy")
        assert "core" in said["STATUS"]
        since = time.monotonic()
        heard = d.hear(2.0)
        assert not [message for message in heard if "WATCHDOG" in message]
        assert not pings(d, since, time.monotonic())
        d.kill()


def test_a_feed_that_owes_data_is_stale_until_it_speaks_again(tmp_path: Path) -> None:
    """Shown in status, health and the exit code, told by an alert; waiting for the next bar is no silence."""
    slow = playing(tmp_path, speed="240", more="[control]\nrequests_per_s = 100000\n" + QUIET)
    settings = slow.replace("speed = 240\n", "speed = 240\nfree_running = true\n") + "[feed]\nstaleness_ms = 300\n"
    with meddled(tmp_path, settings, daemon__system__tree__EDGE_HEARTBEAT_S=2.5) as d:
        d.begin()
        with d.client() as client:
            head = client.call("journal.head")["seq"]
            until(20, lambda: client.call("journal.head")["seq"] > head + 2, "bars, a moment apart")
            assert d.ctl("status").returncode == 0
            d.meddle("tell", child="feed", what="deadlock")
            until(20, lambda: client.call("status")["feeds"][0]["state"] == "stale", "a stale feed")
            assert d.ctl("status").returncode == 151
            health = {row["name"]: row for row in client.call("health")["rows"]}
            assert not health["feed:playback"]["ok"]
            until(20, lambda: client.call("status")["feeds"][0]["state"] == "live", "a feed that was started again")
            titles = [row["title"] for row in rows_of(client, "alerts")]
            assert [title for title in titles if "owes data" in title], titles
        assert d.stop() == 0
    stale = [line for line in d.logged() if line["event"] == "feed_stale"]
    assert len(stale) == 1
