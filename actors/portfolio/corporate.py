"""Corporate actions on a position, as the events that state them: pure functions of what is held and of the action.

A split scales every lot and leaves its cost; a fraction that makes no whole lot size is paid in cash at the last price
in new units, out of the oldest lots first, as a round trip of its own (``cash_in_lieu``). A rename moves position and
lots to the new symbol. A delisting pays the whole position out (``delist``). Neither pays fees. What is realised is
booked as a sale would be: at average cost in the ledger, by lots beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from actors.messages.portfolio import DividendAccrued, PositionAdjusted, TradeClosed
from actors.portfolio.booking import RATIO_DIGITS
from actors.portfolio.ledger import accrual_postings, fill_postings
from actors.portfolio.positions import Lot, Position
from actors.values.corporate import split_lots, split_px
from actors.values.fixed import SCALE, mul, mul_ratio

SPLIT: Final = "split"
DIVIDEND: Final = "dividend"
RENAME: Final = "rename"
DELIST: Final = "delist"
CASH_IN_LIEU: Final = "cash_in_lieu"

Range = Callable[[Lot, float], tuple[float, float]]
"""Gives the lowest and highest price known since a lot's entry, in its present units, an exit at a price included."""


class Adjusted(msgspec.Struct, frozen=True):
    """What becomes of a position, and the round trips that end with it."""

    position: PositionAdjusted
    trades: tuple[TradeClosed, ...] = ()


class Piece(msgspec.Struct):
    """A part of a lot that is paid in cash: quantity without sign, its signed entry value, cash, entry fees."""

    lot: Lot
    qty: int
    cost: int
    cash: int
    fees: int


def split(
    portfolio: str,
    position: Position,
    cash: int,
    ratio: tuple[int, int],
    lot_size: int,
    px: int,
    price_range: Range,
    now: int,
) -> Adjusted:
    """Split a position.

    Args:
        portfolio: its name.
        position: as held before; not changed.
        cash: of the portfolio.
        ratio: new shares, old shares.
        lot_size: smallest step of a position, units of 1e-8.
        px: last price in new units; what a fraction is paid at.
        price_range: of a lot.
        now: stamp of the action.
    """
    after = split_lots([(lot.lot_id, lot.qty) for lot in position.lots.values()], *ratio, lot_size)
    lots = {
        lot.lot_id: msgspec.structs.replace(lot, qty=qty, px=split_px(lot.px, *ratio))
        for lot, (_, qty) in zip(position.lots.values(), after.scaled, strict=True)
    }
    whole = Position(position.symbol, sum(lot.qty for lot in lots.values()), position.cost, lots=lots)
    pieces = _pieces(whole, after.cut, px)
    return _closed(portfolio, whole, pieces, cash, px, price_range, now, kind=SPLIT, reason=CASH_IN_LIEU, ratio=ratio)


def pay_out(portfolio: str, position: Position, cash: int, px: int, price_range: Range, now: int) -> Adjusted:
    """Pay a whole position out at ``px``, as a delisting does; the other arguments as in :func:`split`."""
    pieces = _pieces(position, [(lot.lot_id, abs(lot.qty)) for lot in position.lots.values()], px)
    return _closed(portfolio, position, pieces, cash, px, price_range, now, kind=DELIST, reason=DELIST)


def rename(portfolio: str, old: Position, new: Position, cash: int) -> PositionAdjusted:
    """Move a position to another symbol, in which the portfolio may hold shares of the same sign already."""
    lots = sorted([*new.lots.values(), *old.lots.values()], key=_age)
    return PositionAdjusted(
        portfolio=portfolio,
        symbol=old.symbol,
        kind=RENAME,
        new_symbol=new.symbol,
        qty=old.qty + new.qty,
        cost=old.cost + new.cost,
        realized=0,
        realized_fifo=0,
        cash=cash,
        lots=_rows(lots),
        postings=(),
    )


def accrue(portfolio: str, position: Position, per_share: int, ex_date: int, pay_date: int) -> DividendAccrued:
    """Return the dividend on a position held at the prior close; a short owes it."""
    amount = mul(position.qty, per_share)
    return DividendAccrued(
        portfolio=portfolio,
        symbol=position.symbol,
        qty=position.qty,
        per_share=per_share,
        amount=amount,
        ex_date=ex_date,
        pay_date=pay_date,
        postings=accrual_postings(amount),
    )


