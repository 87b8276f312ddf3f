"""A trading session: the exchange date and the instants at which it opens and closes."""

from __future__ import annotations

import msgspec


class Session(msgspec.Struct, frozen=True, gc=False):
    """One trading session of a calendar.

    Attributes:
        date: exchange date as an int ``YYYYMMDD``.
        open_ts: nanoseconds UTC.
        close_ts: nanoseconds UTC; early closes are already in it.
        number: index of the session in the run's calendar, so that differences count sessions.
    """

    date: int
    open_ts: int
    close_ts: int
    number: int

    @property
    def date_text(self) -> str:
        """The exchange date as ``YYYY-MM-DD``."""
        text = str(self.date)
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
