"""What the working orders get from one bar: budgets shared by all of them, and the events that spend them.

``decide`` may not change state, so one :class:`Execution` carries what the fills of an instant have used up: cash,
positions and lots of each account, and each symbol's share of the bar's volume. It lives for one call.

Limits of a fill, in this order:

* An order that names a lot is cut to what that lot has left at its turn; where nothing is, it is cancelled and was
  never triggered: what closed the lot ended its exits. Without a lot, ``reduce_only``, and every sale where shorts are
  not allowed, is cut to the position. What is beyond is cancelled.
* Participation: at most this share of the bar's volume, all orders together; what is beyond it keeps working.
* Cash: a fill that would make the spendable cash negative is cut to the largest quantity that cash pays, fees included;
  the rest is cancelled, for nothing says that money will come. In ``cash_strict`` unsettled proceeds are not spendable.
  In a margin account cash may become negative as far as the initial requirement allows (:mod:`actors.broker.purse`).
* ``fok``: what is left of the order after these must be all of it, else it is cancelled whole.

A fill of a linked order (:mod:`actors.broker.links`) has consequences in the same instant: exits come to life, siblings
shrink or end. They are stated as events at once, and what they leave behind for the rest of the instant is in
:attr:`Execution.born`, :attr:`Execution.ended` and :attr:`Execution.present`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from actors.broker import fees
from actors.broker.acceptance import LOT_CLOSED, REDUCE_ONLY_FLAT
from actors.broker.account import Account
from actors.broker.aftermath import Aftermath
from actors.broker.book import QUOTE
from actors.broker.costs import CostModel, Price
from actors.broker.following import Following
from actors.broker.links import Links
from actors.broker.lots import Stake
from actors.broker.matching import Match
from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.broker.purse import MarginPrices, MarginPurse, Purse
from actors.broker.shorting import NO_LOCATE, Locates
from actors.broker.spreads import DynamicSpread
from actors.broker.status import OFF, SSR_RESTRICTED, MarketStatus
from actors.broker.trailing import stood
from actors.messages.orders import (
    BUY,
    OrderFilled,
    OrderPartiallyFilled,
    OrderTriggered,
    TimeInForce,
)
from actors.values.average_volume import AverageVolume
from actors.values.fixed import SCALE, div_round, mul
from daemon.kernel.ids import exec_id

NO_POSITION: Final = "NO_POSITION"
INSUFFICIENT_CASH: Final = "INSUFFICIENT_CASH"
INSUFFICIENT_MARGIN: Final = "INSUFFICIENT_MARGIN"
FOK: Final = "FOK"
IOC: Final = "IOC"


class Terms:
    """What stays the same for a whole run, laid out for the path of every fill."""

    __slots__ = (
        "adv",
        "aftermath",
        "allow_short",
        "costs",
        "locates",
        "lot_size",
        "margin",
        "participation",
        "regulatory",
        "shaped",
        "spreads",
        "status",
        "strict",
    )

    def __init__(
        self,
        params: BrokerParams,
        costs: CostModel,
        adv: AverageVolume | None,
        spreads: DynamicSpread | None = None,
        aftermath: Aftermath | None = None,
        *,
        margin: MarginPrices | None = None,
        locates: Locates | None = None,
        status: MarketStatus | None = None,
    ) -> None:
        """Read the switches; ``adv``, ``spreads`` and ``aftermath`` are None where no cost depends on them.

        Likewise ``margin``, the prices that initial requirements are measured with, where an account has only its cash,
        and ``locates`` where nothing has to be located before it is sold short. ``status`` knows price bands and
        short-sale restrictions.
        """
        self.status = MarketStatus(0, OFF) if status is None else status
        self.margin = margin
        self.locates = locates
        self.costs = costs
        self.adv = adv
        self.spreads = spreads
        self.aftermath = aftermath
        self.shaped = spreads is not None or aftermath is not None or params.slippage_volume_share > 0
        self.participation = params.participation
        self.lot_size = params.lot_size
        self.allow_short = params.allow_short
        self.regulatory = params.regulatory_fees
        self.strict = params.account == "cash_strict"


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A fill that all limits allow. ``cash`` is what comes in, fees deducted; negative: what goes out."""

    qty: int
    price: Price
    value: int
    commission: int
    regulatory: int
    cash: int


