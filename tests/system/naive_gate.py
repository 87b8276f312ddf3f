"""A gate as somebody would write it in an afternoon from ``semantics.md`` section 4: folds events, recounts everything.

It knows nothing of the real one but what everybody sees: inputs and events. Where the text leaves room (what the last
price of a symbol is between two quotes, what an order in an OCO group adds) it takes the mildest reading, so that what
it objects to is against every reading.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from actors.messages.control import EnableStrategy
from actors.messages.limits import PortfolioLimits, RiskLimits, SymbolLimits
from actors.messages.market import (
    BarPanel,
    CorporateAction,
    QuotePanel,
    SessionClosed,
    SessionOpened,
    TradePanel,
    TradingStatus,
)
from actors.messages.orders import (
    BUY,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    OrderType,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import CashFlowed, EquityMarked, PositionAdjusted, PositionChanged, SessionRolled
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    EntriesLocked,
    LimitsChanged,
    RestrictionChanged,
    TradingStateChanged,
)
from actors.messages.risk import TradingState as State
from actors.values.fixed import SCALE
from actors.values.universe import Universe

HAIR = 1 + 1e-9
RESTING = (TimeInForce.DAY, TimeInForce.GTC)


class Order:
    """One that works."""

    def __init__(self, order: SubmitOrder, symbol: int, qty: int, *, entry: bool) -> None:
        self.order, self.symbol, self.qty, self.cum, self.entry = order, symbol, qty, 0, entry
        self.limit, self.stop = order.limit_px, order.stop_px

    @property
    def leaves(self) -> int:
        """Return what is open of it."""
        return self.qty - self.cum


def least(*limits: float) -> float:
    """Return the tightest of limits of which 0 is none."""
    return min((x for x in limits if x), default=0)


class Naive:
    """See the module; :meth:`wrong` says what of an order that reached the broker is against the limits."""

    def __init__(
        self, universe: Universe, portfolios: tuple[str, ...], limits: RiskLimits, *, account: str, daily: bool
    ) -> None:
        self.universe, self.portfolios, self.limits, self.account = universe, portfolios, limits, account
        self.daily = daily
        self.called = {i: [name] for i, name in enumerate(universe.symbols)}
        """By symbol every name that it had."""
        self.sector = dict(enumerate(universe.sectors)) if any(universe.sectors) else {}
        self.state = State.ACTIVE
        self.sent: State | None = None
        """The state in which an order was sent that tripped the breaker of the order rate by that."""
        self.pos: dict[tuple[str, int], int] = defaultdict(int)
        self.working: dict[str, Order] = {}
        self.ids: set[str] = set()
        self.cash: dict[str, int] = defaultdict(int)
        self.equity: dict[str, int] = defaultdict(int)
        self.base: dict[str, int | None] = dict.fromkeys(portfolios)
        self.blocked: set[str] = set()
        self.stands: set[tuple[str, str, str]] = set()
        self.soon: set[tuple[str, str, str]] = set()
        self.locks: list[EntriesLocked] = []
        self.low: dict[int, float] = {}
        self.high: dict[int, float] = {}
        self.seen: dict[int, tuple[int, int]] = {}
        """Symbol -> instant of the last price, how much older than ``stale_ns`` it may be."""
        self.priced: dict[int, int] = {}
        """Symbol -> number of the session of its last price."""
        self.quote: dict[int, tuple[float, float, int]] = {}
        self.halted: set[int] = set()
        self.restricted: dict[int, bool] = {}
        self.session: Any = None
        self.opened = 0
        self.number = 0
        self.entries: list[tuple[int, int]] = []
        self.messages: list[int] = []
        self.fills: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.off: set[str] = set()
        self.now = 0

    # -- what happens --------------------------------------------------------------------------------------------------

    def take(self, body: Any, now: int) -> None:  # noqa: C901, PLR0912 - one branch a kind of input
        """Fold an input, before its events."""
        self.now, self.sent = now, None
        self.stands |= self.soon
        self.soon.clear()
        if isinstance(body, BarPanel):
            for i, px in zip(body.ids.tolist(), body.close_fx.tolist(), strict=True):
                self._price(i, px, px, (body.ts, body.ts - body.start_ts))
                self.quote.pop(i, None)
        elif isinstance(body, TradePanel):
            for i, px in zip(body.ids.tolist(), body.price.tolist(), strict=True):
                self._price(i, px * SCALE, px * SCALE, (body.ts, 0))
        elif isinstance(body, QuotePanel):
            for i, bid, ask in zip(body.ids.tolist(), body.bid_px.tolist(), body.ask_px.tolist(), strict=True):
                self.quote.pop(i, None)
                if 0 < bid <= ask < math.inf:
                    self.quote[i] = bid * SCALE, ask * SCALE, body.ts
                    self._price(i, bid * SCALE, ask * SCALE, (body.ts, 0), keep=True)
        elif isinstance(body, SessionOpened):
            self.session, self.opened, self.number = body.session, body.ts, self.number + 1
            self.quote.clear()
        elif isinstance(body, SessionClosed):
            self.session = None
        elif isinstance(body, TradingStatus):
            (self.halted.discard if body.state == "trading" else self.halted.add)(body.symbol)
        elif isinstance(body, CorporateAction):
            self._action(body)
        elif isinstance(body, EnableStrategy):
            self.off.discard(body.strategy)
            for key in [key for key in self.fills if key[0] == body.strategy]:
                del self.fills[key]

    def _price(self, i: int, low: float, high: float, seen: tuple[int, int], *, keep: bool = False) -> None:
        if keep and i in self.low:  # a quote may move the last price or not
            low, high = min(low, self.low[i]), max(high, self.high[i])
        self.low[i], self.high[i], self.seen[i], self.priced[i] = low, high, seen, self.number

    def _action(self, body: CorporateAction) -> None:
        i = body.symbol
        self.quote.pop(i, None)
        if body.kind == "split" and i in self.low:
            self.low[i] = self.low[i] * body.denominator / body.numerator - 1
            self.high[i] = self.high[i] * body.denominator / body.numerator + 1
        elif body.kind == "rename" and body.renamed_to is not None:
            new = body.renamed_to
            self.called[new] = self.called[new] + self.called[i]
            for table in (self.low, self.high, self.seen, self.priced):
                if i in table:
                    table[new] = table.pop(i)  # type: ignore[attr-defined]
            if i in self.halted:
                self.halted.add(new)
            if self.restricted.get(i):
                self.restricted[new] = True

    def tell(self, e: Any) -> list[str]:  # noqa: C901, PLR0912 - one branch a kind of event
        """Fold an event; return what is wrong with the order that it brings to the broker."""
        wrong: list[str] = []
        if isinstance(e, OrderAccepted | OrderRejected):
            order = e.order
            child = order.terms is not None and bool(order.terms.bracket_of)
            entry = not child and self.adds(order, order.symbol, order.qty, None)
            if not child:
                wrong = self.wrong(order, order.qty, order.limit_px, order.stop_px, entry=entry, own=None)
                self.ids.add(order.client_order_id)
                if entry:
                    self.entries.append((self.now, order.symbol))
                    self.messages.append(self.now)
            if isinstance(e, OrderAccepted):
                self.working[order.client_order_id] = Order(order, order.symbol, order.qty, entry=entry)
        elif isinstance(e, OrderReplaced):
            w = self.working[e.client_order_id]
            w.qty, w.limit, w.stop = e.qty, e.limit_px, e.stop_px
        elif isinstance(e, OrderRestated):
            w = self.working[e.client_order_id]
            w.symbol, w.qty, w.cum, w.limit, w.stop = e.symbol, e.qty, e.cum_qty, e.limit_px, e.stop_px
        elif isinstance(e, OrderFilled | OrderPartiallyFilled):
            self._filled(e)
        elif isinstance(e, OrderCanceled | OrderExpired):
            self.working.pop(e.client_order_id, None)
        elif isinstance(e, PositionChanged):
            self.cash[e.portfolio] = e.cash
        elif isinstance(e, PositionAdjusted):
            self.pos[e.portfolio, e.symbol] = 0
            self.pos[e.portfolio, e.new_symbol] = e.qty
            self.cash[e.portfolio] = e.cash
        elif isinstance(e, CashFlowed):
            self.cash[e.portfolio] = e.cash
            self.equity[e.portfolio] += e.amount
            base = self.base[e.portfolio]
            self.base[e.portfolio] = None if base is None else base + e.amount
        elif isinstance(e, EquityMarked):
            self.equity[e.portfolio] = e.equity
            self._look(e.portfolio)
        elif isinstance(e, SessionRolled):
            self.equity[e.portfolio] = self.base[e.portfolio] = e.equity
            self.blocked.discard(e.portfolio)
        else:
            self._risk(e)
        return wrong

    def _filled(self, e: OrderFilled | OrderPartiallyFilled) -> None:
        self.pos[e.portfolio, e.symbol] += e.side * e.last_qty
        w = self.working[e.client_order_id]
        first, w.cum = not w.cum, e.cum_qty
        if first and w.entry and e.strategy and self.limits.max_executions:
            times = self.fills[e.strategy, e.symbol]
            times.append(self.now)
            if len([t for t in times if t > self.now - self.limits.executions_window_ns]) > self.limits.max_executions:
                self.off.add(e.strategy)
        if not e.leaves_qty:
            del self.working[e.client_order_id]

    def _look(self, name: str) -> None:
        """Day P&L = equity - previous session-close equity net of flows."""
        own = self.limits.portfolios.get(name) or PortfolioLimits()
        block, base = least(self.limits.daily_loss_block, own.daily_loss_block), self.base[name]
        if block and base is not None and base > 0 and (base - self.equity[name]) / base > block * HAIR:
            self.blocked.add(name)

    def _risk(self, e: Any) -> None:
        if isinstance(e, TradingStateChanged):
            self.state = e.new
        elif isinstance(e, BreakerTripped):
            if e.breaker == "order_rate":
                self.sent = self.state
            if e.action == "block":
                (self.soon if self.sent else self.stands).add((e.portfolio, e.breaker, e.subject))
        elif isinstance(e, BreakerReset):
            self.stands.discard((e.portfolio, e.breaker, e.subject))
            self.soon.discard((e.portfolio, e.breaker, e.subject))
            if e.breaker == "daily_loss":
                self.blocked.discard(e.portfolio)
                self.base[e.portfolio] = None
        elif isinstance(e, EntriesLocked):
            self.locks.append(e)
        elif isinstance(e, RestrictionChanged):
            self.restricted[e.symbol] = e.restricted
        elif isinstance(e, LimitsChanged):  # what was counted or stood under the old ones is not ours to say
            self.limits = e.new
            self.stands.clear()
            self.locks.clear()
            self.blocked.clear()
            self.base = dict.fromkeys(self.portfolios)
            self.entries.clear()
            self.messages.clear()
            self.fills.clear()
            self.off.clear()
            self.quote.clear()

    # -- what is wrong with an order -----------------------------------------------------------------------------------

    def same(self, name: str, symbol: int, side: int, skip: str | None, group: str) -> int:
        """Return what works on a side, without an order and what opens behind it where it is the half of a flip."""
        return sum(
            w.leaves
            for key, w in self.working.items()
            if w.order.portfolio == name and w.symbol == symbol and w.order.side == side and not w.order.reduce_only
            if key != skip
            and not (skip and w.order.parent_id == skip)
            and not (group and w.order.terms is not None and w.order.terms.oco_group == group)
        )

    def adds(self, order: SubmitOrder, symbol: int, leaves: int, own: str | None) -> bool:
        """Return whether an order could grow a position."""
        group = order.terms.oco_group if order.terms is not None else ""
        held = self.pos[order.portfolio, symbol] * order.side
        same = self.same(order.portfolio, symbol, order.side, own, group)
        return not order.reduce_only and held + same + leaves > 0 and leaves > -held - same

    def replaced(self, key: str, qty: int, limit: int | None, stop: int | None) -> list[str]:
        """Return what is wrong with the new terms of a working order, which were asked for now."""
        w = self.working[key]
        entry = self.adds(w.order, w.symbol, qty - w.cum, key)
        found = self.wrong(w.order, qty, limit, stop, entry=entry, own=w)
        if entry:
            self.messages.append(self.now)
        return found

    def wrong(
        self, order: SubmitOrder, qty: int, limit: int | None, stop: int | None, *, entry: bool, own: Order | None
    ) -> list[str]:
        """Return the names of the rules that an order breaks; on its way, its effects are not folded yet."""
        symbol = order.symbol if own is None else own.symbol
        return list(self._always(order, symbol, limit, entry=entry, new=own is None)) + (
            [
                *self._moment(order, symbol, new=own is None),
                *self._prices(order, symbol, limit, stop),
                *self._size(order, symbol, qty, limit, own),
                *self._exposure(order, symbol, qty - (own.cum if own else 0), limit, own),
            ]
            if entry
            else []
        )

    def _always(self, order: SubmitOrder, symbol: int, limit: int | None, *, entry: bool, new: bool) -> Iterator[str]:
        if new and order.client_order_id in self.ids:
            yield "DUPLICATE"
        state, self.sent = self.sent or self.state, None
        if state is State.KILLED or (entry and state is not State.ACTIVE):
            yield state.name
        side, collar = order.side, self.limits.price_collar
        if collar and limit is not None and symbol in self.low:
            ref = self.high[symbol] if side == BUY else self.low[symbol]
            if side * (limit - ref) > collar * ref * HAIR + 1:
                yield "PRICE_COLLAR"
        gate = self.limits.min_confidence_buy if side == BUY else self.limits.min_confidence_sell
        if gate and order.confidence is not None and not order.confidence >= gate:
            yield "CONFIDENCE"

    def _moment(  # noqa: C901, PLR0912 - one branch a rule
        self, order: SubmitOrder, symbol: int, *, new: bool
    ) -> Iterator[str]:
        limits, name, now = self.limits, order.portfolio, self.now
        if name in self.blocked:
            yield "ENTRIES_BLOCKED by the day's loss"
        for portfolio, breaker, subject in self.stands:
            if portfolio in ("", name) and subject in ("", order.strategy or None, *self.called[symbol]):
                yield f"ENTRIES_BLOCKED by {breaker}"
        for lock in self.locks:
            lasts = now < lock.until_ts or self.number < lock.until_session
            if lasts and lock.portfolio == name and lock.symbol in (-1, symbol):
                yield "COOLDOWN"
        if order.strategy and order.strategy in self.off:
            yield "STRATEGY_DISABLED"
        listed = any(name in limits.restricted for name in self.called[symbol])
        if listed or self.restricted.get(symbol, False):
            yield "RESTRICTED"
        if symbol in self.halted:
            yield "SYMBOL_HALTED"
        if symbol not in self.low:
            if limits.require_reference:
                yield "NO_REF_PRICE"
        elif self.daily:
            if limits.stale_sessions and self.number - self.priced[symbol] > limits.stale_sessions:
                yield "STALE_PRICE"
        elif limits.stale_ns and self.session is not None and self.seen[symbol][0] >= self.opened:
            seen, more = self.seen[symbol]
            if now - seen > limits.stale_ns + more:
                yield "STALE_PRICE"
        last = limits.no_entry_before_close_ns
        if last and self.session is not None and self.session.close_ts - now <= last:
            yield "NEAR_CLOSE"
        if new:
            yield from self._too_fast("ORDER_RATE", [t for t, _ in self.entries], limits.order_rate, limits.order_burst)
            times = [t for t, s in self.entries if s == symbol]
            yield from self._too_fast("SYMBOL_ORDER_RATE", times, limits.symbol_order_rate, limits.symbol_order_burst)
        yield from self._too_fast("MESSAGE_RATE", self.messages, limits.message_rate, limits.message_burst)

    def _too_fast(self, code: str, times: list[int], rate: float, burst: int) -> Iterator[str]:
        if rate:
            for n, t in enumerate(reversed(times), start=2):
                if n > rate * (self.now - t) / 1e9 * HAIR + max(burst, 1):
                    yield f"{code}: {n} in {self.now - t} ns"
                    return

    def _prices(self, order: SubmitOrder, symbol: int, limit: int | None, stop: int | None) -> Iterator[str]:
        limits = self.limits
        if symbol not in self.low:
            return
        low, high = self.low[symbol], self.high[symbol]
        for price in (limit, stop):
            if limits.price_collar and price is not None:
                collar = limits.price_collar * HAIR
                if price > high * (1 + collar) + 1 or price < low * (1 - collar) - 1:
                    yield "PRICE_COLLAR"
        side, tolerance = order.side, limits.nbbo_tolerance
        if tolerance and symbol in self.quote:
            bid, ask, ts = self.quote[symbol]
            touch = ask if side == BUY else bid
            if not limits.stale_ns or self.now - ts <= limits.stale_ns:
                if limit is not None and side * (limit - touch) > tolerance * touch * HAIR + 1:
                    yield "NBBO"
                wide = ask - bid > tolerance * (bid + ask) / 2 * HAIR + 1
                if order.type is OrderType.MARKET and order.tif in RESTING and wide:
                    yield "WIDE_SPREAD"
        if limits.self_match_prevention and order.type is OrderType.LIMIT and limit is not None:
            for w in self.working.values():
                against = w.symbol == symbol and w.order.side == -side and w.order.type is OrderType.LIMIT
                if against and w.limit and side * (limit - w.limit) >= 0:
                    yield "SELF_MATCH"

    def _px(self, order: SubmitOrder, symbol: int, limit: int | None) -> float:
        return limit if limit is not None else self.low.get(symbol, 0)

    def _size(self, order: SubmitOrder, symbol: int, qty: int, limit: int | None, own: Order | None) -> Iterator[str]:
        limits, names = self.limits, self.called[symbol]
        tables = [limits.symbols[name] for name in names if name in limits.symbols] or [SymbolLimits()]
        mine = limits.portfolios.get(order.portfolio) or PortfolioLimits()
        most = least(limits.max_order_qty, *(t.max_order_qty for t in tables))
        if most and qty > most:
            yield "MAX_QTY"
        if not (px := self._px(order, symbol, limit)):
            return
        value, equity = qty * px / SCALE, self.equity[order.portfolio]
        dear = qty * (limit if limit is not None else self.high[symbol]) / SCALE
        if order.type in (OrderType.MARKET, OrderType.LIMIT) and dear < limits.min_order_value / HAIR - 1:
            yield "MIN_NOTIONAL"
        cap = max(limits.max_order_value, limits.max_order_fraction * equity)
        if (limits.max_order_value or limits.max_order_fraction) and value > cap * HAIR + 1:
            yield "MAX_NOTIONAL"
        most = least(mine.max_order_value, *(t.max_order_value for t in tables))
        if most and value > most * HAIR + 1:
            yield "MAX_NOTIONAL by name"
        bare = not order.strategy and (order.terms is None or order.terms.bracket is None)
        if limits.risk_per_trade and bare and own is None and value > limits.risk_per_trade * equity * HAIR + 1:
            yield "RISK_PER_TRADE"

    def _worst(self, name: str, order: SubmitOrder, symbol: int, leaves: int, skip: str | None) -> dict[int, Any]:
        """Return by symbol shares if all buys fill, and if all sales do."""
        found: dict[int, Any] = {}
        group = order.terms.oco_group if order.terms is not None else ""
        for i in range(len(self.universe)):
            up = self.pos[name, i] + self.same(name, i, 1, skip, group)
            down = self.pos[name, i] - self.same(name, i, -1, skip, group)
            if name == order.portfolio and i == symbol:
                up, down = (up + leaves, down) if order.side == BUY else (up, down - leaves)
            found[i] = up, down
        return found

    def _exposure(  # noqa: C901, PLR0912 - one branch a rule
        self, order: SubmitOrder, symbol: int, leaves: int, limit: int | None, own: Order | None
    ) -> Iterator[str]:
        limits, name, side = self.limits, order.portfolio, order.side
        mine = limits.portfolios.get(name) or PortfolioLimits()
        tables = [limits.symbols[n] for n in self.called[symbol] if n in limits.symbols] or [SymbolLimits()]
        skip = own.order.client_order_id if own else None
        equity, mark = self.equity[name], max(self._px(order, symbol, limit), self.low.get(symbol, 0))
        worst = self._worst(name, order, symbol, leaves, skip)
        up, down = worst[symbol]
        if not limits.allow_short and side != BUY and down < 0:
            yield "SHORT_NOT_ALLOWED"
        share = least(limits.max_position, mine.max_position, *(t.max_position for t in tables))
        if share and (up if side == BUY else -down) * mark / SCALE > share * equity * HAIR + 1:
            yield "MAX_POSITION"
        if own is None and (most := least(limits.max_positions, mine.max_positions)):
            yield from self._places(name, symbol, most)
        if not mark:
            return

        def value(i: int, up: int, down: int) -> float:
            if i != symbol:
                return max(up, -down) * self.low.get(i, 0) / SCALE
            low = self.low.get(i, mark)
            return max(up * mark, -down * low) / SCALE if side == BUY else max(up * low, -down * mark) / SCALE

        def gross(found: dict[int, Any]) -> float:
            return sum(value(i, *both) for i, both in found.items())

        total = gross(worst)
        if (most := least(limits.max_gross_value, mine.max_gross_value)) and total > most * HAIR + 1:
            yield "MAX_GROSS"
        if (most := least(limits.max_leverage, mine.max_leverage)) and total > most * equity * HAIR + 1:
            yield "MAX_LEVERAGE"
        if most := least(limits.max_net, mine.max_net):
            prices = {i: mark if i == symbol else (self.low.get(i, 0)) for i in worst}
            net = sum((up if side == BUY else -down) * prices[i] for i, (up, down) in worst.items()) / SCALE
            exact = all(self.low.get(i) == self.high.get(i) for i, both in worst.items() if any(both))
            if exact and net > most * equity * HAIR + 1:
                yield "MAX_NET"
        if self.sector:
            kind = self.sector[symbol]
            own_share = limits.sectors.get(kind, 0.0) if kind else 0.0
            if most := least(limits.max_sector, mine.max_sector, own_share):
                there = sum(value(i, *both) for i, both in worst.items() if self.sector[i] == kind)
                if there > most * equity * HAIR + 1:
                    yield "MAX_SECTOR"
        everybody = total + sum(gross(self._worst(p, order, symbol, 0, skip)) for p in self.portfolios if p != name)
        if limits.book_max_gross_value and everybody > limits.book_max_gross_value * HAIR + 1:
            yield "BOOK_GROSS"
        cap = limits.book_max_leverage * sum(self.equity.values())
        if limits.book_max_leverage and everybody > cap * HAIR + 1:
            yield "BOOK_LEVERAGE"
        if self.account != "margin" and side == BUY and limits.cash_reserve:
            yield from self._cash(name, leaves * self._px(order, symbol, limit) / SCALE, skip)

    def _places(self, name: str, symbol: int, most: float) -> Iterator[str]:
        there = {i for (p, i), qty in self.pos.items() if p == name and qty}
        leaving = set()
        for w in self.working.values():
            if w.order.portfolio == name:
                if not w.order.reduce_only:
                    there.add(w.symbol)
                if w.order.type is OrderType.MARKET and w.order.side * self.pos[name, w.symbol] < 0:
                    leaving.add(w.symbol)
        if symbol not in there and len(there - leaving) + 1 > most:
            yield "MAX_POSITIONS"

    def _cash(self, name: str, need: float, skip: str | None) -> Iterator[str]:
        """What works must be paid from cash and from what is being sold."""
        for key, w in self.working.items():
            if w.order.portfolio == name and key != skip and not w.order.reduce_only:
                px = (w.limit or self.low.get(w.symbol, 0)) if w.order.side == BUY else self.high.get(w.symbol, 0) * 2
                need += w.order.side * w.leaves * px / SCALE
        sold = sum(
            w.leaves * self.high.get(w.symbol, 0) * 2 / SCALE
            for w in self.working.values()
            if w.order.portfolio == name and w.order.reduce_only
        )
        if need - sold > self.cash[name] * HAIR + SCALE:
            yield "CASH"


def plain(order: SubmitOrder) -> dict[str, Any]:
    """Return what an order says, for messages of failures."""
    return {key: value for key, value in msgspec.structs.asdict(order).items() if value}
