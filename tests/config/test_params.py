"""From human units to the rooms' integers: exact, complete, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.alerter.params import AlertParams
from actors.broker.params import BrokerParams
from actors.portfolio.params import PortfolioSpec, RoomLimits
from actors.risk.params import RiskLimits
from config.params import alert_params, broker_params, portfolio_specs, strategy_requests
from config.risk_params import risk_limits
from config.settings import Settings
from config.sources import load_settings
from daemon.kernel.errors import ConfigError


def settings(*sets: str, profile: str = "plan") -> Settings:
    """Return settings with some keys set."""
    return load_settings(file=None, profile=profile, sets=sets, environ={}).settings


FIRST_LIMITS = (
    "min_order_value",
    "max_order_value",
    "max_order_fraction",
    "max_order_qty",
    "max_position",
    "max_positions",
    "price_collar",
    "min_confidence_buy",
    "min_confidence_sell",
    "cash_reserve",
    "stale_ns",
    "stale_sessions",
    "duplicate_window_ns",
    "require_reference",
    "daily_loss_warn",
    "daily_loss_block",
    "daily_loss_halt",
    "max_drawdown",
    "replay_resume_sessions",
    "allow_short",
    "lot_size",
    "replay",
)
"""Limits that the first ledgers already knew."""


def test_the_plan_is_what_the_rooms_default_to() -> None:
    """One truth: the defaults of the configuration and of the rooms' structs are the same values."""
    assert broker_params(Settings()) == BrokerParams()
    limits = msgspec.structs.asdict(risk_limits(Settings(), replay=True))
    assert {name: limits[name] for name in FIRST_LIMITS} == {name: getattr(RiskLimits(), name) for name in FIRST_LIMITS}
    assert alert_params(Settings()) == AlertParams()
    alike = {"correlation_shrink": 0.7, "max_correlation": 0.8}  # off in the room: they came after the first ledgers
    room = RoomLimits(max_position=0.2, max_positions=10, max_leverage=2.0, max_sector=0.4, max_cluster=0.3)
    assert portfolio_specs(Settings()) == (PortfolioSpec("main", 100_000 * 10**8, **alike, room=room),)


def test_a_limit_that_came_later_is_off_in_a_ledger_that_does_not_know_it() -> None:
    """Otherwise a ledger of an older version would be judged by what nobody had asked for."""
    later = {name: value for name, value in msgspec.structs.asdict(RiskLimits()).items() if name not in FIRST_LIMITS}
    off = {name: value for name, value in later.items() if value}
    assert off == {
        "unusual_size_orders": 20,
        "executions_window_ns": 60 * 10**9,
        "correlation_sessions": 60,
        "var_sessions": 252,
        "stop_guard_sessions": 5,
        "stop_guard_lock_sessions": 1,
    }  # how far something that is off would look


def test_money_and_rates_are_converted_exactly() -> None:
    """Values that binary floats cannot hold arrive to the last digit."""
    found = broker_params(
        settings(
            "broker.commission_rate=0.001",
            "broker.commission_per_share=0.0049",
            "broker.slippage_bps=1.4999",
            "broker.spread_bps=0.0001",
            "broker.participation=0.07",
            "broker.min_commission=0.35",
            "broker.latency_ms=250",
            "portfolio.lot_size=0.000001",
        )
    )
    assert found.commission_rate == 100_000
    assert found.commission_per_share == 490_000
    assert found.slippage_rate == 14_999
    assert found.spread_rate == 1
    assert found.participation == 7_000_000
    assert found.min_commission == 35_000_000
    assert found.latency_ns == 250_000_000
    assert found.lot_size == 100


@given(
    bps=st.decimals(min_value=0, max_value=1000, places=4, allow_nan=False, allow_infinity=False),
    cash=st.decimals(min_value=1, max_value=9 * 10**9, places=8, allow_nan=False, allow_infinity=False),
)
def test_any_representable_number_survives(bps: Decimal, cash: Decimal) -> None:
    """Basis points and money equal the exact fraction, whatever their digits."""
    found = settings(f"broker.slippage_bps={bps:f}", f"portfolio.cash={cash:f}")
    assert Fraction(broker_params(found).slippage_rate, 10**8) == Fraction(bps) / 10_000
    assert Fraction(portfolio_specs(found)[0].cash, 10**8) == Fraction(cash)


