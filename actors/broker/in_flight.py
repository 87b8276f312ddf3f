"""Cancels and replaces on their way to the venue: a fold of order events, nothing where there is no latency.

At its time a request is carried out before anything is matched at that instant. An order that filled whole before has
nothing left to cancel or replace: the fill wins, and the request is refused.
"""

from __future__ import annotations

import heapq
from typing import Final

import msgspec

from actors.broker.order_state import UNTIL_TOLD
from actors.messages.orders import OrderCancelRequested, OrderReplaceRequested

PENDING_CANCEL: Final = "PENDING_CANCEL"
PENDING_REPLACE: Final = "PENDING_REPLACE"

Request = OrderCancelRequested | OrderReplaceRequested

_DECODE: Final = msgspec.msgpack.Decoder(list[OrderCancelRequested | OrderReplaceRequested])


class InFlight:
    """The newest request for each working order, by client order id.

    Attributes:
        next_ts: when the earliest of them takes effect; far in the future where there is none.
        waiting: whether anything is on its way.
    """

    __slots__ = ("_requests", "_times", "next_ts", "waiting")

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
        self._times: list[tuple[int, str]] = []
        """A heap of when they take effect, with some that were answered before."""
        self.next_ts = UNTIL_TOLD
        self.waiting = False

    def of(self, client_order_id: str) -> Request | None:
        """Return what is on its way for an order."""
        return self._requests.get(client_order_id)

    def due(self, ts: int) -> list[Request]:
        """Return what has arrived by ``ts``, the earliest first."""
        if ts < self.next_ts:
            return []
        found = [request for request in self._requests.values() if request.effective_ts <= ts]
        return sorted(found, key=lambda request: request.effective_ts)

    def all(self) -> list[Request]:
        """Return everything, the earliest first."""
        return self.due(UNTIL_TOLD) if self._requests else []

    def add(self, request: Request) -> None:
        """Fold a request; a cancel takes the place of a replace."""
        self._requests.pop(request.client_order_id, None)
        self._requests[request.client_order_id] = request
        heapq.heappush(self._times, (request.effective_ts, request.client_order_id))
        self._renew()

    def drop(self, client_order_id: str) -> None:
        """Fold that a request on its way was answered, by what came of it or by the order's end."""
        del self._requests[client_order_id]
        self._renew()

    def _renew(self) -> None:
        requests, times = self._requests, self._times
        while times and not _stands(times[0], requests):
            heapq.heappop(times)
        self.waiting = bool(requests)
        self.next_ts = times[0][0] if times else UNTIL_TOLD

    def snapshot(self) -> bytes:
        """Return plain values."""
        return msgspec.msgpack.encode(list(self._requests.values()))

    def restore(self, state: bytes) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._requests = {request.client_order_id: request for request in _DECODE.decode(state)}
        self._times = [(request.effective_ts, name) for name, request in self._requests.items()]
        heapq.heapify(self._times)
        self._renew()


def _stands(entry: tuple[int, str], requests: dict[str, Request]) -> bool:
    """Tell whether a time is still that of the request it was noted for."""
    ts, name = entry
    request = requests.get(name)
    return request is not None and request.effective_ts == ts
