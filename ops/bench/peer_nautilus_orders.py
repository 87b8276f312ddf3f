"""Driver of nautilus_trader for the order benchmark, for an environment that has it: its low-level engine.

The same job with its own risk engine and in-memory cache; it keeps no ledger on disk. A market order fills at once at
the last price of the bar that it came with, not at the next open.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import nautilus_trader
import order_job as job
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.events import OrderAccepted, OrderCanceled, OrderFilled
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy
from peer_nautilus import VENUE, equity


class Trader(Strategy):
    """Sends one order a bar and symbol, and counts what becomes of them."""

    def __init__(self, shape: str, bar_types: list[BarType], ends: frozenset[int]) -> None:
        super().__init__()
        self._ends = ends
        self._rest = shape == "rest"
        self._bar_types = bar_types
        self._decision = dict.fromkeys(bar_types, 0)
        self._open: dict[BarType, Any] = {}
        self._qty = Quantity.from_int(job.QTY)
        self._limit = Price.from_str(f"{job.LIMIT:.2f}")
        self.counts = {"orders": 0, "OrderAccepted": 0, "OrderCanceled": 0, "OrderFilled": 0}

    def on_start(self) -> None:
        """Ask for every symbol's bars."""
        for bar_type in self._bar_types:
            self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        """Cancel what rests of the symbol, and send the next order unless the session ends here."""
        bar_type = bar.bar_type
        resting = self._open.pop(bar_type, None)
        if resting is not None:
            self.cancel_order(resting)
        if bar.ts_init in self._ends:
            return
        symbol = bar_type.instrument_id
        if self._rest:
            order = self.order_factory.limit(
                symbol, OrderSide.BUY, self._qty, self._limit, time_in_force=TimeInForce.GTC
            )
            self._open[bar_type] = order
        else:
            side = OrderSide.SELL if self._decision[bar_type] % 2 else OrderSide.BUY
            order = self.order_factory.market(symbol, side, self._qty)
        self._decision[bar_type] += 1
        self.counts["orders"] += 1
        self.submit_order(order)

    def on_order_accepted(self, event: OrderAccepted) -> None:
        """Count."""
        del event
        self.counts["OrderAccepted"] += 1

    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Count."""
        del event
        self.counts["OrderCanceled"] += 1

    def on_order_filled(self, event: OrderFilled) -> None:
        """Count."""
        del event
        self.counts["OrderFilled"] += 1


def bars(bar_types: list[BarType], sessions: list[int]) -> list[Bar]:
    """Return the same minute bars that the others get, in order of time."""
    low, high = Price.from_str(f"{job.OPEN_PX:.2f}"), Price.from_str(f"{job.CLOSE_PX:.2f}")
    volume = Quantity.from_int(1_000_000)
    found = []
    for number, minutes in enumerate(sessions):
        for minute in range(1, minutes + 1):
            ts = job.OPEN_NS + number * job.DAY_NS + minute * job.MINUTE_NS
            found += [Bar(bar_type, low, high, low, high, volume, ts, ts) for bar_type in bar_types]
    return found


def arrange(shape: str, sessions: list[int], symbols: int) -> Callable[[], dict[str, Any]]:
    """Build an engine; return what runs it and counts."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USD,
        starting_balances=[Money(job.CASH_PER_SYMBOL * symbols, USD)],
    )
    instruments = [equity(f"S{k:03d}") for k in range(symbols)]
    bar_types = [BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL") for instrument in instruments]
    for instrument in instruments:
        engine.add_instrument(instrument)
    engine.add_data(bars(bar_types, sessions), sort=False)
    trader = Trader(shape, bar_types, job.ends(sessions))
    engine.add_strategy(trader)

    def run() -> dict[str, Any]:
        engine.run()
        found: dict[str, Any] = dict(trader.counts)
        engine.dispose()
        return found | {"version": nautilus_trader.__version__}

    return run


def main() -> None:
    """Measure one shape and print one line of JSON."""
    told = job.arguments(argparse.ArgumentParser())
    sessions = job.sessions_for(told.orders, told.symbols)
    job.tell(job.measure(lambda: arrange(told.shape, sessions, told.symbols), told.repeats))


if __name__ == "__main__":
    main()
