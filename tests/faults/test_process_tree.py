"""Every child of the real tree fails once: who is started again, what people see, and what stops trading."""

from __future__ import annotations

import itertools
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from actors.messages.inference import InferenceRequested
from actors.messages.orders import OrderAccepted, OrderFilled
from actors.messages.risk import TradingStateChanged
from tests.faults.meddling import Meddled, meddled, playing, rows_of
from tests.live_support import CallError, daemon

SOON = {"daemon__supervision__supervisor__Backoff": {"first_s": 0.02, "cap_s": 0.1}}
EDGES = ("pool", "feed", "alerter", "reporter", "board", "control", "errands", "housekeeping", "records")


def until_up_again(d: Meddled, child: str, restarts: int = 1) -> dict[str, Any]:
    """Wait until a child runs again after so many restarts; return its row."""
    deadline = time.monotonic() + 20
    while True:
        row = d.actor(child)
        if row["state"] == "running" and row["restarts"] >= restarts:
            return row
        assert time.monotonic() < deadline, (row, d.tail())
        d.manager.listen(0.1)


def submit(d: Meddled, name: str) -> str:
    """Hand in an order; return its status."""
    with d.client() as client:
        status: str = client.call("order.submit", symbol="AAA", side="buy", qty=5, id=name)["status"]
    return status


