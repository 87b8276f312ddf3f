"""Shortcuts of the planner: they save work and change nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.portfolio import planning
from actors.portfolio.allocation import Candidate, equal_weight, propose
from tests.actors.portfolio.harness import Desk, spec_of

N = 6
SCORES = st.dictionaries(st.integers(0, N - 1), st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=N)
MOVES = st.lists(st.floats(-0.3, 0.3), min_size=N, max_size=N)


@given(
    sides=st.lists(st.sampled_from([-1, 1]), max_size=12),
    slots=st.none() | st.integers(-2, 12),
    max_weight=st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.5]),
    min_weight=st.sampled_from([0.0, 0.05, 0.1, 1 / 3]),
    held=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_equal_weights_without_a_look_at_each_name_are_the_same_weights(sides, slots, max_weight, min_weight, held):
    """Where the shortcut answers, it answers as the rule for any method does."""
    bounds = {"slots": slots, "max_weight": max_weight, "min_weight": min_weight}
    size = equal_weight(len(sides), **bounds)
    names = [Candidate(i, side, 0.7, held[i]) for i, side in enumerate(sides)]
    if size is not None:
        assert propose("equal", names, **bounds).weights == tuple(side * size for side in sides)
    if slots is None and not min_weight:
        assert size is not None


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(MOVES, SCORES), min_size=1, max_size=8),
    allow_short=st.booleans(),
    min_order=st.sampled_from([0, 100, 2_000, 20_000]),
    buffer=st.sampled_from([0.0, 0.1]),
    lot=st.sampled_from([100_000_000, 1_000_000]),
    hold=st.booleans(),
)
def test_names_near_their_target_are_passed_over_as_the_full_walk_would(
    steps, allow_short, min_order, buffer, lot, hold
):
    """Orders are the same whether or not the planner looks at every name."""
    spec = spec_of(
        allow_short=allow_short, min_order_value=min_order * 10**8, cash_buffer=buffer, lot_size=lot, max_weight=0.3
    )
    quick, full = Desk(spec, n=N), Desk(spec, n=N)
    px = [20.0 + 7.0 * i for i in range(N)]
    for moves, scores in steps:
        px = [round(p * (1.0 + move), 2) for p, move in zip(px, moves, strict=True)]
        quick.bar(px)
        full.bar(px)
        found = quick.signal(scores, buy_and_hold=hold)
        calm = planning._calm
        planning._calm = lambda *_: np.zeros(0, dtype=np.intp)
        try:
            expected = full.signal(scores, buy_and_hold=hold)
        finally:
            planning._calm = calm
        assert found == expected
