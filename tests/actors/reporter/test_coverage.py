"""Tests of a value at risk: Kupiec's and Christoffersen's, by hand and by what they detect."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.reporter.analytics.coverage import chi_square_tail, coverage, independence, kupiec


@pytest.mark.parametrize(
    ("x", "degrees", "p"),
    [(3.841459, 1, 0.05), (6.634897, 1, 0.01), (5.991465, 2, 0.05), (9.210340, 2, 0.01), (0.0, 1, 1.0), (0.0, 2, 1.0)],
)
def test_tails_of_chi_square_are_those_of_the_tables(x: float, degrees: int, p: float) -> None:
    """Critical values as every table has them."""
    assert chi_square_tail(x, degrees) == pytest.approx(p, abs=1e-7)


def test_other_degrees_are_refused() -> None:
    """There is no closed form for three."""
    with pytest.raises(ValueError, match="3 degrees"):
        chi_square_tail(1.0, 3)


def test_kupiec_by_hand() -> None:
    """Five exceptions of 250 at 1 %.

    At 1 %: 245 ln 0.99 + 5 ln 0.01 = -2.46232 - 23.02585 = -25.48817; at 2 %: 245 ln 0.98 + 5 ln 0.02 = -4.94966
    - 19.56012 = -24.50978. Twice the difference is 1.95678, and half of that has erfc(sqrt(0.97839)) = 0.16186.
    """
    found = kupiec(250, 5, 0.01)
    assert found.lr == pytest.approx(1.95678, abs=1e-4)
    assert found.p == pytest.approx(0.16186, abs=1e-4)


def test_kupiec_without_exceptions_and_with_nothing_else() -> None:
    """None of 250 at 1 %: -2 x 250 ln 0.99 = 5.0252; all of 4 at 5 %: -2 x 4 ln 0.05 = 23.966."""
    assert kupiec(250, 0, 0.01).lr == pytest.approx(-500 * math.log(0.99))
    assert kupiec(4, 4, 0.05).lr == pytest.approx(-8 * math.log(0.05))
    assert kupiec(100, 5, 0.05).lr == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("n", "x", "p"), [(0, 0, 0.05), (10, 11, 0.05), (10, -1, 0.05), (10, 1, 0.0), (10, 1, 1.0)])
def test_what_cannot_be_tested_is_refused(n: int, x: int, p: float) -> None:
    """No sessions, more exceptions than sessions, no chance."""
    with pytest.raises(ValueError, match="cannot be tested"):
        kupiec(n, x, p)


def test_christoffersen_by_hand() -> None:
    """90 quiet behind quiet, 5 exceptions behind quiet, 4 quiet and 1 exception behind an exception.

    Together 6 of 100: 94 ln 0.94 + 6 ln 0.06 = -22.69675. Apart: 90 ln (90/95) + 5 ln (5/95) = -19.58824, and
    4 ln 0.8 + ln 0.2 = -2.50201, together -22.09025. Twice the difference is 1.2130.
    """
    found = independence((90, 5, 4, 1))
    assert found is not None
    assert found.lr == pytest.approx(1.2130, abs=1e-4)
    assert independence((0, 0, 0, 0)) is None
    quiet = independence((100, 0, 0, 0))
    assert quiet is not None
    assert (quiet.lr, quiet.p) == (0.0, 1.0)


def test_transitions_are_counted_between_neighbours_that_are_both_known() -> None:
    """Hits 0 1 1 . 1 0: the session that is not tested breaks the chain."""
    hits = np.array([False, True, True, True, True, False])
    known = np.array([True, True, True, False, True, True])
    found = coverage(hits, known, 0.05)
    assert found.transitions == (0, 1, 1, 1)
    assert (found.n, found.exceptions, found.expected) == (5, 3, 0.25)
    assert found.kupiec is not None
    assert found.independence is not None
    assert found.conditional is not None
    assert found.conditional.lr == pytest.approx(found.kupiec.lr + found.independence.lr)


def test_nothing_tested_is_nothing_said() -> None:
    """No sessions: no rate and no test."""
    found = coverage(np.zeros(5, dtype=bool), np.zeros(5, dtype=bool), 0.05)
    assert (found.n, found.rate, found.kupiec, found.independence, found.conditional) == (0, None, None, None, None)


def test_a_right_value_at_risk_is_seldom_rejected_and_wrong_ones_often() -> None:
    """1,000 sessions, 400 seeded runs, rejected at 5 %: about 5 % of right ones (2 to 9 %, counts being whole).

    One that is exceeded in 8 % of sessions is rejected for its coverage nearly always; exceptions that come in pairs at
    the right rate are rejected for their independence nearly always.
    """
    rng = np.random.default_rng(8)
    known = np.ones(1_000, dtype=bool)
    right = wrong = paired = 0
    for _ in range(400):
        conditional = coverage(rng.random(1_000) < 0.05, known, 0.05).conditional
        pof = coverage(rng.random(1_000) < 0.08, known, 0.05).kupiec
        first = rng.random(1_000) < 0.025
        apart = coverage(first | np.roll(first, 1), known, 0.05).independence
        assert conditional is not None
        assert pof is not None
        assert apart is not None
        right += conditional.p < 0.05
        wrong += pof.p < 0.05
        paired += apart.p < 0.05
    assert 0.02 * 400 <= right <= 0.09 * 400
    assert wrong > 0.9 * 400
    assert paired > 0.95 * 400
