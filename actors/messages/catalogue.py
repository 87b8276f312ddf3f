"""The catalogue: every message type, gathered from the modules of this package."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from actors.messages import alerts, control, inference, market, orders, portfolio, risk, runtime, sentiment
from daemon.kernel.codec import Codec
from daemon.kernel.message import Command, Event, Market, Message

_MODULES: Final[tuple[ModuleType, ...]] = (
    market,
    inference,
    portfolio,
    orders,
    risk,
    control,
    alerts,
    runtime,
    sentiment,
)


def _gather(base: type[Message]) -> tuple[type[Message], ...]:
    return tuple(
        value
        for module in _MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    )


COMMANDS: Final = _gather(Command)
EVENTS: Final = _gather(Event)
MARKET: Final = _gather(Market)


def codec() -> Codec:
    """Return a codec for everything that may stand in a journal: commands and events. Panels live on the tape."""
    return Codec((*COMMANDS, *EVENTS))
