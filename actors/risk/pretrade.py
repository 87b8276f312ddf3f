"""The gate: straight-line checks in a fixed order, on the only path to the broker.

Order of the checks and their codes; the first that fails speaks:

1. form: the border's own code, ``UNKNOWN_PORTFOLIO``, ``UNKNOWN_SYMBOL``, ``NOT_TRADABLE``, ``DELISTED``, ``BAD_SIDE``,
   ``BAD_QTY``, ``BAD_PRICE``, what :mod:`actors.risk.terms` says of all other terms, ``DUPLICATE``;
2. state: ``KILLED``, ``HALTED``, ``REDUCING``, and for entries ``ENTRIES_BLOCKED``, ``STRATEGY_DISABLED``,
   ``SYMBOL_HALTED``, ``NO_REF_PRICE``, ``STALE_PRICE``;
3. size: for entries ``MAX_QTY``, ``MIN_NOTIONAL``, ``MAX_NOTIONAL``; for all ``PRICE_COLLAR``, ``CONFIDENCE``;
4. exposure: ``SHORT_NOT_ALLOWED``, and for entries ``MAX_POSITION``, ``MAX_POSITIONS``, ``CASH`` (margin
   accounts: ``BUYING_POWER``).

An *entry* adds risk. An order reduces risk if it is marked reduce-only (the broker cuts it to the position), or if
it sells no more than is held and not already being sold (buys no more than is short); resting reduce-only orders, a
stop and a take-profit of one lot, take nothing from that, reduce-only market orders do. An order that would do both is
a flip: it is split, so that each half meets its own checks.

The *reference* is the last known price. An order is judged at its limit where it has one, a stop that buys at the
higher of trigger and reference, a trailing one where its stop would begin, everything else at the reference. A buy
reserves that price times ``cash_reserve`` plus fees; one with a limit reserves the limit plus fees, which is the worst
it can pay: the reserve is there for prices that move, and a limit does not. With a ``cash_reserve`` of 0 the broker
cuts buys to cash, and only shorts must show it here.

An exit's limit may lie as far on the patient side of the reference as its owner likes (a take-profit), and its stop
anywhere: the collar stops only a price that gives money away.
"""

from __future__ import annotations

from typing import Final

from actors.messages.orders import BUY, SELL, OrderType, SubmitOrder, TimeInForce
from actors.messages.risk import TradingState
from actors.risk.breakers import Guard
from actors.risk.exposure import Book, Exposure, Holding, Working
from actors.risk.fees import FeeEstimate
from actors.risk.form import Denial, Split, bad_price, economic_key, plain, seconds
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.terms import bad_terms, is_plain, worst_px
from actors.risk.trading_state import ACTIVE, KILLED, StateKeeper
from actors.values.fixed import FIXED_MAX, SCALE, div_round, fmt, mul, to_fixed
from actors.values.halts import HALTED, LULD
from actors.values.margin import initial
from actors.values.order_names import EXIT_ENDINGS, entry_of, exit_ids, opening_id, opens_a_flip
from actors.values.refusals import below_filled
from actors.values.seen import SeenIds
from actors.values.universe import Universe

_MARKET: Final = OrderType.MARKET
_LIMIT: Final = OrderType.LIMIT
_PLAIN_TIFS: Final = (TimeInForce.DAY, TimeInForce.GTC)
_STATE_TEXT: Final = {
    TradingState.REDUCING: "only orders that reduce a position pass while trading is reducing",
    TradingState.HALTED: "only verified exits pass while trading is halted",
    TradingState.KILLED: "nothing but cancels passes while trading is killed",
}
_WAY_BACK: Final[dict[str, str]] = {
    "recovering": "it becomes active again once every symbol held has a fresh price",
    TradingState.REDUCING: "an operator must resume first",
    TradingState.HALTED: "an operator must resume first",
    TradingState.KILLED: "an operator must unlatch and resume first",
}


_IDLE_BRACKET: Final = Denial(
    "BAD_BRACKET", "the order only closes what is held, and a bracket is for what an entry opens; leave it out"
)

Verdict = int | Denial | Split
"""Cash to reserve where the order passes."""


