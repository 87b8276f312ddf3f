"""The reporter at the edge: counts committed frames for progress; reports are built from the journal afterwards."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from actors.messages.orders import OrderDenied, OrderFilled, OrderPartiallyFilled
from actors.messages.portfolio import EquityMarked, SessionRolled, TradeClosed
from daemon.kernel.actor import EdgeActor, Health
from daemon.kernel.message import Envelope, Event


class Progress(msgspec.Struct, frozen=True):
    """How far a run is: money in units of 1e-8, ``session`` an exchange date YYYYMMDD (0 before the first close)."""

    frames: int
    sessions: int
    session: int
    equity: int
    fills: int
    trades: int
    denials: int


class ReporterActor(EdgeActor):
    """Watches committed frames; holds no truth."""

    name: ClassVar[str] = "reporter"

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._frames = self._sessions = self._session = self._fills = self._trades = self._denials = 0
        self._equity: dict[str, int] = {}

    def consume(self, envelope: Envelope, events: list[Event]) -> None:  # noqa: ARG002 - the port's signature
        """Count what matters for progress."""
        self._frames += 1
        for event in events:
            if isinstance(event, EquityMarked):
                self._equity[event.portfolio] = event.equity
            elif isinstance(event, SessionRolled):
                if event.session != self._session:
                    self._session = event.session
                    self._sessions += 1
                self._equity[event.portfolio] = event.equity
            elif isinstance(event, (OrderFilled, OrderPartiallyFilled)):
                self._fills += 1
            elif isinstance(event, TradeClosed):
                self._trades += 1
            elif isinstance(event, OrderDenied):
                self._denials += 1

    def progress(self) -> Progress:
        """Return how far the run is."""
        equity = sum(self._equity.values())
        return Progress(self._frames, self._sessions, self._session, equity, self._fills, self._trades, self._denials)

    def health(self) -> Health:
        """Return the last session seen."""
        return Health(detail=f"{self._sessions} sessions, last {self._session}" if self._sessions else "no session yet")
