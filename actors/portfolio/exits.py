"""Automatic exits: a resting stop and a resting target for every entry lot of a strategy.

Both are reduce-only, good till cancelled, and name their lot. What closes or cuts the lot cancels or cuts them too, so
that together they never offer more shares than the lot still has. Lots that operators or scripts opened, and lots of
a strategy that buys and holds, have none. Where a stop rests is its portfolio's method (:mod:`actors.portfolio.stops`).
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.messages.orders import BUY, SELL, CancelOrder, OrderTerms, OrderType, ReplaceOrder, SubmitOrder, TimeInForce
from actors.portfolio.params import PortfolioSpec
from actors.portfolio.positions import Lot
from actors.portfolio.state import TIME_STOP, Working
from actors.portfolio.stops import TRAILING
from actors.values.fixed import SCALE, mul
from daemon.kernel.ids import client_order_id
from daemon.kernel.message import Command


def exit_px(px: int, move: float) -> int:
    """Return an entry price moved by a fraction, in units of 1e-8."""
    return mul(px, SCALE + round(move * SCALE))


def exit_id(owner: str, ticker: str, reason: str, lot_id: str, again: int = 0) -> str:
    """Name an exit of a lot; ``again`` counts the orders that were to bring it back, as ids stay used for ever."""
    return client_order_id(owner, ticker, 0, f"{reason[:4]}{again or ''}-{lot_id}")


def opening_exits(
    spec: PortfolioSpec,
    owner: str,
    ticker: str,
    symbol: int,
    lot_id: str,
    qty: int,
    px: int,
    strategy: str,
    stop: int = 0,
) -> list[SubmitOrder]:
    """Return the exits of a lot just opened, or of one whose exits come back.

    ``owner`` is the strategy's name as it stands in order ids, ``qty`` the signed quantity of the lot, ``px`` its entry
    price, ``stop`` where its stop rests, 0 for where a lot just opened has it: a trail, or ``stop_loss`` away. A target
    of a short below zero is left out.
    """
    side = 1 if qty > 0 else -1
    orders: list[tuple[str, OrderType, int | None, int | None]] = []
    if not stop and spec.stop == TRAILING:
        orders.append(("stop_loss", OrderType.TRAILING_STOP, None, None))
    elif stop or spec.stop_loss:
        orders.append(("stop_loss", OrderType.STOP, None, stop or exit_px(px, -side * spec.stop_loss)))
    if spec.take_profit:
        orders.append(("take_profit", OrderType.LIMIT, exit_px(px, side * spec.take_profit), None))
    return [
        SubmitOrder(
            client_order_id=exit_id(owner, ticker, reason, lot_id),
            portfolio=spec.name,
            symbol=symbol,
            side=-side,
            qty=abs(qty),
            type=kind,
            tif=TimeInForce.GTC,
            limit_px=limit_px,
            stop_px=stop_px,
            strategy=strategy,
            reason=reason,
            reduce_only=True,
            lot_id=lot_id,
            terms=OrderTerms(trail_percent=spec.trail_percent) if kind is OrderType.TRAILING_STOP else None,
        )
        for reason, kind, limit_px, stop_px in orders
        if (limit_px or stop_px or 0) > 0 or kind is OrderType.TRAILING_STOP
    ]


def time_exit(spec: PortfolioSpec, owner: str, ticker: str, lot: Lot, session: int) -> SubmitOrder:
    """Return the order that closes a lot held long enough; ``session`` is the number of the one at whose close."""
    return SubmitOrder(
        client_order_id=exit_id(owner, ticker, TIME_STOP, lot.lot_id, session),
        portfolio=spec.name,
        symbol=lot.symbol,
        side=SELL if lot.qty > 0 else BUY,
        qty=abs(lot.qty),
        tif=TimeInForce.GTC,  # what is asked for at a close fills at the next open
        strategy=lot.strategy,
        reason=TIME_STOP,
        reduce_only=True,
        lot_id=lot.lot_id,
    )


def adjust_exits(working: Iterable[Working], remaining: int) -> list[Command]:
    """Return what brings a lot's exits down to its ``remaining`` quantity: replaces, or cancels at 0."""
    commands: list[Command] = []
    for order in working:
        if remaining <= 0:
            commands.append(CancelOrder(order.client_order_id, "lot_closed"))
        elif order.leaves > remaining:
            commands.append(ReplaceOrder(order.client_order_id, qty=order.cum + remaining))
    return commands
