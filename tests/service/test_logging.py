"""Logs: three forms, real pipes, a real journald socket; bounded, never in the way, without secrets."""

from __future__ import annotations

import json
import logging
import os
import pty
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.service.journald import encode, field_name, stream_is_journal
from daemon.service.lines import KINDS_MAX, RepeatLimit, human_line, json_line
from daemon.service.logging import QUEUE_LINES_MAX, Logs
from daemon.service.redact import Redactor

CANARY = "canary-7788-secret"


class Sink:
    """A pipe that logs are written to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def text(self) -> str:
        """Return what has been written."""
        found = b""
        while select.select([self.reader], [], [], 0)[0]:
            found += os.read(self.reader, 1 << 16)
        return found.decode()

    def lines(self) -> list[dict[str, Any]]:
        """Return what has been written, as JSON lines."""
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A pipe."""
    found = Sink()
    yield found
    os.close(found.reader)
    os.close(found.writer)


@pytest.fixture
def logs(sink: Sink) -> Iterator[Logs]:
    """Logs that go to the pipe and know a secret."""
    found = Logs(redactor=Redactor([CANARY]), environ={}, descriptor=sink.writer).start()
    yield found
    found.stop()


# -------------------------------------------------------------------------------------------------------------- lines


def test_a_pipe_gets_json_lines_with_time_level_and_fields(logs: Logs, sink: Sink) -> None:
    """Fields of the call, of the logger and of the context, in one object a line."""
    structlog.contextvars.bind_contextvars(actor="broker")
    log = structlog.get_logger("execution").bind(order_id="o-1")
    log.info("order filled", qty=10, px=450.25, seq=81_204, nothing=None)
    structlog.contextvars.clear_contextvars()
    log.warning("next")
    assert logs.flush()
    first, second = sink.lines()
    assert list(first)[:3] == ["ts", "level", "event"]
    assert first["ts"].endswith("Z")
    assert len(first["ts"]) == 24
    assert {k: v for k, v in first.items() if k != "ts"} == {
        "level": "info",
        "event": "order filled",
        "logger": "execution",
        "actor": "broker",
        "order_id": "o-1",
        "qty": 10,
        "px": 450.25,
        "seq": 81_204,
        "nothing": None,
    }
    assert "actor" not in second
    assert logs.form == "json"


def test_a_field_of_ours_cannot_be_taken_over(logs: Logs, sink: Sink) -> None:
    """``ts`` and ``level`` of a caller stand beside those of the line."""
    structlog.get_logger().info("x", ts=5, level="critical")
    assert logs.flush()
    (line,) = sink.lines()
    assert (line["level"], line["field_ts"], line["field_level"]) == ("info", 5, "critical")
    assert line["ts"] != 5


def test_an_exception_is_a_field_with_its_traceback(logs: Logs, sink: Sink) -> None:
    """By ``exception()``, by ``exc_info=True`` and by the exception itself."""
    log = structlog.get_logger()

    def failing_step() -> None:
        raise ValueError("bad tick")

    try:
        failing_step()
    except ValueError as error:
        log.exception("poisoned")
        log.warning("again", exc_info=True)
        log.error("kept", exc_info=error)  # noqa: TRY400 - the form under test
    assert logs.flush()
    found = sink.lines()
    assert [line["level"] for line in found] == ["error", "warning", "error"]
    for line in found:
        assert line["error"] == "ValueError: bad tick"
        assert "failing_step" in line["exception"]
        assert "exc_info" not in line


def test_what_libraries_log_comes_the_same_way(logs: Logs, sink: Sink) -> None:
    """Warnings and worse; a library's own mistake in a format does not reach it."""
    library = logging.getLogger("some.library")
    library.info("GET https://example.com/?token=abc")
    library.warning("retrying %s", "x")
    # Straight to our handler: pytest's own raises on such a record.
    logs._library.handle(library.makeRecord(library.name, 30, "f", 1, "two holes %s %s", ("one filler",), None))
    library.error("failed with %s", CANARY)
    assert logs.flush()
    found = sink.lines()
    assert [(line["level"], line["logger"]) for line in found] == [
        ("warning", "some.library"),
        ("warning", "some.library"),
        ("error", "some.library"),
    ]
    assert found[0]["event"] == "retrying x"
    assert "TypeError while formatting" in found[1]["event"]
    assert CANARY not in found[2]["event"]


def test_the_level_changes_while_running(logs: Logs, sink: Sink) -> None:
    """``log.level`` of the control surface, and a reload of everything."""
    log = structlog.get_logger()
    log.debug("not yet")
    logs.set_level("debug")
    log.debug("now")
    logs.set_level("error")
    log.warning("no more")
    log.error("still")
    assert logs.flush()
    logs.apply(level="info", form="human", repeats_per_minute=0)
    log.info("for people", qty=1)
    assert logs.flush()
    *machine, human = sink.text().splitlines()
    assert [json.loads(line)["event"] for line in machine] == ["now", "still"]
    assert human.endswith("info     for people qty=1")


