"""Value at risk and expected shortfall of what is held, by three methods, with their parts.

Positive = loss, as a fraction of the equity the weights refer to; the mean is included, deviations have ddof 1
(``semantics.md`` section 4). Below :data:`LEAST` observations nothing is known, which is None and never zero.

- *historical*: today's weights on the returns that were. Over ``h`` sessions each symbol's return is compounded over
  every overlapping window of ``h`` consecutive sessions. The quantile is linear, the shortfall Rockafellar and
  Uryasev's (2002, discrete).
- *normal*: mean and deviation of the same one-session series; over ``h`` sessions the mean times ``h``, the deviation
  times its root.
- *Monte Carlo*: draws of a multivariate normal with the sample's mean and covariance, scaled as a normal is; their
  quantile and shortfall are taken as those of history are.

The parts are Euler's: value at risk grows with all positions alike, so that position times derivative sums to it
(Tasche 1999). Of a normal the derivative is the covariance with the whole over its deviation; of history it is the
return in the very session, or the two, at the quantile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.risk.correlation import blocks
from actors.values.tails import (
    NORMAL,
    cvar_historical,
    cvar_normal,
    deviation,
    es_of_sorted,
    finite,
    quantile_place,
    tail_weights,
    var_historical,
    var_normal,
    var_of_sorted,
)

F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

LEAST: Final = 60
"""Observations without which a tail is unknown."""
HISTORICAL: Final = "historical"
NORMAL_METHOD: Final = "normal"
MONTECARLO: Final = "montecarlo"
METHODS: Final = (HISTORICAL, NORMAL_METHOD, MONTECARLO)
LEVELS: Final = (0.95, 0.99)
HORIZONS: Final = (1, 10)

ONE_SESSION: Final = "one session, nothing scaled"
SCALINGS: Final = {
    HISTORICAL: "overlapping windows of {h} sessions, each symbol's returns compounded",
    NORMAL_METHOD: "mean times {h}, deviation times the root of {h}",
    MONTECARLO: "mean and covariance times {h}",
}


class Tail(msgspec.Struct, frozen=True):
    """A value at risk with its expected shortfall; None where there are too few observations.

    Attributes:
        method, level, horizon: how, such as 0.95, over how many sessions.
        var, es: losses as fractions of equity, negative where even the tail is a gain; ``es >= var``.
        n: sessions, or windows of sessions, behind it.
        scaling: how one session became ``horizon``.
    """

    method: str
    level: float
    horizon: int
    var: float | None
    es: float | None
    n: int
    scaling: str


class Parts(msgspec.Struct, frozen=True):
    """What each position contributes; arrays ``[H]`` in the order of the sample's columns, sums as :class:`Tail`.

    Attributes:
        var, es: components: they sum to the whole.
        marginal: change of the value at risk for a change of the weight by 1.
    """

    var: F64
    es: F64
    marginal: F64


def scaling(method: str, horizon: int) -> str:
    """Say how one session becomes ``horizon`` of them."""
    return ONE_SESSION if horizon == 1 else SCALINGS[method].format(h=horizon)


class Sample:
    """Returns of some symbols over the sessions that all of them have.

    Attributes:
        ids: ``[H]`` their columns.
        returns: ``[n, H]`` oldest first, finite.
    """

    __slots__ = ("_common", "_means", "_of_all", "_windows", "ids", "returns")

    def __init__(self, returns: F64, ids: Ids) -> None:
        """Choose rows and columns.

        Args:
            returns: ``[T, N]`` simple returns, NaN where there is none.
            ids: columns; without any there are no sessions either.
        """
        self.ids = ids
        self._of_all: F64 = np.ascontiguousarray(returns[:, ids])
        self._common = np.isfinite(self._of_all).all(axis=1) if ids.size else np.zeros(len(returns), dtype=np.bool_)
        whole = bool(self._common.all())
        self.returns: F64 = self._of_all if whole else self._of_all[self._common]
        self._windows: dict[int, F64] = {1: self.returns}
        self._means: F64 | None = None

    @property
    def n(self) -> int:
        """Common sessions."""
        return len(self.returns)

    def means(self) -> F64:
        """Return ``[H]`` mean returns of one session; kept."""
        if self._means is None:
            self._means = self.returns.mean(axis=0) if self.n else np.zeros(self.ids.size)
        return self._means

    def windows(self, horizon: int) -> F64:
        """Return ``[m, H]`` returns over every ``horizon`` consecutive sessions that are all common; kept."""
        found = self._windows.get(horizon)
        if found is not None:
            return found
        count = len(self._of_all) - horizon + 1
        if horizon < 1 or count < 1:
            grown: F64 = self.returns[:0]
        else:
            known = np.lib.stride_tricks.sliding_window_view(self._common, horizon).all(axis=1)
            grown = np.empty((count, self.ids.size))
            for columns in blocks(self.ids.size):
                growth = 1.0 + self._of_all[:, columns]
                product = growth[:count].copy()
                for k in range(1, horizon):
                    product *= growth[k : k + count]
                np.subtract(product, 1.0, out=grown[:, columns])
            grown = grown if known.all() else grown[known]
        self._windows[horizon] = grown
        return grown


def portfolio_returns(returns: F64, weights: F64) -> F64:
    """Return what the weights would have earned in each session common to all that is held.

    Args:
        returns: ``[T, N]`` simple returns, NaN where there is none.
        weights: ``[N]`` signed values over equity; 0 for what is not held.

    Returns:
        ``[n]`` with ``n <= T``, oldest first; empty where nothing is held or a weight is not finite. No BLAS is used,
        so that what a limit is compared with is the same on every machine.
    """
    held = np.flatnonzero(weights)
    if not held.size or not np.isfinite(weights).all():
        return np.empty(0)
    of_held = returns if held.size == weights.size else returns[:, held]
    series: F64 = np.einsum("tn,n->t", of_held, weights[held])
    return series[np.isfinite(series)]


# -- of a series -------------------------------------------------------------------------------------------------------


def historical(pnl: F64, level: float) -> float | None:
    """Return the historical value at risk of a series ``[T]`` of finite returns or profits; None for fewer than 60.

    Args:
        pnl: one value a session.
        level: 0.95 for the loss exceeded in 5 % of sessions.
    """
    return var_historical(pnl, 1.0 - level) if pnl.size >= LEAST else None


def historical_es(pnl: F64, level: float) -> float | None:
    """Return the mean of the losses beyond: the worst ``(1 - level) * n`` outcomes, the last in part."""
    return cvar_historical(pnl, 1.0 - level) if pnl.size >= LEAST else None


def normal(pnl: F64, level: float) -> float | None:
    """Return the value at risk of a normal with the mean and deviation of the series."""
    return var_normal(pnl, 1.0 - level) if pnl.size >= LEAST else None


def normal_es(pnl: F64, level: float) -> float | None:
    """Return the expected loss beyond :func:`normal`."""
    return cvar_normal(pnl, 1.0 - level) if pnl.size >= LEAST else None


def tails_of_sorted(method: str, worst_first: F64, levels: Sequence[float], horizon: int, n: int) -> list[Tail]:
    """Return the tails of outcomes sorted from the worst; ``n`` observations are behind them."""
    if n < LEAST or not worst_first.size:
        return [Tail(method, level, horizon, None, None, n, scaling(method, horizon)) for level in levels]
    found = []
    for level in levels:
        var, es = var_of_sorted(worst_first, 1.0 - level), es_of_sorted(worst_first, 1.0 - level)
        # Where the worst outcomes are equal the two are one number, of which rounding makes two.
        found.append(Tail(method, level, horizon, finite(var), finite(max(es, var)), n, scaling(method, horizon)))
    return found


def tails_of_normal(mean: float, sd: float, levels: Sequence[float], horizon: int, n: int) -> list[Tail]:
    """Return the tails of a normal with these moments of one session, over ``horizon`` sessions."""
    text = scaling(NORMAL_METHOD, horizon)
    if n < LEAST:
        return [Tail(NORMAL_METHOD, level, horizon, None, None, n, text) for level in levels]
    drift, spread = mean * horizon, sd * math.sqrt(horizon)
    found = []
    for level in levels:
        z, beyond = _normal_factors(level)
        var, es = finite(z * spread - drift), finite(beyond * spread - drift)
        found.append(Tail(NORMAL_METHOD, level, horizon, var, es, n, text))
    return found


def _normal_factors(level: float) -> tuple[float, float]:
    """Return how many deviations value at risk and expected shortfall are below the mean."""
    quantile = NORMAL.inv_cdf(1.0 - level)
    return -quantile, NORMAL.pdf(quantile) / (1.0 - level)


# -- of positions ------------------------------------------------------------------------------------------------------


def factor_of(covariance: F64) -> F64:
    """Return ``A [H, H]`` with ``A A' = covariance``; a matrix that is only semi-definite is fine.

    Eigenvalues below zero, which rounding and pairwise estimates leave, count as zero: the nearest matrix that is a
    covariance (Higham 1988).
    """
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
    out: F64 = vectors * np.sqrt(np.maximum(values, 0.0))
    return out


def montecarlo(
    mean: F64,
    factor: F64,
    weights: F64,
    draws: int,
    rng: np.random.Generator,  # nondeterminism-ok: the caller's, seeded
    horizon: int = 1,
) -> F64:
    """Return ``draws`` profits of the weights, sorted from the worst.

    Args:
        mean: ``[H]`` of one session.
        factor: ``[H, K]`` with ``factor factor' = covariance``: :func:`factor_of`, or the centred returns
            ``[n, H]' / sqrt(n - 1)``.
        weights: ``[H]``.
        draws: how many; half of them are the others mirrored at the mean, which costs nothing and cancels its error.
        rng: decides everything.
        horizon: sessions; mean and covariance are multiplied by it.
    """
    half = rng.standard_normal((-(-draws // 2), factor.shape[1]))
    return drawn(float(mean @ weights), weights @ factor, half, horizon)


def drawn(mean: float, exposures: F64, half: F64, horizon: int) -> F64:
    """Return the profits of draws ``[S, K]`` of independent normals and of their mirror images, from the worst.

    Args:
        mean: of one session.
        exposures: ``[K]`` to each of the normals.
        half: the draws.
        horizon: sessions.
    """
    return _scaled(mean, _mirrored(exposures, half), horizon)


def _mirrored(exposures: F64, half: F64) -> F64:
    moves = half @ exposures
    out: F64 = np.concatenate((moves, -moves))
    out.sort()
    return out


def _scaled(mean: float, moves: F64, horizon: int) -> F64:
    """Return moves around nothing in one session as those of ``horizon`` sessions."""
    return moves * math.sqrt(horizon) + mean * horizon


def tails(
    sample: Sample,
    weights: F64,
    *,
    levels: Sequence[float] = LEVELS,
    horizons: Sequence[int] = HORIZONS,
    half: F64 | None = None,
    pnl: F64 | None = None,
) -> list[Tail]:
    """Return all tails of weights ``[H]`` on a sample: by method, then horizon, then level.

    Args:
        sample: of the symbols held.
        weights: their signed values over equity, finite.
        levels: such as 0.95.
        horizons: in sessions.
        half: ``[S, n]`` draws of independent normals for Monte Carlo, with the sample itself as the factor of its
            covariance; None leaves the method out.
        pnl: ``sample.returns @ weights`` where it is known already.
    """
    out: list[Tail] = []
    pnl = sample.returns @ weights if pnl is None else pnl
    n = pnl.size
    for horizon in horizons:
        of_windows = pnl if horizon == 1 else sample.windows(horizon) @ weights
        out += tails_of_sorted(HISTORICAL, np.sort(of_windows), levels, horizon, of_windows.size)
    mean = float(pnl.mean()) if n else 0.0
    sd = deviation(pnl) or 0.0
    for horizon in horizons:
        out += tails_of_normal(mean, sd, levels, horizon, n)
    if half is not None:
        moves = _mirrored((pnl - mean) / math.sqrt(n - 1), half) if n >= LEAST else pnl[:0]
        for horizon in horizons:
            out += tails_of_sorted(MONTECARLO, _scaled(mean, moves, horizon), levels, horizon, n)
    return out


def parts(
    sample: Sample, weights: F64, method: str, level: float, horizon: int = 1, pnl: F64 | None = None
) -> Parts | None:
    """Return what each position contributes to value at risk and expected shortfall; None where they are unknown.

    Args:
        sample: of the symbols held.
        weights: ``[H]`` their signed values over equity, finite.
        method: ``historical`` or ``normal``.
        level: such as 0.95.
        horizon: sessions.
        pnl: ``sample.returns @ weights`` where it is known already.

    Raises:
        ValueError: a method without parts.
    """
    pnl = sample.returns @ weights if pnl is None else pnl
    if method == HISTORICAL:
        returns = sample.windows(horizon)
        return _historical_parts(returns, weights, 1.0 - level, pnl if horizon == 1 else returns @ weights)
    if method == NORMAL_METHOD:
        return normal_parts(sample.returns, sample.means(), weights, level, horizon, pnl)
    message = f"{method} has no parts, only {HISTORICAL} and {NORMAL_METHOD} have"
    raise ValueError(message)


def _historical_parts(returns: F64, weights: F64, alpha: float, pnl: F64) -> Parts | None:
    n = pnl.size
    if n < LEAST:
        return None
    order = np.argsort(pnl, kind="stable")
    low, share = quantile_place(n, alpha)
    at = returns[order[low]]
    if share:
        at = at * (1.0 - share) + returns[order[low + 1]] * share
    whole, part, mass = tail_weights(n, alpha)
    beyond = returns[order[:whole]].sum(axis=0)
    if part:
        beyond = beyond + part * returns[order[whole]]
    return Parts(-at * weights, -beyond / mass * weights, -at)


def normal_parts(returns: F64, means: F64, weights: F64, level: float, horizon: int, pnl: F64) -> Parts | None:
    """Return the parts of some positions in the normal value at risk of a portfolio; None where they are unknown.

    Args:
        returns: ``[n, K]`` of these positions over the sessions of ``pnl``.
        means: ``[K]`` of one session.
        weights: ``[K]`` signed values over equity.
        level: such as 0.95.
        horizon: sessions.
        pnl: ``[n]`` of the whole portfolio.
    """
    n = pnl.size
    if n < LEAST:
        return None
    z, beyond = _normal_factors(level)
    sd = deviation(pnl) or 0.0
    drift = means * horizon
    slope = np.zeros(weights.size)
    if sd:
        slope = (pnl - pnl.mean()) @ returns * (math.sqrt(horizon) / ((n - 1) * sd))
    marginal = z * slope - drift
    return Parts(marginal * weights, (beyond * slope - drift) * weights, marginal)
