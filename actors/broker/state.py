"""What the desks of the broker share: working orders, accounts, market memory; their views and snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from actors.broker.acceptance import Refusal, check_exit, check_replace
from actors.broker.account import Account
from actors.broker.aftermath import Aftermath
from actors.broker.book import Book
from actors.broker.costs import CostModel
from actors.broker.execution import Execution, Terms
from actors.broker.in_flight import InFlight
from actors.broker.latency import Latency
from actors.broker.links import Links
from actors.broker.market import MarketMemory
from actors.broker.matching import CLOSE
from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.broker.purse import MarginPrices
from actors.broker.resting import RestingOrders
from actors.broker.shorting import Locates
from actors.broker.spreads import DynamicSpread
from actors.broker.status import MarketStatus
from actors.messages.orders import RouteReplace, SubmitOrder
from actors.messages.portfolio import CashFlowed, FinancingCharged, PositionChanged
from actors.values.average_volume import AverageVolume
from actors.values.fixed import div_round, mul
from actors.values.order_names import opening_id
from actors.values.seen import SeenIds
from actors.values.universe import Universe
from daemon.kernel.actor import CoreActor, Health, evolves
from daemon.kernel.errors import ConfigError

ACCOUNTS: Final = ("cash", "cash_strict", "margin")


class BrokerState(CoreActor):
    """The broker's state and what reads it; the desks add what changes it."""

    def __init__(self, universe: Universe, params: BrokerParams, *, daily: bool) -> None:
        """Build for a run.

        Args:
            universe: symbols that panels and orders speak of.
            params: costs and switches.
            daily: whether each panel is a whole session.

        Raises:
            ConfigError: an account type or impact model that this broker does not have.
        """
        if params.account not in ACCOUNTS:
            message = f"broker.account is {params.account!r}, which is not simulated"
            raise ConfigError(message, code="BAD_ACCOUNT", remedy=f"choose one of {', '.join(ACCOUNTS)}")
        self._universe = universe
        self._params = params
        adv = AverageVolume(len(universe), daily=daily) if params.impact == "sqrt" else None
        costs = CostModel(params)
        spreads = DynamicSpread(params.spread_rate, len(universe)) if params.spread_model == "dynamic" else None
        aftermath = Aftermath(costs) if params.impact_permanent and params.impact != "none" else None
        margin = MarginPrices(len(universe)) if params.account == "margin" else None
        locates = Locates(universe, params)
        self._status = MarketStatus(len(universe), params.ssr)
        self._terms = Terms(
            params, costs, adv, spreads, aftermath, margin=margin, locates=locates or None, status=self._status
        )
        self._resting = RestingOrders(len(universe))
        self._links = Links()
        self._accounts: dict[str, Account] = {}
        self._seen = SeenIds()
        """Every client order id ever taken or refused, for duplicate detection."""
        self._next = 1
        self._market = MarketMemory(len(universe), keep_panel=params.same_event_fill)
        self._book = Book(len(universe))
        self._latency = Latency(params.latency_ns, params.latency_jitter_ns, params.seed)
        self._in_flight = InFlight()
        self._opening: frozenset[int] = frozenset()
        """Symbols whose opening the present bar is: of one input, no state."""
        self.null_volume_skips = 0
        """Order-bars that could not fill because the bar's volume is null."""

    def _execution(self, session: int, now: int, accepted: int = 0) -> Execution:
        """Return the budgets of an instant.

        Args:
            session: trade date, YYYYMMDD.
            now: stamp, nanoseconds UTC.
            accepted: orders that are stated to be accepted and not folded yet; their numbers are taken.
        """
        return Execution(
            self._terms,
            self._accounts,
            session,
            links=self._links,
            orders=self._resting.orders,
            number=self._next + accepted,
            now=now,
            last=self._last,
        )

    def _refuse_replace(self, working: WorkingOrder, terms: RouteReplace) -> Refusal | None:
        """Return why new terms for a working order are refused, or None."""
        refusal = check_replace(working, terms, self._params)
        entry = "" if working.terms is None else working.terms.bracket_of
        if refusal is None and entry:
            bracket = self._links.brackets[entry]
            refusal = check_exit(working, terms.qty, bracket.entered - bracket.exited)
        return refusal

    def expected_cost(self, order: SubmitOrder, ref: int) -> int:
        """Return what an order would cost at a price, regulatory fees apart; 0 where no price is known.

        A limit order that is not marketable there is expected to rest. How much volume there will be to trade with is
        not known, so no slippage by volume is expected.
        """
        if ref <= 0 or (self._terms.costs.free and not self._book.active):
            return 0
        terms, symbol, side = self._terms, order.symbol, order.side
        qty, limit, costs = order.qty, order.limit_px, terms.costs
        if limit is not None and side * (limit - ref) < 0:
            return costs.commission_due(qty, mul(qty, limit))
        adv = terms.adv.of(symbol) if terms.adv is not None else 0
        half = rate = None
        pressure = 0
        if self._book.active and (touch := self._book.touch(symbol)).whole:
            half = div_round(touch.ask - touch.bid, 2)
        if terms.shaped:
            rate = None if terms.spreads is None else terms.spreads.rate(symbol, CLOSE)
            pressure = 0 if terms.aftermath is None else terms.aftermath.against(symbol, side)
        price = costs.take(ref, side, qty, limit, half, adv, 0, rate, pressure, at_touch=half is not None)
        return price.spread + price.slippage + price.impact + costs.commission_due(qty, mul(qty, price.px))

    def _unprotecting(self, ending: Sequence[WorkingOrder]) -> list[WorkingOrder]:
        """Return the exits, not among them, of entries that end without a position on their side."""
        found: list[WorkingOrder] = []
        numbers: set[int] | None = None
        for entry in ending:
            if entry.terms is None or entry.terms.bracket is None:
                continue
            bracket = self._links.brackets.get(entry.order.client_order_id)
            if bracket is None or self._accounts[entry.portfolio].positions.get(entry.symbol, 0) * entry.side > 0:
                continue
            if numbers is None:
                numbers = {order.n for order in ending}
            exits = (self._resting.orders[name] for name in bracket.exits)
            found += [order for order in exits if order.n not in numbers]
        return found

    def _opening_half(self, order: WorkingOrder) -> WorkingOrder | None:
        """Return the half that opens, where it works and an order is the half of a flip that closes; else None."""
        name = order.order.client_order_id
        half = self._resting.orders.get(opening_id(name))
        return half if half is not None and half.order.parent_id == name else None

    def _end_book(self) -> None:
        """Fold that the session's quotes and prints are over: last prices stay, the book does not."""
        if self._book.active:
            self._market.take_last(self._book.lasts())
            self._book.begin()
            for order in self._resting.orders.values():
                order.queue = None  # the next session's book has places of its own

    def _last(self, symbol: int) -> int:
        """Return the last price known, units of 1e-8: the mid of a quote, else a print or close; 0 where none is."""
        if not self._book.active:
            return self._market.last(symbol)
        return self._book.reference(symbol) or self._market.last(symbol)

    def _opposite(self, order: WorkingOrder) -> int:
        """Return the price an order would take at: the other side's quote, else the last price; 0 where none is."""
        symbol = order.symbol
        if not self._book.active:
            return self._market.last(symbol)
        return self._book.touch(symbol).opposite(order.side) or self._last(symbol)

    def _rests_at(self, symbol: int) -> bool:
        """Tell whether a limit at exactly the last price rests: where prints alone tell what the market is.

        A print says what was traded, not what is offered; who pays no more than it did is not sure to find anybody.
        """
        book = self._book
        return book.active and book.printed(symbol) and not book.quoted(symbol)

    def _travel(self, order: WorkingOrder) -> int:
        """Return how long a request for a working order is on its way, nanoseconds: 0 where it takes effect at once."""
        if self._latency.none or not self._book.ticked(order.symbol):
            return 0
        return self._latency.of_order(order)

    # -- views -----------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Say how many orders work and how many order-bars were lost to null volumes."""
        detail = f"{len(self._resting.orders)} working orders, {self.null_volume_skips} order-bars without volume"
        return Health(detail=detail)

    @property
    def working(self) -> tuple[WorkingOrder, ...]:
        """The working orders, oldest first; look, do not touch."""
        return tuple(self._resting.orders.values())

    @property
    def trails(self) -> Mapping[int, WorkingOrder]:
        """The trailing stops whose condition was not met yet, by number; look, do not touch."""
        return self._resting.trails

    def account(self, portfolio: str) -> Account:
        """Return a portfolio's account; look, do not touch."""
        return self._accounts[portfolio]

    @property
    def funded(self) -> tuple[str, ...]:
        """Names of the portfolios that ever had a deposit."""
        return tuple(self._accounts)

    # -- money -----------------------------------------------------------------------------------------------------

    @evolves(PositionChanged)
    def booked(self, event: PositionChanged) -> None:
        """Take over which lots the portfolio opened and closed for a fill."""
        self._accounts[event.portfolio].booked(event.symbol, event.opened, event.closed)

    @evolves(CashFlowed)
    def cash_flowed(self, event: CashFlowed) -> None:
        """Open an account, or move its cash."""
        account = self._accounts.get(event.portfolio)
        if account is None:
            account = self._accounts[event.portfolio] = Account()
        account.cash += event.amount

    @evolves(FinancingCharged)
    def financed(self, event: FinancingCharged) -> None:
        """Take borrow fees and interest from the cash."""
        self._accounts[event.portfolio].cash -= event.amount

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return everything: orders, accounts, counters, volumes."""
        adv = self._terms.adv
        return {
            "orders": [order.to_row() for order in self._resting.orders.values()],
            "links": self._links.snapshot(),
            "seen": self._seen.snapshot(),
            "next": self._next,
            "accounts": {portfolio: account.to_row() for portfolio, account in self._accounts.items()},
            "market": self._market.snapshot(),
            "status": self._status.snapshot(),
            "book": self._book.snapshot(),
            "in_flight": self._in_flight.snapshot(),
            "null_volume_skips": self.null_volume_skips,
            "adv": None if adv is None else adv.snapshot(),
            "margin": None if self._terms.margin is None else self._terms.margin.snapshot(),
            "spreads": None if self._terms.spreads is None else self._terms.spreads.snapshot(),
            "aftermath": None if self._terms.aftermath is None else self._terms.aftermath.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._resting = RestingOrders(len(self._universe))
        self._seen.restore(state["seen"])
        for row in state["orders"]:
            self._resting.add(WorkingOrder.from_row(row))
        self._links.restore(state.get("links", []), self._resting.orders.values())
        self._next = state["next"]
        self._accounts = {portfolio: Account.from_row(row) for portfolio, row in state["accounts"].items()}
        self._market.restore(state["market"])
        if "status" in state:  # snapshots of earlier versions know of none
            self._status.restore(state["status"])
        if "book" in state:  # a snapshot of an older version knows of no ticks
            self._book.restore(state["book"])
            self._in_flight.restore(state["in_flight"])
        self.null_volume_skips = state["null_volume_skips"]
        if self._terms.adv is not None:
            self._terms.adv.restore(state["adv"])
        if self._terms.margin is not None:
            self._terms.margin.restore(state["margin"])
        if self._terms.spreads is not None:
            self._terms.spreads.restore(state["spreads"])
        if self._terms.aftermath is not None:
            self._terms.aftermath.restore(state["aftermath"])
