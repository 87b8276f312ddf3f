"""An event loop whose clock jumps to the next timer when nobody has anything to do.

An hour of back-off then passes in a millisecond and at the same instants on every machine. Time belongs to timers
alone: sockets that are ready are served first, but a worker thread or another process that is still busy is not
waited for while a timer is set.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio

T = TypeVar("T")
SPIN_LIMIT: Final = 100_000
"""Rounds without a wait after which the loop counts as spinning: some task refuses to be cancelled."""
DEADLOCK_S: Final = 10.0
"""Real seconds to wait for a socket or a thread when there is neither work nor a timer."""
ROUNDING_S: Final = 1e-6
NS: Final = 1_000_000_000


class VirtualDeadlockError(RuntimeError):
    """Every task waits, no timer is set, and nothing came from outside: the program would hang for ever."""


class _JumpingSelector(selectors.BaseSelector):
    """The real selector, except that it does not sleep: it moves the clock and returns."""

    def __init__(self, spin_limit: int, deadlock_s: float) -> None:
        self._real = selectors.DefaultSelector()
        self._spin_limit = spin_limit
        self._deadlock_s = deadlock_s
        self._rounds = 0
        self.next_timer: Callable[[], float | None] = lambda: None
        self.now = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; where nothing is, move the clock on by ``timeout`` seconds."""
        ready = self._real.select(0)
        if ready:
            return ready
        due = self.next_timer()
        if timeout is None or (timeout > 0 and due == math.inf):  # sleeping for ever is a timer at infinity
            ready = self._real.select(self._deadlock_s)
            if not ready:
                message = f"every task waits without a timer, and nothing came from outside in {self._deadlock_s:g} s"
                raise VirtualDeadlockError(message)
            return ready
        if timeout > 0:
            self._rounds = 0
            # Exactly to the timer, so that instants do not gather rounding errors; a far one is reached in steps.
            near = due is not None and due - self.now <= timeout + ROUNDING_S
            self.now = due if near and due is not None else self.now + timeout
            return []
        # Work is waiting. A cancelled task that will not end is woken again in every round, for ever.
        self._rounds += 1
        if self._rounds >= self._spin_limit and due is not None and due < math.inf:
            self._rounds = 0
            self.now = max(self.now, due)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time, in seconds."""

    def __init__(self, start: float = 0.0, *, spin_limit: int = SPIN_LIMIT, deadlock_s: float = DEADLOCK_S) -> None:
        """Start the clock.

        Args:
            start: seconds the clock shows at first.
            spin_limit: rounds in a row that never waited after which time goes on to the next timer all the same.
            deadlock_s: real seconds before a program without work and timers is given up.
        """
        self._jumping = _JumpingSelector(spin_limit, deadlock_s)
        self._jumping.now = start
        super().__init__(self._jumping)
        self._jumping.next_timer = self._next_timer

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self._jumping.now

    def _next_timer(self) -> float | None:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else None


class LoopClock:
    """A kernel clock that shows a loop's time, so that stamps and timers agree."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: int = 0) -> None:
        """Show ``epoch`` (nanoseconds UTC) when the loop's time is zero."""
        self._loop = loop
        self._epoch = epoch

    def now(self) -> int:
        """Return nanoseconds UTC."""
        return self._epoch + round(self._loop.time() * NS)


def run_virtual(
    function: Callable[..., Awaitable[T]],
    *args: object,
    start: float = 0.0,
    spin_limit: int = SPIN_LIMIT,
    deadlock_s: float = DEADLOCK_S,
) -> T:
    """Run an async function to its end on a loop of virtual time; the arguments are those of the loop.

    Raises:
        VirtualDeadlockError: the function waits for what will never come.
    """

    def factory() -> VirtualTimeLoop:
        return VirtualTimeLoop(start, spin_limit=spin_limit, deadlock_s=deadlock_s)

    return anyio.run(function, *args, backend="asyncio", backend_options={"loop_factory": factory})
