"""The world that the gate is measured in: every check on, and something there for each of them to look at.

A real core is driven, not a picture of one: 260 sessions of minute bars with volumes and quotes, then 20 positions that
were bought and booked, 100 orders that rest (for each position a stop, two sales above the market, two buys below it),
and ticks of the last moment. Prices are seeded geometric walks with a common part: names are correlated, none of them
as much as the limits ask for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import msgspec  # noqa: E402 - run as a script
import numpy as np  # noqa: E402

from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits  # noqa: E402
from actors.messages.market import BarPanel, QuotePanel, SessionClosed, SessionOpened  # noqa: E402
from actors.messages.orders import BUY, SELL, OrderType, SubmitOrder, TimeInForce  # noqa: E402
from actors.messages.portfolio import DepositCash  # noqa: E402
from actors.risk.holdings import Working  # noqa: E402
from actors.risk.pretrade import Gate  # noqa: E402
from actors.values import Session, Universe, parse_interval  # noqa: E402
from config.params import broker_params, portfolio_specs  # noqa: E402
from config.risk_params import risk_limits  # noqa: E402
from config.sources import load_settings  # noqa: E402
from daemon.kernel.clock import VirtualClock  # noqa: E402
from daemon.system.composition import Core, CoreSpec, build_core  # noqa: E402

SYMBOLS, HELD, SECTORS, SESSIONS = 30, 20, 10, 260
CASH, PORTFOLIO, SHARES = 10_000_000, "main", 3_000
SCALE = 10**8
MINUTE, DAY = 60 * 10**9, 86_400 * 10**9
FIRST_OPEN = 1_577_975_400_000_000_000
"""2020-01-02 14:30 UTC; a session a day from then on, whatever the calendar says."""
STEPS = ((-0.05, "stop"), (0.03, "sale"), (0.04, "sale"), (-0.03, "buy"), (-0.04, "buy"))
"""What rests for each position: how far from the last price, and what."""


def every_limit(base: RiskLimits, names: tuple[str, ...]) -> RiskLimits:
    """Return the limits of ``base`` with all that are off switched on, wide enough for the orders that are measured."""
    return msgspec.structs.replace(
        base,
        max_positions=SYMBOLS,
        max_order_qty=10**6 * SCALE,
        deny_unknown_adv=True,
        no_entry_before_close_ns=MINUTE,
        pattern_day_trader=True,
        restricted=(names[-1],),
        max_gross_value=4 * CASH * SCALE,
        max_net=3.0,
        book_max_gross_value=5 * CASH * SCALE,
        book_max_leverage=3.0,
        book_max_position=0.2,
        risk_per_trade=0.1,
        max_heat=1.0,
        max_var=0.05,
        cooldown_sessions=1,
        cooldown_ns=10**9,
        stop_guard=4,
        symbols={names[k]: SymbolLimits(max_order_qty=10**5 * SCALE, max_position=0.15) for k in range(0, SYMBOLS, 3)},
        sectors={"sector 1": 0.3},
        portfolios={PORTFOLIO: PortfolioLimits(max_order_value=CASH // 10 * SCALE, max_leverage=1.9)},
        breakers={name: msgspec.structs.replace(rule, limit=rule.limit or 1e6) for name, rule in base.breakers.items()}
        or {"order_rate": BreakerRule(limit=1e6, window_ns=MINUTE)},
    )


class World:
    """A core with something to lose.

    Attributes:
        core: all its rooms.
        now: stamp of the last tick, nanoseconds UTC.
    """

    def __init__(self, account: str = "cash", *, seed: int = 7, sessions: int = SESSIONS) -> None:
        """Build it and bring it to where orders are measured.

        Args:
            account: ``cash`` or ``margin``.
            seed: of the prices.
            sessions: of history before the one that is measured.
        """
        names = tuple(f"S{k:02d}" for k in range(SYMBOLS))
        universe = Universe(names, sectors=tuple(f"sector {k % SECTORS}" for k in range(SYMBOLS)))
        sets = [f"portfolio.cash={CASH}", f"broker.account={account}"]
        settings = load_settings(file=None, profile="plan", sets=sets, environ={}).settings
        spec = CoreSpec(
            universe=universe,
            interval=parse_interval("1m"),
            bindings=(),
            decision_interval=None,
            broker=broker_params(settings),
            limits=every_limit(risk_limits(settings, replay=False), names),
            portfolios=tuple(
                msgspec.structs.replace(p, name=PORTFOLIO, strategies=()) for p in portfolio_specs(settings, {})
            ),
            seed=seed,
        )
        self.clock = VirtualClock()
        self.core: Core = build_core(spec, clock=self.clock, sink=_Nothing())
        self._dice = np.random.default_rng(seed)
        self._px = self._dice.uniform(60.0, 140.0, SYMBOLS)
        self._ids = np.arange(SYMBOLS, dtype=np.int32)
        self._n = 0
        self._day = 0
        self.now = 0
        self.put(DepositCash(PORTFOLIO, CASH * SCALE, "opening deposit"))
        for _ in range(sessions):
            session = self._open()
            self._bar(session, 1)
            self.put(SessionClosed(session.close_ts, session))
        session = self._open()
        self._bar(session, 1)
        for symbol in range(HELD):
            self.submit(symbol, BUY, SHARES)
        self._bar(session, 2)
        for symbol in range(HELD):
            for away, what in STEPS:
                self._rest(symbol, away, what)
        self._bar(session, 3)
        self.quote()

    # -- what happens ------------------------------------------------------------------------------------------------

    def put(self, message: Any) -> list[Any]:
        """Let the core process one input at the present instant."""
        stamp = getattr(message, "ts", 0)
        if stamp > self.clock.now():
            self.clock.advance_to(stamp)
        return self.core.sequencer.process(message, "bench")

    def _open(self) -> Session:
        start = FIRST_OPEN + self._day * DAY
        date = np.datetime64("2020-01-02") + self._day
        session = Session(int(str(date).replace("-", "")), start, start + 390 * MINUTE, self._day)
        self._day += 1
        move = 0.006 * self._dice.standard_normal() + 0.009 * self._dice.standard_normal(SYMBOLS)
        self._px = np.round(self._px * np.exp(move), 2)
        self.put(SessionOpened(start, session))
        return session

    def _bar(self, session: Session, minute: int) -> None:
        end = session.open_ts + minute * MINUTE
        px = self._px
        self.now = end
        self.put(
            BarPanel(
                ts=end,
                start_ts=end - MINUTE,
                session=session.date,
                daily=False,
                ids=self._ids,
                dense=True,
                open=px,
                high=px,
                low=px,
                close=px,
                close_fx=np.rint(px * SCALE).astype(np.int64),
                volume=np.full(SYMBOLS, 5e6),
                bid_close=px - 0.01,
                ask_close=px + 0.01,
            )
        )

    def quote(self, symbol: int | None = None, *, after_ms: int = 1) -> None:
        """Show a quote of every symbol, or of one, some time on; prices stay about where they are."""
        ids = self._ids if symbol is None else self._ids[symbol : symbol + 1]
        px, size = self._px[ids] + 0.01 * (self._n % 3), np.full(ids.size, 1e4)
        self._n += 1
        self.now += after_ms * 10**6
        self.put(QuotePanel(self.now, ids, px - 0.01, size, px + 0.01, size))

    def _rest(self, symbol: int, away: float, what: str) -> None:
        px = round(float(self._px[symbol]) * (1.0 + away), 2)
        kind, field = (OrderType.STOP, "stop_px") if what == "stop" else (OrderType.LIMIT, "limit_px")
        qty, side = {"stop": (SHARES, SELL), "sale": (SHARES // 4, SELL), "buy": (50, BUY)}[what]
        terms = {"type": kind, field: round(px * SCALE), "tif": TimeInForce.GTC, "reduce_only": what == "stop"}
        if what == "buy":
            terms |= {"strategy": "bench", "confidence": 0.9, "decision": 1, "reason": "signal"}
        self.submit(symbol, side, qty, **terms)

    def submit(self, symbol: int, side: int, qty: int, **fields: Any) -> str:
        """Send an order that has to pass; return its id."""
        order = self.order(symbol, side, qty, **fields)
        found = [type(event).__name__ for event in self.put(order)]
        if "OrderAccepted" not in found:
            raise AssertionError(found)
        return order.client_order_id

    # -- what is measured --------------------------------------------------------------------------------------------

    def order(self, symbol: int, side: int, qty: int, **fields: Any) -> SubmitOrder:
        """Return an order with an id of its own."""
        self._n += 1
        return SubmitOrder(f"b{self._n}", PORTFOLIO, symbol, side, qty * SCALE, **fields)

    def signal(self, symbol: int, side: int, qty: int, **fields: Any) -> SubmitOrder:
        """Return the same as a strategy sends it: with confidence and decision."""
        told = {"strategy": "bench", "confidence": 0.9, "decision": self._n, "reason": "signal"}
        return self.order(symbol, side, qty, **told, **fields)

    def symbols(self, count: int) -> Iterator[int]:
        """Yield symbols that may be entered, held and not, in turn."""
        for k in range(count):
            yield k % (SYMBOLS - 1)

    def market(self, count: int) -> list[SubmitOrder]:
        """Return market entries."""
        return [self.signal(symbol, BUY, 100 + k % 7) for k, symbol in enumerate(self.symbols(count))]

    def limit(self, count: int) -> list[SubmitOrder]:
        """Return limit entries a little below the market."""
        return [
            self.signal(symbol, BUY, 100 + k % 7, type=OrderType.LIMIT, limit_px=round(self._px[symbol] * 0.99 * SCALE))
            for k, symbol in enumerate(self.symbols(count))
        ]

    def exits(self, count: int) -> list[SubmitOrder]:
        """Return market sales of a part of what is held."""
        return [self.signal(k % HELD, SELL, 100 + k % 7) for k in range(count)]

    def replaces(self, count: int) -> list[tuple[Working, int, int]]:
        """Return working buys, each with the quantity and the limit it is to have."""
        working = [
            w
            for w in self.core.risk.exposure.working.values()
            if w.order.side == BUY and w.order.type is OrderType.LIMIT and w.limit_px is not None
        ]
        picked = [working[k % len(working)] for k in range(count)]
        return [(w, w.qty + SCALE * (k % 7), w.order.limit_px or 0) for k, w in enumerate(picked)]

    @property
    def gate(self) -> Gate:
        """The gate."""
        return self.core.risk._gate  # noqa: SLF001 - what is measured is inside


class _Nothing:
    """A sink that keeps nothing."""

    def append(self, frame: Any) -> None:
        """Drop."""
        del frame
