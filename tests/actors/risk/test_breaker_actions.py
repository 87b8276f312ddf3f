"""What a tripped breaker does, how it is armed again, and that nothing but that loosens what it tightened."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from actors.messages.control import (
    ClockStepped,
    Flatten,
    Halt,
    Kill,
    Reduce,
    ResetBreaker,
    Resume,
    Unlatch,
)
from actors.messages.limits import BreakerRule
from actors.messages.market import GapDetected
from actors.messages.orders import BUY, SELL, OrderType
from actors.messages.portfolio import FlattenStarted
from actors.messages.risk import BreakerReset, BreakerTripped, TradingState, TradingStateChanged
from actors.risk.breaker_rows import (
    BREAKER,
    CLOCK_SKEW,
    EXPOSURE,
    BreakerState,
    Row,
    Rows,
    latches,
)
from actors.values.fixed import to_fixed
from daemon.kernel.message import CommandRejected
from tests.actors.risk.test_watchers import trade

SECOND = 10**9
MINUTE = 60 * SECOND
ACTIONS = ("warn", "block", "reduce", "deleverage", "halt", "flatten")
STATES = {
    "warn": TradingState.ACTIVE,
    "block": TradingState.ACTIVE,
    "reduce": TradingState.REDUCING,
    "deleverage": TradingState.REDUCING,
    "halt": TradingState.HALTED,
    "flatten": TradingState.HALTED,
}
STRICTNESS = {state: n for n, state in enumerate(TradingState)}


@pytest.fixture
def clocked(world, wide):
    """Return a builder of worlds whose clock breaker has the given rule; a step of 6 s trips it."""

    def build(action="halt", reset="operator", *, portfolios=("main",), **rule):
        rules = {CLOCK_SKEW: BreakerRule(limit=5.0, action=action, reset=reset, **rule)}
        return world(msgspec.structs.replace(wide, breakers=rules), portfolios=portfolios)

    return build


def trip(w):
    """Let the clock jump."""
    return w.process(ClockStepped(6 * SECOND))


def names(events):
    """Return what kinds of events there were but for marks."""
    return [type(e).__name__ for e in events if type(e).__name__ not in ("EquityMarked", "SessionRolled")]


def rows(w):
    """Return (breaker, state) of what is not armed."""
    return [(row.breaker, row.state.value) for row in w.risk.rows]


# -- actions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_sets_its_state_and_says_what_it_measured(clocked, action):
    """Six seconds against five; a breaker that only warns has nothing to latch."""
    w = clocked(action)
    events = trip(w)
    assert events[0] == BreakerTripped(
        "",
        CLOCK_SKEW,
        6.0,
        5.0,
        0,
        0,
        action,
        latched=action != "warn",
        cause="the wall clock was set forward by 6 s",
    )
    state = STATES[action]
    assert w.risk.trading_state is state
    changes = [e for e in events if isinstance(e, TradingStateChanged)]
    if state is TradingState.ACTIVE:
        assert changes == []
    else:
        why = "clock_skew: the wall clock was set forward by 6 s, limit 5"
        assert changes == [TradingStateChanged(TradingState.ACTIVE, state, why, "breaker", latched=True)]
    assert rows(w) == [(CLOCK_SKEW, "cooling" if action == "warn" else "latched")]
    assert trip(w) == []


@pytest.mark.parametrize(
    ("action", "entry"),
    [
        ("warn", "ok"),
        ("block", "ENTRIES_BLOCKED"),
        ("reduce", "REDUCING"),
        ("deleverage", "REDUCING"),
        ("halt", "HALTED"),
        ("flatten", "HALTED"),
    ],
)
def test_entries_are_denied_and_exits_pass_whatever_the_action(clocked, action, entry):
    """What blocks says which breaker; an exit passes behind each."""
    w = clocked(action)
    w.hold(10)
    trip(w)
    assert w.submit(BUY, 1, symbol=1) == entry
    assert w.submit(SELL, 5, type=OrderType.LIMIT, limit_px=101) == ("ok" if action != "flatten" else "HALTED")


def test_a_halt_cancels_entries_a_flatten_everything_and_a_cut_asks_for_its_part(clocked):
    """Exits stay behind a halt; behind a flatten closing orders follow."""
    for action, left in (("reduce", ["in", "out"]), ("halt", ["out"]), ("flatten", [])):
        w = clocked(action)
        w.hold(100)
        assert w.submit(BUY, 1, client_order_id="in", type=OrderType.LIMIT, limit_px=99) == "ok"
        assert w.submit(SELL, 100, client_order_id="out", type=OrderType.STOP, stop_px=90, reduce_only=True) == "ok"
        trip(w)
        assert [name for name in w.risk.exposure.working if not name.startswith("flat-")] == left
        closing = [w.risk.exposure.working[x].order.qty for x in w.risk.exposure.working if x.startswith("flat-")]
        assert closing == ([to_fixed(100)] if action == "flatten" else [])
    w = clocked("deleverage", fraction=0.25)
    trip(w)
    assert [(c.portfolio, c.fraction) for c in w.books.cuts] == [("", to_fixed(0.25))]


def test_several_at_once_set_the_strictest_state_by_one_event(world, wide):
    """Week (reduce), month (halt) and exposure (deleverage) at one mark."""
    rules = {
        "weekly_loss": BreakerRule(limit=0.1, action="reduce"),
        "monthly_loss": BreakerRule(limit=0.1, action="halt"),
        EXPOSURE: BreakerRule(limit=0.5, action="deleverage", reset="cooling"),
    }
    w = world(msgspec.structs.replace(wide, breakers=rules))
    w.hold(600)
    events = w.mark(90_000, gross=60_000)
    assert names(events) == ["BreakerTripped"] * 3 + ["TradingStateChanged"]
    assert [e.breaker for e in events if isinstance(e, BreakerTripped)] == ["weekly_loss", "monthly_loss", EXPOSURE]
    assert "monthly_loss" in w.risk.state_reason
    assert w.risk.trading_state is TradingState.HALTED
    # Back to half of 90,000: 15,000 of 60,000 have to go.
    assert [c.fraction for c in w.books.cuts] == [to_fixed(0.25)]


@pytest.mark.parametrize(("state", "action"), list(itertools.product(TradingState, ACTIONS)))
def test_no_action_loosens_any_state(clocked, state, action):
    """Whatever a person has set, the state behind a trip is at least as strict, and theirs stays theirs."""
    w = clocked(action)
    way = {"reducing": Reduce, "halted": Halt, "killed": Kill}
    if state is not TradingState.ACTIVE:
        w.process(way[state.value]("by hand", "anna"))
    events = trip(w)
    after = w.risk.trading_state
    assert STRICTNESS[after] == max(STRICTNESS[state], STRICTNESS[STATES[action]])
    assert any(isinstance(e, BreakerTripped) for e in events)
    if state is TradingState.KILLED:
        assert names(events) == ["BreakerTripped"]


# -- reset by an operator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS[1:])
def test_a_latched_breaker_keeps_trading_from_being_resumed_by_its_name(clocked, action):
    """Block as well: no breaker may be latched. Reset, then resume."""
    w = clocked(action)
    trip(w)
    if STATES[action] is TradingState.ACTIVE:
        w.process(Halt("lunch", "anna"))
    (refused,) = w.process(Resume("go", "anna"))
    assert isinstance(refused, CommandRejected)
    assert refused.code == "BREAKER_LATCHED"
    assert "clock_skew" in refused.reason
    for _ in range(3):
        w.close()
        w.open()
        w.mark(100_000)
    assert rows(w) == [(CLOCK_SKEW, "latched")]
    (reset,) = w.process(ResetBreaker("", CLOCK_SKEW, "seen", "anna"))
    assert reset == BreakerReset("", CLOCK_SKEW, "seen", "anna")
    assert w.risk.trading_state is not TradingState.ACTIVE
    assert names(w.process(Resume("go", "anna"))) == ["TradingStateChanged"]
    assert w.submit(BUY, 1) == "ok"
    assert trip(w)[0].breaker == CLOCK_SKEW


def test_unlatch_arms_every_latched_breaker_and_no_cooling_one(world, wide):
    """Two are latched, one of them a portfolio's, one cools: behind the kill halted, and only the cooling one left."""
    rules = {
        CLOCK_SKEW: BreakerRule(limit=5.0),
        "weekly_loss": BreakerRule(limit=0.1),
        "reject_rate": BreakerRule(limit=0.5, window_ns=MINUTE, action="halt", reset="cooling"),
    }
    w = world(msgspec.structs.replace(wide, breakers=rules, max_order_qty=to_fixed(5)))
    trip(w)
    w.mark(90_000)
    w.submit(BUY, 6)
    w.process(Kill("enough", "anna"))
    events = w.process(Unlatch("reviewed", "bob"))
    assert [e.breaker for e in events if isinstance(e, BreakerReset)] == [CLOCK_SKEW, "weekly_loss"]
    assert w.risk.trading_state is TradingState.HALTED
    assert rows(w) == [("reject_rate", "cooling")]