def test_an_edge_that_fails_is_started_again_alone(tmp_path: Path) -> None:
    """One by one: its restart is counted, its error shown, an alert raised; no other child and no trading stops."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        for n, child in enumerate(EDGES):
            what = "return" if n % 2 else "raise"  # a permanent child that returns has failed
            d.meddle("tell", child=child, what=what)
            row = until_up_again(d, child)
            assert ("returned" if what == "return" else "broken on purpose") in row["last_error"], row
            assert submit(d, f"beside-{child}") != "denied"
        with d.client() as client:
            rows = {row["name"]: row for row in client.call("actors")["rows"]}
            told = rows_of(client, "alerts", all=True)
        assert {name: row["restarts"] for name, row in rows.items()} == {name: int(name in EDGES) for name in rows}
        assert d.status()["trading_state"] == "active"
        shown = d.ctl("actors").stdout
        assert "broken on purpose" in shown
        assert all(child in shown for child in EDGES)
        assert {f"machine:actor:{child}" for child in EDGES} <= {row["key"] for row in told}
        assert d.stop() == 0
        accepted = [event.order.client_order_id for event in d.events(OrderAccepted)]
        assert [f"beside-{child}" for child in EDGES] == [name for name in accepted if name.startswith("beside-")]
        assert len(d.events(OrderFilled)) >= len(EDGES) - 2


def same_as_on_disk(d: Meddled) -> list[Any]:
    """Wait until everything is durable; a core folded from it is the one that runs. Return its seq and digests."""
    deadline = time.monotonic() + 20
    while True:
        both = d.meddle("refold")
        if both["live"][0] == both["folded"][0]:
            assert both["live"] == both["folded"]
            core: list[Any] = both["live"]
            return core
        assert time.monotonic() < deadline, both


def test_a_core_that_fails_is_built_again_from_ledger_and_tape(tmp_path: Path) -> None:
    """With the state it had, no order lost and none doubled, and it goes on."""
    with meddled(tmp_path, playing(tmp_path, speed="600"), **SOON) as d:
        d.begin()
        for n in range(5):
            assert submit(d, f"before-{n}") != "denied"
        before = same_as_on_disk(d)
        d.meddle("tell", child="sequencer", what="raise")
        until_up_again(d, "sequencer")
        after = same_as_on_disk(d)
        assert after[0] > before[0]
        rebuilt = [line for line in d.logged() if line["event"] == "core rebuilt"]
        assert rebuilt[-1]["seq"] >= before[0]
        assert submit(d, "behind") != "denied"
        assert d.stop() == 0
        names = [event.order.client_order_id for event in d.events(OrderAccepted)]
        assert names == [*(f"before-{n}" for n in range(5)), "behind"]


def test_a_core_that_fails_before_anything_is_durable_begins_with_what_the_first_would_have(tmp_path: Path) -> None:
    """The opening cash, and the halt behind a crash loop: neither is lost with the loop that was to take it in."""
    later = {"daemon__supervision__supervisor__Backoff": {"first_s": 3.0, "cap_s": 3.0}}
    looped = "[service]\ndisk_halt_mb = 0\nunclean_starts_max = 1\n"
    with meddled(tmp_path, playing(tmp_path, more=looped), **later) as d:
        for crashes in (0, 1):
            d.begin_broken("sequencer")
            assert submit(d, f"first-{crashes}") == ("denied" if crashes else "new")  # behind all that goes in first
            status = d.status()
            assert status["cash"] == 100_000, status
            assert status["trading_state"] == ("halted" if crashes else "active"), status
            assert d.actor("sequencer")["restarts"] == 1
            d.kill()


def test_what_the_daemon_says_while_its_core_is_built_again_is_not_lost(tmp_path: Path) -> None:
    """A halt for want of data or of whole books, and the alert that the core has failed, wait for the next core."""
    later = {"daemon__supervision__supervisor__Backoff": {"first_s": 2.0, "cap_s": 2.0}}
    with meddled(tmp_path, playing(tmp_path), **later) as d:
        d.begin()
        d.meddle("tell", child="sequencer", what="raise")
        deadline = time.monotonic() + 20
        while not any(line["event"] == "actor failed" for line in d.logged()):
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.02)
        d.meddle("halt", reason="no market data")
        until_up_again(d, "sequencer")
        while (state := d.meddle("state"))["trading_state"] != "halted":
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert state["reason"] == "no market data"
        with d.client() as client:
            while "machine:actor:sequencer" not in {row["key"] for row in rows_of(client, "alerts", all=True)}:
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.1)
        assert d.stop() == 0


def test_prices_that_a_core_missed_while_it_was_built_again_are_a_gap(tmp_path: Path) -> None:
    """Free-running, the market does not wait: trading reduces until prices are fresh, as behind a restart."""
    settings = playing(tmp_path, speed="600\nfree_running = true")
    with meddled(tmp_path, settings, **SOON) as d:
        d.begin()
        deadline = time.monotonic() + 20
        while d.meddle("state")["seq"] < 20:
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.05)
        d.meddle("tell", child="sequencer", what="raise")
        until_up_again(d, "sequencer")
        while len(changes := [str(event.new) for event in d.events(TradingStateChanged)]) < 2:
            assert time.monotonic() < deadline, (changes, d.tail())
            d.manager.listen(0.1)
        assert changes == ["reducing", "active"]
        assert d.stop() == 0


MODELS = """
[feed.playback]
source = "sp500"
from = "2020-01-06"
to = "2020-12-31"
speed = "max"
[predictor]
strategies = ["price_model"]
[[portfolio]]
name = "main"
[service]
unclean_starts_max = 0
disk_halt_mb = 0
"""


def test_a_question_to_a_model_that_died_with_the_process_is_asked_again(tmp_path: Path) -> None:
    """It was committed and never answered; nothing later may pass before its answer, so without it all would wait."""
    later = {"daemon__supervision__supervisor__Backoff": {"first_s": 2.0, "cap_s": 2.0}}
    with meddled(tmp_path, MODELS, **later) as d:
        d.begin_broken("feed", lambda: d.meddle("tell", child="pool", what="deadlock"))
        deadline = time.monotonic() + 20
        while not (asked := d.events(InferenceRequested)):
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        d.kill()
        d.start(until_end=True)
        assert d.wait(60) == 0, d.tail()
        assert len(d.events(InferenceRequested)) > len(asked)


def test_losing_the_control_surface_reduces(tmp_path: Path) -> None:
    """Six failures in a minute: trading only reduces, the socket still kills, and the process lives."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        d.meddle("break", child="errands", reason="no hands")
        d.meddle("tell", child="errands", what="raise")
        deadline = time.monotonic() + 20
        while (state := d.meddle("state"))["trading_state"] != "reducing":
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert "the control surface is lost" in state["reason"]
        with d.client() as client:
            for method in ("snapshot", "reload", "shutdown"):
                began = time.monotonic()
                with pytest.raises(CallError, match="gave up") as refused:
                    client.call(method, reason="is anybody there", request_id=method)
                assert refused.value.reason == "NO_ERRANDS"
                assert time.monotonic() - began < 2.0
            d.signal(signal.SIGHUP)
            while not any(line["event"] == "reload" and "gave up" in line["detail"] for line in d.logged()):
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.1)
            client.call("kill", reason="the last way")
        while d.meddle("state")["trading_state"] != "killed":
            assert time.monotonic() < deadline, d.tail()
        d.manager.listen(0.1)
        assert d.stop() == 0


