"""Limits change as a whole, by an event that says who, from what to what; or not at all (C25, C28, F60)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.messages.control import Reload, Resume
from actors.messages.orders import BUY, SELL, OrderAccepted, OrderDenied, SubmitOrder
from actors.messages.risk import BreakerTripped, LimitsChanged
from actors.risk.params import RiskLimits
from daemon.kernel.message import CommandRejected
from tests.parity.core_bench import WIDE, World
from tests.parity.programs import SHARE

DIGEST = "d" * 64
RECOVERED = pytest.mark.parametrize("how", ["never down", "snapshot", "refolded"])


def reload(**changes: Any) -> Reload:
    """Return a reload with some limits of their own."""
    return Reload(DIGEST, "ann", msgspec.structs.replace(WIDE, **changes))


def after(world: World, how: str) -> World:
    """Return the world as it is, or as it comes back from its record."""
    return world if how == "never down" else world.reborn(snapshot=how == "snapshot")


@RECOVERED
def test_gate_breakers_and_exposure_judge_by_the_new_limits_together(how: str) -> None:
    """From the very next input on, and after a restart under the old configuration too."""
    world = World()
    world.open(0)
    world.hold(0, 0, 100, 0)
    (change,) = world.do(reload(max_order_qty=10 * SHARE, daily_loss_halt=0.01, cash_reserve=150_000_000))
    assert change == LimitsChanged(WIDE, world.core.risk.limits, "ann", DIGEST)
    world = after(world, how)
    assert world.core.risk.limits.max_order_qty == 10 * SHARE
    (denied,) = world.order(1, BUY, 11)
    assert isinstance(denied, OrderDenied)
    assert (denied.code, denied.limit) == ("MAX_QTY", "10")
    (accepted,) = world.order(1, BUY, 10)
    assert isinstance(accepted, OrderAccepted)
    assert accepted.reserved == 10 * 100 * SHARE * 3 // 2
    world.order(0, SELL, 10)
    assert world.core.risk.exposure.books["main"].proceeds == 10 * 100 * SHARE // 2
    tripped = [e for e in world.bar(0, 1, 89.0, 100.0) if isinstance(e, BreakerTripped)]
    assert [(e.breaker, e.limit) for e in tripped] == [("daily_loss", 0.01)]


def test_what_has_tripped_stays_tripped_under_wider_limits() -> None:
    """A reload is no reset."""
    world = World(limits=msgspec.structs.replace(WIDE, daily_loss_halt=0.01))
    world.open(0)
    world.hold(0, 0, 100, 0)
    world.bar(0, 1, 89.0, 100.0)
    assert world.state == "halted"
    world.do(reload(daily_loss_halt=0.5))
    assert world.state == "halted"
    assert isinstance(world.do(Resume("please", "ann"))[0], CommandRejected)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_order_qty": "abc"}, "the new limits cannot be read: Expected `int`, got `str` - at `$.max_order_qty`"),
        ({"max_position": None}, "the new limits cannot be read: Expected `float`, got `None` - at `$.max_position`"),
        ({"max_position": object()}, "the new limits cannot be read: "),
        ({"max_order_qty": 2**70}, "the new limits cannot be read: "),
        ({"max_position": NAN}, "risk.max_position would be nan; a limit is a number from 0"),
        ({"daily_loss_halt": INF}, "risk.daily_loss_halt would be inf; a limit is a number from 0"),
        ({"max_positions": -1}, "risk.max_positions would be -1; a limit is a number from 0"),
        ({"max_drawdown": 1.5}, "risk.max_drawdown would be 1.5, which is more than 1"),
        ({"cash_reserve": 50_000_000}, "risk.cash_reserve would be below 1, which reserves less than an order costs"),
        ({"allow_short": False}, "allow_short cannot change while the daemon runs"),
        ({"lot_size": 1}, "lot_size cannot change while the daemon runs"),
        ({"replay": True}, "replay cannot change while the daemon runs"),
    ],
)
def test_f60_limits_that_do_not_hold_leave_the_old_ones_in_force(changes: dict[str, Any], says: str) -> None:
    """Never "no limits": the sentence names the key, and nothing of the new set is taken."""
    world = World(limits=msgspec.structs.replace(WIDE, max_order_qty=7 * SHARE))
    world.open(0)
    world.bar(0, 0)
    before = world.core.risk.limits
    sequencer = world.core.sequencer
    (refused,) = sequencer.process(reload(**{"max_order_value": 1, **changes}), "control")
    assert isinstance(refused, CommandRejected)
    assert refused.code == "BAD_LIMITS"
    assert refused.reason.startswith(says)
    assert world.core.risk.limits is before
    (denied,) = [e for e in sequencer.process(_order(8), "control") if isinstance(e, OrderDenied)]
    assert denied.code == "MAX_QTY"


def _order(qty: int) -> Any:
    return SubmitOrder("x", "main", 0, BUY, qty * SHARE)


def test_a_reload_that_changes_no_limit_states_nothing() -> None:
    """Neither one without limits nor one with the same."""
    world = World()
    assert world.do(Reload(DIGEST, "ann")) == []
    assert world.do(reload()) == []
    assert len(world.do(reload(max_positions=3))) == 1
    assert world.do(reload(max_positions=3)) == []


def test_limits_stand_in_events_as_a_ledger_gives_them_back() -> None:
    """A whole number where a fraction is meant is one: the digest of a refold must be the same."""
    world = World()
    (change,) = world.do(reload(max_position=1))
    assert isinstance(change, LimitsChanged)
    assert type(change.new.max_position) is float
    assert world.reborn(snapshot=False).core.sequencer.digest == world.core.sequencer.digest
    assert type(World(limits=RiskLimits(max_position=1)).core.risk.limits.max_position) is float


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_restart_takes_its_limits_from_the_ledger_and_from_the_configuration_what_rooms_are_built_with(
    snapshot: bool,
) -> None:
    """A limit changes by a reload, which is on record; a lot size by a restart."""
    world = World()
    world.do(reload(max_positions=3))
    configured = msgspec.structs.replace(WIDE, max_positions=9, lot_size=SHARE // 2, allow_short=False)
    limits = world.reborn(snapshot=snapshot, limits=configured).core.risk.limits
    assert (limits.max_positions, limits.lot_size, limits.allow_short) == (3, SHARE // 2, False)
