"""Margin in the gate and the calls: what is free, what is asked for and when; a snapshot forgets none of it."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.control import Halt, Kill, Unlatch
from actors.messages.market import GapDetected
from actors.messages.orders import BUY, SELL, OrderAccepted, OrderCanceled, TimeInForce
from actors.messages.portfolio import EquityMarked, FinancingCharged
from actors.messages.risk import BreakerTripped, MarginCalled
from actors.values.fixed import fmt, to_fixed


@pytest.fixture
def margin(world, wide):
    """A margin account of 10,000 that may go short."""

    def build(cash=10_000, **settings):
        limits = msgspec.structs.replace(wide, allow_short=True)
        return world(limits, cash=cash, account="margin", **settings)

    return build


def marked(w, equity, *, gross, net, portfolio="main"):
    """Mark an account with whole numbers; the cash is what is left of the equity."""
    amounts = [to_fixed(x) for x in (equity, equity - net, gross, net)]
    return w.state(EquityMarked(portfolio, *amounts))


def called(events):
    """Return each call as (equity, requirement, action), and each order as (id, side, shares)."""
    calls = [(fmt(e.equity), fmt(e.requirement), e.action) for e in events if isinstance(e, MarginCalled)]
    orders = [e.order for e in events if isinstance(e, OrderAccepted)]
    return calls, [(o.client_order_id, o.side, fmt(o.qty)) for o in orders]


def free(w, portfolio="main"):
    """Return what the gate would let a new order reserve."""
    return fmt(w.risk.exposure.available(w.risk.exposure.books[portfolio]))


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_what_is_free_is_equity_beyond_the_initial_requirement(margin):
    """50 held at 100: equity 10,000 less 2,500. A working order for 40 reserves 2,000 more."""
    w = margin()
    w.hold(50)
    assert free(w) == "7500"
    assert w.submit(BUY, 40, symbol=1) == "ok"
    assert free(w) == "5500"


def test_a_price_that_falls_takes_buying_power_with_it(margin):
    """100 held at 100 and now at 80: equity 8,000 less 4,000."""
    w = margin()
    w.hold(100)
    w.bar([80.0, 100.0, 100.0])
    assert free(w) == "4000"


def test_shorts_need_half_beyond_their_proceeds(margin):
    """50 short at 100: 15,000 in cash, 5,000 owed; 10,000 less 2,500."""
    w = margin()
    w.hold(-50)
    assert free(w) == "7500"


def test_a_market_sale_makes_room_for_what_its_half_required(margin):
    """200 held at 100 use everything. Selling 100 releases 5,000; at a reserve of 1 nothing is feared of the price."""
    w = margin()
    w.hold(200)
    assert w.submit(BUY, 1, symbol=1) == "BUYING_POWER"
    assert w.submit(SELL, 100) == "ok"
    assert free(w) == "5000"
    assert w.submit(BUY, 100, symbol=1) == "ok"
    assert free(w) == "0"


def test_a_denial_names_need_and_what_is_free(margin):
    """201 at 100 need 10,050 of 10,000."""
    denial = margin().denial(BUY, 201)
    assert (denial.code, denial.value, denial.limit) == ("BUYING_POWER", "10050", "10000")


def test_what_only_reduces_needs_nothing(margin):
    """An account below its requirement may sell and cover."""
    w = margin()
    w.hold(200)
    w.hold(-10, symbol=1)
    w.bar([55.0, 100.0, 100.0])
    assert w.submit(BUY, 1, symbol=2) == "BUYING_POWER"
    assert w.submit(SELL, 10) == "ok"
    assert w.submit(BUY, 10, symbol=1) == "ok"


def test_financing_is_taken_from_what_is_free(margin):
    """The book's cash follows the charge."""
    w = margin()
    charge = FinancingCharged("main", "interest", -1, 20200102, 1, 1, 1, to_fixed(12.5), to_fixed(9_987.5), ())
    w.state(charge)
    assert free(w) == "9987.5"


# -- calls -------------------------------------------------------------------------------------------------------------


