"""The gate: straight-line checks in a fixed order, on the only path to the broker.

Order of the checks and their codes; the first that fails speaks:

1. form: the border's own code, ``UNKNOWN_PORTFOLIO``, ``UNKNOWN_SYMBOL``, ``NOT_TRADABLE``, ``DELISTED``, ``BAD_SIDE``,
   ``BAD_QTY``, ``BAD_PRICE``, what :mod:`actors.risk.terms` says of all other terms, ``DUPLICATE``, ``WOULD_FLIP``;
2. state: ``KILLED``, ``HALTED``, ``REDUCING``, and for entries ``ENTRIES_BLOCKED``, ``COOLDOWN``,
   ``STRATEGY_DISABLED``, ``RESTRICTED``, ``SYMBOL_HALTED``, ``NO_REF_PRICE``, ``STALE_PRICE``, ``NEAR_CLOSE``, ``PDT``,
   and ``MESSAGE_RATE``, ``ORDER_RATE``, ``SYMBOL_ORDER_RATE`` (:mod:`actors.risk.throttle`);
3. size, for entries (:mod:`actors.risk.sizes`): ``MAX_QTY``, ``UNKNOWN_ADV``, ``MAX_ADV``, ``MIN_NOTIONAL``,
   ``MAX_NOTIONAL``, ``UNUSUAL_SIZE``;
4. price: ``PRICE_COLLAR`` for all, for entries ``COLLAR_PERIOD``, ``NBBO``, ``WIDE_SPREAD``
   (:mod:`actors.risk.price_limits`), ``SELF_MATCH`` (:mod:`actors.risk.self_match`), ``CONFIDENCE``;
5. exposure: ``SHORT_NOT_ALLOWED``, and for entries ``MAX_POSITION``, ``MAX_POSITIONS``, then ``MAX_GROSS``,
   ``MAX_LEVERAGE``, ``MAX_NET``, ``MAX_SECTOR``, ``CORRELATION``, ``CLUSTER``, ``BOOK_GROSS``, ``BOOK_LEVERAGE``,
   ``BOOK_POSITION``, ``MAX_VAR``, ``UNKNOWN_VAR`` (:mod:`actors.risk.exposure_limits`), ``RISK_PER_TRADE``,
   ``MAX_HEAT`` (:mod:`actors.risk.heat`), ``CASH`` (margin accounts: ``BUYING_POWER``).

A replace is judged as an order with its new terms would be, in the place of the old one.

An *entry* adds risk. An order reduces risk if it is marked reduce-only (the broker cuts it to the position), or if
it sells no more than is held and not already being sold (buys no more than is short); resting reduce-only orders, a
stop and a take-profit of one lot, take nothing from that, reduce-only market orders do. An order that would do both is
a flip: it is split, so that each half meets its own checks. What reduces risk meets no rate, size or exposure limit: it
counts in them, and passes.

The *reference* is the last known price. An order is judged at its limit where it has one, a stop that buys at the
higher of trigger and reference, a trailing one where its stop would begin, everything else at the reference. A buy
reserves that price times ``cash_reserve`` plus fees; one with a limit reserves the limit plus fees, which is the worst
it can pay: the reserve is there for prices that move, and a limit does not. With a ``cash_reserve`` of 0 the broker
cuts buys to cash, and only shorts must show it here.
"""

from __future__ import annotations

from typing import Final

