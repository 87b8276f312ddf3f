"""Value at risk and expected shortfall of one series: the definitions behind every tail that is shown or judged.

Conventions (``facts/metrics.md`` section 2): ``r`` is a float64 array ``[n]`` of finite returns or profits, ``alpha``
the part of outcomes in the tail (0.05 for a level of 95 %), and what comes back is a loss: positive = loss, in the unit
of ``r``. The mean is included and deviations have ddof 1. A function answers None where its formula is not defined.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

NORMAL: Final = NormalDist()
EPSILON: Final = float(np.finfo(np.float64).eps)


def finite(value: float) -> float | None:
    """Return the value as a plain float, or None where it is not finite."""
    number = float(value)
    return number if math.isfinite(number) else None


def is_flat(values: F64, scale: float = 0.0) -> bool:
    """Tell whether a series has no dispersion beyond rounding: max - min <= 4 eps max|v|.

    The test is relative because the standard deviation of identical floats is not exactly zero. ``scale`` is the size
    of what the values were computed from, where that is larger than they are (a difference of two series).
    """
    if values.size == 0:
        return True
    low, high = float(values.min()), float(values.max())
    return high - low <= 4.0 * EPSILON * max(abs(low), abs(high), scale)


def deviation(r: F64) -> float | None:
    """Return the standard deviation with ddof 1; exactly 0 for a flat series."""
    if r.size < 2:
        return None
    return 0.0 if is_flat(r) else float(r.std(ddof=1))


def quantile_place(n: int, alpha: float) -> tuple[int, float]:
    """Return where the linear ``alpha`` quantile of ``n`` sorted values lies: the lower index and how far beyond it.

    The share is 0 where the quantile is a value itself, also at the last one.
    """
    at = alpha * (n - 1)
    low = min(math.floor(at), n - 1)
    return low, at - low if low < n - 1 else 0.0


def var_of_sorted(ascending: F64, alpha: float) -> float:
    """Return the loss at the linear quantile of outcomes sorted worst first, by the arithmetic of numpy's."""
    low, share = quantile_place(ascending.size, alpha)
    a = float(ascending[low])
    if not share:
        return -a
    b = float(ascending[low + 1])
    step = b - a
    return -(b - step * (1.0 - share) if share >= 0.5 else a + step * share)


def tail_weights(n: int, alpha: float) -> tuple[int, float, float]:
    """Return how the worst ``alpha * n`` of ``n`` outcomes are counted: so many whole, a part of the next, the sum.

    A part within rounding of nothing is nothing (Rockafellar and Uryasev 2002, the discrete case).
    """
    mass = alpha * n
    whole = min(math.floor(mass + 1e-9), n)
    part = mass - whole
    return (whole, part, mass) if part > 1e-9 and whole < n else (whole, 0.0, float(whole))


def es_of_sorted(ascending: F64, alpha: float) -> float:
    """Return the mean loss of the worst ``alpha * n`` of outcomes sorted worst first, the last one in part."""
    whole, part, mass = tail_weights(ascending.size, alpha)
    total = float((-ascending[:whole]).sum())
    if part:
        total += part * float(-ascending[whole])
    return total / mass


def var_historical(r: F64, alpha: float) -> float | None:
    """Return the loss at the alpha quantile (linear)."""
    return finite(var_of_sorted(np.sort(r), alpha)) if r.size >= 2 else None


def cvar_historical(r: F64, alpha: float) -> float | None:
    """Return the mean loss of the worst ``alpha * n`` outcomes, the last one in part (Rockafellar and Uryasev 2002).

    Equals the plain mean of the worst outcomes where ``alpha * n`` is a whole number; never below the VaR.
    """
    return finite(es_of_sorted(np.sort(r), alpha)) if r.size >= 2 else None


def var_normal(r: F64, alpha: float) -> float | None:
    """Return the loss at the alpha quantile of a normal with the sample's mean and deviation."""
    sd = deviation(r)
    return None if sd is None else finite(-(float(r.mean()) + NORMAL.inv_cdf(alpha) * sd))


def cvar_normal(r: F64, alpha: float) -> float | None:
    """Return the expected loss beyond :func:`var_normal` under the same normal."""
    sd = deviation(r)
    return None if sd is None else finite(-float(r.mean()) + sd * NORMAL.pdf(NORMAL.inv_cdf(alpha)) / alpha)
