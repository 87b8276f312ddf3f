"""The trading state: who may change it, and what passes in it."""

from __future__ import annotations

import itertools

import pytest

from actors.messages.control import Flatten, Halt, Kill, LatchObserved, Reduce, Resume, Unlatch
from actors.messages.orders import BUY, SELL, CancelOrder, OrderCanceled, OrderType, ReplaceOrder
from actors.messages.risk import TradingState, TradingStateChanged
from actors.risk.trading_state import TRADING_STATE
from actors.values.fixed import to_fixed
from daemon.kernel.message import CommandRejected
from daemon.kernel.state_machine import InvalidTransitionError

STATES = tuple(TradingState)
TRIGGERS = ("reduce", "halt", "kill", "resume", "unlatch")
COMMANDS = {"reduce": Reduce, "halt": Halt, "kill": Kill, "resume": Resume, "unlatch": Unlatch}
STRICTNESS = {state: n for n, state in enumerate(STATES)}
LEGAL = {
    "reduce": ("active", "reducing"),
    "halt": ("active", "reducing", "halted", "killed"),
    "kill": ("active", "reducing", "halted", "killed"),
    "resume": ("reducing", "halted"),
    "unlatch": ("killed",),
}
WAY = {
    "active": (),
    "reducing": ("reduce",),
    "halted": ("halt",),
    "killed": ("kill",),
}


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(STATES, TRIGGERS)))
def test_table_over_the_cross_product(state, trigger):
    """Anyone tightens; only resume and unlatch loosen, and those by one step."""
    if state not in LEGAL[trigger]:
        with pytest.raises(InvalidTransitionError):
            TRADING_STATE.next(state, trigger)
        return
    new = TRADING_STATE.next(state, trigger)
    if trigger == "resume":
        assert new is TradingState.ACTIVE
    elif trigger == "unlatch":
        assert new is TradingState.HALTED
    else:
        assert STRICTNESS[new] >= STRICTNESS[state]


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(STATES, TRIGGERS)))
def test_commands_over_the_cross_product(world, state, trigger):
    """A legal command changes the state by an event, a repeated one is silent, any other is refused with a remedy."""
    w = world()
    for step in WAY[state]:
        w.process(COMMANDS[step]("on the way", "test"))
    assert w.risk.trading_state is state
    events = w.process(COMMANDS[trigger]("why", "anna"))
    if state not in LEGAL[trigger]:
        (rejected,) = events
        assert isinstance(rejected, CommandRejected)
        assert rejected.code in {"WRONG_STATE", "KILLED", "NOT_LATCHED"}
        assert ";" in rejected.reason
        assert w.risk.trading_state is state
        return
    new = TRADING_STATE.next(state, trigger)
    assert w.risk.trading_state is new
    if new is state:
        assert events == []
    else:
        assert events == [TradingStateChanged(state, new, "why", "anna", latched=new is TradingState.KILLED)]
        unlatched = trigger == "unlatch"
        assert w.risk.state_reason == ("unlatched: why (killed before: on the way)" if unlatched else "why")


# What passes: state x position x side x whether the order is marked reduce-only.
REDUCES = {("long", SELL), ("short", BUY)}


@pytest.mark.parametrize(
    ("state", "position", "side", "reduce_only"),
    list(itertools.product(STATES, ("long", "flat", "short"), (BUY, SELL), (False, True))),
)
def test_truth_table_of_what_passes(world, wide, state, position, side, reduce_only):
    """ACTIVE all, REDUCING and HALTED what verifiably reduces, KILLED nothing."""
    w = world(wide.__class__(**{**{f: getattr(wide, f) for f in wide.__struct_fields__}, "allow_short": True}))
    if position != "flat":
        w.hold(100 if position == "long" else -100)
    for step in WAY[state]:
        w.process(COMMANDS[step]("test", "test"))
    verdict = w.submit(side, 10, reduce_only=reduce_only)
    if state is TradingState.ACTIVE:
        assert verdict == "ok"
    elif state is TradingState.KILLED or (position, side) not in REDUCES:
        assert verdict == state.name
    else:
        assert verdict == "ok"


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_an_exit_is_verified_against_what_works_already(world, state):
    """Two sells of the whole position cannot both be exits; 101 of 100 is none."""
    w = world()
    w.hold(100)
    for step in WAY[state]:
        w.process(COMMANDS[step]("test", "test"))
    assert w.submit(SELL, 101) == state.name
    assert w.submit(SELL, 60) == "ok"
    assert w.submit(SELL, 41) == state.name
    assert w.submit(SELL, 40) == "ok"


