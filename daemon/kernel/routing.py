"""Routing, derived from what actors declare: who observes, decides and folds each message type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from daemon.kernel.actor import KINDS, CoreActor
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Event, Market, Message

Handler = Callable[..., None]


class Route(msgspec.Struct, frozen=True):
    """Handlers of one message type, in stage order."""

    observers: tuple[Handler, ...]
    stages: tuple[tuple[int, Handler], ...]
    """(stage number, bound ``decide`` method) pairs."""
    folders: tuple[Handler, ...]
    sealers: tuple[Handler, ...]
    is_event: bool
    is_market: bool


class RouteRow(msgspec.Struct, frozen=True):
    """One line of ``tradingd routes``."""

    message: str
    kind: str
    sent_by: tuple[str, ...]
    observed_by: tuple[str, ...]
    decided_by: tuple[str, ...]
    folded_by: tuple[str, ...]
    sealed_by: tuple[str, ...]


class Routing:
    """The table for a fixed sequence of actors; routes are built on first use of a type and kept."""

    def __init__(self, actors: Sequence[CoreActor]) -> None:
        """Check declarations and prepare.

        Raises:
            InvariantError: two actors share a name, or an event that one emits cannot be told from a command.
        """
        names = [actor.name for actor in actors]
        if len(dict.fromkeys(names)) != len(names) or not all(names):
            message = f"core actors need distinct names, not {names}"
            raise InvariantError(message)
        for actor in actors:
            for t in actor.emits:
                if not issubclass(t, Event):
                    message = f"{actor.name} emits {t.__name__}, which is no event"
                    raise InvariantError(message)
            for t in actor.sends:
                if not issubclass(t, Command):
                    message = f"{actor.name} sends {t.__name__}, which is no command"
                    raise InvariantError(message)
        self.actors = tuple(actors)
        self.allowed = tuple(frozenset((*actor.sends, *actor.emits)) for actor in actors)
        self._routes: dict[type[Message], Route] = {}

    def route(self, message_type: type[Message]) -> Route:
        """Return the handlers of a type."""
        found = self._routes.get(message_type)
        if found is None:
            found = self._routes[message_type] = self._build(message_type)
        return found

    def _build(self, message_type: type[Message]) -> Route:
        tables: dict[str, list[tuple[int, Handler]]] = {kind: [] for kind in KINDS}
        for stage, actor in enumerate(self.actors):
            for kind in KINDS:
                method = actor.handlers[kind].get(message_type)
                if method is not None:
                    tables[kind].append((stage, getattr(actor, method)))
        return Route(
            observers=tuple(h for _, h in tables["observes"]),
            stages=tuple(tables["decides"]),
            folders=tuple(h for _, h in tables["evolves"]),
            sealers=tuple(h for _, h in tables["seals"]),
            is_event=issubclass(message_type, Event),
            is_market=issubclass(message_type, Market),
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
