"""What every contender is asked to do, in numbers. Standard library only: peers run it in environments of their own.

The job: long when the 10-bar mean of closes crosses above the 30-bar mean, flat when it crosses below; a market order
at the crossing bar's close, filled at the next bar's open; no costs. Every symbol has the same share of the money.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

FAST = 10
SLOW = 30
CASH_PER_SYMBOL = 20_000
INVESTED = 0.9
"""Share of a symbol's money that a position takes; the rest is room for the open to differ from the close."""


@dataclass(frozen=True)
class Size:
    """One file of bars.

    Attributes:
        symbols, interval: ``1d`` or ``1m``.
        sessions: of the New York calendar, the last one in December 2025.
        quiet_every: in the quiet load only every this many-th symbol is traded; all are computed and marked.
    """

    name: str
    symbols: int
    interval: str
    sessions: int
    quiet_every: int


SIZES = (
    Size("2 daily", 2, "1d", 9_000, 2),
    Size("20 minute", 20, "1m", 50, 20),
    Size("500 daily", 500, "1d", 2_500, 250),
)
QUICK_SIZES = (
    Size("2 daily", 2, "1d", 1_000, 2),
    Size("20 minute", 20, "1m", 5, 20),
    Size("500 daily", 500, "1d", 250, 250),
)


@dataclass
class Result:
    """What one contender measured on one file.

    Attributes:
        wall, cpu: seconds of each repeat of the job itself: no start of Python, no import, no reading of the file.
        load: seconds from the file to what the contender runs on.
        fills: of one repeat.
        facts: whatever else the contender knows.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    load: float = 0.0
    fills: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def median_wall(self) -> float:
        """Seconds of the middle repeat."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """CPU seconds of the middle repeat."""
        return statistics.median(self.cpu)


def drive(
    prepare: Callable[[str], Any],
    run: Callable[[Any], int],
    facts: dict[str, Any],
    *,
    arrange: Callable[[Any], Any] = lambda data: data,
    warm: bool = False,
) -> None:
    """Be a driver: ``DRIVER --bars FILE --repeats N`` measures and prints one line of JSON.

    Args:
        prepare: reads the file.
        arrange: makes of that, before each repeat and unmeasured, what ``run`` takes.
        run: does the job once and returns the number of fills.
        facts: such as the contender's version.
        warm: do the job once before measuring (for what compiles on first use); its time becomes ``facts["first"]``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", required=True)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    result = Result(facts=facts)
    begun = time.perf_counter()
    data = prepare(arguments.bars)
    result.load = time.perf_counter() - begun
    if warm:
        begun = time.perf_counter()
        run(arrange(data))
        result.facts["first"] = time.perf_counter() - begun
    for _ in range(arguments.repeats):
        arranged = arrange(data)
        wall, cpu = time.perf_counter(), time.process_time()
        result.fills = run(arranged)
        result.wall.append(time.perf_counter() - wall)
        result.cpu.append(time.process_time() - cpu)
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
