"""Rows of the board about limits: every one with its bound and, where it can be told, how much of it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.messages.limits import PortfolioLimits, SymbolLimits
from actors.risk.measures import Measures
from actors.values.fixed import SCALE, fmt, mul
from daemon.system.board_breakers import loss, tighter
from daemon.system.desk_reply import plain
from daemon.system.measure_rows import measured_limits, ratio

if TYPE_CHECKING:
    from daemon.system.board import Board
    from daemon.system.board_facts import PortfolioFacts

MONEY: Final = "money"
SHARES: Final = "shares"
SHARE: Final = "share"
MULTIPLE: Final = "multiple"
COUNT: Final = "count"
SECONDS: Final = "seconds"
RATE: Final = "per_second"
FLAG: Final = "flag"

NEAREST: Final = 3
BOUNDS: Final = (
    ("min_order_value", MONEY),
    ("max_order_value", MONEY),
    ("max_order_qty", SHARES),
    ("max_order_fraction", SHARE),
    ("max_order_adv", SHARE),
    ("unusual_size", MULTIPLE),
    ("unusual_size_orders", COUNT),
    ("price_collar", SHARE),
    ("collar_period_ns", SECONDS),
    ("nbbo_tolerance", SHARE),
    ("min_confidence_buy", SHARE),
    ("min_confidence_sell", SHARE),
    ("require_reference", FLAG),
    ("deny_unknown_adv", FLAG),
    ("stale_ns", SECONDS),
    ("stale_sessions", COUNT),
    ("duplicate_window_ns", SECONDS),
    ("order_rate", RATE),
    ("order_burst", COUNT),
    ("symbol_order_rate", RATE),
    ("symbol_order_burst", COUNT),
    ("message_rate", RATE),
    ("message_burst", COUNT),
    ("max_executions", COUNT),
    ("executions_window_ns", SECONDS),
    ("self_match_prevention", FLAG),
    ("pattern_day_trader", FLAG),
    ("no_entry_before_close_ns", SECONDS),
    ("max_correlation", SHARE),
    ("correlation_shrink", SHARE),
    ("max_cluster", SHARE),
    ("risk_per_trade", SHARE),
    ("cooldown_sessions", COUNT),
    ("cooldown_ns", SECONDS),
    ("stop_guard", COUNT),
    ("stop_guard_sessions", COUNT),
    ("stop_guard_lock_sessions", COUNT),
    ("utilization_warn", SHARE),
)
"""Limits of single orders and moments: there is no use of them to tell between two orders."""
_MEASURED: Final = (
    ("max_gross_value", MONEY),
    ("max_leverage", MULTIPLE),
    ("max_net", MULTIPLE),
    ("max_heat", SHARE),
    ("max_var", SHARE),
    ("max_sector", SHARE),
)
_OF_PORTFOLIO: Final = dict(_MEASURED) | {
    "max_order_value": MONEY,
    "max_position": SHARE,
    "max_positions": COUNT,
    "daily_loss_block": SHARE,
    "daily_loss_halt": SHARE,
    "max_drawdown": SHARE,
}
_OF_SYMBOL: Final = {
    "max_order_qty": SHARES,
    "max_order_value": MONEY,
    "max_order_adv": SHARE,
    "max_position": SHARE,
}
_NONE: Final = PortfolioLimits()
_NO_SYMBOL: Final = SymbolLimits()


def limit_rows(board: Board) -> list[dict[str, Any]]:
    """See :meth:`daemon.system.board.Board.limits_in_use`."""
    measured = board.measures()
    rows = [row for p in board.portfolios for row in _used(board, p)]
    rows += measured_limits(measured.values())
    rows += _unmeasured(board, measured)
    rows += _book(board)
    rows += _named(board, measured)
    rows += [_row(_shown_name(name), "", unit, _amount(unit, getattr(board.limits, name))) for name, unit in BOUNDS]
    units = dict(_MEASURED)
    for row in rows:
        row.setdefault("unit", units.get(row["limit"], SHARE))
    return _marked(board, rows)


def nearest_limits(board: Board) -> list[dict[str, Any]]:
    """Return the limits that are used most, :data:`NEAREST` of them, of those that are told without measures."""
    rows = [row for p in board.portfolios for row in (*_used(board, p), _leverage(board, p)) if row["limit"] != "cash"]
    rows = [row for row in rows if row["utilization"] is not None]
    return _marked(board, sorted(rows, key=lambda row: -float(bytes(row["utilization"])))[:NEAREST])


def _leverage(board: Board, p: PortfolioFacts) -> dict[str, Any]:
    bound = tighter(board.limits.max_leverage, board.limits.portfolios.get(p.name, _NONE).max_leverage)
    times = p.gross / p.equity if p.equity > 0 else None
    return _row("max_leverage", p.name, MULTIPLE, ratio(bound or None), ratio(times), _part(times, bound))


def _marked(board: Board, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark what is nearly used up, and what was set by hand."""
    changed = _by_hand(board)
    least = board.limits.utilization_warn
    for row in rows:
        row.setdefault("subject", row.get("symbol"))
        used = row["utilization"]
        row["warn"] = used is not None and row["limit"] != "cash" and 0 < least <= float(bytes(used))
        row["by_hand"] = row["limit"] in changed
    return rows


