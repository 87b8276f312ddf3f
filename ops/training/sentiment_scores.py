"""What is measured of a sentiment model: from probabilities and labels to figures with their uncertainty."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS: Final = 10
RESAMPLES: Final = 1000
DIGITS: Final = 4
COUNTS: Final = ("n", "abstained")
"""Figures that are whole numbers."""


def softmax(logits: F64) -> F64:
    """Return probabilities [n, labels]."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p: F64 = e / e.sum(axis=1, keepdims=True)
    return p


def confusion(said: Ints, truth: Ints, labels: int) -> F64:
    """Return counts [truth, said]."""
    return np.bincount(truth * labels + said, minlength=labels * labels).reshape(labels, labels).astype(np.float64)


def macro_f1(counts: F64) -> float:
    """Return the mean over labels of the harmonic mean of precision and recall; a label that is nowhere counts 0."""
    hit = np.diag(counts)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return float(np.mean(np.where(both > 0, 2.0 * hit / np.maximum(both, 1.0), 0.0)))


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a share: 95 % for ``z`` = 1.96."""
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return middle - half, middle + half


def calibration_error(p: F64, truth: Ints, bins: int = BINS) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy over equal-width bins, by size."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == truth
    box = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(box, right, bins) - np.bincount(box, confidence, bins)
    return float(np.abs(gap).sum() / len(p))


def log_loss(p: F64, truth: Ints) -> float:
    """Return the mean negative log probability of what was true."""
    return float(-np.log(np.maximum(p[np.arange(len(p)), truth], 1e-12)).mean())


def temperature(logits: F64, truth: Ints) -> float:
    """Return what logits are to be divided by for the least log loss; golden-section search of its logarithm."""
    low, high = np.log(0.25), np.log(4.0)
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(softmax(logits / np.exp(a)), truth) < log_loss(softmax(logits / np.exp(b)), truth):
            high = b
        else:
            low = a
    return round(float(np.exp((low + high) / 2.0)), 4)


def measure(p: F64, truth: Ints, names: tuple[str, ...]) -> dict[str, float]:
    """Return the figures of one set, rounded to four digits.

    A row of NaN (the model abstained) counts as wrong in accuracy and recall and is left out of the calibration
    figures. Intervals are 95 %: Wilson's for the accuracy, percentiles of resampled sets for the macro-F1.
    """
    answered = np.isfinite(p).all(axis=1)
    labels = len(names)
    # An abstention is an answer outside the labels; its column is cut off after counting.
    said = np.where(answered, np.argmax(np.nan_to_num(p), axis=1), labels)
    counts = confusion(said, truth, labels + 1)[:labels]
    hits = int(np.trace(counts[:, :labels]))
    low, high = wilson(hits, len(truth))
    rng = np.random.default_rng(20260101)
    draws = rng.integers(0, len(truth), (RESAMPLES, len(truth)))
    resampled = [_f1(confusion(said[d], truth[d], labels + 1)[:labels]) for d in draws]
    share = counts.sum(axis=1) / len(truth)
    figures: dict[str, float] = {
        "n": len(truth),
        "abstained": int((~answered).sum()),
        "accuracy": hits / len(truth),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": _f1(counts),
        "macro_f1_low": float(np.percentile(resampled, 2.5)),
        "macro_f1_high": float(np.percentile(resampled, 97.5)),
        **{f"recall_{name}": float(counts[i, i] / max(counts[i].sum(), 1.0)) for i, name in enumerate(names)},
        **{f"precision_{name}": float(counts[i, i] / max(counts[:, i].sum(), 1.0)) for i, name in enumerate(names)},
        "calibration_error": calibration_error(p[answered], truth[answered]),
        "log_loss": log_loss(p[answered], truth[answered]),
        "log_loss_base": float(-(share[share > 0] * np.log(share[share > 0])).sum()),
        "majority_accuracy": float(share.max()),
    }
    return {name: round(value, DIGITS) for name, value in figures.items()}


def _f1(counts: F64) -> float:
    """Return the macro-F1 of counts [labels, labels + 1]: what was abstained from is in the truth, not in the said."""
    labels = len(counts)
    square = np.zeros((labels + 1, labels + 1))
    square[:labels] = counts
    hit, said, true = np.diag(square)[:labels], square.sum(axis=0)[:labels], square.sum(axis=1)[:labels]
    return float(np.mean(np.where(said + true > 0, 2.0 * hit / np.maximum(said + true, 1.0), 0.0)))


def table(metrics: dict[str, dict[str, float]], columns: tuple[str, ...]) -> str:
    """Return the figures as a Markdown table, one set a line."""
    lines = [f"| set | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    lines += [f"| {name} | {' | '.join(_figure(c, f[c]) for c in columns)} |" for name, f in metrics.items()]
    return "\n".join(lines)


def _figure(column: str, value: Any) -> str:
    return f"{value:,.0f}" if column in COUNTS else f"{value:.4f}"
