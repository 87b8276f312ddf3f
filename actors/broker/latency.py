"""How long an order, a cancel or a replace is on its way to the venue: fixed, plus a draw from the run's seed.

The draw depends on the seed and the order's number alone, so nothing of it has to be kept: the same order is as slow
in every replay, before and after a recovery. Only quotes and trades are met later for it; bars are too coarse.
"""

from __future__ import annotations

from typing import Final

from actors.broker.order_state import WorkingOrder
from actors.values.order_names import opens_a_flip
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
        """Return the latency drawn for the number ``n``."""
        if not self._jitter:
            return self._base
        drawn = self._drawn.get(n)
        if drawn is None:
            if len(self._drawn) >= KEPT_MAX:
                self._drawn.clear()
            drawn = self._drawn[n] = self._base + rng(self._seed, "latency", n).randint(0, self._jitter)
        return drawn

    def of_order(self, order: WorkingOrder) -> int:
        """Return the latency of an order and of what is asked of it later.

        An order that turns a position around travels as one: the half that opens has the number behind the one that
        closes, and is as slow.
        """
        if not self._jitter:
            return self._base
        submitted = order.order
        return self.of(order.n - opens_a_flip(submitted.client_order_id, submitted.parent_id))