def test_a_control_thread_that_is_lost_reduces(tmp_path: Path) -> None:
    """It cannot be started again within the process, so it is given up at once; signals still end and kill."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        d.meddle("lose_control")
        deadline = time.monotonic() + 30
        while d.meddle("state")["trading_state"] != "reducing":
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.2)
        assert d.stop() == 0


def test_a_control_socket_that_is_taken_away_comes_again_with_its_folder(tmp_path: Path) -> None:
    """First the socket, then all of runtime_dir: each is told as critical, calls get through, and so does KILL."""
    with daemon(tmp_path, playing(tmp_path)) as d:
        d.start()
        for n in (1, 2):
            if n == 1:
                d.socket.unlink()
            else:
                shutil.rmtree(d.runtime)
            deadline = time.monotonic() + 20
            while not d.socket.exists():
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.05)
            with d.client() as client:
                while not any("was taken away" in str(row) for row in rows_of(client, "alerts", all=True)):
                    assert time.monotonic() < deadline, d.tail()
                    d.manager.listen(0.05)
                assert client.call("status")["trading_state"] == "active"
        assert stat.S_IMODE(d.runtime.stat().st_mode) == 0o750
        assert stat.S_IMODE(d.socket.stat().st_mode) == 0o600
        (d.runtime / "KILL").touch()
        with d.client() as client:
            while client.call("status")["trading_state"] != "killed":
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.05)
        assert d.stop() == 0
        assert [line["level"] for line in d.logged() if line["event"] == "control"] == ["critical"] * 2


def test_a_control_socket_that_cannot_come_again_reduces(tmp_path: Path) -> None:
    """Something lies in its place: what nobody can reach takes on no more risk."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        d.socket.unlink()
        d.socket.mkdir()
        deadline = time.monotonic() + 20
        while (state := d.meddle("state"))["trading_state"] != "reducing":
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert "the control surface is lost" in state["reason"]
        d.socket.rmdir()
        while not d.socket.exists():
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert d.status()["trading_state"] == "reducing"  # until a person resumes
        assert d.stop() == 0


def test_an_edge_that_waits_for_its_next_start_is_said_to_be_down_and_costs_no_process(tmp_path: Path) -> None:
    """The service manager's watchdog is fed meanwhile: else it ended the daemon before the supervisor could give up."""
    later = {"daemon__supervision__supervisor__Backoff": {"first_s": 4.0, "cap_s": 4.0}}
    with meddled(tmp_path, playing(tmp_path), **later) as d:
        d.begin(watchdog_s=1.5)
        d.meddle("tell", child="feed", what="raise")
        deadline = time.monotonic() + 20
        while d.status()["feeds"][0]["state"] != "down":
            assert time.monotonic() < deadline, d.status()
            d.manager.listen(0.05)
        assert d.ctl("status").returncode == 151  # degraded
        until_up_again(d, "feed")
        for _ in range(3):
            d.hear_until("WATCHDOG")
        pings = [at for at, message in d.manager.heard if "WATCHDOG" in message]
        gaps = [late - early for early, late in itertools.pairwise(pings)]
        assert max(gaps) < 1.5, gaps
        assert d.status()["feeds"][0]["state"] == "live"
        assert d.stop() == 0


def test_losing_outreach_stops_no_trading(tmp_path: Path) -> None:
    """Alerts wait in the ledger until the next start; a critical line of the log and the status say so."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        d.meddle("break", child="alerter", reason="no way out")
        d.meddle("tell", child="alerter", what="raise")
        deadline = time.monotonic() + 20
        while d.actor("outreach")["state"] != "failed":
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert d.status()["trading_state"] == "active"
        assert submit(d, "on") != "denied"
        assert d.ctl("status").returncode == 151  # degraded
        assert d.stop() == 0


def test_losing_inference_means_hold(tmp_path: Path) -> None:
    """The pool gives up: what is asked is answered as unavailable, and trading goes on without it."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        d.meddle("break", child="pool", reason="no model")
        d.meddle("tell", child="pool", what="raise")
        deadline = time.monotonic() + 20
        while d.actor("inference")["state"] != "failed":
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert d.status()["trading_state"] == "active"
        assert submit(d, "on") != "denied"
        assert d.stop() == 0


@pytest.mark.parametrize("file", ["ledger.db", "ledger.db-wal"])
def test_a_ledger_that_is_taken_away_ends_the_process(tmp_path: Path, file: str) -> None:
    """F49: what is written from then on would be lost, so nothing is; exit 74, and the next start refuses."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        assert submit(d, "on") != "denied"
        (d.state / file).unlink()
        assert d.wait(20) == 74, d.tail()
        assert any(line["event"] == "the tree gave up" for line in d.logged())


@pytest.mark.parametrize("what", ["raise", "return"])
def test_a_watch_over_the_ledger_that_fails_ends_the_process_at_once(tmp_path: Path, what: str) -> None:
    """Whatever it fails with, it is not started again: the next start looks at what is there, and goes on."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        assert submit(d, "kept") != "denied"
        d.meddle("tell", child="journal", what=what)
        assert d.wait(20) == 70
        gave_up = [line for line in d.logged() if line["event"] == "supervisor gives up"]
        assert [line["supervisor"] for line in gave_up] == ["root"]
        d.begin()
        assert "kept" in [event.order.client_order_id for event in d.events(OrderAccepted)]
        assert d.stop() == 0
