"""Actors. Core actors hold truth and are stepped by the sequencer; edge actors do I/O and hold none.

A core actor's methods are registered by type, not by a growing ``match``: a dictionary lookup costs a
tenth of a six-way match and prints as a routing table. Four decorators, one rule each:

``@observes(Panel)``  before the stages: fold market data (marks, rings, book, staleness).
``@decides(Message)`` read state, buffer events and commands in the context; change nothing.
``@evolves(Event)``   fold one fact into state; read only the event and own state; never raise.
``@seals(Panel)``     after the stages: fold what the panel's own consequences leave behind (trail ratchets).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec

from daemon.kernel.errors import InvariantError
from daemon.kernel.ids import rng
from daemon.kernel.mailbox import MailboxSpec
from daemon.kernel.message import Command, Envelope, Event, Message
from daemon.kernel.state_machine import StateMachine

F = TypeVar("F", bound=Callable[..., Any])
_MARK: Final = "__tradingd_handles__"
KINDS: Final = ("observes", "decides", "evolves", "seals")


def _mark(kind: str, types: tuple[type[Message], ...]) -> Callable[[F], F]:
    def register(function: F) -> F:
        marks: list[tuple[str, type[Message]]] = getattr(function, _MARK, [])
        marks.extend((kind, t) for t in types)
        setattr(function, _MARK, marks)
        return function

    return register


def observes(*types: type[Message]) -> Callable[[F], F]:
    """Register ``method(panel)`` to fold market data before the stages."""
    return _mark("observes", types)


def decides(*types: type[Message]) -> Callable[[F], F]:
    """Register ``method(message, ctx)`` to react to a message; what it wants goes through ``ctx``."""
    return _mark("decides", types)


def evolves(*types: type[Event]) -> Callable[[F], F]:
    """Register ``method(event)`` to fold a fact."""
    return _mark("evolves", types)


def seals(*types: type[Message]) -> Callable[[F], F]:
    """Register ``method(panel)`` to fold market data after the stages."""
    return _mark("seals", types)


class Lifecycle(StrEnum):
    """States of an actor (OTP's, with DEGRADED for a room that lost an input to quarantine)."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


LIFECYCLE: Final[StateMachine[Lifecycle, str]] = StateMachine(
    "actor lifecycle",
    {
        (Lifecycle.NEW, "start"): Lifecycle.STARTING,
        (Lifecycle.STARTING, "started"): Lifecycle.RUNNING,
        (Lifecycle.STARTING, "stop"): Lifecycle.STOPPING,
        (Lifecycle.STARTING, "fail"): Lifecycle.FAILED,
        (Lifecycle.RUNNING, "degrade"): Lifecycle.DEGRADED,
        (Lifecycle.RUNNING, "stop"): Lifecycle.STOPPING,
        (Lifecycle.RUNNING, "fail"): Lifecycle.FAILED,
        (Lifecycle.DEGRADED, "degrade"): Lifecycle.DEGRADED,
        (Lifecycle.DEGRADED, "recover"): Lifecycle.RUNNING,
        (Lifecycle.DEGRADED, "stop"): Lifecycle.STOPPING,
        (Lifecycle.DEGRADED, "fail"): Lifecycle.FAILED,
        (Lifecycle.STOPPING, "stopped"): Lifecycle.STOPPED,
        (Lifecycle.STOPPING, "fail"): Lifecycle.FAILED,
        (Lifecycle.FAILED, "start"): Lifecycle.STARTING,
    },
)


class Health(msgspec.Struct, frozen=True):
    """A cheap self-portrait; ``detail`` is shown to people."""

    ok: bool = True
    detail: str = ""


class Context:
    """What a deciding actor may do: read the time, emit facts, send commands, set timers, draw numbers.

    One object serves all actors; it is valid only during the call it was handed to.
    """

    __slots__ = ("actor", "now", "out", "seed", "seq", "timers")

    def __init__(self, seed: int) -> None:
        """Build for a run with this seed."""
        self.seed = seed
        self.now = 0
        """The stamp of the input being processed, nanoseconds UTC."""
        self.seq = 0
        self.actor = ""
        self.out: list[Message] = []
        self.timers: list[tuple[int, Command]] = []

    def emit(self, event: Event) -> None:
        """State a fact; it is folded when ``decide`` returns."""
        self.out.append(event)

    def send(self, command: Command) -> None:
        """Ask for something; recipients follow from the command's type."""
        self.out.append(command)

    def call_at(self, ts: int, command: Command) -> None:
        """Let ``command`` come in as an input once the clock has reached ``ts``.

        It must be among what the actor sends or accepts; nothing becomes allowed by waiting.
        """
        self.timers.append((ts, command))

    def rng(self, name: str) -> random.Random:
        """Return a new generator seeded by (run seed, actor, name, stamp).

        It holds no state between calls: inputs with equal stamps draw equal numbers unless ``name`` tells them apart.
        """
        return rng(self.seed, self.actor, name, self.now)


class Actor:
    """Anything with a name, a type-derived address and a mailbox."""

    name: ClassVar[str] = ""
    accepts: ClassVar[tuple[type[Message], ...]] = ()
    mailbox: ClassVar[MailboxSpec] = MailboxSpec()

    def health(self) -> Health:
        """Return the actor's own view of itself; pure and cheap."""
        return Health()


class Stamps(Protocol):
    """Who knows the stamp of the frame that is decided or folded."""

    last_ts: int


class _NoFrame:
    last_ts = 0


class CoreActor(Actor):
    """A synchronous, deterministic actor. No clock, no I/O, no randomness but the context's.

    Class variables:
        accepts: derived from ``@decides``.
        sends: commands it may send; anything else is an invariant error. Only risk lists the broker's orders.
        emits: events it may emit.
        warmup_rows: how many market rows before a snapshot :meth:`restore` needs observed again.
    """

    sends: ClassVar[tuple[type[Command], ...]] = ()
    emits: ClassVar[tuple[type[Event], ...]] = ()
    handlers: ClassVar[dict[str, dict[type[Message], str]]] = {kind: {} for kind in KINDS}
    _stamps: Stamps = _NoFrame()

    @property
    def frame_ts(self) -> int:
        """Stamp of the frame under way, nanoseconds UTC: the time of a fact that does not say its own.

        The same when the fact is folded anew from the journal; 0 outside a core.
        """
        return self._stamps.last_ts

    def stamped_by(self, stamps: Stamps) -> None:
        """Be told by the core that steps this actor where its frames' stamps are."""
        self._stamps = stamps

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Gather the decorated methods of the class and its bases.

        A method overridden without a decorator keeps its base's registration; one that is decorated again has
        only its new one, because the old types would reach a method that no longer knows them.

        Raises:
            InvariantError: two methods of one class claim the same message.
        """
        super().__init_subclass__(**kwargs)
        tables: dict[str, dict[type[Message], str]] = {kind: {} for kind in KINDS}
        for base in reversed(cls.__mro__):
            own: dict[tuple[str, type[Message]], str] = {}
            for attribute, value in vars(base).items():
                marks = getattr(value, _MARK, ())
                for table in tables.values() if marks else ():
                    for stale in [t for t, a in table.items() if a == attribute]:
                        del table[stale]
                for kind, message_type in marks:
                    first = own.setdefault((kind, message_type), attribute)
                    if first != attribute:
                        text = f"{base.__name__}.{first} and .{attribute} both claim {kind}({message_type.__name__})"
                        raise InvariantError(text, code="BAD_DECLARATION")
            for (kind, message_type), attribute in own.items():
                tables[kind][message_type] = attribute
        cls.handlers = tables
        cls.accepts = tuple(tables["decides"])

    def on_start(self, ctx: Context) -> None:
        """Set first timers; called once, before the first input of a fresh run and not after a restore."""

    def rearm(self, ctx: Context) -> None:
        """Set every timer that waits according to the state, in the order in which they were set.

        Called once after a recovery; ``ctx.now`` is the stamp of the last input. What waits already is not set twice.
        Whoever sets timers anywhere has to answer here (see :mod:`daemon.kernel.folding`).
        """

    def snapshot(self) -> Any:
        """Return the state as plain values msgpack can carry (dict, list, str, int, float, bool, None, bytes)."""
        raise NotImplementedError

    def restore(self, state: Any) -> None:
        """Take over what :meth:`snapshot` gave, after a round trip through msgpack."""
        raise NotImplementedError

    def warmup_rows(self) -> int:
        """Return how many market rows before a snapshot must be observed again after a restore."""
        return 0

    def warms(self, row: Message) -> bool:
        """Tell whether a market row counts among :meth:`warmup_rows`; here: whether it is observed at all."""
        return type(row) in self.handlers["observes"]


class EdgeActor(Actor):
    """An actor at the border: may await I/O, may fail, holds no truth.

    ``consume`` is its pure half, called with every committed frame in live and replay alike; what needs the
    outside world goes on in ``run``, which the live shell supervises.
    """

    def consume(self, envelope: Envelope, events: list[Event]) -> None:
        """Look at a committed frame."""

    async def run(self, offer: Callable[[Message], Awaitable[None]]) -> None:
        """Produce messages or talk to the world until cancelled; the default has nothing to do."""


class Sink(Protocol):
    """Who receives committed frames."""

    def append(self, frame: Frame) -> None:
        """Take one frame; raise if it cannot be kept."""
        ...


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One input and everything it caused.

    Attributes:
        envelope: the stamped input.
        events: facts in the order they were folded.
        causes: for each event the index in ``events`` of the event whose handling emitted it, -1 for the input itself
            or a command directly sent on account of it.
        body: the encoded events.
        digest: SHA-256 chain over (ts_event, body) of all frames with events so far: the event digest.
    """

    envelope: Envelope
    events: list[Event]
    causes: list[int]
    body: bytes
    digest: bytes