def test_frictionless_switches_off_every_cost_cap_and_exit() -> None:
    """What is left is arithmetic: nothing is reserved, the broker cuts to cash, limits fill on touch."""
    found = settings(profile="frictionless")
    broker = broker_params(found)
    kept = {"account": "cash", "lot_size": 10**8, "fill_on_touch": True, "impact": "none"}
    kept |= {"spread_model": "fixed", "queue": True, "hard_to_borrow": (), "margin_call": "liquidate", "ssr": "flagged"}
    unused = {"impact_linear_rate", "impact_sqrt_rate"}
    for name, value in msgspec.structs.asdict(broker).items():
        if name not in unused:
            assert value == kept.get(name, 0), name
    limits = msgspec.structs.asdict(risk_limits(found, replay=True))
    open_limits = {"lot_size": 10**8, "replay": True, "executions_window_ns": 60 * 10**9}
    open_limits |= {"unusual_size_orders": 20, "correlation_sessions": 60, "var_sessions": 252}
    open_limits |= {"stop_guard_sessions": 5, "stop_guard_lock_sessions": 1}
    bursts = {"order_burst", "symbol_order_burst", "message_burst"}  # of rates that are off
    assert [rule for rule in limits.pop("breakers").values() if rule.limit] == []
    assert {name: value or 0 for name, value in limits.items() if name not in bursts} == {
        name: open_limits.get(name, 0) for name in limits if name not in bursts
    }
    spec = portfolio_specs(found)[0]
    assert (spec.max_weight, spec.min_weight, spec.cash_buffer, spec.max_positions) == (0, 0, 0, 0)
    assert (spec.stop_loss, spec.take_profit, spec.min_confidence_buy, spec.min_confidence_sell) == (0, 0, 0, 0)
    assert (spec.min_order_value, spec.cost_rate, spec.cash_reserve, spec.rebalance) == (0, 0, 10**8, "weekly")


# Fields of the rooms that no single key of their section feeds, with what does.
DERIVED = {
    "BrokerParams": {
        "slippage_rate": "broker.slippage_bps=7",
        "spread_rate": "broker.spread_bps=7",
        "latency_ns": "broker.latency_ms=7",
        "latency_jitter_ns": "broker.latency_jitter_ms=7",
        "spread_model": "broker.spread_model=dynamic",
        "hard_to_borrow": "broker.hard_to_borrow=GME",
        "margin_call": "broker.margin_call=warn",
        "ssr": "broker.ssr=computed",
        "lot_size": "portfolio.lot_size=0.5",
        "account": "broker.account=margin",
        "impact": "broker.impact=none",
    },
    "RiskLimits": {
        "deny_unknown_adv": "risk.unknown_adv=deny",
        "collar_period_ns": "risk.collar_period_ms=7",
        "executions_window_ns": "risk.executions_window_ms=7",
        "no_entry_before_close_ns": "risk.no_entry_before_close_ms=7",
        "cooldown_ns": "risk.cooldown_ms=7",
        "pattern_day_trader": "risk.pattern_day_trader=off",
        "restricted": "risk.restricted=GME",
        "symbols": "risk.symbols.GME.max_order_qty=7",
        "sectors": "risk.sectors.Energy=0.2",
        "portfolios": "risk.portfolios.main.max_leverage=1",
        "breakers": "risk.breakers.slippage.limit=0.02",
        "max_sector": "risk.max_sector=0.2",
        "max_cluster": "risk.max_cluster=0.2",
        "correlation_shrink": "risk.correlation_shrink=0.5",
        "max_correlation": "risk.max_correlation=0.9",
        "stale_ns": "risk.stale_ms=7",
        "duplicate_window_ns": "risk.duplicate_window_ms=7",
        "lot_size": "portfolio.lot_size=0.5",
        "allow_short": "broker.allow_short=true",
        "daily_loss_warn": "risk.daily_loss_warn=0.01",
        "daily_loss_block": "risk.daily_loss_block=0.03",
        "cash_reserve": "risk.cash_reserve=1.5",
        "max_order_value": "risk.max_order_value=700",
    },
}


