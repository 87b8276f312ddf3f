"""The service manager's protocol, against a real datagram socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from daemon.kernel.errors import ConfigError
from daemon.service.systemd import STATUS_CHARS_MAX, Notifier, take_watchdog_interval
from tests.service.conftest import Manager


def test_each_message_is_what_sd_notify_says(manager: Manager) -> None:
    """Names and units of sd_notify(3)."""
    notifier = Notifier(manager.address)
    assert notifier.ready("trading active")
    assert notifier.status("two\nlines \x1b[31m of text")
    assert notifier.reloading(12_345_678_901)
    assert notifier.stopping("stage 1")
    assert notifier.failed(5, "disk")
    assert notifier.extend_timeout(2.5)
    assert notifier.watchdog_ping()
    assert notifier.watchdog_trigger()
    assert notifier.main_pid(77)
    assert manager.waiting() == [
        {"READY": "1", "STATUS": "trading active"},
        {"STATUS": "two lines  [31m of text"},
        {"RELOADING": "1", "MONOTONIC_USEC": "12345678"},
        {"STOPPING": "1", "STATUS": "stage 1"},
        {"ERRNO": "5", "STATUS": "disk"},
        {"EXTEND_TIMEOUT_USEC": "2500000"},
        {"WATCHDOG": "1"},
        {"WATCHDOG": "trigger"},
        {"MAINPID": "77"},
    ]
    notifier.close()
    assert not notifier.watchdog_ping()
    assert notifier.failures == 0


def test_an_abstract_address_is_understood() -> None:
    """``@name`` is a name without a file."""
    manager = Manager(f"@tradingd-test-{os.getpid()}")
    notifier = Notifier(manager.address)
    assert notifier.ready("x")
    assert manager.receive() == {"READY": "1", "STATUS": "x"}
    notifier.close()
    manager.close()


def test_the_variables_are_taken_so_that_no_child_speaks_for_us(manager: Manager) -> None:
    """What a child inherits has neither socket nor watchdog."""
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "5", "HOME": "/x"}
    notifier = Notifier.take(environ)
    assert notifier.active
    assert take_watchdog_interval(environ, pid=5) == 10.0
    assert environ == {"HOME": "/x"}
    notifier.close()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "ten"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "42"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "43"}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_it_means_us(environ: dict[str, str], interval: float | None) -> None:
    """A parent's watchdog, none, or a broken value is none."""
    assert take_watchdog_interval(environ, pid=42) == interval


def test_without_a_manager_nothing_is_sent_and_nothing_fails() -> None:
    """The daemon runs the same in a shell."""
    notifier = Notifier.take({})
    assert not notifier.active
    assert not notifier.ready("x")
    assert notifier.failures == 0


def test_an_address_of_another_kind_is_refused() -> None:
    """The sentence names it; exit code 78."""
    with pytest.raises(ConfigError, match="NOTIFY_SOCKET is vsock:2:1234") as caught:
        Notifier("vsock:2:1234")
    assert caught.value.exit_code == 78


def test_a_manager_that_is_gone_is_counted_and_does_not_stop_us(tmp_path: Path) -> None:
    """Nothing is raised; the count shows it."""
    notifier = Notifier(str(tmp_path / "nobody"))
    assert not notifier.ready("x")
    assert not notifier.status("x")
    assert notifier.failures == 2
    notifier.close()


def full(manager: Manager) -> tuple[Notifier, int]:
    """Return a notifier whose manager's queue is full, and of how many pings."""
    notifier = Notifier(manager.address)
    sent = 0
    while notifier.watchdog_ping():
        sent += 1
        assert sent < 100_000
    assert notifier.failures == 1
    return notifier, sent


def test_a_manager_that_reads_nothing_holds_nobody_up(manager: Manager) -> None:
    """A ping gives up at once; what is urgent waits elsewhere, and comes in order once somebody reads."""
    notifier, sent = full(manager)
    begin = time.monotonic()
    assert not notifier.reloading(5_000)
    assert not notifier.ready("x")
    assert not notifier.stopping("y")
    assert not notifier.status("lost")
    assert time.monotonic() - begin < 0.5
    assert notifier.failures == 2
    for _ in range(sent):
        assert manager.receive() == {"WATCHDOG": "1"}
    assert [next(iter(manager.receive())) for _ in range(3)] == ["RELOADING", "READY", "STOPPING"]
    assert notifier.failures == 2
    notifier.close()


def test_only_so_much_waits_for_a_manager_and_only_so_long(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much, or too old, is given up and counted; the next message is sent as ever."""
    monkeypatch.setattr("daemon.service.systemd.URGENT_WAIT_S", 0.01)
    monkeypatch.setattr("daemon.service.systemd.URGENT_MAX", 2)
    notifier, sent = full(manager)
    for n in range(100):
        assert not notifier.ready(str(n))
    thread = notifier._thread
    if thread is not None:
        thread.join(5)
    assert notifier.failures == 1 + 100
    assert len(manager.waiting()) == sent
    assert notifier.ready("now")
    assert manager.waiting()[-1]["STATUS"] == "now"
    notifier.close()


def test_the_last_words_wait_a_moment_and_no_longer(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind them the process ends; they come if the manager reads, and end is not put off if it does not."""
    monkeypatch.setattr("daemon.service.systemd.LAST_WAIT_S", 0.2)
    notifier, sent = full(manager)
    begin = time.monotonic()
    assert not notifier.failed(1, "first")
    assert 0.1 < time.monotonic() - begin < 5
    monkeypatch.setattr("daemon.service.systemd.LAST_WAIT_S", 20.0)
    reader = threading.Thread(target=lambda: [manager.receive() for _ in range(sent)])
    reader.start()
    assert notifier.failed(2, "second")
    reader.join(5)
    assert [manager.receive()["ERRNO"] for _ in range(2)] == ["1", "2"]
    notifier.close()


def test_a_status_is_one_clean_line(manager: Manager) -> None:
    """Long texts are cut, a line break cannot smuggle in another assignment, secrets are taken out."""
    notifier = Notifier(manager.address, clean=lambda text: text.replace("hunter2", "***"))
    notifier.status("x" * 1_000 + "\nREADY=1")
    notifier.status("a\nREADY=1 password hunter2")
    first, second = manager.waiting()
    assert len(first["STATUS"]) == STATUS_CHARS_MAX
    assert second == {"STATUS": "a READY=1 password ***"}
    notifier.close()


def test_the_socket_is_not_inherited(manager: Manager) -> None:
    """A child that executes another program does not keep it."""
    notifier = Notifier(manager.address)
    found = notifier._socket
    assert isinstance(found, socket.socket)
    assert not found.get_inheritable()
    notifier.close()
