"""From scored headlines to figures: pure functions of what was known, exact in their sums.

Sums are ``math.fsum``: rounded once, so that headlines of equal stamps may stand in any order and a core that was
restored, or folded anew, gives the same bits. ``ops/sentiment.md`` has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from actors.predictor.sentiment.params import SentimentParams

DIGITS: Final = 6
"""Digits kept of every figure, where it is shown to a strategy as where it enters an event."""
NORM_SESSIONS: Final = 20
"""Sessions behind a symbol's own norm of headlines."""
NORM_MIN: Final = 5
"""With fewer of them there is no norm, and nothing is unusual."""
UNUSUAL_MIN: Final = 3
"""Fewer headlines in a session are never unusual."""
UNUSUAL_DEVIATIONS: Final = 3.0
MOVE_SESSIONS: Final = 5
"""Sessions over which the price move is taken that a score is held against."""
VOLATILITY_SESSIONS: Final = 20
"""Daily returns behind the volatility a move is measured in, at most; at least half of them."""
FLAT: Final = 1e-9
"""A standard deviation below this is that of a price that stood still, and of roundings: no scale for a move."""
FULL_SCALE: Final = 2.0
"""A move of so many deviations counts as much as a tone of 1."""

NAN: Final = float("nan")


class Item(msgspec.Struct):
    """One headline in a symbol's book.

    Attributes:
        seen: stamp at which it came in, nanoseconds UTC.
        news_id: as the source calls it.
        source: who published it.
        text: what the model was asked about.
        flags: what it is about.
        p: negative, neutral, positive; None while, or where, there is no score.
        session: how many sessions had come to their end before; -1 where nobody noted it.
    """

    seen: int
    news_id: str
    source: str
    text: str
    flags: tuple[str, ...] = ()
    p: tuple[float, float, float] | None = None
    session: int = -1


class Reading(msgspec.Struct, frozen=True):
    """What a symbol's headlines say at an instant.

    Attributes:
        score: weighted mean tone in [-1, 1]; NaN with fewer scored headlines than asked for.
        dispersion: weighted standard deviation of the tones; NaN below two headlines with a weight.
        n: scored headlines with a weight behind it.
        volume: headlines within the window, scored or not.
    """

    score: float = NAN
    dispersion: float = NAN
    n: int = 0
    volume: int = 0


def tone(p: tuple[float, float, float]) -> float:
    """Return the tone in [-1, 1]: probability of a positive text less that of a negative one."""
    return p[2] - p[0]


def within(items: Iterable[Item], now: int, window_ns: int) -> list[Item]:
    """Return the headlines that count at ``now``: seen by then, and younger than the window."""
    return [item for item in items if now - window_ns < item.seen <= now]


def read(items: Sequence[Item], now: int, params: SentimentParams) -> Reading:
    """Return what headlines say at ``now``.

    Ages are counted from the newest scored headline, not from ``now``: the factor between the two is common to all and
    falls out of a mean, and so the figures stay the same, to the bit, until a headline comes, is scored, or leaves the
    window.

    Args:
        items: in any order; what was seen after ``now`` or has left the window does not count.
        now: nanoseconds UTC.
        params: half-life, window, weights of sources, and how many are enough.
    """
    counted = within(items, now, params.window_ns)
    scored = [
        (item.seen, weight, item.p) for item in counted if item.p and (weight := params.weight(item.source)) > 0.0
    ]
    newest = max((seen for seen, _, _ in scored), default=now)
    weights = [weight * 2.0 ** -((newest - seen) / params.half_life_ns) for seen, weight, _ in scored]
    tones = [tone(p) for _, _, p in scored]
    n, volume = len(weights), len(counted)
    if not n or n < params.min_items:
        return Reading(n=n, volume=volume)
    total = math.fsum(weights)
    mean = math.fsum(w * s for w, s in zip(weights, tones, strict=True)) / total
    spread = NAN
    if n > 1:
        spread = math.sqrt(math.fsum(w * (s - mean) ** 2 for w, s in zip(weights, tones, strict=True)) / total)
    return Reading(_rounded(min(1.0, max(-1.0, mean))), _rounded(spread), n, volume)


def norm_of(counts: Sequence[int]) -> float:
    """Return a symbol's own norm: mean headlines a session over earlier sessions; NaN with fewer than five."""
    return NAN if len(counts) < NORM_MIN else _rounded(math.fsum(counts) / len(counts))


def is_unusual(today: int, norm: float) -> bool:
    """Whether a session's headlines are far above the norm: by three deviations of a Poisson count, and at least three.

    Never where there is no norm.
    """
    if math.isnan(norm):
        return False
    return today >= UNUSUAL_MIN and today > norm + UNUSUAL_DEVIATIONS * math.sqrt(norm)


class Past(msgspec.Struct, frozen=True):
    """What a price move is measured by: the close it begins at, and the log return that counts as 1; NaN: unknown."""

    begun: float = NAN
    scale: float = NAN


def past_of(closes: Sequence[float], back: int) -> Past:
    """Return what the move since an earlier close is measured by.

    Args:
        closes: of earlier and this session, oldest first; NaN where a symbol had none.
        back: which of ``closes``, counted from the end, the move begins at.
    """
    if len(closes) < back or not _is_price(closes[-back]):
        return Past()
    recent = closes[-(VOLATILITY_SESSIONS + 1) :]
    returns = [math.log(b / a) for a, b in pairwise(recent) if _is_price(a) and _is_price(b)]
    if len(returns) < VOLATILITY_SESSIONS // 2:
        return Past()
    mean = math.fsum(returns) / len(returns)
    deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    if not deviation > FLAT:
        return Past()
    return Past(closes[-back], deviation * math.sqrt(MOVE_SESSIONS) * FULL_SCALE)


def move_of(past: Past, price: float) -> float:
    """Return a price move on the scale of tones, in [-1, 1]: two deviations are 1; NaN where anything is unknown."""
    if math.isnan(past.scale) or not _is_price(price):
        return NAN
    return min(1.0, max(-1.0, math.log(price / past.begun) / past.scale))


def less(one: float, other: float) -> float:
    """Return a difference of two figures as it is kept; NaN where either is unknown."""
    return _rounded(one - other)


def _is_price(value: float) -> bool:
    return value > 0.0 and math.isfinite(value)


def _rounded(value: float) -> float:
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else NAN
