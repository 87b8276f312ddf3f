"""Loss breakers: levels, baselines, the replay's reset rules and an operator's."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from actors.messages.control import Halt, Kill, ResetBreaker, Resume, Unlatch
from actors.messages.orders import BUY, SELL
from actors.messages.portfolio import DepositCash
from actors.messages.risk import BreakerReset, BreakerTripped, LimitBreached, TradingState, TradingStateChanged
from actors.risk.breakers import BREAKER, BreakerState
from actors.values.fixed import to_fixed
from daemon.kernel.message import CommandRejected
from daemon.kernel.state_machine import InvalidTransitionError

LOSSES = {"daily_loss_warn": 0.018, "daily_loss_block": 0.02, "daily_loss_halt": 0.05}
ROWS = {
    ("armed", "trip"): "tripped",
    ("armed", "latch"): "latched",
    ("tripped", "close"): "cooling",
    ("tripped", "reset"): "armed",
    ("cooling", "again"): "tripped",
    ("cooling", "reset"): "armed",
    ("latched", "reset"): "armed",
}


@pytest.fixture
def guarded(world, wide):
    """Return a builder of worlds with breakers only."""

    def build(*, portfolios=("main",), **changes):
        return world(msgspec.structs.replace(wide, **changes), portfolios=portfolios)

    return build


def kinds(events):
    """Return what risk said."""
    return [
        e.action
        if isinstance(e, LimitBreached)
        else e.breaker
        if isinstance(e, BreakerTripped)
        else e.new.value
        if isinstance(e, TradingStateChanged)
        else type(e).__name__
        for e in events
        if type(e).__name__ not in ("EquityMarked", "SessionRolled", "OrderCanceled")
    ]


@pytest.mark.parametrize(
    ("state", "trigger"), list(itertools.product(BreakerState, ("trip", "latch", "close", "again", "reset")))
)
def test_breaker_table_over_the_cross_product(state, trigger):
    """What is not in the table is refused."""
    if (state, trigger) in ROWS:
        assert BREAKER.next(state, trigger) == ROWS[state, trigger]
    else:
        with pytest.raises(InvalidTransitionError):
            BREAKER.next(state, trigger)


@pytest.mark.parametrize(
    ("equity", "said"),
    [
        (98_200.00000001, []),
        (98_200, ["warn"]),
        (98_000.00000001, ["warn"]),
        (98_000, ["block_entries"]),
        (95_000.00000001, ["block_entries"]),
        (95_000, ["daily_loss", "halted"]),
        (1, ["daily_loss", "halted"]),
        (-5, ["daily_loss", "halted"]),
    ],
)
def test_day_loss_levels_at_under_and_over(guarded, equity, said):
    """The level itself counts; only the strictest word is said."""
    w = guarded(**LOSSES)
    assert kinds(w.mark(equity)) == said


def test_each_level_is_said_once_a_session_with_its_numbers(guarded):
    """Falling, recovering and falling again repeats nothing."""
    w = guarded(**LOSSES)
    events = w.mark(98_100)
    assert events[1] == LimitBreached("main", "daily_loss", 0.019, 0.018, "warn")
    assert kinds(w.mark(98_100)) == []
    assert kinds(w.mark(99_000)) == []
    assert kinds(w.mark(98_100)) == []
    assert kinds(w.mark(97_900)) == ["block_entries"]
    assert kinds(w.mark(97_000)) == []
    (_, tripped, changed) = w.mark(94_000)
    base = to_fixed(100_000)
    assert tripped == BreakerTripped("main", "daily_loss", 0.06, 0.05, to_fixed(94_000), base, "halt", latched=False)
    assert changed.reason == "daily_loss of main: 6.00% lost, limit 5.00%"
    assert kinds(w.mark(90_000)) == []


def test_blocked_entries_leave_exits_alone(guarded):
    """And only in the portfolio that lost."""
    w = guarded(portfolios=("main", "other"), **LOSSES)
    w.hold(10)
    w.mark(97_000)
    assert w.submit(BUY, 1) == "ENTRIES_BLOCKED"
    assert w.submit(SELL, 10) == "ok"
    assert w.submit(BUY, 1, portfolio="other") == "ok"


def test_the_baseline_is_the_last_close_net_of_flows(guarded):
    """A withdrawal is no loss, a deposit no gain."""
    w = guarded(**LOSSES, max_drawdown=0.2)
    w.mark(110_000)
    w.close()
    w.open()
    guard = w.risk.guards["main"]
    assert (guard.day_base, guard.base_session) == (to_fixed(110_000), 20200102)
    w.process(DepositCash("main", to_fixed(-55_000), "rent"))
    assert kinds(w.mark(55_000)) == []
    assert kinds(w.mark(53_900)) == ["block_entries"]
    assert guard.mark == to_fixed(55_000)


@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_money_that_comes_in_is_watched_at_once(guarded, again):
    """100,000 beside 100,000: a loss of 10,000 is a twentieth, however far above yesterday's level that lies."""
    w = guarded(**LOSSES)
    w.process(DepositCash("main", to_fixed(100_000), "more"))
    if again:
        getattr(w, again)()
    (tripped,) = [e for e in w.mark(190_000) if isinstance(e, BreakerTripped)]
    assert (tripped.breaker, tripped.value, tripped.baseline) == ("daily_loss", 0.05, to_fixed(200_000))