@pytest.mark.parametrize(
    ("portfolio", "breaker", "subject", "code"),
    [
        ("", CLOCK_SKEW, "", None),
        ("", CLOCK_SKEW, "other", "UNKNOWN_BREAKER"),
        ("main", "slippage", "A", "BREAKER_ARMED"),
        ("main", "slippage", "nobody", "UNKNOWN_SYMBOL"),
        ("main", "daily_loss", "A", "UNKNOWN_BREAKER"),
        ("", "connectivity", "feed", "BREAKER_ARMED"),
        ("main", CLOCK_SKEW, "", "BREAKER_ARMED"),
        ("", EXPOSURE, "", "BREAKER_ARMED"),
        ("who", CLOCK_SKEW, "", "UNKNOWN_BREAKER"),
        ("", "nonsense", "", "UNKNOWN_BREAKER"),
        ("", "", "", "UNKNOWN_BREAKER"),
    ],
)
def test_a_reset_names_what_it_arms(clocked, portfolio, breaker, subject, code):
    """By portfolio, name and subject."""
    w = clocked()
    trip(w)
    (event,) = w.process(ResetBreaker(portfolio, breaker, "why", "anna", subject))
    assert (event.code if isinstance(event, CommandRejected) else None) == code


# -- reset by itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "after", "state"),
    [
        ("warn", 60, "active"),
        ("block", 60, "active"),
        ("reduce", 60, "active"),
        ("halt", 60, "active"),
        ("reduce", 59, "reducing"),
        ("halt", 59, "halted"),
    ],
)
def test_a_cooling_breaker_is_armed_with_the_first_mark_behind_its_wait(clocked, action, after, state):
    """A minute: at 59 s it waits still, at 60 s it is over; the state goes with the last breaker."""
    w = clocked(action, "cooling", cooling_ns=MINUTE)
    trip(w)
    w.clock.advance_to(w.clock.now() + after * SECOND)
    events = w.mark(100_000)
    assert w.risk.trading_state.value == state
    if after < 60:
        assert names(events) == []
        return
    assert events[1] == BreakerReset("", CLOCK_SKEW, "what tripped it is over", "breaker")
    assert rows(w) == []
    changes = [e for e in events if isinstance(e, TradingStateChanged)]
    before = STATES[action]
    assert changes == (
        []
        if before is TradingState.ACTIVE
        else [TradingStateChanged(before, TradingState.ACTIVE, "what tripped it is over", "breaker", latched=False)]
    )
    assert w.submit(BUY, 1) == "ok"


