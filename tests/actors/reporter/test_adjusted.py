"""Prices in the units of a run's last session."""

from __future__ import annotations

import numpy as np

from actors.messages.market import CorporateAction
from actors.reporter.adjusted import adjusted
from actors.values.fixed import SCALE

DATES = np.array([20240304, 20240305, 20240306, 20240307])
NAN = np.nan


def test_what_was_held_from_the_start_grows_by_prices_and_dividends_alone() -> None:
    """400, 404, then four for one: 101, then ex a dividend of 1: 100. Bought at the start it is as good as it was.

    Before the split 100 and 101, before the dividend 100/101 of that: 99.0099, 100, 100, 100.
    """
    closes = np.array([[400.0], [404.0], [101.0], [100.0]])
    actions = (
        CorporateAction(1, 20240306, 0, "split", 4 * SCALE, numerator=4, denominator=1),
        CorporateAction(2, 20240307, 0, "dividend", SCALE),
    )
    found = adjusted(closes, closes, DATES, actions)
    assert np.allclose(found[:, 0], [100 * 100 / 101, 100.0, 100.0, 100.0], rtol=0, atol=1e-12)
    assert closes[0, 0] == 400.0
    opens = closes + 4
    assert np.allclose(adjusted(opens, closes, DATES, actions)[0], 404 / 4 * 100 / 101)


def test_a_new_name_has_the_history_of_the_old_one() -> None:
    """Where the old one has none, the new one keeps its own."""
    closes = np.array([[NAN, 7.0], [52.0, 8.0], [NAN, 52.0], [NAN, 53.0]])
    found = adjusted(closes, closes, DATES, (CorporateAction(1, 20240306, 0, "rename", 0, renamed_to=1),))
    assert np.array_equal(found[:, 1], [7.0, 52.0, 52.0, 53.0])
    assert np.isnan(found[:, 0]).all()


def test_without_actions_prices_are_the_same_object() -> None:
    """Nothing is copied for nothing."""
    closes = np.ones((4, 1))
    assert adjusted(closes, closes, DATES, ()) is closes
