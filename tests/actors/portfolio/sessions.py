"""Sessions of one symbol through a whole core, for what happens to a lot over several of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.messages.market import BarPanel
from actors.messages.orders import BUY, OrderDenied, OrderFilled
from actors.portfolio.params import PortfolioSpec
from actors.values.fixed import SCALE
from actors.values.session import Session
from tests.parity.core_bench import World

SERIES = [(100, 102, 98, 100), (100, 103, 99, 102), (102, 106, 101, 105), (105, 106, 104.5, 105.5)]
Bar = tuple[float, float, float, float]


def spec(**changes: Any) -> PortfolioSpec:
    """A portfolio whose lots have a stop of 3 % until their method knows better, and no target."""
    plain = {"strategies": ("s",), "take_profit": 0.0, "stop_multiple": 2.0, "stop_lookback": 2}
    return PortfolioSpec("main", 100_000 * SCALE, **{**plain, **changes})


def world_of(**changes: Any) -> World:
    """A core on daily bars."""
    return World(symbols=("AA", "BB"), interval="1d", portfolios=(spec(**changes),))


def panel_of(session: Session, bar: Bar) -> BarPanel:
    """A session's bar of AA; BB stands at 50."""
    rows = [np.array([px, 50.0]) for px in bar]
    closes = np.rint(rows[3] * SCALE).astype(np.int64)
    ids = np.arange(2, dtype=np.int32)
    return BarPanel(session.close_ts, session.open_ts, session.date, True, ids, True, *rows, closes, np.full(2, 1e6))


def day(world: World, number: int, bar: Bar, *, close: bool = True) -> list[Any]:
    """Play a session with this bar in AA."""
    world.open(number)
    session = world.session(number)
    events = world.do(panel_of(session, bar), "feed", at=session.close_ts)
    return events + (world.close(number) if close else [])


def enter(world: World, side: int = BUY, qty: int = 10) -> None:
    """Order on the strategy's word; it fills at the next open."""
    world.order(0, side, qty, strategy="s", reason="signal", decision=len(world.kept))


def stops(world: World) -> list[float]:
    """Where the stops of all lots rest, oldest first; 0 for a trail."""
    pf = world.core.portfolio.portfolio("main")
    found = [w for group in pf.exits.values() for w in group.values() if w.reason == "stop_loss"]
    return [w.stop_px / SCALE for w in found]


def played(bars: list[Bar], at: int = 1, side: int = BUY, **changes: Any) -> tuple[World, list[list[float]]]:
    """Play sessions, order behind one of them; return the world and where stops rested behind each session."""
    world = world_of(**changes)
    seen = []
    for number, bar in enumerate(bars):
        day(world, number, bar)
        seen.append(stops(world))
        if number == at:
            enter(world, side)
    assert world.facts(OrderDenied) == []
    return world, seen


def sold(world: World, bar: Bar, number: int = 4) -> list[float]:
    """What a further session sells AA at, if at all."""
    return [e.last_px / SCALE for e in day(world, number, bar) if isinstance(e, OrderFilled)]
