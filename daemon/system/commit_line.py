"""Batches on their way to the ledger: in order, one at a time, each released when it is durable and not before.

A commit that a kill overtook, or that found no room, goes back to the head of the line, and the line stands still until
the loop has seen to it. Any other failure ends the line, and with it the core: nothing is tried again blindly.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from daemon.journal.failures import CommitOvertaken, LedgerFullError
from daemon.system.core_ports import Pending, Writer

RETRY_S: Final = 0.25
RETRY_MAX_S: Final = 4.0
CALM_S: Final = 10.0
"""A disk that is full again within this after it took something counts as still full: the waits go on growing."""


class Retry:
    """When to look again whether there is room: at once, then after waits that double."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin where the disk is not full."""
        self._monotonic = monotonic
        self._ended = float("-inf")
        self._at = 0.0
        self._wait = RETRY_S

    def begin(self) -> None:
        """The disk is full."""
        now = self._monotonic()
        if now - self._ended >= CALM_S:
            self._wait = RETRY_S
            self._at = now
        else:
            self.tried()

    def left_s(self) -> float:
        """Return seconds until the next look; 0 or less: now."""
        return self._at - self._monotonic()

    def tried(self) -> None:
        """It is looked at now, or was in vain a moment ago."""
        self._at = self._monotonic() + self._wait
        self._wait = min(2 * self._wait, RETRY_MAX_S)

    def ended(self) -> None:
        """Something was written."""
        self._ended = self._monotonic()


class CommitLine:
    """See the module.

    Attributes:
        queue: what waits, oldest first.
        inflight: what is being committed, until it was released; None where nothing is.
        overtaken: a kill came before the head of the line, which waits.
        full: why there is no room for the head of the line, which waits; "" where there is.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        released: Callable[[Pending], None],
        refill: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        """Begin with nothing.

        Args:
            writer: of the ledger.
            released: told of each batch that has become durable.
            refill: called where nothing waits: whatever is ready may be put.
            wake: called at the end of every commit, however it ended.
        """
        self._writer = writer
        self._released = released
        self._refill = refill
        self._wake = wake
        self.queue: deque[Pending] = deque()
        self.inflight: Pending | None = None
        self.overtaken = False
        self.full = ""
        self._work = anyio.Event()

    @property
    def idle(self) -> bool:
        """Whether nothing is being committed and nothing waits."""
        return self.inflight is None and not self.queue

    def put(self, pending: Pending) -> None:
        """Add a batch at the end."""
        self.queue.append(pending)
        self._work.set()

    def go_on(self) -> None:
        """Try the head of the line again: a rolled back commit may be, once what was in its way was seen to."""
        self.overtaken = False
        self.full = ""
        self._work.set()

    def clear(self) -> list[Pending]:
        """Remove and return everything that waits; nothing may be in flight."""
        waiting = list(self.queue)
        self.queue.clear()
        return waiting

    async def run(self) -> None:
        """Commit until cancelled.

        Raises:
            LedgerBrokenError, InvariantError: what was in flight stays there; whether it is durable is not known.
        """
        while True:
            if not self.queue:
                self._refill()
            if not self.queue or self.overtaken or self.full:
                self._work = anyio.Event()
                await self._work.wait()
                continue
            self.inflight = pending = self.queue.popleft()
            try:
                await self._writer.commit(pending.batch)
            except CommitOvertaken:
                self.overtaken = True
                self.queue.appendleft(pending)
            except LedgerFullError as error:
                self.full = str(error)
                self.queue.appendleft(pending)
            else:
                self._released(pending)
            self.inflight = None
            self._wake()
