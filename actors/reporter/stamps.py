"""The prices that an order is measured against, out of what its events tell; see :mod:`actors.reporter.tca`."""

from __future__ import annotations

from typing import Final

from actors.messages.orders import OrderStatus, OrderType
from actors.reporter.story import OrderRow
from actors.reporter.tca import EXCUSED, EXITS, WAITING

_REFUSED: Final = (OrderStatus.DENIED, OrderStatus.REJECTED)
_ENDED_BY_OTHERS: Final = (*_REFUSED, OrderStatus.REPLACED)
_WAITING: Final = frozenset(kind for kind in OrderType if kind.value in WAITING)


def waits(row: OrderRow) -> bool:
    """Tell whether an order waits for a price of its own."""
    order = row.order
    return order.type in _WAITING or order.reason in EXITS or (order.terms is not None and order.terms.bracket_of != "")


def stamps(row: OrderRow) -> tuple[int | None, int | None]:
    """Return the decision's price and the market's price at arrival, None where unknown."""
    trace = row.trace
    if row.status in _REFUSED:
        return None, None
    if waits(row):
        own = row.limit_px if row.stop_px is None else row.stop_px
        return own, own
    return trace.decision_px or None, trace.arrival_px or None


def is_missed(row: OrderRow) -> bool:
    """Tell whether what was not filled was wanted when the order ended."""
    if row.status in _ENDED_BY_OTHERS or row.reason in EXCUSED:
        return False
    return not waits(row) or row.trace.trigger_px > 0


def expectation(row: OrderRow) -> int | None:
    """Return what the order was expected to cost at acceptance.

    None without a price then, of a bracket's exits, and of an order that had other terms later: that was another trade.
    """
    terms = row.order.terms
    if not row.trace.decision_px or row.trace.replaced or (terms is not None and terms.bracket_of):
        return None
    return row.trace.expected
