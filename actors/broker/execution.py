"""What the working orders get from one bar: budgets shared by all of them, and the events that spend them.

``decide`` may not change state, so one :class:`Execution` carries what the fills of an instant have used up: cash and
positions of each account, and each symbol's share of the bar's volume. It lives for one call.

Limits of a fill, in this order:

* ``reduce_only``, and every sale where shorts are not allowed, is cut to the position; what is beyond it is cancelled.
* Participation: at most this share of the bar's volume, all orders together; what is beyond it keeps working.
* Cash: a fill that would make the spendable cash negative is cut to the largest quantity that cash pays, fees included;
  the rest is cancelled, for nothing says that money will come. In ``cash_strict`` unsettled proceeds are not spendable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from actors.broker import fees
from actors.broker.account import Account
from actors.broker.adv import AverageVolume
from actors.broker.costs import CostModel, Price
from actors.broker.matching import Match
from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.messages.orders import BUY, OrderCanceled, OrderFilled, OrderPartiallyFilled, OrderTriggered
from actors.values.fixed import SCALE, div_round, mul
from daemon.kernel.ids import exec_id
from daemon.kernel.message import Event

REDUCE_ONLY_FLAT = "REDUCE_ONLY_FLAT"
NO_POSITION = "NO_POSITION"
INSUFFICIENT_CASH = "INSUFFICIENT_CASH"


class Terms(NamedTuple):
    """What stays the same for a whole run."""

    params: BrokerParams
    costs: CostModel
    adv: AverageVolume | None


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A fill that all limits allow. ``cash`` is what comes in, fees deducted; negative: what goes out."""

    qty: int
    price: Price
    value: int
    commission: int
    regulatory: int
    cash: int


