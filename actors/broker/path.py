"""The path of prices inside a bar: open, the nearer extreme, the other extreme, close (semantics section 2).

Where both extremes are equally far from the open, the one that is worse for the position held comes first. A place on
the path is a leg (1 to 3) and a price on it; its time is the leg plus the part of the leg that is behind it, so that
the bars of an instant are walked at the same pace and the fills of different symbols have an order.
"""

from __future__ import annotations

from actors.broker.matching import Bar


class Path:
    """One bar's path in one direction."""

    __slots__ = ("_corners", "high_first")

    def __init__(self, bar: Bar, position: int) -> None:
        """Lay the path; the sign of ``position`` decides a tie of the extremes."""
        up = bar.high - bar.open
        down = bar.open - bar.low
        self.high_first = up < down or (up == down and position < 0)
        extremes = (bar.high, bar.low) if self.high_first else (bar.low, bar.high)
        self._corners = (bar.open, *extremes, bar.close)

    def corner(self, leg: int) -> int:
        """Return the price at the end of a leg; leg 0 ends at the open."""
        return self._corners[leg]

    def signed(self, leg: int) -> int:
        """Return a leg with the path's direction as its sign: negative where the low comes first."""
        return leg if self.high_first else -leg

    def time(self, leg: int, px: int) -> float:
        """Return when the path is at ``px`` on ``leg``; a leg without length is over at once."""
        start, end = self._corners[leg - 1], self._corners[leg]
        return leg + (px - start) / (end - start) if end != start else float(leg)

    def reach(self, level: int, leg: int, *, rising: bool, beyond: bool) -> int | None:
        """Return the leg on which the path comes to ``level``, from some place on ``leg`` on, or None.

        Args:
            level: a price that has not been reached at that place.
            leg: where to begin.
            rising: whether prices have to rise to it.
            beyond: whether the leg has to go beyond the level, rather than only to it.
        """
        for at in range(leg, 4):
            end = self._corners[at]
            gap = end - level if rising else level - end
            if gap > 0 or (gap == 0 and not beyond):
                return at
        return None
