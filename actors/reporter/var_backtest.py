"""Value at risk as it would have been told each evening, against what the next session brought.

For every session: the values held at the close before it, over that close's equity, on the returns of the sessions up
to that close (``risk.var_sessions`` of them, those common to all that was held). Nothing of the session itself, or of
any later one, is looked at. Two profits are compared with it: the realised one, equity over equity with all that was
traded and paid meanwhile, and the one of the positions held at the close, had they been left alone.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.coverage import REJECT, Coverage, Ratio, coverage
from actors.reporter.performance import Curve
from actors.reporter.record import RunRecord
from actors.reporter.story import Story
from actors.values.fixed import SCALE
from actors.values.tails import es_of_sorted, var_normal, var_of_sorted

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LEVELS: Final = (0.95, 0.99)
METHODS: Final = ("historical", "normal")
LEAST: Final = 60
"""Sessions without which a tail is unknown."""
SESSIONS: Final = 252
"""Sessions looked back on where the configuration does not say."""


class Backtest(msgspec.Struct, frozen=True):
    """Value at risk by session and how it held; arrays ``[n]`` in the order of the curve's sessions.

    Attributes:
        sessions: dates YYYYMMDD.
        realised: returns of equity.
        left_alone: returns of what was held at the close before, over equity; NaN where a price is missing.
        var: by (method, level); NaN where nothing was held or it is not known. Positive = loss.
        es: historical shortfall by level, likewise.
        tests: by (method, level), on realised returns.
        tests_alone: the same on ``left_alone``.
        empty: sessions into which nothing was held.
        unknown: sessions into which something was held whose value at risk is not known.
    """

    sessions: I64
    realised: F64
    left_alone: F64
    var: dict[tuple[str, float], F64]
    es: dict[float, F64]
    tests: dict[tuple[str, float], Coverage]
    tests_alone: dict[tuple[str, float], Coverage]
    empty: int
    unknown: int

    def document(self) -> dict[str, Any]:
        """Return the contents of ``risk.backtest`` in ``metrics.json``."""
        return {
            "sessions": int(self.sessions.size),
            "empty": self.empty,
            "unknown": self.unknown,
            "tests": [
                {
                    "method": method,
                    "level": level,
                    **_plain(test),
                    "left_alone": _plain(self.tests_alone[method, level]),
                }
                for (method, level), test in self.tests.items()
            ],
        }


def _plain(test: Coverage) -> dict[str, Any]:
    return {
        "n": test.n,
        "exceptions": test.exceptions,
        "expected": test.expected,
        "rate": test.rate,
        "kupiec": _of(test.kupiec),
        "independence": _of(test.independence),
        "conditional": _of(test.conditional),
        "rejected": None if test.conditional is None else test.conditional.p < REJECT,
    }


def _of(ratio: Ratio | None) -> dict[str, float] | None:
    return None if ratio is None else {"lr": ratio.lr, "p": ratio.p}


def backtest(record: RunRecord, story: Story, c: Curve) -> Backtest:
    """Return the value at risk of every session of the curve and how it held."""
    n = int(c.sessions.size)
    window = int(record.config.get("risk", {}).get("var_sessions", SESSIONS))
    at = {date: row for row, date in enumerate(record.session_dates.tolist())}
    returns = session_returns(record)
    closes = record.session_closes
    names = _names_behind(record)
    var = {(method, level): np.full(n, np.nan) for method in METHODS for level in LEVELS}
    es = {level: np.full(n, np.nan) for level in LEVELS}
    left_alone = np.full(n, np.nan)
    empty = unknown = 0
    for i in range(n):
        held = story.held.get(int(c.sessions[i - 1])) if i else None
        if not held:
            empty += 1
            continue
        row = at.get(int(c.sessions[i - 1]))
        equity = float(c.equity[i])  # the base point is in front: this is the close before session i
        if row is None or not equity > 0:
            unknown += 1
            continue
        ids = np.array([symbol for symbol, _ in held], dtype=np.intp)
        weights = np.array([qty / SCALE for _, qty in held]) * closes[row, ids] / equity
        ids = names[ids]
        if row + 1 < len(returns):
            left_alone[i] = float((weights * returns[row + 1, ids]).sum())
        past = np.einsum("tn,n->t", returns[max(0, row + 1 - window) : row + 1, ids], weights)
        past = np.sort(past[np.isfinite(past)])
        if past.size < LEAST:
            unknown += 1
            continue
        for level in LEVELS:
            var["historical", level][i] = var_of_sorted(past, 1.0 - level)
            es[level][i] = es_of_sorted(past, 1.0 - level)
            found = var_normal(past, 1.0 - level)
            var["normal", level][i] = np.nan if found is None else found
    return Backtest(
        sessions=c.sessions,
        realised=c.returns,
        left_alone=left_alone,
        var=var,
        es=es,
        tests={key: _tested(c.returns, values, key[1]) for key, values in var.items()},
        tests_alone={key: _tested(left_alone, values, key[1]) for key, values in var.items()},
        empty=empty,
        unknown=unknown,
    )


def _names_behind(record: RunRecord) -> npt.NDArray[np.intp]:
    """Return by symbol the one it is called in the end: adjusted prices of both names are under the last."""
    names = np.arange(len(record.universe), dtype=np.intp)
    for action in record.actions:
        if action.kind == "rename" and action.renamed_to is not None:
            names[names == action.symbol] = action.renamed_to
    return names


def session_returns(record: RunRecord) -> F64:
    """Return ``[S, N]`` simple returns of session closes, splits taken out; NaN in the first row and beside holes."""
    closes = record.in_last_units(record.session_closes)
    out = np.full(closes.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(closes[1:], closes[:-1], out=out[1:])
    out -= 1.0
    out[~np.isfinite(out)] = np.nan
    return out


def _tested(profits: F64, var: F64, level: float) -> Coverage:
    known = np.isfinite(var) & np.isfinite(profits)
    return coverage(np.where(known, -profits, 0.0) > np.where(known, var, 0.0), known, 1.0 - level)
