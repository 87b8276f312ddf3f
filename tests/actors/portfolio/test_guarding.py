"""What a kill or a flatten leaves open gets its stop and its target back, once, under ids of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.messages.control import Flatten, Halt, Kill, Resume, Unlatch
from actors.messages.orders import (
    BUY,
    SELL,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderType,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import FlattenStarted
from actors.messages.risk import TradingState, TradingStateChanged
from actors.portfolio.actor import PortfolioActor
from actors.portfolio.params import PortfolioSpec
from actors.values.fixed import SCALE
from daemon.kernel.actor import Context
from tests.actors.portfolio.harness import Desk, Inject, fx, make_fill, spec_of
from tests.parity.core_bench import World

KILL, UNLATCH, RESUME = Kill("stop it", "ann"), Unlatch("seen to", "ann"), Resume("on we go", "ann")
OUT = Flatten("out", "ann")
ACTIVE, HALTED, KILLED = TradingState.ACTIVE, TradingState.HALTED, TradingState.KILLED
LIVES = pytest.mark.parametrize("how", ["never down", "snapshot", "refolded"])


def spec(name: str = "main", **changes: Any) -> PortfolioSpec:
    """A portfolio that follows one strategy and guards its lots."""
    return PortfolioSpec(name, 100_000 * SCALE, **{"strategies": ("s",), **changes})


def holding(*shares: int, portfolios: tuple[PortfolioSpec, ...] = (), **fields: Any) -> World:
    """A world that holds a lot of so many shares of the first symbol each, bought on the strategy's word at 100."""
    world = World(portfolios=portfolios or (spec(),), **fields)
    world.open(0)
    for pf in world.spec.portfolios:
        for n, qty in enumerate(shares):
            world.order(0, BUY, qty, strategy="s", reason="signal", portfolio=pf.name, decision=n + 1)
    world.bar(0, 1)
    return world


def after(world: World, how: str) -> World:
    """The world as it is, or as it comes back from its record; what comes back is equal to the last byte."""
    if how == "never down":
        return world
    other = world.reborn(snapshot=how == "snapshot")
    assert other.core.sequencer.snapshot() == world.core.sequencer.snapshot()
    return other


def accepted(events: list[Any]) -> list[SubmitOrder]:
    """Orders taken."""
    return [event.order for event in events if isinstance(event, OrderAccepted)]


def terms(order: SubmitOrder) -> tuple[Any, ...]:
    """What an exit is, but for its name."""
    return (
        *(order.portfolio, order.symbol, order.side, order.qty, order.type, order.tif, order.limit_px, order.stop_px),
        *(order.strategy, order.reason, order.reduce_only, order.lot_id),
    )


