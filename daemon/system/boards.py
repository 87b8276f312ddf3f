"""Boards on their way to the public: what people look at is never ahead of the ledger.

A board is a picture of the core. Where everything that the core has stated is durable, it may be shown at once: quiet
market data, which promise nothing, may be ahead. Otherwise it is taken when a batch is handed over, goes along with it,
and is shown when that batch is durable, before the answers that the batch releases: whoever is told that trading is
halted sees it halted everywhere. A batch that a kill or a full disk drops takes its board with it.

Boards that go along are made on the way of a kill to the ledger, which no picture may stand in: one that cannot be made
is told and left out, and whoever shows boards otherwise fails on it in its own place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio
import msgspec

from daemon.system.board import Board
from daemon.system.board_facts import ShellFacts
from daemon.system.core_ports import Pending

BOARD_S: Final = 0.1
"""A board is taken at least this often while something happens."""
ORDERS_S: Final = 0.005
"""And this often where orders are answered in quick succession; a board costs some tenths of a millisecond."""
_MANY: Final = frozenset({"order.submit", "order.cancel", "order.replace"})


class Boards:
    """See the module.

    Attributes:
        shown: the newest one that may be seen; None before the first.
    """

    def __init__(
        self,
        take: Callable[[ShellFacts], Board],
        facts: Callable[[], ShellFacts],
        state: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        failed: Callable[[Exception], object],
    ) -> None:
        """Show nothing yet.

        Args:
            take: a board of the core as it is.
            facts: what the shell knows at the moment.
            state: the core's trading state; a change of it is due at once.
            monotonic: seconds.
            failed: told why a board that was to go along is missing.
        """
        self._take = take
        self._facts = facts
        self._state = state
        self._last_state = ""
        self._wanted = 0
        self._moved = anyio.Event()
        self._monotonic = monotonic
        self._failed = failed
        self._taken = float("-inf")
        self.shown: Board | None = None

    def differs(self, seq: int) -> bool:
        """Whether the core stands elsewhere than what is shown, or than what its measures are of."""
        shown = self.shown
        if shown is None or shown.seq != seq:
            return True
        return shown.observed is not None and shown.observed.seq != seq

    def behind(self, seq: int) -> bool:
        """Whether an input is not shown yet."""
        return self.shown is None or self.shown.seq < seq

    async def reached(self, seq: int) -> None:
        """Return once everything up to an input is durable, and shown."""
        self._wanted = seq
        while self.behind(seq):
            self._moved = anyio.Event()
            await self._moved.wait()

    def along(self, pending: Pending) -> Board | None:
        """Return a board to go along with a batch that ends where the core stands; None where none is due."""
        if not self._is_due(pending):
            return None
        try:
            return self._new()
        except Exception as error:  # noqa: BLE001 - told; what people see must not keep the core from going on
            self._failed(error)
            return None

    def _is_due(self, pending: Pending) -> bool:
        age = self._monotonic() - self._taken
        if age >= BOARD_S or self._state() != self._last_state or (self._wanted and self.behind(self._wanted)):
            return True
        if age >= ORDERS_S and pending.answers:
            return True
        return any(item.call and item.call.method not in _MANY for item, _ in pending.answers)

    def _new(self) -> Board:
        self._taken = self._monotonic()
        self._last_state = self._state()
        return self._take(self._facts())

    def durable(self, pending: Pending) -> None:
        """A batch is durable: show the board that went along with it."""
        if pending.board is None:
            return
        try:
            facts = self._renewed(pending.board)
        except Exception as error:  # noqa: BLE001 - told; the batch is durable and its answers wait
            self._failed(error)
            facts = pending.board.facts
        facts = msgspec.structs.replace(facts, seq=max(facts.seq, pending.seq))
        self._show(msgspec.structs.replace(pending.board, facts=facts))

    def _renewed(self, board: Board) -> ShellFacts:
        """Return the shell's facts as they are now; what is counted in the core, which is ahead, as it was."""
        return msgspec.structs.replace(self._facts(), alerts_unacked=board.facts.alerts_unacked)

    def now(self) -> None:
        """Show the core as it is: all that it has stated is durable."""
        self._show(self._new())

    def _show(self, board: Board) -> None:
        self.shown = board
        self._moved.set()

    def renew(self) -> None:
        """Show what the shell knows anew; the core has been waiting for the ledger for long."""
        if self.shown is not None:
            self.shown = msgspec.structs.replace(self.shown, facts=self._renewed(self.shown))
