"""Does a value at risk hold what it promises: tests of how many sessions lost more, and of whether they came together.

A value at risk at level 95 % is right if 5 % of sessions lose more (coverage, Kupiec 1995) and if one such session says
nothing of the next (independence, Christoffersen 1998). Both are likelihood ratios, asymptotically chi-square with one
degree of freedom; their sum, conditional coverage, has two. The upper tails have closed forms: ``erfc(sqrt(x / 2))``
for one degree, ``exp(-x / 2)`` for two.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]

REJECT: Final = 0.05
"""A p-value below this speaks against the model."""


class Ratio(msgspec.Struct, frozen=True):
    """A likelihood ratio and the probability of a larger one if the model is right."""

    lr: float
    p: float


class Coverage(msgspec.Struct, frozen=True):
    """What the tests say.

    Attributes:
        n: sessions tested.
        exceptions: of them that lost more than the value at risk.
        expected: exceptions if the model is right.
        rate: exceptions a session, None without sessions.
        kupiec: coverage; None without sessions.
        independence: None where no two tested sessions follow each other.
        conditional: both together.
        transitions: (quiet to quiet, quiet to exception, exception to quiet, exception to exception).
    """

    n: int
    exceptions: int
    expected: float
    rate: float | None
    kupiec: Ratio | None
    independence: Ratio | None
    conditional: Ratio | None
    transitions: tuple[int, int, int, int]


def chi_square_tail(x: float, degrees: int) -> float:
    """Return the probability that a chi-square variable of 1 or 2 degrees of freedom exceeds ``x``.

    Raises:
        ValueError: other degrees.
    """
    if degrees == 1:
        return math.erfc(math.sqrt(max(x, 0.0) / 2.0))
    if degrees == 2:
        return math.exp(-max(x, 0.0) / 2.0)
    message = f"{degrees} degrees of freedom are not 1 or 2"
    raise ValueError(message)


def kupiec(n: int, exceptions: int, p: float) -> Ratio:
    """Return Kupiec's test of proportions: ``exceptions`` of ``n`` sessions where each should have chance ``p``.

    Raises:
        ValueError: no sessions, more exceptions than sessions, or a chance that is not between 0 and 1.
    """
    if n < 1 or not 0 <= exceptions <= n or not 0.0 < p < 1.0:
        message = f"{exceptions} of {n} at a chance of {p} cannot be tested"
        raise ValueError(message)
    return _ratio(
        _log_likelihood(n - exceptions, exceptions, exceptions / n), _log_likelihood(n - exceptions, exceptions, p), 1
    )


def independence(transitions: tuple[int, int, int, int]) -> Ratio | None:
    """Return Christoffersen's test that an exception says nothing of the next session; None without transitions.

    Args:
        transitions: as in :class:`Coverage`.
    """
    n00, n01, n10, n11 = transitions
    total = n00 + n01 + n10 + n11
    if not total:
        return None
    together = (n01 + n11) / total
    after_quiet = n01 / (n00 + n01) if n00 + n01 else 0.0
    after_exception = n11 / (n10 + n11) if n10 + n11 else 0.0
    apart = _log_likelihood(n00, n01, after_quiet) + _log_likelihood(n10, n11, after_exception)
    return _ratio(apart, _log_likelihood(n00 + n10, n01 + n11, together), 1)


def _log_likelihood(quiet: int, exceptions: int, chance: float) -> float:
    """Return the log-likelihood of so many quiet sessions and exceptions; what did not happen costs nothing."""
    out = quiet * math.log(1.0 - chance) if quiet else 0.0
    return out + exceptions * math.log(chance) if exceptions else out


def _ratio(free: float, held: float, degrees: int) -> Ratio:
    lr = max(0.0, 2.0 * (free - held))
    return Ratio(lr, chi_square_tail(lr, degrees))


def coverage(hits: Bools, known: Bools, p: float) -> Coverage:
    """Test a value at risk.

    Args:
        hits: ``[n]`` whether each session lost more than it.
        known: ``[n]`` which sessions are tested; others break the chain of neighbours.
        p: chance of an exception if it is right, 0.05 for a level of 95 %.
    """
    hits = hits & known
    n, x = int(np.count_nonzero(known)), int(np.count_nonzero(hits))
    both = known[1:] & known[:-1]
    before, after = hits[:-1], hits[1:]
    counts = [int(np.count_nonzero(both & (before == a) & (after == b))) for a in (False, True) for b in (False, True)]
    transitions = (counts[0], counts[1], counts[2], counts[3])
    pof = kupiec(n, x, p) if n else None
    ind = independence(transitions)
    conditional = None
    if pof is not None and ind is not None:
        lr = pof.lr + ind.lr
        conditional = Ratio(lr, chi_square_tail(lr, 2))
    return Coverage(n, x, p * n, x / n if n else None, pof, ind, conditional, transitions)
