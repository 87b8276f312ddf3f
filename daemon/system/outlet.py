"""What a commit releases: alerts, questions to models, lines for subscribers, views, the log. Nothing leaves before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from actors.messages.alerts import AlertRaised, Severity
from actors.messages.inference import InferenceRequested, StrategyFailed
from actors.messages.risk import TradingStateChanged
from actors.messages.sentiment import NewsScored, SentimentRequested
from actors.reporter.actor import ReporterActor
from daemon.journal.batch import OutboxRow
from daemon.kernel.actor import Frame
from daemon.kernel.digest import DIGEST_START
from daemon.kernel.message import Event
from daemon.system.core_ports import Pending
from daemon.system.edges import Deliveries, Inference
from daemon.system.live_core import LiveCore
from daemon.system.live_desk import LiveDesk
from daemon.system.log_lines import failure_lines, is_told, log_line


class Log(Protocol):
    """The part of a logger that is used here."""

    def info(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...

    def debug(self, event: str, **fields: object) -> object:
        """Log one line."""
        ...


class Head(msgspec.Struct, frozen=True):
    """The last committed frame: its place, its stamp, and the event digest behind it."""

    seq: int = 0
    ts: int = 0
    digest: str = DIGEST_START.hex()


class LiveOutlet:
    """See the module."""

    def __init__(
        self,
        *,
        desk: LiveDesk,
        inference: Inference,
        deliveries: Deliveries,
        reporter: ReporterActor,
        lines: Callable[[Frame], list[dict[str, Any]]],
        symbols: tuple[str, ...],
        notify_views: Callable[[int], None],
        changed: Callable[[TradingStateChanged], None],
        make_room: Callable[[], object],
        debug: Callable[[], bool],
        log: Log,
    ) -> None:
        """Wire the ways out."""
        self._desk = desk
        self._inference = inference
        self._deliveries = deliveries
        self._reporter = reporter
        self._lines = lines
        self._symbols = symbols
        self._notify_views = notify_views
        self._changed = changed
        self._make_room = make_room
        self._debug = debug
        self._log = log
        self.seq = 0
        self.head = Head()
        self.dirty = True

    def stand_at(self, head: Head) -> None:
        """Begin behind what an earlier run of the daemon committed."""
        self.seq = head.seq
        self.head = head

    def durable(self, pending: Pending) -> None:
        """A commit's frames are there to be read: whoever is answered because of it finds them."""
        if pending.batch.frames:
            last = pending.batch.frames[-1]
            self.seq = last.envelope.seq
            self.head = Head(self.seq, last.envelope.ts_init, last.digest.hex())

    def committed(self, pending: Pending, core: LiveCore) -> None:
        """Release what one commit made durable."""
        batch = pending.batch
        listening = self._desk.listening
        debug = self._debug()
        for frame in batch.frames:
            failed = False
            for event in frame.events:
                if isinstance(event, InferenceRequested | SentimentRequested):
                    self._inference.ask(event)
                elif type(event) is StrategyFailed:
                    failed = True
                elif type(event) is NewsScored and event.reason:
                    count = len(event.news_ids)
                    self._log.warning("headlines without scores", seq=frame.envelope.seq, n=count, detail=event.reason)
                elif debug or is_told(event) or type(event) is TradingStateChanged:
                    self._tell(frame, event)
            if failed:
                self._tell_failures(frame, core)
            if frame.events:
                self._show(frame, listening=listening)
        if batch.outbox:
            self._deliveries.add(batch.outbox)
            for row in batch.outbox:
                self._tell_alert(row)
        if batch.frames:
            self._notify_views(self.seq)
        self.dirty = True
        self._desk.look_for_flat()

    def _show(self, frame: Frame, *, listening: bool) -> None:
        """Show a frame to those whose failure must not keep the core from going on."""
        try:
            self._reporter.consume(frame.envelope, frame.events)
            if listening:
                self._desk.publish(self._lines(frame))
        except Exception as error:  # noqa: BLE001 - the frame is durable: views and ledger still have it
            self._log.warning("outreach", seq=frame.envelope.seq, error=f"{type(error).__name__}: {error}")

    def _tell_alert(self, row: OutboxRow) -> None:
        """The log is told of every alert, so that one without a channel is seen by somebody."""
        if row.state != "pending":
            return
        alert = msgspec.json.decode(row.body, type=AlertRaised)
        tell = self._log.info if alert.severity is Severity.INFO else self._log.warning
        tell("alert", title=alert.title, severity=alert.severity.value, alert_id=alert.alert_id, count=alert.count)

    def _tell_failures(self, frame: Frame, core: LiveCore) -> None:
        for level, words, fields in failure_lines(frame.events, self._symbols, core.core.predictor.failures):
            getattr(self._log, level)(words, **fields, seq=frame.envelope.seq)

    def _tell(self, frame: Frame, event: Event) -> None:
        seq = frame.envelope.seq
        if isinstance(event, TradingStateChanged):
            self._log.warning(
                "trading state", seq=seq, actor="risk", old=event.old, new=event.new, reason=event.reason, by=event.by
            )
            self._changed(event)
            return
        level, words, fields = log_line(event, self._symbols)
        getattr(self._log, level)(words, **fields, seq=seq)

    def trouble(self, what: str, sentence: str) -> None:
        """Tell what people should hear of, though nothing was committed."""
        self._log.warning(what, detail=sentence)
        self.dirty = True

    def room(self) -> None:
        """Give up the reserve."""
        self._make_room()
