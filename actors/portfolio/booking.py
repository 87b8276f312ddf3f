"""A booking as the events that state it: everything their folds need stands in them."""

from __future__ import annotations

from actors.messages.orders import OrderFilled, OrderPartiallyFilled
from actors.messages.portfolio import PositionChanged, TradeClosed
from actors.portfolio.ledger import fill_postings
from actors.portfolio.positions import Booking, ClosedPiece
from actors.values.fixed import SCALE

RATIO_DIGITS = 9
OrderFill = OrderPartiallyFilled | OrderFilled


def position_changed(fill: OrderFill, booking: Booking, cash_before: int, now: int) -> PositionChanged:
    """Return the fact that a fill was booked. Fields are positional here: this is the hot path of every fill."""
    fees = fill.commission + fill.regulatory
    cash = -booking.value - fees if fill.side > 0 else booking.value - fees
    return PositionChanged(
        fill.portfolio,
        fill.exec_id,
        fill.symbol,
        booking.qty,
        booking.cost,
        booking.realized,
        booking.realized_fifo,
        cash_before + cash,
        (fill.exec_id, booking.opened_qty) if booking.opened_qty else None,
        tuple([(piece.lot.lot_id, piece.qty) for piece in booking.pieces]),
        fill_postings(
            cash,
            booking.securities,
            booking.realized,
            fill.commission,
            fill.regulatory,
            fill.spread,
            fill.slippage,
            fill.impact,
        ),
        now,
        fill.last_px,
        fill.px_source,
        booking.opened_fees,
        fill.strategy,
        fill.confidence,
        fill.exempt,
    )


def trade_closed(fill: OrderFill, piece: ClosedPiece, low: float, high: float, now: int) -> TradeClosed:
    """Return the round trip that a fill completes in (part of) a lot; ``low`` and ``high`` are its price range."""
    lot = piece.lot
    entry_px = lot.px / SCALE
    side = 1 if lot.qty > 0 else -1
    worst, best = (low, high) if side > 0 else (high, low)
    fees = piece.entry_fees + piece.exit_fees
    pnl = piece.cash - piece.cost - fees
    return TradeClosed(
        fill.portfolio,
        lot.lot_id,
        lot.symbol,
        side,
        piece.qty,
        lot.ts,
        lot.px,
        now,
        fill.last_px,
        fees,
        pnl,
        round(pnl / abs(piece.cost), RATIO_DIGITS) + 0.0 if piece.cost else 0.0,
        round(side * (worst / entry_px - 1.0), RATIO_DIGITS) + 0.0,
        round(side * (best / entry_px - 1.0), RATIO_DIGITS) + 0.0,
        lot.confidence,
        fill.reason,
        lot.strategy,
    )
