"""Times as operators write them in scripts and options."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from actors.values.time import SECOND_NS
from daemon.kernel.errors import OperatorError

_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?(Z|z|[+-]\d{2}:?\d{2})?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TimeReader:
    """Reads times; an offset is needed unless the operator named a zone, a date alone is the exchange's."""

    def __init__(self, tz: str | None, exchange_zone: str) -> None:
        """Prepare.

        Args:
            tz: zone of times without an offset, or None to refuse them.
            exchange_zone: zone of dates alone.

        Raises:
            OperatorError: there is no such zone.
        """
        self._tz = None if tz is None else _zone(tz)
        self._exchange = _zone(exchange_zone)

    def __call__(self, text: str) -> int:
        """Return nanoseconds UTC; a date alone is its midnight at the exchange, before every session.

        Raises:
            ValueError: with a sentence that says what is wrong.
        """
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a time: write RFC 3339 such as 2024-01-02T14:30:00Z, or a date")
        date, clock, fraction, offset = match.groups()
        try:
            if offset is not None:
                moment = datetime.fromisoformat(f"{date}T{clock}{offset.upper()}")
            else:
                moment = datetime.fromisoformat(f"{date}T{clock or '00:00'}")
        except ValueError as error:
            raise ValueError(f"{text!r} is not a time: {error}") from None
        if offset is None:
            zone = self._exchange if clock is None else self._tz
            if zone is None:
                raise ValueError(f"{text!r} has no offset: write one, or name the zone with --tz")
            moment = moment.replace(tzinfo=zone)
        try:
            delta = moment.astimezone(UTC) - _EPOCH
        except OverflowError:
            raise ValueError(f"{text!r} is not a time of these centuries") from None
        return (delta.days * 86_400 + delta.seconds) * SECOND_NS + int((fraction or "0").ljust(9, "0"))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise OperatorError(
            f"there is no time zone {name!r}",
            code="UNKNOWN_ZONE",
            remedy="use a name such as America/New_York or UTC",
        ) from None
