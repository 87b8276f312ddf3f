"""The form of an order, whatever the state of the world: prices by type, economic identity; and what a denial is."""

from __future__ import annotations

from typing import Final, NamedTuple

from actors.messages.orders import OrderType, SubmitOrder
from actors.values.fixed import SCALE, fmt
from actors.values.time import SECOND_NS

# (limit price, stop price) each type needs.
_PRICES: Final[dict[OrderType, tuple[bool, bool]]] = {
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
    OrderType.TRAILING_STOP: (False, False),  # its trigger follows the market
    OrderType.MARKET_IF_TOUCHED: (False, True),
    OrderType.LIMIT_IF_TOUCHED: (True, True),
    OrderType.TAKE_PROFIT: (True, False),
    OrderType.MARKET_ON_OPEN: (False, False),
    OrderType.MARKET_ON_CLOSE: (False, False),
}


class Denial(NamedTuple):
    """Why an order does not pass: stable code, sentence with the remedy, value and limit as plain decimals."""

    code: str
    reason: str
    value: str = ""
    limit: str = ""


class Split(NamedTuple):
    """An order that would flip the position: ``closing`` shares of it close, the rest opens."""

    closing: int


def bad_price(order_type: OrderType, limit_px: int | None, stop_px: int | None) -> Denial | None:
    """Check that an order has the prices its type needs, no others, and none that is not positive."""
    if order_type is OrderType.MARKET and limit_px is None and stop_px is None:
        return None
    needs = _PRICES[order_type]
    for name, price, needed in (("limit_px", limit_px, needs[0]), ("stop_px", stop_px, needs[1])):
        if price is None:
            if needed:
                return Denial("BAD_PRICE", f"a {order_type} order needs {name}")
        elif not needed:
            return Denial("BAD_PRICE", f"a {order_type} order takes no {name}; leave it out", fmt(price))
        elif price <= 0:
            return Denial("BAD_PRICE", f"{name} must be above zero", fmt(price), "0")
    return None


def economic_key(order: SubmitOrder) -> tuple[str | int | None, ...]:
    """Return what makes two orders economically the same: equal terms for the same purpose of the same decision."""
    return (
        order.portfolio,
        order.strategy,
        order.symbol,
        order.side,
        order.qty,
        order.type is OrderType.MARKET or order.type.value,  # an enum's hash costs as much as all checks together
        order.limit_px,
        order.stop_px,
        order.decision,
        order.lot_id,
        order.parent_id,
        order.reason,
        None if order.terms is None else repr(order.terms),
    )


def seconds(ns: int) -> str:
    """Write nanoseconds as seconds in a plain decimal."""
    return fmt(ns * SCALE // SECOND_NS)


def plain(value: float) -> str:
    """Write a fraction as a plain decimal."""
    return f"{value:.9f}".rstrip("0").rstrip(".")
