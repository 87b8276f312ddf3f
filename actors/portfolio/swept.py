"""Automatic exits that a kill or a flatten took from lots which are open still, so that they can be given back.

An exit ends for many reasons, and most of them stand: it was filled, its lot was closed, an operator cancelled it. What
is kept here is only what was swept away with everything else, or came too late and met a closed gate.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Swept(msgspec.Struct):
    """One exit of a lot that was swept away at least once.

    Attributes:
        again: orders that were to bring it back so far, taken or refused; it tells their ids apart.
        missing: whether it is to be brought back.
    """

    again: int = 0
    missing: bool = True


class SweptExits:
    """What was swept from one portfolio, by lot and by the exit's reason; forgotten with the lot."""

    __slots__ = ("_lots",)

    def __init__(self) -> None:
        self._lots: dict[str, dict[str, Swept]] = {}

    def __bool__(self) -> bool:
        """Whether anything was swept from a lot that is open still."""
        return bool(self._lots)

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of the lots, in order."""
        return iter(self._lots)

    def missing(self, lot_id: str) -> dict[str, int]:
        """Return the exits that a lot is to be given back: how often that was tried, by reason."""
        return {reason: exit_.again for reason, exit_ in self._lots.get(lot_id, {}).items() if exit_.missing}

    def fold_swept(self, lot_id: str, reason: str) -> None:
        """An exit of an open lot was swept away, or never came to work."""
        self._lots.setdefault(lot_id, {}).setdefault(reason, Swept()).missing = True

    def fold_answer(self, lot_id: str, reason: str, *, works: bool) -> bool:
        """An order for an exit was taken or refused; return whether it was to bring back a swept one."""
        found = self._lots.get(lot_id, {}).get(reason)
        if found is None:
            return False
        found.again += 1
        found.missing = not works
        return True

    def fold_closed(self, lot_id: str) -> None:
        """A lot is no more."""
        self._lots.pop(lot_id, None)

    def snapshot(self) -> list[tuple[str, str, int, bool]]:
        """Return plain values."""
        return [(lot, reason, e.again, e.missing) for lot, exits in self._lots.items() for reason, e in exits.items()]

    def restore(self, state: list[tuple[str, str, int, bool]]) -> None:
        """Take over what :meth:`snapshot` gave."""
        for lot_id, reason, again, missing in state:
            self._lots.setdefault(lot_id, {})[reason] = Swept(again, missing)
