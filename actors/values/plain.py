"""Numbers for people: JSON without exponents, because simple readers stumble over ``1e-06``; amounts in a sentence."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

# A text is matched as a whole first, so that what looks like a number inside it stays as it is.
_TEXT_OR_EXPONENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?[eE][+-]?\d+')
_CENT: Final = Decimal("0.01")
_LONG: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)


def without_exponents(text: str) -> str:
    """Return a JSON document with every number written out; it reads back as the same value."""
    return _TEXT_OR_EXPONENT.sub(_plain, text)


def in_cents(*amounts: str) -> tuple[str, ...]:
    """Return amounts of money, plain decimals, as a sentence compares them: rounded half to even to cents.

    With every digit where rounding would make different ones look alike, or something look like nothing.
    """
    exact = [Decimal(amount) for amount in amounts]
    if not all(amount.is_finite() for amount in exact):
        return amounts
    # A whole amount stays as it is. The context is ours because the default one refuses what has more than 28 digits.
    rounded = [
        amount.quantize(_CENT, context=_LONG) if "." in text else amount
        for amount, text in zip(exact, amounts, strict=True)
    ]
    if len({*rounded}) < len({*exact}) or any(e and not r for e, r in zip(exact, rounded, strict=True)):
        return amounts
    return tuple(format(amount, "f") for amount in rounded)


def _plain(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.startswith('"') else format(Decimal(found), "f")
