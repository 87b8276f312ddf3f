"""The list methods of the control surface and ``why``, answered from the views on whatever thread asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.control.calls import Call, Outcome
from daemon.system.views_rows import Filter, Views, filter_of
from daemon.system.views_why import why


def view_readers(views: Views, read_time: Callable[[str], int]) -> dict[str, Callable[[Call], Outcome]]:
    """Return what answers each list method of the control surface.

    The readers raise :class:`daemon.kernel.errors.OperatorError` where a parameter makes no sense or the views cannot
    be read.
    """
    lists: dict[str, Callable[[Filter], dict[str, Any]]] = {
        "orders": views.orders,
        "fills": views.fills,
        "trades": views.trades,
        "signals": views.signals,
        "predictions": views.predictions,
        "alerts": views.alerts,
    }

    def reader(ask: Callable[[Filter], dict[str, Any]]) -> Callable[[Call], Outcome]:
        return lambda call: Outcome(ask(filter_of(call, read_time)))

    readers = {method: reader(ask) for method, ask in lists.items()}
    readers["why"] = lambda call: Outcome(why(views, str(call.params.get("order_id") or call.params.get("id") or "")))
    return readers
