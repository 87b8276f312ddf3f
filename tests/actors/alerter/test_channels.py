"""Channels: the console and the file, and what happens when one of them fails."""

from __future__ import annotations

import errno
import io
import json
import os

import pytest

from actors.alerter.delivery import deliver
from actors.alerter.ports.console import ConsoleChannel
from actors.alerter.ports.file import FileChannel
from actors.messages.alerts import AlertDelivered, AlertFailed, AlertRaised, Severity
from daemon.kernel.errors import OperatorError

ALERT = AlertRaised(
    "A-1", "k", 1_577_975_400_000_000_000, Severity.WARNING, "-3% é", (("loss", "0.03"),), "done", "type this", 2
)


def test_the_console_writes_a_line_for_what_is_loud_enough():
    """Below the wanted severity it stays silent, and that counts as delivered."""
    stream = io.StringIO()
    console = ConsoleChannel(stream, least=Severity.WARNING)
    quiet = AlertRaised("A-2", "q", 0, Severity.INFO, "nothing", ())
    assert deliver([ALERT, quiet], [console]) == [AlertDelivered("A-1", "console"), AlertDelivered("A-2", "console")]
    assert stream.getvalue() == "2020-01-02T14:30:00.000Z WARNING  -3% é (x2) | done | next: type this\n"


def test_the_file_holds_one_json_object_a_line(tmp_path):
    """Reopening appends."""
    path = tmp_path / "alerts.jsonl"
    for _ in range(2):
        channel = FileChannel(path)
        channel.deliver(ALERT)
        channel.close()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == {
        "schema": "tradingd.alert/1",
        "ts": "2020-01-02T14:30:00.000Z",
        "alert_id": "A-1",
        "severity": "warning",
        "key": "k",
        "title": "-3% é",
        "facts": {"loss": "0.03"},
        "action_taken": "done",
        "next_command": "type this",
        "count": 2,
    }


def test_a_line_cut_off_by_a_crash_spoils_only_itself(tmp_path):
    """The next line starts on its own."""
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"schema":"tradingd.al')
    channel = FileChannel(path)
    channel.deliver(ALERT)
    channel.close()
    torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"schema":"tradingd.al'
    assert json.loads(whole)["alert_id"] == "A-1"


def test_a_full_disk_leaves_no_half_line_and_the_other_channels_go_on(tmp_path, monkeypatch):
    """The first bytes went through, then the disk was full: the file is as it was."""
    path = tmp_path / "alerts.jsonl"
    channel = FileChannel(path)
    channel.deliver(ALERT)
    before = path.read_bytes()
    real = os.write
    calls = []

    def full(fd, data):
        calls.append(len(data))
        if len(calls) == 1:
            return real(fd, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    stream = io.StringIO()
    results = deliver([ALERT], [channel, ConsoleChannel(stream)])
    monkeypatch.undo()
    assert results == [
        AlertFailed("A-1", "file", "OSError: No space left on device"),
        AlertDelivered("A-1", "console"),
    ]
    assert path.read_bytes() == before
    assert stream.getvalue()
    channel.deliver(ALERT)
    channel.close()
    assert path.read_bytes() == before * 2


def test_a_file_that_cannot_be_opened_is_the_operators_to_mend(tmp_path):
    """One sentence with the path and what to do."""
    with pytest.raises(OperatorError, match=r"cannot be written.*name a file"):
        FileChannel(tmp_path / "missing" / "alerts.jsonl")
