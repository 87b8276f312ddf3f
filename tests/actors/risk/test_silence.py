"""Silence and lost feeds: when they trip, what timers wait, and that a recovery waits for the same ones."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from actors.messages.control import ResetBreaker, ReviewRisk, SetLimits
from actors.messages.limits import BreakerRule
from actors.messages.market import FeedConnected, FeedLost, FeedStale, SessionOpened, TradePanel
from actors.messages.orders import BUY, SELL, OrderType
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    ConnectionChanged,
    RiskReviewed,
    TradingState,
    TradingStateChanged,
)
from actors.values.session import Session

SECOND = 10**9
MINUTE = 60 * SECOND
STALE = BreakerRule(limit=60.0, action="reduce", reset="cooling")
LOST = BreakerRule(limit=30.0, action="reduce", reset="cooling")


@pytest.fixture
def quiet(world, wide):
    """Return a builder of worlds that watch silence (60 s) and feeds (30 s), one bar of a minute known."""

    def build(*, stale=STALE, lost=LOST, **settings):
        rules = {"stale_data": stale, "connectivity": lost}
        return world(msgspec.structs.replace(wide, breakers=rules), **settings)

    return build


def trips(events):
    """Return the trips among events."""
    return [e for e in events if isinstance(e, BreakerTripped)]


def told(events):
    """Return what is said, but for timers that came."""
    return [e for e in events if not isinstance(e, RiskReviewed)]


def due(w):
    """Return when the next timer comes."""
    return w.sequencer.timers.next_due()


def tick(w, px=100.0):
    """Let one symbol print now."""
    array = np.array([px])
    return w.process(TradePanel(w.clock.now(), np.array([0], dtype=np.int32), array, array))


# -- silence -----------------------------------------------------------------------------------------------------------


def test_a_minute_bar_may_be_a_minute_older(quiet):
    """Heard at T: at T + 120 s nothing, a nanosecond later it trips; a price gives trading back."""
    w = quiet()
    heard = w.clock.now()
    assert told(w.until(heard + 2 * MINUTE)) == []
    events = w.until(heard + 2 * MINUTE + 1)
    (tripped,) = trips(events)
    assert (tripped.breaker, tripped.value, tripped.limit) == ("stale_data", 120.000000001, 60.0)
    assert tripped.cause == "no price of any symbol since 1970-01-02T14:31:00.000Z"
    assert w.risk.trading_state is TradingState.REDUCING
    assert w.mark(100_000)[1:] == []  # a mark is not a price
    w.bar([100.0] * 3)
    events = w.mark(100_000)[1:]
    assert events == [
        BreakerReset("", "stale_data", "what tripped it is over", "breaker"),
        TradingStateChanged(
            TradingState.REDUCING, TradingState.ACTIVE, "what tripped it is over", "breaker", latched=False
        ),
    ]
    again = w.clock.now()
    assert due(w) == again + 2 * MINUTE + 1
    assert len(trips(w.until(again + 2 * MINUTE + 1))) == 1


def test_a_session_that_brings_nothing_at_all_is_silent_from_its_opening_on(quiet, world, wide):
    """The first bar ends five minutes in, and a minute is let pass: no loss is told of what nobody knows."""
    w = quiet(price=None)
    w.close()
    w.day += 1
    opening = w.session.open_ts
    w.clock.advance_to(opening)
    assert isinstance(w.session, Session)
    w.process(SessionOpened(opening, w.session, (), opening + 5 * MINUTE))
    assert trips(w.until(opening + 6 * MINUTE)) == []
    (tripped,) = trips(w.until(opening + 6 * MINUTE + 1))
    assert tripped.cause == "no price of any symbol since the session opened"
    assert (tripped.equity, tripped.baseline) == (0, 0)


def test_one_timer_waits_at_a_time_and_moves_on(quiet):
    """A bar a minute for two hours: the timer has come every other minute, and nothing was said."""
    w = quiet()
    fired = 0
    for _ in range(120):
        assert len(w.sequencer.timers) == 1
        before = len(w.sink.frames)
        assert told(w.until(w.clock.now() + MINUTE)) == []
        fired += sum(type(f.envelope.body) is ReviewRisk for f in w.sink.frames[before:])
        w.bar([100.0] * 3, at=w.clock.now())
    # A minute and a nanosecond behind the opening first, which knew no bar yet, then every two minutes: 7,200 s / 120.
    assert fired == 60


def test_ticks_are_as_old_as_they_are(quiet):
    """Without bars there is nothing to wait for: a minute and a nanosecond."""
    w = quiet(price=None)
    w.clock.advance_to(w.clock.now() + 30 * SECOND)
    tick(w)
    heard = w.clock.now()
    assert trips(w.until(heard + MINUTE)) == []
    assert len(trips(w.until(heard + MINUTE + 1))) == 1


@pytest.mark.parametrize("rule", [BreakerRule(), STALE])
def test_daily_data_and_a_breaker_that_is_off_set_no_timer(world, wide, rule):
    """Nothing is stale within a session of daily bars."""
    w = world(msgspec.structs.replace(wide, breakers={"stale_data": rule}), daily=rule is STALE, price=None)
    assert due(w) is None
    w.close()
    w.open()
    assert due(w) is None


def test_between_sessions_nothing_is_silent(quiet):
    """The timer that waits still comes and finds nothing to do; the next session sets its own."""
    w = quiet()
    w.close()
    assert told(w.until(w.clock.now() + 10 * MINUTE)) == []
    assert due(w) is None
    w.open()
    assert due(w) == w.session.open_ts + 2 * MINUTE + 1


def test_a_silence_that_waits_for_an_operator_is_watched_again_behind_the_reset(quiet):
    """Latched: a price does not arm it; the reset does, and while it is silent still it trips again at once."""
    w = quiet(stale=BreakerRule(limit=60.0, action="reduce"))
    w.until(w.clock.now() + 3 * MINUTE)
    w.bar([100.0] * 3)
    w.mark(100_000)
    assert w.risk.trading_state is TradingState.REDUCING
    w.process(ResetBreaker("", "stale_data", "seen", "anna"))
    assert due(w) == w.clock.now() + 2 * MINUTE + 1
    w.until(w.clock.now() + 3 * MINUTE)
    w.process(ResetBreaker("", "stale_data", "seen", "anna"))
    assert len(trips(w.until(w.clock.now() + 1))) == 1


def test_one_that_stands_over_night_is_not_watched_in_the_next_session(quiet):
    """Latched at the close: no timer, no second trip."""
    w = quiet(stale=BreakerRule(limit=60.0, action="reduce"))
    w.until(w.clock.now() + 3 * MINUTE)
    w.close()
    w.open()
    assert due(w) is None


@pytest.mark.parametrize("cut", range(7))
def test_sessions_that_touch_have_one_timer_and_a_recovery_waits_for_it(quiet, cut):
    """Around the clock: the timer of the day that ended comes within the next one, which therefore sets no other."""
    w = quiet()

    def over_midnight():
        w.close()
        w.day += 1
        w.process(SessionOpened(w.clock.now(), w.session, (), w.clock.now() + MINUTE))

    def wait():
        assert trips(w.until(w.clock.now() + 30 * SECOND)) == []

    def bar():
        w.bar([100.0] * 3, at=w.clock.now())

    way = [wait, bar, over_midnight, wait, bar, wait, wait]
    for step in way[:cut]:
        step()
    assert len(w.sequencer.timers) == 1
    whole = w.sequencer.snapshot()
    w.refold()
    assert w.sequencer.snapshot() == whole
    for step in way[cut:]:
        step()
    assert len(w.sequencer.timers) == 1
    heard = w.clock.now() - 60 * SECOND
    assert len(trips(w.until(heard + 2 * MINUTE))) == 0
    assert len(trips(w.until(heard + 2 * MINUTE + 1))) == 1


def test_a_kill_between_a_timer_s_instant_and_the_timer_keeps_it(quiet):
    """A price came at the very nanosecond at which the timer is due: prices come first, and the timer waits still."""
    w = quiet()
    waits = due(w)
    w.clock.advance_to(waits)
    tick(w)
    whole = w.sequencer.snapshot()
    assert due(w) == waits
    w.refold()
    assert w.sequencer.snapshot() == whole


@pytest.mark.parametrize("cut", range(9))
def test_wherever_it_is_cut_a_recovery_waits_for_the_same_timers(quiet, cut):
    """By a snapshot or from nothing: the same state, the same timers, the same trip."""
    w = quiet()

    def bar():
        w.until(w.clock.now() + MINUTE)
        w.bar([100.0] * 3, at=w.clock.now())

    way = [
        bar,
        lambda: w.until(w.clock.now() + 30 * SECOND),
        bar,
        lambda: w.process(FeedLost(w.clock.now(), "live", "cut")),
        lambda: w.until(w.clock.now() + 3 * MINUTE),
        bar,
        lambda: w.mark(100_000),
        lambda: w.process(FeedConnected(w.clock.now(), "live")),
        lambda: w.until(w.clock.now() + MINUTE),
    ]
    for step in way[:cut]:
        step()
    whole = w.sequencer.snapshot()
    w.split()
    w.sequencer.rearm()
    assert w.sequencer.snapshot() == whole
    w.refold()
    assert w.sequencer.snapshot() == whole
    for step in way[cut:]:
        step()
    tripped = [e.breaker for f in w.sink.frames for e in f.events if isinstance(e, BreakerTripped)]
    assert tripped == ["connectivity", "stale_data"]


# -- feeds -------------------------------------------------------------------------------------------------------------


def test_a_feed_that_is_away_too_long_cancels_entries_and_leaves_exits(quiet):
    """30 s exactly is let pass; a nanosecond later entries go, stops stay, and nothing is entered."""
    w = quiet(stale=BreakerRule())
    w.hold(100)
    assert w.submit(BUY, 1, client_order_id="in", type=OrderType.LIMIT, limit_px=99) == "ok"
    assert w.submit(SELL, 100, client_order_id="out", type=OrderType.STOP, stop_px=90, reduce_only=True) == "ok"
    lost = w.clock.now()
    (changed,) = w.process(FeedLost(lost, "live", "cut"))
    assert changed == ConnectionChanged("live", lost=True, since=lost, reason="cut")
    assert w.process(FeedLost(lost, "live", "again")) == []
    assert told(w.until(lost + 30 * SECOND)) == []
    events = w.until(lost + 30 * SECOND + 1)
    (tripped,) = trips(events)
    assert (tripped.subject, tripped.value, tripped.action) == ("live", 30.000000001, "reduce")
    assert list(w.risk.exposure.working) == ["out"]
    assert w.submit(BUY, 1) == "REDUCING"
    events = w.process(FeedConnected(w.clock.now(), "live"))
    assert [type(e).__name__ for e in events] == ["ConnectionChanged", "BreakerReset", "TradingStateChanged"]
    assert w.risk.trading_state is TradingState.ACTIVE


def test_a_feed_that_comes_back_in_time_trips_nothing_and_its_timer_finds_nothing(quiet):
    """Lost, back, lost again: the second loss counts from its own instant."""
    w = quiet(stale=BreakerRule())
    start = w.clock.now()
    w.process(FeedLost(start, "live", "cut"))
    w.clock.advance_to(start + 20 * SECOND)
    w.process(FeedConnected(w.clock.now(), "live"))
    w.clock.advance_to(start + 25 * SECOND)
    w.process(FeedLost(w.clock.now(), "live", "cut"))
    assert trips(w.until(start + 55 * SECOND)) == []
    assert len(trips(w.until(start + 55 * SECOND + 1))) == 1


def test_a_feed_that_is_silent_as_a_whole_is_lost_since_then_and_one_symbol_is_none(quiet):
    """FeedStale with its age; of a single symbol it says nothing about the feed; nonsense ages are none."""
    w = quiet(stale=BreakerRule())
    now = w.clock.now()
    assert w.process(FeedStale(now, "live", 1, 10_000)) == []
    (changed,) = w.process(FeedStale(now, "live", -1, 10_000))
    assert (changed.since, changed.reason) == (now - 10 * SECOND, "silent")
    assert len(trips(w.until(now + 20 * SECOND + 1))) == 1
    for age, since in ((-5, now), (10**15, 0)):
        v = quiet(stale=BreakerRule())
        (changed,) = v.process(FeedStale(v.clock.now(), "live", -1, age))
        assert changed.since == (v.clock.now() if since else 0)


def test_a_feed_lost_over_night_is_measured_from_the_opening(quiet):
    """A line that is cut every night trips nothing as long as it is back 30 s into the session."""
    w = quiet(stale=BreakerRule())
    w.close()
    lost = w.clock.now()
    w.process(FeedLost(lost, "live", "maintenance"))
    assert trips(w.until(lost + 10 * MINUTE)) == []
    w.open()
    opening = w.clock.now()
    assert trips(w.until(opening + 30 * SECOND)) == []
    assert len(trips(w.until(opening + 30 * SECOND + 1))) == 1


def test_two_feeds_have_a_breaker_each(quiet):
    """One is back: the other keeps trading reduced."""
    w = quiet(stale=BreakerRule())
    now = w.clock.now()
    for feed in ("a", "b"):
        w.process(FeedLost(now, feed, "cut"))
    assert [t.subject for t in trips(w.until(now + 31 * SECOND))] == ["a", "b"]
    w.process(FeedConnected(w.clock.now(), "a"))
    assert w.risk.trading_state is TradingState.REDUCING
    w.process(FeedConnected(w.clock.now(), "b"))
    assert w.risk.trading_state is TradingState.ACTIVE


def test_off_means_off_but_what_is_known_of_a_feed_is_kept(quiet):
    """No timer, no trip; the fact stands."""
    w = quiet(stale=BreakerRule(), lost=BreakerRule())
    assert len(w.process(FeedLost(w.clock.now(), "live", "cut"))) == 1
    assert due(w) is None


# -- limits that change ------------------------------------------------------------------------------------------------


def rule_of(w, **rules):
    """Take over other rules at once, as a reload or a limit set by hand does."""
    breakers = {**w.risk.limits.breakers, **rules}
    return w.process(SetLimits(msgspec.structs.replace(w.risk.limits, breakers=breakers), (), "changed", "anna"))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("before", "at", "trips_at"),
    [
        (3600.0, 10, 120 * SECOND + 1),  # heard at 0; a bar's minute and the new one
        (3600.0, 300, 300 * SECOND + 1),  # it has lasted too long already
        (0.0, 10, 130 * SECOND + 1),  # nobody has listened before
        (60.0, 10, 120 * SECOND + 1),  # as it was
    ],
)
def test_a_limit_of_silence_that_is_set_within_a_session_holds_from_then_on(quiet, before, at, trips_at, cut):
    """Lowered, switched on or the same: it does not wait for the timer of the old one, or for the next session."""
    w = quiet(stale=BreakerRule(limit=before, action="reduce", reset="cooling"))
    heard = w.clock.now()
    w.until(heard + at * SECOND)
    rule_of(w, stale_data=STALE)
    if cut:
        w.split()
    assert trips(w.until(heard + trips_at - 1)) == []
    assert [e.breaker for e in trips(w.until(heard + trips_at))] == ["stale_data"]
    assert trips(w.until(heard + 4000 * SECOND)) == []


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("before", "at", "trips_at"),
    [(3600.0, 10, 30 * SECOND + 1), (3600.0, 100, 100 * SECOND + 1), (0.0, 10, 30 * SECOND + 1)],
)
def test_a_limit_of_feeds_that_is_set_while_one_is_lost_holds_for_it(quiet, before, at, trips_at, cut):
    """Lowered or switched on: the feed is away since it was lost."""
    w = quiet(lost=BreakerRule(limit=before, action="reduce", reset="cooling"), stale=BreakerRule())
    gone = w.clock.now()
    w.process(FeedLost(gone, "alpaca", "closed"))
    w.until(gone + at * SECOND)
    rule_of(w, connectivity=LOST)
    if cut:
        w.split()
    assert trips(w.until(gone + trips_at - 1)) == []
    assert [(e.breaker, e.subject) for e in trips(w.until(gone + trips_at))] == [("connectivity", "alpaca")]
    assert trips(w.until(gone + 4000 * SECOND)) == []


def test_limits_that_change_while_nobody_trades_or_a_breaker_stands_set_no_timer(quiet):
    """Between sessions, and behind a trip; where the rule is switched off, too."""
    w = quiet()
    heard = w.clock.now()
    w.until(heard + 2 * MINUTE + 1)
    rule_of(w, stale_data=BreakerRule(limit=30.0, action="reduce", reset="cooling"))
    assert trips(w.until(heard + 600 * SECOND)) == []
    w = quiet()
    w.until(w.clock.now() + 10 * SECOND)
    rule_of(w, stale_data=BreakerRule())
    assert trips(w.until(w.clock.now() + 600 * SECOND)) == []
    w = quiet()
    w.close()
    w.until(w.clock.now() + 600 * SECOND)
    rule_of(w, stale_data=BreakerRule(limit=30.0, action="reduce", reset="cooling"))
    assert trips(w.until(w.clock.now() + 3600 * SECOND)) == []
