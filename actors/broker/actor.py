"""The broker: takes orders that passed the gate, matches them against prices, and says what became of them.

First stage of every input, so that a bar's fills are in its equity mark. The rules are in the concept modules beside
this one: ``acceptance`` (what is taken), ``order_state`` (the life of an order), ``resting`` (which bars matter),
``ladder`` (which ticks do), ``matching`` (at what price), ``costs`` and ``fees`` (for how much), ``lots`` (which of the
position's lots are left), ``execution`` (how much of it).

Order of one bar's fills: sales at the open, purchases at the open, then what the path inside the bar meets, each group
oldest order first where nothing else decides. A bar whose volume is zero or null fills and triggers nothing; the
order-bars lost to null volume are counted.

A symbol that had a quote or print in the session is matched on those (``tick_matching``), against its ``book``; then
its bars only mark. Only there do orders, cancels and replaces take time (``latency``, ``in_flight``).
"""

from __future__ import annotations

from typing import ClassVar

from actors.broker.bar_desk import BarDesk
from actors.broker.calendar_desk import CalendarDesk
from actors.broker.corporate_desk import CorporateDesk
from actors.broker.intake import IntakeDesk
from actors.broker.order_folds import OrderFolds
from actors.broker.status_desk import StatusDesk
from actors.messages.orders import (
    BarRevised,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderRestated,
    OrderTriggered,
    SymbolFrozen,
    SymbolReleased,
)
from daemon.kernel.message import Command, Event


class BrokerActor(IntakeDesk, OrderFolds, BarDesk, CalendarDesk, StatusDesk, CorporateDesk):
    """The simulated broker for daily and intraday bars, quotes and prints."""

    name = "broker"
    sends: ClassVar[tuple[type[Command], ...]] = ()
    emits: ClassVar[tuple[type[Event], ...]] = (
        OrderAccepted,
        OrderRejected,
        OrderTriggered,
        OrderPartiallyFilled,
        OrderFilled,
        OrderCanceled,
        OrderReplaced,
        OrderExpired,
        OrderCancelRejected,
        OrderCancelRequested,
        OrderReplaceRequested,
        OrderRestated,
        SymbolFrozen,
        SymbolReleased,
        BarRevised,
    )