def _age(lot: Lot) -> int:
    return lot.ts


def _rows(lots: Iterable[Lot]) -> tuple[tuple[str, int, int, int, int], ...]:
    return tuple([(lot.lot_id, lot.qty, lot.px, lot.cost, lot.fees) for lot in lots])


def _pieces(position: Position, cut: Sequence[tuple[str, int]], px: int) -> list[Piece]:
    """Return what is paid in cash of which lot; each gets its part of the proceeds, the last what is left of them."""
    left = sum(qty for _, qty in cut)
    cash = mul(px, left if position.qty > 0 else -left)
    pieces = []
    for lot_id, qty in cut:
        lot = position.lots[lot_id]
        size = abs(lot.qty)
        part = cash if qty == left else mul_ratio(cash, qty, left)
        if qty == size:
            pieces.append(Piece(lot, qty, lot.cost, part, lot.fees))
        else:
            pieces.append(Piece(lot, qty, mul_ratio(lot.cost, qty, size), part, mul_ratio(lot.fees, qty, size)))
        cash -= part
        left -= qty
    return pieces


def _closed(
    portfolio: str,
    position: Position,
    pieces: list[Piece],
    cash: int,
    px: int,
    price_range: Range,
    now: int,
    *,
    kind: str,
    reason: str,
    ratio: tuple[int, int] = (1, 1),
) -> Adjusted:
    """Return a position less what is paid out of it."""
    size = abs(position.qty)
    closing = sum(piece.qty for piece in pieces)
    paid = sum(piece.cash for piece in pieces)
    removed = position.cost if closing == size else mul_ratio(position.cost, closing, size)
    gone = {piece.lot.lot_id: piece for piece in pieces}
    lots = []
    for lot in position.lots.values():
        piece = gone.get(lot.lot_id)
        if piece is None:
            lots.append(lot)
        elif piece.qty != abs(lot.qty):
            qty = lot.qty - piece.qty if lot.qty > 0 else lot.qty + piece.qty
            lots.append(msgspec.structs.replace(lot, qty=qty, cost=lot.cost - piece.cost, fees=lot.fees - piece.fees))
    realized = paid - removed
    event = PositionAdjusted(
        portfolio=portfolio,
        symbol=position.symbol,
        kind=kind,
        new_symbol=position.symbol,
        qty=sum(lot.qty for lot in lots),
        cost=position.cost - removed,
        realized=realized,
        realized_fifo=paid - sum(piece.cost for piece in pieces),
        cash=cash + paid,
        lots=_rows(lots),
        postings=fill_postings(paid, -removed, realized, 0, 0, 0, 0, 0),
        numerator=ratio[0],
        denominator=ratio[1],
        px=px if pieces else 0,
        paid=paid,
        closed=tuple([(piece.lot.lot_id, piece.qty) for piece in pieces]),
    )
    trades = [_trade(portfolio, piece, px, price_range(piece.lot, px / SCALE), now, reason) for piece in pieces]
    return Adjusted(event, tuple(trades))


def _trade(portfolio: str, piece: Piece, px: int, extremes: tuple[float, float], now: int, reason: str) -> TradeClosed:
    lot = piece.lot
    side = 1 if lot.qty > 0 else -1
    worst, best = extremes if side > 0 else (extremes[1], extremes[0])
    entry_px = lot.px / SCALE
    pnl = piece.cash - piece.cost - piece.fees
    return TradeClosed(
        portfolio=portfolio,
        lot_id=lot.lot_id,
        symbol=lot.symbol,
        side=side,
        qty=piece.qty,
        entry_ts=lot.ts,
        entry_px=lot.px,
        exit_ts=now,
        exit_px=px,
        fees=piece.fees,
        pnl=pnl,
        ret=round(pnl / abs(piece.cost), RATIO_DIGITS) + 0.0 if piece.cost else 0.0,
        mae=round(side * (worst / entry_px - 1.0), RATIO_DIGITS) + 0.0,
        mfe=round(side * (best / entry_px - 1.0), RATIO_DIGITS) + 0.0,
        entry_confidence=lot.confidence,
        exit_reason=reason,
        strategy=lot.strategy,
    )
