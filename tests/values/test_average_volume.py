"""Average daily volumes: what counts as one of the twenty sessions, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from actors.values.average_volume import SESSIONS, AverageVolume
from actors.values.fixed import SCALE


def intraday(*sessions: float | None) -> AverageVolume:
    """Sessions of two bars of half each; None: a session without any bar, NaN: one whose bars say no volume."""
    made = AverageVolume(1, daily=False)
    for volume in sessions:
        if volume is not None:
            for _ in range(2):
                made.add(None, np.array([volume / 2]), has_null=volume != volume)  # noqa: PLR0124 - NaN
        made.end_session()
    return made


@pytest.mark.parametrize("empty", [None, float("nan")], ids=["no bar", "no volume"])
def test_a_session_that_tells_no_volume_is_one_of_the_twenty(empty: float | None) -> None:
    """100, then 19 of nothing: the mean is 100; one more, and nothing is known."""
    found = intraday(100.0, *[empty] * (SESSIONS - 1))
    assert found.of(0) == 100 * SCALE
    assert found.knows(0)
    found.end_session()
    assert found.of(0) == 0
    assert not found.knows(0)
    assert found.least() == (np.inf, False)


def test_what_is_known_again_counts_alone() -> None:
    """Of 100, nothing and 300 the mean is 200; a session of 0 is known to be 0."""
    assert intraday(100.0, None, 300.0).of(0) == 200 * SCALE
    assert intraday(100.0, None, 0.0).of(0) == 50 * SCALE


def test_sessions_of_a_daily_run_are_those_of_its_bars_and_nulls_count_among_them() -> None:
    """As many rows whichever way they come: the first of 21 is gone."""
    daily, nan = AverageVolume(1, daily=True), np.array([np.nan])
    daily.add(None, np.array([100.0]), has_null=False)
    for _ in range(SESSIONS - 1):
        daily.add(None, nan, has_null=True)
        daily.end_session()
    assert daily.of(0) == 100 * SCALE
    daily.add(None, nan, has_null=True)
    assert daily.of(0) == 0


def test_empty_sessions_survive_a_restart() -> None:
    """19 sessions behind the only known one, restored, and one more."""
    found, other = intraday(100.0, *[None] * (SESSIONS - 1)), AverageVolume(1, daily=False)
    other.restore(found.snapshot())
    assert other.of(0) == 100 * SCALE
    other.end_session()
    assert not other.knows(0)
