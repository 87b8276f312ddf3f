"""What a fill may cost in fees, estimated before it happens."""

from __future__ import annotations

import msgspec

from actors.values.fixed import mul


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
