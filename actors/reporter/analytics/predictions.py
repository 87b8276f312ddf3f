"""Whether predictions came true: hit rate, calibration and rank correlation, per model and horizon.

Only matured predictions count. ``score`` says the direction by its sign, ``p_up`` is a probability of a rise (NaN where
not given), ``realized`` the simple return over the horizon (NaN where not matured).
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.basics import finite, is_flat, wilson

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LOG_CLIP: Final = 1e-12
BINS: Final = 10
REPLICATES: Final = 500


class PredictionColumns(msgspec.Struct, frozen=True):
    """Predictions of one model and horizon, ``[n]`` each, in order of decision.

    ``block`` numbers the instants (equal = same instant), ascending from 0. ``possible`` is how many predictions there
    could have been, had the model never abstained.
    """

    score: F64
    p_up: F64
    realized: F64
    realized_tradable: F64
    block: I64
    possible: int = 0


def hit_rate(score: F64, realized: F64) -> dict[str, Any]:
    """Return the share of right directions among matured predictions, with Wilson's interval; ties are only counted."""
    known = np.isfinite(realized)
    s, r = np.sign(score[known]), np.sign(realized[known])
    decided = (s != 0) & (r != 0)
    hits, n = int(np.count_nonzero(s[decided] == r[decided])), int(np.count_nonzero(decided))
    interval = wilson(hits, n)
    return {
        "value": hits / n if n else None,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "hits": hits,
        "n": n,
        "ties": int(known.sum()) - n,
    }


def brier(p: F64, y: F64) -> float | None:
    """Return the mean squared error of probabilities (Brier 1950)."""
    return float(np.mean((p - y) ** 2)) if p.size else None


def log_loss(p: F64, y: F64) -> float | None:
    """Return the mean negative log likelihood, probabilities clipped to [1e-12, 1 - 1e-12]."""
    if not p.size:
        return None
    q = np.clip(p, LOG_CLIP, 1.0 - LOG_CLIP)
    return float(-np.mean(y * np.log(q) + (1.0 - y) * np.log1p(-q)))


def reliability_table(p: F64, y: F64, bins: int = BINS) -> list[dict[str, Any]]:
    """Return equal-mass bins by forecast: n, mean forecast, observed frequency and its Wilson interval."""
    order = np.argsort(p, kind="stable")
    table = []
    for part in np.array_split(order, min(bins, p.size) or 1):
        if not part.size:
            continue
        ups = int(np.count_nonzero(y[part] > 0.5))
        interval = wilson(ups, int(part.size)) or (0.0, 1.0)
        row = {
            "n": int(part.size),
            "forecast": float(p[part].mean()),
            "observed": ups / part.size,
            "low": interval[0],
            "high": interval[1],
        }
        table.append(row)
    return table


def murphy(p: F64, y: F64, bins: int = BINS) -> dict[str, float] | None:
    """Split Brier's score (Murphy 1973): reliability - resolution + uncertainty + what varies within the bins."""
    if not p.size:
        return None
    base = float(y.mean())
    reliability = resolution = 0.0
    for row in reliability_table(p, y, bins):
        share = row["n"] / p.size
        reliability += share * (row["forecast"] - row["observed"]) ** 2
        resolution += share * (row["observed"] - base) ** 2
    uncertainty = base * (1.0 - base)
    score = float(np.mean((p - y) ** 2))
    return {
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": score - (reliability - resolution + uncertainty),
    }


def calibration_error(p: F64, y: F64, bins: int = BINS) -> float | None:
    """Return the expected calibration error over equal-mass bins."""
    if not p.size:
        return None
    rows = reliability_table(p, y, bins)
    return float(sum(row["n"] * abs(row["forecast"] - row["observed"]) for row in rows)) / p.size  # never above 1


