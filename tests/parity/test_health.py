"""Every room says in a line how it is, from what it holds anyway."""

from __future__ import annotations

import msgspec

from actors.messages.control import Flatten, Halt
from actors.messages.orders import BUY, OrderType, TimeInForce
from actors.values.fixed import SCALE
from daemon.kernel.actor import Health
from tests.parity.core_bench import WIDE, World


def test_rooms_say_what_they_hold_and_what_stands_in_the_way() -> None:
    """Orders, positions, lots, the trading state and its reason, breakers, what is being closed."""
    world = World(limits=msgspec.structs.replace(WIDE, daily_loss_halt=0.005))
    core = world.core
    assert core.risk.health() == Health(detail="active; 0 working orders; 0 order ids used")
    assert core.portfolio.health() == Health(detail="0 positions in 0 lots; 0 working orders")
    world.open(0)
    world.hold(0, 0, 10, 20)
    world.order(0, BUY, 5, type=OrderType.LIMIT, limit_px=90 * SCALE, tif=TimeInForce.GTC)
    world.do(Halt("lunch", "ann"))
    assert core.broker.health() == Health(detail="0 working orders, 0 order-bars without volume")
    assert core.risk.health() == Health(detail="halted (lunch); 0 working orders; 3 order ids used")
    world.bar(0, 1, 10.0, 100.0)
    risk = core.risk.health()
    assert not risk.ok
    assert risk.detail.endswith("; 0 working orders; tripped: daily_loss of main; 3 order ids used")
    world.do(Flatten("out", "ann"))
    detail = "2 positions in 2 lots; 2 working orders; flattening main"
    assert core.portfolio.health() == Health(detail=detail)
    world.bar(0, 2)
    assert core.portfolio.health().detail == "0 positions in 0 lots; 0 working orders"
