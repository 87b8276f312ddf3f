"""Stops that move: where they rest at the entry, how they follow at session closes, and lots closed by time alone.

The levels are :mod:`actors.portfolio.stops`'; what they are measured in is folded from the tape. At each session close
a resting stop is replaced where its level is nearer to the market than it rests, through the gate as anybody's order.
A trail is the broker's own and moves there; one that a kill swept away comes back as a stop where it was, and follows
at session closes from then on, because a new trail would begin at the last price and might lie further away. A lot that
could not have a stop at its entry (no percent stop, not enough sessions) gets one as soon as its level is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from actors.messages.market import BarPanel, CorporateAction, QuotePanel, TradePanel
from actors.messages.orders import ReplaceOrder
from actors.portfolio.corporate import DIVIDEND, RENAME, SPLIT
from actors.portfolio.cutback import Cutback
from actors.portfolio.excursions import Excursions
from actors.portfolio.exits import exit_id, opening_exits, time_exit
from actors.portfolio.guarding import GuardDesk
from actors.portfolio.marks import Marks
from actors.portfolio.positions import Lot
from actors.portfolio.ranges import SessionRanges
from actors.portfolio.state import STOP_LOSS, TIME_STOP, PortfolioState, Working
from actors.portfolio.stops import (
    CHANDELIER,
    FOLLOWING,
    HUNDRED_PERCENT,
    PERCENT,
    RANGED,
    TRAILING,
    VOLATILITY,
    distance,
    level,
    lookback,
    ratcheted,
)
from actors.values import Universe
from actors.values.corporate import split_px
from actors.values.fixed import SCALE, mul_ratio
from actors.values.history import SessionHistory
from daemon.kernel.actor import Context

_LATE = "late_stop"


class StopDesk(GuardDesk):
    """The portfolio actor's moving stops, over the guarding half; the actor adds everything else."""

    _marks: Marks
    _excursions: Excursions

    def __init__(self, universe: Universe, states: dict[str, PortfolioState]) -> None:
        """Begin without any session.

        Args:
            universe: of the run.
            states: the portfolios by name, folded by the actor.
        """
        super().__init__(universe, states)
        n = len(universe)
        specs = [pf.spec for pf in self._portfolios]
        self._moving = tuple(pf for pf in self._portfolios if pf.spec.stop != PERCENT)
        self._timed = tuple(pf for pf in self._portfolios if pf.spec.time_stop_sessions)
        rows = [lookback(spec) for spec in specs if spec.stop == VOLATILITY]
        rows += [spec.correlation_sessions for spec in specs if spec.asks_alike]
        self._history = SessionHistory(n, max(rows, default=1))
        wide = any(spec.stop in (*RANGED, *FOLLOWING) for spec in specs)
        self._ranges = SessionRanges(n, {lookback(s) for s in specs if s.stop in RANGED}, wide=wide)
        self._keeps_sessions = bool(rows) or wide
        self._cutback = Cutback(universe, self._history, self.stop_distance)

    # -- market state, from the actor's ----------------------------------------------------------------------------

    def _fold_session_bar(self, panel: BarPanel) -> None:
        if self._keeps_sessions:
            self._ranges.fold_bar(panel)

    def _fold_session_ticks(self, panel: QuotePanel | TradePanel) -> None:
        if self._keeps_sessions:
            self._ranges.begin(self._marks.session)
            self._ranges.fold_ticks(panel.ids, self._marks.px_f)

    def _fold_session_close(self, date: int) -> None:
        """End the session: what stops are measured in, and from."""
        for pf in self._timed:
            for lot in _lots_of(pf):
                lot.session = lot.session or self._marks.number  # of an older version: counted from here
        if not self._keeps_sessions:
            return
        self._ranges.begin(date)
        if self._ranges.fold_close(self._marks.px_f):
            self._history.fold_close(self._marks.px, self._ranges.seen)
            for pf in self._moving:
                if pf.spec.stop in FOLLOWING:
                    for lot in _lots_of(pf):
                        self._fold_best(pf.spec.stop, lot)

    def _fold_best(self, stop: str, lot: Lot) -> None:
        """Fold the best price since a lot's entry; while its trail is the broker's, since the broker knows it."""
        if stop == TRAILING and not lot.stop_px:
            return
        side = 1 if lot.qty > 0 else -1
        if lot.session != self._marks.number and lot.anchor:
            best = (self._ranges.high if side > 0 else self._ranges.low).item(lot.symbol)
        elif stop == CHANDELIER:  # of the session of its entry not all prices came behind it
            low, high = self._excursions.range_of(lot, lot.px / SCALE, "open", 0)
            best = high if side > 0 else low
        else:
            best = self._marks.px_f.item(lot.symbol)
        if not math.isnan(best):
            lot.anchor = ratcheted(side, lot.anchor or lot.px, round(best * SCALE))

    def _fold_trail_canceled(self, pf: PortfolioState, working: Working, stop_px: int | None) -> None:
        """The broker's trail of a lot is no more: from here on the lot says where its stop was."""
        if pf.spec.stop != TRAILING or not stop_px:
            return
        for lot in pf.lots(working.symbol):
            if lot.lot_id == working.exit_of:
                lot.stop_px = stop_px
                part = HUNDRED_PERCENT - pf.spec.trail_percent * (1 if lot.qty > 0 else -1)
                lot.anchor = mul_ratio(stop_px, HUNDRED_PERCENT, part)

    def _fold_session_action(self, action: CorporateAction) -> None:
        """Say all that stops are measured in and from in new units; called before the last price changes."""
        symbol = action.symbol
        if self._keeps_sessions:
            self._history.fold_action(action, self._marks.px.item(symbol))
            if action.kind == SPLIT:
                self._ranges.split(symbol, action.denominator / action.numerator)
            elif action.kind == DIVIDEND:
                self._ranges.pay(symbol, action.value)
            elif action.kind == RENAME and action.renamed_to is not None:
                self._ranges.move(symbol, action.renamed_to)
        for pf in self._moving:
            for lot in pf.lots(symbol):
                if action.kind == SPLIT:
                    lot.anchor = split_px(lot.anchor, action.numerator, action.denominator)
                    lot.stop_px = split_px(lot.stop_px, action.numerator, action.denominator)
                elif action.kind == DIVIDEND and lot.qty > 0:  # as the broker does with sell stops
                    lot.anchor = max(0, (lot.anchor or lot.px) - action.value)
                    lot.stop_px = max(0, lot.stop_px - action.value)

    def _fold_entry(self, lot: Lot) -> None:
        """A lot was opened."""
        lot.session = self._marks.number
        lot.anchor = lot.px

    # -- reading ---------------------------------------------------------------------------------------------------

    def _gauge(self, pf: PortfolioState, symbol: int) -> float:
        """Return what a portfolio's stops in a symbol are measured in, NaN where not known or not needed."""
        spec = pf.spec
        if spec.stop in RANGED:
            return self._ranges.average(symbol, lookback(spec))
        if spec.stop != VOLATILITY:
            return math.nan
        rows = lookback(spec)
        returns: list[float] = self._history.returns_of([symbol], rows)[:, 0].tolist()
        if len(returns) < max(rows, 2) or not all(map(math.isfinite, returns)):
            return math.nan
        mean = math.fsum(returns) / rows
        return math.sqrt(math.fsum([(r - mean) ** 2 for r in returns]) / (rows - 1))

    def _opening_stop(self, pf: PortfolioState, symbol: int, side: int, px: int) -> int:
        """Return where the stop of a lot opened at ``px`` rests; 0: a trail, or where ``stop_loss`` says."""
        if pf.spec.stop in (PERCENT, TRAILING):
            return 0
        return level(pf.spec, side, px, self._gauge(pf, symbol))

    def stop_distance(self, pf: PortfolioState, symbol: int, px: int) -> int:
        """Return how far the automatic stop of what is entered at ``px`` will rest from it, 0 where it has none."""
        if pf.spec.stop == PERCENT:
            return 0
        return distance(pf.spec, px, self._gauge(pf, symbol))

    def _stop_again(self, pf: PortfolioState, lot: Lot) -> int:
        return 0 if pf.spec.stop == PERCENT else lot.stop_px

    # -- decisions, called from the actor's ------------------------------------------------------------------------

    def _move_stops(self, ctx: Context) -> None:
        """At a session's close: bring stops nearer where their level has come nearer; close what was held long."""
        if self._killed:
            return
        for pf in self._moving:
            if pf.flattening is None:
                self._move_stops_of(pf, ctx)
        for pf in self._timed:
            if pf.flattening is None:
                self._close_old(pf, ctx)

    def _move_stops_of(self, pf: PortfolioState, ctx: Context) -> None:
        gauges: dict[int, float] = {}
        for lot in _guarded(pf):
            symbol, side = lot.symbol, 1 if lot.qty > 0 else -1
            stop = _exit(pf, lot, STOP_LOSS)
            if stop is not None and not stop.stop_px:
                continue  # a trail moves at the broker
            if stop is None and (lot.stop_px or pf.spec.stop == TRAILING):
                continue  # somebody took it away
            if symbol not in gauges:
                gauges[symbol] = self._gauge(pf, symbol)
            px = level(pf.spec, side, lot.anchor or lot.px, gauges[symbol])
            if stop is None:
                if px and not pf.spec.stop_loss:
                    self._stop_late(pf, lot, px, ctx)
            elif ratcheted(side, stop.stop_px, px) != stop.stop_px:
                ctx.send(ReplaceOrder(stop.client_order_id, stop_px=px))

    def _stop_late(self, pf: PortfolioState, lot: Lot, px: int, ctx: Context) -> None:
        owner, ticker = self._owner(pf, lot.strategy), self._universe.symbols[lot.symbol]
        terms = (lot.symbol, lot.lot_id, lot.qty, lot.px, lot.strategy, px)
        for order in opening_exits(pf.spec, owner, ticker, *terms):
            if order.reason == STOP_LOSS:
                name = exit_id(owner, ticker, _LATE, lot.lot_id, self._marks.number)
                ctx.send(msgspec.structs.replace(order, client_order_id=name))

    def _close_old(self, pf: PortfolioState, ctx: Context) -> None:
        number, most = self._marks.number, pf.spec.time_stop_sessions
        for lot in _guarded(pf):
            if number - lot.session + 1 >= most and _exit(pf, lot, TIME_STOP) is None:
                ticker = self._universe.symbols[lot.symbol]
                ctx.send(time_exit(pf.spec, self._owner(pf, lot.strategy), ticker, lot, number))

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _stops_snapshot(self) -> dict[str, Any]:
        if not self._keeps_sessions:
            return {}
        return {"ranges": self._ranges.snapshot(), "history": self._history.snapshot()}

    def _stops_restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot; of an older version, or of a configuration that kept no sessions, they begin here."""
        if self._keeps_sessions and state:
            self._ranges.restore(state["ranges"])
            self._history.restore(state["history"])


def _lots_of(pf: PortfolioState) -> Iterator[Lot]:
    """Yield all open lots, by symbol, oldest first."""
    for symbol in pf.held():
        yield from pf.lots(symbol)


def _guarded(pf: PortfolioState) -> Iterator[Lot]:
    """Yield the open lots that have automatic exits."""
    for lot in _lots_of(pf):
        if not lot.exempt and lot.strategy in pf.spec.strategies:
            yield lot


def _exit(pf: PortfolioState, lot: Lot, reason: str) -> Working | None:
    """Return the working exit of a lot for a reason."""
    return next((w for w in pf.exits.get(lot.lot_id, {}).values() if w.reason == reason), None)
