"""One commit of the live ledger: everything that becomes durable together, and the places where it can go wrong.

A batch stands or falls as a whole: the tape is written and synced first, then one transaction holds the frames, the
replies that promise them, the alerts they raised and the snapshot taken behind them (design section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from daemon.kernel.actor import Frame
from daemon.kernel.message import Market
from daemon.kernel.poison import PoisonRecord


class TapeRow(msgspec.Struct, frozen=True):
    """One market input as it was stamped.

    Attributes:
        seq: its place in the total order; 0 for history that was only observed to warm up.
        ts: its stamp, nanoseconds UTC.
        body: the message.
    """

    seq: int
    ts: int
    body: Market


class KeptReply(msgspec.Struct, frozen=True):
    """What a client was or will be told, kept under its idempotency key.

    Attributes:
        key: ``uid:request_id``.
        method: of the call.
        digest: SHA-256 of the call's canonical parameters, hex: the same key with other parameters is refused.
        reply: the outcome as JSON.
        seq: of the frame that holds what the reply promises.
        ts: its stamp.
    """

    key: str
    method: str
    digest: str
    reply: bytes
    seq: int
    ts: int


class OutboxRow(msgspec.Struct, frozen=True):
    """An alert in its newest form.

    Attributes:
        alert_id: deterministic; the same id is the same alert on every channel.
        ts: stamp of the frame it belongs to.
        severity: ``info``, ``warning`` or ``critical``.
        body: the alert as JSON.
        state: ``pending``, ``delivered`` (a channel confirmed) or ``dropped`` (not critical, given up).
        attempts: deliveries tried so far.
    """

    alert_id: str
    ts: int
    severity: str
    body: bytes
    state: str = "pending"
    attempts: int = 0


class SnapshotRow(msgspec.Struct, frozen=True):
    """The whole state behind one frame, a cache of both folds.

    Attributes:
        seq: of the last input folded.
        ts: its stamp.
        event_digest: of all facts up to it, 32 bytes.
        core: what ``Sequencer.snapshot`` gave.
        edge: state of edge actors that are folds of frames (the alerter), msgpack.
    """

    seq: int
    ts: int
    event_digest: bytes
    core: bytes
    edge: bytes


class Batch(msgspec.Struct):
    """What one commit makes durable.

    Attributes:
        panels: every market input since the last batch, in order; they go to the tape.
        frames: inputs with events, inputs that are no market data, and the last market input of a quiet second (so
            that a commit covers the tape); in order.
        replies, outbox, quarantined: rows that belong to these frames.
        snapshot: taken behind the last frame, or None.
    """

    panels: list[TapeRow] = msgspec.field(default_factory=list)
    frames: list[Frame] = msgspec.field(default_factory=list)
    replies: list[KeptReply] = msgspec.field(default_factory=list)
    outbox: list[OutboxRow] = msgspec.field(default_factory=list)
    quarantined: list[PoisonRecord] = msgspec.field(default_factory=list)
    snapshot: SnapshotRow | None = None


SITES: Final = ("tape.write", "tape.fsync", "frame.write", "commit", "reply")
"""Steps of a commit, in order; each has a ``before`` and an ``after``."""

Faults = Callable[[str], None]
"""Called with ``before:SITE`` and ``after:SITE``; a test's plan may raise, or end the process, there."""


def NO_FAULTS(place: str) -> None:  # noqa: N802 - a constant that happens to be a function
    """Let every step pass."""
    del place
