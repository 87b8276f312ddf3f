"""A venue for the portfolio's tests: accepts every order, fills by plain bar rules, or fills what a test dictates."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import numpy as np

from actors.messages.catalogue import codec
from actors.messages.columns import pack_f64, pack_i32, pack_i64
from actors.messages.market import BarPanel, SessionClosed
from actors.messages.orders import (
    SELL,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderType,
    ReplaceOrder,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import DepositCash, EquityMarked, PositionChanged, SignalsReady
from actors.portfolio.actor import PortfolioActor
from actors.portfolio.params import PortfolioSpec
from actors.portfolio.sizing import need
from actors.values import Session, Universe
from actors.values.fixed import SCALE, mul, mul_ratio
from daemon.kernel.actor import Context, CoreActor, Frame, decides, evolves
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Command, Event
from daemon.kernel.sequencer import Sequencer

DAY = 86_400 * 10**9
HOUR = 3_600 * 10**9


def fx(value: float) -> int:
    """Write a price, quantity or amount as the room keeps it."""
    return round(value * SCALE)


class Inject(Command, tag=9_000):
    """Let the venue state these fills, all in one decision."""

    fills: tuple[OrderFilled | OrderPartiallyFilled, ...]


class Say(Command, tag=9_001):
    """Let the venue state a strategy's signals."""

    event: SignalsReady


class Venue(CoreActor):
    """Gate and broker in one: no limits, market orders at the open, stops and limits inside the bar, whole fills."""

    name = "broker"
    emits: ClassVar[tuple[type[Event], ...]] = (
        OrderAccepted,
        OrderFilled,
        OrderPartiallyFilled,
        OrderCanceled,
        OrderReplaced,
        OrderExpired,
        SignalsReady,
    )

    def __init__(self, spec: PortfolioSpec, *, fee_rate: int = 0) -> None:
        self.spec = spec
        self.fee_rate = fee_rate
        self.orders: dict[str, OrderAccepted] = {}
        self.accepted_at: dict[str, int] = {}
        self.qty: dict[tuple[str, int], int] = {}
        self.marks: dict[int, int] = {}
        self.now = 0
        self.scripted: tuple[OrderFilled | OrderPartiallyFilled, ...] = ()
        """Fills to state at the next bar, as if it had caused them."""

    @decides(Inject)
    def inject(self, command: Inject, ctx: Context) -> None:
        """State dictated fills."""
        for fill in command.fills:
            ctx.emit(fill)

    @decides(Say)
    def say(self, command: Say, ctx: Context) -> None:
        """Speak for a strategy."""
        ctx.emit(command.event)

    @decides(SubmitOrder)
    def submit(self, order: SubmitOrder, ctx: Context) -> None:
        """Accept."""
        reserved = 0
        if order.side > 0 and not order.reduce_only:
            reserved = need(self.spec, self.marks.get(order.symbol, 0), order.qty)
        self.now = ctx.now
        ctx.emit(OrderAccepted(f"o.{order.client_order_id}", order, reserved))

    @decides(CancelOrder)
    def cancel(self, command: CancelOrder, ctx: Context) -> None:
        """Cancel what is known."""
        found = self.orders.get(command.client_order_id)
        assert found is not None, f"cancel of {command.client_order_id}, which is not working"
        ctx.emit(OrderCanceled(found.order_id, command.client_order_id, 0, command.reason))

    @decides(ReplaceOrder)
    def replace(self, command: ReplaceOrder, ctx: Context) -> None:
        """Replace the quantity."""
        found = self.orders[command.client_order_id]
        assert command.qty is not None
        order = found.order
        ctx.emit(OrderReplaced(found.order_id, order.client_order_id, command.qty, order.limit_px, order.stop_px, 0))

    @decides(SessionClosed)
    def close(self, panel: SessionClosed, ctx: Context) -> None:
        """Expire DAY orders of earlier instants."""
        for cid, accepted in self.orders.items():
            if accepted.order.tif is TimeInForce.DAY and self.accepted_at[cid] < panel.ts:
                ctx.emit(OrderExpired(accepted.order_id, cid, 0, "day"))

    @decides(BarPanel)
    def match(self, panel: BarPanel, ctx: Context) -> None:
        """Fill what the bar reaches: sells at the open first, then the rest in order of acceptance."""
        for fill in self.scripted:
            ctx.emit(fill)
        rows = {int(s): i for i, s in enumerate(panel.ids)}
        for symbol, row in rows.items():
            self.marks[symbol] = int(panel.close_fx[row])
        qty = dict(self.qty)
        lots: dict[str, None] = {}
        live = [a for a in self.orders.values() if self.accepted_at[a.order.client_order_id] <= panel.start_ts]
        live.sort(key=lambda a: (a.order.type is not OrderType.MARKET, a.order.side > 0))
        for accepted in live:
            order = accepted.order
            row = rows.get(order.symbol)
            if row is None or order.lot_id in lots:
                continue
            reached = _reach(order, panel, row)
            if reached is None:
                continue
            px, source = reached
            key = (order.portfolio, order.symbol)
            held = qty.get(key, 0)
            amount = order.qty
            if order.reduce_only:
                amount = min(amount, max(-held * order.side, 0))
            if not amount:
                continue
            if order.lot_id:
                lots[order.lot_id] = None
            qty[key] = held + order.side * amount
            ctx.emit(self._fill(accepted, amount, px, source))

    def _fill(self, accepted: OrderAccepted, qty: int, px: int, source: str) -> OrderFilled:
        order = accepted.order
        return make_fill(
            order.client_order_id,
            1,
            portfolio=order.portfolio,
            symbol=order.symbol,
            side=order.side,
            qty=qty,
            px=px,
            commission=mul_ratio(mul(px, qty), self.fee_rate, SCALE),
            source=source,
            strategy=order.strategy,
            reason=order.reason,
            lot_id=order.lot_id,
            confidence=order.confidence,
            exempt=order.exempt,
        )

    @evolves(EquityMarked)
    def fold_bar(self, _: EquityMarked) -> None:
        """The bar is through: what was scripted for it is done."""
        self.scripted = ()

    @evolves(OrderAccepted)
    def fold_accepted(self, event: OrderAccepted) -> None:
        """Work an order."""
        self.orders[event.order.client_order_id] = event
        self.accepted_at[event.order.client_order_id] = self.now

    @evolves(OrderReplaced)
    def fold_replaced(self, event: OrderReplaced) -> None:
        """Work new terms."""
        old = self.orders[event.client_order_id]
        order = msgspec.structs.replace(old.order, qty=event.qty)
        self.orders[event.client_order_id] = OrderAccepted(old.order_id, order, event.reserved)

    @evolves(OrderFilled, OrderCanceled, OrderExpired)
    def fold_ended(self, event: OrderFilled | OrderCanceled | OrderExpired) -> None:
        """Forget an order."""
        self.orders.pop(event.client_order_id, None)

    @evolves(PositionChanged)
    def fold_position(self, event: PositionChanged) -> None:
        """Know the position."""
        self.qty[event.portfolio, event.symbol] = event.qty

    def snapshot(self) -> Any:
        """Return plain values."""
        return {
            "orders": [msgspec.msgpack.encode(a) for a in self.orders.values()],
            "at": self.accepted_at,
            "qty": [[name, symbol, qty] for (name, symbol), qty in self.qty.items()],
            "marks": [list(item) for item in self.marks.items()],
            "now": self.now,
        }

    def restore(self, state: Any) -> None:
        """Take over a snapshot."""
        accepted = [msgspec.msgpack.decode(raw, type=OrderAccepted) for raw in state["orders"]]
        self.orders = {a.order.client_order_id: a for a in accepted}
        self.accepted_at = state["at"]
        self.qty = {(name, symbol): qty for name, symbol, qty in state["qty"]}
        self.marks = dict(state["marks"])
        self.now = state["now"]


