"""Rows of the board about risk: exposure, breakers, limits and how much of each is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.risk.breakers import DAILY_LOSS, DRAWDOWN
from actors.values.fixed import SCALE, fmt, mul
from actors.values.margin import buying_power, excess
from daemon.system.desk_reply import plain
from daemon.system.measure_rows import measure_fields, measured_limits, ratio

if TYPE_CHECKING:
    from daemon.system.board import Board, PortfolioFacts


def _loss(equity: int, base: int) -> float | None:
    """Return the loss against a baseline as a fraction, 0 for a gain; None where there is no baseline."""
    return max(0.0, 1.0 - equity / base) if base > 0 else None


def _largest(board: Board, p: PortfolioFacts) -> tuple[str | None, int]:
    """Return the symbol of the largest position by value, and its value."""
    best, value = None, 0
    for i, qty, _, _ in p.positions:
        size = abs(mul(qty, int(board.px[i]))) if qty else 0
        if size > value:
            best, value = board.symbols[i], size
    return best, value


def _margin(p: PortfolioFacts) -> dict[str, msgspec.Raw | None]:
    """Return what a margin account needs and has beyond it, nulls in any other account."""
    margin = p.margin
    names = ("initial_margin", "maintenance_margin", "margin_excess", "buying_power")
    if margin is None:
        return dict.fromkeys(names)
    amounts = (
        margin.initial,
        margin.maintenance,
        excess(p.equity, margin.maintenance),
        buying_power(p.equity, margin.initial),
    )
    return dict(zip(names, map(plain, amounts), strict=True))


def risk_rows(board: Board) -> list[dict[str, Any]]:
    """See :meth:`daemon.system.board.Board.risk`."""
    rows = []
    measured = board.measures()
    for p in board.portfolios:
        symbol, value = _largest(board, p)
        equity = p.equity
        rows.append(
            {
                "portfolio": p.name,
                "trading_state": board.trading_state,
                "equity": plain(equity),
                "cash": plain(p.cash),
                "reserved": plain(p.reserved),
                "available": plain(p.available),
                **_margin(p),
                "gross": plain(p.gross),
                "net": plain(p.net),
                "gross_exposure": ratio(p.gross / equity) if equity > 0 else None,
                "net_exposure": ratio(p.net / equity) if equity > 0 else None,
                "leverage": ratio(p.gross / equity) if equity > 0 else None,
                "positions": p.held,
                "largest_symbol": symbol,
                "largest_weight": ratio(value / equity) if equity > 0 else None,
                "daily_pnl": plain(equity - p.day_base),
                "drawdown": ratio(min(0.0, equity / p.peak - 1.0)) if p.peak > 0 else ratio(0.0),
                "entries_blocked": p.blocked,
                **measure_fields(measured.get(p.name)),
            }
        )
    return rows


def breaker_rows(board: Board) -> list[dict[str, Any]]:
    """See :meth:`daemon.system.board.Board.breakers`."""
    limits = board.limits
    rows = []
    for p in board.portfolios:
        for name, state, base, limit in (
            (DAILY_LOSS, p.daily, p.loss_base, limits.daily_loss_halt),
            (DRAWDOWN, p.drawdown, p.mark, limits.max_drawdown),
        ):
            rows.append(
                {
                    "portfolio": p.name,
                    "breaker": name,
                    "state": state,
                    "value": ratio(_loss(p.equity, base)),
                    "limit": ratio(limit) if limit else None,
                    "baseline": plain(base),
                    "equity": plain(p.equity),
                    "entries_blocked": p.blocked if name == DAILY_LOSS else False,
                }
            )
    return rows


def limit_rows(board: Board) -> list[dict[str, Any]]:
    """See :meth:`daemon.system.board.Board.limits_in_use`."""
    limits = board.limits
    rows = [row for p in board.portfolios for row in _used(board, p)]
    rows += measured_limits(board.measures().values())
    money = ("min_order_value", "max_order_value", "max_order_qty")
    shares = ("max_order_fraction", "price_collar", "min_confidence_buy", "min_confidence_sell")
    for names, show in ((money, plain), (shares, ratio)):
        rows += [
            _row(name, "", show(bound) if (bound := getattr(limits, name)) else None, None, None) for name in names
        ]
    stale = msgspec.Raw(fmt(limits.stale_ns * SCALE // 1_000_000_000).encode()) if limits.stale_ns else None
    rows += [
        _row("stale_s", "", stale, None, None),
        _row("stale_sessions", "", limits.stale_sessions or None, None, None),
    ]
    return rows


def _used(board: Board, p: PortfolioFacts) -> list[dict[str, Any]]:
    limits = board.limits
    symbol, value = _largest(board, p)
    weight = value / p.equity if p.equity > 0 else None
    day, down = _loss(p.equity, p.loss_base), _loss(p.equity, p.mark)
    rows = [
        _row("max_positions", p.name, limits.max_positions or None, p.names, _part(p.names, limits.max_positions)),
        _row("max_position", p.name, _bound(limits.max_position), ratio(weight), _part(weight, limits.max_position))
        | {"symbol": symbol},
        _row("cash", p.name, plain(p.cash), plain(p.cash - p.available), _part(p.cash - p.available, p.cash)),
    ]
    losses = (("daily_loss_warn", day), ("daily_loss_block", day), ("daily_loss_halt", day), ("max_drawdown", down))
    for name, loss in losses:
        bound = getattr(limits, name)
        rows.append(_row(name, p.name, _bound(bound), ratio(loss), _part(loss, bound)))
    return rows


def _bound(limit: float) -> msgspec.Raw | None:
    return ratio(limit) if limit else None


def _part(value: float | None, bound: float) -> msgspec.Raw | None:
    return ratio(value / bound) if value is not None and bound > 0 else None


def _row(name: str, portfolio: str, bound: Any, value: Any, used: Any) -> dict[str, Any]:
    """Return a limit; ``bound`` is None where it is switched off, ``used`` a fraction of it or None."""
    return {"limit": name, "portfolio": portfolio or None, "bound": bound, "value": value, "utilization": used}