from actors.messages.orders import BUY, SELL, OrderType, SubmitOrder, TimeInForce
from actors.messages.risk import TradingState
from actors.risk.exposure import Exposure
from actors.risk.exposure_limits import ExposureLimits
from actors.risk.fees import FeeEstimate
from actors.risk.flips import opening_of, out_of_turn, split, unclosed
from actors.risk.form import Denial, Split, bad_price, economic_key, plain, seconds
from actors.risk.heat import Heat
from actors.risk.holdings import Book, Working
from actors.risk.limits import compiled
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.risk.remembered import Remembered
from actors.risk.standing import Standing
from actors.risk.terms import bad_terms, is_plain, worst_px
from actors.risk.trading_state import ACTIVE, KILLED, StateKeeper
from actors.values.fixed import FIXED_MAX, SCALE, fmt, mul
from actors.values.margin import initial
from actors.values.order_names import EXIT_ENDINGS, entry_of, exit_ids, opening_id, opens_a_flip
from actors.values.plain import in_cents
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
    "cooling": "it becomes active again by itself once the breaker is armed again",
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
        "_confidence_buy",
        "_confidence_sell",
        "_crowding",
        "_exposure",
        "_fees",
        "_heat",
        "_keeper",
        "_key",
        "_keyed",
        "_limits",
        "_lot",
        "_match",
        "_n",
        "_price_limits",
        "_prices",
        "_quotes",
        "_recent",
        "_seen",
        "_sizes",
        "_standing",
        "_symbols",
        "_terms",
        "_tradable",
        "_universe",
        "_walks",
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
        standing: Standing,
        remembered: Remembered,
        crowding: ExposureLimits,
        heat: Heat,
        seen: SeenIds,
        recent: dict[tuple[str | int | None, ...], int],
    ) -> None:
        """Build over the actor's live state.

        Args:
            universe: what may be traded.
            limits: the limits.
            fees: estimate of commissions.
            prices: last known prices, folded by the actor as everything below.
            exposure: positions, working orders, cash.
            keeper: the trading state.
            standing: what stands against entries at a moment.
            remembered: rates, sizes, quotes, what rests, the restricted list, day trades.
            crowding: limits of what may be held beyond one symbol.
            heat: limits of what may be lost down to stops.
            seen: client order ids of the run.
            recent: economic terms of strategies' orders -> tape time of their acceptance.
        """
        self._universe = universe
        self._fees = fees
        self._prices = prices
        self._exposure = exposure
        self._keeper = keeper
        self._standing = standing
        self._sizes = remembered.sizes
        self._price_limits = remembered.price_limits
        self._quotes = remembered.price_limits.quotes
        self._walks = remembered.price_limits.walks
        self._match = remembered.self_match
        self._crowding = crowding
        self._heat = heat
        self._seen = seen
        self._recent = recent
        self._n = len(universe)
        self._symbols = universe.symbols
        self._tradable = universe.tradable or (True,) * len(universe)
        self._keyed: SubmitOrder | None = None
        self._key: tuple[str | int | None, ...] = ()
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Judge by these limits from now on."""
        self._limits = limits
        self._standing.adopt(limits)
        self._crowding.adopt(limits)
        self._heat.adopt(limits)
        self._lot = limits.lot_size
        self._confidence_buy = limits.min_confidence_buy
        self._confidence_sell = limits.min_confidence_sell
        self.rename()

    def rename(self) -> None:
        """Hold what symbols are called by now to the limits of the names that they had."""
        self._terms = compiled(self._limits, self._universe, self._exposure.books, self._prices.gone)
        for terms in self._terms.values():
            terms.crowded = self._crowding.is_on(terms)

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
        denial = out_of_turn(working, qty, limit_px, stop_px, self._exposure.working)
        if denial is not None:
            return denial
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
        if order.portfolio not in self._terms:
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
                half = opening_of(order, self._exposure.working)
                if half is not None:
                    same -= half.leaves  # it comes behind this one
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
                return unclosed(order, closable)
            if entry and closable > 0 and (side == BUY or self._limits.allow_short):
                return split(order, closable)
        if order.terms is not None and order.terms.bracket is not None and not entry and own is None:
            return _IDLE_BRACKET
        state = self._keeper.state
        if state is not ACTIVE and (state is KILLED or not reducing):
            return self._stopped()
        if held + same + leaves > FIXED_MAX:
            reason = f"the position could grow beyond {fmt(FIXED_MAX)}, which is more than a run can count"
            return Denial("MAX_QTY", reason, fmt(held + same + leaves), fmt(FIXED_MAX))
        ref = self._prices.last(symbol)
        if entry:
            other = 0 if holding is None else (holding.sells if side == BUY else holding.buys) - held
            return self._enter(order, qty, leaves, limit_px, stop_px, now, own, ref, book, held + same + leaves, other)
        if limit_px is not None or stop_px is not None:
            denial = self._price_limits.collar(side, ref, limit_px, stop_px, entry=False)
            if denial is not None:
                return denial
            resting = self._match.asks if side == BUY else self._match.bids
            if resting and symbol in resting:
                denial = self._match.why(order, limit_px, ref, entry=False)
                if denial is not None:
                    return denial
        return 0 if order.confidence is None else self._unsure(order) or 0

    def _enter(  # noqa: C901, PLR0911, PLR0912 - straight-line: one return per check, in the documented order
        self,
        order: SubmitOrder,
        qty: int,
        leaves: int,
        limit_px: int | None,
        stop_px: int | None,
        now: int,
        own: Working | None,
        ref: int,
        book: Book,
        worst: int,
        other: int,
    ) -> int | Denial:
        """Judge an entry: ``worst`` shares on its side if all that works there fills, ``other`` on the other side."""
        denial = self._standing.why(order, now, ref, new=own is None)
        if denial is not None:
            return denial
        symbol, side = order.symbol, order.side
        px = limit_px or (ref if order.type is _MARKET else worst_px(order, stop_px, ref))
        terms = self._terms[order.portfolio]
        bound = terms.named.get(symbol, terms.general) if terms.named else terms.general
        holding = book.holdings.get(symbol)
        denial = self._sizes.why(order, qty, px, book.equity, bound, opens=holding is None or not holding.qty)
        if denial is not None:
            return denial
        if limit_px is not None or stop_px is not None:
            denial = self._price_limits.collar(side, ref, limit_px, stop_px, entry=True)
            if denial is not None:
                return denial
        if now < self._walks.until and (denial := self._price_limits.walked(symbol, ref, now)) is not None:
            return denial
        if self._quotes.any and (denial := self._price_limits.quoted(order, limit_px, now)) is not None:
            return denial
        resting = self._match.asks if side == BUY else self._match.bids
        if resting and symbol in resting and (denial := self._match.why(order, limit_px, ref, entry=True)) is not None:
            return denial
        confidence = order.confidence
        if confidence is not None and not confidence >= (
            self._confidence_buy if side == BUY else self._confidence_sell
        ):
            denial = self._unsure(order)
            if denial is not None:
                return denial
        if side == SELL and not self._limits.allow_short:
            return _short(leaves, leaves - worst)
        mark = max(px, ref)
        if bound.position and mark and worst * mark > book.equity * bound.position:
            return self._too_much(symbol, worst, mark, book.equity, bound.position)
        places = terms.positions
        if places and book.names >= places and (holding is None or not holding.counted):
            return _no_place(book.names, places)
        if mark:
            if terms.crowded:
                denial = self._crowding.why(terms, book, holding, symbol, side, worst, other, mark)
                if denial is not None:
                    return denial
            if self._heat.on and (denial := self._heat.why(order, leaves, px, book.equity, own)) is not None:
                return denial
        return self._need(order, leaves, px, limit_px, own, book)

    def _unsure(self, order: SubmitOrder) -> Denial | None:
        """Compare a signal's confidence, written so that NaN fails: an unknown confidence is no confidence."""
        least = self._confidence_buy if order.side == BUY else self._confidence_sell
        confidence = order.confidence
        if confidence is None or not least > 0 or confidence >= least:
            return None
        reason = f"the signal's confidence is below {plain(least)}; wait for a stronger one"
        return Denial("CONFIDENCE", reason, plain(confidence), plain(least))

    def _stopped(self) -> Denial:
        keeper = self._keeper
        state = keeper.state
        why = f" ({keeper.reason})" if keeper.reason else ""
        cooling = keeper.rule_may_resume and not keeper.latched
        remedy = _WAY_BACK["recovering" if keeper.recovering else "cooling" if cooling else state]
        return Denial(state.name, f"{_STATE_TEXT[state]}{why}; {remedy}")

    def _too_much(self, symbol: int, worst: int, mark: int, equity: int, share: int) -> Denial:
        shown, cap = fmt(mul(worst, mark)), fmt(mul(equity, share))
        said, most = in_cents(shown, cap)
        reason = f"{self._symbols[symbol]} could grow to {said}, more than {most}; order less or cancel what works"
        return Denial("MAX_POSITION", reason, shown, cap)

    def _need(
        self, order: SubmitOrder, leaves: int, px: int, limit_px: int | None, own: Working | None, book: Book
    ) -> int | Denial:
        """Return the cash an entry has to have, and has; what it holds already (``own``) is free for it."""
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
        if need <= free:
            return need
        needs, has = in_cents(fmt(need), fmt(free))
        if self._exposure.is_margin:
            reason = (
                f"the order needs {needs} of initial margin and fees and {has} of equity is free for it;"
                " order less, or put cash in"
            )
            return Denial("BUYING_POWER", reason, fmt(need), fmt(free))
        reason = f"the order needs {needs} and {has} is free; order less, or put cash in"
        return Denial("CASH", reason, fmt(need), fmt(free))


def _short(leaves: int, held: int) -> Denial:
    free = fmt(max(held, 0))
    reason = f"{fmt(leaves)} is more than the {free} that are held and not being sold already; sell no more than"
    return Denial("SHORT_NOT_ALLOWED", f"{reason} those, or set broker.allow_short", fmt(leaves), free)


def _no_place(names: int, places: int) -> Denial:
    reason = f"{names} names are held or being entered already; close one first"
    return Denial("MAX_POSITIONS", reason, str(names + 1), str(places))
