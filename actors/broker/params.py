"""What the simulated broker charges and allows (``semantics.md`` section 3)."""

from __future__ import annotations

import msgspec


class BrokerParams(msgspec.Struct, frozen=True):
    """Switches of the simulator. Rates and money are ``int`` in units of 1e-8 (a rate of 0.001 is 100_000).

    Attributes:
        commission_per_share: money per share.
        commission_rate: fraction of the fill's value.
        min_commission: per order, not per fill.
        max_commission_rate: cap as a fraction of the fill's value, 0 for none.
        regulatory_fees: charge the dated SEC and TAF fees on sells.
        slippage_rate: fraction of the reference price, on liquidity taken.
        spread_rate: full modelled spread as a fraction of the reference, where no quote is known.
        impact: ``none``, ``linear`` or ``sqrt`` (falls back to linear where ADV is unknown).
        impact_linear_rate: fraction per 100,000 of the fill's value.
        impact_sqrt_rate: fraction at a participation of 1 (fill quantity over ADV).
        participation: largest share of a bar's volume that may be filled, 0 for no cap.
        latency_ns: shifts arrival against quotes and trades only.
        same_event_fill: a market order may fill at the event it arrives with.
        fill_on_touch: a resting limit fills when a bar only touches it (frictionless); else it must be traded through.
        account: ``cash``, ``cash_strict`` or ``margin``.
        allow_short: SELL of more than is held opens a short.
        lot_size: smallest step of a quantity.
    """

    commission_per_share: int = 0
    commission_rate: int = 100_000
    min_commission: int = 0
    max_commission_rate: int = 0
    regulatory_fees: bool = False
    slippage_rate: int = 50_000
    spread_rate: int = 15_000
    impact: str = "sqrt"
    impact_linear_rate: int = 100_000
    impact_sqrt_rate: int = 2_000_000
    participation: int = 10_000_000
    latency_ns: int = 0
    same_event_fill: bool = False
    fill_on_touch: bool = False
    account: str = "cash"
    allow_short: bool = False
    lot_size: int = 100_000_000
