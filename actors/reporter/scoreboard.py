"""The success criteria, each pass, fail or insufficient (``semantics.md`` section 5).

A criterion is *insufficient* where its value is null or where its interval spans the bar: the data cannot say.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics.basics import NORMAL
from actors.reporter.analytics.regression import mean_t_hac
from actors.reporter.analytics.trades import TradeColumns, profit_factor_interval, trade_stats
from actors.reporter.benchmarks import RandomPortfolios

F64 = npt.NDArray[np.float64]

Z95: Final = NORMAL.inv_cdf(0.975)
MIN_SESSIONS: Final = 20  # below this a fact without an interval proves nothing either


class Criterion(msgspec.Struct, frozen=True):
    """One row. ``low`` and ``high`` are the 95 % interval, None where the fact has none."""

    name: str
    label: str
    bar: float
    direction: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: str
    basis: str


def judge(value: float | None, bar: float, direction: str, low: float | None, high: float | None) -> str:
    """Return ``pass``, ``fail`` or ``insufficient``; an interval that holds the bar is insufficient."""
    if value is None:
        return "insufficient"
    if low is not None and high is not None and low <= bar <= high:
        return "insufficient"
    return "pass" if (value > bar if direction == ">" else value < bar) else "fail"


def total_return_interval(r: F64) -> tuple[float, float] | None:
    """Return the 95 % interval of the total return: n times mean log return, Newey-West error, compounded."""
    if r.size < 2 or float(r.min()) <= -1.0:
        return None
    found = mean_t_hac(np.log1p(r))
    if found is None:
        return None
    mean, error = found
    low, high = r.size * (mean - Z95 * error), r.size * (mean + Z95 * error)
    return math.expm1(low), math.expm1(min(high, 700.0))


def excess_interval(r: F64, b: F64) -> tuple[float, float, float] | None:
    """Return (value, low, high) of growth over the benchmark's growth, less 1, from paired log returns."""
    known = np.isfinite(b)
    y, x = r[known], b[known]
    if y.size < 2 or float(y.min()) <= -1.0 or float(x.min()) <= -1.0:
        return None
    difference = np.log1p(y) - np.log1p(x)
    found = mean_t_hac(difference)
    if found is None:
        return None
    mean, error = found
    n = y.size
    return math.expm1(n * mean), math.expm1(n * (mean - Z95 * error)), math.expm1(min(n * (mean + Z95 * error), 700.0))


def scoreboard(
    metrics: dict[str, dict[str, Any]],
    returns: F64,
    trades: TradeColumns | None,
    benchmark: tuple[str, F64] | None = None,
    random: RandomPortfolios | None = None,
    seed: int = 0,
) -> list[Criterion]:
    """Judge a run.

    Args:
        metrics: as of ``analytics.metrics.compute`` over the judged sessions, net of costs.
        returns: ``[n]`` of the same sessions.
        trades: round trips closed in them, or None where trades are not known.
        benchmark: (label, returns ``[n]``) of the primary benchmark.
        random: random portfolios of the same sessions.
        seed: of the bootstrap for the profit factor.
    """
    n = int(returns.size)
    rows = [_total_return(metrics, returns, n), _sharpe(metrics, n)]
    if trades is not None:
        rows.append(_win_rate(trades))
    rows.append(_drawdown(metrics, n))
    if trades is not None:
        rows.append(_profit_factor(trades, seed))
    if benchmark is not None:
        rows.append(_beat_benchmark(benchmark, returns, n))
    if random is not None:
        rows.append(_beat_random(random, n))
    return rows


def _value(metrics: dict[str, dict[str, Any]], name: str) -> float | None:
    value: float | None = metrics[name]["value"]
    return value


def _total_return(metrics: dict[str, dict[str, Any]], returns: F64, n: int) -> Criterion:
    value = _value(metrics, "total_return")
    low, high = total_return_interval(returns) or (None, None)
    verdict = judge(value if low is not None else None, 0.0, ">", low, high)
    basis = "interval from mean log returns, Newey-West"
    return Criterion("return", "Return above zero", 0.0, ">", "percent", value, low, high, n, verdict, basis)


def _sharpe(metrics: dict[str, dict[str, Any]], n: int) -> Criterion:
    value, low, high = (_value(metrics, k) for k in ("sharpe", "sharpe_ci_low", "sharpe_ci_high"))
    verdict = judge(value if low is not None else None, 1.0, ">", low, high)
    basis = "interval by the PSR standard error"
    return Criterion("sharpe", "Sharpe ratio above 1", 1.0, ">", "ratio", value, low, high, n, verdict, basis)


def _win_rate(trades: TradeColumns) -> Criterion:
    s = trade_stats(trades)
    verdict = judge(s.win_rate, 0.5, ">", s.win_rate_low, s.win_rate_high)
    return Criterion(
        "win_rate",
        "Win rate above 50 %",
        0.5,
        ">",
        "percent",
        s.win_rate,
        s.win_rate_low,
        s.win_rate_high,
        s.num_trades,
        verdict,
        "Wilson interval",
    )


def _drawdown(metrics: dict[str, dict[str, Any]], n: int) -> Criterion:
    value = _value(metrics, "max_drawdown")
    depth = None if value is None else -value
    verdict = judge(depth if n >= MIN_SESSIONS else None, 0.2, "<", None, None)
    basis = f"a fact of this path, on closes; at least {MIN_SESSIONS} sessions"
    label = "Maximum drawdown below 20 %"
    return Criterion("max_drawdown", label, 0.2, "<", "percent", depth, None, None, n, verdict, basis)


def _profit_factor(trades: TradeColumns, seed: int) -> Criterion:
    value = trade_stats(trades).profit_factor
    low, high = profit_factor_interval(trades.pnl, seed) or (None, None)
    verdict = judge(value if low is not None else None, 1.5, ">", low, high)
    finite_high = high if high is not None and math.isfinite(high) else None
    finite_low = low if low is not None and math.isfinite(low) else None
    n = int(trades.pnl.size)
    label, basis = "Profit factor above 1.5", "bootstrap over trades, seeded"
    return Criterion("profit_factor", label, 1.5, ">", "ratio", value, finite_low, finite_high, n, verdict, basis)


def _beat_benchmark(benchmark: tuple[str, F64], returns: F64, n: int) -> Criterion:
    label, series = benchmark
    value, low, high = excess_interval(returns, series) or (None, None, None)
    verdict = judge(value, 0.0, ">", low, high)
    basis = f"growth over that of: {label}; paired log returns, Newey-West"
    name = "Beats the benchmark"
    return Criterion("beat_benchmark", name, 0.0, ">", "percent", value, low, high, n, verdict, basis)


def _beat_random(random: RandomPortfolios, n: int) -> Criterion:
    value = random.return_percentile
    verdict = "insufficient" if value is None or n < MIN_SESSIONS else "pass" if value >= 0.95 else "fail"
    basis = f"percentile of total return among {random.count:,} with equal exposure, turnover and costs"
    if n < MIN_SESSIONS:
        basis += f"; at least {MIN_SESSIONS} sessions"
    name = "Beats random portfolios"
    return Criterion("beat_random", name, 0.95, ">=", "percent", value, None, None, random.count, verdict, basis)


def plain(rows: list[Criterion]) -> list[dict[str, Any]]:
    """Return the rows as plain values for JSON."""
    out: list[dict[str, Any]] = msgspec.to_builtins(rows)
    return out
