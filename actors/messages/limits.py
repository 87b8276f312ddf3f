"""The limits of the gate and the breakers as a message may carry them: a reload brings new ones, an event states both.

Fields are named on the wire, so that a limit added later reads as its default in older ledgers.
"""

from __future__ import annotations

import msgspec


class RiskLimits(msgspec.Struct, frozen=True):
    """Limits. Money in units of 1e-8, ratios as floats; 0 switches a limit off where it says so.

    Attributes:
        min_order_value, max_order_value: per order; the maximum grows to ``max_order_fraction`` of equity if larger.
            Both 0 for off. Orders that only reduce a position skip the minimum.
        max_order_qty: shares, 0 for off.
        max_position: gate cap of one symbol's value over equity, working orders included; 0 for off.
        max_positions: number of symbols held or being entered, less those a working market order closes; 0 for off.
        price_collar: largest distance of a limit or stop price from the reference, a fraction; 0 for off.
        min_confidence_buy, min_confidence_sell: gates on a signal's confidence; 0 for off.
        cash_reserve: what a buy reserves, as a multiple of its reference value; 1e-8 units (1.02 is 102_000_000).
            0 for off: no buy is reserved for or denied for want of cash; the broker cuts it to what cash pays.
        stale_ns: largest age of a symbol's last price for an entry on intraday data; 0 for off.
        stale_sessions: the same on daily data; 0 for off.
        duplicate_window_ns: same portfolio, strategy, symbol, side, quantity and price within this is a duplicate
            unless it belongs to another decision; 0 for off. A repeated client_order_id is always one.
        require_reference: deny an order whose symbol has no price yet.
        daily_loss_warn, daily_loss_block, daily_loss_halt: day loss as fractions of the previous close equity; 0 off.
        max_drawdown: loss from the persisted high-water mark that halts and latches; 0 for off.
        replay_resume_sessions: in replay, full sessions a drawdown halt lasts before it is lifted and the mark restarts
            at the equity of that moment; 0 for never.
        allow_short: SELL of more than is held may open a short.
        lot_size: smallest step of a quantity.
        replay: whether breakers follow the replay's reset rules.
    """

    min_order_value: int = 100 * 10**8
    max_order_value: int = 50_000 * 10**8
    max_order_fraction: float = 0.20
    max_order_qty: int = 0
    max_position: float = 0.20
    max_positions: int = 10
    price_collar: float = 0.10
    min_confidence_buy: float = 0.65
    min_confidence_sell: float = 0.60
    cash_reserve: int = 102_000_000
    stale_ns: int = 5_000_000_000
    stale_sessions: int = 1
    duplicate_window_ns: int = 1_000_000_000
    require_reference: bool = True
    daily_loss_warn: float = 0.018
    daily_loss_block: float = 0.02
    daily_loss_halt: float = 0.05
    max_drawdown: float = 0.20
    replay_resume_sessions: int = 0
    allow_short: bool = False
    lot_size: int = 100_000_000
    replay: bool = True
