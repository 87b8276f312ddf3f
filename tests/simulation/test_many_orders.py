"""Thousands of orders that one input fills, ends or touches: nothing is lost, and no cost grows with their square."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from actors.broker.order_state import WorkingOrder
from actors.broker.params import BrokerParams
from actors.broker.tick_matching import next_slice
from actors.messages.control import Kill
from actors.messages.market import BarPanel, CorporateAction, SessionClosed, SessionOpened
from actors.messages.orders import OrderExpired, OrderFilled, OrderTerms, OrderType, SubmitOrder, TimeInForce
from actors.messages.portfolio import DepositCash
from actors.portfolio.params import PortfolioSpec
from actors.risk.params import RiskLimits
from actors.values import Universe, parse_interval
from actors.values.session import Session
from daemon.kernel.message import Event, Message
from daemon.system.composition import CoreSpec
from daemon.system.invariants import check_core
from tests.parity.programs import MINUTE, SHARE, fresh
from tests.simulation.accounts import OPEN_LIMITS

OPENED = 1_709_821_800_000_000_000
SESSION = Session(20240307, OPENED, OPENED + 390 * MINUTE, 0)


class House:
    """A core with one rich account, in the first session of its run, behind a bar at 100."""

    def __init__(self) -> None:
        """Open the session."""
        params = BrokerParams(impact="none", participation=0)
        rich = PortfolioSpec("main", 10**9 * SHARE)
        spec = CoreSpec(
            Universe(("AA", "BB")),
            parse_interval("1m"),
            (),
            None,
            params,
            RiskLimits(**OPEN_LIMITS, cash_reserve=0),
            (rich,),
            0,
        )
        self.core, self.clock = fresh(spec)
        self.put(DepositCash("main", rich.cash, "opening deposit"), "control")
        self.put(SessionOpened(OPENED, SESSION))
        self.bars = 0
        self.bar(100, 101, 99, 100)

    def put(self, body: Message, source: str = "feed") -> list[Event]:
        """Process an input."""
        self.clock.advance_to(max(self.clock.now(), getattr(body, "ts", OPENED)))
        return self.core.sequencer.process(body, source)

    def bar(self, *prices: float) -> list[Event]:
        """Show the next minute."""
        columns = [np.array([float(px)]) for px in prices]
        start = OPENED + self.bars * MINUTE
        self.bars += 1
        close = np.rint(columns[3] * SHARE).astype(np.int64)
        ids = np.zeros(1, dtype=np.int32)
        volume = np.array([1e9])
        return self.put(BarPanel(start + MINUTE, start, SESSION.date, False, ids, False, *columns, close, volume))

    def submit(self, count: int, **fields: Any) -> None:
        """Submit equal orders."""
        for n in range(count):
            self.put(SubmitOrder(f"o{n}", "main", 0, 1, SHARE, reason="script", **fields), "script")
        assert len(list(self.core.broker.working)) == count

    def working(self) -> int:
        """Return how many orders work."""
        return len(list(self.core.broker.working))


def of(events: Iterable[Event], kind: type[Event]) -> int:
    """Count the events of a kind."""
    return sum(isinstance(event, kind) for event in events)


def test_one_bar_fills_four_thousand_orders() -> None:
    """Each fill leads to a booking and a position: more deliveries than a loop of ours ever was allowed before."""
    house = House()
    house.submit(4000, type=OrderType.STOP, stop_px=110 * SHARE)
    events = house.bar(100, 111, 99, 110)
    assert of(events, OrderFilled) == 4000
    assert house.core.portfolio.portfolio("main").qty(0) == 4000 * SHARE
    assert check_core(house.core) == []


@pytest.mark.parametrize("end", ["kill", "close"])
def test_one_input_ends_twelve_thousand_orders(end: str) -> None:
    """The kill switch and a session's end know no number of orders that is too many."""
    house = House()
    house.submit(12_000, type=OrderType.LIMIT, limit_px=90 * SHARE, tif=TimeInForce.DAY)
    if end == "kill":
        house.put(Kill("fire", "ann"), "control")
    else:
        assert of(house.put(SessionClosed(SESSION.close_ts, SESSION)), OrderExpired) == 12_000
    assert house.working() == 0
    assert check_core(house.core) == []


def test_a_fill_through_a_billion_slices_of_an_iceberg_is_counted_at_once() -> None:
    """It shows 0.000001 of a million shares; 999,999.9999995 trade: the slice begun is half through."""
    order = SubmitOrder(
        "a", "main", 0, 1, 10**6 * SHARE, OrderType.LIMIT, limit_px=SHARE, terms=OrderTerms(display_qty=100)
    )
    working = WorkingOrder(1, order, 0, 0)
    assert working.shown == 100
    working.leaves = 50
    assert next_slice(working, 10**6 * SHARE - 50)
    assert working.shown == 50


@pytest.mark.parametrize(("qty", "shown", "anew"), [(3, 7, False), (10, 10, True), (12, 8, True), (20, 10, True)])
def test_a_slice_is_what_the_fills_left_of_it(qty: int, shown: int, anew: bool) -> None:
    """100 show 10 at a time: behind a fill of 12 the second slice has 8 left."""
    order = SubmitOrder("a", "main", 0, 1, 100, OrderType.LIMIT, limit_px=SHARE, terms=OrderTerms(display_qty=10))
    working = WorkingOrder(1, order, 0, 0)
    working.leaves -= qty
    assert next_slice(working, qty) is anew
    assert working.shown == shown


def seconds(action: Callable[[], object]) -> float:
    """Return what an action costs of this process's time."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def grouped(count: int) -> House:
    """Let so many orders of one group work."""
    house = House()
    house.submit(count, type=OrderType.LIMIT, limit_px=90 * SHARE, tif=TimeInForce.GTC, terms=OrderTerms(oco_group="g"))
    return house


def test_a_group_costs_what_its_orders_cost_and_not_their_square() -> None:
    """Eight times the orders cost about eight times as much to submit and to fill one of; a square would be 64."""
    small, large = (seconds(lambda n=n: grouped(n).bar(100, 101, 80, 100)) for n in (500, 4000))
    assert large < 24 * small


def test_a_rename_of_many_orders_costs_what_they_cost_and_not_their_square() -> None:
    """They keep their places behind those that work in the new name already."""

    def renamed(count: int) -> float:
        house = grouped(count)
        action = CorporateAction(OPENED + MINUTE, 20240308, 0, "rename", 0, renamed_to=1)
        taken = seconds(lambda: house.put(action))
        assert [w.n for w in house.core.broker._resting.of(1)] == list(range(1, count + 1))
        return taken

    assert renamed(4000) < 24 * renamed(500)