@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_a_day_loss_that_is_armed_again_begins_at_the_equity_of_that_moment(guarded, again):
    """5 % of 100,000 are lost at 95,000, of 95,000 at 90,250; 1.05 % in between is not even a warning."""
    w = guarded(replay=False, **LOSSES)
    assert "BreakerTripped" in [type(e).__name__ for e in w.mark(95_000)]
    w.process(ResetBreaker("main", "daily_loss", "seen", "anna"))
    w.process(Resume("go on", "anna"))
    if again:
        getattr(w, again)()
    assert w.mark(94_000)[1:] == []
    assert w.submit(BUY, 1) == "ok"
    (tripped,) = [e for e in w.mark(90_250) if isinstance(e, BreakerTripped)]
    assert (tripped.breaker, tripped.value, tripped.baseline) == ("daily_loss", 0.05, to_fixed(95_000))


def test_missing_equity_never_trips(guarded):
    """Nothing deposited, nothing known: cannot compute is not a loss."""
    w = guarded(**LOSSES, max_drawdown=0.2, portfolios=("main",))
    w.process(DepositCash("main", to_fixed(-100_000), "all of it"))
    assert kinds(w.mark(0)) == []
    assert kinds(w.mark(-10)) == []


def test_replay_clears_the_day_loss_with_the_next_session(guarded):
    """Orders decided after the close are still blocked, as they follow the same day's loss."""
    w = guarded(**LOSSES)
    w.mark(94_000)
    assert w.risk.guards["main"].daily is BreakerState.TRIPPED
    w.close()
    assert w.risk.guards["main"].daily is BreakerState.COOLING
    assert w.submit(BUY, 1) == "HALTED"
    events = w.open()
    assert events == [
        BreakerReset("main", "daily_loss", "a new session began", "replay rule"),
        TradingStateChanged(
            TradingState.HALTED, TradingState.ACTIVE, "a new session began", "replay rule", latched=False
        ),
    ]
    assert w.submit(BUY, 1) == "ok"
    assert kinds(w.mark(94_000)) == []
    assert kinds(w.mark(92_000)) == ["block_entries"]


def test_replay_clears_a_mere_block_without_touching_the_state(guarded):
    """The warning may be given again as well."""
    w = guarded(**LOSSES)
    w.mark(98_000)
    w.close()
    assert [type(e).__name__ for e in w.open()] == ["BreakerReset"]
    assert w.submit(BUY, 1) == "ok"
    assert kinds(w.mark(96_236)) == ["warn"]
    w.close()
    assert w.open() == []
    assert kinds(w.mark(94_500)) == ["warn"]