def test_a_call_asks_for_just_enough(margin):
    """200 at 60 and 10,000 borrowed: 2,000 against 3,000; 67 shares release 1,005. The orders outlive a session."""
    w = margin()
    w.hold(200)
    w.bar([60.0, 100.0, 100.0])
    events = marked(w, 2_000, gross=12_000, net=12_000)
    assert called(events) == ([("2000", "3000", "liquidate")], [("margin_call-A-1", SELL, "67")])
    [call] = [e for e in events if isinstance(e, MarginCalled)]
    assert fmt(call.excess) == "-1000"
    [order] = [e.order for e in events if isinstance(e, OrderAccepted)]
    assert (order.reduce_only, order.tif, order.reason) == (True, TimeInForce.GTC, "margin_call")


def test_equity_that_is_just_enough_is_not_called(margin):
    """3,000 against 3,000."""
    w = margin()
    w.hold(200)
    w.bar([60.0, 100.0, 100.0])
    assert called(marked(w, 3_000, gross=12_000, net=12_000)) == ([], [])


def test_nothing_more_is_asked_while_orders_of_a_call_work(margin):
    """Nor anew before they have ended; the next call has ids of its own, also behind a snapshot."""
    w = margin()
    w.hold(200)
    w.bar([60.0, 100.0, 100.0])
    marked(w, 2_000, gross=12_000, net=12_000)
    w.bar([58.0, 100.0, 100.0])
    assert called(marked(w, 1_600, gross=11_600, net=11_600)) == ([], [])
    w.split()
    assert called(marked(w, 1_600, gross=11_600, net=11_600)) == ([], [])
    w.state(OrderCanceled("o", "margin_call-A-1", 0, "changed my mind"))
    calls, orders = called(marked(w, 1_600, gross=11_600, net=11_600))
    # 2,900 are required, 1,300 lack, and a share releases 14.50: 89.7.
    assert (calls, orders) == ([("1600", "2900", "liquidate")], [("margin_call-A-2", SELL, "90")])


def test_what_is_being_sold_anyway_is_not_sold_twice(margin):
    """A market order for 100 works: what is left needs 1,500, and 2,000 are there."""
    w = margin()
    w.hold(200)
    assert w.submit(SELL, 100) == "ok"
    w.bar([60.0, 100.0, 100.0])
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == ([], [])


def test_a_call_passes_while_trading_is_halted(margin):
    """It reduces risk."""
    w = margin()
    w.hold(200)
    w.process(Halt("caution", "ann"))
    w.bar([60.0, 100.0, 100.0])
    assert called(marked(w, 2_000, gross=12_000, net=12_000))[1] == [("margin_call-A-1", SELL, "67")]


def test_while_killed_a_call_is_told_once_a_session_and_closes_nothing(margin):
    """A kill closes nothing. After the unlatch positions are reduced, under the next number."""
    w = margin()
    w.hold(200)
    w.process(Kill("fire", "ann"))
    w.bar([60.0, 100.0, 100.0])
    told = [("2000", "3000", "warn")], []
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == told
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == ([], [])
    w.close()
    w.open()
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == told
    w.process(Unlatch("looked into it", "root"))
    assert called(marked(w, 2_000, gross=12_000, net=12_000))[1] == [("margin_call-A-3", SELL, "67")]


def test_a_warning_is_told_once_a_session(margin):
    """``broker.margin_call = "warn"``; a snapshot remembers that it was told."""
    w = margin(margin_call="warn")
    w.hold(200)
    w.bar([60.0, 100.0, 100.0])
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == ([("2000", "3000", "warn")], [])
    w.split()
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == ([], [])


def test_nobody_is_called_on_prices_that_may_be_stale(margin):
    """After a gap trading recovers until every symbol held has a fresh price; a call waits for that."""
    w = margin()
    w.hold(200)
    w.bar([60.0, 100.0, 100.0])
    now = w.clock.now()
    w.process(GapDetected(now, "f", now - 1, now))
    assert called(marked(w, 2_000, gross=12_000, net=12_000)) == ([], [])
    w.bar([60.0, 100.0, 100.0])
    marked(w, 2_000, gross=12_000, net=12_000)  # the mark that ends the recovery
    assert called(marked(w, 2_000, gross=12_000, net=12_000))[1] == [("margin_call-A-1", SELL, "67")]


def tripped(breaker, action, *, latched):
    """Return that a breaker of all portfolios has tripped."""
    return BreakerTripped("", breaker, 1.0, 0.5, 0, 0, action, latched, cause="a test")


