"""Average true ranges of sessions, folded from bars and ticks alike."""

from __future__ import annotations

import numpy as np
import pytest

from actors.portfolio.ranges import SessionRanges
from actors.values.fixed import SCALE
from actors.values.session import Session
from tests.actors.portfolio.sessions import SERIES, Bar, panel_of

I32 = np.int32


def play(ranges: SessionRanges, number: int, bar: Bar, close: float | None = None) -> None:
    """Fold a session of the first symbol; the second stands at 50."""
    ranges.fold_bar(panel_of(Session(20200102 + number, number, number + 1, number), bar))
    ranges.fold_close(np.array([bar[3] if close is None else close, 50.0]))


def played(*bars: Bar, lookbacks: tuple[int, ...] = (3,)) -> SessionRanges:
    """Fold sessions."""
    ranges = SessionRanges(2, lookbacks)
    for number, bar in enumerate(bars):
        play(ranges, number, bar)
    return ranges


def test_the_first_average_is_a_mean_and_then_wilder_smooths() -> None:
    """True ranges 4, 4, 5, 1.5: (4 + 4 + 5) / 3 = 13 / 3; then (13 / 3 x 2 + 1.5) / 3 = 61 / 18."""
    averages = [played(*SERIES[:n]).average(0, 3) for n in range(1, 5)]
    assert np.isnan(averages[:2]).all()
    assert averages[2:] == pytest.approx([13 / 3, 61 / 18], abs=1e-12)


@pytest.mark.parametrize(
    ("bar", "range_"),
    [
        pytest.param((100, 101, 99, 100), 2.0, id="inside"),
        pytest.param((110, 111, 109, 110), 11.0, id="gap up: 111 - 100"),
        pytest.param((90, 91, 89, 90), 11.0, id="gap down: 100 - 89"),
        pytest.param((100, 100, 100, 100), 0.0, id="nothing moves"),
    ],
)
def test_a_gap_is_part_of_the_range(bar: Bar, range_: float) -> None:
    """Behind a close at 100."""
    assert played((100, 100, 100, 100), bar, lookbacks=(1,)).average(0, 1) == range_


def test_ticks_make_ranges_as_bars_do() -> None:
    """The prices of a bar one by one, and several symbols in one tick; what has no price says nothing."""
    ranges = SessionRanges(2, (1,))
    ranges.begin(20200102)
    for px in (100.0, 103.0, 98.0, 101.0):
        ranges.fold_ticks(np.array([0], dtype=I32), np.array([px, 0.0]))
    ranges.fold_ticks(np.array([0, 1], dtype=I32), np.array([99.0, 0.0]))
    assert (ranges.high[0], ranges.low[0]) == (103.0, 98.0)
    assert ranges.seen.tolist() == [True, False]
    ranges.fold_close(np.array([99.0, 0.0]))
    assert ranges.average(0, 1) == 5.0
    assert np.isnan(ranges.average(1, 1))


def test_a_session_ends_once_and_what_comes_behind_its_close_changes_nothing() -> None:
    """Also when its close is told twice."""
    ranges = played(SERIES[0], lookbacks=(1,))
    assert not ranges.fold_close(np.array([50.0, 50.0]))
    ranges.fold_ticks(np.array([0], dtype=I32), np.array([500.0, 0.0]))
    ranges.fold_bar(panel_of(Session(20200102, 0, 1, 0), (500, 500, 500, 500)))
    assert (ranges.high[0], ranges.average(0, 1)) == (102.0, 4.0)
    play(ranges, 1, (100, 100, 100, 100))
    assert ranges.average(0, 1) == 0.0


def test_a_session_without_a_price_is_none_of_a_symbols_sessions() -> None:
    """The range of the next one reaches back to its last close."""
    ranges = played((100, 100, 100, 100), lookbacks=(1,))
    ranges.begin(20200103)
    ranges.fold_ticks(np.array([1], dtype=I32), np.array([100.0, 51.0]))
    ranges.fold_close(np.array([100.0, 51.0]))
    assert ranges.average(0, 1) == 0.0
    play(ranges, 2, (104, 105, 104, 105))
    assert ranges.average(0, 1) == 5.0


def test_actions_say_everything_in_new_units() -> None:
    """Two for one halves; a dividend of one makes no range; a rename moves, and one without sessions moves nothing."""
    ranges = played(SERIES[0], lookbacks=(1,))
    ranges.split(0, 0.5)
    assert ranges.average(0, 1) == 2.0
    ranges.pay(0, SCALE)
    play(ranges, 1, (49, 49, 49, 49))
    assert ranges.average(0, 1) == 0.0
    ranges.move(0, 1)
    assert ranges.average(1, 1) == 0.0
    assert np.isnan(ranges.average(0, 1))
    ranges.move(0, 1)
    assert ranges.average(1, 1) == 0.0


def test_a_snapshot_goes_on_and_another_lookback_begins_anew() -> None:
    """Averages of a number of sessions that was not kept cannot be made up."""
    ranges = played(*SERIES[:3], lookbacks=(2, 3))
    same, fewer, other = SessionRanges(2, (2, 3)), SessionRanges(2, (3,)), SessionRanges(2, (3, 4))
    for restored in (same, fewer, other):
        restored.restore(ranges.snapshot())
        play(restored, 3, SERIES[3])
    play(ranges, 3, SERIES[3])
    assert same.snapshot() == ranges.snapshot()
    assert fewer.average(0, 3) == ranges.average(0, 3)
    assert np.isnan(other.average(0, 3))