@pytest.mark.parametrize("sessions", [1, 2])
def test_sessions_are_waited_for_until_an_opening(clocked, sessions):
    """Tripped in session s with one to wait for: armed as s+1 opens."""
    w = clocked("block", "cooling", cooling_sessions=sessions)
    trip(w)
    for n in range(1, sessions + 1):
        w.mark(100_000)
        w.close()
        assert w.submit(BUY, 1) == "ENTRIES_BLOCKED"
        assert names(w.open()) == (["BreakerReset"] if n == sessions else [])
    assert w.submit(BUY, 1) == "ok"


def test_both_waits_must_be_over(clocked):
    """A session and two days: tripped a minute into a session, the opening two days later is a minute too early."""
    w = clocked("halt", "cooling", cooling_sessions=1, cooling_ns=2 * 24 * 60 * MINUTE)
    trip(w)
    for _ in range(2):
        w.close()
        assert names(w.open()) == []
        assert names(w.mark(100_000)) == []
    w.clock.advance_to(w.clock.now() + MINUTE)
    assert names(w.mark(100_000)) == ["BreakerReset", "TradingStateChanged"]


def test_the_same_again_while_it_cools_begins_the_wait_anew(world, wide):
    """A refusal at 0 s and one at 50 s: a minute's wait is over at 110 s, not at 60 s."""
    rules = {
        "reject_rate": BreakerRule(limit=0.1, window_ns=10 * MINUTE, action="block", reset="cooling", cooling_ns=MINUTE)
    }
    w = world(msgspec.structs.replace(wide, breakers=rules, max_order_qty=to_fixed(5)))
    start = w.clock.now()
    assert w.submit(BUY, 6) == "MAX_QTY"
    w.clock.advance_to(start + 50 * SECOND)
    w.submit(BUY, 6)
    w.clock.advance_to(start + 109 * SECOND)
    assert names(w.mark(100_000)) == []
    w.clock.advance_to(start + 110 * SECOND)
    assert names(w.mark(100_000)) == ["BreakerReset"]


