"""Random portfolios draw fairly, without replacement, and only what has a price."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.reporter.benchmarks import _swaps, random_portfolios
from actors.reporter.holdings import QUANTUM, RandomHoldings


def drawn(width: int, positions: int, count: int, seed: int = 1) -> RandomHoldings:
    """Portfolios after their first draw, everything being known."""
    found = RandomHoldings(np.random.default_rng(seed), width, positions, count)
    found.swap(np.ones(width, dtype=np.bool_), positions)
    return found


def fair(hits: np.ndarray, trials: int, p: float) -> bool:
    """Whether all counts are within 4.5 standard deviations of the binomial's mean."""
    return bool((np.abs(hits - trials * p) <= 4.5 * np.sqrt(trials * p * (1 - p))).all())


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_every_swap_keeps_the_rules(data: st.DataObject) -> None:
    """No duplicates, newcomers priced, exactly the schedule where names suffice, as many places filled as can be."""
    width = data.draw(st.integers(1, 12), label="width")
    positions = data.draw(st.integers(1, width), label="positions")
    count = 7
    held = RandomHoldings(np.random.default_rng(data.draw(st.integers(0, 9))), width, positions, count)
    before = held.names
    for step in range(data.draw(st.integers(1, 6), label="steps")):
        known = np.array(data.draw(st.lists(st.booleans(), min_size=width, max_size=width)) if step else [True] * width)
        if not step and data.draw(st.booleans(), label="gaps at the start"):
            known[::2] = False
        swaps = positions if not step else data.draw(st.integers(1, positions), label="swaps")
        held.swap(known, swaps)
        after = held.names
        for c in range(count):
            old, new = before[c][before[c] < width].tolist(), after[c][after[c] < width].tolist()
            assert len(set(new)) == len(new) == held.filled[c]
            fresh = sorted(set(new) - set(old))
            assert known[fresh].all()
            assert len(fresh) <= swaps
            outside = sorted(set(np.flatnonzero(known).tolist()) - set(old))
            if len(outside) >= swaps:
                assert len(fresh) == swaps
            else:
                assert set(outside) <= set(new)
        values = np.round(np.random.default_rng(step).normal(0, 0.02, width) / QUANTUM) * QUANTUM
        assert held.sums(values).tolist() == np.append(values, 0.0)[after].sum(axis=1).tolist()
        before = after


@pytest.mark.parametrize(("positions", "swaps"), [(1, 1), (3, 1), (3, 3), (10, 2), (10, 8), (16, 3), (19, 1), (19, 19)])
def test_each_name_is_chosen_equally_often(positions: int, swaps: int) -> None:
    """After the first draw and after swaps, each name, and each pair of names, is held as often as any other."""
    width, count = 20, 10_000
    held = drawn(width, positions, count)
    known = np.ones(width, dtype=np.bool_)
    for _ in range(3):
        names = held.names
        assert fair(np.bincount(names.ravel(), minlength=width), count, positions / width)
        member = np.zeros((count, width))
        member[np.arange(count)[:, None], names] = 1.0
        pairs = (member.T @ member)[np.triu_indices(width, 1)]
        assert fair(pairs, count, positions * (positions - 1) / (width * (width - 1)))
        held.swap(known, swaps)


@pytest.mark.parametrize("priced", [18, 14, 9])
def test_who_leaves_and_who_comes_is_a_fair_choice(priced: int) -> None:
    """Of the held each leaves as often; of the free and priced each comes as often; both ways of drawing agree."""
    width, positions, swaps, count = 20, 6, 2, 20_000
    held = drawn(width, positions, count)
    known = np.arange(width) < priced
    old = held.names
    held.swap(known, swaps)
    new = held.names
    was, now = np.zeros((count, width + 1), dtype=bool), np.zeros((count, width + 1), dtype=bool)
    was[np.arange(count)[:, None], old] = True
    now[np.arange(count)[:, None], new] = True
    assert (now.sum(axis=1) == positions).all()
    left = (was & ~now)[:, :width].sum(axis=0)
    assert (left / was[:, :width].sum(axis=0)) == pytest.approx(np.full(width, swaps / positions), abs=0.02)
    came = (now & ~was)[:, :width]
    assert not came[:, priced:].any()
    assert fair(came.sum(axis=0)[:priced], count, swaps / priced)


