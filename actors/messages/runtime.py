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


class CallAudited(Event, tag=107, frozen=True):
    """A call of the control surface that changed something around the core, or that was refused (a fact from the edge).

    Attributes:
        kind: ``call``, ``kill`` or ``refused``.
        method: as it was asked for.
        by: uid and pid, as the kernel says.
        outcome: ``ok`` or the code of the refusal.
    """

    kind: str
    method: str
    by: str
    outcome: str


class MachineTrouble(Event, tag=108, frozen=True):
    """Something about the machine that people should hear of (a fact from the edge): disk, clock, reload, ledger.

    Attributes:
        what: stable key, such as ``disk_low``.
        sentence: what is wrong.
        critical: whether somebody has to look before trading goes on after a restart.
    """

    what: str
    sentence: str
    critical: bool = False
