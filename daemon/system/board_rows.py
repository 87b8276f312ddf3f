"""Rows of the board about risk: exposure, margin, losses, and what is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.values.fixed import mul
from actors.values.margin import buying_power, excess
from daemon.system.desk_reply import plain
from daemon.system.measure_rows import measure_fields, ratio

if TYPE_CHECKING:
    from daemon.system.board import Board
    from daemon.system.board_facts import PortfolioFacts


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
