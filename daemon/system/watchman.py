"""Alerts about the machine itself, and which critical alerts nobody has acknowledged: folds of recorded facts.

What the shell finds out (an actor that failed, a disk that fills up, a reload that was refused) is recorded as an
input, so the alert about it is as durable, as deduplicated and as replayable as one about a loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from actors.alerter.dedupe import alert_id
from actors.messages.alerts import AlertAcknowledged, AlertRaised, AlertTested, Severity
from actors.messages.runtime import ActorFailed, MachineTrouble
from daemon.kernel.message import Envelope

UNRESOLVED_NS: Final = 12 * 3600 * 1_000_000_000
"""A critical alert younger than this that nobody acknowledged keeps a start halted (control C27)."""
QUIET_NS: Final = 300 * 1_000_000_000
"""The same trouble is told again after this, with its count."""
KEPT_MAX: Final = 1_000
OWN: Final = "machine:"


class Watchman:
    """See the module."""

    def __init__(self) -> None:
        """Begin with nothing said and nothing open."""
        self._last: dict[str, tuple[int, int]] = {}
        self._open: dict[str, tuple[int, str]] = {}

    def consume(self, envelope: Envelope) -> list[AlertRaised]:
        """Look at an input; return what is to be told."""
        body = envelope.body
        if isinstance(body, AlertAcknowledged):
            self._open.pop(body.alert_id, None)
            return []
        ts = envelope.ts_init
        if isinstance(body, AlertTested):
            facts = (("asked by", body.by),)
            key = f"{OWN}test:{envelope.seq}"
            return [
                AlertRaised(alert_id(key, ts), key, ts, Severity.WARNING, "This is a test of the alert channels", facts)
            ]
        if isinstance(body, ActorFailed):
            return self._tell(f"actor:{body.actor}", f"Actor {body.actor} failed", body.reason, ts, critical=False)
        if isinstance(body, MachineTrouble):
            return self._tell(body.what, body.sentence, "", ts, critical=body.critical)
        return []

    def _tell(self, what: str, title: str, reason: str, ts: int, *, critical: bool) -> list[AlertRaised]:
        last, count = self._last.get(what, (0, 0))
        if last and ts - last < QUIET_NS:
            self._last[what] = (last, count + 1)
            return []
        self._last[what] = (ts, 0)
        while len(self._last) > KEPT_MAX:
            del self._last[next(iter(self._last))]
        key = f"{OWN}{what}"
        severity = Severity.CRITICAL if critical else Severity.WARNING
        facts = (("reason", reason),) if reason else ()
        return [
            AlertRaised(
                alert_id(key, ts), key, ts, severity, title, facts, next_command="tradingctl status", count=count + 1
            )
        ]

    def note(self, alerts: Iterable[AlertRaised]) -> None:
        """Remember critical alerts until somebody acknowledges them."""
        for alert in alerts:
            if alert.severity is Severity.CRITICAL:
                self._open[alert.alert_id] = (alert.ts, alert.title)
                while len(self._open) > KEPT_MAX:
                    del self._open[next(iter(self._open))]

    def unresolved(self, ts: int) -> list[str]:
        """Return the titles of critical alerts of the last hours that nobody acknowledged, oldest first."""
        return [title for at, title in self._open.values() if ts - at < UNRESOLVED_NS]

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [
            [[what, last, count] for what, (last, count) in self._last.items()],
            [[name, at, title] for name, (at, title) in self._open.items()],
        ]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._last = {what: (last, count) for what, last, count in state[0]}
        self._open = {name: (at, title) for name, at, title in state[1]}
