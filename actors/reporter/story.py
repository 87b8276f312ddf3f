"""What happened in a run, gathered in one pass over the journal's frames.

Nothing is computed here: facts are put where tables, metrics and the report find them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.inference import PredictionsScored, StrategyDisabled, StrategyFailed
from actors.messages.orders import (
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderStatus,
    OrderTriggered,
    OrderType,
    SubmitOrder,
)
from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    EntriesCut,
    EquityMarked,
    FinancingCharged,
    PositionAdjusted,
    PositionChanged,
    SessionRolled,
    SignalsReady,
    TargetsProposed,
    TradeClosed,
)
from actors.messages.risk import BreakerReset, BreakerTripped, LimitBreached, TradingState, TradingStateChanged
from actors.messages.sentiment import NewsScored, NewsSeen, SentimentMeasured, SentimentRequested
from actors.reporter.news_story import NewsStory
from actors.values.fixed import div_round, mul_ratio
from actors.values.order_names import belongs_to_another
from daemon.journal.journal import StoredFrame
from daemon.kernel.message import CommandRejected, Event, InputQuarantined


class Trace(msgspec.Struct, gc=False):
    """What an order met on its way, for cost analysis; units of 1e-8, prices 0 where unknown.

    Attributes:
        decision_px, expected: as the acceptance tells them, after a split in the new shares.
        arrival_px: of the market when the order reached it.
        trigger_px: where its condition was met.
        end_ts, end_px: stamp of its last fill, cancellation or expiry, 0 while it works; the price then.
        value: sum of quantity x price of the fills, units of 1e-16.
        commission, regulatory, spread, slippage, impact: of the fills.
        first_fill_ts, last_fill_ts: 0 without fills.
        split: whether a split changed its shares.
        replaced: whether it has had other terms than those of its acceptance.
    """

    decision_px: int = 0
    expected: int = 0
    arrival_px: int = 0
    trigger_px: int = 0
    end_ts: int = 0
    end_px: int = 0
    value: int = 0
    commission: int = 0
    regulatory: int = 0
    spread: int = 0
    slippage: int = 0
    impact: int = 0
    first_fill_ts: int = 0
    last_fill_ts: int = 0
    split: bool = False
    replaced: bool = False


class OrderRow(msgspec.Struct, gc=False):
    """The last known state of an order; money and quantities in units of 1e-8."""

    order: SubmitOrder
    ts: int
    order_id: str
    status: OrderStatus
    qty: int
    limit_px: int | None
    stop_px: int | None
    reason: str
    cum_qty: int = 0
    avg_px: int | None = None
    trace: Trace = msgspec.field(default_factory=Trace)


class Holding(msgspec.Struct, gc=False):
    """A position at the end; units of 1e-8."""

    qty: int = 0
    cost: int = 0
    realized: int = 0


class EquityPoint(msgspec.Struct, frozen=True, gc=False):
    """Equity of one portfolio at one instant; ``session`` is 0 but at a session's close."""

    ts: int
    session: int
    equity: int
    cash: int
    gross: int
    net: int


class Costs(msgspec.Struct):
    """Costs of all fills, their value, what was paid for borrowed shares and money, and dividends; units of 1e-8.

    ``dividends`` are income at their ex-date, less what shorts owe; they are no cost.
    """

    commission: int = 0
    regulatory: int = 0
    spread: int = 0
    slippage: int = 0
    impact: int = 0
    traded_value: int = 0
    fills: int = 0
    borrow: int = 0
    interest: int = 0
    dividends: int = 0


class SessionActivity(msgspec.Struct):
    """What one session did, by session date; costs and traded value in units of 1e-8, positions at its close."""

    traded_value: int = 0
    costs: int = 0
    positions: int = 0


class Smaller(msgspec.Struct):
    """What sizing cut of a strategy's entries, over all decisions.

    Attributes:
        alike: times a name was cut because it moves like what is held.
        heat: times a name was cut because too much would be lost down to stops.
        room: times a name was cut because a limit on what may be held left no more.
        parts: sum of the parts of the positions aimed at that were cut for any reason.
        times: names cut, each once a decision.
        dropped: of these, those of which nothing was left to buy.
    """

    alike: int = 0
    heat: int = 0
    room: int = 0
    parts: float = 0.0
    times: int = 0
    dropped: int = 0

    def add(self, alike: Mapping[int, float], heat: Mapping[int, float], room: Mapping[int, float]) -> None:
        """Count the names of one decision; each part is of what those before it left."""
        for symbol in {**alike, **heat, **room}:
            cuts = alike.get(symbol, 0.0), heat.get(symbol, 0.0), room.get(symbol, 0.0)
            part = 1 - (1 - cuts[0]) * (1 - cuts[1]) * (1 - cuts[2])
            self.alike += cuts[0] > 0
            self.heat += cuts[1] > 0
            self.room += cuts[2] > 0
            self.parts += part
            self.times += 1
            self.dropped += part >= 1