def test_replays_rule_never_lifts_what_a_person_ordered(guarded):
    """Halted by hand before, during or after the breaker: it stays."""
    for order in ("before", "after"):
        w = guarded(**LOSSES)
        if order == "before":
            w.process(Halt("lunch", "anna"))
        w.mark(94_000)
        if order == "after":
            (changed,) = w.process(Halt("lunch", "anna"))
            assert (changed.old, changed.new, changed.by) == ("halted", "halted", "anna")
        w.close()
        assert kinds(w.open()) == ["BreakerReset"]
        assert w.risk.trading_state is TradingState.HALTED
        assert kinds(w.process(Resume("back", "anna"))) == ["active"]


@pytest.mark.parametrize(
    ("equity", "said"), [(80_000.00000001, []), (80_000, ["drawdown", "halted"]), (70_000, ["drawdown", "halted"])]
)
def test_drawdown_level_at_under_and_over(guarded, equity, said):
    """From the high-water mark of session closes."""
    w = guarded(max_drawdown=0.2)
    assert kinds(w.mark(equity)) == said


def test_the_mark_is_the_highest_close_not_the_highest_tick(guarded):
    """An intraday peak leaves no mark."""
    w = guarded(max_drawdown=0.2)
    w.mark(130_000)
    w.mark(120_000)
    w.close()
    assert w.risk.guards["main"].mark == to_fixed(120_000)
    w.open()
    assert kinds(w.mark(96_000.01)) == []
    assert kinds(w.mark(96_000)) == ["drawdown", "halted"]


def test_a_drawdown_in_replay_stays_latched_and_says_so(guarded):
    """No number of sessions lifts it; resume is refused naming it; reset and resume do."""
    w = guarded(max_drawdown=0.2)
    events = w.mark(79_000)
    assert events[1].latched
    assert events[2].latched
    for _ in range(3):
        w.close()
        assert w.open() == []
    (rejected,) = w.process(Resume("please", "anna"))
    assert isinstance(rejected, CommandRejected)
    assert rejected.code == "BREAKER_LATCHED"
    assert "drawdown of main" in rejected.reason
    (reset,) = w.process(ResetBreaker("main", "drawdown", "reviewed", "anna"))
    assert reset == BreakerReset("main", "drawdown", "reviewed", "anna")
    assert kinds(w.process(Resume("please", "anna"))) == ["active"]
    assert w.risk.guards["main"].mark == to_fixed(79_000)
    assert kinds(w.mark(70_000)) == []
    assert kinds(w.mark(63_200)) == ["drawdown", "halted"]


@pytest.mark.parametrize("sessions", [1, 3])
def test_replay_resumes_after_full_sessions_and_restarts_the_mark(guarded, sessions):
    """The session of the trip does not count."""
    w = guarded(max_drawdown=0.2, replay_resume_sessions=sessions)
    w.mark(79_000)
    assert w.risk.guards["main"].drawdown is BreakerState.TRIPPED
    assert kinds(w.close()) == []
    assert w.risk.guards["main"].drawdown is BreakerState.COOLING
    for n in range(1, sessions + 1):
        w.open()
        w.mark(78_000)
        assert w.submit(BUY, 1) == "HALTED"
        said = kinds(w.close())
        assert said == (["BreakerReset", "active"] if n == sessions else [])
    assert w.submit(BUY, 1) == "ok"
    assert w.risk.guards["main"].mark == to_fixed(78_000)
    w.open()
    assert kinds(w.mark(62_400)) == ["drawdown", "halted"]


def test_two_breakers_must_both_be_armed_before_replay_goes_on(guarded):
    """A day loss and a drawdown at one mark: the day is cleared, the drawdown goes on."""
    w = guarded(**LOSSES, max_drawdown=0.05, replay_resume_sessions=1)
    assert kinds(w.mark(94_000)) == ["daily_loss", "drawdown", "halted"]
    w.close()
    assert kinds(w.open()) == ["BreakerReset"]
    assert w.submit(BUY, 1) == "HALTED"
    assert kinds(w.close()) == ["BreakerReset", "active"]


