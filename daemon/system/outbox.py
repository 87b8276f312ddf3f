"""Alerts wait here until the frame that caused them is on disk; then the channels get them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from actors.alerter.actor import AlerterActor
from actors.alerter.delivery import Channel, deliver
from actors.alerter.ports.console import ConsoleChannel
from actors.alerter.ports.file import FileChannel
from actors.messages.alerts import AlertFailed, AlertRaised, Severity
from config.settings import Settings
from daemon.kernel.message import Envelope, Event, Market

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OFF = "off"


class AlertOutbox:
    """Stands between the engine and the alerter: what the alerter raises is handed over at the next commit."""

    def __init__(self, alerter: AlerterActor, channels: Sequence[Channel]) -> None:
        """Wire an alerter to channels."""
        self._alerter = alerter
        self._channels = channels
        self._pending: list[AlertRaised] = []
        self.failed: list[AlertFailed] = []

    def observe(self, panel: Market) -> None:
        """Show market data to the alerter."""
        self._pending += self._alerter.observe(panel)

    def consume(self, envelope: Envelope, events: list[Event]) -> None:
        """Show a frame to the alerter."""
        self._pending += self._alerter.consume(envelope, events)

    def release(self) -> None:
        """Hand over what is pending; called when everything so far is on disk."""
        if self._pending:
            results = deliver(self._pending, self._channels)
            self.failed += [result for result in results if isinstance(result, AlertFailed)]
            self._pending = []


@contextmanager
def channels(settings: Settings) -> Iterator[list[Channel]]:
    """Open the channels of ``[alerter]``; the console writes to standard error.

    Raises:
        OperatorError: the alert file cannot be opened.
    """
    found: list[Channel] = []
    file: FileChannel | None = None
    if settings.alerter.console != OFF:
        found.append(ConsoleChannel(sys.stderr, Severity(settings.alerter.console)))
    if settings.alerter.file:
        file = FileChannel(Path(settings.alerter.file).expanduser())
        found.append(file)
    try:
        yield found
    finally:
        if file is not None:
            file.close()
