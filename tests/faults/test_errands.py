"""What is asked of the process itself is done: levels, backups, snapshots, acknowledgements, the end. And noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.messages.runtime import CallAudited
from tests.faults.meddling import meddled, playing, rows_of
from tests.live_support import CallError, Client, Daemon, until


def debugged(d: Daemon, client: Client, key: str) -> int:
    """Have something happen; return how many lines of level debug there are behind it."""
    before = list(d.logged())
    client.call("cash.deposit", amount=1, request_id=key)
    client.call("snapshot", request_id=f"{key} is over")  # a line of level info behind those that are looked for

    def behind() -> list[dict[str, Any]]:
        lines = list(d.logged())[len(before) :]
        return lines if any(line.get("method") == "snapshot" for line in lines) else []

    return sum(line["level"] == "debug" for line in until(10, behind, "the log"))


def test_the_level_of_the_log_changes_at_once(tmp_path: Path) -> None:
    """By a call, and by a reload, which takes back what was called for only where the file says something else."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        with d.client() as client:
            assert not debugged(d, client, "a")
            assert client.call("log.level", level="debug")["level"] == "debug"
            assert debugged(d, client, "b")
            client.call("log.level", level="info")
            assert not debugged(d, client, "c")
            d.write(playing(tmp_path, more='[logging]\nlevel = "debug"\n'))
            assert [row["key"] for row in client.call("reload")["changes"]] == ["logging.level"]
            assert debugged(d, client, "d")
        assert d.stop() == 0


def test_a_backup_goes_where_it_was_wanted_or_says_why_not(tmp_path: Path) -> None:
    """Below the folder in which it was typed; what cannot be written is an answer, however often, and nothing else."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        with d.client() as client:
            (tmp_path / "file").touch()
            for n in range(8):  # more often than an actor may fail
                with pytest.raises(CallError) as caught:
                    client.call("backup", to=str(tmp_path / "file" / "below"), request_id=f"no {n}")
                assert caught.value.reason == "IO_FAILED"
                assert str(tmp_path / "file") in str(caught.value)
            with pytest.raises(CallError) as caught:
                client.call("backup", to="relative")
            assert (caught.value.reason, caught.value.error["data"]["field"]) == ("BAD_PARAM", "to")
            assert d.actor("errands")["restarts"] == 0
            assert client.call("status")["trading_state"] == "active"
            made = Path(client.call("backup", to=str(tmp_path / "kept"), request_id="one")["path"])
            assert list((tmp_path / "kept").iterdir()) == [made]
            assert client.call("backup", to=str(tmp_path / "kept"), request_id="one")["path"] == str(made)
            seq = client.call("snapshot")["seq"]
            assert d.query("SELECT max(seq) FROM snapshot") == [(seq,)]
        assert d.stop() == 0


def test_an_alert_is_acknowledged_by_its_id(tmp_path: Path) -> None:
    """One that does not exist is refused; who has seen it is told."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        with d.client() as client:
            client.call("alert.test", reason="a try")
            (alert,) = until(20, lambda: rows_of(client, "alerts"), "an alert")
            with pytest.raises(CallError) as caught:
                client.call("alert.ack", alert_id="A-nobody")
            assert caught.value.reason == "UNKNOWN_ALERT"
            client.call("alert.ack", alert_id=alert["alert_id"])
            until(10, lambda: client.call("status")["alerts_unacknowledged"] == 0, "nothing to acknowledge")
            (alert,) = rows_of(client, "alerts", all=True)
            assert alert["acknowledged"]
            assert alert["acknowledged_by"].startswith("uid ")
        assert d.stop() == 0


def test_shutdown_ends_the_daemon_in_order_and_is_noted(tmp_path: Path) -> None:
    """Answered, told to the service manager with its reason, sealed; who asked stands in the ledger."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        done = d.ctl("shutdown", "--reason", "new version", "--json")
        assert (done.returncode, '"stopping":true' in done.stdout.replace(" ", "")) == (0, True), done.stderr
        assert d.wait(30) == 0
        stopping = [message for message in d.hear(0.2) if message.get("STOPPING") == "1"]
        assert "new version" in stopping[0]["STATUS"]
        assert d.query("SELECT status FROM run") == [("ended",)]
        noted = [frame.input for frame in d.frames() if isinstance(frame.input, CallAudited)]
        assert [(fact.method, fact.outcome) for fact in noted] == [("shutdown", "ok")]
        assert noted[0].by.startswith("uid ")
