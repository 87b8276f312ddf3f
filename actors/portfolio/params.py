"""How a portfolio turns signals into orders."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from actors.messages.limits import PortfolioLimits, RiskLimits

Number = TypeVar("Number", int, float)


class RoomLimits(msgspec.Struct, frozen=True):
    """The gate's limits on what a portfolio may hold, below which entries are sized; 0 for off.

    Attributes:
        max_position: share of equity in one symbol; ``symbols`` tighter ones by name.
        max_positions: symbols held or being entered.
        max_gross_value: sum of all positions, units of 1e-8.
        max_leverage, max_net: multiples of equity.
        max_sector: share of equity in one sector; ``sectors`` tighter ones by name.
        max_cluster: share of equity in names that move with an entry by ``correlation_shrink`` or more.
    """

    max_position: float = 0.0
    max_positions: int = 0
    max_gross_value: int = 0
    max_leverage: float = 0.0
    max_net: float = 0.0
    max_sector: float = 0.0
    max_cluster: float = 0.0
    symbols: dict[str, float] = {}
    sectors: dict[str, float] = {}


OFF = RoomLimits()


class PortfolioSpec(msgspec.Struct, frozen=True):
    """One portfolio.

    Attributes:
        name: unique.
        cash: opening deposit, units of 1e-8.
        strategies: whose signals it follows; none means operators' orders only.
        allocation: ``equal``, ``inverse_volatility`` or ``confidence``.
        rebalance: ``never``, ``daily``, ``weekly``, ``monthly`` or ``signal`` (at every decision).
        drift: rebalance early once a weight is this far from its target, a fraction; 0 for off.
        lookback: sessions (or bars) of returns for inverse volatility.
        max_positions: names held at most; 0 for no bound.
        max_weight: largest target weight; 0 for no bound.
        min_weight: sizing floor for entries, never trims; 0 for none.
        cash_buffer: fraction of equity kept in cash.
        min_confidence_buy, min_confidence_sell: signals below are cut before weights are computed.
        stop_loss, take_profit: per entry lot, as fractions of its entry price; 0 for off.
        min_order_value: smaller differences are not traded, units of 1e-8.
        cash_reserve: multiple of the reference value a buy must be able to pay, as in the gate, units of 1e-8.
        cost_rate: fees per value a buy must be able to pay on top (commission rate), units of 1e-8.
        cost_per_share: the same per share.
        lot_size: smallest step of a quantity, units of 1e-8.
        allow_short: negative scores may open shorts; else they close.
        cost_min: smallest fee of an order, units of 1e-8.
        reuse_proceeds: expected proceeds of sells may pay for buys of the same open (not in account ``cash_strict``).
        borrow_rate: annual fee on the value of borrowed shares, units of 1e-8, 0 for none.
        margin_rate: annual interest on a negative cash balance (account ``margin``), units of 1e-8, 0 for none.
        margin: entries may use the equity beyond the initial requirement (account ``margin``), not only cash.
        stop: how far a lot's stop is: ``percent`` (``stop_loss``), ``volatility``, ``atr``, ``chandelier`` or
            ``trailing`` (:mod:`actors.portfolio.stops`).
        stop_multiple: deviations or average true ranges from what the stop is measured from.
        stop_lookback: sessions behind them; 0 for the method's usual number.
        trail_percent: distance of a trailing stop, percent in units of 1e-8 as on orders.
        time_stop_sessions: a lot is closed at the open after so many session closes; 0 for never.
        risk_per_trade, max_heat: shares of equity that an entry, and all positions, may lose down to their stops; the
            gate's, at which sizes aim; 0 for off.
        correlation_shrink, max_correlation: from the first on, sizes shrink to nothing at the second; 0 for off.
        correlation_sessions: of returns behind correlations.
        room: the gate's limits on what may be held, below which entries are sized.
    """

    name: str
    cash: int
    strategies: tuple[str, ...] = ()
    allocation: str = "equal"
    rebalance: str = "weekly"
    drift: float = 0.05
    lookback: int = 60
    max_positions: int = 10
    max_weight: float = 0.20
    min_weight: float = 0.05
    cash_buffer: float = 0.0
    min_confidence_buy: float = 0.65
    min_confidence_sell: float = 0.60
    stop_loss: float = 0.03
    take_profit: float = 0.10
    min_order_value: int = 100 * 10**8
    cash_reserve: int = 102_000_000
    cost_rate: int = 100_000
    cost_per_share: int = 0
    lot_size: int = 100_000_000
    allow_short: bool = False
    cost_min: int = 0
    reuse_proceeds: bool = True
    borrow_rate: int = 250_000
    margin_rate: int = 0
    margin: bool = False
    stop: str = "percent"
    stop_multiple: float = 3.0
    stop_lookback: int = 0
    trail_percent: int = 5 * 10**8
    time_stop_sessions: int = 0
    risk_per_trade: float = 0.0
    max_heat: float = 0.0
    correlation_shrink: float = 0.0
    max_correlation: float = 0.0
    correlation_sessions: int = 60
    room: RoomLimits = OFF

    @property
    def asks_alike(self) -> bool:
        """Whether correlations bound its sizes."""
        return bool(self.correlation_shrink and (self.max_correlation or self.room.max_cluster))

    @property
    def cuts_back(self) -> bool:
        """Whether entries may have to be smaller than their targets."""
        return bool(self.asks_alike or self.risk_per_trade or self.max_heat) or self.room != OFF


SIZING: Final = ("risk_per_trade", "max_heat", "correlation_shrink", "max_correlation", "room")
"""What of a portfolio's spec is the gate's, and follows when limits are changed."""


def sized_by(spec: PortfolioSpec, limits: RiskLimits) -> PortfolioSpec:
    """Return the spec of a portfolio whose entries are sized below these limits of the gate."""
    own = limits.portfolios.get(spec.name, PortfolioLimits())
    return msgspec.structs.replace(
        spec,
        risk_per_trade=limits.risk_per_trade,
        max_heat=limits.max_heat,
        correlation_shrink=limits.correlation_shrink,
        max_correlation=limits.max_correlation,
        room=RoomLimits(
            max_position=tighter(limits.max_position, own.max_position),
            max_positions=tighter(limits.max_positions, own.max_positions),
            max_gross_value=tighter(limits.max_gross_value, own.max_gross_value),
            max_leverage=tighter(limits.max_leverage, own.max_leverage),
            max_net=tighter(limits.max_net, own.max_net),
            max_sector=tighter(limits.max_sector, own.max_sector),
            max_cluster=limits.max_cluster,
            symbols={name: named.max_position for name, named in limits.symbols.items() if named.max_position},
            sectors={name: share for name, share in limits.sectors.items() if share},
        ),
    )


def tighter(first: Number, second: Number) -> Number:
    """Return the smaller of two limits of which 0 is none."""
    return min(first, second) if first and second else first or second
