"""The list methods of the control surface and ``why``, answered from the views on whatever thread asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daemon.control.calls import Call, Outcome
from daemon.system.trails import Trail, with_trail
from daemon.system.views_rows import Filter, Views, filter_of
from daemon.system.views_why import why


def view_readers(
    views: Views, read_time: Callable[[str], int], trails: Callable[[], Mapping[str, Trail]] = dict
) -> dict[str, Callable[[Call], Outcome]]:
    """Return what answers each list method of the control surface.

    Args:
        views: which are asked.
        read_time: reads a time that somebody wrote.
        trails: where trailing stops stand.

    The readers raise :class:`daemon.kernel.errors.OperatorError` where a parameter makes no sense or the views cannot
    be read.
    """

    def orders(wanted: Filter) -> dict[str, Any]:
        found = views.orders(wanted)
        stand = trails()
        return found | {"rows": [with_trail(row, stand) for row in found["rows"]]}

    def story(call: Call) -> Outcome:
        found = why(views, str(call.params.get("order_id") or call.params.get("id") or ""))
        return Outcome(found | {"order": with_trail(found["order"], trails())})

    lists: dict[str, Callable[[Filter], dict[str, Any]]] = {
        "orders": orders,
        "fills": views.fills,
        "trades": views.trades,
        "signals": views.signals,
        "predictions": views.predictions,
        "alerts": views.alerts,
    }

    def reader(ask: Callable[[Filter], dict[str, Any]]) -> Callable[[Call], Outcome]:
        return lambda call: Outcome(ask(filter_of(call, read_time)))

    readers = {method: reader(ask) for method, ask in lists.items()}
    readers["why"] = story
    return readers
