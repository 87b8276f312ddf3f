"""Alerts wait here until the frame that caused them is on disk; then the channels get them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

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


class CleanChannel:
    """A channel that is handed alerts without secrets: an operator's reason or another program's words may hold one."""

    def __init__(self, channel: Channel, clean: Callable[[str], str]) -> None:
        """Stand in front of a channel."""
        self.name = channel.name
        self._channel = channel
        self._clean = clean

    def deliver(self, alert: AlertRaised) -> None:
        """Hand over an alert with its texts cleaned; what it is about and its ids are ours."""
        clean = self._clean
        facts = tuple((name, clean(value)) for name, value in alert.facts)
        cleaned = msgspec.structs.replace(
            alert, title=clean(alert.title), facts=facts, action_taken=clean(alert.action_taken)
        )
        self._channel.deliver(cleaned)


@contextmanager
def channels(
    settings: Settings, clean: Callable[[str], str] | None = None, *, console: bool = True
) -> Iterator[list[Channel]]:
    """Open the channels of ``[alerter]``; the console writes to standard error.

    Args:
        settings: of the run.
        clean: takes secrets out of a text; None where there are none.
        console: whether the console may be one; between lines of JSON its own would be a fault, and the log has every
            alert anyway.

    Raises:
        OperatorError: the alert file cannot be opened.
    """
    found: list[Channel] = []
    file: FileChannel | None = None
    if console and settings.alerter.console != OFF:
        found.append(ConsoleChannel(sys.stderr, Severity(settings.alerter.console)))
    if settings.alerter.file:
        file = FileChannel(Path(settings.alerter.file).expanduser())
        found.append(file)
    try:
        yield found if clean is None else [CleanChannel(channel, clean) for channel in found]
    finally:
        if file is not None:
            file.close()
