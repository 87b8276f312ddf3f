"""How a portfolio turns signals into orders."""

from __future__ import annotations

import msgspec


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
