"""Where the trailing stops that work stand now: a fold of prices, of which no event tells before the market meets one.

The rows of orders come from the views and what is added here from the board, so it is as old as that: a tenth of a
second while prices come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.broker import trailing
from actors.broker.order_state import WorkingOrder
from actors.messages.orders import OrderStatus, OrderType
from actors.values.fixed import fmt

_ENDED = (
    OrderStatus.DENIED,
    OrderStatus.REJECTED,
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.EXPIRED,
    OrderStatus.REPLACED,
)


class Trail(msgspec.Struct, frozen=True, gc=False):
    """A trailing stop whose condition was not met yet; prices in units of 1e-8.

    Attributes:
        best: the best price since it is armed, 0 while it is not.
        stop: where that puts the stop, 0 while it is not armed.
    """

    best: int
    stop: int


def trails_of(orders: Mapping[int, WorkingOrder]) -> dict[str, Trail]:
    """Return by client order id where trails stand; on the core's thread."""
    return {
        order.order.client_order_id: Trail(order.best, trailing.stop_of(order, order.best) or 0)
        for order in orders.values()
    }


def with_trail(row: dict[str, Any], trails: Mapping[str, Trail]) -> dict[str, Any]:
    """Return the row of an order, of a trailing stop that works with where it stands as its field ``trail``.

    ``stop_px`` is where the stop is now, ``best_px`` the price that it is measured from, ``activated`` whether it
    follows the market by now, ``triggered`` whether the market has met it; what is not known yet is None.
    """
    if row["type"] != OrderType.TRAILING_STOP.value or row["status"] in _ENDED:
        return row
    now = trails.get(row["client_order_id"])
    met = row["stop_px"] is not None  # an order gets it when the market has met it
    return row | {
        "trail": {
            "stop_px": row["stop_px"] if met else _px(now.stop) if now is not None else None,
            "best_px": None if met or now is None else _px(now.best),
            "activated": True if met else None if now is None else now.best > 0,
            "triggered": met,
        }
    }


def _px(px: int) -> msgspec.Raw | None:
    return msgspec.Raw(fmt(px).encode()) if px else None