def test_after_stop_structlog_is_its_own_again(sink: Sink) -> None:
    """And the root logger has one handler less."""
    before = list(logging.getLogger().handlers)
    logs = Logs(environ={}, descriptor=sink.writer).start()
    assert len(logging.getLogger().handlers) == len(before) + 1
    structlog.get_logger().info("last words")
    logs.stop()
    assert logging.getLogger().handlers == before
    assert [line["event"] for line in sink.lines()] == ["last words"]
    assert not structlog.is_configured()


# -------------------------------------------------------------------------------------------------------------- people


def test_the_title_of_an_alert_is_said_and_not_quoted() -> None:
    """Unless there is a detail, which says more."""
    fields = {"ts": 0.0, "level": "warning", "event": "alert", "title": "-3% at stop-loss", "count": 1}
    assert human_line(fields, colour=False) == "00:00:00.000 warning  alert: -3% at stop-loss count=1"
    told = human_line({**fields, "detail": "more"}, colour=False)
    assert told == '00:00:00.000 warning  alert: more title="-3% at stop-loss" count=1'


def test_a_terminal_gets_lines_for_people_with_colour_if_it_wants_it() -> None:
    """Chosen by itself on a TTY; ``NO_COLOR`` and a dumb terminal take the colour away."""
    master, slave = pty.openpty()
    try:
        for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            logs = Logs(environ=environ, descriptor=slave).start()
            assert logs.form == "human"
            structlog.get_logger().error("disk full", free_mb=3)
            logs.stop()
            text = os.read(master, 4_096).decode()
            assert "disk full free_mb=3" in text
            assert ("\x1b[31m" in text) is coloured
    finally:
        os.close(master)
        os.close(slave)


def test_a_line_for_people_cannot_steer_the_terminal() -> None:
    """What a headline or a symbol carries is shown, not obeyed; a traceback keeps its lines."""
    line = human_line(
        {
            "ts": 0.0,
            "level": "warning",
            "event": "news \x1b]0;owned\x07",
            "headline": "a\nb \u202e c",
            "empty": "",
            "exception": "Traceback:\n  x\x1b[2J",
        },
        colour=False,
    )
    assert "\x1b" not in line
    assert "\x07" not in line
    assert line.splitlines() == [
        r'00:00:00.000 warning  news \x1b]0;owned\x07 headline="a\\nb \\u202e c" empty=""',
        "  Traceback:",
        r"    x\x1b[2J",
    ]


def test_a_json_line_is_one_line() -> None:
    """Whatever the fields hold."""
    text = json_line({"ts": 1.5, "level": "info", "event": "a\nb", "x": ["\u2028", "\r"]})
    assert "\n" not in text
    assert json.loads(text)["ts"] == "1970-01-01T00:00:01.500Z"


# ------------------------------------------------------------------------------------------------------------ journald


class Journal:
    """A journald that keeps what it gets: datagrams and sealed files."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(10)
        self.files = 0

    def entry(self) -> dict[str, str]:
        """Return the next entry's fields."""
        data, passed, _, _ = socket.recv_fds(self._socket, 1 << 20, 4)
        for number in passed:
            self.files += 1
            with pytest.raises(PermissionError), os.fdopen(os.dup(number), "r+b", buffering=0) as writer:
                writer.write(b"x")
            data = os.pread(number, 1 << 26, 0)
            os.close(number)
        return parse(data)

    def close(self) -> None:
        """Go away, as at a restart."""
        self._socket.close()
        Path(self.path).unlink()


