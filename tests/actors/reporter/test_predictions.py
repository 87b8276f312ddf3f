"""Prediction quality on series whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from actors.reporter.analytics.predictions import (
    PredictionColumns,
    hit_rate,
    hit_rate_interval,
    quality,
    reliability_table,
    spearman_interval,
)


def columns(n: int, skill: float, seed: int = 1) -> PredictionColumns:
    """Scores whose sign is right with probability (1 + skill) / 2, ten a decision."""
    rng = np.random.default_rng(seed)
    realized = rng.normal(0, 0.01, n)
    right = rng.random(n) < (1 + skill) / 2
    score = np.where(right, 1, -1) * np.sign(realized) * rng.uniform(0.1, 1, n)
    p_up = 0.5 + np.sign(score) * skill / 2
    return PredictionColumns(score, p_up, realized, realized, np.arange(n) // 10, possible=2 * n)


def test_ties_are_counted_but_not_judged() -> None:
    """A zero score or a zero return is neither hit nor miss; what has not matured is not there."""
    found = hit_rate(np.array([1.0, -1, 0, 1, 1]), np.array([0.1, 0.1, 0.1, 0.0, np.nan]))
    assert (found["hits"], found["n"], found["ties"], found["value"]) == (1, 2, 2, 0.5)


def test_nothing_matured_is_null() -> None:
    """Without matured predictions there is no rate, no interval, no score."""
    nothing = np.full(3, np.nan)
    found = quality(PredictionColumns(np.ones(3), nothing, nothing, nothing, np.arange(3)), 1, 0)
    assert found["hit_rate"]["value"] is None
    assert found["ic"]["value"] is None
    assert found["brier"] is None
    assert found["reliability"] == []


def test_skill_is_found_and_its_interval_holds_the_truth() -> None:
    """A model right 60 % of the time is measured so, is calibrated, and has a positive rank correlation."""
    found = quality(columns(20_000, 0.2), 1, 0)
    assert found["hit_rate"]["low"] < 0.6 < found["hit_rate"]["high"]
    assert found["ic"]["low"] > 0.05
    assert found["ece"] < 0.02
    assert found["brier_skill"] == pytest.approx(0.04, abs=0.01)
    assert found["coverage"] == 0.5


def test_no_skill_is_not_mistaken_for_skill() -> None:
    """The intervals of a coin hold one half and zero."""
    found = quality(columns(5_000, 0.0), 1, 0)
    assert found["hit_rate"]["low"] < 0.5 < found["hit_rate"]["high"]
    assert found["ic"]["low"] < 0 < found["ic"]["high"]


def test_bootstrap_widens_with_dependence() -> None:
    """Ten copies of each instant must not narrow the interval: the block holds them together."""
    c = columns(600, 0.1)
    once = spearman_interval(c.score, c.realized, np.arange(600), 1, 3)
    copies = np.repeat(np.arange(600), 10)
    tenfold = spearman_interval(c.score[copies], c.realized[copies], copies, 1, 3)
    assert once is not None
    assert tenfold is not None
    assert tenfold[1] - tenfold[0] == pytest.approx(once[1] - once[0], rel=0.15)


def test_bootstrap_depends_on_the_seed_only() -> None:
    """Equal seeds give equal intervals."""
    c = columns(500, 0.1)
    a, b, other = (spearman_interval(c.score, c.realized, c.block, 4, seed) for seed in (3, 3, 4))
    assert a == b
    assert a != other


def test_reliability_bins_have_equal_mass() -> None:
    """Ten bins that differ by at most one member and cover everything."""
    rng = np.random.default_rng(2)
    p = rng.random(1003)
    table = reliability_table(p, (rng.random(1003) < p).astype(float))
    sizes = [row["n"] for row in table]
    assert sum(sizes) == 1003
    assert max(sizes) - min(sizes) <= 1
    assert all(row["low"] <= row["observed"] <= row["high"] for row in table)


def test_hit_rate_interval_by_blocks_is_honest_about_dependence() -> None:
    """Symbols that move as one are one piece of evidence: blocks see it, Wilson does not."""
    c = columns(400, 0.1)
    copies = np.repeat(np.arange(400), 20)
    wilson = hit_rate(c.score[copies], c.realized[copies])
    blocks = hit_rate_interval(c.score[copies], c.realized[copies], copies, 1, 3)
    once = hit_rate(c.score, c.realized)
    assert blocks is not None
    assert wilson["high"] - wilson["low"] < 0.3 * (blocks[1] - blocks[0])
    assert blocks[1] - blocks[0] == pytest.approx(once["high"] - once["low"], rel=0.15)
