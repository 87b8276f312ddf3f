"""A real core under a test's hand: bars by number, calls as the control thread hands them over, frames kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.broker.params import BrokerParams
from actors.messages.market import BarPanel, SessionClosed, SessionOpened
from actors.messages.portfolio import DepositCash
from actors.messages.risk import TradingState
from actors.portfolio.params import PortfolioSpec
from actors.predictor.binding import StrategyBinding
from actors.risk.params import RiskLimits
from actors.values import Session, Universe, parse_interval
from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.journal.memory import MemoryJournal
from daemon.kernel.actor import Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Event, Message
from daemon.system.composition import CoreSpec, build_core
from daemon.system.desk import Standing, command_of, reply_of

OPEN = 1_577_975_400_000_000_000  # 2020-01-02T14:30:00Z
MINUTE = 60_000_000_000
CASH = 100_000 * 10**8
SYMBOLS = ("AAPL", "MSFT", "SPY")


class House:
    """A core on minute bars with two portfolios unless told otherwise; opens the session at once."""

    def __init__(
        self,
        *,
        portfolios: Sequence[str] = ("main",),
        symbols: Sequence[str] = SYMBOLS,
        bindings: Sequence[StrategyBinding] = (),
        broker: BrokerParams | None = None,
        limits: RiskLimits | None = None,
        sink: Any = None,
        deposit: int = CASH,
        daily: bool = False,
    ) -> None:
        self.universe = Universe(tuple(symbols))
        self.portfolios = tuple(portfolios)
        self.sink = sink or MemoryJournal()
        self.frames: list[Frame] = []
        names = tuple(b.name for b in bindings)
        self.spec = CoreSpec(
            universe=self.universe,
            interval=parse_interval("1d" if daily else "1m"),
            bindings=tuple(bindings),
            decision_interval=None,
            broker=broker or BrokerParams(),
            limits=limits or RiskLimits(replay=False),
            portfolios=tuple(PortfolioSpec(name, deposit, strategies=names) for name in portfolios),
            seed=0,
        )
        self.clock = VirtualClock()
        self.core = build_core(self.spec, clock=self.clock, sink=self)
        self.now = OPEN
        self.clock.advance_to(OPEN)
        self.core.sequencer.start()
        for name in portfolios:
            self.put(DepositCash(name, deposit, "opening deposit"), "control")
        self.session = Session(20200102, OPEN, OPEN + 390 * MINUTE, 0)
        self.put(SessionOpened(OPEN, self.session))

    def append(self, frame: Frame) -> None:
        """Keep a frame twice: for the test, and in the journal under test."""
        self.frames.append(frame)
        self.sink.append(frame)

    def put(self, message: Message, source: str = "feed") -> list[Event]:
        """Let an input in at the present instant."""
        return self.core.sequencer.process(message, source)

    def bar(self, *prices: float, spread: float = 0.0, volume: float = 1e6) -> list[Event]:
        """Let a minute pass and its bar in; one close per symbol, open = close, ``spread`` up and down."""
        start = self.now
        self.now += MINUTE
        self.clock.advance_to(self.now)
        close = np.array(prices, dtype=np.float64)
        n = len(close)
        return self.put(
            BarPanel(
                ts=self.now,
                start_ts=start,
                session=self.session.date,
                daily=False,
                ids=np.arange(n, dtype=np.int32),
                dense=n == len(self.universe),
                open=close,
                high=close + spread,
                low=close - spread,
                close=close,
                close_fx=np.rint(close * 1e8).astype(np.int64),
                volume=np.full(n, volume),
            )
        )

    def close(self) -> list[Event]:
        """Close the session."""
        self.now = max(self.now, self.session.close_ts)
        self.clock.advance_to(self.now)
        return self.put(SessionClosed(self.now, self.session))

    def open(self, *, day: int) -> list[Event]:
        """Open the session of a later day."""
        start = OPEN + day * 1440 * MINUTE
        self.session = Session(20200102 + day, start, start + 390 * MINUTE, day)
        self.now = start
        self.clock.advance_to(start)
        return self.put(SessionOpened(start, self.session))

    @property
    def standing(self) -> Standing:
        """The trading state as the shell knows it."""
        return Standing(self.core.risk.trading_state, self.core.risk.state_reason)

    def call(self, method: str, *, reason: str = "a test", key: str = "", uid: int = 7, **params: Any) -> Outcome:
        """Ask as a client would, and answer as the shell would."""
        call = make_call(method, reason=reason, key=key or f"k{len(self.frames)}", uid=uid, **params)
        command = command_of(call, self.universe, self.portfolios)
        events = self.put(command, "control")
        return reply_of(call, command, events, self.standing)

    def submit(self, **fields: Any) -> dict[str, Any]:
        """Submit an order and return the result."""
        outcome = self.call("order.submit", **{"symbol": "AAPL", "side": "buy", "qty": 10} | fields)
        assert outcome.result is not None, outcome
        return outcome.result

    @property
    def state(self) -> TradingState:
        """The trading state."""
        return self.core.risk.trading_state


def make_call(method: str, *, reason: str = "a test", key: str = "k", uid: int = 7, **params: Any) -> Call:
    """Return a checked call of an operator."""
    return Call(method, params, Peer(uid, uid, 4242, Role.ADMIN), reason, key)


def wait_until(condition: Any, seconds: float = 10.0) -> bool:
    """Poll a condition of another thread or process until it holds; False after the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False
