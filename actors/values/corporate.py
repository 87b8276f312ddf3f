"""What a split does to quantities and prices: the one rule for whoever books it and whoever has to know beforehand.

A split gives ``numerator`` new shares for ``denominator`` old ones. A position is scaled as a whole and its lots so
that they sum to it: each is the difference of two scaled running totals. What does not make a whole lot size is not
kept but paid in cash, out of the oldest lots first. A price is divided by the same ratio. Everything is rounded half to
even at 1e-8, once.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.values.fixed import mul_ratio


class SplitLots(msgspec.Struct, frozen=True):
    """A position after a split.

    Attributes:
        scaled: (lot_id, signed quantity) before anything is paid in cash, oldest first.
        cut: (lot_id, quantity without sign) that is paid in cash, in order.
        kept: (lot_id, signed quantity) of what is left.
    """

    scaled: tuple[tuple[str, int], ...]
    cut: tuple[tuple[str, int], ...]
    kept: tuple[tuple[str, int], ...]

    @property
    def qty(self) -> int:
        """Signed quantity of the position that is left."""
        return sum(qty for _, qty in self.kept)


def split_lots(lots: Iterable[tuple[str, int]], numerator: int, denominator: int, lot_size: int) -> SplitLots:
    """Split a position.

    Args:
        lots: (lot_id, signed quantity), oldest first, all of one sign.
        numerator: new shares, above 0 ...
        denominator: ... for so many old ones, above 0.
        lot_size: smallest step of a position, units of 1e-8.
    """
    scaled: list[tuple[str, int]] = []
    before = after = 0
    for lot_id, qty in lots:
        before += qty
        total = mul_ratio(before, numerator, denominator)
        scaled.append((lot_id, total - after))
        after = total
    fraction = abs(after) % lot_size
    cut: list[tuple[str, int]] = []
    kept: list[tuple[str, int]] = []
    for lot_id, qty in scaled:
        part = min(abs(qty), fraction)
        fraction -= part
        left = qty - part if qty > 0 else qty + part
        if part or not left:  # dust that a reverse split rounds to nothing is closed, too
            cut.append((lot_id, part))
        if left:
            kept.append((lot_id, left))
    return SplitLots(tuple(scaled), tuple(cut), tuple(kept))


def split_px(px: int, numerator: int, denominator: int) -> int:
    """Return a price after a split, units of 1e-8; what was above 0 stays so."""
    return max(mul_ratio(px, denominator, numerator), 1) if px > 0 else px


def dividend_px(px: int, per_share: int) -> int:
    """Return a price without a dividend; one that is no more than the dividend stays as it is."""
    return px - per_share if px > per_share else px
