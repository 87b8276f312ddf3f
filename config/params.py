"""From settings in human units to what each room takes: fixed-point integers, nanoseconds, plain floats.

Every conversion of money and rates is exact; a value that is not representable was refused when it was read.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from actors.alerter.params import AlertParams
from actors.broker.params import BrokerParams
from actors.portfolio.params import PortfolioSpec, sized_by
from actors.values.fixed import parse_fixed
from config.risk_params import risk_limits
from config.settings import Settings, reference_aliases
from daemon.kernel.errors import ConfigError

N = TypeVar("N", int, Decimal)
_MS = 1_000_000


class StrategyRequest(msgspec.Struct, frozen=True):
    """A strategy to run.

    Attributes:
        reference: a registered name, or ``FILE.py:FUNCTION``.
        params: what the configuration says of its parameters; the strategy's own struct checks them.
    """

    reference: str
    params: dict[str, Any]


def strategy_requests(settings: Settings) -> tuple[StrategyRequest, ...]:
    """Return the strategies in the order of the configuration."""
    params = settings.predictor.params
    return tuple(
        StrategyRequest(
            reference,
            next((dict(params[alias]) for alias in reference_aliases(reference) if alias in params), {}),
        )
        for reference in settings.predictor.strategies
    )


def broker_params(settings: Settings, *, seed: int = 0) -> BrokerParams:
    """Return the simulator's switches; ``seed`` of the run decides what is drawn."""
    broker = settings.broker
    return BrokerParams(
        commission_per_share=parse_fixed(broker.commission_per_share),
        commission_rate=parse_fixed(broker.commission_rate),
        min_commission=parse_fixed(broker.min_commission),
        max_commission_rate=parse_fixed(broker.max_commission_rate),
        regulatory_fees=broker.regulatory_fees,
        slippage_rate=_bps(broker.slippage_bps),
        spread_rate=_bps(broker.spread_bps),
        impact=broker.impact,
        impact_linear_rate=parse_fixed(broker.impact_linear_rate),
        impact_sqrt_rate=parse_fixed(broker.impact_sqrt_rate),
        participation=parse_fixed(broker.participation),
        latency_ns=broker.latency_ms * _MS,
        same_event_fill=broker.same_event_fill,
        fill_on_touch=broker.fill_on_touch,
        account=broker.account,
        allow_short=broker.allow_short,
        lot_size=_lot_size(settings),
        latency_jitter_ns=broker.latency_jitter_ms * _MS,
        spread_model=broker.spread_model,
        slippage_volume_share=parse_fixed(broker.slippage_volume_share),
        impact_permanent=parse_fixed(broker.impact_permanent),
        queue=broker.queue,
        borrow_rate=parse_fixed(broker.borrow_rate),
        margin_rate=parse_fixed(broker.margin_rate),
        require_locate=broker.require_locate,
        hard_to_borrow=broker.hard_to_borrow,
        seed=seed,
        ssr=broker.ssr,
        margin_call=broker.margin_call,
    )


def alert_params(settings: Settings) -> AlertParams:
    """Return the alerter's thresholds."""
    alerter = settings.alerter
    return AlertParams(
        large_move=float(alerter.large_move),
        milestone_step=float(alerter.milestone_step),
        stop_losses=alerter.stop_losses,
        trading_state=alerter.trading_state,
    )


def portfolio_specs(settings: Settings, registered: Mapping[str, str] | None = None) -> tuple[PortfolioSpec, ...]:
    """Return the portfolios.

    Args:
        settings: the run's.
        registered: reference as configured -> name the strategy registered itself under; signals carry the latter.
            None where references are names already.

    Raises:
        ConfigError: a portfolio follows a strategy that is not in ``[predictor] strategies``.
    """
    names = dict(registered) if registered is not None else {s: s for s in settings.predictor.strategies}
    risk, broker = settings.risk, settings.broker
    specs = (
        PortfolioSpec(
            name=portfolio.name,
            cash=parse_fixed(portfolio.cash),
            strategies=_followed(portfolio.name, portfolio.strategies, names),
            allocation=portfolio.allocation,
            rebalance=portfolio.rebalance,
            drift=float(portfolio.drift),
            lookback=portfolio.lookback,
            max_positions=_tighter(portfolio.max_positions, risk.max_positions),
            max_weight=float(_tighter(portfolio.max_weight, risk.max_position)),
            min_weight=float(portfolio.min_weight),
            cash_buffer=float(portfolio.cash_buffer),
            min_confidence_buy=float(risk.min_confidence_buy),
            min_confidence_sell=float(risk.min_confidence_sell),
            stop_loss=float(portfolio.stop_loss),
            take_profit=float(portfolio.take_profit),
            min_order_value=parse_fixed(risk.min_order_value),
            cash_reserve=parse_fixed(max(risk.cash_reserve, Decimal(1))),
            cost_rate=parse_fixed(broker.commission_rate),
            cost_per_share=parse_fixed(broker.commission_per_share),
            cost_min=parse_fixed(broker.min_commission),
            reuse_proceeds=broker.account != "cash_strict",
            borrow_rate=parse_fixed(broker.borrow_rate),
            margin_rate=parse_fixed(broker.margin_rate) if broker.account == "margin" else 0,
            margin=broker.account == "margin",
            lot_size=parse_fixed(portfolio.lot_size),
            allow_short=broker.allow_short,
            stop=portfolio.stop,
            stop_multiple=float(portfolio.stop_multiple),
            stop_lookback=portfolio.stop_lookback,
            trail_percent=parse_fixed(portfolio.trail_percent),
            time_stop_sessions=portfolio.time_stop_sessions,
            correlation_sessions=risk.correlation_sessions,
        )
        for portfolio in settings.portfolio
    )
    limits = risk_limits(settings, replay=True)  # what differs in a replay is nothing that sizes aim at
    return tuple(sized_by(spec, limits) for spec in specs)


def _followed(portfolio: str, wanted: tuple[str, ...] | None, names: Mapping[str, str]) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(names.values()))
    if wanted is None:
        return known
    by_alias = {name: name for name in known}
    for reference, name in names.items():
        for alias in reference_aliases(reference):
            by_alias.setdefault(alias, name)
    followed = []
    for reference in wanted:
        if reference not in by_alias:
            close = difflib.get_close_matches(reference, by_alias, n=1)
            message = f"portfolio {portfolio} follows {reference}, which is not among predictor.strategies"
            remedy = f"did you mean {close[0]}?" if close else "name it there"
            raise ConfigError(message, code="CONFIG_UNKNOWN", remedy=remedy)
        followed.append(by_alias[reference])
    return tuple(dict.fromkeys(followed))


def _tighter(a: N, b: N) -> N:
    """Return the smaller bound, where 0 means none."""
    return min(a, b) if a and b else a or b


def _bps(value: Decimal) -> int:
    return parse_fixed(value.scaleb(-4))


def _lot_size(settings: Settings) -> int:
    return parse_fixed(settings.portfolio[0].lot_size)
