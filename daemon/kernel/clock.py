"""Clocks and timers. Time is a parameter: the sequencer reads the clock once per input and nobody else does."""

from __future__ import annotations

import heapq
import time
from typing import Protocol

from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Message


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> int:
        """Return nanoseconds since the epoch, UTC, never less than the answer before."""
        ...


class VirtualClock:
    """A clock that moves only when told to."""

    __slots__ = ("_now",)

    def __init__(self, start: int = 0) -> None:
        """Start at ``start`` nanoseconds."""
        self._now = start

    def now(self) -> int:
        """Return the present virtual instant."""
        return self._now

    def advance_to(self, ts: int) -> None:
        """Move forward to ``ts``.

        Raises:
            InvariantError: ``ts`` lies in the past.
        """
        if ts < self._now:
            message = f"the virtual clock was asked to go back from {self._now} to {ts}"
            raise InvariantError(message, code="CLOCK_BACKWARD")
        self._now = ts


class SystemClock:
    """The machine's clock with a guard: a step back holds time still and is counted, never shown.

    Wall time may be stepped by an operator or NTP; a stamp that goes back would break the total order.
    """

    __slots__ = ("_last", "regressions")

    def __init__(self) -> None:
        """Start at the present."""
        self._last = time.time_ns()
        self.regressions = 0

    def now(self) -> int:
        """Return the machine's time, held where the machine's clock stepped back."""
        ts = time.time_ns()
        if ts < self._last:
            self.regressions += 1
            return self._last
        self._last = ts
        return ts


class TimerHeap:
    """Commands due in the future, in order of (due, stage of who set it, order of setting).

    The stage comes before the order of setting so that the order of timers of one instant can be told from the
    state of the actors that set them, each of which knows only its own.
    """

    __slots__ = ("_heap", "_n")

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[int, int, int, Command]] = []
        self._n = 0

    def __len__(self) -> int:
        """Return the number of timers."""
        return len(self._heap)

    def push(self, due: int, command: Command, stage: int = 0) -> None:
        """Schedule ``command`` for ``due`` on behalf of the actor of ``stage``."""
        self._n += 1
        heapq.heappush(self._heap, (due, stage, self._n, command))

    def next_due(self) -> int | None:
        """Return when the next timer is due, or None."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> tuple[int, Command]:
        """Remove and return the next (due, command)."""
        due, _, _, command = heapq.heappop(self._heap)
        return due, command

    def discard(self, due: int, command: Message) -> None:
        """Remove the timer that would come first of all that bring ``command`` at ``due``, where there is one.

        Timers fire in order, so it is among the very first of the heap.
        """
        passed: list[tuple[int, int, int, Command]] = []
        heap = self._heap
        found = False
        while heap and heap[0][0] <= due and not found:
            entry = heapq.heappop(heap)
            found = entry[0] == due and entry[3] == command
            if not found:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(heap, entry)

    def entries(self) -> list[tuple[int, int, int, Command]]:
        """Return (due, stage, order, command) sorted.

        Orders are counted anew from 1, so that equal heaps give equal entries.
        """
        ordered = sorted(self._heap, key=lambda entry: entry[:3])
        return [(due, stage, n, command) for n, (due, stage, _, command) in enumerate(ordered, start=1)]

    def restore(self, entries: list[tuple[int, int, int, Command]]) -> None:
        """Replace everything by what :meth:`entries` gave."""
        self._heap = list(entries)
        heapq.heapify(self._heap)
        self._n = max((n for _, _, n, _ in entries), default=0)
