"""The sequencer: one input at a time, stamped, run to quiescence through the core actors, committed as one frame.

Theory of operation
-------------------
An input gets the next ``seq`` and a stamp that never goes back. If it is market data, every observer folds it; if it
is an event (a fact from the edge), every subscriber does. Then each stage (actor, in the fixed order) that accepts it
decides, and everything that decision causes is finished before the next stage looks at the input. At last the sealers
fold market data again.

``decide`` only buffers. When it returns, its events are folded in every subscriber at once; then its messages are
delivered in pre-order: a message reaches all its recipients, and what they answer is finished before the message's
next sibling is looked at. So two orders of one decision can never spend the same cash: the first is accepted and
its reservation folded before the gate sees the second.

Failure. An operator's or venue's error discards what that one delivery buffered and becomes ``CommandRejected``. Any
other exception quarantines the input, with every timer it set, as long as no fact of the frame was folded; afterwards
only a rebuild helps (:class:`FrameAbandonedError`). The panel itself stays observed and is sealed: market state is a
fold of the tape and does not depend on who decided what. Errors in ``evolve``, ``observe`` or ``seal`` and a frame that
cannot be kept are ours and fatal. Whatever escapes :meth:`Sequencer.process` leaves the core in the middle of an input,
so it refuses everything from then on: no later frame, no snapshot.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Final

from daemon.kernel.actor import CoreActor, Frame, Sink
from daemon.kernel.clock import Clock
from daemon.kernel.codec import Codec
from daemon.kernel.digest import DIGEST_START, extend_digest
from daemon.kernel.errors import FrameAbandonedError, InvariantError, OperatorError, VenueError
from daemon.kernel.folding import TIMER, Folding
from daemon.kernel.message import Command, CommandRejected, DeadLettered, Envelope, Event, InputQuarantined, Message
from daemon.kernel.poison import POISON_MAX, POISON_WINDOW_NS, PoisonRecord
from daemon.kernel.routing import Handler, Route, fold_all, fold_failed

__all__ = [
    "CASCADE_MAX",
    "DIGEST_START",
    "POISON_MAX",
    "POISON_WINDOW_NS",
    "CascadeError",
    "PoisonRecord",
    "Sequencer",
    "extend_digest",
]

CASCADE_MAX: Final = 250_000
"""Deliveries that one input may cause before it counts as a loop: a bar, a kill or a session's end may fill or end some
ten thousand orders at once, each with a booking, a position and its marks behind it."""
_BLAMED_ELSEWHERE: Final = (OperatorError, VenueError)


_Stages = tuple[tuple[int, Handler], ...]
_Target = tuple[bool, tuple[Handler, ...], _Stages]
"""(whether it is an event, who folds it, who decides on it): looked up once for every message an actor sends."""

_Pending = list[tuple[Message, _Stages, int]]
"""(message, who decides on it, index of the causing event)"""


class CascadeError(InvariantError):
    """An input caused more deliveries than any honest one can: a feedback loop."""


class Sequencer(Folding):
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
            cascade_max: deliveries per input before it counts as a feedback loop; also immediate timers per instant.
            on_quarantine: told of each poisoned input.
        """
        super().__init__(actors, codec=codec, seed=seed)
        self.clock = clock
        self.sink = sink
        self._cascade_max = cascade_max
        self._budget = cascade_max
        self._on_quarantine = on_quarantine
        self._targets = tuple(self._targets_of(actor) for actor in actors)
        self._timers_set: list[tuple[int, int, Command]] = []
        self._immediate_ts = 0
        self._immediate = 0

    def _targets_of(self, actor: CoreActor) -> dict[type[Message], _Target]:
        """Return what becomes of everything an actor may send."""
        types: tuple[type[Message], ...] = (*actor.sends, *actor.emits, CommandRejected)
        routes = {message_type: self.routing.route(message_type) for message_type in types}
        return {message_type: (route.is_event, route.folders, route.stages) for message_type, route in routes.items()}

    # -- running ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let every actor set its first timers. Call once for a fresh run, not after :meth:`restore`.

        Raises:
            InvariantError: the run has begun already, or an actor did more than set timers it may set.
        """
        if self._begun or self.seq:
            message = "start is for a fresh run, once; this one has begun or was restored"
            raise InvariantError(message, code="STARTED_TWICE")
        self._begun = True
        ctx = self._ctx
        ctx.now = self.clock.now()
        for stage, actor in enumerate(self.routing.actors):
            ctx.actor = actor.name
            actor.on_start(ctx)
            self._timers_set += [(due, stage, c) for due, c in self._only_timers(stage, "on_start")]
        self._push_timers()

    def process(
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
            InvariantError: a fold failed, a cascade did not end, the same input type was poisoned too often, an event
                cannot be encoded, or an earlier input left the core half-way.
        """
        if self._within:
            self._check_whole("the core is half-way through it")
        ts = self.clock.now()
        if ts > self.last_ts:
            self.last_ts = ts
        else:
            ts = self.last_ts
        ctx = self._ctx
        ctx.now = ts
        ctx.seq = self.seq = self.seq + 1
        route = self._routes[type(body)]
        events: list[Event] = []
        causes: list[int] = []
        self._within = True
        if route.opening:
            fold_all(route.opening, body)
        if route.stages:
            try:
                self._run_stages(route, body, events, causes)
            except InvariantError:
                raise
            except Exception as error:  # noqa: BLE001 - poison: whatever a handler raises
                envelope = Envelope(
                    self.seq, ts if ts_event is None else ts_event, ts, source, body, correlation_id, causation_id
                )
                self._poison(envelope, error, events, causes)
        elif route.is_dead_end:
            self._state(DeadLettered(type(body).__name__), -1, events, causes)
        if route.sealers:
            fold_all(route.sealers, body)
        if events or not route.is_market:
            envelope = Envelope(
                self.seq, ts if ts_event is None else ts_event, ts, source, body, correlation_id, causation_id
            )
            self._commit(envelope, events, causes)
        if self._timers_set:
            self._push_timers()
        self._within = False
        return events

    def set_aside(self, record: PoisonRecord) -> list[Event]:
        """Take in an input that broke a handler half-way through its frame, in a core rebuilt from before it.

        It is stamped and folded as what it is, market data or a fact, and quarantined; nobody decides on it.

        Args:
            record: what the quarantine was told of the frame that was abandoned.

        Raises:
            InvariantError: the same input type was poisoned too often, or an earlier input left the core half-way.
        """
        self._check_whole("nothing can be set aside")
        told = record.envelope
        body = told.body
        type_name = type(body).__name__
        ts = self.last_ts = max(self.last_ts, self.clock.now())
        if self._poisonings.is_storm(ts, type_name):
            message = f"{record.actor} failed {POISON_MAX} times within a minute on {type_name}: {record.error}"
            raise InvariantError(message, code="POISON_STORM")
        self._within = True
        self.seq += 1
        ids = (told.correlation_id, told.causation_id)
        envelope = Envelope(self.seq, told.ts_event, ts, told.source, body, *ids)
        route = self._routes[type(body)]
        events: list[Event] = []
        causes: list[int] = []
        fold_all(route.opening, body)
        self._state(InputQuarantined(record.actor, type_name, record.error.partition(":")[0]), -1, events, causes)
        fold_all(route.sealers, body)
        self._commit(envelope, events, causes)
        self._within = False
        return events

    def fire_due(self, ts: int) -> bool:
        """Process the next timer due by ``ts``; tell whether there was one. The clock must be there already."""
        due = self.timers.next_due()
        if due is None or due > ts:
            return False
        due, command = self.timers.pop()
        self.process(command, TIMER, ts_event=due)
        return True

    def _commit(self, envelope: Envelope, events: list[Event], causes: list[int]) -> None:
        try:
            encoded = self.codec.encode_many(events)
        except Exception as error:
            raise self._not_encodable(events, error) from error
        if events:
            self.digest = extend_digest(self.digest, envelope.ts_event, encoded)
            self.events_total += len(events)
        self.sink.append(Frame(envelope, events, causes, encoded, self.digest))

    def _not_encodable(self, events: list[Event], error: Exception) -> InvariantError:
        """Find the events to blame: the encoder's own message names a value's type at best."""

        def fails(event: Event) -> bool:
            try:
                self.codec.encode(event)
            except type(error):
                return True
            return False

        culprits = ", ".join(dict.fromkeys(type(event).__name__ for event in events if fails(event)))
        if isinstance(error, OverflowError):  # amounts grew beyond 64 bits of 1e-8
            text = f"{culprits} holds an amount beyond 92,233,720,368, which is more than a run can count"
            return InvariantError(text, code="TOO_LARGE", remedy="start with less cash, or with smaller orders")
        text = f"{culprits} cannot be written to the journal: {type(error).__name__}: {error}"
        return InvariantError(text, code="NOT_ENCODABLE")

    def _run_stages(self, route: Route, body: Message, events: list[Event], causes: list[int]) -> None:
        ctx = self._ctx
        names = self._names
        self._budget = self._cascade_max
        for stage, handler in route.stages:
            ctx.actor = names[stage]
            try:
                handler(body, ctx)
            except _BLAMED_ELSEWHERE as error:
                self._reject(error, body)
            if ctx.timers:
                self._collect_timers(stage)
            if ctx.out:
                pending: _Pending = []
                self._collect(stage, -1, events, causes, pending)
                if pending:
                    pending.reverse()
                    self._drain(pending, events, causes)

    def _drain(self, pending: _Pending, events: list[Event], causes: list[int]) -> None:
        """Deliver in pre-order; the next one is the last of ``pending``."""
        ctx = self._ctx
        names = self._names
        budget = self._budget
        while pending:
            message, stages, cause = pending.pop()
            if not stages:
                self._state(DeadLettered(type(message).__name__), cause, events, causes)
                continue
            mark = len(pending)
            for stage, handler in stages:
                ctx.actor = names[stage]
                try:
                    handler(message, ctx)
                except _BLAMED_ELSEWHERE as error:
                    self._reject(error, message)
                if ctx.timers:
                    self._collect_timers(stage)
                if ctx.out:
                    self._collect(stage, cause, events, causes, pending)
            budget -= len(stages)
            if budget < 0:
                last = type(message).__name__
                text = f"input {self.seq} caused more than {self._cascade_max} deliveries, the last of {last}"
                raise CascadeError(text, code="CASCADE")
            if len(pending) - mark > 1:
                pending[mark:] = pending[mark:][::-1]
        self._budget = budget

    def _collect(
        self,
        stage: int,
        cause: int,
        events: list[Event],
        causes: list[int],
        pending: _Pending,
    ) -> None:
        """Fold the events that a delivery buffered and append what is to be delivered, first one first."""
        ctx = self._ctx
        out = ctx.out
        ctx.out = []
        targets = self._targets[stage]
        fold: Handler
        for item in out:
            target = targets.get(type(item))
            if target is None:
                text = f"{ctx.actor} may not send {type(item).__name__}: it is not in its declared sends or emits"
                raise InvariantError(text, code="UNDECLARED_MESSAGE")
            is_event, folders, stages = target
            if not is_event:
                pending.append((item, stages, cause))
                continue
            if stages:
                pending.append((item, stages, len(events)))
            events.append(item)  # type: ignore[arg-type]
            causes.append(cause)
            try:
                for fold in folders:
                    fold(item)
            except Exception as error:
                raise fold_failed(fold, item, error) from error

    def _state(self, event: Event, cause: int, events: list[Event], causes: list[int]) -> None:
        """State a fact of the kernel's own: recorded and folded, decided by nobody."""
        events.append(event)
        causes.append(cause)
        fold_all(self._routes[type(event)].folders, event)

    def _reject(self, error: OperatorError | VenueError, message: Message) -> None:
        """Put the rejection in the place of everything the failed delivery buffered."""
        ctx = self._ctx
        ctx.out = [CommandRejected(ctx.actor, type(message).__name__, error.code, str(error))]
        ctx.timers = []

    def _collect_timers(self, stage: int) -> None:
        self._timers_set += [(due, stage, command) for due, command in self._take_timers(stage)]

    def _push_timers(self) -> None:
        """Schedule what a finished input asked for; timers due at once that set such timers again are a loop."""
        now = self._ctx.now
        if now != self._immediate_ts:
            self._immediate_ts = now
            self._immediate = 0
        for due, stage, command in self._timers_set:
            self.timers.push(due, command, stage)
            self._immediate += due <= now
        self._timers_set = []
        if self._immediate > self._cascade_max:
            text = f"more than {self._cascade_max} timers were set for the instant {now} within that instant"
            raise CascadeError(text, code="CASCADE")

    def _poison(self, envelope: Envelope, error: Exception, events: list[Event], causes: list[int]) -> None:
        ctx = self._ctx
        actor = ctx.actor
        type_name = type(envelope.body).__name__
        text = f"{type(error).__name__}: {error}"
        if self._on_quarantine is not None:
            trace = "".join(traceback.format_exception(error))
            self._on_quarantine(PoisonRecord(envelope, actor, text, trace))
        if self._poisonings.is_storm(envelope.ts_init, type_name):
            message = f"{actor} failed {POISON_MAX} times within a minute on {type_name}: {text}"
            raise InvariantError(message, code="POISON_STORM") from error
        route = self._routes[type(envelope.body)]
        if events or (route.is_event and route.folders):
            message = f"{actor} failed on {type_name} after {len(events)} facts of the frame were folded: {text}"
            raise FrameAbandonedError(message, code="FRAME_ABANDONED") from error
        ctx.out = []
        ctx.timers = []
        self._timers_set = []
        self._state(InputQuarantined(actor, type_name, type(error).__name__), -1, events, causes)