class Gate:
    """The checks, over state that the actor folds. Reads only; costs a microsecond or two."""

    __slots__ = (
        "_collar",
        "_confidence_buy",
        "_confidence_sell",
        "_disabled",
        "_exposure",
        "_fees",
        "_fraction",
        "_guards",
        "_keeper",
        "_key",
        "_keyed",
        "_limits",
        "_lot",
        "_max_position",
        "_n",
        "_prices",
        "_recent",
        "_seen",
        "_symbols",
        "_tradable",
    )

    def __init__(
        self,
        universe: Universe,
        limits: RiskLimits,
        fees: FeeEstimate,
        *,
        prices: Prices,
        exposure: Exposure,
        keeper: StateKeeper,
        guards: dict[str, Guard],
        seen: SeenIds,
        recent: dict[tuple[str | int | None, ...], int],
        disabled: dict[str, str],
    ) -> None:
        """Build over the actor's live state.

        Args:
            universe: what may be traded.
            limits: the limits.
            fees: estimate of commissions.
            prices: last known prices, folded by the actor as everything below.
            exposure: positions, working orders, cash.
            keeper: the trading state.
            guards: breakers by portfolio.
            seen: client order ids of the run.
            recent: economic terms of strategies' orders -> tape time of their acceptance.
            disabled: strategies that are switched off -> why.
        """
        self._fees = fees
        self._prices = prices
        self._exposure = exposure
        self._keeper = keeper
        self._guards = guards
        self._seen = seen
        self._recent = recent
        self._disabled = disabled
        self._n = len(universe)
        self._symbols = universe.symbols
        self._tradable = universe.tradable or (True,) * len(universe)
        self._keyed: SubmitOrder | None = None
        self._key: tuple[str | int | None, ...] = ()
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._limits = limits
        self._lot = limits.lot_size
        self._confidence_buy = limits.min_confidence_buy
        self._confidence_sell = limits.min_confidence_sell
        self._max_position = to_fixed(limits.max_position)
        self._fraction = to_fixed(limits.max_order_fraction)
        self._collar = to_fixed(limits.price_collar)

    def key_of(self, order: SubmitOrder) -> tuple[str | int | None, ...]:
        """Return :func:`economic_key`; the gate asks for it, and soon after the acceptance of the very same order."""
        if order is not self._keyed:
            self._keyed = order
            self._key = economic_key(order)
        return self._key

    def judge_new(self, order: SubmitOrder, now: int) -> Verdict:
        """Judge a new order at the instant ``now``."""
        if order.malformed is not None:
            return Denial(*order.malformed)
        qty = order.qty
        denial = self._form(order, qty, order.limit_px, order.stop_px, now) or self._duplicate(order, now)
        if denial is not None:
            return denial
        verdict = self._judge(order, qty, qty, order.limit_px, order.stop_px, now, None)
        if isinstance(verdict, Split):
            return self._used(opening_id(order.client_order_id)) or verdict
        return verdict

    def judge_replace(
        self, working: Working, qty: int, limit_px: int | None, stop_px: int | None, now: int
    ) -> int | Denial:
        """Judge the complete new terms of a working order; what it holds already counts as free."""
        order = working.order
        denial = self._form(order, qty, limit_px, stop_px, None)
        if denial is not None:
            return denial
        leaves = qty - working.cum
        if leaves <= 0:
            return Denial(*below_filled(working.cum), fmt(qty), fmt(working.cum))
        verdict = self._judge(order, qty, leaves, limit_px, stop_px, now, working)
        if isinstance(verdict, Split):
            reason = f"the new quantity would flip the position; at most {fmt(verdict.closing)} close it"
            return Denial("WOULD_FLIP", reason, fmt(leaves), fmt(verdict.closing))
        return verdict

    # -- form ------------------------------------------------------------------------------------------------------

    def _form(  # noqa: PLR0911 - one return per check
        self, order: SubmitOrder, qty: int, limit_px: int | None, stop_px: int | None, now: int | None
    ) -> Denial | None:
        symbol = order.symbol
        if order.portfolio not in self._guards:
            return Denial("UNKNOWN_PORTFOLIO", f"no portfolio is called {order.portfolio!r}; see the configuration")
        if not 0 <= symbol < self._n:
            return self._unknown(order.symbol_text or str(symbol))
        if not self._tradable[symbol]:
            return Denial("NOT_TRADABLE", f"{self._symbols[symbol]} is only observed in this run and cannot be traded")
        if self._prices.gone and symbol in self._prices.gone:
            new = self._prices.gone[symbol]
            what = "was delisted" if new < 0 else f"is {self._symbols[new]} by now"
            return Denial("DELISTED", f"{self._symbols[symbol]} {what}; it is traded no more under this name")
        if order.side not in (1, -1):
            return Denial("BAD_SIDE", "the side must be buy or sell", str(order.side))
        lot = self._lot
        # What may only reduce is cut to the position, and that may always be closed whole.
        if qty <= 0 or (qty % lot and not order.reduce_only):
            reason = f"the quantity must be a positive multiple of {fmt(lot)}, not {fmt(qty)}"
            return Denial("BAD_QTY", reason, fmt(qty), fmt(lot))
        kind = order.type
        if order.terms is None and stop_px is None and order.tif in _PLAIN_TIFS:  # what most are, without calls
            if limit_px is None:
                if kind is _MARKET:
                    return None
            elif kind is _LIMIT and limit_px > 0:
                return None
        denial = bad_price(kind, limit_px, stop_px)
        if denial is not None or is_plain(order):
            return denial
        ref = self._prices.last(symbol)
        return bad_terms(order, qty, limit_px, stop_px, ref=ref, lot=lot, now=now)

    def _unknown(self, name: str) -> Denial:
        remedy = "give prices of it, and name it in universe.symbols where that is set"
        if name.upper() in self._symbols:
            remedy = f"did you mean {name.upper()}?"
        return Denial("UNKNOWN_SYMBOL", f"{name} is not in the universe of this run; {remedy}")

    def _duplicate(self, order: SubmitOrder, now: int) -> Denial | None:
        name = order.client_order_id
        denial = self._used(name) if name in self._seen or name.endswith(EXIT_ENDINGS) else None
        if denial is None and order.terms is not None and order.terms.bracket is not None:
            target, stop = exit_ids(name)
            denial = self._used(target) or self._used(stop)
        if denial is not None:
            return denial
        # Scripted and operators' orders have no strategy: two of them with different ids are meant.
        if self._recent and order.strategy:
            window = self._limits.duplicate_window_ns
            stamp = self._recent.get(self.key_of(order))
            if stamp is not None and now - stamp < window:
                reason = "the same order of the same decision is already in; wait for a new decision"
                return Denial("DUPLICATE", reason, seconds(now - stamp), seconds(window))
        return None

    def _used(self, name: str) -> Denial | None:
        """Return why an id cannot be had: an order has it, or the exit of a bracket that still works will."""
        if name in self._seen:
            reason = f"the order id {name} was used before in this run; a resend changes nothing"
            return Denial("DUPLICATE", reason)
        of = entry_of(name)
        entry = self._exposure.working.get(of) if of else None
        if entry is None or entry.order.terms is None or entry.order.terms.bracket is None:
            return None
        reason = f"the order id {name} is kept for the exit of {entry.order.client_order_id}; name the order otherwise"
        return Denial("DUPLICATE", reason)

    # -- state, size, exposure -------------------------------------------------------------------------------------

    def _judge(  # noqa: C901, PLR0911, PLR0912 - straight-line: one return per check, in the documented order
        self,
        order: SubmitOrder,
        qty: int,
        leaves: int,
        limit_px: int | None,
        stop_px: int | None,
        now: int,
        own: Working | None,
    ) -> Verdict:
        symbol, side = order.symbol, order.side
        book = self._exposure.books[order.portfolio]
        holding = book.holdings.get(symbol)
        held = same = 0
        if holding is not None:
            held = holding.qty * side
            same = holding.buys if side == BUY else holding.sells
            if held < 0:
                # A reduce-only market exit leaves with the next price: what it takes nobody else can close.
                same += holding.cuts
            if own is not None and not order.reduce_only:
                same -= own.leaves
            if order.terms is not None and order.terms.oco_group:
                same -= self._exposure.in_group(order)  # one of them fills, whichever it is
        closable = -held - same
        if order.reduce_only:
            entry = False
            reducing = held < 0
        else:
            reducing = leaves <= closable
            entry = not reducing
            parent = order.parent_id
            if parent and closable > 0 and own is None and opens_a_flip(order.client_order_id, parent):
                return _unclosed(order, closable)
            if entry and closable > 0 and (side == BUY or self._limits.allow_short):
                return _flip(order, closable)
        if order.terms is not None and order.terms.bracket is not None and not entry and own is None:
            return _IDLE_BRACKET
        ref = self._prices.last(symbol)
        denial = self._state(order, now, ref, entry=entry, reducing=reducing)
        if denial is not None:
            return denial
        px = limit_px or (ref if order.type is _MARKET else worst_px(order, stop_px, ref))
        if held + same + leaves > FIXED_MAX:
            reason = f"the position could grow beyond {fmt(FIXED_MAX)}, which is more than a run can count"
            return Denial("MAX_QTY", reason, fmt(held + same + leaves), fmt(FIXED_MAX))
        if entry and px:
            denial = self._size(qty, px, book.equity)
            if denial is not None:
                return denial
        if self._collar and ref and (limit_px is not None or stop_px is not None):
            denial = self._price_collar(side, ref, limit_px, stop_px, entry=entry)
            if denial is not None:
                return denial
        if order.confidence is not None:
            least = self._confidence_buy if side == BUY else self._confidence_sell
            # Written so that NaN fails: an unknown confidence is no confidence.
            if least > 0 and not order.confidence >= least:
                reason = f"the signal's confidence is below {plain(least)}; wait for a stronger one"
                return Denial("CONFIDENCE", reason, plain(order.confidence), plain(least))
        if not entry:
            return 0
        if side == SELL and not self._limits.allow_short:
            free = fmt(max(closable, 0))
            reason = (
                f"{fmt(leaves)} is more than the {free} that are held and not being sold already; sell no more than"
            )
            return Denial("SHORT_NOT_ALLOWED", f"{reason} those, or set broker.allow_short", fmt(leaves), free)
        return self._entry(order, leaves, limit_px, own, book, holding, held + same + leaves, ref, px)

    def _state(  # noqa: C901, PLR0911 - one return per check
        self, order: SubmitOrder, now: int, ref: int, *, entry: bool, reducing: bool
    ) -> Denial | None:
        keeper = self._keeper
        state = keeper.state
        if state is not ACTIVE and (state is KILLED or not reducing):
            why = f" ({keeper.reason})" if keeper.reason else ""
            remedy = _WAY_BACK["recovering" if keeper.recovering else state]
            return Denial(state.name, f"{_STATE_TEXT[state]}{why}; {remedy}")
        if not entry:
            return None
        limits = self._limits
        if self._guards[order.portfolio].blocked:
            reason = "the day's loss limit blocks new entries until the daily_loss breaker is armed again"
            return Denial("ENTRIES_BLOCKED", reason)
        if order.strategy and order.strategy in self._disabled:
            reason = f"{order.strategy} is switched off ({self._disabled[order.strategy]}); enable it first"
            return Denial("STRATEGY_DISABLED", reason)
        symbol = order.symbol
        if self._prices.halts.stopped and (denial := self._halted(symbol)) is not None:
            return denial
        if not ref:
            if limits.require_reference:
                reason = f"{self._symbols[symbol]} has no price yet; send the order once it has one"
                return Denial("NO_REF_PRICE", reason)
            return None
        if self._prices.daily:
            if limits.stale_sessions:
                age = self._prices.sessions_old(symbol)
                if age > limits.stale_sessions:
                    reason = f"the last price of {self._symbols[symbol]} is {age} sessions old; wait for a fresh one"
                    return Denial("STALE_PRICE", reason, str(age), str(limits.stale_sessions))
        elif limits.stale_ns:
            age = self._prices.age_ns(symbol, now)
            if age > limits.stale_ns:
                value, limit = seconds(age), seconds(limits.stale_ns)
                reason = f"the last price of {self._symbols[symbol]} is {value} s too old; wait for a fresh one"
                return Denial("STALE_PRICE", reason, value, limit)
        return None

    def _halted(self, symbol: int) -> Denial | None:
        found = self._prices.halts.why(symbol)
        if found is None:
            return None
        state, why = found
        what = {HALTED: "halted", LULD: "paused"}.get(state, f"of unknown status {state!r}")
        said = f" ({why})" if why else ""
        reason = f"{self._symbols[symbol]} is {what}{said}; enter once it trades again, exits may wait for that"
        return Denial("SYMBOL_HALTED", reason)

    def _size(self, qty: int, px: int, equity: int) -> Denial | None:
        # Compared as products of two fixed-point numbers: exact, and without a division.
        value = qty * px
        limits = self._limits
        if limits.max_order_qty and qty > limits.max_order_qty:
            reason = f"the order is larger than {fmt(limits.max_order_qty)} shares; split it"
            return Denial("MAX_QTY", reason, fmt(qty), fmt(limits.max_order_qty))
        if value < limits.min_order_value * SCALE:
            reason = f"the order is worth less than {fmt(limits.min_order_value)}; make it larger"
            return Denial("MIN_NOTIONAL", reason, fmt(mul(qty, px)), fmt(limits.min_order_value))
        cap = limits.max_order_value * SCALE
        if cap or self._fraction:
            cap = max(cap, equity * self._fraction)
            if value > cap:
                shown = fmt(div_round(cap, SCALE))
                return Denial(
                    "MAX_NOTIONAL", f"the order is worth more than {shown}; make it smaller", fmt(mul(qty, px)), shown
                )
        return None

    def _price_collar(
        self, side: int, ref: int, limit_px: int | None, stop_px: int | None, *, entry: bool
    ) -> Denial | None:
        widest = self._collar * ref
        for name, price in (("limit_px", limit_px), ("stop_px", stop_px)):
            if price is None or (not entry and (name == "stop_px" or (price - ref) * side < 0)):
                continue
            distance = abs(price - ref)
            if distance * SCALE > widest:
                limit = fmt(self._collar)
                away = f"more than {fmt(100 * self._collar)} % from the price of {fmt(ref)}"
                reason = f"{name} {fmt(price)} lies {away}; move it closer"
                return Denial("PRICE_COLLAR", reason, fmt(distance * SCALE // ref), limit)
        return None

    def _entry(
        self,
        order: SubmitOrder,
        leaves: int,
        limit_px: int | None,
        own: Working | None,
        book: Book,
        holding: Holding | None,
        worst: int,
        ref: int,
        px: int,
    ) -> int | Denial:
        """Judge what an entry may lead to: ``worst`` is the position if all that works on its side fills."""
        if self._max_position and px:
            mark = max(px, ref)
            if worst * mark > book.equity * self._max_position:
                shown, cap = fmt(mul(worst, mark)), fmt(mul(book.equity, self._max_position))
                name = self._symbols[order.symbol]
                reason = f"{name} could grow to {shown}, more than {cap}; order less or cancel what works"
                return Denial("MAX_POSITION", reason, shown, cap)
        places = self._limits.max_positions
        if places and book.names >= places and (holding is None or not holding.counted):
            reason = f"{book.names} names are held or being entered already; close one first"
            return Denial("MAX_POSITIONS", reason, str(book.names + 1), str(places))
        reserve = self._limits.cash_reserve
        if not px or (not reserve and order.side == BUY):
            return 0
        value = mul(leaves, px)
        need = self._fees.of(value, leaves)
        if self._exposure.is_margin:
            firm = order.side == BUY and limit_px is not None
            need += initial(order.side * leaves, px if firm else mul(px, max(reserve, SCALE)))
        elif order.side == SELL:
            # Opening a short must leave half of its value free (Reg T); the proceeds come in on top and are tied up.
            need += mul(value, max(reserve, SCALE)) // 2
        elif limit_px is not None:
            need += value
        else:
            need += mul(value, reserve)
        free = self._exposure.available(book)
        if own is not None:
            free += own.reserved
        if need > free:
            if self._exposure.is_margin:
                reason = (
                    f"the order needs {fmt(need)} of initial margin and fees and {fmt(free)} of equity is free for it;"
                    " order less, or put cash in"
                )
                return Denial("BUYING_POWER", reason, fmt(need), fmt(free))
            reason = f"the order needs {fmt(need)} and {fmt(free)} is free; order less, or put cash in"
            return Denial("CASH", reason, fmt(need), fmt(free))
        return need


def _flip(order: SubmitOrder, closable: int) -> Split | Denial:
    """Return how an order that would turn the position is cut.

    In an OCO group its halves would cancel each other, and what fills whole or not at all cannot be two orders.
    """
    if order.tif is TimeInForce.FOK:
        reason = f"the order would flip the position, and a fok order cannot be split; {fmt(closable)} close it"
        return Denial("WOULD_FLIP", reason, fmt(order.qty), fmt(closable))
    if order.terms is not None and order.terms.oco_group:
        reason = f"the order would flip the position, and one of an OCO group cannot be split; {fmt(closable)} close it"
        return Denial("WOULD_FLIP", reason, fmt(order.qty), fmt(closable))
    return Split(closable)


def _unclosed(order: SubmitOrder, closable: int) -> Denial:
    """Deny the half of a flip that opens, where the half that closes was refused: nothing is closed in its stead."""
    reason = f"the order {order.parent_id} that was to close {fmt(closable)} first was refused, so nothing is opened"
    return Denial("WOULD_FLIP", reason, fmt(order.qty), fmt(closable))