def _by_hand(board: Board) -> frozenset[str]:
    """Return the limits that were set by hand, by the names their rows have."""
    keys = [key.removeprefix("risk.") for key, _ in (board.standing.by_hand if board.standing is not None else ())]
    return frozenset([f"{key.removesuffix('_ms')}_s" if key.endswith("_ms") else key for key in keys])


def _shown_name(name: str) -> str:
    return f"{name.removesuffix('_ns')}_s" if name.endswith("_ns") else name


def _used(board: Board, p: PortfolioFacts) -> list[dict[str, Any]]:
    limits, own = board.limits, board.limits.portfolios.get(p.name, _NONE)
    symbol, value, cap = _nearest(board, p)
    places = int(tighter(limits.max_positions, own.max_positions))
    day, down = loss(p.equity, p.loss_base), loss(p.equity, p.mark)
    rows = [
        _row("max_positions", p.name, COUNT, places or None, p.names, _part(p.names, places)),
        _row("max_position", p.name, SHARE, ratio(cap or None), ratio(value), _part(value, cap)) | {"symbol": symbol},
        _row("cash", p.name, MONEY, plain(p.cash), plain(p.cash - p.available), _part(p.cash - p.available, p.cash)),
    ]
    losses = (
        ("daily_loss_warn", day, limits.daily_loss_warn),
        ("daily_loss_block", day, tighter(limits.daily_loss_block, own.daily_loss_block)),
        ("daily_loss_halt", day, tighter(limits.daily_loss_halt, own.daily_loss_halt)),
        ("max_drawdown", down, tighter(limits.max_drawdown, own.max_drawdown)),
    )
    return rows + [_row(name, p.name, SHARE, ratio(cap or None), ratio(x), _part(x, cap)) for name, x, cap in losses]


def _nearest(board: Board, p: PortfolioFacts) -> tuple[str | None, float | None, float]:
    """Return the position that is nearest to its own cap, its share of equity (None without any), and that cap."""
    limits = board.limits
    general = tighter(limits.max_position, limits.portfolios.get(p.name, _NONE).max_position)
    best: tuple[float, float, str | None, float] = (-1.0, 0.0, None, general)
    if p.equity <= 0:
        return None, None, general
    for i, qty, _, _ in p.positions:
        if qty:
            name = board.symbols[i]
            share = abs(mul(qty, int(board.px[i]))) / p.equity
            cap = tighter(general, limits.symbols.get(name, _NO_SYMBOL).max_position)
            best = max(best, (share / cap if cap else 0.0, share, name, cap), key=lambda found: found[:2])
    return best[2], best[1], best[3]


