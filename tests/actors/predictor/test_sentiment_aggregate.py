"""What scored headlines add up to: formulas on paper, and properties that hold for any headlines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.predictor.sentiment.aggregate import Item, is_unusual, less, move_of, norm_of, past_of, read, tone
from actors.predictor.sentiment.params import SentimentParams

HOUR = 3_600 * 1_000_000_000
NOW = 1_000 * HOUR
PARAMS = SentimentParams("m@1", half_life_ns=24 * HOUR, window_ns=120 * HOUR)


def said(hours_ago: float, p: tuple[float, float, float] | None, source: str = "", news_id: str = "n") -> Item:
    """Return a headline of so many hours ago."""
    return Item(NOW - round(hours_ago * HOUR), news_id, source, "text", (), p)


def test_a_tone_is_what_speaks_for_less_what_speaks_against() -> None:
    """Whatever is neutral counts for neither."""
    assert tone((0.1, 0.2, 0.7)) == pytest.approx(0.6)
    assert tone((0.0, 1.0, 0.0)) == 0.0


def test_a_headline_of_one_half_life_weighs_half() -> None:
    """0.6 now and -0.3 a day ago: (1 x 0.6 + 0.5 x -0.3) / 1.5 = 0.3."""
    found = read([said(0, (0.1, 0.2, 0.7)), said(24, (0.5, 0.3, 0.2))], NOW, PARAMS)
    assert found.score == pytest.approx(0.3)
    # Weighted variance: (1 x 0.09 + 0.5 x 0.36) / 1.5 = 0.18.
    assert found.dispersion == pytest.approx(math.sqrt(0.18), abs=1e-6)
    assert (found.n, found.volume) == (2, 2)


def test_weights_hold_at_any_age_and_half_life() -> None:
    """Six minutes against a year: 2^-80,000 is nothing beside 1; but what stands alone, however old, is a score.

    Of two as old, an hour apart with a half-life of an hour, the younger weighs double: (0.5 + 2 x -0.5) / 3.
    """
    year = {"window_ns": 8_760 * HOUR}
    brief = SentimentParams("m@1", half_life_ns=HOUR // 10, **year)
    young, old = said(0, (0.0, 0.5, 0.5)), said(8_000, (0.5, 0.5, 0.0))
    for order in ([young, old], [old, young]):
        found = read(order, NOW + 300 * HOUR, brief)
        assert (found.score, found.dispersion, found.n) == (0.5, 0.0, 2)
    assert read([old], NOW + 300 * HOUR, brief).score == -0.5
    pair = [said(8_001, (0.0, 0.5, 0.5)), said(8_000, (0.5, 0.5, 0.0))]
    assert read(pair, NOW, SentimentParams("m@1", half_life_ns=HOUR, **year)).score == -0.166667
    endless = read([young, old], NOW, SentimentParams("m@1", half_life_ns=10**9 * HOUR, **year))
    assert (endless.score, endless.dispersion) == (pytest.approx(0.0, abs=1e-5), 0.5)


def test_a_source_weighs_what_the_configuration_says() -> None:
    """1 x 0.5 and 3 x -0.5: -0.25; a source of weight 0 counts as volume alone; names match in any case."""
    params = SentimentParams("m@1", weights=(("wire", 3.0), ("noise", 0.0)))
    items = [
        said(0, (0.0, 0.5, 0.5)),
        said(0, (0.5, 0.5, 0.0), "Wire "),
        said(0, (1.0, 0.0, 0.0), "NOISE"),
    ]
    found = read(items, NOW, params)
    assert found.score == pytest.approx(-0.25)
    assert (found.n, found.volume) == (2, 3)


def test_too_few_scored_headlines_have_no_score() -> None:
    """Two of them with three asked for; and none at all. The volume is known all the same."""
    items = [said(0, (0.1, 0.2, 0.7)), said(1, (0.1, 0.2, 0.7)), said(2, None)]
    few = read(items, NOW, SentimentParams("m@1", min_items=3))
    assert math.isnan(few.score)
    assert (few.n, few.volume) == (2, 3)
    assert math.isnan(few.dispersion)
    none = read([], NOW, PARAMS)
    assert (math.isnan(none.score), none.n, none.volume) == (True, 0, 0)
    one = read(items[:1], NOW, PARAMS)
    assert (one.score, math.isnan(one.dispersion)) == (0.6, True)


def test_the_window_ends_where_it_is_said_to() -> None:
    """Of its full age a headline is out, a nanosecond younger it is in; what comes later is not there."""
    edge = 120 * HOUR
    old, young = (
        Item(NOW - edge, "a", "", "t", (), (1.0, 0.0, 0.0)),
        Item(NOW - edge + 1, "b", "", "t", (), (0.0, 0.0, 1.0)),
    )
    later = Item(NOW + 1, "c", "", "t", (), (1.0, 0.0, 0.0))
    found = read([old, young, later], NOW, PARAMS)
    assert (found.score, found.volume) == (1.0, 1)


PROBABILITIES = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(
    lambda two: (min(two) / 1000, (max(two) - min(two)) / 1000, 1 - max(two) / 1000)
)
ITEMS = st.lists(
    st.builds(
        said,
        st.integers(-10, 130),
        st.none() | PROBABILITIES,
        st.sampled_from(["", "wire", "blog"]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=12,
)
WEIGHTED = SentimentParams("m@1", weights=(("wire", 2.5), ("blog", 0.25)))


@settings(deadline=None)
@given(ITEMS, st.randoms(use_true_random=False))
def test_the_order_of_headlines_does_not_matter_to_the_last_bit(items: list[Item], draw) -> None:
    """Those of one instant stand in any order."""
    shuffled = items.copy()
    draw.shuffle(shuffled)
    assert repr(read(shuffled, NOW, WEIGHTED)) == repr(read(items, NOW, WEIGHTED))


@settings(deadline=None)
@given(ITEMS)
def test_headlines_later_or_too_old_change_nothing(items: list[Item]) -> None:
    """What counts is what was seen by now within the window: the others may as well be missing."""
    inside = [item for item in items if NOW - PARAMS.window_ns < item.seen <= NOW]
    assert repr(read(inside, NOW, WEIGHTED)) == repr(read(items, NOW, WEIGHTED))


@settings(deadline=None)
@given(ITEMS, st.integers(0, 60))
def test_with_time_alone_a_figure_stays_to_the_last_bit(items: list[Item], hours: int) -> None:
    """Until a headline leaves the window: so nothing depends on when it was computed last."""
    later = NOW + hours * HOUR
    stay = [item for item in items if later - PARAMS.window_ns < item.seen <= NOW]
    assert repr(read(stay, later, WEIGHTED)) == repr(read(stay, NOW, WEIGHTED))


@settings(deadline=None)
@given(ITEMS)
def test_a_score_lies_between_its_headlines(items: list[Item]) -> None:
    """It is a mean; and its dispersion is no more than half of what lies between the outermost."""
    found = read(items, NOW, WEIGHTED)
    tones = [tone(i.p) for i in items if i.p is not None and NOW - PARAMS.window_ns < i.seen <= NOW]
    assert found.n == len(tones)
    if tones:
        assert min(tones) - 1e-6 <= found.score <= max(tones) + 1e-6
    if len(tones) > 1:
        assert 0 <= found.dispersion <= (max(tones) - min(tones)) / 2 + 1e-6


@settings(deadline=None)
@given(ITEMS, st.floats(0.1, 10))
def test_only_the_ratio_of_weights_matters(items: list[Item], by: float) -> None:
    """All sources twice as heavy say the same."""
    scaled = SentimentParams("m@1", weights=(("wire", 2.5 * by), ("blog", 0.25 * by), ("", by)))
    one, other = read(items, NOW, WEIGHTED), read(items, NOW, scaled)
    assert one.score == pytest.approx(other.score, abs=2e-6, nan_ok=True)
    assert one.dispersion == pytest.approx(other.dispersion, abs=2e-6, nan_ok=True)


def test_a_norm_needs_five_sessions() -> None:
    """The mean of headlines a session, those without any included."""
    assert math.isnan(norm_of([3, 3, 3, 3]))
    assert norm_of([0, 0, 1, 0, 1]) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("today", "norm", "unusual"),
    [
        (2, 0.0, False),  # fewer than three never are
        (3, 0.0, True),
        (3, 0.4, True),  # 0.4 + 3 x 0.632 = 2.3
        (10, 4.0, False),  # 4 + 3 x 2 = 10, and not more
        (11, 4.0, True),
        (100, float("nan"), False),  # no norm
    ],
)
def test_unusual_is_three_deviations_above_the_own_norm(today: int, norm: float, unusual: bool) -> None:
    """A Poisson count of mean m has the deviation sqrt(m)."""
    assert is_unusual(today, norm) is unusual


def walk(n: int, step: float = 0.01) -> list[float]:
    """Return closes that go up and down by turns."""
    return [100.0 * math.exp(step * (i % 2)) for i in range(n)]


def test_a_move_of_two_deviations_is_a_move_of_one() -> None:
    """Daily log returns of +-1 % in turn: a deviation of 0.01 x sqrt(20/19), over five sessions times sqrt(5)."""
    closes = walk(21)  # ends at 100, as it began
    deviation = 0.01 * math.sqrt(20 / 19) * math.sqrt(5)
    begun, past = closes[-6], past_of(closes, 6)
    assert move_of(past, begun * math.exp(deviation)) == pytest.approx(0.5)
    assert move_of(past, begun * math.exp(-2 * deviation)) == pytest.approx(-1.0)
    assert move_of(past, begun * math.exp(9 * deviation)) == 1.0


def test_a_move_is_unknown_where_prices_are() -> None:
    """Too few sessions, no price then or now, or none that ever moved."""
    closes = walk(21)
    assert math.isnan(move_of(past_of(closes[:5], 6), 100.0))
    assert math.isnan(move_of(past_of(closes[:10], 6), 100.0))  # nine returns; ten are needed
    assert math.isfinite(move_of(past_of(closes[:11], 6), 100.0))
    assert math.isnan(move_of(past_of(closes, 6), float("nan")))
    assert math.isnan(move_of(past_of([*closes[:-6], float("nan"), *closes[-5:]], 6), 100.0))
    assert math.isnan(move_of(past_of([100.0] * 21, 6), 100.0))
    # What a split leaves of a price that stood still is rounding; a deviation of a millionth is a price that moved.
    still = [100.0 / 3 * (1 + 1e-15 * (i % 2)) for i in range(21)]
    assert math.isnan(move_of(past_of(still, 6), 100.0 / 3))
    assert math.isfinite(move_of(past_of(walk(21, 1e-6), 6), 100.0))
    # A price of nothing is none: as the move's begin, among the returns, and now.
    assert math.isnan(move_of(past_of([*closes[:-6], 0.0, *closes[-5:]], 6), 100.0))
    assert past_of([0.0, *closes[1:]], 6) == past_of(closes[1:], 6)
    assert math.isnan(move_of(past_of(closes, 6), 0.0))
    assert math.isnan(move_of(past_of(closes, 6), float("inf")))


def test_what_is_less_something_unknown_is_unknown() -> None:
    """And a difference of nothing is no minus zero."""
    assert math.isnan(less(0.5, float("nan")))
    assert math.copysign(1.0, less(0.3, 0.3)) == 1.0
    assert np.isclose(less(0.5, -0.25), 0.75)


def test_figures_have_six_digits() -> None:
    """Tones of 1, 0 and 0: a third, the root of 2/9; a third as norm; and what is between two figures has no more."""
    found = read([said(0, (0.0, 0.0, 1.0)), said(0, (0.0, 1.0, 0.0)), said(0, (0.0, 1.0, 0.0))], NOW, PARAMS)
    assert (found.score, found.dispersion) == (0.333333, 0.471405)
    assert norm_of([1, 0, 0, 1, 0, 0]) == 0.333333
    assert 0.3 - 0.1 != 0.2
    assert less(0.3, 0.1) == 0.2
    assert less(0.333333, math.sqrt(2) / 3) == -0.138072  # 0.4714045...
