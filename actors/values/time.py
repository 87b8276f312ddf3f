"""Times are ``int`` nanoseconds since 1970-01-01T00:00:00Z; intervals are ``Interval`` values."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
LATEST_NS: Final = 7_258_118_400 * SECOND_NS
"""2200-01-01: time that is made up, by a loop or a fast clock, ends here; 64 bits of nanoseconds end in 2262."""

_UNITS: Final = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Interval(msgspec.Struct, frozen=True, gc=False):
    """A bar interval or a prediction horizon: ``sessions`` trading sessions, or ``ns`` nanoseconds of time.

    Exactly one of the two is positive. ``"1d"`` counts sessions, ``"30m"`` counts minutes.
    """

    text: str
    ns: int = 0
    sessions: int = 0

    @property
    def is_daily(self) -> bool:
        """Whether the interval counts sessions rather than time."""
        return self.sessions > 0


def parse_interval(text: str) -> Interval:
    """Parse ``1d``, ``5d``, ``1m``, ``30m``, ``1h``, ``15s``.

    Raises:
        ValueError: the text is not a positive whole number followed by s, m, h or d.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    if match is None:
        message = f"{text!r} is not an interval: write a whole number and s, m, h or d, such as 1d or 5m"
        raise ValueError(message)
    count, unit = int(match[1]), match[2]
    if unit == "d":
        return Interval(text, sessions=count)
    return Interval(text, ns=count * _UNITS[unit])


def format_ts(ts: int) -> str:
    """Format as RFC 3339 UTC with milliseconds, or with all nine digits where milliseconds would lose something."""
    seconds, rest = divmod(ts, SECOND_NS)
    stamp = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if rest % 1_000_000:
        return f"{stamp}.{rest:09d}Z"
    return f"{stamp}.{rest // 1_000_000:03d}Z"
