"""Losses of a week and a month: what they are measured against, and that nothing but the calendar moves it."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.control import ResetBreaker
from actors.messages.limits import BreakerRule, PortfolioLimits
from actors.messages.portfolio import CashFlowed, DepositCash, EquityMarked, SessionRolled
from actors.messages.risk import BreakerReset, BreakerTripped, TradingState
from actors.risk.baselines import Period, month_of, week_of
from actors.risk.breaker_rows import MONTHLY_LOSS, WEEKLY_LOSS
from actors.risk.breakers import Guard
from actors.risk.params import RiskLimits
from actors.values.fixed import to_fixed

DAYS = (20200103, 20200106, 20200110, 20200113, 20200131, 20200203)
"""A Friday, the Monday behind it, Friday, Monday, the month's last Friday, Monday of the next month."""


@pytest.fixture
def guard(wide):
    """Return a builder of a guard with 100,000 deposited."""

    def build(**breakers):
        rules = {name: BreakerRule(limit=limit) for name, limit in breakers.items()}
        made = Guard("main", msgspec.structs.replace(wide, breakers=rules))
        made.fold_flow(CashFlowed("main", to_fixed(100_000), "opening", to_fixed(100_000), ()))
        return made

    return build


def close(guard, day, equity):
    """End the session of a day."""
    guard.fold_rolled(SessionRolled("main", day, to_fixed(equity), 0, 0, 0, 0, 0, 0.0))


def mark(guard, equity):
    """Return what an equity calls for."""
    fixed = to_fixed(equity)
    guard.fold_mark(EquityMarked("main", fixed, fixed, 0, 0))
    return guard.breaches() if fixed <= guard.floor else []


@pytest.mark.parametrize(
    ("day", "week", "month"),
    [
        (20200103, 202001, 202001),
        (20191231, 202001, 201912),  # a Tuesday: the first week of 2020 began the day before
        (20210103, 202053, 202101),  # a Sunday: the last of a year of 53 weeks
        (20200308, 202010, 202003),  # clocks are set forward in New York
        (0, 0, 0),
    ],
)
def test_periods_are_those_of_exchange_dates(day, week, month):
    """ISO weeks and calendar months."""
    assert (week_of(day), month_of(day)) == (week, month)


def test_the_week_is_measured_from_the_last_close_of_the_week_before(guard):
    """Friday closes at 110,000: 10 % of it lost on Wednesday is 99,000, whatever Monday and Tuesday closed at."""
    g = guard(weekly_loss=0.1)
    g.fold_opened(20200103)
    close(g, 20200103, 110_000)
    for day, equity in ((20200106, 120_000), (20200107, 105_000)):
        g.fold_opened(day)
        close(g, day, equity)
    g.fold_opened(20200108)
    assert mark(g, 99_000.00000001) == []
    (tripped,) = mark(g, 99_000)
    assert tripped == BreakerTripped(
        "main", WEEKLY_LOSS, 0.1, 0.1, to_fixed(99_000), to_fixed(110_000), "halt", latched=True
    )
    assert len(mark(g, 98_999.99999999)) == 1


def test_the_month_is_measured_from_the_last_close_of_the_month_before_across_weeks(guard):
    """January closes at 90,000; 20 % of it is 72,000. The year's turn is a month's turn like any other."""
    g = guard(monthly_loss=0.2)
    g.fold_opened(20200131)
    close(g, 20200131, 90_000)
    for day, equity in ((20200203, 95_000), (20200210, 85_000), (20200218, 80_000)):
        g.fold_opened(day)
        close(g, day, equity)
    g.fold_opened(20200228)
    assert mark(g, 72_000.00000001) == []
    assert [x.breaker for x in mark(g, 72_000)] == [MONTHLY_LOSS]
    close(g, 20201231, 60_000)
    g.fold_opened(20210104)
    assert mark(g, 48_000.01) == []


def test_missed_sessions_move_nothing(guard):
    """Three weeks without a session: the last close known is the one before this week."""
    g = guard(weekly_loss=0.1)
    close(g, 20200103, 100_000)
    g.fold_opened(20200127)
    assert g.periods[0].base == to_fixed(100_000)
    assert [x.breaker for x in mark(g, 90_000)] == [WEEKLY_LOSS]


def test_within_a_week_no_session_begins_it_anew(guard):
    """Monday's loss counts on Friday, and the opening deposit is the baseline before the first close."""
    g = guard(weekly_loss=0.1)
    g.fold_opened(20200106)
    assert mark(g, 90_000.01) == []
    close(g, 20200106, 95_000)
    g.fold_opened(20200110)
    assert [x.breaker for x in mark(g, 90_000)] == [WEEKLY_LOSS]


