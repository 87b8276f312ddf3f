"""Orders, in FIX terms. *Denied* is our own risk's word, *Rejected* the venue's.

The way of an order: ``SubmitOrder`` -> risk -> ``OrderDenied`` | ``RouteOrder`` -> broker -> ``OrderAccepted`` |
``OrderRejected``. Only risk may send ``RouteOrder`` and ``RouteReplace``, and only they reach the broker.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

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


class Bracket(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The exits of an entry: a target, a stop, or both, of which the first to fill ends the other.

    Attributes:
        take_profit_px: limit price of the target, or None.
        stop_px: trigger of the protective stop, or None.
        trail_amount, trail_percent: the stop trails instead; as in :class:`OrderTerms`.
        activation_px: arms that trail.
    """

    take_profit_px: int | None = None
    stop_px: int | None = None
    trail_amount: int | None = None
    trail_percent: int | None = None
    activation_px: int | None = None


class OrderTerms(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an order says beyond quantity, price and time in force; most orders have none. Units of 1e-8.

    Attributes:
        trail_amount: distance of a trailing stop in money, or None.
        trail_percent: the same in percent of the best price (ten percent is 10 * 10**8), or None.
        activation_px: the trail begins once the market has reached this price, None: at once.
        display_qty: what of the quantity others see (iceberg), None: all of it.
        post_only: refused instead of taking liquidity when it comes in.
        expire_ts: for ``gtd``, nanoseconds UTC: what becomes known later does not fill it.
        oco_group: orders of a portfolio with this name cancel each other, "" for none.
        bracket: exits that come to life with the first fill, or None.
        bracket_of: client order id of the entry whose exit this is, "" for none; set by the broker alone.
        do_not_reduce: a cash dividend leaves the prices as they are.
        locate: shares to borrow were found before a short sale.
    """

    trail_amount: int | None = None
    trail_percent: int | None = None
    activation_px: int | None = None
    display_qty: int | None = None
    post_only: bool = False
    expire_ts: int | None = None
    oco_group: str = ""
    bracket: Bracket | None = None
    bracket_of: str = ""
    do_not_reduce: bool = False
    locate: bool = False


NO_TERMS: Final = OrderTerms()
"""What an order without terms of its own says."""


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
        terms: what else the order says, or None.
        stop_distance: how far from its fill the automatic stop of an entry will rest, units of 1e-8; 0 for the percent
            stop of its portfolio.
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
    terms: OrderTerms | None = None
    stop_distance: int = 0


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

    Attributes:
        ts: stamp of the acceptance: a bar that began before it cannot fill the order.
        ref_px: last price known to the broker when the order began to rest, units of 1e-8, 0 where none was. The
            decision price of transaction cost analysis, and what an initial trail is measured from.
        expected_cost: what spread, slippage, impact and commission would come to at ``ref_px``, units of 1e-8.
        leg: for an exit that came to life inside a bar, the leg of the path it did (1 to 3), negative where the path
            goes to the low first; 0 for any other order.
    """

    order_id: str
    order: SubmitOrder
    reserved: int
    ts: int = 0
    ref_px: int = 0
    expected_cost: int = 0
    leg: int = 0


class OrderRejected(Event, tag=48, frozen=True):
    """The broker refuses the order."""

    order_id: str
    order: SubmitOrder
    code: str
    reason: str


class OrderTriggered(Event, tag=49, frozen=True):
    """The condition of a stop or a touch order was met.

    Attributes:
        level: where the market met it.
        stop_px: where the stop of a trail stood, which behind a gap is not the level; None for other orders.
    """

    order_id: str
    client_order_id: str
    level: int
    stop_px: int | None = None


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
    arrival_px: int = 0


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
        arrival_px: the market's price when the order reached it (mid of the quotes, else the open or the print of the
            first event that could have filled it), 0 where unknown.
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
    arrival_px: int = 0


class OrderCanceled(Event, tag=52, frozen=True):
    """A working order ended by cancellation.

    Attributes:
        cum_qty: filled before.
        px: last price known to the broker (mid of the quotes, else the last trade), 0 where unknown: what is missed of
            the order is measured against it.
        arrival_px: as in :class:`OrderFilled`.
        stop_px: where the stop of a trail stood; None for other orders, and where it is not known.
    """

    order_id: str
    client_order_id: str
    cum_qty: int
    reason: str
    px: int = 0
    arrival_px: int = 0
    stop_px: int | None = None


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
    """A working order reached the end of its time in force; ``px``, ``arrival_px`` as in :class:`OrderCanceled`."""

    order_id: str
    client_order_id: str
    cum_qty: int
    reason: str
    px: int = 0
    arrival_px: int = 0


class OrderCancelRejected(Event, tag=55, frozen=True):
    """A cancel or replace was refused (FIX OrderCancelReject): unknown or terminal order, or bad new terms."""

    client_order_id: str
    code: str
    reason: str


class OrderCancelRequested(Event, tag=56, frozen=True):
    """A cancel is on its way to the venue, where it takes effect at ``effective_ts``; a fill that is earlier wins."""

    client_order_id: str
    reason: str
    effective_ts: int
    order_id: str = ""
    cum_qty: int = 0


class OrderReplaceRequested(Event, tag=57, frozen=True):
    """New terms are on their way to the venue; as :class:`OrderCancelRequested`."""

    client_order_id: str
    qty: int
    limit_px: int | None
    stop_px: int | None
    reserved: int
    effective_ts: int
    order_id: str = ""
    cum_qty: int = 0


class OrderRestated(Event, tag=58, frozen=True):
    """A corporate action changed a working order (FIX: ExecType Restated): its complete terms from now on.

    Attributes:
        symbol: after the action; another one where the symbol was renamed.
        qty, cum_qty: total and filled quantity, both in the new shares.
        limit_px, stop_px, terms: complete.
        reason: ``split``, ``dividend`` or ``rename``.
    """

    order_id: str
    client_order_id: str
    symbol: int
    qty: int
    cum_qty: int
    limit_px: int | None
    stop_px: int | None
    terms: OrderTerms | None
    reason: str


class SymbolFrozen(Event, tag=59, frozen=True):
    """The broker matches nothing in a symbol from now on: halted, paused, or prices that cannot be believed.

    Attributes:
        symbol: -1 for the whole market.
        state, reason: of the :class:`actors.messages.market.TradingStatus` that says so.
    """

    symbol: int
    state: str
    reason: str = ""


class SymbolReleased(Event, tag=65, frozen=True):
    """A frozen symbol (-1: the market) is matched again."""

    symbol: int
    reason: str = ""


class BarRevised(Event, tag=66, frozen=True):
    """A bar that was known already was corrected by its source; what it had filled stays filled.

    Attributes:
        start_ts: of the bar, nanoseconds UTC.
        old_px, new_px: its close, units of 1e-8; ``old_px`` 0 where it was not known any more.
    """

    symbol: int
    start_ts: int
    old_px: int
    new_px: int


Fill = OrderPartiallyFilled | OrderFilled
