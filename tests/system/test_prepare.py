"""What the control thread is told while there is no daemon yet."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from config.running import ControlSettings
from config.settings import Settings
from daemon.control.calls import Peer, Role
from daemon.kernel.errors import ConfigError
from daemon.system.prepare import Hooks, control_limits, make_folders
from tests.control.parts import running


class Log:
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, object]] = []

    def info(self, event: str, **fields: object) -> object:
        """Keep one."""
        assert event == "control call"
        self.lines.append((fields["method"], fields["outcome"]))
        return None

    def critical(self, event: str, **fields: object) -> object:
        """Keep one."""
        self.lines.append((event, fields["detail"]))
        return None

    def warning(self, event: str, **fields: Any) -> object:
        """Nothing is worth a warning."""
        raise AssertionError(event, fields)


def test_whoever_looks_whether_the_daemon_is_there_yet_leaves_no_line() -> None:
    """A probe asks ten times a second; a command that came too early, and a look that was refused, are told."""
    log = Log()
    hooks = Hooks(log)
    calls = [("status", "STARTING"), ("order.submit", "STARTING"), ("status", "FORBIDDEN"), ("kill", "ok")]
    for method, outcome in calls:
        hooks.audit_now("refused", Peer(1, 1, 2, Role.VIEWER), method, outcome)
    assert log.lines == calls[1:]


def test_a_socket_that_is_taken_away_before_there_is_a_daemon_is_a_critical_line() -> None:
    """Nobody else could be told yet."""
    log = Log()
    Hooks(log).gone_now("the control socket was taken away", True)
    assert log.lines == [("control", "the control socket was taken away")]


@pytest.mark.parametrize("name", ["state_dir", "runtime_dir"])
@pytest.mark.parametrize(
    ("there", "says"),
    [
        ("link", "is a link to /nowhere/at/all, which is not there; make that folder"),
        ("file", "is no folder; move it away"),
        ("below a file", "cannot be made: Not a directory"),
    ],
)
def test_a_folder_that_cannot_be_one_is_named_for_what_it_is(tmp_path: Path, name: str, there: str, says: str) -> None:
    """Not "File exists" for a link to nothing."""
    place = tmp_path / "x"
    if there == "link":
        place.symlink_to("/nowhere/at/all")
    else:
        place.touch()
    folders = {"state_dir": tmp_path / "s", "runtime_dir": tmp_path / "r"}
    folders[name] = place / "y" if there == "below a file" else place
    with pytest.raises(ConfigError) as caught:
        make_folders(Settings.model_validate({"paths": folders}))
    assert f"paths.{name} {folders[name]} {says}" in str(caught.value)
    assert caught.value.exit_code == 78


class Hands:
    """A loop whose clock a test moves; everything else is the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin at the loop's time."""
        self._loop = loop
        self.now = loop.time()

    def time(self) -> float:
        """Read it."""
        return self.now

    def __getattr__(self, name: str) -> Any:
        """Hand on."""
        return getattr(self._loop, name)


@pytest.mark.parametrize("rate", [3, 20])
def test_so_many_requests_a_second_are_taken_as_the_configuration_says(rate: int) -> None:
    """On virtual time: twice as many at once, then exactly that many with every second, and never more saved up."""
    limits = control_limits(ControlSettings(requests_per_s=rate, connections_max=7, call_timeout_s=2))
    assert (limits.connections_max, limits.call_s) == (7, 2.0)
    with running(limits) as daemon, daemon.client() as client:
        dispatcher = daemon.server._dispatcher
        hands = Hands(dispatcher._loop())
        dispatcher._loop = lambda: hands  # type: ignore[assignment, return-value]

        def taken() -> int:
            for n in itertools.count():
                if "error" in client.ask("journal.head"):
                    return n
            raise AssertionError

        assert taken() == 2 * rate
        for seconds, expected in ((1, rate), (1, rate), (0.5, rate // 2), (0.5, rate - rate // 2), (60, 2 * rate)):
            hands.now += seconds
            assert taken() == expected
