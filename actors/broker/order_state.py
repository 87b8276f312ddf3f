"""The life of an order as a table, and the record of one while it works.

Theory of operation
-------------------
The states are those of ``OrderStatus`` and, beside them, what only the two sides of a wire know: a cancel or a replace
that is on its way. Such an order still works, so a fill that overtakes the request wins: a partial fill is kept and the
request stays open, a complete fill ends the order and the request can only be refused. :func:`public_status` shows
people the nine statuses of the contract.

``replace`` changes an order in place and leaves it working, as the simulator does. ``replaced_by`` ends it in favour of
a successor, as venues do whose replace makes a new order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from actors.messages.orders import OrderStatus, OrderType, SubmitOrder
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
        (_S.NEW_PENDING_CANCEL, _T.EXPIRE): _S.EXPIRED,

        (_S.PARTIAL_PENDING_CANCEL, _T.TRIGGER): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIAL_PENDING_CANCEL, _T.PARTIAL_FILL): _S.PARTIAL_PENDING_CANCEL,
        (_S.PARTIAL_PENDING_CANCEL, _T.FILL): _S.FILLED,
        (_S.PARTIAL_PENDING_CANCEL, _T.REFUSE_REQUEST): _S.PARTIALLY_FILLED,
        (_S.PARTIAL_PENDING_CANCEL, _T.CANCEL): _S.CANCELED,
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


class WorkingOrder:
    """An accepted order until it is terminal. Quantities, prices and money in units of 1e-8.

    Attributes:
        n: number of the order in the run, from 1; its id is ``O-n`` and its age among orders.
        order: as accepted.
        accepted_ts: stamp of the acceptance.
        live_from: stamp since when the present terms rest; a bar that began earlier does not touch the order. A gap
            in the data moves it to the gap's end, to :data:`UNTIL_TOLD` where the order's session may be over.
        triggered: a stop whose condition was met; it works as a market order from then on.
        taking: a limit that was marketable when it arrived and has not yet seen an open it did not cross.
        cum_value: sum of the fills' values, each rounded to 1e-8 as it is booked.
        commission, regulatory: charged so far.
        section_31_raw, taf_raw: unrounded regulatory fees so far, units of 1e-16.
    """

    __slots__ = (
        "accepted_ts",
        "commission",
        "cum_qty",
        "cum_value",
        "fills",
        "leaves",
        "limit_px",
        "live_from",
        "market",
        "n",
        "order",
        "order_id",
        "portfolio",
        "qty",
        "regulatory",
        "reserved",
        "section_31_raw",
        "side",
        "state",
        "stop_px",
        "symbol",
        "taf_raw",
        "taking",
        "triggered",
    )

    def __init__(self, n: int, order: SubmitOrder, reserved: int, accepted_ts: int) -> None:
        self.n = n
        self.order_id = f"O-{n}"
        self.order = order
        self.portfolio = order.portfolio
        self.symbol = order.symbol
        self.side = order.side
        self.market = order.type is OrderType.MARKET
        self.qty = self.leaves = order.qty
        self.limit_px = order.limit_px
        self.stop_px = order.stop_px
        self.reserved = reserved
        self.accepted_ts = self.live_from = accepted_ts
        self.state = OrderState.NEW
        self.triggered = False
        self.taking = False
        self.cum_qty = self.cum_value = self.fills = 0
        self.commission = self.regulatory = 0
        self.section_31_raw = self.taf_raw = 0

    def advance(self, trigger: OrderTrigger) -> None:
        """Move along the table."""
        self.state = ORDER.next(self.state, trigger)

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
        ]

    @classmethod
    def from_row(cls, row: list[Any]) -> WorkingOrder:
        """Build from what :meth:`to_row` gave."""
        self = cls(row[0], _DECODE_ORDER.decode(row[1]), row[2], row[3])
        self.live_from = row[4]
        self.state = OrderState(row[5])
        self.qty, self.leaves, self.limit_px, self.stop_px = row[6:10]
        self.triggered, self.taking = row[10:12]
        self.cum_qty, self.cum_value, self.fills, self.commission, self.regulatory = row[12:17]
        self.section_31_raw, self.taf_raw = int(row[17]), int(row[18])
        return self
