"""A small world around the real risk actor: the real sequencer, a broker and a portfolio reduced to their messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pytest

from actors.messages.catalogue import EVENTS, codec
from actors.messages.control import DisableStrategy
from actors.messages.market import BarPanel, SessionClosed, SessionOpened
from actors.messages.orders import (
    BUY,
    CancelAll,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderType,
    ReplaceOrder,
    RouteOrder,
    RouteReplace,
    SubmitOrder,
)
from actors.messages.portfolio import (
    CashFlowed,
    ClosePositions,
    CutPositions,
    DepositCash,
    EquityMarked,
    PositionChanged,
    SessionRolled,
)
from actors.risk.actor import RiskActor
from actors.risk.params import RiskLimits
from actors.values.fixed import SCALE, mul, to_fixed
from actors.values.session import Session
from actors.values.universe import Universe
from daemon.kernel.actor import Context, CoreActor, Frame, decides, evolves
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Command, Event
from daemon.kernel.sequencer import Sequencer

MINUTE = 60 * 10**9
DAY = 24 * 60 * MINUTE
OPEN = 14 * 60 * MINUTE + 30 * MINUTE
CLOSE = 21 * 60 * MINUTE


class FillNow(Command, tag=9001, frozen=True):
    """Test input: fill these shares of working orders, all in one decision."""

    fills: tuple[tuple[str, int, int], ...]


class Mark(Command, tag=9002, frozen=True):
    """Test input: the portfolio's equity is this."""

    portfolio: str
    equity: int
    gross: int = 0


class State(Command, tag=9003, frozen=True):
    """Test input: emit any event of other rooms."""

    events: tuple[Any, ...]


class Venue(CoreActor):
    """Takes every order; fills when told to."""

    name = "broker"
    emits: ClassVar[tuple[type[Event], ...]] = (
        OrderAccepted,
        OrderCanceled,
        OrderReplaced,
        OrderFilled,
        OrderPartiallyFilled,
    )

    def __init__(self) -> None:
        self.orders: dict[str, list[Any]] = {}

    @decides(RouteOrder)
    def route(self, command: RouteOrder, ctx: Context) -> None:
        """Accept."""
        ctx.emit(OrderAccepted(f"o{len(self.orders)}", command.order, command.reserved, ctx.now))

    @evolves(OrderAccepted)
    def accepted(self, event: OrderAccepted) -> None:
        """Keep [order, qty, filled]."""
        self.orders[event.order.client_order_id] = [event.order, event.order.qty, 0]

    @decides(RouteReplace)
    def route_replace(self, command: RouteReplace, ctx: Context) -> None:
        """Accept the new terms."""
        c = command
        ctx.emit(OrderReplaced("o", c.client_order_id, c.qty, c.limit_px, c.stop_px, c.reserved, ctx.now))

    @evolves(OrderReplaced)
    def replaced(self, event: OrderReplaced) -> None:
        """Take over the quantity."""
        self.orders[event.client_order_id][1] = event.qty

    @decides(CancelOrder)
    def cancel(self, command: CancelOrder, ctx: Context) -> None:
        """Cancel."""
        if command.client_order_id in self.orders:
            ctx.emit(OrderCanceled("o", command.client_order_id, 0, command.reason))

    @decides(CancelAll)
    def cancel_all(self, command: CancelAll, ctx: Context) -> None:
        """Cancel everything, or every buy."""
        for order_id, (order, _, _) in self.orders.items():
            if command.scope == "all" or (order.side == BUY and not order.reduce_only):
                ctx.emit(OrderCanceled("o", order_id, 0, command.reason))

    @evolves(OrderCanceled)
    def canceled(self, event: OrderCanceled) -> None:
        """Forget."""
        self.orders.pop(event.client_order_id)

    @decides(FillNow)
    def fill(self, command: FillNow, ctx: Context) -> None:
        """Fill as told, in one decision."""
        for n, (order_id, qty, px) in enumerate(command.fills):
            order, total, done = self.orders[order_id]
            cum = done + qty
            kind = OrderFilled if cum == total else OrderPartiallyFilled
            ctx.emit(
                kind(
                    order_id="o",
                    client_order_id=order_id,
                    exec_id=f"x{ctx.seq}-{n}",
                    portfolio=order.portfolio,
                    symbol=order.symbol,
                    side=order.side,
                    last_qty=qty,
                    last_px=px,
                    ref_px=px,
                    cum_qty=cum,
                    leaves_qty=total - cum,
                    avg_px=px,
                    commission=0,
                    regulatory=0,
                    spread=0,
                    slippage=0,
                    impact=0,
                    px_source="open",
                    liquidity="taker",
                    strategy=order.strategy,
                    reason=order.reason,
                    lot_id=order.lot_id,
                    confidence=order.confidence,
                    exempt=order.exempt,
                )
            )

    @evolves(OrderFilled, OrderPartiallyFilled)
    def filled(self, event: OrderFilled | OrderPartiallyFilled) -> None:
        """Keep what was filled."""
        self.orders[event.client_order_id][2] = event.cum_qty
        if event.leaves_qty == 0:
            del self.orders[event.client_order_id]

    def snapshot(self) -> Any:
        """Plain values; orders travel as bytes."""
        encode = codec().encode
        return [[encode(order), qty, done] for order, qty, done in self.orders.values()]

    def restore(self, state: Any) -> None:
        """Take over."""
        decode = codec().decode
        rows = [(decode(raw), qty, done) for raw, qty, done in state]
        self.orders = {order.client_order_id: [order, qty, done] for order, qty, done in rows}