def parse(data: bytes) -> dict[str, str]:
    """Read journald's native protocol, written from its documentation."""
    found: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            data = rest
        else:
            (length,) = struct.unpack("<Q", rest[:8])
            value, data = rest[8 : 8 + length], rest[8 + length + 1 :]
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journald."""
    found = Journal(tmp_path / "journal")
    yield found
    if Path(found.path).exists():
        found.close()


def journal_environ(sink: Sink) -> dict[str, str]:
    """Return what systemd says where a stream leads to journald."""
    about = os.fstat(sink.writer)
    return {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}


def test_under_systemd_a_line_is_an_entry_with_fields(journal: Journal, sink: Sink) -> None:
    """Order id, actor and seq can be searched for; reserved and impossible names are renamed."""
    logs = Logs(
        level="debug",
        redactor=Redactor([CANARY]),
        environ=journal_environ(sink),
        descriptor=sink.writer,
        journal=journal.path,
    ).start()
    assert logs.form == "journald"
    log = structlog.get_logger("execution")
    log.warning(
        "order filled", order_id="o-1", actor="broker", seq=7, priority=1, message="m", _pid=3, **{"9x-ü": CANARY}
    )
    log.debug("two\nlines", why="a\nb")
    for level in ("info", "error", "critical"):
        getattr(log, level)(level)
    first = journal.entry()
    assert first == {
        "MESSAGE": "order filled order_id=o-1 actor=broker seq=7 priority=1 message=m _pid=3 9x-ü=[redacted]",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "tradingd",
        "EVENT": "order filled",
        "ORDER_ID": "o-1",
        "ACTOR": "broker",
        "SEQ": "7",
        "FIELD_PRIORITY": "1",
        "FIELD_MESSAGE": "m",
        "PID": "3",
        "FIELD_9X__": "[redacted]",
        "LOGGER": "execution",
    }
    second = journal.entry()
    assert (second["EVENT"], second["WHY"], second["PRIORITY"]) == ("two\nlines", "a\nb", "7")
    assert [journal.entry()["PRIORITY"] for _ in range(3)] == ["6", "3", "2"]
    logs.stop()
    assert sink.text() == ""


def test_an_entry_too_large_for_a_datagram_travels_as_a_sealed_file(journal: Journal, sink: Sink) -> None:
    """Nothing is cut that the log itself does not cut."""
    logs = Logs(environ=journal_environ(sink), descriptor=sink.writer, journal=journal.path).start()
    structlog.get_logger().info("large", **{f"field{n}": f"{n}" + "x" * 30_000 for n in range(20)})
    entry = journal.entry()
    assert journal.files == 1
    assert entry["FIELD19"] == "19" + "x" * 30_000
    logs.stop()


def test_while_journald_restarts_lines_go_to_the_stream(journal: Journal, sink: Sink) -> None:
    """And to journald again when it is back, without anybody doing anything."""
    logs = Logs(environ=journal_environ(sink), descriptor=sink.writer, journal=journal.path).start()
    log = structlog.get_logger()
    log.info("first")
    assert journal.entry()["EVENT"] == "first"
    journal.close()
    log.info("second")
    assert logs.flush()
    assert [line["event"] for line in sink.lines()] == ["second"]
    again = Journal(Path(journal.path))
    log.info("third")
    assert again.entry()["EVENT"] == "third"
    logs.stop()
    assert logs.gauges().failed == 0
    again.close()


def test_the_stream_is_journalds_only_if_the_manager_says_so(sink: Sink, journal: Journal) -> None:
    """Another stream, none, or nonsense: lines go to the stream."""
    environ = journal_environ(sink)
    assert stream_is_journal(environ, sink.writer)
    for wrong in ({}, {"JOURNAL_STREAM": "1:2"}, {"JOURNAL_STREAM": "x"}, {"JOURNAL_STREAM": ""}):
        assert not stream_is_journal(wrong, sink.writer)
        logs = Logs(environ=wrong, descriptor=sink.writer, journal=journal.path)
        assert logs.form == "json"
    assert Logs(environ=environ, descriptor=sink.writer, journal="/nowhere").form == "json"
    assert Logs(form="journald", environ={}, descriptor=sink.writer, journal="/nowhere").form == "json"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("order_id", "ORDER_ID"),
        ("_trusted", "TRUSTED"),
        ("a.b-c", "A_B_C"),
        ("5m", "FIELD_5M"),
        ("priority", "FIELD_PRIORITY"),
        ("__", "FIELD"),
        ("", "FIELD"),
        ("x" * 200, "X" * 64),
        ("9" * 200, "FIELD_" + "9" * 58),
    ],
)
def test_names_of_fields_are_what_journald_takes(name: str, field: str) -> None:
    """Upper case letters, digits, underscores; never a trusted field, never one of the protocol's own."""
    assert field_name(name) == field


def test_a_value_cannot_smuggle_in_a_field() -> None:
    """A line break makes the value binary, not a new line."""
    assert parse(encode([("A", "x\nPRIORITY=0"), ("B", "=y")])) == {"A": "x\nPRIORITY=0", "B": "=y"}


# -------------------------------------------------------------------------------------------------------------- limits


def test_a_line_that_repeats_is_held_back_and_counted(sink: Sink) -> None:
    """F58, F63: the log does not grow with the number of failures; another line still passes."""
    now = [0.0]
    logs = Logs(environ={}, descriptor=sink.writer, repeats_per_minute=3, clock=lambda: now[0]).start()
    log = structlog.get_logger()
    for n in range(50):
        log.warning("feed stale", n=n)
    log.warning("another")
    assert logs.flush()
    assert [line["event"] for line in sink.lines()] == ["feed stale"] * 3 + ["another"]
    now[0] = 60.0
    assert logs.flush()
    (told,) = sink.lines()
    assert (told["event"], told["of"], told["count"], told["level"]) == ("repeated", "feed stale", 47, "warning")
    log.warning("feed stale")
    assert logs.flush()
    assert [line["event"] for line in sink.lines()] == ["feed stale"]
    assert logs.gauges().held_back == 47
    logs.stop()


