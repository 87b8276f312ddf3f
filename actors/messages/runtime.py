"""The life of the machine itself; never part of the event digest."""

from __future__ import annotations

from daemon.kernel.message import Event


class RunStarted(Event, tag=100, frozen=True):
    """A run began."""

    run_id: str
    version: str
    config_digest: str
    seed: int
    mode: str


class RunEnded(Event, tag=101, frozen=True):
    """A run ended; ``status`` is ``ended``, ``recovered`` or ``quarantined``."""

    run_id: str
    status: str


class ActorStarted(Event, tag=102, frozen=True):
    """An actor is running."""

    actor: str


class ActorDegraded(Event, tag=103, frozen=True):
    """An actor lost an input to quarantine."""

    actor: str
    reason: str


class ActorFailed(Event, tag=104, frozen=True):
    """An actor died."""

    actor: str
    reason: str


class ActorRestarted(Event, tag=105, frozen=True):
    """An actor is back; ``restarts`` counts within the window."""

    actor: str
    restarts: int


class SnapshotTaken(Event, tag=106, frozen=True):
    """A snapshot of the core was written."""

    seq: int
    digest: str
