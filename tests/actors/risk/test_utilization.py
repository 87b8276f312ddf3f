"""Use of limits: told from nine tenths on, once until less is used, and never where it cannot be computed."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.limits import BreakerRule, PortfolioLimits
from actors.messages.orders import BUY
from actors.messages.portfolio import DepositCash
from actors.messages.risk import LimitBreached
from actors.risk.utilization import CALM_SESSIONS, Utilization
from actors.values.fixed import to_fixed


@pytest.fixture
def used(world, wide):
    """Return a builder of worlds that tell nine tenths of these limits."""

    def build(**limits):
        return world(msgspec.structs.replace(wide, **{"utilization_warn": 0.9, **limits}))

    return build


def told(events):
    """Return (limit, value) of what was told."""
    return [(e.limit, e.value) for e in events if isinstance(e, LimitBreached)]


@pytest.mark.parametrize(
    ("equity", "said"),
    [(82_000.01, []), (82_000, [("max_drawdown", 0.18)]), (81_000, [("max_drawdown", 0.19)]), (120_000, [])],
)
def test_nine_tenths_of_a_loss_are_told_at_the_close(used, equity, said):
    """A drawdown of 18 % of 20 %."""
    w = used(max_drawdown=0.2)
    w.mark(equity)
    assert told(w.close()) == said


def test_day_week_and_month_are_told_against_their_own_baselines(used):
    """The day's 4.5 % of 5 % against the close before it, not against the close itself; the week's 9 of 10."""
    rules = {"weekly_loss": BreakerRule(limit=0.1), "monthly_loss": BreakerRule(limit=0.5)}
    w = used(daily_loss_halt=0.05, breakers=rules)
    w.mark(95_500)
    assert told(w.close()) == [("daily_loss_halt", 0.045)]
    w.open()
    w.mark(91_000)
    # 4,500 of 95,500 is 4.7120418848 %; 9,000 of the 100,000 that were put in is 9 % of the week.
    assert told(w.close()) == [("weekly_loss", 0.09)]  # the day's was told yesterday, and is no less today
    w.open()
    assert told(w.close()) == []
    w.open()
    w.mark(87_000)
    # A day without a loss lies between: 4,000 of 91,000 is 4.3956 %, less than nine tenths; 5 % of it more is not.
    assert told(w.close()) == []
    w.open()
    w.mark(82_650)
    assert told(w.close()) == [("daily_loss_halt", 0.05)]


def test_names_are_told_when_an_order_passes_and_again_only_behind_fewer(used):
    """Nine tenths of two is 1.8, so from two names on; by a portfolio's own limit, too; then one less."""
    own = {"main": PortfolioLimits(max_positions=2)}
    for limits in ({"max_positions": 2}, {"max_positions": 9, "portfolios": own}):
        w = used(**limits)
        w.hold(1, symbol=0)
        assert told(w.process(w.order(BUY, 1, symbol=0))) == []
        w.hold(1, symbol=1)
        assert told(w.process(w.order(BUY, 1, symbol=0))) == [("max_positions", 2.0)]
        w.split()
        assert told(w.process(w.order(BUY, 1, symbol=0))) == []
        for _ in range(2):
            assert told(w.close()) == []
            w.open()
            w.split()
            assert told(w.process(w.order(BUY, 1, symbol=0))) == []
        w.hold(-1, symbol=1)
        w.hold(1, symbol=1)
        assert told(w.close()) == []  # within one session it is told once
        for sessions, said in ((CALM_SESSIONS - 1, []), (CALM_SESSIONS, [("max_positions", 2.0)])):
            w.hold(-1, symbol=1)
            for _ in range(sessions):  # the last of these evenings is looked at when the next session opens
                w.open()
                w.split()
                assert told(w.close()) == []
            w.hold(1, symbol=1)
            assert told(w.process(w.order(BUY, 1, symbol=0))) == said


@pytest.mark.parametrize(("calm", "said"), [(84_000, []), (84_000.01, [("max_drawdown", 0.18)])])
def test_what_hovers_at_the_level_is_told_once(used, calm, said):
    """Told at 18 % of 20 %, a drawdown may be told again behind less than 16 %, which is 80 % of the limit."""
    w = used(max_drawdown=0.2)
    w.mark(82_000)
    assert told(w.close()) == [("max_drawdown", 0.18)]
    for equity, expected in ((83_000, []), (82_000, []), (calm, []), (82_000, said)):
        w.open()
        w.split()
        w.mark(equity)
        assert told(w.close()) == expected


def test_what_was_told_before_sessions_were_counted_is_not_told_anew():
    """A snapshot of an older version."""
    used = Utilization()
    used.restore([["main", "max_positions"]])
    assert used.was_told("main", "max_positions")
    again = Utilization()
    again.restore(used.snapshot())
    assert again.snapshot() == used.snapshot() == [["main", "max_positions", 0]]


@pytest.mark.parametrize(("shares", "said"), [(1349, []), (1350, [("max_leverage", 1.35)])])
def test_leverage_is_gross_over_equity(used, shares, said):
    """At 100 on 100,000 against 1.5: nine tenths are 1.35."""
    w = used(max_leverage=1.5)
    w.hold(shares)
    assert told(w.close()) == said


def test_sectors_are_told_by_name_and_only_where_any_is_known(world, wide):
    """36,000 of 100,000 are nine tenths of 0.4, and more than that of 0.38; what has no sector is one."""
    for own, said in (({}, 0.36), ({"Tech": 0.38}, 0.36)):
        limits = msgspec.structs.replace(wide, utilization_warn=0.9, max_sector=0.4, sectors=own)
        w = world(limits, sectors=("Tech", "", "Tech"))
        w.hold(200, symbol=0)
        w.hold(160, symbol=2)
        w.hold(100, symbol=1)
        assert told(w.close()) == [("max_sector:Tech", said)]
    w = world(msgspec.structs.replace(wide, utilization_warn=0.9, max_sector=0.4))
    w.hold(900, symbol=0)
    assert told(w.close()) == []


def test_nothing_is_told_of_what_cannot_be_computed_or_is_off(used):
    """No equity, no baseline; no limit; no warning wanted."""
    w = used(max_leverage=1.0, max_drawdown=0.1, daily_loss_halt=0.1)
    w.process(DepositCash("main", to_fixed(-100_000), "all of it"))
    w.mark(0)
    assert told(w.close()) == []
    w = used(utilization_warn=0.0, max_positions=1, max_drawdown=0.1)
    w.hold(1)
    w.mark(90_500)
    assert told(w.close()) == []
    assert told(w.process(w.order(BUY, 1))) == []
