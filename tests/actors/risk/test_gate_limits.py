"""What holds for every check of the gate: reloads that are refused, reductions that pass, flips, old snapshots."""

from __future__ import annotations

import math

import msgspec
import pytest

from actors.messages.control import Reload
from actors.messages.limits import BreakerRule, PortfolioLimits, RiskLimits, SymbolLimits
from actors.messages.orders import BUY, SELL, OrderAccepted, OrderDenied, OrderType
from actors.messages.risk import RestrictionChanged
from actors.values.fixed import SCALE, FixedPointError, to_fixed
from daemon.kernel.message import CommandRejected
from tests.actors.risk.feeding import SECOND, day, quote, show

LIMIT = OrderType.LIMIT

FLOATS = [name for name, value in msgspec.structs.asdict(RiskLimits()).items() if type(value) is float]
WHOLE = [name for name, value in msgspec.structs.asdict(RiskLimits()).items() if type(value) is int]


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.01])
def test_a_limit_that_is_no_number_or_negative_is_refused_and_the_old_ones_stay(world, wide, name, value):
    """Never "no limits"."""
    w = world(limits(wide, max_order_qty=10 * SCALE))
    (refused,) = w.process(Reload("d", "anna", limits(wide, **{name: value})))
    assert (type(refused), refused.code) == (CommandRejected, "BAD_LIMITS")
    assert f"risk.{name} would be" in refused.reason
    assert w.submit(BUY, 11) == "MAX_QTY"
    assert w.submit(BUY, 10) == "ok"


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [-1, "abc", None, 1.5])
def test_a_whole_limit_that_is_none_is_refused_and_the_old_ones_stay(world, wide, name, value):
    """Negative, a text, nothing, a fraction."""
    w = world(limits(wide, max_order_qty=10 * SCALE))
    (refused,) = w.process(Reload("d", "anna", limits(wide, **{name: value})))
    assert (type(refused), refused.code) == (CommandRejected, "BAD_LIMITS")
    assert w.submit(BUY, 11) == "MAX_QTY"


@pytest.mark.parametrize(
    "changes",
    [
        {"symbols": {"A": SymbolLimits(max_position=math.nan)}},
        {"symbols": {"A": SymbolLimits(max_order_qty=-1)}},
        {"portfolios": {"main": PortfolioLimits(max_leverage=-1.0)}},
        {"portfolios": {"main": PortfolioLimits(max_sector=1.5)}},
        {"sectors": {"Tech": math.inf}},
        {"breakers": {"slippage": BreakerRule(limit=math.nan)}},
    ],
)
def test_so_is_one_by_name(world, wide, changes):
    """As deep as it may lie."""
    w = world(limits(wide, max_order_qty=10 * SCALE), sectors=("Tech", "Tech", "Oil"))
    (refused,) = w.process(Reload("d", "anna", limits(wide, **changes)))
    assert (type(refused), refused.code) == (CommandRejected, "BAD_LIMITS")
    assert w.submit(BUY, 11) == "MAX_QTY"


