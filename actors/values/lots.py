"""Which lots a close takes: the one rule for whoever books it and whoever has to know beforehand.

The lot that is named comes first, then the oldest (``semantics.md`` section 3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar


class HasLot(Protocol):
    """A lot: its id, and its quantity in units of 1e-8, negative for short."""

    @property
    def lot_id(self) -> str:
        """Return the exec_id of the fill that opened it."""
        ...

    @property
    def qty(self) -> int:
        """Return what is left of it."""
        ...


L = TypeVar("L", bound=HasLot)


def portions(lots: Collection[L], qty: int, named: str = "") -> list[tuple[L, int]]:
    """Return what a close of ``qty`` > 0 takes of which lot, in order; parts have no sign and sum to ``qty``.

    Args:
        lots: of one position, oldest first; all of one sign.
        qty: to close.
        named: lot to take first, "" for none; one that is not there changes nothing.

    Raises:
        ValueError: the lots hold less than ``qty``.
    """
    order: Iterable[L] = lots
    if named:
        for first in lots:
            if first.lot_id == named:
                if qty <= abs(first.qty):
                    return [(first, qty)]
                order = [first, *(lot for lot in lots if lot is not first)]
                break
    taken = []
    for lot in order:
        size = abs(lot.qty)
        if qty <= size:
            taken.append((lot, qty))
            return taken
        taken.append((lot, size))
        qty -= size
    message = f"the lots are {qty} short of the position"
    raise ValueError(message)
