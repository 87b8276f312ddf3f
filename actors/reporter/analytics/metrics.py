"""All metrics of a run or of a file, as they stand in ``metrics.json``."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter.analytics import basics, drawdown, regression, sharpe
from actors.reporter.analytics.definitions import DEFINITIONS
from actors.reporter.analytics.trades import TradeColumns, TradeStats, holding_sessions, trade_stats
from actors.values.time import DAY_NS

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

Values = dict[str, tuple[float | None, int]]
"""Metric name -> (value, number of observations)."""


class MetricInputs(msgspec.Struct, frozen=True):
    """What metrics are computed from; None where it is not known, and then the metrics that need it are null.

    Attributes:
        returns: ``[n]`` session returns.
        periods: sessions a year.
        rf: annual risk-free rate.
        stamps: ``[n + 1]`` nanoseconds UTC of the base point and every session close.
        benchmark: ``[n]`` benchmark returns, NaN where a session has none.
        trades: closed round trips.
        gross, net: ``[n]`` exposure over equity at session closes.
        traded_value: sum of abs(fill value).
        mean_equity: mean session-close equity.
        commission, slippage: money.
        fills: number of fills.
        marks: equity at the base point and every mark, None where there are none or cash flowed in between.
        trials, trials_variance: of the search that chose this strategy, for the deflated Sharpe ratio.
    """

    returns: F64
    periods: float = 252.0
    rf: float = 0.0
    stamps: I64 | None = None
    benchmark: F64 | None = None
    trades: TradeColumns | None = None
    gross: F64 | None = None
    net: F64 | None = None
    traded_value: float | None = None
    mean_equity: float | None = None
    commission: float | None = None
    slippage: float | None = None
    fills: int = 0
    marks: F64 | None = None
    trials: int = 0
    trials_variance: float | None = None


def compute(inputs: MetricInputs) -> dict[str, dict[str, Any]]:
    """Return ``{name: {"value", "definition", "n"}}`` for every definition, in their order.

    ``max_drawdown`` and its durations also carry ``ongoing``.
    """
    values: Values = {}
    ongoing = _path(inputs, values)
    _distribution(inputs, values)
    _risk_adjusted(inputs, values)
    _relative(inputs, values)
    _trades(inputs, values)
    _activity(inputs, values)
    out: dict[str, dict[str, Any]] = {}
    for name, definition in DEFINITIONS.items():
        value, n = values.get(name, (None, 0))
        clean = None if value is None else basics.finite(value)
        out[name] = {"value": clean, "definition": definition.id, "n": n}
    for name in ("max_drawdown", "max_drawdown_sessions", "max_drawdown_days"):
        out[name]["ongoing"] = ongoing
    return out


def _path(inputs: MetricInputs, values: Values) -> bool:
    r, n = inputs.returns, int(inputs.returns.size)
    if n == 0:
        return False
    index = basics.wealth(r)
    growth = float(index[-1])
    total = growth - 1.0
    rate = basics.cagr(growth, n, inputs.periods)
    deepest = drawdown.deepest(index)
    depth = deepest.depth if deepest else 0.0
    ulcer = drawdown.ulcer_index(index)
    values["total_return"] = total, n
    values["cagr"] = rate, n
    values["max_drawdown"] = depth, n
    values["max_drawdown_sessions"] = float(deepest.sessions if deepest else 0), n
    values["time_under_water"] = drawdown.time_under_water(index), n
    values["ulcer_index"] = ulcer, n
    values["calmar"] = (rate / -depth if rate is not None and depth < 0 else None), n
    values["recovery_factor"] = (total / -depth if n > 1 and depth < 0 else None), n
    values["upi"] = ((rate - inputs.rf) / ulcer if rate is not None and ulcer else None), n
    if inputs.marks is not None and inputs.marks.size > 1 and float(inputs.marks.min()) > 0:
        values["max_drawdown_intraday"] = float(drawdown.drawdowns(inputs.marks).min()), int(inputs.marks.size - 1)
    if inputs.stamps is not None:
        stamps = inputs.stamps // DAY_NS
        days = float(stamps[deepest.end] - stamps[deepest.peak]) if deepest else 0.0
        values["max_drawdown_days"] = days, n
        values["cagr_calendar"] = (basics.cagr_calendar(growth, float(stamps[-1] - stamps[0])) if n > 1 else None), n
    return deepest is not None and deepest.ongoing


def _distribution(inputs: MetricInputs, values: Values) -> None:
    r, n = inputs.returns, int(inputs.returns.size)
    root = math.sqrt(inputs.periods)
    sd, down, shape = basics.deviation(r), basics.downside_deviation(r), basics.central_moments(r)
    values["annual_return_arithmetic"] = (float(r.mean()) * inputs.periods if n > 1 else None), n
    values["volatility"] = (None if sd is None else sd * root), n
    values["downside_deviation"] = (None if down is None else down * root), n
    values["skew"] = (shape[0] if shape else None), n
    values["kurtosis_excess"] = (shape[1] - 3.0 if shape else None), n
    values["tail_ratio"] = basics.tail_ratio(r), n
    values["omega"] = basics.omega(r), n
    for level, alpha in (("95", 0.05), ("99", 0.01)):
        values[f"var_{level}"] = basics.var_historical(r, alpha), n
        values[f"cvar_{level}"] = basics.cvar_historical(r, alpha), n
    values["var_95_normal"] = basics.var_normal(r, 0.05), n
    values["cvar_95_normal"] = basics.cvar_normal(r, 0.05), n


def _risk_adjusted(inputs: MetricInputs, values: Values) -> None:
    r, n, root = inputs.returns, int(inputs.returns.size), math.sqrt(inputs.periods)
    values["sortino"] = basics.sortino(r, inputs.periods), n
    found = sharpe.moments(r, basics.per_period(inputs.rf, inputs.periods))
    if found is None:
        values.update(dict.fromkeys(("sharpe", "sharpe_ci_low", "sharpe_ci_high", "psr", "dsr", "min_trl"), (None, n)))
        return
    sr, _, skew, kurt = found
    error = sharpe.sharpe_error(sr, n, skew, kurt)
    z = basics.NORMAL.inv_cdf(0.975)
    factor = sharpe.eta(r, round(inputs.periods), sharpe.newey_west_lags(n))
    values["sharpe"] = sr * root, n
    values["sharpe_ci_low"] = (None if error is None else (sr - z * error) * root), n
    values["sharpe_ci_high"] = (None if error is None else (sr + z * error) * root), n
    values["sharpe_lo"] = (None if factor is None else sr * factor), n
    values["psr"] = sharpe.psr(sr, n, skew, kurt), n
    values["min_trl"] = sharpe.min_track_record(sr, skew, kurt), n
    deflated = None
    if inputs.trials > 1 and inputs.trials_variance is not None:
        deflated = sharpe.dsr(sr, n, skew, kurt, inputs.trials, inputs.trials_variance)
    values["dsr"] = deflated, n


def _relative(inputs: MetricInputs, values: Values) -> None:
    if inputs.benchmark is None:
        return
    known = np.isfinite(inputs.benchmark)
    y, x = inputs.returns[known], inputs.benchmark[known]
    n = int(y.size)
    rate = basics.per_period(inputs.rf, inputs.periods)
    error = regression.tracking_error(y, x, inputs.periods)
    values["tracking_error"] = error, n
    values["information_ratio"] = regression.information_ratio(y, x, inputs.periods), n
    fit = regression.ols_hac(y - rate, x - rate)
    names = ("alpha", "alpha_t", "beta", "r_squared", "correlation", "treynor")
    if fit is None:
        values.update(dict.fromkeys(names, (None, n)))
        return
    treynor = float(np.mean(y - rate)) * inputs.periods / fit.beta if fit.beta else None
    found = (fit.alpha * inputs.periods, fit.alpha_t, fit.beta, fit.r_squared, fit.correlation, treynor)
    values.update({name: (value, n) for name, value in zip(names, found, strict=True)})


def _trades(inputs: MetricInputs, values: Values) -> None:
    if inputs.trades is None:
        return
    stats: TradeStats = trade_stats(inputs.trades)
    n = stats.num_trades
    for name in TradeStats.__struct_fields__:
        if name in DEFINITIONS:
            value = getattr(stats, name)
            values[name] = (None if value is None else float(value)), n
    if inputs.stamps is not None:
        values["avg_holding_sessions"] = holding_sessions(inputs.trades, inputs.stamps[1:]), n


def _activity(inputs: MetricInputs, values: Values) -> None:
    n = int(inputs.returns.size)
    if inputs.gross is not None and n:
        values["exposure_gross"] = float(inputs.gross.mean()), n
        values["time_in_market"] = float(np.mean(inputs.gross > 0)), n
    if inputs.net is not None and n:
        values["exposure_net"] = float(inputs.net.mean()), n
    if inputs.traded_value is not None and inputs.mean_equity and n:
        values["turnover"] = inputs.traded_value / 2.0 / inputs.mean_equity * inputs.periods / n, inputs.fills
    values["commission_total"] = inputs.commission, inputs.fills
    values["slippage_total"] = inputs.slippage, inputs.fills