def test_a_flip_while_halted_closes_and_opens_nothing(world, wide):
    """The exit half passes, the entry half is denied in its own row."""
    fields = {f: getattr(wide, f) for f in wide.__struct_fields__}
    w = world(wide.__class__(**{**fields, "allow_short": True}))
    w.hold(100)
    w.process(Halt("test", "test"))
    events = w.process(w.order(SELL, 150, client_order_id="f"))
    assert [(type(e).__name__, e.order.client_order_id) for e in events] == [
        ("OrderAccepted", "f"),
        ("OrderDenied", "f-open"),
    ]


@pytest.mark.parametrize("state", STATES)
def test_replaces_meet_the_state_too_and_cancels_never_do(world, state):
    """A replace of an exit passes as the exit would; a cancel passes even when killed."""
    w = world()
    w.hold(100)
    assert w.submit(BUY, 1, type=OrderType.LIMIT, limit_px=90, client_order_id="in", reduce_only=False) == "ok"
    assert w.submit(SELL, 50, type=OrderType.LIMIT, limit_px=120, client_order_id="out") == "ok"
    w.venue.cancel_all = None  # the venue keeps the orders, so that the gate has something to judge
    w.state(*(TradingStateChanged(a, state, "test", "test", latched=False) for a in STATES[:1]))
    entry = w.verdict(w.process(ReplaceOrder("in", to_fixed(2))))
    leave = w.verdict(w.process(ReplaceOrder("out", to_fixed(60))))
    assert entry == ("ok" if state is TradingState.ACTIVE else state.name)
    assert leave == ("KILLED" if state is TradingState.KILLED else "ok")
    (canceled,) = w.process(CancelOrder("in", "test"))
    assert isinstance(canceled, OrderCanceled)


def test_halt_cancels_what_adds_risk_and_leaves_exits(world):
    """Protective orders stay."""
    w = world()
    w.hold(100)
    assert w.submit(BUY, 1, client_order_id="in") == "ok"
    assert w.submit(SELL, 100, type=OrderType.STOP, stop_px=95, reduce_only=True, client_order_id="out") == "ok"
    events = w.process(Halt("test", "anna"))
    assert [type(e).__name__ for e in events] == ["TradingStateChanged", "OrderCanceled"]
    assert list(w.risk.exposure.working) == ["out"]


def test_kill_cancels_everything_closes_nothing_and_is_the_same_when_repeated(world):
    """Also when it comes from the latch."""
    for command in (Kill("test", "anna"), LatchObserved("file")):
        w = world()
        w.hold(100)
        assert w.submit(SELL, 100, type=OrderType.STOP, stop_px=95, reduce_only=True) == "ok"
        events = w.process(command)
        assert [type(e).__name__ for e in events] == ["TradingStateChanged", "OrderCanceled"]
        assert events[0].latched
        assert w.process(command) == []
        assert w.risk.exposure.books["main"].holdings[0].qty == to_fixed(100)
        assert w.submit(SELL, 100) == "KILLED"


def test_flatten_halts_cancels_and_closes_every_position_of_every_portfolio(world, wide):
    """The closing orders pass as verified exits, shorts too."""
    fields = {f: getattr(wide, f) for f in wide.__struct_fields__}
    w = world(wide.__class__(**{**fields, "allow_short": True}), portfolios=("main", "other"))
    w.hold(100)
    w.hold(-40, symbol=1, portfolio="other")
    assert w.submit(BUY, 1, symbol=2, client_order_id="in") == "ok"
    events = w.process(Flatten("enough", "anna"))
    assert [type(e).__name__ for e in events] == [
        "TradingStateChanged",
        "OrderCanceled",
        "OrderAccepted",
        "OrderAccepted",
    ]
    assert w.risk.trading_state is TradingState.HALTED
    assert [(e.order.side, e.order.qty) for e in events[2:]] == [(SELL, to_fixed(100)), (BUY, to_fixed(40))]
    again = w.process(Flatten("again", "anna"))
    assert "TradingStateChanged" not in [type(e).__name__ for e in again]


def test_flatten_while_killed_is_refused(world):
    """Killed closes nothing."""
    w = world()
    w.process(Kill("test", "anna"))
    (rejected,) = w.process(Flatten("enough", "anna"))
    assert isinstance(rejected, CommandRejected)
    assert "unlatch" in rejected.reason
