"""The service manager's protocol, against a real datagram socket."""

from __future__ import annotations

import os
import socket
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


def test_a_manager_that_reads_nothing_delays_us_only_for_a_moment(manager: Manager) -> None:
    """Its queue is full: a ping gives up at once, READY waits a bounded moment, and both are counted."""
    notifier = Notifier(manager.address)
    sent = 0
    while notifier.watchdog_ping():
        sent += 1
        assert sent < 100_000
    assert notifier.failures == 1
    begin = time.monotonic()
    assert not notifier.ready("x")
    assert time.monotonic() - begin < 5
    assert len(manager.waiting()) == sent
    assert notifier.ready("now")
    assert manager.waiting()[-1]["READY"] == "1"
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
