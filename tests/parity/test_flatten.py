"""Halt, kill and flatten on the whole core: idempotent, going on until it is true, never beyond flat (C10, C11)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.messages.control import Flatten, Halt, Kill, LatchObserved, Reduce, Resume, Unlatch
from actors.messages.orders import (
    BUY,
    SELL,
    CancelAll,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderType,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import ClosePositions, FlattenEnded, FlattenStarted, PositionChanged
from actors.messages.risk import TradingStateChanged
from actors.portfolio.closing import TRIES
from actors.portfolio.params import PortfolioSpec
from actors.values.fixed import SCALE
from daemon.kernel.message import CommandRejected
from tests.parity.core_bench import FREE, WIDE, World
from tests.parity.programs import SHARE

OUT = Flatten("out", "ann")
RECOVERED = pytest.mark.parametrize("how", ["never down", "snapshot", "refolded"])


def after(world: World, how: str) -> World:
    """Return the world as it is, or as it comes back from its record."""
    return world if how == "never down" else world.reborn(snapshot=how == "snapshot")


def holding(*shares: int, **fields: Any) -> World:
    """Return a world in its first session that holds so many shares of each symbol."""
    world = World(**fields)
    world.open(0)
    world.hold(0, 0, *shares)
    return world


def kinds(events: list[Any], kind: type[Any]) -> list[Any]:
    """Return the events of a kind."""
    return [event for event in events if isinstance(event, kind)]


# -- flatten -----------------------------------------------------------------------------------------------------------


@RECOVERED
def test_a_flatten_halts_cancels_closes_and_says_that_it_is_done(how: str) -> None:
    """Long and short; what rested is cancelled; closing orders pass the gate of a halt."""
    world = holding(10, -4)
    world.order(0, BUY, 5, type=OrderType.LIMIT, limit_px=90 * SCALE, tif=TimeInForce.GTC, name="rests")
    events = world.do(OUT)
    assert world.state == "halted"
    assert [e.client_order_id for e in kinds(events, OrderCanceled)] == ["rests"]
    closes = [e.order for e in kinds(events, OrderAccepted)]
    assert [(o.symbol, o.side, o.qty // SHARE, o.reduce_only, o.tif) for o in closes] == [
        (0, SELL, 10, True, TimeInForce.GTC),
        (1, BUY, 4, True, TimeInForce.GTC),
    ]
    assert kinds(events, FlattenStarted) == [FlattenStarted("main", "out")]
    world = after(world, how)
    events = world.bar(0, 1)
    assert world.positions() == {}
    assert kinds(events, FlattenEnded) == [FlattenEnded("main", flat=True)]
    assert not kinds(world.bar(0, 2), FlattenEnded)
    world.do(Resume("fine", "ann"))
    assert world.state == "active"
    assert isinstance(world.order(0, BUY, 1)[0], OrderAccepted)


def test_a_flatten_of_nothing_is_done_at_once() -> None:
    """It halts all the same."""
    world = World()
    events = world.do(OUT)
    assert kinds(events, FlattenEnded) == [FlattenEnded("main", flat=True)]
    assert world.state == "halted"


def test_every_portfolio_is_flattened() -> None:
    """One that takes operators' orders only as well; each says for itself that it is flat."""
    both = [PortfolioSpec(name, 100_000 * SHARE, stop_loss=0, take_profit=0) for name in ("main", "hand")]
    world = World(portfolios=both)
    world.open(0)
    for name in ("main", "hand"):
        world.order(0, BUY, 10, portfolio=name)
    world.bar(0, 0)
    world.do(OUT)
    ended = kinds(world.bar(0, 1), FlattenEnded)
    assert [e.portfolio for e in ended] == ["main", "hand"]


def test_a_repeated_flatten_is_no_error_and_cancels_nothing_of_the_first() -> None:
    """Its closing orders go on working; what has come to rest in between is the second's business."""
    world = holding(10, 0)
    (close,) = kinds(world.do(OUT), OrderAccepted)
    events = world.do(Flatten("really out", "bob"))
    assert not kinds(events, (OrderCanceled, OrderAccepted, CommandRejected))
    assert [w.order.client_order_id for w in world.core.broker.working] == [close.order.client_order_id]
    world.bar(0, 1)
    assert world.positions() == {}


@RECOVERED
def test_a_closing_order_that_is_cancelled_is_sent_again(how: str) -> None:
    """By whomever it was cancelled: the flatten is not over."""
    world = holding(10, 0)
    (close,) = kinds(world.do(OUT), OrderAccepted)
    world = after(world, how)
    events = world.do(CancelOrder(close.order.client_order_id, "oops"))
    (again,) = kinds(events, OrderAccepted)
    assert again.order.client_order_id != close.order.client_order_id
    assert again.order.qty == 10 * SHARE
    world.do(CancelAll("", "all", "oops"))
    assert len(world.core.broker.working) == 1
    world.bar(0, 1)
    assert world.positions() == {}


