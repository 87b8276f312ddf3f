"""Alerts and reports: what leaves the house, once it is committed."""

from __future__ import annotations

from enum import StrEnum

from daemon.kernel.message import Event


class Severity(StrEnum):
    """INFO: digest. WARNING: working hours. CRITICAL: wakes someone."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertRaised(Event, tag=90, frozen=True):
    """An alert. Equal ``key`` means the same condition: channels update one message, ``count`` says how often.

    Attributes:
        alert_id: deterministic, the idempotency token of channels.
        facts: (name, value as text) pairs, numbers first.
        action_taken: what the daemon already did.
        next_command: the one command to type, "" where none.
    """

    alert_id: str
    key: str
    ts: int
    severity: Severity
    title: str
    facts: tuple[tuple[str, str], ...]
    action_taken: str = ""
    next_command: str = ""
    count: int = 1


class AlertDelivered(Event, tag=91, frozen=True):
    """A channel confirmed an alert."""

    alert_id: str
    channel: str


class AlertFailed(Event, tag=92, frozen=True):
    """A channel could not deliver an alert."""

    alert_id: str
    channel: str
    reason: str


class ReportRequested(Event, tag=93, frozen=True):
    """Someone wants a report."""

    report: str
    by: str


class ReportWritten(Event, tag=94, frozen=True):
    """A report is complete on disk."""

    report: str
    path: str
    sha256: str


class AlertAcknowledged(Event, tag=95, frozen=True):
    """A person has seen an alert and says so (a fact from the edge); nothing is repeated or escalated after it."""

    alert_id: str
    by: str
    reason: str = ""


class AlertTested(Event, tag=96, frozen=True):
    """A person wants to see a test alert arrive on every channel (a fact from the edge)."""

    by: str
    reason: str = ""
