"""Calls on their way to the core: who waits for which answer, and what was answered under which key.

The same ``uid:request_id`` is done once. While the first is under way the second waits for the same answer; afterwards
it gets the answer that was kept. With other parameters it is refused, because one of the two was meant differently.
A stop alone is done anew where its answer does not hold any more: a halt that was lifted since is no halt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from daemon.control.calls import Call, Outcome
from daemon.journal.batch import KeptReply

RECENT_MAX: Final = 256
"""Answers remembered here, for calls whose answer the ledger does not keep."""

MISMATCH: Final = Outcome(
    code="IDEMPOTENCY_MISMATCH",
    message="this request_id was used for another call",
    field="request_id",
    remedy="use a new request_id for a new call",
)
Stands = Callable[[Call, Outcome], bool]
_DECODER: Final = msgspec.json.Decoder(Outcome, float_hook=Decimal)


def reply_of_kept(kept: KeptReply) -> Outcome:
    """Return the answer that was kept, its numbers as they were written."""
    return _DECODER.decode(kept.reply)


class Flight:
    """One call that was handed to the desk, and everybody who waits for its answer."""

    __slots__ = ("digest", "done", "key", "safe", "waiters")

    def __init__(self, key: str, digest: str, *, safe: bool) -> None:
        """Begin with nobody waiting; ``safe`` is lane 0, which is counted apart."""
        self.key = key
        self.digest = digest
        self.safe = safe
        self.done = False
        self.waiters: list[Callable[[Outcome], None]] = []


class Flights:
    """All calls on their way. Control thread only."""

    def __init__(
        self, calls_max: int, lookup: Callable[[str], KeptReply | None], digest: Callable[[Call], str]
    ) -> None:
        """Begin empty.

        Args:
            calls_max: on their way at once; as many again for lane 0.
            lookup: finds what the ledger kept under a key; quick, from any thread.
            digest: of method and parameters, the one that is kept with a reply.
        """
        self._max = calls_max
        self._lookup = lookup
        self._digest = digest
        self._by_key: dict[str, Flight] = {}
        self._flying = {False: 0, True: 0}
        self._recent: OrderedDict[str, tuple[str, Outcome]] = OrderedDict()

    def board(
        self, call: Call, waiter: Callable[[Outcome], None], stands: Stands, *, safe: bool
    ) -> Flight | Outcome | None:
        """Find out what becomes of a call; ``stands`` tells whether a kept answer holds still.

        Returns:
            a new flight to be handed to the desk; an outcome to be given at once; None where the waiter waits for the
            answer of an earlier, equal call.
        """
        key = f"{call.peer.uid}:{call.request_id}" if call.request_id else ""
        digest = self._digest(call) if key else ""
        if key:
            earlier = self._by_key.get(key)
            if earlier is not None:
                if earlier.digest != digest:
                    return MISMATCH
                earlier.waiters.append(waiter)
                return None
            kept = self._kept(key)
            if kept is not None and kept[0] != digest:
                return MISMATCH
            if kept is not None and stands(call, kept[1]):
                return kept[1]
        if self._flying[safe] >= self._max:
            return Outcome(code="BUSY", message=f"{self._max} calls wait for the core", remedy="try again in a moment")
        flight = Flight(key, digest, safe=safe)
        flight.waiters.append(waiter)
        self._flying[safe] += 1
        if key:
            self._by_key[key] = flight
        return flight

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """Give everybody who waits the answer; a second answer to the same call is dropped."""
        if flight.done:
            return
        flight.done = True
        self._flying[flight.safe] -= 1
        if flight.key:
            del self._by_key[flight.key]
            if not outcome.code:
                self._recent[flight.key] = (flight.digest, outcome)
                while len(self._recent) > RECENT_MAX:
                    self._recent.popitem(last=False)
        for waiter in flight.waiters:
            waiter(outcome)

    def _kept(self, key: str) -> tuple[str, Outcome] | None:
        recent = self._recent.get(key)
        if recent is not None:
            return recent
        kept = self._lookup(key)
        return None if kept is None else (kept.digest, reply_of_kept(kept))
