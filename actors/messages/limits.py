"""The limits of the gate and the breakers as a message may carry them: a reload brings new ones, an event states both.

Fields are named on the wire, so that a limit added later reads as its default in older ledgers.
"""

from __future__ import annotations

import msgspec


class BreakerRule(msgspec.Struct, frozen=True):
    """When a breaker trips, what it does then, and how it is armed again.

    What each measures is said in ``config/breakers.py``.

    Attributes:
        limit: the measure at which it trips, in the breaker's own unit; 0 for off.
        window_ns: length of the window it is measured over, where there is one.
        min_count: observations without which it is not judged.
        action: ``warn``, ``block``, ``reduce``, ``deleverage``, ``halt`` or ``flatten``.
        reset: ``operator`` latches, ``cooling`` arms it again once the cause is over and both waits are.
        cooling_ns: how long the cause must be over.
        cooling_sessions: sessions to wait.
        fraction: part of every position that ``deleverage`` closes.
    """

    limit: float = 0.0
    window_ns: int = 0
    min_count: int = 1
    action: str = "halt"
    reset: str = "operator"
    cooling_ns: int = 0
    cooling_sessions: int = 0
    fraction: float = 0.5


class SymbolLimits(msgspec.Struct, frozen=True):
    """Limits of one symbol beside the general ones, as there; 0 for none of its own."""

    max_order_qty: int = 0
    max_order_value: int = 0
    max_order_adv: float = 0.0
    max_position: float = 0.0


class PortfolioLimits(msgspec.Struct, frozen=True):
    """Limits of one portfolio beside the general ones, as there; 0 for none of its own."""

    max_order_value: int = 0
    max_position: float = 0.0
    max_positions: int = 0
    max_gross_value: int = 0
    max_leverage: float = 0.0
    max_net: float = 0.0
    max_sector: float = 0.0
    daily_loss_block: float = 0.0
    daily_loss_halt: float = 0.0
    max_drawdown: float = 0.0


