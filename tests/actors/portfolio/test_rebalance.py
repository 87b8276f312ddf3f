"""The calendar of rebalances and the drift trigger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages.portfolio import TargetsProposed
from actors.portfolio.rebalance import has_drifted, is_due, period
from tests.actors.portfolio.harness import Desk, fx, spec_of


@pytest.mark.parametrize(
    ("mode", "last", "session", "due"),
    [
        ("daily", 20240102, 20240102, False),
        ("daily", 20240102, 20240103, True),
        ("weekly", 20240101, 20240105, False),
        ("weekly", 20240105, 20240108, True),
        ("weekly", 20241230, 20250103, False),  # one ISO week across the year's end
        ("weekly", 20201231, 20210104, True),
        ("monthly", 20240131, 20240201, True),
        ("monthly", 20240102, 20240131, False),
        ("monthly", 20230115, 20240115, True),
        ("never", 20240102, 20250102, False),
        ("signal", 20240102, 20240102, True),
        ("never", 0, 20240102, True),
        ("weekly", 0, 20240102, True),
    ],
)
def test_a_decision_is_due_once_per_period_of_exchange_dates(mode, last, session, due):
    """Sessions, ISO weeks and months, by the exchange date the decision falls into."""
    assert is_due(mode, last, session) is due


@given(st.dates())
def test_all_days_of_an_iso_week_are_one_period(day):
    """The key is the ISO year and week, whatever the calendar year says."""
    year, week, _ = day.isocalendar()
    assert period("weekly", day.year * 10_000 + day.month * 100 + day.day) == year * 100 + week


def test_drift_is_measured_from_the_target_in_both_directions():
    """More than, not as much as; 0 is off."""
    assert has_drifted([(0.26, 0.2)], 0.05)
    assert has_drifted([(0.2, 0.2), (0.14, 0.2)], 0.05)
    assert not has_drifted([(0.25, 0.2)], 0.0500001)
    assert not has_drifted([(0.9, 0.1)], 0.0)


WEEK = (20240108, 20240109, 20240110, 20240111, 20240112, 20240115, 20240116)


def reasons(desk: Desk) -> list[str]:
    """Why each decision proposed targets."""
    return [event.reason for event in desk.sink.events(TargetsProposed)]


def test_weekly_entries_wait_for_the_first_decision_of_the_next_iso_week():
    """Monday's decision enters the first name; the second, wanted from Tuesday on, is bought the Monday after."""
    desk = Desk(spec_of(rebalance="weekly"), n=2)
    bought = {}
    for date in WEEK:
        desk.bar([10, 20], date=date)
        desk.close()
        scores = {0: 0.9} if date == WEEK[0] else {0: 0.9, 1: 0.9}
        bought[date] = [order[0] for order in desk.orders(desk.signal(scores))]
    assert bought == {date: {WEEK[0]: [0], WEEK[5]: [0, 1]}.get(date, []) for date in WEEK}
    assert reasons(desk) == ["schedule", "schedule"]


def test_a_close_between_rebalances_acts_at_once():
    """Tuesday's sell signal sells on Tuesday, and the target goes with it."""
    desk = Desk(spec_of(rebalance="weekly"), n=2)
    desk.bar([10, 20], date=WEEK[0])
    desk.signal({0: 0.9, 1: 0.8})
    desk.bar([10, 20], date=WEEK[1])
    events = desk.signal({0: 0.9, 1: -0.8})
    assert desk.orders(events) == [(1, -2500, 80, "signal")]
    assert sorted(desk.pf.targets) == [0]
    assert reasons(desk) == ["schedule", "signal"]
    desk.bar([10, 20], date=WEEK[2])
    assert desk.signal({0: 0.9, 1: -0.8})[1:] == []


def test_a_name_that_drifts_makes_the_next_decision_a_rebalance():
    """Half and half; one name doubles and is trimmed on Wednesday, before the week is over."""
    desk = Desk(spec_of(rebalance="weekly", drift=0.05), n=2)
    for date, px in zip(WEEK[:3], (10, 10, 20), strict=True):
        desk.bar([px, 20], date=date)
        events = desk.signal({0: 0.9, 1: 0.9})
    assert reasons(desk) == ["schedule", "drift"]
    assert desk.orders(events) == [(0, -1250, -1, "rebalance"), (1, 1250, 90, "rebalance")]


def test_never_rebalances_only_once_and_not_before_somebody_wants_something():
    """A first decision without a buy does not use up the only date."""
    desk = Desk(spec_of(rebalance="never", drift=0.05), n=2)
    desk.bar([10, 20], date=WEEK[0])
    desk.signal({0: -0.9})
    desk.bar([10, 20], date=WEEK[1])
    assert desk.orders(desk.signal({0: 0.9})) == [(0, 10_000, 90, "signal")]
    desk.bar([10, 20], date=WEEK[2])
    desk.bar([30, 20], date=WEEK[5])
    assert desk.orders(desk.signal({0: 0.9, 1: 0.9})) == []


def test_each_strategy_of_a_portfolio_has_its_own_date():
    """Two strategies decide after the same close; both enter."""
    desk = Desk(spec_of(strategies=("s", "t"), rebalance="weekly"), n=2)
    desk.bar([10, 20], date=WEEK[0])
    assert desk.orders(desk.signal({0: 0.9})) == [(0, 10_000, 90, "signal")]
    events = desk.signal({1: 0.8}, strategy="t")
    assert desk.orders(events) == [(0, 5_000, 90, "signal"), (1, 2_500, 80, "signal")]
    desk.bar([10, 20], date=WEEK[1])
    assert (desk.pf.qty(0), desk.pf.qty(1)) == (fx(5_000), fx(2_500))
