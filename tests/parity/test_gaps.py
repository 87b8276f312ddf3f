"""What was missed while the daemon was down is not traded on: orders, DAY orders, the trading state (F51)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, spec_of, strategy
from actors.messages.control import Halt, Kill, Reduce, ResetBreaker, Resume, Unlatch
from actors.messages.orders import (
    BUY,
    SELL,
    OrderAccepted,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderReplaced,
    OrderType,
    ReplaceOrder,
    TimeInForce,
)
from actors.messages.portfolio import SignalsReady
from actors.messages.risk import TradingState, TradingStateChanged
from actors.portfolio.params import PortfolioSpec
from actors.predictor.registry import bind_spec
from actors.values.fixed import SCALE
from actors.values.time import format_ts
from tests.parity.core_bench import DAY, HOUR, LENGTH, OPEN, WIDE, World
from tests.parity.programs import MINUTE, SHARE

GTC = {"type": OrderType.LIMIT, "tif": TimeInForce.GTC}
RECOVERED = pytest.mark.parametrize("how", ["never down", "snapshot", "refolded"])


def after(world: World, how: str) -> World:
    """Return the world as it is, or as it comes back from its record."""
    return world if how == "never down" else world.reborn(snapshot=how == "snapshot")


# -- resting orders ----------------------------------------------------------------------------------------------------


@RECOVERED
def test_a_resting_order_is_not_matched_against_prices_missed_while_down(how: str) -> None:
    """A bar that began before the gap's end does not touch it; the first one behind it does."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, **GTC)
    world.gap(OPEN + MINUTE, OPEN + 5 * MINUTE + MINUTE // 2)
    world = after(world, how)
    world.bar(0, 5, low=90.0)
    assert world.facts(OrderFilled) == []
    assert world.core.broker.working[0].live_from == OPEN + 5 * MINUTE + MINUTE // 2
    (fill,) = [e for e in world.bar(0, 6, low=90.0) if isinstance(e, OrderFilled)]
    assert fill.last_px == 95 * SCALE


def test_an_order_sent_behind_a_gap_and_an_earlier_gap_are_left_alone() -> None:
    """Only what rested through the gap is held back, and never to an earlier instant than it was."""
    world = World()
    world.open(0)
    world.bar(0, 4)
    world.order(0, BUY, 10, limit_px=95 * SCALE, **GTC)
    accepted = world.clock.now()
    world.gap(OPEN, OPEN + MINUTE)
    assert world.core.broker.working[0].live_from == accepted


# -- DAY orders --------------------------------------------------------------------------------------------------------


@RECOVERED
def test_a_day_order_whose_close_was_missed_expires_before_anything_can_fill_it(how: str) -> None:
    """The gap itself tells: the session ended within it."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT, name="day")
    world.order(0, BUY, 10, limit_px=94 * SCALE, name="gtc", **GTC)
    world = after(world, how)
    events = world.gap(OPEN + MINUTE, OPEN + DAY + HOUR)
    assert [e.client_order_id for e in events if isinstance(e, OrderExpired)] == ["day"]
    fills = [e.client_order_id for e in world.bar(1, 90, low=90.0) if isinstance(e, OrderFilled)]
    assert fills == ["gtc"]


def test_a_gap_inside_a_session_leaves_its_day_orders_working() -> None:
    """They are live behind it and expire with the close."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT)
    assert not [e for e in world.gap(OPEN + MINUTE, OPEN + HOUR) if isinstance(e, OrderExpired)]
    assert [e.reason for e in world.close(0) if isinstance(e, OrderExpired)] == ["day"]


@RECOVERED
@pytest.mark.parametrize(("next_session", "lives"), [(1, True), (2, False)])
def test_a_day_order_for_the_next_session_lives_only_if_that_was_not_missed(
    how: str, next_session: int, lives: bool
) -> None:
    """Placed overnight, down since: no bar touches it before a session was told, and then only its own."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.close(0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT)
    world.gap(OPEN + LENGTH + HOUR, OPEN + next_session * DAY + MINUTE)
    world = after(world, how)
    world.bar(next_session, 1, low=90.0)
    assert not world.facts(OrderFilled)
    expired = [e for e in world.open(next_session, late=2 * MINUTE) if isinstance(e, OrderExpired)]
    assert bool(expired) is not lives
    filled = [e for e in world.bar(next_session, 5, low=90.0) if isinstance(e, OrderFilled)]
    assert bool(filled) is lives


def test_new_terms_do_not_wake_a_day_order_that_waits_for_its_session() -> None:
    """Which session it is for is not known any better."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.close(0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT, name="day")
    world.gap(OPEN + LENGTH, OPEN + DAY + HOUR)
    world.do(Resume("I looked", "ann"))
    assert isinstance(world.do(ReplaceOrder("day", limit_px=96 * SCALE))[0], OrderReplaced)
    assert not [e for e in world.bar(1, 90, low=90.0) if isinstance(e, OrderFilled)]
    assert [e.client_order_id for e in world.close(1) if isinstance(e, OrderExpired)] == ["day"]


def test_before_the_first_session_a_gap_costs_no_day_order() -> None:
    """No session can have been missed that nobody was told of."""
    world = World()
    world.order(0, BUY, 10)
    world.gap(OPEN - HOUR, OPEN - MINUTE)
    world.open(0)
    assert [e for e in world.bar(0, 0) if isinstance(e, OrderFilled)]


def test_a_close_told_late_spares_what_came_in_behind_it() -> None:
    """Such an order is for the next session; those of the session expire."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT, name="of the session")
    world.do(Reduce("late", "ann"), at=OPEN + LENGTH + MINUTE)
    world.do(Resume("fine", "ann"))
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT, name="for the next")
    expired = [e.client_order_id for e in world.close(0, late=2 * MINUTE) if isinstance(e, OrderExpired)]
    assert expired == ["of the session"]


def test_a_session_told_twice_is_still_the_same_session() -> None:
    """After a gap the shell may open it again: its DAY orders work on."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.order(0, BUY, 10, limit_px=95 * SCALE, type=OrderType.LIMIT)
    world.gap(OPEN + MINUTE, OPEN + HOUR)
    assert not [e for e in world.open(0, late=HOUR + MINUTE) if isinstance(e, OrderExpired)]
    assert [e for e in world.bar(0, 90, low=90.0) if isinstance(e, OrderFilled)]


# -- the trading state -------------------------------------------------------------------------------------------------


@RECOVERED
def test_trading_reduces_until_every_symbol_held_has_a_fresh_price(how: str) -> None:
    """Then, and not before, it is active again by itself; the reason names the gap."""
    world = World()
    world.open(0)
    world.hold(0, 0, 10, 10)
    since, until = OPEN + MINUTE, OPEN + 30 * MINUTE
    (change,) = [e for e in world.gap(since, until) if isinstance(e, TradingStateChanged)]
    assert (change.old, change.new, change.by, change.latched) == ("active", "reducing", "recovery", False)
    assert change.reason == f"prices of playback between {format_ts(since)} and {format_ts(until)} were missed"
    world = after(world, how)
    world.bar(0, 28)  # known before the gap ended: not fresh
    assert world.state == "reducing"
    world.bar(0, 30, 101.0, None)
    assert world.state == "reducing"
    (denied,) = world.order(0, BUY, 1)
    assert isinstance(denied, OrderDenied)
    assert denied.code == "REDUCING"
    assert denied.reason.endswith("; it becomes active again once every symbol held has a fresh price")
    assert isinstance(world.order(0, SELL, 1)[0], OrderAccepted)
    (back,) = [e for e in world.bar(0, 31, None, 99.0) if isinstance(e, TradingStateChanged)]
    assert (back.new, back.by) == ("active", "recovery")


def test_with_nothing_held_the_first_fresh_bar_is_enough() -> None:
    """Whatever symbol it is of."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.gap(OPEN + MINUTE, OPEN + 30 * MINUTE)
    assert world.state == "reducing"
    world.bar(0, 30, None, 100.0)
    assert world.state == "active"


def test_a_second_gap_begins_the_wait_anew() -> None:
    """What was fresh behind the first is not behind the second."""
    world = World()
    world.open(0)
    world.hold(0, 0, 10, 10)
    world.gap(OPEN + MINUTE, OPEN + 10 * MINUTE)
    world.bar(0, 10, 100.0, None)
    world.gap(OPEN + 11 * MINUTE, OPEN + 20 * MINUTE)
    world.bar(0, 20, None, 100.0)
    assert world.state == "reducing"
    world.bar(0, 21, 100.0, None)
    assert world.state == "active"


@pytest.mark.parametrize(
    ("says", "state"), [(Reduce("hold on", "ann"), "reducing"), (Halt("hold on", "ann"), "halted")]
)
def test_what_a_person_says_meanwhile_takes_over(says: Any, state: str) -> None:
    """A recovery gives back only what it took itself."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.gap(OPEN + MINUTE, OPEN + 10 * MINUTE)
    (change,) = [e for e in world.do(says) if isinstance(e, TradingStateChanged)]
    assert change.by == "ann"
    world.bar(0, 10)
    assert world.state == state
    assert "an operator must resume first" in world.order(0, BUY, 1)[0].reason  # type: ignore[attr-defined]
    world.do(Resume("fine", "ann"))
    assert world.state == "active"


@pytest.mark.parametrize(
    ("before", "state"), [(Halt("x", "ann"), "halted"), (Kill("x", "ann"), "killed"), (Reduce("x", "ann"), "reducing")]
)
def test_a_gap_never_loosens_and_never_takes_over(before: Any, state: str) -> None:
    """Out of a person's reducing, halt or kill no rule leads."""
    world = World()
    world.open(0)
    world.bar(0, 0)
    world.do(before)
    assert not [e for e in world.gap(OPEN + MINUTE, OPEN + 10 * MINUTE) if isinstance(e, TradingStateChanged)]
    world.bar(0, 10)
    assert world.state == state


def test_a_person_may_resume_before_prices_are_fresh() -> None:
    """It is their word against the rule's, and theirs counts."""
    world = World()
    world.open(0)
    world.hold(0, 0, 10, 0)
    world.gap(OPEN + MINUTE, OPEN + 10 * MINUTE)
    world.do(Resume("I looked", "ann"))
    assert world.state == "active"
    world.bar(0, 10)
    assert [e.by for e in world.facts(TradingStateChanged)] == ["recovery", "ann"]


def test_a_breaker_that_trips_during_recovery_halts_for_good() -> None:
    """The first fresh price shows the loss: no rule gives that back."""
    world = World(limits=msgspec.structs.replace(WIDE, daily_loss_halt=0.05, max_drawdown=0.5))
    world.open(0)
    world.hold(0, 0, 500, 0)
    world.close(0)
    world.gap(OPEN + LENGTH, OPEN + DAY + HOUR)
    world.bar(1, 60, None, 100.0)
    assert world.state == "reducing"
    world.bar(1, 61, 80.0, 100.0)
    assert world.state == "halted"
    world.bar(1, 62, 100.0, 100.0)
    assert world.state == "halted"
    world.do(Unlatch("seen", "root"))
    world.do(Resume("seen", "root"))
    assert world.state == "active"


def test_several_breakers_that_stand_in_the_way_are_all_named() -> None:
    """A person should not have to find them one by one."""
    world = World(limits=msgspec.structs.replace(WIDE, daily_loss_halt=0.05, max_drawdown=0.08))
    world.open(0)
    world.hold(0, 0, 500, 0)
    world.close(0)
    world.open(1)
    world.bar(1, 0, 80.0, 100.0)
    (refused,) = world.do(Resume("again", "ann"))
    assert "the breakers daily_loss of main, drawdown of main are tripped; reset the breakers first" in refused.reason  # type: ignore[attr-defined]
    world.do(ResetBreaker("main", "daily_loss", "seen", "ann"))
    (refused,) = world.do(Resume("again", "ann"))
    assert "the breaker drawdown of main is tripped; reset the breaker first" in refused.reason  # type: ignore[attr-defined]
    world.do(Kill("no", "ann"))
    (refused,) = world.do(Resume("again", "ann"))
    assert "trading is killed (no); unlatch first" in refused.reason  # type: ignore[attr-defined]


# -- F51 ---------------------------------------------------------------------------------------------------------------


@strategy(lookback=1, horizon=1)
def eager(w: PanelWindow, p: Params) -> Scores:
    """Want everything at every close."""
    ones = np.ones(w.close.shape[1])
    return Scores(ones, confidence=ones)


@pytest.mark.parametrize("reborn", [False, True])
def test_f51_no_catch_up_orders_after_a_pause(reborn: bool) -> None:
    """The close of a session comes late, behind a gap: the strategy decides, and nothing is entered on old prices."""
    spec = spec_of(eager)
    assert spec is not None
    owner = PortfolioSpec("main", 100_000 * SHARE, ("eager",), rebalance="signal", max_weight=0.5, stop_loss=0)
    world = World(interval="1d", bindings=[bind_spec(spec)], portfolios=[owner])
    world.open(0)
    world.bar(0, 0)
    world.gap(OPEN + LENGTH - MINUTE, OPEN + LENGTH + 8 * HOUR)
    world = world.reborn(snapshot=True) if reborn else world
    events = world.close(0, late=8 * HOUR)
    assert [e.strategy for e in events if isinstance(e, SignalsReady)] == ["eager"]
    assert [e.code for e in events if isinstance(e, OrderDenied)] == ["REDUCING", "REDUCING"]
    assert not [e for e in events if isinstance(e, OrderAccepted)]
    world.open(1)
    world.bar(1, 0)
    assert world.state == TradingState.ACTIVE
    assert len([e for e in world.close(1) if isinstance(e, OrderAccepted)]) == 2
