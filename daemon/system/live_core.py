"""A core with the folds that belong to it in live: alerts, open questions to models, the place in the recording.

They are folds of committed frames and of market data like the core's own state, travel in the same snapshot and are
rebuilt with it, so that no alert is lost and no question is asked twice or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast

import msgspec

from actors.alerter.actor import AlerterActor
from actors.messages.alerts import AlertRaised
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.market import GapDetected
from actors.messages.sentiment import SentimentReady, SentimentRequested
from daemon.journal.batch import OutboxRow, SnapshotRow
from daemon.kernel.actor import Frame
from daemon.kernel.clock import Clock, VirtualClock
from daemon.kernel.message import Envelope, Event, Market, Message
from daemon.kernel.poison import PoisonRecord
from daemon.system.composition import Core, CoreSpec, build_core

_ANSWERS: Final = (PredictionReady, PredictionUnavailable, SentimentReady)


class LoopSink(Protocol):
    """Who collects what the core states."""

    def append(self, frame: Frame) -> None:
        """Take one frame."""
        ...

    def quarantine(self, record: PoisonRecord) -> None:
        """Take one poisoned input."""
        ...


class _Relay:
    """The sequencer's sink, whose other end is set once there is one."""

    target: LoopSink

    def append(self, frame: Frame) -> None:
        self.target.append(frame)

    def quarantine(self, record: PoisonRecord) -> None:
        self.target.quarantine(record)


class OpenQuestion(msgspec.Struct, frozen=True):
    """A request to a model that has no answer yet, and the stamp it was made at."""

    request: InferenceRequested | SentimentRequested
    ts: int


class LiveCore:
    """See the module."""

    def __init__(self, spec: CoreSpec, clock: Clock, alerter: AlerterActor) -> None:
        """Build an empty core."""
        self._relay = _Relay()
        self.clock = clock
        self.core: Core = build_core(spec, clock=clock, sink=self._relay, on_quarantine=self._relay.quarantine)
        self.sequencer = self.core.sequencer
        self.alerter = alerter
        self.questions: dict[str, OpenQuestion] = {}
        self.feed_ts = 0
        """Stamp-side place in the recording: time of the last market input that was taken ..."""
        self.feed_n = 0
        """... and how many were taken at that very time."""
        self.asked = 0
        """How many questions this core has known; grows with every one."""
        self.events_at_snapshot = 0
        self.snapshot_seq = 0
        """The input that the last snapshot stands behind: the one restored from, or taken since."""

    def attach(self, sink: LoopSink) -> None:
        """Let ``sink`` collect from here on."""
        self._relay.target = sink

    def move_clock(self, at: int | None) -> None:
        """Move a virtual clock forward to an input's instant; the machine's clock moves by itself."""
        if at is not None and isinstance(self.clock, VirtualClock) and at > self.clock.now():
            self.clock.advance_to(at)

    # -- folds -------------------------------------------------------------------------------------------------------

    def fold_frame(self, frame: Frame, outbox: list[OutboxRow]) -> None:
        """Fold a frame as it is stated; alerts it raises become rows of its own commit."""
        alerts = self.alerter.consume(frame.envelope, frame.events)
        self._fold_questions(frame.envelope.body, frame.events, frame.envelope.ts_init)
        if alerts:
            outbox += outbox_rows(alerts)

    def fold_panel(self, panel: Market, outbox: list[OutboxRow]) -> None:
        """Fold market data behind its frame."""
        alerts = self.alerter.observe(panel)
        self._fold_place(panel)
        if alerts:
            outbox += outbox_rows(alerts)

    def _fold_questions(self, body: Message, events: Iterable[Event], ts: int) -> None:
        if isinstance(body, _ANSWERS):
            self.questions.pop(body.request_id, None)
        for event in events:
            if isinstance(event, InferenceRequested | SentimentRequested):
                self.questions[event.request_id] = OpenQuestion(event, ts)
                self.asked += 1

    def _fold_place(self, panel: Market) -> None:
        if isinstance(panel, GapDetected):  # told by the shell, no part of the recording
            return
        if panel.ts == self.feed_ts:
            self.feed_n += 1
        else:
            self.feed_ts = panel.ts
            self.feed_n = 1

    # -- recovery ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> SnapshotRow:
        """Return the whole state between two inputs."""
        sequencer = self.sequencer
        edge = {
            "alerter": self.alerter.snapshot(),
            "questions": [(sequencer.codec.encode(q.request), q.ts) for q in self.questions.values()],
            "place": (self.feed_ts, self.feed_n),
        }
        self.events_at_snapshot = sequencer.events_total
        self.snapshot_seq = sequencer.seq
        return SnapshotRow(
            seq=sequencer.seq,
            ts=sequencer.last_ts,
            event_digest=sequencer.digest,
            core=sequencer.snapshot(),
            edge=msgspec.msgpack.encode(edge),
        )

    def restore(self, row: SnapshotRow, last: Callable[[int], list[Market]]) -> None:
        """Take over a snapshot; ``last`` gives the last so many market rows before it, which rings are warmed with.

        Raises:
            InvariantError: it was taken of other actors.
        """
        self.sequencer.restore(row.core)
        self.sequencer.warm(last)
        edge: dict[str, Any] = msgspec.msgpack.decode(row.edge)
        self.alerter.restore(edge["alerter"])
        self.questions = {}
        for raw, ts in edge["questions"]:
            # Nothing else is put there.
            request = cast("InferenceRequested | SentimentRequested", self.sequencer.codec.decode(raw))
            self.questions[request.request_id] = OpenQuestion(request, ts)
        self.asked += len(self.questions)
        self.feed_ts, self.feed_n = edge["place"]
        self.events_at_snapshot = self.sequencer.events_total
        self.snapshot_seq = row.seq

    def refold(self, seq: int, ts: int, ts_event: int, source: str, body: Message, events: list[Event]) -> None:
        """Fold one recorded input; nothing is decided and no alert is raised again."""
        self.sequencer.refold(seq, ts, ts_event, body, events, source=source)
        if events or not isinstance(body, Market):
            envelope = Envelope(seq, ts_event, ts, source, body)
            self.alerter.consume(envelope, events)
            self._fold_questions(body, events, ts)
        if isinstance(body, Market):
            self.alerter.observe(body)
            self._fold_place(body)


def outbox_rows(alerts: Iterable[AlertRaised]) -> list[OutboxRow]:
    """Return alerts as rows of the outbox."""
    return [OutboxRow(alert.alert_id, alert.ts, alert.severity.value, msgspec.json.encode(alert)) for alert in alerts]
