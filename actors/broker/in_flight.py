"""Cancels and replaces on their way to the venue: a fold of order events, nothing where there is no latency.

At its time a request is carried out before anything is matched at that instant. An order that filled whole before has
nothing left to cancel or replace: the fill wins, and the request is refused.
"""

from __future__ import annotations

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

    __slots__ = ("_requests", "next_ts", "waiting")

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
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
        self._renew()

    def drop(self, client_order_id: str) -> None:
        """Fold that a request on its way was answered, by what came of it or by the order's end."""
        del self._requests[client_order_id]
        self._renew()

    def _renew(self) -> None:
        self.waiting = bool(self._requests)
        self.next_ts = min((request.effective_ts for request in self._requests.values()), default=UNTIL_TOLD)

    def snapshot(self) -> bytes:
        """Return plain values."""
        return msgspec.msgpack.encode(list(self._requests.values()))

    def restore(self, state: bytes) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._requests = {request.client_order_id: request for request in _DECODE.decode(state)}
        self._renew()