def test_kinds_of_lines_are_bounded() -> None:
    """A program that puts numbers into its texts cannot fill the memory; the rest shares one bound."""
    limit = RepeatLimit(2)
    passed = sum(limit.admit(("info", f"order {n}"), 0.0) for n in range(KINDS_MAX + 500))
    assert passed == KINDS_MAX + 2
    assert len(limit._windows) == KINDS_MAX + 1
    assert limit.expired(59.9) == []
    assert limit.expired(60.0) == [("", "other lines", 498)]
    assert limit._windows == {}
    assert all(RepeatLimit(0).admit(("info", "x"), 0.0) for _ in range(100))


def test_who_logs_never_waits_for_who_reads() -> None:
    """A reader that stopped: the queue fills, lines are dropped and counted, and the count is told once it reads on."""
    sink = Sink()
    logs = Logs(environ={}, descriptor=sink.writer, repeats_per_minute=0).start()
    log = structlog.get_logger()
    begin = time.monotonic()
    for n in range(QUEUE_LINES_MAX * 2):
        log.info("line", n=n, filler="x" * 100)
    assert time.monotonic() - begin < 30  # twenty thousand calls; one that waited would wait for ever
    dropped = logs.gauges().dropped
    assert dropped > 0
    found: list[str] = []

    def read_on() -> None:
        with os.fdopen(os.dup(sink.reader)) as stream:
            found.extend(stream)

    reader = threading.Thread(target=read_on)
    reader.start()
    assert logs.flush(60)
    logs.stop()
    os.close(sink.writer)
    reader.join()
    os.close(sink.reader)
    lines = [json.loads(line) for line in found]
    told = [line["count"] for line in lines if line["event"] == "log lines dropped"]
    kept = [line["n"] for line in lines if line["event"] == "line"]
    assert sum(told) == dropped == QUEUE_LINES_MAX * 2 - len(kept)
    assert kept == sorted(kept)


def test_a_stream_that_does_not_block_loses_nothing(sink: Sink) -> None:
    """A terminal shared with a program that set O_NONBLOCK: the writer waits for room."""
    os.set_blocking(sink.writer, False)
    logs = Logs(environ={}, descriptor=sink.writer, repeats_per_minute=0).start()
    log = structlog.get_logger()
    for n in range(2_000):
        log.info("line", n=n, filler="x" * 200)
    text = b""
    while text.count(b"\n") < 2_000:
        assert select.select([sink.reader], [], [], 30)[0]
        text += os.read(sink.reader, 1 << 16)
    logs.stop()
    assert [json.loads(line)["n"] for line in text.splitlines()] == list(range(2_000))
    assert logs.gauges().failed == 0


def test_a_stream_that_is_gone_is_counted_and_ends_nothing(sink: Sink) -> None:
    """The thread that writes lives on, for the stream that comes back."""
    reader, writer = os.pipe()
    logs = Logs(environ={}, descriptor=writer).start()
    os.close(reader)
    structlog.get_logger().info("into the void")
    assert logs.flush()
    assert logs.gauges().failed == 1
    assert logs.gauges().written == 0
    logs.stop()
    os.close(writer)


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("form", ["human", "json", "journald"])
def test_f69_no_secret_reaches_any_form_of_the_log(form: str, journal: Journal, sink: Sink) -> None:
    """F69: event, fields, names, nested values, bytes, exception, its cause, context, libraries: nothing left."""
    logs = Logs(
        form=form, redactor=Redactor([CANARY]), environ={}, descriptor=sink.writer, journal=journal.path
    ).start()
    assert logs.form == form
    structlog.contextvars.bind_contextvars(session=CANARY)
    log = structlog.get_logger()
    log.info(CANARY.join(["<", ">"]), plain=CANARY, nested={"a": [CANARY, {CANARY: 1}]}, raw=CANARY.encode())
    try:
        try:
            raise OSError(  # noqa: TRY301 - what matters is the chain of causes
                f"GET https://api.telegram.org/bot123456:{CANARY}/x?key={CANARY}"
            )
        except OSError as error:
            raise ValueError(CANARY) from error
    except ValueError:
        log.exception("failed")
    logging.getLogger("http").error("Authorization: %s", CANARY)
    structlog.contextvars.clear_contextvars()
    assert logs.flush()
    logs.stop()
    text = json.dumps([journal.entry() for _ in range(3)]) if form == "journald" else sink.text()
    assert CANARY not in text
    assert text.count("[redacted]") >= 8
    assert "api.telegram.org" in text
