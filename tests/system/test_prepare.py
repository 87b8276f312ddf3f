"""What the control thread is told while there is no daemon yet."""

from __future__ import annotations

from typing import Any

from daemon.control.calls import Peer, Role
from daemon.system.prepare import Hooks


class Log:
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, object]] = []

    def info(self, event: str, **fields: object) -> object:
        """Keep one."""
        assert event == "control call"
        self.lines.append((fields["method"], fields["outcome"]))
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
