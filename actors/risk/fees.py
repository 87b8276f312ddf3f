"""What a fill may cost in fees, estimated before it happens; and when the money of a sale settles."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.values.fixed import mul

# First trade date (YYYYMMDD) of each shorter cycle, with its sessions: SEC Rule 15c6-1 as amended 2017 and 2023.
_CYCLES: Final[tuple[tuple[int, int], ...]] = ((20240528, 1), (20170905, 2), (0, 3))


class FeeEstimate(msgspec.Struct, frozen=True, gc=False):
    """Commission terms, amounts in units of 1e-8: a fraction of the value, money per share, minimum per order."""

    rate: int = 0
    per_share: int = 0
    minimum: int = 0

    def of(self, value: int, qty: int) -> int:
        """Return the estimated commission of an order of this value and quantity."""
        fee = 0
        if self.rate:
            fee = mul(value, self.rate)
        if self.per_share:
            fee += mul(qty, self.per_share)
        return max(fee, self.minimum)


def settlement_sessions(trade_date: int) -> int:
    """Return after how many sessions a US equity trade of this exchange date (YYYYMMDD) settles."""
    return next(sessions for first, sessions in _CYCLES if trade_date >= first)