@pytest.mark.parametrize(("action", "latched"), [("warn", False), ("block", True), ("halt", True)])
def test_a_call_does_not_wait_for_a_breaker_to_be_armed_again(margin, action, latched):
    """200 at 60 and 10,000 borrowed, while another breaker stands; the call is what it is without one."""
    w = margin()
    w.hold(200)
    w.state(tripped("reject_rate", action, latched=latched))
    w.bar([60.0, 100.0, 100.0])
    found = called(marked(w, 2_000, gross=12_000, net=12_000))
    assert found == ([("2000", "3000", "liquidate")], [("margin_call-A-1", SELL, "67")])


def test_the_mark_that_trips_a_breaker_calls_too(world, wide):
    """A day's loss of 80 % halts; on daily bars the next mark would be a session later."""
    w = world(msgspec.structs.replace(wide, allow_short=True, daily_loss_halt=0.05), cash=10_000, account="margin")
    w.hold(200)
    w.bar([60.0, 100.0, 100.0])
    events = marked(w, 2_000, gross=12_000, net=12_000)
    assert called(events)[1] == [("margin_call-A-1", SELL, "67")]
    assert [e.breaker for e in events if isinstance(e, BreakerTripped)] == ["daily_loss"]


def test_a_recovery_does_not_wait_for_a_breaker_that_took_no_state(margin):
    """What a gap took is given back with fresh prices, though a breaker is latched that only blocks entries."""
    w = margin()
    w.hold(1)
    w.state(tripped("loss_streak", "block", latched=True))
    now = w.clock.now()
    w.process(GapDetected(now, "f", now - 1, now))
    w.bar([100.0, 100.0, 100.0])
    marked(w, 10_000, gross=100, net=100)
    assert w.risk.trading_state == "active"


def test_portfolios_are_called_each_for_itself(margin):
    """Their names stand in the ids, so that two may be called in one symbol."""
    w = margin(portfolios=("main", "other"))
    for name in ("main", "other"):
        w.hold(200, portfolio=name)
    w.bar([60.0, 100.0, 100.0])
    for name in ("main", "other"):
        _, orders = called(marked(w, 2_000, gross=12_000, net=12_000, portfolio=name))
        assert orders == [(f"{name}.margin_call-A-1", SELL, "67")]


def test_shorts_are_covered(margin):
    """200 short at 100, at 120: 6,000 against 7,200; a share releases 36."""
    w = margin()
    w.hold(-200)
    w.bar([120.0, 100.0, 100.0])
    assert called(marked(w, 6_000, gross=24_000, net=-24_000))[1] == [("margin_call-A-1", BUY, "34")]


def test_cheap_shorts_reach_their_requirement_through_the_bound(margin):
    """1,000 short at 4, at 6: cash 14,000 less 6,000 is 8,000 against $5 a share, 5,000. At 10.50: 3,500 against 5,000.

    A share releases 5: 300.
    """
    w = margin()
    w.bar([4.0, 100.0, 100.0])
    w.hold(-1_000, px=4.0)
    w.bar([6.0, 100.0, 100.0])
    assert called(marked(w, 8_000, gross=6_000, net=-6_000)) == ([], [])
    w.bar([10.5, 100.0, 100.0])
    calls, orders = called(marked(w, 3_500, gross=10_500, net=-10_500))
    assert (calls, orders) == ([("3500", "5000", "liquidate")], [("margin_call-A-1", BUY, "300")])


def test_a_cash_account_is_never_called(world, wide):
    """It has borrowed no money."""
    w = world(msgspec.structs.replace(wide, allow_short=True), cash=10_000)
    w.hold(-90)
    w.bar([180.0, 100.0, 100.0])
    assert called(marked(w, 2_800, gross=16_200, net=-16_200)) == ([], [])


def test_entries_wait_until_equity_allows_them(margin):
    """At 60 there are 2,000 against 6,000 to open; at 101, 10,200 against 10,100, which leaves 100 for four at 50."""
    w = margin()
    w.hold(200)
    w.bar([60.0, 100.0, 50.0])
    assert w.submit(BUY, 1, symbol=2) == "BUYING_POWER"
    w.bar([101.0, 100.0, 50.0])
    assert w.submit(BUY, 5, symbol=2) == "BUYING_POWER"
    assert w.submit(BUY, 4, symbol=2) == "ok"
