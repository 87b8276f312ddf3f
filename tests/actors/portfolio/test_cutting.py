"""Cutting positions: whole lots, rounded up, reduce-only, and nothing twice."""

from __future__ import annotations

import pytest

from actors.messages.orders import OrderAccepted
from actors.messages.portfolio import ClosePositions, CutPositions, TradeClosed
from daemon.kernel.message import CommandRejected
from tests.actors.portfolio.harness import Desk, Inject, fx, make_fill, spec_of


@pytest.fixture
def desk():
    """A portfolio that is long 100 of one symbol and short 50 of another."""
    made = Desk(spec_of(strategies=()), n=3)
    made.bar([10, 20, 30])
    long_, short = (
        make_fill("a", 1, qty=fx(100), px=fx(10)),
        make_fill("b", 1, symbol=1, side=-1, qty=fx(50), px=fx(20)),
    )
    made.seq.process(Inject((long_, short)), "test")
    return made


def cut(desk, fraction, portfolio="main"):
    """Ask for a cut; return (symbol, signed shares) of the orders."""
    events = desk.seq.process(CutPositions(portfolio, fx(fraction), "test"), "test")
    for event in events:
        assert isinstance(event, OrderAccepted)
        assert event.order.reduce_only
        assert event.order.reason == "deleverage"
    return [(e.order.symbol, e.order.side * e.order.qty // fx(1)) for e in events]


@pytest.mark.parametrize(
    ("fraction", "orders"),
    [
        (0.5, [(0, -50), (1, 25)]),
        (0.25, [(0, -25), (1, 13)]),  # 12.5 of 50 are cut as 13: whole shares stay, and never more than was asked
        (0.00000001, [(0, -1), (1, 1)]),
        (1, [(0, -100), (1, 50)]),
        (1.5, [(0, -100), (1, 50)]),
        (0, []),
        (-0.5, []),
    ],
)
def test_a_part_of_every_position_long_and_short(desk, fraction, orders):
    """Rounded up to whole shares, and no more than there is."""
    assert cut(desk, fraction) == orders


def test_asked_again_while_the_orders_work_nothing_is_sent_twice(desk):
    """The same again adds nothing, more adds the rest; once they have filled it is a cut of what is left."""
    assert cut(desk, 0.5) == [(0, -50), (1, 25)]
    assert cut(desk, 0.5) == []
    desk.clock.advance_to(desk.clock.now() + 1)
    assert cut(desk, 0.6) == [(0, -10), (1, 5)]
    desk.bar([10, 20, 30])
    assert [desk.pf.qty(symbol) for symbol in (0, 1)] == [fx(40), fx(-20)]
    assert {t.exit_reason for t in desk.sink.events(TradeClosed)} == {"deleverage"}
    assert cut(desk, 0.5) == [(0, -20), (1, 10)]


def test_what_a_flatten_closes_already_is_cut_already(desk):
    """Its market orders work: nothing is left to cut."""
    desk.seq.process(ClosePositions("main", "test"), "control")
    assert cut(desk, 1) == []


def test_fractions_of_shares_are_cut_in_the_portfolios_own_lots():
    """A tenth of a share at a time: 0.35 of 1.0 is cut as 0.4."""
    desk = Desk(spec_of(strategies=(), lot_size=fx(0.1)), n=1)
    desk.bar([10])
    desk.seq.process(Inject((make_fill("a", 1, qty=fx(1), px=fx(10)),)), "test")
    (event,) = desk.seq.process(CutPositions("main", fx(0.35), "test"), "test")
    assert event.order.qty == fx(0.4)


def test_all_portfolios_or_one_by_name():
    """No name is every one; one that is not there is refused."""
    small, large = spec_of(name="small", strategies=()), spec_of(name="large", strategies=())
    desk = Desk(small, large, n=1)
    desk.bar([10])
    for name in ("small", "large"):
        desk.seq.process(Inject((make_fill(name, 1, portfolio=name, qty=fx(10), px=fx(10)),)), "test")
    events = desk.seq.process(CutPositions("large", fx(0.5), "test"), "test")
    assert [(e.order.portfolio, e.order.qty) for e in events] == [("large", fx(5))]
    events = desk.seq.process(CutPositions("", fx(0.5), "test"), "test")
    assert [(e.order.portfolio, e.order.qty) for e in events] == [("small", fx(5))]
    (refused,) = desk.seq.process(CutPositions("who", fx(0.5), "test"), "test")
    assert isinstance(refused, CommandRejected)
    assert refused.code == "UNKNOWN_PORTFOLIO"


def test_a_lot_that_ends_by_time_is_cut_already():
    """Its market order is the lot's own exit: what it closes is neither cut nor flattened once more."""
    desk = Desk(spec_of(time_stop_sessions=1, stop_loss=0, take_profit=0), n=1)
    desk.bar([10])
    desk.seq.process(Inject((make_fill("a", 1, qty=fx(100), px=fx(10), strategy="s"),)), "test")
    desk.close()
    assert [working.reason for working in desk.pf.working()] == ["time_stop"]
    assert cut(desk, 0.5) == []
    assert desk.seq.process(ClosePositions("main", "test"), "control") == []