def _unmeasured(board: Board, measured: dict[str, Measures]) -> Iterator[dict[str, Any]]:
    """Yield limits that are on and whose measure is not known, or that are off: a bound without a use."""
    for p in board.portfolios:
        known = {use.limit for use in measured[p.name].limits} if p.name in measured else frozenset()
        own = board.limits.portfolios.get(p.name, _NONE)
        for name, unit in _MEASURED:
            if name not in known:
                bound = tighter(getattr(board.limits, name), getattr(own, name, 0))
                yield _row(name, p.name, unit, _amount(unit, bound))


def _book(board: Board) -> Iterator[dict[str, Any]]:
    """Yield the limits of all portfolios together."""
    limits, ps = board.limits, board.portfolios
    gross, equity = sum(p.gross for p in ps), sum(p.equity for p in ps)
    held: dict[int, int] = {}
    for p in ps:
        for i, qty, _, _ in p.positions:
            held[i] = held.get(i, 0) + mul(qty, int(board.px[i]))
    symbol = max(held, key=lambda i: abs(held[i]), default=None)
    largest = abs(held[symbol]) if symbol is not None else 0
    gross_cap, leverage, position = limits.book_max_gross_value, limits.book_max_leverage, limits.book_max_position
    times = gross / equity if equity > 0 else None
    share = largest / equity if equity > 0 else None
    yield _row(
        "book_max_gross_value", "", MONEY, _amount(MONEY, gross_cap), plain(gross), _part(float(gross), gross_cap)
    )
    yield _row("book_max_leverage", "", MULTIPLE, ratio(leverage or None), ratio(times), _part(times, leverage))
    row = _row("book_max_position", "", SHARE, ratio(position or None), ratio(share), _part(share, position))
    yield row | {"symbol": board.symbols[symbol] if symbol is not None and largest else None}


def _named(board: Board, measured: dict[str, Measures]) -> Iterator[dict[str, Any]]:
    """Yield limits by name; how much of a share is used in the portfolio that uses most of it."""
    limits = board.limits
    for name, own in limits.symbols.items():
        for field, unit in _OF_SYMBOL.items():
            bound = getattr(own, field)
            if bound:
                used = _weight(board, name) if field == "max_position" else None
                shown, part = (ratio(used), _part(used, bound)) if used is not None else (None, None)
                yield _row(f"symbols.{name}.{field}", "", unit, _amount(unit, bound), shown, part)
    for name, share in limits.sectors.items():
        if share:
            sizes = [s.gross for m in measured.values() for s in m.sectors if s.sector == name]
            used = max(sizes, default=0.0) if measured else None
            yield _row(f"sectors.{name}", "", SHARE, ratio(share), ratio(used), _part(used, share))
    for name, terms in limits.portfolios.items():
        for field, unit in _OF_PORTFOLIO.items():
            bound = getattr(terms, field, 0)
            if bound:
                yield _row(f"portfolios.{name}.{field}", name, unit, _amount(unit, bound))


def _weight(board: Board, ticker: str) -> float | None:
    """Return the largest share of equity that a symbol takes of a portfolio."""
    found = [
        abs(mul(qty, int(board.px[i]))) / p.equity
        for p in board.portfolios
        if p.equity > 0
        for i, qty, _, _ in p.positions
        if board.symbols[i] == ticker
    ]
    return max(found, default=0.0)


def _amount(unit: str, bound: Any) -> Any:
    """Return a bound as it is shown; None where it is off."""
    if unit == FLAG:
        return bool(bound)
    if not bound:
        return None
    if unit in (MONEY, SHARES):
        return plain(bound)
    if unit == SECONDS:
        return msgspec.Raw(fmt(bound * SCALE // 1_000_000_000).encode())
    return bound if unit == COUNT else ratio(bound)


def _part(value: float | None, bound: float) -> msgspec.Raw | None:
    return ratio(value / bound) if value is not None and bound > 0 else None


def _row(name: str, portfolio: str, unit: str, bound: Any, value: Any = None, used: Any = None) -> dict[str, Any]:
    """Return a limit; ``bound`` is None where it is switched off, ``used`` a fraction of it or None."""
    return {
        "limit": name,
        "portfolio": portfolio or None,
        "bound": bound,
        "value": value,
        "utilization": used,
        "unit": unit,
    }