class Books(CoreActor):
    """Books fills and flows; marks only when told to."""

    name = "portfolio"
    sends: ClassVar[tuple[type[Command], ...]] = (SubmitOrder,)
    emits: ClassVar[tuple[type[Event], ...]] = EVENTS

    def __init__(self) -> None:
        self.cash: dict[str, int] = {}
        self.qty: dict[tuple[str, int], int] = {}
        self.equity: dict[str, int] = {}
        self.fills = 0
        self.cuts: list[CutPositions] = []
        """What was asked to be cut; nothing is."""
        self.disabled: list[DisableStrategy] = []
        """What was asked to be switched off; nothing is."""

    @decides(DepositCash)
    def deposit(self, command: DepositCash, ctx: Context) -> None:
        """Answer with a flow."""
        cash = self.cash.get(command.portfolio, 0) + command.amount
        ctx.emit(CashFlowed(command.portfolio, command.amount, command.reason, cash, ()))

    @evolves(CashFlowed)
    def flowed(self, event: CashFlowed) -> None:
        """Fold."""
        self.cash[event.portfolio] = event.cash
        self.equity[event.portfolio] = self.equity.get(event.portfolio, 0) + event.amount

    @decides(OrderFilled, OrderPartiallyFilled)
    def book(self, event: OrderFilled | OrderPartiallyFilled, ctx: Context) -> None:
        """Book one fill."""
        shares = event.side * event.last_qty
        cash = self.cash[event.portfolio] - event.side * mul(event.last_qty, event.last_px)
        qty = self.qty.get((event.portfolio, event.symbol), 0) + shares
        ctx.emit(PositionChanged(event.portfolio, event.exec_id, event.symbol, qty, 0, 0, 0, cash, None, (), ()))

    @evolves(PositionChanged)
    def booked(self, event: PositionChanged) -> None:
        """Fold."""
        self.cash[event.portfolio] = event.cash
        self.qty[event.portfolio, event.symbol] = event.qty

    @decides(Mark)
    def mark(self, command: Mark, ctx: Context) -> None:
        """Say the equity."""
        cash = self.cash[command.portfolio]
        ctx.emit(EquityMarked(command.portfolio, command.equity, cash, command.gross, command.equity - cash))

    @evolves(EquityMarked)
    def marked(self, event: EquityMarked) -> None:
        """Fold."""
        self.equity[event.portfolio] = event.equity

    @decides(SessionClosed)
    def roll(self, panel: SessionClosed, ctx: Context) -> None:
        """Roll every portfolio at its last equity."""
        for name, equity in self.equity.items():
            ctx.emit(SessionRolled(name, panel.session.date, equity, self.cash[name], 0, 0, 0, 0, 0.0))

    @decides(ClosePositions)
    def close_positions(self, command: ClosePositions, ctx: Context) -> None:
        """Close everything by reduce-only market orders."""
        for (name, symbol), qty in self.qty.items():
            if qty:
                side = -1 if qty > 0 else 1
                order_id = f"flat-{ctx.seq}-{name}-{symbol}"
                order = SubmitOrder(order_id, name, symbol, side, abs(qty), reason=command.reason, reduce_only=True)
                ctx.send(order)

    @decides(CutPositions)
    def cut(self, command: CutPositions, ctx: Context) -> None:
        """Only remember that it was asked for."""
        del ctx
        self.cuts.append(command)

    @decides(DisableStrategy)
    def disable(self, command: DisableStrategy, ctx: Context) -> None:
        """Only remember that it was asked for."""
        del ctx
        self.disabled.append(command)

    @decides(State)
    def state(self, command: State, ctx: Context) -> None:
        """Emit what the test wants."""
        for event in command.events:
            ctx.emit(event)

    def snapshot(self) -> Any:
        """Plain values."""
        return [list(self.cash.items()), [[*k, v] for k, v in self.qty.items()], list(self.equity.items())]

    def restore(self, state: Any) -> None:
        """Take over."""
        self.cash = dict(state[0])
        self.qty = {(name, symbol): qty for name, symbol, qty in state[1]}
        self.equity = dict(state[2])