def _reach(order: SubmitOrder, panel: BarPanel, row: int) -> tuple[int, str] | None:
    opening = fx(float(panel.open[row]))
    if order.type is OrderType.MARKET:
        return opening, "open"
    low, high = fx(float(panel.low[row])), fx(float(panel.high[row]))
    if order.type is OrderType.STOP:
        assert order.stop_px is not None
        if order.side == SELL:
            return (min(opening, order.stop_px), "intrabar") if low <= order.stop_px else None
        return (max(opening, order.stop_px), "intrabar") if high >= order.stop_px else None
    assert order.limit_px is not None
    if order.side == SELL:
        return (max(opening, order.limit_px), "intrabar") if high >= order.limit_px else None
    return (min(opening, order.limit_px), "intrabar") if low <= order.limit_px else None


def make_fill(  # noqa: D103 - the arguments are the fill's own fields
    order: str,
    n: int,
    *,
    portfolio: str = "main",
    symbol: int = 0,
    side: int = 1,
    qty: int,
    px: int,
    commission: int = 0,
    regulatory: int = 0,
    spread: int = 0,
    slippage: int = 0,
    impact: int = 0,
    source: str = "open",
    strategy: str = "",
    reason: str = "script",
    lot_id: str = "",
    confidence: float | None = None,
    exempt: bool = False,
    leaves: int = 0,
) -> Any:
    kind = OrderPartiallyFilled if leaves else OrderFilled
    return kind(
        order_id=f"o.{order}",
        client_order_id=order,
        exec_id=f"{order}-{n}",
        portfolio=portfolio,
        symbol=symbol,
        side=side,
        last_qty=qty,
        last_px=px,
        ref_px=px,
        cum_qty=qty,
        leaves_qty=leaves,
        avg_px=px,
        commission=commission,
        regulatory=regulatory,
        spread=spread,
        slippage=slippage,
        impact=impact,
        px_source=source,
        liquidity="taker",
        strategy=strategy,
        reason=reason,
        lot_id=lot_id,
        confidence=confidence,
        exempt=exempt,
    )


