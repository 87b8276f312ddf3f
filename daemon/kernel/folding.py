"""The half of the core that only folds: state, snapshots, and recovery from what was recorded.

Recovery is the same two folds that make all state (design section 2.1), without a decision: restore a snapshot or begin
with fresh actors, show the market rows before it to whoever keeps windows (:meth:`Folding.warm`), fold the recorded
inputs behind it one by one (:meth:`Folding.refold`), and let every actor set the timers that its state calls for
(:meth:`Folding.rearm`). The core is then, to the last byte of its snapshot, the one that decided.

Timers. A timer is not recorded when it is set but when it fires, as an input of the source ``timer``. So after a
recovery three things tell which ones wait: the heap of the snapshot, the timer inputs folded since, each of which takes
its entry off the heap, and the actors' state. An actor that sets timers must know from its folded state which of them
wait and say so in ``rearm``; what the heap still holds is not set twice, and neither is what fired since the snapshot.
A timer should leave a fact that its actor folds, or the actor goes on saying that it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec

from daemon.kernel.actor import Context, CoreActor
from daemon.kernel.clock import TimerHeap
from daemon.kernel.codec import Codec
from daemon.kernel.digest import DIGEST_START, extend_digest
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Event, InputQuarantined, Message
from daemon.kernel.poison import PoisonWindow
from daemon.kernel.routing import Routing, fold_all

TIMER: Final = "timer"
"""Source of the inputs that timers bring."""

_TimerKey = tuple[int, int, bytes]
"""(stage, due, encoded command)"""


class Folding:
    """State of a core, between two inputs or while recorded ones are folded; the sequencer adds decisions.

    Attributes:
        routing: who observes, folds and seals what.
        seq: of the last input, 0 before the first.
        last_ts: its stamp, nanoseconds UTC.
        digest: the event digest so far.
        events_total: facts so far.
        timers: what waits for its time.
    """

    def __init__(self, actors: Sequence[CoreActor], *, codec: Codec, seed: int) -> None:
        """Begin fresh.

        Args:
            actors: the stages, first to last.
            codec: knows every message that may stand in a frame.
            seed: of the run's generators.
        """
        self.routing = Routing(actors)
        self.codec = codec
        self.timers = TimerHeap()
        self.seq = 0
        self.last_ts = 0
        self.digest = DIGEST_START
        self.events_total = 0
        self._ctx = Context(seed)
        self._poisonings = PoisonWindow()
        self._names = tuple(actor.name for actor in actors)
        # A timer may bring what the actor may send anyway, or what only comes back to itself.
        self._schedulable = tuple(
            allowed.union(actor.accepts) for allowed, actor in zip(self.routing.allowed, actors, strict=True)
        )
        self._routes = self.routing.table
        self._fired: dict[tuple[int, bytes], int] = {}
        self._begun = False
        self._within = False
        for actor in actors:
            actor.stamped_by(self)

    def _check_whole(self, what: str) -> None:
        if self._within:
            message = f"an input did not end, so {what}: rebuild the core from its snapshot"
            raise InvariantError(message, code="CORE_HALFWAY")

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the whole core between two inputs: actors, timers, order, digest.

        Equal cores give equal bytes, whether or not they were restored or folded anew in between.

        Raises:
            InvariantError: an input did not end.
        """
        self._check_whole("there is no state to take a snapshot of")
        state = {
            "seq": self.seq,
            "last_ts": self.last_ts,
            "digest": self.digest,
            "events_total": self.events_total,
            "timers": [(due, stage, n, self.codec.encode(c)) for due, stage, n, c in self.timers.entries()],
            "poisonings": list(self._poisonings.recent),
            "actors": {name: a.snapshot() for name, a in zip(self._names, self.routing.actors, strict=True)},
        }
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Take over what :meth:`snapshot` gave, in a freshly built core with the same actors.

        Raises:
            InvariantError: the snapshot was taken of other actors.
        """
        state: dict[str, Any] = msgspec.msgpack.decode(snapshot)
        if tuple(state["actors"]) != self._names:
            message = f"the snapshot holds the actors {', '.join(state['actors'])}, not {', '.join(self._names)}"
            raise InvariantError(message, code="SNAPSHOT_MISMATCH")
        self.seq = state["seq"]
        self.last_ts = state["last_ts"]
        self.digest = state["digest"]
        self.events_total = state["events_total"]
        self.timers.restore(
            [(due, stage, n, cast("Command", self.codec.decode(raw))) for due, stage, n, raw in state["timers"]]
        )
        self._poisonings = PoisonWindow((ts, name) for ts, name in state["poisonings"])
        for name, actor in zip(self._names, self.routing.actors, strict=True):
            actor.restore(state["actors"][name])
        self._fired = {}
        self._begun = True

    def warm(self, last: Callable[[int], Sequence[Message]]) -> None:
        """Show actors that keep windows as many market rows again as each needs, by :meth:`rewarm`.

        Args:
            last: returns the last so many market rows before the snapshot, of whatever type, oldest first; fewer only
                where there are no more.
        """
        needs = [(actor, rows) for actor in self.routing.actors if (rows := actor.warmup_rows())]
        count = max((rows for _, rows in needs), default=0)
        while count:
            tail = last(count)
            if len(tail) < count or all(sum(map(actor.warms, tail)) >= need for actor, need in needs):
                self.rewarm(tail)
                return
            count *= 4

    def rewarm(self, panels: Sequence[Message]) -> None:
        """Observe and seal market rows again after a restore, in the actors that ask for it; nothing is decided.

        The rows lie before the snapshot, so an actor has folded them once already: it warms its rings and no more.
        """
        for actor in self.routing.actors:
            if not actor.warmup_rows():
                continue
            for panel in panels:
                for kind in ("observes", "seals"):
                    method = actor.handlers[kind].get(type(panel))
                    if method is not None:
                        getattr(actor, method)(panel)

    # -- recovery --------------------------------------------------------------------------------------------------

    def refold(
        self, seq: int, ts: int, ts_event: int, body: Message, events: Sequence[Event], *, source: str = ""
    ) -> None:
        """Fold one recorded input as it was folded when it was decided; decide nothing, hand nothing to the sink.

        Args:
            seq: its place in the total order: the next one.
            ts: its stamp, nanoseconds UTC.
            ts_event: when it happened.
            body: the input.
            events: the facts that were recorded of it, in order; none where it was only observed.
            source: who had put it in; ``timer`` takes the timer off the heap.

        Raises:
            InvariantError: it is not the next input, it goes back in time, or a fold failed.
        """
        self._check_whole("nothing can be folded")
        if seq != self.seq + 1:
            message = f"input {seq} was recorded where {self.seq + 1} is next"
            raise InvariantError(message, code="REFOLD_ORDER")
        if ts < self.last_ts:
            message = f"input {seq} is stamped {ts}, before the {self.last_ts} of the one ahead of it"
            raise InvariantError(message, code="REFOLD_ORDER")
        self._begun = True
        self._within = True
        self.seq = seq
        self.last_ts = ts
        routes = self._routes
        route = routes[type(body)]
        if route.opening:
            fold_all(route.opening, body)
        for event in events:
            folders = routes[type(event)].folders
            if folders:
                fold_all(folders, event)
            if type(event) is InputQuarantined:
                self._poisonings.note(ts, event.message_type)
        if route.sealers:
            fold_all(route.sealers, body)
        if events:
            self.digest = extend_digest(self.digest, ts_event, self.codec.encode_many(list(events)))
            self.events_total += len(events)
        if source == TIMER:
            self._forget_timer(ts_event, body)
        self._within = False

    def _forget_timer(self, due: int, command: Message) -> None:
        """Take a timer that fired off the heap, where one set since the snapshot is not, and remember that it did."""
        self.timers.discard(due, command)
        key = (due, self.codec.encode(command))
        self._fired[key] = self._fired.get(key, 0) + 1

    def rearm(self) -> None:
        """Let every actor set the timers that its state calls for; call once, behind the last :meth:`refold`.

        Raises:
            InvariantError: an actor did more than set timers it may set.
        """
        self._check_whole("no timer can be set")
        waiting: dict[_TimerKey, int] = {}
        for due, stage, _, command in self.timers.entries():
            key = (stage, due, self.codec.encode(command))
            waiting[key] = waiting.get(key, 0) + 1
        ctx = self._ctx
        ctx.now = self.last_ts
        ctx.seq = self.seq
        for stage, actor in enumerate(self.routing.actors):
            ctx.actor = actor.name
            actor.rearm(ctx)
            for due, command in self._only_timers(stage, "rearm"):
                encoded = self.codec.encode(command)
                if not (_take(waiting, (stage, due, encoded)) or _take(self._fired, (due, encoded))):
                    self.timers.push(due, command, stage)
        self._fired = {}

    def _only_timers(self, stage: int, method: str) -> list[tuple[int, Command]]:
        """Return the timers that an actor set where it may do nothing else."""
        ctx = self._ctx
        if ctx.out:
            message = f"{ctx.actor} emitted messages in {method}; only timers are allowed there"
            raise InvariantError(message, code="UNDECLARED_MESSAGE")
        return self._take_timers(stage)

    def _take_timers(self, stage: int) -> list[tuple[int, Command]]:
        """Return the timers that a call set, and check that the actor may set them."""
        ctx = self._ctx
        schedulable = self._schedulable[stage]
        for _, command in ctx.timers:
            if type(command) not in schedulable:
                text = f"{ctx.actor} may not schedule {type(command).__name__}: it neither sends nor accepts it"
                raise InvariantError(text, code="UNDECLARED_MESSAGE")
        timers = ctx.timers
        ctx.timers = []
        return timers


def _take(counts: dict[Any, int], key: Any) -> bool:
    """Take one of ``key``; False where none is left."""
    left = counts.get(key, 0)
    if left:
        counts[key] = left - 1
    return left > 0