def test_flows_are_neither_loss_nor_gain(guard):
    """60,000 of 110,000 are taken out: the base is 50,000, and 45,000 is a tenth below it."""
    g = guard(weekly_loss=0.1, monthly_loss=0.1)
    close(g, 20200131, 110_000)
    g.fold_opened(20200203)
    g.fold_flow(CashFlowed("main", to_fixed(-60_000), "rent", 0, ()))
    assert mark(g, 45_000.01) == []
    assert [x.breaker for x in mark(g, 45_000)] == [WEEKLY_LOSS, MONTHLY_LOSS]


def test_a_day_loss_that_was_reset_leaves_the_weeks_baseline(guard):
    """The day begins anew at 94,000; the next week still begins at the close of 94,000, this one at 100,000."""
    g = guard(weekly_loss=0.1)
    close(g, 20200103, 100_000)
    g.fold_opened(20200106)
    mark(g, 94_000)
    g.fold_reset(BreakerReset("main", "daily_loss", "seen", "anna"))
    g.fold_opened(20200107)
    assert g.periods[0].base == to_fixed(100_000)
    assert [x.breaker for x in mark(g, 90_000)] == [WEEKLY_LOSS]


def test_a_reset_measures_the_next_loss(guard):
    """Tripped at 90,000 and reset there: the next tenth is lost at 81,000."""
    g = guard(weekly_loss=0.1)
    close(g, 20200103, 100_000)
    g.fold_opened(20200106)
    (tripped,) = mark(g, 90_000)
    g.fold_tripped(tripped, 1)
    assert mark(g, 80_000) == []
    mark(g, 90_000)
    g.fold_reset(BreakerReset("main", WEEKLY_LOSS, "seen", "anna"))
    assert mark(g, 81_000.01) == []
    assert [x.breaker for x in mark(g, 81_000)] == [WEEKLY_LOSS]


@pytest.mark.parametrize("equity", [0, -5])
def test_without_a_baseline_nothing_trips(guard, equity):
    """All was taken out before the week: what cannot be computed is no loss."""
    g = guard(weekly_loss=0.1, monthly_loss=0.1)
    g.fold_flow(CashFlowed("main", to_fixed(-100_000), "all of it", 0, ()))
    g.fold_opened(20200106)
    assert mark(g, equity) == []


def test_a_snapshot_keeps_baselines_and_states(guard):
    """Restored in the middle of a week, it trips where it would have tripped."""
    g = guard(weekly_loss=0.1, monthly_loss=0.3)
    close(g, 20200103, 110_000)
    g.fold_opened(20200106)
    again = guard(weekly_loss=0.1, monthly_loss=0.3)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(g.snapshot())))
    assert again.snapshot() == g.snapshot()
    assert again.floor == g.floor == to_fixed(99_000)


def test_what_an_older_version_kept_beside_it_is_read_over(guard):
    """The session of the last daily trip, which nothing ever asked for, keeps its place and no value."""
    g = guard(weekly_loss=0.1)
    close(g, 20200108, 110_000)
    state = g.snapshot()
    assert state[8] == 0
    old = guard(weekly_loss=0.1)
    old.restore([*state[:8], 20200108, *state[9:]])
    assert old.snapshot() == state


def test_a_snapshot_of_an_older_version_knows_no_week_until_the_next(guard):
    """Without a baseline nothing trips, and a flow makes none; the next week has the last close."""
    g = guard(weekly_loss=0.1)
    close(g, 20200108, 110_000)
    old = guard(weekly_loss=0.1)
    old.restore(g.snapshot()[:11])
    old.fold_flow(CashFlowed("main", to_fixed(10_000), "in", 0, ()))
    old.fold_opened(20200109)
    assert mark(old, 50_000) == []
    old.fold_opened(20200113)
    assert old.periods[0].base == to_fixed(120_000)
    assert [x.breaker for x in mark(old, 108_000)] == [WEEKLY_LOSS]


def test_a_period_says_what_is_lost_only_where_it_can(wide):
    """Off, unknown, and at the limit."""
    period = Period(WEEKLY_LOSS)
    period.start(to_fixed(100))
    assert not period.lasts(0)  # off
    period.adopt(msgspec.structs.replace(wide, breakers={WEEKLY_LOSS: BreakerRule(limit=0.5)}))
    assert period.lasts(to_fixed(50))
    assert not period.lasts(to_fixed(50.00000001))
    period.restore([0, False, True])
    assert not period.lasts(0)


# -- in a world ----------------------------------------------------------------------------------------------------


def test_weekly_and_monthly_baselines_survive_restore_refold_and_every_midnight(world, wide):
    """Forty sessions, cut each night by a restore: the baselines are those of a run that was never cut."""
    rules = {WEEKLY_LOSS: BreakerRule(limit=0.1), MONTHLY_LOSS: BreakerRule(limit=0.2)}
    limits = msgspec.structs.replace(wide, breakers=rules)
    whole, cut = world(limits), world(limits)
    for n in range(40):
        for w in (whole, cut):
            w.mark(100_000 + 100 * n)
            w.close()
        cut.split()
        for w in (whole, cut):
            w.open()
    seen = [[period.base for period in w.risk.guards["main"].periods] for w in (whole, cut)]
    # Session 41 is Tuesday 11 February 2020: the last close before Monday the 10th was that of Sunday the 9th, the
    # 39th (n = 38), and the last of January, the 31st of the month, the 30th (n = 29). These sessions know no weekend.
    assert seen == [[to_fixed(103_800), to_fixed(102_900)]] * 2
    cut.refold()
    assert [period.base for period in cut.risk.guards["main"].periods] == seen[0]


