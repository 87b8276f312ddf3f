"""Matches bars."""

from __future__ import annotations

import numpy as np

from actors.broker import trailing
from actors.broker.bars import BarRules, BarWalk, arrival, bar_of, quoted
from actors.broker.execution import FOK, IOC, Execution
from actors.broker.matching import CLOSE
from actors.broker.order_state import Auction, Mode
from actors.broker.panels import row_of, trades
from actors.broker.path import Path
from actors.broker.state import BrokerState
from actors.messages.market import BarPanel
from actors.messages.orders import BarRevised, TimeInForce
from daemon.kernel.actor import Context, decides, observes, seals


class BarDesk(BrokerState):
    """Folds bars and matches them against what rests."""

    @observes(BarPanel)
    def note_bar(self, panel: BarPanel) -> None:
        """Fold what later decisions need of a bar; a late correction changes last prices and nothing else."""
        if panel.revision:
            newest = self._market.correct(panel)
            if newest is not None and self._terms.margin is not None:
                self._terms.margin.fold_bars(newest)
            return
        resting = self._resting
        self._opening = self._first_bars(panel) if resting.auctions else frozenset()
        self._market.note(panel)
        if self._terms.spreads is not None:
            self._terms.spreads.event(panel.start_ts, panel.ts)
        resting.refresh()

    def _first_bars(self, panel: BarPanel) -> frozenset[int]:
        """Return the symbols of orders for the opening that had no bar in the session under way before this one."""
        market = self._market
        if not market.session_close or panel.start_ts < market.session_open:
            return frozenset()  # before or behind the session
        symbols = {order.symbol for order in self._resting.auctions.values() if order.auction is Auction.OPEN}
        ids = np.array(sorted(symbols), dtype=np.int32)
        return frozenset(ids[market.starts_of(ids) < market.session_open].tolist())

    @seals(BarPanel)
    def seal_bar(self, panel: BarPanel) -> None:
        """Fold volumes, count null ones, and let prices leave their marks on the working orders."""
        if panel.revision:
            return
        resting, terms = self._resting, self._terms
        if resting.unarrived or resting.trails or resting.auctions:
            self._mark_orders(panel)
        if resting.taking:
            resting.meet_open(panel)
        if self._status.computes:
            self._status.note_bar(panel)
        if self._status.banded:
            self._status.after_bars(panel.ids)
        if terms.spreads is not None:
            terms.spreads.add(panel)
        if terms.margin is not None:
            terms.margin.fold_bars(panel)
        volume = panel.volume
        if volume is not None:
            total = np.add.reduce(volume)
            has_null = bool(total != total)  # noqa: PLR0124 - NaN
            if has_null:
                self.null_volume_skips += resting.count_null(panel, volume)
            if terms.adv is not None:
                terms.adv.add(None if panel.dense else panel.ids, volume, has_null=has_null)

    def _mark_orders(self, panel: BarPanel) -> None:
        """Fold where the market stood when orders reached it, the best prices of trails, the last bar of a session."""
        resting, market = self._resting, self._market
        ticked = self._book.ticked if self._book.active else None
        for order in [*resting.unarrived.values(), *resting.trails.values(), *resting.auctions.values()]:
            born = order.leg and order.accepted_ts == panel.ts
            lives = order.live_from <= panel.start_ts or born
            if not (lives or order.auction):  # most that came in with this bar
                continue
            row = row_of(panel, order.symbol)
            if row < 0 or not trades(panel, row) or (ticked is not None and ticked(order.symbol)):
                continue
            if lives:
                if not order.arrival_px:
                    resting.arrived(order, arrival(panel, row))
                status = self._status
                if order.mode is Mode.TRAIL and (status.quiet or status.open(order.symbol, panel.start_ts, panel.ts)):
                    bar = bar_of(panel, row)
                    if order.best and not born:
                        order.best = trailing.through(order, bar.high, bar.low)
                    else:
                        place = (abs(order.leg), order.arrival_px) if born else (1, bar.open)
                        order.best = trailing.after(order, Path(bar, -order.leg or order.side), *place)
            if order.auction is Auction.CLOSE and order.live_from <= panel.ts <= (market.session_close or panel.ts):
                order.last_px = panel.close_fx.item(row)
                order.last_volume = None if panel.volume is None else panel.volume.item(row)
                order.last_half = quoted(panel, row, CLOSE)

    # -- bars ------------------------------------------------------------------------------------------------------

    @decides(BarPanel)
    def on_bar(self, panel: BarPanel, ctx: Context) -> None:
        """Match resting orders against the bars; a late correction is told and matched with nothing."""
        if panel.revision:
            for symbol, old, new in self._market.corrected:
                ctx.emit(BarRevised(symbol, panel.start_ts, old, new))
            return
        resting = self._resting
        if not resting.orders:
            return
        rows = resting.hits(panel)
        if not self._status.quiet:
            rows = self._status.passing(panel, rows)
        if self._book.active:
            rows = rows[[not self._book.ticked(symbol) for symbol in panel.ids[rows].tolist()]]
        over = resting.next_expiry and resting.expired(panel.ts, at_once=False)
        if not rows.size and not over and not resting.immediate and not resting.auctions:
            return
        execution = self._execution(panel.session, ctx.now)
        execution.bar = panel.start_ts, panel.ts
        for order in over or ():
            execution.expire(order, "gtd")
        market = self._market
        rules = BarRules(self._params.fill_on_touch, self._opening, market.session_close)
        BarWalk(panel, resting, execution, rules).run(rows.tolist())
        if resting.immediate or resting.auctions:
            self._end_chances(panel, execution)
        ctx.out += execution.events

    def _end_chances(self, panel: BarPanel, execution: Execution) -> None:
        """End what this bar was the only chance for: orders to fill at once, and those for the opening."""
        for order in (*self._resting.immediate.values(), *self._resting.auctions.values()):
            opening = order.auction is Auction.OPEN
            if order.auction is Auction.CLOSE or order.live_from > panel.start_ts or self._book.ticked(order.symbol):
                continue
            if opening and order.symbol not in self._opening:
                continue
            now = execution.now_of(order)
            if now is None or row_of(panel, order.symbol) < 0:
                continue
            if opening:
                execution.expire(now, "opg")
            else:
                execution.cancel(now, FOK if order.order.tif is TimeInForce.FOK else IOC)
