"""When the money of a trade in US equities settles (``semantics.md`` section 3)."""

from __future__ import annotations

from typing import Final

# First trade date (YYYYMMDD) of each shorter cycle, with its sessions: SEC Rule 15c6-1 as amended 2017 and 2023.
_CYCLES: Final[tuple[tuple[int, int], ...]] = ((20240528, 1), (20170905, 2), (0, 3))


def settlement_sessions(trade_date: int) -> int:
    """Return after how many sessions a US equity trade of this exchange date (YYYYMMDD) settles."""
    return next(sessions for first, sessions in _CYCLES if trade_date >= first)
