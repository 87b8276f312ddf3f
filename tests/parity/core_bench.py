"""A small whole core under a test's hand: real actors, bars and commands one by one, every frame at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from actors.broker.params import BrokerParams
from actors.messages.market import BarPanel, GapDetected, SessionClosed, SessionOpened
from actors.messages.orders import SubmitOrder
from actors.messages.portfolio import DepositCash
from actors.portfolio.params import PortfolioSpec
from actors.predictor.binding import StrategyBinding
from actors.risk.params import RiskLimits
from actors.values import Universe, parse_interval
from actors.values.session import Session
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Event, Message
from daemon.system.composition import Core, CoreSpec, build_core
from daemon.system.invariants import check_core
from tests.parity.programs import MINUTE, SHARE, Kept, Recorder, again

HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
OPEN: Final = 1_577_975_400_000_000_000
"""2020-01-02 09:30 in New York."""
LENGTH: Final = 390 * MINUTE
FREE: Final = BrokerParams(
    commission_rate=0, slippage_rate=0, spread_rate=0, impact="none", participation=0, allow_short=True
)
WIDE: Final = RiskLimits(
    min_order_value=0,
    max_order_value=0,
    max_order_fraction=0,
    max_position=0,
    max_positions=0,
    price_collar=0,
    stale_ns=0,
    require_reference=False,
    allow_short=True,
    replay=False,
)
E = TypeVar("E", bound=Event)


class World:
    """A core, its clock, and what happened; prices start at 100 and stay unless a bar says otherwise."""

    def __init__(
        self,
        *,
        symbols: Sequence[str] = ("AA", "BB"),
        sectors: Sequence[str] = (),
        interval: str = "1m",
        broker: BrokerParams = FREE,
        limits: RiskLimits = WIDE,
        portfolios: Sequence[PortfolioSpec] = (),
        bindings: Sequence[StrategyBinding] = (),
        begin: bool = True,
    ) -> None:
        """Build and deposit."""
        self.spec = CoreSpec(
            universe=Universe(tuple(symbols), tuple(sectors)),
            interval=parse_interval(interval),
            bindings=tuple(bindings),
            decision_interval=None,
            broker=broker,
            limits=limits,
            portfolios=tuple(portfolios) or (PortfolioSpec("main", 100_000 * SHARE, stop_loss=0, take_profit=0),),
            seed=1,
        )
        self.clock = VirtualClock(OPEN - HOUR)
        self.core: Core = build_core(self.spec, clock=self.clock, sink=Recorder())
        self.kept: list[Kept] = []
        self.n = 0
        if begin:
            for spec in self.spec.portfolios:
                self.do(DepositCash(spec.name, spec.cash, "opening deposit"))

    # -- inputs --------------------------------------------------------------------------------------------------------

    def do(self, body: Message, source: str = "control", *, at: int | None = None) -> list[Event]:
        """Process one input, by default now; the books are checked behind it."""
        self.clock.advance_to(max(self.clock.now(), at or 0))
        sequencer = self.core.sequencer
        ts_event = at if source == "feed" else None
        events = sequencer.process(body, source, ts_event=ts_event)
        ts = sequencer.last_ts
        self.kept.append(Kept(sequencer.seq, ts, ts if ts_event is None else ts_event, source, body, again(events)))
        assert check_core(self.core) == []
        return events

    def session(self, number: int) -> Session:
        """Return a session by number, one a day."""
        return Session(20200102 + number, OPEN + number * DAY, OPEN + number * DAY + LENGTH, number)

    def open(self, number: int, *, late: int = 0) -> list[Event]:
        """Open a session."""
        session = self.session(number)
        return self.do(SessionOpened(session.open_ts, session), "feed", at=session.open_ts + late)

    def close(self, number: int, *, late: int = 0) -> list[Event]:
        """Close a session."""
        session = self.session(number)
        return self.do(SessionClosed(session.close_ts, session), "feed", at=session.close_ts + late)

    def bar(self, number: int, minute: int, *prices: float | None, low: float | None = None) -> list[Event]:
        """Let a bar of a session close: flat at these prices, None for no bar; ``low`` reaches down in all of them."""
        session = self.session(number)
        daily = self.spec.interval.is_daily
        start = session.open_ts if daily else session.open_ts + minute * MINUTE
        end = session.close_ts if daily else start + MINUTE
        told = prices or (100.0,) * len(self.spec.universe)
        ids = [i for i, price in enumerate(told) if price is not None]
        px = np.array([told[i] for i in ids], dtype=np.float64)
        panel = BarPanel(
            end,
            start,
            session.date,
            daily,
            np.array(ids, dtype=np.int32),
            len(ids) == len(self.spec.universe),
            px,
            px,
            px if low is None else np.full(len(ids), low),
            px,
            np.rint(px * SHARE).astype(np.int64),
            np.full(len(ids), 1e6),
        )
        return self.do(panel, "feed", at=end)

    def gap(self, since: int, until: int) -> list[Event]:
        """Miss the data between two instants."""
        return self.do(GapDetected(until, "playback", since, until), "feed", at=until)

    def order(self, symbol: int, side: int, qty: int, **fields: Any) -> list[Event]:
        """Send an operator's order."""
        self.n += 1
        name = fields.pop("name", f"o{self.n}")
        return self.do(SubmitOrder(name, fields.pop("portfolio", "main"), symbol, side, qty * SHARE, **fields))

    def hold(self, number: int, minute: int, *held: int) -> None:
        """Come to hold so many shares of each symbol with the bar of a minute."""
        for symbol, qty in enumerate(held):
            if qty:
                self.order(symbol, 1 if qty > 0 else -1, abs(qty))
        self.bar(number, minute)

    # -- looking -------------------------------------------------------------------------------------------------------

    def facts(self, kind: type[E]) -> list[E]:
        """Return all events of a kind."""
        return [event for row in self.kept for event in row.events if isinstance(event, kind)]

    @property
    def state(self) -> str:
        """The trading state."""
        return self.core.risk.trading_state.value

    def positions(self, portfolio: str = "main") -> dict[int, int]:
        """Return shares by symbol."""
        account = self.core.broker.account(portfolio)
        return {symbol: qty // SHARE for symbol, qty in account.positions.items()}

    # -- other lives ---------------------------------------------------------------------------------------------------

    def reborn(self, *, snapshot: bool, **changes: Any) -> World:
        """Return a world that recovered from this one's record, perhaps under another configuration.

        Args:
            snapshot: from the newest state, or else from the very first input.
            changes: fields of the core's parameters.
        """
        other = World.__new__(World)
        other.spec = msgspec.structs.replace(self.spec, **changes)
        other.clock = VirtualClock(self.clock.now())
        other.core = build_core(other.spec, clock=other.clock, sink=Recorder())
        other.kept = list(self.kept)
        other.n = self.n
        sequencer = other.core.sequencer
        if snapshot:
            sequencer.restore(self.core.sequencer.snapshot())
            panels = [row.body for row in self.kept]
            sequencer.warm(lambda count: panels[-count:])
        else:
            for row in self.kept:
                sequencer.refold(row.seq, row.ts, row.ts_event, row.body, row.events, source=row.source)
        sequencer.rearm()
        return other
