"""What a tick costs beside many orders that rest in its symbol, and a fill beside many lots: neither may grow.

    python ops/bench/crowd.py [--quick] [--json]

All rooms of the core, no ledger. CPU time of this process, the least of many ticks and of several batches of fills, so
that what else the machine does is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import msgspec  # noqa: E402
import numpy as np  # noqa: E402
import order_job as job  # noqa: E402
import own_orders  # noqa: E402
from table import grid  # noqa: E402

from actors.messages.market import QuotePanel, TradePanel  # noqa: E402
from actors.messages.orders import BUY, SELL, OrderType, SubmitOrder, TimeInForce  # noqa: E402
from actors.messages.portfolio import DepositCash  # noqa: E402
from daemon.kernel.actor import Frame  # noqa: E402
from daemon.kernel.clock import VirtualClock  # noqa: E402
from daemon.kernel.message import Event, Message  # noqa: E402
from daemon.system.composition import build_core  # noqa: E402

SCALE = own_orders.SCALE
CROWDS = (0, 100, 1_000, 20_000)
QUICK = (0, 100)
TICKS = 200
BATCH = 100
BATCHES = 5


class Nowhere:
    """Keeps no frames."""

    def append(self, frame: Frame) -> None:
        """Let go of it."""


class Market:
    """A core in an open session of one symbol."""

    def __init__(self) -> None:
        """Open the session and put money in."""
        spec, _ = own_orders.spec_for(1)
        limits = msgspec.structs.replace(spec.limits, max_order_qty=0, max_position=0.0, min_order_value=0)
        self.clock = VirtualClock()
        self.core = build_core(msgspec.structs.replace(spec, limits=limits), clock=self.clock, sink=Nowhere())
        opened, *_ = own_orders.bars([job.MINUTES], 1)
        self.put(opened, opened.ts)
        self.put(DepositCash(own_orders.PORTFOLIO, 10**8 * SCALE, "opening deposit"), opened.ts)
        self.ts = opened.ts
        self.orders = 0

    def put(self, message: Message, ts: int) -> list[Event]:
        """Process one input."""
        if ts > self.clock.now():
            self.clock.advance_to(ts)
        return self.core.sequencer.process(message, "bench")

    def order(self, side: int, limit: int | None) -> None:
        """Send an order for one share."""
        self.orders += 1
        kind, tif = OrderType.MARKET if limit is None else OrderType.LIMIT, TimeInForce.GTC
        made = SubmitOrder(f"o{self.orders}", own_orders.PORTFOLIO, 0, side, SCALE, kind, tif, limit, reason="script")
        (answer,) = self.put(made, self.ts)
        if type(answer).__name__ != "OrderAccepted":
            message = f"an order was not taken: {answer}"
            raise SystemExit(message)

    def quote(self) -> list[Event]:
        """Feed a quote around 100 that anybody finds enough in."""
        self.ts += 1_000_000
        columns = [np.array([value]) for value in (99.99, 1e6, 100.01, 1e6)]
        return self.put(QuotePanel(self.ts, np.zeros(1, dtype=np.int32), *columns), self.ts)

    def trade(self) -> list[Event]:
        """Feed a print of 100."""
        self.ts += 1_000_000
        columns = np.array([100.0]), np.array([100.0])
        return self.put(TradePanel(self.ts, np.zeros(1, dtype=np.int32), *columns), self.ts)


def ticks_beside(resting: int) -> dict[str, float]:
    """Return microseconds of a quote and of a print beside so many limits, a cent to two dollars away."""
    market = Market()
    market.quote()
    for n in range(resting):
        market.order(BUY, (9_800 + n % 199) * SCALE // 100)
    market.quote()
    found = {}
    for name, tick in (("quote", market.quote), ("print", market.trade)):
        tick()
        found[name] = min(_timed(tick) for _ in range(TICKS))
    return found


def fills_beside(lots: int) -> dict[str, float]:
    """Return microseconds an order of opening a lot beside so many, and of closing one."""
    market = Market()
    market.quote()
    _fill(market, BUY, lots)
    opened, closed = [], []
    for _ in range(BATCHES):
        opened.append(_fill(market, BUY, BATCH))
        closed.append(_fill(market, SELL, BATCH))
    return {"opening a lot": min(opened), "closing one": min(closed)}


def _fill(market: Market, side: int, count: int) -> float:
    """Send so many market orders, from the gate to the quote that fills them; return microseconds of each."""

    def run() -> None:
        for _ in range(count):
            market.order(side, None)
        fills = sum(type(event).__name__ == "OrderFilled" for event in market.quote())
        if fills != count:
            message = f"{fills} of {count} orders were filled"
            raise SystemExit(message)

    return _timed(run) / max(1, count)


def _timed(run: Any) -> float:
    begun = time.process_time()
    run()
    return (time.process_time() - begun) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small crowds: shows that it works")
    parser.add_argument("--json", action="store_true", help="print figures as JSON instead of a table")
    told = parser.parse_args()
    rows = [{"beside": n, **ticks_beside(n), **fills_beside(n)} for n in (QUICK if told.quick else CROWDS)]
    if told.json:
        sys.stdout.write(json.dumps({"schema": "tradingd.bench.crowd/1", "rows": rows}, indent=2) + "\n")
        return
    head = tuple(rows[0])
    cells = [[f"{row['beside']:,}", *(f"{row[key]:.1f}" for key in head[1:])] for row in rows]
    sys.stdout.write("us CPU beside so many orders that rest, or lots, in the same symbol\n" + grid(head, cells) + "\n")


if __name__ == "__main__":
    main()
