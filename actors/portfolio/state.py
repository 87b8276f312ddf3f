"""Everything one portfolio remembers: books, working orders, views and targets. Folds only; nothing decides here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.columns import F64, I64, unpack_f64, unpack_i32
from actors.messages.limits import RiskLimits
from actors.messages.orders import OrderReplaced, OrderRestated, OrderTerms, OrderType, SubmitOrder
from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    DividendPaid,
    FinancingCharged,
    PositionAdjusted,
    PositionChanged,
    SessionRolled,
    TargetsProposed,
)
from actors.portfolio.accounts import CHART, Postings
from actors.portfolio.dividends import Dividends
from actors.portfolio.params import SIZING, PortfolioSpec, sized_by
from actors.portfolio.positions import Lot, Position, fold, fold_lots
from actors.portfolio.settlement import Unsettled
from actors.portfolio.swept import SweptExits
from actors.portfolio.views import Views
from actors.values.fixed import SCALE, mul, mul_ratio
from actors.values.margin import margin_of

STOP_LOSS: Final = "stop_loss"
TIME_STOP: Final = "time_stop"
EXIT_REASONS: Final = (STOP_LOSS, "take_profit", TIME_STOP)

STOP_TYPES: Final = (OrderType.STOP, OrderType.TRAILING_STOP)

VECTOR_MAX: Final = 2.0**62 / SCALE
"""Above this gross value (46 billion) the 64-bit sums of whole shares could overflow, so plain integers are used."""

WHOLE_SHARE: Final = SCALE


class Flattening(msgspec.Struct):
    """Positions are to be closed, and whatever comes in late.

    Attributes:
        reason: of whoever asked.
        ended: whether it was said that all is closed, or that some cannot be.
        tries: closing orders sent by symbol since it began.
    """

    reason: str
    ended: bool = False
    tries: dict[int, int] = {}


class Working(msgspec.Struct):
    """An order the broker works for this portfolio.

    Attributes:
        qty, cum: total and filled quantity.
        reserved: cash still set aside for it.
        exit_of: the lot whose automatic exit it is, "" for any other order.
        base_reserved, base_leaves: what was set aside for how much, when its terms were last set.
        reason: of an automatic exit, "" for any other order.
        stop_px: trigger of a stop, 0 where there is none.
        trail_amount, trail_percent: of a trailing stop, 0 where there is none.
        reduce_only: cannot open anything.
        exempt: what it opens has no automatic exits.
    """

    client_order_id: str
    symbol: int
    side: int
    qty: int
    cum: int
    reserved: int
    market: bool
    strategy: str
    exit_of: str
    base_reserved: int
    base_leaves: int
    reason: str = ""
    stop_px: int = 0
    trail_amount: int = 0
    trail_percent: int = 0
    reduce_only: bool = False
    exempt: bool = False

    @property
    def leaves(self) -> int:
        """Quantity still open."""
        return self.qty - self.cum


class PortfolioState:
    """One portfolio; see the module. Amounts are ``int`` in units of 1e-8."""

    def __init__(self, spec: PortfolioSpec, n_symbols: int) -> None:
        self.spec = spec
        self.name = spec.name
        self.guarded = bool(spec.stop_loss or spec.take_profit or spec.stop != "percent")
        """Whether lots get automatic exits."""
        self.cuts_back = spec.cuts_back
        """Whether entries may have to be smaller than their targets."""
        self.cash = 0
        self.flows = 0
        """External flows since the last session close."""
        self.peak = 0
        """Highest session-close equity, scaled with every flow as the equity was."""
        self.closed = 0
        """Equity at the last session's close, 0 before the first: with :attr:`flows` what a day's profit is against."""
        self.prior = 0
        """What the profit of the session that closed last is against; told until the next one opens."""
        self.balances: dict[str, int] = dict.fromkeys(CHART, 0)
        """The trial balance: the sum of all postings by account, debit positive."""
        self.positions: dict[int, Position] = {}
        self._targets: dict[int, float] = {}
        self._proposed: TargetsProposed | None = None
        self.views = tuple(Views(strategy, n_symbols) for strategy in spec.strategies)
        self.entries: dict[str, Working] = {}
        """Working orders other than automatic exits, by client order id."""
        self.exits: dict[str, dict[str, Working]] = {}
        """Automatic exits by lot, then by client order id."""
        self.swept = SweptExits()
        """Exits that a kill or a flatten took."""
        self.flattening: Flattening | None = None
        """Set while the positions are being closed."""
        self.closings = 0
        """Closing orders so far, which tells their ids apart."""
        self.unsettled = Unsettled()
        self.dividends = Dividends()
        """What is due of dividends and not paid yet, part of the equity."""
        self.n_lots = 0
        self._shares: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._sizes: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._sizes_f: F64 = np.zeros(n_symbols)
        self.holding: npt.NDArray[np.bool_] = np.zeros(n_symbols, dtype=np.bool_)
        """Which symbols are held, long or short."""
        self.qty_f: F64 = np.zeros(n_symbols)
        """Signed quantities in shares as floats: they tell what is near a target and never become money."""
        self.n_held = 0
        self._short = 0
        self._fractional = 0

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def targets(self) -> dict[int, float]:
        """Target weights by symbol; unpacked once somebody asks."""
        event = self._proposed
        if event is not None:
            weights = unpack_f64(event.weights).tolist()
            self._targets = dict(zip(unpack_i32(event.ids).tolist(), weights, strict=True))
            self._proposed = None
        return self._targets

    def position(self, symbol: int) -> Position:
        """Return the position in a symbol; an empty one that is not kept where there was none."""
        found = self.positions.get(symbol)
        return found if found is not None else Position(symbol)

    def qty(self, symbol: int) -> int:
        """Return the signed quantity held."""
        found = self.positions.get(symbol)
        return found.qty if found is not None else 0

    def held(self) -> list[int]:
        """Return the symbols held, ascending."""
        symbols: list[int] = self.holding.nonzero()[0].tolist()
        return symbols

    def shorts(self) -> list[int]:
        """Return the symbols held short, ascending."""
        return [symbol for symbol in self.held() if self.positions[symbol].qty < 0] if self._short else []

    def lots(self, symbol: int) -> Collection[Lot]:
        """Return the open lots in a symbol, oldest first."""
        found = self.positions.get(symbol)
        return found.lots.values() if found is not None else ()

    def entries_by_symbol(self) -> dict[int, list[Working]]:
        """Return working orders that are no automatic exits by symbol, each in order of acceptance."""
        found: dict[int, list[Working]] = {}
        for working in self.entries.values():
            found.setdefault(working.symbol, []).append(working)
        return found

    def valuation(self, marks: I64, marks_f: F64) -> tuple[int, int]:
        """Return (gross, net) value of the positions, exact.

        Args:
            marks: last prices by symbol in units of 1e-8.
            marks_f: the same as floats, to bound the sum before it is taken.

        Whole shares are summed in 64 bits where the bound allows it, anything else in unbounded integers, each
        position rounded half to even.
        """
        if not self.n_held:
            return 0, 0
        if not self._fractional and np.dot(self._sizes_f, marks_f) < VECTOR_MAX:
            net = int(np.dot(self._shares, marks))
            return (int(np.dot(self._sizes, marks)) if self._short else net), net
        gross = net = 0
        for symbol, position in self.positions.items():
            if position.qty:
                value = mul(position.qty, int(marks[symbol]))
                net += value
                gross += abs(value)
        return gross, net

    def equity(self, marks: I64, marks_f: F64) -> int:
        """Return cash, positions at these prices (as in :meth:`valuation`) and dividends due, units of 1e-8."""
        return self.cash + self.valuation(marks, marks_f)[1] + self.dividends.total

    def entitled(self, marks: I64) -> int:
        """Return the cash that is the portfolio's own: in a margin account the equity beyond the initial requirement.

        Args:
            marks: last prices by symbol in units of 1e-8.
        """
        if not self.spec.margin:
            return self.cash
        held = margin_of((self.qty(symbol), marks.item(symbol)) for symbol in self.held())
        return self.cash + held.net - held.initial

    def working(self) -> Iterator[Working]:
        """Give every working order, automatic exits last."""
        yield from self.entries.values()
        for group in self.exits.values():
            yield from group.values()

    # -- folds -----------------------------------------------------------------------------------------------------

    def fold_limits(self, limits: RiskLimits) -> None:
        """The gate's limits are others: entries are sized below these from now on."""
        self.spec = sized_by(self.spec, limits)
        self.cuts_back = self.spec.cuts_back

    def fold_flow(self, event: CashFlowed) -> None:
        """Cash came or went; the peak moves with the equity, so that a flow is neither gain nor drawdown."""
        before = event.equity
        after = before + event.amount
        self.peak = mul_ratio(self.peak, max(after, 0), before) if before > 0 and self.peak > 0 else max(after, 0)
        self.cash = event.cash
        self.flows += event.amount
        self._post(event.postings)

    def fold_financing(self, event: FinancingCharged) -> None:
        """Borrow fees or interest were paid."""
        self.cash = event.cash
        self._post(event.postings)

    def fold_roll(self, event: SessionRolled) -> None:
        """A session ended."""
        self.peak = event.peak
        self.prior = self.closed + self.flows
        self.closed = event.equity
        self.flows = 0

    def fold_position(self, event: PositionChanged, px: float, session: int, number: int) -> Lot | None:
        """A fill was booked in a session of this date and number; return the lot it opened."""
        symbol = event.symbol
        position = self.positions.get(symbol)
        if position is None:
            position = self.positions[symbol] = Position(symbol)
        old = position.qty
        if old > 0 and event.cash > self.cash and not self.spec.reuse_proceeds:
            self.unsettled.fold(event.cash - self.cash, session, number)
        self._post(event.postings)
        lots = len(position.lots)
        opened = fold(position, event, px)
        self.n_lots += len(position.lots) - lots
        self.cash = event.cash
        if self.swept and event.closed:
            for lot_id, _ in event.closed:
                if lot_id not in position.lots:
                    self.swept.fold_closed(lot_id)
        self._count(symbol, old, event.qty)
        return opened

    def fold_adjusted(self, event: PositionAdjusted) -> None:
        """A corporate action changed a position, or moved it to another symbol."""
        symbol, new = event.symbol, event.new_symbol
        source = self.positions.get(symbol) or Position(symbol)
        target = self.positions.setdefault(new, Position(new))
        before = len(source.lots) + (len(target.lots) if new != symbol else 0)
        old = target.qty
        if new != symbol:
            # The lots keep what they cost, so what average cost and lots have realised apart moves with them.
            self._count(symbol, source.qty, 0)
            target.realized += source.realized
            target.realized_fifo += source.realized_fifo
            self.positions.pop(symbol, None)
        fold_lots(target, event, {**target.lots, **source.lots})
        self.n_lots += len(target.lots) - before
        self._post(event.postings)
        self.cash = event.cash
        if self.swept:
            for lot_id, _ in event.closed:
                if lot_id not in target.lots:
                    self.swept.fold_closed(lot_id)
        self._count(new, old, event.qty)

    def fold_renamed(self, symbol: int, new: int) -> None:
        """A symbol is another one from now on: views, targets and tries to close follow."""
        for views in self.views:
            views.move(symbol, new)
        targets = self.targets
        if symbol in targets:
            targets[new] = targets.pop(symbol)
        if self.flattening is not None and symbol in self.flattening.tries:
            self.flattening.tries[new] = self.flattening.tries.pop(symbol)

    def fold_accrued(self, event: DividendAccrued) -> None:
        """A dividend is due."""
        self.dividends.fold_accrued(event)
        self._post(event.postings)

    def fold_paid(self, event: DividendPaid) -> None:
        """A dividend became cash."""
        self.dividends.fold_paid(event)
        self._post(event.postings)
        self.cash = event.cash

    def _post(self, postings: Postings) -> None:
        balances = self.balances
        for account, amount in postings:
            balances[account] += amount

    def fold_targets(self, event: TargetsProposed, session: int) -> None:
        """New targets; a rebalance (anything but exits in between) is remembered by the session it fell into."""
        self._proposed = event
        if event.reason in ("schedule", "drift") or self.spec.rebalance == "signal":
            for views in self.views:
                if views.strategy == event.strategy:
                    views.rebalanced = session

    def fold_accepted(self, order: SubmitOrder, reserved: int) -> Working:
        """The broker works an order of this portfolio."""
        exit_of = order.lot_id if order.reason in EXIT_REASONS else ""
        market = order.type is OrderType.MARKET
        working = Working(
            order.client_order_id,
            order.symbol,
            order.side,
            order.qty,
            0,
            reserved,
            market,
            order.strategy,
            exit_of,
            reserved,
            order.qty,
            order.reason if exit_of else "",
            order.stop_px or 0 if order.type in STOP_TYPES else 0,
            reduce_only=order.reduce_only,
            exempt=order.exempt,
        )
        _take_trail(working, order.terms)
        self._note_stop(working)
        if exit_of:
            self.swept.fold_answer(exit_of, order.reason, works=True)
            self.exits.setdefault(exit_of, {})[order.client_order_id] = working
        else:
            self.entries[order.client_order_id] = working
        return working

    def fold_closing(self, order: SubmitOrder) -> None:
        """A closing order was taken or refused."""
        self.closings += 1
        if self.flattening is not None:
            tries = self.flattening.tries
            tries[order.symbol] = tries.get(order.symbol, 0) + 1

    def fold_part(self, working: Working, last_qty: int) -> None:
        """Part of an order was filled: its reservation shrinks in proportion."""
        working.cum += last_qty
        if working.base_reserved:
            working.reserved = mul_ratio(working.base_reserved, max(working.leaves, 0), working.base_leaves or 1)

    def fold_replaced(self, working: Working, event: OrderReplaced) -> None:
        """A working order has new terms."""
        working.qty = event.qty
        working.reserved = working.base_reserved = event.reserved
        working.base_leaves = event.qty - working.cum
        self._move_stop(working, event.stop_px)

    def fold_restated(self, working: Working, event: OrderRestated) -> None:
        """A corporate action changed a working order; cash set aside for what is open of it stays so."""
        leaves = event.qty - event.cum_qty
        working.base_leaves = mul_ratio(working.base_leaves, leaves, working.leaves or 1)
        working.symbol, working.qty, working.cum = event.symbol, event.qty, event.cum_qty
        if working.base_reserved:
            working.reserved = mul_ratio(working.base_reserved, leaves, working.base_leaves or 1)
        _take_trail(working, event.terms)
        self._move_stop(working, event.stop_px)

    def _move_stop(self, working: Working, stop_px: int | None) -> None:
        if working.stop_px and stop_px is not None:
            working.stop_px = stop_px
            self._note_stop(working)

    def _note_stop(self, working: Working) -> None:
        """Keep with a lot where its stop rests; a percent stop is where the entry price says."""
        if working.stop_px and working.reason == STOP_LOSS and self.spec.stop != "percent":
            for lot in self.lots(working.symbol):
                if lot.lot_id == working.exit_of:
                    lot.stop_px = working.stop_px
                    return

    def fold_ended(self, working: Working) -> None:
        """An order is terminal."""
        if working.exit_of:
            group = self.exits[working.exit_of]
            del group[working.client_order_id]
            if not group:
                del self.exits[working.exit_of]
        else:
            del self.entries[working.client_order_id]

    def fold_stopped(self, symbol: int) -> None:
        """A position was closed against the strategies' will: forget their views until they state them anew."""
        for views in self.views:
            views.forget(symbol)
        self.targets.pop(symbol, None)

    def _count(self, symbol: int, old: int, new: int) -> None:
        held = new != 0
        if held is not (old != 0):
            self.n_held += 1 if held else -1
            self.holding[symbol] = held
        self._short += (new < 0) - (old < 0)
        shares, part = divmod(new, WHOLE_SHARE)  # the shares are not used while any position is fractional
        self._fractional += (part != 0) - (old % WHOLE_SHARE != 0)
        size = shares if shares >= 0 else -shares
        self._shares[symbol] = shares
        self._sizes[symbol] = size
        self._sizes_f[symbol] = size
        self.qty_f[symbol] = new / WHOLE_SHARE

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "cash": self.cash,
            "flows": self.flows,
            "peak": self.peak,
            "closed": self.closed,
            "prior": self.prior,
            "balances": [str(amount) for amount in self.balances.values()],  # memo accounts may outgrow 64 bits
            "closings": self.closings,
            "flattening": None if self.flattening is None else _flattening_out(self.flattening),
            "unsettled": self.unsettled.entries,
            "dividends": self.dividends.snapshot(),
            "swept": self.swept.snapshot(),
            "positions": [_position_out(position) for position in self.positions.values()],
            "targets": [[symbol, weight] for symbol, weight in self.targets.items()],
            "views": [[views.strategy, views.snapshot()] for views in self.views],
            "working": [msgspec.to_builtins(w) for w in self.working()],
            "sizing": {name: msgspec.to_builtins(getattr(self.spec, name)) for name in SIZING},
        }

    def restore(self, state: dict[str, Any]) -> list[Working]:
        """Take over what :meth:`snapshot` gave, in a fresh object; return the working orders.

        A strategy that the portfolio follows since then has no views yet; those of one it left are dropped. What they
        opened stays.
        """
        if "sizing" in state:  # a snapshot of an older version has none: the configuration's stand
            self.spec = msgspec.convert(msgspec.structs.asdict(self.spec) | state["sizing"], PortfolioSpec)
            self.cuts_back = self.spec.cuts_back
        self.cash = state["cash"]
        self.flows = state["flows"]
        self.peak = state["peak"]
        self.closed = state["closed"]
        self.prior = state.get("prior", 0)  # a snapshot of an older version has none
        amounts = map(int, state["balances"])  # an older version's end before the accounts that came since
        self.balances = dict.fromkeys(CHART, 0) | dict(zip(CHART, amounts, strict=False))
        self.closings = state["closings"]
        flattening = state["flattening"]
        if flattening is not None:
            reason, ended, tries = flattening
            self.flattening = Flattening(reason, ended, dict(tries))
        self.unsettled.entries = [list(entry) for entry in state["unsettled"]]
        self.swept.restore(state["swept"])
        self.dividends.restore(state.get("dividends", []))  # a snapshot of an older version has none
        for raw in state["positions"]:
            lots = msgspec.convert(raw["lots"], list[Lot])
            position = msgspec.convert(raw | {"lots": {}}, Position)
            position.lots = {lot.lot_id: lot for lot in lots}
            self.positions[position.symbol] = position
            self.n_lots += len(position.lots)
            self._count(position.symbol, 0, position.qty)
        self._proposed = None
        self._targets = {int(symbol): float(weight) for symbol, weight in state["targets"]}
        saved = dict(state["views"])
        for views in self.views:
            if views.strategy in saved:
                views.restore(saved[views.strategy])
        orders = [msgspec.convert(raw, Working) for raw in state["working"]]
        for working in orders:
            if working.exit_of:
                self.exits.setdefault(working.exit_of, {})[working.client_order_id] = working
            else:
                self.entries[working.client_order_id] = working
        return orders


def _take_trail(working: Working, terms: OrderTerms | None) -> None:
    if terms is not None:
        working.trail_amount, working.trail_percent = terms.trail_amount or 0, terms.trail_percent or 0


def _position_out(position: Position) -> dict[str, Any]:
    raw: dict[str, Any] = msgspec.to_builtins(position)
    return raw | {"lots": list(raw["lots"].values())}


def _flattening_out(flattening: Flattening) -> list[Any]:
    return [flattening.reason, flattening.ended, list(flattening.tries.items())]
