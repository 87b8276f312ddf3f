"""Two reasons to sell in one mark sell what the larger asks for, not both: a margin call, breakers, a time stop."""

from __future__ import annotations

import msgspec
import pytest

from actors.broker.params import BrokerParams
from actors.messages.limits import BreakerRule
from actors.messages.orders import OrderAccepted, OrderDenied
from actors.messages.portfolio import CutPositions
from actors.messages.risk import BreakerTripped, MarginCalled
from actors.portfolio.params import PortfolioSpec
from tests.parity.core_bench import FREE, WIDE, World
from tests.parity.programs import SHARE

MARGIN: BrokerParams = msgspec.structs.replace(FREE, account="margin")
NO_LOSSES = msgspec.structs.replace(
    WIDE, cash_reserve=SHARE, daily_loss_warn=0, daily_loss_block=0, daily_loss_halt=0, max_drawdown=0
)


def world_with(**rules: BreakerRule) -> World:
    """A margin account of 10,000 that holds 200 at 100 and owes 10,000."""
    owner = PortfolioSpec("main", 10_000 * SHARE, stop_loss=0, take_profit=0, margin=True)
    world = World(broker=MARGIN, limits=msgspec.structs.replace(NO_LOSSES, breakers=rules), portfolios=(owner,))
    world.open(0)
    world.bar(0, 0)
    world.hold(0, 1, 200)
    return world


def orders(world: World, number: int, minute: int, px: float) -> list[tuple[str, int]]:
    """Let a price come; return (reason, signed shares) of the orders that follow."""
    events = world.bar(number, minute, px, 100.0)
    found = [e.order for e in events if isinstance(e, OrderAccepted)]
    return [(order.reason, order.side * order.qty // SHARE) for order in found]


def deleverage(limit: float, fraction: float = 0.5) -> BreakerRule:
    """A breaker that cuts positions."""
    return BreakerRule(limit=limit, action="deleverage", reset="cooling", fraction=fraction)


def test_a_call_and_a_cut_in_one_mark_sell_what_the_larger_asks_for() -> None:
    """At 60 equity is 2,000 against 3,000: a call for 67. Gross is six times it and may be twice: 134 have to go.

    The call's 67 are part of them: 67 more, not 134.
    """
    world = world_with(exposure=deleverage(2.0))
    assert orders(world, 0, 2, 60.0) == [("margin_call", -67), ("deleverage", -67)]
    assert world.facts(MarginCalled)
    assert world.facts(BreakerTripped)
    assert world.positions() == {0: 200}
    world.bar(0, 3, 60.0, 100.0)
    assert world.positions() == {0: 66}


def test_a_cut_that_is_smaller_than_the_call_adds_nothing() -> None:
    """Gross of 12,000 may be 5.9 times 2,000: 200 / 12,000 are 4 shares, and 67 are being sold."""
    world = world_with(exposure=deleverage(5.9))
    assert orders(world, 0, 2, 60.0) == [("margin_call", -67)]
    assert not world.facts(OrderDenied)


def test_two_breakers_in_one_mark_cut_as_far_as_the_larger() -> None:
    """At 75 the week has lost half: a quarter, 50, is to go; 15,000 are to be 10,000: 67. One order, none refused."""
    rules = {"weekly_loss": deleverage(0.05, 0.25), "exposure": deleverage(2.0)}
    world = world_with(**rules)
    assert orders(world, 0, 2, 75.0) == [("deleverage", -67)]
    assert len(world.facts(BreakerTripped)) == 2
    assert not world.facts(OrderDenied)


def test_a_breaker_that_stands_and_one_that_trips_cut_as_far_as_the_larger() -> None:
    """At 90 18,000 of 8,000 are to be 16,000: 23 of 200 go, at 70. 177 are left, 8,390 are owed, equity is 4,000.

    12,390 are to be 8,000: 63 shares. The week has lost more than half by then, and half is to go: 89.
    """
    world = world_with(weekly_loss=deleverage(0.5, 0.5), exposure=deleverage(2.0))
    assert orders(world, 0, 2, 90.0) == [("deleverage", -23)]
    assert orders(world, 0, 3, 70.0) == [("deleverage", -89)]
    assert [e.breaker for e in world.facts(BreakerTripped)] == ["exposure", "weekly_loss"]
    assert not world.facts(OrderDenied)


@pytest.mark.parametrize(("fractions", "sold"), [((25, 60), 120), ((60, 25), 120), ((50, 50), 100)])
def test_cuts_asked_for_at_the_same_time_sell_the_larger(fractions: tuple[int, int], sold: int) -> None:
    """Whatever their order; at the next price they have traded."""
    world = world_with()
    for fraction in fractions:
        world.do(CutPositions("main", fraction * SHARE // 100, "test"))
    assert not world.facts(OrderDenied)
    world.bar(0, 2)
    assert world.positions() == {0: 200 - sold}
