"""Stops that move: every method on series worked out on paper, through the gate and the broker of a whole core.

The series of ranges (``SERIES``) is of four sessions, with ``stop_lookback`` 2:

======= ===== ===== ====== ====== =================================== ==========================
session open  high  low    close  true range                          average true range
======= ===== ===== ====== ====== =================================== ==========================
0       100   102   98     100    102 - 98 = 4                        (none yet)
1       100   103   99     102    max(4, 103 - 100, 100 - 99) = 4     (4 + 4) / 2 = 4
2       102   106   101    105    max(5, 106 - 102, 102 - 101) = 5    (4 x 1 + 5) / 2 = 4.5
3       105   106   104.5  105.5  max(1.5, 106 - 105, 0.5) = 1.5      (4.5 x 1 + 1.5) / 2 = 3
======= ===== ===== ====== ====== =================================== ==========================

A long ordered behind session 1 is bought at 102, the open of session 2; with ``stop_multiple`` 2 its stop is at
102 - 2 x 4 = 94.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.control import Kill, Resume, Unlatch
from actors.messages.market import BarPanel, CorporateAction, SessionClosed, SessionOpened, TradePanel
from actors.messages.orders import BUY, SELL, CancelOrder, OrderAccepted, OrderReplaced, OrderType
from actors.messages.portfolio import TradeClosed
from actors.portfolio.actor import PortfolioActor
from actors.portfolio.stops import ratcheted
from actors.values.fixed import SCALE
from tests.actors.portfolio.sessions import SERIES, Bar, day, enter, panel_of, played, sold, spec, stops, world_of
from tests.parity.core_bench import World

LIVES = pytest.mark.parametrize("how", ["never down", "snapshot", "refolded"])


# -- levels ------------------------------------------------------------------------------------------------------------


def test_an_atr_stop_is_measured_from_the_entry_and_does_not_fall_when_ranges_widen() -> None:
    """94 at the entry; then 102 - 2 x 4.5 = 93 would be lower, so 94 stays; 102 - 2 x 3 = 96."""
    world, seen = played(SERIES, stop="atr")
    assert seen == [[], [], [94.0], [96.0]]
    assert [e.stop_px for e in world.facts(OrderReplaced)] == [96 * SCALE]


def test_a_chandelier_hangs_from_the_highest_high_since_the_entry() -> None:
    """From 106, the high of the day of its entry at the open: 106 - 9 = 97, then 106 - 6 = 100."""
    assert played(SERIES, stop="chandelier")[1] == [[], [], [97.0], [100.0]]


def test_a_chandelier_of_a_short_stands_on_the_lowest_low() -> None:
    """Sold at 102: 102 + 8 = 110 at the entry; low 101: 101 + 9 = 110; then 101 + 6 = 107."""
    assert played(SERIES, stop="chandelier", side=SELL)[1] == [[], [], [110.0], [107.0]]


def test_a_volatility_stop_is_so_many_deviations_of_returns_under_the_entry() -> None:
    """Returns 10 % and -10 %: mean 0, deviation sqrt(0.02) = 0.14142136; 99 x (1 - 0.14142136) = 84.99928536.

    Behind the next session (99 to 99) the returns are -10 % and 0: mean -5 %, deviation sqrt(2 x 0.0025) = 0.07071068:
    99 x (1 - 0.07071068) = 91.99964268. Then 0 and 0 deviate by nothing, which is no distance: it stays.
    """
    bars: list[Bar] = [(px, px, px, px) for px in (100.0, 110.0, 99.0, 99.0, 99.0)]
    _, seen = played(bars, at=2, stop="volatility", stop_multiple=1.0)
    assert seen == [[], [], [], [91.99964268], [91.99964268]]
    world = world_of(stop="volatility", stop_multiple=1.0)
    for number, bar in enumerate(bars[:3]):
        day(world, number, bar)
    enter(world)
    day(world, 3, bars[3], close=False)
    assert stops(world) == [84.99928536]


@pytest.mark.parametrize("method", ["atr", "chandelier", "volatility"])
def test_until_there_are_enough_sessions_the_percent_stop_stands(method: str) -> None:
    """Three sessions known of ten: 3 % under 102."""
    assert played(SERIES, stop=method, stop_lookback=10)[1] == [[], [], [98.94], [98.94]]


def test_without_a_percent_stop_a_lot_gets_its_stop_as_soon_as_the_level_is_known() -> None:
    """Three sessions are needed, three are closed behind session 2: (4 + 4 + 5) / 3 = 13 / 3; 102 - 26 / 3 = 93 1/3.

    With session 3: (13 / 3 x 2 + 1.5) / 3 = 3.38888889: 102 - 6.77777778 = 95.22222222.
    """
    world, seen = played(SERIES, stop="atr", stop_loss=0.0, stop_lookback=3)
    assert seen == [[], [], [93.33333333], [95.22222222]]
    assert sold(world, (100, 100, 95, 96)) == [95.22222222]


def test_where_the_level_would_be_below_zero_the_percent_stop_stands() -> None:
    """Thirty ranges of 4 are more than the price."""
    assert played(SERIES[:3], stop="atr", stop_multiple=30.0)[1][-1] == [98.94]


def test_ranges_are_of_sessions_also_where_bars_are_of_minutes() -> None:
    """Highs and lows of the minutes of a session make its range: 104 - 99 = 5, then max(6, 104 - 101.5, 101.5 - 98)."""
    world = World(interval="1m", portfolios=(spec(stop="atr", stop_lookback=2, stop_multiple=1.0),))
    for number, (first, second, low) in enumerate([(104.0, 101.5, 99.0), (104.0, 103.0, 98.0)]):
        world.open(number)
        world.bar(number, 0, first, 50.0, low=None)
        world.bar(number, 1, second, 50.0, low=low if number else 99.0)
        world.close(number)
    world.open(2)
    enter(world)
    world.bar(2, 0, 103.0, 50.0)
    assert stops(world) == [103.0 - (5 + 6) / 2]


@pytest.mark.parametrize(
    ("side", "old", "new", "nearer"),
    [(1, 94, 96, 96), (1, 96, 94, 96), (-1, 110, 107, 107), (-1, 107, 110, 107)]
    + [(side, *pair) for side in (1, -1) for pair in ((0, 107, 107), (107, 0, 107), (0, 0, 0))],
)
def test_the_nearer_of_two_stops_where_there_are_two(side: int, old: int, new: int, nearer: int) -> None:
    """Above a short the lower one; a level that is not known moves nothing, on either side."""
    assert ratcheted(side, old, new) == nearer


# -- fills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "px"),
    [
        pytest.param((104, 104, 100.01, 101), [], id="just above"),
        pytest.param((104, 104, 100, 101), [100.0], id="exact"),
        pytest.param((104, 104, 99, 101), [100.0], id="inside the bar"),
        pytest.param((99, 101, 98, 100), [99.0], id="gap through"),
    ],
)
def test_a_moved_stop_fills_where_it_rests_or_at_the_open_behind_it(bar: Bar, px: list[float]) -> None:
    """The chandelier at 100 behind session 3."""
    world, _ = played(SERIES, stop="chandelier")
    assert sold(world, bar) == px
    assert [t.exit_reason for t in world.facts(TradeClosed)] == ["stop_loss"] * len(px)


TRAIL: list[Bar] = [(100, 100, 100, 100), (100, 104, 100, 104), (104, 110, 103, 109)]
"""Bought at 100; the trail of 5 % rests from the close of 104 on and follows to 110: its stop is at 104.5."""


@pytest.mark.parametrize(
    ("bar", "px"),
    [
        pytest.param((108, 108, 104.51, 106), [], id="just above"),
        pytest.param((108, 108, 104.5, 106), [104.5], id="exact"),
        pytest.param((108, 120, 107.9, 115), [], id="up first"),
        pytest.param((104, 105, 103, 105), [104.0], id="gap through"),
    ],
)
def test_a_trailing_stop_is_the_brokers_own(bar: Bar, px: list[float]) -> None:
    """One trailing_stop order that is never replaced; bars move it along their path.

    Up first: 107.9 is nearer to 108 than 120 is, the stop at 104.5 is not met, and at 120 it is at 114 < 115.
    """
    world, _ = played(TRAIL, at=0, stop="trailing")
    (order,) = [e.order for e in world.facts(OrderAccepted) if e.order.lot_id]
    assert (order.type, order.stop_px, order.terms.trail_percent) == (OrderType.TRAILING_STOP, None, 5 * SCALE)
    assert sold(world, bar, 3) == px
    assert world.facts(OrderReplaced) == []


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sessions", [1, 2, 3])
def test_a_time_stop_closes_a_lot_at_the_open_after_so_many_session_closes(sessions: int) -> None:
    """Bought at the open of session 1 and held through the closes of 1, 2 ...: sold at the open of 1 + sessions."""
    bars: list[Bar] = [(px, px, px, px) for px in (100.0, 101.0, 102.0, 103.0, 104.0)]
    world, _ = played(bars, at=0, time_stop_sessions=sessions)
    (trade,) = world.facts(TradeClosed)
    assert (trade.exit_reason, trade.exit_px) == ("time_stop", (101 + sessions) * SCALE)
    assert world.positions() == {}
    assert stops(world) == []


def test_a_time_stop_closes_its_own_lot_and_nothing_of_a_younger_one() -> None:
    """Ten of session 1, twenty of session 2: with two sessions the ten go at the open of session 3."""
    world = world_of(time_stop_sessions=2)
    flat: Bar = (100, 100, 100, 100)
    for number, qty in enumerate((10, 20, 0)):
        day(world, number, flat)
        if qty:
            enter(world, qty=qty)
    day(world, 3, flat)
    assert world.positions() == {0: 20}
    assert [t.qty // SCALE for t in world.facts(TradeClosed)] == [10]
    day(world, 4, flat)
    assert world.positions() == {}


# -- what happens in between -------------------------------------------------------------------------------------------


def after(world: World, how: str) -> World:
    """The world as it is, or as it comes back from its record; what comes back is equal to the last byte."""
    if how == "never down":
        return world
    other = world.reborn(snapshot=how == "snapshot")
    assert other.core.sequencer.snapshot() == world.core.sequencer.snapshot()
    return other


@LIVES
def test_stops_come_back_where_they_had_come_to(how: str) -> None:
    """A chandelier that a kill took at 97 comes back there and goes on: 100 behind the next session."""
    world, seen = played(SERIES[:3], stop="chandelier")
    assert seen[-1] == [97.0]
    world.do(Kill("stop it", "ann"))
    assert stops(world) == []
    world = after(world, how)
    world.do(Unlatch("seen to", "ann"))
    assert stops(world) == [97.0]
    world.do(Resume("on we go", "ann"))
    world = after(world, how)
    day(world, 3, SERIES[3])
    assert stops(world) == [100.0]
    assert sold(after(world, how), (104, 104, 99, 101)) == [100.0]


@LIVES
def test_a_trail_that_a_kill_took_comes_back_as_a_stop_where_it_was(how: str) -> None:
    """At 104.5, while a new trail from 109 would begin at 103.55; a high of 112 lifts it to 106.4 at the close."""
    world, _ = played(TRAIL, at=0, stop="trailing")
    world.do(Kill("stop it", "ann"))
    world = after(world, how)
    world.do(Unlatch("seen to", "ann"))
    world.do(Resume("on we go", "ann"))
    world = after(world, how)
    assert stops(world) == [104.5]
    day(world, 3, (109, 109, 106, 107))
    assert stops(world) == [104.5]
    day(world, 4, (107, 112, 107, 111))
    assert stops(world) == [106.4]
    assert sold(after(world, how), (111, 111, 106.4, 108), 5) == [106.4]


@LIVES
@pytest.mark.parametrize("method", ["atr", "chandelier"])
def test_a_split_says_stop_and_ranges_in_new_shares(method: str, how: str) -> None:
    """Two for one behind session 2; session 3 at half its prices leaves the stop at half of 96 or of 100."""
    world, _ = played(SERIES[:3], stop=method)
    split = CorporateAction(world.session(3).open_ts - 1, 20200105, 0, "split", 2 * SCALE, numerator=2, denominator=1)
    world.do(split, "feed", at=split.ts)
    world = after(world, how)
    assert stops(world) == [{"atr": 47.0, "chandelier": 48.5}[method]]
    bar = SERIES[3]
    day(world, 3, (bar[0] / 2, bar[1] / 2, bar[2] / 2, bar[3] / 2))
    assert stops(world) == [{"atr": 48.0, "chandelier": 50.0}[method]]
    assert world.positions() == {0: 20}


@pytest.mark.parametrize("paid", [1, 4])
@pytest.mark.parametrize(("method", "level"), [("atr", 96.0), ("chandelier", 100.0)])
def test_a_dividend_takes_itself_off_the_stop_and_off_what_it_is_measured_from(
    method: str, level: float, paid: int
) -> None:
    """Session 3 opens lower by it, and everything is as without it but for that: four dollars make no wider range."""
    world, _ = played(SERIES[:3], stop=method)
    before = stops(world)[0]
    world.do(CorporateAction(world.session(3).open_ts - 1, 20200105, 0, "dividend", paid * SCALE), "feed")
    assert stops(world) == [before - paid]
    bar = SERIES[3]
    day(world, 3, (bar[0] - paid, bar[1] - paid, bar[2] - paid, bar[3] - paid))
    assert stops(world) == [level - paid]


@pytest.mark.parametrize(("side", "level"), [(BUY, 96.0), (SELL, 110.0)])
def test_a_dividend_goes_off_what_a_kill_took_of_longs_alone(side: int, level: float) -> None:
    """A chandelier at 97 that comes back is at 96 behind a dollar; one at 110 above a short stays, as the broker's do.

    Session 3 goes from 103.5 to 104.5 behind a close of 105 - 1: its range is 1, the average (4.5 x 1 + 1) / 2 = 2.75.
    The high of 106 is 105 by now: 105 - 5.5 = 99.5. The low since the short is 101 still: 101 + 5.5 = 106.5.
    """
    world, _ = played(SERIES[:3], stop="chandelier", side=side)
    world.do(Kill("stop it", "ann"))
    world.do(CorporateAction(world.session(3).open_ts - 1, 20200105, 0, "dividend", SCALE), "feed")
    world.do(Unlatch("seen to", "ann"))
    assert stops(world) == [level]
    world.do(Resume("on we go", "ann"))
    bar = SERIES[3]
    day(world, 3, (bar[0] - 1, bar[1] - 1.5, bar[2] - 1, bar[3] - 1))
    assert stops(world) == [{BUY: 99.5, SELL: 106.5}[side]]


@pytest.mark.parametrize("changes", [{"stop": "atr", "stop_lookback": 3}, {"stop": "trailing"}])
@pytest.mark.parametrize("usual", [0.0, 0.03])
def test_a_stop_that_somebody_took_away_does_not_come_back(changes: dict[str, Any], usual: float) -> None:
    """Cancelled before the close of the session of its entry, when the level was not known yet or known."""
    world = world_of(stop_loss=usual, **changes)
    for number, bar in enumerate(SERIES):
        if number == 1:
            enter(world)
        day(world, number, bar, close=False)
        for order in [e.order for e in world.facts(OrderAccepted) if e.order.reason == "stop_loss"]:
            world.do(CancelOrder(order.client_order_id, "without"))
        taken = bool(usual or changes["stop"] == "trailing")
        world.close(number)
        if taken:
            assert stops(world) == []
    if not taken:  # it came with the close of session 2, and was taken away within session 3
        assert [e.stop_px for e in world.facts(OrderReplaced)] == []
        assert len([e for e in world.facts(OrderAccepted) if e.order.reason == "stop_loss"]) == 1
        assert stops(world) == []


@pytest.mark.parametrize(("method", "level"), [("atr", 96.0), ("chandelier", 100.0)])
def test_under_its_new_name_a_symbol_goes_on_where_it_was(method: str, level: float) -> None:
    """AA is BB from session 3 on: ranges and best price go on, and the stop with them."""
    world, _ = played(SERIES[:3], stop=method)
    change = CorporateAction(world.session(3).open_ts - 1, 20200105, 0, "rename", 0, renamed_to=1)
    world.do(change, "feed", at=change.ts)
    world.open(3)
    whole = panel_of(world.session(3), SERIES[3])
    rows = [getattr(whole, name)[:1] for name in ("open", "high", "low", "close", "close_fx", "volume")]
    ids = np.array([1], dtype=np.int32)
    panel = BarPanel(whole.ts, whole.start_ts, whole.session, True, ids, False, *rows)
    world.do(panel, "feed", at=whole.ts)
    world.close(3)
    assert stops(world) == [level]


def test_ticks_of_a_session_make_its_range() -> None:
    """Minutes at 100, then prints of 104 and 99: 104 - 99 = 5; the next session 104 to 98 behind 99 makes 6."""
    world = World(interval="1m", portfolios=(spec(stop="atr", stop_lookback=2, stop_multiple=1.0),))
    for number, prints in enumerate([(104.0, 99.0), (104.0, 98.0)]):
        world.open(number)
        world.bar(number, 0, 100.0, 50.0)
        for n, px in enumerate(prints):
            at = world.session(number).open_ts + 90 * 10**9 + n
            columns = np.array([px, 50.0]), np.array([5.0, 5.0])
            both = slice(None) if n else slice(1)  # one symbol's print, and one of two symbols
            ids = np.array([0, 1], dtype=np.int32)
            world.do(TradePanel(at, ids[both], *(column[both] for column in columns)), "feed", at=at)
        world.close(number)
    world.open(2)
    enter(world)
    world.bar(2, 0, 103.0, 50.0)
    assert stops(world) == [103.0 - (5 + 6) / 2]


def test_a_lot_that_was_cut_keeps_its_stop_for_what_is_left() -> None:
    """Four of ten are sold; the stop is for six and goes on moving."""
    world, _ = played(SERIES[:3], stop="chandelier")
    world.order(0, SELL, 4)
    day(world, 3, SERIES[3])
    pf = world.core.portfolio.portfolio("main")
    assert [(w.leaves // SCALE, w.stop_px // SCALE) for group in pf.exits.values() for w in group.values()] == [
        (6, 100)
    ]


def test_the_target_beside_a_moving_stop_ends_with_it() -> None:
    """Stop and target of one lot; the stop fills, nothing is left working."""
    world, _ = played(SERIES, stop="chandelier", take_profit=0.5)
    pf = world.core.portfolio.portfolio("main")
    assert sorted(w.reason for group in pf.exits.values() for w in group.values()) == ["stop_loss", "take_profit"]
    assert sold(world, (104, 104, 99, 101)) == [100.0]
    assert pf.exits == {}


@pytest.mark.parametrize("method", ["atr", "chandelier", "trailing", "volatility"])
def test_a_renamed_symbol_takes_its_stops_along(method: str) -> None:
    """AA is BB from session 3 on; what is held and what it is guarded with goes on there."""
    world, seen = played(SERIES[:3], stop=method, stop_loss=0.2)
    change = CorporateAction(world.session(3).open_ts - 1, 20200105, 0, "rename", 0, renamed_to=1)
    world.do(change, "feed", at=change.ts)
    assert stops(world) == seen[-1]
    assert world.core.portfolio.portfolio("main").held() == [1]


def test_a_snapshot_of_an_older_version_is_taken_over_and_counted_from_there() -> None:
    """It knows of no sessions, levels or entries: a lot's time and its chandelier begin where they are found."""
    world, _ = played(SERIES[:3], stop="chandelier", time_stop_sessions=5)
    state = world.core.portfolio.snapshot()
    del state["stops"]
    for _, raw in state["portfolios"]:
        for position in raw["positions"]:
            for lot in position["lots"]:
                for name in ("session", "anchor", "stop_px"):
                    del lot[name]
        for working in raw["working"]:
            for name in ("stop_px", "trail_amount", "trail_percent", "reduce_only", "exempt"):
                del working[name]
    other = PortfolioActor(world.spec.universe, world.spec.portfolios, daily=True)
    other.restore(state)
    (lot,) = other.portfolio("main").lots(0)
    assert (lot.session, lot.anchor, lot.stop_px) == (0, 0, 0)
    session = world.session(3)
    other.date(SessionOpened(session.open_ts, session))
    other.mark(panel_of(session, SERIES[3]))
    other.stretch(panel_of(session, SERIES[3]))
    other.date(SessionClosed(session.close_ts, session))
    assert (lot.session, lot.anchor) == (4, 106 * SCALE)


