"""Channels: where alerts go once they are committed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from actors.messages.alerts import AlertDelivered, AlertFailed, AlertRaised


class Channel(Protocol):
    """One way out. An alert with a known id is an update of the same message."""

    name: str

    def deliver(self, alert: AlertRaised) -> None:
        """Hand an alert over.

        Raises:
            OSError: it could not be handed over; nothing of it is there.
        """
        ...


def deliver(alerts: Iterable[AlertRaised], channels: Sequence[Channel]) -> list[AlertDelivered | AlertFailed]:
    """Hand alerts to every channel; a channel that fails keeps neither the others nor trading from going on."""
    results: list[AlertDelivered | AlertFailed] = []
    for alert in alerts:
        for channel in channels:
            try:
                channel.deliver(alert)
            except OSError as error:
                reason = f"{type(error).__name__}: {error.strerror or error}"
                results.append(AlertFailed(alert.alert_id, channel.name, reason))
            else:
                results.append(AlertDelivered(alert.alert_id, channel.name))
    return results