class Execution(Following):
    """The budgets of one instant and the events so far.

    Attributes:
        shares_volume: whether fills or their prices depend on the volume that is offered.
        bar: when the bars that fill began and ended, nanoseconds UTC; None where something else does.
    """

    __slots__ = (
        "_accounts",
        "_aftermath",
        "_banded",
        "_purses",
        "_session",
        "_terms",
        "_traded",
        "_volume",
        "bar",
        "shares_volume",
    )

    def __init__(
        self,
        terms: Terms,
        accounts: Mapping[str, Account],
        session: int,
        *,
        links: Links,
        orders: Mapping[str, WorkingOrder],
        number: int,
        now: int,
        last: Callable[[int], int],
    ) -> None:
        """Start with the accounts as they are.

        Args:
            terms: of the run.
            accounts: by portfolio; read only.
            session: trade date YYYYMMDD.
            links: which orders hang together; read only.
            orders: the working orders by client order id; read only.
            number: of the next order that is accepted.
            now: stamp of the instant.
            last: returns a symbol's last price, units of 1e-8, 0 where unknown.
        """
        super().__init__(links, orders, number, now, last)
        self._terms = terms
        self._accounts = accounts
        self._session = session
        self._purses: dict[str, Purse] = {}
        self._volume: dict[int, int] = {}
        self._traded: dict[int, int] = {}
        self._banded = terms.status.banded
        self.bar: tuple[int, int] | None = None
        self.shares_volume = terms.shaped or terms.participation > 0
        after = terms.aftermath
        self._aftermath = None if after is None else Aftermath(terms.costs, dict(after.pressures))

    def offer_volume(self, symbol: int, volume: float, used: int = 0) -> None:
        """Give the symbol's orders their share of a bar's volume, less what its earlier fills took."""
        participation = self._terms.participation
        if self._terms.shaped:
            self._traded[symbol] = round(volume * SCALE)
        if participation:
            share = round(volume * SCALE) * participation // SCALE
            self._volume[symbol] = max(0, share - used) if used else share

    def allow(self, symbol: int, qty: int | None, traded: int = 0) -> None:
        """Give the symbol's next fill a quantity of its own, None for no bound.

        Args:
            symbol: its id.
            qty: what a quote or print has left, units of 1e-8 shares.
            traded: size of that quote or print, which slippage by volume is measured by; 0 where it is not known.
        """
        self._traded[symbol] = traded
        if qty is None:
            self._volume.pop(symbol, None)
        else:
            self._volume[symbol] = qty

    def held(self, portfolio: str, symbol: int) -> int:
        """Return the position, fills of this instant included."""
        return self._purse(portfolio).stake(symbol).held

    def _purse(self, portfolio: str) -> Purse:
        purse = self._purses.get(portfolio)
        if purse is None:
            account, margin = self._accounts[portfolio], self._terms.margin
            purse = Purse(account) if margin is None else MarginPurse(account, margin)
            self._purses[portfolio] = purse
        return purse

    def cancel(self, order: WorkingOrder, reason: str, filled_now: int = 0) -> None:
        """End an order; the exits of an entry end with it where the position is not there."""
        super().cancel(order, reason, filled_now)
        if order.linked:
            self._end_exits_of(order)

    def expire(self, order: WorkingOrder, reason: str) -> None:
        """End an order whose time is over, as :meth:`cancel`."""
        super().expire(order, reason)
        if order.linked:
            self._end_exits_of(order)

    def _end_exits_of(self, entry: WorkingOrder) -> None:
        terms = entry.terms
        if (
            terms is not None
            and terms.bracket is not None
            and self.held(entry.portfolio, entry.symbol) * entry.side <= 0
        ):
            self.end_exits(entry)

    def trigger(self, order: WorkingOrder, level: int) -> WorkingOrder | None:
        """State that a condition was met; return the order as it works from then on, None where nothing is left of it.

        An order that has nothing to close any more ends instead, and was never triggered.
        """
        lot_id = order.order.lot_id
        if lot_id and self._purse(order.portfolio).stake(order.symbol).left(lot_id, order.side) <= 0:
            self.cancel(order, LOT_CLOSED)
            return None
        self.events.append(_triggered(order, level))
        changed = order.copy()
        changed.trigger()
        self.present[order.n] = changed
        return changed

    def fill(self, order: WorkingOrder, match: Match, half_quoted: int | None, arrival: int = 0) -> None:
        """Fill as much of an order as the limits allow, and state what becomes of the rest.

        Args:
            order: as it is now.
            match: at what price.
            half_quoted: half of the quoted spread, None where it is not known.
            arrival: the market's price when the order reached it, if that was now.
        """
        at = order.arrival_px or arrival
        submitted = order.order
        symbol = order.symbol
        if self._banded and self._beyond_band(order, match, half_quoted):
            return
        purse = self._purses.get(order.portfolio) or self._purse(order.portfolio)
        stake = purse.stake(symbol)
        qty = leaves = room = order.leaves
        bound = ""
        if order.side != BUY or submitted.reduce_only or submitted.lot_id:
            room, bound = self._room(order, stake, match)
            qty = min(leaves, room)
        if match.triggers and (room > 0 or bound != LOT_CLOSED):
            self.events.append(_triggered(order, match.ref))
        if qty <= 0:
            self.found_nothing(_arrived(order, at), bound)
            return
        offered = self._volume.get(symbol)
        if offered is not None and offered < qty:
            qty = offered - offered % self._terms.lot_size
        whole = order.immediate and submitted.tif is TimeInForce.FOK
        if whole and qty < leaves:
            self.cancel(_arrived(order, at), FOK)
            return
        if not qty:
            return
        try:
            fill = self._quote(order, match, qty, half_quoted)
            if (
                fill.cash < 0 and purse.cash + fill.cash < 0
                if self._terms.margin is None
                else not purse.pays(symbol, order.side * qty, match.ref, fill.cash)
            ):
                self._fill_affordable(_arrived(order, at), match, 0 if whole else qty, half_quoted, purse, stake)
                return
        except fees.FeeScheduleError as error:
            self.cancel(_arrived(order, at), error.message)
            return
        held = stake.held
        self._book(order, match, fill, purse, stake, at)
        if qty == room < leaves:
            self.cancel(_arrived(order, at), bound, qty)
        if order.linked or (held and (self._links.brackets or self._brackets)):
            self._consequences(_arrived(order, at) if order.linked else order, match, qty, held, stake.held)

    def _consequences(self, order: WorkingOrder, match: Match, qty: int, before: int, held: int) -> None:
        """State what a fill of ``qty`` means for others, the position having gone from ``before`` to ``held``."""
        if order.linked:
            self.follow(order, qty, match)
            if order.n in self.ended:
                self._end_exits_of(order)
        if before and before * held <= 0:
            self.closed_out(order.portfolio, order.symbol, order.side)

    def _beyond_band(self, order: WorkingOrder, match: Match, half_quoted: int | None) -> bool:
        """Tell whether an order meets a price beyond its symbol's price band, where nothing trades."""
        cap = self._terms.status.cap(order.symbol, order.side, self.bar)
        if cap is None:
            return False
        half = half_quoted or 0 if match.source == QUOTE else 0
        return order.side * (match.ref - cap) + half > 0

    def _worst(self, order: WorkingOrder) -> int | None:
        """Return the worst price an order may pay or get: its limit or its symbol's price band, the nearer one."""
        limit, cap = order.limit_px, self._terms.status.cap(order.symbol, order.side, self.bar)
        if limit is None or cap is None:
            return cap if limit is None else limit
        return min(limit, cap) if order.side == BUY else max(limit, cap)

    def _room(self, order: WorkingOrder, stake: Stake, match: Match) -> tuple[int, str]:
        """Return how much a sale, or what only closes, may fill, and the reason that ends what is beyond."""
        submitted = order.order
        if submitted.lot_id:
            return stake.left(submitted.lot_id, order.side), LOT_CLOSED
        if submitted.reduce_only:
            return -order.side * stake.held, REDUCE_ONLY_FLAT
        bound = self._no_short(order, match) if self._terms.allow_short else NO_POSITION
        return (stake.held, bound) if bound else (order.leaves, "")

    def _no_short(self, order: WorkingOrder, match: Match) -> str:
        """Return why an order must not sell more than is held although shorts are allowed, "" where it may."""
        status, locates = self._terms.status, self._terms.locates
        if status.restricted and status.short_restricted(order.symbol) and not match.maker:
            return SSR_RESTRICTED
        return NO_LOCATE if locates is not None and locates.missing(order.order) else ""

    def _fill_affordable(
        self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None, purse: Purse, stake: Stake
    ) -> None:
        """Fill the largest quantity below ``qty`` (0: nothing) that cash pays, if any, and cancel the rest."""
        best: Fill | None = None
        margin = self._terms.margin is not None
        # A sale that cash cannot pay is one whose fees exceed its proceeds; less of it would not help.
        if order.side == BUY or margin:
            lot = self._terms.lot_size
            low, high = 0, -(-qty // lot)  # low lots are affordable, high lots are not
            while high - low > 1:
                middle = (low + high) // 2
                trial = self._quote(order, match, middle * lot, half_quoted)
                if purse.pays(order.symbol, order.side * trial.qty, match.ref, trial.cash):
                    low, best = middle, trial
                else:
                    high = middle
        filled = held = 0
        if best is not None:
            filled = best.qty
            held = stake.held
            self._book(order, match, best, purse, stake, order.arrival_px)
        self.cancel(order, INSUFFICIENT_MARGIN if margin else INSUFFICIENT_CASH, filled)
        if filled:
            self._consequences(order, match, filled, held, stake.held)

    def _quote(self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None) -> Fill:
        """Price a fill of exactly ``qty``."""
        terms = self._terms
        side = order.side
        if match.source == QUOTE:
            price = self._at_touch(order, match, qty, half_quoted or 0)
        elif match.maker or terms.costs.free:
            price = Price(match.ref, 0, 0, 0)
        else:
            adv = terms.adv.of(order.symbol) if terms.adv is not None else 0
            if terms.shaped:
                price = self._shaped(order, match, qty, half_quoted, adv)
            else:
                limit = self._worst(order) if self._banded else order.limit_px
                price = terms.costs.take(match.ref, side, qty, limit, half_quoted, adv)
        px = price.px
        value = qty * px // SCALE if qty % SCALE == 0 else mul(qty, px)
        commission = 0
        if not terms.costs.free:
            shares = order.cum_qty - order.cum_shift + qty
            commission = terms.costs.commission_due(shares, order.cum_value + value) - order.commission
        if side == BUY:
            return Fill(qty, price, value, commission, 0, -value - commission)
        regulatory = 0
        if terms.regulatory:
            rates = fees.rates_on(self._session)
            due = fees.due(order.section_31_raw + value * rates.section_31, order.taf_raw + qty * rates.taf, rates)
            # A maximum that falls between two fills of one order takes nothing back.
            regulatory = max(0, due - order.regulatory)
        return Fill(qty, price, value, commission, regulatory, value - commission - regulatory)

    def _at_touch(self, order: WorkingOrder, match: Match, qty: int, half: int) -> Price:
        """Price a fill at a quote: half its spread in any case; what takes pays slippage and impact on top."""
        if match.maker:
            return Price(match.ref + order.side * half, mul(qty, half), 0, 0)
        terms, symbol = self._terms, order.symbol
        adv = terms.adv.of(symbol) if terms.adv is not None else 0
        pressure = 0 if self._aftermath is None else self._aftermath.against(symbol, order.side)
        limit, volume = self._worst(order) if self._banded else order.limit_px, self._traded.get(symbol, 0)
        return terms.costs.take(match.ref, order.side, qty, limit, half, adv, volume, pressure=pressure, at_touch=True)

    def _shaped(self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None, adv: int) -> Price:
        """Price a fill whose costs depend on more than its own size: volume, volatility, the hour, earlier fills."""
        terms, symbol, side = self._terms, order.symbol, order.side
        spread = None if terms.spreads is None else terms.spreads.rate(symbol, match.source)
        pressure = 0 if self._aftermath is None else self._aftermath.against(symbol, side)
        volume = self._traded.get(symbol, 0)
        limit = self._worst(order) if self._banded else order.limit_px
        return terms.costs.take(match.ref, side, qty, limit, half_quoted, adv, volume, spread, pressure)

    def _book(self, order: WorkingOrder, match: Match, fill: Fill, purse: Purse, stake: Stake, arrival: int) -> None:
        """State the fill and spend the budgets."""
        qty = fill.qty
        price = fill.price
        symbol, side = order.symbol, order.side
        submitted = order.order
        # Proceeds of a sale are spendable at once, except where they must settle first.
        if fill.cash < 0 or not self._terms.strict:
            purse.cash += fill.cash
        name = exec_id(order.order_id, order.fills + 1)
        stake.trade(name, side * qty, submitted.lot_id)
        volume = self._volume
        if symbol in volume:
            volume[symbol] -= qty
        cum_qty = order.cum_qty + qty
        leaves = order.leaves - qty
        if cum_qty == qty and qty % SCALE == 0:
            avg_px = price.px  # the only fill, and of a value that was not rounded
        else:
            avg_px = div_round((order.cum_value + fill.value) * SCALE, cum_qty)
        kind = OrderPartiallyFilled if leaves else OrderFilled
        if leaves:
            self.reached[order.n] = cum_qty
        else:
            self.ended.add(order.n)
        self.events.append(
            kind(
                order.order_id,
                submitted.client_order_id,
                name,
                order.portfolio,
                symbol,
                side,
                qty,
                price.px,
                match.ref,
                cum_qty,
                leaves,
                avg_px,
                fill.commission,
                fill.regulatory,
                price.spread,
                price.slippage,
                price.impact,
                match.source,
                "maker" if match.maker else "taker",
                submitted.strategy,
                submitted.reason,
                submitted.lot_id,
                submitted.confidence,
                submitted.exempt,
                arrival,
            )
        )
        if self._aftermath is not None:
            self._aftermath.trade(symbol, side, qty, price.impact)


def _arrived(order: WorkingOrder, px: int) -> WorkingOrder:
    """Return an order as it is once it has met this price; most are filled whole by it and need no copy."""
    if order.arrival_px == px:
        return order
    met = order.copy()
    met.arrival_px = px
    return met


def _triggered(order: WorkingOrder, level: int) -> OrderTriggered:
    """Return the event of an order whose condition the market met at ``level``."""
    return OrderTriggered(order.order_id, order.order.client_order_id, level, stood(order, level))