def test_the_state_is_lifted_with_the_last_of_them(world, wide):
    """A halt that cools behind a minute and a reduce behind two: halted until both are over."""
    rules = {
        CLOCK_SKEW: BreakerRule(limit=5.0, action="reduce", reset="cooling", cooling_ns=2 * MINUTE),
        "reject_rate": BreakerRule(limit=0.5, window_ns=MINUTE, action="halt", reset="cooling", cooling_ns=MINUTE),
    }
    w = world(msgspec.structs.replace(wide, breakers=rules, max_order_qty=to_fixed(5)))
    start = w.clock.now()
    trip(w)
    w.submit(SELL, 6)  # denied while reducing
    assert w.risk.trading_state is TradingState.HALTED
    w.clock.advance_to(start + MINUTE)
    assert names(w.mark(100_000)) == ["BreakerReset"]
    assert w.risk.trading_state is TradingState.HALTED
    w.split()
    w.clock.advance_to(start + 2 * MINUTE)
    assert names(w.mark(100_000)) == ["BreakerReset", "TradingStateChanged"]
    assert w.risk.trading_state is TradingState.ACTIVE


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("action", "command"), [("reduce", Reduce), ("reduce", Halt), ("halt", Halt), ("halt", Kill)])
def test_what_a_person_has_said_stays_when_the_breaker_is_over(clocked, action, command, when):
    """Before the trip or behind it, the same or stricter: nothing is lifted without a person."""
    w = clocked(action, "cooling", cooling_ns=MINUTE)
    if when == "before":
        w.process(command("by hand", "anna"))
    trip(w)
    if when == "after":
        w.process(command("by hand", "anna"))
    state = w.risk.trading_state
    w.clock.advance_to(w.clock.now() + MINUTE)
    assert names(w.mark(100_000)) == ["BreakerReset"]
    assert w.risk.trading_state is state


@pytest.mark.parametrize("cooling_first", [True, False])
@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_what_a_person_has_armed_waits_for_resume_whatever_else_trips_and_is_over(world, wide, cooling_first, again):
    """A latched halt is looked at and armed; a streak that takes its session and goes must not resume trading."""
    rules = {
        CLOCK_SKEW: BreakerRule(limit=5.0, action="halt", reset="operator"),
        "loss_streak": BreakerRule(limit=1, action="reduce", reset="cooling", cooling_sessions=1),
    }
    w = world(msgspec.structs.replace(wide, breakers=rules))
    if cooling_first:
        w.state(trade(-1))
    w.process(ClockStepped(6 * SECOND))
    w.process(ResetBreaker("", CLOCK_SKEW, "looked at", "anna", ""))
    if not cooling_first:
        w.state(trade(-1))
    if again:
        getattr(w, again)()
    w.close()
    w.open()
    w.mark(100_000)
    assert not w.risk.rows.any
    assert w.risk.trading_state is TradingState.HALTED
    w.process(Resume("seen", "anna"))
    assert w.risk.trading_state is TradingState.ACTIVE