class Frames:
    """A sink that keeps frames."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def append(self, frame: Frame) -> None:
        """Keep one."""
        self.frames.append(frame)

    def events(self, *types: type[Event]) -> list[Any]:
        """Return all events, or those of some types, in order."""
        found = [event for frame in self.frames for event in frame.events]
        return [event for event in found if isinstance(event, types)] if types else found


def spec_of(**changes: Any) -> PortfolioSpec:
    """Return a frictionless portfolio that follows one strategy and has every automatism off but those named."""
    plain: dict[str, Any] = {
        "name": "main",
        "cash": fx(100_000),
        "strategies": ("s",),
        "rebalance": "signal",
        "drift": 0.0,
        "max_positions": 0,
        "max_weight": 0.0,
        "min_weight": 0.0,
        "min_confidence_buy": 0.0,
        "min_confidence_sell": 0.0,
        "stop_loss": 0.0,
        "take_profit": 0.0,
        "min_order_value": 0,
        "cash_reserve": SCALE,
        "cost_rate": 0,
    }
    return PortfolioSpec(**{**plain, **changes})


class Desk:
    """Venue and portfolio on a real sequencer, stepped by sessions of daily bars."""

    def __init__(self, *specs: PortfolioSpec, n: int = 3, fee_rate: int = 0, deposit: bool = True) -> None:
        self.specs = specs or (spec_of(),)
        self.universe = Universe(tuple(f"S{i}" for i in range(n)))
        self.venue = Venue(self.specs[0], fee_rate=fee_rate)
        self.actor = PortfolioActor(self.universe, self.specs, daily=True)
        self.sink = Frames()
        self.clock = VirtualClock(DAY)
        self.seq = Sequencer([self.venue, self.actor], codec=codec(), clock=self.clock, sink=self.sink)
        self.seq.start()
        self.session = 0
        self.decisions: dict[str, int] = {}
        if deposit:
            for spec in self.specs:
                self.seq.process(DepositCash(spec.name, spec.cash, "opening"), "control")

    @property
    def pf(self) -> Any:
        """The first portfolio's state."""
        return self.actor.portfolio(self.specs[0].name)

    def bar(
        self,
        close: list[float],
        *,
        open_: list[float] | None = None,
        high: list[float] | None = None,
        low: list[float] | None = None,
        ids: list[int] | None = None,
        date: int | None = None,
    ) -> list[Event]:
        """Play one session's bar; nothing closes the session yet. Returns the bar's events."""
        self.session += 1
        start = self.session * DAY + 2 * DAY
        self.date = date or 20240100 + self.session
        closes = np.array(close)
        opens = closes if open_ is None else np.array(open_)
        highs = np.maximum(opens, closes) if high is None else np.array(high)
        lows = np.minimum(opens, closes) if low is None else np.array(low)
        dense = ids is None
        panel = BarPanel(
            ts=start + 6 * HOUR,
            start_ts=start,
            session=self.date,
            daily=True,
            ids=np.array(range(len(close)) if ids is None else ids, dtype=np.int32),
            dense=dense,
            open=opens,
            high=highs,
            low=lows,
            close=closes,
            close_fx=np.array([fx(c) for c in close], dtype=np.int64),
            volume=None,
        )
        self.clock.advance_to(panel.ts)
        return self.seq.process(panel, "feed")

    def close(self) -> list[Event]:
        """End the session."""
        ts = self.clock.now()
        session = Session(self.date, ts - 6 * HOUR, ts, self.session)
        return self.seq.process(SessionClosed(ts, session), "feed")

    def signal(
        self,
        scores: dict[int, float],
        *,
        confidence: dict[int, float] | None = None,
        strategy: str = "s",
        buy_and_hold: bool = False,
    ) -> list[Event]:
        """Let a strategy decide."""
        decision = self.decisions[strategy] = self.decisions.get(strategy, 0) + 1
        trust = confidence or {s: abs(x) for s, x in scores.items()}
        event = SignalsReady(
            strategy=strategy,
            decision=decision,
            horizon="1d",
            ids=pack_i32(list(scores)),
            score=pack_f64(list(scores.values())),
            confidence=pack_f64([trust[s] for s in scores]),
            p_up=b"",
            price=pack_i64([self.venue.marks.get(s, 0) for s in scores]),
            buy_and_hold=buy_and_hold,
        )
        return self.seq.process(Say(event), "test")

    def orders(self, events: list[Event]) -> list[tuple[int, int, int, str]]:
        """Return (symbol, signed whole shares, confidence in percent or -1, reason) of accepted orders."""
        return [
            (e.order.symbol, e.order.side * e.order.qty // SCALE, _percent(e.order.confidence), e.order.reason)
            for e in events
            if isinstance(e, OrderAccepted)
        ]


def _percent(confidence: float | None) -> int:
    return -1 if confidence is None else round(confidence * 100)
