"""Random lives of a whole core under random limits, from a seed: what the tests of :mod:`test_random_risk` drive."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from actors.broker.params import BrokerParams
from actors.messages.catalogue import codec
from actors.messages.control import (
    ClockStepped,
    EnableStrategy,
    Flatten,
    Halt,
    Kill,
    Reduce,
    Reload,
    ResetBreaker,
    RestrictSymbol,
    Resume,
    SetLimits,
    Unlatch,
)
from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits
from actors.messages.market import (
    BarPanel,
    CorporateAction,
    FeedConnected,
    FeedLost,
    GapDetected,
    QuotePanel,
    SessionClosed,
    SessionOpened,
    TradePanel,
    TradingStatus,
)
from actors.messages.orders import (
    Bracket,
    CancelOrder,
    OrderAccepted,
    OrderDenied,
    OrderReplaced,
    OrderReplaceRequested,
    OrderTerms,
    OrderType,
    ReplaceOrder,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import DepositCash
from actors.messages.risk import BreakerTripped
from actors.messages.risk import TradingState as State
from actors.portfolio.params import PortfolioSpec
from actors.values import Session, Universe, parse_interval
from actors.values.fixed import SCALE, to_fixed
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import DeadLettered, InputQuarantined
from daemon.system.board import ShellFacts, build_board
from daemon.system.composition import Core, CoreSpec, build_core
from tests.system.naive_gate import Naive, plain

MINUTE = 60 * 10**9
DAY = 86_400 * 10**9
FIRST = 1_577_975_400_000_000_000
"""2020-01-02 14:30 UTC."""
LENGTH = 20 * MINUTE
LIMITS = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.TAKE_PROFIT)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
SETTING = ("reduce", "deleverage", "halt", "flatten")
MEASURED = {
    "weekly_loss": (0.01, 0.05), "monthly_loss": (0.08,), "loss_streak": (1.0, 3.0), "order_rate": (4.0, 15.0),
    "reject_rate": (0.5,), "fill_sanity": (0.05,), "slippage": (0.0005, 0.01), "connectivity": (30.0,),
    "clock_skew": (5.0,), "exposure": (0.5, 1.0), "volatility": (0.3,), "stale_data": (60.0,),
}  # fmt: skip


class Sink:
    """Keeps nothing."""

    def append(self, frame: Any) -> None:
        """Let go."""


class Machine:
    """A core with its clock."""

    def __init__(self, spec: CoreSpec, now: int, raw: bytes | None = None) -> None:
        self.clock = VirtualClock(now)
        self.core: Core = build_core(spec, clock=self.clock, sink=Sink())
        self.queue = self.core.sequencer
        if raw is not None:
            self.queue.restore(raw)

    def due(self, ts: int) -> int | None:
        """Return when the next timer fires, if by ``ts``."""
        due = self.queue.timers.next_due()
        return None if due is None or due > ts else max(due, self.clock.now())


def some_breakers(r: random.Random, density: float) -> dict[str, BreakerRule]:
    """Return rules of a few breakers."""
    return {
        name: BreakerRule(
            limit=r.choice(values),
            window_ns=MINUTE,
            min_count=4,
            action=r.choice(("warn", "block", "reduce", "deleverage", "halt", "flatten")),
            reset=r.choice(("operator", "cooling", "cooling")),
            cooling_ns=r.choice((0, MINUTE)),
            cooling_sessions=r.choice((0, 1)),
            fraction=r.choice((0.25, 1.0)),
        )
        for name, values in MEASURED.items()
        if r.random() < 0.3 * density
    }


def some_symbols(
    r: random.Random, maybe: Callable[..., Any], names: tuple[str, ...], density: float
) -> dict[str, SymbolLimits]:
    """Return limits of a few symbols."""
    return {
        name: SymbolLimits(
            max_order_qty=maybe(0.7, 60 * SCALE),
            max_order_value=maybe(0.7, 4_000 * SCALE),
            max_order_adv=maybe(0.3, 0.01),
            max_position=maybe(0.7, 0.05),
        )
        for name in names
        if r.random() < 0.4 * density
    }


def some_limits(r: random.Random, names: tuple[str, ...], sectors: tuple[str, ...], **fixed: Any) -> RiskLimits:
    """Return limits of which some bind, in general and by name."""
    density = r.choice((0.2, 0.5, 1.0))

    def maybe(p: float, *values: Any) -> Any:
        return r.choice(values) if r.random() < p * density else type(values[0])()

    breakers = some_breakers(r, density)
    symbols = some_symbols(r, maybe, names, density)
    return RiskLimits(
        min_order_value=r.choice((0, 100 * SCALE)),
        max_order_value=maybe(0.4, 10_000 * SCALE, 20_000 * SCALE),
        max_order_fraction=maybe(0.3, 0.15),
        max_order_qty=maybe(0.3, 200 * SCALE),
        max_position=maybe(0.8, 0.1, 0.2, 0.5),
        max_positions=maybe(0.6, 1, 2, 3),
        price_collar=maybe(0.7, 0.02, 0.1),
        min_confidence_buy=maybe(0.5, 0.65),
        min_confidence_sell=maybe(0.5, 0.6),
        cash_reserve=fixed.pop("cash_reserve", 102_000_000),
        stale_ns=r.choice((0, 5 * 10**9)),
        duplicate_window_ns=maybe(0.5, 10**9),
        require_reference=r.random() < 0.8,
        daily_loss_warn=0.01,
        daily_loss_block=maybe(0.5, 0.005, 0.02),
        daily_loss_halt=maybe(0.5, 0.05),
        max_drawdown=maybe(0.4, 0.1),
        replay_resume_sessions=r.choice((0, 1)),
        max_order_adv=maybe(0.3, 0.02),
        unusual_size=maybe(0.3, 3.0),
        unusual_size_orders=5,
        nbbo_tolerance=maybe(0.6, 0.01),
        order_rate=maybe(0.4, 1.0),
        order_burst=r.randint(2, 12),
        symbol_order_rate=maybe(0.4, 0.5),
        symbol_order_burst=r.randint(1, 5),
        message_rate=maybe(0.4, 2.0),
        message_burst=r.randint(3, 20),
        collar_period_ns=maybe(0.4, 2 * MINUTE),
        max_executions=maybe(0.3, 1, 3),
        executions_window_ns=5 * MINUTE,
        self_match_prevention=r.random() < 0.5,
        restricted=(names[0],) if r.random() < 0.15 else (),
        no_entry_before_close_ns=maybe(0.3, 3 * MINUTE),
        max_gross_value=maybe(0.4, 20_000 * SCALE, 60_000 * SCALE),
        max_leverage=maybe(0.5, 0.3, 0.8),
        max_net=maybe(0.4, 0.2, 0.5),
        book_max_gross_value=maybe(0.4, 30_000 * SCALE),
        book_max_leverage=maybe(0.4, 0.4),
        book_max_position=maybe(0.3, 0.1),
        max_sector=maybe(0.5, 0.15, 0.4),
        max_correlation=maybe(0.3, 0.8),
        correlation_shrink=0.4,
        correlation_sessions=10,
        max_cluster=maybe(0.3, 0.3),
        risk_per_trade=maybe(0.3, 0.02, 0.1),
        max_heat=maybe(0.3, 0.1, 0.5),
        utilization_warn=maybe(0.5, 0.9),
        cooldown_sessions=maybe(0.3, 1),
        cooldown_ns=maybe(0.3, 3 * MINUTE),
        stop_guard=maybe(0.3, 1, 2),
        stop_guard_sessions=2,
        symbols=symbols,
        sectors={name: 0.1 for name in sorted(set(sectors) - {""}) if r.random() < 0.3},
        portfolios={
            "main": PortfolioLimits(
                max_order_value=maybe(0.6, 6_000 * SCALE),
                max_position=maybe(0.6, 0.08),
                max_positions=maybe(0.6, 2),
                max_gross_value=maybe(0.4, 25_000 * SCALE),
                max_leverage=maybe(0.5, 0.4),
                max_net=maybe(0.4, 0.3),
                max_sector=maybe(0.5, 0.2),
                daily_loss_block=maybe(0.5, 0.003),
                daily_loss_halt=maybe(0.5, 0.02),
                max_drawdown=maybe(0.5, 0.05),
            )
        }
        if r.random() < 0.6 * density
        else {},
        breakers=breakers,
        **fixed,
    )


class Life:
    """One core, what was put into it, and the naive gate that looks on; any disagreement is an AssertionError."""

    def __init__(self, seed: int) -> None:
        r = self.r = random.Random(seed)  # noqa: S311 - a life is told by its seed
        self.seed, self.told = seed, Counter[str]()
        n = self.n = r.randint(2, 5)
        self.names = tuple("ABCDEFG"[: n + 1])  # the last one is what another may be renamed to
        self.sectors = (*(r.choice(("", "x", "y")) for _ in range(n)), "") if r.random() < 0.7 else ()
        self.portfolios = ("main", "two")[: r.randint(1, 2)]
        short, account = r.random() < 0.6, r.choice(("cash", "cash", "cash_strict", "margin"))
        self.fixed = {"allow_short": short, "replay": r.random() < 0.5, "cash_reserve": 102_000_000}
        self.account = account
        self.daily = r.random() < 0.25
        limits = self.limits()
        delay = r.choice((0, 0, 200_000_000))
        self.universe = Universe(self.names, sectors=self.sectors)
        self.spec = CoreSpec(
            universe=self.universe,
            interval=parse_interval("1d" if self.daily else "1m"),
            bindings=(),
            decision_interval=None,
            broker=BrokerParams(
                account=account, allow_short=short, latency_ns=delay, latency_jitter_ns=delay,
                participation=r.choice((0, 10_000_000, 50_000_000)), margin_call=r.choice(("liquidate", "warn")),
            ),
            limits=limits,
            portfolios=tuple(
                PortfolioSpec(
                    name, 100_000 * SCALE, allow_short=short, stop_loss=r.choice((0.0, 0.01)),
                    take_profit=r.choice((0.0, 0.02)),
                )
                for name in self.portfolios
            ),
            seed=seed,
        )  # fmt: skip
        self.px = [r.uniform(20, 150) for _ in range(n)]
        self.ids = list(range(n))
        """What symbol i is called by now."""
        self.orders, self.day, self.session = 0, 0, None
        self.kept: list[tuple[Any, ...]] = []
        self.naive = Naive(self.universe, self.portfolios, limits, account=account, daily=self.daily)
        self.mine = Machine(self.spec, 0)
        self.twin: Machine | None = None
        self.mine.queue.start()
        for name in self.portfolios:
            self.put(DepositCash(name, 100_000 * SCALE, "opening"))

    def limits(self, seed: float | None = None) -> RiskLimits:
        """Return other limits."""
        r = self.r if seed is None else random.Random(seed)  # noqa: S311
        return some_limits(r, self.names[: self.n], self.sectors, **self.fixed)

    # -- inputs --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Return the time."""
        return self.mine.clock.now()

    def put(self, body: Any, source: str = "test") -> list[Any]:
        """Put an input into every core; they must answer alike, and the naive gate must find nothing wrong."""
        events = self.mine.queue.process(body, source)
        if self.twin is not None:
            answer = self.twin.queue.process(body, source)
            assert written(answer) == written(events), self.where("a restored core answers otherwise", body)
        self.keep(body, source, events)
        return events

    def keep(self, body: Any, source: str, events: list[Any]) -> None:
        """Show the naive gate what happened."""
        ts = self.mine.queue.last_ts
        self.kept.append((ts, source, body, events))
        naive = self.naive
        naive.take(body, ts)
        if isinstance(body, ReplaceOrder) and any(
            isinstance(e, OrderReplaced | OrderReplaceRequested) and e.client_order_id == body.client_order_id
            for e in events
        ):
            w = naive.working[body.client_order_id]
            terms = (body.qty or w.qty, body.limit_px or w.limit, body.stop_px or w.stop)
            assert not (wrong := naive.replaced(body.client_order_id, *terms)), self.where(f"{wrong}", body, w.order)
            self.told["replaced"] += 1
        tripped = strict = False
        for e in events:
            assert not isinstance(e, InputQuarantined | DeadLettered), self.where(str(e), body)
            name = type(e).__name__
            self.told[f"denied {e.code}" if isinstance(e, OrderDenied) else name] += 1
            if isinstance(e, OrderAccepted) and e.order.terms is not None and e.order.terms.bracket_of:
                self.told["child"] += 1
            wrong = naive.tell(e)
            strict |= naive.state is not State.ACTIVE
            assert not wrong, self.where(f"{wrong}", body, getattr(e, "order", None))
            if isinstance(e, BreakerTripped):
                self.told[f"tripped {e.breaker} {e.action}"] += 1
                tripped |= e.action in SETTING
        if tripped:
            assert strict, self.where("a breaker that sets a state set none", body)
        for book in self.mine.core.risk.exposure.books.values():
            assert book.reserved >= 0, self.where("a negative reservation", body)
            assert book.proceeds >= 0, self.where("negative proceeds", body)
            for symbol, holding in book.holdings.items():
                counts = (holding.buys, holding.sells, holding.exits, holding.cuts)
                assert min(counts) >= 0, self.where(f"{counts} work in {symbol}", body)

    def until(self, ts: int) -> None:
        """Let time pass, with every timer on its way."""
        while (due := self.mine.due(ts)) is not None:
            self.fire(due, ts)
        for machine in filter(None, (self.mine, self.twin)):
            assert machine.due(ts) is None, self.where("a restored core has another timer", None)
            machine.clock.advance_to(ts)

    def fire(self, due: int, ts: int) -> None:
        """Fire what is due first, in every core."""
        fired = []
        for machine in filter(None, (self.mine, self.twin)):
            assert machine.due(ts) == due, self.where("a restored core has another timer", None)
            machine.clock.advance_to(due)
            fired.append(self._recorded(machine, ts))
        told = [[(ts, written([body]), source, written(events)) for ts, body, source, events in rows] for rows in fired]
        assert all(rows == told[0] for rows in told), self.where("a timer of a restored core does otherwise", None)
        for _, body, source, events in fired[0]:
            self.keep(body, source, events)

    @staticmethod
    def _recorded(machine: Machine, ts: int) -> list[Any]:
        rows: list[Any] = []
        process = machine.queue.process

        def record(body: Any, source: str, **more: Any) -> list[Any]:
            events = process(body, source, **more)
            rows.append((machine.queue.last_ts, body, source, events))
            return events

        machine.queue.process = record  # type: ignore[method-assign]
        try:
            machine.queue.fire_due(ts)
        finally:
            del machine.queue.process  # type: ignore[method-assign]
        return rows

    def where(self, what: str, body: Any, order: SubmitOrder | None = None) -> str:
        """Return what a failure is about."""
        said = "" if order is None else f" by {plain(order)}"
        return f"seed {self.seed}, input {len(self.kept)}, {self.naive.state}: {what}{said} behind {str(body)[:400]}"

    # -- days ----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the next session, perhaps behind a corporate action."""
        self.day += 1
        start = FIRST + self.day * DAY
        self.until(start)
        date = int(f"{datetime.fromtimestamp(start / 1e9, UTC):%Y%m%d}")
        self.session = Session(date, start, start + LENGTH, self.day)
        if self.day > 1 and self.r.random() < 0.15:
            self.act(date)
        self.put(SessionOpened(start, self.session), "feed")
        if not self.daily:
            self.bar()

    def act(self, date: int) -> None:
        """Split or rename a symbol."""
        r, i = self.r, self.r.randrange(self.n)
        if r.random() < 0.3 and self.ids == list(range(self.n)):
            self.put(CorporateAction(self.now, date, i, "rename", 0, renamed_to=self.n), "feed")
            self.ids[i] = self.n
            return
        new, old = r.choice(((2, 1), (3, 1), (3, 2), (1, 4)))
        action = CorporateAction(
            self.now, date, self.ids[i], "split", new * SCALE // old, numerator=new, denominator=old
        )
        self.put(action, "feed")
        self.px[i] *= old / new

    def end(self) -> None:
        """Close the session; on daily bars with its bar, as a rule."""
        assert self.session is not None
        if self.daily and self.r.random() < 0.95:
            self.bar()
        self.until(self.session.close_ts)
        self.put(SessionClosed(self.session.close_ts, self.session), "feed")
        self.session = None

    def bar(self) -> None:
        """Show a bar of most symbols; some have no volume, some none that is one."""
        r = self.r
        assert self.session is not None
        end = self.session.close_ts if self.daily else max((self.now // MINUTE + 1) * MINUTE, self.now + 1)
        start = self.session.open_ts if self.daily else end - MINUTE
        self.until(end)
        for i in range(self.n):
            leap = r.choice((-0.06, 0.06)) if r.random() < 0.03 else 0
            self.px[i] = max(1.0, self.px[i] * (1 + r.gauss(0, 0.004) + leap))
        rows = sorted((self.ids[i], i) for i in range(self.n) if r.random() < 0.95) or [(self.ids[0], 0)]
        close = np.array([round(self.px[i], 2) for _, i in rows])
        opens = np.array([round(x * (1 + r.gauss(0, 0.001)), 2) for x in close])
        high, low = np.maximum(close, opens) * 1.001, np.minimum(close, opens) * 0.999
        volume = np.array([float(r.choice((0, 1_000, 1e5, 1e6, np.nan))) for _ in rows])
        ids = np.array([i for i, _ in rows], dtype=np.int32)
        fixed = np.rint(close * SCALE).astype(np.int64)
        columns = (opens, high, low, close, fixed, volume)
        self.put(BarPanel(end, start, self.session.date, self.daily, ids, False, *columns), "feed")

    def tick(self) -> None:
        """Show a print or a quote, which may be wide, crossed, one-sided or no number."""
        r, i = self.r, self.r.randrange(self.n)
        self.until(self.now + r.randint(1, 10**9))
        ids, px = np.array([self.ids[i]], dtype=np.int32), self.px[i]
        if r.random() < 0.5:
            self.px[i] = px = px * (1 + r.gauss(0, 0.002))
            sizes = np.array([float(r.randint(1, 500))])
            self.put(TradePanel(self.now, ids, np.array([round(px, 2)]), sizes), "feed")
            return
        wide = r.choice((1.0002, 1.001, 1.05))
        bid, ask = r.choice(((px / wide, px * wide),) * 6 + ((px * wide, px / wide), (np.nan, px), (0.0, px)))
        size = np.array([300.0])
        self.put(QuotePanel(self.now, ids, np.array([round(bid, 4)]), size, np.array([round(ask, 4)]), size), "feed")

    # -- orders --------------------------------------------------------------------------------------------------------

    def order(self) -> SubmitOrder:
        """Return an order of any type, near the market as a rule, often of what is held."""
        r = self.r
        self.orders += 1
        i = r.randrange(self.n)
        px, symbol, name = self.px[i], self.ids[i], r.choice(self.portfolios)
        side = r.choice((1, 1, -1))
        kind = r.choice([*OrderType, *[OrderType.MARKET] * 6, *[OrderType.LIMIT] * 6])
        qty = r.choice((r.randint(1, 20), r.randint(20, 300), r.randint(1, 3) * 100)) * SCALE
        held = self.naive.pos[name, symbol]
        if held and r.random() < 0.4:
            side = -1 if held > 0 else 1
            half = abs(held) // 2 // SCALE * SCALE or SCALE
            qty = r.choice((max(abs(held) // SCALE * SCALE, SCALE), half, abs(held) // SCALE * SCALE + 50 * SCALE))

        def near() -> int:
            wide = (0.96, 1.04) if r.random() < 0.9 else (0.5, 1.5)
            return max(1, to_fixed(round(px * r.uniform(*wide), 2)))

        fields: dict[str, Any] = {}
        if kind in LIMITS:
            fields["limit_px"] = near()
        if kind in STOPS:
            fields["stop_px"] = near()
        tif = r.choice((TimeInForce.DAY, TimeInForce.GTC))
        if kind in (OrderType.MARKET_ON_OPEN, OrderType.MARKET_ON_CLOSE):
            tif = TimeInForce.OPG if kind is OrderType.MARKET_ON_OPEN else TimeInForce.CLS
        elif kind in (OrderType.MARKET, OrderType.LIMIT) and r.random() < 0.1:
            tif = r.choice((TimeInForce.IOC, TimeInForce.FOK))
        terms = None
        if kind is OrderType.TRAILING_STOP:
            terms = OrderTerms(trail_percent=r.randint(1, 5) * SCALE)
        elif kind in (OrderType.MARKET, OrderType.LIMIT) and r.random() < 0.15:
            target, stop = (max(1, to_fixed(round(px * (1 + 0.03 * side * way), 2))) for way in (1, -1))
            terms = OrderTerms(bracket=Bracket(take_profit_px=target, stop_px=stop))
        elif kind is OrderType.LIMIT and r.random() < 0.15:
            terms = OrderTerms(oco_group=r.choice("gh"))
        strategy = r.choice(("", "a", "b"))
        said: dict[str, Any] = {"reason": "operator"}
        if strategy:
            confidence = r.choice((None, 0.5, 0.62, 0.9, float("nan")))
            said = {"strategy": strategy, "confidence": confidence, "decision": r.randint(0, 99), "reason": "signal"}
        return SubmitOrder(
            f"c{self.orders}", name, symbol, side, qty, kind, tif, reduce_only=r.random() < 0.1, terms=terms,
            **fields, **said,
        )  # fmt: skip

    def change(self) -> None:
        """Replace or cancel an order that works."""
        r = self.r
        if not self.naive.working:
            return
        key = r.choice(sorted(self.naive.working))
        w = self.naive.working[key]
        if r.random() < 0.4:
            self.put(CancelOrder(key, "test"))
            return
        px = self.px[self.ids.index(w.symbol)] if w.symbol in self.ids else 50.0
        terms: dict[str, Any] = {}
        if r.random() < 0.6:
            terms["qty"] = max(0, w.qty + r.randint(-50, 100) * SCALE)
        for name, there in (("limit_px", w.limit), ("stop_px", w.stop)):
            if there and r.random() < 0.6:
                terms[name] = to_fixed(round(px * r.uniform(0.95, 1.05), 2))
        self.put(ReplaceOrder(key, **terms))

    # -- people --------------------------------------------------------------------------------------------------------

    def say(self) -> None:
        """Let somebody say something."""
        r = self.r
        if self.naive.state is not State.ACTIVE or r.random() < 0.1:
            self.put(Unlatch("test", "anna"))
            risk = self.mine.core.risk
            for row in list(risk.rows):
                self.put(ResetBreaker(row.portfolio, row.breaker, "test", "anna", row.subject))
            for name, guard in risk.guards.items():
                for breaker in guard.standing():
                    self.put(ResetBreaker(name, breaker, "test", "anna"))
            self.put(Resume("test", "anna"))
        else:
            commands = (Halt, Reduce, Kill, Flatten, Resume, Unlatch)
            self.put(r.choice(commands)("test", "anna"))

    def happen(self) -> None:
        """Let something else happen."""
        r, now, symbol = self.r, self.now, self.ids[self.r.randrange(self.n)]
        way = r.randrange(8)
        if way == 0:
            self.put(r.choice((FeedLost(now, "live", "cut"), FeedConnected(now, "live"))), "feed")
        elif way == 1:
            self.put(GapDetected(now, "live", now - 10**9, now), "feed")
        elif way == 2:
            self.put(TradingStatus(now, symbol, r.choice(("halted", "trading", "trading"))), "feed")
        elif way == 3:
            self.put(RestrictSymbol(symbol, r.random() < 0.3, "test", "anna"))
        elif way == 4:
            self.put(SetLimits(self.limits(r.random()), (("risk", "a", "b"),), "test", "anna"))
        elif way == 5:
            self.put(Reload("d", "anna", self.limits(r.random()) if r.random() < 0.5 else None))
        elif way == 6:
            self.put(r.choice((EnableStrategy("a", "test", "anna"), ClockStepped(6 * 10**9))))
        else:
            self.put(DepositCash(r.choice(self.portfolios), r.choice((1, -1)) * 1_000 * SCALE, "test"))

    def step(self) -> None:
        """Do one thing."""
        if self.session is None:
            self.begin()
            return
        if self.now >= self.session.close_ts - MINUTE or self.r.random() < self.rest:
            self.end()
            return
        x = self.r.random()
        if x < 0.34 and self.daily:
            self.end()
        elif x < 0.22:
            self.bar()
        elif x < 0.34:
            self.tick()
        elif x < 0.76:
            self.put(self.order())
        elif x < 0.86:
            self.change()
        elif x < 0.92:
            self.say()
        else:
            self.happen()

    rest = 0.02

    # -- restarts, and those who look ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Ask for everything that is shown; nothing changes by it."""
        before = self.mine.queue.snapshot()
        facts = ShellFacts(version="1", run_id="r", mode="playback", started_ns=0, commit_ns=0, seq=1)
        board = build_board(self.mine.core, self.universe, facts, now_ns=self.now)
        for shown in (board.limits_in_use, board.breakers, board.risk, board.positions, board.status):
            shown()
        assert self.mine.queue.snapshot() == before, self.where("who looks changes something", None)

    def cut(self) -> None:
        """Restore a core from a snapshot; both go on with the same inputs until the next cut."""
        raw = self.mine.queue.snapshot()
        if self.twin is not None:
            other = self.twin.queue.snapshot()
            assert other == raw, self.where(f"a restored core went elsewhere: {difference(raw, other)}", None)
        self.twin = Machine(self.spec, self.now, raw)
        self.twin.queue.rearm()
        assert (other := self.twin.queue.snapshot()) == raw, self.where(difference(raw, other), None)
        if self.r.random() < 0.5:
            self.mine, self.twin = self.twin, self.mine

    def refold(self) -> None:
        """Fold everything that was recorded, from nothing: the same core comes of it."""
        machine = Machine(self.spec, self.now)
        for n, (ts, source, body, events) in enumerate(self.kept, start=1):
            machine.queue.refold(n, ts, ts, body, events, source=source)
        machine.queue.rearm()
        raw, other = self.mine.queue.snapshot(), machine.queue.snapshot()
        assert other == raw, self.where(f"folded anew it is another core: {difference(raw, other)}", None)

    def tighten(self) -> None:
        """Limits by name beside the general ones deny more, never less: probe both with the same orders."""
        r = self.r
        general = msgspec.structs.replace(self.naive.limits, symbols={}, sectors={}, portfolios={})
        other = self.limits(r.random())
        named = msgspec.structs.replace(
            general, symbols=other.symbols, sectors=other.sectors, portfolios=other.portfolios
        )
        raw = self.mine.queue.snapshot()
        pair = [Machine(self.spec, self.now, raw) for _ in range(2)]
        for machine, limits in zip(pair, (general, named), strict=True):
            machine.queue.process(SetLimits(limits, (("risk", "a", "b"),), "test", "anna"), "test")
        for _ in range(4):
            order = self.order()
            wide, tight = (_passed(order, machine.queue.process(order, "test")) for machine in pair)
            assert wide >= tight, self.where("limits by name let pass what the general ones deny", None, order)
            if wide != tight:
                self.told["tightened"] += 1
                break


def written(messages: list[Any]) -> list[bytes]:
    """Return messages as a ledger has them; no number is equal to none there."""
    encode = codec().encode
    return [encode(message) for message in messages]


def _passed(order: SubmitOrder, events: list[Any]) -> set[str]:
    """Return what of an order passed: itself, or halves of it; what a breaker sells behind it is another matter."""
    ids = {e.order.client_order_id for e in events if isinstance(e, OrderAccepted)}
    return {name for name in ids if name.startswith(order.client_order_id)}


def difference(first: Any, second: Any, path: str = "") -> str:  # noqa: PLR0911 - one return a kind of value
    """Return where two snapshots differ first."""
    if isinstance(first, bytes) and isinstance(second, bytes) and first != second:
        try:
            return difference(msgspec.msgpack.decode(first), msgspec.msgpack.decode(second), f"{path}<>")
        except msgspec.DecodeError:
            return f"{path}: {first[:60]!r} and {second[:60]!r}"
    if isinstance(first, dict) and isinstance(second, dict):
        for key in {**first, **second}:
            if found := difference(first.get(key), second.get(key), f"{path}.{key}"):
                return found
        return ""
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for n, pair in enumerate(zip(first, second, strict=True)):
            if found := difference(*pair, f"{path}[{n}]"):
                return found
        return ""
    return "" if first == second else f"{path}: {str(first)[:200]} and {str(second)[:200]}"


def live(seed: int, steps: int) -> Life:
    """Live ``steps`` steps with a cut every twenty or so, and fold everything anew at the end."""
    life = Life(seed)
    r = life.r
    if r.random() < 0.5:
        for _ in range(12):  # so that correlations and volumes have a history
            life.begin()
            if not life.daily:
                life.bar()
            life.end()
    for n in range(steps):
        life.step()
        if n % 20 == 19:
            life.look()
            life.tighten()
            life.cut()
    life.cut()
    life.refold()
    return life
