"""An order that trails says where its stop stood when it was met, which behind a gap is not where the market was."""

from __future__ import annotations

import pytest

from actors.messages.orders import BUY, SELL, OrderTerms, OrderTriggered
from tests.actors.broker.desk import FREE, Desk, fills, fx
from tests.actors.broker.tape import Tape

ONE = OrderTerms(trail_amount=fx(1))
CASES = [
    # Armed at 100, so the stop stands at 99; the bar opens at 95: met there, filled there.
    ("gap", SELL, (95, 96, 94, 95), 95.0, 99.0),
    # The same for a purchase: the stop at 101, the open at 104.
    ("gap up", BUY, (104, 105, 103, 104), 104.0, 101.0),
    # Open 100, then the high of 100.50, which is the nearer: the stop comes to 99.50, where the fall to 99 meets it.
    ("pulled inside the bar", SELL, (100, 100.5, 99, 99), 99.5, 99.5),
    # Open 100, low 98.90, high 103: the fall meets 99 before anything has pulled it.
    ("met before it moves", SELL, (100, 103, 98.9, 102), 99.0, 99.0),
]


@pytest.mark.parametrize(("side", "bar", "met", "stood"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_on_bars(side: int, bar: tuple[float, ...], met: float, stood: float) -> None:
    """The level is where the market met it, the stop where it stood; the fill is the worse of the two."""
    desk = Desk(FREE)
    desk.bar(1, (100, 100, 100, 100))
    desk.route(-side, 5)
    desk.bar(2, (100, 100, 100, 100))
    desk.route(side, 5, "trailing_stop", terms=ONE)
    events = desk.bar(3, bar)
    [triggered] = [e for e in events if isinstance(e, OrderTriggered)]
    assert (triggered.level, triggered.stop_px) == (fx(met), fx(stood))
    assert [fill.last_px for fill in fills(events)] == [fx(met)]


def test_on_prints() -> None:
    """50.80 lifts the stop of an amount of 1 from 49 to 49.80; the print of 49.70 meets it and stands below it."""
    tape = Tape()
    tape.send(0, BUY, 100)
    tape.trade(0, (50.0, 100))
    tape.trade(1, (50.0, 1000))
    tape.send(1, SELL, 100, "trailing_stop", terms=ONE)
    [triggered] = tape.trade(2, (50.8, 100), (49.9, 100), (49.7, 100))
    assert isinstance(triggered, OrderTriggered)
    assert (triggered.level, triggered.stop_px) == (fx(49.7), fx(49.8))


def test_other_orders_say_no_stop_of_their_own() -> None:
    """Theirs stands in the order."""
    desk = Desk(FREE)
    desk.bar(1, (100, 100, 100, 100))
    desk.route(BUY, 5, "stop", 101)
    [triggered] = [e for e in desk.bar(2, (104, 105, 103, 104)) if isinstance(e, OrderTriggered)]
    assert (triggered.level, triggered.stop_px) == (fx(104), None)