def ranks(values: F64) -> F64:
    """Return ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]


def spearman(a: F64, b: F64) -> float | None:
    """Return the rank correlation; None for fewer than three pairs or a constant side."""
    if a.size < 3 or is_flat(a) or is_flat(b):
        return None
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    return finite(float(x @ y) / math.sqrt(float(x @ x) * float(y @ y)))


def spearman_interval(
    a: F64, b: F64, block: I64, length: int, seed: int, replicates: int = REPLICATES, level: float = 0.95
) -> tuple[float, float] | None:
    """Return a circular block-bootstrap interval of :func:`spearman` over instants (percentile method, seeded).

    Ranks are taken once over the whole sample. ``length`` is the number of neighbouring instants drawn together, at
    least the horizon, because overlapping horizons are correlated.
    """
    if a.size < 3 or is_flat(a) or is_flat(b):
        return None
    _, index = np.unique(block, return_inverse=True)
    m = int(index.max()) + 1
    if m < 3:
        return None
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    sums: F64 = np.stack([np.bincount(index, w, m) for w in (np.ones(a.size), x, y, x * y, x * x, y * y)], axis=1)
    n, sx, sy, sxy, sxx, syy = _resample(sums, length, seed, replicates).T
    covariance, vx, vy = sxy - sx * sy / n, sxx - sx * sx / n, syy - sy * sy / n
    good = (vx > 0) & (vy > 0)
    if good.sum() < replicates // 2:
        return None
    values = covariance[good] / np.sqrt(vx[good] * vy[good])
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def hit_rate_interval(
    score: F64, realized: F64, block: I64, length: int, seed: int, replicates: int = REPLICATES, level: float = 0.95
) -> tuple[float, float] | None:
    """Return a circular block-bootstrap interval of the hit rate over instants (percentile method, seeded).

    Wilson's interval takes every prediction for independent; symbols move together and horizons overlap, so this one is
    wider and nearer the truth.
    """
    product = np.sign(score) * np.sign(realized)
    decided = np.isfinite(product) & (product != 0)
    if not decided.any():
        return None
    _, index = np.unique(block[decided], return_inverse=True)
    m = int(index.max()) + 1
    if m < 3:
        return None
    right = (product[decided] > 0).astype(np.float64)
    sums: F64 = np.stack([np.bincount(index, w, m) for w in (right, np.ones(right.size))], axis=1)
    hits, n = _resample(sums, length, seed, replicates).T
    low, high = np.quantile(hits / n, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def _resample(sums: F64, length: int, seed: int, replicates: int) -> F64:
    """Return ``[replicates, k]`` totals of ``sums [m, k]`` over blocks of neighbouring rows drawn around a circle."""
    m, k = sums.shape
    length = max(1, min(length, m))
    starts = np.random.default_rng(seed).integers(0, m, size=(replicates, -(-m // length)))
    window = np.cumsum(np.concatenate((np.zeros((1, k)), sums, sums[:length])), axis=0)
    out: F64 = (window[starts + length] - window[starts]).sum(axis=1)
    return out


def quality(columns: PredictionColumns, horizon_instants: int, seed: int) -> dict[str, Any]:
    """Return everything said of one model and horizon, as plain values for ``metrics.json``."""
    matured = np.isfinite(columns.realized)
    score, realized, block = columns.score[matured], columns.realized[matured], columns.block[matured]
    instants = int(np.unique(block).size)
    length = max(horizon_instants, math.ceil(instants ** (1.0 / 3.0)) if instants else 1)
    interval = spearman_interval(score, realized, block, length, seed)
    usable = matured & np.isfinite(columns.p_up) & (columns.realized != 0)
    p, y = columns.p_up[usable], (columns.realized[usable] > 0).astype(np.float64)
    base = float(y.mean()) if y.size else None
    score_brier = brier(p, y)
    uncertainty = base * (1.0 - base) if base is not None else None
    signs = np.sign(columns.score)
    hits = hit_rate(columns.score, columns.realized)
    wide = hit_rate_interval(score, realized, block, length, seed)
    hits |= {"block_low": wide[0] if wide else None, "block_high": wide[1] if wide else None}
    return {
        "predictions": int(columns.score.size),
        "matured": int(matured.sum()),
        "instants": instants,
        "coverage": columns.score.size / columns.possible if columns.possible else None,
        "buy": int(np.count_nonzero(signs > 0)),
        "sell": int(np.count_nonzero(signs < 0)),
        "hold": int(np.count_nonzero(signs == 0)),
        "base_rate_up": float(np.mean(realized > 0)) if realized.size else None,
        "hit_rate": hits,
        "hit_rate_tradable": hit_rate(columns.score, columns.realized_tradable),
        "ic": {
            "value": spearman(score, realized),
            "low": interval[0] if interval else None,
            "high": interval[1] if interval else None,
            "n": int(score.size),
            "block": length,
        },
        "brier": score_brier,
        "brier_skill": 1.0 - score_brier / uncertainty if score_brier is not None and uncertainty else None,
        "murphy": murphy(p, y),
        "log_loss": log_loss(p, y),
        "ece": calibration_error(p, y),
        "n_probabilities": int(p.size),
        "reliability": reliability_table(p, y) if p.size else [],
    }
