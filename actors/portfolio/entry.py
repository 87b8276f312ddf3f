"""What a decision would open, before and after sizes were cut."""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct):
    """What a decision would open; quantities in units of 1e-8 without sign.

    Attributes:
        base: held, or working towards it, on its side.
        qty: to be added; cut in place.
        px: last price.
        exempt: from automatic exits.
        strength: of the view behind it, never negative; the strongest get room first.
        less_alike, less_heat, less_room: the part of the whole position aimed at that was cut for each reason, the
            later ones of what the earlier left.
        bound: the limit that left no more room, "" where there was enough.
    """

    symbol: int
    side: int
    base: int
    qty: int
    px: int
    exempt: bool = False
    less_alike: float = 0.0
    less_heat: float = 0.0
    less_room: float = 0.0
    strength: float = 0.0
    bound: str = ""

    def cut(self, qty: int, lot_size: int) -> float:
        """Go down to a quantity, in whole lots; return the part of the whole position that this cuts."""
        whole, before = self.base + self.qty, self.qty
        self.qty = max(0, min(before, qty - qty % lot_size))
        return (before - self.qty) / whole if whole else 0.0
