"""From ``[risk]`` in human units to what the gate and the breakers take: fixed-point integers, nanoseconds, floats."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits
from actors.values.fixed import parse_fixed
from config.breakers import BreakerSettings, BreakersSettings
from config.risk import PortfolioLimitsSettings, SymbolLimitsSettings
from config.settings import Settings

_MS: Final = 1_000_000
_SECOND: Final = 1_000_000_000


def risk_limits(settings: Settings, *, replay: bool) -> RiskLimits:
    """Return the gate's and breakers' limits; ``replay`` chooses the replay's reset rules."""
    risk = settings.risk
    return RiskLimits(
        min_order_value=parse_fixed(risk.min_order_value),
        max_order_value=parse_fixed(risk.max_order_value),
        max_order_fraction=float(risk.max_order_fraction),
        max_order_qty=parse_fixed(risk.max_order_qty),
        max_position=float(risk.max_position),
        max_positions=risk.max_positions,
        price_collar=float(risk.price_collar),
        min_confidence_buy=float(risk.min_confidence_buy),
        min_confidence_sell=float(risk.min_confidence_sell),
        cash_reserve=parse_fixed(risk.cash_reserve),
        stale_ns=risk.stale_ms * _MS,
        stale_sessions=risk.stale_sessions,
        duplicate_window_ns=risk.duplicate_window_ms * _MS,
        require_reference=risk.require_reference,
        daily_loss_warn=float(risk.daily_loss_warn),
        daily_loss_block=float(risk.daily_loss_block),
        daily_loss_halt=float(risk.daily_loss_halt),
        max_drawdown=float(risk.max_drawdown),
        replay_resume_sessions=risk.replay_resume_sessions,
        allow_short=settings.broker.allow_short,
        lot_size=parse_fixed(settings.portfolio[0].lot_size),
        replay=replay,
        max_order_adv=float(risk.max_order_adv),
        # Recorded data are what they are; a live feed that knows no volume has not been looked at closely enough.
        deny_unknown_adv=risk.unknown_adv == "deny",
        unusual_size=float(risk.unusual_size),
        unusual_size_orders=risk.unusual_size_orders,
        nbbo_tolerance=float(risk.nbbo_tolerance),
        order_rate=float(risk.order_rate),
        order_burst=risk.order_burst,
        symbol_order_rate=float(risk.symbol_order_rate),
        symbol_order_burst=risk.symbol_order_burst,
        message_rate=float(risk.message_rate),
        message_burst=risk.message_burst,
        collar_period_ns=risk.collar_period_ms * _MS,
        max_executions=risk.max_executions,
        executions_window_ns=risk.executions_window_ms * _MS,
        self_match_prevention=risk.self_match_prevention,
        restricted=risk.restricted,
        no_entry_before_close_ns=risk.no_entry_before_close_ms * _MS,
        pattern_day_trader=risk.pattern_day_trader == "dated",
        max_gross_value=parse_fixed(risk.max_gross_value),
        max_leverage=float(risk.max_leverage),
        max_net=float(risk.max_net),
        book_max_gross_value=parse_fixed(risk.book_max_gross_value),
        book_max_leverage=float(risk.book_max_leverage),
        book_max_position=float(risk.book_max_position),
        max_sector=float(risk.max_sector),
        max_correlation=float(risk.max_correlation),
        correlation_shrink=float(risk.correlation_shrink),
        correlation_sessions=risk.correlation_sessions,
        max_cluster=float(risk.max_cluster),
        risk_per_trade=float(risk.risk_per_trade),
        max_heat=float(risk.max_heat),
        max_var=float(risk.max_var),
        var_sessions=risk.var_sessions,
        utilization_warn=float(risk.utilization_warn),
        cooldown_sessions=risk.cooldown_sessions,
        cooldown_ns=risk.cooldown_ms * _MS,
        stop_guard=risk.stop_guard,
        stop_guard_sessions=risk.stop_guard_sessions,
        stop_guard_lock_sessions=risk.stop_guard_lock_sessions,
        symbols={name: _symbol(limits) for name, limits in risk.symbols.items()},
        sectors={name: float(share) for name, share in risk.sectors.items()},
        portfolios={name: _portfolio(limits) for name, limits in risk.portfolios.items()},
        breakers=_rules(risk.breakers),
    )


def _symbol(limits: SymbolLimitsSettings) -> SymbolLimits:
    return SymbolLimits(
        max_order_qty=parse_fixed(limits.max_order_qty),
        max_order_value=parse_fixed(limits.max_order_value),
        max_order_adv=float(limits.max_order_adv),
        max_position=float(limits.max_position),
    )


def _portfolio(limits: PortfolioLimitsSettings) -> PortfolioLimits:
    return PortfolioLimits(
        max_order_value=parse_fixed(limits.max_order_value),
        max_position=float(limits.max_position),
        max_positions=limits.max_positions,
        max_gross_value=parse_fixed(limits.max_gross_value),
        max_leverage=float(limits.max_leverage),
        max_net=float(limits.max_net),
        max_sector=float(limits.max_sector),
        daily_loss_block=float(limits.daily_loss_block),
        daily_loss_halt=float(limits.daily_loss_halt),
        max_drawdown=float(limits.max_drawdown),
    )


def _rules(breakers: BreakersSettings) -> dict[str, BreakerRule]:
    rules = {name: _rule(breaker, breaker.limit) for name, breaker in breakers}
    rates, rejects, drift = breakers.order_rate, breakers.reject_rate, breakers.prediction_drift
    replace = msgspec.structs.replace
    rules["order_rate"] = replace(rules["order_rate"], window_ns=_ns(rates.window_s))
    rules["reject_rate"] = replace(rules["reject_rate"], window_ns=_ns(rejects.window_s), min_count=rejects.min_count)
    rules["prediction_drift"] = replace(rules["prediction_drift"], min_count=drift.min_count)
    return rules


def _rule(breaker: BreakerSettings, limit: Decimal | int) -> BreakerRule:
    return BreakerRule(
        limit=float(limit),
        action=breaker.action,
        reset=breaker.reset,
        cooling_ns=_ns(breaker.cooling_s),
        cooling_sessions=breaker.cooling_sessions,
        fraction=float(breaker.fraction),
    )


def _ns(seconds: Decimal) -> int:
    return int(seconds * _SECOND)
