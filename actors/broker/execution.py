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
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from actors.broker import fees
from actors.broker.acceptance import LOT_CLOSED, REDUCE_ONLY_FLAT
from actors.broker.account import Account
from actors.broker.adv import AverageVolume
from actors.broker.costs import CostModel, Price
from actors.broker.lots import Stake
from actors.broker.matching import Match
from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.messages.orders import BUY, OrderCanceled, OrderFilled, OrderPartiallyFilled, OrderTriggered
from actors.values.fixed import SCALE, div_round, mul
from daemon.kernel.ids import exec_id
from daemon.kernel.message import Event

NO_POSITION: Final = "NO_POSITION"
INSUFFICIENT_CASH: Final = "INSUFFICIENT_CASH"


class Terms:
    """What stays the same for a whole run, laid out for the path of every fill."""

    __slots__ = ("adv", "allow_short", "costs", "lot_size", "participation", "regulatory", "strict")

    def __init__(self, params: BrokerParams, costs: CostModel, adv: AverageVolume | None) -> None:
        """Read the switches; ``adv`` is None where no cost depends on it."""
        self.costs = costs
        self.adv = adv
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


class Purse:
    """What one account has left in an instant: spendable cash, and its stakes by symbol as far as looked at."""

    __slots__ = ("account", "cash", "stakes")

    def __init__(self, account: Account) -> None:
        """Start with the account as it is; it is not changed."""
        self.account = account
        self.cash = account.cash - account.unsettled_total
        self.stakes: dict[int, Stake] = {}

    def stake(self, symbol: int) -> Stake:
        """Return the position in a symbol, fills of this instant included."""
        stake = self.stakes.get(symbol)
        if stake is None:
            account = self.account
            stake = self.stakes[symbol] = Stake(account.positions.get(symbol, 0), account.lots.get(symbol))
        return stake


class Execution:
    """The budgets of one instant and the events so far."""

    __slots__ = ("_accounts", "_purses", "_session", "_terms", "_volume", "events")

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
        self._purses: dict[str, Purse] = {}
        self._volume: dict[int, int] = {}
        self.events: list[Event] = []

    def offer_volume(self, symbol: int, volume: float, used: int = 0) -> None:
        """Give the symbol's orders their share of a bar's volume, less what its earlier fills took."""
        participation = self._terms.participation
        if participation:
            share = round(volume * SCALE) * participation // SCALE
            self._volume[symbol] = max(0, share - used) if used else share

    def held(self, portfolio: str, symbol: int) -> int:
        """Return the position, fills of this instant included."""
        return self._purse(portfolio).stake(symbol).held

    def _purse(self, portfolio: str) -> Purse:
        purse = self._purses.get(portfolio)
        if purse is None:
            purse = self._purses[portfolio] = Purse(self._accounts[portfolio])
        return purse

    def fill(self, order: WorkingOrder, match: Match, half_quoted: int | None) -> None:
        """Fill as much of an order as the limits allow, and state what becomes of the rest."""
        submitted = order.order
        symbol = order.symbol
        purse = self._purses.get(order.portfolio) or self._purse(order.portfolio)
        stake = purse.stake(symbol)
        qty = leaves = room = order.leaves
        bound = ""
        if order.side != BUY or submitted.reduce_only or submitted.lot_id:
            room, bound = self._room(order, stake)
            qty = min(leaves, room)
        if order.stop_px is not None and not order.triggered and (room > 0 or bound != LOT_CLOSED):
            self.events.append(OrderTriggered(order.order_id, submitted.client_order_id, match.ref))
        if qty <= 0:
            self._cancel(order, 0, bound)
            return
        offered = self._volume.get(symbol)
        if offered is not None and offered < qty:
            qty = offered - offered % self._terms.lot_size
            if not qty:
                return
        try:
            fill = self._quote(order, match, qty, half_quoted)
            if fill.cash < 0 and purse.cash + fill.cash < 0:
                self._fill_affordable(order, match, qty, half_quoted, purse, stake)
                return
        except fees.FeeScheduleError as error:
            self._cancel(order, 0, error.message)
            return
        self._book(order, match, fill, purse, stake)
        if qty == room < leaves:
            self._cancel(order, qty, bound)

    def _room(self, order: WorkingOrder, stake: Stake) -> tuple[int, str]:
        """Return how much an order may fill as far as lot and position go, and the reason that ends what is beyond."""
        submitted = order.order
        if submitted.lot_id:
            return stake.left(submitted.lot_id, order.side), LOT_CLOSED
        if submitted.reduce_only:
            return -order.side * stake.held, REDUCE_ONLY_FLAT
        if order.side == BUY or self._terms.allow_short:
            return order.leaves, ""
        return stake.held, NO_POSITION

    def _cancel(self, order: WorkingOrder, filled_now: int, reason: str) -> None:
        client_order_id = order.order.client_order_id
        self.events.append(OrderCanceled(order.order_id, client_order_id, order.cum_qty + filled_now, reason))

    def _fill_affordable(
        self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None, purse: Purse, stake: Stake
    ) -> None:
        """Fill the largest quantity below ``qty`` that cash pays, if any, and cancel the rest."""
        best: Fill | None = None
        # A sale that cash cannot pay is one whose fees exceed its proceeds; less of it would not help.
        if order.side == BUY:
            lot = self._terms.lot_size
            low, high = 0, -(-qty // lot)  # low lots are affordable, high lots are not
            while high - low > 1:
                middle = (low + high) // 2
                trial = self._quote(order, match, middle * lot, half_quoted)
                if purse.cash + trial.cash >= 0:
                    low, best = middle, trial
                else:
                    high = middle
        if best is not None:
            self._book(order, match, best, purse, stake)
        self._cancel(order, 0 if best is None else best.qty, INSUFFICIENT_CASH)

    def _quote(self, order: WorkingOrder, match: Match, qty: int, half_quoted: int | None) -> Fill:
        """Price a fill of exactly ``qty``."""
        terms = self._terms
        side = order.side
        if match.maker:
            price = Price(match.ref, 0, 0, 0)
        else:
            adv = terms.adv.of(order.symbol) if terms.adv is not None else 0
            price = terms.costs.take(match.ref, side, qty, order.limit_px, half_quoted, adv)
        px = price.px
        value = qty * px // SCALE if qty % SCALE == 0 else mul(qty, px)
        commission = terms.costs.commission_due(order.cum_qty + qty, order.cum_value + value) - order.commission
        if side == BUY:
            return Fill(qty, price, value, commission, 0, -value - commission)
        regulatory = 0
        if terms.regulatory:
            rates = fees.rates_on(self._session)
            due = fees.due(order.section_31_raw + value * rates.section_31, order.taf_raw + qty * rates.taf, rates)
            # A maximum that falls between two fills of one order takes nothing back.
            regulatory = max(0, due - order.regulatory)
        return Fill(qty, price, value, commission, regulatory, value - commission - regulatory)

    def _book(self, order: WorkingOrder, match: Match, fill: Fill, purse: Purse, stake: Stake) -> None:
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
            )
        )
