"""Which names get a weight, and the bounds every weight keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from actors.messages.columns import SCORE_DIGITS
from actors.portfolio.allocation.confidence import confidence_weights
from actors.portfolio.allocation.equal import equal_weights
from actors.portfolio.allocation.inverse_volatility import inverse_volatility_weights

METHODS: Final = ("equal", "inverse_volatility", "confidence")
EPSILON: Final = 1e-9
"""Slack of comparisons with bounds: one unit of a rounded weight."""


class Candidate(msgspec.Struct, frozen=True):
    """A wanted name: ``side`` +1 long or -1 short, ``held`` whether something of it is held on that side already."""

    symbol: int
    side: int
    confidence: float
    held: bool


class Proposal(msgspec.Struct, frozen=True):
    """Signed weights by ascending symbol id, and wanted names left alone for want of data."""

    symbols: tuple[int, ...]
    weights: tuple[float, ...]
    abstained: tuple[int, ...]


def propose(
    method: str,
    candidates: Sequence[Candidate],
    *,
    slots: int | None,
    max_weight: float,
    min_weight: float,
    sigmas: dict[int, float] | None = None,
) -> Proposal:
    """Choose names by confidence (ties: lower id) and weigh them.

    Args:
        method: one of :data:`METHODS`.
        candidates: everything wanted.
        slots: names at most; None for no bound.
        max_weight: cap of one weight, 0 for none; what it cuts goes to names below it, else to cash.
        min_weight: an entry that would get less is dropped, the least confident first, and the rest weighed again.
            Names already held are never dropped for it.
        sigmas: volatility by symbol for ``inverse_volatility``; a name that is not there abstains and frees its slot.
    """
    ranked = sorted(candidates, key=lambda c: (-c.confidence, c.symbol))
    abstained: list[int] = []
    if method == "inverse_volatility":
        known = sigmas or {}
        abstained = sorted(c.symbol for c in ranked if c.symbol not in known)
        ranked = [c for c in ranked if c.symbol in known]
    chosen = ranked if slots is None else ranked[: max(slots, 0)]
    weights: list[float] = []
    while chosen:
        weights = cap(_weigher(method, sigmas)(chosen), max_weight)
        small = [i for i, c in enumerate(chosen) if not c.held and weights[i] < min_weight - EPSILON]
        if not small:
            break
        chosen = chosen[: small[-1]] + chosen[small[-1] + 1 :]
    pairs = sorted((c.symbol, c.side * round(w, SCORE_DIGITS)) for c, w in zip(chosen, weights, strict=False))
    return Proposal(tuple(s for s, _ in pairs), tuple(w for _, w in pairs), tuple(abstained))


def equal_weight(n: int, *, slots: int | None, max_weight: float, min_weight: float) -> float | None:
    """Return the size every weight of :func:`propose` has for ``equal`` among ``n`` names if nobody is left out.

    None where somebody may have to be left out, which needs a look at each; bounds as for :func:`propose`.
    """
    if slots is not None and n > slots:
        return None
    weight = 1.0 / n if n else 0.0
    if max_weight > 0.0:
        weight = min(weight, max_weight)  # all alike, so what one cap cuts finds nobody below it
    return None if weight < min_weight - EPSILON else round(weight, SCORE_DIGITS)


def cap(weights: Sequence[float], max_weight: float) -> list[float]:
    """Cut weights to ``max_weight`` (0: no cap) and hand the excess to the others in proportion, up to the cap."""
    result = list(weights)
    if max_weight <= 0.0:
        return result
    total = min(sum(result), max_weight * len(result))
    capped = [False] * len(result)
    while True:
        over = [i for i, w in enumerate(result) if not capped[i] and w > max_weight + EPSILON]
        for i in over:
            capped[i] = True
            result[i] = max_weight
        free = [i for i in range(len(result)) if not capped[i]]
        base = sum(result[i] for i in free)
        if not over or base <= 0.0:
            return [min(w, max_weight) for w in result]
        rest = total - max_weight * (len(result) - len(free))
        for i in free:
            result[i] *= rest / base


def _weigher(method: str, sigmas: dict[int, float] | None) -> Callable[[Sequence[Candidate]], list[float]]:
    if method == "equal":
        return lambda chosen: equal_weights(len(chosen))
    if method == "confidence":
        return lambda chosen: confidence_weights([c.confidence for c in chosen])
    known = sigmas or {}
    return lambda chosen: inverse_volatility_weights([known[c.symbol] for c in chosen])