def test_an_independent_history_for_each_portfolio() -> None:
    """How long a place is kept differs between portfolios as for independent draws: each is a story of its own."""
    held = drawn(40, 10, 5000)
    first = np.sort(held.names, axis=1)
    known = np.ones(40, dtype=np.bool_)
    for _ in range(5):
        held.swap(known, 1)
    kept = np.array([len(set(a) & set(b)) for a, b in zip(first.tolist(), held.names.tolist(), strict=True)])
    expected = 10.0
    for _ in range(5):
        expected = expected * 0.9 + (10 - expected) / 30  # some of the first come back
    assert kept.mean() == pytest.approx(expected, abs=0.06)
    assert kept.std() > 0.5


def test_one_name_and_all_names() -> None:
    """With one name, or all held, everybody holds the same and swaps change nothing."""
    for width in (1, 5):
        held = drawn(width, width, 4)
        held.swap(np.ones(width, dtype=np.bool_), 1)
        assert np.sort(held.names, axis=1).tolist() == [list(range(width))] * 4
        assert held.sums(np.ones(width)).tolist() == [width] * 4


def test_places_stay_empty_until_names_are_priced() -> None:
    """With nothing priced nothing is held; what comes later fills the places that change hands."""
    held = RandomHoldings(np.random.default_rng(1), 6, 4, 50)
    nobody, two, everybody = np.zeros(6, dtype=bool), np.arange(6) < 2, np.ones(6, dtype=bool)
    held.swap(nobody, 4)
    assert held.filled.tolist() == [0] * 50
    held.swap(two, 4)
    assert held.filled.tolist() == [2] * 50
    for _ in range(60):
        held.swap(everybody, 1)
    assert held.filled.tolist() == [4] * 50
    held.swap(nobody, 1)
    assert held.filled.tolist() == [3] * 50


def test_few_held_of_many_sum_as_many_held_of_few() -> None:
    """Looked up or multiplied, the sums are the same to the last bit."""
    values = np.round(np.random.default_rng(3).normal(0, 0.02, 60) / QUANTUM) * QUANTUM
    for positions in (3, 14, 15, 40):
        held = drawn(60, positions, 100)
        assert held.sums(values).tolist() == [float(values[row].sum()) for row in held.names]


def test_schedule_follows_traded_value() -> None:
    """Names swapped add up to traded value over twice a name's weight, to within one name."""
    rng = np.random.default_rng(2)
    turnover, exposure = rng.uniform(0, 0.3, 400), rng.uniform(0.3, 1.0, 400)
    wanted = np.cumsum(turnover / (2 * exposure / 10))
    assert np.abs(np.cumsum(_swaps(exposure, turnover, 10)) - wanted).max() <= 1.0
    assert _swaps(np.zeros(5), np.ones(5), 10).tolist() == [0] * 5


def test_exposure_and_costs_are_the_strategys_own() -> None:
    """Where all names move alike, each random portfolio earns exposure times the move, less the costs."""
    n = 120
    rng = np.random.default_rng(4)
    move, exposure, drag = rng.normal(0, 0.01, n), rng.uniform(-0.5, 1.0, n), rng.uniform(0, 0.001, n)
    closes = np.outer(np.cumprod(1 + move), rng.uniform(5, 500, 30))
    closes[:, 25:] = np.nan
    found = random_portfolios(closes, exposure, rng.uniform(0, 0.5, n), drag, np.zeros(n), 8, 1, 252.0, 0.02, count=50)
    earned = np.append(0.0, exposure[:-1] * (closes[1:, 0] / closes[:-1, 0] - 1)) - drag
    assert found is not None
    assert found.fan == pytest.approx(np.tile(np.append(1.0, np.cumprod(1 + earned)), (5, 1)), rel=1e-9)


SCRIPT = """
import numpy as np
from actors.reporter.benchmarks import random_portfolios
rng = np.random.default_rng(1)
closes = 100 * np.cumprod(1 + rng.normal(0, 0.01, (80, 40)), axis=0)
closes[rng.random(closes.shape) < 0.05] = np.nan
r = random_portfolios(closes, np.ones(80), np.full(80, 0.2), np.zeros(80), np.full(80, 0.001), 12, 7, 252.0, 0.02)
print(r.return_percentile, r.sharpe_percentile, r.fan.tobytes().hex())
"""


def test_a_seed_decides_whatever_the_surroundings() -> None:
    """Time zone, hash seed and number of threads change no bit."""
    said = []
    for zone, number, threads in (("UTC", "0", "1"), ("Asia/Tokyo", "42", "2")):
        environment = os.environ | {"TZ": zone, "PYTHONHASHSEED": number, "OPENBLAS_NUM_THREADS": threads}
        said.append(subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True))
    assert said[0].stdout == said[1].stdout
    assert len(said[0].stdout) > 1000
