"""Marks from quotes and prints: every tick moves the last price, and each new minute states the equity.

Where bars come inside a session they state it, and ticks only move the marks.
"""

from __future__ import annotations

from actors.messages.market import QuotePanel, TradePanel
from actors.messages.portfolio import EquityMarked
from actors.portfolio.excursions import Excursions
from actors.portfolio.marks import Marks
from actors.portfolio.stop_desk import StopDesk
from daemon.kernel.actor import Context, decides, observes


class TickDesk(StopDesk):
    """The portfolio actor's part in ticks; the actor adds everything else."""

    _marks: Marks
    _excursions: Excursions
    _turns = False
    """Whether the tick in progress is the first of its minute; looked at anew with every tick, so it is no state."""

    @observes(QuotePanel)
    def note_quotes(self, panel: QuotePanel) -> None:
        """Fold last prices, and whether a new minute began."""
        self._marks.fold_quotes(panel)
        self._follow(panel)

    @observes(TradePanel)
    def note_trades(self, panel: TradePanel) -> None:
        """Fold last prices, and whether a new minute began."""
        self._marks.fold_trades(panel)
        self._follow(panel)

    def _follow(self, panel: QuotePanel | TradePanel) -> None:
        self._turns = self._marks.turns(panel.ts)
        self._fold_session_ticks(panel)
        for pf in self._portfolios:
            if pf.n_lots:
                self._excursions.touch(panel.ids, self._marks.px_f)
                return

    @decides(QuotePanel, TradePanel)
    def mark_minute(self, _panel: QuotePanel | TradePanel, ctx: Context) -> None:
        """State the equity at the first tick of a minute, unless bars do."""
        if self._turns:
            self._state_equity(ctx)

    def _state_equity(self, ctx: Context) -> None:
        """State every portfolio's equity at the last prices."""
        px, px_f = self._marks.px, self._marks.px_f
        for pf in self._portfolios:
            gross, net = pf.valuation(px, px_f)
            accrued = pf.dividends.total
            ctx.emit(EquityMarked(pf.name, pf.cash + net + accrued, pf.cash, gross, net, accrued))
        if self._flattening:
            self._close_more(ctx)
