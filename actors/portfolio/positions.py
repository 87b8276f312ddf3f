"""Positions: average cost and FIFO lots side by side, and what a fill does to them.

A fill against the position closes first and opens with what is left (a flip). Which lots it closes is the rule of
:mod:`actors.values.lots`. Amounts are ``int`` in units of 1e-8. A part of an amount is taken half to even and the
remainder stays with the rest, so the parts of anything always sum to the whole: fees of both sides are allocated
exactly, and FIFO and average cost agree on realised + unrealised at every moment.

:func:`book` computes and changes nothing; :func:`fold` applies the event that came of it.
"""

from __future__ import annotations

import msgspec

from actors.messages.portfolio import PositionAdjusted, PositionChanged
from actors.values.fixed import mul, mul_ratio
from actors.values.lots import portions


class Lot(msgspec.Struct, gc=False):
    """What is left of one opening fill.

    Attributes:
        lot_id: exec_id of the fill that opened it.
        qty: signed.
        px, ts: entry price and stamp.
        cost: signed entry value of ``qty``.
        fees: entry fees that fall on ``qty``.
        high, low: extremes of known prices since the entry, as far as folded (:mod:`actors.portfolio.excursions`).
        session: number of the session it was opened in, 0 where not known.
        anchor: what its stop is measured from, in today's units: the entry price, or the best price since.
        stop_px: where its stop rests or was when it was swept away; 0 where it never rested.
        run: of the extremes of its symbol, the first that is not folded into those.
    """

    lot_id: str
    symbol: int
    qty: int
    px: int
    ts: int
    cost: int
    fees: int
    strategy: str
    confidence: float | None
    exempt: bool
    high: float
    low: float
    session: int = 0
    anchor: int = 0
    stop_px: int = 0
    run: int = 0


class Position(msgspec.Struct):
    """One symbol of one portfolio; kept after it went flat for what it has realised.

    Attributes:
        qty: signed.
        cost: signed total at average cost, without fees.
        realized, realized_fifo: profit so far before fees, by average cost and by lots.
        lots: by id, oldest first.
    """

    symbol: int
    qty: int = 0
    cost: int = 0
    realized: int = 0
    realized_fifo: int = 0
    lots: dict[str, Lot] = {}


class ClosedPiece(msgspec.Struct, gc=False):
    """The part of a lot that a fill closes.

    Attributes:
        qty: without sign.
        cost: signed entry value of the part.
        cash: signed cash the exit brings (+) or takes (-) before fees.
        entry_fees, exit_fees: that fall on the part.
    """

    lot: Lot
    qty: int
    cost: int
    cash: int
    entry_fees: int
    exit_fees: int


class Booking(msgspec.Struct):
    """What a fill does.

    Attributes:
        qty, cost: position after it.
        value: price x quantity of the fill.
        securities: change of the inventory at cost.
        realized, realized_fifo: by this fill, before fees.
        opened_qty: signed quantity of the new lot, 0 for none.
        opened_fees: fees of the fill that fall on the new lot.
        pieces: what it closes, in order.
    """

    qty: int
    cost: int
    value: int
    securities: int
    realized: int
    realized_fifo: int
    opened_qty: int
    opened_fees: int
    pieces: list[ClosedPiece]


def book(position: Position, side: int, qty: int, px: int, fees: int, lot_id: str) -> Booking:
    """Compute what a fill of ``qty`` > 0 at ``px`` does to a position; ``fees`` are all that it paid."""
    value = mul(px, qty)
    held = position.qty
    if held * side >= 0:
        signed = value if side > 0 else -value
        return Booking(held + side * qty, position.cost + signed, value, signed, 0, 0, side * qty, fees, [])
    size = -held if held < 0 else held
    closing = min(size, qty)
    removed = position.cost if closing == size else mul_ratio(position.cost, closing, size)
    closed_value = value if closing == qty else mul_ratio(value, closing, qty)
    exit_cash = closed_value if side < 0 else -closed_value
    exit_fees = fees if closing == qty else mul_ratio(fees, closing, qty)
    pieces = _close(position.lots, closing, exit_cash, exit_fees, lot_id)
    realized_fifo = exit_cash
    for piece in pieces:
        realized_fifo -= piece.cost
    opened = qty - closing
    opened_value = (value - closed_value) * side
    return Booking(
        held + side * qty,
        position.cost - removed + opened_value,
        value,
        opened_value - removed,
        exit_cash - removed,
        realized_fifo,
        side * opened,
        fees - exit_fees,
        pieces,
    )


def _close(lots: dict[str, Lot], closing: int, cash: int, fees: int, lot_id: str) -> list[ClosedPiece]:
    """Split a close over lots; cash and fees in proportion, the last takes the rest."""
    first = lots.get(lot_id) or next(iter(lots.values()))
    size = abs(first.qty)
    if closing <= size:
        return [_piece(first, closing, size, cash, fees)]
    pieces = []
    for lot, qty in portions(lots.values(), closing, lot_id):
        part, part_fees = cash, fees
        if qty != closing:
            part = mul_ratio(cash, qty, closing)
            part_fees = mul_ratio(fees, qty, closing)
        pieces.append(_piece(lot, qty, abs(lot.qty), part, part_fees))
        closing -= qty
        cash -= part
        fees -= part_fees
    return pieces


def _piece(lot: Lot, qty: int, size: int, cash: int, exit_fees: int) -> ClosedPiece:
    if qty == size:
        return ClosedPiece(lot, qty, lot.cost, cash, lot.fees, exit_fees)
    return ClosedPiece(lot, qty, mul_ratio(lot.cost, qty, size), cash, mul_ratio(lot.fees, qty, size), exit_fees)


def fold(position: Position, event: PositionChanged, px: float) -> Lot | None:
    """Apply a booked fill; return the lot it opened, whose extremes start at ``px``."""
    lots = position.lots
    cost_before = position.cost
    for lot_id, qty in event.closed:
        lot = lots[lot_id]
        size = abs(lot.qty)
        if qty == size:
            del lots[lot_id]
        else:
            lot.fees -= mul_ratio(lot.fees, qty, size)
            lot.cost -= mul_ratio(lot.cost, qty, size)
            lot.qty -= qty if lot.qty > 0 else -qty
    position.qty = event.qty
    position.cost = event.cost
    position.realized += event.realized
    position.realized_fifo += event.realized_fifo
    if event.opened is None:
        return None
    lot_id, qty = event.opened
    # A fill that closed something and still opened went through zero: all of the cost left is the new lot's.
    cost = event.cost if event.closed else event.cost - cost_before
    lot = Lot(
        lot_id,
        event.symbol,
        qty,
        event.px,
        event.ts,
        cost,
        event.opened_fees,
        event.strategy,
        event.confidence,
        event.exempt,
        px,
        px,
    )
    lots[lot_id] = lot
    return lot


def fold_lots(position: Position, event: PositionAdjusted, lots: dict[str, Lot]) -> None:
    """Apply a corporate action; ``lots`` are those there were, by id, of which the position keeps the adjusted ones."""
    kept = {}
    for lot_id, qty, px, cost, fees in event.lots:
        lot = lots[lot_id]
        lot.symbol, lot.qty, lot.px, lot.cost, lot.fees = event.new_symbol, qty, px, cost, fees
        kept[lot_id] = lot
    position.lots = kept
    position.qty = event.qty
    position.cost = event.cost
    position.realized += event.realized
    position.realized_fifo += event.realized_fifo
