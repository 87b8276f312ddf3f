"""What the whole daemon logs: for people on a terminal, JSON into a pipe, fields to journald; never a secret."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.meddling import meddled, playing
from tests.live_support import ROOT, CallError, Daemon, daemon

SECRET = "hunter2hunter2"  # noqa: S105 - to be looked for where it must not be
TALK = f"https://trader:{SECRET}@example.com/?token={SECRET} Authorization: Bearer {SECRET}"


def talk(d: Daemon) -> None:
    """Have an order filled, one denied, and a halt whose reason holds what should not be written."""
    with d.client() as client:
        client.call("log.level", level="debug")
        client.call("order.submit", symbol="AAA", side="buy", qty=5, id="a-1", reason=TALK)
        client.call("order.submit", symbol="AAA", side="buy", qty=900_000, id="a-2")
        deadline = time.monotonic() + 20
        while not client.call("positions")["rows"]:
            assert time.monotonic() < deadline
            d.manager.listen(0.1)
        client.call("halt", reason=TALK)
        with pytest.raises(CallError):
            client.call("order.cancel", id=f"no token={SECRET}")


def test_a_pipe_gets_json_with_the_fields_that_people_look_for(tmp_path: Path) -> None:
    """Every line is an object; orders have their id, the seq and who decided; the ledger alone keeps what was said."""
    with daemon(tmp_path, playing(tmp_path)) as d:
        d.start()
        talk(d)
        assert d.stop() == 0
        assert all(line.startswith("{") for line in d.log.read_text().splitlines())
        lines = list(d.logged())
        assert all({"ts", "level", "event", "logger"} <= line.keys() for line in lines)
        filled = next(line for line in lines if line.get("event_type") == "OrderFilled")
        assert filled["order_id"] == "a-1"
        assert filled["seq"] > 0
        denied = next(line for line in lines if line.get("event_type") == "OrderDenied")
        assert denied["order_id"] == "a-2"
        assert denied["code"]
        state = next(line for line in lines if line["event"] == "trading state")
        assert (state["actor"], state["new"]) == ("risk", "halted")
        assert SECRET not in d.log.read_text()


def test_a_terminal_gets_lines_for_people(tmp_path: Path) -> None:
    """No JSON, times to the millisecond, and no secret there either."""
    with daemon(tmp_path, playing(tmp_path)) as d:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "daemon.testing.faulty_run", "--config", str(d.config)]
        environ = os.environ | {"NOTIFY_SOCKET": str(d.manager.path), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        d.process = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=theirs, stderr=theirs, text=True)
        os.close(theirs)
        d.await_ready()
        talk(d)
        d.process.terminate()
        text = read_all(ours)
        assert d.wait() == 0
        text = text.replace("\r", "")
        assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} info +ready run_id=", text, re.MULTILINE)
        for name, value in (("playing", r".*bars\.csv.*, 2024-01-02"), ("state", d.state), ("socket", d.socket)):
            assert re.search(rf"^  {name} +{value}", text, re.MULTILINE)
        assert re.search(rf"^  next +tradingctl --socket {d.socket} status", text, re.MULTILINE)
        assert re.search(r"info +order filled: buy 5 AAA at [0-9.]+ order_id=a-1", text)
        assert re.search(r"info +order denied: buy 900000 AAA market .*order_id=a-2", text)
        assert re.search(r"warning +trading state .*new=halted", text)
        assert "{" not in text.split("ready")[0]
        assert SECRET not in text


def read_all(descriptor: int) -> str:
    """Read a terminal until nobody writes to it any more."""
    parts = []
    try:
        while select.select([descriptor], [], [], 30)[0] and (part := os.read(descriptor, 65_536)):
            parts.append(part)
    except OSError:  # how the end of a terminal shows
        pass
    finally:
        os.close(descriptor)
    return b"".join(parts).decode()


@contextmanager
def journald(place: Path) -> Iterator[list[dict[str, str]]]:
    """Stand for journald; the list holds the entries that came."""
    found: list[dict[str, str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(place))

        def listen() -> None:
            while raw := journal.recv(1 << 20):
                found.append(fields(raw))

        reader = threading.Thread(target=listen)
        reader.start()
        try:
            yield found
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", str(place))
            reader.join()


def fields(raw: bytes) -> dict[str, str]:
    """Read one entry of journald's native protocol."""
    entry: dict[str, str] = {}
    while raw:
        line, _, raw = raw.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", raw[:8])
            value, raw = raw[8 : 8 + length], raw[9 + length :]
        entry[name.decode()] = value.decode()
    return entry


def test_journald_gets_fields(tmp_path: Path) -> None:
    """Where standard error is a stream of the journal, lines go there with their fields, and not to the stream."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        place = d.runtime / "journal"
        d.log.touch()
        about = d.log.stat()
        d.constants = {"daemon.system.live.Logs": {"journal": str(place)}}
        with journald(place) as sent:
            d.begin(env={"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"})
            talk(d)
            assert d.stop() == 0
        assert d.log.read_text() == ""
    ready = next(entry for entry in sent if entry["MESSAGE"].startswith("ready"))
    assert ready["PRIORITY"] == "6"
    assert ready["SYSLOG_IDENTIFIER"] == "tradingd"
    filled = next(entry for entry in sent if entry.get("EVENT_TYPE") == "OrderFilled")
    assert filled["ORDER_ID"] == "a-1"
    assert int(filled["SEQ"]) > 0
    state = next(entry for entry in sent if entry["MESSAGE"].startswith("trading state"))
    assert (state["PRIORITY"], state["ACTOR"]) == ("4", "risk")
    assert not [entry for entry in sent if SECRET in str(entry)]


def test_no_secret_reaches_the_outside(tmp_path: Path) -> None:
    """Not the service manager's status, not the alerts, not the process list."""
    alerts = tmp_path / "alerts.jsonl"
    with meddled(tmp_path, playing(tmp_path, more=f'[alerter]\nfile = "{alerts}"\n')) as d:
        d.begin()
        talk(d)
        process = d.process
        assert process is not None
        said = [message for _, message in d.manager.heard] + d.hear(0.5)
        assert any("halted" in message.get("STATUS", "") for message in said)
        assert SECRET not in str(said)
        assert SECRET not in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert d.stop() == 0
        assert SECRET not in alerts.read_text()
