"""Routing, derived from what actors declare: who observes, decides and folds each message type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from daemon.kernel.actor import KINDS, CoreActor
from daemon.kernel.errors import InvariantError, OperatorError
from daemon.kernel.message import Command, Event, Market, Message

Handler = Callable[..., None]


class Route(msgspec.Struct, frozen=True):
    """Handlers of one message type, in stage order.

    Attributes:
        observers, folders, sealers: bound methods.
        stages: (stage number, bound ``decide`` method) pairs.
        opening: what folds an input of this type before its stages: observers of market data, folders of a fact.
        is_dead_end: nobody takes an input of this type, and it may not go unheard as facts and market data may.
    """

    observers: tuple[Handler, ...]
    stages: tuple[tuple[int, Handler], ...]
    folders: tuple[Handler, ...]
    sealers: tuple[Handler, ...]
    is_event: bool
    is_market: bool
    opening: tuple[Handler, ...]
    is_dead_end: bool


def fold_failed(handler: Handler, message: Message, error: Exception) -> InvariantError:
    """Return the error for a fold that raised, which it never may; it names the method."""
    owner = getattr(handler, "__qualname__", repr(handler))
    text = f"{owner} failed on {type(message).__name__}: {type(error).__name__}: {error}"
    return InvariantError(text, code="FOLD_FAILED")


def fold_all(handlers: tuple[Handler, ...], message: Message) -> None:
    """Hand ``message`` to every handler.

    Raises:
        OperatorError: one of them says that a recorded fact does not fit the configuration.
        InvariantError: one of them raised anything else.
    """
    handler: Handler
    try:
        for handler in handlers:
            handler(message)
    except OperatorError:
        raise
    except Exception as error:
        raise fold_failed(handler, message, error) from error


class RouteRow(msgspec.Struct, frozen=True):
    """One line of ``tradingd routes``."""

    message: str
    kind: str
    sent_by: tuple[str, ...]
    observed_by: tuple[str, ...]
    decided_by: tuple[str, ...]
    folded_by: tuple[str, ...]
    sealed_by: tuple[str, ...]


def _require(actor: CoreActor, verb: str, types: Iterable[type[Message]], base: type[Message], what: str) -> None:
    for t in types:
        if not issubclass(t, base):
            message = f"{actor.name} {verb} {t.__name__}, which is no {what}"
            raise InvariantError(message, code="BAD_DECLARATION")


class RouteTable(dict[type[Message], Route]):
    """Routes by type; one that is missing is built on first use."""

    def __init__(self, build: Callable[[type[Message]], Route]) -> None:
        super().__init__()
        self._build = build

    def __missing__(self, message_type: type[Message]) -> Route:
        """Build and keep the route of a type."""
        route = self[message_type] = self._build(message_type)
        return route


class Routing:
    """The table for a fixed sequence of actors; routes are built on first use of a type and kept."""

    def __init__(self, actors: Sequence[CoreActor]) -> None:
        """Check declarations and prepare.

        Raises:
            InvariantError: two actors share a name, an actor emits or folds what is no event, sends what is no command,
                or observes or seals what is no market data (only the tape can show it again after a crash).
        """
        names = [actor.name for actor in actors]
        if len(dict.fromkeys(names)) != len(names) or not all(names):
            message = f"core actors need distinct names, not {names}"
            raise InvariantError(message, code="BAD_DECLARATION")
        for actor in actors:
            _require(actor, "emits", actor.emits, Event, "event")
            _require(actor, "sends", actor.sends, Command, "command")
            _require(actor, "evolves", actor.handlers["evolves"], Event, "event")
            _require(actor, "observes", actor.handlers["observes"], Market, "market data")
            _require(actor, "seals", actor.handlers["seals"], Market, "market data")
        self.actors = tuple(actors)
        self.allowed = tuple(frozenset((*actor.sends, *actor.emits)) for actor in actors)
        self.table = RouteTable(self._build)

    def route(self, message_type: type[Message]) -> Route:
        """Return the handlers of a type."""
        return self.table[message_type]

    def _build(self, message_type: type[Message]) -> Route:
        tables: dict[str, list[tuple[int, Handler]]] = {kind: [] for kind in KINDS}
        for stage, actor in enumerate(self.actors):
            for kind in KINDS:
                method = actor.handlers[kind].get(message_type)
                if method is not None:
                    tables[kind].append((stage, getattr(actor, method)))
        is_event = issubclass(message_type, Event)
        is_market = issubclass(message_type, Market)
        observers, folders, sealers = (tuple(h for _, h in tables[k]) for k in ("observes", "evolves", "seals"))
        return Route(
            observers=observers,
            stages=tuple(tables["decides"]),
            folders=folders,
            sealers=sealers,
            is_event=is_event,
            is_market=is_market,
            opening=folders if is_event else observers,
            is_dead_end=not (is_event or is_market or tables["decides"]),
        )

    def rows(self) -> list[RouteRow]:
        """Return the table for people, by message name."""
        types: dict[type[Any], None] = {}
        for actor in self.actors:
            for kind in KINDS:
                types.update(dict.fromkeys(actor.handlers[kind]))
            types.update(dict.fromkeys((*actor.sends, *actor.emits)))

        def names(kind: str, t: type[Any]) -> tuple[str, ...]:
            return tuple(a.name for a in self.actors if t in a.handlers[kind])

        def base(t: type[Any]) -> str:
            return next((b.__name__.lower() for b in (Command, Event, Market) if issubclass(t, b)), "message")

        return [
            RouteRow(
                message=t.__name__,
                kind=base(t),
                sent_by=tuple(a.name for a in self.actors if t in (*a.sends, *a.emits)),
                observed_by=names("observes", t),
                decided_by=names("decides", t),
                folded_by=names("evolves", t),
                sealed_by=names("seals", t),
            )
            for t in sorted(types, key=lambda t: (base(t), t.__name__))
        ]
