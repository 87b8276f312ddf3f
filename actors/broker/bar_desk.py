"""Matches bars."""

from __future__ import annotations

import numpy as np

from actors.broker.bars import match_bars
from actors.broker.execution import Execution
from actors.broker.state import BrokerState
from actors.messages.market import BarPanel
from daemon.kernel.actor import Context, decides, observes, seals


class BarDesk(BrokerState):
    """Folds bars and matches them against what rests."""

    @observes(BarPanel)
    def note_bar(self, panel: BarPanel) -> None:
        """Fold what later decisions need of a bar."""
        self._market.note(panel)
        self._resting.refresh()

    @seals(BarPanel)
    def seal_bar(self, panel: BarPanel) -> None:
        """Fold volumes, count null ones, and let limits that met an open rest."""
        if self._resting.taking:
            self._resting.meet_open(panel)
        if self._status.computes:
            self._status.note_bar(panel)
        volume = panel.volume
        if volume is not None:
            total = np.add.reduce(volume)
            has_null = bool(total != total)  # noqa: PLR0124 - NaN
            if has_null:
                self.null_volume_skips += self._resting.count_null(panel, volume)
            if self._terms.adv is not None:
                self._terms.adv.add(panel, volume, has_null=has_null)

    # -- bars ------------------------------------------------------------------------------------------------------

    @decides(BarPanel)
    def on_bar(self, panel: BarPanel, ctx: Context) -> None:
        """Match resting orders against the bars."""
        if not self._resting.orders:
            return
        rows = self._resting.hits(panel)
        if not self._status.quiet:
            rows = self._status.passing(panel, rows)
        if rows.size:
            execution = Execution(self._terms, self._accounts, panel.session)
            on_touch = self._params.fill_on_touch
            match_bars(panel, rows.tolist(), self._resting, execution, on_touch=on_touch)
            ctx.out += execution.events
