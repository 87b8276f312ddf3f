"""What a fill costs: spread, slippage and impact inside the price, commission and regulatory fees beside it.

Price of liquidity taken = reference + side x (half spread + slippage + impact), each a fraction of the reference and
rounded to the nearest 1e-8, and never worse than the order's limit: what does not fit is taken off impact first, then
slippage, then spread. A sale's price stays positive. A limit that rested trades at its reference and pays none of them.

* Half spread: half of the quoted spread where one is known at the bar's end that was traded at, else half of
  ``spread_rate``, or of the rate that :mod:`actors.broker.spreads` makes of it under ``dynamic``. A ``spread_rate`` of
  0 switches the spread off, quoted or not (``frictionless``). Who meets a quote itself, on ticks, always pays its half.
* Slippage: ``slippage_rate``, and ``slippage_volume_share`` x (fill quantity / volume of the bar or print)^2, the form
  of ``VolumeShareSlippage`` in zipline (zipline/finance/slippage.py: price x price_impact x volume_share^2); its share
  counts the earlier fills of the bar too, ours the fill alone. Nothing where the volume is not known.
* Impact ``sqrt``: ``impact_sqrt_rate`` x sqrt(fill quantity / ADV); where ADV is unknown, and for ``linear``:
  ``impact_linear_rate`` per 100,000 of the fill's value at the reference. What earlier fills of the session left in the
  price (:mod:`actors.broker.aftermath`) is impact, too.
* Commission per order: per share and per value on what is filled so far, at least the minimum, at most the maximum
  rate (the maximum wins); a fill is charged the growth.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

import msgspec

from actors.broker.params import BrokerParams
from actors.values.fixed import SCALE, div_round, mul
from daemon.kernel.errors import ConfigError

_HALF: Final = SCALE // 2
_TWO: Final = 2 * SCALE
_SQUARE: Final = SCALE * SCALE
_LINEAR_UNIT: Final = 100_000 * SCALE * SCALE * SCALE
_LINEAR_HALF: Final = _LINEAR_UNIT // 2
IMPACTS: Final = ("none", "linear", "sqrt")


class Price(msgspec.Struct, frozen=True, gc=False):
    """A price after costs, and the money of each part; spread + slippage + impact = quantity x |px - reference|."""

    px: int
    spread: int
    slippage: int
    impact: int


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """What a trade would cost; prices and money in units of 1e-8.

    Attributes:
        px: expected average price.
        spread, slippage, impact, commission: money of each part.
        permanent: what of the impact would stay in the price for later fills of the session.
    """

    px: int
    spread: int
    slippage: int
    impact: int
    commission: int
    permanent: int

    @property
    def total(self) -> int:
        """All parts together, regulatory fees apart."""
        return self.spread + self.slippage + self.impact + self.commission


class CostModel:
    """The costs of one broker's schedule; holds no state.

    Attributes:
        free: nothing costs anything, but for the spread of a quote that is met.
    """

    __slots__ = (
        "_cap_rate",
        "_impact",
        "_linear_rate",
        "_min_commission",
        "_per_share",
        "_permanent",
        "_rate",
        "_share_rate",
        "_slippage_rate",
        "_spread_rate",
        "_sqrt_unit",
        "free",
    )

    def __init__(self, params: BrokerParams) -> None:
        """Read the schedule.

        Raises:
            ConfigError: an unknown impact model.
        """
        if params.impact not in IMPACTS:
            message = f"broker.impact is {params.impact!r}; choose one of {', '.join(IMPACTS)}"
            raise ConfigError(message, code="BAD_IMPACT")
        self._impact = params.impact != "none"
        self._spread_rate = params.spread_rate
        self._slippage_rate = params.slippage_rate
        self._share_rate = params.slippage_volume_share
        self._permanent = params.impact_permanent
        self._linear_rate = params.impact_linear_rate
        self._sqrt_unit = 4 * params.impact_sqrt_rate**2 if params.impact == "sqrt" else None
        self._per_share = params.commission_per_share
        self._rate = params.commission_rate
        self._min_commission = params.min_commission
        self._cap_rate = params.max_commission_rate
        self.free = not (
            self._impact
            or self._spread_rate
            or self._slippage_rate
            or self._share_rate
            or self._per_share
            or self._rate
            or self._min_commission
        )

    def take(
        self,
        ref: int,
        side: int,
        qty: int,
        limit: int | None,
        half_quoted: int | None,
        adv: int,
        volume: int = 0,
        spread_rate: int | None = None,
        pressure: int = 0,
        *,
        at_touch: bool = False,
    ) -> Price:
        """Price a fill that takes liquidity.

        Args:
            ref: reference price.
            side: +1 buy, -1 sell.
            qty: of the fill.
            limit: worst price allowed, or None.
            half_quoted: half of the quoted spread, or None where no quote is known.
            adv: average daily volume in units of 1e-8 shares, 0 where unknown.
            volume: of the bar or print that is traded at, units of 1e-8 shares, 0 where unknown.
            spread_rate: full spread where no quote is known, None: that of the schedule.
            pressure: how far earlier fills of the session pushed the price against this side, units of 1e-8.
            at_touch: the order meets a quote and not a bar: its spread is paid whatever the schedule says.
        """
        # Roundings are written out, half to even: (n + half a unit) // unit, less one on a tie that went to odd.
        half = slip = hit = 0
        if self._spread_rate or at_touch:
            if half_quoted is None:
                rate = self._spread_rate if spread_rate is None else spread_rate
                half, rest = divmod(ref * rate + SCALE, _TWO)
                if not rest:
                    half -= half & 1
            else:
                half = half_quoted
        if self._slippage_rate:
            slip, rest = divmod(ref * self._slippage_rate + _HALF, SCALE)
            if not rest:
                slip -= slip & 1
        if self._share_rate and volume:
            slip += div_round(ref * self._share_rate * qty * qty, SCALE * volume * volume)
        if self._impact:
            hit = self._impact_px(ref, qty, adv) + pressure
        total = half + slip + hit
        if not total:
            return Price(ref, 0, 0, 0)
        if side < 0 or limit is not None:
            room = ref - 1 if limit is None else side * (limit - ref)
            if total > room:
                half = min(half, room)
                slip = min(slip, room - half)
                hit = room - half - slip
                total = room
        shares, odd = divmod(qty, SCALE)
        if not odd:
            return Price(ref + side * total, shares * half, shares * slip, shares * hit)
        # The last part takes what rounding fractional quantities leaves, so that the parts sum exactly.
        money = mul(qty, total)
        spread = mul(qty, half) if slip or hit else money
        slippage = mul(qty, slip) if hit else money - spread
        return Price(ref + side * total, spread, slippage, money - spread - slippage)

    def _impact_px(self, ref: int, qty: int, adv: int) -> int:
        if adv and self._sqrt_unit is not None:
            # Twice the root, cut: it is odd exactly where the root lies in the upper half between two units.
            return (isqrt(ref * ref * qty * self._sqrt_unit // (adv * _SQUARE)) + 1) >> 1
        impact, rest = divmod(ref * ref * qty * self._linear_rate + _LINEAR_HALF, _LINEAR_UNIT)
        return impact if rest else impact - (impact & 1)

    def estimate(
        self,
        side: int,
        qty: int,
        ref: int,
        adv: int,
        limit: int | None = None,
        half_quoted: int | None = None,
        *,
        volume: int = 0,
        spread_rate: int | None = None,
        pressure: int = 0,
    ) -> Estimate:
        """Return what an order would cost if it filled whole at a price; arguments as :meth:`take` has them.

        A limit that would not take liquidity there rests: it pays its own price and commission.
        """
        if limit is not None and side * (limit - ref) < 0:
            return Estimate(limit, 0, 0, 0, self.commission_due(qty, mul(qty, limit)), 0)
        price = self.take(ref, side, qty, limit, half_quoted, adv, volume, spread_rate, pressure)
        commission = self.commission_due(qty, mul(qty, price.px))
        stays = self.stays(price.impact, qty, pressure) if self._permanent else 0
        return Estimate(price.px, price.spread, price.slippage, price.impact, commission, mul(qty, stays))

    def stays(self, impact: int, qty: int, pressure: int) -> int:
        """Return what of a fill's impact stays in the price, units of 1e-8; what it found there does so anyhow.

        Args:
            impact: of the fill in money, as its event tells it.
            qty: of the fill.
            pressure: as :meth:`take` was given it.
        """
        own = div_round(impact * SCALE, qty) - pressure
        return mul(own, self._permanent) if own > 0 else 0

    def commission_due(self, cum_qty: int, cum_value: int) -> int:
        """Return the whole commission of an order that has filled ``cum_qty`` for ``cum_value``."""
        raw = self._rate * cum_value
        if self._per_share:
            raw += self._per_share * cum_qty
        due, rest = divmod(raw + _HALF, SCALE)
        if not rest:
            due -= due & 1
        if self._min_commission:
            due = max(due, self._min_commission)
        if self._cap_rate:
            cap = mul(cum_value, self._cap_rate)
            return min(due, cap)
        return due


def half_spread(bid: float, ask: float) -> int | None:
    """Return half of a quoted spread in units of 1e-8; None where a side is missing or the quote is crossed."""
    if bid > 0 and ask >= bid and ask - bid < float("inf"):  # false for NaN
        return div_round(round(ask * SCALE) - round(bid * SCALE), 2)
    return None
