"""Numbers in JSON as plain decimals: people and simple readers stumble over ``1e-06``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

# A text is matched as a whole first, so that what looks like a number inside it stays as it is.
_TEXT_OR_EXPONENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?[eE][+-]?\d+')


def without_exponents(text: str) -> str:
    """Return a JSON document with every number written out; it reads back as the same value."""
    return _TEXT_OR_EXPONENT.sub(_plain, text)


def _plain(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.startswith('"') else format(Decimal(found), "f")