# -- properties --------------------------------------------------------------------------------------------------------

moves = st.lists(st.tuples(*[st.integers(-8, 8)] * 4), min_size=3, max_size=12)


def bars_of(steps: list[tuple[int, int, int, int]]) -> list[Bar]:
    """Bars that walk from 100 by these steps (open, close, and how far the extremes reach beyond), never below 20."""
    bars, px = [], 100.0
    for gap, move, up, down in steps:
        opening = max(20.0, px + gap)
        px = max(20.0, opening + move)
        bars.append((opening, max(opening, px) + abs(up) / 2, min(opening, px) - abs(down) / 2, px))
    return bars


@settings(max_examples=25, deadline=None)
@given(
    steps=moves,
    method=st.sampled_from(["percent", "volatility", "atr", "chandelier", "trailing"]),
    side=st.sampled_from([BUY, SELL]),
    time_stop=st.sampled_from([0, 3]),
    cut=st.integers(0, 12),
)
def test_no_stop_ever_goes_back_and_no_exit_is_for_more_than_its_lot(
    steps: list[tuple[int, int, int, int]], method: str, side: int, time_stop: int, cut: int
) -> None:
    """Two lots, one of them cut, a kill in between; a core that was rebuilt from the record is the same."""
    world = world_of(stop=method, stop_loss=0.1, take_profit=0.5, time_stop_sessions=time_stop)
    pf = world.core.portfolio.portfolio("main")
    best: dict[str, int] = {}
    for number, bar in enumerate(bars_of(steps)):
        day(world, number, bar)
        left = {lot.lot_id: abs(lot.qty) for symbol in pf.held() for lot in pf.lots(symbol)}
        for lot_id, group in pf.exits.items():
            for working in group.values():
                assert working.leaves <= left[lot_id]
                if working.stop_px:
                    before = best.get(lot_id, working.stop_px)
                    assert side * (working.stop_px - before) >= 0
                    best[lot_id] = working.stop_px
        if number in (0, 2):
            enter(world, side)
        if number == 4 and cut and abs(pf.qty(0)) > cut * SCALE:
            world.order(0, -side, cut)
        if number == 6:
            world.do(Kill("stop it", "ann"))
            world.do(Unlatch("seen to", "ann"))
            world.do(Resume("on we go", "ann"))
    for snapshot in (True, False):
        other = world.reborn(snapshot=snapshot)
        assert other.core.sequencer.snapshot() == world.core.sequencer.snapshot()
