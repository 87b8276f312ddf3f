"""Alerts leave the house only after the commit of what caused them, and a channel that fails stops nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from actors.alerter.actor import AlerterActor
from actors.messages.alerts import AlertRaised
from actors.messages.control import Kill
from actors.messages.risk import TradingState, TradingStateChanged
from actors.values import Universe
from daemon.kernel.message import Envelope
from daemon.system.outbox import AlertOutbox
from tests_support import replay

KILLED = TradingStateChanged(TradingState.ACTIVE, TradingState.KILLED, "enough", "me", latched=True)


class Recorder:
    """A channel that remembers."""

    name = "recorder"

    def __init__(self) -> None:
        self.alerts: list[AlertRaised] = []

    def deliver(self, alert: AlertRaised) -> None:
        """Keep it."""
        self.alerts.append(alert)


class Broken:
    """A channel whose disk is full."""

    name = "broken"

    def deliver(self, alert: AlertRaised) -> None:
        """Refuse."""
        raise OSError(28, "No space left on device")


def test_nothing_is_handed_over_before_the_release() -> None:
    """Raised, kept back, released once."""
    recorder = Recorder()
    outbox = AlertOutbox(AlerterActor(Universe(("A",))), [Broken(), recorder])
    outbox.consume(Envelope(1, 5, 5, "control", Kill("enough", "me")), [KILLED])
    assert recorder.alerts == []
    outbox.release()
    outbox.release()
    assert len(recorder.alerts) == 1
    assert [failure.channel for failure in outbox.failed] == ["broken"]


def test_a_run_tells_its_alerts_on_console_and_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Both channels get what alerts.csv lists; the digest of the configuration does not know of them."""
    file = tmp_path / "alerts.jsonl"
    common = {"strategy": "momentum", "date_from": 20200101, "date_to": 20200430}
    loud = replay(tmp_path / "a", sets=[f"alerter.file={file}", "alerter.console=warning"], **common)
    quiet = replay(tmp_path / "b", **common)
    told = {json.loads(line)["alert_id"] for line in file.read_text().splitlines()}
    assert told == {alert.alert_id for alert in loud.alerts}
    assert "WARNING  +9.43% move of RRC" in capfd.readouterr().err
    assert loud.digest == quiet.digest
    digests = [sqlite3.connect(tmp_path / n / "ledger.db").execute("SELECT config_digest FROM run") for n in "ab"]
    assert digests[0].fetchone() == digests[1].fetchone()
