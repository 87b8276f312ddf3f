"""The life of an order as a table, and the record of one while it works.

Theory of operation
-------------------
The states are those of ``OrderStatus`` and, beside them, what only the two sides of a wire know: a cancel or a replace
that is on its way. Such an order still works, so a fill that overtakes the request wins: a partial fill is kept and the
request stays open, a complete fill ends the order and the request can only be refused. A cancel stays on its way, too,
when the venue changes the order of itself: an exit that shrinks with its sibling's fill. :func:`public_status` shows
people the nine statuses of the contract.

``replace`` changes an order in place and leaves it working, as the simulator does. ``replaced_by`` ends it in favour of
a successor, as venues do whose replace makes a new order.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Final

import msgspec

from actors.messages.orders import OrderStatus, OrderTerms, OrderType, SubmitOrder, TimeInForce
from daemon.kernel.state_machine import StateMachine


class OrderState(StrEnum):
    """States of an order; the plain ones are named as in ``OrderStatus``."""

    INITIALIZED = "initialized"
    DENIED = "denied"
    PENDING_NEW = "pending_new"
    REJECTED = "rejected"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    NEW_PENDING_CANCEL = "new_pending_cancel"
    PARTIAL_PENDING_CANCEL = "partial_pending_cancel"
    NEW_PENDING_REPLACE = "new_pending_replace"
    PARTIAL_PENDING_REPLACE = "partial_pending_replace"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"

    __hash__ = str.__hash__  # an enum's own is a Python function, called twice for each step along the table


class OrderTrigger(StrEnum):
    """What can happen to an order."""

    DENY = "deny"
    ROUTE = "route"
    REJECT = "reject"
    ACCEPT = "accept"
    TRIGGER = "trigger"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    REQUEST_CANCEL = "request_cancel"
    REQUEST_REPLACE = "request_replace"
    REFUSE_REQUEST = "refuse_request"
    CANCEL = "cancel"
    REPLACE = "replace"
    REPLACED_BY = "replaced_by"
    EXPIRE = "expire"

    __hash__ = str.__hash__


_S = OrderState
_T = OrderTrigger

# fmt: off
ORDER: Final[StateMachine[OrderState, OrderTrigger]] = StateMachine(
    "order",
    {
        (_S.INITIALIZED, _T.DENY): _S.DENIED,
        (_S.INITIALIZED, _T.ROUTE): _S.PENDING_NEW,
        (_S.PENDING_NEW, _T.REJECT): _S.REJECTED,
        (_S.PENDING_NEW, _T.ACCEPT): _S.NEW,

        (_S.NEW, _T.TRIGGER): _S.NEW,
        (_S.NEW, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
        (_S.NEW, _T.FILL): _S.FILLED,
        (_S.NEW, _T.REQUEST_CANCEL): _S.NEW_PENDING_CANCEL,
        (_S.NEW, _T.REQUEST_REPLACE): _S.NEW_PENDING_REPLACE,
        (_S.NEW, _T.CANCEL): _S.CANCELED,
        (_S.NEW, _T.REPLACE): _S.NEW,
        (_S.NEW, _T.EXPIRE): _S.EXPIRED,

        (_S.PARTIALLY_FILLED, _T.TRIGGER): _S.PARTIALLY_FILLED,
        (_S.PARTIALLY_FILLED, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
        (_S.PARTIALLY_FILLED, _T.FILL): _S.FILLED,
        (_S.PARTIALLY_FILLED, _T.REQUEST_CANCEL): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIALLY_FILLED, _T.REQUEST_REPLACE): _S.PARTIAL_PENDING_REPLACE,
        (_S.PARTIALLY_FILLED, _T.CANCEL): _S.CANCELED,
        (_S.PARTIALLY_FILLED, _T.REPLACE): _S.PARTIALLY_FILLED,
        (_S.PARTIALLY_FILLED, _T.EXPIRE): _S.EXPIRED,

        (_S.NEW_PENDING_CANCEL, _T.TRIGGER): _S.NEW_PENDING_CANCEL,
        (_S.NEW_PENDING_CANCEL, _T.PARTIAL_FILL): _S.PARTIAL_PENDING_CANCEL,
        (_S.NEW_PENDING_CANCEL, _T.FILL): _S.FILLED,
        (_S.NEW_PENDING_CANCEL, _T.REFUSE_REQUEST): _S.NEW,
        (_S.NEW_PENDING_CANCEL, _T.CANCEL): _S.CANCELED,
        (_S.NEW_PENDING_CANCEL, _T.REPLACE): _S.NEW_PENDING_CANCEL,
        (_S.NEW_PENDING_CANCEL, _T.EXPIRE): _S.EXPIRED,

        (_S.PARTIAL_PENDING_CANCEL, _T.TRIGGER): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIAL_PENDING_CANCEL, _T.PARTIAL_FILL): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIAL_PENDING_CANCEL, _T.FILL): _S.FILLED,
        (_S.PARTIAL_PENDING_CANCEL, _T.REFUSE_REQUEST): _S.PARTIALLY_FILLED,
        (_S.PARTIAL_PENDING_CANCEL, _T.CANCEL): _S.CANCELED,
        (_S.PARTIAL_PENDING_CANCEL, _T.REPLACE): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIAL_PENDING_CANCEL, _T.EXPIRE): _S.EXPIRED,

        (_S.NEW_PENDING_REPLACE, _T.TRIGGER): _S.NEW_PENDING_REPLACE,
        (_S.NEW_PENDING_REPLACE, _T.PARTIAL_FILL): _S.PARTIAL_PENDING_REPLACE,
        (_S.NEW_PENDING_REPLACE, _T.FILL): _S.FILLED,
        (_S.NEW_PENDING_REPLACE, _T.REQUEST_CANCEL): _S.NEW_PENDING_CANCEL,
        (_S.NEW_PENDING_REPLACE, _T.REFUSE_REQUEST): _S.NEW,
        (_S.NEW_PENDING_REPLACE, _T.CANCEL): _S.CANCELED,
        (_S.NEW_PENDING_REPLACE, _T.REPLACE): _S.NEW,
        (_S.NEW_PENDING_REPLACE, _T.REPLACED_BY): _S.REPLACED,
        (_S.NEW_PENDING_REPLACE, _T.EXPIRE): _S.EXPIRED,

        (_S.PARTIAL_PENDING_REPLACE, _T.TRIGGER): _S.PARTIAL_PENDING_REPLACE,
        (_S.PARTIAL_PENDING_REPLACE, _T.PARTIAL_FILL): _S.PARTIAL_PENDING_REPLACE,
        (_S.PARTIAL_PENDING_REPLACE, _T.FILL): _S.FILLED,
        (_S.PARTIAL_PENDING_REPLACE, _T.REQUEST_CANCEL): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIAL_PENDING_REPLACE, _T.REFUSE_REQUEST): _S.PARTIALLY_FILLED,
        (_S.PARTIAL_PENDING_REPLACE, _T.CANCEL): _S.CANCELED,
        (_S.PARTIAL_PENDING_REPLACE, _T.REPLACE): _S.PARTIALLY_FILLED,
        (_S.PARTIAL_PENDING_REPLACE, _T.REPLACED_BY): _S.REPLACED,
        (_S.PARTIAL_PENDING_REPLACE, _T.EXPIRE): _S.EXPIRED,
    },
)
# fmt: on

TERMINAL: Final = (
    OrderState.DENIED,
    OrderState.REJECTED,
    OrderState.FILLED,
    OrderState.CANCELED,
    OrderState.EXPIRED,
    OrderState.REPLACED,
)

_PUBLIC: Final[dict[OrderState, OrderStatus]] = {
    OrderState.INITIALIZED: OrderStatus.PENDING_NEW,
    OrderState.NEW_PENDING_CANCEL: OrderStatus.NEW,
    OrderState.NEW_PENDING_REPLACE: OrderStatus.NEW,
    OrderState.PARTIAL_PENDING_CANCEL: OrderStatus.PARTIALLY_FILLED,
    OrderState.PARTIAL_PENDING_REPLACE: OrderStatus.PARTIALLY_FILLED,
}


def public_status(state: OrderState) -> OrderStatus:
    """Return the status that JSON and CSV show for a state."""
    return _PUBLIC.get(state) or OrderStatus(state.value)


UNTIL_TOLD: Final = 1 << 62
"""``live_from`` of a DAY order whose session was not seen to begin: no bar touches it before one tells."""

_DECODE_ORDER: Final = msgspec.msgpack.Decoder(SubmitOrder)
_DECODE_TERMS: Final = msgspec.msgpack.Decoder(OrderTerms | None)


class Mode(IntEnum):
    """How an order works at present; the last three wait for a trigger and work as one of the first two behind it."""

    MARKET = 0
    LIMIT = 1
    STOP = 2
    TOUCH = 3
    TRAIL = 4

    __hash__ = int.__hash__


class Auction(IntEnum):
    """Which auction an order is for; such an order trades at that price and no other."""

    NONE = 0
    OPEN = 1
    CLOSE = 2

    __hash__ = int.__hash__


_MODES: Final[dict[OrderType, Mode]] = {
    OrderType.MARKET: Mode.MARKET,
    OrderType.LIMIT: Mode.LIMIT,
    OrderType.STOP: Mode.STOP,
    OrderType.STOP_LIMIT: Mode.STOP,
    OrderType.TRAILING_STOP: Mode.TRAIL,
    OrderType.MARKET_IF_TOUCHED: Mode.TOUCH,
    OrderType.LIMIT_IF_TOUCHED: Mode.TOUCH,
    OrderType.TAKE_PROFIT: Mode.LIMIT,
    OrderType.MARKET_ON_OPEN: Mode.MARKET,
    OrderType.MARKET_ON_CLOSE: Mode.MARKET,
}


# A member looked up in its enum costs as much as three assignments; every order passes here.
_MARKET: Final = Mode.MARKET
_NEW: Final = OrderState.NEW
_NO_AUCTION: Final = Auction.NONE
_PLAIN_TYPES: Final = (OrderType.MARKET, OrderType.LIMIT)
_PLAIN_TIFS: Final = (TimeInForce.DAY, TimeInForce.GTC)


def _auction(order: SubmitOrder) -> Auction:
    if order.tif is TimeInForce.OPG or order.type is OrderType.MARKET_ON_OPEN:
        return Auction.OPEN
    if order.tif is TimeInForce.CLS or order.type is OrderType.MARKET_ON_CLOSE:
        return Auction.CLOSE
    return Auction.NONE


class WorkingOrder:
    """An accepted order until it is terminal. Quantities, prices and money in units of 1e-8.

    Attributes:
        n: number of the order in the run, from 1; its id is ``O-n`` and its age among orders.
        order: as accepted.
        symbol, qty, limit_px, stop_px, terms: as they are now, after replaces and corporate actions.
        accepted_ts: stamp of the acceptance.
        live_from: stamp since when the present terms rest; a bar that began earlier does not touch the order. A gap
            in the data moves it to the gap's end, to :data:`UNTIL_TOLD` where the order's session may be over.
        mode: how it works now.
        market: whether it trades at any price now.
        auction: which auction it is for.
        immediate: ``ioc`` or ``fok``: what the first chance does not fill is cancelled.
        linked: part of a bracket or of an OCO group (:mod:`actors.broker.links`).
        triggered: its condition was met; it works as a market or limit order from then on.
        taking: a limit that was marketable when it arrived and has not yet seen an open it did not cross.
        best: of a trail, the best price since it is armed, 0 while it is not: a fold of prices.
        arrival_px: the market's price when the order reached it, 0 before: a fold of prices.
        leg: where on the path of the bar an exit came to life in which it did, as in ``OrderAccepted``; 0 elsewhere.
        last_px, last_volume, last_half: of an order for the close, the last bar it could trade in, and half of the
            spread that was quoted at its end, None where none was: a fold of bars.
        queue: of a limit that rests, what is ahead of it at its price in the book, None while that is not known: a fold
            of ticks.
        shown: what is left of the slice that an iceberg displays, 0 for other orders.
        cum_shift: by how much splits made ``cum_qty`` more than the shares that were filled: those are charged for.
        cum_value: sum of the fills' values, each rounded to 1e-8 as it is booked.
        commission, regulatory: charged so far.
        section_31_raw, taf_raw: unrounded regulatory fees so far, units of 1e-16.
    """

    __slots__ = (
        "accepted_ts",
        "arrival_px",
        "auction",
        "best",
        "commission",
        "cum_qty",
        "cum_shift",
        "cum_value",
        "fills",
        "immediate",
        "last_half",
        "last_px",
        "last_volume",
        "leaves",
        "leg",
        "limit_px",
        "linked",
        "live_from",
        "market",
        "mode",
        "n",
        "order",
        "order_id",
        "portfolio",
        "qty",
        "queue",
        "regulatory",
        "reserved",
        "section_31_raw",
        "shown",
        "side",
        "state",
        "stop_px",
        "symbol",
        "taf_raw",
        "taking",
        "terms",
        "triggered",
    )

    def __init__(self, n: int, order: SubmitOrder, reserved: int, accepted_ts: int) -> None:
        self.n = n
        self.order_id = f"O-{n}"
        self.order = order
        self.portfolio = order.portfolio
        self.symbol = order.symbol
        self.side = order.side
        mode = self.mode = _MODES[order.type]
        self.market = mode is _MARKET
        tif = order.tif
        if tif in _PLAIN_TIFS and order.type in _PLAIN_TYPES:
            self.auction = _NO_AUCTION
            self.immediate = False
        else:
            self.auction = _auction(order)
            self.immediate = tif is TimeInForce.IOC or tif is TimeInForce.FOK
        terms = self.terms = order.terms
        self.linked = False
        self.qty = self.leaves = order.qty
        self.limit_px = order.limit_px
        self.stop_px = order.stop_px
        self.reserved = reserved
        self.accepted_ts = self.live_from = accepted_ts
        self.state = _NEW
        self.triggered = False
        self.taking = False
        self.best = self.arrival_px = self.last_px = self.leg = 0
        self.last_volume: float | None = None
        self.last_half: int | None = None
        self.queue: int | None = None
        self.shown = 0
        if terms is not None:
            self.linked = terms.bracket is not None or bool(terms.bracket_of or terms.oco_group)
            self.show()
        self.cum_qty = self.cum_shift = self.cum_value = self.fills = 0
        self.commission = self.regulatory = 0
        self.section_31_raw = self.taf_raw = 0

    @property
    def expire_ts(self) -> int | None:
        """Stamp up to which it may fill, None where no date ends it."""
        return None if self.terms is None else self.terms.expire_ts

    def advance(self, trigger: OrderTrigger) -> None:
        """Move along the table."""
        self.state = ORDER.next(self.state, trigger)

    def show(self) -> None:
        """Begin a slice, where not all of the order is displayed."""
        terms = self.terms
        if terms is not None and terms.display_qty is not None:
            self.shown = min(terms.display_qty, self.leaves)

    def trigger(self) -> None:
        """Work from now on as what the order is behind its trigger."""
        self.triggered = True
        self.mode = Mode.MARKET if self.limit_px is None else Mode.LIMIT
        self.market = self.limit_px is None

    def copy(self) -> WorkingOrder:
        """Return an equal order that may be changed while the consequences of an instant are found."""
        other = WorkingOrder.__new__(WorkingOrder)
        for name in WorkingOrder.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def to_row(self) -> list[Any]:
        """Return plain values for a snapshot; sums that may outgrow 64 bits travel as text."""
        return [
            self.n,
            msgspec.msgpack.encode(self.order),
            self.reserved,
            self.accepted_ts,
            self.live_from,
            self.state.value,
            self.qty,
            self.leaves,
            self.limit_px,
            self.stop_px,
            self.triggered,
            self.taking,
            self.cum_qty,
            self.cum_value,
            self.fills,
            self.commission,
            self.regulatory,
            str(self.section_31_raw),
            str(self.taf_raw),
            self.symbol,
            self.best,
            self.arrival_px,
            self.last_px,
            self.last_volume,
            None if self.terms == self.order.terms else msgspec.msgpack.encode(self.terms),
            self.queue,
            self.shown,
            self.cum_shift,
            self.last_half,
        ]

    @classmethod
    def from_row(cls, row: list[Any]) -> WorkingOrder:
        """Build from what :meth:`to_row` gave."""
        self = cls(row[0], _DECODE_ORDER.decode(row[1]), row[2], row[3])
        self.live_from = row[4]
        self.state = OrderState(row[5])
        self.qty, self.leaves, self.limit_px, self.stop_px = row[6:10]
        self.taking = row[11]
        if row[10]:
            self.trigger()
        self.cum_qty, self.cum_value, self.fills, self.commission, self.regulatory = row[12:17]
        self.section_31_raw, self.taf_raw = int(row[17]), int(row[18])
        if len(row) > 19:
            self.symbol, self.best, self.arrival_px, self.last_px, self.last_volume = row[19:24]
            if row[24] is not None:
                self.terms = _DECODE_TERMS.decode(row[24])
            self.queue, self.shown, self.cum_shift, self.last_half = row[25:29]
        return self
