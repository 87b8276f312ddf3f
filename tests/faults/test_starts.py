"""Starts that no clean end preceded are counted: after a crash loop trading waits for a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.messages.risk import TradingStateChanged
from tests.faults.test_recovery import furnished, order, settings, sound
from tests.live_support import daemon

LOOP = settings(speed=1).replace("unclean_starts_max = 0", "unclean_starts_max = 3")


def test_three_crashes_within_the_window_start_halted(tmp_path: Path) -> None:
    """Not after two; halted after three, with the reason, until somebody resumes; a clean end begins the count anew."""
    furnished(tmp_path)
    with daemon(tmp_path, LOOP) as house:
        for n in range(3):
            house.start()
            with house.client() as client:
                assert client.call("status")["trading_state"] == "active", n
            house.kill()
        house.start()
        with house.client() as client:
            status = client.call("status")
            assert status["trading_state"] == "halted"
            assert status["state_reason"] == "3 starts within 10 minutes did not end cleanly"
            answer = order(client, "denied", symbol="AAA", side="buy", qty=1, type="market")
            assert (answer["status"], answer["code"]) == ("denied", "HALTED")
            client.call("resume", reason="looked at it", request_id="resume")
        assert house.stop() == 0
        house.start()
        with house.client() as client:
            assert client.call("status")["trading_state"] == "active"
        assert house.stop() == 0
        assert [str(event.new) for event in house.events(TradingStateChanged)] == ["halted", "active"]
        sound(house)


@pytest.mark.long
def test_crashes_before_the_window_do_not_count(tmp_path: Path) -> None:
    """With a window of a second three crashes are three separate ones."""
    furnished(tmp_path)
    with daemon(tmp_path, LOOP, sets=["service.unclean_window_s=1"]) as house:
        for _ in range(4):
            house.start()
            with house.client() as client:
                assert client.call("status")["trading_state"] == "active"
            house.manager.listen(1.0)  # the window passes; nothing is said meanwhile
            house.kill()
        sound(house)


@pytest.mark.long
def test_a_refused_start_counts_for_nothing(tmp_path: Path) -> None:
    """A daemon that systemd starts again and again on a bad configuration does not halt the good one."""
    furnished(tmp_path)
    with daemon(tmp_path, LOOP) as house:
        house.start()
        assert house.stop() == 0
        whole = house.ledger.read_bytes()
        house.ledger.write_bytes(b"")
        for _ in range(4):
            house.spawn()
            assert house.wait(20) == 68
        house.ledger.write_bytes(whole)
        house.start()
        with house.client() as client:
            assert client.call("status")["trading_state"] == "active"
        assert house.stop() == 0


def test_a_start_on_a_disk_without_room_is_ready_all_the_same_and_can_be_killed(tmp_path: Path) -> None:
    """READY waits for what goes in first, but not for ever: who cannot write can still be asked, stopped, killed."""
    furnished(tmp_path)
    with daemon(tmp_path, LOOP) as house:
        house.start(faults=[f"before:commit:{n}:enospc" for n in range(1, 1_000)])
        with house.client() as client:
            status = client.call("status")
            assert status["journal"]["state"] == "ledger_full"
            assert client.call("kill", reason="enough", request_id="kill")["durable"]
            assert client.call("status")["trading_state"] == "killed"
        assert house.stop() == 0
        assert house.frames() == []
        house.start()
        with house.client() as client:
            assert client.call("status")["trading_state"] == "killed"
        assert house.stop() == 0
        sound(house)