@RECOVERED
def test_a_flatten_tries_a_bounded_number_of_times_and_says_what_is_left(how: str) -> None:
    """Then a person has to look; flattening anew begins the count anew."""
    world = holding(10, 10)
    world.do(OUT)
    for _ in range(TRIES):
        world = after(world, how)
        working = {w.symbol: w.order.client_order_id for w in world.core.broker.working}
        world.do(CancelOrder(working[0], "no"))
    assert [w.symbol for w in world.core.broker.working] == [1]
    assert not kinds(world.facts(FlattenEnded), FlattenEnded)
    ended = kinds(world.bar(0, 1), FlattenEnded)
    assert ended == [FlattenEnded("main", flat=False, left=(0,))]
    assert not kinds(world.bar(0, 2), (FlattenEnded, OrderAccepted))
    world.do(OUT)
    world.bar(0, 3)
    assert world.positions() == {}


def test_what_is_bought_late_is_closed_too() -> None:
    """A fill that overtakes the halt leaves no position behind, even after the flatten was done."""
    world = holding(0, 0)
    world.do(OUT)
    late = SubmitOrder("late", "main", 0, BUY, 5 * SHARE)
    broker = world.core.broker
    # The gate lets nothing in any more: what a venue would still fill is stated as it would state it.
    order = OrderAccepted("O-1", late, 0, world.clock.now())
    for fold in world.core.sequencer.routing.route(OrderAccepted).folders:
        fold(order)
    events = world.bar(0, 1)
    assert kinds(events, OrderFilled)
    assert broker.account("main").positions == {0: 5 * SHARE}
    (close,) = kinds(events, OrderAccepted)
    assert (close.order.side, close.order.qty) == (SELL, 5 * SHARE)
    world.bar(0, 2)
    assert world.positions() == {}


def test_a_closing_order_that_is_gone_unheard_is_sent_again_with_the_next_bar() -> None:
    """Its end is known and nobody decided on it, as behind a restart: every bar asks anew what is still held."""
    world = holding(10, 0)
    (close,) = kinds(world.do(OUT), OrderAccepted)
    gone = OrderCanceled(close.order_id, close.order.client_order_id, 0, "venue")
    for fold in world.core.sequencer.routing.route(OrderCanceled).folders:
        fold(gone)
    (again,) = kinds(world.bar(0, 1), OrderAccepted)
    assert (again.order.side, again.order.qty, again.order.reduce_only) == (SELL, 10 * SHARE, True)
    assert kinds(world.bar(0, 2), FlattenEnded) == [FlattenEnded("main", flat=True)]
    assert world.positions() == {}


def test_a_flatten_never_goes_beyond_flat() -> None:
    """Another exit works as well: together they sell what is held and no more."""
    world = holding(10, 0)
    world.order(0, SELL, 10, name="exit")
    world.do(OUT)
    world.do(ClosePositions("main", "again"))
    world.do(OUT)
    world.bar(0, 1)
    world.bar(0, 2)
    assert world.positions() == {}
    assert sum(e.last_qty for e in world.facts(OrderFilled) if e.side == SELL) == 10 * SHARE


def test_a_cover_that_cash_cannot_pay_goes_on_with_what_it_can() -> None:
    """Bar by bar, until the tries are used up; never with money that is not there."""
    world = World(portfolios=[PortfolioSpec("main", 1_000 * SHARE, stop_loss=0, take_profit=0)])
    world.open(0)
    world.hold(0, 0, -10, 0)
    world.do(OUT)
    for minute in range(1, TRIES + 3):
        world.bar(0, minute, 1_000.0, 100.0)
        assert world.core.broker.account("main").cash >= 0
    (ended,) = world.facts(FlattenEnded)
    assert ended == FlattenEnded("main", flat=False, left=(0,))
    assert world.positions()[0] < 0


