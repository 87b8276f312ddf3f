"""Which way a limit is loosened."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits
from actors.risk import looser
from actors.risk.looser import loosened

replace = msgspec.structs.replace
BASE = RiskLimits(
    max_order_qty=50,
    restricted=("AAA",),
    symbols={"AAA": SymbolLimits(max_position=0.1)},
    sectors={"Energy": 0.2},
    portfolios={"main": PortfolioLimits(max_positions=5)},
    breakers={
        "slippage": BreakerRule(limit=0.01, action="block", reset="operator", cooling_ns=5, min_count=20),
        "prediction_drift": BreakerRule(limit=0.4),
    },
    self_match_prevention=True,
    cooldown_ns=5,
    stop_guard=3,
    max_executions=20,
    order_rate=10.0,
)


@pytest.mark.parametrize(
    ("field", "tighter", "wider"),
    [
        ("max_order_qty", 49, 51),
        ("max_order_qty", 1, 0),
        ("max_positions", 9, 0),
        ("min_order_value", 200 * 10**8, 0),
        ("min_confidence_buy", 0.7, 0.6),
        ("max_order_fraction", 0.1, 0.3),
        ("price_collar", 0.05, 0.2),
        ("stale_ns", 1, 0),
        ("daily_loss_halt", 0.04, 0.0),
        ("duplicate_window_ns", 2_000_000_000, 0),
        ("require_reference", True, False),
        ("self_match_prevention", True, False),
        ("restricted", ("AAA", "BBB"), ()),
        ("restricted", ("AAA", "BBB"), ("BBB",)),
        ("cooldown_ns", 6, 4),
        ("stop_guard", 2, 0),
        ("max_executions", 19, 21),
        ("order_rate", 9.0, 11.0),
    ],
)
def test_each_kind_of_limit_has_a_direction(field: str, tighter: object, wider: object) -> None:
    """0 is off; where it is the least that something must have, it is everything."""
    assert loosened(BASE, replace(BASE, **{field: tighter})) == []
    assert loosened(BASE, replace(BASE, **{field: wider})) == [field]
    assert loosened(replace(BASE, **{field: wider}), replace(BASE, **{field: wider})) == []


def test_limits_by_name_tighten_where_they_come_and_loosen_where_they_go() -> None:
    """A name that goes leaves the general limit, which was wider."""
    assert loosened(BASE, replace(BASE, symbols=BASE.symbols | {"BBB": SymbolLimits(max_order_qty=5)})) == []
    assert loosened(BASE, replace(BASE, symbols={})) == ["symbols.AAA.max_position"]
    assert loosened(BASE, replace(BASE, sectors={"Energy": 0.3})) == ["sectors.Energy"]
    assert loosened(BASE, replace(BASE, sectors={"Energy": 0.1})) == []
    assert loosened(BASE, replace(BASE, portfolios={"main": PortfolioLimits(max_positions=6)})) == [
        "portfolios.main.max_positions"
    ]


@pytest.mark.parametrize(
    ("field", "tighter", "wider"),
    [
        ("limit", 0.005, 0.02),
        ("limit", 0.005, 0.0),
        ("action", "halt", "warn"),
        ("reset", "operator", "cooling"),
        ("cooling_ns", 6, 4),
        ("min_count", 10, 30),
    ],
)
def test_breakers_have_directions_too(field: str, tighter: object, wider: object) -> None:
    """Sooner, stricter and longer is tighter."""
    rule = BASE.breakers["slippage"]
    for value, names in ((tighter, []), (wider, [f"breakers.slippage.{field}"])):
        rules = BASE.breakers | {"slippage": replace(rule, **{field: value})}
        assert loosened(BASE, replace(BASE, breakers=rules)) == names


def test_the_drift_breaker_trips_below_its_limit() -> None:
    """A lower hit rate lets more pass."""
    for limit, names in ((0.5, []), (0.3, ["breakers.prediction_drift.limit"])):
        rules = BASE.breakers | {"prediction_drift": BreakerRule(limit=limit)}
        assert loosened(BASE, replace(BASE, breakers=rules)) == names


def test_a_window_may_count_more_or_forget_more_so_it_is_said_twice() -> None:
    """What is not known to tighten is treated as what loosens."""
    rules = BASE.breakers | {"slippage": replace(BASE.breakers["slippage"], window_ns=7)}
    assert loosened(BASE, replace(BASE, breakers=rules)) == ["breakers.slippage.window_ns"]


def test_the_cap_of_an_order_that_is_all_fraction_ends_with_the_fraction() -> None:
    """With max_order_value 0 the fraction alone is the cap; 0 for both is none."""
    fraction = replace(BASE, max_order_value=0)
    assert loosened(fraction, replace(fraction, max_order_fraction=0.0)) == ["max_order_fraction"]


def test_an_amount_beside_a_fraction_that_was_the_cap_alone_loosens() -> None:
    """A fifth of 100,000 is 20,000; the larger of that and 50,000 lets more pass. Without a fraction it is a cap."""
    fraction = replace(BASE, max_order_value=0)
    assert loosened(fraction, BASE) == ["max_order_value"]
    assert loosened(replace(fraction, max_order_fraction=0.0), replace(BASE, max_order_fraction=0.0)) == []


@pytest.mark.parametrize("field", ["order_burst", "symbol_order_burst", "message_burst"])
def test_a_burst_of_none_is_one_by_one_and_not_off(field: str) -> None:
    """A bucket that holds 0 lets one pass, as one that holds 1; so more than that is more."""
    none, one, many = (replace(BASE, **{field: n}) for n in (0, 1, 2_000))
    assert (loosened(none, many), loosened(one, many)) == ([field], [field])
    assert (loosened(many, none), loosened(none, one), loosened(one, none)) == ([], [], [])


def test_every_limit_has_a_direction_or_cannot_be_set() -> None:
    """A limit that comes later is not forgotten here."""
    fixed = {"replay_resume_sessions", "allow_short", "lot_size", "replay", "deny_unknown_adv"}
    fixed |= {"correlation_sessions", "var_sessions"}
    known = set(looser._DIRECTIONS) | set(looser._NONE)
    assert set(RiskLimits.__struct_fields__) - fixed == known
    assert {*SymbolLimits.__struct_fields__, *PortfolioLimits.__struct_fields__} <= set(looser._DIRECTIONS)
