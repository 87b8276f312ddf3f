"""Where a lot's stop is, by the method of its portfolio. Pure arithmetic, prices in units of 1e-8.

A stop lies a distance below what it is measured from (above, for a short):

- ``percent``: entry price x ``stop_loss``, once and for all.
- ``volatility``: entry price - k x sigma x entry price; sigma is the sample standard deviation (ddof 1) of the last 20
  sessions' simple returns.
- ``atr``: entry price - k x ATR(14), the average true range of J. Welles Wilder, *New Concepts in Technical Trading
  Systems*, 1978 (:mod:`actors.portfolio.ranges`).
- ``chandelier``: best price since the entry - k x ATR(22): Chuck LeBeau's chandelier exit, as told by Alexander Elder,
  *Come Into My Trading Room*, 2002. It hangs from the highest high of a long, from the lowest low of a short.
- ``trailing``: a ``trailing_stop`` order of the broker, ``trail_percent`` from the best price since it rests.

k is ``stop_multiple``, the sessions ``stop_lookback``. Only sessions that closed count. While there are not enough of
them the percent stop stands. A stop is moved at session closes and only towards the market: a long's never falls, even
where volatility grows. Corporate actions alone say it in other units.
"""

from __future__ import annotations

from typing import Final

from actors.portfolio.params import PortfolioSpec
from actors.values.fixed import PRICE_MAX, SCALE, mul, mul_ratio

PERCENT: Final = "percent"
VOLATILITY: Final = "volatility"
ATR: Final = "atr"
CHANDELIER: Final = "chandelier"
TRAILING: Final = "trailing"
STOPS: Final = (PERCENT, VOLATILITY, ATR, CHANDELIER, TRAILING)

FOLLOWING: Final = (CHANDELIER, TRAILING)
"""Measured from the best price since the entry, not from the entry price."""
RANGED: Final = (ATR, CHANDELIER)
"""Measured in average true ranges."""

_USUAL: Final = {VOLATILITY: 20, ATR: 14, CHANDELIER: 22}
HUNDRED_PERCENT: Final = 100 * SCALE


def lookback(spec: PortfolioSpec) -> int:
    """Return the sessions behind the portfolio's stops, 0 where they need none."""
    usual = _USUAL.get(spec.stop, 0)
    return usual and (spec.stop_lookback or usual)


def distance(spec: PortfolioSpec, px: int, gauge: float) -> int:
    """Return how far a stop measured from ``px`` is from it, 0 where that is not known.

    Args:
        spec: of the portfolio; its method is not ``percent``.
        px: entry price or best price since.
        gauge: deviation of session returns, or average true range in money; NaN where unknown. Not used for trails.
    """
    if spec.stop == TRAILING:
        return mul_ratio(px, spec.trail_percent, HUNDRED_PERCENT)
    size = spec.stop_multiple * gauge
    if not 0.0 < size < PRICE_MAX:  # also false for NaN
        return 0
    return mul(px, round(size * SCALE)) if spec.stop == VOLATILITY else round(size * SCALE)


def level(spec: PortfolioSpec, side: int, px: int, gauge: float) -> int:
    """Return where the stop of a long (``side`` +1) or short (-1) is, 0 where that is not known or not above 0.

    The other arguments as in :func:`distance`.
    """
    away = distance(spec, px, gauge)
    return max(0, px - side * away) if away else 0


def ratcheted(side: int, old: int, new: int) -> int:
    """Return the nearer to the market of two stops; 0 stands for none."""
    if not old or not new:
        return old or new
    return max(old, new) if side > 0 else min(old, new)
