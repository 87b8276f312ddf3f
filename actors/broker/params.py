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
        same_event_fill: a market order may fill at the close of the bars it arrives with; not on ticks.
        fill_on_touch: a resting limit fills when a bar only touches it (frictionless); else it must be traded through.
        account: ``cash``, ``cash_strict`` or ``margin``.
        allow_short: SELL of more than is held opens a short.
        lot_size: smallest step of a quantity.
        latency_jitter_ns: up to so much is added to the latency of each order, drawn from the run's seed.
        spread_model: ``fixed`` charges ``spread_rate`` where no quote is known; ``dynamic`` widens it with volatility
            and towards the session's ends.
        slippage_volume_share: coefficient of slippage that grows with the square of the share of the bar's volume.
        impact_permanent: part of the impact that stays in the price for the rest of the session, a fraction.
        queue: a resting limit may fill at its price once what was ahead of it in the book has traded (ticks only).
        borrow_rate: annual fee on borrowed shares, act/360.
        margin_rate: annual interest on a debit balance, act/360.
        require_locate: a short sale needs the flag ``locate``.
        hard_to_borrow: symbols that need it in any case.
        seed: of the run.
        ssr: what restricts short sales: ``flagged`` by statuses, ``computed`` also by a fall of ten percent, ``off``.
        margin_call: ``liquidate`` reduces positions of a margin account whose equity is below maintenance, ``warn``
            only says so.
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
    latency_jitter_ns: int = 0
    spread_model: str = "fixed"
    slippage_volume_share: int = 0
    impact_permanent: int = 0
    queue: bool = True
    borrow_rate: int = 250_000
    margin_rate: int = 6_000_000
    require_locate: bool = False
    hard_to_borrow: tuple[str, ...] = ()
    seed: int = 0
    ssr: str = "flagged"
    margin_call: str = "liquidate"
