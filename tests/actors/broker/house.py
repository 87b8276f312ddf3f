"""A whole core for the broker: its orders pass the real gate, its fills reach the real portfolio."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.broker.params import BrokerParams
from actors.messages.orders import Fill, OrderFilled, OrderPartiallyFilled, OrderType, SubmitOrder, TimeInForce
from actors.messages.portfolio import DepositCash, PositionChanged
from actors.portfolio.params import PortfolioSpec
from actors.risk.params import RiskLimits
from actors.values import Universe, parse_interval
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Event, Message
from daemon.system.composition import Core, CoreSpec, build_core
from tests.actors.broker.desk import HOUR, Frames, fx, make_panel

OPEN_LIMITS = RiskLimits(
    min_order_value=0,
    max_order_value=0,
    max_order_fraction=0.0,
    max_position=0.0,
    max_positions=0,
    price_collar=0.0,
    stale_ns=0,
    duplicate_window_ns=0,
    daily_loss_warn=0.0,
    daily_loss_block=0.0,
    daily_loss_halt=0.0,
    max_drawdown=0.0,
)
SPEC = PortfolioSpec("main", 0, strategies=("s",))
"""Stop 3 %, target 10 %, for what the strategy ``s`` buys."""


class House:
    """Hourly bars of ``n`` symbols; orders go to the gate, ``main`` follows the strategy ``s``."""

    def __init__(
        self, broker: BrokerParams, *, n: int = 2, cash: float = 1_000_000, allow_short: bool = False, **spec: Any
    ) -> None:
        self.n = n
        self.spec = CoreSpec(
            universe=Universe(tuple(chr(65 + i) for i in range(n))),
            interval=parse_interval("1h"),
            bindings=(),
            decision_interval=None,
            broker=msgspec.structs.replace(broker, allow_short=allow_short),
            limits=msgspec.structs.replace(OPEN_LIMITS, allow_short=allow_short),
            portfolios=(msgspec.structs.replace(SPEC, allow_short=allow_short, **spec),),
            seed=0,
        )
        self.clock = VirtualClock(0)
        self.frames = Frames()
        self.core = self._build()
        self.hour = 0
        self.count = 0
        self.events: list[Event] = []
        self.put(DepositCash("main", fx(cash), "deposit"))

    def _build(self) -> Core:
        return build_core(self.spec, clock=self.clock, sink=self.frames)

    def split(self) -> None:
        """Go on in fresh actors from a snapshot."""
        snapshot = self.core.sequencer.snapshot()
        self.core = self._build()
        self.core.sequencer.restore(snapshot)

    def put(self, message: Message) -> list[Event]:
        """Process one input."""
        events = self.core.sequencer.process(message, "test")
        self.events += events
        return events

    def order(self, side: int, qty: float, **terms: Any) -> list[Event]:
        """Submit a market order of the strategy unless told otherwise; client ids are c1, c2 ..."""
        self.count += 1
        values: dict[str, Any] = {
            "client_order_id": f"c{self.count}",
            "portfolio": "main",
            "symbol": 0,
            "side": side,
            "qty": fx(qty),
            "type": OrderType.MARKET,
            "tif": TimeInForce.GTC,
            "strategy": "s",
            "decision": self.count,
        }
        return self.put(SubmitOrder(**{**values, **terms}))

    def bar(self, *rows: tuple[float, ...] | None, volume: Any = None) -> list[Event]:
        """Feed the next hour's bars (open, high, low, close), one per symbol; None leaves one out."""
        self.hour += 1
        self.clock.advance_to(self.hour * HOUR)
        rows += (None,) * (self.n - len(rows))
        return self.put(make_panel(rows, self.hour * HOUR, HOUR, 20200102, volume, n=self.n, daily=False))

    def lots(self, symbol: int = 0) -> list[tuple[str, int]]:
        """The lots of a symbol as the portfolio has them: (lot_id, signed quantity), oldest first."""
        return [(lot.lot_id, lot.qty) for lot in self.core.portfolio.portfolio("main").lots(symbol)]


def closings(events: list[Event]) -> list[tuple[Fill, tuple[tuple[str, int], ...]]]:
    """Every fill with what the portfolio says it closed."""
    booked = {event.exec_id: event.closed for event in events if isinstance(event, PositionChanged)}
    return [(e, booked[e.exec_id]) for e in events if isinstance(e, OrderFilled | OrderPartiallyFilled)]
