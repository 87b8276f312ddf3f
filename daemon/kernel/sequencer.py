"""The sequencer: one input at a time, stamped, run to quiescence through the core actors, committed as one frame.

Theory of operation
-------------------
An input gets the next ``seq`` and a stamp that never goes back. If it is market data, every observer folds it.
Then each stage (actor, in the fixed order) that accepts it decides, and everything that decision causes is finished
before the next stage looks at the input. At last the sealers fold it again.

``decide`` only buffers. When it returns, its events are folded in every subscriber at once; then its messages are
delivered in pre-order: a message reaches all its recipients, and what they answer is finished before the message's
next sibling is looked at. So two orders of one decision can never spend the same cash: the first is accepted and
its reservation folded before the gate sees the second.

Failure. An operator's or venue's error becomes ``CommandRejected``. Any other exception quarantines the input as long
as nothing of the frame was folded; afterwards only a rebuild helps (:class:`FrameAbandonedError`). Errors in
``evolve``, ``observe`` or ``seal`` are ours and fatal.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from daemon.kernel.actor import Context, CoreActor, Frame, Sink
from daemon.kernel.clock import Clock, TimerHeap
from daemon.kernel.codec import Codec
from daemon.kernel.errors import FrameAbandonedError, InvariantError, OperatorError, VenueError
from daemon.kernel.message import Command, CommandRejected, DeadLettered, Envelope, Event, InputQuarantined, Message
from daemon.kernel.routing import Route, Routing

CASCADE_MAX: Final = 10_000
POISON_MAX: Final = 3
POISON_WINDOW_NS: Final = 60 * 1_000_000_000
DIGEST_START: Final = bytes(32)


class PoisonRecord(msgspec.Struct, frozen=True):
    """What the quarantine keeps of a poisoned input; the traceback is for people and never an event."""

    envelope: Envelope
    actor: str
    error: str
    traceback: str


class CascadeError(InvariantError):
    """An input caused more deliveries than any honest one can: a feedback loop."""


class Sequencer:
    """Steps core actors; see the module's theory of operation."""

    def __init__(
        self,
        actors: Sequence[CoreActor],
        *,
        codec: Codec,
        clock: Clock,
        sink: Sink,
        seed: int = 0,
        cascade_max: int = CASCADE_MAX,
        on_quarantine: Callable[[PoisonRecord], None] | None = None,
    ) -> None:
        """Wire actors in stage order.

        Args:
            actors: the stages, first to last.
            codec: knows every message that may stand in a frame.
            clock: read once per input.
            sink: takes each frame that has events or a recordable input.
            seed: of the run's generators.
            cascade_max: deliveries per input before it counts as a feedback loop.
            on_quarantine: told of each poisoned input.
        """
        self.routing = Routing(actors)
        self.codec = codec
        self.clock = clock
        self.sink = sink
        self.timers = TimerHeap()
        self.seq = 0
        self.last_ts = 0
        self.digest = DIGEST_START
        self.events_total = 0
        self._ctx = Context(seed)
        self._cascade_max = cascade_max
        self._on_quarantine = on_quarantine
        self._poisonings: deque[tuple[int, str]] = deque()
        self._names = tuple(actor.name for actor in actors)
        self._routes: dict[type[Message], Route] = {}
        self._timers_set: list[tuple[int, Command]] = []

    # -- running ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let every actor set its first timers. Call once for a fresh run, not after :meth:`restore`."""
        ctx = self._ctx
        ctx.now = self.clock.now()
        for name, actor in zip(self._names, self.routing.actors, strict=True):
            ctx.actor = name
            actor.on_start(ctx)
            if ctx.out:
                message = f"{name} emitted messages in on_start; only timers are allowed there"
                raise InvariantError(message)
            for due, command in ctx.timers:
                self.timers.push(due, command)
            ctx.timers = []

    def process(  # noqa: PLR0913 - the envelope's fields
        self,
        body: Message,
        source: str,
        *,
        ts_event: int | None = None,
        correlation_id: str = "",
        causation_id: int = 0,
    ) -> list[Event]:
        """Stamp one input, run it to quiescence, hand the frame to the sink; return its events.

        Raises:
            FrameAbandonedError: the core is inconsistent and must be rebuilt.
            InvariantError: a fold failed, a cascade did not end, or the same input type was poisoned too often.
        """
        ts = self.clock.now()
        if ts < self.last_ts:
            ts = self.last_ts
        self.last_ts = ts
        self.seq = seq = self.seq + 1
        envelope = Envelope(seq, ts if ts_event is None else ts_event, ts, source, body, correlation_id, causation_id)
        ctx = self._ctx
        ctx.now = ts
        ctx.seq = seq
        body_type = type(body)
        route = self._routes.get(body_type)
        if route is None:
            route = self._routes[body_type] = self.routing.route(body_type)
        for observe in route.observers:
            self._fold(observe, body)
        events: list[Event] = []
        causes: list[int] = []
        if route.stages:
            self._run_stages(route, envelope, events, causes)
        elif not route.observers and not route.sealers:
            events.append(DeadLettered(body_type.__name__))
            causes.append(-1)
        for seal in route.sealers:
            self._fold(seal, body)
        if events or not route.is_market:
            self._commit(envelope, events, causes)
        if self._timers_set:
            for due, command in self._timers_set:
                self.timers.push(due, command)
            self._timers_set = []
        return events

    def fire_due(self, ts: int) -> bool:
        """Process the next timer due at or before ``ts``; tell whether there was one. The clock must be there already."""
        due = self.timers.next_due()
        if due is None or due > ts:
            return False
        due, command = self.timers.pop()
        self.process(command, "timer", ts_event=due)
        return True

    def _commit(self, envelope: Envelope, events: list[Event], causes: list[int]) -> None:
        encoded = self.codec.encode_many(events)
        if events:
            stamp = envelope.ts_init.to_bytes(8, "big", signed=True)
            self.digest = hashlib.sha256(self.digest + stamp + encoded).digest()
            self.events_total += len(events)
        self.sink.append(Frame(envelope, events, causes, encoded, self.digest))

    def _fold(self, handler: Callable[[Any], None], message: Message) -> None:
        try:
            handler(message)
        except Exception as error:
            owner = getattr(handler, "__qualname__", repr(handler))
            text = f"{owner} failed on {type(message).__name__}: {type(error).__name__}: {error}"
            raise InvariantError(text, code="FOLD_FAILED") from error

    def _run_stages(self, route: Route, envelope: Envelope, events: list[Event], causes: list[int]) -> None:
        ctx = self._ctx
        budget = self._cascade_max
        body = envelope.body
        stage = 0
        # Pending messages with the index of the event that caused them, last one first.
        pending: list[tuple[Message, int]] = []
        try:
            for stage, handler in route.stages:
                self._decide(stage, handler, body, -1, events, causes, pending)
                pending.reverse()
                while pending:
                    message, cause = pending.pop()
                    below = self._routes.get(type(message))
                    if below is None:
                        below = self._routes[type(message)] = self.routing.route(type(message))
                    if not below.stages:
                        if not below.is_event:
                            events.append(DeadLettered(type(message).__name__))
                            causes.append(cause)
                        continue
                    mark = len(pending)
                    for stage, child in below.stages:  # noqa: PLW2901, B020 - the stage now running, for blame
                        budget -= 1
                        self._decide(stage, child, message, cause, events, causes, pending)
                    if budget < 0:
                        text = f"{type(body).__name__} caused more than {self._cascade_max} deliveries"
                        raise CascadeError(text, code="CASCADE")  # noqa: TRY301
                    if len(pending) - mark > 1:
                        pending[mark:] = pending[mark:][::-1]
        except InvariantError:
            raise
        except Exception as error:  # noqa: BLE001 - poison: whatever a handler raises
            self._poison(envelope, stage, error, events, causes)
        finally:
            ctx.out = []
            ctx.timers = []

    def _decide(  # noqa: PLR0913 - the hot path passes its buffers
        self,
        stage: int,
        handler: Callable[..., None],
        message: Message,
        cause: int,
        events: list[Event],
        causes: list[int],
        pending: list[tuple[Message, int]],
    ) -> None:
        ctx = self._ctx
        ctx.actor = self._names[stage]
        try:
            handler(message, ctx)
        except (OperatorError, VenueError) as error:
            ctx.out = [CommandRejected(ctx.actor, type(message).__name__, error.code, str(error))]
            ctx.timers = []
        if ctx.timers:
            self._timers_set += ctx.timers
            ctx.timers = []
        out = ctx.out
        if not out:
            return
        ctx.out = []
        allowed = self.routing.allowed[stage]
        for item in out:
            item_type = type(item)
            if item_type not in allowed and item_type is not CommandRejected:
                text = f"{ctx.actor} may not send {item_type.__name__}: it is not in its declared sends or emits"
                raise InvariantError(text, code="UNDECLARED_MESSAGE")
            route = self._routes.get(item_type)
            if route is None:
                route = self._routes[item_type] = self.routing.route(item_type)
            if route.is_event:
                child_cause = len(events)
                events.append(item)  # type: ignore[arg-type]
                causes.append(cause)
                for fold in route.folders:
                    self._fold(fold, item)
                if route.stages:
                    pending.append((item, child_cause))
            else:
                pending.append((item, cause))

    def _poison(
        self, envelope: Envelope, stage: int, error: Exception, events: list[Event], causes: list[int]
    ) -> None:
        actor = self._names[stage]
        type_name = type(envelope.body).__name__
        text = f"{type(error).__name__}: {error}"
        if self._on_quarantine is not None:
            trace = "".join(traceback.format_exception(error))
            self._on_quarantine(PoisonRecord(envelope, actor, text, trace))
        recent = self._poisonings
        recent.append((envelope.ts_init, type_name))
        while recent[0][0] <= envelope.ts_init - POISON_WINDOW_NS:
            recent.popleft()
        if sum(name == type_name for _, name in recent) >= POISON_MAX:
            message = f"{actor} failed {POISON_MAX} times within a minute on {type_name}: {text}"
            raise InvariantError(message, code="POISON_STORM") from error
        if events:
            message = f"{actor} failed on {type_name} after {len(events)} facts of the frame were folded: {text}"
            raise FrameAbandonedError(message, code="FRAME_ABANDONED") from error
        self._timers_set = []
        quarantined = InputQuarantined(actor, type_name, type(error).__name__)
        events.append(quarantined)
        causes.append(-1)
        for fold in self.routing.route(InputQuarantined).folders:
            self._fold(fold, quarantined)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the whole core between two inputs: actors, timers, order, digest."""
        state = {
            "seq": self.seq,
            "last_ts": self.last_ts,
            "digest": self.digest,
            "events_total": self.events_total,
            "timers": [(due, n, self.codec.encode(command)) for due, n, command in self.timers.entries()],
            "poisonings": list(self._poisonings),
            "actors": {name: a.snapshot() for name, a in zip(self._names, self.routing.actors, strict=True)},
        }
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Take over what :meth:`snapshot` gave, in a freshly built core with the same actors."""
        state: dict[str, Any] = msgspec.msgpack.decode(snapshot)
        self.seq = state["seq"]
        self.last_ts = state["last_ts"]
        self.digest = state["digest"]
        self.events_total = state["events_total"]
        entries = [(due, n, self.codec.decode(raw)) for due, n, raw in state["timers"]]
        self.timers.restore(entries)  # type: ignore[arg-type] - timers hold commands only
        self._poisonings = deque((ts, name) for ts, name in state["poisonings"])
        for name, actor in zip(self._names, self.routing.actors, strict=True):
            actor.restore(state["actors"][name])

    def rewarm(self, panels: Sequence[Message]) -> None:
        """Observe and seal market rows again after a restore, in the actors that ask for it; nothing is decided."""
        for panel in panels:
            for actor in self.routing.actors:
                if actor.warmup_rows():
                    for kind in ("observes", "seals"):
                        method = actor.handlers[kind].get(type(panel))
                        if method is not None:
                            getattr(actor, method)(panel)