class Execution:
    """The budgets of one instant and the events so far."""

    __slots__ = ("_accounts", "_cash", "_held", "_session", "_spendable", "_terms", "_volume", "events")

    def __init__(self, terms: Terms, accounts: Mapping[str, Account], session: int) -> None:
        """Start with the accounts as they are.

        Args:
            terms: of the run.
            accounts: by portfolio; read only.
            session: trade date YYYYMMDD.
        """
        self._terms = terms
        self._accounts = accounts
        self._session = session
        self._cash: dict[str, int] = {}
        self._held: dict[tuple[str, int], int] = {}
        self._volume: dict[int, int] = {}
        self.events: list[Event] = []

    def offer_volume(self, symbol: int, volume: float, used: int = 0) -> None:
        """Give the symbol's orders their share of a bar's volume, less what its earlier fills took."""
        participation = self._terms.params.participation
        if participation:
            share = round(volume * SCALE) * participation // SCALE - used
            self._volume[symbol] = max(0, share)

    def held(self, portfolio: str, symbol: int) -> int:
        """Return the position, fills of this instant included."""
        held = self._held.get((portfolio, symbol))
        return self._accounts[portfolio].positions.get(symbol, 0) if held is None else held

    def fill(self, order: WorkingOrder, match: Match, half_quoted: int | None) -> None:
        """Fill as much of an order as the limits allow, and state what becomes of the rest."""
        symbol = order.symbol
        side = order.side
        params = self._terms.params
        if order.stop_px is not None and not order.triggered:
            self.events.append(OrderTriggered(order.order_id, order.order.client_order_id, match.ref))
        qty = order.leaves
        closing = order.order.reduce_only or (side != BUY and not params.allow_short)
        if closing:
            room = -side * self.held(order.portfolio, symbol)
            if room <= 0:
                self._cancel(order, 0, REDUCE_ONLY_FLAT if order.order.reduce_only else NO_POSITION)
                return
            qty = min(qty, room)
        offered = self._volume.get(symbol)
        if offered is not None and offered < qty:
            qty = offered - offered % params.lot_size
            if not qty:
                return
        cash = self._cash.get(order.portfolio)
        if cash is None:
            account = self._accounts[order.portfolio]
            cash = account.cash - account.unsettled_total
        try:
            fill = self._quote(order, match, qty, half_quoted)
            if fill.cash < 0 and cash + fill.cash < 0:
                self._fill_affordable(order, match, qty, half_quoted, cash)
                return
        except fees.FeeScheduleError as error:
            self._cancel(order, 0, error.message)
            return
        self._book(order, match, fill, cash)
        if closing and qty < order.leaves and not self.held(order.portfolio, symbol):
            self._cancel(order, qty, REDUCE_ONLY_FLAT if order.order.reduce_only else NO_POSITION)

    def _cancel(self, order: WorkingOrder, filled_now: int, reason: str) -> None:
        client_order_id = order.order.client_order_id
        self.events.append(OrderCanceled(order.order_id, client_order_id, order.cum_qty + filled_now, reason))

    def _fill_affordable(self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None, cash: int) -> None:
        """Fill the largest quantity below ``qty`` that cash pays, if any, and cancel the rest."""
        best: Fill | None = None
        # A sale that cash cannot pay is one whose fees exceed its proceeds; less of it would not help.
        if order.side == BUY:
            lot = self._terms.params.lot_size
            low, high = 0, -(-qty // lot)  # low lots are affordable, high lots are not
            while high - low > 1:
                middle = (low + high) // 2
                trial = self._quote(order, match, middle * lot, half_quoted)
                if cash + trial.cash >= 0:
                    low, best = middle, trial
                else:
                    high = middle
        if best is not None:
            self._book(order, match, best, cash)
        self._cancel(order, 0 if best is None else best.qty, INSUFFICIENT_CASH)

    def _quote(self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None) -> Fill:
        """Price a fill of exactly ``qty``."""
        terms = self._terms
        side = order.side
        if match.maker:
            price = Price(match.ref, 0, 0, 0)
        else:
            adv = terms.adv.of(order.symbol) if terms.adv is not None else 0
            limit = order.limit_px
            price = terms.costs.take(match.ref, side, qty, limit, half_quoted, adv)
        px = price.px
        value = qty * px // SCALE if qty % SCALE == 0 else mul(qty, px)
        cum_value = order.cum_value + value
        commission = terms.costs.commission_due(order.cum_qty + qty, cum_value) - order.commission
        regulatory = 0
        if side != BUY and terms.params.regulatory_fees:
            rates = fees.rates_on(self._session)
            due = fees.due(order.section_31_raw + value * rates.section_31, order.taf_raw + qty * rates.taf, rates)
            # A maximum that falls between two fills of one order takes nothing back.
            regulatory = max(0, due - order.regulatory)
        return Fill(qty, price, value, commission, regulatory, -side * value - commission - regulatory)

    def _book(self, order: WorkingOrder, match: Match, fill: Fill, spendable: int) -> None:
        """State the fill and spend the budgets."""
        qty = fill.qty
        price = fill.price
        portfolio, symbol, side = order.portfolio, order.symbol, order.side
        # Proceeds of a sale are spendable at once, except where they must settle first.
        if fill.cash < 0 or self._terms.params.account != "cash_strict":
            spendable += fill.cash
        self._cash[portfolio] = spendable
        key = (portfolio, symbol)
        held = self._held.get(key)
        if held is None:
            held = self._accounts[portfolio].positions.get(symbol, 0)
        self._held[key] = held + side * qty
        if symbol in self._volume:
            self._volume[symbol] -= qty
        submitted = order.order
        cum_qty = order.cum_qty + qty
        leaves = order.leaves - qty
        kind = OrderPartiallyFilled if leaves else OrderFilled
        self.events.append(
            kind(
                order.order_id,
                submitted.client_order_id,
                exec_id(order.order_id, order.fills + 1),
                portfolio,
                symbol,
                side,
                qty,
                price.px,
                match.ref,
                cum_qty,
                leaves,
                div_round((order.cum_value + fill.value) * SCALE, cum_qty),
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
            )
        )
