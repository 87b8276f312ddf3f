"""Sale conditions: which prints move the last price of the consolidated tape, as the plans that run it say.

What was sold at an average or at an earlier price, out of sequence, for another settlement or in an odd lot says
nothing about where the market is: it triggers no stop, marks no position and meets no order (semantics section 2).

Two ways of writing ``cond`` are read. Letters of the CTA and UTP plans (``@``, ``@ TI``, ``F,I``), after the table
"update last" of CTS and UTDF; what moves the last price only where it is the first print of a day counts as one that
does not. And the flags of LEAN's data, in lower-case hexadecimal of three figures at least (``20000020``), named after
``TradeConditionFlags``. Anything else, and an empty cell, is a regular print. Extended hours (``T``) are no matter of
this table: what lies outside the session is told from its time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

NOT_LAST: Final = frozenset("BCGHIMNPQRUVWZ4789")
"""Average price, cash, bunched sold, price variation, odd lot, official close, next day, prior reference, official
open, seller, sold out of sequence in extended hours, contingent, average price, sold out of sequence, derivatively
priced, qualified contingent, reserved, corrected close."""

NOT_LAST_FLAGS: Final = sum(1 << bit for bit in (1, 2, 3, 9, 14, 18, 20, 22, 24, 25, 26, 31))
"""Cash, next day, seller, derivatively priced, out of sequence, stock-option, average price, price variation, official
close, prior reference price, official open, odd lot."""

_TOKENS: Final = re.compile(r"[0-9A-Za-z@]+")
_FLAGS: Final = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{3,16}")
_NUMBER: Final = re.compile(r"[0-9]{2}")


@lru_cache(maxsize=4096)
def moves_last(cond: str) -> bool:
    """Tell whether a print with these conditions moves the last price."""
    for token in _TOKENS.findall(cond):
        if _FLAGS.fullmatch(token):
            if int(token, 16) & NOT_LAST_FLAGS:
                return False
        elif not _NUMBER.fullmatch(token) and not NOT_LAST.isdisjoint(token):
            return False
    return True
