"""Limits as they bind: the tighter of the general ones and those by symbol, sector and portfolio.

Compiled once for a set of limits, to integers in units of 1e-8, so that an order looks up what concerns it and
compares. A limit of 0 is off. The general cap on an order's value grows (to ``max_order_fraction`` of equity); one by
name binds beside it and does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Final

from actors.messages.limits import SymbolLimits
from actors.risk.params import RiskLimits
from actors.values.fixed import SCALE, to_fixed
from actors.values.universe import Universe, sector_numbers
from daemon.kernel.errors import ConfigError

_REMEDY: Final = "correct the name, or add it to the run"


NOTHING: Final[Mapping[int, int]] = MappingProxyType({})
NO_LIMIT: Final = 1 << 200
"""Beyond every quantity and every value."""


class OrderTerms:
    """What an order in one symbol of one portfolio is held to; units of 1e-8, 0 for off.

    Attributes:
        qty: shares, :data:`NO_LIMIT` for off.
        small: value (units of 1e-16) up to which no order is too large, whatever the equity.
        value: an order's value that may grow with equity.
        fraction: share of equity it grows to.
        named_value: an order's value that does not grow.
        adv: share of average daily volume.
        position: share of equity in the symbol.
    """

    __slots__ = ("adv", "fraction", "named_value", "position", "qty", "small", "value")

    def __init__(self, *, qty: int, value: int, fraction: int, named_value: int, adv: int, position: int) -> None:
        self.qty = qty or NO_LIMIT
        general = value * SCALE if value else 0 if fraction else NO_LIMIT
        self.small = min(general, named_value * SCALE or NO_LIMIT)
        self.value = value
        self.fraction = fraction
        self.named_value = named_value
        self.adv = adv
        self.position = position


class PortfolioTerms:
    """What a portfolio is held to; units of 1e-8, 0 for off.

    Attributes:
        general: of orders in a symbol without limits of its own.
        named: by symbol id, of the others.
        positions: symbols held or being entered.
        gross: sum of all positions' values.
        leverage, net: multiples of equity.
        sectors: by number of the sector (:func:`~actors.values.universe.sector_numbers`), its share of equity; () where
            none is limited.
        whole: whether ``gross``, ``leverage`` or ``net`` is on.
        crowded: whether anything beyond one symbol is limited; set by the gate.
    """

    __slots__ = ("crowded", "general", "gross", "leverage", "named", "net", "positions", "sectors", "whole")

    def __init__(
        self,
        general: OrderTerms,
        named: dict[int, OrderTerms],
        *,
        positions: int,
        gross: int,
        leverage: int,
        net: int,
        sectors: tuple[int, ...],
    ) -> None:
        self.general = general
        self.named = named
        self.positions = positions
        self.gross = gross
        self.leverage = leverage
        self.net = net
        self.sectors = sectors
        self.whole = bool(gross or leverage or net)
        self.crowded = self.whole or bool(sectors)


def tighter(first: int, second: int) -> int:
    """Return the smaller of two limits of which 0 is none."""
    return min(first, second) if first and second else first or second


def compiled(
    limits: RiskLimits, universe: Universe, portfolios: Iterable[str], renamed: Mapping[int, int] = NOTHING
) -> dict[str, PortfolioTerms]:
    """Return the limits of each portfolio; names that the run does not have concern nobody.

    Args:
        limits: by name.
        universe: names of symbols and sectors.
        portfolios: of the run.
        renamed: symbol id -> id of the name that it has by now, negative for none (:attr:`Prices.gone`). What limits
            a symbol limits what it is called later, beside that name's own.
    """
    names, _ = sector_numbers(universe)
    index = universe.index()
    of: dict[int, list[SymbolLimits]] = {}
    for name, symbol in limits.symbols.items():
        number = index.get(name, -1)
        for _ in range(len(renamed) + 1):
            if number >= 0:
                of.setdefault(number, []).append(symbol)
            number = renamed.get(number, -1)
    return {portfolio: _of_portfolio(limits, portfolio, names, of) for portfolio in portfolios}


def _of_portfolio(
    limits: RiskLimits, portfolio: str, sectors: Sequence[str], symbols: Mapping[int, Sequence[SymbolLimits]]
) -> PortfolioTerms:
    own = limits.portfolios.get(portfolio)
    general = OrderTerms(
        qty=limits.max_order_qty,
        value=limits.max_order_value,
        fraction=to_fixed(limits.max_order_fraction),
        named_value=own.max_order_value if own else 0,
        adv=to_fixed(limits.max_order_adv),
        position=tighter(to_fixed(limits.max_position), to_fixed(own.max_position) if own else 0),
    )
    named = {
        number: OrderTerms(
            qty=reduce(tighter, (symbol.max_order_qty for symbol in of), limits.max_order_qty),
            value=general.value,
            fraction=general.fraction,
            named_value=reduce(tighter, (symbol.max_order_value for symbol in of), general.named_value),
            adv=reduce(tighter, (to_fixed(symbol.max_order_adv) for symbol in of), general.adv),
            position=reduce(tighter, (to_fixed(symbol.max_position) for symbol in of), general.position),
        )
        for number, of in symbols.items()
    }
    share = tighter(to_fixed(limits.max_sector), to_fixed(own.max_sector) if own else 0)
    shares = tuple(tighter(share, to_fixed(limits.sectors.get(name, 0.0))) for name in sectors)
    return PortfolioTerms(
        general,
        named,
        positions=tighter(limits.max_positions, own.max_positions if own else 0),
        gross=tighter(limits.max_gross_value, own.max_gross_value if own else 0),
        leverage=tighter(to_fixed(limits.max_leverage), to_fixed(own.max_leverage) if own else 0),
        net=tighter(to_fixed(limits.max_net), to_fixed(own.max_net) if own else 0),
        sectors=shares if any(shares) else (),
    )


def check_names(limits: RiskLimits, universe: Universe, portfolios: Iterable[str]) -> None:
    """Refuse limits of what the run does not have: a name that is misspelt would limit nothing.

    Raises:
        ConfigError: naming the key and what there is.
    """
    names, _ = sector_numbers(universe)
    known = [name for name in names if name]
    tables: tuple[tuple[str, Iterable[str], Sequence[str], str], ...] = (
        ("restricted", limits.restricted, universe.symbols, "symbol"),
        ("symbols", limits.symbols, universe.symbols, "symbol"),
        ("sectors", limits.sectors, known, "sector"),
        ("portfolios", limits.portfolios, tuple(portfolios), "portfolio"),
    )
    for key, given, there, what in tables:
        allowed = frozenset(there)
        unknown = [name for name in given if name not in allowed]
        if unknown:
            some = f"{', '.join(there[:5])}{', ...' if len(there) > 5 else ''}" if there else "none"
            text = f"risk.{key} names {', '.join(map(repr, unknown))}, and no {what} of this run is called so ({some})"
            raise ConfigError(text, code="BAD_LIMITS", remedy=_REMEDY)
