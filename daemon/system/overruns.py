"""A strategy has a budget for each decision; one that overruns it again and again is switched off (design section 2.2).

The time is wall time, so it is measured here and not in the core: what follows from it is a recorded command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Watched(Protocol):
    """The part of the predictor that is watched."""

    on_call: Callable[[str, int], None] | None
    clock: Callable[[], int] | None


class Overruns:
    """Counts overruns in a row."""

    def __init__(self, budget_ms: int, overruns_max: int, disable: Callable[[str, str], None]) -> None:
        """Call ``disable(strategy, reason)`` at the ``overruns_max``-th overrun in a row; 0 for never."""
        self._budget_ns = budget_ms * 1_000_000
        self._max = overruns_max
        self._disable = disable
        self.in_a_row: dict[str, int] = {}
        self.slowest_ms: dict[str, float] = {}

    def watch(self, predictor: Watched) -> None:
        """Measure the calls of a predictor."""
        if self._budget_ns:
            predictor.clock = time.perf_counter_ns
            predictor.on_call = self.took

    def took(self, strategy: str, elapsed_ns: int) -> None:
        """Note how long a decision took."""
        self.slowest_ms[strategy] = max(self.slowest_ms.get(strategy, 0.0), elapsed_ns / 1e6)
        if elapsed_ns <= self._budget_ns:
            self.in_a_row[strategy] = 0
            return
        count = self.in_a_row.get(strategy, 0) + 1
        self.in_a_row[strategy] = count
        if self._max and count >= self._max:
            self.in_a_row[strategy] = 0  # switched on again, it has a new run of chances
            self._disable(
                strategy,
                f"{count} decisions in a row took longer than {self._budget_ns // 1_000_000} ms, the last "
                f"{elapsed_ns / 1e6:.1f} ms",
            )