class Recorder(Sequencer):
    """Keeps every input with its facts, quiet market data and timers, too."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.kept: list[tuple[int, int, str, Any, list[Any]]] = []

    def process(self, body: Any, source: str, *, ts_event: int | None = None, **more: Any) -> list[Any]:
        """Process and keep."""
        events = super().process(body, source, ts_event=ts_event, **more)
        self.kept.append((self.last_ts, self.last_ts if ts_event is None else ts_event, source, body, events))
        return events


class ListSink:
    """Keeps frames."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def append(self, frame: Frame) -> None:
        """Keep."""
        self.frames.append(frame)


WIDE = RiskLimits(
    min_order_value=0,
    max_order_value=0,
    max_order_fraction=0.0,
    max_position=0.0,
    max_positions=0,
    price_collar=0.0,
    min_confidence_buy=0.0,
    min_confidence_sell=0.0,
    cash_reserve=SCALE,
    stale_ns=0,
    stale_sessions=0,
    duplicate_window_ns=0,
    require_reference=False,
    daily_loss_warn=0.0,
    daily_loss_block=0.0,
    daily_loss_halt=0.0,
    max_drawdown=0.0,
)


class World:
    """Risk between a venue and books, driven by inputs."""

    def __init__(
        self,
        limits: RiskLimits | None = None,
        *,
        symbols: int = 3,
        cash: float = 100_000,
        portfolios: tuple[str, ...] = ("main",),
        price: float | None = 100.0,
        tradable: tuple[bool, ...] = (),
        sectors: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        """Build, deposit, and show one bar at ``price`` unless it is None."""
        self.limits = WIDE if limits is None else limits
        self.universe = Universe(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:symbols]), tradable=tradable, sectors=sectors)
        self.settings = {"daily": False, **settings}
        self.portfolios = portfolios
        self.n = 0
        self.day = 0
        self.sink = ListSink()
        self.clock = VirtualClock(OPEN)
        self.build()
        for name in portfolios:
            self.process(DepositCash(name, to_fixed(cash), "opening"))
        self.open()
        if price is not None:
            self.bar([price] * symbols)

    def build(self) -> None:
        """Build fresh actors."""
        self.venue, self.books = Venue(), Books()
        self.risk = RiskActor(self.universe, self.limits, self.portfolios, **self.settings)
        actors = [self.venue, self.books, self.risk]
        self.sequencer = Recorder(actors, codec=codec(), clock=self.clock, sink=self.sink)

    def until(self, ts: int) -> list[Any]:
        """Let the clock reach ``ts`` and every timer fire on its way when it is due; return what they led to."""
        seen = len(self.sink.frames)
        while (due := self.sequencer.timers.next_due()) is not None and due <= ts:
            self.clock.advance_to(max(due, self.clock.now()))
            self.sequencer.fire_due(ts)
        self.clock.advance_to(ts)
        return [event for frame in self.sink.frames[seen:] for event in frame.events]

    def refold(self) -> None:
        """Throw everything away and fold what was recorded, from the very first input; timers are set anew."""
        kept = self.sequencer.kept
        self.build()
        for seq, (ts, ts_event, source, body, events) in enumerate(kept, start=1):
            self.sequencer.refold(seq, ts, ts_event, body, events, source=source)
        self.sequencer.rearm()
        self.sequencer.kept = kept

    def split(self) -> None:
        """Snapshot, throw everything away, restore into fresh actors."""
        raw, kept = self.sequencer.snapshot(), self.sequencer.kept
        self.build()
        self.sequencer.restore(raw)
        self.sequencer.kept = kept

    def process(self, message: Any) -> list[Any]:
        """Process one input."""
        return self.sequencer.process(message, "test")

    @property
    def session(self) -> Session:
        """Today's session."""
        start = self.day * DAY
        date = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=self.day)
        return Session(int(f"{date:%Y%m%d}"), start + OPEN, start + CLOSE, self.day)

    def open(self) -> list[Any]:
        """Open the next session."""
        self.day += 1
        self.clock.advance_to(self.session.open_ts)
        return self.process(SessionOpened(self.session.open_ts, self.session))

    def close(self) -> list[Any]:
        """Close today's session."""
        self.clock.advance_to(self.session.close_ts)
        return self.process(SessionClosed(self.session.close_ts, self.session))

    def bar(self, prices: list[float | None], *, at: int | None = None) -> list[Any]:
        """Show a bar one minute on (daily: at the close); None leaves a symbol out."""
        daily = self.settings["daily"]
        ts = self.session.close_ts if daily else self.clock.now() + MINUTE
        ts = ts if at is None else at
        start = self.session.open_ts if daily else ts - MINUTE
        self.clock.advance_to(ts)
        rows = [i for i, price in enumerate(prices) if price is not None]
        px = np.array([prices[i] for i in rows], dtype=np.float64)
        fx = np.array([round(x * SCALE) for x in px], dtype=np.int64)
        for array in (px, fx):
            array.flags.writeable = False
        ids = np.array(rows, dtype=np.int32)
        dense = len(rows) == len(self.universe)
        panel = BarPanel(ts, start, self.session.date, daily, ids, dense, px, px, px, px, fx, None)
        return self.process(panel)

    def order(self, side: int, qty: float, **fields: Any) -> SubmitOrder:
        """Build an order with a fresh id; prices and quantity in plain numbers."""
        self.n += 1
        for name in ("limit_px", "stop_px"):
            if fields.get(name) is not None:
                fields[name] = to_fixed(fields[name])
        given = {"client_order_id": f"c{self.n}", "portfolio": "main", "symbol": 0, **fields}
        return SubmitOrder(side=side, qty=to_fixed(qty), **given)

    def submit(self, side: int, qty: float, **fields: Any) -> str:
        """Submit an order; return ``ok`` or the code of its denial."""
        return self.verdict(self.process(self.order(side, qty, **fields)))

    @staticmethod
    def verdict(events: list[Any]) -> str:
        """Return what the first answer among events was."""
        for event in events:
            if isinstance(event, OrderAccepted | OrderReplaced):
                return "ok"
            if hasattr(event, "code"):
                return event.code
        message = f"no answer in {events}"
        raise AssertionError(message)

    def denial(self, side: int, qty: float, **fields: Any) -> OrderDenied:
        """Submit an order that must be denied; return the denial."""
        (event,) = self.process(self.order(side, qty, **fields))
        assert isinstance(event, OrderDenied)
        return event

    def replace(self, order_id: str, qty: float | None = None, **prices: float) -> str:
        """Replace; return ``ok`` or the code of the refusal."""
        fixed = {name: to_fixed(price) for name, price in prices.items()}
        command = ReplaceOrder(order_id, None if qty is None else to_fixed(qty), **fixed)
        return self.verdict(self.process(command))

    def fill(self, *fills: tuple[str, float, float]) -> list[Any]:
        """Fill (order id, shares, price) in one decision of the venue."""
        return self.process(FillNow(tuple((i, to_fixed(q), to_fixed(p)) for i, q, p in fills)))

    def hold(self, qty: float, *, symbol: int = 0, px: float = 100.0, portfolio: str = "main") -> None:
        """Come to hold a position without passing the gate."""
        order = self.order(1 if qty > 0 else -1, abs(qty), symbol=symbol, portfolio=portfolio)
        self.process(State((OrderAccepted("o", order, 0, self.clock.now()),)))
        self.fill((order.client_order_id, abs(qty), px))

    def mark(self, equity: float, portfolio: str = "main", *, gross: float = 0) -> list[Any]:
        """Mark equity."""
        return self.process(Mark(portfolio, to_fixed(equity), to_fixed(gross)))

    def state(self, *events: Any) -> list[Any]:
        """Let other rooms state facts."""
        return self.process(State(events))


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    """Return a builder of worlds."""
    return World


@pytest.fixture(scope="session")
def wide() -> RiskLimits:
    """Return limits that let everything well-formed pass."""
    return WIDE


LIMIT = OrderType.LIMIT
