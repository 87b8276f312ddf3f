"""F54: an actor that cannot be started: bounded, told, and never a hot loop; trading does not go on without it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.meddling import Meddled, meddled, playing, rows_of


def failures(d: Meddled, actor: str) -> int:
    """Return how often an actor failed according to the log."""
    return sum(line["event"] == "actor failed" and line["actor"] == actor for line in d.logged())


SOON = {"daemon__supervision__supervisor__Backoff": {"first_s": 0.02, "cap_s": 0.1}}


def fail_for_ever(d: Meddled, child: str) -> None:
    """Let a child fail now and whenever it is started."""
    d.meddle("break", child=child, reason="no such venue")
    d.meddle("tell", child=child, what="raise")


def until_halted(d: Meddled, seconds: float) -> dict[str, Any]:
    """Wait until trading is halted; return the status."""
    deadline = time.monotonic() + seconds
    while (status := d.status())["trading_state"] != "halted":
        assert time.monotonic() < deadline, d.tail()
        d.manager.listen(0.2)
    return status


def gave_up(row: dict[str, Any]) -> bool:
    """Tell whether a row of the alerts is the one that matters."""
    return row["severity"] == "critical" and "market gives up" in str(row)


def test_f54_a_feed_that_fails_for_ever_halts_trading(tmp_path: Path) -> None:
    """Ten restarts, then HALTED for want of data, and an alert; the process lives and can be asked."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        fail_for_ever(d, "feed")
        assert "no market data" in until_halted(d, 20)["state_reason"]
        with d.client() as client:
            assert client.call("order.submit", symbol="AAA", side="buy", qty=5, id="late")["status"] == "denied"
            deadline = time.monotonic() + 20
            while not any(gave_up(row) for row in rows_of(client, "alerts", all=True)):
                assert time.monotonic() < deadline, d.tail()
                d.manager.listen(0.2)  # fewer questions than are allowed in a second
        assert d.actor("market")["state"] == "failed"
        assert failures(d, "feed") == 11
        assert d.stop() == 0


@pytest.mark.long
def test_f54_waits_grow_between_the_starts(tmp_path: Path) -> None:
    """With the waits of the real thing: no hot loop."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        began = time.monotonic()
        fail_for_ever(d, "feed")
        until_halted(d, 90)
        took = time.monotonic() - began
        print(f"F54: {failures(d, 'feed')} failures in {took:.1f} s")  # noqa: T201 - shown by pytest -rP
        waits = [
            line["backoff_s"] for line in d.logged() if line["event"] == "actor failed" and line["actor"] == "feed"
        ]
        assert waits[:7] == sorted(waits[:7])  # then they are at the cap, and vary
        assert took > 30
        assert d.stop() == 0


def test_f54_a_core_that_cannot_be_started_ends_the_process(tmp_path: Path) -> None:
    """Exit 70 after a handful of attempts, for systemd to start it anew; then what was durable is there."""
    with meddled(tmp_path, playing(tmp_path), **SOON) as d:
        d.begin()
        with d.client() as client:
            client.call("cash.deposit", amount=1234)
        fail_for_ever(d, "sequencer")
        assert d.wait(30) == 70, d.tail()
        assert failures(d, "sequencer") == 6  # one restart of the core, two of its supervisor
        heard = d.hear(0.2)
        assert any(message.get("ERRNO") == "70" and "core" in message["STATUS"] for message in heard)
        d.begin()
        assert d.status()["equity"] == 101_234
        assert d.stop() == 0


@pytest.mark.long
def test_f54_a_crash_loop_under_the_service_manager_comes_up_halted(tmp_path: Path) -> None:
    """Three starts without an end within ten minutes: the next one is up, but trades only when a person says so."""
    settings = playing(tmp_path, more="[service]\ndisk_halt_mb = 0\n")
    with meddled(tmp_path, settings) as d:
        for _ in range(3):
            d.begin()
            d.kill()
        d.begin()
        status = d.status()
        assert status["trading_state"] == "halted"
        assert "3 starts within 10 minutes" in status["state_reason"]
        with d.client() as client:
            client.call("resume", reason="looked at it")
        assert d.status()["trading_state"] == "active"
        assert d.stop() == 0
        d.begin()
        assert d.status()["trading_state"] == "active"
        assert d.stop() == 0