def test_a_person_who_arms_what_took_no_state_leaves_the_rest_to_its_rule(world, wide):
    """The streak only blocked: the clock's reducing still ends by itself."""
    rules = {
        CLOCK_SKEW: BreakerRule(limit=5.0, action="reduce", reset="cooling", cooling_ns=MINUTE),
        "loss_streak": BreakerRule(limit=1, action="block", reset="operator"),
    }
    w = world(msgspec.structs.replace(wide, breakers=rules))
    w.process(ClockStepped(6 * SECOND))
    w.state(trade(-1))
    w.process(ResetBreaker("main", "loss_streak", "looked at", "anna", ""))
    w.clock.advance_to(w.clock.now() + MINUTE)
    w.mark(100_000)
    assert w.risk.trading_state is TradingState.ACTIVE


def test_a_person_cannot_resume_over_a_state_whose_cause_goes_on(clocked):
    """A cooling breaker that set the state stands in the way; one that only blocks or warns does not."""
    for action, allowed in (("warn", True), ("block", True), ("reduce", False), ("halt", False)):
        w = clocked(action, "cooling", cooling_ns=MINUTE)
        trip(w)
        if allowed:
            w.process(Halt("lunch", "anna"))
        events = w.process(Resume("go", "anna"))
        assert isinstance(events[0], CommandRejected) is not allowed


# -- gaps ------------------------------------------------------------------------------------------------------------


def test_prices_missed_while_a_breaker_stands_are_waited_for_behind_it(clocked):
    """The breaker is over, but what is held has had no price since: reducing goes on, by the recovery."""
    w = clocked("reduce", "cooling", cooling_ns=MINUTE)
    w.hold(10)
    trip(w)
    now = w.clock.now()
    w.process(GapDetected(now, "live", now - MINUTE, now))
    w.clock.advance_to(now + MINUTE)
    events = w.mark(100_000)
    assert [e.by for e in events if isinstance(e, TradingStateChanged)] == ["recovery"]
    assert w.risk.trading_state is TradingState.REDUCING
    w.split()
    w.bar([100.0, 100.0, 100.0])
    assert names(w.mark(100_000)) == ["TradingStateChanged"]
    assert w.risk.trading_state is TradingState.ACTIVE


def test_a_breaker_that_takes_over_from_a_recovery_gives_back_to_it(clocked):
    """Reducing for a gap, halted by a breaker: behind it fresh prices are still waited for."""
    w = clocked("halt", "cooling", cooling_ns=MINUTE)
    w.hold(10)
    now = w.clock.now()
    w.process(GapDetected(now, "live", now - MINUTE, now))
    assert w.risk.trading_state is TradingState.REDUCING
    trip(w)
    assert w.risk.trading_state is TradingState.HALTED
    w.clock.advance_to(now + MINUTE)
    w.mark(100_000)
    assert w.risk.trading_state is TradingState.REDUCING
    w.bar([100.0, 100.0, 100.0])
    w.mark(100_000)
    assert w.risk.trading_state is TradingState.ACTIVE


# -- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [BreakerRule(), BreakerRule(reset="cooling"), BreakerRule(action="warn")])
def test_only_what_waits_for_an_operator_latches(rule):
    """A warning waits for nobody."""
    assert latches(rule) is (rule.reset == "operator" and rule.action != "warn")


def tripped(breaker, *, latched=False):
    """Return a trip."""
    return BreakerTripped("", breaker, 1.0, 1.0, 0, 0, "halt", latched)


