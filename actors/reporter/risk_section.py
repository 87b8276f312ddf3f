"""The report's section on risk: value at risk against what came, what is held at the end, and stress."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from actors.reporter import charts
from actors.reporter.analytics.coverage import REJECT, Ratio
from actors.reporter.charts import Marks, TimeAxis
from actors.reporter.record import RunRecord
from actors.reporter.var_backtest import Backtest

F64 = npt.NDArray[np.float64]

EXCEPTIONS_SHOWN: Final = 12
EXPECTED_MIN: Final = 5.0
"""Fewer exceptions expected than this tell little either way."""
SMALLEST: Final = 0.0001
METHOD_NAMES: Final = {"historical": "Historical", "normal": "Normal", "montecarlo": "Monte Carlo"}
WARM: Final = ("historical", 0.99)


def context(record: RunRecord, backtest: Backtest, marks: Marks) -> dict[str, Any]:
    """Return what the template shows."""
    tested = backtest.tests[WARM].n
    picture = None
    if tested and backtest.sessions.size > 1:
        drawn = charts.exceptions_chart(
            TimeAxis(backtest.sessions),
            backtest.realised,
            backtest.var["historical", 0.95],
            backtest.var["historical", 0.99],
            marks,
        )
        picture = Markup(drawn)  # noqa: S704 - built by our writer, which escapes
    return {
        "picture": picture,
        "tested": tested,
        "empty": backtest.empty,
        "unknown": backtest.unknown,
        "tests": _tests(backtest),
        "exceptions": _exceptions(backtest),
        "exceptions_total": backtest.tests[WARM].exceptions,
        "at_end": [_at_end(found) for found in record.measures],
        "several": len(record.measures) > 1,
        "window": record.config.get("risk", {}).get("var_sessions", 252),
    }


def _tests(backtest: Backtest) -> list[dict[str, Any]]:
    rows = []
    for (method, level), test in backtest.tests.items():
        alone = backtest.tests_alone[method, level]
        conditional = test.conditional
        verdict, badge = "not tested", "insufficient"
        if conditional is not None:
            rejected = conditional.p < REJECT
            verdict, badge = ("rejected", "fail") if rejected else ("not rejected", "pass")
            if test.expected < EXPECTED_MIN:
                verdict, badge = f"{verdict}, few", "insufficient"
        rows.append(
            {
                "method": METHOD_NAMES[method],
                "level": level,
                "n": test.n,
                "expected": test.expected,
                "exceptions": test.exceptions,
                "rate": test.rate,
                "kupiec": _chance(test.kupiec),
                "independence": _chance(test.independence),
                "conditional": _chance(conditional),
                "alone": alone.exceptions,
                "verdict": verdict,
                "badge": badge,
            }
        )
    return rows


def _chance(ratio: Ratio | None) -> str:
    """Return a p-value for people."""
    if ratio is None:
        return "n/a"
    return f"{ratio.p:.4f}" if ratio.p >= SMALLEST else f"< {SMALLEST}"


def _exceptions(backtest: Backtest) -> list[dict[str, Any]]:
    """Return the sessions that exceeded the 99 % value at risk by most."""
    var = backtest.var[WARM]
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(-backtest.realised > var)
    worst = sorted(beyond.tolist(), key=lambda i: (backtest.realised[i] + var[i], i))[:EXCEPTIONS_SHOWN]
    return [
        {
            "day": _day(int(backtest.sessions[i])),
            "realised": float(backtest.realised[i]),
            "alone": _known(backtest.left_alone[i]),
            "var_95": float(backtest.var["historical", 0.95][i]),
            "var_99": float(var[i]),
            "es_99": float(backtest.es[0.99][i]),
            "normal_99": float(backtest.var["normal", 0.99][i]),
        }
        for i in worst
    ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _day(date: int) -> str:
    return f"{date // 10_000}-{date // 100 % 100:02d}-{date % 100:02d}"


def _at_end(measures: dict[str, Any]) -> dict[str, Any]:
    """Return a portfolio's measures with its tails as rows of method and horizon."""
    by_row: dict[tuple[str, int], dict[str, Any]] = {}
    for tail in measures["tails"]:
        row = by_row.setdefault((tail["method"], tail["horizon"]), {"n": tail["n"], "scaling": tail["scaling"]})
        row[f"var_{tail['level'] * 100:.0f}"] = tail["var"]
        row[f"es_{tail['level'] * 100:.0f}"] = tail["es"]
    rows = [{"method": METHOD_NAMES[method], "horizon": horizon, **row} for (method, horizon), row in by_row.items()]
    return {**measures, "rows": rows, "held": bool(measures["sectors"])}
