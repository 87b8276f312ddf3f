"""What every contender of the order benchmark is asked to do. Standard library only, for the peers.

The job: minute bars of K symbols; at every bar but a session's last, one order for each symbol.

``rest``: the limit orders of the bar before are cancelled, and buys are sent 5 % below the market, out of reach.
``fill``: a market order, bought at one bar and sold at the next; the next bar fills it whole at its open.
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

SHAPES = ("rest", "fill")
OPEN_PX, CLOSE_PX = 100.0, 100.2
"""Every bar rises from one to the other: nobody gains or loses, so the money lasts."""
LIMIT = 95.0
QTY = 150
CASH_PER_SYMBOL = 20_000
MINUTES = 390
MINUTE_NS = 60 * 10**9
DAY_NS = 24 * 60 * MINUTE_NS
OPEN_NS = 1_577_975_400_000_000_000
"""2020-01-02 14:30 UTC; a session a day from then on, whatever the calendar says."""


@dataclass
class Outcome:
    """What one contender measured.

    Attributes:
        wall, cpu: seconds of each repeat: from the first bar to the closed ledger, no imports, no making of bars.
        orders: submitted in a repeat.
        facts: whatever else the contender counted.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    orders: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Orders a second, of the middle repeat."""
        return self.orders / statistics.median(self.wall)

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU an order, of the middle repeat."""
        return statistics.median(self.cpu) * 1e6 / self.orders


def sessions_for(orders: int, symbols: int) -> list[int]:
    """Return for each session the number of its bars, so that just as many send as ``orders`` need."""
    decisions = -(-orders // symbols)
    full, rest = divmod(decisions, MINUTES - 1)
    return [MINUTES] * full + [rest + 1] * (rest > 0)


def ends(sessions: list[int]) -> frozenset[int]:
    """Return the stamps of the sessions' last bars: with them nothing is sent, it would find no bar to fill it."""
    return frozenset(OPEN_NS + number * DAY_NS + bars * MINUTE_NS for number, bars in enumerate(sessions))


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add to ``parser`` what every driver is told; return what this one was."""
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--orders", type=int, required=True, help="so many, rounded up to whole bars")
    parser.add_argument("--symbols", type=int, required=True, help="as many orders with every bar")
    parser.add_argument("--repeats", type=int, default=1)
    return parser.parse_args()


def measure(arrange: Callable[[], Callable[[], dict[str, Any]]], repeats: int) -> Outcome:
    """Do the job so many times; ``arrange`` makes, unmeasured, what then runs and counts."""
    outcome = Outcome()
    for _ in range(repeats):
        run = arrange()
        wall, cpu = time.perf_counter(), time.process_time()
        facts = run()
        outcome.wall.append(time.perf_counter() - wall)
        outcome.cpu.append(time.process_time() - cpu)
        outcome.orders = facts["orders"]
        outcome.facts = facts
    return outcome


def tell(outcome: Outcome) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
