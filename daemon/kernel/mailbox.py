"""Bounded mailboxes: a deque, a bound and a policy for when it is full. Nothing waits here; that is the shell's job."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from enum import IntEnum, StrEnum
from typing import Any, Final

import msgspec

from daemon.kernel.message import Message


class Overflow(StrEnum):
    """What happens to a message that finds the mailbox full."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"
    CONFLATE = "conflate"
    REJECT = "reject"


class Offer(StrEnum):
    """What became of an offered message."""

    QUEUED = "queued"
    CONFLATED = "conflated"
    DROPPED_OLDEST = "dropped_oldest"
    FULL = "full"
    """The sender must wait and offer again (policy ``block``)."""
    REJECTED = "rejected"


class Lane(IntEnum):
    """Who goes first under load; the stamp order, not the lane, is truth afterwards."""

    CONTROL = 0
    EXECUTION = 1
    COMMAND = 2
    MARKET = 3


class MailboxSpec(msgspec.Struct, frozen=True):
    """Bound and policy of a mailbox.

    Attributes:
        capacity: messages held at most.
        overflow: policy at the bound.
        key: for ``conflate``, the message's identity; a queued message of the same key is replaced in place.
    """

    capacity: int = 10_000
    overflow: Overflow = Overflow.BLOCK
    key: Callable[[Any], Hashable] | None = None


class Mailbox:
    """A bounded queue with counters."""

    __slots__ = ("_by_key", "_queue", "conflated", "dropped", "rejected", "spec")

    def __init__(self, spec: MailboxSpec) -> None:
        """Build an empty mailbox."""
        if spec.capacity < 1:
            message = f"a mailbox needs a capacity of at least 1, not {spec.capacity}"
            raise ValueError(message)
        if (spec.overflow is Overflow.CONFLATE) != (spec.key is not None):
            message = "a key is needed for the policy conflate, and for that policy only"
            raise ValueError(message)
        self.spec = spec
        self._queue: deque[list[Any]] = deque()
        self._by_key: dict[Hashable, list[Any]] = {}
        self.dropped = 0
        self.conflated = 0
        self.rejected = 0

    def __len__(self) -> int:
        """Return the number of queued messages."""
        return len(self._queue)

    def offer(self, message: Message) -> Offer:
        """Queue ``message`` or do what the policy says."""
        spec = self.spec
        if spec.key is not None:
            return self._offer_conflating(message, spec.key(message))
        if len(self._queue) < spec.capacity:
            self._queue.append([message, None])
            return Offer.QUEUED
        if spec.overflow is Overflow.DROP_OLDEST:
            self._queue.popleft()
            self.dropped += 1
            self._queue.append([message, None])
            return Offer.DROPPED_OLDEST
        if spec.overflow is Overflow.REJECT:
            self.rejected += 1
            return Offer.REJECTED
        return Offer.FULL

    def _offer_conflating(self, message: Message, key: Hashable) -> Offer:
        cell = self._by_key.get(key)
        if cell is not None:
            cell[0] = message
            self.conflated += 1
            return Offer.CONFLATED
        outcome = Offer.QUEUED
        if len(self._queue) >= self.spec.capacity:
            oldest = self._queue.popleft()
            del self._by_key[oldest[1]]
            self.dropped += 1
            outcome = Offer.DROPPED_OLDEST
        cell = [message, key]
        self._by_key[key] = cell
        self._queue.append(cell)
        return outcome

    def take(self) -> Message | None:
        """Remove and return the oldest message, or None."""
        if not self._queue:
            return None
        message, key = self._queue.popleft()
        if self.spec.key is not None:
            del self._by_key[key]
        return message  # type: ignore[no-any-return]

    def drain(self, limit: int) -> list[Message]:
        """Remove and return up to ``limit`` messages, oldest first."""
        batch: list[Message] = []
        while len(batch) < limit and (message := self.take()) is not None:
            batch.append(message)
        return batch


LANE_SPECS: Final[dict[Lane, MailboxSpec]] = {
    Lane.CONTROL: MailboxSpec(1_000, Overflow.REJECT),
    Lane.EXECUTION: MailboxSpec(100_000, Overflow.BLOCK),
    Lane.COMMAND: MailboxSpec(10_000, Overflow.REJECT),
    Lane.MARKET: MailboxSpec(10_000, Overflow.BLOCK),
}


class LaneQueue:
    """Four mailboxes in front of the sequencer; :meth:`take` serves the lowest lane that has something."""

    __slots__ = ("lanes",)

    def __init__(self, specs: dict[Lane, MailboxSpec] | None = None) -> None:
        """Build with :data:`LANE_SPECS` or other bounds."""
        chosen = LANE_SPECS if specs is None else specs
        self.lanes = tuple(Mailbox(chosen[lane]) for lane in Lane)

    def offer(self, lane: Lane, message: Message) -> Offer:
        """Queue ``message`` on ``lane``."""
        return self.lanes[lane].offer(message)

    def take(self) -> Message | None:
        """Remove and return the next message by lane, or None."""
        for mailbox in self.lanes:
            message = mailbox.take()
            if message is not None:
                return message
        return None

    def __len__(self) -> int:
        """Return the number of queued messages over all lanes."""
        return sum(len(mailbox) for mailbox in self.lanes)