def exits(world: World, portfolio: str = "main") -> dict[str, list[tuple[str, int]]]:
    """Working exits by lot: (reason, open shares)."""
    lots = world.core.portfolio.portfolio(portfolio).exits
    return {lot: [(w.reason, w.leaves // SCALE) for w in group.values()] for lot, group in lots.items()}


def guarded(qty: int) -> list[tuple[str, int]]:
    """Stop and target over so many shares."""
    return [("stop_loss", qty), ("take_profit", qty)]


# -- kills -------------------------------------------------------------------------------------------------------------


@LIVES
def test_after_a_kill_the_unlatch_brings_the_exits_back_and_resume_adds_nothing(how: str) -> None:
    """Just the orders the entry had, under other ids that name the ones they replace; killed, nothing is sent."""
    world = holding(10)
    first = [o for o in accepted([e for row in world.kept for e in row.events]) if o.lot_id]
    events = world.do(KILL)
    assert len([e for e in events if isinstance(e, OrderCanceled)]) == 2
    world = after(world, how)
    assert accepted(world.do(KILL)) == accepted(world.bar(0, 2)) == []
    again = accepted(world.do(UNLATCH))
    assert world.state == "halted"
    assert [terms(o) for o in again] == [terms(o) for o in first]
    assert [(o.type, o.stop_px, o.limit_px, o.tif) for o in again] == [
        (OrderType.STOP, 97 * SCALE, None, TimeInForce.GTC),
        (OrderType.LIMIT, None, 110 * SCALE, TimeInForce.GTC),
    ]
    assert [o.parent_id for o in again] == [o.client_order_id for o in first]
    world = after(world, how)
    assert accepted(world.do(RESUME)) == accepted(world.do(Halt("h", "ann"))) == accepted(world.do(RESUME)) == []
    world.bar(0, 3, 96.0, 100.0)
    assert world.positions() == {}
    assert exits(world) == {}


@LIVES
def test_kill_after_kill_every_order_has_an_id_of_its_own(how: str) -> None:
    """Also at one instant of the tape, where the gate looks for orders that were sent twice."""
    world = holding(10)
    for _ in range(3):
        world.do(KILL)
        world = after(world, how)
        assert len(accepted(world.do(UNLATCH))) == 2
        world.do(RESUME)
        assert exits(world).popitem()[1] == guarded(10)
    ids = [o.client_order_id for o in accepted([e for row in world.kept for e in row.events])]
    assert len(ids) == len(dict.fromkeys(ids)) == 1 + 2 * 4
    assert world.facts(OrderDenied) == []


def test_a_partly_closed_lot_is_guarded_for_what_is_left_of_it() -> None:
    """Four of ten were sold before the kill."""
    world = holding(10)
    world.order(0, SELL, 4)
    world.bar(0, 2)
    world.do(KILL)
    assert [o.qty // SCALE for o in accepted(world.do(UNLATCH))] == [6, 6]
    assert list(exits(world).values()) == [guarded(6)]


def test_every_lot_of_every_portfolio_gets_its_own_back() -> None:
    """Two lots in each of two portfolios that follow one strategy; a third guards nothing."""
    books = (spec("a"), spec("b", stop_loss=0.05, take_profit=0.0), spec("c", stop_loss=0.0, take_profit=0.0))
    world = holding(10, 20, portfolios=books)
    before = {name: exits(world, name) for name in "abc"}
    assert [len(lots) for lots in before.values()] == [2, 2, 0]
    world.do(KILL)
    assert [exits(world, name) for name in "abc"] == [{}, {}, {}]
    assert len(accepted(world.do(UNLATCH))) == 4 + 2
    assert {name: exits(world, name) for name in "abc"} == before


def test_shorts_are_guarded_again_on_their_own_side() -> None:
    """The stop lies above, both buy."""
    world = World(portfolios=(spec(),))
    world.open(0)
    world.order(0, SELL, 10, strategy="s", reason="signal")
    world.bar(0, 1)
    world.do(KILL)
    again = accepted(world.do(UNLATCH))
    assert [(o.side, o.stop_px, o.limit_px) for o in again] == [(BUY, 103 * SCALE, None), (BUY, None, 90 * SCALE)]


def test_lots_of_operators_and_exempt_lots_are_given_nothing() -> None:
    """They had no exits before the kill either."""
    world = World(portfolios=(spec(),))
    world.open(0)
    world.order(0, BUY, 5)
    world.order(1, BUY, 5, strategy="s", reason="signal", exempt=True)
    world.bar(0, 1)
    world.do(KILL)
    assert accepted(world.do(UNLATCH)) == accepted(world.do(RESUME)) == []


def test_a_lot_that_was_closed_is_not_guarded_again() -> None:
    """One lot is stopped out, the other one sold; a kill and its end leave neither an order."""
    world = holding(10, 20)
    world.bar(0, 2, 96.0, 100.0)
    assert world.positions() == {}
    world.do(KILL)
    assert accepted(world.do(UNLATCH)) == accepted(world.do(RESUME)) == []


@LIVES
def test_an_exit_that_an_operator_cancelled_stays_cancelled(how: str) -> None:
    """Before a kill, and again when it had come back: only the other one returns."""
    world = holding(10)
    stop = next(o for o in accepted([e for row in world.kept for e in row.events]) if o.reason == "stop_loss")
    world.do(CancelOrder(stop.client_order_id, "mine"))
    world.do(KILL)
    world = after(world, how)
    (target,) = accepted(world.do(UNLATCH))
    assert target.reason == "take_profit"
    world.do(CancelOrder(target.client_order_id, "mine"))
    world.do(KILL)
    world = after(world, how)
    assert accepted(world.do(UNLATCH)) == accepted(world.do(RESUME)) == []


def test_a_halt_and_an_end_of_it_send_no_exits() -> None:
    """Exits stay through a halt; where an operator took them, they are gone."""
    world = holding(10)
    for order in [o for o in accepted([e for row in world.kept for e in row.events]) if o.lot_id]:
        world.do(CancelOrder(order.client_order_id, "h"))
    assert accepted(world.do(Halt("h", "ann"))) == accepted(world.do(RESUME)) == []


# -- flattens ----------------------------------------------------------------------------------------------------------


@LIVES
def test_a_flatten_given_up_by_resuming_gives_the_exits_back(how: str) -> None:
    """While it lasts nothing comes back; with the resume all does, and the closing orders still close it all once."""
    world = holding(10, 20)
    before = exits(world)
    events = world.do(OUT)
    assert [e for e in events if isinstance(e, FlattenStarted)]
    assert exits(world) == {}
    world = after(world, how)
    assert [o.reason for o in accepted(world.do(Halt("h", "bob")))] == []
    world = after(world, how)
    again = accepted(world.do(RESUME))
    assert [o.reason for o in again] == ["stop_loss", "take_profit"] * 2
    assert exits(world) == before
    world.bar(0, 2)
    assert world.positions() == {}
    assert exits(world) == {}


def test_a_flatten_whose_closing_orders_were_cancelled_leaves_guarded_lots_once_it_is_given_up() -> None:
    """A person takes over: cancels the closes that a halted flatten goes on sending, by a kill, and comes back."""
    world = holding(10)
    before = exits(world)
    world.do(OUT)
    world.do(KILL)
    assert len(accepted(world.do(UNLATCH))) == 2
    assert accepted(world.do(RESUME)) == []
    assert exits(world) == before
    world.bar(0, 2)
    assert world.positions() == {0: 10}


def test_a_flatten_that_gets_it_all_closed_leaves_nothing_to_guard() -> None:
    """Flat is flat: the resume sends nothing, and nothing is remembered of the lots."""
    world = holding(10)
    world.do(OUT)
    world.bar(0, 2)
    assert world.positions() == {}
    assert accepted(world.do(RESUME)) == []
    assert not world.core.portfolio.portfolio("main").swept


def test_what_an_operator_cancelled_before_a_flatten_is_not_given_back_after_it() -> None:
    """Another person's words, or the same ones a bar ago."""
    for why in ("mine", OUT.reason):
        world = holding(10)
        stop = next(o for o in accepted([e for row in world.kept for e in row.events]) if o.reason == "stop_loss")
        world.do(CancelOrder(stop.client_order_id, why))
        if why == OUT.reason:
            world.bar(0, 2)
        world.do(OUT)
        assert [o.reason for o in accepted(world.do(RESUME))] == ["take_profit"]


def test_a_second_flatten_takes_and_gives_back_what_the_first_did() -> None:
    """Flatten, resume, flatten, resume at one instant: ids differ, nothing is denied."""
    world = holding(10)
    before = exits(world)
    for _ in range(2):
        world.do(OUT)
        assert exits(world) == {}
        world.do(RESUME)
        assert exits(world) == before
    assert world.facts(OrderDenied) == []


def test_fills_are_those_of_one_position_whatever_was_given_back() -> None:
    """A stop that came back and the target with it sell the lot once."""
    world = holding(10)
    world.do(KILL)
    world.do(UNLATCH)
    world.bar(0, 2, 120.0, 100.0)
    world.bar(0, 3, 90.0, 100.0)
    sold = [e for e in world.facts(OrderFilled) + world.facts(OrderPartiallyFilled) if e.side == SELL]
    assert [e.last_qty // SCALE for e in sold] == [10]


# -- answers that came too late ----------------------------------------------------------------------------------------


def test_exits_that_met_a_killed_gate_come_with_the_unlatch_and_a_refusal_is_tried_again() -> None:
    """A fill told while killed opens a lot whose exits are denied; each later order has the next id."""
    desk = Desk(spec_of(stop_loss=0.03), n=1)
    desk.bar([100])
    desk.seq.process(Inject((make_fill("late", 1, qty=fx(7), px=fx(100), strategy="s"),)), "test")
    (stop,) = (e.order for e in desk.sink.events(OrderAccepted))
    desk.actor.fold_trading_state(TradingStateChanged(ACTIVE, KILLED, "k", "ann", latched=True))
    desk.actor.fold_ended(OrderExpired("o", stop.client_order_id, 0, "gone"))
    desk.actor.fold_denied(OrderDenied(stop, "KILLED", "killed"))
    assert desk.pf.swept.missing("late-1") == {"stop_loss": 0}
    again = msgspec.structs.replace(stop, client_order_id="s-S0-0-stop1-late-1")
    desk.actor.fold_denied(OrderDenied(again, "MAX_QTY", "no"))
    assert desk.pf.swept.missing("late-1") == {"stop_loss": 1}
    desk.actor.fold_rejected(OrderRejected("O-9", again, "VENUE", "not today"))
    entry = msgspec.structs.replace(again, reason="signal")
    desk.actor.fold_rejected(OrderRejected("O-10", entry, "VENUE", "an entry brings back nothing"))
    assert desk.pf.swept.missing("late-1") == {"stop_loss": 2}
    other = msgspec.structs.replace(stop, lot_id="unknown")
    desk.actor.fold_denied(OrderDenied(other, "KILLED", "killed"))
    assert list(desk.pf.swept) == ["late-1"]
    desk.actor.fold_trading_state(TradingStateChanged(KILLED, HALTED, "u", "ann", latched=False))
    fresh = PortfolioActor(desk.universe, desk.specs, daily=True)
    fresh.restore(desk.actor.snapshot())
    assert fresh.snapshot() == desk.actor.snapshot()
    ctx = Context(1)
    ctx.actor = "portfolio"
    fresh.guard_again(TradingStateChanged(KILLED, HALTED, "u", "ann", latched=False), ctx)
    (order,) = ctx.out
    assert isinstance(order, SubmitOrder)
    assert (order.client_order_id, order.parent_id) == ("s-S0-0-stop3-late-1", "s-S0-0-stop2-late-1")
    assert terms(order) == terms(stop)