def test_one_portfolios_breaker_halts_all_and_names_its_own(guarded):
    """The state is global in this house."""
    w = guarded(portfolios=("main", "other"), max_drawdown=0.2)
    events = w.mark(79_000, "other")
    assert events[1].portfolio == "other"
    assert "other" in events[2].reason
    assert w.submit(BUY, 1) == "HALTED"


def test_live_everything_waits_for_an_operator(guarded):
    """Neither the next session nor any number of them resets a tripped breaker or a block."""
    w = guarded(**LOSSES, max_drawdown=0.2, replay=False, replay_resume_sessions=1)
    w.mark(97_000)
    w.close()
    assert w.open() == []
    assert w.submit(BUY, 1) == "ENTRIES_BLOCKED"
    assert kinds(w.process(ResetBreaker("main", "daily_loss", "seen", "anna"))) == ["BreakerReset"]
    assert w.submit(BUY, 1) == "ok"
    events = w.mark(79_000)
    assert kinds(events) == ["daily_loss", "drawdown", "halted"]
    assert all(e.latched for e in events[1:4])
    for _ in range(3):
        w.close()
        assert w.open() == []
    assert w.risk.trading_state is TradingState.HALTED


def test_unlatch_leads_from_killed_to_halted_and_arms_latched_breakers(guarded):
    """Resume is still a step of its own."""
    w = guarded(**LOSSES, max_drawdown=0.2, replay=False)
    w.mark(70_000)
    w.process(Kill("enough", "anna"))
    assert kinds(w.process(Unlatch("reviewed", "bob"))) == ["BreakerReset", "BreakerReset", "halted"]
    assert w.submit(BUY, 1) == "HALTED"
    assert kinds(w.process(Resume("go", "bob"))) == ["active"]
    assert w.submit(BUY, 1) == "ok"


def test_unlatch_while_halted_arms_breakers_and_leaves_the_state_to_resume(guarded):
    """A latched day loss without a kill: one word arms it, another one lets trading go on."""
    w = guarded(**LOSSES, replay=False)
    w.mark(94_000)
    assert kinds(w.process(Unlatch("reviewed", "bob"))) == ["BreakerReset"]
    assert w.risk.trading_state is TradingState.HALTED
    assert kinds(w.process(Resume("go on", "bob"))) == ["active"]


def test_money_taken_out_leaves_no_day_to_lose_and_a_drawdown_to_watch(guarded):
    """A day's gain stays in, the whole base goes out: a loss of nothing is no day loss, the drawdown still counts."""
    w = guarded(daily_loss_halt=0.45, max_drawdown=0.5)
    w.mark(60_000)
    w.close()
    w.open()
    w.mark(90_000)
    w.process(DepositCash("main", to_fixed(-60_000), "rent"))
    assert kinds(w.mark(20_001)) == []
    (tripped,) = [e for e in w.mark(20_000) if isinstance(e, BreakerTripped)]
    assert (tripped.breaker, tripped.value, tripped.baseline) == ("drawdown", 0.5, to_fixed(40_000))


def test_a_breaker_trips_while_killed_without_loosening(guarded):
    """The fact is recorded, the state stays."""
    w = guarded(max_drawdown=0.2)
    w.process(Kill("enough", "anna"))
    assert kinds(w.mark(70_000)) == ["drawdown"]
    assert w.risk.trading_state is TradingState.KILLED


@pytest.mark.parametrize(
    ("portfolio", "breaker", "code"),
    [
        ("main", "nonsense", "UNKNOWN_BREAKER"),
        ("who", "drawdown", "UNKNOWN_BREAKER"),
        ("main", "drawdown", "BREAKER_ARMED"),
    ],
)
def test_a_reset_of_nothing_is_refused(guarded, portfolio, breaker, code):
    """By name, with what there is."""
    w = guarded(max_drawdown=0.2)
    (rejected,) = w.process(ResetBreaker(portfolio, breaker, "why", "anna"))
    assert isinstance(rejected, CommandRejected)
    assert rejected.code == code
