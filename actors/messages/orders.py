"""Orders, in FIX terms. *Denied* is our own risk's word, *Rejected* the venue's.

The way of an order: ``SubmitOrder`` -> risk -> ``OrderDenied`` | ``RouteOrder`` -> broker -> ``OrderAccepted`` |
``OrderRejected``. Only risk may send ``RouteOrder`` and ``RouteReplace``, and only they reach the broker.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from daemon.kernel.message import Command, Event

BUY: Final = 1
SELL: Final = -1


class OrderType(StrEnum):
    """Order types (``contract.md`` section 2); the broker says which it takes."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"
    MARKET_IF_TOUCHED = "market_if_touched"
    LIMIT_IF_TOUCHED = "limit_if_touched"
    TAKE_PROFIT = "take_profit"
    MARKET_ON_OPEN = "market_on_open"
    MARKET_ON_CLOSE = "market_on_close"


class TimeInForce(StrEnum):
    """How long an order lives."""

    DAY = "day"
    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"
    OPG = "opg"
    CLS = "cls"


class OrderStatus(StrEnum):
    """Statuses as they stand in JSON and CSV (``semantics.md`` section 2)."""

    DENIED = "denied"
    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REPLACED = "replaced"


class SubmitOrder(Command, tag=40, frozen=True):
    """Someone wants an order; it goes to the risk gate and nowhere else.

    Attributes:
        client_order_id: unique in the run; a resend changes nothing.
        symbol: id, or -1 where ``symbol_text`` is not in the universe.
        side: +1 buy, -1 sell.
        qty: shares in units of 1e-8.
        limit_px, stop_px: prices in units of 1e-8 where the type has them.
        strategy: "" for scripted and operators' orders.
        confidence: of the signal behind it; None skips the confidence gate.
        decision: the strategy's decision number, 0 where none.
        reason: why, ``signal``, ``rebalance``, ``stop_loss``, ``take_profit``, ``flatten``, ``script``, ``operator``.
        reduce_only: cut to the position, refused when flat.
        lot_id: the lot an exit closes, "" for FIFO.
        malformed: (code, sentence) where a field could not be read at the border; the gate denies with it.
        exempt: no automatic exits for what this order opens.
    """

    client_order_id: str
    portfolio: str
    symbol: int
    side: int
    qty: int
    type: OrderType = OrderType.MARKET
    tif: TimeInForce = TimeInForce.DAY
    limit_px: int | None = None
    stop_px: int | None = None
    strategy: str = ""
    confidence: float | None = None
    decision: int = 0
    reason: str = ""
    reduce_only: bool = False
    lot_id: str = ""
    parent_id: str = ""
    symbol_text: str = ""
    malformed: tuple[str, str] | None = None
    exempt: bool = False


class RouteOrder(Command, tag=41, frozen=True):
    """An order that passed the gate, with the cash the gate reserved for it. Sent by risk only."""

    order: SubmitOrder
    reserved: int


class CancelOrder(Command, tag=42, frozen=True):
    """Cancel a working order by its client order id. Never gated."""

    client_order_id: str
    reason: str


class CancelAll(Command, tag=43, frozen=True):
    """Cancel working orders: ``scope`` "all", or "adding" for those that add risk; portfolio "" means every one."""

    portfolio: str
    scope: str
    reason: str


class ReplaceOrder(Command, tag=44, frozen=True):
    """Change quantity or prices of a working order; None leaves a field as it is. Goes to the gate."""

    client_order_id: str
    qty: int | None = None
    limit_px: int | None = None
    stop_px: int | None = None
    malformed: tuple[str, str] | None = None


class RouteReplace(Command, tag=45, frozen=True):
    """A replace that passed the gate: the complete new terms. Sent by risk only."""

    client_order_id: str
    qty: int
    limit_px: int | None
    stop_px: int | None
    reserved: int


class OrderDenied(Event, tag=46, frozen=True):
    """The gate said no. ``value`` and ``limit`` are plain decimals as text, "" where the check has none."""

    order: SubmitOrder
    code: str
    reason: str
    value: str = ""
    limit: str = ""


class OrderAccepted(Event, tag=47, frozen=True):
    """The broker works the order; ``reserved`` cash is set aside until it is terminal.

    ``ts`` is the stamp of the acceptance: a bar that began before it cannot fill the order.
    """

    order_id: str
    order: SubmitOrder
    reserved: int
    ts: int = 0


class OrderRejected(Event, tag=48, frozen=True):
    """The broker refuses the order."""

    order_id: str
    order: SubmitOrder
    code: str
    reason: str


class OrderTriggered(Event, tag=49, frozen=True):
    """A stop's condition was met at ``level``."""

    order_id: str
    client_order_id: str
    level: int


class OrderPartiallyFilled(Event, tag=50, frozen=True):
    """A fill that leaves something open; see :class:`OrderFilled` for the fields."""

    order_id: str
    client_order_id: str
    exec_id: str
    portfolio: str
    symbol: int
    side: int
    last_qty: int
    last_px: int
    ref_px: int
    cum_qty: int
    leaves_qty: int
    avg_px: int
    commission: int
    regulatory: int
    spread: int
    slippage: int
    impact: int
    px_source: str
    liquidity: str
    strategy: str
    reason: str
    lot_id: str
    confidence: float | None
    exempt: bool


class OrderFilled(Event, tag=51, frozen=True):
    """The fill that completes an order (FIX: cum_qty, leaves_qty, avg_px, exec_id).

    Attributes:
        last_qty, last_px: this fill, price after all costs in the price.
        ref_px: the price before spread, slippage and impact.
        commission, regulatory: cash fees of this fill.
        spread, slippage, impact: cost in money of each part of ``last_px`` against ``ref_px``; they sum, with their
            sign, to last_qty x side x (last_px - ref_px).
        px_source: ``open``, ``intrabar``, ``close``, ``quote`` or ``trade``.
        liquidity: ``taker`` or ``maker``.
        strategy, reason, lot_id, confidence, exempt: of the order, so that a fill can be booked on its own.
    """

    order_id: str
    client_order_id: str
    exec_id: str
    portfolio: str
    symbol: int
    side: int
    last_qty: int
    last_px: int
    ref_px: int
    cum_qty: int
    leaves_qty: int
    avg_px: int
    commission: int
    regulatory: int
    spread: int
    slippage: int
    impact: int
    px_source: str
    liquidity: str
    strategy: str
    reason: str
    lot_id: str
    confidence: float | None
    exempt: bool


class OrderCanceled(Event, tag=52, frozen=True):
    """A working order ended by cancellation."""

    order_id: str
    client_order_id: str
    cum_qty: int
    reason: str


class OrderReplaced(Event, tag=53, frozen=True):
    """A working order has new terms (complete); ``ts`` is the stamp from which they rest."""

    order_id: str
    client_order_id: str
    qty: int
    limit_px: int | None
    stop_px: int | None
    reserved: int
    ts: int = 0


class OrderExpired(Event, tag=54, frozen=True):
    """A working order reached the end of its time in force."""

    order_id: str
    client_order_id: str
    cum_qty: int
    reason: str


class OrderCancelRejected(Event, tag=55, frozen=True):
    """A cancel or replace was refused (FIX OrderCancelReject): unknown or terminal order, or bad new terms."""

    client_order_id: str
    code: str
    reason: str


Fill = OrderPartiallyFilled | OrderFilled
