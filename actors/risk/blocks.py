"""What stands against entries beside limits: breakers that block, and protections that lock for a while.

One place, so that the gate asks once and most orders pay one flag. Everything here is a fold of events
(``BreakerTripped``, ``BreakerReset``, ``EntriesLocked``) and of the calendar; the desks fold, the gate asks.

A breaker's block stands until its reset. A lock ends by itself: with an instant, or with the opening of a session. What
has ended is taken away when the next session opens; until then it is only not true any more.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from actors.messages.risk import EntriesLocked
from actors.risk.form import Denial
from actors.values.time import format_ts

EVERY: Final = -1
"""Symbol of what concerns every symbol."""


class Block(NamedTuple):
    """A breaker that denies entries, and which: of a portfolio ("": of all), a symbol (-1), a strategy ("")."""

    portfolio: str
    symbol: int
    strategy: str
    cause: str


class Blocks:
    """Blocks by breakers and locks by protections.

    Attributes:
        any: whether there is anything to ask about; the gate looks at nothing else while there is not.
    """

    __slots__ = ("_blocks", "_locks", "any")

    def __init__(self) -> None:
        """Begin with nothing in the way."""
        self.any = False
        self._blocks: dict[tuple[str, str, str], Block] = {}
        self._locks: dict[tuple[str, int, str], EntriesLocked] = {}

    # -- folds -----------------------------------------------------------------------------------------------------

    def block(self, key: tuple[str, str, str], block: Block) -> None:
        """Deny what ``block`` says on account of the breaker ``key`` (portfolio, name, subject)."""
        self._blocks[key] = block
        self.any = True

    def unblock(self, key: tuple[str, str, str]) -> None:
        """Deny nothing on account of that breaker any more."""
        if self._blocks.pop(key, None) is not None:
            self._recount()

    def fold_locked(self, event: EntriesLocked) -> None:
        """Lock; of two locks of a kind the later ends stay, as a second cause never shortens the first."""
        key = (event.portfolio, event.symbol, event.rule)
        old = self._locks.get(key)
        if old is not None:
            ends = max(event.until_ts, old.until_ts), max(event.until_session, old.until_session)
            event = EntriesLocked(*key, event.reason, *ends)
        self._locks[key] = event
        self.any = True

    def fold_opened(self, now: int, session: int) -> None:
        """Take away what has ended when the session of this number opened at ``now``."""
        if self._locks:
            self._locks = {key: lock for key, lock in self._locks.items() if _holds(lock, now, session)}
            self._recount()

    def move(self, symbol: int, new: int) -> None:
        """Let what stands against a symbol stand against its new name: what rests does not wake with another one."""
        self._blocks = {
            key: block._replace(symbol=new) if block.symbol == symbol else block for key, block in self._blocks.items()
        }
        for lock in [lock for lock in self._locks.values() if lock.symbol == symbol]:
            del self._locks[lock.portfolio, symbol, lock.rule]
            self.fold_locked(msgspec.structs.replace(lock, symbol=new))

    def _recount(self) -> None:
        self.any = bool(self._blocks or self._locks)

    # -- questions -------------------------------------------------------------------------------------------------

    def why(self, portfolio: str, symbol: int, strategy: str, now: int, session: int) -> Denial | None:
        """Return why an entry is not let in, None where nothing stands against it.

        Args:
            portfolio: of the order.
            symbol: of the order.
            strategy: of the order, "" for none.
            now: stamp of the input, nanoseconds UTC.
            session: number of the session (:attr:`~actors.risk.prices.Prices.session`).
        """
        for (_, breaker, _), block in self._blocks.items():
            if (
                block.portfolio in ("", portfolio)
                and block.symbol in (EVERY, symbol)
                and block.strategy in ("", strategy)
            ):
                reason = f"the breaker {breaker} blocks new entries ({block.cause}) until it is armed again"
                return Denial("ENTRIES_BLOCKED", reason)
        for lock in self._locks.values():
            if lock.portfolio == portfolio and lock.symbol in (EVERY, symbol) and _holds(lock, now, session):
                return Denial("COOLDOWN", f"{lock.reason}; enter {when(lock, session)}")
        return None

    def locks(self) -> list[EntriesLocked]:
        """Return the locks that have not been taken away, in the order in which they came."""
        return list(self._locks.values())

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        blocks = [[*key, *block] for key, block in self._blocks.items()]
        locks = [[x.portfolio, x.symbol, x.rule, x.reason, x.until_ts, x.until_session] for x in self._locks.values()]
        return [blocks, locks]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave; [] of an older version, which knew none."""
        blocks, locks = state or ([], [])
        self._blocks = {(p, name, subject): Block(*rest) for p, name, subject, *rest in blocks}
        self._locks = {(p, symbol, rule): EntriesLocked(p, symbol, rule, *rest) for p, symbol, rule, *rest in locks}
        self._recount()


def when(lock: EntriesLocked, session: int) -> str:
    """Say when a lock ends, seen from the session of this number."""
    left = lock.until_session - session
    parts = [f"after {format_ts(lock.until_ts)}"] if lock.until_ts else []
    if left > 0:
        parts.append("once the next session has opened" if left == 1 else f"once {left} more sessions have opened")
    return " and ".join(parts)


def _holds(lock: EntriesLocked, now: int, session: int) -> bool:
    return now < lock.until_ts or session < lock.until_session
