"""What one walk over all frames of a ledger tells of orders, kills and books; nothing of the frames is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderRestated,
)
from actors.messages.risk import TradingState, TradingStateChanged
from actors.portfolio.books import replay_books
from daemon.journal.check import Check
from daemon.journal.journal import StoredFrame
from daemon.kernel.errors import TradingdError
from daemon.kernel.message import Event

PROBLEMS_MAX: Final = 3
TELL_FRAMES: Final = 2_000
UNREADABLE: Final = (
    sqlite3.Error,
    msgspec.MsgspecError,
    TradingdError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)
"""What a row that was tampered with may raise: a finding, not a failure of the program."""

Progress = Callable[[str, int], object]
"""Told what is being looked at, and how many rows of it have been by now."""


def say_nothing(what: str, done: int) -> None:
    """Tell nobody."""
    del what, done


class Facts:
    """See the module.

    Attributes:
        events: how many there are.
        state: of trading, at the end.
        problem: why not all of it could be read, or "".
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.events = 0
        self.state = TradingState.ACTIVE
        self.problem = ""
        self._orders = _Orders()
        self._kills = 0
        self._after_kill = ""

    def walk(self, frames: Iterable[StoredFrame], progress: Progress) -> Iterator[Event]:
        """Take every frame and hand its events on; one that cannot be read ends it, see ``problem``."""
        count = 0
        try:
            for frame in frames:
                self.take(frame)
                yield from frame.events
                count += 1
                if not count % TELL_FRAMES:
                    progress("events", self.events)
        except UNREADABLE as error:
            self.problem = str(error)

    def take(self, frame: StoredFrame) -> None:
        """Take a frame."""
        self.events += len(frame.events)
        for event in frame.events:
            self._orders.take(event)
            if isinstance(event, TradingStateChanged):
                self.state = event.new
                self._kills += event.new is TradingState.KILLED
            elif self.state is TradingState.KILLED and isinstance(
                event, (OrderAccepted, OrderFilled, OrderPartiallyFilled)
            ):
                self._after_kill = self._after_kill or f"seq {frame.seq}: {type(event).__name__} while killed"

    def orders(self) -> Check:
        """No fill without a working order, none twice, never more than the quantity, nothing after the end."""
        orders = self._orders
        detail = "; ".join(orders.problems[:PROBLEMS_MAX]) or f"{len(orders.seen)} orders, {orders.fills} fills"
        return Check("orders", ok=not orders.problems, detail=detail)

    def kills(self) -> Check:
        """Nothing is accepted or filled while killed."""
        problem = self._after_kill
        return Check("nothing_after_kill", ok=not problem, detail=problem or f"{self._kills} kills")


def check_events(
    frames: Iterable[StoredFrame], *, from_first: bool, progress: Progress = say_nothing
) -> tuple[list[Check], Facts]:
    """Check what the events say of orders, kills and books, in one walk.

    Args:
        frames: all there are, in order.
        from_first: they begin with the first input ever; books cannot be kept from the middle on.
        progress: told now and then.
    """
    facts = Facts()
    events = facts.walk(frames, progress)
    if from_first:
        books = [Check(c.name, c.ok, c.detail) for c in replay_books(events).checks]
    else:
        for _ in events:
            pass
        detail = "cannot be folded: the first runs left the archive by [retention] archive_days"
        books = [Check("books", ok=True, detail=detail)]
    if facts.problem:
        return [Check("decode", ok=False, detail=facts.problem)], facts
    checks = [Check("decode", ok=True, detail=f"{facts.events} events"), *books]
    if from_first:
        checks += [facts.orders(), facts.kills()]
    return checks, facts


class _Orders:
    """Orders as their events tell it."""

    def __init__(self) -> None:
        self.open: dict[str, list[int]] = {}
        self.seen: dict[str, None] = {}
        self.execs: dict[str, None] = {}
        self.problems: list[str] = []
        self.fills = 0

    def take(self, event: Event) -> None:
        if isinstance(event, OrderAccepted):
            if event.order_id in self.seen:
                self.problems.append(f"{event.order_id} was accepted twice")
            self.seen[event.order_id] = None
            self.open[event.order_id] = [event.order.qty, 0]
        elif isinstance(event, (OrderFilled, OrderPartiallyFilled)):
            self._fill(event)
        elif isinstance(event, OrderRestated):
            if event.order_id in self.open:
                self.open[event.order_id] = [event.qty, event.cum_qty]
            else:
                self.problems.append(f"{event.order_id} was restated while not working")
        elif isinstance(event, OrderReplaced):
            if event.order_id in self.open:
                self.open[event.order_id][0] = event.qty
            else:
                self.problems.append(f"{event.order_id} was replaced while not working")
        elif isinstance(event, (OrderCanceled, OrderExpired)) and self.open.pop(event.order_id, None) is None:
            self.problems.append(f"{event.order_id} ended twice or was never accepted")

    def _fill(self, event: OrderFilled | OrderPartiallyFilled) -> None:
        self.fills += 1
        if event.exec_id in self.execs:
            self.problems.append(f"the fill {event.exec_id} stands there twice")
        self.execs[event.exec_id] = None
        terms = self.open.get(event.order_id)
        if terms is None:
            self.problems.append(f"{event.order_id} was filled while not working")
            return
        terms[1] += event.last_qty
        if terms[1] > terms[0] or event.last_qty <= 0 or terms[1] != event.cum_qty:
            self.problems.append(f"the fills of {event.order_id} do not add up to its quantity")
        if isinstance(event, OrderFilled):
            del self.open[event.order_id]