class RiskLimits(msgspec.Struct, frozen=True):
    """Limits. Money in units of 1e-8, ratios as floats; 0 switches a limit off where it says so.

    Attributes:
        min_order_value, max_order_value: per order; the maximum grows to ``max_order_fraction`` of equity if larger.
            Both 0 for off. Orders that only reduce a position skip the minimum.
        max_order_qty: shares, 0 for off.
        max_position: gate cap of one symbol's value over equity, working orders included; 0 for off.
        max_positions: number of symbols held or being entered, less those a working market order closes; 0 for off.
        price_collar: largest distance of a limit or stop price from the reference, a fraction; 0 for off.
        min_confidence_buy, min_confidence_sell: gates on a signal's confidence; 0 for off.
        cash_reserve: what a buy reserves, as a multiple of its reference value; 1e-8 units (1.02 is 102_000_000).
            0 for off: no buy is reserved for or denied for want of cash; the broker cuts it to what cash pays.
        stale_ns: largest age of a symbol's last price for an entry on intraday data; 0 for off.
        stale_sessions: the same on daily data; 0 for off.
        duplicate_window_ns: same portfolio, strategy, symbol, side, quantity and price within this is a duplicate
            unless it belongs to another decision; 0 for off. A repeated client_order_id is always one.
        require_reference: deny an order whose symbol has no price yet.
        daily_loss_warn, daily_loss_block, daily_loss_halt: day loss as fractions of the previous close equity; 0 off.
        max_drawdown: loss from the persisted high-water mark that halts and latches; 0 for off.
        replay_resume_sessions: in replay, full sessions a drawdown halt lasts before it is lifted and the mark restarts
            at the equity of that moment; 0 for never.
        allow_short: SELL of more than is held may open a short.
        lot_size: smallest step of a quantity.
        replay: whether breakers follow the replay's reset rules.
        max_order_adv: an entry's quantity over the average daily volume of 20 sessions; 0 off.
        deny_unknown_adv: deny entries in symbols whose average volume is unknown.
        unusual_size: an entry's value over what is normal for its portfolio, strategy and reason; 0 off.
        unusual_size_orders: earlier orders without which nothing is known to be normal.
        nbbo_tolerance: with a quote, how far a price may lie beyond the opposite touch, and how wide relative to its
            middle a spread may be for a market order; fractions, 0 off.
        order_rate, order_burst: token bucket of new orders (a second, at once), of all portfolios; 0 off.
        symbol_order_rate, symbol_order_burst: the same for each symbol.
        message_rate, message_burst: the same for new orders and replaces together.
        collar_period_ns: time from a symbol's first fill within which its price may not walk further than
            ``price_collar``; 0 off.
        max_executions, executions_window_ns: executed orders of one strategy in one symbol; 0 off.
        self_match_prevention: deny what would trade with a working order of our own.
        restricted: symbols, as texts, in which nothing is entered.
        no_entry_before_close_ns: last part of a session without entries; 0 off.
        pattern_day_trader: hold margin accounts to FINRA's rule on the dates it was in force.
        max_gross_value, max_leverage, max_net: of a portfolio with what works: money, multiples of equity; 0 off.
        book_max_gross_value, book_max_leverage, book_max_position: of all portfolios together; 0 off.
        max_sector: value of a sector over equity; 0 off.
        max_correlation, correlation_shrink, correlation_sessions: value-weighted mean of signed correlations to what is
            held (``semantics.md`` section 4); 0 off.
        max_cluster: value of names correlated by ``correlation_shrink`` or more over equity; 0 off.
        risk_per_trade, max_heat: loss down to the stops over equity, of an entry and of everything; 0 off.
        max_var, var_sessions: one-day historical VaR at 95 % over equity; 0 off.
        utilization_warn: use of a limit that is told; 0 off.
        weekly and monthly losses, streaks, rates, fills, data: ``breakers``, rules by name.
        cooldown_sessions, cooldown_ns: after a losing exit a symbol is not entered; 0 off.
        stop_guard, stop_guard_sessions, stop_guard_lock_sessions: so many stops within so many sessions lock a
            portfolio's entries for so many; 0 off.
        symbols, sectors, portfolios: tighter limits by name.

    What came after the first ledgers is off where it is not said: an older ledger is judged as it was.
    """

    min_order_value: int = 100 * 10**8
    max_order_value: int = 50_000 * 10**8
    max_order_fraction: float = 0.20
    max_order_qty: int = 0
    max_position: float = 0.20
    max_positions: int = 10
    price_collar: float = 0.10
    min_confidence_buy: float = 0.65
    min_confidence_sell: float = 0.60
    cash_reserve: int = 102_000_000
    stale_ns: int = 5_000_000_000
    stale_sessions: int = 1
    duplicate_window_ns: int = 1_000_000_000
    require_reference: bool = True
    daily_loss_warn: float = 0.018
    daily_loss_block: float = 0.02
    daily_loss_halt: float = 0.05
    max_drawdown: float = 0.20
    replay_resume_sessions: int = 0
    allow_short: bool = False
    lot_size: int = 100_000_000
    replay: bool = True
    max_order_adv: float = 0.0
    deny_unknown_adv: bool = False
    unusual_size: float = 0.0
    unusual_size_orders: int = 20
    nbbo_tolerance: float = 0.0
    order_rate: float = 0.0
    order_burst: int = 0
    symbol_order_rate: float = 0.0
    symbol_order_burst: int = 0
    message_rate: float = 0.0
    message_burst: int = 0
    collar_period_ns: int = 0
    max_executions: int = 0
    executions_window_ns: int = 60_000_000_000
    self_match_prevention: bool = False
    restricted: tuple[str, ...] = ()
    no_entry_before_close_ns: int = 0
    pattern_day_trader: bool = False
    max_gross_value: int = 0
    max_leverage: float = 0.0
    max_net: float = 0.0
    book_max_gross_value: int = 0
    book_max_leverage: float = 0.0
    book_max_position: float = 0.0
    max_sector: float = 0.0
    max_correlation: float = 0.0
    correlation_shrink: float = 0.0
    correlation_sessions: int = 60
    max_cluster: float = 0.0
    risk_per_trade: float = 0.0
    max_heat: float = 0.0
    max_var: float = 0.0
    var_sessions: int = 252
    utilization_warn: float = 0.0
    cooldown_sessions: int = 0
    cooldown_ns: int = 0
    stop_guard: int = 0
    stop_guard_sessions: int = 5
    stop_guard_lock_sessions: int = 1
    symbols: dict[str, SymbolLimits] = {}
    sectors: dict[str, float] = {}
    portfolios: dict[str, PortfolioLimits] = {}
    breakers: dict[str, BreakerRule] = {}