class Story:
    """Facts of a run in order of time. Built by :func:`gather`."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self.orders: dict[str, OrderRow] = {}
        self.denied: list[tuple[int, OrderDenied]] = []
        self.fills: list[tuple[int, Fill]] = []
        self.trades: list[TradeClosed] = []
        self.holdings: dict[tuple[str, int], Holding] = {}
        self.closes: dict[str, list[EquityPoint]] = {}
        self.marks: dict[str, list[EquityPoint]] = {}
        self.opening: dict[str, EquityPoint] = {}
        self.flows: list[tuple[int, str, int]] = []
        self.signals: list[tuple[int, SignalsReady]] = []
        self.scored: dict[tuple[str, int, str], PredictionsScored] = {}
        self.cuts: dict[str, list[int]] = {}
        self.smaller: dict[str, Smaller] = {}
        self._room: dict[int, float] = {}
        """What found too little room, until the targets that it belongs to come."""
        self.refusals: dict[tuple[str, str], int] = {}
        self.limits: dict[tuple[str, str], int] = {}
        self.states: list[tuple[int, TradingStateChanged]] = []
        self.breakers: list[tuple[int, BreakerTripped]] = []
        self.resets: list[tuple[int, BreakerReset]] = []
        self.failures: dict[tuple[str, str], int] = {}
        self.disabled: list[tuple[int, StrategyDisabled]] = []
        self.news = NewsStory()
        self.costs = Costs()
        self.activity: dict[int, SessionActivity] = {}
        self.held: dict[int, tuple[tuple[int, int], ...]] = {}
        """Symbols held at each session's close and how much of all portfolios together, by session date."""
        self._pending = SessionActivity()
        self.first_signal_ts = 0
        self.frames = 0
        self.events = 0
        self._table: dict[type[Event], Callable[[int, Any], None]] = {
            OrderDenied: self._denied,
            OrderAccepted: self._accepted,
            OrderRejected: self._rejected,
            OrderPartiallyFilled: self._filled,
            OrderFilled: self._filled,
            OrderCanceled: self._canceled,
            OrderExpired: self._expired,
            OrderReplaced: self._replaced,
            OrderTriggered: self._triggered,
            OrderRestated: self._restated,
            OrderCancelRejected: lambda _ts, event: self._refuse("cancel or replace", event.code),
            CommandRejected: lambda _ts, event: self._refuse(event.actor, event.code),
            InputQuarantined: lambda _ts, event: self._refuse("quarantine", f"{event.actor}: {event.error}"),
            LimitBreached: self._limit,
            TradeClosed: lambda _ts, event: self.trades.append(event),
            PositionChanged: self._position,
            PositionAdjusted: self._adjusted,
            SessionRolled: self._rolled,
            EquityMarked: self._marked,
            CashFlowed: self._flowed,
            FinancingCharged: self._financed,
            DividendAccrued: self._dividend,
            SignalsReady: self._signals,
            PredictionsScored: self._score,
            EntriesCut: self._entries_cut,
            TargetsProposed: self._targets,
            TradingStateChanged: lambda ts, event: self.states.append((ts, event)),
            BreakerTripped: lambda ts, event: self.breakers.append((ts, event)),
            BreakerReset: lambda ts, event: self.resets.append((ts, event)),
            StrategyFailed: self._failed,
            NewsSeen: self.news.seen,
            SentimentRequested: self.news.asked,
            NewsScored: self.news.scored,
            SentimentMeasured: self.news.session,
            StrategyDisabled: lambda ts, event: self.disabled.append((ts, event)),
        }

    def add(self, frame: StoredFrame) -> None:
        """Take one frame."""
        self.frames += 1
        ts = frame.ts
        table = self._table
        for event in frame.events:
            self.events += 1
            handler = table.get(type(event))
            if handler is not None:
                handler(ts, event)

    @property
    def state(self) -> TradingState:
        """The trading state at the end."""
        return self.states[-1][1].new if self.states else TradingState.ACTIVE

    def combined_marks(self) -> list[EquityPoint]:
        """Return equity marks of all portfolios together, one point per instant."""
        by_ts: dict[int, list[EquityPoint]] = {}
        for points in self.marks.values():
            for point in points:
                by_ts.setdefault(point.ts, []).append(point)
        return [
            EquityPoint(ts, 0, *(sum(getattr(p, name) for p in group) for name in ("equity", "cash", "gross", "net")))
            if len(group) > 1
            else group[0]
            for ts, group in sorted(by_ts.items())
        ]

    def halts(self) -> list[tuple[int, int | None, str]]:
        """Return (from, until or None, reason) of every time the state was halted or killed."""
        out: list[tuple[int, int | None, str]] = []
        stopped = (TradingState.HALTED, TradingState.KILLED)
        start: tuple[int, str] | None = None
        for ts, change in self.states:
            if change.new in stopped and start is None:
                start = ts, change.reason
            elif change.new not in stopped and start is not None:
                out.append((start[0], ts, start[1]))
                start = None
        if start is not None:
            out.append((start[0], None, start[1]))
        return out

    def _refuse(self, who: str, code: str) -> None:
        self.refusals[who, code] = self.refusals.get((who, code), 0) + 1

    def _limit(self, _ts: int, event: LimitBreached) -> None:
        key = event.limit, event.action
        self.limits[key] = self.limits.get(key, 0) + 1

    def _denied(self, ts: int, event: OrderDenied) -> None:
        self.denied.append((ts, event))
        self._refuse("gate", event.code)
        order = event.order
        reason = f"{event.code}: {event.reason}"
        if event.value and event.limit and event.value not in event.reason:
            reason += f" ({event.value} against {event.limit})"
        row = OrderRow(order, ts, "", OrderStatus.DENIED, order.qty, order.limit_px, order.stop_px, reason)
        key = order.client_order_id
        if key in self.orders or belongs_to_another(key, event.code):
            # A resend was refused; the first order of that id stays as it is.
            key = f"{key}\0{len(self.orders)}"
        self.orders[key] = row

    def _accepted(self, ts: int, event: OrderAccepted) -> None:
        order = event.order
        self.orders[order.client_order_id] = OrderRow(
            order,
            ts,
            event.order_id,
            OrderStatus.NEW,
            order.qty,
            order.limit_px,
            order.stop_px,
            order.reason,
            trace=Trace(event.ref_px, event.expected_cost),
        )

    def _rejected(self, ts: int, event: OrderRejected) -> None:
        self._refuse("broker", event.code)
        order = event.order
        reason = f"{event.code}: {event.reason}"
        row = OrderRow(
            order, ts, event.order_id, OrderStatus.REJECTED, order.qty, order.limit_px, order.stop_px, reason
        )
        self.orders[order.client_order_id] = row

    def _filled(self, ts: int, event: Fill) -> None:
        self.fills.append((ts, event))
        row = self.orders.get(event.client_order_id)
        if row is not None:
            row.cum_qty = event.cum_qty
            row.avg_px = event.avg_px
            row.status = OrderStatus.PARTIALLY_FILLED if event.leaves_qty else OrderStatus.FILLED
            _trace_fill(row.trace, ts, event)
        value = event.last_qty * event.last_px // 100_000_000
        fees = event.commission + event.regulatory
        costs, pending = self.costs, self._pending
        costs.commission += event.commission
        costs.regulatory += event.regulatory
        costs.spread += event.spread
        costs.slippage += event.slippage
        costs.impact += event.impact
        costs.traded_value += value
        costs.fills += 1
        pending.traded_value += value
        pending.costs += fees + event.spread + event.slippage + event.impact

    def _ended(self, ts: int, event: OrderCanceled | OrderExpired, status: OrderStatus) -> None:
        row = self.orders.get(event.client_order_id)
        if row is not None:
            row.status = status
            row.reason = event.reason
            trace = row.trace
            trace.end_ts, trace.end_px = ts, event.px
            trace.arrival_px = trace.arrival_px or event.arrival_px

    def _canceled(self, ts: int, event: OrderCanceled) -> None:
        self._ended(ts, event, OrderStatus.CANCELED)

    def _expired(self, ts: int, event: OrderExpired) -> None:
        self._ended(ts, event, OrderStatus.EXPIRED)

    def _triggered(self, _ts: int, event: OrderTriggered) -> None:
        row = self.orders.get(event.client_order_id)
        if row is not None:
            row.trace.trigger_px = event.level
            if row.order.type is OrderType.TRAILING_STOP:
                row.stop_px = event.stop_px  # where the trail stood is told only here

    def _restated(self, _ts: int, event: OrderRestated) -> None:
        """Take over an order's terms after a corporate action; a split restates the prices met before, too."""
        row = self.orders.get(event.client_order_id)
        if row is None:
            return
        trace = row.trace
        if event.reason == "split" and event.qty:
            for name in ("decision_px", "arrival_px", "trigger_px"):
                setattr(trace, name, mul_ratio(getattr(trace, name), row.qty, event.qty))
            trace.split = True
        row.qty, row.cum_qty = event.qty, event.cum_qty
        row.limit_px, row.stop_px = event.limit_px, event.stop_px
        row.order = msgspec.structs.replace(row.order, symbol=event.symbol, terms=event.terms)
        if event.cum_qty:
            row.avg_px = div_round(trace.value, event.cum_qty)

    def _replaced(self, _ts: int, event: OrderReplaced) -> None:
        row = self.orders.get(event.client_order_id)
        if row is not None:
            row.qty, row.limit_px, row.stop_px = event.qty, event.limit_px, event.stop_px
            row.trace.replaced = True

    def _position(self, _ts: int, event: PositionChanged) -> None:
        holding = self.holdings.setdefault((event.portfolio, event.symbol), Holding())
        holding.qty, holding.cost = event.qty, event.cost
        holding.realized += event.realized

    def _adjusted(self, _ts: int, event: PositionAdjusted) -> None:
        """Take over a position after a corporate action; what it realised goes with it to a new name."""
        old = self.holdings.pop((event.portfolio, event.symbol), None) or Holding()
        holding = self.holdings.setdefault((event.portfolio, event.new_symbol), Holding())
        holding.qty, holding.cost = event.qty, event.cost
        holding.realized += old.realized + event.realized

    def _rolled(self, ts: int, event: SessionRolled) -> None:
        point = EquityPoint(ts, event.session, event.equity, event.cash, event.gross, event.net)
        self.closes.setdefault(event.portfolio, []).append(point)
        activity = self.activity.get(event.session)
        if activity is None:
            activity = self.activity[event.session] = self._pending
            self._pending = SessionActivity()
            activity.positions = sum(1 for holding in self.holdings.values() if holding.qty)
            held: dict[int, int] = {}
            for (_, symbol), holding in self.holdings.items():
                if holding.qty:
                    held[symbol] = held.get(symbol, 0) + holding.qty
            self.held[event.session] = tuple(sorted((symbol, qty) for symbol, qty in held.items() if qty))

    def _marked(self, ts: int, event: EquityMarked) -> None:
        point = EquityPoint(ts, 0, event.equity, event.cash, event.gross, event.net)
        self.marks.setdefault(event.portfolio, []).append(point)

    def _flowed(self, ts: int, event: CashFlowed) -> None:
        self.flows.append((ts, event.portfolio, event.amount))
        if event.portfolio not in self.opening:
            self.opening[event.portfolio] = EquityPoint(ts, 0, event.cash, event.cash, 0, 0)

    def _dividend(self, _ts: int, event: DividendAccrued) -> None:
        self.costs.dividends += event.amount

    def _financed(self, _ts: int, event: FinancingCharged) -> None:
        if event.kind == "borrow":
            self.costs.borrow += event.amount
        else:
            self.costs.interest += event.amount

    def _signals(self, ts: int, event: SignalsReady) -> None:
        if not self.signals:
            self.first_signal_ts = ts
        self.signals.append((ts, event))

    def _score(self, _ts: int, event: PredictionsScored) -> None:
        self.scored[event.strategy or event.model, event.decision, event.horizon] = event

    def _targets(self, _ts: int, event: TargetsProposed) -> None:
        counts = self.cuts.setdefault(event.strategy, [0, 0])
        counts[0] += event.cut_buy
        counts[1] += event.cut_sell
        if event.cut_ids or self._room:
            ids = unpack_i32(event.cut_ids).tolist()
            alike, heat = (
                dict(zip(ids, unpack_f64(column).tolist(), strict=True))
                for column in (event.cut_correlation, event.cut_heat)
            )
            self.smaller.setdefault(event.strategy, Smaller()).add(alike, heat, self._room)
            self._room = {}

    def _entries_cut(self, _ts: int, event: EntriesCut) -> None:
        self._room = dict(zip(unpack_i32(event.ids).tolist(), unpack_f64(event.parts).tolist(), strict=True))

    def _failed(self, _ts: int, event: StrategyFailed) -> None:
        key = event.strategy, event.error
        self.failures[key] = self.failures.get(key, 0) + 1


def _trace_fill(trace: Trace, ts: int, event: Fill) -> None:
    trace.value += event.last_qty * event.last_px
    trace.commission += event.commission
    trace.regulatory += event.regulatory
    trace.spread += event.spread
    trace.slippage += event.slippage
    trace.impact += event.impact
    trace.arrival_px = trace.arrival_px or event.arrival_px
    trace.first_fill_ts = trace.first_fill_ts or ts
    trace.last_fill_ts = ts
    if not event.leaves_qty:
        trace.end_ts = ts


def gather(frames: Iterable[StoredFrame]) -> Story:
    """Read all frames, first to last."""
    story = Story()
    add = story.add
    for frame in frames:
        add(frame)
    return story
