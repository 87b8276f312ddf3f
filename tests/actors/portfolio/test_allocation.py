"""Target weights: which names, how much, and the bounds that hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.portfolio.allocation import (
    METHODS,
    Candidate,
    confidence_weights,
    equal_weights,
    inverse_volatility_weights,
    propose,
    volatilities,
)
from actors.portfolio.allocation.choice import cap


def names(*confidences: float, held: tuple[int, ...] = (), side: int = 1) -> list[Candidate]:
    """Candidates 0, 1, ... with these confidences."""
    return [Candidate(i, side, c, i in held) for i, c in enumerate(confidences)]


def test_the_three_rules_on_numbers_one_can_check_by_hand():
    """1/n; in proportion to confidence; in proportion to 1/sigma."""
    assert equal_weights(4) == [0.25] * 4
    assert confidence_weights([0.6, 0.9]) == pytest.approx([0.4, 0.6])
    assert confidence_weights([0.0, 0.0]) == [0.5, 0.5]
    assert inverse_volatility_weights([0.01, 0.03]) == pytest.approx([0.75, 0.25])


def test_the_most_confident_names_are_chosen_and_ties_go_to_the_lower_id():
    """Two places, three names at the same confidence and one above."""
    proposal = propose("equal", names(0.7, 0.7, 0.9, 0.7), slots=2, max_weight=0.0, min_weight=0.0)
    assert proposal.symbols == (0, 2)
    assert proposal.weights == (0.5, 0.5)


def test_no_place_left_means_no_weight():
    """Names that stay without anybody's view may have taken all room, or more."""
    assert propose("equal", names(0.9), slots=0, max_weight=0.0, min_weight=0.0).symbols == ()
    assert propose("equal", names(0.9), slots=-1, max_weight=0.0, min_weight=0.0).symbols == ()


def test_shorts_have_negative_weights_of_the_same_rule():
    """The side is the sign; sizes do not care."""
    both = [Candidate(0, 1, 0.6, held=False), Candidate(3, -1, 0.9, held=False)]
    proposal = propose("confidence", both, slots=None, max_weight=0.0, min_weight=0.0)
    assert proposal.symbols == (0, 3)
    assert proposal.weights == pytest.approx((0.4, -0.6))


def test_what_a_cap_cuts_goes_to_the_others_and_to_cash_when_all_are_capped():
    """0.8/0.1/0.1 under 0.5 becomes 0.5/0.25/0.25; two names under 0.2 leave 0.6 in cash."""
    assert cap([0.8, 0.1, 0.1], 0.5) == pytest.approx([0.5, 0.25, 0.25])
    assert cap([0.7, 0.2, 0.1], 0.4) == pytest.approx([0.4, 0.4, 0.2])
    assert cap([0.5, 0.5], 0.2) == [0.2, 0.2]
    assert cap([0.9, 0.1], 0.0) == [0.9, 0.1]


def test_the_floor_drops_the_least_confident_entry_and_weighs_again():
    """Five equal names under a floor of 0.25: only four fit, the least confident one goes."""
    proposal = propose("equal", names(0.9, 0.8, 0.7, 0.95, 0.6), slots=None, max_weight=0.0, min_weight=0.25)
    assert proposal.symbols == (0, 1, 2, 3)
    assert proposal.weights == (0.25,) * 4


def test_the_floor_never_drops_what_is_held():
    """Held names keep a weight below the floor; a new one at the same weight does not get in."""
    proposal = propose("equal", names(0.9, 0.8, 0.7, 0.6, held=(1, 2, 3)), slots=None, max_weight=0.0, min_weight=0.4)
    assert proposal.symbols == (1, 2, 3)
    assert sum(proposal.weights) == pytest.approx(1.0)


def test_a_name_without_enough_data_abstains_and_frees_its_place():
    """Inverse volatility leaves it alone and says so; the next in rank takes the place."""
    sigmas = {0: 0.01, 2: 0.01, 3: 0.02}
    proposal = propose(
        "inverse_volatility", names(0.7, 0.9, 0.8, 0.6), slots=2, max_weight=0.0, min_weight=0.0, sigmas=sigmas
    )
    assert proposal.symbols == (0, 2)
    assert proposal.abstained == (1,)


def test_volatility_is_the_sample_deviation_of_simple_returns():
    """Against numpy on full data, and with a gap bridged by the last known close."""
    rng = np.random.default_rng(1)
    closes = 100 * np.cumprod(1 + rng.normal(0, 0.02, (61, 5)), axis=0)
    expected = np.std(closes[1:] / closes[:-1] - 1, axis=0, ddof=1)
    assert volatilities(closes, 60) == pytest.approx(expected, rel=1e-12)
    closes[30, 0] = np.nan
    known = closes[~np.isnan(closes[:, 0]), 0]
    assert volatilities(closes, 60)[0] == pytest.approx(np.std(known[1:] / known[:-1] - 1, ddof=1), rel=1e-12)


def test_volatility_needs_two_thirds_of_its_window_and_some_movement():
    """40 of 60 returns are enough, 39 are not; a constant price has no volatility to invert."""
    closes = np.full((61, 3), np.nan)
    closes[:, 2] = 5.0
    wave = 100 + np.arange(61) % 2
    closes[-41:, 0] = wave[-41:]
    closes[-40:, 1] = wave[-40:]
    sigma = volatilities(closes, 60)
    assert math.isfinite(sigma[0])
    assert np.isnan(sigma[1:]).all()


def test_volatility_of_no_rows_is_unknown():
    """Before the first bar nothing is known."""
    assert np.isnan(volatilities(np.empty((0, 2)), 60)).all()
    assert np.isnan(volatilities(np.ones((1, 2)), 60)).all()


def test_only_the_lookback_counts():
    """Rows before the window change nothing."""
    rng = np.random.default_rng(2)
    closes = 100 * np.cumprod(1 + rng.normal(0, 0.02, (100, 2)), axis=0)
    assert (volatilities(closes, 20) == volatilities(closes[-21:], 20)).all()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from([1, -1]), st.floats(1e-4, 0.5)), max_size=12),
    st.one_of(st.none(), st.integers(0, 6)),
    st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_any_proposal_keeps_its_bounds(method, rows, slots, max_weight, min_weight):
    """Never more than everything, never above the cap, no entry below the floor, no more names than places."""
    candidates = [Candidate(i, side, c, held) for i, (c, held, side, _) in enumerate(rows)]
    sigmas = {i: sigma for i, (_, _, _, sigma) in enumerate(rows)}
    proposal = propose(method, candidates, slots=slots, max_weight=max_weight, min_weight=min_weight, sigmas=sigmas)
    weights = dict(zip(proposal.symbols, proposal.weights, strict=True))
    assert sum(abs(w) for w in weights.values()) <= 1 + 1e-8
    assert list(proposal.symbols) == sorted(proposal.symbols)
    if slots is not None:
        assert len(weights) <= slots
    for symbol, weight in weights.items():
        assert weight * candidates[symbol].side >= 0
        if max_weight:
            assert abs(weight) <= max_weight + 1e-8
        if not candidates[symbol].held:
            assert abs(weight) >= min_weight - 2e-9