# Amounts are whole numbers on the wire and decimals in the configuration; some counts have a smallest value above 7.
LARGE = {"max_gross_value", "book_max_gross_value"}
WHOLE = {"correlation_sessions": "40", "var_sessions": "500"}
ROOMS: dict[type[msgspec.Struct], tuple[str, Callable[[Settings], msgspec.Struct]]] = {
    AlertParams: ("alerter", alert_params),
    BrokerParams: ("broker", broker_params),
    RiskLimits: ("risk", lambda found: risk_limits(found, replay=True)),
}


@pytest.mark.parametrize("struct", ROOMS)
def test_every_field_of_a_room_is_fed_by_the_configuration(struct: type[msgspec.Struct]) -> None:
    """Changing one key changes one field: nothing is forgotten, nothing is crossed."""
    section, build = ROOMS[struct]

    base = msgspec.structs.asdict(build(settings("portfolio.min_weight=0")))
    for name, value in base.items():
        if name in {"replay", "seed"}:  # the run's, not the configuration's
            continue
        other = (
            str(not value).lower()
            if isinstance(value, bool)
            else "0.07"
            if name not in {"max_positions", "stale_sessions"}
            else "7"
        )
        whole = isinstance(value, int) and not isinstance(value, bool) and name not in LARGE
        if name in {"replay_resume_sessions", "max_order_qty", "min_commission", "min_order_value"} or (
            struct is RiskLimits and name not in FIRST_LIMITS and whole
        ):
            other = WHOLE.get(name, "7")
        text = DERIVED.get(struct.__name__, {}).get(name, f"{section}.{name}={other}")
        changed = msgspec.structs.asdict(build(settings("portfolio.min_weight=0", text)))
        assert [key for key in base if base[key] != changed[key]] == [name]


def test_replay_chooses_the_reset_rules() -> None:
    """Live breakers wait for an operator."""
    assert risk_limits(Settings(), replay=False).replay is False


def test_targets_respect_the_gate() -> None:
    """A portfolio never aims beyond what the gate lets pass: the tighter of two bounds binds, 0 is no bound."""
    spec = portfolio_specs(settings("risk.max_position=0.1", "risk.max_positions=3"))[0]
    assert (spec.max_weight, spec.max_positions) == (0.1, 3)
    spec = portfolio_specs(settings("risk.max_position=0", "portfolio.max_positions=0"))[0]
    assert (spec.max_weight, spec.max_positions) == (0.2, 10)


def test_portfolios_follow_all_strategies_unless_they_say_which() -> None:
    """Left out: all, by their registered names; empty: none; unknown: refused with the nearest name."""
    both = ("predictor.strategies=x.py:mine,momentum",)
    registered = {"x.py:mine": "my_name", "momentum": "momentum"}
    assert portfolio_specs(settings(*both), registered)[0].strategies == ("my_name", "momentum")
    assert portfolio_specs(settings(*both, "portfolio.strategies=x.py:mine"), registered)[0].strategies == ("my_name",)
    assert portfolio_specs(settings(*both, "portfolio.strategies=my_name"), registered)[0].strategies == ("my_name",)
    assert portfolio_specs(settings(*both, "portfolio.strategies=[]"), registered)[0].strategies == ()
    with pytest.raises(ConfigError) as caught:
        portfolio_specs(settings(*both, "portfolio.strategies=momentun"))
    assert str(caught.value) == (
        "portfolio main follows momentun, which is not among predictor.strategies; did you mean momentum?"
    )


def test_strategies_come_with_their_parameters() -> None:
    """Found by the reference, or by what follows its colon."""
    found = strategy_requests(settings("predictor.strategies=x.py:mine,momentum", "predictor.params.mine.fast=3"))
    assert [(r.reference, r.params) for r in found] == [("x.py:mine", {"fast": 3}), ("momentum", {})]


def test_a_portfolio_may_call_a_strategy_by_its_short_name() -> None:
    """By the reference without its folders, the function's name, or the registered name."""
    for name in ("/x/s.py:mine", "s.py:mine", "mine", "registered"):
        found = portfolio_specs(
            settings("predictor.strategies=/x/s.py:mine", f"portfolio.strategies={name}"),
            {"/x/s.py:mine": "registered"},
        )
        assert found[0].strategies == ("registered",)
