"""Figures of the sentiment model, against figures worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest

NAMES = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def scores(scripts):
    """Return the module that measures."""
    return scripts("sentiment_scores")


def one_hot(*labels: int) -> np.ndarray:
    """Return certain answers."""
    return np.eye(3)[list(labels)]


def test_accuracy_recall_and_f1_by_hand(scores) -> None:
    """Truth 0 0 1 1 1 2, said 0 1 1 1 2 2: F1 of 2/3, 2/3 and 2/3; recalls 1/2, 2/3 and 1."""
    figures = scores.measure(one_hot(0, 1, 1, 1, 2, 2), np.array([0, 0, 1, 1, 1, 2]), NAMES)
    assert figures["accuracy"] == 0.6667
    assert figures["macro_f1"] == 0.6667
    assert [figures[f"recall_{name}"] for name in NAMES] == [0.5, 0.6667, 1.0]
    assert [figures[f"precision_{name}"] for name in NAMES] == [1.0, 0.6667, 0.5]
    assert figures["majority_accuracy"] == 0.5


def test_a_label_that_is_never_said_has_an_f1_of_nothing(scores) -> None:
    """Always neutral where 2 of 4 are neutral: F1 of neutral 2*2/(4+2) = 2/3, of the others 0; the mean is 2/9."""
    figures = scores.measure(one_hot(1, 1, 1, 1), np.array([0, 1, 1, 2]), NAMES)
    assert figures["macro_f1"] == 0.2222
    assert figures["accuracy"] == 0.5


def test_an_abstention_is_a_wrong_answer_and_no_certainty(scores) -> None:
    """One of two is right, one is not answered: accuracy 1/2, and calibration looks at the answer alone."""
    p = one_hot(0, 1)
    p[1] = np.nan
    figures = scores.measure(p, np.array([0, 1]), NAMES)
    assert figures["accuracy"] == 0.5
    assert figures["abstained"] == 1
    assert figures["recall_neutral"] == 0.0
    assert figures["calibration_error"] == 0.0


def test_the_interval_of_a_share_is_wilsons(scores) -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    low, high = scores.wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_calibration_error_by_hand(scores) -> None:
    """Four answers of .9 of which two are right, one of .6 that is right: (4 * .4 + 1 * .4) / 5 = .4."""
    p = np.array([[0.9, 0.05, 0.05]] * 4 + [[0.2, 0.6, 0.2]])
    assert scores.calibration_error(p, np.array([0, 0, 1, 2, 1])) == pytest.approx(0.4)


def test_the_temperature_of_overconfident_logits_is_found(scores) -> None:
    """Labels drawn from softmax(z), logits given as 2 z: they are to be divided by 2."""
    rng = np.random.default_rng(5)
    z = rng.normal(0.0, 1.5, (50_000, 3))
    p = scores.softmax(z)
    truth = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    assert scores.temperature(2.0 * z, truth) == pytest.approx(2.0, abs=0.05)


def test_log_loss_of_the_base_rate_is_the_entropy(scores) -> None:
    """Of shares 1/2, 1/4, 1/4: 1.5 bits, 1.0397 nats."""
    figures = scores.measure(one_hot(0, 0, 1, 2), np.array([0, 0, 1, 2]), NAMES)
    assert figures["log_loss_base"] == 1.0397
