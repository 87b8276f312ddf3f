"""Hears who may trade, and tells when matching of a symbol stops and begins again."""

from __future__ import annotations

from actors.broker.state import BrokerState
from actors.messages.market import TradingStatus
from actors.messages.orders import SymbolFrozen, SymbolReleased
from daemon.kernel.actor import Context, decides, evolves, observes


class StatusDesk(BrokerState):
    """Folds statuses; :class:`actors.broker.status.MarketStatus` says what they mean."""

    @observes(TradingStatus)
    def note_status(self, status: TradingStatus) -> None:
        """Fold a status."""
        self._status.fold(status)

    @decides(TradingStatus)
    def on_status(self, status: TradingStatus, ctx: Context) -> None:
        """Tell that a symbol is frozen or released; price bands and short-sale restrictions are neither."""
        symbol = status.symbol
        frozen = self._status.frozen(symbol)
        if frozen is not None:
            if symbol not in self._status.told:
                ctx.emit(SymbolFrozen(symbol, *frozen))
        elif symbol in self._status.told:
            ctx.emit(SymbolReleased(symbol, status.reason))

    @evolves(SymbolFrozen)
    def frozen(self, event: SymbolFrozen) -> None:
        """Remember that it was told."""
        self._status.told[event.symbol] = event.state

    @evolves(SymbolReleased)
    def released(self, event: SymbolReleased) -> None:
        """Remember that it was told."""
        self._status.told.pop(event.symbol, None)
