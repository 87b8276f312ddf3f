"""Measures of risk as fields of rows, with nulls where something is not known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from actors.reporter.tables import number
from actors.risk.measures import Measures, Use
from actors.risk.var import HISTORICAL, Tail

RATIO_DIGITS: Final = 9
SHOWN_ELSEWHERE: Final = frozenset({"max_positions", "max_position"})
"""Limits that the board tells without measures."""


def ratio(value: float | None) -> msgspec.Raw | None:
    """Return a fraction as a JSON number without exponent, to nine digits."""
    return None if value is None else msgspec.Raw((number(round(value, RATIO_DIGITS) + 0.0)).encode())


def rounded(value: Any) -> Any:
    """Return plain values with every float in them to nine digits."""
    if isinstance(value, float):
        return round(value, RATIO_DIGITS) + 0.0
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def measure_fields(m: Measures | None) -> dict[str, Any]:
    """Return what is measured of a portfolio as fields of its row; nulls and empty lists without measures.

    Losses are positive fractions of equity. ``var_95`` and its like are historical over one session, what is called
    ``_10`` over ten; ``tails`` has every method with what it is of.
    """
    fields: dict[str, Any] = {}
    for level in (0.95, 0.99):
        for horizon, suffix in ((1, ""), (10, "_10")):
            tail = None if m is None else m.tail(HISTORICAL, level, horizon)
            name = f"{level * 100:.0f}{suffix}"
            fields |= {f"var_{name}": ratio(tail.var if tail else None), f"es_{name}": ratio(tail.es if tail else None)}
    single = ("beta", "correlation", "heat", "sharpe_30", "slippage", "fill_rate")
    fields |= {name: ratio(None if m is None else getattr(m, name)) for name in single}
    if m is None:
        return fields | {
            "sessions": None,
            "market": None,
            "closest": None,
            "tails": [],
            "components": [],
            "sectors": [],
            "stress": [],
        }
    closest = m.closest
    return fields | {
        "sessions": m.sessions,
        "market": m.market,
        "closest": None if closest is None else {"symbols": list(closest[:2]), "correlation": ratio(closest[2])},
        "tails": [tail_row(tail) for tail in m.tails],
        "components": [
            {"symbol": c.symbol} | {n: ratio(getattr(c, n)) for n in ("weight", "var", "es", "marginal", "var_normal")}
            for c in m.components
        ],
        "sectors": [{"sector": s.sector, "gross": ratio(s.gross), "net": ratio(s.net)} for s in m.sectors],
        "stress": [
            {
                "scenario": impact.scenario,
                "title": impact.title,
                "loss": ratio(impact.loss),
                "worst": impact.worst or None,
                "worst_loss": ratio(impact.worst_loss) if impact.worst else None,
                "sector": impact.sector or None,
                "assumed_betas": impact.assumed,
                "note": impact.note or None,
            }
            for impact in m.stress
        ],
    }


def tail_row(tail: Tail) -> dict[str, Any]:
    """Return a value at risk with its expected shortfall as a row."""
    return {
        "method": tail.method,
        "level": ratio(tail.level),
        "horizon": tail.horizon,
        "var": ratio(tail.var),
        "es": ratio(tail.es),
        "n": tail.n,
        "scaling": tail.scaling,
    }


def measured_limits(measured: Iterable[Measures]) -> list[dict[str, Any]]:
    """Return a row for each limit whose use only measures tell; rows as those of the other limits."""
    return [_limit(m.portfolio, use) for m in measured for use in m.limits if use.limit not in SHOWN_ELSEWHERE]


def _limit(portfolio: str, use: Use) -> dict[str, Any]:
    return {
        "limit": use.limit,
        "portfolio": portfolio,
        "bound": ratio(use.bound),
        "value": ratio(use.value),
        "utilization": ratio(use.used),
        "subject": use.subject or None,
        "warn": use.warn,
    }
