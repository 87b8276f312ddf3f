"""How long an order, a cancel or a replace is on its way to the venue: fixed, plus a draw from the run's seed.

The draw depends on the seed and the order's number alone, so nothing of it has to be kept: the same order is as slow
in every replay, before and after a recovery. Only quotes and trades are met later for it; bars are too coarse.
"""

from __future__ import annotations

from typing import Final

from daemon.kernel.ids import rng

KEPT_MAX: Final = 4096
"""Draws that are kept, so that an order that rests is not drawn with every tick; any can be drawn again."""


class Latency:
    """Nanoseconds from decision to venue, by order number.

    Attributes:
        none: everything arrives at once.
    """

    __slots__ = ("_base", "_drawn", "_jitter", "_seed", "none")

    def __init__(self, base_ns: int, jitter_ns: int, seed: int) -> None:
        """Read the switches.

        Args:
            base_ns: what every order takes.
            jitter_ns: up to so much more, uniformly.
            seed: of the run.
        """
        self._base = base_ns
        self._jitter = jitter_ns
        self._seed = seed
        self._drawn: dict[int, int] = {}
        self.none = not base_ns and not jitter_ns

    def of(self, n: int) -> int:
        """Return the latency of the order with number ``n`` and of what is asked of it later."""
        if not self._jitter:
            return self._base
        drawn = self._drawn.get(n)
        if drawn is None:
            if len(self._drawn) >= KEPT_MAX:
                self._drawn.clear()
            drawn = self._drawn[n] = self._base + rng(self._seed, "latency", n).randint(0, self._jitter)
        return drawn
