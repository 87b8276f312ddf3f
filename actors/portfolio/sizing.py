"""From weights to whole lots, within the cash that the gate will let an order reserve. Units of 1e-8 throughout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.portfolio.params import PortfolioSpec
from actors.values.fixed import FIXED_MAX, SCALE, mul
from actors.values.margin import initial

WEIGHT_UNIT: Final = 10**9
"""Weights and fractions are counted in units of their ninth digit, so that no float touches money."""
QTY_MAX: Final = FIXED_MAX // 2
"""The largest position aimed at: half of what a message can carry, so that the way to its opposite fits too."""


class Want(msgspec.Struct, frozen=True, gc=False):
    """An entry to be paid for: ``qty`` > 0 at a reference of ``px``, long or short."""

    px: int
    qty: int
    short: bool = False


def target_qty(weight: float, equity: int, cash_buffer: float, px: int, lot_size: int) -> int:
    """Return the signed quantity worth ``weight`` x equity x (1 - cash_buffer), cut towards zero to a whole lot.

    At prices of 1e-8 that may be more than a message can carry; it is never more than :data:`QTY_MAX`.
    """
    if equity <= 0 or px <= 0:
        return 0
    size = abs(round(weight * WEIGHT_UNIT)) * (WEIGHT_UNIT - round(cash_buffer * WEIGHT_UNIT))
    qty = min(equity * size * SCALE // (px * WEIGHT_UNIT * WEIGHT_UNIT), QTY_MAX)
    qty -= qty % lot_size
    return qty if weight > 0 else -qty


def fees(spec: PortfolioSpec, value: int, qty: int) -> int:
    """Return the fees to expect of an order."""
    fee = mul(value, spec.cost_rate) if spec.cost_rate else 0
    if spec.cost_per_share:
        fee += mul(qty, spec.cost_per_share)
    return max(fee, spec.cost_min)


def need(spec: PortfolioSpec, px: int, qty: int, *, short: bool = False) -> int:
    """Return the cash the gate reserves for opening ``qty`` at a reference of ``px``.

    A buy reserves value x reserve + fees; a short half of the value (the margin beyond its own proceeds) + fees. In a
    margin account both reserve the initial requirement + fees.
    """
    value = mul(px, qty)
    if spec.margin:
        return initial(-qty if short else qty, mul(px, spec.cash_reserve)) + fees(spec, value, qty)
    reserve = mul(value, spec.cash_reserve)
    return (reserve // 2 if short else reserve) + fees(spec, value, qty)


def proceeds(spec: PortfolioSpec, px: int, qty: int) -> int:
    """Return the cash to count on from selling ``qty``: as far below the reference as a buy reserves above it.

    In a margin account half of the value was available before.
    """
    value = mul(px, qty)
    had = value - value // 2 if spec.margin else 0
    return max(0, mul(value, 2 * SCALE - spec.cash_reserve) - fees(spec, value, qty) - had)


def tied_up(value: int) -> int:
    """Return the cash a short position of this value ties up: its proceeds and half as much again (Reg T)."""
    return value + value // 2


def affordable(spec: PortfolioSpec, want: Want, qty: int, budget: int) -> int:
    """Return the largest whole-lot quantity up to ``qty`` whose :func:`need` is within ``budget``."""
    if need(spec, want.px, qty, short=want.short) <= budget:
        return qty
    # need() grows with the number of lots: bisect, which also holds with minimum fees and rounding.
    lot = spec.lot_size
    low, high = 0, -(-qty // lot)
    while high - low > 1:
        middle = (low + high) // 2
        if need(spec, want.px, middle * lot, short=want.short) <= budget:
            low = middle
        else:
            high = middle
    return low * lot


def bound_entries(spec: PortfolioSpec, wants: Sequence[Want], budget: int) -> list[int]:
    """Cut entries so that together they need no more than ``budget``; return their quantities.

    Where the budget is short every entry shrinks by the same fraction, so that no name pays for its place in the list.
    """
    total = sum(need(spec, w.px, w.qty, short=w.short) for w in wants) if len(wants) > 1 else 0
    budget = left = max(budget, 0)
    if 0 < total <= budget:
        return [w.qty for w in wants]
    result = []
    for want in wants:
        part = want.qty
        if total > budget:
            part = part * budget // total
            part -= part % spec.lot_size
        part = affordable(spec, want, part, left)
        if part:
            left -= need(spec, want.px, part, short=want.short)
        result.append(part)
    return result
