"""The console channel: one line an alert, to a stream someone else opened."""

from __future__ import annotations

from typing import TextIO

from actors.alerter.rendering import line
from actors.messages.alerts import AlertRaised, Severity


class ConsoleChannel:
    """Writes alerts from a severity upwards as plain lines."""

    name = "console"

    def __init__(self, stream: TextIO, least: Severity = Severity.INFO) -> None:
        """Write to ``stream`` what is at least as severe as ``least``."""
        self._stream = stream
        severities = list(Severity)
        self._severities = severities[severities.index(least) :]

    def deliver(self, alert: AlertRaised) -> None:
        """Write one line and flush it."""
        if alert.severity in self._severities:
            self._stream.write(line(alert) + "\n")
            self._stream.flush()