def test_causes_that_last_and_causes_that_are_over_at_once():
    """Silence lasts until something is heard, and may come again while it cools; an order too many is over at once."""
    found = Rows()
    found.fold_tripped(tripped("stale_data"), 10, 1, 5)
    found.fold_tripped(tripped("order_rate"), 10, 1, 5)
    lasting, once = found.get("", "stale_data"), found.get("", "order_rate")
    assert (lasting.state, once.state) == (BreakerState.TRIPPED, BreakerState.COOLING)
    rules = {"stale_data": BreakerRule(), "order_rate": BreakerRule()}
    assert found.over(10, 1, rules) == [once]
    found.fold_cause(lasting, 20, 1, lasts=False)
    assert (lasting.state, lasting.since) == (BreakerState.COOLING, 20)
    found.fold_cause(lasting, 25, 1, lasts=False)
    assert lasting.since == 20
    found.fold_cause(lasting, 30, 1, lasts=True)
    assert lasting.state is BreakerState.TRIPPED
    found.fold_cause(lasting, 40, 2, lasts=False)
    assert (lasting.since, lasting.session) == (40, 2)


def test_a_latched_row_knows_no_cause():
    """It waits for its operator whether or not the cause goes on."""
    found = Rows()
    found.fold_tripped(tripped("stale_data", latched=True), 10, 1, 5)
    row = found.get("", "stale_data")
    for lasts in (False, True, False):
        found.fold_cause(row, 20, 1, lasts=lasts)
    assert row.state is BreakerState.LATCHED
    assert found.over(10**18, 10**6, {}) == []


@pytest.mark.parametrize("latched", [False, True])
def test_rows_survive_a_snapshot(latched):
    """Every field."""
    found, again = Rows(), Rows()
    event = BreakerTripped("main", "slippage", 0.02, 0.01, 0, 0, "block", latched, cause="it cost", subject="A")
    found.fold_tripped(event, 10, 3, 5)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(found.snapshot())))
    assert again.snapshot() == found.snapshot()
    assert again.any
    (row,) = again
    assert (row.named, row.cause) == ("slippage of main (A)", "it cost")
    assert isinstance(row, Row)
    again.fold_reset(BreakerReset("main", "slippage", "seen", "anna", "A"))
    assert not again.any


def test_every_state_has_its_way_back_to_armed():
    """Nothing is a dead end."""
    assert BREAKER.terminal() == ()


def test_a_flatten_by_a_breaker_while_one_is_under_way_cancels_nothing_that_closes(clocked):
    """A person flattens; the breaker's own flatten behind it leaves the closing orders alone."""
    w = clocked("flatten")
    w.hold(100)
    w.process(Flatten("enough", "anna"))
    from_person = list(w.risk.exposure.working)
    w.state(FlattenStarted("main", "enough"))
    trip(w)
    assert [name for name in w.risk.exposure.working if name in from_person] == from_person


# -- what cannot be computed -----------------------------------------------------------------------------------------


def test_positions_without_any_baseline_halt_as_unknown_and_no_loss_is_told(world, wide):
    """Nothing was ever put in, and something is held: trading halts for a person, no breaker trips (control C12)."""
    rules = {"weekly_loss": BreakerRule(limit=0.1)}
    limits = msgspec.structs.replace(wide, daily_loss_halt=0.05, max_drawdown=0.1, breakers=rules)
    w = world(limits, cash=0)
    assert names(w.mark(0)) == []  # nothing is held, so there is nothing to know
    w.hold(10)
    events = w.mark(-500)
    assert names(events) == ["TradingStateChanged"]
    changed = events[-1]
    assert (changed.new, changed.by) == (TradingState.HALTED, "risk")
    assert changed.reason.startswith("UNKNOWN: main holds positions")
    assert names(w.mark(-500)) == []
    assert w.submit(SELL, 10) == "ok"
    w.process(Resume("looked at it", "anna"))
    assert names(w.mark(-500)) == ["TradingStateChanged"]


@pytest.mark.parametrize(
    ("reset", "way"),
    [
        ("cooling", "it becomes active again by itself once the breaker is armed again"),
        ("operator", "an operator must resume first"),
    ],
)
def test_a_denial_says_whether_the_state_ends_by_itself(clocked, reset, way):
    """Nobody is asked to resume what a breaker that cools lifts."""
    w = clocked("reduce", reset, cooling_ns=60 * SECOND)
    w.hold(10)
    trip(w)
    denied = w.denial(BUY, 1)
    assert denied.code == "REDUCING"
    assert denied.reason.endswith(way)
