"""Driver of nautilus_trader, for an environment that has it: its low-level engine, one strategy for all symbols."""

from __future__ import annotations

from typing import Any

import job
import nautilus_trader
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common.config import LoggingConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("SIM")


class Track:
    """One symbol's means and side."""

    def __init__(self, instrument: Equity) -> None:
        self.instrument = instrument
        self.fast = SimpleMovingAverage(job.FAST)
        self.slow = SimpleMovingAverage(job.SLOW)
        self.above: bool | None = None
        self.held = 0


class Cross(Strategy):
    """Buy a fixed amount when the fast mean crosses above the slow one; sell it when it crosses below."""

    def __init__(self, instruments: dict[BarType, Equity]) -> None:
        super().__init__()
        self.tracks = {bar_type: Track(instrument) for bar_type, instrument in instruments.items()}
        self.fills = 0

    def on_start(self) -> None:
        """Ask for every symbol's bars."""
        for bar_type in self.tracks:
            self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        """Decide on one symbol's bar."""
        track = self.tracks[bar.bar_type]
        track.fast.handle_bar(bar)
        track.slow.handle_bar(bar)
        if not track.slow.initialized:
            return
        above = track.fast.value > track.slow.value
        before, track.above = track.above, above
        if before is None or before is above:
            return
        if above:
            track.held = int(job.INVESTED * job.CASH_PER_SYMBOL / bar.close.as_double())
            self._send(track, OrderSide.BUY)
        elif track.held:
            self._send(track, OrderSide.SELL)

    def on_order_filled(self, event: OrderFilled) -> None:
        """Count."""
        del event
        self.fills += 1

    def _send(self, track: Track, side: OrderSide) -> None:
        quantity = Quantity.from_int(track.held)
        self.submit_order(self.order_factory.market(track.instrument.id, side, quantity))


def prepare(path: str) -> tuple[dict[BarType, Equity], list[Bar]]:
    """Return instruments and all bars in order of time."""
    frame = pd.read_parquet(path)
    daily = "date" in frame.columns
    stamp = "date" if daily else "ts"
    frame[stamp] = pd.to_datetime(frame[stamp], utc=True).astype("datetime64[ns, UTC]")
    # A bar is known when it ends.
    frame[stamp] += pd.Timedelta(hours=21) if daily else pd.Timedelta(minutes=1)
    instruments: dict[BarType, Equity] = {}
    bars: list[Bar] = []
    for symbol, part in frame.groupby("symbol", sort=True):
        instrument = equity(str(symbol))
        bar_type = BarType.from_str(f"{instrument.id}-1-{'DAY' if daily else 'MINUTE'}-LAST-EXTERNAL")
        instruments[bar_type] = instrument
        columns = part.set_index(stamp)[["open", "high", "low", "close", "volume"]]
        bars += BarDataWrangler(bar_type, instrument).process(columns)
    bars.sort(key=lambda bar: bar.ts_init)
    return instruments, bars


def equity(symbol: str) -> Equity:
    """Return a share in cents and whole numbers."""
    return Equity(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def arrange(data: tuple[dict[BarType, Equity], list[Bar]]) -> tuple[BacktestEngine, Cross]:
    """Return an engine that is ready to run."""
    instruments, bars = data
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USD,
        starting_balances=[Money(job.CASH_PER_SYMBOL * len(instruments), USD)],
    )
    for instrument in instruments.values():
        engine.add_instrument(instrument)
    engine.add_data(bars, sort=False)
    strategy = Cross(instruments)
    engine.add_strategy(strategy)
    return engine, strategy


def run(arranged: tuple[BacktestEngine, Cross]) -> int:
    """Replay; return the number of fills."""
    engine, strategy = arranged
    engine.run()
    fills = strategy.fills
    engine.dispose()
    return fills


if __name__ == "__main__":
    facts: dict[str, Any] = {"nautilus_trader": nautilus_trader.__version__}
    job.drive(prepare, run, facts, arrange=arrange)
