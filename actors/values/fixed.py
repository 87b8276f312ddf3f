"""Fixed-point numbers: every price, quantity and amount of money is an ``int`` in units of 1e-8.

One scale for all three keeps the arithmetic plain: a price times a whole number of shares is exact,
and only a product of two fractional values is rounded (half to even, once, here). Python integers are
unbounded, so nothing overflows on the way; what enters a message must fit 64 bits (:data:`FIXED_MAX`), and vectorised
marks check their bounds separately (``semantics.md`` section 3).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

SCALE: Final = 100_000_000
DIGITS: Final = 8
MAGNITUDE_MAX: Final = 10
"""Decimal exponent of :data:`FIXED_MAX`."""

FIXED_MAX: Final = 2**63 - 1
"""The largest value a message can carry: 92,233,720,368.54775807."""

# Up to 2**51 units (22.5 million) a float names every eighth decimal. From there to here it may miss by one unit of
# 1e-8 (neighbouring floats are up to 1.5e-8 apart); beyond, the product with SCALE would no longer be exactly whole.
PRICE_MAX: Final = 90_000_000.0


class FixedPointError(ValueError):
    """A number that cannot become a fixed-point value: not finite, over-precise or out of range."""


def div_round(numerator: int, denominator: int) -> int:
    """Divide two integers, rounding half to even; exact for any size and either sign."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder + remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def mul(a: int, b: int) -> int:
    """Multiply two fixed-point values (price x quantity, price x rate), rounded half to even at 1e-8."""
    product = a * b
    quotient, remainder = divmod(product, SCALE)
    if remainder:
        twice = remainder + remainder
        if twice > SCALE or (twice == SCALE and quotient & 1):
            quotient += 1
    return quotient


def mul_ratio(value: int, numerator: int, denominator: int) -> int:
    """Return ``value * numerator / denominator`` rounded half to even."""
    return div_round(value * numerator, denominator)


def to_fixed(value: float) -> int:
    """Convert a finite float to fixed point, rounding half to even at 1e-8.

    Raises:
        FixedPointError: the value is not finite, or larger than a float can hold to 1e-8.
    """
    if not -PRICE_MAX <= value <= PRICE_MAX:  # also false for NaN
        message = f"{value!r} is not a finite number below {PRICE_MAX:,.0f}"
        raise FixedPointError(message)
    return round(float(value) * SCALE)  # a numpy float32 would multiply in 24 bits


def parse_fixed(text: str | float | Decimal) -> int:
    """Convert a human's number (JSON, TOML, CSV) exactly; more than 8 decimals are refused, not rounded.

    Raises:
        FixedPointError: not a number, not finite, more than 8 decimals, or beyond :data:`FIXED_MAX`.
    """
    shown = repr(text) if isinstance(text, str) else str(text)
    if isinstance(text, bool):
        message = f"{shown} is not a number"
        raise FixedPointError(message)
    try:
        # float.__repr__, since a numpy float shows its type around the shortest decimal.
        value = Decimal(float.__repr__(text)) if isinstance(text, float) else Decimal(text)
    except (InvalidOperation, TypeError, ValueError):
        message = f"{shown} is not a number"
        raise FixedPointError(message) from None
    if not value.is_finite():
        message = f"{shown} is not a finite number"
        raise FixedPointError(message)
    if not value:
        return 0
    # The exponents are looked at first: 1e-999999999 as a ratio has a denominator of a billion digits.
    if value.adjusted() > MAGNITUDE_MAX:
        message = f"{shown} is too large"
        raise FixedPointError(message)
    # A ratio is exact at any length; Decimal's own arithmetic would round to 28 digits.
    ratio = value.as_integer_ratio() if value.adjusted() >= -DIGITS else None
    if ratio is None or ratio[0] * SCALE % ratio[1]:
        message = f"{shown} has more than {DIGITS} decimals"
        raise FixedPointError(message)
    result = ratio[0] * SCALE // ratio[1]
    if abs(result) > FIXED_MAX:
        message = f"{shown} is too large"
        raise FixedPointError(message)
    return result


def to_float(value: int) -> float:
    """Return the nearest float; for features, ratios and pictures, never for bookkeeping."""
    return value / SCALE


def fmt(value: int) -> str:
    """Format as a plain decimal without exponent, rounding or trailing zeros: ``"101.25"``, ``"-0.5"``, ``"3"``."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), SCALE)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:08d}".rstrip("0")