@pytest.mark.parametrize("name", ["max_leverage", "max_order_adv", "nbbo_tolerance", "unusual_size", "max_heat"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_no_run_begins_with_a_limit_that_is_no_number(world, wide, name, value):
    """It is an error at once, not a limit that is off."""
    with pytest.raises(FixedPointError):
        world(limits(wide, **{name: value}))


EVERYTHING = {
    "max_order_adv": 0.000001,
    "unusual_size": 0.0001,
    "unusual_size_orders": 5,
    "nbbo_tolerance": 0.000001,
    "order_rate": 0.001,
    "order_burst": 1,
    "symbol_order_rate": 0.001,
    "symbol_order_burst": 1,
    "message_rate": 0.001,
    "message_burst": 1,
    "collar_period_ns": 10 * SECOND,
    "price_collar": 0.1,
    "no_entry_before_close_ns": 24 * 3600 * SECOND,
    "max_gross_value": 1,
    "max_leverage": 0.000001,
    "max_net": 0.000001,
    "book_max_gross_value": 1,
    "book_max_leverage": 0.000001,
    "book_max_position": 0.000001,
    "max_sector": 0.000001,
    "risk_per_trade": 0.000001,
    "max_heat": 0.000001,
    "max_var": 0.000001,
    "max_position": 0.000001,
    "max_order_value": 1,
    "self_match_prevention": True,
    "min_order_value": to_fixed(1_000_000),
    "max_order_qty": 1,
    "restricted": ("A", "B", "C"),
}


def test_what_reduces_risk_passes_every_limit_there_is(world, wide):
    """All of them on, each tighter than anything: a position still gets out, at market, at a limit and by parts."""
    w = world(limits(wide, **EVERYTHING), sectors=("Tech", "Tech", "Oil"))
    day(w, [100.0] * 3, [10.0] * 3)
    show(w, [100.0] * 3, [10.0] * 3)
    quote(w, 0, 80.0, 120.0)
    w.hold(1_000)
    assert w.submit(BUY, 1) == "RESTRICTED"
    assert w.submit(SELL, 250) == "ok"
    assert w.submit(SELL, 250, type=LIMIT, limit_px=95, client_order_id="a") == "ok"
    assert w.replace("a", 260, limit_px=96) == "ok"
    assert w.submit(SELL, 250, type=OrderType.STOP, stop_px=70) == "ok"
    assert w.submit(SELL, 1_000, type=OrderType.STOP, stop_px=60, reduce_only=True) == "ok"


def test_each_half_of_a_flip_meets_its_own_checks(world, wide):
    """Long 10, sold 30: 10 are closed; the other 20 would be a short in a restricted symbol."""
    w = world(limits(wide, allow_short=True), account="margin")
    w.hold(10)
    w.state(RestrictionChanged(0, True, "test", "anna"))
    events = [e for e in w.process(w.order(SELL, 30)) if isinstance(e, OrderAccepted | OrderDenied)]
    assert [(type(e).__name__, e.order.qty // SCALE) for e in events] == [("OrderAccepted", 10), ("OrderDenied", 20)]
    assert events[1].code == "RESTRICTED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_leverage": 0.2}, "MAX_LEVERAGE"),
        ({"max_gross_value": to_fixed(20_000)}, "MAX_GROSS"),
        ({"risk_per_trade": 0.1}, "RISK_PER_TRADE"),
        ({"max_heat": 0.1}, "MAX_HEAT"),
        ({"order_rate": 0.001, "order_burst": 1}, "ORDER_RATE"),
    ],
)
def test_the_opening_half_is_held_to_what_is_left(world, wide, changes, code):
    """Long 150 of 100,000 at 100 each; sold 450: 150 close it, 300 open more than is allowed."""
    w = world(limits(wide, allow_short=True, **changes), account="margin")
    w.hold(150)
    events = [e for e in w.process(w.order(SELL, 450)) if isinstance(e, OrderAccepted | OrderDenied)]
    assert [(type(e).__name__, e.order.qty // SCALE) for e in events] == [("OrderAccepted", 150), ("OrderDenied", 300)]
    assert events[1].code == code


def test_an_old_snapshot_and_an_old_ledger_are_judged_as_they_were(world, wide):
    """Without what later versions remember, and with limits that know nothing of it."""
    w = world(limits(wide, order_rate=1.0, order_burst=1))
    w.hold(10)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(w.risk.snapshot()))
    del state["remembered"]
    w.build()
    w.risk.restore(state)
    assert w.risk.exposure.books["main"].holdings[0].qty == 10 * SCALE
    old = {name: value for name, value in state["limits"].items() if name in ("max_order_qty", "lot_size")}
    assert msgspec.convert(old, RiskLimits).max_leverage == 0.0