def test_a_weekly_loss_halts_latches_and_is_reset_by_an_operator(world, wide):
    """With its rule's defaults; resume names it until then."""
    w = world(msgspec.structs.replace(wide, breakers={WEEKLY_LOSS: BreakerRule(limit=0.1)}))
    events = w.mark(90_000)
    assert [type(e).__name__ for e in events] == ["EquityMarked", "BreakerTripped", "TradingStateChanged"]
    assert events[2].reason == "weekly_loss of main: 10.00% lost, limit 10.00%"
    assert w.risk.trading_state is TradingState.HALTED
    w.split()
    assert w.mark(80_000)[1:] == []
    (reset,) = w.process(ResetBreaker("main", WEEKLY_LOSS, "seen", "anna"))
    assert reset == BreakerReset("main", WEEKLY_LOSS, "seen", "anna")
    assert w.risk.guards["main"].periods[0].base == to_fixed(80_000)


def test_a_weekly_loss_that_cooled_leaves_the_new_week_its_baseline(world, wide):
    """Friday closes at 90,000 with the breaker tripped; Monday opens 4 % below, where its cause is over.

    Nobody has accepted those 4 %: the new week's tenth is lost at 81,000, not a tenth below what Monday began with.
    """
    rule = BreakerRule(limit=0.1, reset="cooling")
    w = world(msgspec.structs.replace(wide, breakers={WEEKLY_LOSS: rule}))
    while w.session.date != 20200103:
        w.close()
        w.open()
    w.mark(90_000)
    assert [row.state for row in w.risk.rows] == ["tripped"]
    w.close()
    w.day = 4
    w.open()
    assert w.session.date == 20200106
    (reset, _) = w.mark(86_400)[1:]
    assert (reset.breaker, reset.by) == (WEEKLY_LOSS, "breaker")
    assert w.risk.guards["main"].periods[0].base == to_fixed(90_000)
    assert w.mark(81_000.01)[1:] == []
    assert w.mark(81_000)[1].breaker == WEEKLY_LOSS


def test_a_portfolios_own_limits_are_the_tighter_ones(world, wide):
    """Block at 1 % and drawdown at 10 % for one of two; a looser one of its own changes nothing."""
    own = {"main": PortfolioLimits(daily_loss_block=0.01, daily_loss_halt=0.04, max_drawdown=0.1)}
    limits = msgspec.structs.replace(
        wide, daily_loss_block=0.02, daily_loss_halt=0.03, max_drawdown=0.2, portfolios=own
    )
    w = world(limits, portfolios=("main", "other"))
    (breach,) = w.mark(99_000)[1:]
    assert (breach.action, breach.bound) == ("block_entries", 0.01)
    assert w.mark(99_000, "other")[1:] == []
    assert w.submit(1, 1) == "ENTRIES_BLOCKED"
    assert w.submit(1, 1, portfolio="other") == "ok"
    (tripped, *_) = w.mark(97_000)[1:]
    assert (tripped.breaker, tripped.limit) == ("daily_loss", 0.03)
    (tripped, *_) = w.mark(90_000)[1:]
    assert (tripped.breaker, tripped.limit) == ("drawdown", 0.1)
    assert [x.breaker for x in w.mark(90_000, "other")[1:] if isinstance(x, BreakerTripped)] == ["daily_loss"]


def test_a_limit_of_its_own_binds_where_there_is_no_general_one(wide):
    """0 is no limit, not the tightest."""
    own = {"main": PortfolioLimits(daily_loss_halt=0.05)}
    g = Guard("main", msgspec.structs.replace(wide, portfolios=own))
    g.fold_flow(CashFlowed("main", to_fixed(100), "opening", to_fixed(100), ()))
    assert [x.breaker for x in mark(g, 95)] == ["daily_loss"]
    assert isinstance(g, Guard)
    assert Guard("other", RiskLimits()).unknown


def test_deposits_in_a_world_move_all_baselines(world, wide):
    """Half taken out in the middle of the week: no breaker."""
    w = world(msgspec.structs.replace(wide, breakers={WEEKLY_LOSS: BreakerRule(limit=0.1)}))
    w.process(DepositCash("main", to_fixed(-50_000), "rent"))
    assert w.mark(50_000)[1:] == []
    assert [type(x).__name__ for x in w.mark(45_000)[1:]] == ["BreakerTripped", "TradingStateChanged"]
