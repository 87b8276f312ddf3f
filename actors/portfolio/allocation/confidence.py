"""Weights in proportion to the confidence of each signal."""

from __future__ import annotations

from collections.abc import Sequence


def confidence_weights(confidences: Sequence[float]) -> list[float]:
    """Return weights proportional to ``confidences`` in [0, 1], summing to 1; all zero means equal weights."""
    total = sum(confidences)
    if total <= 0.0:
        return [1.0 / len(confidences)] * len(confidences)
    return [c / total for c in confidences]