def test_an_odd_lot_is_closed_whole() -> None:
    """What is held may always be sold, whatever fraction of a lot it is."""
    world = World(broker=msgspec.structs.replace(FREE, lot_size=1), limits=msgspec.structs.replace(WIDE, lot_size=1))
    world.open(0)
    world.do(SubmitOrder("odd", "main", 0, BUY, SHARE // 2))
    world.bar(0, 0)
    world = world.reborn(
        snapshot=True,
        broker=msgspec.structs.replace(FREE, lot_size=SHARE),
        limits=msgspec.structs.replace(WIDE, lot_size=SHARE),
    )
    world.do(OUT)
    world.bar(0, 1)
    assert world.positions() == {}


@pytest.mark.parametrize("ends", [Resume("changed my mind", "ann"), Kill("fire", "ann")])
def test_leaving_the_halt_ends_a_flatten(ends: Any) -> None:
    """A person resumes, or kills, which closes nothing: no closing order follows."""
    world = holding(10, 0)
    (close,) = kinds(world.do(OUT), OrderAccepted)
    world.do(ends)
    world.do(CancelOrder(close.order.client_order_id, "no"))
    world.bar(0, 1)
    assert not world.core.broker.working
    assert world.positions() == {0: 10}
    assert len(world.facts(OrderAccepted)) == 2


def test_while_killed_nothing_is_flattened() -> None:
    """No order can pass; the sentence says what comes first."""
    world = holding(10, 0)
    world.do(Kill("fire", "ann"))
    (refused,) = world.do(OUT)
    assert (refused.code, refused.reason) == (  # type: ignore[attr-defined]
        "KILLED",
        "trading is killed, so no closing order can pass; unlatch first, then flatten",
    )
    world.do(Unlatch("seen", "root"))
    world.do(OUT)
    world.bar(0, 1)
    assert world.positions() == {}


def test_closing_orders_of_one_instant_have_names_of_their_own() -> None:
    """Cancelled and sent again within the same nanosecond, the second is no duplicate."""
    world = holding(10, 0)
    first = kinds(world.do(ClosePositions("main", "flatten")), OrderAccepted)[0].order.client_order_id
    world.do(CancelOrder(first, "no"))
    (second,) = kinds(world.do(ClosePositions("main", "flatten")), OrderAccepted)
    assert second.order.client_order_id != first


def test_a_closing_order_that_is_refused_counts_as_a_try() -> None:
    """At the gate or at the broker; both are known to the flatten."""
    world = holding(10, 0)
    world.do(OUT)
    flattening = world.core.portfolio.portfolio("main").flattening
    assert flattening is not None
    order = SubmitOrder("x", "main", 0, SELL, SHARE, reason="flatten", reduce_only=True)
    for fact in (OrderDenied(order, "NO", "no"), OrderRejected("O-9", order, "NO", "no")):
        for fold in world.core.sequencer.routing.route(type(fact)).folders:
            fold(fact)
    assert flattening.tries == {0: 3}
    elsewhere = msgspec.structs.replace(order, portfolio="ghost")
    world.core.portfolio.fold_denied(OrderDenied(elsewhere, "UNKNOWN_PORTFOLIO", ""))
    world.core.portfolio.fold_rejected(OrderRejected("O-8", elsewhere, "UNKNOWN_ACCOUNT", ""))
    assert flattening.tries == {0: 3}
    other = World().core.portfolio
    other.fold_flattened(FlattenEnded("main", flat=True))
    assert other.portfolio("main").flattening is None


# -- halt, kill --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [Halt("x", "ann"), Kill("x", "ann"), LatchObserved("file"), Reduce("x", "ann")])
def test_the_safe_direction_may_be_repeated(verb: Any) -> None:
    """Twice is as good as once: a success that changes nothing."""
    world = holding(10, 0)
    assert len(kinds(world.do(verb), TradingStateChanged)) == 1
    before = world.core.sequencer.snapshot()
    assert world.do(verb) == []
    after = msgspec.msgpack.decode(world.core.sequencer.snapshot())
    assert after["actors"] == msgspec.msgpack.decode(before)["actors"]


@RECOVERED
def test_a_kill_cancels_everything_closes_nothing_and_lasts(how: str) -> None:
    """No order and no fill behind it, whatever the bars do; only unlatch and resume lead back."""
    world = holding(10, 0)
    world.order(0, SELL, 10, type=OrderType.STOP, stop_px=95 * SCALE, tif=TimeInForce.GTC)
    world.order(1, BUY, 10)
    events = world.do(Kill("fire", "ann"))
    assert len(kinds(events, OrderCanceled)) == 2
    world = after(world, how)
    assert world.state == "killed"
    assert not kinds(world.bar(0, 1, low=50.0), PositionChanged)
    assert [e.code for e in world.order(0, SELL, 10, reduce_only=True)] == ["KILLED"]  # type: ignore[attr-defined]
    assert kinds(world.do(Resume("please", "ann")), CommandRejected)
    world.do(Unlatch("seen", "root"))
    world = after(world, how)
    assert world.state == "halted"
    world.do(Resume("seen", "ann"))
    assert world.state == "active"
    assert world.positions() == {0: 10}
