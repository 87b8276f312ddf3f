"""The restricted list: symbols in which nothing is entered; what is held may be closed.

Names of the configuration are on it as long as they stand there, whatever they are called by now. An operator puts
others on it and takes them off, which survives restarts and reloads.
"""

from __future__ import annotations

from typing import Any

from actors.messages.control import RestrictSymbol
from actors.messages.risk import RestrictionChanged
from actors.risk.params import RiskLimits
from actors.risk.prices import Prices
from actors.values.universe import Universe
from daemon.kernel.actor import Context, CoreActor, decides, evolves
from daemon.kernel.errors import OperatorError, RefusedError


class Restricted:
    """Symbol ids on the list; a fold of limits and of :class:`RestrictionChanged`.

    Attributes:
        why: symbol id -> who put it there and why.
        added: of those, what operators put there.
    """

    __slots__ = ("_configured", "_index", "_named", "_prices", "added", "why")

    def __init__(self, universe: Universe, limits: RiskLimits, prices: Prices) -> None:
        """Begin with the configuration's names; ``prices`` knows what each is called by now."""
        self._index = universe.index()
        self._prices = prices
        self.added: dict[int, str] = {}
        self.why: dict[int, str] = {}
        self.adopt(limits)

    def adopt(self, limits: RiskLimits) -> None:
        """Take over the configuration's names; those the run does not have concern nobody."""
        self._named = tuple(self._index[name] for name in limits.restricted if name in self._index)
        self._look()

    def is_configured(self, symbol: int) -> bool:
        """Tell whether the configuration names a symbol, or what it was called before."""
        return symbol in self._configured

    def fold(self, event: RestrictionChanged) -> None:
        """An operator put a symbol on the list or took it off."""
        if event.restricted:
            self.added[event.symbol] = f"{event.reason}, by {event.by}"
        else:
            self.added.pop(event.symbol, None)
        self._look()

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol be restricted as this one is, which was renamed to it; told behind :class:`Prices`."""
        if symbol in self.added:
            self.added[new] = self.added[symbol]
        self._look()

    def _look(self) -> None:
        renamed = self._prices.gone
        found: dict[int, None] = {}
        for symbol in self._named:
            number = symbol
            for _ in range(len(renamed) + 1):
                if number >= 0:
                    found[number] = None
                number = renamed.get(number, -1)
        self._configured = tuple(found)
        self.why = dict.fromkeys(self._configured, "risk.restricted names it") | self.added

    def snapshot(self) -> list[list[Any]]:
        """Return plain values."""
        return [[symbol, why] for symbol, why in self.added.items()]

    def restore(self, state: list[list[Any]]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.added = dict(state)
        self._look()


class RestrictionDesk(CoreActor):
    """The risk actor's part that keeps the list; the actor adds the gate."""

    _universe: Universe
    _restricted: Restricted

    @property
    def restricted(self) -> Restricted:
        """The restricted list; read only."""
        return self._restricted

    @decides(RestrictSymbol)
    def restrict(self, command: RestrictSymbol, ctx: Context) -> None:
        """Put a symbol on the list, or take it from there.

        Raises:
            OperatorError: no such symbol.
            RefusedError: it is there already, or is not, or the configuration names it.
        """
        symbol = command.symbol
        if not 0 <= symbol < len(self._universe):
            raise OperatorError(
                f"there is no symbol {symbol} in this run", code="UNKNOWN_SYMBOL", remedy="see universe.symbols"
            )
        name = self._universe.symbols[symbol]
        listed = self._restricted
        if command.restricted:
            if symbol in listed.why:
                message = f"{name} is restricted already ({listed.why[symbol]})"
                raise RefusedError(message, code="RESTRICTED_ALREADY", remedy="nothing is to be done")
        elif symbol not in listed.added:
            if listed.is_configured(symbol):
                message = f"{name} is restricted by the configuration"
                remedy = "take it out of risk.restricted and reload"
                raise RefusedError(message, code="RESTRICTED_BY_CONFIG", remedy=remedy)
            raise RefusedError(f"{name} is not restricted", code="NOT_RESTRICTED", remedy="nothing is to be done")
        ctx.emit(RestrictionChanged(symbol, command.restricted, command.reason, command.by))

    @evolves(RestrictionChanged)
    def restriction_changed(self, event: RestrictionChanged) -> None:
        """Take over the list."""
        self._restricted.fold(event)
