"""The gate's part in corporate actions: prices, positions, orders and cash follow what broker and portfolio state."""

from __future__ import annotations

from actors.messages.market import CorporateAction
from actors.messages.orders import OrderRestated
from actors.messages.portfolio import DividendPaid, PositionAdjusted
from actors.risk.exposure import Exposure
from actors.risk.prices import Prices
from actors.risk.remembered import Remembered
from actors.risk.track import Tracks
from actors.values.history import SessionHistory
from daemon.kernel.actor import CoreActor, evolves, observes


class CorporateDesk(CoreActor):
    """Follows corporate actions; the actor adds everything else. Baselines are equity, which no action changes."""

    _prices: Prices
    _exposure: Exposure
    _history: SessionHistory
    _tracks: Tracks
    _remembered: Remembered

    @observes(CorporateAction)
    def reprice(self, action: CorporateAction) -> None:
        """Fold last prices and closes, and which symbols are no more."""
        self._history.fold_action(action, self._prices.last(action.symbol))
        self._remembered.fold_action(action)
        self._prices.fold_action(action)

    @evolves(PositionAdjusted)
    def adjusted(self, event: PositionAdjusted) -> None:
        """Take over what is held."""
        self._exposure.fold_adjusted(event)

    @evolves(OrderRestated)
    def restated(self, event: OrderRestated) -> None:
        """Take over an order's new terms."""
        self._exposure.fold_restated(event)
        self._remembered.fold_restated(event)
        self._tracks.fold_restated(event)

    @evolves(DividendPaid)
    def dividend_paid(self, event: DividendPaid) -> None:
        """Take over the cash."""
        self._exposure.fold_dividend(event)
