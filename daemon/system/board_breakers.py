"""Rows of the board about what stands against trading: breakers, locks, the restricted list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.messages.limits import BreakerRule, PortfolioLimits
from actors.risk import breaker_rows as names
from actors.values.time import format_ts
from daemon.system.desk_reply import plain
from daemon.system.measure_rows import ratio

if TYPE_CHECKING:
    from daemon.system.board import Board
    from daemon.system.board_facts import PortfolioFacts
    from daemon.system.board_risk import TrippedFact

UNITS: Final = {
    **dict.fromkeys(names.LOSSES, "share"),
    names.REJECT_RATE: "share",
    names.FILL_SANITY: "share",
    names.SLIPPAGE: "share",
    names.VOLATILITY: "share",
    names.PREDICTION_DRIFT: "share",
    names.LOSS_STREAK: "count",
    names.ORDER_RATE: "count",
    names.STALE_DATA: "seconds",
    names.CONNECTIVITY: "seconds",
    names.CLOCK_SKEW: "seconds",
    names.EXPOSURE: "multiple",
}
"""What value and limit of a breaker are counted in."""
_NO_LIMITS: Final = PortfolioLimits()


def loss(equity: int, base: int) -> float | None:
    """Return the loss against a baseline as a fraction, 0 for a gain; None where there is no baseline."""
    return max(0.0, 1.0 - equity / base) if base > 0 else None


def tighter(first: float, second: float) -> float:
    """Return the smaller of two limits of which 0 is none."""
    return min(first, second) if first and second else first or second


def breaker_rows(board: Board) -> list[dict[str, Any]]:
    """See :meth:`daemon.system.board.Board.breakers`."""
    rows = [row for p in board.portfolios for row in _losses(board, p)]
    standing = board.standing
    if standing is None:
        return rows
    rules = board.limits.breakers
    tripped = {(fact.portfolio, fact.breaker) for fact in standing.tripped}
    measured = {(portfolio, breaker): value for portfolio, breaker, value in standing.watched}
    for name in names.BREAKER_NAMES:
        rule = rules.get(name)
        own = [_row_of(fact, rule, standing.session) for fact in standing.tripped if fact.breaker == name]
        rows += own
        if rule is None or not rule.limit:
            continue
        whose = ("",) if name in names.WATCH_ALL else tuple(p.name for p in board.portfolios)
        rows += [
            _row(portfolio, name, "armed", measured.get((portfolio, name)), rule.limit, rule.action)
            | {"reset": rule.reset}
            for portfolio in whose
            if (portfolio, name) not in tripped
        ]
    return rows


def _losses(board: Board, p: PortfolioFacts) -> list[dict[str, Any]]:
    limits, own = board.limits, board.limits.portfolios.get(p.name, _NO_LIMITS)
    rows = []
    for name, state, base, limit in (
        (names.DAILY_LOSS, p.daily, p.loss_base, tighter(limits.daily_loss_halt, own.daily_loss_halt)),
        (names.DRAWDOWN, p.drawdown, p.mark, tighter(limits.max_drawdown, own.max_drawdown)),
    ):
        row = _row(p.name, name, state, loss(p.equity, base), limit, names.HALT)
        blocked = p.blocked if name == names.DAILY_LOSS else False
        row |= {"baseline": plain(base), "equity": plain(p.equity), "entries_blocked": blocked}
        rows.append(row | {"reset": "cooling" if _lifts_itself(board, name) else "operator"})
    return rows


def _lifts_itself(board: Board, name: str) -> bool:
    """Tell whether the replay's rules arm it again."""
    limits = board.limits
    return limits.replay and (name == names.DAILY_LOSS or limits.replay_resume_sessions > 0)


def _row(portfolio: str, name: str, state: str, value: float | None, limit: float, action: str) -> dict[str, Any]:
    """Return a breaker; ``portfolio`` null for one of all portfolios, ``limit`` null where it is off."""
    return {
        "portfolio": portfolio or None,
        "breaker": name,
        "state": state,
        "value": ratio(value),
        "limit": ratio(limit) if limit else None,
        "unit": UNITS[name],
        "action": action,
        "entries_blocked": False,
    }


def _row_of(fact: TrippedFact, rule: BreakerRule | None, session: int) -> dict[str, Any]:
    row = _row(fact.portfolio, fact.breaker, fact.state, fact.value, fact.limit, fact.action)
    row |= {"reset": "operator" if fact.state == names.LATCHED else "cooling"}
    row |= {"subject": fact.subject or None, "cause": fact.cause or None, "since": format_ts(fact.since)}
    if fact.state == names.COOLING and rule is not None:
        left = rule.cooling_sessions - (session - fact.session)
        row |= {
            "until": format_ts(fact.since + rule.cooling_ns) if rule.cooling_ns else None,
            "sessions_left": left if left > 0 else None,
        }
    return row


def lock_rows(board: Board) -> list[dict[str, Any]]:
    """Return the protections that deny entries: whose, of which symbol (null for all), and when they end."""
    return [
        {
            "portfolio": lock.portfolio,
            "symbol": lock.symbol or None,
            "rule": lock.rule,
            "until": format_ts(lock.until_ts) if lock.until_ts else None,
            "sessions_left": lock.sessions_left or None,
            "reason": lock.reason,
        }
        for lock in (board.standing.locks if board.standing is not None else ())
    ]


def restricted_rows(board: Board) -> list[dict[str, Any]]:
    """Return the restricted list with who put each symbol on it, and why."""
    listed = board.standing.restricted if board.standing is not None else ()
    return [{"symbol": symbol, "reason": why} for symbol, why in listed]


def by_hand_rows(board: Board) -> list[dict[str, Any]]:
    """Return the limits that were set by hand since the configuration changed last, as the configuration says them."""
    return [{"key": key, "value": value} for key, value in (board.standing.by_hand if board.standing else ())]
