"""Margin of US stock accounts, exact: what positions need to be opened, what they need to be kept, what that leaves.

* Initial: Regulation T, 12 CFR 220.12(a) and (c): half of the value of a position bought; of one sold short half of
  its value beyond the proceeds, which stay in the account and are no buying power. FINRA Rule 4210(b) lets no position
  be opened with less than it takes to keep it, which matters for cheap shorts.
* Maintenance: FINRA Rule 4210(c): a quarter of the value of what is held long; for each share held short $5 or 30 % of
  its price, whichever is greater, and below a price of $5 a share $2.50 or the whole price, whichever is greater.

Equity is cash (negative: borrowed) plus what is held long less what is held short. It is compared with requirements at
present prices, so gains add buying power and losses take it away; the special memorandum account, house requirements,
concentration, the $2,000 minimum of Rule 4210(b)(4) and pattern day trading are not modelled.

Amounts, prices and quantities are ``int`` in units of 1e-8; quantities are signed, negative for short. A requirement
that is no whole unit is rounded up, so no account is let through for a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from actors.values.fixed import SCALE, mul

CHEAP: Final = 5 * SCALE
"""Price of a share below which a short has the other pair of minimums."""
SHORT_MIN: Final = 5 * SCALE
CHEAP_SHORT_MIN: Final = 5 * SCALE // 2


class Margin(msgspec.Struct, frozen=True, gc=False):
    """What positions come to at some prices; units of 1e-8.

    Attributes:
        net: signed value, shorts negative.
        initial: requirement to open them.
        maintenance: requirement to keep them.
    """

    net: int = 0
    initial: int = 0
    maintenance: int = 0


def maintenance(qty: int, px: int) -> int:
    """Return what a position needs to be kept (FINRA Rule 4210(c)).

    Args:
        qty: signed quantity.
        px: price of a share, positive.
    """
    if qty >= 0:
        return _part(mul(qty, px), 1, 4)
    size = -qty
    value = mul(size, px)
    if px < CHEAP:
        return max(value, _ceil(size * CHEAP_SHORT_MIN))
    return max(_part(value, 3, 10), _ceil(size * SHORT_MIN))


def initial(qty: int, px: int) -> int:
    """Return what a position needs to be opened (12 CFR 220.12; at least its maintenance, FINRA Rule 4210(b)).

    Args:
        qty: signed quantity.
        px: price of a share, positive.

    For a short this is beyond its proceeds: they are in the cash, and its value is a debit of the equity.
    """
    half = _part(mul(abs(qty), px), 1, 2)
    return half if qty >= 0 else max(half, maintenance(qty, px))


def margin_of(positions: Iterable[tuple[int, int]]) -> Margin:
    """Return what positions, given as (signed quantity, price), come to together."""
    net = opened = kept = 0
    for qty, px in positions:
        net += mul(qty, px)
        opened += initial(qty, px)
        kept += maintenance(qty, px)
    return Margin(net, opened, kept)


def excess(equity: int, requirement: int) -> int:
    """Return what equity leaves beyond a requirement; negative: what it lacks."""
    return equity - requirement


def buying_power(equity: int, requirement: int) -> int:
    """Return the value of marginable stock that the excess over an initial requirement can open: twice the excess."""
    return max(0, 2 * (equity - requirement))


def maintenance_bound(gross: int, net: int, shares_short: int, positions: int) -> int:
    """Return what the maintenance of an account is certain not to exceed, without looking at each position.

    Args:
        gross: sum of the positions' values without sign, units of 1e-8 as everything here.
        net: the same with sign.
        shares_short: shares held short, without sign.
        positions: how many there are, each of which is rounded.

    A share held long needs a quarter of its price; one held short never more than 30 % of its price and $5. An account
    whose equity is above the bound needs no exact look.
    """
    long, short = gross + net, gross - net  # both twice as much
    return long // 8 + 3 * short // 20 + shares_short * (SHORT_MIN // SCALE) + 2 * positions + 3


class Cut(msgspec.Struct, frozen=True, gc=False):
    """A position to be reduced by ``qty`` (without sign), which ``released`` so much of the requirement."""

    symbol: int
    qty: int
    released: int


def reduction(positions: Mapping[int, tuple[int, int]], lacking: int, lot: int) -> list[Cut]:
    """Return how far positions have to be reduced for the maintenance requirement to fall by ``lacking``.

    Args:
        positions: by symbol (signed quantity, price); those without a price are left alone.
        lacking: requirement less equity, positive.
        lot: smallest step of a quantity; a position that is no multiple of it may be closed whole.

    The position with the largest requirement goes first (the lower symbol where two are equal), each by no more lots
    than it takes; costs of the reduction are not foreseen. What all positions together cannot give is not asked for.
    """
    needs = {symbol: maintenance(qty, px) for symbol, (qty, px) in positions.items() if qty and px > 0}
    cuts: list[Cut] = []
    for symbol in sorted(needs, key=lambda s: (-needs[s], s)):
        if lacking <= 0:
            break
        qty, px = positions[symbol]
        cut = _least(qty, px, lacking, lot, needs[symbol])
        side = 1 if qty > 0 else -1
        released = needs[symbol] - maintenance(qty - side * cut, px)
        cuts.append(Cut(symbol, cut, released))
        lacking -= released
    return cuts


def _least(qty: int, px: int, lacking: int, lot: int, need: int) -> int:
    """Return the smallest whole-lot part of a position that releases ``lacking``, or all of it."""
    size = abs(qty)
    if need <= lacking:
        return size
    side = 1 if qty > 0 else -1
    low, high = 0, -(-size // lot)  # low lots release too little, high lots enough
    while high - low > 1:
        middle = (low + high) // 2
        if need - maintenance(qty - side * middle * lot, px) >= lacking:
            high = middle
        else:
            low = middle
    return min(high * lot, size)


def _part(value: int, numerator: int, denominator: int) -> int:
    """Return a part of a value, rounded up to a unit."""
    return -(-value * numerator // denominator)


def _ceil(product: int) -> int:
    """Return a product of two fixed-point numbers, rounded up to a unit."""
    return -(-product // SCALE)
